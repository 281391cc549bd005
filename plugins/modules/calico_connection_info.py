#!/usr/bin/python

# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: calico_connection_info
short_description: Tell which connections of a host Calico lets through, and what decides
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Tells for each of some connections of one host whether Calico lets a new one through, and which failsafe, rule of a
    policy or rule of a profile decides, from what Calico's datastore holds. No packet is sent.
  - With O(endpoints), it tells what would become of them if these host endpoints were stored.
  - Where the datastore alone does not decide it, the verdict is V(unknown), with the reason. It is never a guess.
  - Credentials that only allow reading are enough.
extends_documentation_fragment:
  - netsec.calico._attributes
  - netsec.calico._attributes.actiongroup_calico
  - netsec.calico._attributes.reading
  - netsec.calico._connection
  - netsec.calico._endpoints
options:
  node:
    description:
      - Name of the host in Calico, the exact one.
    type: str
    required: true
  interfaces:
    description:
      - The interfaces of the host, which Calico's datastore does not know. By their names, lists of their addresses,
        with the length of the prefix, such as C(192.168.0.1/24). Without the lengths, it is not known which interface
        of several a connection uses.
      - The loopback C(lo) may be left out.
    type: dict
    required: true
  failsafes:
    description:
      - Failsafe ports that the host's Felix has in its environment (C(FELIX_FAILSAFEINBOUNDHOSTPORTS),
        C(FELIX_FAILSAFEOUTBOUNDHOSTPORTS)) or in its file C(felix.cfg). They come before those in the datastore, which
        count for a list that is not given. An empty list means that there are none.
      - An item is C(PROTOCOL:PORT), C(PROTOCOL:NET:PORT) or C(PORT) as Felix has it, such as V(tcp:22), with an IPv6
        network in brackets, or a mapping with C(protocol), C(port) and C(net). The protocol is V(tcp) or V(udp).
        With O(datastore_type=etcdv2), Felix supports no networks.
      - "C(inbound): a list of the ports of the host that are always open. C(outbound): a list of the ports of other
        hosts that it always reaches."
    type: dict
  dataplane:
    description:
      - What the host's Felix programs. Without it, C(nftablesMode) of the FelixConfiguration tells, unless that is
        C(Auto), which is the default since Calico v3.32 and takes what kube-proxy uses. Where the two differ and none
        is known, the verdict is V(unknown).
      - Without effect with O(datastore_type=etcdv2), whose Felix has iptables only.
    type: str
    choices: [iptables, nftables]
  connections:
    description:
      - The connections that are asked about.
    type: list
    elements: dict
    required: true
    suboptions:
      direction:
        description:
          - V(in) is to the host and V(out) from the host, V(forward) is routed by the host, and V(local) is from the
            host to itself, which goes over the loopback, whatever the address.
        type: str
        choices: [in, out, forward, local]
        required: true
      protocol:
        description: V(tcp), V(udp), V(icmp), V(icmpv6), V(sctp), V(udplite), or a number from 1 to 255.
        type: str
        required: true
      src:
        description: Address that the connection comes from.
        type: str
        required: true
      dst:
        description: Address that it goes to.
        type: str
        required: true
      port:
        description: Port that it goes to. Needed where the protocol has ports.
        type: int
      sport:
        description:
          - Port that it comes from. If not given, it is any from 32768 to 60999, which are those that Linux takes.
        type: int
      icmp_type:
        description: Type of the ICMP message, whose code is 0. If not given, it is an echo request.
        type: int
      in_interface:
        description:
          - Interface where it comes in. If not given, it is the one in whose networks O(connections[].src) is, or else,
            for V(in), the one that has the address O(connections[].dst), since it comes through a gateway. Where an
            address on another interface has no prefix length in O(interfaces), that is not known, and the verdict is
            V(unknown).
        type: str
      out_interface:
        description:
          - Interface where it goes out. If not given, it is the one in whose networks O(connections[].dst) is, or else,
            for V(out), the one that has the address O(connections[].src), with the same exception.
        type: str
  endpoints:
    description:
      - Host endpoints that are taken as if they were stored, on this node or on others. One that is stored under the
        same name (with O(datastore_type=etcdv2), the same node and name) is replaced by it.
notes:
  - It is about new connections. One that is established mostly survives what would deny a new one.
  - What Felix takes from its environment and from its file C(felix.cfg) comes before the datastore, and is not seen
    here, but for O(failsafes). Neither are the host's own rules of iptables or nftables, translated addresses, and
    whether Felix runs.
  - With O(datastore_type=etcdv2), a Felix of Calico 2.3 to 2.6 is meant. What is told was measured with Felix 2.6.8.
    With O(datastore_type=etcdv3), the version is taken from Calico's ClusterInformation. What is told was measured with
    Felix v3.32.1, for the dataplanes of iptables and nftables; what differs between Calico v3.0 and v3.32 was read in
    the source. Where the version is another one, the reason says so.
seealso:
  - module: netsec.calico.calico_hostendpoint
  - module: netsec.calico.calico_hostendpoint_info
"""

EXAMPLES = r"""
- name: Ask who may reach a host
  netsec.calico.calico_connection_info:
    etcd_endpoints: http://etcd1.example.com:2379
    node: myhost
    interfaces:
      eth0: [192.168.0.1/24, "2001:db8::1/64"]
    connections:
      - {direction: in, protocol: tcp, src: 192.168.0.9, dst: 192.168.0.1, port: 22}
      - {direction: out, protocol: udp, src: 192.168.0.1, dst: 192.168.0.53, port: 53}
  register: answers

- name: Ask the same of a host whose Felix has failsafe ports in its environment
  netsec.calico.calico_connection_info:
    etcd_endpoints: http://etcd1.example.com:2379
    node: myhost
    interfaces:
      eth0: [192.168.0.1/24]
    failsafes:
      inbound: ["tcp:2222", "udp:68"]
    connections:
      - {direction: in, protocol: tcp, src: 192.168.0.9, dst: 192.168.0.1, port: 2222}

- name: Fail unless SSH gets through
  ansible.builtin.assert:
    that: answers.results[0].verdict == "allow"
    fail_msg: "{{ answers.results[0].reason }}"

- name: Ask what a new endpoint would do
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
results:
  description: What becomes of the connections, in the order of O(connections).
  returned: success
  type: list
  elements: dict
  contains:
    verdict:
      description:
        - V(allow), V(deny), or V(unknown) where what Calico holds does not decide it.
      type: str
    decided_by:
      description:
        - What decides, for example V(failsafe tcp:22), V(policy default.allow-web, ingress rule 1),
          V(profile production, ingress rule 1), V(no rule of the policies that select it), V(no rule of its profiles),
          V(missing profile production) or V(no endpoint governs the interface).
        - Where the verdict is V(unknown), what it depends on, or V(unknown).
      type: str
    reason:
      description:
        - The same in a sentence, or why it is not known.
        - Where it is V(deny), it also names rules that would decide otherwise, if host endpoints which their selectors
          match had expected IPs.
      type: str
    neighbour_discovery:
      description:
        - For a connection over IPv6, what becomes of neighbour discovery on its way, V(allow), V(deny) or V(unknown).
          Where it does not get through in both directions, all of IPv6 fails as soon as the neighbours are not cached,
          failsafes included. Empty for other connections.
      type: str
  sample:
    - verdict: deny
      decided_by: no rule of the policies that select it
      reason: "denied by default.allow-web: no ingress rule matched"
      neighbour_discovery: ""
endpoints:
  description: The interfaces of the host, sorted by name, and the endpoints that are meant for them.
  returned: success
  type: list
  elements: dict
  contains:
    interface:
      description: Name of the interface.
      type: str
    endpoint:
      description: Name of the endpoint that governs it. Empty when none does, which leaves the interface open.
      type: str
    shadowed:
      description: Names of the endpoints that would govern it, if that one did not.
      type: list
      elements: str
    rejected:
      description:
        - The endpoints that would govern it, if Felix did not ignore them. One that cannot be read at all is listed
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

from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.evaluator import Evaluator
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.host import HostDataplane, build_host
from ansible_collections.netsec.calico.plugins.module_utils._dataplane.resolution import parse_interfaces
from ansible_collections.netsec.calico.plugins.module_utils._datastore.base import State
from ansible_collections.netsec.calico.plugins.module_utils._module.endpoint_set import build_presents, read_items
from ansible_collections.netsec.calico.plugins.module_utils._module.options import (
    HOSTENDPOINT_OPTIONS,
    build_connection_options,
    connect,
    run,
    warn,
)
from ansible_collections.netsec.calico.plugins.module_utils._module.results import build_listing_warnings
from ansible_collections.netsec.calico.plugins.module_utils._policies._felix.failsafes import parse_failsafes
from ansible_collections.netsec.calico.plugins.module_utils._policies.connection import (
    DIRECTIONS,
    Connection,
    parse_connection,
)
from ansible_collections.netsec.calico.plugins.module_utils._policies.model import DATAPLANES
from ansible_collections.netsec.calico.plugins.module_utils._resources.hostendpoint import as_host_endpoint

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
}


def parse_connections(given: List[Dict[str, Any]]) -> List[Connection]:
    """The option, checked. Raises InvalidInput with all that is wrong."""
    found, problems = [], []
    for index, each in enumerate(given):
        try:
            found.append(parse_connection(each, "connections[{0}]".format(index)))
        except InvalidInput as exc:
            problems += exc.problems
    if problems:
        raise InvalidInput(problems)
    return found


def list_governing(host: HostDataplane) -> List[Dict[str, Any]]:
    """Who governs the host's interfaces."""
    return [
        {
            "interface": name,
            "endpoint": interface.governing.name if interface.governing else "",
            "shadowed": [each.name for each in interface.shadowed],
            "rejected": [{"name": each.name, "reason": each.rejected} for each in interface.rejected],
        }
        for name, interface in sorted(host.interfaces.items())
    ]


def work(module: AnsibleModule) -> Dict[str, Any]:
    node = module.params["node"]
    store = connect(module)
    store.api_version.check_filter(node, None)
    parse_interfaces(module.params["interfaces"])
    failsafes = parse_failsafes(module.params["failsafes"], "failsafes")
    connections = parse_connections(module.params["connections"])
    wanted: Dict[str, Any] = {}
    if module.params["endpoints"]:
        wanted = build_presents(read_items(module.params), store.api_version, {}, store.key)
    snapshot = store.read_policies(node)
    evaluator = Evaluator(store.api_version, snapshot, [as_host_endpoint(want.resource) for want in wanted.values()])
    dataplane = module.params["dataplane"] or ""
    host = build_host(evaluator, node, module.params["interfaces"], failsafes, dataplane)
    of_node = [each for each in snapshot.endpoints if each.node in (node, "") and each.key not in wanted]
    warn(module, build_listing_warnings(of_node, State(), store.api_version))
    results = [host.evaluate(connection)._asdict() for connection in connections]
    return {"changed": False, "results": results, "endpoints": list_governing(host)}


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            build_connection_options(),
            node={"type": "str", "required": True},
            interfaces={"type": "dict", "required": True},
            # Checked here: of sub-options, ansible-core ends in a traceback when it is given true or a number.
            failsafes={"type": "dict"},
            dataplane={"type": "str", "choices": list(DATAPLANES)},
            connections={"type": "list", "elements": "dict", "required": True, "options": CONNECTION},
            endpoints={"type": "list", "elements": "dict", "options": HOSTENDPOINT_OPTIONS},
        ),
        supports_check_mode=True,
    )
    run(module, work)


if __name__ == "__main__":
    main()
