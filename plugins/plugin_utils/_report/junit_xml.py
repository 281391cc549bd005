# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of an audit as JUnit XML, for CI systems. Plain Python, without Ansible.

A suite is a host, and a case is a finding. The file fails exactly if the audit fails, so that a pipeline has one
verdict: a finding is a failure if its class is in `fail_on` and no exception covers it. Any other finding passes, with
its text as the output: it was checked, and skipped means that it was not. An unknown host was not checked: it is an
error if `unknown` is in `fail_on`, and skipped otherwise, and so is an unknown expectation. The endpoints of a host
that match are one case that passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Dict, List, Tuple
from xml.etree import ElementTree

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.connectivity import get_unknown
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import (
    by_host,
    format_title,
    host_key,
    value_text,
)

_COUNTS = ("tests", "failures", "errors", "skipped")
_COUNTED_AS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def as_junit(report: Mapping[str, Any]) -> bytes:
    """The report as JUnit XML. The comment at its beginning contains `generated`."""
    root = ElementTree.Element("testsuites", name="netsec.calico audit")
    unknown: Dict[Tuple[str, str], List[Dict[str, Any]]] = {}
    for each in get_unknown(report):
        unknown.setdefault(host_key(each), []).append(each)
    for host, findings in by_host(report):
        root.append(_suite(host, findings, unknown.pop(host_key(host), []), report["fail_on"]))
    for expectations in unknown.values():
        # A node that is not a host of the run.
        root.append(_suite(dict(expectations[0], status="", compliant=0), [], expectations, report["fail_on"]))
    # A comment must not have two hyphens in a row.
    generated = re.sub("-(?=-)", "- ", visible(report["generated"]))
    return format_suites(root, "<!-- generated: {0} -->\n".format(generated))


def format_suites(root: ElementTree.Element, comment: str = "") -> bytes:
    """The file of all suites, with their counts."""
    set_counts(root)
    ElementTree.indent(root)
    head = '<?xml version="1.0" encoding="utf-8"?>\n' + comment
    return (head + ElementTree.tostring(root, encoding="unicode") + "\n").encode("utf-8")


def _suite(
    host: Dict[str, Any], findings: List[Dict[str, Any]], unknown: List[Dict[str, Any]], fail_on: List[str]
) -> ElementTree.Element:
    name = visible(format_title(host))
    suite = ElementTree.Element("testsuite", name=name)
    outcome = "error" if "unknown" in fail_on else "skipped"
    if host["status"] == "unknown":
        add_case(suite, name, "host", outcome, "unknown", host["reason"])
    elif host["compliant"] or host["status"] == "compliant":
        case = add_case(suite, name, "matching endpoints")
        ElementTree.SubElement(case, "system-out").text = str(host["compliant"])
    for finding in findings:
        is_failure = finding["class"] in fail_on and "accepted" not in finding
        # An endpoint has a case for each check of the guard that it fails.
        title = "{class} {name} ({rule})" if finding["class"] == "unsafe" else "{class} {name}"
        case = add_case(suite, name, title.format(**finding))
        if is_failure:
            element = ElementTree.SubElement(case, "failure", type=finding["class"])
            element.set("message", visible(finding["message"]))
        else:
            element = ElementTree.SubElement(case, "system-out")
        element.text = "\n".join(visible(line) for line in _lines(finding, is_failure))
    for each in unknown:
        add_case(suite, name, "expectation " + each["name"], outcome, "unknown", each["message"])
    set_counts(suite)
    return suite


def _lines(finding: Mapping[str, Any], is_failure: bool) -> Iterator[str]:
    yield "severity: {severity}, rule: {rule}".format(**finding)
    if not is_failure:
        yield "finding: " + finding["message"]
    if "accepted" in finding:
        yield "accepted: " + finding["accepted"]
    for field in finding["fields"]:
        sides = [value_text(field[side]) or "nothing" for side in ("want", "have")]
        yield "{0}: want {1}, have {2}".format(field["field"], *sides)
    yield from finding["remedy"].splitlines()


def add_case(
    suite: ElementTree.Element, host: str, name: str, outcome: str = "", kind: str = "", message: str = ""
) -> ElementTree.Element:
    """A case of a host, with the element `outcome`; "" if it passes."""
    case = ElementTree.SubElement(suite, "testcase", classname=host, name=visible(name), time="0")
    if outcome:
        ElementTree.SubElement(case, outcome, type=kind, message=visible(message))
    return case


def set_counts(element: ElementTree.Element) -> None:
    """Set the number of cases by outcome."""
    cases = list(element.iter("testcase"))
    counts = dict.fromkeys(_COUNTS, 0)
    counts["tests"] = len(cases)
    for case in cases:
        for child in case:
            if child.tag in _COUNTED_AS:
                counts[_COUNTED_AS[child.tag]] += 1
    for name, count in counts.items():
        element.set(name, str(count))
