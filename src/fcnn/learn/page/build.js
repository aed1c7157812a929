// Build yours: six functions of your own, compared with the engine.
import { h, tex } from "./dom.js";

export function build(stage, context) {
  const list = h("ol", { class: "exercises" });
  stage.append(
    h("p", { class: "lead" }, "Six functions, and you have built a neural network. Write them in a file or a notebook of your own; the engine names the first number that is wrong, and by how much."),
    h("section", { class: "card" }, h("h2", {}, "In a file"),
      h("pre", {}, h("code", {}, "fcnn learn --check mine.py")),
      h("h2", {}, "In a notebook"),
      h("pre", {}, h("code", {}, "import fcnn.learn\nfcnn.learn.check(\"forward\", forward)")),
      h("button", { type: "button", id: "starter", class: "strong", onclick: starter }, "A file to begin with")),
    list,
  );
  let exercises = [];
  function starter() {
    const text = `"""Six functions; check them with: fcnn learn --check mine.py"""\n\nimport numpy as np\n\n${exercises.map((one) =>
      `\ndef ${one.signature}:\n    """${one.task}"""\n    raise NotImplementedError\n`).join("\n")}`;
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/x-python" })), download: "mine.py" });
    link.click();
  }
  context.ask("exercises", {}).then((found) => {
    exercises = found.exercises;
    list.replaceChildren(...exercises.map((one) => h("li", { class: "card exercise" },
      h("h2", {}, h("code", {}, one.signature)), h("div", { class: "lines", tabindex: "0", role: "group", "aria-label": `the formula of ${one.name}` }, tex(one.formula, true)), h("p", {}, one.task),
      h("pre", {}, h("code", {}, `fcnn.learn.check("${one.name}", ${one.name})`)))));
  }, context.failed);
  return () => {};
}
