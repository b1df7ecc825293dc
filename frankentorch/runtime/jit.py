"""LLVM IR text to machine code in this process, through llvmlite's LLJIT.

Enters: the text of one LLVM module; later, the object bytes it became. Leaves: object bytes that depend on nothing but the
text, LLVM's version and a CPU *tier*; then a `Library` whose symbols have addresses. llvmlite is imported on first use.

A tier is one of three fixed feature sets, so that one cache entry serves every machine of its class and the host's own
name never reaches the code generator. Elsewhere than on x86-64 there is one tier, the architecture's baseline.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from frankentorch.knobs import knobs
from frankentorch.runtime import halves_ir

if TYPE_CHECKING:
    from llvmlite.binding.targets import TargetMachine


class CompileError(RuntimeError):
    """LLVM refused a module or an object could not be linked.

    Cause: malformed IR, or a symbol nothing defines. Example: a kernel that calls ``@exp``. Remedy: read LLVM's message,
    which quotes the line; kernels may use only intrinsics the target has instructions for, `fma` and memory copies.
    """


class Tier(NamedTuple):
    """A feature set: LLVM's CPU (for scheduling), extra features, and what a host must have to run the code."""

    name: str
    cpu: str
    features: str
    needs: tuple[str, ...]


# zmm registers are used for explicit <16 x float> anyway; -prefer-256-bit lets LLVM's own vectoriser use them too.
_X86 = (
    Tier("sse4.2", "x86-64-v2", "", ("sse4.2", "popcnt", "ssse3")),
    Tier("avx2", "haswell", "", ("sse4.2", "popcnt", "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe")),
    Tier("avx512", "skylake-avx512", "-prefer-256-bit",
         ("avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd")),
)
_LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A child must not inherit LLVM in the middle of another thread's compilation.
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


@cache
def _llvm() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@cache
def llvm_version() -> str:
    """LLVM's version as ``22.1.0``."""
    return ".".join(map(str, _llvm().llvm_version_info))


@cache
def machine_name() -> str:
    """The processor's architecture: ``x86_64``, ``aarch64``, ..."""
    if hasattr(os, "uname"):
        name = os.uname().machine.lower()
    else:  # platform.machine() costs 10 ms of imports
        name = os.environ.get("PROCESSOR_ARCHITECTURE", "").lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


@cache
def _host_tiers() -> tuple[Tier, ...]:
    machine = machine_name()
    if machine != "x86_64":
        return (Tier(machine, "", "", ()),)
    has = _llvm().get_host_cpu_features()
    usable = tuple(tier for tier in _X86 if all(has.get(need) for need in tier.needs))
    if not usable:
        raise CompileError("this processor lacks SSE4.2, the least FrankenTorch compiles for")
    return usable


def host_tiers() -> tuple[str, ...]:
    """The tiers this processor can run, least first."""
    return tuple(tier.name for tier in _host_tiers())


def current_tier() -> str:
    """The tier to compile for: the best this processor has, or the one ``FT_CPU`` limits it to."""
    names = host_tiers()
    return knobs.cpu if knobs.cpu in names else names[-1]


def _tier(name: str) -> Tier:
    for tier in (*_X86, *_host_tiers()):
        if tier.name == name:
            return tier
    raise ValueError(f"no CPU tier is called {name!r}; there are {', '.join(t.name for t in _X86)}")


@cache
def _target_machine(name: str, codegen: int) -> TargetMachine:
    llvm, tier = _llvm(), _tier(name)
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=tier.cpu, features=tier.features, opt=codegen, reloc="pic", codemodel="small")


def _parse(text: str, machine: TargetMachine) -> Any:
    llvm = _llvm()
    try:
        module = llvm.parse_assembly(text, llvm.create_context())
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        if knobs.verify:
            module.verify()
    except RuntimeError as error:
        raise CompileError(str(error)) from None
    return module


def _optimise(module: Any, machine: TargetMachine, level: int) -> None:
    llvm = _llvm()
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def compile_object(text: str, tier: str | None = None, *, opt: int = 0, codegen: int = 2) -> bytes:
    """Object code for one module.

    ``tier`` is a tier's name, by default `current_tier()`. ``opt`` is the level of LLVM's IR pipeline; 0 runs none of it, which
    is right for IR that is vectorised already. Equal arguments give equal bytes. Raises `CompileError`.
    """
    with _LOCK:
        machine = _target_machine(tier or current_tier(), codegen)
        module = _parse(text, machine)
        if opt:
            _optimise(module, machine, opt)
        code: bytes = machine.emit_object(module)
    return code


def assembly(text: str, tier: str | None = None, *, opt: int = 0, codegen: int = 2) -> str:
    """The assembly `compile_object` would encode, for people and for tests."""
    with _LOCK:
        machine = _target_machine(tier or current_tier(), codegen)
        module = _parse(text, machine)
        if opt:
            _optimise(module, machine, opt)
        listing: str = machine.emit_assembly(module)
    return listing


class Library:
    """Linked code. It is never unloaded: programs hold raw addresses, and threads may be asleep inside it."""

    __slots__ = ("_addresses", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._addresses: dict[str, int] = {}

    def address(self, symbol: str) -> int:
        """The address of a symbol; raises `CompileError` where the library has none of that name."""
        found = self._addresses.get(symbol)
        if found is None:
            with _LOCK:
                try:
                    tracker = _lljit().lookup(self.name, symbol)
                except RuntimeError as error:
                    raise CompileError(str(error)) from None
                tracker.detach()
            found = self._addresses[symbol] = tracker[symbol]
        return found


@cache
def _lljit() -> Any:
    from llvmlite.binding.orcjit import create_lljit_compiler

    _llvm()
    jit = create_lljit_compiler(use_jit_link=True, suppress_errors=True)
    jit._owned = True  # nobody disposes of it: code stays mapped for as long as the process lives
    return jit


_SERIAL = itertools.count()


def _conversions(code: bytes) -> dict[str, int]:
    """Addresses of the 16-bit conversions an object names (its symbol table holds the names as they are)."""
    wanted = [symbol for symbol in halves_ir.SYMBOLS if symbol.encode() in code]
    return {symbol: _halves().address(symbol) for symbol in wanted}


@cache
def _halves() -> Library:
    from llvmlite.binding.orcjit import JITLibraryBuilder

    builder = JITLibraryBuilder().add_object_img(compile_object(halves_ir.TEXT))
    tracker = builder.link(_lljit(), "halves")
    tracker.detach()
    return Library("halves")


def load_object(code: bytes, name: str, exports: tuple[str, ...] = (), imports: Mapping[str, int] | None = None) -> Library:
    """Link object code into the process.

    ``name`` is for people; the library's own name is made unique. ``exports`` are symbols resolved at once (cheaper than one
    by one). ``imports`` are addresses of symbols the code leaves open; what remains open is sought among our conversions of 16-bit
    floats and in the process (`fma`, `memcpy`). Raises `CompileError`.
    """
    from llvmlite.binding.orcjit import JITLibraryBuilder

    with _LOCK:
        library = Library(f"{name}.{next(_SERIAL)}")
        builder = JITLibraryBuilder().add_object_img(code).add_current_process()
        for symbol in exports:
            builder.export_symbol(symbol)
        for symbol, address in {**_conversions(code), **(imports or {})}.items():
            builder.import_symbol(symbol, address)
        try:
            tracker = builder.link(_lljit(), library.name)
        except RuntimeError as error:
            raise CompileError(str(error)) from None
        tracker.detach()
        for symbol in exports:
            library._addresses[symbol] = tracker[symbol]
    return library
