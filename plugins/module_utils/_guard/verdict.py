# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdicts of the lock-out guard, and how they appear in results, messages and warnings."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Collection, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._core.errors import Refused, cut, format_message, join_first
from .checks import CHECKS

SAFE, UNSAFE, UNKNOWN, WARNING = "safe", "unsafe", "unknown", "warning"

# Number of endpoints in a message, and number of reasons for each.
_SHOWN = 3
_SHOWN_FINDINGS = 3
# Number of checks in a message about more endpoints.
_SHOWN_RULES = 5
# Maximum number of characters of a reason in a message.
_LONGEST = 300


class GuardFinding(NamedTuple):
    """What a check of the guard found about an endpoint."""

    # The id of the check.
    rule: str
    # UNSAFE, UNKNOWN, or WARNING. An endpoint with warnings only is safe.
    level: str
    text: str


class GuardVerdict(NamedTuple):
    """The verdict on an endpoint that changes, on a node that other changes affect, or on all changes."""

    # "" in the verdict on all changes.
    node: str
    # "" in a verdict that is not on an endpoint.
    name: str
    # SAFE, UNSAFE or UNKNOWN.
    verdict: str
    findings: Tuple[GuardFinding, ...]

    def __str__(self) -> str:
        if self.name:
            return "host endpoint {0} on node {1}".format(self.name, self.node)
        return "node {0}".format(self.node) if self.node else "all changes"


class Unsafe(Refused):
    """The guard refuses to write, because of `verdicts`."""

    def __init__(self, message: str, verdicts: Sequence[GuardVerdict]) -> None:
        super().__init__(message)
        self.verdicts = verdicts


@dataclasses.dataclass(frozen=True)
class GuardReport:
    """What the guard found about changes."""

    verdicts: Sequence[GuardVerdict] = ()
    # Why the changes could not be checked; "" when the policies could be read.
    problem: str = ""
    # {(node, name) of an updated endpoint: names of the policies that start, and that stop selecting it}
    selections: Mapping[Tuple[str, str], Tuple[List[str], List[str]]] = dataclasses.field(default_factory=dict)
    # Warnings about all changes together.
    of_all: Sequence[str] = ()
    # Whether facts of any host were given. Without facts, there are no warnings about what requires them.
    has_facts: bool = True
    # The nodes that the changes affect, with "" for those without facts; None if unknown.
    affected: Optional[Collection[str]] = None
    # What is wrong with the whole datastore; "" if nothing is.
    of_datastore: str = ""

    def records(self) -> List[Dict[str, Any]]:
        """The verdicts that are not safe, as a result lists them."""
        return format_records(self.verdicts)

    def warnings(self) -> List[str]:
        if self.problem:
            text = (
                "guard: {0} changes could not be checked, since Calico's policies, profiles or settings cannot be "
                "read: {1}"
            )
            return [*self.of_all, text.format(len(self.verdicts), self.problem)]
        return [
            *self.of_all,
            *format_warnings(self.verdicts, _INFORMATION if self.has_facts else _INFORMATION + _OF_FACTS),
        ]


def build_verdict(node: str, name: str, findings: Iterable[GuardFinding]) -> GuardVerdict:
    """Build a verdict of the worst level among its findings."""
    # Two checks may find the same.
    findings = tuple(sorted(set(findings)))
    levels = {finding.level for finding in findings}
    verdict = UNSAFE if UNSAFE in levels else UNKNOWN if UNKNOWN in levels else SAFE
    return GuardVerdict(node, name, verdict, findings)


def format_records(verdicts: Iterable[GuardVerdict]) -> List[Dict[str, Any]]:
    """The verdicts that are not safe, as a result lists them, unsafe endpoints first."""
    found = [
        {
            "node": verdict.node,
            "name": verdict.name,
            "verdict": verdict.verdict,
            "findings": [{"rule": each.rule, "level": each.level, "message": each.text} for each in verdict.findings],
        }
        for verdict in verdicts
        if verdict.verdict != SAFE
    ]
    return sorted(found, key=lambda record: record["verdict"] != UNSAFE)


def format_reasons(verdict: GuardVerdict) -> str:
    """Why an endpoint is unsafe, and the remedies."""
    findings = [finding for finding in verdict.findings if finding.level == UNSAFE]
    reasons = ["{0} ({1})".format(cut(finding.text, _LONGEST), finding.rule) for finding in findings[:_SHOWN_FINDINGS]]
    ways = dict.fromkeys(CHECKS[finding.rule].remedy for finding in findings[:_SHOWN_FINDINGS])
    return "{0}. What to do: {1}".format("; ".join(reasons), "; ".join(filter(None, ways)))


_COUNTS = ((True, "{0} of {1} changes would be unsafe"), (False, "{0} of {1} affected nodes would be unsafe"))


def format_refusal(verdicts: Sequence[GuardVerdict], of_datastore: str = "") -> str:
    """The message about changes that must not be written: each endpoint or node, or of many, each finding once.

    `of_datastore`: what is wrong with the whole datastore.
    """
    unsafe = [verdict for verdict in verdicts if verdict.verdict == UNSAFE]
    counts = [
        text.format(len([each for each in unsafe if bool(each.name) == is_endpoint]), len(of_kind))
        for is_endpoint, text in _COUNTS
        for of_kind in [[each for each in verdicts if each.node and bool(each.name) == is_endpoint]]
        if any(each.verdict == UNSAFE for each in of_kind)
    ]
    if len(unsafe) > _SHOWN:
        parts = _group_reasons(unsafe)
    else:
        parts = ["{0}: {1}".format(verdict, format_reasons(verdict)) for verdict in unsafe]
    text = "{0}: {1}".format(" and ".join(counts), ". ".join(parts))
    if of_datastore:
        text = "{0}. {1}".format(of_datastore, text)
    return text + format_message(". Set {guard} to warn to write it anyway")


def _group_reasons(unsafe: Sequence[GuardVerdict]) -> List[str]:
    """What each check found, its nodes and the remedy.

    First what concerns all of them, for example a setting of the datastore, then what concerns most nodes.
    """
    found: Dict[str, List[Tuple[GuardVerdict, str]]] = {}
    for verdict in unsafe:
        for finding in verdict.findings:
            if finding.level == UNSAFE:
                found.setdefault(finding.rule, []).append((verdict, finding.text))

    def rank(rule: str) -> Tuple[bool, int, str]:
        of_all = _is_shared(found[rule]) and len(found[rule]) == len(unsafe)
        return not of_all, -len(_list_places(found[rule])), rule

    rules = sorted(found, key=rank)
    parts = [_format_group(rule, found[rule]) for rule in rules[:_SHOWN_RULES]]
    more = rules[_SHOWN_RULES:]
    return [*parts, "Other findings: {0}".format(", ".join(more))] if more else parts


def _is_shared(items: Sequence[Tuple[GuardVerdict, str]]) -> bool:
    return len({text for _verdict, text in items}) == 1


def _format_group(rule: str, items: Sequence[Tuple[GuardVerdict, str]]) -> str:
    places = _list_places(items)
    way = CHECKS[rule].remedy
    return "{0}, {1}, on {2} {3} ({4}): {5}{6}".format(
        rule,
        CHECKS[rule].title,
        len(places),
        "node" if len(places) == 1 else "nodes",
        join_first(places, _SHOWN),
        cut(items[0][1], _LONGEST) if _is_shared(items) else _join_examples(items),
        ". What to do: " + way if way else "",
    )


def _join_examples(items: Sequence[Tuple[GuardVerdict, str]]) -> str:
    """An example of each finding, without regard to the names and the addresses of hosts in it."""
    examples: Dict[str, str] = {}
    for verdict, text in items:
        shape = _ADDRESS.sub("", text.replace(verdict.node, "") if verdict.node else text)
        examples.setdefault(shape, "{0}: {1}".format(verdict, cut(text, _LONGEST)))
    more = len(examples) - _SHOWN
    listed = "for example " + "; ".join(list(examples.values())[:_SHOWN])
    return "{0}; and {1} other findings".format(listed, more) if more > 0 else listed


_ADDRESS = re.compile(r"[0-9a-fA-F]*(?:\.[0-9]+){3}|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F]*")


def _list_places(items: Iterable[Tuple[GuardVerdict, str]]) -> List[str]:
    """The nodes of findings, in order."""
    return list(dict.fromkeys(verdict.node or str(verdict) for verdict, _text in items))


def format_warnings(verdicts: Sequence[GuardVerdict], without: Collection[Tuple[str, str]]) -> List[str]:
    """A line for each check and level except those in `without`, however many endpoints it affects."""
    found: Dict[Tuple[str, str], List[Tuple[GuardVerdict, str]]] = {}
    for verdict in verdicts:
        for finding in verdict.findings:
            if (finding.rule, finding.level) not in without:
                found.setdefault((finding.level, finding.rule), []).append((verdict, finding.text))
    return [_warning(level, rule, items) for (level, rule), items in sorted(found.items(), key=_by_level)]


_INFORMATION = tuple((check.id, WARNING) for check in CHECKS.values() if check.is_information)
# What is unknown if the facts of the host are not given.
_OF_FACTS = (("G03", UNKNOWN), ("G15", UNKNOWN), ("G18", UNKNOWN))
_LEVELS = (UNSAFE, UNKNOWN, WARNING)


def _by_level(item: Tuple[Tuple[str, str], Any]) -> Tuple[int, str]:
    (level, rule), _items = item
    return _LEVELS.index(level), rule


def _warning(level: str, rule: str, items: List[Tuple[GuardVerdict, str]]) -> str:
    verdict, text = items[0]
    of_these = {str(verdict) for verdict, _text in items}
    kind = "endpoints" if verdict.name else "nodes"
    more = " (and {0} more {1})".format(len(of_these) - 1, kind) if len(of_these) > 1 else ""
    label = "" if level == WARNING else level + ": "
    way = CHECKS[rule].remedy if level == UNSAFE else ""
    return "guard {0}: {1}{2}: {3}{4}{5}".format(
        rule, label, verdict, cut(text, _LONGEST), more, ". What to do: " + way if way else ""
    )
