# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timeouts of tests on a machine that is kept busy by others.

A test of a timeout needs a short one, or it waits for nothing. What is short has to leave a real etcd the time for its
answer, and that depends on how many processes share the processors.
"""

from __future__ import annotations

import os
import time

_SAMPLES = 10


def stretched(seconds):
    """So many seconds of an idle machine, in seconds of this one, as busy as it is now."""
    return round(seconds * _pace(), 1)


def _pace():
    """The processes that want a processor, for each that there is: 1 at least."""
    running = 0
    for _sample in range(_SAMPLES):
        with open("/proc/loadavg", encoding="ascii") as stream:
            running += int(stream.read().split()[3].partition("/")[0])
        time.sleep(0.01)
    # The one that counts is the test itself; another one will be its etcd.
    return max(1.0, (running / _SAMPLES + 1) / len(os.sched_getaffinity(0)))
