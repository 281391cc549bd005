# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action that passes long options to its module in files, because as parameters they would cost seconds."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping

from ansible.plugins.action import ActionBase


class ActionWithFiles(ActionBase):
    """The base of actions that run a module with the resources and the facts of all hosts."""

    def run_with_files(
        self, module_name: str, contents: Mapping[str, Any], arguments: Mapping[str, Any], task_vars: Dict[str, Any]
    ) -> Dict[str, Any]:
        """Run the module once. `contents`: {option that is a path: the content of the file, which becomes JSON}."""
        folder = self._make_tmp_path()
        try:
            paths = {option: self._connection._shell.join_path(folder, option + ".json") for option in contents}
            for option, content in contents.items():
                self._transfer_data(paths[option], json.dumps(content))
            done: Dict[str, Any] = self._execute_module(
                module_name=module_name, module_args=dict(arguments, **paths), task_vars=task_vars
            )
            return done
        finally:
            self._remove_tmp_path(folder)
