# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The signals that end a run. During writes they are noted, so that a change is not interrupted."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any, Iterator

# A closed terminal or SSH session; Ctrl-C; the usual signal of other programs.
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Ending:
    """The signal that ends the run."""

    def __init__(self) -> None:
        # The name of the signal; "" before one is received.
        self.signal = ""

    def has_come(self) -> bool:
        return bool(self.signal)

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note such signals instead of ending at once. A signal that is ignored, as by nohup, remains ignored.

        A signal raises no exception, since a pending request may be carried out and its answer is required.
        """
        before = {}
        try:
            if threading.current_thread() is threading.main_thread():
                for number in _SIGNALS:
                    if signal.getsignal(number) is not signal.SIG_IGN:
                        before[number] = signal.signal(number, self._note)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: Any) -> None:
        self.signal = self.signal or signal.Signals(number).name
