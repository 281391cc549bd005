# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors that a user may see. Everything that the collection raises on purpose is a CalicoError."""

from __future__ import annotations

from typing import List, Optional

# Characters of a message, and of one of the problems in it.
LONGEST = 12000
_LONGEST_PROBLEM = 1000


class CalicoError(Exception):
    """Something that the user has to know. The text is a whole message, on one line, whatever it quotes."""

    def __init__(self, message: str) -> None:
        super().__init__(brief(message, LONGEST))


class InvalidInput(CalicoError):
    """What the task says is not a host endpoint that Calico (or this collection) accepts."""

    SHOWN = 10

    def __init__(self, problems: List[str]) -> None:
        self.problems = [brief(problem, _LONGEST_PROBLEM) for problem in problems]
        first = self.problems[: self.SHOWN]
        if len(problems) > self.SHOWN:
            first.append("and {0} more".format(len(problems) - self.SHOWN))
        super().__init__("; ".join(first))


class Refused(CalicoError):
    """The change is one that the collection does not make: Calico's own endpoint, a locked datastore, ..."""


class MissingLibrary(CalicoError):
    """A Python library that this datastore needs cannot be imported."""

    def __init__(self, library: str, traceback: Optional[str]) -> None:
        self.library = library
        self.traceback = traceback
        super().__init__("the Python library {0} is needed".format(library))


class DatastoreError(CalicoError):
    """The datastore could not be read or written."""


class Conflict(DatastoreError):
    """Somebody else changed the endpoint between our read and our write.

    With `maybe_done`, our write got no answer and may have been carried out before that.
    """

    def __init__(self, message: str, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done


def file_problem(exc: Exception) -> str:
    """Why a file could not be opened, by what `open` or the like has raised: OSError or ValueError."""
    if isinstance(exc, OSError):
        return exc.strerror or str(exc)
    if isinstance(exc, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(exc, UnicodeEncodeError):
        return "is not a path: it is not valid Unicode"
    return "is not a path: it contains a NUL character" if "null" in str(exc) else str(exc)


def shown(value: object, limit: int = 80) -> str:
    """The value as a message quotes it: on one line, and cut where it is long."""
    if isinstance(value, str):
        value = value[: limit + 1]
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        # A value that is nested too deeply, or an integer of thousands of digits.
        return "a value that is too large to show"
    return brief(text, limit)


def brief(text: object, limit: int = 80) -> str:
    """The text as a message has it without quotes: on one line, and cut where it is long."""
    if not isinstance(text, str):
        return shown(text, limit)
    return visible(text if len(text) <= limit else text[:limit] + "...")


def visible(text: str) -> str:
    """The text with each character that does not show as one, such as a terminal's escape, written as `\\x1b`."""
    if text.isprintable():
        return text
    escaped = [char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text]
    return "".join(escaped)
