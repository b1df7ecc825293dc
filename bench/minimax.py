"""Fit the polynomials of the vector math and print `frankentorch/lower/vmath/coefficients.py`.

Enters: nothing. Leaves: Python source on standard output. Each polynomial is minimax (Remez exchange, see Muller, Elementary
Functions, 3rd ed., ch. 3) in a stated weight, solved with mpmath at 50 digits and then rounded to double, or to single for the
names that begin with F32.

    python bench/minimax.py > frankentorch/lower/vmath/coefficients.py
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable

from mpmath import mp, mpf

mp.dps = 50
Fn = Callable[[mpf], mpf]


def remez(f: Fn, weight: Fn, lo: float, hi: float, degree: int, grid: int = 400) -> tuple[list[mpf], mpf]:
    """Coefficients (low order first) that minimise max |weight * (f - p)| on [lo, hi], and that maximum."""
    lo, hi, n = mpf(lo), mpf(hi), degree + 2
    mid, half = (lo + hi) / 2, (hi - lo) / 2
    xs = [mid - half * mp.cos(mp.pi * k / (grid - 1)) for k in range(grid)]
    fs, ws = [f(x) for x in xs], [weight(x) for x in xs]
    # Solve in u in [-1, 1] for conditioning, then expand.
    us = [(x - mid) / half for x in xs]
    at = [round(k * (grid - 1) / (n - 1)) for k in range(n)]
    worst, best = mpf("inf"), []
    for _ in range(12):
        rows = mp.matrix(n, n)
        right = mp.matrix(n, 1)
        for i, k in enumerate(at):
            power = mpf(1)
            for j in range(degree + 1):
                rows[i, j] = power
                power *= us[k]
            rows[i, n - 1] = (-1) ** i / ws[k]
            right[i] = fs[k]
        solution = mp.lu_solve(rows, right)
        c = [solution[j] for j in range(degree + 1)]
        errors = [w * (y - mp.polyval(c[::-1], u)) for w, y, u in zip(ws, fs, us, strict=True)]
        peak = max(abs(e) for e in errors)
        if peak < worst:
            worst, best = peak, c
        if peak <= abs(solution[n - 1]) * mpf("1.02"):
            break
        at = _extrema(errors, n)
    return _expand(best, mid, half), worst


def _extrema(errors: list[mpf], n: int) -> list[int]:
    """Where the error peaks between its changes of sign: n alternating points, the largest kept."""
    peaks: list[int] = []
    for k, e in enumerate(errors):
        if peaks and (errors[peaks[-1]] > 0) == (e > 0):
            if abs(e) > abs(errors[peaks[-1]]):
                peaks[-1] = k
        else:
            peaks.append(k)
    while len(peaks) > n:
        if len(peaks) - n == 1:
            peaks.pop(0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1)
        else:
            k = min(range(len(peaks) - 1), key=lambda i: max(abs(errors[peaks[i]]), abs(errors[peaks[i + 1]])))
            del peaks[k:k + 2]
    if len(peaks) < n:
        raise ArithmeticError(f"{len(peaks)} alternations where {n} are needed")
    return peaks


def _expand(c: list[mpf], mid: mpf, half: mpf) -> list[mpf]:
    out = [mpf(0)]
    for a in reversed(c):
        shifted = [mpf(0)] * (len(out) + 1)
        for j, b in enumerate(out):
            shifted[j + 1] += b / half
            shifted[j] -= b * mid / half
        shifted[0] += a
        out = shifted
    return out[:len(c)]


def one(_: mpf) -> mpf:
    return mpf(1)


def series(f: Callable[[int], mpf], start: int = 0) -> Fn:
    """A power series summed until it stops changing (exact where the closed form cancels)."""
    def value(z: mpf) -> mpf:
        return _sum(f, z, start)
    return value


def _sum(f: Callable[[int], mpf], z: mpf, start: int) -> mpf:
    total, power, k = mpf(0), mpf(1), 0
    while k < 400:
        term = f(k + start) * power
        total += term
        if k > 3 and abs(term) < mpf(10) ** -48:
            break
        power *= z
        k += 1
    return total


def erfcx(x: mpf) -> mpf:
    return mp.exp(x * x) * mp.erfc(x)


def erfcx_of_t(t: mpf, k: float = 4.0) -> mpf:
    """erfcx(x) * (1 + 2x) where t = (x - k) / (x + k)."""
    if t >= 1:
        return 2 / mp.sqrt(mp.pi)
    x = k * (1 + t) / (1 - t)
    return erfcx(x) * (1 + 2 * x) if x < 200 else _erfcx_far(x) * (1 + 2 * x)


def _erfcx_far(x: mpf) -> mpf:
    total, term = mpf(1), mpf(1)
    for k in range(1, 30):
        term *= -(2 * k - 1) / (2 * x * x)
        total += term
    return total / (x * mp.sqrt(mp.pi))


def erfinv_central(w: mpf) -> mpf:
    """erfinv(x) / x as a function of w = -log(1 - x**2)."""
    if w < mpf("1e-30"):
        return mp.sqrt(mp.pi) / 2
    x = mp.sqrt(-mp.expm1(-w))
    return _erfinv(w, x) / x


def _erfinv(w: mpf, x: mpf) -> mpf:
    q = mp.exp(-w) / (1 + x)
    y = mp.sqrt(w) if w > 2 else x * mp.sqrt(mp.pi) / 2
    for _ in range(60):
        gap = (mp.erfc(y) - q) if w > 1 else (x - mp.erf(y))
        step = gap * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        step /= 1 - step * y if abs(step * y) < 0.5 else 1
        y += step
        if abs(step) < mpf(10) ** -45:
            break
    return y


def erfinv_tail(s: mpf) -> mpf:
    """erfinv(x) as a function of s = sqrt(-log(1 - x**2))."""
    w = s * s
    return _erfinv(w, mp.sqrt(-mp.expm1(-w)))


def lgamma_near_two(d: mpf) -> mpf:
    """lgamma(2 + d) / d."""
    return mp.loggamma(2 + d) / d if abs(d) > mpf("1e-20") else mp.digamma(2)


LN2H = float(mp.log(2) / 2) + 0.0005
QUARTER = float((mp.pi / 4) ** 2) + 0.0005
T8 = float(mp.tan(mp.pi / 8)) + 0.0005
S_MAX = float((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) + 0.0002
SQ2 = float(mp.sqrt(2)) - 1 + 0.0002
log2e = 1 / mp.log(2)

FITS: list[tuple[str, str, Fn, Fn, float, float, int]] = [
    ("EXP", "(exp(r) - 1 - r) / r**2, weight r**2", series(lambda k: 1 / mp.factorial(k + 2)), lambda r: r * r + mpf("1e-9"), -LN2H, LN2H, 10),
    ("LOG", "(2 atanh(s) - 2s - 2s**3/3) / s**5 in z = s**2, weight z**2", series(lambda k: mpf(2) / (2 * k + 5)),
     lambda z: z * z + mpf("1e-9"), 0, S_MAX ** 2, 7),
    ("SIN", "(sin(r) - r) / r**3 in z = r**2, weight z", series(lambda k: -mpf(-1) ** k / mp.factorial(2 * k + 3)), lambda z: z + mpf("1e-9"), 0, QUARTER, 6),
    ("COS", "(cos(r) - 1 + z/2) / z**2 in z = r**2, weight z**2", series(lambda k: mpf(-1) ** k / mp.factorial(2 * k + 4)),
     lambda z: z * z + mpf("1e-9"), 0, QUARTER, 6),
    ("ATAN", "(atan(z) - z) / z**3 in z**2, weight z**2", series(lambda k: -mpf(-1) ** k / (2 * k + 3)), lambda z: z + mpf("1e-9"), 0, T8 ** 2, 11),
    ("ERF", "erf(x) / x - 2/sqrt(pi), over z = x**2, weight z", series(lambda k: 2 / mp.sqrt(mp.pi) * -mpf(-1) ** k / (mp.factorial(k + 1) * (2 * k + 3))),
     lambda z: z + mpf("1e-9"), 0, 1.0, 11),
    ("ERFCX", "erfcx(x) (1 + 2x) in t = (x - 4) / (x + 4)", erfcx_of_t, one, -0.779, 1.0, 23),
    ("ERFINV0", "erfinv(x) / x in w - 3, w = -log(1 - x**2) < 6.25", lambda u: erfinv_central(u + 3), lambda u: 1 / erfinv_central(u + 3), -3, 3.25, 26),
    ("ERFINV1", "erfinv(x) in s - 3.25, s = sqrt(w) in [2.5, 4]", lambda u: erfinv_tail(u + 3.25), lambda u: 1 / erfinv_tail(u + 3.25), -0.76, 0.76, 19),
    ("ERFINV2", "erfinv(x) in s - 5.05, s = sqrt(w) in [4, 6.1]", lambda u: erfinv_tail(u + 5.05), lambda u: 1 / erfinv_tail(u + 5.05), -1.06, 1.06, 18),
    ("LGAMMA", "lgamma(2 + d) / d, |d| <= 0.5", lgamma_near_two, one, -0.5, 0.5, 17),
    ("STIRLING", "x (lgamma(x) - Stirling) in 1/x**2, x >= 8",
     lambda z: mpf(1) / 12 if z < mpf("1e-30") else _stirling(z), one, 0, 1 / 64, 7),
    ("DIGAMMA", "(log(x) - 1/(2x) - digamma(x)) x**2 in 1/x**2, x >= 8",
     lambda z: mpf(1) / 12 if z < mpf("1e-30") else _digamma_tail(z), one, 0, 1 / 64, 7),
    ("I0_NEAR", "(i0(x) - 1) / v in v = x**2 / 4, |x| <= 8, weight v / i0(x)", series(lambda k: 1 / mp.factorial(k + 1) ** 2),
     lambda v: (v + mpf("1e-9")) / mp.besseli(0, 2 * mp.sqrt(v)), 0, 16, 14),
    ("I0_FAR", "sqrt(x) exp(-x) i0(x) in 16/x - 1, x >= 8", lambda u: _i0_far(u), one, -1, 1, 25),
    ("I1_NEAR", "(2 i1(x) / x - 1) / v in v = x**2 / 4, |x| <= 8, weight v x / i1(x)", series(lambda k: 1 / (mp.factorial(k + 1) * mp.factorial(k + 2))),
     lambda v: (v + mpf("1e-9")) / mp.hyp0f1(2, v), 0, 16, 14),
    ("I1_FAR", "sqrt(x) exp(-x) i1(x) in 16/x - 1, x >= 8", lambda u: _bessel_far(u, 1), one, -1, 1, 25),
    ("TRIGAMMA", "(trigamma(x) - 1/x - 1/(2x**2)) x**3 in 1/x**2, x >= 8", lambda z: _trigamma_tail(z), one, 0, 1 / 64, 7),
    ("F32_EXP", "(exp(r) - 1 - r) / r**2, weight r**2", series(lambda k: 1 / mp.factorial(k + 2)), lambda r: r * r + mpf("1e-6"), -LN2H, LN2H, 4),
    ("F32_EXP2", "(2**r - 1) / r - log(2), over r", series(lambda k: mp.log(2) ** (k + 2) / mp.factorial(k + 2)), lambda r: r * r + mpf("1e-6"), -0.501, 0.501, 4),
    ("F32_LOG", "(log(1 + f) - f + f**2/2) / f**3, weight f**2", series(lambda k: mpf(-1) ** k / (k + 3)), lambda f: f * f + mpf("1e-6"), -0.2932, SQ2, 8),
    ("F32_SIN", "(sin(r) - r) / r**3 in z (in double), weight z", series(lambda k: -mpf(-1) ** k / mp.factorial(2 * k + 3)), lambda z: z + mpf("1e-7"), 0, QUARTER, 3),
    ("F32_COS", "(cos(r) - 1 + z/2) / z**2 in z (in double), weight z**2", series(lambda k: mpf(-1) ** k / mp.factorial(2 * k + 4)),
     lambda z: z * z + mpf("1e-7"), 0, QUARTER, 2),
    ("F32_WIDE_EXP", "(exp(r) - 1 - r) / r**2 (in double), weight r**2", series(lambda k: 1 / mp.factorial(k + 2)), lambda r: r * r + mpf("1e-7"), -LN2H, LN2H, 5),
    ("F32_WIDE_LOG", "(2 atanh(s) - 2s) / s**3 in z = s**2 (in double), weight z", series(lambda k: mpf(2) / (2 * k + 3)), lambda z: z + mpf("1e-7"), 0, S_MAX ** 2, 4),
    ("F32_ATAN", "(atan(z) - z) / z**3 in z**2 (in double), weight z**2", series(lambda k: -mpf(-1) ** k / (2 * k + 3)), lambda z: z + mpf("1e-7"), 0, T8 ** 2, 6),
    ("F32_TANH", "(tanh(x) - x) / x**3 in z = x**2, |x| <= 1", lambda z: (mp.tanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z if z > mpf("1e-20") else -mpf(1) / 3,
     lambda z: z + mpf("1e-6"), 0, 1.0, 6),
    ("F32_ERF", "erf(x) / x - 2/sqrt(pi), over z = x**2, |x| <= 1", series(lambda k: 2 / mp.sqrt(mp.pi) * -mpf(-1) ** k / (mp.factorial(k + 1) * (2 * k + 3))),
     lambda z: z + mpf("1e-6"), 0, 1.0, 5),
    ("F32_ERFC", "-log2(erfc(x)) in x - 1, 1 <= x <= 4, weight erfc(x)", lambda u: -mp.log(mp.erfc(u + 1)) * log2e, lambda u: mp.erfc(u + 1), 0, 3, 6),
]


def _stirling(z: mpf) -> mpf:
    x = 1 / mp.sqrt(z)
    if x > 100:
        return mpf(1) / 12 - z / 360 + z * z / 1260 - z ** 3 / 1680 + z ** 4 / 1188 - mpf(691) / 360360 * z ** 5
    return x * (mp.loggamma(x) - ((x - 0.5) * mp.log(x) - x + mp.log(2 * mp.pi) / 2))


def _digamma_tail(z: mpf) -> mpf:
    x = 1 / mp.sqrt(z)
    if x > 100:
        return mpf(1) / 12 - z / 120 + z * z / 252 - z ** 3 / 240 + z ** 4 / 132 - mpf(691) / 32760 * z ** 5
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) * x * x


def _trigamma_tail(z: mpf) -> mpf:
    if z < mpf("1e-4"):
        return sum((b * z**k for k, b in enumerate((mpf(1) / 6, -mpf(1) / 30, mpf(1) / 42, -mpf(1) / 30, mpf(5) / 66, -mpf(691) / 2730))), mpf(0))
    x = 1 / mp.sqrt(z)
    return (mp.psi(1, x) - 1 / x - 1 / (2 * x * x)) * x**3


def _i0_far(u: mpf) -> mpf:
    return _bessel_far(u, 0)


def _bessel_far(u: mpf, order: int) -> mpf:
    """sqrt(x) exp(-x) I_order(x) at x = 16 / (u + 1), by the asymptotic series where x is large."""
    if u < mpf(-1) + mpf("1e-3"):
        v, total, term = (u + 1) / 16, mpf(1), mpf(1)
        for k in range(1, 30):
            term *= -(4 * order * order - mpf(2 * k - 1) ** 2) * v / (8 * k)
            total += term
        return total / mp.sqrt(2 * mp.pi)
    x = 16 / (u + 1)
    return mp.sqrt(x) * mp.exp(-x) * mp.besseli(order, x)


HEAD = '''"""Polynomial coefficients of the vector math, low order first. Written by ``python bench/minimax.py``; do not edit."""

'''


def main() -> None:
    wanted = sys.argv[1:]
    print(HEAD, end="")
    for name, what, f, weight, lo, hi, degree in FITS:
        if wanted and name not in wanted:
            continue
        c, error = remez(f, weight, lo, hi, degree)
        print(f"fitted {name}: 2**{float(mp.log(error, 2)):.1f}", file=sys.stderr, flush=True)
        values = [float(x) for x in c]
        if name.startswith("F32") and "in double" not in what:
            values = [struct.unpack("f", struct.pack("f", v))[0] for v in values]
        print(f"#: {what}; degree {degree}, weighted error 2**{float(mp.log(error, 2)):.1f}.")
        print(f"{name} = (" + "".join(f"\n    {v!r}," for v in values) + "\n)\n")


if __name__ == "__main__":
    main()
