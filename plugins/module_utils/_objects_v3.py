# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of Calico v3 that decide on traffic, with the types of their fields.

projectcalico/calico v3.32: api/pkg/apis/projectcalico/v3. An object with one field of a wrong type is not there for
Felix (measured with v3.32.1). The fields of a result are spelled as Calico spells them.
"""

from __future__ import annotations

import re
from typing import Any, Dict

from . import _go
from ._errors import shown
from ._felix_fields import TYPES
from ._json import digits

_INT = _go.integer(-(2**63), 2**63 - 1)


def _port(item: Any, before: Any, where: str) -> Any:
    """A number of a port, (first, last), or a name (libcalico-go, numorstring/port.go)."""
    if not isinstance(item, str):
        return int(_go.number(65535)(item, None, where).digits)
    first, colon, last = item.partition(":")
    if first.isdigit() and first.isascii() and (not colon or last.isdigit() and last.isascii()):
        found = digits(first, 65535), digits(last if colon else first, 65535)
        if min(found) < 0 or found[0] > found[1]:
            raise ValueError("{0} is not a range of ports: {1}".format(where, shown(item)))
        return found
    if not _PORT_NAME.fullmatch(item):
        raise ValueError("{0} is not a port: {1}".format(where, shown(item)))
    return item


_PORT_NAME = re.compile("[a-zA-Z0-9_.-]{1,128}")


_ICMP = {"type": _INT, "code": _INT}
_SERVICE_ACCOUNTS = {"names": _go.list_of(_go.text), "selector": _go.text}
_ENTITY = {
    "nets": _go.list_of(_go.text),
    "selector": _go.text,
    "namespaceSelector": _go.text,
    "services": _go.nullable(_go.struct({"name": _go.text, "namespace": _go.text})),
    "ports": _go.list_of(_port),
    "notNets": _go.list_of(_go.text),
    "notSelector": _go.text,
    "notPorts": _go.list_of(_port),
    "serviceAccounts": _go.nullable(_go.struct(_SERVICE_ACCOUNTS)),
}
_PATH = {"exact": _go.text, "prefix": _go.text}
_HTTP = {"methods": _go.list_of(_go.text), "paths": _go.list_of(_go.struct(_PATH))}
_RULE = {
    "action": _go.text,
    "ipVersion": _INT,
    "protocol": _go.nullable(_go.protocol),
    "icmp": _go.nullable(_go.struct(_ICMP)),
    "notProtocol": _go.nullable(_go.protocol),
    "notICMP": _go.nullable(_go.struct(_ICMP)),
    "source": _go.struct(_ENTITY),
    "destination": _go.struct(_ENTITY),
    "http": _go.nullable(_go.struct(_HTTP)),
    "metadata": _go.nullable(_go.struct({"annotations": _go.texts})),
}
_RULES = {"ingress": _go.list_of(_go.struct(_RULE)), "egress": _go.list_of(_go.struct(_RULE))}
_POLICY = {
    **_RULES,
    "tier": _go.text,
    "order": _go.real,
    "selector": _go.text,
    "types": _go.list_of(_go.text),
    "performanceHints": _go.list_of(_go.text),
}
_GLOBAL_POLICY = {
    **_POLICY,
    "doNotTrack": _go.flag,
    "preDNAT": _go.flag,
    "applyOnForward": _go.flag,
    "serviceAccountSelector": _go.text,
    "namespaceSelector": _go.text,
}
_FAILSAFE = {"protocol": _go.text, "port": _go.number(65535), "net": _go.text}
_WORKLOAD_PORT = {
    "name": _go.text,
    "protocol": _go.protocol,
    "port": _go.number(65535),
    "hostPort": _go.number(65535),
    "hostIP": _go.text,
}
_WORKLOAD = {
    "node": _go.text,
    "serviceAccountName": _go.text,
    "ipNetworks": _go.list_of(_go.text),
    "profiles": _go.list_of(_go.text),
    "interfaceName": _go.text,
    "ports": _go.list_of(_go.struct(_WORKLOAD_PORT)),
}


def _reader(spec: Dict[str, Any]) -> _go.Reader:
    fields = {"kind": _go.text, "apiVersion": _go.text, "metadata": _go.struct(_go.METADATA), "spec": _go.struct(spec)}
    return _go.struct(fields)


GLOBAL_POLICY = _reader(_GLOBAL_POLICY)
POLICY = _reader(dict(_POLICY, serviceAccountSelector=_go.text))
PROFILE = _reader(dict(_RULES, labelsToApply=_go.texts))
TIER = _reader({"order": _go.real, "defaultAction": _go.nullable(_go.text)})
NETWORK_SET = _reader({"nets": _go.list_of(_go.text)})
WORKLOAD = _reader(_WORKLOAD)
_BGP = {"ipv4Address": _go.text, "ipv6Address": _go.text}
NODE = _reader(
    {
        "bgp": _go.struct(_BGP),
        "addresses": _go.list_of(_go.struct({"address": _go.text})),
        "interfaces": _go.list_of(_go.struct({"addresses": _go.list_of(_go.text)})),
    }
)
CLUSTER_INFORMATION = _reader({"calicoVersion": _go.text, "datastoreReady": _go.flag})
IP_POOL = _reader({"cidr": _go.text, "vxlanMode": _go.text, "ipipMode": _go.text})
# Go's time.ParseDuration.
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)", re.ASCII)


def _duration(item: Any, before: Any, where: str) -> str:
    text = _go.text(item, before, where)
    if not _DURATION.fullmatch(text):
        raise ValueError("{0} is not a duration: {1}".format(where, shown(text)))
    return text


_FELIX_TYPES = {
    "flag": _go.flag,
    "number": _INT,
    "text": _go.text,
    "duration": _duration,
    "list": _go.list_of(_go.text),
}
_UINT32 = _go.integer(0, 2**32 - 1)
_TABLES = _go.struct({"min": _INT, "max": _INT})
_HEALTH_TIMEOUT = {"name": _go.text, "timeout": _duration}
_CONNTRACK_TIMEOUTS = (
    "creationGracePeriod",
    "tcpSynSent",
    "tcpEstablished",
    "tcpFinsSeen",
    "tcpResetSeen",
    "udpTimeout",
    "icmpTimeout",
    "genericTimeout",
)


def _dscp(item: Any, before: Any, where: str) -> Any:
    """A number of 8 bits, or a word (libcalico-go, numorstring/dscp.go)."""
    return item if isinstance(item, str) else _go.number(255)(item, None, where)


_OTHERS = {
    "failsafeInboundHostPorts": _go.list_of(_go.struct(_FAILSAFE)),
    "failsafeOutboundHostPorts": _go.list_of(_go.struct(_FAILSAFE)),
    "iptablesMarkMask": _UINT32,
    "nftablesMarkMask": _UINT32,
    "istioDSCPMark": _dscp,
    "natPortRange": _port,
    "bpfPSNATPorts": _port,
    "kubeNodePortRanges": _go.list_of(_port),
    "routeTableRange": _TABLES,
    "routeTableRanges": _go.list_of(_TABLES),
    "healthTimeoutOverrides": _go.list_of(_go.struct(_HEALTH_TIMEOUT)),
    "bpfConntrackTimeouts": _go.struct(dict.fromkeys(_CONNTRACK_TIMEOUTS, _go.text)),
}
_SETTINGS = {
    **{name: _go.nullable(_FELIX_TYPES[kind]) for kind, names in TYPES.items() for name in names},
    **{name: _go.nullable(reader) for name, reader in _OTHERS.items()},
}
FELIX_CONFIGURATION = _reader(_SETTINGS)
# The names of all settings, in lower case.
SETTINGS = frozenset(name.lower() for name in _SETTINGS)


def read(reader: _go.Reader, value: str) -> Dict[str, Any]:
    """The object, whose metadata and spec are mappings. Raises ValueError, or Ambiguous."""
    found = reader(_go.decode(value), None, "")
    return dict(found, metadata=found.get("metadata", {}), spec=found.get("spec", {}))
