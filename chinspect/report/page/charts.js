"use strict";
/* What all charts have in common: Okabe and Ito's colours with a shape each, and text that stays text. */
chinspect.marks = [
  ["#d55e00", "circle", "●"], ["#0072b2", "square", "■"], ["#e69f00", "diamond", "◆"],
  ["#009e73", "triangle-up", "▲"], ["#cc79a7", "star", "★"], ["#56b4e9", "cross", "✚"],
];
chinspect.mark = (number) => chinspect.marks[number % chinspect.marks.length];
/* The library reads tags and entities in the text of charts. */
chinspect.text = (value) => String(value).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
chinspect.layout = () => {
  const ink = chinspect.colour("ink");
  const axis = { gridcolor: chinspect.colour("line"), zeroline: false, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, autosize: true,
    font: { color: ink, family: "system-ui, sans-serif", size: 13 }, margin: { l: 10, r: 10, t: 34, b: 10 },
    xaxis: { ...axis }, yaxis: { ...axis }, transition: { duration: 0 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: chinspect.colour("soft"), activecolor: ink },
  };
};
chinspect.config = {
  responsive: true, displaylogo: false, showSendToCloud: false, displayModeBar: true, doubleClickDelay: 400,
  modeBarButtonsToRemove: ["toImage", "autoScale2d"],
};
