# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That the Kubernetes part of the harness does what it says. Nothing here uses the collection's code."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing

import pytest

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.kubernetes import GROUPS, KubeApiServer, KubernetesError, path_of
from tests.harness.module import COLLECTION
from tests.harness.process import wait_for
from tests.harness.wire import Wire
from tests.integration.tasks import connection

on_both = pytest.mark.parametrize("datastore_type", list(KUBERNETES_DATASTORES))
ETH0 = {"name": "n1-eth0", "node": "n1", "interface_name": "eth0", "expected_ips": ["192.0.2.1"], "labels": {"a": "1"}}
LISTS = {version: path_of(group, "hostendpoints") for version, group in GROUPS.items()}
NODES = "/api/v1/nodes"


def endpoint(version, name="h1", **metadata):
    return {
        "apiVersion": "%s/%s" % (GROUPS[version], version),
        "kind": "HostEndpoint",
        "metadata": {"name": name, **metadata},
        "spec": {"node": "n1", "interfaceName": "eth0"},
    }


def speak(place, method, path, document=None, token="", timeout=10):
    """Status and document of a request to a wire, in plain HTTP over a connection of its own."""
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", place.port, timeout=timeout)) as link:
        link.request(method, path, json.dumps(document) if document else None, headers)
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())


# The server


def test_it_is_a_whole_api_server(kubernetes):
    assert kubernetes.version.startswith("v1.") and kubernetes.must("GET", "/version")["major"] == "1"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    assert kubernetes.request("POST", NODES, node)[0] == 201
    assert [each["metadata"]["name"] for each in kubernetes.must("GET", NODES)["items"]] == ["n1"]
    assert kubernetes.groups() > set(GROUPS.values())
    status, headers, document = kubernetes.request("GET", "/api/v1/nodes/none")
    assert (status, headers["Content-Type"], document["reason"]) == (404, "application/json", "NotFound")
    assert kubernetes.request("GET", "/nothing")[0] == 404
    with pytest.raises(KubernetesError, match="404"):
        kubernetes.must("GET", "/api/v1/nodes/none")


def test_nothing_is_written_by_itself(kubernetes):
    revision = kubernetes.etcd.revision_v3()
    kubernetes.must("GET", LISTS["v1"])
    time.sleep(3)
    assert kubernetes.etcd.revision_v3() == revision


@pytest.mark.parametrize("version", GROUPS)
def test_requests_as_they_were_measured(kubernetes, version):
    path = LISTS[version] + "/h1"
    status, _headers, stored = kubernetes.request("POST", LISTS[version], endpoint(version))
    assert status == 201
    assert kubernetes.request("POST", LISTS[version], endpoint(version))[2]["reason"] == "AlreadyExists"
    revision, uid = stored["metadata"]["resourceVersion"], stored["metadata"]["uid"]
    assert kubernetes.request("PUT", path, endpoint(version))[0] == 422
    assert kubernetes.request("PUT", path, endpoint(version, resourceVersion="1"))[0] == 409
    assert kubernetes.request("PUT", path, stored)[2]["metadata"]["resourceVersion"] == revision
    patched = kubernetes.request("PATCH", path, {"metadata": {"labels": {"a": "1"}, "resourceVersion": revision}})
    assert (patched[0], patched[2]["metadata"]["labels"]) == (200, {"a": "1"})
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid, "resourceVersion": revision}}
    assert kubernetes.request("DELETE", path, options)[0] == 409
    options["preconditions"]["resourceVersion"] = patched[2]["metadata"]["resourceVersion"]
    assert kubernetes.request("DELETE", path, options)[0] == 200
    bad = endpoint(version)
    bad["spec"]["expectedIPs"] = ["192.0.2.1", "192.0.2.1"]
    assert kubernetes.request("POST", LISTS[version], bad)[2]["reason"] == "Invalid"


def test_lists_have_pages_that_expire(kubernetes):
    for number in range(3):
        kubernetes.must("POST", LISTS["v3"], endpoint("v3", "h%d" % number))
    page = kubernetes.must("GET", LISTS["v3"] + "?limit=2")
    assert [each["metadata"]["name"] for each in page["items"]] == ["h0", "h1"]
    following = "%s?limit=2&continue=%s" % (LISTS["v3"], page["metadata"]["continue"])
    assert [each["metadata"]["name"] for each in kubernetes.must("GET", following)["items"]] == ["h2"]
    kubernetes.must("POST", LISTS["v3"], endpoint("v3", "h9"))
    kubernetes.compact()
    assert kubernetes.request("GET", following)[0] == 410


def test_rights(kubernetes):
    reader, nobody = kubernetes.tokens["reader"], kubernetes.tokens["nobody"]
    rule = {"apiGroups": [GROUPS["v1"]], "resources": ["hostendpoints"], "verbs": ["get", "list"]}
    kubernetes.add_role("reader", [rule])
    assert kubernetes.request("GET", LISTS["v1"], token=reader)[0] == 200
    for token, method, path, status in [
        (reader, "POST", LISTS["v1"], 403),
        (reader, "GET", LISTS["v3"], 403),
        (reader, "GET", NODES, 403),
        (nobody, "GET", LISTS["v1"], 403),
        (nobody, "GET", "/apis", 200),
        ("unknown", "GET", "/apis", 401),
        ("", "GET", LISTS["v1"], 403),
    ]:
        body = endpoint("v1") if method == "POST" else None
        assert kubernetes.request(method, path, body, token=token)[0] == status, (token, method, path)
    kubernetes.add_role(reader, [dict(rule, verbs=["create"])])
    assert kubernetes.request("GET", LISTS["v1"], token=reader)[0] == 403
    assert kubernetes.request("POST", LISTS["v1"], endpoint("v1"), token=reader)[0] == 201
    kubernetes.reset()
    assert kubernetes.request("POST", LISTS["v1"], endpoint("v1"), token=reader)[0] == 403


def test_certificates_of_clients(kubernetes):
    rule = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}
    kubernetes.add_role("auditor", [rule])
    context = kubernetes.client_context
    with pytest.raises(ssl.SSLError):
        with closing(http.client.HTTPSConnection("127.0.0.1", kubernetes.port)) as link:
            link.request("GET", NODES)
    for name, status in (("auditor", 200), ("stranger", 403)):
        files = kubernetes.certificates.client(name)
        context.load_cert_chain(files.cert, files.key)
        with closing(http.client.HTTPSConnection("127.0.0.1", kubernetes.port, context=context)) as link:
            link.request("GET", NODES)
            assert link.getresponse().status == status


def test_reset_empties_a_stopped_or_frozen_server(kubernetes):
    for disturb in (kubernetes.freeze, kubernetes.stop):
        kubernetes.must("POST", LISTS["v1"], endpoint("v1", finalizers=["example.org/f"]))
        kubernetes.must("POST", NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        kubernetes.add_role("reader", [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}])
        disturb()
        kubernetes.reset()
        assert [kubernetes.must("GET", path)["items"] for path in (LISTS["v1"], NODES)] == [[], []]
        assert kubernetes.request("GET", NODES, token=kubernetes.tokens["reader"])[0] == 403


def test_custom_resources_come_and_go(kubernetes):
    kubernetes.must("POST", LISTS["v1"], endpoint("v1"))
    kubernetes.remove_crds("v1")
    try:
        assert GROUPS["v1"] not in kubernetes.groups() and GROUPS["v3"] in kubernetes.groups()
        assert kubernetes.request("GET", LISTS["v1"])[0] == 404
    finally:
        kubernetes.install_crds("v1")
    assert kubernetes.must("GET", LISTS["v1"])["items"] == []


def test_two_clusters_in_one_etcd(kubernetes):
    with KubeApiServer(etcd=kubernetes.etcd, prefix="/second") as second:
        second.must("POST", NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        assert set(kubernetes.etcd.tree_v3("/second/minions/")) == {"/second/minions/n1"}
        assert kubernetes.must("GET", NODES)["items"] == []
        pid = second.pid
    assert not os.path.exists("/proc/%d" % pid)
    assert kubernetes.must("GET", NODES)["items"] == []


@pytest.mark.usefixtures("_kubernetes")
def test_the_command_writes_a_kubeconfig(tmp_path):
    from kubernetes import client, config  # the library, not the fixture

    ready = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "tests.harness.kubernetes", "--api", "v3", "--ready-file", str(ready)]
    with subprocess.Popen(command, cwd=str(COLLECTION)) as process:
        try:
            wait_for(lambda: ready.exists() or process.poll() is not None, 180, "the server gets ready")
            with config.new_client_from_config(str(ready)) as api:
                objects = client.CustomObjectsApi(api)
                found = objects.create_cluster_custom_object(GROUPS["v3"], "v3", "hostendpoints", endpoint("v3"))
                assert found["metadata"]["uid"]
                with pytest.raises(client.ApiException, match="404"):
                    objects.list_cluster_custom_object(GROUPS["v1"], "v1", "hostendpoints")
        finally:
            process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert not ready.exists()


def test_kubeconfigs(kubernetes, tmp_path):
    from kubernetes import client, config

    def list_nodes(**changes):
        path = kubernetes.write_kubeconfig(tmp_path / "config", **changes)
        with config.new_client_from_config(path) as api:
            return client.CoreV1Api(api).list_node().items

    assert list_nodes() == []
    with pytest.raises(client.ApiException, match="403"):
        list_nodes(token=kubernetes.tokens["nobody"])
    with Wire(kubernetes) as wire:
        assert list_nodes(server=wire.url) == []
    files = kubernetes.certificates.client("stranger")
    with pytest.raises(client.ApiException, match="403"):
        list_nodes(token=None, client_certificate=files.cert, client_key=files.key)


# The wire


def test_a_wire_before_it(kubernetes, wire):
    token = kubernetes.token
    assert speak(wire, "POST", LISTS["v3"], endpoint("v3"), token)[0] == 201
    assert speak(wire, "GET", LISTS["v3"] + "/h1", token=token) == (200, kubernetes.must("GET", LISTS["v3"] + "/h1"))
    assert speak(wire, "GET", LISTS["v3"])[0] == 403
    assert [request.method for request in wire.requests] == ["POST", "GET", "GET"]
    assert json.loads(wire.writes[0].body) == endpoint("v3")
    wire.answer(429, '{"kind":"Status"}', headers=[("Retry-After", "1")])
    assert speak(wire, "GET", LISTS["v3"], token=token) == (429, {"kind": "Status"})


@pytest.mark.parametrize(
    "kind, error, is_written",
    [
        ("cut_before_commit", http.client.RemoteDisconnected, False),
        ("cut_after_commit", http.client.RemoteDisconnected, True),
        ("cut_mid_answer", http.client.IncompleteRead, True),
        ("reset", ConnectionResetError, False),
        ("freeze", socket.timeout, False),
    ],
)
def test_faults(kubernetes, wire, kind, error, is_written):
    wire.fault(kind, method="POST")
    with pytest.raises(error):
        speak(wire, "POST", LISTS["v1"], endpoint("v1"), kubernetes.token, timeout=2)
    assert len(kubernetes.must("GET", LISTS["v1"])["items"]) == is_written


# Calico's datastore


@on_both
def test_a_datastore_holds_endpoints(datastore):
    key = datastore.key("n1", "n1-eth0")
    assert datastore.stored() == {}
    assert datastore.get(datastore.state_key) == datastore.ready
    revision = datastore.revision()
    datastore.put_endpoint(ETH0)
    assert datastore.revision() == revision + 1
    assert datastore.stored() == {key: datastore.value(ETH0)} == datastore.tree_of([ETH0])
    assert key == "hostendpoints.%s/n1-eth0" % datastore.group
    datastore.put(key, datastore.value(dict(ETH0, labels={}, expected_ips=["2001:db8::1"])))
    assert '"expectedIPs":["2001:db8::1"]' in datastore.get(key) and "labels" not in datastore.get(key)
    datastore.put("nodes/n1", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    assert list(datastore.stored("nodes")) == ["nodes/n1"]
    datastore.lock()
    assert datastore.get(datastore.state_key) == datastore.locked
    datastore.delete(key)
    assert datastore.stored() == {}


@on_both
def test_policies_of_a_namespace(datastore):
    kind = "networkpolicies." + datastore.group
    policy = {"apiVersion": datastore.api, "kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "default"}}
    datastore.put(kind + "/default/p", dict(policy, spec={"selector": "all()"}))
    assert list(datastore.stored(kind)) == list(datastore.stored(kind + "/default/p")) == [kind + "/default/p"]
    datastore.delete(kind + "/default/p")
    assert datastore.stored(kind) == {}


def test_both_apis_are_apart(kubernetes):
    v1, v3 = (datastore(kubernetes) for datastore in KUBERNETES_DATASTORES.values())
    v1.put_endpoint(ETH0)
    assert v3.stored() == {}
    with_annotation = json.loads(v1.value_of_calico(ETH0))["metadata"]
    assert json.loads(with_annotation["annotations"]["projectcalico.org/metadata"])["labels"] == {"a": "1"}


@on_both
def test_what_a_wire_saw_is_told_by_keys(datastore, wire):
    key, path, token = datastore.key("n1", "n1-eth0"), path_of(datastore.group, "hostendpoints"), datastore.server.token
    document = json.loads(datastore.value(ETH0))
    assert speak(wire, "POST", path + "?dryRun=All", document, token)[0] == 201
    assert speak(wire, "POST", path + "?fieldManager=x", document, token)[0] == 201
    stored = speak(wire, "GET", path + "/n1-eth0", token=token)[1]
    assert speak(wire, "PUT", path + "/n1-eth0", stored, token)[0] == 200
    precise = {name: stored["metadata"][name] for name in ("uid", "resourceVersion")}
    assert speak(wire, "PATCH", path + "/n1-eth0", {"metadata": precise}, token)[0] in (200, 415)
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": precise}
    assert speak(wire, "DELETE", path + "/n1-eth0", options, token)[0] == 200
    assert speak(wire, "GET", path + "?limit=500", token=token)[0] == speak(wire, "GET", "/apis", token=token)[0] == 200
    assert datastore.written(wire) == [("create", key), ("update", key), ("update", key), ("delete", key)]
    assert datastore.keys_read(wire) == [key, datastore.hostendpoints]
    wire.fault("cut_before_commit", method=datastore.writing("create", key=key))
    with pytest.raises(http.client.RemoteDisconnected):
        speak(wire, "POST", path, document, token)


@on_both
def test_the_options_that_lead_to_it(datastore, wire):
    direct, by_wire = connection(datastore), connection(wire)
    assert direct == {
        "datastore_type": "kubernetes",
        "host": datastore.url,
        "api_key": datastore.server.token,
        "ca_cert": datastore.server.ca,
        "calico_api_group": datastore.api,
    }
    del direct["ca_cert"]
    assert by_wire == dict(direct, host=wire.url)


@on_both
def test_users_of_a_datastore(datastore):
    token = datastore.add_user("reader", read=[datastore.everything])
    path = path_of(datastore.group, "hostendpoints")
    document = json.loads(datastore.value(ETH0))
    request = datastore.server.request
    assert [request("GET", each, token=token)[0] for each in (path, NODES)] == [200, 200]
    assert request("POST", path, document, token=token)[0] == 403
    token = datastore.add_user("writer", read=[datastore.state_key], write=[datastore.hostendpoints])
    assert request("POST", path, document, token=token)[0] == 201
    assert request("GET", path, token=token)[0] == 403
    assert request("GET", path_of(datastore.group, "clusterinformations", "default"), token=token)[0] == 200
    assert connection(datastore)["api_key"] != datastore.connection(token=token)["api_key"] == token
