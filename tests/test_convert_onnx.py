"""What attributes, versions and shapes make of an operator of ONNX, against ONNX Runtime."""

import numpy as np
import pytest
from makers.cases import graph, read, run

import fcnn
from fcnn import convert

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
H = "h = Gemm(x, A, b) "
X = np.random.default_rng(1).normal(size=(9, 3)).astype("f4")


def made(nodes, opset=17, domains=(), **options):
    model = graph(np.random.default_rng(0), nodes, opset, **options)
    for domain in domains:
        model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    return model


def close(model, X=X, **options):
    wanted = run(model, X)
    got = read(model, X, wanted, **options)
    assert np.abs(got - wanted).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("nodes", "opset", "domains"),
    [
        (H + "y = Clip <min = 0.0> (h)", 7, ()),
        (H + "y = Clip(h)", 9, ()),
        ("z = Constant <value_float = 0.0> () " + H + "y = Clip(h, z)", 13, ()),
        ("z = Constant <value_float = 0.0> () m = Constant <value = float {3.4028235e+38}> () "
         + H + "y = Clip(h, z, m)", 13, ()),
        (H + "u = Unsqueeze <axes = [1]> (h) s = Softmax <axis = 1> (u) y = Flatten(s)", 11, ()),
        (H + "y = Softmax(h)", 11, ()),
        (H + "y = LeakyRelu <alpha = 0.0> (h)", 17, ()),
        (H + "y = LeakyRelu <alpha = 1.0> (h)", 17, ()),
        (H + "y = Celu(h)", 17, ()),
        (H + "y = Sum(h, b)", 17, ()),
        (H + "i = Neg(h) y = Relu(i)", 17, ()),
        ("s, t = Split <axis = 1, split = [1, 2]> (x) j = Concat <axis = 1> (t, s) "
         "y = Gemm(j, A, b)", 11, ()),
        ("s = Slice <starts = [1], ends = [9], axes = [1]> (x) y = MatMul(s, P)", 9, ()),
        (H + "o, p = Split <axis = 1, split = [1, 3]> (h) t = Tanh(p) y = MatMul(t, Q)", 11, ()),
        ("t = Transpose <perm = [1, 0]> (x) i = Transpose(t) y = MatMul(i, A)", 17, ()),
        ("s = ai.onnx.ml.Scaler <offset = [0.5], scale = [2.0]> (x) y = Gemm(s, A, b)",
         17, ("ai.onnx.ml",)),
        ("s = ai.onnx.ml.Scaler <offset = [1000.0, 0.0, -3.0], scale = [2.0, -0.5, 1.0]> (x) "
         "y = Gemm(s, A, b)", 17, ("ai.onnx.ml",)),
        ("h = com.microsoft.FusedGemm <activation = \"Tanh\", transB = 1, alpha = 0.5> (x, At, b) "
         "y = Gemm(h, B, d)", 17, ("com.microsoft",)),
        ("h = com.microsoft.FusedGemm <activation = \"LeakyRelu\", activation_alpha = 0.01> "
         "(x, A, b) y = Gemm(h, B, d)", 17, ("com.microsoft",)),
        (H + "a = com.microsoft.BiasGelu(h, b) y = Gemm(a, B, d)", 17, ("com.microsoft",)),
        (H + "a = com.microsoft.QuickGelu <alpha = 1.0> (h) y = Gemm(a, B, d)",
         17, ("com.microsoft",)),
    ],
)  # fmt: skip
def test_forms(nodes, opset, domains):
    constants = {"P": np.ones((2, 3), "f4"), "Q": np.ones((3, 2), "f4")}
    close(made(nodes, opset, domains, constants=constants))


@pytest.mark.parametrize(
    ("nodes", "opset", "domains", "message"),
    [
        (H + "y = Clip <min = 0.0, max = 6.0> (h)", 7, (), r"\(Clip\): clips to 0 and 6; fcnn"),
        (H + "y = Clip <max = 0.0> (h)", 7, (), r"\(Clip\): clips to -inf and 0"),
        (H + "u = Unsqueeze <axes = [1]> (h) y = Softmax(u)", 11, (), None),
        (H + "u = Unsqueeze <axes = [1]> (h) y = Softmax <axis = 1> (u)", 11, (), None),
        ("o = Constant <value_ints = [1]> () " + H
         + "u = Unsqueeze(h, o) y = Softmax <axis = 1> (u)", 13, (), r"\(Softmax\): expected axis"),
        (H + "y = Celu <alpha = 0.5> (h)", 17, (), r"\(Celu\): expected alpha=1.0, got 0.5; fcnn"),
        (H + "y = Sum(h, h)", 17, (), r"\(Sum\): joins tensors .*; output=NAME"),
        (H + "y = Mean(h)", 17, (), r"\(Mean\): cannot be converted"),
        ("h = com.microsoft.FusedGemm <activation = \"HardSigmoid\"> (x, A, b) y = Relu(h)",
         17, ("com.microsoft",), r"\(FusedGemm\): is fused with HardSigmoid; fcnn"),
        (H + "y = com.microsoft.QuickGelu(h)", 17, ("com.microsoft",),
         r"\(QuickGelu\): expected alpha=1.0, got 1.702"),
        (H + "y = ai.onnx.ml.Normalizer <norm = \"L1\"> (h)", 17, ("ai.onnx.ml",),
         r"\(Normalizer\): divides by the norm L1 .*; output=NAME"),
        (H + "i = Sigmoid(h) y = ai.onnx.ml.Binarizer <threshold = 0.7> (i)", 17, ("ai.onnx.ml",),
         r"\(Binarizer\): expected probabilities above 0.5, got a limit of 0.7"),
        (H + "y = ArgMax <axis = 0> (h)", 17, (), r"\(ArgMax\): expected the largest of the outp"),
        (H + "y = ArgMax <axis = 1, select_last_index = 1> (h)", 17, (), r"select_last_index=0"),
        ("i = Mul(x, zero) y = Gemm(i, A, b)", 17, (), r"\(Mul\): multiplies an input by 0"),
        ("j = Concat <axis = 0> (x, x) y = Gemm(j, A, b)", 17, (), r"\(Concat\): puts together"),
        ("j = Concat <axis = 1> (x, x) y = Gemm(j, E, b)", 17, (), "reads inputs more than once"),
    ],
)  # fmt: skip
def test_neighbours_that_are_something_else(nodes, opset, domains, message):
    constants = {"zero": np.float32([1, 0, 1]), "E": np.ones((6, 4), "f4")}
    model = made(nodes, opset, domains, constants=constants)
    if message is None:  # flattened from axis 1 on, before version 13
        close(model)
        return
    with pytest.raises(ValueError, match=message):
        convert.from_onnx(model)


def test_inputs_far_from_0_lose_no_digits():
    """Folded into float32 weights, the shift of 1.7e9 would cost all of them."""
    far = (np.float32(1.7e9) + 128 * np.arange(27).reshape(9, 3)).astype("f4")
    constants = {"m": far.mean(axis=0), "s": far.std(axis=0)}
    model = made("h = Sub(x, m) i = Div(h, s) j = Gemm(i, A, b) y = Tanh(j)", constants=constants)
    close(model, far)
    converted = convert.from_onnx(model)
    assert isinstance(converted, fcnn.Model)
    np.testing.assert_array_equal(converted.preparation.mean, constants["m"])


def test_a_model_with_negative_scales_is_saved_and_loaded(tmp_path):
    constants = {"m": np.float32([1, 2, 3]), "s": np.float32([-2, 3, -0.5]), "t": np.float32(4)}
    model = made("h = Sub(m, x) i = Mul(h, s) j = Gemm(i, A, b) k = Tanh(j) y = Sub(k, t)",
                 constants=constants)  # fmt: skip
    close(model)
    converted = convert.from_onnx(model)
    converted.save(tmp_path / "model.safetensors")
    loaded = fcnn.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), converted.predict(X))


def test_outputs_scaled_in_double_lose_no_digits():
    constants = {"m": np.array([1.7e9]), "s": np.array([-67.0])}
    model = made(H + "c = Cast <to = 11> (h) i = Mul(c, s) y = Add(i, m)", constants=constants)
    model.graph.output[0].type.tensor_type.elem_type = 11
    wanted = run(model, X)
    got = convert.from_onnx(model).predict(X)
    assert got.dtype == np.float64
    assert np.abs(got - wanted).max() <= 1e-6 * np.ptp(wanted)


def test_a_factor_of_inputs_alone_is_folded():
    model = made("h = Div(x, c) y = Gemm(h, A, b)", constants={"c": np.float32([255, -255, 2])})
    assert isinstance(convert.from_onnx(model), fcnn.Network)
    close(model)


def test_output_chooses_a_tensor():
    nodes = H + "i = Tanh(h) y = Selu(i)"
    model = made(nodes)
    with pytest.raises(ValueError, match=r"'y' \(Selu\)"):
        convert.from_onnx(model)
    net = convert.from_onnx(model, output="i")
    assert net.activations == ("tanh",)
    with pytest.raises(ValueError, match="output: the model has no tensor 'k', only 'h', 'i', 'y'"):
        convert.from_onnx(model, output="k")
    two = made(H + "y = Tanh(h)", outputs=("y", "h"))
    with pytest.raises(ValueError, match=r"expected one output, got 'y', 'h'; output=NAME"):
        convert.from_onnx(two)
    close(two, output="y")


def test_labels_by_a_label_encoder():
    text = ('h = Gemm(x, A, b) p = Softmax(h) i = ArgMax <axis = 1, keepdims = 0> (p) y = '
            'ai.onnx.ml.LabelEncoder <keys_int64s = [3, 1, 0, 2], '
            'values_strings = ["d", "b", "a", "c"]> (i)')  # fmt: skip
    model = made(text, outputs=("y", "p"))
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 2))
    model.graph.output[0].type.tensor_type.elem_type = 8
    converted = convert.from_onnx(model)
    assert converted.classes == ("a", "b", "c", "d")
    assert (converted.predict(X) == run(model, X).astype(str)).all()
    close_to = run(model, X, 1)
    assert np.abs(converted.predict_proba(X) - close_to).max() <= 1e-6


def test_several_labels_are_left_out_aloud():
    model = made("h = Gemm(x, A, b) p = Sigmoid(h) l = Greater(p, half) y = Cast <to = 7> (l)",
                 outputs=("y", "p"), constants={"half": np.float32(0.5)})  # fmt: skip
    model.graph.output[0].type.tensor_type.elem_type = 7
    with pytest.warns(UserWarning, match=r"output 'y' is left out: .* predict\(X\) is above 0.5"):
        net = convert.from_onnx(model)
    assert ((net.predict(X) > 0.5) == run(model, X)).all()


def test_data_of_another_file_need_a_path(tmp_path):
    model = made(H + "y = Tanh(h)")
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="data", size_threshold=0)
    convert.from_onnx(path)
    with pytest.raises(ValueError, match=r"cannot be read .*; give the path|not a sound ONNX"):
        convert.from_onnx(path.read_bytes())


@pytest.mark.parametrize("features", [3, "m", None])
def test_numbers_of_samples_and_features_may_be_known_or_not(features):
    for samples in (9, "n"):
        close(made("i = Sub(x, c) h = Gemm(i, A, b) y = Reshape(h, s)", shape=(samples, features),
                   constants={"c": np.float32([1, 2, 3]), "s": np.array([-1, 2, 2])}))  # fmt: skip
