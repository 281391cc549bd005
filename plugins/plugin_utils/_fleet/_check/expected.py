# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""INTERIM, replaced by the fleet part of declared connectivity."""

from __future__ import annotations

from typing import Any, Dict

from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.hosts import (
    Connectivity,
    parse_connectivity,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.ssh_facts import build_guard_facts
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.fleet import Fleet
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext

_LOCAL = {"ansible_connection": "local"}


def build_connectivity(fleet: Fleet, context: TaskContext, reader: HostVariables) -> Connectivity:
    inputs = {host.name: host for host in fleet.hosts}
    hosts: Dict[str, Any] = {}
    for name in context.inventory():
        raw = context.without_facts(name)
        found: Dict[str, Any] = {"node": fleet.find_node(name, raw)}
        if name in context.names():
            found["expectations"] = reader.evaluate(name, raw, ["connectivity"], with_facts=True)["connectivity"]
        host = inputs.get(name)
        if host and name not in fleet.by_hand:
            facts = build_guard_facts(name, host.input.facts, _LOCAL)
            facts.pop("require")
            if host.guard and host.guard.failsafes:
                facts["failsafes"] = host.guard.failsafes
            if host.guard and host.guard.dataplane:
                facts["dataplane"] = host.guard.dataplane
            found.update(node=host.input.node, facts=facts)
        hosts[name] = found
    groups = {group: context.hosts_of_group(group) for group in context._hostvars._inventory.groups}
    return parse_connectivity({"hosts": hosts, "groups": groups}, {}, "hostendpoints_connectivity")
