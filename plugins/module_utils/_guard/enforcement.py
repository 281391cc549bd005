# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the lock-out guard, and its check before the first write.

The evaluation of policies is imported only when something changes, since most runs change nothing.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from .._core import strict_json
from .._core.errors import DatastoreError, InvalidInput, format_message, shown
from .._core.files import path_as_shown, read_text
from .._datastore.base import Datastore
from .._datastore.snapshot import PolicySnapshot
from .._plan.plan import UPDATE, Change
from .._resources.hostendpoint import HOST_ENDPOINT, HostEndpoint
from .._resources.resource import count_kinds
from ._policy_changes.phases import (
    Phase,
    build_phases,
    list_merged,
    merge_values,
    select_declared,
    select_deleted,
    select_effective,
)
from .checks import CHECKS, find_alike
from .verdict import UNKNOWN, UNSAFE, GuardFinding, GuardReport, GuardVerdict, Unsafe, build_verdict, format_refusal

if TYPE_CHECKING:
    from ._connectivity.hosts import Connectivity
    from .guard import Guard
    from .host_facts import HostFacts

ENFORCE, WARN, OFF = "enforce", "warn", "off"
# So many hosts are rarely all new to Calico.
_MANY_NODES = 4

GUARD_OPTIONS: Dict[str, Dict[str, Any]] = {
    "guard_require": {
        "type": "list",
        "elements": "dict",
        "options": {
            "direction": {"type": "str", "choices": ["in", "out"], "required": True},
            "protocol": {"type": "str", "required": True},
            "port": {"type": "int"},
            "peer": {"type": "str"},
        },
    },
    "guard_facts": {"type": "dict"},
    "guard_facts_src": {"type": "path"},
}
CONNECTIVITY_OPTIONS: Dict[str, Dict[str, Any]] = {
    "connectivity": {"type": "dict"},
    "connectivity_src": {"type": "path"},
}
# Of each of these, one option may be given.
GUARD_SOURCES = (("guard_facts", "guard_facts_src"), tuple(CONNECTIVITY_OPTIONS))
GUARD_MODE: Dict[str, Any] = {"type": "str", "choices": [ENFORCE, WARN, OFF], "default": WARN}


@dataclasses.dataclass(frozen=True)
class GuardPolicy:
    """How changes are guarded."""

    mode: str = WARN
    required: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts_src: str = ""
    # Maximum number of resources that one call may change; None for no limit.
    limit: Optional[int] = None
    # The declared connectivity, not validated, or the path of its file.
    expected: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    expected_src: str = ""

    def check(self, store: Datastore, changes: Sequence[Change]) -> GuardReport:
        """Check changes before they are written. Raises Unsafe when they must not be."""
        if self.mode == OFF or not changes:
            return GuardReport()
        of_all = self._of_all(changes)
        changes = select_effective(changes)
        if not changes:
            return GuardReport([], of_all=of_all, affected=())
        try:
            found = self._evaluate(store, changes)
        except DatastoreError as exc:
            found = GuardReport(_build_unread(changes, str(exc)), str(exc), of_all=of_all)
            if self.mode == ENFORCE:
                text = (
                    "Calico's policies, profiles or settings could not be read, so the change could not be checked: "
                    "{0}. Give the user the right to read them, or set {guard} to warn to write it anyway"
                )
                raise Unsafe(format_message(text, exc), found.verdicts) from exc
            return found
        if self.mode == ENFORCE and any(verdict.verdict == UNSAFE for verdict in found.verdicts):
            raise Unsafe(format_refusal(found.verdicts, found.of_datastore), found.verdicts)
        has_facts = self.mode == ENFORCE or bool(self.by_node)
        affected = {verdict.node for verdict in found.verdicts}
        return dataclasses.replace(found, of_all=[*of_all, *found.of_all], has_facts=has_facts, affected=affected)

    def _of_all(self, changes: Sequence[Change]) -> List[str]:
        """G17 as a warning, with mode enforce as Unsafe."""
        if self.limit is None or len(changes) <= self.limit:
            return []
        number = count_kinds([change.ref for change in changes])
        text = format_message("{0} change in one run, more than the {guard_limit} of {1}", number, self.limit)
        if self.mode == ENFORCE:
            raise Unsafe(text + " (G17). What to do: " + CHECKS["G17"].remedy, ())
        return ["guard G17: " + text]

    def _evaluate(self, store: Datastore, changes: Sequence[Change]) -> GuardReport:
        """The verdicts on endpoints that change, and on nodes that other changes affect."""
        phases = build_phases(changes, store, len(self.by_node))
        guard = self.guard(store, select_declared(changes), select_deleted(changes), phases)
        updated = select_declared(change for change in changes if change.operation == UPDATE)
        selections = {(each.node, each.name): guard.selection(each) for each in updated}
        verdicts = guard.check(
            self.facts_for(guard.nodes), others=lambda: self.facts_for(set(self.by_node).difference(guard.nodes))
        )
        selections = {key: both for key, both in selections.items() if any(both)}
        # Only required connections are evaluated in between.
        merged = list_merged(phases) if self.by_node else []
        of_datastore = _find_missing(store, guard)
        return GuardReport(
            verdicts, selections=selections, of_all=[*guard.openings, *merged], of_datastore=of_datastore
        )

    def facts_for(self, nodes: Collection[str]) -> Dict[str, HostFacts]:
        """The facts of those nodes that have any. Raises InvalidInput."""
        # Only a run with changes evaluates policies; to pack and import the evaluation takes a tenth of a second.
        from .required_connections import parse_host_facts  # pylint: disable=import-outside-toplevel

        given = self.by_node
        return {node: parse_host_facts(node, given[node], self.required) for node in sorted(nodes) if node in given}

    def guard(
        self,
        store: Datastore,
        declared: Sequence[HostEndpoint],
        deleted: Sequence[HostEndpoint] = (),
        phases: Sequence[Phase] = (),
    ) -> Guard:
        """The guard, with Calico's policies, profiles and settings. Raises DatastoreError when they cannot be read."""
        # As above.
        from .guard import Guard  # pylint: disable=import-outside-toplevel

        nodes = {each.node for each in [*declared, *deleted]}
        planned = merge_values(phases)
        is_of_one = len(nodes) == 1 and not planned and not self.connectivity
        snapshot = store.read_policies(min(nodes) if is_of_one else "", declared, planned)
        known = _known_nodes(store, snapshot, nodes)
        return Guard(store.api_version, snapshot, declared, deleted, *known, phases, self.connectivity)

    @functools.cached_property
    def connectivity(self) -> Connectivity:
        """The declared connectivity. Raises InvalidInput."""
        # As above.
        from ._connectivity.hosts import parse_connectivity  # pylint: disable=import-outside-toplevel

        given = _read_mapping("connectivity_src", self.expected_src) if self.expected_src else self.expected
        return parse_connectivity(given, self.by_node)

    def interfaces(self) -> Dict[str, Any]:
        """{node: {interface: its addresses}}, not validated. Raises InvalidInput for an unreadable file."""
        facts = {node: of_node for node, of_node in self.by_node.items() if isinstance(of_node, dict)}
        return {node: of_node.get("interfaces") or {} for node, of_node in facts.items()}

    @functools.cached_property
    def by_node(self) -> Mapping[str, Any]:
        """{node: its facts}, not validated. Raises InvalidInput for an unreadable file."""
        return _read_mapping("guard_facts_src", self.facts_src) if self.facts_src else self.facts


def _read_mapping(option: str, path: str) -> Mapping[str, Any]:
    """The content of a file with the value of another option. Raises InvalidInput for an unreadable file."""
    where = "{0} {1}: ".format(option, path_as_shown(path))
    try:
        found = strict_json.load(read_text(path))
    except strict_json.NotJson as exc:
        raise InvalidInput([where + "is not JSON: {0}".format(exc)]) from exc
    except ValueError as exc:
        raise InvalidInput([where + str(exc)]) from exc
    if not isinstance(found, dict):
        raise InvalidInput([where + "is not a mapping"])
    return found


def parse_guard_policy(params: Mapping[str, Any]) -> GuardPolicy:
    """Parse the task's options. Raises InvalidInput."""
    if (params.get("guard_limit") or 0) < 0:
        text = "{guard_limit}: {0} is negative; it must be 0 or more"
        raise InvalidInput([format_message(text, shown(params["guard_limit"]))])
    if params["guard_require"]:
        # As above.
        from .required_connections import check_required  # pylint: disable=import-outside-toplevel

        check_required(params["guard_require"])
    return GuardPolicy(
        params.get("guard", WARN),
        params["guard_require"] or (),
        params["guard_facts"] or {},
        params["guard_facts_src"] or "",
        params.get("guard_limit"),
        params["connectivity"] or {},
        params["connectivity_src"] or "",
    )


def _known_nodes(store: Datastore, snapshot: PolicySnapshot, nodes: Set[str]) -> Tuple[Set[str], str]:
    """Nodes that Calico knows, read until all of `nodes` are among them, and why more nodes may exist."""
    known = {node for node, _name in snapshot.config}.union(node for node, _text in snapshot.workloads)
    problem = ""
    for read in (store.known_nodes, store.felix_nodes):
        if known.issuperset(nodes):
            break
        try:
            known.update(read())
        except DatastoreError as exc:
            # Only G09 needs them, and the user may have no right to read them.
            problem = problem or str(exc)
    if not store.has_all_nodes:
        # Only a name that is similar to a known one is worth a word.
        known.update([node for node in nodes if not find_alike(node, known)])
    return known, problem


def _find_missing(store: Datastore, guard: Guard) -> str:
    """What shows that this may not be Calico's datastore; "" if nothing does."""
    if store.state.warning:
        return format_message("{0}, and check whether {datastore_type} is correct", store.state.warning)
    snapshot = guard.before.snapshot
    missing = []
    if not (snapshot.policies or snapshot.profiles or snapshot.config):
        version = str(store.api_version).rpartition("/")[2]
        missing.append("the datastore has no policies, profiles and settings of Calico {0}".format(version))
    if len(guard.nodes) >= _MANY_NODES and not guard.may_know_nodes:
        missing.append("Calico knows none of the {0} nodes".format(len(guard.nodes)))
    text = "{0}; check whether {datastore_type} is correct"
    return format_message(text, ", and ".join(missing)) if missing else ""


def _build_unread(changes: Sequence[Change], problem: str) -> List[GuardVerdict]:
    """The verdicts when policies could not be read: on each endpoint, and on all other changes together."""
    finding = GuardFinding("G16", UNKNOWN, "Calico's policies, profiles or settings could not be read: " + problem)
    endpoints = select_declared(changes) + select_deleted(changes)
    places = [(each.node, each.name) for each in endpoints]
    places += [("", "")] if any(change.ref.kind != HOST_ENDPOINT for change in changes) else []
    return [build_verdict(node, name, [finding]) for node, name in places]
