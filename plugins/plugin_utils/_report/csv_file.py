# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of an audit as CSV, for spreadsheets. Plain Python, without Ansible."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, List

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.connectivity import get_unknown
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import finding_id, value_text

COLUMNS = (
    "severity",
    "rule",
    "class",
    "host",
    "node",
    "name",
    "interface",
    "fields",
    "message",
    "remedy",
    "accepted",
    "id",
)
FIELD_COLUMNS = ("id", "severity", "rule", "class", "host", "node", "name", "field", "want", "have")

# What a spreadsheet evaluates as a formula: also the full-width forms of East Asian input, and also after a semicolon,
# which ends the cell where the decimal separator is a comma. https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = re.compile("(^|;)([\"' ]*)(?=[=+\\-@\uff1d\uff0b\uff0d\uff20])")
# Excel accepts 32,767 characters in a cell and moves the rest to the next row.
_CELL = 32000


def as_csv(report: Mapping[str, Any]) -> bytes:
    """A header of `COLUMNS`, and a line for each finding, each unknown host and each unknown expectation.

    A formula gets a leading apostrophe, characters that are not printable are escaped as in `\\x1b`, and cells are cut
    at 32,000 characters. The JSON report holds the exact values.
    """
    return _table(COLUMNS, _finding_rows(report))


def as_fields_csv(report: Mapping[str, Any]) -> bytes:
    """A header of `FIELD_COLUMNS`, and a line for each field of each finding, with the `id` of the finding.

    `want` and `have` are JSON, except strings. Cells are as in `as_csv`.
    """
    return _table(FIELD_COLUMNS, _field_rows(report))


def _finding_rows(report: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for finding in report["findings"]:
        yield [
            *_text(finding, "severity", "rule", "class", "host", "node", "name", "interface_name"),
            ", ".join(field["field"] for field in finding["fields"]),
            finding["message"],
            " | ".join(finding.get("remedy", "").splitlines()),
            *_text(finding, "accepted"),
            finding_id(finding),
        ]
    for host in report["hosts"]:
        if host["status"] == "unknown":
            yield ["", "", "unknown", host["host"], host["node"], "", "", "", host["reason"], "", "", ""]
    for each in get_unknown(report):
        yield ["", "", "unknown", *_text(each, "host", "node", "name"), "", "", each["message"], "", "", ""]


def _field_rows(report: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for finding in report["findings"]:
        place = [finding_id(finding), *_text(finding, "severity", "rule", "class", "host", "node", "name")]
        for field in finding["fields"]:
            yield [*place, field["field"], value_text(field["want"]), value_text(field["have"])]


def _text(finding: Mapping[str, Any], *keys: str) -> List[str]:
    # Older reports, and findings that no exception covers, do not have all keys.
    return [finding.get(key, "") for key in keys]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    content = text.getvalue()
    # Excel reads UTF-8 only with the byte order mark, which other readers do not need. ASCII needs none.
    return content.encode("ascii" if content.isascii() else "utf-8-sig")


# Severities, hosts and remedies repeat.
@functools.lru_cache(maxsize=1024)
def _cell(value: str) -> str:
    text = _FORMULA.sub(r"\1'\2", visible(value))
    return text if len(text) <= _CELL else text[:_CELL] + " ... (cut)"
