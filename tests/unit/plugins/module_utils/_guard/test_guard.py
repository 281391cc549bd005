# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of the lock-out guard, one by one."""

from __future__ import annotations

import json

import pytest

from ansible_collections.netsec.calico.plugins.module_utils._datastore.codec_v1 import CODEC
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import PolicySnapshot, snapshot_v1
from ansible_collections.netsec.calico.plugins.module_utils._guard.guard import Guard
from ansible_collections.netsec.calico.plugins.module_utils._guard.host_facts import HostFacts
from ansible_collections.netsec.calico.plugins.module_utils._plan.stored import Stored
from ansible_collections.netsec.calico.plugins.module_utils._policies._felix.failsafes import parse_failsafes
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V1, V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint

INTERFACES = {"eth0": ["192.0.2.1/24"], "eth1": ["198.51.100.1/24", "2001:db8::1/64"]}
CONTROLLER = {"direction": "in", "protocol": "tcp", "src": "192.0.2.9", "dst": "192.0.2.1"}
ALLOW_ALL = {"inbound_rules": [{"action": "allow"}], "outbound_rules": [{"action": "allow"}]}


def tree(**policies):
    """A datastore with a profile that allows all, and policies by their names."""
    found = {"/calico/v1/Ready": "true", "/calico/v1/policy/profile/open/rules": json.dumps(ALLOW_ALL)}
    for name, policy in policies.items():
        found["/calico/v1/policy/tier/default/policy/" + name] = json.dumps(policy)
    return found


def stored(node, name, value):
    return Stored("/calico/v1/host/%s/endpoint/%s" % (node, name), 1, json.dumps(value), node, name, CODEC)


def web(**fields):
    fields = dict(
        {"name": "e1", "interface_name": "eth0", "expected_ips": ("192.0.2.1",), "profiles": ("open",)}, **fields
    )
    return HostEndpoint(node="n1", **fields)


def ssh(port=22, **more):
    return parse_connection(dict(CONTROLLER, port=port, **more), "required")


def check(*endpoints, etcd=None, there=(), facts=None, required=(), interfaces=None, **options):
    documents = snapshot_v1(tree() if etcd is None else etcd, there)
    facts = {"n1": HostFacts(interfaces or INTERFACES, required)} if facts is None else facts
    return Guard(V1, documents, endpoints, **options).check(facts)


def said(*arguments, **keywords):
    """The verdict on the first endpoint, and its findings by check."""
    verdict = check(*arguments, **keywords)[0]
    return verdict.verdict, {finding.rule: (finding.level, finding.text) for finding in verdict.findings}


def test_what_is_safe():
    assert said(web(), required=[ssh(), ssh(2222)]) == ("safe", {})


def test_g01_a_profile_that_does_not_exist():
    verdict, findings = said(web(profiles=("open", "nosuch")))
    assert verdict == "unsafe" and "nosuch" in findings["G01"][1]


def test_g02_nothing_is_allowed():
    verdict, findings = said(web(profiles=()), required=[ssh()])
    # Failsafes keep SSH open.
    assert verdict == "safe"
    assert findings["G02"][0] == "warning" and "ingress or egress" in findings["G02"][1]
    one_way = tree(p={"selector": "all()", "inbound_rules": [{"action": "allow"}], "types": ["ingress"]})
    assert "any egress:" in said(web(profiles=()), etcd=one_way)[1]["G02"][1]


def test_g03_the_controller_is_locked_out():
    verdict, findings = said(web(profiles=()), required=[ssh(2222)])
    assert verdict == "unsafe" and findings["G03"][0] == "unsafe"
    assert "port 2222" in findings["G03"][1] and "no profile" in findings["G03"][1]
    # This endpoint does not affect it.
    assert said(web(name="e2", interface_name="eth1", expected_ips=(), profiles=()), required=[ssh(2222)])[0] == "safe"


def test_g04_felix_is_cut_off():
    etcd = parse_connection(
        {"direction": "out", "protocol": "tcp", "src": "192.0.2.1", "dst": "192.0.2.8", "port": 4379}, "x"
    )
    verdict, findings = said(web(profiles=()), required=[etcd])
    assert verdict == "unsafe" and findings["G04"][0] == "unsafe"


def test_g05_no_failsafe_for_ssh():
    without = dict(tree(), **{"/calico/v1/config/FailsafeInboundHostPorts": "none"})
    verdict, findings = said(web(), etcd=without, required=[ssh()])
    assert verdict == "safe" and findings["G05"][0] == "warning"
    verdict, findings = said(web(profiles=()), etcd=without, required=[ssh()])
    assert verdict == "unsafe" and "G03" in findings


def test_failsafes_of_felix_own_configuration():
    def said_with(**failsafes):
        facts = {
            "n1": HostFacts(INTERFACES, [ssh(2222)], ssh_port=2222, failsafes=parse_failsafes(failsafes, "failsafes"))
        }
        return said(web(profiles=()), facts=facts)

    assert said_with()[0] == "unsafe"
    verdict, findings = said_with(inbound=["tcp:2222"])
    assert verdict == "safe" and "G05" not in findings
    assert said_with(inbound=[])[0] == said_with(outbound=["tcp:2222"])[0] == "unsafe"


@pytest.mark.parametrize("name", ["eth7", "cali12", "wibblywobblyeth0"])
def test_g06_no_interface_for_it(name):
    verdict, findings = said(web(interface_name=name, expected_ips=()))
    assert verdict == "unsafe" and findings["G06"][0] == "unsafe"


def test_g07_addresses_of_others():
    assert said(web(expected_ips=("192.0.2.1", "192.0.2.77")))[1]["G07"][0] == "warning"
    assert "other interfaces" in said(web(expected_ips=("198.51.100.1",)))[1]["G07"][1]
    verdict, findings = said(web(interface_name="", expected_ips=("192.0.2.77",)))
    assert verdict == "unsafe" and "governs nothing" in findings["G07"][1]


@pytest.mark.parametrize("api_version", [V1, V3])
def test_an_invalid_expected_address_is_not_an_error(api_version):
    endpoint = web(expected_ips=("", "bad", "192.0.2.77"))
    documents = snapshot_v1(tree(), ()) if api_version == V1 else PolicySnapshot()
    (verdict,) = Guard(api_version, documents, [endpoint]).check({"n1": HostFacts(INTERFACES, ())}, is_stored=True)
    assert ("G07", "warning", "the host does not have the expected IPs 192.0.2.77") in verdict.findings
    # The effect of an empty address was not measured for Calico v1; v3 ignores it.
    is_unknown = any(each.rule == "G16" and "empty address" in each.text for each in verdict.findings)
    assert is_unknown == (api_version == V1)


def test_g08_two_claim_one_interface():
    there = [stored("n1", "a", {"name": "eth0"})]
    verdict, findings = said(web(), there=there)
    assert verdict == "unsafe" and findings["G08"][1].startswith("it does not govern eth0, which is also claimed by a")
    verdict, findings = said(web(name="A"), there=there)
    assert verdict == "unsafe" and findings["G08"][1].startswith("it governs eth0, which is also claimed by a")


def test_g09_a_node_that_calico_does_not_know():
    verdict, findings = said(web(), known_nodes=["n1.example.com", "n2"])
    assert verdict == "unsafe" and "did you mean n1.example.com?" in findings["G09"][1]
    assert said(web(), known_nodes=["n1"]) == ("safe", {})
    verdict, findings = said(web(), known_nodes=["n2"])
    assert verdict == "safe" and findings["G09"][0] == "warning" and "nothing polices" in findings["G09"][1]


def test_g09_a_node_that_calico_may_know():
    verdict, findings = said(web(), known_nodes=["n2"], nodes_problem="no right")
    assert (verdict, findings["G09"][0]) == ("unknown", "unknown") and "no right" in findings["G09"][1]
    verdict, findings = said(web(), known_nodes=["n1.example.com"], nodes_problem="no right")
    assert verdict == "unknown" and "did you mean n1.example.com?" in findings["G09"][1]
    assert said(web(), known_nodes=["n1"], nodes_problem="no right") == ("safe", {})


def test_g10_the_interface_of_the_connection():
    facts = {"n1": HostFacts(INTERFACES, ansible_interface="eth0")}
    assert "eth0" in said(web(), facts=facts)[1]["G10"][1]
    assert "G10" not in said(web(interface_name="eth1", expected_ips=("198.51.100.1",)), facts=facts)[1]


def test_g11_all_interfaces():
    state = json.dumps({"spec": {"datastoreReady": True, "calicoVersion": "v3.32.1"}})
    profiles = ("projectcalico-default-allow",)
    everywhere = HostEndpoint(name="all", node="n1", interface_name="*", profiles=profiles)
    eth0 = HostEndpoint(name="b", node="n1", interface_name="eth0", expected_ips=("192.0.2.1",), profiles=profiles)
    guard = Guard(V3, PolicySnapshot(state=state), [everywhere, eth0])
    first, second = guard.check({"n1": HostFacts(INTERFACES, [ssh(2222)])})
    assert {finding.rule: finding.level for finding in first.findings} == {"G11": "warning", "G12": "warning"}
    assert "beside b" in first.findings[0].text
    assert (first.verdict, second.verdict, second.findings) == ("safe", "safe", ())


def test_g12_no_expected_addresses():
    assert said(web(expected_ips=())) == ("safe", {"G12": ("warning", said(web(expected_ips=()))[1]["G12"][1])})


def test_g13_neighbour_discovery():
    eth1 = web(interface_name="eth1", expected_ips=("198.51.100.1",), profiles=())
    verdict, findings = said(eth1)
    assert (verdict, findings["G13"][0]) == ("safe", "warning")
    over_ipv6 = parse_connection(dict(CONTROLLER, src="2001:db8::9", dst="2001:db8::1", port=22), "required")
    verdict, findings = said(eth1, required=[over_ipv6])
    assert (verdict, findings["G13"][0]) == ("unsafe", "unsafe")
    assert said(web(interface_name="eth1", expected_ips=("198.51.100.1",)), required=[over_ipv6]) == ("safe", {})
    out = {"direction": "out", "protocol": "tcp", "src": "2001:db8::1", "dst": "2001:db8::8", "port": 2379}
    to_etcd = parse_connection(out, "required")
    assert said(eth1, required=[to_etcd])[1]["G13"][0] == "unsafe"
    # It was already denied.
    there = [stored("n1", "e1", {"name": "eth1"})]
    verdict, findings = said(eth1, there=there, required=[to_etcd])
    assert (verdict, findings["G13"][0]) == ("safe", "warning")


@pytest.mark.parametrize(
    "end, rule",
    [
        ("dst", {"dst_nets": ["192.0.2.0/28"]}),
        ("dst", {"!dst_nets": ["192.0.2.128/25"]}),
        ("dst", {"dst_selector": "zone == 'a'"}),
        ("dst", {"!dst_selector": "zone == 'b'"}),
        ("src", {"src_nets": ["192.0.2.0/28"]}),
        ("src", {"!src_selector": "zone == 'b'"}),
    ],
)
def test_rules_that_tell_the_addresses_of_alike_hosts_apart(end, rule):
    """Hosts share verdicts, unless a rule is about the addresses of one of them."""
    inbound, outbound = ({}, {"action": "allow", **rule}) if end == "src" else ({"action": "allow", **rule}, {})
    policy = {"selector": "all()", "inbound_rules": [inbound], "outbound_rules": [outbound]}
    endpoints, facts = [], {}
    for number, zone in ((1, "a"), (2, "a"), (201, "b"), (3, "a"), (202, "b")):
        node, own, peer = "n%d" % number, "192.0.2.%d" % number, "203.0.113.9"
        endpoints.append(HostEndpoint("e", node, {"zone": zone}, interface_name="eth0", expected_ips=(own,)))
        ends = {"direction": "in", "src": peer, "dst": own, "in_interface": "eth0"}
        if end == "src":
            ends = {"direction": "out", "src": own, "dst": peer, "out_interface": "eth0"}
        required = parse_connection(dict(ends, protocol="tcp", port=2222), "required")
        facts[node] = HostFacts({"eth0": [own + "/24"]}, [required])
    verdicts = Guard(V1, snapshot_v1(tree(p=policy), ()), endpoints).check(facts)
    assert [each.verdict for each in verdicts] == ["safe", "safe", "unsafe", "safe", "unsafe"]


def test_g14_a_policy_does_not_select_it_any_more():
    etcd = tree(p={"selector": "role == 'web'", "inbound_rules": [{"action": "allow"}]})
    there = [stored("n1", "e1", {"name": "eth0", "labels": {"role": "web"}})]
    assert said(web(labels={}), etcd=etcd, there=there)[1]["G14"] == (
        "warning",
        "policies stop selecting it: p",
    )
    assert "G14" not in said(web(labels={"role": "web"}), etcd=etcd, there=there)[1]


def test_g15_a_deleted_one_leaves_its_interface_open():
    there = [stored("n1", "e1", {"name": "eth0"}), stored("n1", "e2", {"name": "eth0"})]
    goes = HostEndpoint(node="n1", name="e1")
    assert said(there=there, without=[goes]) == ("safe", {})
    verdict, findings = said(there=there[:1], without=[goes])
    assert verdict == "safe" and "eth0" in findings["G15"][1]
    assert said(there=there, without=[goes], facts={})[0] == "unknown"
    # An update leaves it, too.
    moves = web(interface_name="eth1", expected_ips=("198.51.100.1",))
    assert "governs eth0 of node n1 any more" in said(moves, there=there[:1])[1]["G15"][1]
    assert "G15" not in said(moves, there=there)[1]


def test_another_endpoint_governs_in_its_place():
    there = [stored("n1", "e1", {"name": "eth0", "profile_ids": ["open"]}), stored("n1", "e2", {"name": "eth0"})]
    goes = HostEndpoint(node="n1", name="e1")
    assert said(there=there, without=[goes], required=[ssh()]) == ("safe", {})
    verdict, findings = said(there=there, without=[goes], required=[ssh(2222)])
    assert verdict == "unsafe" and "then e2 governs eth0 of node n1" in findings["G03"][1]
    moves = web(interface_name="eth1", expected_ips=("198.51.100.1",))
    assert said(moves, there=there, required=[ssh(2222)])[0] == "unsafe"
    # An endpoint that changes in the same run has the finding itself.
    takes_over = web(name="e2", profiles=())
    verdicts = check(moves, takes_over, there=there, required=[ssh(2222)])
    assert [verdict.verdict for verdict in verdicts] == ["safe", "unsafe"]


SELECTIVE = {"selector": "role == 'web'", "outbound_rules": [{"action": "allow"}]}
ALLOW = {"action": "allow"}


@pytest.mark.parametrize(
    "rules, before, after, unsafe",
    [
        ([{"action": "allow", "src_selector": "role == 'bastion'"}], {"role": "bastion"}, {"role": "jump"}, True),
        ([{"action": "allow", "src_selector": "role == 'bastion'"}], {"role": "bastion"}, None, True),
        ([{"action": "allow", "src_selector": "role == 'bastion'"}], {"role": "bastion"}, {"role": "bastion"}, False),
        # A rule may deny the new endpoint.
        ([{"action": "deny", "src_selector": "role == 'jump'"}, ALLOW], None, {"role": "jump"}, True),
        ([{"action": "allow", "!src_selector": "role == 'jump'"}], None, {"role": "jump"}, True),
        ([{"action": "allow", "!src_selector": "role == 'jump'"}], None, {"role": "bastion"}, False),
        # It was already denied.
        ([{"action": "allow", "src_selector": "role == 'x'"}], {"role": "bastion"}, {"role": "jump"}, False),
        # An end of the connection is the host itself.
        ([{"action": "allow", "src_net": "192.0.2.0/24"}], {"role": "bastion"}, {"role": "jump"}, False),
    ],
)
def test_an_endpoint_that_rules_of_other_hosts_select(rules, before, after, unsafe):
    etcd = tree(p=dict(SELECTIVE, inbound_rules=rules))
    there = [stored("n1", "e1", {"name": "eth0", "labels": {"role": "web"}})]
    bastion = {"interface_name": "eth0", "expected_ips": ("192.0.2.9",), "profiles": ("open",)}
    if before:
        value = {"name": "eth0", "labels": before, "expected_ipv4_addrs": ["192.0.2.9"], "profile_ids": ["open"]}
        there.append(stored("bast", "b", value))
    wanted = [HostEndpoint(node="bast", name="b", labels=after, **bastion)] if after else []
    guard = Guard(V1, snapshot_v1(etcd, there), wanted, [] if after else [HostEndpoint(node="bast", name="b")])
    facts = {"bast": HostFacts({"eth0": ["192.0.2.9/24"]})}
    (verdict,) = guard.check(facts, others=lambda: {"n1": HostFacts(INTERFACES, [ssh(2222)])})
    assert verdict.verdict == ("unsafe" if unsafe else "safe")
    texts = [finding.text for finding in verdict.findings if finding.rule == "G03"]
    assert [text.startswith("on node n1, tcp port 2222 from 192.0.2.9 is required") for text in texts] == [
        True
    ] * unsafe


def test_what_was_denied_before():
    there = [stored("n1", "e1", {"name": "eth0"})]
    labelled = web(profiles=(), labels={"a": "b"})
    verdict, findings = said(labelled, there=there, required=[ssh(2222)])
    assert (verdict, findings["G03"][0]) == ("safe", "warning")
    assert "already denied before this change" in findings["G03"][1]
    # This endpoint does not affect it.
    there[0] = stored("n1", "e2", {"name": "eth1"})
    assert said(labelled, there=there, required=[ssh(2222)])[0] == "unsafe"


def test_g16_felix_fails():
    fatal = {"selector": "role == 'web'", "inbound_rules": [{"icmp_type": 8}]}
    verdict, findings = said(web(labels={"role": "web"}), etcd=tree(p=fatal))
    assert verdict == "unsafe" and "ICMP" in findings["G16"][1]
    # Another endpoint of the node is enough.
    there = [stored("n1", "e2", {"name": "eth1", "labels": {"role": "web"}})]
    assert said(web(), etcd=tree(p=fatal), there=there)[0] == "unsafe"
    assert said(web(), etcd=tree(p=fatal)) == ("safe", {})
    for change in ({"/calico/v1/Ready": "false"}, {"/calico/v1/config/FailsafeOutboundHostPorts": "tcp:x"}):
        verdict, findings = said(web(), etcd=dict(tree(), **change))
        assert verdict == "unsafe" and findings["G16"][0] == "unsafe"
    verdict, findings = said(web(profiles=("a/b",)))
    assert verdict == "unsafe" and "interface is open" in findings["G16"][1]


def test_without_facts_it_is_unknown():
    assert said(web(), facts={})[0] == "unknown"
    assert said(web(profiles=("nosuch",)), facts={})[0] == "unsafe"


def test_what_cannot_be_decided_is_unknown():
    deep = {"selector": "!(" * 250 + "has(x)" + ")" * 250, "inbound_rules": [{"action": "deny"}]}
    verdict, findings = said(web(), etcd=tree(p=deep), required=[ssh(2222)])
    assert verdict == "unknown" and findings["G03"][0] == "unknown"
