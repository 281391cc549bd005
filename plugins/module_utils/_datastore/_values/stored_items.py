# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The items of a list, such as rules, with the fields of the stored items that Calico does not know."""

from __future__ import annotations

import collections
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence


def find_stored(items: Sequence[Any], stored: Sequence[Any], tidy: Callable[[Any], Any]) -> List[Any]:
    """The stored item in place of each item that equals it, and all other items as they are.

    tidy: an item without the fields that do not count in the comparison. Of equal items, those before and those behind
    all differences are matched by their position, and those between by their order. Each stored item is used once.
    """
    known = [repr(tidy(item)) for item in stored]
    places = _match([repr(tidy(item)) for item in items], known)
    return [item if place is None else stored[place] for item, place in zip(items, places)]


def _match(texts: Sequence[str], stored: Sequence[str]) -> List[Optional[int]]:
    """The index of the stored text that belongs to each text; None for a new one."""
    found: List[Optional[int]] = [None] * len(texts)
    shorter = min(len(texts), len(stored))
    start = end = 0
    while start < shorter and texts[start] == stored[start]:
        found[start] = start
        start += 1
    while end < shorter - start and texts[-1 - end] == stored[-1 - end]:
        end += 1
        found[-end] = len(stored) - end
    moved: Dict[str, Deque[int]] = {}
    for place in range(start, len(stored) - end):
        moved.setdefault(stored[place], collections.deque()).append(place)
    for index in range(start, len(texts) - end):
        if moved.get(texts[index]):
            found[index] = moved[texts[index]].popleft()
    return found
