# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares two audit reports. Plain Python, without Ansible."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Dict, List, NamedTuple, Set, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.connectivity import get_unknown
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import (
    ReportError,
    checked_report,
    finding_key,
    format_title,
    host_key,
    value_text,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.exceptions import EXPIRED, UNMET

# Maximum number of lines of `text` under one heading.
_SHOWN = 200
UNVERIFIED = "Unverified, because the host or the expectation was not checked"


def changes_between(before: Any, after: Any) -> Dict[str, Any]:
    """Return what changed between two reports, each given as a document or as the content of its JSON file.

    The filter audit_changes documents the result. A finding is the same if its class, its rule, its host and its name
    are the same; on a node that is not a host, its node. Reports of older versions have no rules.
    Raises ReportError for an input that is not a report, or has another version of the schema.
    """
    before, after = read_report(before, "before"), read_report(after, "after")
    old, new = index_findings(before, after)
    unchecked = index_unchecked(after)
    gone = [old[key] for key in old if key not in new]
    were_accepted = {key for key in old if is_accepted(old[key])}
    are_accepted = {key for key in new if is_accepted(new[key])}
    changes = {
        "warnings": list(find_differences(before, after)),
        "new": [new[key] for key in new if key not in old and key not in are_accepted],
        "altered": [new[key] for key in new if key in old and new[key].get("fields") != old[key].get("fields")],
        "accepted": [new[key] for key in new if key in are_accepted and key not in were_accepted],
        "no_longer_accepted": [new[key] for key in new if key in were_accepted and key not in are_accepted],
        "resolved": [finding for finding in gone if not unchecked.has(finding)],
        "unverified": [finding for finding in gone if unchecked.has(finding)],
        "still": sum(key in old for key in new),
        "hosts": _changed_hosts(before, after),
    }
    return dict(changes, text=list(_lines(before, after, changes)))


def read_report(document: Any, what: str) -> Dict[str, Any]:
    """Return the report that is a document or the content of a JSON file.

    what: its name in an error message.
    Raises ReportError.
    """
    if isinstance(document, (str, bytes)):
        try:
            document = json.loads(document)
        except RecursionError as exc:
            raise ReportError("{0} is not an audit report: it is nested too deeply".format(what)) from exc
        except ValueError as exc:
            raise ReportError("{0} is not an audit report: it is not JSON: {1}".format(what, exc)) from exc
    return checked_report(document, what)


def index_findings(*reports: Mapping[str, Any]) -> List[Dict[Tuple[Any, ...], Dict[str, Any]]]:
    """{identity: finding} of each report. A report of an older version has no rules; then they are ignored."""
    findings = [finding for report in reports for finding in report["findings"]]
    has_rules = all(isinstance(each.get("rule"), str) for each in findings if each["class"] == "unsafe")
    size = None if has_rules else -1
    return [{finding_key(finding)[:size]: finding for finding in report["findings"]} for report in reports]


class Unchecked(NamedTuple):
    """What a report did not check. It has no findings about that, which does not mean that they are resolved."""

    # {identity of a host: its status}
    statuses: Dict[Tuple[str, str], str]
    # The unknown expectations: identity of the host and name.
    expectations: Set[Tuple[Tuple[str, str], str]]

    def has(self, finding: Mapping[str, Any]) -> bool:
        """Whether the report did not check what a finding of another report is about."""
        if finding["class"] == UNMET and (host_key(finding), finding["name"]) in self.expectations:
            return True
        return bool(finding["host"]) and self.statuses.get(host_key(finding), "unknown") == "unknown"


def index_unchecked(report: Mapping[str, Any]) -> Unchecked:
    return Unchecked(
        {host_key(host): host["status"] for host in report["hosts"]},
        {(host_key(each), each["name"]) for each in get_unknown(report)},
    )


def is_accepted(finding: Mapping[str, Any]) -> bool:
    return bool(finding.get("accepted"))


def find_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Reasons why the two reports are hard to compare."""
    old, new = (report.get("datastore") or {} for report in (before, after))
    if [old.get("type"), *sorted(old.get("endpoints") or [])] != [new.get("type"), *sorted(new.get("endpoints") or [])]:
        yield "the reports are from different datastores: {0}, {1}".format(*map(_datastore_text, (old, new)))
    if before.get("owner") != after.get("owner"):
        yield "the reports are for different owners: {0}, {1}".format(
            value_text(before.get("owner")), value_text(after.get("owner"))
        )


def _datastore_text(datastore: Mapping[str, Any]) -> str:
    return " ".join(value_text(each) for each in [datastore.get("type"), *(datastore.get("endpoints") or [])])


def _changed_hosts(before: Mapping[str, Any], after: Mapping[str, Any]) -> List[Dict[str, str]]:
    old, new = ({host_key(host): host for host in report["hosts"]} for report in (before, after))
    changed = []
    for key in sorted({**old, **new}):
        statuses = [hosts[key]["status"] if key in hosts else "" for hosts in (old, new)]
        if statuses[0] != statuses[1]:
            node = new.get(key, {}).get("node") or old.get(key, {}).get("node", "")
            changed.append({"host": key[0], "node": node, "before": statuses[0], "after": statuses[1]})
    return changed


# The lines of `text`


def _lines(before: Mapping[str, Any], after: Mapping[str, Any], changes: Mapping[str, Any]) -> Iterator[str]:
    for name, report in (("Before", before), ("After", after)):
        outcome = "failed" if report.get("failed") else "passed"
        yield "{0}: {1}: {2}, {3}".format(
            name, value_text(report.get("generated")), outcome, value_text(report.get("reason"))
        )
    yield from ("Warning: " + warning for warning in changes["warnings"])
    yield from format_section("New", map(format_finding, changes["new"]))
    yield from format_section("With changed fields", map(format_finding, changes["altered"]))
    yield from format_section("Accepted", map(_accepted, changes["accepted"]))
    yield from format_section("No longer accepted", map(format_finding, changes["no_longer_accepted"]))
    yield from format_section("Resolved", map(format_finding, changes["resolved"]))
    yield from format_section(UNVERIFIED, map(format_finding, changes["unverified"]))
    yield from format_section("Hosts", map(_host_line, changes["hosts"]))
    yield "In both: {0}".format(changes["still"])


def format_section(title: str, items: Iterator[str]) -> Iterator[str]:
    """A heading with the number of items, and the first items."""
    lines = list(items)
    yield "{0}: {1}".format(title, len(lines))
    yield from ("  " + line for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield "  and {0} more".format(len(lines) - _SHOWN)


def format_finding(finding: Mapping[str, Any]) -> str:
    """A finding on one line that is safe for a terminal."""
    if finding["class"] == EXPIRED:
        # The name is what it accepted, and where; the message has both.
        return visible("expired exception: {message}".format(**finding))
    place = "{class} {name} on {0}: {message}".format(format_title(finding), **finding)
    fields = ", ".join(str(field.get("field")) for field in finding.get("fields") or [])
    return visible("{0} ({1})".format(place, fields) if fields else place)


def _accepted(finding: Mapping[str, Any]) -> str:
    return "{0} ({1})".format(format_finding(finding), value_text(finding["accepted"]))


def _host_line(host: Mapping[str, str]) -> str:
    statuses = [host[when] or "not in the report" for when in ("before", "after")]
    return visible("{0}: {1} -> {2}".format(format_title(host), *statuses))
