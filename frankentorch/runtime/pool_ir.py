"""The thread pool under the native runner, as LLVM IR text.

Enters: facts about this machine (`Host`). Leaves: the module's globals, its pool (@dispatch, which shares one entry's units; and
@pool_resize, @pool_forked, @pool_started for runtime/native.py) and @reserve, which sees to each thread's scratch memory.

One job is open at a time; its units are cut into chunks, and each of ``parts`` slots owns a run of chunks. A thread
takes chunks from its own slot first and from the others' afterwards, so a worker that wakes late costs nothing: the caller
does its chunks. Which thread does which chunk cannot matter, since units are independent. All of the pool's life is
in one 64-bit word, @state = generation << 32 | open bit | number of workers inside: a worker enters by compare-and-swap
while the job is open, the caller closes it once no chunk is left and waits for the workers inside only. Workers sleep on the
generation and the caller on the low half (futexes), after a brief spin.

Workers are started inside a run, so they inherit the default floating-point environment that @run sets up.

A job can be open only under @lock. A caller that finds it taken (another Python thread is running a program) runs alone.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_THREADS = 256
CHUNKS_PER_THREAD = 4


class Host(NamedTuple):
    """What the runner must know: the machine, and CPython's object layout."""

    x86: bool
    futexes: bool
    sys_futex: int
    ob_type_offset: int
    ob_fval_offset: int


def _text(name: str, words: str) -> str:
    return f'@{name} = internal constant [{len(words) + 1} x i8] c"{words}\\00"'


_GLOBALS = f"""
%slot = type {{ i64, i64, ptr, [13 x i64] }}

@state = internal global i64 0, align 64
@sleepers = internal global i32 0, align 64
@caller_asleep = internal global i32 0, align 64
@lock = internal global i32 0, align 64
@alive = internal global i32 0, align 64
@stopping = internal global i32 0, align 4
@threads = internal global i32 1, align 4
@started = internal global i32 0, align 4
@spin = internal global i32 0, align 4
@scratch_size = internal global i64 0, align 8
@scratch_slots = internal global i32 0, align 4
@job_fn = internal global ptr null, align 64
@job_args = internal global ptr null, align 8
@job_units = internal global i64 0, align 8
@job_chunks = internal global i64 0, align 8
@job_parts = internal global i64 0, align 8
@slots = internal global [{MAX_THREADS} x %slot] zeroinitializer, align 64

{_text("text_arguments", "run() takes %zd arguments after the program's address, not %zd")}
{_text("text_program", "run() needs the address of a program as its first argument")}

declare ptr @aligned_alloc(i64, i64)
declare ptr @malloc(i64)
declare void @free(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""

_WORK = """
define internal void @work(i64 %self) nounwind {
entry:
  %fn = load ptr, ptr @job_fn, align 8
  %args = load ptr, ptr @job_args, align 8
  %units = load i64, ptr @job_units, align 8
  %chunks = load i64, ptr @job_chunks, align 8
  %parts = load i64, ptr @job_parts, align 8
  %mine.scratch = getelementptr inbounds %slot, ptr @slots, i64 %self, i32 2
  %scratch = load ptr, ptr %mine.scratch, align 8
  br label %visit
visit:
  %turn = phi i64 [ 0, %entry ], [ %turn.next, %dry ]
  %seek = add i64 %self, %turn
  %whose = urem i64 %seek, %parts
  %next.at = getelementptr inbounds %slot, ptr @slots, i64 %whose, i32 0
  %end.at = getelementptr inbounds %slot, ptr @slots, i64 %whose, i32 1
  %end = load i64, ptr %end.at, align 8
  br label %look
look:
  %seen = load atomic i64, ptr %next.at monotonic, align 8
  %some = icmp slt i64 %seen, %end
  br i1 %some, label %take, label %dry
take:
  %chunk = atomicrmw add ptr %next.at, i64 1 monotonic, align 8
  %got = icmp slt i64 %chunk, %end
  br i1 %got, label %do, label %dry
do:
  %lo.product = mul i64 %units, %chunk
  %lo = udiv i64 %lo.product, %chunks
  %following = add i64 %chunk, 1
  %hi.product = mul i64 %units, %following
  %hi = udiv i64 %hi.product, %chunks
  call void %fn(ptr %args, i64 %lo, i64 %hi, ptr %scratch)
  br label %look
dry:
  %turn.next = add i64 %turn, 1
  %more = icmp slt i64 %turn.next, %parts
  br i1 %more, label %visit, label %done
done:
  ret void
}
"""


def _futex_pool(host: Host) -> str:
    """The workers, and @dispatch, which runs one entry over them; the caller holds @lock."""
    wait, wake = 128, 129  # FUTEX_WAIT and FUTEX_WAKE, private to the process
    pause = "call void @llvm.x86.sse2.pause()" if host.x86 else "call void @llvm.aarch64.hint(i32 1)"
    high = "getelementptr (i8, ptr @state, i64 4)"

    def futex(address: str, operation: int, value: str) -> str:
        return (f"call i64 (i64, ...) @syscall(i64 {host.sys_futex}, ptr {address}, i32 {operation}, i32 {value}, "
                "ptr null, ptr null, i32 0)")

    return f"""
declare i64 @syscall(i64, ...)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sched_yield()
declare void {"@llvm.x86.sse2.pause()" if host.x86 else "@llvm.aarch64.hint(i32)"}

define internal ptr @worker(ptr %index) nounwind {{
entry:
  %self = ptrtoint ptr %index to i64
  br label %idle
idle:
  %last = phi i32 [ 0, %entry ], [ %last.again, %slept ], [ %generation, %left ]
  br label %check
check:
  %spins = phi i32 [ 0, %idle ], [ %spins.next, %pausing ], [ %spins, %entering ]
  %last.again = phi i32 [ %last, %idle ], [ %last.again, %pausing ], [ %last.again, %entering ]
  %word = load atomic i64, ptr @state seq_cst, align 8
  %stop = load atomic i32, ptr @stopping seq_cst, align 4
  %is.stop = icmp ne i32 %stop, 0
  br i1 %is.stop, label %exit, label %look
look:
  %word.high = lshr i64 %word, 32
  %generation = trunc i64 %word.high to i32
  %open.bit = and i64 %word, 2147483648
  %open = icmp ne i64 %open.bit, 0
  %fresh = icmp ne i32 %generation, %last.again
  %join = and i1 %open, %fresh
  br i1 %join, label %entering, label %waiting
entering:
  %word.more = add i64 %word, 1
  %swap = cmpxchg ptr @state, i64 %word, i64 %word.more seq_cst seq_cst
  %entered = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %entered, label %inside, label %check
inside:
  call void @work(i64 %self)
  %before = atomicrmw sub ptr @state, i64 1 seq_cst, align 8
  %before.low = trunc i64 %before to i32
  %was.last = icmp eq i32 %before.low, 1
  br i1 %was.last, label %closing, label %left
closing:
  %asleep = load atomic i32, ptr @caller_asleep seq_cst, align 4
  %is.asleep = icmp ne i32 %asleep, 0
  br i1 %is.asleep, label %rouse, label %left
rouse:
  {futex("@state", wake, "1")}
  br label %left
left:
  br label %idle
waiting:
  %limit = load i32, ptr @spin, align 4
  %tired = icmp sge i32 %spins, %limit
  br i1 %tired, label %sleep, label %pausing
pausing:
  {pause}
  %spins.next = add i32 %spins, 1
  br label %check
sleep:
  atomicrmw add ptr @sleepers, i32 1 seq_cst, align 4
  {futex(high, wait, "%generation")}
  atomicrmw sub ptr @sleepers, i32 1 seq_cst, align 4
  br label %slept
slept:
  br label %idle
exit:
  atomicrmw sub ptr @alive, i32 1 seq_cst, align 4
  {futex("@alive", wake, "1")}
  ret ptr null
}}

define internal void @start(i32 %wanted) nounwind {{
entry:
  %thread = alloca i64, align 8
  %blocked = alloca [16 x i64], align 8
  %signals = alloca [16 x i64], align 8
  call void @llvm.memset.p0.i64(ptr %blocked, i8 -1, i64 128, i1 false)
  call i32 @pthread_sigmask(i32 2, ptr %blocked, ptr %signals)
  br label %each
each:
  %have = load i32, ptr @started, align 4
  %short = icmp slt i32 %have, %wanted
  br i1 %short, label %create, label %done
create:
  %index = add i32 %have, 1
  %index.wide = zext i32 %index to i64
  %index.ptr = inttoptr i64 %index.wide to ptr
  atomicrmw add ptr @alive, i32 1 seq_cst, align 4
  %failure = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr %index.ptr)
  %failed = icmp ne i32 %failure, 0
  br i1 %failed, label %refused, label %created
refused:
  atomicrmw sub ptr @alive, i32 1 seq_cst, align 4
  br label %done
created:
  %handle = load i64, ptr %thread, align 8
  call i32 @pthread_detach(i64 %handle)
  store i32 %index, ptr @started, align 4
  br label %each
done:
  call i32 @pthread_sigmask(i32 2, ptr %signals, ptr null)
  ret void
}}

define internal void @dispatch(ptr %fn, ptr %args, i64 %units, i64 %grain) nounwind {{
entry:
  %threads = load i32, ptr @threads, align 4
  %started = load i32, ptr @started, align 4
  %others = sub i32 %threads, 1
  %short = icmp slt i32 %started, %others
  br i1 %short, label %begin, label %plan
begin:
  call void @start(i32 %others)
  br label %plan
plan:
  %units.up = add i64 %units, %grain
  %units.round = sub i64 %units.up, 1
  %portions = udiv i64 %units.round, %grain
  %threads.wide = zext i32 %threads to i64
  %parts = call i64 @llvm.smin.i64(i64 %portions, i64 %threads.wide)
  %many = mul i64 %parts, {CHUNKS_PER_THREAD}
  %chunks = call i64 @llvm.smin.i64(i64 %portions, i64 %many)
  store ptr %fn, ptr @job_fn, align 8
  store ptr %args, ptr @job_args, align 8
  store i64 %units, ptr @job_units, align 8
  store i64 %chunks, ptr @job_chunks, align 8
  store i64 %parts, ptr @job_parts, align 8
  br label %share
share:
  %q = phi i64 [ 0, %plan ], [ %q.next, %share ]
  %q.next = add i64 %q, 1
  %first.product = mul i64 %chunks, %q
  %first = udiv i64 %first.product, %parts
  %end.product = mul i64 %chunks, %q.next
  %end = udiv i64 %end.product, %parts
  %next.at = getelementptr inbounds %slot, ptr @slots, i64 %q, i32 0
  %end.at = getelementptr inbounds %slot, ptr @slots, i64 %q, i32 1
  store atomic i64 %first, ptr %next.at monotonic, align 8
  store i64 %end, ptr %end.at, align 8
  %shared = icmp eq i64 %q.next, %parts
  br i1 %shared, label %open, label %share
open:
  %old = load atomic i64, ptr @state seq_cst, align 8
  %old.high = and i64 %old, -4294967296
  %new.high = add i64 %old.high, 4294967296
  %new = or i64 %new.high, 2147483648
  %ignored = atomicrmw xchg ptr @state, i64 %new seq_cst, align 8
  %sleepers = load atomic i32, ptr @sleepers seq_cst, align 4
  %any = icmp sgt i32 %sleepers, 0
  br i1 %any, label %wake, label %take.part
wake:
  %parts.narrow = trunc i64 %parts to i32
  %helpers = sub i32 %parts.narrow, 1
  {futex(high, wake, "%helpers")}
  br label %take.part
take.part:
  call void @work(i64 0)
  atomicrmw and ptr @state, i64 -2147483649 seq_cst, align 8
  br label %await
await:
  %spins = phi i32 [ 0, %take.part ], [ %spins.next, %pausing ], [ 0, %slept ]
  %inside = load atomic i32, ptr @state seq_cst, align 8
  %empty = icmp eq i32 %inside, 0
  br i1 %empty, label %done, label %wait
wait:
  %limit = load i32, ptr @spin, align 4
  %tired = icmp sge i32 %spins, %limit
  br i1 %tired, label %sleep, label %pausing
pausing:
  {pause}
  %spins.next = add i32 %spins, 1
  br label %await
sleep:
  %was = atomicrmw xchg ptr @caller_asleep, i32 1 seq_cst, align 4
  %inside.now = load atomic i32, ptr @state seq_cst, align 8
  %empty.now = icmp eq i32 %inside.now, 0
  br i1 %empty.now, label %slept, label %rest
rest:
  {futex("@state", wait, "%inside.now")}
  br label %slept
slept:
  store atomic i32 0, ptr @caller_asleep seq_cst, align 4
  br label %await
done:
  ret void
}}

declare i64 @llvm.smin.i64(i64, i64)

define void @pool_resize(i32 %threads, i32 %spin) nounwind {{
entry:
  br label %acquire
acquire:
  %swap = cmpxchg ptr @lock, i32 0, i32 1 seq_cst seq_cst
  %held = extractvalue {{ i32, i1 }} %swap, 1
  br i1 %held, label %holding, label %yield
yield:
  call i32 @sched_yield()
  br label %acquire
holding:
  store i32 %threads, ptr @threads, align 4
  store i32 %spin, ptr @spin, align 4
  %started = load i32, ptr @started, align 4
  %too.many = icmp sge i32 %started, %threads
  br i1 %too.many, label %stop, label %release
stop:
  store atomic i32 1, ptr @stopping seq_cst, align 4
  atomicrmw add ptr @state, i64 4294967296 seq_cst, align 8
  {futex(high, wake, "2147483647")}
  br label %await
await:
  %alive = load atomic i32, ptr @alive seq_cst, align 4
  %gone = icmp eq i32 %alive, 0
  br i1 %gone, label %stopped, label %wait
wait:
  {futex("@alive", wait, "%alive")}
  br label %await
stopped:
  store atomic i32 0, ptr @stopping seq_cst, align 4
  store i32 0, ptr @started, align 4
  br label %release
release:
  store atomic i32 0, ptr @lock seq_cst, align 4
  ret void
}}

define void @pool_forked() nounwind {{
entry:
  %lock = load i32, ptr @lock, align 4
  store i64 0, ptr @state, align 8
  store i32 0, ptr @sleepers, align 4
  store i32 0, ptr @caller_asleep, align 4
  store i32 0, ptr @alive, align 4
  store i32 0, ptr @stopping, align 4
  store i32 0, ptr @started, align 4
  store i32 0, ptr @lock, align 4
  %midway = icmp ne i32 %lock, 0
  br i1 %midway, label %forget, label %done
forget:
  store i64 0, ptr @scratch_size, align 8
  call void @llvm.memset.p0.i64(ptr @slots, i8 0, i64 {MAX_THREADS * 128}, i1 false)
  br label %done
done:
  ret void
}}

define i32 @pool_started() nounwind {{
  %started = load i32, ptr @started, align 4
  ret i32 %started
}}
"""


_NO_POOL = """
define internal void @dispatch(ptr %fn, ptr %args, i64 %units, i64 %grain) nounwind {
  %scratch.at = getelementptr inbounds %slot, ptr @slots, i64 0, i32 2
  %scratch = load ptr, ptr %scratch.at, align 8
  call void %fn(ptr %args, i64 0, i64 %units, ptr %scratch)
  ret void
}

define void @pool_resize(i32 %threads, i32 %spin) nounwind {
  ret void
}

define void @pool_forked() nounwind {
  store i32 0, ptr @lock, align 4
  ret void
}

define i32 @pool_started() nounwind {
  ret i32 0
}
"""

_SCRATCH = """
define internal i1 @reserve(i64 %bytes) nounwind {
entry:
  %threads = load i32, ptr @threads, align 4
  %have = load i64, ptr @scratch_size, align 8
  %slots = load i32, ptr @scratch_slots, align 4
  %large = icmp sge i64 %have, %bytes
  %enough = icmp sge i32 %slots, %threads
  %ready = and i1 %large, %enough
  br i1 %ready, label %yes, label %grow
grow:
  %size = call i64 @llvm.smax.i64(i64 %have, i64 %bytes)
  %size.up = add i64 %size, 4095
  %size.round = and i64 %size.up, -4096
  store i64 0, ptr @scratch_size, align 8
  br label %each
each:
  %t = phi i32 [ 0, %grow ], [ %t.next, %got ]
  %t.wide = zext i32 %t to i64
  %at = getelementptr inbounds %slot, ptr @slots, i64 %t.wide, i32 2
  %old = load ptr, ptr %at, align 8
  store ptr null, ptr %at, align 8
  call void @free(ptr %old)
  %new = call ptr @aligned_alloc(i64 64, i64 %size.round)
  %refused = icmp eq ptr %new, null
  br i1 %refused, label %no, label %got
got:
  store ptr %new, ptr %at, align 8
  %t.next = add i32 %t, 1
  %more = icmp slt i32 %t.next, %threads
  br i1 %more, label %each, label %grown
grown:
  store i64 %size.round, ptr @scratch_size, align 8
  store i32 %threads, ptr @scratch_slots, align 4
  br label %yes
yes:
  ret i1 true
no:
  ret i1 false
}

declare i64 @llvm.smax.i64(i64, i64)
"""


def globals_text() -> str:
    """The globals, and what else the rest of the module relies on."""
    return _GLOBALS


def pool_text(host: Host) -> str:
    """Pool and scratch. Where there are no futexes, @dispatch runs everything in the caller."""
    return (_WORK + _futex_pool(host) if host.futexes else _NO_POOL) + _SCRATCH
