// The table of a board: sorted, filtered, and the choice kept in the address, so that a view can be sent.
"use strict";
(() => {
  const table = document.getElementById("entries"), form = document.getElementById("filters");
  const data = JSON.parse(document.getElementById("data").textContent);
  const body = table.tBodies[0], rows = [...body.rows], most = Number(table.dataset.first);
  const count = document.getElementById("count"), all = document.getElementById("all");
  const heads = [...table.tHead.rows[0].cells], chips = [...form.querySelectorAll(".chip")];
  const state = new URLSearchParams(location.hash.slice(1)), facets = ["backbone", "division", "tier"];
  const words = new Intl.Collator("en", { numeric: true });
  const text = rows.map((_, i) => ["method"].concat(facets).map((f) => data.facets[f].names[data.facets[f].of[i]])
    .concat(data.point[i], data.settings[i], data.short[i], data.href[i]).join(" ").toLowerCase());
  let order = rows.map((_, i) => i), every = false;

  const keep = (name, value) => {
    if (value) { state.set(name, value); } else { state.delete(name); }
    try { history.replaceState(null, "", "#" + state); } catch { /* a page in a frame may not */ }
  };
  const value = (head) => {
    if (head.dataset.axis) { return data.axes[head.dataset.axis].v; }
    const name = head.dataset.text, facet = data.facets[name];
    return facet ? facet.of.map((place) => facet.names[place]) : data[name];
  };
  const sort = (head, rising) => {
    const values = value(head), sign = rising ? 1 : -1;
    order.sort((a, b) => {
      const one = values[a], other = values[b];
      if (one === null || other === null) { return (one === null) - (other === null) || a - b; }
      return sign * (typeof one === "number" ? one - other : words.compare(one, other)) || a - b;
    });
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    body.append(...order.map((i) => rows[i]));
    keep("sort", (rising ? "" : "-") + (head.dataset.text || data.axes[head.dataset.axis].key));
  };
  const matches = () => {
    const chosen = new Set(chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => Number(c.dataset.method)));
    const asked = form.text.value.toLowerCase().split(/\s+/).filter(Boolean), front = form.front.checked;
    const wanted = facets.filter((name) => form[name].value !== "").map((name) => [data.facets[name].of, Number(form[name].value)]);
    return (i) => (!chosen.size || chosen.has(data.facets.method.of[i])) && (!front || data.front[i] > 0)
      && wanted.every(([of, place]) => of[i] === place) && asked.every((word) => text[i].includes(word));
  };
  const show = () => {
    const match = matches(), found = order.filter(match), shown = new Set(every ? found : found.slice(0, most));
    rows.forEach((row, i) => row.classList.toggle("more", !shown.has(i)));
    const number = (n) => n.toLocaleString("en");
    count.textContent = `${number(found.length)} of ${number(rows.length)} rows`
      + (shown.size < found.length ? `, the first ${number(shown.size)} shown` : "");
    all.hidden = shown.size === found.length;
    all.textContent = `Show all ${number(found.length)} rows`;
    document.dispatchEvent(new CustomEvent("rows", { detail: found }));
    window.dynvitRows = found;
  };
  const filtered = () => {
    const pressed = chips.filter((c) => c.getAttribute("aria-pressed") === "true");
    keep("method", pressed.map((c) => data.facets.method.names[c.dataset.method]).join("|"));
    facets.forEach((name) => keep(name, form[name].value && data.facets[name].names[form[name].value]));
    keep("text", form.text.value);
    keep("front", form.front.checked ? "1" : "");
    show();
  };
  const restore = () => {
    const pressed = new Set((state.get("method") || "").split("|"));
    chips.forEach((c) => c.setAttribute("aria-pressed", String(pressed.has(data.facets.method.names[c.dataset.method]))));
    facets.forEach((name) => {
      const place = data.facets[name].names.indexOf(state.get(name));
      form[name].value = place < 0 ? "" : String(place);
    });
    form.text.value = state.get("text") || "";
    form.front.checked = state.get("front") === "1";
    const wanted = (state.get("sort") || "").replace(/^-/, "");
    const head = heads.find((h) => wanted && wanted === (h.dataset.text || data.axes[h.dataset.axis].key));
    if (head) { sort(head, !state.get("sort").startsWith("-")); }
  };

  heads.forEach((head) => head.firstElementChild.addEventListener("click", () => {
    const best = head.dataset.text === "front" || (head.dataset.axis && data.axes[head.dataset.axis].up);
    const now = head.getAttribute("aria-sort");
    sort(head, now ? now === "descending" : !best);
    show();
  }));
  chips.forEach((chip) => chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    filtered();
  }));
  ["input", "change"].forEach((kind) => form.addEventListener(kind, filtered));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    chips.forEach((chip) => chip.setAttribute("aria-pressed", "false"));
    filtered();
  }));
  all.addEventListener("click", () => { every = true; show(); });
  window.dynvitKeep = keep;
  window.dynvitState = state;
  form.hidden = false;
  restore();
  show();
  performance.mark("dynvit-table");
})();
