# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as a task calls them, and the keys and vectors that the tests compare with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.datastore import DATASTORES
from tests.harness.datastore_kubernetes import KUBERNETES_DATASTORES
from tests.harness.etcd import binaries
from tests.harness.module import run_module
from tests.harness.pace import PATIENT
from tests.harness.wire import Wire

# For what makes no difference to etcd: what is refused before, and what becomes of answers that a wire makes.
one_etcd = pytest.mark.parametrize("etcd_binary", binaries()[:1] or [None], ids=["one etcd"], indirect=True)
# For what only one of them has.
only_etcdv2 = pytest.mark.parametrize("datastore_type", ["etcdv2"])
only_etcdv3 = pytest.mark.parametrize("datastore_type", ["etcdv3"])
only_etcd = pytest.mark.parametrize("datastore_type", list(DATASTORES))
only_kubernetes = pytest.mark.parametrize("datastore_type", list(KUBERNETES_DATASTORES))
# For what all have that hold Calico's v3 data model.
V3_DATASTORES = ("etcdv3", *KUBERNETES_DATASTORES)
only_v3 = pytest.mark.parametrize("datastore_type", V3_DATASTORES)

# An endpoint that both datastores take, and how messages call it.
NAMED = {"name": "n1-eth0", "node": "n1"}
SUBJECT = "host endpoint n1-eth0 on node n1"

# For tests that are about etcdv2 only.
HOSTS = "/calico/v1/host"
READY = "/calico/v1/Ready"
KEY = HOSTS + "/n1/endpoint/n1-eth0"


def hostendpoint(*servers, check=False, diff=True, **options):
    """A calico_hostendpoint task about NAMED, unless the options say another one; unguarded, unless they say so."""
    identity = {} if "resource" in options else NAMED
    return _run("calico_hostendpoint", servers, dict(identity, **dict({"guard": "off"}, **options)), check, diff)


def info(*servers, **options):
    """A calico_hostendpoint_info task."""
    return _run("calico_hostendpoint_info", servers, options)


def connection(*servers):
    """The options that lead to these: datastores, wires to one, or whatever has a URL."""
    behind = [server.server if isinstance(server, Wire) else server for server in servers]
    for each in behind:
        if hasattr(each, "connection"):
            return each.connection(*servers)
    types = [each.type for each in behind if hasattr(each, "type")]
    return {"datastore_type": (types or ["etcdv2"])[0], "etcd_endpoints": [server.url for server in servers]}


def _run(module, servers, options, check=False, diff=False):
    return run_module(module, dict(connection(*servers), **dict({"timeout": PATIENT}, **options)), check, diff)


def failure(result, *parts):
    """The message of a failed run, in which all the parts are: one line, and not a book."""
    assert result["failed"], result
    assert "changed" not in result or result["changed"] is False
    for part in parts:
        assert part in result["msg"], result["msg"]
    assert "\n" not in result["msg"] and len(result["msg"]) < 2000, result["msg"]
    return result["msg"]


def vectors(name):
    """Rows of inputs and outputs of Calico's own code."""
    path = Path(__file__).resolve().parents[1] / "vectors" / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
