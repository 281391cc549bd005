# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan in a file is what a later run applies, or the run refuses it and writes nothing."""

from __future__ import annotations

import json

import pytest

from tests.integration.sets import MINE, changes_of, endpoint, hostendpoints, key_of
from tests.integration.tasks import failure, one_etcd, only_etcd
from tests.integration.test_resource_info import on_v3
from tests.integration.test_resources import network_set, policy, read, resources
from tests.integration.test_set_conflict import slip_in, theirs

NODES = ["n1", "n2", "n3"]
PURGE = {"owner": "me", "purge": "owned", "purge_nodes": NODES}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.json"


def declared(**fields):
    """n1's is new, and n2's is stored otherwise."""
    return [endpoint("n1"), endpoint("n2", profiles=["p"], **fields)]


@pytest.fixture
def planned(datastore, path):
    """The plan of `declared`, with one of each operation; what is stored before it."""
    datastore.put_all(datastore.tree_of([endpoint("n2"), endpoint("n3", "old", labels=MINE)]))
    before = datastore.stored()
    result = hostendpoints(datastore, endpoints=declared(), plan_dest=str(path), **PURGE)
    assert result["changed"] and datastore.stored() == before, result
    return before


def apply(datastore, path, endpoints=None, **options):
    options = {**PURGE, "endpoints": declared() if endpoints is None else endpoints, **options}
    return hostendpoints(datastore, plan_src=str(path), **options)


def test_exactly_the_plan_is_applied_once(datastore, path, planned):
    plan = json.loads(path.read_text())
    found = [(each["operation"], each["node"], bool(each["revision"])) for each in plan["changes"]]
    assert found == [("create", "n1", False), ("update", "n2", True), ("delete", "n3", True)]
    assert plan["owner"] == "me" and plan["changes"][2]["resource"] is None
    assert plan["changes"][1]["resource"]["spec"]["profiles"] == ["p"]
    assert plan["datastore"]["type"] == datastore.type and plan["datastore"]["cluster"]
    assert path.stat().st_mode & 0o777 == 0o600
    predicted = hostendpoints(datastore, check=True, endpoints=declared(), plan_src=str(path), **PURGE)
    assert predicted["changed"] and datastore.stored() == planned
    result = apply(datastore, path)
    assert changes_of(result) == [("create", "n1", "eth0"), ("update", "n2", "eth0"), ("delete", "n3", "old")], result
    assert sorted(datastore.stored()) == sorted(key_of(datastore, node) for node in ("n1", "n2"))
    again = apply(datastore, path)
    assert not again["changed"] and not again["failed"]
    assert "all changes of the plan (3) were already made" in again["warnings"][-1]


@pytest.mark.parametrize("node, what", [("n2", "changed"), ("n1", "created"), ("n3", "deleted")])
def test_a_resource_that_another_client_wrote_is_named_and_nothing_is_written(datastore, path, planned, node, what):
    if what == "deleted":
        datastore.delete(key_of(datastore, node, "old"))
    else:
        datastore.put(key_of(datastore, node), theirs(datastore, node))
    before = datastore.stored()
    result = apply(datastore, path)
    if what == "deleted":
        # As planned.
        assert changes_of(result) == [("create", "n1", "eth0"), ("update", "n2", "eth0")]
        assert "changes of the plan that were already made before this run: 1" in " ".join(result["warnings"])
        return
    text = "host endpoint {0}-eth0 on node {0} was {1} by another client after the plan was made".format(node, what)
    failure(result, "nothing was written", text, "make a new plan")
    assert datastore.stored() == before


def test_what_is_declared_differently_now_is_named_and_nothing_is_written(datastore, path, planned):
    endpoints = [endpoint("n2", profiles=["q"]), endpoint("n1", "eth1", "eth1")]
    result = apply(datastore, path, endpoints, purge="none")
    failure(
        result,
        "the create of host endpoint n1-eth0 on node n1 is no longer declared",
        "host endpoint n2-eth0 on node n2 is declared differently now: spec.profiles",
        "the delete of host endpoint n3-old on node n3 is no longer declared",
        "the create of host endpoint n1-eth1 on node n1 is not in the plan",
    )
    assert datastore.stored() == planned
    failure(apply(datastore, path, [*declared(), endpoint("n3", "old", "eth5")]), "update instead of delete")
    assert datastore.stored() == planned


def test_a_list_of_differences_is_short(datastore, path, planned):
    endpoints = [*declared(), *(endpoint("m%d" % number) for number in range(60))]
    failure(apply(datastore, path, endpoints), "and 40 more differences")


def test_a_conflict_ends_the_run_instead_of_being_planned_again(datastore, path, planned, wire):
    key = key_of(datastore, "n2")
    slip_in(datastore, wire, key, lambda: datastore.put(key, theirs(datastore, "n2")))
    result = apply(wire, path)
    assert "so the plan no longer applies; make a new plan" in result["msg"], result
    assert changes_of(result, "changes") == [("create", "n1", "eth0")]
    assert changes_of(result, "failures") == [("update", "n2", "eth0")]
    assert changes_of(result, "not_attempted") == [("delete", "n3", "old")]
    assert datastore.stored()[key] == theirs(datastore, "n2")


def test_a_run_that_failed_continues_with_the_same_plan(datastore, path, planned):
    assert not hostendpoints(datastore, endpoints=[endpoint("n1")], owner="me")["failed"]
    result = apply(datastore, path)
    assert changes_of(result) == [("update", "n2", "eth0"), ("delete", "n3", "old")], result
    assert "changes of the plan that were already made before this run: 1" in result["warnings"]


@one_etcd
@only_etcd
def test_the_guard_still_refuses(datastore, path, planned):
    assert "G01" in failure(apply(datastore, path, guard="enforce"), "nothing was written")
    assert datastore.stored() == planned


@one_etcd
@only_etcd
def test_an_invalid_file_is_refused(datastore, path, planned):
    whole = path.read_text()
    for text, problem in (
        ("", "is not JSON"),
        ("[]", "its schema is missing, not netsec.calico/plan/1"),
        (whole.replace("plan/1", "plan/2"), "its schema is 'netsec.calico/plan/2', not netsec.calico/plan/1"),
        (whole.replace('"p"', '"q"'), "was changed or damaged after it was written"),
    ):
        path.write_text(text)
        failure(apply(datastore, path), "plan_src", problem)
    path.unlink()
    failure(apply(datastore, path), "plan_src", "No such file")
    assert datastore.stored() == planned
    result = hostendpoints(datastore, endpoints=declared(), plan_dest=str(path / "missing" / "plan.json"))
    failure(result, "plan_dest", "does not exist")


@on_v3
def test_all_kinds_are_planned(datastore, path):
    resources(datastore, [policy("ssh"), network_set("old", "192.0.2.0/24", labels=MINE)])
    given = [policy("ssh", order=100.5, ingress=[]), network_set("office", "192.0.2.1", "2001:DB8::1")]
    options = {"owner": "me", "purge": "owned", "purge_kinds": ["GlobalNetworkSet"]}
    result = resources(datastore, given, plan_dest=str(path), **options)
    assert [change["operation"] for change in result["changes"]] == ["create", "update", "delete"], result
    changed = [policy("ssh", order=100.5, ingress=[], egress=[{"action": "Deny"}]), given[1]]
    refused = resources(datastore, changed, plan_src=str(path), **options)
    text = "global network policy ssh is declared differently now: spec."
    failure(refused, text)
    assert read(datastore, "GlobalNetworkSet").keys() == {"old"}
    made = resources(datastore, given, plan_src=str(path), **options)
    assert made["changes"] == result["changes"], made
    assert read(datastore, "GlobalNetworkSet").keys() == {"office"}
    assert not resources(datastore, given, plan_src=str(path), **options)["changed"]
