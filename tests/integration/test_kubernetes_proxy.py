# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes API server behind a proxy: what is true of a write does not depend on the way to the server."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading

import pytest

from tests.harness.certificates import CertificateAuthority
from tests.harness.module import run_module
from tests.harness.wire import listening, pass_on
from tests.integration.tasks import NAMED, connection, failure

HEP = "/hostendpoints"
CLUSTER = "cluster.example"
on_v3 = pytest.mark.parametrize("datastore_type", ["kubernetes-v3"])
FAULTS = ["cut_before_commit", "cut_after_commit", "cut_mid_headers", "cut_mid_answer", "reset", "hang_up"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return CertificateAuthority(tmp_path_factory.mktemp("ca")).server("cluster", [CLUSTER])


@pytest.fixture
def tunnel(certificate, wire):
    """The port of a proxy that connects whoever asks to an HTTPS server, which is the wire behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)

    def talk(client):
        with contextlib.suppress(OSError), client:
            head = b""
            while (byte := client.recv(1)) and not head.endswith(b"\r\n\r"):
                head += byte
            if not head.startswith(b"CONNECT " + CLUSTER.encode()):
                return
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            with context.wrap_socket(client, server_side=True) as inside:
                with socket.create_connection(("127.0.0.1", wire.port)) as server:
                    back = threading.Thread(target=pass_on, args=(server, inside))
                    back.start()
                    pass_on(inside, server)
                    back.join()

    def serve(listener, _closing):
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    with listening(serve) as port:
        yield port


@pytest.fixture(params=["http", "https"])
def options(request, wire, certificate):
    """Those of a task whose server is behind a proxy; a proxy itself sends the requests to an http server."""
    found = dict(connection(wire), guard="off", host=request.param + "://" + CLUSTER, timeout=5)
    if request.param == "http":
        return dict(found, proxy=wire.url)
    return dict(found, proxy="http://127.0.0.1:%d" % request.getfixturevalue("tunnel"), ca_cert=certificate.ca)


def writes(wire, method):
    return [request for request in wire.writes if request.method == method]


@on_v3
@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_without_an_answer_is_resolved_by_reading(datastore, wire, options, fault):
    """As without a proxy: what was carried out is reported, and is not sent a second time."""
    sent = 2 if fault in ("cut_before_commit", "reset") else 1
    for method, operation, fields in (
        ("POST", "create", {"interface_name": "eth0"}),
        ("PUT", "update", {"interface_name": "eth1"}),
        ("DELETE", "delete", {"state": "absent"}),
    ):
        wire.fault(fault, method=method, path_contains=HEP)
        result = run_module("calico_hostendpoint", dict(options, **NAMED, **fields))
        assert (result["operation"], len(writes(wire, method))) == (operation, sent)
    assert datastore.stored() == {}


@on_v3
def test_a_set_reports_each_change_that_it_made(datastore, wire, options):
    wire.fault("cut_after_commit", method="POST", path_contains=HEP, nth=3, times=6)
    endpoints = [dict(NAMED, name="h%02d" % number, interface_name="eth0") for number in range(12)]
    result = run_module("calico_hostendpoints", dict(options, endpoints=endpoints))
    assert result["summary"]["created"] == len(datastore.stored()) == len(writes(wire, "POST")) == 12


@on_v3
def test_a_write_whose_answer_is_lost_with_the_proxy_may_have_been_made(datastore, wire, options):
    def dead():
        wire.fault("cut_before_commit", method="GET", times=999)

    wire.before("POST", dead)
    wire.fault("cut_after_commit", method="POST", path_contains=HEP)
    result = run_module("calico_hostendpoint", dict(options, timeout=1, interface_name="eth0", **NAMED))
    failure(result, "may or may not have been made")
    assert len(datastore.stored()) == 1


@on_v3
def test_a_proxy_that_refuses(datastore, wire, certificate):
    """The wire connects nobody. Nothing was sent to the server, and the message has the proxy's answer."""
    options = dict(connection(wire), host="https://" + CLUSTER, proxy=wire.url, ca_cert=certificate.ca, timeout=1)
    failure(
        run_module("calico_hostendpoint_info", options),
        "cannot reach the API server",
        "501",
        "through the proxy of proxy (option)",
    )


@on_v3
def test_an_answer_in_drops_ends_at_the_timeout(datastore, wire, options):
    """Also while its headers come."""
    ended = threading.Event()

    def drops():
        yield b"HTTP/1.1 200 OK\r\n"
        while not ended.wait(0.2):
            yield b"X-Drop: 1\r\n"

    wire.stream(drops, method=None, times=99)
    try:
        result = run_module("calico_hostendpoint_info", dict(options, timeout=1))
    finally:
        ended.set()
    failure(result, "timeout")


@on_v3
def test_what_the_objects_are_is_the_same(datastore, wire, options):
    run_module("calico_hostendpoint", dict(options, interface_name="eth0", **NAMED))
    (value,) = datastore.stored().values()
    assert json.loads(value)["spec"]["interfaceName"] == "eth0"
    again = run_module("calico_hostendpoint", dict(options, interface_name="eth0", **NAMED))
    assert again["operation"] == "none" and len(wire.writes) == 1
