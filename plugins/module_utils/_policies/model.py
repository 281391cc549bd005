# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, profiles and all else that decides on traffic, whatever the generation that they are stored in.

load_v1 and load_v3 make it of what is stored, _dataplane decides by it.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple

from .._core.ip import Address, Net
from .._resources.selector import Selector
from .connection import Ports

INGRESS, EGRESS = "ingress", "egress"
ALLOW, DENY, LOG, PASS = "allow", "deny", "log", "pass"
# What Felix programs.
IPTABLES, NFTABLES = "iptables", "nftables"
DATAPLANES = (IPTABLES, NFTABLES)
# When a policy is asked: normally, before connection tracking (doNotTrack), or before DNAT; or nobody knows when.
NORMAL, UNTRACKED, PRE_DNAT, ANY_KIND = "normal", "untracked", "pre-DNAT", "any"


class Entity(NamedTuple):
    """What a rule asks of one end of a connection. An empty field asks nothing."""

    # In one of them, and in none of them.
    nets: Tuple[Net, ...] = ()
    not_nets: Tuple[Net, ...] = ()
    # An address of an endpoint or a network set that this selects: by every one, and by none.
    selectors: Tuple[Selector, ...] = ()
    not_selectors: Tuple[Selector, ...] = ()
    # One of the ports or of the named ports, and none of them.
    ports: Tuple[Ports, ...] = ()
    port_names: Tuple[str, ...] = ()
    not_ports: Tuple[Ports, ...] = ()
    not_port_names: Tuple[str, ...] = ()


class Rule(NamedTuple):
    """A rule of a policy or a profile. All that it asks for must hold; a field of 0 or None asks nothing."""

    action: str = ALLOW
    version: int = 0
    protocol: int = 0
    not_protocol: int = 0
    # Type, and code or None.
    icmp: Optional[Tuple[int, Optional[int]]] = None
    not_icmp: Optional[Tuple[int, Optional[int]]] = None
    source: Entity = Entity()
    destination: Entity = Entity()
    # Why Felix fails on it where it is in use, by the dataplane; empty when it does not.
    fatal: Mapping[str, str] = {}
    # Why it is not known whether it matches what it seems to match; "" when it is.
    doubt: str = ""


Rules = Mapping[str, Tuple[Rule, ...]]


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    name: str
    selector: Selector
    # By direction.
    rules: Rules
    # The directions that it governs.
    governs: FrozenSet[str]
    kind: str = NORMAL
    # Whether it is asked for forwarded traffic, too, where that is for the policy to say.
    on_forward: bool = False
    # None comes after every number.
    order: Optional[float] = None
    tier: str = "default"
    # The name, the namespace and the kind as Calico v3 sorts by them.
    key: str = ""
    # Why Felix fails on it where it selects an endpoint of the host, whatever its rules; "" when it does not.
    fatal: str = ""
    # Why nothing is known of it but its name, kind and order; "" when all is.
    doubt: str = ""
    # Why Felix takes it for missing; "" when it does not.
    ignored: str = ""

    def __str__(self) -> str:
        return self.name


class Tier(NamedTuple):
    name: str
    order: Optional[float]
    # What becomes of traffic that policies of it govern and none decides on: DENY or PASS.
    default_action: str


class Profile(NamedTuple):
    # None where the profile drops everything, since it is missing or Felix does not take it.
    rules: Optional[Rules]
    # What endpoints inherit.
    labels: Mapping[str, str]
    # Why that is not certain; "" when it is.
    doubt: str = ""


MISSING = Profile(None, {})


class Selectable(NamedTuple):
    """What a selector in a rule can select: an endpoint, a workload, a network set."""

    labels: Mapping[str, str]
    profiles: Tuple[str, ...]
    addresses: Tuple[Address, ...] = ()
    nets: Tuple[Net, ...] = ()
    # (name, protocol, number)
    ports: Tuple[Tuple[str, int, int], ...] = ()
    # Why it is not known whether Felix takes it; "" when it does.
    doubt: str = ""


@dataclasses.dataclass
class PolicySet:
    """All that decides, but the settings of Felix."""

    # In the order in which they are asked.
    tiers: List[Tier]
    # By tier, in the order in which they are asked.
    policies: Dict[str, List[Policy]]
    profiles: Dict[str, Profile]
    # Without the host endpoints.
    members: List[Selectable]
    # The workloads among them by node, where that is known: the interface's name, and what a selector can select.
    workloads: Dict[str, List[Tuple[str, Selectable]]]
    # Why Felix takes a stored policy of Calico v3 for missing, by its name.
    ignored: Dict[str, str] = dataclasses.field(default_factory=dict)
    # Why Felix probably fails on every host, whoever uses it; "" when it does not.
    fatal: str = ""
    # Why nothing is known of some members, so that a selector in a rule may miss some; "" when all are.
    members_doubt: str = ""

    def looks_at_members(self) -> bool:
        """Whether a rule decides by the labels or the named ports of those at either end."""
        policies = [policy.rules for policies in self.policies.values() for policy in policies]
        profiles = [profile.rules for profile in self.profiles.values() if profile.rules is not None]
        return any(
            end.selectors or end.not_selectors or end.port_names or end.not_port_names
            for by_direction in policies + profiles
            for rules in by_direction.values()
            for rule in rules
            for end in (rule.source, rule.destination)
        )

    def profile(self, name: str) -> Profile:
        return self.profiles.get(name, MISSING)

    def labels_of(self, labels: Mapping[str, str], profiles: Tuple[str, ...]) -> Mapping[str, str]:
        """An endpoint's labels, with those that it inherits; the first that has one counts."""
        inherited = [self.profiles[name].labels for name in reversed(profiles) if name in self.profiles]
        if not any(inherited):
            return labels
        found: Dict[str, str] = {}
        for each in inherited:
            found.update(each)
        found.update(labels)
        return found


def in_order(policies: List[Policy]) -> List[Policy]:
    """As Felix asks them: by order, those without one last, and by the bytes of their names."""
    return sorted(policies, key=lambda policy: (policy.order is None, policy.order or 0.0, policy.name.encode()))
