# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoints:
    description:
      - The endpoints. A field that is left out is empty.
      - For more than some hundred endpoints use O(src), since Ansible itself takes long to hand over a long list.
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

    # Other ways to give a set.
    SOURCES = r"""
options:
  resources:
    description:
      - The endpoints as a list of Calico resources, each a mapping as in
        O(netsec.calico.calico_hostendpoint#module:resource), or the text of a file that O(src) could name. Such a text
        may also stand in the place of the list.
    type: raw
  src:
    description:
      - Path of a JSON or YAML file with the endpoints, on the host where the module runs. Give an absolute one, such as
        C({{ playbook_dir }}/hostendpoints.json) on the controller. A relative one counts from the working directory of
        the module there, which the message about a missing file names.
      - It holds a list, or several YAML documents, or a list resource such as C(calicoctl get -o yaml) prints. Each
        item is the fields of an endpoint, as in O(endpoints), or a Calico resource.
      - It is a regular file in UTF-8 of at most 100 MB and 4 million values and keys, which 100,000 endpoints as
        C(calicoctl) prints them do not reach. A YAML alias counts as all that it stands for. A pipe or a device is an
        error, such as C(/dev/stdin), since a module's standard input is Ansible's.
      - Everything in the file counts, or is an error with its line. A key that is given twice in one mapping is an
        error. A date is the text as it is written.
      - JSON is much faster to read than YAML.
    type: path
  other_kinds:
    description:
      - What to do with resources of other kinds in O(src) and O(resources), such as policies, also within a list
        resource.
      - V(error) refuses the whole set. V(skip) leaves them out and counts them in RV(ignore:other_kinds_skipped). A set
        in which nothing else is left is an error.
    type: str
    choices: [error, skip]
    default: error
"""
