// The boards that hold what is asked for.
"use strict";
(() => {
  const form = document.getElementById("filters"), cards = [...document.querySelectorAll("[data-facets]")];
  const show = () => {
    const wanted = [...new FormData(form)].filter(([, value]) => value !== "");
    cards.forEach((card) => {
      const facets = JSON.parse(card.dataset.facets);
      card.hidden = !wanted.every(([name, value]) => facets[name].includes(Number(value)));
    });
    const left = cards.filter((card) => !card.hidden).length;
    document.getElementById("count").textContent = `${left} of ${cards.length} boards`;
  };
  ["input", "change"].forEach((kind) => form.addEventListener(kind, show));
  form.hidden = false;
  show();
})();
