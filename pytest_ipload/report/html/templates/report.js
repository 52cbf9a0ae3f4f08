// Draws the charts: their lines are in the page as JSON, their colours in the style sheet.
(() => {
  "use strict";

  const root = document.documentElement;
  const boxes = [...document.querySelectorAll(".chart")];
  const plots = new Map(); // of the boxes that were seen: what they show
  const zooms = new Map(); // by section: the time that its charts show, where it is not all
  const config = {
    displaylogo: false,
    displayModeBar: "hover",
    modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]], // none that leaves the page
  };
  let isLogarithmic = false;

  if (!boxes.length || !window.Plotly) return;

  function colours() {
    const style = getComputedStyle(root);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  }

  function dressAxis(axis, colour) {
    if (axis.title) axis.title.font = { size: 11.5 };
    Object.assign(axis, {
      color: colour("muted"),
      gridcolor: colour("grid"),
      linecolor: colour("line"),
      zerolinecolor: colour("line"),
    });
  }

  function dressed(box) {
    const { data, layout } = structuredClone(plots.get(box));
    const colour = colours();
    for (const line of data) {
      line.line = { width: 1.5, ...line.line, color: colour(line.meta) };
      line.marker = { size: 6, color: colour(line.meta) };
      if (line.fill) line.fillcolor = colour(`${line.meta}-fill`);
      // To plotly, a number of four digits is a year there: 1500 would be the year, not a second and a half.
      if (layout.xaxis.type === "date") line.x0 = new Date(line.x0).toISOString();
    }
    for (const mark of layout.shapes ?? []) {
      mark.fillcolor = colour("shade");
      mark.line = { width: mark.type === "line" ? 1.5 : 0, color: colour("failed") };
      mark.label.font = { color: colour("muted"), size: 11 };
      mark.layer = "below";
    }
    for (const name of ["xaxis", "yaxis", "yaxis2"]) {
      if (layout[name]) dressAxis(layout[name], colour);
    }
    const hasLegend = data.filter((line) => line.showlegend !== false).length > 1;
    const isOfTimes = layout.yaxis.title.text === "ms";
    layout.yaxis.type = isOfTimes && isLogarithmic ? "log" : "linear";
    layout.yaxis.uirevision = layout.yaxis.type;
    const zoom = isOverTime(box) && zooms.get(box.closest("section"));
    if (zoom) layout.xaxis.range = zoom;
    layout.xaxis.uirevision = String(zoom);
    return {
      data,
      layout: {
        hovermode: "x unified",
        font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: colour("muted") },
        hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("text") } },
        legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom" },
        margin: { l: 58, r: layout.yaxis2 ? 50 : 14, t: hasLegend ? 30 : 12, b: layout.xaxis.title ? 40 : 26 },
        showlegend: hasLegend,
        modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("muted"), activecolor: colour("text") },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        uirevision: "kept", // which lines are shown
        ...layout,
        width: box.clientWidth,
        height: box.clientHeight,
      },
    };
  }

  function draw(box) {
    const isNew = !plots.has(box);
    if (isNew) {
      plots.set(box, JSON.parse(box.nextElementSibling.textContent));
      box.textContent = "";
    }
    const { data, layout } = dressed(box);
    Plotly.react(box, data, layout, config);
    // The box is an image to a screen reader, and its buttons are of use to a mouse only.
    for (const button of box.querySelectorAll("button")) button.tabIndex = -1;
    if (isNew) {
      box.on("plotly_relayout", (change) => follow(box, change));
      resizes.observe(box);
    }
  }

  function redraw() {
    for (const box of plots.keys()) draw(box);
  }

  function isOverTime(box) {
    return plots.get(box).layout.xaxis.type === "date";
  }

  // All charts of a test show the same time.
  function follow(box, change) {
    if (!isOverTime(box) || !Object.keys(change).some((key) => key.startsWith("xaxis."))) return;
    const section = box.closest("section");
    const range = [...box.layout.xaxis.range];
    if (String(range) === String(zooms.get(section))) return;
    zooms.set(section, range);
    for (const other of plots.keys()) {
      if (other !== box && other.closest("section") === section && isOverTime(other)) draw(other);
    }
  }

  const resizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.clientWidth && target.clientWidth !== target.layout.width) draw(target);
    }
  });

  // A chart is drawn when it comes near to what is seen: a page may have hundreds.
  const views = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) {
          views.unobserve(target);
          draw(target);
        }
      }
    },
    { rootMargin: "400px" },
  );
  for (const box of boxes) views.observe(box);

  const button = document.getElementById("logarithmic");
  button.hidden = false;
  button.addEventListener("click", () => {
    isLogarithmic = !isLogarithmic;
    button.setAttribute("aria-pressed", String(isLogarithmic));
    redraw();
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  // On paper everything is drawn, and what is folded away is open.
  let opened = [];
  addEventListener("beforeprint", () => {
    root.classList.add("printing");
    opened = [...document.querySelectorAll("details.paper:not([open])")];
    for (const details of opened) details.open = true;
    for (const box of boxes) draw(box);
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    for (const details of opened) details.open = false;
    redraw();
  });
})();
