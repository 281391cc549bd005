# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a Felix of Calico v3, from its FelixConfigurations and the ClusterInformation.

projectcalico/calico v3.32, felix/config: config_params.go, param_types.go; measured with v3.32.1. Felix
stops on a field of a wrong type and on an unreadable value: it keeps its last rules, and a fresh host has none.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple

from ..._core import go_json
from ..._core.ip import Net, parse_net
from ..._core.protocols import FAILSAFE_PROTOCOLS, TCP
from ..._datastore._values.calico_version import parse_version
from ..._datastore.snapshot import PolicySnapshot
from ..._resources._specs.validation_felix_v3 import FAILSAFE_SETTINGS
from ..model import IPTABLES, NFTABLES
from ..objects_v3 import CLUSTER_INFORMATION, read
from .config import Failsafe, Felix, parse_failsafe_list, returns
from .settings_v3 import STOPS, Stopped, parse_failsafe_ports, read_settings
from .tunnels_v3 import find_tunnel_hosts, find_tunnels, has_pool, read_flag, read_tunnel_ports
from .values import excluded_by

Version = Optional[Tuple[int, int, int]]
# The version that the evaluation was measured with.
MEASURED = (3, 32, 1)

_INBOUND = parse_failsafe_list("tcp:22 udp:68 tcp:179 tcp:2379 tcp:2380 tcp:6666 tcp:6667")
_OUTBOUND = parse_failsafe_list("udp:53 udp:67 tcp:179 tcp:2379 tcp:2380 tcp:6666 tcp:6667")
# Later versions add these, in both directions: felix' tags v3.14.1 and v3.15.0.
_LATER = (((3, 14, 1), Failsafe(TCP, 6443)), ((3, 15, 0), Failsafe(TCP, 5473)))
# Before, Felix rejected or dropped networks in a list of failsafes (felix, config/param_types.go).
_NETS_SINCE = (3, 17, 0)
# Since v3.32, Felix may choose nftables by itself; before v3.29, it does not support nftables.
_AUTO_SINCE, _NFTABLES_SINCE = (3, 32, 0), (3, 29, 0)

_ALLOW_ACTIONS = (
    "iptablesFilterAllowAction",
    "iptablesMangleAllowAction",
    "nftablesFilterAllowAction",
    "nftablesMangleAllowAction",
)


def felix_v3(snapshot: PolicySnapshot, node: str, dataplane: str = "") -> Felix:
    """The settings of the FelixConfigurations node.<node>, of one that selects the node, and of default.

    `dataplane` is the known dataplane of the host, and overrides the settings.
    """
    try:
        return _felix(snapshot, read_settings(snapshot, node), _version(snapshot), dataplane)
    except ValueError as exc:
        note = _note(calico_version(snapshot))
        return Felix(problem=str(exc), is_stopped=isinstance(exc, Stopped), dataplane="", note=note)


def calico_version(snapshot: PolicySnapshot) -> Version:
    """The version of Calico v3; None if unknown."""
    try:
        return _version(snapshot)
    except ValueError:
        return None


def explain_net_doubt(where: str, version: Version) -> str:
    """Why Calico v3 may ignore a failsafe for a network; "" if it does not."""
    if version is None or version < _NETS_SINCE:
        return "whether Calico knows networks in {0} depends on its version".format(where)
    return ""


def _version(snapshot: PolicySnapshot) -> Version:
    """The given version of Calico, else that of the ClusterInformation; None if unknown.

    Raises ValueError if Felix does not use the stored data.
    """
    if snapshot.state is None:
        raise Stopped("the ClusterInformation is missing: Calico was never started on this datastore")
    try:
        spec = read(CLUSTER_INFORMATION, snapshot.state)["spec"]
    except go_json.Ambiguous:
        raise
    except ValueError as exc:
        raise Stopped("Felix cannot read the ClusterInformation, and waits: {0}".format(exc)) from exc
    if spec.get("datastoreReady") is not True:
        raise Stopped("datastoreReady of the ClusterInformation is not true, and Felix waits until it is")
    return parse_version(snapshot.given_version or spec.get("calicoVersion", ""))


def _felix(snapshot: PolicySnapshot, settings: Mapping[str, Any], version: Version, dataplane: str) -> Felix:
    if read_flag(settings, "bpfenabled", False):
        raise ValueError("bpfEnabled is true, and only Felix's iptables and nftables dataplanes can be evaluated")
    if settings.get("chaininsertmode", "").lower() == "append":
        raise ValueError("chainInsertMode is append, so other iptables rules are evaluated before Calico's")
    if not read_flag(settings, "useinternaldataplanedriver", True):
        raise ValueError("useInternalDataplaneDriver is false, so a program other than Felix programs the host")
    if version is not None and version[0] != 3:
        raise ValueError("Calico is {0}, and only version 3 can be evaluated".format(".".join(map(str, version))))
    dataplane = dataplane or _dataplane(settings, version)
    if settings.get("iptablesfilterdenyaction", "").lower() == "reject" and dataplane != NFTABLES:
        problem = "iptablesFilterDenyAction is Reject, which the kernel rejects in the table raw"
        raise Stopped(STOPS.format(problem))
    if settings.get("nftablesfilterdenyaction", "").lower() == "reject" and dataplane != IPTABLES:
        raise ValueError("nftablesFilterDenyAction is Reject, which was not measured with nftables")
    returning = [name for name in _ALLOW_ACTIONS if settings.get(name.lower(), "").lower() == "return"]
    may_have = find_tunnels(snapshot, settings)
    # Over IPv6, only the pools decide (felix, calc/encapsulation_resolver.go).
    vxlan_versions = [
        version
        for version, has_vxlan in ((4, may_have["vxlanenabled"]), (6, has_pool(snapshot, "vxlanMode", 6)))
        if has_vxlan
    ]
    return Felix(
        inbound=_failsafes(settings, FAILSAFE_SETTINGS[0], _default(_INBOUND, version), version),
        outbound=_failsafes(settings, FAILSAFE_SETTINGS[1], _default(_OUTBOUND, version), version),
        workload_prefixes=tuple((settings.get("interfaceprefix") or "cali").split(",")),
        polices_ipv6=read_flag(settings, "ipv6support", True),
        drops_invalid=not read_flag(settings, "disableconntrackinvalidcheck", False),
        allow_doubt=returns(returning),
        has_ipip=may_have["ipipenabled"],
        vxlan_ports=read_tunnel_ports(settings, dict(may_have, vxlanenabled=bool(vxlan_versions)), "vxlanPort"),
        vxlan_versions=tuple(vxlan_versions),
        wireguard_ports=read_tunnel_ports(settings, may_have, "wireguardListeningPort", "wireguardListeningPortV6"),
        tunnel_hosts=find_tunnel_hosts(snapshot, settings),
        excluded=tuple(excluded_by(settings.get("interfaceexclude", ""))),
        dataplane=dataplane,
        version=version,
        note=_note(version),
    )


def _note(version: Version) -> str:
    if version in (None, MEASURED):
        return ""
    return "measured with Calico v{0}, not with v{1}".format(
        *[".".join(map(str, each)) for each in (MEASURED, version)]
    )


def _dataplane(settings: Mapping[str, Any], version: Version) -> str:
    """The dataplane; "" if Felix chooses it by the state of the host, or if the version decides."""
    mode = settings.get("nftablesmode", "").lower()
    if mode in ("enabled", "disabled"):
        return NFTABLES if mode == "enabled" else IPTABLES
    if version is not None and (version < _NFTABLES_SINCE or not mode and version < _AUTO_SINCE):
        return IPTABLES
    return ""


# --- Failsafes ---


def _default(first: Tuple[Failsafe, ...], version: Version) -> Tuple[Failsafe, ...]:
    doubt = "" if version else "the version of Calico is unknown, and it decides whether {0} is a failsafe"
    later = [
        failsafe._replace(doubt=doubt.format(failsafe))
        for since, failsafe in _LATER
        if version is None or version >= since
    ]
    return first + tuple(later)


def _failsafes(
    settings: Mapping[str, Any], option: str, default: Tuple[Failsafe, ...], version: Version
) -> Tuple[Failsafe, ...]:
    if settings.get(option.lower(), "") == "":
        return default
    found = []
    for protocol, port, text in parse_failsafe_ports(settings[option.lower()], option):
        net: Optional[Net] = parse_net(text) if text else None
        doubt = explain_net_doubt(option, version) if net else ""
        # Port 0 is no failsafe.
        if port:
            found.append(Failsafe(FAILSAFE_PROTOCOLS[protocol.lower()], port, net, doubt))
    return tuple(found)
