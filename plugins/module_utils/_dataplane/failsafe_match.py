# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Matches packets against failsafes."""

from __future__ import annotations

from typing import Iterable, List

from .._core.ip import is_in_net
from .._policies._felix.config import Failsafe
from .._policies.connection import Packet
from .._policies.model import ALLOW, EGRESS, INGRESS
from .verdict import RuleOutcome

_SIDES = {INGRESS: "inbound", EGRESS: "outbound"}


def match_failsafes(
    failsafes: Iterable[Failsafe], direction: str, packet: Packet, by_source: bool = False
) -> List[RuleOutcome]:
    """The outcomes of failsafes that match a packet, up to the first certain match."""
    results = []
    ports = packet.sport if by_source else packet.dport
    for failsafe in failsafes:
        if failsafe.protocol != packet.protocol or ports is None or not ports[0] <= failsafe.port <= ports[1]:
            continue
        other = packet.source if direction == INGRESS else packet.destination
        is_other = failsafe.net is None or is_in_net(failsafe.net, packet.version, other)
        if is_other is False:
            continue
        doubt = failsafe.doubt
        if not doubt and (ports[0] != ports[1] or is_other is None):
            doubt = "whether the failsafe {0} applies is unknown".format(failsafe)
        name = "failsafe {0}".format(failsafe)
        results.append(RuleOutcome(ALLOW, name, "allowed by the {0} {1}".format(_SIDES[direction], name), doubt))
        if not doubt:
            break
    return results
