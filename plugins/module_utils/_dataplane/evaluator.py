# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that a datastore holds of policies and endpoints, ready to be asked about hosts. It reads none itself."""

from __future__ import annotations

import functools
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

from .._datastore.snapshot import PolicySnapshot, has_node_selectors
from .._plan.plan import Stored
from .._policies._felix.config import Felix, felix_v1
from .._policies._felix.config_v3 import felix_v3
from .._policies.connection import PROTOCOLS, Packet
from .._policies.load_v1 import load_policies_v1
from .._policies.load_v3 import load_policies_v3
from .._policies.model import PolicySet, Rule, Selectable
from .._policies.rules_v3 import NAMESPACE
from .._resources.hostendpoint import V1, HostEndpoint
from .endpoint_rules import EndpointRules, RuleSteps, build_rules_key
from .ip_sets import IPSets
from .overlooked import PacketEnd, Unaddressed, overlooked
from .resolution import Candidate, build_candidate, known_by_name, parse_expected_ips, read_candidate


class Evaluator:
    """All that is stored, ready to be asked about any number of hosts.

    `endpoints` are evaluated as if they were stored; one that is stored under the same name (in v1: node and name) is
    replaced, and one in `without` (the same identities) is left out.
    """

    def __init__(
        self,
        api_version: str,
        documents: PolicySnapshot,
        endpoints: Iterable[HostEndpoint] = (),
        without: Iterable[HostEndpoint] = (),
    ) -> None:
        self.api_version = api_version
        self.documents = documents
        self.rulebook: PolicySet = (load_policies_v1 if api_version == V1 else load_policies_v3)(documents)
        self._by_node = self._endpoints_of(endpoints, without)
        self._candidates: Dict[str, List[Candidate]] = {}
        self._members = IPSets(self.rulebook, self._all_members)
        self._unaddressed = Unaddressed(self.rulebook, self._all_unaddressed)
        self._asked: Dict[object, EndpointRules] = {}
        self._steps = RuleSteps()
        self._felix: Dict[Tuple[str, str], Felix] = {}
        self._with_settings = {place for place, _name in documents.config}
        self._has_node_selectors = api_version != V1 and has_node_selectors(documents)

    def stored(self, endpoint: HostEndpoint) -> Optional[Stored]:
        """What is stored under the name of an endpoint (in v1: node and name); None when nothing is."""
        return self._stored.get(self._identity(endpoint))

    @functools.cached_property
    def _stored(self) -> Dict[Tuple[str, str], Stored]:
        return {self._identity(each): each for each in self.documents.endpoints}

    def candidates(self, node: str) -> List[Candidate]:
        """The endpoints of a node, and in v3 those that may be, since nobody can read the node."""
        unreadable = [
            each
            for each in self._candidates_of("")
            # An escape may be a letter of the node's name.
            if each.rejected or node in each.text or "\\u" in each.text
        ]
        return self._candidates_of(node) + unreadable

    def member(self, node: str, name: str) -> Optional[Selectable]:
        """What rules may select of an endpoint; None of one that is missing, or that Felix ignores."""
        found = [each for each in self._candidates_of(node) if each.name == name and not each.rejected]
        return _member(found[0].endpoint) if found else None

    def felix(self, node: str, dataplane: str = "") -> Felix:
        """The settings of a node's Felix, whose dataplane may be known from elsewhere."""
        place = node if self.api_version == V1 else "node." + node
        if place not in self._with_settings and not self._has_node_selectors:
            # Those of all nodes.
            node = ""
        found = self._felix.get((node, dataplane))
        if found is None:
            is_v1 = self.api_version == V1
            found = felix_v1(self.documents, node) if is_v1 else felix_v3(self.documents, node, dataplane)
            self._felix[node, dataplane] = found
        return found

    def asked(self, endpoint: HostEndpoint) -> EndpointRules:
        """The rules for an endpoint."""
        key = build_rules_key(endpoint)
        found = self._asked.get(key)
        if found is None:
            found = self._asked[key] = EndpointRules(self.rulebook, self._members, self._steps, endpoint)
        return found

    def overlooked(self, rules: Iterable[Tuple[str, Rule]], packet: Packet, place: PacketEnd) -> str:
        """What is added to the reason of a packet that is denied: whom these rules select and no set has."""
        return overlooked(rules, packet, self._members, self._unaddressed, place)

    def _endpoints_of(
        self, endpoints: Iterable[HostEndpoint], without: Iterable[HostEndpoint]
    ) -> Dict[str, List[HostEndpoint | Stored]]:
        """Those of each node, of which most are never looked at."""
        wanted = {self._identity(each): each.as_stored(self.api_version) for each in endpoints}
        left_out = {self._identity(each) for each in without}.union(wanted)
        found: Dict[str, List[HostEndpoint | Stored]] = {}
        for stored in self.documents.endpoints:
            if self._identity(stored) not in left_out:
                found.setdefault(self._node_of(stored), []).append(stored)
        for endpoint in wanted.values():
            found.setdefault(endpoint.node, []).append(endpoint)
        return found

    def _candidates_of(self, node: str) -> List[Candidate]:
        if node not in self._candidates:
            found = [self.candidate(each) for each in self._by_node.get(node, ())]
            self._candidates[node] = known_by_name(found) if node and self.api_version != V1 else found
        return self._candidates[node]

    def candidate(self, each: HostEndpoint | Stored) -> Candidate:
        """An endpoint, stored or not, as Felix sees it."""
        if isinstance(each, Stored):
            found = read_candidate(each, self.api_version)
        else:
            found = build_candidate(each, self.api_version)
        endpoint = found.endpoint
        if self.api_version == V1 or self.documents.network_policies is not None or found.rejected:
            return found
        if NAMESPACE in self.rulebook.labels_of(endpoint.labels, endpoint.profiles):
            doubt = "{0} has the label {1}, so a NetworkPolicy may select it, and the NetworkPolicies were not read"
            return found._replace(doubt=found.doubt or doubt.format(endpoint, NAMESPACE))
        return found

    def _node_of(self, stored: Stored) -> str:
        """The node as Felix has it, which reads more of Calico v3's values than calicoctl; "" where it is unknown."""
        if stored.error and self.api_version != V1:
            return read_candidate(stored, self.api_version).endpoint.node
        return stored.node

    def _identity(self, each: HostEndpoint | Stored) -> Tuple[str, str]:
        return (each.node if self.api_version == V1 else "", each.name)

    def _all_members(self) -> Iterator[Selectable]:
        """What a selector of a rule may select."""
        yield from self.rulebook.members
        for candidate in self._all_candidates():
            yield _member(candidate.endpoint)._replace(doubt=candidate.doubt)

    def _all_unaddressed(self) -> Iterator[HostEndpoint]:
        endpoints = (candidate.endpoint for candidate in self._all_candidates())
        return (endpoint for endpoint in endpoints if not parse_expected_ips(endpoint))

    def _all_candidates(self) -> Iterator[Candidate]:
        """Those of all nodes that Felix takes."""
        for node in self._by_node:
            for candidate in self._candidates_of(node):
                if not candidate.rejected:
                    yield candidate


def _member(endpoint: HostEndpoint) -> Selectable:
    named = tuple([(port.name, PROTOCOLS.get(port.protocol.lower(), 0), port.port) for port in endpoint.ports])
    return Selectable(endpoint.labels, endpoint.profiles, tuple(parse_expected_ips(endpoint)), (), named)
