# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases in which changes are written."""

from __future__ import annotations

import itertools
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..._datastore.base import Datastore
from ..._datastore.snapshot import PlannedValues
from ..._plan.plan import Change
from ..._resources.hostendpoint import HOST_ENDPOINT, HostEndpoint, as_host_endpoint

# These never affect traffic.
_WITHOUT_EFFECT = ("StagedGlobalNetworkPolicy",)


# Number of states in between that are evaluated in a run: at most, and of many hosts at least. Each takes a fraction of
# a millisecond for each host.
_MOST_STATES, _FEWEST_STATES = 40, 10
_MOST_STATES_OF_HOSTS = 40000


class Phase(NamedTuple):
    """Consecutive changes of one operation and kind: they count as written at the same time."""

    # What is written, such as "update global network policy a and 2 more".
    title: str
    # Values that the phase stores, except those of endpoints.
    values: PlannedValues
    declared: Tuple[HostEndpoint, ...]
    deleted: Tuple[HostEndpoint, ...]
    # Number of requests that write it.
    requests: int = 1


def select_effective(changes: Iterable[Change]) -> List[Change]:
    """The changes that may affect traffic."""
    return [change for change in changes if change.ref.kind not in _WITHOUT_EFFECT]


def select_declared(changes: Iterable[Change]) -> List[HostEndpoint]:
    """The endpoints that changes create or update."""
    return [as_host_endpoint(change.after) for change in _select_endpoints(changes) if change.after]


def select_deleted(changes: Iterable[Change]) -> List[HostEndpoint]:
    """The endpoints that changes delete, except unreadable ones."""
    return [
        as_host_endpoint(change.before.resource)
        for change in _select_endpoints(changes)
        if change.after is None and change.before and not change.before.error
    ]


def _select_endpoints(changes: Iterable[Change]) -> List[Change]:
    return [change for change in changes if change.ref.kind == HOST_ENDPOINT]


def build_phases(changes: Sequence[Change], store: Datastore, hosts: int) -> List[Phase]:
    """The phases of changes in the order of writing; empty if only endpoints change.

    A phase is a request. If this results in too many states for this number of evaluated hosts, a phase is the
    smallest number of requests that does not, and never has changes of several kinds.
    """
    if len(_select_endpoints(changes)) == len(changes):
        return []
    requests = [
        list(store.group_writes(list(group)))
        for _kind, group in itertools.groupby(changes, key=lambda change: (change.operation, change.ref.kind))
    ]
    most = max(len(requests), 1 + min(_MOST_STATES, max(_FEWEST_STATES, _MOST_STATES_OF_HOSTS // max(hosts, 1))))
    size = 1
    while sum(-(-len(of_kind) // size) for of_kind in requests) > most:
        size += 1
    return [
        _build_phase(of_kind[start : start + size], store)
        for of_kind in requests
        for start in range(0, len(of_kind), size)
    ]


def _build_phase(requests: Sequence[Sequence[Change]], store: Datastore) -> Phase:
    changes = [change for request in requests for change in request]
    more = " and {0} more".format(len(changes) - 1) if len(changes) > 1 else ""
    title = "{0} {1}{2}".format(changes[0].operation, changes[0].ref, more)
    values = plan_values(changes, store)
    return Phase(title, values, tuple(select_declared(changes)), tuple(select_deleted(changes)), len(requests))


def plan_values(changes: Iterable[Change], store: Datastore) -> Dict[str, Optional[str]]:
    """The values that changes store, except those of endpoints."""
    values: Dict[str, Optional[str]] = {}
    for change in changes:
        if change.ref.kind != HOST_ENDPOINT:
            values.update(store.build_policy_values(change))
    return values


def list_merged(phases: Sequence[Phase]) -> List[str]:
    """A warning if not every state in between is evaluated."""
    requests = sum(phase.requests for phase in phases)
    if requests == len(phases):
        return []
    text = (
        "guard G20: the changes are written by {0} requests, and only {1} of the {2} states in between were evaluated; "
        "write fewer changes in one run to evaluate all"
    )
    return [text.format(requests, len(phases) - 1, requests - 1)]


def merge_values(phases: Iterable[Phase]) -> Dict[str, Optional[str]]:
    """The values that all phases store."""
    return {key: value for phase in phases for key, value in phase.values.items()}
