# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes over the wire for a set: one read, only the writes that are needed, in their order."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.sets import (
    conditions,
    endpoint,
    hostendpoints,
    key_of,
    put_all,
    tree_of,
)
from tests.integration.tasks import HOSTS, READY, hostendpoint
from tests.integration.test_check_mode import FLAW, PRESENT, READINESS, STORED, prepare

FEW = 16  # up to so many nodes are read one by one, and so many changes written one by one


@pytest.fixture(autouse=True)
def calico(etcd):
    etcd.put(READY, "true")


def keys_of(requests):
    return sorted(request.key for request in requests)


def directories(nodes):
    return ["%s/%s/endpoint" % (HOSTS, node) for node in nodes]


def assert_reads(wire, keys):
    """Each of them once, and nothing else but the state of the datastore, over one connection."""
    assert keys_of(wire.requests) == sorted([READY, *keys])
    assert wire.writes == [] and wire.connections == 1
    wire.clear()


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_one_read_when_there_is_nothing_to_do(etcd, wire, check):
    many = [endpoint("n%d" % number, name) for number in range(FEW + 1) for name in ("eth0", "eth1")]
    put_all(etcd, tree_of(many))
    for several, keys in (
        (many[:1], [key_of("n0")]),
        (many[:2], directories(["n0"])),
        (many[:6], directories(["n0", "n1", "n2"])),
        (many[: 2 * FEW], directories("n%d" % number for number in range(FEW))),
        (many, [HOSTS]),
    ):
        result = hostendpoints(wire, check=check, endpoints=several)
        assert (result["changed"], result["changes"]) == (False, [])
        assert result["summary"] == {"created": 0, "updated": 0, "deleted": 0, "unchanged": len(several)}
        assert_reads(wire, keys)


def test_the_purged_nodes_are_in_the_one_read(etcd, wire):
    options = {"endpoints": [endpoint("n1"), endpoint("n2")], "owner": "me", "purge": "owned", "check": True}
    hostendpoints(wire, purge_nodes=["n2", "n3", "n3"], decommission_nodes=["n4"], **options)
    assert_reads(wire, directories(["n1", "n2", "n3", "n4"]))
    hostendpoints(wire, purge_nodes=["x%d" % number for number in range(FEW - 2)], **options)
    assert len(wire.requests) == FEW + 1
    wire.clear()
    hostendpoints(wire, purge_nodes=["x%d" % number for number in range(FEW - 1)], **options)
    assert_reads(wire, [HOSTS])
    hostendpoints(wire, **{**options, "purge": "all", "endpoints": [], "purge_nodes": ["n1"]})
    assert_reads(wire, directories(["n1"]))


def test_without_a_purge_the_purged_nodes_are_not_read(wire):
    hostendpoints(wire, endpoints=[endpoint("n1")], purge_nodes=["n2"], check=True)
    assert_reads(wire, [key_of("n1")])


def test_an_empty_set_without_a_purge_is_nothing_to_do(wire):
    result = hostendpoints(wire, endpoints=[])
    assert (result["failed"], result["changed"]) == (False, False)
    assert wire.writes == [] and len(wire.requests) <= 1


@pytest.mark.parametrize("size", [2, 20], ids=["one connection", "several connections"])
def test_the_order_of_the_writes(etcd, wire, size):
    """All creates, then all updates, then all deletes; given the other way round."""
    nodes = ["n%02d" % number for number in range(size)]
    kept = [endpoint(node, "b", "x") for node in nodes]
    put_all(etcd, tree_of(kept + [endpoint(node, "a") for node in nodes]))
    wanted = [endpoint(node, "b", "y") for node in reversed(nodes)] + [endpoint(node, "c") for node in reversed(nodes)]
    options = {"endpoints": wanted, "purge": "all", "purge_nodes": nodes}
    predicted = hostendpoints(wire, check=True, **options)
    assert wire.writes == [] and etcd.tree(HOSTS) == tree_of(kept + [endpoint(node, "a") for node in nodes])
    wire.clear()
    result = hostendpoints(wire, **options)
    assert result == predicted
    assert etcd.tree(HOSTS) == tree_of(wanted)
    assert conditions(wire.writes) == ["create"] * size + ["update"] * size + ["delete"] * size
    order = [("create", "c"), ("update", "b"), ("delete", "a")]
    expected = [(operation, node, name) for operation, name in order for node in nodes]
    assert [(each["operation"], each["node"], each["name"]) for each in result["changes"]] == expected
    if size <= FEW:
        assert [request.key for request in wire.writes] == [key_of(node, name) for _kind, node, name in expected]
        assert wire.connections == 1
    else:
        assert 2 <= wire.connections <= 1 + 3 * 4
    wire.clear()
    assert not hostendpoints(wire, **options)["changed"] and wire.writes == []


@pytest.mark.parametrize("size", [3, 30])
def test_all_reads_are_before_the_first_write(wire, size):
    hostendpoints(wire, endpoints=[endpoint("n%d" % number) for number in range(size)])
    methods = [request.method for request in wire.requests]
    assert methods == ["GET"] * (len(methods) - size) + ["PUT"] * size


# The single module and this one

OTHERS = [endpoint("n1", "other"), endpoint("n2")]


def test_single_and_bulk_agree(etcd, wire):
    """The same endpoint through either: the same bytes, operation, fields, diff, warnings and messages."""
    seen = Counter()

    @settings(max_examples=150, deadline=None)
    @given(STORED, st.builds(lambda fields, flaw: {**fields, **flaw}, PRESENT, FLAW), READINESS, st.booleans())
    def agreement(stored, fields, ready, among_others):
        prepare(etcd, stored, ready)
        single = hostendpoint(wire, **fields)
        after_single = etcd.tree()

        prepare(etcd, stored, ready)
        others = OTHERS if among_others else []
        put_all(etcd, tree_of(others))
        bulk = hostendpoints(wire, diff=True, endpoints=[dict(fields, name="eth0", node="n1"), *others])
        assert etcd.tree() == {**after_single, **tree_of(others)}

        assert (single["failed"], single["warnings"]) == (bulk["failed"], bulk["warnings"])
        seen["failed" if single["failed"] else single["operation"]] += 1
        if single["failed"]:
            assert re.sub(r"endpoints\[0\]( \(eth0\))?: ", "", bulk["msg"]) == single["msg"]
            return
        assert bulk["changed"] == single["changed"]
        if single["operation"] == "none":
            assert (bulk["changes"], bulk["diff"]) == ([], [])
            return
        change = {"operation": single["operation"], "fields": single["fields"], "node": "n1", "name": "eth0"}
        assert (bulk["changes"], bulk["diff"]) == ([change], [single["diff"]])

    agreement()
    assert set(seen) == {"none", "create", "update", "failed"}


def test_a_loop_of_the_single_module_and_one_call_agree(etcd, wire):
    several = [
        endpoint("n%d" % (number % 7), "e%d" % number, expected_ips=["fd00::%x" % (number + 1)]) for number in range(30)
    ]
    several += [endpoint("n1", "a/b", labels={"x": "y"}, profiles=["p/q"])]
    singles = [hostendpoint(wire, **each) for each in several]
    tree = etcd.tree(HOSTS)
    assert tree == tree_of(several)
    etcd.delete(HOSTS, recursive=True, dir=True)
    bulk = hostendpoints(wire, endpoints=several)
    assert etcd.tree(HOSTS) == tree and bulk["summary"]["created"] == len(several)
    singles_fields = {(each["hostendpoint"]["node"], each["hostendpoint"]["name"]): each["fields"] for each in singles}
    assert {(each["node"], each["name"]): each["fields"] for each in bulk["changes"]} == singles_fields
    assert bulk["warnings"] == [warning for each in singles for warning in each["warnings"]]


def test_unknown_keys_are_kept(etcd):
    """Spelled as they were."""
    put_all(etcd, {key_of("n1"): '{"x": [1.0, 1e5], "name": "old", "Y":{"z" : null}}'})
    assert hostendpoints(etcd, endpoints=[endpoint("n1")])["summary"]["updated"] == 1
    assert etcd.get(key_of("n1")) == '{"name":"eth0","x": [1.0, 1e5],"Y":{"z" : null}}'


# A locked datastore


def test_a_locked_datastore(etcd, wire):
    etcd.put(READY, "false")
    put_all(etcd, tree_of([endpoint("n1")]))
    for check in (True, False):
        for options in (
            {"endpoints": [endpoint("n2")]},
            {"endpoints": [endpoint("n1", "eth0", "other")]},
            {"endpoints": [], "purge": "all", "purge_nodes": ["n1"]},
        ):
            result = hostendpoints(wire, check=check, **options)
            assert result["failed"] and "locked" in result["msg"] and READY in result["msg"]
        result = hostendpoints(wire, check=check, endpoints=[endpoint("n1")])
        assert not result["failed"] and "locked" in result["warnings"][0]
    assert wire.writes == []
