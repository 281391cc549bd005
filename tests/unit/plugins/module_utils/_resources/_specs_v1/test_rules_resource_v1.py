# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests of Calico v1, and which policies and profiles are equal."""

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs_v1.rules_resource_v1 import (
    PolicyV1,
    ProfileV1,
    read_manifest_v1,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import Ref, changed_fields, count_kinds


def manifest(kind, spec, **metadata):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "n", **metadata}, "spec": spec}


def make(kind, spec, **metadata):
    return read_manifest_v1(manifest(kind, spec, **metadata))


def rule(**fields):
    return {"ingress": [dict(fields, action="allow")]}


EQUAL = [
    ("policy", {}, {"types": ["ingress"], "selector": "", "order": None, "doNotTrack": False}),
    ("policy", {"egress": [{"action": "deny"}]}, {"egress": [{"action": "deny"}], "types": ["egress"]}),
    ("policy", rule(), rule(source={}, destination={"nets": []}, icmp={}, protocol=None)),
    ("policy", rule(protocol="06"), rule(protocol=6.0)),
    ("policy", rule(source={"ports": ["80:80", "080", 80.0]}), rule(SOURCE={"Ports": [80, 80, "80"]})),
    ("policy", rule(source={"net": "10.0.0.1"}), rule(source={"nets": ["10.0.0.1/32"]})),
    ("policy", rule(source={"notNet": "FD00::0/8"}), rule(source={"notNets": ["fd00::/8"]})),
    ("policy", rule(destination={"nets": ["10.0.0.1/8"]}), rule(destination={"nets": ["10.0.0.0/8"]})),
    ("policy", rule(source={"net": "::ffff:10.0.0.1/104"}), rule(source={"net": "10.0.0.1/8"})),
    ("profile", {"ingress": [], "egress": None}, None),
]
DIFFERENT = [
    ("policy", {}, {"order": 0}, ["spec.order"]),
    ("policy", {}, {"types": ["ingress", "egress"]}, ["spec.types"]),
    ("policy", rule(protocol=6), rule(protocol="tcp"), ["spec.ingress"]),
    ("policy", rule(icmp={"type": 0}), rule(), ["spec.ingress"]),
    ("policy", rule(source={"net": "10.0.0.1/8"}), rule(source={"net": "10.0.0.0/8"}), ["spec.ingress"]),
    ("policy", rule(source={"nets": ["::1", "::2"]}), rule(source={"nets": ["::2", "::1"]}), ["spec.ingress"]),
    ("profile", rule(), {}, ["spec.ingress"]),
]


@pytest.mark.parametrize("kind, one, other", EQUAL)
def test_equal_specs(kind, one, other):
    assert changed_fields(make(kind, one), make(kind, other)) == []
    assert make(kind, one).canonical() == make(kind, other).canonical()
    assert make(kind, one).as_stored().canonical() == make(kind, one).canonical()


@pytest.mark.parametrize("kind, one, other, differing", DIFFERENT)
def test_different_specs(kind, one, other, differing):
    assert changed_fields(make(kind, one), make(kind, other)) == differing
    assert changed_fields(make(kind, other), make(kind, one)) == differing


def test_tags_and_labels_are_compared():
    one = make("profile", {}, tags=["a", "b"], labels={"x": "1"})
    assert changed_fields(one, make("profile", {}, tags=["b", "a"], labels={"x": "2"})) == ["tags", "labels"]
    assert changed_fields(None, one) == ["tags", "labels"]
    assert str(one) == "profile n"


def test_resources_are_counted_in_words():
    refs = [Ref("policy", "a"), Ref("policy", "b"), Ref("profile", "c"), Ref("GlobalNetworkPolicy", "d")]
    assert count_kinds(refs) == "2 policies and 1 profile and 1 global network policy"


def test_what_is_stored_has_calicos_forms():
    given = rule(source={"net": "10.0.0.1/8", "notNet": ""}, destination={"net": "10.0.0.1/8", "nets": []})
    (stored,) = make("policy", given).as_stored().spec["ingress"]
    assert stored == {"action": "allow", "source": {"net": "10.0.0.1/8"}, "destination": {"net": "10.0.0.0/8"}}
    # It is reported as invalid elsewhere.
    (stored,) = make("policy", rule(source={"net": "x"})).as_stored().spec["ingress"]
    assert stored["source"] == {"net": "x"}


def test_scalars_become_strings():
    policy = make("policy", {"selector": True}, name=0, annotations={"a": 1, "b": None})
    assert policy == PolicyV1(name="0", annotations={"a": "1", "b": ""}, spec={"selector": "true"})
    profile = make("profile", {}, tags=[True, 8], labels={1: True})
    assert profile == ProfileV1(name="n", tags=("true", "8"), labels={"1": "true"})
    assert profile.ref == Ref("profile", "n")


def test_a_manifest_is_plain_data():
    spec = {"order": 100.0, **rule(protocol="6", source={"net": "::1"}, destination={"ports": ["1:2", "80"]})}
    assert make("policy", spec, annotations={"a": "b"}).as_manifest() == {
        "apiVersion": "v1",
        "kind": "policy",
        "metadata": {"name": "n", "annotations": {"a": "b"}},
        "spec": {
            "order": 100,
            "ingress": [
                {
                    "action": "allow",
                    "protocol": 6,
                    "source": {"nets": ["::1"]},
                    "destination": {"ports": ["1:2", 80]},
                }
            ],
        },
    }
    found = make("profile", {}, tags=["t"], labels={"b": "1", "a": "2"}).as_manifest()
    assert found["metadata"] == {"name": "n", "tags": ["t"], "labels": {"a": "2", "b": "1"}}
    assert found["spec"] == {}


@pytest.mark.parametrize(
    "document, problems",
    [
        (manifest("Policy", {}), ["kind 'Policy' is not a policy or a profile of Calico v1; use apiVersion: v1 with"]),
        (manifest(["policy"], {}), ["kind ['policy'] is not a policy"]),
        (dict(manifest("policy", {}), apiVersion="projectcalico.org/v3"), ["apiVersion 'projectcalico.org/v3' with"]),
        (manifest("policy", {}, labels={}), ["metadata.labels is unknown: Calico has no such key here; remove it"]),
        (manifest("profile", {}, tag=["a"]), ["metadata.tag is unknown: did you mean tags?"]),
        (dict(manifest("policy", {}), sepc={}), ["sepc is unknown: did you mean spec?"]),
        (manifest("policy", []), ["spec: [] is not a mapping"]),
        (manifest("policy", {"order": "5"}), ['spec.order is not a number: "5"']),
        (manifest("policy", {"doNotTrack": "yes"}), ['spec.doNotTrack is not true or false: "yes"']),
        (
            manifest("policy", rule(ipVersion="4", source={"Net": 5, "ports": ["http", "9:1"]}, logPrefix="x")),
            [
                'spec.ingress[0].ipVersion is not a whole number from -9223372036854775808 to 9223372036854775807: "4"',
                "spec.ingress[0].source.net is not a string: 5",
                "spec.ingress[0].source.ports[0] is not a port: 'http'; Calico v1 has no named ports",
                "spec.ingress[0].source.ports[1] is not a valid port range: '9:1'",
                "spec.ingress[0].logPrefix is unknown: Calico has no such key here; remove it",
            ],
        ),
        (manifest("profile", {"labelsToApply": {}}), ["spec.labelsToApply is unknown: Calico has no such key here"]),
    ],
)
def test_an_invalid_manifest_has_a_reason(document, problems):
    with pytest.raises(InvalidInput) as error:
        read_manifest_v1(document)
    assert len(error.value.problems) == len(problems)
    for problem in problems:
        assert any(problem in found for found in error.value.problems), error.value.problems
