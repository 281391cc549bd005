# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timeouts of tests on a machine that is kept busy by others.

A test never compares the time that has passed with a maximum: that tells how busy the machine is. It counts the
timeouts that a module waited through (`Waits`), or gives a process of its own the limit of a hang (`HANG`).

A module that only speaks with servers that answer gets PATIENT seconds. Beside a server that never answers, a test
needs a short timeout, or it waits for long; what is short must leave a real etcd the time for its answer, and that
depends on the number of processes that share the processors (`stretched`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from unittest import mock

# Seconds that a server has which answers. No test waits for their end.
PATIENT = 60
# Seconds after which a process hangs.
HANG = 600

_SAMPLES = 10
_WAITING = ("connect", "recv", "recv_into", "send", "sendall")


def stretched(seconds):
    """So many seconds of an idle machine, in seconds of this one, as busy as it is now. Call it in the test."""
    return round(seconds * _pace(), 1)


def _pace():
    """The processes that want a processor, for each processor: 1 at least."""
    running = 0
    for _sample in range(_SAMPLES):
        with open("/proc/loadavg", encoding="ascii") as stream:
            running += int(stream.read().split()[3].partition("/")[0])
        time.sleep(0.01)
    # A pause of the others, just now, does not last: the mean of the last minute counts, too.
    wanted = max(running / _SAMPLES, os.getloadavg()[0])
    # One of them is the test itself; another one will be its etcd.
    return max(1.0, (wanted + 1) / len(os.sched_getaffinity(0)))


class Waits:
    """What a module waits for in vain: alarms that ring, timeouts of sockets that run out, and sleeps. `seconds` is
    the sum of what was set, and not the time that has passed. A context manager, for modules in the main thread.
    """

    def __init__(self):
        self._settled = 0.0
        # The alarm that is set now: its seconds, whether it has rung, and what sockets have waited for meanwhile.
        self._alarm, self._has_rung, self._meanwhile = 0.0, False, 0.0
        self._stack = contextlib.ExitStack()
        self._setitimer, self._signal, self._sleep = signal.setitimer, signal.signal, time.sleep

    def __enter__(self):
        for name in _WAITING:
            self._replace(socket.socket, name, self._noting(getattr(socket.socket, name)))
        self._replace(signal, "setitimer", self._set_alarm)
        self._replace(signal, "signal", self._set_handler)
        self._replace(time, "sleep", self._note_sleep)
        return self

    def __exit__(self, *_exception):
        self._stack.close()

    @property
    def seconds(self):
        # The socket's timeout is the alarm's, and both may run out at the end of one wait.
        return self._settled + max(self._alarm if self._has_rung else 0.0, self._meanwhile)

    def timeouts(self, timeout):
        """The number of such timeouts that the module waited through, from a quarter of one on."""
        return int(self.seconds / timeout + 0.75)

    def _replace(self, owner, name, new):
        self._stack.enter_context(mock.patch.object(owner, name, new))

    def _noting(self, method):
        def note(sock, *args, **kwargs):
            try:
                return method(sock, *args, **kwargs)
            except socket.timeout:
                self._note(sock.gettimeout() or 0.0)
                raise

        return note

    def _note(self, seconds):
        if threading.current_thread() is threading.main_thread():
            self._meanwhile += seconds

    def _note_sleep(self, seconds):
        self._note(seconds)
        self._sleep(seconds)

    def _set_alarm(self, which, seconds, interval=0.0):
        self._settled, self._has_rung, self._meanwhile = self.seconds, False, 0.0
        self._alarm = seconds
        return self._setitimer(which, seconds, interval)

    def _set_handler(self, number, handler):
        if number != signal.SIGALRM or not callable(handler):
            return self._signal(number, handler)

        def ring(*args):
            self._has_rung = True
            handler(*args)

        return self._signal(number, ring)
