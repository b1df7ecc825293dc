"""What the native side costs: a program's call, a dispatch over threads, a buffer, a cached object. Prints a table.

Times are medians of repeats on whatever machine this is; compare them with the empty Python call beside them, not across runs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable

from frankentorch.knobs import scoped
from frankentorch.runtime import jit, memory, native, objects

NOTHING = "define void @k(ptr %args, i64 %lo, i64 %hi, ptr %scratch) nounwind {\n  ret void\n}"
SMALL = """
define void @k(ptr %args, i64 %lo, i64 %hi, ptr %scratch) nounwind {{
  %a = load ptr, ptr %args
  %v = load <16 x float>, ptr %a, align 4
  %x = call <16 x float> @llvm.fma.v16f32(<16 x float> %v, <16 x float> %v, <16 x float> splat (float {c}.0))
  store <16 x float> %x, ptr %a, align 4
  ret void
}}
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
"""


def per_call(call: Callable[[], object], number: int = 20000) -> float:
    """Nanoseconds a call, the median of seven repeats."""
    return statistics.median(timeit.repeat(call, number=number, repeat=7)) / number * 1e9


def row(name: str, nanoseconds: float) -> None:
    unit, scale = ("ns", 1.0) if nanoseconds < 1e4 else ("us", 1e3) if nanoseconds < 1e7 else ("ms", 1e6)
    print(f"  {name:<58}{nanoseconds / scale:10.1f} {unit}")


def calls() -> None:
    nothing = objects.get(NOTHING, "k")
    run = native.runner()
    big = 1 << 46
    row("an empty Python function", per_call(lambda: None))
    for n, value in ((0, 0), (10, big), (10, 0.5), (40, big)):
        patches = [[(0, i, 0)] for i in range(n)]
        program, values = native.Program([(nothing, [0] * n, 1, 1)], patches, n), (value,) * n
        row(f"run: one empty kernel, {n} arguments ({type(value).__name__})",
            per_call(lambda a=program.address, v=values: run(a, *v)))
    many = native.Program([(nothing, [0] * 4, 1, 1)] * 50, [], 0)
    row("run: fifty empty kernels", per_call(lambda: run(many.address)))
    released = native.Program([(nothing, [], 1, 1)], [], 0, release_gil=True)
    row("run: one empty kernel, releasing the GIL", per_call(lambda: run(released.address)))
    before = native.get_num_threads()
    shared = native.Program([(nothing, [], 1000, 1)], [], 0)
    for count in (1, 2, 3):
        native.set_num_threads(count)
        row(f"run: one empty kernel shared, {count} threads", per_call(lambda: run(shared.address)))
    native.set_num_threads(before)


def buffers() -> None:
    for nbytes in (64, 4096, 1 << 20, 16 << 20):
        row(f"a reused buffer of {nbytes} bytes, taken and given back", per_call(lambda n=nbytes: memory.Buffer(n)))
    held = memory.Buffer(4096)
    row("a NumPy view of a buffer", per_call(lambda: held.as_numpy("f4", (4, 256)), 2000))


def once(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return float(time.perf_counter_ns() - start)


FRESH = """
import time; start = time.perf_counter_ns()
import frankentorch.runtime.objects as objects
a = time.perf_counter_ns()
objects.jit.current_tier()
b = time.perf_counter_ns()
from frankentorch.runtime import native; native.runner()
print(a - start, b - a, time.perf_counter_ns() - b)
"""


def cache() -> None:
    with tempfile.TemporaryDirectory() as folder, scoped(cache_dir=folder):
        objects.forget_loaded()
        texts = [SMALL.format(c=c) for c in range(30)]
        row("compile one small kernel (mean of 30)", once(lambda: [objects.get(text, "k") for text in texts]) / 30)
        objects.forget_loaded()
        keys = [objects.key_of(text) for text in texts]
        row("load one from disk by key (mean of 30)", once(lambda: [objects.get_by_key(key, "k") for key in keys]) / 30)
        row("find one in memory", per_call(lambda: objects.get_by_key(keys[0], "k")))
    finished = [subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True) for _ in range(5)]
    parts = zip(*(map(int, process.stdout.split()) for process in finished), strict=True)
    names = ("import the object cache", "import LLVM, know the processor", "load the native runner")
    for name, times in zip(names, parts, strict=True):
        row(f"fresh process: {name}", statistics.median(times))


def main() -> None:
    print(f"tier {jit.current_tier()}, LLVM {jit.llvm_version()}, {native.get_num_threads()} threads")
    for title, part in (("programs", calls), ("memory", buffers), ("objects", cache)):
        print(title)
        part()


if __name__ == "__main__":
    main()
