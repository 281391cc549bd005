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
from .._resources._specs.structs_v3 import (
    INTEGER,
    LIST_OF_TEXT,
    REAL,
    RULES,
    SPECS,
    TEXT,
    FieldType,
    build_reader,
    read_port,
    struct_of,
)
from ._felix.fields import TYPES

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


def _reader(spec: Dict[str, go_types.Reader]) -> go_types.Reader:
    return build_reader(FieldType(go_types.struct(spec)))


GLOBAL_POLICY = build_reader(SPECS["GlobalNetworkPolicy"])
# A NetworkPolicy, in any order of its fields.
POLICY = build_reader(
    struct_of(
        {
            **RULES,
            "tier": TEXT,
            "order": REAL,
            "selector": TEXT,
            "types": LIST_OF_TEXT,
            "serviceAccountSelector": TEXT,
            "performanceHints": LIST_OF_TEXT,
        }
    )
)
PROFILE = build_reader(SPECS["Profile"])
TIER = build_reader(SPECS["Tier"], has_status=True)
NETWORK_SET = build_reader(SPECS["GlobalNetworkSet"])
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
    "number": INTEGER.read,
    "text": go_types.text,
    "duration": _duration,
    "list": go_types.read_list_with(go_types.text),
}
_UINT32 = go_types.integer(0, 2**32 - 1)
_TABLES = go_types.struct({"min": INTEGER.read, "max": INTEGER.read})
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
    "natPortRange": read_port,
    "bpfPSNATPorts": read_port,
    "kubeNodePortRanges": go_types.read_list_with(read_port),
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
