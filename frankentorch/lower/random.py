"""Kernels that draw torch's random numbers: MT19937 state in, samples and the next state out.

Enters: a kind, a dtype and static choices. Leaves: `RandomKernel`: the text of an LLVM module, its symbol, what each argument
word is, and the scratch bytes it needs. Kernels follow the ABI of docs/architecture.md, as ONE unit of work (draws are ordered),
except the ``philox_*`` kinds, whose units are independent. ``f64`` words are the bits of a double; output is contiguous.

Words are made `CHUNK` elements at a time into scratch, then turned into samples 16 lanes at a time. Kinds whose use of words
is regular are rows of `random_draws.DRAWS`; the others are the templates here and in `random_serial`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from frankentorch.lower import random_engine as engine
from frankentorch.lower import random_math as rm
from frankentorch.lower.kernel import Lowered, Word
from frankentorch.lower.lanes import BITS, Lane, LLVMLanes
from frankentorch.lower.llvmtext import Function, module
from frankentorch.lower.random_draws import DRAWS, FLOATS, HALVES

CHUNK = 1024
SCRATCH = 16384
GRAIN = 256
_HEAD = ("state", "out", "n")
_ABI = [("ptr", "args"), ("i64", "lo"), ("i64", "hi"), ("ptr", "scratch")]


class RandomKernel(NamedTuple):
    """`args` names the argument words in order as ``name: type``; type is ptr, i64 or f64."""

    text: str
    symbol: str
    args: tuple[str, ...]
    scratch: int = SCRATCH
    elements_per_unit: int = 0

    def lowered(self, *words: Word | float, n: int = 0) -> Lowered:
        """A call with these argument words; a float stands for its bits. Philox kernels need `n` for their units."""
        if len(words) != len(self.args):
            raise ValueError(f"{self.symbol} takes {len(self.args)} argument words ({', '.join(self.args)}), not {len(words)}")
        plain = [struct.unpack("<q", struct.pack("<d", w))[0] if isinstance(w, float) else w for w in words]
        units = -(-n // self.elements_per_unit) if self.elements_per_unit else 1
        return Lowered(self.text, self.symbol, plain, units, GRAIN if self.elements_per_unit else 1, self.scratch)


def lower_random(kind: str, dtype: str, p_dtype: str = "") -> RandomKernel:
    """The kernel for `kind` with outputs of `dtype` (a lane type: f32, f64, f16, bf16, i1, u8, ...).

    Kinds: the rows of `DRAWS`, ``normal``, ``normal_pairs``, ``log_normal``, ``randperm``, ``randperm_wide``, ``poisson``,
    ``gamma``, ``binomial``, ``multinomial``, ``philox_uniform``, ``philox_normal``. `p_dtype` is the dtype of the probabilities
    of ``bernoulli_tensor``, the weights of ``multinomial`` or the rates of ``poisson``. Raises ValueError where there is no such kernel.
    """
    from frankentorch.lower import random_binomial, random_gamma, random_philox, random_serial

    special: dict[str, Callable[[str, str], RandomKernel]] = {
        "normal": _normal, "normal_pairs": _paired, "log_normal": _paired, "randperm": random_serial.randperm,
        "randperm_wide": random_serial.randperm_wide, "poisson": random_serial.poisson, "gamma": random_gamma.gamma,
        "binomial": random_binomial.binomial,
        "multinomial": random_serial.multinomial, "philox_uniform": random_philox.uniform, "philox_normal": random_philox.normal}
    if kind in special:
        return special[kind](dtype, kind if special[kind] is _paired else p_dtype)
    if kind not in DRAWS or dtype not in DRAWS[kind].dtypes:
        raise ValueError(f"no random kernel {kind!r} for dtype {dtype!r}")
    return _elementwise(kind, dtype, p_dtype)


# Writing kernels -----------------------------------------------------------------------------------------------------
def storage(dtype: str) -> str:
    """The lane type of one element in memory: bool is a byte."""
    return "u8" if dtype == "i1" else dtype


def arguments(f: Function, types: Sequence[str]) -> list[str]:
    """Load the argument words as scalars of their types (ptr, i64, f64)."""
    llvm = {"ptr": "ptr", "i64": "i64", "f64": "double"}
    values = []
    for i, ty in enumerate(types):
        at = f.op(f"getelementptr inbounds i64, ptr %args, i64 {i}")
        values.append(f.op(f"load {llvm[ty]}, ptr {at}, align 8"))
    return values


def broadcast(f: Function, L: LLVMLanes, ty: str, value: str) -> Lane:
    """A scalar in every lane."""
    if not L.lanes:
        return L.wrap(ty, value)
    vector, scalar = L.type(ty), L.type(ty).split(" x ")[1][:-1]
    one = f.op(f"insertelement {vector} poison, {scalar} {value}, i64 0")
    return L.wrap(ty, f.op(f"shufflevector {vector} {one}, {vector} poison, <{L.lanes} x i32> zeroinitializer"))


def element(f: Function, dtype: str, base: str, index: str) -> str:
    """The address of element `index`."""
    return f.op(f"getelementptr inbounds i{BITS[storage(dtype)]}, ptr {base}, i64 {index}")


def smaller(f: Function, a: str, b: str) -> str:
    return f.call("llvm.smin.i64", "i64", [("i64", a), ("i64", b)])


def load_strided(f: Function, L: LLVMLanes, at: str, picks: Sequence[Sequence[int]]) -> list[Lane]:
    """Load the words that `picks` index (each 16 of them) as u32 lanes."""
    count = 1 + max(max(p) for p in picks)
    block = f.op(f"load <{count} x i32>, ptr {at}, align 4")
    out = []
    for pick in picks:
        mask = ", ".join(f"i32 {i}" for i in pick)
        out.append(L.wrap("u32", f.op(f"shufflevector <{count} x i32> {block}, <{count} x i32> poison, <16 x i32> <{mask}>")))
    return out


def load_words(f: Function, L: LLVMLanes, at: str, stride: int) -> list[Lane]:
    """The `stride` words of each of 16 consecutive draws."""
    return load_strided(f, L, at, [range(k, 16 * stride, stride) for k in range(stride)])


def _copy(f: Function, bits: int, source: str, target: str, count: str) -> None:
    with f.loop("0", count) as it:
        value = f.op(f"load i{bits}, ptr {f.op(f'getelementptr inbounds i{bits}, ptr {source}, i64 {it.iv}')}, align {bits // 8}")
        f.do(f"store i{bits} {value}, ptr {f.op(f'getelementptr inbounds i{bits}, ptr {target}, i64 {it.iv}')}, align {bits // 8}")


def spare_memory(f: Function) -> str:
    """Room for the ragged end of an array: `load_lanes` and `store_lanes` want it, reserved before any loop is open."""
    return f.alloca("[128 x i8]")


def load_lanes(f: Function, L: LLVMLanes, dtype: str, at: str, count: str, spare: str) -> Lane:
    """16 elements, or `count` of them and garbage."""
    ty, bits = storage(dtype), BITS[storage(dtype)]
    partial = f.op(f"icmp slt i64 {count}, 16")
    with f.when(partial):
        _copy(f, bits, at, spare, count)
    source = f.op(f"select i1 {partial}, ptr {spare}, ptr {at}")
    return L.wrap(ty, f.op(f"load {L.type(ty)}, ptr {source}, align {bits // 8}"))


def store_lanes(f: Function, L: LLVMLanes, value: Lane, at: str, count: str, spare: str) -> None:
    """Store 16 elements, or the first `count`."""
    bits = BITS[value.ty]
    partial = f.op(f"icmp slt i64 {count}, 16")
    target = f.op(f"select i1 {partial}, ptr {spare}, ptr {at}")
    f.do(f"store {L.type(value.ty)} {value.v}, ptr {target}, align {bits // 8}")
    with f.when(partial):
        _copy(f, bits, spare, at, count)


def to_storage(L: LLVMLanes, value: Lane, dtype: str) -> Lane:
    return L.convert(L.convert(value, dtype), storage(dtype))


def assemble(symbol: str, args: Sequence[tuple[str, str]], functions: Sequence[Function], helpers: Sequence[str] = (),
             **extra: int) -> RandomKernel:
    """A module of the engine, these functions, and `helpers` already written out."""
    engine_functions, declares = engine.engine_text()
    for f in functions:
        declares.update(f.declares)
    texts = [*engine_functions, *helpers, *(f.finish() for f in functions)]
    return RandomKernel(module(texts, declares), symbol, tuple(f"{name}: {ty}" for name, ty in args), **extra)


def signature(params: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [*zip(_HEAD, ("ptr", "ptr", "i64"), strict=True), *params]


# One draw an element -------------------------------------------------------------------------------------------------
def _elementwise(kind: str, dtype: str, p_dtype: str) -> RandomKernel:
    draw = DRAWS[kind]
    stride = draw.words(dtype, p_dtype)
    symbol = "_".join(filter(None, ("random", kind, dtype, p_dtype)))
    f = Function(symbol, _ABI)
    args = signature(draw.params)
    state, out, n, *rest = arguments(f, [ty for _, ty in args])
    L, spare = LLVMLanes(f), spare_memory(f)
    values = [broadcast(f, L, ty, v) for (_, ty), v in zip(draw.params, rest, strict=True) if ty != "ptr"]
    values = list(draw.setup(L, dtype, values))
    with f.loop("0", n, CHUNK) as chunk:
        count = smaller(f, f.op(f"sub nsw i64 {n}, {chunk.iv}"), str(CHUNK))
        f.do(f"call void @mt_fill(ptr {state}, ptr %scratch, i64 {f.op(f'mul nsw i64 {count}, {stride}')})")
        with f.loop("0", count, 16) as it:
            here, left = f.op(f"add nsw i64 {chunk.iv}, {it.iv}"), f.op(f"sub nsw i64 {count}, {it.iv}")
            at = f.op(f"getelementptr inbounds i32, ptr %scratch, i64 {f.op(f'mul nsw i64 {it.iv}, {stride}')}")
            arrays = [load_lanes(f, L, p_dtype, element(f, p_dtype, v, here), left, spare)
                      for (_, ty), v in zip(draw.params, rest, strict=True) if ty == "ptr"]
            sample = draw.sample(L, dtype, load_words(f, L, at, stride), [*values, *arrays])
            store_lanes(f, L, to_storage(L, sample, dtype), element(f, dtype, out, here), left, spare)
    return assemble(symbol, args, [f])


# Normals -------------------------------------------------------------------------------------------------------------
_NORMAL_PARAMS = (("mean", "f64"), ("std", "f64"))
_NORMAL_FUNCTION = [("ptr", "state"), ("ptr", "out"), ("i64", "n"), ("double", "mean"), ("double", "std"), ("ptr", "scratch")]
_PAIRS = CHUNK // 4


def _emit_function(dtype: str, exponentiate: bool) -> Function:
    """emit(raw, out, n, mean, std): scale `n` raw f64 normals, round them to `dtype` and store them."""
    f = Function("emit", [("ptr", "raw"), ("ptr", "out"), ("i64", "n"), ("double", "mean"), ("double", "std")], linkage="internal")
    L, spare = LLVMLanes(f), spare_memory(f)
    mean, std = broadcast(f, L, "f64", "%mean"), broadcast(f, L, "f64", "%std")
    with f.loop("0", "%n", 16) as it:
        raw = L.wrap("f64", f.op(f"load <16 x double>, ptr {element(f, 'f64', '%raw', it.iv)}, align 8"))
        z = L.fma(raw, std, mean)
        z = rm.exp_f64(L, z) if exponentiate else z
        store_lanes(f, L, to_storage(L, z, dtype), element(f, dtype, "%out", it.iv), f.op(f"sub nsw i64 %n, {it.iv}"), spare)
    return f


def _pairs_function(dtype: str) -> Function:
    """pairs(...): f64 Box-Muller two at a time; a partner left over waits in the state for the next call."""
    f = Function("pairs", _NORMAL_FUNCTION, linkage="internal")
    L = LLVMLanes(f)
    valid_at, normal_at = engine.field(f, "%state", engine.NORMAL_VALID), engine.field(f, "%state", engine.NORMAL)
    waiting = f.op(f"icmp ne i64 {f.op(f'load i64, ptr {valid_at}, align 8')}, 0")
    use = f.op(f"and i1 {waiting}, {f.op('icmp sgt i64 %n, 0')}")
    raw = f.op(f"getelementptr inbounds i8, ptr %scratch, i64 {SCRATCH // 2}")
    scale = "double %mean, double %std"
    with f.when(use):
        f.do(f"store i64 0, ptr {valid_at}, align 8")
        # emit reads 16 doubles: from the buffer, not from the state block.
        f.do(f"store double {f.op(f'load double, ptr {normal_at}, align 8')}, ptr {raw}, align 8")
        f.do(f"call void @emit(ptr {raw}, ptr %out, i64 1, {scale})")
    first = f.op(f"zext i1 {use} to i64")
    todo = f.op(f"sub nsw i64 %n, {first}")
    with f.loop("0", todo, 2 * _PAIRS) as chunk:
        count = smaller(f, f.op(f"sub nsw i64 {todo}, {chunk.iv}"), str(2 * _PAIRS))
        pairs = f.op(f"lshr i64 {f.op(f'add nsw i64 {count}, 1')}, 1")
        f.do(f"call void @mt_fill(ptr %state, ptr %scratch, i64 {f.op(f'mul nsw i64 {pairs}, 4')})")
        with f.loop("0", pairs, 16) as it:
            w = load_words(f, L, f.op(f"getelementptr inbounds [4 x i32], ptr %scratch, i64 {it.iv}"), 4)
            c, s = rm.box_muller_f64(L, rm.uniform_f64(L, w[2], w[3]), rm.uniform_f64(L, w[0], w[1]))
            order = ", ".join(f"i32 {i // 2 + 16 * (i % 2)}" for i in range(32))
            both = f.op(f"shufflevector <16 x double> {c.v}, <16 x double> {s.v}, <32 x i32> <{order}>")
            f.do(f"store <32 x double> {both}, ptr {f.op(f'getelementptr inbounds [2 x double], ptr {raw}, i64 {it.iv}')}, align 8")
        at = element(f, dtype, "%out", f.op(f"add nsw i64 {first}, {chunk.iv}"))
        f.do(f"call void @emit(ptr {raw}, ptr {at}, i64 {count}, {scale})")
        with f.when(f.op(f"trunc i64 {count} to i1")):
            f.do(f"store i64 1, ptr {valid_at}, align 8")
            partner = f.op(f"load double, ptr {element(f, 'f64', raw, count)}, align 8")
            f.do(f"store double {partner}, ptr {normal_at}, align 8")
    return f


def _blocks_function(dtype: str) -> Function:
    """blocks(...): n (a multiple of 16) normals; of each 16 uniforms, 8 give radii and 8 angles. Two blocks at a time."""
    f = Function("blocks", _NORMAL_FUNCTION, linkage="internal")
    L, spare = LLVMLanes(f), spare_memory(f)
    compute = "f64" if dtype == "f64" else "f32"
    stride = 2 if dtype == "f64" else 1
    mean, std = (L.convert(broadcast(f, L, "f64", v), compute) for v in ("%mean", "%std"))
    radii, angles = [*range(8), *range(16, 24)], [*range(8, 16), *range(24, 32)]
    with f.loop("0", "%n", CHUNK) as chunk:
        count = smaller(f, f.op(f"sub nsw i64 %n, {chunk.iv}"), str(CHUNK))
        f.do(f"call void @mt_fill(ptr %state, ptr %scratch, i64 {f.op(f'mul nsw i64 {count}, {stride}')})")
        with f.loop("0", count, 32) as it:
            at = f.op(f"getelementptr inbounds i32, ptr %scratch, i64 {f.op(f'mul nsw i64 {it.iv}, {stride}')}")
            words = load_strided(f, L, at, [[stride * i + k for i in lanes] for lanes in (radii, angles) for k in range(stride)])
            if dtype == "f64":
                c, s = rm.box_muller_f64(L, rm.uniform_f64(L, *words[:2]), rm.uniform_f64(L, *words[2:]))
            else:
                c, s = rm.box_muller_f32(L, rm.uniform_f32(L, words[0]), rm.uniform_f32(L, words[1]))
            vector = L.type(compute)
            here = f.op(f"add nsw i64 {chunk.iv}, {it.iv}")
            second = f.op(f"icmp sgt i64 {f.op(f'sub nsw i64 {count}, {it.iv}')}, 16")

            def put(offset: int, lanes: Sequence[int], index: str, c: Lane = c, s: Lane = s, vector: str = vector) -> None:
                mask = ", ".join(f"i32 {i}" for i in lanes)
                z = L.wrap(compute, f.op(f"shufflevector {vector} {c.v}, {vector} {s.v}, <16 x i32> <{mask}>"))
                store_lanes(f, L, to_storage(L, L.fma(z, std, mean), dtype),
                            element(f, dtype, "%out", f.op(f"add nsw i64 {index}, {offset}")), "16", spare)

            put(0, radii, here)
            with f.when(second):
                put(16, angles, here)
    return f


def _normal(dtype: str, p_dtype: str) -> RandomKernel:
    _only(dtype, FLOATS, "normal")
    symbol = f"random_normal_{dtype}"
    f = Function(symbol, _ABI)
    args = signature(_NORMAL_PARAMS)
    state, out, n, mean, std = arguments(f, [ty for _, ty in args])
    rest = f"double {mean}, double {std}, ptr %scratch"
    small = f.op(f"icmp slt i64 {n}, 16")
    with f.when(small):
        f.do(f"call void @pairs(ptr {state}, ptr {out}, i64 {n}, {rest})")
    with f.when(f.op(f"xor i1 {small}, true")):
        ragged = f.op(f"and i64 {n}, 15")
        f.do(f"call void @blocks(ptr {state}, ptr {out}, i64 {f.op(f'sub nsw i64 {n}, {ragged}')}, {rest})")
        with f.when(f.op(f"icmp ne i64 {ragged}, 0")):
            # torch draws uniforms for the ragged end too, then draws the last 16 elements again; its half types do not.
            skipped = {"f32": 1, "f64": 2}.get(dtype, 0)
            f.do(f"call void @mt_fill(ptr {state}, ptr %scratch, i64 {f.op(f'mul nsw i64 {ragged}, {skipped}')})")
            at = element(f, dtype, out, f.op(f"sub nsw i64 {n}, 16"))
            f.do(f"call void @blocks(ptr {state}, ptr {at}, i64 16, {rest})")
    return assemble(symbol, args, [_emit_function(dtype, False), _pairs_function(dtype), _blocks_function(dtype), f])


def _paired(dtype: str, kind: str) -> RandomKernel:
    """log_normal, and the normals torch draws into memory that is not contiguous: always pairwise."""
    _only(dtype, FLOATS, kind)
    symbol = f"random_{kind}_{dtype}"
    f = Function(symbol, _ABI)
    args = signature(_NORMAL_PARAMS)
    state, out, n, mean, std = arguments(f, [ty for _, ty in args])
    f.do(f"call void @pairs(ptr {state}, ptr {out}, i64 {n}, double {mean}, double {std}, ptr %scratch)")
    return assemble(symbol, args, [_emit_function(dtype, kind == "log_normal"), _pairs_function(dtype), f])


def _only(dtype: str, allowed: Sequence[str], kind: str) -> None:
    if dtype not in allowed:
        raise ValueError(f"no random kernel {kind!r} for dtype {dtype!r}")


__all__ = ["HALVES", "RandomKernel", "lower_random"]
