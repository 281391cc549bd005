# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary: the first nodes that change have to answer before others are changed, else all is put back."""

from __future__ import annotations

import functools

import pytest

from tests.harness.pace import stretched
from tests.harness.wire import Wire
from tests.integration.hosts import OPEN, Hosts
from tests.integration.sets import changes_of, endpoint, hostendpoints, key_of
from tests.integration.tasks import failure, one_etcd, only_v3

NODES = ("n1", "n2", "n3")

pytestmark = [one_etcd, pytest.mark.thorough]


@pytest.fixture
def hosts(datastore):
    with Hosts(datastore, *NODES) as found:
        yield found


def endpoints(profiles=(OPEN,), nodes=NODES, **fields):
    return [endpoint(node, profiles=list(profiles), **fields) for node in nodes]


def with_canary(datastore, hosts, given, count=1, **options):
    options = dict({"guard_facts": hosts.facts(), "canary_wait": stretched(1)}, **options)
    return hostendpoints(datastore, endpoints=given, canary=count, **options)


def lost(datastore, hosts, given, **options):
    """It fails, and what is stored is as before, to the letter."""
    before = datastore.stored()
    result = with_canary(datastore, hosts, given, **options)
    assert result["failed"] and not result["changed"] and result["changes"] == [], result
    assert "the canary failed" in result["msg"] and "accepts them again after the rollback" in result["msg"]
    assert datastore.stored() == before
    return result


def test_all_is_written_when_the_canary_answers(datastore, hosts):
    result = with_canary(datastore, hosts, endpoints())
    assert (result["canary"], result["summary"]["created"]) == (["n1"], 3)
    assert len(datastore.stored()) == 3 and "taken_back" not in result
    again = with_canary(datastore, hosts, endpoints())
    assert not again["changed"] and "canary" not in again


def test_a_lost_canary_is_put_back_and_nobody_else_is_touched(datastore, hosts):
    with Wire(datastore) as wire:
        result = lost_by(wire, datastore, hosts)
        assert {key for _operation, key in datastore.written(wire)} == {key_of(datastore, "n1")}
    assert "node n1 at 127.0.0.1 port {0}".format(hosts.port("n1")) in result["msg"]
    assert "nothing else was written" in result["msg"]
    assert changes_of(result, "taken_back") == [("create", "n1", "eth0")]
    assert changes_of(result, "not_attempted") == [("create", "n2", "eth0"), ("create", "n3", "eth0")]
    assert hosts.closed == {"n1": 1, "n2": 0, "n3": 0} and hosts.answers("n1")


def lost_by(wire, datastore, hosts):
    result = with_canary(wire, hosts, endpoints([]))
    assert datastore.stored() == {}
    assert result["failed"] and not result["changed"]
    return result


def test_an_update_is_put_back_to_the_letter(datastore, hosts):
    more = '"x-note":1' if datastore.type == "etcdv2" else '"x-note":{"a":"b"}'
    for each in endpoints():
        datastore.put_endpoint(each, more=more)
    result = lost(datastore, hosts, endpoints([]))
    assert changes_of(result, "taken_back") == [("update", "n1", "eth0")]


def test_a_deleted_endpoint_is_put_back(datastore, hosts):
    """Of a node that changes from one endpoint to another."""
    datastore.put_all(datastore.tree_of(endpoints()))
    given = [endpoint(node, "new", profiles=[]) for node in NODES]
    result = lost(datastore, hosts, given, purge="all", purge_nodes=list(NODES))
    assert changes_of(result, "taken_back") == [("delete", "n1", "eth0"), ("create", "n1", "new")]


def test_a_value_that_cannot_be_read_is_put_back(datastore, hosts):
    malformed = datastore.malformed(endpoint("n1", profiles=[OPEN]))
    value = malformed if datastore.type == "kubernetes" else '{"name":5,"spec":{"node":5}}'
    datastore.put(key_of(datastore, "n1"), value)
    lost(datastore, hosts, endpoints([], nodes=["n1"]))


def test_only_nodes_that_change_are_tried(datastore, hosts):
    datastore.put_all(datastore.tree_of(endpoints(nodes=["n1"])))
    result = with_canary(datastore, hosts, endpoints(), count=2)
    assert result["canary"] == ["n2", "n3"]


def test_one_of_two_is_lost(datastore, hosts):
    given = [*endpoints(nodes=["n1"]), *endpoints([], nodes=["n2"]), *endpoints(nodes=["n3"])]
    result = lost(datastore, hosts, given, count=2)
    assert changes_of(result, "taken_back") == [("create", "n2", "eth0"), ("create", "n1", "eth0")]
    assert "node n2 at" in result["msg"] and "node n1 at" not in result["msg"]


def test_a_host_that_is_silent_already(datastore, hosts):
    hosts.shut("n1")
    message = failure(with_canary(datastore, hosts, endpoints()), "nothing was written", "node n1 at 127.0.0.1 port")
    assert "even before the change" in message and datastore.stored() == {}


def test_a_host_of_which_nobody_knows_where_it_is_reached(datastore, hosts):
    failure(with_canary(datastore, hosts, endpoints(), guard_facts={}), "nothing was written", "n1, n2, n3", "canary")
    assert datastore.stored() == {}
    known = {node: facts for node, facts in hosts.facts().items() if node == "n3"}
    assert with_canary(datastore, hosts, endpoints(), guard_facts=known)["canary"] == ["n3"]


@pytest.mark.parametrize("reached", [5, {"host": ""}, {"host": "h", "port": 0}, {"host": "h", "port": "ssh"}])
def test_no_place_to_reach_it(datastore, hosts, reached):
    facts = {"n1": {"interfaces": {}, "reached_at": reached}}
    failure(with_canary(datastore, hosts, endpoints(), guard_facts=facts), "guard_facts[n1].reached_at")


@pytest.mark.parametrize("options", [{"count": -1}, {"canary_wait": 0}, {"canary_wait": float("nan")}])
def test_numbers_that_are_none(datastore, hosts, options):
    failure(with_canary(datastore, hosts, endpoints(), **options), "canary")
    assert datastore.stored() == {}


def test_check_mode_tells_the_canary_and_tries_nothing(datastore, hosts):
    hosts.shut("n1")
    result = with_canary(datastore, hosts, endpoints([]), check=True)
    assert (result["canary"], result["summary"]["created"]) == (["n1"], 3) and datastore.stored() == {}


def test_somebody_else_changes_it_meanwhile(datastore, hosts):
    """Theirs stays, and is told."""
    theirs = dict(endpoint("n1"), labels={"of": "somebody"})
    with Wire(datastore) as wire:
        # What is there is read again to be put back.
        wire.before(datastore.is_read, lambda: datastore.put_endpoint(theirs), nth=reads_before(datastore) + 1)
        result = with_canary(wire, hosts, endpoints([]))
    assert result["failed"] and result["changed"], result
    assert "0 of its changes were undone, 1 could not be undone" in result["msg"]
    assert "changed by another client" in result["msg"] and "does not accept them after the rollback" in result["msg"]
    assert changes_of(result, "changes", "failures") == [("create", "n1", "eth0")] * 2
    assert datastore.get(key_of(datastore, "n1")) == datastore.value(theirs)


def reads_before(datastore):
    """How often a run reads before it writes."""
    with Wire(datastore) as wire:
        hostendpoints(wire, check=True, endpoints=endpoints([]))
        return sum(map(bool, map(datastore.read_by, wire.requests)))


def test_etcd_is_lost_meanwhile(datastore, hosts):
    with Wire(datastore) as wire:
        reads = reads_before(datastore)
        wire.fault("reset", method=datastore.is_read, nth=reads + 1, times=1000)
        result = with_canary(wire, hosts, endpoints([]), timeout=stretched(3))
    assert result["failed"] and changes_of(result, "changes") == [("create", "n1", "eth0")]
    assert (
        "could not be undone: cannot reach " in result["msg"]
        and "does not accept them after the rollback" in result["msg"]
    )
    assert changes_of(result, "not_attempted") == [("create", "n2", "eth0"), ("create", "n3", "eth0")]


def test_the_guard_comes_first(datastore, hosts):
    given = endpoints(["nosuch"], nodes=["n3"]) + endpoints([], nodes=["n1"])
    failure(with_canary(datastore, hosts, given, guard="enforce"), "nothing was written", "profile nosuch")
    assert datastore.stored() == {} and hosts.closed["n1"] == 0


def test_too_many_changes(datastore):
    given = {"endpoints": endpoints(), "guard_limit": 2}
    for check in (True, False):
        message = failure(
            hostendpoints(datastore, guard="enforce", check=check, **given), "G17", "3 host endpoints change"
        )
        assert "nothing was written" in message and "more than the guard_limit of 2" in message
        assert datastore.stored() == {}
    result = hostendpoints(datastore, guard="warn", **given)
    assert result["summary"]["created"] == 3 and any("G17" in warning for warning in result["warnings"])
    changed = endpoints([])[:2]
    hostendpoints(datastore, guard="enforce", endpoints=changed, guard_limit=2)
    assert len(datastore.stored()) == 3


def test_a_write_of_the_canary_that_may_have_been_done_is_undone(datastore, hosts):
    """etcd has done it and not answered, nor does it for a while."""
    with Wire(datastore) as wire:
        reads = reads_before(datastore)
        wire.fault("cut_after_commit", method=datastore.writing())
        # Whether it was done is asked, in vain; what is read to undo it is the next one.
        wire.fault("reset", method=datastore.is_read, nth=reads + 1, times=asked_after(datastore))
        result = with_canary(wire, hosts, endpoints([]))
    assert result["failed"] and "the canary failed" in result["msg"] and "1 of its changes were undone" in result["msg"]
    assert datastore.stored() == {} and not result["changed"]


def asked_after(datastore):
    """How often it is asked whether a write was done."""
    return 0 if datastore.type == "etcdv3" else 1


@pytest.mark.parametrize("times", [2, 6])
def test_a_write_that_gets_no_answer_again_and_again_is_undone(datastore, hosts, times):
    with Wire(datastore) as wire:
        wire.fault("cut_after_commit", method=datastore.writing("create"), times=times)
        result = with_canary(wire, hosts, endpoints([]))
    assert result["failed"] and datastore.stored() == {}, result
    assert "1 of its changes were undone, and nothing else was written" in result["msg"]


def test_what_somebody_adds_that_is_no_field_stays(datastore, hosts):
    """Such as an annotation."""
    theirs = datastore.value(endpoint("n1"), more='"x-theirs":"1"')
    with Wire(datastore) as wire:
        change = functools.partial(datastore.put, key_of(datastore, "n1"), theirs)
        wire.before(datastore.is_read, change, nth=reads_before(datastore) + 1)
        result = with_canary(wire, hosts, endpoints([]))
    assert "0 of its changes were undone, 1 could not be undone" in result["msg"], result
    assert datastore.get(key_of(datastore, "n1")) == theirs


@only_v3
def test_an_endpoint_that_moves_takes_both_nodes_along(datastore, hosts):
    moving = dict(endpoint("n1"), profiles=[OPEN])
    datastore.put_endpoint(moving)
    given = [dict(moving, node="n2", profiles=[]), *endpoints([], nodes=["n3"])]
    before = datastore.stored()
    result = with_canary(datastore, hosts, given)
    assert result["failed"] and result["canary"] == ["n1", "n2"] and datastore.stored() == before


def test_deleting_what_no_host_of_the_run_has_needs_no_canary(datastore, hosts):
    datastore.put_all(datastore.tree_of(endpoints(nodes=["gone"])))
    result = with_canary(datastore, hosts, [], purge="all", purge_nodes=["gone"])
    assert result["changed"] and datastore.stored() == {}


def test_the_port_may_be_text(datastore, hosts):
    facts = hosts.facts()
    facts["n1"]["reached_at"]["port"] = str(hosts.port("n1"))
    assert with_canary(datastore, hosts, endpoints(), guard_facts=facts)["canary"] == ["n1"]


def test_a_limit_that_is_none(datastore):
    failure(hostendpoints(datastore, guard="warn", endpoints=endpoints(), guard_limit=-5), "guard_limit: -5")
