# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a host's facts to the connections that it needs: which interface each one uses."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._required import check_required, facts_of

GIVEN = {"interfaces": {"eth0": ["192.0.2.1/24"], "eth1": ["10.0.0.1/8"]}, "default_interface": "eth0"}


def ways(given=None, **needed):
    """(direction, in interface, out interface) of what becomes of one that is needed."""
    needed = dict({"direction": "out", "protocol": "tcp", "port": 443}, **needed)
    found = facts_of("n1", given or GIVEN, [needed])
    return [(each.direction, each.in_interface, each.out_interface) for each in found.required]


def test_the_network_decides_and_then_the_default_route():
    assert ways(peer="10.9.9.9") == [("out", "", "eth1")]
    assert ways(peer="203.0.113.9") == [("out", "", "eth0")]
    assert ways(direction="in", peer="10.9.9.9") == [("in", "eth1", "")]


def test_what_stays_on_the_host():
    assert ways(peer="127.0.0.53") == ways(peer="10.0.0.1") == [("local", "lo", "lo")]


def test_a_host_without_ipv6_needs_none():
    assert ways(peer="2001:db8::53") == []


def test_a_way_that_nobody_knows():
    facts = facts_of("n1", dict(GIVEN, default_interface=""), [{"direction": "in", "protocol": "tcp", "port": 1}])
    assert facts.required == () and [rule for rule, _text in facts.doubts] == ["G03"]
    facts = facts_of("n1", dict(GIVEN, default_interface="", ssh={"peer": "203.0.113.9"}), [])
    assert [rule for rule, _text in facts.doubts] == ["G03"]


def test_ssh():
    facts = facts_of("n1", dict(GIVEN, ssh={"peer": "203.0.113.9", "address": "10.0.0.1", "port": 2222}), [])
    assert (facts.ansible_interface, facts.ssh_port) == ("eth1", 2222)
    # A translated address.
    facts = facts_of("n1", dict(GIVEN, ssh={"peer": "203.0.113.9", "address": "198.51.100.1"}), [])
    assert (facts.ansible_interface, facts.ssh_port) == ("eth0", 22)


@pytest.mark.parametrize(
    "wrong",
    [
        {"direction": "forward", "protocol": "tcp", "port": 1},
        {"direction": "in", "protocol": "tcpp", "port": 1},
        {"direction": "in", "protocol": "tcp"},
        {"direction": "in", "protocol": "icmp", "port": 1},
        {"direction": "in", "protocol": "tcp", "port": 70000},
        {"direction": "in", "protocol": "tcp", "port": 1, "peers": "x"},
    ],
)
def test_what_is_no_connection(wrong):
    with pytest.raises(InvalidInput, match=r"guard_require\[0\]"):
        check_required([wrong])
