"""The page of fcnn learn with random networks: each number is the core's, each formula comes out.

The quick part has every activation, output and loss once; all of their combinations, in both
engines: pytest -m long tests/test_learn_page_sweep.py
"""

import itertools
import json
import re

import numpy as np
import pytest
from conftest import PAIRS
from learning import _group, agrees, python_of
from test_learn_page import (
    READY,
    STEPS,
    check_formulas,
    check_numbers,
    nothing_to_complain_of,  # noqa: F401 (a fixture)
    page,  # noqa: F401
    shown,
    texts,
)

import fcnn
from fcnn._dispatch import core
from fcnn._validation import HIDDEN_ACTIVATIONS

pytestmark = pytest.mark.slow(reason="a browser goes through a view")

ONE_EACH = [(loss, output) for loss, output in PAIRS if core.outputs_per_target(loss) == 1]
WAYS = list(itertools.product(HIDDEN_ACTIVATIONS, ONE_EACH, ("float64", "float32")))


def covering():
    """Return some of the ways: each activation, output, loss and dtype is in one of them."""
    left = [{*HIDDEN_ACTIVATIONS}, {*(o for _, o in ONE_EACH)}, {*(l for l, _ in ONE_EACH)}]
    found = []
    while any(left):

        def new(way):
            hidden, (loss, output), _ = way
            return sum(
                name in names for name, names in zip((hidden, output, loss), left, strict=True)
            )

        hidden, (loss, output), _ = max(WAYS, key=new)
        for name, names in zip((hidden, output, loss), left, strict=True):
            names.discard(name)
        found.append((hidden, (loss, output), ("float64", "float32")[len(found) % 2]))
    return found


def target(rng, loss, n):
    if loss == "cross_entropy":
        shares = rng.multinomial(64, np.full(n, 1 / n)) / 64  # whose sum is 1 in any arithmetic
        return [np.eye(n)[rng.integers(n)], shares][rng.integers(2)]
    if loss == "binary_cross_entropy":
        return [rng.integers(0, 2, n), np.round(rng.random(n), 2)][rng.integers(2)]
    return rng.integers(0, 5, n) if loss == "poisson" else np.round(rng.normal(0, 1.5, n), 2)


def drawn(way, seed):
    """Return a network, many of them saturated, its trace, and what the address says of it."""
    hidden, (loss, output), dtype = way
    rng = np.random.default_rng((seed, *json.dumps(way).encode()))
    least = 2 if loss == "cross_entropy" or output == "softmax" else 1
    while True:
        sizes = [*rng.integers(1, 5, rng.integers(1, 4)).tolist(), int(rng.integers(least, 5))]
        if rng.random() < 0.1:
            sizes[0] = 12  # a sum with a rest
        net = fcnn.Network(sizes, hidden, output, loss, dtype)
        for W, b in zip(net.weights, net.biases, strict=True):
            scale = rng.choice([1, 1, 3, 10, 40])
            W[:] = np.round(rng.normal(0, scale, W.shape), 2)
            b[:] = np.round(rng.normal(0, scale, b.shape), 2)
        x = np.round(rng.normal(0, 1.5, sizes[0]), 2)
        y = target(rng, loss, sizes[-1])
        with np.errstate(all="ignore"):
            trace = net.trace([x], [y])
        parts = [*trace.z[1:], *trace.a, *trace.delta, *trace.dW[1:], trace.loss]
        if all(np.isfinite(part).all() for part in parts):
            break
    state = {
        "sizes": sizes, "activation": hidden, "output": output, "loss": loss, "dtype": dtype,
        "W": [W.tolist() for W in net.weights], "b": [b.tolist() for b in net.biases],
        "x": x.tolist(), "y": np.asarray(y, float).tolist(),
    }  # fmt: skip
    return net, trace, state, rng


def marked_numbers(latex):
    """Yield the mark and the arithmetic of each number of a formula that has a colour."""
    for match in re.finditer(r"\\htmlClass", latex):
        mark, i = _group(latex, match.end())
        yield mark, python_of(_group(latex, i)[0]).replace(" ", "")


def check_steps(browser, net, trace, digits):
    """Check what formulas are made of, what costs come to, and what a screen reader is told."""
    kinds = {
        "z": trace.z[1:], "a": trace.a, "delta": trace.delta, "W": net.weights, "b": net.biases,
        "y": [trace.y], "dW": [*trace.dW[1:], *trace.db[1:]],
    }  # fmt: skip
    known = {name: np.concatenate([np.ravel(one) for one in kinds[name]]).astype(float)
             for name in kinds}  # fmt: skip
    costs = fcnn.reference.loss_of(net.loss).cost(trace.z[-1], trace.a[-1], trace.y)[0]
    for step in browser.run(STEPS.replace("ROOT", "document")):
        for mark, text in marked_numbers((step["numbers"] or "") + step["result"]):
            if mark not in known:
                assert mark == "C", mark
                continue
            # Of numbers that would cancel more digits are shown, and right.
            value = float(text)
            nearest = known[mark][np.abs(np.abs(known[mark]) - abs(value)).argmin()]
            count = len(re.sub(r"e.*|\.|^-?0*\.?0*", "", text))
            assert float(f"{abs(nearest):.{max(count, digits)}g}") == abs(value), (mark, step)
        if step["name"] == "C":
            k = int(re.search(r"_\{(\d+)\}", browser.run(
                "document.querySelector('.is-C .lines annotation').textContent"))[1])  # fmt: skip
            assert float(python_of(step["result"].removeprefix("="))) == pytest.approx(
                costs[k], rel=2 * 10.0 ** (1 - digits), abs=1e-300
            ), step
    for text in browser.run(
        "[...document.querySelectorAll('.step')].map((one) => one.dataset.text)"
    ):
        formula, result = text.rsplit(" = ", 1)
        assert agrees(formula.split(" = ", 1)[1], result, digits), text


def check_labels(browser, trace, net, digits):
    """What a reader of a screen hears of nodes and edges."""

    def told(value):
        return shown(float(value), digits)

    for text in browser.run(
        "[...document.querySelectorAll('[data-node]')].map((e) => e.getAttribute('aria-label'))"
    ):
        k, l = map(int, re.match(r"node (\d+) of layer (\d+): ", text).groups())
        z = f"z {told(trace.z[l][0, k])}, " if l else ""
        name = "delta" if l else "dC/dx"
        assert text.endswith(
            f": {z}a {told(trace.a[l][0, k])}, {name} {told(trace.delta[l][0, k])}"
        )
    for text in browser.run(
        "[...document.querySelectorAll('[data-edge]')].map((e) => e.getAttribute('aria-label'))"
    ):
        j, k, l = map(
            int, re.match(r"edge from node (\d+).* to node (\d+) of layer (\d+)", text).groups()
        )
        W, dW = net.weights[l - 1][k, j], trace.dW[l][k, j]
        assert text.endswith(f": W {told(W)}, dC/dW {told(dW)}")


def matrices(browser):
    found = []
    for line in texts(browser, ".matrices annotation"):
        for inside in re.findall(r"\\begin\{bmatrix\}(.*?)\\end", line):
            found.append([[float(cell) for cell in row.split("&")] for row in inside.split("\\\\")])
    return found


def choose(browser, state_digits, trace, net, l, k, j=None):
    place = f'[data-node="{l},{k}"]' if j is None else f'[data-edge="{l},{k},{j}"]'
    browser.run(f"document.querySelector('{place}').dispatchEvent(new MouseEvent('click'))")
    title = f"input {k}" if l == 0 else f"node {k} of layer {l}, {net.activations[l - 1]}"
    if j is not None:
        title = f"edge from node {j} to {title}"
    browser.wait(f"document.querySelector('.panel h2')?.textContent === {json.dumps(title)}")
    check_numbers(browser, trace, net, state_digits)
    assert check_formulas(browser, trace, state_digits)
    check_steps(browser, net, trace, state_digits)


def check_full(show, way, seed):
    net, trace, state, rng = drawn(way, seed)
    digits, L = int(rng.choice([3, 4, 5, 6, 8])), len(net.sizes) - 1
    browser = show("full", wait=READY, net=state, digits=digits)
    check_labels(browser, trace, net, digits)
    for l, n in enumerate(net.sizes):
        choose(browser, digits, trace, net, l, int(rng.integers(n)))
    l = int(rng.integers(1, L + 1))
    k, j = rng.integers(0, [net.sizes[l], net.sizes[l - 1]]).tolist()
    choose(browser, digits, trace, net, l, k, j)
    select = (
        "(e => {{ e.value = '{}'; e.dispatchEvent(new Event('change')); }})("
        "document.getElementById('in-{}'))"
    )
    browser.run(select.format("delta", "shows"))
    assert "delta" in check_numbers(browser, trace, net, digits)
    browser.run(select.format("matrices", "way"))

    def rounded(array):
        return [
            [float(f"{v:.{digits}g}") for v in row] for row in np.atleast_2d(array).astype(float)
        ]

    column = lambda v: rounded(np.reshape(v, (-1, 1)))  # noqa: E731
    for l in range(1, L + 1):
        browser.run(f"document.querySelector('[data-node=\"{l},0\"]')"
                    ".dispatchEvent(new MouseEvent('click'))")  # fmt: skip
        browser.wait(f"document.querySelector('.matrices h2')?.textContent === 'layer {l}'")
        z, a, delta = trace.z[l], trace.a[l], trace.delta[l]
        expected = [rounded(net.weights[l - 1]), column(trace.a[l - 1]), column(net.biases[l - 1]),
                    column(z), column(a)]  # fmt: skip
        if l < L:
            slope = fcnn.reference.activation_of(net.activations[l - 1]).derivative(z, a)
            expected += [column(slope), rounded(net.weights[l].T), column(trace.delta[l + 1])]
        expected += [column(delta), column(delta), rounded(trace.a[l - 1]), rounded(trace.dW[l])]
        assert matrices(browser) == expected
    if sum(net.sizes[1:]) <= 5:
        browser.run(select.format("a", "shows"))
        play(browser, net, trace, digits)


def play(browser, net, trace, digits):
    """Go through all that is played, to its end."""
    L = len(net.sizes) - 1
    count = (
        sum(net.sizes[1:])
        + net.sizes[L]
        + sum(net.sizes[l] * (net.sizes[l + 1] + 1) for l in range(1, L))
    )
    for at in range(1, count + 1):
        browser.run("document.getElementById('next').click()")
        browser.wait(
            f"document.querySelector('.caption')?.textContent.startsWith('{at} of {count}.')"
        )
        check_numbers(browser, trace, net, digits)
        caption = browser.run("document.querySelector('.caption').textContent")
        if heard := re.search(r"node (\d) of layer (\d) hears from node (\d)", caption):
            j, l, k = map(int, heard.groups())
            sums = np.cumsum(
                trace.delta[l + 1][0].astype(float) * net.weights[l][:, j].astype(float)
            )
            partial = browser.run("document.querySelector('[data-q=partial]').textContent")
            assert partial == shown(sums[k], digits)
        elif told := re.search(r"node (\d) of layer (\d): the sum, .* = (\S+)\.$", caption):
            j, l = int(told[1]), int(told[2])
            assert told[3] == shown(float(trace.delta[l][0, j]), digits)
    browser.run("document.getElementById('stop').click()")


def check_check(show, way, seed):
    """The check's columns: the quotient of differences in the network's own arithmetic."""
    net, trace, state, rng = drawn(way, seed)
    digits, power = int(rng.choice([3, 4, 5, 6, 8])), int(rng.integers(-8, -1))
    browser = show("check", wait="document.querySelector('.verdict') !== null "
                   "&& document.querySelector('td') !== null", net=state, digits=digits,
                   check={"power": power})  # fmt: skip
    check_numbers(browser, trace, net, digits)
    check_labels(browser, trace, net, digits)
    gradient = net.gradients(trace.a[0], trace.y)[1]
    assert texts(browser, "td[data-q=gradient]") == [shown(float(v), digits) for v in gradient]
    quotients, losses = [], []
    for i in range(net.num_parameters):
        moved, both = net.copy(), []
        for sign in (1, -1):
            moved.parameters[i] = net.parameters[i] + sign * 10.0**power
            both.append((float(moved.parameters[i]), moved.gradients(trace.a[0], trace.y)[0]))
        (up, C_up), (down, C_down) = both
        losses.append([C_up, C_down])
        quotients.append((C_up - C_down) / (up - down) if up != down else np.nan)
    for text, value in zip(texts(browser, "td[data-q=quotient]"), quotients, strict=True):
        if np.isfinite(value):
            # As printed, but for the last bit of up - down.
            assert float(text.replace("\N{MINUS SIGN}", "-")) == pytest.approx(
                value, rel=10.0 ** (1 - digits), abs=1e-300
            )
        else:
            assert text == "not finite"
    assert [browser.run(f"document.querySelector('[data-q={q}]').textContent")
            for q in ("up", "down")] == [shown(v, 10) for v in losses[0]]  # fmt: skip


def check_chain(show, way, seed):
    hidden, (loss, output), _ = way
    if loss == "cross_entropy":
        return
    outputs = [o for l, o in ONE_EACH if l == loss]
    output = hidden if hidden in outputs else outputs[0]
    _, _, _, rng = drawn(way, seed)
    while True:
        scale = rng.choice([1, 1, 3, 10])
        W, b = np.round(rng.normal(0, scale, 2), 2), np.round(rng.normal(0, scale, 2), 2)
        x, y = float(np.round(rng.normal(), 2)), float(target(rng, loss, 1)[0])
        net = fcnn.Network((1, 1, 1), hidden, output, loss, "float64")
        for l in (0, 1):
            net.weights[l][:], net.biases[l][:] = W[l], b[l]
        trace = net.trace([[x]], [[y]])
        if np.isfinite(trace.loss) and np.isfinite(trace.z[2]).all():
            break
    digits = int(rng.choice([3, 4, 5, 6, 8]))
    state = {"W": W.tolist(), "b": b.tolist(), "x": x, "y": y, "activation": hidden, "loss": loss}
    browser = show("chain", wait=READY, chain=state, digits=digits)
    counts = check_numbers(browser, trace, net, digits)
    assert counts["delta"] == 4
    counts = check_formulas(browser, trace, digits)
    assert (counts["delta"], counts["dW"], counts["db"]) == (2, 2, 2)
    gradient = net.gradients(trace.a[0], trace.y)[1][0]
    assert browser.run("document.querySelector('[data-q=gradient]').textContent") == shown(
        float(gradient), digits
    )


VIEWS = {"full": check_full, "check": check_check, "chain": check_chain}


def fails_of(show, ways, view):
    """Return, of all ways, those of which something on the page is wrong, and the first of it."""
    found = {}
    for i, way in enumerate(ways):
        try:
            VIEWS[view](show, way, i)
            assert show.browser.errors == []
            said = "document.querySelectorAll('.alert:not([hidden]), .address-note:not([hidden])')"
            assert show.browser.run(f"[...{said}].map((one) => one.textContent)") == []
        except AssertionError as error:
            show.browser.errors.clear()
            found[json.dumps(way), i] = str(error)[:700]
    return found


@pytest.mark.parametrize(
    "page", ["chromium", pytest.param("firefox", marks=pytest.mark.long("a second engine"))],
    indirect=True, scope="module",
)  # fmt: skip
@pytest.mark.parametrize("view", VIEWS)
def test_some_of_every_kind(page, view):  # noqa: F811
    assert fails_of(page, covering(), view) == {}


@pytest.mark.long("a page for each of some 800 networks")
@pytest.mark.parametrize("page", ["chromium", "firefox"], indirect=True, scope="module")
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("view", VIEWS)
def test_all_of_them(page, view, part):  # noqa: F811
    assert fails_of(page, WAYS[part::8], view) == {}
