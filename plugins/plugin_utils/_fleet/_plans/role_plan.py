# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of both roles: one document with the plans of their modules, in a file or as a string of an AWX artifact."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any, Dict, List, NamedTuple, Optional

from ansible_collections.netsec.calico.plugins.module_utils._core import strict_json
from ansible_collections.netsec.calico.plugins.module_utils._core.errors import shown
from ansible_collections.netsec.calico.plugins.module_utils._core.files import MOST_BYTES
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan import CREATE, DELETE, UPDATE
from ansible_collections.netsec.calico.plugins.module_utils._plan.plan_file import parse_document

SCHEMA = "netsec.calico/role-plan/1"
POLICIES, HOSTENDPOINTS = "policies", "hostendpoints"
_TITLES = {POLICIES: "policies and their resources", HOSTENDPOINTS: "host endpoints"}


class RolePlan(NamedTuple):
    """The documents of calico_resources and calico_hostendpoints."""

    # None if no policies are declared.
    policies: Optional[Mapping[str, Any]]
    hostendpoints: Mapping[str, Any]

    def get_part(self, part: str) -> Optional[Mapping[str, Any]]:
        """The document of a role."""
        return self.policies if part == POLICIES else self.hostendpoints

    def list_operations(self, part: str) -> List[str]:
        """The operations of a role's changes."""
        return [change["operation"] for change in (self.get_part(part) or {}).get("changes", ())]

    def summarize(self, part: str) -> str:
        """The numbers of changes of a role, in words."""
        operations = self.list_operations(part)
        numbers = [operations.count(operation) for operation in (CREATE, UPDATE, DELETE)]
        return "{0}: {1} to create, {2} to change, {3} to delete".format(_TITLES[part], *numbers)

    def build_document(self) -> Dict[str, Any]:
        """The plan as JSON values."""
        return {"schema": SCHEMA, POLICIES: self.policies, HOSTENDPOINTS: self.hostendpoints}


def parse_role_plan(document: Any) -> RolePlan:
    """The plan of a document. Raises ValueError, with the reason, if it is invalid."""
    schema = document.get("schema") if isinstance(document, Mapping) else None
    if schema != SCHEMA:
        problem = "is not a plan of the roles that this version of netsec.calico reads: its schema is {0}, not {1}"
        raise ValueError(problem.format("missing" if schema is None else shown(schema), SCHEMA))
    plan = RolePlan(document.get(POLICIES), document.get(HOSTENDPOINTS))
    parse_document(plan.hostendpoints)
    if plan.policies is not None:
        parse_document(plan.policies)
    return plan


def decode(text: str) -> Any:
    """The JSON values of a document. Raises ValueError, with the reason, if it is not JSON."""
    try:
        return strict_json.load(text)
    except strict_json.NotJson as exc:
        raise ValueError("is not JSON: {0}".format(exc)) from exc


def pack(document: Mapping[str, Any]) -> str:
    """The document as a short string without any character that a template, YAML or a shell interprets."""
    text = json.dumps(document, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def unpack(packed: str) -> Any:
    """The document in a string that `pack` returns. Raises ValueError, with the reason, if it is invalid."""
    try:
        reader = zlib.decompressobj()
        text = reader.decompress(base64.b64decode(packed.strip(), validate=True), MOST_BYTES)
    except (zlib.error, binascii.Error, ValueError) as exc:
        raise ValueError("is not a plan that netsec.calico.plan has published: {0}".format(exc)) from exc
    if not reader.eof:
        raise ValueError("is only a part of a plan that netsec.calico.plan has published")
    return decode(text.decode("ascii", "replace"))
