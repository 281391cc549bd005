# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Calico itself reads and writes, row by row, and what we do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._datastore._values.codec_specs_v3 import build_codec
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Misnamed, Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources import fields
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.read_spec import read_spec
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.spec_resource import (
    TYPES,
    GlobalNetworkPolicy,
    TierResource,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref, changed_fields

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
CODECS = {kind: build_codec(kind) for kind in TYPES}
UID, TIME = "11111111-2222-4333-8444-555555555555", "2020-01-02T03:04:05Z"


def rows(name):
    found = map(json.loads, (VECTORS / (name + ".jsonl")).read_text(encoding="utf-8").splitlines())
    return [row for row in found if row.get("kind", "Tier") in TYPES]


def parse(document):
    """The resource of a manifest."""
    metadata = document.get("metadata") or {}
    given = {key: fields.labels(metadata.get(key) or {}, key) for key in ("labels", "annotations")}
    return TYPES[document["kind"]](
        name=fields.text(metadata["name"], "metadata.name"),
        spec=read_spec(document["kind"], document.get("spec")),
        **fields.with_empty_labels(given),
    )


def by_id(row):
    return row["id"]


def put_in(value):
    return value.replace("<uid>", UID).replace("<time>", TIME)


def stored(kind, value, name, misplaced=""):
    return Stored("/" + name, "7", value, "", name, CODECS[kind], misplaced)


def decode(kind, value, name):
    return CODECS[kind].decode(value, Ref(kind, name))


# Creating

CREATED = [row for kind in TYPES for row in rows("v3_" + kind.lower()) if row["valid"]]
NOT_CREATED = {"tier-045": "the status of a tier is not managed here"}


@pytest.mark.parametrize("row", CREATED, ids=by_id)
def test_a_new_resource_has_calicos_bytes(row):
    resource = parse(row["doc"] if "doc" in row else yaml_io.first(row["text"]))
    codec, value = CODECS[resource.KIND], put_in(row["value"])
    is_same = codec.encode(resource, None, UID, TIME) == value
    assert is_same == (row["id"] not in NOT_CREATED), NOT_CREATED.get(row["id"])
    found = stored(resource.KIND, value, resource.name)
    assert not found.error
    assert changed_fields(found.beside(resource), resource) == []
    assert found.is_just(resource.as_stored()) == is_same
    # A second write changes nothing.
    assert codec.encode(resource, found) == value
    assert codec.encode(found.beside(resource), found) == value
    # What a module returns can be given to it.
    options = json.loads(json.dumps(resource.as_options()))
    again = TYPES[resource.KIND](**dict(options, spec=read_spec(resource.KIND, options["spec"])))
    assert changed_fields(resource, again) == []


# Updating

UPDATED = [row for row in rows("v3_policies_update") if row["action"] in ("apply", "replace") and row["ok"]]
# Why a row's bytes differ from Calico's.
DIFFERENT = {
    "upd-003": "stored annotations that are not given are kept",
    "upd-004": "stored annotations that are not given are kept",
    "upd-025": "stored annotations that are not given are kept",
    "upd-026": "stored annotations that are not given are kept",
    "upd-014": "stored keys that Calico does not know are kept",
    "upd-036": "stored keys that Calico does not know are kept",
    "upd-009": "Calico creates p1 beside default.p1; here default.p1 is updated",
    "upd-010": "Calico creates p1 beside default.p1; here default.p1 is updated",
}


@pytest.mark.parametrize("row", UPDATED, ids=by_id)
def test_an_update_means_what_calicos_means(row):
    resource, name = parse(row["doc"]), row["key"].rpartition("/")[2]
    codec = CODECS[resource.KIND]
    before = stored(resource.KIND, row["before"], name) if row["before"] else None
    value = codec.encode(resource, before, UID, TIME)
    expected = row["after"]
    if name != resource.name:
        (expected,) = [text for key, text in row["others"].items() if key.endswith("/" + resource.name)]
    after = stored(resource.KIND, value, name)
    written = decode(resource.KIND, put_in(expected), resource.name)
    assert changed_fields(after.resource, written) == []
    assert changed_fields(after.beside(resource), resource) == []
    assert (value == put_in(expected)) == (row["id"] not in DIFFERENT), DIFFERENT.get(row["id"])
    assert codec.encode(resource, after) == value


def test_each_listed_difference_is_a_row():
    assert set(DIFFERENT) <= set(map(by_id, UPDATED))


# Reading

READ = [row for row in rows("v3_policies_read") if row["value"] is not None]
# The objects that Calico shows and that cannot be managed.
NOT_READ = {
    "rd-012": "its name is q, not p1 as in the key",
    "rd-032": "its name is q, not p1 as in the key",
    "rd-033": "its name is q, not p1 as in the key",
    "rd-061": "metadata.name is missing",
}


@pytest.mark.parametrize("row", READ, ids=by_id)
def test_a_stored_value_is_read_as_calico_shows_it(row):
    kind, name = row["kind"], row["key"].rpartition("/")[2]
    shown = row["get"][name]
    found = stored(kind, row["value"], name)
    assert bool(found.error) == ("error" in shown or row["id"] in NOT_READ)
    if found.error:
        assert NOT_READ.get(row["id"], "") in found.error
        return
    read = found.resource
    options = read.as_options()
    metadata = shown["metadata"]
    assert (options["name"], options["labels"]) == (metadata["name"], metadata.get("labels", {}))
    assert found.annotations == metadata.get("annotations", {})
    assert options["spec"] == shown["spec"]


@pytest.mark.parametrize("row", [row for row in READ if row["id"] not in NOT_READ], ids=by_id)
def test_what_is_written_over_a_value_reads_as_declared(row):
    kind, name = row["kind"], row["key"].rpartition("/")[2]
    before = stored(kind, row["value"], name)
    resource = before.resource.patched({"labels": {"z": "9"}}) if not before.error else TYPES[kind](name=name)
    after = stored(kind, CODECS[kind].encode(resource, before, UID, TIME), name)
    assert changed_fields(after.resource, resource) == []
    assert CODECS[kind].encode(resource, after) == after.value
    written = json.loads(after.value)["metadata"]
    assert written["name"] == (name if not before.error else resource.name)


def test_of_two_names_each_is_read():
    (row,) = [row for row in READ if row["id"] == "rd-003"]
    found = decode(row["kind"], row["value"], "default.p1")
    assert found.name == "p1"
    with pytest.raises(Misnamed):
        decode(row["kind"], row["value"], "p2")
    with pytest.raises(Misnamed):
        decode(row["kind"], row["value"].replace('"tier":"default"', '"tier":"sec"'), "default.p1")


# What the rows do not have

POLICY = GlobalNetworkPolicy(name="p1", spec=read_spec("GlobalNetworkPolicy", {"ingress": [{"action": "Allow"}]}))


def test_what_is_not_managed_is_kept_at_every_level():
    value = (
        '{"x":1.0,"metadata":{"name":"default.p1","generateName":"g","uid":"u","generation":3,"finalizers":["f"],'
        '"creationTimestamp":"2020-01-02T03:04:05Z","labels":{"old":"1"},"annotations":{"a":"b"},"foo":null,'
        '"ownerReferences":[{"apiVersion":"v1","kind":"K","name":"n","uid":"o"}]},"SPEC":{"bar":[1E5],'
        '"ingress":[{"action":"Deny","y":1},{"action":"Allow","baz":2,"destination":{"qux":"<"}}]}}'
    )
    assert CODECS["GlobalNetworkPolicy"].encode(POLICY, stored("GlobalNetworkPolicy", value, "default.p1")) == (
        '{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"default.p1",'
        '"generateName":"g","uid":"u","generation":3,"creationTimestamp":"2020-01-02T03:04:05Z",'
        '"labels":{"projectcalico.org/tier":"default"},"annotations":{"a":"b",'
        '"projectcalico.org/metadata":"{\\"name\\":\\"p1\\"}"},'
        '"ownerReferences":[{"apiVersion":"v1","kind":"K","name":"n","uid":"o"}],"finalizers":["f"],"foo":null},'
        '"spec":{"tier":"default","ingress":[{"action":"Allow","source":{},"destination":{"qux":"\\u003c"},"baz":2}],'
        '"types":["Ingress"],"bar":[1E5]},"x":1.0}'
    )


LOOK_ALIKES = [
    # Stored rules by letter, with a field that Go does not know where it has a number; rules that are declared.
    ("a a1", "a a", "a a1"),
    ("a1 a", "a a", "a1 a"),
    ("a1 b a2 a", "b a a a", "b a1 a2 a"),
    # A change, an insertion or a deletion at one place.
    ("a b a1", "c b a", "c b a1"),
    ("a a1", "b a a", "b a a1"),
    ("a b a1", "a c b a", "a c b a1"),
    ("a b1 a1", "a a", "a a1"),
    # One stored rule is not copied to several, and one that is gone leaves nothing.
    ("a1", "a a a", "a1 a a"),
    ("b1 c", "a a", "a a"),
    ("a1 b2 c3", "c b a", "c3 b2 a1"),
    ("", "a", "a"),
]


@pytest.mark.parametrize("before, declared, after", LOOK_ALIKES)
def test_unknown_fields_of_a_rule_stay_with_it_among_rules_that_look_alike(before, declared, after):
    def rules(text):
        return [
            {"action": "Allow", "protocol": each[0], "source": {"domains": each[1:]} if each[1:] else {}}
            for each in text.split()
        ]

    spec = {"order": 5.0, "ingress": [{"action": "Allow", "protocol": each} for each in declared.split()]}
    policy = GlobalNetworkPolicy(name="p1", spec=read_spec("GlobalNetworkPolicy", spec))
    value = json.dumps({"metadata": {"name": "p1"}, "spec": {"ingress": rules(before)}})
    found = json.loads(CODECS["GlobalNetworkPolicy"].encode(policy, stored("GlobalNetworkPolicy", value, "p1")))
    assert [dict(rule, destination={}) for rule in rules(after)] == found["spec"]["ingress"]


def test_the_status_of_a_tier_is_kept():
    status = '{"conditions":[{"type":"x","lastTransitionTime":null}],"y":1}}'
    value = '{"metadata":{"name":"t","uid":"u","creationTimestamp":"2020-01-02T03:04:05Z"},"Status":' + status
    found = CODECS["Tier"].encode(TierResource(name="t", spec={"order": 0.00001}), stored("Tier", value, "t"))
    assert found.endswith('"spec":{"order":0.00001,"defaultAction":"Deny"},"status":' + status)


def test_what_calico_does_not_know_of_a_node_is_kept():
    value = (
        '{"x":1,"metadata":{"name":"n","uid":"u","creationTimestamp":"2020-01-02T03:04:05Z","labels":{"old":"1"}},'
        '"spec":{"y":[1E5],"bgp":{"asNumber":"64512"}},"status":{"podCIDRs":["10.0.0.0/24"],"z":null}}'
    )
    node = TYPES["Node"](name="n", spec=read_spec("Node", {"bgp": {"ipv4Address": "10.0.0.1/24"}}))
    assert CODECS["Node"].encode(node, stored("Node", value, "n")) == (
        '{"kind":"Node","apiVersion":"projectcalico.org/v3","metadata":{"name":"n","uid":"u",'
        '"creationTimestamp":"2020-01-02T03:04:05Z"},"spec":{"bgp":{"ipv4Address":"10.0.0.1/24"},"y":[1E5]},'
        '"status":{"podCIDRs":["10.0.0.0/24"],"z":null},"x":1}'
    )


def test_a_setting_of_felix_that_is_not_given_has_its_default_again():
    before = '{"metadata":{"name":"default"},"spec":{"failsafeInboundHostPorts":[],"ipv6Support":false,"new":1}}'
    resource = TYPES["FelixConfiguration"](name="default", spec={"failsafeOutboundHostPorts": []})
    written = CODECS["FelixConfiguration"].encode(resource, stored("FelixConfiguration", before, "default"), UID, TIME)
    assert written.endswith(
        '"spec":{"failsafeOutboundHostPorts":[],"nftablesMode":"Auto","bpfLogLevel":"",'
        '"bpfConnectTimeLoadBalancing":"TCP","bpfHostNetworkedNATWithoutCTLB":"Enabled","floatingIPs":"Disabled",'
        '"new":1}}'
    )


@pytest.mark.parametrize("value", ["", "null", "[]", '{"metadata":{"name":"p1"},"spec":{"order":"1"}}'])
def test_what_cannot_be_kept_is_replaced(value):
    codec = CODECS["GlobalNetworkPolicy"]
    new = codec.encode(POLICY, None, UID, TIME)
    assert codec.encode(POLICY, stored("GlobalNetworkPolicy", value, "p1"), UID, TIME) == new
    kept = stored("GlobalNetworkPolicy", new.replace('"spec":{', '"spec":{"x":1,'), "p1", "elsewhere")
    assert codec.encode(POLICY, kept, UID, TIME) == new


@pytest.mark.parametrize(
    "kind, value, reason",
    [
        ("Tier", '{"metadata":{"name":"n"},"spec":{"order":"1"}}', "spec.order is not a number"),
        ("Tier", '{"metadata":{"name":"n"},"status":1}', "status is not a mapping: 1"),
        ("Node", '{"metadata":{"name":"n"},"status":{"podCIDRs":[1]}}', "status.podCIDRs[0] is not a string: 1"),
        (
            "FelixConfiguration",
            '{"metadata":{"name":"n"},"spec":{"reportingInterval":""}}',
            "spec.reportingInterval is not a valid duration: ''",
        ),
        ("Tier", '{"metadata":{"name":"n"},"status":{"conditions":[1]}}', "status.conditions[0] is not a mapping: 1"),
        (
            "GlobalNetworkPolicy",
            '{"metadata":{"name":"n","annotations":{"projectcalico.org/metadata":"{\\"name\\":1}"}}}',
            "the annotation projectcalico.org/metadata cannot be read: name is not a string: 1",
        ),
        (
            "GlobalNetworkPolicy",
            '{"metadata":{"name":"n","annotations":{"projectcalico.org/metadata":"{}"}}}',
            "the annotation projectcalico.org/metadata replaces metadata.name, and has no name",
        ),
        (
            "Profile",
            '{"metadata":{"name":"n"},"spec":{"ingress":[{"source":{"ports":["9:1"]}}]}}',
            "spec.ingress[0].source.ports[0] is not a valid port range: '9:1'",
        ),
    ],
)
def test_a_value_that_calico_cannot_read_has_a_reason(kind, value, reason):
    with pytest.raises(ValueError) as error:
        decode(kind, value, "n")
    assert reason in str(error.value)
