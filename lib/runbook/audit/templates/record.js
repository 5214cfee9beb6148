"use strict";
// Left and right go to the previous and the next run of the same runbook.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
  const id = { ArrowLeft: "before", ArrowRight: "after", u: "up" }[event.key];
  const link = id && document.getElementById(id);
  if (link) location.href = link.href;
});
