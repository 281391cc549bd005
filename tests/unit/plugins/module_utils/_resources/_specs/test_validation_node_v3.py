# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Nodes are invalid, beyond the measured rows, by Calico's own validator."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.read_spec import read_spec
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.validation_node_v3 import (
    find_node_problems,
)

INVALID = [
    ({"bgp": {"ipv4Address": ""}}, "spec.bgp", "is empty"),
    ({"bgp": {"ipv6Address": "::ffff:10.0.0.1"}}, "spec.bgp.ipv6Address", "such as fd00::1/64"),
    ({"bgp": {"ipv4Address": "10.0.0.1/33"}}, "spec.bgp.ipv4Address", "such as 10.0.0.1/24"),
    ({"ipv4VXLANTunnelAddr": "10.0.0.1/32"}, "spec.ipv4VXLANTunnelAddr", "is not an IPv4 address"),
    ({"ipv6VXLANTunnelAddr": "10.0.0.1"}, "spec.ipv6VXLANTunnelAddr", "is not an IPv6 address"),
    ({"wireguard": {"interfaceIPv4Address": "x"}}, "spec.wireguard.interfaceIPv4Address", "is not an IPv4 address"),
    ({"vxlanTunnelMACAddrV6": "00:00:5e:00:53-01"}, "spec.vxlanTunnelMACAddrV6", "is not a MAC address"),
]
ACCEPTED = [
    {"bgp": {"asNumber": 0}},
    {"bgp": {"ipv6Address": "fd00::1"}, "wireguard": {}},
    {"vxlanTunnelMACAddr": "0000.5E00.5301", "vxlanTunnelMACAddrV6": "02-00-5e-10-00-00-00-01"},
    {"addresses": [{"address": "x", "type": "y"}], "interfaces": [{"name": " "}], "orchRefs": [{}]},
]


@pytest.mark.parametrize(("spec", "place", "message"), INVALID)
def test_a_problem_names_its_place_and_what_is_expected(spec, place, message):
    ((option, _value, found),) = find_node_problems("n1", read_spec("Node", spec))
    assert option == place
    assert message in found


@pytest.mark.parametrize("spec", ACCEPTED)
def test_an_unusual_spec_that_calico_accepts(spec):
    assert list(find_node_problems("n1", read_spec("Node", spec))) == []
