# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import re

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES
from ansible_collections.netsec.calico.plugins.plugin_utils._report.banner import format_banner
from ansible_collections.netsec.calico.plugins.plugin_utils._report.build import build_report
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError, checked_report
from ansible_collections.netsec.calico.plugins.plugin_utils._report.exceptions import read_exceptions, warn_about_unused
from ansible_collections.netsec.calico.plugins.plugin_utils._report.junit_xml import as_junit
from ansible_collections.netsec.calico.tests.harness.audits import finding

WHERE = "hostendpoints_audit_exceptions"
TODAY = datetime.date(2027, 1, 31)
NODES = {"web1": "web1.example.com", "web2": "web2.example.com", "db1": "db1.example.com"}
GROUPS = {"web": ["web1", "web2"], "db": ["db1"]}
UNSAFE = [("unsafe", "web1", "eth0", "G03"), ("unsafe", "web1", "eth0", "G05")]
POLICIES = {
    "changes": [{"operation": "create", "kind": "GlobalNetworkPolicy", "name": "allow-ssh", "fields": []}],
    "diff": [{}],
}


def read(*values, today=TODAY):
    return read_exceptions(WHERE, list(values), lambda group: GROUPS.get(group, []), today)


def exception(**changes):
    known = {"node": "web1", "class": "missing", "reason": "a reason", "expires": "2027-12-31"}
    return {key: value for key, value in dict(known, **changes).items() if value is not None}


def found(*findings):
    """The result of the module, with (class, host, interface) or (class, host, interface, rule) of each finding."""
    return {
        "datastore": {"type": "etcdv3", "endpoints": [], "warning": ""},
        "summary": {"compliant": 1, "foreign": 0},
        "compliant": {},
        "policies": [],
        "endpoints": [],
        "findings": [finding(kind, NODES.get(host, host), *place) for kind, host, *place in findings],
    }


def audit(findings, *exceptions, fail_on=(), policies=None, today=TODAY):
    report = build_report(
        found(*findings), NODES, {}, {}, "", fail_on, "now", policies, exceptions=read(*exceptions, today=today)
    )
    return checked_report(report, "the report")


def accepted(report):
    return {(each["class"], each["host"], each["name"]) for each in report["findings"] if "accepted" in each}


def statuses(report):
    return {each["host"]: each["status"] for each in report["hosts"]}


def test_an_accepted_finding_is_reported_and_does_not_count():
    findings = [("missing", "web1", "eth0"), ("changed", "web2", "eth0")]
    report = audit(findings, exception(), fail_on=["missing"])
    assert statuses(report) == {"web1": "compliant", "web2": "drifted", "db1": "compliant"}
    assert (report["failed"], report["reason"]) == (False, "1 changed")
    assert report["summary"]["endpoints"]["missing"] == 0 and report["summary"]["accepted"] == 1
    first, second = report["findings"]
    assert first["accepted"] == "until 2027-12-31: a reason" and "accepted" not in second
    banner = "\n".join(format_banner(report, {}))
    assert "accepted: 1 finding" in banner and "missing eth0" not in banner and "changed eth0" in banner
    assert b'failures="0"' in as_junit(report)
    without = audit(findings, fail_on=["missing"])
    assert without["failed"] and "accepted" not in "\n".join(format_banner(without, {}))
    assert b'failures="1"' in as_junit(without)


def test_an_audit_with_accepted_findings_only_has_passed():
    report = audit([("missing", "web1", "eth0")], exception())
    assert format_banner(report, {})[0] == "AUDIT passed: everything matches"


@pytest.mark.parametrize(
    "changes, hosts",
    [
        ({}, {"web1"}),
        ({"node": "web*"}, {"web1", "web2"}),
        # By the name of the node.
        ({"node": "*.example.com"}, {"web1", "web2", "db1"}),
        ({"node": None, "group": "web"}, {"web1", "web2"}),
        ({"node": None, "group": "other"}, set()),
        ({"node": "web*", "name": "eth1"}, set()),
        ({"class": "changed"}, set()),
        ({"class": None, "rule": "A03"}, {"web1"}),
        ({"class": None, "rule": "A05"}, set()),
        ({"expires": TODAY}, {"web1"}),
        ({"expires": TODAY - datetime.timedelta(days=1)}, set()),
    ],
)
def test_what_an_exception_covers(changes, hosts):
    report = audit([("missing", host, "eth0") for host in NODES], exception(**changes))
    assert {host for _kind, host, _name in accepted(report)} == hosts


def test_an_accepted_move_makes_neither_host_drifted():
    result = found(("changed", "web1", "eth0"))
    result["findings"][0]["fields"] = [{"field": "node", "want": NODES["web1"], "have": NODES["db1"]}]
    for exceptions, status in ([], "drifted"), (read(exception(**{"class": "changed"})), "compliant"):
        report = build_report(result, NODES, {}, {}, "", [], "now", exceptions=exceptions)
        assert [statuses(report)[host] for host in ("web1", "db1")] == [status] * 2


def test_an_exception_for_one_check_of_the_guard_does_not_hide_another():
    one, both = exception(**{"class": None, "rule": "G03"}), exception(**{"class": "unsafe"})
    report = audit(UNSAFE, one, fail_on=["unsafe"])
    assert report["failed"] and statuses(report)["web1"] == "drifted"
    assert (report["summary"]["endpoints"]["unsafe"], report["summary"]["accepted"]) == (1, 1)
    assert not audit(UNSAFE, both, fail_on=["unsafe"])["failed"]


@pytest.mark.parametrize("name", ["GlobalNetworkPolicy allow-ssh", "allow-ssh", None])
def test_a_policy_can_be_accepted(name):
    report = audit([], exception(node="*", name=name), policies=POLICIES, fail_on=["missing"])
    assert not report["failed"] and (report["summary"]["policies"]["missing"], report["summary"]["accepted"]) == (0, 1)
    assert audit([], exception(node="*", name="ssh"), policies=POLICIES, fail_on=["missing"])["failed"]


def test_an_expired_exception_is_a_finding_of_its_own():
    old = exception(node=None, group="web", name="eth0", expires="2027-01-30")
    report = audit([("missing", "web1", "eth0")], exception(), old, fail_on=["expired"])
    (expired,) = [each for each in report["findings"] if each["class"] == "expired"]
    assert (expired["severity"], expired["rule"]) == ("low", CLASSES["expired"].rule)
    assert expired["message"] == (
        "hostendpoints_audit_exceptions[1] expired on 2027-01-30; "
        "it accepted missing eth0 on group web, because: a reason"
    )
    assert "renew hostendpoints_audit_exceptions[1]" in expired["remedy"]
    assert (report["failed"], report["reason"]) == (True, "1 expired (fail_on: expired)")
    # It belongs to no host.
    assert set(statuses(report).values()) == {"compliant"}


def test_without_its_exception_a_finding_counts_again():
    report = audit([("missing", "web1", "eth0")], exception(expires="2027-01-30"), fail_on=["missing"])
    assert report["reason"] == "1 missing (fail_on: missing)" and statuses(report)["web1"] == "drifted"


def unused(findings, *exceptions, compared=None, others=(), unknown=()):
    values = read(*exceptions)
    compared = NODES if compared is None else compared
    return list(warn_about_unused(values, audit(findings, *exceptions)["findings"], compared, others, unknown))


@pytest.mark.parametrize("key, value", [("class", "unmet"), ("rule", "A04")])
def test_an_exception_for_an_unknown_expectation_may_be_needed(key, value):
    unknown = [{"host": "web1", "node": NODES["web1"], "name": "database", "message": "No facts."}]
    needed = exception(**{"class": None, key: value, "name": "database"})
    assert unused([], needed, unknown=unknown) == []
    assert len(unused([], needed)) == len(unused([], dict(needed, name="ssh"), unknown=unknown)) == 1


def test_an_exception_that_covers_nothing_is_a_warning():
    findings = [("missing", "web1", "eth0")]
    (warning,) = unused(findings, exception(), exception(name="eth1"))
    assert warning == (
        "hostendpoints_audit_exceptions[1] covers no finding (missing eth1 on web1); remove it if it is obsolete"
    )
    assert unused(findings, exception(), exception(node="web*")) == []
    # It is a finding instead.
    assert unused(findings, exception(name="eth1", expires="2027-01-01")) == []
    assert len(unused([], exception(node=None, group="other"))) == 1


def test_an_exception_of_hosts_that_were_not_compared_is_no_warning():
    web1 = {"web1": NODES["web1"]}
    assert unused([], exception(node="db1"), compared=web1, others=["db1"]) == []
    assert len(unused([], exception(node="*"), compared=web1, others=["db1"])) == 1
    assert len(unused([], exception(node="db2"), compared=web1, others=["db1"])) == 1


def test_a_date_is_a_date_or_its_text():
    first, second = read(exception(expires=datetime.date(2027, 2, 3)), exception(expires=" 2027-02-03 "))
    assert first.expires == second.expires == datetime.date(2027, 2, 3)


@pytest.mark.parametrize("nothing", [None, "", [], ()])
def test_no_exceptions(nothing):
    assert read_exceptions(WHERE, nothing, list, TODAY) == []


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"expires": None}, "expires is required; set a date such as 2027-01-31"),
        ({"expires": "31.1.2027"}, "expires '31.1.2027' is not a date; use YYYY-MM-DD"),
        ({"expires": "2027-02-30"}, "expires '2027-02-30' is not a date; use YYYY-MM-DD"),
        ({"expires": 20270131}, "expires 20270131 is not a date; use YYYY-MM-DD"),
        ({"expires": datetime.datetime(2027, 1, 31, 12)}, "expires 2027-01-31T12:00:00 is not a date"),
        ({"expires": "never"}, "expires 'never' is not a date"),
        ({"reason": None}, "reason is required"),
        ({"reason": " "}, "reason is required"),
        ({"reason": 7}, "reason 7 is not a string"),
        ({"node": None}, "exactly one of node and group is required"),
        ({"group": "web"}, "exactly one of node and group is required"),
        ({"class": None}, "exactly one of class and rule is required"),
        ({"rule": "A03"}, "exactly one of class and rule is required"),
        ({"class": "mising"}, "class 'mising' is not a class of findings; use unsafe, malformed, "),
        ({"class": "expired"}, "class 'expired' cannot be accepted; use "),
        ({"class": None, "rule": "A99"}, "rule 'A99' is not a rule of findings; use G01, "),
        ({"node": ["web1"]}, "node ['web1'] is not a string"),
        ({"hosts": "web1", "until": 1}, "hosts, until is unknown; use node, group, class, rule, name, reason, expires"),
    ],
)
def test_an_invalid_exception_is_an_error(changes, message):
    with pytest.raises(ReportError, match="^" + re.escape(WHERE + "[1]: " + message)):
        read(exception(), exception(**changes))


@pytest.mark.parametrize(
    "values, message",
    [("web1", "'web1' is not a list of exceptions"), ({"node": "a"}, "{'node': 'a'} is not a list of exceptions")],
)
def test_other_values_are_an_error(values, message):
    with pytest.raises(ReportError, match="^" + re.escape(WHERE + ": " + message)):
        read_exceptions(WHERE, values, list, TODAY)
    with pytest.raises(ReportError, match=re.escape(WHERE + "[0]: 'web1' is not a mapping")):
        read("web1")
