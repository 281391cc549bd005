# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Go types of the fields of Calico v3's specs, and the forms of a value of such a type.

projectcalico/calico v3.32.1, api/pkg/lib/numorstring; Kubernetes' Duration. A value is plain data: an absent pointer is
None, a protocol a string, a port an int, (first, last) or a name, an order a float, a duration a string in Go's form.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..._core import go_types
from ..._core.errors import shown
from ..._core.go_json import digits, whole
from ..._core.protocols import protocol_number
from .durations import read_duration


def _same(value: Any) -> Any:
    return dict(sorted(value.items())) if isinstance(value, dict) else value


@dataclasses.dataclass(frozen=True)
class FieldType:
    """The Go type of a field, and how it is read and written."""

    read: go_types.Reader
    # The value as plain data, as a manifest has it.
    write: Callable[[Any], Any] = _same
    # A user may give another scalar instead of a string.
    is_text: bool = False
    # A mapping of strings to strings.
    is_texts: bool = False
    # None differs from an empty value.
    is_pointer: bool = False
    # What Go writes for an empty field (no omitempty); None if it omits the field.
    always: Any = None
    # Of a struct, in the order in which Go writes them.
    fields: Mapping[str, FieldType] = dataclasses.field(default_factory=dict)
    # Of a list.
    item: Optional[FieldType] = None

    # Cached, since each field of each resource needs them several times.
    @functools.cached_property
    def is_struct(self) -> bool:
        return bool(self.fields)

    @functools.cached_property
    def is_always(self) -> bool:
        return self.always is not None

    @functools.cached_property
    def spellings(self) -> Mapping[str, str]:
        """Of a struct, its fields by their names, also in lower case."""
        return {spelling: name for name in self.fields for spelling in (name, name.lower())}

    @functools.cached_property
    def marked(self) -> Sequence[Tuple[str, str, FieldType]]:
        """Of a struct, each field with its name and with the name as JSON has it before a value."""
        return [(name, '"{0}":'.format(name), each) for name, each in self.fields.items()]

    @functools.cached_property
    def is_scalar(self) -> bool:
        """Whether a value has no parts, so that all its forms but that of a manifest are the value itself."""
        return not (self.fields or self.item or self.is_texts)

    @functools.cached_property
    def always_fields(self) -> Mapping[str, Any]:
        """Of a struct, what Go writes for its fields that are empty, if it does."""
        return {name: each.always for name, each in self.fields.items() if each.is_always}

    @functools.cached_property
    def has_always(self) -> bool:
        """Whether it is a struct with a field that Go writes even when it is empty, or has such a struct in it."""
        parts = [self.item] if self.item else list(self.fields.values())
        return any(each.has_always for each in parts) or any(each.is_always for each in self.fields.values())

    def is_empty(self, value: Any) -> bool:
        """Whether the value is that of an absent field, which `calicoctl get` does not show."""
        return not value and (value is None or not self._is_shown_when_empty)

    @functools.cached_property
    def _is_shown_when_empty(self) -> bool:
        """Whether an empty value differs from an absent field, and is shown."""
        return self.is_pointer or self.is_always and not self.is_struct


def struct_of(fields: Mapping[str, FieldType]) -> FieldType:
    return FieldType(go_types.struct({name: each.read for name, each in fields.items()}), fields=fields)


def pointer_to(kind: FieldType) -> FieldType:
    return dataclasses.replace(kind, read=go_types.nullable(kind.read), is_pointer=True)


def list_of(item: FieldType) -> FieldType:
    return FieldType(go_types.read_list_with(item.read), item=item)


def always(kind: FieldType, empty: Any) -> FieldType:
    """The type of a field that Go writes even when it is empty."""
    return dataclasses.replace(kind, always=empty)


# --- Readers ---


def read_port(item: Any, before: Any, where: str) -> Any:
    """A port number, (first, last), or a name (api/pkg/lib/numorstring/port.go). Raises ValueError."""
    if not isinstance(item, str):
        return _read_unsigned(item, None, where, 65535)
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


def _read_unsigned(item: Any, before: Any, where: str, most: int) -> int:
    if item is None:
        return before or 0
    return int(go_types.number(most)(item, None, where).digits)


def _read_port_number(item: Any, before: Any, where: str) -> int:
    return _read_unsigned(item, before, where, 65535)


def _read_number(item: Any, before: Any, where: str) -> int:
    return before or 0 if item is None else INTEGER.read(item, None, where)


def _read_dscp(item: Any, before: Any, where: str) -> Any:
    """A number of 8 bits, or a name (api/pkg/lib/numorstring/dscp.go)."""
    if not isinstance(item, str):
        return _read_unsigned(item, before, where, 255)
    number = digits(item, 255)
    return whole(item) if number < 0 else number


def _read_as_number(item: Any, before: Any, where: str) -> int:
    """A number of 32 bits, also as a string, or as two numbers of 16 bits (api/pkg/lib/numorstring/asnumber.go)."""
    if not isinstance(item, str):
        return _read_unsigned(item, before, where, 2**32 - 1)
    high, dot, low = item.partition(".")
    found = (digits(high, 65535) << 16) + digits(low, 65535) if dot else digits(item, 2**32 - 1)
    if found < 0 or dot and digits(low, 65535) < 0:
        raise ValueError("{0} is not a valid AS number, such as 64512 or 1.10: {1}".format(where, shown(item)))
    return found


# --- Plain data ---


def format_order(value: float) -> Any:
    # An int has is_integer() since Python 3.12.
    is_exact = float(value).is_integer() and abs(value) < 2**53 and repr(value) != "-0.0"
    return int(value) if is_exact else value


def _format_port(value: Any) -> Any:
    return "{0}:{1}".format(*value) if isinstance(value, tuple) else value


@functools.lru_cache(maxsize=1024)
def _format_protocol(value: str) -> Any:
    number = protocol_number(value)
    return value if number is None else int(number)


# --- Types ---

TEXT = FieldType(go_types.text, is_text=True)
# A mapping of strings to strings.
TEXTS = FieldType(go_types.texts, is_texts=True)
LIST_OF_TEXT = list_of(TEXT)
FLAG = FieldType(go_types.flag)
# A pointer to a whole number.
INTEGER = FieldType(go_types.integer(-(2**63), 2**63 - 1), is_pointer=True)
UINT32 = FieldType(go_types.integer(0, 2**32 - 1), is_pointer=True)
REAL = FieldType(go_types.real, format_order, is_pointer=True)
PORT = FieldType(read_port, _format_port)
PORT_NUMBER = FieldType(_read_port_number)
NUMBER = FieldType(_read_number)
PROTOCOL = pointer_to(FieldType(go_types.protocol, _format_protocol))
DURATION = FieldType(read_duration)
DSCP = pointer_to(FieldType(_read_dscp))
AS_NUMBER = pointer_to(FieldType(_read_as_number))


# --- Forms of a value ---
# Most fields are scalars, for which a call would take longer than the rest.


def tidy(kind: FieldType, value: Any, is_filled: bool = False) -> Any:
    """The value without its empty and its unknown fields, in Go's order: what `calicoctl get` shows.

    If it is filled, with the fields that Go writes even when they are empty, in one pass with `filled`.
    """
    if value is None:
        return None
    if kind.is_struct:
        found: Dict[str, Any] = _fill(kind) if is_filled else {}
        for name, each in kind.fields.items():
            if name in value:
                # Whether a struct is empty depends on its given fields.
                item = value[name] if each.is_scalar else tidy(each, value[name], is_filled and not each.is_struct)
                if item or not each.is_empty(item):
                    found[name] = filled(each, item) if is_filled and each.is_struct else item
        return found
    if kind.item:
        return list(value) if kind.item.is_scalar else [tidy(kind.item, each, is_filled) for each in value]
    return _same(value)


def filled(kind: FieldType, value: Any) -> Any:
    """The value with the fields that Go writes even when they are empty; unknown fields are kept."""
    if value is None or not kind.has_always:
        return value
    if kind.item:
        return [filled(kind.item, each) for each in value]
    found = _fill(kind)
    for name, item in value.items():
        found[name] = filled(kind.fields[name], item) if name in kind.fields else item
    return found


def _fill(kind: FieldType) -> Dict[str, Any]:
    return {name: copy.copy(empty) for name, empty in kind.always_fields.items()}


def as_document(kind: FieldType, value: Any) -> Any:
    """The value as plain data, as a manifest has it; unknown fields are kept as they are, after the known ones."""
    if kind.is_struct:
        found: Dict[str, Any] = {}
        for name, each in kind.fields.items():
            if name in value:
                item = value[name]
                if each.is_always or not each.is_empty(item):
                    found[name] = each.write(item) if each.is_scalar else as_document(each, item)
        if not value.keys() <= kind.fields.keys():
            found.update((name, item) for name, item in value.items() if name not in kind.fields)
        return found
    if kind.item:
        write = kind.item.write if kind.item.is_scalar else functools.partial(as_document, kind.item)
        items: List[Any] = list(map(write, value))
        return items
    return kind.write(value)
