"use strict";
// The whole index is drawn from the JSON in this page. Text is set as text, never as HTML.
const DATA = JSON.parse(document.getElementById("data").textContent);
const ROWS = DATA.rows.sort((a, b) => (a.at < b.at ? 1 : -1));
const NOW = new Date(DATA.made), DAY = 864e5, PAGE = 100;
const RANK = { ok: 0, warn: 1, none: 2, unknown: 2, unverified: 3, alert: 4 };
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function el(name, more = {}, ...inner) {
  const svg = ["svg", "rect", "text", "polyline", "title", "g"].includes(name);
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
  made.append(...inner.filter((one) => one !== null && one !== undefined));
  return made;
}
const badge = (verdict) => el("b", { class: `v ${verdict}` }, verdict);
const link = (row, ...inner) => el("a", { href: `records/${row.id}.html` }, ...inner);
const when = (row) => row.at.slice(0, 16).replace("T", " ");
const at = (row) => el("a", { class: "when link", href: `records/${row.id}.html` }, when(row));
const ago = (row) => (NOW - new Date(row.at)) / DAY;
const values = (name) => [...new Set(ROWS.map((row) => row[name]).filter(Boolean))].sort((a, b) => (b === "daily_check") - (a === "daily_check") || (a < b ? -1 : 1));
const worst = (rows) => rows.reduce((a, b) => (RANK[b.verdict] > RANK[a.verdict] ? b : a));
const bad = (row) => row.verdict !== "ok";

function table(head, rows, none) {
  if (!rows.length) return el("p", { class: "soft" }, none);
  const cells = head.map((name) => el("th", {}, name));
  const body = rows.map((row) => el("tr", {}, ...row.map((cell, n) => el("td", { class: n < 2 || n > 3 ? "i" : "" }, cell))));
  return el("table", { class: "stack" }, el("thead", {}, el("tr", {}, ...cells)), el("tbody", {}, ...body));
}

// --- what needs a person

function attention() {
  const lines = [];
  const incidents = new Map();
  for (const row of [...ROWS].reverse()) if (row.incident) incidents.set(row.incident, row);
  for (const [name, row] of [...incidents].sort(([, a], [, b]) => (a.at < b.at ? 1 : -1))) {
    if (RANK[row.verdict] > RANK.warn) {
      lines.push(["open incident", el("a", { href: `incidents/${encodeURIComponent(name)}.html` }, name), `newest: ${row.runbook}, ${row.verdict}: ${row.causes.join("; ") || row.headline}`, at(row)]);
    }
  }
  for (const one of DATA.waiting) {
    lines.push(["awaits review", el("code", {}, one.id || ""), one.what || `${one.who} alone in ${one.incident || "no incident"}: ${one.reason}`, one.until || ""]);
  }
  const wrong = ROWS.filter((row) => row.verdict === "unverified");
  if (wrong.length) lines.push(["does not verify", `${wrong.length} records`, link(wrong[0], wrong[0].headline), at(wrong[0])]);
  for (const [name, store, target] of DATA.searched) {
    if (!ROWS.some((row) => row.environment === name)) lines.push(["missing", name, `no record at all in ${store}, target ${target}`, "never"]);
  }
  for (const [name, days] of missing()) lines.push(["missing", name, `no record on ${days.slice(-5).join(", ")}`, `${days.length} days`]);
  const newest = new Map();
  for (const row of [...ROWS].reverse()) newest.set(`${row.environment} · ${row.runbook}`, row);
  const now = [...newest].filter(([, row]) => row.runbook === "daily_check").map(([name, row]) =>
    [badge(row.verdict), name, link(row, row.headline), at(row)]);
  $("attention").append(table(["", "newest daily check", "", ""], now, "There is no daily check."));
  if (lines.length) $("attention").append(el("h2", {}, "Needs a person"), table(["what", "which", "why", "when (UTC)"], lines, ""));
}

// --- what was not ok, and why

function notOk() {
  const days = Number($("span").value), groups = new Map();
  for (const row of ROWS.filter((row) => ago(row) <= days)) {
    for (const one of row.bad) {
      const key = JSON.stringify([row.environment, one.check, one.subject, one.check === "cause" ? one.value : ""]);
      if (!groups.has(key)) groups.set(key, { one, row, runs: new Set(), why: new Set(), verdict: "ok" });
      const group = groups.get(key);
      group.runs.add(row.id);
      if (row === group.row) group.why.add(one.value);
      if (RANK[one.verdict] > RANK[group.verdict]) group.verdict = one.verdict;
    }
  }
  const found = [...groups.values()].sort((a, b) => RANK[b.verdict] - RANK[a.verdict] || b.runs.size - a.runs.size);
  const rows = found.slice(0, 40).map((group) => [badge(group.verdict), group.one.check, group.one.subject,
    link(group.row, [...group.why].join("; ")), `${group.runs.size}×`, at(group.row), group.row.environment]);
  for (const [environment, gone] of notRun(days)) {
    rows.unshift([badge("unknown"), "run", "daily_check", gone.length ? `no record on ${gone.join(", ")}` : "no record at all",
      gone.length ? `${gone.length}×` : "", gone.length ? gone[gone.length - 1] : "never", environment]);
  }
  $("notok").replaceChildren(table(["worst", "check", "subject", "why, at the newest", "runs", "newest (UTC)", "environment"], rows,
    "Everything was ok, and every day has a daily check."));
  if (found.length > 40) $("notok").append(el("p", { class: "soft" }, `… and ${found.length - 40} more`));
}

// --- the calendar: a column a week, a square a day; a day without a record is missing

function byDay(environment, runbook) {
  const days = new Map();
  for (const row of ROWS) {
    if (row.environment !== environment || row.runbook !== runbook) continue;
    days.set(row.day, [...(days.get(row.day) || []), row]);
  }
  return days;
}
const dayOf = (date) => date.toISOString().slice(0, 10);
const daysBetween = (first, last) => {
  const made = [];
  for (let at = new Date(`${first}T12:00Z`); dayOf(at) <= last; at = new Date(at.getTime() + DAY)) made.push(dayOf(at));
  return made;
};

function missing() {
  const found = [];
  for (const environment of values("environment")) {
    const days = byDay(environment, "daily_check");
    if (!days.size) continue;
    const gone = daysBetween([...days.keys()].sort()[0], dayOf(new Date(NOW - DAY))).filter((day) => !days.has(day));
    if (gone.length) found.push([`${environment} · daily_check`, gone]);
  }
  return found;
}

// The environments without a daily check in the last days, each with these days; with none of them if it has no record.
function notRun(span) {
  const first = dayOf(new Date(NOW - span * DAY)), found = missing().map(([name, days]) => [name.split(" · ")[0], days.filter((day) => day >= first)]);
  const none = DATA.searched.filter(([name]) => !ROWS.some((row) => row.environment === name)).map(([name]) => [name, []]);
  return [...found.filter(([, days]) => days.length), ...none];
}

function calendar() {
  const size = 13, weeks = 27, last = dayOf(NOW);
  for (const name of ["ok", "warn", "unknown", "alert", "missing"]) {
    $("legend").append(el("span", {}, el("svg", { width: 11, height: 11 }, el("rect", { width: 10, height: 10, rx: 2, class: `c-${name}` })), name));
  }
  for (const environment of values("environment")) {
    for (const runbook of values("runbook")) {
      const days = byDay(environment, runbook);
      if (!days.size) continue;
      const first = [...days.keys()].sort()[0];
      const sunday = new Date(NOW.getTime() - (NOW.getUTCDay() + 7 * (weeks - 1)) * DAY);
      const drawn = [];
      for (const [n, day] of daysBetween(dayOf(sunday), last).entries()) {
        const rows = days.get(day), x = Math.floor(n / 7) * size, y = (n % 7) * size + 12;
        const daily = runbook === "daily_check" && day >= first && day < last;
        const verdict = rows ? worst(rows).verdict : daily ? "missing" : "empty";
        const square = el("rect", { x: x + 1, y, width: size - 3, height: size - 3, rx: 2, class: `c-${verdict}` });
        square.append(el("title", {}, `${day}: ${rows ? `${rows.length} records, worst ${verdict}` : daily ? "missing" : "no record"}`));
        const there = document.createElementNS(SVG, "a");
        if (rows) there.setAttribute("href", `records/${worst(rows).id}.html`);
        there.append(square);
        drawn.push(rows ? there : square);
        if (day.endsWith("-01")) drawn.push(el("text", { x, y: 8 }, new Date(`${day}T12:00Z`).toLocaleString("en", { month: "short", timeZone: "UTC" })));
      }
      const wrong = [...days.values()].map(worst).filter(bad).length;
      const label = `${environment}, ${runbook}: ${days.size} days with records, ${wrong} of them not ok`;
      $("calendar").append(el("div", {}, el("h3", {}, `${environment} · ${runbook}`), el("div", { class: "cal", tabindex: 0 },
        el("svg", { width: weeks * size, height: 7 * size + 12, role: "img", "aria-label": label }, ...drawn))));
    }
  }
}

// --- a trend for each check: its last 40 verdicts, and the first number of its value

const bads = (found) => found.filter((one) => one.verdict !== "ok").length;

function trends() {
  const series = new Map();
  for (const row of [...ROWS].reverse()) {
    for (const [check, [verdict, value]] of Object.entries(row.checks)) {
      const found = value.match(/^[≥ ]*(\d[\d,]*(?:\.\d+)?)(?![\d-])/); // and no date
      const number = found ? Number(found[1].replaceAll(",", "")) : null;
      const key = `${row.environment} · ${check}`;
      series.set(key, [...(series.get(key) || []), { verdict, number, row }].slice(-40));
    }
  }
  const rows = [...series].sort(([a, x], [b, y]) => bads(y) - bads(x) || (a < b ? -1 : 1)).map(([key, found]) => {
    const newest = found[found.length - 1];
    const strip = el("svg", { width: 40 * 6, height: 14, role: "img", "aria-label": `${bads(found)} of the last ${found.length} not ok` },
      ...found.map((one, n) => el("rect", { x: (40 - found.length + n) * 6, width: 5, height: 14, class: `c-${one.verdict}` },
        el("title", {}, `${when(one.row)}: ${one.verdict}`))));
    return [badge(newest.verdict), key, strip, spark(found.map((one) => one.number)), `${bads(found)} of ${found.length}`, at(newest.row)];
  });
  $("trends").append(table(["now", "check", "verdicts, the newest at the right", "its number", "not ok", "newest (UTC)"], rows, "no checks"));
}

function spark(numbers) {
  const known = numbers.filter((one) => one !== null);
  if (known.length < 3) return null;
  const high = Math.max(...known, 1), low = Math.min(...known, 0), step = 120 / Math.max(numbers.length - 1, 1);
  const points = numbers.map((one, n) => (one === null ? null : `${(n * step).toFixed(1)},${(15 - ((one - low) / (high - low)) * 13).toFixed(1)}`));
  const said = `from ${low.toLocaleString("en")} to ${high.toLocaleString("en")}, newest ${known[known.length - 1].toLocaleString("en")}`;
  return el("svg", { class: "spark", width: 190, height: 16, role: "img", "aria-label": said },
    el("polyline", { points: points.filter(Boolean).join(" ") }),
    el("text", { x: 124, y: 13 }, `max ${high.toLocaleString("en")}`), el("title", {}, said));
}

// --- search and filters; they are in the address, so that a view can be pasted into a chat

const FIELDS = ["q", "environment", "runbook", "verdict", "days"];
let shown = PAGE;

function matches(row) {
  const words = $("q").value.toLowerCase().split(/\s+/).filter(Boolean);
  if ($("environment").value && row.environment !== $("environment").value) return false;
  if ($("runbook").value && row.runbook !== $("runbook").value) return false;
  if ($("verdict").value && ($("verdict").value === "bad" ? !bad(row) : row.verdict !== $("verdict").value)) return false;
  if ($("days").value && ago(row) > Number($("days").value)) return false;
  row.text = row.text || JSON.stringify(Object.values(row)).toLowerCase();
  return words.every((word) => row.text.includes(word));
}

function draw() {
  const asked = FIELDS.filter((name) => $(name).value);
  const found = ROWS.filter(matches);
  $("overview").classList.toggle("hide", asked.length > 0);
  $("count").textContent = asked.length ? `${found.length} of ${ROWS.length} records` : `${ROWS.length} records, the newest first`;
  $("rows").replaceChildren(...found.slice(0, shown).map((row) => el("a", { class: "row", href: `records/${row.id}.html` },
    el("span", { class: "soft" }, when(row)), badge(row.verdict), el("span", {}, row.runbook),
    el("span", { class: "what" }, [row.incident, row.causes.join("; ") || (bad(row) && row.answer[0]) || row.headline].filter(Boolean).join(" · "),
      el("span", { class: "soft" }, ` ${row.environment} ${row.person}`)))));
  $("more").classList.toggle("hide", found.length <= shown);
  const hash = asked.map((name) => `${name}=${encodeURIComponent($(name).value)}`).join("&");
  if (`#${hash}` !== location.hash && (hash || location.hash)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
}

function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of FIELDS) $(name).value = given.get(name) || "";
  shown = PAGE;
  draw();
}

for (const name of ["environment", "runbook"]) for (const value of values(name)) $(name).append(el("option", { value }, value));
for (const value of values("verdict")) $("verdict").append(el("option", { value }, value));
const rehearsed = DATA.searched.filter(([, , target]) => target === "sandbox").map(([name]) => name);
const counts = DATA.searched.map(([name, store]) => `${ROWS.filter((row) => row.environment === name).length} records of ${name} (${store})`);
$("about").textContent = `${counts.join(", ")}; written ${DATA.made.slice(0, 16).replace("T", " ")} UTC.`;
if (rehearsed.length) $("about").append(` Times are this machine's; what a record of ${rehearsed.join(", ")} says is by the sandbox's own clock.`);
for (const name of FIELDS) $(name).addEventListener("input", () => { shown = PAGE; draw(); });
$("clear").addEventListener("click", () => { for (const name of FIELDS) $(name).value = ""; draw(); });
$("more").addEventListener("click", () => { shown += 5 * PAGE; draw(); });
$("span").addEventListener("change", notOk);
addEventListener("hashchange", fromAddress);
addEventListener("keydown", (event) => {
  const typing = /INPUT|SELECT|TEXTAREA/.test(event.target.tagName);
  if (event.key === "Escape") { $("clear").click(); event.target.blur(); }
  if (event.key === "/" && !typing) { event.preventDefault(); $("q").focus(); }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !["j", "k"].includes(event.key)) return;
  const links = [...document.querySelectorAll("a.row")], at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at + (event.key === "j" ? 1 : -1)))]?.focus();
});

attention();
notOk();
calendar();
trends();
fromAddress();
