"use strict";
// The whole index is drawn from the JSON in this page. Text is set as text, never as HTML.
const DATA = JSON.parse(document.getElementById("data").textContent);
const ROWS = DATA.rows.sort((a, b) => (a.at < b.at ? 1 : -1));
const NOW = new Date(DATA.made), DAY = 864e5, PAGE = 100, PRINTED = 1000, DAILY = "daily_check", LATE = 26 / 24, RUNS = 40;
const AHEAD = 6e5; // by how much the clocks of two machines may differ: a record of a later time hides no other
const PAST = ROWS.filter((row) => new Date(row.at) - NOW <= AHEAD), FUTURE = ROWS.filter((row) => new Date(row.at) - NOW > AHEAD);
const RANK = { ok: 0, warn: 1, none: 2, unknown: 2, unverified: 3, alert: 4 };
const SIGN = { warn: "w", alert: "A", unknown: "?", none: "?", unverified: "!" }; // in a square: colour alone says nothing to some
const SURE = "sure: stated in a log or confirmed by two sources";
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

function el(name, more = {}, ...inner) {
  const svg = ["svg", "rect", "text", "polyline", "line", "title", "g"].includes(name);
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
  made.append(...inner.flat().filter((one) => one !== null && one !== undefined));
  return made;
}
const badge = (verdict) => el("b", { class: `v ${verdict}` }, verdict);
const when = (row) => row.at.slice(0, 16).replace("T", " ");
const day = (row) => row.at.slice(0, 10);
const page = (row) => `records/${row.environment}.${row.id}.html`; // two environments may have records of one name
const at = (row) => el("a", { class: "when", href: page(row) }, when(row));
const view = (text, name, value) => el("a", { href: `#${name}=${encodeURIComponent(value)}` }, text);
const ago = (row) => (NOW - new Date(row.at)) / DAY;
const values = (name) => [...new Set(ROWS.map((row) => row[name]).filter(Boolean))].sort((a, b) => (b === DAILY) - (a === DAILY) || (a < b ? -1 : 1));
const worst = (rows) => rows.reduce((a, b) => (RANK[b.verdict] > RANK[a.verdict] ? b : a));
const bad = (row) => row.verdict !== "ok";
const count = (number, one, more = `${one}s`) => `${number} ${number === 1 ? one : more}`;
const unsaid = (row, text) => (text.toLowerCase().startsWith(`${row.verdict}: `) ? text.slice(row.verdict.length + 2) : text); // the badge says it
const reason = (text) => el("span", {}, ...text.split(/(\(sure\))/).map((part) => (part === "(sure)" ? el("span", { title: SURE }, part) : part)));
const ZONE = Object.fromEntries(DATA.searched.map((one) => [one.environment, one.zone]));
const ZONES = [...new Set(Object.values(ZONE))].join(" or "), ALONE = DATA.searched.length === 1;
const named = (environment, name) => (ALONE ? name : `${environment} · ${name}`);

function since(row) {
  const hours = Math.max(0, ago(row) * 24);
  if (hours < 1) return `${Math.round(hours * 60)} min ago`;
  return hours < 48 ? `${Math.round(hours)} h ago` : `${Math.floor(hours / 24)} days ago`;
}

function table(head, rows, none) {
  if (!rows.length) return el("p", { class: "soft" }, none);
  const cells = head.map((name) => el("th", {}, name));
  const body = rows.map((row) => el("tr", {}, ...row.map((cell, n) => el("td", { class: (n < 2 || n > 3 ? "i" : "") + (/^[-\d ×:]+$|^\d+ days?$/.test(cell) ? " when" : ""), ...(n > 1 && head[n] ? { "data-l": head[n] } : {}) }, cell))));
  return el("table", { class: "stack" }, el("thead", {}, el("tr", {}, ...cells)), el("tbody", {}, ...body));
}

// --- what needs a person

function openIncidents() {
  const incidents = new Map();
  for (const row of PAST.filter(({ incident }) => incident)) {
    const key = JSON.stringify([row.environment, row.incident]);
    incidents.set(key, [...(incidents.get(key) || []), row]);
  }
  return [...incidents.values()].filter((rows) => RANK[rows[0].verdict] > RANK.warn);
}

function attention() {
  const lines = [], incidents = openIncidents(), gaps = missing();
  for (const rows of incidents) {
    const row = rows[0];
    lines.push(["open incident", el("a", { href: `incidents/${row.environment}.${encodeURIComponent(row.incident)}.html` }, named(row.environment, row.incident)),
      reason(`last record: ${row.runbook}, ${row.verdict}: ${row.causes.join("; ") || unsaid(row, row.headline)}`), day(rows[rows.length - 1]), at(row)]);
  }
  for (const one of DATA.waiting) {
    lines.push([one.id ? "awaits review" : "reviews unknown", one.id ? view(one.id, "q", one.id) : one.environment,
      one.what || `${one.who} alone in ${one.incident || "no incident"}: ${one.reason}`, "", one.until ? `by ${one.until.slice(0, 16).replace("T", " ")}` : ""]);
  }
  const wrong = ROWS.filter((row) => row.verdict === "unverified");
  if (wrong.length) lines.push(["does not verify", view(count(wrong.length, "record"), "verdict", "unverified"), wrong[0].headline, day(wrong[wrong.length - 1]), at(wrong[0])]);
  for (const row of FUTURE) lines.push(["of a time to come", named(row.environment, row.runbook), "a clock was wrong, or somebody forged it: it counts for nothing here", day(row), at(row)]);
  for (const { environment, lost = [], number } of DATA.searched) {
    if (lost.length) lines.push(["not as attested", environment, `${count(lost.length, "record")} of manifest ${number} are gone or other than it lists: ${few(lost, 3)}`, "", ""]);
  }
  for (const { environment, store, target } of DATA.searched) {
    if (!ROWS.some((row) => row.environment === environment)) lines.push(["missing", environment, `no record at all in ${store}, target ${target}`, "", "never"]);
  }
  for (const [environment, found] of gaps) {
    const shown = found.slice(-5).reverse(), rest = found.length - shown.length;
    const said = [...shown.map(gapText), ...(rest ? [`… and ${rest} earlier`] : [])].map((text) => el("div", {}, text));
    lines.push(["missing", view(named(environment, DAILY), "runbook", DAILY), said, day(found[0].before), shown[0].after ? when(shown[0].after) : "now"]);
  }
  const newest = new Map();
  for (const row of PAST) if (row.runbook === DAILY && !newest.has(row.environment)) newest.set(row.environment, row);
  answer([...newest.values()], incidents.length, gaps, wrong.length);
  if (newest.size > 1) $("attention").append(table(["verdict", "environment", "newest daily check", "age", "ran (UTC)"],
    [...newest.values()].map((row) => [late(row) ? badge("missing") : badge(row.verdict), row.environment, unsaid(row, row.headline), since(row), at(row)])));
  $("attention").append(el("h2", {}, "Needs a person"), table(["what", "which", "why", "since (UTC)", "last (UTC)"], lines, "Nothing."));
  if (incidents.length) $("attention").append(el("p", { class: "soft" }, "An incident counts as open while its last record is neither ok nor warn. No record says that it is closed."));
  $("attention").append(...trust());
}
const few = (names, most) => names.slice(0, most).join(", ") + (names.length > most ? `, … and ${names.length - most} more` : "");
const late = (row) => ago(row) > LATE;

// The first line of the page: the newest daily checks, and what is open. It is as red as the worst of these.
function answer(newest, incidents, gaps, wrong) {
  const recent = dayOf(new Date(NOW - 7 * DAY)), lately = gaps.flatMap(([, found]) => found.filter(({ days }) => days[days.length - 1] >= recent)).length;
  const none = DATA.searched.filter(({ environment }) => !ROWS.some((row) => row.environment === environment)).length;
  const lost = DATA.searched.reduce((sum, one) => sum + (one.lost || []).length, 0);
  const one = newest[0], by = new Map(), waiting = DATA.waiting.filter(({ id }) => id);
  for (const row of newest) by.set(late(row) ? "late" : row.verdict, (by.get(late(row) ? "late" : row.verdict) || 0) + 1);
  const checks = !one ? "No daily check in these records." : newest.length === 1
    ? `Newest daily check: ${one.verdict}, ${since(one)}${late(one) ? ", so the present state is not known" : ""}.`
    : `Newest daily checks: ${[...by].map(([verdict, number]) => `${number} ${verdict}`).join(", ")}.`;
  const open = [incidents && `${count(incidents, "incident")} open`, wrong && `${count(wrong, "record")} not verified`, FUTURE.length && `${count(FUTURE.length, "record")} of a time to come`,
    lost && `${count(lost, "record")} not as attested`, waiting.length && `${waiting.length} awaiting review`,
    DATA.waiting.length > waiting.length && `reviews of ${count(DATA.waiting.length - waiting.length, "environment")} unknown`,
    none && `${count(none, "environment")} without records`, lately && `${count(lately, "gap")} in the last 7 days`].filter(Boolean);
  const states = newest.map((row) => (late(row) ? "unknown" : row.verdict));
  states.push(incidents || wrong || lost ? "alert" : none || !one || FUTURE.length ? "unknown" : open.length ? "warn" : "ok");
  const verdict = states.reduce((a, b) => (RANK[b] > RANK[a] ? b : a));
  $("now").className = `answer ${verdict}`;
  $("now").append(el("h2", {}, `${checks} ${open.length ? `${open.join(", ")}.` : "Nothing needs a person."}`));
}

// What was looked for and not found, and what the verification covers: silence would not tell either.
function trust() {
  const made = (text) => `${text.slice(0, 10)} ${text.slice(11, 16)}`, lines = [];
  if (!DATA.waiting.length) lines.push("Awaiting review: none.");
  const times = ROWS.map((row) => row.verified).sort(), good = ROWS.filter((row) => !row.faults), open = ROWS.filter((row) => row.open);
  const wrong = ROWS.length - good.length - open.length, ends = times.length ? [...new Set([times[0], times[times.length - 1]].map(made))] : [];
  lines.push(`Verified: ${good.length} of ${count(ROWS.length, "record")} against their own digests${ends.length ? `, ${ends.join(" to ")} UTC, when their pages were made` : ""}.`
    + (wrong ? ` ${count(wrong, "record")} ${wrong === 1 ? "does" : "do"} not verify.` : "") + (open.length ? ` ${count(open.length, "run")} without a recorded end.` : ""));
  const without = DATA.searched.filter(({ number }) => !number).map(({ environment }) => environment), of = (names) => (ALONE ? "" : ` of ${names}`);
  for (const { environment, number, at, person, listed } of DATA.searched) {
    if (number) lines.push(`Signed manifest${of(environment)}: number ${number} of ${made(at)} UTC by ${person} lists ${count(listed, "record")}.`);
  }
  if (without.length) lines.push(`Signed manifest${of(few(without, 5))}: none, so a record that was deleted or replaced as a whole is not detected.`);
  for (const { environment, ignored } of DATA.searched) lines.push(...ignored.map((why) => `Manifests of ${environment}: ${why}.`));
  return lines.map((text) => el("p", { class: "soft trust" }, text));
}

// --- what was not ok, and why

function notOk() {
  const days = Number($("span").value), groups = new Map();
  for (const row of PAST.filter((row) => ago(row) <= days)) {
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
    reason([...group.why].join("; ")), `${group.runs.size}×`, at(group.row), group.row.environment]);
  for (const [environment, gaps] of notRun(days)) {
    const gone = gaps.flatMap((gap) => gap.days);
    rows.unshift([badge("missing"), "run", DAILY, gaps.length ? gaps.map((gap) => el("div", {}, gapText(gap))) : "no record at all",
      gone.length ? count(gone.length, "day") : "", gone.length ? "" : "never", environment]);
  }
  $("notok").replaceChildren(table(["worst", "check", "subject", "reason (newest run)", "runs", "newest run (UTC)", "environment"], rows,
    "Everything was ok, and every day has a daily check."));
  if (found.length > 40) $("notok").append(el("p", { class: "soft" }, `… and ${found.length - 40} more`));
}

// --- the calendar: a column a week, a square a day of the team; a day without a daily check is missing

function byDay(environment, runbook) {
  const days = new Map();
  for (const row of PAST) {
    if (row.environment !== environment || row.runbook !== runbook) continue;
    days.set(row.day, [...(days.get(row.day) || []), row]);
  }
  return days;
}
// A day as 2026-03-11: that of the team of an environment, or without one in UTC.
const dayOf = (date, environment) => (environment ? new Intl.DateTimeFormat("sv-SE", { timeZone: ZONE[environment] }).format(date) : date.toISOString().slice(0, 10));
const daysBetween = (first, last) => {
  const made = [];
  for (let at = new Date(`${first}T12:00Z`); dayOf(at) <= last; at = new Date(at.getTime() + DAY)) made.push(dayOf(at));
  return made;
};

// For each environment, the gaps in which whole days of the team have no daily check: these days, and the runs beside.
function missing() {
  const found = [];
  for (const environment of values("environment")) {
    const days = byDay(environment, DAILY), gaps = [];
    if (!days.size) continue;
    let before = null;
    const today = dayOf(NOW, environment);
    for (const day of daysBetween([...days.keys()].sort()[0], today)) {
      const rows = days.get(day), open = gaps[gaps.length - 1];
      if (rows) {
        if (open && !open.after && open.before === before) open.after = rows[rows.length - 1];
        before = rows[0];
      } else if (day < today) {
        if (open && open.before === before) open.days.push(day);
        else gaps.push({ days: [day], before, after: null });
      }
    }
    if (gaps.length) found.push([environment, gaps]);
  }
  return found;
}

function gapText({ days, before, after }) {
  const hours = Math.round(((after ? new Date(after.at) : NOW) - new Date(before.at)) / 36e5);
  return `no daily check from ${when(before)} to ${after ? `${when(after)} UTC` : "now"} (${hours} h; ${count(days.length, "whole day")})`;
}

// The environments without a daily check in the last days, each with its gaps; with none of them if it has no record.
function notRun(span) {
  const first = dayOf(new Date(NOW - span * DAY)), found = missing().map(([name, gaps]) => [name, gaps.filter(({ days }) => days[days.length - 1] >= first)]);
  const none = DATA.searched.filter(({ environment }) => !ROWS.some((row) => row.environment === environment)).map(({ environment }) => [environment, []]);
  return [...found.filter(([, gaps]) => gaps.length), ...none];
}

const SIZE = 13, LEFT = 26, WEEKS = 26;

function square(verdict, x, y, small) {
  const inset = small ? 3 : 0, side = SIZE - 3 - 2 * inset;
  const rect = el("rect", { x: x + 1 + inset, y: y + inset, width: side, height: side, rx: 2, class: `c-${verdict}` });
  const sign = SIGN[verdict] && !small ? el("text", { x: x + 6, y: y + 8, class: "sign" }, SIGN[verdict]) : null;
  return [rect, sign].filter(Boolean);
}

function legend() {
  const small = el("span", {}, el("svg", { width: 12, height: 11 }, ...square("ok", 0, 0, true)), "small: fewer than half of the usual runs");
  for (const [name, text] of [["ok", "ok"], ["warn", "warn"], ["unknown", "unknown"], ["alert", "alert"], ["missing", "missing: no daily check"], ["empty", "no record"]]) {
    $("legend").append(el("span", {}, el("svg", { width: 12, height: 11 }, ...square(name, 0, 0)), text));
  }
  $("legend").append(small, `Days are those of the team, in ${ZONES}.`);
}

function calendar() {
  legend();
  for (const environment of values("environment")) {
    const last = dayOf(NOW, environment);
    for (const runbook of values("runbook")) {
      const days = byDay(environment, runbook);
      if (!days.size) continue;
      const first = [...days.keys()].sort()[0], noon = new Date(`${last}T12:00Z`);
      const sunday = new Date(noon.getTime() - (noon.getUTCDay() + 7 * (WEEKS - 1)) * DAY);
      const sizes = [...days].filter(([day]) => day !== last).map(([, rows]) => rows.length).sort((a, b) => a - b), usual = sizes[sizes.length >> 1] || 1;
      const drawn = ["Mon", "Wed", "Fri"].map((name, n) => el("text", { x: 0, y: (2 * n + 1) * SIZE + 21 }, name));
      const label = el("span", { class: "soft", "aria-live": "polite" });
      for (const [n, day] of daysBetween(dayOf(sunday), last).entries()) {
        const rows = days.get(day), x = LEFT + Math.floor(n / 7) * SIZE, y = (n % 7) * SIZE + 12;
        const daily = runbook === DAILY && day >= first && day < last, weekday = new Date(`${day}T12:00Z`).toLocaleString("en", { weekday: "short", timeZone: "UTC" });
        const verdict = rows ? worst(rows).verdict : daily ? "missing" : "empty";
        const said = `${weekday} ${day}: ${rows ? `${count(rows.length, "run")}${usual > 1 ? `, usually ${usual}` : ""}, worst ${verdict}` : daily ? "missing: no daily check" : "no record"}`;
        const there = rows ? document.createElementNS(SVG, "a") : el("g");
        if (rows) for (const [key, value] of Object.entries({ href: page(worst(rows)), tabindex: -1, "data-n": n, "aria-label": said })) there.setAttribute(key, value);
        there.append(...square(verdict, x, y, rows && day !== last && day !== first && 2 * rows.length < usual), el("title", {}, said));
        there.addEventListener("focus", () => { label.textContent = said; });
        drawn.push(there);
        if (day.endsWith("-01")) drawn.push(el("text", { x, y: 8 }, new Date(`${day}T12:00Z`).toLocaleString("en", { month: "short", timeZone: "UTC" })));
      }
      const wrong = [...days.values()].map(worst).filter(bad).length;
      const about = `${environment}, ${runbook}: ${count(days.size, "day")} with records, ${wrong} of them not ok. Arrow keys go from day to day.`;
      const box = el("div", { class: "cal" }, el("svg", { width: LEFT + WEEKS * SIZE, height: 7 * SIZE + 12, role: "group", "aria-label": about }, ...drawn));
      $("calendar").append(el("div", {}, el("h3", {}, named(environment, runbook), " ", label), box));
      byArrows(box);
      box.scrollLeft = box.scrollWidth;
    }
  }
}

// One Tab stop for a calendar: arrow keys move in it.
function byArrows(box) {
  const links = [...box.querySelectorAll("a")];
  links[links.length - 1]?.setAttribute("tabindex", 0);
  box.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -7, ArrowRight: 7 }[event.key], from = Number(document.activeElement.getAttribute("data-n"));
    if (!step) return;
    event.preventDefault();
    const ahead = links.filter((one) => (Number(one.getAttribute("data-n")) - from) * step > 0), far = (one) => Math.abs(Number(one.getAttribute("data-n")) - from - step);
    const next = ahead.sort((a, b) => far(a) - far(b))[0];
    if (!next) return;
    for (const one of links) one.setAttribute("tabindex", one === next ? 0 : -1);
    next.focus();
  });
}

// --- a trend for each check: its verdicts in its newest runs, and a line for each subject whose value is a number

const bads = (found) => found.filter((one) => one.verdict !== "ok").length;
const HIGH = { ok: 4, warn: 9 }; // of a bar in the strip; the others are as high as it is

function trends() {
  const series = new Map();
  for (const row of PAST) {
    const checks = new Map();
    for (const [kind, verdict, value] of row.checks) {
      const [check, subject, limit] = DATA.kinds[kind];
      checks.set(check, [...(checks.get(check) || []), { subject, limit, verdict, value }]);
    }
    for (const [check, found] of checks) {
      const key = JSON.stringify([row.environment, check]), runs = series.get(key) || [];
      if (runs.length < RUNS) runs.push({ row, found, verdict: worst(found).verdict });
      series.set(key, runs);
    }
  }
  const made = [...series].map(([key, runs]) => [...JSON.parse(key), runs.reverse()]);
  made.sort(([e, a, x], [f, b, y]) => bads(y) - bads(x) || (e + a < f + b ? -1 : 1));
  const rows = made.map(([environment, check, runs]) => {
    const newest = runs[runs.length - 1], last = el("span", { class: "when" }, badge(newest.verdict), el("small", {}, ` ${since(newest.row)}`));
    const strip = el("svg", { width: RUNS * 6, height: 14, role: "img", "aria-label": `${bads(runs)} of the newest ${count(runs.length, "run")} not ok` },
      ...runs.map((one, n) => { const high = HIGH[one.verdict] || 14;
        return el("rect", { x: (RUNS - runs.length + n) * 6, y: 14 - high, width: 5, height: high, class: `c-${one.verdict}` },
          el("title", {}, `${when(one.row)} UTC: ${one.verdict}`)); }));
    return [last, bads(runs) ? view(named(environment, check), "q", check) : named(environment, check), strip, numbers(runs),
      el("span", {}, `${bads(runs)} of ${count(runs.length, "run")} `, el("small", { class: "when" }, `since ${day(runs[0].row)}`)), at(newest.row)];
  });
  $("trends").append(table(["last", "check", "verdicts, the newest at the right", "numbers, each of one subject", "not ok", "newest run (UTC)"], rows, "no checks"));
}

// A number and its unit, of a value that begins with one and is no date.
function measured(value) {
  const found = value.match(/^[≥ ]*(\d[\d,]*(?:\.\d+)?)(?![\d-])\s*(of \S+|[^\s;,]*)/);
  return found ? { number: Number(found[1].replaceAll(",", "")), unit: found[2] } : null;
}

function numbers(runs) {
  const subjects = new Map();
  for (const [n, { found }] of runs.entries()) {
    for (const one of found) subjects.set(one.subject, [...(subjects.get(one.subject) || []), { ...one, ...measured(one.value), n }]);
  }
  const moved = [], still = [];
  for (const [subject, all] of subjects) {
    const newest = all.filter((one) => one.number !== undefined).pop();
    const points = newest ? all.filter((one) => one.number !== undefined && one.unit === newest.unit) : []; // one unit
    if (points.length < 3) continue;
    const low = Math.min(...points.map((one) => one.number)), high = Math.max(...points.map((one) => one.number));
    (low < high ? moved : still).push({ subject, points, newest, low, high });
  }
  moved.sort((a, b) => bads(b.points) - bads(a.points));
  const quiet = still.map(({ subject, newest }) => el("div", {}, `${subject}: ${newest.value} each time; limit: ${newest.limit || "none"}`));
  const rest = [...moved.slice(3).map((one) => spark(one, runs.length)), ...quiet];
  const shown = [...moved.slice(0, 3).map((one) => spark(one, runs.length)), ...(moved.length || quiet.length > 1 ? [] : quiet)];
  if (!subjects.size || !(shown.length || rest.length)) return null;
  return el("div", { class: "numbers" }, ...shown, rest.length && (moved.length || quiet.length > 1)
    ? el("details", {}, el("summary", {}, moved.length > 3 ? `${rest.length} more` : `${rest.length} unchanged`), ...rest) : null);
}

// The line of one subject in one unit, broken where it was not measured; dashed: the numbers of its limit.
function spark({ subject, points, newest, low, high }, length) {
  const limits = [...newest.limit.matchAll(/(?:at most|below|above|from) (\d+(?:\.\d+)?)(?= |,|;|$)/g)].map((one) => Number(one[1])).slice(0, 2);
  const top = Math.max(high, ...limits), bottom = Math.min(low, ...limits), step = 116 / Math.max(length - 1, 1);
  const y = (number) => (20 - ((number - bottom) / (top - bottom)) * 18).toFixed(1), parts = [[]];
  for (const [n, one] of points.entries()) {
    if (n && one.n !== points[n - 1].n + 1) parts.push([]);
    parts[parts.length - 1].push(`${(one.n * step + 2).toFixed(1)},${y(one.number)}`);
  }
  const unit = newest.unit && ` ${newest.unit}`, said = `newest ${newest.number.toLocaleString("en")}, ${low.toLocaleString("en")} to ${high.toLocaleString("en")}${unit}; limit: ${newest.limit || "none"}`;
  const line = el("svg", { class: "spark", width: 120, height: 22, role: "img", "aria-label": `${subject}: ${said}` },
    ...limits.map((one) => el("line", { x1: 0, x2: 120, y1: y(one), y2: y(one) })),
    ...parts.map((one) => (one.length > 1 ? el("polyline", { points: one.join(" ") }) : el("rect", { x: Number(one[0].split(",")[0]) - 1, y: Number(one[0].split(",")[1]) - 1, width: 2, height: 2 }))),
    el("title", {}, `${subject}: ${said}`));
  return el("div", {}, line, el("span", {}, `${subject}: ${said}`));
}

// --- search and filters; they are in the address, so that a view can be pasted into a chat

const FIELDS = ["q", "environment", "runbook", "verdict", "days"];
let shown = PAGE;

// The text of a record for a search: what a reader of it sees, without the checks that were ok.
function text(row) {
  const found = row.bad.flatMap((one) => [one.check, one.subject, one.value, one.verdict, one.next]);
  const words = [row.id, row.at, row.environment, row.runbook, row.verdict, row.person, row.incident, row.headline, row.plan, row.result];
  return [...words, ...row.answer, ...row.causes, ...found].join(" ").toLowerCase();
}

function matches(row) {
  const words = $("q").value.toLowerCase().split(/\s+/).filter(Boolean);
  if ($("environment").value && row.environment !== $("environment").value) return false;
  if ($("runbook").value && row.runbook !== $("runbook").value) return false;
  if ($("verdict").value && ($("verdict").value === "bad" ? !bad(row) : row.verdict !== $("verdict").value)) return false;
  if ($("days").value && ago(row) > Number($("days").value)) return false;
  row.text = row.text || text(row);
  return words.every((word) => row.text.includes(word));
}

function what(row) {
  const said = row.causes.join("; ") || unsaid(row, (bad(row) && !row.result && row.answer[0]) || row.headline);
  const more = Math.max(0, row.bad.length - (row.causes.length || 1));
  return [row.incident, said].filter(Boolean).join(" · ") + (more ? ` (+${more} more)` : "");
}

function draw() {
  const asked = FIELDS.filter((name) => $(name).value);
  const found = ROWS.filter(matches), hash = asked.map((name) => `${name}=${encodeURIComponent($(name).value)}`).join("&");
  const back = hash && `#in=${encodeURIComponent(hash)}`; // so that the page of a record leads back to this view
  $("overview").classList.toggle("hide", asked.length > 0);
  $("count").textContent = asked.length ? `${found.length} of ${ROWS.length} records${found.length > shown ? `: ${shown} shown` : ""}`
    : `${found.length > shown ? `${shown} of ${ROWS.length} records shown` : count(ROWS.length, "record")}, the newest first`;
  $("rows").replaceChildren(...found.slice(0, shown).map((row) => el("a", { class: "row", href: `${page(row)}${back}` },
    el("span", { class: "when" }, when(row)), badge(row.verdict), el("span", {}, row.runbook),
    el("span", { class: "what" }, what(row), el("span", { class: "soft" }, ` by ${row.person || "not recorded"}, ${row.environment}`)))));
  if (!found.length && asked.length) {
    const button = el("button", { type: "button" }, "clear the search");
    button.addEventListener("click", clear);
    $("rows").append(el("p", {}, "No record matches. ", button));
  }
  $("more").classList.toggle("hide", found.length <= shown);
  if (`#${hash}` !== location.hash && (hash || location.hash)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
}

function clear() {
  for (const name of FIELDS) $(name).value = "";
  draw();
}

// A value that no record has is shown as a filter, so that nobody takes all records for an answer to it.
function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of FIELDS) {
    const value = given.get(name) || "";
    $(name).value = value;
    if (value && $(name).value !== value) $(name).append(el("option", { value, selected: "" }, `${value} (in no record)`));
    $(name).value = value;
  }
  shown = PAGE;
  draw();
}

for (const name of ["environment", "runbook"]) for (const value of values(name)) $(name).append(el("option", { value }, value));
for (const value of values("verdict")) $("verdict").append(el("option", { value }, value));
const rehearsed = DATA.searched.filter(({ target }) => target === "sandbox").map(({ environment }) => environment);
const counts = DATA.searched.map(({ environment, store }) => `${count(ROWS.filter((row) => row.environment === environment).length, "record")} of ${environment} (${store})`);
$("about").textContent = `${counts.join(", ")}; written ${DATA.made.slice(0, 16).replace("T", " ")} UTC. Run times: UTC. Days: ${ZONES}.`;
if (rehearsed.length) $("about").append(` Dates inside records of ${rehearsed.join(", ")} are practice dates.`);
for (const name of FIELDS) $(name).addEventListener("input", () => { shown = PAGE; draw(); });
$("clear").addEventListener("click", clear);
$("more").addEventListener("click", () => { shown += 5 * PAGE; draw(); });
$("span").addEventListener("change", notOk);
$("skip").addEventListener("click", (event) => { event.preventDefault(); document.querySelector("a.row")?.focus(); });
addEventListener("hashchange", fromAddress);
addEventListener("beforeprint", () => { shown = Math.max(shown, PRINTED); draw(); });
addEventListener("afterprint", () => { shown = PAGE; draw(); });
addEventListener("keydown", (event) => {
  const typing = /INPUT|SELECT|TEXTAREA/.test(event.target.tagName);
  if (event.key === "Escape") { clear(); event.target.blur(); }
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
