# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expectations: connections of a host that must be allowed or denied, as variables and options declare them."""

from __future__ import annotations

import functools
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..._core.errors import InvalidInput, shown
from ..._core.ip import Net, parse_net
from ..._core.protocols import ICMP, ICMPV6, NAMES, WITH_PORTS, parse_protocol
from ..._policies.connection import IN, OUT
from ..._policies.model import ALLOW, DENY
from ..._resources.nested_options import check_keys, parse_port

_KEYS = ("name", "direction", "protocol", "port", "peer", "expect")
# The ICMP of each version of IP.
_VERSIONS = {ICMP: 4, ICMPV6: 6}


class Expectation(NamedTuple):
    """Connections of a host that must be allowed, or that must be denied."""

    name: str
    # IN, from the peer, or OUT, to it.
    direction: str
    protocol: int
    # (None,) for a protocol without ports.
    ports: Tuple[Optional[int], ...]
    # A network or an address, or the name of a group or a host of the inventory.
    peer: str
    # The network; None for a name.
    net: Optional[Net]
    # ALLOW or DENY.
    expect: str

    @property
    def versions(self) -> Tuple[int, ...]:
        """The versions of IP that the protocol has."""
        return (_VERSIONS[self.protocol],) if self.protocol in _VERSIONS else (4, 6)

    def format_port(self, port: Optional[int]) -> str:
        """Protocol and port, such as tcp/22."""
        name = NAMES.get(self.protocol, str(self.protocol))
        return name if port is None else "{0}/{1}".format(name, port)

    def format_requirement(self, connection: str) -> str:
        """What is required of a connection, in words."""
        return "{0} must be {1}".format(connection, {ALLOW: "allowed", DENY: "denied"}[self.expect])


def parse_expectations(value: Any, where: str) -> List[Expectation]:
    """A list of expectations; `where` begins the messages. Raises InvalidInput with all problems.

    Whether a peer that is not a network is a host or a group of the inventory is not checked here.
    """
    if value is None or value == "":
        return []
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(["{0}: {1} is not a list; write an empty list as []".format(where, shown(value))])
    found: List[Expectation] = []
    problems: List[str] = []
    # {name: its place}
    places: Dict[str, str] = {}
    for index, each in enumerate(value):
        place = "{0}[{1}]".format(where, index)
        try:
            parsed = _parse_expectation(each, place)
        except InvalidInput as exc:
            problems += exc.problems
            continue
        first = places.setdefault(parsed.name, place)
        if first != place:
            problems.append(format_duplicate(parsed.name, place, first))
        found.append(parsed)
    if problems:
        raise InvalidInput(problems)
    return found


def format_duplicate(name: str, place: str, first: str) -> str:
    """Why the name of an expectation is invalid: a name identifies the expectation of a host in all reports."""
    text = "{0}.name: {1} is also the name of {2}; each expectation of a host must have its own name"
    return text.format(place, shown(name), first)


def _parse_expectation(given: Any, where: str) -> Expectation:
    check_keys(given, _KEYS, where)
    texts = {}
    for key in ("name", "peer"):
        texts[key] = given.get(key)
        if texts[key] in (None, ""):
            raise InvalidInput(["{0}.{1} is missing".format(where, key)])
        if not isinstance(texts[key], str):
            raise InvalidInput(["{0}.{1}: {2} is not a string".format(where, key, shown(texts[key]))])
    for key, choices in (("direction", (IN, OUT)), ("expect", (ALLOW, DENY))):
        if given.get(key) not in choices:
            text = "{0}.{1}: {2} is not valid; set {3}"
            raise InvalidInput([text.format(where, key, shown(given.get(key)), " or ".join(choices))])
    try:
        protocol = parse_protocol(given.get("protocol"))
    except ValueError as exc:
        raise InvalidInput(["{0}.protocol: {1} {2}".format(where, shown(given.get("protocol")), exc)]) from exc
    ports = _parse_ports(given.get("port"), where)
    if (ports == (None,)) == (protocol in WITH_PORTS):
        problem = "port is missing; {0} requires one" if ports == (None,) else "port is given, but {0} has no ports"
        raise InvalidInput(["{0}: {1}".format(where, problem.format(given["protocol"]))])
    net = _parse_net(texts["peer"])
    if net and net[0] != _VERSIONS.get(protocol, net[0]):
        text = "{0}.peer: {1} is not of the IP version of {2}"
        raise InvalidInput([text.format(where, shown(texts["peer"]), NAMES[protocol])])
    return Expectation(texts["name"], given["direction"], protocol, ports, texts["peer"], net, given["expect"])


def _parse_ports(value: Any, where: str) -> Tuple[Optional[int], ...]:
    if value is None:
        return (None,)
    if not isinstance(value, (list, tuple)):
        return (parse_port(value, where),)
    if not value:
        raise InvalidInput(["{0}.port: the list is empty; leave it out for a protocol without ports".format(where)])
    return tuple(dict.fromkeys([parse_port(each, where) for each in value]))


@functools.lru_cache(maxsize=65536)
def _parse_net(text: str) -> Optional[Net]:
    """The network; None for a name, of which parse_net remembers nothing."""
    try:
        return parse_net(text)
    except ValueError:
        return None
