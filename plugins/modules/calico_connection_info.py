#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_connection_info
short_description: Evaluate which connections of a host Calico allows, and what decides
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Evaluates the contents of Calico's datastore. For each given connection of one host, it returns whether Calico
    allows it as a new connection, and which failsafe port, policy rule or profile rule decides. It sends no packets.
  - With O(endpoints), it returns the results that would apply if these host endpoints were stored.
  - If the datastore alone does not determine the result, the verdict is V(unknown), with the reason. The verdict is
    never a guess.
  - Read-only credentials are sufficient.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.reading
  - netsec.calico._connection
  - netsec.calico._endpoints
options:
  node:
    description:
      - Exact name of the host in Calico.
    type: str
    required: true
  interfaces:
    description:
      - The interfaces of the host, which Calico's datastore does not contain. A mapping of interface names to lists of
        addresses with prefix lengths, such as C(192.168.0.1/24). Without prefix lengths, the interface that a
        connection uses is unknown if the host has several.
      - The loopback interface C(lo) can be omitted.
    type: dict
    required: true
  failsafes:
    description:
      - Failsafe ports that the host's Felix reads from its environment (C(FELIX_FAILSAFEINBOUNDHOSTPORTS),
        C(FELIX_FAILSAFEOUTBOUNDHOSTPORTS)) or from its file C(felix.cfg). Each list overrides the list in the
        datastore; if it is omitted, the list in the datastore applies. An empty list means no failsafe ports.
      - C(inbound) is a list of the ports of the host that are always open. C(outbound) is a list of the ports of other
        hosts that the host can always reach.
      - An item is C(PROTOCOL:PORT), C(PROTOCOL:NET:PORT) or C(PORT) in Felix's notation, such as V(tcp:22), with an
        IPv6 network in brackets, or a mapping with C(protocol), C(port) and C(net). The protocol is V(tcp) or V(udp).
        With O(datastore_type=etcdv2), Felix does not support networks.
    type: dict
  dataplane:
    description:
      - Dataplane that the host's Felix programs. If omitted, C(nftablesMode) of the FelixConfiguration determines it,
        unless the mode is C(Auto), the default since Calico v3.32, which uses the dataplane of kube-proxy. If the
        dataplane is unknown and the two dataplanes differ in the result, the verdict is V(unknown).
      - Ignored with O(datastore_type=etcdv2), whose Felix only supports iptables.
    type: str
    choices: [iptables, nftables]
  connections:
    description:
      - The connections to evaluate.
    type: list
    elements: dict
    required: true
    suboptions:
      direction:
        description:
          - Direction of the connection. V(in) is to the host, V(out) is from the host, V(forward) is routed by the
            host, and V(local) is from the host to itself. A V(local) connection uses the loopback interface, whatever
            its address.
        type: str
        choices: [in, out, forward, local]
        required: true
      protocol:
        description: Protocol, V(tcp), V(udp), V(icmp), V(icmpv6), V(sctp), V(udplite), or a number from 1 to 255.
        type: str
        required: true
      src:
        description: Source address.
        type: str
        required: true
      dst:
        description: Destination address.
        type: str
        required: true
      port:
        description: Destination port. Required if the protocol has ports.
        type: int
      sport:
        description:
          - Source port. If omitted, any port from 32768 to 60999, the range that Linux uses.
        type: int
      icmp_type:
        description: Type of the ICMP message, with code 0. The default is an echo request.
        type: int
      in_interface:
        description:
          - Inbound interface. If omitted, it is the interface with a network that contains O(connections[].src). If no
            network contains it, the connection comes through a gateway, and for V(in) it is the interface with the
            address O(connections[].dst).
          - If an address of another interface has no prefix length in O(interfaces), the inbound interface is unknown,
            and the verdict is V(unknown).
        type: str
      out_interface:
        description:
          - Outbound interface. If omitted, it is the interface with a network that contains O(connections[].dst). If no
            network contains it, for V(out) it is the interface with the address O(connections[].src). The exception of
            O(connections[].in_interface) applies.
        type: str
      expect:
        description:
          - The expected verdict. If the verdict differs, the module fails after it has evaluated all connections, in
            check mode, too. The verdict V(unknown) differs from both values.
          - Over IPv6, RV(results[].neighbour_discovery) counts, too. If it is not allowed, V(allow) is not met, and
            V(deny) is unknown for a connection that is otherwise allowed, as in the audit of declared connectivity.
          - If omitted, the connection is only evaluated.
        type: str
        choices: [allow, deny]
  endpoints:
    description:
      - Host endpoints to evaluate as if they were stored, on this node or on other nodes. Each replaces the stored
        endpoint of the same name (with O(datastore_type=etcdv2), of the same node and name).
notes:
  - The results apply to new connections. An established connection mostly survives a change that denies new ones.
  - Felix's environment and its file C(felix.cfg) override the datastore, but this module does not see them, except for
    O(failsafes). It also does not see the host's own iptables or nftables rules, address translation, or whether Felix
    is running.
  - With O(datastore_type=etcdv2), the results apply to Felix of Calico 2.3 to 2.6 and were measured with Felix 2.6.8.
  - With O(datastore_type=etcdv3), the version is read from Calico's ClusterInformation. The results were measured with
    Felix v3.32.1 for the iptables and nftables dataplanes; the differences between Calico v3.0 and v3.32 were taken
    from the source code. If the version is not v3.32.1, the reason names both versions.
seealso:
  - module: netsec.calico.calico_hostendpoint
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Evaluate connections of a host
  netsec.calico.calico_connection_info:
    etcd_endpoints: http://etcd1.example.com:2379
    node: myhost
    interfaces:
      eth0: [192.168.0.1/24, "2001:db8::1/64"]
    connections:
      - {direction: in, protocol: tcp, src: 192.168.0.9, dst: 192.168.0.1, port: 22}
      - {direction: out, protocol: udp, src: 192.168.0.1, dst: 192.168.0.53, port: 53}
  register: answers

- name: Evaluate a connection of a host whose Felix has failsafe ports in its environment
  netsec.calico.calico_connection_info:
    etcd_endpoints: http://etcd1.example.com:2379
    node: myhost
    interfaces:
      eth0: [192.168.0.1/24]
    failsafes:
      inbound: ["tcp:2222", "udp:68"]
    connections:
      - {direction: in, protocol: tcp, src: 192.168.0.9, dst: 192.168.0.1, port: 2222}

- name: Fail unless SSH is allowed and Telnet is denied
  netsec.calico.calico_connection_info:
    etcd_endpoints: http://etcd1.example.com:2379
    node: myhost
    interfaces:
      eth0: [192.168.0.1/24]
    connections:
      - {direction: in, protocol: tcp, src: 192.168.0.9, dst: 192.168.0.1, port: 22, expect: allow}
      - {direction: in, protocol: tcp, src: 192.168.0.9, dst: 192.168.0.1, port: 23, expect: deny}

- name: Evaluate the effect of a new endpoint
  netsec.calico.calico_connection_info:
    etcd_endpoints: http://etcd1.example.com:2379
    node: "{{ ansible_facts.nodename }}"
    interfaces: "{{ {default.interface: [default.address ~ '/' ~ default.prefix]} }}"
    connections:
      - direction: in
        protocol: tcp
        src: 192.168.0.9
        dst: "{{ default.address }}"
        port: 443
    endpoints:
      - name: eth0
        node: "{{ ansible_facts.nodename }}"
        interface_name: "{{ default.interface }}"
        labels:
          role: web
  vars:
    default: "{{ ansible_facts.default_ipv4 }}"
"""

RETURN = r"""
failures:
  description: A message for each connection whose verdict differs from O(connections[].expect), with what decides.
  returned: if a verdict differs
  type: list
  elements: str
  sample:
    - "connections[1] (in, tcp port 23 from 192.168.0.9): expected deny, but the verdict is allow, decided by policy
      allow-web, ingress rule 2: allowed by allow-web, ingress rule 2"
results:
  description: Results of the connections, in the order of O(connections).
  returned: success, or if a verdict differs from O(connections[].expect)
  type: list
  elements: dict
  contains:
    verdict:
      description:
        - V(allow), V(deny), or V(unknown) if Calico's datastore does not determine the result.
      type: str
    decided_by:
      description:
        - What decides the result, for example V(failsafe tcp:22), V(policy allow-web, ingress rule 1),
          V(profile production, ingress rule 1), V(no rule of the policies that select it), V(no rule of its profiles),
          V(missing profile production) or V(no endpoint governs the interface).
        - For the verdict V(unknown), what the result depends on, or V(unknown).
      type: str
    reason:
      description:
        - The deciding rule in a sentence, or why the result is unknown.
        - For V(deny), it also names rules that would decide differently if the host endpoints that their selectors
          match had expected IPs.
      type: str
    neighbour_discovery:
      description:
        - For an IPv6 connection, the verdict on neighbour discovery on its path, V(allow), V(deny) or V(unknown). If
          neighbour discovery is not allowed in both directions, all IPv6 connections fail as soon as the neighbours are
          no longer cached, including those to failsafe ports. Empty for other connections.
      type: str
  sample:
    - verdict: deny
      decided_by: no rule of the policies that select it
      reason: "denied by allow-web: no ingress rule matched"
      neighbour_discovery: ""
endpoints:
  description: The interfaces of the host, sorted by name, and the endpoints that apply to them.
  returned: success, or if a verdict differs from O(connections[].expect)
  type: list
  elements: dict
  contains:
    interface:
      description: Name of the interface.
      type: str
    endpoint:
      description: >-
        Name of the endpoint that governs the interface. Empty if no endpoint governs it, which leaves the interface
        open.
      type: str
    shadowed:
      description: Names of the endpoints that would govern the interface without that endpoint.
      type: list
      elements: str
    rejected:
      description:
        - The endpoints that would govern the interface if Felix did not ignore them. An unreadable endpoint is listed
          with every interface.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the endpoint.
          type: str
        reason:
          description: Why Felix ignores it.
          type: str
  sample:
    - interface: eth0
      endpoint: eth0
      shadowed: [old-eth0]
      rejected: []
"""

from ansible_collections.netsec.calico.plugins.module_utils._core.python_version import check_python

check_python()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._module.connections import EXPECTED, evaluate_connections
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    HOSTENDPOINT_OPTIONS,
    build_connection_options,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.runner import run
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import DIRECTIONS
from ansible_collections.netsec.calico.plugins.module_utils._policies.model import DATAPLANES

CONNECTION = {
    "direction": {"type": "str", "choices": list(DIRECTIONS), "required": True},
    "protocol": {"type": "str", "required": True},
    "src": {"type": "str", "required": True},
    "dst": {"type": "str", "required": True},
    "port": {"type": "int"},
    "sport": {"type": "int"},
    "icmp_type": {"type": "int"},
    "in_interface": {"type": "str"},
    "out_interface": {"type": "str"},
    "expect": {"type": "str", "choices": list(EXPECTED)},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            node={"type": "str", "required": True},
            interfaces={"type": "dict", "required": True},
            # Validated later: with sub-options, ansible-core fails with a traceback for true or a number.
            failsafes={"type": "dict"},
            dataplane={"type": "str", "choices": list(DATAPLANES)},
            connections={"type": "list", "elements": "dict", "required": True, "options": CONNECTION},
            endpoints={"type": "list", "elements": "dict", "options": HOSTENDPOINT_OPTIONS},
        ),
        supports_check_mode=True,
    )
    run(module, evaluate_connections)


if __name__ == "__main__":
    main()
