# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook compare_audits: what it prints, from files alone, and what it refuses."""

from __future__ import annotations

import json
import os

import pytest

from tests.harness.audits import EXAMPLE, HOSTILE, fleet_report, hostile_report, report
from tests.harness.module import COLLECTION, run_playbook

SHOW = "Show what changed"
# Nobody listens there: the playbook has to do without.
NOWHERE = {"CALICO_ETCD_ENDPOINTS": "http://127.0.0.1:1"}


def compare(before, after, folder, *args):
    paths = {}
    for name, document in (("before", before), ("after", after)):
        path = folder / (name + ".json")
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        # As somebody would name it who stands elsewhere.
        paths["hostendpoints_audit_" + name] = os.path.relpath(str(path), str(COLLECTION))
    # An inventory with a localhost that is no such thing.
    inventory = "localhost ansible_host=192.0.2.1 ansible_connection=ssh ansible_become=true\nweb1\nweb2\n"
    return run_playbook("netsec.calico.compare_audits", inventory, ["-e", json.dumps(paths), *args], env=NOWHERE)


def test_it_prints_what_changed(tmp_path):
    hosts = [dict(host, status="compliant", reason="") for host in EXAMPLE["hosts"]]
    new = dict(EXAMPLE["findings"][0], name="web2.example.com-eth1")
    after = report(
        generated="today", hosts=hosts, findings=[new, *EXAMPLE["findings"][1:]], failed=False, reason="fine"
    )
    run = compare(EXAMPLE, after, tmp_path)
    assert run.returncode == 0, run
    assert run.result(SHOW)["msg"] == [
        "Before: 2026-11-22T18:00:00Z, AWX job 17: failed, 1 missing, 1 changed (fail_on: missing, changed)",
        "After: today: passed, fine",
        "New: 1",
        "  missing web2.example.com-eth1 on web2: " + new["message"],
        "With changed fields: 0",
        "Accepted: 0",
        "No longer accepted: 0",
        "Resolved: 1",
        "  missing web2.example.com-eth0 on web2: " + new["message"],
        "Unverified, because the host or the expectation was not checked: 0",
        "Hosts: 3",
        "  db2: unknown -> compliant",
        "  web1: drifted -> compliant",
        "  web2: drifted -> compliant",
        "In both: 3",
    ]
    assert run.stats["localhost"]["changed"] == 0


def test_it_prints_and_publishes_the_trend_of_several(tmp_path):
    paths = []
    for number, findings in enumerate([EXAMPLE["findings"], EXAMPLE["findings"][:3], EXAMPLE["findings"][1:3]], 1):
        path = tmp_path / ("%d.json" % number)
        path.write_text(json.dumps(report(findings=findings, generated="2027-01-0%dT18:00:00Z" % number)))
        paths.append(os.path.relpath(str(path), str(COLLECTION)))
    name = "netsec.calico.compare_audits"
    run = run_playbook(name, None, ["-e", "hostendpoints_audit_reports=" + ",".join(paths[::-1])], env=NOWHERE)
    assert run.returncode == 0, run
    text = run.result("Show the trend")["msg"]
    assert text[:5] + text[-5:-2] == [
        "Reports: 3",
        *("  %d: 2027-01-0%dT18:00:00Z: failed, %s" % (day, day, EXAMPLE["reason"]) for day in (1, 2, 3)),
        "report  compliant  drifted  unknown  high  medium  low  missing  changed  unmanaged  orphaned  new  fixed",
        "Accepted: 0",
        "Fixed: 2",
        "  missing web2.example.com-eth0 on web2: %s (since 2027-01-01T18:00:00Z, fixed 2027-01-03T18:00:00Z)"
        % EXAMPLE["findings"][0]["message"],
    ]
    published = run.result("Publish the trend")["ansible_stats"]["data"]["hostendpoints_audit_trend"]
    assert [(each["findings"], each["fixed"]) for each in published] == [(4, 0), (3, 1), (2, 1)]


def test_what_is_stored_is_neither_a_template_nor_for_the_terminal(tmp_path):
    run = compare(report(findings=[], hosts=[]), hostile_report(), tmp_path)
    assert run.returncode == 0, run
    text = "\n".join(run.result(SHOW)["msg"])
    assert "[[hosts]] {{ 7 * 7 }}" in text and HOSTILE[0] in text
    assert run.stdout.replace("\n", "").isprintable()


def test_with_a_limit_they_are_compared_all_the_same(tmp_path):
    run = compare(EXAMPLE, EXAMPLE, tmp_path, "--limit", "web2,web1")
    assert run.returncode == 0 and "In both: 4" in run.result(SHOW)["msg"], run


def test_large_reports_are_compared(tmp_path):
    after = fleet_report(5000)
    run = compare(report(hosts=after["hosts"], findings=[]), after, tmp_path)
    assert run.returncode == 0, run.stdout[-2000:]
    assert "New: 10000" in run.result(SHOW)["msg"]


# The unit tests of the filter have more.
@pytest.mark.parametrize(
    "after, message",
    [
        ({"hosts": []}, "after is not an audit report: it has no 'schema'"),
        ("", "after is not an audit report: it is not JSON"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, after, message):
    run = compare(EXAMPLE, after, tmp_path)
    assert run.returncode == 2 and message in run.result(SHOW)["msg"], run


def test_a_report_that_is_not_named_or_not_there(tmp_path):
    run = run_playbook("netsec.calico.compare_audits", None, ["-e", "hostendpoints_audit_before=x"])
    assert run.returncode == 2
    paths = "-e hostendpoints_audit_before=yesterday/audit.json -e hostendpoints_audit_after=today/audit.json"
    message = "Set the paths of two reports, for example %s; or, for the trend" % paths
    assert run.result("Fail if a report is not given")["msg"].startswith(message)
    run = run_playbook(
        "netsec.calico.compare_audits",
        None,
        ["-e", "hostendpoints_audit_before=x.json", "-e", "hostendpoints_audit_after=%s" % tmp_path],
    )
    assert run.returncode == 2 and str(COLLECTION / "x.json") in run.result(SHOW)["msg"], run
