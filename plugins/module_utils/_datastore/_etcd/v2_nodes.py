# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes of etcd's v2 API, its directories and values, as it lists them."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence

from ..._core.errors import DatastoreError, shown
from ..._plan.stored import Codec, Stored

Node = Dict[str, Any]

NO_DIRECTORY = "in etcd this is a value where a directory belongs"
TOO_DEEP = "the key is one level too deep, so Calico does not read it"
_UNCLEAR = "the key is not UTF-8, or has the character that etcd lists in its place (U+FFFD)"


def get_name(node: Node) -> str:
    """The last part of the key."""
    key: str = node["key"]
    return key.rpartition("/")[2]


def list_children(node: Optional[Node]) -> List[Node]:
    """What is in a directory; nothing for a value and for a missing directory."""
    found: List[Node] = node.get("nodes", []) if node else []
    return found


def list_leaves(nodes: Sequence[Node]) -> Iterator[Node]:
    """All values among etcd nodes and below them, at any depth."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node.get("dir"):
            pending += list_children(node)
        else:
            yield node


def read_values(node: Optional[Node]) -> Dict[str, str]:
    """{key: value} of an etcd node and everything below it."""
    return {each["key"]: each.get("value", "") for each in list_leaves([node] if node else [])}


def get_value(node: Node) -> str:
    value = node.get("value", "")
    if not isinstance(value, str):
        raise _not_etcds(node)
    return value


def get_revision(node: Node) -> str:
    revision = node.get("modifiedIndex")
    if not isinstance(revision, int):
        raise _not_etcds(node)
    return str(revision)


def _not_etcds(node: Node) -> DatastoreError:
    return DatastoreError("{0}: the answer is not etcd's: {1}".format(node["key"], shown(node)))


def build_stored(node: Node, name: str, codec: Codec, host: str = "", misplaced: str = "") -> Stored:
    """What is stored in a value; `name` and `host` are those of its key."""
    return Stored(
        node["key"], get_revision(node), get_value(node), host, name, choose_codec(node["key"], codec), misplaced
    )


def choose_codec(key: str, codec: Codec) -> Codec:
    return codec.of_unclear_key(_UNCLEAR) if "\ufffd" in key else codec
