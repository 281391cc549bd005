# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the options of a task from variables without facts, such as the datastore of a run.

A managed host controls its facts and their names, and in a template, a fact overrides a variable of the inventory. So
the role passes the names of variables instead of templates, and the action plugin reads the variables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Dict, List, NamedTuple, Optional

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import (
    CalicoError,
    brief,
    join_first,
    name_options,
    shown,
)
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings, get_api_version
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import check_spelling
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext, has_template

_SHOWN = 3


class RunSettings(NamedTuple):
    """What an action plugin works with."""

    hosts: TaskContext
    # The task's options, including those of its option `variables`, whose names are in `option_names`.
    arguments: Dict[str, Any]
    # The task's variables, with the Python interpreter of its module.
    task_vars: Dict[str, Any]
    # {option: name of a variable}, the task's option `variables`.
    variables: Mapping[str, str]

    def get_variable_name(self, option: str) -> str:
        """The name by which the user knows an option: that of its variable, if it has one."""
        return self.variables.get(option, option)

    def is_template(self, option: str) -> bool:
        """Whether an option's value comes from a template in its variable, which may give less than is meant."""
        return has_template(self.hosts.without_facts(self.hosts.runner()).get(self.variables.get(option, "")))

    def pop_flag(self, option: str) -> bool:
        """Take a flag out of the arguments; false if it is not given or empty. Raises RunFailed for any other value."""
        value = self.arguments.pop(option, None)
        if value in (None, ""):
            return False
        try:
            return bool(boolean(value))
        except TypeError:
            text = "{0}: {1} is not true or false"
            raise RunFailed(text.format(self.get_variable_name(option), shown(value))) from None

    def check(self) -> List[str]:
        """Warnings about the variables. Raises RunFailed for facts that contain one, and for a misspelt variable."""
        check_facts(self.hosts)
        runner = self.hosts.runner()
        return check_spelling(runner, self.hosts.without_facts(runner))


def read_run_settings(task: Any, task_vars: Mapping[str, Any], templar: Any) -> RunSettings:
    """The options and variables of a task, without facts. Raises RunFailed for an invalid template."""
    hosts = TaskContext(task, task_vars)
    options = dict(task.args)
    variables = _check_variables(options.pop("variables", None) or {})
    # For the messages of this process, and of the module that it runs.
    names = {option: name for option, name in variables.items() if name}
    name_options(names)
    arguments = {**options, "option_names": names, **_read_variables(variables, hosts, templar)}
    python = arguments.pop("python_interpreter", None)
    return RunSettings(hosts, arguments, _with_interpreter(task_vars, task.delegate_to, python), variables)


def read_api_version(arguments: Mapping[str, Any]) -> ApiVersion:
    """The API version of the resources in the task's datastore. Raises RunFailed.

    As in the modules, the controller's environment and calicoctl's file may name the datastore.
    """
    try:
        return get_api_version(build_settings(arguments, os.environ))
    except CalicoError as exc:
        raise RunFailed(str(exc)) from exc


def check_facts(variables: TaskContext) -> None:
    """Raise RunFailed if the facts of a host of this run contain a variable of this collection.

    The role ignores such a fact, but a template of the user may read it. And it may show an attack.
    """
    for name in dict.fromkeys([variables.runner(), *variables.names(), *variables.unbatched()]):
        found = variables.own_variables_in_facts(name)
        if found:
            names = join_first([brief(key) for key in found], _SHOWN)
            raise RunFailed(
                "{0}: its facts contain {1}, and nothing was done. A host controls its facts, so they must not contain "
                "variables of this collection. If the host sent them, it may be compromised: exclude it with --limit, "
                "and examine it. If set_fact with cacheable set them, set them in the inventory, and clear the fact "
                "cache with --flush-cache".format(name, names)
            )


def _check_variables(variables: Any) -> Mapping[str, str]:
    """The option `variables`, {option: name of a variable}. Raises RunFailed."""
    if not isinstance(variables, Mapping) or not all(isinstance(name, str) for name in variables.values()):
        raise RunFailed("variables: {0} is not a mapping of options to names of variables".format(brief(variables)))
    return variables


def _read_variables(variables: Mapping[str, str], hosts: TaskContext, templar: Any) -> Dict[str, Any]:
    """{option: value of its variable}, without variables that are undefined, null or omitted.

    Raises RunFailed for a variable that cannot be evaluated.
    """
    raw = hosts.without_facts(hosts.runner())
    values = {option: _read_value(name, raw, hosts, templar) for option, name in variables.items()}
    return {option: value for option, value in values.items() if value is not None}


def _read_value(name: str, raw: Dict[str, Any], variables: TaskContext, templar: Any) -> Any:
    value = raw.get(name)
    if not has_template(value):
        return value
    value = variables.template(templar, name, value, raw, with_facts=False)
    return None if value == raw.get("omit") else value


def _with_interpreter(task_vars: Mapping[str, Any], delegate_to: Optional[str], python: Any) -> Dict[str, Any]:
    """The variables of a task that runs its module with this Python, if one is given."""
    if not python:
        return dict(task_vars)
    own = {"ansible_python_interpreter": str(python)}
    found = dict(task_vars, **own)
    delegated = found.get("ansible_delegated_vars") or {}
    if delegate_to in delegated:
        found["ansible_delegated_vars"] = {**delegated, delegate_to: dict(delegated[delegate_to], **own)}
    return found
