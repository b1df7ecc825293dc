"""torch's arithmetic functions: the forms with alpha, rounding modes, bounds and fused names, over the pointwise rows."""

from __future__ import annotations

import math
from typing import Any

from .. import dtypes
from . import call
from .call import is_tensor
from .define import LOW, api, composite
from .pointwise import (
    abs_,
    add_,
    atan2,
    conj,
    cos,
    eq,
    erf,
    exp2,
    floor_divide,
    isinf,
    isnan,
    le,
    lgamma,
    log,
    log1p,
    lt,
    maximum,
    minimum,
    ne,
    pow_,
    reciprocal,
    rint,
    rsqrt,
    sin,
    sqrt,
    sub_,
    true_divide,
    trunc,
    where,
    where_row,
)
from .unsupported import need


def _no_bool_sub(a: Any, b: Any) -> None:
    both = [x for x in (a, b) if is_tensor(x) and x.dtype is dtypes.bool_ or isinstance(x, bool)]
    if len(both) == 2:
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.")
    if both:
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
                           "`logical_not()` operator instead.")


def check_alpha(a: Any, b: Any, alpha: Any) -> None:
    if isinstance(alpha, float) and all(not is_tensor(x) or x.dtype.category < dtypes.FLOAT for x in (a, b)):
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")


def _low(*operands: Any) -> bool:
    return any(is_tensor(x) and x.dtype in LOW for x in operands)


@composite("scaled_add(Tensor input, Tensor other, Scalar alpha) -> Tensor", public=False, method=False, out=False)
def scaled_add(input: Any, other: Any, alpha: Any) -> Any:
    """input + alpha * other, rounded once in low precision."""
    return add_(input, other * alpha)


scaled_add.row.grad_name = "AddBackward0"


@api("add(Tensor input, Tensor other, *, Scalar alpha=1) -> Tensor", inplace=True)
def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input + alpha * other."""
    if alpha != 1:
        check_alpha(input, other, alpha)
        if _low(input, other):
            return scaled_add(input, other, alpha)
        flags = all(x.dtype is dtypes.bool_ if is_tensor(x) else isinstance(x, bool) for x in (input, other))
        if not flags and is_tensor(other) and other.dtype is dtypes.bool_:
            other = call.cast(other, result_type(input, other))  # the scaled flag has the result's dtype
        other = other * (bool(alpha) if flags else alpha)
    return add_(input, other)


@api("sub(Tensor input, Tensor other, *, Scalar alpha=1) -> Tensor", inplace=True, aliases=("subtract",))
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """input - alpha * other."""
    _no_bool_sub(input, other)
    if alpha != 1:
        check_alpha(input, other, alpha)
        if _low(input, other):
            return scaled_add(input, other, -alpha)
        other = other * alpha
    return sub_(input, other)


@api("rsub(Tensor input, Tensor other, *, Scalar alpha=1) -> Tensor")
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


@api("div(Tensor input, Tensor other, *, str? rounding_mode=None) -> Tensor", inplace=True, aliases=("divide",))
def div(input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    """input / other, rounded towards zero ("trunc") or down ("floor") when asked."""
    if rounding_mode is None:
        return true_divide(input, other)
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        dt = result_type(input, other)
        if dt.category < dtypes.FLOAT:
            q = floor_divide(input, other)
            return where((q < 0) & ne(q * other, input), q + 1, q)
        return trunc(true_divide(input, other))
    raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")


def result_type(a: Any, b: Any) -> Any:
    """The dtype that an operation on `a` and `b` (tensors or numbers) has."""
    return dtypes.result_type_of([(x.dtype, x.ndim == 0, False) if is_tensor(x) else (dtypes.scalar_dtype(x), True, True) for x in (a, b)])


@api("pow(Tensor input, Tensor exponent) -> Tensor", inplace=True)
def pow(input: Any, exponent: Any) -> Any:
    """input ** exponent; small constant powers are products and roots, as torch computes them."""
    if is_tensor(input) and type(exponent) in (int, float) and exponent in _POWERS and input.dtype is not dtypes.bool_:
        if input.dtype.category >= dtypes.FLOAT or (isinstance(exponent, int) and exponent > 0):
            return power_by(input, float(exponent))
    if is_tensor(input) and isinstance(exponent, int) and not isinstance(exponent, bool) and exponent < 0 and input.dtype.category < dtypes.FLOAT:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if not is_tensor(input) and is_tensor(exponent) and input == 1:
        return exponent * 0 + 1
    return pow_(input, exponent)


_POWERS = (1, 2, 3, 0.5, -0.5, -1, -2)


def _power_vjp(g: Any, input: Any, out: Any, p: Any, missing: Any = None) -> Any:
    if p == 1.0:
        return (g,)
    if p == 2.0:
        return (g * conj(input * 2),)
    return (g * conj(pow(input, p - 1) * p),)


@composite("power_by(Tensor input, float p) -> Tensor", vjp=_power_vjp, public=False, method=False, out=False)
def power_by(input: Any, p: float) -> Any:
    """A power that is a product, a root or a reciprocal."""
    if p == 1.0:
        return input.clone()
    if p == 2.0:
        return input * input
    if p == 3.0:
        return input * input * input
    if p == 0.5:
        return sqrt(input)
    if p == -0.5:
        return rsqrt(input)
    return reciprocal(input) if p == -1.0 else reciprocal(input * input)


power_by.row.grad_name = "PowBackward0"


@api("float_power(Tensor input, Tensor exponent) -> Tensor", inplace=True)
def float_power(input: Any, exponent: Any) -> Any:
    """The power in float64 (complex128 for complex operands)."""
    wide = dtypes.complex128 if any(x.dtype.is_complex if is_tensor(x) else isinstance(x, complex) for x in (input, exponent)) else dtypes.float64
    return pow(call.cast(input, wide) if is_tensor(input) else input, call.cast(exponent, wide) if is_tensor(exponent) else exponent)


@api("square(Tensor input) -> Tensor", inplace=True)
def square(input: Any) -> Any:
    """input ** 2"""
    return pow(input, 2)


def _clamp_vjp(g: Any, input: Any, out: Any, min: Any, max: Any, missing: Any = None) -> Any:
    keep = None
    if min is not None:
        keep = input >= min
    if max is not None:
        keep = (input <= max) if keep is None else keep & (input <= max)
    return (where(keep, g, 0),)


@composite("clamp_scalar(Tensor input, Scalar? min, Scalar? max) -> Tensor", vjp=_clamp_vjp, public=False, method=False, out=False, opmath=False)
def clamp_scalar(input: Any, min: Any, max: Any) -> Any:
    """Bounds that are numbers."""
    out = input
    if min is not None:
        out = maximum_number(out, min)
    if max is not None:
        out = minimum_number(out, max)
    return out


clamp_scalar.row.grad_name = "ClampBackward1"


def maximum_number(x: Any, bound: Any) -> Any:
    return call.pointwise(maximum.row, x, bound)


def minimum_number(x: Any, bound: Any) -> Any:
    return call.pointwise(minimum.row, x, bound)


@api("clamp(Tensor input, Scalar? min=None, Scalar? max=None) -> Tensor", inplace=True, aliases=("clip",))
def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Bounded from below and above (by numbers or tensors); NaN stays NaN."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if any(x.dtype.is_complex if is_tensor(x) else isinstance(x, complex) for x in (input, min, max)):
        raise NotImplementedError("clamp is not supported for complex types")
    if is_tensor(min) or is_tensor(max):
        out = input
        if min is not None:
            out = maximum(out, min) if is_tensor(min) else maximum_number(out, min)
        if max is not None:
            out = minimum(out, max) if is_tensor(max) else minimum_number(out, max)
        return out
    return clamp_scalar(input, min, max)


@api("clamp_min(Tensor input, Scalar min) -> Tensor", inplace=True)
def clamp_min(input: Any, min: Any) -> Any:
    """Bounded from below."""
    return clamp(input, min=min)


@api("clamp_max(Tensor input, Scalar max) -> Tensor", inplace=True)
def clamp_max(input: Any, max: Any) -> Any:
    """Bounded from above."""
    return clamp(input, max=max)


@composite("lerp(Tensor input, Tensor end, Scalar weight) -> Tensor", inplace=True)
def lerp(input: Any, end: Any, weight: Any) -> Any:
    """input + weight * (end - input), from whichever end is nearer."""
    for name, x in (("end", end), ("weight", weight)):
        if is_tensor(x) and x.dtype is not input.dtype:
            want, got = ({"float32": "float", "float64": "double", "int64": "long int", "int32": "int"}.get(n, n) for n in (input.dtype.name, x.dtype.name))
            raise RuntimeError(f"expected dtype {want} for `{name}` but got dtype {got}")
    if input.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"lerp_kernel_{'tensor' if is_tensor(weight) else 'scalar'}\" not implemented for '{input.dtype.scalar_name}'")
    if is_tensor(weight):
        return where(abs_(weight) < 0.5, input + weight * (end - input), end - (end - input) * (1 - weight))
    if abs(weight) < 0.5:
        return input + (end - input) * weight
    return end - (end - input) * (1 - weight)


@composite("addcmul(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor", inplace=True)
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value * tensor1 * tensor2."""
    kind = dtypes.result_type_of([(x.dtype, x.ndim == 0, False) for x in (input, tensor1, tensor2)])
    input, tensor1, tensor2 = (x if x.dtype is kind else call.cast(x, kind) for x in (input, tensor1, tensor2))
    if kind is dtypes.bool_:
        raise NotImplementedError("\"addcmul_cpu_out\" not implemented for 'Bool'")
    if kind.category < dtypes.FLOAT:
        value = int(value)
    return input + (tensor1 * tensor2 if value == 1 else tensor1 * value * tensor2)


@composite("addcdiv(Tensor input, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor", inplace=True)
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    """input + value * tensor1 / tensor2."""
    if all(is_tensor(x) and x.dtype.category < dtypes.FLOAT for x in (tensor1, tensor2)):
        raise RuntimeError("Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division of tensor1 "
                           "and tensor2. The historic addcdiv behavior can be implemented as (input + value * torch.trunc(tensor1 / tensor2)).to("
                           "input.dtype) for integer inputs and as (input + value * tensor1 / tensor2) for float inputs. The future addcdiv behavior is "
                           "just the latter implementation: (input + value * tensor1 / tensor2), for all dtypes.")
    return input + (tensor1 / tensor2 if value == 1 else tensor1 * value / tensor2)


@api("round(Tensor input, *, int decimals=0) -> Tensor", inplace=True)
def round(input: Any, *, decimals: int = 0) -> Any:
    """To the nearest integer (or decimal place), ties to even."""
    if decimals == 0:
        return rint(input)
    ten = 10.0 ** abs(decimals)
    return rint(input * ten) / ten if decimals > 0 else rint(input / ten) * ten


@api("frac(Tensor input) -> Tensor", inplace=True)
def frac(input: Any) -> Any:
    """input - trunc(input)."""
    need("frac_cpu", input, "float")
    return sub(input, trunc(input).detach())


def _float_or(name: str, x: Any) -> None:
    """isposinf and isneginf have no answer for complex numbers."""
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} does not support complex inputs.")


def no_complex(kernel: str, *operands: Any) -> None:
    for x in operands:
        if is_tensor(x) and x.dtype.is_complex:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{x.dtype.scalar_name}'")


@composite("logit(Tensor input, float? eps=None) -> Tensor", inplace=True, aliases=("special_logit",))
def logit(input: Any, eps: Any = None) -> Any:
    """log(input / (1 - input))."""
    no_complex("logit_cpu", input)
    x = call.cast(input, dtypes.get_default_dtype()) if input.dtype.category < dtypes.FLOAT else input
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return log(x / (1 - x))


@composite("sinc(Tensor input) -> Tensor", inplace=True, aliases=("special_sinc",))
def sinc(input: Any) -> Any:
    """sin(pi x) / (pi x)."""
    x = input * math.pi
    zero = eq(input, 0)
    return where(zero, 1.0, sin(x) / where(zero, 1.0, x))


@composite("logaddexp2(Tensor input, Tensor other) -> Tensor")
def logaddexp2(input: Any, other: Any) -> Any:
    """log2(2**input + 2**other)."""
    no_complex("logaddexp2_cpu", input, other)
    if input.dtype.category < dtypes.FLOAT:
        raise NotImplementedError(f"\"logaddexp2_cpu\" not implemented for '{input.dtype.scalar_name}'")
    m = maximum(input, other).detach()
    m = where(isinf(m), 0, m)
    return log(exp2(input - m) + exp2(other - m)) / math.log(2.0) + m


@composite("xlogy(Tensor input, Tensor other) -> Tensor", inplace=True, aliases=("special_xlogy",))
def xlogy(input: Any, other: Any) -> Any:
    """input * log(other), 0 where input is 0."""
    no_complex("xlogy_cpu", input, other)
    if isinstance(other, complex):
        raise NotImplementedError("\"xlogy_cpu\" not implemented for 'ComplexFloat'")
    other_t = other if is_tensor(other) else input * 0 + other
    x = input if is_tensor(input) else other_t * 0 + input
    together = result_type(x, other_t)
    if together.is_floating_point:
        other_t = call.cast(other_t, together)
    return where(eq(x, 0) & ~isnan(other_t), 0.0, x * log(other_t))


@composite("special_xlog1py(Tensor input, Tensor other) -> Tensor", method=False)
def xlog1py(input: Any, other: Any) -> Any:
    """input * log1p(other), 0 where input is 0."""
    no_complex("xlog1py_cpu", input, other)
    return where(eq(input, 0) & ~isnan(other), 0.0, input * log1p(other))


@composite("special_entr(Tensor input) -> Tensor", method=False)
def entr(input: Any) -> Any:
    """-input * log(input)."""
    x = call.cast(input, dtypes.get_default_dtype()) if input.dtype.category < dtypes.FLOAT else input
    return where(isnan(x), x, where(x > 0, -x * log(x), where(eq(x, 0), 0.0, -math.inf)))


@composite("special_ndtr(Tensor input) -> Tensor", method=False)
def ndtr(input: Any) -> Any:
    """The normal distribution function."""
    return 0.5 * (1 + erf(input * math.sqrt(0.5)))


@composite("mvlgamma(Tensor input, int p) -> Tensor", inplace=True, aliases=("special_multigammaln",))
def mvlgamma(input: Any, p: int) -> Any:
    """The multivariate log-gamma function."""
    total: Any = p * (p - 1) / 4 * math.log(math.pi)
    for j in range(p):
        total = lgamma(input - j / 2) + total
    return total


@composite("deg2rad(Tensor input) -> Tensor", inplace=True)
def deg2rad(input: Any) -> Any:
    """Degrees to radians."""
    if input.dtype.is_complex:
        raise RuntimeError("deg2rad is not supported for complex tensors.")
    return input * (math.pi / 180)


@composite("rad2deg(Tensor input) -> Tensor", inplace=True)
def rad2deg(input: Any) -> Any:
    """Radians to degrees."""
    if input.dtype.is_complex:
        raise RuntimeError("rad2deg is not supported for complex tensors.")
    return input * (180 / math.pi)


@api("isfinite(Tensor input) -> Tensor", out=False)
def isfinite(input: Any) -> Any:
    """Neither infinite nor NaN."""
    if input.dtype.category < dtypes.FLOAT:
        return eq(input, input)
    return ~(isnan(input) | isinf(input))


@api("isposinf(Tensor input) -> Tensor")
def isposinf(input: Any) -> Any:
    """Whether each element is +infinity."""
    _float_or("isposinf", input)
    return eq(input, math.inf)


@api("isneginf(Tensor input) -> Tensor")
def isneginf(input: Any) -> Any:
    """Whether each element is -infinity."""
    _float_or("isneginf", input)
    return eq(input, -math.inf)


@api("isreal(Tensor input) -> Tensor", out=False)
def isreal(input: Any) -> Any:
    """Whether the imaginary part is zero."""
    return eq(input.imag, 0) if input.dtype.is_complex else eq(input, input) | True


@api("nan_to_num(Tensor input, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor", inplace=True)
def nan_to_num(input: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced by numbers."""
    if input.dtype.category < dtypes.FLOAT:
        return input.clone()
    info = dtypes.finfo(input.dtype)
    out = where(isnan(input), 0.0 if nan is None else nan, input)
    out = where(eq(input, math.inf), info.max if posinf is None else posinf, out)
    return where(eq(input, -math.inf), info.min if neginf is None else neginf, out)


@api("isclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> Tensor", out=False)
def isclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Any:
    """|input - other| <= atol + rtol * |other|."""
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.scalar_name} did not match {other.dtype.scalar_name}")
    if rtol < 0:
        raise RuntimeError(f"rtol must be greater than or equal to zero, but got {rtol}")
    if atol < 0:
        raise RuntimeError(f"atol must be greater than or equal to zero, but got {atol}")
    close = eq(input, other)
    if equal_nan and input.dtype.category >= dtypes.FLOAT:
        close = close | (isnan(input) & isnan(other))
    if rtol == 0 and atol == 0:
        return close
    x, y = (input, other) if input.dtype.category >= dtypes.FLOAT else (call.cast(input, dtypes.float64), call.cast(other, dtypes.float64))
    error = abs_(x - y)
    return close | (isfinite(error) & le(error, atol + abs_(y * rtol)))


@api("allclose(Tensor input, Tensor other, float rtol=1e-05, float atol=1e-08, bool equal_nan=False) -> bool", out=False)
def allclose(input: Any, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether all elements are close."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


@api("equal(Tensor input, Tensor other) -> bool", out=False)
def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all elements are equal."""
    if not is_tensor(other):
        raise TypeError(f"equal(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    if input.shape != other.shape:
        return False
    return bool(eq(input, other).all().item())


@api("dist(Tensor input, Tensor other, Scalar p=2) -> Tensor", out=False)
def dist(input: Any, other: Any, p: Any = 2) -> Any:
    """The p-norm of the difference."""
    return (input - other).norm(p)


@api("heaviside(Tensor input, Tensor values) -> Tensor", inplace=True)
def heaviside(input: Any, values: Any) -> Any:
    """0 below zero, 1 above, `values` at zero."""
    if input.dtype.is_complex or values.dtype.is_complex:
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return where(eq(input, 0) , values, call.cast(input > 0, input.dtype))


def _need_whole(kernel: str, input: Any, other: Any) -> Any:
    """The integer dtype of both operands."""
    together = result_type(input, other)
    if together.category != dtypes.INT:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{together.scalar_name}'")
    return together


@api("gcd(Tensor input, Tensor other) -> Tensor", inplace=True)
def gcd(input: Any, other: Any) -> Any:
    """The greatest common divisor, by Euclid's algorithm run to its bound for the dtype."""
    together = _need_whole("gcd_cpu", input, other)
    a, b = abs_(call.cast(input, together)), abs_(call.cast(other, together))
    for _ in range(int(together.itemsize * 8 * 1.45) + 1):
        done = eq(b, 0)
        a, b = where(done, a, b), where(done, 0, a - call.pointwise(floor_divide.row, a, where(done, 1, b)) * b)
    return a


@api("lcm(Tensor input, Tensor other) -> Tensor", inplace=True)
def lcm(input: Any, other: Any) -> Any:
    """The least common multiple."""
    together = _need_whole("lcm_cpu", input, other)
    input, other = call.cast(input, together), call.cast(other, together)
    g = gcd(input, other)
    zero = eq(g, 0)
    return where(zero, 0, abs_(call.pointwise(floor_divide.row, input, where(zero, 1, g)) * other))


@api("ldexp(Tensor input, Tensor other) -> Tensor", inplace=True)
def ldexp(input: Any, other: Any) -> Any:
    """input * 2**other."""
    if not is_tensor(other):
        raise TypeError(f"ldexp(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    return input * exp2(call.cast(other, dtypes.get_default_dtype()) if other.dtype.category < dtypes.FLOAT else other)


@api("angle(Tensor input) -> Tensor")
def angle(input: Any) -> Any:
    """The argument of a complex number; 0 or pi for a real one."""
    if input.dtype.is_complex:
        from .complex_views import part

        return atan2(part(input, 1), part(input, 0))
    x = input if input.dtype.category >= dtypes.FLOAT else call.cast(input, dtypes.get_default_dtype())
    half = call.emit(where_row, (lt(x, 0), call.number(x.dtype, math.pi), call.number(x.dtype, 0.0)))
    return half if x is not input else where(isnan(x), x, half)


@api("polar(Tensor abs, Tensor angle) -> Tensor", method=False)
def polar(abs: Any, angle: Any) -> Any:
    """abs * (cos angle + i sin angle)."""
    from .complex_views import check_parts
    from .complex_views import complex as make

    check_parts(abs, angle)
    if abs.dtype is dtypes.float16:
        raise NotImplementedError("\"polar_cpu\" not implemented for 'Half'")
    return make(abs * cos(angle), abs * sin(angle))


@api("conj(Tensor input) -> Tensor", out=False)
def conj_(input: Any) -> Any:
    """The conjugate (computed at once; torch delays it)."""
    return conj(input)


@api("resolve_conj(Tensor input) -> Tensor", out=False)
def resolve_conj(input: Any) -> Any:
    """Itself: conjugates are never delayed here."""
    return input


@api("resolve_neg(Tensor input) -> Tensor", out=False)
def resolve_neg(input: Any) -> Any:
    """Itself: negation is never delayed here."""
    return input


@api("cross(Tensor input, Tensor other, int? dim=None) -> Tensor")
def cross(input: Any, other: Any, dim: Any = None) -> Any:
    """The cross product along a dimension of size 3."""
    need("cross", input, "int", "float", "complex")
    d = next((i for i, n in enumerate(input.shape) if n == 3), None) if dim is None else call.wrap_dim(dim, input.ndim)
    if d is None:
        raise RuntimeError("no dimension of size 3 in input")
    a, b = input.unbind(d), other.unbind(d)
    parts = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    from .movement import stack

    return stack(parts, d)


@api("trace(Tensor input) -> Tensor", out=False)
def trace(input: Any) -> Any:
    """The sum of the diagonal."""
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    need("trace", input, "int", "float", "complex")
    return input.diagonal().sum()


@api("kron(Tensor input, Tensor other) -> Tensor")
def kron(input: Any, other: Any) -> Any:
    """The Kronecker product."""
    n = max(input.ndim, other.ndim)
    a = input.reshape((1,) * (n - input.ndim) + tuple(input.shape))
    b = other.reshape((1,) * (n - other.ndim) + tuple(other.shape))
    left, right = [], []
    for i in range(n):
        left += [a.shape[i], 1]
        right += [1, b.shape[i]]
    return (a.reshape(left) * b.reshape(right)).reshape([a.shape[i] * b.shape[i] for i in range(n)])
