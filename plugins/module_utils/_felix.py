# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Felix' settings that decide on traffic: failsafes, and what changes their meaning.

felix 2.6.8 and projectcalico/calico v3.32, felix/config: config_params.go, param_types.go. Of the places that a setting
can come from, the datastore is the weakest: the environment of Felix and its file felix.cfg come before it, and
they cannot be read from here. A task can state the failsafe ports (_failsafes.py).
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from . import _json
from ._datastore._documents import Documents
from ._errors import shown
from ._traffic import PROTOCOLS, TCP, UDP, Net, net_of


class Failsafe(NamedTuple):
    """A port that is always open; in v3 maybe only for a network at the other end."""

    protocol: int
    port: int
    net: Optional[Net] = None
    # Why it is not known to be one; "" when it is.
    doubt: str = ""

    def __str__(self) -> str:
        names = {number: name for name, number in PROTOCOLS.items()}
        return "{0}:{1}".format(names[self.protocol], self.port)


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
    # UDP ports of tunnels between Calico's hosts, for which Felix has other rules where they are in use.
    tunnel_ports: Tuple[int, ...] = ()
    # (major, minor, patch) of Calico; None when it is not known.
    version: Optional[Tuple[int, int, int]] = None


def _list_of(text: str) -> Tuple[Failsafe, ...]:
    return tuple([Failsafe(PROTOCOLS[protocol], int(port)) for protocol, port in re.findall("([a-z]+):([0-9]+)", text)])


# Of Calico 2.3 to 2.6.
_INBOUND_V1 = _list_of("tcp:22 udp:68")
_OUTBOUND_V1 = _list_of("tcp:2379 tcp:2380 tcp:4001 tcp:7001 udp:53 udp:67")

_INBOUND_V3 = _list_of("tcp:22 udp:68 tcp:179 tcp:2379 tcp:2380 tcp:6666 tcp:6667")
_OUTBOUND_V3 = _list_of("udp:53 udp:67 tcp:179 tcp:2379 tcp:2380 tcp:6666 tcp:6667")
# What later versions have besides, in either direction: felix' tags v3.14.1 and v3.15.0.
_LATER = (((3, 14, 1), Failsafe(TCP, 6443)), ((3, 15, 0), Failsafe(TCP, 5473)))

_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:[^0-9].*)?", re.DOTALL | re.ASCII)


def version_of(text: str) -> Optional[Tuple[int, int, int]]:
    """(major, minor, patch) of "v3.32.1"; None for what is no version."""
    found = _VERSION.fullmatch(text)
    return (int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)) if found else None


# --- Calico v1 ---

# What each value may be, in lower case; anything else stops Felix ("die-on-fail").
_CHOICES = {
    "chaininsertmode": ("insert", "append"),
    "iptablesfilterallowaction": ("accept", "return"),
    "iptablesmangleallowaction": ("accept", "return"),
    "defaultendpointtohostaction": ("drop", "return", "accept"),
}
_INTERFACES = re.compile(r"[a-zA-Z0-9_-]{1,15}(?:,[a-zA-Z0-9_-]{1,15})*")
_TRUE, _FALSE = ("true", "1", "yes", "y", "t"), ("false", "0", "no", "n", "f")


def felix_v1(documents: Documents, node: str) -> Felix:
    """The settings that Felix 2.6 takes from /calico/v1/host/<node>/config and, behind that, /calico/v1/config."""
    if documents.state != "true":
        found = "missing" if documents.state is None else shown(documents.state)
        problem = "/calico/v1/Ready is {0}, and Felix waits until it is true".format(found)
        return Felix(problem=problem, is_stopped=True)
    try:
        return _felix_v1(_settings_v1(documents, node))
    except ValueError as exc:
        problem = "{0}, on which Felix stops or does not start: what it did last stays".format(exc)
        return Felix(problem=problem, is_stopped=True)


def _settings_v1(documents: Documents, node: str) -> Dict[str, str]:
    """The values that count, by their names in lower case. All of them are read, those that do not count too."""
    found: Dict[str, str] = {}
    for level in ("", node):
        names: Dict[str, str] = {}
        for (place, name), value in documents.config.items():
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
    elif key == "interfaceprefix" and (value.lower() == "none" or not _INTERFACES.fullmatch(value)):
        raise ValueError("{0} cannot be {1}".format(where, shown(value)))


def _felix_v1(settings: Mapping[str, str]) -> Felix:
    version = version_of(settings.get("calicoversion", ""))
    if version and not (2, 3) <= version[:2] <= (2, 6):
        return Felix(problem="Calico is {0}, of which only 2.3 to 2.6 are known".format(settings["calicoversion"]))
    if settings.get("chaininsertmode", "").lower() == "append":
        return Felix(problem="ChainInsertMode is append, so other rules of iptables are asked before Calico's")
    returns = [
        name
        for name in ("IptablesFilterAllowAction", "IptablesMangleAllowAction")
        if settings.get(name.lower(), "").lower() == "return"
    ]
    return Felix(
        inbound=_failsafes_v1(settings, "failsafeinboundhostports", _INBOUND_V1),
        outbound=_failsafes_v1(settings, "failsafeoutboundhostports", _OUTBOUND_V1),
        workload_prefixes=tuple(settings.get("interfaceprefix", "cali").split(",")),
        polices_ipv6=_flag_v1(settings, "ipv6support", True),
        drops_invalid=not _flag_v1(settings, "disableconntrackinvalidcheck", False),
        allow_doubt=_returns(returns),
        version=version,
    )


def _returns(names: List[str]) -> str:
    return "{0} is RETURN, so other rules of iptables are asked, too".format(names[0]) if names else ""


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
            raise ValueError("{0} has what is no port: {1}".format(where, shown(item)))
        if protocol.lower() not in ("tcp", "udp"):
            raise ValueError("{0} has an unknown protocol: {1}".format(where, shown(item)))
        found.append(Failsafe(PROTOCOLS[protocol.lower()], int(port)))
    return tuple(found)


def _flag_v1(settings: Mapping[str, str], key: str, default: bool) -> bool:
    """Felix takes the default for what it cannot read, and false for "none"."""
    value = settings.get(key, "").lower()
    if value == "none" or value in _FALSE:
        return False
    return True if value in _TRUE else default


# --- Calico v3 ---


class _Stopped(ValueError):
    """What makes Felix stop, or wait."""


def felix_v3(documents: Documents, node: str) -> Felix:
    """The settings of the FelixConfigurations node.<node> and, behind that, default."""
    try:
        return _felix_v3(_settings_v3(documents, node), _version_v3(documents.state))
    except ValueError as exc:
        return Felix(problem=str(exc), is_stopped=isinstance(exc, _Stopped))


def calico_version(documents: Documents) -> Optional[Tuple[int, int, int]]:
    """What Calico v3's ClusterInformation tells; None when it is not known."""
    try:
        return _version_v3(documents.state)
    except ValueError:
        return None


def _version_v3(state: Optional[str]) -> Optional[Tuple[int, int, int]]:
    """Raises ValueError when Felix does nothing with what is stored."""
    if state is None:
        raise _Stopped("there is no ClusterInformation: no Calico has been started on this datastore")
    spec = _json.struct(_json.struct(_json.load(state), "the ClusterInformation").get("spec"), "its spec")
    if spec.get("datastoreready") is not True:
        raise _Stopped("datastoreReady of the ClusterInformation is not true, and Felix waits until it is")
    return version_of(_json.text(spec, "calicoversion"))


def _settings_v3(documents: Documents, node: str) -> Dict[str, Any]:
    """The settings that count, by their names in lower case."""
    found: Dict[str, Any] = {}
    for name in ("default", "node." + node):
        if (name, "") not in documents.config:
            continue
        where = "the FelixConfiguration " + name
        fields = _json.struct(_json.load(documents.config[name, ""]), where)
        annotations = _json.struct(_json.struct(fields.get("metadata"), where).get("annotations"), where)
        if any(key.startswith("config.projectcalico.org/") for key in annotations):
            raise ValueError(where + " has settings in its annotations, which this collection does not read")
        found.update(_json.struct(fields.get("spec"), where))
    for (name, _empty), value in documents.config.items():
        if name != "default" and not name.startswith("node.") and "nodeselector" in value.lower():
            raise ValueError("the FelixConfiguration {0} has a nodeSelector: maybe it is this node's".format(name))
    return found


def _felix_v3(settings: Mapping[str, Any], version: Optional[Tuple[int, int, int]]) -> Felix:
    if _json.flag(settings, "bpfenabled"):
        raise ValueError("bpfEnabled is true, and of Felix' dataplanes only those of iptables and nftables are known")
    if _json.text(settings, "chaininsertmode").lower() == "append":
        raise ValueError("chainInsertMode is append, so other rules of iptables are asked before Calico's")
    if version is not None and version[0] != 3:
        raise ValueError("Calico is {0}, of which only 3 is known".format(".".join(map(str, version))))
    names = ["iptablesFilterAllowAction", "iptablesMangleAllowAction"]
    names += ["nftablesFilterAllowAction", "nftablesMangleAllowAction"]
    prefix = _json.text(settings, "interfaceprefix")
    if prefix and not _INTERFACES.fullmatch(prefix):
        raise _Stopped("interfacePrefix cannot be {0}".format(shown(prefix)))
    if settings.get("ipv6support", True) is not True:
        raise ValueError("ipv6Support is not true, of which the meaning differs between Calico's versions")
    return Felix(
        inbound=_failsafes_v3(settings, "failsafeInboundHostPorts", _default_v3(_INBOUND_V3, version), version),
        outbound=_failsafes_v3(settings, "failsafeOutboundHostPorts", _default_v3(_OUTBOUND_V3, version), version),
        workload_prefixes=tuple((prefix or "cali").split(",")),
        drops_invalid=not _json.flag(settings, "disableconntrackinvalidcheck"),
        allow_doubt=_returns([name for name in names if _json.text(settings, name.lower()).lower() == "return"]),
        tunnel_ports=tuple([_json.integer(settings.get(key, port), key, 0, 65535) for key, port in _TUNNELS.items()]),
        version=version,
    )


# VXLAN, and WireGuard over IPv4 and IPv6.
_TUNNELS = {"vxlanport": 4789, "wireguardlisteningport": 51820, "wireguardlisteningportv6": 51821}


def _default_v3(first: Tuple[Failsafe, ...], version: Optional[Tuple[int, int, int]]) -> Tuple[Failsafe, ...]:
    doubt = "" if version else "the version of Calico is not known, and whether {0} is a failsafe depends on it"
    later = [
        failsafe._replace(doubt=doubt.format(failsafe))
        for since, failsafe in _LATER
        if version is None or version >= since
    ]
    return first + tuple(later)


def _failsafes_v3(
    settings: Mapping[str, Any],
    option: str,
    default: Tuple[Failsafe, ...],
    version: Optional[Tuple[int, int, int]],
) -> Tuple[Failsafe, ...]:
    if option.lower() not in settings:
        return default
    found = []
    for item in _json.items(settings, option.lower()):
        fields = _json.struct(item, option)
        protocol = _json.text(fields, "protocol").lower()
        if protocol not in ("tcp", "udp"):
            raise _Stopped("{0} has an unknown protocol: {1}, on which Felix stops".format(option, shown(item)))
        port = _json.integer(fields.get("port", 0), option, 0, 65535)
        net = _json.text(fields, "net")
        doubt = doubt_of_nets(option, version) if net else ""
        found.append(Failsafe({"tcp": TCP, "udp": UDP}[protocol], port, net_of(net) if net else None, doubt))
    return tuple(found)


def doubt_of_nets(where: str, version: Optional[Tuple[int, int, int]]) -> str:
    """Why a failsafe of Calico v3 for a network may not be one; "" when it is."""
    if version is None or version < _NETS_SINCE:
        return "whether Calico knows networks in {0} depends on its version".format(where)
    return ""


# Before, Felix took no network in a list of failsafes, or dropped it (felix, config/param_types.go).
_NETS_SINCE = (3, 17, 0)
