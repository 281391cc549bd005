# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief, file_problem
from ansible_collections.netsec.calico.plugins.module_utils._core.replaced_file import (
    check_replaceable,
    regular_file,
    replace_file,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.results import DIFF_SIZE, FAILURES_SIZE, bounded
from ansible_collections.netsec.calico.plugins.plugin_utils._execution.in_place import ActionInPlace
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.fleet import Fleet
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.gathered_inventory import (
    Gathered,
    Hosts,
    build_gathered,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import PREFIX
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import (
    read_api_version,
    read_run_settings,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext

# The variable in the file that the inventory may override.
_OWNER = PREFIX + "owner"
# What Ansible replaces a secret with.
_MASKS = ("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "********")


class ActionModule(ActionInPlace):
    """Write the endpoints that calico_hostendpoint_info returns to an inventory file of the role's variables."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        run = read_run_settings(self._task, task_vars or {}, self._templar)
        warnings = run.check()
        variables, arguments, task_vars = run.hosts, run.arguments, run.task_vars
        owner = arguments.pop("owner", None)
        dest = _parse_path(run.get_variable_name("dest"), arguments.pop("dest", None))
        if variables.has_batches():
            raise RunFailed("the file covers all hosts at once; remove serial and the strategy free")
        api_version = read_api_version(arguments)
        hosts = _hosts(Fleet(variables, self._templar, api_version), variables)
        done = self._execute_module(
            module_name="netsec.calico.calico_hostendpoint_info", module_args=arguments, task_vars=task_vars
        )
        if done.get("failed"):
            result.update(done)
            return result
        _check_masked(done["hostendpoints"])
        gathered = build_gathered(done["hostendpoints"], done["malformed"], hosts, api_version)
        result["warnings"] = warnings + done.get("warnings", []) + _warnings(gathered)
        # A role's default does not override the file.
        if owner != variables.role_default(_OWNER):
            result["warnings"] += _owner_warnings(gathered, owner)
        content = gathered.text(os.path.basename(dest))
        result.update(_written(run.get_variable_name("dest"), dest, content, self._task.check_mode, self._task.diff))
        result.update(
            dest=dest,
            hosts=len(gathered.hosts),
            endpoints=gathered.endpoints,
            foreign=gathered.foreign,
            owner=gathered.owner,
            left_out=bounded(gathered.left_out, FAILURES_SIZE),
            left_out_count=len(gathered.left_out),
        )
        return result


def _parse_path(where: str, dest: Any) -> str:
    if not isinstance(dest, str) or not dest:
        raise RunFailed(
            "{0} is missing; set it to the path of the inventory file, for example -e {0}=hostendpoints.yml".format(
                where
            )
        )
    try:
        path = os.path.realpath(os.path.expanduser(dest))
    except ValueError as exc:
        raise RunFailed("{0} {1}: {2}".format(where, brief(dest, 255), file_problem(exc))) from exc
    if os.path.splitext(path)[1] not in (".yml", ".yaml"):
        # Ansible selects the inventory parser by the extension; scripts and INI files cannot contain lists.
        text = "{0} {1}: the name of a YAML inventory must end in .yml or .yaml"
        raise RunFailed(text.format(where, brief(dest, 255)))
    return path


def _hosts(fleet: Fleet, variables: TaskContext) -> Hosts:
    """Return the play's hosts, including unreachable hosts, with their nodes if known."""
    nodes = fleet.nodes()
    default_nodes = {
        host.name
        for host in fleet.hosts
        if fleet.canonical_node(host.input.facts.get("nodename", "")) == host.input.node
    }
    names = {node: name for name, node in nodes.items()}
    unknown = []
    for name in variables.all_names():
        node = nodes.get(name) or fleet.find_node(name)
        if not node:
            unknown.append(name)
        elif names.setdefault(node, name) != name:
            raise RunFailed("{0} and {1} are both node {2!r} (hostendpoints_node)".format(names[node], name, node))
        else:
            nodes[name] = node
    # A host whose node is unknown most likely has the name of its node.
    others = {fleet.find_node(name) or fleet.canonical_node(name): name for name in _others(variables)}
    return Hosts(nodes, default_nodes, unknown, {node: name for node, name in others.items() if node not in names})


def _others(variables: TaskContext) -> List[str]:
    mine = set(variables.all_names())
    return [name for name in variables.inventory() if name not in mine]


def _check_masked(hostendpoints: List[Mapping[str, Any]]) -> None:
    """Raise RunFailed if Ansible has masked parts of the stored endpoints."""
    text = json.dumps(hostendpoints)
    if any(mask in text for mask in _MASKS):
        raise RunFailed(
            "the stored endpoints contain the password of the datastore's user, which Ansible masks, so they cannot be "
            "read; use a user with another password"
        )


def _warnings(gathered: Gathered) -> List[str]:
    if not gathered.left_out:
        return []
    text = "{0} items are left out; the beginning of the file lists them"
    return [text.format(len(gathered.left_out))]


def _owner_warnings(gathered: Gathered, owner: Any) -> List[str]:
    if gathered.owner is None or (owner or "") == gathered.owner:
        return []
    text = (
        "{0} is {1!r}, but the file requires {2!r}; remove it from the inventory's other variables, which may override "
        "the file"
    )
    return [text.format(_OWNER, owner, gathered.owner)]


def _written(where: str, path: str, text: str, is_check: bool, is_diff: bool) -> Dict[str, Any]:
    """Write the text to the file if it differs. Raises RunFailed, also in check mode."""
    try:
        before = _read_content(path)
        if text != before and is_check:
            check_replaceable(path)
        elif text != before:
            replace_file(path, text.encode("utf-8"))
    except UnicodeDecodeError as exc:
        text = "{0} {1}: it is not UTF-8, so it is kept"
        raise RunFailed(text.format(where, brief(path, 255))) from exc
    except (OSError, ValueError) as exc:
        # From None, because newer versions of Ansible would repeat the message of the cause.
        raise RunFailed("{0} {1}: {2}".format(where, brief(path, 255), file_problem(exc))) from None
    result: Dict[str, Any] = {"changed": text != before}
    if is_diff:
        result["diff"] = _diff(path, before, text)
    return result


def _read_content(path: str) -> str:
    if regular_file(path) is None:
        return ""
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def _diff(path: str, before: str, after: str) -> Dict[str, str]:
    if len(before) + len(after) > DIFF_SIZE:
        # AWX does not keep larger results.
        return {"prepared": "{0}: too large to show\n".format(path)} if before != after else {}
    return {"before_header": path, "after_header": path, "before": before, "after": after}
