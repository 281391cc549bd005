# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico v1's own verdicts on policies and profiles, row by row, and ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs_v1.rules_resource_v1 import (
    read_manifest_v1,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs_v1.validation_rules_v1 import (
    find_problems_v1,
)

VECTORS = Path(__file__).resolve().parents[5] / "vectors"

# Rows that Calico accepts and the collection rejects: {reason: {row: the option of the problem}}.
STRICTER = {
    "iptables rejects such a rule, which stops Felix": {
        "v1poli-151": "spec.ingress[0].icmp",
        "v1prof-080": "spec.ingress[1].icmp",
    },
}
OPTIONS = {row: option for rows in STRICTER.values() for row, option in rows.items()}


def read_rows():
    for name in ("v1_policy", "v1_profile"):
        for line in (VECTORS / (name + ".jsonl")).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield pytest.param(row, id=row["id"])


@pytest.mark.parametrize("row", list(read_rows()))
def test_the_verdict_is_calicos(row):
    try:
        resource = read_manifest_v1(row["doc"] if "doc" in row else yaml_io.first(row["text"]))
    except InvalidInput:
        assert row.get("stage") == "decode"
        return
    problems = find_problems_v1(resource)
    if row["id"] in OPTIONS:
        assert row["valid"]
        assert [option for option, _value, _rule in problems] == [OPTIONS[row["id"]]]
    else:
        assert bool(problems) != row["valid"], problems


def find_problems(kind, metadata, spec):
    metadata = {"name": "a", **metadata}
    return find_problems_v1(read_manifest_v1({"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}))


def rule(**fields):
    return {"action": "allow", **fields}


def ingress(**fields):
    return {"ingress": [rule(), rule(**fields)]}


PLACES = [
    ({"selector": "has(a"}, "spec.selector", "is not a selector: at character 1 Calico v1 finds"),
    ({"selector": "a contains 'b'"}, "spec.selector", "is not a selector"),
    ({"selector": "!(" * 300 + "a==''" + ")" * 300}, "spec.selector", "a limit of this collection"),
    ({"types": ["Ingress"]}, "spec.types[0]", "is not a type of a policy: ingress or egress"),
    ({"types": ["egress", "egress"]}, "spec.types[1]", "is not allowed twice"),
    ({"preDNAT": True, "doNotTrack": True}, "spec.preDNAT", "is not allowed together with doNotTrack"),
    ({"preDNAT": True, "egress": [rule()]}, "spec.egress", "is not allowed with preDNAT"),
    ({"preDNAT": True, "types": ["egress"]}, "spec.types", "is not allowed to contain egress"),
    ({"egress": [{}]}, "spec.egress[0].action", "is not an action: allow, deny, log, pass"),
    (ingress(action="Deny"), "spec.ingress[1].action", "did you mean deny?"),
    # The stored form of pass.
    (ingress(action="next-tier"), "spec.ingress[1].action", "is not an action"),
    (ingress(ipVersion=5), "spec.ingress[1].ipVersion", "is not a version of IP"),
    (ingress(protocol="TCP"), "spec.ingress[1].protocol", "did you mean tcp?"),
    (ingress(notProtocol=0), "spec.ingress[1].notProtocol", "is not a protocol: icmp, tcp, udp, icmpv6"),
    (ingress(protocol="tcp", notProtocol="udp"), "spec.ingress[1].notProtocol", "remove notProtocol"),
    (ingress(protocol="icmp", icmp={"type": 255}), "spec.ingress[1].icmp.type", "from 0 to 254"),
    (ingress(protocol="icmp", icmp={"code": 1}), "spec.ingress[1].icmp.type", "is missing"),
    (ingress(protocol="tcp", notICMP={"type": 8}), "spec.ingress[1].notICMP", "for IPv4 its protocol is not icmp"),
    (ingress(protocol=1, icmp={"type": 8}), "spec.ingress[1].icmp", "for IPv6 its protocol is not icmpv6"),
    (ingress(protocol="icmp", ipVersion=6, icmp={"type": 8}), "spec.ingress[1].icmp", "for IPv6"),
    (ingress(source={"net": ""}), "spec.ingress[1].source.net", "is not a network: remove it"),
    (ingress(source={"notNets": [None]}), "spec.ingress[1].source.notNets[0]", "is not a network: remove it"),
    (ingress(source={"nets": ["10.0.0"]}), "spec.ingress[1].source.nets[0]", "such as 10.0.0.0/8"),
    (ingress(source={"net": "::ffff:10.0.0.0/90"}), "spec.ingress[1].source.net", "write it as IPv4 or as IPv6"),
    (ingress(source={"net": "::/0"}, ipVersion=4), "spec.ingress[1].source.net", "ipVersion 4"),
    (
        ingress(source={"net": "::/0"}, destination={"notNet": "10.0.0.1"}),
        "spec.ingress[1].destination.notNet",
        "with IPv6 networks",
    ),
    (
        ingress(source={"net": "::1"}, destination={"notNets": ["::2"]}),
        "spec.ingress[1].source.net",
        "is not allowed in a rule with notNets",
    ),
    (ingress(source={"tag": "a/b"}), "spec.ingress[1].source.tag", "is not a tag"),
    (ingress(destination={"notTag": "a b"}), "spec.ingress[1].destination.notTag", "is not a tag"),
    (ingress(destination={"notSelector": "a"}), "spec.ingress[1].destination.notSelector", "is not a selector"),
    (ingress(destination={"ports": [80]}), "spec.ingress[1].destination.ports", "is not allowed without a protocol"),
    (
        ingress(protocol="sctp", source={"notPorts": [80]}),
        "spec.ingress[1].source.notPorts",
        "is not allowed with the protocol 'sctp': set the rule's protocol to tcp or udp",
    ),
    (ingress(protocol="tcp", source={"ports": [1, "0:8"]}), "spec.ingress[1].source.ports[1]", "is not a port"),
]


@pytest.mark.parametrize(("spec", "place", "message"), PLACES)
def test_a_problem_names_its_place_and_what_is_expected(spec, place, message):
    ((option, _value, found),) = find_problems("policy", {}, spec)
    assert option == place
    assert message in found
    if "ingress" in spec:
        ((option, _value, found),) = find_problems("profile", {}, spec)
        assert (option, message in found) == (place, True)


ACCEPTED = [
    ingress(protocol=1, ipVersion=4, icmp={"type": 8}),
    ingress(protocol=58, source={"net": "fd00::/8"}, notICMP={"type": 128, "code": 0}),
    ingress(icmp={}),
    ingress(source={"nets": ["::ffff:10.0.0.0/104"]}, destination={"nets": ["10.0.0.1/8"]}),
    ingress(source={"notNet": "0.0.0.0/0", "net": None, "nets": []}),
    ingress(protocol=17, source={"notPorts": ["1:65535"]}),
]


@pytest.mark.parametrize("spec", ACCEPTED)
def test_an_unusual_rule_that_calico_accepts(spec):
    assert find_problems("policy", {}, spec) == find_problems("profile", {}, spec) == []


# Names that Calico accepts and the collection rejects: (name, why).
NAMES = [
    (".", "etcd reads it as a step of the path: calicoctl writes and deletes other objects"),
    ("..", "the same"),
    ("_a", "etcd lists no key that starts with _, so that Felix never sees it"),
]


@pytest.mark.parametrize("kind", ["policy", "profile"])
@pytest.mark.parametrize("name", ["", "a b", "a" * 129, "a%2fb", "a\n", *[name for name, _why in NAMES]])
def test_a_name_that_is_invalid_for_every_kind(kind, name):
    ((option, value, _rule),) = find_problems(kind, {"name": name}, {})
    assert (option, value) == ("metadata.name", name)


@pytest.mark.parametrize("name", ["a/..", "../a", "A_b.c/-", "knp.defaults", "a" * 128])
def test_an_unusual_name_that_calico_accepts(name):
    assert find_problems("policy", {"name": name}, {}) == find_problems("profile", {"name": name}, {}) == []


def test_the_names_of_kubernetes_policies_are_reserved():
    ((option, _value, rule_),) = find_problems("policy", {"name": "knp.default.a"}, {})
    assert (option, "Kubernetes" in rule_) == ("metadata.name", True)
    assert find_problems("profile", {"name": "knp.default.a"}, {}) == []


def test_labels_and_tags_have_a_place():
    problems = find_problems("profile", {"labels": {"a": "b c", "a b": ""}, "tags": ["a", "a/b"]}, {})
    assert [each[0] for each in problems] == ["metadata.labels[a]", "metadata.labels", "metadata.tags[1]"]
