# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Explains a denied packet that a rule seems to be meant for: the selected endpoints have no expected IPs.

Felix matches addresses, and an endpoint without expected IPs adds none to the set of a selector, whatever its labels.
"""

from __future__ import annotations

import functools
from typing import Callable, Collection, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..._core.errors import cut
from ..._core.ip import Address
from ..._policies.connection import Packet
from ..._policies.model import DENY, PolicySet, Rule
from ..._resources.hostendpoint import HostEndpoint
from ..._resources.selector import Selector
from .ip_sets import IPSets
from .match import matches_destination, matches_source

# Number of rules that a reason names.
_RULES = 3
# Characters of a selector in a reason.
_LONGEST = 120


class Unaddressed:
    """The endpoints without expected IPs, read only on demand."""

    def __init__(self, policy_set: PolicySet, endpoints: Callable[[], Iterable[HostEndpoint]]) -> None:
        self._policy_set = policy_set
        self._endpoints = endpoints
        # By the strings of selectors.
        self._selected: Dict[Tuple[Tuple[str, ...], ...], _Selected] = {}

    def selected(self, selectors: Sequence[Selector], without: Sequence[Selector]) -> _Selected:
        """The endpoints that all `selectors` match, and none of `without`."""
        key = tuple([tuple([each.text for each in some]) for some in (selectors, without)])
        found = self._selected.get(key)
        if found is None:
            by_node: Dict[str, List[HostEndpoint]] = {}
            for endpoint, labels in self._all:
                is_left_out = any(each.matches(labels) for each in without)
                if not is_left_out and all(each.matches(labels) for each in selectors):
                    by_node.setdefault(endpoint.node, []).append(endpoint)
            found = self._selected[key] = _Selected(by_node, sum(map(len, by_node.values())))
        return found

    @functools.cached_property
    def _all(self) -> List[Tuple[HostEndpoint, Mapping[str, str]]]:
        endpoints = sorted(self._endpoints(), key=lambda each: (each.node, each.name))
        return [(each, self._policy_set.inherit_labels(each.labels, each.profiles)) for each in endpoints]


class _Selected(NamedTuple):
    """Some endpoints, sorted by node and name."""

    by_node: Mapping[str, Sequence[HostEndpoint]]
    number: int

    def on(self, node: str) -> Tuple[Optional[HostEndpoint], int]:
        """The first endpoint of a node, and their number."""
        found = self.by_node.get(node, ())
        return (found[0] if found else None), len(found)

    def elsewhere(self, node: str) -> Tuple[Optional[HostEndpoint], int]:
        """The first endpoint of all other nodes, and their number."""
        first = next((found[0] for other, found in self.by_node.items() if other != node), None)
        return first, self.number - len(self.by_node.get(node, ()))


class PacketEnd(NamedTuple):
    """The host on which a packet is denied: its node, and all of its addresses."""

    node: str
    addresses: Collection[Address]


def overlooked(
    rules: Iterable[Tuple[str, Rule]], packet: Packet, members: IPSets, unaddressed: Unaddressed, place: PacketEnd
) -> str:
    """An addition to the reason of a denied packet; "" if no endpoint lacks addresses.

    `rules` are the non-matching rules that would allow it, and the rule that denies it, with their names.
    """
    found: List[str] = []
    for by, rule in rules:
        texts = list(_of_rule(rule, packet, members, unaddressed, place))
        if texts:
            found.append("; {0}: {1}".format(by, ", and ".join(texts)))
        if len(found) == _RULES:
            break
    return "".join(found)


def _of_rule(rule: Rule, packet: Packet, members: IPSets, unaddressed: Unaddressed, place: PacketEnd) -> Iterator[str]:
    for name, matches in (("source", matches_source), ("destination", matches_destination)):
        entity = getattr(rule, name)
        selectors = [entity.selectors]
        if rule.action == DENY:
            selectors = [(each,) for each in entity.not_selectors]
        elif matches(rule, packet, members) is not False:
            continue
        elif matches(rule._replace(**{name: entity._replace(selectors=())}), packet, members) is False:
            # It would not match with the addresses either.
            continue
        is_here = (packet.version, getattr(packet, name)) in place.addresses
        for some in filter(None, selectors):
            # A rule that does not deny would exclude these endpoints even with addresses.
            found = unaddressed.selected(some, () if rule.action == DENY else entity.not_selectors)
            first, number = (found.on if is_here else found.elsewhere)(place.node)
            if first:
                yield _text(("negated " if rule.action == DENY else "") + name, some, first, number)


def _text(end: str, selectors: Sequence[Selector], first: HostEndpoint, number: int) -> str:
    text = "its {0} selector {1} matches {2}, which {3} no expected_ips, so {4} addresses are not in the set"
    # On one line, without quotes around it, since it contains quotes.
    selector = cut(repr(" && ".join(each.text for each in selectors))[1:-1], _LONGEST)
    if number == 1:
        return text.format(end, selector, first, "has", "its")
    more = "1 other" if number == 2 else "{0} others".format(number - 1)
    return text.format(end, selector, "{0} and {1}".format(first, more), "have", "their")
