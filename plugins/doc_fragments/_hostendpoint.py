# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the endpoint. On etcdv2, 1 to 128 letters, digits and C(_ . / -), without a leading C(_). On etcdv3, a
        maximum of 253 characters from C(a-z 0-9 - .), as in a DNS name, unique in the whole datastore.
    type: str
  node:
    description:
      - Exact name of the host in Calico's Felix (C(FelixHostname)). On etcdv2, it is part of the endpoint's key and
        always required. On etcdv3, it is an ordinary field. It must be lower case and is required for a complete
        endpoint.
    type: str
  labels:
    description:
      - Labels that the selectors of policies match. Numbers and booleans are stored as strings, as in C(calicoctl).
      - A date such as C(2024-05-01) is stored as this string. Ansible parses an unquoted date with a
        time, so it becomes C(2024-05-01T10:00:00Z), with its own offset, or without an offset if it had none, however
        it was written. This is not a valid label value; quote the value, or omit the time.
    type: dict
  interface_name:
    description:
      - Name of the host's interface, with a maximum of 15 characters. The endpoint then applies only to the interface
        with this name. On etcdv3, V(*) means all interfaces of the host.
    type: str
    aliases: [interfaceName]
  expected_ips:
    description:
      - IPv4 and IPv6 addresses of the interface. Policies of other hosts that select this endpoint match traffic by
        these addresses. Without O(interface_name), the endpoint applies to every interface with one of them.
      - Compared as a set of addresses, regardless of order and notation.
    type: list
    elements: str
    aliases: [expectedIPs]
  profiles:
    description:
      - Names of profiles, in the order in which Felix evaluates them if no policy decides.
      - On etcdv2, Felix ignores an endpoint with a profile whose name contains C(/), which leaves the interface open.
        The module stores such an endpoint with a warning.
    type: list
    elements: str
  ports:
    description:
      - Named ports. Only the data model of Calico v3 has them; on etcdv2 they are an error.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the port.
        type: str
        required: true
      protocol:
        description:
          - Protocol of the port, V(TCP), V(UDP) or V(SCTP), or its number.
          - The module stores the protocol by name. C(calicoctl) can store a number, but Felix v3.32.1 then ignores the
            endpoint, which leaves the interface open. The module changes such a stored endpoint.
        type: str
        required: true
      port:
        description: Number of the port, 1 to 65535.
        type: int
        required: true
  annotations:
    description:
      - Annotations. Only the data model of Calico v3 has them; on etcdv2 they are an error.
      - Only the given annotations are compared and written. Other stored annotations are kept, and none is ever
        removed, because other tools store their own annotations on the endpoint.
    type: dict
"""
