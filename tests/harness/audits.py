# Copyright (c) The netsec.calico contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of audits that nobody made: an ordinary one, a hostile one, and large ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from ansible_collections.netsec.calico.plugins.module_utils._audit.classes import CLASSES
from ansible_collections.netsec.calico.plugins.plugin_utils._report.build import build_report

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[2] / "docs" / "audit_report.schema.json").read_text(encoding="utf-8")
)
(EXAMPLE,) = SCHEMA["examples"]

# What somebody may have stored, who wants to harm whoever opens a report.
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style></title>--><!-- ]]> <![CDATA[",
    '" onmouseover="alert(1)',
    "' & &lt; &#0;",
    "\x00\x07\x1b]0;owned\x07\x1b[31m\x7f\x9b31m",
    "\u202etxt.exe\u200b\u2028\ud800\uffff",
    "one\r\ntwo\ttabs",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "\t=1+1",
    "a;=1+1",
    "[[hosts]] {{ 7 * 7 }} \\g<1> %s {0}",
]


def report(**changes):
    return dict(copy.deepcopy(EXAMPLE), **changes)


def hostile_report():
    """Every text that anybody but the audit chooses is a hostile one."""
    hosts, findings, policies, endpoints = [], [], [], []
    for text in HOSTILE:
        hosts.append({"host": text, "node": text, "status": "drifted", "reason": "", "compliant": 0})
        hosts.append({"host": "un" + text, "node": "", "status": "unknown", "reason": text, "compliant": 0})
        fields = [
            {"field": "labels", "want": {text: text}, "have": {}},
            {"field": "interface_name", "want": text, "have": None},
        ]
        finding = {"class": "changed", "host": text, "node": text, "name": text, "interface_name": text}
        finding.update(severity="medium", rule="A05", remedy=text)
        findings.append(dict(finding, fields=fields, message=text))
        policies.append({"name": text, "endpoints": None, "problem": text})
        endpoints.append({"host": text, "node": text, "name": text, "policies": [text]})
    datastore = {"type": "etcdv3", "endpoints": HOSTILE, "warning": HOSTILE[0]}
    return report(
        hosts=hosts,
        findings=findings,
        policies=policies,
        endpoints=endpoints,
        datastore=datastore,
        owner=HOSTILE[0],
        reason=HOSTILE[1],
    )


def fleet_report(hosts, endpoints=2):
    """A fleet of so many hosts, each with so many endpoints, that all have drifted."""
    entries, findings, stored = [], [], []
    policies = ["default.policy-%02d" % number for number in range(10)]
    for number in range(hosts):
        host = "host%05d" % number
        node = host + ".example.com"
        entries.append({"host": host, "node": node, "status": "drifted", "reason": "", "compliant": 0})
        for index in range(endpoints):
            labels = {"role": "web", "zone": "dmz", "rack": "r%d" % (number % 50)}
            address = "2001:db8::%x:%x" % (number, index)
            fields = [
                {"field": "expected_ips", "want": ["192.0.2.7", address], "have": ["192.0.2.7"]},
                {"field": "labels", "want": labels, "have": dict(labels, zone="lan")},
            ]
            name = "%s-eth%d" % (node, index)
            finding = {"class": "changed", "host": host, "node": node, "name": name, "interface_name": "eth%d" % index}
            finding.update(severity="medium", rule="A05", remedy="ansible-playbook netsec.calico.apply --limit " + host)
            message = "The endpoint is stored with other values than the inventory says."
            findings.append(dict(finding, fields=fields, message=message))
            stored.append({"host": host, "node": node, "name": name, "policies": policies})
    summary = {
        "hosts": {"compliant": 0, "drifted": hosts, "unknown": 0},
        "endpoints": dict(dict.fromkeys(EXAMPLE["summary"]["endpoints"], 0), changed=len(findings)),
        "accepted": 0,
    }
    counts = [{"name": name, "endpoints": len(stored), "problem": ""} for name in policies]
    return report(summary=summary, hosts=entries, findings=findings, policies=counts, endpoints=stored)


def finding(kind, node, name="eth0", rule="", **changes):
    """A finding as the audit module returns it."""
    severity = CLASSES[kind].severity
    found = {"class": kind, "severity": severity, "rule": rule or CLASSES[kind].rule, "node": node, "name": name}
    return dict({"interface_name": name, "fields": [], "message": "It is so.", "remedy": ""}, **dict(found, **changes))


def undetermined(node, name, message="the facts of db1 are unknown"):
    """An unknown expectation as the audit module returns it."""
    return {"host": node, "node": node, "name": name, "message": message}


def built(findings=(), nodes=(), unknown=None, uncovered=None, fail_on=(), expectations=(), **options):
    """The report of a run whose audit module returned these findings; the hosts have the names of their nodes."""
    kinds = [each["class"] for each in findings]
    found = {
        "findings": list(findings),
        "summary": dict({kind: kinds.count(kind) for kind in kinds}, compliant=0, foreign=0),
        "compliant": {},
        "datastore": {"type": "etcdv3", "endpoints": [], "warning": ""},
        "policies": [],
        "endpoints": [],
    }
    if expectations:
        counts = {"met": 0, "unmet": kinds.count("unmet"), "unknown": len(expectations)}
        found.update(expectations=counts, unknown_expectations=list(expectations))
    nodes = {node: node for node in nodes}
    return build_report(found, nodes, unknown or {}, uncovered or {}, "me", list(fail_on), "now", **options)
