# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of the log about an audit. Plain Python, without Ansible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Callable, Dict, List

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES, ENDPOINT_CLASSES
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import cut, visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.build import (
    UNKNOWN,
    unknown_expectations,
    unknown_hosts,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.compliance import sort_most_drifted
from ansible_collections.netsec.calico.plugins.plugin_utils._report.connectivity import format_counts, get_unknown
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import format_title

# Maximum number of findings, of unknown hosts, of unknown expectations, of groups and labels, and of characters in a
# line. The reports contain everything.
SHOWN = 20
GROUPS = 5
LINE = 300
# Number of findings that each class has room for, whatever the number of more severe findings.
_SHARE = 2


def format_banner(report: Mapping[str, Any], paths: Mapping[str, str]) -> List[str]:
    """The lines of the log: the numbers, the most severe findings, and the paths of the reports."""
    hosts, endpoints = report["summary"]["hosts"], report["summary"]["endpoints"]
    lines = [
        "AUDIT {0}: {1}".format(_verdict(report), report["reason"]),
        "hosts: {0} compliant, {1} drifted, {2} unknown".format(hosts["compliant"], hosts["drifted"], hosts[UNKNOWN]),
        "endpoints: "
        + ", ".join("{0} {1}".format(endpoints[kind], kind) for kind in ("compliant", *ENDPOINT_CLASSES, "foreign")),
    ]
    if "policies" in report["summary"]:
        counts = ["{0} {1}".format(count, kind) for kind, count in report["summary"]["policies"].items()]
        lines.append("policies: " + ", ".join(counts))
    if "expectations" in report["summary"]:
        lines.append(format_counts(report["summary"]["expectations"]))
    for kind in ("groups", "labels"):
        lines += _compliance(kind, report["summary"][kind])
    if report["datastore"]["warning"]:
        lines.append("datastore: " + report["datastore"]["warning"])
    lines += _findings(report["findings"])
    unknown = ["{host}: unknown: {reason}".format(**host) for host in report["hosts"] if host["status"] == UNKNOWN]
    lines += _first(unknown, unknown_hosts)
    undetermined = ["{0}: unknown {name}: {message}".format(format_title(each), **each) for each in get_unknown(report)]
    lines += _first(undetermined, unknown_expectations)
    lines += ["report: " + path for path in paths.values()]
    # Other writers to the datastore control much of it, and it is shown on a terminal.
    return [cut(visible(line), LINE) for line in lines]


def _verdict(report: Mapping[str, Any]) -> str:
    if report["failed"]:
        return "FAILED"
    # Without fail_on, whether findings are acceptable is unknown.
    has_findings = any("accepted" not in finding for finding in report["findings"])
    is_unknown = report["summary"]["hosts"][UNKNOWN] or get_unknown(report)
    return "found" if has_findings or is_unknown else "passed"


def _first(lines: List[str], name_more: Callable[[int], str]) -> Iterator[str]:
    yield from lines[:SHOWN]
    more = len(lines) - SHOWN
    if more > 0:
        yield "... and {0} more {1}".format(more, name_more(more))


def _compliance(kind: str, counts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """A line with the groups, or the labels, that have the most drifted hosts; none if all hosts are compliant."""
    names = [name for name in sort_most_drifted(counts) if counts[name]["drifted"] or counts[name][UNKNOWN]]
    if names:
        texts = []
        for name in names[:GROUPS]:
            total = sum(counts[name].values())
            text = "{0} {1} of {2} drifted".format(name, counts[name]["drifted"], total)
            texts.append(text + (", {0} unknown".format(counts[name][UNKNOWN]) if counts[name][UNKNOWN] else ""))
        more = len(names) - GROUPS
        yield "{0}: {1}".format(kind, "; ".join(texts)) + ("; and {0} more".format(more) if more > 0 else "")


def _findings(findings: List[Dict[str, Any]]) -> Iterator[str]:
    """The most severe findings, with a share of the lines for each class."""
    by_class: Dict[str, List[Dict[str, Any]]] = {}
    for finding in (each for each in findings if "accepted" not in each):
        by_class.setdefault(finding["class"], []).append(finding)
    room = {kind: min(_SHARE, len(of_class)) for kind, of_class in by_class.items()}
    for kind in (kind for kind in CLASSES if kind in by_class):
        room[kind] += max(0, min(len(by_class[kind]) - room[kind], SHOWN - sum(room.values())))
        yield from map(_line, by_class[kind][: room[kind]])
        more = len(by_class[kind]) - room[kind]
        if more:
            yield "... and {0} more {1}".format(more, kind)
    accepted = sum("accepted" in finding for finding in findings)
    if accepted:
        yield "accepted: {0} finding{1}".format(accepted, "" if accepted == 1 else "s")


def _line(finding: Mapping[str, Any]) -> str:
    place = "{severity} {rule} {0}: {class} {name}".format(format_title(finding), **finding)
    text = "{0}: {1}".format(place, finding["message"])
    fields = ", ".join(field["field"] for field in finding["fields"]) if finding["class"] == "changed" else ""
    return "{0} ({1})".format(text, fields) if fields else text
