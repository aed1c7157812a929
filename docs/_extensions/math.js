// Formulas of a page, written as TeX by Sphinx: \( ... \) within a line, \[ ... \] on their own.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(".math")) {
    const text = element.textContent.trim();
    const display = text.startsWith("\\[");
    if (!display && !text.startsWith("\\(")) continue;
    katex.render(text.slice(2, -2), element, { displayMode: display, output: "mathml" });
  }
});
