/*
Copyright (c) The netsec.calico contributors
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later

What the page's data says, and which hosts and findings a filter selects. Anybody who can write to the datastore
chooses texts in it: they become text nodes and parts of a URL's fragment, never HTML. page_data.py describes the data.
*/

// Number of findings, and of hosts without one, on a page, and on paper.
const PAGE = 100, PRINTED = 2000;
// Milliseconds after the last key before the search starts.
const PAUSE = 120;

const data = JSON.parse(document.getElementById("data").textContent);
const shared = (index) => data.shared[index];
const names = (indexes) => indexes.map(shared);
const hosts = data.hosts.map(([title, kind, node, reason, compliant, groups, labels, endpoints], index) => ({
  index, title, kind, node, reason: shared(reason), compliant, endpoints, findings: [],
  groups: names(groups), labels: names(labels),
  anchor: kind === "policies" ? kind : (kind === "node" ? "node-" : "host-") + encodeURIComponent(title),
}));
const findings = data.findings.map(([host, kind, severity, name, port, rule, message, remedy, accepted, fields]) => ({
  host: hosts[host], kind: data.classes[kind], severity: data.severities[severity], name, interface: port, rule,
  message: shared(message), remedy: shared(remedy), accepted: shared(accepted), fields,
}));
for (const finding of findings) finding.host.findings.push(finding);

const $ = (selector) => document.querySelector(selector);
const list = $("#list"), query = $("#query"), kinds = $(".kinds"), status = $("[role=status]"), clear = $(".plainly");
const selects = ["severity", "hosts", "group", "label", "accepted"].map((key) => document.getElementById(key));
const pagers = [...document.querySelectorAll(".pager")];
const state = { query: "", classes: new Set(), page: 1, anchor: "" };
let rows = [], counts = {};

const number = (n) => n.toLocaleString("en");
const counted = (n, noun, many = noun + "s") => number(n) + " " + (n === 1 ? noun : many);
const make = (tag, className, ...content) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
};
const button = (text, act) => {
  const element = make("button", "", text);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
};

// Which findings and hosts

const policiesOf = (endpoint) => endpoint[1] === null ? null : shared(endpoint[1]);
const policyTexts = new Map();
const policyText = (endpoint) => {
  if (!policyTexts.has(endpoint[1])) policyTexts.set(endpoint[1], names((policiesOf(endpoint) || [[]])[0]).join(" "));
  return policyTexts.get(endpoint[1]);
};
// Read after the first view, so that the page loads faster.
const readTexts = () => {
  if (!hosts.length || hosts[0].text !== undefined) return;
  for (const host of hosts) {
    const own = [host.title, host.node, host.reason, ...host.groups, ...host.labels].join(" ");
    const policies = new Map(host.endpoints.map((endpoint) => [endpoint[0], policyText(endpoint)]));
    host.text = [own, ...[...policies].flat()].join(" ").toLowerCase();
    for (const finding of host.findings) {
      finding.text = [
        own, finding.kind, finding.severity, finding.rule, finding.name, finding.interface, finding.message,
        finding.remedy, finding.accepted, policies.get(finding.name) || "", ...names(finding.fields).flat(2),
      ].join(" ").toLowerCase();
    }
  }
};

const isOf = (host, kind) => !kind || (kind === "drifted" ? !["unknown", "compliant"].includes(host.kind) : host.kind === kind);
const filter = () => {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) readTexts();
  const [severity, kind, group, label, accepted] = selects.map((select) => select.value);
  const has = (item) => words.every((word) => item.text.includes(word));
  const isFindings = Boolean(severity || accepted || state.classes.size);
  rows = [];
  counts = { classes: new Map(), findings: 0, hosts: 0, nodes: 0 };
  for (const host of hosts) {
    if (!isOf(host, kind) || group && !host.groups.includes(group) || label && !host.labels.includes(label)) continue;
    const before = rows.length;
    for (const finding of host.findings) {
      if (severity && finding.severity !== severity || accepted && Boolean(finding.accepted) !== (accepted === "yes")) continue;
      if (!has(finding)) continue;
      counts.classes.set(finding.kind, (counts.classes.get(finding.kind) || 0) + 1);
      if (!state.classes.size || state.classes.has(finding.kind)) rows.push([host, finding]);
    }
    counts.findings += rows.length - before;
    if (rows.length === before && !isFindings && has(host)) rows.push([host, null]);
    if (rows.length > before && host.kind !== "policies") counts[host.kind === "node" ? "nodes" : "hosts"] += 1;
  }
};
