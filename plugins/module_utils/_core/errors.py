# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors that a user may see. Everything that the collection raises on purpose is a CalicoError."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

# Characters of a message, and of one of the problems in it.
LONGEST = 12000
_LONGEST_PROBLEM = 1000


class CalicoError(Exception):
    """A problem that the user must know. The message is complete and on one line, whatever it quotes."""

    def __init__(self, message: str) -> None:
        super().__init__(brief(message, LONGEST))


class InvalidInput(CalicoError):
    """The input is not a host endpoint that Calico (or this collection) accepts."""

    SHOWN = 10

    def __init__(self, problems: List[str]) -> None:
        self.problems = [brief(problem, _LONGEST_PROBLEM) for problem in problems]
        first = self.problems[: self.SHOWN]
        if len(problems) > self.SHOWN:
            first.append("and {0} more".format(len(problems) - self.SHOWN))
        super().__init__("; ".join(first))


class Refused(CalicoError):
    """The collection rejects the change: Calico's own endpoint, a locked datastore, ..."""


class MissingLibrary(CalicoError):
    """A Python library that this datastore requires cannot be imported."""

    def __init__(self, library: str, traceback: Optional[str]) -> None:
        self.library = library
        self.traceback = traceback
        super().__init__("the Python library {0} is needed".format(library))


class DatastoreError(CalicoError):
    """The datastore could not be read or written."""


class Conflict(DatastoreError):
    """Another client changed the resource between our read and our write.

    With `maybe_done`, our write got no answer and may have been carried out before that.
    """

    def __init__(self, message: str, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done


# {option: the name by which the user knows it}, of the task that this process runs.
_option_names: Dict[str, str] = {}


def name_options(names: Mapping[str, str]) -> None:
    """Set the names of options in the messages of this process, for example those of variables that hold them."""
    _option_names.clear()
    _option_names.update((option, name) for option, name in names.items() if name)


def get_option_name(option: str) -> str:
    """The name by which the user knows an option: its own, unless name_options gave another."""
    return _option_names.get(option, option)


def format_message(text: str, *values: object) -> str:
    """The text with its values, as `str.format`, and with the names of options that stand in braces."""
    return _MessageFormatter().vformat(text, values, {})


class _MessageFormatter(string.Formatter):
    def get_value(self, key: object, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        return get_option_name(key) if isinstance(key, str) else super().get_value(key, args, kwargs)  # type: ignore[arg-type]


def file_problem(exc: Exception) -> str:
    """The reason why a file could not be opened, from the OSError or ValueError of `open`."""
    if isinstance(exc, OSError):
        return exc.strerror or str(exc)
    if isinstance(exc, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(exc, UnicodeEncodeError):
        return "is not a path: it is not valid Unicode"
    return "is not a path: it contains a NUL character" if "null" in str(exc) else str(exc)


def shown(value: object, limit: int = 80) -> str:
    """The value as a message quotes it: on one line, and cut if long, however large it is."""
    try:
        text = _cut_repr(value, limit)
    except (RecursionError, ValueError):
        # A value that is nested too deeply, for example.
        return "a value that is too large to show"
    return brief(text, limit)


def brief(text: object, limit: int = 80) -> str:
    """The text as a message has it without quotes: on one line, and cut where it is long."""
    if not isinstance(text, str):
        return shown(text, limit)
    return visible(cut(text, limit))


def cut(text: str, limit: int) -> str:
    """The text, or its start and an ellipsis where it is longer than the limit."""
    return text if len(text) <= limit else text[:limit] + "..."


def join_first(names: Sequence[str], limit: int) -> str:
    """The first names, separated by commas, and the number of the others."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (" and {0} more".format(more) if more > 0 else "")


def visible(text: str) -> str:
    """The text with each character that does not show as one, such as a terminal's escape, written as `\\x1b`."""
    if text.isprintable():
        return text
    escaped = [char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text]
    return "".join(escaped)


def _cut_repr(value: object, room: int) -> str:
    """The value's repr if it has room, else more characters of its start than the room."""
    if room < 0:
        return "..."
    if isinstance(value, str):
        # The quotes depend on the whole string.
        quotes = "".join([quote for quote in "'\"" if quote in value])
        return repr(value[: room + 1] + quotes if len(value) > room + 1 else value)
    if isinstance(value, bytes):
        return repr(value[: room + 1])
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return "a number of {0} bits".format(value.bit_length())
    if isinstance(value, Mapping):
        items = ((_cut_repr(key, room) + ": ", item) for key, item in value.items())
        return _cut_items("{", items, "}", room)
    if isinstance(value, (list, tuple)):
        ends = "[]" if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
        return _cut_items(ends[0], (("", item) for item in value), ends[1], room)
    return repr(value)


# Python refuses to write an integer of more than 4300 digits.
MOST_BITS = 10000


def _cut_items(opening: str, items: Iterable[Tuple[str, object]], closing: str, room: int) -> str:
    text = opening
    for key, item in items:
        text += (", " if len(text) > 1 else "") + key
        text += _cut_repr(item, room - len(text))
        if len(text) > room:
            return text
    return text + closing
