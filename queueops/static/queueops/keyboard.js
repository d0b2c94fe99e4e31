// What Unfold (django-unfold 0.91) made for the mouse works with the keys as well: it opens its menus by clicks on
// elements that take no focus. Its icons are words in a font of pictures, which nobody should be read. The lists to
// choose from are Django's and Select2's (4.0): their fields have no names, or names where none may be.
"use strict";

(() => {
  const NAMES = [
    ["[x-on\\:click*='sidebarDesktopOpen'], [x-on\\:click*='sidebarMobileOpen']", "Navigation"],
    ["[x-on\\:click*='openUserLinks']", "Your account"],
    ["#nav-sidebar a.bg-primary-600.shrink-0", "ChatAutoDM"],
    ["[x-on\\:click*='showActions']", "What may be done here"],
    ["[x-on\\:click*='openTheme']", "Light or dark"],
    ["[x-on\\:click*='openRelatedWidgetWrapper']", "What may be done with what is chosen"],
    ["[x-on\\:click*='showPassword']", "Show the password"],
    ["#searchbar", "Search"],
    ["#searchbar-submit", "Find"],
  ];
  const CLICKABLE = "[x-on\\:click]:not(button, a[href], input, select, label)";
  // A click beside what is open closes it; for the keys there is Escape, and what opened it.
  const ONLY_CLOSES = "[x-on\\:click$='= false']";
  const IN_FILTERS = "#changelist-filter :is(a[href], button, input:not([type=hidden]), select)";

  function goToFilters() {
    [...document.querySelectorAll(IN_FILTERS)].find((element) => element.checkVisibility())?.focus();
  }

  function press(element) {
    element.click();
    // Alpine shows them a moment after its own microtask.
    if (element.matches("[x-on\\:click^='filterOpen']")) queueMicrotask(() => setTimeout(goToFilters));
  }

  function makeButton(element) {
    element.setAttribute("role", "button");
    element.tabIndex = 0;
    element.addEventListener("keydown", (event) => {
      if (event.target !== element || (event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      press(element);
    });
  }

  // Select2 gives its field the name of what is chosen, in an element that may have none.
  function nameChoices() {
    for (const field of document.querySelectorAll(".select2-selection")) {
      const label = field.closest(".select2").previousElementSibling?.labels?.[0];
      if (label) field.setAttribute("aria-label", label.textContent.trim());
      field.removeAttribute("aria-labelledby");
      for (const name of ["role", "aria-readonly"]) field.querySelector("[role=textbox], [aria-readonly]")?.removeAttribute(name);
    }
    for (const help of document.querySelectorAll(".help-tooltip[aria-label]")) help.setAttribute("role", "img");
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const icon of document.querySelectorAll(".material-symbols-outlined")) {
      if (!icon.matches(CLICKABLE)) icon.ariaHidden = "true";
    }
    for (const element of document.querySelectorAll(CLICKABLE)) {
      if (!element.matches(ONLY_CLOSES)) makeButton(element);
    }
    for (const [selector, name] of NAMES) {
      for (const element of document.querySelectorAll(selector)) element.ariaLabel = name;
    }
    document.getElementById("content")?.setAttribute("role", "main");
  });
  // After those who make them at this very event.
  addEventListener("load", () => setTimeout(nameChoices));
})();
