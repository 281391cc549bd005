# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evaluates a connection: its first packet and the first answer to it."""

from __future__ import annotations

from typing import List

from .._core.protocols import ICMP, ICMPV6, TCP, UDP, UDPLITE
from .._policies._felix.config import Felix
from .._policies.connection import IN, Packet
from .._policies.model import ALLOW, DENY
from .packet_filter import ESTABLISHED, INVALID, NEW, NO_POLICY_EVALUATED, PacketFilter
from .path import Path
from .verdict import RuleOutcome


class ConnectionFilter:
    """Evaluates connections with the chains of a host and its connection tracking."""

    def __init__(self, packets: PacketFilter, felix: Felix) -> None:
        self._packets = packets
        self._felix = felix

    def follow(self, path: Path, packet: Packet) -> List[RuleOutcome]:
        """All possible outcomes of a connection: of its first packet and of the first answer to it."""
        results: List[RuleOutcome] = []
        for sent, is_untracked in self._packets.follow(path, packet, NEW):
            if sent.action == DENY or not any(self._packets.is_untracked(each) for each in path.interfaces):
                results.append(sent)
                continue
            for back in self._answers(path.back(), packet, is_untracked):
                if back.action == DENY:
                    reason = "the first packet is allowed, but the answer is not: {0}".format(back.reason)
                    results.append(back._replace(reason=reason, doubt=back.doubt or sent.doubt))
                else:
                    results.append(sent._replace(doubt=back.doubt or sent.doubt))
        return results

    def _answers(self, path: Path, packet: Packet, is_untracked: bool) -> List[RuleOutcome]:
        """All possible outcomes of the answer to an allowed packet."""
        is_answered = packet.protocol in (TCP, UDP, UDPLITE) or packet.icmp and packet.icmp[0] in (8, 128)
        if not is_answered:
            return [RuleOutcome(ALLOW)]
        state = ESTABLISHED
        if is_untracked:
            state = INVALID if packet.protocol in (TCP, ICMP, ICMPV6) and self._felix.drops_invalid else NEW
        results: List[RuleOutcome] = []
        for back, back_untracked in self._packets.follow(path, packet.answer(), state):
            if back.by == NO_POLICY_EVALUATED and packet.protocol == TCP:
                # The packet after the answer starts a new connection for connection tracking, and is evaluated.
                following = [each for each, _untracked in self._packets.follow(path, packet.answer(), NEW)]
                results += [each._replace(doubt=each.doubt or back.doubt) for each in following]
            elif back.action == ALLOW and back_untracked and not is_untracked and packet.protocol == TCP:
                results += self._after_untracked_answer(path, back)
            else:
                results.append(back)
        return results

    def _after_untracked_answer(self, path: Path, back: RuleOutcome) -> List[RuleOutcome]:
        """The outcomes if connection tracking has not seen the answer: the next packet is invalid."""
        reason = "an untracked policy allows the answer ({0}), but the connection is tracked".format(back.by)
        last = back._replace(action=DENY if self._felix.drops_invalid else ALLOW, reason=reason)
        # The next packet has the path of the first packet.
        passing = self._packets.pass_nftables(INVALID) if path.direction == IN else []
        return passing if passing and not passing[0].doubt else [*passing, last]
