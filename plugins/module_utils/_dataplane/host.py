# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a new connection of a host: allow, deny, or unknown with the reason.

It was measured with the real Felix, 2.6.8 of Calico v1 and v3.32.1 of Calico v3; what differs between versions of v3
was read in felix of v3.0 to v3.32 (rules/static.go, rules/endpoints.go). Everything that may happen is followed; where
it does not all come to the same, the verdict is unknown.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, cast

from .._policies._felix.config import Failsafe, Felix, is_excluded
from .._policies._felix.failsafes import NONE_GIVEN, GivenFailsafes, with_failsafes
from .._policies.connection import (
    FORWARD,
    ICMP,
    ICMPV6,
    IN,
    IPIP,
    LOCAL,
    OUT,
    TCP,
    UDP,
    UDPLITE,
    Address,
    Connection,
    Net,
    Packet,
    format_address,
    is_link_local,
    is_loopback,
)
from .._policies.model import ALLOW, DENY, EGRESS, INGRESS, IPTABLES, NORMAL, PRE_DNAT, UNTRACKED, Selectable
from .._resources.hostendpoint import HostEndpoint
from .endpoint_rules import FORWARDED, GO_ON, EndpointRules, RuleOutcome
from .evaluator import Evaluator
from .fatal import LAST_STAYS, NOT_FATAL, WHICH_DATAPLANE, Fatal, decide_fatal
from .overlooked import PacketEnd
from .resolution import ALL_INTERFACES, LOOPBACK, Candidate, Interface, governed, parse_interfaces, without_length

UNKNOWN = "unknown"

# How connection tracking sees a packet.
_NEW, _ESTABLISHED, _INVALID = "new", "established", "invalid"

# Neighbour solicitation and advertisement.
_NEIGHBOURS = (135, 136)
# What Linux never tracks of ICMPv6 (net/netfilter/nf_conntrack_proto_icmpv6.c).
_NEVER_TRACKED = (130, 131, 132, 133, 134, *_NEIGHBOURS, 143)

# Of a wildcard, before: pre-DNAT policy only, and the rest allowed.
_WILDCARD_SINCE = (3, 14, 0)

# What decides where nftables evaluates no policy.
_NOT_ASKED = "connection tracking, with nftables"
_UNGOVERNED = RuleOutcome(
    ALLOW, "no endpoint governs the interface", "no endpoint governs {0}, so Calico lets it through"
)
_EXCLUDED = "interfaceExclude matches {0}, so Felix ignores the interface, and Calico lets everything through"

_FATAL = "Felix fails on a rule that {0} uses, {1}: {2}"


class ConnectionVerdict(NamedTuple):
    """What becomes of a connection."""

    # ALLOW, DENY or UNKNOWN.
    verdict: str
    # The failsafe, the rule, or what else decides.
    decided_by: str
    # A sentence.
    reason: str
    # Of a connection over IPv6: what becomes of neighbour discovery on the interfaces on its way, without which it
    # fails as soon as the neighbour is not cached. "" of any other.
    neighbour_discovery: str = ""


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
        self._known_asked: Dict[str, EndpointRules] = {}
        self._known_neighbours: Dict[Tuple[str, ...], ConnectionVerdict] = {}

    @functools.cached_property
    def problem(self) -> str:
        """Why nobody knows what Felix does on this host; "" when it is known."""
        return self.felix.problem or self.fatal.text

    @functools.cached_property
    def fatal(self) -> Fatal:
        """What Felix fails on, of what endpoints and workloads of this host use; an empty one when there is nothing."""
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
        """Those of this host that are known: the interface's name, and what a selector can select."""
        return self._evaluator.policy_set.workloads.get(self.node, [])

    def evaluate(self, connection: Connection) -> ConnectionVerdict:
        """What becomes of a connection."""
        if self.problem:
            return _noted(ConnectionVerdict(UNKNOWN, "unknown", self.problem), self.felix.note)
        path, why = self._path(connection)
        if path is None:
            return ConnectionVerdict(UNKNOWN, "unknown", why)
        tunnel = self._tunnel(connection)
        if tunnel:
            return tunnel
        if connection.packet.version == 6 and not self.felix.polices_ipv6:
            reason = "Felix does not police IPv6, since Ipv6Support is false"
            return _noted(ConnectionVerdict(ALLOW, "Ipv6Support is false", reason), self.felix.note)
        answer = _noted(_answer(self._connection(path, connection.packet), self.felix.allow_doubt), self.felix.note)
        if connection.packet.version == 6 and connection.direction != LOCAL:
            return _with_neighbours(answer, self._neighbours(path))
        return answer

    def interfaces_of(self, connection: Connection) -> List[Interface]:
        """The interfaces that a connection goes through; none when that is not known."""
        path, _why = self._path(connection)
        return path.interfaces if path else []

    def neighbours(self, name: str) -> ConnectionVerdict:
        """What becomes of IPv6's neighbour discovery on an interface."""
        if self.problem:
            return _noted(ConnectionVerdict(UNKNOWN, "unknown", self.problem), self.felix.note)
        return self._neighbours(_Path(self.interfaces[name], None, IN))

    def _tunnel(self, connection: Connection) -> Optional[ConnectionVerdict]:
        """What becomes of a connection that may be a tunnel of Calico's own; None when it is none."""
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

    def _path(self, connection: Connection) -> Tuple[Optional[_Path], str]:
        """The way of the first packet; None, and why, when it is not known."""
        packet, direction = connection.packet, connection.direction
        if direction == LOCAL:
            return _Path(self.interfaces[LOOPBACK], self.interfaces[LOOPBACK], LOCAL), ""
        into = out = None
        if direction != OUT:
            own = packet.destination if direction == IN else None
            into, why = self._interface(connection, "in_interface", packet.source, own)
            if into is None:
                return None, why
        if direction != IN:
            own = packet.source if direction == OUT else None
            out, why = self._interface(connection, "out_interface", packet.destination, own)
            if out is None:
                return None, why
        return _Path(into, out, direction), ""

    def _interface(
        self, connection: Connection, option: str, other: Optional[int], own: Optional[int]
    ) -> Tuple[Optional[Interface], str]:
        """The interface that the option names, else the one behind whose networks the other end is, or else, since it
        is behind a gateway, the one that has the host's own address. None, and why, where that is not certain.
        """
        name, version = getattr(connection, option), connection.packet.version
        if name:
            found = self.interfaces.get(name)
            return found, "" if found else "{0}: the host has no interface {1}".format(option, name)
        matching = [each for each in self.interfaces.values() if _is_behind(each, version, other)]
        nets = [net for each in matching for net in each.nets if _is_in(net, version, other)]
        if not matching and own is not None:
            matching = self._behind_gateway((version, own))
        for each in self.interfaces.values():
            for address in without_length(each, version) if each not in matching else ():
                # Its network may have the other end in it, or be the nearer one of two.
                if not nets or any(_is_in(net, *address) for net in nets):
                    return None, _NO_LENGTH.format(format_address(address), each.name, option)
        if len(matching) == 1:
            return matching[0], ""
        problem = "more than one interface leads there" if matching else "no interface has these addresses"
        return None, "{0}: give {1}".format(problem, option)

    def _behind_gateway(self, own: Address) -> List[Interface]:
        """The interfaces by which a connection of one of the host's own addresses comes and goes."""
        having = [each for each in self.interfaces.values() if own in each.addresses]
        if [each.name for each in having] != [LOOPBACK] or is_loopback(own):
            return having
        # Such as an address of a service.
        others = [each for each in self.interfaces.values() if each.name != LOOPBACK]
        return [each for each in others if any(address[0] == own[0] for address in each.addresses)]

    def _connection(self, path: _Path, packet: Packet) -> List[RuleOutcome]:
        """All that may become of a connection: of its first packet, and of the first answer to that."""
        for interface in path.interfaces:
            blocked = self._as_workload(interface)
            if blocked:
                return [blocked]
        results: List[RuleOutcome] = []
        for sent, is_untracked in self._packet(path, packet, _NEW):
            if sent.action == DENY or not any(self._is_untracked(each) for each in path.interfaces):
                results.append(sent)
                continue
            for back in self._answers(path.back(), packet, is_untracked):
                if back.action == DENY:
                    reason = "the first packet gets through, the answer does not: {0}".format(back.reason)
                    results.append(back._replace(reason=reason, doubt=back.doubt or sent.doubt))
                else:
                    results.append(sent._replace(doubt=back.doubt or sent.doubt))
        return results

    def _answers(self, path: _Path, packet: Packet, is_untracked: bool) -> List[RuleOutcome]:
        """What becomes of the answer to a packet that got through."""
        is_answered = packet.protocol in (TCP, UDP, UDPLITE) or packet.icmp and packet.icmp[0] in (8, 128)
        if not is_answered:
            return [RuleOutcome(ALLOW)]
        state = _ESTABLISHED
        if is_untracked:
            state = _INVALID if packet.protocol in (TCP, ICMP, ICMPV6) and self.felix.drops_invalid else _NEW
        results: List[RuleOutcome] = []
        for back, back_untracked in self._packet(path, packet.answer(), state):
            if back.by == _NOT_ASKED and packet.protocol == TCP:
                # What follows the answer begins a new connection for connection tracking, and is asked about.
                following = [each for each, _untracked in self._packet(path, packet.answer(), _NEW)]
                results += [each._replace(doubt=each.doubt or back.doubt) for each in following]
            elif back.action == ALLOW and back_untracked and not is_untracked and packet.protocol == TCP:
                results += self._after_untracked_answer(path, back)
            else:
                results.append(back)
        return results

    def _after_untracked_answer(self, path: _Path, back: RuleOutcome) -> List[RuleOutcome]:
        """What becomes of a connection whose answer connection tracking has not seen: the next packet is invalid."""
        reason = "an untracked policy lets the answer through ({0}), and the connection is tracked".format(back.by)
        last = back._replace(action=DENY if self.felix.drops_invalid else ALLOW, reason=reason)
        # The next one goes the way of the first.
        passing = self._passes_nftables(_INVALID) if path.direction == IN else []
        return passing if passing and not passing[0].doubt else [*passing, last]

    def _packet(self, path: _Path, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        """All that may become of one packet, and whether it is untracked then."""
        if path.direction == IN:
            return self._in(path.incoming, packet, state)
        if path.direction == OUT:
            return self._out(path.outgoing, packet, state)
        if path.direction == FORWARD:
            return self._forward(path, packet, state)
        results = []
        for sent, sent_untracked in self._out(path.outgoing, packet, state):
            if sent.action == DENY:
                results.append((sent, sent_untracked))
                continue
            for taken, taken_untracked in self._in(path.incoming, packet, state):
                doubt = taken.doubt or sent.doubt
                results.append((taken._replace(doubt=doubt), sent_untracked or taken_untracked))
        return results

    def _in(self, interface: Interface, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        entered = self._enter(interface, packet, state)
        return _then(entered, lambda: self._filtered(interface, INGRESS, packet, state))

    def _out(self, interface: Interface, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        raw = [(each, each.action == ALLOW) for each in self._raw(interface, EGRESS, packet)]
        return _then(raw, lambda: self._filtered(interface, EGRESS, packet, state))

    def _forward(self, path: _Path, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        """In at one interface, out at another: both must let it through."""
        results: List[Tuple[RuleOutcome, bool]] = []
        for entered, is_untracked in self._enter(path.incoming, packet, state):
            if entered.action == DENY:
                results.append((entered, is_untracked))
                continue
            # What was let through before is not asked again where it comes in.
            first = [entered]
            if entered.action != ALLOW:
                first = self._filtered(path.incoming, INGRESS, packet, state, True)
            for each in first:
                each = each._replace(doubt=each.doubt or entered.doubt)
                if each.action == DENY or each.by.startswith("failsafe"):
                    results.append((each, is_untracked))
                    continue
                left = _NEW if is_untracked else state
                for last in self._filtered(path.outgoing, EGRESS, packet, left, True):
                    if last.by == _UNGOVERNED.by:
                        last = each
                    results.append((last._replace(doubt=last.doubt or each.doubt), is_untracked))
        return results

    def _enter(self, interface: Interface, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        """Before routing: policies without tracking, and those before DNAT. Tells whether a packet is untracked."""
        results: List[Tuple[RuleOutcome, bool]] = []
        for raw in self._raw(interface, INGRESS, packet):
            if raw.action != GO_ON or state != _NEW:
                results.append((raw, raw.action == ALLOW))
                continue
            for each in self._pre_dnat(interface, packet):
                results.append((each._replace(doubt=each.doubt or raw.doubt), False))
        return results

    def _raw(self, interface: Interface, direction: str, packet: Packet) -> List[RuleOutcome]:
        """What policies without tracking make of a packet. Of failsafes, they let both directions go on."""
        if not self._is_untracked(interface):
            return [RuleOutcome(GO_ON)]
        safes = _failsafe(self._failsafes(direction), direction, packet)
        other = EGRESS if direction == INGRESS else INGRESS
        safes += _failsafe(self._failsafes(other), direction, packet, by_source=True)
        results = [RuleOutcome(GO_ON, doubt=each.doubt) for each in safes]
        if any(not each.doubt for each in results):
            return results
        return results + self._decide(interface, UNTRACKED, direction, packet)

    def _pre_dnat(self, interface: Interface, packet: Packet) -> List[RuleOutcome]:
        if interface.governing is None or PRE_DNAT not in self._asked(interface).kinds:
            return [RuleOutcome(GO_ON)]
        safes = _failsafe(self._failsafes(INGRESS), INGRESS, packet)
        results = [RuleOutcome(GO_ON, doubt=each.doubt) for each in safes]
        if any(not each.doubt for each in results):
            return results
        return results + self._decide(interface, PRE_DNAT, INGRESS, packet)

    def _filtered(
        self, interface: Interface, direction: str, packet: Packet, state: str, is_forwarded: bool = False
    ) -> List[RuleOutcome]:
        """What the filter makes of a packet that comes in at, or goes out of, an interface."""
        if interface.governing is None:
            reason = _EXCLUDED if is_excluded(interface.name, self.felix.excluded) else _UNGOVERNED.reason
            return [_UNGOVERNED._replace(reason=reason.format(interface.name), doubt="")]
        if state == _ESTABLISHED:
            return [RuleOutcome(ALLOW, "an established connection", "it belongs to a connection that is established")]
        passing: List[RuleOutcome] = []
        if direction == EGRESS and not is_forwarded and (state == _INVALID or _is_never_tracked(packet)):
            passing = self._passes_nftables(state, packet)
        if passing and not passing[0].doubt:
            return passing
        return passing + self._filtered_by_iptables(interface, direction, packet, state, is_forwarded)

    def _passes_nftables(self, state: str, packet: Optional[Packet] = None) -> List[RuleOutcome]:
        """With nftables, Felix evaluates no egress policy for a packet without a conntrack entry."""
        if self.felix.dataplane == IPTABLES:
            return []
        doubt = "" if self.felix.dataplane else "it depends on the dataplane, {0}".format(WHICH_DATAPLANE)
        if not doubt and state != _INVALID and packet and packet.icmp and packet.icmp[0] not in _NEIGHBOURS:
            doubt = "the effect of nftables on this ICMPv6 type was not measured"
        reason = "with nftables, Calico evaluates no egress policy for a packet without a conntrack entry"
        return [RuleOutcome(ALLOW, _NOT_ASKED, reason, doubt)]

    def _filtered_by_iptables(
        self, interface: Interface, direction: str, packet: Packet, state: str, is_forwarded: bool
    ) -> List[RuleOutcome]:
        if state == _INVALID:
            reason = "denied: connection tracking does not know its connection, since a policy lets that be untracked"
            return [RuleOutcome(DENY, "connection tracking", reason)]
        if is_forwarded and self.felix.has_forward_policies:
            return self._decide(interface, FORWARDED, direction, packet)
        safes = _failsafe(self._failsafes(direction), direction, packet)
        if any(not each.doubt for each in safes):
            return safes
        return safes + self._decide(interface, NORMAL, direction, packet)

    def _decide(self, interface: Interface, stage: str, direction: str, packet: Packet) -> List[RuleOutcome]:
        doubt = interface.doubt or self._wildcard_doubt(interface)
        if doubt:
            by = "host endpoint {0}".format(_governing(interface).name)
            actions = (ALLOW, DENY) if stage in (NORMAL, FORWARDED) else (ALLOW, DENY, GO_ON)
            return [RuleOutcome(action, by, "", doubt) for action in actions]
        outcomes = self._asked(interface).decide(stage, direction, packet)
        last = outcomes[-1]
        if last.action == DENY and not last.doubt:
            rules = self._asked(interface).passed_over(stage, direction, packet)
            return [
                *outcomes[:-1],
                last._replace(reason=last.reason + self._evaluator.overlooked(rules, packet, self._place)),
            ]
        return outcomes

    @functools.cached_property
    def _place(self) -> PacketEnd:
        return PacketEnd(self.node, {address for each in self.interfaces.values() for address in each.addresses})

    def _asked(self, interface: Interface) -> EndpointRules:
        found = self._known_asked.get(interface.name)
        if found is None:
            found = self._known_asked[interface.name] = self._evaluator.rules_for(_governing(interface).endpoint)
        return found

    def _failsafes(self, direction: str) -> Tuple[Failsafe, ...]:
        return self.felix.inbound if direction == INGRESS else self.felix.outbound

    def _is_untracked(self, interface: Interface) -> bool:
        """Whether policies without tracking are asked there; of a wildcard, Felix leaves them out."""
        governing = interface.governing
        if governing is None or governing.endpoint.interface_name == ALL_INTERFACES:
            return False
        return UNTRACKED in self._asked(interface).kinds

    def _wildcard_doubt(self, interface: Interface) -> str:
        if _governing(interface).endpoint.interface_name != ALL_INTERFACES:
            return ""
        if self.felix.version is None or self.felix.version < _WILDCARD_SINCE:
            return (
                "what an endpoint for all interfaces lets through depends on the version: since Calico v3.14 as others"
            )
        return ""

    @functools.cached_property
    def taken_for_workloads(self) -> List[str]:
        """The host's own interfaces that Felix of Calico v3 takes for workloads', whose addresses it removes."""
        if not self.felix.removes_addresses:
            return []
        return [
            name
            for name, each in sorted(self.interfaces.items())
            if name.startswith(self.felix.workload_prefixes)
            and any(not is_link_local(address) for address in each.addresses)
        ]

    def _as_workload(self, interface: Interface) -> Optional[RuleOutcome]:
        """The verdict for all traffic of an interface that Felix treats as a workload's; None for any other."""
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
            "denied: {0} begins with InterfacePrefix {1}, so for Felix it is that of a workload that it does not know"
        )
        return RuleOutcome(DENY, by, reason.format(interface.name, prefixes[0]))

    def _neighbours(self, path: _Path) -> ConnectionVerdict:
        """What becomes of neighbour discovery on the interfaces: of each of its messages, both ways."""
        key = tuple(each.name for each in path.interfaces)
        if key not in self._known_neighbours:
            outcomes: List[ConnectionVerdict] = []
            for interface in path.interfaces:
                for kind in _NEIGHBOURS:
                    packet = Packet(6, ICMPV6, None, None, None, None, (kind, 0))
                    for way in (_Path(interface, None, IN), _Path(None, interface, OUT)):
                        outcomes.append(_answer(self._connection(way, packet), ""))
            worst = [each for verdict in (DENY, UNKNOWN, ALLOW) for each in outcomes if each.verdict == verdict]
            self._known_neighbours[key] = worst[0]
        return self._known_neighbours[key]


def build_host(
    evaluator: Evaluator,
    node: str,
    interfaces: Mapping[str, Sequence[str]],
    failsafes: GivenFailsafes = NONE_GIVEN,
    dataplane: str = "",
) -> HostDataplane:
    """A host with its interfaces: their addresses, maybe with a prefix length, by name. Raises InvalidInput.

    `failsafes` and `dataplane` are those of its Felix that come before the stored ones.
    """
    felix = with_failsafes(evaluator.felix(node, dataplane), failsafes, node)
    return HostDataplane(evaluator, node, parse_interfaces(interfaces), felix)


@dataclasses.dataclass(frozen=True)
class _Path:
    """The way of a packet. An interface is None where it does not come in, or go out."""

    into: Optional[Interface]
    out: Optional[Interface]
    direction: str

    @property
    def interfaces(self) -> List[Interface]:
        found = [each for each in (self.into, self.out) if each]
        return found[:1] if self.direction == LOCAL else found

    @property
    def incoming(self) -> Interface:
        """The interface that it comes in by, unless it only goes out."""
        return cast(Interface, self.into)

    @property
    def outgoing(self) -> Interface:
        """The interface that it goes out by, unless it only comes in."""
        return cast(Interface, self.out)

    def back(self) -> _Path:
        return _Path(self.out, self.into, {IN: OUT, OUT: IN}.get(self.direction, self.direction))


def _governing(interface: Interface) -> Candidate:
    """The endpoint of an interface that is governed."""
    return cast(Candidate, interface.governing)


def _then(
    before: Iterable[Tuple[RuleOutcome, bool]], after: Callable[[], List[RuleOutcome]]
) -> List[Tuple[RuleOutcome, bool]]:
    """What was decided before, and for what goes on, what is decided after."""
    results: List[Tuple[RuleOutcome, bool]] = []
    for outcome, is_untracked in before:
        if outcome.action != GO_ON:
            results.append((outcome, is_untracked))
        else:
            results += [(last._replace(doubt=last.doubt or outcome.doubt), False) for last in after()]
    return results


def _failsafe(
    failsafes: Iterable[Failsafe], direction: str, packet: Packet, by_source: bool = False
) -> List[RuleOutcome]:
    """The failsafes that let a packet through, up to the first that surely does."""
    results = []
    ports = packet.sport if by_source else packet.dport
    for failsafe in failsafes:
        if failsafe.protocol != packet.protocol or ports is None or not ports[0] <= failsafe.port <= ports[1]:
            continue
        other = packet.source if direction == INGRESS else packet.destination
        is_other = failsafe.net is None or _is_in(failsafe.net, packet.version, other)
        if is_other is False:
            continue
        doubt = failsafe.doubt
        if not doubt and (ports[0] != ports[1] or is_other is None):
            doubt = "whether the failsafe {0} applies is not known".format(failsafe)
        name = "failsafe {0}".format(failsafe)
        results.append(RuleOutcome(ALLOW, name, "allowed by the {0} {1}".format(_SIDES[direction], name), doubt))
        if not doubt:
            break
    return results


_SIDES = {INGRESS: "inbound", EGRESS: "outbound"}


def _is_in(net: Net, version: int, number: Optional[int]) -> Optional[bool]:
    if net[0] != version:
        return False
    return None if number is None else net[1] <= number <= net[2]


_NO_LENGTH = (
    "which interface it uses is unknown, since {0} of {1} has no prefix length: give the lengths in interfaces, such "
    "as {{eth0: [192.0.2.7/24]}}, or {2}"
)


def _is_behind(interface: Interface, version: int, number: Optional[int]) -> bool:
    return any(_is_in(net, version, number) for net in interface.nets)


def _is_never_tracked(packet: Packet) -> bool:
    return packet.version == 6 and packet.icmp is not None and packet.icmp[0] in _NEVER_TRACKED


def noted(text: str, note: str) -> str:
    """The text with what is said of a version that was not measured."""
    return "{0} ({1})".format(text, note) if note else text


def _noted(answer: ConnectionVerdict, note: str) -> ConnectionVerdict:
    return answer._replace(reason=noted(answer.reason, note)) if note else answer


def _answer(outcomes: List[RuleOutcome], allow_doubt: str) -> ConnectionVerdict:
    """The verdict, if all that may happen comes to the same."""
    verdicts = {outcome.action for outcome in outcomes}
    last = outcomes[-1]
    if len(verdicts) == 1 and last.action != GO_ON:
        if last.action == ALLOW and allow_doubt and last.by != _UNGOVERNED.by:
            return ConnectionVerdict(UNKNOWN, last.by, "{0}, but {1}".format(last.reason, allow_doubt))
        certain = [outcome for outcome in outcomes if not outcome.doubt] or [last]
        return ConnectionVerdict(last.action, certain[-1].by, certain[-1].reason)
    doubtful = [outcome for outcome in outcomes if outcome.doubt]
    return ConnectionVerdict(UNKNOWN, doubtful[0].by, "unknown: {0}".format(doubtful[0].doubt))


def _with_neighbours(answer: ConnectionVerdict, neighbours: ConnectionVerdict) -> ConnectionVerdict:
    answer = answer._replace(neighbour_discovery=neighbours.verdict)
    if answer.verdict != ALLOW or neighbours.verdict == ALLOW:
        return answer
    text = "{0}; but neighbour discovery (icmpv6 types 135 and 136) is {1} in both directions, {2} {3}"
    how = ("not let through", "so") if neighbours.verdict == DENY else ("maybe not let through", "and then")
    return answer._replace(reason=text.format(answer.reason, *how, "it fails once the neighbour is not cached"))
