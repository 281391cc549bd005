# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results of tasks: endpoints, changes and diffs."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from .._apply.outcome import ApplyOutcome
from .._core import yaml_io
from .._core.errors import brief, cut, shown
from .._datastore.base import State
from .._guard.verdict import GuardReport
from .._plan.desired import Purged
from .._plan.plan import CREATE, DELETE, NONE, UPDATE, Change
from .._plan.stored import Stored
from .._resources.api_version import ApiVersion
from .._resources.hostendpoint import HOST_ENDPOINT
from .._resources.resource import Ref, Resource, count_kinds

SHOWN_WARNINGS = 10

# Maximum numbers of characters of JSON, of the 700,000 that AWX keeps of a result.
CHANGES_SIZE = 200000
FAILURES_SIZE = 100000
DIFF_SIZE = 200000
GUARD_SIZE = 60000
# Of a refusal, whose result Ansible shows on one line after the message, which counts all findings.
REFUSAL_SIZE = 6000
STAGED_SIZE = 60000
# Number of endpoints of a policy in a result.
SELECTED = 50
# Diffs of created and deleted resources: one line, or the manifest.
SHORT, FULL = "short", "full"
# Maximum numbers of characters of a short diff, and of a value in it.
_LONGEST_DIFF = 500
_LONGEST_VALUE = 100


def build_result(change: Change, api_version: ApiVersion, with_diff: bool, guarded: GuardReport) -> Dict[str, Any]:
    """The result of a task about one endpoint."""
    result: Dict[str, Any] = {
        "changed": change.operation != NONE,
        "operation": change.operation,
        "fields": change.fields,
        "hostendpoint": api_version.as_options(change.after) if change.after else None,
    }
    result.update(build_guard_result(guarded.records()))
    if with_diff:
        result["diff"] = build_diff(change, api_version, guarded, FULL)
    return result


def build_guard_result(records: List[Dict[str, Any]], size: int = GUARD_SIZE) -> Dict[str, Any]:
    """The guard's verdicts on changes, up to a maximum size."""
    first = bounded(records, size)
    return {"guard": first, "guard_omitted": len(records) - len(first)}


def build_warnings(change: Change, outcome: ApplyOutcome, api_version: ApiVersion) -> List[str]:
    """Warnings about a change and the datastore."""
    return build_state_warnings(outcome.state) + _change_warnings(change, api_version) + outcome.guarded.warnings()


def _change_warnings(change: Change, api_version: ApiVersion) -> List[str]:
    warnings = []
    before = change.before
    if change.operation != NONE and before and before.error:
        verb = "deleted" if change.operation == DELETE else "replaced"
        warnings.append("{0}: the {1} value could not be read: {2}".format(brief(before.key, 255), verb, before.error))
    if before and before.pending and change.operation != DELETE:
        text = "{0} is being deleted: it waits for {1}; run the task again after that"
        warnings.append(text.format(change.ref, before.pending))
    if change.operation == DELETE and change.revision:
        # A deletion that is complete leaves no revision.
        warnings.append("{0}: the deletion is pending: the object waits for its finalizers".format(change.ref))
    if change.operation == UPDATE and before and "node" in change.fields:
        text = "{0} moves from node {1}, whose interface it no longer polices"
        warnings.append(text.format(change.after, before.node))
    if change.after:
        warnings += _felix_warnings(change.after, api_version)
    return warnings


def _owner_warnings(change: Change, owner_labels: Mapping[str, str]) -> List[str]:
    """Warnings about a resource that is taken from another owner."""
    if change.operation == UPDATE:
        text = "{0} changes its owner from {1} to {2} (label {3})"
    elif change.operation == DELETE and isinstance(change.want, Purged) and change.want.is_duplicate:
        text = "{0} of owner {1} is deleted, because owner {2} declares it under its other name (label {3})"
    else:
        return []
    # What does not change is often not even decoded.
    if not change.before or change.before.error:
        return []
    labels = change.before.resource.labels
    return [
        text.format(change.ref, shown(labels[key]), shown(owner), key)
        for key, owner in owner_labels.items()
        if labels.get(key, owner) != owner
    ]


def build_record(change: Change) -> Dict[str, Any]:
    """A change, as a result lists it."""
    return {
        "operation": change.operation,
        "node": change.ref.node,
        "name": change.ref.name,
        "fields": change.fields,
    }


def build_bulk_result(
    outcome: ApplyOutcome,
    api_version: ApiVersion,
    diff_limit: Optional[int],
    diff_style: str = FULL,
    record: Callable[[Change], Dict[str, Any]] = build_record,
) -> Dict[str, Any]:
    """The result of a task about a set of resources; with diffs unless diff_limit is None.

    AWX discards a result of more than 700,000 characters, so the lists are bounded, with counts of omitted items.
    """
    changes = bounded((record(change) for change in outcome.done), CHANGES_SIZE)
    operations = [change.operation for change in outcome.done]
    result = {
        "changed": bool(outcome.done),
        "summary": {
            "created": operations.count(CREATE),
            "updated": operations.count(UPDATE),
            "deleted": operations.count(DELETE),
            "unchanged": len(outcome.unchanged),
        },
        "changes": changes,
        "changes_omitted": len(outcome.done) - len(changes),
    }
    result.update(build_guard_result(outcome.guarded.records()))
    if outcome.staged:
        staged = bounded((_build_staged(*item) for item in outcome.staged.items()), STAGED_SIZE)
        result.update(staged=staged, staged_omitted=len(outcome.staged) - len(staged))
    if outcome.canary:
        result["canary"] = [place.node for place in outcome.canary]
    if outcome.stopped:
        result["taken_back"] = bounded((record(change) for change in outcome.taken_back), FAILURES_SIZE)
    if outcome.failed or outcome.stopped or outcome.not_attempted:
        result["msg"] = format_failure(outcome)
        # Not "failed", which is Ansible's own.
        failures = bounded((dict(record(change), error=str(error)) for change, error in outcome.failed), FAILURES_SIZE)
        left = bounded((record(change) for change in outcome.not_attempted), FAILURES_SIZE)
        result.update(
            failures=failures,
            failures_omitted=len(outcome.failed) - len(failures),
            not_attempted=left,
            not_attempted_omitted=len(outcome.not_attempted) - len(left),
        )
    if diff_limit is not None:
        result["diff"] = _bulk_diff(outcome, api_version, diff_limit, diff_style)
    return result


def _build_staged(policy: Ref, endpoints: Sequence[Ref]) -> Dict[str, Any]:
    """The endpoints that a policy with a staged twin selects."""
    return {
        "name": policy.name,
        "selects": [{"node": each.node, "name": each.name} for each in endpoints[:SELECTED]],
        "selects_omitted": max(len(endpoints) - SELECTED, 0),
    }


def format_failure(outcome: ApplyOutcome) -> str:
    """The message about a failed canary, a failed write, or a run that a signal ended."""
    if outcome.stopped:
        text = "{0}. {1} of its changes were undone".format(outcome.stopped, len(outcome.taken_back))
        if outcome.failed:
            text += ", {0} could not be undone: {1}".format(len(outcome.failed), outcome.failed[0][1])
        return text + ", and nothing else was written"
    planned = len(outcome.done) + len(outcome.failed) + len(outcome.not_attempted)
    if outcome.is_rehearsed and outcome.failed:
        change, error = outcome.failed[0]
        text = "nothing was written; the server accepts {0} of {1} changes, and the {2} of {3} would fail: {4}"
        return text.format(len(outcome.done), planned, change.operation, change.ref, error)
    text = "{0} of {1} changes were made".format(len(outcome.done), planned)
    if outcome.ending.has_come():
        text = "{0} ended the run: {1}".format(outcome.ending.signal, text)
    if not outcome.failed:
        return text + ", and no other was started"
    change, error = outcome.failed[0]
    return "{0}; the {1} of {2} failed: {3}".format(text, change.operation, change.ref, error)


def build_bulk_warnings(outcome: ApplyOutcome, api_version: ApiVersion, owner_labels: Mapping[str, str]) -> List[str]:
    """Warnings about the changes, the datastore, and what a purge keeps. owner_labels are those of the set."""
    warnings = [
        "{0}: the value cannot be read, so it is not purged: {1}".format(brief(stored.key, 255), stored.error)
        for stored in outcome.unreadable
    ]
    for change in outcome.changes:
        warnings += _change_warnings(change, api_version) + _owner_warnings(change, owner_labels)
    first = build_state_warnings(outcome.state) + _build_plan_warnings(outcome)
    return first + first_warnings(warnings) + outcome.guarded.warnings()


def _build_plan_warnings(outcome: ApplyOutcome) -> List[str]:
    """A warning about the changes of an approved plan that an earlier run, or another client, has made."""
    if not outcome.made_before:
        return []
    if outcome.done or outcome.failed or outcome.not_attempted:
        return ["changes of the plan that were already made before this run: {0}".format(outcome.made_before)]
    return ["all changes of the plan ({0}) were already made, so there is nothing to write".format(outcome.made_before)]


def _bulk_diff(outcome: ApplyOutcome, api_version: ApiVersion, limit: int, style: str) -> List[Dict[str, str]]:
    changes = outcome.done
    diffs = bounded((build_diff(change, api_version, outcome.guarded, style) for change in changes[:limit]), DIFF_SIZE)
    omitted = len(changes) - len(diffs)
    if omitted:
        text = "... {0} omitted (diff_limit is {1})\n"
        diffs.append({"prepared": text.format(count_kinds([change.ref for change in changes[-omitted:]]), limit)})
    return diffs


def bounded(items: Iterable[Any], size: int) -> List[Any]:
    """The first items, up to a maximum number of characters of JSON."""
    first = []
    for item in items:
        size -= len(json.dumps(item)) + 2
        if size < 0:
            break
        first.append(item)
    return first


def build_listing(found: List[Stored], api_version: ApiVersion) -> Dict[str, Any]:
    """The result of a task that reads."""
    return {
        "changed": False,
        "hostendpoints": [api_version.as_options(stored.resource) for stored in found if not stored.error],
        "malformed": [{"key": stored.key, "error": stored.error} for stored in found if stored.error],
    }


def build_listing_warnings(found: List[Stored], state: State, api_version: ApiVersion) -> List[str]:
    """Warnings about endpoints that Calico ignores, and about the state of the datastore."""
    warnings = []
    for stored in found:
        if stored.error:
            warnings.append("{0}: {1}".format(brief(stored.key, 255), stored.meaning))
        else:
            warnings += _felix_warnings(stored.resource, api_version)
    return build_state_warnings(state) + first_warnings(warnings)


def first_warnings(warnings: List[str]) -> List[str]:
    more = len(warnings) - SHOWN_WARNINGS
    return warnings[:SHOWN_WARNINGS] + ["and {0} more warnings".format(more)] if more > 0 else warnings


def build_state_warnings(state: State) -> List[str]:
    return [text for text in (state.warning, state.locked) if text]


def _felix_warnings(resource: Resource, api_version: ApiVersion) -> List[str]:
    reason = api_version.why_ignored(resource)
    effect = ", so its interface is open" if resource.KIND == HOST_ENDPOINT else ""
    return ["{0}: Felix ignores it{1}: {2}".format(resource, effect, reason)] if reason else []


def build_diff(change: Change, api_version: ApiVersion, guarded: GuardReport, style: str) -> Dict[str, str]:
    """The diff of one resource. Each side is YAML that calicoctl accepts, in canonical form.

    In canonical form, only real differences appear. Comments list policies that start or stop selecting the endpoint.
    With the style SHORT, the only side of a created or deleted resource is one line instead.
    """
    if style == SHORT and change.operation != UPDATE:
        return _build_short_diff(change)
    ref = change.after.ref if change.after else change.ref
    started, stopped = guarded.selections.get((ref.node, ref.name), ((), ()))
    diff = {
        "before_header": str(change.ref),
        "after_header": "{0} ({1})".format(change.ref, change.operation),
        "before": _stored_text(change.before, change.after, api_version) if change.before else "",
        "after": _text(change.after, api_version) if change.after else "",
    }
    diff["before"] += "".join("# selected by the policy {0}\n".format(name) for name in stopped)
    diff["after"] += "".join("# selected by the policy {0}\n".format(name) for name in started)
    return diff


def _build_short_diff(change: Change) -> Dict[str, str]:
    """The diff of a created or deleted resource, without its manifest."""
    stored = change.before
    resource = change.after or (stored.resource if stored else None)
    if stored and stored.error:
        text = "Calico cannot read this value: {0}".format(stored.error)
    else:
        values = resource.canonical().compared_values() if resource else {}
        text = "; ".join("{0}: {1}".format(name, _shorten(values.get(name))) for name in change.fields)
    line = brief(text, _LONGEST_DIFF) + "\n"
    return {
        "before_header": str(change.ref),
        "after_header": "{0} ({1})".format(change.ref, change.operation),
        "before": line if stored else "",
        "after": "" if stored else line,
    }


def _shorten(value: Any) -> str:
    """A value in a few words: plain strings as they are, and the number of items of a structure."""
    if isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values()):
        value = ["{0}={1}".format(key, item) for key, item in value.items()]
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return cut(", ".join(value), _LONGEST_VALUE)
    if isinstance(value, (Mapping, list, tuple)):
        return "{0} {1}".format(len(value), "item" if len(value) == 1 else "items")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return cut(str(value), _LONGEST_VALUE)


def _stored_text(stored: Stored, after: Optional[Resource], api_version: ApiVersion) -> str:
    if stored.error:
        # The diff appears on a terminal.
        value = stored.value if stored.value.isprintable() else shown(stored.value, len(stored.value) * 6)
        return "# Calico cannot read this value: {0}\n{1}\n".format(stored.error, value)
    return _text(stored.beside(after), api_version)


def _text(resource: Resource, api_version: ApiVersion) -> str:
    return yaml_io.dump(api_version.build_manifest(resource.canonical()))
