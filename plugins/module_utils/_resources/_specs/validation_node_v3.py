# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico v3's requirements for a Node.

projectcalico/calico v3.32.1, libcalico-go/lib/validator/v3/validator.go, and the struct tags of
libcalico-go/lib/apis/internalapi/node.go. Calico does not check addresses, interfaces and orchRefs.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, Mapping, Tuple

from ..._core.ip import parse_address, parse_net
from ..resource import Problem

_ADDRESSES = {
    "bgp.ipv4IPIPTunnelAddr": 4,
    "bgp.routeReflectorClusterID": 4,
    "ipv4VXLANTunnelAddr": 4,
    "ipv6VXLANTunnelAddr": 6,
    "wireguard.interfaceIPv4Address": 4,
    "wireguard.interfaceIPv6Address": 6,
}
# With or without a prefix length.
_NETS = {"bgp.ipv4Address": 4, "bgp.ipv6Address": 6}
_MACS = ("vxlanTunnelMACAddr", "vxlanTunnelMACAddrV6")
# As Go's net.ParseMAC: 6, 8 or 20 bytes.
_MAC = re.compile(
    "|".join(
        [r"[0-9a-f]{{2}}(?:{0}[0-9a-f]{{2}}){{{1}}}".format(sign, n - 1) for sign in (":", "-") for n in (6, 8, 20)]
        + [r"[0-9a-f]{{4}}(?:\.[0-9a-f]{{4}}){{{0}}}".format(n // 2 - 1) for n in (6, 8, 20)]
    ),
    re.IGNORECASE | re.ASCII,
)


def find_node_problems(name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    bgp = spec.get("bgp")
    if bgp is not None and bgp.get("asNumber") is None and not any(bgp.values()):
        yield "spec.bgp", bgp, "is empty: leave it out, or set an address"
    texts = _flatten(spec)
    for field, version in _ADDRESSES.items():
        if texts.get(field) and _read_version(parse_address, texts[field]) != version:
            yield "spec." + field, texts[field], "is not an IPv{0} address".format(version)
    for field, version in _NETS.items():
        if texts.get(field) and _read_version(parse_net, texts[field]) != version:
            example = "10.0.0.1/24" if version == 4 else "fd00::1/64"
            yield "spec." + field, texts[field], "is not an IPv{0} address, such as {1}".format(version, example)
    for field in _MACS:
        if texts.get(field) and not _MAC.fullmatch(texts[field]):
            yield "spec." + field, texts[field], "is not a MAC address, such as 66:00:5e:00:53:01"


def _flatten(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a spec and of the structs in it, by their paths."""
    structs = {"": spec, "bgp.": spec.get("bgp") or {}, "wireguard.": spec.get("wireguard") or {}}
    return {prefix + key: item for prefix, struct in structs.items() for key, item in struct.items()}


def _read_version(parse: Callable[[str], Tuple[int, ...]], text: str) -> int:
    """The IP version; 0 for an invalid address. An IPv4-mapped IPv6 address is an IPv4 address."""
    try:
        return parse(text)[0]
    except ValueError:
        return 0
