// Reloads the part of a page that is marked data-live every few seconds, while the page is visible.
(() => {
  const SECONDS = 5;
  const live = document.querySelector("[data-live]:not([data-live-off])");
  const state = document.querySelector("[data-live-state]");
  const toggle = document.querySelector("[data-live-toggle]");
  if (!live || !state || !toggle) return;
  let paused = false;

  function show(kind, text) {
    state.dataset.liveState = kind;
    state.textContent = text;
    state.hidden = false;
  }

  function focusedLink() {
    const element = document.activeElement;
    return live.contains(element) ? element.getAttribute("href") : null;
  }

  async function refresh() {
    if (paused || document.hidden) return;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
      if (!response.ok) throw new Error(String(response.status));
      const found = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("[data-live]");
      if (!found || paused) return;
      if (found.innerHTML !== live.innerHTML && String(getSelection()) === "") {
        const href = focusedLink();
        live.replaceChildren(...found.childNodes);
        if (href) live.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
      }
      show("live", "live");
    } catch {
      show("failed", "not up to date: the explorer does not answer");
    }
  }

  toggle.hidden = false;
  show("live", "live");
  toggle.addEventListener("click", () => {
    paused = !paused;
    toggle.textContent = paused ? "Go on" : "Pause";
    show(paused ? "paused" : "live", paused ? "paused" : "live");
    refresh();
  });
  setInterval(refresh, SECONDS * 1000);
})();
