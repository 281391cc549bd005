# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of Calico v3 that decide on traffic, and the types of their fields.

projectcalico/calico v3.32: api/pkg/apis/projectcalico/v3. Felix treats an object with one field of a wrong type
as missing (measured with v3.32.1). The fields of a result have Calico's spelling.
"""

from __future__ import annotations

from typing import Any, Dict

from .._core import go_types
from .._resources._specs.field_types import LIST_OF_TEXT, REAL, TEXT, struct_of
from .._resources._specs.structs_v3 import RULES, SPECS, build_reader, read_object_with

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
    return read_object_with(go_types.struct(spec))


GLOBAL_POLICY = build_reader("GlobalNetworkPolicy")
# A NetworkPolicy, in any order of its fields.
POLICY = read_object_with(
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
    ).read
)
PROFILE = build_reader("Profile")
TIER = build_reader("Tier")
NETWORK_SET = build_reader("GlobalNetworkSet")
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
# Here, null is an absent setting also where Go has an empty string.
_SETTINGS = {name: go_types.nullable(each.read) for name, each in SPECS["FelixConfiguration"].fields.items()}
FELIX_CONFIGURATION = _reader(_SETTINGS)
# The names of all settings, in lower case.
SETTINGS = frozenset(name.lower() for name in _SETTINGS)


def read(reader: go_types.Reader, value: str) -> Dict[str, Any]:
    """The object, whose metadata and spec are mappings. Raises ValueError, or Ambiguous."""
    found = reader(go_types.decode(value), None, "")
    return dict(found, metadata=found.get("metadata", {}), spec=found.get("spec", {}))
