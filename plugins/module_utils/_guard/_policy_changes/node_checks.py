# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard's checks of the nodes that changes of policies, profiles, sets, tiers or Felix's settings affect."""

from __future__ import annotations

from typing import Callable, Collection, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from ..._core.errors import join_first
from ..._dataplane.evaluator import Evaluator
from ..._dataplane.host import HostDataplane
from ..._dataplane.verdict import ConnectionVerdict, noted
from ..._policies.connection import Connection
from ..._policies.model import ALLOW, DENY
from ..connection_checks import format_connection
from ..endpoint_checks import check_endpoint
from ..host_checks import check_excluded, check_failsafes, check_workload_prefixes
from ..host_state import HostState
from ..verdict import UNKNOWN, UNSAFE, GuardFinding, GuardVerdict, build_verdict
from .differences import Differences

# Number of nodes that a message names.
_NAMED = 5


class InterimState(NamedTuple):
    """A state between two phases of the writes."""

    # When it exists, such as "after create tier a and before create global network policy b".
    when: str
    evaluator: Evaluator


class NodeChecks:
    """Checks nodes by the states before, during and after a run.

    `changed` are (node, name) of the endpoints that change, which have verdicts of their own.
    """

    def __init__(
        self,
        before: Evaluator,
        after: Evaluator,
        interim: Sequence[InterimState],
        changed: Collection[Tuple[str, str]],
    ) -> None:
        self._before = before
        self._after = after
        self._changed = changed
        self._differences = Differences(before, after)
        self._interim = [
            (each, Differences(before, each.evaluator), Differences(each.evaluator, after)) for each in interim
        ]

    def check(self, hosts: Mapping[str, HostState], note: Callable[[HostState], None]) -> List[GuardVerdict]:
        """A verdict for each affected node whose facts are known, and one for all other affected nodes.

        `note` is called with each host that differs after all changes.
        """
        found: List[GuardVerdict] = []
        without_facts: List[str] = []
        nodes_with_verdicts = {node for node, _name in self._changed}
        for node in sorted({*self._before.nodes, *self._after.nodes, *hosts}):
            host = hosts.get(node)
            dataplane = host.facts.dataplane if host else ""
            is_other = self._differences.concern(node, dataplane)
            interim = [each for each, *both in self._interim if all(each.concern(node, dataplane) for each in both)]
            if not is_other and not interim:
                continue
            findings = list(self._check_endpoints(node, dataplane)) if is_other else []
            if host:
                findings += _check_host(host, findings) if is_other else []
                findings += _check_interim(host, interim)
                if is_other:
                    note(host)
            elif node not in nodes_with_verdicts:
                without_facts.append(node)
            if host or findings:
                found.append(build_verdict(node, "", findings))
        if without_facts:
            found.append(build_verdict("", "", [_build_unknown(without_facts)]))
        return found

    def _check_endpoints(self, node: str, dataplane: str) -> Iterator[GuardFinding]:
        """What the changes cause for endpoints that do not change themselves: G01, G02 and G16, without facts."""
        caused: Dict[GuardFinding, List[str]] = {}
        for candidate in self._after.candidates(node):
            endpoint = candidate.endpoint
            if endpoint.node == node and (node, endpoint.name) not in self._changed:
                known = set(check_endpoint(endpoint, self._before, dataplane))
                for finding in check_endpoint(endpoint, self._after, dataplane):
                    if finding not in known:
                        caused.setdefault(finding, []).append(endpoint.name)
        for finding, names in caused.items():
            yield finding._replace(text="{0}: {1}".format(join_first(names, _NAMED), finding.text))


def _build_unknown(nodes: Sequence[str]) -> GuardFinding:
    text = "the facts of {0} affected nodes are unknown, so their required connections could not be checked: {1}"
    return GuardFinding("G18", UNKNOWN, text.format(len(nodes), join_first(nodes, _NAMED)))


def _check_host(host: HostState, found: Sequence[GuardFinding]) -> Iterator[GuardFinding]:
    """G05, G16 and G18 of a host; `found` are other findings about its node."""
    for check in (_check_settings, check_excluded_addresses):
        known = set(check(host, host.before))
        yield from (finding for finding in check(host, host.after) if finding not in known)
    if host.after.problem:
        if not host.before.problem and not any(finding.rule == "G16" for finding in found):
            is_certain = host.after.felix.is_stopped or host.after.fatal.text and host.after.fatal.is_certain
            text = noted(host.after.problem, host.after.felix.note)
            yield GuardFinding("G16", UNSAFE if is_certain else UNKNOWN, text)
        return
    yield from (GuardFinding(rule, UNKNOWN, text) for rule, text in host.facts.doubts)
    text = "{0} is required, and the changes stop allowing it: {1}{2}"
    for connection in host.facts.required:
        if connection in host.checked:
            continue
        was, now = _evaluate(host.before, connection), _evaluate(host.after, connection)
        level = _decide_level(was, now)
        if level:
            until_now = "; until now {0}".format(was.reason) if was.verdict == ALLOW else ""
            yield GuardFinding("G18", level, text.format(format_connection(connection), now.reason, until_now))
    text = "{0} may be required, depending on its path, and the changes may stop allowing it: {1}"
    for connection in host.facts.possible:
        was, now = _evaluate(host.before, connection), _evaluate(host.after, connection)
        if _decide_level(was, now):
            yield GuardFinding("G18", UNKNOWN, text.format(format_connection(connection), now.reason))


def _check_settings(host: HostState, state: HostDataplane) -> Iterator[GuardFinding]:
    if any(each.governing for each in state.interfaces.values()):
        yield from check_failsafes(state, host.facts.ssh_port)
    yield from check_workload_prefixes(state)


def check_excluded_addresses(_host: HostState, state: HostDataplane) -> Iterator[GuardFinding]:
    for candidate in state.candidates:
        if not candidate.rejected:
            yield from check_excluded(state, candidate.endpoint)


def _check_interim(host: HostState, interim: Sequence[InterimState]) -> Iterator[GuardFinding]:
    """G20: required connections that are allowed before and after the run, but not at every moment in between."""
    text = "{0}, {1} is required and not allowed: {2}"
    left = [each for each in host.facts.required if _evaluate(host.after, each).verdict == ALLOW]
    for state in interim:
        then = host.build(state.evaluator)
        for connection in list(left):
            now = _evaluate(then, connection)
            level = "" if now.verdict == ALLOW else _decide_level(_evaluate(host.before, connection), now)
            if level:
                left.remove(connection)
                yield GuardFinding("G20", level, text.format(state.when, format_connection(connection), now.reason))


def _decide_level(was: ConnectionVerdict, now: ConnectionVerdict) -> str:
    """UNSAFE or UNKNOWN for a connection that gets worse, else ""."""
    if now.verdict == ALLOW or was.verdict in (DENY, now.verdict):
        return ""
    return UNSAFE if now.verdict == DENY else UNKNOWN


def _evaluate(host: HostDataplane, connection: Connection) -> ConnectionVerdict:
    """The verdict on a connection, which over IPv6 includes neighbour discovery."""
    answer = host.evaluate(connection)
    neighbours = answer.neighbour_discovery
    return answer._replace(verdict=neighbours) if answer.verdict == ALLOW and neighbours else answer
