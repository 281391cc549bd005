# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: audit_trend
short_description: Show the trend over several audit reports
version_added: 0.1.0
author:
  - The netsec.calico contributors (@netsec)
description:
  - Counts the findings in two or more files C(audit.json), and returns since when each finding exists, without access
    to the datastore or the hosts.
  - The reports are sorted by the time at the beginning of C(generated). If a report has no time, the given order is
    kept, with a warning.
  - A finding is the same in several reports if its class, its rule, its host and its name are the same. If a report of
    an older version has no rules, they are not compared.
  - A finding exists since the first report of an unbroken row of reports that have it. A report that did not check its
    host does not break the row.
  - An input that is not an audit report is an error, as is a report whose format version is unknown to this version of
    the collection. Reports of versions without severities can be used.
  - The playbook C(netsec.calico.compare_audits) shows the result.
options:
  _input:
    description: The reports, or the contents of their files as strings. At least two.
    type: list
    elements: raw
    required: true
seealso:
  - plugin: netsec.calico.audit_changes
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Fail if a finding is older than the reports of this month
  ansible.builtin.assert:
    that: trend.still | selectattr('since', 'equalto', trend.reports[0].generated) == []
    fail_msg: "{{ trend.text }}"
  vars:
    paths: "{{ query('ansible.builtin.fileglob', '/srv/audits/2027-01-*.json') }}"
    trend: "{{ query('ansible.builtin.file', *paths) | netsec.calico.audit_trend }}"
"""

RETURN = r"""
_value:
  description: The trend.
  type: dict
  contains:
    reports:
      description: The numbers of each report, oldest first.
      type: list
      elements: dict
      contains:
        generated:
          description: Time and origin of the report.
          type: str
        failed:
          description: Whether the audit failed.
          type: bool
        reason:
          description: Why the audit failed, or its findings, in one line.
          type: str
        hosts:
          description: Number of hosts by status.
          type: dict
        classes:
          description: Number of findings by class, without accepted findings.
          type: dict
        severities:
          description: >-
            Number of findings by severity, without accepted findings. A finding without a severity counts with the
            severity of its class.
          type: dict
        findings:
          description: Number of findings, without accepted findings.
          type: int
        accepted:
          description: Number of accepted findings.
          type: int
        new:
          description: >-
            Number of findings, without accepted findings, that begin with this report. 0 in the first report, whose
            findings may be older.
          type: int
        fixed:
          description: Number of findings of earlier reports that this report is the first to no longer have.
          type: int
    new:
      description: >-
        Findings that only the newest report has, as they are in that report, and C(since), which is C(generated) of the
        first report of the row.
      type: list
      elements: dict
    still:
      description: Findings that the newest report and at least one earlier report have, with C(since).
      type: list
      elements: dict
    accepted:
      description: Findings of the newest report that an exception covers, with C(since).
      type: list
      elements: dict
    fixed:
      description: >-
        Findings that the newest report does not have, as they were in the last report that has them, with C(since), and
        with C(fixed), which is C(generated) of the first report that no longer has the finding.
      type: list
      elements: dict
    unverified:
      description: >-
        Findings, with C(since), of hosts and expectations that no later report has checked. Whether they are fixed is
        unknown.
      type: list
      elements: dict
    warnings:
      description: Reasons why the reports are hard to compare, such as different datastores.
      type: list
      elements: str
    text:
      description: >-
        The trend as readable lines, with a maximum of 200 under each heading. Control characters are escaped, such as
        C(\x1b).
      type: list
      elements: str
  sample:
    reports:
      - generated: "2027-01-01T18:00:00Z"
        failed: false
        reason: 1 missing
        hosts: {compliant: 9, drifted: 1, unknown: 0}
        classes: {missing: 1}
        severities: {high: 1}
        findings: 1
        accepted: 0
        new: 0
        fixed: 0
      - generated: "2027-01-02T18:00:00Z"
        failed: false
        reason: everything matches
        hosts: {compliant: 10, drifted: 0, unknown: 0}
        classes: {missing: 0}
        severities: {high: 0}
        findings: 0
        accepted: 0
        new: 0
        fixed: 1
    new: []
    still: []
    accepted: []
    fixed:
      - class: missing
        host: web2
        node: web2.example.com
        name: web2.example.com-eth0
        interface_name: eth0
        fields: []
        message: "The inventory wants this endpoint, and it is not stored: no policy applies to the interface."
        since: "2027-01-01T18:00:00Z"
        fixed: "2027-01-02T18:00:00Z"
    unverified: []
    warnings: []
    text: []
"""

from typing import Any, Dict

from ansible.errors import AnsibleFilterError

from ansible_collections.netsec.calico.plugins.plugin_utils._report._history.trend import build_trend
from ansible_collections.netsec.calico.plugins.plugin_utils._report.document import ReportError


def audit_trend(reports: Any) -> Dict[str, Any]:
    """Return the trend over several reports."""
    try:
        return build_trend(reports)
    except ReportError as exc:
        raise AnsibleFilterError("audit_trend: {0}".format(exc)) from exc


class FilterModule:
    """Filters for audit reports."""

    def filters(self) -> dict:
        return {"audit_trend": audit_trend}
