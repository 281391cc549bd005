# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host with known facts, before and after the changes."""

from __future__ import annotations

import functools
from typing import Mapping, Set

from .._dataplane.evaluator import Evaluator
from .._dataplane.host import HostDataplane, build_parsed_host
from .._dataplane.resolution import Interface, parse_interfaces
from .._policies.connection import Connection
from .._policies.model import DENY
from .host_facts import HostFacts


class HostState:
    """A host with known facts, before and after the changes; the two are equal when `is_stored`."""

    def __init__(self, node: str, facts: HostFacts, before: Evaluator, after: Evaluator, is_stored: bool) -> None:
        self.node = node
        self.facts = facts
        self._before = before
        self._after = after
        self._is_stored = is_stored
        # The connections that were evaluated for changed endpoints.
        self.checked: Set[Connection] = set()

    @functools.cached_property
    def before(self) -> HostDataplane:
        return self.build(self._before)

    @functools.cached_property
    def after(self) -> HostDataplane:
        return self.build(self._after)

    def build(self, evaluator: Evaluator) -> HostDataplane:
        """The host in any state."""
        return build_parsed_host(evaluator, self.node, self._interfaces, self.facts.failsafes, self.facts.dataplane)

    @functools.cached_property
    def _interfaces(self) -> Mapping[str, Interface]:
        return self.facts.parsed or parse_interfaces(self.facts.interfaces)

    def was_denied(self, connection: Connection) -> bool:
        """Whether a change cannot make it worse."""
        return not self._is_stored and self.before.evaluate(connection).verdict == DENY

    def was_without_neighbours(self, name: str) -> bool:
        """Whether a change cannot make neighbour discovery on an interface worse."""
        return not self._is_stored and self.before.neighbours(name).verdict == DENY


def is_governed_by(interface: Interface, name: str) -> bool:
    return interface.governing is not None and interface.governing.name == name
