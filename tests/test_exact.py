"""Compiled code against the reference interpreter, bit for bit: every primitive row, on every dtype that it takes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from row_cases import DTYPES, cases, primitives, required, values

import frankentorch as torch
from frankentorch.construct import from_array
from frankentorch.errors import NotImplementedYet
from frankentorch.ir import exact
from frankentorch.knobs import scoped
from frankentorch.ops.call import convert_number
from frankentorch.ops.define import API
from frankentorch.ops.record import emit, number
from frankentorch.ops.table import ROWS, Kind, Row
from frankentorch.runtime import jit


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
        operands = [number(attrs[1], convert_number(arrays[0].item(), attrs[1]))]
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


def composites() -> list[str]:
    """Functions of float tensors alone that are more than one instruction, forwards or in their gradients."""
    rows = {n: ROWS.get(e.schema.split("(")[0]) for n, e in API.items() if e.public and required(e.schema) and n == e.function.__name__}
    return sorted(n for n, row in rows.items() if row is not None and row.differentiable | (row.kind is Kind.COMPOSITE))


def whole(name: str, arrays: list[np.ndarray]) -> Any:
    """A function's results and gradients, recorded in one window (so fused); None where it refuses these operands."""
    tensors = [from_array(a).requires_grad_(True) for a in arrays]
    torch.manual_seed(5)
    try:
        out = API[name].function(*tensors)
    except (RuntimeError, TypeError, IndexError, NotImplementedError, ValueError):
        return None
    outs = [o for o in (out if isinstance(out, tuple) else (out,)) if isinstance(o, torch.Tensor)]
    for o in outs:
        if o.requires_grad:
            try:
                o = torch.view_as_real(o) if o.is_complex() else o
                (o * o).sum().backward(retain_graph=True)
            except NotImplementedYet:
                continue
    return [bits(t) for t in (*outs, *(t.grad for t in tensors if t.grad is not None))]


@pytest.mark.parametrize("name", composites())
def test_functions_and_their_gradients(name: str) -> None:
    """Fused forward and backward against the interpreter, in float32 and the 16-bit floats."""
    rng, n, tried = np.random.default_rng(6), len(required(API[name].schema) or ()), 0
    for dtype in ("float32", "bfloat16", "float16"):
        for shape in ((5, 33), (2, 3, 3), (4,)):
            arrays = [values(rng, shape, dtype, 0.1, 0.9) for _ in range(n)]
            mine = whole(name, arrays)
            if mine is None:
                continue
            tried += 1
            with scoped(interp=True):
                meant = whole(name, arrays)
            for k, (got, want) in enumerate(zip(mine, meant, strict=True)):
                np.testing.assert_array_equal(got, want, err_msg=f"{name} {dtype} {shape}: result or gradient {k}")
    if not tried:
        pytest.skip(f"{name} takes no operands of these kinds")


def _drawn() -> list[Any]:
    """One of everything that draws, and the generator's state afterwards."""
    torch.manual_seed(11)
    out: list[Any] = []
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        out += [torch.rand(37, dtype=dtype), torch.randn(5, dtype=dtype), torch.randn(53, dtype=dtype), torch.empty(21, dtype=dtype).exponential_(2.0)]
        out += [torch.empty(9, dtype=dtype).bernoulli_(0.3), torch.empty(4, 5, dtype=dtype).t().normal_(1.0, 2.0)]
    out += [torch.randint(-5, 1 << 40, (19,)), torch.randint(0, 10, (19,), dtype=torch.uint8), torch.randperm(50), torch.empty(7).log_normal_()]
    out += [torch.empty(7).cauchy_(), torch.empty(7).geometric_(0.2), torch.poisson(torch.tensor([0.5, 3.0, 40.0])), torch.bernoulli(torch.rand(8))]
    out += [torch.multinomial(torch.rand(3, 6), 4), torch.rand(3)]
    return [bits(t) for t in (*out, torch.get_rng_state())]


def test_draws_equal_the_reference_stream() -> None:
    mine = _drawn()
    with scoped(interp=True):
        meant = _drawn()
    for k, (got, want) in enumerate(zip(mine, meant, strict=True)):
        np.testing.assert_array_equal(got, want, err_msg=f"draw {k}")


@pytest.mark.parametrize("tier", ["sse4.2", "avx2", "avx512"])
def test_every_tier_gives_these_bits(tier: str) -> None:
    """One kernel of each template on each tier (the nests are compared at length in test_nest.py)."""
    if tier not in jit.host_tiers():
        pytest.skip(f"this host has no {tier}")
    for name in ("tanh", "sum", "argmax", "mm", "conv", "conv_input", "conv_weight", "scatter_reduce", "cumsum", "sort", "max_windows"):
        row = ROWS[name]
        given = cases(row, "float32")
        with scoped(cpu=tier):
            mine = run(row, given, False)
        for got, want in zip(mine, run(row, given, True), strict=True):
            for a, b in zip(got, want, strict=True):
                np.testing.assert_array_equal(a[2], b[2], err_msg=name)


# The interpreter's own arithmetic ------------------------------------------------------------------------------------------------
def rounded(exact_value: Fraction, single: bool) -> float:
    """A rational rounded once to float64 or float32, by search among neighbours."""
    near = np.float32(float(exact_value)) if single else np.float64(exact_value.numerator / exact_value.denominator)
    step = type(near)
    around = [np.nextafter(near, step(-np.inf)), near, np.nextafter(near, step(np.inf))]

    def worse(x: Any) -> Any:
        return abs(Fraction(float(x)) - exact_value), int(x.view(np.uint32 if single else np.uint64)) & 1

    return float(min(around, key=worse))


@pytest.mark.parametrize("single", [True, False])
def test_fma_rounds_once(single: bool) -> None:
    """Random operands, and sums that fall just beside the middle of two floats, where rounding twice is wrong."""
    rng, ty = np.random.default_rng(1), np.float32 if single else np.float64
    a, b = (rng.standard_normal(300).astype(ty) * ty(2.0) ** rng.integers(-30, 30, 300).astype(ty) for _ in range(2))
    c = (-(a * b) * (1 + rng.integers(-3, 4, 300) * np.finfo(ty).eps)).astype(ty)
    half = np.finfo(ty).eps / 2
    a = np.concatenate([a, np.array([1 + 2 * half, half * (1 + 2 * half), half], ty)])
    b = np.concatenate([b, np.array([half * half, 1, 1], ty)])
    c = np.concatenate([c, np.array([1 + half * 2, 1, 1], ty)])
    got = exact.fma(a, b, c)
    for x, y, z, r in zip(a, b, c, got, strict=True):
        assert float(r) == rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)), single)


def test_the_contract_text_is_the_chains() -> None:
    """The Python in docs/contract.md, run, against the interpreter and so against the kernels."""
    text = (Path(__file__).parent.parent / "docs" / "contract.md").read_text()
    section = text[text.index("## Contraction"):]
    code = section[section.index("```python") + 9:]
    scope: dict[str, Any] = {}
    exec(code[:code.index("```")], scope)
    rng = np.random.default_rng(2)
    for k in (0, 1, 384, 385, 1000, 384 * 33 + 5):
        a, b = (rng.standard_normal(k).astype(np.float32) for _ in range(2))
        got = (from_array(a[None]) @ from_array(b[:, None])).item()
        wanted = scope["chains"](list(a), list(b), lambda x, y, z: exact.fma(*(np.array([v], np.float32) for v in (x, y, z)))[0])
        assert np.float32(got).view(np.uint32) == np.float32(wanted).view(np.uint32)


def test_the_interpreter_can_disagree() -> None:
    """Another order of additions gives other bits, so the comparisons above are not empty."""
    x = np.random.default_rng(3).standard_normal(5000).astype(np.float32)
    row = ROWS["sum"]
    [[(_, _, tree)]] = run(row, [([x], ((0,), False))], True)
    assert np.add.accumulate(x)[-1].view(np.uint32) != tree[0]
    a, b = (np.random.default_rng(4).standard_normal(s).astype(np.float32) for s in ((1, 3000), (3000, 1)))
    [[(_, _, chain)]] = run(ROWS["mm"], [([a, b], ())], True)
    one = np.float32(0)
    for p, q in zip(a[0], b[:, 0], strict=True):
        one = exact.fma(*(np.array([v], np.float32) for v in (p, q, one)))[0]
    assert one.view(np.uint32) != chain[0, 0]
