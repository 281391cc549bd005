# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Versions of Calico v3, and what an older version writes and accepts that the newest known version does not.

Measured with v3.27.5, v3.31.7 and v3.32.1; where the form changed in between, projectcalico/calico at the tags:
libcalico-go/lib/clientv3/globalnetworkpolicy.go and tier.go, libcalico-go/lib/names/policy.go.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, Iterator, List, NamedTuple, Optional

from ..._core.errors import InvalidInput, format_message, shown
from ..._resources._specs.spec_resource import (
    DEFAULT_PREFIX,
    DEFAULT_TIER,
    NAME_ANNOTATION,
    TIER_LABEL,
    PolicyResource,
    SpecResource,
)
from ..._resources.resource import Resource

_VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:[^0-9].*)?", re.DOTALL | re.ASCII)
_GIVEN = re.compile(r"v?3\.\d{1,9}\.\d{1,9}", re.ASCII)


class CalicoVersion(NamedTuple):
    """A version of Calico."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return "v{0}.{1}.{2}".format(*self)

    def list_names(self, name: str) -> List[str]:
        """The names under which a policy may be stored. The first is that of a new policy."""
        is_prefixed = self < NEWEST and "." not in name
        prefixed = DEFAULT_PREFIX + name
        return [prefixed, name] if is_prefixed else [name, prefixed]


# Since then, the form does not change; a later version is treated like this one.
NEWEST = CalicoVersion(3, 32, 0)
# Since then, Calico has tiers; before, neither the kind nor spec.tier of a policy.
TIERS_SINCE = CalicoVersion(3, 29, 0)
# Since then, Calico has staged policies.
STAGED_SINCE = CalicoVersion(3, 30, 0)
_KINDS_SINCE = {"Tier": TIERS_SINCE, "StagedGlobalNetworkPolicy": STAGED_SINCE}
# Since then, a policy has its own name in an annotation.
_NAME_ANNOTATION_SINCE = CalicoVersion(3, 29, 4)
# What only the newest version fills in. For an older Calico, each value means the same as an absent field: Felix
# v3.31.7 rejects nftablesMode Auto, and uses its default.
_FILLED_IN: Dict[str, object] = {"tier": DEFAULT_TIER, "stagedAction": "Set", "nftablesMode": "Auto"}


def parse_version(text: str) -> Optional[CalicoVersion]:
    """The version in a string such as "v3.32.1"; None for an invalid version."""
    found = _VERSION.fullmatch(text)
    return CalicoVersion(int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)) if found else None


def choose_version(given: Optional[str], stored: str) -> CalicoVersion:
    """The version whose form is written: the given one, else the stored one; the newest if it is unknown or newer.

    Raises InvalidInput for an invalid given version.
    """
    if given is not None and not _GIVEN.fullmatch(given):
        text = "{calico_version}: {0} is not a version of Calico v3; use three numbers, such as v3.27.5"
        raise InvalidInput([format_message(text, shown(given))])
    found = parse_version(stored if given is None else given)
    return min(found, NEWEST) if found and found.major == NEWEST.major else NEWEST


def has_tier_status(version: CalicoVersion) -> bool:
    """Whether Calico writes the status of a tier."""
    return version >= NEWEST


def as_written(resource: SpecResource, version: CalicoVersion) -> SpecResource:
    """A resource, given as_stored, as this version writes it: without the values that only a newer one fills in."""
    if version >= NEWEST:
        return resource
    spec = {name: item for name, item in resource.spec.items() if name not in _FILLED_IN or item != _FILLED_IN[name]}
    if not isinstance(resource, PolicyResource):
        return dataclasses.replace(resource, spec=spec)
    left_out = {TIER_LABEL} if resource.tier == DEFAULT_TIER else set()
    if version < _NAME_ANNOTATION_SINCE:
        left_out.add(NAME_ANNOTATION)
    return dataclasses.replace(
        resource,
        spec=spec,
        labels={key: text for key, text in resource.labels.items() if key not in left_out},
        annotations={key: text for key, text in resource.annotations.items() if key not in left_out},
    )


def check_version(resource: Resource, version: CalicoVersion) -> None:
    """Raise InvalidInput if this version of Calico cannot have a resource that the newest version can have."""
    if version >= NEWEST:
        return
    problems = [
        format_message("{0}: {1}, and this datastore is of Calico {2} (see {calico_version})", resource, text, version)
        for text in _find_problems(resource, version)
    ]
    if problems:
        raise InvalidInput(problems)


def _find_problems(resource: Resource, version: CalicoVersion) -> Iterator[str]:
    since = _KINDS_SINCE.get(resource.KIND)
    if since and version < since:
        yield "kind: {0} requires Calico v{1}.{2} or later".format(resource.KIND, *since)
    elif not isinstance(resource, PolicyResource):
        return
    elif version < TIERS_SINCE:
        if resource.tier != DEFAULT_TIER:
            yield "spec.tier: {0} requires Calico v{1}.{2} or later".format(shown(resource.tier), *TIERS_SINCE)
        if "." in resource.name:
            text = "metadata.name: a name with a dot requires Calico v{0}.{1} or later"
            yield text.format(*TIERS_SINCE)
    elif (resource.name.partition(".")[0] if "." in resource.name else DEFAULT_TIER) != resource.tier:
        # What v3.32 accepts here, an older calicoctl can neither show nor change nor delete.
        text = "metadata.name: before v{0}.{1}, a policy in tier {2} must be named {2}.NAME{3}"
        more = " or have a name without a dot" if resource.tier == DEFAULT_TIER else ""
        yield text.format(NEWEST.major, NEWEST.minor, resource.tier, more)
