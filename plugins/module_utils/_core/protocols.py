# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protocols above IP: their numbers, and the names that Calico gives them."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional

from .go_json import digits

ICMP, IPIP, TCP, UDP, ICMPV6, SCTP, UDPLITE = 1, 4, 6, 17, 58, 132, 136
# As Calico v3 spells them.
SPELLINGS: Dict[int, str] = {
    ICMP: "ICMP",
    TCP: "TCP",
    UDP: "UDP",
    ICMPV6: "ICMPv6",
    SCTP: "SCTP",
    UDPLITE: "UDPLite",
}
# In lower case, as Calico v1 spells them.
NAMES = {number: spelling.lower() for number, spelling in SPELLINGS.items()}
PROTOCOLS = {name: number for number, name in NAMES.items()}
# The protocols of failsafe ports, by their names.
FAILSAFE_PROTOCOLS = {NAMES[number]: number for number in (TCP, UDP)}
WITH_PORTS = frozenset([TCP, UDP, SCTP, UDPLITE])
# The protocols that may have ports in Calico v3's rules and endpoints.
WITH_PORTS_V3 = (TCP, UDP, SCTP)

_NUMBER = re.compile("0*[0-9]{1,3}")


def parse_protocol(value: Any) -> int:
    """The number of a protocol, from its name or number. Raises ValueError."""
    text = str(value).lower() if isinstance(value, (str, int)) else ""
    if text in PROTOCOLS:
        return PROTOCOLS[text]
    if _NUMBER.fullmatch(text) and 1 <= int(text[-3:]) <= 255:
        return int(text[-3:])
    raise ValueError("is not a valid protocol: {0} or a number from 1 to 255".format(", ".join(PROTOCOLS)))


def protocol_number(text: str) -> Optional[str]:
    """The digits of a protocol's number in a string, without leading zeros; None for any other string."""
    found = text.lstrip("0") or text[-1:]
    return found if digits(found, 255) >= 0 else None
