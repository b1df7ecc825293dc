"""Compiled code against the reference interpreter, bit for bit: every primitive row, on every dtype that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from row_cases import DTYPES, cases, primitives

from frankentorch.knobs import scoped
from frankentorch.ops.record import Scalar, emit
from frankentorch.ops.table import ROWS, Row
from frankentorch.ops.types import scalar_type
from frankentorch.tensor import from_array


def laid_out(x: np.ndarray) -> Any:
    """A tensor with the array's strides."""
    if x.flags.c_contiguous or not x.size:
        return from_array(x)
    room = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)) // x.itemsize
    flat = np.zeros(room, x.dtype)
    np.lib.stride_tricks.as_strided(flat, x.shape, x.strides)[...] = x
    return from_array(flat).as_strided(x.shape, tuple(s // x.itemsize for s in x.strides))


def bits(t: Any) -> np.ndarray:
    """A tensor's elements as integers, every NaN made one."""
    x = np.array(t.detach()._concrete(), order="C", ndmin=1)
    if np.iscomplexobj(x):
        x = x.view(x.real.dtype)
    if x.dtype.kind in "fV" or "float16" in x.dtype.name:
        x[np.isnan(x)] = np.nan
    return x.view(f"u{x.itemsize}") if x.size else x


def outputs(row: Row, arrays: list[np.ndarray], attrs: tuple[Any, ...]) -> list[Any]:
    operands = [laid_out(x) for x in arrays]
    if "fill" in row.traits:
        operands = [Scalar(scalar_type(attrs[1]), arrays[0].item())]
    got = emit(row, operands, attrs)
    return list(got) if isinstance(got, tuple) else [got]


def run(row: Row, given: list[Any], interp: bool) -> list[list[Any]]:
    """Every case in one window, so that kernels are compiled together."""
    with scoped(interp=interp):
        made = [outputs(row, arrays, attrs) for arrays, attrs in given]
        return [[(tuple(t.shape), t.stride(), bits(t)) for t in outs] for outs in made]


@pytest.mark.parametrize("name", [r.name for r in primitives()])
def test_compiled_equals_interpreter(name: str) -> None:
    row, tried = ROWS[name], 0
    for dtype in DTYPES:
        given = cases(row, dtype)
        tried += bool(given)
        for case, mine, meant in zip(given, run(row, given, False), run(row, given, True), strict=True):
            for (shape, strides, got), (shape_, strides_, want) in zip(mine, meant, strict=True):
                assert (shape, strides) == (shape_, strides_)
                if not np.array_equal(got, want):
                    at = np.flatnonzero(got.reshape(-1) != want.reshape(-1))
                    raise AssertionError(f"{name} {dtype} {[a.shape for a in case[0]]} {case[1]}: {at.size} of {got.size} differ, first at {at[:5]}: "
                                         f"{got.reshape(-1)[at[:5]]} for {want.reshape(-1)[at[:5]]}; operands {[a.reshape(-1)[:8] for a in case[0]]}")
    assert tried or "random" in row.traits
