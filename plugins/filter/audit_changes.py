# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: audit_changes
short_description: Compare two audit reports
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Compares two files C(audit.json), without access to the datastore or the hosts.
  - A finding is the same in both reports if its class, its rule, its host and its name are the same. If a report of an
    older version has no rules, they are not compared.
  - An input that is not an audit report is an error, as is a report whose format version is unknown to this version of
    the collection.
  - The playbook C(netsec.calico.compare_audits) shows the result.
positional: after
options:
  _input:
    description: The older report, or the content of its file as a string.
    type: raw
    required: true
  after:
    description: The newer report, or the content of its file as a string.
    type: raw
    required: true
seealso:
  - plugin: netsec.calico.audit_trend
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Fail if the audit has findings that it did not have yesterday
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
      description: Findings that are only in the newer report, as they are in that report, without accepted findings.
      type: list
      elements: dict
    altered:
      description: Findings in both reports with different C(fields), as they are in the newer report.
      type: list
      elements: dict
    accepted:
      description: Findings that an exception accepts in the newer report, and not in the older report.
      type: list
      elements: dict
    no_longer_accepted:
      description: Findings in both reports that an exception accepts in the older report only.
      type: list
      elements: dict
    resolved:
      description: Findings that are only in the older report, of hosts and expectations that were checked again.
      type: list
      elements: dict
    unverified:
      description: >-
        Findings that are only in the older report, of hosts whose status is unknown in the newer report or that are not
        in it, or of expectations that are unknown in it. Whether they are resolved is unknown.
      type: list
      elements: dict
    still:
      description: Number of findings in both reports, including altered findings.
      type: int
    hosts:
      description: Hosts whose status changed, sorted.
      type: list
      elements: dict
      contains:
        host:
          description: Name of the host. Empty for a node that is not a host.
          type: str
        node:
          description: Name of its node in Calico. Empty if unknown.
          type: str
        before:
          description: Status of the host in the older report. Empty if the host is not in it.
          type: str
        after:
          description: Status of the host in the newer report. Empty if the host is not in it.
          type: str
    warnings:
      description: Reasons why the reports are hard to compare, such as different datastores.
      type: list
      elements: str
    text:
      description: >-
        The comparison as readable lines, with a maximum of 200 under each heading. Control characters are escaped, such
        as C(\x1b).
      type: list
      elements: str
  sample:
    new: []
    altered: []
    accepted: []
    no_longer_accepted: []
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

from ansible_collections.netsec.calico.plugins.plugin_utils._report._history.compare import changes_between
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError


def audit_changes(before: Any, after: Any) -> Dict[str, Any]:
    """Return what changed between two reports."""
    try:
        return changes_between(before, after)
    except ReportError as exc:
        raise AnsibleFilterError("audit_changes: {0}".format(exc)) from exc


class FilterModule:
    """Filters for audit reports."""

    def filters(self) -> dict:
        return {"audit_changes": audit_changes}
