# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the datastore match what is declared: read, plan, write what differs."""

from __future__ import annotations

from typing import List, Mapping, Optional

from .._core.errors import InvalidInput, Refused, format_message, join_first
from .._datastore.base import Datastore
from .._plan.desired import Desired, Purge
from .._plan.plan import DELETE, NONE, Change, plan, sort_changes
from .._plan.plan_file import PlanFile
from .._plan.tiers import check_tiers, list_kinds_to_read
from .._resources.resource import count_kinds
from .approved import check_approved
from .canary import Canary
from .outcome import ApplyOutcome
from .staging import check_staged, list_selected, plan_twins, twins_beside
from .writes import GuardCheck, refuse_if_locked, take_back, write_all

# Number of resources that a message names.
SHOWN = 10


def apply(
    store: Datastore,
    wants: Mapping[str, Desired],
    check_mode: bool,
    purge: Optional[Purge] = None,
    purge_limit: Optional[int] = None,
    guard: Optional[GuardCheck] = None,
    canary: Optional[Canary] = None,
    server_dry_run: bool = False,
    is_staged: bool = False,
    approved: Optional[PlanFile] = None,
) -> ApplyOutcome:
    """Read what is stored for `wants`, by store.key, and in the purge's scope; plan; write unless in check mode.

    With server_dry_run, in check mode the server checks the changes.

    Nothing is written unless everything could be read and planned, no more than purge_limit resources would be
    deleted, and the guard accepts the changes; else it raises CalicoError. The nodes of a canary are changed first. If
    one of them fails, or a signal ends the run before the canary has passed, their changes are undone and nothing else
    is written. With is_staged, each policy has a staged twin until the run is over. With `approved`, only the changes
    of this plan are made, and a change that meets a conflict fails instead of being planned again.
    """
    if is_staged:
        check_staged(store.api_version)
    if server_dry_run and not store.has_dry_run:
        text = "{server_dry_run} requires {datastore_type} kubernetes: etcd has no dry run"
        raise InvalidInput([format_message(text)])
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
    if approved:
        outcome.made_before = check_approved(store, approved, changes)
    if not changing:
        return outcome
    refuse_if_locked(store)
    if purge and purge_limit is not None:
        _check_limit([change for change in changing if change.operation == DELETE], purge_limit)
    if guard:
        outcome.guarded = guard(store, changing)
    twins = plan_twins(store, changing, wants) if is_staged else []
    if twins:
        outcome.staged = list_selected(store, changing)
    everything = changing
    first: List[Change] = []
    if canary:
        outcome.canary, first, changing = canary.part(everything, outcome.guarded.affected)
    if check_mode:
        outcome.done = everything
        if server_dry_run:
            _rehearse(store, outcome)
        return outcome
    if canary and first:
        canary.check_before(outcome.canary)
    with outcome.ending.noting(), twins_beside(store, twins, outcome):
        if twins and guard and not outcome.ending.has_come():
            # The twins took some time.
            outcome.guarded = guard(store, everything)
        if canary and first:
            _try(store, canary, first, outcome, guard, bool(approved))
        if outcome.stopped or outcome.failed:
            outcome.not_attempted += changing
        else:
            write_all(store, changing, outcome, guard, bool(approved))
    return outcome


def _rehearse(store: Datastore, outcome: ApplyOutcome) -> None:
    """Report what the server would reject as failed."""
    changes, outcome.done, outcome.is_rehearsed = outcome.done, [], True
    attempted = set()
    for change, error in store.rehearse(changes):
        attempted.add(id(change))
        if error is None:
            outcome.done.append(change)
        else:
            outcome.failed.append((change, error))
    outcome.not_attempted += [change for change in changes if id(change) not in attempted]


def _try(
    store: Datastore,
    canary: Canary,
    changes: List[Change],
    outcome: ApplyOutcome,
    guard: Optional[GuardCheck],
    is_final: bool,
) -> None:
    """Write the changes of the canary, and undo them unless its nodes answer."""
    write_all(store, changes, outcome, guard, is_final)
    lost = canary.lost(outcome.canary, outcome.ending)
    if not lost and not outcome.ending.has_come():
        return
    take_back(store, outcome)
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


def _check_limit(deletions: List[Change], limit: int) -> None:
    if len(deletions) > limit:
        raise Refused(
            format_message(
                "the purge would delete {0}, more than the {purge_limit} of {1}, so nothing was written: {2}",
                count_kinds([change.ref for change in deletions]),
                limit,
                join_first([str(change.ref) for change in deletions], SHOWN),
            )
        )
