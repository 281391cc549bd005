# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of a variable, and the network sets of the inventory's groups: addresses from the facts of hosts."""

from __future__ import annotations

import fnmatch
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import brief, join_first, shown
from ansible_collections.netsec.calico.plugins.module_utils._core.ip import is_loopback, parse_address, parse_net
from ansible_collections.netsec.calico.plugins.module_utils._resources.manifest import V3_NAME
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.facts import why_unusable
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet._rules.interfaces import read_interfaces
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.host_variables import HostVariables
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.task_context import TaskContext

# The label of a group's network set; its value is the group.
GROUP_LABEL = "netsec.calico/group"
_STAND_IN = "0.0.0.0/32"
_SHOWN = 10


class InventoryNetworks:
    """The addresses of the inventory's hosts and groups, from the facts of this run or of Ansible's fact cache."""

    def __init__(self, context: TaskContext, reader: HostVariables, is_audit: bool = False) -> None:
        """In an audit, hosts without usable facts are noted in `unknown` instead of raising RunFailed."""
        self._context = context
        self._reader = reader
        self._is_audit = is_audit
        self._addresses: Dict[str, List[str]] = {}
        # {place: {host: why its addresses are unknown}}
        self.unknown: Dict[str, Dict[str, str]] = {}
        # {place: the groups without hosts and the hosts without addresses}
        self._unaddressed: Dict[str, Dict[str, None]] = {}

    def expand(self, where: str, entries: Sequence[Any]) -> List[str]:
        """The entries, with the addresses of a group or a host in its place. Raises RunFailed for other entries."""
        found: List[str] = []
        for entry in entries:
            if isinstance(entry, str) and _is_net(entry):
                found.append(entry)
            elif isinstance(entry, str) and self._context.is_group(entry):
                found += self._find_addresses(where, entry, self._context.hosts_of_group(entry))
            elif isinstance(entry, str) and self._context.is_host(entry):
                found += self._find_addresses(where, entry, [entry])
            else:
                text = "{0}: {1} is neither a network or an address, nor a group or a host of the inventory"
                raise RunFailed(text.format(where, shown(entry)))
        if where in self.unknown and not found:
            # As in a run with facts, the list is not empty.
            found = [_STAND_IN]
        return list(dict.fromkeys(found))

    def build_group_sets(self, where: str, groups: Sequence[Any]) -> List[Tuple[str, Dict[str, Any]]]:
        """A GlobalNetworkSet for each group, with its place. Raises RunFailed."""
        found: Dict[str, Tuple[str, Dict[str, Any]]] = {}
        for group in groups:
            if not isinstance(group, str) or not self._context.is_group(group):
                raise RunFailed("{0}: the inventory has no group {1}".format(where, shown(group)))
            name = "group-" + group.lower().replace("_", "-")
            if name in found and found[name][1]["metadata"]["labels"][GROUP_LABEL] != group:
                other = found[name][1]["metadata"]["labels"][GROUP_LABEL]
                text = "{0}: the network sets of the groups {1} and {2} have the same name {3}; rename a group"
                raise RunFailed(text.format(where, brief(other), brief(group), brief(name)))
            place = "{0}: {1}".format(where, brief(group))
            addresses = self._find_addresses(place, group, self._context.hosts_of_group(group))
            found[name] = (place, _build_set(name, group, addresses))
        return list(found.values())

    def warnings(self) -> List[str]:
        """A warning for each place with groups or hosts that have no address."""
        text = "{0}: groups without hosts and hosts without addresses, of which the policies have no address ({1}): {2}"
        return [
            text.format(where, len(names), join_first([brief(name) for name in names], _SHOWN))
            for where, names in self._unaddressed.items()
        ]

    def _find_addresses(self, where: str, entry: str, hosts: Sequence[str]) -> List[str]:
        """The addresses of the hosts of an entry, sorted. Raises RunFailed, which names every host without facts."""
        reasons = {host: reason for host in hosts for reason in [self._read(host)] if reason}
        if reasons and self._is_audit:
            self.unknown.setdefault(where, {}).update(reasons)
        elif reasons:
            text = (
                "{0}: the addresses of {1} hosts are unknown, because their facts cannot be used, and nothing was "
                "written: {2} ({3}). Gather the facts of these hosts in this run, or use a fact cache"
            )
            raise RunFailed(
                text.format(where, len(reasons), join_first(list(reasons), _SHOWN), next(iter(reasons.values())))
            )
        without = [host for host in hosts if self._addresses.get(host) == []] if hosts else [entry]
        if without:
            self._unaddressed.setdefault(where, {}).update(dict.fromkeys(without))
        found = {address for host in hosts for address in self._addresses.get(host, ())}
        return sorted(found, key=parse_address)

    def _read(self, host: str) -> str:
        """Read a host's addresses, if they are not yet known. Why they are unknown; "" if they are known."""
        if host in self._addresses:
            return ""
        facts = self._context.facts(host)
        reason = why_unusable(facts)
        if not reason:
            raw = self._context.without_facts(host)
            ignore = self._reader.evaluate(host, raw, ["ignore"], with_facts=True)["ignore"] or []
            self._addresses[host] = list(select_addresses(facts, ignore))
        return reason


def _is_net(text: str) -> bool:
    try:
        parse_net(text)
    except ValueError:
        return False
    return True


def select_addresses(facts: Dict[str, Any], ignore: Sequence[Any]) -> Iterable[str]:
    """The addresses by which other hosts may see a host: of no ignored interface, neither loopback nor temporary."""
    for interface in read_interfaces(facts):
        if any(fnmatch.fnmatchcase(interface.name, str(pattern)) for pattern in ignore):
            continue
        for address in interface.addresses:
            if address not in interface.temporary and not is_loopback(parse_address(address)):
                yield address


def _build_set(name: str, group: str, addresses: List[str]) -> Dict[str, Any]:
    return {
        "apiVersion": V3_NAME,
        "kind": "GlobalNetworkSet",
        "metadata": {"name": name, "labels": {GROUP_LABEL: group}},
        "spec": {"nets": addresses},
    }
