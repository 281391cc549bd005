# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock-out guard's settings of a run's hosts: Ansible's connections to them, and their variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from ansible import constants
from ansible.plugins.loader import connection_loader

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, shown
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.dns import resolved
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.ssh_facts import (
    CONNECTION,
    build_guard_facts,
    is_ssh,
    unresolved,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interface_rules import HostInput
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import PREFIX, Scope, list_names
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext, has_template

# The options of Ansible's SSH connection, and the variables that override them.
_SSH_OPTIONS = {
    "port": "ansible_port",
    "ssh_args": "ansible_ssh_args",
    "ssh_common_args": "ansible_ssh_common_args",
    "ssh_extra_args": "ansible_ssh_extra_args",
}
_VARIABLES = list_names(Scope.GUARD)


class HostGuard(NamedTuple):
    """The guard's settings of one host."""

    # The variables of CONNECTION that the host has.
    connection: Mapping[str, Any]
    require: Sequence[Mapping[str, Any]] = ()
    # Empty if the datastore determines them.
    failsafes: Mapping[str, Any] = {}
    dataplane: str = ""
    # The values of the variables connectivity and group_connectivity, not validated.
    connectivity: Any = None
    group_connectivity: Any = None


def read_host_guard(
    name: str, raw: Dict[str, Any], reader: HostVariables, context: TaskContext, is_guarded: bool
) -> HostGuard:
    """The guard's settings of a host; without the guard, only its connection. Raises RunFailed.

    `raw`: the host's variables without its facts.
    """
    connection = _read_connection(name, raw, reader, context)
    if not is_guarded:
        return HostGuard(connection)
    values = reader.evaluate(name, raw, _VARIABLES, with_facts=True)
    return HostGuard(
        connection,
        _parse_require(name, values["guard_require"]),
        _parse_failsafes(name, values["failsafes"]),
        _parse_dataplane(name, values["dataplane"]),
        values["connectivity"],
        values["group_connectivity"],
    )


def read_felix_facts(name: str, raw: Dict[str, Any], reader: HostVariables) -> Dict[str, Any]:
    """What the variables of a host, which may be outside the run, state about its Felix. Raises RunFailed."""
    values = reader.evaluate(name, raw, ("failsafes", "dataplane"), with_facts=True)
    return build_felix_facts(_parse_failsafes(name, values["failsafes"]), _parse_dataplane(name, values["dataplane"]))


def build_felix_facts(failsafes: Mapping[str, Any], dataplane: str) -> Dict[str, Any]:
    """The keys of guard_facts about a host's Felix, without those that the datastore determines."""
    return {key: value for key, value in (("failsafes", failsafes), ("dataplane", dataplane)) if value}


def build_all_guard_facts(hosts: Sequence[Tuple[HostInput, HostGuard]]) -> Dict[str, Dict[str, Any]]:
    """{node: its guard facts}. Raises RunFailed for variables that do not define a connection."""
    by_configuration: Dict[str, Any] = {}
    if any(is_ssh(guard.connection) for _host, guard in hosts):
        by_configuration = _read_ssh_configuration()
    known = [
        (host, host.inventory_hostname, guard, _complete(guard.connection, by_configuration)) for host, guard in hosts
    ]
    names = {_about_connection(unresolved, name, host.facts, connection) for host, name, _guard, connection in known}
    addresses = resolved(names - {""})
    found: Dict[str, Dict[str, Any]] = {}
    for host, name, guard, connection in known:
        facts = _about_connection(build_guard_facts, name, host.facts, connection, addresses)
        facts["require"] += guard.require
        facts.update(build_felix_facts(guard.failsafes, guard.dataplane))
        found[host.node] = facts
    return found


# --- the connection ---


def _read_connection(name: str, raw: Dict[str, Any], reader: HostVariables, context: TaskContext) -> Dict[str, Any]:
    found = {key: raw[key] for key in CONNECTION if raw.get(key) is not None}
    found = _complete(found, context.connection())
    if any(has_template(value) for value in found.values()):
        # Without facts, by which a host could choose where a canary connects to.
        found = {key: reader.template(name, key, value, raw, with_facts=False) for key, value in found.items()}
    return found


def _complete(connection: Mapping[str, Any], by_default: Mapping[str, Any]) -> Dict[str, Any]:
    """A connection, with defaults for what it does not set."""
    if connection.get("ansible_ssh_port"):
        by_default = {key: value for key, value in by_default.items() if key != "ansible_port"}
    return {**by_default, **connection}


def _read_ssh_configuration() -> Dict[str, Any]:
    """The settings for SSH in ansible.cfg, the environment and the command line, by the variables' names."""
    # Ansible knows a plugin's options once it is loaded.
    connection_loader.get("ssh", class_only=True)
    found = {
        variable: constants.config.get_config_value(option, plugin_type="connection", plugin_name="ssh")
        for option, variable in _SSH_OPTIONS.items()
    }
    return {variable: value for variable, value in found.items() if value}


def _about_connection(function: Callable[..., Any], name: str, *known: Any) -> Any:
    """What a function returns of a host's connection. Raises RunFailed for an invalid connection."""
    try:
        return function(name, *known)
    except ValueError as exc:
        raise RunFailed("{0}: its connection: {1}".format(name, exc)) from exc


# --- the variables ---


def _parse_require(name: str, required: Any) -> List[Dict[str, Any]]:
    if not required:
        return []
    if not isinstance(required, list):
        raise RunFailed("{0}: {1}guard_require: {2} is not a list".format(name, PREFIX, shown(required)))
    # It imports the whole evaluation, and most hosts require nothing.
    # pylint: disable-next=import-outside-toplevel
    from ansible_collections.netsec.calico.plugins.module_utils._guard.required_connections import check_required

    try:
        check_required(required)
    except InvalidInput as exc:
        raise RunFailed("{0}: {1}{2}".format(name, PREFIX, exc)) from exc
    return required


def _parse_failsafes(name: str, failsafes: Any) -> Mapping[str, Any]:
    # An empty list has no direction, so it is an error.
    if failsafes in (None, "", {}):
        return {}
    # As for the required connections.
    # pylint: disable-next=import-outside-toplevel
    from ansible_collections.netsec.calico.plugins.module_utils._policies._felix.failsafes import parse_failsafes

    try:
        parse_failsafes(failsafes, PREFIX + "failsafes")
    except InvalidInput as exc:
        raise RunFailed("{0}: {1}".format(name, exc)) from exc
    checked: Mapping[str, Any] = failsafes
    return checked


def _parse_dataplane(name: str, dataplane: Any) -> str:
    if dataplane in (None, ""):
        return ""
    # As for the required connections.
    # pylint: disable-next=import-outside-toplevel
    from ansible_collections.netsec.calico.plugins.module_utils._guard.required_connections import parse_dataplane

    try:
        return parse_dataplane(dataplane, PREFIX + "dataplane")
    except InvalidInput as exc:
        raise RunFailed("{0}: {1}".format(name, exc)) from exc
