# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task returns: the endpoint, the change and its diff."""

from __future__ import annotations

from typing import Any, Dict, List

from . import _yaml
from ._datastore import State
from ._hostendpoint import HostEndpoint
from ._plan import DELETE, NONE, Change, Stored
from ._resource import to_resource
from ._validation import ignored_by_felix

SHOWN_WARNINGS = 10


def result_of(change: Change, api_version: str, with_diff: bool) -> Dict[str, Any]:
    """The result of a task about one endpoint."""
    result: Dict[str, Any] = {
        "changed": change.operation != NONE,
        "operation": change.operation,
        "fields": change.fields,
        "hostendpoint": change.after.as_options(api_version) if change.after else None,
    }
    if with_diff:
        result["diff"] = diff_of(change, api_version)
    return result


def warnings_of(change: Change, state: State, api_version: str) -> List[str]:
    """What the user should know about a change, and about the datastore that it is made in."""
    warnings = _state_warnings(state)
    before = change.before
    if before and before.error and change.operation != NONE:
        verb = "deleted" if change.operation == DELETE else "replaced"
        warnings.append("{0}: the value that is {1} could not be read: {2}".format(before.key, verb, before.error))
    if change.after:
        warnings += _felix_warnings(change.after, api_version)
    return warnings


def listing_of(found: List[Stored], api_version: str) -> Dict[str, Any]:
    """The result of a task that reads."""
    return {
        "changed": False,
        "hostendpoints": [stored.endpoint.as_options(api_version) for stored in found if not stored.error],
        "malformed": [{"key": stored.key, "error": stored.error} for stored in found if stored.error],
    }


def listing_warnings_of(found: List[Stored], state: State, api_version: str) -> List[str]:
    """What leaves interfaces open without anybody noticing, and the state of the datastore."""
    warnings = []
    for stored in found:
        if stored.error:
            warnings.append(
                "{0}: Calico skips this value, so the interface that it is meant for is open: {1}".format(
                    stored.key, stored.error
                )
            )
        else:
            warnings += _felix_warnings(stored.endpoint, api_version)
    more = len(warnings) - SHOWN_WARNINGS
    if more > 0:
        warnings = warnings[:SHOWN_WARNINGS] + ["and {0} more endpoints that Calico does not apply".format(more)]
    return _state_warnings(state) + warnings


def _state_warnings(state: State) -> List[str]:
    return [text for text in (state.warning, state.locked) if text]


def _felix_warnings(endpoint: HostEndpoint, api_version: str) -> List[str]:
    reason = ignored_by_felix(endpoint, api_version)
    return ["{0}: Felix ignores it, so its interface is open: {1}".format(endpoint, reason)] if reason else []


def diff_of(change: Change, api_version: str) -> Dict[str, str]:
    """One endpoint's difference, each side as the YAML that calicoctl takes, in canonical form.

    In canonical form only what is really different shows up as such.
    """
    return {
        "before_header": str(change.identity),
        "after_header": "{0} ({1})".format(change.identity, change.operation),
        "before": _stored_text(change.before, api_version) if change.before else "",
        "after": _text(change.after, api_version) if change.after else "",
    }


def _stored_text(stored: Stored, api_version: str) -> str:
    if stored.error:
        return "# Calico cannot read this value: {0}\n{1}\n".format(stored.error, stored.value)
    return _text(stored.endpoint, api_version)


def _text(endpoint: HostEndpoint, api_version: str) -> str:
    return _yaml.dump(to_resource(endpoint.canonical(), api_version))
