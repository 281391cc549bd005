# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts that have the addresses of a network. An address of a host stands for that host."""

from __future__ import annotations

import bisect
import functools
from typing import Dict, FrozenSet, Hashable, List, Mapping, Tuple

from ..._core.ip import BITS, Address, Net, is_loopback
from .ends import Ends
from .hosts import Connectivity, DeclaredHost

# Owners of an address: the kind of each, and the position of the address among those of the host.
_Kinds = Tuple[Tuple[int, int], ...]


class Owners:
    """The addresses of all hosts. Results of addresses whose owners have the same kinds are the same."""

    def __init__(self, connectivity: Connectivity, ends: Ends) -> None:
        self._by_address = connectivity.by_address
        self._ends = ends
        self._groups: Dict[Net, Dict[_Kinds, List[Address]]] = {}

    def select(self, host: DeclaredHost, net: Net) -> List[Address]:
        """One address of each kind of owners in a network, as seen from the host, without those of the host."""
        found: Dict[Hashable, Address] = {}
        for addresses in self._group(net).values():
            address = next((each for each in addresses if each not in host.own), None)
            if address is not None:
                found.setdefault(self._relate(host, address), address)
        return list(found.values())

    def list_of(self, address: Address) -> List[DeclaredHost]:
        """The owners of an address, one of each kind."""
        found: Dict[Tuple[int, int], DeclaredHost] = {}
        for host in self._by_address[address]:
            found.setdefault(self._get_kind(host, address), host)
        return list(found.values())

    def list_taken(self, host: DeclaredHost, net: Net) -> List[int]:
        """The addresses in a network that the host or another host has, sorted."""
        numbers = self._select_numbers(net)
        others = [number for _version, number in _list_own(host, net) if (net[0], number) not in self._by_address]
        return sorted([*numbers, *others]) if others else numbers

    def find_own(self, host: DeclaredHost, net: Net) -> Tuple[int, FrozenSet[_Kinds]]:
        """A value that is equal for hosts of the same kind whose own addresses leave the same kinds of peers."""
        counts: Dict[_Kinds, int] = {}
        own = _list_own(host, net)
        for address in own:
            if address in self._by_address:
                kinds = self._get_kinds(address)
                counts[kinds] = counts.get(kinds, 0) + 1
        groups = self._group(net) if counts else {}
        alone = frozenset(kinds for kinds, count in counts.items() if count == len(groups[kinds]))
        return len(own) - sum(counts.values()), alone

    def _group(self, net: Net) -> Mapping[_Kinds, List[Address]]:
        found = self._groups.get(net)
        if found is None:
            found = self._groups[net] = {}
            for number in self._select_numbers(net):
                address = net[0], number
                found.setdefault(self._get_kinds(address), []).append(address)
        return found

    def _get_kinds(self, address: Address) -> _Kinds:
        return tuple(sorted({self._get_kind(each, address) for each in self._by_address[address]}))

    def _get_kind(self, host: DeclaredHost, address: Address) -> Tuple[int, int]:
        return self._ends.get_kind(host), host.addresses.index(address)

    def _relate(self, host: DeclaredHost, address: Address) -> Hashable:
        """A value that is equal for addresses whose owners have the same connections with the host."""
        owners = self._by_address[address]
        return frozenset((self._ends.relate(host, each), each.addresses.index(address)) for each in owners)

    def _select_numbers(self, net: Net) -> List[int]:
        """The addresses of hosts in a network, sorted."""
        version, first, last = net
        numbers = self._numbers[version]
        return numbers[bisect.bisect_left(numbers, first) : bisect.bisect_right(numbers, last)]

    @functools.cached_property
    def _numbers(self) -> Mapping[int, List[int]]:
        """All addresses by the version of IP, sorted."""
        return {version: sorted(number for of, number in self._by_address if of == version) for version in BITS}


def is_of_the_host(net: Net) -> bool:
    """Whether it has only loopback addresses, which never are another host's."""
    version, first, last = net
    return is_loopback((version, first)) and is_loopback((version, last))


def _list_own(host: DeclaredHost, net: Net) -> List[Address]:
    version, first, last = net
    return [each for each in host.own if each[0] == version and first <= each[1] <= last]
