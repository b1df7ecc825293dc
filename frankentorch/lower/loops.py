"""The `loops` dialect: loops over sixteen-lane strips, between a kernel's description and LLVM text.

Enters: `lower.nest` builds one `loops.kernel` from a `KernelSpec`. Leaves: `lower.translate` prints it as LLVM in one walk.

An op stands for much: a strip is a whole vector loop with its tail, a `loops.lane` a whole lane function (exp, tanh, ...), expanded
only as text. A kernel is 10 to 60 ops, since building one costs about 20 us.

Types are `index` (i64), `!loops.ptr`, and `!loops.lanes<"f32">`: sixteen lanes of a lane code. An *accumulator* is one lanes value,
or two: for argmax and argmin the best value and its index, for complex sums both parts (which one complex value joins).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IndexType, IntAttr, StringAttr, UnitAttr
from xdsl.ir import Dialect, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import IsolatedFromAbove, IsTerminator
from xdsl.utils.exceptions import VerifyException

LANES = 16
BLOCK = 4096
KINDS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")
LOADS, STORES = ("unit", "splat", "strided"), ("unit", "strided", "row")
CALCS = ("add", "sub", "mul", "min", "max", "cdiv")

INDEX = IndexType()


@irdl_attr_definition
class PtrType(ParametrizedAttribute, TypeAttribute):
    """A byte address."""

    name = "loops.ptr"


@irdl_attr_definition
class LanesType(ParametrizedAttribute, TypeAttribute):
    """Sixteen lanes of one lane code."""

    name = "loops.lanes"
    dtype: StringAttr


PTR = PtrType()


@cache
def lanes_type(dtype: str) -> LanesType:
    return LanesType(StringAttr(dtype))


@cache
def text_attr(value: str) -> StringAttr:
    return StringAttr(value)


@cache
def int_attr(value: int) -> IntAttr:
    return IntAttr(value)


def _require(holds: bool, number: str, message: str) -> None:
    if not holds:
        raise VerifyException(f"({number}) {message}")


def _one_of(op: str, value: StringAttr, allowed: Sequence[str]) -> None:
    _require(value.data in allowed, "L1", f"{op}: {value.data!r} is not one of {', '.join(allowed)}")


def _carries(op: str, inits: Sequence[SSAValue], results: Sequence[SSAValue], body_args: Sequence[SSAValue]) -> None:
    wanted = [v.type for v in inits]
    _require([v.type for v in results] == wanted, "L2", f"{op}: results and initial values differ in type")
    _require([v.type for v in body_args[1:]] == wanted, "L3", f"{op}: body arguments and initial values differ in type")
    _require(bool(body_args) and body_args[0].type == INDEX, "L4", f"{op}: the first body argument is not an index")


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a body, giving the carried values of the next turn."""

    name = "loops.yield"
    values = var_operand_def()
    traits = traits_def(IsTerminator())
    assembly_format = "($values^ `:` type($values))? attr-dict"


@irdl_op_definition
class KernelOp(IRDLOperation):
    """One function of the kernel ABI. The body runs once a work unit; its arguments are the unit and the words of `args`.

    `words` says what each word is, for readers: only its length (that of the body's arguments, less one) and the types matter.
    """

    name = "loops.kernel"
    sym_name = prop_def(StringAttr)
    tier = prop_def(StringAttr)
    words = prop_def(ArrayAttr[StringAttr])
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove())
    assembly_format = "$sym_name `tier` $tier `words` $words $body attr-dict"

    def verify_(self) -> None:
        args = self.body.block.args
        _require(len(args) == len(self.words) + 1, "L5", f"kernel: {len(args)} body arguments for {len(self.words)} words and the unit")
        _require(args[0].type == INDEX, "L4", "kernel: the first body argument is not an index")


@irdl_op_definition
class SplitOp(IRDLOperation):
    """Row-major indices of a flat index: one result more than `sizes`, the first unbounded."""

    name = "loops.split"
    flat = operand_def(INDEX)
    sizes = var_operand_def(INDEX)
    indices = var_result_def(INDEX)
    assembly_format = "$flat `by` `[` $sizes `]` attr-dict `->` type($indices)"

    def verify_(self) -> None:
        _require(len(self.indices) == len(self.sizes) + 1, "L6", "split: one index more than sizes is due")


@irdl_op_definition
class ChunkOp(IRDLOperation):
    """The range [number * chunk, min(size, (number + 1) * chunk))."""

    name = "loops.chunk"
    number = operand_def(INDEX)
    chunk = operand_def(INDEX)
    size = operand_def(INDEX)
    lo = result_def(INDEX)
    hi = result_def(INDEX)
    assembly_format = "$number `of` $chunk `in` $size attr-dict"


@irdl_op_definition
class CalcOp(IRDLOperation):
    """Index arithmetic: add, sub, mul, min, max, cdiv (division rounding up)."""

    name = "loops.calc"
    kind = prop_def(StringAttr)
    lhs = operand_def(INDEX)
    rhs = operand_def(INDEX)
    result = result_def(INDEX)
    assembly_format = "$kind $lhs `,` $rhs attr-dict"

    def verify_(self) -> None:
        _one_of("calc", self.kind, CALCS)


@irdl_op_definition
class ConstOp(IRDLOperation):
    """An index constant."""

    name = "loops.const"
    value = prop_def(IntAttr)
    result = result_def(INDEX)
    assembly_format = "$value attr-dict"


@irdl_op_definition
class AtOp(IRDLOperation):
    """The address of an element: base + bytes * sum(index * stride)."""

    name = "loops.at"
    base = operand_def(PTR)
    indices = var_operand_def(INDEX)
    strides = var_operand_def(INDEX)
    bytes = prop_def(IntAttr)
    result = result_def(PTR)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = "$base `[` $indices `]` `strides` `[` $strides `]` `bytes` $bytes attr-dict"

    def verify_(self) -> None:
        _require(len(self.indices) == len(self.strides), "L7", "at: as many indices as strides are due")


@irdl_op_definition
class ScratchOp(IRDLOperation):
    """An address in this thread's scratch memory."""

    name = "loops.scratch"
    offset = prop_def(IntAttr)
    result = result_def(PTR)
    assembly_format = "$offset attr-dict"


@irdl_op_definition
class ForOp(IRDLOperation):
    """A plain loop over [lo, hi); the body gets the index and the carried values."""

    name = "loops.for"
    lo = operand_def(INDEX)
    hi = operand_def(INDEX)
    inits = var_operand_def()
    outs = var_result_def()
    body = region_def("single_block")
    assembly_format = "$lo `to` $hi (`carry` `(` $inits^ `:` type($inits) `)` `->` type($outs))? $body attr-dict"

    def verify_(self) -> None:
        _carries("for", self.inits, self.outs, self.body.block.args)


@irdl_op_definition
class StripOp(IRDLOperation):
    """A loop over [lo, hi), sixteen lanes a turn; lane l of a turn at index i stands for element i + l.

    Lanes outside the range load zeros, store nothing, and leave carried values as they were. With `aligned`, turns
    start at multiples of 16 whatever `lo` is, so that a lane always sees indices congruent to its number.
    """

    name = "loops.strip"
    lo = operand_def(INDEX)
    hi = operand_def(INDEX)
    inits = var_operand_def()
    outs = var_result_def()
    unroll = prop_def(IntAttr)
    aligned = opt_prop_def(UnitAttr)
    body = region_def("single_block")
    assembly_format = (
        "$lo `to` $hi `unroll` $unroll (`aligned` $aligned^)? (`carry` `(` $inits^ `:` type($inits) `)` `->` type($outs))? $body attr-dict")

    def verify_(self) -> None:
        _carries("strip", self.inits, self.outs, self.body.block.args)


@irdl_op_definition
class LoadOp(IRDLOperation):
    """Sixteen elements: "unit" from base[index..], "strided" from base[(index + lane) * stride], "splat" base[index] in every lane
    (whatever the mask, so it may stand outside strips)."""

    name = "loops.load"
    access = prop_def(StringAttr)
    base = operand_def(PTR)
    index = operand_def(INDEX)
    stride = opt_operand_def(INDEX)
    result = result_def(LanesType)
    assembly_format = "$access $base `[` $index `]` (`stride` $stride^)? attr-dict `:` type($result)"

    def verify_(self) -> None:
        _one_of("load", self.access, LOADS)
        _require((self.access.data == "strided") == (self.stride is not None), "L8", "load: a stride is due for strided access only")


@irdl_op_definition
class StoreOp(IRDLOperation):
    """Stores as `loops.load` loads; "row" stores lane 0 alone."""

    name = "loops.store"
    access = prop_def(StringAttr)
    value = operand_def(LanesType)
    base = operand_def(PTR)
    index = operand_def(INDEX)
    stride = opt_operand_def(INDEX)
    assembly_format = "$access $value `,` $base `[` $index `]` (`stride` $stride^)? attr-dict `:` type($value)"

    def verify_(self) -> None:
        _one_of("store", self.access, STORES)
        _require((self.access.data == "strided") == (self.stride is not None), "L8", "store: a stride is due for strided access only")


@irdl_op_definition
class ScalarOp(IRDLOperation):
    """A run-time scalar in every lane: the word is an f64's bits for float and complex codes, else an i64."""

    name = "loops.scalar"
    word = operand_def(INDEX)
    result = result_def(LanesType)
    assembly_format = "$word attr-dict `:` type($result)"


@irdl_op_definition
class IotaOp(IRDLOperation):
    """The index as lanes: index + lane where `along` is "lanes", the same index in all where it is "rows"."""

    name = "loops.iota"
    along = prop_def(StringAttr)
    index = operand_def(INDEX)
    result = result_def(LanesType)
    assembly_format = "$along $index attr-dict `:` type($result)"

    def verify_(self) -> None:
        _one_of("iota", self.along, ("lanes", "rows"))


@irdl_op_definition
class LaneOp(IRDLOperation):
    """A lane function by its registered name, one rounding at the end to the result's lane code."""

    name = "loops.lane"
    fn = prop_def(StringAttr)
    attrs = prop_def(DictionaryAttr)
    args = var_operand_def(LanesType)
    result = result_def(LanesType)
    assembly_format = "$fn `with` $attrs `(` $args `:` type($args) `)` attr-dict `->` type($result)"


@irdl_op_definition
class IdentityOp(IRDLOperation):
    """The accumulator a reduction starts from."""

    name = "loops.identity"
    kind = prop_def(StringAttr)
    results_ = var_result_def(LanesType)
    assembly_format = "$kind attr-dict `:` type($results_)"

    def verify_(self) -> None:
        _one_of("identity", self.kind, KINDS)


@irdl_op_definition
class CombineOp(IRDLOperation):
    """acc (+) x, lane by lane: the accumulator first, then what joins it."""

    name = "loops.combine"
    kind = prop_def(StringAttr)
    accs = var_operand_def(LanesType)
    xs = var_operand_def(LanesType)
    results_ = var_result_def(LanesType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    assembly_format = "$kind $accs `with` $xs attr-dict `:` type($accs) `with` type($xs) `->` type($results_)"

    def verify_(self) -> None:
        _one_of("combine", self.kind, KINDS)
        wanted = 2 if self.kind.data.startswith("arg") else 1
        _require(wanted <= len(self.accs) == len(self.results_) <= 2, "L9", f"combine: {wanted} accumulators are due")
        _require(wanted <= len(self.xs) <= len(self.accs), "L9", "combine: as many values as accumulators are due")


@irdl_op_definition
class FoldOp(IRDLOperation):
    """The sixteen lanes of an accumulator folded by the tree (l with l + 8, + 4, + 2, + 1); the result in every lane."""

    name = "loops.fold"
    kind = prop_def(StringAttr)
    accs = var_operand_def(LanesType)
    results_ = var_result_def(LanesType)
    assembly_format = "$kind $accs attr-dict `:` type($accs) `->` type($results_)"

    def verify_(self) -> None:
        _one_of("fold", self.kind, KINDS)


@irdl_op_definition
class FoldRowsOp(IRDLOperation):
    """The same tree over sixteen accumulators in memory, `pitch` elements apart, for the sixteen columns from `index`.

    All sixteen columns are read, whatever the strip's range: a row of accumulators is a whole number of turns long.
    """

    name = "loops.fold_rows"
    kind = prop_def(StringAttr)
    pitch = prop_def(IntAttr)
    bases = var_operand_def(PTR)
    index = operand_def(INDEX)
    results_ = var_result_def(LanesType)
    assembly_format = "$kind $bases `[` $index `]` `pitch` $pitch attr-dict `:` type($results_)"

    def verify_(self) -> None:
        _one_of("fold_rows", self.kind, KINDS)
        _require(len(self.bases) == len(self.results_), "L9", "fold_rows: one address a value is due")


Loops = Dialect(
    "loops",
    [YieldOp, KernelOp, SplitOp, ChunkOp, CalcOp, ConstOp, AtOp, ScratchOp, ForOp, StripOp, LoadOp, StoreOp, ScalarOp, IotaOp, LaneOp,
     IdentityOp, CombineOp, FoldOp, FoldRowsOp],
    [PtrType, LanesType],
)
