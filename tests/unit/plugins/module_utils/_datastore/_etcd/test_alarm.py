# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alarm that ends a request."""

from __future__ import annotations

import signal
import threading

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore._etcd.alarm import Alarm


class Rang(Exception):
    pass


def ring():
    raise Rang


def test_an_alarm_is_over_when_it_has_rung():
    """However short it was: it does not ring where it is turned off, and no signal is left to end the process."""
    before = signal.getsignal(signal.SIGALRM)
    is_done = threading.Event()

    def work():
        while not is_done.is_set():
            pass

    # Other threads may be given the signal.
    threads = [threading.Thread(target=work) for _number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _time in range(100):
            with pytest.raises(Rang), Alarm().set(ring, 0.001):
                while True:
                    pass
            assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
            assert signal.getsignal(signal.SIGALRM) == before
    finally:
        is_done.set()
        for thread in threads:
            thread.join()


def test_an_alarm_that_is_installed_rings_only_while_it_is_set():
    before = signal.getsignal(signal.SIGALRM)
    rung = []
    alarm = Alarm()
    with alarm.installed():
        installed = signal.getsignal(signal.SIGALRM)
        for number in range(3):
            with alarm.set(lambda number=number: rung.append(number), 0.001):
                while number not in rung:
                    pass
            assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
            assert signal.getsignal(signal.SIGALRM) == installed != before
            # One that was late.
            count = len(rung)
            signal.raise_signal(signal.SIGALRM)
            assert len(rung) == count
        with pytest.raises(Rang), alarm.set(ring, 0.001):
            while True:
                pass
    assert sorted(set(rung)) == [0, 1, 2]
    assert signal.getsignal(signal.SIGALRM) == before


def test_an_alarm_in_another_thread_is_no_error():
    """Signals cannot be used there."""
    errors = []

    def work():
        try:
            with Alarm().set(ring, 60):
                pass
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
