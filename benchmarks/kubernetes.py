# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call on a real kube-apiserver, against raw requests, and against kubernetes.core.

Run by `make bench-kubernetes`; `make kube-apiserver` builds the server. kubernetes.core is measured where it is
installed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import threading
import time
from importlib import metadata
from pathlib import Path

from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.kubernetes import KubeApiServer

from . import fleet
from .processes import Sample, Workshop
from .report import add_busy_option, machine, refuse_busy, update_readme

MARKS = ("<!-- kubernetes -->\n", "<!-- end of kubernetes -->\n")
CONNECTIONS = (1, 2, 4, 8, 16)
# (what, wanted at most, row, row to compare with)
TARGETS = (
    ("nothing to do / `kubernetes.core.k8s_info`", 0.5, "no-op", "k8s_info"),
    ("nothing to do, `--check` / `kubernetes.core.k8s_info`", 0.5, "check", "k8s_info"),
    ("nothing to do / floor playbook", 1.5, "no-op", "floor"),
    ("nothing to do, `--check` / floor playbook", 1.5, "check", "floor"),
    ("create / raw creates", 1.3, "create", "raw create"),
)
MOST_MEMORY = 250
# As many endpoints as other tools create, one by one.
FEW = 20


class Raw:
    """Requests over kept-alive connections, one for each thread."""

    def __init__(self, server, api):
        self._server = server
        self._path = "/apis/%s/hostendpoints" % api
        self._api = api
        self._local = threading.local()

    def create(self, endpoints, connections):
        """Seconds for all of them over so many connections at the same time."""
        bodies = [json.dumps(self.document(endpoint)) for endpoint in endpoints]
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(connections) as pool:
            for status in pool.map(lambda body: self._send("POST", self._path, body), bodies):
                if status != 201:
                    raise RuntimeError("a creation was answered with %d" % status)
        return time.perf_counter() - start

    def document(self, endpoint):
        spec = {"node": endpoint["node"], "interfaceName": endpoint["interface_name"]}
        spec.update(expectedIPs=endpoint["expected_ips"], profiles=endpoint["profiles"])
        metadata_ = {"name": endpoint["name"], "labels": endpoint["labels"]}
        return {"apiVersion": self._api, "kind": "HostEndpoint", "metadata": metadata_, "spec": spec}

    def _send(self, method, path, body=None):
        connection = getattr(self._local, "connection", None)
        if connection is None:
            context = self._server.client_context
            connection = http.client.HTTPSConnection("127.0.0.1", self._server.port, timeout=300, context=context)
            self._local.connection = connection
        headers = {"Authorization": "Bearer " + self._server.token, "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


class Kubernetes:
    """Rounds of everything that is compared, so that they go A B A B."""

    def __init__(self, shop, server, datastore, count):
        self.shop, self.server, self.datastore, self.count = shop, server, datastore, count
        self.raw = Raw(server, datastore.api)
        self.samples = {}
        self.connections = 1
        self.kubeconfig = server.write_kubeconfig(shop.folder / "kubeconfig")

    def choose_connections(self):
        """The number with which raw creates are quickest, found with fewer endpoints."""
        few = fleet.endpoints(min(self.count, 1000), datastore_type="etcdv3")
        found = {}
        for connections in CONNECTIONS:
            self.datastore.reset()
            found[connections] = self.raw.create(few, connections)
        self.connections = min(found, key=found.get)
        return found

    def round(self):
        endpoints = fleet.endpoints(self.count, datastore_type="etcdv3")
        connection = dict(self.datastore.connection())
        task = dict(connection, guard="off", src=self.shop.write("set.json", endpoints))
        self.datastore.reset()
        self.note("raw create", Sample(self.raw.create(endpoints, self.connections)))
        self.datastore.reset()
        self.note("create", self.play("create", {"netsec.calico.calico_hostendpoints": task}, 1))
        floor = {"kubeconfig": self.kubeconfig, "api": self.datastore.api}
        self.note("floor", self.play("floor", {"netsec_raw_kubernetes": floor}, 0))
        self.note("no-op", self.play("no-op", {"netsec.calico.calico_hostendpoints": task}, 0))
        self.note("check", self.play("check", {"netsec.calico.calico_hostendpoints": task}, 0, "--check"))
        if has_kubernetes_core():
            listed = {"kubeconfig": self.kubeconfig, "api_version": self.datastore.api, "kind": "HostEndpoint"}
            # Without its result in the output, which it would dominate.
            self.note("k8s_info", self.play("info", {"kubernetes.core.k8s_info": listed, "no_log": True}, 0))
        sample, result = self.shop.module(task)
        if result["summary"]["unchanged"] != self.count:
            raise RuntimeError("%r" % result["summary"])
        self.note("module", sample)

    def create_few(self):
        """What other tools take to create a few endpoints, where they are installed."""
        endpoints = fleet.endpoints(FEW, datastore_type="etcdv3")
        documents = [self.raw.document(endpoint) for endpoint in endpoints]
        task = dict(self.datastore.connection(), guard="off", src=self.shop.write("few.json", endpoints))
        self.datastore.reset()
        self.note("few", self.play("few", {"netsec.calico.calico_hostendpoints": task}, 1))
        if has_kubernetes_core():
            self.datastore.reset()
            one = {"kubeconfig": self.kubeconfig, "definition": "{{ item }}"}
            loop = {"kubernetes.core.k8s": one, "loop": documents, "no_log": True}
            self.note("few by k8s", self.play("loop", loop, 1))
        if shutil.which("kubectl"):
            self.datastore.reset()
            path = self.shop.write("few-manifests.json", {"apiVersion": "v1", "kind": "List", "items": documents})
            command = ["kubectl", "--kubeconfig", self.kubeconfig, "apply", "-f", path]
            self.note("few by kubectl", self.shop.process(command)[0])

    def note(self, row, sample):
        self.samples.setdefault(row, []).append(sample)

    def play(self, name, task, changed, *options):
        path = self.shop.write(name + ".yml", [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
        return self.shop.playbook(path, *options, changed=changed)

    def median(self, row, field="wall"):
        values = [getattr(sample, field) for sample in self.samples.get(row, ())]
        return statistics.median([value for value in values if value is not None]) if values else None


def has_kubernetes_core():
    program = Path(sys.executable).with_name("ansible-galaxy")
    answer = subprocess.run([program, "collection", "list"], capture_output=True, text=True, check=False)
    return "kubernetes.core" in answer.stdout


def table(bench, tried):
    names = {
        "raw create": "raw creates, %d connections" % bench.connections,
        "create": "`calico_hostendpoints`, create, playbook",
        "floor": "floor playbook: the same library, one raw list",
        "no-op": "`calico_hostendpoints`, nothing to do, playbook",
        "check": "the same, `--check`",
        "k8s_info": "`kubernetes.core.k8s_info`, playbook",
        "module": "`calico_hostendpoints`, nothing to do, module alone",
        "few": "%d endpoints: `calico_hostendpoints`, create, playbook" % FEW,
        "few by k8s": "%d endpoints: a loop of `kubernetes.core.k8s`" % FEW,
        "few by kubectl": "%d endpoints: `kubectl apply` of one file" % FEW,
    }
    lines = ["| %s, %s endpoints | seconds | CPU | rounds |" % (bench.datastore.api, format(bench.count, ","))]
    lines.append("| --- | ---: | ---: | ---: |")
    for row, name in names.items():
        if row in bench.samples:
            cpu = bench.median(row, "cpu") if row != "raw create" else None
            cells = [
                name,
                "%.2f" % bench.median(row),
                "" if cpu is None else "%.2f" % cpu,
                str(len(bench.samples[row])),
            ]
            lines.append("| %s |" % " | ".join(cells))
    lines += ["", "| target | wanted | measured | verdict |", "| --- | ---: | ---: | ---: |"]
    for text, most, row, base in TARGETS:
        if base in bench.samples:
            ratio = bench.median(row) / bench.median(base)
            lines.append("| %s | <= %s | %.2f | %s |" % (text, most, ratio, "met" if ratio <= most else "**missed**"))
    memory = bench.median("module", "memory")
    verdict = "met" if memory <= MOST_MEMORY else "**missed**"
    lines.append("| memory of the module | <= %d MB | %.0f MB | %s |" % (MOST_MEMORY, memory, verdict))
    few = ", ".join("%d: %.2f s" % pair for pair in tried.items())
    lines += ["", "Raw creates of %s endpoints by the number of connections: %s." % (min(bench.count, 1000), few), ""]
    if "k8s_info" in bench.samples:
        share = bench.median("floor") / bench.median("k8s_info")
        lines += ["The floor playbook itself takes %.2f of `kubernetes.core.k8s_info`." % share, ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kubernetes", description=__doc__)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--api", choices=list(KUBERNETES_DATASTORES), default="kubernetes-v3")
    parser.add_argument("--update-readme", action="store_true")
    add_busy_option(parser)
    given = parser.parse_args()
    refuse_busy(parser, given.busy)
    with Workshop() as shop, KubeApiServer() as server:
        server.install_crds()
        datastore = KUBERNETES_DATASTORES[given.api](server)
        datastore.reset()
        facts = machine(server, shop.folder)
        facts.update({"kube-apiserver": facts.pop("etcd"), "kubernetes": metadata.version("kubernetes")})
        bench = Kubernetes(shop, server, datastore, given.count)
        tried = bench.choose_connections()
        for number in range(given.rounds):
            bench.round()
            print("round %d of %d" % (number + 1, given.rounds), flush=True)
        # Not in the rounds: a server is faster after it has deleted few objects than after many.
        for _number in range(given.rounds):
            bench.create_few()
    text = ", ".join("%s: %s" % item for item in facts.items()) + ". Medians.\n\n" + table(bench, tried)
    print(text)
    if given.update_readme:
        update_readme(MARKS, text)


if __name__ == "__main__":
    main()
