# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Specs of users, and which specs are equal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io
from ansible_collections.netsec.calico.plugins.module_utils._core.go_types import real_number
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.read_spec import InvalidSpec, read_spec
from ansible_collections.netsec.calico.plugins.module_utils._resources._specs.spec_resource import (
    TYPES,
    GlobalNetworkPolicy,
    GlobalNetworkSet,
    ProfileResource,
    StagedGlobalNetworkPolicy,
    TierResource,
)
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import changed_fields

VECTORS = Path(__file__).resolve().parents[5] / "vectors"


def refused():
    for kind in TYPES:
        for line in (VECTORS / "v3_{0}.jsonl".format(kind.lower())).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if not row["valid"] and not row["error"].startswith(("unknown resource", "namespace should")):
                yield pytest.param(kind, row, id=row["id"])


# Calico decodes a key that is given in two cases, and refuses these documents for another reason.
STRICTER = ("gnp-658", "gnp-659")


@pytest.mark.parametrize("kind, row", list(refused()))
def test_what_calico_cannot_decode_is_invalid(kind, row):
    try:
        document = row["doc"] if "doc" in row else yaml_io.first(row["text"])
        read_spec(kind, document.get("spec"))
    except (InvalidSpec, yaml_io.NotYaml) as exc:
        assert row["stage"] == "decode" or row["id"] in STRICTER, exc
    else:
        assert row["stage"] != "decode"


def make(kind, spec, **more):
    return TYPES[kind](name="n", spec=read_spec(kind, spec), **more)


def rule(**more):
    return {"ingress": [dict(more, action="Allow")]}


EQUAL = [
    ("GlobalNetworkPolicy", {}, {"tier": "default", "types": ["Ingress"]}),
    ("GlobalNetworkPolicy", {"egress": [{"action": "Deny"}]}, {"egress": [{"action": "Deny"}], "types": ["Egress"]}),
    ("GlobalNetworkPolicy", {"doNotTrack": False, "types": [], "order": None, "selector": ""}, None),
    ("GlobalNetworkPolicy", rule(), rule(source={}, destination={"nets": []}, protocol=None)),
    ("GlobalNetworkPolicy", rule(protocol="06"), rule(protocol=6.0)),
    ("GlobalNetworkPolicy", rule(source={"ports": ["80:80", "080", 80.0]}), rule(Source={"PORTS": [80, 80, "80"]})),
    ("GlobalNetworkPolicy", {"order": -0.0}, {"order": 0}),
    ("StagedGlobalNetworkPolicy", {}, {"stagedAction": "Set", "types": ["Ingress"]}),
    ("StagedGlobalNetworkPolicy", {"stagedAction": "Delete"}, {"stagedAction": "Delete", "types": ["Egress"]}),
    ("Tier", {}, {"order": 1e6, "defaultAction": "Deny"}),
    ("Profile", {"ingress": [], "labelsToApply": {}}, {}),
    ("Profile", {"labelsToApply": {"a": 8, "b": None}}, {"labelsToApply": {"b": "", "a": "8"}}),
    ("GlobalNetworkSet", {"nets": None}, {}),
    ("FelixConfiguration", {}, {"floatingIPs": "Disabled", "nftablesMode": "Auto", "bpfLogLevel": ""}),
    ("FelixConfiguration", {"reportingInterval": "90s"}, {"reportingInterval": "1m30s"}),
    (
        "FelixConfiguration",
        {"bpfConnectTimeLoadBalancingEnabled": True, "bpfConnectTimeLoadBalancing": "TCP"},
        {
            "bpfConnectTimeLoadBalancingEnabled": True,
            "bpfConnectTimeLoadBalancing": "Enabled",
            "bpfHostNetworkedNATWithoutCTLB": "Disabled",
        },
    ),
    ("FelixConfiguration", {"failsafeInboundHostPorts": None, "healthTimeoutOverrides": []}, {}),
    ("FelixConfiguration", {"failsafeInboundHostPorts": [{}]}, {"failsafeInboundHostPorts": [{"port": 0, "net": ""}]}),
    (
        "FelixConfiguration",
        {"healthTimeoutOverrides": [{"name": "x"}]},
        {"healthTimeoutOverrides": [{"name": "x", "timeout": "0"}]},
    ),
    ("FelixConfiguration", {"kubeNodePortRanges": ["80"]}, {"kubeNodePortRanges": [80]}),
    ("FelixConfiguration", {"istioDSCPMark": "010"}, {"istioDSCPMark": 10}),
    ("Node", {"bgp": {"asNumber": "1.10"}}, {"bgp": {"asNumber": 65546.0}}),
    ("Node", {"orchRefs": [{"nodeName": "n"}]}, {"orchRefs": [{"nodeName": "n", "orchestrator": ""}], "addresses": []}),
]
DIFFERENT = [
    ("GlobalNetworkPolicy", {}, {"tier": "sec"}, ["spec.tier"]),
    ("GlobalNetworkPolicy", {}, {"order": 0}, ["spec.order"]),
    ("GlobalNetworkPolicy", {}, {"types": ["Ingress", "Egress"]}, ["spec.types"]),
    ("GlobalNetworkPolicy", {}, {"egress": [{"action": "Deny"}]}, ["spec.egress", "spec.types"]),
    ("GlobalNetworkPolicy", rule(protocol=6), rule(protocol="TCP"), ["spec.ingress"]),
    ("GlobalNetworkPolicy", rule(icmp={"type": 0}), rule(icmp={}), ["spec.ingress"]),
    ("GlobalNetworkPolicy", rule(icmp={}), rule(), ["spec.ingress"]),
    ("GlobalNetworkPolicy", {"selector": "a=='b'"}, {"selector": "a == 'b'"}, ["spec.selector"]),
    ("GlobalNetworkSet", {"nets": ["::1", "::2"]}, {"nets": ["::2", "::1"]}, ["spec.nets"]),
    ("Tier", {"order": 5}, {"defaultAction": "Pass"}, ["spec.defaultAction", "spec.order"]),
    ("Profile", {"labelsToApply": {"a": "b"}}, {}, ["spec.labelsToApply"]),
    ("FelixConfiguration", {"failsafeInboundHostPorts": []}, {}, ["spec.failsafeInboundHostPorts"]),
    ("FelixConfiguration", {"kubeNodePortRanges": []}, {}, ["spec.kubeNodePortRanges"]),
    ("FelixConfiguration", {"bpfLogFilters": {}}, {}, ["spec.bpfLogFilters"]),
    ("FelixConfiguration", {"ipv6Support": False}, {}, ["spec.ipv6Support"]),
    ("FelixConfiguration", {"healthHost": ""}, {}, ["spec.healthHost"]),
    ("FelixConfiguration", {"nftablesMode": "Disabled"}, {}, ["spec.nftablesMode"]),
    ("FelixConfiguration", {"reportingInterval": "0"}, {}, ["spec.reportingInterval"]),
    (
        "FelixConfiguration",
        {"failsafeInboundHostPorts": [{"protocol": "tcp", "port": 22}]},
        {"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22}]},
        ["spec.failsafeInboundHostPorts"],
    ),
    ("Node", {"bgp": {"asNumber": 0}}, {"bgp": {}}, ["spec.bgp"]),
    ("Node", {"wireguard": {}}, {}, ["spec.wireguard"]),
]


@pytest.mark.parametrize("kind, one, other", EQUAL)
def test_equal_specs(kind, one, other):
    assert changed_fields(make(kind, one), make(kind, other)) == []
    assert make(kind, one).canonical() == make(kind, other).canonical()
    assert make(kind, one).as_stored().canonical() == make(kind, one).canonical()


@pytest.mark.parametrize("kind, one, other, differing", DIFFERENT)
def test_different_specs(kind, one, other, differing):
    assert sorted(changed_fields(make(kind, one), make(kind, other))) == differing
    assert sorted(changed_fields(make(kind, other), make(kind, one))) == differing


def test_calicos_own_label_and_annotation_are_not_compared():
    own = {"labels": {"projectcalico.org/tier": "x"}, "annotations": {"projectcalico.org/metadata": "{}"}}
    assert changed_fields(make("GlobalNetworkPolicy", {}, **own), make("GlobalNetworkPolicy", {})) == []
    assert changed_fields(make("Tier", {}, **own), make("Tier", {})) == ["labels", "annotations"]
    assert make("GlobalNetworkPolicy", {}, **own).as_stored() == GlobalNetworkPolicy(
        name="n",
        labels={"projectcalico.org/tier": "default"},
        annotations={"projectcalico.org/metadata": '{"name":"n"}'},
        spec={"tier": "default", "types": ["Ingress"]},
    )


def test_a_new_resource_differs_in_all_fields_that_it_has():
    spec = {"nets": ["::/0"]}
    assert changed_fields(None, make("GlobalNetworkSet", spec, labels={"a": "b"})) == ["labels", "spec.nets"]
    assert changed_fields(make("GlobalNetworkSet", spec), None) == ["spec.nets"]
    assert changed_fields(None, GlobalNetworkSet(name="n")) == []


def test_what_is_stored_has_the_defaults():
    assert make("Profile", rule(protocol=6)).as_stored() == ProfileResource(
        name="n", spec={"ingress": [{"action": "Allow", "protocol": "6", "source": {}, "destination": {}}]}
    )
    assert make("Tier", {"order": 5}).as_stored() == TierResource(
        name="n", spec={"order": 5.0, "defaultAction": "Deny"}
    )
    staged = make("StagedGlobalNetworkPolicy", {"stagedAction": "Delete", "tier": "sec"}).as_stored()
    assert isinstance(staged, StagedGlobalNetworkPolicy)
    assert staged.spec == {"stagedAction": "Delete", "tier": "sec"}


def test_settings_of_felix_that_are_always_stored():
    """As `calicoctl get` shows them."""
    spec = {"failsafeInboundHostPorts": [{"protocol": "tcp"}], "natPortRange": "80:90", "reportingInterval": "90s"}
    declared = make("FelixConfiguration", spec)
    shown = {
        "reportingInterval": "1m30s",
        "failsafeInboundHostPorts": [{"protocol": "tcp", "port": 0}],
        "natPortRange": "80:90",
        "bpfLogLevel": "",
    }
    assert declared.as_options()["spec"] == shown
    assert set(declared.as_stored().spec) - set(shown) == {
        "floatingIPs",
        "nftablesMode",
        "bpfConnectTimeLoadBalancing",
        "bpfHostNetworkedNATWithoutCTLB",
    }


def test_options_are_plain_data():
    spec = {"order": 100.0, **rule(protocol="6", destination={"ports": ["1:2", "80", "http"]})}
    assert make("GlobalNetworkPolicy", spec).as_options() == {
        "name": "n",
        "labels": {},
        "spec": {
            "order": 100,
            "ingress": [{"action": "Allow", "protocol": 6, "destination": {"ports": ["1:2", 80, "http"]}}],
        },
    }


_NO_AS_NUMBER = "spec.bgp.asNumber is not a valid AS number, such as 64512 or 1.10: {0}"


@pytest.mark.parametrize(
    "kind, spec, problems",
    [
        ("Tier", [], ["spec: [] is not a mapping"]),
        ("Tier", {"ordr": 1}, ["spec.ordr is unknown: did you mean order?"]),
        ("Tier", {"zzz": 1}, ["spec.zzz is unknown: Calico has no such key here; remove it"]),
        ("Tier", {1: 1}, ["spec.1 is unknown: Calico has no such key here; remove it"]),
        (
            "Tier",
            {"order": 1, "Order": 2},
            ["spec.Order is order in another case, which is also given; keep one of the two"],
        ),
        ("Tier", {"order": "1"}, ['spec.order is not a number: "1"']),
        ("Tier", {"order": float("inf")}, ["spec.order: inf is not a valid value here"]),
        ("Tier", {"order": [1]}, ["spec.order: [1] is not a valid value here"]),
        ("Tier", {"defaultAction": {}}, ["spec.defaultAction: {} is not a string"]),
        ("GlobalNetworkPolicy", {"ingress": {}}, ["spec.ingress: {} is not a list"]),
        ("GlobalNetworkPolicy", {"ingress": ["x"]}, ["spec.ingress[0]: 'x' is not a mapping"]),
        (
            "GlobalNetworkPolicy",
            rule(nets=["::/0"], source={"net": "::/0", "ports": [1, 70000]}, destination={"ports": ["9:1", True]}),
            [
                "spec.ingress[0].nets is unknown: did you mean source.nets or destination.nets?",
                "spec.ingress[0].source.net is unknown: did you mean nets?",
                "spec.ingress[0].source.ports[1] is not a whole number from 0 to 65535: 70000",
                "spec.ingress[0].destination.ports[0] is not a valid port range: '9:1'",
                "spec.ingress[0].destination.ports[1] is not a whole number from 0 to 65535: true",
            ],
        ),
        ("GlobalNetworkPolicy", {"doNotTrack": "true"}, ['spec.doNotTrack is not true or false: "true"']),
        (
            "FelixConfiguration",
            {"ipv6support": 1, "failsafeInboundHostPorts": [{"port": -1, "nets": []}], "reportingInterval": 30},
            [
                "spec.ipv6Support is not true or false: 1",
                "spec.failsafeInboundHostPorts[0].port is not a whole number from 0 to 65535: -1",
                "spec.failsafeInboundHostPorts[0].nets is unknown: did you mean net?",
                "spec.reportingInterval is not a valid duration: 30; use a form such as 90s or 1m30s",
            ],
        ),
        ("Node", {"bgp": {"asNumber": "1.65536"}}, [_NO_AS_NUMBER.format("'1.65536'")]),
        ("Node", {"bgp": {"asNumber": "-1"}}, [_NO_AS_NUMBER.format("'-1'")]),
        ("Node", {"bgp": {"asNumber": "1."}}, [_NO_AS_NUMBER.format("'1.'")]),
        ("Node", {"bgp": {"asNumber": 1.1}}, ["spec.bgp.asNumber is not a whole number from 0 to 4294967295: 1.1"]),
        ("Profile", {"labelsToApply": {"a": [1]}}, ["spec.labelsToApply[a]: [1] is not a string"]),
        ("Profile", {"labelsToApply": []}, ["spec.labelsToApply: [] is not a mapping of keys to strings"]),
    ],
)
def test_an_invalid_spec_has_a_reason(kind, spec, problems):
    with pytest.raises(InvalidSpec) as error:
        read_spec(kind, spec)
    assert sorted(error.value.problems) == sorted(problems)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    "number, written",
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (100.0, "100"),
        (0.5, "0.5"),
        (1e-06, "0.000001"),
        (1e-07, "1e-07"),
        (1e16, "10000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
    ],
)
def test_numbers_are_written_as_go_writes_them(number, written):
    assert real_number(number).digits == written
