# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of an audit as one self-contained HTML page. Plain Python, without Ansible.

The page is complete without JavaScript, which only searches and filters it. Values become text, never attributes, so
that escaping has one rule. Its policy allows the browser to run only the page's own script, and to load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import (
    CLASSES,
    by_host,
    format_title,
    host_key,
    value_text,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.policy_drift import ALL_NODES

_TEMPLATE = Path(__file__).with_name("page.html")
_MARKS = {"failed": "M8 8l8 8M16 8l-8 8", "remarks": "M12 6.5v6.5M12 17v.01", "passed": "M7 12.5l3.5 3.5L17 8.5"}
_STATUSES = {
    "drifted": "with findings",
    "unknown": "could not be checked, so not compliant",
    "compliant": "everything matches",
}
# (title, explanation) of each group of hosts, in the order of the page.
_GROUPS = {
    "drifted": ("Drifted hosts", "Want is the declared value, have is the stored value."),
    "no host": ("Nodes that are not hosts of this run", "No host of this run declares what is stored there."),
    "policies": ("Policies", "Policies, network sets, profiles and tiers, which belong to no host."),
    "unknown": ("Unknown hosts", "They could not be checked, so the state of their endpoints is unknown."),
    "compliant": ("Compliant hosts", "All of their endpoints match."),
}
# Number of unreadable policies that are named.
_NAMED = 10
# Maximum number of policies of one endpoint. A browser could not open the page of a large fleet with hundreds of them.
_SELECTING = 50
# The picture of the fleet, in pixels, and its maximum number of squares.
_WIDTH, _HEIGHT, _SQUARE, _MOST = 460, 150, 22, 5000


def as_html(report: Mapping[str, Any]) -> bytes:
    """The report as a page. `generated` is on one line."""
    template = _TEMPLATE.read_text(encoding="utf-8").partition("-->\n")[2]
    values = {**_heading(report), **_summary(report), "policy": _policy(template)}
    values["kinds"] = "\n".join(_kinds(report))
    values["hosts"] = "\n".join(_groups(report))
    # In one pass, so that a value is never searched for placeholders.
    page = re.sub(r"\[\[(\w+)\]\]", lambda place: values[place[1]], template)
    return page.encode("utf-8")


def _policy(template: str) -> str:
    """The policy that loads nothing, and allows only the page's own script and style."""
    hashes = {}
    for tag in ("script", "style"):
        content = template.partition("<{0}>".format(tag))[2].partition("</{0}>".format(tag))[0]
        digest = hashlib.sha256(content.encode("utf-8")).digest()
        hashes[tag] = base64.b64encode(digest).decode("ascii")
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; script-src 'sha256-{0}'; style-src 'sha256-{1}'"
    return policy.format(hashes["script"], hashes["style"])


def _text(value: str) -> str:
    return html.escape(visible(value))


def _name(value: str) -> str:
    return '<span class="name">{0}</span>'.format(_text(value))


def _many(count: int, noun: str) -> str:
    return "{0:,} {1}{2}".format(count, noun, "" if count == 1 else "s")


def _either(names: List[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# The top of the page


def _heading(report: Mapping[str, Any]) -> Dict[str, str]:
    hosts = report["summary"]["hosts"]
    if report["failed"]:
        tone, verdict = "failed", "The audit failed"
    elif report["findings"] or hosts["drifted"] or hosts["unknown"] or not hosts["compliant"]:
        tone, verdict = "remarks", "Passed with findings"
    else:
        tone, verdict = "passed", "Everything matches"
    datastore = report["datastore"]
    return {
        "tone": tone,
        "mark": _MARKS[tone],
        "verdict": verdict,
        "title": "{0}: {1}".format(verdict, _text(report["reason"]) or "Calico host endpoints"),
        "reason": _text(report["reason"]),
        "warning": "\n".join(_warnings(report)),
        "generated": _text(report["generated"]),
        "datastore": "<br>".join(map(_text, [datastore["type"], *datastore["endpoints"]])),
        "owner": _text(report["owner"]),
        "fail_on": _text(", ".join(report["fail_on"])) or "nothing",
    }


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    warning = '<p class="warning"><b>{0}:</b> {1}</p>'
    if report["datastore"]["warning"]:
        yield warning.format("Datastore", _text(report["datastore"]["warning"]))
    if report["policies"] is None:
        yield warning.format("Policies", "They could not be read, so it is unknown which endpoints are unsafe.")
    unread = [each for each in report["policies"] or () if each["problem"]]
    if unread:
        named = ["{0} ({1})".format(_name(each["name"]), _text(each["problem"])) for each in unread[:_NAMED]]
        more = ", and {0:,} more".format(len(unread) - _NAMED) if len(unread) > _NAMED else ""
        text = "These cannot be read, so the endpoints that they select are unknown: {0}{1}"
        yield warning.format("Policies", text.format(", ".join(named), more))


def _summary(report: Mapping[str, Any]) -> Dict[str, str]:
    hosts, endpoints = report["summary"]["hosts"], report["summary"]["endpoints"]
    # An endpoint may be in several classes.
    flawed = {
        (each["node"], each["name"])
        for each in report["findings"]
        if each["node"] != ALL_NODES and each["class"] != "unmet"
    }
    ours = endpoints["compliant"] + len(flawed)
    square = '<svg class="fleet" viewBox="0 0 12 12" aria-hidden="true">{0}</svg>'
    legend = "<li>{0}<span><b>{1:,} {2}</b> <small>{3}</small></span></li>"
    row = '<tr class="{0}"><th scope="row"><b>{1}</b> <small>{2}</small></th><td>{3:,}</td></tr>'
    rows = [
        row.format(_tone(name, report["fail_on"]), name, CLASSES[name], endpoints[name])
        for name in CLASSES
        if endpoints.get(name)
    ]
    rows.append(row.format("", "compliant", "as declared", endpoints["compliant"]))
    rows.append(row.format("", "foreign", "Calico&#x27;s own, only counted", endpoints["foreign"]))
    for name, count in report["summary"].get("policies", {}).items():
        if count:
            rows.append(row.format(_tone(name, report["fail_on"]), "policies " + name, CLASSES[name], count))
    none = [name for name in CLASSES if endpoints.get(name) == 0]
    return {
        "hosts_compliant": "{0:,} of {1} compliant".format(hosts["compliant"], _many(sum(hosts.values()), "host")),
        "endpoints_compliant": "{0:,} of {1} compliant".format(endpoints["compliant"], _many(ours, "endpoint")),
        "fleet": _fleet(hosts),
        "legend": "\n".join(
            legend.format(square.format(_squares(name, [(0.5, 0.5)], 11)), hosts[name], name, meaning)
            for name, meaning in _STATUSES.items()
        ),
        "counts": "\n".join(rows),
        "none": '<p class="none">No endpoint is {0}.</p>'.format(_either(none)) if none else "",
    }


def _tone(name: str, fail_on: List[str]) -> str:
    return "fails" if name in fail_on else "spares"


def _fleet(hosts: Mapping[str, int]) -> str:
    """A square for each host, or for several hosts of a very large fleet. Each existing status has at least one."""
    total = sum(hosts.values())
    each = max(1, math.ceil(total / _MOST))
    counts = {status: math.ceil(hosts[status] / each) for status in _STATUSES}
    squares = sum(counts.values())
    if not squares:
        return ""
    pitch = min(_SQUARE, math.sqrt(_WIDTH * _HEIGHT / squares))
    columns = int(_WIDTH / pitch)
    places = [(index % columns * pitch, index // columns * pitch) for index in range(squares)]
    paths = []
    for status in _STATUSES:
        paths.append(_squares(status, places[: counts[status]], pitch * 0.8))
        del places[: counts[status]]
    width = math.ceil(min(squares, columns) * pitch)
    height = math.ceil(math.ceil(squares / columns) * pitch)
    label = ", ".join("{0:,} {1}".format(hosts[status], status) for status in _STATUSES)
    svg = (
        '<svg class="fleet" role="img" aria-label="Hosts: {0}" width="{1}" height="{2}" viewBox="0 0 {1} {2}">{3}</svg>'
    )
    note = '<p class="none">A square is {0} hosts.</p>'.format(each) if each > 1 else ""
    return svg.format(label, width, height, "".join(paths)) + note


def _squares(status: str, places: List[Tuple[float, float]], side: float) -> str:
    # A line is drawn around its middle, and would extend beyond the square.
    line = side / 8 if status == "unknown" else 0
    path = "M{0:.2f} {1:.2f}h{2:.2f}v{2:.2f}h-{2:.2f}z"
    drawn = "".join(path.format(x + line / 2, y + line / 2, side - line) for x, y in places)
    return '<path class="{0}" stroke-width="{1:.2f}" d="{2}"/>'.format(status, line, drawn) if drawn else ""


def _kinds(report: Mapping[str, Any]) -> Iterator[str]:
    """The buttons of the filter: the statuses of hosts and the classes of findings in the report."""
    button = '<button type="button" aria-pressed="false" data-kind="{0}">{1} <b>{2:,}</b></button>'
    for status in _STATUSES:
        count = sum(host["status"] == status for host in report["hosts"])
        if count:
            yield button.format(status, status + " hosts", count)
    for name in CLASSES:
        count = sum(finding["class"] == name for finding in report["findings"])
        if count:
            yield button.format(name, name, count)


# The hosts


def _groups(report: Mapping[str, Any]) -> Iterator[str]:
    groups: Dict[str, List[Tuple[Dict[str, Any], List[Dict[str, Any]], str]]] = {name: [] for name in _GROUPS}
    endpoints: Dict[Any, List[Any]] = {}
    for endpoint in report["endpoints"]:
        endpoints.setdefault(host_key(endpoint), []).append(endpoint)
    for host, findings in by_host(report):
        name = (host["status"] or "drifted") if host["host"] else "no host"
        if host["node"] == ALL_NODES:
            name = "policies"
        groups[name].append((host, findings, _policies(endpoints.get(host_key(host), ()))))
    for name, (title, meaning) in _GROUPS.items():
        if groups[name]:
            # A host without findings is a line, not a card.
            lines = [_line(host, policies) for host, findings, policies in groups[name] if not findings]
            cards = [
                _card(host, findings, policies, report["fail_on"])
                for host, findings, policies in groups[name]
                if findings
            ]
            yield '<section class="hosts">\n<h2>{0}</h2>\n<p>{1}</p>'.format(title, meaning)
            yield from cards
            if lines:
                yield '<ul class="plain">\n{0}\n</ul>'.format("\n".join(lines))
            yield "</section>"


def _line(host: Mapping[str, Any], policies: str) -> str:
    about = [_name(host["node"])] if host["node"] not in ("", host["host"]) and host["host"] else []
    about.append(_text(host["reason"]) if host["reason"] else _many(host["compliant"], "endpoint"))
    line = '<li data-status="{0}">{1} <small>{2}</small>{3}</li>'
    return line.format(host["status"], _text(format_title(host)), " · ".join(about), policies)


def _card(host: Mapping[str, Any], findings: List[Dict[str, Any]], policies: str, fail_on: List[str]) -> str:
    counts = {name: sum(finding["class"] == name for finding in findings) for name in CLASSES}
    about = ["{0} {1}".format(count, name) for name, count in counts.items() if count]
    if host["compliant"]:
        about.append("{0} compliant".format(host["compliant"]))
    if host["node"] not in ("", host["host"]) and host["host"]:
        about.insert(0, _name(host["node"]))
    if host["reason"]:
        about.append(_text(host["reason"]))
    card = '<article class="host" data-status="{0}"><h3>{1}</h3><p>{2}</p>{3}{4}</article>'
    shown = "".join(_finding(finding, fail_on) for finding in findings)
    return card.format(host["status"], _text(format_title(host)), " · ".join(about), policies, shown)


def _policies(endpoints: Sequence[Mapping[str, Any]]) -> str:
    """The policies that select the endpoints of a host, by endpoint. Collapsed, only their number."""
    if not endpoints:
        return ""
    names = {name for endpoint in endpoints for name in endpoint["policies"] or ()}
    counts = ["{0:,} {1}".format(len(names), "policy" if len(names) == 1 else "policies")] if names else []
    if any(endpoint["policies"] == [] for endpoint in endpoints):
        counts.append("no policy" if not names else "an endpoint without a policy")
    if any(endpoint["policies"] is None for endpoint in endpoints):
        counts.append("policies unknown")
    row = "<dt>{0}<dd>{1}"
    rows = [row.format(_name(endpoint["name"]), _selecting(endpoint["policies"])) for endpoint in endpoints]
    return '<details class="policies"><summary>{0}</summary><dl>{1}</dl></details>'.format(
        ", ".join(counts), "".join(rows)
    )


def _selecting(policies: Optional[List[str]]) -> str:
    if policies is None:
        return "unknown"
    more = ", and {0:,} more".format(len(policies) - _SELECTING) if len(policies) > _SELECTING else ""
    return ", ".join(map(_name, policies[:_SELECTING])) + more or "none"


def _finding(finding: Mapping[str, Any], fail_on: List[str]) -> str:
    interface = finding["interface_name"]
    place = " <small>interface {0}</small>".format(_name(interface)) if interface else ""
    section = '<section class="finding {0}" data-class="{1}"><h4><span>{1}</span> {2}{3}</h4><p>{4}</p>{5}</section>'
    return section.format(
        _tone(finding["class"], fail_on),
        _text(finding["class"]),
        _name(finding["name"]),
        place,
        _text(finding["message"]),
        _fields(finding["fields"]),
    )


def _fields(fields: List[Dict[str, Any]]) -> str:
    if not fields:
        return ""
    head = '<table class="fields"><thead><tr><th scope="col">Field<th scope="col">Want<th scope="col">Have<tbody>'
    row = '<tr><th scope="row">{0}<td data-label="Want">{1}<td data-label="Have">{2}'
    rows = []
    for field in fields:
        want, have = _format_lines(field["want"]), _format_lines(field["have"])
        rows.append(row.format(_text(field["field"]), _marked(want, have, "b"), _marked(have, want, "i")))
    return head + "".join(rows) + "</table>"


def _format_lines(value: Any) -> List[str]:
    """The lines of a value: an item, or a key with its value, on each line."""
    if isinstance(value, Mapping):
        return ["{0}: {1}".format(visible(key), value_text(value[key])) for key in sorted(value)]
    if isinstance(value, list):
        return [value_text(item) for item in value]
    return [value_text(value)] if value not in (None, "") else []


def _marked(lines: List[str], others: Iterable[str], tag: str) -> str:
    """The lines, with a mark on those that the other side does not have."""
    if not lines:
        return "<small>nothing</small>"
    others = set(others)
    mark = "<{0}>{{0}}</{0}>".format(tag)
    return "\n".join(html.escape(line) if line in others else mark.format(html.escape(line)) for line in lines)
