# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a write sends, what it was to make, and what a deletion waits for."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..._plan.stored import Stored

# What a server sets itself, and rejects or ignores in a new object.
_OF_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "selfLink")


def prepare_metadata(metadata: Mapping[str, Any], before: Mapping[str, Any] | None) -> Dict[str, Any]:
    """The metadata of a request: of an update with the uid and the resourceVersion that were read."""
    kept = {key: item for key, item in metadata.items() if key not in _OF_SERVER}
    if before is None:
        return kept
    return dict(kept, uid=before["uid"], resourceVersion=before["resourceVersion"])


def has_become(now: Stored | None, document: Mapping[str, Any] | None) -> bool:
    """Whether the datastore has what a write without an answer was to make."""
    if now is None or document is None:
        return now is None and document is None
    return bool(_get_meaning(now.content) == _get_meaning(document))


def _get_meaning(document: Mapping[str, Any]) -> Any:
    metadata = document.get("metadata") or {}
    kept = {key: item for key, item in metadata.items() if key not in _OF_SERVER and item not in ({}, [], None)}
    return kept, document.get("spec")


def format_pending(metadata: Mapping[str, Any]) -> str:
    """What the deletion of an object waits for; "" when it is not being deleted."""
    if not metadata.get("deletionTimestamp"):
        return ""
    finalizers = metadata.get("finalizers") or ()
    return "its finalizers ({0})".format(", ".join(map(str, finalizers))) if finalizers else "the API server"
