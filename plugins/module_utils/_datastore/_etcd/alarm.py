# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The alarm that ends a request, since the timeouts of libraries start again with each byte."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any, Callable, Iterator, Optional

# Minimum number of seconds between two calls of an alarm; the first call must have been handled by then.
_PAUSE = 0.1


class Alarm:
    """Calls a function after some seconds; only in the main thread, where signals can be used."""

    def __init__(self) -> None:
        self._is_installed = False
        # None while no time is running.
        self._ring: Optional[Callable[[], None]] = None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Keep the signal handler for several `set`, each of which would otherwise install and remove it."""
        if self._is_installed or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGALRM, self._handle)
        try:
            self._is_installed = True
            yield
        finally:
            self._is_installed, self._ring = False, None
            signal.setitimer(signal.ITIMER_REAL, 0)
            # A signal that is still pending would end the process without a handler.
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            signal.signal(signal.SIGALRM, before)

    @contextlib.contextmanager
    def set(self, ring: Callable[[], None], seconds: float) -> Iterator[None]:
        """Call `ring` after some seconds, repeatedly."""
        if not self._is_installed:
            with self.installed():
                if self._is_installed:
                    with self.set(ring, seconds):
                        yield
                else:
                    yield
            return
        try:
            self._ring = ring
            # It may ring at once.
            signal.setitimer(signal.ITIMER_REAL, seconds, max(seconds / 10, _PAUSE))
            yield
        finally:
            self._ring = None
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _handle(self, _number: int, _frame: Any) -> None:
        # `ring` may raise, and must not raise again while the alarm is being turned off.
        if self._ring:
            try:
                self._ring()
            except BaseException:
                self._ring = None
                raise
