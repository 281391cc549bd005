# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores in etcd what Calico itself would store, without calico/node and calicoctl.

python demo/calico.py MANIFESTS NODE ...
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import uuid
from pathlib import Path

import yaml

API_VERSION = "projectcalico.org/v3"
PREFIX = "/calico/resources/v3/projectcalico.org/"
PLURALS = {
    "ClusterInformation": "clusterinformations",
    "GlobalNetworkPolicy": "globalnetworkpolicies",
    "Node": "nodes",
}


def main(manifests, *nodes):
    store(resource("ClusterInformation", "default", {"clusterGUID": uuid.uuid4().hex, "datastoreReady": True}))
    for node in nodes:
        # Calico itself converts a host's name to the node's in this way.
        store(resource("Node", node.lower().replace("_", "-"), {}))
    for manifest in yaml.safe_load(Path(manifests).read_text(encoding="utf-8"))["items"]:
        store(resource(manifest["kind"], manifest["metadata"]["name"], manifest["spec"]))


def resource(kind, name, spec):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = {"name": name, "uid": str(uuid.uuid4()), "creationTimestamp": now}
    return {"kind": kind, "apiVersion": API_VERSION, "metadata": metadata, "spec": spec}


def store(document):
    key = PREFIX + PLURALS[document["kind"]] + "/" + document["metadata"]["name"]
    value = json.dumps(document, separators=(",", ":"))
    subprocess.run(["etcdctl", "put", key], input=value, text=True, stdout=subprocess.DEVNULL, check=True)
    print(key[len(PREFIX) :])


if __name__ == "__main__":
    main(*sys.argv[1:])
