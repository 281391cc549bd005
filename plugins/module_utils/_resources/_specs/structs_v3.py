# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies, network sets, profiles and tiers of Calico v3: their Go structs, with the fields in Go's order.

projectcalico/calico v3.32.1: api/pkg/apis/projectcalico/v3, globalnetworkpolicy.go, stagedglobalnetworkpolicy.go,
policy_common.go, globalnetworkset.go, profile.go, tier.go; api/pkg/lib/numorstring. The fields of a value have
Calico's spelling: an absent pointer is None, a protocol a string, a port an int, (first, last) or a name, an order a
float.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Callable, Dict, List, Mapping, Optional

from ..._core import go_types
from ..._core.errors import shown
from ..._core.go_json import digits
from ..._core.protocols import protocol_number


@dataclasses.dataclass(frozen=True)
class FieldType:
    """The Go type of a field, and how it is read and written."""

    read: go_types.Reader
    # The value as plain data; None for a value that is plain data already.
    write: Optional[Callable[[Any], Any]] = None
    # A user may give another scalar instead of a string.
    is_text: bool = False
    # None differs from an empty value.
    is_pointer: bool = False
    # Written when empty (no omitempty).
    is_always: bool = False
    # Of a struct, in the order in which Go writes them.
    fields: Mapping[str, FieldType] = dataclasses.field(default_factory=dict)
    # Of a list.
    item: Optional[FieldType] = None

    @property
    def is_struct(self) -> bool:
        return bool(self.fields)

    def is_empty(self, value: Any) -> bool:
        """Whether Go omits the value of such a field."""
        return value is None if self.is_pointer else not value


def struct_of(fields: Mapping[str, FieldType], is_always: bool = False) -> FieldType:
    read = go_types.struct({name: each.read for name, each in fields.items()})
    return FieldType(read, fields=fields, is_always=is_always)


def pointer_to(kind: FieldType) -> FieldType:
    return dataclasses.replace(kind, read=go_types.nullable(kind.read), is_pointer=True)


def list_of(item: FieldType) -> FieldType:
    return FieldType(go_types.read_list_with(item.read), item=item)


def read_port(item: Any, before: Any, where: str) -> Any:
    """A port number, (first, last), or a name (api/pkg/lib/numorstring/port.go). Raises ValueError."""
    if not isinstance(item, str):
        return int(go_types.number(65535)(item, None, where).digits)
    first, colon, last = item.partition(":")
    if first.isdigit() and first.isascii() and (not colon or last.isdigit() and last.isascii()):
        found = digits(first, 65535), digits(last if colon else first, 65535)
        if min(found) < 0 or found[0] > found[1]:
            raise ValueError("{0} is not a valid port range: {1}".format(where, shown(item)))
        return found if found[0] < found[1] else found[0]
    if not _PORT_NAME.fullmatch(item):
        raise ValueError("{0} is not a valid port: {1}".format(where, shown(item)))
    return item


_PORT_NAME = re.compile("[a-zA-Z0-9_.-]{1,128}")


def format_order(value: float) -> Any:
    is_exact = value.is_integer() and abs(value) < 2**53 and repr(value) != "-0.0"
    return int(value) if is_exact else value


def _format_port(value: Any) -> Any:
    return "{0}:{1}".format(*value) if isinstance(value, tuple) else value


def _format_protocol(value: str) -> Any:
    number = protocol_number(value)
    return value if number is None else int(number)


TEXT = FieldType(go_types.text, is_text=True)
FLAG = FieldType(go_types.flag)
INTEGER = FieldType(go_types.integer(-(2**63), 2**63 - 1), is_pointer=True)
REAL = FieldType(go_types.real, format_order, is_pointer=True)
PORT = FieldType(read_port, _format_port)
PROTOCOL = pointer_to(FieldType(go_types.protocol, _format_protocol))
# A mapping of strings to strings.
TEXTS = FieldType(go_types.texts)
LIST_OF_TEXT = list_of(TEXT)

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
    },
    is_always=True,
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
        "source": _ENTITY,
        "destination": _ENTITY,
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
# The type of the spec of each kind.
SPECS: Dict[str, FieldType] = {
    "GlobalNetworkPolicy": struct_of(_GLOBAL_POLICY),
    "StagedGlobalNetworkPolicy": struct_of({"stagedAction": TEXT, **_GLOBAL_POLICY}),
    "GlobalNetworkSet": struct_of({"nets": LIST_OF_TEXT}),
    "Profile": struct_of({**RULES, "labelsToApply": TEXTS}),
    "Tier": struct_of({"order": REAL, "defaultAction": pointer_to(TEXT)}),
}


def build_reader(spec: FieldType, has_status: bool = False) -> go_types.Reader:
    """The reader of an object with such a spec, and maybe with the status of a tier."""
    fields = {
        "kind": go_types.text,
        "apiVersion": go_types.text,
        "metadata": go_types.struct(go_types.METADATA),
        "spec": spec.read,
    }
    if has_status:
        fields["status"] = _read_status
    return go_types.struct(fields)


def _read_status(item: Any, before: Any, where: str) -> Any:
    """The status of a tier as it is: this collection does not change it. Raises ValueError for what Go rejects."""
    _STATUS(item, None, where)
    return item


# Kubernetes' Condition.
_CONDITION = {
    **dict.fromkeys(("type", "status", "reason", "message"), go_types.text),
    "observedGeneration": go_types.number(2**63 - 1),
    "lastTransitionTime": go_types.read_time,
}
_STATUS = go_types.struct({"conditions": go_types.read_list_with(go_types.struct(_CONDITION))})


# --- Forms of a value ---


def tidy(kind: FieldType, value: Any) -> Any:
    """The value without its empty and its unknown fields, in Go's order: what `calicoctl get` shows."""
    if value is None:
        return None
    if kind.is_struct:
        found = {name: tidy(each, value[name]) for name, each in kind.fields.items() if name in value}
        return {name: item for name, item in found.items() if not kind.fields[name].is_empty(item)}
    if kind.item:
        return [tidy(kind.item, each) for each in value]
    return dict(sorted(value.items())) if isinstance(value, dict) else value


def filled(kind: FieldType, value: Any) -> Any:
    """The value with the fields that Go writes even when they are empty; unknown fields are kept."""
    if value is None:
        return None
    if kind.is_struct:
        found: Dict[str, Any] = {name: {} for name, each in kind.fields.items() if each.is_always}
        return {**found, **{name: filled(kind.fields.get(name, _UNKNOWN), item) for name, item in value.items()}}
    return [filled(kind.item, each) for each in value] if kind.item else value


_UNKNOWN = FieldType(go_types.anything)


def as_document(kind: FieldType, value: Any) -> Any:
    """The value as plain data, as a manifest has it; unknown fields are kept as they are, after the known ones."""
    if kind.is_struct:
        found: Dict[str, Any] = {}
        for name, each in kind.fields.items():
            if not each.is_empty(value.get(name)) or each.is_always and name in value:
                found[name] = as_document(each, value[name])
        found.update((name, item) for name, item in value.items() if name not in kind.fields)
        return found
    if kind.item:
        items: List[Any] = [as_document(kind.item, each) for each in value]
        return items
    if kind.write:
        return kind.write(value)
    return dict(sorted(value.items())) if isinstance(value, dict) else value
