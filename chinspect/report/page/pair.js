"use strict";
/* Two images in patches: R[i, j] says what patch i of the left and patch j of the right one contribute together. */
(() => {
  const decode = (band) => {
    const bytes = Uint8Array.from(atob(band.values), (character) => character.charCodeAt(0));
    return Float32Array.from(new Int16Array(bytes.buffer), (value) => value / 32767);
  };
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  const view = ({ element, data }) => {
    const frames = [...element.querySelectorAll(".frame")];
    const slider = element.querySelector(".strength");
    const select = element.querySelector(".band");
    const answer = element.querySelector(".answer");
    const decoded = new Map();
    let band = 0;
    let active = null; // [side, patch]
    let held = false;

    const values = () => {
      if (!decoded.has(band)) decoded.set(band, decode(data.bands[band]));
      return decoded.get(band);
    };
    const grid = (side) => data.bands[band].shape.slice(2 * side, 2 * side + 2);
    const count = (side) => grid(side)[0] * grid(side)[1];
    const least = () => Number(slider.value) / 100;

    /* What a patch contributes with each patch of the other image, as fractions of the strongest pair. */
    const matches = ([side, patch]) => {
      const [all, columns] = [values(), count(1)];
      return side === 0 ? all.subarray(patch * columns, (patch + 1) * columns)
        : Float32Array.from({ length: count(0) }, (_, i) => all[i * columns + patch]);
    };
    const strong = (row) => Float32Array.from(row, (value) => (Math.abs(value) >= least() && value ? value : 0));
    const marginals = () => {
      const sums = [new Float32Array(count(0)), new Float32Array(count(1))];
      const columns = count(1);
      values().forEach((value, index) => {
        if (Math.abs(value) < least()) return;
        sums[0][Math.floor(index / columns)] += value;
        sums[1][index % columns] += value;
      });
      const largest = Math.max(...sums.map((sum) => sum.reduce((a, b) => Math.max(a, Math.abs(b)), 0))) || 1;
      return sums.map((sum) => sum.map((value) => value / largest));
    };

    const paint = (side, cells, outlined) => {
      const canvas = frames[side].querySelector("canvas");
      const { width, height } = frames[side].getBoundingClientRect();
      const ratio = devicePixelRatio || 1;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const context = canvas.getContext("2d");
      const [rows, columns] = grid(side);
      const [w, h] = [canvas.width / columns, canvas.height / rows];
      cells.forEach((value, index) => {
        if (!value) return;
        const [x, y] = [(index % columns) * w, Math.floor(index / columns) * h];
        context.globalAlpha = 0.12 + 0.68 * Math.sqrt(Math.min(1, Math.abs(value)));
        context.fillStyle = value > 0 ? "#b2182b" : "#2166ac";
        context.fillRect(x, y, w, h);
        if (value < 0) hatch(context, x, y, w, h, ratio);
      });
      context.globalAlpha = 1;
      if (outlined >= 0) {
        const [x, y] = [(outlined % columns) * w, Math.floor(outlined / columns) * h];
        for (const [colour, line] of [["#000", 6], ["#ffe14d", 3]]) {
          context.strokeStyle = colour;
          context.lineWidth = line * ratio;
          context.strokeRect(x + 2 * ratio, y + 2 * ratio, w - 4 * ratio, h - 4 * ratio);
        }
      }
    };
    const hatch = (context, x, y, w, h, ratio) => {
      context.save();
      context.beginPath();
      context.rect(x, y, w, h);
      context.clip();
      context.strokeStyle = "#fff";
      context.lineWidth = ratio;
      context.beginPath();
      for (let offset = -h; offset < w; offset += 5 * ratio) {
        context.moveTo(x + offset, y + h);
        context.lineTo(x + offset + h, y);
      }
      context.stroke();
      context.restore();
    };

    const told = (value) => {
      const amount = value * data.bands[band].largest;
      const all = Math.abs(data.similarity);
      if (!all || Math.abs(amount) > 10 * all) return (amount >= 0 ? "+" : "") + amount.toPrecision(3);
      const percents = (100 * amount) / all;
      return (percents >= 0 ? "+" : "") + (Math.abs(percents) >= 10 ? percents.toFixed(0) : percents.toPrecision(2)) + " %";
    };
    const where = (side, patch) => {
      const columns = grid(side)[1];
      return `row ${Math.floor(patch / columns) + 1}, column ${(patch % columns) + 1}`;
    };
    const counted = (number) => `${number} match${number === 1 ? " is" : "es are"}`;
    const sum = (row) => row.reduce((a, b) => a + b, 0);

    const render = () => {
      if (!active) {
        marginals().forEach((cells, side) => paint(side, cells, -1));
        const shown = values().reduce((a, value) => a + (value && Math.abs(value) >= least() ? 1 : 0), 0);
        answer.textContent = `${shown.toLocaleString("en")} of ${values().length.toLocaleString("en")} pairs of `
          + `patches are shown; together they make ${told(values().reduce((a, value) =>
            a + (Math.abs(value) >= least() ? value : 0), 0))} of the similarity that is explained.`;
        return;
      }
      const [side, patch] = active;
      const row = matches(active);
      const shown = strong(row);
      const own = new Float32Array(count(side));
      paint(side, own, patch);
      const best = row.reduce((a, value, index) => (Math.abs(value) > Math.abs(row[a]) ? index : a), 0);
      paint(1 - side, shown, row[best] ? best : -1);
      const sides = ["left", "right"];
      answer.textContent = `The ${sides[side]} image's patch in ${where(side, patch)} makes ${told(sum(row))} of the `
        + `similarity that is explained. Its strongest match in the ${sides[1 - side]} image: `
        + `${where(1 - side, best)}, ${told(row[best])}. ${counted(shown.filter((value) => value).length)} shown`
        + (held ? "; the patch is held, Escape lets go." : ".");
    };

    const patchAt = (side, event) => {
      const box = frames[side].getBoundingClientRect();
      const [rows, columns] = grid(side);
      const clip = (value, most) => Math.max(0, Math.min(most - 1, Math.floor(value * most)));
      return clip((event.clientY - box.top) / box.height, rows) * columns
        + clip((event.clientX - box.left) / box.width, columns);
    };
    const activate = (side, patch) => {
      if (active && active[0] === side && active[1] === patch) return;
      active = [side, patch];
      render();
    };
    const release = () => {
      active = null;
      held = false;
      render();
    };

    frames.forEach((frame, side) => {
      frame.addEventListener("pointermove", (event) => { if (!held) activate(side, patchAt(side, event)); });
      frame.addEventListener("pointerleave", () => { if (!held) release(); });
      frame.addEventListener("click", (event) => {
        const patch = patchAt(side, event);
        const same = active && active[0] === side && active[1] === patch;
        if (held && same) return release();
        active = [side, patch];
        held = true;
        render();
      });
      frame.addEventListener("focus", () => {
        if (!held && frame.matches(":focus-visible")) activate(side, Math.floor(grid(side)[0] / 2) * grid(side)[1] + Math.floor(grid(side)[1] / 2));
      });
      frame.addEventListener("blur", () => { if (!held) release(); });
      frame.addEventListener("keydown", (event) => {
        const [rows, columns] = grid(side);
        const start = active && active[0] === side ? active[1] : 0;
        if (MOVES[event.key]) {
          const [down, across] = MOVES[event.key];
          const row = Math.max(0, Math.min(rows - 1, Math.floor(start / columns) + down));
          const column = Math.max(0, Math.min(columns - 1, (start % columns) + across));
          activate(side, row * columns + column);
        } else if (event.key === "Enter" || event.key === " ") {
          if (!active) activate(side, start);
          held = !held;
          render();
        } else if (event.key === "Escape") {
          release();
        } else {
          return;
        }
        event.preventDefault();
      });
    });
    slider.addEventListener("input", () => {
      slider.parentElement.querySelector("output").textContent = slider.value + " %";
      render();
    });
    if (select) select.addEventListener("change", () => { band = Number(select.value); release(); });
    new ResizeObserver(render).observe(element);
    Promise.all(frames.map((frame) => frame.querySelector("img").decode().catch(() => null))).then(render);
  };
  chinspect.blocks("pair").forEach(view);
})();
