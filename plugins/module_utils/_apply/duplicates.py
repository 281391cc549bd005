# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The deletion of a resource under one of the two keys that have it: only while the other key still has it."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from .._core.errors import CalicoError, Conflict
from .._datastore.base import Datastore
from .._plan.desired import DuplicatePurge, Purged
from .._plan.plan import Change
from .._plan.stored import Stored
from .._resources.resource import Ref
from .outcome import ApplyOutcome


def read_again(store: Datastore, change: Change) -> Optional[Stored]:
    """What is stored now where a change is to be made."""
    purge = _get_purge(change)
    if purge is None:
        return store.get(change.ref)
    return next((item for item in store.read([purge.own_ref], ()) if item.key == purge.key), None)


def keep_last_copies(store: Datastore, changes: List[Change], outcome: ApplyOutcome) -> List[Change]:
    """The changes to write, without the deletion of a duplicate that is the only copy by now.

    Another client may have deleted the copy that should be kept. The declared resource may have been written over the
    duplicate then; otherwise none is written, and the deletion is reported as failed.
    """
    purges = {
        id(change): purge for change in changes for purge in [_get_purge(change)] if purge and purge.is_other_kept
    }
    if not purges:
        return changes
    try:
        kept = _find_kept(store, list(purges.values()))
    except CalicoError as exc:
        outcome.failed.append((changes[0], exc))
        outcome.not_attempted += changes[1:]
        return []
    written = {change.before.key for change in outcome.done if change.before and change.after}
    found = []
    lost: List[Change] = []
    for change in changes:
        purge = purges.get(id(change))
        if purge is None:
            found.append(change)
        elif purge.own_ref in kept:
            found.append(change._replace(beside=kept[purge.own_ref]))
        elif purge.key not in written:
            lost.append(change)
    if not lost:
        return found
    text = (
        "it is kept, because {0}, which is stored twice, was deleted under its other name at the same time; run the "
        "task again"
    )
    outcome.failed += [(change, Conflict(text.format(purges[id(change)].own_ref))) for change in lost]
    outcome.not_attempted += found
    return []


def _get_purge(change: Change) -> Optional[DuplicatePurge]:
    if isinstance(change.want, Purged) and isinstance(change.want.purge, DuplicatePurge):
        return change.want.purge
    return None


def _find_kept(store: Datastore, purges: Sequence[DuplicatePurge]) -> Dict[Ref, Stored]:
    """What holds each resource now, other than its duplicate."""
    keys = {purge.key for purge in purges}
    stored = store.read([purge.own_ref for purge in purges], ())
    return {item.own_ref: item for item in stored if item.own_ref and item.key not in keys and not item.pending}
