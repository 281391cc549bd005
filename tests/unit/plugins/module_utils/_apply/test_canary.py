# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a canary is looked at; what it is to hosts that answer, tests/integration/test_canary.py says."""

from __future__ import annotations

import itertools
import threading

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._apply import canary
from ansible_collections.netsec.calico.plugins.module_utils._apply.canary import Canary, CanaryNode, parse_canary
from ansible_collections.netsec.calico.plugins.module_utils._apply.ending import Ending
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput

PLACES = [CanaryNode("n%d" % number, "192.0.2.%d" % number, 22) for number in range(1, 5)]


class Clock:
    """A time that passes by sleeping only."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(canary, "time", clock)
    return clock


def answering(monkeypatch, why_silent):
    monkeypatch.setattr(CanaryNode, "why_silent", why_silent)


def test_hosts_that_fail_now_and_then_are_not_looked_at_for_ever(clock, monkeypatch):
    """One of the two fails each time, and none three times in a row."""
    turns = {place: itertools.cycle(turn) for place, turn in zip(PLACES[:2], (["x", ""], ["", "x"]))}
    answering(monkeypatch, lambda place: next(turns[place]))
    assert Canary(2, 5, PLACES).lost(PLACES[:2], Ending()) == []
    assert clock.now <= 5 + 2


def test_one_that_fails_three_times_is_lost_before_the_time_is_over(clock, monkeypatch):
    answering(monkeypatch, lambda place: "timed out" if place.node == "n2" else "")
    assert Canary(2, 60, PLACES).lost(PLACES, Ending()) == [(PLACES[1], "timed out")]
    assert clock.now <= 3


def test_one_that_fails_late_is_lost(clock, monkeypatch):
    answering(monkeypatch, lambda place: "timed out" if clock.now >= 4 else "")
    assert Canary(2, 5, PLACES).lost(PLACES[:1], Ending()) == [(PLACES[0], "timed out")]


def test_hosts_are_asked_at_the_same_time(monkeypatch):
    """Each waits until all are asked."""
    together = threading.Barrier(len(PLACES), timeout=300)

    def why_silent(_place):
        together.wait()
        return ""

    answering(monkeypatch, why_silent)
    Canary(4, 1, PLACES).check_before(PLACES)


@pytest.mark.parametrize(
    "reached",
    [
        [],
        {},
        "192.0.2.1",
        {"host": ""},
        {"host": 5},
        {"host": "a\0b"},
        {"host": "a\nb"},
        {"host": "a", "port": "9" * 5000},
        {"host": "a", "port": "\u0663" * 6},
        {"host": "a", "port": 0},
        {"host": "a", "port": 1e400},
        {"host": "a", "port": [22]},
    ],
)
def test_a_place_that_is_none(reached):
    with pytest.raises(InvalidInput, match=r"guard_facts\[n1\].reached_at: "):
        parse_canary("canary", 1, 10, {"n1": {"reached_at": reached}})


def test_a_port_that_a_template_has_made_a_text():
    assert parse_canary("canary", 1, 10, {"n1": {"reached_at": {"host": "a", "port": "2222"}}}).places == [
        CanaryNode("n1", "a", 2222)
    ]


def test_a_run_that_is_ended_does_not_wait_for_a_host_that_hangs(monkeypatch):
    ending, hung, waited_for = Ending(), threading.Event(), []

    def why_silent(place):
        ending.signal = "SIGTERM"
        if not hung.wait(300):
            waited_for.append(place)
        return "timed out"

    answering(monkeypatch, why_silent)
    try:
        assert Canary(1, 60, PLACES).lost(PLACES, ending) == []
        assert waited_for == []
    finally:
        hung.set()
