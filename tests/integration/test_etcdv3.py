# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only etcdv3 has: Calico v3's bytes, named ports, and a key without the node."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from tests.harness.datastore import Etcdv3
from tests.harness.etcd import EtcdServer
from tests.harness.module import run_module
from tests.integration.sets import endpoint, hostendpoints, key_of
from tests.integration.tasks import connection, failure, info, only_etcdv3

pytestmark = only_etcdv3

TASK = {
    "name": "n1-eth0",
    "node": "n1",
    "interface_name": "eth0",
    "expected_ips": ["2001:DB8::1", "192.168.0.1"],
    "labels": {"site": "a", "env": "prod"},
    "profiles": ["p1"],
    "ports": [{"name": "ssh", "protocol": "TCP", "port": 22}, {"name": "six", "protocol": "6", "port": 23}],
}
VALUE = (
    '{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"n1-eth0","uid":"UID",'
    '"creationTimestamp":"TIME","labels":{"env":"prod","site":"a"}},"spec":{"node":"n1","interfaceName":"eth0",'
    '"expectedIPs":["2001:DB8::1","192.168.0.1"],"profiles":["p1"],"ports":[{"name":"ssh","protocol":"TCP","port":22},'
    '{"name":"six","protocol":"TCP","port":23}]}}'
)
UID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def hostendpoint(server, check=False, **options):
    return run_module("calico_hostendpoint", dict(TASK, **dict(connection(server), **options)), check)


def absent(server, **options):
    return run_module("calico_hostendpoint", dict(connection(server), name="n1-eth0", state="absent", **options))


def stored_bytes(datastore):
    """Of the one endpoint, as they are."""
    (value,) = datastore.server.tree_v3(datastore.hostendpoints + "/").values()
    return value


def test_create_is_what_calico_writes_and_the_second_run_writes_nothing(datastore):
    result = hostendpoint(datastore)
    assert (result["operation"], result["changed"]) == ("create", True), result
    value = stored_bytes(datastore)
    pattern = re.escape(VALUE).replace("UID", UID).replace("TIME", TIME)
    assert re.fullmatch(pattern, value), value
    before = datastore.revision()
    again = hostendpoint(datastore)
    assert (again["operation"], again["changed"], again["hostendpoint"]) == ("none", False, result["hostendpoint"])
    assert datastore.revision() == before


@pytest.mark.parametrize(
    "other",
    [
        {"expected_ips": ["192.168.0.1", "2001:db8::1"]},
        {"ports": [TASK["ports"][1], dict(TASK["ports"][0], protocol="6")]},
        {"labels": {"env": "prod", "site": "a"}},
    ],
)
def test_what_means_the_same_is_not_written(datastore, other):
    hostendpoint(datastore)
    before = datastore.revision()
    assert hostendpoint(datastore, **other)["changed"] is False
    assert datastore.revision() == before


def test_a_protocol_that_is_stored_as_a_number_is_written_by_its_name(datastore):
    """Felix ignores an endpoint with a number, so its interface is open until then."""
    hostendpoint(datastore)
    value = stored_bytes(datastore)
    datastore.put(datastore.key("n1", "n1-eth0"), value.replace('"six","protocol":"TCP"', '"six","protocol":6'))
    listed = run_module("calico_hostendpoint_info", connection(datastore))
    assert any("its interface is open" in text and "ports[1].protocol" in text for text in listed["warnings"])
    result = hostendpoint(datastore)
    assert (result["operation"], result["fields"]) == ("update", ["ports"])
    assert stored_bytes(datastore) == value


def test_an_update_keeps_what_is_not_managed(datastore):
    value = VALUE.replace("UID", "11111111-2222-4333-8444-555555555555").replace("TIME", "2020-01-02T03:04:05Z")
    document = json.loads(value)
    document["metadata"].update(annotations={"a": "<&>"}, finalizers=["x.org/keep"], generation=4)
    document["spec"]["new"] = {"b": [1]}
    datastore.put(datastore.key("n1", "n1-eth0"), json.dumps(document))
    result = hostendpoint(datastore, labels={"site": "b"}, node="n2")
    assert (result["operation"], result["fields"]) == ("update", ["node", "labels"])
    after = json.loads(stored_bytes(datastore))
    document["metadata"]["labels"] = {"site": "b"}
    document["spec"]["node"] = "n2"
    assert after == document


def test_a_patch_can_move_an_endpoint_to_another_node(datastore):
    hostendpoint(datastore)
    patched = run_module("calico_hostendpoint", dict(connection(datastore), name="n1-eth0", state="patched", node="n2"))
    assert (patched["fields"], patched["hostendpoint"]["node"]) == (["node"], "n2"), patched
    assert json.loads(stored_bytes(datastore))["spec"]["node"] == "n2"


def test_an_endpoint_of_that_name_on_another_node_is_not_deleted(datastore):
    hostendpoint(datastore)
    message = absent(datastore, node="n2")["msg"]
    assert "host endpoint n1-eth0 on node n2 is not deleted" in message and "is on node n1" in message
    assert absent(datastore, node="n1")["operation"] == "delete"


def test_of_300_only_the_one_that_somebody_else_changed_is_tried_again(datastore, wire):
    """Three transactions, of which the first meets it; and one more for that endpoint."""
    endpoints = [endpoint("n%d" % number) for number in range(300)]
    key = key_of(datastore, "n7")
    wire.before(
        datastore.writing(key=key), lambda: datastore.put(key, datastore.value(endpoint("n7", "eth0", "other")))
    )
    result = hostendpoints(wire, endpoints=endpoints)
    assert result["summary"] == {"created": 299, "updated": 1, "deleted": 0, "unchanged": 0}, result
    assert datastore.stored() == datastore.tree_of(endpoints)
    assert [place for _operation, place in datastore.written(wire)].count(key) == 2


@pytest.mark.usefixtures("datastore_type")
def test_a_certificate_with_a_common_name_where_users_are_asked_for(etcd_binary, certificates):
    with EtcdServer(etcd_binary, tls=certificates.server(), client_auth=True) as server:
        datastore = Etcdv3(server)
        datastore.reset()
        server.enable_auth_v3("geheim")
        client = certificates.client()
        files = {"etcd_ca_cert_file": certificates.ca, "etcd_cert_file": client.cert, "etcd_key_file": client.key}
        for user in ({}, {"etcd_username": "root", "etcd_password": "geheim"}):
            message = hostendpoint(datastore, **files, **user).get("msg", "")
            assert "has a common name" in message and "etcdv2" not in message, message


@pytest.mark.parametrize(
    "spec, locked",
    [
        ('{"datastoreready":false}', True),
        ('{"datastoreReady":true,"DatastoreReady":false}', True),
        ('{"datastoreReady":false,"datastoreready":true}', False),
    ],
)
def test_a_lock_is_one_however_it_is_spelled(datastore, spec, locked):
    datastore.put(datastore.state_key, '{"SPEC":%s}' % spec)
    assert ("datastoreReady" in hostendpoint(datastore).get("msg", "")) == locked


@pytest.mark.parametrize("spec", ["null", "[]", '{"datastoreReady":"false"}', '{"datastoreReady":0}'])
def test_a_lock_that_cannot_be_read_is_told(datastore, spec):
    datastore.put(datastore.state_key, '{"spec":%s}' % spec)
    assert "it is unknown whether the datastore is locked" in " ".join(hostendpoint(datastore, check=True)["warnings"])


def test_a_purge_tells_values_of_which_nobody_knows_the_node(datastore):
    datastore.put(datastore.key("n1", "broken"), "{")
    result = hostendpoints(datastore, endpoints=[], purge="all", purge_nodes=["n1"])
    assert "cannot be read, so it is not purged" in " ".join(result["warnings"])
    assert len(datastore.stored()) == 1


def test_an_endpoint_of_another_node_is_moved_with_a_warning(datastore):
    datastore.put_endpoint(TASK)
    result = hostendpoint(datastore, node="n2")
    assert (result["operation"], result["fields"][0]) == ("update", "node")
    assert "moves from node n1" in " ".join(result["warnings"])


def test_an_endpoint_is_not_taken_from_a_node_outside_of_the_purge(datastore):
    datastore.put_endpoint(TASK)
    before = datastore.stored()
    wanted = [dict(TASK, node="n2"), endpoint("n3")]
    for check in (True, False):
        result = hostendpoints(datastore, check=check, endpoints=wanted, purge_nodes=["n2", "n3"])
        assert result["failed"] and "already exists on node n1, which is not part of this run" in result["msg"]
        assert datastore.stored() == before
    assert hostendpoints(datastore, endpoints=wanted, purge_nodes=["n1", "n2"])["summary"]["updated"] == 1


def test_a_generation_of_zero_is_left_out_as_calico_does(datastore):
    value = VALUE.replace("UID", "11111111-2222-4333-8444-555555555555").replace("TIME", "2020-01-02T03:04:05Z")
    datastore.put(datastore.key("n1", "n1-eth0"), value.replace('"labels"', '"generation":0,"labels"'))
    assert hostendpoint(datastore, profiles=[])["operation"] == "update"
    assert "generation" not in stored_bytes(datastore)


def test_a_user_may_have_a_colon(datastore):
    result = hostendpoint(datastore, etcd_username="a:b", etcd_password="x")
    assert result.get("operation") == "create", result


def test_names_and_labels_at_their_limits(datastore):
    prefix = ".".join(["a" * 61] * 4) + ".example"[: 253 - 4 * 61 - 3]
    limits = {
        "name": ".".join(["n" * 62] * 4)[:253],
        "node": ".".join(["m" * 62] * 4)[:253],
        "labels": {prefix[:253].strip(".") + "/" + "k" * 63: "v" * 63},
        "ports": [{"name": "p" * 15, "protocol": "SCTP", "port": 65535}],
    }
    result = hostendpoint(datastore, **limits)
    assert result.get("operation") == "create", result
    assert hostendpoint(datastore, **limits)["changed"] is False
    for beyond in (
        {"name": limits["name"] + "nnn"},
        {"node": limits["node"] + "mmm"},
        {"labels": {"k" * 64: ""}},
        {"labels": {"k": "v" * 64}},
        {"ports": [{"name": "p" * 16, "protocol": "TCP", "port": 1}]},
    ):
        assert hostendpoint(datastore, **dict(limits, **beyond))["failed"], beyond


# Listings in several pages


@pytest.fixture
def pages(monkeypatch):
    """Of 50 keys, of which there are 130: three pages."""
    client = "ansible_collections.netsec.calico.plugins.module_utils._datastore._etcd.v3_client"
    monkeypatch.setattr(importlib.import_module(client), "_PAGE", 50)
    return [endpoint("n%03d" % number) for number in range(130)]


def is_later_page(datastore):
    return lambda request: datastore.is_read(request) and '"revision"' in request.body


@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_listing_begins_anew_when_etcd_compacts_its_revision(datastore, wire, pages, times):
    """What somebody has changed meanwhile is in it, and nothing is in it twice."""
    datastore.put_all(datastore.tree_of(pages))
    changed = dict(pages[0])

    def compact():
        changed.update(labels={"role": "new"})
        datastore.put_endpoint(changed)
        datastore.server.v3("kv/compaction", revision=datastore.revision())

    # The second page of the first listing, and the third one of the next.
    for nth in [1, 3][:times]:
        wire.before(is_later_page(datastore), compact, nth=nth)
    result = info(wire)
    assert not result["failed"], result["msg"]
    assert [each["name"] for each in result["hostendpoints"]] == [each["name"] for each in pages]
    assert result["hostendpoints"][0]["labels"] == changed.get("labels", {})
    # The pages of the whole listing, and those of the ones that were given up.
    assert len([request for request in wire.requests if '"limit"' in request.body]) == 3 + [0, 2, 5][times]


def test_a_listing_that_etcd_always_compacts_is_an_error(datastore, wire, pages):
    datastore.put_all(datastore.tree_of(pages))

    def compact():
        datastore.put_endpoint(pages[0])
        datastore.server.v3("kv/compaction", revision=datastore.revision())

    wire.before(is_later_page(datastore), compact, times=100)
    for result in (info(wire), hostendpoints(wire, endpoints=pages[1:], purge="all", purge_nodes=["n000"])):
        failure(result, "cannot read " + datastore.hostendpoints, "compacted", wire.url, "3 times")
    assert datastore.written(wire) == [] and datastore.stored() == datastore.tree_of(pages)
