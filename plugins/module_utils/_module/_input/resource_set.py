# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The set of resources that a task declares: manifests of all kinds that the datastore has."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Dict, Iterable, Iterator, List, Union

from ..._core.errors import InvalidInput, brief, format_message, shown
from ..._datastore._values.calico_version import NEWEST, CalicoVersion, check_version
from ..._datastore.base import Datastore
from ..._plan.desired import Absent, Present
from ..._resources.api_version import ApiVersion
from ..._resources.hostendpoint import HOST_ENDPOINT
from ..._resources.manifest import KINDS, spell_top
from ..._resources.resource import Resource
from .declared import add_owner, build_wants
from .documents import Input, Item, OtherKind, find_near_kind, read_items

OPTIONS = ("resources", "src")


def read_resources(params: Mapping[str, Any], api_version: ApiVersion, skipped: List[OtherKind]) -> Iterator[Item]:
    """The items of the given option. Adds resources of other kinds that are skipped to `skipped`.

    Raises InvalidInput for an unreadable file and an invalid set.
    """
    return read_items(params, Input(tuple(api_version.schemas), "resources of these kinds", OPTIONS), skipped)


def build_resource_presents(
    items: Iterable[Item], store: Datastore, owner_labels: Mapping[str, str], overwrite: bool
) -> Dict[str, Present]:
    """Each item as a declared resource, by its key, with the owner's labels.

    Raises InvalidInput with the place and problem of every invalid resource, and both places of every duplicate.
    """

    def parse(item: Any) -> Present:
        return Present(parse_owned(item, store.api_version, owner_labels, store.calico_version), overwrite)

    return build_wants(items, parse, store.key)


def parse_owned(
    item: Union[OtherKind, Any],
    api_version: ApiVersion,
    owner_labels: Mapping[str, str],
    calico_version: CalicoVersion = NEWEST,
) -> Resource:
    """The resource of a manifest, with the owner's labels. Raises InvalidInput for what Calico does not accept."""
    resource = parse_declared(item, api_version)
    if owner_labels and not api_version.schemas[resource.KIND].has_owner:
        raise InvalidInput([format_message("{0}: {owner} cannot be used: Calico v1 has no labels for it", resource)])
    if owner_labels:
        resource = dataclasses.replace(resource, labels=add_owner(resource.labels, owner_labels))
    api_version.check(resource)
    check_version(resource, calico_version)
    return resource


def build_resource_absents(items: Iterable[Item], store: Datastore) -> Dict[str, Absent]:
    """Each item as a resource that must not exist, by its key. Of an item, only kind, name and node count."""

    def parse(item: Any) -> Absent:
        ref = parse_declared(item, store.api_version).ref
        store.api_version.check_ref(ref)
        return Absent(ref)

    return build_wants(items, parse, store.key)


def parse_declared(item: Union[OtherKind, Any], api_version: ApiVersion) -> Resource:
    """The resource of a manifest. Raises InvalidInput for a kind or apiVersion that the datastore does not have."""
    if isinstance(item, OtherKind):
        text = (
            "{0} cannot be managed here; the kinds of this datastore are {1}; to skip others, set other_kinds to skip"
        )
        named = " ".join(filter(None, [brief(item.kind), item.name]))
        raise InvalidInput([text.format(named, _join_kinds(api_version))])
    if not isinstance(item, (dict, Mapping)):
        raise InvalidInput(["{0} is not a Calico resource; it must be a mapping".format(shown(item))])
    given = spell_top(item)
    kind = _find_kind(given.get("kind"), api_version)
    # A host endpoint may be given in the form of the other API version.
    if kind != HOST_ENDPOINT and given.get("apiVersion") != api_version.name:
        text = "apiVersion {0} is not valid for kind {1}: use {2}"
        raise InvalidInput([text.format(shown(given.get("apiVersion")), kind, api_version.name)])
    return api_version.schemas[kind].parse_manifest(item)


def _find_kind(given: Any, api_version: ApiVersion) -> str:
    names = _build_names(api_version)
    if isinstance(given, str) and given in names:
        return names[given]
    near = find_near_kind(given, tuple(names)) if isinstance(given, str) else None
    hint = "did you mean {0}?".format(near) if near else "use one of {0}".format(_join_kinds(api_version))
    raise InvalidInput(["kind {0} is not valid: {1}".format(shown(given), hint)])


def _join_kinds(api_version: ApiVersion) -> str:
    """The kinds as manifests of this API version name them."""
    return ", ".join(KINDS[api_version.name] if kind == HOST_ENDPOINT else kind for kind in api_version.schemas)


# Each item needs them.
@functools.lru_cache(maxsize=None)
def _build_names(api_version: ApiVersion) -> Mapping[str, str]:
    """The kinds, by their names in manifests."""
    # An API version names its host endpoints otherwise than the collection.
    names = {KINDS[api_version.name] if kind == HOST_ENDPOINT else kind: kind for kind in api_version.schemas}
    # A host endpoint of the other API version.
    names.update(dict.fromkeys(KINDS.values(), HOST_ENDPOINT))
    return names
