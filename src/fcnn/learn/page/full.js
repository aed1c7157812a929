// A fully connected network: every node a sum with its numbers, and the deltas on their way back.
import { choice, entry, fmt, h, latest, onWidth, redraw, restored, tex } from "./dom.js";
import { diagram, ofTrace } from "./diagram.js";
import { START, asked, fields } from "./network.js";
import { steps } from "./steps.js";

export function full(stage, context) {
  const { state } = context;
  const net = state.net = restored(START, state.net, "net");
  const view = state.full = restored({ chosen: [1, 0], isBack: false, way: "indices" }, state.full, "full");
  const again = latest(context.ask);
  const told = latest(context.ask);
  let trace = null;
  let played = null;
  let timer = null;
  const picture = h("div", { class: "picture" });
  const panel = h("div", { class: "panel", "aria-live": "polite" });
  const playing = h("div", { class: "playing", "aria-live": "polite" });
  const loss = h("span", { class: "value", data: { q: "C" } });

  const choose = (l, k, j) => {
    stop();
    view.chosen = j === undefined ? [l, k] : [l, k, j];
    draw();
    explain();
    weight();
  };
  function draw() {
    if (!trace) return;
    const now = played ? played.list[played.at] : null;
    const shown = ofTrace(trace, state.digits, now ? now.isBack : view.isBack);
    const [l, k, j] = view.chosen;
    redraw(picture, diagram(picture.clientWidth || 340, trace.sizes, {
      ...shown, choose, title: "the network; choose a node or an edge",
      chosen: (...at) => !now && String(at) === String(view.chosen),
      lit: (...at) => (now ? now.edges.some((one) => String(one) === String(at)) : j === undefined && (view.isBack ? at[0] === l + 1 && at[2] === k : at[0] === l && at[1] === k)),
      litNode: (...at) => Boolean(now) && String(at) === String(now.node),
    }));
    loss.textContent = fmt(trace.C, state.digits);
    if (view.way === "matrices") panel.replaceChildren(matrices(trace, Math.max(l, 1), state.digits));
  }
  function explain() {
    context.save();
    if (view.way === "matrices") { draw(); return; }
    const [l, k, j] = view.chosen;
    told(() => [["explain", { ...asked(net, state.digits), l, k, ...(j === undefined ? {} : { j }) }]], (found) => {
      redraw(panel, h("h2", {}, found.title), steps(found));
    }, context.failed);
  }
  function update(undo) {
    stop();
    context.save();
    again(() => [["trace", asked(net, state.digits)]], (found) => {
      context.fine();
      trace = found;
      net.W = found.W;
      net.b = found.b;
      net.x = found.x;
      if (net.loss !== "cross_entropy" || net.y) net.y = found.y;
      const [l, k, j] = view.chosen;
      if (!(k < trace.sizes[l]) || k < 0 || (j !== undefined && !(l > 0 && j >= 0 && j < trace.sizes[l - 1]))) view.chosen = [1, 0];
      chooser.fill();
      weight();
      draw();
      explain();
    }, (error) => {
      undo?.();
      chooser.fill();
      context.failed(error);
    });
  }
  const chooser = fields(net, context, update);
  const slot = h("div", { class: "row chosen-value" });
  // What stands at the chosen place can be changed: the weight of an edge, the bias of a node.
  function weight() {
    const [l, k, j] = view.chosen;
    if (l === 0 || !net.W) { slot.replaceChildren(); return; }
    const value = j === undefined ? net.b[l - 1][k] : net.W[l - 1][k][j];
    redraw(slot, entry(j === undefined ? "b of the node" : "W of the edge", "weight", String(value), (text) => {
      const now = Number(text);
      if (text.trim() === "" || !Number.isFinite(now)) { context.failed(new Error(`weight: expected a number, got '${text}'`)); return; }
      const before = structuredClone(net);
      if (j === undefined) net.b[l - 1][k] = now;
      else net.W[l - 1][k][j] = now;
      update(() => Object.assign(net, before));
    }));
  }

  // --- Playing: term by term ---
  function script() {
    const list = [];
    const L = trace.sizes.length - 1;
    const told4 = (v) => fmt(v, state.digits);
    for (let l = 1; l <= L; l += 1) {
      for (let k = 0; k < trace.sizes[l]; k += 1) {
        list.push({ isBack: false, node: [l, k], edges: Array.from({ length: trace.sizes[l - 1] }, (_, j) => [l, k, j]),
          ask: { l, k }, only: ["z", "a"], text: `Forward: node ${k} of layer ${l} adds up its inputs.` });
      }
    }
    for (let k = 0; k < trace.sizes[L]; k += 1) {
      list.push({ isBack: true, node: [L, k], edges: [], ask: { l: L, k }, only: ["delta"], text: `Back: output ${k}, how the loss changes with its z.` });
    }
    for (let l = L - 1; l >= 1; l -= 1) {
      for (let j = 0; j < trace.sizes[l]; j += 1) {
        for (let k = 0; k < trace.sizes[l + 1]; k += 1) {
          list.push({ isBack: true, node: [l, j], edges: Array.from({ length: k + 1 }, (_, i) => [l + 1, i, j]), ask: { l, k: j }, term: k,
            text: `Back: node ${j} of layer ${l} hears from node ${k} of layer ${l + 1}.` });
        }
        list.push({ isBack: true, node: [l, j], edges: Array.from({ length: trace.sizes[l + 1] }, (_, i) => [l + 1, i, j]), ask: { l, k: j }, only: ["delta"],
          text: `Back: node ${j} of layer ${l}: the sum, times \u03c3\u2032 of its z. That is \u03b4 = ${told4(trace.delta[l][j])}.` });
      }
    }
    return list;
  }
  const scene = latest(context.ask);
  function step(by) {
    if (!trace) return;
    if (!played) played = { list: script(), at: view.isBack ? script().findIndex((one) => one.isBack) - by : -by };
    played.at = Math.max(0, Math.min(played.list.length - 1, played.at + by));
    const now = played.list[played.at];
    draw();
    scene(() => [["explain", { ...asked(net, state.digits), ...now.ask }]], (found) => {
      if (!played) return;
      const parts = [h("p", { class: "caption" }, `${played.at + 1} of ${played.list.length}. ${now.text}`)];
      if (now.term !== undefined) parts.push(sum(found.terms.slice(0, now.term + 1), now.ask, trace.sizes[now.ask.l + 1], state.digits));
      else parts.push(steps(found, now.only));
      redraw(playing, ...parts);
    }, context.failed);
    if (played.at === played.list.length - 1) pause();
  }
  function pause() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }
  function stop() {
    pause();
    if (!played) return;
    played = null;
    playing.replaceChildren();
    draw();
  }
  function start(isBack) {
    if (!trace) return;
    const list = script();
    played = { list, at: isBack ? list.findIndex((one) => one.isBack) - 1 : -1 };
    resume();
  }
  function resume() {
    clearInterval(timer);
    timer = setInterval(() => step(1), 1500);
    play.textContent = "Pause";
    step(1);
  }
  function playOrPause() {
    if (timer) pause();
    else if (played && played.at < played.list.length - 1) resume();
    else start(false);
  }
  const play = h("button", { type: "button", id: "play", class: "strong", onclick: playOrPause }, "Play");
  const control = (text, id, onclick, name) => h("button", { type: "button", id, onclick, "aria-label": name, title: name }, text);

  stage.append(
    h("p", { class: "lead" }, "Choose a node: its sum, with the numbers in it. Choose an edge: what its weight has to do with the loss. Play the deltas back."),
    h("section", { class: "card controls" }, chooser.box),
    h("div", { class: "columns wide-left" },
      h("section", { class: "card" },
        h("div", { class: "row spread" },
          h("div", { class: "row" }, play, control("Deltas back", "play-back", () => start(true)), control("\u2039", "previous", () => { pause(); step(-1); }, "Previous step"), control("\u203a", "next", () => { pause(); step(1); }, "Next step"), control("Stop", "stop", stop)),
          h("p", { class: "loss" }, "C = ", loss)),
        h("div", { class: "row" }, choice("Nodes and edges show", "shows", [["a", "a and W"], ["delta", "\u03b4 and \u2202C/\u2202W"]], view.isBack ? "delta" : "a", (value) => { view.isBack = value === "delta"; stop(); draw(); context.save(); })),
        picture, playing),
      h("section", { class: "card" },
        h("div", { class: "row spread" }, choice("Written with", "way", [["indices", "indices"], ["matrices", "matrices"]], view.way, (value) => { view.way = value; explain(); }), slot), panel)),
  );
  update();
  const unseen = onWidth(picture, draw);
  return () => { pause(); unseen(); };
}

function sum(terms, { l, k: j }, count, digits) {
  const told = (v) => fmt(v, digits);
  return h("div", { class: "sum", role: "group", "aria-label": "the sum so far" },
    tex(`\\sum_k \\delta^{${l + 1}}_k W^{${l + 1}}_{k,${j}}`),
    terms.map((one, i) => h("span", { class: "term" }, i ? " + " : " = ",
      h("span", { class: "delta", data: { q: "delta", l: l + 1, k: one.k } }, told(one.delta)), "\u00b7",
      h("span", { class: "W", data: { q: "W", l: l + 1, k: one.k, j } }, told(one.W).startsWith("\u2212") ? `(${told(one.W)})` : told(one.W)))),
    terms.length < count ? " + \u2026" : null,
    h("p", {}, "so far ", h("strong", { data: { q: "partial" } }, told(terms.at(-1).sum))));
}

function matrices(trace, l, digits) {
  const L = trace.sizes.length - 1;
  const told = (v) => fmt(v, digits).replaceAll("\u2212", "-");
  const wrap = (text, mark) => `\\htmlClass{${mark}}{${text}}`;
  const column = (values, mark) => wrap(`\\begin{bmatrix}${values.map(told).join("\\\\")}\\end{bmatrix}`, mark);
  const grid = (rows, mark) => wrap(`\\begin{bmatrix}${rows.map((row) => row.map(told).join("&")).join("\\\\")}\\end{bmatrix}`, mark);
  const turned = (rows) => rows[0].map((_, j) => rows.map((row) => row[j]));
  const lines = [
    `z^{${l}} = W^{${l}} a^{${l - 1}} + b^{${l}} = ${grid(trace.W[l - 1], "W")}${column(trace.a[l - 1], "a")}+${column(trace.b[l - 1], "b")} = ${column(trace.z[l], "z")}`,
    `a^{${l}} = \\sigma(z^{${l}}) = ${column(trace.a[l], "a")}`,
    l === L
      ? `\\delta^{${l}} = \\frac{\\partial C}{\\partial z^{${l}}} = ${column(trace.delta[l], "delta")}`
      : `\\delta^{${l}} = \\sigma'(z^{${l}}) \\odot (W^{${l + 1}})^{\\mathsf T} \\delta^{${l + 1}} = ${column(trace.slope[l], "z")}\\odot${grid(turned(trace.W[l]), "W")}${column(trace.delta[l + 1], "delta")} = ${column(trace.delta[l], "delta")}`,
    `\\frac{\\partial C}{\\partial W^{${l}}} = \\delta^{${l}} (a^{${l - 1}})^{\\mathsf T} = ${column(trace.delta[l], "delta")}${grid([trace.a[l - 1]], "a")} = ${grid(trace.dW[l], "dW")}`,
  ];
  return h("div", { class: "matrices" }, h("h2", {}, `layer ${l}`), lines.map((one, i) => h("div", { class: "lines", tabindex: "0", role: "group", "aria-label": `${["z", "a", "delta", "dC/dW"][i]} of layer ${l}, with matrices` }, tex(one, true))));
}
