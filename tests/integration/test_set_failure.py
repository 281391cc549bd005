# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a set that ends part-way: what the result says is what is stored, and running it again converges."""

from __future__ import annotations

import contextlib
import socket
import time
from types import SimpleNamespace

import pytest

from tests.harness import wire as wire_module
from tests.integration.sets import (
    ModuleProcess,
    changes_of,
    conditions,
    endpoint,
    hostendpoints,
    key_of,
    put_all,
    task,
    tree_of,
)
from tests.integration.tasks import HOSTS, READY

# Endpoints a phase: 2 are written one by one, 20 over several connections.
SIZES = [2, 20]
WRITERS = 4


@pytest.fixture(autouse=True)
def calico(etcd):
    etcd.put(READY, "true")


def some_work(etcd, size):
    """Stores what is there before; the options of a task with `size` creates, updates and deletes, and its plan."""
    nodes = ["n%02d" % number for number in range(size)]
    before = tree_of([endpoint(node, "a") for node in nodes] + [endpoint(node, "b", "x") for node in nodes])
    wanted = [endpoint(node, name, "y", labels={"k": node}) for node in nodes for name in ("c", "b")]
    wanted.append(endpoint("unchanged"))
    before.update(tree_of(wanted[-1:]))
    put_all(etcd, before)
    return SimpleNamespace(
        options={"endpoints": wanted, "purge": "all", "purge_nodes": nodes},
        plan=[(kind, node, name) for kind, name in PHASES for node in nodes],
        before=before,
        after=tree_of(wanted),
    )


PHASES = [("create", "c"), ("update", "b"), ("delete", "a")]


def assert_told(etcd, work, result, unsure=False):
    """The three lists are the plan, and the store is what the first of them says.

    unsure: of what failed, the store may hold either.
    """
    assert result["failed"]
    assert sorted(changes_of(result)) == sorted(work.plan)
    assert result["failures"] and all(failure["error"] for failure in result["failures"])
    done, failures = (set(changes_of(result, name)) for name in ("changes", "failures"))
    tree = etcd.tree(HOSTS)
    for change in work.plan:
        key = key_of(*change[1:])
        side = work.after if change in done else work.before
        if not (unsure and change in failures):
            assert tree.get(key) == side.get(key), change
    assert result["changed"] == bool(done)
    counts = [sum(change[0] == kind for change in done) for kind, _name in PHASES]
    assert result["summary"] == dict(zip(("created", "updated", "deleted"), counts), unchanged=1)
    assert (result["changes_omitted"], result["not_attempted_omitted"]) == (0, 0)
    first = result["failures"][0]
    subject = "the %(operation)s of host endpoint %(name)s on node %(node)s was not: " % first
    assert result["msg"].startswith("%d of %d changes were made; %s" % (len(done), len(work.plan), subject))
    assert first["error"] in result["msg"]
    # A phase does not begin before the one before it is wholly done.
    undone = [kind for kind, _node, _name in set(work.plan) - done]
    reached = [kind for kind, _node, _name in set(work.plan) if (kind, _node, _name) in done]
    assert not reached or ORDER.index(max(reached, key=ORDER.index)) <= min(map(ORDER.index, undone))


ORDER = [kind for kind, _name in PHASES]


def assert_converges(etcd, wire, work):
    tree = etcd.tree(HOSTS)
    wire.clear()
    result = hostendpoints(wire, **work.options)
    assert not result["failed"], result["msg"]
    assert etcd.tree(HOSTS) == work.after
    left = [change for change in work.plan if tree.get(key_of(*change[1:])) != work.after.get(key_of(*change[1:]))]
    assert changes_of(result) == left and len(wire.writes) == len(left)
    wire.clear()
    assert not hostendpoints(wire, **work.options)["changed"] and wire.writes == []


# The nth write, and all after it, find no etcd

ALWAYS = 10**6


def break_from(wire, kind, method, nth):
    when = {"method": method, "nth": nth, "times": ALWAYS}
    if kind == "500":
        wire.answer(500, "internal error", "text/plain", **when)
    elif kind == "no quorum":
        wire.answer(500, '{"errorCode":300,"message":"Raft Internal Error","cause":"timeout","index":1}', **when)
    else:
        wire.fault(kind, **when)


FAULTS = ["500", "no quorum", "cut_before_commit", "reset", "freeze"]
# PUTs are creates, then updates.
PLACES = [(2, "PUT", 1), (2, "PUT", 2), (2, "PUT", 4), (2, "DELETE", 1), (2, "DELETE", 2)]
PLACES += [(20, "PUT", 1), (20, "PUT", 11), (20, "PUT", 37), (20, "DELETE", 1), (20, "DELETE", 15)]


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("size, method, nth", PLACES)
def test_writes_that_fail(etcd, wire, size, method, nth, kind):
    work = some_work(etcd, size)
    break_from(wire, kind, method, nth)
    result = hostendpoints(wire, timeout=0.2, **work.options)
    assert_told(etcd, work, result)
    done = (nth - 1) + (2 * size if method == "DELETE" else 0)
    # Over several connections, some later ones may be done before the first one fails.
    assert len(result["changes"]) == done or size == 20 and abs(len(result["changes"]) - done) < WRITERS
    assert len(result["failures"]) <= (1 if size == 2 else WRITERS)
    if method == "PUT":
        assert "DELETE" not in {request.method for request in wire.writes}, "an interface was opened"
    wire.heal()
    assert_converges(etcd, wire, work)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["cut_after_commit", "cut_mid_headers", "cut_mid_answer", "cut_before_commit"])
def test_writes_whose_answers_are_lost(etcd, wire, size, kind):
    """Now and then a connection breaks. All is done, each change once, and said to be done."""
    work = some_work(etcd, size)
    for _kind, node, name in work.plan[:: size - 1]:
        wire.fault(kind, "DELETE" if name == "a" else "PUT", path_contains=key_of(node, name))
    result = hostendpoints(wire, **work.options)
    assert not result["failed"], result["msg"]
    assert etcd.tree(HOSTS) == work.after
    assert changes_of(result) == work.plan
    assert not hostendpoints(wire, **work.options)["changed"]


@pytest.mark.parametrize("size", SIZES)
def test_a_write_that_may_be_done(etcd, wire, size):
    """Its answer is lost, and then nothing answers any more."""
    work = some_work(etcd, size)
    wire.fault("cut_after_commit", "PUT", nth=size)
    # From then on.
    wire.before("PUT", lambda: wire.fault("cut_before_commit", None, times=ALWAYS), nth=size)
    result = hostendpoints(wire, **work.options)
    assert "may or may not be done" in " ".join(failure["error"] for failure in result["failures"])
    assert_told(etcd, work, result, unsure=True)
    wire.heal()
    assert_converges(etcd, wire, work)


@pytest.mark.parametrize("size, method, nth", [(2, "PUT", 1), (2, "PUT", 3), (2, "DELETE", 2), (20, "PUT", 15)])
def test_etcd_is_killed(etcd, wire, size, method, nth):
    """It comes back with what it had acknowledged."""
    work = some_work(etcd, size)
    wire.before(method, etcd.kill, nth=nth)
    result = hostendpoints(wire, timeout=1, **work.options)
    assert not etcd.running
    etcd.start()
    assert_told(etcd, work, result, unsure=True)
    assert_converges(etcd, wire, work)


def test_nothing_was_written(etcd, wire):
    work = some_work(etcd, 2)
    break_from(wire, "500", "PUT", 1)
    result = hostendpoints(wire, **work.options)
    assert (result["failed"], result["changed"], result["changes"]) == (True, False, [])
    assert etcd.tree(HOSTS) == work.before


@pytest.mark.parametrize("size", SIZES)
def test_an_unsure_read_is_no_empty_one(etcd, wire, size):
    """Nothing is created or deleted after it."""
    work = some_work(etcd, size)
    for nth in range(1, 4 if size == 2 else 2):
        for kind in ("500", "cut_mid_answer"):
            if kind == "500":
                wire.answer(500, "oops", nth=nth, times=ALWAYS)
            else:
                wire.fault(kind, "GET", nth=nth, times=ALWAYS)
            result = hostendpoints(wire, **work.options)
            assert result["failed"] and "failures" not in result
            wire.heal()
    assert wire.writes == [] and etcd.tree(HOSTS) == work.before


def drip(monkeypatch, answers, seconds=3.0, drops=60):
    """The first answers to writes begin in drops, each soon enough, all together too late."""
    whole = wire_module._Conversation._bytes
    left = iter(range(answers))

    def dripping(conversation, *answer):
        head, content = whole(conversation, *answer)
        if conversation.command == "GET" or next(left, None) is None:
            return head, content
        for drop in head[:drops]:
            conversation.wfile.write(bytes([drop]))
            time.sleep(seconds / drops)
        return head[drops:], content

    monkeypatch.setattr(wire_module._Conversation, "_bytes", dripping)


@pytest.mark.parametrize("size, answers", [(2, 1), (20, WRITERS)])
def test_answers_in_drops(etcd, wire, monkeypatch, size, answers):
    """No request hangs past its timeout, over several connections neither."""
    work = some_work(etcd, size)
    drip(monkeypatch, answers)
    start = time.monotonic()
    result = hostendpoints(wire, timeout=0.3, **work.options)
    assert time.monotonic() - start < 2
    assert not result["failed"] and etcd.tree(HOSTS) == work.after


@contextlib.contextmanager
def unanswering():
    """The URL of a server that no connection to is ever made: its queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _waiting in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield SimpleNamespace(url="http://127.0.0.1:%d" % listener.getsockname()[1])


def test_a_dead_member_costs_one_timeout_in_all_phases_and_connections(etcd):
    work = some_work(etcd, 20)
    with unanswering() as dead:
        start = time.monotonic()
        result = hostendpoints(dead, etcd, timeout=1, **work.options)
        assert time.monotonic() - start < 2
    assert not result["failed"] and etcd.tree(HOSTS) == work.after


def test_etcd_that_goes_silent_costs_two_timeouts(etcd, wire):
    """One for the writes under way, and one to find out what became of the first."""
    work = some_work(etcd, 20)
    wire.before("PUT", lambda: wire.fault("freeze", method=None, times=ALWAYS), nth=8)
    start = time.monotonic()
    result = hostendpoints(wire, timeout=0.5, **work.options)
    assert time.monotonic() - start < 2
    assert result["failed"] and result["failures"] and result["not_attempted"]


def test_what_was_done_is_told_though_etcd_is_gone_after_a_conflict(etcd, wire):
    """The changes with conflicts are planned again, which cannot be done then."""
    endpoints = [{"name": "e%d" % number, "node": "n1", "interface_name": "eth0"} for number in range(5)]
    wire.before("PUT", lambda: etcd.put(HOSTS + "/n1/endpoint/e1", '{"name":"other"}'), nth=2)
    wire.before("PUT", lambda: wire.fault("cut_before_commit", method=None, times=ALWAYS, nth=2), nth=5)
    result = hostendpoints(wire, endpoints=endpoints)
    assert result["failed"]
    assert [change["name"] for change in result["changes"]] == ["e0", "e2", "e3", "e4"]
    assert [failed["name"] for failed in result["failures"]] == ["e1"]


# The module itself is killed

KILLS = [(2, "PUT", nth) for nth in (1, 2, 3, 4)] + [(2, "DELETE", 1), (2, "DELETE", 2)]
KILLS += [(20, "PUT", 1), (20, "PUT", 17), (20, "PUT", 30), (20, "DELETE", 10)]


@pytest.mark.parametrize("size, method, nth", KILLS)
def test_the_module_is_killed(etcd, wire, size, method, nth):
    """SIGKILL as the nth write is on its way, which etcd then does not see if the number is even."""
    work = some_work(etcd, size)
    process = ModuleProcess(task(wire, **work.options))
    wire.before(method, process.kill, nth=nth)
    if nth % 2 == 0:
        wire.fault("cut_before_commit", method, nth=nth)
    assert process.run() == (-9, None)
    wire.heal()
    kinds = conditions(wire.writes)
    assert kinds == sorted(kinds, key=ORDER.index)
    tree = etcd.tree(HOSTS)
    assert tree != work.after
    assert all(tree.get(key) in (work.before.get(key), work.after.get(key)) for key in {**work.before, **work.after})
    result = hostendpoints(wire, **work.options)
    assert not result["failed"], result["msg"]
    assert etcd.tree(HOSTS) == work.after
    assert not hostendpoints(wire, **work.options)["changed"]
