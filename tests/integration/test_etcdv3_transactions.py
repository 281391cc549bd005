# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On etcdv3, two transactions are under way at the same time: what becomes of one when the other one goes wrong."""

from __future__ import annotations

import importlib
import threading
from itertools import count

import pytest

from tests.harness.pace import HANG, PATIENT, Waits, stretched
from tests.harness.process import wait_for
from tests.integration.sets import changes_of, endpoint, hostendpoints, key_of
from tests.integration.tasks import one_etcd, only_etcdv3

pytestmark = only_etcdv3

# Endpoints in a transaction.
MOST = 127
ALWAYS = 10**6


def endpoints_of_three():
    return [endpoint("n%03d" % number) for number in range(300)]


def lists_of(result):
    """What was done, what failed and what was left: the numbers of the endpoints."""
    lists = ("changes", "failures", "not_attempted")
    return [[int(node[1:]) for _kind, node, _name in changes_of(result, name)] for name in lists]


FIRST, SECOND, THIRD = range(MOST), range(MOST, 2 * MOST), range(2 * MOST, 300)


@one_etcd
@pytest.mark.parametrize(
    "other, done, failed, left",
    [
        ("is made", SECOND, FIRST, THIRD),
        ("meets a conflict", [], FIRST, [*SECOND, *THIRD]),
        ("gets no answer", [], [*FIRST, *SECOND], THIRD),
        ("is refused", [], [*FIRST, *SECOND], THIRD),
    ],
)
def test_the_first_of_two_fails(datastore, wire, other, done, failed, left):
    """The truth is told of the second one, and nothing else is begun, not what a conflict has stopped either."""
    endpoints = endpoints_of_three()
    first, second = (datastore.writing(key=key_of(datastore, "n%03d" % number)) for number in (0, MOST))
    wire.answer(500, "internal error", "text/plain", method=first, times=ALWAYS)
    met = key_of(datastore, "n200")
    if other == "meets a conflict":
        wire.before(second, lambda: datastore.put(met, "theirs"))
    elif other == "gets no answer":
        wire.fault("cut_after_commit", second)
    elif other == "is refused":
        wire.answer(400, '{"error":"no","message":"etcdserver: too busy","code":3}', method=second)
    result = hostendpoints(wire, endpoints=endpoints, timeout=PATIENT)
    assert result["failed"]
    assert lists_of(result) == [list(done), list(failed), list(left)]
    errors = {number: each["error"] for number, each in zip(failed, result["failures"])}
    assert "status 500" in errors[0] and "may or may not have been made" in errors[0]
    if other == "gets no answer":
        assert "status 500" not in errors[MOST] and "may or may not have been made" in errors[MOST]
        assert wire.url in errors[MOST] and "126 more" in errors[MOST]
    if other == "is refused":
        assert "too busy" in errors[MOST] and "may or may not" not in errors[MOST]
    stored = {} if done == [] and other != "gets no answer" else datastore.tree_of(endpoints[MOST : 2 * MOST])
    assert datastore.stored() == ({met: "theirs"} if other == "meets a conflict" else stored)
    written = [key for _operation, key in datastore.written(wire)]
    # The first one is tried again.
    assert [written.count(key_of(datastore, "n%03d" % number)) for number in (0, MOST, 2 * MOST)] == [2, 1, 0]


@one_etcd
def test_a_conflict_of_a_write_that_got_no_answer_before_another_one_fails(datastore, wire):
    """The first try may still be carried out, so it is not told that nothing was attempted."""
    met = key_of(datastore, "n003")
    first, second = (datastore.writing(key=key_of(datastore, "n%03d" % number)) for number in (0, MOST))
    wire.fault("cut_before_commit", first)
    wire.before(first, lambda: datastore.put(met, "theirs"), nth=2)
    wire.answer(500, "internal error", "text/plain", method=second, times=ALWAYS)
    result = hostendpoints(wire, endpoints=endpoints_of_three(), timeout=PATIENT)
    done, failed, left = lists_of(result)
    assert result["failed"] and 3 in failed and not {3, *SECOND} & {*done, *left}
    (error,) = (each["error"] for each in result["failures"] if each["node"] == "n003")
    assert (
        "another client changed" in error and "may or may not have been made" in error and "run the task again" in error
    )


@one_etcd
def test_an_answer_that_has_come_while_another_one_was_waited_for(datastore, wire, monkeypatch):
    """The time for it is over then, and it counts all the same."""
    # However long this process has to wait for a processor: the answer is there.
    server = importlib.import_module(
        "ansible_collections.netsec.calico.plugins.module_utils._datastore._etcd.v3_server"
    )
    monkeypatch.setattr(server, "_GRACE", PATIENT)
    endpoints = endpoints_of_three()
    first, second = (key_of(datastore, "n%03d" % number) for number in (0, MOST))
    wire.fault("freeze", datastore.writing(key=first))
    timeout = stretched(0.8)
    with Waits() as waits:
        result = hostendpoints(wire, endpoints=endpoints, timeout=timeout)
    assert waits.timeouts(timeout) == 1
    assert not result["failed"], result["msg"]
    assert changes_of(result) == [("create", each["node"], "eth0") for each in endpoints]
    written = [key for _operation, key in datastore.written(wire)]
    assert (written.count(first), written.count(second)) == (2, 1)


@one_etcd
@pytest.mark.parametrize("number", [5, 200])
def test_what_was_in_the_way_is_gone_again(datastore, wire, number):
    """Somebody creates one of the endpoints, and has deleted it when we look which one it is."""
    endpoints = endpoints_of_three()
    key = key_of(datastore, "n%03d" % number)
    wire.before(datastore.writing(key=key), lambda: datastore.put(key, "theirs"))
    wire.before(datastore.reading(key), lambda: datastore.delete(key))
    result = hostendpoints(wire, endpoints=endpoints)
    assert not result["failed"], result["msg"]
    assert changes_of(result) == [("create", each["node"], "eth0") for each in endpoints]
    assert datastore.stored() == datastore.tree_of(endpoints)
    assert [place for _operation, place in datastore.written(wire)].count(key) == 2


@one_etcd
def test_the_order_of_what_is_told_after_conflicts(datastore, wire):
    """Created, updated, deleted; by node and name, and at the end of each what had met somebody else."""
    nodes = ["n%03d" % number for number in range(200)]
    datastore.put_all(datastore.tree_of(endpoint(node, name, "old") for node in nodes for name in ("b", "a")))
    met = nodes[3]

    def slip_in(name):
        key = key_of(datastore, met, name)
        value = datastore.value(endpoint(met, name, "theirs"))
        wire.before(datastore.writing(key=key), lambda: datastore.put(key, value))

    for name in ("b", "a"):
        slip_in(name)
    wanted = [endpoint(node, name) for node in nodes for name in ("c", "b")]
    result = hostendpoints(wire, endpoints=wanted, purge="all", purge_nodes=nodes)
    assert not result["failed"], result["msg"]
    others = [node for node in nodes if node != met]
    expected = [("create", node, "c") for node in nodes]
    expected += [("update", node, "b") for node in [*others, met]]
    expected += [("delete", node, "a") for node in [*others, met]]
    assert changes_of(result) == expected
    assert datastore.stored() == datastore.tree_of(wanted)
    # The transaction that was under way at that time is not made again.
    written = [key for _operation, key in datastore.written(wire)]
    assert [written.count(key_of(datastore, node, "b")) for node in (nodes[3], nodes[4], nodes[150])] == [2, 2, 1]


@one_etcd
def test_connections_that_are_closed_after_each_write(datastore, wire):
    endpoints = endpoints_of_three()
    wire.fault("hang_up", datastore.writing(), times=ALWAYS)
    before = datastore.revision()
    for label in ("old", "new"):
        result = hostendpoints(wire, endpoints=[dict(each, labels={"is": label}) for each in endpoints])
        assert not result["failed"], result["msg"]
    assert datastore.stored() == datastore.tree_of(endpoints, labels={"is": "new"})
    assert datastore.revision() - before == 6


# The state of the datastore is another one in mid-run

OPEN = '{"kind":"ClusterInformation","spec":{"calicoVersion":"v%d","datastoreReady":true}}'


@pytest.mark.parametrize("number, done", [(0, 0), (2 * MOST, 2 * MOST)])
def test_a_datastore_that_is_locked_in_mid_run(datastore, wire, number, done):
    """Nothing is written from then on, and it is said why."""
    endpoints = endpoints_of_three()
    first, second = (set(datastore.tree_of(some)) for some in (endpoints[:MOST], endpoints[MOST : 2 * MOST]))
    is_locked = threading.Event()

    def lock():
        if done:
            wait_for(lambda: first | second <= set(datastore.stored()), HANG, "two transactions are made")
        datastore.lock()
        is_locked.set()

    wire.before(datastore.writing(key=key_of(datastore, "n%03d" % number)), lock)
    if not done:
        wire.before(datastore.writing(key=key_of(datastore, "n%03d" % MOST)), lambda: is_locked.wait(PATIENT))
    result = hostendpoints(wire, endpoints=endpoints, timeout=2 * PATIENT)
    assert result["failed"] and "datastoreReady" in result["msg"] and "is locked" in result["msg"]
    assert "nothing more can be changed" in result["msg"]
    numbers = lists_of(result)
    failed = range(done, min(done + MOST, 300))
    assert numbers == [list(range(done)), list(failed), list(range(failed[-1] + 1, 300))]
    assert datastore.stored() == datastore.tree_of(endpoints[:done])


@one_etcd
@pytest.mark.parametrize("size", [1, 300])
def test_another_state_that_is_no_lock(datastore, wire, size):
    """A node of another version starts, say. All is written, once."""
    endpoints = endpoints_of_three()[:size]
    wire.before(datastore.writing(), lambda: datastore.put(datastore.state_key, OPEN % 1))
    result = hostendpoints(wire, endpoints=endpoints)
    assert not result["failed"], result["msg"]
    assert changes_of(result) == [("create", each["node"], "eth0") for each in endpoints]
    assert datastore.stored() == datastore.tree_of(endpoints)


@one_etcd
def test_a_datastore_that_gets_a_state(datastore, wire):
    datastore.delete(datastore.state_key)
    wire.before(datastore.writing(), lambda: datastore.put(datastore.state_key, datastore.ready))
    assert hostendpoints(wire, endpoints=endpoints_of_three()[:2])["summary"]["created"] == 2


@one_etcd
def test_a_state_that_changes_all_the_time(datastore, wire):
    numbers = count()
    wire.before(datastore.writing(), lambda: datastore.put(datastore.state_key, OPEN % next(numbers)), times=ALWAYS)
    result = hostendpoints(wire, endpoints=endpoints_of_three())
    assert result["failed"] and "another client keeps changing %s" % datastore.state_key in result["msg"]
    assert datastore.stored() == {} and sum(map(len, lists_of(result))) == 300


@one_etcd
def test_a_state_that_cannot_be_read_any_more(datastore, wire):
    """What was done before is told."""
    endpoints = [endpoint("n1"), endpoint("n2", "eth0", "new")]
    datastore.put_endpoint(endpoint("n2", "eth0", "old"))

    def change():
        datastore.put(datastore.state_key, OPEN % 1)
        # The first one is which of the keys has stopped the transaction.
        wire.answer(500, "oops", "text/plain", method=datastore.reading(datastore.state_key), nth=2, times=ALWAYS)

    wire.before(datastore.writing("update"), change)
    result = hostendpoints(wire, endpoints=endpoints)
    assert result["failed"] and "status 500" in result["msg"]
    assert [changes_of(result, name) for name in ("changes", "failures")] == [
        [("create", "n1", "eth0")],
        [("update", "n2", "eth0")],
    ]
