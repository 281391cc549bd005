# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as a task calls them, and the keys and vectors that the tests compare with."""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness.module import run_module

HOSTS = "/calico/v1/host"
READY = "/calico/v1/Ready"
KEY = HOSTS + "/n1/endpoint/eth0"
# How messages call it.
SUBJECT = "host endpoint eth0 on node n1"


def hostendpoint(*servers, check=False, diff=True, **options):
    """A calico_hostendpoint task about KEY, unless the options say another one."""
    identity = {} if "resource" in options else {"name": "eth0", "node": "n1"}
    return _run("calico_hostendpoint", servers, dict(identity, **options), check, diff)


def info(*servers, **options):
    """A calico_hostendpoint_info task."""
    return _run("calico_hostendpoint_info", servers, options)


def _run(module, servers, options, check=False, diff=False):
    return run_module(module, dict(options, etcd_endpoints=[server.url for server in servers]), check, diff)


def vectors(name):
    """Rows of inputs and outputs of Calico's own code."""
    path = Path(__file__).resolve().parents[1] / "vectors" / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
