# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdicts at the ends of connections. Hosts of a fleet share them, since most have the same rules and settings."""

from __future__ import annotations

from typing import Dict, Hashable, Tuple, cast

from ..._dataplane.evaluator import Evaluator
from ..._dataplane.host import HostDataplane, build_parsed_host
from ..._dataplane.verdict import ConnectionVerdict
from ..._policies.connection import Connection
from .address_classes import AddressClasses
from .hosts import Connectivity, DeclaredHost
from .kinds import Kinds


class Ends:
    """The hosts of an inventory, in one state of the datastore."""

    def __init__(self, evaluator: Evaluator, connectivity: Connectivity) -> None:
        self._hosts: Dict[str, HostDataplane] = {
            host.name: build_parsed_host(evaluator, host.node, host.interfaces, host.failsafes, host.dataplane)
            for host in connectivity.hosts.values()
            if host.given is not None and host.node
        }
        self.addresses = AddressClasses(evaluator, {each.felix for each in self._hosts.values()})
        self._kinds = Kinds(connectivity, self.addresses, self._get_key)
        self._numbers: Dict[Hashable, int] = {}
        # By host and interface.
        self._keys: Dict[Tuple[str, str], int] = {}
        self._known: Dict[Tuple[object, ...], ConnectionVerdict] = {}

    def is_known(self, host: DeclaredHost) -> bool:
        return host.name in self._hosts

    def evaluate(self, host: DeclaredHost, connection: Connection) -> ConnectionVerdict:
        """The verdict on a connection at a host."""
        dataplane = self._hosts[host.name]
        interfaces = dataplane.find_interfaces(connection)
        if not interfaces:
            return dataplane.evaluate(connection)
        packet = connection.packet
        source, destination = cast(int, packet.source), cast(int, packet.destination)
        key = (
            self._get_key(host, interfaces[0].name),
            connection.direction,
            packet.protocol,
            packet.dport,
            self.addresses.classify((packet.version, source)),
            self.addresses.classify((packet.version, destination)),
        )
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = dataplane.evaluate(connection)
        return found

    def get_kind(self, host: DeclaredHost) -> int:
        """A number that is equal for hosts whose connections have the same paths and verdicts; -1 for unknown facts."""
        return self._kinds.get_number(host) if self.is_known(host) else -1

    def relate(self, host: DeclaredHost, peer: DeclaredHost) -> Hashable:
        """A value that is equal for peers whose connections with the host have the same paths and verdicts."""
        return self._kinds.relate(host, peer) if self.is_known(peer) else -1

    def _get_key(self, host: DeclaredHost, name: str) -> int:
        key = self._keys.get((host.name, name))
        if key is None:
            dataplane = self._hosts[host.name]
            key = self._numbers.setdefault(dataplane.build_key(dataplane.interfaces[name]), len(self._numbers))
            self._keys[host.name, name] = key
        return key
