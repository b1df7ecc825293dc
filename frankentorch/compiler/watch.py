"""What a call reaches: every code object and every C function, seen by a profiler while the call is recorded.

Enters: a call. Leaves: a `Watch`: the user's code objects that ran, and the first thing that rules replay out, if any.

Code of this package is trusted: its reads are covered by the guards of `state`, except for what `REFUSED` names (seeds, settings of the
process). Code of the standard library and of numpy is trusted where this package calls it. Everything else is the user's: it may run, for
what it reads and writes is found by name and guarded; but the C functions it calls have to be known to depend on, and change,
nothing but their arguments.
"""

from __future__ import annotations

import builtins
import math
import os
import sys
import sysconfig
from types import BuiltinFunctionType, CodeType, ModuleType
from typing import Any

import numpy

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
STDLIB = os.path.realpath(sysconfig.get_paths()["stdlib"]) + os.sep
NUMPY = os.path.dirname(os.path.abspath(numpy.__file__)) + os.sep
DEFINERS = PACKAGE + os.path.join("ops", "define.py")
_SITE = ("site-packages", "dist-packages")
REFUSED = frozenset({"manual_seed", "seed", "initial_seed", "get_state", "set_state", "get_rng_state", "set_rng_state", "clone_state", "set_default_dtype",
                     "set_default_device", "set_default_tensor_type", "set_num_threads", "set_num_interop_threads", "set_printoptions", "set_detect_anomaly",
                     "set_default_generator", "set_stance", "load", "save", "from_numpy", "from_dlpack", "frombuffer", "register_hook", "retain_grad",
                     "register_prehook", "register_post_accumulate_grad_hook", "share_memory_", "set_", "resize_", "_expose", "_rebind"})
UNTRUSTED = tuple(PACKAGE + p for p in ("utils" + os.sep, "interop" + os.sep, "conformance" + os.sep, "cli" + os.sep, "distributions" + os.sep,
                                        "optim" + os.sep + "lbfgs", "profiler", "multiprocessing", "hub"))
_IMPURE = frozenset({"print", "input", "open", "exec", "eval", "compile", "__import__", "breakpoint", "globals", "locals", "vars", "id", "getattr", "delattr",
                     "setattr", "dir", "hash", "memoryview"})
PURE_BUILTINS = frozenset(f for n, f in vars(builtins).items() if isinstance(f, BuiltinFunctionType) and n not in _IMPURE)
PURE_MATH = frozenset(f for f in vars(math).values() if isinstance(f, BuiltinFunctionType))
PLAIN: tuple[type, ...] = (int, float, complex, str, bytes, tuple, list, dict, set, frozenset, range, slice, bool, type(None), type({}.keys()), type({}.values()),
         type({}.items()))
HIDDEN_NAMES = frozenset({"__dict__", "__globals__", "__builtins__", "__closure__", "__code__", "__getattribute__", "__subclasses__", "__defaults__", "f_back", "_version"})


class Watch:
    """The codes reached, with the globals they ran under; `refusal` says why Python has to run, or is None."""

    def __init__(self) -> None:
        self.codes: dict[CodeType, dict[str, Any]] = {}
        self.refusal: str | None = None
        self._kinds: dict[CodeType, str] = {}

    def refuse(self, why: str) -> None:
        if self.refusal is None:
            self.refusal = why

    def kind(self, code: CodeType) -> str:
        """"ours", "refused", "library" or "user"."""
        found = self._kinds.get(code)
        if found is None:
            file = code.co_filename
            if file.startswith(PACKAGE):
                found = "refused" if code.co_name in REFUSED or file.startswith(UNTRUSTED) else "ours"
            elif file.startswith(("<frozen", NUMPY)) or file.startswith(STDLIB) and not any(s in file for s in _SITE):
                found = "library"
            else:
                found = "user"
            self._kinds[code] = found
        return found

    def __call__(self, frame: Any, event: str, arg: Any) -> None:
        if event == "call":
            code = frame.f_code
            kind = self.kind(code)
            if kind == "ours":
                return
            if kind == "refused":
                self.refuse(f"{code.co_name} changes or reads state of the process")
                return
            caller = frame.f_back
            if kind == "library" and caller is not None and self.trusted(caller):
                return
            if code not in self.codes:
                if code.co_filename == "<string>" and generated(frame):
                    return
                self.codes[code] = frame.f_globals
                self.scan(code)
        elif event == "c_call":
            if self.kind(frame.f_code) == "user" and not pure(arg):
                self.refuse(f"{frame.f_code.co_name} calls {getattr(arg, '__qualname__', arg)!s} (line {frame.f_lineno})")

    def trusted(self, frame: Any) -> bool:
        """Whether a frame is this package's, or the standard library's under it."""
        while frame is not None:
            kind = self.kind(frame.f_code)
            if kind == "library" and frame.f_code not in self.codes:
                frame = frame.f_back
                continue
            return kind in ("ours", "refused")
        return False

    def scan(self, code: CodeType) -> None:
        """What the user's bytecode may not do."""
        if code.co_flags & 0x2A0:  # generators and coroutines keep frames alive between calls
            nested = code.co_name in ("<genexpr>",)
            if not nested:
                self.refuse(f"{code.co_name} is a generator or coroutine")
        hidden = HIDDEN_NAMES.intersection(code.co_names)
        if hidden:
            self.refuse(f"{code.co_name} uses {min(hidden)}")


def generated(frame: Any) -> bool:
    """Whether code without a file is this package's argument handling, or a named tuple's constructor."""
    caller = frame.f_back
    return caller is not None and caller.f_code.co_filename == DEFINERS or str(frame.f_globals.get("__name__")).startswith("namedtuple_")


def pure(function: Any) -> bool:
    """Whether a C function depends on its arguments only, and changes nothing but plain containers it is given."""
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, ModuleType):
        if function in PURE_BUILTINS or function in PURE_MATH:
            return True
        cls = getattr(function, "__objclass__", None)
        return cls in PLAIN or cls is object
    if isinstance(owner, type):
        return owner in PLAIN or owner is object
    return isinstance(owner, PLAIN) or type(owner).__name__.endswith("_iterator")


def watched(watch: Watch, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call, watching. The profiler that was there before is put back."""
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        return fn(*args, **kwargs)
    finally:
        sys.setprofile(before)
