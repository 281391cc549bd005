# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""G16 for Felix of Calico v3: what stops or crashes Felix or opens a host, as measured."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import PolicySnapshot
from ansible_collections.netsec.calico.plugins.module_utils._guard.guard import Guard
from ansible_collections.netsec.calico.plugins.module_utils._guard.host_facts import HostFacts
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint, Port

INTERFACES = {"eth0": ["192.0.2.1/24"], "eth1": ["198.51.100.1/24"]}
WEB = {"name": "n1-eth0", "node": "n1", "interface_name": "eth0", "labels": {"role": "web"}}
ALLOW = {"action": "Allow"}


def resource(spec, name="x"):
    return json.dumps({"metadata": {"name": name}, "spec": spec})


def documents(rules=(), name="p", config=None, **more):
    more.setdefault("state", resource({"datastoreReady": True, "calicoVersion": "v3.32.1"}))
    spec = {"selector": "role == 'web'", "ingress": list(rules), "egress": [ALLOW], "types": ["Ingress", "Egress"]}
    configs = {} if config is None else {("default", ""): config if isinstance(config, str) else resource(config)}
    return PolicySnapshot(policies=[(name, resource(spec, name))], config=configs, **more)


def said(stored, facts=None, **fields):
    """The verdict on an endpoint, and the findings of G16."""
    endpoint = HostEndpoint(**{**WEB, "expected_ips": ("192.0.2.1",), **fields})
    known = {"n1": facts} if facts else {"n1": HostFacts(INTERFACES)}
    (verdict,) = Guard(V3, stored, [endpoint], known_nodes=["n1"]).check(known)
    return verdict.verdict, "; ".join(each.text for each in verdict.findings if each.rule == "G16")


def tcp(**more):
    return dict(ALLOW, protocol="TCP", **more)


@pytest.mark.parametrize(
    "rule, cause",
    [
        ({"action": "Reject"}, "its action 'Reject' is not a valid action"),
        (tcp(source={"nets": [""]}), "empty source network"),
        (tcp(source={"notNets": [None]}), "empty source network"),
        (dict(ALLOW, icmp={"type": 8}), "it has an ICMP type, but for IPv4 not the protocol icmp"),
        (tcp(icmp={"type": 8}), "it has an ICMP type"),
        (dict(ALLOW, protocol=1, icmp={"type": 8}), "for IPv6 not the protocol icmpv6"),
        (dict(ALLOW, protocol="ICMP", ipVersion=6, icmp={"type": 8}), "for IPv6 not the protocol icmpv6"),
        (dict(ALLOW, protocol="ICMPv6", ipVersion=4, icmp={"type": 8}), "for IPv4 not the protocol icmp"),
        (tcp(notProtocol="UDP"), "both protocol and notProtocol"),
    ],
)
def test_a_rule_that_crashes_felix(rule, cause):
    verdict, text = said(documents([rule]))
    assert verdict == "unsafe"
    assert cause in text and "Felix fails on a rule" in text and "a host where it never ran remains open" in text
    # It does not affect a host without an endpoint that uses it.
    assert said(documents([rule]), labels={"role": "db"})[1] == ""


def test_a_policy_whose_name_has_a_space():
    verdict, text = said(documents(name="a b"))
    assert verdict == "unsafe" and "its name has a space" in text


@pytest.mark.parametrize(
    "config, cause",
    [
        ({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "bad"}]}, "an invalid network: 'bad'"),
        ({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 22, "net": "::ffff:192.0.2.1/128"}]}, "network"),
        ({"failsafeOutboundHostPorts": [{"protocol": "SCTP", "port": 22}]}, "protocol 'SCTP', not tcp or udp"),
        ({"failsafeOutboundHostPorts": [{"port": 22}]}, "protocol '', not tcp or udp"),
        ({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 70000}]}, "Felix cannot read"),
        ({"chainInsertMode": "Nowhere"}, "chainInsertMode of the FelixConfiguration default cannot be 'Nowhere'"),
        ({"interfacePrefix": "a b"}, "interfacePrefix"),
        ({"iptablesFilterAllowAction": "Maybe"}, "iptablesFilterAllowAction"),
        ({"iptablesFilterDenyAction": "Reject"}, "iptablesFilterDenyAction is Reject"),
        ({"bpfEnabled": "yes"}, "spec.bpfEnabled is not true or false"),
        ({"reportingInterval": "soon"}, "spec.reportingInterval is not a valid duration: 'soon'"),
        ("{", "Felix cannot read the FelixConfiguration default"),
    ],
)
def test_a_setting_that_stops_felix(config, cause):
    verdict, text = said(documents(config=config))
    assert verdict == "unsafe"
    assert cause in text and "Felix stops or does not start" in text


@pytest.mark.parametrize("state", [None, "{", resource({"datastoreReady": False}), resource({})])
def test_a_cluster_information_for_which_felix_waits(state):
    verdict, text = said(documents(state=state))
    assert verdict == "unsafe" and "ClusterInformation" in text


def test_an_interface_prefix_that_fits_the_hosts_own_interfaces():
    verdict, text = said(documents(config={"interfacePrefix": "eth"}))
    assert verdict == "unsafe" and "removes its addresses: the host is cut off" in text


def test_an_interface_that_felix_passes_over():
    verdict, text = said(documents(config={"interfaceExclude": "/eth.*/"}))
    assert (
        verdict == "unsafe" and text == "interfaceExclude matches eth0, so Felix ignores the interface, which is open"
    )


def test_an_interface_of_its_addresses_that_felix_passes_over():
    verdict, text = said(documents(config={"interfaceExclude": "/eth.*/"}), interface_name="")
    assert verdict == "unsafe" and text.startswith("interfaceExclude matches eth0")
    assert said(documents(config={"interfaceExclude": "eth1"}), interface_name="")[0] == "safe"


def test_an_interface_that_felix_takes_for_a_workloads_is_named_without_facts():
    endpoint = HostEndpoint(**WEB)
    (verdict,) = Guard(V3, documents(config={"interfacePrefix": "eth"}), [endpoint]).check({})
    (text,) = [each.text for each in verdict.findings if each.rule == "G16"]
    assert verdict.verdict == "unsafe" and text.startswith("eth0 begins with interfacePrefix eth")
    assert "removes its addresses" in text


@pytest.mark.parametrize(
    "fields, cause",
    [({"profiles": ("p" * 129,)}, "profiles[0]"), ({"ports": (Port("a", "ICMP", 80),)}, "ports[0].protocol")],
)
def test_an_endpoint_that_felix_ignores_is_open_and_not_closed(fields, cause):
    endpoint = HostEndpoint(**dict(WEB, **fields))
    (verdict,) = Guard(V3, documents(), [endpoint], known_nodes=["n1"]).check({"n1": HostFacts(INTERFACES)})
    texts = {each.rule: each.text for each in verdict.findings}
    assert verdict.verdict == "unsafe"
    assert texts["G16"].startswith("Felix ignores it, so its interface is open: " + cause)
    # It drops nothing, whatever its profiles.
    assert "G01" not in texts and "G02" not in texts


def test_a_number_as_protocol_is_written_by_its_name():
    assert said(documents(), ports=(Port("a", "6", 80),))[1] == ""


CODE = dict(ALLOW, protocol="ICMP", icmp={"type": 8, "code": 0})


@pytest.mark.parametrize(
    "dataplane, mode, level",
    [
        ("", "", "unknown"),
        ("iptables", "", "safe"),
        ("nftables", "", "unsafe"),
        ("", "Disabled", "safe"),
        ("", "Enabled", "unsafe"),
        # The facts of the host have precedence.
        ("iptables", "Enabled", "safe"),
    ],
)
def test_a_code_of_icmp_crashes_felix_with_nftables(dataplane, mode, level):
    stored = documents([CODE], config={"nftablesMode": mode} if mode else {})
    verdict, text = said(stored, HostFacts(INTERFACES, dataplane=dataplane))
    assert (verdict, "ICMP code" in text) == (level, level != "safe")
    assert ("set nftablesMode" in text) == (level == "unknown")


def test_a_network_set_on_which_felix_probably_fails_is_named_without_facts():
    spec = {"metadata": {"name": "office"}, "spec": {"nets": [""]}}
    stored = documents(network_sets=[("", "office", json.dumps(spec))])
    (verdict,) = Guard(V3, stored, [HostEndpoint(**WEB)]).check({})
    assert any(each.rule == "G16" and "network set office" in each.text for each in verdict.findings)


def test_what_another_endpoint_of_the_host_uses_is_told_with_the_version():
    state = resource({"datastoreReady": True, "calicoVersion": "v3.29.1"})
    stored = documents([{"action": "Reject"}], state=state)
    other = HostEndpoint(name="n1-eth1", node="n1", interface_name="eth1", labels={"role": "web"})
    mine = HostEndpoint(name="n1-eth0", node="n1", interface_name="eth0")
    verdict, _other = Guard(V3, stored, [mine, other], known_nodes=["n1"]).check({"n1": HostFacts(INTERFACES)})
    (text,) = [each.text for each in verdict.findings if each.rule == "G16"]
    assert "host endpoint n1-eth1" in text and text.endswith("(measured with Calico v3.32.1, not with v3.29.1)")


def test_of_a_version_that_was_not_measured_g16_says_so():
    state = resource({"datastoreReady": True, "calicoVersion": "v3.29.1"})
    for stored in (documents([{"action": "Reject"}], state=state), documents(config="{", state=state)):
        assert said(stored)[1].endswith("(measured with Calico v3.32.1, not with v3.29.1)")


def test_an_endpoint_that_a_network_policy_may_select_on_an_interface_with_ipv6():
    """It is as uncertain whether neighbour discovery passes; the NetworkPolicies were not read."""
    facts = HostFacts({"eth0": ["192.0.2.1/24", "2001:db8::1/64"]})
    labels = {"role": "web", "projectcalico.org/namespace": "shop"}
    verdict, text = said(documents(), facts, labels=labels)
    assert verdict == "unknown" and "the NetworkPolicies were not read" in text
