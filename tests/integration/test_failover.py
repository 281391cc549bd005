# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that are dead, frozen, cut off, slow or without quorum: an error in time, or the next server."""

from __future__ import annotations

import contextlib
import functools
import json
import select
import socket
import time
from types import SimpleNamespace

import pytest

from tests.harness.datastore import DATASTORES
from tests.harness.module import run_module
from tests.harness.pace import PATIENT, Waits, stretched
from tests.harness.process import free_port
from tests.harness.wire import FRAMINGS, Wire, listening
from tests.integration.hosts import Hosts
from tests.integration.tasks import NAMED, connection, failure, one_etcd, only_etcdv3

pytestmark = pytest.mark.thorough

APPLY, INFO, SET = "calico_hostendpoint", "calico_hostendpoint_info", "calico_hostendpoints"
ETH0 = dict(NAMED, interface_name="eth0")
ETH1 = dict(ETH0, name="n1-eth1")
LABELS = {"role": "new"}
NEW = dict(ETH0, labels=LABELS)


@pytest.fixture
def timeout():
    """Seconds for what never answers, beside an etcd that does."""
    return stretched(0.6)


@pytest.fixture
def election():
    """Seconds that are long enough for an election."""
    return stretched(1.3)


def no_answer(timeout):
    return "no answer within %g s" % timeout


def task(module, *servers, timeout=PATIENT, check=False, **options):
    """The result of a run, and the number of timeouts that it waited through."""
    fields = ETH0 if module == APPLY else {}
    with Waits() as waits:
        result = run_module(module, dict(fields, timeout=timeout, **dict(connection(*servers), **options)), check)
    return result, waits.timeouts(timeout)


def apply(*servers, **options):
    return task(APPLY, *servers, **options)


# Who does not answer


@pytest.fixture
def place(datastore_type):
    """Whatever is there on a port of this machine, as a server for tasks."""
    return lambda port: SimpleNamespace(url="http://127.0.0.1:%d" % port, type=datastore_type)


@pytest.fixture
def dead(place):
    """A port that nobody listens on."""
    return place(free_port())


@pytest.fixture
def mute(place):
    """A server whose connections the kernel accepts, and that never answers: a frozen one."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield place(listener.getsockname()[1])


@pytest.fixture
def hole(place):
    """A server whose queue of connections is full: no connection ever comes about."""
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
        yield place(listener.getsockname()[1])


@pytest.fixture(params=["dead", "mute", "hole"])
def silent(request, dead, mute, hole):
    """Each of the three, and the number of timeouts that it costs."""
    return {"dead": (dead, 0), "mute": (mute, 1), "hole": (hole, 1)}[request.param]


@pytest.fixture
def store(datastore):
    """A datastore with one endpoint, as Calico left it."""
    datastore.put_endpoint(ETH0)
    return datastore


def stored(datastore, *endpoints):
    """Whether these are the endpoints that are stored."""
    return datastore.stored() == datastore.tree_of(endpoints)


@contextlib.contextmanager
def two_wires(datastore):
    with Wire(datastore) as first, Wire(datastore) as second:
        yield first, second


# One endpoint, and nobody there

TASKS = [
    pytest.param(APPLY, {}, id="present"),
    pytest.param(APPLY, {"state": "patched", "labels": LABELS}, id="patched"),
    pytest.param(APPLY, {"state": "absent"}, id="absent"),
    pytest.param(INFO, {}, id="info"),
    pytest.param(INFO, {"node": "n1"}, id="info of a node"),
]


@pytest.mark.parametrize("module, options", TASKS)
def test_refused(dead, timeout, module, options):
    result, waited = task(module, dead, timeout=timeout, **options)
    failure(result, "cannot reach etcd", dead.url, "refused", "etcd_endpoints")
    assert waited == 0


@pytest.mark.parametrize("module", [APPLY, INFO])
def test_silence_is_an_error_after_one_timeout(mute, hole, timeout, module):
    for server, cause in ((mute, no_answer(timeout)), (hole, "no connection within %g s" % timeout)):
        start = time.monotonic()
        result, waited = task(module, server, timeout=timeout)
        failure(result, "cannot reach etcd", server.url, cause, "etcd_endpoints")
        assert waited == 1 and time.monotonic() - start > 0.9 * timeout


def test_check_mode_fails_too(mute, timeout):
    failure(apply(mute, timeout=timeout, check=True)[0], mute.url, no_answer(timeout))


def test_every_endpoint_is_named_with_its_own_cause(dead, mute, hole, timeout):
    result, waited = apply(dead, mute, hole, timeout=timeout)
    message = failure(result, "cannot reach etcd", dead.url, mute.url, hole.url)
    parts = dict(part.split(": ", 1) for part in message.split("cannot reach etcd: ")[1].split("; "))
    assert "refused" in parts[dead.url] and "no answer" in parts[mute.url] and "no connection" in parts[hole.url]
    assert waited <= 2


def test_a_host_name_that_nobody_knows(dead):
    dead.url = "http://etcd.invalid:2379"
    failure(apply(dead)[0], "http://etcd.invalid:2379", "host name", "resolved")


def test_a_frozen_server(store, timeout):
    store.server.freeze()
    for module in (APPLY, INFO):
        result, waited = task(module, store, timeout=timeout)
        failure(result, "cannot reach etcd", store.url, no_answer(timeout))
        assert waited <= 1
    store.server.thaw()
    assert apply(store)[0]["operation"] == "none"


def dripping(pause, *pieces):
    """The port of a server that sends one piece after another, each after a pause."""

    def talk(listener, closing):
        while not closing.is_set():
            client, _address = listener.accept()
            with client, contextlib.suppress(OSError):
                client.recv(65536)
                for piece in pieces:
                    client.sendall(piece)
                    if closing.wait(pause):
                        break

    return listening(talk)


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
def test_an_answer_in_drops_is_too_late_all_the_same(place, timeout, pieces):
    """No request ever hangs past its timeout, though each drop comes soon enough."""
    with dripping(timeout / 3, *pieces) as port:
        result, waited = task(INFO, place(port), timeout=timeout)
        failure(result, place(port).url, no_answer(timeout))
        assert waited <= 1


# The write goes out, and nothing comes back

# The options of a task, its operation, and the endpoints that are stored then.
WRITES = [
    pytest.param({"labels": LABELS}, "update", [NEW], id="update"),
    pytest.param({"state": "absent"}, "delete", [], id="delete"),
    pytest.param(ETH1, "create", [ETH0, ETH1], id="create"),
]


@pytest.mark.parametrize("options, operation, after", WRITES)
def test_frozen_between_read_and_write(store, wire, timeout, options, operation, after):
    wire.before(store.writing(), store.server.freeze)
    result, waited = apply(wire, timeout=timeout, **options)
    key = store.key("n1", options.get("name", "n1-eth0"))
    failure(result, key, no_answer(timeout), "may or may not have been made", "run the task again", wire.url)
    # The write, and what would have told what became of it.
    assert waited <= 2
    store.server.thaw()
    again, _waited = apply(store, **options)
    assert not again["failed"] and stored(store, *after)
    assert apply(store, **options)[0]["changed"] is False


@one_etcd
def test_writes_that_are_never_answered(store, wire, timeout):
    """Reads are: as far as they tell nothing was written, but a frozen request may still be carried out later."""
    wire.fault("freeze", store.writing(), times=99)
    result, waited = apply(wire, timeout=timeout, labels=LABELS)
    failure(
        result, store.key(**NAMED), wire.url, no_answer(timeout), "may or may not have been made", "run the task again"
    )
    assert waited <= 2
    assert stored(store, ETH0)


@one_etcd
@pytest.mark.parametrize("fault", ["freeze", "reset", "cut_before_commit", "cut_after_commit", "cut_mid_answer"])
@pytest.mark.parametrize("options, operation, after", WRITES)
def test_one_unanswered_write_is_made_good_and_made_once(store, wire, timeout, fault, options, operation, after):
    before = store.revision()
    wire.fault(fault, store.writing())
    result, waited = apply(wire, timeout=timeout, **options)
    assert (result["failed"], result.get("operation"), result.get("changed")) == (False, operation, True), result
    assert stored(store, *after) and store.revision() == before + 1
    assert waited <= (1 if fault == "freeze" else 0)


def test_restarted_between_read_and_write(store, wire):
    wire.before(store.writing(), store.server.restart)
    result, _waited = apply(wire, labels=LABELS)
    assert result["operation"] == "update"
    assert stored(store, NEW)


# Once a write was not answered, it may be done later, whatever becomes of the next try


def frozen_and_refused(store, first, second, *operations):
    """A write over the first wire is never answered, and from then on nobody takes a connection for another try."""
    first.fault("freeze", store.writing(*operations), times=99)
    first.before(store.writing(*operations), first.refuse)
    if store.type == "etcdv2":
        # Before it tries again, it reads what became of the first try.
        second.fault("hang_up", store.is_read)
        second.before(store.is_read, second.refuse)
    else:
        first.before(store.writing(*operations), second.refuse)


@one_etcd
@pytest.mark.parametrize("options, operation, after", WRITES)
def test_no_answer_and_then_no_connection(store, timeout, options, operation, after):
    with two_wires(store) as (first, second):
        frozen_and_refused(store, first, second)
        result, _waited = apply(first, second, timeout=timeout, guard="off", **options)
        key = store.key("n1", options.get("name", "n1-eth0"))
        failure(result, key, "may or may not have been made", "refused", first.url, second.url)
    assert stored(store, ETH0)


@one_etcd
@pytest.mark.parametrize("size", [2, 20], ids=["one connection", "several connections"])
def test_no_answer_and_then_no_connection_in_a_set(store, timeout, size):
    with two_wires(store) as (first, second):
        frozen_and_refused(store, first, second)
        endpoints = [endpoint(number) for number in range(size)]
        result, _waited = task(SET, first, second, timeout=timeout, guard="off", endpoints=endpoints)
        sent = {key for _operation, key in store.written(first) + store.written(second)}
    errors = {store.key(each["node"], each["name"]): each["error"] for each in result["failures"]}
    assert result["failed"] and sent & set(errors)
    for key in sent & set(errors):
        assert "may or may not have been made" in errors[key] and "run the task again" in errors[key], errors[key]
    assert not sent & {store.key(each["node"], each["name"]) for each in result["not_attempted"]}
    if size == 2:
        assert "may or may not have been made" in result["msg"] and "refused" in result["msg"]


@one_etcd
def test_no_answer_and_then_no_connection_as_a_canary_is_undone(datastore):
    with Hosts(datastore, "n1") as hosts, two_wires(datastore) as (first, second):
        frozen_and_refused(datastore, first, second, "delete")
        options = {"endpoints": [dict(endpoint(1), profiles=[])], "guard": "off", "guard_facts": hosts.facts()}
        result, _waited = task(SET, first, second, timeout=stretched(1), canary=1, canary_wait=stretched(1), **options)
    assert result["failed"] and "0 of its changes were undone, 1 could not be undone" in result["msg"]
    (failed,) = result["failures"]
    assert "may or may not have been made" in failed["error"] and "refused" in failed["error"], failed


LATER = [
    pytest.param(404, "<html>Welcome to nginx!</html>", "does not speak", id="a web server"),
    pytest.param(302, "moved", "status 302", id="a redirect"),
    pytest.param(200, "{}", "is not etcd's", id="nobody knows"),
    pytest.param(503, "Service Unavailable", "503", id="an unwell server"),
]
REFUSED = {
    "etcdv2": (401, '{"errorCode":110,"message":"The request requires user authentication","index":0}'),
    "etcdv3": (403, '{"error":"etcdserver: permission denied","code":7}'),
}


@one_etcd
@pytest.mark.parametrize("status, body, cause", [*LATER, pytest.param(0, "", "does not allow", id="no rights")])
def test_no_answer_and_then_an_error(store, wire, timeout, status, body, cause):
    status, body = (status, body) if status else REFUSED[store.type]
    wire.fault("freeze", store.writing())
    wire.answer(status, body, method=store.writing(), nth=2, times=99)
    result, _waited = apply(wire, timeout=timeout, labels=LABELS)
    failure(result, store.key(**NAMED), "may or may not have been made", "run the task again", cause)


@only_etcdv3
@one_etcd
def test_a_write_that_waits_for_a_new_token_was_not_sent(store, wire, timeout):
    """It was refused, and the request for the token is the one that gets no answer."""
    token = '{"error":"etcdserver: invalid auth token","code":16,"message":"etcdserver: invalid auth token"}'
    wire.answer(401, token, method=store.writing())
    freeze = functools.partial(wire.fault, "freeze", None, times=99, path_contains="auth/authenticate")
    wire.before(store.writing(), freeze)
    user = {"etcd_username": "full", "etcd_password": "geheim"}
    message = failure(apply(wire, timeout=timeout, labels=LABELS, **user)[0], "cannot reach etcd", "no answer within")
    assert "may or may not" not in message
    assert stored(store, ETH0)


@only_etcdv3
@one_etcd
def test_a_write_that_waits_for_the_version_was_not_sent(store, timeout):
    with two_wires(store) as (first, second):
        # Each request has a connection of its own. A connection that is kept might end only after the write was sent.
        first.framing = "close"
        first.before(store.reading(store.state_key), first.refuse)
        second.fault("freeze", None, times=99, path_contains="/version")
        result, _waited = apply(first, second, timeout=timeout, guard="off", labels=LABELS)
    message = failure(result, "cannot reach etcd", "refused", "no answer within")
    assert "may or may not" not in message


@only_etcdv3
@one_etcd
def test_a_write_that_a_server_cancels_as_it_ends_is_tried_again(store, wire):
    text = "grpc: the client connection is closing"
    wire.answer(408, json.dumps({"error": text, "code": 1, "message": text}), method=store.writing())
    result, _waited = apply(wire, labels=LABELS)
    assert result["operation"] == "update" and stored(store, NEW)
    wire.answer(408, json.dumps({"error": text, "code": 1, "message": text}), method=store.writing(), times=99)
    failure(apply(wire, labels={"role": "other"})[0], "may or may not have been made", text)


# Half an answer


@one_etcd
@pytest.mark.parametrize("module, options", TASKS)
@pytest.mark.parametrize("fault", ["cut_mid_answer", "cut_mid_headers", "cut_after_commit", "reset"])
def test_half_an_answer_is_an_error(store, wire, fault, module, options):
    wire.fault(fault, store.is_read, times=99)
    result, _waited = task(module, wire, **options)
    failure(result, wire.url)
    assert store.written(wire) == []


@one_etcd
def test_an_answer_that_breaks_off_is_said_to_do_so(store, wire):
    wire.fault("cut_mid_answer", store.is_read, times=99)
    message = failure(task(INFO, wire)[0], "connection broke")
    assert "'" not in message and "IncompleteRead" not in message, message


@one_etcd
def test_half_an_answer_from_the_first_of_two(store):
    with two_wires(store) as (first, second):
        first.fault("cut_mid_answer", store.is_read, times=99)
        result, _waited = task(INFO, first, second)
    assert [each["name"] for each in result["hostendpoints"]] == ["n1-eth0"]


# An answer that is cut anywhere is none, whatever its status and however its end is told

GET_404 = json.dumps({"errorCode": 100, "message": "Key not found", "cause": "/calico", "index": 1})
ERROR_ANSWERS = {
    "etcdv2": [
        (401, '{"errorCode":110,"message":"The request requires user authentication","cause":"x","index":0}'),
        (404, GET_404),
        (404, "404 page not found"),
        (412, '{"errorCode":101,"message":"Compare failed","cause":"[1 != 2]","index":9}'),
        (500, '{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: no leader","index":4}'),
    ],
    "etcdv3": [
        (400, '{"error":"etcdserver: user name is empty","code":3,"message":"etcdserver: user name is empty"}'),
        (401, '{"error":"etcdserver: invalid auth token","code":16,"message":"etcdserver: invalid auth token"}'),
        (403, '{"error":"etcdserver: permission denied","code":7,"message":"etcdserver: permission denied"}'),
        (404, "404 page not found"),
        (503, '{"error":"etcdserver: no leader","code":14,"message":"etcdserver: no leader"}'),
    ],
}


def pieces_of(status, body, framing):
    """An answer as etcd makes them, of which the first bytes alone may come."""
    lines = ["HTTP/1.1 %d Told" % status, "Content-Type: application/json", "X-Etcd-Cluster-Id: 7e27652122e8b2ae"]
    lines += ["X-Etcd-Index: 5", "Date: Sun, 29 Nov 2026 10:00:00 GMT"]
    if framing == "length":
        lines.append("Content-Length: %d" % len(body))
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        body = "%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return ("\r\n".join([*lines, "", ""]) + body).encode()


# The last bytes, too, since a number that is cut is still one.
def cuts(answer):
    return [*range(0, len(answer) - 9, 31), *range(max(0, len(answer) - 9), len(answer), 4)]


@one_etcd
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("with_reset", [False, True], ids=["closed", "reset"])
def test_an_error_that_is_cut_anywhere_is_no_answer(store, framing, with_reset):
    for status, body in ERROR_ANSWERS[store.type]:
        if framing == "close" and not body.startswith("{"):
            # It might be a whole one.
            continue
        answer = pieces_of(status, body, framing)
        for at in cuts(answer):
            with Wire(store) as wire:
                wire.answer_in_bytes(answer, at, with_reset, method=None, times=99)
                message = failure(task(INFO, wire)[0], "cannot reach etcd", wire.url)
            assert "does not speak" not in message and "does not allow user" not in message, (at, message)
            assert "within" not in message, (at, message)


@one_etcd
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("with_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("what", ["something", "nothing"])
def test_reads_go_to_the_next_endpoint_wherever_an_answer_is_cut(store, framing, with_reset, what):
    """Of etcd's own answers, on etcdv2 a 404 for what is not there."""
    name = {"something": "n1-eth0", "nothing": "n1-eth1"}[what]
    operation = {"something": "none", "nothing": "create"}[what]
    for part in range(0, 100, 9):
        with two_wires(store) as (first, second):
            first.framing = framing
            first.cut(lambda answer, part=part: len(answer) * part // 100, with_reset, store.is_read, times=99)
            result, _waited = apply(first, second, check=True, name=name)
            assert store.written(first) + store.written(second) == []
            assert second.requests
        assert (result["failed"], result.get("operation")) == (False, operation), (part, result)


@one_etcd
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("with_reset", [False, True], ids=["closed", "reset"])
def test_a_refused_write_whose_answer_is_cut_anywhere_is_looked_after(store, framing, with_reset):
    """Somebody else was faster: on etcdv2 that is a 412. Theirs is read, and ours is written over it, once."""
    theirs = dict(ETH0, interface_name="eth9")
    for part in range(0, 100, 19):
        labels = {"part": "p%d" % part}
        with Wire(store) as wire:
            wire.framing = framing
            wire.before(store.writing(), lambda: store.put_endpoint(theirs))
            wire.cut(lambda answer, part=part: len(answer) * part // 100, with_reset, store.writing())
            result, _waited = apply(wire, labels=labels)
        assert (result["failed"], result.get("operation")) == (False, "update"), (part, result)
        assert stored(store, dict(ETH0, labels=labels))


# Several endpoints


@one_etcd
def test_a_silent_first_endpoint_costs_one_timeout_at_most(store, silent, dead, timeout):
    """A run that writes sends several requests: they must not pay for it one by one."""
    server, cost = silent
    for number, servers in enumerate(([server, store], [dead, server, store])):
        labels = {"role": "run%d" % number}
        result, waited = apply(*servers, timeout=timeout, labels=labels)
        assert result["operation"] == "update", result
        assert stored(store, dict(ETH0, labels=labels))
        assert waited <= cost
    result, waited = task(INFO, server, dead, store, timeout=timeout)
    assert len(result["hostendpoints"]) == 1 and result["warnings"] == []
    assert waited <= cost


@one_etcd
def test_a_silent_last_endpoint_costs_nothing(store, silent, timeout):
    result, waited = apply(store, silent[0], timeout=timeout, labels=LABELS)
    assert result["changed"] is True
    assert waited == 0


@one_etcd
@pytest.mark.parametrize("fault", ["freeze", "reset", "cut_before_commit", "cut_after_commit", "cut_mid_answer"])
def test_the_first_endpoint_goes_between_read_and_write(store, timeout, fault):
    with two_wires(store) as (first, second):
        first.fault(fault, store.writing())
        # And all after it.
        first.before(store.writing(), lambda: first.fault(fault, None, times=99))
        result, waited = apply(first, second, timeout=timeout, labels=LABELS)
        assert result["operation"] == "update", result
        assert store.written(first) and waited <= (1 if fault == "freeze" else 0)
    assert stored(store, NEW)


@one_etcd
def test_both_of_two_wires_freeze_at_the_write(store, timeout):
    with two_wires(store) as (first, second):
        for wire in (first, second):
            wire.fault("freeze", store.writing(), times=99)
        result, waited = apply(first, second, timeout=timeout, labels=LABELS)
    failure(result, store.key(**NAMED), no_answer(timeout), "may or may not have been made", "run the task again")
    assert waited <= 3


# Status, body (None: as etcd has it without a quorum) and type of an answer, and what the message says of it.
UNWELL = [
    pytest.param(500, None, "application/json", "no leader", id="500 of etcd"),
    pytest.param(503, None, "application/json", "no leader", id="503 of etcd"),
    pytest.param(500, '{"message":"Internal Server Error"}', "application/json", "Internal Server", id="500 JSON"),
    pytest.param(502, "<html>Bad Gateway</html>", "text/html", "502", id="502 of a proxy"),
    pytest.param(503, "Service Unavailable", "text/plain", "503", id="503 of a proxy"),
]


@one_etcd
@pytest.mark.parametrize("status, body, content_type, cause", UNWELL)
def test_a_server_that_is_unwell(store, wire, status, body, content_type, cause):
    wire.answer(status, body or store.no_quorum, content_type, method=None, times=99)
    for module, options in ((APPLY, {}), (APPLY, {"state": "absent"}), (INFO, {})):
        message = failure(task(module, wire, **options)[0], wire.url, cause)
        # It is not the API that is missing.
        assert "does not speak" not in message, message


@one_etcd
@pytest.mark.parametrize("status, body, content_type, cause", UNWELL)
def test_an_unwell_first_server_is_passed_over(store, status, body, content_type, cause):
    with two_wires(store) as (first, second):
        first.answer(status, body or store.no_quorum, content_type, method=None, times=99)
        result, _waited = apply(first, second, labels=LABELS)
    assert not result["failed"], result
    assert stored(store, NEW)


@one_etcd
def test_a_write_that_fails_for_lack_of_a_quorum_is_tried_again(store, wire):
    wire.answer(503, store.no_quorum, method=store.writing())
    result, _waited = apply(wire, labels=LABELS)
    assert result["operation"] == "update" and stored(store, NEW)
    assert len(store.written(wire)) == 2


@one_etcd
def test_proxies_of_the_environment_are_not_asked(store, dead):
    environment = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "all_proxy"), dead.url)
    result = run_module(INFO, dict(connection(store), timeout=PATIENT), env=environment)
    assert len(result["hostendpoints"]) == 1


# A real cluster


class Members:
    """The members of a cluster, each as a datastore."""

    def __init__(self, cluster, datastore_type):
        self.cluster = cluster
        self.all = [DATASTORES[datastore_type](member) for member in cluster.members]
        self.all[0].put(self.all[0].state_key, self.all[0].ready)
        # Else a member that does not know it yet may be asked without a quorum by the tests themselves.
        self.cluster.leader()

    def victim(self, role):
        """The number of a member that is the leader, or is not."""
        return (self.cluster.leader() + (role == "follower")) % 3

    def from_(self, number):
        """All, beginning with this one."""
        return self.all[number:] + self.all[:number]


@pytest.fixture
def members(cluster, datastore_type):
    return Members(cluster, datastore_type)


@pytest.mark.parametrize("how", ["kill", "freeze"])
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_member_less(members, timeout, how, role):
    victim = members.victim(role)
    getattr(members.cluster, how)(victim)
    members.cluster.leader()
    servers = members.from_(victim)
    cost = 1 if how == "freeze" else 0
    result, waited = apply(*servers, timeout=timeout)
    assert result["operation"] == "create", result
    assert stored(servers[1], ETH0)
    assert waited <= cost
    result, waited = task(INFO, *servers, timeout=timeout)
    assert [each["name"] for each in result["hostendpoints"]] == ["n1-eth0"]
    assert waited <= cost


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_the_leader_is_lost_between_read_and_write(members, election, how):
    leader = members.victim("leader")
    first, *others = members.from_(leader)
    with Wire(first) as wire:
        wire.before(first.writing(), lambda: getattr(members.cluster, how)(leader))
        result, _waited = apply(wire, *others, timeout=election)
    assert result["operation"] == "create", result
    assert stored(others[0], ETH0)


@pytest.mark.parametrize("how", ["kill", "freeze"])
@pytest.mark.parametrize("role", ["leader", "follower"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_member_is_lost_in_the_middle_of_a_set(members, election, how, role, moment):
    """Before or after it has passed the write on. Nothing is lost, nothing is written twice."""
    endpoints = [endpoint(number) for number in range(300)]
    victim = members.victim(role)
    first, *others = members.from_(victim)
    revision = others[0].revision()
    with Wire(first) as wire:
        # The second transaction of three, or about the same endpoint.
        nth = 2 if first.type == "etcdv3" else 150
        lose = functools.partial(getattr(members.cluster, how), victim)
        if moment == "before":
            wire.before(first.writing(), lose, nth=nth)
        else:
            wire.fault("cut_after_commit", first.writing(), nth=nth)
            # Whatever comes after it finds nobody.
            wire.before(first.writing(), lambda: wire.before(None, lose), nth=nth)
        result, waited = task(SET, wire, *others, endpoints=endpoints, timeout=election)
    assert not result["failed"], result["msg"]
    assert result["summary"] == {"created": 300, "updated": 0, "deleted": 0, "unchanged": 0}
    assert stored(others[0], *endpoints)
    assert others[0].revision() - revision == (3 if first.type == "etcdv3" else 300)
    # Until a leader is elected, one more member may keep it waiting.
    assert waited <= 2
    again, _waited = task(SET, *others, endpoints=endpoints)
    assert (again["failed"], again["changed"]) == (False, False)


def endpoint(number):
    return {"name": "n%d-eth0" % number, "node": "n%d" % number, "interface_name": "eth0"}


def test_the_quorum_is_lost_in_the_middle_of_a_set(members, timeout):
    """What the result says was written is what is there when the others are back; the rest may be, or not."""
    # On etcdv3 six transactions, of which the third or fourth and one of its neighbours are under way.
    size = 700 if members.all[0].type == "etcdv3" else 300
    endpoints = [endpoint(number) for number in range(size)]
    survivor = members.cluster.leader()
    datastore = members.all[survivor]

    def lose():
        for number in range(3):
            if number != survivor:
                members.cluster.kill(number)

    with Wire(datastore) as wire:
        wire.before(datastore.writing(), lose, nth=3 if datastore.type == "etcdv3" else 150)
        result, waited = task(SET, wire, endpoints=endpoints, timeout=timeout)
    assert result["failed"] and "etcd" in result["msg"], result
    assert waited <= 2
    for number in range(3):
        members.cluster.start(number)
    members.cluster.leader()
    found = datastore.stored()
    done, left = ({each["name"] for each in result[name]} for name in ("changes", "not_attempted"))
    failed = len(result["failures"]) + result["failures_omitted"]
    assert done and failed and left and failed + len(done) + len(left) == size
    names = {key.rpartition("/")[2] for key in found}
    assert done <= names and not names & left
    assert not task(SET, *members.all, endpoints=endpoints)[0]["failed"]
    assert stored(datastore, *endpoints)


def test_without_a_quorum_nothing_is_believed(members, timeout):
    members.all[0].put_endpoint(ETH0)
    survivor = members.cluster.leader()
    for number in range(3):
        if number != survivor:
            members.cluster.kill(number)
    for servers in (members.all, [members.all[survivor]]):
        for module in (APPLY, INFO):
            result, waited = task(module, *servers, timeout=timeout)
            message = failure(result, "cannot reach etcd")
            assert all(server.url in message for server in servers)
            assert waited <= 1
    for number in range(3):
        members.cluster.start(number)
    members.cluster.leader()
    assert apply(*members.all)[0]["operation"] == "none"
