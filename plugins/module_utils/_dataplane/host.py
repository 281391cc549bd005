# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict on a new connection of a host: allow, deny, or unknown with the reason.

Measured with the real Felix, 2.6.8 of Calico v1 and v3.32.1 of Calico v3; the differences between versions of v3 are
from the source of felix v3.0 to v3.32 (rules/static.go, rules/endpoints.go). All possible outcomes are followed; if
they differ, the verdict is unknown.
"""

from __future__ import annotations

import functools
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from .._core.ip import is_link_local
from .._core.protocols import ICMPV6, IPIP, UDP
from .._policies._felix.config import Felix, is_excluded
from .._policies._felix.failsafes import NONE_GIVEN, GivenFailsafes, with_failsafes
from .._policies.connection import IN, LOCAL, OUT, Connection, Packet
from .._policies.model import ALLOW, DENY, Selectable
from .._resources.hostendpoint import HostEndpoint
from .connection_filter import ConnectionFilter
from .evaluator import Evaluator
from .fatal import LAST_STAYS, NOT_FATAL, Fatal, decide_fatal
from .packet_filter import NEIGHBOURS, PacketFilter
from .path import Path, PathFinder
from .resolution import Interface, governed, parse_interfaces
from .verdict import GO_ON, UNKNOWN, ConnectionVerdict, RuleOutcome, combine_outcomes, with_neighbours, with_note

_FATAL = "Felix fails on a rule that {0} uses, {1}: {2}"


class HostDataplane:
    """A host with its interfaces, which evaluates connections."""

    def __init__(self, evaluator: Evaluator, node: str, interfaces: Mapping[str, Interface], felix: Felix) -> None:
        self._evaluator = evaluator
        self.node = node
        self.felix = felix
        self.candidates = evaluator.candidates(node)
        self.interfaces = {
            name: governed(each, self.candidates, is_excluded(name, felix.excluded))
            for name, each in interfaces.items()
        }
        self._paths = PathFinder(self.interfaces)
        self._connections = ConnectionFilter(PacketFilter(evaluator, node, self.interfaces, felix), felix)
        self._known_neighbours: Dict[str, ConnectionVerdict] = {}

    @functools.cached_property
    def problem(self) -> str:
        """Why Felix' behaviour on this host is unknown; "" if it is known."""
        return self.felix.problem or self.fatal.text

    @functools.cached_property
    def fatal(self) -> Fatal:
        """What Felix fails on among the rules of this host's endpoints and workloads; NOT_FATAL if nothing."""
        owners: List[Tuple[object, HostEndpoint]] = [
            (each.endpoint, each.endpoint) for each in self.candidates if not each.rejected
        ]
        for name, member in self._workloads:
            workload = HostEndpoint(labels=member.labels, profiles=member.profiles)
            owners.append(("the workload of {0}".format(name), workload))
        found = [
            Fatal(_FATAL.format(owner, LAST_STAYS, fatal.text), fatal.is_certain)
            for owner, endpoint in owners
            for fatal in [decide_fatal(self._evaluator.rules_for(endpoint).fatal, self.felix.dataplane)]
            if fatal.text
        ]
        found += [Fatal(text, False) for text in [self._evaluator.policy_set.fatal] if text]
        return min(found, key=lambda each: not each.is_certain, default=NOT_FATAL)

    @property
    def _workloads(self) -> List[Tuple[str, Selectable]]:
        """The known workloads of this host: the interface's name and the workload."""
        return self._evaluator.policy_set.workloads.get(self.node, [])

    def evaluate(self, connection: Connection) -> ConnectionVerdict:
        """The verdict on a connection."""
        if self.problem:
            return with_note(ConnectionVerdict(UNKNOWN, "unknown", self.problem), self.felix.note)
        path, why = self._paths.find(connection)
        if path is None:
            return ConnectionVerdict(UNKNOWN, "unknown", why)
        tunnel = self._tunnel(connection)
        if tunnel:
            return tunnel
        if connection.packet.version == 6 and not self.felix.polices_ipv6:
            reason = "Felix does not police IPv6, since Ipv6Support is false"
            return with_note(ConnectionVerdict(ALLOW, "Ipv6Support is false", reason), self.felix.note)
        answer = with_note(
            combine_outcomes(self._follow(path, connection.packet), self.felix.allow_doubt), self.felix.note
        )
        if connection.packet.version == 6 and connection.direction != LOCAL:
            return with_neighbours(answer, self._neighbours(path))
        return answer

    def find_interfaces(self, connection: Connection) -> List[Interface]:
        """The interfaces on the path of a connection; empty if the path is unknown."""
        path, _why = self._paths.find(connection)
        return path.interfaces if path else []

    def build_key(self, interface: Interface) -> Tuple[object, ...]:
        """A value that is equal for interfaces, of any hosts, that differ for a connection only in their addresses."""
        candidate = interface.governing
        rules = candidate and (id(self._evaluator.rules_for(candidate.endpoint)), candidate.endpoint.interface_name)
        is_workload = interface.name in [name for name, _member in self._workloads]
        doubt = interface.doubt and (interface.doubt, candidate and candidate.name)
        is_taken = interface.name in self.taken_for_workloads
        return interface.name, rules, doubt, is_workload, is_taken, self.felix, self.problem

    def neighbours(self, name: str) -> ConnectionVerdict:
        """The verdict on IPv6 neighbour discovery on an interface."""
        if self.problem:
            return with_note(ConnectionVerdict(UNKNOWN, "unknown", self.problem), self.felix.note)
        return self._neighbours(Path(self.interfaces[name], None, IN))

    def _tunnel(self, connection: Connection) -> Optional[ConnectionVerdict]:
        """The verdict on a connection that may be a tunnel of Calico; None if it is not."""
        packet, felix = connection.packet, self.felix
        udp_port = packet.dport[0] if packet.protocol == UDP and packet.dport else None
        name = "IPIP" if packet.version == 4 and packet.protocol == IPIP and felix.has_ipip else ""
        if udp_port in felix.vxlan_ports and packet.version in felix.vxlan_versions:
            name = "VXLAN"
        if udp_port in felix.wireguard_ports:
            name = "WireGuard"
        elif name and felix.tunnel_hosts is not None and connection.direction in (IN, OUT):
            other = packet.source if connection.direction == IN else packet.destination
            if (packet.version, other) not in felix.tunnel_hosts:
                reason = "denied: {0} comes from an address that no node has, and Felix drops it before any policy"
                return ConnectionVerdict(DENY, name, reason.format(name)) if connection.direction == IN else None
        if not name:
            return None
        return ConnectionVerdict(UNKNOWN, name, "unknown: Felix may have its own rules, before any policy, for " + name)

    def _follow(self, path: Path, packet: Packet) -> List[RuleOutcome]:
        """All possible outcomes of a connection."""
        for interface in path.interfaces:
            blocked = self._as_workload(interface)
            if blocked:
                return [blocked]
        return self._connections.follow(path, packet)

    @functools.cached_property
    def taken_for_workloads(self) -> List[str]:
        """The host's own interfaces that Felix of Calico v3 treats as workload interfaces, removing their addresses."""
        if not self.felix.removes_addresses:
            return []
        return [
            name
            for name, each in sorted(self.interfaces.items())
            if name.startswith(self.felix.workload_prefixes)
            and any(not is_link_local(address) for address in each.addresses)
        ]

    def _as_workload(self, interface: Interface) -> Optional[RuleOutcome]:
        """The outcome for all traffic of an interface that Felix treats as a workload interface; None for any other."""
        prefixes = [prefix for prefix in self.felix.workload_prefixes if interface.name.startswith(prefix)]
        if not prefixes:
            return None
        by = "InterfacePrefix {0}".format(prefixes[0])
        known = [name for name, _member in self._workloads]
        if interface.name in self.taken_for_workloads:
            reason = (
                "denied: {0} begins with interfacePrefix {1}, so Felix treats it as a workload interface and removes "
                "its addresses"
            )
            return RuleOutcome(DENY, by, reason.format(interface.name, prefixes[0]))
        if not self.felix.denies_unknown_workloads or interface.name in known:
            doubt = "{0} is an interface of a workload, which host endpoints do not govern".format(interface.name)
            return RuleOutcome(GO_ON, by, "", doubt)
        reason = (
            "denied: {0} begins with InterfacePrefix {1}, so Felix treats it as the interface of an unknown workload"
        )
        return RuleOutcome(DENY, by, reason.format(interface.name, prefixes[0]))

    def _neighbours(self, path: Path) -> ConnectionVerdict:
        """The worst verdict on neighbour discovery on the interfaces, over all messages and both directions."""
        found = [self._find_neighbours(each) for each in path.interfaces]
        return next(each for verdict in (DENY, UNKNOWN, ALLOW) for each in found if each.verdict == verdict)

    def _find_neighbours(self, interface: Interface) -> ConnectionVerdict:
        """The worst verdict on an interface. Only the verdict is of use, since hosts with the same rules share it."""
        if interface.name in self._known_neighbours:
            return self._known_neighbours[interface.name]
        shared, key = self._evaluator.known_neighbours, self.build_key(interface)
        found = shared.get(key)
        if found is None:
            outcomes: List[ConnectionVerdict] = []
            for kind in NEIGHBOURS:
                packet = Packet(6, ICMPV6, None, None, None, None, (kind, 0))
                for way in (Path(interface, None, IN), Path(None, interface, OUT)):
                    outcomes.append(combine_outcomes(self._follow(way, packet), ""))
            worst = (each for verdict in (DENY, UNKNOWN, ALLOW) for each in outcomes if each.verdict == verdict)
            found = shared[key] = next(worst)
        self._known_neighbours[interface.name] = found
        return found


def build_host(
    evaluator: Evaluator,
    node: str,
    interfaces: Mapping[str, Sequence[str]],
    failsafes: GivenFailsafes = NONE_GIVEN,
    dataplane: str = "",
) -> HostDataplane:
    """A host with its interfaces: addresses, optionally with a prefix length, by name. Raises InvalidInput.

    `failsafes` and `dataplane` override the stored settings of its Felix.
    """
    return build_parsed_host(evaluator, node, parse_interfaces(interfaces), failsafes, dataplane)


def build_parsed_host(
    evaluator: Evaluator,
    node: str,
    interfaces: Mapping[str, Interface],
    failsafes: GivenFailsafes = NONE_GIVEN,
    dataplane: str = "",
) -> HostDataplane:
    """The same with interfaces that are parsed, since a host is often evaluated in several states."""
    felix = with_failsafes(evaluator.felix(node, dataplane), failsafes, node)
    return HostDataplane(evaluator, node, interfaces, felix)
