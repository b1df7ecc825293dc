"""The text of the builtin that runs a program, and of the module around it, for runtime/native.py.

Enters: facts about this machine and interpreter (`Host`). Leaves: IR text, and the layout of a program as numbered words. The pool
is in runtime/pool_ir.py.
"""

from __future__ import annotations

from frankentorch.runtime.pool_ir import MAX_THREADS, Host, globals_text, pool_text

__all__ = ["MAX_THREADS", "Host", "module_text"]

MAGIC = 0x4D52474F52505446  # "FTPROGRM"
RELEASE_GIL, SHARED = 1, 2
MAGIC_WORD, SIZE, FLAGS, BUSY, SCRATCH, ENTRIES, ARGUMENTS, PATCHES, HEADER = range(9)
ENTRY_FN, ENTRY_UNITS, ENTRY_GRAIN, ENTRY_WORDS, ENTRY_HEADER = range(5)


def _word(name: str, base: str, index: int) -> str:
    """Load the 64-bit word ``base[index]`` as %name."""
    return f"""  %{name}.at = getelementptr inbounds i64, ptr {base}, i64 {index}
  %{name} = load i64, ptr %{name}.at, align 8"""


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
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)

define internal i64 @fp_get() nounwind {
  %word = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %word
}

define internal void @fp_set(i64 %word) nounwind {
  call void @llvm.aarch64.set.fpcr(i64 %word)
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
    return globals_text() + (_FP_X86 if host.x86 else _FP_ARM) + pool_text(host) + _run(host)
