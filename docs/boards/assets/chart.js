// A Vega-Lite specification drawn into a page: in the page's colours, with the page's own box for what a point says.
"use strict";
window.dynvitDraw = (() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  let box = null;
  const tell = (_, event, item, value) => {
    if (!box) {
      box = document.createElement("div");
      box.id = "tip";
      box.setAttribute("role", "tooltip");
      document.body.append(box);
    }
    box.hidden = value === null || value === undefined || value === "" || !item || !item.datum;
    if (box.hidden) { return; }
    box.replaceChildren(...(item.datum.lines || []).map((line, place) => {
      const shown = document.createElement(place ? "div" : "strong");
      shown.textContent = line;
      return shown;
    }));
    const wide = document.documentElement.clientWidth, at = box.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(event.clientX + 14, wide - at.width - 8))}px`;
    box.style.top = `${event.clientY + 18 + at.height > innerHeight ? event.clientY - at.height - 12 : event.clientY + 18}px`;
  };
  addEventListener("scroll", () => { if (box) { box.hidden = true; } }, { passive: true });
  const config = () => {
    const text = css("--muted"), line = css("--line");
    const axis = { labelColor: text, titleColor: css("--text"), gridColor: line, domainColor: line, tickColor: line };
    const own = document.querySelector("h1 .mark"); // on an entry's page all is in its method's colour
    return { axis, rule: { color: text }, mark: { color: own ? getComputedStyle(own).color : css("--accent") } };
  };
  return async (spec, place, many) => {
    const renderer = many ? "canvas" : "svg";
    const { view } = await vegaEmbed(place, spec, { actions: false, config: config(), renderer, tooltip: tell, logLevel: 1 });
    const drawn = place.querySelector("svg");
    if (drawn) { drawn.setAttribute("aria-hidden", "true"); } // the place says what it is, and where its numbers stand
    return view;
  };
})();
