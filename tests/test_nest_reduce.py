"""Reductions, alone and fused with what is around them, against the numpy reference, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.nest_helper import Graph, check, run
from tests.test_nest import TIERS, rand

KINDS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")
LENGTHS = (0, 1, 2, 15, 16, 17, 33, 4095, 4096, 4097)


def result_dtype(kind: str, dtype: str) -> str:
    if kind in ("any", "all"):
        return "i1"
    if kind.startswith("arg") or kind in ("sum", "prod") and dtype[0] in "iu":
        return "i64"
    return dtype


def values(shape: Any, kind: str, dtype: str, seed: int = 0) -> Any:
    if kind in ("any", "all"):
        return rand(shape, "i1", seed)
    if kind == "prod" and dtype == "f32":
        return np.ones(shape, np.float32) + rand(shape, "f32", seed) * np.float32(0.01)
    return rand(shape, dtype, seed)


def reduced(kind: str, dtype: str, array: Any, dims: tuple[int, ...]) -> Graph:
    g = Graph(array.shape)
    x = g.input(array, "i1" if kind in ("any", "all") else dtype)
    g.out = g.step(kind, x, dtype=result_dtype(kind, dtype), dims=dims)  # type: ignore[attr-defined]
    return g


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_rows(kind: str, n: int) -> None:
    g = reduced(kind, "f32", values((3, n), kind, "f32"), (1,))
    check(g.spec((g.out, None)), g.arrays, TIERS if n == 33 else ("avx512",))  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", ["f64", "bf16", "f16", "i8", "u8", "i16", "i32", "i64", "i1"])
@pytest.mark.parametrize("kind", ["sum", "prod", "max", "argmin"])
def test_dtypes(kind: str, dtype: str) -> None:
    for dims in ((1,), (0,), (0, 1)):
        g = reduced(kind, dtype, values((37, 41), kind, dtype), dims)
        check(g.spec((g.out, None)), g.arrays, TIERS)  # type: ignore[attr-defined]


def test_empty_and_trivial_reductions() -> None:
    for shape, dims in (((20, 0), (1,)), ((0, 20), (0,)), ((3, 0, 4), (0, 1)), ((), ()), ((1, 1), (0, 1)), ((5,), ()), ((4, 1, 30), (1,))):
        for kind in ("sum", "prod", "all"):
            g = reduced(kind, "f32", values(shape, kind, "f32"), dims)
            check(g.spec((g.out, None)), g.arrays)  # type: ignore[attr-defined]


def test_nan_wins_and_ties_take_the_lowest_index() -> None:
    for kind in ("max", "min", "argmax", "argmin"):
        x = np.zeros((6, 100), np.float32)
        x[1, 50:] = -0.0
        x[2, [20, 70]] = np.nan
        x[3] = -np.inf
        x[4] = np.inf
        x[5, 99] = np.nan
        for array, dims in ((x, (1,)), (x.T, (0,)), (np.ascontiguousarray(x.T), (0,))):
            g = reduced(kind, "f32", array, dims)
            out = check(g.spec((g.out, None)), g.arrays)[0].ravel()  # type: ignore[attr-defined]
            if kind.startswith("arg"):
                assert list(out) == [0, 0, 20, 0, 0, 99]


def test_a_sum_of_negative_zeros_is_positive() -> None:
    for n in (1, 16, 17):
        g = reduced("sum", "f32", np.full((2, n), -0.0, np.float32), (1,))
        assert not np.signbit(check(g.spec((g.out, None)), g.arrays)[0]).any()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["sum", "argmax"])
@pytest.mark.parametrize("dims", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_any_axes_of_any_layout(dims: tuple[int, ...], kind: str) -> None:
    for shape in ((7, 5, 49), (3, 130, 6), (1, 9, 17), (300, 1, 20)):
        for order in ((0, 1, 2), (2, 0, 1), (1, 0, 2)):
            array = rand([shape[a] for a in order]).transpose(np.argsort(order))
            g = reduced(kind, "f32", array, dims)
            check(g.spec((g.out, None)), g.arrays)  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape,dims", [((70000,), (0,)), ((2, 70000), (1,)), ((9, 20000), (1,)), ((5000, 33), (0,)),
                                        ((70, 3, 100), (0, 2)),
                                        ((9000, 3), (0,)), ((4097, 2, 3), (0, 2)), ((40, 3, 113), (0, 2))])
def test_long_reductions_in_blocks(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    for kind in ("sum", "argmin"):
        g = reduced(kind, "f32", rand(shape), dims)
        check(g.spec((g.out, None)), g.arrays)  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", ["c64", "c128"])
def test_complex_sums_and_products(dtype: str) -> None:
    for shape, dims in (((7, 50), (1,)), ((7, 50), (0,)), ((20000,), (0,)), ((5000, 3), (0,)), ((4, 6, 21), (0, 2))):
        for kind in ("sum", "prod"):
            g = reduced(kind, dtype, rand(shape, dtype), dims)
            shifted = g.step("sub", ("in", 0), g.out, dtype=dtype)  # type: ignore[attr-defined]
            check(g.spec((g.out, None), (shifted, None)), g.arrays)  # type: ignore[attr-defined]


def softmax(g: Graph, x: Any, dims: tuple[int, ...]) -> Any:
    shifted = g.step("sub", x, g.step("max", x, dtype="f32", dims=dims), dtype="f32")
    e = g.step("exp", shifted, dtype="f32")
    return g.step("div", e, g.step("sum", e, dtype="f32", dims=dims), dtype="f32")


def normalised(g: Graph, x: Any, dims: tuple[int, ...]) -> tuple[Any, Any, Any]:
    n = g.input(1.0 / float(np.prod([g.shape[d] for d in dims])), "f32", scalar=True)
    mean = g.step("mul", g.step("sum", x, dtype="f32", dims=dims), n, dtype="f32")
    centred = g.step("sub", x, mean, dtype="f32")
    variance = g.step("mul", g.step("sum", g.step("mul", centred, centred, dtype="f32"), dtype="f32", dims=dims), n, dtype="f32")
    root = g.step("sqrt", g.step("add", variance, g.input(1e-5, "f32", scalar=True), dtype="f32"), dtype="f32")
    return g.step("div", centred, root, dtype="f32"), mean, variance


@pytest.mark.parametrize("shape,dims", [((5, 37), (1,)), ((5, 37), (0,)), ((4, 5000), (1,)), ((2, 40000), (1,)), ((5, 7, 33), (1,)),
                                        ((3, 5, 7), (1, 2)),
                                        ((6, 4, 49), (0, 2)), ((200, 3, 49), (0, 2)), ((5000, 20), (0,)), ((100, 3), (1,))])
def test_softmax_and_normalisation(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    g = Graph(shape)
    x = g.input(rand(shape), "f32")
    check(g.spec((softmax(g, x, dims), None)), g.arrays, TIERS if np.prod(shape) < 1000 else ("avx512",))
    g = Graph(shape)
    out, mean, variance = normalised(g, g.input(rand(shape), "f32"), dims)
    weight = g.input(rand(shape[-1:], seed=1), "f32")
    scaled = g.step("mul", out, weight, dtype="f32")
    check(g.spec((scaled, None), (mean, None), (variance, None)), g.arrays)


def test_half_precision_softmax_rounds_each_step() -> None:
    for dtype in ("bf16", "f16"):
        g = Graph((4, 100))
        x = g.input(rand((4, 100), dtype), dtype)
        shifted = g.step("sub", x, g.step("max", x, dtype=dtype, dims=(1,)), dtype=dtype)
        e = g.step("exp", shifted, dtype=dtype)
        check(g.spec((g.step("div", e, g.step("sum", e, dtype=dtype, dims=(1,)), dtype=dtype), None)), g.arrays, TIERS)


def test_iota_beside_reductions() -> None:
    for shape, dims in (((6, 20), (1,)), ((6, 20), (0,)), ((5, 4, 30), (0, 2))):
        for dim in range(len(shape)):
            g = Graph(shape)
            x = g.step("mul", g.input(rand(shape), "f32"), g.step("iota", dtype="f32", dim=dim), dtype="f32")
            total = g.step("sum", x, dtype="f32", dims=dims)
            check(g.spec((g.step("sub", x, total, dtype="f32"), None), (total, None)), g.arrays)


@pytest.mark.parametrize("shape,dims", [((1100, 1000), (0,)), ((4500, 300), (0,)), ((2, 700, 800), (1,)), ((20, 60, 1000), (0, 1)),
                                        ((30, 3, 40, 300), (0, 2))])
def test_wide_columns_by_lane(shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    for kind in ("sum", "min"):
        g = Graph(shape)
        x = g.input(rand(shape), "f32")
        total = g.step(kind, x, dtype="f32", dims=dims)
        squares = g.step("sum", g.step("mul", x, x, dtype="f32"), dtype="f32", dims=dims)
        check(g.spec((g.step("add", total, squares, dtype="f32"), None), (total, None)), g.arrays)


def test_blocks_of_blocks() -> None:
    n = 4096 * 4096 + 5000
    x = rand((n,))
    spec = reduced("sum", "f32", x, (0,))
    got = run(spec.spec((spec.out, None)), spec.arrays)[0]  # type: ignore[attr-defined]

    def tree(v: Any) -> Any:
        if v.size <= 4096:
            v = np.concatenate([v, np.zeros(-v.size % 16, np.float32)]).reshape(-1, 16)
            lanes = np.zeros(16, np.float32)
            for row in v:
                lanes = lanes + row
            for half in (8, 4, 2, 1):
                lanes = lanes[:half] + lanes[half:2 * half]
            return lanes[0]
        return tree(np.array([tree(v[lo:lo + 4096]) for lo in range(0, v.size, 4096)], np.float32))
    assert got.view(np.uint32) == tree(x).view(np.uint32)


def test_the_contract_text_is_the_tree() -> None:
    """The Python in docs/contract.md, run, against the kernels."""
    text = (Path(__file__).parent.parent / "docs" / "contract.md").read_text()
    section = text[text.index("## Reductions"):]
    code = section[section.index("```python") + 9:]
    scope: dict[str, Any] = {}
    exec(code[:code.index("```")], scope)
    for n in (0, 1, 17, 4096, 4097, 70000):
        x = rand((n,))
        g = reduced("sum", "f32", x, (0,))
        got = run(g.spec((g.out, None)), g.arrays)[0]  # type: ignore[attr-defined]
        wanted = scope["tree"](list(x), lambda a, b: a + b, np.float32(0))
        assert got.view(np.uint32) == np.float32(wanted).view(np.uint32)
