/** Light or dark: the system's choice, or the reader's. It runs before the page is drawn, so it is no module. */

(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = localStorage.getItem("ragstream.theme");
  if (chosen) root.dataset.theme = chosen;

  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-action=theme]")) return;
    const now = root.dataset.theme ?? (system.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    localStorage.setItem("ragstream.theme", root.dataset.theme);
  });
})();
