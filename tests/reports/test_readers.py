# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reports as the programs of those who get them read them: a schema's validator, CI systems, a spreadsheet."""

from __future__ import annotations

import copy
import csv
import subprocess
from xml.etree import ElementTree

import jsonschema
import junitparser
import pytest

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.files import write_reports
from tests.harness.audits import EXAMPLE, HOSTILE, SCHEMA, fleet_report, hostile_report, report

VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
COLUMNS = 12
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


def broken(*path, **changes):
    """The example with another value at a place."""
    document = copy.deepcopy(EXAMPLE)
    place = document
    for key in path:
        place = place[key]
    place.update(changes)
    return document


def test_the_schema_is_one_and_takes_reports():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    not_read = report(policies=None, endpoints=[dict(EXAMPLE["endpoints"][0], policies=None)])
    for document in (EXAMPLE, hostile_report(), fleet_report(2), not_read):
        VALIDATOR.validate(document)
    assert SCHEMA["$defs"]["class"]["enum"] == list(CLASSES)


@pytest.mark.parametrize(
    "document",
    [
        broken(schema="netsec.calico/audit/v2"),
        broken(other=1),
        broken("summary", "endpoints", missing=-1),
        broken("hosts", 0, status="fine"),
        # An unknown host says why, and nothing of it is compliant.
        broken("hosts", 1, reason=""),
        broken("hosts", 1, compliant=1),
        broken("findings", 1, fields=[]),
        broken("findings", 1, **{"class": "foreign"}),
        # Why is said of each policy of which nobody knows whom it selects.
        broken("policies", 0, problem=""),
        broken("endpoints", 0, policies=""),
        broken("endpoints", 0, policies=["a", "a"]),
    ],
)
def test_the_schema_refuses_what_is_none(document):
    assert not VALIDATOR.is_valid(document)


def test_junit_is_read_as_it_is_meant(tmp_path):
    path = write_reports(EXAMPLE, str(tmp_path), ["junit"])["junit"]
    suites = junitparser.JUnitXml.fromfile(path)
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (7, 2, 0, 1)
    results = {suite.name: {case.name: case.result for case in suite} for suite in suites}
    assert list(results) == ["web2", "web1", "old1.example.com", "db1", "db2"]
    assert results["db1"] == {"matching endpoints": []}
    ((unknown,),) = results["db2"].values()
    assert isinstance(unknown, junitparser.Skipped) and unknown.message == "no facts: unreachable"
    (changed,) = results["web1"]["changed web1.example.com-eth0"]
    assert isinstance(changed, junitparser.Failure) and changed.type == "changed"
    assert changed.message == "The endpoint is stored with other values than the inventory says."
    assert 'labels: want {"role": "web", "zone": "dmz"}, have {"role": "web", "zone": "lan"}' in changed.text
    before = [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in suites]
    suites.update_statistics()
    assert [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in suites] == before


def test_a_hostile_junit_is_read_too(tmp_path):
    path = write_reports(hostile_report(), str(tmp_path), ["junit"])["junit"]
    names = [suite.name for suite in junitparser.JUnitXml.fromfile(path)]
    assert names[: len(HOSTILE)] == [visible(text) for text in HOSTILE]


@pytest.fixture
def opened(soffice, tmp_path):
    def opened(path):
        """The cells and the formulas that LibreOffice finds in a CSV file: those that it may calculate, too."""
        profile = "-env:UserInstallation=" + (tmp_path / "profile").as_uri()
        # Comma, quotes, UTF-8, from the first line; the last one is whether formulas are formulas.
        options = "--infilter=CSV:44,34,76,1,,0,false,true,false,false,false,0,true"
        command = [
            soffice,
            "--headless",
            profile,
            options,
            "--convert-to",
            "fods",
            "--outdir",
            str(tmp_path),
            str(path),
        ]
        subprocess.run(command, check=True, timeout=900, stdin=subprocess.DEVNULL, capture_output=True)
        root = ElementTree.parse(str(tmp_path / "audit.fods")).getroot()
        rows = []
        for row in root.iter(TABLE + "table-row"):
            cells = []
            for cell in row.iter(TABLE + "table-cell"):
                text = "\n".join("".join(line.itertext()) for line in cell)
                cells += [text] * int(cell.get(TABLE + "number-columns-repeated", "1"))
            rows.append(cells[:COLUMNS] + [""] * (COLUMNS - len(cells)))
        return rows, [cell.get(TABLE + "formula") for cell in root.iter() if cell.get(TABLE + "formula")]

    return opened


def test_a_spreadsheet_shows_what_is_in_the_csv_and_calculates_nothing(opened, tmp_path):
    document = hostile_report()
    document["hosts"].append(dict(EXAMPLE["hosts"][1], host="b\u00fcro"))
    document["findings"] += EXAMPLE["findings"]
    path = write_reports(document, str(tmp_path), ["csv"])["csv"]
    with open(path, encoding="utf-8-sig", newline="") as file:
        expected = list(csv.reader(file))
    rows, formulas = opened(path)
    assert formulas == []
    assert rows == expected
    assert rows[-1][3] == "b\u00fcro"


def test_that_spreadsheet_would_calculate(opened, tmp_path):
    (tmp_path / "audit.csv").write_text("=1+1,x\n")
    assert opened(tmp_path / "audit.csv")[1] == ["of:=1+1"]


def test_an_audit_without_findings_is_read_by_all(opened, tmp_path):
    document = report(findings=[], hosts=EXAMPLE["hosts"][:1], failed=False, reason="")
    paths = write_reports(document, str(tmp_path))
    (header,) = opened(paths["csv"])[0]
    assert header[:4] == ["severity", "rule", "class", "host"]
    suites = junitparser.JUnitXml.fromfile(paths["junit"])
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (1, 0, 0, 0)
