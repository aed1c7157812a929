"""What to_c can write beside the prediction: training, a self-test, weights elsewhere, C++."""

import ctypes
import itertools
import os
import re
import sys

import numpy as np
import pytest
import tabular
from conftest import PAIRS, slow_but, targets
from generated_c import (
    WARNINGS,
    compiled,
    cpp,
    numbered_network,
    pointer,
    predicted,
    run,
    worst_error,
)

import fcnn
from fcnn import convert
from fcnn.convert import c_weights
from fcnn.tables import Preparation, Target

LIMIT = {"float32": 1e-6, "float64": 1e-14}
DTYPES = list(LIMIT)


def real(net):
    return ctypes.c_float if net.dtype == np.float32 else ctypes.c_double


# --- All networks, all options, both compilers ---------------------------------------------------

EVERYTHING = {"derivatives": True, "training": True, "self_test": True}
MOST = {"float32": 1e-6, "float64": 1e-14}
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


def self_tests(compiler, folder, nets, *flags, language="c"):
    """Compile files with all options, run their self-tests, and return the errors they print."""
    names = [f"net{i}" for i in range(len(nets))]
    for i, (name, net) in enumerate(zip(names, nets, strict=True)):
        floats = ("hexadecimal", "decimal")[i % 2]
        text = convert.to_c(
            net, name, folder / f"{name}.{language}", header=folder / f"{name}.h", floats=floats,
            **EVERYTHING,
        )  # fmt: skip
        assert text.isascii()
    calls = "".join(f"    failed += {name}_test();\n" for name in names)
    (folder / f"main.{language}").write_text(
        "".join(f'#include "{name}.{language}"\n#include "{name}.h"\n' for name in names)
        + f"int main(void)\n{{\n    int failed = 0;\n{calls}    return failed;\n}}\n"
    )
    standard = "-std=c99" if language == "c" else "-std=c++17"
    command = [compiler, standard, *WARNINGS, *flags, f"main.{language}", "-o", "main", "-lm"]
    run(command, folder)
    printed = run([folder / "main"], folder, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    errors = [float(text) for text in re.findall(r"relative error (\S+) ", printed)]
    assert len(errors) == len(nets)
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("dtype", slow_but(["float32"], DTYPES))
@pytest.mark.parametrize("language", slow_but(["cpp"], ["c", "cpp"]))
def test_all_activations_in_both_languages(compiler, dtype, language, tmp_path):
    """One network for each hidden activation, so that there are all losses and outputs, too."""
    rng = np.random.default_rng(0)
    nets = [numbered_network(rng, dtype, number, 12) for number in range(6)]
    compiler = compiler if language == "c" else cpp(compiler)
    assert max(self_tests(compiler, tmp_path, nets, "-O0", language=language)) <= MOST[dtype]


@pytest.mark.long(reason="25 networks to compile with sanitizers")
@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("language", ["c", "cpp"])
def test_random_networks_under_sanitizers(compiler, dtype, language, tmp_path):
    """Fifty of each compiler and language, all that can be written, run and without a fault."""
    rng = np.random.default_rng(1)
    nets = [numbered_network(rng, dtype, number) for number in range(25)]
    compiler = compiler if language == "c" else cpp(compiler)
    errors = self_tests(compiler, tmp_path, nets, "-O1", *SANITIZED, language=language)
    assert max(errors) <= MOST[dtype]


@pytest.mark.slow
def test_sanitizers(any_compiler, tmp_path):
    """The quick part of the test above; and a read behind the parameters is one that they find."""
    net = numbered_network(np.random.default_rng(2), "float32", 6, 8)
    assert self_tests(any_compiler, tmp_path, [net], *SANITIZED)[0] <= MOST["float32"]


# --- Elementary functions ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_activation_alone(any_compiler, dtype, tmp_path):
    """Of one node, for inputs of all sizes: relative to the value itself."""
    x = np.concatenate([np.linspace(-100, 88, 3761), np.geomspace(1e-30, 1, 300)]).astype(dtype)
    x = np.concatenate([x, -x[-300:]])[:, None]
    outputs = {output: loss for loss, output in reversed(PAIRS)}
    nets = {}
    for name in (*fcnn._validation.HIDDEN_ACTIVATIONS, "elu(0.7)", "exp"):
        loss = outputs.get(name, "squared_error")
        nets[name] = fcnn.Network((1, 1), output_activation=name, loss=loss, dtype=dtype)
        nets[name].parameters = [1, 0]
    texts = [convert.to_c(net, f"net{i}") for i, net in enumerate(nets.values())]
    made = compiled(any_compiler, tmp_path, "\n".join(texts), "-O2")
    for i, (name, net) in enumerate(nets.items()):
        got = predicted(getattr(made, f"net{i}_predict"), net, x).astype(np.float64)
        wanted = net.predict(x).astype(np.float64)
        size = np.maximum(np.abs(wanted), np.finfo(dtype).tiny)
        if name == "gelu":  # 1 + erf has lost its digits where it is small, in both
            size = np.maximum(size, np.abs(x))
        error = np.abs(got - wanted) / size
        assert error.max() <= LIMIT[dtype], (name, x[error.argmax()], error.max())


# --- Training ------------------------------------------------------------------------------------


class Trained:
    """A file of C that trains; its functions take arrays."""

    def __init__(self, made, name, net, parameters=None):
        self.made, self.name, self.net = made, name, net
        self.before = [] if parameters is None else [pointer(parameters)]
        self.own = parameters
        if parameters is None:
            kind = real(net) * net.num_parameters
            self.own = np.ctypeslib.as_array(kind.in_dll(made, f"{name}_parameters"))

    def call(self, what, X, y, *numbers):
        function = getattr(self.made, f"{self.name}_{what}")
        function.restype = real(self.net)
        numbers = [n if isinstance(n, ctypes.c_void_p) else ctypes.c_double(n) for n in numbers]
        return function(*self.before, pointer(X), pointer(y), len(X), *numbers)


def problem(rng, net, rows=7):
    X = rng.normal(size=(rows, net.sizes[0])).astype(net.dtype)
    name = net.loss.partition("(")[0]
    return X, np.ascontiguousarray(targets(rng, name, rows, net.sizes[-1], net.dtype))


def problems(dtype):
    """Networks with every loss and output, and every hidden activation."""
    rng = np.random.default_rng(3)
    nets = [numbered_network(rng, dtype, number, 12) for number in range(len(PAIRS))]
    for net in nets:
        net.parameters *= 0.5  # an exp of the output would end the training
    levels = "quantile(0.2, 0.9)"
    nets.append(fcnn.Network((3, 5, 4), "tanh", loss=levels, dtype=dtype, rng=0))
    return rng, nets


@pytest.mark.slow
@pytest.mark.parametrize("weights", slow_but(["text"], ["text", "extern"]))
@pytest.mark.parametrize("dtype", slow_but(["float32"], DTYPES))
def test_gradients_and_steps_are_those_of_the_core(any_compiler, dtype, weights, tmp_path):
    rng, nets = problems(dtype)
    texts = [
        convert.to_c(net, f"net{i}", training=True, weights=weights) for i, net in enumerate(nets)
    ]
    made = compiled(any_compiler, tmp_path, "\n".join(texts), "-O0")
    most = 1e-5 if dtype == "float32" else 1e-12
    for i, net in enumerate(nets):
        X, y = problem(rng, net)
        if net.loss.startswith("quantile"):
            m = net.num_targets
            y = np.ascontiguousarray(rng.normal(size=(len(X), m)).astype(dtype))
        copy = net.parameters.copy() if weights == "extern" else None
        c = Trained(made, f"net{i}", net, copy)
        gradient = np.full(net.num_parameters, 7, dtype)
        loss = c.call("gradient", X, y, pointer(gradient))
        wanted_loss, wanted = net.gradients(X, y)
        assert abs(loss - wanted_loss) <= most * abs(wanted_loss), net
        assert np.abs(gradient - wanted).max() <= most * np.abs(wanted).max(), net
        for rule, optimizer, numbers in (
            ("sgd", fcnn.SGD(0.01, 0.9, weight_decay=0.01), (0.01, 0.9, 0.01)),
            ("adam", fcnn.Adam(0.01, (0.8, 0.99), 1e-6, 0.02), (0.01, 0.8, 0.99, 1e-6, 0.02)),
        ):
            getattr(made, f"net{i}_reset")()
            other = net.copy()
            c.own[: net.num_parameters] = net.parameters
            for _ in range(3):
                loss = c.call(rule, X, y, *numbers)
                wanted_loss = other.train_step(X, y, optimizer)
                assert abs(loss - wanted_loss) <= 10 * most * abs(wanted_loss), (net, rule)
            moved = np.abs(other.parameters - net.parameters).max()
            assert moved > 0
            error = np.abs(c.own[: net.num_parameters] - other.parameters).max()
            assert error <= most * np.abs(other.parameters).max(), (net, rule)


def test_what_is_not_finite_updates_nothing(any_compiler, tmp_path):
    net = fcnn.Network((2, 3, 1), "tanh", loss="squared_error", rng=0)
    c = Trained(compiled(any_compiler, tmp_path, convert.to_c(net, "n", training=True)), "n", net)
    X, y = np.array([[1, np.nan]], np.float32), np.ones((1, 1), np.float32)
    before = c.own.copy()
    assert np.isnan(c.call("sgd", X, y, 0.1, 0.9, 0))
    assert np.isnan(c.call("adam", X, y, 0.1, 0.9, 0.999, 1e-8, 0))
    X[:] = 1
    for odd in (np.nan, np.inf, -np.inf):
        assert np.isnan(c.call("sgd", X, y, odd, 0.9, 0))
        assert np.isnan(c.call("sgd", X, y, 0.1, 0.9, odd))
        assert np.isnan(c.call("adam", X, y, odd, 0.9, 0.999, 1e-8, 0))
        assert np.isnan(c.call("adam", X, y, 0.1, 0.9, odd, 1e-8, 0))
    assert np.isnan(c.call("adam", X, y, 0.1, 1, 0.999, 1e-8, 0))
    assert np.isnan(c.call("sgd", X[:0], y, 0.1, 0.9, 0))
    assert np.isnan(c.call("gradient", X[:0], y, pointer(np.empty(13, np.float32))))
    # Finite rules, whose steps are not; and 0 / 0 in the layers that get no gradient.
    for huge in (3e38, -3e38):
        assert np.isnan(c.call("sgd", 10 * X, 10 * y, huge, 0.9, 0))
        assert np.isnan(c.call("sgd", X, y, 1e3, 0.9, huge))
        assert np.isnan(c.call("adam", X, y, huge, 0.9, 0.999, 1e-38, 0))
        assert np.isnan(c.call("adam", X, y, 0.1, 0.9, 0.999, 1e-8, huge))
    assert np.isnan(c.call("adam", 0 * X, y, 0.1, 0.9, 0.999, 0, 0))
    np.testing.assert_array_equal(c.own, before)
    assert np.isfinite(c.call("sgd", np.ones_like(X), y, 0.1, 0.9, 0))
    assert np.isfinite(c.own).all()
    assert (c.own[:13] != before[:13]).all()


# --- Weights elsewhere ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_the_caller(any_compiler, dtype, tmp_path):
    rng = np.random.default_rng(0)
    net = numbered_network(rng, dtype, 7)
    text = convert.to_c(net, "net", weights="extern", derivatives=True)
    assert "net_parameters" not in text
    made = compiled(any_compiler, tmp_path, text)
    X = rng.normal(size=(5, net.sizes[0]))
    for _ in range(2):  # swapped while it runs
        # Exactly as many as there are: what is read behind them would be a NaN.
        page = np.full(net.num_parameters + 64, np.nan, dtype)
        page[: net.num_parameters] = net.parameters
        got = predicted(made.net_predict, net, X, pointer(page))
        assert worst_error(got, net.predict(X)) <= LIMIT[dtype]
        net.parameters = rng.normal(0, 0.3, net.num_parameters)


def program(folder, body, name="net"):
    (folder / "main.c").write_text(
        f'#include "{name}.c"\n#include <stdio.h>\nint main(int n, char **word)\n{{\n'
        f"    static float x[NET_INPUTS], a[NET_OUTPUTS];\n    int k;\n"
        f"    for (k = 0; k < NET_INPUTS; k++)\n        x[k] = (float)(k % 7) / 7;\n    (void)n;\n"
        f"    (void)word;\n{body}    net_predict(x, a);\n"
        f'    for (k = 0; k < NET_OUTPUTS; k++)\n        printf("%.9g ", a[k]);\n'
        "    return 0;\n}\n"
    )


def large():
    net = fcnn.Network((40, 30, 3), "tanh", loss="squared_error", rng=0)
    return net, (np.arange(40) % 7 / 7).astype(np.float32)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="programs that are not ELF load the file")
@pytest.mark.parametrize("training", [False, True])
def test_a_file_of_weights_in_the_program(compiler, training, tmp_path):
    net, x = large()
    convert.to_c(net, "net", tmp_path / "net.c", weights="file", training=training)
    assert (tmp_path / "net.bin").read_bytes() == net.parameters.tobytes()
    program(tmp_path, "")
    build = [compiler, "-std=c99", *WARNINGS, "main.c", "-o", "main", "-lm"]
    run(build, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "net.bin").rename(tmp_path / "elsewhere" / "w.bin")
    answers = np.array(run([tmp_path / "main"], tmp_path).split(), np.float32)
    assert worst_error(answers, net.predict(x)) <= 1e-6
    run([*build, '-DNET_WEIGHTS="elsewhere/w.bin"', "-O2"], tmp_path)
    again = np.array(run([tmp_path / "main"], tmp_path).split(), np.float32)
    assert worst_error(again, net.predict(x)) <= 1e-6
    (tmp_path / "net.bin").write_bytes(net.parameters[1:].tobytes())
    with pytest.raises(
        AssertionError, match=r"net.bin: expected \d+ bytes|invalid number of bytes|negative|\.zero"
    ):
        run(build, tmp_path)


def test_a_file_of_weights_that_is_loaded(compiler, tmp_path):
    net, x = large()
    convert.to_c(net, "net", tmp_path / "net.c", weights="file")
    program(tmp_path, '    printf("%d ", n > 1 ? net_load(word[1]) : 0);\n')
    run([compiler, "-std=c99", *WARNINGS, "-DNET_LOAD", "main.c", "-o", "main"], tmp_path)

    def answered(*words):
        code, *numbers = run([tmp_path / "main", *words], tmp_path).split()
        return int(code), np.array(numbers, np.float32)

    code, answers = answered("net.bin")
    assert code == 0
    assert worst_error(answers, net.predict(x)) <= 1e-6
    whole = (tmp_path / "net.bin").read_bytes()
    broken = {-1: None, -2: [whole[:-4], whole + b"\\0"], -3: [whole[:-1] + b"?"]}
    for wanted, contents in broken.items():
        for content in contents or [None]:
            if content is not None:
                (tmp_path / "odd.bin").write_bytes(content)
            code, answers = answered("odd.bin")
            assert code == wanted
            assert np.isnan(answers).all()
    assert np.isnan(answered()[1]).all()  # nothing was loaded


NAMES = [
    'a "b" c', "back\\slash", "%s\\n", "NAME_REAL@FILE", "@PATH {0.5}", "größe", "a*b", "?",
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="names that other file systems do not have")
@pytest.mark.parametrize("stem", slow_but(['a "b" c'], NAMES))
def test_any_name_of_a_file_of_weights(any_compiler, stem, tmp_path):
    """It stands in a comment, in a string of C and, within that, in one of the assembler."""
    net, x = large()
    path = tmp_path / f"{stem}.c"
    text = convert.to_c(net, "net", path, weights="file")
    assert text.isascii()
    program(tmp_path, "")
    main = (tmp_path / "main.c").read_text().replace("net.c", "copy.c")
    (tmp_path / "main.c").write_text(main)
    path.rename(tmp_path / "copy.c")  # quotes are nothing for #include
    run([any_compiler, "-std=c99", *WARNINGS, "main.c", "-o", "main", "-lm"], tmp_path)
    answers = np.array(run([tmp_path / "main"], tmp_path).split(), np.float32)
    assert worst_error(answers, net.predict(x)) <= 1e-6


def test_nothing_is_padded_where_nothing_is_read_behind_the_weights(tmp_path):
    for n_out, zeros in ((3, 1), (4, 0), (8, 0)):
        net = fcnn.Network((5, n_out), loss="squared_error")
        text = convert.to_c(net, "net", tmp_path / "net.c", weights="file")
        assert text.count('".zero ') - text.count('CHECK ".zero ') == zeros
        assert ".zero 0" not in text


def test_many_weights_go_to_a_file_of_their_own(tmp_path, monkeypatch):
    net, _ = large()
    for most, is_file in ((net.num_parameters, False), (net.num_parameters - 1, True)):
        monkeypatch.setattr(c_weights, "MOST_IN_TEXT", most)
        text = convert.to_c(net, "net", tmp_path / "net.c")
        assert (tmp_path / "net.bin").exists() == is_file
        assert ("incbin" in text) == is_file
    assert "incbin" not in convert.to_c(net, "net")  # alone it has to be whole
    assert c_weights.MOST_IN_TEXT == net.num_parameters - 1
    monkeypatch.undo()
    assert c_weights.MOST_IN_TEXT == 262_144  # as the documents say


# --- Header, numbers, self-test ------------------------------------------------------------------


def test_the_header_is_enough_to_call(compiler, tmp_path):
    """From C and from C++, with the file in a unit of its own."""
    net, x = large()
    convert.to_c(net, "net", tmp_path / "net.c", header=tmp_path / "net.h", derivatives=True)
    program(tmp_path, "")
    text = (tmp_path / "main.c").read_text().replace('"net.c"', '"net.h"')
    for language, standard in (("c", "-std=c99"), ("cpp", "-std=c++17")):
        (tmp_path / f"main.{language}").write_text(text)
        one = compiler if language == "c" else cpp(compiler)
        run([compiler, "-std=c99", *WARNINGS, "-c", "net.c"], tmp_path)
        run([one, standard, *WARNINGS, "-c", f"main.{language}"], tmp_path)
        run([one, "main.o", "net.o", "-o", "main", "-lm"], tmp_path)
        answers = np.array(run([tmp_path / "main"], tmp_path).split(), np.float32)
        assert worst_error(answers, net.predict(x)) <= 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_decimal_numbers_are_exact(any_compiler, dtype, tmp_path):
    numbers = np.finfo(dtype)
    net = fcnn.Network((4, 3), loss="squared_error", dtype=dtype, init="zeros")
    extremes = [numbers.max, numbers.min, numbers.tiny, numbers.smallest_subnormal, -0.0, 1.0]
    net.weights[0].flat[:] = [*extremes, *np.random.default_rng(0).normal(size=6)]
    text = convert.to_c(net, "net", floats="decimal")
    assert not re.search(r"0x[01]\.?[0-9a-f]*p", text)
    got = predicted(compiled(any_compiler, tmp_path, text).net_predict, net, np.eye(4))
    np.testing.assert_array_equal(got, net.weights[0].T, strict=True)


@pytest.mark.slow
def test_the_self_test_is_a_program_and_finds_a_fault(any_compiler, tmp_path):
    net, _ = large()
    X = np.random.default_rng(5).normal(size=(9, 40))
    text = convert.to_c(net, "net", tmp_path / "net.c", self_test=X)
    command = [any_compiler, "-std=c99", *WARNINGS, "-DNET_MAIN", "net.c", "-o", "net", "-lm"]
    run([*command, "-O2"], tmp_path)
    printed = run([tmp_path / "net"], tmp_path)
    assert re.fullmatch(
        r"NET_test: ".lower()
        + r"9 rows, worst relative error \S+ \(at most 1e-05\), \S+ ns a row\n",
        printed,
    )
    (tmp_path / "net.c").write_text(text.replace("a > 20", "a > 0.2f"))
    run(command, tmp_path)
    with pytest.raises(AssertionError, match="worst relative error"):
        run([tmp_path / "net"], tmp_path)


def self_tested(compiler, folder, text):
    (folder / "net.c").write_text(text)
    run([compiler, "-std=c99", "-DNET_MAIN", "net.c", "-o", "net", "-lm"], folder)
    run([folder / "net"], folder)


@pytest.mark.parametrize(
    "parameters", [[1e6, 3, -1e6, 2, 0, 0], [0, 0, 0, 0, 0, 0]], ids=["cancel", "nothing"]
)
def test_terms_that_cancel_are_no_fault(any_compiler, parameters, tmp_path):
    net = fcnn.Network((2, 2), loss="squared_error", dtype="float32")
    net.parameters = parameters
    X = [[1.1, 0.3], [0.7, 0.70001], [-0.2, 0.9]]
    text = convert.to_c(net, "net", self_test=X, floats="decimal")
    self_tested(any_compiler, tmp_path, text)
    if any(
        parameters
    ):  # the second row's -10 is off by a digit of 700,000 in another order of sums
        found = re.search(r"net_test_answers\[6\] = \{\s*([^}]*)\}", text)[1]
        wanted = found.split(",")[2].strip(" f")
        assert -11 < float(wanted) < -9
        self_tested(any_compiler, tmp_path, text.replace(wanted, str(float(wanted) + 0.0625)))


def test_the_self_test_measures_each_target_in_its_unit(any_compiler, tmp_path):
    """A fault of one whose numbers are a billion times smaller is seen."""
    target = Target(["large", "small"], mean=[3e6, 2e-3], scale=[1e6, 1e-3])
    net = fcnn.Network((1, 4, 2), loss="squared_error", rng=0)
    net.weights[1][1] = [0.40625, 0.3125, -0.28125, 0.21875]
    model = fcnn.Model(net, Preparation.fit({"size": [1.0, 2.0, 4.0]}), target)
    data = {"size": [0.5, 1.5, 3.0, 5.0]}
    text = convert.to_c(model, "net", self_test=data, floats="decimal")
    self_tested(any_compiler, tmp_path, text)
    for number in ("0.40625", "0.28125"):
        assert text.count(number) >= 1
        with pytest.raises(AssertionError, match="worst relative error"):
            self_tested(any_compiler, tmp_path, text.replace(number, str(float(number) + 0.001)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_last_digit_of_a_mean_of_many_units_is_no_fault(any_compiler, dtype, tmp_path):
    target = Target(["year"], mean=[2.0**40 + 1], scale=[2.0**20])
    net = fcnn.Network((1, 1), loss="squared_error", dtype=dtype)
    net.parameters = [0.7, 0.1]
    model = fcnn.Model(net, Preparation.fit({"size": [1.0, 2.0, 4.0]}), target)
    text = convert.to_c(model, "net", self_test={"size": [3.0, 0.5]}, floats="decimal")
    self_tested(any_compiler, tmp_path, text)
    found = re.search(r"net_test_answers\[2\] = \{\s*([^,]*),", text)[1]
    next_one = np.nextafter(float(found), 2e12)
    self_tested(any_compiler, tmp_path, text.replace(found, repr(float(next_one))))
    wrong = repr(float(found) + {"float32": 1e2, "float64": 2e-3}[dtype])
    with pytest.raises(AssertionError, match="worst relative error"):
        self_tested(any_compiler, tmp_path, text.replace(found, wrong))


@pytest.mark.slow
def test_the_self_test_of_probabilities_that_are_tiny_in_all_rows(any_compiler, tmp_path):
    net = fcnn.Network((2, 3), rng=0)
    net.parameters = [31.7, 0.1, 0, 33.9, 0, 0.2, 0.3, 0.1, 0]
    X = np.random.default_rng(1).uniform(0.9, 1.1, (9, 2))
    assert net.predict(X)[:, 1:].max() < 1e-20
    self_tested(any_compiler, tmp_path, convert.to_c(net, "net", self_test=X))
    one = fcnn.Network((2, 1), loss="binary_cross_entropy", rng=0)
    one.parameters = [-31.7, -33.9, 0]
    model = fcnn.Model(one, Preparation.fit({"a": [-1.0, 1.0], "b": [-1.0, 1.0]}),
                       Target(classes=["no", "yes"]))  # fmt: skip
    text = convert.to_c(model, "net", self_test={"a": X[:, 0], "b": X[:, 1]})
    self_tested(any_compiler, tmp_path, text)
    assert re.search(r"net_test_sizes\[2\] = \{\s*0x1p\+0, 0x1p\+0", text)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["text", "file", "extern"])
def test_the_self_test_says_that_parameters_were_changed(any_compiler, weights, tmp_path):
    """By a step of SGD or of Adam, or by whoever wrote them: the answers are of others then."""
    net, _ = large()
    convert.to_c(net, "net", tmp_path / "net.c", weights=weights, training=True, self_test=True)
    given = "p, " if weights == "extern" else ""
    numbers = ", ".join(f"{v!r}f" for v in net.parameters.tolist())
    own = f"static float p[] = {{{numbers}}};" if given else "static float *p = net_parameters;"
    tested = f"net_test({given.rstrip(', ')})"
    (tmp_path / "main.c").write_text(
        f'#include "net.c"\n#include <stdio.h>\n{own}\nint main(int n, char **word)\n{{\n'
        "    static float x[NET_INPUTS], y[NET_TARGETS] = {1};\n    (void)word;\n"
        f'    printf("%d\\n", {tested});\n'
        "    if (n == 2)\n        p[5] += 1e-7f;\n"
        f"    if (n == 3)\n        net_sgd({given}x, y, 1, 1e-3, 0, 0);\n"
        f"    if (n == 4)\n        net_adam({given}x, y, 1, 1e-3, 0.9, 0.999, 1e-8, 0);\n"
        f"    return {tested};\n}}\n"
    )
    run([any_compiler, "-std=c99", *WARNINGS, "main.c", "-o", "main", "-lm"], tmp_path)
    said = "the parameters are not those that the answers were recorded with"
    assert said not in run([tmp_path / "main"], tmp_path)
    for words in (1, 2, 3):
        with pytest.raises(AssertionError) as failure:
            run([tmp_path / "main", *"abc"[:words]], tmp_path)
        printed = str(failure.value)
        assert "1e-05)" in printed
        assert printed.count(said) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "weights"),
    [("texts", "text"), ("two, by one output", "extern"), ("numbers", "extern")],
)
def test_models_have_the_options_too(any_compiler, target, weights, tmp_path):
    model = tabular.model("every kind", target)
    data = tabular.table(30, seed=1, new=True)
    text = convert.to_c(
        model, "m", tmp_path / "m.c", self_test=data, header=tmp_path / "m.h", weights=weights,
        floats="decimal",
    )  # fmt: skip
    (tmp_path / "main.cpp").write_text(
        '#include "m.c"\n#include "m.h"\nint main()\n{\n'
        + (
            "    return m_test();\n}\n"
            if weights == "text"
            else "    static float p[M_PARAMETERS] = {"
            + ", ".join(f"{v!r}f" for v in model.network.parameters.tolist())
            + "};\n    return m_test(p);\n}\n"
        )
    )
    assert "m_test" in text
    command = [cpp(any_compiler), "-std=c++17", *WARNINGS, *SANITIZED, "main.cpp", "-o", "main"]
    run([*command, "-lm"], tmp_path)
    assert "30 rows" in run([tmp_path / "main"], tmp_path)


def test_arithmetic_that_is_not_as_written_is_refused(compiler, tmp_path):
    net, _ = large()
    (tmp_path / "net.c").write_text(convert.to_c(net, "net"))
    with pytest.raises(AssertionError, match="compile without -ffast-math"):
        run([compiler, "-ffast-math", "-c", "net.c"], tmp_path)


def test_other_compilers_have_no_attributes(any_compiler, tmp_path):
    """What stands there for compilers that are neither GCC nor Clang."""
    net, x = large()
    convert.to_c(net, "net", tmp_path / "net.c")
    program(tmp_path, "")
    text = (tmp_path / "main.c").read_text()
    (tmp_path / "main.c").write_text("#include <stdio.h>\n#undef __GNUC__\n" + text)
    run([any_compiler, "-std=c99", "-Wno-error", "main.c", "-o", "main"], tmp_path)
    answers = np.array(run([tmp_path / "main"], tmp_path).split(), np.float32)
    assert worst_error(answers, net.predict(x)) <= 1e-6


def test_wrong_options(tmp_path):
    net = fcnn.Network((2, 2))
    model = tabular.model("strict", "texts")
    for what in ("derivatives", "training"):
        with pytest.raises(TypeError, match=f"{what}: expected True or False"):
            convert.to_c(net, "a", **{what: "yes"})
        with pytest.raises(ValueError, match=rf"{what}: .* model\.network"):
            convert.to_c(model, "a", **{what: True})
    for what, value in itertools.product(("weights", "floats"), ("hex", 1)):
        with pytest.raises((TypeError, ValueError), match=f"^{what}: "):
            convert.to_c(net, "a", **{what: value})
    with pytest.raises(ValueError, match='weights: "file" stands beside the text; give its path'):
        convert.to_c(net, "a", weights="file")
    with pytest.raises(TypeError, match="header: expected a str"):
        convert.to_c(net, "a", header=1)
    for what, given in (
        ("header", {"header": tmp_path / "n.c"}),
        ("weights", {"header": tmp_path / "n.bin", "weights": "file"}),
    ):
        with pytest.raises(ValueError, match=rf"{what}: .*n\.(c|bin) is the file of the .*, too"):
            convert.to_c(net, "a", tmp_path / "n.c", **given)
    with pytest.raises(ValueError, match="self_test: of a model give it rows"):
        convert.to_c(model, "a", self_test=True)
    with pytest.raises(ValueError, match=r"self_test: expected shape"):
        convert.to_c(net, "a", self_test=np.ones((3, 4)))
    with pytest.raises(ValueError, match="self_test: expected finite numbers"):
        convert.to_c(net, "a", self_test=[[np.nan, 1]])
    with pytest.raises(ValueError, match="self_test: expected at least one sample"):
        convert.to_c(net, "a", self_test=np.ones((0, 2)))
    assert not list(tmp_path.iterdir())
