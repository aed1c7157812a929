"""The stand-alone C: compiled without a warning, and compared with predict."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS, random_network
from generated_c import FLAGS, build, compiled, pointer, predicted

import fcnn
from fcnn import convert, reference
from fcnn.tables import Preparation, Target

DTYPES = ["float32", "float64"]


def amplified(net, X):
    """What a relative error of 1 in every sum and function value makes of the outputs, at most.

    The error of z is that of its largest possible partial sum, sum_j |W_kj a_j| + |b_k|, and of the
    activations before; sigma multiplies it by |sigma'(z)| and adds its own. For gelu that is one of
    z: where z Phi(z) is small, 1 + erf has lost its digits.
    """
    twin = reference.Network(net.sizes, net.activations, net.loss)
    twin.parameters[:] = net.parameters
    z, a = twin.forward(np.asarray(X, np.float64))
    error = np.zeros_like(a[0])
    for l, name in enumerate(net.activations, start=1):
        size = np.abs(a[l])
        error = (error + np.abs(a[l - 1])) @ np.abs(twin.W[l]).T + np.abs(twin.b[l])
        if name == "softmax":
            error = size * (error + (size * error).sum(axis=1, keepdims=True)) + size
        elif name == "ascending":
            # Of softplus and of every sum, of which the largest is at an end.
            largest = np.maximum(size, np.abs(z[l])).max(axis=1, keepdims=True)
            error = (error + size.shape[1] * largest).cumsum(axis=1)
        else:
            derivative = np.abs(reference.activation_of(name).derivative(z[l], a[l]))
            error = derivative * error + (np.abs(z[l]) if name == "gelu" else size)
    return error


def check_outputs(net, X, got):
    wanted = net.predict(X)
    error = np.abs(got.astype(np.float64) - wanted)
    numbers = np.finfo(net.dtype)
    allowed = 2 * numbers.eps * amplified(net, X) + numbers.smallest_subnormal
    assert np.isfinite(wanted).all()
    assert (error <= allowed).all(), (net, (error / allowed).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype",
    ["float32", pytest.param("float64", marks=pytest.mark.slow(reason="60 networks to compile"))],
)
def test_random_networks(compiler, dtype, tmp_path):
    rng = np.random.default_rng(0)
    nets = [random_network(rng, dtype, spread=spread) for spread in (1, 1, 3) for _ in range(12)]
    nets += [random_network(rng, dtype, [name]) for name in HIDDEN]
    losses = {output: loss for loss, output in reversed(PAIRS)}
    nets += [random_network(rng, dtype, [], [(losses[name], name)]) for name in losses]
    # All in one file: nothing in one gets into the way of another.
    text = "\n".join(convert.to_c(net, f"net{i}") for i, net in enumerate(nets))
    library = compiled(compiler, tmp_path, text, "-O2")
    for i, net in enumerate(nets):
        X = rng.normal(size=(10, net.sizes[0])).astype(dtype)
        check_outputs(net, X, predicted(getattr(library, f"net{i}_predict"), net, X))


def test_the_bound_is_one_that_a_wrong_activation_misses(any_compiler, tmp_path):
    net = random_network(np.random.default_rng(1), "float32", ["gelu"])
    text = convert.to_c(net, "net")
    text = text.replace("net_erf(odd", "net_erf(1.00001f * odd")
    assert "1.00001" in text
    library = compiled(any_compiler, tmp_path, text)
    X = np.random.default_rng(2).normal(size=(50, net.sizes[0])).astype("float32")
    with pytest.raises(AssertionError):
        check_outputs(net, X, predicted(library.net_predict, net, X))


@pytest.mark.parametrize("dtype", DTYPES)
def test_parameters_are_exact(any_compiler, dtype, tmp_path):
    """A product with a row of the unit matrix reads a weight: subnormal, huge, tiny, -0."""
    numbers = np.finfo(dtype)
    rng = np.random.default_rng(0)
    net = fcnn.Network((4, 3), loss="squared_error", dtype=dtype, init="zeros")
    extremes = [numbers.max, numbers.min, numbers.tiny, numbers.smallest_subnormal, -0.0, 1.0]
    net.weights[0].flat[:] = [*extremes, *rng.normal(size=6)]
    library = compiled(any_compiler, tmp_path, convert.to_c(net, "net"))
    got = predicted(library.net_predict, net, np.eye(4))
    np.testing.assert_array_equal(got, net.weights[0].T, strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_saturation_infinity_and_nan(any_compiler, hidden, dtype, tmp_path):
    """Each hidden node sees the input itself, and each output node a hidden one."""
    output = "softmax" if hidden == "identity" else "sigmoid" if hidden == "relu" else "identity"
    loss = "squared_error"
    net = fcnn.Network((1, 1, 1), hidden, output, loss, dtype, init="zeros")
    net.parameters = [1, 0, 1, 0]
    library = compiled(any_compiler, tmp_path, convert.to_c(net, "net"))
    X = np.array([0, 1e-30, -1e-30, 19.99, 20.01, -50, 50, -120, 120, -800, 800], dtype)
    for x in X:
        check_outputs(net, [[x]], predicted(library.net_predict, net, [[x]]))
    X = np.array([np.inf, -np.inf, np.nan], dtype)[:, None]
    got = predicted(library.net_predict, net, X)
    np.testing.assert_array_equal(got, net.predict(X), strict=True)


@pytest.mark.slow
def test_no_library_is_called(compiler, tmp_path):
    if sys.platform != "linux" or shutil.which("nm") is None:
        pytest.skip("needs nm, and Linux, whose names have no prefix")
    net = random_network(np.random.default_rng(0), "float64", HIDDEN)
    text = convert.to_c(net, "net")
    assert "math.h" not in text
    made = build(compiler, tmp_path, text, "-O1", "-c")
    listed = subprocess.run(["nm", str(made)], capture_output=True, text=True, check=True).stdout
    symbols = re.findall(r"([A-Za-z]) (\w+)$", listed, re.MULTILINE)
    assert [name for kind, name in symbols if kind == "T"] == ["net_predict"]
    assert not [name for kind, name in symbols if kind in "BbDdC"]  # nothing that is written to
    called = {name for kind, name in symbols if kind == "U"} - {"_GLOBAL_OFFSET_TABLE_"}
    assert called <= {"memcpy", "memset"}


def test_sizes_are_macros(any_compiler, tmp_path):
    net = fcnn.Network((7, 5, 6, 9, 2), "tanh", dtype="float64")
    text = convert.to_c(net, "Net_1") + (
        "const int sizes[3] = {NET_1_INPUTS, NET_1_OUTPUTS, NET_1_SCRATCH_BYTES};\n"
    )
    library = compiled(any_compiler, tmp_path, text)
    # Whole blocks of four doubles, and two for the outputs.
    assert list((ctypes.c_int * 3).in_dll(library, "sizes")) == [7, 2, (12 + 8) * 8]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(30, 10), (10, 900, 10), (9, 50, 70, 60, 10)])
def test_the_stack_is_as_large_as_announced(sizes, tmp_path):
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("needs gcc, elsewhere often another compiler's name")
    net = fcnn.Network(sizes, "gelu")
    text = convert.to_c(net, "net")
    build("gcc", tmp_path, text, "-O2", "-c", "-fstack-usage")
    usage = next(tmp_path.glob("*.su")).read_text()
    taken = [int(line.split("\t")[1]) for line in usage.splitlines() if "net_predict" in line]
    announced = int(re.search(r"NET_SCRATCH_BYTES (\d+)", text)[1])
    # An array that fits the registers may take nothing of the stack.
    assert announced - 64 <= taken[0] <= announced + 300


@pytest.mark.slow
def test_threads(any_compiler, tmp_path):
    """ctypes lets go of the lock during a call, so these run at the same time."""
    rng = np.random.default_rng(0)
    net = random_network(rng, "float32", ["tanh", "relu", "silu"])
    library = compiled(any_compiler, tmp_path, convert.to_c(net, "net"), "-O2")
    X = rng.normal(size=(500, net.sizes[0])).astype("float32")
    wanted, got = predicted(library.net_predict, net, X), [None] * 4

    def work(i):
        got[i] = predicted(library.net_predict, net, X)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in got:
        np.testing.assert_array_equal(answer, wanted)


@pytest.mark.slow
def test_the_program_of_the_documents(any_compiler, tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "embedding.md").read_text("utf-8")
    (program,) = re.findall(r"<!-- stand-alone -->\n```c\n(.*?)```", text, re.DOTALL)
    net = fcnn.Network((4, 16, 3))
    convert.to_c(net, "model", tmp_path / "model.c")
    (tmp_path / "main.c").write_text(program)
    command = [any_compiler, *FLAGS, "main.c", "-o", "program", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    printed = subprocess.run(
        [tmp_path / "program"], capture_output=True, check=True, text=True, timeout=60
    )
    answer = np.array(printed.stdout.split(), np.float32)
    np.testing.assert_allclose(answer, net.predict([5.1, 3.5, 1.4, 0.2]), rtol=1e-6)


def test_a_file(tmp_path):
    net = fcnn.Network((2, 3, 1), loss="squared_error")
    path = tmp_path / "net.c"
    text = convert.to_c(net, "net", path)
    assert path.read_text() == text == convert.to_c(net, "net", path=os.fspath(path))
    assert text.isascii()


@pytest.mark.parametrize(
    "name", ["", "1net", "my net", "net-1", "größe", "_net", "for", "net\n", "net;", "a/*"]
)
def test_names_are_identifiers(name):
    with pytest.raises(ValueError, match="name: expected an identifier of C"):
        convert.to_c(fcnn.Network((2, 2)), name)


def test_wrong_arguments(tmp_path):
    net = fcnn.Network((2, 2))
    with pytest.raises(TypeError, match=r"net: expected a fcnn.Network, got list"):
        convert.to_c([], "net")
    with pytest.raises(TypeError, match="name: expected a str, got int"):
        convert.to_c(net, 1)
    with pytest.raises(TypeError, match=r"path: expected a str or os.PathLike"):
        convert.to_c(net, "net", 1)
    net.biases[0][1] = np.inf
    with pytest.raises(ValueError, match="parameters: expected finite numbers, got inf"):
        convert.to_c(net, "net", tmp_path / "net.c")
    assert not list(tmp_path.iterdir())


# --- Derivatives ------------------------------------------------------------------------------


def jacobians(library, name, net, X):
    function = getattr(library, f"{name}_jacobian")
    function.restype = None
    X = np.ascontiguousarray(X, net.dtype)
    J = np.full((len(X), net.sizes[-1], net.sizes[0]), 7, net.dtype)
    for x, one in zip(X, J, strict=True):
        function(pointer(x), pointer(one))
    return J


@pytest.mark.slow(reason="the compiler takes 8 s")
@pytest.mark.parametrize(
    "dtype", [DTYPES[0], *(pytest.param(d, marks=pytest.mark.long(reason="the first stands for it"))
                           for d in DTYPES[1:])]
)  # fmt: skip
def test_jacobians_are_those_of_the_network(compiler, dtype, tmp_path):
    """Every activation, hidden and of the output, and depths from one layer on."""
    rng = np.random.default_rng(0)
    made = [random_network(rng, dtype, [hidden]) for hidden in HIDDEN]
    made += [random_network(rng, dtype, ["tanh"] * L, [pair]) for L in (0, 2) for pair in PAIRS]
    texts = [convert.to_c(net, f"net{i}", derivatives=True) for i, net in enumerate(made)]
    library = compiled(compiler, tmp_path, "\n".join(texts), "-O2")
    for i, net in enumerate(made):
        X = rng.normal(size=(9, net.sizes[0]))
        X[-1, 0] = np.nan
        expected, got = net.jacobian(X), jacobians(library, f"net{i}", net, X)
        assert np.isnan(got[-1]).all()
        scale = np.abs(expected[:-1]).max()
        tolerance = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(got[:-1], expected[:-1], rtol=0, atol=tolerance * scale)


def test_derivatives_of_what_has_none():
    with pytest.raises(TypeError, match="derivatives: expected True or False"):
        convert.to_c(fcnn.Network((2, 2)), "a", derivatives="yes")
    preparation = Preparation.fit({"size": [1.0, 2.0, 4.0]})
    model = fcnn.Model(fcnn.Network((1, 1), loss="squared_error"), preparation, Target(["price"]))
    with pytest.raises(ValueError, match=r"derivatives: .* model\.network"):
        convert.to_c(model, "a", derivatives=True)
