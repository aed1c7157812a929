// The network that Fully connected and Check share, and the fields that choose it.
import { choice, entry, h, numbers, offer } from "./dom.js";

export const START = { sizes: [2, 3, 2], activation: "sigmoid", output: "sigmoid", loss: "squared_error", dtype: "float64", seed: 1, W: null, b: null, x: null, y: null };

// Forget what no longer fits the sizes.
export function anew(net) {
  Object.assign(net, { W: null, b: null, x: null, y: null });
}

export function asked(net, digits) {
  const { W, b, x, y, ...rest } = net;
  return { ...rest, digits, ...(W ? { W, b } : {}), ...(x ? { x } : {}), ...(y ? { y } : {}) };
}

export function fields(net, context, update) {
  const changed = (change) => (value) => {
    const before = structuredClone(net);
    change(value);
    update(() => Object.assign(net, before));
  };
  const { losses, activations } = context.options;
  const typed = (name) => changed((value) => { net[name] = value.trim() ? numbers(value) : null; });
  const box = h("div", { class: "row" },
    entry("Sizes", "sizes", "", changed((value) => { net.sizes = numbers(value); anew(net); }), "nodes of each layer, as in 2 3 2"),
    choice("Activation", "activation", activations, net.activation, changed((value) => { net.activation = value; })),
    choice("Loss", "loss", Object.keys(losses), net.loss, changed((value) => {
      net.loss = value;
      if (!losses[value].includes(net.output)) [net.output] = losses[value];
      net.y = null;
      fill();
    })),
    choice("Output", "output", [], net.output, changed((value) => { net.output = value; })),
    choice("Type", "dtype", ["float64", "float32"], net.dtype, changed((value) => { net.dtype = value; })),
    entry("x", "x", "", typed("x"), "the inputs; empty for others"),
    entry("y", "y", "", typed("y"), "the targets; empty for 1 0 0"),
    h("div", { class: "field" }, h("span", { class: "label" }, "Weights"), h("button", { type: "button", id: "in-seed", onclick: () => { net.seed += 1; changed(() => { net.W = null; net.b = null; })(); } }, "Draw others")),
  );
  const field = (name) => box.querySelector(`#in-${name}`);
  // As the network is; what is being typed stays, and so does the keyboard.
  function fill() {
    const busy = box.getRootNode().activeElement;
    for (const name of ["sizes", "x", "y"]) if (field(name) !== busy) field(name).value = (net[name] ?? []).join(" ");
    for (const name of ["activation", "loss", "dtype"]) field(name).value = net[name];
    offer(field("output"), losses[net.loss] ?? [], net.output);
  }
  fill();
  return { box, fill };
}
