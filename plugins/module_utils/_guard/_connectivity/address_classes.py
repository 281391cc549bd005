# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Classes of addresses: no rule, set, failsafe or network of a host tells two addresses of a class apart.

A network is met only if every address of it is, so one address of each of its classes is evaluated.
"""

from __future__ import annotations

import bisect
import functools
from typing import Collection, Dict, FrozenSet, Iterable, Iterator, List, Mapping, Optional, Sequence, Set

from ..._core.ip import BITS, Address, Net, parse_net
from ..._dataplane.evaluator import Evaluator
from ..._policies._felix.config import Felix
from ..._policies.model import PolicySet
from ..._resources.selector import Selector

# Number of parts of a network, and of classes in it, that are evaluated.
_MOST_PARTS, _MOST_CLASSES = 5000, 2000
# Addresses that never are the other end of a connection, unless a peer is within them: of this network, of the host, of
# the link, and of groups.
_SPECIAL = tuple(
    parse_net(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/128", "::1/128", "fe80::/10", "ff00::/8")
)

Boundaries = Mapping[int, List[int]]


def build_boundaries(nets: Iterable[Net]) -> Boundaries:
    """Where an address enters or leaves one of the networks, by the version of IP, sorted."""
    found: Dict[int, Set[int]] = {4: set(), 6: set()}
    for version, first, last in nets:
        found[version].update((first, last + 1))
    return {version: sorted(numbers) for version, numbers in found.items()}


class AddressClasses:
    """The classes of addresses in one state of the datastore."""

    def __init__(self, evaluator: Evaluator, felixes: Collection[Felix]) -> None:
        self._members = evaluator.members
        self._has_members = evaluator.policy_set.looks_at_members()
        self._nets = list(_list_rule_nets(evaluator.policy_set))
        if self._has_members:
            self._nets += [net for each in evaluator.policy_set.members for net in each.nets]
        self._nets += [each.net for felix in felixes for each in (*felix.inbound, *felix.outbound) if each.net]
        self._boundaries = build_boundaries(self._nets)
        self._tunnel_hosts: List[FrozenSet[Address]] = list(
            {each.tunnel_hosts for each in felixes if each.tunnel_hosts}
        )
        self._selectors = list({each.text: each for each in _list_selectors(evaluator.policy_set)}.values())
        self._known: Dict[Address, int] = {}
        self._numbers: Dict[object, int] = {}
        # By the description of an address.
        self._selected: Dict[object, int] = {}

    def classify(self, address: Address) -> int:
        """A number that is equal for addresses that rules and settings do not tell apart."""
        found = self._known.get(address)
        if found is None:
            what = (
                address[0],
                bisect.bisect_right(self._boundaries[address[0]], address[1]),
                self._find_selected(address) if self._has_members else 0,
                tuple([address in each for each in self._tunnel_hosts]),
            )
            found = self._known[address] = self._numbers.setdefault(what, len(self._numbers))
        return found

    def _find_selected(self, address: Address) -> int:
        """A number that is equal for addresses that the selectors and the named ports of rules do not tell apart."""
        described = self._members.describe(address)
        found = self._selected.get(described)
        if found is None:
            selected = tuple([self._members.selects(each, *address) for each in self._selectors])
            what = (selected, self._members.get_ports(address))
            found = self._selected[described] = self._numbers.setdefault(what, len(self._numbers))
        return found

    def split(self, net: Net, nets: Iterable[Net], taken: Sequence[int]) -> Optional[List[int]]:
        """An address of each class in a network, of which `nets` are also told apart.

        `taken`: addresses, sorted, that do not count. None if the network has too many classes.
        """
        version, first, last = net
        nets = [each for each in (*nets, *_SPECIAL) if each[0] == version]
        boundaries = sorted({*self._boundaries[version], *build_boundaries(nets)[version]})
        start, end = bisect.bisect_right(boundaries, first), bisect.bisect_right(boundaries, last)
        parts = list(zip([first, *boundaries[start:end]], [*[each - 1 for each in boundaries[start:end]], last]))
        if len(parts) > _MOST_PARTS:
            return None
        usual = [part for part in parts if not any(each[1] <= part[0] <= each[2] for each in nets if each in _SPECIAL)]
        singles = self._singles[version]
        classes: Dict[object, int] = {}
        for low, high in usual or parts:
            place = bisect.bisect_left(boundaries, low + 1)
            out = set(_select(taken, low, high))
            known = [each for each in _select(singles, low, high) if each not in out]
            other = _find_other(low, high, sorted(out.union(known)))
            for number in known if other is None else [*known, other]:
                classes.setdefault((place, self.classify((version, number))), number)
        return None if len(classes) > _MOST_CLASSES else list(classes.values())

    @functools.cached_property
    def _singles(self) -> Mapping[int, List[int]]:
        """The addresses that differ from those beside them, by the version of IP."""
        found = set(self._members.list_addresses()) if self._has_members else set()
        found.update(*self._tunnel_hosts)
        return {version: sorted(number for of, number in found if of == version) for version in BITS}


def _select(numbers: Sequence[int], low: int, high: int) -> Sequence[int]:
    """Those of sorted numbers that are in a part."""
    return numbers[bisect.bisect_left(numbers, low) : bisect.bisect_right(numbers, high)]


def _find_other(low: int, high: int, known: List[int]) -> Optional[int]:
    """The first address of a part that is not among the known ones, which are sorted; None if there is none."""
    for number in known:
        if number != low:
            break
        low += 1
    return low if low <= high else None


def _list_rule_nets(policy_set: PolicySet) -> Iterator[Net]:
    for rule in policy_set.list_rules():
        for end in (rule.source, rule.destination):
            yield from end.nets
            yield from end.not_nets


def _list_selectors(policy_set: PolicySet) -> Iterator[Selector]:
    for rule in policy_set.list_rules():
        for end in (rule.source, rule.destination):
            yield from end.selectors
            yield from end.not_selectors
