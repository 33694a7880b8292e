// The chart of a board: the axes that the reader chooses, the rows that the filters leave.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const template = JSON.parse(document.getElementById("spec").textContent);
  const place = document.getElementById("front"), form = document.getElementById("axes");
  const methods = data.facets.method, tiers = data.facets.tier, papers = new Set(data.paper), dense = new Set(data.baseline);
  const svgUpTo = 600; // points: beyond it a canvas is drawn faster
  let view = null, spec = null, drawing = Promise.resolve();

  const shown = (axis, i) => {
    const said = (n) => n.toLocaleString("en", { minimumFractionDigits: axis.decimals, maximumFractionDigits: axis.decimals });
    const ends = axis.low && axis.low[i] !== null ? ` [${said(axis.low[i])}, ${said(axis.high[i])}]` : "";
    return `${axis.label}: ${said(axis.v[i])}${ends}`;
  };
  const notDominated = (some, x, y) => {
    const sign = x.up ? -1 : 1, best = new Set();
    const sorted = [...some].sort((a, b) => sign * (x.v[a] - x.v[b]) || (y.up ? y.v[b] - y.v[a] : y.v[a] - y.v[b]));
    let last = null;
    for (const i of sorted) {
      const better = last === null || (y.up ? y.v[i] > y.v[last] : y.v[i] < y.v[last]);
      const equal = last !== null && y.v[i] === y.v[last] && x.v[i] === x.v[last];
      if (better || equal) { best.add(i); last = i; }
    }
    return best;
  };
  const rowsOf = (found, x, y) => {
    const there = found.filter((i) => x.v[i] !== null && y.v[i] !== null), fronts = new Set(), byMethod = new Map();
    there.filter((i) => !papers.has(i)).forEach((i) => {
      const method = methods.of[i];
      byMethod.set(method, [...(byMethod.get(method) || []), i]);
    });
    byMethod.forEach((own) => notDominated(own, x, y).forEach((i) => fronts.add(i)));
    return there.map((i) => ({
      x: x.v[i], x_low: x.low ? x.low[i] : null, x_high: x.low ? x.high[i] : null,
      y: y.v[i], y_low: y.low ? y.low[i] : null, y_high: y.low ? y.high[i] : null,
      method: methods.names[methods.of[i]], tip: data.point[i], settings: data.settings[i], href: data.href[i],
      front: fronts.has(i), paper: papers.has(i), baseline: dense.has(i),
      lines: [`${methods.names[methods.of[i]]} ${data.point[i]}`, data.settings[i], shown(x, i), shown(y, i), tiers.names[tiers.of[i]]]
        .filter(Boolean),
    }));
  };
  const stairsOf = (rows, x) => {
    const sign = x.up ? -1 : 1, ends = rows.map((row) => row.x).sort((a, b) => sign * (a - b)), last = ends.at(-1);
    return methods.names.flatMap((method) => {
      const own = rows.filter((row) => row.method === method && row.front && !row.paper).sort((a, b) => sign * (a.x - b.x));
      return own.length ? [...own, { x: last, y: own.at(-1).y }].map((row) => ({ method, x: row.x, y: row.y })) : [];
    });
  };
  const spreadsOf = (found, x, y) => {
    const visible = new Set(found), mean = (some) => some.reduce((a, b) => a + b, 0) / some.length;
    return data.seeds.filter((own) => own.every((i) => visible.has(i) && x.v[i] !== null && y.v[i] !== null)).map((own) => {
      const row = { method: methods.names[methods.of[own[0]]] };
      [["x", x], ["y", y]].forEach(([name, axis]) => {
        const values = own.map((i) => axis.v[i]), middle = mean(values);
        const sd = Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (values.length - 1));
        Object.assign(row, { [name]: middle, [`${name}_low`]: middle - sd, [`${name}_high`]: middle + sd });
      });
      return row;
    });
  };
  const made = (found) => {
    const x = data.axes[form.x.value], y = data.axes[form.y.value], next = structuredClone(template);
    const theme = document.documentElement.dataset.theme === "dark" ? "dark" : "light";
    const colours = methods.names.map((name) => data.marks[name][theme]);
    next.layer.forEach((layer) => {
      const encoding = layer.encoding;
      ["x", "y"].forEach((name) => { if (encoding[name]) { encoding[name].title = name === "x" ? x.label : y.label; } });
      ["color", "fill", "stroke"].forEach((name) => { if (encoding[name]) { encoding[name].scale.range = colours; } });
      if (layer.mark.type === "line") { layer.mark.interpolate = x.up ? "step-before" : "step-after"; }
    });
    const rows = rowsOf(found, x, y);
    next.datasets = { rows, stairs: stairsOf(rows, x), spreads: spreadsOf(found, x, y) };
    next.height = innerWidth < 600 ? 340 : 460;
    return next;
  };
  const draw = async () => {
    const found = window.dynvitRows;
    spec = made(found);
    const next = await window.dynvitDraw(spec, place, spec.datasets.rows.length > svgUpTo);
    if (view) { view.finalize(); }
    view = next;
    view.addEventListener("click", (_, item) => { if (item && item.datum && item.datum.href) { location.href = item.datum.href; } });
    place.dataset.drawn = `${spec.datasets.rows.length} points: ${data.axes[form.x.value].key}, ${data.axes[form.y.value].key}`;
    performance.mark("dynvit-chart");
  };
  const later = () => { drawing = drawing.then(draw); };
  const save = (kind, content, type) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = `${document.title.split(":")[0]}-view.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  ["x", "y"].forEach((name) => {
    const wanted = data.axes.findIndex((axis) => axis.key === window.dynvitState.get(name));
    if (wanted >= 0) { form[name].value = String(wanted); }
  });
  form.addEventListener("change", () => {
    ["x", "y"].forEach((name) => window.dynvitKeep(name, data.axes[form[name].value].key));
    later();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelectorAll("[data-save]").forEach((button) => button.addEventListener("click", async () => {
    if (button.dataset.save === "svg") {
      save("svg", await view.toSVG(), "image/svg+xml");
    } else {
      save("vl.json", JSON.stringify(spec, null, 1), "application/json");
    }
  }));
  document.addEventListener("rows", later);
  document.addEventListener("theme", later);
  form.hidden = false;
  later();
})();
