# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Kubernetes API server refuses, leaves open or is too busy for, and what the user is told."""

from __future__ import annotations

import json

import pytest

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.module import run_module
from tests.integration.tasks import NAMED, connection, failure, hostendpoint, info, vectors

on_both = pytest.mark.parametrize("datastore_type", list(KUBERNETES_DATASTORES))
on_v3 = pytest.mark.parametrize("datastore_type", ["kubernetes-v3"])
ETH0 = dict(NAMED, interface_name="eth0")
HEP = "/hostendpoints"


def recorded(row):
    """The answer of a real kube-apiserver 1.36.2 or calico-apiserver v3.32.1."""
    rows = [*vectors("k8s_http_v3.jsonl"), *vectors("k8s_http_agg.jsonl"), *vectors("k8s_http_v1.jsonl")]
    return next(each for each in rows if each["id"] == row)


def replay(wire, row, **where):
    found = recorded(row)
    body = found["body"] if isinstance(found["body"], str) else json.dumps(found["body"])
    headers = [("Retry-After", found["retry-after"])] if found.get("retry-after") else []
    wire.answer(found["code"], body, headers=headers, **where)
    return found


def status(code, message, reason="", **more):
    """The body of an answer that is an error."""
    found = {"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": reason}
    return json.dumps(dict(found, **more))


def names(datastore):
    return sorted(key.rpartition("/")[2] for key in datastore.stored())


# Rights


@on_both
@pytest.mark.parametrize(
    "rights, rule",
    [
        ([], "resources: [hostendpoints], verbs: [get]"),
        (["hostendpoints"], "resources: [clusterinformations], verbs: [get]"),
        (["clusterinformations", "hostendpoints"], "resources: [hostendpoints], verbs: [create]"),
    ],
)
def test_a_right_that_is_missing_is_named_with_the_rule_to_add(datastore, rights, rule):
    group = datastore.group
    token = datastore.add_user("narrow", read=["%s.%s" % (kind, group) for kind in rights])
    options = dict(datastore.connection(token=token), interface_name="eth0", guard="off", **NAMED)
    message = failure(run_module("calico_hostendpoint", options), "narrow", "add this rule to a ClusterRole")
    assert "{apiGroups: [%s], %s}" % (group, rule) in message
    assert datastore.stored() == {}


@on_both
def test_a_token_that_the_server_does_not_know(datastore):
    options = dict(datastore.connection(token="s3cr3t-nonsense"))
    message = failure(run_module("calico_hostendpoint_info", options), "rejects the credentials (401)", "api_key")
    assert "s3cr3t" not in message


# What is not there


@on_v3
def test_calicos_kinds_are_not_installed(kubernetes, datastore_type):
    kubernetes.remove_crds("v3")
    try:
        datastore = KUBERNETES_DATASTORES[datastore_type](kubernetes)
        result = run_module("calico_hostendpoint_info", datastore.connection())
        failure(result, "has no hostendpoints in projectcalico.org/v3", "not installed")
    finally:
        kubernetes.install_crds()


# Busy, and not there


@on_both
def test_a_server_that_is_busy_is_asked_again_when_it_says(datastore, wire):
    busy = status(429, "storage is (re)initializing")
    for method in ("GET", "POST"):
        wire.answer(429, busy, method=method, headers=[("Retry-After", "1")], path_contains=HEP)
    assert hostendpoint(wire, interface_name="eth0")["operation"] == "create"
    assert names(datastore) == ["n1-eth0"]


@on_both
def test_a_server_that_stays_busy(datastore, wire):
    busy = status(429, "too many requests")
    wire.answer(429, busy, method="POST", times=99, headers=[("Retry-After", "1")], path_contains=HEP)
    failure(hostendpoint(wire, interface_name="eth0", timeout=1.5), "too busy (429)", "too many requests")


@on_v3
def test_calico_apiserver_that_is_down_is_not_taken_for_the_v1_crds(kubernetes, datastore, wire):
    wire.answer(
        503,
        "error trying to reach service\n",
        content_type="text/plain",
        times=99,
        path_contains="/apis/projectcalico.org/v3",
    )
    options = dict(connection(wire), timeout=1)
    del options["calico_api_group"]
    result = run_module("calico_hostendpoint_info", options)
    failure(result, "calico-apiserver is down", "calico_api_group crd.projectcalico.org/v1")


# What the server refuses


@on_both
def test_what_a_schema_refuses_is_told_by_field(datastore, wire):
    causes = [{"message": "Duplicate value: p", "field": "spec.profiles[1]"}]
    invalid = status(422, "HostEndpoint.projectcalico.org is invalid", "Invalid", details={"causes": causes})
    wire.answer(422, invalid, method="POST", path_contains=HEP)
    failure(hostendpoint(wire, interface_name="eth0"), "spec.profiles[1]: Duplicate value")


@pytest.mark.parametrize("row", [each["id"] for each in vectors("k8s_http_v3.jsonl") if each.get("code", 0) >= 400])
@on_v3
def test_every_recorded_refusal_ends_in_a_message(datastore, wire, row):
    """Whatever a kube-apiserver 1.36.2 answers to a write: one line, never a traceback, and nothing is written."""
    found = replay(wire, row, method="POST", times=99, path_contains=HEP)
    result = hostendpoint(wire, interface_name="eth0", timeout=0.5)
    assert failure(result) and datastore.stored() == {}, found


@on_v3
def test_the_aggregated_api_that_lists_nothing_because_of_one_object(datastore, wire):
    wire.answer(400, status(400, "json: cannot unmarshal", "Invalid"), path_contains=HEP)
    failure(info(wire), "protocol above 255", "calico_api_group crd.projectcalico.org/v1")


# Lists


@on_v3
def test_a_list_that_expires_is_begun_anew(datastore, wire):
    for number in range(3):
        datastore.put_endpoint(dict(ETH0, name="h%d" % number))
    page = {"kind": "HostEndpointList", "metadata": {"continue": "token", "resourceVersion": "1"}, "items": []}
    expired = status(410, "too old", "Expired", metadata={"continue": "another"})
    wire.answer(200, json.dumps(page), path_contains=HEP)
    wire.answer(410, expired, path_contains="continue=token")
    assert [each["name"] for each in info(wire)["hostendpoints"]] == ["h0", "h1", "h2"]
    assert not any("another" in request.path for request in wire.requests)


@on_both
def test_a_page_that_is_no_list(datastore, wire):
    wire.answer(200, json.dumps({"kind": "HostEndpointList", "metadata": {}, "items": {"a": 1}}), path_contains=HEP)
    failure(info(wire), "no list of items")


# Writes without an answer

CUTS = ["cut_before_commit", "cut_after_commit", "cut_mid_headers", "cut_mid_answer", "reset", "hang_up"]


@on_both
@pytest.mark.parametrize("kind", CUTS)
def test_a_write_without_an_answer_is_resolved_by_reading(datastore, wire, kind):
    wire.fault(kind, method="POST", path_contains=HEP)
    assert hostendpoint(wire, interface_name="eth0")["operation"] == "create"
    wire.fault(kind, method="PUT", path_contains=HEP)
    assert hostendpoint(wire, interface_name="eth1")["operation"] == "update"
    assert json.loads(next(iter(datastore.stored().values())))["spec"]["interfaceName"] == "eth1"
    wire.fault(kind, method="DELETE", path_contains=HEP)
    assert hostendpoint(wire, state="absent")["operation"] == "delete"
    assert datastore.stored() == {}
    assert hostendpoint(wire, state="absent")["operation"] == "none"


@on_both
def test_a_write_that_can_never_be_resolved_may_have_been_made(datastore, wire):
    def dead():
        wire.fault("cut_before_commit", method="GET", times=999)

    wire.before("POST", dead)
    wire.fault("cut_after_commit", method="POST", path_contains=HEP)
    failure(hostendpoint(wire, interface_name="eth0", timeout=1), "may or may not have been made", "cannot reach")
    assert names(datastore) == ["n1-eth0"]


@on_both
def test_a_write_that_is_carried_out_late_may_still_be_made(datastore, wire):
    wire.fault("freeze", method="POST", times=99)
    failure(hostendpoint(wire, interface_name="eth0", timeout=0.3), "it still may be")


@on_both
def test_a_server_that_restarts_is_given_time(datastore, wire):
    """A balancer in front of it answers meanwhile; a write is not given up before the timeout."""
    down = status(503, "no server is available", "ServiceUnavailable")
    wire.answer(503, down, method="POST", path_contains=HEP, times=5)
    assert hostendpoint(wire, interface_name="eth0")["operation"] == "create"
    # Not a number of seconds.
    wire.answer(503, down, method="PUT", path_contains=HEP, headers=[("Retry-After", "\u00b2")])
    assert hostendpoint(wire, interface_name="eth1")["operation"] == "update"
    wire.answer(503, down, method="PUT", path_contains=HEP, times=999)
    failure(hostendpoint(wire, interface_name="eth2", timeout=1), "no server is available", "it still may be")


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"


@on_both
def test_an_answer_before_the_answer_is_not_taken_for_it(datastore, wire):
    """RFC 9110, section 15.2: else each answer would be taken for that to the request after it."""
    stored = json.loads(datastore.value(ETH0))
    stored["metadata"].update(resourceVersion="1", uid="u")
    body = json.dumps(stored).encode()
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    wire.stream(lambda: [EARLY, EARLY, whole], method="GET", path_contains=HEP + "/")
    refused = status(403, "you may not", "Forbidden")
    wire.answer(403, refused, method="PUT", path_contains=HEP)
    failure(hostendpoint(wire, interface_name="eth1"), "may not")
    assert len(wire.writes) == 1


@on_both
def test_an_answer_about_another_object_is_no_answer(datastore, wire):
    other = json.loads(datastore.value(dict(ETH0, name="other")))
    other["metadata"].update(resourceVersion="1", uid="u")
    wire.answer(201, json.dumps(other), method="POST", path_contains=HEP)
    failure(hostendpoint(wire, interface_name="eth0"), "is about", "other", NAMED["name"])


@on_both
def test_an_internal_error_is_resolved_by_reading(datastore, wire):
    """The message of etcd behind the API server: it may have carried the write out."""
    wire.answer(500, datastore.no_quorum, method="POST", times=99, path_contains=HEP)
    failure(hostendpoint(wire, interface_name="eth0"), "request timed out", "it still may be")
    wire.heal()
    wire.before("POST", lambda: datastore.put_endpoint(ETH0))
    wire.answer(500, datastore.no_quorum, method="POST", path_contains=HEP)
    assert hostendpoint(wire, interface_name="eth0")["operation"] == "create"


@on_both
def test_credentials_that_are_gone_in_mid_run(datastore, wire, tmp_path):
    """What was done, what failed and what was left is in the result."""
    path = tmp_path / "kubeconfig"
    datastore.server.write_kubeconfig(path, server=wire.url)
    body = status(401, "Unauthorized", "Unauthorized").encode()

    def unauthorized():
        path.unlink(missing_ok=True)
        return [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)]

    wire.stream(unauthorized, method="POST", nth=5, times=99)
    # More than are under way at a time.
    endpoints = [dict(ETH0, name="h%d" % number) for number in range(40)]
    options = {"datastore_type": "kubernetes", "kubeconfig": str(path), "calico_api_group": datastore.api}
    result = run_module("calico_hostendpoints", dict(options, guard="off", endpoints=endpoints))
    assert result["failed"] and "cannot be loaded again" in result["msg"]
    assert result["summary"]["created"] == len(datastore.stored()) == 4
    assert result["failures"] and result["not_attempted"]


@on_both
def test_a_200_that_is_no_list_is_not_an_empty_datastore(datastore, wire):
    for body in ({"kind": "Status"}, {"kind": "HostEndpointList", "metadata": {}}, {"kind": "X", "items": None}):
        wire.answer(200, json.dumps(body), path_contains=HEP)
        failure(info(wire), "no list of items")


@on_both
def test_a_server_that_does_not_answer_at_all(datastore, wire):
    wire.fault("freeze", method=None, times=99)
    failure(info(wire, timeout=0.3), "cannot reach the API server " + wire.url, "host from: option", "within 0.3 s")


# Others


@on_both
def test_what_another_client_made_anew_is_not_deleted(datastore, wire):
    """The uid is another one: what was planned was about an object that no longer exists."""
    datastore.put_endpoint(ETH0)
    (key,) = datastore.stored()

    def again():
        datastore.delete(key)
        datastore.put_endpoint(dict(ETH0, labels={"new": "1"}))

    wire.before("DELETE", again)
    assert hostendpoint(wire, state="absent")["operation"] == "delete"
    deletions = [
        json.loads(request.body)["preconditions"]["uid"] for request in wire.requests if request.method == "DELETE"
    ]
    assert len(set(deletions)) == 2 and datastore.stored() == {}


FINALIZER = {"finalizers": ["example.org/f"]}


def with_finalizer(datastore):
    document = json.loads(datastore.value(ETH0))
    document["metadata"].update(FINALIZER)
    (key,) = [datastore.key("n1", "n1-eth0")]
    datastore.put(key, json.dumps(document))
    return key


def release(datastore, key):
    document = json.loads(datastore.get(key))
    del document["metadata"]["finalizers"]
    datastore.put(key, json.dumps(document))


@on_both
def test_what_waits_for_its_finalizers_is_pending_and_not_gone(datastore):
    key = with_finalizer(datastore)
    result = hostendpoint(datastore, state="absent")
    assert result["operation"] == "delete" and any("pending" in text for text in result["warnings"])
    assert names(datastore) == ["n1-eth0"]
    again = hostendpoint(datastore, state="absent")
    assert again["operation"] == "none" and any("being deleted" in text for text in again["warnings"])
    for check in (True, False):
        message = failure(hostendpoint(datastore, check=check, interface_name="eth1"), "is being deleted")
        assert "host endpoint " + NAMED["name"] in message and "example.org/f" in message
    release(datastore, key)
    assert datastore.stored() == {}
    assert hostendpoint(datastore, interface_name="eth1")["operation"] == "create"


@on_both
def test_a_deletion_without_an_answer_is_pending_too(datastore, wire):
    key = with_finalizer(datastore)
    wire.fault("cut_after_commit", method="DELETE", path_contains=HEP)
    result = hostendpoint(wire, state="absent")
    assert result["operation"] == "delete" and any("pending" in text for text in result["warnings"])
    assert len(wire.writes) == 1
    release(datastore, key)
    assert datastore.stored() == {}


# Dry run


@on_both
def test_check_mode_with_the_servers_dry_run(datastore, wire):
    datastore.put_endpoint(dict(ETH0, name="old"))
    revision = datastore.revision()
    endpoints = [ETH0, dict(ETH0, name="old", interface_name="eth1")]
    options = dict(connection(wire), guard="off", server_dry_run=True, purge="all", purge_nodes=["n1"])
    result = run_module("calico_hostendpoints", dict(options, endpoints=endpoints), check=True)
    assert not result["failed"] and (result["summary"]["created"], result["summary"]["updated"]) == (1, 1)
    assert run_module("calico_hostendpoints", dict(options, endpoints=[]), check=True)["summary"]["deleted"] == 1
    assert datastore.revision() == revision and len(wire.writes) == 3


@on_both
def test_what_the_servers_dry_run_rejects_is_told_as_such(datastore, wire):
    """Nothing was made, and what changes nothing is asked again."""
    rejected = status(422, "no such node", "Invalid")
    wire.answer(422, rejected, method="POST", path_contains=HEP, nth=2)
    endpoints = [dict(ETH0, name="h%d" % number) for number in range(2)]
    options = dict(connection(wire), guard="off", server_dry_run=True, endpoints=endpoints)
    result = run_module("calico_hostendpoints", options, check=True)
    assert result["failed"] and "nothing was written" in result["msg"] and "no such node" in result["msg"]
    wire.heal()
    wire.answer(503, status(503, "later", "ServiceUnavailable"), method="POST", path_contains=HEP)
    wire.fault("cut_after_commit", method="POST", path_contains=HEP, nth=2)
    assert run_module("calico_hostendpoints", options, check=True)["summary"]["created"] == 2
    assert datastore.stored() == {}


@on_both
def test_the_servers_dry_run_knows_who_may_not_write(datastore):
    token = datastore.add_user("reader", read=[datastore.everything])
    options = dict(datastore.connection(token=token), guard="off", interface_name="eth0", **NAMED)
    assert run_module("calico_hostendpoint", options, check=True)["operation"] == "create"
    result = run_module("calico_hostendpoint", dict(options, server_dry_run=True), check=True)
    failure(result, "verbs: [create]")


@pytest.mark.parametrize("datastore_type", ["etcdv3"])
def test_etcd_has_no_dry_run(_kubernetes, etcd, datastore):
    for check in (True, False):
        # Also where nothing changes, which no server would be asked about.
        for state in ("present", "absent"):
            result = hostendpoint(datastore, check=check, state=state, interface_name="eth0", server_dry_run=True)
            failure(result, "server_dry_run requires datastore_type kubernetes")


@on_both
def test_a_write_is_strict_and_says_who_writes(datastore, wire):
    hostendpoint(wire, interface_name="eth0")
    (request,) = wire.writes
    assert "fieldValidation=Strict" in request.path and "fieldManager=netsec.calico" in request.path
