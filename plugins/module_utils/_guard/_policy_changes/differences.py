# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between two states of the datastore: most hosts are the same before and after a change."""

from __future__ import annotations

import functools
from typing import Dict, List

from ..._dataplane.evaluator import Evaluator
from ..._policies.model import Selectable
from ..._resources.hostendpoint import HostEndpoint


class Differences:
    """The differences that matter to a node. The states share the objects of equal values."""

    def __init__(self, one: Evaluator, other: Evaluator) -> None:
        self._one = one
        self._other = other
        self._known: Dict[object, bool] = {}

    def concern(self, node: str, dataplane: str = "") -> bool:
        """Whether the node's Felix may treat a connection differently."""
        one, other = self._one, self._other
        return (
            one.policy_set.fatal != other.policy_set.fatal
            or self._has_other_settings
            and one.felix(node, dataplane) != other.felix(node, dataplane)
            or one.candidates(node) != other.candidates(node)
            or any(map(self._has_other_rules, self._list_governed(node)))
        )

    @functools.cached_property
    def _has_other_settings(self) -> bool:
        """Whether the settings of some Felix may differ."""
        one, other = (
            (each.config, each.nodes, each.ip_pools, each.state) for each in (self._one.snapshot, self._other.snapshot)
        )
        return one != other

    @functools.cached_property
    def _has_other_members(self) -> bool:
        """Whether selectors in rules may find other addresses or ports."""
        one, other = self._one.policy_set, self._other.policy_set
        return (
            (one.members, one.members_doubt) != (other.members, other.members_doubt)
            or not self._one.has_endpoints_of(self._other)
            # Which endpoints inherit.
            or {name: each.labels for name, each in one.profiles.items()}
            != {name: each.labels for name, each in other.profiles.items()}
        )

    def _list_governed(self, node: str) -> List[HostEndpoint]:
        """The endpoints and workloads of a node, as far as they determine rules."""
        workloads: List[Selectable] = [member for _name, member in self._one.policy_set.workloads.get(node, ())]
        return [
            *[each.endpoint for each in self._one.candidates(node) if not each.rejected],
            *[HostEndpoint(labels=each.labels, profiles=each.profiles) for each in workloads],
        ]

    def _has_other_rules(self, endpoint: HostEndpoint) -> bool:
        one, other = self._one.rules_for(endpoint), self._other.rules_for(endpoint)
        if (one, other) not in self._known:
            is_other = one.identity != other.identity
            self._known[one, other] = is_other or self._has_other_members and other.looks_at_members
        return self._known[one, other]
