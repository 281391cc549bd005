# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded facts of a host, as if they had been gathered now. For the benchmarks only."""

from __future__ import annotations

import json
import os

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        path = os.path.join(self._task.args["folder"], task_vars["inventory_hostname"])
        with open(path, encoding="utf-8") as recorded:
            facts = json.load(recorded)
        result["ansible_facts"] = {"ansible_" + name: value for name, value in facts.items()}
        return result
