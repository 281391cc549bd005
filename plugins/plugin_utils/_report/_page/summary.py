# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The numbers at the top of the page, as HTML. Plain Python, without Ansible."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Dict, List, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES, ENDPOINT_CLASSES
from ansible_collections.netsec.calico.plugins.plugin_utils._report._page.markup import (
    as_filter,
    as_name,
    format_count,
    format_either,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._report.compliance import sort_most_drifted
from ansible_collections.netsec.calico.plugins.plugin_utils._report.policy_drift import ALL_NODES

_STATUSES = {
    "drifted": "with findings",
    "unknown": "could not be checked, so not compliant",
    "compliant": "everything matches",
}
# The picture of the fleet, in pixels, and its maximum number of squares.
_WIDTH, _HEIGHT, _SQUARE, _MOST = 460, 150, 22, 5000
# Number of groups, and of labels, that are shown without a click.
_ROWS = 6
_ROW = '<tr><th scope="row">{0}<span><b>{1}</b> <small>{2}</small></span></th><td>{3:,}</td></tr>'


def format_summary(report: Mapping[str, Any]) -> Dict[str, str]:
    """The values of the page's cards of hosts, endpoints, groups and labels."""
    hosts, endpoints = report["summary"]["hosts"], report["summary"]["endpoints"]
    # An endpoint may be in several classes.
    flawed = {(each["node"], each["name"]) for each in _list_flaws(report) if "accepted" not in each}
    ours = endpoints["compliant"] + len(flawed)
    square = '<svg class="fleet" viewBox="0 0 12 12" aria-hidden="true">{0}</svg>'
    legend = "<li>{0}<span>{1} <small>{2}</small></span></li>"
    return {
        "hosts_compliant": "{0:,} of {1} compliant".format(
            hosts["compliant"], format_count(sum(hosts.values()), "host")
        ),
        "endpoints_compliant": "{0:,} of {1} compliant".format(endpoints["compliant"], format_count(ours, "endpoint")),
        "fleet": _fleet(hosts),
        "legend": "\n".join(
            legend.format(
                square.format(_squares(name, [(0.5, 0.5)], 11)),
                as_filter("hosts", name, "<b>{0:,} {1}</b>".format(hosts[name], name)),
                meaning,
            )
            for name, meaning in _STATUSES.items()
        ),
        "counts": "\n".join(_rows(report)),
        "endpoints": "\n".join(
            _ROW.format("", *row)
            for row in (
                ("compliant", "as declared", endpoints["compliant"]),
                ("drifted", "with findings", len(flawed)),
                ("foreign", "Calico&#x27;s own, only counted", endpoints["foreign"]),
            )
        ),
        "findings": format_count(len(report["findings"]), "finding"),
        "notes": "\n".join('<p class="none">{0}</p>'.format(text) for text in _explain(report)),
        "shares": "\n".join(_shares(report["summary"])),
    }


def _list_flaws(report: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The findings of endpoints."""
    return (each for each in report["findings"] if each["class"] in ENDPOINT_CLASSES and each["node"] != ALL_NODES)


def _rows(report: Mapping[str, Any]) -> Iterator[str]:
    """The number of findings of each class in the report."""
    counts = Counter(each["class"] for each in report["findings"])
    for name, kind in CLASSES.items():
        if counts[name]:
            badge = '<span class="badge {0}">{0}</span> '.format(kind.severity)
            yield _ROW.format(badge, as_filter("class", name, name), kind.title, counts[name])


def _explain(report: Mapping[str, Any]) -> Iterator[str]:
    """Why the numbers of findings and endpoints differ."""
    findings = report["findings"]
    flaws = [(each["node"], each["name"]) for each in _list_flaws(report)]
    if len(flaws) > len(set(flaws)):
        text = "An endpoint may be in several classes: {0} are on {1}."
        yield text.format(format_count(len(flaws), "finding"), format_count(len(set(flaws)), "endpoint"))
    policies = sum(each["node"] == ALL_NODES for each in findings)
    if policies:
        yield "Of policies, network sets, profiles and tiers: {0}.".format(format_count(policies, "finding"))
    others = len(findings) - len(flaws) - policies
    if others:
        yield "Of hosts, not of endpoints: {0}.".format(format_count(others, "finding"))
    accepted = sum("accepted" in each for each in findings)
    if accepted:
        text = "Accepted by exceptions: {0}."
        yield text.format(as_filter("accepted", "yes", format_count(accepted, "finding")))
    found = {each["class"] for each in findings}
    none = [name for name in CLASSES if name not in found]
    if none:
        yield "Nothing is {0}.".format(format_either(none))


def _shares(summary: Mapping[str, Any]) -> Iterator[str]:
    """A card each for the compliance by group and by label."""
    for key, name in (("groups", "group"), ("labels", "label")):
        shares = summary.get(key) or {}
        rows = [_share(name, each, shares[each]) for each in sort_most_drifted(shares)]
        if rows:
            table = _share_table(name, rows[:_ROWS])
            if len(rows) > _ROWS:
                more = "\n<details><summary>{0:,} more</summary>{1}</details>"
                table += more.format(len(rows) - _ROWS, _share_table(name, rows[_ROWS:]))
            yield '<section class="card">\n<h2>Hosts by {0}</h2>\n{1}\n</section>'.format(name, table)


def _share_table(name: str, rows: List[str]) -> str:
    head = '<th scope="col">{0}<td>'.format(name)
    head += "".join('<th scope="col">{0}'.format(each) for each in (*_STATUSES, "share"))
    return '<table class="shares"><thead><tr>{0}<tbody>\n{1}\n</table>'.format(head, "\n".join(rows))


def _share(key: str, name: str, share: Mapping[str, int]) -> str:
    image = '<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{0}</svg>'
    counts = ["{0:,}".format(share[status]) for status in _STATUSES]
    cells = [image.format(_bar(share)), *counts, _percent(share)]
    return '<tr><th scope="row">' + "<td>".join([as_filter(key, name, as_name(name)), *cells])


def _percent(share: Mapping[str, int]) -> str:
    """Rounded down, so that only a fully compliant group has 100 %."""
    total = sum(share.values())
    return "{0} %".format(share["compliant"] * 100 // total) if total else "no hosts"


def _bar(share: Mapping[str, int]) -> str:
    total = sum(share.values()) or 1
    start, parts = 0.0, []
    for status in _STATUSES:
        width = share[status] * 100 / total
        if width:
            parts.append('<rect class="{0}" x="{1:.1f}" width="{2:.1f}" height="8"/>'.format(status, start, width))
        start += width
    return "".join(parts)


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
