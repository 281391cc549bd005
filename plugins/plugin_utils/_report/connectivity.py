# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The declared connectivity in the report of an audit: its rows, and the expectations that are unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List

# The states of the ports of a row, and of an expectation.
STATES = ("open", "closed", "mixed", "unknown")
RESULTS = ("met", "unmet", "unknown")
_TEXTS = ("source", "destination", "state", "details")
_UNKNOWN_TEXTS = ("host", "node", "name", "message")


def list_rows(found: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The rows of a report, from the result of calico_hostendpoints_audit; [] if no connectivity is declared."""
    return [dict(row) for row in found.get("connectivity") or ()]


def place_unknown(found: Mapping[str, Any], hosts_by_node: Mapping[str, str]) -> List[Dict[str, Any]]:
    """The unknown expectations of a report, sorted. Their host is that of the finding if they were unmet."""
    placed = [dict(each, host=hosts_by_node.get(each["node"], "")) for each in found.get("unknown_expectations") or ()]
    return sorted(placed, key=lambda each: (each["host"], each["node"], each["name"]))


def get_unknown(report: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The unknown expectations in a report. Reports of older versions have none."""
    unknown: List[Dict[str, Any]] = report.get("unknown_expectations", [])
    return unknown


def are_unknown(items: Any) -> bool:
    """Whether the value is a valid list of unknown expectations."""
    return isinstance(items, list) and all(
        isinstance(each, Mapping) and all(isinstance(each.get(key), str) for key in _UNKNOWN_TEXTS) for each in items
    )


def are_rows(rows: Any) -> bool:
    """Whether the value is a valid list of rows."""
    return isinstance(rows, list) and all(
        isinstance(row, Mapping)
        and all(isinstance(row.get(key), str) for key in _TEXTS)
        and row["state"] in STATES
        and isinstance(row.get("ports"), list)
        and all(isinstance(port, str) for port in row["ports"])
        for row in rows
    )


def format_counts(counts: Mapping[str, int]) -> str:
    """The number of expectations by result, in one line."""
    return "expectations: " + ", ".join("{0} {1}".format(counts[result], result) for result in RESULTS)
