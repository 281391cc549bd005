# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._report._history.compare import changes_between
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError, visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.files import remove_reports, write_reports
from ansible_collections.netsec.calico.tests.harness.audits import (
    EXAMPLE,
    HOSTILE,
    built,
    hostile_report,
    report,
    undetermined,
)

STORED = EXAMPLE["endpoints"][0]


def written(document, folder, *formats):
    paths = write_reports(document, str(folder), *([formats] if formats else []))
    return {name: Path(path).read_bytes() for name, path in paths.items()}


def rows_of(content):
    return list(csv.DictReader(content.decode("utf-8-sig").splitlines()))


def test_all_files_are_written_and_named(tmp_path):
    folder = tmp_path / "not" / "there"
    paths = write_reports(EXAMPLE, str(folder))
    assert paths == {
        "json": str(folder / "audit.json"),
        "csv": str(folder / "audit.csv"),
        "csv_fields": str(folder / "audit_fields.csv"),
        "junit": str(folder / "audit.xml"),
        "html": str(folder / "audit.html"),
    }
    assert sorted(os.listdir(folder)) == ["audit.csv", "audit.html", "audit.json", "audit.xml", "audit_fields.csv"]
    assert json.loads((folder / "audit.json").read_bytes()) == EXAMPLE
    assert list(write_reports(EXAMPLE, str(tmp_path / "csv"), ["csv"])) == ["csv", "csv_fields"]


def test_two_reports_of_one_state_differ_in_one_line(tmp_path):
    def reverse(value):
        """The same, with the keys of every mapping in another order."""
        if isinstance(value, dict):
            return {key: reverse(value[key]) for key in reversed(value)}
        return [reverse(item) for item in value] if isinstance(value, list) else value

    first = written(EXAMPLE, tmp_path / "first")
    assert written(reverse(EXAMPLE), tmp_path / "second") == first
    later = written(reverse(report(generated="2027-01-01T00:00:00Z -- job\n18 --")), tmp_path / "later")
    for name, differing in {"json": 1, "csv": 0, "csv_fields": 0, "junit": 1, "html": 1}.items():
        old, new = first[name].splitlines(), later[name].splitlines()
        assert len(old) == len(new), name
        assert sum(map(bytes.__ne__, old, new)) == differing, name
    assert b'\n  "generated": "2026-11-22T18:00:00Z, AWX job 17",\n' in first["json"]
    ElementTree.fromstring(later["junit"])


def test_a_file_is_replaced_as_a_whole(tmp_path):
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "audit.json").symlink_to(other)
    (tmp_path / "audit.csv").write_text("old " * 10000)
    (tmp_path / "audit.csv").chmod(0o604)
    os.link(str(tmp_path / "audit.csv"), str(tmp_path / "reader"))
    contents = written(EXAMPLE, tmp_path)
    assert other.read_text() == "mine" and json.loads(contents["json"]) == EXAMPLE
    # Who has the old file open goes on reading the old one.
    assert (tmp_path / "reader").read_text() == "old " * 10000
    assert len(rows_of(contents["csv"])) == 5 and (tmp_path / "audit.csv").stat().st_mode & 0o777 == 0o604


def test_a_file_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="^cannot write reports into .*/file/here: Not a directory$"):
        write_reports(EXAMPLE, str(tmp_path / "file" / "here"))
    (tmp_path / "audit.csv").mkdir()
    with pytest.raises(ReportError, match="^cannot write the report .*/audit.csv: it is a directory, not a file$"):
        write_reports(EXAMPLE, str(tmp_path), ["csv"])
    assert sorted(os.listdir(tmp_path)) == ["audit.csv", "file"]


@pytest.mark.parametrize(
    "document, formats, message",
    [
        (EXAMPLE, ["html", "pdf"], "'pdf' is not a report format; use json, csv, junit, html"),
        ([], ["json"], "the document is not an audit report: it has no 'schema'"),
        ({"schema": "netsec.calico/audit/v2"}, ["json"], "the document has the schema 'netsec.calico/audit/v2'; this "),
        (report(hosts={}), ["json"], "the document is not a complete report: hosts is not a list"),
        (report(findings=[{"class": "changed"}]), ["csv"], "complete report: findings[0] has no string 'host'"),
        (report(endpoints=None), ["json"], "complete report: endpoints is not a list"),
        (report(endpoints=[dict(STORED, node=None)]), ["json"], "complete report: endpoints[0] has no string 'node'"),
        (report(endpoints=[dict(STORED, policies="ab")]), ["json"], "endpoints[0] has no list of policies"),
        (report(endpoints=[dict(STORED, policies=[1])]), ["json"], "endpoints[0] has no list of policies"),
        (report(policies={}), ["json"], "complete report: it has no valid list of policies"),
        (report(policies=[{"name": "a"}]), ["json"], "complete report: it has no valid list of policies"),
        (report(datastore="x"), ["json"], "complete report: it has no valid datastore"),
        (report(datastore={"type": "etcdv2", "endpoints": [1], "warning": ""}), ["json"], "no valid datastore"),
        (
            report(findings=[dict(EXAMPLE["findings"][0], fields="ab")]),
            ["json"],
            "complete report: findings[0] has no list of fields",
        ),
    ],
)
def test_nothing_is_written_of_what_is_no_report(tmp_path, document, formats, message):
    with pytest.raises(ReportError, match=re.escape(message)):
        write_reports(document, str(tmp_path / "new"), formats)
    assert not (tmp_path / "new").exists()


def test_json_holds_exactly_what_is_stored_in_ascii(tmp_path):
    content = written(hostile_report(), tmp_path, "json")["json"]
    assert json.loads(content) == hostile_report()
    assert all(32 <= byte < 127 or byte == 10 for byte in content)


def test_csv_has_a_line_for_each_finding_and_unknown_host(tmp_path):
    rows = rows_of(written(EXAMPLE, tmp_path, "csv")["csv"])
    assert [(row["severity"], row["rule"], row["class"], row["host"]) for row in rows] == [
        ("high", "A03", "missing", "web2"),
        ("medium", "A05", "changed", "web1"),
        ("medium", "A06", "unmanaged", "web1"),
        ("low", "A07", "orphaned", ""),
        ("", "", "unknown", "db2"),
    ]
    assert rows[1] == {
        "severity": "medium",
        "rule": "A05",
        "class": "changed",
        "host": "web1",
        "node": "web1.example.com",
        "name": "web1.example.com-eth0",
        "interface": "eth0",
        "fields": "expected_ips, labels",
        "message": "The endpoint is stored with other values than the inventory says.",
        "remedy": "ansible-playbook netsec.calico.apply --limit web1",
        "accepted": "",
        "id": rows[1]["id"],
    }
    assert rows[4]["message"] == "no facts: unreachable"
    assert rows[2]["remedy"].startswith("# delete it with a task: | netsec.calico.calico_hostendpoint: {name:")
    accepted = report(findings=[dict(EXAMPLE["findings"][0], accepted="old device, until 2027-01-01")])
    row = rows_of(written(accepted, tmp_path, "csv")["csv"])[0]
    assert row["accepted"] == "old device, until 2027-01-01"


def test_a_second_csv_has_a_line_for_each_field_with_the_id_of_its_finding(tmp_path):
    contents = written(EXAMPLE, tmp_path, "csv")
    changed = rows_of(contents["csv"])[1]
    labels = {"want": '{"role": "web", "zone": "dmz"}', "have": '{"role": "web", "zone": "lan"}'}
    rows = rows_of(contents["csv_fields"])
    assert [row["field"] for row in rows] == ["expected_ips", "labels"]
    place = {key: changed[key] for key in ("id", "severity", "rule", "class", "host", "node", "name")}
    assert rows[1] == dict(place, field="labels", **labels)


def test_an_id_is_of_one_finding_in_all_audits(tmp_path):
    first, second = EXAMPLE["findings"][1:3]
    unsafe = [dict(first, **{"class": "unsafe", "rule": rule}) for rule in ("G03", "G04")]
    later = dict(first, message="In other words.", fields=[], remedy="")
    findings = [first, second, *unsafe, dict(first, host="web9"), later]
    ids = [row["id"] for row in rows_of(written(report(findings=findings, hosts=[]), tmp_path, "csv")["csv"])]
    assert ids[-1] == ids[0] and len(set(ids)) == 5
    assert all(re.fullmatch("F[0-9a-f]{12}", each) for each in ids)


def test_no_cell_of_the_csv_is_a_formula(tmp_path):
    contents = written(hostile_report(), tmp_path, "csv")
    text, fields = (contents[name].decode("utf-8-sig") for name in ("csv", "csv_fields"))
    rows = list(csv.reader(text.splitlines()))
    assert {len(row) for row in rows} == {12} and len(rows) == 1 + 2 * len(HOSTILE)
    assert {len(row) for row in csv.reader(fields.splitlines())} == {10}
    text += fields
    for separator in ",;\t":
        for row in csv.reader(text.splitlines(), delimiter=separator):
            assert not [cell for cell in row if re.match("[\"' ]*[=+@\t\r-]", cell) and not cell.startswith("'")]
    assert text.replace("\n", "").isprintable()
    assert "'=cmd|' /C calc'!A0" in [row[5] for row in rows]


def test_csv_says_that_it_is_utf_8_where_that_matters(tmp_path):
    assert written(EXAMPLE, tmp_path, "csv")["csv"].startswith(b'"severity"')
    content = written(report(hosts=[dict(EXAMPLE["hosts"][1], host="b\u00fcro")]), tmp_path, "csv")["csv"]
    assert content.startswith(b"\xef\xbb\xbf") and rows_of(content)[-1]["host"] == "b\u00fcro"


def test_a_cell_fits_into_a_spreadsheet(tmp_path):
    finding = dict(EXAMPLE["findings"][0], message="x" * 100000)
    (row,) = rows_of(written(report(hosts=[], findings=[finding]), tmp_path, "csv")["csv"])
    assert len(row["message"]) < 32767 and row["message"].endswith(" ... (cut)")


def cases_of(content):
    root = ElementTree.fromstring(content)
    return {(case.get("classname"), case.get("name")): [child.tag for child in case] for case in root.iter("testcase")}


def test_junit_is_red_where_the_audit_is(tmp_path):
    content = written(EXAMPLE, tmp_path, "junit")["junit"]
    # The hosts with the most severe findings are first, and only a host that was not checked is skipped.
    assert list(cases_of(content).items()) == [
        (("web2", "missing web2.example.com-eth0"), ["failure"]),
        (("web1", "matching endpoints"), ["system-out"]),
        (("web1", "changed web1.example.com-eth0"), ["failure"]),
        (("web1", "unmanaged web1.example.com-eth1"), ["system-out"]),
        (("old1.example.com", "orphaned old1.example.com-eth0"), ["system-out"]),
        (("db1", "matching endpoints"), ["system-out"]),
        (("db2", "host"), ["skipped"]),
    ]
    root = ElementTree.fromstring(content)
    assert root.attrib == {
        "name": "netsec.calico audit",
        "tests": "7",
        "failures": "2",
        "errors": "0",
        "skipped": "1",
    }
    root = ElementTree.fromstring(written(report(fail_on=["unknown"]), tmp_path, "junit")["junit"])
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("0", "1", "0")
    assert root.find(".//error").attrib == {"type": "unknown", "message": "no facts: unreachable"}


@pytest.mark.parametrize("fail_on, tag", [([], "skipped"), (["unknown"], "error")])
def test_unknown_expectations_are_in_all_reports(tmp_path, fail_on, tag):
    unknown = [undetermined("a", "database"), undetermined("gone", "ssh")]
    content = written(built([], "a", fail_on=fail_on, expectations=unknown), tmp_path, "junit", "csv", "html")
    # The node gone is not a host of the run.
    assert [
        cases_of(content["junit"])[place] for place in (("a", "expectation database"), ("gone", "expectation ssh"))
    ] == [
        [tag],
        [tag],
    ]
    assert ElementTree.fromstring(content["junit"]).find(".//" + tag).get("message") == "the facts of db1 are unknown"
    rows = [(row["class"], row["host"], row["node"], row["name"], row["message"]) for row in rows_of(content["csv"])]
    assert rows == [
        ("unknown", "", "gone", "ssh", "the facts of db1 are unknown"),
        ("unknown", "a", "a", "database", "the facts of db1 are unknown"),
    ]
    assert b"Everything matches" not in content["html"] and b"the facts of db1 are unknown" in content["html"]


def test_junit_says_what_is_wrong_where_it_does_not_fail_and_what_to_do(tmp_path):
    root = ElementTree.fromstring(written(EXAMPLE, tmp_path, "junit")["junit"])
    orphaned = root.find(".//testcase[@classname='old1.example.com']/system-out").text
    assert orphaned.splitlines() == [
        "severity: low, rule: A07",
        "finding: The endpoint is ours, and Calico no longer has a node old1.example.com.",
        "ansible-playbook netsec.calico.decommission -e hostendpoints_decommission=old1.example.com",
    ]
    failed = root.find(".//testcase[@classname='web1']/failure").text.splitlines()
    assert failed[1] == 'expected_ips: want ["192.0.2.7", "2001:db8::7"], have ["192.0.2.7"]'
    assert failed[-1] == "ansible-playbook netsec.calico.apply --limit web1"


def test_junit_has_a_case_for_each_check_of_the_guard_and_none_fails_that_is_accepted(tmp_path):
    unsafe = [
        dict(EXAMPLE["findings"][0], **{"class": "unsafe", "rule": "G03"}),
        dict(EXAMPLE["findings"][0], **{"class": "unsafe", "rule": "G06", "accepted": "old device, until 2027-01-01"}),
    ]
    content = written(report(findings=unsafe, fail_on=["unsafe"]), tmp_path, "junit")["junit"]
    cases = [(name, tags) for (host, name), tags in cases_of(content).items() if host == "web2"]
    name = "unsafe web2.example.com-eth0 "
    assert cases == [(name + "(G03)", ["failure"]), (name + "(G06)", ["system-out"])]
    assert b"accepted: old device, until 2027-01-01" in content


def test_hostile_text_stays_text_in_junit(tmp_path):
    content = written(hostile_report(), tmp_path, "junit")["junit"].decode("utf-8")
    assert content.replace("\n", "").isprintable()
    root = ElementTree.fromstring(content)
    tags = {"testsuites", "testsuite", "testcase", "failure", "skipped"}
    assert {element.tag for element in root.iter()} == tags
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == [
        "changed " + visible(text) for text in HOSTILE
    ]


def test_a_value_of_which_nobody_knows_the_node_has_a_heading(tmp_path):
    findings = [dict(EXAMPLE["findings"][-1], node="", **{"class": "malformed"})]
    contents = written(report(findings=findings), tmp_path)
    suites = ElementTree.fromstring(contents["junit"]).iter("testsuite")
    assert "(unknown node)" in [suite.get("name") for suite in suites]


def test_older_reports_are_removed_and_nothing_else(tmp_path):
    remove_reports(str(tmp_path / "new"))
    written(EXAMPLE, tmp_path)
    (tmp_path / "mine").write_text("")
    remove_reports(str(tmp_path))
    assert os.listdir(tmp_path) == ["mine"]
    (tmp_path / "audit.csv").mkdir()
    with pytest.raises(ReportError, match="^cannot remove the older report .*/audit.csv: Is a directory$"):
        remove_reports(str(tmp_path))


def test_a_link_to_an_older_report_is_removed_itself(tmp_path):
    (tmp_path / "kept").write_text("mine")
    (tmp_path / "audit.json").symlink_to(tmp_path / "kept")
    remove_reports(str(tmp_path))
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("folder", ["file", "file/here"])
def test_a_file_is_no_folder_for_reports(tmp_path, folder):
    """That is said before anything is audited."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="^cannot write reports into .*: it is not a directory$"):
        remove_reports(str(tmp_path / folder))


# What changed between two reports


def finding(kind, host, name, **fields):
    return dict(
        {"class": kind, "host": host, "node": host and host + ".example.com", "name": name},
        **dict({"interface_name": "", "fields": [], "message": "It is so."}, **fields),
    )


def host(name, status):
    return {"host": name, "node": name, "status": status, "reason": "", "compliant": 0}


def test_changes_between_two_reports():
    field = {"field": "profiles", "want": ["a"], "have": ["b"]}
    before = report(
        hosts=[
            host("a", "drifted"),
            host("b", "drifted"),
            host("c", "drifted"),
            host("d", "unknown"),
            host("g", "drifted"),
        ],
        findings=[
            finding("missing", "a", "mended"),
            finding("changed", "a", "same", fields=[field]),
            finding("changed", "a", "worse", fields=[field]),
            finding("missing", "b", "unreachable now"),
            finding("missing", "g", "not in the run now"),
            dict(finding("orphaned", "", "old"), node="gone"),
        ],
    )
    after = report(
        hosts=[host("a", "drifted"), host("b", "unknown"), host("c", "compliant"), host("d", "compliant")],
        findings=[
            finding("changed", "a", "same", fields=[field], message="In other words."),
            finding("changed", "a", "worse", fields=[dict(field, have=["c"])]),
            finding("unmanaged", "a", "mended"),
        ],
    )
    changes = changes_between(before, json.dumps(after))
    assert [each["name"] for each in changes["new"]] == ["mended"] and changes["new"][0]["class"] == "unmanaged"
    assert [each["name"] for each in changes["altered"]] == ["worse"]
    assert [each["name"] for each in changes["resolved"]] == ["mended", "old"]
    assert [each["name"] for each in changes["unverified"]] == ["unreachable now", "not in the run now"]
    assert changes["still"] == 2
    assert [(each["host"], each["before"], each["after"]) for each in changes["hosts"]] == [
        ("b", "drifted", "unknown"),
        ("c", "drifted", "compliant"),
        ("d", "unknown", "compliant"),
        ("g", "drifted", ""),
    ]
    assert changes["warnings"] == []
    text = "\n".join(changes["text"])
    assert "New: 1\n  unmanaged mended on a: It is so.\n" in text
    assert "  changed worse on a: It is so. (profiles)\n" in text and "  g: drifted -> not in the report\n" in text


def test_an_expectation_that_became_unknown_is_not_resolved():
    findings = [finding("unmet", "a", "database"), finding("missing", "a", "database"), finding("unmet", "a", "ssh")]
    unknown = [{"host": "a", "node": "a.example.com", "name": "database", "message": "No facts."}]
    hosts = [host("a", "compliant")]
    after = report(hosts=hosts, findings=[], unknown_expectations=unknown)
    changes = changes_between(report(hosts=hosts, findings=findings), after)
    assert changes["unverified"] == findings[:1] and changes["resolved"] == findings[1:]
    with pytest.raises(ReportError, match="after is not a complete report: it has no valid list of unknown_exp"):
        changes_between(after, dict(after, unknown_expectations=[{"host": "a"}]))


def test_findings_that_become_accepted_or_count_again_are_named():
    known, fresh, counts = (finding("missing", "a", name) for name in ("known", "fresh", "counts"))
    same = finding("missing", "a", "same", accepted="until 2027-01-31: old")
    accepted = {"accepted": "until 2027-12-31: a reason"}
    expired = dict(finding("expired", "", "changed on *", message="x[0] expired on 2027-01-01"), node="*")
    before = report(hosts=[host("a", "drifted")], findings=[known, dict(counts, **accepted), same])
    after = report(
        hosts=[host("a", "drifted")],
        findings=[dict(known, **accepted), dict(fresh, **accepted), counts, dict(same, **accepted), expired],
    )
    changes = changes_between(before, after)
    assert [each["name"] for each in changes["accepted"]] == ["known", "fresh"]
    assert changes["no_longer_accepted"] == [counts] and changes["still"] == 3
    # An accepted finding does not count, and is not new.
    assert changes["new"] == [expired] and changes["resolved"] == []
    text = "\n".join(changes["text"])
    assert "Accepted: 2\n  missing known on a: It is so. (until 2027-12-31: a reason)\n" in text
    assert "No longer accepted: 1\n  missing counts on a: It is so.\n" in text
    assert "New: 1\n  expired exception: x[0] expired on 2027-01-01\n" in text


def test_a_report_compared_with_itself_has_no_changes():
    changes = changes_between(EXAMPLE, report(generated="later"))
    assert not any(changes[key] for key in ("new", "altered", "resolved", "unverified", "hosts", "warnings"))
    assert changes["still"] == len(EXAMPLE["findings"])


def test_reports_of_other_datastores_are_told_apart():
    members = ["https://etcd1:2379", "https://etcd2:2379"]
    one = report(datastore={"type": "etcdv3", "endpoints": members, "warning": ""})
    same = report(datastore={"type": "etcdv3", "endpoints": members[::-1], "warning": "locked"})
    assert changes_between(one, same)["warnings"] == []
    assert changes_between(EXAMPLE, dict(one, owner="other"))["warnings"] == [
        "the reports are from different datastores: "
        "etcdv3 https://etcd1.example.com:2379, etcdv3 https://etcd1:2379 https://etcd2:2379",
        "the reports are for different owners: netsec.calico, other",
    ]


def test_the_text_of_changes_is_safe_for_a_terminal_and_short():
    text = changes_between(report(findings=[]), hostile_report())["text"]
    assert "".join(text).isprintable()
    many = report(findings=[finding("missing", "a", "e%d" % number) for number in range(1000)])
    text = changes_between(EXAMPLE, many)["text"]
    assert "New: 1000" in text and "  and 800 more" in text and len(text) < 230


@pytest.mark.parametrize(
    "document, message",
    [
        ("", "after is not an audit report: it is not JSON: Expecting value"),
        ('{"schema": 1}', "after is not an audit report: it has no 'schema'"),
        ([EXAMPLE], "after is not an audit report: it has no 'schema'"),
        (
            report(schema="netsec.calico/audit/v9"),
            "after has the schema 'netsec.calico/audit/v9'; this version of ",
        ),
        ({"schema": "netsec.calico/audit/v1"}, "after is not a complete report: hosts is not a list"),
    ],
)
def test_what_is_no_report_cannot_be_compared(document, message):
    with pytest.raises(ReportError, match="^" + re.escape(message)):
        changes_between(EXAMPLE, document)
