"use strict";
// Left and right go to the previous and the next run of the same runbook.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
  const id = { ArrowLeft: "before", ArrowRight: "after", u: "up" }[event.key];
  const link = id && document.getElementById(id);
  if (link) location.href = link.href;
});
// The index says in the address from which search it came: the way back, and to the runs beside, keeps it.
const from = location.hash.startsWith("#in=") ? location.hash.slice(4) : "";
for (const id of from ? ["up", "before", "after"] : []) {
  document.getElementById(id)?.setAttribute("href", document.getElementById(id).getAttribute("href") + (id === "up" ? `#${decodeURIComponent(from)}` : `#in=${from}`));
}
// On paper nobody can open it.
const how = document.querySelector("details.how");
addEventListener("beforeprint", () => how?.setAttribute("open", ""));
addEventListener("afterprint", () => how?.removeAttribute("open"));
