# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies and endpoints in one call of calico_resources on a real etcd, against raw reads, and the guard.

Run by `make bench-policies`.
"""

from __future__ import annotations

import argparse
import json
import statistics

from tests.harness.etcd import EtcdServer

from . import fleet
from .processes import Workshop
from .report import add_busy_option, machine, refuse_busy, update_readme

MARKS = ("<!-- policies -->\n", "<!-- end of policies -->\n")
API = "projectcalico.org/v3"
ROOT = "/calico/resources/v3/projectcalico.org/"
# (what, wanted at most, row, row to compare with)
TARGETS = (
    ("nothing to do / floor playbook", 1.5, "no-op", "floor"),
    ("nothing to do, `--check` / floor playbook", 1.5, "check", "floor"),
)
MOST_GUARD = 10


def build_policies(count, changed=0):
    """Manifests of so many policies. The first ones are changed: they allow another port."""
    return [
        {
            "apiVersion": API,
            "kind": "GlobalNetworkPolicy",
            "metadata": {"name": "policy-%04d" % number, "labels": {"team": "t%d" % (number % 20)}},
            "spec": {
                "order": number,
                "selector": "role == 'worker'",
                "types": ["Ingress", "Egress"],
                "ingress": [
                    {
                        "action": "Allow",
                        "protocol": "TCP",
                        "source": {"selector": "role == 'r%d'" % number},
                        "destination": {"ports": [8000 + (number < changed)]},
                    },
                    {"action": "Allow", "protocol": "TCP", "destination": {"ports": [2222]}},
                ],
                "egress": [{"action": "Allow"}],
            },
        }
        for number in range(count)
    ]


def build_endpoints(count):
    return [
        {
            "apiVersion": API,
            "kind": "HostEndpoint",
            "metadata": {"name": each["name"], "labels": each["labels"]},
            "spec": {
                "node": each["node"],
                "interfaceName": each["interface_name"],
                "expectedIPs": each["expected_ips"],
                "profiles": each["profiles"],
            },
        }
        for each in fleet.endpoints(count, datastore_type="etcdv3")
    ]


class Policies:
    """Rounds of everything that is compared."""

    def __init__(self, shop, server, policies, endpoints, nodes):
        self.shop = shop
        self.samples = {}
        self.connection = {"datastore_type": "etcdv3", "etcd_endpoints": [server.url]}
        manifests = build_policies(policies) + build_endpoints(endpoints)
        self.arguments = dict(self.connection, src=shop.write("set.json", manifests))
        self.changed = dict(self.connection, src=shop.write("changed.json", build_policies(policies, changed=50)))
        self.facts = shop.write("facts.json", fleet.guard_facts(nodes))
        plurals = ["hostendpoints", "globalnetworkpolicies"]
        self.floor = {"port": server.port, "datastore_type": "etcdv3", "prefixes": [ROOT + each for each in plurals]}

    def store(self):
        result = self.shop.module(dict(self.arguments, guard="off"), name="calico_resources")[1]
        if not result["changed"]:
            raise RuntimeError("nothing was stored")

    def round(self):
        self.note("floor", self.play("floor", {"netsec_raw": self.floor}))
        task = {"netsec.calico.calico_resources": self.arguments}
        self.note("no-op", self.play("no-op", task))
        self.note("check", self.play("check", task, "--check"))
        self.note("module", self.shop.module(self.arguments, name="calico_resources")[0])
        for row, more in (("off", {"guard": "off"}), ("guard", {"guard": "enforce", "guard_facts_src": self.facts})):
            sample, result = self.shop.module(dict(self.changed, **more), check=True, name="calico_resources")
            if result["summary"]["updated"] != 50:
                raise RuntimeError("%r" % result["summary"])
            self.note(row, sample)

    def play(self, name, task, *options):
        path = self.shop.write(name + ".yml", [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
        return self.shop.playbook(path, *options, changed=0)

    def note(self, row, sample):
        self.samples.setdefault(row, []).append(sample)

    def median(self, row, field="wall"):
        return statistics.median(getattr(sample, field) for sample in self.samples[row])


def table(bench, policies, endpoints, nodes):
    names = {
        "floor": "floor playbook: one task, raw reads of both kinds",
        "no-op": "`calico_resources`, nothing to do, playbook",
        "check": "the same, `--check`",
        "module": "`calico_resources`, nothing to do, module alone",
        "off": "check of 50 changed policies, module alone, `guard: off`",
        "guard": "check of 50 changed policies, module alone, `guard: enforce`, facts of {0:,} hosts".format(nodes),
    }
    lines = ["| {0:,} policies and {1:,} endpoints | seconds | CPU | memory, MB |".format(policies, endpoints)]
    lines.append("| --- | ---: | ---: | ---: |")
    for row, name in names.items():
        memory = "%.0f" % bench.median(row, "memory") if bench.samples[row][0].memory else ""
        lines.append("| %s | %.2f | %.2f | %s |" % (name, bench.median(row), bench.median(row, "cpu"), memory))
    lines += ["", "| target | wanted | measured | verdict |", "| --- | ---: | ---: | ---: |"]
    for text, most, row, base in TARGETS:
        ratio = bench.median(row) / bench.median(base)
        lines.append("| %s | <= %s | %.2f | %s |" % (text, most, ratio, "met" if ratio <= most else "**missed**"))
    seconds = bench.median("guard") - bench.median("off")
    verdict = "met" if seconds < MOST_GUARD else "**missed**"
    lines.append(
        "| the guard, 50 policies over {0:,} hosts | < {1} s | {2:.1f} s | {3} |".format(
            nodes, MOST_GUARD, seconds, verdict
        )
    )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies", description=__doc__)
    parser.add_argument("--policies", type=int, default=2000)
    parser.add_argument("--endpoints", type=int, default=10000)
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--update-readme", action="store_true")
    add_busy_option(parser)
    given = parser.parse_args()
    refuse_busy(parser, given.busy)
    with Workshop() as shop, EtcdServer(on_disk=True) as server:
        facts = machine(server, shop.folder)
        information = {"kind": "ClusterInformation", "spec": {"datastoreReady": True}}
        server.put_v3(ROOT + "clusterinformations/default", json.dumps(information))
        bench = Policies(shop, server, given.policies, given.endpoints, given.nodes)
        bench.store()
        for number in range(given.rounds):
            bench.round()
            print("round %d of %d" % (number + 1, given.rounds), flush=True)
    facts["rounds"] = given.rounds
    text = ", ".join("%s: %s" % item for item in facts.items()) + ". Medians.\n\n"
    text += table(bench, given.policies, given.endpoints, given.nodes)
    print(text)
    if given.update_readme:
        update_readme(MARKS, text)


if __name__ == "__main__":
    main()
