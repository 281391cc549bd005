# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The compliance of hosts by group of the inventory and by label. Plain Python, without Ansible."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
from typing import Any, Dict, List, Set, Tuple

STATUSES = ("compliant", "drifted", "unknown")
# Maximum number of groups, and of labels, in a report: those with the most drifted hosts.
MOST = 200
# A label with more values, such as a host's name, says nothing about groups of hosts.
_VALUES = 20


def count_statuses(statuses: Iterable[str]) -> Dict[str, int]:
    counts = collections.Counter(statuses)
    return {status: counts[status] for status in STATUSES}


def count_compliance(statuses: Mapping[str, str], names: Mapping[str, Iterable[str]]) -> Dict[str, Dict[str, int]]:
    """{name: number of hosts by status}, sorted by name.

    statuses: {host: status}
    names: {host: its groups or labels}
    """
    hosts: Dict[str, List[str]] = {}
    for host, status in statuses.items():
        for name in set(names.get(host, ())):
            hosts.setdefault(name, []).append(status)
    if len(hosts) > 1:
        hosts.pop("all", None)
    counts = {name: count_statuses(of_name) for name, of_name in hosts.items()}
    return {name: counts[name] for name in sorted(sort_most_drifted(counts)[:MOST])}


def sort_most_drifted(counts: Mapping[str, Mapping[str, int]]) -> List[str]:
    return sorted(counts, key=lambda name: (-counts[name]["drifted"], -counts[name]["unknown"], name))


def list_labels(declared: Iterable[Mapping[str, Any]], hosts_by_node: Mapping[str, str]) -> Dict[str, List[str]]:
    """{host: labels of its declared endpoints, as key=value}

    declared: the endpoints by the names of the modules' options.
    hosts_by_node: {node: host}
    """
    values: Dict[str, Set[str]] = {}
    found: Dict[str, Set[Tuple[str, str]]] = {}
    for endpoint in declared:
        for key, value in (endpoint.get("labels") or {}).items():
            values.setdefault(key, set()).add(value)
            found.setdefault(hosts_by_node.get(endpoint["node"], ""), set()).add((key, value))
    return {
        host: ["{0}={1}".format(key, value) for key, value in labels if len(values[key]) <= _VALUES]
        for host, labels in found.items()
    }
