# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module without Ansible's controller, and print what it took: `python -m benchmarks.module_alone`.

Standard input: {"module": name, "arguments": {...}, "check": false}.
Standard output: {"result": {...}, "wall": s, "memory": MB}
"""

from __future__ import annotations

import json
import sys
import time

from tests.harness.module import run_module


def main():
    start = time.perf_counter()
    task = json.load(sys.stdin)
    result = run_module(task["module"], task["arguments"], check=task["check"])
    json.dump({"result": result, "wall": time.perf_counter() - start, "memory": peak_memory()}, sys.stdout)


def peak_memory():
    """Megabytes. (ru_maxrss would be the starter's, where that is larger.)"""
    with open("/proc/self/status", encoding="ascii") as lines:
        kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024


if __name__ == "__main__":
    main()
