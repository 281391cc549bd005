# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts and findings of a report for the page's script, as one block of JSON. Plain Python, without Ansible.

The block has a line for each host and finding. Values that repeat, such as messages and lists of policies, stand once
in `shared`, and a record has their index, so that the page of a large fleet is small.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES, get_rank
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import (
    by_host,
    format_title,
    host_key,
    value_text,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.policy_drift import ALL_NODES

# From the worst one down.
_SEVERITIES = list(dict.fromkeys(each.severity for each in CLASSES.values()))
# Maximum number of policies of one endpoint. The JSON report has all of them.
_SELECTING = 50
# A script ends at "</script>", and "<!--" changes how it ends.
_ESCAPES = {ord(char): "\\u{0:04x}".format(ord(char)) for char in "<>&"}
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


class _Shared:
    """Values that stand once, in the order of their first use."""

    def __init__(self) -> None:
        self.lines: List[str] = []
        self._indexes: Dict[str, int] = {}

    def add(self, value: Any) -> int:
        line = _as_line(value)
        if line not in self._indexes:
            self._indexes[line] = len(self.lines)
            self.lines.append(line)
        return self._indexes[line]

    def add_all(self, values: Iterable[str]) -> List[int]:
        return [self.add(visible(value)) for value in values]


def format_data(report: Mapping[str, Any]) -> str:
    """The block: an object whose strings are `visible` and have none of <, > and &."""
    shared = _Shared()
    endpoints: Dict[Tuple[str, str], List[Mapping[str, Any]]] = {}
    for endpoint in report["endpoints"]:
        endpoints.setdefault(host_key(endpoint), []).append(endpoint)
    hosts: List[str] = []
    findings: List[str] = []
    for host, of_host in sorted(by_host(report), key=_get_section):
        of_host = sorted(of_host, key=_get_finding_rank)
        findings += [_as_line(_finding(finding, len(hosts), shared)) for finding in of_host]
        hosts.append(_as_line(_host(host, endpoints.get(host_key(host), ()), shared)))
    lists = {"shared": shared.lines, "hosts": hosts, "findings": findings}
    parts = ['"classes":' + _as_line(list(CLASSES)), '"severities":' + _as_line(_SEVERITIES)]
    parts += ['"{0}":[\n{1}\n]'.format(name, ",\n".join(lines)) for name, lines in lists.items()]
    return "{" + ",\n".join(parts) + "}"


def _as_line(value: Any) -> str:
    return _ENCODER.encode(value).translate(_ESCAPES)


def _get_finding_rank(finding: Mapping[str, Any]) -> Tuple[bool, int]:
    """Accepted findings are last."""
    return "accepted" in finding, get_rank(finding["class"])


def _get_section(item: Tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]) -> int:
    """The findings are first, then unknown hosts and compliant hosts."""
    host, findings = item
    return 0 if findings else ("drifted", "unknown", "compliant").index(host["status"])


def _host(host: Mapping[str, Any], endpoints: Sequence[Mapping[str, Any]], shared: _Shared) -> List[Any]:
    kind = host["status"] if host["host"] else "policies" if host["node"] == ALL_NODES else "node"
    return [
        "Policies" if kind == "policies" else visible(format_title(host)),
        kind,
        visible(host["node"]) if host["host"] and host["node"] != host["host"] else "",
        shared.add(visible(host["reason"])),
        host["compliant"],
        shared.add_all(host.get("groups", ())),
        shared.add_all(host.get("labels", ())),
        [[visible(each["name"]), _selecting(each["policies"], shared)] for each in endpoints],
    ]


def _selecting(policies: Optional[List[str]], shared: _Shared) -> Optional[int]:
    """The index of the indexes of the policies' names, and of the number of policies that are left out."""
    if policies is None:
        return None
    return shared.add([shared.add_all(policies[:_SELECTING]), max(0, len(policies) - _SELECTING)])


def _finding(finding: Mapping[str, Any], host: int, shared: _Shared) -> List[Any]:
    remedy = "\n".join(map(visible, finding["remedy"].splitlines()))
    return [
        host,
        get_rank(finding["class"]),
        _SEVERITIES.index(finding["severity"]),
        visible(finding["name"]),
        visible(finding["interface_name"]),
        visible(finding["rule"]),
        shared.add(visible(finding["message"])),
        shared.add(remedy),
        shared.add(visible(finding.get("accepted", ""))),
        [
            shared.add([visible(field["field"]), _format_lines(field["want"]), _format_lines(field["have"])])
            for field in finding["fields"]
        ],
    ]


def _format_lines(value: Any) -> List[str]:
    """The lines of a value: an item, or a key with its value, on each line."""
    if isinstance(value, Mapping):
        return ["{0}: {1}".format(visible(key), value_text(value[key])) for key in sorted(value)]
    if isinstance(value, list):
        return [value_text(item) for item in value]
    return [value_text(value)] if value not in (None, "") else []
