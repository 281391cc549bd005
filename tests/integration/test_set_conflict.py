# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other writers at some of a set's endpoints, between our read and our write."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count

import pytest

from tests.integration.sets import CALICO_LABEL, MINE, OWNER_LABEL, changes_of, endpoint, hostendpoints, key_of
from tests.integration.tasks import one_etcd

SIZES = [6, 30]


def nodes_of(size):
    return ["n%02d" % number for number in range(size)]


def slip_in(datastore, wire, key, action, times=1):
    """The other one acts when our write to this key has come, and etcd has not seen it."""
    wire.before(datastore.writing(key=key), action, times=times)


def theirs(datastore, node, name="eth0", interface="theirs"):
    """What the other one stores."""
    return datastore.value(endpoint(node, name, interface))


def writes_by_key(datastore, wire):
    return Counter(key for _operation, key in datastore.written(wire))


@pytest.mark.parametrize("size", SIZES)
def test_only_those_are_tried_again(datastore, wire, size):
    nodes = nodes_of(size)
    datastore.put_all(datastore.tree_of(endpoint(node, "eth0", "old") for node in nodes))
    met = {key_of(datastore, node): node for node in nodes[1:4]}
    for key, node in met.items():
        other = datastore.value(endpoint(node, "eth0", "theirs"), more='"x":9')
        slip_in(datastore, wire, key, partial(datastore.put, key, other))
    result = hostendpoints(wire, endpoints=[endpoint(node) for node in nodes])
    assert not result["failed"], result["msg"]
    expected = datastore.tree_of(endpoint(node) for node in nodes)
    expected.update({key: datastore.value(endpoint(node), more='"x":9') for key, node in met.items()})
    assert datastore.stored() == expected
    assert result["summary"] == {"created": 0, "updated": size, "deleted": 0, "unchanged": 0}
    assert sorted(changes_of(result)) == [("update", node, "eth0") for node in nodes]
    assert {operation for operation, _key in datastore.written(wire)} == {"update"}
    # On etcdv3, the conflict has stopped the others of the transaction, too: they are read to know which it was, and go
    # first in the next one.
    others = 2 if datastore.type == "etcdv3" else 1
    assert writes_by_key(datastore, wire) == {key: 2 if key in met else others for key in expected}
    again = Counter(key for key in datastore.keys_read(wire) if key in expected)
    # Before that, all have been read one by one, but for etcdv2.
    for _each in range({"etcdv2": 0, "etcdv3": 2, "kubernetes": 1}[datastore.type]):
        again -= Counter(list(expected))
    assert again == Counter(list(met))


@pytest.mark.parametrize("size", SIZES)
def test_others_of_all_kinds(datastore, wire, size):
    """Create met by create, update by delete, delete by delete, and each by somebody who does our work."""
    nodes = nodes_of(size)
    datastore.put_all(datastore.tree_of(endpoint(node, name, "old") for node in nodes for name in ("b", "a")))
    wanted = [endpoint(node, name) for node in nodes for name in ("c", "b")]
    ours = datastore.tree_of(wanted)
    created, as_created = key_of(datastore, nodes[0], "c"), key_of(datastore, nodes[1], "c")
    deleted, as_updated = key_of(datastore, nodes[2], "b"), key_of(datastore, nodes[3], "b")
    gone = key_of(datastore, nodes[4], "a")
    slip_in(datastore, wire, created, partial(datastore.put, created, theirs(datastore, nodes[0], "c")))
    slip_in(datastore, wire, as_created, partial(datastore.put, as_created, ours[as_created]))
    slip_in(datastore, wire, deleted, partial(datastore.delete, deleted))
    slip_in(datastore, wire, as_updated, partial(datastore.put, as_updated, ours[as_updated]))
    slip_in(datastore, wire, gone, partial(datastore.delete, gone))
    result = hostendpoints(wire, endpoints=wanted, purge="all", purge_nodes=nodes)
    assert not result["failed"], result["msg"]
    assert datastore.stored() == ours
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
def test_a_purged_endpoint_changes_hands(datastore, wire, size, labels):
    """It is not deleted; the others are."""
    nodes = nodes_of(size)
    datastore.put_all(datastore.tree_of(endpoint(node, labels=MINE) for node in nodes))
    key = key_of(datastore, nodes[1])
    met = endpoint(nodes[1], labels=labels)
    value = datastore.malformed(met) if labels is None else datastore.value(met)
    slip_in(datastore, wire, key, partial(datastore.put, key, value))
    result = hostendpoints(wire, endpoints=[], purge="owned", owner="me", purge_nodes=nodes)
    assert not result["failed"], result["msg"]
    assert datastore.stored() == {key: value}
    assert result["summary"] == {"created": 0, "updated": 0, "deleted": size - 1, "unchanged": 0}
    assert len(changes_of(result)) == size - 1


def test_a_purged_endpoint_that_changes_and_stays_ours(datastore, wire):
    datastore.put_all(datastore.tree_of([endpoint("n1", labels=MINE)]))
    key = key_of(datastore, "n1")
    slip_in(datastore, wire, key, partial(datastore.put, key, datastore.value(endpoint("n1", "eth0", "new"), MINE)))
    result = hostendpoints(wire, endpoints=[], purge="owned", owner="me", purge_nodes=["n1"])
    assert result["summary"]["deleted"] == 1 and datastore.stored() == {}


@pytest.mark.parametrize("size", SIZES)
def test_calico_takes_an_endpoint_of_the_set(datastore, wire, size):
    """It is reported, the others of its phase are done, and nothing is deleted after it."""
    nodes = nodes_of(size)
    datastore.put_all(datastore.tree_of(endpoint(node, "old") for node in nodes))
    datastore.put_all(datastore.tree_of(endpoint(node, "eth0", "old") for node in nodes))
    key = key_of(datastore, nodes[2])
    taken = datastore.value(endpoint(nodes[2], labels={CALICO_LABEL: "x"}))
    slip_in(datastore, wire, key, partial(datastore.put, key, taken))
    result = hostendpoints(wire, endpoints=[endpoint(node) for node in nodes], purge="all", purge_nodes=nodes)
    assert result["failed"] and result["changed"]
    assert changes_of(result, "failures") == [("update", nodes[2], "eth0")]
    assert "belongs to Calico" in result["failures"][0]["error"]
    assert sorted(changes_of(result, "not_attempted")) == [("delete", node, "old") for node in nodes]
    assert sorted(changes_of(result, "changes")) == [("update", node, "eth0") for node in nodes if node != nodes[2]]
    stored = datastore.tree_of(endpoint(node) for node in nodes)
    stored.update(datastore.tree_of(endpoint(node, "old") for node in nodes), **{key: taken})
    assert datastore.stored() == stored


def never_rests(datastore, wire, met, times=100):
    """The other one is at each of these, node and name."""
    numbers = count()

    def act(node, name):
        datastore.put(key_of(datastore, node, name), theirs(datastore, node, name, "theirs%d" % next(numbers)))

    for node, name in met:
        slip_in(datastore, wire, key_of(datastore, node, name), partial(act, node, name), times=times)


@one_etcd
@pytest.mark.parametrize("size", SIZES)
def test_four_conflicts_are_overcome(datastore, wire, size):
    nodes = nodes_of(size)
    datastore.put_all(datastore.tree_of(endpoint(node, "eth0", "old") for node in nodes))
    never_rests(datastore, wire, [(nodes[0], "eth0"), (nodes[-1], "eth0")], times=4)
    result = hostendpoints(wire, endpoints=[endpoint(node) for node in nodes])
    assert not result["failed"] and result["summary"]["updated"] == size
    assert datastore.stored() == datastore.tree_of(endpoint(node) for node in nodes)


@pytest.mark.parametrize("size, busy", [(6, 2), (30, 2), (30, 25)])
def test_five_conflicts_are_given_up(datastore, wire, size, busy):
    """Of some endpoints; the others of the phase are done, the next phase is not begun, and all of it is told."""
    nodes = nodes_of(size)
    datastore.put_all(datastore.tree_of(endpoint(node, name, "old") for node in nodes for name in ("a", "b")))
    never_rests(datastore, wire, [(node, "b") for node in nodes[:busy]])
    options = {"endpoints": [endpoint(node, "b") for node in nodes], "purge": "all", "purge_nodes": nodes}
    result = hostendpoints(wire, **options)
    assert result["failed"] and result["changed"]
    others = 2 if datastore.type == "etcdv3" else 1
    assert writes_by_key(datastore, wire) == {
        key_of(datastore, node, "b"): 5 if node in nodes[:busy] else others for node in nodes
    }
    assert all("gave up after 5" in failure["error"] for failure in result["failures"])
    assert sorted(changes_of(result, "changes")) == [("update", node, "b") for node in nodes[busy:]]
    assert sorted(changes_of(result, "not_attempted")) == [("delete", node, "a") for node in nodes]
    assert {key: value for key, value in datastore.stored().items() if "theirs" in value}.keys() == {
        key_of(datastore, node, "b") for node in nodes[:busy]
    }
    assert sorted(changes_of(result, "failures")) == [("update", node, "b") for node in nodes[:busy]]
    wire.heal()
    assert not hostendpoints(wire, **options)["failed"]
    assert datastore.stored() == datastore.tree_of(endpoint(node, "b") for node in nodes)


@pytest.mark.parametrize("size", SIZES)
def test_a_conflict_and_then_no_answer(datastore, wire, size):
    """The endpoint cannot be read again: it is told, with the rest, and nothing is deleted.

    On etcdv3, nobody knows then which one has stopped the transaction.
    """
    nodes = nodes_of(size)
    datastore.put_all(datastore.tree_of(endpoint(node, name, "old") for node in nodes for name in ("a", "b")))
    key = key_of(datastore, nodes[3], "b")
    slip_in(datastore, wire, key, partial(datastore.put, key, theirs(datastore, nodes[3], "b")))
    wire.answer(500, "internal error", method=datastore.reading(key), times=100)
    options = {"endpoints": [endpoint(node, "b") for node in nodes], "purge": "all", "purge_nodes": nodes}
    result = hostendpoints(wire, **options)
    assert result["failed"]
    failed = nodes if datastore.type == "etcdv3" else [nodes[3]]
    assert changes_of(result, "failures") == [("update", node, "b") for node in failed]
    plan = [("update", node, "b") for node in nodes] + [("delete", node, "a") for node in nodes]
    assert sorted(changes_of(result)) == sorted(plan)
    assert datastore.get(key) == theirs(datastore, nodes[3], "b")
    wire.heal()
    assert not hostendpoints(wire, **options)["failed"]
    assert datastore.stored() == datastore.tree_of(endpoint(node, "b") for node in nodes)
