# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there already is not written again, however it is spelled; and what is not ours survives."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.harness.datastore import DATASTORES
from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES, KubernetesV1, KubernetesV3
from tests.integration.tasks import NAMED, hostendpoint, info, only_etcd, only_etcdv2

TASK = {
    "interface_name": "eth0",
    "expected_ips": ["192.168.0.1", "192.168.0.2", "2001:db8::1"],
    "labels": {"site": "a", "type": "production"},
    "profiles": ["p1", "p2"],
}
FULL = dict(NAMED, **TASK)
V1, V3 = (datastore(None).value(FULL) for datastore in DATASTORES.values())


def v1(**other):
    return json.dumps(dict(json.loads(V1), **other))


def v3(text=V3, **other):
    """Keys of the spec, but for those of the metadata."""
    content = json.loads(text)
    for key, part in other.items():
        content["metadata" if key in _OF_METADATA else "spec"][key] = part
    return json.dumps(content)


_OF_METADATA = ("labels", "annotations", "generation", "finalizers", "ownerReferences")


def on_kubernetes(datastore):
    """The same endpoint in an API of Kubernetes."""
    text = datastore(None).value(FULL)
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "11111111-2222-4333-8444-555555555555"}
    return {
        "other address spelling and order": v3(text, expectedIPs=["2001:0DB8:0:0:0::1", "192.168.0.2", "192.168.0.1"]),
        "duplicate addresses": v3(text, expectedIPs=[*TASK["expected_ips"], "2001:db8:0::1"]),
        "IPv4-mapped addresses": v3(text, expectedIPs=["::ffff:c0a8:2", "2001:db8::1", "::FFFF:192.168.0.1"]),
        "no ports": v3(text, ports=[]),
        "annotations": v3(text, annotations={"a": "b"}),
        "a finalizer": v3(text, finalizers=["example.com/x"]),
        "an owner": v3(text, ownerReferences=[owner]),
    }


def with_metadata(text, **other):
    """With Calico's own annotation."""
    return v3(KubernetesV1(None).value(FULL), annotations={"projectcalico.org/metadata": text}, **other)


def reversed_keys(text):
    return json.dumps(dict(reversed(list(json.loads(text).items()))))


# The same endpoint, as people, other tools and other versions may have written it.
SPELLINGS = {
    "etcdv2": {
        "spaces": v1(),
        "other key order": reversed_keys(V1),
        "other label order": v1(labels={"type": "production", "site": "a"}),
        "other address spelling": v1(expected_ipv6_addrs=["2001:0DB8:0:0:0::1"]),
        "other address order": v1(expected_ipv4_addrs=["192.168.0.2", "192.168.0.1"]),
        "duplicate addresses": v1(expected_ipv6_addrs=["2001:db8::1", "2001:db8:0::1", "2001:db8::1"]),
        "IPv4-mapped addresses": v1(
            expected_ipv4_addrs=["192.168.0.1"],
            expected_ipv6_addrs=["::ffff:c0a8:2", "2001:db8::1", "::FFFF:192.168.0.1"],
        ),
        "families swapped": V1.replace("ipv4", "ipvX").replace("ipv6", "ipv4").replace("ipvX", "ipv6"),
        "other key case": V1.replace("name", "Name").replace("labels", "LABELS").replace("_ids", "_IDs"),
        "unknown keys": v1(x=1, ports=[{"name": "ssh"}], profile_id="p0"),
        "escaped text": V1.replace("eth0", "\\u0065th0").replace("production", "produc\\u0074ion"),
    },
    "etcdv3": {
        "spaces": v3(),
        "other key order": reversed_keys(V3),
        "other label order": v3(labels={"type": "production", "site": "a"}),
        "other address spelling and order": v3(expectedIPs=["2001:0DB8:0:0:0::1", "192.168.0.2", "192.168.0.1"]),
        "duplicate addresses": v3(expectedIPs=[*TASK["expected_ips"], "2001:db8:0::1"]),
        "IPv4-mapped addresses": v3(expectedIPs=["::ffff:c0a8:2", "2001:db8::1", "::FFFF:192.168.0.1"]),
        "other key case": V3.replace("interfaceName", "InterfaceNAME").replace("labels", "LABELS"),
        "unknown and unmanaged keys": v3(x=1, annotations={"a": "b"}, generation=7),
        "no ports": v3(ports=[]),
        "escaped text": V3.replace("eth0", "\\u0065th0").replace("production", "produc\\u0074ion"),
        "neither uid nor time": V3.replace('"uid"', '"x"').replace('"creationTimestamp"', '"y"'),
    },
    "kubernetes-v1": {
        **on_kubernetes(KubernetesV1),
        "labels in the annotation": KubernetesV1(None).value_of_calico(FULL),
        "labels in both": with_metadata('{"labels":{"site":"a"}}', labels={"type": "production", "site": "b"}),
        "an annotation with keys in another case": with_metadata(json.dumps({"Labels": TASK["labels"]}), labels={}),
        "an annotation that is null": with_metadata("null"),
        "an annotation with its name": with_metadata('{"name":"%s","uid":"x","x":1}' % NAMED["name"]),
    },
    "kubernetes-v3": on_kubernetes(KubernetesV3),
}
# Endpoints with little in them.
SPARSE = {
    "etcdv2": {
        "empty": '{"name":"eth0","expected_ipv4_addrs":[],"expected_ipv6_addrs":[],"labels":{},"profile_ids":[]}',
        "null": '{"name":"eth0","expected_ipv4_addrs":null,"labels":null,"profile_ids":null}',
        "null label": '{"name":"eth0","labels":{"a":null}}',
    },
    "etcdv3": {
        "empty": v3(labels={}, expectedIPs=[], profiles=[], ports=[]),
        "null": v3(labels=None, expectedIPs=None, profiles=None, ports=None),
        "null label": v3(labels={"a": None}, expectedIPs=[], profiles=[]),
    },
    **{
        name: {"empty": v3(datastore(None).value(FULL), labels={}, expectedIPs=[], profiles=[], ports=[])}
        for name, datastore in KUBERNETES_DATASTORES.items()
    },
}


def each_of(spelled):
    """Parameters: the datastore type, and each text of it."""
    return pytest.mark.parametrize(
        "datastore_type, spelling",
        [
            pytest.param(kind, text, id="%s-%s" % (kind, name))
            for kind in spelled
            for name, text in spelled[kind].items()
        ],
    )


def assert_nothing_happens(datastore, wire, **options):
    """Nothing but reads on the wire, in check mode and in earnest."""
    before = datastore.revision()
    wire.clear()
    for check in (True, False):
        result = hostendpoint(wire, check=check, **options)
        assert not result["failed"], result["msg"]
        assert (result["changed"], result["operation"], result["fields"]) == (False, "none", [])
        assert result["diff"]["before"] == result["diff"]["after"]
    assert datastore.keys_read(wire) and datastore.written(wire) == []
    assert datastore.revision() == before
    return result


# The same task twice

# The fields of what is stored, and what is asked for.
WAYS = {
    "create": (None, TASK),
    "update": ({"interface_name": "eth1"}, TASK),
    "patch": (
        {"interface_name": "eth1", "profiles": ["p0"]},
        {"state": "patched", "labels": {"a": "1", "gone": None}},
    ),
    "delete": (TASK, {"state": "absent"}),
    "replace a malformed value": ("malformed", TASK),
    "create by an address only": (None, {"expected_ips": ["::ffff:10.0.0.1", "10.0.0.1", "FE80::1"]}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_task_twice(datastore, wire, way):
    stored, task = WAYS[way]
    if stored == "malformed":
        datastore.put(datastore.key(**NAMED), datastore.malformed(NAMED))
    elif stored:
        datastore.put_endpoint(dict(NAMED, **stored))
    result = hostendpoint(wire, **task)
    assert result["changed"] and len(datastore.written(wire)) == 1
    again = assert_nothing_happens(datastore, wire, **task)
    assert again["hostendpoint"] == result["hostendpoint"]
    assert info(wire)["hostendpoints"] == ([result["hostendpoint"]] if result["hostendpoint"] else [])


@only_etcd
def test_a_delete_takes_one_key_and_nothing_beneath_it(datastore, wire):
    datastore.put_endpoint(FULL)
    beneath = {datastore.key(**NAMED) + end: "x" for end in (("0",) if datastore.type == "etcdv2" else ("0", "/a"))}
    datastore.put_all(beneath)
    hostendpoint(wire, state="absent")
    assert datastore.written(wire) == [("delete", datastore.key(**NAMED))]
    assert datastore.stored() == beneath


def test_absent_without_anything_stored(datastore, wire):
    assert assert_nothing_happens(datastore, wire, state="absent")["hostendpoint"] is None
    assert datastore.stored(datastore.everything) == {datastore.state_key: datastore.ready}


# Stored otherwise


@each_of(SPELLINGS)
def test_what_is_equal_is_not_written(datastore, wire, spelling):
    assert spelling != datastore.value(FULL)
    datastore.put(datastore.key(**NAMED), spelling)
    assert_nothing_happens(datastore, wire, **TASK)
    assert_nothing_happens(datastore, wire, state="patched", **TASK)
    for field, value in TASK.items():
        assert_nothing_happens(datastore, wire, state="patched", **{field: value})


@pytest.mark.parametrize(
    "expected_ips",
    [
        ["2001:db8::1", "192.168.0.2", "192.168.0.1"],
        ["192.168.0.1", "192.168.0.2", "2001:DB8:0:0:0:0:0:1"],
        ["192.168.0.1", "192.168.0.2", "192.168.0.1", "2001:db8::1", "2001:db8::0.0.0.1"],
        ["::ffff:192.168.0.1", "::FFFF:c0a8:2", "2001:db8::1"],
    ],
    ids=str,
)
def test_given_otherwise(datastore, wire, expected_ips):
    datastore.put_endpoint(FULL)
    assert_nothing_happens(datastore, wire, **{**TASK, "expected_ips": expected_ips})


@each_of(SPARSE)
def test_empty_and_absent_are_the_same(datastore, wire, spelling):
    datastore.put(datastore.key(**NAMED), spelling)
    labels = {"a": ""} if '"a"' in spelling else {}
    assert_nothing_happens(datastore, wire, interface_name="eth0", labels=labels)
    assert_nothing_happens(datastore, wire, interface_name="eth0", labels=labels, expected_ips=[], profiles=[])
    assert_nothing_happens(datastore, wire, state="patched", labels={"b": None}, expected_ips=[], profiles=[])


def test_the_order_and_number_of_profiles_count(datastore):
    datastore.put_endpoint(FULL)
    # Kubernetes has no list of profiles with one of them twice.
    several = [["p2", "p1"], *([["p2", "p1", "p1"]] if datastore.type != "kubernetes" else [])]
    for profiles in several:
        result = hostendpoint(datastore, **{**TASK, "profiles": profiles})
        assert (result["operation"], result["fields"]) == ("update", ["profiles"])
        assert datastore.stored() == datastore.tree_of([dict(FULL, profiles=profiles)])


def test_present_empties_what_is_left_out(datastore):
    datastore.put_endpoint(FULL)
    result = hostendpoint(datastore, interface_name="eth0")
    assert result["fields"] == ["labels", "expected_ips", "profiles"]
    assert datastore.stored() == datastore.tree_of([dict(NAMED, interface_name="eth0")])


def test_patched_leaves_what_is_left_out(datastore):
    datastore.put_endpoint(FULL)
    result = hostendpoint(datastore, state="patched", labels={"site": None, "rack": 7}, expected_ips=[])
    assert result["fields"] == ["labels", "expected_ips"]
    expected = dict(FULL, expected_ips=[], labels={"rack": "7", "type": "production"})
    assert datastore.stored() == datastore.tree_of([expected])


# What is not ours

UNKNOWN = (
    '"x":{"deep":[1,-2.50,1e3,null,true,{"é":"\\u00e9 \\\\ < & \\u2028"}]},"ports":[{"name":"ssh","port":22}],'
    '"profile_id":"p0","id":123456789012345678901234567890,"":[],"y z":null'
)


def exactly(text):
    """Decoded with its numbers as they are."""
    return json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize("task", [dict(TASK), {"state": "patched", **TASK}], ids=["present", "patched"])
def test_unknown_keys_survive_an_update(datastore, task):
    datastore.put_endpoint(dict(NAMED, interface_name="eth1"), more=UNKNOWN)
    assert hostendpoint(datastore, **task)["operation"] == "update"
    written = datastore.get(datastore.key(**NAMED))
    if datastore.type == "kubernetes":
        assert written == datastore.value(FULL, more=UNKNOWN)
        return
    assert exactly(written) == {**exactly(datastore.value(FULL)), **exactly("{%s}" % UNKNOWN)}
    # Calico's own keys stay in Calico's own bytes, and first.
    assert written.startswith(datastore.value(FULL)[:-1] + ",")


@only_etcdv2
def test_a_key_in_another_case_is_not_an_unknown_one(datastore):
    """Go reads either, so that an old one beside the new one would count again."""
    key = datastore.key(**NAMED)
    datastore.put(key, '{"Name":"eth1","LABELS":{"a":"1"},"Profile_Ids":["p0"],"Expected_IPv4_Addrs":["10.0.0.1"]}')
    hostendpoint(datastore, **TASK)
    assert datastore.stored() == datastore.tree_of([FULL])


@only_etcdv2
@pytest.mark.parametrize("number", ["3.14159265358979323846264338327950288", "1e400", "-1E-400"])
def test_unknown_numbers_survive_or_the_update_is_refused(datastore, number):
    """Go does not look into what it skips, so Calico reads such a value, and must do so afterwards."""
    key, before = datastore.key(**NAMED), '{"name":"eth1","x":%s}' % number
    datastore.put(key, before)
    result = hostendpoint(datastore, interface_name="eth0")
    expected = before if result["failed"] else before.replace("eth1", "eth0")
    assert exactly(datastore.get(key)) == exactly(expected)


def test_nothing_survives_a_delete(datastore):
    datastore.put_endpoint(dict(NAMED, interface_name="eth1"), more=UNKNOWN)
    hostendpoint(datastore, state="absent")
    hostendpoint(datastore, **TASK)
    assert datastore.stored() == datastore.tree_of([FULL])
