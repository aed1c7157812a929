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

function remembered() {
  try {
    const state = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    return state && typeof state === "object" && !Array.isArray(state) ? state : {};
  } catch { return {}; }
}

// `only`: one view of one network whose answers are recorded; nothing in it can be changed.
export async function mount(root, ask, { view, plain, only }) {
  const state = plain ? { view, net: only } : remembered();
  if (!VIEWS.some(([name]) => name === state.view)) state.view = "chain";
  if (![3, 4, 5, 6, 8].includes(state.digits)) state.digits = 4;
  const alert = h("p", { class: "alert", role: "alert", hidden: true });
  const stage = h("main", { id: "stage", tabindex: "-1" });
  const tabs = new Map();
  let leave = null;
  const context = {
    ask, state, root, plain,
    save() {
      if (plain) return;
      const text = `#${encodeURIComponent(JSON.stringify(state))}`;
      if (text.length < 60000) history.replaceState(null, "", text);
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
    state.view = name;
    context.save();
    for (const [one, tab] of tabs) {
      tab.setAttribute("aria-selected", String(one === name));
      tab.tabIndex = one === name ? 0 : -1;
    }
    stage.replaceChildren();
    if (!only) stage.setAttribute("aria-labelledby", `tab-${name}`);
    stage.dataset.view = name;
    leave = VIEWS.find(([one]) => one === name)[2](stage, context);
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
    only ? "" : list, alert, stage,
    h("footer", {}, h("p", {},
      "Colours: ", h("b", { class: "W" }, "W"), ", ", h("b", { class: "b" }, "b"), ", ", h("b", { class: "z" }, "z"), ", ",
      h("b", { class: "a" }, "a"), ", ", h("b", { class: "delta" }, "\u03b4 and \u2202C/\u2202x"), ", ", h("b", { class: "y" }, "y"),
      ". In W\u02e1 the first index is the receiving node, the second the emitting one; nodes count from 0. Dashed lines and the second colour are negative.")),
  );
  show(state.view);
}
