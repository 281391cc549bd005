# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an audit reports about the declared connectivity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

from .._core.errors import brief, cut, join_first

if TYPE_CHECKING:
    # Imported only when connectivity is declared.
    from .._guard._connectivity.evaluate import ExpectationResult
    from .._guard._connectivity.hosts import Connectivity

MET, UNMET, UNKNOWN = "met", "unmet", "unknown"
_STATES = (MET, UNMET, UNKNOWN)
# Number of reasons in the warning about unknown results, of hosts of each, and characters of a reason.
_REASONS, _NAMED, _LONGEST = 5, 5, 300
_PREFIX = "unknown: "


class Reachability(NamedTuple):
    """The results of all expectations, and who reaches whom."""

    results: Sequence[ExpectationResult] = ()
    # A row for each source and destination.
    matrix: Sequence[Dict[str, Any]] = ()

    def count_states(self) -> Dict[str, int]:
        """The number of results by state."""
        found = [result.state for result in self.results]
        return {state: found.count(state) for state in _STATES}


NONE_EVALUATED = Reachability()


def mark_unknown(expected: Connectivity, reason: str) -> Reachability:
    """All expectations as unknown for one reason."""
    # Only declared connectivity needs it.
    # pylint: disable-next=import-outside-toplevel
    from .._guard._connectivity.evaluate import ExpectationResult, Outcome

    outcome = Outcome(UNKNOWN, "", UNKNOWN, "", reason)
    return Reachability([ExpectationResult(host.name, host.node, each, outcome) for host, each in expected.list_all()])


def list_unmet(results: Iterable[ExpectationResult]) -> Iterator[Tuple[str, str, str, str]]:
    """Node, name, interface and message of the finding about each unmet expectation."""
    for result in results:
        if result.state == UNMET:
            expectation, outcome = result.expectation, result.outcome
            required = expectation.format_requirement(outcome.connection)
            yield result.node, expectation.name, "", "{0}; {1}".format(required, outcome.reason)


def build_unknown_records(results: Iterable[ExpectationResult]) -> List[Dict[str, str]]:
    """Host, node, name and reason of each expectation that is neither met nor unmet."""
    return [
        {
            "host": result.host,
            "node": result.node,
            "name": result.expectation.name,
            "message": _strip(result.outcome.reason),
        }
        for result in results
        if result.state == UNKNOWN
    ]


def _strip(reason: str) -> str:
    # Where it is shown says that the expectation is unknown.
    return reason[len(_PREFIX) :] if reason.startswith(_PREFIX) else reason


def list_unknown(results: Iterable[ExpectationResult]) -> List[str]:
    """A warning about the results that are unknown, by reason."""
    hosts: Dict[str, List[str]] = {}
    number = 0
    for result in results:
        if result.state == UNKNOWN:
            number += 1
            hosts.setdefault(result.outcome.reason, []).append(
                "{0} of {1}".format(brief(result.expectation.name), brief(result.host))
            )
    if not number:
        return []
    texts = [
        "{0}: {1}".format(join_first(names, _NAMED), cut(reason, _LONGEST))
        for reason, names in list(hosts.items())[:_REASONS]
    ]
    more = len(hosts) - _REASONS
    text = "{0} expectations are neither met nor unmet, because what they require is unknown: {1}{2}"
    return [text.format(number, "; ".join(texts), "; and {0} more reasons".format(more) if more > 0 else "")]
