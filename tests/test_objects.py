"""The JIT and the cache of compiled objects: tiers, determinism, damage, many processes, bounds."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frankentorch.knobs import Knobs, knobs, scoped
from frankentorch.runtime import jit, objects

KERNEL = """
define void @k(ptr %args, i64 %lo, i64 %hi, ptr %scratch) nounwind {{
  %a = load ptr, ptr %args
  %v = load <16 x float>, ptr %a, align 4
  %x = call <16 x float> @llvm.fma.v16f32(<16 x float> %v, <16 x float> %v, <16 x float> splat (float {c}.0))
  store <16 x float> %x, ptr %a, align 4
  ret void
}}
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
"""


def kernel(c: int) -> str:
    return KERNEL.format(c=c)


def call(address: int, values: list[float]) -> list[float]:
    data = (ctypes.c_float * len(values))(*values)
    args = (ctypes.c_int64 * 1)(ctypes.addressof(data))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(address)
    function(ctypes.addressof(args), 0, 1, None)
    return list(data)


VALUES = [0.1 * i for i in range(16)]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A folder of this test's own, and nothing in memory."""
    objects.forget_loaded()
    with scoped(cache_dir=str(tmp_path / "cache")):
        yield tmp_path / "cache"
    objects.forget_loaded()


def entry_path(key: str) -> Path:
    return Path(objects.root()) / "object" / key[:2] / key


# Knobs ----------------------------------------------------------------------------------------------------------
def test_knobs_read_the_environment() -> None:
    read = Knobs({"FT_EAGER": "yes", "FT_CUT": "random:7", "FT_CACHE_SIZE": "2M", "FT_CPU": "AVX2", "FT_NUM_THREADS": "3"})
    assert (read.eager, read.cut, read.cache_size, read.cpu, read.num_threads) == (True, "random:7", 2 << 20, "avx2", 3)
    assert (read.verify, read.mode, read.debug) == (False, "strict", 0)


@pytest.mark.parametrize(("variable", "text"), [
    ("FT_EAGER", "perhaps"), ("FT_CUT", "random"), ("FT_CACHE_SIZE", "much"), ("FT_CPU", "avx3"), ("FT_NUM_THREADS", "-1"),
    ("FT_MODE", "lenient"), ("FT_DEBUG", "")])
def test_a_knob_that_cannot_be_read_says_which(variable: str, text: str) -> None:
    with pytest.raises(ValueError, match=variable):
        Knobs({variable: text})


def test_scoped_puts_everything_back_also_after_an_error() -> None:
    before = knobs.values()
    with pytest.raises(KeyError), scoped(eager=True, num_threads=2):
        assert knobs.eager and knobs.num_threads == 2
        raise KeyError
    assert knobs.values() == before
    with pytest.raises(AttributeError, match="egaer"), scoped(egaer=True):
        pass


# Code generation ------------------------------------------------------------------------------------------------
def test_objects_are_deterministic_and_differ_by_tier() -> None:
    made = {tier: jit.compile_object(kernel(1), tier) for tier in jit.host_tiers()}
    assert made == {tier: jit.compile_object(kernel(1), tier) for tier in jit.host_tiers()}
    assert len(set(made.values())) == len(made)


def test_every_tier_gives_the_same_bits() -> None:
    results = []
    for tier in jit.host_tiers():
        library = jit.load_object(jit.compile_object(kernel(3), tier), tier, ("k",))
        results.append(call(library.address("k"), VALUES))
    assert results and all(result == results[0] for result in results)
    assert results[0][5] == pytest.approx(3.25)


def test_the_avx512_tier_uses_wide_registers_and_the_others_do_not() -> None:
    assert "zmm" in jit.assembly(kernel(1), "avx512")
    assert "ymm" in jit.assembly(kernel(1), "avx2") and "zmm" not in jit.assembly(kernel(1), "avx2")
    assert "ymm" not in jit.assembly(kernel(1), "sse4.2") and "fmaf" in jit.assembly(kernel(1), "sse4.2")


def test_llvm_s_own_vectoriser_uses_wide_registers_when_asked() -> None:
    loop = """
define void @k(ptr noalias %a, ptr noalias %b, i64 %n) {
entry:
  br label %body
body:
  %i = phi i64 [ 0, %entry ], [ %j, %body ]
  %p = getelementptr inbounds float, ptr %a, i64 %i
  %q = getelementptr inbounds float, ptr %b, i64 %i
  %x = load float, ptr %p
  %y = fmul float %x, 3.0
  store float %y, ptr %q
  %j = add nuw nsw i64 %i, 1
  %more = icmp ult i64 %j, %n
  br i1 %more, label %body, label %done
done:
  ret void
}
"""
    assert "zmm" in jit.assembly(loop, "avx512", opt=3)
    assert "mm0" in jit.assembly(loop, "avx512", opt=0) and "zmm" not in jit.assembly(loop, "avx512", opt=0)


def test_multiplication_and_addition_are_not_contracted() -> None:
    text = """
define float @k(float %a, float %b, float %c) {
  %m = fmul float %a, %b
  %s = fadd float %m, %c
  ret float %s
}
"""
    for tier in jit.host_tiers():
        assert "fmadd" not in jit.assembly(text, tier)


def test_ft_cpu_limits_the_tier() -> None:
    for tier in jit.host_tiers():
        with scoped(cpu=tier):
            assert jit.current_tier() == tier
    assert jit.current_tier() == (knobs.cpu or jit.host_tiers()[-1])


def test_malformed_ir_and_missing_symbols_raise_compile_error() -> None:
    with pytest.raises(jit.CompileError, match="expected instruction opcode"):
        jit.compile_object("define void @k() {\n  %x = nonsense\n  ret void\n}")
    code = jit.compile_object("declare void @nobody_has_this()\ndefine void @k() {\n  call void @nobody_has_this()\n  ret void\n}")
    with pytest.raises(jit.CompileError):
        jit.load_object(code, "bad", ("k",))
    library = jit.load_object(jit.compile_object(kernel(1)), "good")
    assert library.address("k") == library.address("k") > 0
    with pytest.raises(jit.CompileError):
        library.address("not_there")


HALVES = """
define void @k(ptr %args, i64 %lo, i64 %hi, ptr %scratch) nounwind {
  %in = load ptr, ptr %args
  %out.at = getelementptr ptr, ptr %args, i64 1
  %out = load ptr, ptr %out.at
  br label %head
head:
  %i = phi i64 [ %lo, %0 ], [ %j, %body ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %p = getelementptr FROM, ptr %in, i64 %i
  %q = getelementptr TO, ptr %out, i64 %i
  %x = load FROM, ptr %p
  %y = CAST FROM %x to TO
  store TO %y, ptr %q
  %j = add i64 %i, 1
  br label %head
done:
  ret void
}
"""


def convert(tier: str, source: str, cast: str, target: str, data: ctypes.Array[Any], out: ctypes.Array[Any]) -> None:
    text = HALVES.replace("FROM", source).replace("CAST", cast).replace("TO", target)
    library = jit.load_object(jit.compile_object(text, tier), "halves-test", ("k",))
    args = (ctypes.c_int64 * 2)(ctypes.addressof(data), ctypes.addressof(out))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(library.address("k"))
    function(ctypes.addressof(args), 0, len(data), None)


def awkward_doubles() -> list[float]:
    """Around every boundary of float16: ties, double-rounding traps, subnormals, overflow, and their negatives."""
    found = [0.0, 65504.0, 65519.99999, 65520.0, 1e300, 5e-324, float("inf")]
    for base in (1.0, 2.0 ** -14, 2.0 ** -15, 2.0 ** -24, 2.0 ** -25, 3 * 2.0 ** -25, 2.0 ** -26, 1000.0, 2.0 ** -20, 65000.0):
        for tie in (0.0, 2.0 ** -11, 2.0 ** -10, 3 * 2.0 ** -11):
            found += [base * (1 + tie + nudge) for nudge in (0.0, 2.0 ** -40, -2.0 ** -40, 2.0 ** -52)]
    return found + [-x for x in found]


def packed_half(x: float) -> int:
    """Python's own conversion, which rounds once to nearest-even and raises on overflow."""
    try:
        return int.from_bytes(struct.pack("<e", x), "little")
    except OverflowError:
        return 0xFC00 if x < 0 else 0x7C00


@pytest.mark.parametrize("tier", jit.host_tiers())
def test_doubles_round_to_halves_once(tier: str) -> None:
    values = awkward_doubles()
    data, out = (ctypes.c_double * len(values))(*values), (ctypes.c_uint16 * len(values))()
    convert(tier, "double", "fptrunc", "half", data, out)
    assert list(out) == [packed_half(x) for x in values]


@pytest.mark.parametrize("tier", jit.host_tiers())
def test_floats_round_to_halves_and_back(tier: str) -> None:
    every = (ctypes.c_uint16 * 65536)(*range(65536))
    floats, back = (ctypes.c_float * 65536)(), (ctypes.c_uint16 * 65536)()
    convert(tier, "half", "fpext", "float", every, floats)
    for i in (1, 0x3FF, 0x400, 0x3C00, 0x7BFF, 0x8001, 0xFBFF):
        assert floats[i] == struct.unpack("<e", i.to_bytes(2, "little"))[0]
    convert(tier, "float", "fptrunc", "half", floats, back)
    assert list(back) == [i | 0x200 if i & 0x7FFF > 0x7C00 else i for i in range(65536)]  # NaNs become quiet


@pytest.mark.parametrize("tier", jit.host_tiers())
def test_floats_round_to_bfloat16(tier: str) -> None:
    words = [(top << 16) + low for top in (0, 1, 0x3F80, 0x3F81, 0x7F7F, 0x7F80, 0x80, 0x8001, 0xBF80)
             for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF) if top != 0x7F80 or low == 0]
    data = (ctypes.c_float * len(words)).from_buffer_copy(struct.pack(f"<{len(words)}I", *words))
    out = (ctypes.c_uint16 * len(words))()
    convert(tier, "float", "fptrunc", "bfloat", data, out)
    assert list(out) == [(word + 0x7FFF + (word >> 16 & 1)) >> 16 for word in words]


# The cache ------------------------------------------------------------------------------------------------------
def test_memory_then_disk_then_compiler(cache: Path) -> None:
    before = (objects.stats.compiled, objects.stats.loaded, objects.stats.hits)
    key = objects.key_of(kernel(11))
    assert objects.get_by_key(key, "k") is None
    first = objects.get(kernel(11), "k")
    assert objects.get(kernel(11), "k") == first == objects.get_by_key(key, "k")
    objects.forget_loaded()
    again = objects.get_by_key(key, "k")
    assert again is not None and call(again, VALUES) == call(first, VALUES)
    assert (objects.stats.compiled, objects.stats.loaded, objects.stats.hits) == (before[0] + 1, before[1] + 1, before[2] + 2)
    assert cache.stat().st_mode & 0o777 == 0o700 and entry_path(key).stat().st_mode & 0o777 == 0o600


def test_keys_depend_on_text_tier_and_level() -> None:
    keys = {objects.key_of(kernel(1)), objects.key_of(kernel(2)), objects.key_of(kernel(1), opt=2)}
    for tier in jit.host_tiers():
        with scoped(cpu=tier):
            keys.add(objects.key_of(kernel(1)))
    assert len(keys) == 2 + len(jit.host_tiers())
    assert objects.key_of(kernel(1)) == objects.key_of(kernel(1))


REGIONS = {"magic": 0, "kind": 9, "key": 30, "length": 58, "digest": 70, "elf header": 97, "middle": 400, "end": -1}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_is_found_and_mended(cache: Path, region: str, bit: int) -> None:
    address = objects.get(kernel(21), "k")
    path = entry_path(objects.key_of(kernel(21)))
    good = path.read_bytes()
    bad = bytearray(good)
    bad[REGIONS[region]] ^= 1 << bit
    path.write_bytes(bad)
    assert objects.verify() == [str(path)]
    assert_rebuilt(path, call(address, VALUES))
    assert path.read_bytes() == good and objects.verify() == []


@pytest.mark.parametrize("how", ["empty", "cut", "longer", "foreign", "another entry", "a folder", "a link", "writable by others"])
def test_what_is_no_good_entry_is_mended(cache: Path, how: str) -> None:
    address = objects.get(kernel(22), "k")
    path = entry_path(objects.key_of(kernel(22)))
    good = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how == "a link":
        (cache / "elsewhere").write_bytes(good)
        path.symlink_to(cache / "elsewhere")
    elif how == "another entry":
        objects.get(kernel(23), "k")
        path.write_bytes(entry_path(objects.key_of(kernel(23))).read_bytes())
    else:
        path.write_bytes({"empty": b"", "cut": good[:-1], "longer": good + b"\0", "foreign": b"#!/bin/sh\n" * 50}.get(how, good))
        path.chmod(0o666 if how == "writable by others" else 0o600)
    assert_rebuilt(path, call(address, VALUES), stored=how != "a folder")


def assert_rebuilt(path: Path, expected: list[float], stored: bool = True) -> None:
    """The next process-fresh request reports the path, compiles, gives the same result and leaves a good entry."""
    rebuilt, compiled = objects.stats.rebuilt, objects.stats.compiled
    objects.forget_loaded()
    text = kernel(21) if path.name == objects.key_of(kernel(21)) else kernel(22)
    with pytest.warns(objects.CacheWarning, match=str(path)):
        assert call(objects.get(text, "k"), VALUES) == expected
    assert (objects.stats.rebuilt, objects.stats.compiled) == (rebuilt + 1, compiled + 1)
    objects.forget_loaded()
    with warnings.catch_warnings():
        warnings.simplefilter("error" if stored else "ignore")
        assert call(objects.get(text, "k"), VALUES) == expected
    assert objects.stats.compiled == compiled + (1 if stored else 2)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_others_may_write_to_is_not_used(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "loose"
    folder.mkdir()
    folder.chmod(mode)
    objects.forget_loaded()
    with scoped(cache_dir=str(folder)):
        with pytest.warns(objects.CacheWarning, match="others may write"):
            address = objects.get(kernel(31), "k")
        assert call(address, VALUES)[0] == 31.0
        assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    objects.forget_loaded()
    with scoped(cache_dir=str(tmp_path / "file")), pytest.warns(objects.CacheWarning):
        assert call(objects.get(kernel(32), "k"), VALUES)[0] == 32.0


def test_blobs_are_kept_by_kind(cache: Path) -> None:
    key = "ab" * 32
    assert objects.get_blob("plan", key) is None
    assert objects.put_blob("plan", key, b"") and objects.get_blob("plan", key) == b""
    assert objects.put_blob("plan", key, b"steps") and objects.get_blob("plan", key) == b"steps"
    assert objects.get_blob("other", key) is None
    for kind, bad in (("Plan", key), ("plan", "../" + key), ("plan", "AB" * 32), ("..", key)):
        with pytest.raises(ValueError, match="64 hexadecimal"):
            objects.put_blob(kind, bad, b"x")


def test_the_folder_is_bounded_and_the_oldest_go_first(cache: Path) -> None:
    keys = [f"{i:064x}" for i in range(20)]
    for age, key in enumerate(keys):
        objects.put_blob("plan", key, bytes(1000))
        os.utime(cache / "plan" / key[:2] / key, (age, age))
    assert objects.get_blob("plan", keys[0]) is not None  # a read makes an entry young again
    size = objects.ls()[0].size  # what an entry takes on disk: whole blocks
    assert size >= 1000
    with scoped(cache_size=10 * size):
        assert objects.sweep() == 10
    left = [entry.key for entry in objects.ls()]
    assert sorted(left) == sorted([keys[0], *keys[11:]])
    with scoped(cache_size=4096):
        for key in keys:
            objects.put_blob("plan", key, bytes(1000))
        assert objects.summary()["bytes"] <= 4096
    count = len(objects.ls())
    assert objects.clear() == count > 0 and objects.ls() == []


HAMMER = """
import sys, warnings
warnings.simplefilter("error")
from frankentorch.runtime import objects
from test_objects import VALUES, call, kernel
order = [(i * int(sys.argv[1])) % 13 for i in range(1, 13)]
for _ in range(3):
    for c in order:
        assert call(objects.get(kernel(c), "k"), VALUES)[0] == c
        assert objects.put_blob("plan", f"{c:064x}", bytes([c]) * 5000)
        assert objects.get_blob("plan", f"{c:064x}") == bytes([c]) * 5000
    objects.forget_loaded()
print(objects.stats.compiled, objects.stats.rebuilt)
"""


def test_four_processes_share_one_folder(cache: Path) -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "FT_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])}
    running = [subprocess.Popen([sys.executable, "-c", HAMMER, str(n)], env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for n in (1, 2, 5, 7)]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        compiled, rebuilt = map(int, out.split())
        assert compiled <= 12 and rebuilt == 0
    assert objects.verify() == [] and len(objects.ls()) == 24
    assert not list(cache.rglob("*.tmp"))


def test_a_process_killed_while_writing_leaves_nothing_that_stays(cache: Path) -> None:
    objects.put_blob("plan", "cd" * 32, b"x")
    stale = cache / "plan" / "cd" / ("ef" * 32 + ".1.0.tmp")
    stale.write_bytes(b"half")
    os.utime(stale, (1, 1))
    objects.sweep()
    assert not stale.exists() and [entry.key for entry in objects.ls()] == ["cd" * 32]
