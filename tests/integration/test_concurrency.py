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

import pytest

from tests.harness.module import COLLECTION
from tests.harness.wire import Wire
from tests.integration.tasks import HOSTS, KEY, READY, hostendpoint

BEFORE = '{"name":"eth0","labels":{"a":"1"}}'
TASK = {"interface_name": "eth0", "labels": {"b": "2"}}
AFTER = '{"name":"eth0","labels":{"b":"2"}}'
PATCH = {"state": "patched", "labels": {"b": "2"}}
ABSENT = {"state": "absent"}

CREATE = pytest.param(None, TASK, "create", AFTER, id="create")
UPDATE = pytest.param(BEFORE, TASK, "update", AFTER, id="update")
PATCHED = pytest.param(BEFORE, PATCH, "update", '{"name":"eth0","labels":{"a":"1","b":"2"}}', id="patch")
DELETE = pytest.param(BEFORE, ABSENT, "delete", None, id="delete")


@pytest.fixture(autouse=True)
def calico(etcd):
    etcd.put(READY, "true")


@pytest.fixture
def second_wire(etcd):
    """Another way to the same etcd."""
    with Wire(etcd) as second:
        yield second


def store(etcd, value):
    if value is not None:
        etcd.put(KEY, value)


def assert_done(etcd, result, operation, value):
    assert not result["failed"], result["msg"]
    assert (result["changed"], result["operation"], result["warnings"]) == (True, operation, [])
    assert etcd.tree(HOSTS) == ({} if value is None else {KEY: value})


def is_conditional(request):
    return bool({"prevIndex", "prevExist"} & set(request.parameters)) and request.parameters.get("prevIndex") != "0"


# Controllers at the same time

# A line in, a task done, its outcome out.
CONTROLLER = """
import sys
from tests.harness.module import run_module

url, controller = sys.argv[1:]
task = {"name": "eth0", "node": "n1", "state": "patched", "etcd_endpoints": [url]}
for number, _line in enumerate(sys.stdin):
    result = run_module("calico_hostendpoint", dict(task, labels={"%s.%d" % (controller, number): "x"}))
    print(result.get("msg") or result["operation"], flush=True)
"""


@pytest.mark.parametrize("number, rounds", [(2, 40), (4, 15)])
def test_controllers_that_patch_one_endpoint(etcd, wire, number, rounds):
    """In each round all have read before the first one writes, so that all but one meet a conflict."""
    etcd.put(KEY, '{"name":"eth0","x":1}')
    controllers = [start_controller(wire.url, "c%d" % each) for each in range(number)]
    try:
        for _round in range(rounds):
            meeting = threading.Barrier(number)
            wire.before("PUT", partial(meeting.wait, 20), times=number)
            for controller in controllers:
                controller.stdin.write("go\n")
            assert [controller.stdout.readline() for controller in controllers] == ["update\n"] * number
    finally:
        for controller in controllers:
            controller.kill()
            controller.communicate()
    labels = {"c%d.%d" % (controller, each): "x" for controller in range(number) for each in range(rounds)}
    assert json.loads(etcd.get(KEY)) == {"name": "eth0", "labels": labels, "x": 1}
    assert len(wire.writes) >= len(labels) + (number - 1) * rounds
    assert all(is_conditional(request) for request in wire.writes)


def start_controller(url, name):
    command = [sys.executable, "-c", CONTROLLER, url, name]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=str(COLLECTION), text=True, bufsize=1)


# Another writer between our read and our write

OTHER = '{"name":"eth9","labels":{"a":"9"},"profile_ids":["p9"],"x":9}'
GONE = object()
OWNED = '{"name":"eth0","labels":{"projectcalico.org/created-by":"x"}}'


def slip_in(etcd, wire, value, **when):
    """The other one writes before our first write comes to etcd."""
    write = (lambda: etcd.delete(KEY)) if value is GONE else (lambda: etcd.put(KEY, value))
    for method in ("PUT", "DELETE"):
        wire.before(method, write, **when)


@pytest.mark.parametrize(
    "stored, task, other, operation, value",
    [
        pytest.param(None, TASK, OTHER, "update", AFTER[:-1] + ',"x":9}', id="present, created by another"),
        pytest.param(BEFORE, TASK, OTHER, "update", AFTER[:-1] + ',"x":9}', id="present, changed by another"),
        pytest.param(BEFORE, TASK, GONE, "create", AFTER, id="present, deleted by another"),
        pytest.param(
            BEFORE,
            PATCH,
            OTHER,
            "update",
            '{"name":"eth9","labels":{"a":"9","b":"2"},"profile_ids":["p9"],"x":9}',
            id="patched, changed by another",
        ),
        pytest.param(BEFORE, ABSENT, OTHER, "delete", None, id="absent, changed by another"),
        pytest.param("[]", TASK, OTHER, "update", AFTER[:-1] + ',"x":9}', id="present, mended by another"),
    ],
)
def test_another_writer_is_seen(etcd, wire, stored, task, other, operation, value):
    store(etcd, stored)
    slip_in(etcd, wire, other)
    assert_done(etcd, hostendpoint(wire, **task), operation, value)
    assert len(wire.writes) == 2 and all(is_conditional(request) for request in wire.writes)


def test_the_diff_is_that_of_the_write_that_was_done(etcd, wire):
    store(etcd, BEFORE)
    slip_in(etcd, wire, OTHER)
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
def test_another_writer_does_our_work(etcd, wire, stored, task, other):
    store(etcd, stored)
    slip_in(etcd, wire, other)
    result = hostendpoint(wire, **task)
    assert (result["failed"], result["changed"], result["operation"]) == (False, False, "none")
    assert etcd.tree(HOSTS) == ({} if other is GONE else {KEY: other})
    assert len(wire.writes) == 1


@pytest.mark.parametrize(
    "task, other, message",
    [
        pytest.param(PATCH, GONE, "does not exist", id="patched, deleted by another"),
        pytest.param(PATCH, "[]", "cannot be read", id="patched, spoilt by another"),
        pytest.param(TASK, OWNED, "belongs to Calico", id="present, taken by Calico"),
        pytest.param(ABSENT, OWNED, "belongs to Calico", id="absent, taken by Calico"),
    ],
)
def test_another_writer_makes_it_impossible(etcd, wire, task, other, message):
    store(etcd, BEFORE)
    slip_in(etcd, wire, other)
    result = hostendpoint(wire, **task)
    assert result["failed"] and message in result["msg"]
    assert etcd.tree(HOSTS) == ({} if other is GONE else {KEY: other})
    assert len(wire.writes) == 1


@pytest.mark.parametrize(
    "stored, task", [pytest.param(BEFORE, TASK, id="present"), pytest.param(BEFORE, PATCH, id="patched")]
)
def test_four_conflicts_are_overcome(etcd, wire, stored, task):
    store(etcd, stored)
    slip_in(etcd, wire, OTHER, times=4)
    assert hostendpoint(wire, **task)["changed"]
    assert len(wire.writes) == 5 and json.loads(etcd.get(KEY))["labels"]["b"] == "2"


@pytest.mark.parametrize("stored, task, _operation, _value", [CREATE, UPDATE, PATCHED, DELETE])
def test_five_conflicts_are_given_up(etcd, wire, stored, task, _operation, _value):
    """Each try reads anew, and the last word is the other writer's."""
    store(etcd, stored)
    counter = iter(range(100))

    def other():
        if stored is None and etcd.get(KEY):
            etcd.delete(KEY)  # so that there is something to be created at the next try
        else:
            etcd.put(KEY, '{"name":"other%d"}' % next(counter))

    wire.before("PUT", other, times=100)
    wire.before("DELETE", other, times=100)
    result = hostendpoint(wire, **task)
    assert result["failed"] and "gave up after 5" in result["msg"]
    assert "somebody else changed " + KEY in result["msg"]
    assert len(wire.writes) == 5 and all(is_conditional(request) for request in wire.writes)
    methods = [request.method for request in wire.requests if request.key == KEY]
    assert all(before == "GET" for before, method in zip(methods, methods[1:]) if method != "GET")
    assert etcd.get(KEY) is None or json.loads(etcd.get(KEY))["name"].startswith("other")


# Connections that break

LOST_ANSWERS = ["cut_after_commit", "cut_mid_headers", "cut_mid_answer"]
LOST_REQUESTS = ["cut_before_commit", "reset"]


def break_write(wire, kind, **when):
    for method in ("PUT", "DELETE"):
        wire.fault(kind, method, **when)


@pytest.mark.parametrize("kind", LOST_ANSWERS)
@pytest.mark.parametrize("stored, task, operation, value", [CREATE, UPDATE, PATCHED, DELETE])
def test_a_write_whose_answer_is_lost(etcd, wire, stored, task, operation, value, kind):
    """It is done, once, and it is no conflict."""
    store(etcd, stored)
    break_write(wire, kind)
    result = hostendpoint(wire, **task)
    assert_done(etcd, result, operation, value)
    assert len(wire.writes) == 1
    assert hostendpoint(wire, **task)["operation"] == "none"


@pytest.mark.parametrize("kind", LOST_REQUESTS)
@pytest.mark.parametrize("stored, task, operation, value", [CREATE, UPDATE, PATCHED, DELETE])
def test_a_write_that_never_comes_is_sent_again(etcd, wire, stored, task, operation, value, kind):
    store(etcd, stored)
    break_write(wire, kind)
    assert_done(etcd, hostendpoint(wire, **task), operation, value)
    assert len(wire.writes) == 2 and wire.writes[0] == wire.writes[1]


@pytest.mark.parametrize("kind", LOST_ANSWERS)
@pytest.mark.parametrize("stored, task, operation, value", [CREATE, UPDATE, PATCHED, DELETE])
def test_the_answer_to_the_second_try_is_lost(etcd, wire, stored, task, operation, value, kind):
    store(etcd, stored)
    break_write(wire, "cut_before_commit")
    break_write(wire, kind, nth=2)
    assert_done(etcd, hostendpoint(wire, **task), operation, value)
    assert len(wire.writes) == 2


@pytest.mark.parametrize("kind", LOST_ANSWERS + LOST_REQUESTS)
@pytest.mark.parametrize("stored, task, operation, value", [CREATE, UPDATE, PATCHED, DELETE])
def test_several_endpoints(etcd, wire, second_wire, stored, task, operation, value, kind):
    store(etcd, stored)
    break_write(wire, kind)
    result = hostendpoint(wire, second_wire, **task)
    assert_done(etcd, result, operation, value)
    assert len(wire.writes) == 1
    assert len(second_wire.writes) == (1 if kind in LOST_REQUESTS else 0)


@pytest.mark.parametrize("stored, task, _operation, value", [CREATE, UPDATE, PATCHED, DELETE])
def test_no_answer_at_all_any_more(etcd, wire, stored, task, _operation, value):
    """The write may be done or not, which is what the message says; running it again converges."""
    store(etcd, stored)
    break_write(wire, "cut_after_commit")
    wire.fault("cut_before_commit", "GET", path_contains=KEY, nth=2, times=100)
    result = hostendpoint(wire, **task)
    assert result["failed"] and "may or may not be done" in result["msg"] and KEY in result["msg"]
    wire.heal()
    assert hostendpoint(wire, **task)["operation"] == "none"
    assert etcd.get(KEY) == value


def test_a_lost_answer_and_another_writer_after_it(etcd, wire):
    """Our write is done, and then somebody changes something else: no update is lost, and it was us who changed it."""
    store(etcd, BEFORE)
    wire.fault("cut_after_commit")
    merged = '{"name":"eth0","labels":{"a":"9","b":"2"}}'
    wire.before("GET", lambda: etcd.put(KEY, merged), path_contains=KEY, nth=2)  # when we look whether it was done
    result = hostendpoint(wire, **PATCH)
    assert not result["failed"], result["msg"]
    assert etcd.get(KEY) == merged
    assert result["changed"], "handlers would not be told"


def test_a_lost_request_and_another_writer_after_it(etcd, wire):
    store(etcd, BEFORE)
    wire.fault("cut_before_commit")
    wire.before("GET", lambda: etcd.put(KEY, OTHER), path_contains=KEY, nth=2)
    result = hostendpoint(wire, **PATCH)
    assert_done(etcd, result, "update", '{"name":"eth9","labels":{"a":"9","b":"2"},"profile_ids":["p9"],"x":9}')
