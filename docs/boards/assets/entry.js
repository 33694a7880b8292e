// The pictures of an entry, drawn again in the colours of another theme.
"use strict";
(() => {
  const pictures = JSON.parse(document.getElementById("pictures").textContent);
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const draw = async () => {
    for (const place of document.querySelectorAll("[data-picture]")) {
      const { kind, rows } = pictures[place.dataset.picture];
      const told = rows.map((row) => ({ ...row, lines: [`${row.at}: ${row.y}`] }));
      await window.dynvitDraw({ ...structuredClone(specs[kind]), datasets: { rows: told } }, place, false);
    }
    document.documentElement.dataset.drawn = "yes";
  };
  let drawing = draw();
  document.addEventListener("theme", () => { drawing = drawing.then(draw); });
})();
