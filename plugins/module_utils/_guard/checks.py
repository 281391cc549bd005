# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of the guard's checks. Every run imports it, so the functions that evaluate them stand elsewhere."""

from __future__ import annotations

from typing import Collection, Dict, List, NamedTuple


class Check(NamedTuple):
    """A check of the guard, by the id that findings, warnings and the guide use."""

    id: str
    # What it finds, as in the guide.
    title: str
    # How to make an unsafe change safe; "" for a check that only warns.
    remedy: str = ""
    # Whether it cannot be evaluated without the interfaces of the host.
    needs_facts: bool = False
    # Whether its warnings appear in the result only, since what they report may be intended.
    is_information: bool = False


_ALLOW_IT = (
    "first create a policy that allows this connection and selects the governing endpoint, or add a profile that "
    "allows it to that endpoint"
)
_TABLE = (
    # endpoint_checks
    Check(
        "G01",
        "a profile of the endpoint does not exist",
        remedy="create the profile (on Kubernetes that is not possible), or remove it from the endpoint's profiles",
    ),
    Check("G02", "no policy and no profile allows anything"),
    # connection_checks
    Check(
        "G03",
        "a required inbound connection, such as SSH, is denied",
        remedy=_ALLOW_IT,
        needs_facts=True,
    ),
    Check(
        "G04",
        "a required outbound connection, such as to the datastore, is denied",
        remedy=_ALLOW_IT,
        needs_facts=True,
    ),
    # host_checks
    Check("G05", "the SSH port is not an inbound failsafe port", needs_facts=True),
    Check(
        "G06",
        "the host has no such interface, or it is a workload interface",
        remedy="use an interface that the host has",
        needs_facts=True,
    ),
    Check(
        "G07",
        "the host does not have the expected IPs",
        remedy="use addresses that the host has",
        needs_facts=True,
    ),
    Check(
        "G08",
        "two endpoints claim the same interface",
        remedy="remove one of the endpoints, or give it another interface",
        needs_facts=True,
    ),
    # endpoint_checks
    Check(
        "G09",
        "Calico knows the node by another form of its name, or not at all",
        remedy="use the node's name as Calico has it",
    ),
    # host_checks
    Check("G10", "Ansible's connection comes through the interface", needs_facts=True, is_information=True),
    Check("G11", "the endpoint is for all interfaces", needs_facts=True),
    # endpoint_checks
    Check("G12", "the endpoint has no expected IPs", is_information=True),
    # connection_checks
    Check(
        "G13",
        "IPv6 neighbour discovery is denied",
        remedy="create a policy that allows icmpv6 types 135 and 136 in both directions",
        needs_facts=True,
    ),
    # endpoint_checks
    Check("G14", "policies stop selecting the endpoint"),
    # endpoint_checks without facts, host_checks with facts
    Check("G15", "an endpoint that is deleted, or that an update moves, leaves its interface open"),
    Check(
        "G16",
        "Felix rejects the endpoint or ignores its interface, which is then open; or Felix fails on a rule or a "
        "setting, or waits",
        remedy="correct the named endpoint, rule, setting or object; until then, Felix does not apply what is stored",
    ),
    # enforcement
    Check("G17", "more resources change than guard_limit allows", remedy="raise the limit if this is intended"),
    # _policy_changes
    Check(
        "G18",
        "changes of policies, profiles, sets, tiers or Felix's settings deny a required connection",
        remedy="keep, or first create, a policy, a profile or a failsafe port that allows this connection",
        needs_facts=True,
    ),
    Check("G19", "such changes open connections that were not allowed", needs_facts=True),
    Check(
        "G20",
        "a required connection is denied while such changes are written, although it is allowed before and after",
        remedy="write the changes in two runs: first what allows this connection, then what denies other connections",
        needs_facts=True,
    ),
    # _connectivity
    Check(
        "G21",
        "an expectation of the declared connectivity is met now, and is not after or between the changes",
        remedy="keep what meets the expectation, or change the expectation first",
        needs_facts=True,
    ),
)
CHECKS: Dict[str, Check] = {check.id: check for check in _TABLE}


def find_alike(node: str, known_nodes: Collection[str]) -> List[str]:
    """The known nodes that may be meant: their first labels are the same."""
    short = node.partition(".")[0].lower()
    return sorted(known for known in known_nodes if known.partition(".")[0].lower() == short)
