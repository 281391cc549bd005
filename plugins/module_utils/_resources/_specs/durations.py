# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Durations as Go reads and writes them (time.ParseDuration and Duration.String)."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from ..._core.errors import brief, shown
from ..._core.go_types import to_json

_UNITS = {
    "ns": 1,
    "us": 1000,
    # Two characters that look like a mu.
    "\u00b5s": 1000,
    "\u03bcs": 1000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?({0})".format("|".join(_UNITS)), re.ASCII)
_MOST = 2**63


def read_duration(item: Any, before: Any, where: str) -> str:
    """A reader: the duration in Go's form, so that equal durations are equal strings. Raises ValueError."""
    if isinstance(item, str):
        with contextlib.suppress(ValueError):
            return format_duration(parse_duration(item))
    found = shown(item) if isinstance(item, str) else brief(to_json(item))
    raise ValueError("{0} is not a valid duration: {1}; use a form such as 90s or 1m30s".format(where, found))


def parse_duration(text: str) -> int:
    """The duration in nanoseconds. Raises ValueError for a string that Go rejects."""
    sign, rest = (-1 if text[:1] == "-" else 1), text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total, end = 0, 0
    while end < len(rest) or not rest:
        match = _PART.match(rest, end)
        if not match or not (match.group(1) or match.group(2)):
            raise ValueError("it is not a duration")
        total += _count(*match.groups(default=""))
        end = match.end()
    if total > _MOST or total == _MOST and sign > 0:
        raise ValueError("it is too long")
    return sign * total


def _count(whole: str, part: str, unit: str) -> int:
    # Go computes with the first digits of a long fraction only, as a float.
    part = part[:18]
    return int(whole or 0) * _UNITS[unit] + int(int(part or 0) * (_UNITS[unit] / 10.0 ** len(part)))


def format_duration(nanoseconds: int) -> str:
    sign, rest = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    if not rest:
        return "0s"
    if rest < _UNITS["s"]:
        unit = "ms" if rest >= _UNITS["ms"] else "\u00b5s" if rest >= _UNITS["us"] else "ns"
        return sign + _decimal(rest, _UNITS[unit]) + unit
    minutes, rest = divmod(rest, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    before = "{0}h{1}m".format(hours, minutes) if hours else "{0}m".format(minutes) if minutes else ""
    return sign + before + _decimal(rest, _UNITS["s"]) + "s"


def _decimal(number: int, size: int) -> str:
    """number / size; the size is a power of ten."""
    whole, part = divmod(number, size)
    fraction = str(part).zfill(len(str(size)) - 1).rstrip("0")
    return "{0}.{1}".format(whole, fraction) if fraction else str(whole)
