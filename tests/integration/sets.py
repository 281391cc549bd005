# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""calico_hostendpoints as a task calls it, and what it should store, spelled out without the collection's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.harness.module import COLLECTION, run_module
from tests.integration.tasks import HOSTS

OWNER_LABEL = "app.kubernetes.io/managed-by"
CALICO_LABEL = "projectcalico.org/created-by"
MINE = {OWNER_LABEL: "me"}
# What AWX keeps of a result.
AWX_SIZE = 700000


def hostendpoints(*servers, check=False, diff=False, **options):
    """A calico_hostendpoints task."""
    return run_module("calico_hostendpoints", task(*servers, **options), check, diff)


def task(*servers, **options):
    """Its parameters."""
    return dict(options, etcd_endpoints=[server.url for server in servers])


def endpoint(node, name="eth0", interface_name="eth0", **fields):
    return dict(node=node, name=name, interface_name=interface_name, **fields)


def key_of(node, name="eth0"):
    return "%s/%s/endpoint/%s" % (HOSTS, node, name.replace("/", "%2f"))


def value_of(fields, labels=None):
    """The bytes that Calico's own client writes for an endpoint with these fields."""
    addresses = fields.get("expected_ips", [])
    value = {
        "name": fields.get("interface_name"),
        "expected_ipv4_addrs": [address for address in addresses if ":" not in address],
        "expected_ipv6_addrs": [address for address in addresses if ":" in address],
        "labels": dict(sorted(dict(fields.get("labels", {}), **(labels or {})).items())),
        "profile_ids": fields.get("profiles"),
    }
    return json.dumps({key: part for key, part in value.items() if part}, separators=(",", ":"))


def tree_of(endpoints, labels=None):
    """{key: value} of the stored endpoints."""
    return {key_of(each["node"], each["name"]): value_of(each, labels) for each in endpoints}


def put_all(etcd, tree):
    for key, value in tree.items():
        etcd.put(key, value)


def changes_of(result, *lists):
    """[(operation, node, name)] of these lists of the result, all three by default."""
    names = lists or ("changes", "failures", "not_attempted")
    return [(each["operation"], each["node"], each["name"]) for name in names for each in result.get(name, [])]


def conditions(requests):
    """What each write is, by the condition that it bears: create, update or delete."""
    kinds = []
    for request in requests:
        parameters = request.parameters
        if request.method == "DELETE":
            assert int(parameters["prevIndex"]) > 0 and "recursive" not in parameters and "dir" not in parameters
            kinds.append("delete")
        elif "prevExist" in parameters:
            assert parameters["prevExist"] == "false"
            kinds.append("create")
        else:
            assert int(parameters["prevIndex"]) > 0
            kinds.append("update")
    return kinds


# Whatever a task is given comes by standard input; the result and the most memory that it ever had go out.
_MODULE = """
import json
import sys
from tests.harness.module import run_module

result = run_module("calico_hostendpoints", json.load(sys.stdin))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
json.dump({"result": result, "peak_kilobytes": int(peak.split()[1])}, sys.stdout)
"""


class ModuleProcess:
    """The task in a process of its own, which can be killed."""

    def __init__(self, parameters):
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=str(COLLECTION),
            env=environment,
        )
        self._parameters = json.dumps(parameters).encode()

    def kill(self):
        self._process.kill()

    def run(self):
        """Its exit status (-9 when it was killed) and what it printed, decoded."""
        try:
            output = self._process.communicate(self._parameters, timeout=120)[0]
        finally:
            self._process.kill()
            self._process.wait()
        return self._process.returncode, json.loads(output) if output else None
