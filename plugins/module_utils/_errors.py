# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The errors that a user may see. Everything that the collection raises on purpose is a CalicoError."""

from __future__ import annotations

from typing import List, Optional


class CalicoError(Exception):
    """Something that the user has to know; the text is a whole message."""


class InvalidInput(CalicoError):
    """What the task says is not a host endpoint that Calico (or this collection) accepts."""

    SHOWN = 10

    def __init__(self, problems: List[str]) -> None:
        self.problems = problems
        shown = problems[: self.SHOWN]
        if len(problems) > self.SHOWN:
            shown.append("and {0} more".format(len(problems) - self.SHOWN))
        super().__init__("; ".join(shown))


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


def shown(value: object, limit: int = 80) -> str:
    """The value as a message quotes it: on one line, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "..."


def brief(text: str, limit: int = 80) -> str:
    """The text as a message has it without quotes: on one line, and cut where it is long."""
    return shown(str(text), limit).strip("'\"")
