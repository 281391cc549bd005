# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the values of all kinds of Calico v3 have in common: metadata, the order of fields, and what is kept.

projectcalico/calico v3.32.1: libcalico-go/lib/clientv3/resources.go, and Kubernetes' ObjectMeta.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Callable, Dict, Mapping

from ..._core import go_types
from ..._core.go_types import ZERO
from ..._plan.stored import Stored


def format_now() -> str:
    """Now, as Calico writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def read_kept(stored: Stored | None, read: Callable[[str], Dict[str, Any]]) -> Dict[str, Any]:
    """The stored object; an empty one when Calico cannot read it or it is not an object of Calico v3."""
    if not stored or stored.misplaced:
        return {}
    try:
        found = read(stored.value)
    except ValueError:
        return {}
    return found if found.get("metadata", {}).get("name") else {}


def build_identity(metadata: Mapping[str, Any], uid: str, now: str) -> Dict[str, str]:
    """The stored uid and creation time; the given or new values where one is missing.

    An object without them breaks every later update by calicoctl.
    """
    return {
        "uid": metadata.get("uid") or uid or str(uuid.uuid4()),
        "creationTimestamp": metadata.get("creationTimestamp") or now or format_now(),
    }


def update_metadata(
    metadata: Mapping[str, Any], name: str, labels: Mapping[str, str], annotations: Mapping[str, str]
) -> Dict[str, Any]:
    """The metadata to write: labels are replaced, annotations are added, all else is kept."""
    found = dict(
        metadata,
        name=name,
        labels=sort_keys(labels),
        annotations=sort_keys({**metadata.get("annotations", {}), **annotations}),
        # Calico empties these, too.
        resourceVersion="",
        selfLink="",
    )
    return in_order(go_types.METADATA, found)


def sort_keys(mapping: Mapping[str, str]) -> Dict[str, str]:
    return dict(sorted(mapping.items()))


def in_order(fields: Mapping[str, Any], found: Mapping[str, Any]) -> Dict[str, Any]:
    """A struct as Go writes it, without empty fields, followed by fields that Go does not know."""
    known = {key: found[key] for key in fields if found.get(key) and found[key] != ZERO}
    return dict(known, **{key: item for key, item in found.items() if key not in fields})
