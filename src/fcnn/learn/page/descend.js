// Downhill: the loss over two parameters, and three ways down it.
import { choice, fmt, h, latest, onWidth, pretty, redraw, restored, s, slider } from "./dom.js";
import { contours, line, scaleLinear } from "./vendor/d3.js";

const START = { data: "moons", hidden: [3], activation: "tanh", seed: 3, power: -0.7, parameters: [0, 9], steps: 60, span: 12, start: [-0.6, 4.5], samples: 100, noise: 0.1, at: 60 };
const WAYS = [["SGD", "way0", ""], ["momentum", "way1", "7 4"], ["Adam", "way2", "2 4"]];

export function descend(stage, context) {
  const mine = context.state.descend = restored(START, context.state.descend, "descend");
  const again = latest(context.ask);
  const picture = h("div", { class: "picture" });
  const curves = h("div", { class: "picture" });
  const ends = h("div", { class: "scroll", "aria-live": "polite" });
  const slot = h("div", { class: "row" });
  let found = null;

  function update() {
    context.save();
    const { power, at, ...rest } = mine;
    again(() => [["descend", { ...rest, lr: 10 ** power }]], (answer) => {
      context.fine();
      found = answer;
      choosers();
      draw();
    }, context.failed);
  }
  function choosers() {
    const names = found.all.map((name, i) => [String(i), pretty(name)]);
    const pick = (which) => (value) => {
      const next = [...mine.parameters];
      next[which] = Number(value);
      if (next[0] === next[1]) { context.failed(new Error("two different parameters, please")); return; }
      mine.parameters = next;
      update();
    };
    redraw(slot, choice("Across", "across", names, String(mine.parameters[0]), pick(0)), choice("Up", "up", names, String(mine.parameters[1]), pick(1)));
  }
  function draw() {
    if (!found) return;
    const size = Math.min(picture.clientWidth || 340, 520);
    const pad = 38;
    const x = scaleLinear([found.across[0], found.across.at(-1)], [pad, size - 6]);
    const y = scaleLinear([found.down[0], found.down.at(-1)], [size - pad, 6]);
    const n = found.across.length;
    const flat = found.loss.flat().map((v) => (v === null ? 1e30 : v));
    const finite = flat.filter((v) => v < 1e30);
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    const levels = Array.from({ length: 13 }, (_, i) => low + (high - low) * (i / 13) ** 1.7);
    const shapes = contours().size([n, n]).thresholds(levels)(flat);
    const across = scaleLinear([0.5, n - 0.5], [x.range()[0], x.range()[1]]);
    const up = scaleLinear([0.5, n - 0.5], [y.range()[0], y.range()[1]]);
    const drawn = (shape) => shape.coordinates.map((rings) => rings.map((ring) => `M${ring.map(([a, b]) => `${across(a).toFixed(1)} ${up(b).toFixed(1)}`).join("L")}Z`).join("")).join("");
    const id = "clip-descend";
    const way = line((p) => x(p[0]), (p) => y(p[1]));
    const start = found.paths.SGD[0];
    const svg = s("svg", { width: size, height: size, viewBox: `0 0 ${size} ${size}`, class: "surface", role: "img",
      "aria-label": `the loss over ${found.names.join(" and ")}; ${WAYS.map(([name]) => `${name} ${ended(name)}`).join(", ")}`,
      onclick: (event) => {
        const box = svg.getBoundingClientRect();
        mine.start = [x.invert(event.clientX - box.left), y.invert(event.clientY - box.top)].map((v) => Math.round(v * 100) / 100);
        sync();
        update();
      } },
    s("clipPath", { id }, s("rect", { x: pad, y: 6, width: size - pad - 6, height: size - pad - 6 })),
    s("g", { "clip-path": `url(#${id})` },
      shapes.map((shape, i) => s("path", { d: drawn(shape), class: "level", style: `--share:${(i / shapes.length).toFixed(3)}` })),
      WAYS.map(([name, mark, dashes]) => {
        const path = found.paths[name].slice(0, mine.at + 1);
        const tip = path.at(-1);
        return [
          s("path", { d: way(path), class: `way under` }), s("path", { d: way(path), class: `way ${mark}`, "stroke-dasharray": dashes }),
          marker(mark, x(tip[0]), y(tip[1])),
        ];
      }),
      s("circle", { cx: x(start[0]), cy: y(start[1]), r: 6, class: "start" })),
    x.ticks(5).map((v) => s("text", { x: x(v), y: size - pad + 16, class: "tick", "text-anchor": "middle" }, fmt(v, 3))),
    y.ticks(5).map((v) => s("text", { x: pad - 6, y: y(v) + 4, class: "tick", "text-anchor": "end" }, fmt(v, 3))),
    s("text", { x: size / 2, y: size - 5, class: "tick", "text-anchor": "middle" }, pretty(found.names[0])),
    s("text", { x: 12, y: size / 2, class: "tick", "text-anchor": "middle", transform: `rotate(-90 12 ${size / 2})` }, pretty(found.names[1])));
    picture.replaceChildren(svg);
    curves.replaceChildren(losses(Math.min(curves.clientWidth || 340, 560)));
    ends.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ["", "steps", ...found.names.map(pretty), "loss"].map((t) => h("th", { scope: "col", class: t === "steps" ? "count" : null }, t)))),
      h("tbody", {}, WAYS.map(([name, mark, dashes]) => {
        const path = found.paths[name].slice(0, mine.at + 1);
        const tip = path.at(-1);
        const gone = found.paths[name].length <= mine.at;
        return h("tr", {}, h("th", { scope: "row" }, s("svg", { width: 44, height: 14, "aria-hidden": "true" }, s("line", { x1: 1, x2: 32, y1: 7, y2: 7, class: `way ${mark}`, "stroke-dasharray": dashes }), marker(mark, 36, 7)), " ", name),
          h("td", { class: "count" }, String(path.length - 1)), h("td", { data: { q: "p0", way: name } }, fmt(tip[0], context.state.digits)), h("td", { data: { q: "p1", way: name } }, fmt(tip[1], context.state.digits)),
          h("td", { data: { q: "loss", way: name } }, gone ? "diverged" : fmt(tip[2], context.state.digits)));
      }))));
  }
  const ended = (name) => (found.paths[name].length <= found.steps ? "diverged" : `ends at ${fmt(found.paths[name].at(-1)[2], 3)}`);
  function losses(width) {
    const height = 170;
    const pad = 46;
    const all = WAYS.flatMap(([name]) => found.paths[name].map((p) => p[2]));
    const cap = Math.min(Math.max(...all), 4 * found.paths.SGD[0][2] + 1e-12);
    const x = scaleLinear([0, found.steps], [pad, width - 8]);
    const y = scaleLinear([Math.min(...all.filter((v) => v !== null)) * 0.98, cap], [height - 24, 8]).clamp(true);
    return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "the loss after each step" },
      s("line", { x1: pad, x2: width - 8, y1: height - 24, y2: height - 24, class: "axis" }), s("line", { x1: pad, x2: pad, y1: 8, y2: height - 24, class: "axis" }),
      y.ticks(4).map((v) => s("text", { x: pad - 6, y: y(v) + 4, class: "tick", "text-anchor": "end" }, fmt(v, 3))),
      s("text", { x: width - 8, y: height - 6, class: "tick", "text-anchor": "end" }, `${found.steps} steps`),
      s("line", { x1: x(mine.at), x2: x(mine.at), y1: 8, y2: height - 24, class: "axis faint" }),
      WAYS.map(([name, mark, dashes]) => s("path", { d: line((p, i) => x(i), (p) => y(p[2]))(found.paths[name]), class: `way ${mark}`, "stroke-dasharray": dashes })));
  }
  const rate = h("span", { class: "value" }, fmt(10 ** mine.power, 3));
  const power = h("input", { type: "range", id: "in-lr", min: -3, max: 2.5, step: 0.05, value: mine.power, oninput: () => { mine.power = Number(power.value); rate.textContent = fmt(10 ** mine.power, 3); update(); } });
  const at = h("input", { type: "range", id: "in-at", min: 0, max: mine.steps, step: 1, value: mine.at, oninput: () => { mine.at = Number(at.value); context.save(); draw(); } });
  const from = h("div", { class: "row" });
  function sync() {
    redraw(from, ...[0, 1].map((i) => slider(`Start, ${i ? "up" : "across"}`, { min: -6, max: 6, step: 0.1, value: mine.start[i], name: `start${i}`, onchange: (value) => { mine.start[i] = value; update(); } })));
  }
  sync();
  stage.append(
    h("p", { class: "lead" }, "Two parameters move, all others stay: so the paths lie on the surface that you see. Raise the learning rate until a path runs away."),
    h("div", { class: "columns" },
      h("section", { class: "card" }, picture, h("p", { class: "note" }, "Choose a place to start from, here or with the sliders.")),
      h("section", { class: "card controls" },
        h("div", { class: "field" }, h("label", { for: "in-lr" }, "Learning rate \u03b7 = ", rate), power),
        h("div", { class: "field" }, h("label", { for: "in-at" }, "Steps shown"), at),
        from, slot,
        h("div", { class: "row" }, choice("Data", "data", ["moons", "circles", "xor", "spirals"], mine.data, (value) => { mine.data = value; update(); }),
          choice("Activation", "activation", context.options.activations, mine.activation, (value) => { mine.activation = value; update(); })),
        ends, h("h2", {}, "The loss, step by step"), curves)),
  );
  update();
  return onWidth(stage, draw);
}

function marker(mark, x, y) {
  const shape = { way0: `M${x - 5} ${y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z`, way1: `M${x - 5} ${y - 5}h10v10h-10Z`, way2: `M${x} ${y - 6}L${x + 6} ${y + 5}H${x - 6}Z` }[mark];
  return s("path", { d: shape, class: `tip ${mark}` });
}
