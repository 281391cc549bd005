# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resolves addresses to the endpoints and network sets that selectors and named ports refer to."""

from __future__ import annotations

import functools
from typing import Callable, Dict, FrozenSet, Iterable, List, Mapping, Optional, Set, Tuple

from ..._core.ip import Address, Net
from ..._policies.model import PolicySet, Selectable
from ..._resources.selector import Selector


class IPSets:
    """Endpoints and network sets by address. Those with the same labels, as far as rules test them, are evaluated once.

    They are read only when a rule refers to them: few rules do, and there may be many members.
    """

    def __init__(self, policy_set: PolicySet, members: Callable[[], Iterable[Selectable]]) -> None:
        self._policy_set = policy_set
        self._members = members
        self._is_known = False
        self._doubt = policy_set.members_doubt
        # Labels, by the number of the group that has them.
        self._labels: List[Mapping[str, str]] = []
        self._groups: Dict[Tuple[FrozenSet[Tuple[str, str]], Tuple[str, ...], bool], int] = {}
        # Groups of members that Felix may reject.
        self._doubtful: Set[int] = set()
        self._by_address: Dict[Address, Set[int]] = {}
        self._nets: List[Tuple[Net, int]] = []
        self._ports: Dict[Tuple[Address, str, int], Set[int]] = {}
        self._doubtful_ports: Set[Tuple[Address, str, int]] = set()
        self._found: Dict[Address, Tuple[int, ...]] = {}
        self._selected: Dict[Tuple[str, int], bool] = {}

    def _know(self) -> None:
        if not self._is_known:
            self._is_known = True
            for member in self._members():
                self._add(member)

    def _add(self, member: Selectable) -> None:
        if member.doubt and not member.addresses:
            # Its addresses are unknown.
            self._doubt = self._doubt or member.doubt
        labels = [item for item in member.labels.items() if item[0] in self._policy_set.member_labels]
        key = (frozenset(labels), member.profiles, bool(member.doubt))
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = len(self._labels)
            self._labels.append(self._policy_set.inherit_labels(member.labels, member.profiles))
            self._doubtful.update([group] if member.doubt else ())
        for address in member.addresses:
            self._by_address.setdefault(address, set()).add(group)
            for name, protocol, number in member.ports:
                self._ports.setdefault((address, name, protocol), set()).add(number)
                self._doubtful_ports.update([(address, name, protocol)] if member.doubt else ())
        self._nets += [(net, group) for net in member.nets]

    def selects(self, selector: Selector, version: int, number: Optional[int]) -> Optional[bool]:
        """Whether the selector selects a member with this address; None if unknown."""
        if number is None:
            return None
        maybe = False
        for group in self._list_groups((version, number)):
            key = (selector.text, group)
            found = self._selected.get(key)
            if found is None:
                found = self._selected[key] = bool(selector.matches(self._labels[group]))
            if found and group not in self._doubtful:
                return True
            maybe = maybe or found
        return None if self._doubt or maybe else False

    def has_port(self, name: str, protocol: int, version: int, number: Optional[int]) -> Optional[FrozenSet[int]]:
        """The numbers of a named port at this address; None if unknown."""
        self._know()
        if number is None or self._doubt or ((version, number), name, protocol) in self._doubtful_ports:
            return None
        return frozenset(self._ports.get(((version, number), name, protocol), ()))

    def describe(self, address: Address) -> object:
        """A value that is equal for addresses that no selector and no named port tells apart."""
        return self._list_groups(address), self.get_ports(address)

    def get_ports(self, address: Address) -> object:
        """The named ports at an address: a value that is equal if they are."""
        self._know()
        return self._named_ports.get(address)

    def list_addresses(self) -> Iterable[Address]:
        """The single addresses of all members."""
        self._know()
        return self._by_address

    @functools.cached_property
    def _named_ports(self) -> Dict[Address, FrozenSet[object]]:
        found: Dict[Address, Set[object]] = {}
        for key, numbers in self._ports.items():
            port = (key[1:], frozenset(numbers), key in self._doubtful_ports)
            found.setdefault(key[0], set()).add(port)
        return {address: frozenset(ports) for address, ports in found.items()}

    def _list_groups(self, address: Address) -> Tuple[int, ...]:
        found = self._found.get(address)
        if found is None:
            self._know()
            version, number = address
            groups = set(self._by_address.get(address, ()))
            groups.update(group for net, group in self._nets if net[0] == version and net[1] <= number <= net[2])
            found = self._found[address] = tuple(sorted(groups))
        return found
