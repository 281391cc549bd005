# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes the report of an audit to files. Plain Python, without Ansible."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Dict

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief, file_problem
from ansible_collections.netsec.calico.plugins.module_utils._core.replaced_file import replace_file
from ansible_collections.netsec.calico.plugins.plugin_utils._report._page.html_page import as_html
from ansible_collections.netsec.calico.plugins.plugin_utils._report.csv_file import as_csv, as_fields_csv
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError, checked_report
from ansible_collections.netsec.calico.plugins.plugin_utils._report.junit_xml import as_junit


def as_json(report: Mapping[str, Any]) -> bytes:
    """The report with sorted keys, in ASCII, with one value on each line, so that two reports can be compared."""
    return (json.dumps(report, indent=2, sort_keys=True) + "\n").encode("ascii")


# {report: (file name, function that formats the report)}
_REPORTS: Dict[str, Any] = {
    "json": ("audit.json", as_json),
    "csv": ("audit.csv", as_csv),
    "csv_fields": ("audit_fields.csv", as_fields_csv),
    "junit": ("audit.xml", as_junit),
    "html": ("audit.html", as_html),
}
# {format: its reports}
FORMATS: Dict[str, Sequence[str]] = {
    "json": ["json"],
    "csv": ["csv", "csv_fields"],
    "junit": ["junit"],
    "html": ["html"],
}


def remove_reports(folder: str) -> None:
    """Remove the reports of an earlier audit from the folder, if it exists. Of a symbolic link, the link is removed.

    Raises ReportError for a file that cannot be removed, and for a path that is not a directory.
    """
    for file, _make in _REPORTS.values():
        path = os.path.join(folder, file)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except NotADirectoryError as exc:
            text = "cannot write reports into {0}: it is not a directory"
            raise ReportError(text.format(brief(folder, 255))) from exc
        except (OSError, ValueError) as exc:
            text = "cannot remove the older report {0}: {1}"
            raise ReportError(text.format(brief(path, 255), file_problem(exc))) from exc


def write_reports(report: Mapping[str, Any], folder: str, formats: Iterable[str] = tuple(FORMATS)) -> Dict[str, str]:
    """Write the report into the folder, which is created if it does not exist. Returns {report: path}.

    report: a document of docs/audit_report.schema.json. If two documents differ only in `generated`, their files differ
        in at most one line, and their CSV files are equal.
    formats: any of `FORMATS`.
    Each file is replaced as a whole or kept, and all files are kept unless every format could be built.
    Raises ReportError for an unknown format, a document that is not a report, or a file that cannot be written.
    """
    report = checked_report(report, "the document")
    formats = list(formats)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ReportError("{0!r} is not a report format; use {1}".format(unknown[0], ", ".join(FORMATS)))
    contents = {}
    for name in (name for name in _REPORTS if any(name in FORMATS[each] for each in formats)):
        file, make = _REPORTS[name]
        contents[name] = (os.path.join(folder, file), make(report))
    try:
        os.makedirs(folder, exist_ok=True)
    except (OSError, ValueError) as exc:
        raise ReportError("cannot write reports into {0}: {1}".format(brief(folder, 255), file_problem(exc))) from exc
    for path, content in contents.values():
        try:
            replace_file(path, content)
        except OSError as exc:
            text = "cannot write the report {0}: {1}"
            raise ReportError(text.format(brief(path, 255), file_problem(exc))) from exc
    return {name: path for name, (path, _content) in contents.items()}
