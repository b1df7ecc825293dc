"""The pointwise template: any strides, any broadcasting, several outputs.

Enters: a `Canon` without reductions. Leaves: a `Plan`. A work unit is a chunk of the innermost axis, in a chunk of rows of the next one, at
one index of the others::

    loops.kernel
      split the unit into outer indices, row chunk, column chunk
      loops.for rows of the chunk
        loops.at                       one address a buffer
        loops.strip columns of the chunk
          loops.load, loops.lane ..., loops.store
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from frankentorch.lower.kernel import Word
from frankentorch.lower.nest_canon import Canon, reorder_kept
from frankentorch.lower.nest_plan import Builder, Plan, item_bytes
from frankentorch.lower.nest_values import Place, needed, step_cost, unroll_for
from frankentorch.lower.translate import LaneOf

UNIT = 4096
# Rows and columns of a tile when some buffer is strided along the columns: few enough lines to stay in the first cache, even where a
# power-of-two stride puts them all in few of its sets.
TILE = (128, 32)


def access_class(stride: int, size: int) -> str:
    """How an axis of a buffer is read by lanes."""
    return "unit" if stride == 1 else "splat" if stride == 0 or size == 1 else "strided"


def buffer_dtypes(canon: Canon) -> list[str]:
    return [o.dtype for o in canon.spec.operands] + [canon.spec.dtype_of(v) for v, _ in canon.spec.outputs]


def plan_pointwise(canon: Canon, lane_of: LaneOf, pointers: Sequence[Word]) -> Plan:
    """Plan a kernel without reductions."""
    if not canon.kept:
        canon.kept, canon.strides = [1], [None if s is None else (0,) for s in canon.strides]
    _neighbours_next(canon)
    sizes, dtypes = canon.kept, buffer_dtypes(canon)
    roots = [v for v, _ in canon.spec.outputs]
    used = needed(canon, roots, lambda v: False)
    buffers = [k for k, s in enumerate(canon.strides) if s is not None and (k >= canon.inputs or k in used)]
    strides = {k: canon.strides[k] or () for k in buffers}
    classes = {k: access_class(strides[k][-1], sizes[-1]) for k in buffers}
    for k in buffers:
        if k >= canon.inputs and classes[k] == "splat":
            classes[k] = "unit"
    words: dict[str, Word] = {f"p{k}": pointers[k] for k in buffers}
    words |= {f"scalar{v}": pointers[v] for v in used if v < canon.inputs and canon.spec.operands[v].is_scalar}
    rank = len(sizes)
    tiled = rank > 1 and any(c == "strided" for c in classes.values()) and sizes[-2] > 1
    column_chunk = TILE[1] if tiled else UNIT
    row_chunk = TILE[0] if tiled else max(1, UNIT // max(sizes[-1], 1))
    words["columns"], words["column_chunk"], words["column_chunks"] = sizes[-1], column_chunk, -(-sizes[-1] // column_chunk)
    units, per_unit = -(-sizes[-1] // column_chunk), min(sizes[-1], column_chunk)
    if rank > 1:
        words["rows"], words["row_chunk"], words["row_chunks"] = sizes[-2], row_chunk, -(-sizes[-2] // row_chunk)
        units, per_unit = units * -(-sizes[-2] // row_chunk), per_unit * min(row_chunk, sizes[-2])
    for axis, size in enumerate(sizes[:-2]):
        if axis:
            words[f"size{axis}"] = size
        units *= size
    for k in buffers:
        for axis in range(rank):
            if axis == rank - 1 and classes[k] == "strided" or axis < rank - 1 and strides[k][axis]:
                words[f"s{k}_{axis}"] = strides[k][axis]
    cost = sum(step_cost(lane_of, canon, v) for v in used)
    unroll = unroll_for(cost)

    steady = _steady(canon, used, classes, rank - 1)

    def build(b: Builder) -> None:
        _build(b, canon, classes, dtypes, rank, unroll, steady)

    structure = (steps_key(canon), tuple(classes.items()), tuple(dtypes), rank, unroll)
    grain = max(1, 32768 // max(1, per_unit * max(1, cost // 8)))
    return Plan("pointwise", structure, words, build, units, grain)


def steps_key(canon: Canon) -> tuple[object, ...]:
    """What the steps are, without their shapes."""
    return tuple((s.op, s.args, s.attrs if s.op != "iota" else canon.iota_axis[canon.inputs + k], s.dtype)
                 for k, s in enumerate(canon.spec.steps)) + tuple(v for v, _ in canon.spec.outputs)


def _neighbours_next(canon: Canon) -> None:
    """Where an operand is strided along the innermost axis, make the axis along which it is densest the next one: tiles reuse lines."""
    inner = len(canon.kept) - 1
    for strides in canon.strides:
        if strides is not None and inner > 1 and abs(strides[inner]) > 1:
            axis = min(range(inner), key=lambda a: abs(strides[a]) or 1 << 62)
            reorder_kept(canon, [a for a in range(inner) if a != axis] + [axis, inner])
            return


def _steady(canon: Canon, used: list[int], classes: dict[int, str], inner: int) -> list[int]:
    """The values that are the same along the innermost axis: they are written before its strip."""
    varying: set[int] = set()
    for v in used:
        step = canon.step(v)
        if step is None:
            varies = classes.get(v, "splat") != "splat"
        else:
            varies = canon.iota_axis.get(v) == inner or any(a in varying for a in step.args)
        if varies:
            varying.add(v)
    return [v for v in used if v not in varying]


def _build(b: Builder, canon: Canon, classes: dict[int, str], dtypes: list[str], rank: int, unroll: int, steady: list[int]) -> None:
    inner = rank - 1
    if rank == 1:
        outer: list[SSAValue] = []
        c = b.unit
    else:
        *outer, r, c = b.split(b.unit, [*(b.word(f"size{a}") for a in range(1, rank - 2)), b.word("row_chunks"), b.word("column_chunks")]
                               if rank > 2 else [b.word("column_chunks")])
    lo, hi = b.chunk(c, b.word("column_chunk"), b.word("columns"))

    def columns(indices: list[SSAValue]) -> None:
        bases = {}
        for k in classes:
            axes = [a for a in range(inner) if f"s{k}_{a}" in b.words]
            bases[k] = b.at(b.word(f"p{k}"), [indices[a] for a in axes], [b.word(f"s{k}_{a}") for a in axes], item_bytes(dtypes[k]))
        outside = Place(b, canon, lambda k: b.load("splat", dtypes[k], bases[k], b.const(0)),
                        lambda axis, ty: b.lane("full", [], ty, [("value", 0)]) if axis is None else b.iota("rows", indices[axis], ty))
        for v in steady:
            outside.value(v)
        with b.strip(lo, hi, unroll) as strip:
            place = Place(b, canon, lambda k: b.load(classes[k], dtypes[k], bases[k], strip.index, _stride(b, classes, k, inner)),
                          lambda axis, ty: b.iota("lanes", strip.index, ty) if axis == inner else outside.index(axis, ty), outside)
            values = [place.value(v) for v, _ in canon.spec.outputs]
            for j, value in enumerate(values):
                k = canon.inputs + j
                b.store(classes[k], value, bases[k], strip.index, _stride(b, classes, k, inner))

    if rank == 1:
        columns([])
        return
    first, last = b.chunk(r, b.word("row_chunk"), b.word("rows"))
    with b.for_(first, last) as row:
        columns([*outer, row.index])


def _stride(b: Builder, classes: dict[int, str], k: int, axis: int) -> SSAValue | None:
    return b.word(f"s{k}_{axis}") if classes[k] == "strided" else None
