# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes and what they took: seconds, seconds of the processor, memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple, Optional

from tests.harness.module import COLLECTION, collections_path
from tests.harness.process import Watcher, kill_group

# No process takes longer than that.
TIMEOUT = 900


class Sample(NamedTuple):
    wall: float
    # User and system, with children; it wobbles less than the wall clock where others use the machine.
    cpu: Optional[float] = None
    # Megabytes at the peak.
    memory: Optional[float] = None


class Workshop:
    """A temporary folder, and processes that have nothing of the caller's configuration; all gone in the end."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="netsec-bench-"))
        self._watcher = Watcher(self.folder)
        (self.folder / "ansible.cfg").touch()
        self._environment = {
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "tmp"),
            "ANSIBLE_COLLECTIONS_PATH": collections_path(),
            "ANSIBLE_LIBRARY": str(COLLECTION / "benchmarks" / "library"),
            "ANSIBLE_MODULE_UTILS": str(COLLECTION / "benchmarks" / "module_utils"),
            "ANSIBLE_ACTION_PLUGINS": str(COLLECTION / "benchmarks" / "action_plugins"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "facts"),
            "ANSIBLE_CACHE_PLUGIN_TIMEOUT": "0",
        }

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._watcher.close()

    def write(self, name, content):
        """The path of a file with this content, a text or what becomes JSON."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    def playbook(self, path, *arguments, inventory=None, changed=None, cached_facts=False):
        """Run a playbook; `changed`: how many changed tasks its recap must have."""
        inventory = inventory or self.write("localhost", "localhost ansible_connection=local\n")
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, path, *arguments]
        environment = {"ANSIBLE_CACHE_PLUGIN": "jsonfile"} if cached_facts else {}
        sample, output = self.process(command, environment)
        found = sum(map(int, re.findall(r"changed=(\d+)", output)))
        if changed is not None and found != changed:
            raise RuntimeError("%s: %d changed tasks, not %d:\n%s" % (path, found, changed, output[-2000:]))
        return sample

    def module(self, arguments, check=False, name="calico_hostendpoints"):
        """Run a module alone, in a process of its own; the sample, and what it returned."""
        task = self.write("task.json", {"module": name, "arguments": arguments, "check": check})
        sample, output = self.process([sys.executable, "-m", "benchmarks.module_alone"], stdin=task)
        told = json.loads(output)
        if told["result"]["failed"]:
            raise RuntimeError(told["result"]["msg"])
        return sample._replace(memory=told["memory"]), told["result"]

    def process(self, command, environment=None, stdin=os.devnull):
        """Run a command that must work; the sample, and its standard output."""
        with open(self.folder / "output", "w+b") as output, open(stdin, "rb") as given:
            start = time.perf_counter()
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=str(COLLECTION),
                env=dict(self._environment, **(environment or {})),
                start_new_session=True,
            )
            self._watcher.watch(process.pid)
            alarm = threading.Timer(TIMEOUT, os.killpg, [process.pid, 9])
            alarm.start()
            try:
                # Popen has no way to tell what one child has used.
                _pid, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            finally:
                alarm.cancel()
                self._watcher.forget()
                if process.returncode is None:
                    kill_group(process)
            wall = time.perf_counter() - start
            output.seek(0)
            text = output.read().decode(errors="replace")
        if process.returncode:
            raise RuntimeError("%s: exit status %d\n%s" % (" ".join(command), process.returncode, text[-4000:]))
        # Of the process or the largest one that it has waited for, in kilobytes.
        return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), text
