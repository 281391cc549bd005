# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there already is not written again, however it is spelled; and what is not ours survives."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.integration.tasks import HOSTS, KEY, READY, hostendpoint, info

TASK = {
    "interface_name": "eth0",
    "expected_ips": ["192.168.0.1", "192.168.0.2", "2001:db8::1"],
    "labels": {"site": "a", "type": "production"},
    "profiles": ["p1", "p2"],
}
VALUE = (
    '{"name":"eth0","expected_ipv4_addrs":["192.168.0.1","192.168.0.2"],"expected_ipv6_addrs":["2001:db8::1"],'
    '"labels":{"site":"a","type":"production"},"profile_ids":["p1","p2"]}'
)


def spelled(**other):
    return json.dumps(dict(json.loads(VALUE), **other))


# The same endpoint, as people, other tools and other versions may have written it.
SPELLINGS = {
    "spaces": spelled(),
    "other key order": json.dumps(dict(reversed(list(json.loads(VALUE).items())))),
    "other label order": spelled(labels={"type": "production", "site": "a"}),
    "other address spelling": spelled(expected_ipv6_addrs=["2001:0DB8:0:0:0::1"]),
    "other address order": spelled(expected_ipv4_addrs=["192.168.0.2", "192.168.0.1"]),
    "duplicate addresses": spelled(expected_ipv6_addrs=["2001:db8::1", "2001:db8:0::1", "2001:db8::1"]),
    "IPv4-mapped addresses": spelled(
        expected_ipv4_addrs=["192.168.0.1"], expected_ipv6_addrs=["::ffff:c0a8:2", "2001:db8::1", "::FFFF:192.168.0.1"]
    ),
    "families swapped": VALUE.replace("ipv4", "ipvX").replace("ipv6", "ipv4").replace("ipvX", "ipv6"),
    "other key case": VALUE.replace("name", "Name").replace("labels", "LABELS").replace("_ids", "_IDs"),
    "unknown keys": spelled(x=1, ports=[{"name": "ssh"}], profile_id="p0"),
    "escaped text": VALUE.replace("eth0", "\\u0065th0").replace("production", "produc\\u0074ion"),
}
# Two endpoints with little in them.
SPARSE = {
    "empty": '{"name":"eth0","expected_ipv4_addrs":[],"expected_ipv6_addrs":[],"labels":{},"profile_ids":[]}',
    "null": '{"name":"eth0","expected_ipv4_addrs":null,"expected_ipv6_addrs":null,"labels":null,"profile_ids":null}',
    "null label": '{"name":"eth0","labels":{"a":null}}',
}


@pytest.fixture(autouse=True)
def calico(etcd):
    etcd.put(READY, "true")


def assert_nothing_happens(etcd, wire, **options):
    """Nothing but reads on the wire, in check mode and in earnest."""
    before = etcd.node(KEY)
    wire.clear()
    for check in (True, False):
        result = hostendpoint(wire, check=check, **options)
        assert not result["failed"], result["msg"]
        assert (result["changed"], result["operation"], result["fields"]) == (False, "none", [])
        assert result["diff"]["before"] == result["diff"]["after"]
    assert wire.requests and {request.method for request in wire.requests} == {"GET"}
    assert etcd.node(KEY) == before
    return result


# The same task twice

WAYS = {
    "create": (None, TASK),
    "update": ('{"name":"eth1"}', TASK),
    "patch": ('{"name":"eth1","profile_ids":["p0"]}', {"state": "patched", "labels": {"a": "1", "gone": None}}),
    "delete": (VALUE, {"state": "absent"}),
    "replace a malformed value": ("[]", TASK),
    "create by an address only": (None, {"expected_ips": ["::ffff:10.0.0.1", "10.0.0.1", "FE80::1"]}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_task_twice(etcd, wire, way):
    stored, task = WAYS[way]
    if stored:
        etcd.put(KEY, stored)
    result = hostendpoint(wire, **task)
    assert result["changed"] and len(wire.writes) == 1
    again = assert_nothing_happens(etcd, wire, **task)
    assert again["hostendpoint"] == result["hostendpoint"]
    assert info(wire)["hostendpoints"] == ([result["hostendpoint"]] if result["hostendpoint"] else [])


def test_a_delete_takes_one_key_and_nothing_beneath_it(etcd, wire):
    etcd.put(KEY, VALUE)
    revision = etcd.index(KEY)
    hostendpoint(wire, state="absent")
    (request,) = wire.writes
    assert (request.method, request.key, request.parameters) == ("DELETE", KEY, {"prevIndex": str(revision)})


def test_absent_without_anything_stored(etcd, wire):
    assert assert_nothing_happens(etcd, wire, state="absent")["hostendpoint"] is None
    assert etcd.tree(dirs=True) == {"/calico": None, "/calico/v1": None, READY: "true"}


# Stored otherwise


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_is_equal_is_not_written(etcd, wire, spelling):
    assert SPELLINGS[spelling] != VALUE
    etcd.put(KEY, SPELLINGS[spelling])
    assert_nothing_happens(etcd, wire, **TASK)
    assert_nothing_happens(etcd, wire, state="patched", **TASK)
    for field, value in TASK.items():
        assert_nothing_happens(etcd, wire, state="patched", **{field: value})


@pytest.mark.parametrize(
    "expected_ips",
    [
        ["2001:db8::1", "192.168.0.2", "192.168.0.1"],
        ["192.168.0.1", "192.168.0.2", "2001:DB8:0:0:0:0:0:1"],
        ["192.168.0.1", "192.168.0.2", "192.168.0.1", "2001:db8::1", "2001:db8::0.0.0.1"],
        ["::ffff:192.168.0.1", "::FFFF:c0a8:2", "2001:db8::1"],
    ],
    ids=str,
)
def test_given_otherwise(etcd, wire, expected_ips):
    etcd.put(KEY, VALUE)
    assert_nothing_happens(etcd, wire, **{**TASK, "expected_ips": expected_ips})


@pytest.mark.parametrize("spelling", SPARSE)
def test_empty_and_absent_are_the_same(etcd, wire, spelling):
    etcd.put(KEY, SPARSE[spelling])
    labels = {"a": ""} if "label" in spelling else {}
    assert_nothing_happens(etcd, wire, interface_name="eth0", labels=labels)
    assert_nothing_happens(etcd, wire, interface_name="eth0", labels=labels, expected_ips=[], profiles=[])
    assert_nothing_happens(etcd, wire, state="patched", labels={"b": None}, expected_ips=[], profiles=[])


def test_the_order_and_number_of_profiles_count(etcd):
    etcd.put(KEY, VALUE)
    for profiles in (["p2", "p1"], ["p2", "p1", "p1"]):
        result = hostendpoint(etcd, **{**TASK, "profiles": profiles})
        assert (result["operation"], result["fields"]) == ("update", ["profiles"])
        assert json.loads(etcd.get(KEY))["profile_ids"] == profiles


def test_present_empties_what_is_left_out(etcd):
    etcd.put(KEY, VALUE)
    result = hostendpoint(etcd, interface_name="eth0")
    assert result["fields"] == ["labels", "expected_ips", "profiles"]
    assert etcd.get(KEY) == '{"name":"eth0"}'


def test_patched_leaves_what_is_left_out(etcd):
    etcd.put(KEY, VALUE)
    result = hostendpoint(etcd, state="patched", labels={"site": None, "rack": 7}, expected_ips=[])
    assert result["fields"] == ["labels", "expected_ips"]
    assert etcd.get(KEY) == '{"name":"eth0","labels":{"rack":"7","type":"production"},"profile_ids":["p1","p2"]}'


# What is not ours

UNKNOWN = (
    '"x":{"deep":[1,-2.50,1e3,null,true,{"é":"\\u00e9 \\\\ < & \\u2028"}]},"ports":[{"name":"ssh","port":22}],'
    '"profile_id":"p0","id":123456789012345678901234567890,"":[],"y z":null'
)


def exactly(text):
    """Decoded with its numbers as they are."""
    return json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize("task", [dict(TASK), {"state": "patched", **TASK}], ids=["present", "patched"])
def test_unknown_keys_survive_an_update(etcd, task):
    etcd.put(KEY, '{"name":"eth1",%s}' % UNKNOWN)
    assert hostendpoint(etcd, **task)["operation"] == "update"
    written = etcd.get(KEY)
    assert exactly(written) == {**exactly(VALUE), **exactly("{%s}" % UNKNOWN)}
    # Calico's own keys stay in Calico's own bytes, and first.
    assert written.startswith(VALUE[:-1] + ",")


def test_a_key_in_another_case_is_not_an_unknown_one(etcd):
    """Go reads either, so that an old one beside the new one would count again."""
    etcd.put(KEY, '{"Name":"eth1","LABELS":{"a":"1"},"Profile_Ids":["p0"],"Expected_IPv4_Addrs":["10.0.0.1"]}')
    hostendpoint(etcd, **TASK)
    assert etcd.get(KEY) == VALUE


@pytest.mark.parametrize("number", ["3.14159265358979323846264338327950288", "1e400", "-1E-400"])
def test_unknown_numbers_survive_or_the_update_is_refused(etcd, number):
    """Go does not look into what it skips, so Calico reads such a value, and must do so afterwards."""
    before = '{"name":"eth1","x":%s}' % number
    etcd.put(KEY, before)
    result = hostendpoint(etcd, interface_name="eth0")
    expected = before if result["failed"] else before.replace("eth1", "eth0")
    assert exactly(etcd.get(KEY)) == exactly(expected)


def test_nothing_survives_a_delete(etcd):
    etcd.put(KEY, '{"name":"eth1",%s}' % UNKNOWN)
    hostendpoint(etcd, state="absent")
    hostendpoint(etcd, **TASK)
    assert etcd.tree(HOSTS) == {KEY: VALUE}
