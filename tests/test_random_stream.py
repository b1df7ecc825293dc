"""The random stream is torch's: values, generator state and errors, call by call and across calls.

The kernels are compared with torch 2.13 (float32, half and integer draws bit for bit, float64 within an ulp where a logarithm or sine is
involved) and, to the bit, with the numpy reference; every CPU tier this machine has must agree.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import random
import struct
from functools import cache
from typing import Any

import numpy as np
import pytest

from frankentorch.lower.kernel import Ptr
from frankentorch.lower.random import RandomKernel, lower_random
from frankentorch.lower.random_reference import philox_draw
from frankentorch.lower.random_serial import RANDPERM_LIMIT
from frankentorch.runtime import jit
from frankentorch.runtime.random import STATE_BYTES, Generator, random_range

torch = pytest.importorskip("torch")

TORCH = {"i1": torch.bool, "u8": torch.uint8, "i8": torch.int8, "i16": torch.int16, "i32": torch.int32, "i64": torch.int64,
         "f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64,
         "u16": torch.uint16, "u32": torch.uint32, "u64": torch.uint64}
MEMORY = {"i1": np.uint8, "u8": np.uint8, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "f16": np.uint16,
          "bf16": np.uint16, "f32": np.float32, "f64": np.float64, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64}
FLOATS = ("f32", "f64", "f16", "bf16")
SIZES = (0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 100, 1023, 1024, 1025, 4099)
SEEDS = (0, 5, 2**32 + 7, 2**63 + 11)


@cache
def compiled(kind: str, dtype: str, p_dtype: str, tier: str | None) -> tuple[RandomKernel, Any]:
    kernel = lower_random(kind, dtype, p_dtype)
    library = jit.load_object(jit.compile_object(kernel.text, tier), kernel.symbol, (kernel.symbol,))
    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    return kernel, signature(library.address(kernel.symbol))


def word(x: Any, kind: str) -> int:
    if kind == "ptr":
        return int(x if isinstance(x, int) else x.ctypes.data)
    return struct.unpack("<Q", struct.pack("<d", x))[0] if kind == "f64" else int(x) & (2**64 - 1)


def call(kernel: RandomKernel, function: Any, words: list[Any], lo: int = 0, hi: int = 1) -> None:
    """Run a kernel on argument words (numbers, arrays, addresses) with scratch that begins as garbage."""
    assert len(words) == len(kernel.args), kernel.args
    kinds = [a.split(": ")[1] for a in kernel.args]
    packed = (ctypes.c_uint64 * len(words))(*[word(x, k) for x, k in zip(words, kinds, strict=True)])
    scratch = np.full(kernel.scratch + 64, 0xA5, np.uint8)
    function(ctypes.addressof(packed), lo, hi, scratch.ctypes.data + -scratch.ctypes.data % 64)


def draw(g: Generator, kind: str, dtype: str, n: int, *params: Any, p_dtype: str = "", tier: str | None = None) -> Any:
    """`n` elements from a kernel; the bytes around them must stay untouched."""
    kernel, function = compiled(kind, dtype, p_dtype, tier)
    guard = np.full(n + 32, 77, MEMORY[dtype])
    call(kernel, function, [g.address, guard[16:], n, *params])
    assert (guard[:16] == 77).all() and (guard[n + 16:] == 77).all()
    return guard[16:n + 16].copy()


def bits(tensor: Any) -> Any:
    """A tensor's memory in the types of `MEMORY`."""
    if tensor.dtype in (torch.float16, torch.bfloat16):
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.view(torch.uint8).numpy() if tensor.dtype == torch.bool else tensor.numpy()


def assert_close(ours: Any, theirs: Any, ulps: int = 0, offset: float = 0.0) -> None:
    """Equal bits; float64 within `ulps`, counted at the size of the terms when `offset` was added to a draw."""
    theirs = bits(theirs)
    if ulps and ours.dtype == np.float64:
        assert (np.abs(ours - theirs) <= ulps * np.spacing(np.abs(theirs) + abs(offset))).all()
    else:
        unsigned = f"u{ours.itemsize}"
        np.testing.assert_array_equal(ours.view(unsigned), theirs.view(unsigned))


def twin(seed: int) -> tuple[Generator, Any]:
    theirs = torch.Generator()
    theirs.manual_seed(seed)
    return Generator().manual_seed(seed), theirs


def assert_state(g: Generator, theirs: Any) -> None:
    assert g.get_state()[:4996] == bytes(theirs.get_state().numpy())[:4996]  # up to the cached normals, which may differ by an ulp
    ours, other = (struct.unpack_from("<3d i4x f?3x", s, 5016) for s in (g.get_state(), bytes(theirs.get_state().numpy())))
    assert ours[3:] == other[3:] and ours[0] == other[0] and ours[2] == other[2]
    assert abs(ours[1] - other[1]) <= 2 * math.ulp(other[1])


# One call -------------------------------------------------------------------------------------------------------------
ELEMENTWISE = [
    *[("uniform", d, p, 0) for d in FLOATS for p in ((0.0, 1.0), (-0.3, 0.7), (1.1, 5.3), (0.1, 0.1), (-50.0, 7.7))],
    *[("normal", d, p, 2) for d in FLOATS for p in ((0.0, 1.0), (1.3, 0.7), (-5.0, 0.0))],
    *[("log_normal", d, p, 16) for d in FLOATS for p in ((1.0, 2.0), (0.3, 0.01))],
    *[("exponential", d, (p,), 1 if p == 1 else 2) for d in FLOATS for p in (1.0, 0.7, 1e-3)],
    *[("cauchy", d, p, 2) for d in FLOATS for p in ((0.0, 1.0), (0.3, 1.7))],
    *[("geometric", d, (p,), 0) for d in (*FLOATS, "u8", "i8", "i16", "i32", "i64") for p in (0.3, 0.5, 0.02)],
    *[("bernoulli", d, (p,), 0) for d in (*FLOATS, "i1", "u8", "i8", "i16", "i32", "i64") for p in (0.0, 0.3, 1.0)],
    *[("random", d, (), 0) for d in (*FLOATS, "i1", "u8", "i8", "i16", "i32", "i64")],
]


@pytest.mark.parametrize("kind,dtype,params,ulps", ELEMENTWISE)
def test_one_call_matches_torch(kind: str, dtype: str, params: tuple[float, ...], ulps: int) -> None:
    for i, n in enumerate((*SIZES, 100_000)):
        g, theirs = twin(SEEDS[i % len(SEEDS)] + i)
        expected = getattr(torch.empty(n, dtype=TORCH[dtype]), kind + "_")(*params, generator=theirs)
        assert_close(draw(g, kind, dtype, n, *params), expected, ulps, params[0] if ulps else 0.0)
        assert_state(g, theirs)


@pytest.mark.filterwarnings("ignore:.*is out of bounds")
@pytest.mark.parametrize("dtype", TORCH)
def test_ranges(dtype: str) -> None:
    """randint and random_(from, to): the same kernels, and torch's errors where it has them."""
    bounds = [(0, 1), (0, 2), (0, 100), (-3, 77), (0, 1 << 24), (0, (1 << 28) - 1), (0, 1 << 28), (-(1 << 31), 1 << 31), (0, 1 << 40),
              (0, 65504), (-2**53 - 7, 2**60 + 3), (3, None), (-7, None), (-2**62, None), (-2**63 + 1, 2**63 - 1), (2049, 4099),
              (257, 519), (-2**63, None), (5, 5), (9, 4), (65519, 65520), (70000, None), (0, 1000), (-1000, 3)]
    for i, (low, high) in enumerate(bounds):
        n = SIZES[i % len(SIZES)] + 1
        g, theirs = twin(i)
        try:
            expected = torch.empty(n, dtype=TORCH[dtype]).random_(low, high, generator=theirs)
        except RuntimeError as error:
            with pytest.raises(type(error)) as ours:
                random_range(dtype, low, high)
            assert str(ours.value) == str(error)
            continue
        kind, span, base = random_range(dtype, low, high)
        got = draw(g, kind, dtype, n, *(() if kind == "random_full" else (span, base)))
        assert_close(got, expected)
        assert_state(g, theirs)


@pytest.mark.parametrize("p_dtype", FLOATS)
@pytest.mark.parametrize("dtype", ["f32", "f64", "i1", "u8", "i64", "bf16"])
def test_bernoulli_tensor(dtype: str, p_dtype: str) -> None:
    for n in SIZES:
        g, theirs = twin(n)
        p = torch.linspace(0, 1, n, dtype=torch.float64).to(TORCH[p_dtype])
        expected = torch.empty(n, dtype=TORCH[dtype]).bernoulli_(p, generator=theirs)
        assert_close(draw(g, "bernoulli_tensor", dtype, n, bits(p), p_dtype=p_dtype), expected)
        assert_state(g, theirs)


@pytest.mark.parametrize("dtype", ["f32", "f16", "f64"])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_dropout_mask(dtype: str, p: float) -> None:
    torch.manual_seed(9)
    expected = torch.nn.functional.dropout(torch.ones(1003, dtype=TORCH[dtype]), p) != 0
    assert_close(draw(Generator().manual_seed(9), "bernoulli", dtype, 1003, 1 - p), expected.to(TORCH[dtype]))


@pytest.mark.parametrize("dtype", ["i64", "i32", "i16", "f32", "f64", "f16"])
def test_randperm(dtype: str) -> None:
    for n in (*SIZES[:12], *([100_000] if dtype in ("i64", "i32", "f64") else [])):
        g, theirs = twin(n)
        assert_close(draw(g, "randperm", dtype, n), torch.randperm(n, dtype=TORCH[dtype], generator=theirs))
        assert_state(g, theirs)
    assert RANDPERM_LIMIT > 100_000


def test_wide_randperm_goes_inside_out() -> None:
    """torch does this from `RANDPERM_LIMIT` elements on, which no test can afford (it was compared once, by hand)."""
    for n in (0, 1, 2, 700, 2000):
        g = Generator().manual_seed(n)
        reference = g.reference()
        expected: list[int] = []
        for i, step in enumerate(reference.draw("random_full", "i64", n).view(np.uint64)):
            expected.append(i)
            j = int(step) % (i + 1)
            expected[i], expected[j] = expected[j], i
        np.testing.assert_array_equal(draw(g, "randperm_wide", "i64", n), expected)
        assert g.get_state() == reference.state()


@pytest.mark.parametrize("dtype", FLOATS)
def test_poisson(dtype: str) -> None:
    rates = torch.tensor([0, 0.01, 0.5, 3, 9.99, 10, 10.5, 12, 30, 100, 1000, 60000] * 60, dtype=torch.float64).to(TORCH[dtype])
    for seed in SEEDS:
        g, theirs = twin(seed)
        assert_close(draw(g, "poisson", dtype, rates.numel(), bits(rates)), torch.poisson(rates, generator=theirs))
        assert_state(g, theirs)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_gamma(dtype: str) -> None:
    alpha = torch.tensor([0, 1e-4, 0.01, 0.3, 0.5, 0.9, 1, 1.5, 2, 10, 1000, 1e6] * 60, dtype=TORCH[dtype])
    for seed in SEEDS:
        g, theirs = twin(seed)
        got = draw(g, "gamma", dtype, alpha.numel(), bits(alpha))
        assert_close(got, torch._standard_gamma(alpha, generator=theirs), 64)
        assert_state(g, theirs)
    for part in alpha[:24], alpha[24:48]:
        g = Generator().manual_seed(1)
        reference = g.reference()
        got = draw(g, "gamma", dtype, part.numel(), bits(part))
        np.testing.assert_allclose(got, reference.draw("gamma", dtype, part.numel(), part.numpy()), rtol=1e-15 if dtype == "f64" else 0)
        assert g.get_state() == reference.state()


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_binomial(dtype: str) -> None:
    chances = torch.tensor([0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.99, 1, math.nan], dtype=TORCH[dtype])
    counts = torch.tensor([0, 1, 5, 20, 40, 100, 1000, 100_000], dtype=TORCH[dtype])
    c, p = (x.ravel().repeat(6) for x in torch.meshgrid(counts, chances, indexing="ij"))
    for seed in SEEDS:
        g, theirs = twin(seed)
        reference = g.reference()
        expected = torch.binomial(c, p, generator=theirs)
        got = draw(g, "binomial", dtype, c.numel(), bits(c), bits(p))
        np.testing.assert_array_equal(got, expected.numpy())
        assert_state(g, theirs)
        np.testing.assert_array_equal(got[:150], reference.draw("binomial", dtype, 150, bits(c)[:150], bits(p)[:150]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_multinomial_with_replacement(dtype: str) -> None:
    for rows, categories, n in ((1, 1, 5), (1, 2, 100), (3, 17, 33), (5, 1000, 50)):
        g, theirs = twin(rows + categories)
        weights = torch.rand(rows, categories, generator=torch.Generator().manual_seed(1)).to(TORCH[dtype])
        weights[:, ::5] = 0
        weights[:, -1] = 0.25
        expected = torch.multinomial(weights, n, replacement=True, generator=theirs)
        kernel, function = compiled("multinomial", "i64", dtype, None)
        got, sums = np.full(rows * n + 8, -1), np.zeros(categories, np.float64 if dtype == "f64" else np.float32)
        call(kernel, function, [g.address, got, n, bits(weights), categories, rows, sums])
        assert (got[rows * n:] == -1).all()
        np.testing.assert_array_equal(got[:rows * n].reshape(rows, n), expected.numpy())
        assert_state(g, theirs)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("n", [1, 7])
def test_multinomial_without_replacement_is_exponential(dtype: str, n: int) -> None:
    g, theirs = twin(3)
    weights = torch.rand(4, 50, generator=torch.Generator().manual_seed(1), dtype=TORCH[dtype])
    expected = torch.multinomial(weights, n, generator=theirs)
    race = torch.from_numpy(draw(g, "exponential", dtype, 200, 1.0)).reshape(4, 50)
    assert torch.equal((weights / race).topk(n).indices, expected)
    assert_state(g, theirs)


@pytest.mark.parametrize("dtype", FLOATS)
def test_strided_normals_go_in_pairs(dtype: str) -> None:
    """Into memory that is not contiguous torch draws normals pairwise, however many they are."""
    for n in (1, 15, 16, 101):
        g, theirs = twin(n)
        expected = torch.empty(n, 2, dtype=TORCH[dtype])[:, 0].normal_(1.3, 0.7, generator=theirs)
        assert_close(draw(g, "normal_pairs", dtype, n, 1.3, 0.7), expected.contiguous(), 2, 1.3)
        assert_state(g, theirs)


def test_normal_with_tensor_parameters() -> None:
    mean, std = torch.linspace(-3, 3, 100), torch.linspace(0, 2, 100)
    g, theirs = twin(4)
    z = torch.from_numpy(draw(g, "normal", "f32", 100, 0.0, 1.0))
    assert torch.equal(z * std + mean, torch.normal(mean, std, generator=theirs))
    z = torch.from_numpy(draw(g, "normal", "f32", 100, 0.0, 2.5))
    assert torch.equal(z + mean, torch.normal(mean, 2.5, generator=theirs))
    z = torch.from_numpy(draw(g, "normal", "f32", 100, 0.0, 1.0))
    assert torch.equal(z * std + 1.5, torch.normal(1.5, std, generator=theirs))
    assert_state(g, theirs)


# Many calls -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(12))
def test_interleaved_calls_and_state_exchange(seed: int) -> None:
    """Different calls share one stream, the waiting Box-Muller partner included; states move between torch and us at any point."""
    choose = random.Random(seed)
    g, theirs = twin(seed)
    for _ in range(60):
        kind, dtype, params, ulps = choose.choice(ELEMENTWISE)
        n = choose.choice((*SIZES[:11], 5, 9, 623, 624, 625))
        expected = getattr(torch.empty(n, dtype=TORCH[dtype]), kind + "_")(*params, generator=theirs)
        assert_close(draw(g, kind, dtype, n, *params), expected, ulps, params[0] if ulps else 0.0)
        assert_state(g, theirs)
        handover = choose.randrange(4)
        if handover == 0:
            theirs.set_state(torch.frombuffer(bytearray(g.get_state()), dtype=torch.uint8))
        elif handover == 1:
            g = Generator().set_state(theirs.get_state().numpy())


def test_cached_partner_crosses_dtypes_and_kinds() -> None:
    g, theirs = twin(11)
    for kind, dtype, n in (("normal", "f64", 3), ("normal", "f32", 1), ("normal", "bf16", 5), ("uniform", "f32", 40),
                           ("log_normal", "f32", 21),
                           ("normal", "f32", 16), ("normal", "f32", 0), ("log_normal", "f64", 600), ("normal", "f16", 15)):
        expected = getattr(torch.empty(n, dtype=TORCH[dtype]), kind + "_")(0.5, 1.5, generator=theirs)
        assert_close(draw(g, kind, dtype, n, 0.5, 1.5), expected, 16, 0.5)
        assert_state(g, theirs)


# Reference and tiers --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tier", jit.host_tiers())
def test_kernels_equal_the_reference_on_every_tier(tier: str) -> None:
    rates = np.array([0, 0.3, 9.0, 11.0, 200.0] * 5, np.float32)
    cases = [("uniform", "f32", (-0.3, 0.7), ""), ("uniform", "f16", (0.0, 1.0), ""), ("uniform", "f64", (1.1, 5.3), ""),
             ("normal", "f32", (1.3, 0.7), ""), ("normal", "f64", (1.3, 0.7), ""), ("normal", "bf16", (0.0, 1.0), ""),
             ("log_normal", "f64", (0.3, 1.7), ""), ("exponential", "f64", (0.7,), ""), ("cauchy", "f64", (0.3, 1.7), ""),
             ("geometric", "i64", (0.3,), ""), ("random", "f64", (), ""), ("random_narrow", "i64", (1000, -7), ""),
             ("random_wide", "i32", (1 << 31, -5), ""), ("randperm", "i64", (), "")]
    for kind, dtype, params, p_dtype in cases:
        for n in (5, 16, 100, 1100):
            g = Generator().manual_seed(n)
            reference = g.reference()
            expected = reference.draw(kind, dtype, n, *params, p_dtype=p_dtype)
            got = draw(g, kind, dtype, n, *params, p_dtype=p_dtype, tier=tier)
            np.testing.assert_array_equal(got.view(f"u{got.itemsize}"), expected.view(f"u{got.itemsize}"))
            assert g.get_state() == reference.state()
    g = Generator().manual_seed(1)
    reference = g.reference()
    np.testing.assert_array_equal(draw(g, "poisson", "f32", 25, rates, tier=tier), reference.draw("poisson", "f32", 25, rates))
    assert g.get_state() == reference.state()


def test_reference_multinomial_matches_torch() -> None:
    g, theirs = twin(2)
    weights = torch.rand(3, 20, generator=torch.Generator().manual_seed(1))
    expected = torch.multinomial(weights, 9, replacement=True, generator=theirs)
    np.testing.assert_array_equal(g.reference().draw("multinomial", "i64", 9, weights.numpy()), expected.numpy())


# Philox ---------------------------------------------------------------------------------------------------------------
def philox(kind: str, dtype: str, n: int, cuts: list[int], key: int = 12345678901234567, counter: int = 2**32 - 40) -> Any:
    kernel, function = compiled("philox_" + kind, dtype, "", None)
    out = np.full(n + 16, 77, MEMORY[dtype])
    units = -(-n // kernel.elements_per_unit)
    edges = sorted({0, units, *(c for c in cuts if c < units)})
    for lo, hi in reversed(list(itertools.pairwise(edges))):
        call(kernel, function, [out, n, key, counter, 0.0, 1.0], lo, hi)
    assert (out[n:] == 77).all()
    return out[:n]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_philox_is_the_same_in_any_order(kind: str, dtype: str) -> None:
    for n in (0, 1, 16, 63, 64, 65, 1000):
        whole = philox(kind, dtype, n, [])
        np.testing.assert_array_equal(whole, philox(kind, dtype, n, [1, 2, 5, 9]))
        np.testing.assert_array_equal(whole, philox_draw(kind, dtype, n, 12345678901234567, 2**32 - 40, 0.0, 1.0))


def test_philox_known_answer() -> None:
    """Random123's published vector for philox4x32-10, counter and key zero."""
    from frankentorch.lower.lanes import NumpyLanes
    from frankentorch.lower.random_engine import philox as rounds

    L = NumpyLanes()
    zero = L.wrap("u32", np.zeros(1, np.uint32))
    assert [int(w.v[0]) for w in rounds(L, (zero, zero), (zero, zero))] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_philox_normals_look_normal() -> None:
    z = philox("normal", "f32", 200_000, [])
    assert abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.01 and abs((z**4).mean() - 3) < 0.1


# Accuracy -------------------------------------------------------------------------------------------------------------
def test_double_functions_round_almost_correctly() -> None:
    """Within 0.51 ulp of the truth, as long double sees it."""
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("needs an 80-bit long double")
    from frankentorch.lower import random_math as rm
    from frankentorch.lower.lanes import NumpyLanes

    L, rng, long = NumpyLanes(), np.random.default_rng(0), np.longdouble
    u = np.concatenate([rng.random(20000), 1 - rng.random(2000) * 1e-6, rng.random(2000) * 1e-12, [2.0**-53, 1.0, 0.5]])
    turn = u * (2 * math.pi)
    sine, cosine = rm.sincos_pairs(L, L.wrap("f64", turn))
    checks = [(rm.log_f64(L, L.wrap("f64", u)).v, np.log(u.astype(long))), (sine[0].v, np.sin(turn.astype(long))),
              (cosine[0].v, np.cos(turn.astype(long))),
              (rm.exp_f64(L, L.wrap("f64", turn * 9 - 20)).v, np.exp((turn * 9 - 20).astype(long)))]
    for got, exact in checks:
        assert (np.abs(got - exact) <= 0.51 * np.spacing(np.abs(got))).all()


# Generators -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", [0, 1, -1, 2**32, 2**63, 2**64 - 1, -2**63])
def test_manual_seed(seed: int) -> None:
    g, theirs = twin(seed)
    assert g.initial_seed() == theirs.initial_seed()
    assert g.get_state() == bytes(theirs.get_state().numpy()) and len(g.get_state()) == STATE_BYTES


@pytest.mark.parametrize("seed", [2**64, -2**63 - 1, 3.7, True])
def test_bad_seeds_raise_what_torch_raises(seed: Any) -> None:
    with pytest.raises((RuntimeError, ValueError)) as theirs:
        torch.Generator().manual_seed(seed)
    g = Generator()
    before = g.get_state()
    with pytest.raises(theirs.type) as ours:
        g.manual_seed(seed)
    assert str(ours.value) == str(theirs.value) and g.get_state() == before


@pytest.mark.parametrize("size", [3, STATE_BYTES])
def test_bad_states_change_nothing(size: int) -> None:
    with pytest.raises(RuntimeError) as theirs:
        torch.Generator().set_state(torch.zeros(size, dtype=torch.uint8))
    g = Generator()
    before = g.get_state()
    with pytest.raises(RuntimeError) as ours:
        g.set_state(np.zeros(size, np.uint8))
    assert str(ours.value) == str(theirs.value) and g.get_state() == before


def test_clones_are_independent() -> None:
    import pickle

    g = Generator().manual_seed(3)
    draw(g, "normal", "f32", 3, 0.0, 1.0)
    copy, pickled = g.clone_state(), pickle.loads(pickle.dumps(g))
    first = draw(g, "normal", "f32", 5, 0.0, 1.0)
    np.testing.assert_array_equal(draw(copy, "normal", "f32", 5, 0.0, 1.0), first)
    np.testing.assert_array_equal(draw(pickled, "normal", "f32", 5, 0.0, 1.0), first)
    assert g.get_state() == copy.get_state() == pickled.get_state()


def test_fresh_seeds_differ() -> None:
    g = Generator()
    assert g.initial_seed() == torch.Generator().initial_seed()
    a, b = g.seed(), g.seed()
    assert a != b and g.initial_seed() == b


def test_a_call_is_lowered_with_its_words() -> None:
    call_ = lower_random("uniform", "f32").lowered(Ptr(0), Ptr(1), 5, 0.0, 1.0)
    assert call_.args == [Ptr(0), Ptr(1), 5, 0, 0x3FF0000000000000] and call_.units == 1 and call_.scratch > 0
    assert lower_random("philox_uniform", "f64").lowered(Ptr(0), 65, 1, 0, 0.0, 1.0, n=65).units == 3
    with pytest.raises(ValueError, match="argument words"):
        lower_random("uniform", "f32").lowered(Ptr(0))


def test_unknown_kernels_are_refused() -> None:
    for kind, dtype in (("uniform", "i32"), ("nonsense", "f32"), ("normal", "i64"), ("random", "u16")):
        with pytest.raises(ValueError, match="no random kernel"):
            lower_random(kind, dtype)
