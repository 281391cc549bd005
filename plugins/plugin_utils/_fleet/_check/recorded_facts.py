# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts that were recorded in JSON files: the results of the module `setup`, or the files of a fact cache.

Plain Python, without Ansible.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

from ansible_collections.netsec.calico.plugins.module_utils._core import strict_json
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import InvalidInput, join_first, shown
from ansible_collections.netsec.calico.plugins.module_utils._core.files import path_as_shown, read_text

# Before the host's name, ansible-core 2.19 and later write the version of their form.
_CACHE_SCHEMA = re.compile(r"s\d+_")
_PAYLOAD = "__payload__"
# How they write a value with tags.
_TYPE, _VALUE = "__ansible_type", "value"
_PREFIX = "ansible_"
_YAML = (".yml", ".yaml")
# Number of files that a message names.
_SHOWN = 10


def read_recorded_facts(
    where: str, sources: Sequence[Any], is_host: Callable[[str], bool]
) -> Tuple[Dict[str, Dict[str, Any]], List[str]]:
    """{host: its facts with the prefix "ansible_"} of files, and the files that belong to no host.

    where: the option in messages. sources: paths of files and directories, and patterns. A file has the name of its
    host, with or without `.json`. Raises InvalidInput.
    """
    found: Dict[str, Dict[str, Any]] = {}
    places: Dict[str, str] = {}
    foreign: List[str] = []
    for path in dict.fromkeys(path for source in sources for path in _list_files(where, source)):
        host = _find_host(os.path.basename(path), is_host)
        if not host:
            foreign.append(path_as_shown(path))
            continue
        if host in found:
            text = "{0}: {1} and {2} both hold the facts of {3}; keep one file"
            raise InvalidInput([text.format(where, places[host], path_as_shown(path), host)])
        places[host] = path_as_shown(path)
        try:
            found[host] = parse_facts(read_text(path))
        except ValueError as exc:
            raise InvalidInput(["{0}: {1}: {2}".format(where, path_as_shown(path), exc)]) from exc
    if sources and not found:
        text = "{0}: no file has the name of a host of the inventory: {1}{2}"
        only = "; only JSON is read" if any(each.endswith(_YAML) for each in foreign) else ""
        raise InvalidInput([text.format(where, join_first(foreign, _SHOWN) or "the directory is empty", only)])
    return found, foreign


def parse_facts(text: str) -> Dict[str, Any]:
    """The facts of a host in a JSON document, with the prefix "ansible_". Raises ValueError."""
    content = strict_json.load(text)
    if isinstance(content, Mapping) and isinstance(content.get(_PAYLOAD), str):
        content = json.loads(content[_PAYLOAD], object_hook=_without_tags)
    if isinstance(content, Mapping) and isinstance(content.get("ansible_facts"), Mapping):
        content = content["ansible_facts"]
    if not isinstance(content, Mapping):
        raise ValueError("does not contain the facts of a host; it must be a mapping")
    if any(str(key).startswith(_PREFIX) for key in content):
        return dict(content)
    # The variable ansible_facts has no prefixes.
    if "interfaces" in content:
        return {_PREFIX + key: value for key, value in content.items()}
    raise ValueError("does not contain the facts of a host, which the module setup returns")


def _without_tags(value: Dict[str, Any]) -> Any:
    return value[_VALUE] if _TYPE in value and _VALUE in value else value


def _find_host(name: str, is_host: Callable[[str], bool]) -> str:
    """The host of a file; "" if the inventory has no such host."""
    names = [name, name[: -len(".json")] if name.endswith(".json") else name]
    names += [_CACHE_SCHEMA.sub("", each, count=1) for each in names if _CACHE_SCHEMA.match(each)]
    return next((each for each in names if is_host(each)), "")


def _list_files(where: str, source: Any) -> Iterator[str]:
    if not isinstance(source, str) or not source or "\0" in source:
        raise InvalidInput(["{0}: {1} is not a path".format(where, shown(source))])
    path = os.path.abspath(os.path.expanduser(source))
    if os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            if not name.startswith(".") and os.path.isfile(os.path.join(path, name)):
                yield os.path.join(path, name)
    elif os.path.lexists(path):
        yield path
    elif glob.has_magic(path):
        found = sorted(each for each in glob.glob(path, recursive=True) if os.path.isfile(each))
        if not found:
            raise InvalidInput(["{0}: {1} matches no file".format(where, path_as_shown(source))])
        yield from found
    else:
        raise InvalidInput(["{0}: {1} does not exist".format(where, path_as_shown(path))])
