// The playground: data, a network, and what training makes of it.
import { choice, entry, fmt, h, numbers, redraw, restored, s } from "./dom.js";
import { line, scaleLinear, scaleLog } from "./vendor/d3.js";

const START = { data: "moons", hidden: [8, 8], activation: "tanh", optimizer: "Adam", lr: 0.1, batch_size: 16, samples: 300, noise: 0.1, seed: 0, csv: "" };
const GRID = 48;
// Blue and vermilion, then the others of Okabe and Ito's palette.
const COLORS = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [240, 228, 66], [120, 120, 120], [150, 90, 60], [60, 60, 160]];

export function playground(stage, context) {
  const mine = context.state.playground = restored(START, context.state.playground, "playground");
  const digits = () => context.state.digits;
  let session = null;
  let epochs = 0;
  let losses = [];
  let deltas = [];
  let running = false;
  let busy = Promise.resolve();
  let over = false;
  let pixels = new Array(64).fill(0);
  let down = false;
  const up = () => { down = false; };

  const board = h("div", { class: "board" });
  const nodes = h("div", { class: "heat" });
  const scores = h("div", { class: "scores", role: "status" });
  const curve = h("div", { class: "picture" });
  const flow = h("div", { class: "picture" });
  const drawing = h("div");
  const file = h("div");
  const wants = () => ({ id: session.id, grid: GRID, nodes: true });

  const only = (task) => { busy = busy.then(task).catch((error) => { running = false; label(); context.failed(error); }); return busy; };
  // Nothing of a training that is over stays: what is drawn is of the data that are chosen.
  function clear(text) {
    session = null;
    for (const box of [board, nodes, curve, flow, drawing]) box.replaceChildren();
    scores.replaceChildren(h("p", { class: "note" }, text));
  }
  function start() {
    running = false;
    label();
    said.textContent = "";
    context.save();
    if (mine.data === "csv" && !mine.csv.trim()) {
      context.fine();
      return only(async () => { clear("There is no table yet: type one, paste it, or choose a file."); });
    }
    return only(async () => {
      const { csv, ...rest } = mine;
      let found;
      try {
        found = await context.ask("start", { ...rest, ...(mine.data === "csv" ? { csv } : {}), grid: GRID, nodes: true });
      } catch (error) {
        if (!over) clear("There is nothing to train.");
        throw error;
      }
      if (over) return;
      context.fine();
      session = found;
      if (found.notes.length) said.textContent = found.notes.join(". ");
      epochs = 0;
      losses = [found.loss];
      deltas = [found.deltas];
      show(found);
      pad();
    });
  }
  function run(count) {
    return only(async () => {
      if (!session || over) return;
      const found = await context.ask("run", { ...wants(), epochs: count, lr: mine.lr });
      if (over) return;
      if (found.diverged) { running = false; label(); context.failed(new Error(`${found.diverged}; lower the learning rate and start again`)); }
      epochs += found.diverged ? 0 : count;
      losses.push(found.loss);
      deltas.push(found.deltas);
      show(found);
      if (session.sizes[0] === 64) await answer();
    });
  }
  async function go() {
    while (running && !over) {
      await run(session && session.sizes[0] === 64 ? 1 : 2);
      await new Promise((done) => { setTimeout(done, 60); });
    }
  }
  function label() { play.textContent = running ? "Pause" : "Train"; play.setAttribute("aria-pressed", String(running)); }

  function show(found) {
    const told = (v) => fmt(v, digits());
    const score = (name, value, q) => h("div", { class: "score" }, h("span", { class: "label" }, name), h("span", { class: "value", data: { q } }, value));
    scores.replaceChildren(score("epochs", String(epochs), "epochs"), score("loss", told(found.loss), "loss"),
      score("right, in training", `${fmt(100 * found.accuracy, 3)} %`, "accuracy"), score("right, held out", found.test_accuracy === null ? "none" : `${fmt(100 * found.test_accuracy, 3)} %`, "test_accuracy"));
    if (found.plane) {
      board.replaceChildren(plane(found.plane, session, Math.min(board.clientWidth || 340, 420)));
      nodes.replaceChildren(...(found.nodes ?? []).flatMap((layer, i) => [h("h3", {}, `layer ${i + 1}`), h("div", { class: "tiles" },
        Array.from({ length: Math.min(layer[0][0].length, 16) }, (_, k) => tile(layer.map((row) => row.map((v) => v[k])).reverse(), `what node ${k} of layer ${i + 1} responds to`)))]));
    } else {
      board.replaceChildren();
      nodes.replaceChildren(h("h3", {}, "layer 1: its weights, pixel by pixel"), h("div", { class: "tiles" }, (found.images ?? []).map((row, k) =>
        tile(Array.from({ length: 8 }, (_, i) => row.slice(8 * i, 8 * i + 8)), `weights of node ${k}`))));
    }
    curve.replaceChildren(lossCurve(losses, epochs, curve.clientWidth || 320));
    flow.replaceChildren(deltaCurves(deltas, flow.clientWidth || 320, digits()));
  }

  // --- Digits: draw your own ---
  const asked = () => pixels.map((v) => v);
  const bars = h("div", { class: "bars", role: "status" });
  async function answer() {
    if (!session) return;
    const found = await context.ask("predict", { id: session.id, x: asked() });
    if (over) return;
    const best = found.a.indexOf(Math.max(...found.a));
    bars.replaceChildren(h("p", {}, pixels.some(Boolean) ? `The network says ${best}.` : "Nothing is drawn yet."), ...found.a.map((value, k) => h("div", { class: `bar${k === best ? " best" : ""}` },
      h("span", {}, String(k)), h("span", { class: "track" }, h("span", { class: "part", style: `width:${(100 * value).toFixed(1)}%` })), h("span", { class: "value", data: { q: "a", k } }, fmt(value, 3)))));
  }
  function pad() {
    drawing.replaceChildren();
    if (session.sizes[0] !== 64) return;
    const cells = pixels.map((_, i) => h("button", { type: "button", class: "cell", "aria-label": `row ${Math.floor(i / 8)}, column ${i % 8}`, tabindex: i ? "-1" : "0", style: "--shade:0",
      onpointerdown: (event) => { event.preventDefault(); event.target.releasePointerCapture?.(event.pointerId); down = true; ink(i, 1); },
      onpointerenter: () => { if (down) ink(i, 1); },
      onkeydown: (event) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, ArrowDown: i + 8, ArrowUp: i - 8 }[event.key];
        if (to !== undefined) { event.preventDefault(); if (cells[to]) { cells[i].tabIndex = -1; cells[to].tabIndex = 0; cells[to].focus(); } }
        if (event.key === " " || event.key === "Enter") { event.preventDefault(); ink(i, pixels[i] ? -1 : 1); }
      } }));
    const grid = h("div", { class: "pad", role: "group", "aria-label": "draw a digit; arrows move, the space bar inks" }, cells);
    const paint = (i) => { cells[i].style.setProperty("--shade", pixels[i]); cells[i].setAttribute("aria-pressed", String(pixels[i] > 0)); };
    function ink(i, way) {
      pixels[i] = way > 0 ? 1 : 0;
      paint(i);
      if (way > 0) {
        for (const at of [i % 8 < 7 ? i + 1 : -1, i + 8]) if (pixels[at] !== undefined) { pixels[at] = Math.max(pixels[at], 0.35); paint(at); }
      }
      only(answer);
    }
    pixels.forEach((_, i) => paint(i));
    function wipe() {
      pixels = new Array(64).fill(0);
      pixels.forEach((_, i) => paint(i));
      only(answer);
    }
    drawing.replaceChildren(h("h2", {}, "Draw your own"), h("div", { class: "row top" }, h("div", {}, grid, h("button", { type: "button", id: "wipe", onclick: wipe }, "Clear")), bars));
    only(answer);
  }

  // --- Your own table ---
  const text = h("textarea", { id: "in-csv", rows: 6, spellcheck: "false", placeholder: "x,y,class\n0.1,0.9,red\n0.8,0.2,blue\n...", value: mine.csv, onchange: () => { mine.csv = text.value; start(); } });
  const pick = h("input", { type: "file", id: "in-file", onchange: async () => {
    const [one] = pick.files;
    if (!one) return;
    try {
      // As whatever reads tables reads it: text of any encoding, or Excel's or Parquet's.
      if (one.size > 2000000) throw new Error(`${one.name}: expected at most 2,000,000 bytes, got ${one.size}`);
      const bytes = Array.from(new Uint8Array(await one.arrayBuffer()), (value) => String.fromCharCode(value));
      const found = await context.ask("table", { name: one.name, file: btoa(bytes.join("")) });
      mine.csv = text.value = found.csv;
      start();
    } catch (error) { context.failed(error); }
    pick.value = ""; // so that the same file, mended, is a change
  } });
  file.append(h("div", { class: "field" }, h("label", { for: "in-csv" }, "Two columns of numbers and a class"), text), h("div", { class: "field" }, h("label", { for: "in-file" }, "or a file; it stays on this machine"), pick));
  const table = () => { file.hidden = mine.data !== "csv"; };
  const play = h("button", { type: "button", id: "train", class: "strong", onclick: () => { running = !running && Boolean(session); label(); if (running) go(); } }, "Train");
  const set = (name, read = (v) => v) => (value) => { mine[name] = read(value); table(); start(); };
  async function save() {
    await only(async () => {
      if (!session) return;
      const found = await context.ask("save", { id: session.id });
      const bytes = Uint8Array.from(atob(found.file), (one) => one.charCodeAt(0));
      const link = h("a", { href: URL.createObjectURL(new Blob([bytes])), download: found.name });
      link.click();
      said.textContent = `fcnn.load("${found.name}") answers ${session.sizes[0] === 64 ? "rows of pixels from 0 to 16" : "rows in the units of the data"}.`;
    });
  }
  async function share() {
    if (!context.save()) { context.failed(new Error("share: the table is too large for an address; send the file")); return; }
    // What comes before # is this machine's, with the secret of this run.
    try { await navigator.clipboard.writeText(location.hash); said.textContent = "Copied: it goes behind the address of any page of fcnn learn."; } catch { said.textContent = "Copy the address from # on; it goes behind that of any page of fcnn learn."; }
  }
  const said = h("p", { class: "note", role: "status" });
  const shared = h("button", { type: "button", id: "share", onclick: share }, "Share");
  stage.append(
    h("p", { class: "lead" }, "Choose data and a network, and train: the plane takes the colours of its answers, each small picture is what one node responds to, and the curves tell how much error reaches each layer."),
    h("section", { class: "card controls" }, h("div", { class: "row" },
      choice("Data", "data", context.options.data, mine.data, set("data")),
      entry("Hidden layers", "hidden", mine.hidden.join(" "), set("hidden", numbers), "nodes of each, as in 8 8; empty for none"),
      choice("Activation", "activation", context.options.activations, mine.activation, set("activation")),
      choice("Optimizer", "optimizer", context.options.optimizers, mine.optimizer, set("optimizer")),
      choice("Learning rate", "lr", ["0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3", "10", "100"], String(mine.lr), (value) => { mine.lr = Number(value); context.save(); }),
      choice("Batch", "batch", ["1", "4", "16", "64", "256"], String(mine.batch_size), set("batch_size", Number)),
      choice("Noise", "noise", ["0", "0.05", "0.1", "0.15", "0.3"], String(mine.noise), set("noise", Number))),
    file,
    h("div", { class: "row" }, play, h("button", { type: "button", id: "one", onclick: () => run(1) }, "One epoch"), h("button", { type: "button", id: "again", onclick: () => { mine.seed += 1; start(); } }, "Start again"),
      h("button", { type: "button", id: "save", onclick: save }, "Save the network"), context.plain ? null : shared), said),
    scores,
    h("div", { class: "columns" }, h("section", { class: "card" }, board, drawing, h("h2", {}, "What each node responds to"), nodes),
      h("section", { class: "card" }, h("h2", {}, "Loss"), curve, h("h2", {}, "How much error reaches each layer"), flow,
        h("p", { class: "note" }, "Mean size of \u03b4 in each layer, on a logarithmic scale. Six layers of sigmoids starve the first ones; try the same with relu."))),
  );
  table();
  start();
  addEventListener("pointerup", up);
  return () => { over = true; running = false; removeEventListener("pointerup", up); };
}

function plane(values, session, size) {
  const n = values.length;
  const canvas = h("canvas", { width: n, height: n, class: "plane", role: "img", "aria-label": "the network's answers over the plane" });
  const drawing = canvas.getContext("2d");
  const image = drawing.createImageData(n, n);
  values.forEach((row, i) => row.forEach((shares, j) => {
    const best = shares.indexOf(Math.max(...shares));
    const sorted = [...shares].sort((a, b) => b - a);
    const sure = 0.15 + 0.5 * (sorted[0] - sorted[1]);
    const at = 4 * ((n - 1 - i) * n + j);
    COLORS[best].forEach((one, c) => { image.data[at + c] = 255 - sure * (255 - one); });
    image.data[at + 3] = 255;
  }));
  drawing.putImageData(image, 0, 0);
  const to = scaleLinear([-1.3, 1.3], [0, size]);
  const shapes = (X, y, isTest) => X.map(([a, b], i) => mark(to(a), size - to(b), y[i], isTest));
  const over = s("svg", { width: size, height: size, viewBox: `0 0 ${size} ${size}`, "aria-hidden": "true" }, shapes(session.X, session.y, false), shapes(session.X_test, session.y_test, true));
  return h("div", { class: "stack", style: `width:${size}px;height:${size}px` }, canvas, over);
}

// Classes differ in shape, too; what is held out is hollow.
function mark(x, y, k, isTest) {
  const r = 3.6;
  const d = [`M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`, `M${x} ${y - r - 1}L${x + r + 1} ${y + r}H${x - r - 1}Z`, `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`, `M${x} ${y - r - 1}L${x + r + 1} ${y}L${x} ${y + r + 1}L${x - r - 1} ${y}Z`][k % 4];
  const color = `rgb(${COLORS[k].map((v) => Math.round(0.8 * v)).join(" ")})`;
  return s("path", isTest ? { d, fill: "rgb(255 255 255 / .75)", stroke: color, "stroke-width": 1.6 } : { d, fill: color, stroke: "white", "stroke-width": 0.8 });
}

function tile(rows, title) {
  const [high, wide] = [rows.length, rows[0].length];
  const canvas = h("canvas", { width: wide, height: high, class: "tile", role: "img", "aria-label": title, title });
  const drawing = canvas.getContext("2d");
  const image = drawing.createImageData(wide, high);
  const top = Math.max(...rows.flat().map((v) => Math.abs(v ?? 0)), 1e-12);
  rows.flat().forEach((value, i) => {
    const share = Math.min(Math.abs(value ?? 0) / top, 1);
    COLORS[(value ?? 0) < 0 ? 0 : 1].forEach((one, c) => { image.data[4 * i + c] = 255 - share * (255 - one); });
    image.data[4 * i + 3] = 255;
  });
  drawing.putImageData(image, 0, 0);
  return canvas;
}

function lossCurve(losses, epochs, width) {
  const height = 144;
  const pad = 46;
  const finite = losses.filter((v) => v !== null);
  const x = scaleLinear([0, Math.max(losses.length - 1, 1)], [pad, width - 8]);
  const y = scaleLinear([0, Math.max(...finite, 1e-9)], [height - 28, 8]);
  return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `the loss, from ${fmt(losses[0], 3)} to ${fmt(losses.at(-1), 3)}` },
    s("line", { x1: pad, x2: width - 8, y1: height - 28, y2: height - 28, class: "axis" }), s("line", { x1: pad, x2: pad, y1: 8, y2: height - 28, class: "axis" }),
    y.ticks(4).map((v) => s("text", { x: pad - 6, y: y(v) + 4, class: "tick", "text-anchor": "end" }, fmt(v, 3))),
    s("text", { x: width - 8, y: height - 10, class: "tick", "text-anchor": "end" }, `${epochs} epoch${epochs === 1 ? "" : "s"}`),
    s("path", { d: line((v, i) => x(i), (v) => y(v ?? 0))(losses), class: "curve" }));
}

// Of the ticks of a logarithmic scale those that have room, from the largest down.
function apart(ticks, y) {
  const kept = [];
  for (const v of ticks.sort((a, b) => b - a)) if (!kept.length || y(v) - y(kept.at(-1)) > 18) kept.push(v);
  return kept;
}

function deltaCurves(deltas, width, digits) {
  const height = 190;
  const pad = 54;
  const L = deltas[0].length;
  const all = deltas.flat().filter((v) => v > 0);
  if (!all.length) return h("p", {}, "no error anywhere");
  const x = scaleLinear([0, Math.max(deltas.length - 1, 1)], [pad, width - 78]);
  const y = scaleLog([Math.max(Math.min(...all), 1e-12), Math.max(...all)], [height - 14, 8]);
  const at = deltas.at(-1).map((v, l) => ({ v, l, y: v > 0 ? y(v) : height - 14 })).sort((a, b) => a.y - b.y);
  // Names beside the ends of the curves, none on another.
  at.forEach((one, i) => { if (i) one.y = Math.max(one.y, at[i - 1].y + 14); });
  return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": deltas.at(-1).map((v, l) => `layer ${l + 1} ${fmt(v, digits)}`).join(", ") },
    s("line", { x1: pad, x2: pad, y1: 8, y2: height - 14, class: "axis" }),
    apart(y.ticks(), y).map((v) => s("text", { x: pad - 6, y: y(v) + 4, class: "tick", "text-anchor": "end" }, fmt(v, 2))),
    Array.from({ length: L }, (_, l) => s("path", { d: line((v, i) => x(i), (v) => y(Math.max(v[l], 1e-12)))(deltas), class: "layer", style: `--share:${L > 1 ? l / (L - 1) : 1}`, "stroke-dasharray": l % 2 ? "6 3" : null })),
    at.map((one) => s("text", { x: width - 74, y: Math.min(one.y + 4, height), class: "tick", data: { q: "size", l: one.l + 1 } }, `${one.l + 1}: ${fmt(one.v, 2)}`)));
}
