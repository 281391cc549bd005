# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The outcome of a run, in the order in which it came about."""

from __future__ import annotations

import dataclasses
from typing import List, Mapping, Tuple

from .._core.errors import CalicoError
from .._datastore.base import State
from .._guard.verdict import GuardReport
from .._plan.plan import Change
from .._plan.stored import Stored
from .._resources.resource import Ref
from .canary import CanaryNode
from .ending import Ending


@dataclasses.dataclass
class ApplyOutcome:
    """The outcome of a plan; in check mode, the outcome that it would have."""

    # The state at the start.
    state: State
    # In chronological order.
    done: List[Change] = dataclasses.field(default_factory=list)
    unchanged: List[Change] = dataclasses.field(default_factory=list)
    failed: List[Tuple[Change, CalicoError]] = dataclasses.field(default_factory=list)
    not_attempted: List[Change] = dataclasses.field(default_factory=list)
    # Whether the server only checked the changes.
    is_rehearsed: bool = False
    # What Calico cannot read on the purged nodes, which the purge keeps.
    unreadable: List[Stored] = dataclasses.field(default_factory=list)
    # The guard's verdicts on the changes.
    guarded: GuardReport = dataclasses.field(default_factory=GuardReport)
    # The signal that ended the run while it was writing; no other change was started then.
    ending: Ending = dataclasses.field(default_factory=Ending)
    # Number of changes of the approved plan that were made before the run.
    made_before: int = 0
    # The host endpoints that each policy selects that has a staged twin; empty without twins.
    staged: Mapping[Ref, List[Ref]] = dataclasses.field(default_factory=dict)
    # The nodes that were changed first, why the run stopped after them, and what it undid.
    canary: List[CanaryNode] = dataclasses.field(default_factory=list)
    stopped: str = ""
    taken_back: List[Change] = dataclasses.field(default_factory=list)

    @property
    def changes(self) -> List[Change]:
        return self.done + self.unchanged
