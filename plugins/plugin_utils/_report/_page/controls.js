/*
Copyright (c) The netsec.calico contributors
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later

The search, the filters, their form in the URL, the pages and paper.
*/

const totals = {
  findings: findings.length,
  hosts: hosts.filter((host) => !["node", "policies"].includes(host.kind)).length,
  nodes: hosts.filter((host) => host.kind === "node").length,
};
const isFiltered = () => Boolean(state.query.trim() || state.classes.size || selects.some((select) => select.value));
const countText = () => {
  const nouns = { findings: "finding", hosts: "host", nodes: "other node" };
  const parts = Object.keys(nouns).filter((key) => key !== "nodes" || totals.nodes).map((key) =>
    (isFiltered() ? number(counts[key]) + " of " : "") + counted(totals[key], nouns[key]));
  return parts.join(", ") + (isFiltered() ? " shown" : "");
};
const filterText = () => [
  state.query.trim() && "text " + state.query.trim(), state.classes.size && "class " + [...state.classes].join(" or "),
  ...selects.map((select) => select.value && select.previousElementSibling.textContent.toLowerCase() + " " + select.selectedOptions[0].text),
].filter(Boolean).join("; ");

const turnTo = (page, from) => {
  state.page = page;
  state.anchor = "";
  show();
  if (from) list.scrollIntoView();
  saveState();
};
const showPagers = (pages) => {
  for (const pager of pagers) {
    pager.hidden = pages < 2;
    const step = (text, page, label) => {
      const element = button(text, () => {
        turnTo(page, pager === pagers[1]);
        // The pressed button was replaced.
        (pager.querySelector("[aria-label='" + label + "']:enabled") || pager.querySelector("button:enabled")).focus({ preventScroll: true });
      });
      element.setAttribute("aria-label", label);
      element.disabled = page < 1 || page > pages || page === state.page;
      return element;
    };
    pager.replaceChildren(
      step("«", 1, "First page"), step("‹", state.page - 1, "Previous page"),
      make("span", "", "Page " + number(state.page) + " of " + number(pages)),
      step("›", state.page + 1, "Next page"), step("»", pages, "Last page"),
    );
  }
};
const showKinds = () => {
  for (const press of kinds.children) {
    press.setAttribute("aria-pressed", String(state.classes.has(press.dataset.kind)));
    press.lastChild.textContent = number(counts.classes.get(press.dataset.kind) || 0);
  }
};
const show = () => {
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  state.page = Math.min(Math.max(1, state.page), pages);
  list.replaceChildren(...sectionBoxes(rows.slice((state.page - 1) * PAGE, state.page * PAGE)));
  if (!rows.length) list.append(make("p", "nothing", isFiltered() ? "Nothing matches this filter." : "There are no hosts and no findings."));
  showPagers(pages);
};
const update = () => {
  filter();
  show();
  showKinds();
  status.textContent = countText();
  clear.hidden = !isFiltered();
};

// The filter in the URL

const saveState = () => {
  const parts = [
    ["q", state.query.trim()], ["class", [...state.classes].join(",")],
    ...selects.map((select) => [select.id, select.value]), ["page", state.page > 1 ? String(state.page) : ""],
  ];
  const hash = parts.filter((part) => part[1]).map(([key, value]) => key + "=" + encodeURIComponent(value).replaceAll("%2C", ",")).join("&");
  history.replaceState(null, "", "#" + hash);
};
const decode = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};
const restoreState = () => {
  const parts = location.hash.slice(1).split("&").map((part) => part.split(/=(.*)/s));
  const value = (key) => decode((parts.find((part) => part[0] === key) || ["", ""])[1] || "");
  query.value = state.query = value("q");
  state.classes = new Set(value("class").split(",").filter((kind) => data.classes.includes(kind)));
  for (const select of selects) select.value = [...select.options].some((option) => option.value === value(select.id)) ? value(select.id) : "";
  state.page = parseInt(value("page"), 10) || 1;
  update();
  const anchor = /^(host|node)-|^policies$/.test(parts[0][0]) ? decode(location.hash.slice(1)) : "";
  if (anchor) goTo(anchor);
};
const goTo = (anchor) => {
  const index = rows.findIndex(([host]) => decode(host.anchor) === anchor);
  if (index < 0) {
    status.textContent = "This report has no " + anchor.replace(/^(host|node)-/, "$1 ") + ". " + countText();
    return;
  }
  state.page = 1 + Math.floor(index / PAGE);
  show();
  const title = document.getElementById(rows[index][0].anchor);
  title.closest("[data-status]").classList.add("target");
  title.scrollIntoView();
  title.focus({ preventScroll: true });
};

const change = () => {
  state.page = 1;
  update();
  saveState();
};
const showAll = () => {
  query.value = state.query = "";
  state.classes.clear();
  for (const select of selects) select.value = "";
  change();
  query.focus();
};

const fill = (select, all, values) => {
  select.append(...[["", all], ...values].map(([value, text]) => new Option(text, value)));
  select.parentElement.hidden = values.length < 1;
};
const distinct = (texts) => [...new Set(texts)].sort();
const pairs = (texts) => texts.map((text) => [text, text]);
const readKinds = () => data.classes.filter((kind) => findings.some((finding) => finding.kind === kind)).map((kind) => {
  const press = button(kind + " ", () => {
    if (!state.classes.delete(kind)) state.classes.add(kind);
    change();
  });
  press.append(make("b", ""));
  press.dataset.kind = kind;
  press.classList.add(findings.find((finding) => finding.kind === kind).severity);
  return press;
});
const start = () => {
  const [severity, status, group, label, accepted] = selects;
  fill(severity, "all", pairs(data.severities.filter((each) => findings.some((finding) => finding.severity === each))));
  fill(status, "all", pairs(["drifted", "unknown", "compliant"].filter((kind) => hosts.some((host) => isOf(host, kind)))));
  fill(group, "all", pairs(distinct(hosts.flatMap((host) => host.groups))));
  fill(label, "all", pairs(distinct(hosts.flatMap((host) => host.labels))));
  fill(accepted, "all", findings.some((finding) => finding.accepted) ? [["no", "not accepted"], ["yes", "accepted"]] : []);
  kinds.append(...readKinds());
  for (const place of document.querySelectorAll("[data-filter]")) {
    const [key, value] = place.dataset.filter.split("=");
    const select = document.getElementById(key);
    if (key !== "class" && ![...select.options].some((option) => option.value === decode(value))) continue;
    const link = make("a", "", ...place.childNodes);
    link.href = "#" + place.dataset.filter;
    link.addEventListener("click", () => setTimeout(() => $(".find").scrollIntoView()));
    place.append(link);
  }
  let timer = 0;
  query.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      state.query = query.value;
      change();
    }, PAUSE);
  });
  for (const select of selects) select.addEventListener("change", change);
  clear.addEventListener("click", showAll);
  addEventListener("hashchange", restoreState);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== query && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      query.focus();
    } else if (event.key === "Escape" && !clear.hidden) {
      showAll();
    }
  });
  addEventListener("beforeprint", () => {
    const left = rows.length - PRINTED;
    list.replaceChildren(...sectionBoxes(rows.slice(0, PRINTED)));
    const parts = [countText()];
    if (isFiltered()) parts.push("Filter: " + filterText());
    if (left > 0) parts.push("Only the first " + number(PRINTED) + " of " + number(rows.length) + " entries are printed. The CSV and JSON reports have all.");
    list.prepend(make("p", "printed", parts.join(". ")));
  });
  addEventListener("afterprint", show);
  $(".unlisted").remove();
  $(".find").hidden = false;
  restoreState();
  setTimeout(readTexts, 200);
};
start();
