# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Input of the guard.
    DOCUMENTATION = r"""
options:
  guard_require:
    description:
      - Connections that must remain open on every host whose interfaces are listed in O(guard_facts).
    type: list
    elements: dict
    suboptions:
      direction:
        description: Direction of the connection. V(in) is to the host, V(out) is from the host.
        type: str
        choices: [in, out]
        required: true
      protocol:
        description: Protocol, V(tcp), V(udp), V(icmp), V(icmpv6), V(sctp), V(udplite), or a number from 1 to 255.
        type: str
        required: true
      port:
        description: Destination port. Required if the protocol has ports.
        type: int
      peer:
        description:
          - Address or name of the other end. Without it, a rule that matches addresses makes the verdict unknown.
        type: str
  guard_facts:
    description:
      - Facts about hosts for the guard, by node name. The role C(netsec.calico.hostendpoints) builds them
        from Ansible facts. Without them, the guard reports only what Calico's datastore alone determines.
      - Each value is a mapping with the keys C(interfaces), C(ssh), C(default_interface), C(require), C(reached_at),
        C(failsafes) and C(dataplane). Only C(interfaces) is required.
      - C(interfaces) maps the host's interfaces to lists of their addresses, preferably with prefix lengths, such as
        C(192.168.0.1/24).
      - C(ssh) describes Ansible's own connection. It is a mapping with its source C(peer), the host's own C(address),
        and the C(port), 22 if omitted. Omit unknown values. Without C(ssh), the guard requires no SSH connection.
      - C(default_interface) is the interface of the default route.
      - C(require) is a list as in O(guard_require), for this host only.
      - C(reached_at) is a mapping with the C(host), an address or a name, and the C(port), 22 if omitted. The module
        connects to the host's SSH port there. Only a canary requires it.
      - C(failsafes) is a mapping with the lists C(inbound) and C(outbound), the failsafe ports that the host's Felix
        reads from its environment or from C(felix.cfg), as in
        O(netsec.calico.calico_connection_info#module:failsafes). Each list overrides the list in the datastore; if it
        is omitted, the list in the datastore applies.
      - C(dataplane) is the dataplane that the host's Felix programs, V(iptables) or V(nftables), as in
        O(netsec.calico.calico_connection_info#module:dataplane).
    type: dict
  guard_facts_src:
    description:
      - Path of a JSON file with the content of O(guard_facts), on the host where the module runs, for many hosts.
      - The file must be a regular file in UTF-8 with a maximum of 100 MB and 4 million values and keys.
    type: path
"""

    # How the guard handles its findings.
    MODE = r"""
options:
  guard:
    description:
      - Mode of the lock-out guard. Before the first write, the guard evaluates which connections the changed endpoints
        would allow under the policies, profiles and failsafe ports in the datastore.
      - V(enforce) writes nothing if a change is unsafe, or if policies, profiles or settings cannot be read. The error
        message gives the reason and the remedy. A change whose safety is unknown is written with a warning.
      - V(warn) writes all changes and reports the findings as warnings.
      - V(off) disables the guard.
      - If nothing changes, the guard reads nothing.
    type: str
    choices: [enforce, warn, 'off']
    default: warn
"""
