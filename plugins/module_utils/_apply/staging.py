# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Staged twins of the policies that a run writes: they exist while it writes, and do not affect traffic."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Collection, Dict, Iterator, List, Sequence, Tuple

from .._core.errors import CalicoError, InvalidInput, Refused, format_message, join_first
from .._datastore.base import Datastore
from .._plan.desired import Present
from .._plan.plan import DELETE, NONE, Change, Undone, build_undo, plan
from .._resources.api_version import ApiVersion
from .._resources.resource import Ref
from .outcome import ApplyOutcome
from .writes import write_all

# The annotation by which a later run recognises a twin that was left over, for example after SIGKILL.
MARK = {"netsec.calico/canary": "staged"}
# Number of resources that a message names.
_SHOWN = 3


def check_staged(api_version: ApiVersion) -> None:
    """Raise InvalidInput if the API version has no staged policies."""
    if not any(schema.build_twin for schema in api_version.schemas.values()):
        text = "{canary}: 'staged' requires Calico v3: Calico {0} has no staged policies"
        raise InvalidInput([format_message(text, api_version)])


def plan_twins(store: Datastore, changes: Sequence[Change], declared: Collection[str]) -> List[Change]:
    """The changes that write the twins of created and updated policies; `none` for a leftover that already matches.

    `declared` are the keys of what the task declares. Raises Refused when a twin would replace a resource that is not a
    leftover.
    """
    schemas = store.api_version.schemas
    wants: Dict[str, Present] = {}
    for change in changes:
        build_twin = schemas[change.ref.kind].build_twin
        if build_twin and change.after:
            twin = dataclasses.replace(build_twin(change.after), annotations=MARK)
            wants[store.key(twin.ref)] = Present(twin)
    if not wants:
        return []
    twins = dict(zip(wants, plan(wants, store.read([want.ref for want in wants.values()], ()), store.api_version)))
    taken = [
        str(twin.ref)
        for key, twin in twins.items()
        if key in declared or twin.before and not MARK.items() <= twin.before.annotations.items()
    ]
    if taken:
        text = (
            "nothing was written: the canary would replace {0}, which already exists or is part of the set; delete it, "
            "write it in another run, or set {canary} to none"
        )
        raise Refused(format_message(text, join_first(taken, _SHOWN)))
    # What another client creates in the meantime is not replaced either.
    return [
        twin if twin.before else twin._replace(want=wants[key]._replace(overwrite=False)) for key, twin in twins.items()
    ]


def list_selected(store: Datastore, changes: Sequence[Change]) -> Dict[Ref, List[Ref]]:
    """The host endpoints that each policy with a twin selects after the changes."""
    # Few runs have twins; to import the evaluation takes a tenth of a second.
    from .._guard._policy_changes.selected import list_selected_endpoints  # pylint: disable=import-outside-toplevel

    schemas = store.api_version.schemas
    written = [change for change in changes if change.after and schemas[change.ref.kind].build_twin]
    return list_selected_endpoints(store, changes, written)


@contextlib.contextmanager
def twins_beside(store: Datastore, twins: Sequence[Change], outcome: ApplyOutcome) -> Iterator[None]:
    """Write the twins, and delete them at the end. Raises Refused when one cannot be written.

    A twin that cannot be deleted is reported as failed.
    """
    if not twins:
        yield
        return
    written = ApplyOutcome(outcome.state, ending=outcome.ending)
    # A leftover may already match.
    written.done += [
        twin._replace(revision=twin.before.revision) for twin in twins if twin.operation == NONE and twin.before
    ]
    try:
        write_all(store, [twin for twin in twins if twin.operation != NONE], written, None)
        if written.failed:
            twin, error = written.failed[0]
            text = "nothing was written: the canary failed: the {0} of {1} failed: {2}"
            raise Refused(text.format(twin.operation, twin.ref, error))
        yield
    except BaseException as exc:
        left = _delete(store, written)
        if left and isinstance(exc, CalicoError):
            text = "{0}. What the canary has written could not be deleted: {1}: {2}"
            raise Refused(text.format(exc, left[0][0].ref, left[0][1])) from exc
        raise
    outcome.failed += _delete(store, written)


def _delete(store: Datastore, written: ApplyOutcome) -> List[Tuple[Change, CalicoError]]:
    """Delete the twins that were written or may have been written; the deletions that failed."""
    uncertain = [change for change, _error in written.failed]
    changes = written.done + uncertain
    try:
        now = {item.key: item for item in store.read([change.ref for change in changes], ())} if changes else {}
    except CalicoError as exc:
        return [(_build_deletion(change), exc) for change in written.done]
    deletions: List[Change] = []
    failed: List[Tuple[Change, CalicoError]] = []
    for change in changes:
        stored = now.get(change.before.key if change.before else store.key(change.ref))
        if not stored:
            continue
        try:
            # A leftover is deleted, too, instead of restored.
            deletions.append(build_undo(change._replace(before=None), stored, store.api_version))
        except CalicoError as exc:
            if change not in uncertain:
                failed.append((_build_deletion(change), exc))
    attempted = set()
    for change, error in store.write(deletions):
        attempted.add(change.ref)
        if error:
            failed.append((change, error))
    text = "it was not attempted after the failure of another deletion"
    return failed + [(change, Refused(text)) for change in deletions if change.ref not in attempted]


def _build_deletion(change: Change) -> Change:
    return Change(DELETE, Undone(change), None, None, change.fields)
