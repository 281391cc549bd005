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
  connectivity:
    description:
      - Connections of hosts that must be allowed or denied. The role C(netsec.calico.hostendpoints) builds this option
        from its variables C(hostendpoints_connectivity) and C(hostendpoints_group_connectivity).
      - The key C(hosts) maps each host, by any name, to a mapping with C(node), C(expectations), C(addresses), C(facts)
        and C(groups), all optional. C(expectations) is a list of mappings with C(name), C(direction), C(protocol),
        C(port), C(peer) and C(expect), as in the role. C(facts) has the keys C(interfaces), C(default_interface),
        C(failsafes) and C(dataplane) of O(guard_facts); if it is omitted, O(guard_facts) has the facts of the node.
        C(addresses) are those by which other hosts reach the host, by default all of its interfaces except loopback and
        link-local addresses. C(groups) are the groups under which a report shows the host.
      - The key C(groups) maps groups, which may be peers, to lists of these hosts.
    type: dict
  connectivity_src:
    description:
      - Path of a JSON file with the content of O(connectivity), on the host where the module runs, for many hosts.
      - The file has the limits of O(guard_facts_src).
    type: path
"""

    # How the guard handles its findings.
    MODE = r"""
options:
  guard:
    description:
      - Mode of the lock-out guard. Before the first write, the guard evaluates which connections the changed endpoints
        would allow under the policies, profiles and failsafe ports in the datastore. If other resources change, such as
        policies, it evaluates the required connections of every affected host in O(guard_facts), before and after the
        changes and between the requests that write them.
      - V(enforce) writes nothing if a change is unsafe, or if policies, profiles or settings cannot be read. The error
        message gives the reason and the remedy. A change whose safety is unknown is written with a warning.
      - V(warn) writes all changes and reports the findings as warnings.
      - V(off) disables the guard, so its other options, such as O(guard_facts) and O(connectivity), have no effect.
      - If nothing changes, the guard reads nothing.
    type: str
    choices: [enforce, warn, 'off']
    default: warn
"""

    # The canary of calico_resources.
    CANARY = r"""
options:
  canary:
    description:
      - With V(staged), each C(GlobalNetworkPolicy) that is created or updated first gets a twin, a
        C(StagedGlobalNetworkPolicy) of the same name with the same spec, which does not affect traffic. The guard then
        evaluates the changes again, by what is stored at that time. After that, the module writes the policies and
        deletes the twins. RV(staged) lists the host endpoints that each policy selects.
      - If something fails, or a signal ends the run, the twins are deleted, too. A later run replaces and deletes a
        twin that is left over, for example after SIGKILL.
      - A staged policy of the same name that is not such a twin is an error, and nothing is written.
      - Requires Calico v3.30 or newer, and the right to read and write staged policies.
    type: str
    choices: [none, staged]
    default: none
  canary_hosts:
    description:
      - Number of hosts that must still accept new connections to their SSH port after the changes, for O(canary_wait)
        seconds. If one of them does not, the module undoes everything that it has written.
      - A policy, a network set, a profile, a tier or a setting reaches all hosts at once, so nothing is written later.
        Only if the set consists of host endpoints, the hosts are changed first, as with
        O(netsec.calico.calico_hostendpoints#module:canary).
      - The hosts are the first ones in O(guard_facts) that the changes affect, and whose C(reached_at) is given. If the
        changes affect hosts, but no such host, nothing is written. Hosts that are not tried may still be cut off.
      - V(0) tries no host.
    type: int
    default: 0
  canary_wait:
    description:
      - Seconds that the hosts of O(canary_hosts) have to apply the changes, from 1 to 3600.
    type: float
    default: 10
"""
