"""Measure the error of the vector math in units in the last place, and write artifacts/ulp.json.

Enters: function names (default: all). Leaves: for each function and dtype the worst error, the input that has it, how many
inputs were tried, and the bound promised by the registry; the exit status is 1 if any bound is broken.

    python bench/ulp.py --quick            # about 100,000 inputs a function: a minute
    python bench/ulp.py --full exp log     # all 2**32 float32 inputs: a minute or two a function
    python bench/ulp.py                    # every 61st float32, all float16 and bfloat16, f64 strata

float32 functions of one argument are compared with float64 references from numpy and scipy, which are not ours; float64 functions, and
those of two arguments, with mpmath at 160 to 1400 bits. Entries not measured in a run keep their earlier values,
and a sweep of fewer inputs does not replace one of more of the very same kernel.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from frankentorch.lower.lanes import Lane, Lanes
from frankentorch.lower.vmath import FUNCTIONS, LaneFunction, apply
from frankentorch.lower.vmath.harness import compile_lanes, kernel_text

OUT = Path(__file__).resolve().parent.parent / "artifacts" / "ulp.json"
FORMATS = {"f32": (24, -126, 128), "f64": (53, -1022, 1024), "f16": (11, -14, 16), "bf16": (8, -126, 128)}


# References ---------------------------------------------------------------------------------------------------
def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def _gelu(x: Any) -> Any:
    from scipy import special

    return x * (special.erfc(-x * math.sqrt(0.5)) * 0.5)


def _lgamma(x: Any) -> Any:
    from scipy import special

    return np.where(np.isinf(x), np.inf, special.gammaln(x))


def _digamma(x: Any) -> Any:
    from scipy import special

    out = special.digamma(x)
    return np.where(x == 0, np.copysign(np.inf, -x), np.where((x < 0) & ((np.trunc(x) == x) | np.isinf(x)), np.nan, out))


def _erfinv(x: Any) -> Any:
    from scipy import special

    return special.erfinv(x)


def _trigamma(x: Any) -> Any:
    """scipy's polygamma(1, x) for positive x, by reflection below 0.5."""
    from scipy import special

    up = special.polygamma(1, np.where(x < 0.5, 1.0 - x, x))
    r = x - np.rint(x)
    ratio = np.pi / np.sin(np.pi * r)
    out = np.where(x < 0.5, ratio * ratio - up, up)
    return np.where((x <= 0) & (r == 0), np.inf, np.where(np.isinf(x), np.where(x > 0, 0.0, np.nan), out))


def _sinc(x: Any) -> Any:
    r = np.abs(x) - 2 * np.rint(np.abs(x) / 2)
    r = np.where(np.abs(r) > 0.5, np.copysign(1 - np.abs(r), r), r)
    tiny = np.abs(x) < 1e-160
    return np.where(np.isinf(x), np.nan, np.where(tiny, 1.0, np.sin(np.pi * r) / (np.pi * np.where(tiny, 1.0, np.abs(x)))))


def f64_reference(name: str) -> Callable[..., Any]:
    """A float64 function of numpy arrays from numpy or scipy."""
    from scipy import special

    own = {"sigmoid": _sigmoid, "gelu": _gelu, "lgamma": _lgamma, "digamma": _digamma, "erfinv": _erfinv, "sinc": _sinc,
           "rsqrt": lambda x: 1.0 / np.sqrt(x), "silu": lambda x: x * _sigmoid(x), "softplus": lambda x: np.logaddexp(0.0, x),
           "gelu_tanh": lambda x: x * _sigmoid(x * (1.5957691216057308 + 0.07135481282779586 * x * x)),
           "trigamma": _trigamma, "i0e": special.i0e, "i1e": special.i1e, "i1": lambda x: np.where(np.isinf(x), np.nan, special.i1(x)),
           "erf": special.erf, "erfc": special.erfc, "i0": lambda x: np.where(np.isinf(x), np.nan, special.i0(x))}
    numpy_name = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh"}
    return own.get(name) or getattr(np, numpy_name.get(name, name))


def mp_reference(name: str) -> Callable[..., Any]:
    """The function on mpmath numbers; poles give inf or nan as the registry's functions do."""
    from mpmath import mp, mpf

    c = mp.sqrt(2 / mp.pi)

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + mp.exp(-x))

    def fmod(x: Any, y: Any) -> Any:
        from fractions import Fraction

        a, b = abs(Fraction(float(x))), abs(Fraction(float(y)))
        r = a % b
        return mpf(r.numerator if x >= 0 else -r.numerator) / r.denominator

    def remainder(x: Any, y: Any) -> Any:
        r = fmod(x, y)
        return r + y if r != 0 and (r < 0) != (y < 0) else r

    def lgamma(x: Any) -> Any:
        return mp.log(abs(mp.gamma(x))) if abs(x) < 1e6 else mp.re(mp.loggamma(x))

    def erfc(x: Any) -> Any:
        return mp.erfc(x) if abs(x) < 1000 else mpf(2 if x < 0 else 0)

    def erfinv(x: Any) -> Any:
        """Newton's method from scipy's value: mpmath's own search does not always end."""
        from scipy import special

        if abs(x) >= 1:
            return mp.inf * mp.sign(x) if abs(x) == 1 else mp.nan
        y = mpf(float(special.erfinv(float(x))))
        for _ in range(4):
            y -= (mp.erf(y) - x) * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        return y

    own: dict[str, Callable[..., Any]] = {
        "erfinv": erfinv, "i1": lambda x: mp.besseli(1, x) if abs(x) < 1000 else mp.inf * mp.sign(x), "trigamma": lambda x: mp.psi(1, x),
        "i0e": lambda x: mp.besseli(0, x) * mp.exp(-abs(x)), "i1e": lambda x: mp.besseli(1, x) * mp.exp(-abs(x)),
        "erfc": erfc, "floor_divide": lambda x, y: mp.floor((x - remainder(x, y)) / y + 0.5),
        "exp2": lambda x: mp.power(2, x), "log2": lambda x: mp.log(x) / mp.log(2), "log": mp.log, "pow": mp.power,
        "sigmoid": sigmoid, "softplus": lambda x: mp.log1p(mp.exp(x)), "silu": lambda x: x * sigmoid(x),
        "logaddexp": lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
        "sinc": lambda x: mp.sinpi(x) / (mp.pi * x) if x else mpf(1), "gelu": lambda x: x * erfc(-x / mp.sqrt(2)) / 2,
        "gelu_tanh": lambda x: x * sigmoid(2 * c * (x + mpf("0.044715") * x**3)), "lgamma": lgamma,
        "i0": lambda x: mp.besseli(0, x) if abs(x) < 1000 else mp.inf, "fmod": fmod, "remainder": remainder, "rsqrt": lambda x: 1 / mp.sqrt(x)}
    return own.get(name) or getattr(mp, name)


# Errors -------------------------------------------------------------------------------------------------------
def ulp_error(got: Any, ref: Any, ty: str, unit: Any = None) -> Any:
    """|got - ref| in ulps of `ty` at ref (or at `unit`, where larger), all float64 arrays; overflow counts as 2**emax, NaN must meet NaN."""
    digits, emin, emax = FORMATS[ty]
    top = 2.0**emax if emax < 1024 else np.finfo(np.float64).max
    a, b = np.clip(got, -top, top), np.clip(ref, -top, top)
    size = np.abs(b) if unit is None else np.minimum(np.maximum(np.abs(b), np.abs(unit)), top)
    exponent = np.clip(np.frexp(size)[1] - 1, emin, emax - 1)
    error = np.ldexp(np.abs(a - b), digits - 1 - exponent)
    both = np.isnan(got) & np.isnan(ref)
    return np.where(both, 0.0, np.where(np.isnan(error), np.inf, error))


def error_lanes(L: Lanes, got: Lane, ref: Lane) -> Lane:
    """`ulp_error` of an f32 lane against an f64 lane as a lane function, for the sweeps; an infinite error for one NaN."""
    wide = L.convert(got, "f64")
    a, b = (L.select(L.cmp("ogt", L.abs(v), 2.0**128), L.copysign(L.const("f64", 2.0**128), v), v) for v in (wide, ref))
    exponent = (L.bitcast(b, "u64") >> 52) & 0x7FF
    exponent = L.select(L.cmp("ult", exponent, 1023 - 126), 1023 - 126, L.select(L.cmp("ugt", exponent, 1023 + 127), 1023 + 127, exponent))
    error = L.abs(a - b) * L.bitcast((2046 + 23 - exponent) << 52, "f64")
    both = L.isnan(wide) & L.isnan(ref)
    return L.select(both, 0.0, L.select(L.isnan(error), math.inf, error))


def mp_ulp_error(got: float, ref: Any, ty: str, unit: float = 0.0) -> float:
    """The same against an mpmath number."""
    import mpmath
    from mpmath import mpf

    digits, emin, emax = FORMATS[ty]
    if mpmath.isnan(ref) or got != got:
        return 0.0 if mpmath.isnan(ref) and got != got else math.inf
    if abs(ref) >= mpf(2) ** emax * (1 - mpf(2) ** -(digits + 1)) or math.isinf(got):
        largest = (1 - mpf(2) ** -digits) * mpf(2) ** emax
        return 0.0 if math.isinf(got) and abs(ref) >= largest and (got > 0) == (ref > 0) else math.inf
    size = max(abs(ref), mpf(unit))
    exponent = max(int(mpmath.frexp(size)[1]) - 1, emin) if size else emin
    return float(abs(mpf(got) - ref) / mpf(2) ** (exponent - digits + 1))


def _unit(function: LaneFunction, *args: Any) -> Any:
    if function.unit == "result":
        return None
    return 1.0 if function.unit == "one" else np.max([np.abs(a) for a in args], axis=0)


def dtype_of(ty: str) -> Any:
    return np.float32 if ty == "f32" else np.float64


# Inputs -------------------------------------------------------------------------------------------------------
#: Arguments that tried other libraries: near multiples of pi/2, overflow and underflow thresholds, cancellations.
HARD = (0.0, 5e-324, 2.2250738585072014e-308, 1e-30, 2.0**-54, 2.0**-30, 2.0**-27, 0.3465735, 0.41421356, 0.5, 0.6931471805599453, 0.70710678, 0.785398163,
        0.9999999999999999, 1.0, 1.0000000000000002, 1.4142135623730951, 1.5707963267948966, 2.0, 2.5, 3.0, 3.141592653589793, 4.0, 8.0, 10.0, 22.0,
        26.5, 28.0, 88.72283, 88.722839, 103.97, 104.0, 708.3964185322641, 709.782712893384, 709.78271289338403, 744.4400719213812,
        745.1332191019411, 745.13321910194122, 1022.0, 1023.9999999999999, 1024.0, 1075.0, 2.0**30, 2.0**40, 2.0**53, 1e16, 1e22,
        6381956970095103.0 * 2.0**797, 5.319372648326541e255, 1e300, 1.7976931348623157e308)
RANGES = {"exp": (-745, 710), "exp2": (-1075, 1024), "expm1": (-745, 710), "sigmoid": (-745, 745), "softplus": (-745, 745), "sinh": (-711, 711),
          "cosh": (-711, 711), "silu": (-745, 745), "erfc": (-6, 27), "erf": (-6, 6), "gelu": (-39, 39), "gelu_tanh": (-22, 22), "i0": (-713, 713),
          "i1": (-713, 713),
          "i0e": (-100, 100), "i1e": (-100, 100), "lgamma": (-30, 30), "digamma": (-30, 30), "trigamma": (-30, 30)}


def unary_inputs(name: str, ty: str, n: int, seed: int = 0) -> Any:
    """About n finite inputs: hard cases, uniform in the interesting range, in [-1, 1], near 1, and uniform in the bits."""
    rng, dt = np.random.default_rng(seed), dtype_of(ty)
    k = n // 4
    lo, hi = RANGES.get(name, (-20, 20))
    with np.errstate(over="ignore"):
        hard = np.array(HARD).astype(dt)
    bits = rng.integers(0, 1 << (8 * dt().itemsize), k, dtype=np.uint64).astype(f"u{dt().itemsize}").view(dt)
    parts = [hard, -hard, rng.uniform(lo, hi, k).astype(dt), rng.uniform(-1, 1, k).astype(dt),
             (1 + rng.standard_normal(k) * 10.0 ** rng.uniform(-8, 0, k)).astype(dt), bits]
    x = np.concatenate(parts)
    x = x[np.isfinite(x)]
    if name in ("i0e", "i1e"):
        x = x[np.abs(x) < 1e6]
    if name in ("lgamma", "digamma", "trigamma"):
        x = x[(x > -1e6) & (np.abs(x) < 1e300)]
    return x[:x.size // 16 * 16]


def binary_inputs(name: str, ty: str, n: int, seed: int = 0) -> tuple[Any, Any]:
    """About n pairs of finite inputs: near each other, of ordinary size, and uniform in the bits; inside the domain."""
    rng, dt = np.random.default_rng(seed), dtype_of(ty)
    u, size = f"u{dt().itemsize}", 8 * dt().itemsize
    k = n // 3
    x = np.concatenate([rng.standard_normal(2 * k).astype(dt), rng.integers(0, 1 << size, k, dtype=np.uint64).astype(u).view(dt)])
    y = np.concatenate([(x[:k] * (1 + rng.standard_normal(k) * 1e-3)).astype(dt), rng.standard_normal(k).astype(dt) * 5,
                        rng.integers(0, 1 << size, k, dtype=np.uint64).astype(u).view(dt)])
    if name == "pow":
        x = np.abs(x)
        with np.errstate(all="ignore"):
            reach = 745 if ty == "f64" else 104
            y[k:] = (rng.uniform(-1, 1, y.size - k) * reach / np.maximum(np.abs(np.log(x[k:].astype(np.float64))), 1e-3)).astype(dt)
    good = np.isfinite(x) & np.isfinite(y) & (x != 0) & (y != 0)
    with np.errstate(all="ignore"):
        if name == "floor_divide":
            good &= np.abs(x.astype(np.float64) / y) < 2.0 ** (FORMATS[ty][0] - 2)
        if name == "logaddexp":
            good &= np.maximum(np.abs(x), np.abs(y)) < 1e4
        if name in ("fmod", "remainder"):
            good &= np.abs(x.astype(np.float64) / y) < 2.0**1000
    x, y = x[good], y[good]
    return x[:x.size // 16 * 16], y[:x.size // 16 * 16]


# Measurements -------------------------------------------------------------------------------------------------
def sweep_f32(name: str, stride: int, tier: str = "host") -> dict[str, Any]:
    """Every `stride`-th of the 2**32 float32 patterns, against float64."""
    function = FUNCTIONS[name]
    run, reference = compile_lanes(function.call, ["f32"], tier), f64_reference(name)
    quick_error = compile_lanes(error_lanes, ["f32", "f64"], tier)
    worst, where, chunk = 0.0, 0, 1 << 15
    count = -(-(1 << 32) // stride)
    offsets = np.arange(chunk, dtype=np.uint64) * np.uint64(stride)
    with np.errstate(all="ignore"):
        for start in range(0, count, chunk):
            bits = ((offsets + np.uint64(start * stride)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
            x = bits.view(np.float32)
            wide = x.astype(np.float64)
            got, ref = run(x), reference(wide)
            error = quick_error(got, ref) if function.unit == "result" else ulp_error(got.astype(np.float64), ref, "f32", _unit(function, wide))
            k = int(np.argmax(error))
            if error[k] > worst:
                worst, where = float(error[k]), int(bits[k])
    return {"ulp": round(worst, 4), "worst_bits": f"0x{where:08x}", "inputs": count, "kernel": kernel_digest(name)}


def kernel_digest(name: str) -> str:
    """A digest of the float32 kernel's LLVM text: what a measurement belongs to."""
    return hashlib.sha256(kernel_text("kernel", FUNCTIONS[name].call, ["f32"])[0].encode()).hexdigest()[:16]


def sweep_small(name: str, ty: str) -> dict[str, Any]:
    """All 65,536 patterns of f16 or bf16, computed in f32 and rounded once, against float64."""
    from frankentorch.lower.lanes_numpy import evaluate

    bits = np.arange(1 << 16, dtype=np.uint16)
    got = compile_lanes(lambda L, x: apply(L, name, x), [ty])(bits)
    wide = [evaluate(lambda L, v: L.convert(v, "f32"), ty, p).astype(np.float64) for p in (bits, got)]
    with np.errstate(all="ignore"):
        error = ulp_error(wide[1], f64_reference(name)(wide[0]), ty, _unit(FUNCTIONS[name], wide[0]))
    k = int(np.argmax(error))
    return {"ulp": round(float(error[k]), 4), "worst_bits": f"0x{k:04x}", "inputs": 1 << 16}


def sample(name: str, ty: str, n: int) -> dict[str, Any]:
    """Strata and hard cases against mpmath."""
    from mpmath import mp, mpf

    function = FUNCTIONS[name]
    args = (unary_inputs(name, ty, n),) if function.arity == 1 else binary_inputs(name, ty, n)
    got = compile_lanes(function.call, [ty] * function.arity)(*args)
    worst, where, used = 0.0, (math.nan,) * function.arity, 0
    mp.prec = 1400 if name in ("sin", "cos", "tan") else 200
    reference = mp_reference(name)
    for value, *point in zip(got.tolist(), *(a.tolist() for a in args), strict=True):
        try:
            exact = reference(*(mpf(p) for p in point))
        except (ValueError, ZeroDivisionError):
            continue
        if hasattr(exact, "imag") and exact.imag != 0:
            exact = mpf("nan")
        used += 1
        unit = _unit(function, *point)
        error = mp_ulp_error(value, mp.re(exact), ty, 0.0 if unit is None else float(unit))
        if error > worst:
            worst, where = error, tuple(point)
    return {"ulp": round(worst, 4), "worst": [float(p).hex() for p in where], "inputs": used}


def bound_of(function: LaneFunction, ty: str) -> float:
    """The promise: the registry's, or for 16-bit types half an ulp and the little that rounding twice can add."""
    if ty in ("f32", "f64"):
        return function.bound(ty)
    return 0.5 + 2 * function.bound("f32") * 2.0 ** (FORMATS[ty][0] - 24) + (0.5 if function.unit != "result" else 0)


def measure(name: str, stride: int, samples: int) -> dict[str, Any]:
    function = FUNCTIONS[name]
    found: dict[str, Any] = {"unit": function.unit}
    if function.arity == 1:
        found["f32"] = sweep_f32(name, stride)
        found["f16"], found["bf16"] = sweep_small(name, "f16"), sweep_small(name, "bf16")
    else:
        found["f32"] = sample(name, "f32", samples)
    found["f64"] = sample(name, "f64", samples)
    for ty in ("f32", "f64", "f16", "bf16"):
        if ty in found:
            found[ty]["bound"] = round(bound_of(function, ty), 6)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the vector math in ulps.")
    parser.add_argument("names", nargs="*", help="functions (default: all)")
    parser.add_argument("--quick", action="store_true", help="every 40,009th float32 and few samples; writes nothing")
    parser.add_argument("--full", action="store_true", help="all 2**32 float32 inputs")
    parser.add_argument("--stride", type=int, default=61)
    parser.add_argument("--samples", type=int, default=8000)
    options = parser.parse_args()
    stride = 1 if options.full else 40009 if options.quick else options.stride
    samples = 1200 if options.quick else options.samples
    results: dict[str, Any] = json.loads(OUT.read_text())["functions"] if OUT.exists() else {}
    broken = []
    for name in options.names or FUNCTIONS:
        began = time.perf_counter()
        found = measure(name, stride, samples)
        print(f"{name:13s}", *(f"{ty} {found[ty]['ulp']:.4f}/{found[ty]['bound']:g}" for ty in ("f32", "f64", "f16", "bf16") if ty in found),
              f"({time.perf_counter() - began:.1f} s)", flush=True)
        broken += [f"{name} {ty}" for ty in found if ty != "unit" and found[ty]["ulp"] > found[ty]["bound"]]
        before = results.get(name, {}).get("f32")
        if before and before["inputs"] > found["f32"]["inputs"] and before.get("kernel", "") == found["f32"].get("kernel"):
            found["f32"] = before | {"bound": found["f32"]["bound"]}
        results[name] = found
        if not options.quick:
            OUT.parent.mkdir(exist_ok=True)
            ordered = {k: results[k] for k in sorted(results)}
            OUT.write_text(json.dumps({"command": "python bench/ulp.py [--full] [names]", "functions": ordered}, indent=1) + "\n")
    print("broken bounds:", ", ".join(broken) or "none")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
