# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The play's hosts as the role sees them: their nodes, and the endpoints that their facts and variables make."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.loader import connection_loader

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import (
    CalicoError,
    InvalidInput,
    brief,
    shown,
)
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.resolution import ALL_INTERFACES
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings, get_api_version
from ansible_collections.netsec.calico.plugins.module_utils._module.endpoint_set import Item, build_presents
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.dns import resolved
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.facts import why_unusable
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.interface_rules import (
    HostInput,
    RuleDecision,
    decide,
    explain_hidden,
    select_made,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import PREFIX, check_spelling
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.rule_checks import RuleError
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.ssh_facts import (
    CONNECTION,
    build_datastore_connections,
    build_guard_facts,
    is_ssh,
    unresolved,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext, has_template

# The variables of each host, and the type of each.
_VARIABLES = {
    "node": str,
    "interfaces": list,
    "ignore": list,
    "labels": dict,
    "group_labels": dict,
    "host_labels": dict,
    "endpoints": list,
}
# The variables of which the first host's count for all.
_OF_THE_RUN = (
    "datastore_type",
    "etcd_endpoints",
    "etcd_ca_cert_file",
    "etcd_cert_file",
    "etcd_key_file",
    "etcd_username",
    "etcd_password",
    "calicoctl_config",
    "timeout",
    "owner",
    "purge",
    "purge_limit",
    "decommission",
)
# The same, where something is written.
_OF_THE_WRITING = ("guard", "guard_limit", "canary", "canary_wait")
# What each host tells the guard.
_OF_THE_GUARD = ("guard_require", "failsafes", "dataplane")
# What means the same: YAML makes false of off, and a survey without an answer gives an empty text.
_MEANT = {("guard", "false"): "off", ("guard", ""): "enforce", ("canary", ""): "0"}
# The options of Ansible's SSH that say how it reaches a host, and the variables that beat its configuration.
_SSH_OPTIONS = {
    "port": "ansible_port",
    "ssh_args": "ansible_ssh_args",
    "ssh_common_args": "ansible_ssh_common_args",
    "ssh_extra_args": "ansible_ssh_extra_args",
}
# All that counts of a host without rules.
_BY_HAND = ("node", "interfaces", "endpoints")
_KINDS = {str: "text", list: "list", dict: "mapping"}
_PREFIX = PREFIX
_INTERFACES_SHOWN = 5
# The role's default, which is so common that it is worth a short way.
_DEFAULT_NODE = "{{ ansible_facts.nodename | default('') }}"


class Fleet:
    """The hosts that take part in a run, each with its node and its endpoints.

    Raises RunFailed, naming host and variable, for what cannot be, and for a node that may be another host's.
    """

    def __init__(
        self,
        variables: TaskContext,
        templar: Any,
        api_version: ApiVersion,
        unusable: Optional[Mapping[str, str]] = None,
        of_the_run: Iterable[str] = (),
        writes: bool = False,
        guards: bool = False,
        connects: bool = False,
    ) -> None:
        """`unusable`: hosts whose facts are not to be used, such as those of an earlier run, and why.

        `of_the_run`: further variables, without the prefix, that are one for all hosts.
        `writes`, `guards`: whether the variables of guard and canary count, and what each host tells the guard.
        `connects`: whether it counts how Ansible reaches the hosts, as it does for the guard anyway.
        """
        self._variables = variables
        self._templar = templar
        self._api_version = api_version
        self._of_the_run = (*_OF_THE_RUN, *of_the_run)
        self._writes = writes
        self._guards = guards
        self._connects = guards or connects
        # What is one for all hosts, as the first one has it.
        self._first: Dict[str, Any] = {}
        # Each host that takes part, with its endpoints written by hand. Where no facts are needed, there may be none.
        self.hosts: List[Tuple[HostInput, List[Dict[str, Any]]]] = []
        # The nodes that facts may have told.
        self._told: Set[str] = set()
        # How Ansible reaches them: what they have of CONNECTION.
        self._connections: Dict[str, Dict[str, Any]] = {}
        # What a host has in its guard_require, its failsafes and its dataplane.
        self._required: Dict[str, List[Dict[str, Any]]] = {}
        self._failsafes: Dict[str, Mapping[str, Any]] = {}
        self._dataplanes: Dict[str, str] = {}
        # The others of the batch, which need facts, and why there are none.
        self.without_facts: Dict[str, str] = {}
        # Those that take part without facts, and why there are none.
        self.by_hand: Dict[str, str] = {}
        # Hosts that take part with rules and no endpoint at all, and what became of their interfaces.
        self.uncovered: Dict[str, str] = {}
        # What a user has to know, and what stops nothing: each once, however many hosts it is about.
        self._warnings: Dict[str, None] = {}
        self._read(unusable or {})

    def warnings(self) -> List[str]:
        return list(self._warnings)

    def nodes(self) -> Dict[str, str]:
        """{host: node} of the hosts that take part."""
        return {host.inventory_hostname: host.node for host, _by_hand in self.hosts}

    def guard_facts(self) -> Dict[str, Any]:
        """{node: what the guard has to know of it}. Raises RunFailed for variables that are no connection."""
        by_configuration: Dict[str, Any] = {}
        if any(is_ssh(connection) for connection in self._connections.values()):
            by_configuration = _ssh_configuration()
        connections = {name: _completed(own, by_configuration) for name, own in self._connections.items()}
        known = [
            (host, host.inventory_hostname, connections[host.inventory_hostname])
            for host, _by_hand in self.hosts
            if host.inventory_hostname not in self.by_hand
        ]
        names = {_of_connection(unresolved, name, host.facts, connection) for host, name, connection in known}
        addresses = resolved(names - {""})
        found = {}
        for host, name, connection in known:
            found[host.node] = _of_connection(build_guard_facts, name, host.facts, connection, addresses)
            found[host.node]["require"] += self._required.get(name, [])
            if self._failsafes.get(name):
                found[host.node]["failsafes"] = self._failsafes[name]
            if self._dataplanes.get(name):
                found[host.node]["dataplane"] = self._dataplanes[name]
        return found

    def endpoints(self) -> List[Dict[str, Any]]:
        """The endpoints of all hosts. Checked here, where a message can still say which host and variable it is."""
        items = [item for host, by_hand in self.hosts for item in self._items(host, by_hand)]
        try:
            presents = build_presents(items, self._api_version, {}, self._api_version.identify)
        except InvalidInput as exc:
            raise RunFailed(str(exc)) from exc
        # Not as they are given: a date that YAML has made an object of cannot be written as JSON.
        return [want.resource.as_options() for want in presents.values()]

    def _items(self, host: HostInput, by_hand: List[Any]) -> Iterator[Item]:
        """The endpoints of a host, each with the place that it comes from."""
        name = host.inventory_hostname
        try:
            verdicts = decide(host)
        except RuleError as exc:
            raise RunFailed("{0}: hostendpoints_interfaces: {1}".format(name, exc)) from exc
        made = select_made(verdicts)
        if host.rules and not made and not by_hand:
            self.uncovered[name] = _reasons(verdicts)
        for verdict in made:
            where = "{0}: hostendpoints_interfaces: rule {1}, for {2}"
            yield where.format(name, verdict.rule, brief(_covered(verdict))), verdict.endpoint
        for index, endpoint in enumerate(by_hand):
            where = "{0}: hostendpoints_endpoints[{1}]".format(name, index)
            if isinstance(endpoint, Mapping):
                if endpoint.get("node") not in (None, host.node):
                    raise RunFailed(
                        "{0}: node {1} is not this host's, which is {2!r}; give the endpoint to the host that it is "
                        "for".format(where, shown(endpoint["node"]), host.node)
                    )
                endpoint = dict(endpoint, node=host.node)
            yield where, endpoint

    def _read(self, unusable: Mapping[str, str]) -> None:
        names: Dict[str, str] = {}
        # The task's options are this host's, whether or not it has facts.
        runner = self._variables.runner()
        self._check_same(runner, self._variables.without_facts(runner))
        for name in self._variables.names():
            facts = self._variables.facts(name)
            reason = unusable.get(name) or why_unusable(facts)
            if not self._takes_part(name, reason):
                continue
            if reason and self._needs_facts(name):
                self.without_facts[name] = reason
                continue
            if reason:
                self.by_hand[name] = reason
                facts = {}
            host, by_hand = self._host(name, facts)
            hidden = explain_hidden(host)
            if hidden:
                self.without_facts[name] = hidden
                continue
            _claim(host.node, name, names)
            self.hosts.append((host, by_hand))
        self._refuse_others_nodes(names)

    def _needs_facts(self, name: str) -> bool:
        """Whether something of the host can only be told by its facts: its node, or the endpoints that rules make."""
        raw = self._variables.without_facts(name)
        if raw.get(_PREFIX + "node") == _DEFAULT_NODE:
            return True
        try:
            values = self._templated(name, raw, _BY_HAND, with_facts=False)
        except RunFailed:
            return True
        return values["interfaces"] != [] or not values["node"]

    def _takes_part(self, name: str, reason: str) -> bool:
        try:
            return self._variables.takes_part(name, self._templar)
        except AnsibleError:
            if not reason:
                raise
            # The condition is about facts, which are not there.
            return True

    def _refuse_others_nodes(self, names: Mapping[str, str]) -> None:
        """Raise RunFailed when a node may be that of a host outside this run, whose endpoints would be lost."""
        mine = set(names.values())
        so_far = {name: node for name, node in self._variables.nodes_so_far().items() if node in names}
        for other in [*so_far, *filter(self._variables.is_host, names)]:
            if other in mine or not self._is_of_the_run(other):
                continue
            node = so_far.get(other) or self.node_of(other)
            if node in names:
                _claim(node, other, dict(names))
            if not node:
                raise RunFailed(
                    "{0} is node {1!r} by its hostendpoints_node, and that is the name of another host of the "
                    "inventory, so nothing was written; if {1} has another node name, gather its facts or set its "
                    "hostendpoints_node".format(names[other], other)
                )
        self._refuse_given_nodes(names, {*mine, *so_far})

    def _refuse_given_nodes(self, names: Mapping[str, str], known: Set[str]) -> None:
        """Raise RunFailed when the facts of a host make it the node that the inventory gives to another host.

        `known`: hosts that are checked already. The facts of the others do not count, since any host may lie.
        """
        told = {node for node in self._told if names.get(node) and node != self.calicos_name(names[node])}
        for other in self._variables.inventory() if told else ():
            node = "" if other in known else self.node_of(other, with_facts=False)
            if node in told and self._is_of_the_run(other):
                _claim(node, other, dict(names))

    def _is_of_the_run(self, name: str) -> bool:
        """Whether the role is called for a host, and with the datastore of the run."""
        try:
            takes_part = self._variables.takes_part(name, self._templar)
        except AnsibleError:
            # It is of another play, where variables of the condition are not defined.
            return False
        return takes_part and not _differing(self._variables.without_facts(name), self._first, self._of_the_run)

    def node_of(self, name: str, raw: Optional[Mapping[str, Any]] = None, with_facts: bool = True) -> str:
        """The node of a host outside this run; "" when it cannot be determined.

        `raw`: its variables without facts. `with_facts`: whether its own facts may give the node, too.
        """
        raw = self._variables.without_facts(name) if raw is None else raw
        node = raw.get(_PREFIX + "node")
        if node == _DEFAULT_NODE:
            node = self._variables.facts(name).get("nodename", "") if with_facts else ""
        if has_template(node):
            variables = self._variables.all(name) if with_facts else dict(raw)
            try:
                node = self._templated(name, variables, ["node"], with_facts)["node"]
            except RunFailed:
                return ""
        return self.calicos_name(node) if isinstance(node, str) else ""

    def calicos_name(self, node: str) -> str:
        return self._api_version.canonical_node(node)

    def _host(self, name: str, facts: Mapping[str, Any]) -> Tuple[HostInput, List[Dict[str, Any]]]:
        values = self._values_of(name, facts)
        labels = dict(values["labels"])
        labels.update(self._labels_of_groups(name, values["group_labels"]))
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
        return host, values["endpoints"]

    def _labels_of_groups(self, name: str, group_labels: Mapping[str, Any]) -> Dict[str, Any]:
        """The labels that a host has by its groups, where a child beats its parent, as for variables."""
        labels: Dict[str, Any] = {}
        if not group_labels:
            return labels
        for group, of_group in group_labels.items():
            if not isinstance(of_group, (Mapping, type(None))):
                raise RunFailed("{0}: {1}group_labels[{2}] is not a mapping".format(name, _PREFIX, group))
            if not self._variables.is_group(group):
                text = "{0}group_labels: the inventory has no group {1}"
                self._warnings[text.format(_PREFIX, brief(group))] = None
        for group in self._variables.groups(name):
            labels.update(group_labels.get(group) or {})
        return labels

    def _values_of(self, name: str, facts: Mapping[str, Any]) -> Dict[str, Any]:
        """The host's own variables of the role, without the role's prefix, and its groups."""
        raw = self._variables.without_facts(name)
        self._warnings.update(dict.fromkeys(check_spelling(name, raw)))
        self._check_same(name, raw)
        keys = _BY_HAND if name in self.by_hand else tuple(_VARIABLES)
        values: Dict[str, Any] = dict.fromkeys(_VARIABLES)
        values.update({key: raw.get(_PREFIX + key) for key in keys})
        if values["node"] == _DEFAULT_NODE:
            values["node"] = facts.get("nodename", "")
        if any(has_template(value) for value in values.values()):
            values.update(self._templated(name, self._variables.all(name), keys))
        if values["interfaces"] is None:
            raise RunFailed("{0}: {1}interfaces is null, which is no list of rules".format(name, _PREFIX))
        for key, kind in _VARIABLES.items():
            if values[key] is None and kind is not str:
                values[key] = kind()
            if not isinstance(values[key], kind):
                raise RunFailed(
                    "{0}: {1}{2} has to be a {3}, and is {4}".format(
                        name, _PREFIX, key, _KINDS[kind], shown(values[key])
                    )
                )
        if not all(isinstance(pattern, str) for pattern in values["ignore"]):
            raise RunFailed("{0}: {1}ignore: a pattern is not a text".format(name, _PREFIX))
        if not values["node"]:
            raise RunFailed(
                "{0}: {1}node is empty; set it to the name of this host as Felix knows it".format(name, _PREFIX)
            )
        if self._connects:
            self._connections[name] = self._connection_of(name, raw)
        if self._guards:
            guarded = self._evaluated(name, raw, _OF_THE_GUARD, with_facts=True)
            self._required[name] = _checked_required(name, guarded["guard_require"])
            self._failsafes[name] = _checked_failsafes(name, guarded["failsafes"])
            self._dataplanes[name] = _checked_dataplane(name, guarded["dataplane"])
        values["node"] = self.calicos_name(values["node"])
        try:
            self._api_version.check_nodes(_PREFIX + "node", [values["node"]])
        except InvalidInput as exc:
            raise RunFailed("{0}: {1}".format(name, exc)) from exc
        if has_template(raw.get(_PREFIX + "node")):
            self._told.add(values["node"])
        return values

    def _connection_of(self, name: str, raw: Dict[str, Any]) -> Dict[str, Any]:
        found = {key: raw[key] for key in CONNECTION if raw.get(key) is not None}
        found = _completed(found, self._variables.connection())
        if any(has_template(value) for value in found.values()):
            # Without facts, by which a host could say where a canary connects to.
            found = {key: self._template(name, key, value, raw, False) for key, value in found.items()}
        return found

    def _check_same(self, name: str, raw: Dict[str, Any]) -> None:
        """Raise RunFailed when the host wants another datastore or guard than the first: a run has only one."""
        values = {_PREFIX + key: raw.get(_PREFIX + key) for key in self._of_the_run}
        keys = self._of_the_run
        if self._writes:
            keys = (*keys, *_OF_THE_WRITING)
            values.update(self._of_the_writing(name, raw))
        if not self._first:
            self._first.update({key: values[_PREFIX + key] for key in keys}, name=name)
        for key in _differing(values, self._first, keys):
            # Without the values, of which one may be a password.
            raise RunFailed(
                "{0} and {1} differ in {2}{3}, which is one for all hosts of a run: give them plays of their own, or "
                "use --limit".format(self._first["name"], name, _PREFIX, key)
            )

    def _of_the_writing(self, name: str, raw: Dict[str, Any]) -> Dict[str, str]:
        """Those of _OF_THE_WRITING as they are meant."""
        texts = {
            key: "" if value is None else str(value).lower()
            for key, value in self._evaluated(name, raw, _OF_THE_WRITING).items()
        }
        return {_PREFIX + key: _MEANT.get((key, text), text) for key, text in texts.items()}

    def _evaluated(
        self, name: str, raw: Dict[str, Any], keys: Sequence[str], with_facts: bool = False
    ) -> Dict[str, Any]:
        """Variables of the role by their names without its prefix, without templates."""
        values = {key: raw.get(_PREFIX + key) for key in keys}
        if any(has_template(value) for value in values.values()):
            return self._templated(name, self._variables.all(name) if with_facts else raw, keys, with_facts)
        return values

    def _template(self, name: str, variable: str, value: Any, variables: Dict[str, Any], with_facts: bool) -> Any:
        where = "{0}: {1}".format(name, variable)
        return self._variables.template(self._templar, where, value, variables, with_facts)

    def _templated(
        self,
        name: str,
        variables: Dict[str, Any],
        keys: Iterable[str] = tuple(_VARIABLES),
        with_facts: bool = True,
    ) -> Dict[str, Any]:
        return {
            key: self._template(name, _PREFIX + key, variables.get(_PREFIX + key), variables, with_facts)
            for key in keys
        }


def _covered(verdict: RuleDecision) -> str:
    """What the endpoint of a verdict is for."""
    is_for_all = verdict.endpoint is not None and verdict.endpoint["interface_name"] == ALL_INTERFACES
    return "all interfaces" if is_for_all else verdict.interface


def _reasons(verdicts: Sequence[RuleDecision]) -> str:
    """What became of each interface, in a line."""
    texts = ["{0}: {1}".format(brief(verdict.interface), verdict.reason) for verdict in verdicts[:_INTERFACES_SHOWN]]
    more = len(verdicts) - _INTERFACES_SHOWN
    return "no rule makes an endpoint of it ({0}{1})".format(
        "; ".join(texts), "; and {0} more".format(more) if more > 0 else ""
    )


def _differing(raw: Mapping[str, Any], first: Mapping[str, Any], keys: Iterable[str]) -> List[str]:
    """What a host wants otherwise than the first one, of that which is one for all."""
    return [key for key in keys if raw.get(_PREFIX + key) != first[key]]


def _checked_required(name: str, required: Any) -> List[Dict[str, Any]]:
    """A host's guard_require. Raises RunFailed."""
    if not required:
        return []
    if not isinstance(required, list):
        raise RunFailed("{0}: {1}guard_require has to be a list, and is {2}".format(name, _PREFIX, shown(required)))
    # It brings the whole evaluation with it, and most hosts need nothing.
    # pylint: disable-next=import-outside-toplevel
    from ansible_collections.netsec.calico.plugins.module_utils._guard.required_connections import check_required

    try:
        check_required(required)
    except InvalidInput as exc:
        raise RunFailed("{0}: {1}{2}".format(name, _PREFIX, exc)) from exc
    return required


def _checked_failsafes(name: str, failsafes: Any) -> Mapping[str, Any]:
    """A host's failsafes. Raises RunFailed."""
    # An empty list would be one without its side.
    if failsafes in (None, "", {}):
        return {}
    # As for what is required.
    # pylint: disable-next=import-outside-toplevel
    from ansible_collections.netsec.calico.plugins.module_utils._policies._felix.failsafes import parse_failsafes

    try:
        parse_failsafes(failsafes, _PREFIX + "failsafes")
    except InvalidInput as exc:
        raise RunFailed("{0}: {1}".format(name, exc)) from exc
    checked: Mapping[str, Any] = failsafes
    return checked


def _checked_dataplane(name: str, dataplane: Any) -> str:
    """A host's dataplane; "" when it has none. Raises RunFailed."""
    if dataplane in (None, ""):
        return ""
    # As for what is required.
    # pylint: disable-next=import-outside-toplevel
    from ansible_collections.netsec.calico.plugins.module_utils._guard.required_connections import parse_dataplane

    try:
        return parse_dataplane(dataplane, _PREFIX + "dataplane")
    except InvalidInput as exc:
        raise RunFailed("{0}: {1}".format(name, exc)) from exc


def _claim(node: str, name: str, names: Dict[str, str]) -> None:
    """Note that the host is the node. Raises RunFailed when another one is, too."""
    if names.setdefault(node, name) != name:
        raise RunFailed(
            "{0} and {1} are both node {2!r} by their hostendpoints_node, so nothing was written".format(
                names[node], name, node
            )
        )


def _of_connection(ask: Callable[..., Any], name: str, *known: Any) -> Any:
    """What can be told of a host's connection. Raises RunFailed where its variables are none."""
    try:
        return ask(name, *known)
    except ValueError as exc:
        raise RunFailed("{0}: its connection: {1}".format(name, exc)) from exc


def _completed(connection: Mapping[str, Any], by_default: Mapping[str, Any]) -> Dict[str, Any]:
    """What is known of a connection, with defaults for what is not."""
    if connection.get("ansible_ssh_port"):
        by_default = {key: value for key, value in by_default.items() if key != "ansible_port"}
    return {**by_default, **connection}


def _ssh_configuration() -> Dict[str, Any]:
    """What ansible.cfg, the environment and the command line say of connections by SSH, by the variables' names."""
    # Ansible knows a plugin's options once it is loaded.
    connection_loader.get("ssh", class_only=True)
    found = {
        variable: constants.config.get_config_value(option, plugin_type="connection", plugin_name="ssh")
        for option, variable in _SSH_OPTIONS.items()
    }
    return {variable: value for variable, value in found.items() if value}


def read_api_version(arguments: Mapping[str, Any]) -> ApiVersion:
    """The generation of what the datastore holds that the task, the controller's environment or the file tells."""
    try:
        settings = build_settings(arguments, os.environ)
    except CalicoError as exc:
        raise RunFailed(str(exc)) from exc
    return get_api_version(settings)


def prepare_guard(arguments: Dict[str, Any]) -> bool:
    """Whether the task's guard is on; then what every host needs is what the task says, and the datastore."""
    # In YAML, off is false.
    arguments["guard"] = {False: "off", "false": "off", None: "enforce"}.get(
        arguments.get("guard"), arguments.get("guard")
    )
    if str(arguments["guard"]).lower() == "off":
        return False
    arguments["guard_require"] = build_required(arguments)
    return True


def build_required(arguments: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The connections that every host needs: what the task says, and the datastore."""
    required = arguments.get("guard_require") or []
    if not isinstance(required, list):
        raise RunFailed("guard_require is not a list: {0}".format(shown(required)))
    try:
        return required + build_datastore_connections(build_settings(arguments, os.environ).servers)
    except CalicoError as exc:
        raise RunFailed(str(exc)) from exc
