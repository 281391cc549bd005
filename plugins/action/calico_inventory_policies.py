# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import join_first
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._connectivity.declared import build_connectivity
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.task_guard import (
    build_required,
    is_guard_on,
    parse_guard_mode,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans.role_plan import POLICIES
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._plans.task_plan import (
    WRITE,
    pack_policies,
    read_task_plan,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.declared import (
    SOURCES,
    build_declared_items,
    check_hosts,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.library import (
    EMPTY,
    OPTIONS,
    list_unknown_sets,
    parse_list,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.networks import InventoryNetworks
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.sources import check_items
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.action_with_files import (
    ActionWithFiles,
    warn_about_hosts,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.fleet import Fleet
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import Scope
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import (
    RunSettings,
    read_api_version,
    read_run_settings,
)

# The kind of the role hostendpoints, and records of nodes, which Calico's own agents write.
_NEVER_PURGED = ("HostEndpoint", "Node")
_UNCOMPARED = "the networks of {0} are not compared, because the facts of {1} hosts cannot be used: {2}"
# Options that are unset if they are empty, as an unanswered survey question is.
_MAY_BE_EMPTY = ("purge", "guard_limit", "calico_version", "canary", "canary_hosts", "canary_wait")
_UNCHECKED = "hosts without facts, for which neither the guard nor the canary can check the policies ({0}): {1}"
_SHOWN = 10


class ActionModule(ActionWithFiles):
    """Run calico_resources once with the policies that the inventory declares."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        run = read_run_settings(self._task, task_vars or {}, self._templar)
        warnings = run.check()
        arguments = run.arguments
        declared = {option: arguments.pop(option, None) for option in (*SOURCES, *OPTIONS)}
        is_audit = boolean(arguments.pop("audit", False), strict=False)
        failing = run.get_variable_name("check_fails_on_change") if run.pop_flag("check_fails_on_change") else ""
        for option in _MAY_BE_EMPTY:
            if arguments.get(option) in (None, ""):
                arguments.pop(option, None)
        is_purging = arguments.get("purge", "none") != "none"
        plan = read_task_plan(run)
        if not is_purging and all(declared[option] in EMPTY for option in SOURCES):
            # Hosts other than the first one may declare policies.
            check_hosts(run, HostVariables(run.hosts, self._templar, read_api_version(arguments)))
            plan.check_no_policies()
            result.update(skipped=True, skip_reason="no policies are declared")
            return result
        api_version = read_api_version(arguments)
        if not all(schema.has_owner for schema in api_version.schemas.values()):
            # The policies of Calico v1 have no labels.
            arguments.pop("owner", None)
        if is_audit:
            _prepare_audit(run, arguments)
        elif is_purging:
            _check_purge(run, arguments)
        reader = HostVariables(run.hosts, self._templar, api_version)
        networks = InventoryNetworks(run.hosts, reader, is_audit)
        items = build_declared_items(run, self._templar, declared, api_version, reader, networks)
        warnings += networks.warnings()
        check_items(items, api_version)
        if is_purging and not is_audit and not items:
            _check_empty_set(run, declared)
        if arguments.get("purge") == "owned":
            arguments["purge_kinds"] = [kind for kind in api_version.schemas if kind not in _NEVER_PURGED]
        contents: Dict[str, Any] = {"src": [item for _place, item in items], **plan.build_contents(POLICIES)}
        arguments["guard"] = parse_guard_mode(arguments.get("guard"))
        is_guarded = is_guard_on(arguments["guard"])
        has_canary = str(arguments.get("canary_hosts", 0)) != "0"
        if is_guarded:
            arguments["guard_require"] = build_required(arguments)
        if is_guarded or has_canary:
            scopes = [Scope.HOST, Scope.RUN, Scope.WRITING, *([Scope.GUARD] if is_guarded else [])]
            fleet = Fleet(run.hosts, self._templar, api_version, scopes=scopes, connects=has_canary)
            contents["guard_facts_src"] = fleet.guard_facts()
            contents.update(build_connectivity(fleet, run.hosts))
            warnings += fleet.warnings() + warn_about_hosts(_UNCHECKED, {**fleet.without_facts, **fleet.by_hand})
        dest = "plan_dest" if plan.mode == WRITE else ""
        done = self.run_with_files("netsec.calico.calico_resources", contents, arguments, run.task_vars, dest)
        if dest and not done.get("failed"):
            done["plan_document"] = pack_policies(done.pop(dest))
        if networks.unknown:
            sets = list_unknown_sets(items, run.get_variable_name, networks.unknown)
            done = _without_updates(done, sets)
            hosts = sorted({host for reasons in networks.unknown.values() for host in reasons})
            warnings.append(_UNCOMPARED.format(join_first(sets, _SHOWN), len(hosts), join_first(hosts, _SHOWN)))
        done["warnings"] = list(dict.fromkeys(warnings)) + done.get("warnings", [])
        result.update(done)
        if not is_audit:
            self.add_report(result, "policies", arguments, failing)
        return result


def _check_purge(run: RunSettings, arguments: Dict[str, Any]) -> None:
    """Raise RunFailed for a purge without a limit or an owner."""
    if arguments.get("purge_limit") in (None, ""):
        raise RunFailed("{0} is empty; set it to a number".format(run.get_variable_name("purge_limit")))
    if not arguments.get("owner"):
        text = (
            "{0}: owned requires an owner, but {1} is empty, or the datastore is that of Calico v1, which has no owners"
        )
        raise RunFailed(text.format(run.get_variable_name("purge"), run.get_variable_name("owner")))


def _check_empty_set(run: RunSettings, declared: Mapping[str, Any]) -> None:
    """Raise RunFailed for a purge of everything, unless a variable or a file says so: group_vars may be missing."""
    name_of = run.get_variable_name
    is_written = declared["resources"] not in (None, "") and not run.is_template("resources")
    if not is_written and not parse_list(name_of("src"), declared["src"]):
        text = (
            "{0}: owned would delete all resources of the owner, because nothing is declared, and nothing was written; "
            "check that the variables of the policies are set, or, to delete all, write [] into {1}, without a template"
        )
        raise RunFailed(text.format(name_of("purge"), name_of("resources")))


def _prepare_audit(run: RunSettings, arguments: Dict[str, Any]) -> None:
    """Compare everything that the owner has, without a limit. The audit has its own guard. Raises RunFailed."""
    if run.hosts.has_batches():
        # The audit that follows fails, too, but each host would compare the policies before it.
        raise RunFailed("an audit covers all hosts at once; remove serial and the strategy free")
    # The findings use the diffs of updates only, and short diffs leave room for them.
    arguments.update(audit=True, guard="off", purge="owned" if arguments.get("owner") else "none", diff_style="short")
    for option in ("purge_limit", "guard_limit", "server_dry_run", "canary", "canary_hosts", "canary_wait"):
        arguments.pop(option, None)


def _without_updates(done: Dict[str, Any], sets: List[str]) -> Dict[str, Any]:
    """The result without the differences of network sets whose addresses are unknown."""
    changes = done.get("changes") or []
    left_out = {
        index
        for index, change in enumerate(changes)
        if (change["operation"], change["kind"]) == ("update", "GlobalNetworkSet") and change["name"] in sets
    }
    lists = {key: done[key] for key in ("changes", "diff") if isinstance(done.get(key), list)}
    kept = {key: [each for index, each in enumerate(value) if index not in left_out] for key, value in lists.items()}
    return {**done, **kept}
