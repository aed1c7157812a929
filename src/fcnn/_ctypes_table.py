"""The C interface as functions of ctypes: for callers without a compiler."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import (
    CFUNCTYPE,
    POINTER,
    PYFUNCTYPE,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_void_p,
    py_object,
)  # fmt: skip
from typing import Any, ClassVar

import fcnn

__all__ = ["CFunctions", "COptimizer", "c_functions"]


class COptimizer(ctypes.Structure):
    """fcnn_optimizer of fcnn.h: the numbers of an optimizer, and where its state is."""

    _fields_ = [
        ("rule", c_int),
        ("nesterov", c_int),
        ("lr", c_double),
        ("weight_decay", c_double),
        ("momentum", c_double),
        ("beta1", c_double),
        ("beta2", c_double),
        ("epsilon", c_double),
        ("steps", c_int64),
        ("state", c_void_p),
        ("state_bytes", c_size_t),
    ]


# A network's handle is a number, `Network.address`: compilers of Python (Numba) take no integer for
# a pointer. Arrays are void pointers: `x.ctypes`, `x.ctypes.data`, any pointer of ctypes.
_HANDLE = c_size_t
_FORWARD = CFUNCTYPE(c_int, _HANDLE, c_void_p, c_ssize_t, c_void_p, c_void_p, c_size_t)
_BACKWARD = CFUNCTYPE(
    c_int, _HANDLE, c_void_p, c_void_p, c_void_p, c_void_p, c_ssize_t, c_void_p, c_void_p,
    c_void_p, c_size_t,
)  # fmt: skip
_TRAIN_STEP = CFUNCTYPE(
    c_int, _HANDLE, c_void_p, c_void_p, c_void_p, c_void_p, c_ssize_t, POINTER(COptimizer),
    c_void_p, c_void_p, c_size_t,
)  # fmt: skip
_VJP = CFUNCTYPE(
    c_int, _HANDLE, c_void_p, c_void_p, c_ssize_t, c_void_p, c_void_p, c_void_p, c_size_t
)
_UPDATE = CFUNCTYPE(
    c_int, _HANDLE, c_void_p, POINTER(COptimizer), c_double, c_double, c_double, c_void_p, c_size_t
)
_COUNT = CFUNCTYPE(c_ssize_t, _HANDLE)


class CFunctions(ctypes.Structure):
    """The table of functions of ``fcnn.h``, each with its types: see `fcnn.c_functions`."""

    OK: ClassVar[int] = 0
    BAD_ARGUMENT: ClassVar[int] = 1
    WRONG_DTYPE: ClassVar[int] = 2
    SMALL_WORKSPACE: ClassVar[int] = 3
    BAD_LABEL: ClassVar[int] = 4
    DIVERGED: ClassVar[int] = 5
    FORWARD: ClassVar[int] = 0
    BACKWARD: ClassVar[int] = 1
    TRAIN: ClassVar[int] = 2
    JACOBIAN: ClassVar[int] = 3
    VJP: ClassVar[int] = 4
    UPDATE: ClassVar[int] = 5
    SGD: ClassVar[int] = 0
    ADAM: ClassVar[int] = 1
    ADAMW: ClassVar[int] = 2
    Optimizer: ClassVar[type[COptimizer]] = COptimizer

    abi: int
    version: int
    borrow: Callable[[Any], int]
    load: Callable[..., int]
    release: Callable[[int], None]
    dtype: Callable[[int], int]
    n_inputs: Callable[[int], int]
    n_outputs: Callable[[int], int]
    n_parameters: Callable[[int], int]
    parameters: Callable[[int], int]
    workspace_bytes: Callable[[int, int, int], int]
    state_bytes: Callable[..., int]
    forward_f32: Callable[..., int]
    forward_f64: Callable[..., int]
    backward_f32: Callable[..., int]
    backward_f64: Callable[..., int]
    train_step_f32: Callable[..., int]
    train_step_f64: Callable[..., int]
    error_text: Callable[[int], bytes]
    jacobian_f32: Callable[..., int]
    jacobian_f64: Callable[..., int]
    vjp_f32: Callable[..., int]
    vjp_f64: Callable[..., int]
    update_f32: Callable[..., int]
    update_f64: Callable[..., int]
    n_targets: Callable[[int], int]
    n_layers: Callable[[int], int]
    layer_size: Callable[[int, int], int]
    load_bytes: Callable[..., int]

    _fields_ = [
        ("abi", c_int),
        ("version", c_int),
        # With the interpreter's lock: it reads a Python object. All others are called without.
        ("borrow", PYFUNCTYPE(_HANDLE, py_object)),
        ("load", CFUNCTYPE(_HANDLE, c_char_p, c_char_p, c_size_t)),
        ("release", CFUNCTYPE(None, _HANDLE)),
        ("dtype", CFUNCTYPE(c_int, _HANDLE)),
        ("n_inputs", _COUNT),
        ("n_outputs", _COUNT),
        ("n_parameters", _COUNT),
        ("parameters", CFUNCTYPE(c_void_p, _HANDLE)),
        ("workspace_bytes", CFUNCTYPE(c_size_t, _HANDLE, c_int, c_ssize_t)),
        ("state_bytes", CFUNCTYPE(c_size_t, _HANDLE, POINTER(COptimizer))),
        ("forward_f32", _FORWARD),
        ("forward_f64", _FORWARD),
        ("backward_f32", _BACKWARD),
        ("backward_f64", _BACKWARD),
        ("train_step_f32", _TRAIN_STEP),
        ("train_step_f64", _TRAIN_STEP),
        ("error_text", CFUNCTYPE(c_char_p, c_int)),
        ("jacobian_f32", _FORWARD),
        ("jacobian_f64", _FORWARD),
        ("vjp_f32", _VJP),
        ("vjp_f64", _VJP),
        ("update_f32", _UPDATE),
        ("update_f64", _UPDATE),
        ("n_targets", _COUNT),
        ("n_layers", _COUNT),
        ("layer_size", CFUNCTYPE(c_ssize_t, _HANDLE, c_ssize_t)),
        ("load_bytes", CFUNCTYPE(_HANDLE, c_void_p, c_size_t, c_char_p, c_size_t)),
    ]


def c_functions() -> CFunctions:
    """Return the functions of the C interface, for ctypes, cffi, Numba and what else calls C.

    They take no lock of the interpreter, allocate nothing, and check shapes and labels only:
    `fcnn.h`, in the folder of `fcnn.get_include`, says of each what it takes. A network's handle is
    its `address`; arrays are pointers (``x.ctypes``), C-contiguous and of the network's dtype.
    Whoever calls keeps the network and the arrays alive.

    Returns
    -------
    CFunctions
        Its attributes are the functions, typed function pointers of ctypes; the constants of
        ``fcnn.h`` without their prefix (``OK``, ``FORWARD``, ``ADAM``, ...); and ``Optimizer``, the
        structure that the functions of a training take.

    Examples
    --------
    >>> import fcnn, numpy as np
    >>> net = fcnn.Network((4, 16, 3))
    >>> c = fcnn.c_functions()
    >>> workspace = np.zeros(c.workspace_bytes(net.address, c.FORWARD, 1), np.uint8)
    >>> x, out = np.ones(4, np.float32), np.empty(3, np.float32)
    >>> code = c.forward_f32(
    ...     net.address, x.ctypes, 1, out.ctypes, workspace.ctypes, workspace.nbytes
    ... )
    >>> code == c.OK and (out == net.predict(x)).all()
    True
    """
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = c_void_p, [py_object, c_char_p]
    capsule = fcnn._C_API  # type: ignore[attr-defined] # by fcnn.__getattr__
    return CFunctions.from_address(get_pointer(capsule, b"fcnn._C_API"))
