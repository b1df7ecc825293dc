"""Binomial variates: sums of geometric gaps where the mean is small, transformed rejection where it is large.

Enters and leaves: as in `random`; counts and probabilities are arrays of the output's dtype, f32 or f64. The arithmetic
is in lane functions, so that `random_reference` runs the very same.

Rejection is algorithm BTRS of Hoermann, Journal of Statistical Computation and Simulation 46 (1993), with its constants. torch
computes some steps in the dtype of its arguments; here f64 operations are rounded to it, which is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from frankentorch.lower import random as kernels
from frankentorch.lower import random_math as rm
from frankentorch.lower.lanes import BITS, Lane, Lanes, LLVMLanes
from frankentorch.lower.llvmtext import Function
from frankentorch.lower.random_serial import next_uniform

# log k! less Stirling's formula at k + 1, for k below 10.
_TAILS = [math.lgamma(k + 1) - ((k + 0.5) * math.log(k + 1) - (k + 1) + 0.5 * math.log(2 * math.pi)) for k in range(10)]


def _tail(L: Lanes, k: Lane) -> Lane:
    after = k + 1.0
    square = after * after
    value = (1 / 12 - (1 / 360 - (1 / 1260) / square) / square) / after
    for i, exact in enumerate(_TAILS):
        value = L.select(L.cmp("eq", k, float(i)), exact, value)
    return value


@dataclass(slots=True)
class Rejection:
    """BTRS's constants for one (count, p)."""

    count: Lane
    a: Lane
    b: Lane
    c: Lane
    accept: Lane
    ratio: Lane
    alpha: Lane
    mode: Lane
    dtype: str

    @classmethod
    def of(cls, L: Lanes, dtype: str, count: Lane, p: Lane) -> Rejection:
        def rounded(x: Lane) -> Lane:
            return L.round_to(x, dtype)

        mean, q = rounded(count * p), rounded(1.0 - p)
        spread = rounded(L.sqrt(rounded(mean * q)))
        b = spread * 2.53 + 1.15
        return cls(count, b * 0.0248 - 0.0873 + p * 0.01, b, mean + 0.5, 0.92 - 4.2 / b, rounded(p / q), (5.1 / b + 2.83) * spread,
                   L.floor(rounded(rounded(count + 1.0) * p)), dtype)

    def candidate(self, L: Lanes, u: Lane) -> tuple[Lane, Lane]:
        """From u in [-1/2, 1/2): the distance to the nearer end, and k."""
        us = 0.5 - L.abs(u)
        return us, L.round_to(L.floor((self.a * 2.0 / us + self.b) * u + self.c), self.dtype)

    def accepts(self, L: Lanes, us: Lane, v: Lane, k: Lane) -> Lane:
        def rounded(x: Lane) -> Lane:
            return L.round_to(x, self.dtype)

        n, m, r = self.count, self.mode, self.ratio
        above, after, rest = n - m + 1.0, rounded(k + 1.0), rounded(rounded(n - k) + 1.0)
        left = rm.log_f64(L, v * self.alpha / (self.a / (us * us) + self.b))
        right = ((m + 0.5) * rm.log_f64(L, (m + 1.0) / (r * above)) + rounded(n + 1.0) * rm.log_f64(L, above / rest)
                 + (k + 0.5) * rm.log_f64(L, r * rest / after)
                 + _tail(L, m) + _tail(L, n - m) - _tail(L, k) - _tail(L, rounded(n - k)))
        return L.cmp("le", left, right)


def few_mean(L: Lanes, dtype: str, count: Lane, p: Lane) -> Lane:
    """Whether the mean is too small for rejection."""
    return L.cmp("lt", L.round_to(count * p, dtype), 10.0)


def log_of_miss(L: Lanes, dtype: str, p: Lane) -> Lane:
    return L.round_to(rm.log1p_negated(L, p), dtype)


def gap(L: Lanes, u: Lane, log_miss: Lane) -> Lane:
    """Trials up to and including the next success."""
    return L.ceil(rm.log_f64(L, u) / log_miss)


def _binomial_one(dtype: str) -> tuple[str, dict[str, str]]:
    """binomial_one(state, count, p) -> f64, for p in (0, 1/2]."""
    f = Function("binomial_one", [("ptr", "state"), ("double", "count"), ("double", "p")], ret="double", linkage="internal")
    L = LLVMLanes(f, 0)
    buffer = f.alloca("[16 x i32]")
    count, p = L.wrap("f64", "%count"), L.wrap("f64", "%p")
    few, many, step, counted, retry, inside, doubtful, exact, yes = (
        f.label(x) for x in ("few", "many", "step", "counted", "retry", "inside", "doubtful", "exact", "yes"))
    f.branch_if(few_mean(L, dtype, count, p).v, few, many)

    f.block(few)
    log_miss = log_of_miss(L, dtype, p)
    before = f.current_block
    f.branch(step)
    f.block(step)
    total, found, next_total, next_found = (f.fresh(x) for x in ("total", "found", "total", "found"))
    zero = L.const("f64", 0.0).v
    f.do(f"{total} = phi double [ {zero}, %{before} ], [ {next_total}, %{step} ]")
    f.do(f"{found} = phi double [ {zero}, %{before} ], [ {next_found}, %{step} ]")
    trials = gap(L, next_uniform(f, L, "%state", buffer), log_miss)
    f.do(f"{next_total} = fadd double {total}, {trials.v}")
    f.do(f"{next_found} = fadd double {found}, {L.const('f64', 1.0).v}")
    f.branch_if(L.cmp("gt", L.wrap("f64", next_total), count).v, counted, step)
    f.block(counted)
    f.do(f"ret double {found}")

    f.block(many)
    constants = Rejection.of(L, dtype, count, p)
    f.branch(retry)
    f.block(retry)
    u = next_uniform(f, L, "%state", buffer) - 0.5
    v = next_uniform(f, L, "%state", buffer)
    us, k = constants.candidate(L, u)
    f.branch_if((L.cmp("lt", k, 0.0) | L.cmp("gt", k, count)).v, retry, inside)
    f.block(inside)
    f.branch_if((L.cmp("ge", us, 0.07) & L.cmp("le", v, constants.accept)).v, yes, doubtful)
    f.block(doubtful)
    accepted = constants.accepts(L, us, v, k)
    f.branch_if(accepted.v, yes, exact)
    f.block(exact)
    f.branch(retry)
    f.block(yes)
    return f.finish(f"ret double {k.v}"), f.declares


def binomial(dtype: str, p_dtype: str) -> kernels.RandomKernel:
    """Successes in `counts` trials of chance `p`; NaN where p is."""
    kernels._only(dtype, ("f32", "f64"), "binomial")
    symbol = f"random_binomial_{dtype}"
    one, declares = _binomial_one(dtype)
    f = Function(symbol, kernels._ABI)
    args = kernels.signature([("counts", "ptr"), ("p", "ptr")])
    state, out, n, counts, chances = kernels.arguments(f, [ty for _, ty in args])
    L = LLVMLanes(f, 0)
    ty, size = L.type(dtype), BITS[dtype] // 8
    result = f.alloca("double")
    with f.loop("0", n) as it:
        count, p = (L.convert(L.wrap(dtype, f.op(f"load {ty}, ptr {kernels.element(f, dtype, base, it.iv)}, align {size}")), "f64")
                    for base in (counts, chances))
        none, all_ = L.cmp("le", count, 0.0) | L.cmp("le", p, 0.0), L.cmp("ge", p, 1.0)
        upper = L.cmp("gt", p, 0.5)
        simple = L.select(none, 0.0, L.select(all_, count, float("nan")))
        f.do(f"store double {simple.v}, ptr {result}, align 8")
        with f.when((~(none | all_ | L.isnan(p))).v):
            chance = L.select(upper, L.round_to(1.0 - p, dtype), p)
            drawn = L.wrap("f64", f.op(f"call double @binomial_one(ptr {state}, double {count.v}, double {chance.v})"))
            f.do(f"store double {L.select(upper, count - drawn, drawn).v}, ptr {result}, align 8")
        value = L.convert(L.wrap("f64", f.op(f"load double, ptr {result}, align 8")), dtype)
        f.do(f"store {ty} {value.v}, ptr {kernels.element(f, dtype, out, it.iv)}, align {size}")
    f.declares.update(declares)
    return kernels.assemble(symbol, args, [f], [one])
