"""fcnn.c_functions: the C interface by ctypes, its types those of the header."""

import copy
import ctypes
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import fcnn

c = fcnn.c_functions()
HEADER = Path(fcnn.get_include(), "fcnn.h").read_text("utf-8")
# What a type of the header is here. Handles are integers, pointers to arrays untyped.
TYPES = {
    "int": ctypes.c_int,
    "int64_t": ctypes.c_int64,
    "double": ctypes.c_double,
    "ptrdiff_t": ctypes.c_ssize_t,
    "size_t": ctypes.c_size_t,
    "void": None,
    "void *": ctypes.c_void_p,
    "const void *": ctypes.c_void_p,
    "float *": ctypes.c_void_p,
    "const float *": ctypes.c_void_p,
    "double *": ctypes.c_void_p,
    "const double *": ctypes.c_void_p,
    "const int64_t *": ctypes.c_void_p,
    "char *": ctypes.c_char_p,
    "const char *": ctypes.c_char_p,
    "fcnn_network *": ctypes.c_size_t,
    "const fcnn_network *": ctypes.c_size_t,
    "struct _object *": ctypes.py_object,
    "fcnn_optimizer *": ctypes.POINTER(c.Optimizer),
    "const fcnn_optimizer *": ctypes.POINTER(c.Optimizer),
}


def members(structure):
    """Return the declarations in a struct of the header."""
    text = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
    body = re.search(rf"typedef struct {structure} {{(.*?)}} {structure}", text, re.DOTALL)[1]
    return [" ".join(line.split()) for line in body.split(";") if line.strip()]


def typed(declaration):
    """Return a declaration's type and name."""
    kind, name = re.fullmatch(r"(.*?[ *])(\w+)", declaration).groups()
    return TYPES[kind.strip()], name


def test_every_function_has_the_types_of_the_header():
    declared = members("fcnn_api")
    fields = dict(type(c)._fields_)
    assert len(declared) == len(fields)
    for declaration, (name, kind) in zip(declared, fields.items(), strict=True):
        if "(" not in declaration:
            assert typed(declaration) == (kind, name)
            continue
        result, found, arguments = re.fullmatch(r"(.*?)\(\*(\w+)\)\((.*)\)", declaration).groups()
        assert found == name
        assert kind._restype_ is TYPES[result.strip()]
        assert [*kind._argtypes_] == [typed(one)[0] for one in arguments.split(", ")], name
        # With the interpreter's lock only what reads a Python object.
        assert bool(kind._flags_ & 4) == ("struct _object" in declaration)  # FUNCFLAG_PYTHONAPI
    assert dict(c.Optimizer._fields_) == {
        name: kind for kind, name in map(typed, members("fcnn_optimizer"))
    }


def test_every_constant_is_that_of_the_header():
    for name, value in re.findall(r"FCNN_(\w+) = (\d+)", HEADER):
        if name not in ("FLOAT32", "FLOAT64"):
            assert getattr(c, name) == int(value)
    assert (c.abi, c.version) == tuple(
        int(re.search(rf"#define FCNN_{name} (\d+)", HEADER)[1]) for name in ("ABI", "VERSION")
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_by_its_address(dtype):
    net = fcnn.Network((4, 8, 3), "tanh", dtype=dtype)
    end = "f32" if dtype == "float32" else "f64"
    assert net.address == c.borrow(net)
    assert c.dtype(net.address) == net.dtype.itemsize
    assert (c.n_inputs(net.address), c.n_outputs(net.address)) == (4, 3)
    assert [c.layer_size(net.address, l) for l in range(c.n_layers(net.address) + 1)] == [4, 8, 3]
    assert c.parameters(net.address) == net.parameters.ctypes.data
    X, out = np.ones((5, 4), dtype), np.empty((5, 3), dtype)
    forward = getattr(c, f"forward_{end}")
    workspace = np.zeros(c.workspace_bytes(net.address, c.FORWARD, 5), np.uint8)
    for arguments in (
        (X.ctypes, 5, out.ctypes, workspace.ctypes), (X.ctypes.data, 5, out.ctypes.data,
                                                      workspace.ctypes.data),
    ):  # fmt: skip
        out[:] = 0
        assert forward(net.address, *arguments, workspace.nbytes) == c.OK
        assert out.tobytes() == net.predict(X).tobytes()
    assert forward(0, X.ctypes, 5, out.ctypes, workspace.ctypes, workspace.nbytes) == (
        c.BAD_ARGUMENT
    )
    assert c.error_text(c.WRONG_DTYPE) == b"the network has the other dtype"


def test_a_training_by_ctypes():
    net = fcnn.Network((4, 8, 3), "tanh")
    twin = net.copy()
    X, y = np.random.default_rng(0).normal(size=(20, 4)).astype("f"), np.arange(20) % 3
    optimizer = c.Optimizer(rule=c.ADAM, lr=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8)
    state = np.zeros(c.state_bytes(net.address, ctypes.byref(optimizer)), np.uint8)
    optimizer.state, optimizer.state_bytes = state.ctypes.data, state.nbytes
    workspace = np.zeros(c.workspace_bytes(net.address, c.TRAIN, 20), np.uint8)
    loss, adam = ctypes.c_double(), fcnn.Adam(0.01)
    for _ in range(3):
        code = c.train_step_f32(
            net.address, X.ctypes, None, y.ctypes, None, 20, ctypes.byref(optimizer),
            ctypes.byref(loss), workspace.ctypes, workspace.nbytes,
        )  # fmt: skip
        assert code == c.OK
        assert loss.value == twin.train_step(X, y, adam)
    assert net.parameters.tobytes() == twin.parameters.tobytes()


def test_an_address_belongs_to_one_network():
    net = fcnn.Network((4, 3))
    address = net.address
    net.train_step(np.ones((2, 4)), [0, 1], fcnn.SGD(0.1))
    net.parameters = np.zeros(15)
    assert net.address == address
    others = [net.copy(), copy.copy(net), pickle.loads(pickle.dumps(net))]
    assert len({address, *(other.address for other in others)}) == 4
    with pytest.raises(AttributeError):
        net.address = 3
    with pytest.raises(RuntimeError, match="not been initialized"):
        _ = fcnn.Network.__new__(fcnn.Network).address
    with pytest.raises(TypeError, match=r"expected a fcnn.Network, got int"):
        c.borrow(3)
    assert "address" not in net.__getstate__()["attributes"]


def test_files_and_bytes_by_ctypes(tmp_path):
    net = fcnn.Network((4, 8, 3))
    net.save(tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    message = ctypes.create_string_buffer(200)
    for handle in (
        c.load(str(tmp_path / "a").encode(), message, 200),
        c.load_bytes(content, len(content), message, 200),
    ):
        assert message.value == b""
        parameters = (ctypes.c_float * c.n_parameters(handle)).from_address(c.parameters(handle))
        assert bytes(parameters) == net.parameters.tobytes()
        c.release(handle)
    assert c.load_bytes(content, 20, message, 200) == 0
    assert message.value.startswith(b"ValueError: 20 bytes: not a model file, or a truncated one")
