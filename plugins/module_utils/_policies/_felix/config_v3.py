# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a Felix of Calico v3, from its FelixConfigurations and the ClusterInformation.

projectcalico/calico v3.32, felix/config: config_params.go, param_types.go; measured with v3.32.1. A field of a
wrong type, and a value that Felix cannot read, stop it: what it did last stays, and on a fresh host nothing is policed.
"""

from __future__ import annotations

import re
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Set, Tuple

from ..._core import go_json, go_types
from ..._core.errors import shown
from ..._datastore.snapshot import PolicySnapshot
from ..._resources.selector import GRAMMAR_V3, SelectorError, parse
from ..connection import TCP, UDP, Address, Net, parse_address, parse_net
from ..model import IPTABLES, NFTABLES
from ..objects_v3 import CLUSTER_INFORMATION, FELIX_CONFIGURATION, IP_POOL, NODE, SETTINGS, read
from .config import FALSE, TRUE, Failsafe, Felix, parse_failsafe_list, parse_version, returns
from .values import excluded_by, why_invalid

Version = Optional[Tuple[int, int, int]]
# What the evaluation was measured with.
MEASURED = (3, 32, 1)

_INBOUND = parse_failsafe_list("tcp:22 udp:68 tcp:179 tcp:2379 tcp:2380 tcp:6666 tcp:6667")
_OUTBOUND = parse_failsafe_list("udp:53 udp:67 tcp:179 tcp:2379 tcp:2380 tcp:6666 tcp:6667")
# What later versions have besides, in either direction: felix' tags v3.14.1 and v3.15.0.
_LATER = (((3, 14, 1), Failsafe(TCP, 6443)), ((3, 15, 0), Failsafe(TCP, 5473)))
# Before, Felix took no network in a list of failsafes, or dropped it (felix, config/param_types.go).
_NETS_SINCE = (3, 17, 0)
# Since then, Felix may choose nftables by itself; before v3.29, it has none.
_AUTO_SINCE, _NFTABLES_SINCE = (3, 32, 0), (3, 29, 0)

_FAILSAFES = ("failsafeInboundHostPorts", "failsafeOutboundHostPorts")
_ALLOW_ACTIONS = (
    "iptablesFilterAllowAction",
    "iptablesMangleAllowAction",
    "nftablesFilterAllowAction",
    "nftablesMangleAllowAction",
)
_ANNOTATION = "config.projectcalico.org/"
# Settings that annotations call otherwise than the spec ("confignamev1").
_ANNOTATED = {"ipinipenabled": "ipipenabled", "ipipenabled": "", "externalnodescidrlist": "externalnodeslist"}
# Settings that decide here, as Felix spells them.
_SPELLED = frozenset(
    """
    BPFEnabled ChainInsertMode DefaultEndpointToHostAction DisableConntrackInvalidCheck FailsafeInboundHostPorts
    FailsafeOutboundHostPorts InterfaceExclude InterfacePrefix IpInIpEnabled Ipv6Support IptablesFilterAllowAction
    IptablesFilterDenyAction IptablesMangleAllowAction NFTablesMode NftablesFilterAllowAction NftablesFilterDenyAction
    NftablesMangleAllowAction UseInternalDataplaneDriver VXLANEnabled VXLANPort WireguardEnabled WireguardEnabledV6
    WireguardListeningPort WireguardListeningPortV6
    """.split()
)
_STOPS = "{0}. Felix stops or does not start, keeps its last rules, and a host where it never ran stays open"


class _Stopped(ValueError):
    """What makes Felix stop, or wait."""


def felix_v3(snapshot: PolicySnapshot, node: str, dataplane: str = "") -> Felix:
    """The settings of the FelixConfigurations node.<node>, of one that selects the node, and of default.

    `dataplane` is what is known of the host, and comes before these.
    """
    try:
        return _felix(snapshot, _settings(snapshot, node), _version(snapshot.state), dataplane)
    except ValueError as exc:
        note = _note(calico_version(snapshot))
        return Felix(problem=str(exc), is_stopped=isinstance(exc, _Stopped), dataplane="", note=note)


def calico_version(snapshot: PolicySnapshot) -> Version:
    """What Calico v3's ClusterInformation tells; None when it is not known."""
    try:
        return _version(snapshot.state)
    except ValueError:
        return None


def doubt_of_nets(where: str, version: Version) -> str:
    """Why a failsafe of Calico v3 for a network may not be one; "" when it is."""
    if version is None or version < _NETS_SINCE:
        return "whether Calico knows networks in {0} depends on its version".format(where)
    return ""


def _version(state: Optional[str]) -> Version:
    """Raises ValueError when Felix does nothing with what is stored."""
    if state is None:
        raise _Stopped("the ClusterInformation is missing: Calico was never started on this datastore")
    try:
        spec = read(CLUSTER_INFORMATION, state)["spec"]
    except go_json.Ambiguous:
        raise
    except ValueError as exc:
        raise _Stopped("Felix cannot read the ClusterInformation, and waits: {0}".format(exc)) from exc
    if spec.get("datastoreReady") is not True:
        raise _Stopped("datastoreReady of the ClusterInformation is not true, and Felix waits until it is")
    return parse_version(spec.get("calicoVersion", ""))


# --- Which values count ---


def _settings(snapshot: PolicySnapshot, node: str) -> Dict[str, Any]:
    """The settings that count, by their names in lower case: texts, and lists of failsafes."""
    found: Dict[str, Any] = {}
    for name in ("default", *_selecting(snapshot, node), "node." + node):
        if (name, "") not in snapshot.config:
            continue
        where = "the FelixConfiguration " + name
        try:
            fields = read(FELIX_CONFIGURATION, snapshot.config[name, ""])
        except go_json.Ambiguous:
            raise
        except ValueError as exc:
            raise _Stopped(_STOPS.format("Felix cannot read {0}: {1}".format(where, exc))) from exc
        # The spelling that a message has, and the value.
        of_object = {key.lower(): (key, _text(item)) for key, item in fields["spec"].items() if item is not None}
        # They come before the same settings in the spec.
        of_object.update(_annotated(fields["metadata"].get("annotations", {}), of_object, where))
        for key, (name, item) in of_object.items():
            _check(key, item, "the setting {0} of {1}".format(name, where))
            found[key] = item
    return found


def _annotated(
    annotations: Mapping[str, str], of_spec: Mapping[str, Tuple[str, Any]], where: str
) -> Dict[str, Tuple[str, Any]]:
    """The settings in annotations, by their names in lower case. Raises ValueError where Felix may read others."""
    found: Dict[str, Tuple[str, Any]] = {}
    for annotation, text in annotations.items():
        if not annotation.startswith(_ANNOTATION):
            continue
        name = annotation[len(_ANNOTATION) :]
        key = _ANNOTATED.get(name.lower(), name.lower())
        if key in SETTINGS and not text:
            raise ValueError("the annotation {0} of {1} is empty: remove it".format(annotation, where))
        # Felix reads another spelling as a setting of its own, and one of the two wins by chance.
        others = [each for each in (found.get(key), of_spec.get(key)) if each and each[1] != text]
        if key in SETTINGS and others and (name not in _SPELLED or key in found):
            text = "{0} sets {1} in two spellings, and which of them applies is undefined; remove one"
            raise ValueError(text.format(where, others[0][0]))
        found[key] = (name, text)
    return found


def _text(item: Any) -> Any:
    if isinstance(item, bool):
        return "true" if item else "false"
    return item.digits if isinstance(item, go_types.Number) else str(item) if isinstance(item, int) else item


def _selecting(snapshot: PolicySnapshot, node: str) -> List[str]:
    """The name of the FelixConfiguration whose nodeSelector selects the node: of several, the oldest one."""
    found = []
    for (name, _empty), value in snapshot.config.items():
        may_select = "nodeselector" in value.lower() or "\\u" in value
        if name == "default" or name.startswith("node.") or not may_select:
            continue
        try:
            fields = read(FELIX_CONFIGURATION, value)
            selector = fields["spec"].get("nodeSelector", "")
            labels = _read_node_labels(snapshot, node) if selector else None
            if labels is not None and parse(selector, GRAMMAR_V3).matches(labels):
                found.append((fields["metadata"].get("creationTimestamp", ""), name))
        except (ValueError, SelectorError) as exc:
            if isinstance(exc, SelectorError) and not exc.is_limit:
                # Felix passes over it.
                continue
            text = "the FelixConfiguration {0} has a nodeSelector, and it is unknown whether it is this node's: {1}"
            raise ValueError(text.format(name, exc)) from exc
    return [min(found)[1]] if found else []


def _read_node_labels(snapshot: PolicySnapshot, node: str) -> Optional[Mapping[str, str]]:
    """The labels of a Node object; None where there is none. Raises ValueError when nobody has looked."""
    if snapshot.nodes is None:
        raise ValueError("the Node objects were not read")
    if node not in snapshot.nodes:
        return None
    labels: Mapping[str, str] = read(NODE, snapshot.nodes[node])["metadata"].get("labels", {})
    return labels


def _check(key: str, value: Any, where: str) -> None:
    """Raise ValueError for what stops Felix, wherever it stands."""
    try:
        problem = why_invalid(key, value)
    except ValueError as exc:
        raise ValueError("{0}: {1}".format(where, exc)) from exc
    if problem:
        raise _Stopped(_STOPS.format("{0} {1}".format(where, problem)))
    if key in [option.lower() for option in _FAILSAFES]:
        for protocol, _port, net in _ports(value, where):
            _check_failsafe(protocol, net, where)


def _check_failsafe(protocol: str, net: str, where: str) -> None:
    if protocol.lower() not in ("tcp", "udp"):
        problem = "{0} has the protocol {1}, not tcp or udp".format(where, shown(protocol))
        raise _Stopped(_STOPS.format(problem))
    try:
        # Felix cannot read its own spelling of IPv4 addresses that are written as IPv6 addresses.
        is_net = not net or parse_net(net)[0] == (6 if ":" in net else 4)
    except ValueError:
        is_net = False
    if not is_net:
        raise _Stopped(_STOPS.format("{0} has an invalid network: {1}".format(where, shown(net))))


# --- What they mean ---


def _felix(snapshot: PolicySnapshot, settings: Mapping[str, Any], version: Version, dataplane: str) -> Felix:
    if _flag(settings, "bpfenabled", False):
        raise ValueError("bpfEnabled is true, and only Felix's iptables and nftables dataplanes can be evaluated")
    if settings.get("chaininsertmode", "").lower() == "append":
        raise ValueError("chainInsertMode is append, so other iptables rules are evaluated before Calico's")
    if not _flag(settings, "useinternaldataplanedriver", True):
        raise ValueError("useInternalDataplaneDriver is false, so a program other than Felix programs the host")
    if version is not None and version[0] != 3:
        raise ValueError("Calico is {0}, of which only 3 is known".format(".".join(map(str, version))))
    dataplane = dataplane or _dataplane(settings, version)
    if settings.get("iptablesfilterdenyaction", "").lower() == "reject" and dataplane != NFTABLES:
        problem = "iptablesFilterDenyAction is Reject, which the kernel refuses in the table raw"
        raise _Stopped(_STOPS.format(problem))
    if settings.get("nftablesfilterdenyaction", "").lower() == "reject" and dataplane != IPTABLES:
        raise ValueError("nftablesFilterDenyAction is Reject, which was not measured with nftables")
    returning = [name for name in _ALLOW_ACTIONS if settings.get(name.lower(), "").lower() == "return"]
    may_have = _tunnels(snapshot, settings)
    # Over IPv6, only the pools decide (felix, calc/encapsulation_resolver.go).
    vxlan_versions = [
        version
        for version, has_vxlan in ((4, may_have["vxlanenabled"]), (6, _has_pool(snapshot, "vxlanMode", 6)))
        if has_vxlan
    ]
    return Felix(
        inbound=_failsafes(settings, _FAILSAFES[0], _default(_INBOUND, version), version),
        outbound=_failsafes(settings, _FAILSAFES[1], _default(_OUTBOUND, version), version),
        workload_prefixes=tuple((settings.get("interfaceprefix") or "cali").split(",")),
        polices_ipv6=_flag(settings, "ipv6support", True),
        drops_invalid=not _flag(settings, "disableconntrackinvalidcheck", False),
        allow_doubt=returns(returning),
        has_ipip=may_have["ipipenabled"],
        vxlan_ports=_read_ports(settings, dict(may_have, vxlanenabled=bool(vxlan_versions)), "vxlanPort"),
        vxlan_versions=tuple(vxlan_versions),
        wireguard_ports=_read_ports(settings, may_have, "wireguardListeningPort", "wireguardListeningPortV6"),
        tunnel_hosts=_tunnel_hosts(snapshot, settings),
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
    """ "" where Felix chooses it by what it finds on the host, or where that depends on the version."""
    mode = settings.get("nftablesmode", "").lower()
    if mode in ("enabled", "disabled"):
        return NFTABLES if mode == "enabled" else IPTABLES
    if version is not None and (version < _NFTABLES_SINCE or not mode and version < _AUTO_SINCE):
        return IPTABLES
    return ""


def _flag(settings: Mapping[str, Any], key: str, default: bool) -> bool:
    value = settings.get(key, "").lower()
    return True if value in TRUE else False if value in (*FALSE, "none") else default


def _tunnels(snapshot: PolicySnapshot, settings: Mapping[str, Any]) -> Dict[str, bool]:
    """The tunnels that may be in use: settings, or else the IP pools, tell."""
    may_have = {key: _flag(settings, key, False) for key in _ENABLED}
    for key, mode in (("vxlanenabled", "vxlanMode"), ("ipipenabled", "ipipMode")):
        if settings.get(key, "").lower() not in TRUE + FALSE:
            may_have[key] = _has_pool(snapshot, mode, 4)
    return may_have


def _read_ports(settings: Mapping[str, Any], may_have: Mapping[str, bool], *options: str) -> Tuple[int, ...]:
    found = [settings.get(option.lower(), _TUNNELS[option][0]) for option in options if may_have[_TUNNELS[option][1]]]
    return tuple([int(port) for port in found if port.isdigit()])


# The default port, and what enables it.
_TUNNELS = {
    "vxlanPort": ("4789", "vxlanenabled"),
    "wireguardListeningPort": ("51820", "wireguardenabled"),
    "wireguardListeningPortV6": ("51821", "wireguardenabledv6"),
}
_ENABLED = ("vxlanenabled", "ipipenabled", "wireguardenabled", "wireguardenabledv6")


def _tunnel_hosts(snapshot: PolicySnapshot, settings: Mapping[str, Any]) -> Optional[FrozenSet[Address]]:
    """The addresses of all nodes, by any of which they may send packets of tunnels.

    None when they are not known, or when nobody has looked whether there are tunnels.
    """
    if (
        snapshot.nodes is None
        or snapshot.ip_pools is None
        or settings.get("externalnodeslist")
        or settings.get("externalnodescidrlist")
    ):
        return None
    found: Set[Address] = set()
    for value in snapshot.nodes.values():
        try:
            spec = read(NODE, value)["spec"]
            texts = [each.get("address", "") for each in spec.get("addresses", ())]
            texts += [text for each in spec.get("interfaces", ()) for text in each.get("addresses", ())]
            texts += [spec.get("bgp", {}).get(key, "") for key in ("ipv4Address", "ipv6Address")]
            found.update(parse_address(text.partition("/")[0]) for text in texts if text)
        except ValueError:
            return None
    return frozenset(found)


def _has_pool(snapshot: PolicySnapshot, mode: str, version: int) -> bool:
    """Whether an IP pool of the version of IP has the mode, or may have it."""
    if snapshot.ip_pools is None:
        return True
    for value in snapshot.ip_pools:
        try:
            spec = read(IP_POOL, value)["spec"]
        except ValueError:
            continue
        if spec.get(mode, "") not in ("", "Never") and (":" in spec.get("cidr", "")) == (version == 6):
            return True
    return False


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
    for protocol, port, text in _ports(settings[option.lower()], option):
        net: Optional[Net] = parse_net(text) if text else None
        doubt = doubt_of_nets(option, version) if net else ""
        # Port 0 is none.
        if port:
            found.append(Failsafe({"tcp": TCP, "udp": UDP}[protocol.lower()], port, net, doubt))
    return tuple(found)


_ITEM = re.compile(r"(?:([^:]*):)?(?:(?:\[([^\[\]]*)\]|([^:\[\]]*)):)?([0-9]{1,9})", re.ASCII)


def _ports(value: Any, where: str) -> List[Tuple[str, int, str]]:
    """Protocol, port and network of each: from a list of the spec, or the text of an annotation."""
    if not isinstance(value, str):
        return [
            (each.get("protocol", ""), int(each.get("port", go_types.ZERO).digits), each.get("net", ""))
            for each in value
        ]
    found = []
    for item in [] if value.lower() == "none" else value.split(","):
        match = _ITEM.fullmatch(item.strip())
        if item.strip() and (not match or int(match.group(4)) > 65535):
            raise _Stopped(_STOPS.format("{0} has an invalid port: {1}".format(where, shown(item))))
        if match:
            protocol, net_v6, net, port = match.groups()
            found.append(("tcp" if protocol is None else protocol, int(port), net_v6 or net or ""))
    return found
