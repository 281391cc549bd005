# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the endpoint. On etcdv2 1 to 128 letters, digits and C(_ . / -), and not a leading C(_). On etcdv3,
        where it is unique in the whole datastore, at most 253 of C(a-z 0-9 - .), as in a DNS name.
    type: str
  node:
    description:
      - Name of the host as Calico's Felix knows it (C(FelixHostname)), exactly. On etcdv2 it is a part of the
        endpoint's key, and always needed. On etcdv3 it is a field like the others, needed for a whole endpoint, and in
        lower case.
    type: str
  labels:
    description:
      - Labels that the selectors of policies match. Numbers and truth values are stored as text, as C(calicoctl) does.
      - A date such as C(2024-05-01) is stored as this text. Where Ansible has read a date with a time, it is stored as
        C(2024-05-01T10:00:00Z), or with another offset, or without any if it was given without, however it was written.
        Labels cannot have such a value; quote it, or leave the time out.
    type: dict
  interface_name:
    description:
      - Name of the host's interface. With it, an endpoint applies to the interface of that name only. At most 15
        characters. On etcdv3, V(*) stands for all interfaces of the host.
    type: str
    aliases: [interfaceName]
  expected_ips:
    description:
      - IPv4 and IPv6 addresses of the interface. Policies of other hosts that select this endpoint match traffic by
        them. Without O(interface_name), the endpoint applies to every interface that has one of them.
      - Compared as a set of addresses, whatever their order and spelling.
    type: list
    elements: str
    aliases: [expectedIPs]
  profiles:
    description:
      - Names of profiles, in the order in which they are asked when no policy decides.
      - On etcdv2, Felix ignores an endpoint that has a profile with a C(/) in its name, which leaves the interface
        open. It is stored with a warning.
    type: list
    elements: str
  ports:
    description:
      - Named ports, which only the data model of Calico v3 has. An error on etcdv2.
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
          - It is stored by its name. calicoctl stores a number, for which Felix v3.32.1 ignores the endpoint, so that
            its interface is open. Such a stored endpoint is changed.
        type: str
        required: true
      port:
        description: Number of the port, 1 to 65535.
        type: int
        required: true
  annotations:
    description:
      - Annotations, which only the data model of Calico v3 has. An error on etcdv2.
      - Only those that are given are compared and written. What else is stored is kept, and an annotation is never
        removed, since other tools keep their own there.
    type: dict
"""
