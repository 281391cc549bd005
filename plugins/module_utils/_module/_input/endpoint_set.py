# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The set of endpoints that a task declares: a list of fields, a list of resources, or a file with either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Collection, Dict, Iterable, Iterator, List, Optional

from ..._core.errors import InvalidInput, brief, format_message, shown
from ..._datastore.base import Datastore
from ..._plan.desired import Present
from ..._resources.api_version import ApiVersion
from ..._resources.fields import parse_fields, with_empty_labels
from ..._resources.hostendpoint import HOST_ENDPOINT, HostEndpoint
from ..._resources.manifest import KINDS, is_resource, parse_manifest
from ..._resources.resource import Ref
from .declared import Key, add_owner, build_wants
from .documents import Input, Item, OtherKind, parse_documents, read_items

# Number of items from which on a set is large: everything is read then, whatever the datastore.
_LARGE = 100
_INPUT = Input(tuple(KINDS.values()), "host endpoints", ("endpoints", "resources", "src"))


def read_endpoints(params: Mapping[str, Any], skipped: Optional[List[OtherKind]] = None) -> Iterator[Item]:
    """The items of the given option. Adds resources of other kinds that are skipped to `skipped`.

    Raises InvalidInput for an unreadable file and an invalid set.
    """
    return read_items(params, _INPUT, skipped)


def announce(items: Iterable[Item], store: Datastore) -> Iterator[Item]:
    """The same items. Of a large set, the datastore collects what is stored while the rest is being read."""
    for number, item in enumerate(items):
        if number == _LARGE:
            store.begin_to_read(HOST_ENDPOINT)
        yield item


def build_presents(
    items: Iterable[Item], api_version: ApiVersion, owner_labels: Mapping[str, str], get_key: Callable[[Ref], Key]
) -> Dict[Key, Present]:
    """Each item as a declared endpoint, by its key, with the owner's labels.

    Raises InvalidInput with the place and problem of every invalid endpoint, and both places of every duplicate.
    """
    return build_wants(items, lambda item: Present(_endpoint(item, api_version, owner_labels)), get_key)


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


def check_decommissioned(presents: Iterable[Present], nodes: Collection[str]) -> None:
    """Raise InvalidInput when an endpoint is declared for a decommissioned node."""
    contradicting = [want.resource for want in presents if want.resource.node in nodes]
    if contradicting:
        text = "{0}: the node is in {decommission_nodes}"
        raise InvalidInput([format_message(text, endpoint) for endpoint in contradicting])


def _endpoint(item: Any, api_version: ApiVersion, owner_labels: Mapping[str, str]) -> HostEndpoint:
    fields = with_empty_labels(_fields(item))
    if owner_labels:
        fields["labels"] = add_owner(fields["labels"], owner_labels)
    endpoint = HostEndpoint(**fields)
    api_version.check(endpoint)
    return endpoint


def _fields(item: Any) -> Dict[str, Any]:
    if isinstance(item, OtherKind):
        text = "{0} is not a host endpoint; to skip resources of other kinds, set other_kinds to skip"
        raise InvalidInput([text.format(" ".join(filter(None, [brief(item.kind), item.name])))])
    if isinstance(item, (dict, Mapping)) and is_resource(item):
        return parse_manifest(item)
    return parse_fields(item)
