# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An endpoint as a task gives it, as Calico stores it. Ansible ships it with the module of the floor."""

from __future__ import annotations

import json
from urllib.parse import urlencode

HOSTENDPOINTS_V3 = "/calico/resources/v3/projectcalico.org/hostendpoints/"


def request_v2(endpoint):
    """(path, form with a condition) of the request that creates it, byte for byte as Calico stores it."""
    ipv4, ipv6 = endpoint["expected_ips"]
    value = {
        "name": endpoint["interface_name"],
        "expected_ipv4_addrs": [ipv4],
        "expected_ipv6_addrs": [ipv6],
        "labels": endpoint["labels"],
        "profile_ids": endpoint["profiles"],
    }
    path = "/v2/keys/calico/v1/host/%s/endpoint/%s" % (endpoint["node"], endpoint["name"])
    return path, urlencode({"prevExist": "false", "value": json.dumps(value, separators=(",", ":"))})


def value_v3(endpoint):
    """(key, value), byte for byte as Calico v3 stores it but for identity and time."""
    value = {
        "kind": "HostEndpoint",
        "apiVersion": "projectcalico.org/v3",
        "metadata": {
            "name": endpoint["name"],
            "uid": "11111111-2222-4333-8444-555555555555",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": endpoint["labels"],
        },
        "spec": {
            "node": endpoint["node"],
            "interfaceName": endpoint["interface_name"],
            "expectedIPs": endpoint["expected_ips"],
            "profiles": endpoint["profiles"],
        },
    }
    return HOSTENDPOINTS_V3 + endpoint["name"], json.dumps(value, separators=(",", ":"))
