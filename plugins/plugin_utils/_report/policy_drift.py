# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The findings about policies, network sets, profiles and tiers, which belong to no host. Plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Dict, List

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import (
    APPLY_POLICIES,
    CLASSES,
    PURGE_POLICIES,
)
from ansible_collections.netsec.calico.plugins.module_utils._core import yaml_io

# The node of these findings.
ALL_NODES = "*"
# {operation of calico_resources: the class of the difference, its meaning, and its remedy}
_CLASSES = {
    "create": ("missing", "it is declared, but does not exist", APPLY_POLICIES),
    "update": ("changed", "it does not match what is declared", APPLY_POLICIES),
    "delete": (
        "unmanaged",
        "it belongs to the owner and is no longer declared: a purge of owned resources deletes it",
        PURGE_POLICIES,
    ),
}
CLASSES_OF_POLICIES = tuple(kind for kind, _message, _remedy in _CLASSES.values())


def build_policy_findings(result: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The findings, from the result of calico_resources in check mode with a diff."""
    diffs = list(result.get("diff") or ())
    changes = list(result.get("changes") or ())
    # The results limit the number of diffs.
    diffs += [{}] * (len(changes) - len(diffs))
    return [_build_finding(change, diff) for change, diff in zip(changes, diffs)]


def _build_finding(change: Mapping[str, Any], diff: Mapping[str, Any]) -> Dict[str, Any]:
    kind, message, remedy = _CLASSES[change["operation"]]
    return {
        "class": kind,
        "severity": CLASSES[kind].severity,
        "rule": CLASSES[kind].rule,
        "host": "",
        "node": ALL_NODES,
        "name": "{0} {1}".format(change["kind"], change["name"]),
        "interface_name": "",
        "fields": list(_list_fields(change["fields"], diff)) if kind == "changed" else [],
        "message": message,
        "remedy": remedy,
    }


def _list_fields(names: List[str], diff: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    before, after = _parse(diff.get("before")), _parse(diff.get("after"))
    for name in names:
        yield {"field": name, "want": _find(after, name), "have": _find(before, name)}


def _parse(text: Any) -> Any:
    """The manifest on one side of a diff; None if it is missing or cannot be read."""
    try:
        documents = yaml_io.load_all(text) if isinstance(text, str) else []
    except ValueError:
        return None
    return documents[0] if documents else None


def _find(manifest: Any, field: str) -> Any:
    """The value of a field such as labels or spec.order; None if the manifest does not have it."""
    section, _dot, key = field.rpartition(".")
    for step in (section or "metadata", key):
        manifest = manifest.get(step) if isinstance(manifest, Mapping) else None
    return manifest
