# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The canary: the first few nodes with changes, which must answer before other nodes are changed."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import socket
import time
from typing import Any, Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .._core.errors import InvalidInput, Refused, brief, format_message, get_option_name, join_first, shown
from .._plan.plan import Change
from .ending import Ending

# Seconds that a host has to accept a connection, and seconds between two connections.
_TIMEOUT = 3.0
# sshd may block more frequent connections as an attack.
_PAUSE = 1.0
# Number of consecutive failed connections after which a host counts as silent.
_TRIES = 3
# Maximum number of simultaneous connections.
_AT_ONCE = 20
# Seconds after which a run that a signal ends stops waiting.
_SLICE = 0.1
# Number of nodes that a message names.
_SHOWN = 3
_NO_PLACE = (
    "nothing was written: the SSH address of the {0} nodes{1} is unknown, so none can be canary; set reached_at in "
    "guard_facts (the role sets it for hosts that are reached directly by SSH)"
)


class CanaryNode(NamedTuple):
    """A node, and the address and port of its SSH server."""

    node: str
    host: str
    port: int

    def __str__(self) -> str:
        return "node {0} at {1} port {2}".format(self.node, self.host, self.port)

    def why_silent(self) -> str:
        """Why it does not accept a new TCP connection; "" when it does.

        An existing connection would prove nothing: Linux accepts its packets whatever the policy.
        """
        try:
            socket.create_connection((self.host, self.port), _TIMEOUT).close()
        except (OSError, UnicodeError) as exc:
            return str(exc)
        return ""


@dataclasses.dataclass(frozen=True)
class Canary:
    """The number of nodes to change first, and the seconds that Felix has to apply their changes."""

    count: int
    wait: float
    # In order of preference.
    places: Sequence[CanaryNode]

    def part(
        self, changes: Sequence[Change], affected: Optional[Collection[str]]
    ) -> Tuple[List[CanaryNode], List[Change], List[Change]]:
        """The canary's nodes, their changes, and all other changes. Raises Refused when no node can be tried.

        If an endpoint moves from one node to another, the canary includes both. If a change may affect all nodes, as
        that of a policy does, all changes are the canary's; its nodes are some of those that the changes affect (None
        if that is unknown).
        """
        if not all(map(_has_node, changes)):
            places = [place for place in self.places if affected is None or place.node in affected]
            if not places and (affected is None or affected):
                raise Refused(_NO_PLACE.format("affected", ""))
            return places[: self.count], list(changes), []
        linked = _linked([_list_nodes(change) for change in changes])
        names: Set[str] = set()
        tried: List[CanaryNode] = []
        for place in self.places:
            if place.node in linked and len(tried) < self.count:
                names |= linked[place.node]
                tried = [each for each in self.places if each.node in names]
        if not tried and any(change.after for change in changes):
            raise Refused(_NO_PLACE.format("changed", " ({0})".format(join_first(sorted(linked), _SHOWN))))
        about = [(change, bool(_list_nodes(change) & names)) for change in changes]
        return (
            tried,
            [change for change, is_tried in about if is_tried],
            [change for change, is_tried in about if not is_tried],
        )

    def check_before(self, places: Sequence[CanaryNode]) -> None:
        """Raise Refused when a node does not answer before the change, since the canary would prove nothing."""
        for place, reason in _why_silent(places, Ending()).items():
            if reason:
                text = (
                    "nothing was written: the canary {0} does not accept a TCP connection even before the change: {1}"
                )
                raise Refused(text.format(place, reason))

    def lost(self, places: Sequence[CanaryNode], ending: Ending) -> List[Tuple[CanaryNode, str]]:
        """The nodes that stop accepting new connections within the time to wait, and why.

        An empty list when the run is ended before that.
        """
        end = time.monotonic() + self.wait
        failures = dict.fromkeys(places, 0)
        left = list(places)
        while True:
            is_over = time.monotonic() >= end
            reasons = _why_silent(left, ending)
            if ending.has_come():
                return []
            for place, reason in reasons.items():
                failures[place] = failures[place] + 1 if reason else 0
            gone = [(place, reason) for place, reason in reasons.items() if failures[place] >= _TRIES]
            if is_over:
                left = [place for place in left if failures[place]]
            if gone or not left:
                return gone
            _pause(ending)

    def answering_again(self, places: Sequence[CanaryNode], ending: Ending) -> List[CanaryNode]:
        """The nodes that accept new connections within the time to wait, or before the run is ended."""
        end = time.monotonic() + self.wait
        silent = list(places)
        while True:
            reasons = _why_silent(silent, ending)
            silent = [place for place in silent if reasons.get(place, "unknown")]
            if not silent or time.monotonic() >= end or ending.has_come():
                return [place for place in places if place not in silent]
            _pause(ending)


def _why_silent(places: Collection[CanaryNode], ending: Ending) -> Dict[CanaryNode, str]:
    """Why each node is silent, tried in parallel; without nodes still pending when the run is ended."""
    threads = concurrent.futures.ThreadPoolExecutor(min(len(places), _AT_ONCE) or 1)
    reasons = {place: threads.submit(place.why_silent) for place in places}
    threads.shutdown(wait=False)
    left = set(reasons.values())
    while left and not ending.has_come():
        left = concurrent.futures.wait(left, _SLICE).not_done
    for reason in left:
        reason.cancel()
    return {place: reason.result() for place, reason in reasons.items() if reason not in left}


def _pause(ending: Ending) -> None:
    end = time.monotonic() + _PAUSE
    while time.monotonic() < end and not ending.has_come():
        time.sleep(_SLICE)


def _linked(groups: Sequence[Set[str]]) -> Dict[str, Set[str]]:
    """Each node with all nodes that change together with it, including itself."""
    found: Dict[str, Set[str]] = {}
    for nodes in groups:
        together = nodes.union(*(found.get(node, ()) for node in nodes))
        found.update(dict.fromkeys(together, together))
    return found


def parse_canary(option: str, count: int, wait: float, facts: Mapping[str, Any]) -> Canary:
    """The canary of a task's options and the guard's facts by node. Raises InvalidInput.

    `option` is the name of the option with the count.
    """
    if count < 0:
        raise InvalidInput(["{0}: {1} is negative; it must be 0 or more".format(get_option_name(option), shown(count))])
    if not 1 <= wait <= 3600:
        raise InvalidInput([format_message("{canary_wait}: {0} is not a number of seconds from 1 to 3600", wait)])
    places = []
    for node, of_node in facts.items():
        reached = of_node.get("reached_at") if isinstance(of_node, Mapping) else None
        if reached is None:
            continue
        host, port = (reached.get("host"), reached.get("port", 22)) if isinstance(reached, Mapping) else (None, None)
        # In older versions of Ansible, a template makes a string of a number.
        port = int(port) if isinstance(port, str) and len(port) <= 5 and port.isdecimal() else port
        if not (isinstance(host, str) and host and host.isprintable() and isinstance(port, int) and 0 < port <= 65535):
            text = "guard_facts[{0}].reached_at: {1} is not a host and a port from 1 to 65535"
            raise InvalidInput([text.format(brief(node), shown(reached))])
        places.append(CanaryNode(node, host, port))
    return Canary(count, wait, places)


def _has_node(change: Change) -> bool:
    resource = change.after or (change.before.resource if change.before else None)
    return not resource or resource.has_node


def _list_nodes(change: Change) -> Set[str]:
    nodes = {
        resource.node for resource in (change.after, change.before.resource if change.before else None) if resource
    }
    # The node of an unreadable value in v3 is unknown.
    return nodes - {""} or {change.ref.node}
