# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the datastore match what is declared: read, plan, write what differs."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from typing import Callable, Iterator, List, Mapping, Optional, Sequence, Tuple, cast

from .._core.errors import CalicoError, Conflict, InvalidInput, Refused, join_first
from .._datastore.base import Datastore, State
from .._guard.verdict import GuardReport
from .._plan.desired import Desired, Purge, Purged
from .._plan.plan import DELETE, NONE, Change, Undone, build_change, build_undo, plan, sort_changes
from .._plan.stored import Stored
from .._plan.tiers import check_tiers, list_kinds_to_read
from .._resources.resource import count_kinds
from .canary import Canary, CanaryNode
from .ending import Ending

TRIES = 5
# Number of resources that a message names.
SHOWN = 10

# Checks changes before they are written. Raises Unsafe when they must not be.
GuardCheck = Callable[[Datastore, Sequence[Change]], GuardReport]


@dataclasses.dataclass
class ApplyOutcome:
    """The outcome of a plan; in check mode, the outcome that it would have."""

    # The state at the start.
    state: State
    # In chronological order.
    done: List[Change] = dataclasses.field(default_factory=list)
    unchanged: List[Change] = dataclasses.field(default_factory=list)
    failed: List[Tuple[Change, CalicoError]] = dataclasses.field(default_factory=list)
    not_attempted: List[Change] = dataclasses.field(default_factory=list)
    # What Calico cannot read on the purged nodes, which the purge keeps.
    unreadable: List[Stored] = dataclasses.field(default_factory=list)
    # The guard's verdicts on the changes.
    guarded: GuardReport = dataclasses.field(default_factory=GuardReport)
    # The signal that ended the run while it was writing; no other change was started then.
    ending: Ending = dataclasses.field(default_factory=Ending)
    # The nodes that were changed first, why the run stopped after them, and what it undid.
    canary: List[CanaryNode] = dataclasses.field(default_factory=list)
    stopped: str = ""
    taken_back: List[Change] = dataclasses.field(default_factory=list)

    @property
    def changes(self) -> List[Change]:
        return self.done + self.unchanged


def apply(
    store: Datastore,
    wants: Mapping[str, Desired],
    check_mode: bool,
    purge: Optional[Purge] = None,
    purge_limit: Optional[int] = None,
    guard: Optional[GuardCheck] = None,
    canary: Optional[Canary] = None,
    server_dry_run: bool = False,
) -> ApplyOutcome:
    """Read what is stored for `wants`, by store.key, and on the purged nodes; plan; write unless in check mode.

    With server_dry_run, in check mode the server checks the changes.

    Nothing is written unless everything could be read and planned, no more than purge_limit endpoints would be
    deleted, and the guard accepts the changes; else it raises CalicoError. The nodes of a canary are changed first. If
    one of them fails, or a signal ends the run before the canary has passed, their changes are undone and nothing else
    is written.
    """
    if server_dry_run and not store.has_dry_run:
        raise InvalidInput(["server_dry_run needs datastore_type kubernetes: etcd has no dry run"])
    refs, kinds = [want.ref for want in wants.values()], list_kinds_to_read(wants.values())
    stored = store.read(refs, purge.nodes, {*purge.kinds, *kinds}) if purge else store.read(refs, (), kinds)
    state = store.state
    if purge:
        # etcd v2 lists in no order, and messages must not differ from run to run.
        stored.sort(key=lambda item: (item.node, item.key))
    changes = plan(wants, stored, store.api_version, purge)
    check_tiers(changes, stored, store.read_tiers_in_use)
    changing = sort_changes((change for change in changes if change.operation != NONE), store.api_version)
    outcome = ApplyOutcome(state, unchanged=[change for change in changes if change.operation == NONE])
    if purge:
        outcome.unreadable = [item for item in stored if item.key not in wants and purge.covers(item) and item.error]
    if not changing:
        return outcome
    _refuse_if_locked(store)
    if purge and purge_limit is not None:
        _check_limit([change for change in changing if change.operation == DELETE], purge_limit)
    if guard:
        outcome.guarded = guard(store, changing)
    first: List[Change] = []
    if canary:
        outcome.canary, first, changing = canary.part(changing)
    if check_mode:
        outcome.done = sort_changes(first + changing, store.api_version)
        if server_dry_run:
            _rehearse(store, outcome)
        return outcome
    if canary and first:
        canary.check_before(outcome.canary)
    with outcome.ending.noting():
        if canary and first:
            _try(store, canary, first, outcome, guard)
        if outcome.stopped or outcome.failed:
            outcome.not_attempted += changing
        else:
            _write_all(store, changing, outcome, guard)
    return outcome


def _rehearse(store: Datastore, outcome: ApplyOutcome) -> None:
    """Report what the server would reject as failed."""
    changes, outcome.done = outcome.done, []
    attempted = set()
    for change, error in store.rehearse(changes):
        attempted.add(id(change))
        if error is None:
            outcome.done.append(change)
        else:
            outcome.failed.append((change, error))
    outcome.not_attempted += [change for change in changes if id(change) not in attempted]


def _try(
    store: Datastore, canary: Canary, changes: List[Change], outcome: ApplyOutcome, guard: Optional[GuardCheck]
) -> None:
    """Write the changes of the canary, and undo them unless its nodes answer."""
    _write_all(store, changes, outcome, guard)
    lost = canary.lost(outcome.canary, outcome.ending)
    if not lost and not outcome.ending.has_come():
        return
    _take_back(store, outcome)
    if lost:
        back = canary.answering_again([place for place, _reason in lost], outcome.ending)
        outcome.stopped = "the canary failed: " + "; ".join(
            "{0} stopped accepting connections after the change ({1}); it {2} after the rollback".format(
                place, reason, "accepts them again" if place in back else "does not accept them"
            )
            for place, reason in lost
        )
    else:
        # Whether its nodes answer is unknown.
        outcome.stopped = "{0} ended the run before the canary had passed".format(outcome.ending.signal)


def _take_back(store: Datastore, outcome: ApplyOutcome) -> None:
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
    for _phase, phase in itertools.groupby(sort_changes(undos, store.api_version), key=_get_phase):
        is_over = False
        for undo, error in store.write(list(phase)):
            yield cast(Undone, undo.want).change, error
            is_over = is_over or bool(error and not isinstance(error, Conflict))
        if is_over:
            return


def _refuse_if_locked(store: Datastore) -> None:
    if store.state.locked:
        raise Refused("nothing can be changed now: {0}".format(store.state.locked))


def _get_phase(change: Change) -> Tuple[str, str]:
    return change.operation, change.ref.kind


def _check_limit(deletions: List[Change], limit: int) -> None:
    if len(deletions) > limit:
        raise Refused(
            "the purge would delete {0}, more than the purge_limit of {1}, so nothing was written: {2}".format(
                count_kinds([change.ref for change in deletions]),
                limit,
                join_first([str(change.ref) for change in deletions], SHOWN),
            )
        )


def _write_all(store: Datastore, changes: List[Change], outcome: ApplyOutcome, guard: Optional[GuardCheck]) -> None:
    """Write the changes, one kind and operation after the other."""
    for _phase, phase in itertools.groupby(changes, key=_get_phase):
        if outcome.failed or outcome.ending.has_come():
            outcome.not_attempted += phase
        else:
            _write(store, list(phase), outcome, guard)


def _write(store: Datastore, changes: List[Change], outcome: ApplyOutcome, guard: Optional[GuardCheck]) -> None:
    """Write the changes of one phase. After a conflict, a change is read and planned again, up to five times in all."""
    for attempt in range(TRIES):
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
            changes = _plan_again(store, conflicts, outcome, guard)
    for change, error in conflicts:
        outcome.failed.append((change, Conflict("gave up after {0} tries: {1}".format(TRIES, error))))


def _leave(change: Change, conflict: Conflict, outcome: ApplyOutcome) -> None:
    """Report a change that is not tried again."""
    if conflict.maybe_done:
        text = "{0}; an earlier attempt got no answer, so the change may or may not have been made; run the task again"
        outcome.failed.append((change, Conflict(text.format(conflict), maybe_done=True)))
    else:
        outcome.not_attempted.append(change)


def _plan_again(
    store: Datastore, conflicts: List[Tuple[Change, Conflict]], outcome: ApplyOutcome, guard: Optional[GuardCheck]
) -> List[Change]:
    again: List[Tuple[Change, Conflict]] = []
    # Another writer may be calico-upgrade, which locks the datastore.
    store.forget_state()
    for change, conflict in conflicts:
        if outcome.failed:
            _leave(change, conflict, outcome)
            continue
        try:
            _refuse_if_locked(store)
            planned = build_change(cast(Desired, change.want), store.get(change.ref), store.api_version)
        except CalicoError as exc:
            outcome.failed.append((change, exc))
            continue
        if planned.operation != NONE:
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
