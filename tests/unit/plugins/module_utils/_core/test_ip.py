# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, strategies

from ansible_collections.netsec.calico.plugins.module_utils._core.ip import (
    _canonical_ip,
    canonical_ip,
    format_net,
    parse_net,
)


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("192.168.0.1", "192.168.0.1"),
        ("00:BB::aa", "0:bb::aa"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("1:0:0:2:0:0:3:4", "1::2:0:0:3:4"),
        ("::ffff:10.0.0.9", "10.0.0.9"),
        ("::FFFF:a00:9", "10.0.0.9"),
        ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ("::1.2.3.4", "::102:304"),
        ("::", "::"),
    ],
)
def test_addresses_are_written_as_go_writes_them(text, canonical):
    assert canonical_ip(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fe80::1%eth0",
        "10.0.0.0/8",
        "01.2.3.4",
        "::01.2.3.4",
        "1.2.3",
        "1.2.3.256",
        " 1.2.3.4",
        "1.2.3.4\n",
        "::g",
        "١.2.3.4",
    ],
)
def test_what_is_no_address_for_go_is_none_here(text):
    with pytest.raises(ValueError):
        canonical_ip(text)


@given(strategies.ip_addresses() | strategies.integers(0, 2**48).map(ipaddress.IPv6Address), strategies.booleans())
def test_the_short_way_to_an_address_gives_the_same(address, exploded):
    text = (address.exploded if exploded else str(address)).upper()
    assert canonical_ip(text) == _canonical_ip(text)


@given(strategies.text("0123456789abcdef:.%", max_size=20))
def test_the_short_way_refuses_the_same(text):
    try:
        expected = _canonical_ip(text)
    except ValueError:
        with pytest.raises(ValueError):
            canonical_ip(text)
    else:
        assert canonical_ip(text) == expected


@pytest.mark.parametrize(
    "text, first, last",
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.77/24", "192.0.2.0", "192.0.2.255"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
        ("::ffff:192.0.2.77/120", "192.0.2.0", "192.0.2.255"),
        ("::ffff:192.0.2.77/64", "0.0.0.0", "255.255.255.255"),
        ("2001:db8::7/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"),
    ],
)
def test_networks(text, first, last):
    low, high = parse_net(first), parse_net(last)
    assert parse_net(text) == (low[0], low[1], high[2])


@pytest.mark.parametrize(
    "text", ["", "192.0.2.1/33", "192.0.2.1/", "192.0.2.1/-1", "2001:db8::/129", "192.0.2.1/24/1", "x"]
)
def test_what_is_no_network(text):
    with pytest.raises(ValueError):
        parse_net(text)


@pytest.mark.parametrize(
    "text, with_host_bits, masked",
    [
        ("10.0.0.1/8", "10.0.0.1/8", "10.0.0.0/8"),
        ("10.0.0.1", "10.0.0.1/32", "10.0.0.1/32"),
        ("FD00::1/08", "fd00::1/8", "fd00::/8"),
        ("::ffff:10.0.0.1/104", "10.0.0.1/8", "10.0.0.0/8"),
        ("::1.2.3.4", "::102:304/128", "::102:304/128"),
        ("0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_as_calico_v1_writes_it(text, with_host_bits, masked):
    assert (format_net(text, False), format_net(text, True)) == (with_host_bits, masked)
