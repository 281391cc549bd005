# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calico's metadata annotation on objects of crd.projectcalico.org/v1.

Calico keeps an object's metadata there as JSON (libcalico-go/lib/backend/k8s/resources). Since v3.28, labels and
annotations in it override the native ones; before, only the native ones count. The native form is the one that every
version reads alike, so it is the one that is written here (measured with v3.27.5 and v3.32.1).
"""

from __future__ import annotations

import functools
from typing import Any, Dict, Mapping, NamedTuple

from ..._core import go_types
from ..._core.go_types import GoObject
from ..._resources._specs.spec_resource import DEFAULT_PREFIX
from .._values.calico_version import CalicoVersion

ANNOTATION = "projectcalico.org/metadata"
# Since then, labels and annotations in the annotation count.
COUNTS_SINCE = CalicoVersion(3, 28, 0)
_READ = go_types.struct(go_types.METADATA)
_MOVED = ("labels", "annotations", "name")


class CalicoMetadata(NamedTuple):
    """Metadata as Calico reads it."""

    # "" for the object's own name.
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def read_metadata(metadata: Mapping[str, Any], has_annotation: bool, counts: bool) -> CalicoMetadata:
    """The metadata of an object. Raises ValueError when Calico cannot read the annotation.

    has_annotation: whether the API keeps it; counts: whether its name, labels and annotations count.
    """
    labels: Mapping[str, str] = metadata.get("labels") or {}
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    if not has_annotation or ANNOTATION not in annotations:
        return CalicoMetadata("", labels, annotations)
    annotations = dict(annotations)
    inner = _parse(annotations.pop(ANNOTATION))
    if not counts:
        return CalicoMetadata("", labels, annotations)
    return CalicoMetadata(
        inner.name,
        {**labels, **inner.labels} if inner.labels else labels,
        {**annotations, **inner.annotations} if inner.annotations else annotations,
    )


def read_policy_name(
    metadata: Mapping[str, Any], found: CalicoMetadata, is_in_default: bool, has_annotation: bool, counts: bool
) -> str:
    """The name of a policy, by its metadata and what `read_metadata` found in it.

    Before v3.32, Calico stores a policy NAME of tier default as default.NAME (libcalico-go/lib/backend/k8s/resources,
    determinePolicyName).
    """
    name: str = found.name or metadata.get("name", "")
    is_prefixed = has_annotation and (not counts or ANNOTATION in (metadata.get("annotations") or {}))
    if found.name or not is_prefixed or not is_in_default or not name.startswith(DEFAULT_PREFIX):
        return name
    return name[len(DEFAULT_PREFIX) :]


# Many objects that were created within a second have the same.
@functools.lru_cache(maxsize=65536)
def _parse(text: str) -> CalicoMetadata:
    try:
        found = _READ(go_types.decode(text), None, "")
    except ValueError as exc:
        raise ValueError("the annotation {0} cannot be read: {1}".format(ANNOTATION, exc)) from exc
    return CalicoMetadata(found.get("name", ""), found.get("labels", {}), found.get("annotations", {}))


def has_ignored_labels(metadata: Mapping[str, Any], counts: bool) -> bool:
    """Whether a reader of one place sees another label than Calico.

    That is a native label with another value in the annotation, or, where the annotation does not count, any of its.
    """
    native: Mapping[str, str] = metadata.get("labels") or {}
    text = (metadata.get("annotations") or {}).get(ANNOTATION)
    try:
        inner = _parse(text).labels if text else {}
    except ValueError:
        return False
    return any(native.get(key) != value and (key in native or not counts) for key, value in inner.items())


def move_out(metadata: Mapping[str, Any], name: str = "") -> Dict[str, str]:
    """The native annotations of an object, with the ones in the metadata annotation, which keeps its other fields.

    With a name, as of a policy, the metadata annotation has it. An annotation that cannot be read is left out.
    """
    annotations: Dict[str, str] = dict(metadata.get("annotations") or {})
    text = annotations.pop(ANNOTATION, None)
    if text is None:
        return annotations
    try:
        inner, members = _parse(text), go_types.decode(text)
    except ValueError:
        return annotations
    kept = GoObject((key, value) for key, value in members or () if key.lower() not in _MOVED)
    if name:
        kept.insert(0, ("name", name))
    annotations.update(inner.annotations)
    if kept:
        annotations[ANNOTATION] = go_types.to_json(kept)
    return annotations
