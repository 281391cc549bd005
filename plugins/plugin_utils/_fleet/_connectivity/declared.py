# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The declared connectivity of a run: the expectations of its hosts, and the peers that they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List, Sequence, Set, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, brief, shown
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.expectations import (
    Expectation,
    format_duplicate,
    parse_expectations,
)
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.hosts import find_unknown_peers
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.host_guard import (
    build_felix_facts,
    read_felix_facts,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.ssh_facts import build_interface_facts
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.networks import select_addresses
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import why_unusable
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.fleet import Fleet, FleetHost
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import PREFIX
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext

# The groups of every inventory.
_BUILT_IN = ("all", "ungrouped")


def build_connectivity(fleet: Fleet, context: TaskContext) -> Dict[str, Any]:
    """The modules' option connectivity_src with its content; {} if no host has expectations.

    Raises RunFailed, which names the host and the variable, for an invalid expectation.
    """
    declared = _Declared(context)
    expected = {host.name: found for host in fleet.hosts for found in [declared.read(host)] if found}
    if not expected:
        return {}
    groups = {name: context.hosts_of_group(name) for name in sorted(declared.peers) if context.is_group(name)}
    peers = {name for name in declared.peers if name not in groups}
    peers.update(name for members in groups.values() for name in members)
    hosts: Dict[str, Dict[str, Any]] = {}
    for host in fleet.hosts:
        if host.name in expected or host.name in peers or declared.has_networks:
            hosts[host.name] = _build_host(fleet, host)
    for name in sorted(peers.difference(hosts)):
        hosts[name] = _build_other(fleet, context, name)
    shown_groups = {*groups, *declared.groups}.difference(_BUILT_IN)
    for name, expectations in expected.items():
        hosts[name].update(expectations=expectations, groups=_select_groups(context.groups(name), shown_groups))
    return {"connectivity_src": {"hosts": hosts, "groups": groups}}


class _Declared:
    """Reads the expectations of hosts, of which many have the same."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        # Names of hosts and groups.
        self.peers: Set[str] = set()
        # The groups that have expectations.
        self.groups: Set[str] = set()
        # Whether an address or a network is a peer, which any host may have.
        self.has_networks = False
        # The last valid value of each variable and group.
        self._valid: Dict[str, Tuple[List[Any], List[Expectation]]] = {}

    def read(self, host: FleetHost) -> List[Any]:
        """The expectations of a host: its own, and those of its groups. Raises RunFailed."""
        if host.guard is None:
            return []
        found = _Named()
        found.add_all(PREFIX + "connectivity", *self._check(host.name, "connectivity", host.guard.connectivity))
        by_group = host.guard.group_connectivity or {}
        where = "group_connectivity"
        if not isinstance(by_group, Mapping):
            raise RunFailed("{0}: {1}{2}: {3} is not a mapping".format(host.name, PREFIX, where, shown(by_group)))
        for group in by_group:
            if not self._context.is_group(group):
                raise RunFailed("{0}{1}: the inventory has no group {2}".format(PREFIX, where, shown(group)))
        for group in self._context.groups(host.name) if by_group else ():
            if group in by_group:
                self.groups.add(group)
                variable = "{0}[{1}]".format(where, brief(group))
                found.add_all(PREFIX + variable, *self._check(host.name, variable, by_group[group]))
        if found.problems:
            raise RunFailed("{0}: {1}".format(host.name, "; ".join(found.problems)))
        return found.values

    def _check(self, name: str, variable: str, value: Any) -> Tuple[List[Any], List[Expectation]]:
        """The value of a variable, and what it means."""
        if not value:
            return [], []
        if variable not in self._valid or self._valid[variable][0] != value:
            where = "{0}: {1}{2}".format(name, PREFIX, variable)
            try:
                expectations = parse_expectations(value, where)
            except InvalidInput as exc:
                raise RunFailed(str(exc)) from exc
            names = {each.peer for each in expectations if each.net is None}
            known = {each for each in names if self._context.is_group(each) or self._context.is_host(each)}
            for index, problem in find_unknown_peers(expectations, known, ()):
                raise RunFailed("{0}[{1}].peer: {2}".format(where, index, problem))
            self.peers.update(names)
            self.has_networks |= any(each.net for each in expectations)
            self._valid[variable] = (list(value), expectations)
        return self._valid[variable]


class _Named:
    """The expectations of one host from several variables. Those that are the same in every field are one."""

    def __init__(self) -> None:
        self.values: List[Any] = []
        self.problems: List[str] = []
        # {name: the expectation and its place}
        self._first: Dict[str, Tuple[Expectation, str]] = {}

    def add_all(self, variable: str, values: Sequence[Any], expectations: Sequence[Expectation]) -> None:
        for index, (value, expectation) in enumerate(zip(values, expectations)):
            place = "{0}[{1}]".format(variable, index)
            first, first_place = self._first.setdefault(expectation.name, (expectation, place))
            if first_place == place:
                self.values.append(value)
            elif first != expectation:
                self.problems.append(format_duplicate(expectation.name, place, first_place))


def _build_host(fleet: Fleet, host: FleetHost) -> Dict[str, Any]:
    """A host of the run."""
    found: Dict[str, Any] = {"node": host.input.node}
    if host.name not in fleet.by_hand and host.guard:
        facts = build_interface_facts(host.input.facts)
        facts.update(build_felix_facts(host.guard.failsafes, host.guard.dataplane))
        found.update(facts=facts, addresses=list(select_addresses(dict(host.input.facts), host.input.ignore)))
    return found


def _build_other(fleet: Fleet, context: TaskContext, name: str) -> Dict[str, Any]:
    """A host outside the run, by the facts that Ansible has of it."""
    raw = context.without_facts(name)
    found: Dict[str, Any] = {"node": fleet.find_node(name, raw)}
    facts = context.facts(name)
    if found["node"] and name not in fleet.without_facts and not why_unusable(facts):
        ignore = fleet.reader.evaluate(name, raw, ["ignore"], with_facts=True)["ignore"] or []
        known = {**build_interface_facts(facts), **read_felix_facts(name, raw, fleet.reader)}
        found.update(facts=known, addresses=list(select_addresses(facts, ignore)))
    return found


def _select_groups(of_host: Sequence[str], shown_groups: Set[str]) -> List[str]:
    """The groups under which a matrix shows a host, [] for its name: the named ones, else the most specific one."""
    named = [group for group in of_host if group in shown_groups]
    return named or [group for group in of_host if group not in _BUILT_IN][-1:]
