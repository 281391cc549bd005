# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock-out guard: whether changed host endpoints would cut off their hosts.

It evaluates connections with _dataplane, like calico_connection_info.
"""

from __future__ import annotations

import functools
from typing import Callable, Collection, Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from .._core.ip import Address
from .._dataplane.evaluator import Evaluator
from .._dataplane.resolution import Interface, parse_expected_ips
from .._datastore.snapshot import PolicySnapshot
from .._plan.stored import Stored
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HostEndpoint, as_host_endpoint
from ._connectivity.changes import check_expectations
from ._connectivity.hosts import NONE_DECLARED, Connectivity
from ._policy_changes.node_checks import InterimState, NodeChecks
from ._policy_changes.openings import Openings
from ._policy_changes.phases import Phase, merge_values
from .connection_checks import check_connections, check_other_hosts
from .endpoint_checks import check_endpoint, check_node, check_opened, check_selection, check_workload_interface
from .host_checks import check_host, check_left_open
from .host_facts import HostFacts
from .host_state import HostState, is_governed_by
from .verdict import UNKNOWN, GuardFinding, GuardVerdict, build_verdict


class Guard:
    """Checks declared endpoints and deleted ones (`without`) against what is stored.

    `known_nodes` are the nodes that Calico knows, None when they were not read; `nodes_problem` is why it may know
    more nodes, "" when it does not. `phases` are required if policies, or other resources than endpoints, change.
    `connectivity` are the expectations that changes must not break.
    """

    def __init__(
        self,
        api_version: ApiVersion,
        snapshot: PolicySnapshot,
        endpoints: Sequence[HostEndpoint],
        without: Sequence[HostEndpoint] = (),
        known_nodes: Optional[Collection[str]] = None,
        nodes_problem: str = "",
        phases: Sequence[Phase] = (),
        connectivity: Connectivity = NONE_DECLARED,
    ) -> None:
        self._endpoints = endpoints
        self._without = without
        self._declared = {(each.node, each.name) for each in endpoints}
        self._known_nodes = None if known_nodes is None else frozenset(known_nodes)
        self._nodes_problem = nodes_problem
        # What is stored.
        self.before = Evaluator(api_version, snapshot)
        planned = merge_values(phases)
        self._after = Evaluator(api_version, snapshot.with_changes(planned), endpoints, without)
        # Empty if only endpoints change.
        self._phases = phases if planned else ()
        self._connectivity = connectivity
        # Warnings about what the changes open, and about expectations that were not evaluated in every state.
        self.openings: List[str] = []

    @functools.cached_property
    def nodes(self) -> FrozenSet[str]:
        """The nodes with changes; in v3, a change may move an endpoint from one node to another."""
        stored = filter(None, map(self.before.stored, self._endpoints))
        changed = [each.node for each in (*self._endpoints, *self._without)]
        return frozenset([*changed, *(each.node for each in stored)])

    @property
    def may_know_nodes(self) -> bool:
        """Whether Calico knows one of these nodes, or that is unknown."""
        return self._known_nodes is None or bool(self._nodes_problem) or not self._known_nodes.isdisjoint(self.nodes)

    def check(
        self,
        facts: Mapping[str, HostFacts],
        is_stored: bool = False,
        others: Callable[[], Mapping[str, HostFacts]] = dict,
    ) -> List[GuardVerdict]:
        """A verdict for each declared endpoint, then for each deleted one, then for nodes that policies affect.

        `facts` are those of the nodes with changes; without them, checks that require facts are unknown. `others`
        returns the facts of other nodes, and is called only when policies change or rules select what changes. With
        `is_stored`, the endpoints are as stored and nothing changes. Raises InvalidInput for invalid addresses.
        """
        hosts = {node: HostState(node, facts[node], self.before, self._after, is_stored) for node in facts}
        found = [(endpoint, self._check_declared(endpoint, hosts)) for endpoint in self._endpoints]
        found += [(endpoint, list(self._check_left(endpoint, hosts))) for endpoint in self._without]
        changed = {} if is_stored or self._phases else self._changed_members()
        if changed or self._phases:
            more = others()
            hosts.update((node, HostState(node, more[node], self.before, self._after, False)) for node in more)
        if changed:
            for number, finding in check_other_hosts(hosts.values(), changed):
                found[number][1].append(finding)
        verdicts = [build_verdict(endpoint.node, endpoint.name, findings) for endpoint, findings in found]
        is_expected = bool(self._connectivity) and not is_stored
        interim = list(self._build_interim()) if self._phases and (hosts or is_expected) else []
        if self._phases:
            verdicts += self._check_nodes(hosts, interim if hosts else [])
        return self._add_expectations(verdicts, interim) if is_expected else verdicts

    def _add_expectations(self, verdicts: List[GuardVerdict], interim: Sequence[InterimState]) -> List[GuardVerdict]:
        """The verdicts with what the changes break of the declared connectivity, in those on nodes."""
        findings, warnings = check_expectations(self._connectivity, self.before, self._after, interim)
        self.openings += warnings
        for number, verdict in enumerate(verdicts):
            if not verdict.name and verdict.node in findings:
                both = [*verdict.findings, *findings.pop(verdict.node)]
                verdicts[number] = build_verdict(verdict.node, "", both)
        return verdicts + [build_verdict(node, "", of_node) for node, of_node in sorted(findings.items())]

    def _check_nodes(self, hosts: Mapping[str, HostState], interim: Sequence[InterimState]) -> List[GuardVerdict]:
        """The verdicts on the nodes that changes of policies and the like affect."""
        openings = Openings(self.before, self._after)
        changed = {(each.node, each.name) for each in (*self._endpoints, *self._without)}
        checks = NodeChecks(self.before, self._after, interim, changed)
        verdicts = checks.check(hosts, openings.add)
        self.openings = openings.format()
        return verdicts

    def _build_interim(self) -> Iterator[InterimState]:
        """The states between the phases."""
        api_version, snapshot = self.before.api_version, self.before.snapshot
        for number in range(1, len(self._phases)):
            written = self._phases[:number]
            when = "after {0} and before {1}".format(written[-1].title, self._phases[number].title)
            declared = [endpoint for phase in written for endpoint in phase.declared]
            deleted = [endpoint for phase in written for endpoint in phase.deleted]
            values = merge_values(written)
            yield InterimState(when, Evaluator(api_version, snapshot.with_changes(values), declared, deleted))

    def _changed_members(self) -> Dict[Address, List[int]]:
        """{address whose labels or ports in rules change: indexes of the endpoints that change them}"""
        found: Dict[Address, List[int]] = {}
        if not self._after.policy_set.looks_at_members():
            return found
        for number, endpoint in enumerate([*self._endpoints, *self._without]):
            stored = self.before.stored(endpoint)
            for address in self._changed_at(endpoint, stored) if stored else parse_expected_ips(endpoint):
                found.setdefault(address, []).append(number)
        return found

    def _changed_at(self, endpoint: HostEndpoint, stored: Stored) -> Set[Address]:
        before = self.before.member(stored.node, stored.name)
        # None when the endpoint is deleted.
        after = self._after.member(endpoint.node, endpoint.name)
        return {address for each in (before, after) if each and before != after for address in each.addresses}

    def _check_declared(self, endpoint: HostEndpoint, hosts: Mapping[str, HostState]) -> List[GuardFinding]:
        dataplane = hosts[endpoint.node].facts.dataplane if endpoint.node in hosts else ""
        findings = [
            *check_endpoint(endpoint, self._after, dataplane),
            *check_node(endpoint, self._known_nodes, self._nodes_problem),
            *check_selection(self.selection(endpoint)[1]),
        ]
        stored = self.before.stored(endpoint)
        if endpoint.node in hosts:
            findings += self._check_on_host(hosts[endpoint.node], endpoint, stored is not None)
        else:
            text = "the facts of node {0} are unknown, so its required connections could not be checked"
            findings.append(GuardFinding("G03", UNKNOWN, text.format(endpoint.node)))
            findings += check_workload_interface(endpoint, self._after)
            before = as_host_endpoint(stored.resource) if stored else endpoint
            if before.node == endpoint.node and _get_claim(before) != _get_claim(endpoint):
                findings.append(check_opened(before, self._after))
        if stored and stored.node not in ("", endpoint.node):
            findings += self._check_left(as_host_endpoint(stored.resource), hosts)
        return findings

    def selection(self, endpoint: HostEndpoint) -> Tuple[List[str], List[str]]:
        """Names of the policies that start, and that stop selecting an endpoint when it changes."""
        stored = [
            each.endpoint
            for each in self.before.candidates(endpoint.node)
            if each.name == endpoint.name and not each.rejected
        ]
        if not stored:
            return [], []
        before, after = (
            frozenset(evaluator.rules_for(each).selecting)
            for evaluator, each in ((self.before, stored[0]), (self._after, endpoint))
        )
        return sorted(after - before), sorted(before - after)

    def _check_on_host(self, host: HostState, endpoint: HostEndpoint, is_stored: bool) -> Iterator[GuardFinding]:
        """Check a declared endpoint by the facts of its host."""
        touched, opened = self._find_touched(host, endpoint.name, is_stored)
        yield from check_connections(host, endpoint.name, touched)
        yield from check_left_open(host, opened)
        governs = [name for name, interface in touched.items() if is_governed_by(interface, endpoint.name)]
        yield from check_host(host, endpoint, self._after, governs)

    def _check_left(self, endpoint: HostEndpoint, hosts: Mapping[str, HostState]) -> Iterator[GuardFinding]:
        """Check a node that an endpoint leaves."""
        if endpoint.node not in hosts:
            yield check_opened(endpoint, self._after)
            return
        host = hosts[endpoint.node]
        touched, opened = self._find_touched(host, endpoint.name, True)
        yield from check_connections(host, endpoint.name, touched)
        yield from check_left_open(host, opened)

    def _find_touched(self, host: HostState, name: str, is_stored: bool) -> Tuple[Dict[str, Interface], List[str]]:
        """The interfaces that the endpoint will govern or stops governing, and names of those that it leaves open.

        An interface that another declared endpoint governs afterwards is left to the verdict on that endpoint.
        """
        touched: Dict[str, Interface] = {}
        opened: List[str] = []
        for interface in host.after.interfaces.values():
            if is_governed_by(interface, name):
                touched[interface.name] = interface
            elif is_stored and is_governed_by(host.before.interfaces[interface.name], name):
                if interface.governing is None:
                    opened.append(interface.name)
                elif (host.node, interface.governing.name) not in self._declared:
                    touched[interface.name] = interface
        return touched, opened


def _get_claim(endpoint: HostEndpoint) -> object:
    """A value that is equal for endpoints that claim the same interfaces."""
    return endpoint.interface_name or frozenset(parse_expected_ips(endpoint))
