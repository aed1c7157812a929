"""The C interface: its table is frozen, and each build's does what the Python methods do."""

import ctypes
import os
import re
import sys
from ctypes import POINTER, byref, c_double, c_int, c_int64, c_size_t, c_ssize_t, c_void_p
from pathlib import Path

import numpy as np
import pytest
from conftest import HIDDEN, PAIRS, core_twin, fitting, in_a_last_page, random_problem

import fcnn
from fcnn._validation import StepOptions

OK, BAD_ARGUMENT, WRONG_DTYPE, SMALL_WORKSPACE, BAD_LABEL, DIVERGED = range(6)
FORWARD, BACKWARD, TRAIN, JACOBIAN, VJP, UPDATE = range(6)
SGD, ADAM, ADAMW = range(3)

HEADER = Path(fcnn.get_include(), "fcnn.h")

# What programs were compiled against, and so can never change: neither a line of these nor their
# order. A new version adds functions at the end, and here its number and its lines.
STRUCTURES = {
    "fcnn_optimizer": {
        1: [
            "int rule",
            "int nesterov",
            "double lr",
            "double weight_decay",
            "double momentum",
            "double beta1",
            "double beta2",
            "double epsilon",
            "int64_t steps",
            "void *state",
            "size_t state_bytes",
        ],
    },
    "fcnn_api": {
        1: [
            "int abi",
            "int version",
            "fcnn_network *(*borrow)(struct _object *network)",
            "fcnn_network *(*load)(const char *path, char *message, size_t message_bytes)",
            "void (*release)(fcnn_network *network)",
            "int (*dtype)(const fcnn_network *network)",
            "ptrdiff_t (*n_inputs)(const fcnn_network *network)",
            "ptrdiff_t (*n_outputs)(const fcnn_network *network)",
            "ptrdiff_t (*n_parameters)(const fcnn_network *network)",
            "void *(*parameters)(fcnn_network *network)",
            "size_t (*workspace_bytes)(const fcnn_network *network, int purpose, ptrdiff_t rows)",
            "size_t (*state_bytes)(const fcnn_network *network, const fcnn_optimizer *optimizer)",
            "int (*forward_f32)(const fcnn_network *network, const float *x, ptrdiff_t rows, "
            "float *out, void *workspace, size_t workspace_bytes)",
            "int (*forward_f64)(const fcnn_network *network, const double *x, ptrdiff_t rows, "
            "double *out, void *workspace, size_t workspace_bytes)",
            "int (*backward_f32)(const fcnn_network *network, const float *x, const float *y, "
            "const int64_t *labels, const float *sample_weight, ptrdiff_t rows, double *loss, "
            "float *gradient, void *workspace, size_t workspace_bytes)",
            "int (*backward_f64)(const fcnn_network *network, const double *x, const double *y, "
            "const int64_t *labels, const double *sample_weight, ptrdiff_t rows, double *loss, "
            "double *gradient, void *workspace, size_t workspace_bytes)",
            "int (*train_step_f32)(fcnn_network *network, const float *x, const float *y, "
            "const int64_t *labels, const float *sample_weight, ptrdiff_t rows, "
            "fcnn_optimizer *optimizer, double *loss, void *workspace, size_t workspace_bytes)",
            "int (*train_step_f64)(fcnn_network *network, const double *x, const double *y, "
            "const int64_t *labels, const double *sample_weight, ptrdiff_t rows, "
            "fcnn_optimizer *optimizer, double *loss, void *workspace, size_t workspace_bytes)",
            "const char *(*error_text)(int code)",
        ],
        2: [
            "int (*jacobian_f32)(const fcnn_network *network, const float *x, ptrdiff_t rows, "
            "float *jacobian, void *workspace, size_t workspace_bytes)",
            "int (*jacobian_f64)(const fcnn_network *network, const double *x, ptrdiff_t rows, "
            "double *jacobian, void *workspace, size_t workspace_bytes)",
            "int (*vjp_f32)(const fcnn_network *network, const float *x, const float *v, "
            "ptrdiff_t rows, float *out, float *product, void *workspace, size_t workspace_bytes)",
            "int (*vjp_f64)(const fcnn_network *network, const double *x, const double *v, "
            "ptrdiff_t rows, double *out, double *product, void *workspace, "
            "size_t workspace_bytes)",
        ],
        3: [
            "int (*update_f32)(fcnn_network *network, const float *gradient, "
            "fcnn_optimizer *optimizer, double l1, double l2, double clip_norm, void *workspace, "
            "size_t workspace_bytes)",
            "int (*update_f64)(fcnn_network *network, const double *gradient, "
            "fcnn_optimizer *optimizer, double l1, double l2, double clip_norm, void *workspace, "
            "size_t workspace_bytes)",
            "ptrdiff_t (*n_targets)(const fcnn_network *network)",
        ],
        4: [
            "ptrdiff_t (*n_layers)(const fcnn_network *network)",
            "ptrdiff_t (*layer_size)(const fcnn_network *network, ptrdiff_t layer)",
            "fcnn_network *(*load_bytes)(const void *content, size_t bytes, char *message, "
            "size_t message_bytes)",
        ],
    },
}
CONSTANTS = {
    "FCNN_OK": 0, "FCNN_BAD_ARGUMENT": 1, "FCNN_WRONG_DTYPE": 2, "FCNN_SMALL_WORKSPACE": 3,
    "FCNN_BAD_LABEL": 4, "FCNN_DIVERGED": 5,
    "FCNN_FLOAT32": 4, "FCNN_FLOAT64": 8,
    "FCNN_FORWARD": 0, "FCNN_BACKWARD": 1, "FCNN_TRAIN": 2, "FCNN_JACOBIAN": 3, "FCNN_VJP": 4,
    "FCNN_UPDATE": 5,
    "FCNN_SGD": 0, "FCNN_ADAM": 1, "FCNN_ADAMW": 2,
}  # fmt: skip
# Bytes where pointers have 8.
SIZES = {"fcnn_optimizer": 80, "fcnn_api": {1: 144, 2: 176, 3: 200, 4: 224}}


class Optimizer(ctypes.Structure):
    """fcnn_optimizer of fcnn.h."""

    _fields_ = [
        ("rule", c_int),
        ("nesterov", c_int),
        *[(name, c_double) for name in ("lr", "weight_decay", "momentum")],
        *[(name, c_double) for name in ("beta1", "beta2", "epsilon")],
        ("steps", c_int64),
        ("state", c_void_p),
        ("state_bytes", c_size_t),
    ]


function = ctypes.CFUNCTYPE  # calls without the GIL, as a C program does
FORWARD_TYPE = function(c_int, c_void_p, c_void_p, c_ssize_t, c_void_p, c_void_p, c_size_t)
VJP_TYPE = function(
    c_int, c_void_p, c_void_p, c_void_p, c_ssize_t, c_void_p, c_void_p, c_void_p, c_size_t
)
BACKWARD_TYPE = function(
    c_int, *[c_void_p] * 5, c_ssize_t, POINTER(c_double), c_void_p, c_void_p, c_size_t
)
TRAIN_TYPE = function(
    c_int, *[c_void_p] * 5, c_ssize_t, POINTER(Optimizer), POINTER(c_double), c_void_p, c_size_t
)

UPDATE_TYPE = function(
    c_int, c_void_p, c_void_p, POINTER(Optimizer), *[c_double] * 3, c_void_p, c_size_t
)


class Api(ctypes.Structure):
    """fcnn_api of fcnn.h."""

    _fields_ = [
        ("abi", c_int),
        ("version", c_int),
        ("borrow", ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object)),
        ("load", function(c_void_p, ctypes.c_char_p, ctypes.c_char_p, c_size_t)),
        ("release", function(None, c_void_p)),
        ("dtype", function(c_int, c_void_p)),
        ("n_inputs", function(c_ssize_t, c_void_p)),
        ("n_outputs", function(c_ssize_t, c_void_p)),
        ("n_parameters", function(c_ssize_t, c_void_p)),
        ("parameters", function(c_void_p, c_void_p)),
        ("workspace_bytes", function(c_size_t, c_void_p, c_int, c_ssize_t)),
        ("state_bytes", function(c_size_t, c_void_p, POINTER(Optimizer))),
        ("forward_f32", FORWARD_TYPE),
        ("forward_f64", FORWARD_TYPE),
        ("backward_f32", BACKWARD_TYPE),
        ("backward_f64", BACKWARD_TYPE),
        ("train_step_f32", TRAIN_TYPE),
        ("train_step_f64", TRAIN_TYPE),
        ("error_text", function(ctypes.c_char_p, c_int)),
        ("jacobian_f32", FORWARD_TYPE),
        ("jacobian_f64", FORWARD_TYPE),
        ("vjp_f32", VJP_TYPE),
        ("vjp_f64", VJP_TYPE),
        ("update_f32", UPDATE_TYPE),
        ("update_f64", UPDATE_TYPE),
        ("n_targets", function(c_ssize_t, c_void_p)),
        ("n_layers", function(c_ssize_t, c_void_p)),
        ("layer_size", function(c_ssize_t, c_void_p, c_ssize_t)),
        ("load_bytes", function(c_void_p, c_void_p, c_size_t, ctypes.c_char_p, c_size_t)),
    ]


def table_of(capsule):
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return Api.from_address(get_pointer(capsule, b"fcnn._C_API"))


@pytest.fixture
def api(core):
    return table_of(core.c_api(fcnn.load))


def address(array):
    return None if array is None else array.ctypes.data


def suffix(dtype):
    return {"float32": "f32", "float64": "f64"}[np.dtype(dtype).name]


class Caller:
    """The table's functions on arrays, in a workspace whose content is the worst there is."""

    def __init__(self, api, network):
        self.api, self.network = api, network
        self.net = api.borrow(network)
        self.end = suffix(network.dtype)

    def workspace(self, purpose, rows):
        size = self.api.workspace_bytes(self.net, purpose, rows)
        assert size > 0
        # One byte off its alignment, and one more that stays as it is.
        memory = np.full(size + 2, 0xFF, np.uint8)
        return memory, memory[1:].ctypes.data, size

    def call(self, name, purpose, rows, *arguments):
        memory, start, size = self.workspace(purpose, rows)
        code = getattr(self.api, f"{name}_{self.end}")(self.net, *arguments, start, size)
        assert memory[0] == memory[-1] == 0xFF
        return code

    def forward(self, X):
        out = np.full((len(X) + 1, self.network.sizes[-1]), -7, X.dtype)
        code = self.call("forward", FORWARD, len(X), address(X), len(X), address(out))
        assert code == OK
        assert (out[-1] == -7).all()
        return out[:-1]

    def jacobian(self, X):
        out = np.full((len(X) + 1, self.network.sizes[-1], X.shape[1]), -7, X.dtype)
        code = self.call("jacobian", JACOBIAN, len(X), address(X), len(X), address(out))
        assert code == OK
        assert (out[-1] == -7).all()
        return out[:-1]

    def vjp(self, X, v, with_outputs=True):
        a = np.full((len(X) + 1, self.network.sizes[-1]), -7, X.dtype) if with_outputs else None
        out = np.full((len(X) + 1, X.shape[1]), -7, X.dtype)
        code = self.call(
            "vjp", VJP, len(X), address(X), address(v), len(X), address(a), address(out)
        )
        assert code == OK
        assert (out[-1] == -7).all()
        assert a is None or (a[-1] == -7).all()
        return None if a is None else a[:-1], out[:-1]

    def targets(self, y):
        return (None, address(y)) if y.dtype == np.int64 else (address(y), None)

    def backward(self, X, y, weight=None):
        loss, gradient = c_double(), np.full(self.network.parameters.size + 1, -7, X.dtype)
        code = self.call(
            "backward", BACKWARD, len(X), address(X), *self.targets(y), address(weight), len(X),
            byref(loss), address(gradient),
        )  # fmt: skip
        assert code == OK
        assert gradient[-1] == -7
        return loss.value, gradient[:-1]

    def train_step(self, X, y, optimizer, weight=None):
        loss = c_double()
        code = self.call(
            "train_step", TRAIN, len(X), address(X), *self.targets(y), address(weight), len(X),
            byref(optimizer), byref(loss),
        )  # fmt: skip
        return code, loss.value

    def update(self, gradient, optimizer, l1=0.0, l2=0.0, clip_norm=0.0):
        return self.call(
            "update", UPDATE, 1, address(gradient), byref(optimizer), l1, l2, clip_norm
        )


def optimizer_for(api, net, **settings):
    """Return a fcnn_optimizer, and its state, which has to be kept."""
    optimizer = Optimizer(**{"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, **settings})
    optimizer.state_bytes = api.state_bytes(net, byref(optimizer))
    state = np.zeros(optimizer.state_bytes, np.uint8)
    optimizer.state = address(state) if state.size else None
    return optimizer, state


# --- The table --------------------------------------------------------------------------------


def declarations(structure):
    """Return the members of a struct of the header, without comments and line breaks."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text("utf-8"), flags=re.DOTALL)
    body = re.search(rf"typedef struct {structure} {{(.*?)}}", text, re.DOTALL)[1]
    return [" ".join(line.split()) for line in body.split(";") if line.strip()]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_structures_only_grow(structure):
    versions = STRUCTURES[structure]
    assert declarations(structure) == [line for v in sorted(versions) for line in versions[v]]


def test_the_constants_stay():
    text = HEADER.read_text("utf-8")
    found = {name: int(value) for name, value in re.findall(r"(FCNN_\w+) = (\d+)", text)}
    assert found == CONSTANTS
    assert re.search(r"#define FCNN_ABI (\d+)", text)[1] == "1"
    assert re.search(r"#define FCNN_VERSION (\d+)", text)[1] == str(max(STRUCTURES["fcnn_api"]))
    assert re.search(r'#define FCNN_CAPSULE "(.*)"', text)[1] == "fcnn._C_API"


def test_the_sizes_stay():
    assert ctypes.sizeof(c_void_p) == 8
    assert ctypes.sizeof(Optimizer) == SIZES["fcnn_optimizer"]
    assert ctypes.sizeof(Api) == SIZES["fcnn_api"][max(STRUCTURES["fcnn_api"])]
    for structure, fields in (("fcnn_optimizer", Optimizer._fields_), ("fcnn_api", Api._fields_)):
        names = [re.search(r"\(\*(\w+)\)|(\w+)$", line) for line in declarations(structure)]
        assert [name[1] or name[2] for name in names] == [name for name, _ in fields]


def test_every_build_has_the_whole_table(api):
    assert (api.abi, api.version) == (1, max(STRUCTURES["fcnn_api"]))
    for name, _ in Api._fields_[2:]:
        assert ctypes.cast(getattr(api, name), c_void_p).value, name


def test_the_pxd_declares_what_the_header_does():
    text = Path(fcnn.__file__).with_name("__init__.pxd").read_text("utf-8")
    for structure in STRUCTURES:
        body = re.search(rf"struct {structure}:\n((?: {{8}}.*\n)+)", text)[1]
        body = re.sub(r"\n {12}\s*", " ", body).replace("( ", "(")
        for line in body.splitlines():
            if "(*" in line:
                assert line.endswith(" except NULL" if "(*borrow)" in line else " noexcept nogil")
        body = re.sub(r" noexcept nogil| except NULL", "", body)
        body = body.replace("object network", "struct _object *network")
        body = re.sub(r"(\w)\* ?", r"\1 *", body)
        assert [line.strip() for line in body.splitlines()] == declarations(structure)
    assert set(CONSTANTS) <= set(re.findall(r"FCNN_\w+", text))
    assert "\n    const fcnn_api* fcnn_import() except NULL\n" in text


def test_the_table_is_that_of_the_build_that_runs():
    table = table_of(fcnn._C_API)
    that_runs = table_of(fcnn._dispatch.core.c_api(fcnn.load))
    assert ctypes.addressof(table) == ctypes.addressof(that_runs)


# --- Derivatives ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("output", "loss"), [("tanh", "squared_error"), ("softmax", "cross_entropy")]
)
def test_derivatives_are_those_of_the_methods(api, core, dtype, output, loss):
    rng = np.random.default_rng(0)
    for sizes in ((4, 9, 3), (40, 30, 50, 20), (5, 2)):
        network = core.DifferentiatedNetwork(
            sizes, (*["gelu"] * (len(sizes) - 2), output), loss, dtype
        )
        network.parameters[:] = rng.normal(size=network.parameters.size)
        caller = Caller(api, network)
        for rows in (1, 2, 7, 140):
            X, v = (rng.normal(size=(rows, n)).astype(dtype) for n in (sizes[0], sizes[-1]))
            assert caller.jacobian(X).tobytes() == network.jacobian(X).tobytes()
            for got, expected in zip(caller.vjp(X, v), network.vjp(X, v), strict=True):
                assert got.tobytes() == expected.tobytes()
            assert caller.vjp(X, v, False)[1].tobytes() == network.vjp(X, v)[1].tobytes()


def test_derivatives_refuse_wrong_arguments(api, core):
    network = core.DifferentiatedNetwork((3, 2), ("tanh",), "squared_error", "float32")
    net = api.borrow(network)
    x, out = np.ones((1, 3), np.float32), np.full(6, -7, np.float32)
    for name, purpose, others in (("jacobian", JACOBIAN, ()), ("vjp", VJP, (x,))):
        size = api.workspace_bytes(net, purpose, 1)
        memory = np.zeros(size, np.uint8)
        outs = (out,) if name == "jacobian" else (None, out)

        def call(x=x, others=others, rows=1, outs=outs, memory=memory, size=size, net=net,
                 end="f32", name=name):  # fmt: skip
            return getattr(api, f"{name}_{end}")(
                net, address(x), *map(address, others), rows, *map(address, outs),
                address(memory), size,
            )  # fmt: skip

        assert call(x=None) == call(rows=0) == call(rows=-1) == call(memory=None) == BAD_ARGUMENT
        assert call(outs=(None,) * len(outs)) == call(net=None) == BAD_ARGUMENT
        if others:
            assert call(others=(None,)) == BAD_ARGUMENT
        assert call(end="f64") == WRONG_DTYPE
        assert call(size=size - 1) == SMALL_WORKSPACE
        assert (out == -7).all()
        assert call() == OK
        assert (out[:3] != -7).all()
        out[:] = -7
        assert api.workspace_bytes(net, purpose, 0) == api.workspace_bytes(None, purpose, 1) == 0


# --- Handles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_handle_says_what_the_network_is(api, core, dtype):
    network = core.Network((3, 5, 2), ("tanh", "softmax"), "cross_entropy", dtype)
    net = api.borrow(network)
    assert api.dtype(net) == np.dtype(dtype).itemsize
    assert (api.n_inputs(net), api.n_outputs(net), api.n_parameters(net)) == (3, 2, 32)
    assert api.parameters(net) == address(network.parameters)
    assert api.n_layers(net) == 2
    assert [api.layer_size(net, l) for l in range(-2, 6)] == [0, 0, 3, 5, 2, 0, 0, 0]
    assert api.layer_size(net, 2**63 - 1) == api.layer_size(net, -(2**63)) == 0


def test_borrow_refuses_what_is_no_network(api, core):
    with pytest.raises(TypeError, match=r"network: expected a fcnn.Network, got int"):
        api.borrow(3)
    with pytest.raises(RuntimeError, match="not been initialized"):
        api.borrow(core.Network.__new__(core.Network))


def test_load_returns_a_network_of_its_own(tmp_path):
    api = table_of(fcnn._C_API)
    network = fcnn.Network((4, 8, 3))
    network.save(tmp_path / "nét.safetensors")
    net = api.load(str(tmp_path / "nét.safetensors").encode(), None, 0)
    assert api.n_parameters(net) == network.num_parameters
    x, out = np.ones((1, 4), np.float32), np.empty((1, 3), np.float32)
    workspace = np.zeros(api.workspace_bytes(net, FORWARD, 1), np.uint8)
    code = api.forward_f32(net, address(x), 1, address(out), address(workspace), workspace.size)
    assert code == OK
    assert out.tobytes() == network.predict(x).tobytes()
    api.release(net)
    api.release(None)


def test_bytes_are_loaded_as_a_file_is(tmp_path):
    api = table_of(fcnn._C_API)
    network = fcnn.Network((4, 8, 3))
    network.save(tmp_path / "a")
    content = bytearray((tmp_path / "a").read_bytes())
    memory = (ctypes.c_char * len(content)).from_buffer(content)
    net = api.load_bytes(ctypes.addressof(memory), len(content), None, 0)
    parameters = (ctypes.c_float * api.n_parameters(net)).from_address(api.parameters(net))
    content[:] = bytes(len(content))  # no longer needed
    assert bytes(parameters) == network.parameters.tobytes()
    api.release(net)


def test_bytes_that_are_none_are_refused(tmp_path):
    api = table_of(fcnn._C_API)
    fcnn.Network((4, 8, 3)).save(tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    message = ctypes.create_string_buffer(500)
    assert not api.load_bytes(None, 10, message, len(message))
    assert message.value == b"TypeError: content: expected the bytes of a file, got NULL"
    for length in range(0, len(content), 7):
        assert not api.load_bytes(content, length, message, len(message))
        assert message.value.startswith(b"ValueError: %d bytes: not a " % length)
    for place in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[place] ^= 1
        assert not api.load_bytes(bytes(damaged), len(content), message, len(message)), place
        assert message.value.startswith(b"ValueError: ")


@pytest.mark.parametrize("size", [0, 1, 12, 500])
def test_load_says_what_is_wrong(tmp_path, size):
    api = table_of(fcnn._C_API)
    whole = f"FileNotFoundError: {tmp_path / 'none.safetensors'}: no such file".encode()
    message = ctypes.create_string_buffer(b"x" * 600, 600)
    assert not api.load(str(tmp_path / "none.safetensors").encode(), message, size)
    written = whole[: size - 1] + b"\0" if size else b""
    assert message.raw == (written + b"x" * 600)[: len(message)]
    assert not api.load(b"none.safetensors", None, 0)
    assert not api.load(None, message, 600)
    assert message.value == b"TypeError: path: expected a file's name, got NULL"


def test_a_short_message_ends_with_a_whole_character(tmp_path):
    api = table_of(fcnn._C_API)
    path = tmp_path / "né€😀"
    whole = f"FileNotFoundError: {path}: no such file"
    for size in range(1, len(whole.encode()) + 3):
        message = ctypes.create_string_buffer(size)
        assert not api.load(str(path).encode(), message, size)
        text = message.value.decode()
        assert whole.startswith(text)
        assert size - 4 <= len(text.encode()) + 1 <= size or text == whole


def test_a_name_in_no_encoding_is_loaded(tmp_path):
    if sys.platform != "linux":
        pytest.skip("file names are Unicode here")
    api = table_of(fcnn._C_API)
    name = os.path.join(os.fsencode(tmp_path), b"\xff.safetensors")
    fcnn.Network((4, 3)).save(tmp_path / "a")
    os.rename(tmp_path / "a", name)
    net = api.load(name, None, 0)
    assert net
    api.release(net)


def test_damaged_files_are_refused(tmp_path):
    api = table_of(fcnn._C_API)
    fcnn.Network((4, 8, 3)).save(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    message = ctypes.create_string_buffer(500)
    for length in range(0, len(content), 7):
        (tmp_path / "damaged").write_bytes(content[:length])
        assert not api.load(str(tmp_path / "damaged").encode(), message, len(message))
        assert message.value.startswith(b"ValueError: ")


def test_a_handle_stays_what_it_is(api, core):
    network = core.Network((4, 8, 3), ("tanh", "identity"), "squared_error", "float32")
    net, parameters = api.borrow(network), api.parameters(api.borrow(network))
    X, y = np.ones((20, 4), "f"), np.zeros((20, 3), "f")
    network.train_step(X, y, fcnn.Adam())
    network.parameters[:] = 0.5
    assert (api.borrow(network), api.parameters(net)) == (net, parameters)
    assert Caller(api, network).forward(X).tobytes() == network.predict(X).tobytes()


# --- Predictions ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(4, 16, 3), (64, 100, 10), (7, 1200, 3), (1, 1)])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9, 33, 300])
def test_forward_is_predict(api, core, dtype, sizes, rows):
    rng = np.random.default_rng(1)
    activations = (*["gelu"] * (len(sizes) - 2), "identity")
    network, (X, _, _) = random_problem(rng, sizes, activations, "squared_error", dtype, rows)
    network = core_twin(core, network)
    assert Caller(api, network).forward(X).tobytes() == network.predict(X).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_backward_is_gradients(api, core, dtype, loss, output):
    rng = np.random.default_rng(2)
    for rows in (1, 3, 4, 20, 300):
        activations = (*rng.choice(HIDDEN, 2), output)
        network, (X, y, weight) = random_problem(
            rng, (5, 18, 33, fitting(4, loss)), activations, loss, dtype, rows, weighted=True
        )
        network = core_twin(core, network)
        caller = Caller(api, network)
        assert api.n_targets(caller.net) == y.shape[1]
        choices = [(y, None), (y, weight)]
        if loss == "cross_entropy":
            choices.append((y.argmax(axis=1), weight))
        for targets, w in choices:
            value, gradient = caller.backward(X, targets, w)
            expected_value, expected = network.gradients(X, targets, w)
            assert value == expected_value
            assert gradient.tobytes() == expected.tobytes()


OPTIMIZERS = {
    "sgd": ({"rule": SGD}, lambda: fcnn.SGD(0.01)),
    "nesterov": (
        {"rule": SGD, "momentum": 0.9, "nesterov": 1, "weight_decay": 0.1},
        lambda: fcnn.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
    "adam": ({"rule": ADAM, "weight_decay": 0.1}, lambda: fcnn.Adam(0.01, weight_decay=0.1)),
    "adamw": ({"rule": ADAMW, "weight_decay": 0.1}, lambda: fcnn.AdamW(0.01, weight_decay=0.1)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 3, 5, 32, 300])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_train_step_is_train_step(api, core, dtype, rows, kind):
    rng = np.random.default_rng(3)
    network, (X, y, weight) = random_problem(
        rng, (6, 40, 21, 4), ("silu", "relu", "softmax"), "cross_entropy", dtype, rows, True
    )
    ours, theirs = core_twin(core, network), core_twin(core, network)
    settings, make = OPTIMIZERS[kind]
    caller, their_optimizer = Caller(api, ours), make()
    optimizer, state = optimizer_for(api, caller.net, **settings)
    labels = y.argmax(axis=1)
    for step in range(4):
        targets, w = (labels, None) if step % 2 else (y, weight)
        code, loss = caller.train_step(X, targets, optimizer, w)
        assert code == OK
        assert loss == theirs.train_step(X, targets, their_optimizer, w, 1)
        assert optimizer.steps == step + 1
        assert ours.parameters.tobytes() == theirs.parameters.tobytes()
    their_state = their_optimizer._state
    our_state = np.split(np.frombuffer(state, ours.dtype), len(their_state)) if their_state else []
    for our_vector, their_vector in zip(our_state, their_state, strict=True):
        assert our_vector[: ours.parameters.size].tobytes() == their_vector.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options", [{}, {"l2": 0.1}, {"l1": 0.01, "l2": 0.1, "clip_norm": 0.01}], ids=str
)
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_update_is_update(api, core, dtype, options, kind):
    rng = np.random.default_rng(5)
    for sizes in ((6, 21, 4), (70, 33, 2), (1, 1)):
        hidden = ["tanh"] * (len(sizes) - 2)
        network = core.CheckedNetwork(sizes, (*hidden, "identity"), "squared_error", dtype)
        network.parameters[:] = rng.normal(size=network.parameters.size)
        theirs = core.CheckedNetwork(sizes, (*hidden, "identity"), "squared_error", dtype)
        theirs.parameters[:] = network.parameters
        settings, make = OPTIMIZERS[kind]
        caller, their_optimizer = Caller(api, network), make()
        optimizer, state = optimizer_for(api, caller.net, **settings)
        for step in range(3):
            gradient = in_a_last_page(rng.normal(size=network.parameters.size).astype(dtype))
            kept = gradient.copy()
            assert caller.update(gradient, optimizer, **options) == OK
            core.update(theirs, their_optimizer, gradient, StepOptions(**options))
            assert gradient.tobytes() == kept.tobytes()
            assert optimizer.steps == their_optimizer.steps == step + 1
            assert network.parameters.tobytes() == theirs.parameters.tobytes()
        their_state = their_optimizer._state
        ours = np.split(np.frombuffer(state, dtype), len(their_state)) if their_state else []
        for our_vector, their_vector in zip(ours, their_state, strict=True):
            assert our_vector[: network.parameters.size].tobytes() == their_vector.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_backward_and_update_are_a_train_step(api, core, dtype, kind):
    rng = np.random.default_rng(6)
    network, (X, y, weight) = random_problem(
        rng, (6, 40, 21, 4), ("silu", "relu", "softmax"), "cross_entropy", dtype, 30, True
    )
    one, other = core_twin(core, network), core_twin(core, network)
    by_step, by_gradient = Caller(api, one), Caller(api, other)
    optimizers = [optimizer_for(api, c.net, **OPTIMIZERS[kind][0]) for c in (by_step, by_gradient)]
    for _ in range(3):
        assert by_step.train_step(X, y, optimizers[0][0], weight)[0] == OK
        _, gradient = by_gradient.backward(X, y, weight)
        assert by_gradient.update(gradient, optimizers[1][0]) == OK
        assert one.parameters.tobytes() == other.parameters.tobytes()


def test_update_refuses(api, core):
    network = core.Network((3, 5, 2), ("tanh", "softmax"), "cross_entropy", "float32")
    net, before = api.borrow(network), network.parameters.copy()
    gradient, memory = np.ones(32, "f"), np.zeros(100_000, np.uint8)
    size = api.workspace_bytes(net, UPDATE, 1)
    assert size == api.workspace_bytes(net, UPDATE, 1000)

    def update(optimizer=None, net=net, gradient=gradient, end="f32", l1=0.0, l2=0.0, clip_norm=0.0,
               memory=memory, size=size, **settings):  # fmt: skip
        made, _state = optimizer_for(api, net, **{"rule": ADAM, **settings})
        return getattr(api, f"update_{end}")(
            net, address(gradient), byref(made) if optimizer is None else optimizer, l1, l2,
            clip_norm, address(memory), size,
        )  # fmt: skip

    for wrong in (
        {"net": None}, {"gradient": None}, {"memory": None}, {"optimizer": POINTER(Optimizer)()},
        {"rule": 3}, {"lr": 0}, {"steps": -1}, {"rule": SGD, "nesterov": 1},
        *({name: value} for name in ("l1", "l2", "clip_norm") for value in (-1, np.nan, np.inf)),
    ):  # fmt: skip
        assert update(**wrong) == BAD_ARGUMENT, wrong
    assert update(end="f64") == WRONG_DTYPE
    assert update(size=size - 1) == SMALL_WORKSPACE
    optimizer, state = optimizer_for(api, net, rule=ADAM)
    optimizer.state_bytes -= 1
    assert update(optimizer=byref(optimizer)) == SMALL_WORKSPACE
    optimizer.state_bytes += 1
    for bad in (np.nan, np.inf):
        for clip_norm in (0.0, 1.0):
            spoiled = gradient.copy()
            spoiled[-1] = bad
            assert update(byref(optimizer), gradient=spoiled, clip_norm=clip_norm) == DIVERGED
    optimizer.lr = 1e300
    assert update(byref(optimizer)) == DIVERGED
    assert optimizer.steps == 0
    assert not state.any()
    assert network.parameters.tobytes() == before.tobytes()
    assert update() == OK


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("rows", [3, 20, 300])
def test_a_step_that_diverges_is_not_made(api, core, rows, kind):
    rng = np.random.default_rng(4)
    network, (X, y, _) = random_problem(
        rng, (6, 40, 4), ("relu", "identity"), "squared_error", "float32", rows
    )
    network = core_twin(core, network)
    caller = Caller(api, network)
    optimizer, state = optimizer_for(api, caller.net, **OPTIMIZERS[kind][0])
    assert caller.train_step(X, y, optimizer)[0] == OK
    before = network.parameters.copy(), state.copy()
    X[:] *= np.float32(1e18)
    assert caller.train_step(X * np.float32(1e15), y, optimizer)[0] == DIVERGED
    for value in (np.inf, np.nan):
        bad = X.copy()
        bad[-1, 2] = value
        assert caller.train_step(bad, y, optimizer)[0] == DIVERGED
    optimizer.lr = 1e300
    assert caller.train_step(X, y, optimizer)[0] == DIVERGED
    assert optimizer.steps == 1
    assert network.parameters.tobytes() == before[0].tobytes()
    assert state.tobytes() == before[1].tobytes()


# --- Errors -----------------------------------------------------------------------------------


def test_wrong_arguments_have_a_code(api, core):
    network = core.Network((3, 5, 2), ("tanh", "softmax"), "cross_entropy", "float32")
    regression = core.Network((3, 5, 2), ("tanh", "identity"), "squared_error", "float32")
    net = api.borrow(network)
    X, y, labels = np.ones((4, 3), "f"), np.ones((4, 2), "f"), np.array([0, 1, 1, 0])
    out, gradient, loss = np.empty((4, 2), "f"), np.empty(32, "f"), c_double(-7)
    workspace = np.zeros(100_000, np.uint8)
    before = network.parameters.copy()

    def forward(net=net, x=X, rows=4, out=out, end="f32", memory=workspace, size=100_000):
        call = getattr(api, f"forward_{end}")
        return call(net, address(x), rows, address(out), address(memory), size)

    def backward(
        net=net, x=X, y=None, labels=labels, rows=4, gradient=gradient, loss=loss, end="f32",
        memory=workspace, size=100_000,
    ):  # fmt: skip
        return getattr(api, f"backward_{end}")(
            net, address(x), address(y), address(labels), None, rows,
            None if loss is None else byref(loss), address(gradient), address(memory), size,
        )  # fmt: skip

    def train(optimizer=None, net=net, labels=labels, end="f32", size=100_000, **settings):
        made, _state = optimizer_for(api, net, **{"rule": ADAM, **settings})
        return getattr(api, f"train_step_{end}")(
            net, address(X), None, address(labels), None, 4,
            byref(made) if optimizer is None else optimizer, byref(loss), address(workspace), size,
        )  # fmt: skip

    assert forward() == backward() == OK
    network.parameters[:] = before
    loss.value = -7
    for call in (forward, backward):
        for wrong in ({"net": None}, {"x": None}, {"rows": 0}, {"rows": -1}, {"memory": None}):
            assert call(**wrong) == BAD_ARGUMENT
        assert call(end="f64") == WRONG_DTYPE
        assert call(size=64) == SMALL_WORKSPACE
    assert forward(out=None) == BAD_ARGUMENT
    assert forward(rows=1, size=api.workspace_bytes(net, FORWARD, 1) - 1) == SMALL_WORKSPACE
    for wrong in ({"gradient": None}, {"loss": None}, {"y": y}, {"labels": None}):
        assert backward(**wrong) == BAD_ARGUMENT
    for label in (-1, 2, 2**62, -(2**63)):
        assert backward(labels=np.array([0, 1, 1, label])) == BAD_LABEL
        assert train(labels=np.array([label, 1, 1, 0])) == BAD_LABEL
    assert backward(net=api.borrow(regression)) == BAD_LABEL
    assert backward(net=api.borrow(regression), labels=None, y=y) == OK
    loss.value = -7

    for wrong in (
        {"rule": 3}, {"rule": -1}, {"lr": 0}, {"lr": np.nan}, {"lr": np.inf}, {"lr": -1},
        {"weight_decay": -1}, {"weight_decay": np.nan}, {"beta1": 1}, {"beta2": -0.1},
        {"epsilon": 0}, {"epsilon": np.nan}, {"steps": -1}, {"steps": 2**63 - 1},
        {"rule": SGD, "momentum": 1}, {"rule": SGD, "nesterov": 1},
        {"rule": SGD, "momentum": np.nan},
    ):  # fmt: skip
        assert train(**wrong) == BAD_ARGUMENT
    assert train(optimizer=POINTER(Optimizer)()) == BAD_ARGUMENT
    assert train(end="f64") == WRONG_DTYPE
    assert train(size=64) == SMALL_WORKSPACE
    optimizer, _state = optimizer_for(api, net, rule=ADAM)
    optimizer.state_bytes -= 1
    assert train(optimizer=byref(optimizer)) == SMALL_WORKSPACE
    optimizer.state_bytes += 1
    optimizer.state = None
    assert train(optimizer=byref(optimizer)) == BAD_ARGUMENT
    assert loss.value == -7
    assert network.parameters.tobytes() == before.tobytes()


def test_sizes_of_wrong_arguments_are_zero(api, core):
    network = core.Network((3, 5, 2), ("tanh", "softmax"), "cross_entropy", "float32")
    net = api.borrow(network)
    assert api.workspace_bytes(None, FORWARD, 1) == 0
    assert api.workspace_bytes(net, FORWARD, 0) == 0
    assert api.workspace_bytes(net, 6, 1) == 0
    assert api.state_bytes(net, byref(Optimizer(rule=SGD, lr=0.1))) == 0
    assert api.state_bytes(net, None) == 0


@pytest.mark.parametrize("purpose", [FORWARD, BACKWARD, TRAIN, UPDATE])
def test_a_workspace_for_many_rows_serves_fewer(api, core, purpose):
    for sizes in ((3, 2), (64, 100, 10), (2, 3000, 1)):
        activations = (*["relu"] * (len(sizes) - 2), "identity")
        network = core.Network(sizes, activations, "squared_error", "float64")
        net = api.borrow(network)
        some = [*range(1, 600), 8192, 8193, 9000, 70_000]  # more blocks have a second sum
        needed = [api.workspace_bytes(net, purpose, rows) for rows in some]
        assert needed == sorted(needed)
        for rows in (2**31, 2**45):
            assert api.workspace_bytes(net, purpose, rows) == max(needed)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_no_memory_holds_are_refused(api, core, dtype):
    network = core.Network((7, 5, 2), ("tanh", "softmax"), "cross_entropy", dtype)
    net, end = api.borrow(network), suffix(dtype)
    memory = np.zeros(1000, np.uint8)
    item, most = np.dtype(dtype).itemsize, 2**62
    place, size = address(memory), 2**63
    for purpose, name, entries in (
        (FORWARD, "forward", 7), (BACKWARD, "backward", 7), (TRAIN, "train_step", 7),
        (JACOBIAN, "jacobian", 14), (VJP, "vjp", 7),
    ):  # fmt: skip
        largest = most // (entries * item)
        assert api.workspace_bytes(net, purpose, largest) > 0
        for rows in (largest + 1, 2**62, 2**63 - 1, -(2**63)):
            assert api.workspace_bytes(net, purpose, rows) == 0
            call = getattr(api, f"{name}_{end}")
            optimizer, _state = optimizer_for(api, net, rule=SGD)
            arguments = {
                "forward": (place, rows, place, place, size),
                "jacobian": (place, rows, place, place, size),
                "vjp": (place, place, rows, None, place, place, size),
                "backward": (place, place, None, None, rows, byref(c_double()), place, place, size),
                "train_step": (
                    place, place, None, None, rows, byref(optimizer), byref(c_double()), place, size
                ),
            }  # fmt: skip
            assert call(net, *arguments[name]) == BAD_ARGUMENT, (name, rows)
    assert api.workspace_bytes(net, UPDATE, 2**63 - 1) == api.workspace_bytes(net, UPDATE, 1) > 0


def test_every_code_has_a_text(api):
    texts = {api.error_text(code) for code in range(7)}
    assert len(texts) == 7
    assert api.error_text(-1) == api.error_text(6) == b"no code of this version"
