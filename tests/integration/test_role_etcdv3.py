# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role hostendpoints on etcd's v3 API: names and nodes that Calico v3 takes."""

from __future__ import annotations

import json

import pytest

from tests.harness.fleet import interface, server
from tests.integration.role import NAME, OWNER, OWNER_LABEL, changes, done, failure, fleet_of


def host(nodename, *names):
    outer = interface("eth0", "192.0.2.7/24")
    return server(nodename, interface("lo", "127.0.0.1/8", type="loopback"), outer, *map(_inner, names), default="eth0")


def _inner(name):
    return interface(name, "10.0.0.7/24")


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    hosts = {
        "web1": host("web1.example.com", "eth0.100"),
        "db1": host("DB_1", "Bond_0"),
        "db-1": host("db-1"),
    }
    with fleet_of(tmp_path_factory, hosts) as fleet:
        yield fleet


@pytest.fixture
def fleet(_fleet):
    _fleet.reset("etcdv3")
    return _fleet


def test_names_and_nodes(fleet):
    hosts = ["web1", "db1"]
    result = done(fleet.run(hosts))
    assert changes(result) == [
        "create db-1/bond-0-69f6dd35",
        "create db-1/eth0",
        "create web1.example.com/eth0",
        "create web1.example.com/eth0.100",
    ]
    value = json.loads(fleet.datastore.get(fleet.datastore.key("db-1", "db-1-bond-0-69f6dd35")))
    assert value["spec"] == {"node": "db-1", "interfaceName": "Bond_0", "expectedIPs": ["10.0.0.7"]}
    assert done(fleet.run(hosts))["changed"] is False


def test_one_endpoint_for_all_interfaces_of_each_host(fleet):
    rules = [
        {
            "match": {"name": "*", "physical": "false"},
            "endpoint": {"interface_name": "*", "expected_ips": {"except": ["192.0.2.0/28"], "temporary": "{{ no }}"}},
        }
    ]
    variables = {"hostendpoints_interfaces": rules, "no": False}
    # With the check of the role's arguments.
    validated = [{"ansible.builtin.include_role": {"name": NAME}}]
    result = done(fleet.run(["web1", "db1"], variables=variables, tasks=validated))
    assert changes(result) == ["create db-1/all", "create web1.example.com/all"]
    assert fleet.stored()["db-1/all"] == {
        "labels": {OWNER_LABEL: OWNER},
        "interface_name": "*",
        "expected_ips": ["10.0.0.7"],
    }
    again = done(fleet.run(["web1", "db1"], variables=dict(variables, hostendpoints_purge="owned")))
    assert (again["changed"], again["summary"]["unchanged"]) == (False, 2)


def test_two_hosts_that_become_one_node(fleet):
    message = failure(fleet.run(["db1", "db-1"]))
    assert "are both node 'db-1'" in message
    assert fleet.stored() == {}


def test_the_node_of_a_host_outside_the_run(fleet):
    hosts = {"web1": {"hostendpoints_node": "db1"}, "db1": {"hostendpoints_node": "DB1"}}
    message = failure(fleet.run(hosts, "--limit", "web1"))
    assert "web1 and db1 are both node 'db1'" in " ".join(message.split())
    assert fleet.stored() == {}


def test_two_endpoints_of_one_name(fleet):
    rules = [{"endpoint": {"name": "{interface}"}}]
    message = failure(fleet.run(["web1", "db1"], variables={"hostendpoints_interfaces": rules}))
    assert "eth0" in message and "twice" in message
    assert fleet.stored() == {}


def test_an_endpoint_is_never_taken_from_a_host_outside_the_run(fleet):
    """Two hosts that make one name, in different batches or runs, as a rule of etcdv2 does that names the interface."""
    hosts = ["web1", "db-1"]
    variables = {"hostendpoints_interfaces": [{"match": {"name": ["eth0"]}, "endpoint": {"name": "{interface}"}}]}
    run = fleet.run(hosts, variables=variables, serial=1)
    assert (
        run.returncode != 0 and "already exists on node web1.example.com, which is not part of this run" in run.stdout
    )
    before = fleet.stored()
    assert [place.split("/")[0] for place in before] == ["web1.example.com"]
    run = fleet.run(hosts, "--limit", "db-1", variables=variables)
    assert run.returncode != 0 and fleet.stored() == before


def test_decommissioned_nodes_are_named_as_everywhere(fleet):
    done(fleet.run(["db1"]))
    result = done(fleet.run(["web1"], variables={"hostendpoints_decommission": ["DB_1"]}))
    assert "delete db-1/eth0" in changes(result)
