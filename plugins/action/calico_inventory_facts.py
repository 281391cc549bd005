# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any, Dict, Optional

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.gathering import explain_gathering


class ActionModule(ActionBase):
    """Run gather_facts on the host. If that fails, skip the host and return the reason."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        result = super().run(tmp, task_vars)
        # Unlike setup, gather_facts keeps only facts from the host's result. It drops statistics, which AWX would pass
        # as variables to the next job of a workflow.
        gather = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.gather_facts",
            task=self._task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        try:
            gathered: Dict[str, Any] = gather.run(task_vars=task_vars)
        except AnsibleConnectionFailure as exc:
            gathered = {"unreachable": True, "msg": str(exc)}
        problem = explain_gathering(gathered)
        if not problem:
            return gathered
        result.update(skipped=True, problem=problem, skip_reason=problem)
        return result
