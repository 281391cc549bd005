# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock-out guard of the role: by default, it writes nothing that would lock Ansible out."""

from __future__ import annotations

import pytest

from tests.integration.role import done, failure, fleet_of, of_workers, worker
from tests.integration.test_guard import ALLOW_SSH, put_policy

HOST = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "ansible_port": 2222}
ENFORCE = {"hostendpoints_guard": "enforce"}


@pytest.fixture(scope="module")
def hosts():
    told = dict(worker(3), env={"SSH_CONNECTION": "192.0.2.9 50000 192.0.2.3 2222"})
    return {"worker-1": worker(1), "worker-2": worker(2), "worker-3": told}


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory, hosts):
    with fleet_of(tmp_path_factory, hosts) as fleet:
        yield fleet


@pytest.fixture(params=["etcdv2", "etcdv3"])
def fleet(request, _fleet):
    _fleet.reset(request.param)
    return _fleet


def test_ssh_on_another_port(fleet):
    for args in (["--check"], []):
        message = failure(fleet.run({"worker-1": HOST}, *args, variables=ENFORCE))
        assert "tcp port 2222 from" in message and "on node worker-1" in message and "What to do" in message
        # The other interface can be closed.
        assert "1 of 2 changes would be unsafe" in message
        assert fleet.stored() == {}
    put_policy(fleet.datastore, "ssh", [ALLOW_SSH], "all()")
    assert done(fleet.run({"worker-1": HOST}, variables=ENFORCE))["guard"] == []
    assert sorted(fleet.stored()) == of_workers(1)


def test_a_plain_fleet_needs_no_policy(fleet):
    plain = {"worker-1": dict(HOST, ansible_port=22), "worker-2": {}}
    assert done(fleet.run(plain, variables=ENFORCE))["guard"] == []
    assert sorted(fleet.stored()) == of_workers(1, 2)


def test_what_sshd_told(fleet):
    message = failure(fleet.run({"worker-3": {"ansible_connection": "ssh"}}, variables=ENFORCE))
    assert "tcp port 2222 from 192.0.2.9" in message


def test_connections_that_the_play_requires(fleet):
    needed = [{"direction": "in", "protocol": "tcp", "port": 9100, "peer": "10.0.0.7"}]
    variables = dict(ENFORCE, hostendpoints_guard_require=needed)
    assert "tcp port 9100 from 10.0.0.7" in failure(fleet.run(["worker-1"], variables=variables))
    put_policy(fleet.datastore, "exporter", [dict(ALLOW_SSH, ports=[9100])], "all()")
    done(fleet.run(["worker-1"], variables=variables))


def test_it_can_be_turned_off_or_only_warn(fleet):
    result = done(fleet.run({"worker-1": HOST}, "--check", variables={"hostendpoints_guard": "warn"}))
    assert [each["verdict"] for each in result["guard"]] == ["unsafe"]
    assert any("G03" in warning for warning in result["warnings"])
    for off in ("off", False):
        result = done(fleet.run({"worker-1": HOST}, "--check", variables={"hostendpoints_guard": off}))
        assert result["guard"] == [] and not any("guard" in warning for warning in result.get("warnings", []))
