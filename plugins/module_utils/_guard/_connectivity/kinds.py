# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of hosts: what is the same for all hosts of a kind is evaluated once.

A connection between two hosts depends on the shape of each, which is all about its interfaces except the numbers of
addresses and networks, and on which networks of each hold which addresses of the other.
"""

from __future__ import annotations

import bisect
from typing import Callable, Dict, Hashable, Iterator, List, NamedTuple, Tuple

from ..._core.ip import Address, Net, is_link_local, is_loopback
from .address_classes import AddressClasses, build_boundaries
from .hosts import Connectivity, DeclaredHost


class _Kind(NamedTuple):
    """Numbers that are equal if what they stand for is."""

    number: int
    shape: int
    # The networks of the interfaces.
    nets: int
    # Where the addresses of the interfaces are: addresses with equal places are in the same networks of all hosts.
    places: int


class Kinds:
    """The kinds of hosts with known facts, in one state of the datastore.

    `get_key` returns a value that is equal for interfaces with the same rules and settings.
    """

    def __init__(
        self, connectivity: Connectivity, addresses: AddressClasses, get_key: Callable[[DeclaredHost, str], Hashable]
    ) -> None:
        self._addresses = addresses
        self._get_key = get_key
        self._boundaries = build_boundaries(
            net for host in connectivity.hosts.values() for each in host.interfaces.values() for net in each.nets
        )
        self._kinds: Dict[str, _Kind] = {}
        self._numbers: Dict[Hashable, int] = {}
        # By the number of the networks: each with its index.
        self._nets: Dict[int, List[Tuple[Net, int]]] = {}
        # By the number of the places: addresses there, sorted, each with its index.
        self._owned: Dict[int, List[Tuple[Address, int]]] = {}
        self._inside: Dict[Tuple[int, int], int] = {}

    def get_number(self, host: DeclaredHost) -> int:
        """A number that is equal for hosts whose connections have the same paths and verdicts."""
        return self._get_kind(host).number

    def relate(self, host: DeclaredHost, peer: DeclaredHost) -> Hashable:
        """A value that is equal for peers whose connections with the host have the same paths and verdicts."""
        own, other = self._get_kind(host), self._get_kind(peer)
        return other.shape, self._find_inside(own.nets, other.places), self._find_inside(other.nets, own.places)

    def _get_kind(self, host: DeclaredHost) -> _Kind:
        found = self._kinds.get(host.name)
        if found is None:
            found = self._kinds[host.name] = self._build_kind(host)
        return found

    def _build_kind(self, host: DeclaredHost) -> _Kind:
        interfaces = host.interfaces.values()
        owned = [address for each in interfaces for address in each.addresses]
        all_nets = tuple([net for each in interfaces for net in each.nets])
        nets = self._number(("nets", all_nets))
        places = self._number(("places", tuple([self._place(address) for address in owned])))
        if nets not in self._nets:
            self._nets[nets] = [(net, index) for index, net in enumerate(all_nets)]
        if places not in self._owned:
            self._owned[places] = sorted((address, index) for index, address in enumerate(owned))
        shape = self._number(("shape", self._find_inside(nets, places), *self._describe(host, owned)))
        # The addresses of the host may be on none of its interfaces.
        others = tuple([self._place(address) for address in host.addresses])
        return _Kind(self._number(("kind", shape, nets, places, others)), shape, nets, places)

    def _describe(self, host: DeclaredHost, owned: List[Address]) -> Iterator[Hashable]:
        """All about the interfaces of a host except its networks and the numbers of its addresses."""
        yield host.default_interface
        # An address may be on several interfaces.
        first = {address: index for index, address in reversed(list(enumerate(owned)))}
        for name, each in host.interfaces.items():
            yield self._get_key(host, name)
            yield len(each.nets)
            for address in each.addresses:
                yield self._addresses.classify(address), is_loopback(address), is_link_local(address), first[address]
        # In the order of `addresses`, which is that of the attempts.
        yield tuple([(address[0], first.get(address)) for address in host.addresses])

    def _place(self, address: Address) -> Tuple[int, int]:
        """A value that is equal for addresses that are in the same networks of all hosts."""
        version, number = address
        return version, bisect.bisect_right(self._boundaries[version], number)

    def _find_inside(self, nets: int, places: int) -> int:
        """A number that is equal if the same ones of some networks hold the same ones of some addresses."""
        found = self._inside.get((nets, places))
        if found is None:
            inside = tuple(self._list_inside(self._nets[nets], self._owned[places]))
            found = self._inside[nets, places] = self._number(("inside", inside))
        return found

    def _list_inside(self, nets: List[Tuple[Net, int]], owned: List[Tuple[Address, int]]) -> Iterator[Tuple[int, int]]:
        """The indexes of networks and of the addresses in them."""
        for (version, first, last), of_net in nets:
            start = bisect.bisect_left(owned, ((version, first), 0))
            for _address, of_address in owned[start : bisect.bisect_left(owned, ((version, last + 1), 0))]:
                yield of_net, of_address

    def _number(self, what: Hashable) -> int:
        return self._numbers.setdefault(what, len(self._numbers))
