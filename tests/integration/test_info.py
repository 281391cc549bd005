# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is listed, what is not, and what is malformed."""

from __future__ import annotations

import pytest

from tests.integration.tasks import HOSTS, KEY, READY, hostendpoint, info

VALUE = '{"name":"eth0"}'
WORKLOAD = "/workload/k8s/default.pod/endpoint/eth0"
DEEP = "the key is one level too deep"


@pytest.fixture(autouse=True)
def calico(etcd):
    etcd.put(READY, "true")


def put(etcd, *keys, value=VALUE):
    """Values for keys beneath the hosts: "node name"."""
    for key in keys:
        etcd.put(HOSTS + "/" + key.replace(" ", "/endpoint/"), value)


def listed(result):
    return ["%(node)s %(name)s" % endpoint for endpoint in result["hostendpoints"]]


def malformed(result):
    return {each["key"][len(HOSTS) + 1 :].replace("/endpoint/", " "): each["error"] for each in result["malformed"]}


# All, and some


def test_an_endpoint_with_everything(etcd):
    value = (
        '{"labels":{"b":"2","a":""},"name":"eth0","expected_ipv6_addrs":["2001:DB8::1"],"x":1,'
        '"expected_ipv4_addrs":["10.0.0.2","10.0.0.1"],"profile_ids":["p2","p1"]}'
    )
    put(etcd, "n1 eth0", value=value)
    endpoint = {
        "name": "eth0",
        "node": "n1",
        "labels": {"a": "", "b": "2"},
        "interface_name": "eth0",
        "expected_ips": ["10.0.0.2", "10.0.0.1", "2001:db8::1"],
        "profiles": ["p2", "p1"],
    }
    result = info(etcd)
    assert (result["hostendpoints"], result["malformed"], result["warnings"]) == ([endpoint], [], [])
    assert result["changed"] is False


def test_sorted_by_node_and_name(etcd):
    keys = ["b x", "a z", "a.b c", "a b", "A z", "a a%2fb", "a a", "a-b c", "a a.b"]
    put(etcd, *keys)
    pairs = sorted(key.replace("%2f", "/").split() for key in keys)
    assert listed(info(etcd)) == [" ".join(pair) for pair in pairs]


def test_filters(etcd):
    put(etcd, "worker-1 eth0", "worker-1 eth1", "worker-10 eth0", "worker-10 eth10", "worker eth0", "xworker-1 eth0")
    assert listed(info(etcd, node="worker-1")) == ["worker-1 eth0", "worker-1 eth1"]
    assert listed(info(etcd, name="eth1")) == ["worker-1 eth1"]
    assert listed(info(etcd, name="eth0", node="worker-1")) == ["worker-1 eth0"]
    assert len(listed(info(etcd, name="eth0"))) == 4
    assert len(listed(info(etcd))) == 6
    for nothing in ({"node": "worker-"}, {"name": "eth"}, {"node": "Worker-1"}, {"node": "worker", "name": "eth1"}):
        result = info(etcd, **nothing)
        assert (result["hostendpoints"], result["malformed"], result["failed"]) == ([], [], False)


# An empty one is a variable that went wrong, and not a wish for all of them.
@pytest.mark.parametrize(
    "filters", [{"node": ""}, {"name": ""}, {"node": ".."}, {"node": "a/b"}, {"name": "."}, {"name": "a b"}], ids=str
)
def test_a_filter_that_no_endpoint_can_have(wire, filters):
    result = info(wire, **filters)
    (option,) = filters
    value = repr(filters[option]) if filters[option] else "is missing"
    assert result["failed"] and "%s: %s" % (option, value) in result["msg"]
    assert wire.requests == []


def test_malformed_values_are_filtered_too(etcd):
    put(etcd, "worker-1 eth0", "worker-10 eth0", "worker-1 eth1", value="[]")
    assert set(malformed(info(etcd))) == {"worker-1 eth0", "worker-10 eth0", "worker-1 eth1"}
    assert set(malformed(info(etcd, node="worker-1"))) == {"worker-1 eth0", "worker-1 eth1"}
    assert set(malformed(info(etcd, node="worker-1", name="eth1"))) == {"worker-1 eth1"}


def test_one_request_reads_them_all(wire, etcd):
    put(etcd, *["node%d eth%d" % (number % 7, number) for number in range(50)])
    assert len(info(wire)["hostendpoints"]) == 50
    assert sorted(request.key for request in wire.requests) == [READY, HOSTS]
    wire.clear()
    assert len(info(wire, node="node1")["hostendpoints"]) == 7
    assert sorted(request.key for request in wire.requests) == [READY, HOSTS + "/node1/endpoint"]
    assert {request.parameters.get("quorum") for request in wire.requests} == {"true"}
    assert wire.writes == []


# Names and keys


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
def test_names_are_unescaped(etcd, escaped, name):
    etcd.put("%s/n1/endpoint/%s" % (HOSTS, escaped), VALUE)
    assert listed(info(etcd)) == listed(info(etcd, node="n1")) == ["n1 " + name]


@pytest.mark.parametrize("name", ["a/b", "/", "a//b", "a/../b"])
def test_a_name_with_a_slash_to_and_fro(etcd, name):
    created = hostendpoint(etcd, name=name, interface_name="eth0")
    assert list(etcd.tree(HOSTS)) == [HOSTS + "/n1/endpoint/" + name.replace("/", "%2f")]
    assert info(etcd, name=name, node="n1")["hostendpoints"] == [created["hostendpoint"]]
    hostendpoint(etcd, name=name, state="absent")
    assert etcd.tree(HOSTS) == {}


def test_a_nested_key_is_malformed(etcd):
    put(etcd, "n1 a/b", "n1 a/c/d", "n1 a%2fb", "n2 a")
    for result in (info(etcd), info(etcd, node="n1")):
        assert "n1 a/b" in listed(result) and set(malformed(result)) == {"n1 a/b", "n1 a/c/d"}
        assert all(DEEP in error for error in malformed(result).values())
        assert len(result["warnings"]) == 2
        assert all(key in "\n".join(result["warnings"]) for key in (KEY[:-4] + "a/b:", KEY[:-4] + "a/c/d:"))


@pytest.mark.parametrize("nested", [True, False], ids=["with a value in it", "empty"])
@pytest.mark.parametrize("state", ["present", "patched", "absent"])
def test_a_directory_is_never_taken_for_the_endpoint(etcd, wire, state, nested):
    """What another tool stored beneath the endpoint's key is neither read, changed nor deleted in its place."""
    etcd.mkdir(KEY)
    if nested:
        put(etcd, "n1 eth0/other")
    before = etcd.tree(dirs=True)
    predicted, real = (hostendpoint(wire, state=state, check=check, interface_name="eth1") for check in (True, False))
    assert predicted == real
    assert etcd.tree(dirs=True) == before and wire.writes == []
    if state == "absent":
        assert real["failed"] or not real["changed"]
    else:
        assert real["failed"] and ("in etcd it is a directory" in real["msg"] or state == "patched")


def test_what_else_is_beneath_a_host(etcd):
    others = ["n1/metadata", "n1/config/InterfacePrefix", "n1" + WORKLOAD, "n2" + WORKLOAD, "n2/x/endpoint/eth9"]
    put(etcd, *others)
    etcd.put("/calico/v1/endpoint/eth0", VALUE)
    put(etcd, "n1 eth0")
    for result in (info(etcd), info(etcd, node="n1"), info(etcd, name="eth0")):
        assert (listed(result), result["malformed"], result["warnings"]) == (["n1 eth0"], [], [])
    result = info(etcd, node="n2")
    assert (result["hostendpoints"], result["malformed"], result["failed"]) == ([], [], False)


def test_a_value_in_the_place_of_a_host(etcd):
    """calicoctl writes it, told to create an endpoint named ".."."""
    put(etcd, "n1", "n2 eth0")
    assert listed(info(etcd)) == ["n2 eth0"]
    for result in (info(etcd, node="n1"), hostendpoint(etcd, interface_name="eth0")):
        assert result["failed"] and "/n1/endpoint" in result["msg"] and "not a directory" in result["msg"]


# Values


@pytest.mark.parametrize(
    "value, error",
    [
        ("", "not JSON"),
        ("eth0", "not JSON"),
        ('{"name":"eth0"', "not JSON"),
        ('{"name":"eth0","x":NaN}', "NaN is not JSON"),
        ("[" * 100000, "nested too deeply"),
        ('"eth0"', "not a JSON object"),
        ('{"name":5}', "name is not a text: 5"),
        ('{"NAME":[]}', "NAME is not a text: []"),
        ('{"labels":["a"]}', "labels is not a mapping"),
        ('{"labels":{"a":true}}', "labels[a] is not a text: True"),
        ('{"profile_ids":"p1"}', "profile_ids is not a list: 'p1'"),
        ('{"profile_ids":[1]}', "profile_ids is not a text: 1"),
        ('{"expected_ipv4_addrs":["10.0.0.0/8"]}', "'10.0.0.0/8' is not an IP address"),
        ('{"expected_ipv6_addrs":["fe80::1%eth0"]}', "'fe80::1%eth0' is not an IP address"),
        ('{"expected_ipv4_addrs":[167772161]}', "is not an IP address"),
    ],
    ids=lambda text: text[:40],
)
def test_values_that_calico_skips(etcd, value, error):
    put(etcd, "n1 eth1")
    put(etcd, "n1 eth0", value=value)
    result = info(etcd)
    assert listed(result) == ["n1 eth1"]
    assert list(malformed(result)) == ["n1 eth0"] and error in malformed(result)["n1 eth0"]
    (warning,) = result["warnings"]
    assert warning.startswith(KEY + ":") and "open" in warning and error in warning


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
def test_values_that_calico_reads(etcd, value, read):
    put(etcd, "n1 eth0", value=value)
    result = info(etcd)
    assert result["malformed"] == []
    (endpoint,) = result["hostendpoints"]
    for field in ("interface_name", "labels", "profiles"):
        assert endpoint[field] == read.get(field, type(endpoint[field])())


def test_many_malformed_values_are_a_few_warnings(etcd):
    put(etcd, *["n1 eth%02d" % number for number in range(25)], value="[]")
    result = info(etcd)
    assert len(result["malformed"]) == 25
    assert len(result["warnings"]) == 11 and "15 more" in result["warnings"][-1]


# Nothing


def test_an_empty_datastore(etcd):
    etcd.reset()
    for filters in ({}, {"node": "n1"}, {"name": "eth0"}):
        result = info(etcd, **filters)
        assert (result["failed"], result["hostendpoints"], result["malformed"]) == (False, [], [])
        (warning,) = result["warnings"]
        assert READY in warning and "etcd_endpoints" in warning
    assert etcd.tree(dirs=True) == {}


def test_the_directories_stay_after_the_last_delete(etcd):
    hostendpoint(etcd, interface_name="eth0")
    hostendpoint(etcd, state="absent")
    assert HOSTS + "/n1/endpoint" in etcd.tree(dirs=True)
    for filters in ({}, {"node": "n1"}):
        result = info(etcd, **filters)
        assert (result["hostendpoints"], result["malformed"], result["warnings"]) == ([], [], [])


def test_a_locked_datastore_is_read_with_a_warning(etcd):
    put(etcd, "n1 eth0")
    etcd.put(READY, "false")
    result = info(etcd)
    assert listed(result) == ["n1 eth0"]
    (warning,) = result["warnings"]
    assert "locked" in warning and READY in warning
