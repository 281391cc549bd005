# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import by_host
from ansible_collections.netsec.calico.tests.harness.audits import SCHEMA, built, finding, undetermined

APPLY = "ansible-playbook netsec.calico.apply"


def test_findings_are_sorted_by_class():
    findings = [finding(kind, node) for node in ("a", "b") for kind in reversed(CLASSES)]
    findings = built(findings, ["a", "b"])["findings"]
    assert [(each["class"], each["host"]) for each in findings] == [(kind, host) for kind in CLASSES for host in "ab"]


def test_hosts_with_the_most_severe_finding_are_first():
    findings = [finding("orphaned", "gone"), finding("changed", "a"), finding("unsafe", "c"), finding("missing", "c")]
    report = built(findings, ["a", "b", "c", "d"], {"e": "unreachable"})
    assert [(host["host"] or host["node"], len(found)) for host, found in by_host(report)] == [
        ("c", 2),
        ("a", 1),
        ("gone", 1),
        ("b", 0),
        ("d", 0),
        ("e", 0),
    ]
    report["findings"][0]["accepted"] = report["findings"][1]["accepted"] = "until 2027-01-01"
    assert [host["host"] or host["node"] for host, _found in by_host(report)][:3] == ["a", "gone", "c"]


@pytest.mark.parametrize(
    "host, remedy, expected",
    [
        ("web1", APPLY, APPLY + " --limit web1"),
        ("web1", APPLY + " -e hostendpoints_purge=owned", APPLY + " -e hostendpoints_purge=owned --limit web1"),
        ("web1", "# or:\n" + APPLY, "# or:\n" + APPLY + " --limit web1"),
        ("web1", "use an interface that the host has", "use an interface that the host has"),
        ("web1; rm x", APPLY, APPLY),
        ("{{ x }}", APPLY, APPLY),
    ],
)
def test_a_remedy_is_for_the_host_of_the_finding(host, remedy, expected):
    (found,) = built([finding("missing", host, remedy=remedy)], [host])["findings"]
    assert found["remedy"] == expected


def test_an_endpoint_cannot_be_moved_without_the_other_host():
    fields = [{"field": "node", "want": "a", "have": "b"}]
    found = built([finding("changed", "a", remedy=APPLY, fields=fields)], ["a", "b"])["findings"]
    assert found[0]["remedy"] == APPLY


def counts(compliant=0, drifted=0, unknown=0):
    return {"compliant": compliant, "drifted": drifted, "unknown": unknown}


def test_compliance_by_group_and_label():
    groups = {"a": ["all", "web"], "b": ["all", "web", "prod"], "c": ["all", "db"], "d": ["all", "db"]}
    declared = [
        {"node": "a", "labels": {"zone": "dmz"}},
        {"node": "a", "labels": {"zone": "lan"}},
        {"node": "a", "labels": {"zone": "lan"}},
        {"node": "b", "labels": {"zone": "lan"}},
        {"node": "c"},
    ]
    report = built([finding("missing", "b")], "abc", {"d": "unreachable"}, groups=groups, declared=declared)
    assert report["summary"]["groups"] == {
        "db": counts(compliant=1, unknown=1),
        "prod": counts(drifted=1),
        "web": counts(compliant=1, drifted=1),
    }
    # A host counts once for each label.
    assert report["summary"]["labels"] == {"zone=dmz": counts(compliant=1), "zone=lan": counts(compliant=1, drifted=1)}


def test_the_group_all_counts_if_it_is_the_only_one():
    assert built((), "a", groups={"a": ["all"]})["summary"]["groups"] == {"all": counts(compliant=1)}


def test_a_label_of_each_host_and_thousands_of_groups_are_left_out():
    hosts = ["h%04d" % number for number in range(1000)]
    groups = {host: ["all", "of-" + host] for host in hosts}
    declared = [{"node": host, "labels": {"host": host, "zone": "lan"}} for host in hosts]
    summary = built([finding("missing", "h0999")], hosts, groups=groups, declared=declared)["summary"]
    assert summary["labels"] == {"zone=lan": counts(compliant=999, drifted=1)}
    # The groups with drift are kept.
    assert len(summary["groups"]) == 200 and summary["groups"]["of-h0999"] == counts(drifted=1)


@pytest.mark.parametrize(
    "fail_on, failed, reason",
    [
        ([], False, "1 unknown host, 2 unknown expectations"),
        (["unmet"], False, "1 unknown host, 2 unknown expectations"),
        (["unmet", "unknown"], True, "1 unknown host, 2 unknown expectations (fail_on: unmet, unknown)"),
    ],
)
def test_an_unknown_expectation_never_matches(fail_on, failed, reason):
    unknown = [undetermined("b", "ssh"), undetermined("a", "database")]
    report = built([], "ab", {"c": "unreachable"}, fail_on=fail_on, expectations=unknown)
    assert (report["failed"], report["reason"]) == (failed, reason)
    assert report["unknown_expectations"] == unknown[::-1]
    assert set(report) <= set(SCHEMA["properties"])


def test_the_only_unknown_expectation_fails_the_audit():
    report = built([], "a", fail_on=["unknown"], expectations=[undetermined("a", "database")])
    assert (report["failed"], report["reason"]) == (True, "1 unknown expectation (fail_on: unknown)")
    assert built([], "a", fail_on=["unknown"])["reason"] == "everything matches"
