"""The text of the native runner: the thread pool and the builtin that runs a program, as one LLVM module.

Enters: facts about this machine and interpreter (`Host`). Leaves: IR text for runtime/native.py, which holds the layout of
a program as Python sees it.

The pool. One job is open at a time; its units are cut into chunks, and each of ``parts`` slots owns a run of chunks. A thread
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
MAGIC = 0x4D52474F52505446  # "FTPROGRM"
RELEASE_GIL, SHARED = 1, 2
MAGIC_WORD, SIZE, FLAGS, BUSY, SCRATCH, ENTRIES, ARGUMENTS, PATCHES, HEADER = range(9)
ENTRY_FN, ENTRY_UNITS, ENTRY_GRAIN, ENTRY_WORDS, ENTRY_HEADER = range(5)
CHUNKS_PER_THREAD = 4


class Host(NamedTuple):
    """What the runner must know: the machine, and CPython's object layout."""

    x86: bool
    futexes: bool
    sys_futex: int
    ob_type_offset: int
    ob_fval_offset: int


def _word(name: str, base: str, index: int) -> str:
    """Load the 64-bit word ``base[index]`` as %name."""
    return f"""  %{name}.at = getelementptr inbounds i64, ptr {base}, i64 {index}
  %{name} = load i64, ptr %{name}.at, align 8"""


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
    pause = "call void @llvm.x86.sse2.pause()" if host.x86 else 'call void asm sideeffect "yield", ""()'
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
{"declare void @llvm.x86.sse2.pause()" if host.x86 else ""}

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

_FP_X86 = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define internal i32 @fp_get() nounwind {
  %at = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %at)
  %word = load i32, ptr %at, align 4
  ret i32 %word
}

define internal void @fp_set(i32 %word) nounwind {
  %at = alloca i32, align 4
  store i32 %word, ptr %at, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %at)
  ret void
}

define internal i1 @fp_is_default(i32 %word) alwaysinline nounwind {
  %control = and i32 %word, -64
  %default = icmp eq i32 %control, 8064
  ret i1 %default
}
"""

_FP_ARM = """
define internal i64 @fp_get() nounwind {
  %word = call i64 asm sideeffect "mrs $0, fpcr", "=r"()
  ret i64 %word
}

define internal void @fp_set(i64 %word) nounwind {
  call void asm sideeffect "msr fpcr, $0", "r"(i64 %word)
  ret void
}

define internal i1 @fp_is_default(i64 %word) alwaysinline nounwind {
  %default = icmp eq i64 %word, 0
  ret i1 %default
}
"""


def _run(host: Host) -> str:
    fp = "i32" if host.x86 else "i64"
    fp_default = "8064" if host.x86 else "0"
    return f"""
@PyExc_TypeError = external global ptr
@PyFloat_Type = external global i8
@_Py_NoneStruct = external global i8
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyErr_Occurred()
declare ptr @PyErr_NoMemory()
declare ptr @PyErr_Format(ptr, ptr, ...)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)

define internal void @entries(ptr %program, ptr %scratch, i1 %pooled) nounwind {{
entry:
{_word("count", "%program", ENTRIES)}
{_word("n.args", "%program", ARGUMENTS)}
  %first = getelementptr inbounds i64, ptr %program, i64 {HEADER}
  %threads = load i32, ptr @threads, align 4
  %several = icmp sgt i32 %threads, 1
  %may.share = and i1 %several, %pooled
  %none = icmp sle i64 %count, 0
  br i1 %none, label %done, label %each
each:
  %k = phi i64 [ 0, %entry ], [ %k.next, %ran ]
  %at = phi ptr [ %first, %entry ], [ %at.next, %ran ]
{_word("fn.word", "%at", ENTRY_FN)}
{_word("units", "%at", ENTRY_UNITS)}
{_word("grain", "%at", ENTRY_GRAIN)}
{_word("words", "%at", ENTRY_WORDS)}
  %fn = inttoptr i64 %fn.word to ptr
  %args = getelementptr inbounds i64, ptr %at, i64 {ENTRY_HEADER}
  %at.next = getelementptr inbounds i64, ptr %args, i64 %words
  %worth = icmp sgt i64 %units, %grain
  %share = and i1 %worth, %may.share
  br i1 %share, label %together, label %alone
together:
  call void @dispatch(ptr %fn, ptr %args, i64 %units, i64 %grain)
  br label %ran
alone:
  %some = icmp sgt i64 %units, 0
  br i1 %some, label %call, label %ran
call:
  call void %fn(ptr %args, i64 0, i64 %units, ptr %scratch)
  br label %ran
ran:
  %k.next = add i64 %k, 1
  %more = icmp slt i64 %k.next, %count
  br i1 %more, label %each, label %done
done:
  ret void
}}

define ptr @run(ptr %self, ptr %args, i64 %nargs) nounwind {{
entry:
  %any = icmp sgt i64 %nargs, 0
  br i1 %any, label %address, label %bad.program
address:
  %address.object = load ptr, ptr %args, align 8
  %address.word = call i64 @PyLong_AsLongLong(ptr %address.object)
  %program = inttoptr i64 %address.word to ptr
  switch i64 %address.word, label %is.program [ i64 0, label %bad.program
                                                i64 -1, label %bad.program ]
is.program:
{_word("magic", "%program", MAGIC_WORD)}
  %good = icmp eq i64 %magic, {MAGIC}
  br i1 %good, label %counted, label %bad.program
counted:
{_word("n", "%program", ARGUMENTS)}
  %given = sub i64 %nargs, 1
  %fits = icmp eq i64 %given, %n
  br i1 %fits, label %room, label %bad.count
room:
  %values = alloca i64, i64 %n, align 16
  %objects = getelementptr inbounds ptr, ptr %args, i64 1
  %no.args = icmp eq i64 %n, 0
  br i1 %no.args, label %parsed, label %parse
parse:
  %i = phi i64 [ 0, %room ], [ %i.next, %store ]
  %object.at = getelementptr inbounds ptr, ptr %objects, i64 %i
  %object = load ptr, ptr %object.at, align 8
  %type.at = getelementptr inbounds i8, ptr %object, i64 {host.ob_type_offset}
  %type = load ptr, ptr %type.at, align 8
  %is.float = icmp eq ptr %type, @PyFloat_Type
  br i1 %is.float, label %float, label %int
float:
  %float.at = getelementptr inbounds i8, ptr %object, i64 {host.ob_fval_offset}
  %float.bits = load i64, ptr %float.at, align 8
  br label %store
int:
  %int.value = call i64 @PyLong_AsLongLong(ptr %object)
  %suspect = icmp eq i64 %int.value, -1
  br i1 %suspect, label %minus.one, label %store
minus.one:
  %error = call ptr @PyErr_Occurred()
  %no.error = icmp eq ptr %error, null
  br i1 %no.error, label %store, label %raised
store:
  %value = phi i64 [ %float.bits, %float ], [ %int.value, %int ], [ -1, %minus.one ]
  %value.at = getelementptr inbounds i64, ptr %values, i64 %i
  store i64 %value, ptr %value.at, align 8
  %i.next = add i64 %i, 1
  %parse.more = icmp slt i64 %i.next, %n
  br i1 %parse.more, label %parse, label %parsed

parsed:
{_word("flags", "%program", FLAGS)}
{_word("size", "%program", SIZE)}
  %busy.at = getelementptr inbounds i64, ptr %program, i64 {BUSY}
  %exclusive = icmp ne i64 %flags, 0
  br i1 %exclusive, label %claim, label %mine
claim:
  %claim.swap = cmpxchg ptr %busy.at, i64 0, i64 1 seq_cst seq_cst
  %claimed = extractvalue {{ i64, i1 }} %claim.swap, 1
  br i1 %claimed, label %mine, label %copy
copy:
  %copy.bytes = shl i64 %size, 3
  %copied = call ptr @malloc(i64 %copy.bytes)
  %copy.refused = icmp eq ptr %copied, null
  br i1 %copy.refused, label %no.memory, label %copy.fill
copy.fill:
  call void @llvm.memcpy.p0.p0.i64(ptr %copied, ptr %program, i64 %copy.bytes, i1 false)
  br label %mine
mine:
  %p = phi ptr [ %program, %parsed ], [ %program, %claim ], [ %copied, %copy.fill ]
{_word("table", "%p", PATCHES)}
  %lists = getelementptr inbounds i64, ptr %p, i64 %table
  br i1 %no.args, label %patched, label %argument
argument:
  %a = phi i64 [ 0, %mine ], [ %a.next, %argument.done ]
  %list = phi ptr [ %lists, %mine ], [ %list.end, %argument.done ]
  %patches = load i64, ptr %list, align 8
  %a.value.at = getelementptr inbounds i64, ptr %values, i64 %a
  %a.value = load i64, ptr %a.value.at, align 8
  %list.first = getelementptr inbounds i64, ptr %list, i64 1
  %list.words = shl i64 %patches, 1
  %list.end = getelementptr inbounds i64, ptr %list.first, i64 %list.words
  %unused = icmp eq i64 %patches, 0
  br i1 %unused, label %argument.done, label %patch
patch:
  %patch.at = phi ptr [ %list.first, %argument ], [ %patch.next, %patch ]
  %target = load i64, ptr %patch.at, align 8
{_word("addend", "%patch.at", 1)}
  %target.at = getelementptr inbounds i64, ptr %p, i64 %target
  %sum = add i64 %a.value, %addend
  store i64 %sum, ptr %target.at, align 8
  %patch.next = getelementptr inbounds i64, ptr %patch.at, i64 2
  %patch.end = icmp eq ptr %patch.next, %list.end
  br i1 %patch.end, label %argument.done, label %patch
argument.done:
  %a.next = add i64 %a, 1
  %a.more = icmp slt i64 %a.next, %n
  br i1 %a.more, label %argument, label %patched

patched:
{_word("wanted", "%p", SCRATCH)}
  %needs.scratch = icmp sgt i64 %wanted, 0
  %lock.swap = cmpxchg ptr @lock, i32 0, i32 1 acquire monotonic
  %locked = extractvalue {{ i32, i1 }} %lock.swap, 1
  br i1 %needs.scratch, label %scratch, label %ready
scratch:
  br i1 %locked, label %scratch.pool, label %scratch.own
scratch.pool:
  %reserved = call i1 @reserve(i64 %wanted)
  %slot.at = getelementptr inbounds %slot, ptr @slots, i64 0, i32 2
  %slot.scratch = load ptr, ptr %slot.at, align 8
  br i1 %reserved, label %ready, label %scratch.refused
scratch.own:
  %own.up = add i64 %wanted, 63
  %own.round = and i64 %own.up, -64
  %own = call ptr @aligned_alloc(i64 64, i64 %own.round)
  %own.refused = icmp eq ptr %own, null
  br i1 %own.refused, label %scratch.refused, label %ready
ready:
  %memory = phi ptr [ null, %patched ], [ %slot.scratch, %scratch.pool ], [ %own, %scratch.own ]
  %fp = call {fp} @fp_get()
  %fp.good = call i1 @fp_is_default({fp} %fp)
  br i1 %fp.good, label %fp.ready, label %fp.mend
fp.mend:
  call void @fp_set({fp} {fp_default})
  br label %fp.ready
fp.ready:
  %release = and i64 %flags, {RELEASE_GIL}
  %keep.gil = icmp eq i64 %release, 0
  br i1 %keep.gil, label %with.gil, label %without.gil
with.gil:
  call void @entries(ptr %p, ptr %memory, i1 %locked)
  br i1 %locked, label %unlock, label %finish
unlock:
  store atomic i32 0, ptr @lock release, align 4
  br label %finish
without.gil:
  %thread = call ptr @PyEval_SaveThread()
  call void @entries(ptr %p, ptr %memory, i1 %locked)
  br i1 %locked, label %unlock.early, label %take.gil
unlock.early:
  store atomic i32 0, ptr @lock release, align 4
  br label %take.gil
take.gil:
  call void @PyEval_RestoreThread(ptr %thread)
  br label %finish
finish:
  br i1 %fp.good, label %fp.done, label %fp.restore
fp.restore:
  call void @fp_set({fp} %fp)
  br label %fp.done
fp.done:
  br i1 %locked, label %put.back, label %free.scratch
free.scratch:
  call void @free(ptr %memory)
  br label %put.back
put.back:
  call void @give_back(ptr %program, ptr %p, i64 %flags)
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct

scratch.refused:
  br i1 %locked, label %scratch.unlock, label %scratch.undo
scratch.unlock:
  store atomic i32 0, ptr @lock release, align 4
  br label %scratch.undo
scratch.undo:
  call void @give_back(ptr %program, ptr %p, i64 %flags)
  br label %no.memory
no.memory:
  %no.memory.result = call ptr @PyErr_NoMemory()
  ret ptr null
bad.count:
  %count.type = load ptr, ptr @PyExc_TypeError, align 8
  %count.result = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %count.type, ptr @text_arguments, i64 %n, i64 %given)
  ret ptr null
bad.program:
  %set = call ptr @PyErr_Occurred()
  %unset = icmp eq ptr %set, null
  br i1 %unset, label %complain, label %raised
complain:
  %program.type = load ptr, ptr @PyExc_TypeError, align 8
  %program.result = call ptr (ptr, ptr, ...) @PyErr_Format(ptr %program.type, ptr @text_program)
  ret ptr null
raised:
  ret ptr null
}}

define internal void @give_back(ptr %program, ptr %used, i64 %flags) nounwind {{
entry:
  %own = icmp eq ptr %program, %used
  br i1 %own, label %original, label %duplicate
original:
  %exclusive = icmp ne i64 %flags, 0
  br i1 %exclusive, label %unclaim, label %done
unclaim:
  %busy.at = getelementptr inbounds i64, ptr %program, i64 {BUSY}
  store atomic i64 0, ptr %busy.at release, align 8
  br label %done
duplicate:
  call void @free(ptr %used)
  br label %done
done:
  ret void
}}
"""


def module_text(host: Host) -> str:
    """The whole module; its public symbols are @run, @pool_resize, @pool_forked and @pool_started."""
    pool = _futex_pool(host) if host.futexes else _NO_POOL
    return _GLOBALS + (_FP_X86 if host.x86 else _FP_ARM) + (_WORK if host.futexes else "") + pool + _SCRATCH + _run(host)
