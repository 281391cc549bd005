# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The signals that end a run, noted while something is written, so that nothing is torn in two."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import Any, Iterator

# A closed terminal or SSH session; Ctrl-C; how other programs end one.
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Ending:
    """The signal that has told the run to end."""

    def __init__(self) -> None:
        # Its name; "" as long as none has come.
        self.signal = ""

    def has_come(self) -> bool:
        return bool(self.signal)

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note such signals instead of ending at once. A signal that is ignored, as nohup does it, stays ignored.

        It never raises an exception, since a request under way may be carried out, and its answer has to be known.
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
