# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action that passes long options to its module in files, because as parameters they would cost seconds."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Dict, Mapping

from ansible.plugins.action import ActionBase


class ActionWithFiles(ActionBase):
    """The base of actions that run a module with the resources and the facts of all hosts."""

    def run_with_files(
        self,
        module_name: str,
        contents: Mapping[str, Any],
        arguments: Mapping[str, Any],
        task_vars: Dict[str, Any],
        dest: str = "",
    ) -> Dict[str, Any]:
        """Run the module once. `contents`: {option that is a path: the content of the file, which becomes JSON}.

        dest: an option that is the path of a JSON file. The module writes it, and the result has its content.
        """
        folder = self._make_tmp_path()
        try:
            names = [*contents, *filter(None, [dest])]
            paths = {option: self._connection._shell.join_path(folder, option + ".json") for option in names}
            for option, content in contents.items():
                self._transfer_data(paths[option], json.dumps(content))
            done: Dict[str, Any] = self._execute_module(
                module_name=module_name, module_args=dict(arguments, **paths), task_vars=task_vars
            )
            if dest and not done.get("failed"):
                done[dest] = self._fetch(paths[dest])
            return done
        finally:
            self._remove_tmp_path(folder)

    def _fetch(self, path: str) -> Any:
        """The content of a JSON file where the module runs."""
        with tempfile.TemporaryDirectory() as here:
            copy = os.path.join(here, "copy.json")
            self._connection.fetch_file(path, copy)
            with open(copy, encoding="utf-8") as stream:
                return json.load(stream)
