# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is ended by a signal: a canary that has not passed is undone, and the result says what was written.

SIGINT is Ctrl-C, SIGHUP a terminal or an SSH session that was closed, and SIGTERM how other programs end one.
"""

from __future__ import annotations

import signal
import threading

import pytest

from tests.harness.pace import PATIENT, stretched
from tests.harness.wire import Wire
from tests.integration.hosts import OPEN, Hosts
from tests.integration.sets import ModuleProcess, changes_of, endpoint, hostendpoints, key_of
from tests.integration.tasks import NAMED, connection, one_etcd

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

pytestmark = [one_etcd, pytest.mark.thorough]


# Which one it is makes a difference to what takes it, and not to the phase: all of them at the ends and in the middle.
each_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


@pytest.fixture
def number():
    return signal.SIGTERM


@pytest.fixture
def hosts(datastore):
    with Hosts(datastore, "n1", "n2") as found:
        yield found


@pytest.fixture
def wire(datastore):
    with Wire(datastore) as wire:
        yield wire


class Run:
    """A run of the module in a process of its own, which a wire or a test may send signals to."""

    def __init__(self, *servers, module="calico_hostendpoints", before=(), **options):
        options = dict({"guard": "off", "timeout": PATIENT}, **dict(options, **connection(*servers)))
        self._process = ModuleProcess(options, module, before)
        self.end_by = self._process.send_signal

    def ended_by(self, number):
        """What ends it, for a wire to call."""
        return lambda: self.end_by(number)

    def result(self):
        return self.output()["result"]

    def output(self):
        """Of a ModuleProcess: the result, and what it cost."""
        status, output = self._process.run()
        assert status == 0, status
        return output

    def status(self):
        """Of one that has no result."""
        status, output = self._process.run()
        assert output is None
        return status


def some_work(datastore, nodes=("n1", "n2"), profiles=(OPEN,)):
    """Stores what is there before; the options of a task that creates, updates and deletes on each node."""
    stored = [endpoint(node, name, profiles=[OPEN]) for node in nodes for name in ("a", "b")]
    wanted = [endpoint(node, name, profiles=list(profiles), labels={"k": "v"}) for node in nodes for name in "cb"]
    datastore.put_all(datastore.tree_of(stored))
    return {"endpoints": wanted, "purge": "all", "purge_nodes": list(nodes)}


def with_canary(hosts, given, **options):
    return {"guard_facts": hosts.facts(), "canary": 1, "canary_wait": 60, **given, **options}


# On one node, in the order in which they are made.
CHANGES = [("create", "n1", "c"), ("update", "n1", "b"), ("delete", "n1", "a")]


def assert_undone(datastore, before, result, number, changes=None):
    """What is stored is as before, to the letter, and the result says so."""
    assert datastore.stored() == before
    assert result["failed"] and not result["changed"] and result["changes"] == [], result
    assert "%s ended the run before the canary had passed" % number.name in result["msg"]
    assert "nothing else was written" in result["msg"] and result["failures"] == []
    assert result["canary"] == ["n1"]
    if changes is not None:
        assert sorted(changes_of(result, "taken_back")) == sorted(changes)
        left = [change for change in CHANGES if change not in changes]
        assert sorted(changes_of(result, "not_attempted")) == sorted(
            left + [(kind, "n2", name) for kind, _node, name in CHANGES]
        )


# Before the first byte is written: there is nothing to undo


@each_signal
def test_while_it_reads(datastore, hosts, wire, number):
    given = some_work(datastore)
    before = datastore.stored()
    run = Run(wire, **with_canary(hosts, given))
    wire.before(datastore.is_read, run.ended_by(number), nth=2)
    assert run.status() == -number
    assert datastore.written(wire) == [] and datastore.stored() == before


# While the canary is written


@each_signal
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_while_the_canary_is_written(datastore, hosts, wire, number, nth):
    """As one of its writes is on the way: that one is made, the next ones are not begun, and those made are undone."""
    given = some_work(datastore)
    before = datastore.stored()
    run = Run(wire, **with_canary(hosts, given))
    wire.before(datastore.writing(), run.ended_by(number), nth=nth)
    assert_undone(datastore, before, run.result(), number, CHANGES[:nth])
    written = list(datastore.written(wire))
    assert written[:nth] == [(kind, key_of(datastore, "n1", name)) for kind, _node, name in CHANGES[:nth]]
    assert {key for _kind, key in written[nth:]} == {key for _kind, key in written[:nth]}


@pytest.mark.parametrize("kind, nth", [("cut_after_commit", 1), ("cut_before_commit", 2), ("keep_answer", 3)])
def test_while_it_waits_for_an_answer_that_does_not_come(datastore, hosts, wire, number, kind, nth):
    """The write may have been made, so it is looked at, and undone when it was."""
    given = some_work(datastore)
    before = datastore.stored()
    run = Run(wire, **with_canary(hosts, given, timeout=stretched(1)))
    wire.before(datastore.writing(), run.ended_by(number), nth=nth)
    wire.fault(kind, datastore.writing(), nth=nth)
    assert_undone(datastore, before, run.result(), number, CHANGES[:nth])


def test_while_it_waits_for_an_answer_to_what_somebody_else_changes(datastore, hosts, wire, number):
    """Theirs stays, and is told."""
    theirs = datastore.value(endpoint("n1", "c", "other"))
    key = key_of(datastore, "n1", "c")

    def change_it():
        run.end_by(number)
        datastore.put(key, theirs)

    run = Run(wire, **with_canary(hosts, some_work(datastore)))
    wire.before(lambda request: key in datastore.read_by(request) and datastore.get(key), change_it)
    wire.before(datastore.writing(), run.ended_by(number))
    result = run.result()
    assert datastore.get(key) == theirs
    assert result["failed"] and "changed by another client" in result["msg"]
    assert changes_of(result, "changes", "failures") == [CHANGES[0]] * 2


def test_while_many_writes_are_under_way(datastore, hosts, wire, number):
    """Over several connections, or in several transactions, of which each is told what became of it."""
    count = 300 if datastore.type == "etcdv3" else 40
    given = {"endpoints": [endpoint("n1", "e%03d" % each, profiles=[OPEN]) for each in range(count)]}
    run = Run(wire, **with_canary(hosts, given))
    # On etcdv3, 127 are in one transaction, and at most two of these are under way.
    wire.before(datastore.writing(), run.ended_by(number), nth=1 if datastore.type == "etcdv3" else 10)
    result = run.result()
    assert_undone(datastore, {}, result, number)
    made = len(result["taken_back"])
    assert made + len(result["not_attempted"]) == count
    most = {"etcdv2": 10 + 4, "kubernetes": 10 + 8}.get(datastore.type)
    assert 10 <= made <= most if most else made in (127, 254)


def test_while_a_write_that_met_a_conflict_is_tried_again(datastore, hosts, wire, number):
    """It is not begun again; the others are undone."""
    theirs = datastore.value(endpoint("n1", "b", "other"))

    def change_it():
        datastore.put(key_of(datastore, "n1", "b"), theirs)
        run.end_by(number)

    given = some_work(datastore)
    before = dict(datastore.stored(), **{key_of(datastore, "n1", "b"): theirs})
    run = Run(wire, **with_canary(hosts, given))
    wire.before(datastore.writing("update"), change_it)
    assert_undone(datastore, before, run.result(), number, CHANGES[:1])


def test_etcd_is_lost_as_it_is_ended(datastore, hosts, wire, number):
    """It ends soon, and says what it could not undo."""
    timeout = stretched(1)
    run = Run(wire, **with_canary(hosts, some_work(datastore), timeout=timeout))

    def lose_etcd():
        run.end_by(number)
        wire.fault("freeze", None, times=10**6)

    wire.before(datastore.writing("update"), lose_etcd)
    wire.fault("keep_answer", datastore.writing("update"))
    output = run.output()
    result = output["result"]
    # For the write under way, for what became of it, and for what there is to undo.
    assert output["waited"] < 3.5 * timeout
    assert result["failed"] and changes_of(result, "changes") == CHANGES[:1]
    assert "0 of its changes were undone, 2 could not be" in result["msg"]
    assert "may or may not have been made" in result["msg"] and "nothing else was written" in result["msg"]
    assert changes_of(result, "failures") == [CHANGES[1], CHANGES[0]]


# While its nodes are looked at


@each_signal
def test_while_its_nodes_are_looked_at(datastore, hosts, wire, number):
    """It does not look at them until the end, by which the process would hang."""
    given = some_work(datastore)
    before = datastore.stored()
    run = Run(wire, **with_canary(hosts, given, canary_wait=3600))
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run.result()))
    thread.start()
    hosts.wait_for_connections("n1", 3)
    run.end_by(number)
    thread.join()
    assert_undone(datastore, before, ended[0], number, CHANGES)


# While it is undone


def test_while_a_lost_canary_is_undone(datastore, hosts, wire, number):
    """The undo comes to its end, and the result is that of a lost canary."""
    given = some_work(datastore, profiles=())
    before = datastore.stored()
    run = Run(wire, **with_canary(hosts, given, canary_wait=PATIENT))
    for when in WHEN:
        in_the_undo(datastore, wire, when, run.ended_by(number))
    result = run.result()
    assert datastore.stored() == before
    assert "the canary failed: node n1" in result["msg"] and result["failures"] == []
    assert sorted(changes_of(result, "taken_back")) == sorted(CHANGES)


@each_signal
def test_more_signals_while_it_is_undone(datastore, hosts, wire, number):
    given = some_work(datastore)
    before = datastore.stored()
    run = Run(wire, **with_canary(hosts, given))
    wire.before(datastore.writing(), run.ended_by(number), nth=3)
    for when, other in zip(WHEN, SIGNALS):
        in_the_undo(datastore, wire, when, run.ended_by(other))
    assert_undone(datastore, before, run.result(), number, CHANGES)


WHEN = ("read", "first", "last")


def in_the_undo(datastore, wire, when, callback):
    """Call it as the undo reads, or begins or ends to write; before that, the canary makes its three writes."""
    if when == "read":
        is_written = {"count": 0}

        def is_meant(request):
            is_written["count"] += len(datastore.operations(request))
            return is_written["count"] >= 3 and datastore.is_read(request)

        wire.before(is_meant, callback)
    else:
        wire.before(datastore.writing(), callback, nth=4 if when == "first" else 6)


# While the rest is written: the canary has passed


@each_signal
@pytest.mark.parametrize("count, nth", [(0, 2), (1, 1), (1, 2), (1, 3)])
def test_while_the_rest_is_written(datastore, hosts, wire, number, count, nth):
    """What was made stays, and the next ones are not begun; so it is without a canary. Running it again goes on."""
    options = with_canary(hosts, some_work(datastore), canary=count, canary_wait=1)
    both = [(kind, node, name) for kind, _node, name in CHANGES for node in ("n1", "n2")]
    plan = sorted(both, key=lambda change: change[1]) if count else both
    kind, _node, name = last = CHANGES[nth - 1][:1] + ("n2",) + CHANGES[nth - 1][2:]
    run = Run(wire, **options)
    wire.before(datastore.writing(kind, key=key_of(datastore, "n2", name)), run.ended_by(number))
    result = run.result()
    made = plan[: plan.index(last) + 1]
    assert result["changed"] and changes_of(result, "changes") == made
    assert result.get("canary") == (["n1"] if count else None) and "taken_back" not in result
    # When nothing was left to be done, it has done it.
    assert result["failed"] == (made != plan)
    if result["failed"]:
        text = "%s ended the run: %d of %d changes were made, and no other was started"
        assert text % (number.name, len(made), len(plan)) in result["msg"] and result["failures"] == []
        assert changes_of(result, "not_attempted") == plan[len(made) :]
    again = hostendpoints(datastore, **options)
    assert not again["failed"] and changes_of(again) == plan[len(made) :]


# A signal that does not end it


def test_a_signal_that_is_ignored_ends_nothing(datastore, hosts, wire):
    """As nohup does, or a script for what it starts in the background."""
    given = some_work(datastore)
    run = Run(wire, before=["nohup"], **with_canary(hosts, given, canary_wait=1))
    wire.before(datastore.writing(), run.ended_by(signal.SIGHUP), times=100)
    result = run.result()
    assert not result["failed"] and result["summary"] == {"created": 2, "updated": 2, "deleted": 2, "unchanged": 0}


# One endpoint


@each_signal
def test_one_endpoint_is_written_all_the_same(datastore, wire, number):
    run = Run(wire, module="calico_hostendpoint", interface_name="eth0", **NAMED)
    wire.before(datastore.writing(), run.ended_by(number))
    result = run.result()
    assert not result["failed"] and result["operation"] == "create" and len(datastore.stored()) == 1


def test_one_endpoint_that_met_a_conflict_is_not_tried_again(datastore, wire, number):
    theirs = datastore.value(dict(NAMED, interface_name="eth9"))

    def change_it():
        datastore.put(datastore.key(NAMED["node"], NAMED["name"]), theirs)
        run.end_by(number)

    run = Run(wire, module="calico_hostendpoint", interface_name="eth0", **NAMED)
    wire.before(datastore.writing(), change_it)
    result = run.result()
    assert result["failed"] and result["msg"].startswith("%s ended the run: 0 of 1 changes were made" % number.name)
    assert list(datastore.stored().values()) == [theirs]
