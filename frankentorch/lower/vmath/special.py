"""Special functions: erf erfc erfinv lgamma digamma trigamma i0 i1 i0e i1e, and gelu, gelu_tanh, silu.

Enters and leaves: f32 or f64 lanes. erfc follows Schonfelder's mapping t = (x - k)/(x + k) (Math. Comp. 32, 1978); erfinv takes
Giles's variables (GPU Computing Gems 2, 2010); lgamma and digamma use recurrence, reflection and Stirling's series. All
polynomials are our own fits. f32 erf and gelu have their own path.
"""

from __future__ import annotations

import math

from frankentorch.lower.lanes import Lane, Lanes
from frankentorch.lower.vmath import coefficients as C
from frankentorch.lower.vmath.explog import exp, exp2_32_parts, exp32_parts, exp_parts, log_pair, one_plus, sigmoid
from frankentorch.lower.vmath.exponents import LN2, add_to_exponent, integer_part, scale_wide
from frankentorch.lower.vmath.pairs import (
    Pair,
    add,
    constant,
    divide,
    fast_two_sum,
    horner,
    multiply,
    through_f64,
    two_product,
    two_sum,
)
from frankentorch.lower.vmath.trig import PI, sin_cos_pi

INF, NAN = math.inf, math.nan
TWO_OVER_ROOT_PI = (1.1283791670955126, 1.533545961316588e-17)
HALF_LOG_TWO_PI = (0.9189385332046728, -3.878294158067242e-17)


# The error function -------------------------------------------------------------------------------------------
def _erf_near(L: Lanes, x: Lane) -> Pair:
    """erf as a pair for |x| <= 1."""
    z = x * x
    hi, lo = two_product(x, TWO_OVER_ROOT_PI[0])
    return fast_two_sum(hi, L.fma(x * z, horner(z, C.ERF), L.fma(x, TWO_OVER_ROOT_PI[1], lo)))


def _erfc_far(L: Lanes, x: Lane, root: Lane | None = None) -> Lane:
    """erfc for x >= 0.5; with `root`, erfc(root / sqrt(2)), where x is that rounded."""
    x = L.select(L.cmp("ogt", x, 28.0), 28.0, x)
    g = horner((x - 4.0) / (x + 4.0), C.ERFCX)
    square, low = two_product(x, x)
    if root is not None:
        square, low = two_product(*[L.select(L.cmp("ogt", root, 40.0), 40.0, root)] * 2)
        square, low = square * 0.5, low * 0.5
    t, h, l = exp_parts(L, -square, -low)
    body = divide((g, L.zero(x)), two_sum(L.one(x), x + x))
    return scale_wide(L, multiply(body, fast_two_sum(*_plus_one(h, l)))[0], integer_part(L, t))


def _plus_one(h: Lane, l: Lane) -> Pair:  # noqa: E741
    s, e = fast_two_sum(h.L.one(h), h)
    return s, e + l


def erf(L: Lanes, x: Lane) -> Lane:
    """The error function."""
    size = L.abs(x)
    if x.ty == "f32":
        near, rest = _erf32_parts(L, x)
        return L.canonical(L.select(L.cmp("ogt", size, 1.0), L.copysign(1.0 - rest, x), near))
    far = L.copysign(1.0 - _erfc_far(L, size), x)
    return L.canonical(L.select(L.cmp("ogt", size, 1.0), far, L.select(L.cmp("oeq", x, 0.0), x, _erf_near(L, x)[0])))


@through_f64
def erfc(L: Lanes, x: Lane) -> Lane:
    """1 - erf(x), right in the tail."""
    size = L.abs(x)
    hi, lo = _erf_near(L, x)
    top, low = two_sum(L.one(x), -hi)
    far = _erfc_far(L, size)
    far = L.select(L.cmp("olt", x, 0.0), 2.0 - far, far)
    return L.canonical(L.select(L.cmp("ogt", size, 0.5), far, top + (low - lo)))


def _erf32_parts(L: Lanes, x: Lane) -> tuple[Lane, Lane]:
    """In f32: (erf(x) for |x| <= 1, erfc(|x|) for 1 <= |x| <= 4 and 0 beyond)."""
    size, z = L.abs(x), x * x
    near = L.fma(x, L.fma(z, horner(z, C.F32_ERF), 0.12837917), x)
    inside = L.cmp("olt", size, 4.0)
    t, y = exp2_32_parts(L, -horner(L.select(inside, size, 4.0) - 1.0, C.F32_ERFC))
    return near, L.select(inside, add_to_exponent(L, y, t), 0.0)


def gelu(L: Lanes, x: Lane) -> Lane:
    """x times the normal distribution function of x."""
    scaled = x * math.sqrt(0.5)
    if x.ty == "f64":
        return _gelu64(L, x, scaled)
    near, rest = _erf32_parts(L, scaled)
    size = L.abs(scaled)
    rest = L.select(L.cmp("olt", x, 0.0), rest, 2.0 - rest)
    return L.canonical(x * (0.5 * L.select(L.cmp("ogt", size, 1.0), rest, near + 1.0)))


def _gelu64(L: Lanes, x: Lane, scaled: Lane) -> Lane:
    size = L.abs(scaled)
    tail = _erfc_far(L, size, L.abs(x))
    twice = L.select(L.cmp("olt", x, 0.0), tail, 2.0 - tail)
    near = _erf_near(L, scaled)[0] + 1.0
    return L.canonical(x * (0.5 * L.select(L.cmp("ogt", size, 0.5), twice, near)))


def gelu_tanh(L: Lanes, x: Lane) -> Lane:
    """gelu's approximation by tanh, written x * sigmoid(2 sqrt(2/pi) (x + 0.044715 x**3)), which is the same."""
    inner = x * L.fma(x * x, 2.0 * math.sqrt(2.0 / math.pi) * 0.044715, 2.0 * math.sqrt(2.0 / math.pi))
    return L.canonical(x * sigmoid(L, inner))


def silu(L: Lanes, x: Lane) -> Lane:
    """x / (1 + e**-x), right where that is denormal; NaN at -inf, as torch."""
    edge, end = (80.0, -110.0) if x.ty == "f32" else (700.0, -760.0)

    def power(a: Lane) -> tuple[Lane, Lane]:
        if a.ty == "f32":
            return exp32_parts(L, a)
        t, h, l = exp_parts(L, a)
        return t, one_plus(h, l)

    def far() -> list[Lane]:
        inside = L.select(L.cmp("olt", x, end), end, x)
        t, y = power(inside)
        tail = scale_wide(L, inside * y, integer_part(L, t))
        out = L.select(L.cmp("ogt", x, 0.0), x, L.select(L.cmp("oeq", x, -INF), NAN, tail))
        return [L.canonical(out)]

    t, y = power(-x)
    return L.rare(L.cmp("uge", L.abs(x), edge), far, [x / (add_to_exponent(L, y, t) + 1.0)])[0]


@through_f64
def erfinv(L: Lanes, x: Lane) -> Lane:
    """The inverse of erf."""
    size = L.abs(x)
    inside = L.cmp("olt", size, 1.0)
    a = L.select(inside, size, 0.5)
    p, e = two_product(a, a)
    d, d_lo = two_sum(L.one(x), -p)
    w = -log_pair(L, *fast_two_sum(d, d_lo - e))[0]
    near = a * horner(w - 3.0, C.ERFINV0)

    def tail() -> list[Lane]:
        s = L.sqrt(w)
        return [L.select(L.cmp("olt", s, 4.0), horner(s - 3.25, C.ERFINV1), horner(s - 5.05, C.ERFINV2))]

    out = L.copysign(L.rare(L.cmp("oge", w, 6.25), tail, [near])[0], x)
    return L.select(inside, out, L.select(L.cmp("oeq", size, 1.0), L.copysign(L.const("f64", INF), x), NAN))


# Gamma --------------------------------------------------------------------------------------------------------
def _lgamma_positive(L: Lanes, x: Lane) -> Pair:
    """log(gamma(x)) as a pair for 0 < x < 2**1000, one logarithm."""
    zero, one = L.zero(x), L.one(x)
    large = L.cmp("oge", x, 8.0)
    y, product = L.select(large, 2.0, x), (one, zero)
    for _ in range(6):
        down = L.cmp("ogt", y, 2.5)
        y = L.select(down, y - 1.0, y)
        longer = multiply(product, (y, zero))
        product = L.select(down, longer[0], product[0]), L.select(down, longer[1], product[1])
    low, tiny = L.cmp("olt", x, 1.5), L.cmp("olt", x, 0.5)
    below = multiply((x, zero), two_sum(one, x))
    argument = [L.select(large, x if k == 0 else zero, L.select(tiny, below[k], L.select(low, x if k == 0 else zero, product[k])))
                for k in (0, 1)]
    # Only a normal argument may bring a tail; that of a denormal is far below an ulp.
    argument[1] = L.select(L.cmp("olt", x, 2.0**-900), 0.0, argument[1])
    log = _log_any(L, argument[0], argument[1])
    d = L.select(tiny, x, L.select(low, x - 1.0, y - 2.0))
    core = two_product(d, horner(d, C.LGAMMA))
    near = add(core, (L.select(low, -log[0], log[0]), L.select(low, -log[1], log[1])))
    inverse = 1.0 / x
    series = inverse * horner(inverse * inverse, C.STIRLING)
    head = add(multiply(two_sum(x, L.const("f64", -0.5)), log), (-x, zero))
    far = add(head, add(constant(L, "f64", *HALF_LOG_TWO_PI), (series, zero)))
    return L.select(large, far[0], near[0]), L.select(large, far[1], near[1])


def _log_any(L: Lanes, x: Lane, x_lo: Lane) -> Pair:
    """log(x + x_lo), also for denormal x (then x_lo must be 0)."""
    tiny = L.cmp("olt", x, 2.0**-900)
    hi, lo = log_pair(L, L.select(tiny, x * 2.0**200, x), x_lo)
    shift = L.select(tiny, -200.0, L.const("f64", 0.0))
    return add((hi, lo), multiply((shift, L.zero(x)), constant(L, "f64", *LN2)))


@through_f64
def lgamma(L: Lanes, x: Lane) -> Lane:
    """log(|gamma(x)|)."""
    size = L.abs(x)
    usual = L.cmp("ogt", size, 0.0) & L.cmp("olt", size, 2.5e305)
    a = L.select(usual, size, 1.0)
    positive = _lgamma_positive(L, a)

    def reflected() -> list[Lane]:
        inside = L.select(L.cmp("ogt", a, 2.0**-60) & L.cmp("olt", a, 2.0**52), a, 0.5)
        s = sin_cos_pi(L, inside)[0]
        s = L.select(L.cmp("olt", s[0], 0.0), -s[0], s[0]), L.select(L.cmp("olt", s[0], 0.0), -s[1], s[1])
        pole = L.cmp("oeq", s[0], 0.0) | L.cmp("oge", a, 2.0**52)
        bottom = multiply((inside, L.zero(x)), (L.select(pole, 1.0, s[0]), s[1]))
        log = log_pair(L, *divide(constant(L, "f64", *PI), bottom))
        return [L.select(pole, INF, add(log, (-positive[0], -positive[1]))[0])]

    out = L.rare(L.cmp("olt", x, -(2.0**-60)) & usual, reflected, [positive[0]])[0]
    return L.select(L.isnan(x), NAN, L.select(usual, out, INF))


@through_f64
def digamma(L: Lanes, x: Lane) -> Lane:
    """The logarithmic derivative of gamma; -inf at 0, inf at -0, NaN at negative integers, as torch."""
    negative = L.cmp("olt", x, 0.0)
    usual = L.cmp("olt", L.abs(x), 2.0**1000)
    y, y_lo = two_sum(L.select(negative, 1.0, L.zero(x)), L.select(negative, -x, x))
    y = L.select(usual & L.cmp("one", x, 0.0), y, 1.0)
    total = (L.zero(x), L.zero(x))
    y_lo = L.select(usual, y_lo, 0.0)
    for _ in range(8):
        below = L.cmp("olt", y, 8.0)
        term = L.select(below, 1.0 / y, 0.0)
        total = two_sum(total[0], -term)[0], total[1] + two_sum(total[0], -term)[1]
        y = L.select(below, y + 1.0, y)
    inverse = 1.0 / y
    series = L.fma(inverse * inverse, horner(inverse * inverse, C.DIGAMMA), inverse * 0.5)
    log = log_pair(L, y, y_lo)
    out = add(add(log, total), (-series, L.zero(x)))

    def reflected() -> list[Lane]:
        s, c = sin_cos_pi(L, L.select(usual & L.cmp("one", x, 0.0), x, 0.25))
        pole = L.cmp("oeq", s[0], 0.0)
        cotangent = divide(c, (L.select(pole, 1.0, s[0]), s[1]))
        value = add(out, multiply(cotangent, constant(L, "f64", -PI[0], -PI[1])))[0]
        return [L.select(pole, NAN, value)]

    result = L.rare(negative, reflected, [out[0]])[0]
    result = L.select(usual, result, L.select(L.cmp("ogt", x, 0.0), log_pair(L, L.select(L.cmp("olt", x, INF), x, 2.0))[0], NAN))
    result = L.select(L.cmp("oeq", x, INF), INF, L.select(L.isnan(x), NAN, result))
    # The pole at 0 is -1/x long before 1/x overflows.
    return L.select(L.cmp("olt", L.abs(x), 2.0**-900), -1.0 / x, result)


@through_f64
def i0(L: Lanes, x: Lane) -> Lane:
    """The modified Bessel function of order 0; NaN at infinities, as torch."""
    size = L.abs(x)
    quarter = L.select(L.cmp("ogt", size, 8.0), 0.0, x * (x * 0.25))
    near = L.fma(quarter, horner(quarter, C.I0_NEAR), 1.0)

    def far() -> list[Lane]:
        a = L.select(L.cmp("ogt", size, 800.0), 800.0, size)
        t, h, l = exp_parts(L, a)
        body = multiply(_plus_one(h, l), divide((horner(16.0 / a - 1.0, C.I0_FAR), L.zero(a)), sqrt_pair_of(L, a)))
        return [scale_wide(L, body[0], integer_part(L, t))]

    out = L.rare(L.cmp("ogt", size, 8.0), far, [near])[0]
    return L.select(L.cmp("olt", size, INF), out, NAN)


@through_f64
def i1(L: Lanes, x: Lane) -> Lane:
    """The modified Bessel function of order 1; NaN at infinities, as torch."""
    size = L.abs(x)
    large = L.cmp("ogt", size, 8.0)
    quarter = L.select(large, 0.0, x * (x * 0.25))
    near = (size * 0.5) * L.fma(quarter, horner(quarter, C.I1_NEAR), 1.0)

    def far() -> list[Lane]:
        a = L.select(L.cmp("ogt", size, 800.0), 800.0, size)
        t, h, l = exp_parts(L, a)
        body = multiply(_plus_one(h, l), divide((horner(16.0 / a - 1.0, C.I1_FAR), L.zero(a)), sqrt_pair_of(L, a)))
        return [scale_wide(L, body[0], integer_part(L, t))]

    out = L.rare(large, far, [near])[0]
    # torch's i1(-0) is 0.
    return L.select(L.cmp("olt", size, INF), L.select(L.cmp("olt", x, 0.0), -out, out), NAN)


def _scaled(L: Lanes, x: Lane, far: tuple[float, ...], whole: Lane) -> Lane:
    """e**-|x| times a Bessel function: `whole` is the function, right up to |x| = 8."""
    size = L.abs(x)
    a = L.select(L.cmp("ogt", size, 8.0), size, 8.0)
    tail = horner(16.0 / a - 1.0, far) / L.sqrt(a)
    return L.select(L.cmp("ogt", size, 8.0), tail, whole * exp(L, -size))


@through_f64
def i0e(L: Lanes, x: Lane) -> Lane:
    """i0(x) e**-|x|."""
    return L.canonical(_scaled(L, x, C.I0_FAR, i0(L, L.select(L.cmp("ogt", L.abs(x), 8.0), 8.0, x))))


@through_f64
def i1e(L: Lanes, x: Lane) -> Lane:
    """i1(x) e**-|x|."""
    out = _scaled(L, x, C.I1_FAR, L.abs(i1(L, L.select(L.cmp("ogt", L.abs(x), 8.0), 8.0, x))))
    return L.canonical(L.select(L.cmp("olt", x, 0.0), -out, out))


@through_f64
def trigamma(L: Lanes, x: Lane) -> Lane:
    """The derivative of digamma, polygamma(1, x): inf at 0 and at negative integers, NaN at -inf."""
    negative = L.cmp("olt", x, 0.0)
    usual = L.cmp("olt", L.abs(x), 2.0**52)
    y = L.select(usual, L.select(L.cmp("olt", x, 0.5), 1.0 - x, x), 1.0)
    total = L.zero(x)
    for _ in range(8):
        below = L.cmp("olt", y, 8.0)
        inverse = 1.0 / y
        total = total + L.select(below, inverse * inverse, 0.0)
        y = L.select(below, y + 1.0, y)
    inverse = 1.0 / y
    z = inverse * inverse
    value = total + L.fma(z * inverse, horner(z, C.TRIGAMMA), L.fma(z, 0.5, inverse))

    def reflected() -> list[Lane]:
        s = sin_cos_pi(L, L.select(usual, x, 0.25))[0]
        pole = L.cmp("oeq", s[0], 0.0)
        ratio = PI[0] / L.select(pole, 1.0, s[0])
        return [L.select(pole, INF, L.fma(ratio, ratio, -value))]

    out = L.rare(L.cmp("olt", x, 0.5), reflected, [value])[0]
    out = L.select(usual, out, L.select(negative, INF, 1.0 / x))
    return L.select(L.isnan(x) | L.cmp("oeq", x, -INF), NAN, out)


def sqrt_pair_of(L: Lanes, a: Lane) -> Pair:
    """sqrt(a) as a pair for normal positive a."""
    s = L.sqrt(a)
    return fast_two_sum(s, L.fma(-s, s, a) / (s + s))
