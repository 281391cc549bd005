# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint, Port
from ansible_collections.netsec.calico.plugins.module_utils._resources.resource import changed_fields

ENDPOINT = HostEndpoint(
    name="eth0",
    node="myhost",
    labels={"b": "2", "a": "1"},
    interface_name="eth0",
    expected_ips=("2001:db8::1", "10.0.0.1"),
    profiles=("p1", "p2"),
)


@pytest.mark.parametrize(
    "other, fields",
    [
        ({"expected_ips": ("10.0.0.1", "2001:DB8:0::1", "10.0.0.1")}, []),
        ({"labels": {"a": "1", "b": "2"}}, []),
        ({"labels": {"a": "1"}}, ["labels"]),
        ({"profiles": ("p2", "p1")}, ["profiles"]),
        ({"expected_ips": ("10.0.0.1",)}, ["expected_ips"]),
        ({"interface_name": "", "profiles": ()}, ["interface_name", "profiles"]),
        ({"ports": (Port("http", "TCP", 80),)}, ["ports"]),
    ],
)
def test_addresses_are_a_set_profiles_a_list_and_labels_a_mapping(other, fields):
    assert changed_fields(ENDPOINT, ENDPOINT.patched(other) if "labels" not in other else _with(other)) == fields


def _with(fields):
    return HostEndpoint(**dict(vars(ENDPOINT), **fields))


def test_ports_are_a_set():
    ports = (Port("http", "TCP", 80), Port("dns", "UDP", 53))
    assert changed_fields(_with({"ports": ports}), _with({"ports": ports[::-1]})) == []


@pytest.mark.parametrize(
    "protocol, other, same",
    [
        # Felix ignores an endpoint with the number, so a stored one is written anew.
        ("TCP", "6", False),
        ("006", "6", True),
        ("132", "0132", True),
        ("TCP", "17", False),
        ("TCP", "tcp", False),
        ("TCP", "٦", False),
        ("0", "", False),
    ],
)
def test_the_number_of_a_protocol_is_another_one_than_its_name(protocol, other, same):
    one, two = (_with({"ports": (Port("http", each, 80),)}) for each in (protocol, other))
    assert (changed_fields(one, two) == []) == same
    assert two.as_options()["ports"][0]["protocol"] == other


@pytest.mark.parametrize("given, name", [("6", "TCP"), ("017", "UDP"), ("132", "SCTP"), ("TCP", "TCP"), ("1", "1")])
def test_in_v3_a_protocol_is_stored_by_its_name(given, name):
    (port,) = V3.as_stored(_with({"ports": (Port("http", given, 80),)})).ports
    assert port == Port("http", name, 80)


def test_an_address_that_is_none_is_compared_as_a_text():
    one, two = (_with({"expected_ips": ips}) for ips in (("bad", "::1", ""), ("", "0::1", "bad")))
    assert changed_fields(one, two) == []
    assert changed_fields(one, _with({"expected_ips": ("::1", "")})) == ["expected_ips"]


def test_against_nothing_the_fields_that_are_not_empty_have_changed():
    assert changed_fields(None, ENDPOINT) == ["labels", "interface_name", "expected_ips", "profiles"]
    assert changed_fields(HostEndpoint(name="eth0", node="n", interface_name="eth0"), None) == ["interface_name"]
    assert changed_fields(None, None) == []


def test_a_patch_merges_labels_and_replaces_all_else():
    patched = ENDPOINT.patched({"labels": {"a": None, "c": "3", "none": None}, "profiles": ("p3",)})
    assert patched.labels == {"b": "2", "c": "3"}
    assert patched.profiles == ("p3",)
    assert patched.expected_ips == ENDPOINT.expected_ips


def test_v1_gives_back_canonical_addresses_ipv4_first():
    endpoint = HostEndpoint(expected_ips=("FE80::33", "10.0.0.1", "fe80::00", "::ffff:10.0.0.0", "10.0.0.1"))
    assert V1.as_stored(endpoint).expected_ips == ("10.0.0.1", "10.0.0.0", "10.0.0.1", "fe80::33", "fe80::")
    assert V3.as_stored(endpoint) == endpoint


def test_an_address_that_is_none_stays_as_it_is_stored():
    endpoint = HostEndpoint(expected_ips=("", "::0", "bad"))
    assert V1.as_stored(endpoint).expected_ips == ("", "bad", "::")
    assert V3.as_stored(endpoint) == endpoint


def test_options_have_ports_where_the_generation_has_them():
    endpoint = _with({"ports": (Port("http", "TCP", 80),)})
    assert V3.as_options(endpoint)["ports"] == [{"name": "http", "protocol": "TCP", "port": 80}]
    assert "ports" not in V1.as_options(ENDPOINT)
