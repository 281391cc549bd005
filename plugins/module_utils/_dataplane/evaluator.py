# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evaluates hosts by the policies and endpoints of a datastore, from a snapshot."""

from __future__ import annotations

import functools
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from .._core.protocols import PROTOCOLS
from .._datastore.snapshot import PolicySnapshot, has_node_selectors
from .._plan.stored import Stored
from .._policies._felix.config import Felix, felix_v1
from .._policies._felix.config_v3 import felix_v3
from .._policies.connection import Packet
from .._policies.load_v1 import load_policies_v1
from .._policies.load_v3 import load_policies_v3
from .._policies.model import PolicySet, Rule, Selectable
from .._policies.rules_v3 import NAMESPACE, ORCHESTRATOR
from .._resources.api_version import V1, V3, ApiVersion
from .._resources.hostendpoint import HostEndpoint
from .._resources.resource import Ref
from ._rules.endpoint_rules import EndpointRules, select_policies
from ._rules.ip_sets import IPSets
from ._rules.overlooked import PacketEnd, Unaddressed, overlooked
from ._rules.rule_steps import RuleSteps
from .resolution import Candidate, build_candidate, known_by_name, parse_expected_ips, read_candidate
from .verdict import ConnectionVerdict


class _FelixReader(NamedTuple):
    """How a Felix of one API version reads stored objects."""

    load_policies: Callable[[PolicySnapshot], PolicySet]
    # (snapshot, node, dataplane)
    read_felix: Callable[[PolicySnapshot, str, str], Felix]
    # The place of a node's own settings in the snapshot.
    config_place: str


_FELIX_READERS = {
    V1.name: _FelixReader(load_policies_v1, lambda snapshot, node, _dataplane: felix_v1(snapshot, node), "{0}"),
    V3.name: _FelixReader(load_policies_v3, felix_v3, "node.{0}"),
}


class Evaluator:
    """The stored objects, ready to evaluate any number of hosts.

    `endpoints` are evaluated as if stored: they replace stored endpoints of the same identity (name; in v1 also node).
    Stored endpoints in `without` (compared by identity) are omitted.
    """

    def __init__(
        self,
        api_version: ApiVersion,
        snapshot: PolicySnapshot,
        endpoints: Iterable[HostEndpoint] = (),
        without: Iterable[HostEndpoint] = (),
    ) -> None:
        self.api_version = api_version
        self.snapshot = snapshot
        self._reader = _FELIX_READERS[api_version.name]
        self.policy_set = self._reader.load_policies(snapshot)
        self._by_node = self._group_endpoints(endpoints, without)
        self._candidates: Dict[str, List[Candidate]] = {}
        self._members = IPSets(self.policy_set, self.list_members)
        self._unaddressed = Unaddressed(self.policy_set, self._all_unaddressed)
        # By what determines which policies select an endpoint, and by the policies.
        self._rules: Dict[object, EndpointRules] = {}
        self._distinct: Dict[object, EndpointRules] = {}
        self._steps = RuleSteps()
        # The verdicts on neighbour discovery that hosts share.
        self.known_neighbours: Dict[Tuple[object, ...], ConnectionVerdict] = {}
        self._felix: Dict[Tuple[str, str], Felix] = {}
        self._with_settings = {place for place, _name in snapshot.config}
        self._has_node_selectors = has_node_selectors(snapshot)

    def stored(self, endpoint: HostEndpoint) -> Optional[Stored]:
        """The stored object with the identity of an endpoint; None if it is missing."""
        return self._stored.get(self._identify(endpoint))

    @functools.cached_property
    def _stored(self) -> Dict[Ref, Stored]:
        return {self._identify(each): each for each in self.snapshot.endpoints}

    @property
    def nodes(self) -> List[str]:
        """The nodes that have endpoints."""
        return [node for node in self._by_node if node]

    def has_endpoints_of(self, other: Evaluator) -> bool:
        """Whether the endpoints of all nodes are the same."""
        return self._by_node == other._by_node

    def candidates(self, node: str) -> List[Candidate]:
        """The endpoints of a node, and in v3 those that may be on it because their node is unreadable."""
        unreadable = [
            each
            for each in self._find_candidates("")
            # An escape may be a character of the node's name.
            if each.rejected or node in each.text or "\\u" in each.text
        ]
        return self._find_candidates(node) + unreadable

    def member(self, node: str, name: str) -> Optional[Selectable]:
        """The endpoint as rules may select it; None for an endpoint that is missing or that Felix ignores."""
        found = [each for each in self._find_candidates(node) if each.name == name and not each.rejected]
        return _member(found[0].endpoint) if found else None

    def felix(self, node: str, dataplane: str = "") -> Felix:
        """The settings of a node's Felix; `dataplane` overrides the stored dataplane."""
        place = self._reader.config_place.format(node)
        if place not in self._with_settings and not self._has_node_selectors:
            # The settings of all nodes.
            node = ""
        found = self._felix.get((node, dataplane))
        if found is None:
            found = self._felix[node, dataplane] = self._reader.read_felix(self.snapshot, node, dataplane)
        return found

    def rules_for(self, endpoint: HostEndpoint) -> EndpointRules:
        """The rules for an endpoint: one object for all endpoints with the same rules."""
        labels, profiles = endpoint.labels, endpoint.profiles
        key = frozenset([item for item in labels.items() if item[0] in self.policy_set.selecting_labels]), profiles
        found = self._rules.get(key)
        if found is None:
            policies = select_policies(self.policy_set, endpoint)
            same = profiles, tuple([tuple(of_tier) for of_tier in policies.values()])
            found = self._distinct.get(same)
            if found is None:
                found = EndpointRules(self.policy_set, self._members, self._steps, policies, profiles)
            self._rules[key] = self._distinct[same] = found
        return found

    @property
    def members(self) -> IPSets:
        """What selectors and named ports of rules find."""
        return self._members

    def overlooked(self, rules: Iterable[Tuple[str, Rule]], packet: Packet, place: PacketEnd) -> str:
        """An addition to the reason of a denied packet: selected endpoints that have no addresses."""
        return overlooked(rules, packet, self._members, self._unaddressed, place)

    def _group_endpoints(
        self, endpoints: Iterable[HostEndpoint], without: Iterable[HostEndpoint]
    ) -> Dict[str, List[HostEndpoint | Stored]]:
        """The endpoints of each node; most are never read."""
        declared = {self._identify(each): self.api_version.as_stored(each) for each in endpoints}
        left_out = {self._identify(each) for each in without}.union(declared)
        found: Dict[str, List[HostEndpoint | Stored]] = {}
        for stored in self.snapshot.endpoints:
            if self._identify(stored) not in left_out:
                found.setdefault(self._find_node(stored), []).append(stored)
        for endpoint in declared.values():
            found.setdefault(endpoint.node, []).append(endpoint)
        return found

    def _find_candidates(self, node: str) -> List[Candidate]:
        if node not in self._candidates:
            found = [self.candidate(each) for each in self._by_node.get(node, ())]
            is_by_name = node and not self.api_version.has_names_per_node
            self._candidates[node] = known_by_name(found) if is_by_name else found
        return self._candidates[node]

    def candidate(self, each: HostEndpoint | Stored) -> Candidate:
        """An endpoint, stored or not, as Felix sees it."""
        if isinstance(each, Stored):
            found = read_candidate(each, self.api_version)
        else:
            found = build_candidate(each, self.api_version)
        endpoint = found.endpoint
        if self.snapshot.network_policies is not None or found.rejected:
            return found
        labels = self.policy_set.inherit_labels(endpoint.labels, endpoint.profiles)
        for label in (NAMESPACE, ORCHESTRATOR):
            if label in labels:
                doubt = "{0} has the label {1}, so a NetworkPolicy may select it, and the NetworkPolicies were not read"
                return found._replace(doubt=found.doubt or doubt.format(endpoint, label))
        return found

    def _find_node(self, stored: Stored) -> str:
        """The node as Felix reads it, which accepts more values of Calico v3 than calicoctl; "" if unknown."""
        if stored.error:
            return read_candidate(stored, self.api_version).endpoint.node
        return stored.node

    def _identify(self, each: HostEndpoint | Stored) -> Ref:
        return self.api_version.identify(each.ref)

    def list_members(self) -> Iterator[Selectable]:
        """All objects that a selector of a rule may select."""
        yield from self.policy_set.members
        for candidate in self._all_candidates():
            yield _member(candidate.endpoint)._replace(doubt=candidate.doubt)

    def _all_unaddressed(self) -> Iterator[HostEndpoint]:
        endpoints = (candidate.endpoint for candidate in self._all_candidates())
        return (endpoint for endpoint in endpoints if not parse_expected_ips(endpoint))

    def _all_candidates(self) -> Iterator[Candidate]:
        """The endpoints of all nodes that Felix accepts."""
        for node in self._by_node:
            for candidate in self._find_candidates(node):
                if not candidate.rejected:
                    yield candidate


def _member(endpoint: HostEndpoint) -> Selectable:
    named = tuple([(port.name, PROTOCOLS.get(port.protocol.lower(), 0), port.port) for port in endpoint.ports])
    return Selectable(endpoint.labels, endpoint.profiles, tuple(parse_expected_ips(endpoint)), (), named)
