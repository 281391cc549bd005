# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds an inventory of role variables that declare the stored endpoints. Plain Python, without Ansible."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Dict, List, Optional, Set

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._module._input.endpoint_set import build_presents
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import CALICO_OWNER_LABEL

# The role's owner label.
OWNER_LABEL = "app.kubernetes.io/managed-by"

_HEAD = """---
# The stored host endpoints as variables of the role netsec.calico.hostendpoints. Use it next to the inventory:
#     ansible-playbook netsec.calico.apply -i inventory -i {name} --check --diff
"""
_LEFT_OUT = "# Left out of this file:\n"


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The hosts of the inventory and their nodes."""

    # {host: node} of the hosts of the run.
    nodes: Mapping[str, str]
    # Hosts of the run whose node is the role's default.
    default_nodes: Set[str]
    # Hosts of the run whose node is unknown.
    unknown: Sequence[str] = ()
    # {node: host} of the inventory's other hosts.
    others: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Gathered:
    """The variables of each host, and everything that is left out."""

    hosts: Dict[str, Dict[str, Any]]
    # The required value of hostendpoints_owner; None if there are no endpoints.
    owner: Optional[str]
    # Number of Calico's own endpoints.
    foreign: int
    # A line for each item that is left out, with the reason.
    left_out: List[str]

    @property
    def endpoints(self) -> int:
        return sum(len(variables["hostendpoints_endpoints"]) for variables in self.hosts.values())

    def text(self, name: str) -> str:
        """The content of the inventory file with this name."""
        comments = _LEFT_OUT + "".join("# - {0}\n".format(line) for line in self.left_out) if self.left_out else ""
        group: Dict[str, Any] = {"hosts": self.hosts}
        if self.owner is not None:
            # The owner must be the same for all hosts of a run, including hosts that are added later.
            group["vars"] = {"hostendpoints_owner": self.owner}
        # PyYAML cannot write Ansible's string types.
        document = json.loads(json.dumps({"all": group}))
        return _HEAD.format(name=name) + comments + yaml_io.dump(document)


def build_gathered(
    stored: Sequence[Mapping[str, Any]], malformed: Sequence[Mapping[str, str]], hosts: Hosts, api_version: ApiVersion
) -> Gathered:
    """The variables that declare the stored endpoints, sorted by host and name.

    stored, malformed: as calico_hostendpoint_info returns them.
    """
    names = {node: name for name, node in hosts.nodes.items()}
    ours = [endpoint for endpoint in stored if CALICO_OWNER_LABEL not in endpoint["labels"]]
    left_out = [_line(each["key"], "Calico cannot read it: " + each["error"]) for each in malformed]
    left_out += [
        _line("host " + name, "its node is unknown; gather its facts or set hostendpoints_node")
        for name in hosts.unknown
    ]
    taken = []
    for endpoint in ours:
        reason = _why_not(endpoint, names, hosts.others, api_version)
        if reason:
            left_out.append(_line("host endpoint {name} on node {node}".format(**endpoint), reason))
        else:
            taken.append(endpoint)
    owner = _find_owner(taken)
    variables = {name: _variables(name, node, hosts.default_nodes) for name, node in sorted(hosts.nodes.items())}
    for endpoint in taken:
        variables[names[endpoint["node"]]]["hostendpoints_endpoints"].append(_fields(endpoint, owner))
    return Gathered(variables, owner, len(stored) - len(ours), sorted(left_out))


def _why_not(
    endpoint: Mapping[str, Any], names: Mapping[str, str], others: Mapping[str, str], api_version: ApiVersion
) -> str:
    """Why no host's variables can declare this endpoint; "" if they can."""
    node = endpoint["node"]
    if node in others:
        return "the host {0} is not in this run".format(others[node])
    if node not in names:
        return "the node is not a host of the inventory" + _similar(node, names)
    try:
        # It accepts no characters of a template.
        build_presents([("", endpoint)], api_version, {}, api_version.identify)
    except InvalidInput as exc:
        return "it is invalid as stored, and a purge of all would delete it: " + "; ".join(exc.problems)
    return ""


def _similar(node: str, names: Mapping[str, str]) -> str:
    """A question about hosts with a similar node name: a short or full name, or upper case."""
    short = node.lower().partition(".")[0]
    found = [name for known, name in names.items() if short and known.lower().partition(".")[0] == short]
    return "; is it the hostendpoints_node of {0}?".format(" or ".join(sorted(found)[:3])) if found else ""


def _find_owner(endpoints: Sequence[Mapping[str, Any]]) -> Optional[str]:
    owners = {endpoint["labels"].get(OWNER_LABEL) or "" for endpoint in endpoints}
    if not owners:
        return None
    return owners.pop() if len(owners) == 1 else ""


def _variables(name: str, node: str, default_nodes: Set[str]) -> Dict[str, Any]:
    given = {} if name in default_nodes else {"hostendpoints_node": node}
    return dict(given, hostendpoints_interfaces=[], hostendpoints_endpoints=[])


def _fields(endpoint: Mapping[str, Any], owner: Optional[str]) -> Dict[str, Any]:
    """An item of hostendpoints_endpoints, without empty fields and without the owner label of all endpoints."""
    labels = {key: value for key, value in endpoint["labels"].items() if not (owner and key == OWNER_LABEL)}
    fields = dict(endpoint, labels=labels)
    del fields["node"]
    return {field: value for field, value in fields.items() if value}


def _line(subject: str, reason: str) -> str:
    """A line for a comment, which a stored value must not end."""
    text = "{0}: {1}".format(subject, reason)
    return "".join(letter if letter.isprintable() else "?" for letter in text[:2000])
