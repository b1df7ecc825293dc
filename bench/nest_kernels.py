"""Fused kernels against a copy of the same bytes: one thread, best of several rounds taken in turn.

Prints for each kernel GB/s of the bytes it must read and write, the same for ``np.copyto`` of as many bytes, and their ratio; also how
long lowering and compiling took. Run from the repository: ``python -m bench.nest_kernels [name ...]``.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from frankentorch.lower.nest import Temp, lower_nest
from frankentorch.lower.spec import KernelSpec
from frankentorch.runtime import jit
from tests.nest_helper import LANE_OF, Graph, compiled, numpy_type, out_buffer, words_of


def prepare(spec: KernelSpec, arrays: list[Any], tier: str) -> tuple[Callable[[], None], float, float]:
    """A function that runs the kernels; seconds to lower and to compile."""
    begin = time.perf_counter()
    lows = lower_nest(spec, LANE_OF, tier)
    lowered = time.perf_counter()
    outs = [out_buffer(spec.shape_of(v), s, spec.dtype_of(v)) for v, s in spec.outputs]
    buffers: list[Any] = [*arrays, *(view for view, _ in outs)]
    temps: dict[int, Any] = {w.operand: np.zeros(w.nbytes, np.uint8) for low in lows for w in low.args if isinstance(w, Temp)}
    before = time.perf_counter()
    calls = []
    for low in lows:
        words = words_of(low, spec, buffers, temps)
        scratch = np.zeros(low.scratch + 64, np.uint8)
        args = (ctypes.addressof(words), 0, low.units, (scratch.ctypes.data + 63) & -64)
        calls.append((compiled(low.text, low.symbol, tier), args, (words, scratch, outs, temps)))
    done = time.perf_counter()

    def go() -> None:
        for fn, args, _ in calls:
            fn(*args)
    return go, lowered - begin, done - before


def bytes_moved(spec: KernelSpec) -> int:
    """Bytes that must be read once and written once."""
    total = 0
    for shape, strides, dtype in [(o.shape, o.strides, o.dtype) for o in spec.operands] + [
            (spec.shape_of(v), s, spec.dtype_of(v)) for v, s in spec.outputs]:
        total += int(np.prod([n for n, s in zip(shape, strides, strict=True) if s])) * numpy_type(dtype).itemsize
    return total


def measure(name: str, g: Graph, *outputs: Any, tier: str = "avx512") -> None:
    spec = g.spec(*((v, None) for v in outputs))
    go, lower_s, compile_s = prepare(spec, g.arrays, tier)
    size = bytes_moved(spec)
    a, b = np.ones(size // 8, np.float32), np.empty(size // 8, np.float32)
    repeat = max(1, int(3e7 // size))

    def clock(f: Callable[[], Any]) -> float:
        start = time.perf_counter()
        for _ in range(repeat):
            f()
        return (time.perf_counter() - start) / repeat
    times = [(clock(go), clock(lambda: np.copyto(b, a))) for _ in range(9)]
    mine, copy = (min(column) for column in zip(*times, strict=True))
    print(f"{name:34} {size / 1e6:9.2f} MB {size / mine / 1e9:8.2f} GB/s   copy {size / copy / 1e9:8.2f} GB/s   ratio {copy / mine:5.2f}"
          f"   lower {lower_s * 1e3:5.2f} ms  compile {compile_s * 1e3:6.2f} ms")


def normal(*shape: int) -> Any:
    """Random numbers in memory aligned to a cache line, as the runtime gives it."""
    view, _ = out_buffer(shape, tuple(int(np.prod(shape[k + 1:])) for k in range(len(shape))), "f32")
    view[...] = np.random.default_rng(0).standard_normal(shape)
    return view


def add(*shape: int) -> None:
    g = Graph(shape)
    measure(f"add {shape}", g, g.step("add", g.input(normal(*shape), "f32"), g.input(normal(*shape), "f32"), dtype="f32"))


def bias(*shape: int) -> None:
    g = Graph(shape)
    measure(f"bias {shape}", g, g.step("add", g.input(normal(*shape), "f32"), g.input(normal(*shape[1:]), "f32"), dtype="f32"))


def chain(n: int) -> None:
    g = Graph((n,))
    x = g.step("mul", g.input(normal(n), "f32"), g.input(0.5, "f32", scalar=True), dtype="f32")
    e = g.step("exp", x, dtype="f32")
    measure(f"gelu-like chain {n}", g, g.step("div", g.step("mul", x, e, dtype="f32"), g.step("add", e, x, dtype="f32"), dtype="f32"))


def transpose(m: int, n: int) -> None:
    g = Graph((m, n))
    measure(f"copy of a transpose {m}x{n}", g, g.step("neg", g.input(normal(n, m).T, "f32"), dtype="f32"))


def softmax(*shape: int, dim: int = 1) -> None:
    from tests.test_nest_reduce import softmax as steps

    g = Graph(shape)
    measure(f"softmax {shape} over {dim}", g, steps(g, g.input(normal(*shape), "f32"), (dim,)))


def layer_norm(*shape: int, dims: tuple[int, ...] = (1,)) -> None:
    from tests.test_nest_reduce import normalised

    g = Graph(shape)
    out, mean, variance = normalised(g, g.input(normal(*shape), "f32"), dims)
    measure(f"normalise {shape} over {dims}", g, out, mean, variance)


def total(*shape: int, dims: tuple[int, ...]) -> None:
    g = Graph(shape)
    measure(f"sum {shape} over {dims}", g, g.step("sum", g.input(normal(*shape), "f32"), dtype="f32", dims=dims))


def argmax(*shape: int, dims: tuple[int, ...]) -> None:
    g = Graph(shape)
    measure(f"argmax {shape} over {dims}", g, g.step("argmax", g.input(normal(*shape), "f32"), dtype="i64", dims=dims))


CASES: dict[str, list[Callable[[], None]]] = {
    "add": [lambda: add(4096), lambda: add(1 << 16), lambda: add(1 << 23), lambda: add(1000, 100)],
    "bias": [lambda: bias(4096, 1024), lambda: bias(100000, 10)],
    "chain": [lambda: chain(1 << 15), lambda: chain(1 << 22)],
    "transpose": [lambda: transpose(2048, 2048), lambda: transpose(512, 512)],
    "softmax": [lambda: softmax(4096, 1024), lambda: softmax(64, 128), lambda: softmax(4096, 10), lambda: softmax(64, 50257),
                lambda: softmax(16, 21, 4096)],
    "norm": [lambda: layer_norm(4096, 768), lambda: layer_norm(64, 64, 56 * 56, dims=(0, 2)), lambda: layer_norm(20000, 64, dims=(0,))],
    "sum": [lambda: total(4096, 1024, dims=(0,)), lambda: total(128, 256, dims=(0,)), lambda: total(4096, 1024, dims=(1,)),
            lambda: total(128, 256, dims=(1,)), lambda: total(1 << 22, dims=(0,)), lambda: total(1 << 16, dims=(0,)),
            lambda: total(100000, 3, dims=(1,)), lambda: total(100000, 16, dims=(1,)), lambda: total(64, 64, 784, dims=(0, 2))],
    "argmax": [lambda: argmax(4096, 1024, dims=(1,)), lambda: argmax(4096, 1000, dims=(0,))],
}


if __name__ == "__main__":
    print("tier", jit.current_tier())
    for case in sys.argv[1:] or CASES:
        for fn in CASES[case]:
            fn()
