# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's own verdicts on policies, network sets, profiles and tiers, row by row, and ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._resources import fields
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.read_spec import read_spec
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.validation_specs_v3 import (
    find_spec_problems,
    find_tier_problems,
)

VECTORS = Path(__file__).resolve().parents[5] / "vectors"
POLICIES = ("GlobalNetworkPolicy", "StagedGlobalNetworkPolicy")
KINDS = (*POLICIES, "GlobalNetworkSet", "Profile", "Tier", "FelixConfiguration", "Node")
TIERS = ("default", "kube-admin", "kube-baseline", "sec")

# Rows that Calico accepts and the collection rejects: {reason: {row: options of its problems}}.
STRICTER = {
    "iptables rejects such a rule, which stops Felix": {
        "gnp-316": ["spec.ingress[0].notProtocol"],
        "prof-085": ["spec.ingress[0].notProtocol"],
    },
    "an empty network is a mistake, and Felix ignores it": dict.fromkeys(
        ("gns-024", "gns-029", "gns-070"), ["spec.nets[0]"]
    ),
    "Felix stops on a failsafe without a protocol": {
        "felix-023": ["spec.failsafeInboundHostPorts[0].protocol"],
        "felix-044": ["spec.failsafeInboundHostPorts[0].protocol", "spec.failsafeInboundHostPorts[0].port"],
        "felix-045": ["spec.failsafeInboundHostPorts[0].protocol", "spec.failsafeInboundHostPorts[0].port"],
    },
    "Felix stops on a failsafe of SCTP": {
        "felix-179": ["spec.failsafeInboundHostPorts[0].protocol"],
        "felix-181": ["spec.failsafeInboundHostPorts[0].protocol", "spec.failsafeInboundHostPorts[3].protocol"],
        "felix-183": ["spec.failsafeOutboundHostPorts[1].protocol"],
        "felix-190": ["spec.failsafeOutboundHostPorts[0].protocol"],
        "felix-192": ["spec.failsafeInboundHostPorts[0].protocol"],
        "felix-193": ["spec.failsafeInboundHostPorts[0].protocol"],
        "felix-197": ["spec.failsafeInboundHostPorts[0].protocol"],
    },
    "Felix and Typha crash on an invalid network": {"felix-054": ["spec.failsafeOutboundHostPorts[0].net"]},
}
OPTIONS = {row: options for rows in STRICTER.values() for row, options in rows.items()}
# A key in two cases, which Calico decodes; it rejects these rows for another reason.
NOT_DECODED = ("gnp-658", "gnp-659")
# calicoctl create found an object of that name, and a status.
ELSEWHERE = ("tier-029", "node-057")


def find_with_tiers(kind, name, labels, annotations, spec, tiers):
    """All problems, given the tiers that exist."""
    found = find_spec_problems(kind, name, labels, annotations, spec)
    if kind in POLICIES:
        found += [each for each in find_tier_problems(spec, tiers) if each not in found]
    return found


def is_checked_elsewhere(row):
    """Whether Calico rejects the document for something that is not in a name, labels, annotations or a spec."""
    if row["valid"]:
        return False
    is_of_kind = row["stage"] == "decode" and "unknown resource" in row["error"]
    return is_of_kind or row["stage"] == "namespace" or row["id"] in ELSEWHERE


def read_rows():
    for kind in KINDS:
        for line in (VECTORS / "v3_{0}.jsonl".format(kind.lower())).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if not is_checked_elsewhere(row):
                yield pytest.param(kind, row, id=row["id"])


def find_problems(kind, row):
    """The problems of a row's document. Raises ValueError for one that cannot be decoded."""
    document = row["doc"] if "doc" in row else yaml_io.first(row["text"])
    metadata = document.get("metadata") or {}
    given = {key: fields.labels(metadata.get(key) or {}, key) for key in ("labels", "annotations")}
    name = fields.text(metadata.get("name", ""), "metadata.name")
    spec = read_spec(kind, document.get("spec"))
    return find_with_tiers(kind, name, spec=spec, tiers=TIERS, **fields.with_empty_labels(given))


@pytest.mark.parametrize(("kind", "row"), list(read_rows()))
def test_the_verdict_is_calicos(kind, row):
    try:
        problems = find_problems(kind, row)
    except ValueError:
        assert not row["valid"]
        assert row["stage"] == "decode" or row["id"] in NOT_DECODED
        return
    if row["id"] in OPTIONS:
        assert row["valid"]
        assert [option for option, _value, _rule in problems] == OPTIONS[row["id"]]
    else:
        assert bool(problems) != row["valid"], problems


def read_felix_rows():
    for line in (VECTORS / "v3_felix_params.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield pytest.param(row, id=row["id"])


@pytest.mark.parametrize("row", list(read_felix_rows()))
def test_failsafes_are_rejected_where_felix_cannot_read_them(row):
    spec = read_spec("FelixConfiguration", json.loads(row["value"])["spec"])
    is_read = not any("error" in ports for ports in row.get("felix", {}).values()) and "panic" not in row
    assert (find_spec_problems("FelixConfiguration", "default", {}, {}, spec) == []) == is_read


def rule(**fields):
    return {"action": "Allow", **fields}


def ingress(**fields):
    return {"ingress": [rule(), rule(**fields)]}


def nets(*listed, **fields):
    return ingress(source={"nets": list(listed)}, **fields)


PLACES = [
    ("GlobalNetworkPolicy", {"tier": "nope"}, "spec.tier", "is not an existing tier: create it first, or use one of"),
    ("GlobalNetworkPolicy", {"tier": "a.b"}, "spec.tier", "is not a tier name"),
    (
        "GlobalNetworkPolicy",
        {"selector": "has(a"},
        "spec.selector",
        "is not a selector: at character 1 Calico v3 finds",
    ),
    ("GlobalNetworkPolicy", {"selector": "!global()"}, "spec.selector", "is not allowed to contain global()"),
    (
        "GlobalNetworkPolicy",
        {"selector": "!(" * 300 + "a==''" + ")" * 300},
        "spec.selector",
        "a limit of this collection",
    ),
    ("GlobalNetworkPolicy", {"types": ["Egress", "Egress"]}, "spec.types[1]", "is not allowed twice"),
    ("GlobalNetworkPolicy", {"preDNAT": True}, "spec.applyOnForward", "set it to true"),
    (
        "GlobalNetworkPolicy",
        {"preDNAT": True, "doNotTrack": True, "applyOnForward": True},
        "spec.preDNAT",
        "is not allowed together with doNotTrack",
    ),
    (
        "GlobalNetworkPolicy",
        {"preDNAT": True, "applyOnForward": True, "egress": [rule()]},
        "spec.egress",
        "is not allowed with preDNAT",
    ),
    ("GlobalNetworkPolicy", {"performanceHints": ["Fast"]}, "spec.performanceHints[0]", "Calico has only Assume"),
    ("GlobalNetworkPolicy", ingress(action="allow"), "spec.ingress[1].action", "Allow, Deny, Log, Pass"),
    ("GlobalNetworkPolicy", ingress(ipVersion=5), "spec.ingress[1].ipVersion", "4 or 6"),
    ("GlobalNetworkPolicy", ingress(protocol="tcp"), "spec.ingress[1].protocol", "did you mean TCP?"),
    ("GlobalNetworkPolicy", ingress(notProtocol="256"), "spec.ingress[1].notProtocol", "a number from 1 to 255"),
    ("GlobalNetworkPolicy", ingress(protocol="ICMP", ipVersion=6), "spec.ingress[1].ipVersion", "use 4"),
    ("GlobalNetworkPolicy", ingress(icmp={}), "spec.ingress[1].icmp", "without the protocol ICMP or ICMPv6"),
    ("GlobalNetworkPolicy", ingress(notICMP={"type": 255}), "spec.ingress[1].notICMP.type", "from 0 to 254"),
    ("GlobalNetworkPolicy", ingress(notICMP={"code": 0}), "spec.ingress[1].notICMP.type", "is missing"),
    (
        "GlobalNetworkPolicy",
        ingress(notICMP={"type": 1, "code": 256}),
        "spec.ingress[1].notICMP.code",
        "from 0 to 255",
    ),
    ("GlobalNetworkPolicy", nets("10.0.0.0/8", ""), "spec.ingress[1].source.nets[1]", "is not a network"),
    ("GlobalNetworkPolicy", nets("10.0.0.1"), "spec.ingress[1].source.nets[0]", "write 10.0.0.1/32"),
    ("GlobalNetworkPolicy", nets("fd00::1/8"), "spec.ingress[1].source.nets[0]", "or /128"),
    ("GlobalNetworkPolicy", nets("10.0.0.0/8", "fd00::/8"), "spec.ingress[1].source.nets[1]", "with IPv4 networks"),
    ("GlobalNetworkPolicy", nets("fd00::/8", ipVersion=4), "spec.ingress[1].source.nets[0]", "ipVersion 4"),
    (
        "GlobalNetworkPolicy",
        ingress(source={"nets": ["::/0"]}, destination={"notNets": ["10.0.0.0/8"]}),
        "spec.ingress[1].destination.notNets[0]",
        "with IPv6 networks",
    ),
    # calicoctl accepts it, and the rule matches nothing.
    (
        "GlobalNetworkPolicy",
        ingress(source={"notNets": ["0.0.0.0/00"]}),
        "spec.ingress[1].source.notNets[0]",
        "matches no packet",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(source={"notPorts": [80]}),
        "spec.ingress[1].source.notPorts",
        "is not allowed without a protocol",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(protocol="1", destination={"ports": ["http"]}),
        "spec.ingress[1].destination.ports",
        "is not allowed with the protocol '1'",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(protocol="TCP", destination={"ports": [1, (0, 8)]}),
        "spec.ingress[1].destination.ports[1]",
        "is not a port",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(destination={"ports": ["HTTP"]}),
        "spec.ingress[1].destination.ports[0]",
        "is not a port name",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(source={"namespaceSelector": "!global()"}),
        "spec.ingress[1].source.namespaceSelector",
        "use global() alone",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(source={"serviceAccounts": {"selector": "a"}}),
        "spec.ingress[1].source.serviceAccounts.selector",
        "is not a selector",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(source={"services": {"name": "s"}}),
        "spec.ingress[1].source.services.namespace",
        "is missing",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(destination={"services": {"name": "s", "namespace": "n"}}),
        "spec.ingress[1].destination.services",
        "an ingress rule accepts services in source only",
    ),
    (
        "GlobalNetworkPolicy",
        ingress(source={"services": {"name": "s", "namespace": "n"}, "serviceAccounts": {}}),
        "spec.ingress[1].source.serviceAccounts",
        "is not allowed together with services",
    ),
    (
        "GlobalNetworkPolicy",
        {"egress": [rule(protocol="TCP", destination={"services": {"name": "s", "namespace": "n"}, "ports": [1]})]},
        "spec.egress[0].destination.ports",
        "is not allowed together with services",
    ),
    ("GlobalNetworkPolicy", {"egress": [rule(http={})]}, "spec.egress[0].http", "is not allowed in an egress rule"),
    ("GlobalNetworkPolicy", ingress(action="Deny", http={}), "spec.ingress[1].http", "another action than Allow"),
    ("GlobalNetworkPolicy", ingress(protocol="6", http={}), "spec.ingress[1].protocol", "use TCP"),
    (
        "GlobalNetworkPolicy",
        ingress(http={"methods": [str(each) for each in range(21)]}),
        "spec.ingress[1].http.methods",
        "Calico accepts 20",
    ),
    ("GlobalNetworkPolicy", ingress(http={"methods": ["A", "A"]}), "spec.ingress[1].http.methods[1]", "twice"),
    *[
        ("GlobalNetworkPolicy", ingress(http={"paths": [path]}), "spec.ingress[1].http.paths[0]", message)
        for path, message in [
            ({}, "give either exact or prefix"),
            ({"exact": "/a", "prefix": "/b"}, "give either exact or prefix"),
            ({"exact": "a"}, "must start with /"),
            ({"prefix": "/a b"}, "must not contain"),
            ({"prefix": "/" + 1024 * "a"}, "at most 1024 characters"),
        ]
    ],
    (
        "GlobalNetworkPolicy",
        ingress(metadata={"annotations": {"a b": ""}}),
        "spec.ingress[1].metadata.annotations",
        "is not an annotation key",
    ),
    ("StagedGlobalNetworkPolicy", {"stagedAction": "set"}, "spec.stagedAction", "Set, Delete, Learn, Ignore"),
    ("StagedGlobalNetworkPolicy", {"stagedAction": "Delete", "order": 0.0}, "spec.order", "remove it"),
    ("GlobalNetworkSet", {"nets": ["10.0.0.1", "10.0.0"]}, "spec.nets[1]", "is not a network"),
    ("Profile", {"labelsToApply": {"a b": ""}}, "spec.labelsToApply", "is not a label key"),
    ("Profile", {"labelsToApply": {"a": "b c"}}, "spec.labelsToApply[a]", "is not a label value"),
    ("Tier", {"defaultAction": ""}, "spec.defaultAction", "Pass or Deny"),
]


@pytest.mark.parametrize(("kind", "spec", "place", "message"), PLACES)
def test_a_problem_names_its_place_and_what_is_expected(kind, spec, place, message):
    ((option, _value, found),) = find_with_tiers(kind, "a", {}, {}, spec, TIERS)
    assert option == place
    assert message in found


ACCEPTED = [
    ("Profile", {"egress": [rule(http={"methods": ["GET"]}, source={"services": {"name": "s"}})]}),
    ("GlobalNetworkPolicy", ingress(source={"namespaceSelector": " global()", "notSelector": "!global()"})),
    ("GlobalNetworkPolicy", ingress(source={"ports": ["http"]})),
    ("GlobalNetworkPolicy", ingress(source={"nets": ["::ffff:10.0.0.0/104"]}, destination={"nets": ["10.0.0.0/8"]})),
    ("GlobalNetworkPolicy", {"preDNAT": True, "applyOnForward": True, "egress": []}),
    ("StagedGlobalNetworkPolicy", {"stagedAction": "Delete", "tier": "sec", "types": ["Ingress"], "ingress": []}),
]


@pytest.mark.parametrize(("kind", "spec"), ACCEPTED)
def test_an_unusual_spec_that_calico_accepts(kind, spec):
    assert find_with_tiers(kind, "a", {}, {}, spec, TIERS) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", ".", "..", "-a", "a/b", "A", "x" * 254])
def test_a_name_that_is_invalid_for_every_kind(kind, name):
    ((option, value, _rule),) = find_spec_problems(kind, name, {}, {}, {})
    assert (option, value) == ("metadata.name", name)


def test_labels_and_annotations_have_a_place():
    problems = find_spec_problems(
        "GlobalNetworkSet", "a", {"a": "b c", "projectcalico.org/namespace": ""}, {"-": ""}, {}
    )
    assert [each[0] for each in problems] == [
        "metadata.labels[a]",
        "metadata.annotations",
        "metadata.labels",
    ]


@pytest.mark.parametrize(
    ("name", "spec", "places"),
    [
        ("default", {}, []),
        ("default", {"order": 5.0, "defaultAction": "Pass"}, ["spec.order", "spec.defaultAction"]),
        ("kube-admin", {"order": 1000.0}, ["spec.defaultAction"]),
        ("kube-admin", {"order": 1000.0, "defaultAction": "Pass"}, []),
        ("kube-baseline", {"defaultAction": "Pass"}, ["spec.order"]),
    ],
)
def test_calicos_own_tiers_are_fixed(name, spec, places):
    assert [option for option, _value, _rule in find_spec_problems("Tier", name, {}, {}, spec)] == places


@pytest.mark.parametrize("kind", POLICIES)
def test_the_tier_is_only_looked_up_among_known_tiers(kind):
    assert find_spec_problems(kind, "a", {}, {}, {"tier": "nope"}) == []
    assert find_with_tiers(kind, "a", {}, {}, {"tier": "nope"}, ["nope"]) == []
    # Calico creates the default tier itself.
    assert find_with_tiers(kind, "a", {}, {}, {}, []) == []
