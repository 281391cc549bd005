# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The canary of the role: the first hosts of the play that change."""

from __future__ import annotations

import pytest

from tests.harness.pace import stretched
from tests.integration.hosts import OPEN, Hosts
from tests.integration.role import NAME, done, failure, fleet_of, kubernetes_for, of_workers, worker

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory):
    with fleet_of(tmp_path_factory, {"worker-1": worker(1), "worker-2": worker(2)}) as fleet:
        yield fleet


@pytest.fixture
def fleet(request, _fleet, datastore_type):
    _fleet.reset(datastore_type, kubernetes_for(request, datastore_type))
    return _fleet


def reached(hosts, node):
    return {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": hosts.port(node)}


def test_the_role_tries_the_first_hosts_of_the_play(fleet):
    canary = {"hostendpoints_canary": 1, "hostendpoints_canary_wait": stretched(1)}
    with Hosts(fleet.datastore, "worker-1", "worker-2") as hosts:
        inventory = {name: reached(hosts, name) for name in ("worker-1", "worker-2")}
        message = failure(fleet.run(inventory, variables=canary))
        assert (
            "the canary failed: node worker-1 at 127.0.0.1" in message
            and "accepts them again after the rollback" in message
        )
        assert fleet.stored() == {} and hosts.closed == {"worker-1": 1, "worker-2": 0}
        rule = [{"match": {"name": ["eth0"]}, "endpoint": {"profiles": [OPEN]}}]
        result = done(fleet.run(inventory, variables=dict(canary, hostendpoints_interfaces=rule)))
        assert result["canary"] == ["worker-1"] and sorted(fleet.stored()) == ["worker-1/eth0", "worker-2/eth0"]


def test_the_role_needs_ssh_for_a_canary(fleet):
    message = failure(fleet.run(["worker-1"], variables={"hostendpoints_canary": 1}))
    assert "SSH address of the changed nodes (worker-1) is unknown" in message and fleet.stored() == {}


@pytest.mark.parametrize(
    "env",
    [
        {"ANSIBLE_SSH_ARGS": "-J bastion"},
        {"ANSIBLE_SSH_COMMON_ARGS": "-o ProxyJump=bastion"},
        {"ANSIBLE_SSH_EXTRA_ARGS": "-o ProxyCommand='ssh -W %h:%p bastion'"},
    ],
)
def test_behind_a_jump_host_of_the_configuration_there_is_no_canary(fleet, env):
    host = {"worker-1": {"ansible_connection": "ssh", "ansible_host": "192.0.2.1"}}
    canary = {"hostendpoints_canary": 1}
    message = failure(fleet.run(host, "--check", variables=canary, env=env))
    assert "SSH address of the changed nodes" in message


def test_a_hosts_own_variables_beat_the_jump_host_of_the_configuration(fleet):
    host = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "ansible_ssh_args": "-v"}
    env = {"ANSIBLE_SSH_ARGS": "-J bastion"}
    run = fleet.run({"worker-1": host}, "--check", variables={"hostendpoints_canary": 1}, env=env)
    assert done(run)["canary"] == ["worker-1"]


def test_the_role_limits_the_changes(fleet):
    def run(limit):
        variables = {"hostendpoints_guard": "warn", "hostendpoints_guard_limit": limit}
        result = done(fleet.run(["worker-1"], "--check", variables=variables))
        return any("G17" in warning for warning in result["warnings"])

    assert [run(limit) for limit in ("1", 2, "")] == [True, False, False]


def test_no_change_at_all_is_a_limit(fleet):
    message = failure(
        fleet.run(["worker-1"], variables={"hostendpoints_guard": "enforce", "hostendpoints_guard_limit": 0})
    )
    assert "G17" in message and fleet.stored() == {}


# With the role's argument specification.
ROLE = {"roles": [{"role": NAME}], "tasks": ()}


@pytest.mark.parametrize("count", ["1", "{{ 1 }}"])
def test_a_number_as_a_survey_gives_it(fleet, count):
    variables = {"hostendpoints_guard": "warn", "hostendpoints_canary": count, "hostendpoints_canary_wait": "1"}
    with Hosts(fleet.datastore, "worker-1") as hosts:
        result = done(fleet.run({"worker-1": reached(hosts, "worker-1")}, "--check", variables=variables, **ROLE))
    assert result["canary"] == ["worker-1"]


@pytest.mark.parametrize("nothing", ["", 0])
def test_a_survey_that_was_not_answered(fleet, nothing):
    variables = {"hostendpoints_canary": nothing, "hostendpoints_guard_limit": nothing or ""}
    result = done(fleet.run(["worker-1"], variables=variables, **ROLE))
    assert "canary" not in result and sorted(fleet.stored()) == of_workers(1)
