/*
Copyright (c) The netsec.calico contributors
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later

The elements of hosts and findings.
*/

const nameOf = (text) => make("span", "name", text);
const joined = (parts, separator) => parts.flatMap((part, index) => index ? [separator, part] : [part]);

const policiesBox = (host) => {
  const all = host.endpoints.map(policiesOf);
  const count = new Set(all.flatMap((policies) => policies ? policies[0] : [])).size;
  const texts = count ? [counted(count, "policy", "policies")] : [];
  if (all.some((policies) => policies && !policies[0].length)) texts.push(count ? "an endpoint without a policy" : "no policy");
  if (all.includes(null)) texts.push("policies unknown");
  const box = make("details", "policies", make("summary", "", texts.join(", ")));
  // Filled when opened, so that a page of hosts is quick.
  box.addEventListener("toggle", () => {
    if (box.children.length > 1) return;
    box.append(make("dl", "", ...host.endpoints.flatMap((endpoint) => {
      const policies = policiesOf(endpoint);
      const more = policies && policies[1] ? ", and " + number(policies[1]) + " more" : "";
      const shown = policies && policies[0].length ? [...joined(names(policies[0]).map(nameOf), ", "), more] : [policies ? "none" : "unknown"];
      return [make("dt", "", nameOf(endpoint[0])), make("dd", "", ...shown)];
    })));
  });
  return box;
};

const marked = (lines, others, tag) => {
  if (!lines.length) return [make("small", "", "nothing")];
  return joined(lines.map((line) => others.includes(line) ? line : make(tag, "", line)), "\n");
};
const fieldsTable = (fields) => {
  const head = make("tr", "", ...["Field", "Want", "Have"].map((text) => make("th", "", text)));
  const body = names(fields).map(([field, want, have]) => {
    const cells = [make("th", "", field), make("td", "", ...marked(want, have, "b")), make("td", "", ...marked(have, want, "i"))];
    cells[0].scope = "row";
    cells[1].dataset.label = "Want";
    cells[2].dataset.label = "Have";
    return make("tr", "", ...cells);
  });
  for (const cell of head.children) cell.scope = "col";
  return make("table", "fields", make("thead", "", head), make("tbody", "", ...body));
};

const copy = async (text, from) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that did not come by HTTPS has no clipboard.
    getSelection().selectAllChildren(from);
    if (!document.execCommand("copy")) return false;
  }
  return true;
};
const remedyBox = (remedy) => {
  const code = make("code", "", remedy);
  const press = button("Copy", async () => {
    press.textContent = await copy(remedy, code) ? "Copied" : "Selected: copy it";
    setTimeout(() => { press.textContent = "Copy"; }, 2000);
  });
  press.setAttribute("aria-live", "polite");
  return make("div", "remedy", make("span", "", "Remedy"), make("pre", "", code), press);
};

const findingBox = (finding) => {
  const title = make("h4", "", make("span", "badge " + finding.severity, finding.severity), " ", make("span", "class", finding.kind), " ", nameOf(finding.name));
  if (finding.interface) title.append(" ", make("small", "", "interface ", nameOf(finding.interface)));
  if (finding.rule) title.append(" ", make("small", "", "rule " + finding.rule));
  const box = make("section", "finding " + finding.severity, title, make("p", "", finding.message));
  box.dataset.class = finding.kind;
  if (finding.accepted) {
    box.classList.add("accepted");
    box.append(make("p", "exception", make("b", "", "Accepted:"), " " + finding.accepted));
  }
  if (finding.fields.length) box.append(fieldsTable(finding.fields));
  if (finding.remedy) box.append(remedyBox(finding.remedy));
  return box;
};

const titleOf = (host, tag) => {
  const link = make("a", "anchor", host.title);
  link.href = "#" + host.anchor;
  const title = make(tag, "", link);
  title.id = host.anchor;
  title.tabIndex = -1;
  return title;
};
const aboutOf = (host, shown) => {
  const of = new Map();
  for (const finding of host.findings) of.set(finding.kind, (of.get(finding.kind) || 0) + 1);
  const about = [...of].map(([kind, count]) => count + " " + kind);
  if (host.kind === "node") about.unshift("not a host of this run");
  if (host.kind === "policies") about.unshift("policies, network sets, profiles and tiers, which belong to no host");
  if (host.compliant) about.push(host.compliant + " compliant");
  if (host.node) about.unshift(nameOf(host.node));
  if (host.reason) about.push(host.reason);
  if (shown < host.findings.length) about.push(number(shown) + " of " + counted(host.findings.length, "finding") + " shown here");
  return about;
};
const cardOf = (host, shown) => {
  const card = make("article", "host", titleOf(host, "h3"), make("p", "", ...joined(aboutOf(host, shown.length), " · ")));
  card.dataset.status = host.kind;
  if (host.endpoints.length) card.append(policiesBox(host));
  card.append(...shown.map(findingBox));
  return card;
};
const lineOf = (host) => {
  const about = [host.node && nameOf(host.node), host.reason || counted(host.compliant, "endpoint")].filter(Boolean);
  const line = make("li", "", titleOf(host, "span"), " ", make("small", "", ...joined(about, " · ")));
  line.dataset.status = host.kind;
  if (host.endpoints.length) line.append(policiesBox(host));
  return line;
};

const SECTIONS = {
  findings: ["Findings", "The host with the most severe finding is first. Want is the declared value, have is the stored value."],
  unknown: ["Unknown hosts", "They could not be checked, so the state of their endpoints is unknown."],
  compliant: ["Compliant hosts", "All of their endpoints match."],
};
const sectionOf = (host) => host.findings.length || !SECTIONS[host.kind] ? "findings" : host.kind;
const sectionBoxes = (shown) => {
  const sections = new Map();
  for (const [host, finding] of shown) {
    const key = sectionOf(host);
    if (!sections.has(key)) sections.set(key, new Map());
    const of = sections.get(key);
    if (!of.has(host)) of.set(host, []);
    if (finding) of.get(host).push(finding);
  }
  return [...sections].map(([key, of]) => {
    const [title, meaning] = SECTIONS[key];
    const box = make("section", "hosts", make("h2", "", title), make("p", "", meaning));
    if (key === "findings") box.append(...[...of].map(([host, own]) => cardOf(host, own)));
    else box.append(make("ul", "plain", ...[...of.keys()].map(lineOf)));
    return box;
  });
};
