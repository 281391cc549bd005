# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections that a host requires by its facts, and the interface of each."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._guard.required_connections import (
    check_required,
    parse_host_facts,
)

GIVEN = {"interfaces": {"eth0": ["192.0.2.1/24"], "eth1": ["10.0.0.1/8"]}, "default_interface": "eth0"}


def ways(given=None, **needed):
    """(direction, in interface, out interface) of the connections of one required connection."""
    needed = dict({"direction": "out", "protocol": "tcp", "port": 443}, **needed)
    found = parse_host_facts("n1", given or GIVEN, [needed])
    return [(each.direction, each.in_interface, each.out_interface) for each in found.required]


def test_the_network_decides_and_then_the_default_route():
    assert ways(peer="10.9.9.9") == [("out", "", "eth1")]
    assert ways(peer="203.0.113.9") == [("out", "", "eth0")]
    assert ways(direction="in", peer="10.9.9.9") == [("in", "eth1", "")]


def test_a_connection_within_the_host():
    assert ways(peer="127.0.0.53") == ways(peer="10.0.0.1") == [("local", "lo", "lo")]


def test_a_host_without_ipv6_requires_no_ipv6_connection():
    assert ways(peer="2001:db8::53") == ways(peer="fe80::53") == []


def test_an_unknown_interface():
    facts = parse_host_facts(
        "n1", dict(GIVEN, default_interface=""), [{"direction": "in", "protocol": "tcp", "port": 1}]
    )
    assert facts.required == () and [rule for rule, _text in facts.doubts] == ["G03"]
    facts = parse_host_facts("n1", dict(GIVEN, default_interface="", ssh={"peer": "203.0.113.9"}), [])
    assert [rule for rule, _text in facts.doubts] == ["G03"]


def test_ssh():
    facts = parse_host_facts("n1", dict(GIVEN, ssh={"peer": "203.0.113.9", "address": "10.0.0.1", "port": 2222}), [])
    assert (facts.ansible_interface, facts.ssh_port) == ("eth1", 2222)
    # A translated address.
    facts = parse_host_facts("n1", dict(GIVEN, ssh={"peer": "203.0.113.9", "address": "198.51.100.1"}), [])
    assert (facts.ansible_interface, facts.ssh_port) == ("eth0", 22)


def test_without_prefix_lengths_another_way_is_possible():
    """The host's own address does not determine the interface of a connection."""
    given = {"interfaces": {"eth0": ["192.0.2.1"], "eth1": ["10.0.0.1"]}, "default_interface": "eth0"}
    needed = {"direction": "out", "protocol": "tcp", "port": 443, "peer": "10.9.9.9"}
    facts = parse_host_facts("n1", given, [needed])
    assert (ways_of(facts.required), ways_of(facts.possible)) == ([(4, "eth0")], [(4, "eth1")])
    ssh = {"peer": "10.9.9.9", "address": "192.0.2.1"}
    facts = parse_host_facts("n1", dict(given, ssh=ssh), [])
    assert (ways_of(facts.required), ways_of(facts.possible)) == ([(4, "eth0")], [(4, "eth1")])
    assert facts.ansible_interface == ""
    # With the lengths, nothing but a peer in the other interface's network makes that possible.
    facts = parse_host_facts("n1", dict(GIVEN, ssh=ssh), [])
    assert (ways_of(facts.required), ways_of(facts.possible)) == ([(4, "eth0")], [(4, "eth1")])
    facts = parse_host_facts("n1", dict(GIVEN, ssh=dict(ssh, peer="203.0.113.9")), [])
    assert (ways_of(facts.required), facts.possible, facts.ansible_interface) == ([(4, "eth0")], (), "eth0")


def ways_of(connections):
    return [(each.packet.version, each.in_interface or each.out_interface) for each in connections]


def test_from_anywhere_it_may_come_through_any():
    needed = {"direction": "in", "protocol": "tcp", "port": 9100}
    facts = parse_host_facts("n1", GIVEN, [needed])
    assert (ways_of(facts.required), ways_of(facts.possible)) == ([(4, "eth0")], [(4, "eth1")])
    one = {"interfaces": {"eth0": ["192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64"], "lo": ["10.0.0.9/32"]}}
    facts = parse_host_facts("n1", one, [needed])
    assert (ways_of(facts.required), facts.possible, facts.doubts) == ([(4, "eth0"), (6, "eth0")], (), ())


def test_ssh_with_unknown_ends():
    facts = parse_host_facts("n1", dict(GIVEN, ssh={"port": 2222}), [])
    assert (ways_of(facts.required), ways_of(facts.possible)) == ([(4, "eth0")], [(4, "eth1")])
    assert facts.ansible_interface == ""
    facts = parse_host_facts("n1", {"interfaces": {"eth0": ["192.0.2.1/24"]}, "ssh": {"port": 2222}}, [])
    assert (facts.ansible_interface, facts.possible) == ("eth0", ())


LINK_LOCAL = {"eth0": ["192.0.2.1/24", "fe80::1/64"], "eth1": ["fe80::1/64"], "eth2": ["fe80::2/64"]}


@pytest.mark.parametrize(
    "ssh, sure, maybe",
    [
        ({"peer": "fe80::9%eth1", "address": "fe80::1%eth1"}, ["eth1"], []),
        ({"peer": "fe80::9%eth1"}, ["eth1"], []),
        ({"peer": "fe80::9", "address": "fe80::2"}, ["eth2"], []),
        # The name that the interface has at the other end.
        ({"peer": "fe80::9%wlan0", "address": "fe80::2%wlan0"}, ["eth2"], []),
        ({"peer": "fe80::9", "address": "fe80::1"}, [], ["eth0", "eth1"]),
        ({"peer": "fe80::9"}, [], ["eth0", "eth1", "eth2"]),
    ],
)
def test_ssh_from_the_same_link(ssh, sure, maybe):
    facts = parse_host_facts("n1", {"interfaces": LINK_LOCAL, "default_interface": "eth0", "ssh": ssh}, [])
    assert ways_of(facts.required) == [(6, name) for name in sure]
    assert ways_of(facts.possible) == [(6, name) for name in maybe]
    assert facts.doubts == ()


def test_a_server_on_the_same_link():
    given = {"interfaces": LINK_LOCAL, "default_interface": "eth0"}
    assert ways(given, peer="fe80::53%eth2") == [("out", "", "eth2")]
    facts = parse_host_facts("n1", given, [{"direction": "out", "protocol": "udp", "port": 53, "peer": "fe80::53"}])
    assert facts.required == () and len(facts.possible) == 3


def test_an_address_of_the_loopback_comes_through_another_interface():
    given = {"interfaces": {"eth0": ["192.0.2.1/24"], "lo": ["10.0.0.9/32"]}}
    facts = parse_host_facts("n1", dict(given, ssh={"peer": "203.0.113.9", "address": "10.0.0.9"}), [])
    (connection,) = facts.required
    assert (facts.ansible_interface, connection.packet.destination) == ("eth0", 10 << 24 | 9)


def test_a_name_is_looked_up_once(monkeypatch):
    lookups = []

    def look_up(name, *_arguments, **_keywords):
        lookups.append(name)
        if name == "here.test":
            return [(0, 0, 0, "", ("203.0.113.9", 0))]
        raise OSError("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for node in ("n1", "n2"):
        for peer in ("192.0.2.999", "not.test"):
            facts = parse_host_facts(node, dict(GIVEN, ssh={"peer": peer, "address": "192.0.2.1"}), [])
            # The connection is required, whatever its source.
            assert ways_of(facts.required) == [(4, "eth0")] and facts.required[0].packet.source is None
            ((rule, text),) = facts.doubts
            assert rule == "G03" and peer in text and "no such host" in text
    facts = parse_host_facts("n1", dict(GIVEN, ssh={"peer": "here.test", "address": "192.0.2.1"}), [])
    assert facts.required[0].packet.source == 203 << 24 | 113 << 8 | 9 and facts.doubts == ()
    assert lookups == ["192.0.2.999", "not.test", "here.test"]


@pytest.mark.parametrize("ssh", [{"peer": 5}, {"address": ["192.0.2.1"]}])
def test_an_invalid_end(ssh):
    with pytest.raises(InvalidInput, match=r"guard_facts\[n1\].ssh.*is not an address or a name"):
        parse_host_facts("n1", dict(GIVEN, ssh=ssh), [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": "forward", "protocol": "tcp", "port": 1},
        {"direction": "in", "protocol": "tcpp", "port": 1},
        {"direction": "in", "protocol": "tcp"},
        {"direction": "in", "protocol": "icmp", "port": 1},
        {"direction": "in", "protocol": "tcp", "port": 70000},
        {"direction": "in", "protocol": "tcp", "port": 1, "peers": "x"},
        {"direction": ["in"], "protocol": "tcp", "port": 1},
        {"direction": "in", "protocol": ["tcp"], "port": 1},
        {"direction": "in", "protocol": "9" * 5000},
        {"direction": "in", "protocol": "tcp", "port": "9" * 5000},
        {"direction": "in", "protocol": "tcp", "port": float("inf")},
        {"direction": "in", "protocol": "tcp", "port": {}},
        {"direction": "in", "protocol": "tcp", "port": 1, "peer": {"a": 1}},
        ["in"],
        None,
    ],
)
def test_an_invalid_required_connection(wrong):
    with pytest.raises(InvalidInput, match=r"guard_require\[0\]"):
        check_required([wrong])


@pytest.mark.parametrize(
    "wrong, place",
    [
        (None, ""),
        ([], ""),
        ({"interfaces": None}, ".interfaces"),
        ({"interfaces": ["eth0"]}, ".interfaces"),
        ({"interfaces": {"eth0": "192.0.2.1"}}, ".interfaces[eth0]"),
        ({"interfaces": {"eth0": [5]}}, ".interfaces[eth0]"),
        ({"interfaces": {"eth0": [None]}}, ".interfaces[eth0]"),
        ({"interfaces": {"eth0": ["192.0.2.1/33"]}}, ".interfaces[eth0]"),
        (dict(GIVEN, default_interface=["eth0"]), ".default_interface"),
        (dict(GIVEN, default_interface={"a": 1}), ".default_interface"),
        (dict(GIVEN, ssh=[]), ".ssh"),
        (dict(GIVEN, ssh={"port": [22]}), ".ssh.port"),
        (dict(GIVEN, ssh={"port": 1e400}), ".ssh.port"),
        (dict(GIVEN, require={"a": 1}), ".require"),
        (dict(GIVEN, require=[5]), ".require[0]"),
        (dict(GIVEN, other=1), ".other"),
    ],
)
def test_invalid_facts(wrong, place):
    with pytest.raises(InvalidInput) as error:
        parse_host_facts("n1", wrong, [])
    message, subject = str(error.value), "guard_facts[n1]" + place
    assert message.startswith((subject + ": ", subject + " is unknown; use interfaces, "))


@pytest.mark.parametrize(
    "peer", ["127.0.0.1\0.evil.test", "a\nb", "a" * 10**6, "\ud800"], ids=["NUL", "line", "long", "half"]
)
def test_a_peer_that_cannot_be_a_name_is_not_looked_up(peer, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", None)
    facts = parse_host_facts("n1", dict(GIVEN, ssh={"peer": peer, "address": "192.0.2.1"}), [])
    ((rule, text),) = facts.doubts
    assert rule == "G03" and "not a host name" in text


def test_failsafes_of_felix_own_configuration():
    facts = parse_host_facts("n1", dict(GIVEN, failsafes={"inbound": ["tcp:2222"]}), [])
    assert [str(each) for each in facts.failsafes.inbound] == ["tcp:2222"] and facts.failsafes.outbound is None
    assert (
        parse_host_facts("n1", GIVEN, []).failsafes == parse_host_facts("n1", dict(GIVEN, failsafes=None), []).failsafes
    )
    with pytest.raises(InvalidInput) as error:
        parse_host_facts("n1", dict(GIVEN, failsafes={"inbound": ["icmp:8"]}), [])
    assert str(error.value) == "guard_facts[n1].failsafes.inbound[0].protocol: 'icmp' is not tcp or udp"
