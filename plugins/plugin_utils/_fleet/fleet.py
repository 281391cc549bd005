# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The play's hosts as the role sees them: their nodes, and the endpoints from their facts and variables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, brief, shown
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.resolution import ALL_INTERFACES
from ansible_collections.netsec.calico.plugins.module_utils._module._input.documents import Item
from ansible_collections.netsec.calico.plugins.module_utils._module._input.endpoint_set import build_presents
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.host_guard import (
    HostGuard,
    build_all_guard_facts,
    read_host_guard,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import why_unusable
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interface_rules import (
    HostInput,
    RuleDecision,
    decide,
    explain_hidden,
    select_made,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.rule_checks import RuleError
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.node_claims import NodeClaims, OtherHosts
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import (
    PREFIX,
    Scope,
    check_spelling,
    list_names,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.shared_variables import SharedVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext, has_template

_INTERFACES_SHOWN = 5


class FleetHost(NamedTuple):
    """A host that takes part in a run."""

    input: HostInput
    # Those of hostendpoints_endpoints.
    endpoints: List[Any]
    # None if neither a guard nor a canary uses it.
    guard: Optional[HostGuard]

    @property
    def name(self) -> str:
        return self.input.inventory_hostname


class FleetEndpoints(NamedTuple):
    """What the rules and variables of the hosts declare."""

    # By the names of the modules' options.
    endpoints: List[Dict[str, Any]]
    # Hosts with rules but no endpoint, and the reasons for their interfaces.
    uncovered: Dict[str, str]


class Fleet:
    """The hosts that take part in a run, each with its node and its endpoints.

    Raises RunFailed, naming host and variable, for an invalid variable and for a node that may belong to another host.
    """

    def __init__(
        self,
        context: TaskContext,
        templar: Any,
        api_version: ApiVersion,
        unusable: Optional[Mapping[str, str]] = None,
        scopes: Collection[Scope] = (Scope.HOST, Scope.RUN),
        connects: bool = False,
        earlier: Optional[Mapping[str, str]] = None,
    ) -> None:
        """`unusable`: hosts whose facts must not be used, such as those of an earlier run, and why.

        `scopes`: of the variables that count. With Scope.GUARD, the hosts' guard settings are read.
        `connects`: whether Ansible's connections to the hosts count. The guard always uses them.
        `earlier`: {host: node} of the hosts of the play's earlier batches.
        """
        self._context = context
        self._api_version = api_version
        self._guards = Scope.GUARD in scopes
        self._connects = self._guards or connects
        self.reader = HostVariables(context, templar, api_version)
        # The task's options are this host's, whether or not it has facts.
        runner = context.runner()
        self._shared = SharedVariables(
            self.reader,
            runner,
            context.without_facts(runner),
            as_written=list_names(*(scope for scope in (Scope.RUN, Scope.AUDIT) if scope in scopes)),
            evaluated=list_names(Scope.WRITING) if Scope.WRITING in scopes else (),
        )
        self.hosts: List[FleetHost] = []
        # Hosts of the batch that need facts and do not take part, and why their facts are unusable.
        self.without_facts: Dict[str, str] = {}
        # Hosts that take part without facts, and why their facts are unusable.
        self.by_hand: Dict[str, str] = {}
        # Each warning once, for any number of hosts.
        self._warnings: Dict[str, None] = {}
        self._add_hosts(unusable or {}, earlier or {})

    def warnings(self) -> List[str]:
        return list(self._warnings)

    def nodes(self) -> Dict[str, str]:
        """{host: node} of the hosts that take part."""
        return {host.name: host.input.node for host in self.hosts}

    def guard_facts(self) -> Dict[str, Any]:
        """{node: its guard facts}. Raises RunFailed for variables that do not define a connection."""
        return build_all_guard_facts(
            [(host.input, host.guard) for host in self.hosts if host.guard and host.name not in self.by_hand]
        )

    def has_connectivity(self) -> bool:
        """Whether a host declares connectivity, valid or not. Without the guard, that is not read."""
        guards = (host.guard for host in self.hosts)
        return any(guard and (guard.connectivity or guard.group_connectivity) for guard in guards)

    def build_endpoints(self) -> FleetEndpoints:
        """The endpoints of all hosts, validated here, where a message can still name the host and the variable."""
        items: List[Item] = []
        uncovered = {}
        for host in self.hosts:
            decisions = _decide(host)
            own = [*_list_made(host, decisions), *_list_given(host)]
            if host.input.rules and not own:
                uncovered[host.name] = _reasons(decisions)
            items += own
        try:
            presents = build_presents(items, self._api_version, {}, self._api_version.identify)
        except InvalidInput as exc:
            raise RunFailed(str(exc)) from exc
        # Not as given: a date, which YAML parses into an object, cannot be written as JSON.
        return FleetEndpoints([want.resource.as_options() for want in presents.values()], uncovered)

    def find_node(self, name: str, raw: Optional[Mapping[str, Any]] = None) -> str:
        """The node of a host outside this run; "" if it cannot be determined.

        `raw`: its variables without facts, if they are at hand.
        """
        return self.reader.find_node(name, self._context.without_facts(name) if raw is None else raw)

    def canonical_node(self, node: str) -> str:
        """The node's name as the datastore has it."""
        return self._api_version.canonical_node(node)

    def _add_hosts(self, unusable: Mapping[str, str], earlier: Mapping[str, str]) -> None:
        claims = NodeClaims()
        for name in self._context.names():
            facts = self._context.facts(name)
            reason = unusable.get(name) or why_unusable(facts)
            if not self.reader.takes_part(name, has_facts=not reason):
                continue
            if reason and self.reader.needs_facts(name):
                self.without_facts[name] = reason
                continue
            if reason:
                self.by_hand[name] = reason
                facts = {}
            raw = self._context.without_facts(name)
            host = self._read_host(name, raw, facts)
            hidden = explain_hidden(host.input)
            if hidden:
                self.without_facts[name] = hidden
                continue
            claims.add(host.input.node, name, has_template(raw.get(PREFIX + "node")))
            self.hosts.append(host)
        others = OtherHosts(self._context, self._find_other_node, self.canonical_node, self._is_of_the_run)
        others.check(claims, earlier)

    def _read_host(self, name: str, raw: Dict[str, Any], facts: Mapping[str, Any]) -> FleetHost:
        self._add_warnings(check_spelling(name, raw))
        self._shared.check(name, raw)
        values = self.reader.read_own(name, raw, facts, has_facts=name not in self.by_hand)
        guard = None
        if self._connects:
            guard = read_host_guard(name, raw, self.reader, self._context, self._guards)
        labels = {**values["labels"], **self.reader.read_group_labels(name, values["group_labels"])}
        self._add_warnings(self.reader.warn_about_groups(values["group_labels"]))
        host = HostInput(
            inventory_hostname=name,
            node=values["node"],
            facts=facts,
            rules=values["interfaces"],
            ignore=values["ignore"],
            labels=labels,
            host_labels=values["host_labels"],
            api_version=self._api_version,
        )
        return FleetHost(host, values["endpoints"], guard)

    def _add_warnings(self, warnings: Iterable[str]) -> None:
        self._warnings.update(dict.fromkeys(warnings))

    def _find_other_node(self, name: str, with_facts: bool) -> str:
        return self.reader.find_node(name, self._context.without_facts(name), with_facts)

    def _is_of_the_run(self, name: str) -> bool:
        """Whether the role is called for a host, and with the datastore of the run."""
        return self.reader.is_called_for(name) and self._shared.has_same_datastore(self._context.without_facts(name))


def _decide(host: FleetHost) -> List[RuleDecision]:
    try:
        return decide(host.input)
    except RuleError as exc:
        raise RunFailed("{0}: hostendpoints_interfaces: {1}".format(host.name, exc)) from exc


def _list_made(host: FleetHost, decisions: Sequence[RuleDecision]) -> Iterator[Item]:
    """The endpoints that rules create, each with the place that it comes from."""
    for decision in select_made(decisions):
        where = "{0}: hostendpoints_interfaces: rule {1}, for {2}"
        yield where.format(host.name, decision.rule, brief(_covered(decision))), decision.endpoint


def _list_given(host: FleetHost) -> Iterator[Item]:
    """The endpoints of hostendpoints_endpoints, each with the place that it comes from. Raises RunFailed."""
    for index, endpoint in enumerate(host.endpoints):
        where = "{0}: hostendpoints_endpoints[{1}]".format(host.name, index)
        if isinstance(endpoint, Mapping):
            if endpoint.get("node") not in (None, host.input.node):
                raise RunFailed(
                    "{0}: node {1} is not this host's node {2!r}; move the endpoint to the host with that node".format(
                        where, shown(endpoint["node"]), host.input.node
                    )
                )
            endpoint = dict(endpoint, node=host.input.node)
        yield where, endpoint


def _covered(decision: RuleDecision) -> str:
    """The interface of a decision's endpoint, or all interfaces."""
    is_for_all = decision.endpoint is not None and decision.endpoint["interface_name"] == ALL_INTERFACES
    return "all interfaces" if is_for_all else decision.interface


def _reasons(decisions: Sequence[RuleDecision]) -> str:
    """The decision on each interface, in one line."""
    texts = [
        "{0}: {1}".format(brief(decision.interface), decision.reason) for decision in decisions[:_INTERFACES_SHOWN]
    ]
    more = len(decisions) - _INTERFACES_SHOWN
    return "no rule creates an endpoint ({0}{1})".format(
        "; ".join(texts), "; and {0} more".format(more) if more > 0 else ""
    )
