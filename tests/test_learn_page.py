"""The page of fcnn learn in a browser: every number is the core's, every formula comes out."""

import json
import re
import threading
from urllib.parse import quote

import numpy as np
import pytest
from browser import browser as browser_of
from learning import agrees, python_of

import fcnn
from fcnn.learn import serve
from fcnn.learn._requests import answer

pytestmark = pytest.mark.slow(reason="a browser goes through a view")

# What every view shows and does in both engines; the rest in Chromium, in Firefox with `-m long`.
both = pytest.mark.parametrize("page", ["chromium", "firefox"], indirect=True, scope="module")
one = pytest.mark.parametrize(
    "page", ["chromium", pytest.param("firefox", marks=pytest.mark.long("a second engine"))],
    indirect=True, scope="module",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(request):
    """A function that opens a view, in a browser that complains of nothing."""
    with browser_of(request.param) as browser, serve() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def show(view, width=1280, dark=False, wait="true", **state):
            address = f"{server.url}#{quote(json.dumps({'view': view, **state}))}"
            browser.open(address, width, dark=dark)
            browser.wait(f"document.querySelector('#stage')?.dataset.view === '{view}' && ({wait})")
            return browser

        show.server, show.browser = server, browser
        try:
            yield show
        finally:
            server.shutdown()


@pytest.fixture(autouse=True)
def nothing_to_complain_of(request):
    yield
    if "page" in request.fixturenames:
        show = request.getfixturevalue("page")
        browser = show.browser
        assert browser.errors == []
        assert all(url.startswith((show.server.url, "about:", "blob:", "data:"))
                   for url in browser.requests)  # fmt: skip
        said = "document.querySelectorAll('.alert:not([hidden]), .address-note:not([hidden])')"
        assert browser.run(f"[...{said}].map((one) => one.textContent)") == []


def texts(browser, selector, root="document"):
    """Return what stands in all elements that a selector finds."""
    found = f"{root}.querySelectorAll({json.dumps(selector)})"
    return browser.run(f"[...{found}].map((one) => one.textContent)")


# Ready when no request is under way and the formulas are those of the last answer.
READY = "document.querySelector('.step') !== null"
MARKED = """[...ROOT.querySelectorAll('[data-q]')].map((one) =>
  ({...one.dataset, text: one.textContent}))"""
STEPS = """[...ROOT.querySelectorAll('.step')].map((step) => {
  const tex = (name) => step.querySelector(`.${name} annotation`)?.textContent;
  return {name: step.dataset.name, general: step.querySelector('annotation').textContent,
    numbers: tex('numbers') ?? null, result: tex('result')};
})"""


def shown(value, digits):
    """Return a number as the page has it: Python's %g, with short exponents and a real minus."""
    text = f"{value or 0.0:.{digits}g}"
    return re.sub(r"e([+-])0*(\d)", lambda m: f"e{m[1].strip('+')}{m[2]}", text).replace(
        "-", "\N{MINUS SIGN}"
    )


def check_numbers(browser, trace, net, digits, root="document"):
    """Compare every marked number with the trace; return how many of each kind there were."""
    slope = {}
    for l in range(1, len(net.sizes)):
        if net.activations[l - 1] != "softmax":
            derivative = fcnn.reference.activation_of(net.activations[l - 1]).derivative
            slope[l] = derivative(trace.z[l], trace.a[l])[0]
    values = {
        "W": lambda l, k, j: net.weights[l - 1][k, j], "z": lambda l, k, j: trace.z[l][0, k],
        "b": lambda l, k, j: net.biases[l - 1][k], "a": lambda l, k, j: trace.a[l][0, k],
        "delta": lambda l, k, j: trace.delta[l][0, k], "dW": lambda l, k, j: trace.dW[l][k, j],
        "y": lambda l, k, j: trace.y[0, k], "C": lambda l, k, j: trace.loss,
        "slope": lambda l, k, j: slope[l][k],
    }  # fmt: skip
    counts = {}
    for one in browser.run(MARKED.replace("ROOT", root)):
        if one["q"] not in values:
            continue
        at = [int(one.get(name, 0)) for name in "lkj"]
        value = shown(float(values[one["q"]](*at)), digits)
        number = re.search(r"[\d\N{MINUS SIGN}][\d.e\N{MINUS SIGN}]*(?=\)?$)", one["text"])[0]
        assert number == value, one
        counts[one["q"]] = counts.get(one["q"], 0) + 1
    return counts


def check_formulas(browser, trace, digits, root="document"):
    """Evaluate every formula as it is shown; return how many of each kind there were."""
    counts = {}
    for step in browser.run(STEPS.replace("ROOT", root)):
        result = python_of(step["result"].removeprefix("="))
        if step["numbers"]:
            assert agrees(python_of(step["numbers"].removeprefix("=")), result, digits), step
        counts[step["name"]] = counts.get(step["name"], 0) + 1
        symbol = step["general"].partition(" = ")[0]
        name = step["name"]
        l, at = (
            re.search(r"\^\{(\d+)\}(?:_\{([\d,]+)\})?", symbol).groups()
            if "^" in symbol
            else (0, "0")
        )
        # Of a chain, which writes none: all are 0.
        at = [int(i) for i in (at or ("0,0" if name == "dW" else "0")).split(",")]
        if name == "C":
            continue
        source = {"dx": trace.delta, "db": trace.db}.get(name) or getattr(trace, name)
        array = source[int(l)]
        value = array[tuple(at)] if name in ("dW", "db") else array[(0, *at)]
        text = f"{float(value) or 0.0:.{digits}g}"
        assert result.strip() == re.sub(r"e\+?(-?)0*", r"e\1", text), step
    return counts


def traced(**request):
    """Return the network and the trace that the page should show."""
    found = answer("trace", request)
    net = fcnn.Network(found["sizes"], found["activations"][:-1], found["activations"][-1],
                       found["loss"], found["dtype"])  # fmt: skip
    for l, (W, b) in enumerate(zip(found["W"], found["b"], strict=True)):
        net.weights[l][:], net.biases[l][:] = W, b
    return net, net.trace([found["x"]], [found["y"]])


def chain_of(W=(1.2, -0.8), b=(-0.3, 0.5), x=0.7, y=1, activation="sigmoid", output="sigmoid",
             loss="squared_error"):  # fmt: skip
    return traced(sizes=[1, 1, 1], activation=activation, output=output, loss=loss, x=[x], y=[y],
                  W=[[[w]] for w in W], b=[[v] for v in b])  # fmt: skip


@both
def test_chain(page):
    browser = page("chain", wait=READY)
    net, trace = chain_of()
    counts = check_numbers(browser, trace, net, 4)
    assert counts == {
        "W": 3,
        "z": 2,
        "b": 2,
        "a": 4,
        "delta": 4,
        "dW": 3,
        "y": 1,
        "C": 1,
        "slope": 1,
    }
    assert check_formulas(browser, trace, 4) == {
        "z": 2,
        "a": 2,
        "C": 1,
        "delta": 2,
        "dW": 2,
        "db": 2,
    }
    # By the keyboard alone: a slider, and every number follows.
    browser.run("document.getElementById('in-W0').focus()")
    before = browser.run("document.querySelector('[data-q=C]').textContent")
    for _ in range(4):
        browser.key("ArrowRight")
    browser.wait("document.getElementById('in-W0-n').value === '1.4'")
    browser.wait(f"document.querySelector('[data-q=C]').textContent !== '{before}'")
    net, trace = chain_of(W=(1.4, -0.8))
    value = shown(trace.loss, 4)
    browser.wait(f"document.querySelector('[data-q=C]').textContent === '{value}'")
    check_numbers(browser, trace, net, 4)
    check_formulas(browser, trace, 4)
    gradient = net.gradients(trace.a[0], trace.y)[1][0]
    assert browser.run("document.querySelector('[data-q=gradient]').textContent") == shown(
        gradient, 4
    )


@one
@pytest.mark.parametrize(
    ("activation", "loss", "output", "y"),
    [
        ("tanh", "huber", "tanh", -1), ("relu", "absolute_error", "relu", 1),
        ("gelu", "poisson", "exp", 2), ("softplus", "binary_cross_entropy", "sigmoid", 1),
        ("silu", "squared_error", "silu", 0.5), ("elu", "squared_error", "elu", 1),
    ],
)  # fmt: skip
def test_chain_of_every_kind(page, activation, loss, output, y):
    state = {"activation": activation, "loss": loss, "y": y, "W": [1.5, 0.75]}
    browser = page("chain", wait=READY, chain=state, digits=6)
    net, trace = chain_of((1.5, 0.75), y=y, activation=activation, loss=loss, output=output)
    assert sum(check_numbers(browser, trace, net, 6).values()) >= 15
    check_formulas(browser, trace, 6)


FULL = {"activation": "sigmoid", "output": "sigmoid", "seed": 1, "loss": "squared_error"}


@both
def test_fully_connected(page):
    browser = page("full", wait=READY)
    net, trace = traced(sizes=[2, 3, 2], **FULL)
    counts = check_numbers(browser, trace, net, 4)
    assert counts == {"W": 12, "z": 5, "a": 7, "C": 1}
    assert check_formulas(browser, trace, 4) == {"z": 1, "a": 1, "delta": 1, "dW": 2, "db": 1}
    # Nodes and edges are chosen by the keyboard, and keep it.
    for at in ("2,1", "0,1", "1,2"):
        browser.run(f"document.querySelector('[data-node=\"{at}\"]').focus()")
        browser.key("Enter")
        l, k = at.split(",")
        title = f"node {k} of layer {l}, sigmoid" if l != "0" else f"input {k}"
        browser.wait(f"document.querySelector('.panel h2')?.textContent === '{title}'")
        check_formulas(browser, trace, 4)
        assert browser.run("document.activeElement.dataset.node") == at
    browser.run("document.querySelector('[data-edge=\"2,0,1\"]').focus()")
    browser.key(" ")
    browser.wait("document.querySelector('.panel h2').textContent.startsWith('edge from node 1')")
    assert check_formulas(browser, trace, 4) == {"delta": 1, "dW": 1}


@both
def test_the_deltas_come_back_term_by_term(page):
    browser = page("full", wait=READY)
    net, trace = traced(sizes=[2, 3, 2], **FULL)
    browser.run("document.getElementById('play-back').focus()")
    browser.key("Enter")
    browser.wait("document.querySelector('.caption') !== null")
    # It plays by itself until it is told to step; back to where the deltas begin.
    number = "document.querySelector('.caption').textContent.split(' ')"
    browser.run("document.getElementById('previous').focus()")
    browser.key("Enter")
    browser.wait("document.getElementById('play').textContent === 'Play'")
    for _ in range(20):
        browser.key("Enter")
    browser.wait(f"{number}[0] === '1'")
    count = int(browser.run(f"{number}[2]").rstrip("."))
    # 5 nodes forward, 2 outputs, and for each of 3 nodes a term of each output and the whole.
    assert count == 5 + 2 + 3 * 3
    browser.run("document.getElementById('next').focus()")
    at, seen = 1, []
    while at < count:
        browser.key("Enter")
        at += 1
        browser.wait(f"document.querySelector('.caption')?.textContent.startsWith('{at} of')")
        caption = browser.run("document.querySelector('.caption').textContent")
        check_numbers(browser, trace, net, 4)
        partial = browser.run("document.querySelector('[data-q=partial]')?.textContent")
        if partial:
            j, k = map(
                int, re.search(r"node (\d) of layer 1 hears from node (\d)", caption).groups()
            )
            terms = trace.delta[2][0] * net.weights[1][:, j]
            assert partial == shown(terms[: k + 1].sum(), 4)
            lit = browser.run(
                "[...document.querySelectorAll('.edge.lit')].map((e) => e.dataset.edge)"
            )
            assert sorted(lit) == [f"2,{i},{j}" for i in range(k + 1)]
            seen.append((j, k))
        else:
            # The steps of the playing alone, not of the panel beside it.
            node = re.search(r"Back: node (\d) of layer 1", caption)
            if node:
                result = browser.run(
                    "document.querySelector('.playing .result annotation').textContent"
                )
                value = f"{trace.delta[1][0, int(node[1])]:.4g}"
                assert python_of(result.removeprefix("=")).strip() == value
    assert seen == [(j, k) for j in range(3) for k in range(2)]
    browser.run("document.getElementById('stop').click()")
    browser.wait("document.querySelector('.caption') === null")


@one
@pytest.mark.parametrize(
    "net_state",
    [
        {"sizes": [3, 4, 3], "activation": "relu", "loss": "cross_entropy", "output": "softmax"},
        {"sizes": [2, 3, 2], "activation": "tanh", "loss": "huber", "output": "identity",
         "dtype": "float32"},
        {"sizes": [4, 12, 1], "activation": "elu", "loss": "binary_cross_entropy",
         "output": "sigmoid"},
    ],
    ids=["softmax", "float32", "wide"],
)  # fmt: skip
def test_fully_connected_of_every_kind(page, net_state):
    browser = page("full", wait=READY, net={**net_state, "seed": 3}, digits=5)
    net, trace = traced(**net_state, seed=3)
    L = len(net.sizes) - 1
    for l, k in ((1, 1), (L, 0), (0, 0)):
        browser.run(f"document.querySelector('[data-node=\"{l},{k}\"]').focus()")
        browser.key("Enter")
        title = f"input {k}" if l == 0 else f"node {k} of layer {l}, {net.activations[l - 1]}"
        browser.wait(f"document.querySelector('.panel h2')?.textContent === '{title}'")
        check_numbers(browser, trace, net, 5)
        assert sum(check_formulas(browser, trace, 5).values()) > 1
    browser.run("const s = document.getElementById('in-shows'); s.value = 'delta'; "
                "s.dispatchEvent(new Event('change'))")  # fmt: skip
    assert "delta" in check_numbers(browser, trace, net, 5)


@both
def test_matrices(page):
    browser = page("full", wait="document.querySelector('.matrices') !== null",
                   full={"way": "matrices", "chosen": [1, 0]})  # fmt: skip
    _, trace = traced(sizes=[2, 3, 2], **FULL)
    lines = texts(browser, ".matrices annotation")

    def matrix(text):
        return [[float(cell) for cell in row.split("&")] for row in text.split("\\\\")]

    found = [
        [matrix(m) for m in re.findall(r"\\begin\{bmatrix\}(.*?)\\end", line)] for line in lines
    ]

    def rounded(array):
        return [[float(f"{v:.4g}") for v in row] for row in np.atleast_2d(array)]

    column = lambda v: rounded(np.reshape(v, (-1, 1)))  # noqa: E731
    z, a, delta = (getattr(trace, name) for name in ("z", "a", "delta"))
    slope = a[1] * (1 - a[1])
    assert found == [
        [rounded(trace.W[1]), column(a[0]), column(trace.b[1]), column(z[1])], [column(a[1])],
        [column(slope), rounded(trace.W[2].T), column(delta[2]), column(delta[1])],
        [column(delta[1]), rounded(a[0]), rounded(trace.dW[1])],
    ]  # fmt: skip


@both
def test_check(page):
    browser = page("check", wait="document.querySelector('.verdict.right') !== null")
    net, trace = traced(sizes=[2, 3, 2], **FULL)
    gradient = net.gradients(trace.a[0], trace.y)[1]
    check_numbers(browser, trace, net, 4)

    def column(q):
        return texts(browser, f"td[data-q={q}]")

    assert column("gradient") == [shown(v, 4) for v in gradient]
    for text, value in zip(column("quotient"), gradient, strict=True):
        assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(value, rel=1e-3)
    up, down = browser.run(
        "['up', 'down'].map((q) => document.querySelector(`[data-q=${q}]`).textContent)"
    )
    moved = net.copy()
    for sign, text in ((1, up), (-1, down)):
        moved.parameters[0] = net.parameters[0] + sign * 1e-4
        assert text == shown(moved.gradients(trace.a[0], trace.y)[0], 10)
    # Break it by the keyboard: the check fails, and says where.
    browser.run("document.getElementById('in-broken').focus()")
    for letter in "leave":
        browser.key(letter)
    browser.wait("document.querySelector('.verdict.wrong') !== null")
    wrong = texts(browser, "tr.wrong th")
    assert wrong
    assert all(name[1] == "\u00b9" for name in wrong)  # the first layer alone
    assert browser.run("document.querySelector('.verdict').textContent").startswith("\u2717")


@both
def test_descend(page):
    state = {"power": 0.5, "parameters": [2, 9], "start": [1, -1], "steps": 40, "at": 40}
    browser = page(
        "descend", wait="document.querySelector('td[data-q=loss]') !== null", descend=state
    )
    expected = answer("descend", {
        "data": "moons", "hidden": [3], "activation": "tanh", "seed": 3, "span": 8, "samples": 100,
        "noise": 0.1, "lr": 10**0.5, "parameters": [2, 9], "start": [1, -1], "steps": 40,
    })  # fmt: skip
    cells = browser.run(
        "[...document.querySelectorAll('td[data-way]')].map("
        "(c) => [c.dataset.way, c.dataset.q, c.textContent])"
    )
    assert len(cells) == 9
    for way, q, text in cells:
        path = expected["paths"][way]
        if q == "loss" and len(path) <= 40:
            assert text == "diverged"
        else:
            assert text == shown(path[-1][["p0", "p1", "loss"].index(q)], 4)
    browser.run("document.getElementById('in-at').focus()")
    browser.key("Home")
    browser.wait("document.querySelector('td[data-q=p0]').textContent === '1'")
    browser.run("document.getElementById('in-lr').focus()")
    browser.key("End")  # the largest learning rate
    # Some path has left what a number holds, or the loss has grown.
    browser.wait("document.getElementById('in-lr').value === '2.5'")
    label = "document.querySelector('svg.surface').getAttribute('aria-label')"
    largest = answer("descend", {
        "data": "moons", "hidden": [3], "activation": "tanh", "seed": 3, "span": 8, "samples": 100,
        "noise": 0.1, "lr": 10**2.5, "parameters": [2, 9], "start": [1, -1], "steps": 40,
    })  # fmt: skip
    path = largest["paths"]["SGD"]
    end = "diverged" if len(path) <= 40 else f"ends at {shown(path[-1][2], 3)}"
    browser.wait(f"{label}.includes({json.dumps('SGD ' + end)})")


@both
def test_playground(page):
    browser = page("playground", wait="document.querySelector('canvas.plane') !== null")
    browser.run("document.getElementById('one').focus()")
    browser.key("Enter")
    browser.wait("document.querySelector('[data-q=epochs]').textContent === '1'")
    request = {"data": "moons", "hidden": [8, 8], "activation": "tanh",
               "optimizer": "Adam", "lr": 0.1,
               "batch_size": 16, "samples": 300, "noise": 0.1, "seed": 0}  # fmt: skip
    begun = answer("start", request)
    found = answer("run", {"id": begun["id"], "epochs": 1})
    for q, value in (("loss", shown(found["loss"], 4)),
                     ("accuracy", f"{shown(100 * found['accuracy'], 3)} %"),
                     ("test_accuracy", f"{shown(100 * found['test_accuracy'], 3)} %")):  # fmt: skip
        assert browser.run(f"document.querySelector('[data-q={q}]').textContent") == value
    sizes = browser.run(
        "[...document.querySelectorAll('[data-q=size]')].map((c) => [c.dataset.l, c.textContent])"
    )
    assert sorted(sizes) == [
        [str(l), f"{l}: {shown(v, 2)}"] for l, v in enumerate(found["deltas"], 1)
    ]
    assert browser.run("document.querySelectorAll('canvas.tile').length") == 16
    # Train until it is good, and pause, by the keyboard.
    browser.run("document.getElementById('train').focus()")
    browser.key(" ")
    browser.wait("parseFloat(document.querySelector('[data-q=accuracy]').textContent) > 97")
    browser.key(" ")
    browser.wait("document.getElementById('train').getAttribute('aria-pressed') === 'false'")
    # What is drawn is the network: blue or vermilion as it answers.
    colors = browser.run("""(() => { const c = document.querySelector('canvas.plane');
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      return [...d].filter((_, i) => i % 4 < 3); })()""")
    image = np.reshape(colors, (48, 48, 3))
    assert (image[..., 0] > image[..., 2]).any()
    assert (image[..., 0] < image[..., 2]).any()
    assert '"playground"' in browser.run("decodeURIComponent(location.hash)")


@both
def test_digits_of_ones_own_by_the_keyboard(page):
    browser = page("playground", playground={"data": "digits", "hidden": [16], "activation": "relu",
                                             "lr": 0.01},
                   wait="document.querySelectorAll('.bar').length === 10")  # fmt: skip
    browser.run("document.getElementById('one').click()")
    browser.wait("document.querySelector('[data-q=epochs]').textContent === '1'")
    browser.run("document.querySelector('.pad .cell').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", " ", "ArrowDown", " "):
        browser.key(key)
    browser.wait("document.querySelectorAll('.cell[aria-pressed=true]').length >= 2")
    assert browser.run("document.activeElement.getAttribute('aria-label')") == "row 1, column 3"
    browser.wait("document.querySelector('.bars p').textContent.startsWith('The network says')")
    shares = texts(browser, ".bar .value")
    assert sum(float(v.replace("\N{MINUS SIGN}", "-")) for v in shares) == pytest.approx(
        1, abs=0.01
    )


@both
def test_build(page):
    browser = page("build", wait="document.querySelectorAll('.exercise .katex').length === 6")
    names = texts(browser, ".exercise pre")
    assert [re.search(r'check\("(\w+)"', name)[1] for name in names] == [
        "forward", "output_delta", "hidden_delta", "gradient", "update", "train"
    ]  # fmt: skip


@both
def test_what_is_typed_is_refused_by_name(page):
    browser = page("full", wait=READY)
    typed = {"sizes": ("2 0 1", "sizes[1]: expected at least 1"), "x": ("1 apple", "x: "),
             "y": ("1 2 3", "y: expected shape"),
             "weight": ("much", "weight: expected a number")}  # fmt: skip
    for name, (text, message) in typed.items():
        browser.run(f"(e => {{ e.value = '{text}'; e.dispatchEvent(new Event('change')); }})("
                    f"document.getElementById('in-{name}'))")  # fmt: skip
        browser.wait(
            f"document.querySelector('.alert').textContent.includes({json.dumps(message)})"
        )
    # The browser's own note of each answer 400.
    assert all("400" in error for error in browser.errors)
    browser.errors.clear()
    browser.run("(e => { e.value = '2 2'; e.dispatchEvent(new Event('change')); })("
                "document.getElementById('in-sizes'))")  # fmt: skip
    browser.wait("document.querySelector('.alert').hidden")


@both
def test_tabs_by_the_keyboard(page):
    browser = page("chain", wait=READY)
    browser.key("Tab")
    for _ in range(3):
        if browser.run("document.activeElement.getAttribute('role')") == "tab":
            break
        browser.key("Tab")
    for view in ("full", "check", "descend", "playground", "build", "chain"):
        browser.key("ArrowRight")
        browser.wait(f"document.getElementById('stage').dataset.view === '{view}'")
        assert browser.run("document.activeElement.id") == f"tab-{view}"
        assert browser.run("document.activeElement.getAttribute('aria-selected')") == "true"
    browser.wait(READY)


@both
def test_what_has_the_keyboard_keeps_it(page):
    """An answer draws much anew; neither the place of the keyboard nor what is typed is lost."""
    active = "document.activeElement.id || document.activeElement.dataset.key"
    browser = page("full", wait=READY)
    browser.run("document.getElementById('in-x').focus()")
    browser.key("End")
    for key in ("5", "Tab", "End"):
        browser.key(key)
    browser.key("7")
    browser.wait("document.querySelector('[data-node=\"0,1\"] text').textContent === '1.255'")
    assert browser.run(active) == "in-y"
    assert browser.run("document.activeElement.value") == "1 07"
    browser = page("check", wait="document.querySelector('.verdict.right') !== null")
    browser.run("document.querySelector('[data-key=\"row 3\"]').focus()")
    browser.key("Enter")
    browser.wait("document.querySelectorAll('tbody tr')[3].classList.contains('chosen')")
    assert browser.run(active) == "row 3"
    browser = page("descend", wait="document.getElementById('in-across') !== null")
    browser.run("document.getElementById('in-across').focus()")
    browser.key("ArrowDown")
    name = "document.querySelector('.surface').getAttribute('aria-label')"
    browser.wait(f"{name}.startsWith('the loss over W^1_1,0 and')")
    assert browser.run(active) == "in-across"
    assert browser.run("document.activeElement.value") == "1"


@both
def test_an_address_is_right_or_refused_by_name(page):
    note = "document.querySelector('.address-note')"
    for state, message in (
        ({"chain": {"W": 5}}, "address: chain: W is like [1.2,-0.8], got 5"),
        ({"chain": {"x": "much"}}, 'address: chain: x is like 0.7, got "much"'),
        ({"chain": {"colour": 1}}, "address: chain: there is no setting colour"),
        ({"chain": []}, None), ({"full": {"chosen": [9, 9]}}, None),
    ):  # fmt: skip
        browser = page("chain" if "chain" in state else "full", wait=READY, **state)
        said = browser.run(f"{note}.hidden ? null : {note}.textContent")
        assert said == (message and f"{message}; what it was set to is left out")
    browser.open(f"{page.server.url}#%7B%22view")
    browser.wait(READY)
    assert browser.run(f"{note}.textContent").startswith(
        "address: what stands behind # is not whole"
    )
    # One that is pasted behind the address of a page that is open.
    text = quote(json.dumps({"view": "chain", "chain": {"x": -1.5}}))
    browser.run(f"location.hash = '#{text}'")
    browser.wait("document.getElementById('in-x')?.value === '-1.5'")
    assert browser.run(f"{note}.hidden")


TABLE = "height;weight;kind\n1,5;30;cat\n1,7;31;cat\n3,5;80;dog\n3,8;82;dog\n1,4;33;cat\n"


@one
def test_a_table_of_ones_own(page, tmp_path):
    browser = page(
        "playground", playground={"data": "csv"}, wait="document.getElementById('in-csv') !== null"
    )
    browser.wait(
        "document.querySelector('.scores').textContent.startsWith('There is no table yet')"
    )

    def type_in(text):
        browser.run(f"{{ const e = document.getElementById('in-csv'); e.value = {json.dumps(text)};"
                    " e.dispatchEvent(new Event('change')); }")  # fmt: skip

    type_in(TABLE)
    browser.wait("document.querySelector('canvas.plane') !== null")
    browser.run("document.getElementById('one').click()")
    browser.wait("document.querySelector('[data-q=epochs]').textContent === '1'")
    # What is saved answers the table's own rows as the page does.
    browser.run("""window.saved = new Promise((done) => { URL.createObjectURL = (blob) => {
        blob.arrayBuffer().then((all) => done([...new Uint8Array(all)])); return '#'; }; });
        HTMLAnchorElement.prototype.click = () => {}; document.getElementById('save').click();""")
    (tmp_path / "own.safetensors").write_bytes(bytes(browser.run("window.saved")))
    own = fcnn.load(tmp_path / "own.safetensors")
    assert (own.features, own.classes) == (["height", "weight"], ["cat", "dog"])
    rows, kinds = [[1.5, 30], [1.7, 31], [3.5, 80], [3.8, 82], [1.4, 33]], [0, 0, 1, 1, 0]
    right = (own.predict(rows).argmax(axis=1) == kinds)[np.random.default_rng(1).permutation(5)[:4]]
    told = browser.run("document.querySelector('[data-q=accuracy]').textContent")
    assert told == f"{shown(100 * right.mean(), 3)} %"
    # One that is wrong: named, and nothing of the one before is left to be taken for it.
    type_in(TABLE.replace("80", "8O"))
    browser.wait("document.querySelector('.alert').textContent.includes("
                 "\"csv: line 4, column 'weight': '8O'; expected a number\")")  # fmt: skip
    assert browser.run("document.querySelector('canvas.plane')") is None
    type_in(TABLE)
    browser.wait("document.querySelector('canvas.plane') !== null")
    assert all("400" in error for error in browser.errors)
    browser.errors.clear()


# What a reader of a screen is told: everything to use has a name, every picture a text.
NAMELESS = """[...document.querySelectorAll(
  'button, input, select, textarea, [role=button], [role=img], [tabindex="0"]')].filter((one) => {
  if (one.closest('[aria-hidden=true]') || one.type === 'hidden') return false;
  const label = one.labels?.length ? one.labels[0].textContent : '';
  return !(one.getAttribute('aria-label') || label.trim() || one.title
    || (['BUTTON', 'PRE', 'SUMMARY'].includes(one.tagName) && one.textContent.trim()));
}).map((one) => one.outerHTML.slice(0, 120))"""
# Elements of the page that are wider than it, but for those that scroll by themselves.
WIDE = """[...document.querySelectorAll('#app *')].filter((one) =>
  !one.closest('.lines, .scroll, pre') && !one.closest('svg:not(.net)')
  && one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => one.outerHTML.slice(0, 100))"""
# What scrolls by itself, and has to: a narrow page has cut it off.
CUT = """[...document.querySelectorAll('.lines, .scroll, pre')].filter((one) =>
  one.scrollWidth > one.clientWidth + 1).map((one) => one.outerHTML.slice(0, 100))"""
CONTRAST = """(() => {
  const all = '.lead, .label, .tag, .tick, .W, .a, .z, .delta, .b, .y, .dW, h2, label, [role=tab]';
  const clear = 'rgba(0, 0, 0, 0)';
  return [...document.querySelectorAll(all)].filter((one) => one.textContent.trim()).map((one) => {
    const style = getComputedStyle(one);
    let ground = clear;
    for (let at = one; at && ground === clear; at = at.parentElement) {
      ground = getComputedStyle(at).backgroundColor;
    }
    const name = one.className.baseVal ?? one.className;
    return [name, one instanceof SVGElement ? style.fill : style.color, ground];
  });
})()"""


def luminance(color):
    parts = [float(v) for v in re.findall(r"[\d.]+", color)[:3]]
    if not color.startswith("rgb"):
        return None
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4
              for v in (p / 255 for p in parts)]  # fmt: skip
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


VIEWS = {
    "chain": READY, "full": READY, "check": "document.querySelector('.verdict.right') !== null",
    "descend": "document.querySelector('td[data-q=loss]') !== null",
    "playground": "document.querySelector('canvas.plane') !== null",
    "build": "document.querySelectorAll('.exercise .katex').length === 6",
}  # fmt: skip


@one
@pytest.mark.parametrize("view", VIEWS)
def test_narrow_and_wide_light_and_dark(page, view):
    for width, dark in ((390, False), (390, True), (1280, False), (1280, True)):
        browser = page(view, width, dark, wait=VIEWS[view])
        browser.run(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run(WIDE) == []
        assert browser.run(CUT) == []
        assert browser.run(NAMELESS) == []
        for name, ink, ground in browser.run(CONTRAST):
            pair = luminance(ink), luminance(ground)
            if None in pair:
                continue
            low, high = sorted(pair)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ink, ground, dark)


@one
def test_in_a_notebook(page):
    """The modules as one, as anywidget loads them, with a kernel that answers what they ask."""
    from fcnn.learn._widget import bundle

    browser = page("build")
    browser.open("data:text/html,<!doctype html><title>notebook</title>", 1280)
    browser.run(f"""(async () => {{
      const whole = new Blob([{json.dumps(bundle())}], {{type: 'text/javascript'}});
      const url = URL.createObjectURL(whole);
      const widget = (await import(url)).default;
      window.asked = [];
      window.model = {{
        get: () => 'full', send: (message) => window.asked.push(message),
        on: (_, reply) => {{ window.reply = reply; }},
      }};
      window.el = document.body.appendChild(document.createElement('div'));
      window.el.style = 'width: 400px; color: #eee';
      widget.render({{ model: window.model, el: window.el }});
    }})()""")
    for _ in range(200):
        for one in browser.run("window.asked.splice(0)"):
            result = answer(one["name"], one["request"])
            browser.run(f"window.reply({json.dumps({'id': one['id'], 'result': result})})")
        if browser.run("window.el.shadowRoot.querySelectorAll('.step math').length > 5"):
            break
    # As wide as the cell, whatever the window, and dark or light as the text around it.
    root = "window.el.shadowRoot.querySelector('.fcnn')"
    assert browser.run(f"{root}.scrollWidth") <= 400
    columns = f"getComputedStyle({root}.querySelector('.columns')).gridTemplateColumns"
    assert len(browser.run(columns).split()) == 1
    assert browser.run(f"getComputedStyle({root}).color") == "rgb(232, 236, 240)"
    browser.run("document.body.className = 'another-theme'; window.el.style.color = '#111'")
    browser.wait(f"getComputedStyle({root}).color === 'rgb(27, 32, 38)'")
    _, trace = traced(sizes=[2, 3, 2], **FULL)
    found = texts(browser, "[data-q=a]", "window.el.shadowRoot")
    assert found == [shown(v, 4) for a in trace.a for v in a[0]]
    sources = texts(browser, ".result annotation", "window.el.shadowRoot")
    assert python_of(sources[0].removeprefix("=")).strip() == f"{trace.z[1][0, 0]:.4g}"
