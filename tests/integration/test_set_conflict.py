# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other writers at some of a set's endpoints, between our read and our write."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count

import pytest

from tests.integration.sets import (
    CALICO_LABEL,
    MINE,
    OWNER_LABEL,
    changes_of,
    conditions,
    endpoint,
    hostendpoints,
    key_of,
    put_all,
    tree_of,
    value_of,
)
from tests.integration.tasks import HOSTS, READY

SIZES = [6, 30]


@pytest.fixture(autouse=True)
def calico(etcd):
    etcd.put(READY, "true")


def nodes_of(size):
    return ["n%02d" % number for number in range(size)]


def slip_in(wire, key, action, times=1):
    """The other one acts when our write to this key has come, and etcd has not seen it."""
    for method in ("PUT", "DELETE"):
        wire.before(method, action, path_contains="/v2/keys" + key, times=times)


def requests_by_key(wire, method):
    return Counter(request.key for request in wire.requests if request.method == method)


@pytest.mark.parametrize("size", SIZES)
def test_only_those_are_tried_again(etcd, wire, size):
    nodes = nodes_of(size)
    put_all(etcd, tree_of(endpoint(node, "eth0", "old") for node in nodes))
    met = [key_of(node) for node in nodes[1:4]]
    for key in met:
        slip_in(wire, key, partial(etcd.put, key, '{"name":"theirs","x":9}'))
    result = hostendpoints(wire, endpoints=[endpoint(node) for node in nodes])
    assert not result["failed"], result["msg"]
    expected = tree_of(endpoint(node) for node in nodes)
    expected.update(dict.fromkeys(met, '{"name":"eth0","x":9}'))
    assert etcd.tree(HOSTS) == expected
    assert result["summary"] == {"created": 0, "updated": size, "deleted": 0, "unchanged": 0}
    assert sorted(changes_of(result)) == [("update", node, "eth0") for node in nodes]
    assert set(conditions(wire.writes)) == {"update"}
    assert requests_by_key(wire, "PUT") == {key: 2 if key in met else 1 for key in expected}
    reads = requests_by_key(wire, "GET")
    assert {key: reads[key] for key in expected} == {key: int(key in met) for key in expected}


@pytest.mark.parametrize("size", SIZES)
def test_others_of_all_kinds(etcd, wire, size):
    """Create met by create, update by delete, delete by delete, and each by somebody who does our work."""
    nodes = nodes_of(size)
    put_all(etcd, tree_of(endpoint(node, name, "old") for node in nodes for name in ("b", "a")))
    wanted = [endpoint(node, name) for node in nodes for name in ("c", "b")]
    ours = tree_of(wanted)
    created, as_created = key_of(nodes[0], "c"), key_of(nodes[1], "c")
    deleted, as_updated = key_of(nodes[2], "b"), key_of(nodes[3], "b")
    gone = key_of(nodes[4], "a")
    slip_in(wire, created, partial(etcd.put, created, '{"name":"theirs"}'))
    slip_in(wire, as_created, partial(etcd.put, as_created, ours[as_created]))
    slip_in(wire, deleted, partial(etcd.delete, deleted))
    slip_in(wire, as_updated, partial(etcd.put, as_updated, ours[as_updated]))
    slip_in(wire, gone, partial(etcd.delete, gone))
    result = hostendpoints(wire, endpoints=wanted, purge="all", purge_nodes=nodes)
    assert not result["failed"], result["msg"]
    assert etcd.tree(HOSTS) == ours
    # What we did: the created one was updated, the deleted one created, three were done for us.
    expected = {("create", node, "c") for node in nodes} | {("update", node, "b") for node in nodes}
    expected |= {("delete", node, "a") for node in nodes}
    expected -= {("create", nodes[0], "c"), ("create", nodes[1], "c"), ("update", nodes[2], "b")}
    expected -= {("update", nodes[3], "b"), ("delete", nodes[4], "a")}
    expected |= {("update", nodes[0], "c"), ("create", nodes[2], "b")}
    assert sorted(changes_of(result)) == sorted(expected)
    counts = Counter(kind for kind, _node, _name in expected)
    summary = {"created": counts["create"], "updated": counts["update"], "deleted": counts["delete"]}
    # Of the set, that is; the purged one that was gone is none of it.
    assert result["summary"] == dict(summary, unchanged=2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({OWNER_LABEL: "other"}, id="another owner"),
        pytest.param({}, id="no owner"),
        pytest.param({**MINE, CALICO_LABEL: "x"}, id="Calico"),
        pytest.param(None, id="unreadable"),
    ],
)
def test_a_purged_endpoint_changes_hands(etcd, wire, size, labels):
    """It is not deleted; the others are."""
    nodes = nodes_of(size)
    put_all(etcd, tree_of(endpoint(node, labels=MINE) for node in nodes))
    key = key_of(nodes[1])
    value = "[]" if labels is None else value_of(endpoint(nodes[1], labels=labels))
    slip_in(wire, key, partial(etcd.put, key, value))
    result = hostendpoints(wire, endpoints=[], purge="owned", owner="me", purge_nodes=nodes)
    assert not result["failed"], result["msg"]
    assert etcd.tree(HOSTS) == {key: value}
    assert result["summary"] == {"created": 0, "updated": 0, "deleted": size - 1, "unchanged": 0}
    assert len(changes_of(result)) == size - 1


def test_a_purged_endpoint_that_changes_and_stays_ours(etcd, wire):
    put_all(etcd, tree_of([endpoint("n1", labels=MINE)]))
    slip_in(wire, key_of("n1"), partial(etcd.put, key_of("n1"), value_of(endpoint("n1", "eth0", "new"), MINE)))
    result = hostendpoints(wire, endpoints=[], purge="owned", owner="me", purge_nodes=["n1"])
    assert result["summary"]["deleted"] == 1 and etcd.tree(HOSTS) == {}


@pytest.mark.parametrize("size", SIZES)
def test_calico_takes_an_endpoint_of_the_set(etcd, wire, size):
    """It is reported, the others of its phase are done, and nothing is deleted after it."""
    nodes = nodes_of(size)
    put_all(etcd, tree_of(endpoint(node, "old") for node in nodes))
    put_all(etcd, tree_of(endpoint(node, "eth0", "old") for node in nodes))
    key = key_of(nodes[2])
    taken = value_of(endpoint(nodes[2], labels={CALICO_LABEL: "x"}))
    slip_in(wire, key, partial(etcd.put, key, taken))
    result = hostendpoints(wire, endpoints=[endpoint(node) for node in nodes], purge="all", purge_nodes=nodes)
    assert result["failed"] and result["changed"]
    assert changes_of(result, "failures") == [("update", nodes[2], "eth0")]
    assert "belongs to Calico" in result["failures"][0]["error"]
    assert sorted(changes_of(result, "not_attempted")) == [("delete", node, "old") for node in nodes]
    assert sorted(changes_of(result, "changes")) == [("update", node, "eth0") for node in nodes if node != nodes[2]]
    stored = tree_of(endpoint(node) for node in nodes)
    stored.update(tree_of(endpoint(node, "old") for node in nodes), **{key: taken})
    assert etcd.tree(HOSTS) == stored


def never_rests(etcd, wire, keys, times=100):
    numbers = count()
    for key in keys:
        slip_in(wire, key, lambda key=key: etcd.put(key, '{"name":"theirs%d"}' % next(numbers)), times=times)


@pytest.mark.parametrize("size", SIZES)
def test_four_conflicts_are_overcome(etcd, wire, size):
    nodes = nodes_of(size)
    put_all(etcd, tree_of(endpoint(node, "eth0", "old") for node in nodes))
    never_rests(etcd, wire, [key_of(nodes[0]), key_of(nodes[-1])], times=4)
    result = hostendpoints(wire, endpoints=[endpoint(node) for node in nodes])
    assert not result["failed"] and result["summary"]["updated"] == size
    assert etcd.tree(HOSTS) == tree_of(endpoint(node) for node in nodes)


@pytest.mark.parametrize("size, busy", [(6, 2), (30, 2), (30, 25)])
def test_five_conflicts_are_given_up(etcd, wire, size, busy):
    """Of some endpoints; the others of the phase are done, the next phase is not begun, and all of it is told."""
    nodes = nodes_of(size)
    put_all(etcd, tree_of(endpoint(node, name, "old") for node in nodes for name in ("a", "b")))
    met = [key_of(node, "b") for node in nodes[:busy]]
    never_rests(etcd, wire, met)
    options = {"endpoints": [endpoint(node, "b") for node in nodes], "purge": "all", "purge_nodes": nodes}
    result = hostendpoints(wire, **options)
    assert result["failed"] and result["changed"]
    assert requests_by_key(wire, "PUT") == {key_of(node, "b"): 5 if node in nodes[:busy] else 1 for node in nodes}
    assert all("gave up after 5" in failure["error"] for failure in result["failures"])
    assert sorted(changes_of(result, "changes")) == [("update", node, "b") for node in nodes[busy:]]
    assert sorted(changes_of(result, "not_attempted")) == [("delete", node, "a") for node in nodes]
    assert {key: value for key, value in etcd.tree(HOSTS).items() if "theirs" in value}.keys() == set(met)
    assert "DELETE" not in {request.method for request in wire.writes}
    assert sorted(changes_of(result, "failures")) == [("update", node, "b") for node in nodes[:busy]]
    wire.heal()
    assert not hostendpoints(wire, **options)["failed"]
    assert etcd.tree(HOSTS) == tree_of(endpoint(node, "b") for node in nodes)


@pytest.mark.parametrize("size", SIZES)
def test_a_conflict_and_then_no_answer(etcd, wire, size):
    """The endpoint cannot be read again: it is told, with the rest, and nothing is deleted."""
    nodes = nodes_of(size)
    put_all(etcd, tree_of(endpoint(node, name, "old") for node in nodes for name in ("a", "b")))
    key = key_of(nodes[3], "b")
    slip_in(wire, key, partial(etcd.put, key, '{"name":"theirs"}'))
    wire.answer(500, "internal error", path_contains=key, times=100)
    options = {"endpoints": [endpoint(node, "b") for node in nodes], "purge": "all", "purge_nodes": nodes}
    result = hostendpoints(wire, **options)
    assert result["failed"]
    assert changes_of(result, "failures") == [("update", nodes[3], "b")]
    plan = [("update", node, "b") for node in nodes] + [("delete", node, "a") for node in nodes]
    assert sorted(changes_of(result)) == sorted(plan)
    assert etcd.get(key) == '{"name":"theirs"}'
    wire.heal()
    assert not hostendpoints(wire, **options)["failed"]
    assert etcd.tree(HOSTS) == tree_of(endpoint(node, "b") for node in nodes)
