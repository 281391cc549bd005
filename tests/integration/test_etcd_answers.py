# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of etcd's usual form are read without http.client: with the same result as with it, however they arrive."""

from __future__ import annotations

import contextlib
import importlib
from http.client import HTTPException

import pytest
import urllib3

from tests.harness.pace import PATIENT
from tests.harness.wire import listening
from tests.integration.tasks import NAMED, hostendpoint

http = importlib.import_module("ansible_collections.netsec.calico.plugins.module_utils._datastore._etcd.http")
complete = importlib.import_module("ansible_collections.netsec.calico.plugins.module_utils._datastore._http.complete")

BODY = b'{"action":"create","node":{"key":"/a","value":"x","modifiedIndex":5,"createdIndex":5}}'
HEADERS = b"Content-Type: application/json\r\nX-Etcd-Cluster-Id: 7e27652122e8b2ae\r\nX-Etcd-Index: 5\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
ETCD = b"HTTP/1.1 201 Created\r\n" + HEADERS + b"Date: Sun, 29 Nov 2026 10:00:00 GMT\r\n" + LENGTH + b"\r\n"

CHUNKS = b"3\r\n{ }\r\n0\r\n\r\n"
CHUNKED = ETCD.replace(LENGTH, b"Content-Length: %d\r\n" % len(CHUNKS))


def with_header(line, before=LENGTH):
    return ETCD.replace(before, line + before) + BODY


ANSWERS = {
    "etcd's": ETCD + BODY,
    "headers in lower case": ETCD.replace(HEADERS + b"Date", HEADERS.lower() + b"date") + BODY,
    "all in lower case": ETCD.lower() + BODY,
    "200": ETCD.replace(b"201 Created", b"200 OK") + BODY,
    "no reason": ETCD.replace(b" Created", b"") + BODY,
    "no cluster": ETCD.replace(b"X-Etcd-Cluster-Id: 7e27652122e8b2ae\r\n", b"") + BODY,
    "an error": ETCD.replace(b"201 Created", b"412 Precondition Failed") + BODY,
    "HTTP/1.0": ETCD.replace(b"HTTP/1.1", b"HTTP/1.0") + BODY,
    "the last one": with_header(b"Connection: close\r\n"),
    "the last one, told at the end": ETCD[:-2] + b"connection:close\r\n\r\n" + BODY,
    "another length": with_header(b"Content-Length: 3\r\n"),
    "another length at the end": ETCD[:-2] + b"Content-Length: 3\r\n\r\n" + BODY,
    "length and chunks": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
    "chunks and length": CHUNKED.replace(b"Date:", b"transfer-encoding: chunked\r\nDate:") + CHUNKS,
    "compressed": with_header(b"Content-Encoding: gzip\r\n"),
    "compressed, told at the end": ETCD[:-2] + b"content-encoding: gzip\r\n\r\n" + BODY,
    "a header on two lines": with_header(b"X-A: b\r\n Content-Length: 3\r\n"),
    "a header without a space": with_header(b"X-A:b\r\n"),
    "a header that is none": with_header(b"rubbish\r\n"),
    "many headers": with_header(b"X-A: b\r\n" * 90),
    "too many headers": with_header(b"X-A: b\r\n" * 200),
    "no length": ETCD.replace(LENGTH, b"") + BODY,
    "a negative length": ETCD.replace(LENGTH, b"Content-Length: -5\r\n") + BODY,
    "a long length": ETCD.replace(LENGTH, b"Content-Length: 00000000%d\r\n" % len(BODY)) + BODY,
    "lines that end with LF alone": ETCD.replace(b"\r\n", b"\n") + BODY,
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + ETCD + BODY,
    "two interim answers": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ETCD + BODY,
    "another protocol from now on": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" + ETCD + BODY,
    "more than announced": ETCD + BODY + b"HTTP/1.1 200 OK\r\n\r\n",
    "less than announced": ETCD + BODY[:-1],
    "no body": ETCD,
    "half of the head": ETCD[: len(ETCD) // 2],
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a large one": ETCD.replace(LENGTH, b"Content-Length: 99000\r\n") + b"x" * 99000,
}


def by_library(pool):
    connection = complete.borrow(pool)
    connection.timeout = PATIENT
    connection.request("GET", "/x")
    answer = complete.receive(connection)
    data = answer.read()
    return answer.status, data, complete.has_length(answer.headers), answer.getheader("X-Etcd-Cluster-Id", "")


def by_channel(pool):
    channel = http.Channel(pool, {}, PATIENT)
    channel.send("GET", "/x", None)
    return tuple(channel.receive("GET"))


def outcome(ask, pieces):
    """What a client makes of an answer that arrives in these pieces; the kind of its error if there is one."""

    def serve(listener, _closing):
        client, _address = listener.accept()
        with client:
            client.recv(65536)
            for piece in pieces:
                client.sendall(piece)

    try:
        return with_server(serve, ask)
    except (OSError, ValueError, HTTPException) as error:
        return type(error)


def with_server(serve, ask):
    """The result of a client with a pool of connections to this server."""
    with listening(serve) as port:
        url = "http://127.0.0.1:%d" % port
        manager = urllib3.PoolManager()
        http.harden(manager, url, None)
        return ask(manager.connection_from_url(url))


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=list(ANSWERS))
def test_an_answer_means_what_the_library_reads(answer):
    expected = outcome(by_library, [answer])
    assert outcome(by_channel, [answer]) == expected
    for at in (1, len(answer) // 3, len(answer) - 5):
        assert outcome(by_channel, [answer[:at], answer[at:]]) == expected


@pytest.mark.parametrize("number", [100, 102, 103])
def test_the_answer_is_the_one_after_interim_answers(number):
    """RFC 9110, section 15.2."""
    interim = b"HTTP/1.1 %d Wait\r\nX-A: b\r\n\r\n" % number
    for ask in (by_library, by_channel):
        for pieces in ([interim + ETCD + BODY], [interim, interim + ETCD, BODY]):
            assert outcome(ask, pieces)[:2] == (201, BODY)


@pytest.mark.parametrize("last", [b"Connection: close\r\n", b"X-A: b\r\nconnection: close\r\n"])
def test_after_its_last_answer_a_connection_is_not_used_again(last):
    """Though the server has not closed it."""
    answers = [with_header(last), ETCD + BODY]

    def serve(listener, _closing):
        with contextlib.ExitStack() as stack:
            for answer in answers:
                client, _address = listener.accept()
                stack.enter_context(client)
                client.recv(65536)
                client.sendall(answer)

    def ask_twice(pool):
        channel = http.Channel(pool, {}, PATIENT)
        for _answer in answers:
            channel.send("GET", "/x", None)
            assert channel.receive("GET").data == BODY

    with_server(serve, ask_twice)


def test_a_request_has_the_headers_of_the_library():
    received = []

    def serve(listener, _closing):
        client, _address = listener.accept()
        with client:
            data = b""
            while not data.endswith(b"value={}"):
                data += client.recv(65536)
            received.append(data)
            client.sendall(ETCD + BODY)

    headers = {"Authorization": "Basic eDp5"}

    def by_channel(pool):
        channel = http.Channel(pool, headers, PATIENT)
        channel.send("PUT", "/x?y=z", b"value={}")
        return channel.receive("PUT")

    def by_library(pool):
        connection = complete.borrow(pool)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("PUT", "/x?y=z", b"value={}", {**headers, **form})
        return complete.receive(connection).read()

    with_server(serve, by_channel)
    with_server(serve, by_library)
    ours, theirs = (data.partition(b"\r\n\r\n") for data in received)
    assert ours[2] == theirs[2] == b"value={}"
    ours, theirs = (head[0].split(b"\r\n") for head in (ours, theirs))
    assert ours[0] == theirs[0] == b"PUT /x?y=z HTTP/1.1"

    def named(lines):
        return sorted(line for line in lines[1:] if not line.startswith(b"Host:"))

    assert named(ours) == named(theirs) and sum(line.startswith(b"Host: 127.0.0.1:") for line in ours) == 1


@pytest.mark.parametrize("datastore_type", ["etcdv2"])
@pytest.mark.parametrize("fault", ["reset", "cut_before_commit"])
def test_a_kept_alive_connection_that_the_server_has_closed(datastore, wire, fault):
    """What changes nothing is asked again over a new connection (RFC 9112, section 9.3.1)."""
    datastore.put_endpoint(dict(NAMED, interface_name="eth0"))
    wire.fault(fault, method="GET", nth=2)
    assert hostendpoint(wire, interface_name="eth0")["operation"] == "none"
    assert wire.connections == 2
