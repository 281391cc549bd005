# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts: the possible outcomes of a packet, and the verdict on a connection."""

from __future__ import annotations

from typing import List, NamedTuple

from .._policies.model import ALLOW, DENY

UNKNOWN = "unknown"
# No rule has decided yet.
GO_ON = "go on"


class RuleOutcome(NamedTuple):
    """A possible outcome of a packet."""

    # ALLOW, DENY or GO_ON.
    action: str
    # What decides, and the reason as a sentence.
    by: str = ""
    reason: str = ""
    # Why this outcome is uncertain; "" if it is certain unless an earlier outcome occurs.
    doubt: str = ""


class ConnectionVerdict(NamedTuple):
    """The verdict on a connection."""

    # ALLOW, DENY or UNKNOWN.
    verdict: str
    # What decides, such as a failsafe or a rule.
    decided_by: str
    # The reason as a sentence.
    reason: str
    # For IPv6: the verdict on neighbour discovery on the interfaces of its path, without which it fails once the
    # neighbour is not cached. "" for IPv4.
    neighbour_discovery: str = ""


UNGOVERNED = RuleOutcome(
    ALLOW, "no endpoint governs the interface", "no endpoint governs {0}, so Calico lets it through"
)


def noted(text: str, note: str) -> str:
    """The string with the note about a version that was not measured."""
    return "{0} ({1})".format(text, note) if note else text


def with_note(answer: ConnectionVerdict, note: str) -> ConnectionVerdict:
    return answer._replace(reason=noted(answer.reason, note)) if note else answer


def combine_outcomes(outcomes: List[RuleOutcome], allow_doubt: str) -> ConnectionVerdict:
    """The verdict that all outcomes agree on, else UNKNOWN."""
    verdicts = {outcome.action for outcome in outcomes}
    last = outcomes[-1]
    if len(verdicts) == 1 and last.action != GO_ON:
        if last.action == ALLOW and allow_doubt and last.by != UNGOVERNED.by:
            return ConnectionVerdict(UNKNOWN, last.by, "{0}, but {1}".format(last.reason, allow_doubt))
        certain = [outcome for outcome in outcomes if not outcome.doubt] or [last]
        return ConnectionVerdict(last.action, certain[-1].by, certain[-1].reason)
    doubtful = [outcome for outcome in outcomes if outcome.doubt]
    return ConnectionVerdict(UNKNOWN, doubtful[0].by, "unknown: {0}".format(doubtful[0].doubt))


def with_neighbours(answer: ConnectionVerdict, neighbours: ConnectionVerdict) -> ConnectionVerdict:
    """The verdict with that on neighbour discovery, which its reason states if it is not ALLOW."""
    answer = answer._replace(neighbour_discovery=neighbours.verdict)
    if answer.verdict != ALLOW or neighbours.verdict == ALLOW:
        return answer
    text = "{0}; but neighbour discovery (icmpv6 types 135 and 136) is {1} in both directions, {2} {3}"
    how = ("not allowed", "so") if neighbours.verdict == DENY else ("maybe not allowed", "and then")
    return answer._replace(reason=text.format(answer.reason, *how, "it fails once the neighbour is not cached"))


def as_expected(answer: ConnectionVerdict, expect: str) -> ConnectionVerdict:
    """The verdict that counts for an expectation: over IPv6, with that on neighbour discovery.

    Without neighbour discovery, a connection fails sooner or later. Until then it is open.
    """
    neighbours = answer.neighbour_discovery
    if answer.verdict != ALLOW or neighbours in ("", ALLOW):
        return answer
    return answer._replace(verdict=neighbours if expect == ALLOW else UNKNOWN)
