"""The lane language itself: lane values, the builder that both readings share, and complex pairs. `lanes.py` says the rules.

Enters: a builder's primitives. Leaves: every operation of the language in terms of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

BITS = {"i1": 1, "i8": 8, "u8": 8, "i16": 16, "u16": 16, "i32": 32, "u32": 32, "i64": 64, "u64": 64,
        "f16": 16, "bf16": 16, "f32": 32, "f64": 64}
SMALL_FLOATS = ("f16", "bf16")
UNSIGNED = {"i1": "i1", "i8": "u8", "i16": "u16", "i32": "u32", "i64": "u64"}
_PREDICATES = {"lt": ("olt", "slt", "ult"), "le": ("ole", "sle", "ule"), "gt": ("ogt", "sgt", "ugt"),
               "ge": ("oge", "sge", "uge"), "eq": ("oeq", "eq", "eq"), "ne": ("une", "ne", "ne")}


def is_float(ty: str) -> bool:
    """Whether `ty` is a type that float arithmetic accepts (not the stored-only f16 and bf16)."""
    return ty in ("f32", "f64")


def is_unsigned(ty: str) -> bool:
    return ty[0] == "u" or ty == "i1"


def numpy_type(ty: str) -> str:
    """The numpy dtype that holds a lane of `ty`."""
    return {"i1": "bool", "f16": "uint16", "bf16": "uint16"}.get(ty) or {"i": "int", "u": "uint", "f": "float"}[ty[0]] + ty[1:]


def llvm_type(ty: str) -> str:
    """The LLVM scalar type that holds a lane of `ty`."""
    return {"f32": "float", "f64": "double"}.get(ty, f"i{BITS[ty]}")


@dataclass(slots=True, eq=False)
class Lane:
    """One value of a lane function: its builder, its type, and what the builder keeps (text or an array).

    A Python number beside a lane becomes a constant of the lane's type. ``>>`` is arithmetic on signed types.
    """

    L: Lanes
    ty: str
    v: Any
    const: int | float | None = None

    def __add__(self, b: Lane | float) -> Lane:
        return self.L.arith("add", self, b)

    def __sub__(self, b: Lane | float) -> Lane:
        return self.L.arith("sub", self, b)

    def __mul__(self, b: Lane | float) -> Lane:
        return self.L.arith("mul", self, b)

    def __truediv__(self, b: Lane | float) -> Lane:
        return self.L.arith("div", self, b)

    def __radd__(self, a: float) -> Lane:
        return self.L.arith("add", self.L.const(self.ty, a), self)

    def __rsub__(self, a: float) -> Lane:
        return self.L.arith("sub", self.L.const(self.ty, a), self)

    def __rmul__(self, a: float) -> Lane:
        return self.L.arith("mul", self.L.const(self.ty, a), self)

    def __rtruediv__(self, a: float) -> Lane:
        return self.L.arith("div", self.L.const(self.ty, a), self)

    def __neg__(self) -> Lane:
        return self.L.neg(self)

    def __and__(self, b: Lane | int) -> Lane:
        return self.L.binary("and", self, b)

    def __or__(self, b: Lane | int) -> Lane:
        return self.L.binary("or", self, b)

    def __xor__(self, b: Lane | int) -> Lane:
        return self.L.binary("xor", self, b)

    def __invert__(self) -> Lane:
        return self.L.binary("xor", self, 1 if self.ty == "i1" else -1)

    def __lshift__(self, b: Lane | int) -> Lane:
        return self.L.shl(self, b)

    def __rshift__(self, b: Lane | int) -> Lane:
        return self.L.lshr(self, b) if is_unsigned(self.ty) else self.L.ashr(self, b)


class Lanes:
    """What the two builders share: the whole language, in terms of the few primitives below."""

    # Primitives, one a builder: a name is LLVM's own ----------------------------------------------------------
    def const(self, ty: str, value: float) -> Lane:
        """A constant. Floats round to `ty`; integers wrap to its width."""
        raise NotImplementedError

    def _binary(self, op: str, a: Lane, b: Lane) -> Lane:
        raise NotImplementedError

    def _unary(self, op: str, a: Lane) -> Lane:
        raise NotImplementedError

    def _cast(self, op: str, a: Lane, ty: str) -> Lane:
        raise NotImplementedError

    def _cmp(self, predicate: str, a: Lane, b: Lane) -> Lane:
        raise NotImplementedError

    def _select(self, c: Lane, a: Lane, b: Lane) -> Lane:
        raise NotImplementedError

    def _fma(self, a: Lane, b: Lane, c: Lane) -> Lane:
        raise NotImplementedError

    def bitcast(self, a: Lane, ty: str) -> Lane:
        """The same bits read as another type of the same width."""
        raise NotImplementedError

    def rare(self, cond: Lane, slow: Callable[[], Sequence[Lane]], fast: Sequence[Lane]) -> list[Lane]:
        """Lane by lane, `slow()` where `cond` holds, else `fast`; the slow code is skipped when no lane needs it."""
        raise NotImplementedError

    def seldom(self, cond: Lane, slow: Callable[..., Sequence[Lane]], inputs: Sequence[Lane], fast: Sequence[Lane]) -> list[Lane]:
        """As `rare`, for long code that almost never runs: ``slow(L, *inputs)`` is emitted once for scalars, in a loop over the lanes."""
        return self.rare(cond, lambda: slow(self, *inputs), fast)

    def repeat(self, state: Sequence[Lane], step: Callable[[list[Lane]], tuple[Lane, Sequence[Lane]]]) -> list[Lane]:
        """Run `step` on the state until no lane is active; it returns (active, next), and idle lanes keep theirs.

        `step` runs at least once, and an idle lane must stay idle.
        """
        raise NotImplementedError

    # Constants and operators ----------------------------------------------------------------------------------
    def lane(self, ty: str, x: Lane | float) -> Lane:
        """`x` itself when it is a lane (of type `ty`), else the constant."""
        if not isinstance(x, Lane):
            return self.const(ty, x)
        if x.ty != ty:
            raise TypeError(f"a lane of type {ty} was wanted, not {x.ty}")
        return x

    def one(self, x: Any) -> Any:
        """1 of the type of `x`, a lane or a complex."""
        return x.like(1) if isinstance(x, Complex) else self.const(x.ty, 1)

    def zero(self, x: Any) -> Any:
        """0 of the type of `x`, a lane or a complex."""
        return x.like(0) if isinstance(x, Complex) else self.const(x.ty, 0)

    def binary(self, op: str, a: Lane, b: Lane | float) -> Lane:
        """LLVM's `op` on two lanes of one type."""
        return self._binary(op, a, self.lane(a.ty, b))

    def arith(self, op: str, a: Lane, b: Lane | float) -> Lane:
        """add, sub, mul or div: one IEEE rounding on floats, wrapping on integers."""
        if a.ty in SMALL_FLOATS or (a.ty == "i1" and op != "add"):
            raise TypeError(f"no arithmetic on {a.ty} lanes: convert first")
        if is_float(a.ty):
            return self.binary("f" + op, a, b)
        if op == "div":
            raise TypeError("integer division is written sdiv or udiv")
        return self.binary(op, a, b)

    def fma(self, a: Lane, b: Lane | float, c: Lane | float) -> Lane:
        """a * b + c with one rounding."""
        return self._fma(a, self.lane(a.ty, b), self.lane(a.ty, c))

    def neg(self, a: Lane) -> Lane:
        return self._unary("fneg", a) if is_float(a.ty) else self.binary("sub", self.zero(a), a)

    def abs(self, a: Lane) -> Lane:
        if is_float(a.ty):
            return self._unary("fabs", a)
        return a if is_unsigned(a.ty) else self.select(self.cmp("lt", a, 0), -a, a)

    def sqrt(self, a: Any) -> Any:
        """The square root, correctly rounded; of a complex, the principal one."""
        if isinstance(a, Complex):
            from frankentorch.lower.vmath.complexes import sqrt

            return sqrt(self, a)
        return self._unary("sqrt", a)

    def floor(self, a: Lane) -> Lane:
        return self._unary("floor", a)

    def ceil(self, a: Lane) -> Lane:
        return self._unary("ceil", a)

    def trunc(self, a: Lane) -> Lane:
        return self._unary("trunc", a)

    def rint(self, a: Lane) -> Lane:
        """To the nearest integer, ties to even."""
        return self._unary("roundeven", a)

    def ctlz(self, a: Lane) -> Lane:
        """Leading zeros; the width at 0."""
        return self._unary("ctlz", a)

    def popcount(self, a: Lane) -> Lane:
        return self._unary("ctpop", a)

    def copysign(self, a: Lane, b: Lane) -> Lane:
        return self._binary("copysign", a, b)

    def cmp(self, predicate: str, a: Lane, b: Lane | float) -> Lane:
        """An i1. `predicate` is LLVM's (olt, uno, slt, ...) or lt le gt ge eq ne, ordered and by the type's sign."""
        if predicate in _PREDICATES:
            predicate = _PREDICATES[predicate][0 if is_float(a.ty) else 2 if is_unsigned(a.ty) else 1]
        return self._cmp(predicate, a, self.lane(a.ty, b))

    def select(self, c: Lane, a: Lane | float, b: Lane | float) -> Lane:
        """a where c, else b; one of them may be a number."""
        ty = a.ty if isinstance(a, Lane) else b.ty if isinstance(b, Lane) else None
        if ty is None:
            raise TypeError("select needs at least one lane")
        return self._select(c, self.lane(ty, a), self.lane(ty, b))

    def isnan(self, a: Lane) -> Lane:
        return self.cmp("uno", a, a)

    def canonical(self, a: Lane) -> Lane:
        """`a` with every NaN replaced by the positive quiet one."""
        return self.select(self.isnan(a), float("nan"), a)

    def minimum(self, a: Lane, b: Lane | float) -> Lane:
        """torch.minimum: a NaN wins; of equal values (so of -0 and 0) the first is returned."""
        b = self.lane(a.ty, b)
        return self.select(self.cmp("ugt" if is_float(a.ty) else "gt", a, b), self._nan_or(a, b), a)

    def maximum(self, a: Lane, b: Lane | float) -> Lane:
        """torch.maximum: a NaN wins; of equal values the first is returned."""
        b = self.lane(a.ty, b)
        return self.select(self.cmp("ult" if is_float(a.ty) else "lt", a, b), self._nan_or(a, b), a)

    def _nan_or(self, a: Lane, b: Lane) -> Lane:
        return self.select(self.isnan(a), a, b) if is_float(a.ty) else b

    # Integers -------------------------------------------------------------------------------------------------
    def _shift(self, op: str, a: Lane, b: Lane | int) -> Lane:
        b, width = self.lane(a.ty, b), BITS[a.ty]
        if b.const is not None and 0 <= b.const < width:
            return self._binary(op, a, b)
        over = self._cmp("uge", b, self.const(a.ty, width))
        if op == "ashr":
            return self._binary(op, a, self.select(over, width - 1, b))
        return self.select(over, 0, self._binary(op, a, self.select(over, 0, b)))

    def shl(self, a: Lane, b: Lane | int) -> Lane:
        return self._shift("shl", a, b)

    def lshr(self, a: Lane, b: Lane | int) -> Lane:
        return self._shift("lshr", a, b)

    def ashr(self, a: Lane, b: Lane | int) -> Lane:
        return self._shift("ashr", a, b)

    def _safe_divisor(self, a: Lane, b: Lane, signed: bool) -> Lane:
        bad = self.cmp("eq", b, 0)
        if signed:
            least = self.const(a.ty, 1 << (BITS[a.ty] - 1))
            bad = bad | (self.cmp("eq", a, least) & self.cmp("eq", b, -1))
        return self.select(bad, 1, b)

    def _divide(self, op: str, a: Lane, b: Lane | int) -> Lane:
        b = self.lane(a.ty, b)
        return self._binary(op, a, self._safe_divisor(a, b, op[0] == "s"))

    def sdiv(self, a: Lane, b: Lane | int) -> Lane:
        """Quotient towards zero; x / 0 is x, least / -1 is least."""
        return self._divide("sdiv", a, b)

    def udiv(self, a: Lane, b: Lane | int) -> Lane:
        return self._divide("udiv", a, b)

    def srem(self, a: Lane, b: Lane | int) -> Lane:
        """Remainder with the sign of `a`; x % 0 and least % -1 are 0."""
        return self._divide("srem", a, b)

    def urem(self, a: Lane, b: Lane | int) -> Lane:
        return self._divide("urem", a, b)

    # Conversions ----------------------------------------------------------------------------------------------
    def to_int(self, a: Lane, ty: str) -> Lane:
        """Truncate a float that is known to lie in range of the signed `ty`: no guard."""
        return self._cast("fptosi", a, ty)

    def to_float(self, a: Lane, ty: str) -> Lane:
        """An integer to f32 or f64, rounding once."""
        return self._cast("uitofp" if is_unsigned(a.ty) else "sitofp", a, ty)

    def convert(self, a: Lane, ty: str) -> Lane:
        """`a` as type `ty`, by the rules of the module docstring; to i1 it is ``a != 0``."""
        src = a.ty
        if src == ty:
            return a
        if src == "f16":
            return self.convert(self._from_f16(a), ty)
        if src == "bf16":
            wide = self._cast("zext", self.bitcast(a, "u16"), "u32")
            return self.convert(self.bitcast(wide << 16, "f32"), ty)
        if ty in SMALL_FLOATS:
            single = self.convert(a, "f32")
            return self._to_f16(single) if ty == "f16" else self._to_bf16(single)
        if ty == "i1":
            return self.cmp("ne", a, 0)
        if is_float(src) and is_float(ty):
            return self._cast("fpext" if ty == "f64" else "fptrunc", a, ty)
        if is_float(ty):
            return self.to_float(a, ty)
        if is_float(src):
            return self._float_to_int(a, ty)
        if BITS[src] == BITS[ty]:
            return self.bitcast(a, ty)
        return self._cast("trunc" if BITS[ty] < BITS[src] else "zext" if is_unsigned(src) else "sext", a, ty)

    def round_to(self, a: Lane, ty: str) -> Lane:
        """A float rounded to the precision of `ty` and held in its own type."""
        return self.convert(self.convert(a, ty), a.ty)

    def _float_to_int(self, a: Lane, ty: str) -> Lane:
        if ty == "u64":
            big = self.cmp("oge", a, 2.0**63)
            low = self._float_to_int(self.select(big, a - 2.0**63, a), "i64")
            return self.bitcast(self.select(big, low ^ (1 << 63), low), "u64")
        via = "i64" if ty in ("i64", "u32") else "i32"
        limit = 2.0 ** (BITS[via] - 1)
        inside = self.cmp("oge", a, -limit) & self.cmp("olt", a, limit)
        least = 1 << (BITS[via] - 1)
        value = self.select(inside, self._cast("fptosi", self.select(inside, a, 0.0), via), least)
        return self.convert(value, ty)

    def _to_bf16(self, a: Lane) -> Lane:
        bits = self.bitcast(a, "u32")
        rounded = (bits + ((bits >> 16) & 1) + 0x7FFF) >> 16
        return self.bitcast(self._cast("trunc", self.select(self.isnan(a), 0x7FC0, rounded), "u16"), "bf16")

    def _to_f16(self, a: Lane) -> Lane:
        bits = self.bitcast(a, "u32")
        size = bits & 0x7FFFFFFF
        normal = (size - (0x38000000 - 0xFFF) + ((size >> 13) & 1)) >> 13
        # Half's denormals step by 2**-24, which is one ulp of a float in [0.5, 1): adding 0.5 rounds to them.
        tiny = self.bitcast(self.bitcast(size, "f32") + 0.5, "u32") - 0x3F000000
        out = self.select(self.cmp("ult", size, 0x38800000), tiny, normal)
        out = self.select(self.cmp("ugt", size, 0x47800000), 0x7C00, out) | ((bits >> 16) & 0x8000)
        out = self.select(self.isnan(a), 0x7E00, out)
        return self.bitcast(self._cast("trunc", out, "u16"), "f16")

    def _from_f16(self, a: Lane) -> Lane:
        bits = self._cast("zext", self.bitcast(a, "u16"), "u32")
        size = bits & 0x7FFF
        finite = self.bitcast(self.bitcast(size << 13, "f32") * 2.0**112, "u32")
        special = (size << 13) | self.select(self.cmp("ugt", size, 0x7C00), self.const("u32", 0x7FC00000), 0x7F800000)
        out = self.select(self.cmp("uge", size, 0x7C00), special, finite) | ((bits & 0x8000) << 16)
        return self.bitcast(out, "f32")


# Complex numbers ----------------------------------------------------------------------------------------------
@dataclass(slots=True, eq=False)
class Complex:
    """A complex value of a lane function: two real lanes. A real number or lane on its right leaves the sign of a zero alone.

    Products are the schoolbook formula, each operation rounded; quotients are scaled by Smith's method (CACM 5(8), 1962).
    """

    re: Lane
    im: Lane

    @property
    def L(self) -> Lanes:
        return self.re.L

    @property
    def ty(self) -> str:
        """c64 or c128."""
        return "c64" if self.re.ty == "f32" else "c128"

    def like(self, b: Complex | Lane | complex) -> Complex:
        """`b` as a complex of this type."""
        if isinstance(b, Complex):
            return b
        if isinstance(b, Lane):
            return Complex(b, self.L.zero(b))
        value = complex(b)
        return Complex(self.L.const(self.re.ty, value.real), self.L.const(self.re.ty, value.imag))

    def __add__(self, b: Complex | Lane | complex) -> Complex:
        if isinstance(b, (Lane, int, float)):
            return Complex(self.re + b, self.im)
        b = self.like(b)
        return Complex(self.re + b.re, self.im + b.im)

    def __sub__(self, b: Complex | Lane | complex) -> Complex:
        if isinstance(b, (Lane, int, float)):
            return Complex(self.re - b, self.im)
        b = self.like(b)
        return Complex(self.re - b.re, self.im - b.im)

    def __mul__(self, b: Complex | Lane | complex) -> Complex:
        if isinstance(b, (Lane, int, float)):
            return self.scale(b)
        b = self.like(b)
        return Complex(self.re * b.re - self.im * b.im, self.re * b.im + self.im * b.re)

    def __truediv__(self, b: Complex | Lane | complex) -> Complex:
        b, L = self.like(b), self.L
        swap = L.cmp("lt", L.abs(b.re), L.abs(b.im))
        big, small = L.select(swap, b.im, b.re), L.select(swap, b.re, b.im)
        # Dividing 0 by 0 would spoil x / 0, which is infinite.
        ratio = small / L.select(L.cmp("oeq", big, 0.0), 1.0, big)
        bottom = big + small * ratio
        p, q = L.select(swap, self.im, self.re), L.select(swap, self.re, self.im)
        re, im = p + q * ratio, q - p * ratio
        return Complex(re / bottom, L.select(swap, -im, im) / bottom)

    def __radd__(self, a: Lane | complex) -> Complex:
        return self.like(a) + self

    def __rsub__(self, a: Lane | complex) -> Complex:
        return self.like(a) - self

    def __rmul__(self, a: Lane | complex) -> Complex:
        return self.like(a) * self

    def __rtruediv__(self, a: Lane | complex) -> Complex:
        return self.like(a) / self

    def __neg__(self) -> Complex:
        return Complex(-self.re, -self.im)

    def scale(self, k: Lane | float) -> Complex:
        """Both parts times a real."""
        return Complex(self.re * k, self.im * k)

    def conj(self) -> Complex:
        return Complex(self.re, -self.im)
