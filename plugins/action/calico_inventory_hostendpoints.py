# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.netsec.calico.plugins.module_utils._connection import settings_from
from ansible_collections.netsec.calico.plugins.module_utils._datastore._store import API_VERSIONS
from ansible_collections.netsec.calico.plugins.module_utils._errors import CalicoError, InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._hostendpoint import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._inputs import Item, presents_from
from ansible_collections.netsec.calico.plugins.module_utils._names import v3_node
from ansible_collections.netsec.calico.plugins.module_utils._validation import check_nodes
from ansible_collections.netsec.calico.plugins.plugin_utils._host_variables import HostVariables, has_template
from ansible_collections.netsec.calico.plugins.plugin_utils._interfaces import (
    Host,
    RuleError,
    verdicts_of,
    why_unusable,
)

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
_KINDS = {str: "text", list: "list", dict: "mapping"}
_PREFIX = "hostendpoints_"
# The role's default, which is so common that it is worth a short way.
_DEFAULT_NODE = "{{ ansible_facts.nodename | default('') }}"
_SHOWN = 10


class ActionModule(ActionBase):
    """Facts and variables of the play's hosts in, one call of calico_hostendpoints out."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        require_facts = arguments.pop("require_facts", False)
        self._api_version = _api_version(arguments)
        if arguments.get("purge_limit") in (None, "") and arguments.get("purge", "none") != "none":
            raise AnsibleActionFail("hostendpoints_purge_limit is empty: give a number")
        variables = HostVariables(self._task, task_vars)
        hosts, without_facts = self._hosts(variables)
        result["hosts"] = len(hosts)
        result["hosts_without_facts"] = without_facts
        if without_facts and require_facts:
            result.update(skipped=True, skip_reason="facts are missing")
            return result
        if without_facts:
            result["warnings"] = [_without_facts(without_facts)]
        endpoints = _endpoints_of(hosts, self._api_version)
        arguments["purge_nodes"] = sorted(host.node for host, _by_hand in hosts)
        if arguments.get("purge", "none") != "none" and not arguments["purge_nodes"]:
            # Nothing was computed, so there is nothing to purge.
            arguments["purge"] = "none"
        done = self._apply(endpoints, arguments, task_vars)
        if variables.has_batches():
            # For the next ones, of which none may take these nodes. Those named like their host are known anyway.
            done["nodes"] = {
                host.inventory_hostname: host.node for host, _by_hand in hosts if host.node != host.inventory_hostname
            }
        done["warnings"] = result.pop("warnings", []) + done.get("warnings", [])
        result.update(done)
        return result

    def _hosts(self, variables: HostVariables) -> Tuple[List[Tuple[Host, List[Dict[str, Any]]]], List[str]]:
        """Each host whose facts this run has with its endpoints written by hand; and the names of the others."""
        found, without_facts = [], []
        names: Dict[str, str] = {}
        first: Dict[str, Any] = {}
        for name in variables.names():
            if not variables.takes_part(name, self._templar):
                continue
            facts = variables.facts(name)
            if why_unusable(facts):
                without_facts.append(name)
                continue
            host, by_hand = self._host(name, facts, variables, first)
            _claim(host.node, name, names)
            found.append((host, by_hand))
        self._refuse_others_nodes(names, variables, first)
        return found, without_facts

    def _refuse_others_nodes(
        self, names: Mapping[str, str], variables: HostVariables, first: Mapping[str, Any]
    ) -> None:
        """Raise AnsibleActionFail when a node may be that of a host outside this run, whose endpoints would be lost."""
        mine = set(names.values())
        so_far = {name: node for name, node in variables.nodes_so_far().items() if node in names}
        for other in [*so_far, *filter(variables.is_host, names)]:
            if other in mine or not self._is_of_the_run(other, variables, first):
                continue
            node = so_far.get(other) or self._node_of(other, variables)
            if node in names:
                _claim(node, other, dict(names))
            if not node:
                raise AnsibleActionFail(
                    "{0} is node {1!r} by its hostendpoints_node, and that is the name of another host of the "
                    "inventory, so nothing was written; if {1} has another node name, gather its facts or set its "
                    "hostendpoints_node".format(names[other], other)
                )

    def _is_of_the_run(self, name: str, variables: HostVariables, first: Mapping[str, Any]) -> bool:
        """Whether the role is called for a host, and with the datastore of the run."""
        try:
            takes_part = variables.takes_part(name, self._templar)
        except AnsibleError:
            # It is of another play, where variables of the condition are not defined.
            return False
        return takes_part and not _differing(variables.without_facts(name), first)

    def _node_of(self, name: str, variables: HostVariables) -> str:
        """The node that a host outside this run is; "" when that cannot be told."""
        node = variables.without_facts(name).get(_PREFIX + "node")
        if node == _DEFAULT_NODE:
            node = variables.facts(name).get("nodename", "")
        if has_template(node):
            try:
                node = self._templated(name, variables.all(name), ["node"])["node"]
            except AnsibleActionFail:
                return ""
        return self._calicos_name(node) if isinstance(node, str) else ""

    def _calicos_name(self, node: str) -> str:
        # In v3, Felix takes its host's name in lower case, and Calico's upgrade names nodes like this.
        return v3_node(node) if self._api_version == V3 else node

    def _host(
        self, name: str, facts: Mapping[str, Any], variables: HostVariables, first: Dict[str, Any]
    ) -> Tuple[Host, List[Dict[str, Any]]]:
        values = self._values_of(name, facts, variables, first)
        labels = dict(values["labels"])
        for group in values["group_names"]:
            of_group = values["group_labels"].get(group) or {}
            if not isinstance(of_group, Mapping):
                raise AnsibleActionFail("{0}: {1}group_labels[{2}] is not a mapping".format(name, _PREFIX, group))
            labels.update(of_group)
        host = Host(
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

    def _values_of(
        self, name: str, facts: Mapping[str, Any], variables: HostVariables, first: Dict[str, Any]
    ) -> Dict[str, Any]:
        """The host's own variables of the role, without the role's prefix, and its groups."""
        raw = variables.without_facts(name)
        _check_same(name, raw, first)
        values = {key: raw.get(_PREFIX + key) for key in _VARIABLES}
        if values["node"] == _DEFAULT_NODE:
            values["node"] = facts.get("nodename", "")
        cached = variables.is_cached(name, [_PREFIX + key for key in _VARIABLES])
        if cached or any(has_template(value) for value in values.values()):
            values = self._templated(name, variables.all(name))
        if values["interfaces"] is None:
            raise AnsibleActionFail("{0}: {1}interfaces is null, which is no list of rules".format(name, _PREFIX))
        for key, kind in _VARIABLES.items():
            if values[key] is None and kind is not str:
                values[key] = kind()
            if not isinstance(values[key], kind):
                raise AnsibleActionFail(
                    "{0}: {1}{2} has to be a {3}, and is {4!r}".format(name, _PREFIX, key, _KINDS[kind], values[key])
                )
        if not all(isinstance(pattern, str) for pattern in values["ignore"]):
            raise AnsibleActionFail("{0}: {1}ignore: a pattern is not a text".format(name, _PREFIX))
        if not values["node"]:
            raise AnsibleActionFail(
                "{0}: {1}node is empty; set it to the name of this host as Felix knows it".format(name, _PREFIX)
            )
        values["node"] = self._calicos_name(values["node"])
        try:
            check_nodes(_PREFIX + "node", [values["node"]], self._api_version)
        except InvalidInput as exc:
            raise AnsibleActionFail("{0}: {1}".format(name, exc)) from exc
        return dict(values, group_names=raw["group_names"])

    def _templated(
        self, name: str, variables: Dict[str, Any], keys: Iterable[str] = tuple(_VARIABLES)
    ) -> Dict[str, Any]:
        values = {}
        before = self._templar.available_variables
        self._templar.available_variables = variables
        try:
            for key in keys:
                variable = _PREFIX + key
                values[key] = self._templar.template(variables.get(variable))
        except AnsibleError as exc:
            raise AnsibleActionFail("{0}: {1}: {2}".format(name, variable, exc)) from exc
        finally:
            self._templar.available_variables = before
        return values

    def _apply(
        self, endpoints: List[Dict[str, Any]], arguments: Dict[str, Any], task_vars: Dict[str, Any]
    ) -> Dict[str, Any]:
        """One call of the module, with the endpoints in a file: as a parameter they would cost Ansible seconds."""
        folder = self._make_tmp_path()
        try:
            path = self._connection._shell.join_path(folder, "hostendpoints.json")
            self._transfer_data(path, json.dumps(endpoints))
            return self._execute_module(
                module_name="netsec.calico.calico_hostendpoints",
                module_args=dict(arguments, src=path),
                task_vars=task_vars,
            )
        finally:
            self._remove_tmp_path(folder)


def _api_version(arguments: Mapping[str, Any]) -> str:
    """The generation of what the datastore holds that the task, the controller's environment or the file tells."""
    try:
        settings = settings_from(arguments, os.environ)
    except CalicoError as exc:
        raise AnsibleActionFail(str(exc)) from exc
    return API_VERSIONS[settings.datastore_type]


def _endpoints_of(hosts: List[Tuple[Host, List[Any]]], api_version: str) -> List[Dict[str, Any]]:
    """The endpoints of all hosts. Checked here, where a message can still say which host and variable it is about."""
    items = [item for host, by_hand in hosts for item in _items(host, by_hand)]
    try:
        presents_from(items, api_version, {}, ("{0.node}/{0.name}" if api_version == V1 else "{0.name}").format)
    except InvalidInput as exc:
        raise AnsibleActionFail(str(exc)) from exc
    return [endpoint for _where, endpoint in items]


def _items(host: Host, by_hand: List[Any]) -> Iterator[Item]:
    """The endpoints of a host, each with the place that it comes from."""
    name = host.inventory_hostname
    try:
        verdicts = verdicts_of(host)
    except RuleError as exc:
        raise AnsibleActionFail("{0}: hostendpoints_interfaces: {1}".format(name, exc)) from exc
    for verdict in verdicts:
        if verdict.endpoint is not None:
            where = "{0}: hostendpoints_interfaces: rule {1}, for {2}".format(name, verdict.rule, verdict.interface)
            yield where, verdict.endpoint
    for index, endpoint in enumerate(by_hand):
        where = "{0}: hostendpoints_endpoints[{1}]".format(name, index)
        if isinstance(endpoint, Mapping):
            if endpoint.get("node") not in (None, host.node):
                raise AnsibleActionFail(
                    "{0}: node {1!r} is not this host's, which is {2!r}; give the endpoint to the host that it is "
                    "for".format(where, endpoint["node"], host.node)
                )
            endpoint = dict(endpoint, node=host.node)
        yield where, endpoint


def _check_same(name: str, raw: Mapping[str, Any], first: Dict[str, Any]) -> None:
    """Raise AnsibleActionFail when the host wants another datastore or purge than the first one: a run has only one."""
    if not first:
        first.update({key: raw.get(_PREFIX + key) for key in _OF_THE_RUN}, name=name)
    for key in _differing(raw, first):
        # Without the values, of which one may be a password.
        raise AnsibleActionFail(
            "{0} and {1} differ in {2}{3}, which is one for all hosts of a run: give them plays of their own, or "
            "use --limit".format(first["name"], name, _PREFIX, key)
        )


def _differing(raw: Mapping[str, Any], first: Mapping[str, Any]) -> List[str]:
    """What a host wants otherwise than the first one, of that which is one for all."""
    return [key for key in _OF_THE_RUN if raw.get(_PREFIX + key) != first[key]]


def _claim(node: str, name: str, names: Dict[str, str]) -> None:
    """Note that the host is the node. Raises AnsibleActionFail when another one is, too."""
    if names.setdefault(node, name) != name:
        raise AnsibleActionFail(
            "{0} and {1} are both node {2!r} by their hostendpoints_node, so nothing was written".format(
                names[node], name, node
            )
        )


def _without_facts(names: List[str]) -> str:
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    return "no facts of {0} hosts, whose endpoints are left as they are: {1}".format(len(names), shown)
