"""Kernels of the indexed, scanning, sorting and windowed rows against their meaning in numpy, to the bit, under any split of units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from frankentorch import dtypes
from frankentorch.lower.kernel import Ptr
from frankentorch.lower.templates import TEMPLATES
from frankentorch.ops import index_rows as rows
from frankentorch.ops import scan, sort, window
from frankentorch.ops.record import make_sig
from frankentorch.ops.types import tensor_type
from frankentorch.runtime import jit, native, objects
from frankentorch.runtime.memory import Buffer

NP = {"float32": np.float32, "float64": np.float64, "int64": np.int64, "int32": np.int32, "uint8": np.uint8, "bool": np.bool_, "int8": np.int8,
      "complex64": np.complex64, "complex128": np.complex128, "int16": np.int16, "float16": np.float16}
BY_NUMPY = {np.dtype(v): dtypes.BY_NAME[k] for k, v in NP.items()}


def type_of(a: np.ndarray) -> Any:
    return tensor_type(BY_NUMPY[a.dtype], a.shape, tuple(s // a.itemsize for s in a.strides))


def reserve(t: Any, values: Any) -> tuple[Buffer, int, np.ndarray]:
    """Memory for a type, how far into it element 0 lies (strides may be negative), and its contents, set to `values`."""
    ends = [(n - 1) * s for n, s in zip(t.shape, t.strides, strict=True)] if t.numel else [-1]
    origin = -sum(e for e in ends if e < 0) * t.dtype.itemsize if t.numel else 0
    b = Buffer(origin + (1 + sum(e for e in ends if e > 0)) * t.dtype.itemsize if t.numel else 0)
    view = b.as_numpy(t.dtype.np, t.shape, t.strides, origin)
    view[...] = values
    return b, origin, view


def run(row: Any, arrays: list[np.ndarray], attrs: tuple[Any, ...], pieces: int = 1) -> list[np.ndarray]:
    """The outputs of a row's kernels; units are cut into `pieces`, run last piece first."""
    sig = make_sig(row, tuple(type_of(a) for a in arrays), attrs)
    trait = next(t for t in row.traits if t.startswith("template:"))
    places = [reserve(t, a) for a, t in zip(arrays, sig.types, strict=True)]
    for k, t in enumerate(sig.outs):
        places.append(reserve(t, arrays[0] if k == 0 and "updates:0" in row.traits else np.zeros((), t.dtype.np)))
    outs = [view for _, _, view in places[len(arrays):]]
    entries, scratch = [], 0
    for low in TEMPLATES[trait[9:]](sig, jit.current_tier()):
        address = objects.get(low.text, low.symbol)
        words = [places[w.operand][0].ptr + places[w.operand][1] + w.byte_offset if isinstance(w, Ptr) else w for w in low.args]
        entries.append((address, words, low.units, low.grain))
        scratch = max(scratch, low.scratch)
    if pieces == 1:
        native.Program(entries, [], 0, scratch, keep=places)()
    else:
        _in_pieces(entries, scratch, pieces)
    return outs


def _in_pieces(entries: list[Any], scratch: int, pieces: int) -> None:
    import ctypes

    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    room = Buffer(scratch + 64)
    for address, words, units, _ in entries:
        memory = (ctypes.c_int64 * max(len(words), 1))(*words)
        cuts = sorted({units * i // pieces for i in range(pieces + 1)})
        for a, b in reversed(list(zip(cuts, cuts[1:], strict=False))):
            kind(address)(ctypes.addressof(memory), a, b, room.ptr)


def check(row: Any, arrays: list[np.ndarray], *attrs: Any) -> None:
    """Equal bits to `ref` (NaN payloads aside), whole and in three pieces."""
    with np.errstate(all="ignore"):
        want = row.ref(*arrays, **dict(zip(row.attrs, attrs, strict=True)))
    want = want if isinstance(want, tuple) else (want,)
    for pieces in (1, 3):
        got = run(row, arrays, attrs, pieces)
        for g, w in zip(got, want, strict=True):
            assert g.shape == np.shape(w)
            np.testing.assert_array_equal(g, w)
            if g.dtype.kind == "f":
                np.testing.assert_array_equal(np.signbit(g[g == 0]), np.signbit(np.asarray(w)[g == 0]))


def numbers(rng: Any, shape: Any, dtype: str) -> np.ndarray:
    if dtype == "bool":
        return rng.random(shape) < 0.4
    if dtype.startswith("complex"):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    if "int" in dtype:
        return rng.integers(0 if dtype[0] == "u" else -50, 50, shape).astype(dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def layouts(a: np.ndarray) -> list[np.ndarray]:
    """`a` contiguous, transposed in memory, and as every second column of something wider."""
    out = [a]
    if a.ndim > 1:
        out.append(np.ascontiguousarray(a.T).T)
        wide = np.zeros((*a.shape[:-1], a.shape[-1] * 2), a.dtype)
        wide[..., ::2] = a
        out.append(wide[..., ::2])
    return out


SHAPES = [(7,), (5, 33), (3, 4, 18), (40, 300), (2, 3, 1, 5)]
MOVED = ["float32", "float64", "int64", "uint8", "bool", "float16", "complex64", "complex128"]


@pytest.mark.parametrize("dtype", MOVED)
@pytest.mark.parametrize("shape", SHAPES)
def test_index_select_and_gather(shape: Any, dtype: str) -> None:
    rng = np.random.default_rng(1)
    for x in layouts(numbers(rng, shape, dtype)):
        for dim in range(len(shape)):
            index = rng.integers(0, shape[dim], 11)
            check(rows.index_select_row, [x, index], dim)
            check(rows.index_select_row, [x, index.astype(np.int32)], dim)
            small = [max(1, n - 1) for n in shape]
            small[dim] = shape[dim] + 2
            for at in layouts(rng.integers(0, shape[dim], small)):
                check(rows.gather_row, [x, at], dim)


def test_reads_of_numbers_and_of_nothing() -> None:
    x = np.float32(3.0).reshape(())
    check(rows.index_select_row, [x, np.zeros(1, np.int64)], 0)
    check(rows.gather_row, [x, np.zeros((), np.int64)], 0)
    check(rows.gather_row, [x, np.zeros((1,), np.int64)], 0)
    check(rows.index_select_row, [np.ones((3, 4), np.float32), np.zeros(0, np.int64)], 1)
    check(rows.index_row, [np.ones((3, 4), np.float32), np.zeros((0, 2), np.int64)], (0,))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "complex128"])
def test_index(dtype: str) -> None:
    rng = np.random.default_rng(2)
    for x in layouts(numbers(rng, (6, 5, 4, 3), dtype)):
        one, other = rng.integers(-6, 6, (3, 1)), rng.integers(-3, 3, (2,)).astype(np.int32)
        check(rows.index_row, [x, one], (0,))
        check(rows.index_row, [x, other], (3,))
        check(rows.index_row, [x, other % 4, other], (2, 3))
        check(rows.index_row, [x, one, other], (0, 2))
        check(rows.index_row, [x, one % 5, other % 4], (1, 2))
        check(rows.index_row, [x, one, one % 5, other, other], (0, 1, 2, 3))


def test_large_reads_are_split() -> None:
    rng = np.random.default_rng(3)
    table = numbers(rng, (1000, 70), "float32")
    check(rows.index_select_row, [table, rng.integers(0, 1000, 5000)], 0)
    check(rows.index_row, [table.reshape(-1), rng.integers(-70000, 70000, 9000)], (0,))
    check(rows.index_select_row, [numbers(rng, (2, 50000), "float64"), np.array([1, 0, 1])], 0)


@pytest.mark.parametrize("shape", [(0,), (1,), (100,), (37, 5), (4, 3, 9)])
def test_compact(shape: Any) -> None:
    rng = np.random.default_rng(4)
    for mask in layouts(rng.random(shape) < 0.3):
        check(rows.compact_row, [mask], int(mask.sum()))


@pytest.mark.parametrize("dtype", MOVED)
@pytest.mark.parametrize("shape", SHAPES)
def test_scatter(shape: Any, dtype: str) -> None:
    rng = np.random.default_rng(5)
    for x in layouts(numbers(rng, shape, dtype)):
        for dim in range(len(shape)):
            small = [max(1, n - 1) for n in shape]
            small[dim] = shape[dim] + 2
            src = numbers(rng, [n + 1 for n in small], dtype)
            index = rng.integers(0, shape[dim], small)
            for s in layouts(src)[:2]:
                check(rows.scatter_row, [x, index, s], dim)


@pytest.mark.parametrize("op", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
def test_scatter_reduce(dtype: str, op: str) -> None:
    rng = np.random.default_rng(6)
    for shape in SHAPES:
        for dim in range(len(shape)):
            x = numbers(rng, shape, dtype)
            small = list(shape)
            small[dim] = shape[dim] * 3
            src, index = numbers(rng, small, dtype), rng.integers(0, shape[dim], small)
            if dtype.startswith("f"):
                src.reshape(-1)[::17] = np.nan
            check(rows.scatter_reduce_row, [x, index, src], dim, op)
            flat = np.broadcast_to(rng.integers(0, shape[dim], [n if d == dim else 1 for d, n in enumerate(small)]), small)
            check(rows.scatter_reduce_row, [x, flat, src], dim, op)


def test_complex_sums() -> None:
    rng = np.random.default_rng(7)
    x, src = numbers(rng, (5, 6), "complex64"), numbers(rng, (9, 6), "complex64")
    check(rows.index_add_row, [x, rng.integers(0, 5, 9), src], 0)
    check(rows.scatter_reduce_row, [x, rng.integers(0, 5, (9, 6)), src], 0, "add")


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_index_add_and_copy(dtype: str) -> None:
    rng = np.random.default_rng(8)
    for shape in SHAPES:
        for dim in range(len(shape)):
            wide = list(shape)
            wide[dim] = 13
            for x in layouts(numbers(rng, shape, dtype)):
                src, index = numbers(rng, wide, dtype), rng.integers(0, shape[dim], 13)
                check(rows.index_add_row, [x, index, src], dim)
                check(rows.index_copy_row, [x, index.astype(np.int32), src], dim)
    check(rows.index_add_row, [np.float32(1).reshape(()), np.zeros(1, np.int64), np.float32(2).reshape(())], 0)


def test_large_sums_are_split_by_destination() -> None:
    rng = np.random.default_rng(9)
    x, src, index = np.zeros((50, 200), np.float32), numbers(rng, (3000, 200), "float32"), rng.integers(0, 50, 3000)
    check(rows.index_add_row, [x, index, src], 0)
    check(rows.index_put_row, [x, src, index - 25], (0,), True)


@pytest.mark.parametrize("accumulate", [False, True])
def test_index_put(accumulate: bool) -> None:
    rng = np.random.default_rng(10)
    for x in layouts(numbers(rng, (6, 5, 4, 3), "float32")):
        one, other = rng.integers(-6, 6, (3, 1)), rng.integers(-3, 3, (2,)).astype(np.int32)
        for indices, dims in [([one], (0,)), ([other], (3,)), ([one, other], (0, 2)), ([one % 5, other], (1, 2)), ([one, one % 5, other, other], (0, 1, 2, 3))]:
            shape = rows.index_shape(x.shape, dims, np.broadcast_shapes(*(i.shape for i in indices)))
            check(rows.index_put_row, [x, numbers(rng, shape, "float32"), *indices], dims, accumulate)
            check(rows.index_put_row, [x, np.float32(2).reshape(()), *indices], dims, accumulate)


@pytest.mark.parametrize("row", [scan.cumsum_row, scan.cumprod_row, scan.cummax_row, scan.cummin_row], ids=lambda r: r.name)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
def test_scans(row: Any, dtype: str) -> None:
    rng = np.random.default_rng(11)
    for shape in [(), *SHAPES]:
        x = numbers(rng, shape, dtype)
        if dtype[0] == "f" and x.ndim and row.nout == 2:
            x.reshape(-1)[5::19] = np.nan
        for a in layouts(x):
            for dim in range(max(1, len(shape))):
                check(row, [a], dim)
                if shape:
                    check(row, [np.flip(a, dim)], dim)


def test_logcumsumexp_is_near() -> None:
    rng = np.random.default_rng(12)
    for dtype in ("float32", "float64"):
        x = numbers(rng, (20, 37), dtype)
        x[3, 4], x[5, :2] = np.inf, -np.inf
        for dim in (0, 1):
            got = run(scan.logcumsumexp_row, [x], (dim,), 3)[0]
            np.testing.assert_allclose(got, scan.logcumsumexp_row.ref(x, dim), rtol=3e-6 if dtype == "float32" else 1e-14, atol=1e-6)


def rough(rng: Any, shape: Any, dtype: str) -> np.ndarray:
    """Numbers with many ties, both zeros and, in floats, infinities and NaNs."""
    x = rng.integers(0 if dtype[0] == "u" else -9, 9, shape).astype(dtype)
    if dtype.startswith("f") and x.size:
        x[rng.random(shape) < 0.05] = -0.0
        x[rng.random(shape) < 0.03] = np.nan
        x[rng.random(shape) < 0.03] = -np.inf
        x[rng.random(shape) < 0.03] = np.inf
    return x


SORTED = ["float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.mark.parametrize("dtype", SORTED)
def test_sort(dtype: str) -> None:
    rng = np.random.default_rng(13)
    for shape in [(), (1,), (41,), (5, 33), (300, 3), (2, 777), (3, 4, 50)]:
        for make in (rough, numbers):
            for x in layouts(make(rng, shape, dtype) if shape else np.zeros((), dtype)):
                for dim in range(max(1, len(shape))):
                    for descending in (False, True):
                        check(sort.sort_row, [x], dim, descending)


@pytest.mark.parametrize("dtype", SORTED)
def test_topk(dtype: str) -> None:
    rng = np.random.default_rng(14)
    for shape in [(7,), (2, 500), (90, 3), (4, 2000)]:
        for make in (rough, numbers):
            for x in layouts(make(rng, shape, dtype)):
                for dim in range(len(shape)):
                    for k in {0, 1, min(5, shape[dim]), min(64, shape[dim]), min(100, shape[dim]), shape[dim]}:
                        check(sort.topk_row, [x], k, dim, True)
                        check(sort.topk_row, [x], k, dim, False)


def test_topk_of_rising_lines() -> None:
    check(sort.topk_row, [np.arange(3000, dtype=np.float32)], 64, 0, True)
    check(sort.topk_row, [np.arange(3000, dtype=np.int64)], 64, 0, False)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_searchsorted(dtype: str) -> None:
    rng = np.random.default_rng(15)
    line = np.sort(numbers(rng, (40,), dtype))
    for right in (False, True):
        for narrow in (False, True):
            for values in layouts(numbers(rng, (3, 600), dtype)):
                check(sort.searchsorted_row, [line, values], right, narrow)
            check(sort.searchsorted_row, [np.sort(numbers(rng, (3, 40), dtype)), numbers(rng, (3, 7), dtype)], right, narrow)
    check(sort.searchsorted_row, [line[:0], numbers(rng, (3,), dtype)], False, False)


def planes(rng: Any, shape: Any, dtype: str) -> list[np.ndarray]:
    """Spatial data with ties and NaNs: contiguous, channels last, and as part of something wider."""
    x = rough(rng, shape, dtype)
    out = [x]
    if len(shape) > 2:
        out.append(np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1))
    out.extend(layouts(x)[2:])
    return out


GEOMETRIES = [
    # shape, kernel, stride, padding, dilation
    ((2, 3, 9), (3,), (2,), (1,), (1,)),
    ((2, 19, 11, 13), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((1, 3, 8, 70), (2, 3), (1, 1), (0, 1), (1, 1)),
    ((1, 2, 9, 100), (3, 3), (2, 2), (1, 1), (1, 1)),
    ((2, 16, 7, 9), (3, 2), (1, 3), (1, 0), (2, 3)),
    ((1, 2, 4, 5, 40), (2, 3, 3), (1, 2, 2), (1, 1, 1), (1, 1, 2)),
    ((3, 20, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pools(ceil_mode: bool, dtype: str) -> None:
    rng = np.random.default_rng(16)
    for shape, kernel, stride, padding, dilation in GEOMETRIES:
        for x in planes(rng, shape, dtype):
            big = shape[len(shape) - len(kernel):]
            size = tuple(window.out_size(*v, ceil_mode) for v in zip(big, kernel, stride, padding, dilation, strict=True))
            check(window.max_windows_row, [x], kernel, stride, padding, dilation, size, False)
            flat = tuple(window.out_size(*v, 1, ceil_mode) for v in zip(big, kernel, stride, padding, strict=True))
            check(window.sum_windows_row, [x], kernel, stride, padding, flat, False)
            for g in planes(rng, (*shape[: len(shape) - len(kernel)], *flat), dtype):
                check(window.spread_windows_row, [g], kernel, stride, padding, big, False)


def test_adaptive_pools() -> None:
    rng = np.random.default_rng(17)
    for shape, size in [((2, 3, 10), (4,)), ((2, 17, 7, 9), (3, 5)), ((1, 2, 5, 6, 7), (2, 7, 3)), ((2, 3, 4, 4), (6, 1))]:
        one, zero = (1,) * len(size), (0,) * len(size)
        for x in planes(rng, shape, "float32"):
            check(window.max_windows_row, [x], one, one, zero, one, size, True)
            check(window.sum_windows_row, [x], one, one, zero, size, True)
        for g in planes(rng, (*shape[: len(shape) - len(size)], *size), "float32"):
            check(window.spread_windows_row, [g], one, one, zero, shape[len(shape) - len(size):], True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_columns(dtype: str) -> None:
    rng = np.random.default_rng(18)
    for shape, kernel, stride, padding, dilation in GEOMETRIES:
        if len(kernel) == 2:
            for x in planes(rng, shape, dtype):
                check(window.im2col_row, [x], kernel, dilation, padding, stride)
            g = rough(rng, window.im2col_row.ref(x, kernel, dilation, padding, stride).shape, dtype)
            check(window.col2im_row, [g], kernel, dilation, padding, stride, shape[-2:])
