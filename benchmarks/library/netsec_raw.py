# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor for any module that reads host endpoints: one raw read of all of them, decoded. For the benchmarks only."""

from __future__ import annotations

import http.client
import json

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule({"port": {"type": "int"}}, supports_check_mode=True)
    connection = http.client.HTTPConnection("127.0.0.1", module.params["port"], timeout=30)
    connection.request("GET", "/v2/keys/calico/v1/host?recursive=true&quorum=true")
    pending, endpoints = [json.loads(connection.getresponse().read())["node"]], []
    while pending:
        node = pending.pop()
        pending += node.get("nodes", ())
        if "value" in node:
            endpoints.append(json.loads(node["value"]))
    module.exit_json(changed=False, endpoints=len(endpoints))


if __name__ == "__main__":
    main()
