"""Draws that go one element at a time: permutations, Poisson counts, and sampling with replacement from weights.

Enters and leaves: as in `random`. Arithmetic is the same lane language, on scalars.
"""

from __future__ import annotations

from collections.abc import Callable

from frankentorch.lower import random as kernels
from frankentorch.lower import random_math as rm
from frankentorch.lower.lanes import BITS, Lane, LLVMLanes
from frankentorch.lower.llvmtext import Function, f64_literal
from frankentorch.lower.random_draws import FLOATS, INTEGERS, WIDE_INTEGERS

# From here on torch draws 64 bits a step of randperm, to lessen its bias.
RANDPERM_LIMIT = 0xFFFFFFFF // 20


def _move(f: Function, dtype: str, source: str, target: str) -> None:
    bits = BITS[dtype]
    value = f.op(f"load i{bits}, ptr {source}, align {bits // 8}")
    f.do(f"store i{bits} {value}, ptr {target}, align {bits // 8}")


def _permutation(kind: str, dtype: str, inside_out: bool) -> kernels.RandomKernel:
    kernels._only(dtype, (*INTEGERS, *WIDE_INTEGERS, *FLOATS), kind)
    symbol, bits, stride = f"random_{kind}_{dtype}", BITS[dtype], 2 if inside_out else 1
    f = Function(symbol, kernels._ABI)
    args = kernels.signature([])
    state, out, n = kernels.arguments(f, [ty for _, ty in args])
    L = LLVMLanes(f, 0)

    def at(index: str) -> str:
        return kernels.element(f, dtype, out, index)

    def store(index: str, place: str) -> None:
        f.do(f"store {L.type(dtype)} {L.convert(L.wrap('i64', index), dtype).v}, ptr {place}, align {bits // 8}")

    if not inside_out:
        with f.loop("0", n) as it:
            store(it.iv, at(it.iv))
    steps = n if inside_out else f.op(f"sub nsw i64 {n}, 1")
    with f.loop("0", steps, kernels.CHUNK) as chunk:
        count = kernels.smaller(f, f.op(f"sub nsw i64 {steps}, {chunk.iv}"), str(kernels.CHUNK))
        f.do(f"call void @mt_fill(ptr {state}, ptr %scratch, i64 {f.op(f'mul nsw i64 {count}, {stride}')})")
        with f.loop("0", count) as it:
            here = f.op(f"add nsw i64 {chunk.iv}, {it.iv}")
            words = f.op(f"getelementptr inbounds [{stride} x i32], ptr %scratch, i64 {it.iv}")
            high = f.op(f"load i32, ptr {words}, align 4")
            mine = at(here)
            if inside_out:
                low = f.op(f"load i32, ptr {f.op(f'getelementptr inbounds i32, ptr {words}, i64 1')}, align 4")
                wide = rm.join64(L, L.wrap("u32", high), L.wrap("u32", low)).v
                other = at(f.op(f"urem i64 {wide}, {f.op(f'add nsw i64 {here}, 1')}"))
                store(here, mine)
                _move(f, dtype, other, mine)
                store(here, other)
            else:
                span = f.op(f"trunc i64 {f.op(f'sub nsw i64 {n}, {here}')} to i32")
                step = f.op(f"zext i32 {f.op(f'urem i32 {high}, {span}')} to i64")
                other = at(f.op(f"add nsw i64 {here}, {step}"))
                first = f.op(f"load i{bits}, ptr {mine}, align {bits // 8}")
                _move(f, dtype, other, mine)
                f.do(f"store i{bits} {first}, ptr {other}, align {bits // 8}")
    return kernels.assemble(symbol, args, [f])


def randperm(dtype: str, p_dtype: str) -> kernels.RandomKernel:
    """Fisher and Yates, forwards: element i changes places with one of the n - i from it on. `n` is below `RANDPERM_LIMIT`."""
    return _permutation("randperm", dtype, inside_out=False)


def randperm_wide(dtype: str, p_dtype: str) -> kernels.RandomKernel:
    """From `RANDPERM_LIMIT` elements on, inside out: i goes where one of the first i + 1 was, 64 bits a step; that one moves to i."""
    return _permutation("randperm_wide", dtype, inside_out=True)


def next_uniform(f: Function, L: LLVMLanes, state: str, buffer: str) -> Lane:
    """One f64 uniform."""
    f.do(f"call void @mt_fill(ptr {state}, ptr {buffer}, i64 2)")
    high = f.op(f"load i32, ptr {buffer}, align 4")
    low = f.op(f"load i32, ptr {f.op(f'getelementptr inbounds i32, ptr {buffer}, i64 1')}, align 4")
    return rm.uniform_f64(L, L.wrap("u32", high), L.wrap("u32", low))


def _poisson_one() -> tuple[str, dict[str, str]]:
    """poisson_one(state, rate) -> count.

    Below 10: multiply uniforms until they fall under exp(-rate) (Knuth). From 10 on: transformed rejection, algorithm PTRS of
    Hoermann, Insurance: Mathematics and Economics 12 (1993), with its constants.
    """
    f = Function("poisson_one", [("ptr", "state"), ("double", "rate")], ret="i64", linkage="internal")
    L = LLVMLanes(f, 0)
    buffer = f.alloca("[16 x i32]")
    rate = L.wrap("f64", "%rate")
    labels = {name: f.label(name) for name in ("zero", "positive", "few", "again", "many", "retry", "first", "second", "yes", "no")}

    def go(cond: Lane, yes: str, no: str) -> None:
        f.branch_if(cond.v, labels[yes], labels[no])

    go(L.cmp("eq", rate, 0.0), "zero", "positive")
    f.block(labels["zero"])
    f.do("ret i64 0")
    f.block(labels["positive"])
    go(L.cmp("oge", rate, 10.0), "many", "few")

    f.block(labels["few"])
    floor_value = rm.exp_f64(L, -rate)
    before = f.current_block
    f.branch(labels["again"])
    f.block(labels["again"])
    product, count = f.fresh("product"), f.fresh("count")
    next_product, next_count = f.fresh("product"), f.fresh("count")
    f.do(f"{product} = phi double [ {f64_literal(1.0)}, %{before} ], [ {next_product}, %{labels['again']} ]")
    f.do(f"{count} = phi i64 [ 0, %{before} ], [ {next_count}, %{labels['again']} ]")
    u = next_uniform(f, L, "%state", buffer)
    f.do(f"{next_product} = fmul double {product}, {u.v}")
    f.do(f"{next_count} = add nsw i64 {count}, 1")
    more = L.cmp("gt", L.wrap("f64", next_product), floor_value)
    done = f.label("done")
    f.branch_if(more.v, labels["again"], done)
    f.block(done)
    f.do(f"ret i64 {count}")

    f.block(labels["many"])
    root, log_rate = L.sqrt(rate), rm.log_pair(L, rate)[0]
    b = root * 2.53 + 0.931
    a = b * 0.02483 - 0.059
    inverse_alpha = 1.1328 / (b - 3.4) + 1.1239
    accept = 0.9277 - 3.6224 / (b - 2.0)
    log_alpha = rm.log_pair(L, inverse_alpha)[0]
    f.branch(labels["retry"])
    f.block(labels["retry"])
    u = next_uniform(f, L, "%state", buffer) - 0.5
    v = next_uniform(f, L, "%state", buffer)
    us = 0.5 - L.abs(u)
    k = L.floor((a * 2.0 / us + b) * u + rate + 0.43)
    answer = L.convert(k, "i64")
    go(L.cmp("ge", us, 0.07) & L.cmp("le", v, accept), "yes", "first")
    f.block(labels["first"])
    go(L.cmp("lt", answer, 0) | (L.cmp("lt", us, 0.013) & L.cmp("gt", v, us)), "retry", "second")
    f.block(labels["second"])
    left = (rm.log_f64(L, v) + log_alpha) - rm.log_f64(L, a / (us * us) + b)
    right = (L.neg(rate) + k * log_rate) - rm.log_factorial(L, k)
    go(L.cmp("le", left, right), "yes", "no")
    f.block(labels["no"])
    f.branch(labels["retry"])
    f.block(labels["yes"])
    return f.finish(f"ret i64 {answer.v}"), f.declares


def poisson(dtype: str, p_dtype: str) -> kernels.RandomKernel:
    """Counts with the given rates, one an element."""
    kernels._only(dtype, FLOATS, "poisson")
    rates = p_dtype or dtype
    symbol = f"random_poisson_{dtype}_{rates}"
    one, declares = _poisson_one()
    f = Function(symbol, kernels._ABI)
    args = kernels.signature([("rates", "ptr")])
    state, out, n, rates_at = kernels.arguments(f, [ty for _, ty in args])
    L = LLVMLanes(f, 0)
    bits = BITS[dtype]
    with f.loop("0", n) as it:
        at = kernels.element(f, rates, rates_at, it.iv)
        rate = L.convert(L.wrap(rates, f.op(f"load {L.type(rates)}, ptr {at}, align {BITS[rates] // 8}")), "f64")
        count = f.op(f"call i64 @poisson_one(ptr {state}, double {rate.v})")
        value = L.convert(L.wrap("i64", count), dtype)
        f.do(f"store {L.type(dtype)} {value.v}, ptr {kernels.element(f, dtype, out, it.iv)}, align {bits // 8}")
    f.declares.update(declares)
    return kernels.assemble(symbol, args, [f], [one])


def multinomial(dtype: str, p_dtype: str) -> kernels.RandomKernel:
    """`n` samples (i64) with replacement from each row of `weights`: inverse of the running sum, by bisection.

    `sums` is memory for `categories` numbers of the summing type: f64 for f64 weights, else f32. Weights must have been checked:
    finite, none negative, no row of zeros.
    """
    weights_type = p_dtype or "f32"
    kernels._only(dtype, ("i64",), "multinomial")
    kernels._only(weights_type, FLOATS, "multinomial")
    acc = "f64" if weights_type == "f64" else "f32"
    symbol = f"random_multinomial_{dtype}_{weights_type}"
    f = Function(symbol, kernels._ABI)
    args = kernels.signature([("weights", "ptr"), ("categories", "i64"), ("rows", "i64"), ("sums", "ptr")])
    state, out, n, weights, categories, rows, sums = kernels.arguments(f, [ty for _, ty in args])
    L = LLVMLanes(f, 0)
    buffer = f.alloca("[16 x i32]")
    ty, size = L.type(acc), BITS[acc] // 8

    def load_sum(index: str) -> Lane:
        return L.wrap(acc, f.op(f"load {ty}, ptr {kernels.element(f, acc, sums, index)}, align {size}"))

    def store_sum(index: str, value: Lane) -> None:
        f.do(f"store {ty} {value.v}, ptr {kernels.element(f, acc, sums, index)}, align {size}")

    with f.loop("0", rows) as row:
        start = f.op(f"mul nsw i64 {row.iv}, {categories}")
        with f.loop("0", categories, carried=[(ty, L.const(acc, 0.0).v)]) as it:
            at = kernels.element(f, weights_type, weights, f.op(f"add nsw i64 {start}, {it.iv}"))
            weight = L.wrap(weights_type, f.op(f"load {L.type(weights_type)}, ptr {at}, align {BITS[weights_type] // 8}"))
            total = L.wrap(acc, it.vars[0]) + L.convert(weight, acc)
            store_sum(it.iv, total)
            it.next([total.v])
        whole = L.wrap(acc, it.results[0])
        with f.loop("0", categories) as it:
            store_sum(it.iv, load_sum(it.iv) / whole)
        store_sum(f.op(f"sub nsw i64 {categories}, 1"), L.const(acc, 1.0))
        with f.loop("0", n) as it:
            u = next_uniform(f, L, state, buffer)
            found = _bisect(f, L, u, categories, load_sum)
            at = f.op(f"add nsw i64 {f.op(f'mul nsw i64 {row.iv}, {n}')}, {it.iv}")
            f.do(f"store i64 {found}, ptr {kernels.element(f, 'i64', out, at)}, align 8")
    return kernels.assemble(symbol, args, [f])


def _bisect(f: Function, L: LLVMLanes, u: Lane, categories: str, load_sum: Callable[[str], Lane]) -> str:
    """The first index whose running sum is not below `u`."""
    head, body, done = f.label("bisect"), f.label("halve"), f.label("found")
    before = f.current_block
    f.branch(head)
    f.block(head)
    low, high, next_low, next_high = (f.fresh(x) for x in ("low", "high", "low", "high"))
    f.do(f"{low} = phi i64 [ 0, %{before} ], [ {next_low}, %{body} ]")
    f.do(f"{high} = phi i64 [ {categories}, %{before} ], [ {next_high}, %{body} ]")
    f.branch_if(f.op(f"icmp slt i64 {low}, {high}"), body, done)
    f.block(body)
    span = f.op(f"sub nsw i64 {high}, {low}")
    middle = f.op(f"add nsw i64 {low}, {f.op(f'ashr i64 {span}, 1')}")
    below = L.cmp("lt", L.convert(load_sum(middle), "f64"), u)
    f.do(f"{next_low} = select i1 {below.v}, i64 {f.op(f'add nsw i64 {middle}, 1')}, i64 {low}")
    f.do(f"{next_high} = select i1 {below.v}, i64 {high}, i64 {middle}")
    f.branch(head)
    f.block(done)
    return low


__all__ = ["RANDPERM_LIMIT", "multinomial", "next_uniform", "poisson", "randperm", "randperm_wide"]
