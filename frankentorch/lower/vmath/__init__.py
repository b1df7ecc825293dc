"""Vector math of our own: elementary and special functions as lane functions, the same bits on every CPU.

Enters: f32 or f64 lanes (`frankentorch.lower.lanes`). Leaves: a lane of the same type, NaNs canonical, denormals honoured.
`FUNCTIONS` lists them with the error each promises; `docs/vmath.md` says how the promise is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from frankentorch.lower.lanes import SMALL_FLOATS, Complex, Lane, Lanes, is_float
from frankentorch.lower.vmath import arith, explog, hyperbolic, special, trig
from frankentorch.lower.vmath.arith import integer_floor_divide, integer_remainder
from frankentorch.lower.vmath.complexes import COMPLEX_FUNCTIONS
from frankentorch.lower.vmath.explog import integer_pow

__all__ = ["COMPLEX_FUNCTIONS", "FUNCTIONS", "INTEGER_FUNCTIONS", "LaneFunction", "apply"]


@dataclass(frozen=True, slots=True)
class LaneFunction:
    """A function of `arity` lanes of one float type.

    `ulp32` and `ulp64` bound the error in units in the last place of `unit`: the "result"; the larger of result and "argument"s;
    or the larger of result and "one" (functions whose zeros are not representable). 0.5 means correctly rounded, or so nearly that
    no measured input reaches 0.51.
    """

    name: str
    call: Callable[..., Lane]
    arity: int
    ulp32: float
    ulp64: float
    unit: str = "result"

    def __call__(self, L: Lanes, *args: Any) -> Any:
        """The function on float lanes, on `Complex` pairs where it is in COMPLEX_FUNCTIONS, on integer lanes where in INTEGER_FUNCTIONS."""
        if isinstance(args[0], Complex):
            return COMPLEX_FUNCTIONS[self.name](L, *args)
        if not is_float(args[0].ty):
            return INTEGER_FUNCTIONS[self.name](L, *args)
        return self.call(L, *args)

    def bound(self, ty: str) -> float:
        return self.ulp32 if ty == "f32" else self.ulp64


_ROWS = (
    # name, function, arity, ulp in f32, in f64, unit
    LaneFunction("exp", explog.exp, 1, 1.0, 1.0),
    LaneFunction("exp2", explog.exp2, 1, 1.0, 1.0),
    LaneFunction("expm1", explog.expm1, 1, 0.51, 1.0),
    LaneFunction("log", explog.log, 1, 1.0, 0.51),
    LaneFunction("log2", explog.log2, 1, 0.51, 0.51),
    LaneFunction("log10", explog.log10, 1, 0.51, 0.51),
    LaneFunction("log1p", explog.log1p, 1, 0.51, 0.51),
    LaneFunction("pow", explog.pow, 2, 0.51, 1.0),
    LaneFunction("sigmoid", explog.sigmoid, 1, 2.0, 2.0),
    LaneFunction("softplus", explog.softplus, 1, 0.51, 2.0),
    LaneFunction("logaddexp", explog.logaddexp, 2, 1.0, 2.0, "argument"),
    LaneFunction("sin", trig.sin, 1, 0.51, 1.0),
    LaneFunction("cos", trig.cos, 1, 0.51, 1.0),
    LaneFunction("tan", trig.tan, 1, 0.51, 1.0),
    LaneFunction("sinc", trig.sinc, 1, 0.51, 1.0),
    LaneFunction("asin", trig.asin, 1, 0.51, 1.0),
    LaneFunction("acos", trig.acos, 1, 0.51, 1.0),
    LaneFunction("atan", trig.atan, 1, 0.51, 1.0),
    LaneFunction("atan2", trig.atan2, 2, 0.51, 1.0),
    LaneFunction("sinh", hyperbolic.sinh, 1, 0.51, 1.0),
    LaneFunction("cosh", hyperbolic.cosh, 1, 0.51, 1.0),
    LaneFunction("tanh", hyperbolic.tanh, 1, 1.0, 1.0),
    LaneFunction("asinh", hyperbolic.asinh, 1, 0.51, 0.51),
    LaneFunction("acosh", hyperbolic.acosh, 1, 0.51, 0.51),
    LaneFunction("atanh", hyperbolic.atanh, 1, 0.51, 0.51),
    LaneFunction("erf", special.erf, 1, 1.25, 1.5),
    LaneFunction("erfc", special.erfc, 1, 0.51, 2.5),
    LaneFunction("erfinv", special.erfinv, 1, 0.51, 3.5),
    LaneFunction("gelu", special.gelu, 1, 2.0, 2.5, "argument"),
    LaneFunction("gelu_tanh", special.gelu_tanh, 1, 3.0, 3.0, "argument"),
    LaneFunction("silu", special.silu, 1, 3.0, 3.0),
    LaneFunction("lgamma", special.lgamma, 1, 1.0, 3.0, "one"),
    LaneFunction("digamma", special.digamma, 1, 1.0, 4.0, "one"),
    LaneFunction("i0", special.i0, 1, 0.51, 4.0),
    LaneFunction("i1", special.i1, 1, 0.51, 4.0),
    LaneFunction("i0e", special.i0e, 1, 0.51, 4.0),
    LaneFunction("i1e", special.i1e, 1, 0.51, 4.0),
    LaneFunction("trigamma", special.trigamma, 1, 1.0, 6.0, "one"),
    LaneFunction("fmod", arith.fmod, 2, 0.0, 0.0),
    LaneFunction("remainder", arith.remainder, 2, 0.5, 0.5),
    LaneFunction("floor_divide", arith.floor_divide, 2, 0.0, 0.0),
    LaneFunction("hypot", arith.hypot, 2, 0.51, 0.51),
    LaneFunction("rsqrt", arith.rsqrt, 1, 1.5, 1.5),
    LaneFunction("sqrt", arith.sqrt, 1, 0.5, 0.5),
)
FUNCTIONS: dict[str, LaneFunction] = {row.name: row for row in _ROWS}

#: On integer lanes of one type, with torch's meaning.
INTEGER_FUNCTIONS: dict[str, Callable[[Lanes, Lane, Lane], Lane]] = {
    "pow": integer_pow, "remainder": integer_remainder, "floor_divide": integer_floor_divide}


def apply(L: Lanes, name: str, *args: Lane) -> Lane:
    """FUNCTIONS[name] on lanes of any float type: f16 and bf16 compute in f32 and round once."""
    ty = args[0].ty
    if ty not in SMALL_FLOATS:
        return FUNCTIONS[name](L, *args)
    return L.convert(FUNCTIONS[name](L, *(L.convert(a, "f32") for a in args)), ty)
