"""``fcnn to-c``."""

import ctypes

import numpy as np
import tabular
from generated_c import WARNINGS, pointer
from generated_c import run as run_program

import fcnn
from fcnn.cli import to_c as command
from fcnn.convert import c_weights, c_words


def test_choices_are_those_of_the_library():
    assert command.WEIGHTS == c_weights.KINDS
    assert command.FLOATS == c_words.FLOATS


def test_a_model_with_a_self_test(run, any_compiler, tmp_path):
    model = tabular.model("by position", "texts")
    model.save("my-model.safetensors")
    X = np.random.default_rng(0).normal(3, 1, size=(40, 5))
    np.savetxt("rows.csv", X, delimiter=",", header="a,b,c,d,e", comments="")
    code, out, err = run("to-c", "my-model.safetensors", "--header", "m.h", "--self-test",
                         "rows.csv", "--floats", "decimal")  # fmt: skip
    assert (code, err) == (0, "")
    assert out.startswith("output     my-model.c, ")
    assert "header     m.h" in out
    assert "int my_model_predict(const double *row, double *probabilities);" in (
        (tmp_path / "m.h").read_text()
    )
    build = [any_compiler, "-std=c99", *WARNINGS, "-DMY_MODEL_MAIN", "my-model.c", "-o", "m", "-lm"]
    run_program(build, tmp_path)
    assert "my_model_test: 16 rows" in run_program([tmp_path / "m"], tmp_path)


def test_a_network_with_every_option(run, any_compiler, tmp_path):
    net = fcnn.Network((3, 5, 2), "tanh", loss="squared_error", rng=0)
    net.save("2.safetensors")
    code, out, err = run(
        "to-c", "2.safetensors", "--output", "n.c", "--derivatives", "--training", "--self-test",
        "--weights", "file",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "weights    n.bin" in out
    assert (tmp_path / "n.bin").read_bytes() == net.parameters.tobytes()
    text = (tmp_path / "n.c").read_text()
    for name in ("predict", "jacobian", "gradient", "sgd", "adam", "test"):
        assert f" net_2_{name}(" in text
    run_program([any_compiler, "-DNET_2_MAIN", "n.c", "-o", "n", "-lm"], tmp_path)
    assert "net_2_test: 16 rows" in run_program([tmp_path / "n"], tmp_path)


def test_the_network_of_a_model(run, any_compiler, tmp_path):
    model = tabular.model("strict", "number")
    model.save("m.safetensors")
    assert run("to-c", "m.safetensors", "--network", "--name", "n")[0] == 0
    run_program([any_compiler, "-shared", "-fPIC", "m.c", "-o", "m.so"], tmp_path)
    x, a = np.ones(model.network.sizes[0], np.float32), np.zeros(1, np.float32)
    ctypes.CDLL(str(tmp_path / "m.so")).n_predict(pointer(x), pointer(a))
    np.testing.assert_allclose(a, model.network.predict(x), rtol=1e-6)


def test_refusals(run, tmp_path):
    tabular.model("strict", "texts").save("m.safetensors")
    fcnn.Network((2, 2)).save("n.safetensors")
    for words, message in (
        (["m.safetensors", "--derivatives"], "--derivatives: is for a network alone"),
        (["m.safetensors", "--training"], "--training: is for a network alone; give --network"),
        (["m.safetensors", "--self-test"], "--self-test: expected DATA"),
        (["m.safetensors", "--no-header"], "--no-header: is for the DATA of --self-test"),
        (["n.safetensors", "--self-test", "m.csv"], "--self-test: the rows of a network alone"),
        (["n.safetensors", "--name", "for"], "--name: expected an identifier of C"),
        (["n.safetensors", "--weights", "nowhere"], "--weights: "),
        (["n.safetensors", "--output", "n.safetensors"], "--output: n.safetensors would replace"),
        (["n.safetensors", "--header", "n.c"], "--header: n.c is the file of the text, too"),
        (["absent.safetensors"], "absent.safetensors"),
    ):
        code, out, err = run("to-c", *words)
        assert (code, out) == (2, "")
        assert message in err
    assert not list(tmp_path.glob("*.c"))


def test_what_is_read_is_never_replaced(run, tmp_path):
    """Neither MODEL nor the rows of the self-test, by any of the files that are written."""
    tabular.model("by position", "texts").save("m.bin")
    (tmp_path / "m.bin").with_name("rows.csv").write_text("a,b,c,d,e\n1,2,3,4,5\n")
    (tmp_path / "rows.bin").symlink_to("rows.csv")
    before = {name: (tmp_path / name).read_bytes() for name in ("m.bin", "rows.csv")}
    test = ["--self-test", "rows.csv"]
    for words, message in (
        (["--weights", "file"], "--weights: m.bin would replace what is read"),
        (["--output", "m.bin"], "--output: m.bin would replace what is read"),
        (["--output", "rows.csv", *test], "--output: rows.csv would replace what is read"),
        (["--header", "rows.csv", *test], "--header: rows.csv would replace what is read"),
        (["--output", "rows.c", "--weights", "file", *test], "--weights: rows.bin would replace"),
        (["--output", "x.c", "--weights", "file", "--header", "x.bin"],
         "--weights: x.bin is the file of the declarations, too"),
        (["--output", "x.bin", "--weights", "file"],
         "--weights: x.bin is the file of the text, too"),
    ):  # fmt: skip
        code, out, err = run("to-c", "m.bin", *words)
        assert (code, out) == (2, ""), words
        assert message in err
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "rows.bin", "rows.csv"]
    assert run("to-c", "m.bin")[0] == 0  # which needs no file of weights


def test_an_ensemble_is_refused(run, tmp_path):
    networks = [fcnn.Network((2, 3), rng=i) for i in range(2)]
    fcnn.Ensemble(networks).save(tmp_path / "e.safetensors")
    code, out, err = run("to-c", "e.safetensors")
    assert (code, out) == (2, "")
    assert "e.safetensors: an ensemble of 2 networks" in err
    assert not (tmp_path / "e.c").exists()
