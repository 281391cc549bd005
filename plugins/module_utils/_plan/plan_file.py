# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plan as a document: the changes of a run that writes nothing, so that a later run makes exactly these.

The document has nothing secret. Its digest detects accidental changes. It is no signature, and none is required: a run
plans by what is declared, as always, and a plan can only prevent changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Callable, Collection, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .._core.errors import brief, shown
from .._resources.api_version import ApiVersion
from .._resources.resource import Ref, Resource
from .plan import CREATE, DELETE, UPDATE, Change

SCHEMA = "netsec.calico/plan/1"
# Number of fields that a message names.
_SHOWN_FIELDS = 5
_TEXTS = ("operation", "kind", "name", "node", "key", "revision")


class PlannedChange(NamedTuple):
    """A change of a plan."""

    operation: str
    ref: Ref
    # The datastore's key.
    key: str
    # The revision of the stored resource that is changed; "" when none exists.
    revision: str
    # The manifest of the result; None for a deletion.
    resource: Optional[Mapping[str, Any]]
    # Names of the fields that differ, for readers of the document.
    fields: Sequence[str] = ()

    def __str__(self) -> str:
        return "{0} of {1}".format(self.operation, self.ref)


class PlanFile(NamedTuple):
    """The content of a plan's document."""

    # type, cluster (the identity, "" if unknown) and endpoints.
    datastore: Mapping[str, Any]
    owner: str
    # When it was made, as text.
    created: str
    changes: Sequence[PlannedChange]


def build_manifest(resource: Resource, api_version: ApiVersion) -> Dict[str, Any]:
    """The manifest of a resource as a document has it; equal resources have equal manifests."""
    manifest: Dict[str, Any] = json.loads(json.dumps(api_version.build_manifest(resource.canonical())))
    return manifest


def build_planned(change: Change, api_version: ApiVersion, get_key: Callable[[Ref], str]) -> PlannedChange:
    """The change as a plan has it; get_key returns the key of a new resource."""
    return PlannedChange(
        change.operation,
        change.ref,
        change.before.key if change.before else get_key(change.ref),
        change.before.revision if change.before else "",
        build_manifest(change.after, api_version) if change.after else None,
        change.fields,
    )


def build_document(plan: PlanFile) -> Dict[str, Any]:
    """The plan as JSON values."""
    document = {
        "schema": SCHEMA,
        "created": plan.created,
        "datastore": dict(plan.datastore),
        "owner": plan.owner,
        "changes": [
            {
                "operation": change.operation,
                **change.ref._asdict(),
                "fields": list(change.fields),
                "key": change.key,
                "revision": change.revision,
                "resource": change.resource,
            }
            for change in plan.changes
        ],
    }
    return dict(document, digest=_compute_digest(document))


def parse_document(document: Any) -> PlanFile:
    """The plan of a document. Raises ValueError, with the reason, for one that this version has not written."""
    schema = document.get("schema") if isinstance(document, Mapping) else None
    if schema != SCHEMA:
        text = "is not a plan that this version of netsec.calico reads: its schema is {0}, not {1}"
        raise ValueError(text.format("missing" if schema is None else shown(schema), SCHEMA))
    content = {key: value for key, value in document.items() if key != "digest"}
    if document.get("digest") != _compute_digest(content):
        raise ValueError("was changed or damaged after it was written: its content does not match its digest")
    changes, datastore = content.get("changes"), content.get("datastore")
    if not isinstance(changes, list) or not isinstance(datastore, Mapping):
        raise ValueError("is not a valid plan: changes or datastore is missing")
    return PlanFile(
        datastore,
        str(content.get("owner")),
        brief(content.get("created"), 80),
        [_parse_change("changes[{0}]".format(index), item) for index, item in enumerate(changes)],
    )


def _parse_change(where: str, item: Any) -> PlannedChange:
    is_valid = (
        isinstance(item, Mapping)
        and all(isinstance(item.get(key), str) for key in _TEXTS)
        and item["operation"] in (CREATE, UPDATE, DELETE)
        and isinstance(item.get("resource"), Mapping) is (item["operation"] != DELETE)
    )
    if not is_valid:
        raise ValueError("is not a valid plan: {0} is not a change".format(where))
    ref = Ref(item["kind"], item["name"], item["node"])
    return PlannedChange(item["operation"], ref, item["key"], item["revision"], item.get("resource"))


def _compute_digest(content: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    except RecursionError as exc:
        raise ValueError("is nested too deeply") from exc
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def find_differences(
    planned: Sequence[PlannedChange],
    now: Sequence[PlannedChange],
    made: Collection[str],
    revisions: Mapping[str, str],
) -> List[str]:
    """Why the changes that a run would make now are not those of a plan; empty when they are.

    made: keys of the changes of the plan that were already made. revisions: the current revisions of the plan's
    resources that do not change now, by their keys.
    """
    due = {change.key: change for change in now}
    known = {change.key for change in planned}
    found = []
    for change in planned:
        if change.key in due:
            found.append(_find_difference(change, due[change.key]))
        elif change.key not in made:
            text = "the {0} is no longer declared".format(change)
            found.append(_explain_revision(change, revisions.get(change.key, "")) or text)
    found += ["the {0} is not in the plan".format(change) for change in now if change.key not in known]
    return [text for text in found if text]


def _find_difference(planned: PlannedChange, now: PlannedChange) -> str:
    """Why a change is not the planned one; "" when it is."""
    text = _explain_revision(planned, now.revision)
    if text or (planned.operation, planned.resource) == (now.operation, now.resource):
        return text
    if planned.operation != now.operation:
        return "{0} is declared differently now: {1} instead of {2}".format(now.ref, now.operation, planned.operation)
    fields = _list_fields(planned.resource or {}, now.resource or {})
    return "{0} is declared differently now: {1}".format(now.ref, ", ".join(fields[:_SHOWN_FIELDS]))


def _explain_revision(planned: PlannedChange, revision: str) -> str:
    """Why a plan rests on another stored resource; "" when it does not."""
    if planned.revision == revision:
        return ""
    verb = "changed" if planned.revision and revision else "deleted" if planned.revision else "created"
    text = "{0} was {1} by another client after the plan was made".format(planned.ref, verb)
    if verb == "changed":
        text += " (revision {0}, in the plan {1})".format(brief(revision, 40), brief(planned.revision, 40))
    return text


def _list_fields(planned: Mapping[str, Any], now: Mapping[str, Any]) -> List[str]:
    """Names of the parts in which two manifests differ, such as spec.expectedIPs."""
    pairs = _flatten(planned), _flatten(now)
    return [name for name in {**pairs[0], **pairs[1]} if pairs[0].get(name) != pairs[1].get(name)]


def _flatten(manifest: Mapping[str, Any]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for section, value in manifest.items():
        parts: Sequence[Tuple[str, Any]] = [(section, value)]
        if isinstance(value, Mapping):
            parts = [("{0}.{1}".format(section, key), item) for key, item in value.items()]
        found.update(parts)
    return found
