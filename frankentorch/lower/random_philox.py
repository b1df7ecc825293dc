"""The counter-based stream: the same numbers in any order and on any number of threads.

Enters and leaves: as in `random`, but there is no state: argument words are (out, n, key, counter, ...) and the kernel's
units are independent. Unit u uses the 16 counters from counter + 16 u on; its elements are laid out word by word: lanes 0 to
15 take word 0 of the 16 counters, then word 1 of each, and so on. An f32 or half element takes one word, an f64 element two;
normals take both outputs of one Box-Muller from two neighbours (words 0 and 1, words 2 and 3). A counter yields 4 elements, or 2 of f64.

The next free counter after n elements is counter + 16 ceil(n / elements_per_unit).
"""

from __future__ import annotations

from collections.abc import Sequence

from frankentorch.lower import random as kernels
from frankentorch.lower import random_math as rm
from frankentorch.lower.lanes import Lane, Lanes, LLVMLanes
from frankentorch.lower.llvmtext import Function
from frankentorch.lower.random_draws import DRAWS, FLOATS
from frankentorch.lower.random_engine import philox

COUNTERS = 16


def elements_per_unit(dtype: str) -> int:
    return COUNTERS * (2 if dtype == "f64" else 4)


def unit_samples(L: Lanes, kind: str, dtype: str, counter: tuple[Lane, Lane], key: tuple[Lane, Lane], params: Sequence[Lane]) -> list[Lane]:
    """The elements of one unit (16 lanes of counters), as vectors in order. `params` went through the row's setup for uniforms."""
    words = philox(L, counter, key)
    if kind == "uniform":
        groups: list[Sequence[Lane]] = [words[:2], words[2:]] if dtype == "f64" else [(w,) for w in words]
        return [DRAWS["uniform"].sample(L, dtype, w, params) for w in groups]
    mean, std = params
    if dtype == "f64":
        u, v = (rm.uniform_f64(L, *w) for w in (words[:2], words[2:]))
        raw: Sequence[Lane] = rm.box_muller_f64(L, u, v)
    else:
        a, b, c, d = (rm.uniform_f32(L, w) for w in words)
        raw = (*rm.box_muller_f32(L, a, b), *rm.box_muller_f32(L, c, d))
    return [L.fma(z, std, mean) for z in raw]


def unit_params(L: Lanes, kind: str, dtype: str, params: Sequence[Lane]) -> Sequence[Lane]:
    """What the two f64 parameters become before the loop."""
    if kind == "uniform":
        return DRAWS["uniform"].setup(L, dtype, params)
    return [L.convert(p, "f64" if dtype == "f64" else "f32") for p in params]


def _kernel(kind: str, dtype: str) -> kernels.RandomKernel:
    kernels._only(dtype, FLOATS, f"philox_{kind}")
    symbol, unit = f"random_philox_{kind}_{dtype}", elements_per_unit(dtype)
    f = Function(symbol, kernels._ABI)
    names = ("from", "to") if kind == "uniform" else ("mean", "std")
    args = [("out", "ptr"), ("n", "i64"), ("key", "i64"), ("counter", "i64"), *((name, "f64") for name in names)]
    out, n, key, start, *rest = kernels.arguments(f, [ty for _, ty in args])
    L, spare = LLVMLanes(f), kernels.spare_memory(f)
    wide_key = L.bitcast(kernels.broadcast(f, L, "i64", key), "u64")
    key_lanes = (L.convert(wide_key, "u32"), L.convert(wide_key >> 32, "u32"))
    params = unit_params(L, kind, dtype, [kernels.broadcast(f, L, "f64", v) for v in rest])
    iota = L.wrap("u64", "<" + ", ".join(f"i64 {i}" for i in range(COUNTERS)) + ">")
    with f.loop("%lo", "%hi") as it:
        first = f.op(f"add i64 {start}, {f.op(f'shl i64 {it.iv}, 4')}")
        counter = L.bitcast(kernels.broadcast(f, L, "i64", first), "u64") + iota
        pair = (L.convert(counter, "u32"), L.convert(counter >> 32, "u32"))
        for k, sample in enumerate(unit_samples(L, kind, dtype, pair, key_lanes, params)):
            here = f.op(f"add nsw i64 {f.op(f'mul nsw i64 {it.iv}, {unit}')}, {16 * k}")
            left = f.op(f"sub nsw i64 {n}, {here}")
            with f.when(f.op(f"icmp sgt i64 {left}, 0")):
                kernels.store_lanes(f, L, kernels.to_storage(L, sample, dtype), kernels.element(f, dtype, out, here), left, spare)
    return kernels.assemble(symbol, args, [f], scratch=0, elements_per_unit=unit)


def uniform(dtype: str, p_dtype: str) -> kernels.RandomKernel:
    return _kernel("uniform", dtype)


def normal(dtype: str, p_dtype: str) -> kernels.RandomKernel:
    return _kernel("normal", dtype)
