# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts that are read of a host, as the module `setup` has them on Linux: checked, since the host chooses them.

Names of facts have no dash: the fact of br-lan is br_lan. Plain Python, without Ansible.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Callable, Collection, Dict, Iterator, List, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import shown

# Far more than any host has; what is made of facts takes time and memory on the controller.
MOST_INTERFACES = 10000
MOST_ADDRESSES = 10000
LONGEST_NAME = 255
# Where the fact of a bond, or of a bridge, names its members.
_MEMBERS = ("slaves", "interfaces")


def why_unusable(facts: Mapping[str, Any]) -> str:
    """Why nothing can be said of the host's interfaces by these facts; "" when it can.

    Facts that know too little must not look like a host that has too little: its endpoints would be purged.
    """
    reason = next(_problems(facts), "")
    return (_foreign(facts) or reason) if reason else ""


def hidden_interfaces(facts: Mapping[str, Any]) -> List[str]:
    """The interfaces of which nothing is known, since another fact has their name: one called dns, say."""
    names = facts.get("interfaces") or ()
    known = {name for name in names if _is_device(name, facts)}
    return [name for name in names if name not in known and not _is_label(name, known)]


def devices(facts: Mapping[str, Any]) -> Iterator[Tuple[str, Mapping[str, Any], List[Mapping[str, Any]]]]:
    """The interfaces of a host with usable facts: the name, its fact, and those of its addresses with labels."""
    aliases = _aliases(facts)
    for name in facts.get("interfaces") or ():
        if _is_device(name, facts):
            yield name, _fact(name, facts), aliases.get(name, [])


def read_ipv4(fact: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """The IPv4 addresses of an interface, or of a label: {address, prefix or netmask, ...}."""
    found = [fact.get("ipv4") or {}, *(fact.get("ipv4_secondaries") or ())]
    return [each for each in found if each.get("address")]


def read_ipv6(fact: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """The IPv6 addresses of an interface: {address, prefix, scope}."""
    return [each for each in fact.get("ipv6") or () if each.get("address")]


def read_temporary_ipv6(fact: Mapping[str, Any]) -> List[str]:
    """The temporary IPv6 addresses of an interface (RFC 8981), as far as its fact shows which ones are.

    The fact has no flags, but an order. `setup` lists what `ip addr show primary` prints, and then what `ip addr show
    secondary` prints, which for IPv6 are the temporary addresses. The kernel sorts addresses by scope, the link-local
    ones last. So an address behind a link-local one is of the second list. The network that it shares with an address
    of the first list is that of the address that the kernel made it from.
    """
    first, networks, found = set(), set(), []
    is_second_list = False
    for each in read_ipv6(fact):
        address, network = each["address"], int(ipaddress.ip_address(each["address"])) >> 64
        if each.get("scope") == "link":
            is_second_list = True
        elif not is_second_list:
            first.add(address)
            networks.add(network)
        elif address not in first and network in networks:
            found.append(address)
    return found


def read_masters(facts: Mapping[str, Any]) -> Dict[str, List[str]]:
    """The bonds and bridges that each interface is a member of, by its name."""
    found: Dict[str, List[str]] = {}
    for name, device, _aliases_of_it in devices(facts):
        for key in _MEMBERS:
            for member in device.get(key) or ():
                found.setdefault(member, []).append(name)
    return found


def _fact(name: str, facts: Mapping[str, Any]) -> Any:
    # Ansible replaces the dash in the names of facts, but not in what they hold.
    return facts.get(name.replace("-", "_"))


def _is_device(name: str, facts: Mapping[str, Any]) -> bool:
    # An address with a label ("eth0:1") is listed like an interface, but is no device.
    fact = _fact(name, facts)
    return isinstance(fact, Mapping) and fact.get("device") == name


def _aliases(facts: Mapping[str, Any]) -> Dict[str, List[Mapping[str, Any]]]:
    """The facts of addresses with labels, by each interface that they may be of: eth0_my_1 is of eth0 or of eth0_my."""
    found: Dict[str, List[Mapping[str, Any]]] = {}
    for name in facts.get("interfaces") or ():
        fact = _fact(name, facts)
        if isinstance(fact, Mapping) and "device" not in fact:
            parts = name.split("_")
            for length in range(1, len(parts)):
                found.setdefault("_".join(parts[:length]), []).append(fact)
    return found


def _is_label(name: str, known: Collection[str]) -> bool:
    """Whether this may be an address of a known interface, with a label: eth0_1 for eth0:1."""
    parts = name.split("_")
    return any("_".join(parts[:length]) in known for length in range(1, len(parts)))


# --- checks ---


def _foreign(facts: Mapping[str, Any]) -> str:
    """Why the facts are not of a Linux host's form; "" when it is one, or cannot be told."""
    if not facts:
        return "there are none"
    network = facts.get("network_os") or facts.get("net_system")
    if network:
        return "they are of a network device ({0}), and only those of Linux are known here".format(shown(network))
    system = facts.get("system")
    if system and system != "Linux":
        return "they are of {0}, and only those of Linux are known here".format(shown(system))
    return ""


def _problems(facts: Mapping[str, Any]) -> Iterator[str]:
    names = facts.get("interfaces")
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        yield "they have no list of interfaces"
        return
    if len(names) > MOST_INTERFACES or max(map(len, names)) > LONGEST_NAME:
        yield "they list more than {0} interfaces, or names of more than {1} characters".format(
            MOST_INTERFACES, LONGEST_NAME
        )
        return
    count = 0
    for name in names:
        fact = _fact(name, facts)
        yield from _interface_problems(name, fact)
        count += len(read_ipv4(fact)) + len(read_ipv6(fact)) if isinstance(fact, Mapping) else 0
    if not count:
        yield "no interface has an address, not even lo"
    if count > MOST_ADDRESSES:
        yield "they have more than {0} addresses".format(MOST_ADDRESSES)
    yield from _other_problems(facts)


# What is read of an interface, where it is there.
_KINDS = (
    *((key, str) for key in ("type", "module", "pciid", "macaddress")),
    *((key, list) for key in ("ipv4_secondaries", "ipv6", *_MEMBERS)),
)


def _interface_problems(name: str, fact: Any) -> Iterator[str]:
    """What is wrong with the fact of one interface; after the first problem, nothing else may be asked."""
    if not isinstance(fact, Mapping):
        # None at all is a fact that was lost; another one hides the interface.
        if fact is None:
            yield "they list the interface {0} and say nothing of it".format(shown(name))
        return
    if fact.get("device", name) != name:
        yield "they have one fact for both {0} and {1}".format(shown(name), shown(fact["device"]))
    if not isinstance(fact.get("ipv4") or {}, Mapping):
        yield "they are not of the form that Linux has"
    for key, kind in _KINDS:
        if not isinstance(fact.get(key) or kind(), kind):
            yield "{0} of the interface {1} is {2}".format(key, shown(name), shown(fact[key]))
    for key in _MEMBERS:
        if not all(isinstance(member, str) for member in fact.get(key) or ()):
            yield "{0} of the interface {1} is {2}".format(key, shown(name), shown(fact[key]))
    listed = [fact.get("ipv4") or {}, *(fact.get("ipv4_secondaries") or ()), *(fact.get("ipv6") or ())]
    for item in listed:
        if not isinstance(item, Mapping) or not _is_address(item):
            yield "an address of the interface {0} is {1}".format(shown(name), shown(item))


def _is_address(item: Mapping[str, Any]) -> bool:
    address = item.get("address")
    if not address:
        return True
    length = item.get("prefix") or item.get("netmask")
    try:
        # In older versions of Ansible, IPv4 has no prefix.
        ipaddress.ip_interface("{0}/{1}".format(address, length) if length else address)
    except ValueError:
        return False
    return isinstance(address, str) and isinstance(item.get("scope") or "", str)


def _is_route(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("interface") or "", str)


_OTHERS: Tuple[Tuple[str, Callable[[Any], bool]], ...] = (
    ("nodename", lambda value: isinstance(value, str)),
    ("default_ipv4", _is_route),
    ("default_ipv6", _is_route),
    ("dns", lambda value: isinstance(value, Mapping) and isinstance(value.get("nameservers") or [], list)),
    ("env", lambda value: isinstance(value, Mapping)),
)


def _other_problems(facts: Mapping[str, Any]) -> Iterator[str]:
    for key, is_right in _OTHERS:
        if facts.get(key) and not is_right(facts[key]):
            yield "{0} is {1}".format(key, shown(facts[key]))
