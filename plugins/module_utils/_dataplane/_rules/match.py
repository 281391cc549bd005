# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a rule matches a packet: True, False, or None if unknown.

felix, rules/policy.go (ProtoRuleToIptablesRules, CalculateRuleMatch).
"""

from __future__ import annotations

from typing import Iterable, Optional, Tuple

from ..._core.ip import BITS, Net
from ..._policies.connection import Packet, Ports
from ..._policies.model import Entity, Rule
from .ip_sets import IPSets

Known = Optional[bool]


def combine_all(answers: Iterable[Known]) -> Known:
    result: Known = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            result = None
    return result


def matches_statically(rule: Rule, packet: Packet) -> Known:
    """Whether the rule matches, apart from the addresses."""
    if rule.version not in (0, packet.version) or rule.protocol not in (0, packet.protocol):
        return False
    if rule.not_protocol and rule.not_protocol == packet.protocol:
        return False
    if rule.icmp and not _is_icmp(rule.icmp, packet):
        return False
    if rule.not_icmp and _is_icmp(rule.not_icmp, packet):
        return False
    source, destination = rule.source, rule.destination
    # A list of networks without any of the packet's version: the rule does not exist for this version.
    for nets in (source.nets, source.not_nets, destination.nets, destination.not_nets):
        if nets and not any(net[0] == packet.version for net in nets):
            return False
    ports = combine_all((_ports(source, packet.sport), _ports(destination, packet.dport)))
    return None if ports and rule.doubt else ports


def needs_addresses(rule: Rule) -> bool:
    return any(
        end.nets or end.not_nets or end.selectors or end.not_selectors or end.port_names or end.not_port_names
        for end in (rule.source, rule.destination)
    )


def matches_addresses(rule: Rule, packet: Packet, members: IPSets) -> Known:
    """Whether a rule that matches statically also matches the addresses."""
    source = matches_source(rule, packet, members)
    return False if source is False else combine_all((source, matches_destination(rule, packet, members)))


def matches_source(rule: Rule, packet: Packet, members: IPSets) -> Known:
    return _end(rule.source, rule, packet, packet.source, packet.sport, members)


def matches_destination(rule: Rule, packet: Packet, members: IPSets) -> Known:
    return _end(rule.destination, rule, packet, packet.destination, packet.dport, members)


def _is_icmp(expected: Tuple[int, Optional[int]], packet: Packet) -> bool:
    if packet.icmp is None or packet.icmp[0] != expected[0]:
        return False
    return expected[1] is None or packet.icmp[1] == expected[1]


def _ports(entity: Entity, ports: Optional[Ports]) -> Known:
    """Whether the ports match, apart from named ports, which depend on the address."""
    found: Known = True
    if entity.ports and not entity.port_names:
        found = _within(entity.ports, ports)
    if found is False or not entity.not_ports:
        return found
    without = _within(entity.not_ports, ports)
    return combine_all((found, None if without is None else not without))


def _within(expected: Tuple[Ports, ...], ports: Optional[Ports]) -> Known:
    if ports is None:
        return False
    first, last = ports
    if any(low <= first and last <= high for low, high in expected):
        return True
    return None if any(low <= last and first <= high for low, high in expected) else False


def _end(
    entity: Entity, rule: Rule, packet: Packet, address: Optional[int], ports: Optional[Ports], members: IPSets
) -> Known:
    if entity == _ANYTHING:
        return True
    answers = []
    if entity.nets:
        answers.append(_in_nets(entity.nets, packet.version, address))
    if entity.not_nets:
        inside = _in_nets(entity.not_nets, packet.version, address)
        answers.append(None if inside is None else not inside)
    if False in answers:
        return False
    for selector in entity.selectors:
        answers.append(members.selects(selector, packet.version, address))
    for selector in entity.not_selectors:
        selected = members.selects(selector, packet.version, address)
        answers.append(None if selected is None else not selected)
    if entity.port_names:
        numeric = _within(entity.ports, ports)
        named = _named(entity.port_names, rule, packet, address, ports, members)
        answers.append(True if True in (numeric, named) else None if None in (numeric, named) else False)
    if entity.not_port_names:
        named = _named(entity.not_port_names, rule, packet, address, ports, members)
        answers.append(None if named is None else not named)
    return combine_all(answers)


_ANYTHING = Entity()


def _in_nets(nets: Tuple[Net, ...], version: int, address: Optional[int]) -> Known:
    if address is None:
        covers_all = any(net[0] == version and net[2] - net[1] + 1 == 1 << BITS[version] for net in nets)
        return True if covers_all else None
    return any(net[0] == version and net[1] <= address <= net[2] for net in nets)


def _named(
    names: Tuple[str, ...],
    rule: Rule,
    packet: Packet,
    address: Optional[int],
    ports: Optional[Ports],
    members: IPSets,
) -> Known:
    """Whether the packet's port has one of these names at its address."""
    if ports is None:
        return False
    found: Known = False
    for name in names:
        numbers = members.has_port(name, rule.protocol or packet.protocol, packet.version, address)
        answer = None if numbers is None else _within(tuple([(number, number) for number in numbers]), ports)
        if answer:
            return True
        found = None if answer is None else found
    return found
