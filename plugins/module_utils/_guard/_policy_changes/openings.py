# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changes open: connections on a governed interface that were not allowed and now are.

Samples are evaluated, see samples.py, and where settings differ, failsafe ports.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, NamedTuple, Set

from ..._core.errors import join_first
from ..._core.ip import format_address
from ..._dataplane.evaluator import Evaluator
from ..._dataplane.host import HostDataplane
from ..._dataplane.verdict import UNKNOWN, ConnectionVerdict
from ..._policies._felix.config import Failsafe
from ..._policies.connection import IN, OUT, Connection, new_packet
from ..._policies.model import ALLOW, DENY
from ..connection_checks import format_protocol
from ..host_state import HostState
from .samples import Sample, Sampler, Shape

# Number of openings, and of nodes of each, that are reported.
_MOST_REPORTED, _NAMED = 10, 5


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
        self._sampler = Sampler(before, after)
        # Hosts of a fleet share their policies.
        self._known: Dict[object, List[str]] = {}
        self._nodes: Dict[str, List[str]] = {}

    def add(self, host: HostState) -> None:
        """Evaluate a host that differs after the changes."""
        texts: Set[str] = set()
        for name, interface in host.before.interfaces.items():
            after = host.after.interfaces[name]
            if interface.governing and after.governing:
                key = (host.before.build_key(interface), host.after.build_key(after))
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

    def _build_samples(self, host: HostState, name: str) -> List[Sample]:
        states = host.before, host.after
        endpoints = [each.endpoint for state in states for each in [state.interfaces[name].governing] if each]
        rules = [each.rules_for(endpoint) for each, endpoint in zip((self._before, self._after), endpoints)]
        settings = [
            (state.felix, state.interfaces[name].doubt, endpoint.interface_name)
            for state, endpoint in zip(states, endpoints)
        ]
        samples = self._sampler.build(rules[0], rules[1], settings[0] == settings[1])
        return samples if settings[0] == settings[1] else list(dict.fromkeys([*samples, *_sample_failsafes(host)]))

    def _find(self, host: HostState, name: str) -> Iterator[Opening]:
        """The openings of an interface."""
        if host.before.problem or host.after.problem:
            return
        # Whether a shape is open for any address.
        opened: Dict[Shape, bool] = {}
        partly: Dict[Shape, Opening] = {}
        for sample in self._build_samples(host, name):
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


def _sample_failsafes(host: HostState) -> Iterator[Sample]:
    """The failsafes after the changes: all of them, since an interface may become one to which they apply."""
    for direction, failsafes in ((IN, host.after.felix.inbound), (OUT, host.after.felix.outbound)):
        for failsafe in failsafes:
            yield from _build_failsafe_samples(direction, failsafe)


def _build_failsafe_samples(direction: str, failsafe: Failsafe) -> Iterator[Sample]:
    if failsafe.net:
        version, first, _last = failsafe.net
        yield Sample(direction, failsafe.protocol, failsafe.port, version, first)
    else:
        for version in (4, 6):
            yield Sample(direction, failsafe.protocol, failsafe.port, version, None)
