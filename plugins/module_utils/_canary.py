# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The canary: the first few nodes that change, which have to answer before any other is changed."""

from __future__ import annotations

import dataclasses
import socket
import time
from typing import Any, List, Mapping, NamedTuple, Sequence, Tuple

from ._errors import InvalidInput, Refused, shown
from ._plan import Change

# Seconds that a host has for a connection, and between two of them.
_TIMEOUT = 3.0
_PAUSE = 0.5
# So many connections in a row that fail are no chance.
_TRIES = 3


class Place(NamedTuple):
    """Where a node's SSH is reached from here."""

    node: str
    host: str
    port: int

    def __str__(self) -> str:
        return "node {0} at {1} port {2}".format(self.node, self.host, self.port)

    def why_silent(self) -> str:
        """Why it does not take a new TCP connection; "" when it does.

        A connection that is there already would tell nothing: Linux lets its packets through, whatever the policy.
        """
        try:
            socket.create_connection((self.host, self.port), _TIMEOUT).close()
        except (OSError, UnicodeError) as exc:
            return str(exc)
        return ""


@dataclasses.dataclass(frozen=True)
class Canary:
    """How many nodes are tried first, and for how many seconds Felix may take its time."""

    count: int
    wait: float
    # In the order in which they are taken.
    places: Sequence[Place]

    def part(self, changes: Sequence[Change]) -> Tuple[List[Place], List[Change], List[Change]]:
        """The nodes that are tried, their changes, and all others. Raises Refused when no node can be tried.

        An endpoint that moves from one node to another is about both.
        """
        about = [(change, _nodes_of(change)) for change in changes]
        changing = set().union(*(nodes for _change, nodes in about))
        tried = [place for place in self.places if place.node in changing][: self.count]
        if changes and not tried:
            text = "nothing was written, since of no node that changes ({0}) it is known where its SSH is reached"
            raise Refused(text.format(_listed(sorted(changing)) + ", so there can be no canary"))
        names = {place.node for place in tried}
        return (
            tried,
            [change for change, nodes in about if nodes <= names],
            [change for change, nodes in about if not nodes <= names],
        )

    def check_before(self, places: Sequence[Place]) -> None:
        """Raise Refused when one does not answer although nothing was changed yet: it would prove nothing."""
        for place in places:
            reason = place.why_silent()
            if reason:
                text = (
                    "nothing was written, since the canary, {0}, does not take a TCP connection already before its "
                    "endpoints change: {1}"
                )
                raise Refused(text.format(place, reason))

    def lost(self, places: Sequence[Place]) -> List[Tuple[Place, str]]:
        """Those that do not take new connections any more, and why; looked at until the time to wait is over."""
        end = time.monotonic() + self.wait
        failures = dict.fromkeys(places, 0)
        while True:
            reasons = {place: place.why_silent() for place in places}
            for place, reason in reasons.items():
                failures[place] = failures[place] + 1 if reason else 0
            gone = [(place, reasons[place]) for place in places if failures[place] >= _TRIES]
            if gone or (time.monotonic() >= end and not any(failures.values())):
                return gone
            time.sleep(_PAUSE)

    def answering_again(self, places: Sequence[Place]) -> List[Place]:
        """Those that take new connections, within the time to wait."""
        end = time.monotonic() + self.wait
        silent = list(places)
        while True:
            silent = [place for place in silent if place.why_silent()]
            if not silent or time.monotonic() >= end:
                return [place for place in places if place not in silent]
            time.sleep(_PAUSE)


def canary_of(count: int, wait: float, facts: Mapping[str, Any]) -> Canary:
    """What a task's options say, with the guard's facts by node. Raises InvalidInput."""
    if count < 0 or not 0 <= wait <= 3600:
        raise InvalidInput(["canary is a number of nodes from 0, and canary_wait of seconds from 0 to 3600"])
    places = []
    for node, of_node in facts.items():
        reached = of_node.get("reached_at") if isinstance(of_node, Mapping) else None
        if reached is None:
            continue
        host, port = (reached.get("host"), reached.get("port", 22)) if isinstance(reached, Mapping) else (None, None)
        if not isinstance(host, str) or not host or not isinstance(port, int) or not 0 < port <= 65535:
            text = "guard_facts[{0}].reached_at: {1} has no host, or a port that is none"
            raise InvalidInput([text.format(node, shown(reached))])
        places.append(Place(node, host, port))
    return Canary(count, wait, places)


def _nodes_of(change: Change) -> set:
    nodes = {
        endpoint.node for endpoint in (change.after, change.before.endpoint if change.before else None) if endpoint
    }
    # Of a value that cannot be read, v3 does not tell the node.
    return nodes - {""} or {change.identity.node}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
