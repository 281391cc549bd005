# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other writers at the same time, and connections that break in the middle of a write."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from functools import partial
from itertools import count

import pytest

from tests.harness.module import COLLECTION
from tests.harness.pace import HANG, stretched
from tests.harness.wire import Wire
from tests.integration.tasks import NAMED, connection, hostendpoint, one_etcd, only_etcd

pytestmark = pytest.mark.thorough

BEFORE = dict(NAMED, interface_name="eth0", labels={"a": "1"})
TASK = {"interface_name": "eth0", "labels": {"b": "2"}}
AFTER = dict(NAMED, **TASK)
PATCH = {"state": "patched", "labels": {"b": "2"}}
ABSENT = {"state": "absent"}

CREATE = pytest.param(None, TASK, "create", AFTER, id="create")
UPDATE = pytest.param(BEFORE, TASK, "update", AFTER, id="update")
PATCHED = pytest.param(BEFORE, PATCH, "update", dict(BEFORE, labels={"a": "1", "b": "2"}), id="patch")
DELETE = pytest.param(BEFORE, ABSENT, "delete", None, id="delete")
# What Calico cannot read.
SPOILT = "spoilt"
# A member of the stored object that nobody here knows.
X = '"x":9'


@pytest.fixture
def second_wire(datastore):
    """Another way to the same datastore."""
    with Wire(datastore) as second:
        yield second


def store(datastore, endpoint):
    if endpoint == SPOILT:
        datastore.put(datastore.key(**NAMED), datastore.malformed(NAMED))
    elif endpoint is not None:
        datastore.put_endpoint(endpoint)


def value_of(datastore, endpoint, more=""):
    return datastore.malformed(NAMED) if endpoint == SPOILT else datastore.value(endpoint, more=more)


def is_stored(datastore, endpoint, more=""):
    """Whether just this is stored."""
    expected = {} if endpoint is None else {datastore.key(**NAMED): value_of(datastore, endpoint, more)}
    return datastore.stored() == expected


def assert_done(datastore, result, operation, endpoint, more=""):
    assert not result["failed"], result["msg"]
    assert (result["changed"], result["operation"], result["warnings"]) == (True, operation, [])
    assert is_stored(datastore, endpoint, more)


# Controllers at the same time

# A line in, a task done, its outcome out.
CONTROLLER = """
import json
import sys
from tests.harness.module import run_module

parameters, controller = sys.argv[1:]
task = dict(json.loads(parameters), state="patched")
for number, _line in enumerate(sys.stdin):
    result = run_module("calico_hostendpoint", dict(task, labels={"%s.%d" % (controller, number): "x"}))
    print(result.get("msg") or result["operation"], flush=True)
"""


@pytest.mark.parametrize("number, rounds", [(2, 25), (4, 10)])
def test_controllers_that_patch_one_endpoint(datastore, wire, number, rounds):
    """In each round all have read before the first one writes, so that all but one meet a conflict."""
    endpoint = dict(NAMED, interface_name="eth0")
    datastore.put_endpoint(endpoint, more=X)
    parameters = json.dumps(dict(NAMED, **connection(wire)))
    controllers = [start_controller(parameters, "c%d" % each) for each in range(number)]
    try:
        for _round in range(rounds):
            meeting = threading.Barrier(number)
            wire.before(datastore.writing(), partial(meeting.wait, HANG), times=number)
            for controller in controllers:
                controller.stdin.write("go\n")
            assert [controller.stdout.readline() for controller in controllers] == ["update\n"] * number
    finally:
        for controller in controllers:
            controller.kill()
            controller.communicate()
    labels = {"c%d.%d" % (controller, each): "x" for controller in range(number) for each in range(rounds)}
    assert is_stored(datastore, dict(endpoint, labels=labels), X)
    # Each bears a condition.
    assert len(datastore.written(wire)) >= len(labels) + (number - 1) * rounds


def start_controller(parameters, name):
    command = [sys.executable, "-c", CONTROLLER, parameters, name]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=str(COLLECTION), text=True, bufsize=1)


# Another writer between our read and our write

OTHER = dict(NAMED, interface_name="eth9", labels={"a": "9"}, profiles=["p9"])
MERGED = dict(OTHER, labels={"a": "9", "b": "2"})
GONE = object()
OWNED = dict(NAMED, interface_name="eth0", labels={"projectcalico.org/created-by": "x"})


def slip_in(datastore, wire, other, **when):
    """The other one writes before our first write comes to etcd."""
    key = datastore.key(**NAMED)
    if other is GONE:
        wire.before(datastore.writing(), lambda: datastore.delete(key), **when)
    else:
        more = X if other is OTHER else ""
        wire.before(datastore.writing(), lambda: datastore.put(key, value_of(datastore, other, more)), **when)


@pytest.mark.parametrize(
    "stored, task, other, operation, after, more",
    [
        pytest.param(None, TASK, OTHER, "update", AFTER, X, id="present, created by another"),
        pytest.param(BEFORE, TASK, OTHER, "update", AFTER, X, id="present, changed by another"),
        pytest.param(BEFORE, TASK, GONE, "create", AFTER, "", id="present, deleted by another"),
        pytest.param(BEFORE, PATCH, OTHER, "update", MERGED, X, id="patched, changed by another"),
        pytest.param(BEFORE, ABSENT, OTHER, "delete", None, "", id="absent, changed by another"),
        pytest.param(SPOILT, TASK, OTHER, "update", AFTER, X, id="present, mended by another"),
    ],
)
def test_another_writer_is_seen(datastore, wire, stored, task, other, operation, after, more):
    store(datastore, stored)
    slip_in(datastore, wire, other)
    assert_done(datastore, hostendpoint(wire, **task), operation, after, more)
    assert len(datastore.written(wire)) == 2


def test_the_diff_is_that_of_the_write_that_was_done(datastore, wire):
    store(datastore, BEFORE)
    slip_in(datastore, wire, OTHER)
    result = hostendpoint(wire, **TASK)
    assert result["fields"] == ["labels", "interface_name", "profiles"]
    assert "eth9" in result["diff"]["before"] and "p9" in result["diff"]["before"]


@pytest.mark.parametrize(
    "stored, task, other",
    [
        pytest.param(None, TASK, AFTER, id="created as we wanted"),
        pytest.param(BEFORE, TASK, AFTER, id="changed as we wanted"),
        pytest.param(BEFORE, PATCH, AFTER, id="patched as we wanted"),
        pytest.param(BEFORE, ABSENT, GONE, id="deleted as we wanted"),
    ],
)
def test_another_writer_does_our_work(datastore, wire, stored, task, other):
    store(datastore, stored)
    slip_in(datastore, wire, other)
    result = hostendpoint(wire, **task)
    assert (result["failed"], result["changed"], result["operation"]) == (False, False, "none")
    assert is_stored(datastore, None if other is GONE else other)
    assert len(datastore.written(wire)) == 1


@pytest.mark.parametrize(
    "task, other, message",
    [
        pytest.param(PATCH, GONE, "does not exist", id="patched, deleted by another"),
        pytest.param(PATCH, SPOILT, "cannot be read", id="patched, spoilt by another"),
        pytest.param(TASK, OWNED, "belongs to Calico", id="present, taken by Calico"),
        pytest.param(ABSENT, OWNED, "belongs to Calico", id="absent, taken by Calico"),
    ],
)
def test_another_writer_makes_it_impossible(datastore, wire, task, other, message):
    store(datastore, BEFORE)
    slip_in(datastore, wire, other)
    result = hostendpoint(wire, **task)
    assert result["failed"] and message in result["msg"]
    assert is_stored(datastore, None if other is GONE else other)
    assert len(datastore.written(wire)) == 1


def test_the_datastore_is_locked_by_another(datastore, wire):
    """As an upgrade does it: what was read before is not written any more."""
    store(datastore, BEFORE)
    slip_in(datastore, wire, OTHER)
    wire.before(datastore.writing(), datastore.lock)
    result = hostendpoint(wire, **TASK)
    assert result["failed"] and "locked" in result["msg"] and datastore.state_key in result["msg"]
    assert is_stored(datastore, OTHER, X)


@pytest.mark.parametrize(
    "stored, task", [pytest.param(BEFORE, TASK, id="present"), pytest.param(BEFORE, PATCH, id="patched")]
)
def test_four_conflicts_are_overcome(datastore, wire, stored, task):
    store(datastore, stored)
    key, numbers = datastore.key(**NAMED), count()

    def other():
        # What changes nothing is no write on Kubernetes.
        datastore.put(key, datastore.value(OTHER, more='"x":%d' % next(numbers)))

    wire.before(datastore.writing(), other, times=4)
    assert hostendpoint(wire, **task)["changed"]
    assert len(datastore.written(wire)) == 5 and '"b":"2"' in datastore.get(key)


@pytest.mark.parametrize("stored, task, _operation, _after", [CREATE, UPDATE, PATCHED, DELETE])
def test_five_conflicts_are_given_up(datastore, wire, stored, task, _operation, _after):
    """Each try reads anew, and the last word is the other writer's."""
    key = datastore.key(**NAMED)
    store(datastore, stored)
    counter = iter(range(100))

    def other():
        if stored is None and datastore.get(key):
            datastore.delete(key)  # so that there is something to be created at the next try
        else:
            datastore.put_endpoint(dict(NAMED, interface_name="other%d" % next(counter)))

    wire.before(datastore.writing(), other, times=100)
    result = hostendpoint(wire, **task)
    assert result["failed"] and "gave up after 5" in result["msg"]
    assert "another client " in result["msg"] and key.rpartition("/")[2] in result["msg"]
    assert len(datastore.written(wire)) == 5
    # Each write comes after a read of the key.
    kinds = ["write" if datastore.operations(request) else datastore.read_by(request) for request in wire.requests]
    kinds = [kind for kind in kinds if kind in ([key], "write")]
    assert kinds[0] == [key] and all("write" != before for before, kind in zip(kinds, kinds[1:]) if kind == "write")
    assert datastore.get(key) is None or "other" in datastore.get(key)


# Connections that break

LOST_ANSWERS = ["cut_after_commit", "cut_mid_headers", "cut_mid_answer"]
LOST_REQUESTS = ["cut_before_commit", "reset"]


@one_etcd
@pytest.mark.parametrize("kind", LOST_ANSWERS)
@pytest.mark.parametrize("stored, task, operation, after", [CREATE, UPDATE, PATCHED, DELETE])
def test_a_write_whose_answer_is_lost(datastore, wire, stored, task, operation, after, kind):
    """It is done, once, and it is no conflict."""
    store(datastore, stored)
    before = datastore.revision()
    wire.fault(kind, datastore.writing())
    result = hostendpoint(wire, **task)
    assert_done(datastore, result, operation, after)
    assert datastore.revision() == before + 1
    assert hostendpoint(wire, **task)["operation"] == "none"


@one_etcd
@pytest.mark.parametrize("kind", LOST_REQUESTS)
@pytest.mark.parametrize("stored, task, operation, after", [CREATE, UPDATE, PATCHED, DELETE])
def test_a_write_that_never_comes_is_sent_again(datastore, wire, stored, task, operation, after, kind):
    store(datastore, stored)
    wire.fault(kind, datastore.writing())
    assert_done(datastore, hostendpoint(wire, **task), operation, after)
    first, second = [request for request in wire.requests if datastore.operations(request)]
    assert first[:3] == second[:3]


@one_etcd
@only_etcd
@pytest.mark.parametrize("kind", LOST_ANSWERS)
@pytest.mark.parametrize("stored, task, operation, after", [CREATE, UPDATE, PATCHED, DELETE])
def test_the_answer_to_the_second_try_is_lost(datastore, wire, second_wire, stored, task, operation, after, kind):
    """On etcdv3, a third try by another way tells what became of it."""
    store(datastore, stored)
    before = datastore.revision()
    wire.fault("cut_before_commit", datastore.writing())
    second_wire.fault(kind, datastore.writing())
    assert_done(datastore, hostendpoint(wire, second_wire, **task), operation, after)
    assert len(datastore.written(second_wire)) == 1
    assert datastore.revision() == before + 1


@one_etcd
@only_etcd
@pytest.mark.parametrize("kind", LOST_ANSWERS + LOST_REQUESTS)
@pytest.mark.parametrize("stored, task, operation, after", [CREATE, UPDATE, PATCHED, DELETE])
def test_several_endpoints(datastore, wire, second_wire, stored, task, operation, after, kind):
    store(datastore, stored)
    before = datastore.revision()
    wire.fault(kind, datastore.writing())
    result = hostendpoint(wire, second_wire, **task)
    assert_done(datastore, result, operation, after)
    assert len(datastore.written(wire)) == 1
    assert datastore.revision() == before + 1


@one_etcd
@pytest.mark.parametrize("stored, task, _operation, after", [CREATE, UPDATE, PATCHED, DELETE])
def test_no_answer_at_all_any_more(datastore, wire, stored, task, _operation, after):
    """The write may be done or not, which is what the message says; running it again converges."""
    store(datastore, stored)
    wire.fault("cut_after_commit", datastore.writing())
    wire.before(datastore.writing(), lambda: wire.fault("cut_before_commit", None, times=1000))
    result = hostendpoint(wire, timeout=stretched(3), **task)
    assert result["failed"] and "may or may not have been made" in result["msg"]
    assert datastore.key(**NAMED) in result["msg"]
    wire.heal()
    assert hostendpoint(wire, **task)["operation"] == "none"
    assert is_stored(datastore, after)


def when_we_look(datastore, wire, action):
    """It is done when we find out what became of our write: by a read, or on etcdv3 by sending it again."""
    if datastore.type != "etcdv3":
        wire.before(datastore.reading(datastore.key(**NAMED)), action, nth=2)
    else:
        wire.before(datastore.writing(), action, nth=2)


@one_etcd
def test_a_lost_answer_and_another_writer_after_it(datastore, wire):
    """Our write is done, and then somebody changes something else: no update is lost, and it was us who changed it."""
    store(datastore, BEFORE)
    wire.fault("cut_after_commit", datastore.writing())
    merged = dict(BEFORE, labels={"a": "9", "b": "2"})
    when_we_look(datastore, wire, lambda: datastore.put_endpoint(merged))
    result = hostendpoint(wire, **PATCH)
    assert not result["failed"], result["msg"]
    assert is_stored(datastore, merged)
    assert result["changed"], "handlers would not be told"


@one_etcd
def test_a_lost_request_and_another_writer_after_it(datastore, wire):
    store(datastore, BEFORE)
    wire.fault("cut_before_commit", datastore.writing())
    when_we_look(datastore, wire, lambda: datastore.put_endpoint(OTHER, more=X))
    assert_done(datastore, hostendpoint(wire, **PATCH), "update", MERGED, X)
