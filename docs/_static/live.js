"use strict";
// The page "Draw a digit": recorded answers, and live ones of the network's C code as WebAssembly.
(() => {
  const SIDE = 8, FULL = 16;
  const { samples, wasm } = window.fcnnLive;
  const byId = (id) => document.getElementById(id);
  const canvas = byId("live-image"), paper = canvas.getContext("2d");
  const select = byId("live-sample"), rows = byId("live-numbers").tBodies[0];
  const pixels = new Float32Array(SIDE * SIDE);
  let recorded = null, cursor = -1, predict = null;

  function draw() {
    const size = canvas.width / SIDE;
    pixels.forEach((value, i) => {
      const grey = Math.round(255 * (1 - value / FULL));
      paper.fillStyle = `rgb(${grey},${grey},${grey})`;
      paper.fillRect((i % SIDE) * size, Math.floor(i / SIDE) * size, size, size);
    });
    if (cursor >= 0) {
      paper.strokeStyle = "#d55e00";
      paper.lineWidth = 3;
      paper.strokeRect((cursor % SIDE) * size + 2, Math.floor(cursor / SIDE) * size + 2, size - 4, size - 4);
    }
  }

  const text = (value) => (value === undefined ? "" : value.toFixed(4));

  function show() {
    const live = predict ? predict(pixels.map((value) => value / FULL)) : null;
    const best = (a) => a.indexOf(Math.max(...a));
    rows.replaceChildren(...Array.from({ length: 10 }, (_, k) => {
      const row = document.createElement("tr");
      const cells = [k, text(live?.[k]), text(recorded?.a[k]), text(recorded?.delta[k])];
      row.append(...cells.map((cell, i) => {
        const made = document.createElement(i ? "td" : "th");
        made.textContent = cell;
        return made;
      }));
      return row;
    }));
    const says = [];
    if (live) says.push(`Live: ${best([...live])}.`);
    if (recorded) says.push(`Recorded: ${best(recorded.a)}; it is a ${recorded.y}.`);
    byId("live-says").textContent = says.join(" ");
    draw();
  }

  function ink(i, amount) {
    pixels[i] = Math.min(FULL, Math.max(0, pixels[i] + amount));
    recorded = null;
    show();
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    const place = (value, start, size) => Math.min(SIDE - 1, Math.max(0, Math.floor(SIDE * (value - start) / size)));
    return place(event.clientY, box.top, box.height) * SIDE + place(event.clientX, box.left, box.width);
  }

  let last = -1;
  canvas.style.touchAction = "none";
  canvas.addEventListener("pointerdown", (event) => { last = at(event); ink(last, FULL); });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons && at(event) !== last) { last = at(event); ink(last, FULL); }
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -SIDE, ArrowDown: SIDE }[event.key];
    if (cursor < 0) cursor = 27;
    if (step) cursor = (cursor + step + SIDE * SIDE) % (SIDE * SIDE);
    else if (event.key === " ") ink(cursor, 8);
    else if (event.key === "Backspace") ink(cursor, -FULL);
    else return;
    event.preventDefault();
    draw();
  });
  byId("live-clear").addEventListener("click", () => { pixels.fill(0); recorded = null; show(); });
  select.addEventListener("change", () => {
    recorded = samples[select.selectedIndex];
    pixels.set(recorded.x);
    show();
  });
  samples.forEach((sample, i) => select.add(new Option(`${i}: a ${sample.y}`)));
  recorded = samples[0];
  pixels.set(recorded.x);
  show();

  if (wasm) {
    const bytes = Uint8Array.from(atob(wasm), (letter) => letter.charCodeAt(0));
    WebAssembly.instantiate(bytes, {}).then(({ instance }) => {
      const { memory, inputs, predict: run, _initialize } = instance.exports;
      _initialize?.();
      predict = (x) => {
        new Float32Array(memory.buffer, inputs(), x.length).set(x);
        return new Float32Array(memory.buffer, run(), 10).slice();
      };
      show();
    });
  }
})();
