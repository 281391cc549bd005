# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies, network sets, profiles, tiers, settings of Felix and nodes, read as manifests."""

from __future__ import annotations

import json

import pytest

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.module import run_module
from tests.integration.tasks import connection, failure, only_etcdv2, vectors

ROOT = "/calico/resources/v3/projectcalico.org/"
PLURALS = {
    "GlobalNetworkPolicy": "globalnetworkpolicies",
    "StagedGlobalNetworkPolicy": "stagedglobalnetworkpolicies",
    "GlobalNetworkSet": "globalnetworksets",
    "Profile": "profiles",
    "Tier": "tiers",
    "FelixConfiguration": "felixconfigurations",
    "Node": "nodes",
}
# What Calico sets itself.
_SET_BY_CALICO = ("uid", "resourceVersion", "creationTimestamp", "generation", "generateName")
_SET_BY_CALICO += ("finalizers", "ownerReferences")
on_v3 = pytest.mark.parametrize("datastore_type", ["etcdv3", *KUBERNETES_DATASTORES])
on_etcdv3 = pytest.mark.parametrize("datastore_type", ["etcdv3"])


def resources(datastore, kind, **options):
    return run_module("calico_resource_info", dict(connection(datastore), kind=kind, **options))


def put(datastore, kind, name, spec, labels=None):
    document = {
        "apiVersion": "projectcalico.org/v3",
        "kind": kind,
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
    }
    datastore.put(ROOT + PLURALS[kind] + "/" + name, json.dumps(document))


def names(result):
    assert not result["failed"], result
    return [each["metadata"]["name"] for each in result["resources"]]


@on_v3
def test_a_policy_is_a_manifest(datastore):
    rule = {"action": "Allow", "protocol": "TCP", "destination": {"ports": [22, "8000:8100"]}}
    spec = {"order": 100, "selector": "has(a)", "ingress": [rule], "types": ["Ingress"], "tier": "default"}
    put(datastore, "GlobalNetworkPolicy", "p1", spec)
    result = resources(datastore, "GlobalNetworkPolicy")
    assert names(result) == ["p1"] and not result["changed"] and result["malformed"] == []
    (found,) = result["resources"]
    assert (found["apiVersion"], found["kind"]) == ("projectcalico.org/v3", "GlobalNetworkPolicy")
    assert found["spec"] == spec


@on_v3
def test_network_sets_by_name_and_selector(datastore):
    for name, labels in (("b", {"zone": "x"}), ("a", {"zone": "x"}), ("c", {})):
        put(datastore, "GlobalNetworkSet", name, {"nets": ["192.0.2.0/24"]}, labels)
    assert names(resources(datastore, "GlobalNetworkSet")) == ["a", "b", "c"]
    assert names(resources(datastore, "GlobalNetworkSet", name="b")) == ["b"]
    assert names(resources(datastore, "GlobalNetworkSet", name="d")) == []
    found = resources(datastore, "GlobalNetworkSet", selector="zone == 'x'")
    assert names(found) == ["a", "b"] and found["resources"][0]["metadata"]["labels"] == {"zone": "x"}


def test_host_endpoints_on_every_datastore(datastore):
    datastore.put_endpoint({"name": "eth0", "node": "n1", "interface_name": "eth0"})
    (found,) = resources(datastore, "HostEndpoint")["resources"]
    assert found["kind"].lower() == "hostendpoint" and found["spec"]["interfaceName"] == "eth0"


@on_etcdv3
def test_what_calico_cannot_read_is_named(datastore):
    put(datastore, "GlobalNetworkPolicy", "good", {})
    put(datastore, "GlobalNetworkPolicy", "bad", {"order": "first"})
    result = resources(datastore, "GlobalNetworkPolicy")
    assert names(result) == ["good"]
    (bad,) = result["malformed"]
    assert bad["key"].endswith("/bad") and "order" in bad["error"]
    assert any("its rules do not apply" in warning for warning in result["warnings"])


READ = [row for row in vectors("v3_policies_read.jsonl") if row["kind"] in PLURALS and row["value"]]


@on_etcdv3
def test_it_shows_what_calicoctl_shows(datastore):
    """Each stored form of a resource, by Calico's own list."""
    compared = 0
    for row in READ:
        datastore.reset()
        datastore.put(row["key"], row["value"])
        stored = row["key"].rpartition("/")[2]
        listed = row["get"].get(stored, {})
        result = resources(datastore, row["kind"], name=stored)
        assert not result["failed"], result
        if "error" in listed or not result["resources"]:
            assert not result["resources"] or "metadata" not in listed, row["id"]
            continue
        (found,) = result["resources"]
        assert without_calicos(found) == without_calicos(listed), row["id"]
        compared += 1
    assert compared > len(READ) // 2


def without_calicos(document):
    metadata = {key: item for key, item in document["metadata"].items() if key not in _SET_BY_CALICO and item}
    return metadata, _tidy(document.get("spec", {}))


def _tidy(item):
    """Without empty members, which calicoctl shows in some places."""
    if isinstance(item, list):
        return [_tidy(each) for each in item]
    if not isinstance(item, dict):
        return item
    return {key: _tidy(each) for key, each in item.items() if each not in ({}, [], None, "")}


@on_v3
def test_settings_of_felix(datastore):
    """An empty list of failsafe ports differs from a missing list, which stands for Felix's own."""
    failsafes = [{"protocol": "TCP", "port": 22, "net": "192.0.2.0/24"}]
    spec = {"failsafeInboundHostPorts": failsafes, "failsafeOutboundHostPorts": [], "reportingInterval": "1m30s"}
    put(datastore, "FelixConfiguration", "default", spec)
    put(datastore, "FelixConfiguration", "node.n1", {"ipv6Support": False})
    result = resources(datastore, "FelixConfiguration")
    assert names(result) == ["default", "node.n1"] and result["malformed"] == []
    default, of_node = [each["spec"] for each in result["resources"]]
    assert {key: default[key] for key in spec} == spec
    assert of_node["ipv6Support"] is False and "failsafeInboundHostPorts" not in of_node


@on_etcdv3
def test_an_invalid_setting_of_felix_is_named(datastore):
    put(datastore, "FelixConfiguration", "default", {"reportingInterval": "soon"})
    result = resources(datastore, "FelixConfiguration")
    assert names(result) == [] and "reportingInterval" in result["malformed"][0]["error"]
    assert any("Felix stops on the hosts that it applies to" in warning for warning in result["warnings"])


@on_etcdv3
def test_nodes(datastore):
    spec = {"bgp": {"asNumber": 64512, "ipv4Address": "192.0.2.1/24"}, "interfaces": [{"name": "eth0"}]}
    put(datastore, "Node", "n1", spec, {"zone": "x"})
    put(datastore, "Node", "n2", {"bgp": {"asNumber": "1.10"}})
    found = resources(datastore, "Node")["resources"]
    assert [(each["metadata"]["name"], each["spec"]) for each in found] == [
        ("n1", spec),
        ("n2", {"bgp": {"asNumber": 65546}}),
    ]
    assert names(resources(datastore, "Node", selector="zone == 'x'")) == ["n1"]


@pytest.mark.parametrize("datastore_type", list(KUBERNETES_DATASTORES))
def test_nodes_belong_to_kubernetes(datastore):
    failure(resources(datastore, "Node"), "kind: Node cannot be read with this datastore_type: nodes belong to")


@on_v3
def test_resources_are_sorted_by_name(datastore):
    for node, name in (("b", "x"), ("a", "y")):
        datastore.put_endpoint({"name": name, "node": node, "interface_name": "eth0"})
    assert names(resources(datastore, "HostEndpoint")) == ["x", "y"]


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_filter_is_an_error(datastore, name):
    if not name:
        failure(resources(datastore, "HostEndpoint", name=name), "name: must not be empty")
    failure(resources(datastore, "HostEndpoint", selector=name), "selector: must not be empty")


METADATA = "projectcalico.org/metadata"


def put_annotated(datastore, kind, name, text):
    metadata = {"name": name, "annotations": {METADATA: text}}
    datastore.put(ROOT + PLURALS[kind] + "/" + name, {"metadata": metadata, "spec": {}})


@pytest.mark.parametrize("datastore_type", ["kubernetes-v1"])
@pytest.mark.parametrize("kind", ["GlobalNetworkPolicy", "GlobalNetworkSet", "Tier"])
def test_an_annotation_that_calico_cannot_read(datastore, kind):
    """The object is no less malformed than a host endpoint with such an annotation."""
    put_annotated(datastore, kind, "bad", "{")
    result = resources(datastore, kind)
    assert names(result) == [] and METADATA in result["malformed"][0]["error"]
    assert any("/bad: Calico cannot read it" in warning for warning in result["warnings"])


@pytest.mark.parametrize("datastore_type", ["kubernetes-v1"])
def test_calicos_own_annotation_is_not_shown(datastore):
    put_annotated(datastore, "Tier", "sec", '{"name":"sec"}')
    put_annotated(datastore, "GlobalNetworkSet", "s1", '{"name":"another"}')
    (tier,) = resources(datastore, "Tier")["resources"]
    assert "annotations" not in tier["metadata"]
    (renamed,) = resources(datastore, "GlobalNetworkSet")["malformed"]
    assert "another" in renamed["error"]


@pytest.mark.parametrize("datastore_type", ["etcdv3"])
def test_an_annotation_without_a_name(datastore):
    policy = {"metadata": {"name": "p1", "annotations": {METADATA: "{}"}}, "spec": {}}
    datastore.put(ROOT + "globalnetworkpolicies/p1", json.dumps(policy))
    (malformed,) = resources(datastore, "GlobalNetworkPolicy")["malformed"]
    assert METADATA in malformed["error"] and "no name" in malformed["error"]


@pytest.mark.parametrize("datastore_type", list(KUBERNETES_DATASTORES))
def test_profiles_that_calico_makes_of_namespaces(datastore):
    result = resources(datastore, "Profile", name="kns.kube-system")
    assert names(result) == ["kns.kube-system"]
    assert result["resources"][0]["spec"]["labelsToApply"]["pcns.projectcalico.org/name"] == "kube-system"


@only_etcdv2
def test_calico_v1_has_none_of_these_kinds(datastore):
    text = "kind: GlobalNetworkPolicy is a kind of Calico v3 and needs datastore_type etcdv3 or kubernetes; "
    failure(
        resources(datastore, "GlobalNetworkPolicy"), text + "datastore_type etcdv2 has HostEndpoint, policy, profile"
    )


@on_v3
def test_calico_v3_has_no_kinds_of_v1(datastore):
    text = (
        "kind: policy is a kind of Calico v1 and needs datastore_type etcdv2; datastore_type etcdv3 or kubernetes has "
    )
    failure(resources(datastore, "policy"), text + "HostEndpoint, GlobalNetworkPolicy")


# Calico v1

POLICIES, PROFILES = "/calico/v1/policy/tier/default/policy/", "/calico/v1/policy/profile/"
CREATED_V1 = [row for name in ("v1_policy", "v1_profile") for row in vectors(name + ".jsonl") if row["valid"]]


@only_etcdv2
def test_it_shows_what_calicoctl_v1_shows(datastore):
    kinds = {}
    for row in CREATED_V1:
        found = row["get"]
        name = found["metadata"]["name"]
        if (found["kind"], name) not in kinds:
            kinds[found["kind"], name] = found
            for key, value in row.get("keys", {row.get("key"): row.get("value")}).items():
                datastore.put(key, value)
    for kind in ("policy", "profile"):
        expected = {name: found for (each, name), found in kinds.items() if each == kind}
        result = resources(datastore, kind)
        assert names(result) == sorted(expected) and result["malformed"] == []
        for found in result["resources"]:
            shown = expected[found["metadata"]["name"]]
            assert _tidy(found) == _tidy(shown)
    assert names(resources(datastore, "policy", name="a/b")) == ["a/b"]
    assert names(resources(datastore, "profile", selector="a == 'b'")) == []


@only_etcdv2
def test_profiles_by_label(datastore):
    for name, labels in (("b", '{"zone":"x"}'), ("a", '{"zone":"x"}'), ("c", "{}")):
        for part, value in (("tags", "[]"), ("labels", labels), ("rules", "{}")):
            datastore.put(PROFILES + name + "/" + part, value)
    assert names(resources(datastore, "profile", selector="zone == 'x'")) == ["a", "b"]
    assert names(resources(datastore, "policy")) == []


@only_etcdv2
def test_what_only_a_part_of_calico_v1_reads_is_named(datastore):
    datastore.put(POLICIES + "bad", "{")
    datastore.put(POLICIES + "too/deep", "{}")
    datastore.put("/calico/v1/policy/tier/sec/policy/p", "{}")
    datastore.put("/calico/v1/policy/tier/sec/policy/bad", "{")
    datastore.put("/calico/v1/policy/tier/sec/metadata", "{}")
    datastore.put(PROFILES + "no-tags/rules", "{}")
    datastore.put(PROFILES + "no-rules/tags", "[]")
    datastore.put(PROFILES + "value", "{}")
    datastore.put(PROFILES + "deep/rules/x", "{}")
    datastore.put(PROFILES + "another/key", "{}")
    meanings = {
        "policy": {
            POLICIES + "bad": "Calico cannot read it, so its rules do not apply: the value is not JSON",
            POLICIES + "too/deep": "the key is one level too deep",
            "/calico/v1/policy/tier/sec/policy/bad": "Calico cannot read it",
            "/calico/v1/policy/tier/sec/policy/p": "calicoctl does not list it, although Felix uses it: the key is in",
        },
        "profile": {
            PROFILES + "no-tags": "calicoctl does not list it, although Felix uses it: the key tags is missing",
            PROFILES + "no-rules": "for Felix the profile is missing, and traffic that reaches it is rejected",
            PROFILES + "value": "a value where a directory belongs",
            PROFILES + "deep": "rules is a directory where a value belongs",
        },
    }
    for kind, expected in meanings.items():
        result = resources(datastore, kind)
        assert names(result) == [] and {each["key"] for each in result["malformed"]} == set(expected)
        for key, meaning in expected.items():
            assert any(text.startswith(key + ": ") and meaning in text for text in result["warnings"]), meaning


@only_etcdv2
def test_a_value_in_the_place_of_all_profiles(datastore):
    datastore.put("/calico/v1/policy/profile", "{}")
    failure(resources(datastore, "profile"), "/calico/v1/policy/profile: in etcd this is a value where a directory")
