# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON as Go reads it into typed structs: how Calico v3 reads a stored object.

A reader has three arguments: an item, the value read before under the same key, and the place for messages. It raises
ValueError for an item that Go rejects. Of a duplicate key, the last string, number or list counts; objects are merged.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import json
import math
import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from .errors import brief
from .go_json import check_depth, digits, refuse_constant, whole
from .protocols import protocol_number


class Number(NamedTuple):
    """A number with its own digits: Python would respell some numbers."""

    digits: str


class GoObject(List[Tuple[str, Any]]):
    """The keys and values of an object, in their order. A key may occur twice."""


ZERO = Number("0")
# The characters of names, addresses and labels.
_UNESCAPED = re.compile("[A-Za-z0-9_./:*-]*")
_ENCODER = json.JSONEncoder(ensure_ascii=False)
# As Go escapes them; in JSON they occur in strings only.
_ESCAPES = str.maketrans({char: "\\u{0:04x}".format(ord(char)) for char in "<>&\u2028\u2029"})
_ESCAPED = re.compile("[<>&\u2028\u2029]")


def to_json(item: Any) -> str:
    if isinstance(item, str):
        return json_text(item)
    if isinstance(item, float):
        return real_number(item).digits
    if isinstance(item, Number):
        return item.digits
    if isinstance(item, int) and not isinstance(item, bool):
        return str(item)
    if isinstance(item, (dict, GoObject)):
        members = item.items() if isinstance(item, dict) else item
        return "{" + ",".join([to_json(key) + ":" + to_json(value) for key, value in members]) + "}"
    if isinstance(item, (list, tuple)):
        return "[" + ",".join([to_json(each) for each in item]) + "]"
    return _ENCODER.encode(item)


def real_number(value: float) -> Number:
    """A finite number as Go writes a float64: without an exponent from 1e-6 to 1e21, without ".0"."""
    written = repr(value)
    if not value or 1e-6 <= abs(value) < 1e21:
        written = format(decimal.Decimal(written), "f")
        written = written.rstrip("0").rstrip(".") if "." in written else written
    return Number(written)


# The endpoints of a fleet share few different labels.
@functools.lru_cache(maxsize=65536)
def format_members(members: Tuple[Tuple[str, str], ...]) -> str:
    return to_json(dict(members))


def json_text(text: str) -> str:
    if _UNESCAPED.fullmatch(text):
        return '"' + text + '"'
    found = _ENCODER.encode(whole(text))
    # Most strings need no escapes, and a translation takes longer than the encoding.
    return found.translate(_ESCAPES) if _ESCAPED.search(found) else found


def json_texts(texts: Sequence[str]) -> str:
    """A list of strings, which need one match together."""
    if texts and _UNESCAPED.fullmatch("".join(texts)):
        return '["' + '","'.join(texts) + '"]'
    return "[" + ",".join(map(json_text, texts)) + "]"


def _float(digits: str) -> Number:
    if "e" in digits.lower() and math.isinf(float(digits)):
        # jsoniter parses a number with an exponent even where it ignores the value.
        raise ValueError("{0} is too large".format(brief(digits)))
    return Number(digits)


_DECODER = json.JSONDecoder(
    object_pairs_hook=GoObject, parse_int=Number, parse_float=_float, parse_constant=refuse_constant
)


def decode(value: str) -> Any:
    """The content of a JSON string, for a reader. Raises ValueError for invalid JSON, else maybe Ambiguous."""
    check_depth(value)
    try:
        return _DECODER.decode(value)
    except ValueError as exc:
        raise ValueError("the value is not JSON: {0}".format(exc)) from exc


# --- Readers: the Go value of an item ---

Reader = Callable[[Any, Any, str], Any]


def _wrong(where: str, expected: str, item: Any) -> ValueError:
    return ValueError("{0} is not {1}: {2}".format(where or "the value", expected, brief(to_json(item))))


def anything(item: Any, before: Any, where: str) -> Any:
    return item


def text(item: Any, before: Any, where: str) -> str:
    if item is None:
        return ""
    if not isinstance(item, str):
        raise _wrong(where, "a string", item)
    return whole(item)


def flag(item: Any, before: Any, where: str) -> Any:
    if not isinstance(item, bool) and item is not None:
        raise _wrong(where, "true or false", item)
    return item


@functools.lru_cache(maxsize=None)
def number(limit: int) -> Reader:
    """A whole number from 0 to one of few limits."""

    def read(item: Any, before: Any, where: str) -> Any:
        if item is None:
            return before or ZERO
        if not isinstance(item, Number) or digits(item.digits, limit) < 0:
            raise _wrong(where, "a whole number from 0 to {0}".format(limit), item)
        return item

    return read


def integer(least: int, most: int) -> Reader:
    """A pointer to a whole number: an int, None for null. Go rejects a point or an exponent."""

    def read(item: Any, before: Any, where: str) -> Any:
        if item is None:
            return None
        found = int(item.digits) if isinstance(item, Number) and _WHOLE.fullmatch(item.digits) else least - 1
        if not least <= found <= most:
            raise _wrong(where, "a whole number from {0} to {1}".format(least, most), item)
        return found

    return read


# No Go integer has more digits.
_WHOLE = re.compile("-?[0-9]{1,20}")


def real(item: Any, before: Any, where: str) -> Any:
    """A pointer to a number: a float, None for null."""
    if item is None:
        return None
    found = float(item.digits) if isinstance(item, Number) else math.inf
    if math.isinf(found):
        raise _wrong(where, "a number", item)
    return found


def nullable(read_value: Reader) -> Reader:
    """A pointer: None for null."""

    def read(item: Any, before: Any, where: str) -> Any:
        return None if item is None else read_value(item, before, where)

    return read


def protocol(item: Any, before: Any, where: str) -> str:
    """A protocol's name, or the digits of its number, which may also be given as a string."""
    if isinstance(item, str):
        found_digits = protocol_number(item)
        return whole(item) if found_digits is None else found_digits
    found: Number = number(255)(item, None, where)
    return found.digits


# RFC 3339 as Go reads it.
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,]\d+)?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


def read_time(item: Any, before: Any, where: str) -> str:
    if item is None:
        return ""
    match = _RFC_3339.fullmatch(item) if isinstance(item, str) else None
    if not match:
        raise _wrong(where, "a time", item)
    text, sign, hours, minutes = match.groups()
    try:
        moment = datetime.datetime.fromisoformat(text)
        if sign:
            shift = datetime.timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment - shift if sign == "+" else moment + shift
    except (ValueError, OverflowError) as exc:
        raise _wrong(where, "a time", item) from exc
    # Go's zero time is a missing time for Calico. Not strftime: its years may have fewer than four digits.
    return "" if moment == datetime.datetime.min else moment.isoformat() + "Z"


# The endpoints of a fleet are created within a few seconds.
@functools.lru_cache(maxsize=4096)
def is_time(text: str) -> bool:
    try:
        return bool(read_time(text, None, ""))
    except ValueError:
        return False


def texts(item: Any, before: Any, where: str) -> Dict[str, str]:
    """A mapping of strings to strings."""
    if item is None:
        return {}
    if not isinstance(item, GoObject):
        raise _wrong(where, "a mapping", item)
    found = dict(before or {})
    for key, value in item:
        found[whole(key)] = text(value, None, "{0}[{1}]".format(where, brief(key)))
    return found


def read_list_with(read_item: Reader) -> Reader:
    def read(item: Any, before: Any, where: str) -> List[Any]:
        if item is None:
            return []
        if not isinstance(item, list) or isinstance(item, GoObject):
            raise _wrong(where, "a list", item)
        # The items of an earlier list are kept: each item is read over the earlier item at its index.
        earlier = (before or []) + [None] * len(item)
        return [read_item(each, earlier[index], "{0}[{1}]".format(where, index)) for index, each in enumerate(item)]

    return read


def struct(fields: Mapping[str, Reader]) -> Reader:
    names = {field.lower(): field for field in fields}

    def read(item: Any, before: Any, where: str) -> Dict[str, Any]:
        found = dict(before or {})
        if item is None:
            return found
        if not isinstance(item, GoObject):
            raise _wrong(where, "a mapping", item)
        for key, value in item:
            # In any case. The field's reader decides on a duplicate key.
            field = names.get(key.lower())
            if field is None:
                found[key] = value
            else:
                found[field] = fields[field](value, found.get(field), where + "." + field if where else field)
        return found

    return read


# Kubernetes' ObjectMeta.
_OWNER = {
    "apiVersion": text,
    "kind": text,
    "name": text,
    "uid": text,
    "controller": flag,
    "blockOwnerDeletion": flag,
}
_MANAGER = {
    "manager": text,
    "operation": text,
    "apiVersion": text,
    "time": read_time,
    "fieldsType": text,
    "fieldsV1": anything,
    "subresource": text,
}
METADATA = {
    "name": text,
    "generateName": text,
    "namespace": text,
    "selfLink": text,
    "uid": text,
    "resourceVersion": text,
    "generation": number(2**63 - 1),
    "creationTimestamp": read_time,
    "deletionTimestamp": read_time,
    "deletionGracePeriodSeconds": number(2**63 - 1),
    "labels": texts,
    "annotations": texts,
    "ownerReferences": read_list_with(struct(_OWNER)),
    "finalizers": read_list_with(text),
    "managedFields": read_list_with(struct(_MANAGER)),
}
