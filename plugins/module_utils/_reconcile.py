# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the datastore hold what is wanted: read, plan, write what differs."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import Callable, Iterable, List, Mapping, Optional, Sequence, Tuple

from ._datastore._store import State, Store
from ._errors import CalicoError, Conflict, Refused
from ._plan import DELETE, NONE, ORDER, Change, Purge, Purged, Stored, Want, change_for, plan
from ._verdict import Guarded

TRIES = 5
# How many endpoints a message names.
SHOWN = 10


@dataclasses.dataclass
class Outcome:
    """What became of a plan; in check mode, what would become of it."""

    # As it was when it began.
    state: State
    # In the order in which they were made.
    done: List[Change] = dataclasses.field(default_factory=list)
    unchanged: List[Change] = dataclasses.field(default_factory=list)
    failed: List[Tuple[Change, CalicoError]] = dataclasses.field(default_factory=list)
    not_attempted: List[Change] = dataclasses.field(default_factory=list)
    # What Calico cannot read on the purged nodes, and the purge leaves alone.
    unreadable: List[Stored] = dataclasses.field(default_factory=list)
    # What the guard says of the changes.
    guarded: Guarded = dataclasses.field(default_factory=Guarded)

    @property
    def changes(self) -> List[Change]:
        return self.done + self.unchanged


def reconcile(
    store: Store,
    wants: Mapping[str, Want],
    check_mode: bool,
    purge: Optional[Purge] = None,
    purge_limit: Optional[int] = None,
    guard: Optional[Callable[[Store, Sequence[Change]], Guarded]] = None,
) -> Outcome:
    """Read what is stored for what is wanted, by store.key, and on the purged nodes; plan; unless in check mode write.

    Nothing is written unless everything could be read and planned, no more than purge_limit endpoints would be
    deleted, and the guard does not refuse it. Raises CalicoError when not.
    """
    stored = store.read([want.identity for want in wants.values()], purge.nodes if purge else ())
    state = store.state
    if purge:
        # etcd v2 lists in no order, and messages shall not differ from run to run.
        stored.sort(key=lambda item: (item.node, item.key))
    changes = plan(wants, stored, store.api_version, purge)
    changing = [change for change in changes if change.operation != NONE]
    outcome = Outcome(state, unchanged=[change for change in changes if change.operation == NONE])
    if purge:
        outcome.unreadable = [
            # Of a value that cannot be read in v3, nobody knows the node.
            item
            for item in stored
            if item.key not in wants and (not item.node or item.node in purge.nodes) and item.error
        ]
    phases = [_sorted(change for change in changing if change.operation == operation) for operation in ORDER]
    if changing:
        _refuse_if_locked(store)
    if purge and purge_limit is not None:
        _check_limit(phases[ORDER.index(DELETE)], purge_limit)
    if guard and changing:
        outcome.guarded = guard(store, [change for phase in phases for change in phase])
    for phase in phases:
        if check_mode:
            outcome.done += phase
        elif outcome.failed:
            outcome.not_attempted += phase
        else:
            _write(store, phase, outcome)
    return outcome


def _refuse_if_locked(store: Store) -> None:
    if store.state.locked:
        raise Refused("no host endpoint can be changed now: {0}".format(store.state.locked))


def _sorted(changes: Iterable[Change]) -> List[Change]:
    return sorted(changes, key=lambda change: (change.identity.node, change.identity.name))


def _check_limit(deletions: List[Change], limit: int) -> None:
    if len(deletions) > limit:
        named = ", ".join(str(change.identity) for change in deletions[:SHOWN])
        raise Refused(
            "the purge would delete {0} endpoints, which is more than the purge_limit of {1}, so nothing at all was "
            "written: {2}{3}".format(len(deletions), limit, named, ", ..." if len(deletions) > SHOWN else "")
        )


def _write(store: Store, changes: List[Change], outcome: Outcome) -> None:
    """Write the changes of one phase; those that met a conflict are read and planned again, at most five times."""
    for attempt in range(TRIES):
        conflicts: List[Tuple[Change, Conflict]] = []
        attempted = set()
        for change, error in store.write(changes):
            attempted.add(id(change))
            if error is None:
                outcome.done.append(change)
            elif isinstance(error, Conflict):
                conflicts.append((change, error))
            else:
                outcome.failed.append((change, error))
        if outcome.failed:
            outcome.not_attempted += [change for change, _error in conflicts] + [
                change for change in changes if id(change) not in attempted
            ]
            return
        if not conflicts:
            return
        if attempt + 1 < TRIES:
            # Two controllers that met once shall not meet again.
            time.sleep(random.uniform(0.01, 0.05 * 2**attempt))
            changes = _plan_again(store, conflicts, outcome)
    for change, error in conflicts:
        outcome.failed.append((change, Conflict("gave up after {0} tries: {1}".format(TRIES, error))))


def _plan_again(store: Store, conflicts: List[Tuple[Change, Conflict]], outcome: Outcome) -> List[Change]:
    changes = []
    # Time has passed, and who else writes may be calico-upgrade.
    store.forget_state()
    for change, conflict in conflicts:
        if outcome.failed:
            outcome.not_attempted.append(change)
            continue
        try:
            _refuse_if_locked(store)
            again = change_for(change.want, store.get(change.identity), store.api_version)
        except CalicoError as exc:
            outcome.failed.append((change, exc))
            continue
        if again.operation != NONE:
            changes.append(again)
        elif conflict.maybe_done:
            # It is as wanted since we wrote.
            outcome.done.append(change._replace(after=again.after))
        elif not isinstance(change.want, Purged):
            outcome.unchanged.append(again)
    return changes
