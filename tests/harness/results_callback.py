# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An Ansible callback that writes each result as a line of JSON; run_playbook puts it where Ansible finds it."""

from __future__ import annotations

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: netsec_results
type: notification
short_description: write results as JSON lines
description: Writes results as JSON lines to the file that the environment variable NETSEC_RESULTS names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "netsec_results"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result):
        self._task("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._task("failed", result)

    def v2_runner_on_skipped(self, result):
        self._task("skipped", result)

    def v2_runner_on_unreachable(self, result):
        self._task("unreachable", result)

    def v2_playbook_on_stats(self, stats):
        self._write({"stats": {host: stats.summarize(host) for host in stats.processed}})

    def _task(self, status, result):
        # ansible-core 2.19 has these names without the underscore too, and will deprecate the older ones.
        host, task, data = (_part(result, name) for name in ("host", "task", "result"))
        name = task.name or task.action
        self._write({"status": status, "host": host.get_name(), "task": name, "action": task.action, "result": data})

    @staticmethod
    def _write(record):
        with open(os.environ["NETSEC_RESULTS"], "a", encoding="utf-8") as lines:
            lines.write(json.dumps(record, default=str) + "\n")


def _part(result, name):
    return getattr(result, name) if hasattr(result, name) else getattr(result, "_" + name)
