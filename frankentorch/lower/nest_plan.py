"""What the templates share: a plan for one kernel, and a builder that writes `loops` ops by short calls.

Enters: a template's decisions. Leaves: a `Plan` (its structural key, its argument words, a function that builds the body) and from it
the `loops` module. Two plans with one key build the same module; sizes and strides are in the words alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b

from xdsl.dialects.builtin import ArrayAttr, DenseArrayBase, ModuleOp, UnitAttr, i32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from frankentorch.lower import loops
from frankentorch.lower.kernel import Ptr, Word
from frankentorch.lower.lanes import BITS
from frankentorch.lower.loops import INDEX, PTR, int_attr, lanes_type, text_attr
from frankentorch.lower.translate import COMPLEX_PART, encode_attrs

LANES, BLOCK = loops.LANES, loops.BLOCK


@dataclass(frozen=True, slots=True)
class Temp(Ptr):
    """The address of memory that only the kernels of one lowering use; its operand number follows those of the outputs.

    Temporaries need no initial value and may be freed after the last of the kernels. `nbytes` is the whole temporary's size.
    """

    nbytes: int = 0


def item_bytes(dtype: str) -> int:
    """Bytes of one element in memory."""
    part = COMPLEX_PART.get(dtype)
    return BITS[part] // 4 if part else max(BITS[dtype] // 8, 1)


@dataclass(slots=True)
class Plan:
    """One kernel to build: `words` are its arguments by name, in order; `build` writes the body."""

    template: str
    structure: object
    words: dict[str, Word]
    build: Callable[[Builder], None]
    units: int
    grain: int
    scratch: int = 0

    def key(self, tier: str) -> str:
        return repr((self.template, tier, self.structure, tuple(self.words)))

    def symbol(self, tier: str) -> str:
        return "k_" + blake2b(self.key(tier).encode(), digest_size=10).hexdigest()

    def module(self, tier: str) -> ModuleOp:
        builder = Builder(self.words)
        self.build(builder)
        builder.do(loops.YieldOp, [])
        return ModuleOp([loops.KernelOp.create(
            properties={"sym_name": text_attr(self.symbol(tier)), "tier": text_attr(tier),
                        "words": ArrayAttr([text_attr(name) for name in self.words])},
            regions=[Region(builder.block)])])


@dataclass(slots=True)
class Builder:
    """Writes ops at the end of the current block."""

    words: dict[str, Word]
    block: Block = field(init=False)
    _args: dict[str, SSAValue] = field(init=False)
    unit: SSAValue = field(init=False)

    def __post_init__(self) -> None:
        types = [PTR if isinstance(word, Ptr) else INDEX for word in self.words.values()]
        self.block = Block(arg_types=[INDEX, *types])
        self.unit = self.block.args[0]
        self._args = dict(zip(self.words, self.block.args[1:], strict=True))

    def word(self, name: str) -> SSAValue:
        return self._args[name]

    def do(self, kind: type[Operation], operands: Sequence[SSAValue], results: Sequence[Attribute] = (),
           properties: dict[str, Attribute] | None = None, regions: Sequence[Region] = ()) -> Sequence[SSAValue]:
        op = kind.create(operands=operands, result_types=results, properties=properties or {}, regions=regions)
        self.block.add_op(op)
        return op.results

    # Indices --------------------------------------------------------------------------------------------------
    def const(self, value: int) -> SSAValue:
        return self.do(loops.ConstOp, [], [INDEX], {"value": int_attr(value)})[0]

    def calc(self, kind: str, a: SSAValue, b: SSAValue) -> SSAValue:
        return self.do(loops.CalcOp, [a, b], [INDEX], {"kind": text_attr(kind)})[0]

    def split(self, flat: SSAValue, sizes: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """One index more than sizes."""
        return self.do(loops.SplitOp, [flat, *sizes], [INDEX] * (len(sizes) + 1)) if sizes else [flat]

    def chunk(self, number: SSAValue, chunk: SSAValue, size: SSAValue) -> tuple[SSAValue, SSAValue]:
        lo, hi = self.do(loops.ChunkOp, [number, chunk, size], [INDEX, INDEX])
        return lo, hi

    def at(self, base: SSAValue, indices: Sequence[SSAValue], strides: Sequence[SSAValue], bytes_: int) -> SSAValue:
        if not indices:
            return base
        properties = {"bytes": int_attr(bytes_), "operandSegmentSizes": _segments(1, len(indices), len(strides))}
        return self.do(loops.AtOp, [base, *indices, *strides], [PTR], properties)[0]

    def scratch(self, offset: int) -> SSAValue:
        return self.do(loops.ScratchOp, [], [PTR], {"offset": int_attr(offset)})[0]

    # Loops ----------------------------------------------------------------------------------------------------
    @contextmanager
    def _loop(self, kind: type[Operation], lo: SSAValue, hi: SSAValue, inits: Sequence[SSAValue],
              properties: dict[str, Attribute]) -> Iterator[Body]:
        types = [v.type for v in inits]
        outer, inner = self.block, Block(arg_types=[INDEX, *types])
        body = Body(inner.args[0], list(inner.args[1:]))
        self.block = inner
        yield body
        self.do(loops.YieldOp, body.nexts)
        self.block = outer
        body.outs = list(self.do(kind, [lo, hi, *inits], types, properties, [Region(inner)]))

    def for_(self, lo: SSAValue, hi: SSAValue, inits: Sequence[SSAValue] = ()):  # type: ignore[no-untyped-def]
        return self._loop(loops.ForOp, lo, hi, inits, {})

    def strip(self, lo: SSAValue, hi: SSAValue, unroll: int, inits: Sequence[SSAValue] = (), aligned: bool = False):  # type: ignore[no-untyped-def]
        properties: dict[str, Attribute] = {"unroll": int_attr(unroll)}
        if aligned:
            properties["aligned"] = UnitAttr()
        return self._loop(loops.StripOp, lo, hi, inits, properties)

    # Lanes ----------------------------------------------------------------------------------------------------
    def load(self, access: str, dtype: str, base: SSAValue, index: SSAValue, stride: SSAValue | None = None) -> SSAValue:
        operands = [base, index] if stride is None else [base, index, stride]
        return self.do(loops.LoadOp, operands, [lanes_type(dtype)], {"access": text_attr(access)})[0]

    def store(self, access: str, value: SSAValue, base: SSAValue, index: SSAValue, stride: SSAValue | None = None) -> None:
        operands = [value, base, index] if stride is None else [value, base, index, stride]
        self.do(loops.StoreOp, operands, [], {"access": text_attr(access)})

    def scalar(self, word: SSAValue, dtype: str) -> SSAValue:
        return self.do(loops.ScalarOp, [word], [lanes_type(dtype)])[0]

    def iota(self, along: str, index: SSAValue, dtype: str) -> SSAValue:
        return self.do(loops.IotaOp, [index], [lanes_type(dtype)], {"along": text_attr(along)})[0]

    def lane(self, fn: str, args: Sequence[SSAValue], dtype: str, attrs: Sequence[tuple[str, object]] = ()) -> SSAValue:
        properties: dict[str, Attribute] = {"fn": text_attr(fn), "attrs": encode_attrs(attrs)}
        return self.do(loops.LaneOp, args, [lanes_type(dtype)], properties)[0]

    # Reductions -----------------------------------------------------------------------------------------------
    def identity(self, kind: str, dtypes: Sequence[str]) -> Sequence[SSAValue]:
        return self.do(loops.IdentityOp, [], [lanes_type(t) for t in dtypes], {"kind": text_attr(kind)})

    def combine(self, kind: str, accs: Sequence[SSAValue], xs: Sequence[SSAValue]) -> Sequence[SSAValue]:
        properties = {"kind": text_attr(kind), "operandSegmentSizes": _segments(len(accs), len(xs))}
        return self.do(loops.CombineOp, [*accs, *xs], [a.type for a in accs], properties)

    def fold(self, kind: str, accs: Sequence[SSAValue]) -> Sequence[SSAValue]:
        return self.do(loops.FoldOp, accs, [a.type for a in accs], {"kind": text_attr(kind)})

    def fold_rows(self, kind: str, bases: Sequence[SSAValue], index: SSAValue, pitch: int, dtypes: Sequence[str]) -> Sequence[SSAValue]:
        return self.do(loops.FoldRowsOp, [*bases, index], [lanes_type(t) for t in dtypes],
                       {"kind": text_attr(kind), "pitch": int_attr(pitch)})


@dataclass(slots=True)
class Body:
    """An open loop: its index, its carried values, the values of the next turn, and afterwards the results."""

    index: SSAValue
    carried: list[SSAValue]
    nexts: Sequence[SSAValue] = ()
    outs: list[SSAValue] = field(default_factory=list)


def _segments(*sizes: int) -> Attribute:
    return DenseArrayBase.from_list(i32, list(sizes))
