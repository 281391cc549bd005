# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of an endpoint in the order of evaluation, and the outcomes of a packet.

felix, rules/endpoints.go (endpointIptablesChain), calc/policy_sorter.go, calc/event_sequencer.go.
"""

from __future__ import annotations

import functools
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from ..._policies.connection import Packet
from ..._policies.model import (
    ALLOW,
    ANY_KIND,
    DATAPLANES,
    DENY,
    INGRESS,
    NORMAL,
    PASS,
    PRE_DNAT,
    UNTRACKED,
    Policy,
    PolicySet,
    Rule,
    Rules,
    look_at_members,
)
from ..._resources.hostendpoint import HostEndpoint
from ..verdict import GO_ON, RuleOutcome
from .ip_sets import IPSets
from .match import matches_addresses, matches_destination, matches_source
from .rule_steps import (
    RuleSteps,
    Segments,
    Step,
    end_of_forwarded,
    end_of_profiles,
    end_of_tier,
    format_rule_name,
    shorten,
)

# The stage of policies for forwarded traffic (Calico v3).
FORWARDED = "forwarded"
# The order of evaluation, over all tiers.
_KINDS = (UNTRACKED, PRE_DNAT, NORMAL)

# An owner of rules, equal in two states if it is the same object in both, and its rules, if any.
Unit = Tuple[object, Optional[Rules]]

# Number of peers whose remaining steps are cached.
_MOST_PEERS = 500


class EndpointRules:
    """The rules of all endpoints with the same profiles that the same policies select.

    `policies` are those that select them, by tier.
    """

    def __init__(
        self,
        policy_set: PolicySet,
        members: IPSets,
        steps: RuleSteps,
        policies: Dict[str, List[Policy]],
        profiles: Tuple[str, ...],
    ) -> None:
        self._policy_set = policy_set
        self._members = members
        self._steps = steps
        self._profiles = profiles
        self.policies = policies
        # The kinds of the policies that may select the endpoint.
        self.kinds = {policy.kind for policies in self.policies.values() for policy in policies}
        if ANY_KIND in self.kinds:
            self.kinds.update((NORMAL, UNTRACKED, PRE_DNAT))
        self._remaining: Dict[Tuple[object, ...], Segments] = {}
        self._left: Dict[Tuple[object, ...], Segments] = {}
        self._decided: Dict[Tuple[object, ...], List[RuleOutcome]] = {}
        self._allowing: Dict[str, bool] = {}

    @functools.cached_property
    def selecting(self) -> List[str]:
        """Names of the policies that select the endpoint, in the order of evaluation.

        Unreadable policies are omitted, since it is unknown what they select.
        """
        policies = [each for tier in self._policy_set.tiers for each in self.policies[tier.name] if not each.doubt]
        return list(dict.fromkeys(each.name for each in sorted(policies, key=lambda each: _KINDS.index(each.kind))))

    @functools.cached_property
    def identity(self) -> Tuple[object, ...]:
        """What selects and rules the endpoint. Equal in two states in which nothing of that differs, except for the
        members that selectors in rules find."""
        tiers = [(tier, tuple(self.policies.get(tier.name, ()))) for tier in self._policy_set.tiers]
        # A profile has no hash.
        profiles = [(name, id(self._policy_set.profile(name))) for name in self._profiles]
        return tuple([each for each in tiers if each[1]]), tuple(profiles)

    def list_evaluated(self) -> List[Unit]:
        """What is evaluated, in the order of evaluation of each kind of policies: policies, ends of tiers, profiles."""
        found: List[Unit] = []
        for tier in self._policy_set.tiers:
            policies = self.policies.get(tier.name, ())
            found += [(policy, policy.rules) for policy in policies]
            # The default action, for each direction that the tier governs.
            ends = {(each, policy.kind, policy.on_forward) for policy in policies for each in policy.governs}
            found += [((tier.name, tier.default_action, end), None) for end in sorted(ends)]
        for name in self._profiles:
            profile = self._policy_set.profile(name)
            found.append(((name, id(profile)), profile.rules))
            if profile.rules is None:
                break
        return found

    @functools.cached_property
    def looks_at_members(self) -> bool:
        """Whether a rule matches labels or named ports."""
        profiles = [self._policy_set.profile(name).rules for name in self._profiles]
        policies = [each.rules for policies in self.policies.values() for each in policies]
        return look_at_members([*policies, *filter(None, profiles)])

    @functools.cached_property
    def fatal(self) -> Mapping[str, str]:
        """Why Felix fails on these rules, in either direction, by dataplane; empty if it does not."""
        found: Dict[str, str] = {}
        for owner, why in self._fatals():
            for dataplane, text in why.items():
                if text:
                    found.setdefault(dataplane, "{0}: {1}".format(owner, text))
        return found

    def _fatals(self) -> Iterator[Tuple[str, Mapping[str, str]]]:
        for policies in self.policies.values():
            for policy in policies:
                if policy.fatal:
                    yield "policy " + policy.name, dict.fromkeys(DATAPLANES, policy.fatal)
                yield from _fatal_rules("policy " + policy.name, policy.rules)
        for name in self._profiles:
            yield from _fatal_rules("profile " + name, self._policy_set.profile(name).rules or {})

    def allows_something(self, direction: str) -> bool:
        """Whether a rule of a policy or a profile allows, or may allow, any traffic in a direction."""
        if direction not in self._allowing:
            self._allowing[direction] = self._allows_something(direction)
        return self._allowing[direction]

    def _allows_something(self, direction: str) -> bool:
        policies = [each for policies in self.policies.values() for each in policies if direction in each.governs]
        rules = [rule for policy in policies for rule in policy.rules.get(direction, ())]
        doubts = [policy.doubt for policy in policies]
        for name in self._profiles:
            profile = self._policy_set.profile(name)
            doubts.append(profile.doubt)
            if profile.rules is None:
                break
            rules += profile.rules[direction]
        return any(doubts) or any(rule.action == ALLOW for rule in rules)

    def decide(self, stage: str, direction: str, packet: Packet) -> List[RuleOutcome]:
        """All possible outcomes of the packet at a stage: a kind of policies, or FORWARDED. The last is certain.

        Of the uncertain outcomes, only the first of each action is returned.
        """
        if packet.source is not None or packet.destination is not None:
            return self._decide(stage, direction, packet)
        # Such as neighbour discovery, which is the same on every host.
        key = (stage, direction, packet)
        if key not in self._decided:
            self._decided[key] = self._decide(stage, direction, packet)
        return self._decided[key]

    def passed_over(self, stage: str, direction: str, packet: Packet) -> Iterator[Tuple[str, Rule]]:
        """For a packet that is certainly denied: the non-matching rules that would allow or pass it, then the rule that
        denies it, if any; with their names."""
        for segment in self._matching_statically(stage, direction, packet):
            for step in segment:
                matches = True if step.rule is None else matches_addresses(step.rule, packet, self._members)
                is_sure = bool(matches) and not step.doubt
                if step.rule and (
                    step.action == DENY if is_sure else matches is False and step.action in (ALLOW, PASS)
                ):
                    yield step.by, step.rule
                if is_sure and step.action == DENY:
                    return
                if is_sure:
                    break

    def _decide(self, stage: str, direction: str, packet: Packet) -> List[RuleOutcome]:
        outcomes: List[RuleOutcome] = []
        returned = set()
        for segment in self._matching_from_afar(stage, direction, packet):
            # Why an earlier step of this segment may end it.
            doubt = ""
            for step in segment:
                matches = True if step.rule is None else matches_addresses(step.rule, packet, self._members)
                if matches is False:
                    continue
                why = step.doubt or doubt or ("" if matches else "whether {0} matches is unknown".format(step.by))
                if step.action == PASS:
                    if not why:
                        break
                    doubt = why
                    continue
                if not why:
                    outcomes.append(RuleOutcome(step.action, step.by, step.reason))
                    return outcomes
                if step.action not in returned:
                    returned.add(step.action)
                    outcomes.append(RuleOutcome(step.action, step.by, step.reason, why))
        return outcomes

    def _matching_from_afar(self, stage: str, direction: str, packet: Packet) -> Segments:
        """The remaining steps for packets that differ only in the host's own address: many hosts share peers."""
        far = packet.source if direction == INGRESS else packet.destination
        key = (stage, direction, far, packet.version, packet.protocol, packet.sport, packet.dport, packet.icmp)
        found = self._left.get(key)
        if found is None:
            found = [
                [step for step in segment if self._may_match_from_afar(step, direction, packet)]
                for segment in self._matching_statically(stage, direction, packet)
            ]
            if len(self._left) >= _MOST_PEERS:
                self._left.clear()
            self._left[key] = found
        return found

    def _may_match_from_afar(self, step: Step, direction: str, packet: Packet) -> bool:
        if step.rule is None:
            return True
        match = matches_source if direction == INGRESS else matches_destination
        return match(step.rule, packet, self._members) is not False

    def _matching_statically(self, stage: str, direction: str, packet: Packet) -> Segments:
        """The remaining steps for packets that differ only in their addresses."""
        key = (packet.version, packet.protocol, packet.sport, packet.dport, packet.icmp)
        found = self._remaining.get((stage, direction, key))
        if found is None:
            found = shorten(self._segments(stage, direction, packet, key))
            self._remaining[stage, direction, key] = found
        return found

    def _segments(self, stage: str, direction: str, packet: Packet, key: Tuple[object, ...]) -> Segments:
        segments: Segments = []
        is_governed = False
        for tier in self._policy_set.tiers:
            policies = [each for each in self.policies.get(tier.name, ()) if _is_evaluated(each, stage, direction)]
            segment = [step for each in policies for step in self._steps.of_policy(each, direction, packet, key)]
            if policies and stage in (NORMAL, FORWARDED):
                segment.append(end_of_tier(tier.default_action, policies, direction))
                is_governed = True
            segments.append(segment)
        if stage == NORMAL:
            for name in self._profiles:
                segments.append(self._steps.of_profile(name, self._policy_set, direction, packet, key))
            segments.append([end_of_profiles(self._profiles, is_governed, direction)])
        elif stage == FORWARDED:
            segments.append([end_of_forwarded(is_governed, direction)])
        else:
            segments.append([Step(GO_ON, None, "", "")])
        return segments


def _fatal_rules(owner: str, rules: Rules) -> Iterator[Tuple[str, Mapping[str, str]]]:
    for direction, of_direction in rules.items():
        for index, rule in enumerate(of_direction):
            if rule.fatal:
                yield "{0} of {1}".format(format_rule_name(direction, index), owner), rule.fatal


def _is_evaluated(policy: Policy, stage: str, direction: str) -> bool:
    if direction not in policy.governs or (stage == FORWARDED and not policy.on_forward):
        return False
    return policy.kind in (NORMAL if stage == FORWARDED else stage, ANY_KIND)


def select_policies(policy_set: PolicySet, endpoint: HostEndpoint) -> Dict[str, List[Policy]]:
    """The policies that may select an endpoint, by tier."""
    labels = policy_set.inherit_labels(endpoint.labels, endpoint.profiles)
    return {
        tier: [each for each in policies if each.selector.matches(labels)]
        for tier, policies in policy_set.policies.items()
    }
