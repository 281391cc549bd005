# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role tells the guard of a host."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._guard_facts import datastore_of, guard_facts_of

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
    found = guard_facts_of("h", FACTS, {"ansible_connection": "local"})
    assert found["interfaces"] == {
        "lo": ["127.0.0.1/8"],
        "eth0": ["192.0.2.1/24", "2001:db8::1/64"],
        "br-1": [],
    }
    assert [each["peer"] for each in found["require"]] == ["192.0.2.53", "fe80::1"]
    assert found["default_interface"] == "eth0" and "ssh" not in found


@pytest.mark.parametrize(
    "connection, ssh",
    [
        ({}, {"port": 22}),
        ({"ansible_connection": "ansible.builtin.ssh", "ansible_port": "2222"}, {"port": 2222}),
        ({"ansible_connection": "containers.podman.podman"}, None),
        # Nobody knows where a jump host connects from.
        (
            {"ansible_host": "192.0.2.1", "ansible_ssh_common_args": "-o ProxyJump=bastion"},
            {"port": 22, "address": "192.0.2.1"},
        ),
        # It does not leave the machine.
        ({"ansible_host": "127.0.0.1"}, None),
    ],
)
def test_ansibles_connection(connection, ssh):
    assert guard_facts_of("h", FACTS, connection).get("ssh") == ssh


def test_what_sshd_told_comes_first():
    facts = dict(FACTS, env={"SSH_CONNECTION": "192.0.2.9 50000 192.0.2.1 2222"})
    found = guard_facts_of("h", facts, {"ansible_host": "198.51.100.1", "ansible_port": 22})
    assert found["ssh"] == {"peer": "192.0.2.9", "address": "192.0.2.1", "port": 2222}


def test_the_datastore_on_the_controller_is_nobodys_business():
    found = datastore_of(["http://127.0.0.1:2379", "http://localhost:2379", "https://etcd1.example.com:2379"])
    assert found == [{"direction": "out", "protocol": "tcp", "port": 2379, "peer": "etcd1.example.com"}]
