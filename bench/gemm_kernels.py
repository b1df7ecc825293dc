"""How fast the contraction kernels run on one thread, against torch (oneDNN, MKL) or numpy, interleaved, best of N.

Enters: nothing, or names of sections (``gemm``, ``conv``). Leaves: one line a shape with GF/s of both and their ratio.
A shared machine drifts: read the ratio, and run it twice.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

from frankentorch.lower.contract import lower_matmul  # noqa: E402
from frankentorch.lower.conv import lower_conv  # noqa: E402
from frankentorch.lower.kernel import Lowered, Ptr  # noqa: E402
from frankentorch.runtime import jit  # noqa: E402

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None  # type: ignore[assignment]

ROUNDS = 10
# (m, n, k, layouts of a and b: n as stored by rows, t transposed)
PRODUCTS = [(64, 64, 64, "nn"), (128, 128, 128, "nn"), (256, 256, 256, "nn"), (256, 256, 256, "nt"), (512, 512, 512, "nn"),
            (1024, 1024, 1024, "nn"), (1024, 1024, 1024, "nt"), (1024, 1024, 1024, "tn"), (512, 768, 768, "nt"), (32, 256, 784, "nt"),
            (32, 10, 256, "nt"), (784, 256, 32, "tn"), (8, 768, 768, "nn"), (8, 768, 768, "nt"), (4, 768, 3072, "nt"),
            (1, 768, 768, "nn"), (1, 768, 768, "nt"), (1, 4096, 1024, "nt")]
# (images, channels in, out, size, kernel, stride, padding, groups)
CONVOLUTIONS = [(32, 64, 64, 56, 3, 1, 1, 1), (32, 1, 32, 28, 3, 1, 1, 1), (32, 32, 64, 14, 3, 1, 1, 1), (8, 256, 256, 14, 3, 1, 1, 1),
                (8, 3, 64, 112, 7, 2, 3, 1), (8, 64, 64, 56, 1, 1, 0, 1), (8, 128, 128, 28, 3, 2, 1, 1), (8, 96, 96, 28, 3, 1, 1, 96)]


def bind(lowered: Lowered, operands: list[np.ndarray]) -> Callable[[], None]:
    """A call of all units on this thread."""
    library = jit.load_object(jit.compile_object(lowered.text), lowered.symbol, (lowered.symbol,))
    fn = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(library.address(lowered.symbol))
    words = [operands[w.operand].ctypes.data + w.byte_offset if isinstance(w, Ptr) else w for w in lowered.args]
    memory = (ctypes.c_int64 * len(words))(*words)
    scratch = np.zeros(lowered.scratch + 64, np.uint8)
    at = -(-scratch.ctypes.data // 64) * 64
    address = ctypes.addressof(memory)

    def call(keep: tuple[object, ...] = (memory, scratch, operands)) -> None:
        fn(address, 0, lowered.units, at)

    return call


def race(ours: list[Callable[[], None]], theirs: Callable[[], object], flops: float) -> str:
    """Best times of both, taken in turns."""
    repeats = max(1, int(2e7 // flops))
    best = [float("inf")] * 2
    for _ in range(ROUNDS):
        for i, calls in enumerate((ours, [theirs])):
            start = time.perf_counter()
            for _ in range(repeats):
                for call in calls:
                    call()
            best[i] = min(best[i], (time.perf_counter() - start) / repeats)
    return f"{flops / best[0] / 1e9:7.1f} GF/s  peer {flops / best[1] / 1e9:7.1f}  ratio {best[1] / best[0]:5.2f}"


def strides(x: np.ndarray) -> tuple[int, ...]:
    return tuple(s // x.itemsize for s in x.strides)


def products() -> None:
    rng = np.random.default_rng(0)
    for m, n, k, layout in PRODUCTS:
        a, b = (rng.standard_normal(s, np.float32) for s in ((m, k), (k, n)))
        a, b = (x if way == "n" else np.ascontiguousarray(x.T).T for x, way in zip((a, b), layout, strict=True))
        c, other = np.zeros((m, n), np.float32), np.zeros((m, n), np.float32)
        calls = lower_matmul("f32", (), m, n, k, strides(a), strides(b), strides(c), tier=jit.current_tier(), threads=1)
        if torch is None:
            theirs = lambda a=a, b=b, out=other: np.matmul(a, b, out=out)
        else:
            ta, tb, to = map(torch.from_numpy, (a, b, other))
            theirs = lambda a=ta, b=tb, out=to: torch.mm(a, b, out=out)
        print(f"{m:5} x {n:5} x {k:5} {layout}  {race([bind(x, [a, b, c]) for x in calls], theirs, 2.0 * m * n * k)}", flush=True)


def convolutions() -> None:
    if torch is None:
        print("convolutions are raced against torch, which is not installed")
        return
    for n, ci, co, size, k, s, p, groups in CONVOLUTIONS:
        for memory in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(n, ci, size, size).to(memory_format=memory)
            w = torch.randn(co, ci // groups, k, k).to(memory_format=memory)
            y = torch.nn.functional.conv2d(x, w, None, s, p, 1, groups)
            g = torch.randn_like(y)
            results = {"forward": torch.empty_like(y), "input_grad": torch.empty_like(x), "weight_grad": torch.empty_like(w)}
            backward = torch.ops.aten.convolution_backward
            rivals = {"forward": lambda: torch.nn.functional.conv2d(x, w, None, s, p, 1, groups),
                      "input_grad": lambda: backward(g, x, w, None, [s, s], [p, p], [1, 1], False, [0, 0], groups, [True, False, False]),
                      "weight_grad": lambda: backward(g, x, w, None, [s, s], [p, p], [1, 1], False, [0, 0], groups, [False, True, False])}
            for kind, result in results.items():
                inputs = {"forward": (x, w), "input_grad": (g, w), "weight_grad": (x, g)}[kind]
                calls = lower_conv(kind, "f32", x.shape, w.shape, y.shape, x.stride(), w.stride(), y.stride(), stride=(s, s),
                                   padding=(p, p), dilation=(1, 1), groups=groups, tier=jit.current_tier(), threads=1)
                bound = [bind(c, [t.numpy() for t in (*inputs, result)]) for c in calls]
                name = f"{n}x{ci}x{size} -> {co} k{k} s{s} g{groups} {'last' if memory is torch.channels_last else 'first':5} {kind:11}"
                print(f"{name}  {race(bound, rivals[kind], 2.0 * y.numel() * (ci // groups) * k * k)}", flush=True)


if __name__ == "__main__":
    sections = sys.argv[1:] or ["gemm", "conv"]
    if "gemm" in sections:
        products()
    if "conv" in sections:
        convolutions()
