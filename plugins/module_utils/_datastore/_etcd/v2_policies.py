# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies and profiles of Calico's v1 data model in etcd's v2 API: keys, and what is stored under them.

libcalico-go release-v2.6, lib/backend/model, policy.go and profile.go. calicoctl reads and writes only the tier
"default"; Felix reads the policies of every tier as if they were in one.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterator, List, Optional

from ..._core.errors import brief
from ..._plan.stored import Codec, Stored, Unlisted
from ..._resources._specs_v1.structs_v1 import POLICY, PROFILE
from ..._resources.resource import Ref, Resource
from .._values.codec_policies_v1 import POLICY_CODEC, PROFILE_CODEC, ProfileParts
from ..codec_v1 import escape_name, unescape_name
from .v2_nodes import (
    NO_DIRECTORY,
    TOO_DEEP,
    Node,
    build_stored,
    choose_codec,
    get_name,
    get_revision,
    get_value,
    list_children,
    list_leaves,
)

_TIER = "default"
_TIERS = "/calico/v1/policy/tier"
_PROFILES = "/calico/v1/policy/profile"
# {kind: the directory of its keys}
_DIRECTORIES = {POLICY: "{0}/{1}/policy".format(_TIERS, _TIER), PROFILE: _PROFILES}
# {kind: the directory that must be read to list it}
ROOTS = {POLICY: _TIERS, PROFILE: _PROFILES}
# The revision of a missing key.
MISSING = "-"


def build_key(ref: Ref) -> str:
    """The key of a policy, or the directory of a profile's keys."""
    return "{0}/{1}".format(_DIRECTORIES[ref.kind], escape_name(ref.name))


def build_one(ref: Ref, node: Optional[Node]) -> Optional[Stored]:
    """What is stored for a policy or a profile, by what is under its key."""
    if node is None:
        return None
    return build_stored(node, ref.name, POLICY_CODEC) if ref.kind == POLICY else _build_profile(node)


def list_stored(kind: str, root: Optional[Node]) -> List[Stored]:
    """All policies or profiles, by the directory in ROOTS."""
    return list(_LIST[kind](root))


def _list_policies(root: Optional[Node]) -> Iterator[Stored]:
    for tier in list_children(root):
        name = get_name(tier)
        codec = POLICY_CODEC if name == _TIER else _build_codec_of_tier(name)
        for directory in list_children(tier):
            if get_name(directory) == "policy":
                yield from _list_in_tier(directory, codec)


def _list_in_tier(directory: Node, codec: Codec) -> Iterator[Stored]:
    if not directory.get("dir"):
        # calicoctl leaves this when it creates a policy named ".".
        yield build_stored(directory, "", codec, misplaced=NO_DIRECTORY)
    for node in list_children(directory):
        if not node.get("dir"):
            yield build_stored(node, unescape_name(get_name(node)), codec)
        for leaf in list_leaves(list_children(node)):
            yield build_stored(leaf, leaf["key"][len(directory["key"]) + 1 :], codec, misplaced=TOO_DEEP)


def _build_codec_of_tier(tier: str) -> Codec:
    def decode(content: str, ref: Ref) -> Resource:
        POLICY_CODEC.decode(content, ref)
        raise Unlisted("the key is in the tier {0}, and Calico v1 has only the tier {1}".format(brief(tier), _TIER))

    return POLICY_CODEC._replace(decode=decode, is_of=lambda _content, _resource: False)


def _list_profiles(root: Optional[Node]) -> Iterator[Stored]:
    for node in list_children(root):
        stored = _build_profile(node)
        if stored:
            yield stored


def _build_profile(node: Node) -> Optional[Stored]:
    """None for a directory without any of a profile's keys, which calicoctl leaves after a deletion."""
    key, name = node["key"], unescape_name(get_name(node))
    codec = choose_codec(key, PROFILE_CODEC)
    if not node.get("dir"):
        return Stored(key, get_revision(node), ProfileParts(), "", name, codec, NO_DIRECTORY)
    found = _find_parts(node)
    if not found:
        return None
    content = ProfileParts(**{part: get_value(child) for part, child in found.items()})
    revision = join_revisions(read_revisions(node))
    directories = [part for part, child in found.items() if child.get("dir")]
    misplaced = "{0} is a directory where a value belongs".format(directories[0]) if directories else ""
    return Stored(key, revision, content, "", name, codec, misplaced)


def _find_parts(node: Optional[Node]) -> Dict[str, Node]:
    return {get_name(child): child for child in list_children(node) if get_name(child) in ProfileParts._fields}


def read_revisions(node: Optional[Node]) -> Dict[str, str]:
    """The revision of each key that a profile has."""
    return {part: get_revision(child) for part, child in _find_parts(node).items()}


def join_revisions(revisions: Dict[str, str]) -> str:
    """The revision of a profile, by those of its keys."""
    return ",".join(revisions.get(part, MISSING) for part in ProfileParts._fields)


def split_revision(revision: str) -> Dict[str, str]:
    return dict(zip(ProfileParts._fields, revision.split(",")))


_LIST: Dict[str, Callable[[Optional[Node]], Iterator[Stored]]] = {POLICY: _list_policies, PROFILE: _list_profiles}
