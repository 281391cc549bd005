# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The matrix of declared connectivity, group by group, as HTML. Plain Python, without Ansible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Dict, List, Tuple

from ansible_collections.netsec.calico.plugins.plugin_utils._report._page.markup import as_name, as_text

_STATES = {
    "open": "all connections are allowed",
    "closed": "all connections are denied",
    "mixed": "some connections are allowed",
    "unknown": "cannot be determined",
}
# Maximum number of columns. A wider matrix is a list.
_COLUMNS = 12


def format_matrix(report: Mapping[str, Any]) -> str:
    """The section, or nothing if the report has no connectivity."""
    cells = report.get("connectivity") or []
    if not cells:
        return ""
    # Rows and columns have one order.
    names = dict.fromkeys([cell["source"] for cell in cells] + [cell["destination"] for cell in cells])
    sources = [name for name in names if any(cell["source"] == name for cell in cells)]
    destinations = [name for name in names if any(cell["destination"] == name for cell in cells)]
    table = _table(cells, sources, destinations) if len(destinations) <= _COLUMNS else _list(cells)
    counts = [(state, sum(cell["state"] == state for cell in cells)) for state in _STATES]
    legend = "".join(
        '<li><b class="state {0}">{0}</b> {1:,} <small>{2}</small></li>'.format(state, count, _STATES[state])
        for state, count in counts
        if count
    )
    return (
        '<section class="card wide" id="connectivity">\n<h2>Declared connectivity</h2>\n'
        '<p class="big">{0:,} of {1:,} pairs of groups open</p>\n<ul class="states">{2}</ul>\n'
        '<div class="scroll" role="region" aria-label="Declared connectivity" tabindex="0">\n{3}\n</div>\n</section>'
    ).format(counts[0][1], len(cells), legend, table)


def _table(cells: Sequence[Mapping[str, Any]], sources: List[str], destinations: List[str]) -> str:
    by_pair: Dict[Tuple[str, str], Mapping[str, Any]] = {(cell["source"], cell["destination"]): cell for cell in cells}
    head = "".join('<th scope="col">{0}'.format(as_name(name)) for name in destinations)
    rows = []
    for source in sources:
        row = ['<tr><th scope="row">{0}'.format(as_name(source))]
        for destination in destinations:
            cell = by_pair.get((source, destination))
            to = '<span class="to">to {0} </span>'.format(as_name(destination))
            row.append(
                "<td>{0}{1}".format(to, _cell(cell)) if cell else '<td class="undeclared"><small>not declared</small>'
            )
        rows.append("".join(row))
    return '<table class="matrix"><thead><tr><th scope="col">from \\ to{0}<tbody>\n{1}\n</table>'.format(
        head, "\n".join(rows)
    )


def _list(cells: Sequence[Mapping[str, Any]]) -> str:
    row = '<tr><th scope="row">{0}<td>{1}<td>{2}'
    rows = [row.format(as_name(cell["source"]), as_name(cell["destination"]), _cell(cell)) for cell in cells]
    head = '<thead><tr><th scope="col">From<th scope="col">To<th scope="col">State'
    return '<table class="matrix pairs">{0}<tbody>\n{1}\n</table>'.format(head, "\n".join(rows))


def _cell(cell: Mapping[str, Any]) -> str:
    state = cell["state"] if cell["state"] in _STATES else "unknown"
    ports = " <span>{0}</span>".format(as_text(", ".join(cell["ports"]))) if cell["ports"] else ""
    text = '<b class="state {0}">{0}</b>{1}'.format(state, ports)
    if cell["details"]:
        text = "<details><summary>{0}</summary><p>{1}</p></details>".format(text, as_text(cell["details"]))
    return text
