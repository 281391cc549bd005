# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result of an audit."""

from __future__ import annotations

import collections
import json
from typing import Any, Dict, List, Optional

from .._audit.audit import Audit
from .._audit.classes import CLASSES, ENDPOINT_CLASSES
from .._audit.connectivity import NONE_EVALUATED, Reachability, build_unknown_records
from .._audit.finding import AuditFinding
from .._audit.policies import Selections
from .._core.errors import shown
from .results import CHANGES_SIZE, FAILURES_SIZE, bounded

# Maximum number of characters of a string in a shortened finding.
CUT = 300


def build_audit_result(
    found: Audit,
    datastore: Dict[str, Any],
    selections: Optional[Selections] = None,
    reach: Reachability = NONE_EVALUATED,
    is_bounded: bool = False,
) -> Dict[str, Any]:
    """The result of an audit. A bounded result stays below the limit of AWX, and omits details of the endpoints."""
    # An endpoint may be unsafe for several reasons.
    kinds = [kind for kind, _node, _name in {(each.kind, each.node, each.name) for each in found.findings}]
    records = [_finding(finding) for finding in found.findings]
    findings = (bounded(records, CHANGES_SIZE) or _shorten(records[:1])) if is_bounded else records
    result = {
        "changed": False,
        "summary": dict(
            {kind: kinds.count(kind) for kind in ENDPOINT_CLASSES},
            compliant=sum(found.compliant.values()),
            foreign=found.foreign,
        ),
        "findings": findings,
        "findings_omitted": len(records) - len(findings),
        "datastore": datastore,
    }
    if not is_bounded or len(json.dumps(found.compliant)) <= FAILURES_SIZE:
        result["compliant"] = found.compliant
    if reach.results:
        result["expectations"] = reach.count_states()
        unknown = build_unknown_records(reach.results)
        shown_unknown = bounded(unknown, FAILURES_SIZE) if is_bounded else unknown
        result.update(
            unknown_expectations=shown_unknown, unknown_expectations_omitted=len(unknown) - len(shown_unknown)
        )
        rows = bounded(reach.matrix, FAILURES_SIZE) if is_bounded else list(reach.matrix)
        result.update(connectivity=rows, connectivity_omitted=len(reach.matrix) - len(rows))
    if selections:
        policies = _policies(selections)
        shown_policies = bounded(policies or (), FAILURES_SIZE) if is_bounded else policies or []
        result["policies"] = None if policies is None else shown_policies
        result["policies_omitted"] = len(policies or ()) - len(shown_policies)
        if not is_bounded:
            result["endpoints"] = [each._asdict() for each in selections.endpoints]
    return result


def _policies(selections: Selections) -> Optional[List[Dict[str, Any]]]:
    """The number of endpoints that each policy selects, or why it is unknown; None when no policy could be read."""
    if selections.unread is None:
        return None
    counts = collections.Counter(name for each in selections.endpoints for name in each.policies or ())
    return [
        {
            "name": name,
            "endpoints": None if name in selections.unread else counts[name],
            "problem": selections.unread.get(name, ""),
        }
        for name in sorted({*counts, *selections.unread})
    ]


def _finding(finding: AuditFinding) -> Dict[str, Any]:
    return {
        "class": finding.kind,
        "severity": CLASSES[finding.kind].severity,
        "rule": finding.rule,
        "node": finding.node,
        "name": finding.name,
        "interface_name": finding.interface_name,
        "fields": finding.fields,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def _shorten(records: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """The records with shortened strings."""
    return [
        {
            key: [dict(field, want=shown(field["want"], CUT), have=shown(field["have"], CUT)) for field in value]
            if key == "fields"
            else value
            if len(value) <= CUT
            else shown(value, CUT)
            for key, value in record.items()
        }
        for record in records
    ]
