# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of an audit as one self-contained HTML page. Plain Python, without Ansible.

The summary is complete without JavaScript. A script lists the hosts and findings from a block of JSON, a page of them
at a time. The policy of the page allows the browser to run only this script, and to load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sized
from pathlib import Path
from typing import Any, Dict

from ansible_collections.netsec.calico.plugins.plugin_utils._report._page.markup import as_name, as_text
from ansible_collections.netsec.calico.plugins.plugin_utils._report._page.matrix import format_matrix
from ansible_collections.netsec.calico.plugins.plugin_utils._report._page.page_data import format_data
from ansible_collections.netsec.calico.plugins.plugin_utils._report._page.summary import format_summary
from ansible_collections.netsec.calico.plugins.plugin_utils._report.connectivity import get_unknown
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import format_title

_FOLDER = Path(__file__).parent
_MARKS = {"failed": "M8 8l8 8M16 8l-8 8", "remarks": "M12 6.5v6.5M12 17v.01", "passed": "M7 12.5l3.5 3.5L17 8.5"}
# Number of unreadable policies, and of unknown expectations, that are named.
_NAMED = 10


def as_html(report: Mapping[str, Any]) -> bytes:
    """The report as a page. `generated` is on one line."""
    values = {"style": _read("page.css", "*/\n"), "script": _script()}
    values["policy"] = _policy(values["style"], values["script"])
    values.update(_heading(report), **format_summary(report))
    values["connectivity"] = format_matrix(report)
    values["data"] = format_data(report)
    # In one pass, so that a value is never searched for placeholders.
    page = re.sub(r"\[\[(\w+)\]\]", lambda place: values[place[1]], _read("page.html", "-->\n"))
    return page.encode("utf-8")


def _read(file: str, end: str) -> str:
    """The content of a file below its first comment, which ends so."""
    return (_FOLDER / file).read_text(encoding="utf-8").partition(end)[2]


def _script() -> str:
    parts = [_read(file, "*/\n") for file in ("list.js", "boxes.js", "controls.js")]
    return '\n"use strict";\n(() => {{\n{0}}})();\n'.format("".join(parts))


def _policy(style: str, script: str) -> str:
    """The policy that loads nothing, and allows only the page's own script and style."""
    hashes = [
        base64.b64encode(hashlib.sha256(each.encode("utf-8")).digest()).decode("ascii") for each in (script, style)
    ]
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; script-src 'sha256-{0}'; style-src 'sha256-{1}'"
    return policy.format(*hashes)


def _heading(report: Mapping[str, Any]) -> Dict[str, str]:
    hosts = report["summary"]["hosts"]
    if report["failed"]:
        tone, verdict = "failed", "The audit failed"
    elif report["findings"] or get_unknown(report) or hosts["drifted"] or hosts["unknown"] or not hosts["compliant"]:
        tone, verdict = "remarks", "Passed with findings"
    else:
        tone, verdict = "passed", "Everything matches"
    datastore = report["datastore"]
    return {
        "tone": tone,
        "mark": _MARKS[tone],
        "verdict": verdict,
        "title": "{0}: {1}".format(verdict, as_text(report["reason"]) or "Calico host endpoints"),
        "reason": as_text(report["reason"]),
        "warning": "\n".join(_warnings(report)),
        "generated": as_text(report["generated"]),
        "datastore": "<br>".join(map(as_text, [datastore["type"], *datastore["endpoints"]])),
        "owner": as_text(report["owner"]),
        "fail_on": as_text(", ".join(report["fail_on"])) or "nothing",
    }


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    warning = '<p class="warning"><b>{0}:</b> {1}</p>'
    if report["datastore"]["warning"]:
        yield warning.format("Datastore", as_text(report["datastore"]["warning"]))
    if report["policies"] is None:
        yield warning.format("Policies", "They could not be read, so it is unknown which endpoints are unsafe.")
    unknown = get_unknown(report)
    if unknown:
        named = [
            "{0} on {1} ({2})".format(as_name(each["name"]), as_name(format_title(each)), as_text(each["message"]))
            for each in unknown[:_NAMED]
        ]
        text = "These expectations are unknown, neither met nor unmet: {0}{1}"
        yield warning.format("Connectivity", text.format(", ".join(named), _more(unknown)))
    unread = [each for each in report["policies"] or () if each["problem"]]
    if unread:
        named = ["{0} ({1})".format(as_name(each["name"]), as_text(each["problem"])) for each in unread[:_NAMED]]
        text = "These cannot be read, so the endpoints that they select are unknown: {0}{1}"
        yield warning.format("Policies", text.format(", ".join(named), _more(unread)))


def _more(items: Sized) -> str:
    return ", and {0:,} more".format(len(items) - _NAMED) if len(items) > _NAMED else ""
