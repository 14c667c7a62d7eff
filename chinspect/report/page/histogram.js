"use strict";
(() => {
  const patterns = ["", "/", "\\", "x", ".", "-"];
  const signs = ["□", "▨", "▧", "▩", "▤", "▤"];
  chinspect.blocks("histogram").forEach(({ element, data }) => {
    const chart = element.querySelector(".chart");
    const traces = data.groups.map((group, number) => ({
      type: "bar", x: data.centres, y: group.fractions, width: data.width, name: chinspect.text(group.name),
      hovertemplate: "%{x:.4g}: %{y:.1%}", opacity: 0.6,
      marker: { color: chinspect.mark(number)[0], pattern: { shape: patterns[number % 6], size: 7, solidity: 0.25 } },
    }));
    const layout = () => {
      const made = chinspect.layout();
      made.barmode = "overlay";
      made.dragmode = false;
      made.xaxis.title = { text: chinspect.text(data.axis) };
      made.yaxis.title = { text: "of the group's images" };
      made.yaxis.tickformat = ".0%";
      if (data.threshold !== null) {
        made.shapes = [{ type: "line", x0: data.threshold, x1: data.threshold, y0: 0, y1: 1, yref: "paper",
          line: { color: chinspect.colour("ink"), width: 2, dash: "dash" } }];
      }
      return made;
    };
    Plotly.newPlot(chart, traces, layout(), chinspect.config);
    document.addEventListener("colours", () => Plotly.relayout(chart, layout()));
    const legend = element.querySelector(".legend");
    data.groups.forEach((group, number) => {
      const mark = chinspect.make("span", { className: "mark", textContent: signs[number % 6], ariaHidden: "true" });
      mark.style.color = chinspect.mark(number)[0];
      legend.append(chinspect.make("li", {}, mark, " ", chinspect.make("bdi", { textContent: group.name })));
    });
  });
})();
