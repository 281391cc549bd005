# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies, network sets and tiers as Calico's clients store them on a Kubernetes API server, and as is done here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.annotation import ANNOTATION
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.codec_specs import SpecObjectForm
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.calico_version import (
    NEWEST,
    CalicoVersion,
)
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import NONE, UPDATE, build_change
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3_KUBERNETES

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
APIS = {"v1": "crd.projectcalico.org/v1", "v3": "projectcalico.org/v3"}
KINDS = [kind for kind in V3_KUBERNETES.schemas if kind != "HostEndpoint"]
POLICIES = [kind for kind in KINDS if kind.endswith("Policy")]
TIER = "projectcalico.org/tier"
TIME = "2026-01-02T03:04:05Z"
on_both = pytest.mark.parametrize("api", APIS)


def rows(name):
    return [json.loads(line) for line in (VECTORS / (name + ".jsonl")).read_text(encoding="utf-8").splitlines()]


def codec(kind, api="v1", counts=True, version=NEWEST):
    return SpecObjectForm(kind, APIS[api], api == "v1", counts, version).build_codec()


def decode(document):
    return V3_KUBERNETES.schemas[document["kind"]].parse_manifest(document)


def parse(document):
    resource = decode(document)
    V3_KUBERNETES.check(resource)
    return resource


def stored(kind, document, api="v1", counts=True):
    return Stored(
        "plural.group/" + document["metadata"]["name"],
        "7",
        document,
        "",
        document["metadata"]["name"],
        codec(kind, api, counts),
    )


def policy(name, spec=None, **metadata):
    found = {"selector": "all()", "types": ["Ingress"], "tier": "default"}
    return {"metadata": dict(metadata, name=name), "spec": dict(found, **(spec or {}))}


def manifest(kind, name, spec=None, **metadata):
    return {"apiVersion": APIS["v3"], "kind": kind, "metadata": dict(metadata, name=name), "spec": spec or {}}


# What Calico's clients create


def created_by_calicoctl():
    for row in rows("k8s_cli"):
        if row["note"] in ("create a policy", "create a global network set with labels"):
            raw = json.loads(json.dumps(row["raw"]).replace("<time>", TIME))
            yield row["api"], row["stdin"], raw["items"][0] if "items" in raw else raw


@pytest.mark.parametrize("api, document, raw", list(created_by_calicoctl()))
def test_what_calicoctl_creates_is_not_written_again_and_is_what_is_written_here(api, document, raw):
    resource, found = parse(document), stored(document["kind"], raw, api)
    change = build_change(Present(resource), found, V3_KUBERNETES)
    assert not found.error and change.operation == NONE
    after = V3_KUBERNETES.as_stored(resource)
    assert found.is_just(after)
    ours = codec(document["kind"], api).encode(after)
    assert ours["spec"] == raw["spec"] and ours["metadata"]["name"] == raw["metadata"]["name"]
    assert (ours["apiVersion"], ours["kind"]) == (raw["apiVersion"], raw["kind"])
    assert ours["metadata"].get("labels", {}) == found.resource.labels


# Finalizers of a document are not managed by this collection.
NOT_MANAGED = ("gnp-257",)
CREATED = [row for kind in KINDS for row in rows("v3_" + kind.lower()) if row["valid"] and row["id"] not in NOT_MANAGED]


def without_empty_ends(spec):
    for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
        for end in ("source", "destination"):
            if not rule.get(end):
                rule.pop(end, None)
    return spec


def without_repeats(spec):
    if isinstance(spec, dict):
        sets = {key: list(dict.fromkeys(spec[key])) for key in ("nets", "names") if isinstance(spec.get(key), list)}
        return {key: sets.get(key, without_repeats(item)) for key, item in spec.items()}
    return [without_repeats(item) for item in spec] if isinstance(spec, list) else spec


@on_both
@pytest.mark.parametrize("row", CREATED, ids=lambda row: row["id"])
def test_a_new_resource_has_the_spec_that_calico_has_in_etcd(row, api):
    # What is rejected here, and is the same on etcd, does not matter.
    resource = decode(row["doc"] if "doc" in row else yaml_io.first(row["text"]))
    after = V3_KUBERNETES.as_stored(resource)
    document = codec(resource.KIND, api).encode(after)
    expected = without_repeats(without_empty_ends(json.loads(row["value"])["spec"]))
    if expected.get("bpfLogLevel") == "":
        # An old API server rejects it.
        del expected["bpfLogLevel"]
    assert document["spec"] == expected
    found = stored(resource.KIND, document, api)
    assert not found.error and found.is_just(after) == (not set(resource.annotations) - {ANNOTATION})
    assert build_change(Present(resource), found, V3_KUBERNETES).operation == NONE
    assert found.codec.encode(after, found) == document


# Names


@pytest.mark.parametrize("kind", POLICIES)
@pytest.mark.parametrize(
    "name, annotation, tier, counts, expected",
    [
        ("p1", None, "default", True, "p1"),
        # v3.29.4 to v3.31, and since v3.32 a policy that is named like that.
        ("default.p1", {"name": "p1"}, "default", True, "p1"),
        ("default.p1", {"name": "default.p1"}, "default", True, "default.p1"),
        # Before v3.29.4.
        ("default.p1", {"creationTimestamp": None}, "default", True, "p1"),
        ("default.p1", {"creationTimestamp": None}, None, True, "p1"),
        ("default.p1", {"name": "p1"}, None, False, "p1"),
        ("default.p1", None, None, False, "p1"),
        # Calico does not look at the name of an object without its annotation.
        ("default.p1", None, "default", True, "default.p1"),
        ("default.p1", {}, "sec", True, "default.p1"),
        ("sec.p1", {"name": "sec.p1"}, "sec", True, "sec.p1"),
    ],
)
def test_the_name_of_a_policy(kind, name, annotation, tier, counts, expected):
    annotations = {} if annotation is None else {ANNOTATION: json.dumps(annotation)}
    found = stored(kind, policy(name, {"tier": tier} if tier else {}, annotations=annotations), "v1", counts)
    if not tier:
        del found.content["spec"]["tier"]
    assert not found.error and found.resource.name == expected
    assert found.own_ref == (kind, expected, "")
    # A write keeps both names, and every Calico since v3.29.4 reads the same.
    after = V3_KUBERNETES.as_stored(found.resource)
    document = found.codec.encode(after, found)
    again = stored(kind, document, "v1", counts)
    assert document["metadata"]["name"] == name
    assert again.resource.name == expected and again.is_just(after)


@pytest.mark.parametrize("kind", POLICIES)
def test_objects_of_projectcalico_org_have_their_own_names(kind):
    stray = {ANNOTATION: '{"name":"another"}'}
    found = stored(kind, policy("default.p1", annotations=stray), "v3")
    assert not found.error and found.resource.name == "default.p1" and found.own_ref is None
    document = found.codec.encode(V3_KUBERNETES.as_stored(found.resource), found)
    assert document["metadata"]["annotations"] == stray
    new = found.codec.encode(V3_KUBERNETES.as_stored(found.resource))
    assert "annotations" not in new["metadata"]


def test_a_policy_that_another_object_names_is_misnamed():
    found = stored("GlobalNetworkPolicy", policy("p1", annotations={ANNOTATION: '{"name":"q"}'}))
    assert found.is_misnamed and "q" in found.error


# Updates


@on_both
def test_an_update_keeps_what_is_not_managed_here(api):
    rule = {"action": "Deny", "newOfRule": 1.5, "source": {"nets": ["192.0.2.0/24"], "newOfEnd": [1]}}
    inner = {"creationTimestamp": None, "labels": {"a": "1"}, "annotations": {"note": "x"}, "finalizers": ["e.org/f"]}
    metadata = {"uid": "u", "resourceVersion": "7", "finalizers": ["example.org/f"], "labels": {TIER: "default"}}
    metadata.update(ownerReferences=[{"name": "o"}], annotations={"kubectl": "y"})
    if api == "v1":
        metadata["annotations"][ANNOTATION] = json.dumps(inner)
    before = stored("GlobalNetworkPolicy", policy("p1", {"ingress": [rule], "newOfSpec": {"a": 1}}, **metadata), api)
    wanted = manifest(
        "GlobalNetworkPolicy",
        "p1",
        {"order": 5, "ingress": [{"action": "Allow"}, {"action": "Deny", "source": {"nets": ["192.0.2.0/24"]}}]},
        labels={"b": "2"},
    )
    change = build_change(Present(parse(wanted)), before, V3_KUBERNETES)
    assert change.operation == UPDATE and {"labels", "spec.order", "spec.ingress"} <= set(change.fields)
    document = before.codec.encode(change.after, before)
    assert document["spec"]["ingress"] == [{"action": "Allow"}, rule]
    assert (document["spec"]["newOfSpec"], document["spec"]["order"]) == ({"a": 1}, 5)
    now = document["metadata"]
    assert now["labels"] == {TIER: "default", "b": "2"}
    for part in ("uid", "resourceVersion", "finalizers", "ownerReferences"):
        assert now[part] == metadata[part]
    assert now["annotations"]["kubectl"] == "y"
    if api == "v1":
        assert now["annotations"]["note"] == "x"
        kept = {"name": "p1", "creationTimestamp": None, "finalizers": ["e.org/f"]}
        assert json.loads(now["annotations"][ANNOTATION]) == kept
        # An older Calico reads the same.
        other = stored("GlobalNetworkPolicy", document, "v1", False)
        assert other.resource == stored("GlobalNetworkPolicy", document).resource
    assert build_change(Present(parse(wanted)), stored("GlobalNetworkPolicy", document, api), V3_KUBERNETES)[0] == NONE


@pytest.mark.parametrize("kind", ["GlobalNetworkSet", "Tier"])
def test_only_policies_have_a_name_in_calicos_annotation(kind):
    metadata = {"name": "a", "annotations": {ANNOTATION: '{"creationTimestamp":null,"labels":{"x":"1"}}'}}
    before = stored(kind, {"metadata": metadata, "spec": {}})
    assert before.resource.labels == {"x": "1"} and before.annotations == {}
    document = before.codec.encode(V3_KUBERNETES.as_stored(before.resource), before)
    assert document["metadata"]["annotations"] == {ANNOTATION: '{"creationTimestamp":null}'}
    assert document["metadata"]["labels"] == {"x": "1"}


def test_the_status_of_a_tier_is_kept():
    content = {"metadata": {"name": "sec"}, "spec": {"order": 5, "defaultAction": "Pass"}, "status": {"conditions": []}}
    before = stored("Tier", content, "v3")
    assert before.codec.encode(V3_KUBERNETES.as_stored(before.resource), before)["status"] == {"conditions": []}


# What Calico and the API server do not accept


@on_both
def test_one_number_that_blinds_every_client_is_named(api):
    found = stored("GlobalNetworkPolicy", policy("p1", {"ingress": [{"action": "Allow", "protocol": 300}]}), api)
    assert "cannot list any global network policy" in found.meaning and "300" in found.meaning
    # It can be replaced.
    wanted = parse(manifest("GlobalNetworkPolicy", "p1"))
    change = build_change(Present(wanted), found, V3_KUBERNETES)
    assert (
        change.operation == UPDATE and not stored("GlobalNetworkPolicy", found.codec.encode(change.after, found)).error
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_annotation_that_calico_cannot_read(kind):
    found = stored(kind, {"metadata": {"name": "a", "annotations": {ANNOTATION: "{"}}, "spec": {}})
    assert ANNOTATION in found.error and "cannot list" not in found.meaning


@pytest.mark.parametrize("kind", ["GlobalNetworkSet", "Tier"])
def test_calicos_own_annotation_is_rejected(kind):
    with pytest.raises(InvalidInput, match="where Calico keeps its own metadata"):
        parse(manifest(kind, "a", annotations={ANNOTATION: "{}"}))


def test_repeated_networks_are_written_once():
    wanted = parse(manifest("GlobalNetworkSet", "s", {"nets": ["192.0.2.0/24", "198.51.100.1", "192.0.2.0/24"]}))
    document = codec("GlobalNetworkSet").encode(V3_KUBERNETES.as_stored(wanted))
    assert document["spec"] == {"nets": ["192.0.2.0/24", "198.51.100.1"]}
    assert build_change(Present(wanted), stored("GlobalNetworkSet", document), V3_KUBERNETES).operation == NONE


# Older versions


@on_both
@pytest.mark.parametrize("version", [(3, 27, 5), (3, 31, 7)])
def test_an_older_calico_gets_its_names_and_no_default_tier(api, version):
    """Whatever version reads the object, it finds the policy's own name in it."""
    wanted = V3_KUBERNETES.as_stored(parse(manifest("GlobalNetworkPolicy", "p1", {"selector": "all()"})))
    older = codec("GlobalNetworkPolicy", api, version=CalicoVersion(*version))
    document = older.encode(wanted)
    assert document["spec"] == {"selector": "all()", "types": ["Ingress"]}
    names = {"name": "default.p1", "annotations": {ANNOTATION: '{"name":"p1"}'}}
    assert document["metadata"] == (names if api == "v1" else {"name": "p1"})
    assert older.is_of(document, wanted)
    for counts in (False, True):
        found = stored("GlobalNetworkPolicy", document, api, counts)
        assert found.resource.name == "p1" and build_change(Present(wanted), found, V3_KUBERNETES).operation == NONE
        # The newest version keeps the name of the object.
        assert found.codec.encode(wanted, found)["metadata"]["name"] == names["name"] if api == "v1" else "p1"
    # A policy of the newest version keeps its name, too.
    new = codec("GlobalNetworkPolicy", api).encode(wanted)
    assert older.encode(wanted, stored("GlobalNetworkPolicy", new, api))["metadata"]["name"] == "p1"


def test_a_policy_in_another_tier_names_it():
    wanted = V3_KUBERNETES.as_stored(parse(manifest("GlobalNetworkPolicy", "sec.p1", {"tier": "sec"})))
    document = codec("GlobalNetworkPolicy", version=CalicoVersion(3, 31, 7)).encode(wanted)
    assert document["metadata"] == {"name": "sec.p1", "labels": {TIER: "sec"}}
    assert document["spec"]["tier"] == "sec"
