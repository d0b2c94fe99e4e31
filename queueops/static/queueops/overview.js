// Refreshes the overview: fetches its body every few seconds while somebody can see it, and says how old it is.
// Without this the page has a link that does the same.
"use strict";

(() => {
  const EVERY = 5_000;
  const PATIENCE = 10_000;
  const overview = document.getElementById("overview");
  const failed = document.getElementById("overview-failed");
  if (!overview || !failed) return;

  let takenAt = performance.now();
  let asked = false;

  function sayAge() {
    const seconds = Math.round((performance.now() - takenAt) / 1000);
    const age = overview.querySelector("[data-age]");
    if (age) age.textContent = `, ${seconds} s ago`;
  }

  function linksTo(address) {
    return [...overview.querySelectorAll("a")].filter((link) => link.getAttribute("href") === address);
  }

  // The link that had the focus gets it back; what stands in the page is replaced whole.
  function replaceBy(text) {
    const held = overview.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const nth = held ? linksTo(held).indexOf(document.activeElement) : 0;
    overview.innerHTML = text;
    if (held) linksTo(held)[nth]?.focus({ preventScroll: true });
    takenAt = performance.now();
    failed.hidden = true;
  }

  function complain(what) {
    const seconds = Math.round((performance.now() - takenAt) / 1000);
    failed.textContent = `This page is ${seconds} seconds old and could not be refreshed: ${what}`;
    failed.hidden = false;
  }

  async function refresh() {
    const answer = await fetch(overview.dataset.refresh, {
      credentials: "same-origin",
      redirect: "manual", // to the log-in form
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (answer.type === "opaqueredirect" || answer.status === 403) return complain("log in again.");
    if (!answer.ok) return complain(`the server answered ${answer.status}.`);
    replaceBy(await answer.text());
  }

  async function turn() {
    // Not under somebody who is marking text to copy it.
    if (document.hidden || asked || !document.getSelection().isCollapsed) return;
    asked = true;
    try {
      await refresh();
    } catch {
      complain("the server does not answer.");
    } finally {
      asked = false;
    }
  }

  setInterval(turn, EVERY);
  setInterval(sayAge, 1_000);
  document.addEventListener("visibilitychange", turn);
})();
