# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List, Optional

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import join_first
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.task_guard import (
    build_required,
    is_guard_on,
    parse_guard_mode,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans.role_plan import (
    HOSTENDPOINTS,
    RolePlan,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans.task_plan import (
    COMPARE,
    WRITE,
    read_planned_policies,
    read_task_plan,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.action_with_files import (
    ActionWithFiles,
    warn_about_hosts,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.fleet import Fleet
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import Scope
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import (
    read_api_version,
    read_run_settings,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext

# Numbers that may be empty, as in an unanswered survey question.
_MAY_BE_EMPTY = ("canary", "guard_limit")
_SHOWN = 10
_HOSTS_KEPT = 100
# Warnings about hosts: their number, then their names and the reason.
_UNCHANGED = "hosts whose endpoints are not changed, because their facts cannot be used ({0}): {1}"
_LEFT = "hosts whose endpoints are not changed, because they left the play ({0}): {1}"
_BY_HAND = "hosts without facts, whose endpoints the guard cannot check ({0}): {1}"
_UNCOVERED = "hosts without an endpoint, so no policy applies to their interfaces ({0}): {1}"


class ActionModule(ActionWithFiles):
    """Run calico_hostendpoints once from the facts and variables of the play's hosts."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        run = read_run_settings(self._task, task_vars or {}, self._templar)
        plan = read_task_plan(run)
        if plan.mode == COMPARE and not plan.given:
            result.update(skipped=True, skip_reason="no plan is given")
            return result
        warnings = run.check()
        variables, arguments, task_vars = run.hosts, run.arguments, run.task_vars
        earlier = _earlier_nodes(variables, arguments.pop("registered_as", None))
        require_facts = boolean(arguments.pop("require_facts", False), strict=False)
        failing = run.get_variable_name("check_fails_on_change") if run.pop_flag("check_fails_on_change") else ""
        policies_result = arguments.pop("policies_result", None)
        policies = variables.registered(variables.runner(), str(policies_result)) if policies_result else {}
        planned = read_planned_policies(run, policies_result) if plan.mode == WRITE else None
        api_version = read_api_version(arguments)
        if arguments.get("purge_limit") in (None, "") and arguments.get("purge", "none") != "none":
            raise RunFailed("{0} is empty; set it to a number".format(run.get_variable_name("purge_limit")))
        for option in _MAY_BE_EMPTY:
            if arguments.get(option) in (None, ""):
                arguments.pop(option, None)
        arguments["guard"] = parse_guard_mode(arguments.get("guard"))
        if plan.mode == COMPARE:
            _restrict_to_comparison(arguments)
        elif planned and planned["changes"] and is_guard_on(arguments["guard"]):
            # The datastore does not have these policies yet. The run that applies the plan enforces.
            arguments["guard"] = "warn"
        is_guarded = is_guard_on(arguments["guard"])
        if is_guarded:
            arguments["guard_require"] = build_required(arguments)
        has_canary = str(arguments.get("canary", 0)) != "0"
        scopes = [Scope.HOST, Scope.RUN, Scope.WRITING, *([Scope.GUARD] if is_guarded else [])]
        fleet = Fleet(variables, self._templar, api_version, scopes=scopes, connects=has_canary, earlier=earlier)
        result["hosts"] = len(fleet.hosts)
        result["require_facts"] = require_facts
        if require_facts and (fleet.without_facts or fleet.by_hand):
            result["hosts_without_facts"] = [*fleet.without_facts, *fleet.by_hand]
            result.update(skipped=True, skip_reason="facts are missing")
            return result
        result["hosts_without_facts"] = list(fleet.without_facts)
        nodes = fleet.nodes()
        decommissioned = arguments.get("decommission_nodes") or []
        if isinstance(decommissioned, str):
            decommissioned = [node.strip() for node in decommissioned.split(",") if node.strip()]
        if isinstance(decommissioned, list):
            arguments["decommission_nodes"] = [fleet.canonical_node(str(node)) for node in decommissioned]
        arguments["purge_nodes"] = sorted(nodes.values())
        if arguments.get("purge", "none") != "none" and not arguments["purge_nodes"]:
            # Without participating hosts, the scope of the purge is empty.
            arguments["purge"] = "none"
        built = fleet.build_endpoints()
        contents: Dict[str, Any] = {"src": built.endpoints, **plan.build_contents(HOSTENDPOINTS)}
        if is_guarded or has_canary:
            contents["guard_facts_src"] = fleet.guard_facts()
            contents.update(_build_connectivity(fleet, variables))
        dest = "plan_dest" if plan.mode == WRITE else ""
        done = self.run_with_files("netsec.calico.calico_hostendpoints", contents, arguments, task_vars, dest)
        if dest and not done.get("failed"):
            done.update(plan.save(RolePlan(planned, done.pop(dest))))
        if is_guarded:
            done["warnings"] = done.get("warnings", []) + _assumed(
                contents["guard_facts_src"], done.get("changes") or []
            )
        if variables.has_batches():
            # Later batches must not use these nodes. A node with the name of its host is known anyway.
            done["nodes"] = {name: node for name, node in nodes.items() if name != node}
        result["hosts_without_endpoints"] = dict(list(built.uncovered.items())[:_HOSTS_KEPT])
        warnings += fleet.warnings() + warn_about_hosts(_UNCHANGED, fleet.without_facts)
        warnings += warn_about_hosts(_LEFT, _find_left(variables, HostVariables(variables, self._templar, api_version)))
        warnings += warn_about_hosts(_BY_HAND, fleet.by_hand) + warn_about_hosts(_UNCOVERED, built.uncovered)
        done["warnings"] = list(dict.fromkeys(warnings)) + done.get("warnings", [])
        result.update(done)
        self.add_report(result, "hostendpoints", arguments, failing, policies.get("report") or {})
        return result


def _build_connectivity(fleet: Fleet, context: TaskContext) -> Dict[str, Any]:
    """The module's option connectivity_src with its content; {} if no host has expectations."""
    if not fleet.has_connectivity():
        return {}
    # It imports much of the evaluation, which Ansible compiles anew in each run.
    # pylint: disable-next=import-outside-toplevel
    from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._connectivity.declared import build_connectivity

    return build_connectivity(fleet, context)


def _restrict_to_comparison(arguments: Dict[str, Any]) -> None:
    """Leave out what is for the writes: the task that applies the plan does it."""
    arguments["guard"] = "off"
    for option in ("guard_limit", "server_dry_run", "canary", "canary_wait"):
        arguments.pop(option, None)


def _earlier_nodes(context: TaskContext, registered_as: Any) -> Dict[str, str]:
    """Return {host: node} of the hosts of earlier batches, from their results of this task."""
    found: Dict[str, str] = {}
    for name in context.all_names() if registered_as else ():
        if name not in found:
            found.update(context.registered(name, str(registered_as)).get("nodes") or {})
    return found


def _find_left(context: TaskContext, reader: HostVariables) -> Dict[str, str]:
    """Return the hosts for which the role is called, and which failed before, with the reason."""
    present = set(context.names())
    left = [name for name in context.unbatched() if name not in present and reader.takes_part(name, has_facts=False)]
    return dict.fromkeys(left, "they were unreachable, or a task failed or ended the play for them")


def _assumed(guard_facts: Mapping[str, Any], changes: List[Mapping[str, Any]]) -> List[str]:
    """Return a warning about changing nodes whose own side of Ansible's connection is unknown."""
    changing = {change["node"] for change in changes}
    nodes = [node for node, facts in guard_facts.items() if facts.get("ssh") == {} and node in changing]
    if not nodes:
        return []
    text = (
        "guard G03: Ansible reaches {0} nodes at an address of the controller, for example through a forwarded port, "
        "so the port of their sshd is unknown, and 22 is assumed: {1}. Gather the fact SSH_CONNECTION (subset env) to "
        "determine it"
    )
    return [text.format(len(nodes), _listed(nodes))]


def _listed(names: List[str]) -> str:
    return join_first(names, _SHOWN)
