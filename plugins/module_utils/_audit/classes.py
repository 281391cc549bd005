# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The classes of findings: their severity, rule, meaning and remedy."""

from __future__ import annotations

import re
from typing import Dict, NamedTuple

CRITICAL, HIGH, MEDIUM, LOW = "critical", "high", "medium", "low"

_APPLY = "ansible-playbook netsec.calico.apply"
_NODE = ', node: "{node}"'
_DELETE = 'netsec.calico.calico_hostendpoint: {{name: "{name}"' + _NODE + ", state: absent}}"
APPLY_AGAIN = _APPLY
PURGE_OWNED = _APPLY + " -e hostendpoints_purge=owned"
DECOMMISSION = "ansible-playbook netsec.calico.decommission -e hostendpoints_decommission={node}"
# Deleting is a task, since a purge would also delete the host's other endpoints.
DELETE = "# delete it with a task:\n" + _DELETE
DELETE_OR_DECLARE = (
    DELETE
    + "\n# or take it into the inventory:\n"
    + "ansible-playbook netsec.calico.gathered -e hostendpoints_gathered_dest=gathered.yml"
)
APPLY_POLICIES = "ansible-playbook netsec.calico.policies"
PURGE_POLICIES = APPLY_POLICIES + " -e calico_policies_purge=owned"
# What decides is in the message. Its name is that of the datastore, which is not copied.
CHECK_POLICIES = (
    "# change what decides, or the expectation in hostendpoints_connectivity or hostendpoints_group_connectivity; "
    "check it before you apply it:\nansible-playbook netsec.calico.check_policies"
)

# A name that a remedy may contain: neither a shell, nor quoted YAML, nor a template gives it another meaning.
_PLAIN = re.compile(r"[\w][\w.:-]*")


class FindingClass(NamedTuple):
    # "" if each finding has its own, which is the guard's check.
    rule: str
    severity: str
    # Its meaning, as a phrase about an endpoint.
    title: str
    # The usual remedy, a command or a task to copy; "" if it depends on the finding.
    remedy: str = ""


# In the order of all reports.
CLASSES: Dict[str, FindingClass] = {
    "unsafe": FindingClass("", CRITICAL, "would lock hosts out, or leave an interface open"),
    "malformed": FindingClass("A01", CRITICAL, "Calico cannot read it", DELETE),
    "shadowed": FindingClass("A02", HIGH, "another endpoint governs its interface"),
    "missing": FindingClass("A03", HIGH, "declared, but not in the datastore", APPLY_AGAIN),
    "unmet": FindingClass("A04", HIGH, "declared connectivity is not what the datastore gives", CHECK_POLICIES),
    "changed": FindingClass("A05", MEDIUM, "stored with other values than declared", APPLY_AGAIN),
    "unmanaged": FindingClass("A06", MEDIUM, "on a node of this run, but not declared", DELETE_OR_DECLARE),
    "orphaned": FindingClass("A07", LOW, "with our owner label, on an unknown node", DECOMMISSION),
    "expired": FindingClass("A08", LOW, "an accepted exception that has expired"),
}
# The classes of endpoints, which the audit module finds.
ENDPOINT_CLASSES = tuple(kind for kind in CLASSES if kind not in ("unmet", "expired"))
_ORDER = {kind: index for index, kind in enumerate(CLASSES)}


def get_rank(kind: str) -> int:
    """The place of a class in the order of the reports; an unknown class is last."""
    return _ORDER.get(kind, len(_ORDER))


def format_remedy(remedy: str, node: str, name: str) -> str:
    """The remedy for an endpoint; "" if it needs a name that is not plain.

    Anybody who can write to the datastore chooses these names, and a user copies the remedy.
    """
    if not node:
        # The node of a malformed value in v3, where a name is enough to delete it.
        remedy = remedy.replace(_NODE, "")
    needed = {"{node}": node, "{name}": name}
    if any(place in remedy and not is_plain(value) for place, value in needed.items()):
        return ""
    return remedy.format(node=node, name=name)


def is_plain(name: str) -> bool:
    """Whether a name can be copied into a command or a task without quotes."""
    return _PLAIN.fullmatch(name) is not None
