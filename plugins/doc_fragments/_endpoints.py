# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoints:
    description:
      - The endpoints. An omitted field is empty.
      - Use O(src) for more than a few hundred endpoints, because Ansible passes long lists to a module slowly.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(netsec.calico.calico_hostendpoint#module:name).
        type: str
      node:
        description: As O(netsec.calico.calico_hostendpoint#module:node).
        type: str
      labels:
        description: As O(netsec.calico.calico_hostendpoint#module:labels).
        type: dict
      interface_name:
        description: As O(netsec.calico.calico_hostendpoint#module:interface_name).
        type: str
        aliases: [interfaceName]
      expected_ips:
        description: As O(netsec.calico.calico_hostendpoint#module:expected_ips).
        type: list
        elements: str
        aliases: [expectedIPs]
      profiles:
        description: As O(netsec.calico.calico_hostendpoint#module:profiles).
        type: list
        elements: str
      ports:
        description: As O(netsec.calico.calico_hostendpoint#module:ports).
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the port.
            type: str
            required: true
          protocol:
            description: Protocol of the port, such as V(TCP).
            type: str
            required: true
          port:
            description: Number of the port, 1 to 65535.
            type: int
            required: true
      annotations:
        description: As O(netsec.calico.calico_hostendpoint#module:annotations).
        type: dict
"""

    # Other sources of a set.
    SOURCES = r"""
options:
  resources:
    description:
      - The endpoints as a list of Calico resources. Each item is a mapping as in
        O(netsec.calico.calico_hostendpoint#module:resource), or a string with the content of a file that O(src)
        accepts. Such a string can also replace the list.
    type: raw
  src:
    description:
      - Path of a JSON or YAML file with the endpoints, on the host where the module runs. Use an absolute path, such as
        C({{ playbook_dir }}/hostendpoints.json) on the controller. A relative path starts at the module's working
        directory on that host; the error message for a missing file names this directory.
      - The file contains a list, several YAML documents, or a list resource as printed by C(calicoctl get -o yaml).
        Each item is a mapping with the fields of an endpoint, as in O(endpoints), or a Calico resource.
      - The file must be a regular file in UTF-8 with a maximum of 100 MB and 4 million values and keys. This is enough
        for 100,000 endpoints as printed by C(calicoctl). A YAML alias counts as the whole content that it refers to.
        A pipe or a device is an error, such as C(/dev/stdin), because Ansible uses the module's standard input.
      - Nothing in the file is ignored. Invalid content is an error that names the line, as is a duplicate key in a
        mapping. A date is read as the string that is written in the file.
      - JSON is much faster to read than YAML.
    type: path
  other_kinds:
    description:
      - Handling of resources of other kinds, such as policies, in O(src) and O(resources), including those inside a
        list resource.
      - V(error) rejects the whole set. V(skip) leaves them out and returns their number in
        RV(ignore:other_kinds_skipped). A set that contains nothing else is an error, and so is a kind that only
        resembles that of a host endpoint, such as C(hostendpoint) or C(HostEndpoints).
    type: str
    choices: [error, skip]
    default: error
"""
