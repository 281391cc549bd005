# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of a Kubernetes API server in several pages: complete and of one state, or an error."""

from __future__ import annotations

import functools
import importlib
import json

import pytest

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.module import run_module
from tests.harness.pace import HANG
from tests.harness.process import wait_for
from tests.integration.tasks import connection, failure, info

PACKAGE = "ansible_collections.netsec.calico.plugins.module_utils._datastore."
COUNT = 7
NAMES = ["h%d" % number for number in range(COUNT)]
LATER = "continue="
HEPS = "/hostendpoints"

on_both = pytest.mark.parametrize("datastore_type", list(KUBERNETES_DATASTORES))
on_v3 = pytest.mark.parametrize("datastore_type", ["kubernetes-v3"])


@pytest.fixture(autouse=True)
def pages(monkeypatch):
    """Of 2 objects, and of 3 where the list was begun before."""
    client = importlib.import_module(PACKAGE + "_kubernetes.client")
    monkeypatch.setattr(client, "PAGE", 2)
    monkeypatch.setattr(client, "LONG_PAGE", 3)
    return client


def endpoint(name):
    return {"name": name, "node": "n1", "interface_name": "eth0"}


@pytest.fixture
def endpoints(datastore):
    for name in NAMES:
        datastore.put_endpoint(endpoint(name))


def listed(wire, **options):
    result = info(wire, **options)
    assert not result["failed"], result["msg"]
    return [each["name"] for each in result["hostendpoints"]]


def lists(wire):
    return [request for request in wire.requests if request.method == "GET" and HEPS + "?" in request.path]


def store_of(wire):
    """The datastore as the modules open it."""
    factory = importlib.import_module(PACKAGE + "factory")
    return factory.open_datastore(factory.build_settings(connection(wire), {}))


# The pages of one list


@on_both
def test_all_pages_are_read_once(wire, endpoints):
    assert listed(wire) == NAMES
    assert len(lists(wire)) == 4 and len(set(lists(wire))) == 4


@on_v3
def test_the_next_page_is_requested_before_a_page_is_converted(wire, endpoints, pages):
    store = store_of(wire)
    requested = []

    def convert(item):
        number = len(requested) // 2
        wanted = min(number + 2, 4)
        wait_for(lambda: len(lists(wire)) == wanted, HANG, "the request for page %d is sent" % wanted)
        requested.append(item["metadata"]["name"])
        return item["metadata"]["name"]

    client = pages.KubernetesClient(store._settings)
    assert client.list_objects("projectcalico.org/v3", "hostendpoints", convert) == NAMES == requested


@on_both
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_list_that_expires_in_the_middle_is_begun_anew(datastore, wire, endpoints, nth):
    """What others have changed meanwhile is in it, and nothing is in it twice."""

    def change():
        datastore.delete(datastore.key("n1", "h0"))
        datastore.put_endpoint(endpoint("h9"))
        datastore.server.compact()

    wire.before("GET", change, nth=nth, path_contains=LATER)
    assert listed(wire) == [*NAMES[1:], "h9"]


@on_both
def test_a_list_that_always_expires(datastore, wire, endpoints):
    expired = json.dumps({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "old"})
    wire.answer(410, expired, times=99, path_contains=LATER)
    failure(info(wire), "expired 5 times")
    task = dict(connection(wire), guard="off", endpoints=[], purge="all", purge_nodes=["n1"])
    failure(run_module("calico_hostendpoints", task), "expired 5 times")
    assert len(datastore.stored()) == COUNT and not wire.writes


CUTS = ["cut_before_commit", "cut_after_commit", "cut_mid_headers", "cut_mid_answer", "reset", "hang_up"]


@on_v3
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("kind", CUTS)
def test_a_page_that_is_cut_is_read_again(wire, endpoints, kind, nth):
    wire.fault(kind, method="GET", nth=nth, path_contains=LATER)
    assert listed(wire) == NAMES


@on_v3
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_pages_of_servers_that_tell_no_length(wire, endpoints, framing):
    wire.framing = framing
    assert listed(wire) == NAMES
    wire.cut(lambda answer: len(answer) - 9, path_contains=LATER)
    assert listed(wire) == NAMES


@on_both
@pytest.mark.parametrize("kind", ["cut_mid_answer", "freeze"])
def test_a_page_that_never_comes_is_not_the_end_of_the_list(datastore, wire, endpoints, kind):
    wire.fault(kind, method="GET", nth=2, times=999, path_contains=LATER)
    failure(info(wire, timeout=0.5), "cannot reach the API server " + wire.url)
    task = dict(connection(wire), guard="off", endpoints=[], purge="all", purge_nodes=["n1"], timeout=0.5)
    failure(run_module("calico_hostendpoints", task), "cannot reach the API server " + wire.url)
    assert len(datastore.stored()) == COUNT and not wire.writes


@on_v3
def test_a_page_for_which_the_server_is_too_busy(wire, endpoints):
    busy = json.dumps({"kind": "Status", "status": "Failure", "code": 429, "message": "too many requests"})
    wire.answer(429, busy, headers=[("Retry-After", "1")], path_contains=LATER)
    wire.answer(503, "no backend\n", content_type="text/plain", nth=3, path_contains=LATER)
    assert listed(wire) == NAMES


@on_v3
def test_a_token_that_expires_between_two_pages(datastore, wire, endpoints, tmp_path):
    path = tmp_path / "kubeconfig"
    token = datastore.add_user("reader", read=[datastore.everything])
    datastore.server.write_kubeconfig(path, server=wire.url)
    told = json.dumps({"kind": "Status", "status": "Failure", "code": 401, "message": "Unauthorized"})
    renew = functools.partial(datastore.server.write_kubeconfig, path, server=wire.url, token=token)
    wire.before("GET", renew, path_contains=LATER)
    wire.answer(401, told, times=2, path_contains=LATER)
    options = {"datastore_type": "kubernetes", "kubeconfig": str(path), "calico_api_group": datastore.api}
    result = run_module("calico_hostendpoint_info", options)
    assert [each["name"] for each in result["hostendpoints"]] == NAMES
    assert lists(wire)[-1].headers["Authorization"] == "Bearer " + token


@on_v3
def test_rights_that_end_between_two_pages(datastore, wire, endpoints):
    forbidden = json.dumps({"kind": "Status", "status": "Failure", "code": 403, "message": "forbidden"})
    wire.answer(403, forbidden, nth=2, path_contains=LATER)
    failure(info(wire), "forbidden", "resources: [hostendpoints], verbs: [list]")


@on_v3
def test_only_the_metadata_say_which_page_follows(wire, endpoints):
    """A token that was requested early, and that is not the one of the page, does not count."""
    two_tokens = '{"kind":"HostEndpointList","items":[],"metadata":{"continue":"wrong","continue":"right"}}'
    last = '{"kind":"HostEndpointList","items":[%s],"metadata":{"resourceVersion":"1"}}'
    item = {"apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "spec": {"node": "n1"}}
    wire.answer(200, two_tokens, path_contains=HEPS)
    for token, name in (("wrong", "w"), ("right", "r")):
        document = json.dumps(dict(item, metadata={"name": name, "resourceVersion": "1"}))
        wire.answer(200, last % document, path_contains="continue=" + token)
    assert listed(wire) == ["r"]


@on_v3
def test_pages_whose_metadata_come_first(datastore, wire, endpoints):
    """As those of Kubernetes' own kinds."""
    for number in range(5):
        datastore.put("nodes/n%d" % number, {})
    assert sorted(store_of(wire).known_nodes()) == ["n%d" % number for number in range(5)]


@on_v3
def test_a_list_that_does_not_end(wire, endpoints):
    page = '{"kind":"HostEndpointList","items":[],"metadata":{"continue":"again"}}'
    wire.answer(200, page, times=99, path_contains=HEPS)
    failure(info(wire), "does not end")


# A list that was begun


LARGE = [endpoint("e%03d" % number) for number in range(130)]


def apply(wire, endpoints=None, **options):
    task = dict(connection(wire), guard="off", endpoints=LARGE if endpoints is None else endpoints, **options)
    return run_module("calico_hostendpoints", task)


@pytest.fixture
def large(datastore, pages, monkeypatch):
    """100 of these endpoints, which were created by the module; pages that fit."""
    assert not apply(datastore, LARGE[:100])["failed"]
    monkeypatch.setattr(pages, "PAGE", 30)
    monkeypatch.setattr(pages, "LONG_PAGE", 50)


@on_both
def test_a_large_set_is_listed_once_and_early(wire, large):
    result = apply(wire)
    assert (result["summary"]["unchanged"], result["summary"]["created"]) == (100, 30)
    limits = [request.parameters["limit"] for request in lists(wire)]
    assert limits == ["50", "30", "30"]
    assert not apply(wire)["changed"]


@on_v3
@pytest.mark.parametrize("kind", CUTS)
def test_a_list_that_was_begun_and_is_cut(wire, large, kind):
    wire.fault(kind, method="GET", path_contains="limit=50")
    result = apply(wire)
    assert (result["summary"]["unchanged"], result["summary"]["created"]) == (100, 30)


@on_v3
def test_a_list_that_was_begun_and_is_never_answered(wire, large):
    wire.fault("freeze", method="GET", times=99, path_contains="limit=50")
    failure(apply(wire, timeout=0.5), "cannot reach the API server " + wire.url, "within 0.5 s")
    assert not wire.writes


@on_v3
def test_an_invalid_set_is_refused_although_its_list_was_begun(wire, large):
    wire.fault("freeze", method="GET", times=99, path_contains="limit=50")
    failure(apply(wire, [*LARGE, dict(LARGE[0], name="Bad_Name")]), "endpoints[130]", "Bad_Name")
    assert not wire.writes


@on_v3
def test_a_list_that_was_begun_is_used_once(datastore, wire, endpoints):
    """Whoever lists again sees what was written meanwhile."""
    store = store_of(wire)
    store.begin_to_read("HostEndpoint")
    store.begin_to_read("HostEndpoint")
    assert [stored.name for stored in store.list()] == NAMES
    datastore.put_endpoint(endpoint("h9"))
    assert [stored.name for stored in store.list()] == [*NAMES, "h9"]
    assert [request.parameters["limit"] for request in lists(wire)] == ["3", "2", "2", *["2"] * 4]
