# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evaluates one packet on its path through a host's chains.

felix, rules/static.go and rules/endpoints.go. Follows all possible outcomes.
"""

from __future__ import annotations

import functools
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple, cast

from .._policies._felix.config import Failsafe, Felix, is_excluded
from .._policies.connection import FORWARD, IN, OUT, Packet
from .._policies.model import ALLOW, DENY, EGRESS, INGRESS, IPTABLES, NORMAL, PRE_DNAT, UNTRACKED
from ._rules.endpoint_rules import FORWARDED, EndpointRules
from ._rules.overlooked import PacketEnd
from .evaluator import Evaluator
from .failsafe_match import match_failsafes
from .fatal import WHICH_DATAPLANE
from .path import Path
from .resolution import ALL_INTERFACES, Candidate, Interface
from .verdict import GO_ON, UNGOVERNED, RuleOutcome

# The states of a packet in connection tracking.
NEW, ESTABLISHED, INVALID = "new", "established", "invalid"
# What decides if nftables evaluates no policy.
NO_POLICY_EVALUATED = "connection tracking, with nftables"

# Neighbour solicitation and advertisement.
NEIGHBOURS = (135, 136)
# ICMPv6 types that Linux never tracks (net/netfilter/nf_conntrack_proto_icmpv6.c).
_NEVER_TRACKED = (130, 131, 132, 133, 134, *NEIGHBOURS, 143)
# Before, an endpoint for all interfaces has pre-DNAT policy only, and other traffic is allowed.
_WILDCARD_SINCE = (3, 14, 0)

_EXCLUDED = "interfaceExclude matches {0}, so Felix ignores the interface, and Calico lets everything through"


class PacketFilter:
    """Evaluates packets with the chains of a host."""

    def __init__(self, evaluator: Evaluator, node: str, interfaces: Mapping[str, Interface], felix: Felix) -> None:
        self._evaluator = evaluator
        self._node = node
        self._interfaces = interfaces
        self._felix = felix
        self._known_rules: Dict[str, EndpointRules] = {}

    def follow(self, path: Path, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        """All possible outcomes of one packet, each with whether the packet is then untracked."""
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
            for received, received_untracked in self._in(path.incoming, packet, state):
                doubt = received.doubt or sent.doubt
                results.append((received._replace(doubt=doubt), sent_untracked or received_untracked))
        return results

    def _in(self, interface: Interface, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        entered = self._enter(interface, packet, state)
        return _then(entered, lambda: self._filtered(interface, INGRESS, packet, state))

    def _out(self, interface: Interface, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        raw = [(each, each.action == ALLOW) for each in self._raw(interface, EGRESS, packet)]
        return _then(raw, lambda: self._filtered(interface, EGRESS, packet, state))

    def _forward(self, path: Path, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        """Forwarded from one interface to another: both must allow it."""
        results: List[Tuple[RuleOutcome, bool]] = []
        for entered, is_untracked in self._enter(path.incoming, packet, state):
            if entered.action == DENY:
                results.append((entered, is_untracked))
                continue
            # A packet that was allowed before is not evaluated again at the incoming interface.
            first = [entered]
            if entered.action != ALLOW:
                first = self._filtered(path.incoming, INGRESS, packet, state, True)
            for each in first:
                each = each._replace(doubt=each.doubt or entered.doubt)
                if each.action == DENY or each.by.startswith("failsafe"):
                    results.append((each, is_untracked))
                    continue
                left = NEW if is_untracked else state
                for last in self._filtered(path.outgoing, EGRESS, packet, left, True):
                    if last.by == UNGOVERNED.by:
                        last = each
                    results.append((last._replace(doubt=last.doubt or each.doubt), is_untracked))
        return results

    def _enter(self, interface: Interface, packet: Packet, state: str) -> List[Tuple[RuleOutcome, bool]]:
        """Before routing: untracked and pre-DNAT policies. Also returns whether the packet is untracked."""
        results: List[Tuple[RuleOutcome, bool]] = []
        for raw in self._raw(interface, INGRESS, packet):
            if raw.action != GO_ON or state != NEW:
                results.append((raw, raw.action == ALLOW))
                continue
            for each in self._pre_dnat(interface, packet):
                results.append((each._replace(doubt=each.doubt or raw.doubt), False))
        return results

    def _raw(self, interface: Interface, direction: str, packet: Packet) -> List[RuleOutcome]:
        """The outcomes of untracked policies. Failsafes of both directions continue."""
        if not self.is_untracked(interface):
            return [RuleOutcome(GO_ON)]
        safes = match_failsafes(self._failsafes(direction), direction, packet)
        other = EGRESS if direction == INGRESS else INGRESS
        safes += match_failsafes(self._failsafes(other), direction, packet, by_source=True)
        results = [RuleOutcome(GO_ON, doubt=each.doubt) for each in safes]
        if any(not each.doubt for each in results):
            return results
        return results + self._decide(interface, UNTRACKED, direction, packet)

    def _pre_dnat(self, interface: Interface, packet: Packet) -> List[RuleOutcome]:
        if interface.governing is None or PRE_DNAT not in self._rules_for(interface).kinds:
            return [RuleOutcome(GO_ON)]
        safes = match_failsafes(self._failsafes(INGRESS), INGRESS, packet)
        results = [RuleOutcome(GO_ON, doubt=each.doubt) for each in safes]
        if any(not each.doubt for each in results):
            return results
        return results + self._decide(interface, PRE_DNAT, INGRESS, packet)

    def _filtered(
        self, interface: Interface, direction: str, packet: Packet, state: str, is_forwarded: bool = False
    ) -> List[RuleOutcome]:
        """The outcomes of the filter table for a packet that enters or leaves an interface."""
        if interface.governing is None:
            reason = _EXCLUDED if is_excluded(interface.name, self._felix.excluded) else UNGOVERNED.reason
            return [UNGOVERNED._replace(reason=reason.format(interface.name), doubt="")]
        if state == ESTABLISHED:
            return [RuleOutcome(ALLOW, "an established connection", "it belongs to an established connection")]
        passing: List[RuleOutcome] = []
        if direction == EGRESS and not is_forwarded and (state == INVALID or _is_never_tracked(packet)):
            passing = self.pass_nftables(state, packet)
        if passing and not passing[0].doubt:
            return passing
        return passing + self._filtered_by_iptables(interface, direction, packet, state, is_forwarded)

    def pass_nftables(self, state: str, packet: Optional[Packet] = None) -> List[RuleOutcome]:
        """With nftables, Felix evaluates no egress policy for a packet without a conntrack entry."""
        if self._felix.dataplane == IPTABLES:
            return []
        doubt = "" if self._felix.dataplane else "it depends on the dataplane, {0}".format(WHICH_DATAPLANE)
        if not doubt and state != INVALID and packet and packet.icmp and packet.icmp[0] not in NEIGHBOURS:
            doubt = "the effect of nftables on this ICMPv6 type was not measured"
        reason = "with nftables, Calico evaluates no egress policy for a packet without a conntrack entry"
        return [RuleOutcome(ALLOW, NO_POLICY_EVALUATED, reason, doubt)]

    def _filtered_by_iptables(
        self, interface: Interface, direction: str, packet: Packet, state: str, is_forwarded: bool
    ) -> List[RuleOutcome]:
        if state == INVALID:
            reason = "denied: its connection is unknown to connection tracking, because an untracked policy allows it"
            return [RuleOutcome(DENY, "connection tracking", reason)]
        if is_forwarded and self._felix.has_forward_policies:
            return self._decide(interface, FORWARDED, direction, packet)
        safes = match_failsafes(self._failsafes(direction), direction, packet)
        if any(not each.doubt for each in safes):
            return safes
        return safes + self._decide(interface, NORMAL, direction, packet)

    def _decide(self, interface: Interface, stage: str, direction: str, packet: Packet) -> List[RuleOutcome]:
        doubt = interface.doubt or self._wildcard_doubt(interface)
        if doubt:
            by = "host endpoint {0}".format(_governing(interface).name)
            actions = (ALLOW, DENY) if stage in (NORMAL, FORWARDED) else (ALLOW, DENY, GO_ON)
            return [RuleOutcome(action, by, "", doubt) for action in actions]
        outcomes = self._rules_for(interface).decide(stage, direction, packet)
        last = outcomes[-1]
        if last.action == DENY and not last.doubt:
            rules = self._rules_for(interface).passed_over(stage, direction, packet)
            return [
                *outcomes[:-1],
                last._replace(reason=last.reason + self._evaluator.overlooked(rules, packet, self._place)),
            ]
        return outcomes

    @functools.cached_property
    def _place(self) -> PacketEnd:
        return PacketEnd(self._node, {address for each in self._interfaces.values() for address in each.addresses})

    def _rules_for(self, interface: Interface) -> EndpointRules:
        found = self._known_rules.get(interface.name)
        if found is None:
            found = self._known_rules[interface.name] = self._evaluator.rules_for(_governing(interface).endpoint)
        return found

    def _failsafes(self, direction: str) -> Tuple[Failsafe, ...]:
        return self._felix.inbound if direction == INGRESS else self._felix.outbound

    def is_untracked(self, interface: Interface) -> bool:
        """Whether untracked policies are evaluated there; Felix omits them for an endpoint for all interfaces."""
        governing = interface.governing
        if governing is None or governing.endpoint.interface_name == ALL_INTERFACES:
            return False
        return UNTRACKED in self._rules_for(interface).kinds

    def _wildcard_doubt(self, interface: Interface) -> str:
        if _governing(interface).endpoint.interface_name != ALL_INTERFACES:
            return ""
        if self._felix.version is None or self._felix.version < _WILDCARD_SINCE:
            return (
                "the effect of an endpoint for all interfaces depends on the version: as any other since Calico v3.14"
            )
        return ""


def _governing(interface: Interface) -> Candidate:
    """The endpoint of a governed interface."""
    return cast(Candidate, interface.governing)


def _then(
    before: Iterable[Tuple[RuleOutcome, bool]], after: Callable[[], List[RuleOutcome]]
) -> List[Tuple[RuleOutcome, bool]]:
    """The earlier outcomes, with those that continue replaced by the later outcomes."""
    results: List[Tuple[RuleOutcome, bool]] = []
    for outcome, is_untracked in before:
        if outcome.action != GO_ON:
            results.append((outcome, is_untracked))
        else:
            results += [(last._replace(doubt=last.doubt or outcome.doubt), False) for last in after()]
    return results


def _is_never_tracked(packet: Packet) -> bool:
    return packet.version == 6 and packet.icmp is not None and packet.icmp[0] in _NEVER_TRACKED
