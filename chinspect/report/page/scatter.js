"use strict";
(() => {
  const MOST = 300; // thumbnails of a choice: all names are in the list below them
  const percent = (index, count) => (count > 1 ? (100 * index) / (count - 1) : 0) + "%";

  const thumbnail = (data, index) => {
    const tile = chinspect.make("div", { className: "tile", role: "img", ariaLabel: data.names[index],
      title: data.names[index] });
    const position = percent(index % data.columns, data.columns) + " "
      + percent(Math.floor(index / data.columns), data.rows);
    const layers = data.maps ? [["seen", "sheet"], ["map", "maps"]] : [["seen", "sheet"]];
    for (const [kind, sheet] of layers) {
      const layer = chinspect.make("span", { className: `${kind} ${sheet}-${data.sheet}` });
      layer.style.backgroundPosition = position;
      tile.append(layer);
    }
    return tile;
  };

  const copy = async (area, answer, count) => {
    area.select();
    let done = false;
    try {
      await navigator.clipboard.writeText(area.value);
      done = true;
    } catch {
      done = document.execCommand("copy");
    }
    answer.textContent = done ? `Copied ${count}.` : "They are selected: copy them with the keyboard.";
  };

  const draw = ({ element, data }) => {
    const chart = element.querySelector(".chart");
    const panel = element.querySelector(".members");
    const answer = panel.querySelector(".answer");
    const area = panel.querySelector("textarea");
    const list = panel.querySelector(".tiles");
    const members = data.groups.map(() => []);
    const others = [];
    data.group.forEach((group, index) => (group < 0 ? others : members[group]).push(index));
    let chosen = [];

    const show = (title, indices, focus) => {
      chosen = indices;
      panel.hidden = false;
      panel.querySelector("h3").replaceChildren(chinspect.make("bdi", { textContent: title }),
        `: ${indices.length} image${indices.length === 1 ? "" : "s"}`);
      answer.textContent = "";
      area.value = indices.map((index) => data.names[index]).join("\n");
      const pictured = data.sheet ? indices.slice(0, MOST) : [];
      list.replaceChildren(...pictured.map((index) => chinspect.make("li", {}, thumbnail(data, index))));
      const left = data.sheet ? indices.length - pictured.length : 0;
      panel.querySelector(".more").textContent = left ? `${left} more are in the list of names.` : "";
      if (focus) panel.focus({ preventScroll: false });
    };

    const trace = (indices, name, [colour, symbol], size, opacity) => ({
      type: "scatter", mode: "markers", x: indices.map((index) => data.x[index]),
      y: indices.map((index) => data.y[index]), customdata: indices, name: chinspect.text(name), hoverinfo: "none",
      marker: { color: colour, symbol, size, opacity, line: { width: 0.5, color: "#fff" } },
      selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: 0.2 } },
    });
    const rest = others.length ? [trace(others, "others", ["#8a9097", "circle"], 6, 0.6)] : [];
    const traces = [...rest, ...members.map((indices, number) =>
      trace(indices, data.groups[number], chinspect.mark(number), 9, 0.9))];
    const layout = () => {
      const made = chinspect.layout();
      made.dragmode = matchMedia("(pointer: coarse)").matches ? false : "lasso";
      made.hovermode = "closest";
      made.xaxis.showticklabels = made.yaxis.showticklabels = false; // positions have no unit
      made.xaxis.showgrid = made.yaxis.showgrid = false;
      return made;
    };
    Plotly.newPlot(chart, traces, layout(), chinspect.config);
    document.addEventListener("colours", () => Plotly.relayout(chart, layout()));

    const hovered = chinspect.make("div", { className: "hovered", hidden: true });
    element.append(hovered);
    chart.on("plotly_hover", ({ points, event }) => {
      const index = points[0].customdata;
      const group = data.group[index];
      const words = group < 0 ? [] : [chinspect.make("p", {}, chinspect.make("bdi", { textContent: data.groups[group] }))];
      const name = chinspect.make("p", {}, chinspect.make("bdi", { textContent: data.names[index] }));
      hovered.replaceChildren(...(data.sheet ? [thumbnail(data, index)] : []), name, ...words);
      hovered.hidden = false;
      const box = hovered.getBoundingClientRect();
      hovered.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
      hovered.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 8)) + "px";
    });
    chart.on("plotly_unhover", () => { hovered.hidden = true; });
    chart.on("plotly_selected", (event) => {
      if (event && event.points.length) show("Chosen by the lasso", event.points.map((point) => point.customdata));
    });
    chart.on("plotly_click", ({ points }) => {
      const group = data.group[points[0].customdata];
      if (group < 0) show("One image", [points[0].customdata]);
      else show(data.groups[group], members[group]);
    });
    const legend = element.querySelector(".legend");
    const entry = (title, [colour, , sign], indices) => {
      const mark = chinspect.make("span", { className: "mark", textContent: sign, ariaHidden: "true" });
      mark.style.color = colour;
      const name = chinspect.make("bdi", { textContent: title });
      const button = chinspect.make("button", { type: "button" }, mark, " ", name, ` (${indices.length})`);
      button.addEventListener("click", () => show(title, indices, true));
      legend.append(chinspect.make("li", {}, button));
    };
    members.forEach((indices, number) => entry(data.groups[number], chinspect.mark(number), indices));
    if (others.length) entry("in no group", ["#8a9097", "", "●"], others);
    panel.querySelector(".copy").addEventListener("click", () => copy(area, answer, chosen.length + " names"));
    panel.querySelector(".close").addEventListener("click", () => {
      panel.hidden = true;
      Plotly.update(chart, { selectedpoints: [null] }, { selections: [] });
    });
  };
  chinspect.blocks("scatter").forEach(draw);
})();
