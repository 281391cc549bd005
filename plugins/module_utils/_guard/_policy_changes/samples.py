# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Samples of the connections that changes may open on an interface.

Something opens where a rule that allows is new, or where more packets than before reach an Allow rule that does not
change, since a rule before it no longer denies them. Unchanged rules up to the first such difference in the order of
evaluation are left out: no more packets than before reach them.
"""

from __future__ import annotations

import bisect
import functools
import itertools
from typing import Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ..._core.ip import Address, Net
from ..._core.protocols import TCP
from ..._dataplane._rules.endpoint_rules import EndpointRules, Unit
from ..._dataplane.evaluator import Evaluator
from ..._policies.connection import IN, OUT
from ..._policies.model import ALLOW, DENY, INGRESS, PASS, Entity, Policy, Rule, Rules

# Number of ports and of networks of a rule, of members that its selectors select, of networks of all sets, and of
# samples of an interface, of which some are for unchanged rules: each takes 30 ms with 1,000 policies.
_MOST_OF_A_RULE, _MOST_SELECTED, _MOST_OF_SETS, _MOST_SAMPLES, _MOST_UNCHANGED = 5, 2, 20, 300, 150
# The port that no rule names is the first one from here downwards.
_UNNAMED_PORT = 49151

# Direction, protocol, port, and version of IP.
Shape = Tuple[str, int, Optional[int], int]
# A direction and a rule.
_Directed = Tuple[str, Rule]
# The labels of members, and the first of their networks.
_Group = Tuple[Dict[str, str], Net]
# The labels, named ports and networks of a member.
_Member = Tuple[Mapping[str, str], Tuple[Tuple[str, int, int], ...], List[Net]]


class Sample(NamedTuple):
    """A connection from or to `peer`, None for any address."""

    # IN or OUT.
    direction: str
    protocol: int
    port: Optional[int]
    version: int
    peer: Optional[int]

    @property
    def shape(self) -> Shape:
        return self[:4]


class Sampler:
    """Builds the samples of interfaces by their rules before and after the changes."""

    def __init__(self, before: Evaluator, after: Evaluator) -> None:
        self._before = before
        self._after = after

    def build(self, before: EndpointRules, after: EndpointRules, are_rules_all: bool) -> List[Sample]:
        """The samples, those for any address first; `are_rules_all` is whether nothing but the rules differs."""
        nets = self._changed_nets if before.looks_at_members or after.looks_at_members else []
        old, new = before.list_evaluated(), after.list_evaluated()
        gone, added = _list_others(old, new), _list_others(new, old)
        kept = _list_others(new, added)
        if are_rules_all and not nets:
            kept = _list_others(kept, _list_same(old, new, gone, added))
        opening = [each for each in _list_rules(added) if each[1].action == PASS]
        opening += [each for each in _list_rules(gone) if each[1].action == DENY]
        changed = [each for each in _list_rules(added) if each[1].action == ALLOW] + opening
        reached = [each for each in _list_rules(kept) if each[1].action == ALLOW]
        ports = _PortSamples(_list_rules([*old, *new]), _list_rules([*gone, *added, *kept]), self._named_ports)
        peers = list(dict.fromkeys(peer for each in opening for peer in self._list_peers(*each)))[:_MOST_OF_SETS]
        peers += _list_firsts(nets[:_MOST_OF_SETS])
        shapes = ports.list_shapes([*changed, *reached])
        unchanged = itertools.chain(
            (Sample(*shape, None) for shape in ports.list_shapes(reached)),
            (_build_sample(shape, peer) for shape in shapes for peer in peers if peer[0] == shape[3]),
            self._sample_rules(reached, ports),
        )
        found = itertools.chain(
            (Sample(direction, TCP, ports.unnamed, version, None) for direction in (IN, OUT) for version in (4, 6)),
            self._sample_rules(changed, ports),
            itertools.islice(_unique(unchanged), _MOST_UNCHANGED),
        )
        # An opening for any address includes those of single addresses.
        return sorted(itertools.islice(_unique(found), _MOST_SAMPLES), key=lambda each: each.peer is not None)

    def _sample_rules(self, rules: Sequence[_Directed], ports: _PortSamples) -> Iterator[Sample]:
        for shape in ports.list_shapes(rules):
            yield Sample(*shape, None)
        for each in rules:
            peers = self._list_peers(*each)
            for shape in ports.list_shapes([each]) if peers else ():
                yield from (_build_sample(shape, peer) for peer in peers if peer[0] == shape[3])

    def _list_peers(self, direction: str, rule: Rule) -> List[Address]:
        """The first addresses that a rule names at the far end, and of what its selectors select."""
        end = rule.source if direction == IN else rule.destination
        nets = list(end.nets[:_MOST_OF_A_RULE])
        if end.selectors:
            found = (net for labels, net in self._groups if all(each.matches(labels) for each in end.selectors))
            nets += itertools.islice(found, _MOST_SELECTED)
        return _list_firsts(nets)

    @functools.cached_property
    def _changed_nets(self) -> List[Net]:
        """The networks of what only one of the states has with the same labels and ports."""
        one, other = (
            {
                (frozenset(labels.items()), ports, net)
                for labels, ports, nets in _list_members(evaluator)
                for net in nets
            }
            for evaluator in (self._before, self._after)
        )
        return sorted({net for _labels, _ports, net in one ^ other})

    @functools.cached_property
    def _groups(self) -> List[_Group]:
        """One network of those with the same labels, as far as rules match them."""
        names = self._after.policy_set.member_labels
        found: Dict[FrozenSet[Tuple[str, str]], Net] = {}
        for labels, _ports, nets in _list_members(self._after):
            if nets:
                found.setdefault(frozenset(item for item in labels.items() if item[0] in names), nets[0])
        return [(dict(labels), net) for labels, net in found.items()]

    @functools.cached_property
    def _named_ports(self) -> Dict[str, List[int]]:
        """The numbers of each named port."""
        found: Dict[str, Set[int]] = {}
        for _labels, ports, _nets in _list_members(self._after):
            for name, _protocol, number in ports:
                found.setdefault(name, set()).add(number)
        return {name: sorted(numbers) for name, numbers in found.items()}


class _PortSamples:
    """The ports that are tried for rules; `compared` are those whose ports are tried in wider ranges, too."""

    def __init__(
        self, rules: Iterable[_Directed], compared: Iterable[_Directed], named: Mapping[str, Sequence[int]]
    ) -> None:
        self._named = named
        self._firsts = sorted({first for _direction, rule in compared for first, _last in rule.destination.ports})
        # A port that none of the rules names.
        self.unnamed = _UNNAMED_PORT
        ranges = {ports for _direction, rule in rules for ports in rule.destination.ports}
        for first, last in sorted(ranges, key=lambda each: each[1], reverse=True):
            if first <= self.unnamed <= last:
                self.unnamed = max(first - 1, 1)

    def list_shapes(self, rules: Iterable[_Directed]) -> Iterator[Shape]:
        """Direction, protocol, port and version of IP of what rules match."""
        for direction, rule in rules:
            for port in self._list_ports(rule.destination):
                for version in (4, 6) if not rule.version else (rule.version,):
                    yield direction, rule.protocol or TCP, port, version

    def _list_ports(self, end: Entity) -> List[int]:
        """The first port of each range, and within ranges the ports of other rules."""
        if not end.ports and not end.port_names:
            return [self.unnamed]
        found = [first for first, _last in end.ports]
        found += [number for name in end.port_names for number in self._named.get(name, ())]
        for first, last in end.ports:
            if first < last:
                inside = slice(bisect.bisect_right(self._firsts, first), bisect.bisect_right(self._firsts, last))
                found += self._firsts[inside][:_MOST_OF_A_RULE]
        return list(dict.fromkeys(found))[: 2 * _MOST_OF_A_RULE]


def _list_others(units: Iterable[Unit], left_out: Iterable[Unit]) -> List[Unit]:
    known = {owner for owner, _rules in left_out}
    return [each for each in units if each[0] not in known]


def _list_same(old: List[Unit], new: List[Unit], gone: Iterable[Unit], added: Iterable[Unit]) -> List[Unit]:
    """What is evaluated up to the first difference that lets more packets reach what follows."""
    old = _list_others(old, (each for each in gone if not _stops(each)))
    new = _list_others(new, (each for each in added if not _skips(each)))
    same = sum(1 for _pair in itertools.takewhile(lambda pair: pair[0][0] == pair[1][0], zip(old, new)))
    return new[:same]


def _stops(unit: Unit) -> bool:
    """Whether packets that are not allowed may not get past it."""
    owner, rules = unit
    return rules is None or isinstance(owner, Policy) and bool(owner.doubt) or _has_action(rules, (DENY, PASS))


def _skips(unit: Unit) -> bool:
    """Whether packets may skip what follows it, and reach something else."""
    owner, rules = unit
    return isinstance(owner, Policy) and bool(owner.doubt) or _has_action(rules or {}, (PASS,))


def _has_action(rules: Rules, actions: Sequence[str]) -> bool:
    return any(rule.action in actions for of_direction in rules.values() for rule in of_direction)


def _list_rules(units: Iterable[Unit]) -> Iterator[_Directed]:
    for _owner, rules in units:
        for direction, of_direction in (rules or {}).items():
            for rule in of_direction:
                yield (IN if direction == INGRESS else OUT), rule


def _list_members(evaluator: Evaluator) -> Iterator[_Member]:
    """All that a selector of a rule may select."""
    for member in evaluator.list_members():
        labels = evaluator.policy_set.inherit_labels(member.labels, member.profiles)
        yield labels, member.ports, [*member.nets, *((version, each, each) for version, each in member.addresses)]


def _build_sample(shape: Shape, peer: Address) -> Sample:
    return Sample(*shape, peer[1])


def _list_firsts(nets: Iterable[Net]) -> List[Address]:
    return [(version, first) for version, first, last in nets if first <= last]


def _unique(samples: Iterable[Sample]) -> Iterator[Sample]:
    found: Set[Sample] = set()
    for each in samples:
        if each not in found:
            found.add(each)
            yield each
