# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, network sets, profiles, tiers and nodes of Calico v3: their Go structs, with the fields in Go's order.

projectcalico/calico v3.32.1: api/pkg/apis/projectcalico/v3, globalnetworkpolicy.go, stagedglobalnetworkpolicy.go,
policy_common.go, globalnetworkset.go, profile.go, tier.go; libcalico-go/lib/apis/internalapi/node.go. The fields of a
value have Calico's spelling. FelixConfiguration is in `felix_config_v3`.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from ..._core import go_types
from .felix_config_v3 import FELIX_CONFIGURATION
from .field_types import (
    AS_NUMBER,
    FLAG,
    INTEGER,
    LIST_OF_TEXT,
    PORT,
    PROTOCOL,
    REAL,
    TEXT,
    TEXTS,
    FieldType,
    always,
    list_of,
    pointer_to,
    struct_of,
)

_ICMP = pointer_to(struct_of({"type": INTEGER, "code": INTEGER}))
_ENTITY = struct_of(
    {
        "nets": LIST_OF_TEXT,
        "selector": TEXT,
        "namespaceSelector": TEXT,
        "services": pointer_to(struct_of({"name": TEXT, "namespace": TEXT})),
        "ports": list_of(PORT),
        "notNets": LIST_OF_TEXT,
        "notSelector": TEXT,
        "notPorts": list_of(PORT),
        "serviceAccounts": pointer_to(struct_of({"names": LIST_OF_TEXT, "selector": TEXT})),
    }
)
_HTTP = {"methods": LIST_OF_TEXT, "paths": list_of(struct_of({"exact": TEXT, "prefix": TEXT}))}
RULE = struct_of(
    {
        "action": TEXT,
        "ipVersion": INTEGER,
        "protocol": PROTOCOL,
        "icmp": _ICMP,
        "notProtocol": PROTOCOL,
        "notICMP": _ICMP,
        "source": always(_ENTITY, {}),
        "destination": always(_ENTITY, {}),
        "http": pointer_to(struct_of(_HTTP)),
        "metadata": pointer_to(struct_of({"annotations": TEXTS})),
    }
)
RULES = {"ingress": list_of(RULE), "egress": list_of(RULE)}
_GLOBAL_POLICY = {
    "tier": TEXT,
    "order": REAL,
    **RULES,
    "selector": TEXT,
    "types": LIST_OF_TEXT,
    "doNotTrack": FLAG,
    "preDNAT": FLAG,
    "applyOnForward": FLAG,
    "serviceAccountSelector": TEXT,
    "namespaceSelector": TEXT,
    "performanceHints": LIST_OF_TEXT,
}
_BGP = {
    "asNumber": AS_NUMBER,
    "ipv4Address": TEXT,
    "ipv6Address": TEXT,
    "ipv4IPIPTunnelAddr": TEXT,
    "routeReflectorClusterID": TEXT,
}
NODE = struct_of(
    {
        "bgp": pointer_to(struct_of(_BGP)),
        "ipv4VXLANTunnelAddr": TEXT,
        "vxlanTunnelMACAddr": TEXT,
        "ipv6VXLANTunnelAddr": TEXT,
        "vxlanTunnelMACAddrV6": TEXT,
        "orchRefs": list_of(struct_of({"nodeName": TEXT, "orchestrator": always(TEXT, "")})),
        "wireguard": pointer_to(struct_of({"interfaceIPv4Address": TEXT, "interfaceIPv6Address": TEXT})),
        "addresses": list_of(struct_of({"address": always(TEXT, ""), "type": TEXT})),
        "interfaces": list_of(struct_of({"name": TEXT, "addresses": LIST_OF_TEXT})),
    }
)
# The type of the spec of each kind.
SPECS: Dict[str, FieldType] = {
    "GlobalNetworkPolicy": struct_of(_GLOBAL_POLICY),
    "StagedGlobalNetworkPolicy": struct_of({"stagedAction": TEXT, **_GLOBAL_POLICY}),
    "GlobalNetworkSet": struct_of({"nets": LIST_OF_TEXT}),
    "Profile": struct_of({**RULES, "labelsToApply": TEXTS}),
    "FelixConfiguration": FELIX_CONFIGURATION,
    "Node": NODE,
    "Tier": struct_of({"order": REAL, "defaultAction": pointer_to(TEXT)}),
}


# Kubernetes' Condition.
_CONDITION = {
    **dict.fromkeys(("type", "status", "reason", "message"), go_types.text),
    "observedGeneration": go_types.number(2**63 - 1),
    "lastTransitionTime": go_types.read_time,
}
# The status of each kind that has one. This collection does not change it.
STATUSES: Dict[str, go_types.Reader] = {
    "Node": go_types.struct(
        {
            "wireguardPublicKey": go_types.text,
            "wireguardPublicKeyV6": go_types.text,
            "podCIDRs": go_types.read_list_with(go_types.text),
        }
    ),
    "Tier": go_types.struct({"conditions": go_types.read_list_with(go_types.struct(_CONDITION))}),
}


def build_reader(kind: str) -> go_types.Reader:
    """The reader of an object of a kind of `SPECS`. Its status is kept as it is."""
    return read_object_with(SPECS[kind].read, STATUSES.get(kind))


def read_object_with(read_spec: go_types.Reader, read_status: Optional[go_types.Reader] = None) -> go_types.Reader:
    """The reader of an object with such a spec."""
    fields = {
        "kind": go_types.text,
        "apiVersion": go_types.text,
        "metadata": go_types.struct(go_types.METADATA),
        "spec": read_spec,
    }
    if read_status:
        fields["status"] = _unchanged(read_status)
    return go_types.struct(fields)


def _unchanged(read: go_types.Reader) -> go_types.Reader:
    """A reader that returns the item as it is. Raises ValueError for an item that Go rejects."""

    def read_unchanged(item: Any, before: Any, where: str) -> Any:
        read(item, None, where)
        return item

    return read_unchanged
