# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the measurements with Felix don't have: what cannot be decided, and what would be if something was stored."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import build_host
from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v1 import CODEC
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import (
    looks_at_others_v1,
    snapshot_v1,
)
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint

INTERFACES = {"eth0": ["192.0.2.1/24"], "eth1": ["198.51.100.1/24"], "eth2": ["203.0.113.1/24"]}
ENDPOINT = HostEndpoint(name="e1", node="n1", interface_name="eth0", profiles=("p",))
SSH = {"direction": "in", "protocol": "tcp", "src": "192.0.2.9", "dst": "192.0.2.1"}
POLICY = "/calico/v1/policy/tier/default/policy/"
PROFILE = "/calico/v1/policy/profile/p/"
ALLOW_ALL = json.dumps({"inbound_rules": [{}], "outbound_rules": [{}]})


def ask(etcd=None, endpoints=(ENDPOINT,), interfaces=None, **given):
    etcd = dict({"/calico/v1/Ready": "true", PROFILE + "rules": ALLOW_ALL}, **(etcd or {}))
    connection = {"direction": "in", "protocol": "tcp", "src": "192.0.2.9", "dst": "192.0.2.1", "port": 80, **given}
    host = build_host(Evaluator(V1, snapshot_v1(etcd, ()), endpoints), "n1", interfaces or INTERFACES)
    return host.evaluate(parse_connection(connection, "connection"))


def policy(*rules, **more):
    return json.dumps(dict({"selector": "all()", "inbound_rules": list(rules), "types": ["ingress"]}, **more))


DEEP = "!(" * 250 + "has(x)" + ")" * 250


@pytest.mark.parametrize(
    "value",
    [
        policy({"action": "deny"}, selector=DEEP),
        policy({"action": "deny", "src_selector": DEEP}, {"action": "allow"}),
        policy({"action": "deny", "ip_version": 0}),
        '{"order": 1, "order": 2, "inbound_rules": [{"action": "deny"}]}',
        '{"order": 1, "Order": 2, "inbound_rules": [{"action": "deny"}]}',
        "[" * 100000,
        policy({"action": "deny"}, selector="(" * 250000 + "has(x)" + ")" * 250000),
        policy({"action": "deny"}, *[{"src_net": "10.0.0.0/8"}] * 10000),
    ],
    ids=["selector", "selector of a rule", "ip_version", "twice", "case", "brackets", "parentheses", "rules"],
)
def test_what_cannot_be_read_for_sure_is_unknown(value):
    answer = ask({POLICY + "x": value})
    assert answer.verdict == "unknown" and answer.reason.startswith("unknown: ")


def test_what_cannot_be_read_does_not_matter_where_something_else_decides():
    allowing = policy({"action": "allow"}, order=1)
    assert (
        ask({POLICY + "x": policy({"action": "deny"}, selector=DEEP, order=2), POLICY + "y": allowing}).verdict
        == "allow"
    )
    # Whatever it is, it comes to the same.
    denying = policy({"action": "deny"}, order=3)
    doubtful = policy({"action": "deny", "src_selector": DEEP})
    assert ask({POLICY + "x": doubtful, POLICY + "y": denying}).verdict == "deny"


def test_a_rule_that_maybe_passes():
    passing = {"action": "next-tier", "src_selector": DEEP}
    # Either it is denied here, or a profile allows it.
    assert ask({POLICY + "x": policy(passing, {"action": "deny"})}).verdict == "unknown"
    assert ask({POLICY + "x": policy(passing, {"action": "allow"})}).verdict == "allow"


def test_a_label_counts_more_than_a_tag():
    etcd = {PROFILE + "labels": '{"t": "v"}', PROFILE + "tags": '["t", "u"]'}
    for selector, verdict in (("t == 'v'", "deny"), ("u == ''", "deny"), ("t == ''", "allow")):
        assert ask(dict(etcd, **{POLICY + "x": policy(selector=selector)})).verdict == verdict


def test_forwarded_and_untracked():
    """The answer is untracked, too, and the interface where it goes out is asked as for a new connection."""
    untracked = json.dumps({"untracked": True, "inbound_rules": [{"action": "allow"}]})
    other = HostEndpoint(name="e2", node="n1", interface_name="eth2", profiles=("p",))
    given = {"direction": "forward", "dst": "203.0.113.9"}
    assert ask({POLICY + "x": untracked}, [ENDPOINT, other], **given).verdict == "allow"
    bare = HostEndpoint(name="e1", node="n1", interface_name="eth0")
    answer = ask({POLICY + "x": untracked}, [bare, other], **given)
    assert answer.verdict == "deny" and "but the answer is not" in answer.reason


def test_the_source_port():
    def verdict(*ports, **given):
        rule = {"action": "deny", "protocol": "tcp", "src_ports": list(ports)}
        return ask({POLICY + "x": policy(rule, {"action": "allow"})}, **given).verdict

    assert verdict(1023) == "allow"
    assert verdict("1024:65535") == "deny"
    assert verdict("40000:65535") == "unknown"
    assert verdict("40000:65535", sport=40000) == "deny"
    assert verdict("40000:65535", sport=39999) == "allow"


@pytest.mark.parametrize(
    "setting, value, cause",
    [
        ("ChainInsertMode", "append", "ChainInsertMode"),
        ("IptablesFilterAllowAction", "return", "IptablesFilterAllowAction"),
        ("CalicoVersion", "v2.0.2", "v2.0.2"),
        ("InterfacePrefix", "a b", "InterfacePrefix"),
        ("DefaultEndpointToHostAction", "none", "DefaultEndpointToHostAction"),
    ],
)
def test_settings_that_make_it_unknown(setting, value, cause):
    answer = ask({"/calico/v1/config/" + setting: value})
    assert answer.verdict == "unknown" and cause in answer.reason
    assert ask({"/calico/v1/host/n2/config/" + setting: value}).verdict == "allow"


def test_a_rule_that_felix_fails_on_and_a_workload_uses():
    workload = {"name": "cali1", "ipv4_nets": ["192.0.2.9/32"], "labels": {"role": "pod"}}
    etcd = {POLICY + "x": policy({"icmp_type": 8}, selector="role == 'pod'")}
    assert ask(etcd).verdict == "allow"
    for node, verdict in (("n2", "allow"), ("n1", "unknown")):
        key = "/calico/v1/host/{0}/workload/k8s/w/endpoint/eth0".format(node)
        assert ask(dict(etcd, **{key: json.dumps(workload)})).verdict == verdict


def test_tunnels_are_not_for_policies_alone():
    assert ask(protocol="4", port=None).verdict == "unknown"
    assert ask(protocol="5", port=None).verdict == "allow"


def test_settings_of_the_same_name():
    twice = {"/calico/v1/config/FailsafeInboundHostPorts": "22", "/calico/v1/config/failsafeinboundhostports": "23"}
    assert ask(twice).verdict == "unknown"


def test_ipv6_that_is_not_policed():
    bare = [HostEndpoint(name="e1", node="n1", interface_name="eth0")]
    ipv6 = {"src": "2001:db8::9", "dst": "2001:db8::1", "interfaces": {"eth0": ["2001:db8::1/64"]}}
    assert ask(endpoints=bare, **ipv6).verdict == "deny"
    off = {"/calico/v1/config/Ipv6Support": "false"}
    assert ask(off, bare, **ipv6).decided_by == "Ipv6Support is false"


@pytest.mark.parametrize(
    "given, verdict",
    [
        ({}, "allow"),
        ({"src": "192.0.2.9", "dst": "198.51.100.1"}, "allow"),
        ({"src": "203.0.113.9", "dst": "192.0.2.1"}, "deny"),
        ({"src": "10.0.0.1", "dst": "192.0.2.1"}, "allow"),
        ({"src": "10.0.0.1", "dst": "192.0.2.1", "in_interface": "eth2"}, "deny"),
        ({"src": "10.0.0.1", "dst": "10.0.0.2"}, "unknown"),
        ({"src": "10.0.0.1", "dst": "192.0.2.1", "in_interface": "eth7"}, "unknown"),
        ({"direction": "out", "src": "192.0.2.1", "dst": "203.0.113.9"}, "deny"),
        ({"direction": "out", "src": "192.0.2.1", "dst": "10.0.0.1"}, "allow"),
        ({"direction": "forward", "src": "192.0.2.9", "dst": "203.0.113.9"}, "deny"),
        ({"direction": "forward", "src": "192.0.2.9", "dst": "10.0.0.1"}, "unknown"),
        ({"direction": "forward", "src": "192.0.2.9", "dst": "10.0.0.1", "out_interface": "eth1"}, "allow"),
        ({"direction": "local", "src": "192.0.2.1", "dst": "203.0.113.1"}, "allow"),
    ],
)
def test_the_interface_decides(given, verdict):
    closed = HostEndpoint(name="e2", node="n1", interface_name="eth2")
    answer = ask(endpoints=[ENDPOINT, closed], **given)
    assert answer.verdict == verdict
    if verdict == "unknown":
        assert "interface" in answer.reason


def test_rules_that_look_at_others():
    assert looks_at_others_v1({"a": policy({"src_selector": "has(x)"})})
    assert looks_at_others_v1({"a": policy({"!DST_TAG": "x"})})
    assert looks_at_others_v1({"a": '{"inbound_rules":[{"src\\u005fselector":"has(x)"}]}'})
    assert not looks_at_others_v1({"a": policy({"src_net": "10.0.0.0/8"})})


def test_an_endpoint_that_maybe_nobody_but_calico_reads():
    def stored(value):
        return Stored("/calico/v1/host/n1/endpoint/e1", 1, value, "n1", "e1", CODEC)

    tree = {"/calico/v1/Ready": "true"}
    connection = parse_connection(dict(SSH, port=80), "connection")
    for value, verdict in (
        ('{"name":"eth0"', "allow"),
        ('{"name":"eth0","x":' + "[" * 200 + "]" * 200 + "}", "unknown"),
    ):
        host = build_host(Evaluator(V1, snapshot_v1(tree, [stored(value)])), "n1", INTERFACES)
        assert host.evaluate(connection).verdict == verdict


def test_all_that_is_wrong_with_a_connection_is_told():
    with pytest.raises(InvalidInput) as caught:
        parse_connection({"direction": "in", "protocol": "0", "src": "x", "dst": "192.0.2.1", "port": 70000}, "c")
    assert len(caught.value.problems) == 3
