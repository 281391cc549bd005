# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the report of a run from the findings of the audit module. Plain Python, without Ansible."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import cut, visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.connectivity import format_counts, list_rows
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import CLASSES, SCHEMA, format_title
from ansible_collections.netsec.calico.plugins.plugin_utils._report.policy_drift import (
    CLASSES_OF_POLICIES,
    build_policy_findings,
)

UNKNOWN, UNMET = "unknown", "unmet"
# The classes on which an audit can fail.
FAIL_ON = (*CLASSES, UNKNOWN)
# Maximum number of findings in the log, and of characters in a line there. The reports contain everything.
SHOWN = 20
LINE = 300


def build_report(
    found: Mapping[str, Any],
    nodes: Mapping[str, str],
    unknown: Mapping[str, str],
    uncovered: Mapping[str, str],
    owner: str,
    fail_on: Sequence[str],
    generated: str,
    policies: Optional[Mapping[str, Any]] = None,
) -> Dict[str, Any]:
    """Return the document of docs/audit_report.schema.json.

    found: the content of the file `dest` of calico_hostendpoints_audit.
    nodes: {host: node} of the hosts that were compared.
    unknown: {host: reason} of the hosts that were not compared.
    uncovered: {host: reason} of compared hosts without an endpoint, which are never compliant.
    fail_on: the classes on which the audit fails.
    generated: the time, and the job that ran the audit.
    policies: the result of calico_resources in check mode with a diff; None if no policies were compared.
    """
    hosts_by_node = {node: host for host, node in nodes.items()}
    findings = [dict(finding, host=hosts_by_node.get(finding["node"], "")) for finding in found["findings"]]
    of_policies = build_policy_findings(policies or {})
    findings += of_policies
    endpoints = [dict(endpoint, host=hosts_by_node.get(endpoint["node"], "")) for endpoint in found["endpoints"]]
    findings.sort(key=lambda finding: (finding["host"], finding["node"], finding["name"], finding["class"]))
    drifted = {finding["host"]: "" for finding in findings if finding["host"]}
    for host, reason in _strays(findings, hosts_by_node):
        drifted.setdefault(host, reason)
    hosts = [
        {
            "host": host,
            "node": node,
            "status": "drifted" if host in drifted else UNKNOWN if host in uncovered else "compliant",
            "reason": drifted.get(host, uncovered.get(host, "")),
            "compliant": found["compliant"].get(node, 0),
        }
        for host, node in nodes.items()
    ]
    hosts += [
        {"host": host, "node": "", "status": UNKNOWN, "reason": reason, "compliant": 0}
        for host, reason in unknown.items()
    ]
    statuses = [host["status"] for host in hosts]
    classes = dict.fromkeys((kind for kind in CLASSES if kind != UNMET), 0)
    classes.update(found["summary"])
    expectations = found.get("expectations") or {}
    counts = dict(classes, unmet=expectations.get(UNMET, 0), unknown=statuses.count(UNKNOWN))
    summary: Dict[str, Any] = {
        "hosts": {status: statuses.count(status) for status in ("compliant", "drifted", UNKNOWN)},
        "endpoints": classes,
    }
    if policies is not None:
        summary["policies"] = {
            kind: sum(finding["class"] == kind for finding in of_policies) for kind in CLASSES_OF_POLICIES
        }
        counts.update({kind: counts[kind] + count for kind, count in summary["policies"].items()})
    if expectations:
        summary["expectations"] = expectations
    return {
        "schema": SCHEMA,
        "generated": generated,
        "datastore": found["datastore"],
        "owner": owner,
        "fail_on": sorted(fail_on),
        "failed": any(counts[kind] for kind in fail_on),
        "reason": _reason(counts, fail_on),
        "summary": summary,
        "hosts": sorted(hosts, key=lambda host: (host["host"], host["node"])),
        "findings": findings,
        "policies": found["policies"],
        "endpoints": sorted(endpoints, key=lambda each: (each["host"], each["node"], each["name"])),
        "connectivity": list_rows(found),
    }


def _strays(findings: Iterable[Mapping[str, Any]], hosts_by_node: Mapping[str, str]) -> Iterator[Tuple[str, str]]:
    """Each host on which an endpoint is stored that is declared on another node, with the reason."""
    for finding in findings:
        for field in finding["fields"]:
            host = (
                hosts_by_node.get(field["have"]) if field["field"] == "node" and finding["class"] == "changed" else ""
            )
            if host:
                yield host, "{0} is stored on it, but declared on {1}".format(finding["name"], finding["node"])


def _reason(counts: Mapping[str, int], fail_on: Collection[str]) -> str:
    """One line: why the audit fails, or the number of findings of each class."""
    failing = [_counted(kind, counts[kind]) for kind in FAIL_ON if kind in fail_on and counts[kind]]
    if failing:
        return "{0} (fail_on: {1})".format(", ".join(failing), ", ".join(kind for kind in FAIL_ON if kind in fail_on))
    others = [_counted(kind, counts[kind]) for kind in FAIL_ON if counts[kind]]
    return ", ".join(others) or "everything matches"


def _counted(kind: str, count: int) -> str:
    return "{0} {1}".format(count, _unknown_hosts(count) if kind == UNKNOWN else kind)


def _unknown_hosts(count: int) -> str:
    return "unknown host" if count == 1 else "unknown hosts"


def format_banner(report: Mapping[str, Any], paths: Mapping[str, str]) -> List[str]:
    """The lines of the log: the numbers, the first findings, and the paths of the reports."""
    hosts, endpoints = report["summary"]["hosts"], report["summary"]["endpoints"]
    lines = [
        "AUDIT {0}: {1}".format(_verdict(report), report["reason"]),
        "hosts: {0} compliant, {1} drifted, {2} unknown".format(hosts["compliant"], hosts["drifted"], hosts[UNKNOWN]),
        "endpoints: "
        + ", ".join(
            "{0} {1}".format(endpoints[kind], kind) for kind in ("compliant", *CLASSES, "foreign") if kind in endpoints
        ),
    ]
    if "policies" in report["summary"]:
        counts = ["{0} {1}".format(count, kind) for kind, count in report["summary"]["policies"].items()]
        lines.append("policies: " + ", ".join(counts))
    if "expectations" in report["summary"]:
        lines.append(format_counts(report["summary"]["expectations"]))
    if report["datastore"]["warning"]:
        lines.append("datastore: " + report["datastore"]["warning"])
    unknown = ["{host}: unknown: {reason}".format(**host) for host in report["hosts"] if host["status"] == UNKNOWN]
    lines += unknown[:SHOWN]
    if len(unknown) > SHOWN:
        more = len(unknown) - SHOWN
        lines.append("... and {0} more {1}".format(more, _unknown_hosts(more)))
    lines += [_line(finding) for finding in report["findings"][:SHOWN]]
    if len(report["findings"]) > SHOWN:
        more = len(report["findings"]) - SHOWN
        lines.append("... and {0} more finding{1}".format(more, "" if more == 1 else "s"))
    lines += ["report: " + path for path in paths.values()]
    # Other writers to the datastore control much of it, and it is shown on a terminal.
    return [cut(visible(line), LINE) for line in lines]


def _verdict(report: Mapping[str, Any]) -> str:
    if report["failed"]:
        return "FAILED"
    # Without fail_on, whether findings are acceptable is unknown.
    return "found" if report["findings"] or report["summary"]["hosts"][UNKNOWN] else "passed"


def _line(finding: Mapping[str, Any]) -> str:
    text = "{0}: {1} {2}: {3}".format(format_title(finding), finding["class"], finding["name"], finding["message"])
    fields = ", ".join(field["field"] for field in finding["fields"]) if finding["class"] == "changed" else ""
    return "{0} ({1})".format(text, fields) if fields else text
