# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the report of a run from the findings of the audit module. Plain Python, without Ansible."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import (
    CLASSES,
    ENDPOINT_CLASSES,
    get_rank,
    is_plain,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.compliance import (
    count_compliance,
    count_statuses,
    list_labels,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.connectivity import list_rows, place_unknown
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import SCHEMA
from ansible_collections.netsec.calico.plugins.plugin_utils._report.exceptions import (
    EXPIRED,
    UNMET,
    AuditException,
    apply_exceptions,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.policy_drift import (
    ALL_NODES,
    CLASSES_OF_POLICIES,
    build_policy_findings,
)

UNKNOWN = "unknown"
# The number of expectations that are neither met nor unmet. UNKNOWN in fail_on is about them and about unknown hosts.
_EXPECTATIONS = "unknown expectations"
# The classes on which an audit can fail.
FAIL_ON = (*CLASSES, UNKNOWN)
# The commands that run on some of the hosts.
_LIMITED = re.compile(r"^ansible-playbook netsec\.calico\.(apply|gathered)\b.*$", re.MULTILINE)


def build_report(
    found: Mapping[str, Any],
    nodes: Mapping[str, str],
    unknown: Mapping[str, str],
    uncovered: Mapping[str, str],
    owner: str,
    fail_on: Sequence[str],
    generated: str,
    policies: Optional[Mapping[str, Any]] = None,
    groups: Optional[Mapping[str, Sequence[str]]] = None,
    declared: Iterable[Mapping[str, Any]] = (),
    exceptions: Collection[AuditException] = (),
) -> Dict[str, Any]:
    """Return the document of docs/audit_report.schema.json.

    found: the content of the file `dest` of calico_hostendpoints_audit.
    nodes: {host: node} of the hosts that were compared.
    unknown: {host: reason} of the hosts that were not compared.
    uncovered: {host: reason} of compared hosts without an endpoint, which are never compliant.
    fail_on: the classes on which the audit fails; UNKNOWN is about hosts and expectations.
    generated: the time, and the job that ran the audit.
    policies: the result of calico_resources in check mode with a diff; None if no policies were compared.
    groups: {host: its groups in the inventory}
    declared: the declared endpoints, by the names of the modules' options.
    exceptions: the accepted exceptions. A finding that one of them covers does not count.
    """
    groups = groups or {}
    hosts_by_node = {node: host for host, node in nodes.items()}
    findings = [_place(finding, hosts_by_node) for finding in found["findings"]]
    findings += build_policy_findings(policies or {})
    findings = list(apply_exceptions(findings, exceptions))
    endpoints = [dict(endpoint, host=hosts_by_node.get(endpoint["node"], "")) for endpoint in found["endpoints"]]
    findings.sort(key=_order)
    counted = [finding for finding in findings if "accepted" not in finding]
    drifted = {finding["host"]: "" for finding in counted if finding["host"]}
    for host, reason in _strays(counted, hosts_by_node):
        drifted.setdefault(host, reason)
    hosts: List[Dict[str, Any]] = [
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
    statuses = {host["host"]: host["status"] for host in hosts}
    by_status = count_statuses(statuses.values())
    labels = list_labels(declared, hosts_by_node)
    classes = dict(found["summary"], **_count_classes(counted, ENDPOINT_CLASSES))
    counts = dict(dict.fromkeys(CLASSES, 0), **classes, unknown=by_status[UNKNOWN])
    counts.update({kind: sum(finding["class"] == kind for finding in counted) for kind in (UNMET, EXPIRED)})
    undetermined = place_unknown(found, hosts_by_node)
    counts[_EXPECTATIONS] = len(undetermined)
    summary: Dict[str, Any] = {
        "hosts": by_status,
        "endpoints": classes,
        "accepted": len(findings) - len(counted),
        "groups": count_compliance(statuses, groups),
        "labels": count_compliance(statuses, labels),
    }
    for each in hosts:
        each["groups"] = sorted(summary["groups"].keys() & set(groups.get(each["host"], ())))
        each["labels"] = sorted(summary["labels"].keys() & set(labels.get(each["host"], ())))
    if policies is not None:
        summary["policies"] = _count_classes(counted, CLASSES_OF_POLICIES, are_policies=True)
        counts.update({kind: counts[kind] + count for kind, count in summary["policies"].items()})
    if found.get("expectations"):
        summary["expectations"] = found["expectations"]
    return {
        "schema": SCHEMA,
        "generated": generated,
        "datastore": found["datastore"],
        "owner": owner,
        "fail_on": sorted(fail_on),
        "failed": bool(_list_counts(counts, fail_on)),
        "reason": _reason(counts, fail_on),
        "summary": summary,
        "hosts": sorted(hosts, key=lambda host: (host["host"], host["node"])),
        "findings": findings,
        "policies": found["policies"],
        "endpoints": sorted(endpoints, key=lambda each: (each["host"], each["node"], each["name"])),
        "connectivity": list_rows(found),
        "unknown_expectations": undetermined,
    }


def _count_classes(
    findings: Iterable[Mapping[str, Any]], kinds: Iterable[str], are_policies: bool = False
) -> Dict[str, int]:
    """The number of endpoints or policies of each class. An endpoint may be unsafe for several reasons."""
    found = {
        (finding["class"], finding["node"], finding["name"])
        for finding in findings
        if (finding["node"] == ALL_NODES and finding["class"] in CLASSES_OF_POLICIES) == are_policies
    }
    names = [kind for kind, _node, _name in found]
    return {kind: names.count(kind) for kind in kinds}


def _order(finding: Mapping[str, Any]) -> Tuple[Any, ...]:
    return (get_rank(finding["class"]), *(finding[key] for key in ("host", "node", "name", "rule")))


def _place(finding: Mapping[str, Any], hosts_by_node: Mapping[str, str]) -> Dict[str, Any]:
    """The finding with its host, and a remedy for this host only."""
    host = hosts_by_node.get(finding["node"], "")
    remedy = finding["remedy"]
    # An endpoint that is stored for another host cannot be moved without that host.
    if is_plain(host) and not any(field["field"] == "node" for field in finding["fields"]):
        remedy = _LIMITED.sub(lambda command: "{0} --limit {1}".format(command[0], host), remedy)
    return dict(finding, host=host, remedy=remedy)


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
    failing = _list_counts(counts, fail_on)
    if failing:
        return "{0} (fail_on: {1})".format(", ".join(failing), ", ".join(kind for kind in FAIL_ON if kind in fail_on))
    return ", ".join(_list_counts(counts, FAIL_ON)) or "everything matches"


def _list_counts(counts: Mapping[str, int], kinds: Collection[str]) -> List[str]:
    """The number of findings of each class, and of unknown hosts and expectations; without zeros."""
    texts = ["{0} {1}".format(counts[kind], kind) for kind in CLASSES if kind in kinds and counts[kind]]
    if UNKNOWN in kinds:
        nouns = {UNKNOWN: unknown_hosts, _EXPECTATIONS: unknown_expectations}
        texts += ["{0} {1}".format(counts[kind], noun(counts[kind])) for kind, noun in nouns.items() if counts[kind]]
    return texts


def unknown_hosts(count: int) -> str:
    return "unknown host" if count == 1 else "unknown hosts"


def unknown_expectations(count: int) -> str:
    return "unknown expectation" if count == 1 else "unknown expectations"
