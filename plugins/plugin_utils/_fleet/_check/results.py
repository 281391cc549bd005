# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of expectations as lines to read and as JUnit XML. Plain Python, without Ansible.

A suite is a host, and a case is an expectation. An unmet expectation is a failure; an unknown one is an error.
"""

from __future__ import annotations

from collections import Counter
from typing import Dict, List, NamedTuple, Sequence
from xml.etree import ElementTree

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import visible
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.verdict import UNKNOWN
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.evaluate import (
    MET,
    UNMET,
    ExpectationResult,
)
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import IN
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import PREFIX
from ansible_collections.netsec.calico.plugins.plugin_utils._report.junit_xml import (
    add_case,
    format_suites,
    set_counts,
)

STATUSES = (MET, UNMET, UNKNOWN)
# {status: the element of a case}
_ELEMENTS = {UNMET: "failure", UNKNOWN: "error"}


class CheckResult(NamedTuple):
    """An expectation of a host, and whether it is met."""

    host: str
    # The expectation in words.
    name: str
    # One of STATUSES.
    status: str
    # What decides, or why the result is unknown.
    reason: str


def build_result(found: ExpectationResult) -> CheckResult:
    """An evaluated expectation in words."""
    expectation, outcome = found.expectation, found.outcome
    name = "{0}: {1} {2} {3} {4}, expect {5}".format(
        expectation.name,
        expectation.direction,
        ", ".join(expectation.format_port(port) for port in expectation.ports),
        "from" if expectation.direction == IN else "to",
        expectation.peer,
        expectation.expect,
    )
    reason = outcome.reason
    if outcome.state == UNMET:
        reason = "{0}; {1}".format(expectation.format_requirement(outcome.connection), outcome.reason)
    elif outcome.connection:
        reason = "{0}: {1}".format(outcome.connection, outcome.reason)
    return CheckResult(found.host, name, outcome.state, reason)


def count_statuses(results: Sequence[CheckResult]) -> Dict[str, int]:
    counts = Counter(each.status for each in results)
    return {status: counts[status] for status in STATUSES}


def format_lines(results: Sequence[CheckResult], counts: str) -> List[str]:
    """A line for each expectation that is not met, sorted by status, host and order; then the line that counts."""
    lines = [
        visible("{0} {1}: {2}: {3}".format(each.status.upper(), each.host, each.name, each.reason))
        for status in (UNMET, UNKNOWN)
        for each in results
        if each.status == status
    ]
    return [*lines, counts]


def format_counts(results: Sequence[CheckResult], hosts: int) -> str:
    """The numbers in a sentence, such as "4 expectations of 2 hosts: 3 met, 1 unmet, 0 unknown".

    `hosts`: number of hosts of the run, for a sentence about no expectations.
    """
    if not results:
        text = (
            "no expectations are declared for the {0} hosts of this run; set {1}connectivity or {1}group_connectivity"
        )
        return text.format(hosts, PREFIX)
    counts = ", ".join("{0} {1}".format(number, status) for status, number in count_statuses(results).items())
    with_results = len({each.host for each in results})
    return "{0} expectations of {1} hosts: {2}".format(len(results), with_results, counts)


def as_junit(results: Sequence[CheckResult]) -> bytes:
    """The results as JUnit XML, the same for the same results."""
    root = ElementTree.Element("testsuites", name="netsec.calico check_policies")
    suites: Dict[str, ElementTree.Element] = {}
    for each in results:
        host, reason = visible(each.host), visible(each.reason)
        if host not in suites:
            suites[host] = ElementTree.SubElement(root, "testsuite", name=host)
        outcome = _ELEMENTS.get(each.status, "")
        case = add_case(suites[host], host, each.name, outcome, each.status, each.reason)
        (case[0] if outcome else ElementTree.SubElement(case, "system-out")).text = reason
    for suite in suites.values():
        set_counts(suite)
    return format_suites(root)
