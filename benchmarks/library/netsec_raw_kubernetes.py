# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor on Kubernetes: the same library, one raw list of all host endpoints, decoded. For the benchmarks only."""

from __future__ import annotations

import json

from ansible.module_utils.basic import AnsibleModule
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import kube_config


def main():
    module = AnsibleModule({"kubeconfig": {"type": "path"}, "api": {"type": "str"}}, supports_check_mode=True)
    configuration = Configuration()
    kube_config.load_kube_config(module.params["kubeconfig"], client_configuration=configuration)
    headers = {setting["key"]: setting["value"] for setting in configuration.auth_settings().values()}
    url = "%s/apis/%s/hostendpoints" % (configuration.host, module.params["api"])
    answer = RESTClientObject(configuration).pool_manager.request("GET", url, headers=headers)
    module.exit_json(changed=False, endpoints=len(json.loads(answer.data)["items"]))


if __name__ == "__main__":
    main()
