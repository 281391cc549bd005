# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The set of endpoints that a task declares: a list of fields, a list of resources, or a file with either."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    Hashable,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

from .._core import strict_json, yaml_io
from .._core.errors import InvalidInput, brief, shown
from .._core.files import path_as_shown, read_text
from .._plan.desired import Present
from .._resources.api_version import ApiVersion
from .._resources.fields import parse_fields, with_empty_labels
from .._resources.hostendpoint import HostEndpoint
from .._resources.manifest import KINDS, is_resource, parse_manifest
from .._resources.resource import Ref

# A message names ten problems; to keep millions would exhaust the memory.
_MOST_PROBLEMS = 100000

# The place of an endpoint, as messages name it, and its value.
Item = Tuple[str, Any]
# The identity of an endpoint.
_Key = TypeVar("_Key", bound=Hashable)


# What to do with resources of other kinds.
OTHER_KINDS: Dict[str, Any] = {"type": "str", "choices": ["error", "skip"], "default": "error"}


class OtherKind(NamedTuple):
    """An item that is a resource of another kind."""

    kind: str
    name: str


def read_items(params: Mapping[str, Any], skipped: Optional[List[OtherKind]] = None) -> Iterator[Item]:
    """The items of the given option. Adds items that other_kinds skips to `skipped`.

    Raises InvalidInput for an unreadable file and an invalid set.
    """
    kept = 0
    for where, item in _given_items(params):
        other = _other_kind(item)
        if other and skipped is not None and params.get("other_kinds") == "skip":
            skipped.append(other)
            continue
        kept += 1
        yield where, other or item
    if skipped and not kept:
        # With a purge, an empty set would delete everything.
        text = "{0}: contains no host endpoints, only {1} skipped resources of other kinds; write an empty set as []"
        source = "src {0}".format(path_as_shown(params["src"])) if params.get("src") else "resources"
        raise InvalidInput([text.format(source, len(skipped))])


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


def _other_kind(item: Any) -> Optional[OtherKind]:
    if not isinstance(item, Mapping) or item.get("kind") in _KINDS or not is_resource(item):
        return None
    found = {str(key).lower(): value for key, value in item.items()}
    kind, metadata = found.get("kind"), found.get("metadata")
    if not isinstance(kind, str) or kind.lower() in _OUR_KINDS:
        return None
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return OtherKind(kind, brief(name) if name else "")


# The usual spellings.
_KINDS = tuple(KINDS.values())
_OUR_KINDS = frozenset(kind.lower() for kind in _KINDS)


def _given_items(params: Mapping[str, Any]) -> Iterator[Item]:
    given = [option for option in ("endpoints", "resources", "src") if params.get(option) not in (None, "")]
    if not given:
        # As above.
        raise InvalidInput(["endpoints, resources or src: must not be null or empty; write an empty set as []"])
    for index, item in enumerate(params.get("endpoints") or ()):
        yield "endpoints[{0}]".format(index), item
    resources = params.get("resources")
    if isinstance(resources, str):
        yield from _read_text_items(resources, "resources")
    elif isinstance(resources, list):
        for index, item in enumerate(resources):
            where = "resources[{0}]".format(index)
            if isinstance(item, str):
                yield from _read_text_items(item, where)
            else:
                yield where, item
    elif resources is not None:
        raise InvalidInput(["resources: {0} is not a list of resources".format(shown(resources))])
    if params.get("src"):
        yield from _read_file_items(params["src"])


def parse_resource(value: Any) -> Mapping[str, Any]:
    """The option of one resource, a mapping or a string. Raises InvalidInput."""
    if isinstance(value, str):
        try:
            documents = [document for document in parse_documents(value) if document is not None]
        except ValueError as exc:
            raise InvalidInput(["resource: {0}".format(exc)]) from exc
        if len(documents) != 1:
            text = "resource: contains {0} documents, but must contain one; use calico_hostendpoints for several"
            raise InvalidInput([text.format(len(documents))])
        (value,) = documents
    if not isinstance(value, Mapping):
        raise InvalidInput(["resource: {0} is not a Calico resource; it must be a mapping".format(shown(value))])
    return value


def build_presents(
    items: Iterable[Item], api_version: ApiVersion, owner_labels: Mapping[str, str], get_key: Callable[[Ref], _Key]
) -> Dict[_Key, Present]:
    """Each item as a declared endpoint, by its key, with the owner's labels.

    Raises InvalidInput with the place and problem of every invalid endpoint, and both places of every duplicate.
    """
    presents: Dict[_Key, Present] = {}
    places: Dict[_Key, str] = {}
    problems: List[str] = []
    for where, item in items:
        if len(problems) > _MOST_PROBLEMS:
            break
        try:
            endpoint = _endpoint(item, api_version, owner_labels)
        except InvalidInput as exc:
            for problem in exc.problems:
                is_shown = len(problems) < InvalidInput.SHOWN
                problems.append("{0}: {1}{2}".format(where, _called(item, problem), problem) if is_shown else problem)
            continue
        key = get_key(endpoint.ref)
        if key in presents:
            problems.append("{0}: {1} is given twice, first by {2}".format(where, endpoint, places[key]))
            continue
        presents[key] = Present(endpoint)
        places[key] = where
    if problems:
        raise InvalidInput(problems)
    return presents


def build_owner_labels(params: Mapping[str, Any], api_version: ApiVersion) -> Dict[str, str]:
    """The label that every endpoint of a set gets, if an owner is given. Raises InvalidInput for an invalid label."""
    if not params["owner"]:
        return {}
    api_version.check_owner(params["owner_label"], params["owner"])
    return {params["owner_label"]: params["owner"]}


def check_decommissioned(presents: Iterable[Present], nodes: Collection[str]) -> None:
    """Raise InvalidInput when an endpoint is declared for a decommissioned node."""
    contradicting = [want.resource for want in presents if want.resource.node in nodes]
    if contradicting:
        raise InvalidInput(["{0}: the node is in decommission_nodes".format(endpoint) for endpoint in contradicting])


def _called(item: Any, problem: str) -> str:
    """The name of an invalid item, if it has one, unless the problem contains it already."""
    if not isinstance(item, Mapping) or problem.startswith("host endpoint "):
        return ""
    metadata = item.get("metadata")
    name = item.get("name") or (metadata.get("name") if isinstance(metadata, Mapping) else None)
    return brief(name) + ": " if name else ""


def _endpoint(item: Any, api_version: ApiVersion, owner_labels: Mapping[str, str]) -> HostEndpoint:
    fields = with_empty_labels(_fields(item))
    labels = fields["labels"]
    for key, value in owner_labels.items():
        if labels.setdefault(key, value) != value:
            raise InvalidInput(["labels[{0}]: {1} contradicts owner {2}".format(key, shown(labels[key]), shown(value))])
    endpoint = HostEndpoint(**fields)
    api_version.check(endpoint)
    return endpoint


def _fields(item: Any) -> Dict[str, Any]:
    if isinstance(item, OtherKind):
        text = "{0} is not a host endpoint; to skip resources of other kinds, set other_kinds to skip"
        raise InvalidInput([text.format(" ".join(filter(None, [brief(item.kind), item.name])))])
    if isinstance(item, Mapping) and is_resource(item):
        return parse_manifest(item)
    return parse_fields(item)


def _read_file_items(path: str) -> Iterator[Item]:
    where = "src {0}".format(path_as_shown(path))
    try:
        text = read_text(path)
    except ValueError as exc:
        raise InvalidInput(["{0}: {1}".format(where, exc)]) from exc
    yield from _read_text_items(text, where, path)


def _read_text_items(text: str, source: str, path: str = "") -> Iterator[Item]:
    """The items of all documents in a string."""
    try:
        documents = parse_documents(text, path)
    except ValueError as exc:
        raise InvalidInput(["{0}: {1}".format(source, exc)]) from exc
    found = False
    for number, document in enumerate(documents):
        where = source if len(documents) == 1 else "{0}, document {1}".format(source, number + 1)
        if isinstance(document, Mapping) and str(document.get("kind", "")).lower() in _LIST_KINDS:
            document = document.get("items")
            if document is None:
                raise InvalidInput([where + ": items is null; write an empty list as []"])
        if isinstance(document, list):
            for index, item in enumerate(document):
                yield "{0}[{1}]".format(where, index), item
        elif document is not None:
            yield where, document
        found = found or document is not None
    if not found:
        # As above.
        raise InvalidInput([source + ": contains no endpoints; write an empty set as []"])


_LIST_KINDS = tuple(kind.lower() + "list" for kind in set(KINDS.values())) + ("list",)

# YAML in flow style begins like JSON. To parse a longer string once more as YAML would take long.
_MOST_LETTERS_OF_FLOW = 1000000


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
        raise ValueError("is not JSON: {0}; it is too long to be read as YAML in flow style".format(not_json))
    try:
        return yaml_io.load_all(text)
    except yaml_io.NotYaml as exc:
        also = "" if path.lower().endswith(".json") else "; nor is it YAML in flow style: " + exc.reason
        raise ValueError("is not JSON: {0}{1}".format(not_json, also)) from exc
