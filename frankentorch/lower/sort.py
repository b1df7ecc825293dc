"""Kernels that order lines: sort, the k best, and binary search.

Enters: a `Sig`. Leaves: one kernel; a unit is a line. Elements become unsigned keys whose order is torch's: -0 equals 0, every NaN equals
every other and is above infinity; descending order complements the key. Lines are ordered by a stable radix sort (least digit
first, digits that all elements share are skipped), short ones by insertion; so ties keep the lowest index first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frankentorch.errors import NotImplementedYet
from frankentorch.lower.kernel import Lowered
from frankentorch.lower.lanes import BITS, Lane, LLVMLanes
from frankentorch.lower.walk import LANES, Kernel, collapse, gather_16, load, spread, store

SHORT = 40
_LEADING = 12
_INFINITY = {"f16": 0x7C00, "bf16": 0x7F80, "f32": 0x7F800000, "f64": 0x7FF0000000000000}


def key_type(ty: str) -> str:
    return f"u{max(8, BITS[ty])}"


def sort_key(L: LLVMLanes, ty: str, bits: Lane, descending: bool) -> Lane:
    """The unsigned key of an element given as its bits."""
    unsigned, width = bits.ty, BITS[bits.ty]
    sign = 1 << (width - 1)
    key = bits
    if ty in _INFINITY:
        size = bits & (sign - 1)
        bits = L.select(L.cmp("eq", size, 0), L.const(unsigned, 0), bits)
        negative = L.cmp("uge", bits, sign)
        key = L.select(negative, ~bits, bits | sign)
        key = L.select(L.cmp("ugt", size, _INFINITY[ty]), L.const(unsigned, (1 << width) - 1), key)
    elif ty[0] == "i" and ty != "i1":
        key = bits ^ sign
    return ~key if descending else key


class _Lines:
    """The lines of a sig along its dimension, as a kernel's unit space."""

    def __init__(self, sig: Any, dim: int) -> None:
        x = sig.types[0]
        every = [x.strides or (0,), *(t.strides or (0,) for t in sig.outs)]
        shape = x.shape or (1,)
        rest = [d for d in range(len(shape)) if d != dim]
        self.length, self.ty, self.itemsize = shape[dim], x.dtype.lane, x.dtype.itemsize
        self.along = [s[dim] for s in every]
        sizes, strides = collapse([shape[d] for d in rest], [[s[d] for d in rest] for s in every])
        self.sizes, self.strides = (sizes, strides) if sizes else ([1], [[0] for _ in every])
        self.units = 1
        for n in self.sizes:
            self.units *= n


def sort(sig: Any, tier: str) -> list[Lowered]:
    """(values, indices) of whole lines."""
    dim, descending = sig.attrs
    return _ordered(sig, dim, descending, None)


def topk(sig: Any, tier: str) -> list[Lowered]:
    """(values, indices) of the k best, best first."""
    k, dim, largest = sig.attrs
    if 0 < k <= 64 and (sig.types[0].shape or (1,))[dim] > 2 * SHORT:
        return _best(sig, k, dim, largest)
    return _ordered(sig, dim, largest, k)


def _ordered(sig: Any, dim: int, descending: bool, limit: int | None) -> list[Lowered]:
    lines = _Lines(sig, dim)
    if not sig.types[0].numel or limit == 0:
        return []
    n, wide = lines.length, key_type(lines.ty)
    if n >= 1 << 31:
        raise NotImplementedYet(f"sorting lines of {n:,} elements is not there yet; 2**31 - 1 are the most")
    # Of many, only those that can be among the best are put in order.
    selects = limit is not None and 4 * limit < n
    k = Kernel(f"sort_{lines.ty}{'_down' if descending else ''}{'_best' if selects else ''}")
    f, width = k.f, BITS[wide]
    x, values, indices = (k.pointer(i) for i in range(3))
    space = k.dims(lines.sizes, lines.strides)
    length, keep = k.word(n), k.word(n if limit is None else limit)
    steps = [k.stride(a) for a in lines.along]
    room = -(-n * width // 8 // 64) * 64 + 64
    gap, small = k.word(room), k.word(-(-n * 4 // 64) * 64 + 64)
    key_a = "%scratch"
    key_b = k.at(key_a, gap, 8)
    at_a = k.at(key_b, gap, 8)
    at_b = k.at(at_a, small, 8)
    digits = width // 8
    tables = f.alloca(f"[{digits * 256} x i32]")
    current = [f.alloca("ptr", 8) for _ in range(4)]
    bins = f.alloca(f"[{1 << _LEADING} x i32]") if selects else ""
    with k.each(space, 3) as (_, places):
        for slot, pointer in zip(current, (key_a, key_b, at_a, at_b), strict=True):
            f.do(f"store ptr {pointer}, ptr {slot}, align 8")
        _fill(k, lines, descending, x, places[0], steps[0], length, key_a, at_a)
        count = _select(k, width, length, keep, key_a, at_a, bins) if selects else length
        few, many, done = f.label("few"), f.label("many"), f.label("sorted")
        f.branch_if(f.op(f"icmp sle i64 {count}, {SHORT}"), few, many)
        f.block(few)
        _insertion(k, width, count, key_a, at_a)
        f.branch(done)
        f.block(many)
        _radix(k, width, count, tables, current)
        f.branch(done)
        f.block(done)
        order = f.op(f"load ptr, ptr {current[2]}, align 8")
        bits = lines.itemsize * 8
        with f.loop("0", keep) as it:
            at = k.load_int(order, it.iv, 32, signed=False)
            k.move(k.at(x, k.add(places[0], k.mul(at, steps[0])), bits), k.at(values, k.add(places[1], k.mul(it.iv, steps[1])), bits), bits)
            f.do(f"store i64 {at}, ptr {k.at(indices, k.add(places[2], k.mul(it.iv, steps[2])), 64)}, align 8")
    scratch = 2 * room + 2 * (-(-n * 4 // 64) * 64 + 64)
    return [k.finish(lines.units, n * 8, scratch)]


def _fill(k: Kernel, lines: _Lines, descending: bool, x: str, place: str, step: str | None, length: str, keys: str, order: str) -> None:
    """Keys and numbers of a line, in order."""
    f, wide = k.f, key_type(lines.ty)
    width = BITS[wide]

    def body(L: LLVMLanes, i: str) -> None:
        bits = L.wrap(wide, load(L, wide, k.at(x, k.add(place, k.mul(i, step)), width)))
        store(L, wide, sort_key(L, lines.ty, bits, descending).v, k.at(keys, i, width))
        at = f.op(f"trunc i64 {i} to i32")
        if L.lanes:
            vector = L.type("u32")
            one = f.op(f"insertelement {vector} poison, i32 {at}, i64 0")
            same = f.op(f"shufflevector {vector} {one}, {vector} poison, <{LANES} x i32> zeroinitializer")
            at = f.op(f"add {vector} {same}, <{', '.join(f'i32 {n}' for n in range(LANES))}>")
        store(L, "u32", at, k.at(order, i, 32))

    if step == "1":
        k.in_lanes(length, body)
    else:
        with f.loop("0", length) as it:
            body(LLVMLanes(f, 0), it.iv)


def _select(k: Kernel, width: int, length: str, wanted: str, keys: str, order: str, bins: str) -> str:
    """Keep, in order, the elements whose leading bits are not above those of the last wanted one; returns how many."""
    f = k.f
    shift = max(0, width - _LEADING)
    f.declare("llvm.memset.p0.i64", "void", ["ptr", "i8", "i64", "i1"])
    f.do(f"call void @llvm.memset.p0.i64(ptr {bins}, i8 0, i64 {4 << _LEADING}, i1 false)")

    def leading(i: str) -> tuple[str, str]:
        key = f.op(f"load i{width}, ptr {k.at(keys, i, width)}, align {width // 8}")
        high = f.op(f"lshr i{width} {key}, {shift}")
        return key, high if width == 64 else f.op(f"zext i{width} {high} to i64")

    with f.loop("0", length) as it:
        slot = k.at(bins, leading(it.iv)[1], 32)
        seen = f.op(f"load i32, ptr {slot}, align 4")
        f.do(f"store i32 {f.op(f'add i32 {seen}, 1')}, ptr {slot}, align 4")
    with f.loop("0", str(1 << _LEADING), carried=[("i64", "0"), ("i64", "0")]) as it:
        total, last = it.vars
        last = f.op(f"select i1 {f.op(f'icmp slt i64 {total}, {wanted}')}, i64 {it.iv}, i64 {last}")
        it.next([k.add(total, k.load_int(bins, it.iv, 32, signed=False)), last])
    last = it.results[1]
    with f.loop("0", length, carried=[("i64", "0")]) as it:
        key, high = leading(it.iv)
        at = f.op(f"load i32, ptr {k.at(order, it.iv, 32)}, align 4")
        f.do(f"store i{width} {key}, ptr {k.at(keys, it.vars[0], width)}, align {width // 8}")
        f.do(f"store i32 {at}, ptr {k.at(order, it.vars[0], 32)}, align 4")
        it.next([k.add(it.vars[0], f.op(f"zext i1 {f.op(f'icmp sle i64 {high}, {last}')} to i64"))])
    return it.results[0]


def _insertion(k: Kernel, width: int, length: str, keys: str, order: str) -> None:
    """Stable insertion sort of keys and numbers."""
    with k.f.loop("1", length) as it:
        key = k.f.op(f"load i{width}, ptr {k.at(keys, it.iv, width)}, align {width // 8}")
        at = k.f.op(f"load i32, ptr {k.at(order, it.iv, 32)}, align 4")
        _insert(k, width, keys, order, it.iv, key, at)


def _insert(k: Kernel, width: int, keys: str, order: str, end: str, key: str, at: str) -> None:
    """Put (key, at) into the sorted first `end` places, after its equals, moving what is greater up by one."""
    f = k.f
    before, head, test, shift, done = f.current_block, f.label("seek"), f.label("test"), f.label("shift"), f.label("put")
    f.branch(head)
    f.block(head)
    j, less = f.fresh("j"), f.fresh("less")
    f.do(f"{j} = phi i64 [ {end}, %{before} ], [ {less}, %{shift} ]")
    f.branch_if(f.op(f"icmp sgt i64 {j}, 0"), test, done)
    f.block(test)
    f.do(f"{less} = sub i64 {j}, 1")
    other = f.op(f"load i{width}, ptr {k.at(keys, less, width)}, align {width // 8}")
    f.branch_if(f.op(f"icmp ugt i{width} {other}, {key}"), shift, done)
    f.block(shift)
    f.do(f"store i{width} {other}, ptr {k.at(keys, j, width)}, align {width // 8}")
    number = f.op(f"load i32, ptr {k.at(order, less, 32)}, align 4")
    f.do(f"store i32 {number}, ptr {k.at(order, j, 32)}, align 4")
    f.branch(head)
    f.block(done)
    f.do(f"store i{width} {key}, ptr {k.at(keys, j, width)}, align {width // 8}")
    f.do(f"store i32 {at}, ptr {k.at(order, j, 32)}, align 4")


def _radix(k: Kernel, width: int, length: str, tables: str, current: Sequence[str]) -> None:
    """Least digit first; each pass is stable. The four slots hold (keys, other keys, numbers, other numbers)."""
    f, digits = k.f, width // 8
    f.declare("llvm.memset.p0.i64", "void", ["ptr", "i8", "i64", "i1"])
    f.do(f"call void @llvm.memset.p0.i64(ptr {tables}, i8 0, i64 {digits * 1024}, i1 false)")
    first = f.op(f"load ptr, ptr {current[0]}, align 8")

    def digit(key: str, d: int) -> str:
        shifted = f.op(f"lshr i{width} {key}, {8 * d}") if d else key
        low = shifted if width == 8 else f.op(f"and i{width} {shifted}, 255")
        return low if width == 64 else f.op(f"zext i{width} {low} to i64")

    with f.loop("0", length) as it:
        key = f.op(f"load i{width}, ptr {k.at(first, it.iv, width)}, align {width // 8}")
        for d in range(digits):
            slot = k.at(tables, f.op(f"add i64 {digit(key, d)}, {256 * d}"), 32)
            seen = f.op(f"load i32, ptr {slot}, align 4")
            f.do(f"store i32 {f.op(f'add i32 {seen}, 1')}, ptr {slot}, align 4")
    for d in range(digits):
        table = k.at(tables, str(256 * d), 32)
        keys, other, order, spare = (f.op(f"load ptr, ptr {slot}, align 8") for slot in current)
        head = f.op(f"load i{width}, ptr {keys}, align {width // 8}")
        shared = k.load_int(table, digit(head, d), 32, signed=False)
        work, skip = f.label("pass"), f.label("next")
        f.branch_if(f.op(f"icmp eq i64 {shared}, {length}"), skip, work)
        f.block(work)
        with f.loop("0", "256", carried=[("i32", "0")]) as it:
            slot = k.at(table, it.iv, 32)
            count = f.op(f"load i32, ptr {slot}, align 4")
            f.do(f"store i32 {it.vars[0]}, ptr {slot}, align 4")
            it.next([f.op(f"add i32 {it.vars[0]}, {count}")])
        with f.loop("0", length) as it:
            key = f.op(f"load i{width}, ptr {k.at(keys, it.iv, width)}, align {width // 8}")
            number = f.op(f"load i32, ptr {k.at(order, it.iv, 32)}, align 4")
            slot = k.at(table, digit(key, d), 32)
            place = f.op(f"load i32, ptr {slot}, align 4")
            f.do(f"store i32 {f.op(f'add i32 {place}, 1')}, ptr {slot}, align 4")
            to = f.op(f"zext i32 {place} to i64")
            f.do(f"store i{width} {key}, ptr {k.at(other, to, width)}, align {width // 8}")
            f.do(f"store i32 {number}, ptr {k.at(spare, to, 32)}, align 4")
        for slot, pointer in zip(current, (other, keys, spare, order), strict=True):
            f.do(f"store ptr {pointer}, ptr {slot}, align 8")
        f.branch(skip)
        f.block(skip)


def _best(sig: Any, wanted: int, dim: int, largest: bool) -> list[Lowered]:
    """The few best of long lines: one sweep that keeps a sorted list and passes over what is not better than its last."""
    lines = _Lines(sig, dim)
    if not sig.types[0].numel:
        return []
    wide = key_type(lines.ty)
    width = BITS[wide]
    k = Kernel(f"topk_{lines.ty}{'_down' if largest else ''}")
    f = k.f
    x, values, indices = (k.pointer(i) for i in range(3))
    space = k.dims(lines.sizes, lines.strides)
    length, count = k.word(lines.length), k.word(wanted)
    steps = [k.stride(a) for a in lines.along]
    # One place more than is kept: an insertion pushes the last one out.
    keys, order = f.alloca(f"[65 x i{width}]"), f.alloca("[65 x i32]")
    last = k.sub(count, "1")
    with k.each(space, 3) as (_, places):
        def key_at(L: LLVMLanes, i: str) -> Lane:
            bits = L.wrap(wide, load(L, wide, k.at(x, k.add(places[0], k.mul(i, steps[0])), width)))
            return sort_key(L, lines.ty, bits, largest)

        def take(i: str, end: str) -> None:
            _insert(k, width, keys, order, end, key_at(LLVMLanes(f, 0), i).v, f.op(f"trunc i64 {i} to i32"))

        def consider(i: str) -> None:
            worst = f.op(f"load i{width}, ptr {k.at(keys, last, width)}, align {width // 8}")
            with f.when(f.op(f"icmp ult i{width} {key_at(LLVMLanes(f, 0), i).v}, {worst}")):
                take(i, count)

        with f.loop("0", count) as it:
            take(it.iv, it.iv)
        start = count
        if steps[0] == "1":
            rest = k.sub(length, count)
            whole = f.op(f"and i64 {rest}, -{LANES}")
            stop = k.add(count, whole)
            with f.loop(count, stop, LANES) as it:
                L = LLVMLanes(f, LANES)
                worst = f.op(f"load i{width}, ptr {k.at(keys, last, width)}, align {width // 8}")
                one = f.op(f"insertelement {L.type(wide)} poison, i{width} {worst}, i64 0")
                same = f.op(f"shufflevector {L.type(wide)} {one}, {L.type(wide)} poison, <{LANES} x i32> zeroinitializer")
                better = L.cmp("ult", key_at(L, it.iv), L.wrap(wide, same))
                any_better = f.op(f"icmp ne i{LANES} {f.op(f'bitcast <{LANES} x i1> {better.v} to i{LANES}')}, 0")
                with f.when(any_better), f.loop("0", str(LANES)) as one_by_one:
                    consider(k.add(it.iv, one_by_one.iv))
            start = stop
        with f.loop(start, length) as it:
            consider(it.iv)
        bits = lines.itemsize * 8
        with f.loop("0", count) as it:
            at = k.load_int(order, it.iv, 32, signed=False)
            k.move(k.at(x, k.add(places[0], k.mul(at, steps[0])), bits), k.at(values, k.add(places[1], k.mul(it.iv, steps[1])), bits), bits)
            f.do(f"store i64 {at}, ptr {k.at(indices, k.add(places[2], k.mul(it.iv, steps[2])), 64)}, align 8")
    return [k.finish(lines.units, lines.length)]


def _search_16(k: Kernel, L: LLVMLanes, ty: str, line: str, n: str, top: str, wanted: Lane, right: bool) -> str:
    """Sixteen binary searches at once: each step tries a jump of a power of two (`top`, ..., 2, 1) over elements that are not yet there."""
    f, numbers = k.f, L.type("i64")
    size = spread(k, L, "i64", n)
    before, head, body, done = f.current_block, f.label("jump"), f.label("try"), f.label("landed")
    f.branch(head)
    f.block(head)
    jump, place, shorter, after = (f.fresh("s") for _ in range(4))
    f.do(f"{jump} = phi i64 [ {top}, %{before} ], [ {shorter}, %{body} ]")
    f.do(f"{place} = phi {numbers} [ zeroinitializer, %{before} ], [ {after}, %{body} ]")
    f.branch_if(f.op(f"icmp sgt i64 {jump}, 0"), body, done)
    f.block(body)
    beyond = L.wrap("i64", place) + spread(k, L, "i64", jump)
    inside = L.cmp("le", beyond, size)
    element = gather_16(k, L, ty, line, (beyond - 1).v, inside.v)
    stop = L.cmp("gt" if right else "ge", L.wrap(ty, element), wanted)
    go = inside & ~stop
    f.do(f"{after} = select {L.type('i1')} {go.v}, {numbers} {beyond.v}, {numbers} {place}")
    f.do(f"{shorter} = lshr i64 {jump}, 1")
    f.branch(head)
    f.block(done)
    return place


def searchsorted(sig: Any, tier: str) -> list[Lowered]:
    """For each value the number of the first element of its (ascending) line that is not below it, or with `right`, that is above it."""
    sequence, values = sig.types
    (right, _) = sig.attrs
    if not values.numel:
        return []
    shape = values.shape or (1,)
    if sequence.ndim == 1:
        start: tuple[int, ...] = (0,) * len(shape)
    else:
        start = (*sequence.strides[:-1], 0)
    sizes, strides = collapse(shape, [start, values.strides or (0,), sig.out.strides or (0,)])
    if not sizes:
        sizes, strides = [1], [[0], [0], [0]]
    block = 512
    ty, bits, out_bits = values.dtype.lane, values.dtype.itemsize * 8, sig.out.dtype.itemsize * 8
    k = Kernel(f"searchsorted_{ty}_{out_bits}{'_right' if right else ''}")
    f, L = k.f, LLVMLanes(k.f, 0)
    line, value_at, out = (k.pointer(i) for i in range(3))
    blocks = -(-sizes[-1] // block)
    space = k.dims([*sizes[:-1], blocks], [[*s[:-1], s[-1] * block] for s in strides])
    n, length, whole = k.word(sequence.shape[-1]), k.word(block), k.word(sizes[-1])
    step = k.stride(sequence.strides[-1])
    inner = [k.stride(s[-1]) for s in strides]
    ty = "u8" if ty == "i1" else ty
    wide = step == "1" and inner == [None, "1", "1"] and bits >= 32
    top = k.word(1 << max(0, sequence.shape[-1].bit_length() - 1)) if wide else ""
    with k.each(space, 3) as (coords, places):
        count = k.least(length, k.sub(whole, k.mul(coords[-1], length)))
        start_at = f.op(f"and i64 {count}, -{LANES}") if wide else "0"
        if wide:
            base, vector = k.at(line, places[0], bits), LLVMLanes(f, LANES)
            with f.loop("0", start_at, LANES) as it:
                values_16 = vector.wrap(ty, load(vector, ty, k.at(value_at, k.add(places[1], it.iv), bits)))
                found_16 = _search_16(k, vector, ty, base, n, top, values_16, right)
                found_16 = found_16 if out_bits == 64 else f.op(f"trunc {vector.type('i64')} {found_16} to {vector.type('i32')}")
                f.do(f"store <{LANES} x i{out_bits}> {found_16}, ptr {k.at(out, k.add(places[2], it.iv), out_bits)}, align {out_bits // 8}")
        with f.loop(start_at, count) as it:
            first, at, to = (k.add(p, k.mul(it.iv, s)) for p, s in zip(places, inner, strict=True))
            wanted = L.wrap(ty, load(L, ty, k.at(value_at, at, bits)))
            before, head, body, done = f.current_block, f.label("search"), f.label("halve"), f.label("found")
            f.branch(head)
            f.block(head)
            lo, hi, lo2, hi2 = (f.fresh("s") for _ in range(4))
            f.do(f"{lo} = phi i64 [ 0, %{before} ], [ {lo2}, %{body} ]")
            f.do(f"{hi} = phi i64 [ {n}, %{before} ], [ {hi2}, %{body} ]")
            f.branch_if(f.op(f"icmp slt i64 {lo}, {hi}"), body, done)
            f.block(body)
            middle = f.op(f"lshr i64 {k.add(lo, hi)}, 1")
            element = L.wrap(ty, load(L, ty, k.at(line, k.add(first, k.mul(middle, step)), bits)))
            stop = L.cmp("gt" if right else "ge", element, wanted).v
            f.do(f"{lo2} = select i1 {stop}, i64 {lo}, i64 {f.op(f'add i64 {middle}, 1')}")
            f.do(f"{hi2} = select i1 {stop}, i64 {middle}, i64 {hi}")
            f.branch(head)
            f.block(done)
            found = lo if out_bits == 64 else f.op(f"trunc i64 {lo} to i32")
            f.do(f"store i{out_bits} {found}, ptr {k.at(out, to, out_bits)}, align {out_bits // 8}")
    units = blocks
    for size in sizes[:-1]:
        units *= size
    return [k.finish(units, min(block, sizes[-1]) * 16)]
