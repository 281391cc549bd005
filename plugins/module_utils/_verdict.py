# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the lock-out guard says of endpoints, and how a user reads it."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Tuple

SAFE, UNSAFE, UNKNOWN, WARNING = "safe", "unsafe", "unknown", "warning"

# How many reasons of an endpoint a message has.
_SHOWN_FINDINGS = 3
# Characters of a reason in a message.
_LONGEST = 300

# What to do about it, by the rule; those of rules that only warn are not here.
_WAY_OUT = {
    "G01": "create the profile, or take it out of the endpoint's profiles",
    "G03": "first write a policy that selects the endpoint and allows this, or give the endpoint a profile that does",
    "G04": "first write a policy that selects the endpoint and allows this, or give the endpoint a profile that does",
    "G06": "give the interface that the host has",
    "G07": "give the addresses that the host has",
    "G08": "remove one of the endpoints, or give it another interface",
    "G09": "give the node's name as Calico has it",
    "G13": "write a policy that allows icmpv6 types 135 and 136 in both directions",
    "G16": "correct it, since Felix does not do what is stored",
    "G17": "raise the limit if it is meant",
}


class Finding(NamedTuple):
    """What a rule of the guard says of an endpoint."""

    # G01 to G17.
    rule: str
    # UNSAFE, UNKNOWN, or WARNING, which leaves an endpoint safe.
    level: str
    text: str


class Verdict(NamedTuple):
    """What is said of one endpoint that is wanted, or of one that goes."""

    node: str
    name: str
    # SAFE, UNSAFE or UNKNOWN.
    verdict: str
    findings: Tuple[Finding, ...]

    def __str__(self) -> str:
        return "host endpoint {0} on node {1}".format(self.name, self.node)


def verdict_of(node: str, name: str, findings: Iterable[Finding]) -> Verdict:
    """The worst of what is found decides."""
    # One reason may come by two ways.
    findings = tuple(sorted(set(findings)))
    levels = {finding.level for finding in findings}
    verdict = UNSAFE if UNSAFE in levels else UNKNOWN if UNKNOWN in levels else SAFE
    return Verdict(node, name, verdict, findings)


def reasons_of(verdict: Verdict) -> str:
    """Why an endpoint is unsafe, and the way out."""
    findings = [finding for finding in verdict.findings if finding.level == UNSAFE]
    reasons = ["{0} ({1})".format(_cut(finding.text), finding.rule) for finding in findings[:_SHOWN_FINDINGS]]
    ways = dict.fromkeys(_WAY_OUT.get(finding.rule, "") for finding in findings[:_SHOWN_FINDINGS])
    return "{0}. What to do: {1}".format("; ".join(reasons), "; ".join(filter(None, ways)))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
