"""Weight gradients of depthwise convolutions: one chain a channel and tap, lanes across channels.

Enters: a dtype, a `Geometry` with one channel a group, a tier. Leaves: a `Lowered` kernel.

A work unit is a block of channels. Image by image, both tensors are packed as ``[pixel][channel]``; each line of output pixels then
extends the chain of every tap that is inside the input there, and at the bounds of chunks the chains are folded.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from frankentorch.lower.contract_micro import CHUNK, GROUP, Machine, Routine, arith, load, machine, maximum, minimum, offset, size_of, store, word
from frankentorch.lower.contract_pack import pack_b, store_lanes
from frankentorch.lower.contract_tile import assemble
from frankentorch.lower.kernel import Lowered, Word
from frankentorch.lower.llvmtext import Function

if TYPE_CHECKING:
    from frankentorch.lower.conv import Geometry

# Strides are in bytes; a side is (image, channel, d, h, w), packed strides are those of the scratch copy.
(X, GRAD, OUT, CHANNELS, IMAGES, X_SIDE, GRAD_SIDE, OUT_C, OUT_TAPS, KERNEL, X_SIZE, PIXELS, PACKED_STEP, PACKED_TAP, PACKED_BASE, RANGES,
 X_AT, GRAD_AT, ACC_AT, SUMS_AT, TOTALS_AT, CHUNKS, TABLES) = (
    0, 1, 2, 3, 4, 5, 10, 15, 16, 19, 22, 25, 28, 31, 34, 35, 38, 39, 40, 41, 42, 43, 44)
PACKED_MOST = 2_000_000


def lower(dtype: str, g: Geometry, tier: str, x: Word, grad: Word, result: Word, ranges: list[list[int]]) -> Lowered:
    """The gradient of a depthwise weight. `ranges` holds, for each axis, (lo, hi) of the output coordinates of each tap."""
    m, size, taps = machine(dtype, tier), size_of(dtype), prod(g.w[2:])
    pixels = prod(g.x[2:]) + prod(g.y[2:])
    vectors = next((v for v in (4, 2) if pixels * v * m.lanes * m.size <= PACKED_MOST and g.groups > v * m.lanes // 2), 1)
    m = replace(m, vectors=vectors)
    pixel = m.columns * m.size
    steps = (g.x[3] * g.x[4] * pixel, g.x[4] * pixel, pixel)
    acc = taps * pixel
    x_at = 64
    grad_at = x_at + prod(g.x[2:]) * pixel
    acc_at = grad_at + prod(g.y[2:]) * pixel
    chunks = max(1, -(-g.y[0] * prod(g.y[2:]) // CHUNK))
    ranges_at = [TABLES, TABLES + len(ranges[0]), TABLES + len(ranges[0]) + len(ranges[1])]
    args: list[Word] = [x, grad, result, g.groups, g.x[0], *(s * size for s in g.x_strides), *(s * size for s in g.y_strides),
                        g.w_strides[0] * size, *(s * size for s in g.w_strides[2:]), *g.w[2:], *g.x[2:], *g.y[2:],
                        *(s * t for s, t in zip(g.stride, steps, strict=True)), *(d * t for d, t in zip(g.dilation, steps, strict=True)),
                        -sum(p * t for p, t in zip(g.padding, steps, strict=True)), *ranges_at, x_at, grad_at, acc_at, acc_at + acc,
                        acc_at + 2 * acc, chunks, *ranges[0], *ranges[1], *ranges[2]]
    classes = ["n" if s[1] == 1 else "k" if s[4] == 1 else "g" for s in (g.x_strides, g.y_strides)]
    text, symbol = _text(dtype, classes[0], classes[1], vectors, tier)
    return Lowered(text, symbol, args, -(-g.groups // m.columns), 1, acc_at + 3 * acc)


@lru_cache(maxsize=64)
def _text(dtype: str, x_class: str, grad_class: str, vectors: int, tier: str) -> tuple[str, str]:
    m = replace(machine(dtype, tier), vectors=vectors)
    symbol = "_".join(["conv_depthwise_weight", dtype, x_class + grad_class, f"by{vectors}", tier.replace(".", "")])
    return assemble([pack_b(m, dtype, x_class, "pack_x"), pack_b(m, dtype, grad_class, "pack_grad"), _run(m), _fold(m), _finish(m, dtype),
                     _driver(symbol, m)]), symbol


def _run(m: Machine) -> Function:
    """``run(x, x_step, grad, count, acc)``: extend one tap's chains by a run of pixels."""
    f = Routine("run", [("ptr", "x"), ("i64", "x_step"), ("ptr", "grad"), ("i64", "count"), ("ptr", "acc")])
    places = [str(v * m.lanes) for v in range(m.vectors)]
    start = [load(f, m.vector, offset(f, "%acc", at, m.size), m.size) for at in places]
    with f.loop("0", "%count", carried=[("ptr", "%x"), ("ptr", "%grad"), *((m.vector, s) for s in start)]) as i:
        x, grad, acc = i.vars[0], i.vars[1], i.vars[2:]
        new = [m.fma(f, load(f, m.vector, offset(f, x, at, m.size), m.size), load(f, m.vector, offset(f, grad, at, m.size), m.size), a)
               for at, a in zip(places, acc, strict=True)]
        i.next([offset(f, x, "%x_step", 1), offset(f, grad, str(m.columns * m.size), 1), *new])
    for at, value in zip(places, i.results[2:], strict=True):
        store(f, m.vector, value, offset(f, "%acc", at, m.size), m.size)
    return f


def _fold(m: Machine) -> Function:
    """``fold(chunk, count, acc, sums, totals)``: chunk `chunk` of `count` elements is complete; start the next at +0."""
    f = Routine("fold", [("i64", "chunk"), ("i64", "count"), ("ptr", "acc"), ("ptr", "sums"), ("ptr", "totals")])
    in_group = arith(f, "urem", "%chunk", GROUP)
    begins, ends = f.op(f"icmp eq i64 {in_group}, 0"), f.op(f"icmp eq i64 {in_group}, {GROUP - 1}")
    first_group = f.op(f"icmp ult i64 %chunk, {GROUP}")
    with f.loop("0", "%count", m.lanes) as i:
        acc, sums, totals = (offset(f, base, i.iv, m.size) for base in ("%acc", "%sums", "%totals"))
        a, s, t = (load(f, m.vector, p, m.size) for p in (acc, sums, totals))
        s = f.op(f"select i1 {begins}, {m.vector} {a}, {m.vector} {m.add(f, s, a)}")
        store(f, m.vector, s, sums, m.size)
        store(f, m.vector, m.zero(), acc, m.size)
        grown = f.op(f"select i1 {first_group}, {m.vector} {s}, {m.vector} {m.add(f, t, s)}")
        store(f, m.vector, f.op(f"select i1 {ends}, {m.vector} {grown}, {m.vector} {t}"), totals, m.size)
    return f


def _finish(m: Machine, dtype: str) -> Function:
    """``finish(sums, out, stride, channels)``: round one tap's sums and store them."""
    f = Routine("finish", [("ptr", "sums"), ("ptr", "out"), ("i64", "stride"), ("i64", "channels")])
    unit = f.op(f"icmp eq i64 %stride, {size_of(dtype)}")
    with f.loop("0", "%channels", m.lanes) as c:
        value = load(f, m.vector, offset(f, "%sums", c.iv, m.size), m.size)
        to = offset(f, "%out", arith(f, "mul", c.iv, "%stride"), 1)
        store_lanes(f, m, dtype, value, to, "%stride", arith(f, "sub", "%channels", c.iv), unit)
    return f


def _tap(f: Function, kernel: list[str], d: str, h: str, w: str) -> str:
    return arith(f, "add", arith(f, "mul", arith(f, "add", arith(f, "mul", d, kernel[1]), h), kernel[2]), w)


def _driver(symbol: str, m: Machine) -> Function:
    f = Routine(symbol, [("ptr", "args"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")], linkage="", quick=True)
    x, grad, out = (word(f, "%args", i, "ptr") for i in (X, GRAD, OUT))
    xs, grads, acc, sums, totals = (offset(f, "%scratch", word(f, "%args", i), 1) for i in (X_AT, GRAD_AT, ACC_AT, SUMS_AT, TOTALS_AT))
    kernel, x_size, pixels, step, tap_step = ([word(f, "%args", first + i) for i in range(3)]
                                              for first in (KERNEL, X_SIZE, PIXELS, PACKED_STEP, PACKED_TAP))
    ranges = [offset(f, "%args", word(f, "%args", RANGES + i), 8) for i in range(3)]
    base = word(f, "%args", PACKED_BASE)
    pixel = m.columns * m.size
    n_taps = arith(f, "mul", arith(f, "mul", kernel[0], kernel[1]), kernel[2])
    elements = arith(f, "mul", n_taps, m.columns)
    last_chunk = arith(f, "sub", word(f, "%args", CHUNKS), 1)
    state = f"i64 {elements}, ptr {acc}, ptr {sums}, ptr {totals}"
    with f.loop("%lo", "%hi") as u:
        c0 = arith(f, "mul", u.iv, m.columns)
        channels = minimum(f, arith(f, "sub", word(f, "%args", CHANNELS), c0), str(m.columns))
        with f.loop("0", elements, m.lanes) as i:
            # Totals too: `fold` reads what it then discards, and stale memory may be slow.
            for place in (acc, sums, totals):
                store(f, m.vector, m.zero(), offset(f, place, i.iv, m.size), m.size)
        with f.loop("0", word(f, "%args", IMAGES)) as image:
            for name, tensor, side, sizes, to in (("pack_x", x, X_SIDE, x_size, xs), ("pack_grad", grad, GRAD_SIDE, pixels, grads)):
                src = offset(f, offset(f, tensor, arith(f, "mul", image.iv, word(f, "%args", side)), 1),
                             arith(f, "mul", c0, word(f, "%args", side + 1)), 1)
                with f.loop("0", sizes[0]) as d, f.loop("0", sizes[1]) as h:
                    down, across = (arith(f, "mul", i.iv, word(f, "%args", side + 2 + n)) for n, i in enumerate((d, h)))
                    line = arith(f, "add", down, across)
                    number = arith(f, "mul", arith(f, "add", arith(f, "mul", d.iv, sizes[1]), h.iv), sizes[2])
                    f.do(f"call void @{name}(ptr {offset(f, src, line, 1)}, i64 {word(f, '%args', side + 4)}, "
                         f"i64 {word(f, '%args', side + 1)}, i64 {channels}, i64 {sizes[2]}, ptr {offset(f, to, number, pixel)})")
            with f.loop("0", pixels[0]) as od, f.loop("0", pixels[1]) as oh:
                line = arith(f, "add", arith(f, "mul", od.iv, pixels[1]), oh.iv)
                in_image = arith(f, "mul", line, pixels[2])
                whole = arith(f, "mul", arith(f, "mul", image.iv, arith(f, "mul", pixels[0], pixels[1])), pixels[2])
                first = arith(f, "add", whole, in_image)
                past = arith(f, "add", first, pixels[2])
                chunks_past = arith(f, "udiv", arith(f, "add", past, CHUNK - 1), CHUNK)
                with f.loop(arith(f, "udiv", first, CHUNK), chunks_past) as p:
                    edge = arith(f, "mul", p.iv, CHUNK)
                    lo, hi = maximum(f, first, edge), minimum(f, past, arith(f, "add", edge, CHUNK))
                    opens = f.op(f"and i1 {f.op(f'icmp eq i64 {lo}, {edge}')}, {f.op(f'icmp sgt i64 {p.iv}, 0')}")
                    with f.when(opens):
                        f.do(f"call void @fold(i64 {arith(f, 'sub', p.iv, 1)}, {state})")
                    with f.loop("0", kernel[0]) as td, f.loop("0", kernel[1]) as th, f.loop("0", kernel[2]) as tw:
                        bounds = [(word(f, pair, 0), word(f, pair, 1))
                                  for pair in (offset(f, r, t.iv, 16) for r, t in zip(ranges, (td, th, tw), strict=True))]
                        start = maximum(f, lo, arith(f, "add", first, bounds[2][0]))
                        end = minimum(f, hi, arith(f, "add", first, bounds[2][1]))
                        there = f.op(f"icmp slt i64 {start}, {end}")
                        for o, (at_least, below) in zip((od, oh), bounds[:2], strict=True):
                            there = f.op(f"and i1 {there}, {f.op(f'icmp sge i64 {o.iv}, {at_least}')}")
                            there = f.op(f"and i1 {there}, {f.op(f'icmp slt i64 {o.iv}, {below}')}")
                        with f.when(there):
                            ow = arith(f, "sub", start, first)
                            at = base
                            for index, s, t, by in zip((od.iv, oh.iv, ow), step, (td, th, tw), tap_step, strict=True):
                                at = arith(f, "add", at, arith(f, "add", arith(f, "mul", index, s), arith(f, "mul", t.iv, by)))
                            tap = _tap(f, kernel, td.iv, th.iv, tw.iv)
                            f.do(f"call void @run(ptr {offset(f, xs, at, 1)}, i64 {step[2]}, "
                                 f"ptr {offset(f, grads, arith(f, 'add', in_image, ow), pixel)}, i64 {arith(f, 'sub', end, start)}, "
                                 f"ptr {offset(f, acc, tap, pixel)})")
        f.do(f"call void @fold(i64 {last_chunk}, {state})")
        # The last chunk's group is complete in `totals` only where it was a whole group.
        whole_group = f.op(f"icmp eq i64 {arith(f, 'urem', last_chunk, GROUP)}, {GROUP - 1}")
        several = f.op(f"icmp uge i64 {last_chunk}, {GROUP}")
        result = f.op(f"select i1 {whole_group}, ptr {totals}, ptr {sums}")
        with f.when(f.op(f"and i1 {several}, {f.op(f'xor i1 {whole_group}, true')}")), f.loop("0", elements, m.lanes) as i:
            total, group = (load(f, m.vector, offset(f, place, i.iv, m.size), m.size) for place in (totals, sums))
            store(f, m.vector, m.add(f, total, group), offset(f, sums, i.iv, m.size), m.size)
        to = offset(f, out, arith(f, "mul", c0, word(f, "%args", OUT_C)), 1)
        with f.loop("0", kernel[0]) as td, f.loop("0", kernel[1]) as th, f.loop("0", kernel[2]) as tw:
            tap = _tap(f, kernel, td.iv, th.iv, tw.iv)
            place = to
            for axis, index in enumerate((td.iv, th.iv, tw.iv)):
                place = offset(f, place, arith(f, "mul", index, word(f, "%args", OUT_TAPS + axis)), 1)
            f.do(f"call void @finish(ptr {offset(f, result, tap, pixel)}, ptr {place}, i64 {word(f, '%args', OUT_C)}, i64 {channels})")
    return f
