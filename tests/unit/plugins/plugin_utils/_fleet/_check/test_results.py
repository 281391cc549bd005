# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines and the JUnit file of a check."""

from __future__ import annotations

from xml.etree import ElementTree

from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._check.results import (
    CheckResult,
    as_junit,
    format_counts,
    format_lines,
)

RESULTS = [
    CheckResult("web1", "ssh: in tcp/22 from ops, expect allow", "met", "allowed by policy ssh"),
    CheckResult("web1", "db", "unknown", "the facts of db1 are unknown"),
    CheckResult("web2", "telnet", "unmet", "expected deny, but it is allowed by \x1b[31m<policy> & co"),
]


def test_lines_begin_with_what_is_unmet_and_end_with_the_counts():
    assert format_lines(RESULTS, format_counts(RESULTS, 3)) == [
        "UNMET web2: telnet: expected deny, but it is allowed by \\x1b[31m<policy> & co",
        "UNKNOWN web1: db: the facts of db1 are unknown",
        "3 expectations of 2 hosts: 1 met, 1 unmet, 1 unknown",
    ]


def test_a_check_without_expectations_names_the_variables():
    (line,) = format_lines([], format_counts([], 3))
    assert line == (
        "no expectations are declared for the 3 hosts of this run; set hostendpoints_connectivity or "
        "hostendpoints_group_connectivity"
    )


def test_an_unmet_expectation_is_a_failure_and_an_unknown_one_an_error():
    root = ElementTree.fromstring(as_junit(RESULTS))
    counts = [(each.get("name"), *map(each.get, ("tests", "failures", "errors", "skipped"))) for each in root]
    assert counts == [("web1", "2", "0", "1", "0"), ("web2", "1", "1", "0", "0")]
    assert [root.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["3", "1", "1", "0"]
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert [each.tag for each in cases["ssh: in tcp/22 from ops, expect allow"]] == ["system-out"]
    assert cases["db"][0].tag == "error" and cases["db"][0].get("message") == "the facts of db1 are unknown"
    assert cases["telnet"][0].tag == "failure" and "\\x1b[31m<policy> & co" in cases["telnet"][0].text
    assert {case.get("classname") for case in cases.values()} == {"web1", "web2"}
    assert as_junit(RESULTS) == as_junit(list(RESULTS))
