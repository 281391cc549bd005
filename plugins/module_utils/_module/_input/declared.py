# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Items as declared resources, each with its place for messages, and the label of their owner."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Callable, Dict, Hashable, Iterable, List, Tuple, TypeVar

from ..._core.errors import InvalidInput, brief, format_message, shown
from ..._plan.desired import Desired
from ..._resources.api_version import ApiVersion
from ..._resources.resource import Ref
from .documents import Item

# A message names ten problems; to keep millions would exhaust the memory.
_MOST_PROBLEMS = 100000

# The identity of a resource.
Key = TypeVar("Key", bound=Hashable)
_Want = TypeVar("_Want", bound=Desired)


def build_wants(
    items: Iterable[Item], parse: Callable[[Any], _Want], get_key: Callable[[Ref], Key]
) -> Dict[Key, _Want]:
    """Each item as what is declared about a resource, by its key.

    Raises InvalidInput with the place and problem of every invalid item, and both places of every duplicate.
    """
    wants: Dict[Key, _Want] = {}
    # In the same order.
    places: List[str] = []
    problems: List[str] = []
    for where, item in items:
        if len(problems) > _MOST_PROBLEMS:
            # The end of a list in JSON may be invalid, which is reported instead.
            continue
        try:
            want = parse(item)
            key = get_key(want.ref)
        except InvalidInput as exc:
            for problem in exc.problems:
                is_shown = len(problems) < InvalidInput.SHOWN
                problems.append("{0}: {1}{2}".format(where, _called(item, problem), problem) if is_shown else problem)
            continue
        if key in wants:
            first = places[list(wants).index(key)] if len(problems) < InvalidInput.SHOWN else ""
            problems.append("{0}: {1} is given twice, first by {2}".format(where, want.ref, first))
            continue
        wants[key] = want
        places.append(where)
    if problems:
        raise InvalidInput(problems)
    return wants


def build_owner_labels(params: Mapping[str, Any], api_version: ApiVersion) -> Dict[str, str]:
    """The label that every resource of a set gets, if an owner is given. Raises InvalidInput for an invalid label."""
    if not params["owner"]:
        return {}
    api_version.check_owner(params["owner_label"], params["owner"])
    return {params["owner_label"]: params["owner"]}


def add_owner(labels: Mapping[str, str], owner_labels: Mapping[str, str]) -> Dict[str, str]:
    """The labels with that of the owner. Raises InvalidInput if another owner is given."""
    for key, value in owner_labels.items():
        if labels.get(key, value) != value:
            text = "labels[{0}]: {1} contradicts {owner} {2}"
            raise InvalidInput([format_message(text, key, shown(labels[key]), shown(value))])
    return _merge(tuple(labels.items()), tuple(owner_labels.items()))


# The resources of a fleet share few different labels: equal ones are one mapping.
@functools.lru_cache(maxsize=4096)
def _merge(labels: Tuple[Tuple[str, str], ...], owner_labels: Tuple[Tuple[str, str], ...]) -> Dict[str, str]:
    return dict((*labels, *owner_labels))


def _called(item: Any, problem: str) -> str:
    """The name of an invalid item, if it has one, unless the problem contains it already."""
    if not isinstance(item, Mapping):
        return ""
    metadata = item.get("metadata")
    name = item.get("name") or (metadata.get("name") if isinstance(metadata, Mapping) else None)
    # A problem may begin with the resource, such as "tier x: spec.order: ..." or "host endpoint x on node n: ...".
    subject, called = problem.partition(": ")[0], " " + brief(name, 255)
    is_called = subject.endswith(called) or called + " on node " in subject
    return brief(name) + ": " if name and not is_called else ""
