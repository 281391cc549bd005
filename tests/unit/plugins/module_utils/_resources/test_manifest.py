# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint, Port
from ansible_collections.netsec.calico.plugins.module_utils._resources.manifest import (
    parse_manifest,
)

V1_RESOURCE = {
    "apiVersion": "v1",
    "kind": "hostEndpoint",
    "metadata": {"name": "eth0", "node": "myhost", "labels": {"type": "production"}},
    "spec": {"interfaceName": "eth0", "expectedIPs": ["192.168.0.1", "192.168.0.2"], "profiles": ["profile1"]},
}
V3_RESOURCE = {
    "apiVersion": "projectcalico.org/v3",
    "kind": "HostEndpoint",
    "metadata": {"name": "eth0", "labels": {"type": "production"}},
    "spec": {
        "node": "myhost",
        "interfaceName": "eth0",
        "expectedIPs": ["192.168.0.1", "192.168.0.2"],
        "profiles": ["profile1"],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
    },
}
ENDPOINT = HostEndpoint(
    name="eth0",
    node="myhost",
    labels={"type": "production"},
    interface_name="eth0",
    expected_ips=("192.168.0.1", "192.168.0.2"),
    profiles=("profile1",),
)
PORTS = (Port("http", "TCP", 80),)


def test_v1_in_and_out():
    assert HostEndpoint(**parse_manifest(V1_RESOURCE)) == ENDPOINT
    assert V1.build_manifest(ENDPOINT) == V1_RESOURCE


def test_v3_in_and_out():
    endpoint = HostEndpoint(**parse_manifest(V3_RESOURCE))
    assert endpoint == HostEndpoint(**dict(vars(ENDPOINT), ports=PORTS))
    assert V3.build_manifest(endpoint) == V3_RESOURCE


def test_empty_fields_are_left_out_but_the_sections_stay():
    assert V1.build_manifest(HostEndpoint(name="a", node="n", interface_name="eth0")) == {
        "apiVersion": "v1",
        "kind": "hostEndpoint",
        "metadata": {"name": "a", "node": "n"},
        "spec": {"interfaceName": "eth0"},
    }


def test_v1_has_no_place_for_ports():
    with pytest.raises(InvalidInput, match="ports cannot be written as v1"):
        V1.build_manifest(HostEndpoint(name="a", node="n", ports=PORTS))


def test_annotations_are_in_v3_only():
    endpoint = HostEndpoint(name="a", node="n", interface_name="eth0", annotations={"b": "1", "a": "2"})
    resource = V3.build_manifest(endpoint)
    assert resource["metadata"] == {"name": "a", "annotations": {"a": "2", "b": "1"}}
    assert HostEndpoint(**parse_manifest(resource)) == HostEndpoint(**dict(vars(endpoint), labels={}))
    with pytest.raises(InvalidInput, match="annotations cannot be written as v1"):
        V1.build_manifest(endpoint)


def test_only_given_fields_are_given():
    resource = {"apiVersion": "v1", "kind": "hostEndpoint", "metadata": {"name": "a", "labels": None}, "spec": None}
    assert parse_manifest(resource) == {"name": "a"}


def test_what_the_api_sets_is_ignored():
    metadata = dict(V3_RESOURCE["metadata"], uid="1", creationTimestamp="2026-01-01T00:00:00Z", resourceVersion="7")
    assert parse_manifest(dict(V3_RESOURCE, metadata=metadata)) == parse_manifest(V3_RESOURCE)


def test_scalars_become_text_as_with_calicoctl():
    resource = dict(V1_RESOURCE, metadata={"name": 1, "node": True, "labels": {"a": 1, "b": True, "c": None, "d": 1.5}})
    fields = parse_manifest(resource)
    assert (fields["name"], fields["node"]) == ("1", "true")
    assert fields["labels"] == {"a": "1", "b": "true", "c": None, "d": "1.5"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"extra": 1}, "resource: extra is unknown: Calico has no such key"),
        ({"labels": {}}, "resource: labels is unknown: did you mean metadata.labels?"),
        ({"spec": {"node": "x"}}, "resource: spec.node is unknown: did you mean metadata.node?"),
        ({"spec": {"interface": "eth0"}}, "resource: spec.interface is unknown: did you mean spec.interfaceName?"),
        ({"spec": {"interfacenames": "eth0"}}, "did you mean spec.interfaceName?"),
        ({"spec": {"hostname": "x"}}, "resource: spec.hostname is unknown: did you mean metadata.node?"),
        ({"metadata": {"hostname": "x"}}, "resource: metadata.hostname is unknown: did you mean metadata.node?"),
        (
            {"metadata": {"name": "x", "Name": "x"}},
            "resource: metadata.Name is metadata.name in another case, which is also given",
        ),
        ({"SPEC": {}}, "resource: SPEC is spec in another case, which is also given; keep one of the two"),
        ({"node": "x", **dict.fromkeys("abcdefghijkl")}, "resource: node is unknown: did you mean metadata.node?"),
        (
            {"apiVersion": "crd.projectcalico.org/v1", "kind": "HostEndpoint"},
            "is the form in which Kubernetes stores Calico's resources: did you mean apiVersion: projectcalico.org/v3?",
        ),
        (
            {"kind": "HostEndpoint"},
            "apiVersion 'v1' with kind 'HostEndpoint' is not a host endpoint; use apiVersion: v1",
        ),
        ({"apiVersion": None}, "apiVersion None"),
        ({"spec": []}, "resource: spec: [] is not a mapping"),
        ({"spec": {"expectedIPs": "1.2.3.4"}}, "resource: spec.expectedIPs: '1.2.3.4' is not a list"),
        ({"spec": {"expectedIPs": [1]}}, "resource: spec.expectedIPs[0]: 1 is not a string"),
        ({"spec": {"profiles": [{}]}}, "profiles[0]: {} is not a string"),
        ({"metadata": {"labels": ["a"]}}, "labels: ['a'] is not a mapping"),
        (
            {"metadata": {"labels": {"a": 2.0}}},
            "labels[a]: 2.0 is a YAML number that does not keep its spelling; quote it",
        ),
        ({"metadata": {"labels": {"a": {}}}}, "labels[a]: {} is not a string"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(InvalidInput) as error:
        parse_manifest(dict(V1_RESOURCE, **change))
    assert message in str(error.value)


@pytest.mark.parametrize("resource", [V1_RESOURCE, V3_RESOURCE])
def test_keys_are_read_whatever_their_case(resource):
    def shouted(item):
        return {key.upper(): value for key, value in item.items()}

    loud = shouted(dict(resource, metadata=shouted(resource["metadata"]), spec=shouted(resource["spec"])))
    if "PORTS" in loud["SPEC"]:
        loud["SPEC"]["PORTS"] = list(map(shouted, loud["SPEC"]["PORTS"]))
    assert parse_manifest(loud) == parse_manifest(resource)


def test_a_whole_number_may_be_written_with_a_point():
    port = {"name": "http", "protocol": 6.0, "port": 80.0}
    assert parse_manifest(dict(V3_RESOURCE, spec={"ports": [port]}))["ports"] == (Port("http", "6", 80),)


@pytest.mark.parametrize(
    "port, message",
    [
        ({"name": "http", "protocol": "TCP", "port": 80.5}, "ports[0].port: 80.5 is not a number"),
        ({"name": "http", "protocol": "TCP", "port": float("inf")}, "ports[0].port: inf is not a number"),
        ({"name": "http", "protocol": "TCP", "port": 1e300}, "ports[0].port: 1e+300 is not a number"),
        ({"name": "http", "protocol": "TCP", "port": True}, "ports[0].port: True is not a number"),
        ({"name": "http", "protocol": "TCP", "port": 80, "Port": 80}, "must have exactly name, protocol and port"),
        ({"name": "http", "protocol": "TCP", "port": 80, 5: 80}, "must have exactly name, protocol and port"),
        ({"name": "http", "protocol": "TCP"}, "must have exactly name, protocol and port"),
        ({"name": "http", "protocol": "TCP", "port": "80"}, "ports[0].port: '80' is not a number"),
        ("http", "ports[0]: 'http' is not a valid port"),
    ],
)
def test_what_is_no_port_is_named(port, message):
    with pytest.raises(InvalidInput) as error:
        parse_manifest(dict(V3_RESOURCE, spec={"ports": [port]}))
    assert message in str(error.value)


DATES = [
    (datetime.date(2024, 5, 1), "2024-05-01"),
    (datetime.datetime(2024, 5, 1, 10), "2024-05-01T10:00:00"),
    (datetime.datetime(2024, 5, 1, 10, tzinfo=datetime.timezone.utc), "2024-05-01T10:00:00Z"),
    (
        datetime.datetime(2024, 5, 1, 10, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        "2024-05-01T10:00:00+02:00",
    ),
]


@pytest.mark.parametrize("value, text", DATES)
def test_a_date_that_somebody_has_read_is_a_text(value, text):
    labels = parse_manifest(dict(V1_RESOURCE, metadata={"labels": {"a": value, value: "b"}}))["labels"]
    assert labels == {"a": text, text: "b"}


@pytest.mark.parametrize("first, second", [(1, "1"), (True, "true"), (datetime.date(2024, 5, 1), "2024-05-01")])
def test_a_label_that_is_given_in_two_types_is_given_twice(first, second):
    with pytest.raises(InvalidInput, match="labels: {0} is given twice".format(second)):
        parse_manifest(dict(V1_RESOURCE, metadata={"labels": {first: "a", second: "b"}}))


def test_what_ansible_has_masked_is_never_stored():
    with pytest.raises(InvalidInput, match="was masked by Ansible because it contains a password"):
        parse_manifest(dict(V1_RESOURCE, spec={"profiles": ["VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"]}))
