# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A difference that an audit found."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .._plan.stored import Stored
from .._resources.hostendpoint import as_host_endpoint
from .classes import CLASSES, format_remedy

MISSING, CHANGED, UNMANAGED, ORPHANED = "missing", "changed", "unmanaged", "orphaned"
SHADOWED, MALFORMED, UNSAFE, UNMET = "shadowed", "malformed", "unsafe", "unmet"


class AuditFinding(NamedTuple):
    """A difference of one endpoint."""

    kind: str
    node: str
    name: str
    interface_name: str
    # {"field": option name, "want": value or null, "have": value or null} of each field that differs.
    fields: List[Dict[str, Any]]
    # The meaning, in a sentence.
    message: str
    # What to copy: a command or a task; "" if there is none. Commands have no --limit.
    remedy: str
    # The check of the guard, for class UNSAFE.
    check: str = ""

    @property
    def rule(self) -> str:
        return self.check or CLASSES[self.kind].rule


def build_finding(
    kind: str,
    node: str,
    name: str,
    interface: str,
    message: str,
    remedy: Optional[str] = None,
    fields: Sequence[Dict[str, Any]] = (),
) -> AuditFinding:
    """A finding; its remedy is that of its class unless another is given."""
    text = CLASSES[kind].remedy if remedy is None else remedy
    return AuditFinding(kind, node, name, interface, list(fields), message, format_remedy(text, node, name))


def get_interface(item: Stored) -> str:
    return as_host_endpoint(item.resource).interface_name
