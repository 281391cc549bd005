# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Felix' settings that decide on traffic: failsafes and related settings.

felix 2.6.8, config: config_params.go, param_types.go; those of Calico v3 are in config_v3.py. The datastore is the
weakest source of a setting: the environment of Felix and its file felix.cfg take precedence, and they cannot be read
from here. A task can state the failsafe ports (failsafes.py).
"""

from __future__ import annotations

import re
from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..._core.errors import shown
from ..._core.ip import Address, Net
from ..._core.protocols import FAILSAFE_PROTOCOLS, NAMES
from ..._datastore._values.calico_version import parse_version
from ..._datastore.snapshot import PolicySnapshot
from ..model import IPTABLES


class Failsafe(NamedTuple):
    """A port that is always open; in v3, optionally only for a network at the other end."""

    protocol: int
    port: int
    net: Optional[Net] = None
    # Why it is uncertain; "" if it is certain.
    doubt: str = ""

    def __str__(self) -> str:
        return "{0}:{1}".format(NAMES[self.protocol], self.port)


class Felix(NamedTuple):
    """The settings of the Felix of one node."""

    # Ports of the host, and ports of other hosts.
    inbound: Tuple[Failsafe, ...] = ()
    outbound: Tuple[Failsafe, ...] = ()
    # Prefixes of the names of workload interfaces.
    workload_prefixes: Tuple[str, ...] = ("cali",)
    polices_ipv6: bool = True
    # Whether it drops packets of unknown connections.
    drops_invalid: bool = True
    # Why its behaviour is unknown; "" if it is known.
    problem: str = ""
    # Whether the reason is that it stops or does not start.
    is_stopped: bool = False
    # Why traffic that it allows may be dropped later; "" if it is not.
    allow_doubt: str = ""
    # Tunnels between Calico's hosts that may be in use, for which Felix has its own rules: IPIP, and the UDP ports of
    # VXLAN and WireGuard.
    has_ipip: bool = True
    vxlan_ports: Tuple[int, ...] = ()
    # The IP versions that VXLAN may use.
    vxlan_versions: Tuple[int, ...] = (4, 6)
    wireguard_ports: Tuple[int, ...] = ()
    # The addresses of hosts that may use IPIP and VXLAN; None if unknown.
    tunnel_hosts: Optional[FrozenSet[Address]] = None
    # Interfaces that it ignores: names, or patterns between slashes.
    excluded: Tuple[str, ...] = ()
    # IPTABLES or NFTABLES; "" if unknown.
    dataplane: str = IPTABLES
    # (major, minor, patch) of Calico; None if unknown.
    version: Optional[Tuple[int, int, int]] = None
    # A note in reasons for a version that was not measured; "" for a measured version.
    note: str = ""
    # Whether a failsafe may be limited to a network.
    has_failsafe_nets: bool = True
    # Whether forwarded traffic has its own policies (applyOnForward); else the normal policies apply to it.
    has_forward_policies: bool = True
    # How it treats the host's own interface with a workload prefix: it drops all traffic unless it knows the workload,
    # or it removes the interface's addresses.
    denies_unknown_workloads: bool = False
    removes_addresses: bool = True


def parse_failsafe_list(text: str) -> Tuple[Failsafe, ...]:
    return tuple(
        [Failsafe(FAILSAFE_PROTOCOLS[protocol], int(port)) for protocol, port in re.findall("([a-z]+):([0-9]+)", text)]
    )


# Defaults of Calico 2.3 to 2.6.
_INBOUND_V1 = parse_failsafe_list("tcp:22 udp:68")
_OUTBOUND_V1 = parse_failsafe_list("tcp:2379 tcp:2380 tcp:4001 tcp:7001 udp:53 udp:67")


def is_excluded(name: str, excluded: Iterable[str]) -> bool:
    """Whether Felix of Calico v3 ignores an interface, by the names and patterns of interfaceExclude."""
    return any(
        re.search(each[1:-1], name) if len(each) > 1 and each[0] == each[-1] == "/" else each == name
        for each in excluded
    )


# --- Calico v1 ---

_FELIX_V1 = Felix(
    has_failsafe_nets=False, has_forward_policies=False, denies_unknown_workloads=True, removes_addresses=False
)

# The valid values, in lower case; any other value stops Felix ("die-on-fail").
_CHOICES = {
    "chaininsertmode": ("insert", "append"),
    "iptablesfilterallowaction": ("accept", "return"),
    "iptablesmangleallowaction": ("accept", "return"),
    "defaultendpointtohostaction": ("drop", "return", "accept"),
}
INTERFACES = re.compile(r"[a-zA-Z0-9_-]{1,15}(?:,[a-zA-Z0-9_-]{1,15})*")
TRUE, FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")


def felix_v1(snapshot: PolicySnapshot, node: str) -> Felix:
    """The settings that Felix 2.6 reads from /calico/v1/host/<node>/config and, as a fallback, /calico/v1/config."""
    if snapshot.state != "true":
        found = "missing" if snapshot.state is None else shown(snapshot.state)
        problem = "/calico/v1/Ready is {0}, and Felix waits until it is true".format(found)
        return _FELIX_V1._replace(problem=problem, is_stopped=True)
    try:
        return _felix_v1(_settings_v1(snapshot, node))
    except ValueError as exc:
        problem = "{0}. Felix stops or does not start, and keeps its last rules".format(exc)
        return _FELIX_V1._replace(problem=problem, is_stopped=True)


def _settings_v1(snapshot: PolicySnapshot, node: str) -> Dict[str, str]:
    """The effective values, by their names in lower case. Checks all values, including overridden ones."""
    found: Dict[str, str] = {}
    for level in ("", node):
        names: Dict[str, str] = {}
        for (place, name), value in snapshot.config.items():
            if place != level or not value:
                continue
            key = name.lower()
            where = "the setting {0} of {1}".format(name, "node " + node if level else "all nodes")
            _check_v1(key, value, where)
            if names.setdefault(key, value) != value:
                raise ValueError(where + " exists twice, in different spellings")
        found.update(names)
    return found


def _check_v1(key: str, value: str, where: str) -> None:
    if key in ("failsafeinboundhostports", "failsafeoutboundhostports"):
        if value.lower() != "none":
            _ports_v1(value, where)
    elif key in _CHOICES and value.lower() not in _CHOICES[key]:
        raise ValueError("{0} cannot be {1}".format(where, shown(value)))
    elif key == "interfaceprefix" and (value.lower() == "none" or not INTERFACES.fullmatch(value)):
        raise ValueError("{0} cannot be {1}".format(where, shown(value)))


def _felix_v1(settings: Mapping[str, str]) -> Felix:
    version = parse_version(settings.get("calicoversion", ""))
    if version and not (2, 3) <= version[:2] <= (2, 6):
        problem = "Calico is {0}, and only 2.3 to 2.6 can be evaluated".format(settings["calicoversion"])
        return _FELIX_V1._replace(problem=problem)
    if settings.get("chaininsertmode", "").lower() == "append":
        problem = "ChainInsertMode is append, so other iptables rules are evaluated before Calico's"
        return _FELIX_V1._replace(problem=problem)
    returning = [
        name
        for name in ("IptablesFilterAllowAction", "IptablesMangleAllowAction")
        if settings.get(name.lower(), "").lower() == "return"
    ]
    return _FELIX_V1._replace(
        inbound=_failsafes_v1(settings, "failsafeinboundhostports", _INBOUND_V1),
        outbound=_failsafes_v1(settings, "failsafeoutboundhostports", _OUTBOUND_V1),
        workload_prefixes=tuple(settings.get("interfaceprefix", "cali").split(",")),
        polices_ipv6=_flag_v1(settings, "ipv6support", True),
        drops_invalid=not _flag_v1(settings, "disableconntrackinvalidcheck", False),
        allow_doubt=returns(returning),
        version=version,
    )


def returns(names: List[str]) -> str:
    return "{0} is RETURN, so other iptables rules are also evaluated".format(names[0]) if names else ""


def _failsafes_v1(settings: Mapping[str, str], key: str, default: Tuple[Failsafe, ...]) -> Tuple[Failsafe, ...]:
    if key not in settings:
        return default
    value = settings[key]
    return () if value.lower() == "none" else _ports_v1(value, key)


def _ports_v1(value: str, where: str) -> Tuple[Failsafe, ...]:
    """The failsafes of a list. Raises ValueError if Felix 2.6 rejects it. Empty items are ignored."""
    found = []
    for item in value.split(","):
        item = item.strip(" ")
        if not item:
            continue
        protocol, colon, port = item.partition(":")
        if not colon:
            protocol, port = "tcp", item
        if not re.fullmatch("[+-]?[0-9]{1,18}", port) or not 0 <= int(port) <= 65535:
            raise ValueError("{0} has an invalid port: {1}".format(where, shown(item)))
        if protocol.lower() not in FAILSAFE_PROTOCOLS:
            raise ValueError("{0} has an unknown protocol: {1}".format(where, shown(item)))
        found.append(Failsafe(FAILSAFE_PROTOCOLS[protocol.lower()], int(port)))
    return tuple(found)


def _flag_v1(settings: Mapping[str, str], key: str, default: bool) -> bool:
    """A flag as Felix reads it: the default for an unreadable value, and False for "none"."""
    value = settings.get(key, "").lower()
    if value == "none" or value in FALSE:
        return False
    return True if value in TRUE else default
