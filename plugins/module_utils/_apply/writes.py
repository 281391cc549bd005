# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write changes phase by phase, plan again after conflicts, and undo what was written."""

from __future__ import annotations

import itertools
import random
import time
from typing import Callable, Iterator, List, Optional, Sequence, Tuple, cast

from .._core.errors import CalicoError, Conflict, Refused
from .._datastore.base import Datastore
from .._guard.verdict import GuardReport
from .._plan.desired import Desired, Purged
from .._plan.plan import NONE, Change, Undone, build_change, build_undo
from .._plan.tiers import find_tiers_in_use, list_deleted_tiers
from .approved import AGAIN
from .duplicates import keep_last_copies, read_again
from .outcome import ApplyOutcome

TRIES = 5

# Checks changes before they are written. Raises Unsafe when they must not be.
GuardCheck = Callable[[Datastore, Sequence[Change]], GuardReport]


def refuse_if_locked(store: Datastore) -> None:
    if store.state.locked:
        raise Refused("nothing can be changed now: {0}".format(store.state.locked))


def _get_phase(change: Change) -> Tuple[str, str]:
    return change.operation, change.ref.kind


def write_all(
    store: Datastore,
    changes: List[Change],
    outcome: ApplyOutcome,
    guard: Optional[GuardCheck],
    is_final: bool = False,
) -> None:
    """Write the changes, one kind and operation after the other; with is_final, none that is planned again."""
    for _phase, phase in itertools.groupby(changes, key=_get_phase):
        if outcome.failed or outcome.ending.has_come():
            outcome.not_attempted += phase
        else:
            _write(store, list(phase), outcome, guard, is_final)


def _write(
    store: Datastore, changes: List[Change], outcome: ApplyOutcome, guard: Optional[GuardCheck], is_final: bool
) -> None:
    """Write the changes of one phase. After a conflict, a change is read and planned again, up to five times in all."""
    for attempt in range(TRIES):
        changes = _keep_tiers_in_use(store, changes, outcome)
        changes = keep_last_copies(store, changes, outcome)
        conflicts: List[Tuple[Change, Conflict]] = []
        attempted = set()
        for change, error in store.write(changes, outcome.ending.has_come):
            attempted.add(id(change.want))
            if error is None:
                outcome.done.append(change)
            elif isinstance(error, Conflict):
                conflicts.append((change, error))
            else:
                outcome.failed.append((change, error))
        if outcome.failed or outcome.ending.has_come():
            for change, conflict in conflicts:
                _leave(change, conflict, outcome)
            outcome.not_attempted += [change for change in changes if id(change.want) not in attempted]
            return
        if not conflicts:
            return
        if attempt + 1 < TRIES:
            # Two concurrent runs must not conflict again.
            time.sleep(random.uniform(0.01, 0.05 * 2**attempt))
            changes = _plan_again(store, conflicts, outcome, guard, is_final)
    for change, error in conflicts:
        outcome.failed.append((change, Conflict("gave up after {0} tries: {1}".format(TRIES, error))))


def _keep_tiers_in_use(store: Datastore, changes: List[Change], outcome: ApplyOutcome) -> List[Change]:
    """The changes to write: none if they delete a tier that has a policy by now, which is reported as failed.

    A policy that is created after this check is not noticed: no datastore can make a deletion conditional on it.
    """
    if not list_deleted_tiers(changes):
        return changes
    try:
        kept = find_tiers_in_use(changes, outcome.done, store.read_tiers_in_use())
    except CalicoError as exc:
        outcome.failed.append((changes[0], exc))
        outcome.not_attempted += changes[1:]
        return []
    if not kept:
        return changes
    outcome.failed += [(change, Refused(kept[change.ref.name])) for change in changes if change.ref.name in kept]
    outcome.not_attempted += [change for change in changes if change.ref.name not in kept]
    return []


def _leave(change: Change, conflict: Conflict, outcome: ApplyOutcome) -> None:
    """Report a change that is not tried again."""
    if conflict.maybe_done:
        text = "{0}; an earlier attempt got no answer, so the change may or may not have been made; run the task again"
        outcome.failed.append((change, Conflict(text.format(conflict), maybe_done=True)))
    else:
        outcome.not_attempted.append(change)


def _plan_again(
    store: Datastore,
    conflicts: List[Tuple[Change, Conflict]],
    outcome: ApplyOutcome,
    guard: Optional[GuardCheck],
    is_final: bool,
) -> List[Change]:
    """The changes to write after conflicts; with is_final none, and what would still have to change has failed."""
    again: List[Tuple[Change, Conflict]] = []
    # Another writer may be calico-upgrade, which locks the datastore.
    store.forget_state()
    for change, conflict in conflicts:
        if outcome.failed:
            _leave(change, conflict, outcome)
            continue
        try:
            refuse_if_locked(store)
            planned = build_change(cast(Desired, change.want), read_again(store, change), store.api_version)
        except CalicoError as exc:
            outcome.failed.append((change, exc))
            continue
        if planned.operation != NONE and is_final:
            text = "{0}, so the plan no longer applies; {1}"
            outcome.failed.append((change, Conflict(text.format(conflict, AGAIN), conflict.maybe_done)))
        elif planned.operation != NONE:
            again.append((planned, conflict))
        elif conflict.maybe_done:
            # It matches because our write was carried out.
            revision = (planned.before.revision if planned.before else "") if change.is_stored(planned.before) else None
            outcome.done.append(change._replace(after=planned.after, revision=revision))
        elif not isinstance(change.want, Purged):
            outcome.unchanged.append(planned)
    changes = [change for change, _conflict in again]
    if guard and changes:
        try:
            # The other client may have allowed what these changes deny.
            guard(store, changes)
        except CalicoError as exc:
            outcome.failed.append((changes[0], exc))
            for change, conflict in again[1:]:
                _leave(change, conflict, outcome)
            return []
    return changes


def take_back(store: Datastore, outcome: ApplyOutcome) -> None:
    """Undo the changes that were made or may have been made. What cannot be undone is kept."""
    undone = set()
    # These were already reported as failed, but may have been made anyway.
    failed = {id(change) for change, _error in outcome.failed}
    changes = outcome.done + [change for change, _error in outcome.failed]
    try:
        for change, error in _undo(store, changes):
            if error is None:
                undone.add(id(change))
                outcome.taken_back.append(change)
            elif id(change) not in failed:
                outcome.failed.append((change, error))
    except CalicoError as exc:
        outcome.failed += [(change, exc) for change in outcome.done if id(change) not in undone]
    outcome.done = [change for change in outcome.done if id(change) not in undone]
    outcome.failed = [(change, error) for change, error in outcome.failed if id(change) not in undone]


def _undo(store: Datastore, changes: List[Change]) -> Iterator[Tuple[Change, Optional[CalicoError]]]:
    now = {item.key: item for item in store.read([change.ref for change in changes], ())}
    undos = []
    for change in changes:
        before = change.before
        stored = now.get(before.key if before else store.key(change.ref))
        if (stored and stored.revision) == (before and before.revision):
            # It was not made.
            continue
        try:
            undos.append(build_undo(change, stored, store.api_version))
        except Conflict as exc:
            yield change, exc
    # In reverse: the guard has checked these states, and what others depend on is deleted last.
    for _phase, phase in itertools.groupby(reversed(undos), key=_get_phase):
        is_over = False
        for undo, error in store.write(list(phase)):
            yield cast(Undone, undo.want).change, error
            is_over = is_over or bool(error and not isinstance(error, Conflict))
        if is_over:
            return
