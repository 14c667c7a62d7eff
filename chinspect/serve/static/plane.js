"use strict";
// A scatter of many points, drawn pixel by pixel: each frame writes all that are in view into one image, which takes a
// few milliseconds for 100,000 of them. Positions are in [0, 1]; `view` is the square of them that is shown.

const canvas = document.getElementById("plane");
const context = canvas.getContext("2d");
const card = Object.fromEntries(["hint", "open", "preview", "relevance", "name", "about"].map((id) => [id, document.getElementById(id)]));
const areaLink = document.getElementById("area");
const countNote = document.getElementById("count");
const version = canvas.dataset.version;
const mapped = canvas.dataset.mapped === "1";
const STEPS = 65535;
const REACH = 14; // pixels around the pointer in which a point is looked for
const MARGIN = 0.03; // around all points
const DEEPEST = 0.0005; // side of the smallest view
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

let points = null;
let view = { x: -MARGIN, y: -MARGIN, side: 1 + 2 * MARGIN };
let colours = [];
let marked = -1;
let waiting = false;
let asked = 0;

function unpack(buffer) {
  const n = buffer.byteLength / 9;
  return {
    n,
    image: new Uint32Array(buffer, 0, n),
    x: new Uint16Array(buffer, 4 * n, n),
    y: new Uint16Array(buffer, 6 * n, n),
    group: new Uint8Array(buffer, 8 * n, n),
  };
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  colours = [...Array(9).keys()].map((k) => {
    const hex = parseInt(style.getPropertyValue(`--g${k}`).trim().slice(1), 16);
    return (0xff000000 | ((hex & 0xff) << 16) | (hex & 0xff00) | (hex >> 16)) >>> 0; // little-endian ABGR
  });
}

function frame() {
  // the shorter side of the canvas shows the view, the longer one more
  const scale = Math.min(canvas.width, canvas.height) / view.side;
  return { scale, left: (canvas.width - view.side * scale) / 2, top: (canvas.height - view.side * scale) / 2 };
}

function screen(i, f) {
  return [
    f.left + (points.x[i] / STEPS - view.x) * f.scale,
    canvas.height - f.top - (points.y[i] / STEPS - view.y) * f.scale,
  ];
}

function draw() {
  waiting = false;
  if (!points || !canvas.width || !canvas.height) return;
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const { width, height } = canvas;
  const f = frame();
  const ratio = window.devicePixelRatio || 1;
  const usual = Math.min(Math.max(300 / Math.sqrt(points.n), 1.5), 6); // many points are small ones
  const size = Math.max(Math.round(ratio * usual * Math.min(1 / Math.sqrt(view.side), 3)), 2);
  const step = f.scale / STEPS;
  const originX = f.left - view.x * f.scale - size / 2;
  const originY = height - f.top + view.y * f.scale - size / 2;
  let seen = 0;
  for (let i = 0; i < points.n; i++) {
    const x0 = Math.round(originX + points.x[i] * step);
    const y0 = Math.round(originY - points.y[i] * step);
    if (x0 < -size / 2 || y0 < -size / 2 || x0 + size / 2 > width || y0 + size / 2 > height) continue;
    seen++;
    if (x0 < 0 || y0 < 0 || x0 + size > width || y0 + size > height) continue;
    const grown = points.group[i] ? size + Math.round(ratio) : size;
    const colour = colours[points.group[i]];
    for (let y = y0; y < Math.min(y0 + grown, height); y++) pixels.fill(colour, y * width + x0, y * width + Math.min(x0 + grown, width));
  }
  context.putImageData(image, 0, 0);
  if (marked >= 0) ring(marked, f, ratio);
  countNote.textContent = `${seen.toLocaleString("en")} of ${points.n.toLocaleString("en")} points in view`;
}

function ring(i, f, ratio) {
  const [x, y] = screen(i, f);
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = 2 * ratio;
  context.beginPath();
  context.arc(x, y, 7 * ratio, 0, 2 * Math.PI);
  context.stroke();
}

function redraw() {
  if (!waiting) {
    waiting = true;
    requestAnimationFrame(draw);
  }
}

function moved() {
  redraw();
  const f = frame();
  const corner = (x, y) => [view.x + (x - f.left) / f.scale, view.y + (canvas.height - f.top - y) / f.scale];
  const area = [...corner(0, canvas.height), ...corner(canvas.width, 0)];
  areaLink.href = `/images?area=${encodeURIComponent(area.map((value) => value.toFixed(5)).join(","))}`;
}

function resize() {
  const ratio = window.devicePixelRatio || 1;
  const box = canvas.getBoundingClientRect();
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  moved();
}

function nearest(x, y, reach) {
  if (!points) return -1;
  const f = frame();
  const px = ((x - f.left) / f.scale + view.x) * STEPS;
  const py = ((canvas.height - f.top - y) / f.scale + view.y) * STEPS;
  let best = -1;
  let least = (reach * STEPS / f.scale) ** 2;
  for (let i = 0; i < points.n; i++) {
    const distance = (points.x[i] - px) ** 2 + (points.y[i] - py) ** 2;
    if (distance <= least) {
      least = distance;
      best = i;
    }
  }
  return best;
}

async function mark(i) {
  if (i === marked) return;
  marked = i;
  redraw();
  if (i < 0) return;
  const ticket = ++asked;
  const image = points.image[i];
  await new Promise((resolve) => setTimeout(resolve, 60)); // a pointer that passes by asks nothing
  if (ticket !== asked) return;
  const answer = await fetch(`/cards/${image}`);
  if (!answer.ok || ticket !== asked) return;
  const about = await answer.json();
  card.hint.hidden = true;
  card.open.hidden = false;
  card.open.href = `/images/${image}`;
  card.preview.src = `/pictures/${image}/small?v=${version}`;
  if (mapped) card.relevance.src = `/maps/${image}?v=${version}`;
  card.relevance.hidden = !mapped;
  card.name.textContent = about.name;
  const sets = about.candidates.length ? `member of set ${about.candidates.slice(0, 8).join(", ")}` : "";
  card.about.textContent = [about.label, sets].filter(Boolean).join("; ");
}

function zoom(factor, x = canvas.width / 2, y = canvas.height / 2) {
  const f = frame();
  const side = Math.min(Math.max(view.side * factor, DEEPEST), 4);
  const px = view.x + (x - f.left) / f.scale;
  const py = view.y + (canvas.height - f.top - y) / f.scale;
  const change = side / view.side;
  view = { x: px - (px - view.x) * change, y: py - (py - view.y) * change, side };
  moved();
}

function shift(dx, dy) {
  const { scale } = frame();
  view.x -= dx / scale;
  view.y += dy / scale;
  moved();
}

function everything() {
  view = { x: -MARGIN, y: -MARGIN, side: 1 + 2 * MARGIN };
  moved();
}

const held = new Map();
let travelled = 0;

function position(event) {
  const box = canvas.getBoundingClientRect();
  const ratio = canvas.width / box.width;
  return { x: (event.clientX - box.left) * ratio, y: (event.clientY - box.top) * ratio };
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  held.set(event.pointerId, position(event));
  travelled = 0;
});

canvas.addEventListener("pointermove", (event) => {
  const now = position(event);
  const before = held.get(event.pointerId);
  if (!before) {
    mark(nearest(now.x, now.y, REACH * (window.devicePixelRatio || 1)));
    return;
  }
  travelled += Math.hypot(now.x - before.x, now.y - before.y);
  if (held.size === 1) shift(now.x - before.x, now.y - before.y);
  if (held.size === 2) pinch(event.pointerId, before, now);
  held.set(event.pointerId, now);
});

function pinch(id, before, now) {
  const other = [...held].find(([key]) => key !== id)[1];
  const length = (p) => Math.max(Math.hypot(p.x - other.x, p.y - other.y), 1);
  zoom(length(before) / length(now), (now.x + other.x) / 2, (now.y + other.y) / 2);
}

canvas.addEventListener("pointerup", (event) => {
  held.delete(event.pointerId);
  if (travelled > 5) return;
  const { x, y } = position(event);
  const i = nearest(x, y, REACH * (window.devicePixelRatio || 1));
  // a finger cannot hover: the first tap shows the image, a second one or a click opens it
  if (event.pointerType === "mouse" || i === marked) open(i);
  else mark(i);
});
canvas.addEventListener("pointercancel", (event) => held.delete(event.pointerId));

function open(i) {
  if (i >= 0) window.location.href = `/images/${points.image[i]}`;
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const { x, y } = position(event);
  zoom(Math.exp(Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 100) * 0.003), x, y);
}, { passive: false });

canvas.addEventListener("keydown", (event) => {
  const step = 0.1 * Math.min(canvas.width, canvas.height);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (KEYS[event.key]) shift(-KEYS[event.key][0] * step, KEYS[event.key][1] * step);
  else if (event.key === "+" || event.key === "=") zoom(0.7);
  else if (event.key === "-" || event.key === "−") zoom(1 / 0.7);
  else if (event.key === "0") everything();
  else if (event.key === "Enter") { open(marked); return; }
  else return;
  event.preventDefault();
  mark(nearest(canvas.width / 2, canvas.height / 2, Infinity));
});
canvas.addEventListener("focus", () => { if (marked < 0 && canvas.matches(":focus-visible")) mark(nearest(canvas.width / 2, canvas.height / 2, Infinity)); });

document.getElementById("closer").addEventListener("click", () => zoom(0.6));
document.getElementById("farther").addEventListener("click", () => zoom(1 / 0.6));
document.getElementById("everything").addEventListener("click", everything);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redraw(); });
new ResizeObserver(resize).observe(canvas);

readColours();
resize();
fetch(canvas.dataset.points)
  .then((answer) => answer.arrayBuffer())
  .then((buffer) => { points = unpack(buffer); redraw(); })
  .catch(() => { countNote.textContent = "The points could not be loaded: reload the page."; });
