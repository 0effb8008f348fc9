// The session page: keys and a slider move through the timeline, and the checkpoint follows. Without it, links do.
(() => {
  const rows = [...document.querySelectorAll("#rows .row")];
  const detail = document.getElementById("detail");
  let running = null;

  // Rows and tabs

  function urlOf(row) {
    const url = new URL(row.href);
    const tab = currentTab();
    if (tab === "state") url.searchParams.delete("tab");
    else url.searchParams.set("tab", tab);
    return url;
  }

  function currentTab() {
    return detail?.querySelector(".tabs [aria-current]")?.dataset.tab ?? "state";
  }

  function mark(row) {
    for (const other of rows) {
      other.classList.toggle("selected", other === row);
      if (other === row) other.setAttribute("aria-current", "true");
      else other.removeAttribute("aria-current");
    }
    if (!row) return;
    row.scrollIntoView({ block: "nearest" });
    for (const id of ["step", "slider"]) {
      const field = document.getElementById(id);
      if (field) field.value = row.dataset.step;
    }
  }

  function rowOf(url) {
    const wanted = new URL(url, location.href);
    const namespace = wanted.searchParams.get("namespace") ?? "";
    return rows.find((row) => new URL(row.href).pathname === wanted.pathname && row.dataset.namespace === namespace);
  }

  async function show(url, keep) {
    running?.abort();
    const request = new AbortController();
    running = request;
    try {
      const answer = await fetch(url, { headers: { "x-fragment": "detail" }, signal: request.signal });
      // A page that is not this one, such as the login, needs the whole window.
      if (!answer.ok || answer.redirected) return location.assign(url);
      const text = await answer.text();
      if (running !== request) return;
      const made = new DOMParser().parseFromString(text, "text/html");
      detail.replaceChildren(...made.body.childNodes);
      if (keep) history.pushState({ session: true }, "", url);
      ready(detail);
    } catch (problem) {
      if (problem.name !== "AbortError") location.assign(url);
    }
  }

  function select(row) {
    if (!row || row.classList.contains("selected")) return;
    mark(row);
    show(urlOf(row), true);
  }

  function move(by) {
    const at = rows.findIndex((row) => row.classList.contains("selected"));
    const row = rows[at < 0 ? 0 : at + by];
    if (row) select(row);
    else if (at >= 0 && by > 0) document.getElementById("older")?.click();
  }

  function compare(row) {
    const old = rows.find((other) => other.classList.contains("selected"));
    if (!old || old === row) return;
    const [from, to] = rows.indexOf(old) > rows.indexOf(row) ? [old, row] : [row, old];
    const url = new URL(location.pathname.split("/").slice(0, 3).join("/") + "/diff", location.href);
    for (const [name, side] of [["old", from], ["new", to]]) {
      url.searchParams.set(name, side.dataset.id);
      if (side.dataset.namespace) url.searchParams.set(`${name}_namespace`, side.dataset.namespace);
    }
    location.assign(url);
  }

  // Copying paths and finding text

  function ready(part) {
    for (const button of part.querySelectorAll("[data-copy]")) button.hidden = false;
    for (const tools of part.querySelectorAll(".state-tools")) tools.hidden = false;
  }

  async function copy(button) {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "✓";
    } catch {
      // Without TLS there is no clipboard: show the path, so that it can be selected.
      const shown = document.createElement("code");
      shown.textContent = button.dataset.copy;
      button.replaceWith(shown);
      return;
    }
    setTimeout(() => { button.textContent = "⧉"; }, 1200);
  }

  function find(text) {
    const scope = detail ?? document;
    for (const old of scope.querySelectorAll("mark[data-found]")) old.replaceWith(...old.childNodes);
    scope.normalize();
    const wanted = text.trim().toLowerCase();
    const told = document.getElementById("found");
    if (wanted.length < 2) {
      told.textContent = "";
      return;
    }
    const found = [];
    for (const body of scope.querySelectorAll(".channel")) {
      const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode() && found.length < 500) {
        const at = walker.currentNode.data.toLowerCase().indexOf(wanted);
        if (at >= 0) found.push([walker.currentNode, at]);
      }
    }
    for (const [node, at] of found) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, Math.min(node.length, at + wanted.length));
      const marked = document.createElement("mark");
      marked.dataset.found = "";
      range.surroundContents(marked);
      for (let up = marked.parentElement; up && up !== scope; up = up.parentElement) {
        if (up.tagName === "DETAILS") up.open = true;
      }
    }
    told.textContent = found.length === 1 ? "1 place" : `${found.length} places`;
    scope.querySelector("mark[data-found]")?.scrollIntoView({ block: "center" });
  }

  // News of the session

  const SECONDS = 5;
  const news = document.getElementById("news");

  async function look() {
    if (document.hidden || !news.hidden) return;
    try {
      const answer = await fetch(news.dataset.url, { redirect: "error" });
      if (answer.ok) news.hidden = (await answer.text()) === news.dataset.revision;
    } catch {
      // The explorer may be away for a while.
    }
  }

  if (news) setInterval(look, SECONDS * 1000);

  // Events

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select") && event.target.id !== "slider") {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "/" && document.getElementById("find")) {
      event.preventDefault();
      document.getElementById("find").focus();
    }
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
      event.preventDefault();
      copy(button);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.button !== 0 || !detail) return;
    const row = event.target.closest("#rows .row");
    if (row) {
      event.preventDefault();
      if (event.shiftKey) compare(row);
      else select(row);
      return;
    }
    const tab = event.target.closest("#detail [data-tab]");
    if (tab && !event.shiftKey) {
      event.preventDefault();
      show(tab.href, true);
    }
  });

  document.addEventListener("input", (event) => {
    if (event.target.id === "find") find(event.target.value);
    if (event.target.id === "slider") document.getElementById("step").value = event.target.value;
  });

  document.addEventListener("change", (event) => {
    if (event.target.id !== "slider") return;
    const selected = rows.find((row) => row.classList.contains("selected"));
    const namespace = selected?.dataset.namespace ?? "";
    const row = rows.find((one) => one.dataset.step === event.target.value && one.dataset.namespace === namespace);
    if (row) select(row);
    else event.target.form.requestSubmit();
  });

  addEventListener("popstate", () => {
    const row = rowOf(location.href);
    if (!row) {
      // The first page may have had no checkpoint in its address.
      location.reload();
      return;
    }
    mark(row);
    show(location.href, false);
  });

  const slider = document.getElementById("slider");
  if (slider) slider.hidden = false;
  ready(document);
  const selected = rows.find((row) => row.classList.contains("selected"));
  if (selected) {
    const pane = selected.closest(".rows-scroll");
    pane.scrollTop = selected.offsetTop - pane.clientHeight / 3;
  }
})();
