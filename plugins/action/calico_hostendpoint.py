# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of each module of this collection that connects to a datastore: meta/runtime.yml names it for them."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ansible.utils.vars import merge_hash

from ansible_collections.netsec.calico.plugins.plugin_utils._execution.in_place import ActionInPlace


class ActionModule(ActionInPlace):
    """Run the task's module once, on its host."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        is_async = bool(self._task.async_val)
        done = self._execute_module(task_vars=task_vars, wrap_async=is_async)
        if not is_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return dict(merge_hash(result, done))
