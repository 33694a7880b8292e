// Light or dark: as the system has it, or as the reader chose. Runs before the page is painted.
"use strict";
(() => {
  const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem("dynvit-theme"); } catch { return null; } };
  const set = () => {
    root.dataset.theme = stored() || (system.matches ? "dark" : "light");
    const button = document.getElementById("theme");
    if (button) { button.setAttribute("aria-pressed", String(root.dataset.theme === "dark")); }
    document.dispatchEvent(new Event("theme"));
  };
  root.classList.add("js");
  set();
  system.addEventListener("change", set);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    set();
    button.addEventListener("click", () => {
      const other = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("dynvit-theme", other); set(); } catch { root.dataset.theme = other; }
    });
  });
})();
