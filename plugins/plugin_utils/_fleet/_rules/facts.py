# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the facts of a host, as the module `setup` returns them on Linux. The host controls them, so they are checked.

Names of facts contain no dash: the fact of br-lan is br_lan. Plain Python, without Ansible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Collection, Dict, Iterator, List, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import shown
from ansible_collections.netsec.calico.plugins.module_utils._core.ip import parse_address, parse_prefix_length

# Far more than any host has. The endpoints of facts take time and memory on the controller.
MOST_INTERFACES = 10000
MOST_ADDRESSES = 10000
LONGEST_NAME = 255
# The keys under which the fact of a bond or bridge names its members.
_MEMBERS = ("slaves", "interfaces")
# The keys that are read from the fact of an interface. Most of it is what ethtool says about the device.
_KEYS = ("device", "type", "active", "module", "pciid", "macaddress", "ipv4", "ipv4_secondaries", "ipv6", *_MEMBERS)
# The other facts that are read, whatever their types.
_WHOLE = (
    *("interfaces", "network_os", "net_system", "system", "nodename"),
    *("default_ipv4", "default_ipv6", "dns", "env"),
)


def select_facts(facts: Mapping[str, Any]) -> Dict[str, Any]:
    """The facts that are read here, which every function of this package reads as it reads all facts.

    Of other facts, it keeps those that are neither lists nor mappings. Those are None.
    """
    found = {key: None if isinstance(value, (list, Mapping)) else value for key, value in facts.items()}
    found.update({key: facts[key] for key in _WHOLE if key in facts})
    names = facts.get("interfaces")
    for name in names if isinstance(names, (list, tuple)) and len(names) <= MOST_INTERFACES else ():
        key = name.replace("-", "_") if isinstance(name, str) else ""
        if key in facts and key not in _WHOLE:
            fact = facts[key]
            is_fact = isinstance(fact, Mapping)
            found[key] = {each: fact[each] for each in _KEYS if each in fact} if is_fact else fact
    return found


def why_unusable(facts: Mapping[str, Any]) -> str:
    """Why these facts do not describe the host's interfaces; "" if they do.

    Incomplete facts must not look like a host without interfaces: its endpoints would be purged.
    """
    reason = next(_problems(facts), "")
    return (_foreign(facts) or reason) if reason else ""


def hidden_interfaces(facts: Mapping[str, Any]) -> List[str]:
    """The interfaces that the facts do not describe, because another fact has their name, for example dns."""
    names = facts.get("interfaces") or ()
    known = {name for name in names if _is_device(name, facts)}
    return [name for name in names if name not in known and not _is_label(name, known)]


def devices(facts: Mapping[str, Any]) -> Iterator[Tuple[str, Mapping[str, Any], List[Mapping[str, Any]]]]:
    """The interfaces of a host with usable facts: the name, its fact, and the facts of its addresses with labels."""
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
    """The temporary IPv6 addresses of an interface (RFC 8981), as far as its fact shows them.

    The fact has no flags, but an order. `setup` lists the output of `ip addr show primary`, and then the output of `ip
    addr show secondary`, which for IPv6 are the temporary addresses. The kernel sorts addresses by scope, link-local
    addresses last. So an address after a link-local address is in the second list. It has the same network as the
    address of the first list from which the kernel created it.
    """
    first, networks, found = set(), set(), []
    is_second_list = False
    for each in read_ipv6(fact):
        address, network = each["address"], parse_address(each["address"])[1] >> 64
        if each.get("scope") == "link":
            is_second_list = True
        elif not is_second_list:
            first.add(address)
            networks.add(network)
        elif address not in first and network in networks:
            found.append(address)
    return found


def read_masters(facts: Mapping[str, Any]) -> Dict[str, List[str]]:
    """{interface: the bonds and bridges that it is a member of}"""
    found: Dict[str, List[str]] = {}
    for name, device, _aliases_of_it in devices(facts):
        for key in _MEMBERS:
            for member in device.get(key) or ():
                found.setdefault(member, []).append(name)
    return found


def _fact(name: str, facts: Mapping[str, Any]) -> Any:
    # Ansible replaces the dash in the names of facts, but not in their values.
    return facts.get(name.replace("-", "_"))


def _is_device(name: str, facts: Mapping[str, Any]) -> bool:
    # An address with a label ("eth0:1") is listed like an interface, but is not a device.
    fact = _fact(name, facts)
    return isinstance(fact, Mapping) and fact.get("device") == name


def _aliases(facts: Mapping[str, Any]) -> Dict[str, List[Mapping[str, Any]]]:
    """The facts of addresses with labels, by each possible interface: eth0_my_1 belongs to eth0 or eth0_my."""
    found: Dict[str, List[Mapping[str, Any]]] = {}
    for name in facts.get("interfaces") or ():
        fact = _fact(name, facts)
        if isinstance(fact, Mapping) and "device" not in fact:
            parts = name.split("_")
            for length in range(1, len(parts)):
                found.setdefault("_".join(parts[:length]), []).append(fact)
    return found


def _is_label(name: str, known: Collection[str]) -> bool:
    """Whether this may be an address with a label on a known interface: eth0_1 for eth0:1."""
    parts = name.split("_")
    return any("_".join(parts[:length]) in known for length in range(1, len(parts)))


# --- checks ---


def _foreign(facts: Mapping[str, Any]) -> str:
    """Why the facts are not those of a Linux host; "" if they are, or if this cannot be determined."""
    if not facts:
        return "no facts exist"
    network = facts.get("network_os") or facts.get("net_system")
    if network:
        return "they are from a network device ({0}), and only Linux is supported".format(shown(network))
    system = facts.get("system")
    if system and system != "Linux":
        return "they are from {0}, and only Linux is supported".format(shown(system))
    return ""


def _problems(facts: Mapping[str, Any]) -> Iterator[str]:
    names = facts.get("interfaces")
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        yield "they contain no list of interfaces"
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
        yield "they list more than {0} addresses".format(MOST_ADDRESSES)
    yield from _other_problems(facts)


# The types of the optional keys that are read from an interface.
_KINDS = (
    *((key, str) for key in ("type", "module", "pciid", "macaddress")),
    *((key, list) for key in ("ipv4_secondaries", "ipv6", *_MEMBERS)),
)


def _interface_problems(name: str, fact: Any) -> Iterator[str]:
    """The problems of the fact of one interface. After the first problem, the caller must not continue."""
    if not isinstance(fact, Mapping):
        # Without a fact, it was lost; another fact hides the interface.
        if fact is None:
            yield "they list the interface {0} but do not describe it".format(shown(name))
        return
    if fact.get("device", name) != name:
        yield "they contain one fact for both {0} and {1}".format(shown(name), shown(fact["device"]))
    if not isinstance(fact.get("ipv4") or {}, Mapping):
        yield "they do not have the format of Linux facts"
    for key, kind in _KINDS:
        if not isinstance(fact.get(key) or kind(), kind):
            yield "{0} of the interface {1} is invalid: {2}".format(key, shown(name), shown(fact[key]))
    for key in _MEMBERS:
        if not all(isinstance(member, str) for member in fact.get(key) or ()):
            yield "{0} of the interface {1} is invalid: {2}".format(key, shown(name), shown(fact[key]))
    listed = [fact.get("ipv4") or {}, *(fact.get("ipv4_secondaries") or ()), *(fact.get("ipv6") or ())]
    for item in listed:
        if not isinstance(item, Mapping) or not _is_address(item):
            yield "an address of the interface {0} is invalid: {1}".format(shown(name), shown(item))


def _is_address(item: Mapping[str, Any]) -> bool:
    address = item.get("address")
    if not address:
        return True
    length = item.get("prefix") or item.get("netmask")
    if not isinstance(address, str) or not isinstance(item.get("scope") or "", str):
        return False
    try:
        parse_address(address)
        # In older versions of Ansible, an IPv4 address has no prefix.
        return not length or parse_prefix_length(str(length), 6 if ":" in address else 4) >= 0
    except ValueError:
        return False


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
            yield "{0} is invalid: {1}".format(key, shown(facts[key]))
