# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any, Dict, List, Optional, Set

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.netsec.calico.plugins.plugin_utils._audit_report import FAIL_ON, banner_of, report_of
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet import Fleet, api_version_of
from ansible_collections.netsec.calico.plugins.plugin_utils._host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._report import ReportError
from ansible_collections.netsec.calico.plugins.plugin_utils._reports import FORMATS, write_reports

# The result of the role's task that gathers facts: of a host that cannot be reached, older facts may be cached.
_GATHERED = "__hostendpoints_gathered"
# What AWX tells of the job, and how the report calls it.
_PROVENANCE = {"awx_job_id": "AWX job", "awx_job_template_name": "template", "awx_project_revision": "revision"}


class ActionModule(ActionBase):
    """Facts and variables of the play's hosts in, one call of calico_hostendpoints_audit and reports out."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        folder = arguments.pop("report_dir", None)
        formats = _choices("report_formats", arguments.pop("report_formats", None) or list(FORMATS), FORMATS)
        fail_on = _choices("fail_on", arguments.pop("fail_on", None) or [], FAIL_ON)
        variables = HostVariables(self._task, task_vars)
        if variables.has_batches():
            raise AnsibleActionFail("an audit is about all hosts at once: leave out serial and the strategy free")
        fleet = Fleet(variables, self._templar, api_version_of(arguments), _not_gathered(variables))
        nodes = fleet.nodes()
        unknown = self._unknown(fleet, variables)
        arguments["nodes"] = sorted(nodes.values())
        arguments["other_nodes"] = sorted(_other_nodes(fleet, variables))
        found = self._audit(fleet.endpoints(), arguments, task_vars, result)
        if found is None:
            return result
        report = report_of(found, nodes, unknown, arguments.get("owner") or "", fail_on, _generated(task_vars))
        paths = _written(report, folder, formats)
        result.update(
            {key: report[key] for key in ("summary", "reason", "datastore")},
            fails=report["failed"],
            reports=paths,
            banner=banner_of(report, paths),
            unknown_hosts=sorted(unknown),
        )
        return result

    def _unknown(self, fleet: Fleet, variables: HostVariables) -> Dict[str, str]:
        """Each host of the play that is not compared, and why."""
        unknown = dict(fleet.without_facts)
        for name in variables.all_names():
            if name in unknown or name in variables.names() or not variables.takes_part(name, self._templar):
                continue
            unknown[name] = "it could not be reached, or a task on it failed"
        return unknown

    def _audit(
        self,
        endpoints: List[Dict[str, Any]],
        arguments: Dict[str, Any],
        task_vars: Dict[str, Any],
        result: Dict[str, Any],
    ) -> Optional[Dict[str, Any]]:
        """All that the module found. None when it failed, and then the result says why."""
        folder = self._make_tmp_path()
        try:
            src, dest = (self._connection._shell.join_path(folder, name) for name in ("wanted.json", "found.json"))
            self._transfer_data(src, json.dumps(endpoints))
            done = self._execute_module(
                module_name="netsec.calico.calico_hostendpoints_audit",
                module_args=dict(arguments, src=src, dest=dest),
                task_vars=task_vars,
            )
            if done.get("failed"):
                result.update(done)
                return None
            result["warnings"] = done.get("warnings", [])
            with tempfile.TemporaryDirectory() as here:
                path = os.path.join(here, "found.json")
                self._connection.fetch_file(dest, path)
                with open(path, encoding="utf-8") as stream:
                    return json.load(stream)
        finally:
            self._remove_tmp_path(folder)


def _choices(option: str, values: Any, known: Any) -> List[str]:
    values = [values] if isinstance(values, str) else list(values)
    unknown = [str(value) for value in values if value not in known]
    if unknown:
        raise AnsibleActionFail("{0}: {1} is none of {2}".format(option, ", ".join(unknown), ", ".join(known)))
    return values


def _not_gathered(variables: HostVariables) -> Dict[str, str]:
    found = {}
    for name in variables.all_names():
        result = variables.registered(name, _GATHERED)
        if result.get("unreachable") or result.get("failed"):
            kind = "unreachable" if result.get("unreachable") else "no facts"
            found[name] = "{0}: {1}".format(kind, " ".join(str(result.get("msg", "")).split())[:200])
    return found


def _other_nodes(fleet: Fleet, variables: HostVariables) -> Set[str]:
    """The nodes of all other hosts of the inventory, as far as they are known; else a host is named like its node."""
    compared = fleet.nodes()
    names = [name for name in variables.inventory() if name not in compared]
    return {node for name in names for node in (fleet.node_of(name), fleet.calicos_name(name)) if node}


def _generated(task_vars: Mapping[str, Any]) -> str:
    parts = [datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")]
    parts += ["{0} {1}".format(text, task_vars[key]) for key, text in _PROVENANCE.items() if task_vars.get(key)]
    return ", ".join(parts)


def _written(report: Mapping[str, Any], folder: Optional[str], formats: List[str]) -> Dict[str, str]:
    if not folder:
        return {}
    try:
        return write_reports(report, os.path.abspath(os.path.expanduser(folder)), formats)
    except ReportError as exc:
        raise AnsibleActionFail(str(exc)) from exc
