# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The variables that are one for a whole run, such as where the datastore is. No fact has a part in them.

A managed host chooses its facts and their names, and a fact beats a variable of the inventory in every template of a
playbook. So the options that are taken from variables are not templates there: an action plugin reads the variables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Dict, List, NamedTuple, Optional

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import CalicoError, brief
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings, get_api_version
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import check_spelling
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext, has_template

# How the names of this collection's variables begin.
PREFIXES = ("hostendpoints_", "calico_", "__hostendpoints_", "__calico_")
_SHOWN = 3


class RunSettings(NamedTuple):
    """What an action plugin works with."""

    hosts: TaskContext
    # The task's options, those of its option `variables` among them.
    arguments: Dict[str, Any]
    # The task's variables, with the Python that its module is run with.
    task_vars: Dict[str, Any]

    def check(self) -> List[str]:
        """Warnings about the variables. Raises RunFailed for facts that hold one, and for one that is misspelt."""
        check_facts(self.hosts)
        runner = self.hosts.runner()
        return check_spelling(runner, self.hosts.without_facts(runner))


def read_run_settings(task: Any, task_vars: Mapping[str, Any], templar: Any) -> RunSettings:
    """The options and variables of a task, past the facts. Raises RunFailed for what cannot be templated."""
    hosts = TaskContext(task, task_vars)
    arguments = _take_variables(task.args, hosts, templar)
    python = arguments.pop("python_interpreter", None)
    return RunSettings(hosts, arguments, _with_interpreter(task_vars, task.delegate_to, python))


def read_api_version(arguments: Mapping[str, Any]) -> ApiVersion:
    """The API version of the resources in the task's datastore. Raises RunFailed.

    As in the modules, the controller's environment and calicoctl's file may name the datastore.
    """
    try:
        return get_api_version(build_settings(arguments, os.environ))
    except CalicoError as exc:
        raise RunFailed(str(exc)) from exc


def check_facts(variables: TaskContext) -> None:
    """Raise RunFailed when the facts of a host of this run hold a variable of this collection.

    The role ignores such a fact, but a template of somebody else's may not. And whoever sends it is up to something.
    """
    for name in dict.fromkeys([variables.runner(), *variables.names(), *variables.unbatched()]):
        found = sorted(key for key in map(str, variables.fact_names(name)) if key.startswith(PREFIXES))
        if found:
            names = ", ".join(brief(key) for key in found[:_SHOWN]) + (", ..." if found[_SHOWN:] else "")
            raise RunFailed(
                "{0}: its facts hold {1}, and nothing was done: variables of this collection must not be facts, which "
                "the host itself chooses. If the host sent them, it may be compromised: leave it out with --limit, and "
                "examine it. If set_fact with cacheable set them, set them in the inventory, and clear the fact cache "
                "with --flush-cache".format(name, names)
            )


def _take_variables(arguments: Mapping[str, Any], variables: TaskContext, templar: Any) -> Dict[str, Any]:
    """The task's options, with `variables`, {option: name of a variable}, replaced by what those variables hold.

    A variable that is not defined, null or omitted leaves its option as it is. Raises RunFailed for a
    variable that cannot be templated.
    """
    found = dict(arguments)
    named = found.pop("variables", None) or {}
    if not isinstance(named, Mapping) or not all(isinstance(name, str) for name in named.values()):
        raise RunFailed("variables: {0} is not a mapping of options to names of variables".format(brief(named)))
    raw = variables.without_facts(variables.runner())
    for option, name in named.items():
        value = _read_value(name, raw, variables, templar)
        if value is not None:
            found[option] = value
    return found


def _read_value(name: str, raw: Dict[str, Any], variables: TaskContext, templar: Any) -> Any:
    value = raw.get(name)
    if not has_template(value):
        return value
    value = variables.template(templar, name, value, raw, with_facts=False)
    return None if value == raw.get("omit") else value


def _with_interpreter(task_vars: Mapping[str, Any], delegate_to: Optional[str], python: Any) -> Dict[str, Any]:
    """The variables of a task that runs its module with this Python; as they are when it is empty."""
    if not python:
        return dict(task_vars)
    own = {"ansible_python_interpreter": str(python)}
    found = dict(task_vars, **own)
    delegated = found.get("ansible_delegated_vars") or {}
    if delegate_to in delegated:
        found["ansible_delegated_vars"] = {**delegated, delegate_to: dict(delegated[delegate_to], **own)}
    return found
