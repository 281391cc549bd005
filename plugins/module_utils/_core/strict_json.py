# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON from users: no duplicate keys, no invalid numbers, and at most the memory of 100,000 endpoints."""

from __future__ import annotations

import json
import re

# The standard library has it without types.
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Dict, Iterator, List, Match, Tuple, cast

from .yaml_builder import LONGEST_NUMBER, MOST_VALUES, format_path, given_twice


class NotJson(ValueError):
    """The string is not JSON; the message is the place and the reason."""


def load(text: str) -> Any:
    """The content of a string. Raises NotJson for invalid JSON, and ValueError for JSON that is rejected here."""
    _check_values(text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        reason = exc.msg[:1].lower() + exc.msg[1:]
        raise NotJson("line {0}, column {1}: {2}".format(exc.lineno, exc.colno, reason)) from exc
    except _JsonKeyTwice as exc:
        raise ValueError(_first_twice(text)) from exc
    except _NoNumber as exc:
        raise ValueError(_line(text, _position(text, exc.token)) + str(exc)) from exc
    except RecursionError as exc:
        raise ValueError("is nested too deeply") from exc


def is_list(text: str) -> bool:
    """Whether the string may be JSON of a list."""
    return _LIST.match(text) is not None


def iterate(text: str) -> Iterator[Any]:
    """The items of a list, each decoded when it is due, so that few exist at a time. Raises the same errors as `load`.

    The error of an item is raised when the item is due.
    """
    _check_values(text)
    number, position, mark = 0, cast(Match[str], _LIST.match(text)).end(), ","
    try:
        while mark == ",":
            item, position = _DECODER.raw_decode(text, position)
            found = _SEPARATOR.match(text, position)
            mark, position = (found.group(1), found.end()) if found else ("", position)
            number += 1
            yield item
    except (ValueError, RecursionError, _JsonKeyTwice, _NoNumber):
        mark = ""
    if mark != "]" or position != len(text):
        # Invalid, or empty.
        yield from load(text)[number:]


# The start of a list, and what is after an item, with the spaces around it.
_LIST = re.compile(r"[ \t\r\n]*\[[ \t\r\n]*")
_SEPARATOR = re.compile(r"[ \t\r\n]*([],])[ \t\r\n]*")


def _check_values(text: str) -> None:
    # Counted before decoding. Marks in strings count as well, and so does an empty list or object.
    values = text.count("{") + text.count("[") + text.count(",") + text.count('":')
    if values > MOST_VALUES or values + _spaced_keys(text) > MOST_VALUES:
        message = "holds more than {0} values and keys; split the file"
        raise ValueError(message.format(MOST_VALUES))


def _spaced_keys(text: str) -> int:
    """Number of keys with a space before their colon, which are rare."""
    return sum(1 for _match in re.finditer(r'"[ \t\r\n]+:', text))


class _JsonKeyTwice(Exception):
    """A key is given twice; the decoder does not report where."""


class _NoNumber(Exception):
    def __init__(self, token: str, text: str) -> None:
        super().__init__(text)
        self.token = token


def _unique(members: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise _JsonKeyTwice
    return found


def _int(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise _NoNumber(digits, "a number of {0} characters is too long; quote it".format(len(digits)))
    return int(digits)


def _constant(name: str) -> None:
    raise _NoNumber(name, "{0} is not allowed in JSON; quote it".format(name))


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_int, parse_constant=_constant)

# The start or end of an item, outside of strings.
_MARK = re.compile(r'["{}\[\],]')


def _first_twice(text: str) -> str:
    """The message about the first duplicate key, in a string that is valid JSON up to there."""
    # For each open object the place of each of its keys, for each list None; and the key or index that is being read.
    open_: List[Any] = []
    keys: List[Any] = []
    position, is_key = 0, False
    while True:
        found = _MARK.search(text, position)
        if not found:
            return "a key is given twice"
        mark, start, position = found.group(), found.start(), found.end()
        if mark == '"':
            key, position = scanstring(text, position)
            if is_key:
                keys[-1] = key
                if key in open_[-1]:
                    return _line(text, start) + given_twice(format_path(keys), _number(text, open_[-1][key]))
                open_[-1][key] = start
                is_key = False
        elif mark in "{[":
            open_.append({} if mark == "{" else None)
            keys.append(0)
            is_key = mark == "{"
        elif mark in "}]":
            open_.pop()
            keys.pop()
            is_key = False
        else:
            is_key = open_[-1] is not None
            if not is_key:
                keys[-1] += 1


def _position(text: str, token: str) -> int:
    """The place of a number with thousands of digits, or of a number that Python accepts and JSON does not."""
    if len(token) > LONGEST_NUMBER:
        return text.find(token)
    found = re.search(r"[\s,:[]" + token, text)
    return found.start() + 1 if found else 0


def _number(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _line(text: str, position: int) -> str:
    return "line {0}: ".format(_number(text, position))
