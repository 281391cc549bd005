# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which policies select the stored endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Iterable, List, NamedTuple, Optional

from .._plan.stored import Stored

if TYPE_CHECKING:
    # Imported only when policies are evaluated.
    from .._dataplane.evaluator import Evaluator


class Selected(NamedTuple):
    """A stored endpoint, and the policies that select it."""

    node: str
    name: str
    # Names in the order of evaluation; None when unknown.
    policies: Optional[List[str]]


class Selections(NamedTuple):
    # Sorted by node and name.
    endpoints: List[Selected]
    # {name of a policy: why its selection is unknown, or why Felix ignores it}; None when no policy could be read.
    unread: Optional[Dict[str, str]]


def build_selections(evaluator: Evaluator, stored: Iterable[Stored]) -> Selections:
    """The policies that select stored endpoints.

    They are unknown for an endpoint that Felix may reject, and with an unreadable profile, whose labels may count.
    """
    policy_set = evaluator.policy_set
    unread = {
        policy.name: policy.doubt for policies in policy_set.policies.values() for policy in policies if policy.doubt
    }
    unread.update(policy_set.ignored)
    found = []
    for item in _sorted(stored):
        candidate = evaluator.candidate(item)
        endpoint = candidate.endpoint
        doubts = [candidate.rejected, candidate.doubt, *(policy_set.profile(name).doubt for name in endpoint.profiles)]
        found.append(Selected(item.node, item.name, None if any(doubts) else evaluator.rules_for(endpoint).selecting))
    return Selections(found, unread)


def build_unknown_selections(stored: Iterable[Stored]) -> Selections:
    """The selections when the policies could not be read."""
    return Selections([Selected(item.node, item.name, None) for item in _sorted(stored)], None)


def _sorted(stored: Iterable[Stored]) -> List[Stored]:
    return sorted(stored, key=lambda item: (item.node, item.name))
