"""The cache of compiled objects: in memory, then on disk, then the compiler.

Enters: LLVM IR text, or a key that an earlier process noted. Leaves: addresses of symbols; `put_blob`/`get_blob` keep other
things (plans) in the same way. Entries live in an owner-only folder (``FT_CACHE_DIR``, else the user's cache folder).

A key is the blake3 of everything an object depends on: contract version, LLVM version, CPU tier, optimisation level, text.
A file carries its kind, its key and a digest over all of it, checked on every read, so a damaged, cut or foreign file is
reported once, counted in `stats.rebuilt` and built anew. Files appear by rename, so any number of processes may share the folder.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat as mode_bits
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from blake3 import blake3

from frankentorch.knobs import knobs
from frankentorch.runtime import jit

CONTRACT = 1
"""Counts up when compiled code changes its bits or its ABI without a change of IR text."""

_MAGIC = b"FTCACHE\x01"
_HEADER = len(_MAGIC) + 16 + 32 + 8 + 32
_KEY = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"[a-z]{1,16}")
_TOUCH_AFTER = 24 * 3600.0
_SWEEP_AFTER_WRITES = 256


class CacheWarning(UserWarning):
    """Something about the cache folder needs a person's eye; results are not affected, only the time they take.

    Cause: a damaged entry, or a folder that others may write to. Example: a disk error. Remedy: ``ft cache verify``, or
    another ``FT_CACHE_DIR``.
    """


class Stats:
    """What happened since the process began: ``compiled`` modules, ``loaded`` from disk, ``hits`` in memory; ``rebuilt`` counts
    entries found damaged, ``unwritten`` entries that could not be stored, ``evicted`` files removed to stay in bounds."""

    __slots__ = ("compiled", "evicted", "hits", "loaded", "rebuilt", "unwritten")

    def __init__(self) -> None:
        self.compiled = self.loaded = self.hits = self.rebuilt = self.unwritten = self.evicted = 0

    def values(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        return f"Stats({', '.join(f'{name}={count}' for name, count in self.values().items())})"


class Entry(NamedTuple):
    """One file of the cache; ``used`` is when it was last needed, in seconds since 1970, to the day."""

    kind: str
    key: str
    path: str
    size: int
    used: float


stats = Stats()
_libraries: dict[str, jit.Library] = {}
_keys: dict[tuple[str, str, int], str] = {}
_lock = threading.RLock()
_serial = itertools.count()
_folders: dict[str, bool] = {}
_written = 0

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


# Objects --------------------------------------------------------------------------------------------------------
def key_of(text: str, opt: int = 0) -> str:
    """The key under which a module's object is kept, for the current CPU tier: 64 hexadecimal digits."""
    tier = jit.current_tier()
    key = _keys.get((text, tier, opt))
    if key is None:
        if len(_keys) > 4096:
            _keys.clear()
        head = f"{CONTRACT}\0{jit.llvm_version()}\0{tier}\0{opt}\0"
        key = _keys[text, tier, opt] = blake3((head + text).encode()).hexdigest()
    return key


def get(text: str, symbol: str, imports: Mapping[str, int] | None = None, opt: int = 0) -> int:
    """The address of a symbol of a module: from memory, from disk, or compiled now.

    ``imports`` are addresses of symbols the module leaves open (they are not part of the key). Raises `jit.CompileError`.
    """
    key = key_of(text, opt)
    found = get_by_key(key, symbol, imports)
    if found is not None:
        return found
    with _lock:
        code = jit.compile_object(text, opt=opt)
        stats.compiled += 1
        put_blob("object", key, code)
        return _load(key, code, symbol, imports)


def get_by_key(key: str, symbol: str, imports: Mapping[str, int] | None = None) -> int | None:
    """The address of a symbol of a module whose key is known; None where neither memory nor disk has it."""
    library = _libraries.get(key)
    if library is not None:
        stats.hits += 1
        return library.address(symbol)
    with _lock:
        code = get_blob("object", key)
        if code is None:
            return None
        stats.loaded += 1
        return _load(key, code, symbol, imports)


def _load(key: str, code: bytes, symbol: str, imports: Mapping[str, int] | None) -> int:
    library = jit.load_object(code, f"{symbol}.{key[:12]}", (symbol,), imports)
    _libraries[key] = library
    return library.address(symbol)


# Blobs ----------------------------------------------------------------------------------------------------------
def put_blob(kind: str, key: str, data: bytes) -> bool:
    """Keep bytes under a kind (``object``, ``plan``, ...) and a 64-digit key; False where the folder cannot take them."""
    global _written
    path = _path(kind, key)
    root = _usable_root()
    if root is None:
        return False
    temporary = f"{path}.{os.getpid()}.{next(_serial)}.tmp"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_framed(kind, key, data))
        os.replace(temporary, path)
    except OSError as error:
        stats.unwritten += 1
        _forget(temporary)
        if stats.unwritten == 1:
            warnings.warn(f"the cache entry {path} could not be written: {error}", CacheWarning, stacklevel=2)
        return False
    _written += _HEADER + len(data)
    if _sweep_is_due(root):
        sweep()
    return True


def get_blob(kind: str, key: str) -> bytes | None:
    """The bytes kept under a kind and a key; None where there are none, or none that can be trusted (which is reported)."""
    path = _path(kind, key)
    if _usable_root() is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        _damaged(path, str(error))
        return None
    try:
        info = os.fstat(descriptor)
        if not mode_bits.S_ISREG(info.st_mode) or not _owned_alone(info):
            _damaged(path, "it is not a file that only its owner, you, may write")
            return None
        framed = _read_all(descriptor, info.st_size)
    except OSError as error:
        _damaged(path, str(error))
        return None
    finally:
        os.close(descriptor)
    data = _unframed(kind, key, framed)
    if data is None:
        _damaged(path, "its digest does not match")
        return None
    if time.time() - info.st_mtime > _TOUCH_AFTER:
        _touch(path)
    return data


def _framed(kind: str, key: str, data: bytes) -> bytes:
    head = _MAGIC + kind.encode().ljust(16, b"\0") + bytes.fromhex(key) + len(data).to_bytes(8, "little")
    return head + blake3(data, key=blake3(head).digest()).digest() + data


def _unframed(kind: str, key: str, framed: bytes) -> bytes | None:
    data = framed[_HEADER:]
    return data if framed == _framed(kind, key, data) else None


def _read_all(descriptor: int, size: int) -> bytes:
    parts = []
    while part := os.read(descriptor, max(size, 1)):
        parts.append(part)
    return b"".join(parts)


def _damaged(path: str, why: str) -> None:
    stats.rebuilt += 1
    _forget(path)
    warnings.warn(f"the cache entry {path} is set aside and built anew: {why}", CacheWarning, stacklevel=3)


def _forget(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def _touch(path: str) -> None:
    with contextlib.suppress(OSError):
        os.utime(path)


# The folder -----------------------------------------------------------------------------------------------------
def root() -> str:
    """The cache folder's path, whether or not it exists."""
    if knobs.cache_dir:
        return knobs.cache_dir
    if sys.platform == "linux":  # platformdirs says the same and takes 18 ms to import
        base = os.environ.get("XDG_CACHE_HOME", "")
        return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.cache"), "frankentorch")
    from platformdirs import user_cache_dir

    return user_cache_dir("frankentorch", appauthor=False)


def _path(kind: str, key: str) -> str:
    if not _KIND.fullmatch(kind) or not _KEY.fullmatch(key):
        raise ValueError(f"a cache entry needs a kind of small letters and a key of 64 hexadecimal digits, not {kind!r}, {key!r}")
    return os.path.join(root(), kind, key[:2], key)


def _usable_root() -> str | None:
    path = root()
    usable = _folders.get(path)
    if usable is None:
        problem = _folder_problem(path)
        if problem:
            warnings.warn(f"the cache folder {path} is not used: {problem}", CacheWarning, stacklevel=4)
        usable = _folders[path] = not problem
    return path if usable else None


def _folder_problem(path: str) -> str:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        info = os.stat(path)
    except OSError as error:
        return str(error)
    if not mode_bits.S_ISDIR(info.st_mode):
        return "it is not a folder"
    return "" if _owned_alone(info) else "it belongs to another user, or others may write to it (chmod 700 mends that)"


def _owned_alone(info: os.stat_result) -> bool:
    if not hasattr(os, "geteuid"):
        return True
    return info.st_uid == os.geteuid() and not info.st_mode & (mode_bits.S_IWGRP | mode_bits.S_IWOTH)


def _sweep_is_due(path: str) -> bool:
    """Whether the folder was written to often enough since its last sweep, by this or any other process."""
    if _written > knobs.cache_size // 16:
        return True
    try:
        with open(os.open(os.path.join(path, "writes"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as tally:
            tally.write(b".")
            return tally.tell() >= _SWEEP_AFTER_WRITES
    except OSError:
        return False


def sweep() -> int:
    """Remove the entries unused for longest until the folder is within ``FT_CACHE_SIZE``; returns how many went."""
    global _written
    _written = 0
    _forget(os.path.join(root(), "writes"))
    _clear_temporaries()
    found = ls()
    excess = sum(entry.size for entry in found) - knobs.cache_size
    removed = 0
    for entry in found:
        if excess <= 0:
            break
        if _forget(entry.path):
            excess -= entry.size
            removed += 1
    stats.evicted += removed
    return removed


def _clear_temporaries() -> None:
    """A process killed while writing leaves its temporary file behind."""
    for _, item in _files():
        if item.name.endswith(".tmp"):
            try:
                old = time.time() - item.stat().st_mtime > 3600
            except FileNotFoundError:  # its writer has just given it its name
                continue
            if old:
                _forget(item.path)


def _files() -> Iterator[tuple[str, os.DirEntry[str]]]:
    for kind in _listed(root()):
        if kind.is_dir() and _KIND.fullmatch(kind.name):
            for shard in _listed(kind.path):
                if shard.is_dir():
                    yield from ((kind.name, item) for item in _listed(shard.path))


def _listed(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return sorted(found, key=lambda item: item.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


# For `ft cache` -------------------------------------------------------------------------------------------------
def ls() -> list[Entry]:
    """Every entry of the folder, the one unused for longest first."""
    entries = []
    for kind, item in _files():
        try:
            info = item.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if _KEY.fullmatch(item.name):
            entries.append(Entry(kind, item.name, item.path, max(info.st_size, getattr(info, "st_blocks", 0) * 512), info.st_mtime))
    return sorted(entries, key=lambda entry: (entry.used, entry.path))


def summary() -> dict[str, int | str]:
    """The folder, its entries and bytes, its bound, and this process's `stats`."""
    entries = ls()
    return {"folder": root(), "entries": len(entries), "bytes": sum(entry.size for entry in entries), "limit": knobs.cache_size,
            **stats.values()}


def verify() -> list[str]:
    """The paths of entries that are damaged; nothing is changed."""
    bad = []
    for entry in ls():
        try:
            with open(entry.path, "rb") as file:
                good = _unframed(entry.kind, entry.key, file.read()) is not None
        except FileNotFoundError:
            continue
        if not good:
            bad.append(entry.path)
    return bad


def clear() -> int:
    """Remove every entry from the folder; returns how many there were. Code already loaded stays usable."""
    _forget(os.path.join(root(), "writes"))
    return sum(_forget(entry.path) for entry in ls())


def forget_loaded() -> None:
    """Drop the in-memory table, so that the next request goes to the disk (for tests and measurements)."""
    _libraries.clear()
