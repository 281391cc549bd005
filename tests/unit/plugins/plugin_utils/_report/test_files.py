# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import csv
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ansible_collections.netsec.calico.plugins.plugin_utils._report.compare import changes_between
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError, visible
from ansible_collections.netsec.calico.plugins.plugin_utils._report.files import remove_reports, write_reports
from ansible_collections.netsec.calico.tests.harness.audits import EXAMPLE, HOSTILE, hostile_report, report

STORED = EXAMPLE["endpoints"][0]


def written(document, folder, *formats):
    paths = write_reports(document, str(folder), *([formats] if formats else []))
    return {name: Path(path).read_bytes() for name, path in paths.items()}


def rows_of(content):
    return list(csv.DictReader(content.decode("utf-8-sig").splitlines()))


class Page(HTMLParser):
    """What a browser makes of a page: its elements as (tag, attributes), and its text."""

    def __init__(self, content):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_all_files_are_written_and_named(tmp_path):
    folder = tmp_path / "not" / "there"
    paths = write_reports(EXAMPLE, str(folder))
    assert paths == {
        "json": str(folder / "audit.json"),
        "csv": str(folder / "audit.csv"),
        "junit": str(folder / "audit.xml"),
        "html": str(folder / "audit.html"),
    }
    assert sorted(os.listdir(folder)) == ["audit.csv", "audit.html", "audit.json", "audit.xml"]
    assert json.loads((folder / "audit.json").read_bytes()) == EXAMPLE
    assert write_reports(EXAMPLE, str(tmp_path / "csv"), ["csv"]) == {"csv": str(tmp_path / "csv" / "audit.csv")}


def test_two_reports_of_one_state_differ_in_one_line(tmp_path):
    def reverse(value):
        """The same, with the keys of every mapping in another order."""
        if isinstance(value, dict):
            return {key: reverse(value[key]) for key in reversed(value)}
        return [reverse(item) for item in value] if isinstance(value, list) else value

    first = written(EXAMPLE, tmp_path / "first")
    assert written(reverse(EXAMPLE), tmp_path / "second") == first
    later = written(reverse(report(generated="2027-01-01T00:00:00Z -- job\n18 --")), tmp_path / "later")
    for name, differing in {"json": 1, "csv": 0, "junit": 1, "html": 1}.items():
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
    assert len(rows_of(contents["csv"])) == 6 and (tmp_path / "audit.csv").stat().st_mode & 0o777 == 0o604


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


def test_csv_has_a_line_for_each_field_and_unknown_host(tmp_path):
    rows = rows_of(written(EXAMPLE, tmp_path, "csv")["csv"])
    assert [(row["class"], row["host"], row["field"]) for row in rows] == [
        ("orphaned", "", ""),
        ("changed", "web1", "expected_ips"),
        ("changed", "web1", "labels"),
        ("unmanaged", "web1", ""),
        ("missing", "web2", ""),
        ("unknown", "db2", ""),
    ]
    assert rows[2] == {
        "class": "changed",
        "host": "web1",
        "node": "web1.example.com",
        "name": "web1.example.com-eth0",
        "interface": "eth0",
        "field": "labels",
        "want": '{"role": "web", "zone": "dmz"}',
        "have": '{"role": "web", "zone": "lan"}',
        "message": "The endpoint is stored with other values than the inventory says.",
    }
    assert rows[5]["message"] == "no facts: unreachable"


def test_no_cell_of_the_csv_is_a_formula(tmp_path):
    text = written(hostile_report(), tmp_path, "csv")["csv"].decode("utf-8-sig")
    rows = list(csv.reader(text.splitlines()))
    assert {len(row) for row in rows} == {9} and len(rows) == 1 + 3 * len(HOSTILE)
    for separator in ",;\t":
        for row in csv.reader(text.splitlines(), delimiter=separator):
            assert not [cell for cell in row if re.match("[\"' ]*[=+@\t\r-]", cell) and not cell.startswith("'")]
    assert text.replace("\n", "").isprintable()
    assert "'=cmd|' /C calc'!A0" in [row[3] for row in rows]


def test_csv_says_that_it_is_utf_8_where_that_matters(tmp_path):
    assert written(EXAMPLE, tmp_path, "csv")["csv"].startswith(b'"class"')
    content = written(report(hosts=[dict(EXAMPLE["hosts"][1], host="b\u00fcro")]), tmp_path, "csv")["csv"]
    assert content.startswith(b"\xef\xbb\xbf") and rows_of(content)[-1]["host"] == "b\u00fcro"


def test_a_cell_fits_into_a_spreadsheet(tmp_path):
    finding = dict(EXAMPLE["findings"][0], message="x" * 100000)
    (row,) = rows_of(written(report(hosts=[], findings=[finding]), tmp_path, "csv")["csv"])
    assert len(row["message"]) < 32767 and row["message"].endswith(" ... (cut)")


def test_junit_is_red_where_the_audit_is(tmp_path):
    root = ElementTree.fromstring(written(EXAMPLE, tmp_path, "junit")["junit"])
    cases = {(case.get("classname"), case.get("name")): [child.tag for child in case] for case in root.iter("testcase")}
    assert cases == {
        ("db1", "matching endpoints"): ["system-out"],
        ("db2", "host"): ["skipped"],
        ("web1", "matching endpoints"): ["system-out"],
        ("web1", "changed web1.example.com-eth0"): ["failure"],
        ("web1", "unmanaged web1.example.com-eth1"): ["skipped"],
        ("web2", "missing web2.example.com-eth0"): ["failure"],
        ("old1.example.com", "orphaned old1.example.com-eth0"): ["skipped"],
    }
    assert root.attrib == {
        "name": "netsec.calico audit",
        "tests": "7",
        "failures": "2",
        "errors": "0",
        "skipped": "3",
    }
    root = ElementTree.fromstring(written(report(fail_on=["unknown"]), tmp_path, "junit")["junit"])
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("0", "1", "4")
    assert root.find(".//error").attrib == {"type": "unknown", "message": "no facts: unreachable"}


def test_hostile_text_stays_text_in_junit(tmp_path):
    content = written(hostile_report(), tmp_path, "junit")["junit"].decode("utf-8")
    assert content.replace("\n", "").isprintable()
    root = ElementTree.fromstring(content)
    tags = {"testsuites", "testsuite", "testcase", "failure", "skipped"}
    assert {element.tag for element in root.iter()} == tags
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == [
        "changed " + visible(text) for text in HOSTILE
    ]


def test_hostile_text_stays_text_on_the_page(tmp_path):
    hostile = written(hostile_report(), tmp_path, "html")["html"]
    harmless = json.loads(json.dumps(hostile_report()))
    for place in [*harmless["hosts"], *harmless["findings"], *harmless["policies"], *harmless["endpoints"]]:
        for key in ("host", "node", "reason", "name", "interface_name", "message", "problem"):
            # The same ones are the same and the empty ones are empty: the page has the same shape.
            place.update({key: "x" + re.sub("[^a-z0-9]", "", repr(place[key]))} if place.get(key) else {})
    for finding in harmless["findings"]:
        finding["fields"][0]["want"] = {"label": "value"}
        finding["fields"][1]["want"] = "value"
    for endpoint in harmless["endpoints"]:
        endpoint["policies"] = ["policy"]
    harmless.update(
        owner="x", reason="x", datastore=dict(harmless["datastore"], endpoints=["x"] * len(HOSTILE), warning="x")
    )
    page = Page(hostile)
    assert page.elements == Page(written(harmless, tmp_path, "html")["html"]).elements
    assert hostile.decode("utf-8").replace("\n", "").isprintable()
    text = "".join(page.texts)
    assert not [each for each in HOSTILE if visible(each) not in text]


def test_the_page_has_every_finding_and_value_as_text(tmp_path):
    text = "".join(Page(written(EXAMPLE, tmp_path, "html")["html"]).texts)
    for finding in EXAMPLE["findings"]:
        assert finding["name"] in text and finding["message"] in text
    for part in (
        "1 of 4 hosts compliant",
        "3 of 7 endpoints compliant",
        "zone: dmz",
        "zone: lan",
        "no facts: unreachable",
    ):
        assert part in text
    assert "No endpoint is shadowed, malformed or unsafe." in text


def policies_of(content, host):
    """What the page says of the policies of a host: in short, and in full."""
    part = re.search(r"<(li|article)[^>]*>(?:<h3>)?{0}[ <].*?</\1>".format(host), content.decode("utf-8"), re.DOTALL)[0]
    found = re.search("<summary>(.*?)</summary><dl>(.*?)</dl>", part)
    rows = re.findall("<dt>(.*?)<dd>(.*?)(?=<dt>|$)", found[2]) if found else []
    return [found[1] if found else "", *(re.sub("<.*?>", "", ": ".join(row)) for row in rows)]


def test_the_page_has_the_policies_of_every_endpoint(tmp_path):
    content = written(EXAMPLE, tmp_path, "html")["html"]
    both = "security.allow-ssh, default.cluster"
    assert policies_of(content, "db1") == [
        "2 policies",
        "db1.example.com-eth0: " + both,
        "db1.example.com-eth1: " + both,
    ]
    assert policies_of(content, "web1") == [
        "2 policies, an endpoint without a policy",
        "web1.example.com-eth0: security.allow-ssh",
        "web1.example.com-eth1: none",
        "web1.example.com-eth2: " + both,
    ]
    # Nothing is stored of the one, and nothing is known of the other.
    assert policies_of(content, "web2") == policies_of(content, "db2") == [""]
    assert (
        b"so the endpoints that they select are unknown: " in content
        and b"default.broken</span> (its spec is not a mapping)" in content
    )


def test_an_endpoint_with_hundreds_of_policies_is_cut_on_the_page_only(tmp_path):
    many = ["p%03d" % number for number in range(500)]
    contents = written(report(endpoints=[dict(STORED, policies=many)]), tmp_path)
    count, row = policies_of(contents["html"], "db1")
    assert count == "500 policies" and row.endswith("p048, p049, and 450 more")
    assert json.loads(contents["json"])["endpoints"][0]["policies"] == many


def test_policies_that_are_not_known_do_not_look_like_none(tmp_path):
    one = [dict(STORED, policies=None), dict(STORED, name="b", policies=["p"])]
    assert policies_of(written(report(endpoints=one), tmp_path, "html")["html"], "db1") == [
        "1 policy, policies unknown",
        "db1.example.com-eth0: unknown",
        "b: p",
    ]
    of_all = report(policies=None, endpoints=[dict(STORED, policies=None)])
    content = written(of_all, tmp_path, "html")["html"]
    assert policies_of(content, "db1") == ["policies unknown", "db1.example.com-eth0: unknown"]
    assert b"<b>Policies:</b> They could not be read" in content
    assert policies_of(written(report(endpoints=[dict(STORED, policies=[])]), tmp_path, "html")["html"], "db1") == [
        "no policy",
        "db1.example.com-eth0: none",
    ]


def test_an_endpoint_in_two_classes_is_counted_once(tmp_path):
    twice = [dict(EXAMPLE["findings"][1], **{"class": "shadowed", "fields": []}), *EXAMPLE["findings"]]
    document = report(findings=twice)
    document["summary"]["endpoints"]["shadowed"] = 1
    text = "".join(Page(written(document, tmp_path, "html")["html"]).texts)
    assert "3 of 7 endpoints compliant" in text


def test_a_value_of_which_nobody_knows_the_node_has_a_heading(tmp_path):
    findings = [dict(EXAMPLE["findings"][0], node="", **{"class": "malformed"})]
    contents = written(report(findings=findings), tmp_path)
    assert "<h3>(unknown node)</h3>" in contents["html"].decode("utf-8")
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


@pytest.mark.parametrize(
    "changes, verdict",
    [
        ({}, "The audit failed"),
        ({"failed": False}, "Passed with findings"),
        # One host that nobody could check is enough.
        ({"failed": False, "findings": [], "hosts": EXAMPLE["hosts"][:2]}, "Passed with findings"),
        ({"failed": False, "findings": [], "hosts": []}, "Passed with findings"),
        ({"failed": False, "findings": [], "hosts": EXAMPLE["hosts"][:1]}, "Everything matches"),
    ],
)
def test_the_page_is_green_only_when_all_hosts_are_compliant(tmp_path, changes, verdict):
    document = report(**changes)
    statuses = [host["status"] for host in document["hosts"]]
    document["summary"]["hosts"] = {status: statuses.count(status) for status in ("compliant", "drifted", "unknown")}
    content = written(document, tmp_path, "html")["html"].decode("utf-8")
    assert re.search("<h1>(.*)</h1>", content)[1] == verdict


@pytest.mark.parametrize("hosts", [1, 13, 5000, 200000])
def test_the_picture_of_the_fleet_shows_the_one_drifted_host(tmp_path, hosts):
    document = report(hosts=[], findings=[])
    document["summary"]["hosts"] = {"compliant": hosts - 1, "drifted": 1, "unknown": 0}
    content = written(document, tmp_path, "html")["html"].decode("utf-8")
    (picture,) = re.findall('<svg class="fleet" role="img".*?</svg>', content)
    width, height = map(int, re.search('width="([0-9]+)" height="([0-9]+)"', picture).groups())
    assert width <= 460 and height <= 160
    squares = {
        name: [tuple(map(float, place)) for place in re.findall("M([0-9.]+) ([0-9.]+)h", path)]
        for name, path in re.findall('<path class="([a-z]+)"[^>]* d="([^"]*)"', picture)
    }
    assert len(squares["drifted"]) == 1
    assert min(hosts - 1, 4900) <= len(squares.get("compliant", [])) <= 5000
    assert all(x < width and y < height for places in squares.values() for x, y in places)
    assert ("A square is 40 hosts." in content) == (hosts == 200000)


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
