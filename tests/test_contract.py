"""Matrix products: the compiled kernels against the contract, to the bit, and against numpy within tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from contract_helper import chains, emit_object, fold, guarded, host_tiers, narrow, run, widen

from frankentorch.lower.contract import lower_matmul
from frankentorch.lower.contract_micro import CHUNK, GROUP, compute_type
from frankentorch.lower.contract_tile import Epilogue, EpilogueOperand, bias_epilogue
from frankentorch.lower.kernel import Ptr
from frankentorch.lower.lanes import numpy_type

TIERS = host_tiers()
SIZES = [(1, 1, 1), (2, 3, 15), (3, 17, 16), (1, 31, 385), (1, 200, 33), (5, 33, 2), (8, 64, 800), (15, 16, 17), (16, 15, 384),
         (31, 10, 3), (33, 47, 385), (13, 66, 800), (64, 1, 17), (40, 3, 33), (70, 96, 31), (20, 37, 0)]


def data(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Random stored elements, some negative, of mixed magnitude."""
    numpy = np.dtype(numpy_type(dtype))
    if dtype in ("bf16", "f16"):
        return narrow((rng.standard_normal(shape) * 2).astype(np.float32), dtype, "f32")
    if numpy.kind == "f":
        return (rng.standard_normal(shape) * np.exp2(rng.integers(-6, 6, shape))).astype(numpy)
    info = np.iinfo(numpy)
    return rng.integers(info.min, info.max, shape, dtype=numpy, endpoint=True)


def laid_out(x: np.ndarray, order: str) -> np.ndarray:
    """The same matrix stored row by row ("r"), column by column ("c") or with gaps ("g")."""
    if order == "r":
        return np.ascontiguousarray(x)
    if order == "c":
        return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    big = np.zeros((*x.shape[:-2], x.shape[-2] * 2 + 1, x.shape[-1] * 3 + 1), x.dtype)
    view = big[..., 1::2, 1::3]
    view[...] = x
    return view


def strides(x: np.ndarray) -> tuple[int, ...]:
    return tuple(s // x.itemsize for s in x.strides)


def bits(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).view(f"u{x.itemsize}")


def multiply(dtype: str, a: np.ndarray, b: np.ndarray, tier: str, order: str = "r", cuts: int = 1, epilogue: Epilogue | None = None,
             extra: tuple[np.ndarray, ...] = (), out_dtype: str | None = None) -> np.ndarray:
    """a @ b by the kernel. Guards around the output check that nothing else is written."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    c = laid_out(np.zeros((*batch, m, n), numpy_type(out_dtype or dtype)), order)
    base = c if c.base is None else c.base
    base[...] = 77
    c[...] = 0
    a_, b_ = np.broadcast_to(a, (*batch, m, k)), np.broadcast_to(b, (*batch, k, n))
    calls = lower_matmul(dtype, batch, m, n, k, strides(a_), strides(b_), strides(c), tier=tier, epilogue=epilogue,
                         out_dtype=out_dtype, c=Ptr(2 + len(extra)))
    run(calls, [a, b, *extra, c], tier, cuts)
    if order == "g":
        untouched = base.copy()
        untouched[..., 1::2, 1::3] = 77
        assert (untouched == 77).all()
    return c


def expected(dtype: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return narrow(chains(widen(a, dtype), widen(b, dtype)), dtype, compute_type(dtype))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("m,n,k", SIZES)
def test_bits(tier: str, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m * 1000 + n)
    a, b = data(rng, "f32", (m, k)), data(rng, "f32", (k, n))
    want = expected("f32", a, b)
    for order_a, order_b, order_c in ("rrr", "rcr", "crr", "ccc", "ggg", "rrc", "rcg", "gcr", "cgr"):
        got = multiply("f32", laid_out(a, order_a), laid_out(b, order_b), tier, order_c, cuts=1 + n % 3)
        np.testing.assert_array_equal(bits(got), bits(want), err_msg=order_a + order_b + order_c)
    np.testing.assert_allclose(want, a.astype(np.float64) @ b.astype(np.float64), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", ["f64", "bf16", "f16", "i8", "u8", "i16", "i32", "i64"])
@pytest.mark.parametrize("m,n,k", [(3, 17, 5), (1, 70, 390), (14, 35, 33), (2, 40, 19)])
def test_dtypes(tier: str, dtype: str, m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(7)
    a, b = data(rng, dtype, (m, k)), data(rng, dtype, (k, n))
    want = expected(dtype, a, b)
    for order_a, order_b, order_c in ("rrr", "rcr", "crc", "gcg"):
        got = multiply(dtype, laid_out(a, order_a), laid_out(b, order_b), tier, order_c)
        np.testing.assert_array_equal(bits(got), bits(want), err_msg=order_a + order_b + order_c)


def test_wide_output() -> None:
    rng = np.random.default_rng(8)
    a, b = data(rng, "bf16", (9, 50)), data(rng, "bf16", (50, 20))
    got = multiply("bf16", a, b, TIERS[-1], out_dtype="f32")
    np.testing.assert_array_equal(bits(got), bits(chains(widen(a, "bf16"), widen(b, "bf16"))))


@pytest.mark.parametrize("tier", TIERS)
def test_groups(tier: str) -> None:
    """Past GROUP chunks the fold starts a second level; flat addition gives other bits."""
    rng = np.random.default_rng(9)
    k = CHUNK * (2 * GROUP + 1) + 5
    a, b = data(rng, "f32", (2, k)), data(rng, "f32", (k, 18))
    want = expected("f32", a, b)
    for order_b in "rc":
        np.testing.assert_array_equal(bits(multiply("f32", a, laid_out(b, order_b), tier)), bits(want))
    many = np.concatenate([a] * 8)
    np.testing.assert_array_equal(bits(multiply("f32", many, b, tier)), bits(np.concatenate([want] * 8)))
    sums = [chains(a[:, i:i + CHUNK], b[i:i + CHUNK]) for i in range(0, k, CHUNK)]
    np.testing.assert_array_equal(bits(fold(sums)), bits(want))
    flat = sums[0]
    for s in sums[1:]:
        flat = flat + s
    assert (flat != want).any()


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_row_alone_and_in_batch(dtype: str) -> None:
    """A row's result does not depend on its companions, the tile, the split of units, or the tier."""
    rng = np.random.default_rng(10)
    a, w = data(rng, dtype, (600, 400)), data(rng, dtype, (90, 400))
    whole = multiply(dtype, a, w.T, TIERS[-1])
    for tier in TIERS[1:]:
        for cuts in (1, 2, 5):
            np.testing.assert_array_equal(bits(multiply(dtype, a, w.T, tier, cuts=cuts)), bits(whole))
    for rows in (1, 2, 3, 4, 7, 8, 9, 12, 13, 25):
        np.testing.assert_array_equal(bits(multiply(dtype, a[:rows], w.T, TIERS[-1])), bits(whole[:rows]))
    np.testing.assert_array_equal(bits(multiply(dtype, a[:5], np.ascontiguousarray(w.T), TIERS[-1])), bits(whole[:5]))


@pytest.mark.parametrize("shape_a,shape_b", [((3, 5, 7), (3, 7, 9)), ((4, 1, 6, 5), (1, 3, 5, 33)), ((2, 3, 20, 8), (8, 40)),
                                             ((5, 8), (2, 2, 8, 3)), ((2, 2, 2, 2, 3, 4), (2, 1, 2, 1, 4, 5)), ((6, 1, 17), (17, 50))])
@pytest.mark.parametrize("order", ["r", "c", "g"])
def test_batches(shape_a: tuple[int, ...], shape_b: tuple[int, ...], order: str) -> None:
    rng = np.random.default_rng(11)
    a, b = data(rng, "f32", shape_a), data(rng, "f32", shape_b)
    want = expected("f32", a, b)
    for cuts in (1, 3):
        np.testing.assert_array_equal(bits(multiply("f32", laid_out(a, order), b, TIERS[-1], order, cuts)), bits(want))


def test_merged_batch_of_transposed_view() -> None:
    """A batch axis whose matrices interleave must not be folded into the rows."""
    rng = np.random.default_rng(12)
    a = data(rng, "f32", (4, 6, 8)).swapaxes(0, 1)
    b = data(rng, "f32", (8, 10))
    np.testing.assert_array_equal(bits(multiply("f32", a, b, TIERS[-1])), bits(expected("f32", a, b)))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("m,n", [(1, 50), (5, 33), (20, 70), (30, 1)])
@pytest.mark.parametrize("order", ["r", "c"])
def test_bias(tier: str, m: int, n: int, order: str) -> None:
    rng = np.random.default_rng(13)
    a, b = data(rng, "f32", (m, 40)), data(rng, "f32", (40, n))
    total = expected("f32", a, b)
    for bias in (data(rng, "f32", (1, n)), data(rng, "f32", (m, 1)), data(rng, "f32", (m, n))):
        full = np.broadcast_to(bias, (m, n))
        got = multiply("f32", a, b, tier, order, epilogue=bias_epilogue(Ptr(2), "f32", strides(full)), extra=(bias,))
        np.testing.assert_array_equal(bits(got), bits(total + full))


def test_epilogue_rounds_once() -> None:
    """A bf16 product adds its bias and residual in f32 and rounds on leaving, over a batch."""
    rng = np.random.default_rng(14)
    a, b = data(rng, "bf16", (3, 10, 20)), data(rng, "bf16", (3, 20, 25))
    bias, residual = data(rng, "f32", (25,)), data(rng, "bf16", (3, 10, 25))
    e = Epilogue("bias_relu_residual", lambda L, acc, o: L.maximum(acc + o[0], 0.0) + o[1],
                 (EpilogueOperand(Ptr(2), "f32", (0, 0, 1)), EpilogueOperand(Ptr(3), "bf16", strides(residual))))
    got = multiply("bf16", a, b, TIERS[-1], epilogue=e, extra=(bias, residual))
    sums = chains(widen(a, "bf16"), widen(b, "bf16"))
    want = narrow(np.maximum(sums + bias, np.float32(0)) + widen(residual, "bf16"), "bf16", "f32")
    np.testing.assert_array_equal(bits(got), bits(want))


def test_specials() -> None:
    """inf and NaN stay in their own outputs; a product that rounds to -0 keeps its sign."""
    a = np.ones((14, 20), np.float32)
    a[3, 4], a[5, 6], a[7] = np.inf, np.nan, 0
    a[7, 0] = -1e-30
    b = np.full((20, 40), 1e-30, np.float32)
    got = multiply("f32", a, b, TIERS[-1])
    assert np.isinf(got[3]).all() and np.isnan(got[5]).all()
    rest = [i for i in range(14) if i not in (3, 5)]
    assert np.isfinite(got[rest]).all()
    assert np.signbit(multiply("f32", a[7:8, :1], b[:1], TIERS[-1])).all()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_touches_nothing_beyond_its_operands(tier: str, dtype: str) -> None:
    """Operands end at the edge of readable memory, in both orders, so a tail that reads too far crashes."""
    rng = np.random.default_rng(15)
    for m, n, k in ((1, 33, 7), (3, 17, 385), (13, 47, 21), (30, 5, 19), (18, 70, 390)):
        a, b = data(rng, dtype, (m, k)), data(rng, dtype, (k, n))
        want = expected(dtype, a, b)
        for order_a, order_b, order_c in ("rrr", "rcr", "crc", "ccr"):
            x, y = guarded(laid_out(a, order_a)), guarded(laid_out(b, order_b))
            z = guarded(laid_out(np.zeros((m, n), x.dtype), order_c))
            run(lower_matmul(dtype, (), m, n, k, strides(x), strides(y), strides(z), tier=tier), [x, y, z], tier)
            np.testing.assert_array_equal(bits(z), bits(want))


def test_empty() -> None:
    assert lower_matmul("f32", (), 0, 5, 5, (5, 1), (5, 1), (5, 1), tier="avx2") == []
    assert lower_matmul("f32", (0,), 4, 5, 5, (20, 5, 1), (25, 5, 1), (20, 5, 1), tier="avx2") == []


def test_one_object_serves_all_sizes() -> None:
    """Sizes and strides are words: equal classes give equal text, and equal text has equal objects."""
    first = lower_matmul("f32", (), 100, 200, 300, (300, 1), (200, 1), (200, 1), tier="avx2")[0]
    other = lower_matmul("f32", (7,), 33, 64, 50, (1650, 50, 1), (3200, 64, 1), (2112, 64, 1), tier="avx2")[0]
    assert first.symbol == other.symbol and first.text == other.text
    assert emit_object(first.text, "avx2") == emit_object(other.text, "avx2")
