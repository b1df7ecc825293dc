"""Gamma variates, by rejection.

Enters and leaves: as in `random`; the shape parameters (`alpha`) are an array of the output's dtype, f32 or f64.
"""

from __future__ import annotations

import numpy as np

from frankentorch.lower import random as kernels
from frankentorch.lower import random_math as rm
from frankentorch.lower.lanes import BITS, Lane, LLVMLanes
from frankentorch.lower.llvmtext import Function, f64_literal
from frankentorch.lower.random_serial import next_uniform

# torch writes these two as floats, so its doubles hold their float values.
THIRD, SQUEEZE = float(np.float32(1 / 3)), float(np.float32(0.0331))
_LEAST = {"f32": 2.0**-126, "f64": 2.0**-1022}


def _gamma_one(dtype: str) -> tuple[str, dict[str, str]]:
    """gamma_one(state, alpha, scratch) -> f64: Marsaglia & Tsang, ACM TOMS 26(3), 2000; alpha < 1 is boosted by one.

    What torch computes in the dtype of alpha is rounded to it here: alpha + 1, 1 / alpha and alpha - 1/3.
    """
    f = Function("gamma_one", [("ptr", "state"), ("double", "alpha"), ("ptr", "scratch")], ret="double", linkage="internal")
    L = LLVMLanes(f, 0)
    buffer = f.alloca("[16 x i32]")
    alpha = L.wrap("f64", "%alpha")
    zero, positive, boost, start, again, good, log_test, no, yes = (
        f.label(x) for x in ("zero", "positive", "boost", "start", "again", "good", "logtest", "no", "yes"))

    def rounded(x: Lane) -> Lane:
        return L.round_to(x, dtype)

    f.branch_if(L.cmp("eq", alpha, 0.0).v, zero, positive)
    f.block(zero)
    f.do("ret double " + f64_literal(0.0))
    f.block(positive)
    f.branch_if(L.cmp("lt", alpha, 1.0).v, boost, start)
    f.block(boost)
    scale = rm.power_f64(L, 1.0 - next_uniform(f, L, "%state", buffer), rounded(1.0 / alpha))
    boosted = rounded(alpha + 1.0)
    after = f.current_block
    f.branch(start)
    f.block(start)
    shape = L.wrap("f64", f.op(f"phi double [ {alpha.v}, %{positive} ], [ {boosted.v}, %{after} ]"))
    factor = L.wrap("f64", f.op(f"phi double [ {f64_literal(1.0)}, %{positive} ], [ {scale.v}, %{after} ]"))
    d = rounded(shape - THIRD)
    c = 1.0 / L.sqrt(d * 9.0)
    f.branch(again)

    f.block(again)
    ones = f"double {f64_literal(0.0)}, double {f64_literal(1.0)}"
    f.do(f"call void @pairs(ptr %state, ptr {buffer}, i64 1, {ones}, ptr %scratch)")
    x = L.wrap("f64", f.op(f"load double, ptr {buffer}, align 8"))
    y = 1.0 + c * x
    f.branch_if(L.cmp("le", y, 0.0).v, again, good)
    f.block(good)
    v = y * y * y
    u = 1.0 - next_uniform(f, L, "%state", buffer)
    xx = x * x
    f.branch_if(L.cmp("lt", u, 1.0 - SQUEEZE * xx * xx).v, yes, log_test)
    f.block(log_test)
    bound = 0.5 * xx + d * (1.0 - v + rm.log_f64(L, v))
    f.branch_if(L.cmp("lt", rm.log_f64(L, u), bound).v, yes, no)
    f.block(no)
    f.branch(again)
    f.block(yes)
    return f.finish(f"ret double {(factor * d * v).v}"), f.declares


def gamma(dtype: str, p_dtype: str) -> kernels.RandomKernel:
    """Standard gamma variates, one for each `alpha`, not below the dtype's least normal number."""
    kernels._only(dtype, ("f32", "f64"), "gamma")
    symbol = f"random_gamma_{dtype}"
    helpers = [kernels._emit_function("f64", False), kernels._pairs_function("f64")]
    one, declares = _gamma_one(dtype)
    f = Function(symbol, kernels._ABI)
    args = kernels.signature([("alpha", "ptr")])
    state, out, n, alphas = kernels.arguments(f, [ty for _, ty in args])
    L = LLVMLanes(f, 0)
    ty, size = L.type(dtype), BITS[dtype] // 8
    with f.loop("0", n) as it:
        alpha = L.convert(L.wrap(dtype, f.op(f"load {ty}, ptr {kernels.element(f, dtype, alphas, it.iv)}, align {size}")), "f64")
        drawn = L.wrap("f64", f.op(f"call double @gamma_one(ptr {state}, double {alpha.v}, ptr %scratch)"))
        sample = L.convert(drawn, dtype)
        sample = L.select(L.cmp("lt", sample, _LEAST[dtype]), _LEAST[dtype], sample)
        f.do(f"store {ty} {sample.v}, ptr {kernels.element(f, dtype, out, it.iv)}, align {size}")
    f.declares.update(declares)
    return kernels.assemble(symbol, args, [*helpers, f], [one])
