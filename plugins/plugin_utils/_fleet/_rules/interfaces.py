# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interfaces of a host, as its facts describe them. Plain Python, without Ansible."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, FrozenSet, Iterator, List, Sequence, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.ip import is_in_net, parse_address, parse_net
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import (
    devices,
    read_ipv4,
    read_ipv6,
    read_masters,
    read_temporary_ipv6,
)

# RFC 3927.
_IPV4_LINK_LOCAL = parse_net("169.254.0.0/16")


@dataclasses.dataclass(frozen=True)
class HostInterface:
    """One interface in Ansible's facts."""

    name: str
    type: str
    active: bool
    default_route: bool
    # Of global scope, IPv4 first.
    addresses: Tuple[str, ...]
    # Addresses that the host replaces every day, as far as the facts show it.
    temporary: FrozenSet[str] = frozenset()
    # The driver of its device, and whether it has a device.
    driver: str = ""
    physical: bool = False
    # In lower case.
    mac: str = ""
    # The bonds and bridges that it is a member of.
    masters: Tuple[str, ...] = ()


def read_interfaces(facts: Mapping[str, Any]) -> List[HostInterface]:
    """The interfaces of a host, sorted by name."""
    masters = read_masters(facts)
    found = [
        _interface(name, device, aliases, facts, masters.get(name, ())) for name, device, aliases in devices(facts)
    ]
    return sorted(found, key=lambda interface: interface.name)


def _interface(
    name: str,
    device: Mapping[str, Any],
    aliases: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    masters: Sequence[str],
) -> HostInterface:
    defaults = [facts.get(family) or {} for family in ("default_ipv4", "default_ipv6")]
    return HostInterface(
        name=name,
        type=device.get("type") or "unknown",
        active=bool(device.get("active")),
        default_route=any(default.get("interface") == name for default in defaults),
        addresses=tuple(dict.fromkeys(_addresses(device, aliases))),
        temporary=frozenset(read_temporary_ipv6(device)),
        driver=device.get("module") or "",
        physical=bool(device.get("pciid")),
        mac=(device.get("macaddress") or "").lower(),
        masters=tuple(dict.fromkeys(masters)),
    )


def _addresses(device: Mapping[str, Any], aliases: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for fact in [device, *aliases]:
        for ipv4 in read_ipv4(fact):
            # The facts do not contain the scope of an IPv4 address, but its network shows it.
            if not is_in_net(_IPV4_LINK_LOCAL, *parse_address(ipv4["address"])):
                yield ipv4["address"]
    for ipv6 in read_ipv6(device):
        if ipv6.get("scope") == "global":
            yield ipv6["address"]
