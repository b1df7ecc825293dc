"""The kernel of forward convolutions and input gradients: products whose rows are gathered pixels.

Enters: a dtype, layout classes, a tier, an epilogue; at run time, words that describe the geometry. Leaves: LLVM text.

A *class* of output coordinates along one axis is a progression whose members see the same kernel taps; a *region* is one
class an axis. Inside a region every pixel has the same taps, so a tile of pixels is an ordinary matrix product over
the k of those taps; taps that fall on padding do not exist. Positions of k, and so the bounds of chunks, count all taps.

A work unit is a run of pixels of one region of one image, times a block of output channels whose weights are packed once.
"""

from __future__ import annotations

from frankentorch.lower.contract_micro import (
    CHUNK,
    GROUP,
    PANEL,
    ROW_PITCH,
    Machine,
    Routine,
    arith,
    maximum,
    micro,
    minimum,
    offset,
    store,
    word,
)
from frankentorch.lower.contract_pack import pack_a, pack_b
from frankentorch.lower.contract_tile import Epilogue, call_micro, finish, fold_groups, tile_height
from frankentorch.lower.llvmtext import Function

# Words; strides are in bytes. Triples are (d, h, w).
(SRC, WEIGHT, OUT, C, N, IMAGES, SRC_IMAGE, SRC_GROUP, SRC_C, W_GROUP, W_N, W_C, W_TAPS, OUT_IMAGE, OUT_GROUP, OUT_N, KERNEL, CHUNKS,
 N_BLOCK, N_BLOCKS, PER_IMAGE, PIXELS, REGIONS, CLASSES, CLASS_AT, PREFIX_AT, TABLES_AT, B_AT, SLOTS_AT, TOTALS_AT, OUT_CHANNELS,
 EPILOGUE) = (*range(12), 12, 15, 16, 17, 18, 21, 22, 23, 24, 25, 26, 27, 30, 33, 34, 35, 36, 37, 38, 39)
EPILOGUE_WORDS = 2
# A class record: out offset, out step, count, first tap, tap step, taps, source offset of the first tap, source step a tap, a pixel.
CLASS_WORDS = 9
_BASES, _ROWS, _RUNS, A_PANEL = 64, 256, 512, 1024  # fixed places in scratch
CHUNK_WORDS, PIECE_WORDS, SEGMENT_WORDS = 4, 3, 2  # records of the tables in scratch


def table_bytes(taps: int, chunks: int) -> int:
    """Scratch for the tables of one region: chunks, then pieces, then segments."""
    pieces = taps + chunks
    return 8 * (chunks * CHUNK_WORDS + pieces * (PIECE_WORDS + SEGMENT_WORDS))


def routines(symbol: str, m: Machine, dtype: str, src_class: str, w_class: str, epilogue: Epilogue | None) -> list[Function]:
    """The functions of one module. `src_class` is the unit-stride axis of the source: "k" channels, "m" pixels, "g" neither;
    `w_class` that of the weights: "n" output channels, "k" reduced channels, "g"."""
    k_major = src_class == "m"
    return [pack_a(m, dtype, src_class, exact=True), pack_b(m, dtype, w_class), *(micro(m, r, k_major) for r in m.rows),
            finish(m, dtype, epilogue, from_table=True), _tables(), _weights(m), _rows(m), _gather(m, k_major),
            _driver(symbol, m, k_major, epilogue)]


def _dot(f: Function, pairs: list[tuple[str, str]]) -> str:
    total = "0"
    for a, b in pairs:
        total = arith(f, "add", total, arith(f, "mul", a, b))
    return total


def _tables() -> Function:
    """``tables(args, d, h, w, tables)``: from three class records, the chunks, pieces and segments of a region.

    A piece is the part of a tap (or of adjacent taps) that lies in one chunk: (position in the chunk, length, source
    offset); a segment is a run of adjacent pieces, as micro-kernels want them. A chunk record bounds its pieces and its segments.
    """
    f = Routine("tables", [("ptr", "args"), ("ptr", "d"), ("ptr", "h"), ("ptr", "w"), ("ptr", "tables")], quick=True)
    chunks, channels = word(f, "%args", CHUNKS), word(f, "%args", C)
    taps = arith(f, "mul", arith(f, "mul", word(f, "%args", KERNEL), word(f, "%args", KERNEL + 1)), word(f, "%args", KERNEL + 2))
    pieces = offset(f, "%tables", chunks, 8 * CHUNK_WORDS)
    segments = offset(f, pieces, arith(f, "add", taps, chunks), 8 * PIECE_WORDS)
    with f.loop("0", arith(f, "mul", chunks, CHUNK_WORDS)) as i:
        store(f, "i64", "0", offset(f, "%tables", i.iv, 8), 8)
    axes = [{name: word(f, record, i) for name, i in (("first", 3), ("step", 4), ("count", 5), ("src", 6), ("src_step", 7))}
            for record in ("%d", "%h", "%w")]
    c_step = word(f, "%args", SRC_C)

    def along(axis: int, carried: list[str], tap: str, src: str) -> list[str]:
        if axis == 3:
            return piece(carried, tap, src)
        a = axes[axis]
        with f.loop("0", a["count"], carried=[("i64", x) for x in carried]) as t:
            here = arith(f, "add", a["first"], arith(f, "mul", t.iv, a["step"]))
            index = arith(f, "add", arith(f, "mul", tap, word(f, "%args", KERNEL + axis)), here)
            place = arith(f, "add", src, arith(f, "add", a["src"], arith(f, "mul", t.iv, a["src_step"])))
            t.next(along(axis + 1, t.vars, index, place))
        return t.results

    def piece(carried: list[str], tap: str, src: str) -> list[str]:
        start = arith(f, "mul", tap, channels)
        end = arith(f, "add", start, channels)
        first, past = arith(f, "udiv", start, CHUNK), arith(f, "udiv", arith(f, "add", end, CHUNK - 1), CHUNK)
        with f.loop(first, past, carried=[("i64", x) for x in carried]) as p:
            n_pieces, n_segments = p.vars
            edge = arith(f, "mul", p.iv, CHUNK)
            lo, hi = maximum(f, start, edge), minimum(f, end, arith(f, "add", edge, CHUNK))
            position, length = arith(f, "sub", lo, edge), arith(f, "sub", hi, lo)
            place = arith(f, "add", src, arith(f, "mul", arith(f, "sub", lo, start), c_step))
            chunk = offset(f, "%tables", p.iv, 8 * CHUNK_WORDS)
            fresh = f.op(f"icmp eq i64 {word(f, chunk, 1)}, 0")
            with f.when(fresh):
                store(f, "i64", n_pieces, chunk, 8)
                store(f, "i64", n_segments, offset(f, chunk, "2", 8), 8)
            mine = f.op(f"xor i1 {fresh}, true")
            # Taps which follow each other in memory, as along w with channels last, are one piece.
            older = offset(f, pieces, f.op(f"select i1 {fresh}, i64 0, i64 {arith(f, 'sub', n_pieces, 1)}"), 8 * PIECE_WORDS)
            first_k, had, first_src = (word(f, older, i) for i in range(3))
            reached = arith(f, "add", first_k, had)
            adjacent = f.op(f"icmp eq i64 {arith(f, 'add', first_src, arith(f, 'mul', had, c_step))}, {place}")
            adjacent = f.op(f"and i1 {adjacent}, {f.op(f'icmp eq i64 {reached}, {position}')}")
            extends = f.op(f"and i1 {adjacent}, {mine}")
            record = f.op(f"select i1 {extends}, ptr {older}, ptr {offset(f, pieces, n_pieces, 8 * PIECE_WORDS)}")
            for i, (kept, value) in enumerate(((first_k, position), (arith(f, "add", had, length), length), (first_src, place))):
                store(f, "i64", f.op(f"select i1 {extends}, i64 {kept}, i64 {value}"), offset(f, record, str(i), 8), 8)
            before = offset(f, segments, f.op(f"select i1 {fresh}, i64 0, i64 {arith(f, 'sub', n_segments, 1)}"), 8 * SEGMENT_WORDS)
            old, old_length = word(f, before, 0), word(f, before, 1)
            meets = f.op(f"icmp eq i64 {arith(f, 'add', old, old_length)}, {position}")
            joins = f.op(f"and i1 {meets}, {mine}")
            to = f.op(f"select i1 {joins}, ptr {before}, ptr {offset(f, segments, n_segments, 8 * SEGMENT_WORDS)}")
            store(f, "i64", f.op(f"select i1 {joins}, i64 {old}, i64 {position}"), to, 8)
            store(f, "i64", f.op(f"select i1 {joins}, i64 {arith(f, 'add', old_length, length)}, i64 {length}"), offset(f, to, "1", 8), 8)
            n_pieces = arith(f, "add", n_pieces, f.op(f"select i1 {extends}, i64 0, i64 1"))
            n_segments = arith(f, "add", n_segments, f.op(f"select i1 {joins}, i64 0, i64 1"))
            store(f, "i64", n_pieces, offset(f, chunk, "1", 8), 8)
            store(f, "i64", n_segments, offset(f, chunk, "3", 8), 8)
            p.next([n_pieces, n_segments])
        return p.results

    along(0, ["0", "0"], "0", "0")
    return f


def _weights(m: Machine) -> Function:
    """``weights(args, w, cols, b)``: pack all taps of a block of output channels as ``[chunk][panel][PANEL][columns]``."""
    f = Routine("weights", [("ptr", "args"), ("ptr", "w"), ("i64", "cols"), ("ptr", "b")], quick=True)
    channels, c_step, n_step = word(f, "%args", C), word(f, "%args", W_C), word(f, "%args", W_N)
    pitch = arith(f, "mul", word(f, "%args", N_BLOCK), PANEL * m.size)
    sizes, steps = [word(f, "%args", KERNEL + i) for i in range(3)], [word(f, "%args", W_TAPS + i) for i in range(3)]
    with f.loop("0", sizes[0]) as d, f.loop("0", sizes[1]) as h, f.loop("0", sizes[2]) as w:
        tap = arith(f, "add", arith(f, "mul", arith(f, "add", arith(f, "mul", d.iv, sizes[1]), h.iv), sizes[2]), w.iv)
        src = offset(f, "%w", _dot(f, list(zip((d.iv, h.iv, w.iv), steps, strict=True))), 1)
        start = arith(f, "mul", tap, channels)
        end = arith(f, "add", start, channels)
        with f.loop(arith(f, "udiv", start, CHUNK), arith(f, "udiv", arith(f, "add", end, CHUNK - 1), CHUNK)) as p:
            edge = arith(f, "mul", p.iv, CHUNK)
            lo, hi = maximum(f, start, edge), minimum(f, end, arith(f, "add", edge, CHUNK))
            to = offset(f, offset(f, "%b", arith(f, "mul", p.iv, pitch), 1), arith(f, "sub", lo, edge), m.columns * m.size)
            at = offset(f, src, arith(f, "mul", arith(f, "sub", lo, start), c_step), 1)
            f.do(f"call void @pack_b(ptr {at}, i64 {c_step}, i64 {n_step}, i64 %cols, i64 {arith(f, 'sub', hi, lo)}, ptr {to})")
    return f


def _rows(m: Machine) -> Function:
    """``rows(d, h, w, src, out, q, rows, scratch) -> runs``: where each pixel of a tile begins in source and output.

    Pixels are q, q + 1, ... of the region, row-major; those past `rows` repeat the last. Runs are (first, length) of pixels adjacent
    along w.
    """
    f = Routine("rows", [("ptr", "d"), ("ptr", "h"), ("ptr", "w"), ("ptr", "src"), ("ptr", "out"), ("i64", "q"), ("i64", "rows"),
                         ("ptr", "scratch")], ret="i64")
    table, runs = offset(f, "%scratch", str(_ROWS), 1), offset(f, "%scratch", str(_RUNS), 1)
    height, width = word(f, "%h", 2), word(f, "%w", 2)
    last = arith(f, "sub", "%rows", 1)
    with f.loop("0", str(m.rows[0]), carried=[("i64", "0")]) as r:
        q = arith(f, "add", "%q", minimum(f, r.iv, last))
        x, rest = arith(f, "urem", q, width), arith(f, "udiv", q, width)
        index = (arith(f, "udiv", rest, height), arith(f, "urem", rest, height), x)
        record = offset(f, table, r.iv, 16)
        steps = list(zip(index, ("%d", "%h", "%w"), strict=True))
        store(f, "ptr", offset(f, "%src", _dot(f, [(i, word(f, c, 8)) for i, c in steps]), 1), record, 8)
        out = _dot(f, [(i, word(f, c, 1)) for i, c in steps])
        store(f, "ptr", offset(f, "%out", out, 1), offset(f, record, "1", 8), 8)
        begins = f.op(f"or i1 {f.op(f'icmp eq i64 {x}, 0')}, {f.op(f'icmp eq i64 {r.iv}, 0')}")
        begins = f.op(f"and i1 {begins}, {f.op(f'icmp slt i64 {r.iv}, %rows')}")
        with f.when(begins):
            run = offset(f, runs, r.vars[0], 16)
            store(f, "i64", r.iv, run, 8)
            store(f, "i64", minimum(f, arith(f, "sub", "%rows", r.iv), arith(f, "sub", width, x)), offset(f, run, "1", 8), 8)
        r.next([arith(f, "add", r.vars[0], f.op(f"select i1 {begins}, i64 1, i64 0"))])
    f.result = r.results[0]
    return f


def _gather(m: Machine, k_major: bool) -> Function:
    """``gather(args, pieces, first, end, height, runs, scratch)``: pack the pieces of one chunk for a tile of pixels."""
    f = Routine("gather", [("ptr", "args"), ("ptr", "pieces"), ("i64", "first"), ("i64", "end"), ("i64", "height"), ("i64", "runs"),
                           ("ptr", "scratch")])
    c_step = word(f, "%args", SRC_C)
    table, runs, panel = (offset(f, "%scratch", str(at), 1) for at in (_ROWS, _RUNS, A_PANEL))
    if k_major:
        with f.loop("0", "%runs") as i:
            run = offset(f, runs, i.iv, 16)
            first, length = word(f, run, 0), word(f, run, 1)
            base = word(f, offset(f, table, first, 16), 0, "ptr")
            with f.loop("%first", "%end") as p:
                piece = offset(f, "%pieces", p.iv, 8 * PIECE_WORDS)
                to = offset(f, offset(f, panel, word(f, piece, 0), m.k_pitch * m.size), first, m.size)
                f.do(f"call void @pack_a(ptr {offset(f, base, word(f, piece, 2), 1)}, i64 0, i64 {c_step}, i64 {length}, i64 0, "
                     f"i64 {word(f, piece, 1)}, ptr {to})")
        return f
    with f.loop("0", "%height") as r:
        base = word(f, offset(f, table, r.iv, 16), 0, "ptr")
        row = offset(f, panel, r.iv, ROW_PITCH * m.size)
        with f.loop("%first", "%end") as p:
            piece = offset(f, "%pieces", p.iv, 8 * PIECE_WORDS)
            to = offset(f, row, word(f, piece, 0), m.size)
            f.do(f"call void @pack_a(ptr {offset(f, base, word(f, piece, 2), 1)}, i64 0, i64 {c_step}, i64 1, i64 1, "
                 f"i64 {word(f, piece, 1)}, ptr {to})")
    return f


def _driver(symbol: str, m: Machine, k_major: bool, epilogue: Epilogue | None) -> Function:
    f = Routine(symbol, [("ptr", "args"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")], linkage="", quick=True)
    w = {i: word(f, "%args", i) for i in (N, IMAGES, SRC_IMAGE, SRC_GROUP, W_GROUP, W_N, OUT_IMAGE, OUT_GROUP, OUT_N, CHUNKS, N_BLOCK,
                                          N_BLOCKS, PER_IMAGE, PIXELS, REGIONS, PREFIX_AT, TABLES_AT, B_AT, SLOTS_AT, TOTALS_AT)}
    src, weight, out = (word(f, "%args", i, "ptr") for i in (SRC, WEIGHT, OUT))
    tables, panels_b, slots, totals = (offset(f, "%scratch", w[i], 1) for i in (TABLES_AT, B_AT, SLOTS_AT, TOTALS_AT))
    bases, panel_a, table = (offset(f, "%scratch", str(at), 1) for at in (_BASES, A_PANEL, _ROWS))
    kernel = [word(f, "%args", KERNEL + i) for i in range(3)]
    taps = arith(f, "mul", arith(f, "mul", kernel[0], kernel[1]), kernel[2])
    pieces = offset(f, tables, w[CHUNKS], 8 * CHUNK_WORDS)
    segments = offset(f, pieces, arith(f, "add", taps, w[CHUNKS]), 8 * PIECE_WORDS)
    prefix = offset(f, "%args", w[PREFIX_AT], 8)
    b_chunk_bytes = arith(f, "mul", w[N_BLOCK], PANEL * m.size)
    for t in range(len(epilogue.operands) if epilogue else 0):
        first = EPILOGUE + t * EPILOGUE_WORDS
        store(f, "ptr", word(f, "%args", first, "ptr"), offset(f, bases, str(3 * t), 8), 8)
        store(f, "i64", "0", offset(f, bases, str(3 * t + 1), 8), 8)
        store(f, "i64", word(f, "%args", first + 1), offset(f, bases, str(3 * t + 2), 8), 8)
    with f.loop("%lo", "%hi", carried=[("i64", "-1")]) as u:
        v, rest = arith(f, "urem", u.iv, w[PER_IMAGE]), arith(f, "udiv", u.iv, w[PER_IMAGE])
        image, block = arith(f, "urem", rest, w[IMAGES]), arith(f, "udiv", rest, w[IMAGES])
        group, n0 = arith(f, "udiv", block, w[N_BLOCKS]), arith(f, "mul", arith(f, "urem", block, w[N_BLOCKS]), w[N_BLOCK])
        cols = minimum(f, arith(f, "sub", w[N], n0), w[N_BLOCK])
        with f.when(f.op(f"icmp ne i64 {block}, {u.vars[0]}")):
            at = offset(f, weight, _dot(f, [(group, w[W_GROUP]), (n0, w[W_N])]), 1)
            f.do(f"call void @weights(ptr %args, ptr {at}, i64 {cols}, ptr {panels_b})")
        u.next([block])
        with f.loop("0", w[REGIONS], carried=[("i64", "0")]) as i:
            past = f.op(f"icmp sle i64 {word(f, prefix, arith(f, 'add', i.iv, 1))}, {v}")
            i.next([arith(f, "add", i.vars[0], f.op(f"select i1 {past}, i64 1, i64 0"))])
        region = i.results[0]
        counts = [word(f, "%args", CLASSES + i) for i in range(3)]
        cw, rest = arith(f, "urem", region, counts[2]), arith(f, "udiv", region, counts[2])
        picked = (arith(f, "udiv", rest, counts[1]), arith(f, "urem", rest, counts[1]), cw)
        classes = [offset(f, offset(f, "%args", word(f, "%args", CLASS_AT + i), 8), c, 8 * CLASS_WORDS) for i, c in enumerate(picked)]
        f.do(f"call void @tables(ptr %args, ptr {classes[0]}, ptr {classes[1]}, ptr {classes[2]}, ptr {tables})")
        pixels = arith(f, "mul", arith(f, "mul", word(f, classes[0], 2), word(f, classes[1], 2)), word(f, classes[2], 2))
        q0 = arith(f, "mul", arith(f, "sub", v, word(f, prefix, region)), w[PIXELS])
        q1 = minimum(f, pixels, arith(f, "add", q0, w[PIXELS]))
        x = offset(f, src, _dot(f, [(image, w[SRC_IMAGE]), (group, w[SRC_GROUP])]), 1)
        y = offset(f, out, _dot(f, [(image, w[OUT_IMAGE]), (group, w[OUT_GROUP]), (n0, w[OUT_N])]), 1)
        for c in classes:
            y = offset(f, y, word(f, c, 0), 1)
        channel = arith(f, "add", arith(f, "mul", group, w[N]), n0)
        with f.loop(q0, q1, m.rows[0]) as q:
            have_rows = minimum(f, arith(f, "sub", q1, q.iv), str(m.rows[0]))
            height = tile_height(f, m, have_rows)
            runs = f.op(f"call i64 @rows(ptr {classes[0]}, ptr {classes[1]}, ptr {classes[2]}, ptr {x}, ptr {y}, i64 {q.iv}, "
                        f"i64 {have_rows}, ptr %scratch)")
            with f.loop("0", w[CHUNKS]) as p:
                chunk = offset(f, tables, p.iv, 8 * CHUNK_WORDS)
                f.do(f"call void @gather(ptr %args, ptr {pieces}, i64 {word(f, chunk, 0)}, i64 {word(f, chunk, 1)}, i64 {height}, "
                     f"i64 {runs}, ptr %scratch)")
                first_segment = word(f, chunk, 2)
                here = offset(f, segments, first_segment, 8 * SEGMENT_WORDS)
                count = arith(f, "sub", word(f, chunk, 3), first_segment)
                last = f.op(f"icmp eq i64 {arith(f, 'add', p.iv, 1)}, {w[CHUNKS]}")
                in_group = arith(f, "urem", p.iv, GROUP)
                add = f.op(f"icmp ne i64 {in_group}, 0")
                group_end = f.op(f"or i1 {last}, {f.op(f'icmp eq i64 {in_group}, {GROUP - 1}')}")
                later = f.op(f"icmp sge i64 {p.iv}, {GROUP}")
                b_chunk = offset(f, panels_b, arith(f, "mul", p.iv, b_chunk_bytes), 1)
                with f.loop("0", cols, m.columns) as j:
                    at = arith(f, "mul", j.iv, m.rows[0] * m.size)
                    slot, total = offset(f, slots, at, 1), offset(f, totals, at, 1)
                    panel_b = offset(f, b_chunk, j.iv, PANEL * m.size)
                    call_micro(f, m, k_major, height, panel_a, panel_b, str(m.columns * m.size), here, count, slot, add)
                    with f.when(group_end):
                        fold_groups(f, m, slot, total, later, last)
                        with f.when(last):
                            have = minimum(f, arith(f, "sub", cols, j.iv), str(m.columns))
                            f.do(f"call void @finish(ptr {slot}, i64 {have_rows}, i64 {have}, ptr {table}, "
                                 f"i64 {arith(f, 'mul', j.iv, w[OUT_N])}, i64 {w[OUT_N]}, ptr {bases}, i64 0, "
                                 f"i64 {arith(f, 'add', channel, j.iv)})")
    return f
