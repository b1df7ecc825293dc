"""Generators of random numbers: state, seeding, and state bytes that torch reads and writes too.

Enters: seeds and state bytes. Leaves: a `Generator`, whose state is a block of memory that random kernels step (its layout is
in `lower.random_engine`), and the process's `default_generator`.

`get_state` gives the 5,056 bytes that torch's CPU generator gives: the seed (u64), `left` and `seeded` (i32), `next` (u64),
624 state words (u64 each), three f64 of which the second is the waiting normal, its flag (i32, padded), the waiting f32
normal and its flag (padded).
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from typing import TYPE_CHECKING, Any

from frankentorch.lower import random_engine as engine

if TYPE_CHECKING:
    from frankentorch.lower.random_reference import ReferenceStream

STATE_BYTES = 5056
DEFAULT_SEED = 67280421310721
_LAYOUT = struct.Struct(f"<Qii Q {engine.N}Q 3d i4x f?3x")
_U64 = (1 << 64) - 1


class Generator:
    """torch.Generator on the CPU: an MT19937 stream.

    `address` is where random kernels find the state; it stays put and valid while the generator lives. Hold `lock` while a kernel runs.
    """

    __slots__ = ("_block", "address", "lock")

    def __init__(self, device: object = "cpu", *, seed: int = DEFAULT_SEED) -> None:
        if str(getattr(device, "type", device)).split(":")[0] != "cpu":
            raise RuntimeError(f"Device type {device} is not supported for torch.Generator() api.")
        self._block = (ctypes.c_uint64 * engine.STATE_WORDS)()
        self.address = ctypes.addressof(self._block)
        self.lock = threading.RLock()
        self._seed_with(_checked_seed(seed))

    @property
    def device(self) -> str:
        return "cpu"

    # Seeding --------------------------------------------------------------------------------------------------
    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream from `seed`: any integer that fits 64 bits, signed or not. Only its low 32 bits choose the stream."""
        self._seed_with(_checked_seed(seed))
        return self

    def seed(self) -> int:
        """Restart the stream from 64 bits of the system's entropy; returns them."""
        self._seed_with(int.from_bytes(os.urandom(8), "little"))
        return self.initial_seed()

    def initial_seed(self) -> int:
        return int(self._block[engine.SEED])

    def _seed_with(self, seed: int) -> None:
        self._write(seed, 1, 1, 0, engine.seed_words(seed), None, None)

    def _write(self, seed: int, left: int, seeded: int, following: int, words: list[int], normal: float | None,
               float_normal: float | None) -> None:
        header = (seed, left, following, normal is not None, _f64_bits(normal), float_normal is not None, _f32_bits(float_normal), seeded)
        packed = struct.pack(f"<8Q{engine.N}I", *header, *words)
        with self.lock:
            ctypes.memmove(self.address, packed, len(packed))

    # State ----------------------------------------------------------------------------------------------------
    def get_state(self) -> bytes:
        """The state as torch's bytes."""
        with self.lock:
            packed = bytes(self._block)
        seed, left, following, valid, normal, float_valid, float_normal, seeded = struct.unpack_from("<8Q", packed)
        words = struct.unpack_from(f"<{engine.N}I", packed, 8 * engine.WORDS)
        waiting = struct.unpack("<d", struct.pack("<Q", normal))[0] if valid else 0.0
        float_waiting = struct.unpack("<f", struct.pack("<I", float_normal))[0] if float_valid else 0.0
        return _LAYOUT.pack(seed, left, seeded, following, *words, 0.0, waiting, 0.0, bool(valid), float_waiting, bool(float_valid))

    def set_state(self, state: Any) -> Generator:
        """Take a state from torch's bytes (or a uint8 array of them). Where they are none: RuntimeError, and nothing changed."""
        raw = bytes(state)
        if len(raw) != STATE_BYTES:
            raise RuntimeError(f"Expected a CPUGeneratorImplState of size {STATE_BYTES}"
                               f" but found the input RNG state size to be {len(raw)}")
        seed, left, seeded, following, *rest = _LAYOUT.unpack(raw)
        words = [w & 0xFFFFFFFF for w in rest[:engine.N]]
        _, normal, _, valid, float_normal, float_valid = rest[engine.N:]
        following &= 0xFFFFFFFF
        if seeded != 1 or not 0 < left <= engine.N or following > engine.N:
            raise RuntimeError("Invalid mt19937 state")
        if left - 1 + following > engine.N:
            raise RuntimeError("Invalid mt19937 state: it would read past its end")
        self._write(seed, left, seeded, following, words, normal if valid else None, float_normal if float_valid else None)
        return self

    def clone_state(self) -> Generator:
        """A new generator in the same state."""
        other = Generator()
        with self.lock:
            ctypes.memmove(other.address, self.address, 8 * engine.STATE_WORDS)
        return other

    def graphsafe_get_state(self) -> Generator:
        return self.clone_state()

    def graphsafe_set_state(self, other: Generator) -> Generator:
        with self.lock:
            ctypes.memmove(self.address, other.address, 8 * engine.STATE_WORDS)
        return self

    def get_offset(self) -> int:
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> None:
        raise RuntimeError("CPU Generator does not use offset")

    def reference(self) -> ReferenceStream:
        """A slow numpy stream in this generator's state, for tests and for `explain`; it does not advance this one."""
        from frankentorch.lower.random_reference import ReferenceStream

        return ReferenceStream(self.get_state())

    def __getstate__(self) -> bytes:
        return self.get_state()

    def __setstate__(self, state: bytes) -> None:
        Generator.__init__(self)
        self.set_state(state)

    def __repr__(self) -> str:
        return f"<frankentorch.Generator device=cpu seed={self.initial_seed()}>"


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
    value = seed.__index__()
    if not -(1 << 63) <= value <= _U64:
        raise ValueError("Overflow when unpacking long long")
    return value & _U64


def _f64_bits(x: float | None) -> int:
    return 0 if x is None else int(struct.unpack("<Q", struct.pack("<d", x))[0])


def _f32_bits(x: float | None) -> int:
    return 0 if x is None else int(struct.unpack("<I", struct.pack("<f", x))[0])


# The process's generator ----------------------------------------------------------------------------------------------
default_generator = Generator(seed=int.from_bytes(os.urandom(8), "little"))


def manual_seed(seed: int) -> Generator:
    """torch.manual_seed."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """torch.seed: a fresh seed for the default generator."""
    return default_generator.seed()


def initial_seed() -> int:
    """torch.initial_seed."""
    return default_generator.initial_seed()


# Parameters -----------------------------------------------------------------------------------------------------------
_DIGITS = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}
_LARGEST = {"f16": 65504, "bf16": 0xFF << 120, "f32": 0xFFFFFF << 104, "f64": 0x1FFFFFFFFFFFFF << 971}
_C_NAMES = {"i1": "bool", "u8": "unsigned char", "i8": "signed char", "i16": "short int", "i32": "int", "i64": "long int",
            "u16": "short unsigned int", "u32": "unsigned int", "u64": "long unsigned int", "f16": "c10::Half",
            "bf16": "c10::BFloat16", "f32": "float", "f64": "double"}


def random_range(dtype: str, low: int, high: int | None) -> tuple[str, int, int]:
    """The kernel kind, range and base of ``random_(low, high)``, for a lane dtype (``random_full`` takes neither range nor base).

    torch narrows the bounds of float dtypes to integers they represent, so that rounding never leaves [low, high). With `high` None
    the range ends at the dtype's largest value (2**digits for floats), inclusive. Raises RuntimeError, in torch's words, where
    nothing is left or a bound is no value of the dtype.
    """
    digits = _DIGITS.get(dtype)
    if high is None and low == -(1 << 63):
        return _full_range(dtype)
    if high is not None and low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if digits is not None:
        low = _narrow_from(low, dtype)
        if high is None:
            high = (1 << digits) + 1
            if low >= high - 1:
                raise RuntimeError("random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, "
                                   f"but got from={low} > to_inc={high - 1}")
        else:
            high = _narrow_to(high, dtype)
        if low >= high:
            raise RuntimeError("random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, "
                               f"but got from={low} >= to={high}")
    elif high is None:
        # The largest u64 is -1 as an int64: torch refuses it below, and so do we.
        high = 0 if dtype == "u64" else _integer_limits(dtype)[1] + 1
    least, most = (-_LARGEST[dtype], _LARGEST[dtype]) if digits is not None else _integer_limits(dtype)
    for name, value in (("from", low), ("to - 1", high - 1)):
        if not least <= value <= most:
            raise RuntimeError(f"{name} is out of bounds for {_C_NAMES[dtype]}")
    span = high - low
    return ("random_narrow" if span < engine.WIDE_RANGE else "random_wide"), span, low


def _integer_limits(dtype: str) -> tuple[int, int]:
    if dtype == "i1":
        return 0, 1
    bits = int(dtype[1:])
    # torch holds bounds in an int64, whatever the dtype.
    return (0, min((1 << bits) - 1, (1 << 63) - 1)) if dtype[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)


def _full_range(dtype: str) -> tuple[str, int, int]:
    if dtype in ("i64", "f32", "f64", "bf16"):
        return "random_full", 0, 0
    if dtype in ("u8", "i8", "i16", "i32"):
        raise RuntimeError("random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16")
    name = {"i1": "Bool", "f16": "Half", "u16": "UInt16", "u32": "UInt32", "u64": "UInt64"}[dtype]
    raise NotImplementedError(f"\"random_full_64_bits_range_kernel_cpu\" not implemented for '{name}'")


def _rounded(x: int, dtype: str) -> int:
    """`x` to the nearest float, ties to even, and back to an int64 as x86 does it."""
    size = abs(x)
    shift = max(size.bit_length() - _DIGITS[dtype], 0)
    kept, rest, half = size >> shift, size & ((1 << shift) - 1), 1 << shift >> 1
    kept += rest > half or (rest == half != 0 and kept & 1 == 1)
    value = kept << shift if x >= 0 else -(kept << shift)
    return value if abs(value) <= _LARGEST[dtype] and -(1 << 63) <= value < 1 << 63 else -(1 << 63)


def _step(x: int, dtype: str) -> int:
    return 1 << max(abs(x).bit_length() - _DIGITS[dtype], 0)


def _narrow_from(low: int, dtype: str) -> int:
    after = _rounded(low + 1, dtype)
    return after + _step(low + 1, dtype) if after < low else low


def _narrow_to(high: int, dtype: str) -> int:
    before = _rounded(high - 1, dtype)
    return before - _step(high - 1, dtype) if before >= high else high
