# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that evaluate the rules of policies and profiles.

felix, rules/endpoints.go (endpointIptablesChain).
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from ..._policies.connection import Packet
from ..._policies.model import ALLOW, DENY, LOG, PASS, Policy, PolicySet, Rule
from .match import matches_statically, needs_addresses

# Number of policies that a reason names.
_NAMED = 5


class Step(NamedTuple):
    action: str
    # None matches everything.
    rule: Optional[Rule]
    by: str
    reason: str
    doubt: str = ""


Segments = List[List[Step]]


class RuleSteps:
    """The steps of policies and profiles, which all endpoints share."""

    def __init__(self) -> None:
        self._all: Dict[Tuple[object, ...], List[Step]] = {}
        self._remaining: Dict[Tuple[object, ...], List[Step]] = {}

    def of_policy(self, policy: Policy, direction: str, packet: Packet, key: Tuple[object, ...]) -> List[Step]:
        """The remaining steps of a policy for packets with this key."""
        return self._reduced((policy, direction), lambda: _build_policy_steps(policy, direction), packet, key)

    def of_profile(
        self, name: str, policy_set: PolicySet, direction: str, packet: Packet, key: Tuple[object, ...]
    ) -> List[Step]:
        """The remaining steps of a profile for packets with this key."""
        return self._reduced((name, direction), lambda: _build_profile_steps(name, policy_set, direction), packet, key)

    def _reduced(
        self,
        owner: Tuple[object, ...],
        make: Callable[[], List[Step]],
        packet: Packet,
        key: Tuple[object, ...],
    ) -> List[Step]:
        found = self._remaining.get((owner, key))
        if found is None:
            steps = self._all.get(owner)
            if steps is None:
                steps = self._all[owner] = make()
            found = self._remaining[owner, key] = [each for step in steps for each in _reduced(step, packet)]
        return found


def _build_policy_steps(policy: Policy, direction: str) -> List[Step]:
    owner = "policy " + policy.name
    if policy.doubt:
        why = "policy {0} cannot be read: {1}".format(policy.name, policy.doubt)
        return [Step(action, None, owner, "", why) for action in (ALLOW, DENY, PASS)]
    rules = policy.rules[direction]
    return [_build_rule_step(rule, owner, direction, index) for index, rule in enumerate(rules)]


def _build_profile_steps(name: str, policy_set: PolicySet, direction: str) -> List[Step]:
    profile = policy_set.profile(name)
    owner = "profile " + name
    steps: List[Step] = []
    if profile.doubt:
        why = "profile {0}: {1}".format(name, profile.doubt)
        steps += [Step(action, None, owner, "", why) for action in (ALLOW, DENY)]
    if profile.rules is None:
        by = owner if name in policy_set.profiles else "missing " + owner
        why = "has no rules that Felix accepts" if name in policy_set.profiles else "does not exist"
        reason = "denied: {0} {1}, so it drops everything".format(owner, why)
        return steps + [Step(DENY, None, by, reason)]
    rules = profile.rules[direction]
    return steps + [_build_rule_step(rule, owner, direction, index) for index, rule in enumerate(rules)]


def format_rule_name(direction: str, index: int) -> str:
    return "{0} rule {1}".format(direction, index + 1)


def _build_rule_step(rule: Rule, owner: str, direction: str, index: int) -> Step:
    by = "{0}, {1}".format(owner, format_rule_name(direction, index))
    verb = {ALLOW: "allowed", DENY: "denied"}.get(rule.action, "passed")
    return Step(rule.action, rule, by, "{0} by {1} of {2}".format(verb, format_rule_name(direction, index), owner))


def end_of_tier(action: str, policies: List[Policy], direction: str) -> Step:
    names = [policy.name for policy in policies[:_NAMED]]
    if len(policies) > _NAMED:
        names.append("{0} more".format(len(policies) - _NAMED))
    listed = names[0] if len(names) == 1 else "{0} and {1}".format(", ".join(names[:-1]), names[-1])
    reason = "denied by {0}: no {1} rule matched".format(listed, direction)
    return Step(action, None, "no rule of the policies that select it", reason)


def end_of_profiles(profiles: Tuple[str, ...], is_governed: bool, direction: str) -> Step:
    why = "the policies pass it on" if is_governed else "no policy governs its {0}".format(direction)
    if not profiles:
        return Step(DENY, None, "no profile", "denied: {0}, and it has no profile".format(why))
    reason = "denied: {0}, and no {1} rule of its profiles matched: {2}".format(why, direction, ", ".join(profiles))
    return Step(DENY, None, "no rule of its profiles", reason)


def end_of_forwarded(is_governed: bool, direction: str) -> Step:
    if is_governed:
        return Step(ALLOW, None, "a rule that passes", "no policy with applyOnForward denies it")
    reason = "no policy with applyOnForward governs its {0}, and forwarded traffic is then allowed"
    return Step(ALLOW, None, "no policy for forwarded traffic", reason.format(direction))


def _reduced(step: Step, packet: Packet) -> List[Step]:
    """The step without its conditions that hold; no step if one fails."""
    if step.rule is None:
        return [step]
    if step.action == LOG:
        return []
    matches = matches_statically(step.rule, packet)
    if matches is False:
        return []
    why = "" if matches else step.rule.doubt or "whether {0} matches the ports is unknown".format(step.by)
    return [step._replace(rule=step.rule if needs_addresses(step.rule) else None, doubt=step.doubt or why)]


def shorten(segments: Segments) -> Segments:
    """The segments up to the first step that always ends the evaluation."""
    found: Segments = []
    for segment in segments:
        for index, step in enumerate(segment):
            if step.rule is None and not step.doubt:
                segment = segment[: index + 1]
                if step.action != PASS and not any(each.action == PASS for each in segment):
                    return found + [segment]
                break
        found.append(segment)
    return found
