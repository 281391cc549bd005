# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resources that a run declares: written in variables, in files and in templates."""

from __future__ import annotations

import glob
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence

from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, shown
from ansible_collections.netsec.calico.plugins.module_utils._core.files import path_as_shown, read_text
from ansible_collections.netsec.calico.plugins.module_utils._module._input.declared import build_wants
from ansible_collections.netsec.calico.plugins.module_utils._module._input.documents import (
    Item,
    list_items,
    parse_documents,
)
from ansible_collections.netsec.calico.plugins.module_utils._module._input.resource_set import parse_declared
from ansible_collections.netsec.calico.plugins.module_utils._plan.desired import Present
from ansible_collections.netsec.calico.plugins.module_utils._resources.api_version import ApiVersion
from ansible_collections.netsec.calico.plugins.plugin_utils._fleet.run_failed import RunFailed

TEMPLATE = ".j2"
# The files of a directory that count.
_EXTENSIONS = tuple(extension + end for extension in (".yml", ".yaml", ".json") for end in ("", TEMPLATE))


def list_files(where: str, sources: Sequence[Any]) -> List[str]:
    """The files of paths, directories and patterns, which are relative to the current directory. Raises RunFailed."""
    found: Dict[str, None] = {}
    for source in sources:
        if not isinstance(source, str) or not source or "\0" in source:
            raise RunFailed("{0}: {1} is not a path".format(where, shown(source)))
        path = os.path.abspath(os.path.expanduser(source))
        files = [path]
        if os.path.isdir(path):
            files = list(_list_directory(path))
        elif not os.path.lexists(path) and glob.has_magic(path):
            files = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
        if not files:
            # With a purge, an empty set would delete everything.
            text = "{0}: {1} has no files that end in {2}" if os.path.isdir(path) else "{0}: {1} matches no file"
            raise RunFailed(text.format(where, path_as_shown(source), ", ".join(_EXTENSIONS)))
        found.update(dict.fromkeys(files))
    return list(found)


def _list_directory(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(_EXTENSIONS) and not name.startswith("."):
                yield os.path.join(parent, name)


def read_file(where: str, path: str, render: Callable[[str, str], Any]) -> List[Item]:
    """The resources of a file or a template. Raises RunFailed.

    `render`: the content of a template from its place and text, a string or what Ansible made of it.
    """
    place = "{0}: {1}".format(where, path_as_shown(path))
    try:
        text = read_text(path)
    except ValueError as exc:
        raise RunFailed("{0}: {1}".format(place, exc)) from exc
    return parse_items(place, render(place, text) if path.endswith(TEMPLATE) else text)


def parse_items(place: str, content: Any) -> List[Item]:
    """The resources of a string with YAML documents, lists or list resources, or of such a value. Raises RunFailed."""
    try:
        documents = parse_documents(content) if isinstance(content, str) else [content]
    except ValueError as exc:
        raise RunFailed("{0}: {1}".format(place, exc)) from exc
    documents = [document for document in documents if document is not None]
    if not documents:
        raise RunFailed("{0}: contains no resources; write an empty set as []".format(place))
    found: List[Item] = []
    for number, document in enumerate(documents):
        here = place if len(documents) == 1 else "{0}, document {1}".format(place, number + 1)
        try:
            items = list(list_items(here, document))
        except InvalidInput as exc:
            raise RunFailed(str(exc)) from exc
        for nested, item in items:
            found += parse_items(nested, item) if isinstance(item, str) else [(nested, item)]
    return found


def check_items(items: Iterable[Item], api_version: ApiVersion) -> None:
    """Raise RunFailed with the place and the problem of each invalid resource, and both places of a duplicate.

    The module checks the same, but does not know the places.
    """

    def parse(item: Any) -> Present:
        resource = parse_declared(item, api_version)
        api_version.check(resource)
        return Present(resource)

    try:
        build_wants(items, parse, api_version.identify)
    except InvalidInput as exc:
        raise RunFailed(str(exc)) from exc
