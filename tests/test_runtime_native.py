"""The native runner: argument words, splitting over threads, fork, Python threads, the floating-point environment, errors."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from frankentorch.runtime import native, objects
from frankentorch.runtime.native import UNITS, Program

# args: out (one f64 a unit), in, n, scale. Unit u sums block u of n numbers by way of scratch, so that wrong scratch shows.
BLOCK_SUMS = """
define void @block_sums(ptr %args, i64 %lo, i64 %hi, ptr %scratch) nounwind {
entry:
  %out = load ptr, ptr %args
  %in.at = getelementptr i64, ptr %args, i64 1
  %in = load ptr, ptr %in.at
  %n.at = getelementptr i64, ptr %args, i64 2
  %n = load i64, ptr %n.at
  %scale.at = getelementptr i64, ptr %args, i64 3
  %scale = load double, ptr %scale.at
  br label %unit
unit:
  %u = phi i64 [ %lo, %entry ], [ %u.next, %summed ]
  %more = icmp slt i64 %u, %hi
  br i1 %more, label %start, label %done
start:
  %base = mul i64 %u, %n
  br label %copy
copy:
  %i = phi i64 [ 0, %start ], [ %i.next, %copy ]
  %from.index = add i64 %base, %i
  %from = getelementptr double, ptr %in, i64 %from.index
  %x = load double, ptr %from
  %y = fmul double %x, %scale
  %to = getelementptr double, ptr %scratch, i64 %i
  store double %y, ptr %to
  %i.next = add i64 %i, 1
  %copying = icmp slt i64 %i.next, %n
  br i1 %copying, label %copy, label %sum
sum:
  %j = phi i64 [ 0, %copy ], [ %j.next, %sum ]
  %total = phi double [ 0.0, %copy ], [ %total.next, %sum ]
  %at = getelementptr double, ptr %scratch, i64 %j
  %z = load double, ptr %at
  %total.next = fadd double %total, %z
  %j.next = add i64 %j, 1
  %summing = icmp slt i64 %j.next, %n
  br i1 %summing, label %sum, label %summed
summed:
  %result.at = getelementptr double, ptr %out, i64 %u
  store double %total.next, ptr %result.at
  %u.next = add i64 %u, 1
  br label %unit
done:
  ret void
}
"""

# Counts its units into the word args[0] points at, and notes scratch's misalignment and the rounding of 1e-310 * 0.5.
PROBE = """
define void @probe(ptr %args, i64 %lo, i64 %hi, ptr %scratch) nounwind {
  %out = load ptr, ptr %args
  %count = sub i64 %hi, %lo
  %ignored = atomicrmw add ptr %out, i64 %count seq_cst
  %address = ptrtoint ptr %scratch to i64
  %low = and i64 %address, 63
  %crooked.at = getelementptr i64, ptr %out, i64 1
  %ignored.too = atomicrmw or ptr %crooked.at, i64 %low seq_cst
  %tiny.at = getelementptr i64, ptr %args, i64 1
  %tiny = load volatile double, ptr %tiny.at
  %half = fmul double %tiny, 0.5
  %product.at = getelementptr i64, ptr %out, i64 2
  store volatile double %half, ptr %product.at
  ret void
}
"""

COPY_ARGS = """
define void @copy_args(ptr %args, i64 %lo, i64 %hi, ptr %scratch) nounwind {
  %to = load ptr, ptr %args
  %from = getelementptr i64, ptr %args, i64 1
  %n.at = getelementptr i64, ptr %args, i64 1
  %n = load i64, ptr %n.at
  %bytes = shl i64 %n, 3
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)
  ret void
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""

# Spins until the word args[0] points at is not zero: a long-running program that a test ends.
WAIT = """
define void @wait(ptr %args, i64 %lo, i64 %hi, ptr %scratch) nounwind {
entry:
  %flag = load ptr, ptr %args
  %started.at = getelementptr i64, ptr %flag, i64 1
  %ignored = atomicrmw add ptr %started.at, i64 1 seq_cst
  br label %again
again:
  %seen = load atomic i64, ptr %flag seq_cst, align 8
  %zero = icmp eq i64 %seen, 0
  br i1 %zero, label %again, label %done
done:
  ret void
}
"""


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = native.get_num_threads()
    yield
    native.set_num_threads(before)


def words(n: int) -> array[int]:
    return array("q", bytes(8 * n))


def at(memory: array[int] | array[float]) -> int:
    return memory.buffer_info()[0]


BLOCKS, LENGTH = 501, 33
NUMBERS = array("d", (random.Random(5).uniform(-1, 1) for _ in range(BLOCKS * LENGTH)))


def block_sums(units: int, grain: int, **options: bool) -> tuple[Program, array[float]]:
    out = array("d", bytes(8 * BLOCKS))
    entry = (objects.get(BLOCK_SUMS, "block_sums"), [0, 0, LENGTH, 0], units, grain)
    return Program([entry], [[(0, 0, 0)], [(0, 1, 0)], [(0, 3, 0)]], 3, scratch_bytes=8 * LENGTH, **options), out


def expected(units: int) -> list[float]:
    sums = []
    for u in range(units):
        total = 0.0
        for x in NUMBERS[u * LENGTH:(u + 1) * LENGTH]:
            total += x * 0.75
        sums.append(total)
    return sums + [0.0] * (BLOCKS - units)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("grain", [1, 3, 100, 500, 501, 10**6])
def test_any_number_of_threads_gives_the_same_bits(count: int, grain: int) -> None:
    native.set_num_threads(count)
    assert native.get_num_threads() == count
    for units in (0, 1, 2, 5, BLOCKS):
        program, out = block_sums(units, grain)
        for _ in range(3):
            native.run(program.address, at(out), at(NUMBERS), 0.75)
            assert out.tolist() == expected(units)
    assert native.workers_started() <= count - 1


def test_the_pool_starts_when_needed_and_shrinks_when_told() -> None:
    native.set_num_threads(1)
    program, out = block_sums(BLOCKS, 1)
    program(at(out), at(NUMBERS), 0.75)
    assert native.workers_started() == 0
    native.set_num_threads(4)
    program(at(out), at(NUMBERS), 0.75)
    assert native.workers_started() == 3
    native.set_num_threads(2)
    assert native.workers_started() == 0
    program(at(out), at(NUMBERS), 0.75)
    assert native.workers_started() == 1 and out.tolist() == expected(BLOCKS)


def test_every_unit_is_done_once_and_scratch_is_aligned() -> None:
    for count in (1, 2, 3):
        native.set_num_threads(count)
        for scratch in (1, 100, 5000, 300_000):
            notes = words(3)
            program = Program([(objects.get(PROBE, "probe"), [at(notes), 0], 1_000_003, 1)], [[(0, 1, 0)]], 1, scratch_bytes=scratch)
            program(1e-310)
            assert notes[0] == 1_000_003 and notes[1] == 0


def test_idle_threads_use_no_processor_time() -> None:
    native.set_num_threads(3)
    program, out = block_sums(BLOCKS, 1)
    program(at(out), at(NUMBERS), 0.75)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


def test_arguments_become_words() -> None:
    out = words(12)
    pointer, big = (1 << 47) - 8, (1 << 63) - 1
    places = [[(0, 0, 0)], [(0, 2, 0), (0, 3, 16), (0, 4, -24)], [(0, 5, 0)], [(0, 6, 0)], [(0, 7, 0)], [(0, 8, 0)], []]
    program = Program([(objects.get(COPY_ARGS, "copy_args"), [0, 10, *[7] * 9], 1, 1)], places, 7)
    program(at(out), pointer, -1, 1.5, big, -(1 << 63), True)
    one_and_a_half = int.from_bytes(ctypes.c_double(1.5), "little")
    assert out.tolist()[:10] == [10, pointer, pointer + 16, pointer - 24, -1, one_and_a_half, big, -(1 << 63), 7, 7]


def test_units_may_be_an_argument_and_words_may_be_unsigned() -> None:
    notes = words(3)
    program = Program([(objects.get(PROBE, "probe"), [at(notes), (1 << 64) - 1], 0, 10)], [[(0, UNITS, 5)]], 1)
    program(37)
    program(-5)
    assert notes[0] == 42
    assert program.words[-1] == 5 and -1 in program.words


def test_entries_run_in_order() -> None:
    first, second = words(3), words(3)
    copy = objects.get(COPY_ARGS, "copy_args")
    entries = [(copy, [at(first), 2, 5], 1, 1), (copy, [at(second), 2, 0], 1, 1), (copy, [at(first), 2, 9], 1, 1)]
    Program(entries, [], 0)()
    assert first.tolist()[:2] == [2, 9] and second.tolist()[:2] == [2, 0]
    Program([], [], 0)()


@pytest.mark.parametrize("arguments", [(None,), ("x",), ([],), (1j,), (1, 2), ()])
def test_a_bad_argument_raises_and_nothing_runs(arguments: tuple[object, ...]) -> None:
    notes = words(3)
    program = Program([(objects.get(PROBE, "probe"), [at(notes), 0], 10, 10)], [[(0, 1, 0)]], 1)
    before = program.words
    with pytest.raises(TypeError):
        native.run(program.address, *arguments)
    with pytest.raises(OverflowError):
        native.run(program.address, 1 << 64)
    assert notes.tolist() == [0, 0, 0] and program.words == before


@pytest.mark.parametrize("address", [(), (0,), (-1,), (None,), (1.5,), ("run",)])
def test_what_is_no_program_is_refused(address: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        native.run(*address)
    not_a_program = words(20)
    with pytest.raises(TypeError, match="address of a program"):
        native.run(at(not_a_program))


def test_a_program_checks_its_patches() -> None:
    with pytest.raises(ValueError, match="2 arguments"):
        Program([], [[]], 2)
    for index in (2, -1, UNITS - 1):
        with pytest.raises(ValueError, match="argument words"):
            Program([(0, [1, 2], 1, 1)], [[(0, index, 0)]], 1)


def test_scratch_that_cannot_be_had_is_a_memory_error() -> None:
    notes = words(3)
    program = Program([(objects.get(PROBE, "probe"), [at(notes), 0], 10, 1)], [], 0, scratch_bytes=1 << 61)
    with pytest.raises(MemoryError):
        program()
    assert notes[0] == 0
    again, out = block_sums(BLOCKS, 1)
    again(at(out), at(NUMBERS), 0.75)
    assert out.tolist() == expected(BLOCKS)


def test_references_are_kept_in_balance() -> None:
    program = Program([], [[]], 1)
    argument, counts = 1 << 60, []
    for _ in range(3):
        for _ in range(1000):
            native.run(program.address, argument)
        gc.collect()
        counts.append((sys.getrefcount(argument), sys.getrefcount(None)))
    assert abs(counts[2][0] - counts[0][0]) < 5 and abs(counts[2][1] - counts[0][1]) < 50
    owner = array("q", [1])
    count = sys.getrefcount(owner)
    kept = Program([], [], 0, keep=owner)
    assert sys.getrefcount(owner) == count + 1
    del kept
    assert sys.getrefcount(owner) == count


SET_FLUSH = """
define i32 @set_control(i32 %value) nounwind {
  %at = alloca i32
  %old.at = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %old.at)
  store i32 %value, ptr %at
  call void @llvm.x86.sse.ldmxcsr(ptr %at)
  %old = load i32, ptr %old.at
  ret i32 %old
}
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="MXCSR is x86's")
@pytest.mark.parametrize("count", [1, 3])
def test_denormals_survive_whatever_the_caller_s_flags(count: int) -> None:
    set_control = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)(objects.get(SET_FLUSH, "set_control"))
    native.set_num_threads(1)
    native.set_num_threads(count)
    notes = words(3)
    program = Program([(objects.get(PROBE, "probe"), [at(notes), 0], 100, 1)], [[(0, 1, 0)]], 1)
    flush_and_round_down = 0x1F80 | 0x8040 | 0x2000
    before = set_control(flush_and_round_down)
    try:
        native.run(program.address, 1e-310)  # the pool starts here, and threads inherit their creator's flags
        assert set_control(flush_and_round_down) & 0xFFC0 == flush_and_round_down
    finally:
        set_control(before)
    assert ctypes.c_double.from_buffer(notes, 16).value == 5e-311


def in_child(body: object) -> int:
    """Fork, call ``body`` in the child, and return its exit status; a child that hangs is killed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(30)
            assert callable(body)
            status = 0 if body() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_runs_programs_with_threads_of_its_own() -> None:
    native.set_num_threads(3)
    program, out = block_sums(BLOCKS, 1)
    program(at(out), at(NUMBERS), 0.75)

    def child() -> bool:
        fresh = native.workers_started() == 0
        for _ in range(20):
            out[:] = array("d", bytes(8 * BLOCKS))
            program(at(out), at(NUMBERS), 0.75)
        grandchild = in_child(lambda: program(at(out), at(NUMBERS), 0.75) is None and native.workers_started() == 2)
        return fresh and native.workers_started() == 2 and out.tolist() == expected(BLOCKS) and grandchild == 0

    for _ in range(3):
        assert in_child(child) == 0
    program(at(out), at(NUMBERS), 0.75)
    assert out.tolist() == expected(BLOCKS) and native.workers_started() == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_another_thread_is_in_the_pool() -> None:
    native.set_num_threads(3)
    flag = words(2)
    waiting = Program([(objects.get(WAIT, "wait"), [at(flag)], 12, 1)], [], 0, scratch_bytes=64)
    thread = threading.Thread(target=waiting)
    thread.start()
    while flag[1] == 0:
        time.sleep(0.001)
    program, out = block_sums(BLOCKS, 1)

    def child() -> bool:
        program(at(out), at(NUMBERS), 0.75)
        flag[0] = 1
        waiting()
        return out.tolist() == expected(BLOCKS) and native.workers_started() == 2

    try:
        assert in_child(child) == 0
    finally:
        flag[0] = 1
        thread.join(20)
    assert not thread.is_alive()


def test_python_threads_run_at_once_and_share_programs() -> None:
    native.set_num_threads(3)
    flag = words(2)
    waiting = Program([(objects.get(WAIT, "wait"), [at(flag)], 12, 1)], [], 0, scratch_bytes=64)
    thread = threading.Thread(target=waiting)
    thread.start()
    while flag[1] < 3:
        time.sleep(0.001)
    program, out = block_sums(BLOCKS, 1)
    program(at(out), at(NUMBERS), 0.75)  # the pool is taken: this runs alone, with scratch of its own
    assert out.tolist() == expected(BLOCKS)
    second = words(2)
    second[0] = 1
    shared = Program([(objects.get(WAIT, "wait"), [0], 1, 1)], [[(0, 0, 0)]], 1, release_gil=True)
    other = threading.Thread(target=shared, args=(at(flag),))
    other.start()
    while flag[1] < 4:
        time.sleep(0.001)
    shared(at(second))  # in use by the other thread: this must not disturb its arguments, nor wait for it
    assert second[1] == 1 and other.is_alive()
    flag[0] = 1
    thread.join(20)
    other.join(20)
    assert not thread.is_alive() and not other.is_alive() and flag[1] == 13


def test_many_python_threads_hammer_one_program() -> None:
    native.set_num_threads(3)
    program, _ = block_sums(BLOCKS, 1)
    want, wrong = expected(BLOCKS), []

    def work() -> None:
        out = array("d", bytes(8 * BLOCKS))
        for _ in range(100):
            out[:] = array("d", bytes(8 * BLOCKS))
            program(at(out), at(NUMBERS), 0.75)
            if out.tolist() != want:
                wrong.append(out.tolist())

    crowd = [threading.Thread(target=work) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for count in (1, 3, 2, 3, 1, 2) * 4:
        native.set_num_threads(count)
    for thread in crowd:
        thread.join(60)
    assert not wrong and not any(thread.is_alive() for thread in crowd)


@pytest.mark.parametrize("count", [0, -1, 257, 10**9])
def test_set_num_threads_refuses_what_cannot_be(count: int) -> None:
    with pytest.raises(RuntimeError, match="1 to 256"):
        native.set_num_threads(count)
    with pytest.raises(TypeError):
        native.set_num_threads(2.0)  # type: ignore[arg-type]


EXIT = """
import threading, time
from array import array
from frankentorch.runtime import native, objects
from test_runtime_native import WAIT, block_sums, at, NUMBERS, words
native.set_num_threads(3)
program, out = block_sums(501, 1)
program(at(out), at(NUMBERS), 0.75)
flag = words(2)
threading.Thread(target=native.Program([(objects.get(WAIT, "wait"), [at(flag)], 8, 1)], [], 0), daemon=True).start()
while not flag[1]:
    time.sleep(0.001)
"""


def test_the_process_ends_cleanly_with_threads_in_the_pool() -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])}
    ended = subprocess.run([sys.executable, "-c", EXIT], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_default_number_of_threads_is_the_knob_s_or_the_cores() -> None:
    here = Path(__file__).parent
    ask = [sys.executable, "-c", "from frankentorch.runtime import native; print(native.get_num_threads())"]
    for setting, want in (("3", 3), ("0", len(os.sched_getaffinity(0))), ("1000", 256)):
        environment = {**os.environ, "FT_NUM_THREADS": setting, "PYTHONPATH": str(here.parent)}
        assert int(subprocess.run(ask, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout) == want


OTHER_MACHINES = """
import llvmlite.binding as llvm
from frankentorch.runtime import native_ir
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
for triple, x86, futexes in (("aarch64-unknown-linux-gnu", False, True), ("arm64-apple-macosx", False, False),
                             ("x86_64-pc-windows-msvc", True, False)):
    module = llvm.parse_assembly(native_ir.module_text(native_ir.Host(x86, futexes, 98, 8, 16)))
    module.verify()
    machine = llvm.Target.from_triple(triple).create_target_machine(reloc="pic", codemodel="small")
    assert machine.emit_object(module)
"""


def test_the_runner_compiles_for_other_machines() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", OTHER_MACHINES], env=environment, timeout=60, check=True)
