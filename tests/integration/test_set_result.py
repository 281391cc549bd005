# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task about a set gives back: complete for small sets, bounded for large ones."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.integration.sets import AWX_SIZE, ModuleProcess, changes_of, endpoint, hostendpoints, key_of, task
from tests.integration.tasks import one_etcd, only_etcd, only_etcdv2, only_etcdv3

LARGE = 10000
MEMORY = 200 * 1024  # kilobytes


def many(**fields):
    more = {"labels": {"role": "worker"}, "expected_ips": ["10.0.0.1", "2001:db8::1"], "profiles": ["profile"]}
    return [
        endpoint("node-%04d.example.com" % (number // 2), "eth%d" % (number % 2), **dict(more, **fields))
        for number in range(LARGE)
    ]


@pytest.fixture
def src(tmp_path):
    def write(endpoints):
        path = tmp_path / "set.json"
        path.write_text(json.dumps(endpoints), encoding="utf-8")
        return str(path)

    return write


def size_of(result):
    """Characters, as Ansible writes the result."""
    return len(json.dumps(result))


def assert_bounded(result, summary):
    assert size_of(result) < AWX_SIZE
    zeros = dict.fromkeys(("created", "updated", "deleted", "unchanged"), 0)
    assert result["summary"] == dict(zeros, **summary)
    total = sum(count for kind, count in summary.items() if kind != "unchanged")
    assert len(result["changes"]) + result["changes_omitted"] == total
    # Of what fits, none is left out.
    assert result["changes_omitted"] == 0 or size_of(result["changes"]) > AWX_SIZE / 4


# Small sets


def test_a_small_set(datastore):
    """Everything is there."""
    datastore.put_all(
        datastore.tree_of([endpoint("n1", "b", profiles=["p"]), endpoint("n1", "c"), endpoint("n1", "d")])
    )
    wanted = [endpoint("n2", "a", labels={"x": "y"}), endpoint("n1", "b", "eth1"), endpoint("n1", "d")]
    result = hostendpoints(datastore, diff=True, endpoints=wanted, purge="all", purge_nodes=["n1"])
    diffs = result.pop("diff")
    del result["invocation"]
    if datastore.type == "kubernetes":
        assert result.pop("datastore")["api"] == datastore.api
    assert result == {
        "failed": False,
        "changed": True,
        "warnings": [],
        "summary": {"created": 1, "updated": 1, "deleted": 1, "unchanged": 1},
        "guard": [],
        "guard_omitted": 0,
        "changes_omitted": 0,
        "changes": [
            {"operation": "create", "node": "n2", "name": "n2-a", "fields": ["labels", "interface_name"]},
            {"operation": "update", "node": "n1", "name": "n1-b", "fields": ["interface_name", "profiles"]},
            {"operation": "delete", "node": "n1", "name": "n1-c", "fields": ["interface_name"]},
        ],
    }
    assert [diff["before_header"] for diff in diffs] == [
        "host endpoint n2-a on node n2",
        "host endpoint n1-b on node n1",
        "host endpoint n1-c on node n1",
    ]
    assert [bool(diff["before"]) for diff in diffs] == [False, True, True]
    assert [bool(diff["after"]) for diff in diffs] == [True, True, False]
    node = {"node": "n1"} if datastore.model == "v3" else {}
    assert yaml.safe_load(diffs[1]["before"])["spec"] == {"interfaceName": "eth0", "profiles": ["p"], **node}
    assert yaml.safe_load(diffs[1]["after"])["spec"] == {"interfaceName": "eth1", **node}


@one_etcd
def test_no_diff_unless_asked_for(datastore):
    assert "diff" not in hostendpoints(datastore, endpoints=[endpoint("n1")])


@one_etcd
@pytest.mark.parametrize("limit, shown", [(0, 0), (3, 3), (4, 4), (5, 5), (6, 5)])
def test_the_limit_of_diffs(datastore, limit, shown):
    endpoints = [endpoint("n%d" % number) for number in range(5)]
    result = hostendpoints(datastore, check=True, diff=True, endpoints=endpoints, diff_limit=limit)
    diffs = result["diff"]
    assert [diff["before_header"] for diff in diffs if "prepared" not in diff] == [
        "host endpoint n%d-eth0 on node n%d" % (number, number) for number in range(shown)
    ]
    last = [diff["prepared"] for diff in diffs if "prepared" in diff]
    assert len(last) == (1 if shown < 5 else 0) and len(diffs) == shown + len(last)
    if last:
        assert (
            "prepared" in diffs[-1]
            and "%d host endpoint" % (5 - shown) in last[0]
            and "diff_limit is %d" % limit in last[0]
        )
    assert len(result["changes"]) == 5


@one_etcd
@pytest.mark.parametrize("option", ["diff_limit", "purge_limit"])
def test_a_negative_limit(datastore, option):
    result = hostendpoints(datastore, endpoints=[], purge="all", purge_nodes=["n1"], **{option: -1})
    assert result["failed"] and option in result["msg"]


@only_etcdv2
def test_warnings_are_bounded(datastore):
    """One for each endpoint that Felix ignores would be too many."""
    endpoints = [endpoint("n%d" % number, profiles=["a/b"]) for number in range(50)]
    warnings = hostendpoints(datastore, check=True, endpoints=endpoints)["warnings"]
    assert len(warnings) == 11 and "Felix ignores it" in warnings[0] and "40 more" in warnings[-1]


# Large ones: what is in a result does not depend on the datastore


@one_etcd
@only_etcd
def test_10000_new_endpoints_with_their_diffs(datastore, src):
    result = hostendpoints(datastore, check=True, diff=True, src=src(many()))
    assert_bounded(result, {"created": LARGE})
    assert len(result["diff"]) == 201 and all("prepared" not in diff for diff in result["diff"][:-1])
    assert "%d host endpoints omitted" % (LARGE - 200) in result["diff"][-1]["prepared"]


@one_etcd
@only_etcd
def test_more_diffs_than_fit(datastore, src):
    result = hostendpoints(datastore, check=True, diff=True, src=src(many()[:1000]), diff_limit=LARGE)
    assert_bounded(result, {"created": 1000})
    shown = len(result["diff"]) - 1
    assert 200 < shown < 1000 and "%d host endpoints omitted" % (1000 - shown) in result["diff"][-1]["prepared"]


@one_etcd
@only_etcd
def test_10000_endpoints_with_long_names(datastore, src):
    endpoints = many(labels={"k" * 60 + str(number): "v" * 63 for number in range(6)})
    for number, each in enumerate(endpoints):
        node = "n%05d" % number + "x" * 60
        each.update(node=node, name=node + "-" + "e" * 60)
    result = hostendpoints(datastore, check=True, diff=True, src=src(endpoints))
    assert_bounded(result, {"created": LARGE})
    assert len(result["diff"]) > 50 and "omitted" in result["diff"][-1]["prepared"]


@one_etcd
def test_10000_endpoints_that_were_not_attempted(datastore, wire, src):
    wire.answer(500, "internal error " * 100, "text/plain", method=datastore.writing(), times=LARGE)
    result = hostendpoints(wire, diff=True, src=src(many()))
    assert result["failed"] and not result["changed"]
    assert_bounded(result, {})
    failed = len(result["failures"]) + result["failures_omitted"]
    assert failed + len(result["not_attempted"]) + result["not_attempted_omitted"] == LARGE
    # What was under way: two transactions, or a write on each connection.
    assert 1 <= failed <= {"etcdv2": 4, "etcdv3": 2 * 127, "kubernetes": 8}[datastore.type]
    assert len(result["not_attempted"]) > 100
    assert len(result["msg"]) < 1000 and result["msg"].startswith("0 of %d changes" % LARGE)


@one_etcd
@only_etcdv3
def test_10000_endpoints_as_an_option(datastore):
    """Ansible repeats a module's options in its result, whatever the datastore."""
    endpoints = many()
    result = hostendpoints(datastore, check=True, diff=True, endpoints=endpoints)
    assert_bounded(result, {"created": LARGE})
    refused = hostendpoints(datastore, check=True, endpoints=endpoints + endpoints[:1])
    assert refused["failed"] and "given twice" in refused["msg"]
    assert size_of(refused) < AWX_SIZE


@one_etcd
@only_etcd
def test_a_large_malformed_value_in_a_diff(datastore):
    datastore.put_all({key_of(datastore, "n1"): "[" + "x" * 1000000})
    result = hostendpoints(datastore, check=True, diff=True, endpoints=[endpoint("n1"), endpoint("n2")])
    assert size_of(result) < AWX_SIZE
    assert result["summary"]["updated"] == result["summary"]["created"] == 1
    assert [change for change in changes_of(result) if change[0] == "update"] == [("update", "n1", "eth0")]
    assert any("n2" in diff.get("before_header", "") for diff in result["diff"]), "one large value hides all diffs"


@one_etcd
def test_10000_endpoints_in_a_process_of_their_own(datastore, src):
    """Created, and looked at again: memory, results and what is stored."""
    # An API server takes ten times as long.
    endpoints = many()[: 1000 if datastore.type == "kubernetes" else LARGE]
    path = src(endpoints)

    def run(**options):
        status, output = ModuleProcess(task(datastore, **options)).run()
        assert status == 0 and output["peak_kilobytes"] < MEMORY
        return output["result"]

    assert_bounded(run(src=path), {"created": len(endpoints)})
    assert datastore.stored() == datastore.tree_of(endpoints)
    assert_bounded(run(src=path), {"unchanged": len(endpoints)})
