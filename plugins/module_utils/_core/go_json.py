# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON as Go's encoding/json reads it into structs: keys without regard to case, null as a missing value.

Every function raises ValueError with the reason if Go would reject the string, and Ambiguous if Go's result is
uncertain.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, Tuple, Type, TypeVar

from .errors import shown

_T = TypeVar("_T")

# Real values are shallower, Python's own limit is not far, and Go's limit depends on its version.
MAX_DEPTH = 100


class Ambiguous(ValueError):
    """A string that versions of Go read differently."""


def load(text: str) -> Any:
    check_depth(text)
    try:
        return replace_halves(_DECODER.decode(text), text)
    except json.JSONDecodeError as exc:
        raise ValueError("the value is not JSON: {0}".format(exc)) from exc


def check_depth(text: str) -> None:
    """Raise Ambiguous for a string that is nested deeper than MAX_DEPTH."""
    # Most strings have fewer brackets.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _TEXT_OR_BRACKET.findall(text):
        depth += _DEPTHS.get(bracket, 0)
        if depth > MAX_DEPTH:
            raise Ambiguous("the value is nested too deeply")


# An unterminated string extends to the end: else each quote in it would be tried as a start.
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|([][{}])', re.DOTALL)
_DEPTHS = {"[": 1, "{": 1, "]": -1, "}": -1}


def shallow(text_: str, depth: int) -> str:
    """The JSON without the content of lists and objects that are nested deeper, of which only the brackets are kept."""
    kept = []
    level = start = 0
    for found in _TEXT_OR_BRACKET.finditer(text_):
        change = _DEPTHS.get(found.group(1), 0)
        if change > 0 and level == depth:
            kept.append(text_[start : found.end()])
        elif change < 0 and level == depth + 1:
            start = found.start()
        level += change
    return "".join(kept) + text_[start:]


def replace_halves(item: Any, text: str) -> Any:
    """The decoded value with each unpaired surrogate replaced by U+FFFD, as Go reads it."""
    return _replace_halves(item) if "\\u" in text else item


def _replace_halves(item: Any) -> Any:
    if isinstance(item, str):
        return whole(item)
    if isinstance(item, list):
        return [_replace_halves(each) for each in item]
    if isinstance(item, dict):
        return {whole(key): _replace_halves(each) for key, each in item.items()}
    return item


def whole(text_: str) -> str:
    """The string as Go reads it: each unpaired surrogate replaced by U+FFFD."""
    return text_ if text_.isascii() else _HALF.sub("\ufffd", text_)


# A surrogate of UTF-16.
_HALF = re.compile("[\ud800-\udfff]")


def folded(key: str, where: str = "the value") -> str:
    """The key in lower case. Raises Ambiguous for a key that Go's JSON readers fold differently."""
    if not key.isascii() and _OTHER_CASES.search(key):
        raise Ambiguous("{0} has the key {1}, which may be read as another key".format(where, shown(key)))
    return key.lower()


# A long s and the Kelvin sign, which some readers fold to s and k.
_OTHER_CASES = re.compile("[\u017f\u212a]")


def struct(item: Any, where: str = "the value") -> Dict[str, Any]:
    """The members of an object that are not null, by their keys in lower case; for null, an empty dict."""
    if item is None:
        return {}
    if not isinstance(item, dict):
        raise ValueError("{0} is not a JSON object: {1}".format(where, shown(item)))
    found = {folded(key, where): value for key, value in item.items()}
    if len(found) < len(item):
        raise Ambiguous("{0} has a key twice".format(where))
    return {key: value for key, value in found.items() if value is not None}


def text(fields: Mapping[str, Any], key: str) -> str:
    return _typed(fields, key, str, "")


def flag(fields: Mapping[str, Any], key: str) -> bool:
    return _typed(fields, key, bool, False)


def items(fields: Mapping[str, Any], key: str) -> List[Any]:
    return _typed(fields, key, list, [])


def texts(fields: Mapping[str, Any], key: str) -> List[str]:
    return [_text(item, key) for item in items(fields, key)]


def mapping(item: Any, where: str) -> Dict[str, str]:
    """A mapping of strings to strings; for null, an empty one."""
    if item is None:
        return {}
    if not isinstance(item, dict):
        raise ValueError("{0} is not a JSON object: {1}".format(where, shown(item)))
    return {key: _text(value, where) for key, value in item.items()}


def integer(item: Any, where: str, least: int, most: int) -> int:
    """A whole number. Go rejects a number that is written with a point or an exponent."""
    if isinstance(item, bool) or not isinstance(item, int) or not least <= item <= most:
        raise ValueError("{0} is not a whole number from {1} to {2}: {3}".format(where, least, most, shown(item)))
    return item


def number(item: Any, where: str) -> float:
    if isinstance(item, bool) or not isinstance(item, (int, float)):
        raise ValueError("{0} is not a number: {1}".format(where, shown(item)))
    try:
        found = float(item)
    except OverflowError:
        found = float("inf")
    if found in (float("inf"), float("-inf")):
        raise ValueError("{0} is too large: {1}".format(where, shown(item)))
    return found


_DIGITS = re.compile("[0-9]+")


def digits(item: str, most: int) -> int:
    """The number as strconv.ParseUint reads it; -1 for a string that it rejects."""
    number_ = int(item) if len(item) <= 20 and _DIGITS.fullmatch(item) else -1
    return number_ if number_ <= most else -1


def _typed(fields: Mapping[str, Any], key: str, kind: Type[_T], default: _T) -> _T:
    item = fields.get(key)
    if item is None:
        return default
    if not isinstance(item, kind):
        raise ValueError("{0} has the wrong type: {1}".format(key, shown(item)))
    return item


def _text(item: Any, where: str) -> str:
    if item is None:
        return ""
    if not isinstance(item, str):
        raise ValueError("{0} holds a value that is not a string: {1}".format(where, shown(item)))
    return item


def _unique(members: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise Ambiguous("the value has a key twice")
    return found


def refuse_constant(constant: str) -> None:
    raise ValueError("{0} is not JSON".format(constant))


def parse_int(text_: str) -> Any:
    # Python rejects an integer of more than some thousand digits.
    return int(text_) if len(text_) < 1000 else float("inf")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=refuse_constant, parse_int=parse_int)
