# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failsafe ports that Felix has in its environment or in felix.cfg, as a task gives them."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import build_host
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import PolicySnapshot, snapshot_v1
from ansible_collections.netsec.calico.plugins.module_utils._policies._felix.failsafes import (
    GivenFailsafes,
    parse_failsafes,
)
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint

INTERFACES = {"eth0": ["192.0.2.1/24", "2001:db8::1/64"]}
# Nothing allows anything, but failsafes.
BARE = HostEndpoint(name="e1", node="n1", interface_name="eth0")


def listed(value):
    found = parse_failsafes({"inbound": [value]}, "x").inbound
    return [(str(each), each.net) for each in found]


@pytest.mark.parametrize(
    "value, failsafe, net",
    [
        ("tcp:22", "tcp:22", None),
        (" UDP:68 ", "udp:68", None),
        ("2222", "tcp:2222", None),
        (2222, "tcp:2222", None),
        ("tcp:192.0.2.0/24:22", "tcp:22", (4, 0xC0000200, 0xC00002FF)),
        ("tcp:[2001:db8::1]:22", "tcp:22", (6, 0x20010DB8 << 96 | 1, 0x20010DB8 << 96 | 1)),
        ({"protocol": "TCP", "port": 22}, "tcp:22", None),
        ({"protocol": "udp", "port": "68", "net": "192.0.2.9"}, "udp:68", (4, 0xC0000209, 0xC0000209)),
        ({"protocol": "tcp", "port": 22, "net": None}, "tcp:22", None),
        ({"protocol": "tcp", "port": 22, "net": ""}, "tcp:22", None),
    ],
)
def test_a_failsafe_is_given_as_felix_has_it(value, failsafe, net):
    assert listed(value) == [(failsafe, net)]


def test_a_list_that_is_not_given_is_not_an_empty_one():
    assert parse_failsafes(None, "x") == parse_failsafes({}, "x") == GivenFailsafes(None, None)
    assert parse_failsafes({"inbound": None}, "x").inbound is None
    assert parse_failsafes({"inbound": []}, "x") == GivenFailsafes((), None)


FORM = "is not a failsafe such as tcp:22, udp:192.0.2.0/24:68 or 22"


@pytest.mark.parametrize(
    "given, message",
    [
        ("tcp:22", "x: 'tcp:22' is not a mapping with inbound and outbound"),
        (["tcp:22"], "x: ['tcp:22'] is not a mapping with inbound and outbound"),
        ({"in": []}, "x.in is unknown; use inbound, outbound"),
        ({"inbound": "none"}, "x.inbound: 'none' is not a list; write an empty list as []"),
        ({"outbound": {"protocol": "tcp"}}, "x.outbound: {'protocol': 'tcp'} is not a list; write an empty list as []"),
        ({"inbound": ["tcp:22", "none"]}, "x.inbound[1]: 'none' " + FORM),
        ({"inbound": [""]}, "x.inbound[0]: '' " + FORM),
        ({"inbound": [None]}, "x.inbound[0]: None " + FORM),
        ({"inbound": [True]}, "x.inbound[0]: True " + FORM),
        ({"inbound": ["tcp:1:2:3"]}, "x.inbound[0]: 'tcp:1:2:3' " + FORM),
        ({"inbound": ["tcp:2001:db8::1:22"]}, "x.inbound[0]: 'tcp:2001:db8::1:22' " + FORM),
        ({"inbound": ["sctp:22"]}, "x.inbound[0].protocol: 'sctp' is not tcp or udp"),
        ({"inbound": [{"port": 22}]}, "x.inbound[0].protocol is missing; set it to tcp or udp"),
        ({"inbound": [{"protocol": "tcp"}]}, "x.inbound[0].port is missing"),
        (
            {"inbound": [{"protocol": "tcp", "ports": 22}]},
            "x.inbound[0].ports is unknown; use protocol, port, net",
        ),
        ({"inbound": ["tcp:0"]}, "x.inbound[0].port: '0' is not a port; set a number from 1 to 65535"),
        ({"inbound": ["tcp:65536"]}, "x.inbound[0].port: '65536' is not a port; set a number from 1 to 65535"),
        ({"inbound": ["tcp:" + "9" * 5000]}, "is not a port; set a number from 1 to 65535"),
        ({"inbound": ["tcp:\u00b2"]}, "is not a port; set a number from 1 to 65535"),
        ({"inbound": [{"protocol": "tcp", "port": True}]}, "x.inbound[0].port: True is not a port; set a number"),
        ({"inbound": ["tcp:ssh"]}, "x.inbound[0].port: 'ssh' is not a port; set a number from 1 to 65535"),
        (
            {"inbound": ["tcp:192.0.2.0/33:22"]},
            "x.inbound[0].net: '192.0.2.0/33' is not a network or an address, such as 192.0.2.0/24 or 2001:db8::1",
        ),
        ({"inbound": [{"protocol": "tcp", "port": 1, "net": 5}]}, "x.inbound[0].net: 5 is not a network or an address"),
    ],
)
def test_what_is_wrong_with_failsafes_is_named(given, message):
    with pytest.raises(InvalidInput) as error:
        parse_failsafes(given, "x")
    assert message in str(error.value)


def v1(**config):
    etcd = {"/calico/v1/Ready": "true"}
    etcd.update(("/calico/v1/config/" + name, value) for name, value in config.items())
    return V1, snapshot_v1(etcd, ())


def v3(version="v3.32.1", **spec):
    information = {"spec": {"calicoVersion": version, "datastoreReady": True}}
    configuration = {("default", ""): json.dumps({"spec": spec})}
    return V3, PolicySnapshot(state=json.dumps(information), config=configuration)


def verdict(stored, port, given=None, direction="in", peer="192.0.2.9", own="192.0.2.1"):
    evaluation = Evaluator(*stored, endpoints=[BARE])
    host = build_host(evaluation, "n1", INTERFACES, parse_failsafes(given, "x"))
    ends = {"src": peer, "dst": own} if direction == "in" else {"src": own, "dst": peer}
    asked = parse_connection(dict(ends, direction=direction, protocol="tcp", port=port), "connection")
    return host.evaluate(asked).verdict


STORED = [
    v1(FailsafeInboundHostPorts="tcp:80"),
    v3(failsafeInboundHostPorts=[{"protocol": "tcp", "port": 80}]),
]


@pytest.mark.parametrize("stored", STORED, ids=["etcdv2", "etcdv3"])
def test_given_failsafes_come_before_the_stored_ones(stored):
    assert [verdict(stored, port) for port in (80, 2222)] == ["allow", "deny"]
    given = {"inbound": ["tcp:2222"]}
    assert [verdict(stored, port, given) for port in (80, 2222)] == ["deny", "allow"]
    # The other list is the stored one.
    assert verdict(stored, 2379, given, "out") == "allow"
    assert verdict(stored, 2379, {"outbound": ["tcp:443"]}, "out") == "deny"
    assert verdict(stored, 443, {"outbound": ["tcp:443"]}, "out") == "allow"
    assert verdict(stored, 80, {"outbound": ["tcp:443"]}) == "allow"


@pytest.mark.parametrize("stored", STORED, ids=["etcdv2", "etcdv3"])
def test_an_empty_list_means_no_failsafes(stored):
    none = {"inbound": [], "outbound": []}
    assert verdict(stored, 80, none) == verdict(stored, 22, none) == verdict(stored, 2379, none, "out") == "deny"


def test_given_failsafes_leave_no_doubt_about_the_version():
    stored = v3("")
    assert verdict(stored, 6443) == "unknown"
    assert verdict(stored, 6443, {"inbound": ["tcp:22"]}) == "deny"
    assert verdict(stored, 6443, {"inbound": ["tcp:6443"]}) == "allow"


def test_a_failsafe_may_be_for_one_network():
    given = {"inbound": ["tcp:192.0.2.9:22", {"protocol": "tcp", "port": 80, "net": "2001:db8::/32"}]}
    stored = v3()
    assert [verdict(stored, 22, given, peer=peer) for peer in ("192.0.2.9", "192.0.2.10")] == ["allow", "deny"]
    assert verdict(stored, 80, given) == "deny"
    assert verdict(stored, 80, given, peer="2001:db8::9", own="2001:db8::1") == "allow"
    # As for stored ones.
    assert verdict(v3("v3.16.0"), 22, given) == "unknown"


def test_calico_v1_has_no_networks_in_failsafes():
    with pytest.raises(InvalidInput) as error:
        verdict(v1(), 22, {"inbound": ["tcp:22", "tcp:192.0.2.0/24:2222"]})
    assert str(error.value) == (
        "failsafes of node n1: tcp:2222 is for a network, which Felix of Calico v1 does not support; leave out the "
        "network"
    )


def test_an_invalid_stored_list_still_stops_felix():
    assert verdict(v1(FailsafeInboundHostPorts="sctp:1"), 22, {"inbound": ["tcp:22"], "outbound": []}) == "unknown"
