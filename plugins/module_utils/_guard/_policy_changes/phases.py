# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases in which changes are written."""

from __future__ import annotations

import itertools
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..._datastore.snapshot import PlannedValues
from ..._plan.plan import Change
from ..._resources.hostendpoint import HOST_ENDPOINT, HostEndpoint, as_host_endpoint

# These never affect traffic.
_WITHOUT_EFFECT = ("StagedGlobalNetworkPolicy",)


class Phase(NamedTuple):
    """Consecutive changes of one operation and kind: they count as written at the same time."""

    # What is written, such as "update global network policy a and 2 more".
    title: str
    # Values that the phase stores, except those of endpoints.
    values: PlannedValues
    declared: Tuple[HostEndpoint, ...]
    deleted: Tuple[HostEndpoint, ...]


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


def build_phases(
    changes: Sequence[Change], build_values: Callable[[Change], Mapping[str, Optional[str]]]
) -> List[Phase]:
    """The phases of changes in the order of writing; build_values is Datastore.build_policy_values."""
    return [
        _build_phase(list(group), build_values)
        for _kind, group in itertools.groupby(changes, key=lambda change: (change.operation, change.ref.kind))
    ]


def _build_phase(changes: List[Change], build_values: Callable[[Change], Mapping[str, Optional[str]]]) -> Phase:
    values: Dict[str, Optional[str]] = {}
    for change in changes:
        if change.ref.kind != HOST_ENDPOINT:
            values.update(build_values(change))
    more = " and {0} more".format(len(changes) - 1) if len(changes) > 1 else ""
    title = "{0} {1}{2}".format(changes[0].operation, changes[0].ref, more)
    return Phase(title, values, tuple(select_declared(changes)), tuple(select_deleted(changes)))


def merge_values(phases: Iterable[Phase]) -> Dict[str, Optional[str]]:
    """The values that all phases store."""
    return {key: value for phase in phases for key, value in phase.values.items()}
