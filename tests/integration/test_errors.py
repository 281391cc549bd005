# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for, what is stored or who answers is not as it should be: messages say what, where, what to do."""

from __future__ import annotations

import copy
import gzip
import importlib
import itertools
import json
import sys
import time
import zlib

import pytest

from tests.harness.etcd import EtcdServer
from tests.harness.module import run_module, run_playbook
from tests.harness.pace import PATIENT
from tests.harness.wire import Wire
from tests.integration import sets
from tests.integration.sets import ModuleProcess
from tests.integration.tasks import NAMED, SUBJECT, connection, failure, one_etcd, only_etcdv2

APPLY, INFO = "calico_hostendpoint", "calico_hostendpoint_info"
ETH0 = dict(NAMED, interface_name="eth0")
OWNED = "projectcalico.org/created-by"
LABEL = {"labels": {"role": "new"}}
# Of etcdv2.
ENDPOINTS = "/calico/v1/host/n1/endpoint/"
KEY = ENDPOINTS + "n1-eth0"
VALUE = '{"name":"eth0"}'
READY = "/calico/v1/Ready"


def apply(server, check=False, **options):
    if "resource" not in options:
        options = dict(ETH0, **options)
    return run_module(
        APPLY, dict({"timeout": PATIENT, "guard": "off"}, **dict(options, **connection(server))), check=check
    )


def info(server, **options):
    return run_module(INFO, dict({"timeout": PATIENT}, **dict(options, **connection(server))))


@pytest.fixture
def store(datastore):
    """A datastore without endpoints."""
    return datastore


@pytest.fixture
def stored(store):
    """The same, with one endpoint."""
    store.put_endpoint(ETH0)
    return store


# An answer that is not etcd's is neither "nothing there" nor "nothing to do"

ASKING = [
    pytest.param(APPLY, {}, id="present"),
    pytest.param(APPLY, {"state": "patched", "labels": {"role": "new"}}, id="patched"),
    pytest.param(APPLY, {"state": "absent"}, id="absent"),
    pytest.param(INFO, {}, id="info"),
    pytest.param(INFO, {"node": "n1"}, id="info of a node"),
]


def ask(server, module, options):
    return apply(server, **options) if module == APPLY else info(server, **options)


@pytest.fixture(scope="module")
def without_v2(etcd_binary):
    with EtcdServer(etcd_binary, v2=False) as server:
        yield server


@pytest.mark.parametrize("module, options", ASKING)
def test_an_etcd_without_the_v2_api(without_v2, module, options):
    failure(
        ask(without_v2, module, options),
        without_v2.url,
        "does not speak etcd's v2 API",
        "404 page not found",
        "--enable-v2",
        "v3",
    )


HTML = "<html>Welcome to nginx!</html>"
NOT_ETCD = [
    pytest.param(404, HTML, "text/html", "404", id="404 in HTML"),
    pytest.param(404, '{"error":"no such page"}', "application/json", "404", id="404 in JSON"),
    pytest.param(404, '{"message":"no Route matched","status":404}', "application/json", "404", id="404 of a gateway"),
    pytest.param(404, "null", "application/json", "404", id="404 with null"),
    pytest.param(404, "", "text/plain", "404", id="404 and nothing more"),
    pytest.param(401, HTML, "text/html", "401", id="401 of a web server"),
    pytest.param(403, HTML, "text/html", "403", id="403 of a web server"),
    pytest.param(302, "moved", "text/plain", "302", id="a redirect"),
    pytest.param(204, "", "text/plain", "204", id="204"),
]
NO_NODE = [
    pytest.param(HTML, id="HTML"),
    pytest.param("", id="nothing"),
    pytest.param("[]", id="a list"),
    pytest.param("null", id="null"),
    pytest.param('{"health":"true"}', id="an object"),
    pytest.param('{"action":"get","node":[]}', id="a list for a node"),
    pytest.param('{"action":"get","node":{}}', id="an empty node"),
    pytest.param("\udcff".encode("utf-8", "surrogateescape"), id="bytes that are no text"),
]


@one_etcd
@pytest.mark.parametrize("module, options", [ASKING[0], ASKING[2], ASKING[3]])
@pytest.mark.parametrize("status, body, content_type, cause", NOT_ETCD)
def test_a_web_server(stored, wire, status, body, content_type, cause, module, options):
    wire.answer(status, body, content_type, method=None, times=99)
    failure(ask(wire, module, options), wire.url, stored.api, cause)
    assert wire.writes == []


@one_etcd
@pytest.mark.parametrize("module, options", [ASKING[0], ASKING[2], ASKING[3]])
@pytest.mark.parametrize("body", NO_NODE)
def test_a_web_server_that_answers_everything_with_200(stored, wire, body, module, options):
    wire.answer(200, body, method=None, times=99)
    failure(ask(wire, module, options), wire.url, "etcd_endpoints")
    assert stored.written(wire) == []


@one_etcd
@pytest.mark.parametrize("module, options", [ASKING[0], ASKING[3]])
@pytest.mark.parametrize("body", NO_NODE)
def test_answers_of_200_to_all_but_the_version(stored, wire, body, module, options):
    wire.answer(200, body, method=stored.is_read, times=99)
    failure(ask(wire, module, options), wire.url, "etcd_endpoints")
    assert stored.written(wire) == []


def test_an_answer_that_only_the_write_gets(stored, wire):
    wire.answer(404, HTML, "text/html", method=stored.writing(), times=99)
    failure(apply(wire, **LABEL), wire.url, stored.api, "404")
    wire.heal()
    wire.answer(200, HTML, "text/html", method=stored.writing(), times=99)
    failure(apply(wire, **LABEL), wire.url, "may or may not have been made")
    assert stored.stored() == stored.tree_of([ETH0])


# A hostile or broken server: an error in time, never a traceback, and never more memory than an answer may have

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BROKE, NOT_HTTP, TOO_LONG = "the connection broke", "the answer is not HTTP", "the answer is longer than"
LENGTH = "the answer has an invalid length"


def whole(status, body, headers=b""):
    """An answer as bytes, the last one over its connection."""
    body = body if isinstance(body, bytes) else body.encode()
    headers += b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    return b"HTTP/1.1 %d Told\r\n%s%s" % (status, headers, body)


def without_end(head, piece):
    return lambda: itertools.chain([head], itertools.repeat(piece))


ENDLESS = [
    pytest.param(without_end(OK + b"\r\n", b"x" * 65536), TOO_LONG, id="body"),
    pytest.param(without_end(b"HTTP/1.1 404 Told\r\n\r\n", b"x" * 65536), TOO_LONG, id="body of an error"),
    pytest.param(without_end(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"), TOO_LONG, id="chunks"),
    pytest.param(without_end(CHUNKED + b"-1\r\n", b"x" * 65536), TOO_LONG, id="chunk without a size"),
    pytest.param(without_end(CHUNKED + b"0\r\n", b"X: y\r\n" * 10000), TOO_LONG, id="trailer"),
    pytest.param(without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 3000), TOO_LONG, id="interim answers"),
    pytest.param(without_end(OK, b"X-Y: z\r\n" * 100), NOT_HTTP, id="headers"),
    pytest.param(without_end(OK + b"X-Y: ", b"x" * 65536), NOT_HTTP, id="header"),
    pytest.param(without_end(b"HTTP/1.1 200 ", b"x" * 65536), NOT_HTTP, id="status"),
    pytest.param(without_end(CHUNKED, b"1" * 65536), "", id="size of a chunk"),
]


@one_etcd
@pytest.mark.parametrize("pieces, cause", ENDLESS)
def test_an_answer_without_an_end(store, wire, monkeypatch, pieces, cause):
    # Else it would take its time.
    monkeypatch.setattr(transport(), "MOST_BYTES", 1024 * 1024)
    wire.stream(pieces, method=None, times=99)
    # Before the time for the request is over.
    assert "within" not in failure(info(wire, timeout=10 * PATIENT), "cannot reach etcd", wire.url, cause)


def transport():
    return importlib.import_module("ansible_collections.netsec.calico.plugins.module_utils._datastore._http.complete")


@pytest.mark.thorough
@one_etcd
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(without_end(OK + b"\r\n", b"x" * 65536), id="endless"),
        pytest.param(lambda: [whole(200, zlib.compress(bytes(10**9)), b"Content-Encoding: deflate\r\n")], id="bomb"),
        pytest.param(lambda: [OK + b"Content-Length: 9000000000\r\n\r\n{}"], id="announced"),
    ],
)
def test_the_memory_that_an_answer_may_take(store, wire, pieces):
    wire.stream(pieces, method=None, times=99)
    status, output = ModuleProcess(sets.task(wire, endpoints=[ETH0], timeout=10 * PATIENT)).run()
    assert status == 0 and output["result"]["failed"] and "cannot reach etcd" in output["result"]["msg"]
    assert output["peak_kilobytes"] < 700000


ODD = [
    pytest.param(OK + b"Content-Length: 1000000000000000\r\n\r\n{}", TOO_LONG, id="a petabyte"),
    pytest.param(OK + b"Content-Length: %s\r\n\r\n{}" % (b"9" * 30), TOO_LONG, id="more than a number may be"),
    pytest.param(OK + b"Content-Length: %s\r\n\r\n{}" % (b"9" * 5000), LENGTH, id="more digits than a number has"),
    pytest.param(OK + b"Content-Length: -5\r\n\r\n{}", LENGTH, id="less than nothing"),
    pytest.param(OK + b"Content-Length: x\r\n\r\n{}", LENGTH, id="a length that is no number"),
    pytest.param(CHUNKED + b"ffffffffffff\r\n{}", BROKE, id="a chunk of a petabyte"),
    pytest.param(CHUNKED + b"f" * 30 + b"\r\n{}", BROKE, id="a chunk of more than a number may be"),
    pytest.param(CHUNKED + b"-5\r\n{}", "", id="a chunk of less than nothing"),
    pytest.param(CHUNKED + b"xyz\r\n{}", "", id="a chunk that is no number"),
    pytest.param(whole(200, gzip.compress(b"{}"), b"Content-Encoding: gzip\r\n"), "compressed (gzip)", id="gzip"),
    pytest.param(whole(200, b"{}", b"Content-Encoding: gzip\r\n"), "compressed (gzip)", id="gzip that is none"),
    pytest.param(whole(200, "[" * 100000), "is not etcd's", id="deep JSON"),
    pytest.param(whole(400, "[" * 100000), "400", id="deep JSON of an error"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", NOT_HTTP + ": SSH-2.0-OpenSSH_9.2", id="another protocol"),
    pytest.param(bytes(range(256)), NOT_HTTP, id="binary"),
    pytest.param(b"HTTP/9.9 200 OK\r\n\r\n", NOT_HTTP, id="a version to come"),
    pytest.param(b"HTTP/1.1 304 Told\r\n\r\n", "is not etcd's", id="not modified"),
    pytest.param(
        b"HTTP/1.1 101 Told\r\nUpgrade: websocket\r\n\r\n",
        "changes to another protocol",
        id="another protocol from now on",
    ),
    pytest.param(OK + b"rubbish\r\nContent-Length: 2\r\n\r\n{}", "is not etcd's", id="a header that is none"),
    pytest.param(whole(404, "{}", b'Set-Cookie: \xff; expires=x; port="y"\r\n'), "404", id="a cookie that is none"),
    pytest.param(whole(400, b"\xff", b"Content-Type: text/html; charset=x\r\n"), "400", id="a charset that is none"),
    pytest.param(
        whole(400, b"\xe4\xf6 a" * 4000000, b"Content-Type: text/html\r\n"), "400", id="a long text, some charset"
    ),
    pytest.param(whole(404, b"\x1b[31mred\x07\x00"), "404: \\x1b[31mred\\x07\\x00", id="control characters"),
    pytest.param(whole(404, '{"message":"\\ud800","errorCode":7,"code":8}'), "\\ud800", id="half a character"),
    pytest.param(whole(404, '{"message":["x"],"errorCode":{"a":1},"code":[7]}'), "does not speak", id="other types"),
    pytest.param(
        whole(404, json.dumps({"message": "x" * 10**7, "errorCode": 7, "code": 8})), "answered", id="a long message"
    ),
]


@one_etcd
@pytest.mark.parametrize("answer, cause", ODD)
def test_an_answer_that_is_odd(store, wire, answer, cause):
    for ask_for in (info, apply):
        # The same from every endpoint.
        wire.stream(lambda: [answer], method=None, times=99)
        assert "within" not in failure(ask_for(wire, timeout=10 * PATIENT), wire.url, cause)


def with_nodes(*nodes):
    """What the v2 API would answer to the listing of all hosts."""
    return whole(200, '{"action":"get","node":{"key":"/calico/v1/host","dir":true,"nodes":%s}}' % json.dumps(nodes))


def deep(depth):
    """The same, with one value so many directories beneath the endpoints; too deep for Python's own writer of JSON."""
    path = ENDPOINTS + "/".join(["a"] * depth)
    nodes = '[{"key":"%s","value":"{}","modifiedIndex":5}]' % path
    while path != "/calico/v1/host":
        path = path.rpartition("/")[0]
        nodes = '[{"key":"%s","dir":true,"nodes":%s}]' % (path, nodes)
    return whole(200, '{"action":"get","node":%s}' % nodes[1:-1])


V2_SHAPES = [
    pytest.param(with_nodes(5), id="a number"),
    pytest.param(with_nodes({"dir": True}), id="no key"),
    pytest.param(with_nodes({"key": 5}), id="a key that is none"),
    pytest.param(with_nodes({"key": "/calico/v1/policy"}), id="the key of another directory"),
    pytest.param(with_nodes({"key": "/calico/v1/host/n1", "dir": True, "nodes": 5}), id="no list"),
    pytest.param(with_nodes({"key": "/calico/v1/host/n1", "value": 5, "modifiedIndex": 5}), id="a value that is none"),
    pytest.param(with_nodes({"key": "/calico/v1/host/n1", "value": "x"}), id="no revision"),
    pytest.param(
        whole(200, json.dumps({"node": {"key": READY, "value": "true", "modifiedIndex": 5}})), id="another key"
    ),
]


@only_etcdv2
@one_etcd
@pytest.mark.parametrize("answer", V2_SHAPES)
def test_a_listing_that_is_not_as_etcd_v2_has_it(stored, wire, answer):
    wire.stream(lambda: [answer], times=99)
    failure(info(wire), "not etcd")


@only_etcdv2
@one_etcd
@pytest.mark.parametrize("depth", [300, 2000])
def test_directories_as_deep_as_can_be(stored, wire, depth):
    """etcd has no limit. Python's reader of JSON has one, which is not the same everywhere."""
    wire.stream(lambda: [deep(depth)])
    result = info(wire)
    if result["failed"]:
        failure(result, wire.url, "is not etcd's")
    else:
        assert [each["key"] for each in result["malformed"]] == [ENDPOINTS + "/".join(["a"] * depth)]


def range_answer(**content):
    return whole(200, json.dumps(dict({"header": {"revision": "5"}}, **content)))


ONE = {"key": "L2NhbGljby9yZXNvdXJjZXMvdjMvcHJvamVjdGNhbGljby5vcmcvaG9zdGVuZHBvaW50cy9h", "mod_revision": "5"}
V3_SHAPES = [
    pytest.param(range_answer(count="7"), "0 of 7 keys", id="a listing without its keys"),
    pytest.param(range_answer(count="2", kvs=[ONE]), "1 of 2 keys", id="half a listing"),
    pytest.param(range_answer(count="1", kvs=[dict(ONE, key="YQ==")]), "other keys", id="other keys"),
    pytest.param(range_answer(count="1", kvs=[{}]), "", id="no key"),
    pytest.param(range_answer(count="1", kvs=5), "", id="no list"),
    pytest.param(range_answer(count="1", kvs=[dict(ONE, key="%%%a")]), "", id="no base64"),
    pytest.param(range_answer(count="1", kvs=[dict(ONE, mod_revision="x")]), "", id="no revision"),
    pytest.param(range_answer(count="x"), "", id="no number"),
    pytest.param(range_answer(count="9", kvs=[ONE] * 5000, more=True), "other keys", id="the same key again and again"),
    pytest.param(range_answer(count="9999999", kvs=[ONE], more=True), "more keys", id="a key at a time"),
    pytest.param(range_answer(more=True), "more keys", id="more of nothing"),
    pytest.param(whole(200, '{"header":5}'), "is not etcd's", id="no header"),
]


@pytest.mark.parametrize("datastore_type", ["etcdv3"])
@one_etcd
@pytest.mark.parametrize("answer, cause", V3_SHAPES)
def test_a_listing_that_is_not_as_etcd_v3_has_it(stored, wire, answer, cause):
    wire.stream(lambda: [answer], method=stored.reading(stored.hostendpoints + "/"), times=99)
    failure(info(wire), "is not etcd's", cause)


@pytest.mark.parametrize("datastore_type", ["etcdv3"])
@one_etcd
@pytest.mark.parametrize("responses", [None, [], 5, [5], [{}], [{"response_range": {"kvs": 5}}]])
def test_keys_that_are_missing_in_an_answer_are_not_missing_in_etcd(stored, wire, responses):
    content = {} if responses is None else {"responses": responses}
    wire.answer(200, json.dumps(dict({"header": {"revision": "5"}}, **content)), method=stored.is_read, times=99)
    for state in ("present", "absent"):
        failure(apply(wire, state=state), stored.key(**NAMED), "is not etcd's")
    assert stored.written(wire) == []


@pytest.mark.parametrize("datastore_type", ["etcdv3"])
@one_etcd
@pytest.mark.parametrize("more", [{}, {"token": 5}, {"token": "a\r\nX: y"}, {"token": "\u20ac"}, {"token": None}])
def test_a_token_that_is_none(stored, wire, more):
    content = json.dumps(dict({"header": {"revision": "5"}}, **more))
    wire.answer(200, content, method="POST", path_contains="auth/authenticate", times=99)
    options = {"etcd_username": "full", "etcd_password": "geheim"}
    failure(apply(wire, **options), "cannot reach etcd", wire.url, "is not etcd's")
    assert stored.written(wire) == []


@one_etcd
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_gets_no_password(stored, wire, status):
    with Wire(stored) as elsewhere:
        headers = b"Location: %s/v2/keys/x\r\n" % elsewhere.url.encode()
        wire.stream(lambda: [whole(status, "moved", headers)], method=None, times=99)
        options = {"etcd_username": "full", "etcd_password": "geheim"}
        for ask_for in (info, apply):
            failure(ask_for(wire, **options), wire.url, "status %d" % status)
        assert elsewhere.connections == 0


# A stored value that Calico cannot read

# Which values cannot be read, and why, is told by the listing: see test_info.py.
MALFORMED = [
    pytest.param("", "not JSON", id="nothing"),
    pytest.param('{"name":"eth0"', "not JSON", id="half a value"),
    pytest.param('{"name":"eth0"} {}', "not JSON", id="two values"),
    pytest.param('{"labels":5,"metadata":5}', "is not a mapping", id="a number for a mapping"),
    pytest.param("[" * 100000, "nested too deeply", id="a deep value"),
]


@pytest.mark.parametrize("value, why", MALFORMED)
def test_a_malformed_value(store, value, why):
    key = store.key(**NAMED)
    store.put(key, value)
    listing = info(store)
    assert listing["hostendpoints"] == []
    assert [(each["key"], why in each["error"]) for each in listing["malformed"]] == [(key, True)]
    (warning,) = listing["warnings"]
    assert key in warning and why in warning and "open" in warning

    message = failure(apply(store, state="patched", **LABEL), SUBJECT, why, "cannot be patched", "present replaces it")
    assert apply(store, check=True, state="patched", **LABEL)["msg"] == message
    for check in (True, False):
        assert store.get(key) == value
        result = apply(store, check=check)
        assert (result["operation"], result["changed"]) == ("update", True)
        (warning,) = result["warnings"]
        assert key in warning and why in warning and "replaced" in warning
    assert store.stored() == store.tree_of([ETH0])

    store.put(key, value)
    for check in (True, False):
        assert store.get(key) == value
        result = apply(store, check=check, state="absent")
        assert result["operation"] == "delete"
        (warning,) = result["warnings"]
        assert key in warning and why in warning and "deleted" in warning
    assert store.stored() == {}


def test_many_malformed_values_are_all_listed_and_a_few_warned_about(store):
    for number in range(30):
        store.put(store.key("n1", "n1-eth%d" % number), "x" * 5000)
    result = info(store)
    assert len(result["malformed"]) == 30
    assert len(result["warnings"]) == 11 and "20 more" in result["warnings"][-1]
    assert len(json.dumps(result)) < 30000


# A locked datastore

# What says so, and the part of it that messages have.
LOCKS = [("etcdv2", value, repr(value)) for value in ("false", "False", "TRUE", "")]
LOCKS.append(("etcdv3", '{"spec":{"datastoreReady":false}}', "datastoreReady"))


@pytest.mark.parametrize("datastore_type, value, part", LOCKS)
def test_a_locked_datastore_is_not_written(stored, value, part):
    stored.put(stored.state_key, value)
    before = stored.revision()
    for options in (LABEL, {"name": "n1-eth1"}, {"state": "patched", **LABEL}, {"state": "absent"}):
        message = failure(apply(stored, **options), stored.state_key, part, "locked", "upgrade")
        assert apply(stored, check=True, **options)["msg"] == message
    for options in ({}, {"state": "patched"}, {"state": "absent", "name": "n1-eth1"}):
        for check in (True, False):
            result = apply(stored, check=check, **options)
            assert (result["failed"], result["changed"]) == (False, False)
            assert [stored.state_key in warning and "locked" in warning for warning in result["warnings"]] == [True]
    assert stored.revision() == before
    result = info(stored)
    assert len(result["hostendpoints"]) == 1
    assert [stored.state_key in warning and "locked" in warning for warning in result["warnings"]] == [True]


def test_no_calico_has_been_started(store):
    store.delete(store.state_key)
    for result in (info(store), apply(store), apply(store, state="absent")):
        assert not result["failed"]
        (warning,) = result["warnings"]
        assert store.url in warning and "no " + store.state_key in warning and "etcd_endpoints" in warning


@only_etcdv2
def test_ready_is_a_directory(stored):
    stored.delete(READY)
    stored.server.mkdir(READY)
    message = failure(apply(stored, **LABEL), READY)
    assert "None" not in message, message


@pytest.mark.parametrize("datastore_type", ["etcdv3"])
@pytest.mark.parametrize("value", ["", "[]", "{}", '{"spec":5}', '{"spec":{"datastoreReady":"no"}}'])
def test_cluster_information_that_cannot_be_read_is_no_lock(stored, value):
    stored.put(stored.state_key, value)
    result = apply(stored, **LABEL)
    assert result["operation"] == "update" and len(result["warnings"]) <= 1
    assert all(stored.state_key in warning for warning in result["warnings"])


# Calico's own endpoints

OWN = dict(ETH0, labels={OWNED: "calico-kube-controllers"})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"state": "absent"},
        {"state": "patched", "labels": {OWNED: None}},
        {"state": "patched", "labels": {"role": "new"}},
        {"state": "patched", "interface_name": "eth1"},
    ],
)
def test_an_endpoint_of_calicos_own_controllers(store, options):
    store.put_endpoint(OWN)
    message = failure(apply(store, **options), SUBJECT, "belongs to Calico's own controllers", OWNED)
    assert apply(store, check=True, **options)["msg"] == message
    assert store.stored() == store.tree_of([OWN])


def test_endpoints_of_calicos_own_controllers_are_listed(store):
    store.put_endpoint(OWN)
    (listed,) = info(store)["hostendpoints"]
    assert listed["labels"] == {OWNED: "calico-kube-controllers"}


@pytest.mark.parametrize("state", ["present", "patched"])
def test_the_label_of_calicos_controllers_is_not_set(stored, state):
    failure(apply(stored, state=state, labels={OWNED: "me"}), SUBJECT, "labels", OWNED, "Calico's own label", "delete")
    assert stored.stored() == stored.tree_of([ETH0])


# Names

NAMES = ["eth0", "a/../b", "a/./b", "../x", "/", "a//b", "a/", "...", "x/_y", "a/b", "-a", "x" * 128]
STEPS = ["..", "."]
HIDDEN = ["_x", "_"]
CHARACTERS = ["a%b", "%2f", "a?b", "a#b", "a b", "ä", "eth0\n", "\n", "a\\b", "a:b", "*", "x" * 129]
STATES = ["present", "patched", "absent"]


# On etcdv3: letters in lower case, and what is a DNS name.
DNS = ["a/b", "-a", "a-", "a..b", "_x", "Eth0", "a_b", "x" * 254]


@only_etcdv2
@pytest.mark.parametrize("name", NAMES)
def test_odd_names_that_work(store, name):
    neighbours = {ENDPOINTS + "zzz": VALUE, "/calico/v1/host/n1/metadata": "x", "/calico/v1/host/x": "x"}
    store.put_all(neighbours)
    before = store.stored("/calico")
    assert apply(store, name=name)["operation"] == "create"
    key = ENDPOINTS + name.replace("/", "%2f")
    assert store.stored("/calico") == dict(before, **{key: VALUE})
    assert apply(store, name=name)["changed"] is False
    (listed,) = info(store, name=name)["hostendpoints"]
    assert (listed["name"], listed["node"]) == (name, "n1")
    assert apply(store, name=name, state="patched", **LABEL)["operation"] == "update"
    assert apply(store, name=name, state="absent")["operation"] == "delete"
    assert store.stored("/calico") == before


V1_RULE, V3_RULE = "1 to 128 of a-z A-Z 0-9 _ .", "1 to 253 of a-z 0-9 - ."


@one_etcd
@pytest.mark.parametrize("option", ["name", "node"])
@pytest.mark.parametrize(
    "datastore_type, value, rule",
    [
        *[pytest.param("etcdv2", value, "path steps", id=value) for value in STEPS],
        *[pytest.param("etcdv2", value, "hides", id=value) for value in HIDDEN],
        *[pytest.param("etcdv2", value, V1_RULE, id=ascii(value)) for value in CHARACTERS],
        pytest.param("etcdv2", "x" * 100000, V1_RULE, id="100,000 characters"),
        *[pytest.param("etcdv3", value, V3_RULE, id="v3 " + ascii(value)) for value in STEPS + CHARACTERS[:-1] + DNS],
        pytest.param("etcdv3", "x" * 100000, V3_RULE, id="v3 100,000 characters"),
    ],
)
def test_names_that_are_refused_before_anything_is_sent(stored, wire, option, value, rule):
    results = [apply(wire, state=state, **{option: value}) for state in STATES] + [info(wire, **{option: value})]
    assert wire.requests == []
    for result in results:
        assert result["failed"]
        assert "%s: %s" % (option, repr(value)[:80]) in result["msg"] and rule in result["msg"], result["msg"]


@one_etcd
@pytest.mark.parametrize("option", ["name", "node"])
def test_names_that_are_missing(store, wire, option):
    # On etcdv3 the name is enough to delete.
    states = [state for state in STATES if (store.type, option, state) != ("etcdv3", "node", "absent")]
    for state in states[:1] if (store.type, option) == ("etcdv3", "node") else states:
        for value in ("", None):
            failure(apply(wire, state=state, **{option: value}), "%s: " % option, "is missing")
    assert wire.requests == []


@one_etcd
@pytest.mark.parametrize("option", ["name", "node"])
@pytest.mark.parametrize("value", ["eth0\n", "x" * 100000], ids=["a line end", "100,000 characters"])
def test_messages_about_names_are_one_short_line(store, wire, option, value):
    failure(apply(wire, **{option: value}), option)


@one_etcd
@pytest.mark.parametrize("node", ["a/../b", "a/b", "/", "n1/endpoint/x"])
def test_a_node_has_no_slash(store, wire, node):
    failure(apply(wire, node=node), "node: %r" % node, V1_RULE if store.type == "etcdv2" else V3_RULE)
    assert wire.requests == []


FIELDS = [
    ({"interface_name": "e" * 16}, "interface_name: 'eeeeeeeeeeeeeeee'", "1 to 15 of a-z"),
    ({"interface_name": "eth0\n"}, "interface_name: 'eth0\\n'", "1 to 15 of a-z"),
    ({"interface_name": ".."}, "interface_name: '..'", "no interface of that name"),
    ({"interface_name": ""}, "interface_name", "requires interface_name, expected_ips or both"),
    ({"expected_ips": ["10.0.0.1", "10.0.0.1/24"]}, "expected_ips[1]: '10.0.0.1/24'", "without prefix length"),
    ({"expected_ips": ["fe80::1%eth0"]}, "expected_ips[0]: 'fe80::1%eth0'", "or zone"),
    ({"expected_ips": ["300.1.1.1"]}, "expected_ips[0]: '300.1.1.1'", "is not a valid IP address"),
    ({"expected_ips": ["010.0.0.1"]}, "expected_ips[0]: '010.0.0.1'", "is not a valid IP address"),
    ({"expected_ips": [""]}, "expected_ips[0]: ''", "is not a valid IP address"),
    ({"expected_ips": ["::1\n"]}, "expected_ips[0]: '::1\\n'", "is not a valid IP address"),
    ({"profiles": ["ok", "a b"]}, "profiles[1]: 'a b'", "is not a profile name"),
    ({"profiles": [""]}, "profiles[0]: ''", "is not a profile name"),
    ({"labels": {"a b": "x"}}, "labels: 'a b'", "is not a label key"),
    ({"labels": {"": "x"}}, "labels: ''", "is not a label key"),
    ({"labels": {"x" * 100000: "x"}}, "labels: 'xxx", "is not a label key"),
    ({"labels": {"role": "a b"}}, "labels[role]: 'a b'", "at most 63 of a-z"),
    ({"labels": {"role": "x" * 64}}, "labels[role]: 'xxx", "at most 63 of a-z"),
    ({"labels": {"role": "x-"}}, "labels[role]: 'x-'", "is not a label value"),
    ({"labels": {"role": ["x"]}}, "labels[role]: ['x']", "is not a string"),
    ({"labels": {"role": {"a": "b"}}}, "labels[role]: {'a': 'b'}", "is not a string"),
    ({"labels": {"role": 1e10}}, "labels[role]: 10000000000.0", "quote it"),
]
FIELDS_OF = {
    "etcdv2": [
        ({"interface_name": "*"}, "interface_name: '*'", "1 to 15 of a-z"),
        ({"profiles": ["x" * 129]}, "profiles[0]: 'xxx", "1 to 128 of a-z"),
        ({"labels": {"x" * 513: "x"}}, "labels: 'xxx", "1 to 512 of a-z"),
        ({"ports": [{"name": "ssh", "protocol": "TCP", "port": 22}]}, "ports: ['ssh']", "no named ports"),
    ],
    "etcdv3": [
        ({"profiles": ["ns/p"]}, "profiles[0]: 'ns/p'", "one or more of a-z 0-9 - ."),
        ({"labels": {"x" * 64: "x"}}, "labels: 'xxx", "1 to 63 of a-z"),
        ({"ports": [{"name": "a", "protocol": "udp", "port": 1}]}, "ports[0].protocol: 'udp'", "TCP, UDP, SCTP"),
        ({"ports": [{"name": "a", "protocol": "UDP", "port": 0}]}, "ports[0].port: 0", "1 to 65535"),
        ({"ports": [{"name": "", "protocol": "UDP", "port": 1}]}, "ports[0].name: ''", "is not a port name"),
    ],
}


@one_etcd
@pytest.mark.parametrize(
    "datastore_type, options, where, rule",
    [
        pytest.param(kind, *field, id="%s %s" % (kind, field[1][:40]))
        for kind, more in FIELDS_OF.items()
        for field in FIELDS + more
    ],
)
def test_fields_that_are_refused_before_anything_is_sent(store, wire, options, where, rule):
    failure(apply(wire, **options), where, rule)
    assert wire.requests == []


@one_etcd
def test_all_mistakes_are_told_at_once(store, wire):
    failure(
        apply(wire, interface_name="e" * 16, expected_ips=["x"], labels={"role": "-"}, profiles=["!"]),
        SUBJECT,
        "interface_name: 'eee",
        "expected_ips[0]: 'x'",
        "labels[role]: '-'",
        "profiles[0]: '!'",
    )


@only_etcdv2
def test_a_profile_that_felix_ignores_is_warned_about(store):
    result = apply(store, profiles=["ns/p"])
    (warning,) = result["warnings"]
    assert result["operation"] == "create"
    assert SUBJECT in warning and "'ns/p'" in warning and "Felix ignores" in warning and "open" in warning


def test_10000_labels(store):
    labels = {"label-%05d" % number: "value" for number in range(10000)}
    start = time.process_time()
    assert apply(store, labels=labels)["operation"] == "create"
    assert apply(store, labels=labels)["changed"] is False
    assert store.stored() == store.tree_of([dict(ETH0, labels=labels)])
    (listed,) = info(store)["hostendpoints"]
    assert listed["labels"] == labels
    assert time.process_time() - start < 10


@one_etcd
@pytest.mark.parametrize("key, value", [("label-%d", "no value"), ("no label %d", "x"), ("x" * 50 + "%d", "no value")])
def test_10000_wrong_labels(store, wire, key, value):
    labels = {key % number: value for number in range(10000)}
    start = time.process_time()
    failure(apply(wire, labels=labels), SUBJECT, "and 9990 more")
    assert time.process_time() - start < 5


# Keys of etcdv2 that are not what they should be


@only_etcdv2
def test_a_name_that_is_a_directory(store):
    store.put(ENDPOINTS + "a/b", VALUE)
    before = store.server.tree(dirs=True)
    for state in ("present", "patched"):
        message = failure(apply(store, name="a", state=state), ENDPOINTS + "a", "directory", "etcdctl")
        assert apply(store, check=True, name="a", state=state)["msg"] == message
    # There is no such endpoint: either this is told, or that there is nothing to do.
    result = apply(store, name="a", state="absent")
    assert result["failed"] or not result["changed"]
    assert store.server.tree(dirs=True) == before
    listing = info(store)
    assert [each["key"] for each in listing["malformed"]] == [ENDPOINTS + "a/b"]
    assert "too deep" in listing["malformed"][0]["error"]
    assert apply(store, name="a/b")["operation"] == "create"
    assert store.server.tree() == {READY: "true", ENDPOINTS + "a/b": VALUE, ENDPOINTS + "a%2fb": VALUE}


@only_etcdv2
def test_a_name_that_is_an_empty_directory(store):
    store.server.mkdir(ENDPOINTS + "a")
    failure(apply(store, name="a"), ENDPOINTS + "a", "directory", "etcdctl")
    assert not apply(store, name="a", state="absent").get("changed")
    assert info(store)["hostendpoints"] == []


@pytest.mark.parametrize("leaf", ["/calico/v1/host/n1", "/calico/v1/host/n1/endpoint"])
@only_etcdv2
def test_a_value_where_a_directory_belongs(store, leaf):
    store.put(leaf, "x")
    for state in STATES:
        failure(apply(store, state=state), KEY, leaf, "a value, not a directory")
    assert store.server.tree() == {READY: "true", leaf: "x"}
    # Others are not concerned.
    assert apply(store, node="other")["operation"] == "create"
    assert [each["node"] for each in info(store)["hostendpoints"]] == ["other"]


@only_etcdv2
def test_the_directory_that_a_delete_leaves(store):
    assert apply(store)["operation"] == "create"
    assert apply(store, state="absent")["operation"] == "delete"
    assert store.server.tree("/calico/v1/host", dirs=True) == {
        "/calico/v1/host": None,
        "/calico/v1/host/n1": None,
        "/calico/v1/host/n1/endpoint": None,
    }
    assert info(store)["hostendpoints"] == info(store, node="n1")["hostendpoints"] == []
    assert apply(store, state="absent")["changed"] is False
    assert apply(store)["operation"] == "create"
    assert store.get(KEY) == VALUE


def test_patched_of_what_is_not_there(store):
    for check in (True, False):
        failure(apply(store, check=check, state="patched", **LABEL), SUBJECT, "does not exist", "present creates it")
    assert store.stored() == {}


# Resources

V1 = {
    "apiVersion": "v1",
    "kind": "hostEndpoint",
    "metadata": {"name": "n1-eth0", "node": "n1"},
    "spec": {"interfaceName": "eth0"},
}
V3 = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "HostEndpoint",
    "metadata": {"name": "n1-eth0"},
    "spec": {"node": "n1", "interfaceName": "eth0"},
}


def with_key(resource, path, value):
    changed = copy.deepcopy(resource)
    *parents, last = path.split(".")
    place = changed
    for parent in parents:
        place = place[parent]
    place[last] = value
    return changed


@pytest.mark.parametrize("resource", [V1, V3], ids=["v1", "v3"])
def test_both_generations_are_taken(store, resource):
    assert apply(store, resource=resource)["operation"] == "create"
    assert store.stored() == store.tree_of([ETH0])
    assert apply(store)["changed"] is False
    assert apply(store, resource=resource, state="absent")["operation"] == "delete"


def test_what_the_v3_api_sets_is_taken(store):
    exported = copy.deepcopy(V3)
    exported["metadata"].update(uid="x", creationTimestamp="2026-01-02T03:04:05Z", resourceVersion="7", generation=1)
    assert apply(store, resource=exported)["operation"] == "create"
    assert store.stored() == store.tree_of([ETH0])


PORTS = [{"name": "ssh", "protocol": "TCP", "port": 22}]
RESOURCES = [
    (with_key(V1, "spec.interfacename", "x"), ["spec.interfacename", "spec.interfaceName"]),
    (with_key(V1, "spec.node", "x"), ["spec.node", "metadata.node"]),
    (with_key(V3, "metadata.node", "x"), ["metadata.node", "spec.node"]),
    (with_key(V1, "metadata.interfaceName", "x"), ["metadata.interfaceName", "spec.interfaceName"]),
    (with_key(V1, "labels", {}), ["labels is unknown", "metadata.labels"]),
    (with_key(V1, "spec.mtu", 1500), ["spec.mtu", "no such key"]),
    (with_key(V1, "status", {}), ["status", "no such key"]),
    (with_key(V1, "metadata.uid", "x"), ["metadata.uid", "no such key"]),
    (with_key(V1, "spec.ports", PORTS), ["spec.ports"]),
    (with_key(V1, "kind", "HostEndpoint"), ["'v1'", "'HostEndpoint'", "kind: hostEndpoint"]),
    (with_key(V3, "kind", "hostEndpoint"), ["'hostEndpoint'", "projectcalico.org/v3", "kind: HostEndpoint"]),
    (with_key(V1, "kind", "policy"), ["'policy'", "kind: hostEndpoint"]),
    (with_key(V1, "kind", ["hostEndpoint"]), ["kind: hostEndpoint"]),
    (with_key(V1, "apiVersion", "v2"), ["'v2'", "apiVersion: v1"]),
    (with_key(V1, "apiVersion", {"a": "b"}), ["apiVersion: v1"]),
    ({}, ["apiVersion: v1", "projectcalico.org/v3"]),
    (with_key(V1, "metadata", ["eth0"]), ["metadata", "['eth0'] is not a mapping"]),
    (with_key(V1, "metadata", "eth0"), ["metadata", "'eth0' is not a mapping"]),
    (with_key(V1, "spec", ["eth0"]), ["spec", "['eth0'] is not a mapping"]),
    (with_key(V1, "spec", "eth0"), ["spec", "'eth0' is not a mapping"]),
    (with_key(V1, "spec", None), ["interface_name", "requires"]),
    (with_key(V1, "metadata.labels", ["role"]), ["labels", "['role'] is not a mapping"]),
    (with_key(V1, "metadata.labels", "role=x"), ["labels", "'role=x' is not a mapping"]),
    (with_key(V1, "metadata.labels", {"role": ["x"]}), ["labels[role]", "is not a string"]),
    (with_key(V1, "metadata.name", ["eth0"]), ["name", "['eth0'] is not a string"]),
    (with_key(V1, "metadata.name", None), ["name", "is missing"]),
    (with_key(V1, "metadata.node", None), ["node", "is missing"]),
    (with_key(V1, "spec.interfaceName", {"a": "b"}), ["{'a': 'b'} is not a string"]),
    (with_key(V1, "spec.expectedIPs", "10.0.0.1"), ["'10.0.0.1' is not a list"]),
    (with_key(V1, "spec.expectedIPs", [["10.0.0.1"]]), ["[0]: ['10.0.0.1'] is not a string"]),
    (with_key(V1, "spec.expectedIPs", [10]), ["[0]: 10 is not a string", "quote"]),
    (with_key(V1, "spec.profiles", "p"), ["profiles", "'p' is not a list"]),
    (with_key(V1, "spec.profiles", [None]), ["profiles[0]", "is not a string"]),
    (with_key(V3, "spec.ports", {"a": "b"}), ["ports", "is not a list"]),
    (with_key(V3, "spec.ports", [{"name": "ssh"}]), ["ports[0]", "name, protocol and port"]),
    (with_key(V3, "spec.ports", [{"name": "ssh", "protocol": "TCP", "port": "x"}]), ["ports[0].port: 'x'"]),
    (dict(V1, **{"key%d" % number: 1 for number in range(1000)}), ["key0", "and 990 more"]),
]


@one_etcd
@pytest.mark.parametrize("resource, parts", RESOURCES)
def test_resources_that_are_refused_before_anything_is_sent(store, wire, resource, parts):
    failure(apply(wire, resource=resource), *parts)
    assert wire.requests == []


@only_etcdv2
@pytest.mark.parametrize(
    "resource, parts",
    [
        (with_key(V3, "spec.ports", PORTS), ["ports", "ssh", "etcdv2", "no named ports"]),
        (with_key(V3, "spec.interfaceName", "*"), ["interface_name: '*'", "1 to 15 of"]),
    ],
)
def test_what_etcdv2_does_not_take_of_a_v3_resource(store, wire, resource, parts):
    failure(apply(wire, resource=resource), *parts)
    assert wire.requests == []


@only_etcdv2
@pytest.mark.parametrize("key", ["finalizers", "ownerReferences"])
def test_what_a_v3_manifest_has_and_v1_cannot_keep(store, wire, key):
    """Calico v3 has such keys: it is the target that has not."""
    message = failure(apply(wire, resource=with_key(V3, "metadata." + key, {"a": "b"})), "metadata." + key)
    assert "Calico has no such key" not in message, message


@pytest.mark.parametrize(
    "path, value", [("spec.expectedIPs", "x"), ("spec.interfaceName", ["x"]), ("metadata.labels", "x")]
)
def test_a_resource_is_quoted_by_its_own_keys(store, wire, path, value):
    failure(apply(wire, resource=with_key(V1, path, value)), path)


def test_scalars_in_labels_become_text_as_calicoctl_has_it(store):
    labels = {"number": 5, "bool": True, "null": None, "float": 1.5, "text": "x"}
    expected = {"number": "5", "bool": "true", "null": "", "float": "1.5", "text": "x"}
    for options in ({"labels": labels}, {"resource": with_key(V1, "metadata.labels", labels)}):
        result = apply(store, **options)
        assert not result["failed"], result
        assert store.stored() == store.tree_of([dict(ETH0, labels=expected)])
        assert apply(store, state="absent")["changed"] is True


@pytest.mark.parametrize("field", [{"name": "eth1"}, {"labels": {}}, {"interfaceName": "eth1"}])
def test_a_resource_and_fields(store, wire, field):
    failure(apply(wire, resource=V1, **field), "mutually exclusive", "resource")


def test_neither_a_resource_nor_a_name(store, wire):
    result = run_module(APPLY, connection(wire))
    failure(result, "one of the following is required: name, resource")
    assert wire.requests == []


# Libraries that are missing, in a real run of Ansible

INTERPRETER = "hostendpoints_python_interpreter"
PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "ignore_errors": True,
        "module_defaults": {"group/netsec.calico.calico": "{{ connection }}"},
        "tasks": [
            {
                "name": "without etcd",
                "netsec.calico.calico_hostendpoint": dict(ETH0),
                "environment": {"PYTHONPATH": "{{ no_etcd }}"},
            },
            {
                "name": "info without etcd",
                "netsec.calico.calico_hostendpoint_info": {"option_names": {"python_interpreter": INTERPRETER}},
                "environment": {"PYTHONPATH": "{{ no_etcd }}"},
            },
            {
                "name": "a file without PyYAML",
                "netsec.calico.calico_hostendpoint_info": {"calicoctl_config": "/etc/hosts"},
                "environment": {"PYTHONPATH": "{{ no_yaml }}"},
            },
            {
                "name": "neither file nor diff without PyYAML",
                "netsec.calico.calico_hostendpoint": dict(ETH0),
                "environment": {"PYTHONPATH": "{{ no_yaml }}"},
            },
            {
                "name": "a diff without PyYAML",
                "netsec.calico.calico_hostendpoint": dict(ETH0, **LABEL),
                "diff": True,
                "environment": {"PYTHONPATH": "{{ no_yaml }}"},
            },
        ],
    }
]


LIBRARIES = {"etcdv2": ("etcd", "python-etcd"), "etcdv3": ("etcd3gw", "etcd3gw")}


@pytest.mark.thorough
@one_etcd
def test_missing_libraries(datastore, tmp_path):
    """What is missing, and on whose Python; only what needs it fails, and has not written."""
    module, library = LIBRARIES[datastore.type]
    variables = {"connection": dict(connection(datastore), timeout=PATIENT)}
    for variable, name in (("no_etcd", module), ("no_yaml", "yaml")):
        folder = tmp_path / variable
        folder.mkdir()
        (folder / (name + ".py")).write_text("raise ImportError(\"No module named '%s'\")\n" % name)
        variables[variable] = str(folder)
    run = run_playbook(PLAYBOOK, extra_args=["-e", json.dumps(variables)])
    for task, missing in (
        ("without etcd", library),
        ("info without etcd", library),
        ("a file without PyYAML", "PyYAML"),
        ("a diff without PyYAML", "PyYAML"),
    ):
        message = run.result(task)["msg"]
        assert missing in message and "ython library" in message and sys.executable in message, message
    # As a role runs it.
    remedy = "Install it with %s -m pip install %s, or set %s to a Python that has it"
    assert remedy % (sys.executable, library, INTERPRETER) in run.result("info without etcd")["msg"]
    assert run.result("neither file nor diff without PyYAML")["operation"] == "create"
    assert datastore.stored() == datastore.tree_of([ETH0])
