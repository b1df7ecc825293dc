"""`ft-simplify`: replace ops by cheaper ones that give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from ...dtypes import BOOL, COMPLEX, FLOAT, INT
from ...dtypes import dtype as DType
from ...ops.record import Sig, make_sig
from ...ops.table import ROWS
from ..dialect import GRAD, RowOp
from . import rewrite


class Algebra(NamedTuple):
    """What is exactly true of a row. `left` and `right` are units on that side, for the categories of dtype in `units`."""

    left: float | None = None
    right: float | None = None
    units: tuple[int, ...] = (INT, FLOAT)
    involution: bool = False
    identity: bool = False
    negates: float | None = None


ALGEBRA: dict[str, Algebra] = {
    # x * 1 has the bits of x for -0, infinities and denormals; a NaN stays a NaN. So have x / 1 and x - 0 (-0 - +0 is -0).
    "mul": Algebra(left=1, right=1, negates=-1),
    "true_divide": Algebra(right=1, units=(FLOAT,)),
    "sub": Algebra(right=0),
    # -0 + +0 is +0, so adding zero is exact for integers only. Specialised zeros are +0.
    "add": Algebra(left=0, right=0, units=(INT,)),
    "neg": Algebra(involution=True),
    "bitwise_not": Algebra(involution=True),
    "positive": Algebra(identity=True),
}

_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_EXPONENT = {"float16": 5, "bfloat16": 8, "float32": 8, "float64": 11}


def holds_exactly(a: DType, b: DType) -> bool:
    """Whether every value of `a` is one of `b`."""
    if a is b or a.category == BOOL:
        return True
    if a.category == INT and b.category == INT:
        return b.itemsize >= a.itemsize if a.is_signed == b.is_signed else b.is_signed and b.itemsize > a.itemsize
    if a.category == INT and b.category == FLOAT:
        return 8 * a.itemsize - a.is_signed <= _DIGITS[b.name] and 8 * a.itemsize < 2 ** (_EXPONENT[b.name] - 1)
    if a.category == FLOAT and b.category == FLOAT:
        return _DIGITS[a.name] <= _DIGITS[b.name] and _EXPONENT[a.name] <= _EXPONENT[b.name]
    return False


@dataclass(frozen=True)
class Simplify(ModulePass):
    """Apply the rules of `RULES` to every op, in order, once. ::

        %one = ft.number 1.0 : !ft.scalar<f32, 1.0>
        %a = ft.mul(%x, %one) : !ft.tensor<[4], f32>
        %b = ft.neg(%a) : !ft.tensor<[4], f32>
        %c = ft.neg(%b) : !ft.tensor<[4], f32>
        %d = ft.exp(%c) : !ft.tensor<[4], f32>
        // becomes
        %d = ft.exp(%x) : !ft.tensor<[4], f32>

    Each rule says why it is exact. An op is replaced by an existing value only where the types agree, strides included, and where its memory
    does not leave the function. The sign and payload of NaNs that arithmetic makes are not part of the contract.
    """

    name = "ft-simplify"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = rewrite.body(op)
        for inner in list(block.ops):
            if isinstance(inner, RowOp) and len(inner.results) == 1 and GRAD not in inner.attributes:
                for rule in RULES:
                    found = rule(inner)
                    if found is not None:
                        rewrite.replace(inner, [found])
                        break
        rewrite.erase_unused(block)


def _stands_for(op: RowOp, value: SSAValue) -> SSAValue | None:
    """`value`, where it can stand for the op's result."""
    result = op.results[0]
    return value if rewrite.type_of(value) is rewrite.type_of(result) and not rewrite.escapes(result) else None


def unit(op: RowOp) -> SSAValue | None:
    """x * 1, x / 1, x - 0, and n + 0 of integers are x: see `ALGEBRA`."""
    fact = ALGEBRA.get(op.ROW.name)
    if fact is None or len(op.operands) != 2 or rewrite.type_of(op.results[0]).dtype.category not in fact.units:
        return None
    a, b = op.operands
    if fact.right is not None and rewrite.type_of(b).const == fact.right:
        return _stands_for(op, a)
    if fact.left is not None and rewrite.type_of(a).const == fact.left:
        return _stands_for(op, b)
    return None


def negation(op: RowOp) -> SSAValue | None:
    """x * -1 is -x: both flip the sign alone, of zeros and infinities too; integers wrap alike."""
    fact = ALGEBRA.get(op.ROW.name)
    if fact is None or fact.negates is None:
        return None
    a, b = op.operands
    if rewrite.type_of(a).const == fact.negates:
        a, b = b, a
    t = rewrite.type_of(a)
    if rewrite.type_of(b).const != fact.negates or t.scalar or t.dtype.category not in (INT, FLOAT):
        return None
    sig = make_sig(ROWS["neg"], (t,), ())
    return rewrite.before(op, sig, [a])[0] if sig.out is rewrite.type_of(op.results[0]) else None


def involution(op: RowOp) -> SSAValue | None:
    """-(-x) is x: flipping the sign bit twice, whatever the value; ~(~x) likewise. +x is x."""
    fact = ALGEBRA.get(op.ROW.name)
    if fact is None:
        return None
    if fact.identity:
        return _stands_for(op, op.operands[0])
    inner = rewrite.maker(op.operands[0])
    return _stands_for(op, inner.operands[0]) if fact.involution and inner is not None and inner.ROW is op.ROW else None


def conversion(op: RowOp) -> SSAValue | None:
    """A conversion to the dtype it has, or of a conversion that lost nothing, reads the first value.

    a -> b -> c is a -> c where b holds every value of a: a -> b is then no rounding, and b -> c is the one of a -> c. Between integers
    conversions wrap, so this holds there too. From an integer, c is a float in which arithmetic is done (others round twice on the way).
    """
    if op.ROW.attrs != ("dtype",) or len(op.operands) != 1:
        return None
    x = op.operands[0]
    out = rewrite.type_of(op.results[0]).dtype
    if rewrite.type_of(x).dtype is out:
        return _stands_for(op, x)
    inner = rewrite.maker(x)
    if inner is None or inner.ROW is not op.ROW:
        return None
    base = inner.operands[0]
    a, b = rewrite.type_of(base).dtype, rewrite.type_of(x).dtype
    if COMPLEX in (a.category, b.category, out.category) or not holds_exactly(a, b):
        return None
    if a is out:
        return _stands_for(op, base)
    kept = a.category == b.category == out.category or a.category == INT and out.category == FLOAT and out.opmath is out
    if a.category != BOOL and not kept:
        return None
    sig = make_sig(op.ROW, (rewrite.type_of(base),), (out,))
    return rewrite.before(op, sig, [base])[0] if sig.out is rewrite.type_of(op.results[0]) else None


def copy(op: RowOp) -> SSAValue | None:
    """A copy in the same layout, of memory that does not leave, reads what it copies: values are never written in place in IR."""
    return _stands_for(op, op.operands[0]) if "copy" in op.ROW.traits else None


def _delta(op: RowOp) -> int:
    return op.sig.delta


def view_of_same(op: RowOp) -> SSAValue | None:
    """Movements that lead back to a type and an offset seen on the way are the value seen there (it is the same strided access)."""
    if op.ROW.view is None:
        return None
    wanted, delta = rewrite.type_of(op.results[0]), 0
    at: RowOp | None = op
    while at is not None and at.ROW.view is not None:
        delta += _delta(at)
        base = at.operands[0]
        if rewrite.type_of(base) is wanted and delta == 0:
            return base
        at = rewrite.maker(base)
    return None


def view_of_view(op: RowOp) -> SSAValue | None:
    """A movement of a movement as one, where one op of the outer row gives the same type at the same offset from the first value."""
    if op.ROW.view is None:
        return None
    inner = rewrite.maker(op.operands[0])
    if inner is None or inner.ROW.view is None:
        return None
    base, out, delta = inner.operands[0], rewrite.type_of(op.results[0]), _delta(op) + _delta(inner)
    for statics in _candidates(op, inner):
        sig = _try_sig(op, base, statics)
        if sig is not None and sig.out is out and sig.delta == delta:
            return rewrite.before(op, sig, [base])[0]
    return None


def _candidates(op: RowOp, inner: RowOp) -> list[tuple[object, ...]]:
    """The outer op's attributes as they are, and, for two of one row, composed as permutations."""
    out: list[tuple[object, ...]] = [op.statics]
    if inner.ROW is op.ROW and len(op.statics) == 1:
        p, q = inner.statics[0], op.statics[0]
        if isinstance(p, tuple) and isinstance(q, tuple) and sorted(p) == sorted(q) == list(range(len(p))):
            out.append((tuple([p[d] for d in q]),))
    return out


def _try_sig(op: RowOp, base: SSAValue, statics: tuple[object, ...]) -> Sig | None:
    try:
        return make_sig(op.ROW, (rewrite.type_of(base),), statics)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None


RULES: tuple[Callable[[RowOp], SSAValue | None], ...] = (unit, negation, involution, conversion, copy, view_of_same, view_of_view)
