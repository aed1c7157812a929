// Elements, numbers and formulas: what all views share.
import katex from "./vendor/katex.js";

const SVG = "http://www.w3.org/2000/svg";

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

export const h = (tag, props, ...children) => filled(document.createElement(tag), props, children);
export const s = (tag, props, ...children) => filled(document.createElementNS(SVG, tag), props, children);

// New children for a box; what had the keyboard in it keeps it, if there is such a thing still.
export function redraw(box, ...children) {
  const had = box.getRootNode().activeElement;
  const key = had && box.contains(had) ? keyOf(had) : null;
  box.replaceChildren(...children);
  if (key) box.querySelector(key)?.focus({ preventScroll: true });
}

function keyOf(one) {
  if (one.id) return `#${CSS.escape(one.id)}`;
  const name = ["node", "edge", "key"].find((each) => one.dataset[each] !== undefined);
  return name ? `[data-${name}="${CSS.escape(one.dataset[name])}"]` : null;
}

// Tell a change of a box's width, not of its height, which what is drawn there decides.
export function onWidth(box, then) {
  let before = box.clientWidth;
  const seen = new ResizeObserver(() => {
    if (box.clientWidth === before) return;
    before = box.clientWidth;
    then();
  });
  seen.observe(box);
  return () => seen.disconnect();
}

// The significant digits and the power of ten; what lies in the middle goes to the even digit.
function rounded(size, digits) {
  const [all, power] = size.toExponential(60).replace(".", "").split("e");
  const head = all.slice(0, digits);
  if (/^50*$/.test(all.slice(digits)) && Number(head.at(-1)) % 2 === 0) return [head, Number(power)];
  const [near, now] = size.toExponential(digits - 1).replace(".", "").split("e");
  return [near, Number(now)];
}

// A number with so many significant digits, as Python's %g writes it; a real minus sign.
export function fmt(value, digits) {
  if (value === null || value === undefined || Number.isNaN(value)) return "not finite";
  if (value === 0) return "0";
  const [head, exponent] = rounded(Math.abs(value), digits);
  const short = (whole, part) => (part.replace(/0+$/, "") ? `${whole}.${part.replace(/0+$/, "")}` : whole);
  let text;
  if (exponent < -4 || exponent >= digits) text = `${short(head[0], head.slice(1))}e${exponent}`;
  else if (exponent < 0) text = short("0", "0".repeat(-exponent - 1) + head);
  else text = short(head.slice(0, exponent + 1), head.slice(exponent + 1));
  if (value < 0) text = `-${text}`;
  return text.replaceAll("-", "\u2212");
}

const allowed = (context) => context.command === "\\htmlClass";

export function tex(latex, display = false) {
  const span = h("span", { class: display ? "tex display" : "tex" });
  katex.render(latex, span, { displayMode: display, trust: allowed, strict: "ignore", throwOnError: true });
  return span;
}

export function slider(label, { min, max, step, value, onchange, text, name }) {
  const id = `in-${name}`;
  const number = h("input", { type: "number", min, max, step, value, id: `${id}-n`, "aria-label": `${label}, as a number`, class: "num" });
  // Of a label that is a formula a reader of a screen is told nothing.
  const range = h("input", { type: "range", min, max, step, value, id, "aria-label": label });
  const take = (from, to) => () => {
    const now = Number(from.value);
    if (from.value === "" || !Number.isFinite(now)) return;
    to.value = String(now);
    onchange(now);
  };
  range.addEventListener("input", take(range, number));
  number.addEventListener("input", take(number, range));
  return h("div", { class: "slider" }, h("label", { for: id }, text || label), range, number);
}

export function choice(label, name, options, value, onchange) {
  const select = h("select", { id: `in-${name}`, onchange: () => onchange(select.value) });
  offer(select, options, value);
  return h("div", { class: "field" }, h("label", { for: `in-${name}` }, label), select);
}

// A value that is not among them, as an address may have it, is shown as it is.
export function offer(select, options, value) {
  const pairs = options.map((one) => (Array.isArray(one) ? one : [one, one]));
  if (!pairs.some(([key]) => key === value)) pairs.push([value, value]);
  select.replaceChildren(...pairs.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
}

export function entry(label, name, value, onchange, hint) {
  const input = h("input", { id: `in-${name}`, value, title: hint, spellcheck: "false", autocomplete: "off",
    onchange: () => onchange(input.value) });
  return h("div", { class: "field" }, h("label", { for: `in-${name}` }, label), input);
}

// Lists whose length is whoever's choice.
const OPEN = ["sizes", "hidden", "chosen"];

function isLike(name, own, value) {
  if (own === null) return value === null || Array.isArray(value);
  if (Array.isArray(own)) return Array.isArray(value) && (OPEN.includes(name) || value.length === own.length) && value.every((one) => isLike("", own[0], one));
  return typeof value === typeof own && (typeof value !== "number" || Number.isFinite(value));
}

// What a view remembers: its own beginning, with what an address says instead.
export function restored(begin, said, name) {
  const result = structuredClone(begin);
  if (said === undefined) return result;
  if (said === null || typeof said !== "object") throw new Error(`address: ${name}: expected settings, got ${JSON.stringify(said).slice(0, 60)}`);
  for (const [key, value] of Object.entries(said)) {
    if (!(key in begin)) throw new Error(`address: ${name}: there is no setting ${key.slice(0, 60)}`);
    if (!isLike(key, begin[key], value)) throw new Error(`address: ${name}: ${key} is like ${JSON.stringify(begin[key])}, got ${JSON.stringify(value).slice(0, 60)}`);
    result[key] = value;
  }
  return result;
}

// Of many requests in a row the answer to the last alone counts.
export function latest(ask) {
  let running = false;
  let waiting = null;
  return async function again(make, then, failed) {
    waiting = { make, then, failed };
    if (running) return;
    running = true;
    while (waiting) {
      const now = waiting;
      waiting = null;
      try {
        const answers = await Promise.all(now.make().map(([name, request]) => ask(name, request)));
        if (!waiting) now.then(...answers);
      } catch (error) {
        if (!waiting) now.failed(error);
      }
    }
    running = false;
  };
}

// W^1_0,2 with small digits, for places that no formula fits.
const small = (text, at) => text.replace(/\d/g, (digit) => (at === "up" ? "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079" : "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089")[Number(digit)]);
export const pretty = (name) => name.replace(/\^(\d+)_(.*)$/, (_, l, at) => small(l, "up") + small(at, "down"));

// What is no number stays text: whoever is asked refuses it by name.
export const numbers = (text) => text.trim().split(/[\s,;]+/).filter(Boolean).map((one) => (Number.isFinite(Number(one)) ? Number(one) : one));
