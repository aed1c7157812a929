// The check of a gradient: nudge a weight, and compare the quotient with what went back.
import { choice, fmt, h, latest, onWidth, pretty, redraw, restored } from "./dom.js";
import { diagram, ofTrace } from "./diagram.js";
import { START, asked, fields } from "./network.js";

const BREAKS = [["", "nothing: the engine's gradient"], ["sigma", "leave out \u03c3\u2032"], ["transpose", "transpose W"], ["sum", "forget the sum over receiving nodes"]];

export function check(stage, context) {
  const { state } = context;
  const net = state.net = restored(START, state.net, "net");
  const view = state.check = restored({ parameter: 0, power: -4, broken: "" }, state.check, "check");
  const again = latest(context.ask);
  const verdict = h("p", { class: "verdict", role: "status" });
  const one = h("div", { class: "nudge" });
  const picture = h("div", { class: "picture" });
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "all weights and biases" });
  const epsilon = h("span", { class: "value" });

  const place = (l, k, j) => {
    let begin = 0;
    for (let at = 1; at < l; at += 1) begin += (net.sizes[at - 1] + 1) * net.sizes[at];
    return begin + (j === undefined ? net.sizes[l - 1] * net.sizes[l] + k : j * net.sizes[l] + k);
  };
  function update(undo) {
    context.save();
    const base = asked(net, state.digits);
    again(() => [["trace", base], ["check", { ...base, parameter: view.parameter, epsilon: 10 ** view.power, broken: view.broken }]], (trace, found) => {
      context.fine();
      Object.assign(net, { W: trace.W, b: trace.b, x: trace.x });
      if (net.loss !== "cross_entropy" || net.y) net.y = trace.y;
      chooser.fill();
      show(trace, found);
    }, (error) => {
      if (view.parameter > 0 && /parameter/.test(error.message)) { view.parameter = 0; update(undo); return; }
      undo?.();
      chooser.fill();
      context.failed(error);
    });
  }
  let last = null;
  function show(trace, found) {
    last = [trace, found];
    const told = (v) => fmt(v, state.digits);
    const fine = (v) => fmt(v, 10);
    const [name, up, down, quotient, gradient] = found.rows[found.parameter];
    verdict.className = `verdict ${found.passed ? "right" : "wrong"}`;
    verdict.textContent = `${found.passed ? "\u2713 The check passes" : "\u2717 The check fails"}: the relative error is ${fmt(found.error, 3)}, at most ${fmt(found.limit, 3)} is expected.`;
    epsilon.textContent = fmt(10 ** view.power, 3);
    const cell = (label, value, mark, data) => h("div", { class: `nudged ${mark}` }, h("span", { class: "label" }, label), h("span", { class: "value", data }, value));
    redraw(one,
      h("h2", {}, `${pretty(name)} = ${told(found.weight)}`),
      h("div", { class: "nudges" },
        cell("C(W + \u03b5)", fine(up), "", { q: "up" }), cell("C(W \u2212 \u03b5)", fine(down), "", { q: "down" }),
        cell("(C(W + \u03b5) \u2212 C(W \u2212 \u03b5)) / 2\u03b5", fine(quotient), "z", { q: "quotient" }),
        cell(view.broken ? "broken backpropagation" : "backpropagation", fine(gradient), "dW", { q: "gradient", i: found.parameter }),
        cell("difference", fmt(quotient === null ? null : quotient - gradient, 3), "delta", { q: "difference" })));
    const isWrong = ([, , , q, g]) => q === null || Math.abs(q - g) > found.limit * (Math.abs(q) + Math.abs(g)) + 1e-3 * found.limit;
    redraw(table, h("table", {},
      h("thead", {}, h("tr", {}, ["", "quotient", view.broken ? "broken" : "backpropagation", ""].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, found.rows.map((row, i) => h("tr", { class: `${i === found.parameter ? "chosen " : ""}${isWrong(row) ? "wrong" : ""}` },
        h("th", { scope: "row" }, h("button", { type: "button", class: "plain", data: { key: `row ${i}` }, onclick: () => { view.parameter = i; update(); } }, pretty(row[0]))),
        h("td", { data: { q: "quotient", i } }, told(row[3])), h("td", { data: { q: "gradient", i } }, told(row[4])),
        h("td", {}, isWrong(row) ? "\u2717 differs" : "\u2713"))))));
    const shown = ofTrace(trace, state.digits, false);
    redraw(picture, diagram(picture.clientWidth || 340, trace.sizes, {
      ...shown, title: "the network; choose an edge or a node's bias",
      choose: (l, k, j) => { if (l) { view.parameter = place(l, k, j); update(); } },
      chosen: (l, k, j) => l > 0 && place(l, k, j) === found.parameter,
      lit: (l, k, j) => isWrong(found.rows[place(l, k, j)]) && Boolean(view.broken),
    }));
  }
  const chooser = fields(net, context, update);
  const power = h("input", { type: "range", id: "in-epsilon", min: -12, max: 0, step: 1, value: view.power, oninput: () => { view.power = Number(power.value); update(); } });
  stage.append(
    h("p", { class: "lead" }, "Who says that the gradient is right? Nudge one weight by \u03b5, run the network twice, and divide. Then break the recursion and watch the check find it."),
    h("section", { class: "card controls" }, chooser.box,
      h("div", { class: "row" },
        choice("Break it", "broken", BREAKS, view.broken, (value) => { view.broken = value; update(); }),
        h("div", { class: "field" }, h("label", { for: "in-epsilon" }, "\u03b5 = ", epsilon), power))),
    verdict,
    h("div", { class: "columns" }, h("section", { class: "card" }, picture, one), h("section", { class: "card" }, h("h2", {}, "All of them"), table)),
    h("p", { class: "note" }, "A large \u03b5 measures a bend, a tiny one the last digits of C, of which float32 has few: there try 0.01, and 10\u207b\u2076."),
  );
  update();
  return onWidth(picture, () => { if (last) show(...last); });
}
