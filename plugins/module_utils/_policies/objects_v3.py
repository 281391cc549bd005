# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of Calico v3 that decide on traffic, and the types of their fields.

projectcalico/calico v3.32: api/pkg/apis/projectcalico/v3. Felix treats an object with one field of a wrong type
as missing (measured with v3.32.1). The fields of a result have Calico's spelling.
"""

from __future__ import annotations

import re
from typing import Any, Dict

from .._core import go_types
from .._core.errors import shown
from .._core.go_json import digits
from ._felix.fields import TYPES

_INT = go_types.integer(-(2**63), 2**63 - 1)


def _port(item: Any, before: Any, where: str) -> Any:
    """A port number, (first, last), or a name (libcalico-go, numorstring/port.go)."""
    if not isinstance(item, str):
        return int(go_types.number(65535)(item, None, where).digits)
    first, colon, last = item.partition(":")
    if first.isdigit() and first.isascii() and (not colon or last.isdigit() and last.isascii()):
        found = digits(first, 65535), digits(last if colon else first, 65535)
        if min(found) < 0 or found[0] > found[1]:
            raise ValueError("{0} is not a valid port range: {1}".format(where, shown(item)))
        return found
    if not _PORT_NAME.fullmatch(item):
        raise ValueError("{0} is not a valid port: {1}".format(where, shown(item)))
    return item


_PORT_NAME = re.compile("[a-zA-Z0-9_.-]{1,128}")


_ICMP = {"type": _INT, "code": _INT}
_SERVICE_ACCOUNTS = {"names": go_types.read_list_with(go_types.text), "selector": go_types.text}
_ENTITY = {
    "nets": go_types.read_list_with(go_types.text),
    "selector": go_types.text,
    "namespaceSelector": go_types.text,
    "services": go_types.nullable(go_types.struct({"name": go_types.text, "namespace": go_types.text})),
    "ports": go_types.read_list_with(_port),
    "notNets": go_types.read_list_with(go_types.text),
    "notSelector": go_types.text,
    "notPorts": go_types.read_list_with(_port),
    "serviceAccounts": go_types.nullable(go_types.struct(_SERVICE_ACCOUNTS)),
}
_PATH = {"exact": go_types.text, "prefix": go_types.text}
_HTTP = {"methods": go_types.read_list_with(go_types.text), "paths": go_types.read_list_with(go_types.struct(_PATH))}
_RULE = {
    "action": go_types.text,
    "ipVersion": _INT,
    "protocol": go_types.nullable(go_types.protocol),
    "icmp": go_types.nullable(go_types.struct(_ICMP)),
    "notProtocol": go_types.nullable(go_types.protocol),
    "notICMP": go_types.nullable(go_types.struct(_ICMP)),
    "source": go_types.struct(_ENTITY),
    "destination": go_types.struct(_ENTITY),
    "http": go_types.nullable(go_types.struct(_HTTP)),
    "metadata": go_types.nullable(go_types.struct({"annotations": go_types.texts})),
}
_RULES = {
    "ingress": go_types.read_list_with(go_types.struct(_RULE)),
    "egress": go_types.read_list_with(go_types.struct(_RULE)),
}
_POLICY = {
    **_RULES,
    "tier": go_types.text,
    "order": go_types.real,
    "selector": go_types.text,
    "types": go_types.read_list_with(go_types.text),
    "performanceHints": go_types.read_list_with(go_types.text),
}
_GLOBAL_POLICY = {
    **_POLICY,
    "doNotTrack": go_types.flag,
    "preDNAT": go_types.flag,
    "applyOnForward": go_types.flag,
    "serviceAccountSelector": go_types.text,
    "namespaceSelector": go_types.text,
}
_FAILSAFE = {"protocol": go_types.text, "port": go_types.number(65535), "net": go_types.text}
_WORKLOAD_PORT = {
    "name": go_types.text,
    "protocol": go_types.protocol,
    "port": go_types.number(65535),
    "hostPort": go_types.number(65535),
    "hostIP": go_types.text,
}
_WORKLOAD = {
    "node": go_types.text,
    "serviceAccountName": go_types.text,
    "ipNetworks": go_types.read_list_with(go_types.text),
    "profiles": go_types.read_list_with(go_types.text),
    "interfaceName": go_types.text,
    "ports": go_types.read_list_with(go_types.struct(_WORKLOAD_PORT)),
}


def _reader(spec: Dict[str, Any]) -> go_types.Reader:
    fields = {
        "kind": go_types.text,
        "apiVersion": go_types.text,
        "metadata": go_types.struct(go_types.METADATA),
        "spec": go_types.struct(spec),
    }
    return go_types.struct(fields)


GLOBAL_POLICY = _reader(_GLOBAL_POLICY)
POLICY = _reader(dict(_POLICY, serviceAccountSelector=go_types.text))
PROFILE = _reader(dict(_RULES, labelsToApply=go_types.texts))
TIER = _reader({"order": go_types.real, "defaultAction": go_types.nullable(go_types.text)})
NETWORK_SET = _reader({"nets": go_types.read_list_with(go_types.text)})
WORKLOAD = _reader(_WORKLOAD)
_BGP = {"ipv4Address": go_types.text, "ipv6Address": go_types.text}
NODE = _reader(
    {
        "bgp": go_types.struct(_BGP),
        "addresses": go_types.read_list_with(go_types.struct({"address": go_types.text})),
        "interfaces": go_types.read_list_with(go_types.struct({"addresses": go_types.read_list_with(go_types.text)})),
    }
)
CLUSTER_INFORMATION = _reader({"calicoVersion": go_types.text, "datastoreReady": go_types.flag})
IP_POOL = _reader({"cidr": go_types.text, "vxlanMode": go_types.text, "ipipMode": go_types.text})
# Go's time.ParseDuration.
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)", re.ASCII)


def _duration(item: Any, before: Any, where: str) -> str:
    text = go_types.text(item, before, where)
    if not _DURATION.fullmatch(text):
        raise ValueError("{0} is not a valid duration: {1}".format(where, shown(text)))
    return text


_FELIX_TYPES = {
    "flag": go_types.flag,
    "number": _INT,
    "text": go_types.text,
    "duration": _duration,
    "list": go_types.read_list_with(go_types.text),
}
_UINT32 = go_types.integer(0, 2**32 - 1)
_TABLES = go_types.struct({"min": _INT, "max": _INT})
_HEALTH_TIMEOUT = {"name": go_types.text, "timeout": _duration}
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
    """A number of 8 bits, or a name (libcalico-go, numorstring/dscp.go)."""
    return item if isinstance(item, str) else go_types.number(255)(item, None, where)


_OTHERS = {
    "failsafeInboundHostPorts": go_types.read_list_with(go_types.struct(_FAILSAFE)),
    "failsafeOutboundHostPorts": go_types.read_list_with(go_types.struct(_FAILSAFE)),
    "iptablesMarkMask": _UINT32,
    "nftablesMarkMask": _UINT32,
    "istioDSCPMark": _dscp,
    "natPortRange": _port,
    "bpfPSNATPorts": _port,
    "kubeNodePortRanges": go_types.read_list_with(_port),
    "routeTableRange": _TABLES,
    "routeTableRanges": go_types.read_list_with(_TABLES),
    "healthTimeoutOverrides": go_types.read_list_with(go_types.struct(_HEALTH_TIMEOUT)),
    "bpfConntrackTimeouts": go_types.struct(dict.fromkeys(_CONNTRACK_TIMEOUTS, go_types.text)),
}
_SETTINGS = {
    **{name: go_types.nullable(_FELIX_TYPES[kind]) for kind, names in TYPES.items() for name in names},
    **{name: go_types.nullable(reader) for name, reader in _OTHERS.items()},
}
FELIX_CONFIGURATION = _reader(_SETTINGS)
# The names of all settings, in lower case.
SETTINGS = frozenset(name.lower() for name in _SETTINGS)


def read(reader: go_types.Reader, value: str) -> Dict[str, Any]:
    """The object, whose metadata and spec are mappings. Raises ValueError, or Ambiguous."""
    found = reader(go_types.decode(value), None, "")
    return dict(found, metadata=found.get("metadata", {}), spec=found.get("spec", {}))
