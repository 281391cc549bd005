# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from typing import Any, Dict, List, Optional, Set

from ansible.errors import AnsibleError

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief, file_problem, shown
from ansible_collections.netsec.calico.plugins.module_utils._module.results import FAILURES_SIZE, bounded
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._connectivity.declared import build_connectivity
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.task_guard import build_required
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.gathering import explain_gathering
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.action_with_files import ActionWithFiles
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.fleet import Fleet
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import Scope
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import (
    read_api_version,
    read_run_settings,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext, has_template
from ansible_collections.netsec.calico.plugins.plugin_utils._report.banner import format_banner
from ansible_collections.netsec.calico.plugins.plugin_utils._report.build import FAIL_ON, build_report
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError
from ansible_collections.netsec.calico.plugins.plugin_utils._report.exceptions import (
    AuditException,
    read_exceptions,
    warn_about_unused,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.files import FORMATS, remove_reports, write_reports

# The variables that count.
_SCOPES = (Scope.HOST, Scope.RUN, Scope.AUDIT, Scope.GUARD)
# Variables that AWX sets for a job, and their names in the report.
_PROVENANCE = {"awx_job_id": "AWX job", "awx_job_template_name": "template", "awx_project_revision": "revision"}


class ActionModule(ActionWithFiles):
    """Run calico_hostendpoints_audit once from the facts and variables of the play's hosts, and write reports."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        run = read_run_settings(self._task, task_vars or {}, self._templar)
        variables, arguments, task_vars = run.hosts, run.arguments, run.task_vars
        folder = _folder(run.get_variable_name("report_dir"), arguments.pop("report_dir", None))
        # If this audit fails, reports of an older audit must not be mistaken for its reports.
        _remove(folder)
        warnings = run.check()
        formats = arguments.pop("report_formats", None)
        formats = (
            list(FORMATS) if formats is None else _choices(run.get_variable_name("report_formats"), formats, FORMATS)
        )
        fail_on = _choices(run.get_variable_name("fail_on"), arguments.pop("fail_on", None), FAIL_ON)
        exceptions = _exceptions(run.get_variable_name("exceptions"), arguments.pop("exceptions", None), variables)
        if variables.has_batches():
            raise RunFailed("an audit covers all hosts at once; remove serial and the strategy free")
        not_gathered = _not_gathered(variables, arguments.pop("facts_result", None))
        policies = _read_policies(variables, arguments.pop("policies_result", None))
        fleet = Fleet(variables, self._templar, read_api_version(arguments), not_gathered, _SCOPES)
        nodes = fleet.nodes()
        unknown = self._unknown(fleet, variables, not_gathered)
        arguments["nodes"] = sorted(nodes.values())
        arguments.update(_others(fleet, variables))
        arguments["guard_require"] = build_required(arguments)
        built = fleet.build_endpoints()
        contents = {"src": built.endpoints, "guard_facts_src": fleet.guard_facts()}
        contents.update(build_connectivity(fleet, variables))
        found = self._audit(contents, arguments, task_vars, result)
        if found is None:
            return result
        report = build_report(
            found,
            nodes,
            unknown,
            built.uncovered,
            arguments.get("owner") or "",
            fail_on,
            _generated(variables),
            policies,
            {name: variables.groups(name) for name in [*nodes, *unknown]},
            built.endpoints,
            exceptions,
        )
        others = [name for name in variables.inventory() if name not in nodes]
        unused = warn_about_unused(exceptions, report["findings"], nodes, others, report["unknown_expectations"])
        warnings += [*fleet.warnings(), *unused]
        result["warnings"] = list(dict.fromkeys(warnings)) + result.get("warnings", [])
        paths = _written(report, folder, formats)
        unknown = {**built.uncovered, **unknown}
        unknown_hosts = bounded(sorted(unknown), FAILURES_SIZE)
        result.update(
            {key: report[key] for key in ("summary", "reason", "datastore")},
            fails=report["failed"],
            reports=paths,
            banner=format_banner(report, paths),
            unknown_hosts=unknown_hosts,
            unknown_hosts_omitted=len(unknown) - len(unknown_hosts),
        )
        return result

    def _unknown(self, fleet: Fleet, variables: TaskContext, not_gathered: Mapping[str, str]) -> Dict[str, str]:
        """Return the reason for each host of the play that is not compared."""
        unknown = {
            name: not_gathered.get(name) or "its facts cannot be used: " + reason
            for name, reason in fleet.without_facts.items()
        }
        for name in variables.all_names():
            if name in unknown or name in variables.names() or not self._may_take_part(name, variables):
                continue
            unknown[name] = "it left the play: it was unreachable, or a task failed or ended the play for it"
        return unknown

    def _may_take_part(self, name: str, variables: TaskContext) -> bool:
        try:
            return variables.takes_part(name, self._templar)
        except AnsibleError:
            # The condition uses facts, which are missing.
            return True

    def _audit(
        self,
        contents: Dict[str, Any],
        arguments: Dict[str, Any],
        task_vars: Dict[str, Any],
        result: Dict[str, Any],
    ) -> Optional[Dict[str, Any]]:
        """Return all findings of the module. None if it failed; the result then contains the reason."""
        options = dict(arguments, policies=True)
        done = self.run_with_files("netsec.calico.calico_hostendpoints_audit", contents, options, task_vars, "dest")
        if done.get("failed"):
            # The options hold the whole inventory.
            done.pop("invocation", None)
            result.update(done)
            return None
        result["warnings"] = done.get("warnings", [])
        found: Dict[str, Any] = done["dest"]
        return found


def _choices(where: str, values: Any, known: Any) -> List[str]:
    """Return a list option in any form that Ansible accepts, without duplicates."""
    if values is None:
        return []
    if isinstance(values, str):
        values = [value.strip() for value in values.split(",") if value.strip()]
    if not isinstance(values, (list, tuple)):
        raise RunFailed("{0}: {1} is not a list of {2}".format(where, shown(values), ", ".join(known)))
    unknown = [brief(value) for value in values if not isinstance(value, str) or value not in known]
    if unknown:
        raise RunFailed("{0}: {1} is unknown; use {2}".format(where, ", ".join(unknown[:10]), ", ".join(known)))
    return list(dict.fromkeys(values))


def _folder(where: str, report_dir: Any) -> str:
    if not isinstance(report_dir, (str, type(None))):
        raise RunFailed("{0}: {1} is not a path".format(where, shown(report_dir)))
    try:
        return os.path.abspath(os.path.expanduser(report_dir)) if report_dir else ""
    except ValueError as exc:
        raise RunFailed("{0} {1}: {2}".format(where, brief(report_dir, 255), file_problem(exc))) from exc


def _remove(folder: str) -> None:
    try:
        if folder:
            remove_reports(folder)
    except ReportError as exc:
        raise RunFailed(str(exc)) from exc


def _exceptions(where: str, values: Any, variables: TaskContext) -> List[AuditException]:
    def hosts_of(group: str) -> List[str]:
        return variables.hosts_of_group(group) if variables.is_group(group) else []

    try:
        return read_exceptions(where, values, hosts_of, datetime.datetime.now(datetime.timezone.utc).date())
    except ReportError as exc:
        raise RunFailed(str(exc)) from exc


def _not_gathered(variables: TaskContext, facts_result: Any) -> Dict[str, str]:
    """Return the hosts whose facts could not be gathered, and why. Their cached facts may be older."""
    names = variables.all_names() if facts_result else ()
    reasons = {name: explain_gathering(variables.registered(name, str(facts_result))) for name in names}
    return {name: reason for name, reason in reasons.items() if reason}


def _read_policies(variables: TaskContext, policies_result: Any) -> Optional[Mapping[str, Any]]:
    """The result of the task that compared the policies; None if it compared nothing."""
    result = variables.registered(variables.runner(), str(policies_result)) if policies_result else {}
    if result.get("failed"):
        raise RunFailed("the policies could not be compared: {0}".format(result.get("msg")))
    if result.get("changes_omitted"):
        raise RunFailed("{0} differences of policies do not fit into a report".format(result["changes_omitted"]))
    # As plain values: before ansible-core 2.19, registered strings have a type that YAML parsers reject.
    found: Mapping[str, Any] = json.loads(json.dumps({key: result.get(key) for key in ("changes", "diff")}))
    return found if found["changes"] is not None else None


def _others(fleet: Fleet, variables: TaskContext) -> Dict[str, Any]:
    """Return the nodes of all other hosts of the inventory, and the possible node names if a node is unknown."""
    compared = fleet.nodes()
    nodes: Set[str] = set()
    hosts: Dict[str, List[str]] = {}
    for name in variables.inventory():
        if name in compared:
            continue
        raw = variables.without_facts(name)
        node = fleet.find_node(name, raw)
        if node:
            nodes.add(node)
        else:
            address = raw.get("ansible_host")
            hosts[name] = [name, address] if isinstance(address, str) and not has_template(address) else [name]
    return {"other_nodes": sorted(nodes), "other_hosts": hosts}


def _generated(variables: TaskContext) -> str:
    known = variables.without_facts(variables.runner())
    parts = [datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")]
    parts += ["{0} {1}".format(text, known[key]) for key, text in _PROVENANCE.items() if known.get(key)]
    return ", ".join(parts)


def _written(report: Mapping[str, Any], folder: str, formats: List[str]) -> Dict[str, str]:
    if not folder:
        return {}
    try:
        return write_reports(report, folder, formats)
    except ReportError as exc:
        raise RunFailed(str(exc)) from exc
