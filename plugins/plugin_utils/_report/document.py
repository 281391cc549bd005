# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of an audit as a document, and what all its formats share. Plain Python, without Ansible.

Its format is docs/audit_report.schema.json. Names, labels and messages in it are exactly as stored, so anybody who can
write to the datastore controls them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Dict, List, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import get_rank
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import CalicoError, shown, visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.connectivity import are_rows, are_unknown

SCHEMA = "netsec.calico/audit/v1"
# Prepared, since a report has many values.
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True)

_TEXTS = {
    "hosts": ("host", "node", "status", "reason"),
    "findings": ("class", "host", "node", "name", "interface_name", "message"),
    "endpoints": ("host", "node", "name"),
}


class ReportError(CalicoError):
    """A document is not a report that this version supports, or a report cannot be written."""


def checked_report(document: Any, what: str) -> Dict[str, Any]:
    """Return the document if it is a report.

    what: its name in an error message.
    Raises ReportError if it is not a report, or has another version of the schema.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("schema"), str):
        raise ReportError("{0} is not an audit report: it has no 'schema'".format(what))
    if document["schema"] != SCHEMA:
        message = "{0} has the schema {1}; this version of netsec.calico supports only {2}"
        raise ReportError(message.format(what, shown(document["schema"]), shown(SCHEMA)))
    for key, texts in _TEXTS.items():
        items = document.get(key)
        if not isinstance(items, list):
            raise ReportError("{0} is not a complete report: {1} is not a list".format(what, key))
        for number, item in enumerate(items):
            wrong = [text for text in texts if not isinstance(item, Mapping) or not isinstance(item.get(text), str)]
            if wrong:
                message = "{0} is not a complete report: {1}[{2}] has no string '{3}'"
                raise ReportError(message.format(what, key, number, wrong[0]))
    for number, finding in enumerate(document["findings"]):
        if not _are_fields(finding.get("fields")):
            raise ReportError("{0} is not a complete report: findings[{1}] has no list of fields".format(what, number))
    for number, endpoint in enumerate(document["endpoints"]):
        if not _are_names(endpoint.get("policies", "")):
            message = "{0} is not a complete report: endpoints[{1}] has no list of policies"
            raise ReportError(message.format(what, number))
    if not _are_policies(document.get("policies", "")):
        raise ReportError("{0} is not a complete report: it has no valid list of policies".format(what))
    if not are_rows(document.get("connectivity", [])):
        raise ReportError("{0} is not a complete report: it has no valid list of connectivity".format(what))
    if not are_unknown(document.get("unknown_expectations", [])):
        raise ReportError("{0} is not a complete report: it has no valid list of unknown_expectations".format(what))
    if not _is_datastore(document.get("datastore")):
        raise ReportError("{0} is not a complete report: it has no valid datastore".format(what))
    return dict(document)


def _are_fields(fields: Any) -> bool:
    return isinstance(fields, list) and all(
        isinstance(field, Mapping) and isinstance(field.get("field"), str) and {"want", "have"}.issubset(field)
        for field in fields
    )


def _are_names(policies: Any) -> bool:
    """`null` means unknown."""
    return policies is None or isinstance(policies, list) and all(isinstance(name, str) for name in policies)


def _are_policies(policies: Any) -> bool:
    return policies is None or (
        isinstance(policies, list)
        and all(
            isinstance(policy, Mapping) and isinstance(policy.get(key), str)
            for policy in policies
            for key in ("name", "problem")
        )
    )


def _is_datastore(datastore: Any) -> bool:
    if not isinstance(datastore, Mapping) or not isinstance(datastore.get("endpoints"), list):
        return False
    return all(
        isinstance(text, str) for text in (datastore.get("type"), datastore.get("warning"), *datastore["endpoints"])
    )


def by_host(report: Mapping[str, Any]) -> List[Tuple[Dict[str, Any], List[Dict[str, Any]]]]:
    """Each host of the report as (host, its findings), and the hosts that only findings name.

    The hosts with the most severe findings are first, and the hosts without findings are last.
    """
    groups: Dict[Tuple[str, str], Tuple[Dict[str, Any], List[Dict[str, Any]]]]
    groups = {host_key(host): (host, []) for host in report["hosts"]}
    for finding in report["findings"]:
        key = host_key(finding)
        if key not in groups:
            host = {"host": finding["host"], "node": finding["node"], "status": "", "reason": "", "compliant": 0}
            groups[key] = (host, [])
        groups[key][1].append(finding)
    # An accepted finding is not urgent.
    worst = {
        key: min((get_rank(each["class"]) for each in findings if "accepted" not in each), default=get_rank(""))
        for key, (_host, findings) in groups.items()
    }
    return [groups[key] for key in sorted(groups, key=lambda key: (worst[key], not groups[key][1]))]


def finding_key(finding: Mapping[str, Any]) -> Tuple[Any, ...]:
    """The identity of a finding in all audits: its class, host and endpoint, and for class unsafe the guard's check."""
    check = finding.get("rule", "") if finding["class"] == "unsafe" else ""
    return (finding["class"], host_key(finding), finding["name"], check)


def finding_id(finding: Mapping[str, Any]) -> str:
    """The identity of a finding as a short string."""
    # With a letter, so that no spreadsheet formats it as a number.
    return "F" + hashlib.sha256(json.dumps(finding_key(finding)).encode("ascii")).hexdigest()[:12]


def format_title(item: Mapping[str, Any]) -> str:
    """The title of a host, or of the place of a finding. The node of a malformed value may be unknown."""
    return item["host"] or item["node"] or "(unknown node)"


def host_key(item: Mapping[str, Any]) -> Tuple[str, str]:
    """The identity of a host, or of the host of a finding. If there is no host, the identity is the node."""
    return (item["host"], "" if item["host"] else item["node"])


def value_text(value: Any) -> str:
    """A field's value on one line: a string as it is, `null` as nothing, other values as JSON; all are `visible`."""
    if value is None:
        return ""
    return visible(value if isinstance(value, str) else _ENCODER.encode(value))
