# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v1 import CODEC, decode, encode
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint

IDENTITY = HostEndpoint(name="eth0", node="myhost")


def test_the_sample_of_calicos_reference_page():
    endpoint = HostEndpoint(
        name="eth0",
        node="myhost",
        labels={"type": "production"},
        interface_name="eth0",
        expected_ips=("192.168.0.1", "192.168.0.2"),
        profiles=("profile1", "profile2"),
    )
    value = (
        '{"name":"eth0","expected_ipv4_addrs":["192.168.0.1","192.168.0.2"],"labels":{"type":"production"},'
        '"profile_ids":["profile1","profile2"]}'
    )
    assert encode(endpoint) == value
    assert decode(value, IDENTITY) == endpoint


def test_unknown_keys_are_kept_behind_calicos_own():
    value = '{ "x" : {"y":[1,2], "}":1} ,"Name":"old","ports":[],"big":1.00000000000000000001 ,"e":1e400}'
    stored = Stored("/key", 7, value, IDENTITY.node, IDENTITY.name, CODEC)
    assert encode(IDENTITY.patched({"interface_name": "eth0"}), stored) == (
        '{"name":"eth0","x" : {"y":[1,2], "}":1},"ports":[],"big":1.00000000000000000001,"e":1e400}'
    )


def test_an_unknown_number_that_python_would_not_read_is_kept():
    value = '{"name":"old","x":' + "9" * 5000 + "}"
    stored = Stored("/key", 7, value, IDENTITY.node, IDENTITY.name, CODEC)
    assert encode(IDENTITY.patched({"interface_name": "eth0"}), stored) == value.replace("old", "eth0")


@pytest.mark.parametrize("value", ["null", "{}", " { } ", '{"name":"old"}'])
def test_where_nothing_is_unknown_nothing_is_kept(value):
    stored = Stored("/key", 7, value, IDENTITY.node, IDENTITY.name, CODEC)
    assert encode(IDENTITY.patched({"interface_name": "eth0"}), stored) == '{"name":"eth0"}'


@pytest.mark.parametrize(
    "value, fields",
    [
        ("null", {}),
        ("{}", {}),
        ('{"Name":"eth0"}', {"interface_name": "eth0"}),
        ('{"name":null,"labels":null,"profile_ids":null}', {}),
        (
            '{"expected_ipv6_addrs":["10.0.0.1"],"expected_ipv4_addrs":["2001:DB8::1"]}',
            {"expected_ips": ("2001:db8::1", "10.0.0.1")},
        ),
        ('{"labels":{"a":null}}', {"labels": {"a": ""}}),
        ('{"profile_id":"legacy","x":1e400}', {}),
        ('{"expected_ipv6_addrs":["",null]}', {"expected_ips": ("", "")}),
        ('{"labels":{"a":"1","b":"1"},"Labels":{"b":"2"}}', {"labels": {"a": "1", "b": "2"}}),
        ('{"labels":{"a":"1"},"labels":{"b":"2"}}', {"labels": {"a": "1", "b": "2"}}),
        ('{"labels" :{"a" :"1"},"labels":{"b":"2"}}', {"labels": {"a": "1", "b": "2"}}),
        ('{"labels"\t:{"a"\n:"1"},"x\\":\\":":1,"labels":{"b":"2"}}', {"labels": {"a": "1", "b": "2"}}),
        ('{"name":"eth0","name":"eth1"}', {"interface_name": "eth1"}),
        (
            '{"name":"\\ud800","labels":{"\\udfff":"\\ud83d\\ude00"}}',
            {"interface_name": "\ufffd", "labels": {"\ufffd": "\U0001f600"}},
        ),
        ('{"name":"eth0","x":' + "[" * 99 + "]" * 99 + "}", {"interface_name": "eth0"}),
    ],
)
def test_what_calico_reads(value, fields):
    assert decode(value, IDENTITY) == IDENTITY.patched(fields)


@pytest.mark.parametrize(
    "value, reason",
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"name":"eth0"} x', "not JSON"),
        ('{"name":NaN}', "not JSON"),
        ("[]", "not a JSON object"),
        ("true", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ('{"name":5}', "name is not a string: 5"),
        ('{"labels":{"a":5}}', "labels[a] is not a string: 5"),
        ('{"labels":[]}', "labels is not a mapping"),
        ('{"profile_ids":"p"}', "profile_ids is not a list: 'p'"),
        ('{"expected_ipv4_addrs":["10.0.0.1/32"]}', "expected_ipv4_addrs: '10.0.0.1/32' is not an IP address"),
        ("[" * 100000, "nested too deeply"),
    ],
)
def test_what_calico_cannot_read(value, reason):
    with pytest.raises(ValueError) as error:
        decode(value, IDENTITY)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "value",
    ['{"x":' + "[" * 500 + "]" * 500 + "}", '{"expected_ipv4_addr\u017f":[]}', "[" * 101],
    ids=["deep", "s", "["],
)
def test_what_calico_may_read_otherwise_is_uncertain(value):
    stored = Stored("/key", 7, value, IDENTITY.node, IDENTITY.name, CODEC)
    assert stored.error and not stored.is_certain
    assert stored.meaning.startswith("it is unknown whether Calico can read it")
