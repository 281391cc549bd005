# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module on the controller from its file in this collection, without packing it.

For each task, Ansible packs a module with all files that it imports, and Python compiles the packed files. This takes
longer than most runs of the module, and only a host without the collection requires it. On the controller, the module's
file is started, and reads its arguments from standard input.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from typing import Any, Dict, Mapping, Optional

import ansible
from ansible import constants as C
from ansible.module_utils.common import json as module_json
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief, shown

_START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.py")
# The folder that has the package ansible.
_ANSIBLE = os.path.dirname(os.path.dirname(os.path.abspath(ansible.__file__)))
# Python's bytecode of this collection, in Ansible's folder of the user.
_CACHE = os.path.join("netsec.calico", "bytecode")
# With such an environment, Python may not find Ansible.
_PYTHONS_OWN = re.compile(r"\bPYTHON(PATH|HOME)=")


class ActionInPlace(ActionBase):
    """The base of actions that run a module of this collection: in place where that is possible."""

    def _execute_module(
        self,
        module_name: Optional[str] = None,
        module_args: Optional[Dict[str, Any]] = None,
        tmp: Any = None,
        task_vars: Optional[Dict[str, Any]] = None,
        **options: Any,
    ) -> Dict[str, Any]:
        """Run a module as the base class does. It returns the same result."""
        environment = self._compute_environment_string()
        if options.get("wrap_async") or _PYTHONS_OWN.search(environment) or not self._is_in_place(task_vars or {}):
            return dict(super()._execute_module(module_name, module_args, tmp, task_vars, **options))
        name = self._find_module(module_name or self._task.action)
        arguments = dict(self._task.args if module_args is None else module_args)
        self._update_module_args(name, arguments, task_vars or {})
        Display().vvv("Running the module {0} in place".format(name))
        words = [sys.executable, _START, name.rpartition(".")[2], _ANSIBLE, os.path.join(C.ANSIBLE_HOME, _CACHE)]
        command = [environment, *map(self._connection._shell.quote, words)]
        given = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, **_build_encoder())
        return _read_result(
            name, self._low_level_execute_command(" ".join(filter(None, command)), in_data=given.encode())
        )

    def _find_module(self, name: str) -> str:
        """The full name of a module, also of one whose name is an alias."""
        loader = self._shared_loader_obj.module_loader
        return str(loader.find_plugin_with_context(name, collection_list=self._task.collections).resolved_fqcn)

    def _is_in_place(self, task_vars: Mapping[str, Any]) -> bool:
        """Whether the module would run on the controller, by Ansible's own Python, and as Ansible's user."""
        # Whoever keeps the packed files wants to read them.
        if self._connection.transport != "local" or self._connection.become or C.DEFAULT_KEEP_REMOTE_FILES:
            return False
        delegate = self._task.delegate_to
        variables = task_vars.get("ansible_delegated_vars", {}).get(delegate, {}) if delegate else task_vars
        python = C.config.get_config_value("INTERPRETER_PYTHON", variables=variables)
        return _is_own(str(self._templar.template(python)))


def _is_own(python: str) -> bool:
    """Whether this is the path of the Python that runs Ansible, which has other names in the same folder."""
    own = sys.executable
    same_folder = os.path.realpath(os.path.dirname(python)) == os.path.realpath(os.path.dirname(own))
    # The Pythons of several virtual environments may be links to the same file.
    return os.path.isabs(python) and same_folder and os.path.realpath(python) == os.path.realpath(own)


def _build_encoder() -> Dict[str, Any]:
    """The options of json.dumps for the arguments of a module."""
    if hasattr(module_json, "get_module_encoder"):
        return {"cls": module_json.get_module_encoder("legacy", module_json.Direction.CONTROLLER_TO_MODULE)}
    # ansible-core 2.18 and earlier.
    return {"cls": module_json.AnsibleJSONEncoder, "vault_to_text": True}


def _build_decoder() -> Dict[str, Any]:
    """The options of json.loads for the result of a module."""
    if hasattr(module_json, "get_module_decoder"):
        return {"cls": module_json.get_module_decoder("legacy", module_json.Direction.MODULE_TO_CONTROLLER)}
    return {}


def _read_result(name: str, done: Mapping[str, Any]) -> Dict[str, Any]:
    """The result that the module printed last, on one line. Libraries may print other lines, also JSON."""
    lines = done["stdout"].splitlines()
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            result = json.loads(line, **_build_decoder())
            if isinstance(result, dict):
                for other in filter(str.strip, (each for each in lines if each != line)):
                    Display().warning("{0} printed more than its result: {1}".format(name, shown(other)))
                return {key: value for key, value in result.items() if not key.startswith("_ansible_")}
    text = "{0} ended without a result, with the exit status {1}: {2}. If it writes, changes may have been made"
    why = (done["stderr"].strip() or done["stdout"].strip() or "it printed nothing").splitlines()[-1]
    return {
        "failed": True,
        "msg": text.format(name, done["rc"], brief(why, 200)),
        "module_stdout": done["stdout"],
        "module_stderr": done["stderr"],
        "rc": done["rc"],
    }
