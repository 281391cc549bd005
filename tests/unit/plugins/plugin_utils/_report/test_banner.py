# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES
from ansible_collections.netsec.calico.plugins.plugin_utils._report.banner import format_banner
from ansible_collections.netsec.calico.tests.harness.audits import built, finding, undetermined


def lines_of(report):
    return [line for line in format_banner(report, {}) if not line.startswith(("AUDIT", "hosts:", "endpoints:"))]


def test_an_unsafe_endpoint_is_first_among_sixty_hosts():
    hosts = ["web%02d" % number for number in range(60)]
    findings = [finding("missing", host) for host in hosts[:27]] + [finding("unsafe", "web59", "ssh", "G03")]
    lines = lines_of(built(findings, hosts))
    assert lines[0] == "critical G03 web59: unsafe ssh: It is so."
    assert lines[1] == "high A03 web00: missing eth0: It is so."
    assert lines[-1] == "... and 8 more missing" and len(lines) == 21


def test_each_class_has_a_share_of_the_lines():
    counts = {"unsafe": 300, "malformed": 1, "changed": 200, "unmanaged": 1}
    findings = [finding(kind, "n", "e%03d" % number) for kind, count in counts.items() for number in range(count)]
    lines = lines_of(built(findings, ["n"]))
    assert [line.split()[2] if line.startswith("...") else line.split(": ")[1].split()[0] for line in lines] == [
        *["unsafe"] * 16,
        "284",
        "malformed",
        *["changed"] * 2,
        "198",
        "unmanaged",
    ]


def test_all_classes_at_once_fit():
    findings = [finding(kind, "n", "e%03d" % number, "G01") for kind in CLASSES for number in range(100)]
    shown = [line for line in lines_of(built(findings, ["n"])) if not line.startswith("...")]
    assert len(shown) == 20 and {line.split(": ")[1].split()[0] for line in shown} == set(CLASSES)


def test_an_accepted_finding_takes_no_line_of_its_own():
    findings = [finding("unsafe", "n", accepted="until 2027-01-01"), finding("changed", "n", fields=[{"field": "x"}])]
    assert lines_of(built(findings, ["n"])) == [
        "medium A05 n: changed eth0: It is so. (x)",
        "accepted: 1 finding",
    ]


def test_the_groups_and_labels_with_the_most_drift_are_shown():
    hosts = ["web%d" % number for number in range(12)]
    groups = {host: ["all", "g%d" % (index % 6)] for index, host in enumerate(hosts)}
    declared = [{"node": host, "labels": {"zone": "dmz" if host == "web3" else "lan"}} for host in hosts]
    findings = [finding("missing", host) for host in ("web0", "web1", "web2", "web3", "web4", "web5", "web9")]
    report = built(findings, hosts[:-1], {"web11": "unreachable"}, groups=groups, declared=declared)
    lines = lines_of(report)
    assert lines[0] == (
        "groups: g3 2 of 2 drifted; g5 1 of 2 drifted, 1 unknown; g0 1 of 2 drifted; g1 1 of 2 drifted; "
        "g2 1 of 2 drifted; and 1 more"
    )
    assert lines[1] == "labels: zone=lan 6 of 10 drifted; zone=dmz 1 of 1 drifted"
    assert not [line for line in lines_of(built((), hosts, groups=groups)) if "groups" in line]


def test_what_hosts_are_unknown_comes_after_the_findings():
    lines = lines_of(built([finding("orphaned", "gone")], ["a"], {"b%02d" % number: "no" for number in range(25)}))
    assert lines[0] == "low A07 gone: orphaned eth0: It is so."
    assert lines[1] == "b00: unknown: no" and lines[-1] == "... and 5 more unknown hosts"


def test_a_line_is_short_and_safe_for_a_terminal():
    (line,) = lines_of(built([finding("changed", "n", "\x1b[31m", message="x" * 1000)], ["n"]))
    assert line.isprintable() and len(line) == 303 and "\\x1b[31m" in line


def test_unknown_expectations_are_named():
    unknown = [undetermined("a", "e%02d" % number) for number in range(23)]
    lines = format_banner(built([], "a", expectations=unknown), {})
    assert lines[0] == "AUDIT found: 23 unknown expectations"
    assert lines[-21:-19] == [
        "a: unknown e00: the facts of db1 are unknown",
        "a: unknown e01: the facts of db1 are unknown",
    ]
    assert lines[-1] == "... and 3 more unknown expectations"
