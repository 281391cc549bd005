# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes open: connections on a governed interface that were not allowed and now are.

Samples are evaluated: the first ports and networks of each rule that changes, of each network set that changes and of
new failsafes, and a port that none of them names.
"""

from __future__ import annotations

import itertools
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..._core.errors import join_first
from ..._core.ip import Address, Net, format_address
from ..._core.protocols import TCP
from ..._dataplane.evaluator import Evaluator
from ..._dataplane.host import HostDataplane
from ..._dataplane.resolution import Interface
from ..._dataplane.verdict import UNKNOWN, ConnectionVerdict
from ..._policies._felix.config import Failsafe
from ..._policies.connection import IN, OUT, Connection, new_packet
from ..._policies.model import ALLOW, DENY, INGRESS, PASS, Entity, PolicySet, Rule, Rules
from ..connection_checks import format_protocol
from ..host_state import HostState

# Number of ports and of networks of a rule, of networks of all sets, and of samples in all.
_MOST_OF_A_RULE, _MOST_OF_SETS, _MOST_SAMPLES = 5, 20, 300
# Number of openings, and of nodes of each, that are reported.
_MOST_REPORTED, _NAMED = 10, 5
# The port that no rule names is the first one from here downwards.
_UNNAMED_PORT = 49151


# Direction, protocol, port, and version of IP.
Shape = Tuple[str, int, Optional[int], int]


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


class Opening(NamedTuple):
    sample: Sample
    # Whether it is open for all addresses that the sample is about.
    is_certain: bool
    # What decides.
    by: str


class Openings:
    """Collects what changes open on hosts."""

    def __init__(self, before: Evaluator, after: Evaluator) -> None:
        self._before = before
        self._after = after
        self._samples = list(itertools.islice(_build_samples(before.policy_set, after.policy_set), _MOST_SAMPLES))
        # Hosts of a fleet share their policies.
        self._known: Dict[object, List[str]] = {}
        self._nodes: Dict[str, List[str]] = {}

    def add(self, host: HostState) -> None:
        """Evaluate a host that differs after the changes."""
        texts: Set[str] = set()
        for name, interface in host.before.interfaces.items():
            after = host.after.interfaces[name]
            if interface.governing and after.governing:
                key = self._build_key(host, interface, after)
                if key not in self._known:
                    self._known[key] = list(_format_openings(self._find(host, name)))
                texts.update(self._known[key])
        for text in texts:
            self._nodes.setdefault(text, []).append(host.node)

    def format(self) -> List[str]:
        """A warning for each opening."""
        lines = [
            "guard G19: {0} (on {1})".format(text, join_first(nodes, _NAMED))
            for text, nodes in sorted(self._nodes.items(), key=lambda item: (-len(item[1]), item[0]))
        ]
        more = len(lines) - _MOST_REPORTED
        return lines[:_MOST_REPORTED] + (["guard G19: {0} more such warnings".format(more)] if more > 0 else [])

    def _build_key(self, host: HostState, before: Interface, after: Interface) -> object:
        facts, node = host.facts, host.node
        rules = [
            evaluator.rules_for(interface.governing.endpoint).identity if interface.governing else None
            for evaluator, interface in ((self._before, before), (self._after, after))
        ]
        felix = [id(evaluator.felix(node, facts.dataplane)) for evaluator in (self._before, self._after)]
        return (*rules, *felix, facts.failsafes, facts.dataplane)

    def _find(self, host: HostState, name: str) -> Iterator[Opening]:
        """The openings of an interface."""
        if host.before.problem or host.after.problem:
            return
        # Whether a shape is open for any address.
        opened: Dict[Shape, bool] = {}
        partly: Dict[Shape, Opening] = {}
        for sample in dict.fromkeys([*self._samples, *_find_new_failsafes(host)]):
            if opened.get(sample.shape):
                continue
            before, after = (_evaluate(state, sample, name) for state in (host.before, host.after))
            is_general = sample.peer is None
            if after.verdict == ALLOW and (before.verdict == DENY or is_general and before.verdict == UNKNOWN):
                opened[sample.shape] = is_general
                yield Opening(sample, True, after.decided_by)
            elif is_general and before.verdict == DENY and after.verdict == UNKNOWN:
                partly[sample.shape] = Opening(sample, False, after.decided_by)
        yield from (opening for shape, opening in partly.items() if shape not in opened)


def _evaluate(host: HostDataplane, sample: Sample, name: str) -> ConnectionVerdict:
    ends = [sample.peer, None] if sample.direction == IN else [None, sample.peer]
    packet = new_packet(sample.version, sample.protocol, ends[0], ends[1], sample.port)
    interfaces = (name, "") if sample.direction == IN else ("", name)
    return host.evaluate(Connection(sample.direction, packet, *interfaces))


def _format_openings(openings: Iterable[Opening]) -> Iterator[str]:
    """The openings in words; what is equal for both versions of IP is one text."""
    versions: Dict[Opening, List[int]] = {}
    for opening in openings:
        sample = opening.sample
        alike = opening._replace(sample=sample._replace(version=0)) if sample.peer is None else opening
        versions.setdefault(alike, []).append(sample.version)
    for opening, found in versions.items():
        sample = opening.sample._replace(version=found[0])
        packet = new_packet(sample.version, sample.protocol, None, None, sample.port)
        of_version = "" if len(found) > 1 else "IPv{0} ".format(*found)
        if sample.peer is not None:
            peer = format_address((sample.version, sample.peer))
        else:
            peer = ("any {0}address" if opening.is_certain else "some {0}addresses").format(of_version)
        text = "{0} {1} {2} was not allowed and {3} now: {4}"
        how = "is allowed" if opening.is_certain else "may be allowed"
        direction = {IN: "from", OUT: "to"}[sample.direction]
        yield text.format(format_protocol(packet), direction, peer, how, opening.by)


def _build_samples(before: PolicySet, after: PolicySet) -> Iterator[Sample]:
    """Any address first: an opening for any address includes those of the samples that follow."""
    rules = [*_select_new(before, after, (ALLOW, PASS)), *_select_new(after, before, (DENY,))]
    named = [ports for _direction, rule in rules for ports in rule.destination.ports]
    free = (port for port in range(_UNNAMED_PORT, 1, -1) if not any(a <= port <= b for a, b in named))
    unnamed = next(free, 1)
    shapes = list(dict.fromkeys(_list_shapes(rules, unnamed)))
    for direction in (IN, OUT):
        for version in (4, 6):
            yield Sample(direction, TCP, unnamed, version, None)
    for direction, protocol, port, version in shapes:
        yield Sample(direction, protocol, port, version, None)
    for direction, rule in rules:
        for version, peer in _list_peers(_get_far_end(direction, rule).nets[:_MOST_OF_A_RULE]):
            for shape in _list_shapes([(direction, rule)], unnamed):
                yield Sample(*shape[:3], version, peer)
    nets = _list_changed_nets(before, after)[:_MOST_OF_SETS]
    selecting = [each for each in _list_rules(after) if _selects(_get_far_end(*each))]
    for direction, protocol, port, _version in dict.fromkeys(_list_shapes(selecting, unnamed)) if nets else ():
        for version, peer in _list_peers(nets):
            yield Sample(direction, protocol, port, version, peer)


def _select_new(one: PolicySet, other: PolicySet, actions: Sequence[str]) -> List[Tuple[str, Rule]]:
    """Direction and rule of the rules with these actions that only the other state has."""
    known = {id(rules) for rules in _list_rules_of_owners(one)}
    return [
        (direction, rule)
        for rules in _list_rules_of_owners(other)
        if id(rules) not in known
        for direction, rule in _list_directed(rules)
        if rule.action in actions
    ]


def _list_rules(policy_set: PolicySet) -> List[Tuple[str, Rule]]:
    return [each for rules in _list_rules_of_owners(policy_set) for each in _list_directed(rules)]


def _list_rules_of_owners(policy_set: PolicySet) -> List[Rules]:
    policies = [policy.rules for policies in policy_set.policies.values() for policy in policies]
    return policies + [profile.rules for profile in policy_set.profiles.values() if profile.rules is not None]


def _list_directed(rules: Rules) -> Iterator[Tuple[str, Rule]]:
    for direction, of_direction in rules.items():
        for rule in of_direction:
            yield (IN if direction == INGRESS else OUT), rule


def _list_shapes(rules: Iterable[Tuple[str, Rule]], unnamed: int) -> Iterator[Shape]:
    """Direction, protocol, port and version of IP of what rules match."""
    for direction, rule in rules:
        ports = [first for first, _last in rule.destination.ports[:_MOST_OF_A_RULE]] or [unnamed]
        for port in ports:
            for version in (4, 6) if not rule.version else (rule.version,):
                yield direction, rule.protocol or TCP, port, version


def _get_far_end(direction: str, rule: Rule) -> Entity:
    return rule.source if direction == IN else rule.destination


def _selects(end: Entity) -> bool:
    return bool(end.selectors or end.not_selectors)


def _list_changed_nets(before: PolicySet, after: PolicySet) -> List[Net]:
    """The networks of network sets that only one of the states has."""
    one, other = ({net for member in each.members for net in member.nets} for each in (before, after))
    return sorted(one ^ other)


def _list_peers(nets: Iterable[Net]) -> List[Address]:
    return [(version, first) for version, first, last in nets if first <= last]


def _find_new_failsafes(host: HostState) -> Iterator[Sample]:
    before, after = host.before.felix, host.after.felix
    for direction, old, new in ((IN, before.inbound, after.inbound), (OUT, before.outbound, after.outbound)):
        for failsafe in new:
            if failsafe not in old:
                yield from _build_failsafe_samples(direction, failsafe)


def _build_failsafe_samples(direction: str, failsafe: Failsafe) -> Iterator[Sample]:
    if failsafe.net:
        version, first, _last = failsafe.net
        yield Sample(direction, failsafe.protocol, failsafe.port, version, first)
    else:
        for version in (4, 6):
            yield Sample(direction, failsafe.protocol, failsafe.port, version, None)
