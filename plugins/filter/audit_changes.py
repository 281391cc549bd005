# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: audit_changes
short_description: Say what changed between two reports of audits
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Compares two files C(audit.json). Neither the datastore nor the hosts are needed.
  - A finding is the same in both reports when its class, its host and its name are.
  - It is an error when one of them is no report of an audit, or has a version of the format that this version of the
    collection does not know.
  - The playbook C(netsec.calico.compare_audits) shows the result.
positional: after
options:
  _input:
    description: The older report, or the text of its file.
    type: raw
    required: true
  after:
    description: The newer report, or the text of its file.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Stop when there is something that was not there yesterday
  ansible.builtin.assert:
    that: changes.new == []
    fail_msg: "{{ changes.text }}"
  vars:
    yesterday: "{{ lookup('ansible.builtin.file', '/srv/audits/yesterday/audit.json') }}"
    today: "{{ lookup('ansible.builtin.file', '/srv/audits/today/audit.json') }}"
    changes: "{{ yesterday | netsec.calico.audit_changes(today) }}"
"""

RETURN = r"""
_value:
  description: What changed.
  type: dict
  contains:
    new:
      description: Findings that only the newer report has, as they are there.
      type: list
      elements: dict
    altered:
      description: Findings of both whose fields differ in another way than before, as they are in the newer report.
      type: list
      elements: dict
    resolved:
      description: Findings that only the older report has, of hosts that were checked again.
      type: list
      elements: dict
    unverified:
      description: >-
        Findings that only the older report has, of hosts that are unknown in the newer one, or not in it. Nothing says
        that they are resolved.
      type: list
      elements: dict
    still:
      description: Number of findings that are in both reports, the altered ones too.
      type: int
    hosts:
      description: Hosts whose status changed, sorted.
      type: list
      elements: dict
      contains:
        host:
          description: Name of the host. Empty for a node that is no host.
          type: str
        node:
          description: Calico's name of its node, or empty where it is not known.
          type: str
        before:
          description: Its status in the older report. Empty where it is not in it.
          type: str
        after:
          description: Its status in the newer report. Empty where it is not in it.
          type: str
    warnings:
      description: Why the two reports can hardly be compared, such as other datastores.
      type: list
      elements: str
    text:
      description: >-
        All of this as lines for people, at most 200 under each heading. Control characters are written as C(\x1b) is.
      type: list
      elements: str
  sample:
    new: []
    altered: []
    resolved:
      - class: missing
        host: web2
        node: web2.example.com
        name: web2.example.com-eth0
        interface_name: eth0
        fields: []
        message: "The inventory wants this endpoint, and it is not stored: no policy applies to the interface."
    unverified: []
    still: 3
    hosts:
      - host: web2
        node: web2.example.com
        before: drifted
        after: compliant
    warnings: []
    text: []
"""

from typing import Any, Dict

from ansible.errors import AnsibleFilterError

from ansible_collections.netsec.calico.plugins.plugin_utils._report.compare import changes_between
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError


def audit_changes(before: Any, after: Any) -> Dict[str, Any]:
    """What changed between these two reports."""
    try:
        return changes_between(before, after)
    except ReportError as exc:
        raise AnsibleFilterError("audit_changes: {0}".format(exc)) from exc


class FilterModule:
    """Filters about the reports of audits."""

    def filters(self) -> dict:
        return {"audit_changes": audit_changes}
