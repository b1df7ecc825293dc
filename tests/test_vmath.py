"""Vector math: the lane language means what it says, kernels equal it to the bit on every tier, and errors stay in their bounds."""

from __future__ import annotations

import importlib.util
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frankentorch.lower.lanes import BITS, Complex, Lane, Lanes, LLVMLanes, numpy_type
from frankentorch.lower.lanes_numpy import NumpyLanes, evaluate, fma32, fma64
from frankentorch.lower.llvmtext import Function
from frankentorch.lower.vmath import COMPLEX_FUNCTIONS, FUNCTIONS, INTEGER_FUNCTIONS, apply
from frankentorch.lower.vmath.harness import compile_lanes

_path = Path(__file__).resolve().parent.parent / "bench" / "ulp.py"
_spec = importlib.util.spec_from_file_location("ulp", _path)
assert _spec is not None and _spec.loader is not None
ulp = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ulp)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
TIERS = ("sse4.2", "avx2", "avx512")
INTS = ("i8", "u8", "i16", "i32", "u32", "i64", "u64")
FLOATS = ("f32", "f64")


def patterns(ty: str, n: int = 1024, seed: int = 0) -> Any:
    """Random bits of a type, and for floats its edges and ordinary sizes."""
    rng, width = np.random.default_rng(seed), BITS[ty]
    if ty == "i1":
        return rng.integers(0, 2, n).astype(bool)
    out = rng.integers(0, 1 << width, n, dtype=np.uint64).astype(f"uint{width}").view(numpy_type(ty))
    if ty in FLOATS:
        edges = [0.0, -0.0, 1, -1, math.inf, -math.inf, math.nan, 0.5, 1.5, 2.5, 2.0**31, 2.0**63, -(2.0**31), -(2.0**63), 255, 256, 65504, 65519.99,
                 65520, 2.0**-24, 2.0**-25, 2.0**32, 2.0**64, 1e-40]
        out[:24] = edges
        out[100:500] = rng.standard_normal(400) * 10.0 ** rng.integers(-9, 20, 400)
    else:
        out[:5] = np.array([0, 1, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1], np.uint64).astype(out.view(f"uint{width}").dtype).view(out.dtype)
    return out


def raw(a: Any) -> Any:
    return np.ascontiguousarray(a).view(f"u{np.asarray(a).itemsize}")


def assert_same(got: Any, want: Any, nan_bits: bool = False) -> None:
    """Equal bits; a NaN equals any NaN unless `nan_bits`."""
    got, want = np.asarray(got), np.asarray(want)
    equal = raw(got) == raw(want)
    if got.dtype.kind == "f" and not nan_bits:
        equal |= np.isnan(got) & np.isnan(want)
    assert equal.all(), f"first difference at {np.argmin(equal)}: {got[np.argmin(equal)]} is not {want[np.argmin(equal)]}"


# The lane language --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("src", [t for t in BITS if t != "i1"])
def test_conversions_have_the_same_bits_compiled(src: str, tier: str) -> None:
    x = patterns(src)
    for dst in BITS:
        def convert(L: Lanes, a: Lane, dst: str = dst) -> Lane:
            return L.convert(a, dst)

        assert_same(compile_lanes(convert, [src], tier)(x), evaluate(convert, src, x))


def test_half_conversions_by_instruction_have_the_same_bits() -> None:
    def down(L: Lanes, a: Lane) -> Lane:
        if isinstance(L, LLVMLanes):
            L.f16c = True
        return L.convert(a, "f16")

    def up(L: Lanes, a: Lane) -> Lane:
        if isinstance(L, LLVMLanes):
            L.f16c = True
        return L.convert(a, "f32")

    x, h = patterns("f32", 8192), np.arange(1 << 16, dtype=np.uint16)
    assert_same(compile_lanes(down, ["f32"], "avx2")(x), evaluate(down, "f32", x))
    assert_same(compile_lanes(up, ["f16"], "avx2")(h), evaluate(up, "f16", h))


def test_small_float_conversions_match_torch() -> None:
    torch = pytest.importorskip("torch")
    x = patterns("f32", 1 << 16)
    x = x[~np.isnan(x)]
    for ty, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        want = torch.from_numpy(x).to(dtype).view(torch.int16).numpy().view(np.uint16)
        assert_same(evaluate(lambda L, a, ty=ty: L.convert(a, ty), "f32", x), want)
        bits = np.arange(1 << 16, dtype=np.uint16)
        wide = torch.from_numpy(bits.view(np.int16)).view(dtype).float().numpy()
        assert_same(evaluate(lambda L, a: L.convert(a, "f32"), ty, bits), wide)


@pytest.mark.parametrize("ty", INTS)
def test_integer_operations_compiled(ty: str) -> None:
    x, y = patterns(ty), patterns(ty, seed=1)
    y[::3] = np.arange(y[::3].size) % 70
    y[7::11] = 0
    x[3::11], y[3::11] = x[3], np.array(-1).astype(y.dtype)
    names = ["add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr"] + (["udiv", "urem"] if ty[0] == "u" else ["sdiv", "srem"])
    for name in names:
        def operate(L: Lanes, a: Lane, b: Lane, name: str = name) -> Lane:
            return getattr(L, name)(a, b) if hasattr(L, name) else L.binary(name, a, b)

        assert_same(compile_lanes(operate, [ty, ty], "avx2")(x, y), evaluate(operate, ty, x, y))
    for name in ("ctlz", "popcount"):
        def count(L: Lanes, a: Lane, name: str = name) -> Lane:
            return getattr(L, name)(a)

        got = evaluate(count, ty, x)
        assert_same(compile_lanes(count, [ty], "avx2")(x), got)
        width = BITS[ty]
        values = [int(v) & ((1 << width) - 1) for v in x]
        assert got.tolist() == [width - v.bit_length() if name == "ctlz" else v.bit_count() for v in values]


def test_division_by_zero_does_not_trap() -> None:
    x, y = np.full(16, -7, np.int32), np.zeros(16, np.int32)
    assert (compile_lanes(lambda L, a, b: L.sdiv(a, b), ["i32"] * 2)(x, y) == -7).all()
    assert (compile_lanes(lambda L, a, b: L.srem(a, b), ["i32"] * 2)(x, y) == 0).all()


def exact_fma(a: float, b: float, c: float, digits: int, least: int) -> float:
    """a * b + c by rational arithmetic, rounded half to even to `digits` bits with least exponent `least`."""
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return 0.0
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    step = Fraction(2) ** max(exponent - digits + 1, least)
    return float(round(exact / step) * step)


def test_fma_is_exact() -> None:
    rng = np.random.default_rng(5)
    for fma, dt, digits, least in ((fma32, np.float32, 24, -149), (fma64, np.float64, 53, -1074)):
        low = {np.float32: -60, np.float64: -500}[dt]
        a, b = ((rng.standard_normal(600) * 2.0 ** rng.integers(low, -low, 600)).astype(dt) for _ in range(2))
        c = np.where(np.arange(600) % 2, -(a * b), rng.standard_normal(600) * 2.0 ** rng.integers(low, -low, 600)).astype(dt)
        c[::5] *= dt(2.0 ** (-digits))
        a[:100] *= dt(2.0**low)
        want = np.array([exact_fma(float(p), float(q), float(r), digits, least) for p, q, r in zip(a, b, c, strict=True)])
        good = np.isfinite(want.astype(dt))
        got = fma(a, b, c)
        assert (got[good] == want.astype(dt)[good]).all()
        pad = a.size // 16 * 16
        ty = "f32" if dt is np.float32 else "f64"
        for tier in TIERS:
            run = compile_lanes(lambda L, p, q, r: L.fma(p, q, r), [ty] * 3, tier)
            assert_same(run(a[:pad], b[:pad], c[:pad]), got[:pad])


@pytest.mark.parametrize("ty", FLOATS)
def test_float_operations_compiled(ty: str) -> None:
    x, y, z = patterns(ty), patterns(ty, seed=1), patterns(ty, seed=2)
    y[::7] = x[::7]
    operations = {
        "div": lambda L, a, b, c: a / b, "rint": lambda L, a, b, c: L.rint(a), "sqrt": lambda L, a, b, c: L.sqrt(L.abs(a)),
        "copysign": lambda L, a, b, c: L.copysign(a, b), "minimum": lambda L, a, b, c: L.minimum(a, b), "maximum": lambda L, a, b, c: L.maximum(a, b),
        "floor": lambda L, a, b, c: L.floor(a) - L.ceil(b), "trunc": lambda L, a, b, c: L.trunc(-a),
        "rare": lambda L, a, b, c: L.rare(L.cmp("gt", a, b), lambda: [a * b], [c])[0],
        "seldom": lambda L, a, b, c: L.seldom(L.cmp("gt", a, b), lambda M, p, q: [p * q], [a, b], [c])[0],
        "never": lambda L, a, b, c: L.rare(L.cmp("gt", a, a), lambda: [a * b], [c])[0],
        "bf16": lambda L, a, b, c: L.round_to(a, "bf16")}
    for tier in ("sse4.2", "avx2"):
        for operation in operations.values():
            assert_same(compile_lanes(operation, [ty] * 3, tier)(x, y, z), evaluate(operation, ty, x, y, z))
    for predicate in ("olt", "uge", "uno", "ord", "lt", "ne", "ueq", "one"):
        def compare(L: Lanes, a: Lane, b: Lane, predicate: str = predicate) -> Lane:
            return L.cmp(predicate, a, b)

        assert_same(compile_lanes(compare, [ty] * 2, "avx2")(x, y), evaluate(compare, ty, x, y).view(np.uint8))


def test_scalar_emission_has_the_same_bits() -> None:
    x = ulp.unary_inputs("sin", "f32", 512)
    for name in ("sin", "log", "fmod"):
        args = (x,) * FUNCTIONS[name].arity
        call = FUNCTIONS[name].call
        assert_same(compile_lanes(call, ["f32"] * len(args), lanes=0)(*args), compile_lanes(call, ["f32"] * len(args))(*args), True)


def test_minimum_and_maximum_keep_nan_and_wrong_types_are_refused() -> None:
    L = NumpyLanes()
    a, b = L.wrap("f32", [1.0, math.nan, 2.0]), L.wrap("f32", [math.nan, 1.0, 3.0])
    assert np.isnan(L.minimum(a, b).v[:2]).all() and L.minimum(a, b).v[2] == 2
    assert np.isnan(L.maximum(a, b).v[:2]).all() and L.maximum(a, b).v[2] == 3
    with pytest.raises(TypeError, match="f64"):
        a + L.wrap("f64", [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="convert first"):
        L.convert(a, "bf16") + L.convert(b, "bf16")
    with pytest.raises(TypeError, match="sdiv"):
        L.wrap("i32", [1]) / L.wrap("i32", [1])


def test_complex_arithmetic() -> None:
    L = NumpyLanes()
    rng = np.random.default_rng(0)
    p, q = rng.standard_normal((2, 50)) + 1j * rng.standard_normal((2, 50))
    a, b = (Complex(L.wrap("f64", v.real), L.wrap("f64", v.imag)) for v in (p, q))
    for got, want in ((a + b, p + q), (a - b, p - q), (a * b, p * q), (a / b, p / q), (-a, -p), (a.conj(), p.conj()), (a.scale(2.0), 2 * p)):
        np.testing.assert_allclose(got.re.v + 1j * got.im.v, want, rtol=1e-14)
    huge = Complex(L.wrap("f64", [1e200]), L.wrap("f64", [1e200]))
    assert (huge / huge).re.v == 1 and (huge / huge).im.v == 0


# The functions ------------------------------------------------------------------------------------------------
def arguments(name: str, ty: str, n: int) -> tuple[Any, ...]:
    """Samples of a function, with infinities, NaN and both zeros in front."""
    edges = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 1, -1, 2, -2, 0.5, 3, -3, 1e-45, -1e30, 1e30, 7], ulp.dtype_of(ty))
    if FUNCTIONS[name].arity == 1:
        return (np.concatenate([edges, ulp.unary_inputs(name, ty, n)]),)
    pairs = ulp.binary_inputs(name, ty, n)
    return tuple(np.concatenate([e.ravel(), p]) for e, p in zip(np.meshgrid(edges, edges), pairs, strict=True))


@pytest.mark.parametrize("ty", FLOATS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_functions_have_the_meanings_bits(name: str, ty: str) -> None:
    args = arguments(name, ty, 600)
    function = FUNCTIONS[name]
    want = evaluate(function.call, ty, *args)
    tiers = TIERS if ty == "f32" else ("avx2", "avx512")
    for tier in tiers:
        assert_same(compile_lanes(function.call, [ty] * len(args), tier)(*args), want, nan_bits=True)


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if f.arity == 1])
def test_f32_errors_stay_in_bounds(name: str) -> None:
    found = ulp.sweep_f32(name, 80021)
    assert found["ulp"] <= FUNCTIONS[name].ulp32, found


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if f.arity == 1])
def test_small_float_errors_stay_in_bounds(name: str) -> None:
    for ty in ("f16", "bf16"):
        found = ulp.sweep_small(name, ty)
        assert found["ulp"] <= ulp.bound_of(FUNCTIONS[name], ty), found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_f64_errors_stay_in_bounds(name: str) -> None:
    pytest.importorskip("mpmath")
    found = ulp.sample(name, "f64", 300)
    assert found["ulp"] <= FUNCTIONS[name].ulp64, found


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if f.arity == 2])
def test_f32_errors_of_two_arguments(name: str) -> None:
    pytest.importorskip("mpmath")
    found = ulp.sample(name, "f32", 600)
    assert found["ulp"] <= FUNCTIONS[name].ulp32, found


def test_error_measures_agree() -> None:
    mpmath = pytest.importorskip("mpmath")
    got = patterns("f32", 4096)
    ref = patterns("f32", 4096, seed=3).astype(np.float64)
    ref[100:2000] = got[100:2000] * (1 + np.random.default_rng(1).standard_normal(1900) * 1e-7)
    fast = compile_lanes(ulp.error_lanes, ["f32", "f64"])(got, ref)
    np.testing.assert_array_equal(fast, ulp.ulp_error(got.astype(np.float64), ref, "f32"))
    for k in range(100, 200):
        assert fast[k] == pytest.approx(ulp.mp_ulp_error(float(got[k]), mpmath.mpf(float(ref[k])), "f32"), rel=1e-9)


@pytest.mark.parametrize("ty", FLOATS)
def test_special_values_match_torch(ty: str) -> None:
    torch = pytest.importorskip("torch")
    special = torch.special
    unary = {"exp": torch.exp, "exp2": torch.exp2, "expm1": torch.expm1, "log": torch.log, "log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p,
             "sigmoid": torch.sigmoid, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "asin": torch.asin, "acos": torch.acos, "atan": torch.atan,
             "sinh": torch.sinh, "cosh": torch.cosh, "tanh": torch.tanh, "asinh": torch.asinh, "acosh": torch.acosh, "atanh": torch.atanh, "erf": torch.erf,
             "erfc": torch.erfc, "erfinv": torch.erfinv, "lgamma": torch.lgamma, "digamma": torch.digamma, "i0": special.i0, "i1": special.i1,
             "i0e": special.i0e, "i1e": special.i1e, "trigamma": lambda v: special.polygamma(1, v), "sinc": torch.sinc,
             "rsqrt": torch.rsqrt, "sqrt": torch.sqrt, "silu": torch.nn.functional.silu, "gelu": torch.nn.functional.gelu}
    x = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 1, -1, 2, -2, 0.5, -0.5, 3, -3, 10, -10, 0.25], ulp.dtype_of(ty))
    for name, call in unary.items():
        # torch's float32 gelu, when oneDNN computes it, gives NaN at inf; its float64 gelu gives inf, as ours.
        # Its trigamma is good to 1e-9, and about 1e15 at negative integers, where ours is infinite.
        points = x[x != math.inf] if name == "gelu" else x[(x >= 0) | (x % 1 != 0)] if name == "trigamma" else x
        got, want = evaluate(FUNCTIONS[name].call, ty, points), call(torch.from_numpy(points)).numpy()
        close = 1e-5 if ty == "f32" else 1e-8 if name == "trigamma" else 1e-12
        np.testing.assert_allclose(got, want, rtol=close, atol=1e-6 if ty == "f32" else 1e-14, err_msg=name)
        zeros = (got == 0) & (want == 0)
        assert (np.signbit(got) == np.signbit(want))[zeros].all(), name
    a, b = (v.ravel() for v in np.meshgrid(x, x))
    for name, call in {"pow": torch.pow, "atan2": torch.atan2, "fmod": torch.fmod, "remainder": torch.remainder, "floor_divide": torch.floor_divide,
                       "hypot": torch.hypot, "logaddexp": torch.logaddexp}.items():
        got, want = evaluate(FUNCTIONS[name].call, ty, a, b), call(torch.from_numpy(a), torch.from_numpy(b)).numpy()
        np.testing.assert_allclose(got, want, rtol=1e-5 if ty == "f32" else 1e-12, atol=1e-6 if ty == "f32" else 1e-14, err_msg=name)


@pytest.mark.parametrize("ty", ["u8", "i8", "i32", "i64"])
def test_integer_functions_match_torch(ty: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    x = rng.integers(0 if ty[0] == "u" else -120, 120, 512).astype(numpy_type(ty))
    y = rng.integers(1, 12, 512).astype(numpy_type(ty))
    if ty[0] == "i":
        y *= rng.choice(np.array([-1, 1], y.dtype), 512)
    x[:3] = [1, x[1], 0]
    calls = {"pow": torch.pow, "remainder": torch.remainder, "floor_divide": torch.floor_divide}
    for name, call in calls.items():
        base = np.where((x == 0) & (y < 0), 1, x).astype(x.dtype) if name == "pow" else x
        power = np.abs(y) if name == "pow" else y
        got = compile_lanes(FUNCTIONS[name], [ty] * 2)(base, power)
        np.testing.assert_array_equal(got, call(torch.from_numpy(base), torch.from_numpy(power)).numpy(), err_msg=name)
    if ty[0] == "i":
        got = evaluate(INTEGER_FUNCTIONS["pow"], ty, np.array([1, -1, -1, 5], x.dtype), np.array([-3, -3, -2, -1], x.dtype))
        assert got.tolist() == [1, -1, 1, 0]


@pytest.mark.parametrize("ty", FLOATS)
@pytest.mark.parametrize("name", COMPLEX_FUNCTIONS)
def test_complex_functions(name: str, ty: str) -> None:
    """Against mpmath by the size of the error, against torch on the axes and cuts, and compiled against the meaning."""
    mpmath = pytest.importorskip("mpmath")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    dtype = np.complex64 if ty == "f32" else np.complex128
    z = (rng.standard_normal(48) + 1j * rng.standard_normal(48)) * np.repeat([1, 10, 1e-4], 16)
    cuts = [0, -1, 1, 2, -2, 0.5, 1j, -1j, 2j, -2j, complex(2, -0.0), complex(-2, -0.0), complex(-0.0, 2), complex(-0.0, -2), 1 + 1j, -1 - 1j]
    if name in ("rsqrt", "atan", "atanh"):
        cuts[:10] = [3] * 10
    args = [np.concatenate([z, cuts]).astype(dtype)]
    if name in ("pow", "logaddexp"):
        args.append((rng.standard_normal(64) + 1j * rng.standard_normal(64)).astype(dtype))
    L = NumpyLanes()
    out = FUNCTIONS[name](L, *(Complex(L.wrap(ty, a.real), L.wrap(ty, a.imag)) for a in args))
    got = out.re.v + 1j * out.im.v
    known = {"exp2": lambda v: mpmath.power(2, v), "log2": lambda v: mpmath.log(v) / mpmath.log(2), "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
             "silu": lambda v: v / (1 + mpmath.exp(-v)), "rsqrt": lambda v: 1 / mpmath.sqrt(v), "pow": mpmath.power,
             "logaddexp": lambda v, w: max(v, w, key=lambda x: x.real) + mpmath.log(1 + mpmath.exp(-abs(v.real - w.real) + 1j * (
                 w.imag - v.imag if v.real >= w.real else v.imag - w.imag)))}
    with mpmath.workprec(120):
        for k in range(48):
            exact = mpmath.mpc(known.get(name, getattr(mpmath, name, None))(*(mpmath.mpc(complex(a[k])) for a in args)))
            assert abs(mpmath.mpc(complex(got[k])) - exact) <= abs(exact) * (2.0**-22 if ty == "f32" else 2.0**-44), (args[0][k], got[k], exact)
    oracle = torch.nn.functional.silu if name == "silu" else getattr(torch, name)
    want = oracle(*(torch.from_numpy(a) for a in args)).numpy()
    np.testing.assert_allclose(got[48:], want[48:], rtol=1e-5 if ty == "f32" else 1e-13, atol=1e-6 if ty == "f32" else 1e-15)
    for part in ("re", "im"):
        def one(L: Lanes, *parts: Lane, part: str = part) -> Lane:
            pairs = [Complex(parts[k], parts[k + 1]) for k in range(0, len(parts), 2)]
            return getattr(FUNCTIONS[name](L, *pairs), part)

        flat = [np.ascontiguousarray(v) for a in args for v in (a.real, a.imag)]
        assert_same(compile_lanes(one, [ty] * len(flat), "avx2")(*flat), getattr(out, part).v)


def test_apply_rounds_small_floats_once() -> None:
    bits = np.arange(0, 1 << 16, 37, dtype=np.uint16)
    got = evaluate(lambda L, a: apply(L, "tanh", a), "bf16", bits)
    wide = evaluate(FUNCTIONS["tanh"].call, "f32", evaluate(lambda L, a: L.convert(a, "f32"), "bf16", bits))
    assert_same(got, evaluate(lambda L, a: L.convert(a, "bf16"), "f32", wide))


def test_no_function_calls_a_library() -> None:
    """Every callee in the emitted text is an LLVM intrinsic that is an instruction (or, for fma, exact)."""
    allowed = ("llvm.fma.", "llvm.sqrt.", "llvm.fabs.", "llvm.floor.", "llvm.ceil.", "llvm.trunc.", "llvm.roundeven.", "llvm.copysign.")
    for function in FUNCTIONS.values():
        for ty in FLOATS:
            fn = Function("f", [])
            L = LLVMLanes(fn, 16)
            function.call(L, *(L.wrap(ty, f"%a{k}") for k in range(function.arity)))
            assert all(name.startswith(allowed) for name in fn.declares), (function.name, fn.declares)
            assert " fast " not in fn.finish() and " contract " not in fn.finish()
