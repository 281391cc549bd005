# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The trend over several audit reports. Plain Python, without Ansible."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES, get_rank
from ansible_collections.netsec.calico.plugins.plugin_utils._report._history.compare import (
    UNVERIFIED,
    find_differences,
    format_finding,
    format_section,
    index_findings,
    index_unchecked,
    is_accepted,
    read_report,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.compliance import STATUSES
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError, value_text

# Columns that are shown even if all of their numbers are 0.
_SHOWN = (*STATUSES, "new", "fixed")
_SEVERITIES = tuple(dict.fromkeys(each.severity for each in CLASSES.values()))
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

_Identity = Tuple[Any, ...]
_Findings = Mapping[_Identity, Dict[str, Any]]


class _Row(NamedTuple):
    """A finding in consecutive reports. A report that did not check it does not end the row."""

    # The first report of the row.
    since: int
    # As it is in the newest report that has it.
    finding: Dict[str, Any]
    # The first report that checked it and does not have it. None if the row has not ended.
    fixed: Optional[int] = None


def build_trend(reports: Any) -> Dict[str, Any]:
    """Return the trend over two or more reports, each given as a document or as the content of its JSON file.

    The filter audit_trend documents the result. Raises ReportError for anything else.
    """
    if not isinstance(reports, (list, tuple)) or len(reports) < 2:
        raise ReportError("reports: at least two reports in a list are required")
    documents, warnings = _sort([read_report(each, "reports[{0}]".format(i)) for i, each in enumerate(reports)])
    for before, after in zip(documents, documents[1:]):
        warnings += [text for text in find_differences(before, after) if text not in warnings]
    found = index_findings(*documents)
    rows: Dict[_Identity, _Row] = {}
    counts = [_count(index, document, found[index], rows) for index, document in enumerate(documents)]
    names = [each["generated"] for each in counts]
    trend = {"warnings": warnings, "reports": counts, **_select_rows(rows, found[-1], names)}
    return dict(trend, text=list(_lines(trend)))


def _sort(documents: List[Dict[str, Any]]) -> Tuple[List[Dict[str, Any]], List[str]]:
    """The reports by time if all of them begin with one; otherwise as given, with a warning."""
    times = [_TIME.match(value_text(document.get("generated"))) for document in documents]
    known = [time[0] for time in times if time]
    if len(known) < len(documents):
        return documents, ["the reports are in the given order, because not every report has a time"]
    return [documents[index] for index in sorted(range(len(documents)), key=known.__getitem__)], []


def _count(index: int, report: Mapping[str, Any], findings: _Findings, rows: Dict[_Identity, _Row]) -> Dict[str, Any]:
    """The numbers of the next report. Continues and ends the rows of the earlier reports, and begins new rows."""
    unchecked = index_unchecked(report)
    fixed = [
        key for key, row in rows.items() if row.fixed is None and key not in findings and not unchecked.has(row.finding)
    ]
    rows.update({key: rows[key]._replace(fixed=index) for key in fixed})
    new = {key: _Row(index, findings[key]) for key in findings if key not in rows or rows[key].fixed is not None}
    rows.update(new)
    rows.update({key: rows[key]._replace(finding=finding) for key, finding in findings.items()})
    counted = [finding for finding in report["findings"] if not is_accepted(finding)]
    return {
        "generated": value_text(report.get("generated")),
        "failed": bool(report.get("failed")),
        "reason": value_text(report.get("reason")),
        "hosts": _tally((host["status"] for host in report["hosts"]), STATUSES),
        "classes": _tally((finding["class"] for finding in counted), CLASSES),
        "severities": _tally(map(_get_severity, counted), _SEVERITIES),
        "findings": len(counted),
        "accepted": len(report["findings"]) - len(counted),
        # The findings of the first report may be old.
        "new": sum(not is_accepted(findings[key]) for key in new) if index else 0,
        "fixed": len(fixed),
    }


def _tally(values: Iterable[str], known: Iterable[str]) -> Dict[str, int]:
    """{known value: its number}, and the number of other values if there are any."""
    counts = dict.fromkeys(known, 0)
    for value in values:
        name = value if value in counts else "other"
        counts[name] = counts.get(name, 0) + 1
    return counts


def _get_severity(finding: Mapping[str, Any]) -> str:
    """The severity of a finding; for a finding without one, as in older reports, that of its class."""
    severity = finding.get("severity")
    if isinstance(severity, str):
        return severity
    return CLASSES[finding["class"]].severity if finding["class"] in CLASSES else "other"


def _select_rows(
    rows: Mapping[_Identity, _Row], newest: _Findings, names: Sequence[str]
) -> Dict[str, List[Dict[str, Any]]]:
    """The rows by what the newest report has of them."""
    trend: Dict[str, List[Dict[str, Any]]] = {key: [] for key in ("new", "still", "accepted", "fixed", "unverified")}
    for key, row in sorted(rows.items(), key=lambda item: (get_rank(item[0][0]), item[1].since)):
        finding = dict(row.finding, since=names[row.since])
        if row.fixed is not None:
            trend["fixed"].append(dict(finding, fixed=names[row.fixed]))
        elif key not in newest:
            trend["unverified"].append(finding)
        elif is_accepted(finding):
            trend["accepted"].append(finding)
        else:
            trend["new" if row.since == len(names) - 1 else "still"].append(finding)
    return trend


# The lines of `text`


def _lines(trend: Mapping[str, Any]) -> Iterator[str]:
    yield "Reports: {0}".format(len(trend["reports"]))
    for number, report in enumerate(trend["reports"], 1):
        outcome = "failed" if report["failed"] else "passed"
        yield "  {0}: {1}: {2}, {3}".format(number, report["generated"], outcome, report["reason"])
    yield from ("Warning: " + warning for warning in trend["warnings"])
    yield from _table(trend["reports"])
    yield from format_section("New", map(format_finding, trend["new"]))
    yield from format_section("Still open", map(_since, trend["still"]))
    yield from format_section("Accepted", map(_accepted, trend["accepted"]))
    yield from format_section("Fixed", map(_fixed, trend["fixed"]))
    yield from format_section(UNVERIFIED, map(_since, trend["unverified"]))


def _table(reports: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A row of numbers for each report, without classes and severities that no report has."""
    rows = [_cells(number, report) for number, report in enumerate(reports, 1)]
    names = dict.fromkeys(name for row in rows for name in row)
    shown = [name for name in names if name in _SHOWN or any(row.get(name) for row in rows)]
    yield "  ".join(shown)
    for row in rows:
        yield "  ".join(str(row.get(name, 0)).rjust(len(name)) for name in shown)


def _cells(number: int, report: Mapping[str, Any]) -> Dict[str, int]:
    cells = {"report": number, **report["hosts"], **report["severities"], **report["classes"]}
    return {**cells, **{name: report[name] for name in ("accepted", "new", "fixed")}}


def _since(finding: Mapping[str, Any]) -> str:
    return "{0} (since {1})".format(format_finding(finding), _short(finding["since"]))


def _accepted(finding: Mapping[str, Any]) -> str:
    return "{0} (since {1}; {2})".format(
        format_finding(finding), _short(finding["since"]), value_text(finding["accepted"])
    )


def _fixed(finding: Mapping[str, Any]) -> str:
    return "{0} (since {1}, fixed {2})".format(
        format_finding(finding), _short(finding["since"]), _short(finding["fixed"])
    )


def _short(generated: str) -> str:
    """The time of a report without the job that wrote it."""
    return generated.partition(",")[0]
