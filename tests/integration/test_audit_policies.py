# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit says which policies select each stored endpoint, and never takes what is not known for none."""

from __future__ import annotations

import json

import pytest

from tests.harness.module import run_module
from tests.integration.sets import CALICO_LABEL, endpoint
from tests.integration.tasks import connection, only_etcd, only_etcdv2, only_kubernetes, only_v3
from tests.integration.test_guard import RESOURCES, put_resource


def audit(server, folder, **options):
    """The result of an audit of n1, and what is in its file."""
    options = dict({"endpoints": [], "nodes": ["n1"], "policies": True}, **options)
    result = run_module("calico_hostendpoints_audit", dict(connection(server), dest=str(folder / "found"), **options))
    assert not result["failed"], result
    return result, json.loads((folder / "found").read_text(encoding="utf-8"))


def selecting(found):
    """{name: policies} of the endpoints; all are of n1."""
    assert [each["node"] for each in found["endpoints"]] == ["n1"] * len(found["endpoints"])
    names = [each["name"] for each in found["endpoints"]]
    assert names == sorted(names)
    return {each["name"][3:]: each["policies"] for each in found["endpoints"]}


def put_policy(datastore, name, selector, kind="", **fields):
    """A policy without rules. kind: what Calico v3 calls a policy that is not asked normally."""
    if datastore.model == "v1":
        flags = {"doNotTrack": {"untracked": True}, "preDNAT": {"pre_dnat": True}}.get(kind, {})
        value = dict(fields, selector=selector, **flags)
        datastore.put("/calico/v1/policy/tier/default/policy/" + name, json.dumps(value))
    else:
        spec = dict(fields, selector=selector, **({kind: True, "applyOnForward": True} if kind else {}))
        put_resource(datastore, "globalnetworkpolicies", "GlobalNetworkPolicy", "default." + name, spec)


def test_in_the_order_in_which_they_are_asked(datastore, tmp_path):
    put_policy(datastore, "late", "all()")
    put_policy(datastore, "web", "role == 'web'", order=20)
    put_policy(datastore, "db", "role == 'db'", order=10)
    put_policy(datastore, "first", "has(role)", order=10)
    put_policy(datastore, "dnat", "role == 'web'", "preDNAT", order=200)
    put_policy(datastore, "raw", "role == 'web'", "doNotTrack", order=300)
    put_policy(datastore, "workloads", "k8s == 'yes'")
    if datastore.model == "v3":
        spec = {"selector": "all()", "types": ["Ingress"]}
        put_resource(datastore, "stagedglobalnetworkpolicies", "StagedGlobalNetworkPolicy", "default.staged", spec)
    else:
        # In v1, the tier in the key does not count.
        datastore.put("/calico/v1/policy/tier/other/policy/late", json.dumps({"selector": "all()"}))
    datastore.put_endpoint(endpoint("n1", "a"), labels={"role": "web"})
    datastore.put_endpoint(endpoint("n1", "b"), labels={"role": "db"})
    datastore.put_endpoint(endpoint("n1", "c"))
    datastore.put_endpoint(endpoint("n1", "d"), labels={"role": "db", CALICO_LABEL: "x"})
    datastore.put_endpoint(endpoint("n2"), labels={"role": "web"})
    result, found = audit(datastore, tmp_path)
    of_db = ["db", "first", "late"]
    assert selecting(found) == {
        "a": ["raw", "dnat", "first", "web", "late"],
        "b": of_db,
        "c": ["late"],
        "d": of_db,
    }
    assert "endpoints" not in result and result["policies_omitted"] == 0
    assert result["policies"] == found["policies"]
    counts = {each["name"]: each["endpoints"] for each in result["policies"]}
    names = ["db", "dnat", "first", "late", "raw", "web"]
    assert list(counts.items()) == list(zip(names, (2, 1, 3, 4, 1, 1)))
    assert {each["problem"] for each in result["policies"]} == {""}


@only_v3
def test_tiers(datastore, tmp_path):
    information = {"calicoVersion": "v3.30.0", "datastoreReady": True}
    put_resource(datastore, "clusterinformations", "ClusterInformation", "default", information)
    for name, order in (("security", 10), ("platform", 5)):
        put_resource(datastore, "tiers", "Tier", name, {"order": order})
        spec = {"tier": name, "selector": "all()"}
        put_resource(datastore, "globalnetworkpolicies", "GlobalNetworkPolicy", name + ".all", spec)
    put_policy(datastore, "all", "all()", order=1)
    datastore.put_endpoint(endpoint("n1"))
    assert selecting(audit(datastore, tmp_path)[1]) == {"eth0": ["platform.all", "security.all", "all"]}


def test_none_is_an_empty_list(datastore, tmp_path):
    put_policy(datastore, "web", "role == 'web'")
    datastore.put_endpoint(endpoint("n1"))
    result, found = audit(datastore, tmp_path)
    assert (selecting(found), result["policies"]) == ({"eth0": []}, [])


@only_etcd
def test_labels_that_a_profile_gives(datastore, tmp_path):
    if datastore.model == "v1":
        datastore.put("/calico/v1/policy/profile/p/labels", '{"role": "web"}')
        # A key that is there twice: nobody knows which one counts.
        datastore.put("/calico/v1/policy/profile/q/rules", '{"inbound_rules": [], "Inbound_rules": []}')
    else:
        put_resource(datastore, "profiles", "Profile", "p", {"labelsToApply": {"role": "web"}})
        put_resource(datastore, "profiles", "Profile", "q", {"labelsToApply": 5})
    put_policy(datastore, "web", "role == 'web'")
    for name, profile in (("a", "p"), ("b", "q"), ("c", "missing")):
        datastore.put_endpoint(endpoint("n1", name, profiles=[profile]))
    found = audit(datastore, tmp_path)[1]
    # In v3, a profile that does not parse is missing.
    assert selecting(found) == {"a": ["web"], "b": [] if datastore.model == "v3" else None, "c": []}


@only_kubernetes
def test_labels_that_a_namespace_gives(datastore, tmp_path):
    """Calico makes a profile from each namespace."""
    put_policy(datastore, "web", "pcns.projectcalico.org/name == 'default'")
    for name, profile in (("a", "kns.default"), ("b", "kns.nosuch")):
        datastore.put_endpoint(endpoint("n1", name, profiles=[profile]))
    assert selecting(audit(datastore, tmp_path)[1]) == {"a": ["web"], "b": []}


def test_a_policy_that_cannot_be_read_is_told(datastore, tmp_path):
    put_policy(datastore, "web", "all()")
    if datastore.model == "v1":
        datastore.put("/calico/v1/policy/tier/default/policy/odd", '{"order": 1, "Order": 2}')
    else:
        put_policy(datastore, "odd", "all(", order=1)
    datastore.put_endpoint(endpoint("n1"))
    result, found = audit(datastore, tmp_path)
    assert selecting(found) == {"eth0": ["web"]}
    odd, web = result["policies"]
    assert (odd["name"], odd["endpoints"]) == (["odd"][0], None) and odd["problem"]
    assert (web["endpoints"], web["problem"]) == (1, "")


def test_of_what_felix_does_not_take_nothing_is_known(datastore, tmp_path):
    put_policy(datastore, "all", "all()")
    broken = datastore.malformed(endpoint("n1", "a"))
    datastore.put(datastore.key("n1", "n1-a"), broken if datastore.type == "kubernetes" else '{"name": 5, "spec": 5')
    if datastore.model == "v1":
        # A value that cannot be read has its node in the key.
        datastore.put_endpoint(endpoint("n1", "b", profiles=["a/b"]))
    datastore.put_endpoint(endpoint("n1", "c"))
    found = selecting(audit(datastore, tmp_path)[1])
    assert found.pop("c") == ["all"]
    assert found == ({"a": None, "b": None} if datastore.model == "v1" else {})


def test_policies_that_cannot_be_read(auth_datastore, tmp_path):
    """A user who has rights on endpoints only."""
    datastore, user = auth_datastore, auth_datastore.user("narrow", "geheim")
    if datastore.model == "v1":
        datastore.server.add_user("narrow", "geheim", ["/calico/v1/Ready", "/calico/v1/host*"])
    else:
        datastore.add_user("narrow", "geheim", [datastore.hostendpoints, RESOURCES + "clusterinformations"])
    put_policy(datastore, "all", "all()")
    datastore.put_endpoint(endpoint("n1"))
    result, found = audit(datastore, tmp_path, **user)
    assert (selecting(found), found["policies"], result["policies"]) == ({"eth0": None}, None, None)
    assert any("could not be read" in warning for warning in result["warnings"])
    assert result["summary"]["unmanaged"] == 1


def test_nothing_is_read_when_nobody_asks(datastore, wire, tmp_path):
    put_policy(datastore, "all", "all()")
    datastore.put_endpoint(endpoint("n1"))
    result, found = audit(wire, tmp_path, policies=False)
    assert not {"policies", "policies_omitted", "endpoints"}.intersection([*result, *found])
    # Nor when nothing is stored for the nodes.
    result, found = audit(wire, tmp_path, nodes=["n3"])
    assert (result["policies"], found["endpoints"]) == ([], [])
    assert not [key for key in datastore.keys_read(wire) if "polic" in key]
    assert selecting(audit(wire, tmp_path)[1]) == {"eth0": ["all"]}


@only_etcdv2
def test_a_result_has_an_end_and_the_file_has_not(datastore, tmp_path):
    for number in range(1200):
        put_policy(datastore, "p%04d-" % number + "x" * 100, "all()")
    datastore.put_endpoint(endpoint("n1"))
    result, found = audit(datastore, tmp_path)
    assert len(found["policies"]) == len(found["endpoints"][0]["policies"]) == 1200
    assert 0 < len(result["policies"]) == 1200 - result["policies_omitted"] < 1200
    assert len(json.dumps(result["policies"])) <= 100000


@pytest.mark.parametrize("is_guarded", [False, True])
def test_it_changes_nothing_about_the_findings(datastore, tmp_path, is_guarded):
    put_policy(datastore, "all", "all()")
    datastore.put_endpoint(endpoint("n1", profiles=["missing"]))
    options = {"guard_facts": {}} if is_guarded else {}
    (result, _found), (alone, _file) = (audit(datastore, tmp_path, policies=each, **options) for each in (True, False))
    assert result["findings"] == alone["findings"]
    assert ("unsafe" in [each["class"] for each in alone["findings"]]) == is_guarded
