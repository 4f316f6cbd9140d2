// Light, dark or as the system has it; chosen before the page is first painted, and kept.
"use strict";
(() => {
  const KEY = "photogram-colours";
  const WORDS = { "": "as the system", light: "light", dark: "dark" };
  const root = document.documentElement;

  function show(choice) {
    if (choice) root.dataset.theme = choice;
    else delete root.dataset.theme;
    const button = document.getElementById("theme");
    if (!button) return;
    const label = `Colours: ${WORDS[choice]}`;
    button.setAttribute("aria-label", label);
    button.title = label;
  }

  function kept() {
    try {
      const choice = localStorage.getItem(KEY) ?? "";
      return choice in WORDS ? choice : "";
    } catch {
      return ""; // a browser that keeps nothing
    }
  }

  function keep(choice) {
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // it holds for this page alone
    }
    show(choice);
  }

  show(kept());
  addEventListener("storage", (event) => event.key === KEY && show(kept()));
  addEventListener("DOMContentLoaded", () => {
    show(kept());
    const choices = Object.keys(WORDS);
    document.getElementById("theme").addEventListener("click", () => {
      keep(choices[(choices.indexOf(root.dataset.theme ?? "") + 1) % choices.length]);
    });
  });
})();
