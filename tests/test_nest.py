"""Pointwise kernels against the numpy reference, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.nest_helper import Graph, check, numpy_type

TIERS = ("sse4.2", "avx2", "avx512")
SIZES = (0, 1, 15, 16, 17, 63, 64, 65, 4096, 4097, 70000)


def rand(shape: Any, dtype: str = "f32", seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if dtype == "i1":
        return rng.random(shape) < 0.5
    if dtype == "bf16":
        return (rng.standard_normal(shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if dtype == "f16":
        return rng.standard_normal(shape).astype(np.float16).view(np.uint16)
    if dtype in ("c64", "c128"):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(numpy_type(dtype))
    if dtype[0] == "f":
        return rng.standard_normal(shape).astype(numpy_type(dtype))
    return rng.integers(0 if dtype[0] == "u" else -100, 100, shape).astype(numpy_type(dtype))


@pytest.mark.parametrize("n", SIZES)
def test_add_of_every_length(n: int) -> None:
    g = Graph((n,))
    out = g.step("add", g.input(rand(n), "f32"), g.input(rand(n, seed=1), "f32"), dtype="f32")
    check(g.spec((out, None)), g.arrays, TIERS if n < 100 else ("avx512",))


@pytest.mark.parametrize("dtype", ["f32", "f64", "bf16", "f16", "i8", "u8", "i16", "i32", "i64", "c64", "c128"])
def test_every_dtype_with_strides_and_broadcasting(dtype: str) -> None:
    g = Graph((5, 37))
    a, b = rand((5, 37), dtype), rand((37, 5), dtype, 1).T
    x = g.step("add", g.input(a, dtype), g.input(b, dtype), dtype=dtype)
    y = g.step("mul", x, g.input(rand((37,), dtype, 2), dtype), dtype=dtype)
    z = g.step("mul", y, g.input(rand((5, 1), dtype, 3), dtype), dtype=dtype)
    check(g.spec((y, None), (z, (1, 5))), g.arrays, TIERS)


def test_bool_results_and_selection() -> None:
    g = Graph((3, 50))
    a, b = g.input(rand((3, 50)), "f32"), g.input(rand((50,), seed=1), "f32")
    less = g.step("lt", a, b, dtype="i1")
    flip = g.step("logical_not", less, dtype="i1")
    mask = g.input(rand((3, 50), "i1"), "i1")
    out = g.step("where", mask, a, b, dtype="f32")
    check(g.spec((less, None), (flip, (1, 3)), (out, None)), g.arrays, TIERS)


def test_scalars_iota_and_conversions() -> None:
    g = Graph((4, 6, 21))
    x = g.input(rand((4, 6, 21)), "f32")
    s = g.input(0.1, "f32", scalar=True)
    k = g.input(-7, "i64", scalar=True)
    i = g.step("iota", dtype="i64", dim=1)
    j = g.step("iota", dtype="f32", dim=2)
    a = g.step("add", g.step("mul", x, s, dtype="f32"), j, dtype="f32")
    b = g.step("to", g.step("add", i, k, dtype="i64"), dtype="bf16")
    c = g.step("scale", a, dtype="f32", by=0.3)
    d = g.step("full", dtype="f32", value=float("-inf"))
    check(g.spec((a, None), (b, None), (c, None), (d, None)), g.arrays, TIERS)


@pytest.mark.parametrize("view", ["plain", "transposed", "sliced", "reversed", "expanded", "permuted"])
@pytest.mark.parametrize("n", [1, 3, 16, 130])
def test_views(view: str, n: int) -> None:
    shape = (3, n, 5)
    a = {"plain": lambda: rand(shape), "transposed": lambda: rand((5, n, 3)).T, "sliced": lambda: rand((6, n, 20))[::2, :, ::4],
         "reversed": lambda: rand(shape)[::-1, :, ::-1], "expanded": lambda: np.broadcast_to(rand((1, n, 1)), shape),
         "permuted": lambda: rand((n, 5, 3)).transpose(2, 0, 1)}[view]()
    for strides in (None, (1, 3, 3 * n), (n * 5, 1, n)):
        g = Graph(shape)
        out = g.step("exp", g.input(a, "f32"), dtype="f32")
        check(g.spec((out, strides)), g.arrays)


def test_complex_constants_and_conversions() -> None:
    g = Graph((5, 40))
    z = g.input(rand((5, 40), "c64"), "c64")
    y = g.step("mul", z, g.step("full", dtype="c64", value=1.5 - 2j), dtype="c64")
    outs = [g.step("to", y, dtype=dtype) for dtype in ("c128", "f32", "i1")]
    back = g.step("to", outs[1], dtype="c64")
    check(g.spec(*((v, None) for v in (*outs, back))), g.arrays)


def test_what_is_not_one_nest_is_refused() -> None:
    from frankentorch.lower.nest import NotOneNest, lower_nest
    from tests.nest_helper import LANE_OF

    g = Graph((4, 5))
    x = g.input(rand((4, 5)), "f32")
    both = g.spec((g.step("sum", x, dtype="f32", dims=(0,)), None), (g.step("sum", x, dtype="f32", dims=(1,)), None))
    g = Graph((4, 5))
    column = g.step("neg", g.input(rand((4, 1)), "f32"), dtype="f32")
    small = g.spec((column, None), (g.step("add", column, g.input(rand((4, 5)), "f32"), dtype="f32"), None))
    for spec in (both, small):
        with pytest.raises(NotOneNest):
            lower_nest(spec, LANE_OF)


def test_equal_constants_are_not_one_constant() -> None:
    for value in (0.0, -0.0):
        g = Graph((20,))
        x = g.step("mul", g.input(rand((20,)), "f32"), g.step("full", dtype="f32", value=value), dtype="f32")
        check(g.spec((x, None)), g.arrays)


def test_zero_dimensional() -> None:
    g = Graph(())
    out = g.step("neg", g.input(rand(()), "f32"), dtype="f32")
    check(g.spec((out, None)), g.arrays)


def test_text_depends_on_structure_only() -> None:
    from frankentorch.lower.nest import lower_nest
    from tests.nest_helper import LANE_OF

    def low(*shape: int) -> Any:
        g = Graph(shape)
        out = g.step("add", g.input(rand(shape), "f32"), g.input(rand(shape[1:]), "f32"), dtype="f32")
        return lower_nest(g.spec((out, None)), LANE_OF)[0]
    assert low(5, 37).text == low(70, 3).text
    assert low(5, 37).text == low(5, 37, 2).text, "a contiguous pair of axes is one axis"
    assert low(5, 37).symbol != low(37).symbol


def test_an_operand_may_be_an_output() -> None:
    g = Graph((6, 40))
    x = g.input(rand((40, 6)).T, "f32")
    y = g.input(rand((40,), seed=1), "f32")
    check(g.spec((x, None), (y, None)), g.arrays)


def test_values_that_do_not_vary_innermost() -> None:
    g = Graph((6, 40))
    column, s = g.input(np.broadcast_to(rand((6, 1)), (6, 40)), "f32"), g.input(2.5, "f32", scalar=True)
    row = g.step("iota", dtype="f32", dim=0)
    y = g.step("exp", g.step("mul", g.step("add", column, row, dtype="f32"), s, dtype="f32"), dtype="f32")
    check(g.spec((y, None), (g.step("add", y, g.input(rand((6, 40)), "f32"), dtype="f32"), None)), g.arrays)


@pytest.mark.parametrize("dims", [(0,), (1,)])
def test_an_output_may_take_an_operands_memory(dims: tuple[int, ...]) -> None:
    from frankentorch.lower.nest import lower_nest
    from frankentorch.lower.nest_reference import evaluate
    from tests.nest_helper import LANE_OF, launch

    for shape in ((20, 333), (5000, 40), (3, 20000)):
        g = Graph(shape)
        x = g.input(rand(shape), "f32")
        e = g.step("exp", g.step("sub", x, g.step("max", x, dtype="f32", dims=dims), dtype="f32"), dtype="f32")
        spec = g.spec((g.step("div", e, g.step("sum", e, dtype="f32", dims=dims), dtype="f32"), None))
        wanted = evaluate(spec, g.arrays, LANE_OF)[0]
        memory, temps = np.array(g.arrays[0]), {}
        for low in lower_nest(spec, LANE_OF):
            launch(low, spec, [memory, memory], temps, "avx512", None)
        np.testing.assert_array_equal(memory.view(np.uint32), wanted.view(np.uint32))
