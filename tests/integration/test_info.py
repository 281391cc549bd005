# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is listed, what is not, and what is malformed."""

from __future__ import annotations

import json

import pytest

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.integration.sets import endpoint, key_of
from tests.integration.tasks import KEY, hostendpoint, info, one_etcd, only_etcdv2, only_etcdv3

HOSTS = "/calico/v1/host"
VALUE = '{"name":"eth0"}'
WORKLOAD = "/workload/k8s/default.pod/endpoint/eth0"
DEEP = "the key is one level too deep"


def put(datastore, *places):
    """Endpoints: "node name"."""
    datastore.put_all(datastore.tree_of(endpoint(*place.split()) for place in places))


def put_v1(datastore, *keys, value=VALUE):
    """Values for keys of etcdv2, beneath the hosts: "node name"."""
    datastore.put_all({HOSTS + "/" + key.replace(" ", "/endpoint/"): value for key in keys})


def listed(result):
    """["node name"], each name without its node's in front of it."""
    return [each["node"] + " " + each["name"][len(each["node"]) + 1 :] for each in result["hostendpoints"]]


def listed_v1(result):
    return ["%(node)s %(name)s" % each for each in result["hostendpoints"]]


def malformed_v1(result):
    return {each["key"][len(HOSTS) + 1 :].replace("/endpoint/", " "): each["error"] for each in result["malformed"]}


# All, and some


def test_an_endpoint_with_everything(datastore):
    wanted = {
        "name": "n1-eth0",
        "node": "n1",
        "labels": {"a": "", "b": "2"},
        "interface_name": "eth0",
        "expected_ips": ["10.0.0.2", "10.0.0.1", "2001:db8::1"],
        "profiles": ["p2", "p1"],
    }
    datastore.put_endpoint(wanted, more='"x":1')
    result = info(datastore)
    (found,) = result["hostendpoints"]
    assert found == (dict(wanted, ports=[]) if datastore.model == "v3" else wanted)
    assert (result["malformed"], result["warnings"], result["changed"]) == ([], [], False)


def test_sorted_by_node_and_name(datastore):
    places = ["b x", "a z", "a.b c", "a b", "c z", "a a.b", "a a", "a-b c"]
    put(datastore, *places)
    assert listed(info(datastore)) == [" ".join(pair) for pair in sorted(place.split() for place in places)]


def test_filters(datastore):
    put(
        datastore,
        "worker-1 eth0",
        "worker-1 eth1",
        "worker-10 eth0",
        "worker-10 eth10",
        "worker eth0",
        "xworker-1 eth0",
    )
    assert listed(info(datastore, node="worker-1")) == ["worker-1 eth0", "worker-1 eth1"]
    assert listed(info(datastore, name="worker-1-eth1")) == ["worker-1 eth1"]
    assert listed(info(datastore, name="worker-1-eth0", node="worker-1")) == ["worker-1 eth0"]
    assert len(listed(info(datastore))) == 6
    for nothing in ({"node": "worker-"}, {"name": "worker-1-eth"}, {"node": "worker", "name": "worker-1-eth1"}):
        if not nothing.get("node", "").endswith("-") or datastore.model == "v1":
            result = info(datastore, **nothing)
            assert (result["hostendpoints"], result["malformed"], result["failed"]) == ([], [], False)


@only_etcdv2
def test_a_name_on_several_nodes(datastore):
    put_v1(datastore, "worker-1 eth0", "worker-10 eth0", "Worker-1 eth0", "worker eth1")
    assert listed_v1(info(datastore, name="eth0")) == ["Worker-1 eth0", "worker-1 eth0", "worker-10 eth0"]
    assert listed_v1(info(datastore, node="Worker-1")) == ["Worker-1 eth0"]


# An empty one is a variable that went wrong, and not a wish for all of them.
@one_etcd
@pytest.mark.parametrize(
    "filters", [{"node": ""}, {"name": ""}, {"node": ".."}, {"node": "a/b"}, {"name": "."}, {"name": "a b"}], ids=str
)
def test_a_filter_that_no_endpoint_can_have(datastore, wire, filters):
    result = info(wire, **filters)
    (option,) = filters
    value = repr(filters[option]) if filters[option] else "is missing"
    assert result["failed"] and "%s: %s" % (option, value) in result["msg"]
    assert wire.requests == []


def test_malformed_values_are_filtered_too(datastore):
    keys = [key_of(datastore, *place) for place in (("worker-1", "eth0"), ("worker-10", "eth0"), ("worker-1", "eth1"))]
    for key in keys:
        datastore.put(key, datastore.malformed({"name": key.rpartition("/")[2], "node": "worker-1"}))

    def malformed(**filters):
        return sorted(each["key"] for each in info(datastore, **filters)["malformed"])

    assert malformed() == sorted(keys)
    # In Calico v3's data model, a value that cannot be read may be of any node.
    assert malformed(node="worker-1") == (sorted(keys) if datastore.model == "v3" else [keys[0], keys[2]])
    assert malformed(node="worker-1", name="worker-1-eth1") == keys[2:]


def test_one_request_reads_them_all(datastore, wire):
    put(datastore, *["node%d eth%d" % (number % 7, number) for number in range(50)])
    places = [datastore.hostendpoints, datastore.hostendpoints + "/node1/endpoint"]
    if datastore.model == "v3":
        places = [datastore.hostendpoints + ("/" if datastore.type == "etcdv3" else "")] * 2
    assert len(info(wire)["hostendpoints"]) == 50
    assert sorted(datastore.keys_read(wire)) == sorted([datastore.state_key, places[0]])
    wire.clear()
    assert len(info(wire, node="node1")["hostendpoints"]) == 7
    assert sorted(datastore.keys_read(wire)) == sorted([datastore.state_key, places[1]])
    if datastore.model == "v1":
        assert {request.parameters.get("quorum") for request in wire.requests} == {"true"}
    assert datastore.written(wire) == []


# Names and keys of etcdv2


@pytest.mark.parametrize(
    "escaped, name",
    [
        ("a%2fb", "a/b"),
        ("%2f%2f", "//"),
        ("a%252fb", "a%2fb"),
        ("100%25", "100%"),
        ("%25%2f", "%/"),
        ("a ä?#", "a ä?#"),
    ],
)
@only_etcdv2
def test_names_are_unescaped(datastore, escaped, name):
    datastore.put("%s/n1/endpoint/%s" % (HOSTS, escaped), VALUE)
    assert listed_v1(info(datastore)) == listed_v1(info(datastore, node="n1")) == ["n1 " + name]


@pytest.mark.parametrize("name", ["a/b", "/", "a//b", "a/../b"])
@only_etcdv2
def test_a_name_with_a_slash_to_and_fro(datastore, name):
    created = hostendpoint(datastore, name=name, interface_name="eth0")
    assert list(datastore.stored()) == [HOSTS + "/n1/endpoint/" + name.replace("/", "%2f")]
    assert info(datastore, name=name, node="n1")["hostendpoints"] == [created["hostendpoint"]]
    hostendpoint(datastore, name=name, state="absent")
    assert datastore.stored() == {}


@only_etcdv2
def test_a_nested_key_is_malformed(datastore):
    put_v1(datastore, "n1 a/b", "n1 a/c/d", "n1 a%2fb", "n2 a")
    for result in (info(datastore), info(datastore, node="n1")):
        assert "n1 a/b" in listed_v1(result) and set(malformed_v1(result)) == {"n1 a/b", "n1 a/c/d"}
        assert all(DEEP in error for error in malformed_v1(result).values())
        assert len(result["warnings"]) == 2
        assert all(
            key in "\n".join(result["warnings"]) for key in (HOSTS + "/n1/endpoint/a/b:", HOSTS + "/n1/endpoint/a/c/d:")
        )


@pytest.mark.parametrize("nested", [True, False], ids=["with a value in it", "empty"])
@pytest.mark.parametrize("state", ["present", "patched", "absent"])
@only_etcdv2
def test_a_directory_is_never_taken_for_the_endpoint(datastore, wire, state, nested):
    """What another tool stored beneath the endpoint's key is neither read, changed nor deleted in its place."""
    datastore.server.mkdir(KEY)
    if nested:
        put_v1(datastore, "n1 n1-eth0/other")
    before = datastore.server.tree(dirs=True)
    predicted, real = (hostendpoint(wire, state=state, check=check, interface_name="eth1") for check in (True, False))
    assert predicted == real
    assert datastore.server.tree(dirs=True) == before and datastore.written(wire) == []
    if state == "absent":
        assert real["failed"] or not real["changed"]
    else:
        assert real["failed"] and ("a directory in etcd" in real["msg"] or state == "patched")


@only_etcdv2
def test_what_else_is_beneath_a_host(datastore):
    others = ["n1/metadata", "n1/config/InterfacePrefix", "n1" + WORKLOAD, "n2" + WORKLOAD, "n2/x/endpoint/eth9"]
    put_v1(datastore, *others)
    datastore.put("/calico/v1/endpoint/eth0", VALUE)
    put_v1(datastore, "n1 eth0")
    for result in (info(datastore), info(datastore, node="n1"), info(datastore, name="eth0")):
        assert (listed_v1(result), result["malformed"], result["warnings"]) == (["n1 eth0"], [], [])
    result = info(datastore, node="n2")
    assert (result["hostendpoints"], result["malformed"], result["failed"]) == ([], [], False)


@only_etcdv2
def test_a_value_in_the_place_of_a_host(datastore):
    """calicoctl writes it, told to create an endpoint named ".."."""
    put_v1(datastore, "n1", "n2 eth0")
    assert listed_v1(info(datastore)) == ["n2 eth0"]
    for result in (info(datastore), info(datastore, node="n1")):
        assert [(each["key"], "directory" in each["error"]) for each in result["malformed"]] == [(HOSTS + "/n1", True)]
    result = hostendpoint(datastore, interface_name="eth0")
    assert result["failed"] and "/n1/endpoint" in result["msg"] and "not a directory" in result["msg"]


# Values


def annotated(text):
    """An object with Calico's metadata in such an annotation."""
    metadata = {"annotations": {"projectcalico.org/metadata": text}}
    return json.dumps({"metadata": metadata, "spec": {"node": "n1", "interfaceName": "eth0"}})


ANOTHER_NAME = "its annotation gives it the name n1-eth1"
# What the warning of an error says, unless it is that the interface is open.
EFFECTS = {
    ANOTHER_NAME: "Felix accepts it under that name",
    **dict.fromkeys(("300", "-1"), "Calico's clients and Felix cannot list any host endpoint"),
}


@one_etcd
@pytest.mark.parametrize(
    "datastore_type, value, error",
    [
        *[
            (datastore_type, value, error)
            for datastore_type in ("etcdv2", "etcdv3")
            for value, error in (
                ("", "not JSON"),
                ("eth0", "not JSON"),
                ('{"name":"eth0"', "not JSON"),
                ('{"name":"eth0","x":NaN}', "NaN is not JSON"),
                ("[" * 100000, "nested too deeply"),
            )
        ],
        ("etcdv2", '"eth0"', "not a JSON object"),
        ("etcdv2", '{"name":5}', "name is not a string: 5"),
        ("etcdv2", '{"NAME":[]}', "NAME is not a string: []"),
        ("etcdv2", '{"labels":["a"]}', "labels is not a mapping"),
        ("etcdv2", '{"labels":{"a":true}}', "labels[a] is not a string: True"),
        ("etcdv2", '{"profile_ids":"p1"}', "profile_ids is not a list: 'p1'"),
        ("etcdv2", '{"profile_ids":[1]}', "profile_ids is not a string: 1"),
        ("etcdv2", '{"expected_ipv4_addrs":["10.0.0.0/8"]}', "'10.0.0.0/8' is not an IP address"),
        ("etcdv2", '{"expected_ipv6_addrs":["fe80::1%eth0"]}', "'fe80::1%eth0' is not an IP address"),
        ("etcdv2", '{"expected_ipv4_addrs":[167772161]}', "is not an IP address"),
        ("etcdv3", '"eth0"', "the value is not a mapping"),
        ("etcdv3", "{}", "metadata.name is missing, not n1-eth0 as in the key"),
        ("etcdv3", '{"metadata":{"name":"n1-eth1"}}', "metadata.name is n1-eth1, not n1-eth0 as in the key"),
        ("etcdv3", '{"metadata":{"name":"n1-eth0"}}', "spec.node is missing"),
        ("etcdv3", '{"metadata":{"labels":["a"]}}', "metadata.labels is not a mapping"),
        ("etcdv3", '{"metadata":{"labels":{"a":true}}}', "metadata.labels[a] is not a string: true"),
        ("etcdv3", '{"spec":{"interfaceName":5}}', "spec.interfaceName is not a string: 5"),
        ("etcdv3", '{"spec":{"profiles":"p1"}}', "spec.profiles is not a list"),
        ("etcdv3", '{"spec":{"expectedIPs":[1]}}', "spec.expectedIPs[0] is not a string: 1"),
        ("etcdv3", '{"spec":{"ports":[{"port":"ssh"}]}}', "spec.ports[0].port is not a whole number"),
        *[
            ("kubernetes-v1", annotated(text), error)
            for text, error in (
                ("", "projectcalico.org/metadata cannot be read: the value is not JSON"),
                ("[]", "projectcalico.org/metadata cannot be read"),
                ('{"labels":{"a":1}}', "labels[a] is not a string"),
                ('{"name":"n1-eth1"}', ANOTHER_NAME),
            )
        ],
        *[
            (name, '{"spec":{"node":"n1","ports":[{"name":"a","protocol":%s,"port":1}]}}' % number, number)
            for name in KUBERNETES_DATASTORES
            for number in ("300", "-1")
        ],
    ],
    ids=lambda text: text[:40],
)
def test_values_that_calico_skips(datastore, value, error):
    put(datastore, "n1 eth1")
    key = key_of(datastore, "n1")
    datastore.put(key, value)
    result = info(datastore)
    assert listed(result) == ["n1 eth1"]
    assert [each["key"] for each in result["malformed"]] == [key]
    assert error in result["malformed"][0]["error"], result["malformed"]
    (warning,) = result["warnings"]
    assert warning.startswith(key + ":") and EFFECTS.get(error, "is open") in warning and error in warning


@pytest.mark.parametrize(
    "value, read",
    [
        ("null", {}),
        (' {"name" : "eth0"} ', {"interface_name": "eth0"}),
        ('{"nAmE":"eth0"}', {"interface_name": "eth0"}),
        ('{"name":"eth0","name":"eth1"}', {"interface_name": "eth1"}),
        ('{"name":null,"labels":null,"profile_ids":[null]}', {"profiles": [""]}),
        ('{"labels":{"a":null}}', {"labels": {"a": ""}}),
        # Go does not look into what it skips.
        ('{"name":"eth0","x":1e400}', {"interface_name": "eth0"}),
        # calicoctl v1.6.5 itself writes an empty address (a row of v1_hostendpoint.jsonl).
        ('{"name":"eth0","expected_ipv6_addrs":[""]}', {"interface_name": "eth0"}),
        ('{"name":"eth0","expected_ipv4_addrs":[null]}', {"interface_name": "eth0"}),
        # Go adds to a map that it has read already.
        ('{"labels":{"a":"1"},"Labels":{"b":"2"}}', {"labels": {"a": "1", "b": "2"}}),
    ],
    ids=lambda text: text if isinstance(text, str) else "",
)
@only_etcdv2
def test_values_that_calico_reads(datastore, value, read):
    put_v1(datastore, "n1 eth0", value=value)
    result = info(datastore)
    assert result["malformed"] == []
    (endpoint,) = result["hostendpoints"]
    for field in ("interface_name", "labels", "profiles"):
        assert endpoint[field] == read.get(field, type(endpoint[field])())


def test_many_malformed_values_are_a_few_warnings(datastore):
    for each in (endpoint("n1", "eth%02d" % number) for number in range(25)):
        datastore.put(datastore.key(each["node"], each["name"]), datastore.malformed(each))
    result = info(datastore)
    assert len(result["malformed"]) == 25
    assert len(result["warnings"]) == 11 and "15 more" in result["warnings"][-1]


# Nothing


def test_an_empty_datastore(datastore):
    datastore.delete(datastore.state_key)
    before = datastore.revision()
    for filters in ({}, {"node": "n1"}, {"name": "eth0"}):
        result = info(datastore, **filters)
        assert (result["failed"], result["hostendpoints"], result["malformed"]) == (False, [], [])
        (warning,) = result["warnings"]
        hint = "check the cluster" if datastore.type == "kubernetes" else "etcd_endpoints"
        assert datastore.state_key in warning and hint in warning
    assert datastore.revision() == before


def test_nothing_is_left_after_the_last_delete(datastore):
    """On etcdv2, directories are."""
    hostendpoint(datastore, interface_name="eth0")
    hostendpoint(datastore, state="absent")
    for filters in ({}, {"node": "n1"}):
        result = info(datastore, **filters)
        assert (result["hostendpoints"], result["malformed"], result["warnings"]) == ([], [], [])


def test_a_locked_datastore_is_read_with_a_warning(datastore):
    put(datastore, "n1 eth0")
    datastore.lock()
    result = info(datastore)
    assert listed(result) == ["n1 eth0"]
    (warning,) = result["warnings"]
    assert "locked" in warning and datastore.state_key in warning


@only_etcdv3
def test_an_object_of_another_name_than_its_key_is_taken_by_felix(datastore):
    datastore.put(datastore.key("n1", "n1-eth0"), '{"metadata":{"name":"n1-eth1"},"spec":{"node":"n1"}}')
    (warning,) = info(datastore)["warnings"]
    assert "Felix accepts it under that name: metadata.name is n1-eth1" in warning
    assert "is open" not in warning
