# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A policy requires its tier, and a tier with policies is not deleted.

projectcalico/calico v3.32.1: libcalico-go/lib/clientv3/globalnetworkpolicy.go and tier.go.
"""

from __future__ import annotations

from typing import Callable, Collection, Dict, Iterable, List, Mapping, Sequence, Set, Tuple, cast

from .._core.errors import InvalidInput, Refused, join_first, shown
from .._resources._specs.spec_resource import DEFAULT_TIER, PolicyResource, TierResource
from .._resources._specs.validation_specs_v3 import OWN_TIERS, find_tier_problems
from .._resources.resource import Ref
from .desired import Desired, Present
from .plan import DELETE, NONE, Change
from .stored import Stored

TIER = TierResource.KIND
# The policies of each tier, by the names of their keys.
InUse = Mapping[str, Collection[Ref]]
# Number of policies in a message.
_SHOWN = 5


def list_kinds_to_read(wants: Iterable[Desired]) -> Tuple[str, ...]:
    """The kinds that check_tiers requires: tiers, if a policy is in another tier than default."""
    policies = (
        want.resource for want in wants if isinstance(want, Present) and isinstance(want.resource, PolicyResource)
    )
    return (TIER,) if any(policy.tier != DEFAULT_TIER for policy in policies) else ()


def check_tiers(changes: Sequence[Change], stored: Iterable[Stored], read_in_use: Callable[[], InUse]) -> None:
    """Raise InvalidInput for a policy without its tier, and Refused for the deletion of a tier that has policies.

    read_in_use is called only if a tier is deleted.
    """
    deleted = list_deleted_tiers(changes)
    policies = [change for change in changes if isinstance(change.after, PolicyResource)]
    if not deleted and not policies:
        return
    tiers = {item.name for item in stored if item.kind == TIER and not item.error} - deleted
    tiers |= {change.ref.name for change in changes if isinstance(change.after, TierResource)}
    problems = [
        "{0}: {1}: {2} {3}".format(change.ref, option, shown(value), rule)
        for change in policies
        if change.operation != NONE
        for option, value, rule in find_tier_problems(_get_policy(change).spec, tiers)
    ]
    if problems:
        raise InvalidInput(problems)
    if deleted:
        _check_deletions(deleted, changes, policies, read_in_use())


def _check_deletions(
    deleted: Set[str],
    changes: Sequence[Change],
    policies: Sequence[Change],
    in_use: InUse,
) -> None:
    # By the key's name, which differs from the policy's own name where Calico before v3.32 stored it.
    planned = {
        (change.ref.kind, name)
        for change in changes
        for name in (change.ref.name, change.before.name if change.before else "")
    }
    reasons: List[str] = []
    for tier in sorted(deleted):
        if tier in OWN_TIERS:
            reasons.append("tier {0} is not deleted: it is Calico's own".format(tier))
            continue
        kept = [str(ref) for ref in in_use.get(tier, ()) if (ref.kind, ref.name) not in planned]
        kept += [str(change.ref) for change in policies if _get_policy(change).tier == tier]
        if kept:
            reasons.append(_format_kept(tier, kept))
    if reasons:
        raise Refused("; ".join(reasons))


def find_tiers_in_use(changes: Sequence[Change], done: Iterable[Change], in_use: InUse) -> Dict[str, str]:
    """The deleted tiers that have policies although those of `done` were deleted, and why they are kept."""
    # Their objects may wait for finalizers.
    pending = {(change.ref.kind, change.before.name) for change in done if change.revision and change.before}
    found = {
        tier: [str(ref) for ref in in_use.get(tier, ()) if (ref.kind, ref.name) not in pending]
        for tier in list_deleted_tiers(changes)
    }
    return {tier: _format_kept(tier, kept) for tier, kept in found.items() if kept}


def list_deleted_tiers(changes: Iterable[Change]) -> Set[str]:
    return {change.ref.name for change in changes if change.operation == DELETE and change.ref.kind == TIER}


def _format_kept(tier: str, kept: Iterable[str]) -> str:
    text = "tier {0} is not deleted, because it has policies: {1}; delete them first, or move them to another tier"
    return text.format(tier, join_first(sorted(kept), _SHOWN))


def _get_policy(change: Change) -> PolicyResource:
    return cast(PolicyResource, change.after)
