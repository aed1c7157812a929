// One node after another: every factor of the chain rule, and the slope that it makes.
import { choice, fmt, h, latest, onWidth, pretty, redraw, restored, s, slider, tex } from "./dom.js";
import { steps } from "./steps.js";

const START = { W: [1.2, -0.8], b: [-0.3, 0.5], x: 0.7, y: 1, activation: "sigmoid", loss: "squared_error", parameter: 0 };

export function chain(stage, context) {
  const mine = context.state.chain = restored(START, context.state.chain, "chain");
  const again = latest(context.ask);
  const picture = h("div", { class: "picture" });
  const forward = h("div");
  const backward = h("div");
  const factors = h("div", { class: "factors", "aria-live": "polite" });
  const curve = h("div", { class: "picture" });
  const losses = Object.entries(context.options.losses).filter(([name]) => name !== "cross_entropy").map(([name]) => name);

  const request = () => ({
    sizes: [1, 1, 1], activation: mine.activation, loss: mine.loss,
    output: context.options.losses[mine.loss].includes(mine.activation) ? mine.activation : context.options.losses[mine.loss][0], dtype: "float64",
    W: mine.W.map((w) => [[w]]), b: mine.b.map((b) => [b]), x: [mine.x], y: [mine.y], digits: context.state.digits,
  });
  function update() {
    context.save();
    const base = request();
    again(() => [
      ["trace", base], ["explain", { ...base, l: 1, k: 0 }], ["explain", { ...base, l: 2, k: 0 }],
      ["curve", { ...base, parameter: mine.parameter }],
    ], (trace, one, two, over) => {
      context.fine();
      picture.replaceChildren(drawn(trace, context.state.digits, picture.clientWidth || 340));
      redraw(forward, steps({ steps: [...one.steps, ...two.steps].map(bare) }, ["z", "a", "C"]));
      const back = (told) => told.steps.filter((step) => ["delta", "dW", "db"].includes(step.name));
      redraw(backward, steps({ steps: [...back(two), ...back(one)].map(bare) }));
      factors.replaceChildren(...product(trace, context.state.digits));
      curve.replaceChildren(slope(over, context.state.digits, curve.clientWidth || 340));
    }, context.failed);
  }
  const set = (name, i) => (value) => {
    if (i === undefined) mine[name] = value;
    else mine[name] = mine[name].map((old, at) => (at === i ? value : old));
    if (name === "W" || name === "b") mine.parameter = 2 * i + (name === "b" ? 1 : 0);
    update();
  };
  const one = (label, text, name, i) => slider(label, {
    min: -4, max: 4, step: 0.05, value: i === undefined ? mine[name] : mine[name][i], name: `${name}${i ?? ""}`, onchange: set(name, i), text: tex(text),
  });
  const least = { poisson: 0, binary_cross_entropy: 0 };
  stage.append(
    h("p", { class: "lead" }, "Two nodes in a row. Move a slider: the sum goes forward, the error comes back, and each weight learns how much the loss changes with it."),
    h("section", { class: "card" }, picture),
    h("div", { class: "columns" },
      h("section", { class: "card controls" }, h("h2", {}, "Move something"),
        one("x", "x", "x"), one("W 1", "W^1", "W", 0), one("b 1", "b^1", "b", 0), one("W 2", "W^2", "W", 1), one("b 2", "b^2", "b", 1), one("y", "y", "y"),
        h("div", { class: "row" },
          choice("Activation", "activation", context.options.activations, mine.activation, (value) => { mine.activation = value; update(); }),
          choice("Loss", "loss", losses, mine.loss, (value) => {
            mine.loss = value;
            if (value in least && mine.y < least[value]) mine.y = least[value];
            update();
          }))),
      h("section", { class: "card" }, h("h2", {}, "The slope that you learn by"), curve,
        h("div", { class: "row" }, choice("Over", "parameter", [["0", "W 1"], ["1", "b 1"], ["2", "W 2"], ["3", "b 2"]], String(mine.parameter), (value) => { mine.parameter = Number(value); update(); })))),
    h("section", { class: "card" }, h("h2", {}, "The first weight, factor by factor"), factors),
    h("div", { class: "columns" },
      h("section", { class: "card" }, h("h2", {}, "Forward"), forward),
      h("section", { class: "card" }, h("h2", {}, "Back, the last layer first"), backward)),
  );
  update();
  return onWidth(stage, update);
}

// Of one node in each layer: as the first lesson writes it, without the indices that all are 0.
function bare(step) {
  const latex = (text) => text.replace(/_\{0(,0)?\}/g, "");
  return { ...step, symbol: latex(step.symbol), general: latex(step.general), text: step.text.replace(/_0(,0)?\b/g, "") };
}

const layer = (l) => "\u2070\u00b9\u00b2"[l];

function drawn(trace, digits, width) {
  const told = (v) => fmt(v, digits);
  const height = 190;
  const isNarrow = width < 560;
  const r = Math.min(34, width / (isNarrow ? 15 : 11));
  const xs = [0, 1, 2, 3].map((i) => r + 6 + (i * (width - 2 * r - 12)) / 3);
  const at = 92;
  const picture = s("svg", { class: "net", width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `x ${told(trace.x[0])}; layer 1: z ${told(trace.z[1][0])}, a ${told(trace.a[1][0])}, delta ${told(trace.delta[1][0])}; layer 2: z ${told(trace.z[2][0])}, a ${told(trace.a[2][0])}, delta ${told(trace.delta[2][0])}; loss ${told(trace.C)}` });
  const font = Math.max(10, Math.min(14, width / 34));
  const inside = (text) => Math.min(font, (1.75 * r) / (0.6 * text.length));
  const put = (x, y, text, mark, q, l, size = font) => s("text", { x, y, class: mark, "text-anchor": "middle", "font-size": size, data: q ? { q, l, k: 0, j: 0 } : {} }, text);
  for (let i = 0; i < 3; i += 1) {
    const [from, to] = [xs[i] + r, xs[i + 1] - r];
    picture.append(
      s("line", { x1: from, x2: to, y1: at - 5, y2: at - 5, class: "flow forward" }),
      s("path", { class: "head", d: `M${to} ${at - 5} l-8 -4 v8 Z` }),
      s("line", { x1: from, x2: to, y1: at + 7, y2: at + 7, class: "flow back" }),
      s("path", { class: "head back", d: `M${from} ${at + 7} l8 -4 v8 Z` }));
    if (i < 2) {
      const middle = (from + to) / 2;
      picture.append(
        put(middle, at - 30, `W${layer(i + 1)}`, "W", null, i + 1, font - 1), put(middle, at - 14, told(trace.W[i][0][0]), "W", "W", i + 1),
        put(middle, at + (isNarrow ? 82 : 25), told(trace.dW[i + 1][0][0]), "dW", "dW", i + 1), put(middle, at + (isNarrow ? 68 : 41), `\u2202C/\u2202W${layer(i + 1)}`, "dW", null, i + 1, font - 1));
    }
  }
  const circle = (x, mark) => s("circle", { cx: x, cy: at, r, class: `big ${mark}` });
  picture.append(circle(xs[0], "a"), put(xs[0], at - 3, "x", "a"), put(xs[0], at + 15, told(trace.x[0]), "a", "a", 0, inside(told(trace.x[0]))));
  for (const l of [1, 2]) {
    const x = xs[l];
    picture.append(
      circle(x, "a"), put(x, at - 3, `a${layer(l)}`, "a"), put(x, at + 15, told(trace.a[l][0]), "a", "a", l, inside(told(trace.a[l][0]))),
      put(x, at - r - 8, `z${layer(l)} ${told(trace.z[l][0])}`, "z", "z", l),
      put(x, at + r + 17, `\u03b4${layer(l)} ${told(trace.delta[l][0])}`, "delta", "delta", l),
      put(x, at + r + 35, `b${layer(l)} ${told(trace.b[l - 1][0])}`, "b", "b", l));
  }
  picture.append(circle(xs[3], "cost"), put(xs[3], at - 3, "C", "strong"), put(xs[3], at + 15, told(trace.C), "strong", "C", 2, inside(told(trace.C))),
    put(xs[3], at - r - 8, `y ${told(trace.y[0])}`, "y", "y", 2));
  return picture;
}

function product(trace, digits) {
  const card = (symbol, value, mark, q, l) => h("div", { class: `factor ${mark}` }, tex(symbol), h("span", { class: "value", data: { q, l, k: 0, j: 0 } }, fmt(value, digits)));
  const dot = () => h("span", { class: "dot", "aria-hidden": "true" }, "\u00b7");
  return [
    h("div", { class: "brace" }, h("div", { class: "chainrule" },
      card("\\delta^2", trace.delta[2][0], "delta", "delta", 2), dot(), card("W^2", trace.W[1][0][0], "W", "W", 2), dot(), card("\\sigma'(z^1)", trace.slope[1][0], "z", "slope", 1)),
    h("p", { class: "under" }, tex("\\delta^1"), " = ", h("span", { class: "delta", data: { q: "delta", l: 1, k: 0 } }, fmt(trace.delta[1][0], digits)))),
    dot(), card("a^0 = x", trace.a[0][0], "a", "a", 0),
    h("span", { class: "dot" }, "="), card("\\frac{\\partial C}{\\partial W^1}", trace.dW[1][0][0], "dW", "dW", 1),
  ];
}

function slope(over, digits, width) {
  const height = 230;
  const pad = { left: 56, right: 10, top: 12, bottom: 34 };
  const finite = over.losses.filter((v) => v !== null);
  const [low, high] = [Math.min(...finite, over.C), Math.max(...finite, over.C)];
  const span = high - low || 1;
  const x = (v) => pad.left + ((v - over.values[0]) / (over.values.at(-1) - over.values[0])) * (width - pad.left - pad.right);
  const y = (v) => height - pad.bottom - ((v - low) / span) * (height - pad.top - pad.bottom);
  const points = over.values.map((v, i) => (over.losses[i] === null ? null : `${x(v).toFixed(1)},${y(over.losses[i]).toFixed(1)}`)).filter(Boolean).join(" ");
  const reach = 1;
  const ends = [-reach, reach].map((d) => [x(over.at + d), y(over.C + d * over.slope)]);
  const told = (v) => fmt(v, digits);
  const id = "clip-slope";
  return s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `the loss over ${over.name}; here ${told(over.C)} with slope ${told(over.slope)}` },
    s("clipPath", { id }, s("rect", { x: pad.left, y: 0, width: width - pad.left - pad.right, height: height - pad.bottom })),
    s("line", { x1: pad.left, x2: width - pad.right, y1: height - pad.bottom, y2: height - pad.bottom, class: "axis" }),
    s("line", { x1: pad.left, x2: pad.left, y1: pad.top, y2: height - pad.bottom, class: "axis" }),
    s("text", { x: pad.left - 6, y: y(high) + 4, class: "tick", "text-anchor": "end" }, fmt(high, 3)),
    s("text", { x: pad.left - 6, y: y(low) + 4, class: "tick", "text-anchor": "end" }, fmt(low, 3)),
    s("text", { x: pad.left, y: height - 16, class: "tick", "text-anchor": "middle" }, fmt(over.values[0], 3)),
    s("text", { x: width - pad.right, y: height - 16, class: "tick", "text-anchor": "end" }, fmt(over.values.at(-1), 3)),
    s("text", { x: (pad.left + width) / 2, y: height - 4, class: "tick", "text-anchor": "middle" }, pretty(over.name).replace(/[\u2080-\u2089,]/g, "")),
    s("polyline", { points, class: "curve" }),
    s("line", { x1: ends[0][0], y1: ends[0][1], x2: ends[1][0], y2: ends[1][1], class: "tangent", "clip-path": `url(#${id})` }),
    s("circle", { cx: x(over.at), cy: y(over.C), r: 6, class: "here" }),
    s("text", { x: pad.left + 8, y: pad.top + 10, class: "dW", "font-size": 13 }, "slope ", s("tspan", { data: { q: "gradient", i: over.name } }, told(over.slope))));
}
