# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import (
    InvalidInput,
    brief,
    file_problem,
    join_first,
    shown,
)
from ansible_collections.netsec.calico.plugins.module_utils._core.replaced_file import replace_file
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.verdict import UNKNOWN
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.evaluate import (
    MET,
    evaluate_connectivity,
)
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.hosts import parse_connectivity
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._check.declared_state import (
    build_declared_state,
    read_api_version_without_datastore,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._check.recorded_facts import read_recorded_facts
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._check.results import (
    CheckResult,
    as_junit,
    build_result,
    count_statuses,
    format_counts,
    format_lines,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._connectivity.declared import build_connectivity
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.declared import (
    SOURCES,
    build_declared_items,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.library import OPTIONS, parse_list
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.networks import InventoryNetworks
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.fleet import Fleet
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import Scope
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import RunSettings, read_run_settings

_SHOWN = 10


class ActionModule(ActionBase):
    """Evaluate the expectations of the play's hosts by declared policies, without a datastore."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        run = read_run_settings(self._task, task_vars or {}, self._templar)
        junit = _read_path(run, "junit")
        # If this check fails, an older file must not be mistaken for its result.
        _remove(junit)
        if run.hosts.has_batches():
            raise RunFailed("policies are checked for all hosts at once; remove serial and the strategy free")
        warnings = _use_recorded_facts(run) + run.check()
        api_version = read_api_version_without_datastore(run)
        fleet = Fleet(run.hosts, self._templar, api_version, scopes=(Scope.HOST, Scope.RUN, Scope.GUARD))
        warnings += fleet.warnings() + _find_missing_hosts(run)
        declared = {option: run.arguments.get(option) for option in (*SOURCES, *OPTIONS)}
        reader = HostVariables(run.hosts, self._templar, api_version)
        networks = InventoryNetworks(run.hosts, reader)
        policies = build_declared_items(run, self._templar, declared, api_version, reader, networks)
        warnings += networks.warnings()
        endpoints = fleet.build_endpoints().endpoints
        state = build_declared_state(run, self._templar, api_version, policies, endpoints)
        if state.skipped:
            text = "manifests that are not evaluated: {0}"
            kinds = ["{0} {1}".format(number, kind) for kind, number in sorted(state.skipped.items())]
            warnings.append(text.format(join_first(kinds, _SHOWN)))
        results = _evaluate(fleet, run, state.evaluator)
        _write(junit, as_junit(results))
        counts = count_statuses(results)
        reason = format_counts(results, len(fleet.hosts))
        result.update(
            results=[each._asdict() for each in results],
            summary=counts,
            lines=format_lines(results, reason),
            reason=reason,
            # A check that checks nothing must not pass.
            fails=counts[MET] != len(results) or not results,
            warnings=list(dict.fromkeys(warnings)),
        )
        return result


def _evaluate(fleet: Fleet, run: RunSettings, evaluator: Evaluator) -> List[CheckResult]:
    """The results of all expectations, and one for each host whose facts cannot be used."""
    declared = build_connectivity(fleet, run.hosts).get("connectivity_src")
    try:
        found = evaluate_connectivity(evaluator, parse_connectivity(declared, {}))
    except InvalidInput as exc:
        raise RunFailed(str(exc)) from exc
    text = "the facts cannot be used, so its endpoints and its expectations are unknown: {0}"
    unknown = [CheckResult(name, "facts", UNKNOWN, text.format(why)) for name, why in fleet.without_facts.items()]
    return [*map(build_result, found), *unknown]


def _find_missing_hosts(run: RunSettings) -> List[str]:
    """A warning about the hosts of the inventory whose endpoints are not evaluated."""
    missing = sorted(set(run.hosts.inventory()).difference(run.hosts.all_names()))
    text = "hosts of the inventory that are not part of this run, so they have no endpoints in this check ({0}): {1}"
    return [text.format(len(missing), join_first(missing, _SHOWN))] if missing else []


def _use_recorded_facts(run: RunSettings) -> List[str]:
    """Replace the hosts' facts by recorded facts, if they are given. Returns warnings. Raises RunFailed."""
    where = run.get_variable_name("facts")
    try:
        recorded, foreign = read_recorded_facts(where, parse_list(where, run.arguments.get("facts")), run.hosts.is_host)
    except InvalidInput as exc:
        raise RunFailed(str(exc)) from exc
    run.hosts.use_recorded_facts(recorded)
    text = (
        "{0}: the inventory has no host of these files, whose names must be those of hosts, with or without .json: {1}"
    )
    return [text.format(where, join_first(foreign, _SHOWN))] if foreign else []


def _read_path(run: RunSettings, option: str) -> str:
    value = run.arguments.get(option)
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise RunFailed("{0}: {1} is not a path".format(run.get_variable_name(option), shown(value)))
    return os.path.abspath(os.path.expanduser(value))


def _remove(path: str) -> None:
    try:
        if path:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise RunFailed("cannot remove the older file {0}: {1}".format(brief(path, 255), file_problem(exc))) from exc


def _write(path: str, content: bytes) -> None:
    try:
        if path:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            replace_file(path, content)
    except OSError as exc:
        raise RunFailed("cannot write {0}: {1}".format(brief(path, 255), file_problem(exc))) from exc
