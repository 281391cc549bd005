# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies, network sets and tiers are created, changed and deleted on a real kube-apiserver."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._apply.apply import apply
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import DatastoreError
from ansible_collections.netsec.calico.plugins.module_utils._datastore.factory import build_settings, open_datastore
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent, KindPurge, Present
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3_KUBERNETES
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref
from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.kubernetes_guide import rules_of_guide
from tests.harness.module import run_module
from tests.integration.tasks import connection

on_both = pytest.mark.parametrize("datastore_type", list(KUBERNETES_DATASTORES))
on_v1 = pytest.mark.parametrize("datastore_type", ["kubernetes-v1"])
KINDS = {kind for kind in V3_KUBERNETES.schemas if kind != "HostEndpoint"}
RULE = {"action": "Allow", "protocol": "TCP", "source": {"selector": "zone == 'a'"}, "destination": {"ports": [22]}}
SPECS = {
    "Tier": {"order": 100, "defaultAction": "Pass"},
    "GlobalNetworkSet": {"nets": ["192.0.2.0/24", "198.51.100.1"]},
    "FelixConfiguration": {"failsafeInboundHostPorts": [{"protocol": "tcp", "port": 22}]},
    "GlobalNetworkPolicy": {"order": 10.5, "selector": "has(a)", "ingress": [RULE], "tier": "sec"},
    "StagedGlobalNetworkPolicy": {"selector": "has(a)", "egress": [RULE]},
}
NAMES = dict.fromkeys(SPECS, "sec")
CHANGED = {
    "Tier": {"order": 200, "defaultAction": "Pass"},
    "GlobalNetworkSet": {"nets": ["192.0.2.0/25"]},
    "FelixConfiguration": {"failsafeInboundHostPorts": []},
    "GlobalNetworkPolicy": {"selector": "has(b)", "ingress": [{"action": "Deny"}]},
    "StagedGlobalNetworkPolicy": {"stagedAction": "Delete"},
}
OWNER = "app.kubernetes.io/managed-by"
METADATA = "projectcalico.org/metadata"


def resource(kind, spec, name="sec", **metadata):
    document = {"apiVersion": "projectcalico.org/v3", "kind": kind, "spec": spec, "metadata": dict(metadata, name=name)}
    found = V3_KUBERNETES.schemas[kind].parse_manifest(document)
    V3_KUBERNETES.check(found)
    return found


def all_of(specs, **metadata):
    return [Present(resource(kind, spec, **metadata)) for kind, spec in specs.items()]


def run(server, *wants, check=False, token=None, **options):
    given = dict(connection(server), **({"api_key": token} if token else {}))
    store = open_datastore(build_settings(dict(given, timeout=10), {}))
    store.follow_version(None)
    return apply(store, {store.key(want.ref): want for want in wants}, check, **options)


def done(outcome):
    assert not outcome.failed and not outcome.not_attempted, outcome.failed
    return [(change.operation, change.ref.kind, change.ref.name) for change in outcome.done]


def stored(datastore, plural):
    found = datastore.stored("%s.%s" % (plural, datastore.group))
    return {key.rpartition("/")[2]: json.loads(text) for key, text in found.items()}


@on_both
def test_every_kind_is_created_changed_and_deleted_once(datastore):
    assert set(SPECS) == KINDS
    order = ["Tier", "GlobalNetworkSet", "FelixConfiguration", "GlobalNetworkPolicy", "StagedGlobalNetworkPolicy"]
    assert done(run(datastore, *all_of(SPECS), check=True)) == [("create", kind, "sec") for kind in order]
    assert done(run(datastore, *all_of(SPECS))) == [("create", kind, "sec") for kind in order]
    revision = datastore.revision()
    assert done(run(datastore, *all_of(SPECS))) == []
    assert datastore.revision() == revision
    policy = stored(datastore, "globalnetworkpolicies")["sec"]
    assert policy["spec"] == dict(SPECS["GlobalNetworkPolicy"], types=["Ingress"])
    assert policy["metadata"] == {"name": "sec", "labels": {"projectcalico.org/tier": "sec"}}
    changed = all_of(CHANGED, labels={"a": "1"})
    assert done(run(datastore, *changed)) == [("update", kind, "sec") for kind in order]
    assert done(run(datastore, *changed)) == []
    staged = stored(datastore, "stagedglobalnetworkpolicies")["sec"]
    assert staged["spec"] == {"stagedAction": "Delete", "tier": "default"}
    absent = [Absent(Ref(kind, "sec")) for kind in order]
    assert done(run(datastore, *absent)) == [("delete", kind, "sec") for kind in reversed(order)]
    assert done(run(datastore, *absent)) == []
    assert datastore.stored(datastore.everything).keys() == {datastore.state_key}


@on_both
def test_many_policies_are_read_at_once(datastore, wire):
    wants = [Present(resource("GlobalNetworkPolicy", {"order": number}, "p%d" % number)) for number in range(40)]
    assert len(done(run(wire, *wants))) == 40
    wire.clear()
    assert done(run(wire, *wants)) == []
    assert len([request for request in wire.requests if "globalnetworkpolicies" in request.path]) == 1


@on_both
def test_a_purge_deletes_what_its_owner_has(datastore):
    mine = {OWNER: "me"}
    run(datastore, *all_of(SPECS, labels=mine))
    run(datastore, Present(resource("GlobalNetworkSet", {}, "other")))
    purge = KindPurge(sorted(KINDS), OWNER, "me")
    kept = Present(resource("Tier", SPECS["Tier"], labels=mine))
    assert sorted(done(run(datastore, kept, purge=purge))) == [
        ("delete", kind, "sec") for kind in sorted(KINDS - {"Tier"})
    ]
    assert set(stored(datastore, "globalnetworksets")) == {"other"}


@on_both
def test_what_calicoctl_stores_is_not_written_again(datastore):
    """In the metadata annotation, as since v3.28, where the API has it."""
    inner = {"name": "p1", "creationTimestamp": "2020-01-02T03:04:05Z", "labels": {"projectcalico.org/tier": "default"}}
    inner["labels"]["a"] = "1"
    native = {"projectcalico.org/tier": "default"}
    metadata = {"name": "p1", "labels": native, "annotations": {METADATA: json.dumps(inner)}}
    if datastore.version == "v3":
        metadata = {"name": "p1", "labels": inner["labels"]}
    spec = {"selector": "all()", "ingress": [{"action": "Allow"}], "types": ["Ingress"], "tier": "default"}
    datastore.put("globalnetworkpolicies.%s/p1" % datastore.group, {"metadata": metadata, "spec": spec})
    given = {"selector": "all()", "ingress": [{"action": "Allow", "source": {}}]}
    assert done(run(datastore, Present(resource("GlobalNetworkPolicy", given, "p1", labels={"a": "1"})))) == []
    update = Present(resource("GlobalNetworkPolicy", given, "p1", labels={"b": "2"}))
    assert done(run(datastore, update)) == [("update", "GlobalNetworkPolicy", "p1")]
    found = stored(datastore, "globalnetworkpolicies")["p1"]
    assert found["metadata"]["labels"] == {"b": "2", "projectcalico.org/tier": "default"}
    assert "labels" not in found["metadata"].get("annotations", {}).get(METADATA, "")
    assert done(run(datastore, update)) == []


# Old names


def put_old(datastore, annotation):
    metadata = {"name": "default.p1", "annotations": {METADATA: json.dumps(annotation)}}
    datastore.put("globalnetworkpolicies.%s/default.p1" % datastore.group, {"metadata": metadata, "spec": {"order": 1}})


@on_v1
@pytest.mark.parametrize("annotation", [{"name": "p1"}, {"creationTimestamp": None}])
def test_a_policy_of_an_older_calico_keeps_its_object(datastore, annotation):
    put_old(datastore, annotation)
    want = Present(resource("GlobalNetworkPolicy", {"order": 2}, "p1"))
    assert done(run(datastore, want)) == [("update", "GlobalNetworkPolicy", "p1")]
    ((name, found),) = stored(datastore, "globalnetworkpolicies").items()
    assert (name, found["spec"]["order"]) == ("default.p1", 2)
    assert json.loads(found["metadata"]["annotations"][METADATA])["name"] == "p1"
    assert done(run(datastore, want)) == []
    assert done(run(datastore, Absent(want.ref))) == [("delete", "GlobalNetworkPolicy", "p1")]
    assert stored(datastore, "globalnetworkpolicies") == {}


@on_v1
@pytest.mark.parametrize("is_conflict", [False, True])
def test_a_policy_that_is_named_like_an_old_one_is_another_policy(datastore, wire, is_conflict):
    put_old(datastore, {"name": "default.p1"})
    if is_conflict:
        wire.answer(409, json.dumps({"kind": "Status", "code": 409, "reason": "Conflict"}), method="POST")
    want = Present(resource("GlobalNetworkPolicy", {"order": 2}, "p1"))
    assert done(run(wire, want)) == [("create", "GlobalNetworkPolicy", "p1")]
    assert {name: found["spec"]["order"] for name, found in stored(datastore, "globalnetworkpolicies").items()} == {
        "p1": 2,
        "default.p1": 1,
    }


# Other writers, and what the server rejects


@on_both
def test_another_writer_is_not_overwritten(datastore, wire):
    """The policy is read and planned again: what the other writer added is kept."""
    wants = all_of(SPECS)
    run(datastore, *wants)
    key = "globalnetworkpolicies.%s/sec" % datastore.group
    theirs = stored(datastore, "globalnetworkpolicies")["sec"]
    theirs["metadata"]["annotations"] = {"note": "theirs"}
    wire.before("PUT", lambda: datastore.put(key, theirs), path_contains="/globalnetworkpolicies/")
    assert len(done(run(wire, *all_of(CHANGED)))) == len(CHANGED)
    found = stored(datastore, "globalnetworkpolicies")["sec"]
    assert (found["metadata"]["annotations"], found["spec"]["selector"]) == ({"note": "theirs"}, "has(b)")
    assert [request.method for request in wire.writes if "/globalnetworkpolicies" in request.path] == ["PUT", "PUT"]


@on_both
@pytest.mark.parametrize("kind", ["cut_before_commit", "cut_after_commit"])
def test_a_write_without_an_answer_is_resolved_by_reading(datastore, wire, kind):
    for method, operation in (("POST", "create"), ("PUT", "update"), ("DELETE", "delete")):
        wire.fault(kind, method=method, path_contains="/globalnetworkpolicies")
        wants = {"create": all_of(SPECS), "update": all_of(CHANGED)}.get(operation)
        wants = wants or [Absent(Ref(each, "sec")) for each in SPECS]
        assert {each[0] for each in done(run(wire, *wants))} == {operation}


@on_both
@pytest.mark.parametrize("check", [True, False])
def test_a_cluster_without_a_kind_says_so(datastore, wire, check):
    wire.answer(404, "404 page not found\n", method="GET", times=9, path_contains="/stagedglobalnetworkpolicies")
    wire.answer(404, "404 page not found\n", method="POST", times=9, path_contains="/stagedglobalnetworkpolicies")
    with pytest.raises(DatastoreError, match="no stagedglobalnetworkpolicies in .*this version of Calico has no such"):
        run(wire, *all_of(SPECS), check=check)
    assert not wire.writes
    # A purge finds none of them.
    purge = KindPurge(["GlobalNetworkPolicy", "StagedGlobalNetworkPolicy"], OWNER, "me")
    assert done(run(wire, check=check, purge=purge)) == []


@on_both
def test_check_mode_with_the_servers_dry_run(datastore, wire):
    run(datastore, *all_of({"Tier": SPECS["Tier"]}))
    revision = datastore.revision()
    outcome = run(wire, *all_of(SPECS), *all_of({"Tier": CHANGED["Tier"]}), check=True, server_dry_run=True)
    assert len(done(outcome)) == len(SPECS) and datastore.revision() == revision
    assert len(wire.writes) == len(SPECS)


@on_both
def test_a_right_that_is_missing_is_named_with_the_rule_to_add(datastore):
    token = datastore.add_user("reader", read=[datastore.everything])
    outcome = run(datastore, *all_of(SPECS), check=True, server_dry_run=True, token=token)
    texts = {change.ref.kind: str(error) for change, error in outcome.failed}
    assert "resources: [tiers], verbs: [create]}" in texts["Tier"]
    writer = ["%s.%s" % (plural, datastore.group) for plural in ("tiers", "globalnetworksets", "felixconfigurations")]
    token = datastore.add_user("writer", read=[datastore.everything], write=writer)
    (_change, error) = run(datastore, *all_of(SPECS), token=token).failed[0]
    plural = "globalnetworkpolicies"
    tiered = plural if datastore.version == "v1" else "%s, tier.%s" % (plural, plural)
    assert "{apiGroups: [%s], resources: [%s], verbs: [create]}" % (datastore.group, tiered) in str(error)


@on_both
def test_the_rights_of_the_guide_are_enough(datastore):
    """For an auditor in check mode and for a writer, of each kind, and of a purge that looks into tiers."""
    audit, _endpoints, policies = rules_of_guide()
    # The user's policies are in this tier, and the rule is about another one. CRDs have no such resource.
    writer = audit + [rule for rule in policies if "resourceNames" not in rule]
    for user, rules in (("auditor", audit), ("writer", writer)):
        datastore.server.add_role(user, rules)

    def manage(user, check=False, **options):
        connection = datastore.connection(token=datastore.server.tokens[user])
        return run_module("calico_resources", dict(connection, guard="off", owner="fleet", **options), check=check)

    metadata = {"name": "sec"}
    documents = [{"apiVersion": "projectcalico.org/v3", "kind": kind, "spec": SPECS[kind]} for kind in SPECS]
    resources = {"resources": [dict(document, metadata=metadata) for document in documents]}
    kept = {"resources": [dict(documents[0], metadata={"name": "other"})]}
    purge = dict(kept, purge="owned", purge_kinds=list(SPECS))
    steps = [(resources, "created", 5), (dict(purge), "deleted", 5), (dict(resources, state="absent"), "deleted", 5)]
    for options, count, number in steps:
        found = manage("auditor", check=True, **options)
        assert not found["failed"], found["msg"]
        done = manage("writer", **options)
        assert not done["failed"], done["msg"]
        assert found["summary"][count] == done["summary"][count] == number
        if count == "deleted":
            manage("writer", **resources)


@on_v1
@pytest.mark.parametrize("version, tier", [("v3.28.5", None), ("v3.31.7", None), ("v3.32.0", "default")])
def test_only_a_new_calico_gets_the_default_tier(datastore, wire, version, tier):
    """Before v3.29, the API server rejects the field."""
    state = json.loads(datastore.ready)
    state["spec"]["calicoVersion"] = version
    datastore.put(datastore.state_key, state)
    want = Present(resource("GlobalNetworkPolicy", {"selector": "all()"}, "p1"))
    assert done(run(wire, want)) == [("create", "GlobalNetworkPolicy", "p1")]
    (sent,) = wire.writes
    assert json.loads(sent.body)["spec"].get("tier") == tier
    assert done(run(wire, want)) == []
