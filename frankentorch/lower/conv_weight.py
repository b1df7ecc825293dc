"""The kernel of weight gradients: products whose k runs over the output pixels of all images.

Enters: a dtype, a `Geometry`, a tier. Leaves: a `Lowered` kernel.

For each tap of the kernel, the gradient is a product of the shifted input and the output's gradient over those pixels at which
the tap lies inside the input. The output's gradient usually gives the columns ("right"), the input the rows ("left"). A work unit
is a block of some taps of one group; per chunk of 384 positions it packs the right side once, then for each tap lists the pieces
(runs along w) that exist, packs the left side and runs the tiles.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from frankentorch.lower import conv_depthwise_weight
from frankentorch.lower.contract import blocks_for
from frankentorch.lower.contract_micro import (
    CHUNK,
    GROUP,
    PANEL,
    ROW_PITCH,
    Machine,
    Routine,
    arith,
    load,
    machine,
    maximum,
    micro,
    minimum,
    offset,
    size_of,
    store,
    word,
)
from frankentorch.lower.contract_pack import pack_a, pack_b
from frankentorch.lower.contract_tile import assemble, call_micro, finish, fold_groups, tile_height
from frankentorch.lower.kernel import Lowered, Word
from frankentorch.lower.llvmtext import Function

if TYPE_CHECKING:
    from frankentorch.lower.conv import Geometry

# A side: strides of image, group, channel; steps of an output pixel along d, h, w; shifts of a tap along them; where tap 0 begins.
_SIDE_WORDS = 10
(LEFT, RIGHT, OUT, LEFT_SIDE, RIGHT_SIDE, M, N, OUT_ROW, OUT_COL, OUT_GROUP, OUT_TAPS, KERNEL, PIXELS, K, CHUNKS, M_BLOCK, N_BLOCK,
 M_BLOCKS, N_BLOCKS, RANGES, PIECES_AT, B_AT, SLOTS_AT, TOTALS_AT, SLOT_ROW, SLOT_COL, TAP_GROUP, TAP_GROUPS, SHARED, SLOT_TAP,
 TABLES) = (
    0, 1, 2, 3, 13, 23, 24, 25, 26, 27, 28, 31, 34, 37, 38, 39, 40, 41, 42, 43, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56)
_BASES, _A_PANEL = 64, 512
_PIECE_WORDS, _SEGMENT_WORDS = 4, 2  # (position, length, left offset, right offset); (first, length)


def lower(dtype: str, g: Geometry, tier: str, x: Word, grad: Word, result: Word, threads: int) -> list[Lowered]:
    """The gradient of the weight, from the input `x` and the output's gradient."""
    if g.groups > 1 and g.x[1] == g.groups == g.y[1]:
        bounds = [[v for t in range(g.w[2 + i]) for v in _range(g.y[2 + i], g.x[2 + i], g.stride[i], g.padding[i], t * g.dilation[i])]
                  for i in range(3)]
        return [conv_depthwise_weight.lower(dtype, g, tier, x, grad, result, bounds)]
    g = _flattened(g)
    mach, size = machine(dtype, tier), size_of(dtype)
    inputs, outputs = g.x[1] // g.groups, g.y[1] // g.groups
    x_side = [g.x_strides[0], inputs * g.x_strides[1], g.x_strides[1], *(s * t for s, t in zip(g.stride, g.x_strides[2:], strict=True)),
              *(d * t for d, t in zip(g.dilation, g.x_strides[2:], strict=True)),
              -sum(p * t for p, t in zip(g.padding, g.x_strides[2:], strict=True))]
    y_side = [g.y_strides[0], outputs * g.y_strides[1], *g.y_strides[1:], 0, 0, 0, 0]
    # Columns of the output's gradient are the same for every tap, so they are packed once for a group of taps.
    x_rows = outputs >= min(inputs, 8)
    left, right = (x_side, y_side) if x_rows else (y_side, x_side)
    rows, cols = (inputs, outputs) if x_rows else (outputs, inputs)
    row_stride, col_stride = (g.w_strides[1], g.w_strides[0]) if x_rows else (g.w_strides[0], g.w_strides[1])
    k = g.y[0] * prod(g.y[2:])
    chunks = max(1, -(-k // CHUNK))
    taps = prod(g.w[2:])
    tap_group = _tap_group(taps, threads, rows, cols) if x_rows else 1
    tap_groups = -(-taps // tap_group)
    m_block, m_blocks, n_block, n_blocks = blocks_for(mach, g.groups * tap_groups, rows, cols, k, threads)
    left_class = "k" if left[5] == 1 else "m" if left[2] == 1 else "g"
    right_class = "n" if right[2] == 1 else "k" if right[5] == 1 else "g"
    ranges: list[int] = []
    ranges_at = []
    for axis in range(3):
        ranges_at.append(TABLES + len(ranges))
        for t in range(g.w[2 + axis]):
            ranges += _range(g.y[2 + axis], g.x[2 + axis], g.stride[axis], g.padding[axis], t * g.dilation[axis])
    tile_m, tile_n = mach.rows[0], mach.columns
    pieces_at = _align(_A_PANEL + max(tile_m * ROW_PITCH, (CHUNK + 8) * mach.k_pitch) * mach.size)
    b_at = _align(pieces_at + 8 * (CHUNK + 1) * (_PIECE_WORDS + _SEGMENT_WORDS))
    slots_at = _align(b_at + n_block * PANEL * mach.size)
    block_bytes = m_block * n_block * mach.size if chunks > 1 else tile_m * tile_n * mach.size
    totals_at = _align(slots_at + block_bytes * tap_group)
    slot_row, slot_col = (n_block * tile_m * mach.size, tile_m * tile_n * mach.size) if chunks > 1 else (0, 0)
    first, second = (x, grad) if x_rows else (grad, x)
    args: list[Word] = [first, second, result, *(s * size for s in left), *(s * size for s in right), rows, cols, row_stride * size,
                        col_stride * size, outputs * g.w_strides[0] * size, *(s * size for s in g.w_strides[2:]), *g.w[2:], *g.y[2:], k,
                        chunks, m_block, n_block, m_blocks, n_blocks, *ranges_at, pieces_at, b_at, slots_at, totals_at, slot_row, slot_col,
                        tap_group, tap_groups, int(x_rows), block_bytes if chunks > 1 else 0, *ranges]
    text, symbol = _text(dtype, left_class, right_class, tier)
    units = g.groups * tap_groups * m_blocks * n_blocks
    scratch = totals_at + (block_bytes * tap_group if chunks > GROUP else 0)
    return [Lowered(text, symbol, args, units, max(1, 200_000 // max(1, m_block * n_block * k)), scratch)]


def _tap_group(taps: int, threads: int, rows: int, cols: int) -> int:
    """Taps per work unit: as many as leave two units a thread, and accumulators that fit a cache."""
    fits = max(1, 400_000 // max(1, rows * cols))
    return max(1, min(-(-taps // (2 * threads)), fits))


def _flattened(g: Geometry) -> Geometry:
    """With one tap, stride 1 and no padding, pixels which lie at one stride in both tensors become one axis, and images too."""
    from frankentorch.lower.conv import Geometry, merged

    if prod(g.w[2:]) != 1 or any(s != 1 for s in g.stride) or any(g.padding) or g.x[2:] != g.y[2:]:
        return g
    x_pixel, y_pixel = merged(g.x[2:], g.x_strides[2:]), merged(g.y[2:], g.y_strides[2:])
    if x_pixel is None or y_pixel is None:
        return g
    images, pixels = g.x[0], prod(g.x[2:])
    if g.x_strides[0] == pixels * x_pixel and g.y_strides[0] == pixels * y_pixel:
        images, pixels = 1, images * pixels
    return Geometry((images, g.x[1], 1, 1, pixels), g.w, (images, g.y[1], 1, 1, pixels), (*g.x_strides[:2], 0, 0, x_pixel), g.w_strides,
                    (*g.y_strides[:2], 0, 0, y_pixel), g.stride, g.padding, g.dilation, g.groups)


def _range(out: int, size: int, stride: int, padding: int, shift: int) -> tuple[int, int]:
    """The output coordinates [lo, hi) whose source, o * stride - padding + shift, lies inside the input."""
    lo = max(0, -((shift - padding) // stride))
    hi = min(out, (size - 1 + padding - shift) // stride + 1)
    return lo, max(lo, hi)


def _align(x: int) -> int:
    return -(-x // 64) * 64


@lru_cache(maxsize=64)
def _text(dtype: str, left_class: str, right_class: str, tier: str) -> tuple[str, str]:
    m = machine(dtype, tier)
    symbol = "_".join(["conv_weight", dtype, left_class + right_class, tier.replace(".", "")])
    parts: list[Function] = [pack_a(m, dtype, left_class), pack_b(m, dtype, right_class), *(micro(m, r, left_class == "m") for r in m.rows),
                             finish(m, dtype, None), _pieces(), _driver(symbol, m, left_class == "m")]
    return assemble(parts), symbol


def _pieces() -> Routine:
    """``pieces(args, chunk, bounds, left, right, both, out) -> pieces << 32 | segments``: what exists of one chunk, for one tap.

    Lines which follow each other in memory make one piece; unless `both`, only the right side's memory counts.
    `bounds` holds (lo, hi) of output coordinates along d, h, w; `left` and `right` are offsets to add. A piece is
    (position, length, left offset, right offset); segments, the runs of adjacent pieces, follow CHUNK + 1 pieces.
    """
    f = Routine("pieces", [("ptr", "args"), ("i64", "chunk"), ("ptr", "bounds"), ("i64", "left"), ("i64", "right"), ("i1", "both"),
                          ("ptr", "out")], ret="i64", quick=True)
    d, h, w = (word(f, "%args", PIXELS + i) for i in range(3))
    bounds = [word(f, "%bounds", i) for i in range(6)]
    sides = [{"image": word(f, "%args", s), "steps": [word(f, "%args", s + 3 + i) for i in range(3)]} for s in (LEFT_SIDE, RIGHT_SIDE)]
    segments = offset(f, "%out", str(CHUNK + 1), 8 * _PIECE_WORDS)
    fresh = f.alloca("i64", 8)
    start = arith(f, "mul", "%chunk", CHUNK)
    end = minimum(f, arith(f, "add", start, CHUNK), word(f, "%args", K))
    last_line = arith(f, "udiv", arith(f, "add", end, arith(f, "sub", w, 1)), w)
    with f.loop(arith(f, "udiv", start, w), last_line, carried=[("i64", "0"), ("i64", "0")]) as line:
        rest, oh = arith(f, "udiv", line.iv, h), arith(f, "urem", line.iv, h)
        image, od = arith(f, "udiv", rest, d), arith(f, "urem", rest, d)
        base = arith(f, "mul", line.iv, w)
        lo, hi = maximum(f, arith(f, "add", base, bounds[4]), start), minimum(f, arith(f, "add", base, bounds[5]), end)
        there = f.op(f"icmp slt i64 {lo}, {hi}")
        for value, first, past in ((od, bounds[0], bounds[1]), (oh, bounds[2], bounds[3])):
            there = f.op(f"and i1 {there}, {f.op(f'icmp sge i64 {value}, {first}')}")
            there = f.op(f"and i1 {there}, {f.op(f'icmp slt i64 {value}, {past}')}")
        n_pieces, n_segments = line.vars
        position, length = arith(f, "sub", lo, start), arith(f, "sub", hi, lo)
        before = offset(f, segments, maximum(f, arith(f, "sub", n_segments, 1), "0"), 8 * _SEGMENT_WORDS)
        old, old_length = word(f, before, 0), word(f, before, 1)
        meets = f.op(f"icmp eq i64 {arith(f, 'add', old, old_length)}, {position}")
        joins = f.op(f"and i1 {meets}, {f.op(f'icmp ne i64 {n_segments}, 0')}")
        store(f, "i64", "0", fresh, 8)
        with f.when(there):
            values = [position, length]
            for side, shift in zip(sides, ("%left", "%right"), strict=True):
                at = arith(f, "add", shift, arith(f, "mul", image, str(side["image"])))
                for index, step in zip((od, oh, arith(f, "sub", lo, base)), side["steps"], strict=True):
                    at = arith(f, "add", at, arith(f, "mul", index, step))
                values.append(at)
            older = offset(f, "%out", maximum(f, arith(f, "sub", n_pieces, 1), "0"), 8 * _PIECE_WORDS)
            had = [word(f, older, i) for i in range(4)]
            meets_left, meets_right = (
                f.op(f"icmp eq i64 {arith(f, 'add', had[2 + i], arith(f, 'mul', had[1], side['steps'][2]))}, {values[2 + i]}")
                for i, side in enumerate(sides))
            extends = f.op(f"or i1 {meets_left}, {f.op('xor i1 %both, true')}")
            reached = arith(f, "add", had[0], had[1])
            for condition in (meets_right, f.op(f"icmp eq i64 {reached}, {position}"), f.op(f"icmp ne i64 {n_pieces}, 0")):
                extends = f.op(f"and i1 {extends}, {condition}")
            record = f.op(f"select i1 {extends}, ptr {older}, ptr {offset(f, '%out', n_pieces, 8 * _PIECE_WORDS)}")
            kept = [had[0], arith(f, "add", had[1], length), had[2], had[3]]
            for i, (old_value, value) in enumerate(zip(kept, values, strict=True)):
                store(f, "i64", f.op(f"select i1 {extends}, i64 {old_value}, i64 {value}"), offset(f, record, str(i), 8), 8)
            store(f, "i64", f.op(f"select i1 {extends}, i64 0, i64 1"), fresh, 8)
            to = f.op(f"select i1 {joins}, ptr {before}, ptr {offset(f, segments, n_segments, 8 * _SEGMENT_WORDS)}")
            store(f, "i64", f.op(f"select i1 {joins}, i64 {old}, i64 {position}"), to, 8)
            store(f, "i64", f.op(f"select i1 {joins}, i64 {arith(f, 'add', old_length, length)}, i64 {length}"), offset(f, to, "1", 8), 8)
        grown = f.op(f"xor i1 {joins}, true")
        grown = f.op(f"and i1 {grown}, {there}")
        line.next([arith(f, "add", n_pieces, load(f, "i64", fresh, 8)), arith(f, "add", n_segments, f.op(f"zext i1 {grown} to i64"))])
    f.result = f.op(f"or i64 {arith(f, 'shl', line.results[0], 32)}, {line.results[1]}")
    return f


def _driver(symbol: str, m: Machine, k_major: bool) -> Routine:
    f = Routine(symbol, [("ptr", "args"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")], linkage="", quick=True)
    w = {i: word(f, "%args", i) for i in (M, N, OUT_ROW, OUT_COL, OUT_GROUP, CHUNKS, M_BLOCK, N_BLOCK, M_BLOCKS, N_BLOCKS, PIECES_AT, B_AT,
                                          SLOTS_AT, TOTALS_AT, SLOT_ROW, SLOT_COL, TAP_GROUP, TAP_GROUPS, SLOT_TAP)}
    left, right, out = (word(f, "%args", i, "ptr") for i in (LEFT, RIGHT, OUT))
    pieces, panels_b, slots, totals = (offset(f, "%scratch", w[i], 1) for i in (PIECES_AT, B_AT, SLOTS_AT, TOTALS_AT))
    segments = offset(f, pieces, str(CHUNK + 1), 8 * _PIECE_WORDS)
    panel_a, bases = offset(f, "%scratch", str(_A_PANEL), 1), offset(f, "%scratch", str(_BASES), 1)
    kernel = [word(f, "%args", KERNEL + i) for i in range(3)]
    left_row, left_k = word(f, "%args", LEFT_SIDE + 2), word(f, "%args", LEFT_SIDE + 5)
    right_col, right_k = word(f, "%args", RIGHT_SIDE + 2), word(f, "%args", RIGHT_SIDE + 5)
    all_taps = arith(f, "mul", arith(f, "mul", kernel[0], kernel[1]), kernel[2])
    shared = f.op(f"icmp ne i64 {word(f, '%args', SHARED)}, 0")
    bounds = f.alloca("[6 x i64]")
    with f.loop("%lo", "%hi") as u:
        ib, rest = arith(f, "urem", u.iv, w[M_BLOCKS]), arith(f, "udiv", u.iv, w[M_BLOCKS])
        jb, rest = arith(f, "urem", rest, w[N_BLOCKS]), arith(f, "udiv", rest, w[N_BLOCKS])
        first_tap = arith(f, "mul", arith(f, "urem", rest, w[TAP_GROUPS]), w[TAP_GROUP])
        group = arith(f, "udiv", rest, w[TAP_GROUPS])
        here_taps = minimum(f, arith(f, "sub", all_taps, first_tap), w[TAP_GROUP])
        m0, n0 = arith(f, "mul", ib, w[M_BLOCK]), arith(f, "mul", jb, w[N_BLOCK])
        rows, cols = minimum(f, arith(f, "sub", w[M], m0), w[M_BLOCK]), minimum(f, arith(f, "sub", w[N], n0), w[N_BLOCK])
        starts = []
        for side, first in ((LEFT_SIDE, arith(f, "mul", m0, left_row)), (RIGHT_SIDE, arith(f, "mul", n0, right_col))):
            base = arith(f, "add", word(f, "%args", side + 9), arith(f, "mul", group, word(f, "%args", side + 1)))
            starts.append(arith(f, "add", first, base))
        block = offset(f, out, arith(f, "mul", group, w[OUT_GROUP]), 1)
        block = offset(f, block, arith(f, "add", arith(f, "mul", m0, w[OUT_ROW]), arith(f, "mul", n0, w[OUT_COL])), 1)

        def pack_right(found: str) -> None:
            with f.loop("0", arith(f, "lshr", found, 32)) as i:
                piece = offset(f, pieces, i.iv, 8 * _PIECE_WORDS)
                f.do(f"call void @pack_b(ptr {offset(f, right, word(f, piece, 3), 1)}, i64 {right_k}, i64 {right_col}, i64 {cols}, "
                     f"i64 {word(f, piece, 1)}, ptr {offset(f, panels_b, word(f, piece, 0), m.columns * m.size)})")

        with f.loop("0", w[CHUNKS]) as p, f.loop("0", here_taps) as t:
            with f.when(f.op(f"and i1 {shared}, {f.op(f'icmp eq i64 {t.iv}, 0')}")):
                for axis in range(3):
                    store(f, "i64", "0", offset(f, bounds, str(2 * axis), 8), 8)
                    store(f, "i64", word(f, "%args", PIXELS + axis), offset(f, bounds, str(2 * axis + 1), 8), 8)
                pack_right(f.op(f"call i64 @pieces(ptr %args, i64 {p.iv}, ptr {bounds}, i64 0, i64 {starts[1]}, i1 false, ptr {pieces})"))
            tap = arith(f, "add", first_tap, t.iv)
            tw, rest = arith(f, "urem", tap, kernel[2]), arith(f, "udiv", tap, kernel[2])
            taps = (arith(f, "udiv", rest, kernel[1]), arith(f, "urem", rest, kernel[1]), tw)
            to, shifts = block, list(starts)
            for axis, tap in enumerate(taps):
                pair = offset(f, offset(f, "%args", word(f, "%args", RANGES + axis), 8), tap, 16)
                for n in range(2):
                    store(f, "i64", word(f, pair, n), offset(f, bounds, str(2 * axis + n), 8), 8)
                to = offset(f, to, arith(f, "mul", tap, word(f, "%args", OUT_TAPS + axis)), 1)
                for n, side in enumerate((LEFT_SIDE, RIGHT_SIDE)):
                    shifts[n] = arith(f, "add", shifts[n], arith(f, "mul", tap, word(f, "%args", side + 6 + axis)))
            tap_slot = arith(f, "mul", t.iv, w[SLOT_TAP])
            found = f.op(f"call i64 @pieces(ptr %args, i64 {p.iv}, ptr {bounds}, i64 {shifts[0]}, i64 {shifts[1]}, i1 true, ptr {pieces})")
            n_pieces, n_segments = arith(f, "lshr", found, 32), arith(f, "and", found, 0xFFFFFFFF)
            with f.when(f.op(f"xor i1 {shared}, true")):
                pack_right(found)
            last = f.op(f"icmp eq i64 {arith(f, 'add', p.iv, 1)}, {w[CHUNKS]}")
            in_group = arith(f, "urem", p.iv, GROUP)
            add = f.op(f"icmp ne i64 {in_group}, 0")
            group_end = f.op(f"or i1 {last}, {f.op(f'icmp eq i64 {in_group}, {GROUP - 1}')}")
            later = f.op(f"icmp sge i64 {p.iv}, {GROUP}")
            with f.loop("0", rows, m.rows[0]) as i:
                have_rows = minimum(f, arith(f, "sub", rows, i.iv), str(m.rows[0]))
                height = tile_height(f, m, have_rows)
                from_row = offset(f, left, arith(f, "mul", i.iv, left_row), 1)
                with f.loop("0", n_pieces) as j:
                    piece = offset(f, pieces, j.iv, 8 * _PIECE_WORDS)
                    f.do(f"call void @pack_a(ptr {offset(f, from_row, word(f, piece, 2), 1)}, i64 {left_row}, i64 {left_k}, "
                         f"i64 {have_rows}, i64 {height}, i64 {word(f, piece, 1)}, "
                         f"ptr {offset(f, panel_a, word(f, piece, 0), m.k_pitch * m.size if k_major else m.size)})")
                row_at = arith(f, "add", tap_slot, arith(f, "mul", arith(f, "udiv", i.iv, m.rows[0]), w[SLOT_ROW]))
                with f.loop("0", cols, m.columns) as j:
                    have = minimum(f, arith(f, "sub", cols, j.iv), str(m.columns))
                    at = arith(f, "add", row_at, arith(f, "mul", arith(f, "udiv", j.iv, m.columns), w[SLOT_COL]))
                    slot, total = offset(f, slots, at, 1), offset(f, totals, at, 1)
                    call_micro(f, m, k_major, height, panel_a, offset(f, panels_b, j.iv, PANEL * m.size), str(m.columns * m.size), segments,
                               n_segments, slot, add)
                    with f.when(group_end):
                        fold_groups(f, m, slot, total, later, last)
                        with f.when(last):
                            c = offset(f, offset(f, to, arith(f, "mul", i.iv, w[OUT_ROW]), 1), arith(f, "mul", j.iv, w[OUT_COL]), 1)
                            f.do(f"call void @finish(ptr {slot}, i64 {have_rows}, i64 {have}, ptr {c}, i64 {w[OUT_ROW]}, "
                                 f"i64 {w[OUT_COL]}, ptr {bases}, i64 0, i64 0)")
    return f
