# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Calico's clients read and write on a Kubernetes API server, row by row, and what is read and written here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.annotation import (
    ANNOTATION,
    has_ignored_labels,
)
from ansible_collections.netsec.calico.plugins.module_utils._datastore._kubernetes.codec import (
    HostEndpointForm,
)
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Patched, Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import NONE, build_change
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3_KUBERNETES
from ansible_collections.netsec.calico.plugins.module_utils._resources.fields import with_empty_labels
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import (
    HostEndpoint,
    host_endpoint_ref,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.manifest import parse_manifest

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
APIS = {"v1": "crd.projectcalico.org/v1", "v3": "projectcalico.org/v3"}
# By the client whose Calico decides: since v3.28, labels in the annotation count.
CLIENTS = {"calicoctl-3.32.1": True, "calicoctl-3.27.5": False}
TIME = "2026-01-02T03:04:05Z"


def rows(name):
    return [json.loads(line) for line in (VECTORS / name).read_text(encoding="utf-8").splitlines()]


def form(api, counts=True):
    return HostEndpointForm(APIS[api], api == "v1", counts)


def plain(item):
    """A row's object with real text in place of the marks."""
    if isinstance(item, dict) and set(item) == {"<repeat>"}:
        return item["<repeat>"]["text"] * item["<repeat>"]["times"]
    if isinstance(item, dict):
        return {key: plain(each) for key, each in item.items()}
    if isinstance(item, list):
        return [plain(each) for each in item]
    if isinstance(item, str):
        return (
            item.replace("<time>", TIME).replace("<uid>", "11111111-2222-4333-8444-555555555555").replace("<rv>", "7")
        )
    return item


def stored(document, codec, name=None):
    name = name or document["metadata"]["name"]
    return Stored("hostendpoints.projectcalico.org/" + name, "7", document, "", name, codec)


def object_of(row, outcome):
    return plain(row["doc"] if isinstance(outcome["object"], str) else outcome["object"])


def parse(document):
    endpoint = HostEndpoint(**with_empty_labels(parse_manifest(plain(document))))
    V3_KUBERNETES.check(endpoint)
    return endpoint


CREATED = rows("k8s_hostendpoint.jsonl")
# Refused here although calicoctl stores it: where, and why.
STRICTER = {
    "h-440": "its annotation replaces Calico's own metadata, so the endpoint loses its labels",
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("row", CREATED, ids=lambda row: row["id"])
def test_what_calicoctl_creates(row, api):
    """It is read as the document says, it is not written again, and what is written here means the same."""
    outcome = row[api]
    if not outcome["ok"] and outcome["by"] == "calicoctl":
        with pytest.raises(InvalidInput):
            parse(row["doc"])
        return
    try:
        endpoint = parse(row["doc"])
    except InvalidInput as exc:
        assert row["id"] in STRICTER or not outcome["ok"] or any(part in str(exc) for part in ON_PURPOSE), exc
        return
    assert row["id"] not in STRICTER
    codec = form(api).build_codec()
    ours = stored(codec.encode(V3_KUBERNETES.as_stored(endpoint), None), codec)
    assert not ours.error and ours.beside(endpoint).canonical() == V3_KUBERNETES.as_stored(endpoint).canonical()
    if outcome["ok"]:
        found = stored(object_of(row, outcome), codec)
        change = build_change(Present(endpoint), found, V3_KUBERNETES)
        assert not found.error and (change.operation == NONE or change.fields == ["ports"]), change
        assert found.annotations.keys() >= endpoint.annotations.keys()


# The collection's own rules, which stand in the design; and metadata that calicoctl drops without a word.
ON_PURPOSE = (
    "is Calico's own label",
    "Linux has no interface of that name",
    "is not managed by this collection",
    "is unknown: Calico has no such key",
)


READ = rows("k8s_read.jsonl")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("row", READ, ids=lambda row: row["id"])
def test_what_is_read_from_the_v1_crd(row, client):
    outcome = row["v1"]
    if "stored" not in outcome:
        assert outcome["code"] >= 400
        return
    codec = form("v1", CLIENTS[client]).build_codec()
    found, seen = stored(plain(outcome["stored"]), codec), outcome[client]
    if not seen["ok"]:
        assert found.error, seen
        return
    expected = plain(seen["object"])
    if expected["metadata"]["name"] != found.name:
        assert found.is_misnamed and expected["metadata"]["name"] in found.error
        return
    assert not found.error, found.error
    assert found.resource.labels == expected["metadata"].get("labels", {})
    assert found.annotations == expected["metadata"].get("annotations", {})
    assert as_spec(found.resource) == {key: item for key, item in expected["spec"].items() if item}


@pytest.mark.parametrize("row", READ, ids=lambda row: row["id"])
def test_what_is_read_from_the_v3_crd(row):
    outcome = row["v3"]
    if "stored" not in outcome:
        assert outcome["code"] >= 400
        return
    found, seen = stored(plain(outcome["stored"]), form("v3").build_codec()), outcome["calicoctl-3.32.1"]
    assert bool(found.error) == (not seen["ok"]), (found.error, seen)
    if seen["ok"]:
        expected = plain(seen["object"])
        assert found.resource.labels == expected["metadata"].get("labels", {})
        assert as_spec(found.resource) == {key: item for key, item in expected["spec"].items() if item}


def as_spec(endpoint):
    spec = V3_KUBERNETES.build_manifest(endpoint)["spec"]
    for port in spec.get("ports", []):
        port["protocol"] = int(port["protocol"]) if port["protocol"].isdigit() else port["protocol"]
    return {key: item for key, item in spec.items() if item}


def test_one_number_that_blinds_every_client_is_named():
    (row,) = [row for row in READ if row["note"].startswith("protocol 300")]
    found = stored(plain(row["v3"]["stored"]), form("v3").build_codec())
    assert "cannot list any host endpoint" in found.meaning and "300" in found.meaning


UPDATES = [row for row in rows("k8s_update.jsonl") if row.get("before") and row.get("doc")]


def update_id(row):
    return "{id}-{api}-{client}".format(**row)


@pytest.mark.parametrize("row", UPDATES, ids=update_id)
def test_an_update_means_what_the_document_says_and_loses_nothing(row):
    counts = row["client"] != "calicoctl 3.27.5"
    codec = form(row["api"], counts).build_codec()
    before = stored(plain(row["before"]), codec)
    try:
        endpoint = parse(row["doc"])
    except InvalidInput:
        assert row["rc"] != 0
        return
    change = build_change(Present(endpoint), before, V3_KUBERNETES)
    document = codec.encode(change.after, before)
    after = stored(document, codec)
    assert not after.error and after.beside(endpoint).canonical() == endpoint.canonical()
    was, now = json.loads(before.value)["metadata"], document["metadata"]
    for part in ("finalizers", "ownerReferences", "uid", "resourceVersion"):
        assert now.get(part) == was.get(part)
    foreign = {key: value for key, value in was.get("annotations", {}).items() if key != ANNOTATION}
    assert foreign.items() <= now.get("annotations", {}).items()
    # Both generations of Calico read the same.
    other = stored(document, form(row["api"], not counts).build_codec())
    assert other.resource == after.resource


@pytest.mark.parametrize("api", APIS)
def test_a_removed_label_is_gone_from_both_places(api):
    codec = form(api).build_codec()
    inner = {"creationTimestamp": TIME, "labels": {"a": "1", "b": "2"}, "finalizers": ["example.org/f"]}
    metadata = {"name": "h1", "labels": {"a": "1"}, "annotations": {ANNOTATION: json.dumps(inner), "note": "n"}}
    before = stored({"metadata": metadata, "spec": {"node": "n1", "interfaceName": "eth0"}}, codec)
    ref = host_endpoint_ref("h1")
    change = build_change(Patched(ref, {"labels": {"a": None, "c": "3"}}), before, V3_KUBERNETES)
    document = codec.encode(change.after, before)
    assert document["metadata"]["labels"] == {"b": "2", "c": "3"} if api == "v1" else {"c": "3"}
    if api == "v1":
        kept = json.loads(document["metadata"]["annotations"][ANNOTATION])
        assert kept == {"creationTimestamp": TIME, "finalizers": ["example.org/f"]}
    assert document["metadata"]["annotations"]["note"] == "n"


def test_labels_of_the_annotation_are_html_escaped_as_calico_writes_them():
    codec = form("v1").build_codec()
    text = '{"creationTimestamp":"%s","annotations":{"x":"\\u003cb\\u003e"},"generateName":"\\u003ca"}' % TIME
    metadata = {"name": "h1", "annotations": {ANNOTATION: text}}
    before = stored({"metadata": metadata, "spec": {"node": "n1", "interfaceName": "eth0"}}, codec)
    document = codec.encode(before.resource, before)
    annotations = document["metadata"]["annotations"]
    assert annotations["x"] == "<b>"
    assert annotations[ANNOTATION] == '{"creationTimestamp":"%s","generateName":"\\u003ca"}' % TIME


RAW = rows("k8s_raw.jsonl")


@pytest.mark.parametrize("row", RAW, ids=lambda row: row["id"])
def test_what_the_api_server_accepts_is_validated_here_all_the_same(row):
    """Of the documents that Calico refuses, it stores half; here, none is written, and each that is stored is read."""
    # The collection accepts documents of Calico v1 on every datastore.
    if not row.get("etcd", True) and row["doc"].get("apiVersion") != "v1":
        with pytest.raises(InvalidInput):
            parse(row["doc"])
    for api in APIS:
        if row[api]["code"] == 201:
            found = stored(object_of(row, row[api]), form(api).build_codec())
            assert found.error or found.resource.node


@pytest.mark.parametrize(
    "native, inner, counts, ignored",
    [
        ({}, {"a": "1"}, True, False),
        ({"a": "1"}, {"a": "1"}, True, False),
        ({"a": "2"}, {"a": "1"}, True, True),
        ({}, {"a": "1"}, False, True),
        ({"a": "1"}, {"a": "1"}, False, False),
        ({"a": "1"}, {}, False, False),
    ],
)
def test_labels_that_only_some_readers_see(native, inner, counts, ignored):
    metadata = {"labels": native, "annotations": {ANNOTATION: json.dumps({"labels": inner})}}
    assert has_ignored_labels(metadata, counts) is ignored
