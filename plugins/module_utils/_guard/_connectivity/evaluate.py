# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evaluates declared expectations: whether the connections of a host are allowed or denied as declared.

A group or a network is as declared only if all of its addresses are. What cannot be determined is unknown.
"""

from __future__ import annotations

import itertools
from typing import Dict, Hashable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..._core.errors import join_first
from ..._core.ip import Address, Net, format_address
from ..._dataplane.evaluator import Evaluator
from ..._dataplane.verdict import UNKNOWN, ConnectionVerdict, as_expected
from ..._policies.connection import IN, OUT, Connection
from ..._policies.model import ALLOW, DENY
from ..connection_checks import format_connection
from .attempts import Attempt, list_attempts_between, list_attempts_with
from .ends import Ends
from .expectations import Expectation
from .hosts import Connectivity, DeclaredHost
from .owners import Owners, is_of_the_host

MET, UNMET = "met", "unmet"
# What is known of a port towards a peer: all addresses are open, or all are closed, or some are.
OPEN, CLOSED, MIXED = "open", "closed", "mixed"
_STATES = {ALLOW: OPEN, DENY: CLOSED}
# Number of hosts of different kinds in a network that are evaluated, and of hosts that a reason names.
_MOST_OWNERS, _NAMED = 2000, 5


class Outcome(NamedTuple):
    """Whether an expectation is met, by the connection that decides on that."""

    # MET, UNMET or UNKNOWN.
    state: str
    # The connection in words, such as "tcp port 22 from 192.0.2.9"; "" if there is none.
    connection: str
    # ALLOW, DENY or UNKNOWN.
    verdict: str
    # What decides, such as a rule or a failsafe.
    decided_by: str
    # As a sentence.
    reason: str
    # {protocol and port: OPEN, CLOSED, MIXED or UNKNOWN}, as pairs.
    ports: Tuple[Tuple[str, str], ...] = ()


class ExpectationResult(NamedTuple):
    """An expectation of a host, and whether it is met."""

    host: str
    node: str
    expectation: Expectation
    outcome: Outcome

    @property
    def state(self) -> str:
        return self.outcome.state


def evaluate_connectivity(evaluator: Evaluator, connectivity: Connectivity) -> List[ExpectationResult]:
    """The results of all expectations, in the order of the hosts. Raises InvalidInput for invalid failsafes."""
    found = ConnectivityEvaluator(evaluator, connectivity)
    return [
        ExpectationResult(host.name, host.node, expectation, found.evaluate(host, expectation))
        for host, expectation in connectivity.list_all()
    ]


class _Trial(NamedTuple):
    """An evaluated connection."""

    # MET, UNMET or UNKNOWN.
    state: str
    port: Optional[int]
    # None if the connection itself is unknown.
    connection: Optional[Connection]
    answer: ConnectionVerdict


class ConnectivityEvaluator:
    """Evaluates the expectations of any hosts of an inventory, in one state of the datastore."""

    def __init__(self, evaluator: Evaluator, connectivity: Connectivity) -> None:
        self._connectivity = connectivity
        self._ends = Ends(evaluator, connectivity)
        self._owners = Owners(connectivity, self._ends)
        self._known: Dict[Tuple[object, ...], Outcome] = {}
        # The members of groups by kind; those without facts have the kind -1.
        self._members: Dict[str, Dict[int, List[DeclaredHost]]] = {}

    def evaluate(self, host: DeclaredHost, expectation: Expectation) -> Outcome:
        """Whether an expectation of a host is met."""
        if not self._ends.is_known(host):
            return _build_unknown("the facts of {0} are unknown".format(host.name))
        kind = self._ends.get_kind(host)
        # What the host itself is of the peer, which is not evaluated.
        own: Hashable
        if expectation.net is not None:
            own = self._owners.find_own(host, expectation.net)
        elif expectation.peer in self._connectivity.groups:
            own = self._list_members(expectation.peer).get(kind) == [host]
        else:
            own = expectation.peer == host.name
        found = self._known.get((kind, own, expectation))
        if found is None:
            found = self._known[kind, own, expectation] = self._evaluate(host, expectation)
        return found

    def _evaluate(self, host: DeclaredHost, expectation: Expectation) -> Outcome:
        trials = list(self._try_peers(host, expectation))
        if trials:
            return _build_outcome(expectation, trials)
        if self._connectivity.groups.get(expectation.peer) == []:
            return _build_unknown("the group {0} has no hosts".format(expectation.peer))
        return _build_unknown("the host itself is the only peer, and it is not evaluated")

    def _try_peers(self, host: DeclaredHost, expectation: Expectation) -> Iterator[_Trial]:
        if expectation.net is not None:
            yield from self._try_net(host, expectation.net, expectation)
            return
        for peer in self._list_peers(host, expectation.peer):
            yield from self._try_host(host, peer, expectation)

    def _list_peers(self, host: DeclaredHost, name: str) -> Iterator[DeclaredHost]:
        """The other hosts that a name means: of a group, one of each kind, as seen from the host."""
        if name not in self._connectivity.groups:
            yield from (each for each in [self._connectivity.hosts[name]] if each is not host)
            return
        known: Set[Hashable] = set()
        for members in self._list_members(name).values():
            member = next((each for each in members if each is not host), None)
            if member is not None and self._ends.relate(host, member) not in known:
                known.add(self._ends.relate(host, member))
                yield member

    def _list_members(self, group: str) -> Dict[int, List[DeclaredHost]]:
        found = self._members.get(group)
        if found is None:
            found = self._members[group] = {}
            for name in self._connectivity.groups[group]:
                host = self._connectivity.hosts[name]
                found.setdefault(self._ends.get_kind(host), []).append(host)
        return found

    def _try_host(
        self, host: DeclaredHost, peer: DeclaredHost, expectation: Expectation, only: Optional[Address] = None
    ) -> Iterator[_Trial]:
        if not self._ends.is_known(peer):
            yield _build_failed("the facts of {0} are unknown".format(peer.name))
            return
        attempts, problem = list_attempts_between(host, peer, expectation, only)
        yield from self._try_all(host, peer, expectation, attempts)
        if problem:
            yield _build_failed(problem)

    def _try_address(self, host: DeclaredHost, address: Address, expectation: Expectation) -> Iterator[_Trial]:
        attempts, problem = list_attempts_with(host, address, expectation)
        yield from self._try_all(host, None, expectation, attempts)
        if problem:
            yield _build_failed(problem)

    def _try_net(self, host: DeclaredHost, net: Net, expectation: Expectation) -> Iterator[_Trial]:
        """The trials with the hosts that have addresses in a network, and with its other addresses."""
        if is_of_the_host(net):
            return
        addresses = self._owners.select(host, net)
        nets = [of for each in host.interfaces.values() for of in each.nets]
        numbers = self._ends.addresses.split(net, nets, self._owners.list_taken(host, net))
        if numbers is None or len(addresses) > _MOST_OWNERS:
            text = "{0} divide the network {1} into too many parts; declare smaller networks"
            what = "rules and sets" if numbers is None else "the hosts in it"
            yield _build_failed(text.format(what, expectation.peer))
            return
        for number in numbers:
            yield from self._try_address(host, (net[0], number), expectation)
        for address in addresses:
            yield from self._try_owners(host, address, expectation)

    def _try_owners(self, host: DeclaredHost, address: Address, expectation: Expectation) -> Iterator[_Trial]:
        """The trials with the hosts that have an address, which must agree if there are several."""
        owners = self._owners.list_of(address)
        trials = [list(self._try_host(host, owner, expectation, address)) for owner in owners]
        if len({_find_worst(each) for each in trials}) > 1:
            text = "{0} is an address of {1}, whose verdicts differ"
            names = join_first([owner.name for owner in owners], _NAMED)
            yield _build_failed(text.format(format_address(address), names))
            return
        yield from itertools.chain.from_iterable(trials)

    def _try_all(
        self, host: DeclaredHost, peer: Optional[DeclaredHost], expectation: Expectation, attempts: Iterable[Attempt]
    ) -> Iterator[_Trial]:
        for attempt in attempts:
            for port in expectation.ports:
                connection = attempt.build(expectation.direction, expectation.protocol, port)
                answer = as_expected(self._ends.evaluate(host, connection), expectation.expect)
                if peer is not None and answer.verdict != DENY:
                    other = attempt.build({IN: OUT, OUT: IN}[expectation.direction], expectation.protocol, port)
                    there = as_expected(self._ends.evaluate(peer, other), expectation.expect)
                    answer = _combine(answer, there, peer.name)
                state = UNKNOWN
                if answer.verdict == expectation.expect:
                    state = MET
                elif answer.verdict != UNKNOWN and attempt.is_certain:
                    state = UNMET
                yield _Trial(state, port, connection, answer)


def _combine(answer: ConnectionVerdict, there: ConnectionVerdict, peer: str) -> ConnectionVerdict:
    """The verdict on a connection by both ends, of which the own end does not deny it."""
    of_peer = there._replace(
        decided_by="{0}, on {1}".format(there.decided_by, peer), reason="on {0}, {1}".format(peer, there.reason)
    )
    if there.verdict == DENY or answer.verdict == ALLOW and there.verdict == UNKNOWN:
        return of_peer
    if answer.verdict == UNKNOWN:
        return answer
    return answer._replace(
        decided_by="{0}; {1}".format(answer.decided_by, of_peer.decided_by),
        reason="{0}; {1}".format(answer.reason, of_peer.reason),
    )


def _build_failed(problem: str) -> _Trial:
    """The trial of connections that cannot be determined."""
    return _Trial(UNKNOWN, None, None, ConnectionVerdict(UNKNOWN, "unknown", "unknown: " + problem))


def _build_unknown(problem: str) -> Outcome:
    return Outcome(UNKNOWN, "", UNKNOWN, "unknown", "unknown: " + problem)


def _build_outcome(expectation: Expectation, trials: List[_Trial]) -> Outcome:
    state = _find_worst(trials)
    first = next(trial for trial in trials if trial.state == state)
    verdicts: Dict[Optional[int], Set[str]] = {}
    for trial in trials:
        for port in expectation.ports if trial.connection is None else (trial.port,):
            verdicts.setdefault(port, set()).add(trial.answer.verdict)
    return Outcome(
        state,
        format_connection(first.connection) if first.connection else "",
        first.answer.verdict,
        first.answer.decided_by,
        first.answer.reason,
        tuple([(expectation.format_port(port), _find_state(found)) for port, found in verdicts.items()]),
    )


def _find_worst(trials: Sequence[_Trial]) -> str:
    return next(each for each in (UNMET, UNKNOWN, MET) if any(trial.state == each for trial in trials))


def _find_state(verdicts: Set[str]) -> str:
    if {ALLOW, DENY} <= verdicts:
        return MIXED
    return UNKNOWN if UNKNOWN in verdicts else _STATES[next(iter(verdicts))]
