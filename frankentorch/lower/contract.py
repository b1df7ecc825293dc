"""Matrix products: batched, strided, of any size, as one kernel text per dtype and layout class.

Enters: a dtype, sizes and strides (in elements), a CPU tier, an optional epilogue. Leaves: `Lowered` kernels.

The arithmetic is docs/contract.md, "Contraction": fma chains over chunks of 384 k, chunk sums folded left to right in
groups of 32, groups left to right, then the epilogue, then one rounding to the stored type.

The text knows the dtype, the unit-stride axes of A and B, the tier and the epilogue; all sizes are argument words. A work
unit is a block of one matrix of C. A unit walks chunks of k, then panels of A rows (packed to L1), then panels of B
columns (packed to L2, or read in place when the matrix is small), keeping chunk sums of its block in scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from frankentorch.lower import contract_skinny
from frankentorch.lower.contract_micro import (
    CHUNK,
    GROUP,
    PANEL,
    ROW_PITCH,
    Machine,
    Routine,
    arith,
    machine,
    micro,
    minimum,
    offset,
    size_of,
    store,
    word,
)
from frankentorch.lower.contract_pack import pack_a, pack_b
from frankentorch.lower.contract_tile import Epilogue, Held, assemble, call_micro, finish, fold_groups, tile_height
from frankentorch.lower.kernel import Lowered, Ptr, Word
from frankentorch.lower.llvmtext import Function

BATCH_DIMS = 3
# Words of the kernel; strides are in bytes.
(A, B, C, M, N, K, A_M, A_K, B_K, B_N, C_M, C_N, SIZES, A_BATCH, B_BATCH, C_BATCH, M_BLOCK, N_BLOCK, M_BLOCKS, N_BLOCKS, PACK, CHUNKS,
 SLOT_ROW, SLOT_COL, B_AT, SLOTS_AT, TOTALS_AT, EPILOGUE) = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 18, 21, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35)
EPILOGUE_WORDS = 3 + BATCH_DIMS
_BASES_AT, _A_AT = 64, 512  # scratch: the segment table, the epilogue's base addresses, the A panel, then B, slots and totals


@dataclass(frozen=True, slots=True)
class Problem:
    """One product after its batch is normalised: strides of A are (*batch, m, k), of B (*batch, k, n), of C (*batch, m, n)."""

    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    a: tuple[int, ...]
    b: tuple[int, ...]
    c: tuple[int, ...]
    extra: tuple[tuple[int, ...], ...] = ()

    def transposed(self) -> Problem:
        """The same product as C^T = B^T A^T: every chain is the same chain."""
        def flip(s: tuple[int, ...]) -> tuple[int, ...]:
            return (*s[:-2], s[-1], s[-2])

        return Problem(self.batch, self.n, self.m, self.k, flip(self.b), flip(self.a), flip(self.c), tuple(map(flip, self.extra)))


def lower_matmul(dtype: str, batch: Sequence[int], m: int, n: int, k: int, a_strides: Sequence[int], b_strides: Sequence[int],
                 c_strides: Sequence[int], *, tier: str, out_dtype: str | None = None, epilogue: Epilogue | None = None,
                 a: Word = Ptr(0), b: Word = Ptr(1), c: Word = Ptr(2), threads: int = 2) -> list[Lowered]:
    """C[batch, m, n] = A[batch, m, k] B[batch, k, n].

    dtype: the lane type of A and B (f32 f64 bf16 f16 i8..i64 u8..u64); `out_dtype` that of C. Strides are in elements, (*batch, row,
    column) of each matrix, 0 where a batch axis is broadcast; any value is valid, C's must not overlap. `threads` is a hint for the
    number of work units and cannot change a bit. Returns nothing to run when C is empty.
    """
    extra = tuple(o.strides for o in epilogue.operands) if epilogue else ()
    p = Problem(tuple(batch), m, n, k, tuple(a_strides), tuple(b_strides), tuple(c_strides), extra)
    if 0 in (m, n, *p.batch):
        return []
    p = _normalise(p)
    calls = []
    for index in _outer_indices(p.batch[:-BATCH_DIMS]):
        inner = Problem(p.batch[-BATCH_DIMS:], p.m, p.n, p.k, p.a[-BATCH_DIMS - 2:], p.b[-BATCH_DIMS - 2:], p.c[-BATCH_DIMS - 2:],
                        tuple(s[-BATCH_DIMS - 2:] for s in p.extra))
        shift = [sum(i * s for i, s in zip(index, strides, strict=False)) for strides in (p.a, p.b, p.c, *p.extra)]
        words = [a, b, c, *(o.word for o in epilogue.operands)] if epilogue else [a, b, c]
        types = [dtype, dtype, out_dtype or dtype, *((o.dtype for o in epilogue.operands) if epilogue else ())]
        moved = [_advance(w, s * size_of(t)) for w, s, t in zip(words, shift, types, strict=True)]
        swapped = _prefers_transposed(inner)
        if swapped:
            inner, moved[:2] = inner.transposed(), [moved[1], moved[0]]
        calls.append(_lower_one(dtype, out_dtype or dtype, inner, moved, tier, epilogue, threads))
    return calls


def _advance(w: Word, by: int) -> Word:
    if by == 0:
        return w
    if not isinstance(w, Ptr):
        raise TypeError("an operand of a product with many batch axes must be a Ptr")
    return Ptr(w.operand, w.byte_offset + by)


def _outer_indices(sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    out: list[tuple[int, ...]] = [()]
    for s in sizes:
        out = [(*index, i) for index in out for i in range(s)]
    return out


def _normalise(p: Problem) -> Problem:
    """Drop batch axes of size 1, fold an axis that only A and C have into the rows, merge neighbours, pad to BATCH_DIMS."""
    batch = list(p.batch)
    all_ = [list(s) for s in (p.a, p.b, p.c, *p.extra)]
    m = p.m
    for i in reversed(range(len(batch))):
        if batch[i] == 1:
            del batch[i]
            for s in all_:
                del s[i]
    while batch and all_[1][-3] == 0 and all(s[-3] == m * s[-2] or m == 1 for j, s in enumerate(all_) if j != 1):
        for j, s in enumerate(all_):
            if m == 1 and j != 1:
                s[-2] = s[-3]
            del s[-3]
        m *= batch.pop()
    i = len(batch) - 1
    while i > 0:
        if all(s[i - 1] == batch[i] * s[i] for s in all_):
            batch[i - 1:i + 1] = [batch[i - 1] * batch[i]]
            for s in all_:
                del s[i - 1]
        i -= 1
    pad = max(0, BATCH_DIMS - len(batch))
    batch = [1] * pad + batch
    a, b, c, *extra = (tuple([0] * pad + s) for s in all_)
    return Problem(tuple(batch), m, p.n, p.k, a, b, c, tuple(extra))


def _prefers_transposed(p: Problem) -> bool:
    if p.n == 1 or (p.n <= 4 and p.m >= 4 * p.n):
        return p.m > 1
    if p.m <= contract_skinny.MAX_ROWS and p.n > p.m:
        return False
    return p.c[-2] == 1 and p.c[-1] != 1


def _class(unit: int, size: int, other: int, other_size: int, names: str) -> str:
    """Which of two axes has stride 1; an axis of size 1 is as good as unit-stride where the other is not."""
    if unit == 1:
        return names[0]
    if other == 1:
        return names[1]
    if size == 1:
        return names[0]
    return names[1] if other_size == 1 else "g"


def blocks_of(size: int, step: int, most: int) -> tuple[int, int]:
    """Blocks of at most `most` (a multiple of `step`) which share `size` evenly: (block, count)."""
    count = -(-size // most)
    share = -(-size // count)
    block = -(-share // step) * step
    return block, -(-size // block)


def _machine(dtype: str, tier: str, path: str, b_class: str) -> Machine:
    """The tile of a path: "block", "narrow" (at most one vector of columns) or "rowsN" (at most N rows)."""
    if path.startswith("rows"):
        return contract_skinny.tile(dtype, tier, int(path[4:]), b_class)
    whole = machine(dtype, tier)
    return replace(whole, vectors=1, rows={"avx512": (16, 4), "avx2": (12, 4)}.get(tier, whole.rows)) if path == "narrow" else whole


def blocks_for(mach: Machine, matrices: int, m: int, n: int, k: int, threads: int) -> tuple[int, int, int, int]:
    """Block sizes and counts: blocks as large as the caches like, then halved until the threads have enough to share."""
    narrow = 2 if mach.size == 8 else 1
    wanted = min(2 * threads, matrices * m * n * max(k, 1) // 1_000_000)
    most_m, most_n = 528 // mach.rows[0] * mach.rows[0], 512 // narrow
    while True:
        m_block, m_blocks = blocks_of(m, mach.rows[0], most_m)
        n_block, n_blocks = blocks_of(n, mach.columns, most_n)
        if matrices * m_blocks * n_blocks >= wanted:
            break
        # Cut the rows unless that would leave too few of them to pay for packing B again.
        if m_block >= 16 * mach.rows[0]:
            most_m = max(m_block // 2 // mach.rows[0], 1) * mach.rows[0]
        elif n_block >= 2 * mach.columns:
            most_n = max(n_block // 2 // mach.columns, 1) * mach.columns
        else:
            break
    return m_block, m_blocks, n_block, n_blocks


def _lower_one(dtype: str, out_dtype: str, p: Problem, words: list[Word], tier: str, epilogue: Epilogue | None, threads: int) -> Lowered:
    a_class = _class(p.a[-1], p.k, p.a[-2], p.m, "km")
    b_class = _class(p.b[-1], p.n, p.b[-2], p.k, "nk")
    skinny = contract_skinny.height(p.m) if p.n >= 16 and b_class != "g" else 0
    if skinny and a_class == "m":
        a_class = "g"
    path = f"rows{skinny}" if skinny else "narrow" if p.n <= machine(dtype, tier).lanes else "block"
    mach = _machine(dtype, tier, path, b_class)
    tile_m, tile_n = mach.rows[0], mach.columns
    matrices = p.batch[0] * p.batch[1] * p.batch[2]
    if skinny:
        m_block, m_blocks = tile_m, 1
        n_block, n_blocks = blocks_of(p.n, tile_n, max(tile_n, (64 if b_class == "k" else 384) // tile_n * tile_n))
    else:
        m_block, m_blocks, n_block, n_blocks = blocks_for(mach, matrices, p.m, p.n, p.k, threads)
    chunks = max(1, -(-p.k // CHUNK))
    native = b_class == "n" and mach.compute == dtype
    small = p.m <= 2 * tile_m or (p.n * p.k <= 8192 and p.b[-2] * mach.size % 4096 != 0)
    in_place = native or b_class == "k" if skinny else native and small
    a_bytes = max(tile_m * ROW_PITCH, (CHUNK + 8) * mach.k_pitch) * mach.size
    b_bytes = n_block * PANEL * mach.size
    block_bytes = m_block * n_block * mach.size if chunks > 1 else tile_m * tile_n * mach.size
    b_at = _align(_A_AT + a_bytes)
    slots_at = _align(b_at + b_bytes)
    totals_at = _align(slots_at + block_bytes)
    scratch = totals_at + (block_bytes if chunks > GROUP else 0)
    slot_row, slot_col = (n_block * tile_m * mach.size, tile_m * tile_n * mach.size) if chunks > 1 else (0, 0)
    size, out_size = size_of(dtype), size_of(out_dtype)
    args: list[Word] = [words[0], words[1], words[2], p.m, p.n, p.k, p.a[-2] * size, p.a[-1] * size, p.b[-2] * size, p.b[-1] * size,
                        p.c[-2] * out_size, p.c[-1] * out_size, *p.batch, *(s * size for s in p.a[:-2]), *(s * size for s in p.b[:-2]),
                        *(s * out_size for s in p.c[:-2]), m_block, n_block, m_blocks, n_blocks, 0 if in_place else 1, chunks,
                        slot_row, slot_col, b_at, slots_at, totals_at]
    for w, o, strides in zip(words[3:], epilogue.operands if epilogue else (), p.extra, strict=True):
        args += [w, *(s * size_of(o.dtype) for s in (*strides[-2:], *strides[:-2]))]
    text, symbol = _text(dtype, out_dtype, a_class, b_class, tier, path, epilogue.key if epilogue else "", Held(epilogue))
    units = matrices * m_blocks * n_blocks
    work = max(1, m_block * n_block * p.k)
    return Lowered(text, symbol, args, units, max(1, 200_000 // work), scratch)


def _align(x: int) -> int:
    return -(-x // 64) * 64


@lru_cache(maxsize=256)
def _text(dtype: str, out_dtype: str, a_class: str, b_class: str, tier: str, path: str, key: str, hold: Held) -> tuple[str, str]:
    """The module of one specialisation, and its symbol."""
    mach = _machine(dtype, tier, path, b_class)
    symbol = "_".join(["matmul", dtype, out_dtype, a_class + b_class, path, tier.replace(".", ""), *([key] if key else [])])
    k_major = a_class == "m"
    fused = path.startswith("rows") and b_class == "k"
    parts: list[Function] = [pack_a(mach, dtype, a_class), pack_b(mach, dtype, b_class), *(micro(mach, r, k_major) for r in mach.rows),
                             finish(mach, out_dtype, hold.epilogue),
                             _driver(symbol, mach, k_major, "fused" if fused else "", hold.epilogue)]
    if fused:
        parts.append(contract_skinny.fused(mach, dtype))
    return assemble(parts), symbol


def _batch_offset(f: Function, first: int, index: list[str]) -> str:
    total = "0"
    for i, b in enumerate(index):
        total = arith(f, "add", total, arith(f, "mul", b, word(f, "%args", first + i)))
    return total


def _driver(symbol: str, m: Machine, k_major: bool, direct_micro: str, epilogue: Epilogue | None) -> Function:
    f = Routine(symbol, [("ptr", "args"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")], linkage="", quick=True)
    w = {i: word(f, "%args", i) for i in (M, N, K, A_M, A_K, B_K, B_N, C_M, C_N, M_BLOCK, N_BLOCK, M_BLOCKS, N_BLOCKS, PACK, CHUNKS,
                                          SLOT_ROW, SLOT_COL, B_AT, SLOTS_AT, TOTALS_AT)}
    a, b, c = (word(f, "%args", i, "ptr") for i in (A, B, C))
    s1, s2 = word(f, "%args", SIZES + 1), word(f, "%args", SIZES + 2)
    panel_a, panels_b = offset(f, "%scratch", str(_A_AT), 1), offset(f, "%scratch", w[B_AT], 1)
    slots, totals = offset(f, "%scratch", w[SLOTS_AT], 1), offset(f, "%scratch", w[TOTALS_AT], 1)
    bases = offset(f, "%scratch", str(_BASES_AT), 1)
    one_chunk = f.op(f"icmp eq i64 {w[CHUNKS]}, 1")
    with f.loop("%lo", "%hi", carried=[("ptr", "null")]) as u:
        ib, rest = arith(f, "urem", u.iv, w[M_BLOCKS]), arith(f, "udiv", u.iv, w[M_BLOCKS])
        jb, rest = arith(f, "urem", rest, w[N_BLOCKS]), arith(f, "udiv", rest, w[N_BLOCKS])
        b2, rest = arith(f, "urem", rest, s2), arith(f, "udiv", rest, s2)
        index = [arith(f, "udiv", rest, s1), arith(f, "urem", rest, s1), b2]
        m0, n0 = arith(f, "mul", ib, w[M_BLOCK]), arith(f, "mul", jb, w[N_BLOCK])
        rows = minimum(f, arith(f, "sub", w[M], m0), w[M_BLOCK])
        cols = minimum(f, arith(f, "sub", w[N], n0), w[N_BLOCK])
        a_block = offset(f, offset(f, a, _batch_offset(f, A_BATCH, index), 1), arith(f, "mul", m0, w[A_M]), 1)
        b_block = offset(f, offset(f, b, _batch_offset(f, B_BATCH, index), 1), arith(f, "mul", n0, w[B_N]), 1)
        c_block = offset(f, offset(f, c, _batch_offset(f, C_BATCH, index), 1), arith(f, "mul", m0, w[C_M]), 1)
        c_block = offset(f, c_block, arith(f, "mul", n0, w[C_N]), 1)
        for t in range(len(epilogue.operands) if epilogue else 0):
            first = EPILOGUE + t * EPILOGUE_WORDS
            store(f, "ptr", offset(f, word(f, "%args", first, "ptr"), _batch_offset(f, first + 3, index), 1), offset(f, bases, str(3 * t), 8), 8)
            for n in (1, 2):
                store(f, "i64", word(f, "%args", first + n), offset(f, bases, str(3 * t + n), 8), 8)
        known = f.op(f"and i1 {one_chunk}, {f.op(f'icmp eq ptr {b_block}, {u.vars[0]}')}")
        whole_cols = arith(f, "mul", arith(f, "udiv", cols, m.columns), m.columns)
        packing = f.op(f"icmp ne i64 {w[PACK]}, 0")
        unpacked_cols = f.op(f"select i1 {packing}, i64 0, i64 {whole_cols}")
        pack_from = f.op(f"select i1 {known}, i64 {cols}, i64 {unpacked_cols}")
        with f.loop("0", w[CHUNKS]) as p:
            k0 = arith(f, "mul", p.iv, CHUNK)
            kc = minimum(f, arith(f, "sub", w[K], k0), str(CHUNK))
            store(f, "i64", "0", "%scratch", 8)
            store(f, "i64", kc, offset(f, "%scratch", "1", 8), 8)
            b_chunk = offset(f, b_block, arith(f, "mul", k0, w[B_K]), 1)
            f.do(f"call void @pack_b(ptr {offset(f, b_chunk, arith(f, 'mul', pack_from, w[B_N]), 1)}, i64 {w[B_K]}, i64 {w[B_N]}, "
                 f"i64 {arith(f, 'sub', cols, pack_from)}, i64 {kc}, ptr {offset(f, panels_b, pack_from, PANEL * m.size)})")
            a_chunk = offset(f, a_block, arith(f, "mul", k0, w[A_K]), 1)
            last = f.op(f"icmp eq i64 {arith(f, 'add', p.iv, 1)}, {w[CHUNKS]}")
            in_group = arith(f, "urem", p.iv, GROUP)
            add = f.op(f"icmp ne i64 {in_group}, 0")
            group_end = f.op(f"or i1 {last}, {f.op(f'icmp eq i64 {in_group}, {GROUP - 1}')}")
            later_group = f.op(f"icmp sge i64 {p.iv}, {GROUP}")
            with f.loop("0", rows, m.rows[0]) as i:
                have_rows = minimum(f, arith(f, "sub", rows, i.iv), str(m.rows[0]))
                height = tile_height(f, m, have_rows)
                f.do(f"call void @pack_a(ptr {offset(f, a_chunk, arith(f, 'mul', i.iv, w[A_M]), 1)}, i64 {w[A_M]}, i64 {w[A_K]}, "
                     f"i64 {have_rows}, i64 {height}, i64 {kc}, ptr {panel_a})")
                row_at = arith(f, "mul", arith(f, "udiv", i.iv, m.rows[0]), w[SLOT_ROW])
                with f.loop("0", cols, m.columns) as j:
                    have = minimum(f, arith(f, "sub", cols, j.iv), str(m.columns))
                    direct = f.op(f"icmp slt i64 {j.iv}, {unpacked_cols}")
                    there, here = offset(f, b_chunk, arith(f, "mul", j.iv, w[B_N]), 1), offset(f, panels_b, j.iv, PANEL * m.size)
                    b_at = f.op(f"select i1 {direct}, ptr {there}, ptr {here}")
                    ldb = f.op(f"select i1 {direct}, i64 {w[B_K]}, i64 {m.columns * m.size}")
                    at = arith(f, "add", row_at, arith(f, "mul", arith(f, "udiv", j.iv, m.columns), w[SLOT_COL]))
                    slot, total = offset(f, slots, at, 1), offset(f, totals, at, 1)
                    if direct_micro:
                        with f.when(direct):
                            f.do(f"call void @{direct_micro}(ptr {panel_a}, ptr {there}, i64 {w[B_N]}, ptr %scratch, i64 1, "
                                 f"ptr {slot}, i1 {add})")
                        with f.when(f.op(f"xor i1 {direct}, true")):
                            call_micro(f, m, k_major, height, panel_a, b_at, ldb, "%scratch", "1", slot, add)
                    else:
                        call_micro(f, m, k_major, height, panel_a, b_at, ldb, "%scratch", "1", slot, add)
                    with f.when(group_end):
                        fold_groups(f, m, slot, total, later_group, last)
                        with f.when(last):
                            to = offset(f, offset(f, c_block, arith(f, "mul", i.iv, w[C_M]), 1), arith(f, "mul", j.iv, w[C_N]), 1)
                            f.do(f"call void @finish(ptr {slot}, i64 {have_rows}, i64 {have}, ptr {to}, i64 {w[C_M]}, i64 {w[C_N]}, "
                                 f"ptr {bases}, i64 {arith(f, 'add', m0, i.iv)}, i64 {arith(f, 'add', n0, j.iv)})")
        u.next([b_block])
    return f
