# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # What the guard has to know.
    DOCUMENTATION = r"""
options:
  guard_require:
    description:
      - Connections that must stay open on every host whose interfaces O(guard_facts) tells.
    type: list
    elements: dict
    suboptions:
      direction:
        description: V(in) is to the host, V(out) is from the host.
        type: str
        choices: [in, out]
        required: true
      protocol:
        description: V(tcp), V(udp), V(icmp), V(icmpv6), V(sctp), V(udplite), or a number from 1 to 255.
        type: str
        required: true
      port:
        description: Port that it goes to. Needed where the protocol has ports.
        type: int
      peer:
        description:
          - Address or name of the other end. Without it, a rule that asks for addresses makes the verdict unknown.
        type: str
  guard_facts:
    description:
      - What the guard has to know of hosts, by the names of their nodes. The role C(netsec.calico.hostendpoints) gives
        it from facts. Without it, the guard says only what Calico's datastore alone tells.
      - The keys of each are C(interfaces), C(ssh), C(default_interface), C(require), C(reached_at), C(failsafes)
        and C(dataplane).
      - C(interfaces) is needed, and is a mapping of the host's interfaces to lists of their addresses, best with the
        length of the prefix, such as C(192.168.0.1/24).
      - C(ssh) is Ansible's own connection, a mapping with the C(peer) it comes from, the host's own C(address), and
        the C(port), 22 if not given. What is not known is left out. Without C(ssh), none is needed.
      - C(default_interface) is the interface of the default route.
      - C(require) is a list as O(guard_require), of this host only.
      - C(reached_at) is a mapping of the C(host), an address or a name, and the C(port), 22 if not given, at which its
        SSH is reached from where the module runs. Only a canary needs it.
      - C(failsafes) is a mapping with lists C(inbound) and C(outbound), the failsafe ports that the host's Felix has in
        its environment or in C(felix.cfg), as O(netsec.calico.calico_connection_info#module:failsafes). They come
        before those in the datastore, which count for a list that is left out.
      - C(dataplane) is V(iptables) or V(nftables), what the host's Felix programs, as
        O(netsec.calico.calico_connection_info#module:dataplane).
    type: dict
  guard_facts_src:
    description:
      - Path of a JSON file with O(guard_facts), on the host where the module runs, for many hosts.
      - It is a regular file in UTF-8 of at most 100 MB and 4 million values and keys.
    type: path
"""

    # What it does with what it finds.
    MODE = r"""
options:
  guard:
    description:
      - Whether the lock-out guard asks, before the first write, what the changed endpoints would let through, by the
        policies, profiles and failsafes in the datastore.
      - V(enforce) writes nothing when a change is unsafe, and says why and what to do. So it does when what decides on
        traffic cannot be read. A change that is not known to be safe or unsafe is written, with a warning.
      - V(warn) writes it all the same, with warnings.
      - V(off) does not ask.
      - It reads nothing when nothing changes.
    type: str
    choices: [enforce, warn, 'off']
    default: warn
"""
