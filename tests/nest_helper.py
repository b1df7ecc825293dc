"""Running nest kernels from numpy arrays, and comparing them with the reference to the bit."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from frankentorch.lower.kernel import Lowered, Ptr, Scalar
from frankentorch.lower.nest import Temp, lower_nest
from frankentorch.lower.nest_reference import evaluate
from frankentorch.lower.spec import KernelSpec, Operand, Step
from frankentorch.lower.translate import lanes_registry
from frankentorch.runtime import jit

NUMPY = {"i1": "bool", "f16": "uint16", "bf16": "uint16", "f32": "float32", "f64": "float64", "c64": "complex64", "c128": "complex128"}


def numpy_type(dtype: str) -> np.dtype[Any]:
    return np.dtype(NUMPY.get(dtype) or dtype.replace("u", "uint").replace("i", "int", 1) if dtype[0] == "i" or dtype in NUMPY
                    else "u" + dtype.replace("u", "int"))


def toy_exp(L: Any, x: Any) -> Any:
    """A stand-in for exp: a polynomial, long enough to count as dear."""
    y = x
    for k in range(12):
        y = L.fma(y, x * 0.0625, 1.0 / (k + 1))
    return y


LANE_OF = lanes_registry({
    "add": lambda L, a, b: a + b, "sub": lambda L, a, b: a - b, "mul": lambda L, a, b: a * b, "div": lambda L, a, b: a / b,
    "neg": lambda L, a: -a, "abs": lambda L, a: L.abs(a), "where": lambda L, c, a, b: L.select(c, a, b),
    "lt": lambda L, a, b: L.cmp("lt", a, b),
    "logical_not": lambda L, a: ~a, "sqrt": lambda L, a: L.sqrt(a), "exp": toy_exp, "scale": lambda L, a, by: a * by,
})


class Graph:
    """Builds a spec over one shape: every method returns a value number."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.operands: list[Operand] = []
        self.arrays: list[Any] = []
        self._pending: list[tuple[str, tuple[Any, ...], dict[str, object], str, tuple[int, ...]]] = []

    def input(self, array: Any, dtype: str, scalar: bool = False) -> tuple[str, int]:
        """An operand from an array that broadcasts to the shape, with whatever strides numpy gives it."""
        if scalar:
            self.operands.append(Operand(dtype, (1,) * len(self.shape), (0,) * len(self.shape), True))
            self.arrays.append(array)
        else:
            view = np.broadcast_to(array, self.shape) if array.ndim != len(self.shape) or 1 not in array.shape else array
            self.operands.append(Operand(dtype, view.shape, tuple(s // view.itemsize for s in view.strides)))
            self.arrays.append(view)
        return ("in", len(self.operands) - 1)

    def step(self, op: str, *args: tuple[str, int], dtype: str, dims: tuple[int, ...] | None = None, **attrs: object) -> tuple[str, int]:
        shapes = [self._pending[k][4] if where == "step" else () if self.operands[k].is_scalar else self.operands[k].shape
                  for where, k in args]
        shape = tuple(np.broadcast_shapes(*shapes)) if any(shapes) else self.shape
        if dims is not None:
            shape = tuple(1 if d in dims else s for d, s in enumerate(self.shape))
            attrs["dims"] = dims
        self._pending.append((op, args, attrs, dtype, shape))
        return ("step", len(self._pending) - 1)

    def number(self, value: tuple[str, int]) -> int:
        return value[1] if value[0] == "in" else len(self.operands) + value[1]

    def spec(self, *outputs: tuple[tuple[str, int], tuple[int, ...] | None]) -> KernelSpec:
        """Outputs as (value, element strides or None for contiguous)."""
        steps = tuple(Step(op, tuple(map(self.number, args)), tuple(attrs.items()), dtype, shape)
                      for op, args, attrs, dtype, shape in self._pending)
        bare = KernelSpec(tuple(self.operands), steps, ())
        wanted = [(self.number(v), strides or contiguous(bare.shape_of(self.number(v)))) for v, strides in outputs]
        return KernelSpec(tuple(self.operands), steps, tuple(wanted))


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


@cache
def compiled(text: str, symbol: str, tier: str) -> Callable[..., None]:
    library = jit.load_object(jit.compile_object(text, tier), symbol)
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    return prototype(library.address(symbol))


def out_buffer(shape: Sequence[int], strides: Sequence[int], dtype: str) -> Any:
    """A strided array over memory of its own, filled with a pattern."""
    size = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if 0 not in shape else 0
    nbytes = max(size, 1) * numpy_type(dtype).itemsize
    base = np.full(nbytes + 192, 0xA5, np.uint8)
    base = base[-base.ctypes.data % 64:][:nbytes + 64]
    flat = base[:nbytes].view(numpy_type(dtype))
    return np.lib.stride_tricks.as_strided(flat, shape, [s * flat.itemsize for s in strides]), base


def run(spec: KernelSpec, arrays: Sequence[Any], tier: str = "avx512", cuts: Callable[[int], Sequence[int]] | None = None) -> list[Any]:
    """Compile and run a spec; `cuts` gives where to split each kernel's units (they are run last part first)."""
    outs = [out_buffer(spec.shape_of(v), strides, spec.dtype_of(v)) for v, strides in spec.outputs]
    buffers = [*arrays, *(view for view, _ in outs)]
    temps: dict[int, Any] = {}
    for low in lower_nest(spec, LANE_OF, tier):
        launch(low, spec, buffers, temps, tier, cuts)
    for _, base in outs:
        assert bytes(base[-64:]) == b"\xa5" * 64, "wrote past the end"
    return [np.array(view) for view, _ in outs]


def words_of(low: Lowered, spec: KernelSpec, buffers: Sequence[Any], temps: dict[int, Any]) -> Any:
    """The argument words of a call, as a ctypes array; makes temporaries as they are met."""
    words = []
    for word in low.args:
        if isinstance(word, Temp):
            temp = temps.setdefault(word.operand, np.full(word.nbytes, 0xA5, np.uint8))
            assert temp.nbytes == word.nbytes
            words.append(temp.ctypes.data + word.byte_offset)
        elif isinstance(word, Ptr):
            words.append(buffers[word.operand].__array_interface__["data"][0] + word.byte_offset)
        elif isinstance(word, Scalar):
            x = buffers[word.operand]
            words.append(int(np.float64(x).view(np.int64)) if spec.operands[word.operand].dtype[0] in "fbc" else int(x))
        else:
            words.append(word)
    return (ctypes.c_int64 * max(len(words), 1))(*words)


def launch(low: Lowered, spec: KernelSpec, buffers: Sequence[Any], temps: dict[int, Any], tier: str,
           cuts: Callable[[int], Sequence[int]] | None) -> None:
    """Run one kernel over its units."""
    memory = words_of(low, spec, buffers, temps)
    scratch = np.full(low.scratch + 64, 0xA5, np.uint8)
    edges = [0, *(cuts(low.units) if cuts else ()), low.units]
    for lo, hi in reversed(list(zip(edges, edges[1:], strict=False))):
        compiled(low.text, low.symbol, tier)(ctypes.addressof(memory), lo, hi, scratch.ctypes.data)
    assert bytes(scratch[low.scratch:]) == b"\xa5" * 64, "wrote past the scratch"


def bits(array: Any, dtype: str) -> Any:
    """An array's bits, every NaN made one."""
    array = np.array(array, order="C", ndmin=1)
    if dtype in ("c64", "c128"):
        array = array.view(array.real.dtype)
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return array.view(f"u{array.itemsize}") if array.size else array


def check(spec: KernelSpec, arrays: Sequence[Any], tiers: Sequence[str] = ("avx512",)) -> list[Any]:
    """Kernel against reference, whole and with its units cut unevenly, on each tier."""
    wanted = evaluate(spec, arrays, LANE_OF)
    for tier in tiers:
        if tier not in jit.host_tiers():
            continue
        for cuts in (None, lambda units: sorted({units // 3, units // 2, units - 1} - {0, units, -1})):
            got = run(spec, arrays, tier, cuts)
            for (value, _), g, w in zip(spec.outputs, got, wanted, strict=True):
                dtype = spec.dtype_of(value)
                np.testing.assert_array_equal(bits(g, dtype), bits(w.astype(g.dtype), dtype), err_msg=f"{tier} {spec}")
    return wanted
