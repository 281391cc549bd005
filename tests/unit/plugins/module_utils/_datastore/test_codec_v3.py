# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Calico itself reads and writes, row by row, and what is read and written here."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from random import Random

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v3 import CODEC, decode, encode
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Absent, Patched, Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.fields import with_empty_labels
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint, Port
from ansible_collections.netsec.calico.plugins.module_utils._resources.manifest import parse_manifest

VECTORS = Path(__file__).resolve().parents[4] / "vectors"
UID, TIME = "11111111-2222-4333-8444-555555555555", "2020-01-02T03:04:05Z"
PREFIX = "/calico/resources/v3/projectcalico.org/hostendpoints/"


def rows(name):
    return {row["id"]: row for row in map(json.loads, (VECTORS / name).read_text(encoding="utf-8").splitlines())}


READ = rows("v3_read.jsonl")
UPDATES = rows("v3_update.jsonl")


def stored(value, name="h1", misplaced=""):
    return Stored(PREFIX + name, "7", value, "", name, CODEC, misplaced)


# Reading

# What Calico lists as an object, and what is none here: a part of the message.
NOT_READ = {
    "g-016": "metadata.name is missing",
    "g-022": "metadata.name is missing",
    "g-027": "spec.node is missing",
    "g-028": "spec.node is missing",
    "g-029": "spec.node is missing",
    "g-032": "metadata.name is missing",
    "g-036": "metadata.name is other, not h1 as in the key",
    "g-037": "metadata.name is H1, not h1 as in the key",
    "g-058": "spec.node is missing",
}


def value_of(row):
    return row["value"] if "value" in row else base64.b64decode(row["value_base64"]).decode("utf-8", "replace")


def read_by_calico(row):
    """What Get or, where it asked for another name, List returned, as far as it is managed here; None for an error."""
    found = row.get("get") or next(iter(row["list"]), None)
    if found is None:
        return None
    metadata = {key: value for key, value in found["metadata"].items() if key in ("name", "labels")}
    return {"apiVersion": V3.name, "kind": "HostEndpoint", "metadata": metadata, "spec": found["spec"]}


def as_resource(endpoint):
    resource = V3.build_manifest(endpoint)
    for port in resource["spec"].get("ports", []):
        port["protocol"] = int(port["protocol"]) if port["protocol"].isdigit() else port["protocol"]
    return resource


@pytest.mark.parametrize("row", READ.values(), ids=READ)
def test_what_is_read(row):
    expected, name = read_by_calico(row), row["key"][len(PREFIX) :]
    try:
        endpoint = decode(value_of(row), HostEndpoint(name=name, node="elsewhere"))
    except ValueError as exc:
        assert (expected is not None) == (row["id"] in NOT_READ)
        assert NOT_READ.get(row["id"], "") in str(exc)
        return
    assert row["id"] not in NOT_READ
    assert as_resource(endpoint) == expected


# A name that is empty cannot be wanted.
@pytest.mark.parametrize("row", [row for row in READ.values() if row["key"] != PREFIX], ids=lambda row: row["id"])
def test_what_is_written_over_what_is_stored_reads_as_it_was_wanted(row):
    """Of each row's value, Calico's own metadata stays as Calico reads it."""
    name = row["key"][len(PREFIX) :]
    endpoint = HostEndpoint(name=name, node="n9", interface_name="eth9", labels={"z": "9"})
    before = stored(value_of(row), name)
    after = encode(endpoint, before, uid=UID, now=TIME)
    assert decode(after, HostEndpoint(name=name)) == endpoint
    assert encode(endpoint, stored(after, name)) == after
    metadata = json.loads(after)["metadata"]
    read = (row.get("get") or {}).get("metadata", {})
    for key, default in (("uid", UID), ("creationTimestamp", TIME)):
        assert metadata[key] == read.get(key, default)
    for key in ("annotations", "ownerReferences", "finalizers", "namespace"):
        assert metadata.get(key) == read.get(key)


# Updating

# Why a row has another outcome here.
DIFFERENT = {
    "annotations are not managed here: they stay": ["u-01", "u-03", "u-40"],
    "and a manifest with annotations is refused": ["u-04"],
    "uid and creation time stay, whatever the manifest says": ["u-59"],
    "what cannot be read, or has no name, is replaced": ["u-22", "u-23", "u-24", "u-26", "u-37"],
    "state present creates what is not there": ["u-30", "u-35", "u-61"],
    "a manifest's resourceVersion is ignored: the store compares with the revision that was read": ["u-33", "u-54"],
    "state present changes what is there": ["u-36"],
}
REASONS = {row: reason for reason, listed in DIFFERENT.items() for row in listed}


def want(row):
    endpoint = HostEndpoint(**with_empty_labels(parse_manifest(row["doc"])))
    V3.check(endpoint)
    if row["action"] == "delete":
        return Absent(endpoint.ref)
    if row["action"] == "patch":
        labels = json.loads(row["patch"]).get("metadata", {}).get("labels", {})
        return Patched(endpoint.ref, {"labels": labels})
    return Present(endpoint)


def after(row):
    """What the key holds afterwards."""
    before = None if row["before"] is None else stored(row["before"])
    try:
        endpoint = want(row).resolve(before, V3)
    except InvalidInput:
        # It is refused.
        return row["before"]
    return endpoint and encode(endpoint, before, uid=UID, now=TIME)


@pytest.mark.parametrize("row", UPDATES.values(), ids=UPDATES)
def test_updates(row):
    assert (after(row) == row["after"]) == (row["id"] not in REASONS), REASONS.get(row["id"])


@pytest.mark.parametrize("row", DIFFERENT["annotations are not managed here: they stay"])
def test_all_but_the_annotations_is_as_calico_writes_it(row):
    row = UPDATES[row]
    annotations = json.loads(row["before"])["metadata"]["annotations"]
    text = '"annotations":' + json.dumps(dict(sorted(annotations.items())), separators=(",", ":")) + ","
    assert text in after(row) or text[:-1] + "}" in after(row)
    assert without_annotations(after(row)) == without_annotations(row["after"])


def without_annotations(value):
    return re.sub(r',"annotations":{[^}]*}', "", value)


def test_what_is_listed_as_different_is_a_row():
    assert set(REASONS) <= set(UPDATES) and set(NOT_READ) <= set(READ)


# What the rows do not have

FULL = HostEndpoint(
    name="h1",
    node="n1",
    labels={"b": "2", "a": "1", "example.com/c": ""},
    interface_name="*",
    expected_ips=("FE80::1", "10.0.0.2", "10.0.0.1", "10.0.0.1"),
    profiles=("p2", "p1"),
    ports=(Port("http", "TCP", 80), Port("dns", "17", 53), Port("x", "132", 65535)),
)
FULL_VALUE = (
    '{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"h1",'
    '"uid":"11111111-2222-4333-8444-555555555555","creationTimestamp":"2020-01-02T03:04:05Z",'
    '"labels":{"a":"1","b":"2","example.com/c":""}},"spec":{"node":"n1","interfaceName":"*",'
    '"expectedIPs":["FE80::1","10.0.0.2","10.0.0.1","10.0.0.1"],"profiles":["p2","p1"],'
    '"ports":[{"name":"http","protocol":"TCP","port":80},{"name":"dns","protocol":17,"port":53},'
    '{"name":"x","protocol":132,"port":65535}]}}'
)


def with_everything(metadata="", spec="", port="", top=""):
    """A value with more in it, as Calico would write it."""
    value = FULL_VALUE.replace('},"spec"', metadata + '},"spec"').replace('"port":80', '"port":80' + port)
    return value[:-2] + spec + "}" + top + "}"


def test_every_field_in_and_out():
    assert encode(FULL, uid=UID, now=TIME) == FULL_VALUE
    assert decode(FULL_VALUE, HostEndpoint(name="h1")) == FULL


@pytest.mark.parametrize(
    "endpoint",
    [
        FULL,
        FULL.patched({"interface_name": "", "ports": (), "profiles": ()}),
        HostEndpoint(name="h1", node="n1", interface_name="eth0"),
        HostEndpoint(name="a.b-c", node="n", expected_ips=("::",), ports=(Port("a", "SCTP", 1), Port("a", "6", 1))),
    ],
    ids=str,
)
def test_what_is_written_is_read_again(endpoint):
    value = encode(endpoint)
    assert decode(value, HostEndpoint(name=endpoint.name)) == endpoint
    assert encode(endpoint, stored(value, endpoint.name)) == value


PLAIN = encode(FULL.patched({"ports": ()}), uid=UID, now=TIME)
ODD = ['""', "null", "1", "{}", "[]", '"Labels"', '"x":1,', "\n", " ", r'"\u0041"', r'"\ud83d"', r'"\":"']
TOKENS = re.findall(r'"[^"]*"|.', PLAIN)


def outcome(value):
    try:
        return decode(value, HostEndpoint(name="h1"))
    except ValueError as exc:
        return re.sub("char [0-9]+|column [0-9]+", "", str(exc))


def mutated(seed):
    """The value with some of its tokens gone, doubled, swapped or made into something else."""
    random = Random(seed)
    tokens = list(TOKENS)
    for _change in range(random.randint(1, 3)):
        at, other = random.randrange(len(tokens)), random.randrange(len(tokens))
        kind = random.randrange(5)
        if kind == 0:
            tokens[at] = random.choice(ODD)
        elif kind == 1:
            tokens[at : at + 1] = tokens[other : other + random.randint(0, 4)]
        elif kind == 2:
            tokens[at:at] = tokens[other : other + random.randint(1, 12)]
        elif kind == 3:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        else:
            tokens[at] = tokens[at].swapcase()
    return "".join(tokens)


def test_the_short_way_to_read_reads_the_same():
    # Space before the value means nothing, and makes it go the long way.
    for seed in range(20000):
        value = mutated(seed)
        assert outcome(value) == outcome(" " + value), (seed, value)


def test_what_is_just_as_a_new_one_would_be_is_told_without_reading():
    assert stored(PLAIN).is_just(outcome(PLAIN)) and stored(FULL_VALUE).is_just(FULL)
    for seed in range(5000):
        value = mutated(seed)
        assert not stored(value).is_just(FULL)
        assert not stored(value).is_just(outcome(PLAIN)) or outcome(value) == outcome(PLAIN), value


@pytest.mark.parametrize("time", ["2020-02-30T03:04:05Z", "2020-01-02 03:04:05Z", "0001-01-01T00:00:00Z"])
def test_a_value_with_a_time_that_is_none_is_not_as_a_new_one(time):
    assert not stored(FULL_VALUE.replace(TIME, time)).is_just(FULL)


def test_leading_zeros_of_a_protocol_are_all_that_is_lost():
    endpoint = HostEndpoint(name="h1", node="n1", ports=(Port("a", "006", 1),))
    assert '"protocol":6,' in encode(endpoint)
    read = decode(encode(endpoint), HostEndpoint(name="h1"))
    assert read.ports == (Port("a", "6", 1),)
    assert read.canonical() == endpoint.canonical()


def test_a_new_object_has_an_identity_of_its_own():
    one, other = (json.loads(encode(FULL))["metadata"] for _turn in range(2))
    assert one["uid"] != other["uid"]
    assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one["uid"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["creationTimestamp"])


@pytest.mark.parametrize(
    "value",
    [FULL_VALUE]
    + [row["value"] for row in READ.values() if row["id"] in ("g-001", "g-116", "g-118")]
    + [row["after"] for row in UPDATES.values() if row["ok"] and row["after"]]
    + [
        with_everything(',"annotations":{"a":"\\u003c\\u0026\\u003e \\u2028 é 😀","b":"{\\"x\\":[1]}"}'),
        with_everything(
            ',"x":{"y":1.00000000000000000001}', ',"z":[1e300,-0.0,null]', ',"é":[]', ',"w":12345678901234'
        ),
    ],
)
def test_an_endpoint_that_stays_the_same_keeps_its_bytes(value):
    assert encode(decode(value, HostEndpoint(name="h1")), stored(value)) == value


def test_what_is_not_managed_stays_at_every_level():
    value = (
        '{ "Status": {"a":[1E5, {"b":1.0}], "a":2}, "KIND":"x", "Spec":{"NODE":"n0","bar":"<","ports":['
        '{"name":"a","protocol":6,"port":1,"baz":123456789012345678901234567890},{"name":"b","foo":1}],"profiles":["p"]},'
        '"metadata":{"name":"h1","generation":4,"foo":null,"resourceVersion":"9","SelfLink":"/x","UID":"u",'
        '"creationTimestamp":"2020-01-02T05:04:05.5+02:00","labels":{"old":"1"}},"spec":{"Bar":2}}'
    )
    endpoint = HostEndpoint(
        name="h1", node="n1", interface_name="eth0", ports=(Port("a", "TCP", 1), Port("b", "TCP", 2))
    )
    assert encode(endpoint, stored(value)) == (
        '{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"h1","uid":"u","generation":4,'
        '"creationTimestamp":"2020-01-02T03:04:05Z","foo":null},"spec":{"node":"n1","interfaceName":"eth0","ports":['
        '{"name":"a","protocol":"TCP","port":1,"baz":123456789012345678901234567890},'
        '{"name":"b","protocol":"TCP","port":2}],"bar":"\\u003c","Bar":2},"Status":{"a":[1E5,{"b":1.0}],"a":2}}'
    )


@pytest.mark.parametrize("unknown", [[{}, {"x": 1}], [{"x": 1}, {}], [{"x": 1}, {"y": 2}]])
def test_unknown_fields_of_a_port_stay_with_it_among_equal_ports(unknown):
    ports = [{"name": "a", "protocol": "TCP", "port": 1, **each} for each in unknown]
    value = json.dumps({"metadata": {"name": "h1"}, "spec": {"node": "n1", "ports": ports}})
    endpoint = HostEndpoint(name="h1", node="n1", interface_name="eth0", ports=(Port("a", "TCP", 1),) * 3)
    found = json.loads(encode(endpoint, stored(value)))["spec"]["ports"]
    assert found == [*ports, {"name": "a", "protocol": "TCP", "port": 1}]


def test_what_breaks_calicoctl_is_put_right():
    value = '{"metadata":{"name":"other","uid":null,"annotations":{"x":"1"}},"spec":{"node":"n1","y":1}}'
    assert encode(HostEndpoint(name="h1", node="n1", interface_name="eth0"), stored(value), uid=UID, now=TIME) == (
        '{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"h1",'
        '"uid":"11111111-2222-4333-8444-555555555555","creationTimestamp":"2020-01-02T03:04:05Z",'
        '"annotations":{"x":"1"}},"spec":{"node":"n1","interfaceName":"eth0","y":1}}'
    )


@pytest.mark.parametrize(
    "value",
    ["", "null", "{}", "[]", "not json", '{"name":"eth0","profile_ids":["p"]}', FULL_VALUE.replace('"TCP"', "300")],
)
def test_what_cannot_be_kept_is_replaced(value):
    assert encode(FULL, stored(value), uid=UID, now=TIME) == FULL_VALUE


def test_what_is_misplaced_is_not_kept():
    assert encode(FULL, stored(with_everything(',"x":1'), misplaced="elsewhere"), uid=UID, now=TIME) == FULL_VALUE


@pytest.mark.parametrize(
    "value, reason",
    [
        ("{", "the value is not JSON: "),
        ("[" * 100000, "nested too deeply"),
        (with_everything(top=',"x":' + '{"a":[' * 60 + "]}" * 60), "nested too deeply"),
        (with_everything(top=',"x":1e400'), "the value is not JSON: 1e400 is too large"),
        ('"text"', 'the value is not a mapping: "text"'),
        ('{"metadata":{"labels":{"a":{"b":1}}}}', 'metadata.labels[a] is not a string: {"b":1}'),
        ('{"metadata":{"labels":[]}}', "metadata.labels is not a mapping: []"),
        ('{"metadata":{"creationTimestamp":"2020-13-02T03:04:05Z"}}', "metadata.creationTimestamp is not a time"),
        (
            '{"metadata":{"ownerReferences":[{"controller":1}]}}',
            "ownerReferences[0].controller is not true or false: 1",
        ),
        ('{"spec":{"profiles":{"a":1}}}', "spec.profiles is not a list"),
        ('{"spec":{"ports":[{"Port":65536}]}}', "spec.ports[0].port is not a whole number from 0 to 65535: 65536"),
        ('{"spec":{"ports":[{"port":' + "9" * 10000 + "}]}}", "spec.ports[0].port is not a whole number"),
    ],
)
def test_what_cannot_be_read_is_told(value, reason):
    with pytest.raises(ValueError) as error:
        decode(value, HostEndpoint(name="h1"))
    assert reason in str(error.value)
    assert len(str(error.value)) < 300


def test_brackets_in_a_text_are_no_nesting():
    value = with_everything(',"annotations":{"a":"' + "[" * 1000 + '\\""}')
    assert decode(value, HostEndpoint(name="h1")) == FULL


def test_half_a_character_is_none():
    value = with_everything(',"x":"\\ud83d"').replace('"b":"2"', '"b":"\\ud83d"')
    endpoint = decode(value, HostEndpoint(name="h1"))
    assert endpoint.labels["b"] == "\ufffd"
    assert json.loads(encode(endpoint, stored(value)))["metadata"]["x"] == "\ufffd"


def test_a_stored_address_that_is_none_can_be_compared():
    value = FULL_VALUE.replace("10.0.0.2", "bad").replace('"FE80::1",', '"","FE80::1",')
    endpoint = decode(value, HostEndpoint(name="h1"))
    assert endpoint.expected_ips == ("", "FE80::1", "bad", "10.0.0.1", "10.0.0.1")
    assert endpoint.canonical().expected_ips == ("", "bad", "10.0.0.1", "fe80::1")
