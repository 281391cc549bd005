# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of an audit without a browser; tests/reports has those with a browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES
from ansible_collections.netsec.calico.plugins.plugin_utils._report._page.html_page import as_html
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import visible
from ansible_collections.netsec.calico.tests.harness.audits import (
    EXAMPLE,
    HOSTILE,
    built,
    finding,
    fleet_report,
    hostile_report,
    report,
)

STORED = EXAMPLE["endpoints"][0]


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


def page_of(document):
    return Page(as_html(document))


def text_of(document):
    return " ".join("".join(page_of(document).texts).split())


def data_of(document):
    """What the page's script reads: (hosts, findings), with the shared values in their places."""
    block = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', as_html(document).decode(), re.DOTALL
    )
    data = json.loads(block[1])
    shared = data["shared"]
    hosts = []
    for title, kind, node, reason, compliant, groups, labels, endpoints in data["hosts"]:
        policies = {
            name: None if index is None else ([shared[each] for each in shared[index][0]], shared[index][1])
            for name, index in endpoints
        }
        groups, labels = ([shared[each] for each in indexes] for indexes in (groups, labels))
        hosts.append((title, kind, node, shared[reason], compliant, groups, labels, policies))
    findings = []
    for host, kind, severity, name, port, rule, message, remedy, accepted, fields in data["findings"]:
        texts = (name, port, rule, *(shared[each] for each in (message, remedy, accepted)))
        place = (data["hosts"][host][0], data["classes"][kind], data["severities"][severity])
        findings.append((*place, *texts, [shared[each] for each in fields]))
    return hosts, findings


def test_hostile_text_stays_text_on_the_page():
    hostile = as_html(hostile_report())
    harmless = json.loads(json.dumps(hostile_report()))
    for place in [*harmless["hosts"], *harmless["findings"], *harmless["policies"], *harmless["endpoints"]]:
        for key in ("host", "node", "reason", "name", "interface_name", "message", "problem"):
            # The same ones are the same and the empty ones are empty: the page has the same shape.
            place.update({key: "x" + re.sub("[^a-z0-9]", "", repr(place[key]))} if place.get(key) else {})
    for each in harmless["findings"]:
        each["fields"][0]["want"] = {"label": "value"}
        each["fields"][1]["want"] = "value"
    for endpoint in harmless["endpoints"]:
        endpoint["policies"] = ["policy"]
    harmless.update(
        owner="x", reason="x", datastore=dict(harmless["datastore"], endpoints=["x"] * len(HOSTILE), warning="x")
    )
    page = Page(hostile)
    assert page.elements == page_of(harmless).elements
    assert hostile.decode("utf-8").replace("\n", "").isprintable()
    text = "".join(page.texts)
    assert not [each for each in HOSTILE if visible(each) not in text]


def test_hostile_text_does_not_end_the_data():
    block = re.search(r'id="data">(.*?)</script>', as_html(hostile_report()).decode(), re.DOTALL)[1]
    assert not set("<>&") & set(block)
    hosts, findings = data_of(hostile_report())
    assert [host[0] for host in hosts if host[1] == "drifted"] == [visible(text) for text in HOSTILE]
    assert [each[6] for each in findings] == [visible(text) for text in HOSTILE]


def test_the_data_has_every_finding_and_value():
    hosts, findings = data_of(EXAMPLE)
    assert [(host[0], *host[1:3]) for host in hosts] == [
        ("web2", "drifted", "web2.example.com"),
        ("web1", "drifted", "web1.example.com"),
        ("old1.example.com", "node", ""),
        ("db2", "unknown", ""),
        ("db1", "compliant", "db1.example.com"),
    ]
    assert hosts[1][5:7] == (["web"], ["role=web"]) and hosts[3][3] == "no facts: unreachable"
    assert [each[:6] for each in findings] == [
        ("web2", "missing", "high", "web2.example.com-eth0", "eth0", "A03"),
        ("web1", "changed", "medium", "web1.example.com-eth0", "eth0", "A05"),
        ("web1", "unmanaged", "medium", "web1.example.com-eth1", "eth1", "A06"),
        ("old1.example.com", "orphaned", "low", "old1.example.com-eth0", "eth0", "A07"),
    ]
    by_name = {each["name"]: each for each in EXAMPLE["findings"]}
    for _host, _kind, _severity, name, _port, _rule, message, remedy, accepted, fields in findings:
        assert (message, remedy, accepted) == (by_name[name]["message"], by_name[name]["remedy"], "")
        assert len(fields) == len(by_name[name]["fields"])
    assert findings[1][-1] == [
        ["expected_ips", ["192.0.2.7", "2001:db8::7"], ["192.0.2.7"]],
        ["labels", ["role: web", "zone: dmz"], ["role: web", "zone: lan"]],
    ]


def test_the_worst_finding_is_first_and_an_accepted_one_last():
    findings = [finding(kind, node) for kind in CLASSES for node in "ab"]
    document = built(findings, ["a", "b", "c"], {"d": "unreachable"})
    for each in document["findings"]:
        each.update({"accepted": "until 2027-01-01"} if (each["host"], each["class"]) == ("a", "unsafe") else {})
    hosts, found = data_of(document)
    assert [host[0] for host in hosts] == ["b", "a", "d", "c"]
    kinds = list(CLASSES)
    assert [each[:2] for each in found] == [
        *(("b", kind) for kind in kinds),
        *(("a", kind) for kind in [*kinds[1:], "unsafe"]),
    ]
    assert [each[8] for each in found if each[8]] == ["until 2027-01-01"]


def test_the_numbers_say_why_they_differ():
    text = text_of(EXAMPLE)
    for part in (
        "1 of 4 hosts compliant",
        "3 of 7 endpoints compliant",
        "4 findings",
        "foreign Calico's own, only counted3",
    ):
        assert part in text
    assert "Nothing is unsafe, malformed, shadowed, unmet or expired." in text and "may be in several" not in text
    twice = dict(EXAMPLE["findings"][1], **{"class": "shadowed", "severity": "high", "fields": []})
    policy = dict(EXAMPLE["findings"][0], host="", node="*", name="GlobalNetworkPolicy a")
    unmet = dict(EXAMPLE["findings"][0], name="to db", accepted="until 2027-01-01", **{"class": "unmet"})
    text = text_of(report(findings=[*EXAMPLE["findings"], twice, policy, unmet]))
    assert "3 of 7 endpoints compliant" in text and "7 findings" in text
    assert "An endpoint may be in several classes: 5 findings are on 4 endpoints." in text
    assert "Of policies, network sets, profiles and tiers: 1 finding." in text
    assert "Of hosts, not of endpoints: 1 finding." in text and "Accepted by exceptions: 1 finding." in text


def test_without_a_script_the_page_names_the_other_reports():
    assert "The reports audit.json and audit.csv of the same audit list them." in text_of(EXAMPLE)


def test_the_data_has_the_policies_of_every_endpoint():
    hosts = {host[0]: host[-1] for host in data_of(EXAMPLE)[0]}
    both = (["security.allow-ssh", "default.cluster"], 0)
    assert hosts["db1"] == {"db1.example.com-eth0": both, "db1.example.com-eth1": both}
    assert hosts["web1"] == {
        "web1.example.com-eth0": (["security.allow-ssh"], 0),
        "web1.example.com-eth1": ([], 0),
        "web1.example.com-eth2": both,
    }
    assert hosts["web2"] == hosts["db2"] == {}
    text = text_of(EXAMPLE)
    assert "so the endpoints that they select are unknown: default.broken (its spec is not a mapping)" in text


def test_an_endpoint_with_hundreds_of_policies_is_cut():
    many = ["p%03d" % number for number in range(500)]
    hosts, _findings = data_of(report(endpoints=[dict(STORED, policies=many)], findings=[]))
    (policies,) = [each for host in hosts for each in host[-1].values()]
    assert policies == (many[:50], 450)


def test_unknown_policies_do_not_look_like_none():
    endpoints = [dict(STORED, policies=None), dict(STORED, name="b", policies=[])]
    hosts, _findings = data_of(report(policies=None, endpoints=endpoints))
    assert hosts[-1][-1] == {STORED["name"]: None, "b": ([], 0)}
    assert "Policies: They could not be read" in text_of(report(policies=None))


def test_a_value_of_an_unknown_node_has_a_title():
    findings = [dict(EXAMPLE["findings"][-1], node="", **{"class": "malformed"})]
    assert data_of(report(findings=findings))[1][0][0] == "(unknown node)"


def test_ten_thousand_findings_are_a_small_page():
    document = fleet_report(5000)
    for number, each in enumerate(document["findings"]):
        # As long as the guard's messages are, and each a different one.
        each["message"] = "Ansible's SSH from 192.0.2.%d to port 22 is denied by the rule %d " % (number % 250, number)
        each["message"] += "of the policy security.default-deny in the tier security, and no failsafe port covers it."
    assert len(as_html(document)) < 5_000_000


def test_the_compliance_of_groups_and_labels_starts_with_the_most_drifted():
    assert "Hosts by group" in text_of(EXAMPLE) and "Hosts by label" in text_of(EXAMPLE)
    groups = {"g%d" % number: {"compliant": 3, "drifted": number, "unknown": 1} for number in range(10)}
    document = report(summary=dict(EXAMPLE["summary"], groups=groups, labels={}))
    filters = [dict(attrs).get("data-filter") or "" for _tag, attrs in page_of(document).elements]
    assert [each for each in filters if "group=" in each] == ["group=g%d" % number for number in range(9, -1, -1)]
    text = text_of(document)
    assert "23 %" in text and "4 more" in text and "Hosts by label" not in text


def cell(source, destination, state, ports=(), details=""):
    return {"source": source, "destination": destination, "state": state, "ports": list(ports), "details": details}


def test_the_matrix_has_a_row_and_a_column_for_each_group():
    cells = [cell("web", "db", "open", ["tcp/5432"]), cell("db", "web", "mixed", ["tcp/80", "tcp/443"], "web2: <b>")]
    content = as_html(report(connectivity=cells)).decode()
    rows = re.findall("<tr>(.*)", re.search('<table class="matrix">(.*?)</table>', content, re.DOTALL)[1])
    texts = [[re.sub("<.*?>", "", each) for each in re.split("<t[hd]", "<t" + row)[1:]] for row in rows]
    assert [[text.partition(">")[2] for text in row] for row in texts] == [
        ["from \\ to", "web", "db"],
        ["web", "not declared", "to db open tcp/5432"],
        ["db", "to web mixed tcp/80, tcp/443web2: &lt;b&gt;", "not declared"],
    ]
    assert "1 of 2 pairs of groups open" in content and "<b>:" not in content
    assert 'id="connectivity"' not in as_html(EXAMPLE).decode()


def test_a_wide_matrix_is_a_list():
    cells = [cell("web", "g%02d" % number, "closed") for number in range(40)]
    content = as_html(report(connectivity=cells)).decode()
    assert content.count('<b class="state closed">') == 41 and '<table class="matrix pairs">' in content


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
def test_the_page_is_green_only_when_all_hosts_are_compliant(changes, verdict):
    document = report(**changes)
    statuses = [host["status"] for host in document["hosts"]]
    document["summary"]["hosts"] = {status: statuses.count(status) for status in ("compliant", "drifted", "unknown")}
    content = as_html(document).decode()
    assert re.search("<h1>(.*)</h1>", content)[1] == verdict


@pytest.mark.parametrize("hosts", [1, 13, 5000, 200000])
def test_the_picture_of_the_fleet_shows_the_one_drifted_host(hosts):
    document = report(hosts=[], findings=[])
    document["summary"]["hosts"] = {"compliant": hosts - 1, "drifted": 1, "unknown": 0}
    content = as_html(document).decode()
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


def test_a_host_is_found_by_its_groups_and_labels():
    declared = [{"node": "a", "labels": {"zone": "dmz"}}]
    hosts, _findings = data_of(built([], "ab", groups={"a": ["web", "all"], "b": ["db", "all"]}, declared=declared))
    assert [(host[0], *host[5:7]) for host in hosts] == [("a", ["web"], ["zone=dmz"]), ("b", ["db"], [])]
