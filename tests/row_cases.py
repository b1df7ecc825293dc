"""Operands for every primitive row: what the generated tests of the table feed it.

Enters: a row and a dtype. Leaves: cases ``(arrays, attrs)``. Pointwise and reduction rows take theirs from the row (`samples`, arity); rows with
indices, windows or shapes of their own have a builder here, found by trait or name. A row without cases is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from frankentorch import dtypes
from frankentorch.ops.table import ROWS, Kind, Row, schema_params
from frankentorch.ops.unsupported import refuse

Case = tuple[list[np.ndarray], tuple[Any, ...]]
FLOATS = ("float32", "float64", "bfloat16", "float16")
COMPLEX = ("complex64", "complex128")
INTS = ("int64", "int32", "int16", "int8", "uint8", "bool")
DTYPES = (*FLOATS, *COMPLEX, *INTS)
TAILS = (1, 2, 7, 15, 16, 17, 31, 32, 33)


def numpy_of(dtype: str) -> Any:
    return dtypes.BY_NAME[dtype].np


def primitives() -> list[Row]:
    """Rows that compute or move elements; views (strided access) and composites are made of those, and rows of the tape never run."""
    return [r for r in ROWS.values() if r.kind not in (Kind.LEAF, Kind.COMPOSITE, Kind.MOVEMENT, Kind.EXTERN) and "tape" not in r.traits]


def arity(row: Row) -> int:
    return sum(t.startswith("Tensor") for t, _ in schema_params(row.schema))


def required(schema: str) -> list[tuple[str, str]] | None:
    """The (type, name) of parameters without a default; None when one of them is not a plain tensor."""
    inner = schema[schema.index("(") + 1: schema.rindex(") ->")]
    with_default = {part.split("=")[0].split()[-1] for part in inner.split(",") if "=" in part}
    needed = [(t, n) for t, n in schema_params(schema) if n not in with_default]
    return needed if needed and all(t == "Tensor" for t, _ in needed) else None


def values(rng: np.random.Generator, shape: Any, dtype: str, low: float = -3.0, high: float = 3.0) -> np.ndarray:
    """Ordinary values of a dtype."""
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in INTS:
        return rng.integers(0 if dtype == "uint8" else -9, 10, shape).astype(dtype)
    x = rng.uniform(low, high, shape)
    return (x + 1j * rng.uniform(low, high, shape)).astype(dtype) if dtype in COMPLEX else np.asarray(x).astype(numpy_of(dtype))


def specials(dtype: str) -> np.ndarray:
    """Where arithmetic has corners: zeros, infinities, NaN, denormals, the ends of the range, ties."""
    if dtype == "bool":
        return np.array([False, True])
    if dtype in INTS:
        i = np.iinfo(dtype)
        return np.array([0, 1, 2, 3, i.max, i.max - 1, i.min, i.min + 1, 7, i.max // 2 + 1, *([] if dtype == "uint8" else [-1, -2, -5])], dtype)
    if dtype in COMPLEX:
        part = np.array([0.0, -0.0, 1.0, -0.5, 2.5, -1e-3, 30.0])
        return (part[:, None] + 1j * part).astype(dtype).reshape(-1)
    tiny, top = {"float64": (5e-324, 1.7e308), "float32": (1e-45, 3.4e38), "bfloat16": (9.2e-41, 3.3e38), "float16": (6e-8, 65504.0)}[dtype]
    plain = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 1 / 3, 0.1, 3.14159265, 17.3, 88.8, 709.9, 1e4, tiny, tiny * 3, top, np.inf])
    with np.errstate(all="ignore"):
        return np.concatenate([plain, -plain, [np.nan]]).astype(numpy_of(dtype))


def layouts(x: np.ndarray) -> Iterator[np.ndarray]:
    """The same elements contiguous, column-major, with gaps, and backwards in memory order (the last only where it can be told)."""
    yield x
    if x.ndim > 1:
        yield np.asfortranarray(x)
        wide = np.zeros((*x.shape[:-1], x.shape[-1] * 2), x.dtype)
        wide[..., ::2] = x
        yield wide[..., ::2]


def pointwise(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    n, attrs = arity(row), ()
    lo, hi = row.samples or (-3.0, 3.0)
    kinds = ["bool", *[dtype] * (n - 1)] if row.name == "where" else [dtype] * n
    if row.traits & {"copy"}:
        for strides in ((20, 5, 1), (20, 1, 4)):
            yield [values(rng, (3, 4, 5), dtype)], (strides,)
        return

    def arrays(*shapes: Any) -> list[np.ndarray]:
        return [values(rng, s, k, lo, hi) for s, k in zip([*shapes, *[shapes[-1]] * n][:n], kinds, strict=True)]

    for attrs in [(d,) for d in map(dtypes.BY_NAME.__getitem__, DTYPES)] if row.traits & {"convert"} else [()]:
        corner = specials(dtype)
        if n == 1:
            yield [corner], attrs
        else:
            pairs = [corner[:, None], corner[None, :]]
            yield [np.array([[True], [False]]), corner[None, :], corner[None, :]] if n == 3 else pairs, attrs
        yield arrays(33), attrs
        if row.traits & {"convert"}:
            continue
        yield arrays(()), attrs
        yield arrays((0, 3)), attrs
        if dtype == "float32":
            yield from ((arrays(k), attrs) for k in TAILS)
            for group in zip(*map(layouts, arrays((5, 19))), strict=True):
                yield list(group), attrs
            mixed = arrays((4, 17))
            yield [np.asfortranarray(mixed[0]), *mixed[1:]], attrs
            if n > 1:
                yield arrays((5, 1), (1, 18)), attrs
                yield arrays((3, 4, 5), (4, 1)), attrs
                yield arrays((7,), ()), attrs


def reduction(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    lo, hi = row.samples or (-3.0, 3.0)
    corner = specials(dtype)
    yield [corner], ((0,), False)
    yield [values(rng, (5, 33), dtype, lo, hi)], ((1,), True)
    yield [values(rng, (33, 20), dtype, lo, hi)], ((0,), False)
    yield [values(rng, (), dtype, lo, hi)], ((), False)
    if dtype in ("float32", "int64"):
        for n in TAILS:
            yield [values(rng, (3, n), dtype, lo, hi)], ((1,), False)
        yield [values(rng, (9001,), dtype, 0.5, 1.5)], ((0,), False)
        yield [values(rng, (4099, 3), dtype, 0.5, 1.5)], ((0,), False)
        for x in layouts(values(rng, (3, 4, 17), dtype, lo, hi)):
            for dims in ((0,), (0, 2), (1, 2), (0, 1, 2)):
                yield [x], (dims, False)
        if not row.name.startswith(("a", "arg")):
            yield [values(rng, (3, 0), dtype)], ((1,), False)
        yield [values(rng, (0, 3), dtype)], ((1,), True)


# Rows of other kinds -------------------------------------------------------------------------------------------------------------
BUILDERS: dict[str, Callable[[Row, np.random.Generator, str], Iterator[Case]]] = {}


def builder(*keys: str) -> Callable[[Any], Any]:
    def register(fn: Any) -> Any:
        BUILDERS.update(dict.fromkeys(keys, fn))
        return fn

    return register


@builder("mm", "bmm")
def _products(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    lead = () if row.name == "mm" else (2,)
    for m, k, n in ((3, 5, 4), (1, 33, 17), (17, 1, 1), (2, 0, 3), (0, 3, 2), (5, 800, 3)):
        yield [values(rng, (*lead, m, k), dtype), values(rng, (*lead, k, n), dtype)], ()
    a, b = values(rng, (*lead, 7, 18), dtype), values(rng, (*lead, 9, 18), dtype)
    yield [a, b.swapaxes(-1, -2)], ()


_CONVS = (((2, 3, 6, 7), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1), ((1, 4, 9, 8), (6, 2, 3, 2), (2, 1), (1, 0), (1, 2), 2),
          ((2, 3, 20), (3, 1, 5), (2,), (2,), (1,), 3), ((1, 2, 3, 4, 5), (2, 2, 2, 3, 2), (1, 1, 1), (1, 1, 0), (1, 1, 1), 1))


@builder("conv:forward", "conv:input_grad", "conv:weight_grad")
def _convolutions(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    for x, w, stride, padding, dilation, groups in _CONVS:
        out = (x[0], w[0], *((n + 2 * p - d * (k - 1) - 1) // s + 1
                             for n, k, s, p, d in zip(x[2:], w[2:], stride, padding, dilation, strict=True)))
        rest = (stride, padding, dilation, groups)
        if "conv:forward" in row.traits:
            yield [values(rng, x, dtype), values(rng, w, dtype)], rest
        elif "conv:input_grad" in row.traits:
            yield [values(rng, out, dtype), values(rng, w, dtype)], (x, *rest)
        else:
            yield [values(rng, x, dtype), values(rng, out, dtype)], (w, *rest)


def _indices(rng: np.random.Generator, high: int, shape: Any) -> np.ndarray:
    return rng.integers(0, high, shape)


_SPACES = (((7,), 0), ((5, 33), 1), ((5, 33), 0), ((3, 4, 18), 1))


@builder("template:index_select", "template:index_add", "template:index_copy")
def _slices(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    for shape, dim in _SPACES:
        index = _indices(rng, shape[dim], 9)
        source = (*shape[:dim], 9, *shape[dim + 1:])
        yield [values(rng, shape, dtype), index, *([values(rng, source, dtype)] if arity(row) == 3 else [])], (dim,)


@builder("template:gather", "template:scatter", "template:scatter_reduce")
def _places(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    for shape, dim in _SPACES:
        small = tuple(max(1, n - 1) for n in shape)
        index = _indices(rng, shape[dim], small)
        for op in ("add", "mul", "max", "min") if "op" in row.attrs else (None,):
            yield [values(rng, shape, dtype), index, *([values(rng, shape, dtype)] if arity(row) == 3 else [])], (dim, *([op] if op else []))


@builder("template:index", "template:index_put")
def _advanced(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    x = (4, 5, 6)
    for dims in ((0,), (1, 2), (0, 2)):
        indices = [_indices(rng, 2 * x[d], (3, 7)) - x[d] for d in dims]
        if "accumulate" in row.attrs:
            shape = np.zeros(x)[tuple(indices[dims.index(d)] if d in dims else slice(None) for d in range(3))].shape
            for accumulate in (True, False):
                yield [values(rng, x, dtype), values(rng, shape, dtype), *indices], (dims, accumulate)
        else:
            yield [values(rng, x, dtype), *indices], (dims,)


@builder("template:compact")
def _compact(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    mask = rng.random((3, 40)) < 0.3
    yield [mask], (int(mask.sum()),)


@builder("copies")
def _copies(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    if "concatenates" in row.traits:
        yield [values(rng, (3, n, 4), dtype) for n in (2, 5, 0)], (1,)
        return
    yield [values(rng, (4, 6), dtype), values(rng, (2, 3), dtype)], ((2, 3), (12, 2), 1)


@builder("template:topk")
def _best(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    for largest in (True, False):
        yield [specials(dtype)], (5 if dtype != "bool" else 1, 0, largest)
        for shape, dim in _SPACES:
            for x in layouts(values(rng, shape, dtype)):
                yield [x], (2, dim, largest)


@builder("scan", "sort")
def _lines(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    if "template:searchsorted" in row.traits:
        for right in (False, True):
            yield [np.sort(values(rng, (3, 9), dtype), -1), values(rng, (3, 12), dtype)], (right, False)
            yield [np.sort(values(rng, (9,), dtype)), values(rng, (3, 12), dtype)], (right, True)
        return
    ways = {"descending": [(True,), (False,)]}.get(row.attrs[-1], [()])
    for way in ways:
        yield [specials(dtype)], (0, *way)
        for shape, dim in _SPACES:
            for x in layouts(values(rng, shape, dtype)):
                yield [x], (dim, *way)


@builder("window")
def _windows(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    if "im2col" in row.name:
        yield [values(rng, (2, 3, 7, 8), dtype)], ((3, 2), (1, 2), (1, 1), (2, 1))
        return
    if "col2im" in row.name:
        yield [values(rng, (2, 3, 3, 2, 4, 8), dtype)], ((3, 2), (1, 2), (1, 1), (2, 1), (7, 8))
        return
    spread = "spread" in row.name
    for big, small, kernel, stride, padding, adaptive in (((9,), (5,), (3,), (2,), (1,), False), ((7, 8), (3, 7), (3, 2), (2, 1), (0, 0), False),
                                                          ((7, 8), (3, 3), (1, 1), (1, 1), (0, 0), True)):
        extra = ((1,) * len(big),) if "dilation" in row.attrs else ()
        yield [values(rng, (2, 3, *(small if spread else big)), dtype)], (kernel, stride, padding, *extra, big if spread else small, adaptive)


@builder("create")
def _created(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    d = dtypes.BY_NAME[dtype]
    if "index" in row.traits:
        yield from (([], ((3, 20), dim, d)) for dim in (0, 1))
    else:
        yield [np.array(3)], ((3, 20), d)


@builder("random")
def _draws(row: Row, rng: np.random.Generator, dtype: str) -> Iterator[Case]:
    yield from ()


REAL = tuple(d for d in DTYPES if d not in COMPLEX)
WIDE = ("float32", "float64", "int64")
MOVED = {"template:index_select", "template:gather", "template:index", "template:scatter", "template:index_copy", "copies", "create"}


def takes(row: Row, dtype: str) -> bool:
    """Whether the public functions ever give the row this dtype (others are refused, promoted or widened before)."""
    d = dtypes.BY_NAME[dtype]
    if row.kind is Kind.POINTWISE and row.promote is not None:
        try:
            refuse(row.name, d)
            return row.promote(d)[0] is d
        except (RuntimeError, TypeError, NotImplementedError):
            return False
    keys = {*row.traits, row.name}
    if row.kind is Kind.POINTWISE:
        return {"complex": dtype in ("float32", "float64"), "real": dtype in COMPLEX, "imag": dtype in COMPLEX}.get(row.name, True)
    if row.kind is Kind.REDUCE:
        return dtype in {"sum": (*FLOATS, *COMPLEX, "int64"), "prod": (*FLOATS, *COMPLEX, "int64"), "any": ("bool",), "all": ("bool",),
                         "argmax": REAL[:-1], "argmin": REAL[:-1]}.get(row.name, REAL)
    if keys & MOVED:
        return "fill" not in keys or dtype not in COMPLEX
    if "template:compact" in keys:
        return dtype == "bool"
    if row.kind is Kind.CONTRACT:
        return dtype in REAL[:-1]
    if row.kind is Kind.SCAN:
        return dtype in ((*WIDE[:2], *COMPLEX) if "template:logcumsumexp" in keys else (*WIDE, *COMPLEX) if row.nout == 1 else ("float32", "float64", "int64", "uint8"))
    if row.kind is Kind.WINDOW:
        return dtype in WIDE
    return dtype in (REAL if "template:sort" in keys or "template:topk" in keys else ("float32", "float64", "int64", "int32", "uint8", "bool"))


def cases(row: Row, dtype: str) -> list[Case]:
    """The cases of a row in one dtype, the same every time."""
    if not takes(row, dtype):
        return []
    rng = np.random.default_rng([len(row.name), DTYPES.index(dtype)])
    with np.errstate(all="ignore"):
        if row.kind is Kind.POINTWISE:
            return list(pointwise(row, rng, dtype))
        if row.kind is Kind.REDUCE:
            return list(reduction(row, rng, dtype))
        for key in (row.name, *sorted(row.traits), row.kind.value):
            if key in BUILDERS:
                return list(BUILDERS[key](row, rng, dtype))
    raise LookupError(f"no cases for row {row.name}: add a builder to row_cases.py")
