# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resolves many names within a time limit."""

from __future__ import annotations

import queue
import socket
import threading
import time
from typing import Dict, Iterable, List

# A little more than one name takes if the first of two DNS servers does not answer (resolv.conf(5): 5 seconds).
SECONDS = 6.0
_THREADS = 16


def resolved(names: Iterable[str], seconds: float = SECONDS) -> Dict[str, List[str]]:
    """{name: its addresses, in the order in which ssh tries them}, without names that are not resolved in time."""
    left: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in dict.fromkeys(names):
        left.put(name)
    found: Dict[str, List[str]] = {}
    end = time.monotonic() + seconds
    # The end of the process does not wait for daemon threads, unlike those of a pool.
    threads = [threading.Thread(target=_resolve, args=(left, found, end), daemon=True) for _each in range(_THREADS)]
    threads = threads[: left.qsize()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(found)


def _resolve(left: queue.SimpleQueue[str], found: Dict[str, List[str]], end: float) -> None:
    while time.monotonic() < end:
        try:
            name = left.get_nowait()
        except queue.Empty:
            return
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            continue
        found[name] = list(dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers))
