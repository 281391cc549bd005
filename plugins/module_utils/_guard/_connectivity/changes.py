# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""G21: changes that break an expectation, for good or while they are written."""

from __future__ import annotations

from typing import Dict, Iterator, List, Sequence, Tuple

from ..._core.errors import brief
from ..._dataplane.evaluator import Evaluator
from .._policy_changes.node_checks import InterimState
from ..verdict import UNKNOWN, UNSAFE, GuardFinding
from .evaluate import MET, UNMET, ConnectivityEvaluator, Outcome
from .expectations import Expectation
from .hosts import Connectivity, DeclaredHost

# Number of results in all states between two requests. A result takes a fraction of a millisecond.
_MOST_RESULTS = 200000


def check_expectations(
    connectivity: Connectivity, before: Evaluator, after: Evaluator, interim: Sequence[InterimState]
) -> Tuple[Dict[str, List[GuardFinding]], List[str]]:
    """{node: findings about the expectations of its host}, and warnings about what was not evaluated."""
    found: Dict[str, List[GuardFinding]] = {}
    one, other = ConnectivityEvaluator(before, connectivity), ConnectivityEvaluator(after, connectivity)
    kept: List[Tuple[DeclaredHost, Expectation]] = []
    for host, expectation in connectivity.list_all():
        now = other.evaluate(host, expectation)
        was = one.evaluate(host, expectation) if now.state != MET or interim else now
        if now.state == MET:
            kept += [(host, expectation)] if was.state == MET else []
        elif was.state not in (UNMET, now.state):
            found.setdefault(host.node, []).append(_build_finding(expectation, was, now))
    states = _select(interim, len(kept))
    for state in states:
        then = ConnectivityEvaluator(state.evaluator, connectivity)
        for host, expectation in list(kept):
            now = then.evaluate(host, expectation)
            if now.state != MET:
                kept.remove((host, expectation))
                finding = _build_finding(expectation, now._replace(state=MET), now)
                found.setdefault(host.node, []).append(finding._replace(text=state.when + ", " + finding.text))
    return found, list(_list_omitted(len(interim), len(states)))


def _build_finding(expectation: Expectation, was: Outcome, now: Outcome) -> GuardFinding:
    """The finding about an expectation that gets worse. UNSAFE only if it was certainly met."""
    certain = was.state == MET and now.state == UNMET
    text = "the expectation {0} is {1}: {2}; {3}"
    how = {UNMET: "no longer met" if was.state == MET else "not met", UNKNOWN: "no longer certain"}[now.state]
    what = expectation.format_requirement(now.connection or "what it names")
    return GuardFinding(
        "G21", UNSAFE if certain else UNKNOWN, text.format(brief(expectation.name), how, what, now.reason)
    )


def _select(interim: Sequence[InterimState], results: int) -> List[InterimState]:
    """The states that are evaluated, evenly distributed."""
    most = max(1, _MOST_RESULTS // max(results, 1))
    step = -(-len(interim) // most) if interim else 1
    return list(interim[::step])


def _list_omitted(states: int, evaluated: int) -> Iterator[str]:
    if evaluated < states:
        text = (
            "guard G21: the expectations were evaluated in only {0} of the {1} states in between; write fewer changes "
            "in one run to evaluate all"
        )
        yield text.format(evaluated, states)
