// The explanation of a node: formulas with the numbers in them.
import { h, tex } from "./dom.js";

const NAMES = { z: "input sum", a: "activation", C: "cost", delta: "delta", dx: "slope of the input", dW: "slope of the weight", db: "slope of the bias" };

// Whose "Why?" is open: what is drawn anew stays so.
const asked = new Set();

export function steps(told, only) {
  return h("ol", { class: "steps" }, told.steps.filter((one) => !only || only.includes(one.name)).map((one) =>
    h("li", { class: `step is-${one.name}`, data: { text: one.text, name: one.name } },
      h("span", { class: "tag" }, NAMES[one.name]),
      h("div", { class: "lines", tabindex: "0", role: "group", "aria-label": one.text },
        tex(`${one.symbol} = ${one.general}`),
        one.numbers === one.result ? null : h("span", { class: "numbers" }, tex(`= ${one.numbers}`)),
        h("span", { class: "result" }, tex(`= ${one.result}`))),
      one.why ? h("details", { open: asked.has(one.name), ontoggle: (event) => asked[event.target.open ? "add" : "delete"](one.name) },
        h("summary", { data: { key: `why ${one.symbol}` }, "aria-label": `Why? ${one.text.split(" = ")[0]}` }, "Why?"), h("p", {}, one.why)) : null)));
}
