# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tunnels between Calico's hosts that a node may use, by the settings of its Felix and the IP pools."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Mapping, Optional, Set, Tuple

from ..._core.ip import Address, parse_address
from ..._datastore.snapshot import PolicySnapshot
from ..objects_v3 import IP_POOL, NODE, read
from .config import FALSE, TRUE

# {setting: (default port, the setting that enables the tunnel)}
_TUNNELS = {
    "vxlanPort": ("4789", "vxlanenabled"),
    "wireguardListeningPort": ("51820", "wireguardenabled"),
    "wireguardListeningPortV6": ("51821", "wireguardenabledv6"),
}
_ENABLED = ("vxlanenabled", "ipipenabled", "wireguardenabled", "wireguardenabledv6")


def read_flag(settings: Mapping[str, Any], key: str, default: bool) -> bool:
    value = settings.get(key, "").lower()
    return True if value in TRUE else False if value in (*FALSE, "none") else default


def find_tunnels(snapshot: PolicySnapshot, settings: Mapping[str, Any]) -> Dict[str, bool]:
    """The tunnels that may be in use, by the settings or else by the IP pools."""
    may_have = {key: read_flag(settings, key, False) for key in _ENABLED}
    for key, mode in (("vxlanenabled", "vxlanMode"), ("ipipenabled", "ipipMode")):
        if settings.get(key, "").lower() not in TRUE + FALSE:
            may_have[key] = has_pool(snapshot, mode, 4)
    return may_have


def read_tunnel_ports(settings: Mapping[str, Any], may_have: Mapping[str, bool], *options: str) -> Tuple[int, ...]:
    found = [settings.get(option.lower(), _TUNNELS[option][0]) for option in options if may_have[_TUNNELS[option][1]]]
    return tuple([int(port) for port in found if port.isdigit()])


def find_tunnel_hosts(snapshot: PolicySnapshot, settings: Mapping[str, Any]) -> Optional[FrozenSet[Address]]:
    """The addresses of all nodes, which may send tunnel packets from any of them.

    None if they are unknown, or if the IP pools were not read.
    """
    if (
        snapshot.nodes is None
        or snapshot.ip_pools is None
        or settings.get("externalnodeslist")
        or settings.get("externalnodescidrlist")
    ):
        return None
    found: Set[Address] = set()
    for value in snapshot.nodes.values():
        try:
            spec = read(NODE, value)["spec"]
            texts = [each.get("address", "") for each in spec.get("addresses", ())]
            texts += [text for each in spec.get("interfaces", ()) for text in each.get("addresses", ())]
            texts += [spec.get("bgp", {}).get(key, "") for key in ("ipv4Address", "ipv6Address")]
            found.update(parse_address(text.partition("/")[0]) for text in texts if text)
        except ValueError:
            return None
    return frozenset(found)


def has_pool(snapshot: PolicySnapshot, mode: str, version: int) -> bool:
    """Whether an IP pool of this IP version has the mode, or may have it."""
    if snapshot.ip_pools is None:
        return True
    for value in snapshot.ip_pools:
        try:
            spec = read(IP_POOL, value)["spec"]
        except ValueError:
            continue
        if spec.get(mode, "") not in ("", "Never") and (":" in spec.get("cidr", "")) == (version == 6):
            return True
    return False
