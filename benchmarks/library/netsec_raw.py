# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor for any module that reads host endpoints, one raw read of all of them, decoded; or that creates them.

For the benchmarks only.
"""

from __future__ import annotations

import base64
import http.client
import json

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.netsec_values import HOSTENDPOINTS_V3, request_v2, value_v3


def main():
    options = {
        "port": {"type": "int"},
        "datastore_type": {"type": "str"},
        "src": {"type": "path"},
        # On etcdv3, what is read.
        "prefixes": {"type": "list", "elements": "str", "default": [HOSTENDPOINTS_V3[:-1]]},
    }
    module = AnsibleModule(options, supports_check_mode=True)
    connection = http.client.HTTPConnection("127.0.0.1", module.params["port"], timeout=30)
    read, create = {"etcdv2": (read_v2, create_v2), "etcdv3": (read_v3, create_v3)}[module.params["datastore_type"]]
    if module.params["src"]:
        with open(module.params["src"], encoding="utf-8") as stream:
            create(connection, json.load(stream))
        module.exit_json(changed=True)
    found = [read(connection, prefix + "/") for prefix in module.params["prefixes"]]
    module.exit_json(changed=False, endpoints=sum(map(len, found)))


def read_v2(connection, _prefix):
    connection.request("GET", "/v2/keys/calico/v1/host?recursive=true&quorum=true")
    pending, endpoints = [json.loads(connection.getresponse().read())["node"]], []
    while pending:
        node = pending.pop()
        pending += node.get("nodes", ())
        if "value" in node:
            endpoints.append(json.loads(node["value"]))
    return endpoints


def create_v2(connection, endpoints):
    for path, form in map(request_v2, endpoints):
        connection.request("PUT", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
        json.loads(connection.getresponse().read())["node"]


def read_v3(connection, prefix):
    key, end = encoded(prefix), encoded(prefix[:-1] + "0")
    connection.request("POST", "/v3/kv/range", json.dumps({"key": key, "range_end": end}))
    kvs = json.loads(connection.getresponse().read()).get("kvs", ())
    return [json.loads(base64.b64decode(kv["value"])) for kv in kvs]


def create_v3(connection, endpoints):
    for first in range(0, len(endpoints), 128):
        compare, puts = [], []
        for key, value in map(value_v3, endpoints[first : first + 128]):
            key = encoded(key)
            compare.append({"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": 0})
            puts.append({"request_put": {"key": key, "value": encoded(value)}})
        connection.request("POST", "/v3/kv/txn", json.dumps({"compare": compare, "success": puts}))
        if not json.loads(connection.getresponse().read())["succeeded"]:
            raise RuntimeError("a transaction was refused")


def encoded(text):
    return base64.b64encode(text.encode()).decode()


if __name__ == "__main__":
    main()
