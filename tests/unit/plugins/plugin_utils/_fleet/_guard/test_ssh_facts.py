# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role tells the guard of a host."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard import dns
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.dns import resolved
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._guard.ssh_facts import (
    build_datastore_connections,
    build_guard_facts,
    unresolved,
)

FACTS = {
    "interfaces": ["lo", "eth0", "br-1"],
    "lo": {"device": "lo", "ipv4": {"address": "127.0.0.1", "netmask": "255.0.0.0"}},
    "eth0": {
        "device": "eth0",
        "ipv4": {"address": "192.0.2.1", "prefix": "24"},
        "ipv6": [{"address": "2001:db8::1", "prefix": "64"}],
    },
    "br_1": {"device": "br-1"},
    "default_ipv4": {"interface": "eth0"},
    "dns": {"nameservers": ["192.0.2.53", "fe80::1%eth0", "junk"]},
}


def test_interfaces_and_dns():
    found = build_guard_facts("h", FACTS, {"ansible_connection": "local"})
    assert found["interfaces"] == {
        "lo": ["127.0.0.1/8"],
        "eth0": ["192.0.2.1/24", "2001:db8::1/64"],
        "br-1": [],
    }
    assert [each["peer"] for each in found["require"]] == ["192.0.2.53", "fe80::1"]
    assert found["default_interface"] == "eth0" and "ssh" not in found


OWN, PEER = "192.0.2.1", "192.0.2.9"
NAMES = {"h": ["203.0.113.1"], "web1": ["198.51.100.1", OWN], "me": ["127.0.1.1"]}


@pytest.fixture(autouse=True)
def routed(monkeypatch):
    """A controller that reaches the host's network from there."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_args: None)
    monkeypatch.setattr(socket.socket, "getsockname", lambda _self: (PEER, 1))


def ssh_of(connection, facts=None):
    return build_guard_facts("h", FACTS if facts is None else facts, connection, NAMES).get("ssh")


@pytest.mark.parametrize(
    "connection, ssh",
    [
        ({"ansible_host": OWN}, {"port": 22, "address": OWN, "peer": PEER}),
        ({"ansible_connection": "ansible.builtin.ssh", "ansible_port": "2222"}, {"port": 2222}),
        ({"ansible_connection": "mitogen_ssh", "ansible_port": 2222}, {"port": 2222}),
        ({"ansible_connection": "containers.podman.podman"}, None),
        # It reaches the host at an address that is not its own, and may be translated on its way, as the peer's may.
        ({"ansible_host": "203.0.113.7", "ansible_port": 2222}, {"port": 2222}),
        # Names.
        ({"ansible_host": "web1"}, {"port": 22, "address": OWN, "peer": PEER}),
        ({}, {"port": 22}),
        ({"ansible_host": "unknown"}, {"port": 22}),
        # A tunnel or a forwarded port.
        ({"ansible_host": "127.0.0.1", "ansible_port": 2222}, {}),
        ({"ansible_host": "localhost", "ansible_port": 2222}, {}),
        ({"ansible_host": "me", "ansible_port": 2222}, {}),
        # The controller itself.
        ({"ansible_host": PEER}, None),
    ],
)
def test_ansibles_connection(connection, ssh):
    facts = dict(FACTS, eth1={"device": "eth1", "ipv4": {"address": PEER}}, interfaces=["eth1", *FACTS["interfaces"]])
    assert ssh_of(connection, facts) == ssh


@pytest.mark.parametrize(
    "variable, value, jumps",
    [
        ("ansible_ssh_common_args", "-o ProxyJump=bastion", True),
        ("ansible_ssh_common_args", "-o proxycommand='ssh -W %h:%p bastion'", True),
        ("ansible_ssh_extra_args", "-v -J bastion", True),
        ("ansible_ssh_args", "-Jbastion", True),
        ("ansible_paramiko_proxy_command", "ssh -W %h:%p bastion", True),
        # Nobody looks into it.
        ("ansible_ssh_common_args", "-F /etc/ansible/ssh.cfg", True),
        ("ansible_ssh_common_args", "-F /dev/null", False),
        ("ansible_ssh_common_args", "-o ControlPath=/tmp/-Jump", False),
    ],
)
def test_nobody_knows_where_a_jump_host_connects_from(variable, value, jumps):
    ssh = ssh_of({"ansible_host": OWN, variable: value})
    assert ssh == ({"port": 22, "address": OWN} if jumps else {"port": 22, "address": OWN, "peer": PEER})


def test_the_canary_is_reached_as_ansible_reaches_it():
    def reached(**connection):
        return build_guard_facts("h", FACTS, connection).get("reached_at")

    assert reached(ansible_host="127.0.0.1", ansible_port=2222) == {"host": "127.0.0.1", "port": 2222}
    assert reached() == {"host": "h", "port": 22}
    assert reached(ansible_ssh_args="-J bastion") is None
    assert reached(ansible_connection="local") is None


def test_what_sshd_told_comes_first():
    facts = dict(FACTS, env={"SSH_CONNECTION": "192.0.2.9 50000 192.0.2.1 2222"})
    told = {"peer": "192.0.2.9", "address": "192.0.2.1", "port": 2222}
    dns = build_guard_facts("h", FACTS, {})["require"]
    for forwarded in ("198.51.100.1", "127.0.0.1", "unknown"):
        found = build_guard_facts("h", facts, {"ansible_host": forwarded, "ansible_port": 22}, NAMES)
        assert found["ssh"] == told and found["require"] == dns
    # Of the host itself, what was told may be old.
    also = {"direction": "in", "protocol": "tcp", "port": 22, "peer": PEER}
    for itself in (OWN, "web1"):
        found = build_guard_facts("h", facts, {"ansible_host": itself, "ansible_port": 22}, NAMES)
        assert found["ssh"] == told and found["require"] == [*dns, also]
        for port in ({}, {"ansible_port": 2222}):
            assert build_guard_facts("h", facts, {"ansible_host": itself, **port}, NAMES)["require"] == dns


def test_sshd_may_not_know():
    facts = dict(FACTS, env={"SSH_CONNECTION": "UNKNOWN 65535 UNKNOWN 65535"})
    assert ssh_of({"ansible_host": OWN}, facts) == {"port": 22, "address": OWN, "peer": PEER}


def test_only_names_that_matter_are_resolved():
    told = dict(FACTS, env={"SSH_CONNECTION": "192.0.2.9 50000 192.0.2.1 2222"})
    asked = [
        unresolved("h", FACTS, {}),
        unresolved("h", FACTS, {"ansible_host": "web1"}),
        unresolved("h", told, {"ansible_host": "web1", "ansible_port": 22}),
    ]
    assert asked == ["h", "web1", "web1"]
    assert unresolved("h", FACTS, {"ansible_host": OWN}) == unresolved("h", told, {"ansible_host": "web1"}) == ""
    assert unresolved("h", FACTS, {"ansible_connection": "local"}) == ""


def test_a_dead_resolver_does_not_hold_up_the_run(monkeypatch):
    over, is_found, threads, waited_for = threading.Event(), threading.Event(), [], []

    def getaddrinfo(name, *_args, **_kwargs):
        if threading.get_ident() in threads:
            is_found.set()
        if name == "none":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        if name == "web":
            threads.append(threading.get_ident())
        elif not over.wait(300):
            waited_for.append(name)
        return [(None, None, None, "", (address, 0)) for address in (OWN, PEER, OWN)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    # The time is over when whoever has resolved the first name asks for another one, however long that takes here.
    clock = SimpleNamespace(monotonic=lambda: 1.0 if is_found.is_set() else 0.0)
    monkeypatch.setattr(dns, "time", clock)
    try:
        found = resolved(["web", "none", *("dead-%d" % number for number in range(1000))], 0.3)
    finally:
        over.set()
    assert found == {"web": [OWN, PEER]} and waited_for == []
    assert resolved([]) == {}


def test_the_datastore_on_the_controller_is_nobodys_business():
    found = build_datastore_connections(
        ["http://127.0.0.1:2379", "http://localhost:2379", "https://etcd1.example.com:2379"]
    )
    assert found == [{"direction": "out", "protocol": "tcp", "port": 2379, "peer": "etcd1.example.com"}]
