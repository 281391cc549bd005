# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same modules on etcd's v3 API, in Calico v3's form."""

from __future__ import annotations

import base64
import json
import re
import time

import pytest

from tests.harness.etcd import EtcdServer
from tests.harness.module import run_module
from tests.harness.process import free_port
from tests.harness.wire import Wire

RESOURCES = "/calico/resources/v3/projectcalico.org"
HOSTENDPOINTS = RESOURCES + "/hostendpoints/"
CLUSTER_INFORMATION = RESOURCES + "/clusterinformations/default"
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
    '{"name":"six","protocol":6,"port":23}]}}'
)
UID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def etcd3(etcd):
    """An empty etcd on which Calico v3 has been started."""
    etcd.put_v3(CLUSTER_INFORMATION, json.dumps({"kind": "ClusterInformation", "spec": {"datastoreReady": True}}))
    return etcd


def run(module, *servers, check=False, diff=False, **options):
    options = dict(options, datastore_type="etcdv3", etcd_endpoints=[server.url for server in servers])
    return run_module(module, options, check, diff)


def hostendpoint(*servers, check=False, diff=False, **options):
    return run("calico_hostendpoint", *servers, check=check, diff=diff, **dict(TASK, **options))


def absent(*servers, **options):
    return run("calico_hostendpoint", *servers, name="n1-eth0", state="absent", **options)


def bulk(*servers, check=False, diff=False, **options):
    return run("calico_hostendpoints", *servers, check=check, diff=diff, **options)


def stored(etcd):
    return {key[len(HOSTENDPOINTS) :]: value for key, value in etcd.tree_v3(HOSTENDPOINTS).items()}


def endpoint(number, **options):
    return dict({"name": "n%d-eth0" % number, "node": "n%d" % number, "interface_name": "eth0"}, **options)


def test_create_is_what_calico_writes_and_the_second_run_writes_nothing(etcd3):
    result = hostendpoint(etcd3)
    assert (result["operation"], result["changed"]) == ("create", True), result
    (value,) = stored(etcd3).values()
    pattern = re.escape(VALUE).replace("UID", UID).replace("TIME", TIME)
    assert re.fullmatch(pattern, value), value
    before = etcd3.revision_v3()
    again = hostendpoint(etcd3)
    assert (again["operation"], again["changed"], again["hostendpoint"]) == ("none", False, result["hostendpoint"])
    assert etcd3.revision_v3() == before


@pytest.mark.parametrize(
    "other",
    [
        {"expected_ips": ["192.168.0.1", "2001:db8::1"]},
        {"ports": [TASK["ports"][1], dict(TASK["ports"][0], protocol="6")]},
        {"labels": {"env": "prod", "site": "a"}},
    ],
)
def test_what_means_the_same_is_not_written(etcd3, other):
    hostendpoint(etcd3)
    before = etcd3.revision_v3()
    assert hostendpoint(etcd3, **other)["changed"] is False
    assert etcd3.revision_v3() == before


def test_check_mode_predicts_and_writes_nothing(etcd3):
    before = etcd3.revision_v3()
    predicted = hostendpoint(etcd3, check=True, diff=True)
    assert etcd3.revision_v3() == before
    done = hostendpoint(etcd3, diff=True)
    assert predicted == done


def test_an_update_keeps_what_is_not_managed(etcd3):
    value = VALUE.replace("UID", "11111111-2222-4333-8444-555555555555").replace("TIME", "2020-01-02T03:04:05Z")
    document = json.loads(value)
    document["metadata"].update(annotations={"a": "<&>"}, finalizers=["x.org/keep"], generation=4)
    document["spec"]["new"] = {"b": [1]}
    etcd3.put_v3(HOSTENDPOINTS + "n1-eth0", json.dumps(document))
    result = hostendpoint(etcd3, labels={"site": "b"}, node="n2")
    assert (result["operation"], result["fields"]) == ("update", ["node", "labels"])
    after = json.loads(stored(etcd3)["n1-eth0"])
    document["metadata"]["labels"] = {"site": "b"}
    document["spec"]["node"] = "n2"
    assert after == document


def test_patched_and_absent(etcd3):
    hostendpoint(etcd3)
    patched = run("calico_hostendpoint", etcd3, name="n1-eth0", state="patched", labels={"site": None, "x": "1"})
    assert patched["hostendpoint"]["labels"] == {"env": "prod", "x": "1"}, patched
    assert absent(etcd3)["operation"] == "delete"
    assert stored(etcd3) == {}
    assert absent(etcd3)["operation"] == "none"


def test_a_patch_can_move_an_endpoint_to_another_node(etcd3):
    hostendpoint(etcd3)
    patched = run("calico_hostendpoint", etcd3, name="n1-eth0", state="patched", node="n2")
    assert (patched["fields"], patched["hostendpoint"]["node"]) == (["node"], "n2"), patched
    assert json.loads(stored(etcd3)["n1-eth0"])["spec"]["node"] == "n2"


def test_an_endpoint_of_that_name_on_another_node_is_not_deleted(etcd3):
    hostendpoint(etcd3)
    message = absent(etcd3, node="n2")["msg"]
    assert "host endpoint n1-eth0 on node n2 is not deleted" in message and "is on node n1" in message
    assert absent(etcd3, node="n1")["operation"] == "delete"


def test_300_at_once_in_three_transactions(etcd3):
    before = etcd3.revision_v3()
    result = bulk(etcd3, endpoints=[endpoint(number) for number in range(300)])
    assert result["summary"] == {"created": 300, "updated": 0, "deleted": 0, "unchanged": 0}, result
    assert len(stored(etcd3)) == 300
    assert etcd3.revision_v3() - before == 3
    assert bulk(etcd3, endpoints=[endpoint(number) for number in range(300)])["changed"] is False


def test_a_request_is_never_larger_than_etcd_takes(etcd3):
    labels = {"k%04d" % number: "v" * 63 for number in range(1000)}
    result = bulk(etcd3, endpoints=[endpoint(number, labels=labels) for number in range(40)])
    assert result["summary"]["created"] == 40, result


def test_a_purge_is_by_the_node_in_the_value(etcd3):
    bulk(etcd3, endpoints=[endpoint(number) for number in range(5)], owner="me")
    etcd3.put_v3(HOSTENDPOINTS + "broken", "{")
    result = bulk(etcd3, endpoints=[endpoint(1)], owner="me", purge="owned", purge_nodes=["n1", "n2", "n3"])
    assert sorted(change["name"] for change in result["changes"]) == ["n2-eth0", "n3-eth0"], result
    assert sorted(stored(etcd3)) == ["broken", "n0-eth0", "n1-eth0", "n4-eth0"]


def test_what_calico_skips_is_reported(etcd3):
    hostendpoint(etcd3)
    etcd3.put_v3(HOSTENDPOINTS + "broken", "{")
    result = run("calico_hostendpoint_info", etcd3)
    assert [found["name"] for found in result["hostendpoints"]] == ["n1-eth0"]
    assert [found["key"] for found in result["malformed"]] == [HOSTENDPOINTS + "broken"]
    assert result["hostendpoints"][0] == dict(TASK, labels={"env": "prod", "site": "a"})


def test_a_locked_datastore(etcd3):
    etcd3.put_v3(CLUSTER_INFORMATION, json.dumps({"spec": {"datastoreReady": False}}))
    result = hostendpoint(etcd3)
    assert result["failed"] and "datastoreReady" in result["msg"]
    assert stored(etcd3) == {}


def test_calicos_own_endpoint_is_left(etcd3):
    value = VALUE.replace('"env":"prod"', '"projectcalico.org/created-by":"calico-kube-controllers"')
    etcd3.put_v3(HOSTENDPOINTS + "n1-eth0", value.replace("TIME", "2020-01-02T03:04:05Z"))
    assert "belongs to Calico's own controllers" in hostendpoint(etcd3)["msg"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "Eth0"}, "name: 'Eth0'"),
        ({"node": "Worker_1"}, "node: 'Worker_1'"),
        ({"node": ""}, "node"),
        ({"ports": [{"name": "a", "protocol": "udp", "port": 1}]}, "protocol"),
        ({"ports": [{"name": "a", "protocol": "UDP", "port": 0}]}, "port"),
    ],
)
def test_what_calico_refuses(etcd3, options, message):
    result = hostendpoint(etcd3, **options)
    assert result["failed"] and message in result["msg"], result
    assert stored(etcd3) == {}


def test_dead_and_silent_members(etcd3):
    class Dead:
        url = "http://127.0.0.1:%d" % free_port()

    assert hostendpoint(Dead, etcd3)["operation"] == "create"
    with EtcdServer() as frozen:
        frozen.freeze()
        result = absent(frozen, etcd3, timeout=0.5)
        frozen.thaw()
    assert result["operation"] == "delete", result
    assert "cannot reach etcd: %s: connection refused" % Dead.url in hostendpoint(Dead)["msg"]


@pytest.fixture
def wire3(etcd3):
    with Wire(etcd3) as wire:
        yield wire


def test_of_300_only_the_one_that_somebody_else_changed_is_tried_again(etcd3, wire3):
    other = json.dumps({"metadata": {"name": "n7-eth0"}, "spec": {"node": "n7", "interfaceName": "other"}})
    # Between the read of all and the first transaction.
    wire3.before("POST", lambda: etcd3.put_v3(HOSTENDPOINTS + "n7-eth0", other), path_contains="kv/txn", nth=2)
    result = bulk(wire3, endpoints=[endpoint(number) for number in range(300)])
    assert result["summary"] == {"created": 299, "updated": 1, "deleted": 0, "unchanged": 0}, result
    assert json.loads(stored(etcd3)["n7-eth0"])["spec"]["interfaceName"] == "eth0"


@pytest.mark.parametrize("fault", ["cut_before_commit", "cut_after_commit", "cut_mid_answer", "reset"])
def test_a_transaction_that_was_cut_off_is_made_once_and_is_no_conflict(etcd3, wire3, fault):
    before = etcd3.revision_v3()
    wire3.fault(fault, "POST", path_contains="kv/txn", nth=2)
    result = bulk(wire3, endpoints=[endpoint(number) for number in range(200)])
    assert result["summary"] == {"created": 200, "updated": 0, "deleted": 0, "unchanged": 0}, result
    assert etcd3.revision_v3() - before == 2
    assert len(stored(etcd3)) == 200


def test_a_transaction_that_may_have_been_made_before_etcd_was_gone_is_told_as_such(etcd3, wire3):
    # The answer is lost, and nobody listens any more.
    wire3.fault("cut_after_commit", "POST", path_contains="kv/txn", nth=3)
    wire3.before("POST", wire3.close, path_contains="kv/txn", nth=3)
    result = hostendpoint(wire3, timeout=1)
    assert "may or may not be done" in result["msg"], result


@pytest.fixture
def auth3(etcd_binary):
    """An etcd with v3's users root and reader, and a writer of host endpoints."""
    with EtcdServer(etcd_binary, tokens="simple,ttl=1") as server:
        server.put_v3(CLUSTER_INFORMATION, json.dumps({"spec": {"datastoreReady": True}}))
        for name in ("root", "reader", "writer"):
            server.v3("auth/user/add", name=name, password="pässword")
            server.v3("auth/role/add", name=name)
            server.v3("auth/user/grant", user=name, role=name)
        for name, kind, prefix in (
            ("reader", "READ", RESOURCES),
            ("writer", "READ", RESOURCES),
            ("writer", "READWRITE", HOSTENDPOINTS),
        ):
            permission = {"permType": kind, "key": encoded(prefix), "range_end": encoded(prefix[:-1] + "z")}
            server.v3("auth/role/grant", name=name, perm=permission)
        server.v3("auth/enable")
        yield server


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def test_users(auth3):
    writer = {"etcd_username": "writer", "etcd_password": "pässword"}
    reader = {"etcd_username": "reader", "etcd_password": "pässword"}
    mistaken = {"etcd_username": "writer", "etcd_password": "x"}
    assert "etcd wants etcd_username and etcd_password" in hostendpoint(auth3)["msg"]
    assert "the user or the password is wrong" in hostendpoint(auth3, **mistaken)["msg"]
    assert hostendpoint(auth3, check=True, **reader)["operation"] == "create"
    assert "user reader to write" in hostendpoint(auth3, **reader)["msg"]
    assert run("calico_hostendpoint_info", auth3, **reader)["hostendpoints"] == []
    assert hostendpoint(auth3, **writer)["operation"] == "create"


def test_a_token_that_expires_in_mid_run(auth3):
    writer = {"etcd_username": "writer", "etcd_password": "pässword"}
    with Wire(auth3) as wire:
        wire.before("POST", lambda: time.sleep(2.5), path_contains="kv/txn", nth=2)
        result = hostendpoint(wire, **writer)
    assert result.get("operation") == "create", result


def test_tls(etcd_binary, certificates):
    with EtcdServer(etcd_binary, tls=certificates.server(), client_auth=True) as server:
        client = certificates.client()
        pair = {"etcd_cert_file": client.cert, "etcd_key_file": client.key}
        assert hostendpoint(server, etcd_ca_cert_file=certificates.ca, **pair)["operation"] == "create"
        assert "not trusted" in hostendpoint(server, **pair)["msg"]
        assert "refuses the client certificate" in hostendpoint(server, etcd_ca_cert_file=certificates.ca)["msg"]


def test_a_server_without_the_v3_gateway(wire3):
    wire3.answer(404, "404 page not found", "text/plain", method="POST")
    assert "does not speak etcd's v3 API" in hostendpoint(wire3)["msg"]
