"""The site of docs/: every public name is in it, and what is built needs nothing from elsewhere.

`make site` builds it into build/site. Tests of what is built look there, or where FCNN_SITE says.
"""

import html.parser
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from browser import ENGINES
from browser import browser as browser_of
from documents import ROOT
from test_learn_page import FULL, check_formulas, check_numbers, shown, traced
from test_namespaces import MODULES

import fcnn

API = ROOT / "docs" / "api"
SITE = Path(os.environ.get("FCNN_SITE", ROOT / "build" / "site"))

pytestmark = pytest.mark.skipif(not API.is_dir(), reason="not the repository: files are left out")


def documented():
    """Return the full names that docs/api says something of."""
    found = set()
    for page in API.glob("*.rst"):
        module = ""
        for line in page.read_text("utf-8").splitlines():
            if match := re.match(r"\.\. (current|auto)module:: (\S+)", line):
                module = match[2]
                found |= {module} if match[1] == "auto" else set()
            elif match := re.match(r"\.\. (?:auto|py:)\w+:: (\S+)", line):
                name = match[1]
                found.add(name if name.startswith("fcnn.") else f"{module}.{name}")
    return found


def ways_to(name):
    """Return the names that something is known by: that of its home, and those of others."""
    module, _, last = name.rpartition(".")
    value = getattr(importlib.import_module(module), last)
    ways = {name}
    if last in fcnn.__all__ and getattr(fcnn, last) is value:
        ways.add(f"fcnn.{last}")
    home = getattr(value, "__module__", None)
    if isinstance(home, str):
        ways.add(f"{home}.{last}")
    return ways


# Public for whoever builds on them, and of no use to others.
NOT_SHOWN = {"fcnn.threads.resolve"}


@pytest.mark.parametrize("module", ["fcnn", *MODULES])
def test_every_public_name_is_in_the_api(module):
    if module == "fcnn.sklearn":
        pytest.importorskip("sklearn")
    found = documented()
    for one in importlib.import_module(module).__all__:
        name = f"{module}.{one}"
        if inspect.ismodule(getattr(importlib.import_module(module), one)):
            shown = any(other.startswith(f"{name}.") for other in found)
            assert shown or name in found or one == "errors", name
        elif name not in NOT_SHOWN:
            assert ways_to(name) & found, f"docs/api does not mention {name}"


def test_every_page_is_in_the_contents():
    contents = (ROOT / "docs" / "index.md").read_text("utf-8").splitlines()
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert not pages - {*contents}, "a page of docs/ that no contents of docs/index.md name"
    api = (API / "index.rst").read_text("utf-8").split()
    assert not {path.stem for path in API.glob("*.rst")} - {"index"} - {*api}


def test_every_method_of_a_network_is_in_the_api():
    page = (API / "network.rst").read_text("utf-8")
    shown = set(re.findall(r"auto\w+:: Network\.(\w+)", page))
    public = {name for name in dir(fcnn.Network) if not name.startswith("_")}
    assert public == shown - {"__call__"}


def test_nothing_is_documented_that_is_not_there():
    for name in documented():
        if name == "fcnn.names.Name" or name.startswith("fcnn.sklearn"):
            continue
        value, path = fcnn, name.split(".")[1:]
        for part in path:
            value = getattr(value, part)


# --- What was built -------------------------------------------------------------------------------

built = pytest.mark.skipif(
    not (SITE / "index.html").is_file(), reason="the site is not built (make site)"
)


class Page(html.parser.HTMLParser):
    """What a page loads, what it links to, and what can be linked to in it."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.ids, self.code = [], [], set(), []
        self.is_code = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values.get("id"), values.get("name")} - {None}
        self.is_code = tag in ("script", "style")
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and "href" in values and values.get("rel") not in ("next", "prev"):
            self.loads.append(values["href"])
        for name in ("src", "srcset", "data", "poster"):
            if tag != "a" and values.get(name):
                self.loads += [part.split()[0] for part in values[name].split(",")]
        if "style" in values:
            self.code.append(values["style"])

    def handle_endtag(self, tag):
        self.is_code = False

    def handle_data(self, data):
        if self.is_code:
            self.code.append(data)


@pytest.fixture(scope="module")
def html_pages():
    return {path: Page(path) for path in SITE.rglob("*.html")}


ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
LOADED_BY_CODE = re.compile(
    r"""(?:import\s*\(?|fetch\s*\(|src\s*=|url\(|@import)\s*["'`]?\s*(?:https?:)?//[\w]""",
    re.IGNORECASE,
)


@built
def test_nothing_is_loaded_from_elsewhere(html_pages):
    assert len(html_pages) > 50
    for path, page in html_pages.items():
        for load in page.loads:
            assert not ELSEWHERE.match(load), f"{path} loads {load}"
        for code in page.code:
            assert not LOADED_BY_CODE.search(code), path
    for path in SITE.rglob("*"):
        if path.suffix in (".css", ".js", ".mjs", ".svg"):
            match = LOADED_BY_CODE.search(path.read_text("utf-8", "replace"))
            assert not match, f"{path}: {match[0]}"


def test_what_is_loaded_from_elsewhere_is_seen(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        '<link href="//cdn.example/x.css"><img srcset="https://a.example/b.png 2x">'
        '<style>@import "https://c.example/d.css"</style><a href="https://e.example">there</a>'
    )
    page = Page(path)
    assert [bool(ELSEWHERE.match(load)) for load in page.loads] == [True, True]
    assert LOADED_BY_CODE.search(page.code[0])
    assert page.links == ["https://e.example"]


@built
def test_links_lead_somewhere(html_pages):
    for path, page in html_pages.items():
        for link in (*page.links, *page.loads):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("data:"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if target.is_dir():
                target /= "index.html"
            assert target.exists(), f"{path.relative_to(SITE)}: {link}"
            anchor = unquote(parts.fragment)
            if anchor and target.suffix == ".html" and target != path.resolve():
                other = html_pages[SITE / target.relative_to(SITE.resolve())]
                assert anchor in other.ids, f"{path.relative_to(SITE)}: {link}"


@built
def test_all_names_and_compiled_methods_can_be_found():
    packed = (SITE / "objects.inv").read_bytes().split(b"\n", 4)[4]
    names = {line.split(" ", 1)[0] for line in zlib.decompress(packed).decode().splitlines()}
    for method in ("predict", "train_step", "gradients", "jacobian", "vjp", "jvp", "hvp"):
        assert f"fcnn.Network.{method}" in names
    page = (SITE / "api" / "network.html").read_text("utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    assert "predict(X, out=None, n_threads=None)" in text
    assert "Return the activations a^L of the output layer." in text
    for name in documented():
        assert name in names, name


@built
def test_search_formulas_and_both_colours_work_offline():
    assert (SITE / "searchindex.js").stat().st_size > 100_000
    search = (SITE / "search.html").read_text("utf-8")
    assert "searchindex.js" in search
    lesson = (SITE / "learn" / "1-chain.html").read_text("utf-8")
    assert "math.js" in lesson
    assert "katex" in (SITE / "_static" / "math.js").read_text("utf-8")
    assert "copybutton.js" in lesson
    assert "prefers-color-scheme" in "".join(
        path.read_text("utf-8") for path in (SITE / "_static").rglob("*.css")
    )


@built
def test_the_lessons_numbers_and_pictures_are_in_their_pages():
    for path in sorted((ROOT / "docs" / "learn").glob("[0-9]*.md")):
        page = (SITE / "learn" / f"{path.stem}.html").read_text("utf-8")
        assert page.count('class="cell_output') >= 4, path
        assert "<img" in page
        assert "Traceback" not in page
    assert "gradient check passed" in (SITE / "learn" / "1-chain.html").read_text("utf-8")


@built
def test_the_live_network_answers_as_the_recorded_one():
    text = (SITE / "_static" / "live-data.js").read_text("utf-8")
    data = json.loads(text.removeprefix("window.fcnnLive = ").removesuffix(";\n"))
    assert len(data["samples"]) == 20
    for sample in data["samples"]:
        wanted = np.array(sample["a"]) - np.eye(10)[sample["y"]]
        np.testing.assert_allclose(sample["delta"], wanted, atol=1e-6)
    if data["wasm"] is None or shutil.which("node") is None:
        pytest.skip("no compiler for WebAssembly, or no node to run it")
    program = """
        const data = JSON.parse(require("fs").readFileSync(0));
        WebAssembly.instantiate(Buffer.from(data.wasm, "base64"), {}).then(({ instance }) => {
          const { memory, inputs, predict, _initialize } = instance.exports;
          _initialize?.();
          console.log(JSON.stringify(data.samples.map((sample) => {
            const x = new Float32Array(memory.buffer, inputs(), 64);
            x.set(sample.x.map((value) => value / 16));
            return [...new Float32Array(memory.buffer, predict(), 10)];
          })));
        });
    """
    done = subprocess.run(
        ["node", "-e", program], input=json.dumps(data), capture_output=True, check=True, text=True,
        timeout=60,
    )  # fmt: skip
    recorded = [sample["a"] for sample in data["samples"]]
    np.testing.assert_allclose(json.loads(done.stdout), recorded, rtol=1e-5, atol=1e-7)


@built
@pytest.mark.parametrize("engine", ENGINES)
def test_a_recorded_pass_is_replayed_step_by_step(engine):
    """By the keyboard, from a file, with the numbers of a trace; and nothing is asked for."""
    net, trace = traced(sizes=[2, 3, 2], **FULL)
    root = "document.getElementById('fcnn-replay').shadowRoot"
    with browser_of(engine) as browser:
        browser.open((SITE / "learn" / "replay.html").as_uri(), 1280)
        browser.wait(
            f"document.readyState === 'complete' && {root}?.querySelectorAll('.step').length > 3"
        )
        assert {"W": 12, "z": 5, "a": 7, "C": 1} == check_numbers(browser, trace, net, 4, root)
        assert browser.run(f"{root}.querySelectorAll('.controls, .chosen-value').length") == 2
        assert browser.run(f"[...{root}.querySelectorAll('.controls, .chosen-value')].every("
                           "(one) => getComputedStyle(one).display === 'none')")  # fmt: skip
        for at in ("2,1", "0,0", "1,2"):
            browser.run(f"{root}.querySelector('[data-node=\"{at}\"]').focus()")
            browser.key("Enter")
            l, k = map(int, at.split(","))
            title = f"node {k} of layer {l}, sigmoid" if l else f"input {k}"
            browser.wait(f"{root}.querySelector('.panel h2')?.textContent === '{title}'")
            check_formulas(browser, trace, 4, root)
        browser.run(f"{root}.getElementById('next').focus()")
        caption = f"{root}.querySelector('.caption')?.textContent"
        partials = []
        for at in range(1, 17):
            browser.key("Enter")
            browser.wait(f"{caption}?.startsWith('{at} of 16')")
            check_numbers(browser, trace, net, 4, root)
            if hears := re.search(
                r"node (\d) of layer 1 hears from node (\d)", browser.run(caption)
            ):
                j, k = map(int, hears.groups())
                sums = np.cumsum(trace.delta[2][0] * net.weights[1][:, j])
                partials.append((j, k))
                found = browser.run(f"{root}.querySelector('[data-q=partial]').textContent")
                assert found == shown(sums[k], 4)
        assert partials == [(j, k) for j in range(3) for k in range(2)]
        assert browser.run(f"{root}.querySelector('.alert').hidden")
        assert browser.errors == []
        assert all(
            url.startswith(("file:", "blob:", "data:", "about:")) for url in browser.requests
        )


@built
def test_each_picture_has_its_example():
    gallery = "".join(path.read_text("utf-8") for path in (SITE / "gallery").glob("plot_*.html"))
    for name in fcnn.plot.__all__:
        assert f"fcnn.plot.{name}" in gallery or f"plot.{name}(" in gallery, name
