# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that are dead, frozen, cut off, slow or without quorum: an error in time, or the next server."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time

import pytest

from tests.harness.module import run_module
from tests.harness.process import free_port, wait_for
from tests.harness.wire import Wire

APPLY, INFO = "calico_hostendpoint", "calico_hostendpoint_info"
ETH0 = {"name": "eth0", "node": "myhost", "interface_name": "eth0"}
KEY = "/calico/v1/host/myhost/endpoint/eth0"
OLD, NEW = '{"name":"eth0"}', '{"name":"eth0","labels":{"role":"new"}}'
READY = "/calico/v1/Ready"

# Seconds. SHORT is for what may take two timeouts, and must not take four.
TIMEOUT, SHORT = 0.6, 0.3
# What the machine may need on top, and less than another TIMEOUT.
MARGIN = 0.5


def task(module, endpoints, timeout=TIMEOUT, **options):
    """The result of a run, and the seconds that it took."""
    fields = ETH0 if module == APPLY else {}
    start = time.monotonic()
    result = run_module(module, dict(fields, etcd_endpoints=endpoints, timeout=timeout, **options))
    return result, time.monotonic() - start


def apply(endpoints, **options):
    return task(APPLY, endpoints, **options)


def failure(result, *parts):
    """The message of a failed run, in which all the parts are."""
    assert result["failed"], result
    assert "changed" not in result or result["changed"] is False
    for part in parts:
        assert part in result["msg"], result["msg"]
    return result["msg"]


# Who does not answer


@pytest.fixture
def dead():
    """The URL of a port that nobody listens on."""
    return "http://127.0.0.1:%d" % free_port()


@pytest.fixture
def mute():
    """The URL of a server whose connections the kernel accepts, and that never answers: a frozen one."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield "http://127.0.0.1:%d" % listener.getsockname()[1]


@pytest.fixture
def hole():
    """The URL of a server whose queue of connections is full: no connection ever comes about."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while True:
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            if not select.select([], [client], [], 0.05)[1]:
                break
        yield "http://127.0.0.1:%d" % listener.getsockname()[1]


@pytest.fixture(params=["dead", "mute", "hole"])
def silent(request):
    """Each of the three: the URL, and the seconds that it costs."""
    return request.getfixturevalue(request.param), 0 if request.param == "dead" else TIMEOUT


def freeze(server):
    """Freeze it, and wait until each of its threads has noticed."""
    server.freeze()

    def frozen():
        folder = "/proc/%d/task" % server.pid
        return all(_state(os.path.join(folder, thread)) == "T" for thread in os.listdir(folder))

    wait_for(frozen, 5, "the server is frozen")


def _state(folder):
    with open(os.path.join(folder, "stat"), encoding="ascii") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


@pytest.fixture
def store(etcd):
    """An etcd with one endpoint, as Calico left it."""
    etcd.put(READY, "true")
    etcd.put(KEY, OLD)
    return etcd


@contextlib.contextmanager
def two_wires(etcd):
    with Wire(etcd) as first, Wire(etcd) as second:
        yield first, second


# One endpoint, and nobody there

TASKS = [
    pytest.param(APPLY, {}, id="present"),
    pytest.param(APPLY, {"state": "patched", "labels": {"role": "new"}}, id="patched"),
    pytest.param(APPLY, {"state": "absent"}, id="absent"),
    pytest.param(INFO, {}, id="info"),
    pytest.param(INFO, {"node": "myhost"}, id="info of a node"),
]


@pytest.mark.parametrize("module, options", TASKS)
def test_refused(dead, module, options):
    result, seconds = task(module, dead, **options)
    failure(result, "cannot reach etcd", dead, "refused", "etcd_endpoints")
    assert seconds < MARGIN


@pytest.mark.parametrize("module", [APPLY, INFO])
@pytest.mark.parametrize("kind, cause", [("mute", "no answer within 0.6 s"), ("hole", "no connection within 0.6 s")])
def test_silence_is_an_error_after_one_timeout(request, kind, cause, module):
    url = request.getfixturevalue(kind)
    result, seconds = task(module, url)
    failure(result, "cannot reach etcd", url, cause, "etcd_endpoints")
    assert TIMEOUT * 0.9 < seconds < TIMEOUT + MARGIN


def test_check_mode_fails_too(mute):
    result = run_module(APPLY, dict(ETH0, etcd_endpoints=mute, timeout=0.2), check=True)
    failure(result, mute, "no answer within 0.2 s")


def test_every_endpoint_is_named_with_its_own_cause(dead, mute, hole):
    result, seconds = apply([dead, mute, hole], timeout=SHORT)
    message = failure(result, "cannot reach etcd", dead, mute, hole)
    parts = dict(part.split(": ", 1) for part in message.split("cannot reach etcd: ")[1].split("; "))
    assert "refused" in parts[dead] and "no answer" in parts[mute] and "no connection" in parts[hole]
    assert seconds < 2 * SHORT + MARGIN


def test_a_host_name_that_nobody_knows():
    result, _seconds = apply("http://etcd.invalid:2379")
    failure(result, "http://etcd.invalid:2379", "host name", "resolved")


def test_a_frozen_server(store):
    freeze(store)
    for module in (APPLY, INFO):
        result, seconds = task(module, store.url, timeout=SHORT)
        failure(result, "cannot reach etcd", store.url, "no answer within 0.3 s")
        assert seconds < SHORT + MARGIN
    store.thaw()
    assert apply(store.url)[0]["operation"] == "none"


@contextlib.contextmanager
def dripping(*pieces, pause=0.2):
    """The URL of a server that sends one piece after another, each soon enough, all together too late."""
    closing = threading.Event()

    def talk(listener):
        with contextlib.suppress(OSError):
            while not closing.is_set():
                client, _address = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.recv(65536)
                    for piece in pieces:
                        client.sendall(piece)
                        if closing.wait(pause):
                            break

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk, args=(listener,))
        thread.start()
        try:
            yield "http://127.0.0.1:%d" % listener.getsockname()[1]
        finally:
            closing.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


NOT_FOUND = json.dumps({"errorCode": 100, "message": "Key not found", "cause": "/calico", "index": 1}).encode()
HEAD = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(NOT_FOUND)
# After this one, http.client lets go of the connection.
LAST = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0")


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([HEAD + b"\r\n"] + [bytes([byte]) for byte in NOT_FOUND[:10]] + [NOT_FOUND[10:]], id="body"),
        pytest.param([LAST + b"\r\n"] + [bytes([byte]) for byte in NOT_FOUND], id="body of a last answer"),
        pytest.param([HEAD] + [b"X-%d: y\r\n" % number for number in range(10)] + [b"\r\n" + NOT_FOUND], id="headers"),
    ],
)
def test_an_answer_in_drops_is_too_late_all_the_same(pieces):
    """design.md: no request ever hangs past its timeout."""
    with dripping(*pieces) as url:
        result, seconds = task(INFO, url)
        failure(result, url, "no answer within 0.6 s")
        assert seconds < TIMEOUT + MARGIN


# The write goes out, and nothing comes back

WRITES = [
    pytest.param("PUT", {"labels": {"role": "new"}}, NEW, id="update"),
    pytest.param("DELETE", {"state": "absent"}, None, id="delete"),
    pytest.param("PUT", {"name": "eth1"}, OLD, id="create"),
]


@pytest.mark.parametrize("method, options, _after", WRITES)
def test_frozen_between_read_and_write(store, method, options, _after):
    with Wire(store) as wire:
        wire.before(method, lambda: freeze(store))
        result, seconds = apply(wire.url, timeout=SHORT, **options)
    key = KEY.replace("eth0", options.get("name", "eth0"))
    failure(result, key, "no answer within 0.3 s", "may or may not be done", "run this again", wire.url)
    # The write, and the read that would have told what became of it.
    assert seconds < 2 * SHORT + MARGIN
    store.thaw()
    again, _seconds = apply(store.url, **options)
    assert not again["failed"]
    assert apply(store.url, **options)[0]["changed"] is False


def test_writes_that_are_never_answered(store, wire):
    """Reads are: as far as they tell nothing was written, but a frozen request may still be carried out later."""
    wire.fault("freeze", times=99)
    result, seconds = apply(wire.url, timeout=SHORT, labels={"role": "new"})
    failure(result, KEY, wire.url, "no answer within 0.3 s", "may or may not be done", "run this again")
    assert seconds < 2 * SHORT + MARGIN
    assert store.get(KEY) == OLD


@pytest.mark.parametrize("fault", ["freeze", "reset", "cut_before_commit", "cut_after_commit", "cut_mid_answer"])
@pytest.mark.parametrize("method, options, after", WRITES)
def test_one_unanswered_write_is_made_good(store, wire, fault, method, options, after):
    wire.fault(fault, method=method)
    result, seconds = apply(wire.url, timeout=SHORT, **options)
    assert not result["failed"], result
    assert result["changed"] is True
    assert store.get(KEY.replace("eth0", options.get("name", "eth0"))) == after
    assert seconds < SHORT + MARGIN


def test_restarted_between_read_and_write(store):
    with Wire(store) as wire:
        wire.before("PUT", store.restart)
        result, _seconds = apply(wire.url, timeout=5, labels={"role": "new"})
    assert result["operation"] == "update"
    assert store.get(KEY) == NEW


# Half an answer


@pytest.mark.parametrize("module, options", TASKS)
@pytest.mark.parametrize("fault", ["cut_mid_answer", "cut_mid_headers", "cut_after_commit", "reset"])
def test_half_an_answer_is_an_error(store, wire, fault, module, options):
    wire.fault(fault, method="GET", times=99)
    result, _seconds = task(module, wire.url, **options)
    failure(result, wire.url)
    assert wire.writes == []


def test_an_answer_that_breaks_off_is_said_to_do_so(store, wire):
    wire.fault("cut_mid_answer", method="GET", times=99)
    message = failure(task(INFO, wire.url)[0], "connection broke")
    assert "'" not in message and "IncompleteRead" not in message, message


def test_half_an_answer_from_the_first_of_two(store):
    with two_wires(store) as (first, second):
        first.fault("cut_mid_answer", method="GET", times=99)
        result, _seconds = task(INFO, [first.url, second.url])
    assert [each["name"] for each in result["hostendpoints"]] == ["eth0"]


# Several endpoints


def test_a_silent_first_endpoint_costs_one_timeout_at_most(store, silent, dead):
    """A run that writes sends three requests: they must not pay for it one by one."""
    url, cost = silent
    for number, endpoints in enumerate(([url, store.url], [dead, url, store.url])):
        result, seconds = apply(endpoints, labels={"role": "run%d" % number})
        assert result["operation"] == "update", result
        assert store.get(KEY) == '{"name":"eth0","labels":{"role":"run%d"}}' % number
        assert seconds < cost + MARGIN
    result, seconds = task(INFO, [url, dead, store.url])
    assert len(result["hostendpoints"]) == 1 and result["warnings"] == []
    assert seconds < cost + MARGIN


def test_a_silent_last_endpoint_costs_nothing(store, silent):
    result, seconds = apply([store.url, silent[0]], labels={"role": "new"})
    assert result["changed"] is True
    assert seconds < MARGIN


def test_the_first_endpoint_goes_between_read_and_write(store):
    for number, fault in enumerate(["freeze", "reset", "cut_before_commit", "cut_after_commit", "cut_mid_answer"]):
        with two_wires(store) as (first, second):
            first.fault(fault, method=None, nth=3, times=99)
            result, seconds = apply([first.url, second.url], labels={"role": "run%d" % number})
            assert result["operation"] == "update", (fault, result)
            assert first.writes and seconds < TIMEOUT + MARGIN
        assert store.get(KEY) == '{"name":"eth0","labels":{"role":"run%d"}}' % number


def test_both_of_two_wires_freeze_at_the_write(store):
    with two_wires(store) as (first, second):
        for wire in (first, second):
            wire.fault("freeze", times=99)
        result, seconds = apply([first.url, second.url], timeout=SHORT, labels={"role": "new"})
    failure(result, KEY, "no answer within 0.3 s", "may or may not be done", "run this again")
    assert seconds < 3 * SHORT + MARGIN


NO_QUORUM = {"errorCode": 300, "message": "Raft Internal Error", "cause": "etcdserver: no leader", "index": 4}
UNWELL = [
    pytest.param(500, json.dumps(NO_QUORUM), "application/json", "no leader", id="500 of etcd"),
    pytest.param(503, json.dumps(NO_QUORUM), "application/json", "no leader", id="503 of etcd"),
    pytest.param(500, '{"message":"Internal Server Error"}', "application/json", "Internal Server", id="500 JSON"),
    pytest.param(502, "<html>Bad Gateway</html>", "text/html", "502", id="502 of a proxy"),
    pytest.param(503, "Service Unavailable", "text/plain", "503", id="503 of a proxy"),
]


@pytest.mark.parametrize("status, body, content_type, cause", UNWELL)
def test_a_server_that_is_unwell(store, wire, status, body, content_type, cause):
    wire.answer(status, body, content_type, method=None, times=99)
    for module, options in ((APPLY, {}), (APPLY, {"state": "absent"}), (INFO, {})):
        message = failure(task(module, wire.url, **options)[0], wire.url, cause)
        # It is not the API that is missing.
        assert "--enable-v2" not in message, message


@pytest.mark.parametrize("status, body, content_type, cause", UNWELL)
def test_an_unwell_first_server_is_passed_over(store, status, body, content_type, cause):
    with two_wires(store) as (first, second):
        first.answer(status, body, content_type, method=None, times=99)
        result, _seconds = apply([first.url, second.url], labels={"role": "new"})
    assert not result["failed"], result
    assert store.get(KEY) == NEW


def test_a_write_that_fails_for_lack_of_a_quorum_is_tried_again(store, wire):
    wire.answer(500, json.dumps(NO_QUORUM), method="PUT")
    result, _seconds = apply(wire.url, labels={"role": "new"})
    assert result["operation"] == "update" and store.get(KEY) == NEW
    assert len(wire.writes) == 2


def test_proxies_of_the_environment_are_not_asked(store, dead):
    environment = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "all_proxy"), dead)
    result = run_module(INFO, {"etcd_endpoints": store.url, "timeout": TIMEOUT}, env=environment)
    assert len(result["hostendpoints"]) == 1


# A real cluster


@pytest.fixture
def members(cluster):
    cluster.members[0].put(READY, "true")
    return cluster


def disturb(cluster, how, number):
    if how == "freeze":
        freeze(cluster.members[number])
    # The cluster keeps count of the frozen ones.
    getattr(cluster, how)(number)


def endpoints_from(cluster, first):
    return cluster.endpoints[first:] + cluster.endpoints[:first]


@pytest.mark.parametrize("how", ["kill", "freeze"])
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_member_less(members, how, role):
    victim = (members.leader() + (role == "follower")) % 3
    survivor = (victim + 1) % 3
    disturb(members, how, victim)
    members.leader()
    endpoints = endpoints_from(members, victim)
    cost = TIMEOUT if how == "freeze" else 0
    result, seconds = apply(endpoints)
    assert result["operation"] == "create", result
    assert members.members[survivor].get(KEY) == OLD
    assert seconds < cost + MARGIN
    result, seconds = task(INFO, endpoints)
    assert [each["name"] for each in result["hostendpoints"]] == ["eth0"]
    assert seconds < cost + MARGIN


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_the_leader_is_lost_between_read_and_write(members, how):
    leader = members.leader()
    with Wire(members.members[leader]) as wire:
        wire.before("PUT", lambda: disturb(members, how, leader))
        # Long enough for an election.
        result, _seconds = apply([wire.url] + endpoints_from(members, leader)[1:], timeout=1.3)
    assert result["operation"] == "create", result
    assert members.members[(leader + 1) % 3].get(KEY) == OLD


def test_without_a_quorum_nothing_is_believed(members):
    members.members[0].put(KEY, OLD)
    survivor = members.leader()
    for number in range(3):
        if number != survivor:
            members.kill(number)
    for endpoints in (members.endpoints, [members.endpoints[survivor]]):
        for module in (APPLY, INFO):
            result, seconds = task(module, endpoints, timeout=SHORT)
            message = failure(result, "cannot reach etcd")
            assert all(url in message for url in endpoints)
            assert seconds < SHORT + MARGIN
    for number in range(3):
        members.start(number)
    members.leader()
    assert apply(members.endpoints)[0]["operation"] == "none"
