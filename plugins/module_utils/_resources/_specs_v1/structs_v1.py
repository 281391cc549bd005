# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies and profiles of Calico v1: the Go structs of their manifests, with the fields in Go's order.

libcalico-go release-v2.6: lib/api, policy.go, profile.go and rule.go; lib/numorstring.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict

from ..._core import go_types
from ..._core.errors import shown
from .._specs.field_types import (
    FLAG,
    INTEGER,
    LIST_OF_TEXT,
    PORT,
    PROTOCOL,
    REAL,
    TEXT,
    TEXTS,
    FieldType,
    list_of,
    read_port,
    struct_of,
)

POLICY, PROFILE = "policy", "profile"


def _read_port(item: Any, before: Any, where: str) -> Any:
    """A port number, or (first, last). Raises ValueError."""
    found = read_port(item, before, where)
    if isinstance(found, str):
        raise ValueError("{0} is not a port: {1}; Calico v1 has no named ports".format(where, shown(item)))
    return found


_LIST_OF_PORTS = list_of(dataclasses.replace(PORT, read=_read_port))
# A user's number is not converted to a string.
_NET = FieldType(go_types.text)
_LIST_OF_NETS = list_of(_NET)
# In v1, an empty ICMP struct is like none.
_ICMP = struct_of({"type": INTEGER, "code": INTEGER})
_ENTITY = struct_of(
    {
        "tag": TEXT,
        "net": _NET,
        "nets": _LIST_OF_NETS,
        "selector": TEXT,
        "ports": _LIST_OF_PORTS,
        "notTag": TEXT,
        "notNet": _NET,
        "notNets": _LIST_OF_NETS,
        "notSelector": TEXT,
        "notPorts": _LIST_OF_PORTS,
    }
)
RULE = struct_of(
    {
        "action": TEXT,
        "ipVersion": INTEGER,
        "protocol": PROTOCOL,
        "icmp": _ICMP,
        "notProtocol": PROTOCOL,
        "notICMP": _ICMP,
        "source": _ENTITY,
        "destination": _ENTITY,
    }
)
_RULES = list_of(RULE)
# The type of the spec of each kind.
SPECS: Dict[str, FieldType] = {
    POLICY: struct_of(
        {
            "order": REAL,
            "ingress": _RULES,
            "egress": _RULES,
            "selector": TEXT,
            "doNotTrack": FLAG,
            "preDNAT": FLAG,
            "types": LIST_OF_TEXT,
        }
    ),
    PROFILE: struct_of({"ingress": _RULES, "egress": _RULES}),
}
_METADATA = {
    POLICY: struct_of({"name": TEXT, "annotations": TEXTS}),
    PROFILE: struct_of({"name": TEXT, "tags": LIST_OF_TEXT, "labels": TEXTS}),
}
# The type of a whole manifest of each kind.
MANIFESTS: Dict[str, FieldType] = {
    kind: struct_of({"apiVersion": TEXT, "kind": TEXT, "metadata": _METADATA[kind], "spec": spec})
    for kind, spec in SPECS.items()
}
