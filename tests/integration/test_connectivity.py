# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared connectivity: what the role makes of its variables, and what apply and the audit do with it."""

from __future__ import annotations

import json

import pytest

from tests.harness.fleet import interface, server
from tests.integration.role import IMPORTED, NAME, done, failure, fleet_of, results
from tests.integration.test_guard import put_policy

AUDIT = {"ansible.builtin.import_role": {"name": NAME, "tasks_from": "audit", "rolespec_validate": False}}
DATABASE = [{"action": "allow", "ports": [5432], "source": "role == 'web'"}]
GROUPS = {"web": ["web1"], "db": ["db1"]}


def expectation(name, direction, port, peer, expect):
    return {"name": name, "direction": direction, "protocol": "tcp", "port": port, "peer": peer, "expect": expect}


VARIABLES = {
    "hostendpoints_guard": "enforce",
    "hostendpoints_host_labels": {},
    "hostendpoints_group_labels": {"web": {"role": "web"}, "db": {"role": "db"}},
    "hostendpoints_group_connectivity": {
        "db": [
            expectation("the database", "in", 5432, "web", "allow"),
            expectation("no others", "in", [5432, 80], "198.51.100.0/24", "deny"),
        ],
        "web": [expectation("to the database", "out", 5432, "db", "allow")],
    },
    "hostendpoints_connectivity": [expectation("no telnet", "in", 23, "web1", "deny")],
}


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    hosts = {
        name: server(name, interface("eth0", address + "/24"), interface("docker0", "172.17.0.1/16"), default="eth0")
        for name, address in (("web1", "192.0.2.1"), ("db1", "192.0.2.11"))
    }
    with fleet_of(tmp_path_factory, hosts) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet):
    _fleet.reset("etcdv3")
    return _fleet


def run(fleet, *args, hosts=("web1", "db1"), **more):
    hosts = {name: {"ansible_connection": "local"} for name in hosts}
    return fleet.run(hosts, *args, groups=GROUPS, variables=dict(VARIABLES, **more.pop("variables", {})), **more)


def test_apply_keeps_what_is_expected(fleet):
    # Without endpoints, everything is open.
    message = failure(run(fleet))
    assert "the expectation the database is no longer met: tcp port 5432 from 192.0.2.1 must be allowed" in message
    assert fleet.stored() == {}
    put_policy(fleet.datastore, "database", DATABASE, "role == 'db'")
    put_policy(fleet.datastore, "web", [{"action": "allow", "ports": [443]}], "role == 'web'")
    assert done(run(fleet))["summary"]["created"] == 2
    # A host of the inventory that is not in the run is known by its cached facts.
    gone = failure(run(fleet, "--limit", "web1", variables={"hostendpoints_group_labels": {}}))
    assert "the expectation to the database is no longer met" in gone


def test_the_audit_reports_what_is_not_met(fleet, tmp_path):
    put_policy(fleet.datastore, "database", [dict(DATABASE[0], ports=[5433])], "role == 'db'")
    put_policy(fleet.datastore, "web", [{"action": "allow"}], "role == 'web'")
    done(run(fleet, variables={"hostendpoints_guard": "warn"}))
    variables = {"hostendpoints_audit_report_dir": str(tmp_path), "hostendpoints_audit_fail_on": ["unmet"]}
    audit = run(fleet, tasks=[AUDIT], variables=variables)
    assert audit.returncode != 0, audit
    report = json.loads((tmp_path / "audit.json").read_bytes())
    assert report["failed"] and report["reason"] == "2 unmet (fail_on: unmet)"
    assert report["summary"]["expectations"] == {"met": 2, "unmet": 2, "unknown": 1}
    found = {(each["host"], each["name"]): each["message"] for each in report["findings"] if each["class"] == "unmet"}
    assert found["db1", "the database"].startswith("tcp port 5432 from 192.0.2.1 must be allowed; denied by ")
    assert found.keys() == {("db1", "the database"), ("web1", "to the database")}
    rows = {(row["source"], row["destination"]): row for row in report["connectivity"]}
    assert rows["web", "db"]["state"] == "closed" and rows["web", "db"]["ports"] == ["tcp/5432"]
    assert rows["198.51.100.0/24", "db"]["details"] == "tcp/80: closed; tcp/5432: closed"


def test_mistakes_are_named_with_host_and_variable(fleet):
    """Each in a play of its own."""
    cases = [
        (
            {"hostendpoints_connectivity": [expectation("x", "in", 22, "wbe", "allow")]},
            "hostendpoints_connectivity[0].peer: 'wbe' is neither an address or a network, nor a group or a host",
        ),
        (
            {"hostendpoints_group_connectivity": {"db": [expectation("x", "in", 22, "web", "open")]}},
            "db1: hostendpoints_group_connectivity[db][0].expect: 'open' is not valid; set allow or deny",
        ),
    ]
    tasks = [dict(IMPORTED, vars=variables, ignore_errors=True) for variables, _message in cases]
    found = run(fleet, tasks=tasks)
    for (_variables, message), result in zip(cases, results(found, "failed"), strict=True):
        assert message in result["msg"], found
