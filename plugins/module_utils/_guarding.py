# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock-out guard as a task asks it: options in, verdicts out."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Dict, Mapping, Sequence

from ._datastore._store import Store
from ._errors import InvalidInput
from ._hostendpoint import HostEndpoint
from ._verdict import Verdict

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
GUARD_SOURCES = ("guard_facts", "guard_facts_src")


@dataclasses.dataclass(frozen=True)
class Guarding:
    """What the guard is asked with."""

    required: Sequence[Mapping[str, Any]] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts_src: str = ""

    def ask(self, store: Store, wanted: Sequence[HostEndpoint]) -> Sequence[Verdict]:
        """What the guard says of endpoints that are wanted."""
        from ._guard import Guard  # pylint: disable=import-outside-toplevel
        from ._required import facts_of  # pylint: disable=import-outside-toplevel

        nodes = sorted({each.node for each in wanted})
        given = self._facts()
        facts = {node: facts_of(node, given[node], self.required) for node in nodes if node in given}
        documents = store.read_policies(nodes[0] if len(nodes) == 1 else "")
        known = {node for node, _name in documents.config}.union(node for node, _text in documents.workloads)
        if not known.issuperset(nodes):
            known = known.union(store.known_nodes())
        return Guard(store.api_version, documents, wanted, known_nodes=known).check(facts)

    def interfaces(self) -> Dict[str, Mapping[str, Sequence[str]]]:
        """{node: {interface: its addresses}}, as far as the facts tell. Raises InvalidInput."""
        facts = {node: of_node for node, of_node in self._facts().items() if isinstance(of_node, dict)}
        return {node: of_node.get("interfaces") or {} for node, of_node in facts.items()}

    def _facts(self) -> Mapping[str, Any]:
        if not self.facts_src:
            return self.facts
        try:
            with open(self.facts_src, encoding="utf-8") as stream:
                found = json.load(stream)
        except (OSError, ValueError, RecursionError) as exc:
            problem = getattr(exc, "strerror", None) or exc
            raise InvalidInput(["guard_facts_src {0}: {1}".format(self.facts_src, problem)]) from exc
        if not isinstance(found, dict):
            raise InvalidInput(["guard_facts_src {0}: holds no mapping".format(self.facts_src)])
        return found


def guarding_of(params: Mapping[str, Any]) -> Guarding:
    """What a task's options say. Raises InvalidInput."""
    if params["guard_require"]:
        from ._required import check_required  # pylint: disable=import-outside-toplevel

        check_required(params["guard_require"])
    return Guarding(
        params["guard_require"] or (),
        params["guard_facts"] or {},
        params["guard_facts_src"] or "",
    )
