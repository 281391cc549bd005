# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What expectations may look like, and what their messages name."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.expectations import parse_expectations
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.hosts import parse_connectivity

WEB = {"name": "web", "direction": "in", "protocol": "tcp", "port": 443, "peer": "0.0.0.0/0", "expect": "allow"}


def test_what_is_accepted():
    (found,) = parse_expectations([dict(WEB, port=["443", 80, 443])], "x")
    assert found.ports == (443, 80) and found.net == (4, 0, 2**32 - 1)
    (found,) = parse_expectations([dict(WEB, protocol="icmpv6", port=None, peer="workers")], "x")
    assert found.ports == (None,) and found.net is None and found.versions == (6,)
    assert parse_expectations(None, "x") == parse_expectations([], "x") == []


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"name": ""}, "c[0].name is missing"),
        ({"peer": None}, "c[0].peer is missing"),
        ({"peer": 5}, "c[0].peer: 5 is not a string"),
        ({"direction": "both"}, "c[0].direction: 'both' is not valid; set in or out"),
        ({"expect": "open"}, "c[0].expect: 'open' is not valid; set allow or deny"),
        ({"protocol": "http"}, "c[0].protocol: 'http' is not a valid protocol"),
        ({"port": 65536}, "c[0].port: 65536 is not a port; set a number from 1 to 65535"),
        ({"port": [22, True]}, "c[0].port: True is not a port"),
        ({"port": []}, "c[0].port: the list is empty"),
        ({"port": None}, "c[0]: port is missing; tcp requires one"),
        ({"protocol": "icmp"}, "c[0]: port is given, but icmp has no ports"),
        ({"protocol": "icmpv6", "port": None}, "c[0].peer: '0.0.0.0/0' is not of the IP version of icmpv6"),
        ({"ports": [1]}, "c[0].ports is unknown; use name, direction, protocol, port, peer, expect"),
    ],
)
def test_what_is_rejected(changed, message):
    with pytest.raises(InvalidInput) as caught:
        parse_expectations([dict(WEB, **changed)], "c")
    assert message in str(caught.value)


def test_a_name_is_that_of_one_expectation_of_a_host():
    with pytest.raises(InvalidInput) as caught:
        parse_expectations([WEB, dict(WEB, name="ssh", port=22), dict(WEB, port=80)], "c")
    assert caught.value.problems == [
        "c[2].name: 'web' is also the name of c[0]; each expectation of a host must have its own name"
    ]


def test_all_problems_are_named():
    with pytest.raises(InvalidInput) as caught:
        parse_expectations([dict(WEB, expect="x"), WEB, "y"], "c")
    assert "c[0].expect" in str(caught.value) and "c[2]: 'y' is not a mapping" in str(caught.value)
    with pytest.raises(InvalidInput, match="c: {} is not a list"):
        parse_expectations({}, "c")


@pytest.mark.parametrize(
    "given, message",
    [
        ({"hosts": {"a": {"expectations": [dict(WEB, peer="wokers")]}}}, "expectations[0].peer: 'wokers' is neither"),
        ({"hosts": {}, "groups": {"g": ["a"]}}, "connectivity.groups[g]: 'a' is not one of the hosts"),
        ({"hosts": {"a": {"addresses": ["x"]}}}, "connectivity.hosts[a].addresses: 'x' is not a valid IP address"),
        ({"hosts": {"a": {"facts": {"interfaces": {"eth0": "x"}}}}}, "connectivity.hosts[a].facts.interfaces[eth0]"),
        ({"hosts": []}, "connectivity.hosts: [] is not a mapping"),
    ],
)
def test_an_invalid_inventory(given, message):
    with pytest.raises(InvalidInput) as caught:
        parse_connectivity(given, {"": {"interfaces": {}}})
    assert message in str(caught.value)
