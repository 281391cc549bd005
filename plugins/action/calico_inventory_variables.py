# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, Dict, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_settings import read_run_settings


class ActionModule(ActionBase):
    """Return the values of variables of the play's host, independent of its facts."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        run = read_run_settings(self._task, task_vars or {}, self._templar)
        values = {option: value for option, value in run.arguments.items() if option != "option_names"}
        result.update(variables=values, warnings=run.check())
        # The values may contain a password. A failure is still shown.
        result["_ansible_no_log"] = True
        return result
