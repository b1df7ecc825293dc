"""Random shapes, layouts and arguments for the indexed, scanning, sorting and windowed kernels, against their meaning in numpy.

`FT_TEST_SEED` and `FT_TEST_CASES` widen the search.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_indexed_kernels import check, numbers, rough

from frankentorch.ops import index_rows as rows
from frankentorch.ops import scan, sort, window

SEED, CASES = int(os.environ.get("FT_TEST_SEED", "1")), int(os.environ.get("FT_TEST_CASES", "60"))
Case = tuple[Any, list[np.ndarray], tuple[Any, ...]]


class Maker:
    """Draws arrays, layouts and sizes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def int(self, lo: int, hi: int) -> int:
        return int(self.rng.integers(lo, hi))

    def one_of(self, choices: Any) -> Any:
        return choices[self.int(0, len(choices))]

    def shape(self, most: int = 4, size: int = 40) -> tuple[int, ...]:
        return tuple(self.int(1, self.one_of([3, 8, size])) for _ in range(self.int(1, most + 1)))

    def layout(self, a: np.ndarray) -> np.ndarray:
        """The same values permuted in memory, reversed, or spaced out; or a broadcast of the first slice."""
        order = self.rng.permutation(a.ndim)
        a = np.transpose(np.ascontiguousarray(np.transpose(a, order)), np.argsort(order))
        kind = self.int(0, 5)
        if a.ndim and kind == 0:
            return np.flip(a, self.int(0, a.ndim))
        if a.ndim > 1 and kind == 1 and a.shape[0]:
            return np.broadcast_to(a[:1], a.shape)
        if a.ndim and kind == 2:
            wide = np.zeros((*a.shape[:-1], a.shape[-1] * 3), a.dtype)
            wide[..., 1::3] = a
            return wide[..., 1::3]
        return a

    def numbers(self, shape: Any, dtype: str) -> np.ndarray:
        return self.layout(numbers(self.rng, tuple(shape), dtype))

    def rough(self, shape: Any, dtype: str) -> np.ndarray:
        return self.layout(rough(self.rng, tuple(shape), dtype))

    def index(self, high: int, shape: Any, low: int = 0) -> np.ndarray:
        return self.layout(self.rng.integers(low, high, shape).astype(self.one_of([np.int32, np.int64])))

    def dtype(self) -> str:
        return str(self.one_of(["float32", "float64", "int64", "uint8", "bool", "int32"]))


def slices(m: Maker) -> Case:
    shape, dtype = m.shape(), m.dtype()
    dim, count = m.int(0, len(shape)), m.int(0, 60)
    x, at = m.numbers(shape, dtype), m.index(shape[dim], count)
    if m.int(0, 2):
        return rows.index_select_row, [x, at], (dim,)
    wide = list(shape)
    wide[dim] = count
    return m.one_of([rows.index_add_row, rows.index_copy_row]), [x, at, m.numbers(wide, dtype)], (dim,)


def scatters(m: Maker) -> Case:
    shape, dtype = m.shape(), m.dtype()
    dim = m.int(0, len(shape))
    small = [m.int(1, n + 1) for n in shape]
    small[dim] = m.int(1, 70)
    x, at = m.numbers(shape, dtype), m.index(shape[dim], small)
    kind = m.int(0, 3)
    if kind == 0:
        return rows.gather_row, [x, at], (dim,)
    src = m.numbers([n + m.int(0, 2) for n in small], dtype)
    if kind == 1:
        return rows.scatter_row, [x, at, src], (dim,)
    return rows.scatter_reduce_row, [x, at, src], (dim, m.one_of(["add", "mul", "max", "min"]))


def advanced(m: Maker) -> Case:
    shape, dtype = m.shape(), m.dtype()
    dims = tuple(sorted(int(d) for d in m.rng.choice(len(shape), m.int(1, len(shape) + 1), False)))
    wide = m.shape(2, 9)
    at = [m.index(shape[d], [n if m.int(0, 5) else 1 for n in wide], -shape[d]) for d in dims]
    x = m.numbers(shape, dtype)
    if m.int(0, 2):
        return rows.index_row, [x, *at], (dims,)
    target = rows.index_shape(shape, dims, np.broadcast_shapes(*(i.shape for i in at)))
    return rows.index_put_row, [x, m.numbers(target, dtype), *at], (dims, bool(m.int(0, 2)))


def lines(m: Maker) -> Case:
    shape, dtype = m.shape(), m.dtype()
    dim = m.int(0, len(shape))
    kind = m.int(0, 4)
    if kind == 0:
        row = m.one_of([scan.cumsum_row, scan.cumprod_row, scan.cummax_row, scan.cummin_row])
        return row, [m.numbers(shape, "uint8" if dtype == "bool" else dtype)], (dim,)
    if kind == 1:
        return sort.sort_row, [m.rough(shape, dtype)], (dim, bool(m.int(0, 2)))
    if kind == 2:
        return sort.topk_row, [m.rough(shape, dtype)], (m.int(0, shape[dim] + 1), dim, bool(m.int(0, 2)))
    mask = m.layout(m.rng.random(shape) < 0.4)
    return rows.compact_row, [mask], (int(mask.sum()),)


def windows(m: Maker) -> Case:
    rank = m.int(1, 4)
    lead = tuple(m.int(1, m.one_of([3, 20])) for _ in range(m.int(1, 3)))
    big = (*(m.int(3, m.one_of([5, 9, 14])) for _ in range(rank - 1)), m.int(3, m.one_of([6, 80])))
    dtype = str(m.one_of(["float32", "float64", "int32", "uint8"]))
    kernel, stride = (tuple(m.int(1, 4) for _ in big) for _ in range(2))
    padding = tuple(m.int(0, k // 2 + 1) for k in kernel)
    dilation = tuple(m.int(1, 3) if k < 3 or n > 5 else 1 for k, n in zip(kernel, big, strict=True))
    one, zero, x = (1,) * rank, (0,) * rank, m.rough((*lead, *big), dtype)
    ceil, kind = bool(m.int(0, 2)), m.int(0, 6)
    if kind == 0:
        size = tuple(window.out_size(*v, ceil) for v in zip(big, kernel, stride, padding, dilation, strict=True))
        return window.max_windows_row, [x], (kernel, stride, padding, dilation, size, False)
    flat = tuple(window.out_size(*v, 1, ceil) for v in zip(big, kernel, stride, padding, strict=True))
    if kind == 1:
        return window.sum_windows_row, [x], (kernel, stride, padding, flat, False)
    if kind == 2:
        return window.spread_windows_row, [m.rough((*lead, *flat), dtype)], (kernel, stride, padding, big, False)
    if kind in (3, 4):
        size = tuple(m.int(1, 8) for _ in big)
        if kind == 3:
            return window.max_windows_row, [x], (one, one, zero, one, size, True)
        return window.spread_windows_row, [m.rough((*lead, *size), dtype)], (one, one, zero, big, True)
    plane = (m.int(5, 12), m.int(5, 40))
    k, s, p, d = (tuple(m.int(lo, hi) for _ in range(2)) for lo, hi in ((1, 4), (1, 4), (0, 3), (1, 3)))
    if m.int(0, 2):
        return window.im2col_row, [m.rough((*lead, *plane), dtype)], (k, d, p, s)
    counts = [window.blocks(*v) for v in zip(plane, k, d, p, s, strict=True)]
    return window.col2im_row, [m.rough((*lead, *k, *counts), dtype)], (k, d, p, s, plane)


@pytest.mark.parametrize("family", [slices, scatters, advanced, lines, windows], ids=lambda f: f.__name__)
def test_random_cases(family: Callable[[Maker], Case]) -> None:
    for n in range(CASES):
        m = Maker(SEED * 1_000_003 + n)
        row, arrays, attrs = family(m)
        try:
            check(row, arrays, *attrs)
        except AssertionError as error:
            described = [(a.dtype.name, a.shape, a.strides) for a in arrays]
            raise AssertionError(f"case {n} of seed {SEED}: {row.name} {described} {attrs}\n{error}") from None
