# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares two audit reports. Plain Python, without Ansible."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Dict, List, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import (
    ReportError,
    checked_report,
    finding_key,
    format_title,
    host_key,
    value_text,
)

# Maximum number of lines of `text` under one heading.
_SHOWN = 200


def changes_between(before: Any, after: Any) -> Dict[str, Any]:
    """Return what changed between two reports, each given as a document or as the content of its JSON file.

    The filter audit_changes documents the result. A finding is the same if its class, its host and its name are the
    same; on a node that is not a host, its node.
    Raises ReportError for an input that is not a report, or has another version of the schema.
    """
    before, after = _check_report(before, "before"), _check_report(after, "after")
    old, new = _by_key(before), _by_key(after)
    statuses = {host_key(host): host["status"] for host in after["hosts"]}
    gone = [old[key] for key in old if key not in new]
    changes = {
        "warnings": list(_differences(before, after)),
        "new": [new[key] for key in new if key not in old],
        "altered": [new[key] for key in new if key in old and new[key].get("fields") != old[key].get("fields")],
        "resolved": [finding for finding in gone if not _is_unchecked(finding, statuses)],
        "unverified": [finding for finding in gone if _is_unchecked(finding, statuses)],
        "still": sum(key in old for key in new),
        "hosts": _changed_hosts(before, after),
    }
    return dict(changes, text=list(_lines(before, after, changes)))


def _check_report(document: Any, what: str) -> Dict[str, Any]:
    if isinstance(document, (str, bytes)):
        try:
            document = json.loads(document)
        except RecursionError as exc:
            raise ReportError("{0} is not an audit report: it is nested too deeply".format(what)) from exc
        except ValueError as exc:
            raise ReportError("{0} is not an audit report: it is not JSON: {1}".format(what, exc)) from exc
    return checked_report(document, what)


def _by_key(report: Mapping[str, Any]) -> Dict[Tuple[Any, ...], Dict[str, Any]]:
    return {finding_key(finding): finding for finding in report["findings"]}


def _is_unchecked(finding: Mapping[str, Any], statuses: Mapping[Tuple[str, str], str]) -> bool:
    # An unchecked host has no findings, which does not mean that they are resolved.
    return bool(finding["host"]) and statuses.get(host_key(finding), "unknown") == "unknown"


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
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
    yield from _section("New", map(_finding_line, changes["new"]))
    yield from _section("With changed fields", map(_finding_line, changes["altered"]))
    yield from _section("Resolved", map(_finding_line, changes["resolved"]))
    yield from _section("Unverified, because the host was not checked", map(_finding_line, changes["unverified"]))
    yield from _section("Hosts", map(_host_line, changes["hosts"]))
    yield "In both: {0}".format(changes["still"])


def _section(title: str, items: Iterator[str]) -> Iterator[str]:
    lines = list(items)
    yield "{0}: {1}".format(title, len(lines))
    yield from ("  " + line for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield "  and {0} more".format(len(lines) - _SHOWN)


def _finding_line(finding: Mapping[str, Any]) -> str:
    place = "{class} {name} on {0}: {message}".format(format_title(finding), **finding)
    fields = ", ".join(str(field.get("field")) for field in finding.get("fields") or [])
    return visible("{0} ({1})".format(place, fields) if fields else place)


def _host_line(host: Mapping[str, str]) -> str:
    statuses = [host[when] or "not in the report" for when in ("before", "after")]
    return visible("{0}: {1} -> {2}".format(format_title(host), *statuses))
