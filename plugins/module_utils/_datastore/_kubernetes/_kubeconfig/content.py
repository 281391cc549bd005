# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content of a kubeconfig: its files merged, and its entries by name."""

from __future__ import annotations

import copy
import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from ...._core import yaml_io
from ...._core.errors import brief
from ...._core.files import read_text

# {list: the key of an entry's content}
_CONTENTS = {"clusters": "cluster", "contexts": "context", "users": "user"}


class Entry(NamedTuple):
    """A cluster, a context or a user."""

    # As messages name it, for example users[name=admin].
    where: str
    fields: Dict[str, Any]
    # Of its file; relative paths in the entry begin in its folder.
    path: str | None

    def get_content(self, kind: str) -> Dict[str, Any]:
        """What it is besides its name. Raises ValueError."""
        key = _CONTENTS[kind]
        found = self.fields.get(key)
        if not isinstance(found, dict):
            problem = "is missing" if found is None else "is not a mapping"
            raise ValueError("{0}: the key {1} {2}".format(self.where, key, problem))
        return found


class Kubeconfig(NamedTuple):
    """One or more kubeconfigs as one."""

    fields: Dict[str, Any]
    lists: Dict[str, List[Entry]]

    def find(self, kind: str, name: Any) -> Entry | None:
        return next((entry for entry in self.lists[kind] if entry.fields["name"] == name), None)


def is_content(text: str) -> bool:
    """Whether a string is a kubeconfig's content, not a path."""
    return "\n" in text or text.lstrip().startswith("{")


def parse_content(value: Any) -> Any:
    """The content of a kubeconfig that is given as text; a path as it is. Raises ValueError, without quoting it."""
    if isinstance(value, str) and is_content(value):
        return yaml_io.first(value)
    return value


def read_kubeconfig(source: str | Mapping[str, Any]) -> Kubeconfig:
    """The content, given as such or as paths separated by colons, merged as the library kubernetes does it.

    Raises ValueError with the reason, which quotes no values but names and paths.
    """
    if not isinstance(source, str):
        return _merge([("", None, copy.deepcopy(dict(source)))])
    paths = [os.path.expanduser(path) for path in source.split(os.pathsep) if path]
    found = [path for path in paths if os.path.exists(path)]
    # The caller names a single file.
    starts = [brief(path, 255) + ": " if len(paths) > 1 else "" for path in found]
    return _merge([(start, path, _read_file(path, start)) for start, path in zip(starts, found)])


def _read_file(path: str, start: str) -> Any:
    try:
        return yaml_io.first(read_text(path))
    except ValueError as exc:
        raise ValueError("{0}{1}".format(start, exc)) from exc


def _merge(documents: List[Tuple[str, str | None, Any]]) -> Kubeconfig:
    """Merge documents, each with the start of a message and its path.

    Of entries with the same name, the first one counts, and of current contexts the last one.
    """
    merged = Kubeconfig({}, {kind: [] for kind in _CONTENTS})
    for number, (start, path, document) in enumerate(documents):
        if not isinstance(document, dict):
            raise ValueError("{0}the content is not a mapping".format(start))
        keys = [key for key in document if key not in _CONTENTS and (not number or key == "current-context")]
        merged.fields.update((key, document[key]) for key in keys)
        for kind in _CONTENTS:
            for entry in _list_entries(kind, document.get(kind), path, start):
                if merged.find(kind, entry.fields["name"]) is None:
                    merged.lists[kind].append(entry)
    return merged


def _list_entries(kind: str, items: Any, path: str | None, start: str) -> Iterator[Entry]:
    if not isinstance(items, (list, tuple, type(None))):
        raise ValueError("{0}{1} is not a list".format(start, kind))
    for number, item in enumerate(items or ()):
        if not isinstance(item, dict):
            raise ValueError("{0}{1}[{2}] is not a mapping".format(start, kind, number))
        if item.get("name") is None:
            raise ValueError("{0}{1}[{2}]: the key name is missing".format(start, kind, number))
        yield Entry("{0}{1}[name={2}]".format(start, kind, brief(item["name"])), item, path)
