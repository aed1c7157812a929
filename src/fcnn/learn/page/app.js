// The frame of the page: views, what they remember, and the address that shares it.
import { chain } from "./chain.js";
import { full } from "./full.js";
import { check } from "./check.js";
import { descend } from "./descend.js";
import { playground } from "./playground.js";
import { build } from "./build.js";
import { choice, h } from "./dom.js";

const VIEWS = [
  ["chain", "Chain", chain], ["full", "Fully connected", full], ["check", "Check", check],
  ["descend", "Descend", descend], ["playground", "Playground", playground], ["build", "Build yours", build],
];

// What the address says, and what of it cannot be read.
function remembered() {
  const text = location.hash.slice(1);
  if (!text) return [{}, ""];
  try {
    const state = JSON.parse(decodeURIComponent(text));
    if (state && typeof state === "object" && !Array.isArray(state)) {
      return [state, VIEWS.some(([name]) => name === state.view) ? "" : `address: there is no view ${JSON.stringify(state.view)?.slice(0, 60) ?? "in it"}`];
    }
  } catch { /* half of an address, most likely */ }
  return [{}, "address: what stands behind # is not whole"];
}

// `only`: one view of one network whose answers are recorded; nothing in it can be changed.
export async function mount(root, ask, { view, plain, only }) {
  const [state, problem] = plain ? [{ view, net: only }, ""] : remembered();
  if (!VIEWS.some(([name]) => name === state.view)) state.view = "chain";
  if (![3, 4, 5, 6, 8].includes(state.digits)) state.digits = 4;
  const alert = h("p", { class: "alert", role: "alert", hidden: true });
  // Of the address, which no answer takes back.
  const note = h("p", { class: "address-note", role: "alert", hidden: true });
  function noted(text) {
    note.textContent = text && `${text}; what it was set to is left out`;
    note.hidden = !text;
  }
  const stage = h("main", { id: "stage", tabindex: "-1" });
  const tabs = new Map();
  let leave = null;
  const context = {
    ask, state, root, plain,
    // Whether the address holds it all: a large table it does not.
    save() {
      if (plain) return false;
      const text = `#${encodeURIComponent(JSON.stringify(state))}`;
      if (text.length >= 60000) return false;
      history.replaceState(null, "", text);
      return true;
    },
    failed(error) {
      alert.textContent = error.message;
      alert.hidden = false;
    },
    fine() { alert.hidden = true; },
  };
  context.options = await ask("options", {});

  function show(name) {
    leave?.();
    leave = null;
    context.fine();
    noted("");
    state.view = name;
    context.save();
    for (const [one, tab] of tabs) {
      tab.setAttribute("aria-selected", String(one === name));
      tab.tabIndex = one === name ? 0 : -1;
    }
    stage.replaceChildren();
    if (!only) stage.setAttribute("aria-labelledby", `tab-${name}`);
    stage.dataset.view = name;
    const begin = VIEWS.find(([one]) => one === name)[2];
    try {
      leave = begin(stage, context);
    } catch (error) {
      noted(error.message);
      for (const key of [name, "net"]) delete state[key];
      stage.replaceChildren();
      leave = begin(stage, context);
    }
  }

  const list = h("div", { role: "tablist", "aria-label": "Views", class: "tabs" }, VIEWS.map(([name, title], i) => {
    const tab = h("button", {
      role: "tab", id: `tab-${name}`, type: "button", "aria-controls": "stage",
      onclick: () => show(name),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        const to = step ? (i + step + VIEWS.length) % VIEWS.length : { Home: 0, End: VIEWS.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        show(VIEWS[to][0]);
        tabs.get(VIEWS[to][0]).focus();
      },
    }, title);
    tabs.set(name, tab);
    return tab;
  }));
  const digits = choice("Digits", "digits", [3, 4, 5, 6, 8].map((n) => [String(n), String(n)]), String(state.digits), (value) => {
    state.digits = Number(value);
    show(state.view);
  });
  if (!only) stage.setAttribute("role", "tabpanel");
  root.classList.toggle("recorded", Boolean(only));
  root.replaceChildren(
    only ? "" : h("header", {}, h("div", { class: "brand" }, h("h1", {}, "Backpropagation"), h("p", {}, "every number computed by the engine itself")), digits),
    only ? "" : list, note, alert, stage,
    h("footer", {}, h("p", {},
      "Colours: ", h("b", { class: "W" }, "W"), ", ", h("b", { class: "b" }, "b"), ", ", h("b", { class: "z" }, "z"), ", ",
      h("b", { class: "a" }, "a"), ", ", h("b", { class: "delta" }, "\u03b4 and \u2202C/\u2202x"), ", ", h("b", { class: "y" }, "y"),
      ". In W\u02e1 the first index is the receiving node, the second the emitting one; nodes count from 0. Dashed lines and the second colour are negative.")),
  );
  show(state.view);
  if (problem) noted(problem);
  // Another address of the same page, as whoever is sent one pastes it: nothing is loaded for it.
  if (!plain) addEventListener("hashchange", () => location.reload());
}
