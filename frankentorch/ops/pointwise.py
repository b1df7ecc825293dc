"""Pointwise rows: arithmetic, comparison, logic, mathematics.

Lane functions that need a polynomial are named by a string and found in `lower.vmath`; the others are written here. A gradient
rule is written in ops, on operands already broadcast and promoted: the engine sums and casts back to each operand's own shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..errors import NotImplementedYet
from . import call
from .call import compare, int_to_float, no_bool, same
from .define import OpFunction, binary, finish, unary
from .record import emit
from .table import Kind, NoGrad, Row, add_row
from .types import dense_type, elementwise_type, tensor_type

STEP = NoGrad("a step function: torch gives no gradient")


# Conversion and copying ------------------------------------------------------------------------------------------------
def zero_like(g: Any) -> Any:
    """A gradient of nothing: it depends on no value, so it has no gradient in turn and infinities do not make it NaN."""
    from .create import full_of

    return full_of(tuple(g.shape), 0, g.dtype)


def _infer_to(types: Any, attrs: Any) -> Any:
    t = types[0]
    return (tensor_type(attrs[0], t.shape, dense_type(t).strides),)


def _ref_to(x: Any, dtype: Any) -> Any:
    from ..ir.interp import convert

    return convert(x, dtype)


to_row = call.TO = add_row(Row(
    "to", Kind.POINTWISE, "to(Tensor input, ScalarType dtype) -> Tensor", "The same values in another dtype.", infer=_infer_to, ref=_ref_to,
    lane=lambda L, x, ty: L.convert(x, ty), vjp=lambda g, x, out: (call.cast(g, x.dtype),), public=False, method=False, grad_name="ToCopyBackward0", traits=frozenset(("convert",))))


overwritten_row = add_row(Row(
    "overwritten", Kind.POINTWISE, "overwritten(Tensor input) -> Tensor", "What a write left: on the tape only, where the old contents do not count.",
    infer=lambda types, attrs: (types[0],), ref=lambda x: x, lane=lambda L, x: x, vjp=lambda g, x, out: (zero_like(g),), public=False, method=False,
    traits=frozenset(("tape",))))


def _infer_clone(types: Any, attrs: Any) -> Any:
    return (tensor_type(types[0].dtype, types[0].shape, attrs[0]),)


clone_row = add_row(Row(
    "clone", Kind.POINTWISE, "clone(Tensor input, int[] strides) -> Tensor", "A copy with the given strides.", infer=_infer_clone,
    ref=lambda x, strides: np.array(x), lane=lambda L, x: x, vjp=lambda g, x, out: (g,), public=False, method=False, traits=frozenset(("copy",))))


# Arithmetic ---------------------------------------------------------------------------------------------------------------
def _int_ref(f: Any) -> Any:
    """A numpy function with integer overflow and division warnings silenced."""

    def ref(*arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(*arrays)

    return ref


def _lane_add(L: Any, a: Any, b: Any) -> Any:
    return a | b if getattr(a, "ty", "") == "i1" else a + b


def _lane_mul(L: Any, a: Any, b: Any) -> Any:
    return a & b if getattr(a, "ty", "") == "i1" else a * b


add_ = binary("add(Tensor input, Tensor other) -> Tensor", doc="input + other, elementwise.", ref=_int_ref(np.add), lane=_lane_add,
              vjp=lambda g, a, b, out: (g, g))
sub_ = binary("sub(Tensor input, Tensor other) -> Tensor", doc="input - other, elementwise.", ref=_int_ref(np.subtract), lane=lambda L, a, b: a - b,
              vjp=lambda g, a, b, out: (g, -g))
mul = binary("mul(Tensor input, Tensor other) -> Tensor", doc="input * other, elementwise.", ref=_int_ref(np.multiply), lane=_lane_mul,
             vjp=lambda g, a, b, out: (g * conj(b), g * conj(a)), aliases=("multiply",))
true_divide = binary("true_divide(Tensor input, Tensor other) -> Tensor", doc="input / other in floating point.", ref=_int_ref(np.true_divide),
                     lane=lambda L, a, b: a / b, promote=int_to_float,
                     vjp=lambda g, a, b, out: (g / conj(b), -g * conj(a / b / b)))
true_divide.row.grad_name = "DivBackward0"
neg = unary("neg(Tensor input) -> Tensor", doc="-input.", ref=_int_ref(np.negative), lane=lambda L, x: -x, vjp=lambda g, x, out: (-g,),
            aliases=("negative",))
reciprocal = unary("reciprocal(Tensor input) -> Tensor", doc="1 / input.", ref=_int_ref(lambda x: 1 / x),
                   lane=lambda L, x: L.one(x) / x, promote=int_to_float, vjp=lambda g, x, out: (-g * conj(out * out),))
_conj_row = unary("conj_physical(Tensor input) -> Tensor", doc="The complex conjugate (a real tensor is itself).", ref=np.conj,
             lane=lambda L, x: x.conj() if hasattr(x, "re") else x, vjp=lambda g, x, out: (conj(g),))


def conj(x: Any) -> Any:
    """The conjugate; real values pass through, so that gradient rules may always ask for it."""
    dt = x.dtype
    return _conj_row(x) if dt.is_complex else x


def _conj_physical(input: Any, *, out: Any = None) -> Any:
    return input if out is None and not input.dtype.is_complex else _conj_row(input, out=out)


finish(_conj_row.row, _conj_physical)


def _abs_lane(L: Any, x: Any) -> Any:
    if hasattr(x, "re"):
        from ..lower.vmath import FUNCTIONS

        return FUNCTIONS["hypot"](L, x.re, x.im)
    return L.abs(x)


abs_ = unary("abs(Tensor input) -> Tensor", doc="The absolute value.", ref=np.abs, lane=_abs_lane, promote=call.to_real,
             vjp=lambda g, x, out: (g * sgn(x),), aliases=("absolute",))


def _sign_lane(L: Any, x: Any) -> Any:
    if x.ty == "i1":
        return x
    positive, negative = L.cmp("gt", x, 0), L.cmp("lt", x, 0)
    return L.select(positive, L.one(x), L.select(negative, -L.one(x), L.zero(x)))


sign = unary("sign(Tensor input) -> Tensor", doc="-1, 0 or 1.", ref=np.sign, lane=_sign_lane, vjp=lambda g, x, out: (zero_like(g),))


def _sgn_lane(L: Any, x: Any) -> Any:
    if not hasattr(x, "re"):
        return _sign_lane(L, x)
    size = _abs_lane(L, x)
    by = L.select(L.cmp("eq", size, 0.0), 1.0, size)
    return type(x)(x.re / by, x.im / by)


def _sgn_vjp(g: Any, x: Any, out: Any) -> Any:
    """Of a complex direction, only what turns it counts."""
    if not x.dtype.is_complex:
        return (zero_like(g),)
    along = g * conj(out)
    return (where(x == 0, 0, (g - (along + conj(along)) / 2 * out) / abs_(x)),)


sgn: OpFunction = unary("sgn(Tensor input) -> Tensor", doc="sign for real tensors, x / |x| for complex ones.", ref=np.sign, lane=_sgn_lane,
                        vjp=_sgn_vjp)


def _itself(fn: Any) -> Any:
    """torch.positive hands its operand back."""
    from .define import finish

    def function(input: Any) -> Any:
        if input.dtype is dtypes.bool_:
            raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
        return input

    return finish(fn.row, function)


positive = _itself(unary("positive(Tensor input) -> Tensor", doc="input itself.", ref=lambda x: x, lane=lambda L, x: x, vjp=lambda g, x, out: (g,),
                         inplace=False))


def _divmod_lane(kind: str) -> Any:
    """Integer floor division and remainder with Python's sign, and their float forms."""

    def lane(L: Any, a: Any, b: Any) -> Any:
        if a.ty in ("f32", "f64"):
            from ..lower.vmath import FUNCTIONS

            return FUNCTIONS[kind](L, a, b)
        if a.ty[0] == "u" or a.ty == "i1":
            return L.udiv(a, b) if kind == "floor_divide" else L.urem(a, b)
        q, r = L.sdiv(a, b), L.srem(a, b)
        off = L.cmp("ne", r, 0) & L.cmp("lt", r ^ b, 0)
        if kind == "floor_divide":
            return L.select(off, q - L.one(q), q)
        if kind == "fmod":
            return r
        return L.select(off, r + b, r)

    return lane


def _divides(fn: Any) -> Any:
    """Integer division by zero is an error at the call; a pending divisor is looked at for it."""

    def function(input: Any, other: Any, *, out: Any = None) -> Any:
        a, b = (x.dtype.category >= dtypes.FLOAT if call.is_tensor(x) else isinstance(x, (float, complex)) for x in (input, other))
        bools = call.is_tensor(input) and input.dtype is dtypes.bool_ and (other.dtype is dtypes.bool_ if call.is_tensor(other) else isinstance(other, bool))
        if not a and not b and not bools and (bool((other._forced() == 0).any()) if call.is_tensor(other) else other == 0):
            raise RuntimeError("ZeroDivisionError")
        return fn(input, other, out=out)

    from .define import finish

    return finish(fn.row, function)


floor_divide = _divides(binary("floor_divide(Tensor input, Tensor other) -> Tensor", doc="floor(input / other).", ref=_int_ref(np.floor_divide),
                      lane=_divmod_lane("floor_divide"), vjp=lambda g, a, b, out: (zero_like(g), zero_like(g))))
remainder = _divides(binary("remainder(Tensor input, Tensor other) -> Tensor", doc="Python's modulus: the sign of `other`.", ref=_int_ref(np.remainder),
                   lane=_divmod_lane("remainder"), vjp=lambda g, a, b, out: (g, -g * floor(a / b))))
fmod = _divides(binary("fmod(Tensor input, Tensor other) -> Tensor", doc="C's fmod: the sign of `input`.", ref=_int_ref(np.fmod), lane=_divmod_lane("fmod"),
              vjp=lambda g, a, b, out: (g, -g * trunc(a / b))))


def _pow_vjp(g: Any, a: Any, b: Any, out: Any) -> Any:
    ga = where(b == 0, 0.0, g * conj(b * pow_(a, b - 1)))
    gb = g * conj(where((a == 0) & (b >= 0), 0.0, out * log(a))) if not a.dtype.is_complex else g * conj(out * log(a))
    return ga, gb


def _pow_lane(L: Any, a: Any, b: Any) -> Any:
    from ..lower.vmath import FUNCTIONS

    return FUNCTIONS["pow"](L, a, b)


pow_ = binary("pow(Tensor input, Tensor exponent) -> Tensor", doc="input ** exponent.", ref=_int_ref(np.power), lane=_pow_lane, vjp=_pow_vjp,
              samples=(0.1, 3.0), promote=no_bool)


# Selection ----------------------------------------------------------------------------------------------------------------
where_row = add_row(Row(
    "where", Kind.POINTWISE, "where(Tensor condition, Tensor input, Tensor other) -> Tensor", "input where condition holds, else other.",
    infer=lambda types, attrs: (elementwise_type(types[1].dtype, types),), ref=np.where, lane=lambda L, c, a, b: select_any(L, c, a, b),
    vjp=lambda g, c, a, b, out: (None, where(c, g, 0), where(c, 0, g))))


def select_any(L: Any, c: Any, a: Any, b: Any) -> Any:
    if hasattr(a, "re"):
        return type(a)(L.select(c, a.re, b.re), L.select(c, a.im, b.im))
    return L.select(c, a, b)


def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """Elements of `input` where `condition` holds, else of `other`; with one argument, the indices of its non-zero elements."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if not call.is_tensor(condition):
        raise TypeError(f"where(): argument 'condition' (position 1) must be Tensor, not {type(condition).__name__}")
    if condition.dtype is not dtypes.bool_:
        if condition.dtype is not dtypes.uint8:
            raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype.scalar_name}")
        condition = call.cast(condition, dtypes.bool_)
    a, b = call.as_operand(where_row, 1, input), call.as_operand(where_row, 2, other)
    triples = [(x.dtype, x._value.type.ndim == 0, False) if call.is_tensor(x) else (dtypes.scalar_dtype(x), True, True) for x in (a, b)]
    if not call.is_tensor(a) and not call.is_tensor(b):
        dt = dtypes.promote_types(triples[0][0], triples[1][0])
    else:
        dt = dtypes.result_type_of(triples)
    operands = [call.cast(x, dt) if call.is_tensor(x) else call.number(dt, call.convert_number(x, dt)) for x in (a, b)]
    r = emit(where_row, (condition, *operands))
    return r if out is None else call.write_out(out, r)


finish(where_row, where)
def _max_vjp(g: Any, a: Any, b: Any, out: Any) -> Any:
    half = where(a == b, g / 2, g)
    return where(a >= b, half, 0), where(b >= a, half, 0)


def _min_vjp(g: Any, a: Any, b: Any, out: Any) -> Any:
    half = where(a == b, g / 2, g)
    return where(a <= b, half, 0), where(b <= a, half, 0)


def _fpick(predicate: str) -> Any:
    """fmax and fmin: a number wins over NaN."""

    def lane(L: Any, a: Any, b: Any) -> Any:
        if a.ty not in ("f32", "f64"):
            return L.maximum(a, b) if predicate == "ge" else L.minimum(a, b)
        return L.select(L.isnan(a), b, L.select(L.cmp(predicate, a, b) | L.isnan(b), a, b))

    return lane


maximum = binary("maximum(Tensor input, Tensor other) -> Tensor", doc="The larger; NaN wins.", ref=np.maximum, lane=lambda L, a, b: L.maximum(a, b),
                 vjp=_max_vjp, inplace=False)
minimum = binary("minimum(Tensor input, Tensor other) -> Tensor", doc="The smaller; NaN wins.", ref=np.minimum, lane=lambda L, a, b: L.minimum(a, b),
                 vjp=_min_vjp, inplace=False)
fmax = binary("fmax(Tensor input, Tensor other) -> Tensor", doc="The larger; a number wins over NaN.", ref=np.fmax, lane=_fpick("ge"), inplace=False,
              vjp=lambda g, a, b, out: (where((a >= b) | (b != b), g, 0), where((a >= b) | (b != b), 0, g)))
fmin = binary("fmin(Tensor input, Tensor other) -> Tensor", doc="The smaller; a number wins over NaN.", ref=np.fmin, lane=_fpick("le"), inplace=False,
              vjp=lambda g, a, b, out: (where((a <= b) | (b != b), g, 0), where((a <= b) | (b != b), 0, g)))


# Comparison and logic ---------------------------------------------------------------------------------------------------------
def _cmp(name: str, doc: str, ref: Any, aliases: tuple[str, ...] = ()) -> Any:
    def lane(L: Any, a: Any, b: Any) -> Any:
        if hasattr(a, "re"):
            equal = L.cmp("eq", a.re, b.re) & L.cmp("eq", a.im, b.im)
            return equal if name == "eq" else ~equal
        return L.cmp(name, a, b)

    return binary(f"{name}(Tensor input, Tensor other) -> Tensor", doc=doc, ref=ref, lane=lane, promote=compare, vjp=NoGrad("a truth value"),
                  aliases=aliases)


eq = _cmp("eq", "input == other", np.equal)
ne = _cmp("ne", "input != other", np.not_equal, ("not_equal",))
lt = _cmp("lt", "input < other", np.less, ("less",))
le = _cmp("le", "input <= other", np.less_equal, ("less_equal",))
gt = _cmp("gt", "input > other", np.greater, ("greater",))
ge = _cmp("ge", "input >= other", np.greater_equal, ("greater_equal",))


def _truth(L: Any, x: Any) -> Any:
    if hasattr(x, "re"):
        return L.cmp("ne", x.re, 0) | L.cmp("ne", x.im, 0)
    return x if x.ty == "i1" else L.cmp("ne", x, 0)


def _logical(name: str, ref: Any, lane: Any) -> Any:
    return binary(f"logical_{name}(Tensor input, Tensor other) -> Tensor", doc=f"Logical {name} of truth values.", ref=ref, lane=lane,
                  promote=compare, vjp=NoGrad("a truth value"))


logical_and = _logical("and", np.logical_and, lambda L, a, b: _truth(L, a) & _truth(L, b))
logical_or = _logical("or", np.logical_or, lambda L, a, b: _truth(L, a) | _truth(L, b))
logical_xor = _logical("xor", np.logical_xor, lambda L, a, b: _truth(L, a) ^ _truth(L, b))
logical_not = unary("logical_not(Tensor input) -> Tensor", doc="Whether each element is zero.", ref=np.logical_not,
                    lane=lambda L, x: ~_truth(L, x), promote=compare, vjp=NoGrad("a truth value"))


def bits_only(name: str) -> Any:
    def promote(d: Any) -> Any:
        if d.category > dtypes.INT:
            raise NotImplementedError(f'"{name}_cpu" not implemented for \'{d.scalar_name}\'')
        return d, d

    return promote


_BITS = NoGrad("an operation on bits")
bitwise_and = binary("bitwise_and(Tensor input, Tensor other) -> Tensor", doc="Bitwise and.", ref=np.bitwise_and, lane=lambda L, a, b: a & b,
                     promote=bits_only("bitwise_and"), vjp=_BITS)
bitwise_or = binary("bitwise_or(Tensor input, Tensor other) -> Tensor", doc="Bitwise or.", ref=np.bitwise_or, lane=lambda L, a, b: a | b,
                    promote=bits_only("bitwise_or"), vjp=_BITS)
bitwise_xor = binary("bitwise_xor(Tensor input, Tensor other) -> Tensor", doc="Bitwise exclusive or.", ref=np.bitwise_xor,
                     lane=lambda L, a, b: a ^ b, promote=bits_only("bitwise_xor"), vjp=_BITS)
bitwise_not = unary("bitwise_not(Tensor input) -> Tensor", doc="Bitwise not.", ref=np.bitwise_not, lane=lambda L, x: ~x,
                    promote=bits_only("bitwise_not"), vjp=_BITS)
bitwise_left_shift = binary("bitwise_left_shift(Tensor input, Tensor other) -> Tensor", doc="input << other.", ref=np.left_shift,
                            lane=lambda L, a, b: L.shl(a, b), promote=bits_only("lshift"), vjp=_BITS)
bitwise_right_shift = binary("bitwise_right_shift(Tensor input, Tensor other) -> Tensor", doc="input >> other.", ref=np.right_shift,
                             lane=lambda L, a, b: a >> b, promote=bits_only("rshift"), vjp=_BITS)


def _isnan_lane(L: Any, x: Any) -> Any:
    if hasattr(x, "re"):
        return L.isnan(x.re) | L.isnan(x.im)
    return L.isnan(x) if x.ty in ("f32", "f64") else L.cmp("ne", x, x)


def _isinf_lane(L: Any, x: Any) -> Any:
    if hasattr(x, "re"):
        return _isinf_lane(L, x.re) | _isinf_lane(L, x.im)
    return L.cmp("eq", L.abs(x), float("inf")) if x.ty in ("f32", "f64") else L.cmp("ne", x, x)


isnan = unary("isnan(Tensor input) -> Tensor", doc="Whether each element is NaN.", ref=np.isnan, lane=_isnan_lane, promote=compare,
              vjp=NoGrad("a truth value"), inplace=False)
isinf = unary("isinf(Tensor input) -> Tensor", doc="Whether each element is infinite.", ref=np.isinf, lane=_isinf_lane, promote=compare,
              vjp=NoGrad("a truth value"), inplace=False)
signbit = unary("signbit(Tensor input) -> Tensor", doc="Whether the sign bit is set.", ref=np.signbit, promote=compare,
                lane=lambda L, x: L.cmp("lt", L.bitcast(x, {"f32": "i32", "f64": "i64"}.get(x.ty, x.ty)), 0) if x.ty != "i1" else x & ~x,
                vjp=NoGrad("a truth value"), inplace=False)


# Rounding ------------------------------------------------------------------------------------------------------------------------
def _rounding(name: str, doc: str, ref: Any, lane: Any, aliases: tuple[str, ...] = ()) -> OpFunction:
    return unary(f"{name}(Tensor input) -> Tensor", doc=doc, ref=ref, lane=lambda L, x: lane(L, x) if x.ty in ("f32", "f64") else x,
                 vjp=lambda g, x, out: (zero_like(g),), aliases=aliases)


floor: OpFunction = _rounding("floor", "The largest integer not above.", np.floor, lambda L, x: L.floor(x))
ceil = _rounding("ceil", "The smallest integer not below.", np.ceil, lambda L, x: L.ceil(x))
trunc: OpFunction = _rounding("trunc", "Towards zero.", np.trunc, lambda L, x: L.trunc(x), ("fix",))
rint = _rounding("rint", "To the nearest integer, ties to even.", np.rint, lambda L, x: L.rint(x))


# Mathematics -------------------------------------------------------------------------------------------------------------------
def _special(name: str) -> Any:
    def ref(*arrays: Any) -> Any:
        import scipy.special

        with np.errstate(all="ignore"):
            return getattr(scipy.special, name)(*arrays)

    return ref


def _math(name: str, doc: str, ref: Any, vjp: Any, samples: Any = (-3.0, 3.0), lane: Any = None, aliases: tuple[str, ...] = (), **kw: Any) -> Any:
    return unary(f"{name}(Tensor input) -> Tensor", doc=doc, ref=_int_ref(ref), lane=lane or name, promote=int_to_float, vjp=vjp, samples=samples,
                 aliases=aliases, **kw)


LN2 = 0.6931471805599453
sqrt = _math("sqrt", "The square root.", np.sqrt, lambda g, x, out: (g / conj(2 * out),), (0.1, 4.0), lane=lambda L, x: L.sqrt(x))
rsqrt = _math("rsqrt", "1 / sqrt(input).", lambda x: 1 / np.sqrt(x), lambda g, x, out: (-0.5 * g * conj(out * out * out),), (0.1, 4.0),
              lane=lambda L, x: L.one(x) / L.sqrt(x))
exp = _math("exp", "e**input.", np.exp, lambda g, x, out: (g * conj(out),))
exp2 = _math("exp2", "2**input.", np.exp2, lambda g, x, out: (g * conj(out) * LN2,), aliases=("special_exp2",))
expm1 = _math("expm1", "e**input - 1.", np.expm1, lambda g, x, out: (g * (conj(out) + 1),), aliases=("special_expm1",))
log = _math("log", "The natural logarithm.", np.log, lambda g, x, out: (g / conj(x),), (0.1, 4.0))
log2 = _math("log2", "The logarithm to base 2.", np.log2, lambda g, x, out: (g / (conj(x) * LN2),), (0.1, 4.0))
log10 = _math("log10", "The logarithm to base 10.", np.log10, lambda g, x, out: (g / (conj(x) * 2.302585092994046),), (0.1, 4.0))
log1p = _math("log1p", "log(1 + input).", np.log1p, lambda g, x, out: (g / (conj(x) + 1),), (-0.9, 4.0), aliases=("special_log1p",))
sin = _math("sin", "The sine.", np.sin, lambda g, x, out: (g * conj(cos(x)),))
cos: OpFunction = _math("cos", "The cosine.", np.cos, lambda g, x, out: (-g * conj(sin(x)),))
tan = _math("tan", "The tangent.", np.tan, lambda g, x, out: (g * conj(1 + out * out),), (-1.4, 1.4))
asin = _math("asin", "The inverse sine.", np.arcsin, lambda g, x, out: (g * conj(rsqrt(1 - x * x)),), (-0.95, 0.95), aliases=("arcsin",))
acos = _math("acos", "The inverse cosine.", np.arccos, lambda g, x, out: (-g * conj(rsqrt(1 - x * x)),), (-0.95, 0.95), aliases=("arccos",))
atan = _math("atan", "The inverse tangent.", np.arctan, lambda g, x, out: (g / conj(x * x + 1),), aliases=("arctan",))
sinh = _math("sinh", "The hyperbolic sine.", np.sinh, lambda g, x, out: (g * conj(cosh(x)),))
cosh: OpFunction = _math("cosh", "The hyperbolic cosine.", np.cosh, lambda g, x, out: (g * conj(sinh(x)),))
tanh = _math("tanh", "The hyperbolic tangent.", np.tanh, lambda g, x, out: (g * conj(1 - out * out),))
asinh = _math("asinh", "The inverse hyperbolic sine.", np.arcsinh, lambda g, x, out: (g * conj(rsqrt(x * x + 1)),), aliases=("arcsinh",))
def _acosh_vjp(g: Any, x: Any, out: Any) -> Any:
    """Of complex numbers two roots: the root of the product lies on another branch for half of them."""
    return (g * conj(rsqrt(x - 1) * rsqrt(x + 1)),) if x.dtype.is_complex else (g * rsqrt(x * x - 1),)


acosh = _math("acosh", "The inverse hyperbolic cosine.", np.arccosh, _acosh_vjp, (1.1, 4.0), aliases=("arccosh",))
atanh = _math("atanh", "The inverse hyperbolic tangent.", np.arctanh, lambda g, x, out: (g / conj(1 - x * x),), (-0.9, 0.9), aliases=("arctanh",))
erf = _math("erf", "The error function.", _special("erf"), lambda g, x, out: (1.1283791670955126 * exp(-(x * x)) * g,), aliases=("special_erf",))
erfc = _math("erfc", "1 - erf(input).", _special("erfc"), lambda g, x, out: (-1.1283791670955126 * exp(-(x * x)) * g,), aliases=("special_erfc",))
erfinv = _math("erfinv", "The inverse error function.", _special("erfinv"), lambda g, x, out: (0.886226925452758 * exp(out * out) * g,), (-0.9, 0.9),
               aliases=("special_erfinv",))
sigmoid = _math("sigmoid", "1 / (1 + e**-input).", _special("expit"), lambda g, x, out: (g * conj((1 - out) * out),), aliases=("special_expit",))
lgamma = _math("lgamma", "log|Gamma(input)|.", _special("gammaln"), lambda g, x, out: (g * digamma(x),), (0.2, 4.0), aliases=("special_gammaln",))


def _trigamma_vjp(g: Any, x: Any, out: Any) -> Any:
    raise NotImplementedYet("the gradient of torch.polygamma(1, x) is not there yet")


trigamma = _math("trigamma", "The second derivative of lgamma.", lambda x: _special("polygamma")(1, x), _trigamma_vjp, (0.2, 4.0), public=False,
                 method=False, inplace=False)
digamma: OpFunction = _math("digamma", "The derivative of lgamma.", _special("digamma"), lambda g, x, out: (g * trigamma(x),), (0.2, 4.0),
                            aliases=("special_digamma", "special_psi"))


def _bessel(name: str, doc: str, vjp: Any) -> OpFunction:
    return _math("special_" + name, doc, _special(name), vjp, lane=name, method=False, inplace=False)


def _over(a: Any, x: Any, limit: float) -> Any:
    """a / x, and `limit` where x is 0."""
    zero = x == 0
    return where(zero, limit, a / where(zero, 1, x))


i0: OpFunction = _math("i0", "The modified Bessel function of order zero.", _special("i0"), lambda g, x, out: (g * i1(x),), aliases=("special_i0",))
i1: OpFunction = _bessel("i1", "The modified Bessel function of order one.", lambda g, x, out: (g * (i0(x) - _over(out, x, 0.5)),))
i0e: OpFunction = _bessel("i0e", "i0(input) e**-|input|.", lambda g, x, out: (g * (i1e(x) - sgn(x) * out),))
i1e: OpFunction = _bessel("i1e", "i1(input) e**-|input|.", lambda g, x, out: (g * (i0e(x) - sgn(x) * out - _over(out, x, 0.5)),))


def _math2(name: str, doc: str, ref: Any, vjp: Any, samples: Any = (0.1, 3.0), aliases: tuple[str, ...] = (), promote: Any = int_to_float) -> Any:
    return binary(f"{name}(Tensor input, Tensor other) -> Tensor", doc=doc, ref=_int_ref(ref), lane=name, promote=promote, vjp=vjp, samples=samples,
                  aliases=aliases)


def _atan2_vjp(g: Any, a: Any, b: Any, out: Any) -> Any:
    r = g / (a * a + b * b)
    return r * b, -(r * a)


atan2 = _math2("atan2", "The angle of the point (other, input).", np.arctan2, _atan2_vjp, aliases=("arctan2",))
hypot = _math2("hypot", "sqrt(input**2 + other**2).", np.hypot, lambda g, a, b, out: (g * (a / out), g * (b / out)), promote=same)
logaddexp = _math2("logaddexp", "log(e**input + e**other).", np.logaddexp, lambda g, a, b, out: (g / conj(1 + exp(b - a)), g / conj(1 + exp(a - b))))
def _next_lane(L: Any, a: Any, b: Any) -> Any:
    """One step of the bits, as integers: up in size when going away from zero."""
    integer = {"f32": "i32", "f64": "i64"}[a.ty]
    bits = L.bitcast(a, integer)
    away = L.cmp("gt", b, a) ^ L.cmp("lt", a, 0)
    step = L.bitcast(bits + L.select(away, 1, L.const(integer, -1)), a.ty)
    least = L.copysign(L.bitcast(L.const(integer, 1), a.ty), b)
    out = L.select(L.cmp("eq", a, 0), least, step)
    return L.select(L.isnan(a) | L.isnan(b), float("nan"), L.select(L.cmp("eq", a, b), b, out))


def _next_promote(d: Any) -> Any:
    if d not in (dtypes.float32, dtypes.float64):
        raise NotImplementedError(f"\"nextafter_cpu\" not implemented for '{d.scalar_name}'")
    return d, d


_next = binary("nextafter(Tensor input, Tensor other) -> Tensor", doc="The next number towards `other`.", ref=np.nextafter, lane=_next_lane,
                   promote=_next_promote, vjp=lambda g, a, b, out: (where(a == b, 0, g), where(a == b, g, 0)))


def _nextafter(input: Any, other: Any, *, out: Any = None) -> Any:
    """16-bit floats are computed on as float32: a step of 0.7 to 1.4 units in their last place, rounded, is the step of one."""
    if not (call.is_tensor(input) and call.is_tensor(other)):
        raise call.type_error(_next.row, 0 if call.is_tensor(other) else 1, input if call.is_tensor(other) else other)
    dtype = dtypes.promote_types(input.dtype, other.dtype)
    if dtype not in (dtypes.bfloat16, dtypes.float16):
        return _next(input, other, out=out)
    info = dtypes.finfo(dtype)
    a, b = call.cast(input, dtypes.float32), call.cast(other, dtypes.float32)
    least = info.tiny * info.eps
    size = call.pointwise(maximum.row, abs_(a) * (info.eps * 0.7), least * 0.7)
    moved = where(isinf(a), copysign(info.max, a), where(a == 0, copysign(least, b), where(b > a, a + size, a - size)))
    r = call.cast(where(isnan(a) | isnan(b), float("nan"), where(a == b, b, moved)), dtype)
    return r if out is None else call.write_out(out, r, "nextafter")


nextafter = finish(_next.row, _nextafter)
copysign = binary("copysign(Tensor input, Tensor other) -> Tensor", doc="|input| with the sign of other.", ref=np.copysign,
                  lane=lambda L, a, b: L.copysign(a, b), promote=int_to_float, samples=(0.5, 3.0),
                  vjp=lambda g, a, b, out: (g * sign(out / a), zero_like(g)))
