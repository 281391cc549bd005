# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the wire for a set: one read, only the writes that are needed, in their order."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.sets import changes_of, endpoint, hostendpoints, key_of
from tests.integration.tasks import NAMED, hostendpoint, one_etcd, only_etcdv2, only_etcdv3, only_kubernetes
from tests.integration.test_check_mode import FLAW, PRESENT, READINESS, prepare, stored_in

# On etcdv2, up to so many nodes are read one by one, and so many changes written one by one.
FEW = 16


def directories(datastore, nodes):
    return ["%s/%s/endpoint" % (datastore.hostendpoints, node) for node in nodes]


def assert_reads(datastore, wire, keys):
    """Each of them once, and nothing else but the state of the datastore, over one connection."""
    assert sorted(datastore.keys_read(wire)) == sorted([datastore.state_key, *keys])
    assert datastore.written(wire) == [] and wire.connections == 1
    wire.clear()


@only_etcdv2
@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_one_read_when_there_is_nothing_to_do(datastore, wire, check):
    many = [endpoint("n%d" % number, name) for number in range(FEW + 1) for name in ("eth0", "eth1")]
    datastore.put_all(datastore.tree_of(many))
    for several, keys in (
        (many[:1], [key_of(datastore, "n0")]),
        (many[:2], directories(datastore, ["n0"])),
        (many[:6], directories(datastore, ["n0", "n1", "n2"])),
        (many[: 2 * FEW], directories(datastore, ["n%d" % number for number in range(FEW)])),
        (many, [datastore.hostendpoints]),
    ):
        result = hostendpoints(wire, check=check, endpoints=several)
        assert (result["changed"], result["changes"]) == (False, [])
        assert result["summary"] == {"created": 0, "updated": 0, "deleted": 0, "unchanged": len(several)}
        assert_reads(datastore, wire, keys)


@only_etcdv3
def test_one_read_of_a_few_keys_or_of_all(datastore, wire):
    many = [endpoint("n%d" % number) for number in range(129)]
    datastore.put_all(datastore.tree_of(many))
    prefix = datastore.hostendpoints + "/"
    for options, keys in (
        ({"endpoints": many[:1]}, [key_of(datastore, "n0")]),
        ({"endpoints": many[:128]}, [datastore.key(each["node"], each["name"]) for each in many[:128]]),
        ({"endpoints": many}, [prefix]),
        ({"endpoints": many[:1], "purge": "all", "purge_nodes": ["n0"]}, [prefix]),
        ({"endpoints": many[:1], "purge_nodes": ["n9"]}, [key_of(datastore, "n0")]),
    ):
        result = hostendpoints(wire, **options)
        assert (result["changed"], result["changes"]) == (False, [])
        # The version, the endpoints, and the state of the datastore.
        assert len(wire.requests) == 3
        assert_reads(datastore, wire, keys)


@only_kubernetes
def test_one_read_of_each_of_a_few_or_of_all(datastore, wire):
    """All are in one page here; a node is no selector."""
    many = [endpoint("n%d" % number) for number in range(33)]
    datastore.put_all(datastore.tree_of(many))
    for options, keys in (
        ({"endpoints": many[:1]}, [key_of(datastore, "n0")]),
        ({"endpoints": many[:32]}, [datastore.key(each["node"], each["name"]) for each in many[:32]]),
        ({"endpoints": many}, [datastore.hostendpoints]),
        ({"endpoints": many[:1], "purge": "all", "purge_nodes": ["n0"]}, [datastore.hostendpoints]),
        ({"endpoints": many[:1], "purge_nodes": ["n9"]}, [key_of(datastore, "n0")]),
    ):
        result = hostendpoints(wire, **options)
        assert (result["changed"], result["changes"]) == (False, [])
        assert len(wire.requests) == 1 + len(keys)
        assert_reads(datastore, wire, keys)


@only_etcdv2
def test_the_purged_nodes_are_in_the_one_read(datastore, wire):
    options = {"endpoints": [endpoint("n1"), endpoint("n2")], "owner": "me", "purge": "owned", "check": True}
    hostendpoints(wire, purge_nodes=["n2", "n3", "n3"], decommission_nodes=["n4"], **options)
    assert_reads(datastore, wire, directories(datastore, ["n1", "n2", "n3", "n4"]))
    hostendpoints(wire, purge_nodes=["x%d" % number for number in range(FEW - 2)], **options)
    assert len(wire.requests) == FEW + 1
    wire.clear()
    hostendpoints(wire, purge_nodes=["x%d" % number for number in range(FEW - 1)], **options)
    assert_reads(datastore, wire, [datastore.hostendpoints])
    hostendpoints(wire, **{**options, "purge": "all", "endpoints": [], "purge_nodes": ["n1"]})
    assert_reads(datastore, wire, directories(datastore, ["n1"]))


def test_without_a_purge_the_purged_nodes_are_not_read(datastore, wire):
    hostendpoints(wire, endpoints=[endpoint("n1")], purge_nodes=["n2"], check=True)
    assert_reads(datastore, wire, [key_of(datastore, "n1")])


def test_an_empty_set_without_a_purge_is_nothing_to_do(datastore, wire):
    result = hostendpoints(wire, endpoints=[])
    assert (result["failed"], result["changed"]) == (False, False)
    assert datastore.written(wire) == [] and len(datastore.keys_read(wire)) <= 1


@pytest.mark.parametrize("size", [2, 20], ids=["one connection", "several connections"])
def test_the_order_of_the_writes(datastore, wire, size):
    """All creates, then all updates, then all deletes; given the other way round."""
    nodes = ["n%02d" % number for number in range(size)]
    before = datastore.tree_of([endpoint(node, "b", "x") for node in nodes] + [endpoint(node, "a") for node in nodes])
    datastore.put_all(before)
    wanted = [endpoint(node, "b", "y") for node in reversed(nodes)] + [endpoint(node, "c") for node in reversed(nodes)]
    options = {"endpoints": wanted, "purge": "all", "purge_nodes": nodes}
    predicted = hostendpoints(wire, check=True, **options)
    assert datastore.written(wire) == [] and datastore.stored() == before
    wire.clear()
    result = hostendpoints(wire, **options)
    assert result == predicted
    assert datastore.stored() == datastore.tree_of(wanted)
    written = datastore.written(wire)
    assert [operation for operation, _key in written] == ["create"] * size + ["update"] * size + ["delete"] * size
    order = [("create", "c"), ("update", "b"), ("delete", "a")]
    expected = [(operation, node, name) for operation, name in order for node in nodes]
    assert changes_of(result) == expected
    if datastore.type == "kubernetes":
        keys = {key_of(datastore, node, name) for _kind, node, name in expected}
        assert {key for _operation, key in written} == keys and 2 <= wire.connections <= 1 + 8
    elif size <= FEW or datastore.type == "etcdv3":
        assert [key for _operation, key in written] == [key_of(datastore, node, name) for _kind, node, name in expected]
        assert wire.connections == 1
    else:
        assert 2 <= wire.connections <= 1 + 3 * 4
    wire.clear()
    assert not hostendpoints(wire, **options)["changed"] and datastore.written(wire) == []


@pytest.mark.parametrize("size", [3, 30])
def test_all_reads_are_before_the_first_write(datastore, wire, size):
    hostendpoints(wire, endpoints=[endpoint("n%d" % number) for number in range(size)])
    are_writes = [bool(datastore.operations(request)) for request in wire.requests]
    assert are_writes == sorted(are_writes) and len(datastore.written(wire)) == size


@only_etcdv3
def test_300_at_once_in_three_transactions(datastore):
    endpoints = [endpoint("n%d" % number) for number in range(300)]
    before = datastore.revision()
    assert hostendpoints(datastore, endpoints=endpoints)["summary"]["created"] == 300
    assert datastore.stored() == datastore.tree_of(endpoints) and datastore.revision() - before == 3
    assert hostendpoints(datastore, endpoints=endpoints)["changed"] is False


@only_etcdv3
def test_a_request_is_never_larger_than_etcd_takes(datastore):
    labels = {"k%04d" % number: "v" * 63 for number in range(1000)}
    result = hostendpoints(datastore, endpoints=[endpoint("n%d" % number, labels=labels) for number in range(40)])
    assert result["summary"]["created"] == 40, result


# The single module and this one

OTHERS = [endpoint("n1", "other"), endpoint("n2")]


def without_identity(diffs):
    """Diffs without what an API server sets when it stores an object, which the diff of an unreadable one shows."""
    return json.loads(re.sub(r'\\"(creationTimestamp|resourceVersion|uid)\\":\\"[^"]*\\"', "", json.dumps(diffs)))


@one_etcd
def test_single_and_bulk_agree(datastore, wire):
    """The same endpoint through either: the same bytes, operation, fields, diff, warnings and messages."""
    seen = Counter()
    # An API server takes longer to be emptied.
    examples = 40 if datastore.type == "kubernetes" else 100

    @settings(max_examples=examples)
    @given(
        stored_in(datastore.name),
        st.builds(lambda fields, flaw: {**fields, **flaw}, PRESENT, FLAW),
        READINESS,
        st.booleans(),
    )
    def agreement(stored, fields, ready, among_others):
        prepare(datastore, stored, ready)
        single = hostendpoint(wire, **fields)
        after_single = datastore.stored()

        prepare(datastore, stored, ready)
        others = OTHERS if among_others else []
        datastore.put_all(datastore.tree_of(others))
        bulk = hostendpoints(wire, diff=True, diff_style="full", endpoints=[dict(fields, **NAMED), *others])
        assert datastore.stored() == {**after_single, **datastore.tree_of(others)}

        assert (single["failed"], single["warnings"]) == (bulk["failed"], bulk["warnings"])
        seen["failed" if single["failed"] else single["operation"]] += 1
        if single["failed"]:
            assert re.sub(r"endpoints\[0\]: (n1-eth0: )?", "", bulk["msg"]) == single["msg"]
            return
        assert bulk["changed"] == single["changed"]
        if single["operation"] == "none":
            assert (bulk["changes"], bulk["diff"]) == ([], [])
            return
        change = dict(NAMED, operation=single["operation"], fields=single["fields"])
        assert bulk["changes"] == [change]
        assert without_identity(bulk["diff"]) == without_identity([single["diff"]])

    agreement()
    assert set(seen) == {"none", "create", "update", "failed"} or examples < 100 and len(seen) > 2


def test_a_loop_of_the_single_module_and_one_call_agree(datastore, wire):
    several = [
        endpoint("n%d" % (number % 7), "e%d" % number, expected_ips=["fd00::%x" % (number + 1)]) for number in range(30)
    ]
    several += [endpoint("n1", "a.b", labels={"x": "y"}, profiles=["p.q"])]
    singles = [hostendpoint(wire, **each) for each in several]
    tree = datastore.stored()
    assert tree == datastore.tree_of(several)
    datastore.reset()
    bulk = hostendpoints(wire, endpoints=several)
    assert datastore.stored() == tree and bulk["summary"]["created"] == len(several)
    singles_fields = {(each["hostendpoint"]["node"], each["hostendpoint"]["name"]): each["fields"] for each in singles}
    assert {(each["node"], each["name"]): each["fields"] for each in bulk["changes"]} == singles_fields
    assert bulk["warnings"] == [warning for each in singles for warning in each["warnings"]]


@only_etcdv2
def test_unknown_keys_are_kept(datastore):
    """Spelled as they were."""
    key = key_of(datastore, "n1")
    datastore.put(key, '{"x": [1.0, 1e5], "name": "old", "Y":{"z" : null}}')
    assert hostendpoints(datastore, endpoints=[endpoint("n1")])["summary"]["updated"] == 1
    assert datastore.get(key) == '{"name":"eth0","x": [1.0, 1e5],"Y":{"z" : null}}'


# A locked datastore


def test_a_locked_datastore(datastore, wire):
    datastore.lock()
    datastore.put_all(datastore.tree_of([endpoint("n1")]))
    for check in (True, False):
        for options in (
            {"endpoints": [endpoint("n2")]},
            {"endpoints": [endpoint("n1", "eth0", "other")]},
            {"endpoints": [], "purge": "all", "purge_nodes": ["n1"]},
        ):
            result = hostendpoints(wire, check=check, **options)
            assert result["failed"] and "locked" in result["msg"] and datastore.state_key in result["msg"]
        result = hostendpoints(wire, check=check, endpoints=[endpoint("n1")])
        assert not result["failed"] and "locked" in result["warnings"][0]
    assert datastore.written(wire) == []
