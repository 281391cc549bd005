# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an audit returns."""

from __future__ import annotations

import json
from typing import Any, Dict

from ._audit import CLASSES, Audit, Finding
from ._result import CHANGES_SIZE, FAILURES_SIZE, bounded


def audit_result_of(found: Audit, datastore: Dict[str, Any], is_bounded: bool = False) -> Dict[str, Any]:
    """The result of an audit; bounded, it ends where AWX would throw it away."""
    kinds = [finding.kind for finding in found.findings]
    records = [_finding(finding) for finding in found.findings]
    findings = bounded(records, CHANGES_SIZE) if is_bounded else records
    result = {
        "changed": False,
        "summary": dict(
            {kind: kinds.count(kind) for kind in CLASSES},
            compliant=sum(found.compliant.values()),
            foreign=found.foreign,
        ),
        "findings": findings,
        "findings_omitted": len(records) - len(findings),
        "datastore": datastore,
    }
    if not is_bounded or len(json.dumps(found.compliant)) <= FAILURES_SIZE:
        result["compliant"] = found.compliant
    return result


def _finding(finding: Finding) -> Dict[str, Any]:
    record = finding._asdict()
    return dict({"class": record.pop("kind")}, **record)
