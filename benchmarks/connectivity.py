# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared connectivity of a fleet, evaluated in this process: `make bench-connectivity`.

Hosts of five roles in networks of 100, each with an interface with both versions of IP and a second interface, policies
that select by label, and expectations whose peers are groups, networks, hosts and addresses.
"""

from __future__ import annotations

import argparse
import json
import time

from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._datastore.snapshot import PolicySnapshot
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.evaluate import evaluate_connectivity
from ansible_collections.netsec.calico.plugins.module_utils._guard._connectivity.hosts import parse_connectivity
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import V3
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import HostEndpoint

from .module_alone import peak_memory

ROLES = ("web", "app", "db", "cache", "backup")
MOST_SECONDS, MOST_MEMORY = 20, 500
_IN_A_NETWORK = 100


def resource(name, spec):
    return json.dumps({"kind": "x", "metadata": {"name": name}, "spec": spec})


def build_snapshot():
    policies = [("ping", {"selector": "all()", "ingress": [{"action": "Allow", "protocol": "ICMP"}]})]
    policies.append(("neighbours", {"selector": "all()", "order": 1, "types": ["Ingress", "Egress"]}))
    policies[-1][1].update(dict.fromkeys(("ingress", "egress"), [{"action": "Allow", "protocol": "ICMPv6"}]))
    for number, role in enumerate(ROLES):
        source = ROLES[number - 1]
        rules = [
            {
                "action": "Allow",
                "protocol": "TCP",
                "source": {"selector": "role == '%s'" % source},
                "destination": {"ports": [8000 + number]},
            },
            {
                "action": "Allow",
                "protocol": "TCP",
                "source": {"nets": ["10.250.%d.0/24" % index for index in range(20)]},
                "destination": {"ports": [22]},
            },
        ]
        spec = {"selector": "role == '%s'" % role, "ingress": rules, "egress": [{"action": "Allow"}]}
        policies.append((role, dict(spec, types=["Ingress", "Egress"], order=number + 10)))
    state = resource("default", {"datastoreReady": True, "calicoVersion": "v3.32.1"})
    return PolicySnapshot(policies=[(name, resource(name, spec)) for name, spec in policies], state=state)


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
            endpoint = HostEndpoint(
                name="%s-%s" % (name, interface),
                node=name,
                interface_name=interface,
                expected_ips=tuple(own),
                labels=labels,
            )
            endpoints.append(endpoint)
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
    given = parser.parse_args()
    endpoints, facts, option = build_fleet(given.hosts, given.expectations)
    # Both as the module reads them.
    start = time.process_time()
    connectivity = parse_connectivity(option, facts)
    parsed = time.process_time()
    results = evaluate_connectivity(Evaluator(V3, build_snapshot(), endpoints), connectivity)
    end = time.process_time()
    states = [result.state for result in results]
    print({state: states.count(state) for state in sorted(set(states))})
    verdict = "met" if end - start < MOST_SECONDS and peak_memory() < MOST_MEMORY else "missed"
    text = "%d hosts, %d expectations: read in %.1f s, evaluated in %.1f s, %.0f MB: %s (< %d s, < %d MB)"
    figures = (
        given.hosts,
        len(results),
        parsed - start,
        end - parsed,
        peak_memory(),
        verdict,
        MOST_SECONDS,
        MOST_MEMORY,
    )
    print(text % figures)


if __name__ == "__main__":
    main()
