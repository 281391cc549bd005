# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard's checks that need no facts of the host."""

from __future__ import annotations

from typing import Collection, FrozenSet, Iterable, Iterator, List, Optional

from .._dataplane.evaluator import Evaluator
from .._dataplane.fatal import LAST_STAYS, decide_fatal
from .._dataplane.resolution import ALL_INTERFACES, Candidate
from .._dataplane.verdict import noted
from .._policies._felix.config import is_excluded
from .._policies.model import EGRESS, INGRESS
from .._resources.hostendpoint import HostEndpoint
from .checks import find_alike
from .verdict import UNKNOWN, UNSAFE, WARNING, GuardFinding

# Shared with host_checks.
EXCLUDED = "interfaceExclude matches {0}, so Felix ignores the interface, which is open"
OPENED = "no endpoint governs {0} of node {1} any more, so Calico opens it"


def check_endpoint(endpoint: HostEndpoint, evaluator: Evaluator, dataplane: str) -> Iterator[GuardFinding]:
    """G01, G02, G12 and G16 of a declared endpoint; `dataplane` is that of its host, "" when it is unknown."""
    api_version = evaluator.api_version
    if not api_version.why_ignored(api_version.as_stored(endpoint)):
        yield from _check_profiles(endpoint, evaluator)
        yield from _check_default_drop(endpoint, evaluator)
    yield from _check_felix(endpoint, evaluator, dataplane)
    if not endpoint.expected_ips:
        text = "it has no expected IPs, so rules on other hosts that select it by its labels miss it"
        yield GuardFinding("G12", WARNING, text)


def _check_profiles(endpoint: HostEndpoint, evaluator: Evaluator) -> Iterator[GuardFinding]:
    for name in endpoint.profiles:
        profile = evaluator.policy_set.profile(name)
        if profile.doubt:
            yield GuardFinding("G01", UNKNOWN, "profile {0}: {1}".format(name, profile.doubt))
        elif profile.rules is None:
            text = "profile {0} is missing or has no rules that Felix accepts, so it drops all traffic that reaches it"
            yield GuardFinding("G01", UNSAFE, text.format(name))


def _check_default_drop(endpoint: HostEndpoint, evaluator: Evaluator) -> Iterator[GuardFinding]:
    rules = evaluator.rules_for(endpoint)
    closed = [direction for direction in (INGRESS, EGRESS) if not rules.allows_something(direction)]
    if closed:
        text = "no policy and no profile allows any {0}: Felix drops all new traffic except on failsafe ports"
        yield GuardFinding("G02", WARNING, text.format(" or ".join(closed)))


def _check_felix(endpoint: HostEndpoint, evaluator: Evaluator, dataplane: str) -> Iterator[GuardFinding]:
    """G16: what stops Felix, or makes it ignore the endpoint. host_checks covers the node's other endpoints."""
    felix = evaluator.felix(endpoint.node, dataplane)
    if felix.problem:
        yield GuardFinding("G16", UNSAFE if felix.is_stopped else UNKNOWN, noted(felix.problem, felix.note))
    if is_excluded(endpoint.interface_name, felix.excluded):
        yield GuardFinding("G16", UNSAFE, noted(EXCLUDED.format(endpoint.interface_name), felix.note))
    fatal = decide_fatal(evaluator.rules_for(endpoint).fatal, felix.dataplane)
    if fatal.text:
        text = "Felix fails on a rule that applies to the endpoint, {0}: {1}".format(LAST_STAYS, fatal.text)
        yield GuardFinding("G16", UNSAFE if fatal.is_certain else UNKNOWN, noted(text, felix.note))
    if evaluator.policy_set.fatal:
        yield GuardFinding("G16", UNKNOWN, noted(evaluator.policy_set.fatal, felix.note))
    for candidate in select_by_name(endpoint, evaluator.candidates(endpoint.node)):
        if candidate.rejected:
            text = "Felix ignores it, so its interface is open: {0}"
            yield GuardFinding("G16", UNSAFE, noted(text.format(candidate.rejected), felix.note))
        elif candidate.doubt:
            yield GuardFinding("G16", UNKNOWN, candidate.doubt)


def check_node(
    endpoint: HostEndpoint, known_nodes: Optional[FrozenSet[str]], nodes_problem: str
) -> Iterator[GuardFinding]:
    """G09. `nodes_problem` is why there may be other nodes than `known_nodes`, which is None when none were read."""
    if known_nodes is None or endpoint.node in known_nodes:
        return
    alike = find_alike(endpoint.node, known_nodes)
    hint = ": did you mean {0}?".format(" or ".join(alike)) if alike else ""
    if nodes_problem:
        text = "cannot determine whether Calico knows the node {0}{1} ({2})"
        yield GuardFinding("G09", UNKNOWN, text.format(endpoint.node, hint, nodes_problem))
    elif alike:
        yield GuardFinding("G09", UNSAFE, "Calico does not know the node {0}{1}".format(endpoint.node, hint))
    else:
        # A host may get its endpoints before Felix runs there for the first time.
        text = "Calico does not know the node {0}, so nothing polices its interfaces yet"
        yield GuardFinding("G09", WARNING, text.format(endpoint.node))


def check_selection(stopped: Collection[str]) -> Iterator[GuardFinding]:
    """G14, by the names of the policies that stop selecting an endpoint."""
    if stopped:
        yield GuardFinding("G14", WARNING, "policies stop selecting it: {0}".format(", ".join(stopped)))


def check_opened(endpoint: HostEndpoint, evaluator: Evaluator) -> GuardFinding:
    """G15 of an endpoint that leaves its interface, by who else names the interface."""
    name = endpoint.interface_name
    others = [each for each in evaluator.candidates(endpoint.node) if not each.rejected]
    if name and not any(each.endpoint.interface_name in ("", name, ALL_INTERFACES) for each in others):
        return GuardFinding("G15", WARNING, OPENED.format(name, endpoint.node))
    text = "the facts of node {0} are unknown, so the interfaces that it leaves could not be checked"
    return GuardFinding("G15", UNKNOWN, text.format(endpoint.node))


def check_workload_interface(endpoint: HostEndpoint, evaluator: Evaluator) -> Iterator[GuardFinding]:
    """G16 of an interface that Felix treats as a workload's, whether or not the host has it."""
    felix = evaluator.felix(endpoint.node)
    if not felix.problem and endpoint.interface_name.startswith(felix.workload_prefixes):
        text = (
            "{0} begins with interfacePrefix {1}, so Felix treats it as a workload interface, and no endpoint governs "
            "it"
        )
        if felix.removes_addresses:
            text += "; if it is the host's own, Felix removes its addresses"
        prefixes = " or ".join(felix.workload_prefixes)
        yield GuardFinding("G16", UNSAFE, noted(text.format(endpoint.interface_name, prefixes), felix.note))


def select_by_name(endpoint: HostEndpoint, candidates: Iterable[Candidate]) -> List[Candidate]:
    return [each for each in candidates if each.name == endpoint.name]
