# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a set that ends part-way: what the result says is what is stored, and running it again converges."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tests.harness import wire as wire_module
from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.pace import HANG, PATIENT, Waits, stretched
from tests.integration.sets import ModuleProcess, changes_of, endpoint, hostendpoints, key_of, task
from tests.integration.tasks import one_etcd, only_etcd

pytestmark = pytest.mark.thorough

# Endpoints a phase: on etcdv2, 2 are written one by one, 20 over several connections; on etcdv3 either at once; on
# Kubernetes both over several connections.
SIZES = [2, 20]
# Requests that are under way at a time; the changes of one request; the requests of etcdv3 at a time.
WRITERS = {"etcdv2": 4, "kubernetes": 16}
TOGETHER = {"etcdv2": 1, "etcdv3": 127, "kubernetes": 1}
TRANSACTIONS = 2

PHASES = [("create", "c"), ("update", "b"), ("delete", "a")]
ORDER = [kind for kind, _name in PHASES]


def some_work(datastore, size):
    """Stores what is there before; the options of a task with `size` creates, updates and deletes, and its plan."""
    nodes = ["n%03d" % number for number in range(size)]
    stored = [endpoint(node, "a") for node in nodes] + [endpoint(node, "b", "x") for node in nodes]
    wanted = [endpoint(node, name, "y", labels={"k": node}) for node in nodes for name in ("c", "b")]
    wanted.append(endpoint("unchanged"))
    before = datastore.tree_of([*stored, wanted[-1]])
    datastore.put_all(before)
    return SimpleNamespace(
        options={"endpoints": wanted, "purge": "all", "purge_nodes": nodes},
        plan=[(kind, node, name) for kind, name in PHASES for node in nodes],
        before=before,
        after=datastore.tree_of(wanted),
    )


def until_lost(datastore):
    """A timeout for a server that is lost meanwhile. An API server may come back: it is asked until the timeout."""
    return stretched(3) if datastore.type == "kubernetes" else PATIENT


def assert_told(datastore, work, result, unsure=False):
    """The three lists are the plan, and the store is what the first of them says.

    unsure: of what failed, the store may hold either.
    """
    assert result["failed"]
    assert sorted(changes_of(result)) == sorted(work.plan)
    assert result["failures"] and all(failure["error"] for failure in result["failures"])
    done, failures = (set(changes_of(result, name)) for name in ("changes", "failures"))
    tree = datastore.stored()
    for change in work.plan:
        key = key_of(datastore, *change[1:])
        side = work.after if change in done else work.before
        if not (unsure and change in failures):
            assert tree.get(key) == side.get(key), change
    assert result["changed"] == bool(done)
    counts = [sum(change[0] == kind for change in done) for kind, _name in PHASES]
    assert result["summary"] == dict(zip(("created", "updated", "deleted"), counts), unchanged=1)
    assert (result["changes_omitted"], result["not_attempted_omitted"]) == (0, 0)
    first = result["failures"][0]
    subject = "the %(operation)s of host endpoint %(name)s on node %(node)s failed: " % first
    assert result["msg"].startswith("%d of %d changes were made; %s" % (len(done), len(work.plan), subject))
    assert first["error"] in result["msg"]
    # A phase does not begin before the one before it is wholly done.
    undone = [kind for kind, _node, _name in set(work.plan) - done]
    reached = [kind for kind, _node, _name in set(work.plan) if (kind, _node, _name) in done]
    assert not reached or ORDER.index(max(reached, key=ORDER.index)) <= min(map(ORDER.index, undone))


def assert_converges(datastore, wire, work):
    tree = datastore.stored()
    wire.clear()
    result = hostendpoints(wire, **work.options)
    assert not result["failed"], result["msg"]
    assert datastore.stored() == work.after
    keys = {change: key_of(datastore, *change[1:]) for change in work.plan}
    left = [change for change, key in keys.items() if tree.get(key) != work.after.get(key)]
    assert changes_of(result) == left and len(datastore.written(wire)) == len(left)
    wire.clear()
    assert not hostendpoints(wire, **work.options)["changed"] and datastore.written(wire) == []


# The nth write, and all after it, find no etcd

ALWAYS = 10**6


def break_from(datastore, wire, kind, operation, nth):
    when = {"method": datastore.writing(operation), "nth": nth, "times": ALWAYS}
    if datastore.type == "etcdv3":
        # Two are under way: which one comes first is not known, so it is told by its keys.
        first = key_of(datastore, "n%03d" % ((nth - 1) * TOGETHER["etcdv3"]), dict(PHASES)[operation])

        def is_meant(request):
            return any(kind == operation and key >= first for kind, key in datastore.operations(request))

        when.update(method=is_meant, nth=1)
    if kind == "500":
        wire.answer(500, "internal error", "text/plain", **when)
    elif kind == "no quorum":
        wire.answer(503, datastore.no_quorum, **when)
    else:
        wire.fault(kind, **when)


FAULTS = ["500", "no quorum", "cut_before_commit", "reset", "freeze"]


def places(datastore_type, size, *found):
    """The nth request by which such an operation is done."""
    types = KUBERNETES_DATASTORES if datastore_type == "kubernetes" else [datastore_type]
    return [(name, size, operation, nth) for name in types for operation, nth in found]


PLACES = [
    *places("etcdv2", 2, ("create", 1), ("create", 2), ("update", 2), ("delete", 1), ("delete", 2)),
    *places("etcdv2", 20, ("create", 11), ("update", 17), ("delete", 15)),
    *places("etcdv3", 2, ("create", 1), ("update", 1), ("delete", 1)),
    *places("etcdv3", 160, ("create", 2), ("update", 1), ("delete", 2)),
    *places("kubernetes", 2, ("create", 1), ("delete", 2)),
    *places("kubernetes", 20, ("create", 11), ("update", 17), ("delete", 15)),
]


@one_etcd
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("datastore_type, size, operation, nth", PLACES)
def test_writes_that_fail(datastore, wire, size, operation, nth, kind):
    work = some_work(datastore, size)
    break_from(datastore, wire, kind, operation, nth)
    result = hostendpoints(wire, timeout=stretched(0.5) if kind == "freeze" else PATIENT, **work.options)
    assert_told(datastore, work, result)
    together = TOGETHER[datastore.type]
    done = ORDER.index(operation) * size + (nth - 1) * together
    if datastore.type == "etcdv3":
        assert len(result["changes"]) == done
        assert len(result["failures"]) <= min(TRANSACTIONS * together, size - (nth - 1) * together)
    else:
        # Over several connections, some later ones may be done before the first one fails.
        several = WRITERS[datastore.type] if size == 20 or datastore.type == "kubernetes" else 1
        assert abs(len(result["changes"]) - done) < several
        assert len(result["failures"]) <= several
    if operation != "delete":
        assert "delete" not in {each for each, _key in datastore.written(wire)}, "an interface was opened"
    wire.heal()
    assert_converges(datastore, wire, work)


@one_etcd
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["cut_after_commit", "cut_mid_headers", "cut_mid_answer", "cut_before_commit"])
def test_writes_whose_answers_are_lost(datastore, wire, size, kind):
    """Now and then a connection breaks. All is done, each change once, and said to be done."""
    work = some_work(datastore, size)
    for _kind, node, name in work.plan[:: size - 1]:
        wire.fault(kind, datastore.writing(key=key_of(datastore, node, name)))
    result = hostendpoints(wire, **work.options)
    assert not result["failed"], result["msg"]
    assert datastore.stored() == work.after
    assert changes_of(result) == work.plan
    assert not hostendpoints(wire, **work.options)["changed"]


@pytest.mark.parametrize("size", SIZES)
def test_a_write_that_may_be_done(datastore, wire, size):
    """Its answer is lost, and then nothing answers any more."""
    work = some_work(datastore, size)
    nth = 1 if datastore.type == "etcdv3" else size
    wire.fault("cut_after_commit", datastore.writing(), nth=nth)
    # From then on.
    wire.before(datastore.writing(), lambda: wire.fault("cut_before_commit", None, times=ALWAYS), nth=nth)
    result = hostendpoints(wire, timeout=until_lost(datastore), **work.options)
    assert "may or may not have been made" in " ".join(failure["error"] for failure in result["failures"])
    assert_told(datastore, work, result, unsure=True)
    wire.heal()
    assert_converges(datastore, wire, work)


@pytest.mark.parametrize(
    "datastore_type, size, operation, nth",
    [
        *places("etcdv2", 2, ("create", 1), ("delete", 2)),
        *places("etcdv2", 20, ("update", 5)),
        *places("etcdv3", 2, ("create", 1), ("delete", 1)),
        *places("etcdv3", 160, ("update", 2)),
        ("kubernetes-v1", 20, "update", 5),
    ],
)
def test_etcd_is_killed(datastore, wire, size, operation, nth):
    """It comes back with what it had acknowledged."""
    work = some_work(datastore, size)
    wire.before(datastore.writing(operation), datastore.server.kill, nth=nth)
    result = hostendpoints(wire, timeout=until_lost(datastore), **work.options)
    assert not datastore.server.running
    datastore.server.start()
    assert_told(datastore, work, result, unsure=True)
    assert_converges(datastore, wire, work)


def test_nothing_was_written(datastore, wire):
    work = some_work(datastore, 2)
    break_from(datastore, wire, "500", "create", 1)
    result = hostendpoints(wire, **work.options)
    assert (result["failed"], result["changed"], result["changes"]) == (True, False, [])
    assert datastore.stored() == work.before


@pytest.mark.parametrize("size", SIZES)
def test_an_unsure_read_is_no_empty_one(datastore, wire, size):
    """Nothing is created or deleted after it."""
    work = some_work(datastore, size)
    # On etcdv2, few nodes are read one by one; then comes the state of the datastore.
    for nth in range(1, 4 if size == 2 and datastore.type == "etcdv2" else 3):
        for kind in ("500", "cut_mid_answer"):
            if kind == "500":
                wire.answer(500, "oops", method=datastore.is_read, nth=nth, times=ALWAYS)
            else:
                wire.fault(kind, datastore.is_read, nth=nth, times=ALWAYS)
            result = hostendpoints(wire, timeout=until_lost(datastore), **work.options)
            assert result["failed"] and "failures" not in result
            wire.heal()
    assert datastore.written(wire) == [] and datastore.stored() == work.before


def drip(monkeypatch, datastore, answers, seconds, drops=60):
    """The first answers to writes begin in drops, which together take so many seconds."""
    whole = wire_module._Conversation._bytes
    left = iter(range(answers))

    def dripping(conversation, *answer):
        head, content = whole(conversation, *answer)
        if not datastore.operations(conversation.server.requests[-1]) or next(left, None) is None:
            return head, content
        for drop in head[:drops]:
            conversation.wfile.write(bytes([drop]))
            time.sleep(seconds / drops)
        return head[drops:], content

    monkeypatch.setattr(wire_module._Conversation, "_bytes", dripping)


# On Kubernetes, the library kubernetes has a timeout for each piece of an answer, and none for the whole.
@one_etcd
@only_etcd
@pytest.mark.parametrize("size, answers", [(2, 1), (20, 4)])
def test_answers_in_drops(datastore, wire, monkeypatch, size, answers):
    """No request hangs past its timeout, over several connections neither."""
    work = some_work(datastore, size)
    timeout = stretched(0.5)
    # Each soon enough, all together too late.
    drip(monkeypatch, datastore, 1 if datastore.type == "etcdv3" else answers, 10 * timeout)
    with Waits() as waits:
        result = hostendpoints(wire, timeout=timeout, **work.options)
    assert waits.timeouts(timeout) <= 1
    assert not result["failed"] and datastore.stored() == work.after


@contextlib.contextmanager
def unanswering(datastore_type):
    """A server that no connection to is ever made: its queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _waiting in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield SimpleNamespace(url="http://127.0.0.1:%d" % listener.getsockname()[1], type=datastore_type)


@one_etcd
@only_etcd
def test_a_dead_member_costs_one_timeout_in_all_phases_and_connections(datastore):
    work = some_work(datastore, 20)
    with unanswering(datastore.type) as dead:
        timeout = stretched(1)
        with Waits() as waits:
            result = hostendpoints(dead, datastore, timeout=timeout, **work.options)
        assert waits.timeouts(timeout) == 1
    assert not result["failed"] and datastore.stored() == work.after


@one_etcd
def test_etcd_that_goes_silent_costs_two_timeouts(datastore, wire):
    """One for the writes under way, and one to find out what became of the first."""
    work = some_work(datastore, 160 if datastore.type == "etcdv3" else 20)
    nth = 1 if datastore.type == "etcdv3" else 8
    wire.before(datastore.writing(), lambda: wire.fault("freeze", method=None, times=ALWAYS), nth=nth)
    timeout = stretched(0.8)
    with Waits() as waits:
        result = hostendpoints(wire, timeout=timeout, **work.options)
    assert waits.timeouts(timeout) <= 2
    assert result["failed"] and result["failures"] and result["not_attempted"]


def test_what_was_done_is_told_though_etcd_is_gone_after_a_conflict(datastore, wire):
    """The changes with conflicts are planned again, which cannot be done then."""
    endpoints = [endpoint("n1", "e%d" % number) for number in range(5)]
    key = key_of(datastore, "n1", "e1")
    other = datastore.value(endpoint("n1", "e1", "other"))
    wire.before(datastore.writing(key=key), lambda: datastore.put(key, other))
    # The last write is made, and the state of the datastore is read again. On Kubernetes, any write may be the last.
    last = datastore.writing(key=key_of(datastore, "n1", "e4"))
    nth = 2 if datastore.type == "etcdv3" else 1
    if datastore.type == "kubernetes":
        wire.fault("cut_before_commit", method=datastore.reading(datastore.state_key), times=ALWAYS, nth=2)
    else:
        wire.before(last, lambda: wire.fault("cut_before_commit", method=None, times=ALWAYS, nth=2), nth=nth)
    result = hostendpoints(wire, endpoints=endpoints, timeout=until_lost(datastore))
    assert result["failed"]
    assert changes_of(result, "changes") == [("create", "n1", name) for name in ("e0", "e2", "e3", "e4")]
    assert changes_of(result, "failures") == [("create", "n1", "e1")]


def test_two_runs_at_once(datastore, wire):
    """The same work by two at the same time: it is done once, and each tells what it did."""
    work = some_work(datastore, 20)
    before = datastore.revision()
    meeting = threading.Barrier(2)
    wire.before(datastore.writing(), lambda: meeting.wait(HANG), times=2)
    processes = [ModuleProcess(task(wire, **work.options)) for _each in range(2)]
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda process: process.run(), processes))
    assert [status for status, _output in ended] == [0, 0], ended
    results = [output["result"] for _status, output in ended]
    assert datastore.stored() == work.after
    done = [changes_of(result) for result in results]
    assert sorted(done[0] + done[1]) == sorted(work.plan)
    # On etcdv3, the slower one may make some of a phase of its own.
    assert datastore.revision() - before <= (6 if datastore.type == "etcdv3" else len(work.plan))


# The module itself is killed

KILLS = [
    *places("etcdv2", 2, ("create", 1), ("create", 2), ("update", 2), ("delete", 1), ("delete", 2)),
    *places("etcdv2", 20, ("create", 17), ("update", 10), ("delete", 10)),
    *places("etcdv3", 2, ("create", 1), ("update", 1)),
    *places("etcdv3", 160, ("create", 2), ("update", 1), ("update", 2), ("delete", 2)),
    # The first two are under way, and may both be done.
    *places("etcdv3", 300, ("delete", 1)),
    *places("kubernetes", 2, ("create", 1), ("delete", 2)),
    *places("kubernetes", 20, ("create", 17), ("update", 10)),
]


@pytest.mark.parametrize("datastore_type, size, operation, nth", KILLS)
def test_the_module_is_killed(datastore, wire, size, operation, nth):
    """SIGKILL as the nth such write is on its way, which etcd then does not see if the number is even."""
    work = some_work(datastore, size)
    process = ModuleProcess(task(wire, **work.options))
    wire.before(datastore.writing(operation), process.kill, nth=nth)
    if nth % 2 == 0:
        wire.fault("cut_before_commit", datastore.writing(operation), nth=nth)
    assert process.run() == (-9, None)
    wire.heal()
    kinds = [kind for kind, _key in datastore.written(wire)]
    assert kinds == sorted(kinds, key=ORDER.index)
    tree = datastore.stored()
    assert tree != work.after
    assert all(tree.get(key) in (work.before.get(key), work.after.get(key)) for key in {**work.before, **work.after})
    result = hostendpoints(wire, **work.options)
    assert not result["failed"], result["msg"]
    assert datastore.stored() == work.after
    assert not hostendpoints(wire, **work.options)["changed"]
