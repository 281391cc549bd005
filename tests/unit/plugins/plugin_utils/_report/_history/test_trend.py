# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._report._history.trend import build_trend
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError
from ansible_collections.netsec.calico.tests.harness.audits import EXAMPLE, hostile_report, report

DAYS = ["2027-01-0%dT18:00:00Z" % day for day in range(1, 7)]


def day(number, *findings, unknown=(), **changes):
    """The report of a day. Its hosts are a and b."""
    drifted = {each["host"] for each in findings}
    hosts = [
        {
            "host": name,
            "node": name,
            "status": "unknown" if name in unknown else "drifted" if name in drifted else "compliant",
            "reason": "",
            "compliant": 0,
        }
        for name in "ab"
    ]
    known = {"generated": DAYS[number - 1], "hosts": hosts, "findings": list(findings), "reason": "day %d" % number}
    return report(**dict(known, **changes))


def finding(host, name, kind="missing", **more):
    found = {"class": kind, "host": host, "node": host, "name": name, "interface_name": "", "fields": []}
    return dict(found, **dict({"message": "It is so."}, **more))


def names(trend, key):
    return [(each["name"], each["since"][8:10]) for each in trend[key]]


def test_a_finding_has_the_first_report_of_its_row():
    old, back, new = finding("a", "old"), finding("a", "back"), finding("b", "new")
    trend = build_trend([day(1, old, back), day(2, old), day(3, old, back), day(4, old, back, new)])
    assert names(trend, "still") == [("old", "01"), ("back", "03")]
    assert names(trend, "new") == [("new", "04")]
    # It came back, so it is not fixed.
    assert trend["fixed"] == trend["unverified"] == trend["accepted"] == trend["warnings"] == []


def test_a_fixed_finding_has_the_report_that_first_does_not_have_it():
    trend = build_trend([day(1, finding("a", "x")), day(2, finding("a", "x", message="Later.")), day(3), day(4)])
    (fixed,) = trend["fixed"]
    assert (fixed["since"], fixed["fixed"], fixed["message"]) == (DAYS[0], DAYS[2], "Later.")
    assert [(each["new"], each["fixed"]) for each in trend["reports"]] == [(0, 0), (0, 0), (0, 1), (0, 0)]


def test_a_report_that_did_not_check_the_host_does_not_break_a_row():
    x = finding("a", "x")
    without = day(2, hosts=[])
    for gap in (day(2, unknown="a"), without):
        trend = build_trend([day(1, x), gap, day(3, x)])
        assert names(trend, "still") == [("x", "01")] and not trend["new"] and not trend["fixed"]
        trend = build_trend([day(1, x), gap])
        assert names(trend, "unverified") == [("x", "01")] and not trend["fixed"]


def test_a_finding_of_no_host_is_fixed_when_it_is_missing():
    orphan = dict(finding("", "x", "orphaned"), node="old1")
    assert [each["name"] for each in build_trend([day(1, orphan), day(2)])["fixed"]] == ["x"]


def test_reasons_why_an_endpoint_is_unsafe_are_apart_if_all_reports_have_rules():
    one, other = (finding("a", "x", "unsafe", rule=rule) for rule in ("G03", "G05"))
    trend = build_trend([day(1, one, other), day(2, other)])
    assert [each["rule"] for each in trend["fixed"]] == ["G03"] and [each["rule"] for each in trend["still"]] == ["G05"]
    # A report of an older version has one finding, without a rule.
    trend = build_trend([day(1, finding("a", "x", "unsafe")), day(2, one, other)])
    assert names(trend, "still") == [("x", "01")] and not trend["new"] and not trend["fixed"]


def test_the_numbers_of_each_report():
    first = day(1, finding("a", "x"), finding("a", "y", "unsafe", severity="critical", rule="G05"))
    last = day(2, finding("a", "x"), finding("b", "z", "changed"), unknown="b", failed=False)
    old, new = build_trend([first, last])["reports"]
    assert old["hosts"] == {"compliant": 1, "drifted": 1, "unknown": 0}
    assert new["hosts"] == {"compliant": 0, "drifted": 1, "unknown": 1}
    assert {kind: count for kind, count in old["classes"].items() if count} == {"unsafe": 1, "missing": 1}
    # The severity of a finding without one is that of its class.
    assert old["severities"] == {"critical": 1, "high": 1, "medium": 0, "low": 0}
    assert new["severities"] == {"critical": 0, "high": 1, "medium": 1, "low": 0}
    assert (new["findings"], new["new"], new["fixed"], new["failed"]) == (2, 1, 1, False)


def test_an_accepted_finding_is_apart_and_keeps_its_age():
    x = finding("a", "x")
    accepted = dict(x, accepted="until 2027-02-01: a reason")
    trend = build_trend([day(1, x), day(2, accepted)])
    assert names(trend, "accepted") == [("x", "01")] and not trend["still"] and not trend["fixed"]
    assert (trend["reports"][1]["findings"], trend["reports"][1]["accepted"]) == (0, 1)
    assert not any(trend["reports"][1]["classes"].values())
    trend = build_trend([day(1, accepted), day(2, x)])
    assert names(trend, "still") == [("x", "01")] and trend["reports"][1]["new"] == 0


def test_reports_are_sorted_by_time_if_all_have_one():
    x = finding("a", "x")
    files = [json.dumps(each) for each in (day(3, x), day(1), day(2, x))]
    trend = build_trend(files)
    assert [each["generated"] for each in trend["reports"]] == DAYS[:3] and names(trend, "still") == [("x", "02")]
    trend = build_trend([day(3, x), day(1, generated="yesterday")])
    assert [each["generated"] for each in trend["reports"]] == [DAYS[2], "yesterday"] and trend["fixed"]
    assert trend["warnings"] == ["the reports are in the given order, because not every report has a time"]


def test_reports_of_another_datastore_are_a_warning_once():
    other = {"type": "etcdv2", "endpoints": ["http://etcd1:2379"], "warning": ""}
    (warning,) = build_trend([day(1), day(2, datastore=other), day(3, datastore=other)])["warnings"]
    assert warning.startswith("the reports are from different datastores: etcdv3 ")


def test_the_lines():
    x, y = finding("a", "x"), finding("b", "y", "changed", fields=[{"field": "labels", "want": 1, "have": 2}])
    accepted = finding("b", "z", accepted="until 2027-02-01: a reason")
    generated = DAYS[1] + ", AWX job 7"
    trend = build_trend([day(1, x), day(2, x, y, accepted, generated=generated, failed=False), day(3, y, accepted)])
    assert trend["text"] == [
        "Reports: 3",
        "  1: 2027-01-01T18:00:00Z: failed, day 1",
        "  2: 2027-01-02T18:00:00Z, AWX job 7: passed, day 2",
        "  3: 2027-01-03T18:00:00Z: failed, day 3",
        "report  compliant  drifted  unknown  high  medium  missing  changed  accepted  new  fixed",
        "     1          1        1        0     1       0        1        0         0    0      0",
        "     2          0        2        0     1       1        1        1         1    1      0",
        "     3          1        1        0     0       1        0        1         1    0      1",
        "New: 0",
        "Still open: 1",
        "  changed y on b: It is so. (labels) (since 2027-01-02T18:00:00Z)",
        "Accepted: 1",
        "  missing z on b: It is so. (since 2027-01-02T18:00:00Z; until 2027-02-01: a reason)",
        "Fixed: 1",
        "  missing x on a: It is so. (since 2027-01-01T18:00:00Z, fixed 2027-01-03T18:00:00Z)",
        "Unverified, because the host or the expectation was not checked: 0",
    ]


def test_an_expectation_that_became_unknown_is_not_fixed():
    unmet = finding("a", "database", "unmet")
    unknown = [{"host": "a", "node": "a", "name": "database", "message": "No facts."}]
    trend = build_trend([day(1, unmet), day(2, unknown_expectations=unknown)])
    assert names(trend, "unverified") == [("database", "01")] and trend["fixed"] == []
    assert build_trend([day(1, unmet), day(2, unknown_expectations=unknown), day(3)])["fixed"][0]["fixed"] == DAYS[2]
    # An unbroken row.
    back = build_trend([day(1, unmet), day(2, unknown_expectations=unknown), day(3, unmet)])
    assert names(back, "still") == [("database", "01")]


def test_the_worst_and_oldest_findings_are_first():
    findings = [finding("a", "x", "orphaned"), finding("a", "y"), finding("b", "z", "unsafe")]
    trend = build_trend([day(1, finding("b", "old")), day(2, finding("b", "old"), *findings), day(3, *findings)])
    assert [each["name"] for each in trend["still"]] == ["z", "y", "x"]
    trend = build_trend([day(1, findings[1]), day(2, finding("a", "a"), findings[1])] + [day(3, *findings)] * 2)
    assert names(trend, "still") == [("z", "03"), ("y", "01"), ("x", "03")]


def test_the_lines_are_safe_for_a_terminal_and_few():
    hostile = hostile_report()
    for each in hostile["findings"]:
        each.update(severity=each["name"], accepted="")
        each["class"] = each["name"]
    text = build_trend([dict(hostile, generated="\x1b[31m"), hostile])["text"]
    assert "".join(text).isprintable() and "report  compliant  drifted  unknown  other  new  fixed" in text
    many = [finding("a", "e%d" % number) for number in range(1000)]
    text = build_trend([day(1), day(2, *many)])["text"]
    assert "New: 1000" in text and "  and 800 more" in text and len(text) < 230


@pytest.mark.parametrize(
    "reports, message",
    [
        (EXAMPLE, "reports: at least two reports in a list are required"),
        ([EXAMPLE], "reports: at least two reports in a list are required"),
        ([EXAMPLE, EXAMPLE, "x"], "reports[2] is not an audit report: it is not JSON"),
        ([EXAMPLE, report(schema="netsec.calico/audit/v9")], "reports[1] has the schema 'netsec.calico/audit/v9'; "),
    ],
)
def test_other_input_is_an_error(reports, message):
    with pytest.raises(ReportError, match="^" + re.escape(message)):
        build_trend(reports)
