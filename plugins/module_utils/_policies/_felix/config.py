# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Felix' settings that decide on traffic: failsafes, and what changes their meaning.

felix 2.6.8, config: config_params.go, param_types.go; those of Calico v3 are in _felix_v3.py. Of the places that a
setting can come from, the datastore is the weakest: the environment of Felix and its file felix.cfg come before it, and
they cannot be read from here. A task can state the failsafe ports (_failsafes.py).
"""

from __future__ import annotations

import re
from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..._core.errors import shown
from ..._core.ip import Address, Net
from ..._core.protocols import NAMES, TCP, UDP
from ..._datastore.snapshot import PolicySnapshot
from ..model import IPTABLES

# The protocols of failsafes, by their names.
FAILSAFE_PROTOCOLS = {NAMES[number]: number for number in (TCP, UDP)}


class Failsafe(NamedTuple):
    """A port that is always open; in v3 maybe only for a network at the other end."""

    protocol: int
    port: int
    net: Optional[Net] = None
    # Why it is not known to be one; "" when it is.
    doubt: str = ""

    def __str__(self) -> str:
        return "{0}:{1}".format(NAMES[self.protocol], self.port)


class Felix(NamedTuple):
    """The settings of the Felix of one node."""

    # The ports at the host, and the ports at others.
    inbound: Tuple[Failsafe, ...] = ()
    outbound: Tuple[Failsafe, ...] = ()
    # With these begin the names of workloads' interfaces.
    workload_prefixes: Tuple[str, ...] = ("cali",)
    polices_ipv6: bool = True
    # Whether it drops what belongs to no connection that is known.
    drops_invalid: bool = True
    # Why it is not known what it does; "" when it is.
    problem: str = ""
    # Whether that is since it stops, or does not start.
    is_stopped: bool = False
    # Why what it lets through may be stopped afterwards; "" when it isn't.
    allow_doubt: str = ""
    # Tunnels between Calico's hosts that may be in use, for which Felix has other rules: IPIP, and UDP ports of VXLAN
    # and of WireGuard.
    has_ipip: bool = True
    vxlan_ports: Tuple[int, ...] = ()
    # The versions of IP that VXLAN may be used over.
    vxlan_versions: Tuple[int, ...] = (4, 6)
    wireguard_ports: Tuple[int, ...] = ()
    # The addresses of the hosts that may use the first two; None when they are not known.
    tunnel_hosts: Optional[FrozenSet[Address]] = None
    # Interfaces that it passes over: names, or patterns between slashes.
    excluded: Tuple[str, ...] = ()
    # IPTABLES or NFTABLES; "" when that is unknown.
    dataplane: str = IPTABLES
    # (major, minor, patch) of Calico; None when it is not known.
    version: Optional[Tuple[int, int, int]] = None
    # What a reason says of a version that was not measured; "" of one that was.
    note: str = ""
    # Whether a failsafe may be for a network only.
    has_failsafe_nets: bool = True
    # Whether forwarded traffic has policies of its own (applyOnForward); else the normal ones count for it.
    has_forward_policies: bool = True
    # What becomes of the host's own interface whose name begins as a workload's: it drops all traffic there unless it
    # knows the workload, or it removes the interface's addresses.
    denies_unknown_workloads: bool = False
    removes_addresses: bool = True


def parse_failsafe_list(text: str) -> Tuple[Failsafe, ...]:
    return tuple(
        [Failsafe(FAILSAFE_PROTOCOLS[protocol], int(port)) for protocol, port in re.findall("([a-z]+):([0-9]+)", text)]
    )


# Of Calico 2.3 to 2.6.
_INBOUND_V1 = parse_failsafe_list("tcp:22 udp:68")
_OUTBOUND_V1 = parse_failsafe_list("tcp:2379 tcp:2380 tcp:4001 tcp:7001 udp:53 udp:67")

_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:[^0-9].*)?", re.DOTALL | re.ASCII)


def parse_version(text: str) -> Optional[Tuple[int, int, int]]:
    """(major, minor, patch) of "v3.32.1"; None for an invalid version."""
    found = _VERSION.fullmatch(text)
    return (int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)) if found else None


def is_excluded(name: str, excluded: Iterable[str]) -> bool:
    """Whether Felix of Calico v3 passes over an interface, by the names and patterns of interfaceExclude."""
    return any(
        re.search(each[1:-1], name) if len(each) > 1 and each[0] == each[-1] == "/" else each == name
        for each in excluded
    )


# --- Calico v1 ---

_FELIX_V1 = Felix(
    has_failsafe_nets=False, has_forward_policies=False, denies_unknown_workloads=True, removes_addresses=False
)

# What each value may be, in lower case; anything else stops Felix ("die-on-fail").
_CHOICES = {
    "chaininsertmode": ("insert", "append"),
    "iptablesfilterallowaction": ("accept", "return"),
    "iptablesmangleallowaction": ("accept", "return"),
    "defaultendpointtohostaction": ("drop", "return", "accept"),
}
INTERFACES = re.compile(r"[a-zA-Z0-9_-]{1,15}(?:,[a-zA-Z0-9_-]{1,15})*")
TRUE, FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")


def felix_v1(snapshot: PolicySnapshot, node: str) -> Felix:
    """The settings that Felix 2.6 takes from /calico/v1/host/<node>/config and, behind that, /calico/v1/config."""
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
    """The values that count, by their names in lower case. All of them are read, those that do not count too."""
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
                raise ValueError(where + " is there twice, in another spelling")
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
        problem = "Calico is {0}, of which only 2.3 to 2.6 are known".format(settings["calicoversion"])
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
    return "{0} is RETURN, so other iptables rules are evaluated, too".format(names[0]) if names else ""


def _failsafes_v1(settings: Mapping[str, str], key: str, default: Tuple[Failsafe, ...]) -> Tuple[Failsafe, ...]:
    if key not in settings:
        return default
    value = settings[key]
    return () if value.lower() == "none" else _ports_v1(value, key)


def _ports_v1(value: str, where: str) -> Tuple[Failsafe, ...]:
    """Raises ValueError for what Felix 2.6 refuses. Items of nothing are passed over."""
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
    """Felix takes the default for what it cannot read, and false for "none"."""
    value = settings.get(key, "").lower()
    if value == "none" or value in FALSE:
        return False
    return True if value in TRUE else default
