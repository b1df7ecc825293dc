"""Depthwise convolutions (one channel a group) forward and for the input's gradient: lanes across channels or along w.

Enters: a dtype, a tier, what lies at unit stride, an epilogue; words at run time. Leaves: LLVM text.

As in `conv_gather`, a region is a box of output pixels that see the same taps, and taps on padding do not exist. A work unit is one
image times one block of channels (a vector of them when `by` is "channel", one when it is "pixel").
"""

from __future__ import annotations

from frankentorch.lower.contract_micro import Machine, Routine, arith, load, minimum, offset, size_of, store, word
from frankentorch.lower.contract_pack import copy_scalar, first_lanes, load_masked, load_strided_raw, load_whole_or_part, store_lanes, to_compute
from frankentorch.lower.contract_tile import Epilogue
from frankentorch.lower.lanes import llvm_type
from frankentorch.lower.llvmtext import Function

# Words; strides are in bytes. Class records are those of conv_gather.
(SRC, WEIGHT, OUT, CHANNELS, IMAGES, SRC_IMAGE, SRC_C, W_C, W_TAPS, OUT_IMAGE, OUT_C, KERNEL, BLOCKS, CLASSES, CLASS_AT, SRC_LANE,
 OUT_LANE, EPILOGUE) = (*range(9), 11, 12, 13, 16, 17, 20, 23, 24, 25)
CLASS_WORDS = 9
MAX_TAPS = 384
_VECTOR = 128  # scratch bytes kept for one vector
_EPILOGUE_AT = 64


def scratch_bytes(taps: int, operands: int) -> int:
    """A vector for each epilogue operand, one for each weight, and (source offset, weight offset) for each tap of a region."""
    return _EPILOGUE_AT + operands * _VECTOR + taps * (_VECTOR + 16)


def routine(symbol: str, m: Machine, dtype: str, by: str, unit: bool, epilogue: Epilogue | None) -> Routine:
    """The kernel. `unit` says that lanes are adjacent in the source."""
    f = Routine(symbol, [("ptr", "args"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")], linkage="")
    operands = epilogue.operands if epilogue else ()
    size = size_of(dtype)
    many = 4 if unit and m.tier == "avx512" else 1
    w = {i: word(f, "%args", i) for i in (CHANNELS, SRC_IMAGE, SRC_C, W_C, OUT_IMAGE, OUT_C, BLOCKS, SRC_LANE, OUT_LANE)}
    src, weight, out = (word(f, "%args", i, "ptr") for i in (SRC, WEIGHT, OUT))
    kernel, w_steps = ([word(f, "%args", first + i) for i in range(3)] for first in (KERNEL, W_TAPS))
    vectors = offset(f, "%scratch", str(_EPILOGUE_AT), 1)
    weights = offset(f, vectors, str(len(operands) * _VECTOR), 1)
    n_taps = arith(f, "mul", arith(f, "mul", kernel[0], kernel[1]), kernel[2])
    taps = offset(f, weights, n_taps, _VECTOR)
    out_unit = f.op(f"icmp eq i64 {w[OUT_LANE]}, {size}")
    block = m.lanes if by == "channel" else 1
    with f.loop("%lo", "%hi") as u:
        c0 = arith(f, "mul", arith(f, "urem", u.iv, w[BLOCKS]), block)
        image = arith(f, "udiv", u.iv, w[BLOCKS])
        channels = minimum(f, arith(f, "sub", w[CHANNELS], c0), str(block))
        _lay_weights(f, m, dtype, by, offset(f, weight, arith(f, "mul", c0, w[W_C]), 1), w[W_C], channels, kernel, w_steps, weights)
        for t, o in enumerate(operands):
            base, step = word(f, "%args", EPILOGUE + 2 * t, "ptr"), word(f, "%args", EPILOGUE + 2 * t + 1)
            at_c0 = offset(f, base, arith(f, "mul", c0, step), 1)
            _lay_vector(f, m, o.dtype, by, at_c0, step, channels, offset(f, vectors, str(t * _VECTOR), 1))
        x = offset(f, offset(f, src, arith(f, "mul", image, w[SRC_IMAGE]), 1), arith(f, "mul", c0, w[SRC_C]), 1)
        y = offset(f, offset(f, out, arith(f, "mul", image, w[OUT_IMAGE]), 1), arith(f, "mul", c0, w[OUT_C]), 1)
        at = [offset(f, "%args", word(f, "%args", CLASS_AT + i), 8) for i in range(3)]
        counts = [word(f, "%args", CLASSES + i) for i in range(3)]
        with f.loop("0", counts[0]) as rd, f.loop("0", counts[1]) as rh, f.loop("0", counts[2]) as rw:
            classes = [offset(f, table, r.iv, 8 * CLASS_WORDS) for table, r in zip(at, (rd, rh, rw), strict=True)]
            found = _lay_taps(f, classes, kernel, taps)
            y_here = y
            for c in classes:
                y_here = offset(f, y_here, word(f, c, 0), 1)
            size_d, size_h, size_w = (word(f, c, 2) for c in classes)
            d_steps, h_steps, w_steps_ = ((word(f, c, 8), word(f, c, 1)) for c in classes)
            with f.loop("0", size_d) as d:
                x_d, y_d = (offset(f, base, arith(f, "mul", d.iv, s), 1) for base, s in zip((x, y_here), d_steps, strict=True))
                # One axis is walked alone, along the other several vectors are in flight, to hide the latency of fma.
                outer, inner = (size_h, size_w) if by == "channel" else (size_w, size_h)
                outer_steps, inner_steps = (h_steps, w_steps_) if by == "channel" else (w_steps_, h_steps)
                with f.loop("0", outer, 1 if by == "channel" else m.lanes) as i:
                    x_i, y_i = (offset(f, base, arith(f, "mul", i.iv, s), 1) for base, s in zip((x_d, y_d), outer_steps, strict=True))
                    count = channels if by == "channel" else minimum(f, arith(f, "sub", outer, i.iv), str(m.lanes))
                    mask = first_lanes(f, m.lanes, count) if m.tier == "avx512" else ""
                    last = arith(f, "sub", inner, 1)
                    with f.loop("0", inner, many) as j:
                        index = [minimum(f, arith(f, "add", j.iv, v), last) for v in range(many)]
                        xs, ys = ([offset(f, base, arith(f, "mul", q, s), 1) for q in index]
                                  for base, s in zip((x_i, y_i), inner_steps, strict=True))
                        for acc, to in zip(_chains(f, m, dtype, unit, taps, found, weights, xs, w[SRC_LANE], count, mask), ys, strict=True):
                            value = acc
                            if epilogue is not None:
                                L = m.lanes_of(f)
                                values = [L.wrap(m.compute, load(f, m.vector, offset(f, vectors, str(t * _VECTOR), 1), m.size))
                                          for t in range(len(operands))]
                                value = epilogue.emit(L, L.wrap(m.compute, acc), values).v
                            store_lanes(f, m, dtype, value, to, w[OUT_LANE], count, out_unit)
    return f


def _chains(f: Routine, m: Machine, dtype: str, unit: bool, taps: str, found: str, weights: str, xs: list[str], lane: str, count: str,
            mask: str) -> list[str]:
    with f.loop("0", found, carried=[(m.vector, m.zero())] * len(xs)) as t:
        tap = offset(f, taps, t.iv, 16)
        from_x = word(f, tap, 0)
        w = load(f, m.vector, offset(f, weights, word(f, tap, 1), 1), m.size)
        acc = []
        for x, before in zip(xs, t.vars, strict=True):
            p = offset(f, x, from_x, 1)
            if not unit:
                raw = load_strided_raw(f, llvm_type(dtype), size_of(dtype), m.lanes, p, lane, count)
                value = to_compute(f, m, dtype, raw, m.lanes)
            elif mask:
                value = load_masked(f, m, dtype, p, mask)
            else:
                value = load_whole_or_part(f, m, dtype, p, count)
            acc.append(m.fma(f, value, w, before))
        t.next(acc)
    return t.results


def _lay_vector(f: Function, m: Machine, dtype: str, by: str, src: str, step: str, channels: str, to: str) -> None:
    """One value a lane (by channel), or the same in every lane."""
    if by == "channel":
        store(f, m.vector, m.zero(), to, m.size)
        with f.loop("0", channels) as c:
            copy_scalar(f, m, dtype, offset(f, src, arith(f, "mul", c.iv, step), 1), offset(f, to, c.iv, m.size))
        return
    with f.loop("0", str(m.lanes)) as c:
        copy_scalar(f, m, dtype, src, offset(f, to, c.iv, m.size))


def _lay_weights(f: Function, m: Machine, dtype: str, by: str, src: str, step: str, channels: str, kernel: list[str], steps: list[str],
                 to: str) -> None:
    with f.loop("0", kernel[0]) as d, f.loop("0", kernel[1]) as h, f.loop("0", kernel[2]) as w:
        tap = arith(f, "add", arith(f, "mul", arith(f, "add", arith(f, "mul", d.iv, kernel[1]), h.iv), kernel[2]), w.iv)
        at = src
        for i, s in zip((d, h, w), steps, strict=True):
            at = offset(f, at, arith(f, "mul", i.iv, s), 1)
        _lay_vector(f, m, dtype, by, at, step, channels, offset(f, to, tap, _VECTOR))


def _lay_taps(f: Function, classes: list[str], kernel: list[str], taps: str) -> str:
    """List (source offset, weight offset) of a region's taps; returns how many."""
    (first_d, step_d, n_d, at_d, by_d), (first_h, step_h, n_h, at_h, by_h), (first_w, step_w, n_w, at_w, by_w) = (
        tuple(word(f, c, i) for i in (3, 4, 5, 6, 7)) for c in classes)

    def line(first: str, index: str, step: str) -> str:
        return arith(f, "add", first, arith(f, "mul", index, step))

    with f.loop("0", n_d) as d, f.loop("0", n_h) as h, f.loop("0", n_w) as w:
        tap = arith(f, "add", arith(f, "mul", line(first_d, d.iv, step_d), kernel[1]), line(first_h, h.iv, step_h))
        tap = arith(f, "add", arith(f, "mul", tap, kernel[2]), line(first_w, w.iv, step_w))
        at = arith(f, "add", arith(f, "add", line(at_d, d.iv, by_d), line(at_h, h.iv, by_h)), line(at_w, w.iv, by_w))
        number = arith(f, "add", arith(f, "mul", arith(f, "add", arith(f, "mul", d.iv, n_h), h.iv), n_w), w.iv)
        record = offset(f, taps, number, 16)
        store(f, "i64", at, record, 8)
        store(f, "i64", arith(f, "mul", tap, _VECTOR), offset(f, record, "1", 8), 8)
    return arith(f, "mul", arith(f, "mul", n_d, n_h), n_w)
