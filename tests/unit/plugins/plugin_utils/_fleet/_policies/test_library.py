# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calico accepts every policy of the library, and evaluates it as its description says."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import build_host
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import snapshot_v3
from ansible_collections.netsec.calico.plugins.module_utils._policies._felix.failsafes import parse_failsafes
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import parse_connection
from ansible_collections.netsec.calico.plugins.module_utils._policies.model import ALLOW, DENY
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.library import (
    LIBRARY,
    OPTIONS,
    TEMPLATES,
    build_library,
)
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._policies.sources import check_items
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.role_variables import POLICIES_PREFIX
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

try:
    from ansible.template import trust_as_template
except ImportError:

    def trust_as_template(text):
        return text


RESOURCES = "/calico/resources/v3/projectcalico.org/"
OWNED = {"app.kubernetes.io/managed-by": "netsec.calico"}
OFFICE, OTHER, OFFICE_6, OTHER_6 = "192.0.2.10", "198.51.100.10", "2001:db8:1::10", "2001:db8:2::10"
HOST, HOST_6 = "203.0.113.1", "2001:db8:3::1"
ANYWHERE = {
    "selector": "app.kubernetes.io/managed-by == 'netsec.calico'",
    "ssh_from": ["192.0.2.0/24", "2001:db8:1::/64"],
    "ssh_ports": [2222],
    "node_exporter_from": [OFFICE],
    "node_exporter_ports": [9100],
    "etcd_ports": [4379],
    "kube_apiserver_ports": ["8443"],
}
LISTED = dict(
    ANYWHERE,
    ping_from=[OFFICE, OFFICE_6],
    dns_servers=["192.0.2.0/28", OFFICE_6],
    ntp_servers=[OFFICE],
    etcd_servers=[OFFICE],
    kube_apiservers=[OFFICE],
)
# {name: connections that it lets through: direction, protocol, port or ICMP type, other end}
ALLOWED = {
    "neighbour_discovery": [(way, "icmpv6", kind, OTHER_6) for way in ("in", "out") for kind in (133, 134, 135, 136)],
    "ping": [("in", "icmp", 8, OFFICE), ("in", "icmpv6", 128, OFFICE_6), ("out", "icmp", 8, OTHER)],
    "ssh": [("in", "tcp", 2222, OFFICE), ("in", "tcp", 2222, OFFICE_6)],
    "dns": [("out", "udp", 53, OFFICE), ("out", "tcp", 53, OFFICE), ("out", "udp", 53, OFFICE_6)],
    "ntp": [("out", "udp", 123, OFFICE)],
    "etcd": [("out", "tcp", 4379, OFFICE)],
    "kube_apiserver": [("out", "tcp", 8443, OFFICE)],
    "dhcp": [("out", "udp", 67, OTHER), ("out", "udp", 547, OTHER_6)],
    "node_exporter": [("in", "tcp", 9100, OFFICE)],
    "default_deny": [],
}
# The same from and to addresses that are not listed.
UNLISTED = {
    "ping": [("in", "icmp", 8, OTHER), ("in", "icmpv6", 128, OTHER_6)],
    "dns": [("out", "udp", 53, OTHER), ("out", "tcp", 53, OTHER_6)],
    "ntp": [("out", "udp", 123, OTHER), ("out", "udp", 123, OTHER_6)],
    "etcd": [("out", "tcp", 4379, OTHER)],
    "kube_apiserver": [("out", "tcp", 8443, OTHER)],
}
NEVER = [
    *(("in", "tcp", port, other) for port in (2222, 9100) for other in (OTHER, OTHER_6)),
    *(("in", "tcp", 80, OFFICE), ("in", "tcp", 22, OFFICE), ("in", "udp", 53, OFFICE), ("in", "icmp", 13, OFFICE)),
    *(("out", "tcp", 80, OFFICE), ("out", "tcp", 2222, OFFICE), ("out", "icmp", 13, OTHER), ("in", "udp", 68, OFFICE)),
]


def render(path, variables):
    text = path.read_text(encoding="utf-8")
    found = Templar(loader=DataLoader(), variables=variables).template(trust_as_template(text))
    return [document for document in yaml.safe_load_all(found) if document is not None]


def build(names, options, expand=lambda _where, each: each, templates=()):
    def name_of(option):
        return POLICIES_PREFIX + option

    return build_library(names, options, name_of, expand, render, templates.__contains__)


def stored(items):
    plurals = {"GlobalNetworkPolicy": "globalnetworkpolicies", "GlobalNetworkSet": "globalnetworksets"}
    found = {}
    for _place, item in items:
        resource = V3.as_stored(V3.schemas[item["kind"]].parse_manifest(item))
        key = plurals[item["kind"]] + "/" + resource.name
        found[key] = dict(item, metadata=dict(item["metadata"], labels=resource.labels), spec=resource.spec)
    ready = {"metadata": {"name": "default"}, "spec": {"datastoreReady": True, "calicoVersion": "v3.32.1"}}
    found["clusterinformations/default"] = ready
    found["tiers/default"] = {"metadata": {"name": "default"}, "spec": {"order": 1000000, "defaultAction": "Deny"}}
    return {RESOURCES + key: json.dumps(each) for key, each in found.items()}


def host_with(items, labels=None, profiles=(), documents=None, more=()):
    endpoint = HostEndpoint(
        name="n1-eth0",
        node="n1",
        interface_name="eth0",
        expected_ips=(HOST, HOST_6),
        labels=OWNED if labels is None else labels,
        profiles=profiles,
    )
    values = stored(items)
    values.update({RESOURCES + key: json.dumps(each) for key, each in (documents or {}).items()})
    evaluator = Evaluator(V3, snapshot_v3(values, []), [endpoint, *more])
    failsafes = {"inbound": [], "outbound": []}
    interfaces = {"eth0": [HOST + "/24", HOST_6 + "/64"]}
    return build_host(evaluator, "n1", interfaces, parse_failsafes(failsafes, "failsafes"), "iptables")


def verdict(host, direction, protocol, number, other):
    ends = [other, HOST_6 if ":" in other else HOST]
    source, destination = ends if direction == "in" else reversed(ends)
    given = {"direction": direction, "protocol": protocol, "src": source, "dst": destination}
    given["icmp_type" if protocol.startswith("icmp") else "port"] = number
    return host.evaluate(parse_connection(given, "connection")).verdict


def test_every_template_is_in_the_library():
    assert sorted(path.name for path in TEMPLATES.iterdir()) == sorted(name + ".yml.j2" for name in LIBRARY)
    assert set(ALLOWED) == set(LIBRARY)


@pytest.mark.parametrize("options", [ANYWHERE, LISTED], ids=["anywhere", "listed"])
def test_calico_accepts_all_of_it(options):
    items = build(list(LIBRARY), options)
    check_items(items, V3)
    policies = [item for _place, item in items if item["kind"] == "GlobalNetworkPolicy"]
    assert len(policies) == len(LIBRARY)
    assert {item["metadata"]["name"].partition("-")[0] for _place, item in items} == {"fleet"}
    # New policies are written by name.
    assert max(item["metadata"]["name"] for item in policies) == "fleet-default-deny"
    assert max(item["spec"]["order"] for item in policies) == 10000


@pytest.mark.parametrize("name", LIBRARY)
def test_a_template_reads_the_variables_of_its_row(name):
    row = LIBRARY[name]
    text = (TEMPLATES / (name + ".yml.j2")).read_text()
    read = set(re.findall(r"calico_policies_(\w+)", text))
    assert read == {option for option in ("selector", row.networks, row.ports) if option}
    assert read <= set(OPTIONS)


@pytest.mark.parametrize("options", [ANYWHERE, LISTED], ids=["anywhere", "listed"])
@pytest.mark.parametrize("name", [name for name in LIBRARY if name != "neighbour_discovery"])
def test_it_allows_what_it_says_and_nothing_else(name, options):
    host = host_with(build([name, "neighbour_discovery", "default_deny"], options))
    for connection in ALLOWED[name]:
        assert verdict(host, *connection) == ALLOW, connection
    for connection in UNLISTED.get(name, ()):
        assert verdict(host, *connection) == (ALLOW if options is ANYWHERE else DENY), connection
    others = [each for other in ALLOWED if other not in (name, "neighbour_discovery") for each in ALLOWED[other]]
    for connection in [*NEVER, *others]:
        assert verdict(host, *connection) == DENY, connection


SETS = ["ping-from", "ssh-from", "dns-servers", "ntp-servers", "etcd-servers", "kube-apiservers", "node-exporter-from"]


@pytest.mark.parametrize("name", SETS)
def test_a_network_set_of_a_namespace_opens_nothing(name):
    """Whoever may write to a namespace decides on the labels of its network sets and pods."""
    items = build([each for each in LIBRARY if each != "neighbour_discovery"], LISTED)
    label = {"netsec.calico/set": name}
    everything = {"metadata": {"name": "mine", "labels": label}, "spec": {"nets": ["0.0.0.0/0", "::/0"]}}
    others = [*NEVER, *(each for found in UNLISTED.values() for each in found)]
    host = host_with(items, documents={"networksets/ns/mine": everything})
    assert {each: verdict(host, *each) for each in others} == dict.fromkeys(others, DENY)
    host = host_with(items, documents={"globalnetworksets/mine": everything})
    assert ALLOW in [verdict(host, *each) for each in others]


def test_the_label_of_a_set_on_a_host_endpoint_counts():
    labels = {"netsec.calico/set": "ssh-from"}
    endpoint = HostEndpoint(name="n2-eth0", node="n2", expected_ips=(OTHER,), labels=labels)
    host = host_with(build(["ssh"], LISTED), more=[endpoint])
    assert verdict(host, "in", "tcp", 2222, OTHER) == ALLOW


def test_only_neighbour_discovery_allows_what_ipv6_needs():
    names = [name for name in LIBRARY if name != "neighbour_discovery"]
    without, complete = host_with(build(names, LISTED)), host_with(build(list(LIBRARY), LISTED))
    for connection in ALLOWED["neighbour_discovery"]:
        assert (verdict(without, *connection), verdict(complete, *connection)) == (DENY, ALLOW), connection


def test_dhcp_accepts_answers_of_any_server():
    host = host_with(build(["dhcp", "neighbour_discovery"], ANYWHERE))
    for source, destination, port, sport in ((OTHER, HOST, 68, 67), (OTHER_6, HOST_6, 546, 547)):
        given = {"direction": "in", "protocol": "udp", "src": source, "dst": destination, "port": port}
        for number, expected in ((sport, ALLOW), (sport + 1, DENY)):
            connection = parse_connection(dict(given, sport=number), "connection")
            assert host.evaluate(connection).verdict == expected


def test_default_deny_closes_an_endpoint_whose_profile_allows_everything():
    profile = {"profiles": ("projectcalico-default-allow",)}
    web = ("in", "tcp", 80, OFFICE)
    assert verdict(host_with([], **profile), *web) == ALLOW
    assert verdict(host_with(build(["default_deny"], ANYWHERE), **profile), *web) == DENY
    # The endpoints of others are as before.
    assert verdict(host_with(build(["default_deny"], ANYWHERE), labels={}, **profile), *web) == ALLOW


def test_a_policy_without_an_order_is_evaluated_although_default_deny_is_before_it():
    policy = {
        "apiVersion": "projectcalico.org/v3",
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "web"},
        "spec": {"ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}}]},
    }
    host = host_with([*build(["default_deny"], ANYWHERE), ("", policy)])
    assert verdict(host, "in", "tcp", 80, OFFICE) == ALLOW


@pytest.mark.parametrize(
    "names, changes, problem",
    [
        (["telnet"], {}, "calico_policies_library: 'telnet' is unknown; use neighbour_discovery, ping"),
        (["ssh"], {"ssh_from": []}, "calico_policies_ssh_from is empty, so ssh would allow no connection"),
        (["ssh"], {"ssh_ports": []}, "calico_policies_ssh_ports is empty; set it to a list of ports"),
        (["dns"], {"selector": " "}, "calico_policies_selector: must not be empty; for all endpoints, write all()"),
        (["dns"], {"dns_servers": {"a": 1}}, "calico_policies_dns_servers: {'a': 1} is not a list"),
    ],
)
def test_what_would_not_allow_what_it_says_is_an_error(names, changes, problem):
    with pytest.raises(RunFailed, match=re.escape(problem)):
        build(names, {**ANYWHERE, **changes})


@pytest.mark.parametrize("name", [name for name, row in LIBRARY.items() if row.networks])
def test_a_list_that_stands_for_no_address_is_not_a_list_of_all_addresses(name):
    option = LIBRARY[name].networks
    for value in (["bastions"], " ", ","):
        with pytest.raises(RunFailed, match="calico_policies_{0}: .* stands for no address: its groups".format(option)):
            build([name], {**LISTED, option: value}, expand=lambda _where, _entries: [])
    for value in (None, "", []):
        with pytest.raises(RunFailed, match="calico_policies_{0}: its template gives an empty list".format(option)):
            build([name], {**LISTED, option: value}, templates=[option])


def test_lists_may_be_written_as_on_a_command_line():
    items = build(["ssh"], dict(ANYWHERE, ssh_from="192.0.2.0/24, 2001:db8:1::/64", ssh_ports="22,2222"))
    check_items(items, V3)
    assert verdict(host_with([*items, *build(["neighbour_discovery"], ANYWHERE)]), "in", "tcp", 2222, OFFICE_6) == ALLOW
