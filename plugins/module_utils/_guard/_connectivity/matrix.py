# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was evaluated, group by group: the open and the closed ports from a source to a destination."""

from __future__ import annotations

from typing import Any, Collection, Dict, Iterable, List, Tuple

from ..._dataplane.verdict import UNKNOWN
from ..._policies.connection import IN
from .evaluate import CLOSED, MIXED, OPEN, UNMET, ExpectationResult
from .hosts import Connectivity

_STATES = (OPEN, CLOSED, MIXED, UNKNOWN)


class _Cell:
    """The results from a source to a destination."""

    def __init__(self) -> None:
        # {protocol and port: {state: number of results}}
        self.ports: Dict[str, Dict[str, int]] = {}
        self.number = 0
        self.unmet = 0

    def add(self, result: ExpectationResult) -> None:
        self.number += 1
        self.unmet += result.state == UNMET
        known = dict(result.outcome.ports)
        for port in map(result.expectation.format_port, result.expectation.ports):
            states = self.ports.setdefault(port, {})
            state = known.get(port, UNKNOWN)
            states[state] = states.get(state, 0) + 1


def build_matrix(connectivity: Connectivity, results: Iterable[ExpectationResult]) -> List[Dict[str, Any]]:
    """A row for each source and destination, sorted: groups of hosts, and peers as they are declared."""
    cells: Dict[Tuple[str, str], _Cell] = {}
    for result in results:
        peer = result.expectation.peer
        for group in connectivity.hosts[result.host].groups:
            ends = (peer, group) if result.expectation.direction == IN else (group, peer)
            cells.setdefault(ends, _Cell()).add(result)
    return [
        {
            "source": source,
            "destination": destination,
            "state": _combine({state for states in cell.ports.values() for state in states}),
            "ports": sorted(cell.ports, key=_by_number),
            "details": _format_details(cell),
        }
        for (source, destination), cell in sorted(cells.items())
    ]


def _combine(states: Collection[str]) -> str:
    if MIXED in states or {OPEN, CLOSED}.issubset(states):
        return MIXED
    return UNKNOWN if UNKNOWN in states else next(iter(states))


def _by_number(port: str) -> Tuple[str, int]:
    protocol, _slash, number = port.partition("/")
    return protocol, int(number or 0)


def _format_details(cell: _Cell) -> str:
    texts = []
    for port in sorted(cell.ports, key=_by_number):
        states = cell.ports[port]
        counts = ["{0} ({1})".format(state, states[state]) for state in _STATES if state in states]
        texts.append("{0}: {1}".format(port, ", ".join(counts) if len(counts) > 1 else counts[0].partition(" ")[0]))
    if cell.unmet:
        texts.append("{0} of {1} expectations are not met".format(cell.unmet, cell.number))
    return "; ".join(texts)
