# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resources as users write them: a list, a string of JSON or YAML, or a file with several documents."""

from __future__ import annotations

import collections
import difflib
import functools
import re
from collections.abc import Mapping
from typing import Any, Collection, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..._core import strict_json, yaml_io
from ..._core.errors import InvalidInput, brief, shown
from ..._core.files import path_as_shown, read_text
from ..._resources.manifest import is_resource

# The place of a resource, as messages name it, and its value.
Item = Tuple[str, Any]

# What to do with resources of other kinds.
OTHER_KINDS: Dict[str, Any] = {"type": "str", "choices": ["error", "skip"], "default": "error"}


class OtherKind(NamedTuple):
    """An item that is a resource of another kind."""

    kind: str
    name: str


class Input(NamedTuple):
    """What a module takes."""

    # The kinds, as manifests name them.
    kinds: Collection[str]
    # The kinds in words, in the plural.
    noun: str
    # The options that have resources.
    options: Sequence[str]


def read_items(params: Mapping[str, Any], expected: Input, skipped: Optional[List[OtherKind]] = None) -> Iterator[Item]:
    """The items of the given option, resources of other kinds as OtherKind. Adds those that are skipped to `skipped`.

    Raises InvalidInput for an unreadable file and an invalid set.
    """
    kept = 0
    kinds = tuple(expected.kinds)
    for where, item in _given_items(params, expected.options):
        other = _other_kind(item, kinds)
        if other and skipped is not None and params.get("other_kinds") == "skip":
            skipped.append(other)
            continue
        kept += 1
        yield where, other or item
    if skipped and not kept:
        # With a purge, an empty set would delete everything.
        text = "{0}: contains no {1}, only {2} skipped resources of other kinds; write an empty set as []"
        source = "src {0}".format(path_as_shown(params["src"])) if params.get("src") else "resources"
        raise InvalidInput([text.format(source, expected.noun, len(skipped))])


def build_skipped_result(params: Mapping[str, Any], skipped: Sequence[OtherKind]) -> Dict[str, Any]:
    """The part of a result about skipped resources."""
    if params["other_kinds"] != "skip":
        return {}
    result: Dict[str, Any] = {"other_kinds_skipped": len(skipped)}
    if skipped:
        kinds = collections.Counter(brief(other.kind) for other in skipped)
        listed = ", ".join("{0} {1}".format(number, kind) for kind, number in kinds.most_common(10))
        result["msg"] = "{0} resources of other kinds were skipped: {1}".format(len(skipped), listed)
    return result


def _other_kind(item: Any, kinds: Tuple[str, ...]) -> Optional[OtherKind]:
    # The usual spellings first.
    if not isinstance(item, (dict, Mapping)) or item.get("kind") in kinds or not is_resource(item):
        return None
    given = [value for key, value in item.items() if str(key).lower() == "kind"]
    # What may be meant as one of the kinds is not skipped, but an error.
    if not given or any(not isinstance(kind, str) or find_near_kind(kind, kinds) for kind in given):
        return None
    metadata = next((value for key, value in item.items() if str(key).lower() == "metadata"), None)
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return OtherKind(given[0], brief(name) if name else "")


# A large set has few different kinds.
@functools.lru_cache(maxsize=1024)
def find_near_kind(given: str, kinds: Tuple[str, ...]) -> Optional[str]:
    """The kind that is most likely meant: in another case, in the plural, as a list, or with a typing error."""
    names = {}
    for kind in kinds:
        name = _NOT_OF_NAMES.sub("", kind.lower())
        plural = name[:-1] + "ies" if name.endswith("y") else name + "s"
        names.update(dict.fromkeys([name, plural, name + "list", name + "lists"], kind))
    near = difflib.get_close_matches(_NOT_OF_NAMES.sub("", given.lower()), names, 1, _NEAR)
    return names[near[0]] if near else None


_NOT_OF_NAMES = re.compile("[^a-z0-9]+")
# Two of Calico's kinds, such as StagedNetworkPolicy and StagedGlobalNetworkPolicy, are less similar.
_NEAR = 0.9


def _given_items(params: Mapping[str, Any], options: Sequence[str]) -> Iterator[Item]:
    given = [option for option in options if params.get(option) not in (None, "")]
    if not given:
        # As above.
        text = "{0} or {1}: must not be null or empty; write an empty set as []"
        raise InvalidInput([text.format(", ".join(options[:-1]), options[-1])])
    for index, item in enumerate(params.get("endpoints") or ()):
        yield "endpoints[{0}]".format(index), item
    resources = params.get("resources")
    if isinstance(resources, str):
        yield from _read_text_items(resources, "resources")
    elif isinstance(resources, Mapping) and is_resource(resources):
        yield from _list_resources("resources", resources)
    elif isinstance(resources, list):
        for index, item in enumerate(resources):
            where = "resources[{0}]".format(index)
            yield from _read_text_items(item, where) if isinstance(item, str) else _list_resources(where, item)
    elif resources is not None:
        raise InvalidInput(["resources: {0} is not a list of resources".format(shown(resources))])
    if params.get("src"):
        yield from _read_file_items(params["src"])


def _read_file_items(path: str) -> Iterator[Item]:
    where = "src {0}".format(path_as_shown(path))
    try:
        text = read_text(path)
    except ValueError as exc:
        raise InvalidInput(["{0}: {1}".format(where, exc)]) from exc
    yield from _read_text_items(text, where, path)


def _read_text_items(text: str, source: str, path: str = "") -> Iterator[Item]:
    """The items of all documents in a string."""
    documents: List[Any]
    if len(text) > _MOST_LETTERS_OF_FLOW and strict_json.is_list(text):
        documents = [_iterate(text, source)]
    else:
        try:
            documents = parse_documents(text, path)
        except ValueError as exc:
            raise InvalidInput(["{0}: {1}".format(source, exc)]) from exc
    found = False
    for number, document in enumerate(documents):
        where = source if len(documents) == 1 else "{0}, document {1}".format(source, number + 1)
        yield from list_items(where, document, is_kept=False)
        found = found or document is not None
    if not found:
        # As above.
        raise InvalidInput([source + ": contains no resources; write an empty set as []"])


def _iterate(text: str, source: str) -> Iterator[Any]:
    """The items of a long list in JSON, which all together would take more memory than the resources made of them."""
    try:
        yield from strict_json.iterate(text)
    except ValueError as exc:
        problem = _TOO_LONG.format(exc) if isinstance(exc, strict_json.NotJson) else str(exc)
        raise InvalidInput(["{0}: {1}".format(source, problem)]) from exc


def list_items(where: str, document: Any, is_kept: bool = True) -> Iterator[Item]:
    """The items of a document: of a list, of a list resource such as HostEndpointList or List, or the document itself.

    A list may be an iterator, and may contain list resources. Nothing for None. Raises InvalidInput for a list resource
    without items. Unless it is kept, a list is emptied: the memory of each item is then free for the resource that is
    made of it.
    """
    if isinstance(document, (list, tuple, Iterator)):
        for index, item in enumerate(document):
            if not is_kept and isinstance(document, list):
                document[index] = None
            if _is_list_resource(item):
                yield from _list_resources("{0}[{1}]".format(where, index), item)
            else:
                yield "{0}[{1}]".format(where, index), item
    elif document is not None:
        yield from _list_resources(where, document)


def _is_list_resource(item: Any) -> bool:
    # The test of a dict is faster, and the usual spelling comes first.
    if not isinstance(item, (dict, Mapping)) or not is_resource(item):
        return False
    kind = item.get("kind")
    if kind is None:
        kind = next((value for key, value in item.items() if str(key).lower() == "kind"), None)
    return isinstance(kind, str) and kind.rstrip().lower().endswith("list")


def _list_resources(where: str, item: Any) -> Iterator[Item]:
    """The items of a list resource and of those in it, or the item itself. A list must not become an empty set."""
    if not _is_list_resource(item):
        yield where, item
        return
    # Not a recursion, since an input may be nested as deeply as its parser allows.
    pending = [_open_list(where, item)]
    while pending:
        found = next(pending[-1], None)
        if found is None:
            pending.pop()
        elif _is_list_resource(found[1]):
            pending.append(_open_list(*found))
        else:
            yield found


def _open_list(where: str, item: Mapping[str, Any]) -> Iterator[Item]:
    given = [value for key, value in item.items() if str(key).lower() == "items"]
    if len(given) > 1:
        raise InvalidInput([where + ": items is given twice, in another case; keep one of the two"])
    items = given[0] if given else None
    if not isinstance(items, (list, tuple)):
        text = "{0}: items is {1}; it must be a list; write an empty list as []"
        raise InvalidInput([text.format(where, "null" if items is None else shown(items))])
    for index, each in enumerate(items):
        yield "{0}[{1}]".format(where, index), each


# YAML in flow style begins like JSON. To parse a longer string once more as YAML would take long.
_MOST_LETTERS_OF_FLOW = 1000000

_TOO_LONG = "is not JSON: {0}; it is too long to be read as YAML in flow style"


def parse_documents(text: str, path: str = "") -> List[Any]:
    """The documents in a string of JSON or YAML. Raises ValueError for what is neither or too long."""
    # JSON is also YAML, but much faster to parse as JSON.
    if text.lstrip()[:1] not in ("[", "{"):
        return yaml_io.load_all(text)
    try:
        return [strict_json.load(text)]
    except strict_json.NotJson as exc:
        not_json = str(exc)
    if len(text) > _MOST_LETTERS_OF_FLOW:
        raise ValueError(_TOO_LONG.format(not_json))
    try:
        return yaml_io.load_all(text)
    except yaml_io.NotYaml as exc:
        also = "" if path.lower().endswith(".json") else "; nor is it YAML in flow style: " + exc.reason
        raise ValueError("is not JSON: {0}{1}".format(not_json, also)) from exc
