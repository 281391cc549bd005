# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock-out guard of the role: by default, it writes nothing that would lock Ansible out."""

from __future__ import annotations

import pytest

from tests.integration.role import IMPORTED, done, failure, fleet_of, kubernetes_for, of_workers, results, worker
from tests.integration.test_guard import ALLOW_SSH, put_policy, put_resource, without_failsafes

pytestmark = pytest.mark.thorough

HOST = {"ansible_connection": "ssh", "ansible_host": "192.0.2.1", "ansible_port": 2222}
ENFORCE = {"hostendpoints_guard": "enforce"}


@pytest.fixture(scope="module")
def hosts():
    told = dict(worker(3), env={"SSH_CONNECTION": "192.0.2.9 50000 192.0.2.3 2222"})
    unknown = dict(worker(4), env={"SSH_CONNECTION": "UNKNOWN 65535 UNKNOWN 65535"})
    others = {"worker-%d" % number: worker(number) for number in range(20, 30)}
    return {"worker-1": worker(1), "worker-2": worker(2), "worker-3": told, "worker-4": unknown, **others}


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory, hosts):
    with fleet_of(tmp_path_factory, hosts) as fleet:
        yield fleet


@pytest.fixture
def fleet(request, _fleet, datastore_type):
    _fleet.reset(datastore_type, kubernetes_for(request, datastore_type))
    return _fleet


@pytest.fixture
def etcdv2_fleet(_fleet):
    _fleet.reset("etcdv2")
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
    # "off" is what the inventory of these tests has.
    result = done(fleet.run({"worker-1": HOST}, "--check", variables={"hostendpoints_guard": False}))
    assert result["guard"] == [] and not any("guard" in warning for warning in result.get("warnings", []))


# A variable, and its values on two hosts.
DIFFERENT = [
    ("guard", "off", "enforce"),
    ("guard", False, "{{ 'enforce' }}"),
    ("guard_limit", 5, 0),
    ("canary", 0, 1),
    ("canary_wait", 1, 2),
]


def test_what_is_one_for_all_hosts(fleet):
    """In one run, whose plays each have two hosts."""
    hosts, plays = {}, []
    for number, (variable, *values) in enumerate(DIFFERENT):
        pair = ["worker-%d" % (20 + 2 * number), "worker-%d" % (21 + 2 * number)]
        plays.append({"hosts": pair, "gather_facts": False, "tasks": [dict(IMPORTED, ignore_errors=True)]})
        hosts.update({host: dict(HOST, **{"hostendpoints_" + variable: value}) for host, value in zip(pair, values)})
    run = fleet.playbook(plays, hosts)
    failed = [result["msg"] for result in results(run, "failed")]
    for play, (variable, *_values), message in zip(plays, DIFFERENT, failed, strict=True):
        assert "%s and %s differ in hostendpoints_%s," % (*play["hosts"], variable) in message
    assert results(run) == [] and fleet.stored() == {}


def test_spellings_are_no_difference(fleet):
    names = ["hostendpoints_guard", "hostendpoints_guard_limit", "hostendpoints_canary"]
    spelled = [(False, "", ""), ("off", None, 0), ("{{ 'off' }}", "{{ '' }}", "{{ 0 }}")]
    hosts = {"worker-%d" % (index + 1): dict(zip(names, values)) for index, values in enumerate(spelled)}
    done(fleet.run(hosts))
    assert sorted(fleet.stored()) == of_workers(1, 2, 3)


def test_the_options_of_a_host_without_facts(fleet):
    """It runs the task, so its variables are the task's."""
    hosts = {"nobody": {"hostendpoints_guard": "off"}, "worker-1": dict(HOST, hostendpoints_guard="enforce")}
    run = fleet.run(hosts, variables={"hostendpoints_gather_facts": False})
    assert "nobody and worker-1 differ in hostendpoints_guard," in failure(run) and fleet.stored() == {}


def test_what_one_host_needs(fleet):
    needed = [{"direction": "in", "protocol": "tcp", "port": "{{ pg_port }}", "peer": "10.0.0.77"}]
    database = {"hostendpoints_guard_require": needed, "pg_port": 5432}
    for hosts in ({"worker-1": database, "worker-2": {}}, {"worker-1": {}, "worker-2": database}):
        (node,) = (name for name, host in hosts.items() if host)
        message = failure(fleet.run(hosts, variables=ENFORCE))
        assert "tcp port 5432 from 10.0.0.77" in message and "on node %s" % node in message
        assert "1 of 4 changes would be unsafe" in message
    message = failure(fleet.run({"worker-1": {}, "worker-2": dict(database, pg_port="x")}, variables=ENFORCE))
    assert "worker-2: hostendpoints_guard_require[0].port" in message
    # Where nobody asks for it, it may be anything.
    done(fleet.run({"worker-1": {"hostendpoints_guard_require": "x", "hostendpoints_guard": "off"}}))


def test_failsafes_that_felix_has_in_its_own_configuration(fleet):
    # Felix' default has port 22, which this host's own list does not.
    own = {"ssh_port": 2222, "hostendpoints_failsafes": {"inbound": ["tcp:{{ ssh_port }}", "udp:68"]}}
    plain = dict(HOST, ansible_port=22)
    message = failure(fleet.run({"worker-1": dict(plain, **own), "worker-2": plain}, variables=ENFORCE))
    assert "tcp port 22 from" in message and "on node worker-1" in message and "node worker-2" not in message
    assert done(fleet.run({"worker-1": dict(HOST, **own)}, variables=ENFORCE))["guard"] == []
    assert sorted(fleet.stored()) == of_workers(1)


@pytest.mark.parametrize(
    "failsafes, message",
    [
        ({"inbound": ["sctp:22"]}, "worker-1: hostendpoints_failsafes.inbound[0].protocol: 'sctp' is not tcp or udp"),
        ([], "worker-1: hostendpoints_failsafes: [] is not a mapping with inbound and outbound"),
    ],
)
def test_what_is_wrong_with_failsafes_is_named(etcdv2_fleet, failsafes, message):
    variables = dict(ENFORCE, hostendpoints_failsafes=failsafes)
    assert message in failure(etcdv2_fleet.run(["worker-1"], variables=variables))


def test_a_dataplane_that_the_datastore_does_not_tell(_fleet):
    """What Felix fails on with iptables, it does not read with nftables."""
    _fleet.reset("etcdv3")
    put_policy(_fleet.datastore, "ssh", [ALLOW_SSH], "all()")
    reject = {"iptablesFilterDenyAction": "Reject"}
    put_resource(_fleet.datastore, "felixconfigurations", "FelixConfiguration", "default", reject)
    assert "G16" in failure(_fleet.run({"worker-1": HOST}, variables=ENFORCE))
    hosts = {"worker-1": dict(HOST, hostendpoints_dataplane="nftables"), "worker-2": HOST}
    message = failure(_fleet.run(hosts, variables=ENFORCE))
    assert "on node worker-2" in message and "node worker-1" not in message
    done(_fleet.run({"worker-1": hosts["worker-1"]}, variables=ENFORCE))
    message = failure(_fleet.run({"worker-1": dict(HOST, hostendpoints_dataplane="bpf")}, variables=ENFORCE))
    assert "worker-1: hostendpoints_dataplane: 'bpf' is not iptables or nftables" in message


@pytest.mark.parametrize("how", ["play", "configuration"])
def test_the_port_of_the_play_or_of_the_configuration(fleet, how):
    host = {key: value for key, value in HOST.items() if key != "ansible_port"}
    given = {"port": 2222} if how == "play" else {"env": {"ANSIBLE_REMOTE_PORT": "2222"}}
    assert "tcp port 2222 from" in failure(fleet.run({"worker-1": host}, variables=ENFORCE, **given))
    # Variables beat both.
    for name in ("ansible_port", "ansible_ssh_port"):
        done(fleet.run({"worker-1": dict(host, **{name: 22})}, "--check", variables=ENFORCE, **given))


def test_a_name(fleet):
    # What inet_aton(3) takes for 10.0.0.1 is one that needs no DNS server.
    inner = dict(HOST, ansible_host="10.1", hostendpoints_interfaces=[{"match": {"name": ["eth1"]}}])
    assert "tcp port 2222 from" in failure(fleet.run({"worker-1": inner}, variables=ENFORCE))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_forwarded_port(fleet, host):
    forwarded = {"worker-1": dict(HOST, ansible_host=host)}
    # The host itself does not listen on the port that the controller uses.
    result = done(fleet.run(forwarded, "--check", variables=ENFORCE))
    assert any("22 is assumed: worker-1." in warning for warning in result["warnings"])
    without_failsafes(fleet.datastore)
    assert "tcp port 22 from an unknown address" in failure(fleet.run(forwarded, variables=ENFORCE))
    told = {"worker-3": dict(HOST, ansible_host=host, ansible_port=2200)}
    put_policy(fleet.datastore, "ssh", [ALLOW_SSH], "all()")
    result = done(fleet.run(told, variables=dict(ENFORCE, hostendpoints_guard="warn")))
    text = str(result["guard"])
    assert "port 2222" not in text and "port 2200" not in text and "is assumed" not in str(result["warnings"])


def test_the_port_has_changed_since_the_facts(fleet):
    moved = {"worker-3": dict(HOST, ansible_host="192.0.2.3", ansible_port=2200)}
    put_policy(fleet.datastore, "ssh", [ALLOW_SSH], "all()")
    assert "tcp port 2200 from 192.0.2.9" in failure(fleet.run(moved, variables=ENFORCE))
    put_policy(fleet.datastore, "ssh", [dict(ALLOW_SSH, ports=[2200, 2222])], "all()")
    done(fleet.run(moved, variables=ENFORCE))


def test_sshd_may_not_know(fleet):
    done(fleet.run({"worker-4": dict(HOST, ansible_host="192.0.2.4", ansible_port=22)}, variables=ENFORCE))


def test_a_connection_of_another_collection(fleet):
    host = dict(HOST, ansible_connection="mitogen_ssh")
    assert "tcp port 2222 from" in failure(fleet.run({"worker-1": host}, variables=ENFORCE))
