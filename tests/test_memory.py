"""The allocator: alignment, reuse, bounds, statistics, foreign memory, NumPy views, fork and Python threads."""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from frankentorch.runtime import memory
from frankentorch.runtime.memory import Buffer


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    gc.collect()
    memory.empty_cache()
    memory.set_cache_limit(1 << 30)
    yield
    memory.set_cache_limit(1 << 30)


def fill(buffer: Buffer, byte: int) -> None:
    ctypes.memset(buffer.ptr, byte, buffer.nbytes)


def content(buffer: Buffer) -> bytes:
    return ctypes.string_at(buffer.ptr, buffer.nbytes)


SIZES = [1, 7, 63, 64, 65, 1000, 4096, 4097, 100_003, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_001, 64 << 20]


@pytest.mark.parametrize("nbytes", SIZES)
def test_memory_is_aligned_writable_and_whole(nbytes: int) -> None:
    first, second = Buffer(nbytes), Buffer(nbytes)
    assert first.ptr % 64 == 0 and second.ptr % 64 == 0
    assert first.nbytes == nbytes and first.owner is None
    fill(first, 1)
    fill(second, 2)
    assert content(first) == b"\1" * nbytes and content(second) == b"\2" * nbytes


def test_live_buffers_never_overlap() -> None:
    rng = np.random.default_rng(3)
    live: list[Buffer] = []
    for step in range(3000):
        live.append(Buffer(int(rng.integers(0, 3000)) if step % 50 else int(rng.integers(0, 3_000_000))))
        if len(live) > 40:
            del live[int(rng.integers(0, 40))]
    spans = sorted((b.ptr, b.ptr + b.nbytes) for b in live if b.nbytes)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


@pytest.mark.parametrize("nbytes", [64, 1000, 100_003, 3 << 20])
def test_a_freed_block_is_used_again_without_asking_the_system(nbytes: int) -> None:
    buffer = Buffer(nbytes)
    where, fresh = buffer.ptr, memory.stats().fresh
    del buffer
    again = Buffer(nbytes - 1)
    assert again.ptr == where and again.nbytes == nbytes - 1
    assert memory.stats().fresh == fresh


def test_rounding_wastes_a_sixteenth_at_most() -> None:
    for nbytes in (1025, 1100, 4097, 65_537, 1_048_577, 33_333_333):
        before = memory.stats().in_use
        buffer = Buffer(nbytes)
        assert nbytes <= memory.stats().in_use - before <= nbytes * (1 + 1 / 16)
        del buffer


def test_empty_buffers() -> None:
    before = memory.stats()
    buffers = [Buffer(0) for _ in range(3)]
    assert all((b.ptr, b.nbytes) == (0, 0) for b in buffers)
    assert buffers[0].as_numpy(np.float32, (0, 3)).shape == (0, 3)
    assert memory.stats() == before


def test_statistics() -> None:
    memory.reset_peak()
    start = memory.stats()
    a, b = Buffer(1 << 16), Buffer(1 << 20)
    assert memory.stats().in_use == start.in_use + (1 << 16) + (1 << 20) == memory.stats().peak
    del b
    assert memory.stats().in_use == start.in_use + (1 << 16)
    assert memory.stats().cached == 1 << 20
    assert memory.stats().peak == start.in_use + (1 << 16) + (1 << 20)
    memory.reset_peak()
    assert memory.stats().peak == memory.stats().in_use
    assert memory.empty_cache() == 1 << 20
    assert memory.stats().cached == 0
    del a
    assert memory.stats().in_use == start.in_use


def test_the_cache_is_bounded() -> None:
    memory.set_cache_limit(3 << 20)
    buffers = [Buffer(1 << 20) for _ in range(8)]
    del buffers
    assert memory.stats().cached == 3 << 20
    memory.set_cache_limit(1 << 20)
    assert memory.stats().cached <= 1 << 20
    memory.set_cache_limit(0)
    buffer = Buffer(1000)
    del buffer
    assert memory.stats().cached == 0
    with pytest.raises(ValueError, match="-1"):
        memory.set_cache_limit(-1)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_blocks_go_back_to_the_system() -> None:
    buffer = Buffer(64 << 20)
    fill(buffer, 1)
    full = resident()
    del buffer
    memory.empty_cache()
    assert resident() < full - (60 << 20)


@pytest.mark.parametrize("nbytes", [1 << 60, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 80])
def test_out_of_memory_names_the_size_and_changes_nothing(nbytes: int) -> None:
    before = memory.stats()
    with pytest.raises(MemoryError, match=f"{nbytes:,} bytes"):
        Buffer(nbytes)
    assert memory.stats() == before


LIMITED = """
import resource
from frankentorch.runtime import memory
held = memory.Buffer(100 << 20)
free = memory.Buffer(200 << 20)
del free
now = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (now + (50 << 20), -1))
got = memory.Buffer(220 << 20)   # only fits once the cache is given up
assert memory.stats().cached == 0
try:
    memory.Buffer(400 << 20)
except MemoryError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_cache_is_given_up_before_memory_runs_out() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", LIMITED], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{400 << 20:,} bytes" in done.stdout


@pytest.mark.parametrize(("nbytes", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (None, TypeError)])
def test_sizes_that_are_none(nbytes: object, error: type[Exception]) -> None:
    before = memory.stats()
    with pytest.raises(error):
        Buffer(nbytes)  # type: ignore[arg-type]
    assert memory.stats() == before


def test_foreign_memory_is_kept_and_never_freed() -> None:
    array = np.arange(10, dtype=np.int64)
    held = weakref.ref(array)
    before = memory.stats()
    buffer = Buffer.from_foreign(array.ctypes.data, array.nbytes, array)
    assert buffer.ptr == array.ctypes.data and buffer.owner is array
    array[3] = 77
    assert buffer.as_numpy(np.int64, (10,))[3] == 77
    del array
    assert held() is not None
    del buffer
    assert held() is None and memory.stats() == before


def test_a_numpy_view_keeps_the_buffer() -> None:
    buffer = Buffer(4 * 24)
    where = weakref.ref(buffer)
    array = buffer.as_numpy(np.float32, (2, 3, 4))
    array[...] = np.arange(24).reshape(2, 3, 4)
    ptr = buffer.ptr
    del buffer
    assert where() is not None and Buffer(4 * 24).ptr != ptr
    part = array[1, 1]
    del array
    assert where() is not None and part.tolist() == [16, 17, 18, 19]
    del part
    assert where() is None


def test_numpy_views_take_strides_in_elements_and_offsets_in_bytes() -> None:
    buffer = Buffer(48)
    buffer.as_numpy(np.int32, (12,))[...] = np.arange(12)
    assert buffer.as_numpy(np.int32, (3, 2), (1, 6), 8).tolist() == [[2, 8], [3, 9], [4, 10]]
    assert buffer.as_numpy(np.int32, (4,), (-3,), 36).tolist() == [9, 6, 3, 0]
    assert buffer.as_numpy(np.int32, (2, 3), (0, 1), 4).tolist() == [[1, 2, 3], [1, 2, 3]]
    assert buffer.as_numpy(np.int32, (), (), 20).item() == 5
    assert buffer.as_numpy(np.complex64, (6,)).dtype == np.complex64
    assert buffer.as_numpy(np.bool_, (48,)).dtype == np.bool_
    with pytest.raises(ValueError, match="read-only"):
        buffer.as_numpy(np.int32, (12,), writable=False)[0] = 1
    structured = np.dtype([("low", "<u2"), ("high", "<u2")])
    assert buffer.as_numpy(structured, (12,))["low"].tolist() == list(range(12))


@pytest.mark.parametrize(("shape", "strides", "offset"), [
    ((13,), None, 0), ((12,), None, 4), ((4,), (4,), 0), ((4,), (-3,), 32), ((2,), (1,), -4), ((2, 2), (1,), 0)])
def test_numpy_views_cannot_reach_outside(shape: tuple[int, ...], strides: tuple[int, ...] | None, offset: int) -> None:
    with pytest.raises(ValueError, match=r"outside|strides for"):
        Buffer(48).as_numpy(np.int32, shape, strides, offset)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_keeps_what_it_has() -> None:
    buffer, free = Buffer(1000), Buffer(5 << 20)
    fill(buffer, 5)
    del free
    pid = os.fork()
    if pid == 0:
        good = False
        try:
            mine = [Buffer(5 << 20), Buffer(1000)]
            fill(mine[0], 6)
            fill(mine[1], 6)
            good = content(buffer) == b"\5" * 1000
            fill(buffer, 7)
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert content(buffer) == b"\5" * 1000


def test_python_threads() -> None:
    trouble: list[str] = []
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(mark: int) -> None:
        for step in range(1500):
            buffers = [Buffer(n) for n in (64, 1000, 1000, 70_000)]
            for buffer in buffers:
                ctypes.memset(buffer.ptr, mark, 64)
            if any(ctypes.string_at(buffer.ptr, 64) != bytes([mark]) * 64 for buffer in buffers):
                trouble.append(f"thread {mark}, step {step}")

    before = memory.stats().in_use
    crowd = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 5)]
    try:
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert not trouble and memory.stats().in_use == before


AT_EXIT = """
import frankentorch.runtime.memory as m
a, b = m.Buffer(100), m.Buffer(3 << 20)
class Cycle: pass
c = Cycle(); c.me = c; c.buffer = m.Buffer(1000)
view = m.Buffer(64).as_numpy("f4", (16,))
"""


def test_buffers_alive_at_exit_make_no_noise() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", AT_EXIT], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
