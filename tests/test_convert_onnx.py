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


# Constants for nodes, beside those of every graph.
ODD = {"v": np.float32([1, -2, 0.5, 3]), "B3": np.float32([[[1, 2], [0, 1], [3, -1], [-2, 1]]]),
       "i0": np.array([0]), "i1": np.array([1]), "i2": np.array([2]), "i12": np.array([1, 2]),
       "one": np.float32(1), "w1": np.ones((4, 1), "f4"), "half": np.float32(0.5),
       "same": np.array([4, 4, 5, 6]),
       "three": np.array([7, 8, 9])}  # fmt: skip


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
        ("z = Constant <value = double {2.5}> () " + H + "c = CastLike(z, h) y = Mul(h, c)",
         17, ()),
        ("c = CastLike(x, At) y = Gemm(c, A, b)", 17, ()),
        (H + "i = Tanh(h) y = MatMul(i, v)", 17, ()),
        (H + "i = MatMul(h, B3) y = Softmax <axis = 2> (i)", 17, ()),
        (H + "i = MatMul(h, B3) y = Transpose <perm = [1, 2, 0]> (i)", 17, ()),
        (H + "y = Slice <starts = [0], ends = [2147483647], axes = [0]> (h)", 9, ()),
        ("s = Shape(x) n = Slice(s, i0, i1) t = Slice(x, i0, n, i0) y = Gemm(t, A, b)", 17, ()),
        ("s = Shape(x) n = Slice(s, i1, i2) t = Slice(x, i0, n, i1) y = Gemm(t, A, b)", 17, ()),
        (H + "s = Shape(h) n = Gather(s, i1) c = Cast <to = 1> (n) r = Sqrt(c) y = Div(h, r)",
         17, ()),
        (H + "p, q = Split <axis = 1, split = [3, 1]> (h) y = Tanh(q)", 11, ()),
    ],
)  # fmt: skip
def test_forms(nodes, opset, domains):
    constants = {"P": np.ones((2, 3), "f4"), "Q": np.ones((3, 2), "f4"), **ODD}
    close(made(nodes, opset, domains, constants=constants))


BOTH = (H + "i = MatMul(h, w1) p = Sigmoid(i) q = Sub(one, p) "
        "c = Concat <axis = 1> (q, p) ")  # fmt: skip
SOME_ROWS = r"'y' \(Slice\): takes some of the rows alone; .*output=NAME"


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
         r"\(Binarizer\): expected sigmoid outputs above 0.5.* got a limit of 0.7"),
        (H + "y = ArgMax <axis = 0> (h)", 17, (), r"\(ArgMax\): expected the largest of the outp"),
        (H + "y = ArgMax <axis = 1, select_last_index = 1> (h)", 17, (), r"select_last_index=0"),
        ("i = Mul(x, zero) y = Gemm(i, A, b)", 17, (), r"\(Mul\): multiplies an input by 0"),
        ("j = Concat <axis = 0> (x, x) y = Gemm(j, A, b)", 17, (), r"\(Concat\): puts together"),
        ("j = Concat <axis = 1> (x, x) y = Gemm(j, E, b)", 17, (), "reads inputs more than once"),
        # What few rows do not show.
        (H + "y = Slice <starts = [0], ends = [100], axes = [0]> (h)", 9, (), SOME_ROWS),
        (H + "y = Slice <starts = [0], ends = [2000000], axes = [0]> (h)", 9, (), SOME_ROWS),
        (H + "y = Slice <starts = [-2], ends = [2147483647], axes = [0]> (h)", 9, (), SOME_ROWS),
        (H + "y, z = Split <axis = 0, split = [5, 4]> (h)", 11, (), r"\(Split\): takes some of"),
        (H + "y = Gather <axis = 0> (h, i12)", 17, (), r"'y' \(Gather\): does not fit \(rows, 4\)"),
        ("s = Shape(x) n = Slice(s, i0, i1) " + H + "y = Slice(h, i0, n, i1)", 17, (),
         r"'y' \(Slice\): takes as many numbers of a row as there are rows"),
        ("s = Shape(x) n = Slice(s, i0, i1) m = Sub(n, i1) t = Slice(x, i0, m, i0) "
         "y = Gemm(t, A, b)", 17, (), r"'t' \(Slice\): takes some of the rows"),
        (H + "s = Shape(h) n = Gather(s, i0) c = Cast <to = 1> (n) y = Div(h, c)", 17, (),
         r"\(Div\): computes with the number of rows"),
        (H + "y = ReduceL2 <axes = [1]> (h)",
         13, (), r"\(ReduceL2\): .* nor sums over it; output=NAME"),
        # A further axis of the weights is one of the product.
        (H + "i = MatMul(h, B3) y = Softmax <axis = 1> (i)",
         17, (), r"\(Softmax\): expected axis=-1"),
        (H + "i = MatMul(h, B3) y = ArgMax <axis = 1> (i)",
         17, (), r"\(ArgMax\): .* \(1, rows, 2\)"),
        # Labels of something else than the outputs of a row, or of others than these.
        (BOTH + "y = ArgMax <axis = 0> (c)",
         17, (), r"\(ArgMax\): is not of the outputs of each row"),
        (BOTH + "t = Transpose(c) y = ArgMax <axis = 1> (t)",
         17, (), r"\(Transpose\): changes the s"),
        (BOTH + "y = Cast <to = 7> (c)",
         17, (), r"\(Cast\): a conversion to int64 in a network of f"),
        (H + "r = Relu(h) y = ai.onnx.ml.Binarizer <threshold = 0.0> (r)", 17, ("ai.onnx.ml",),
         r"\(Binarizer\): expected sigmoid outputs above 0.5, or linear ones above 0"),
        (H + "i = ArgMax <axis = 1> (h) y = Gather(same, i)",
         17, (), r"\(Gather\): makes the same of"),
        (H + "i = ArgMax <axis = 1> (h) y = Gather(three, i)",
         17, (), r"\(Gather\): has 3 classes"),
        (H + "i = Relu(h) j = Mul(i, half) y = ArgMax <axis = 1> (j)", 17, (),
         r"'j' \(Mul\): scales what labels are made of"),
        ("y = ArgMax <axis = 1> (x)",
         17, (), r"model: no layer with weights leads to its output 'y'"),
    ],
)  # fmt: skip
def test_neighbours_that_are_something_else(nodes, opset, domains, message):
    constants = {"zero": np.float32([1, 0, 1]), "E": np.ones((6, 4), "f4"), **ODD}
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


def test_outputs_beside_their_labels_stay_what_they_are():
    nodes = H + "i = ArgMax <axis = 1, keepdims = 0> (h)"
    model = made(nodes, outputs=("h", "i"))
    model.graph.output[1].type.tensor_type.elem_type = 7
    converted = convert.from_onnx(model)
    assert converted.network.activations[-1] == "identity"
    assert np.abs(converted.outputs(X) - run(model, X)).max() <= 1e-6 * np.abs(run(model, X)).max()
    assert (converted.predict(X) == run(model, X, 1)).all()
    asked = convert.from_onnx(model, loss="cross_entropy")
    assert asked.network.activations[-1] == "softmax"
    assert (asked.predict(X) == run(model, X, 1)).all()


@pytest.mark.parametrize(
    "nodes",
    [
        H + "i = ai.onnx.ml.Binarizer <threshold = 0.0> (h)",
        H + "s = Sigmoid(h) i = Greater(s, half)",
        H + "p = Softmax(h) i = ArgMax <axis = 1> (p)",
        H + "p = Softmax(h) i = ArgMax <axis = 1> (p) "
        "z = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2, 3]> (h)",
    ],
)
def test_outputs_beside_labels_of_others_are_refused(nodes):
    outputs = ("z", "i") if "ZipMap" in nodes else ("h", "i")
    model = made(nodes, domains=("ai.onnx.ml",), outputs=outputs, constants=ODD)
    if "ZipMap" in nodes:
        kind = onnx.helper.make_map_type_proto(7, onnx.helper.make_tensor_type_proto(1, ()))
        model.graph.output[0].type.CopyFrom(onnx.helper.make_sequence_type_proto(kind))
    model.graph.output[1].type.tensor_type.elem_type = (
        9 if "Greater" in nodes else 7 if "ArgMax" in nodes else 1
    )
    with pytest.raises(ValueError, match=rf"^model: .*'{outputs[0]}'.*; output=NAME converts one"):
        convert.from_onnx(model)
    if outputs[0] == "h":
        close(model, output="h")


def test_scores_by_the_names_of_classes_stay_what_they_are():
    """Of a perceptron they are no probabilities, and fcnn makes none of them."""
    zipped = "z = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2, 3]> (h)"
    model = made(H + f"i = ArgMax <axis = 1, keepdims = 0> (h) {zipped}", domains=("ai.onnx.ml",),
                 outputs=("i", "z"))  # fmt: skip
    model.graph.output[0].type.tensor_type.elem_type = 7
    kind = onnx.helper.make_map_type_proto(7, onnx.helper.make_tensor_type_proto(1, ()))
    model.graph.output[1].type.CopyFrom(onnx.helper.make_sequence_type_proto(kind))
    converted = convert.from_onnx(model)
    scores = np.array([list(row.values()) for row in run(model, X, 1)])
    assert np.abs(converted.outputs(X) - scores).max() <= 1e-6 * np.abs(scores).max()
    assert (converted.predict(X) == run(model, X)).all()
    with pytest.raises(ValueError, match="predict_proba: the outputs are identity"):
        converted.predict_proba(X)


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


def test_a_data_type_that_onnx_does_not_know():
    net = fcnn.Network((3, 2), rng=0)
    model = convert.to_onnx(net)
    model.graph.initializer[0].data_type = 65
    with pytest.raises(ValueError, match=r"initializer 'W1': cannot be read"):
        convert.from_onnx(model.SerializeToString())
    model = convert.to_onnx(net)
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(ValueError, match=r"99|sound"):
        convert.from_onnx(model.SerializeToString())
