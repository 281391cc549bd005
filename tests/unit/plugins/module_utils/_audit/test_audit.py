# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._audit.audit import AuditScope, audit
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v1 import CODEC, encode
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.evaluate import (
    ExpectationResult,
    Outcome,
)
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.expectations import parse_expectations
from ansible_collections.netsec.calico.plugins.module_utils._guard.verdict import GuardFinding, GuardVerdict
from ansible_collections.netsec.calico.plugins.module_utils._module.audit_results import build_audit_result
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Present
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import CALICO_OWNER_LABEL

LABEL, OWNER = "managed-by", "me"
MINE = {LABEL: OWNER}


def endpoint(node="n1", name="eth0", labels=None, **fields):
    return HostEndpoint(
        **dict(
            {"name": name, "node": node, "interface_name": name, "labels": MINE if labels is None else labels}, **fields
        )
    )


def stored(item, value=None):
    return Stored(key(item), 7, encode(item) if value is None else value, item.node, item.name, CODEC)


def key(item):
    return "{0.node}/{0.name}".format(item)


def found(wanted, items, nodes=("n1", "n2"), others=(), owner=OWNER, verdicts=(), **scope):
    wants = {key(item): Present(item) for item in wanted}
    return audit(wants, items, AuditScope(set(nodes), set(others), LABEL, owner, **scope), V1, verdicts)


def kinds(result):
    return [(finding.kind, finding.node, finding.name) for finding in result.findings]


def test_as_wanted():
    result = found([endpoint(), endpoint(name="eth1")], [stored(endpoint()), stored(endpoint(name="eth1"))])
    assert (result.findings, result.compliant, result.foreign) == ([], {"n1": 2}, 0)


def test_each_class():
    items = [
        stored(endpoint("n1", "eth1", profiles=("p",))),
        stored(endpoint("n1", "old")),
        stored(endpoint("n1", "theirs", labels={})),
        stored(endpoint("n2", "calicos", labels={CALICO_OWNER_LABEL: "x"})),
        stored(endpoint("gone", "eth0")),
        stored(endpoint("gone", "theirs", labels={})),
        stored(endpoint("n2", "broken"), "{"),
        stored(endpoint("n2", "wanted"), "[]"),
    ]
    result = found([endpoint("n1", "eth0"), endpoint("n1", "eth1"), endpoint("n2", "wanted")], items)
    assert kinds(result) == [
        ("malformed", "n2", "broken"),
        ("malformed", "n2", "wanted"),
        ("missing", "n1", "eth0"),
        ("changed", "n1", "eth1"),
        ("unmanaged", "n1", "old"),
        ("unmanaged", "n1", "theirs"),
        ("orphaned", "gone", "eth0"),
    ]
    assert (result.compliant, result.foreign) == ({}, 1)
    changed = result.findings[3]
    assert changed.fields == [{"field": "profiles", "want": [], "have": ["p"]}]
    assert "profiles" in changed.message
    ours, theirs = result.findings[4:6]
    assert "it belongs to the owner" in ours.message and "neither declared nor owned" in theirs.message
    assert [finding.remedy.splitlines()[-1] for finding in result.findings] == [
        'netsec.calico.calico_hostendpoint: {name: "broken", node: "n2", state: absent}',
        "ansible-playbook netsec.calico.apply",
        "ansible-playbook netsec.calico.apply",
        "ansible-playbook netsec.calico.apply",
        "ansible-playbook netsec.calico.apply -e hostendpoints_purge=owned",
        "ansible-playbook netsec.calico.gathered -e hostendpoints_gathered_dest=gathered.yml",
        "ansible-playbook netsec.calico.decommission -e hostendpoints_decommission=gone",
    ]
    assert 'calico_hostendpoint: {name: "theirs", node: "n1", state: absent}' in theirs.remedy
    records = build_audit_result(result, {})["findings"]
    assert [(each["severity"], each["rule"]) for each in records] == [
        ("critical", "A01"),
        ("critical", "A01"),
        ("high", "A03"),
        ("medium", "A05"),
        ("medium", "A06"),
        ("medium", "A06"),
        ("low", "A07"),
    ]


def unsafe(name, *found):
    findings = tuple(GuardFinding(rule, level, text) for rule, level, text in found)
    return GuardVerdict("n1", name, "unsafe", findings)


def test_an_unsafe_endpoint_has_a_finding_for_each_check_of_the_guard():
    reasons = [
        ("G03", "unsafe", "tcp port 22 is denied"),
        ("G03", "unsafe", "tcp port 9100 is denied"),
        ("G05", "warning", "no failsafe port"),
        ("G06", "unsafe", "the host has no interface eth0"),
        ("G08", "unsafe", "another governs it"),
    ]
    result = found([endpoint()], [stored(endpoint())], verdicts=[unsafe("eth0", *reasons)])
    assert [(each.kind, each.rule, each.message) for each in result.findings] == [
        ("unsafe", "G03", "tcp port 22 is denied; tcp port 9100 is denied"),
        ("unsafe", "G06", "the host has no interface eth0"),
    ]
    assert result.findings[1].remedy == "use an interface that the host has"
    # It is one endpoint.
    assert build_audit_result(result, {})["summary"]["unsafe"] == 1 and result.compliant == {}


def test_an_unsafe_endpoint_that_is_unmanaged_is_not_to_be_repaired():
    verdict = unsafe("old", ("G06", "unsafe", "the host has no interface old"))
    result = found([], [stored(endpoint(name="old", labels={}))], verdicts=[verdict])
    assert kinds(result) == [("unsafe", "n1", "old"), ("unmanaged", "n1", "old")]
    assert len({finding.remedy for finding in result.findings}) == 1
    assert "or take it into the inventory" in result.findings[0].remedy


@pytest.mark.parametrize("name", ["a b", "$(id)", "{{ 1 }}", '"', "a\nb", "-x", "a;b", "\u202e"])
def test_a_name_that_a_shell_or_jinja_may_evaluate_is_in_no_remedy(name):
    items = [stored(endpoint(name, "eth0")), stored(endpoint("n1", name, labels={}, interface_name="eth0"))]
    assert [finding.remedy for finding in found([], items).findings] == ["", ""]


def test_only_an_undeclared_endpoint_is_to_be_deleted_for_another():
    def remedy(*declared):
        items = [endpoint(name=name, interface_name="eth0") for name in ("a", "b")]
        wanted = [item for item in items if item.name in declared]
        findings = found(wanted, [stored(item) for item in items]).findings
        return next(finding for finding in findings if finding.kind == "shadowed").remedy

    delete = '# delete it with a task:\nnetsec.calico.calico_hostendpoint: {{name: "{0}", node: "n1", state: absent}}'
    assert [remedy("a"), remedy("b"), remedy(), remedy("a", "b")] == [
        delete.format("b"),
        delete.format("a"),
        delete.format("b"),
        "",
    ]


def test_a_node_that_somebody_else_looks_after_is_no_orphan():
    assert kinds(found([], [stored(endpoint("n9"))], others=["n9"])) == []
    assert kinds(found([], [stored(endpoint("n9"))], owner="")) == []
    # It is wanted there, though the node is not in the scope.
    assert kinds(found([endpoint("n9")], [stored(endpoint("n9", profiles=("p",)))])) == [("changed", "n9", "eth0")]


def test_what_is_out_of_scope_is_left():
    items = [stored(endpoint("n9", labels={})), stored(endpoint("n9", "broken"), "{")]
    assert kinds(found([], items)) == []


@pytest.mark.parametrize("names, shadowed", [(["b", "a"], ["b"]), (["a", "B"], ["a"]), (["ep9", "ep10"], ["ep9"])])
def test_the_smallest_name_governs_an_interface(names, shadowed):
    both = [endpoint(name=name, interface_name="eth0") for name in names]
    result = found(both, [stored(item) for item in both])
    assert kinds(result) == [("shadowed", "n1", name) for name in shadowed]


def test_what_felix_ignores_shadows_nobody():
    both = [endpoint(name="a", interface_name="eth0", profiles=("x/y",)), endpoint(name="b", interface_name="eth0")]
    result = found(both, [stored(item) for item in both])
    assert kinds(result) == [("malformed", "n1", "a")]
    assert "Felix ignores it" in result.findings[0].message


def test_calicos_own_in_the_place_of_a_wanted_one_is_told():
    result = found([endpoint()], [stored(endpoint(labels={CALICO_OWNER_LABEL: "x"}))])
    assert kinds(result) == [("changed", "n1", "eth0")] and result.foreign == 1
    assert "Calico's own" in result.findings[0].message
    (field,) = result.findings[0].fields
    assert field == {"field": "labels", "want": MINE, "have": {CALICO_OWNER_LABEL: "x"}}


@pytest.mark.parametrize(
    "host, excused",
    [
        (["n9"], True),
        (["N9.other.example"], True),
        (["n9.example.com"], True),
        (["web9", "n9.example.com"], True),
        (["n91"], False),
        (["web9"], False),
    ],
)
def test_a_node_that_may_be_a_hosts_of_which_none_is_known_is_no_orphan(host, excused):
    result = found([], [stored(endpoint("n9.example.com"))], other_hosts={host[0]: host})
    assert kinds(result) == ([] if excused else [("orphaned", "n9.example.com", "eth0")])
    for finding in result.findings:
        assert "no host of the inventory is known to be this node; the nodes of 1 host are unknown" in finding.message


def test_an_orphan_is_to_be_decommissioned_only_when_all_nodes_are_known():
    items = [stored(endpoint("n8")), stored(endpoint("10.0.0.1"))]
    (orphan,) = found([], items, others=["n8"], other_hosts={"n8.example.com": ["n8.example.com"]}).findings
    assert "decommission the node" in orphan.message
    # All of an address counts.
    (orphan,) = found([], items, others=["n8"], other_hosts={"10.0.0.2": ["10.0.0.2"]}).findings
    assert orphan.node == "10.0.0.1" and "decommission" not in orphan.message


def test_what_is_wanted_is_no_orphan():
    # Calico v3 has one key, whatever the node.
    want, have = endpoint("n1", "x"), endpoint("gone", "x", profiles=("p",))
    item = Stored("x", 7, encode(have), have.node, have.name, CODEC)
    result = audit({"x": Present(want)}, [item], AuditScope({"n1"}, (), LABEL, OWNER), V1)
    assert kinds(result) == [("changed", "n1", "x")]


def test_what_is_ours_on_a_decommissioned_node_is_unmanaged():
    items = [stored(endpoint("n9")), stored(endpoint("n9", "theirs", labels={}))]
    (finding,) = found([], items, decommissioned={"n9"}).findings
    assert (finding.kind, finding.node, finding.name) == ("unmanaged", "n9", "eth0")
    assert "decommissioned: apply deletes it" in finding.message


ADDRESS = {"expected_ips": ("192.0.2.1",)}


def test_an_endpoint_that_expects_an_address_of_an_interface_shadows_it():
    both = [endpoint(name="aaa", interface_name="", **ADDRESS), endpoint(**ADDRESS)]
    result = found(both, [stored(item) for item in both])
    assert kinds(result) == [("shadowed", "n1", "eth0")] and "aaa governs eth0" in result.findings[0].message
    # A shadowed one is not in force, so it does not comply.
    assert result.compliant == {"n1": 1}
    # What is wanted knows the interface's addresses, and what is stored may be old.
    other = endpoint(expected_ips=("192.0.2.2",))
    assert kinds(found([both[0], other], [stored(item) for item in both])) == [("changed", "n1", "eth0")]


def test_the_addresses_of_facts_are_known_best():
    both = [endpoint(name="aaa", interface_name="", **ADDRESS), endpoint()]
    items = [stored(item) for item in both]
    assert kinds(found(both, items)) == []
    result = found(both, items, interfaces={"n1": {"eth0": ["192.0.2.1/24"]}})
    assert kinds(result) == [("shadowed", "n1", "eth0")]


def test_calicos_own_is_never_a_finding():
    calicos = endpoint(name="z", interface_name="eth0", labels={CALICO_OWNER_LABEL: "x"}, profiles=("a/b",))
    assert kinds(found([endpoint()], [stored(endpoint()), stored(calicos)])) == []
    calicos = endpoint(name="z", interface_name="eth0", labels={CALICO_OWNER_LABEL: "x"})
    assert kinds(found([endpoint()], [stored(endpoint()), stored(calicos)])) == []
    calicos = endpoint(name="a", interface_name="eth0", labels={CALICO_OWNER_LABEL: "x"})
    assert kinds(found([endpoint()], [stored(endpoint()), stored(calicos)])) == [("shadowed", "n1", "eth0")]


def test_a_finding_that_is_too_large_is_listed_and_cut():
    name = "x" * 400000
    result = build_audit_result(
        found([], [stored(endpoint(name=name, interface_name="eth0", labels={}))]), {}, is_bounded=True
    )
    assert result["findings_omitted"] == 0 and result["findings"][0]["class"] == "unmanaged"
    assert len(json.dumps(result)) < 5000


def test_an_expectation_that_is_not_met_has_a_remedy():
    (expectation,) = parse_expectations(
        [{"name": "ssh", "direction": "in", "protocol": "tcp", "port": 22, "peer": "10.0.0.0/8", "expect": "allow"}],
        "x",
    )
    outcome = Outcome("unmet", "tcp port 22 from 10.0.0.1", "deny", "policy {x}", "denied by {x}")
    results = [ExpectationResult("web1", "n1", expectation, outcome)]
    (finding,) = audit({}, [], AuditScope({"n1"}, set(), LABEL, OWNER), V1, (), results).findings
    assert finding.kind == "unmet"
    assert "or the expectation in hostendpoints_connectivity or hostendpoints_group_conn" in finding.remedy
    assert finding.remedy.splitlines()[-1] == "ansible-playbook netsec.calico.check_policies"
