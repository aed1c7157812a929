"""The page in a notebook: the same modules, answered by the kernel instead of the server."""

import base64
import json
import re
from typing import Any

from fcnn import _validation as check
from fcnn.learn._requests import answer
from fcnn.learn._server import page_files

VIEWS = ("chain", "full", "check", "descend", "playground", "build")
_FACE = re.compile(r"@font-face\{.*?\}")
_FONT = re.compile(r"url\((fonts/[\w-]+\.woff2)\)")
_IMPORT = re.compile(r'from\s*"\./([\w./-]+)"')


def bundle() -> str:
    """Return the page's modules as one, which a notebook loads."""
    return modules() + _WIDGET


def modules() -> str:
    """Return JavaScript that loads the page's modules: `app`, a promise of app.js, and `shown`.

    Each becomes the address of a blob, after those that it imports, whose names in it are replaced.
    """
    page = page_files()
    files = {name: body.decode() for name, body in page.items() if name.endswith(".js")}
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        for one in imported(name):
            visit(one)
        order.append(name)

    def imported(name: str) -> list[str]:
        folder = name.rpartition("/")[0]
        return [f"{folder}/{one}" if folder else one for one in _IMPORT.findall(files[name])]

    visit("app.js")

    def font(match: re.Match[str]) -> str:
        body = base64.b64encode(page[f"vendor/{match[1]}"]).decode()
        return f"url(data:font/woff2;base64,{body})"

    katex = page["vendor/katex.css"].decode()
    faces = "".join(_FONT.sub(font, face) for face in _FACE.findall(katex))
    css = _FACE.sub("", katex) + page["style.css"].decode()
    return (
        f"const sources = {json.dumps([[name, files[name]] for name in order])};\n"
        f"const css = {json.dumps(css)};\nconst faces = {json.dumps(faces)};\n{_MODULES}"
    )


_MODULES = """
const urls = {};
for (const [name, text] of sources) {
  const whole = text.replace(/from\\s*"\\.\\/([\\w./-]+)"/g, (_, path) => `from "${urls[path]}"`);
  urls[name] = URL.createObjectURL(new Blob([whole], { type: "text/javascript" }));
}
const app = import(urls["app.js"]);
// Those within a shadow are not heard of.
if (!document.getElementById("fcnn-faces")) {
  const style = document.createElement("style");
  style.id = "fcnn-faces";
  style.textContent = faces;
  document.head.append(style);
}
// Light or dark as the text around it: a notebook has a theme that is not the system's.
function follow(el, body) {
  const pencil = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const look = () => {
    pencil.fillStyle = getComputedStyle(el).color;
    pencil.fillRect(0, 0, 1, 1);
    const [red, green, blue] = pencil.getImageData(0, 0, 1, 1).data;
    body.style.colorScheme = 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? "dark" : "light";
  };
  look();
  const themes = new MutationObserver(look);
  for (const one of [document.documentElement, document.body]) {
    themes.observe(one, { attributes: true });
  }
  themes.observe(document.head, { childList: true });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", look);
  return () => { themes.disconnect(); system.removeEventListener("change", look); };
}
// The page within an element, with a style of its own.
async function shown(el, ask, options) {
  const root = el.attachShadow ? el.attachShadow({ mode: "open" }) : el;
  const style = document.createElement("style");
  style.textContent = css;
  const body = document.createElement("div");
  body.className = "fcnn";
  root.append(style, body);
  const unfollow = follow(el, body);
  (await app).mount(body, ask, { ...options, plain: true });
  return unfollow;
}
"""

_WIDGET = """
function render({ model, el }) {
  const waiting = new Map();
  let next = 0;
  model.on("msg:custom", (message) => {
    const done = waiting.get(message.id);
    if (!done) return;
    waiting.delete(message.id);
    if (message.error) done.reject(new Error(message.error));
    else done.resolve(message.result);
  });
  const ask = (name, request) => new Promise((resolve, reject) => {
    const id = next++;
    waiting.set(id, { resolve, reject });
    model.send({ id, name, request });
  });
  return shown(el, ask, { view: model.get("view") });
}
export default { render };
"""


def make_widget(view: str) -> Any:
    """Return the widget; see `fcnn.learn.widget`."""
    check.as_choice("view", view, VIEWS)
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise ImportError(
            "the page in a notebook needs anywidget: pip install fcnn[notebook]"
        ) from None

    class LearnWidget(anywidget.AnyWidget):  # type: ignore[misc]  # has no types where it is absent
        """The page of ``fcnn learn``."""

        _esm = bundle()
        view = traitlets.Unicode().tag(sync=True)

        def __init__(self) -> None:
            super().__init__(view=view)
            self.on_msg(_reply)

    return LearnWidget()


def _reply(widget: Any, message: Any, _buffers: Any) -> None:
    """Answer one request of the page."""
    number = message.get("id") if isinstance(message, dict) else None
    try:
        result = answer(message["name"], message["request"])
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        widget.send({"id": number, "error": str(error)})
    else:
        widget.send({"id": number, "result": result})
