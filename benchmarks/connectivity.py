# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared connectivity of a fleet: what it adds to an audit on a real etcd. Run by `make bench-connectivity`.

Hosts of five roles in networks of 100, each with an interface with both versions of IP and a second interface, policies
that select by label, and expectations whose peers are groups, networks, hosts and addresses.
"""

from __future__ import annotations

import argparse
import json
import statistics

from tests.harness.etcd import EtcdServer

from .policies import API, ROOT
from .processes import Workshop
from .report import add_busy_option, machine, refuse_busy, update_readme

MARKS = ("<!-- connectivity -->\n", "<!-- end of connectivity -->\n")
ROLES = ("web", "app", "db", "cache", "backup")
MOST_SECONDS, MOST_MEMORY = 20, 500
_IN_A_NETWORK = 100


def build_policies():
    both = {"types": ["Ingress", "Egress"]}
    echo = {"action": "Allow", "protocol": "ICMP"}
    neighbours = [{"action": "Allow", "protocol": "ICMPv6"}]
    found = {
        "ping": {"selector": "all()", "types": ["Ingress"], "ingress": [echo]},
        "neighbours": dict(both, selector="all()", order=1, ingress=neighbours, egress=neighbours),
    }
    for number, role in enumerate(ROLES):
        service = {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"selector": "role == '%s'" % ROLES[number - 1]},
            "destination": {"ports": [8000 + number]},
        }
        ssh = {
            "action": "Allow",
            "protocol": "TCP",
            "source": {"nets": ["10.250.%d.0/24" % index for index in range(20)]},
            "destination": {"ports": [22]},
        }
        spec = dict(both, selector="role == '%s'" % role, ingress=[service, ssh], egress=[{"action": "Allow"}])
        found[role] = dict(spec, order=number + 10)
    return [manifest("GlobalNetworkPolicy", name, spec) for name, spec in found.items()]


def manifest(kind, name, spec, **metadata):
    return {"apiVersion": API, "kind": kind, "metadata": dict(metadata, name=name), "spec": spec}


def build_fleet(count, each):
    """The endpoints, the facts of the guard, and the option connectivity; `each` is the number of expectations."""
    endpoints, facts, hosts = [], {}, {}
    groups = {role: [] for role in ROLES}
    for number in range(count):
        name, index = "node-%04d" % number, number % len(ROLES)
        network, place = divmod(number, _IN_A_NETWORK)
        addresses = ["10.0.%d.%d" % (network, place + 1), "2001:db8:%x::%x" % (network, place + 1)]
        storage = "10.1.%d.%d" % (network, place + 1)
        for interface, own in (("eth0", addresses), ("eth1", [storage])):
            labels = {"role": ROLES[index], "rack": "r%d" % network}
            spec = {"node": name, "interfaceName": interface, "expectedIPs": own}
            endpoints.append(manifest("HostEndpoint", "%s-%s" % (name, interface), spec, labels=labels))
        eth0 = [addresses[0] + "/24", addresses[1] + "/64"]
        facts[name] = {"interfaces": {"eth0": eth0, "eth1": [storage + "/24"]}, "default_interface": "eth0"}
        groups[ROLES[index]].append(name)
        hosts[name] = {"node": name, "expectations": list(build_expectations(index, number, count))[:each]}
    return endpoints, facts, {"hosts": hosts, "groups": groups}


def build_expectations(index, number, count):
    def expectation(expect, direction, port, peer):
        name = "%s %s %s" % (expect, direction, peer)
        found = {"name": name, "expect": expect, "direction": direction, "protocol": "tcp"}
        return dict(found, port=port, peer=peer)

    port, next_port = 8000 + index, 8000 + (index + 1) % len(ROLES)
    for other in ROLES:
        is_source = other == ROLES[index - 1]
        yield expectation("allow" if is_source else "deny", "in", port, other)
        is_next = other == ROLES[(index + 1) % len(ROLES)]
        yield expectation("allow" if is_next else "deny", "out", next_port, other)
    yield expectation("allow", "in", 22, "10.250.3.0/24")
    yield expectation("deny", "in", [22, 80, 443], "0.0.0.0/0")
    yield expectation("deny", "in", 80, "::/0")
    yield expectation("allow", "out", [53, 443], "0.0.0.0/0")
    yield expectation("allow", "out", 443, "10.0.0.0/8")
    yield expectation("deny", "in", port, "10.251.0.0/16")
    # Peers of its own.
    yield expectation("deny", "in", 5432, "node-%04d" % ((number + 7) % count))
    yield expectation("allow", "out", 443, "node-%04d" % ((number + 5) % count))
    yield expectation("deny", "in", 22, "10.0.%d.0/25" % (number // _IN_A_NETWORK))
    yield expectation("allow", "out", 5432, "10.1.%d.7" % (number // _IN_A_NETWORK))


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connectivity", description=__doc__)
    parser.add_argument("--hosts", type=int, default=2000)
    parser.add_argument("--expectations", type=int, default=20, help="of each host, at most 20")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--update-readme", action="store_true")
    add_busy_option(parser)
    given = parser.parse_args()
    refuse_busy(parser, given.busy)
    endpoints, facts, option = build_fleet(given.hosts, given.expectations)
    samples = {"without": [], "with": []}
    with Workshop() as shop, EtcdServer(on_disk=True) as server:
        about = machine(server, shop.folder)
        information = {"kind": "ClusterInformation", "spec": {"datastoreReady": True, "calicoVersion": "v3.32.1"}}
        server.put_v3(ROOT + "clusterinformations/default", json.dumps(information))
        connection = {"datastore_type": "etcdv3", "etcd_endpoints": [server.url]}
        src = shop.write("set.json", build_policies() + endpoints)
        shop.module(dict(connection, src=src, guard="off"), name="calico_resources")
        audit = dict(connection, src=src, other_kinds="skip", nodes=sorted(facts))
        audit["guard_facts_src"] = shop.write("facts.json", facts)
        audit["dest"] = str(shop.folder / "found.json")
        expected = {"connectivity_src": shop.write("connectivity.json", option)}
        for _number in range(given.rounds):
            for row, more in (("without", {}), ("with", expected)):
                sample, result = shop.module(dict(audit, **more), name="calico_hostendpoints_audit")
                samples[row].append(sample)
    number = sum(len(host["expectations"]) for host in option["hosts"].values())
    if sum(result["expectations"].values()) != number:
        raise RuntimeError("%r" % result["expectations"])
    about["rounds"] = given.rounds
    text = ", ".join("%s: %s" % item for item in about.items()) + ". Medians.\n\n" + table(given.hosts, number, samples)
    print(text)
    if given.update_readme:
        update_readme(MARKS, text)


def table(hosts, number, samples):
    def median(row, field):
        return statistics.median(getattr(sample, field) for sample in samples[row])

    lines = ["| {0:,} hosts, {1:,} expectations | seconds | CPU | memory, MB |".format(hosts, number)]
    lines.append("| --- | ---: | ---: | ---: |")
    for row, name in (("without", "audit of all endpoints, module alone"), ("with", "the same with the expectations")):
        figures = [median(row, field) for field in ("wall", "cpu", "memory")]
        lines.append("| %s | %.2f | %.2f | %.0f |" % (name, *figures))
    # It has one thread, and wall time depends on other work on the machine.
    seconds, memory = median("with", "cpu") - median("without", "cpu"), median("with", "memory")
    lines += ["", "| target | wanted | measured | verdict |", "| --- | ---: | ---: | ---: |"]
    for text, most, value, unit in (
        ("evaluating the expectations, CPU", MOST_SECONDS, seconds, "s"),
        ("memory of the audit", MOST_MEMORY, memory, "MB"),
    ):
        verdict = "met" if value < most else "**missed**"
        lines.append("| %s | < %d %s | %.1f %s | %s |" % (text, most, unit, value, unit, verdict))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
