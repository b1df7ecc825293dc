"""Conversions to and from 16-bit floats as LLVM IR, for processors without the instructions.

Enters: nothing. Leaves: the text of a module that defines, by the names LLVM calls them, conversions that round once to
nearest-even: from float64 and float32 to float16 and bfloat16, and from float16 to float32. A C runtime may lack them or have
them with other rounding (float64 to float16 by way of float32 rounds twice), so code loaded by runtime/jit.py uses these.
"""

from __future__ import annotations

SYMBOLS = ("__truncdfhf2", "__truncsfhf2", "__truncdfbf2", "__truncsfbf2", "__extendhfsf2")


def _narrow(name: str, type_: str, exponent_bits: int, fraction_bits: int) -> str:
    """float64 to a 16-bit format, by integer arithmetic: add half a unit less one, plus one if odd, and shift."""
    bias = (1 << (exponent_bits - 1)) - 1
    top = (1 << exponent_bits) - 1
    shift = 52 - fraction_bits
    infinity = top << fraction_bits
    quiet = infinity | 1 << (fraction_bits - 1)
    return f"""
define {type_} @{name}(double %x) nounwind {{
  %bits = bitcast double %x to i64
  %sign = lshr i64 %bits, 63
  %magnitude = and i64 %bits, 9223372036854775807
  %fraction = and i64 %bits, 4503599627370495
  %biased = lshr i64 %magnitude, 52
  %exponent = sub i64 %biased, {1023 - bias}
  %is.nan = icmp ugt i64 %magnitude, 9218868437227405312
  %is.large = icmp sge i64 %exponent, {top}
  %is.small = icmp slt i64 %exponent, 1
  %exponent.up = shl i64 %exponent, 52
  %as.normal = or i64 %exponent.up, %fraction
  %as.subnormal = or i64 %fraction, 4503599627370496
  %deficit = sub i64 {shift + 1}, %exponent
  %deficit.bounded = call i64 @llvm.smin.i64(i64 %deficit, i64 60)
  %shift = select i1 %is.small, i64 %deficit.bounded, i64 {shift}
  %value = select i1 %is.small, i64 %as.subnormal, i64 %as.normal
  %kept = lshr i64 %value, %shift
  %odd = and i64 %kept, 1
  %half.shift = sub i64 %shift, 1
  %half = shl i64 1, %half.shift
  %half.less = sub i64 %half, 1
  %bump = add i64 %half.less, %odd
  %bumped = add i64 %value, %bump
  %rounded = lshr i64 %bumped, %shift
  %finite = select i1 %is.large, i64 {infinity}, i64 %rounded
  %payload = lshr i64 %fraction, {shift}
  %nan = or i64 %payload, {quiet}
  %unsigned = select i1 %is.nan, i64 %nan, i64 %finite
  %sign.up = shl i64 %sign, 15
  %result = or i64 %sign.up, %unsigned
  %short = trunc i64 %result to i16
  %out = bitcast i16 %short to {type_}
  ret {type_} %out
}}
"""


def _narrow_single(name: str, type_: str, by: str) -> str:
    return f"""
define {type_} @{name}(float %x) nounwind {{
  %wide = fpext float %x to double
  %out = call {type_} @{by}(double %wide)
  ret {type_} %out
}}
"""


# A subnormal half's fraction, given the exponent of 2**-14, exceeds 2**-14 by the value sought: the subtraction is exact.
_WIDEN = """
define float @__extendhfsf2(half %x) nounwind {
  %short = bitcast half %x to i16
  %bits = zext i16 %short to i32
  %sign = and i32 %bits, 32768
  %sign.up = shl i32 %sign, 16
  %magnitude = and i32 %bits, 32767
  %shifted = shl i32 %magnitude, 13
  %normal = add i32 %shifted, 939524096
  %lifted = add i32 %shifted, 947912704
  %lifted.float = bitcast i32 %lifted to float
  %subnormal.float = fsub float %lifted.float, 0x3F10000000000000
  %subnormal = bitcast float %subnormal.float to i32
  %special = or i32 %shifted, 2139095040
  %quiet = or i32 %special, 4194304
  %is.subnormal = icmp ult i32 %magnitude, 1024
  %is.special = icmp uge i32 %magnitude, 31744
  %is.nan = icmp ugt i32 %magnitude, 31744
  %finite = select i1 %is.subnormal, i32 %subnormal, i32 %normal
  %infinite = select i1 %is.nan, i32 %quiet, i32 %special
  %unsigned = select i1 %is.special, i32 %infinite, i32 %finite
  %result = or i32 %sign.up, %unsigned
  %out = bitcast i32 %result to float
  ret float %out
}

declare i64 @llvm.smin.i64(i64, i64)
"""

TEXT = "".join((
    _narrow("__truncdfhf2", "half", 5, 10), _narrow_single("__truncsfhf2", "half", "__truncdfhf2"),
    _narrow("__truncdfbf2", "bfloat", 8, 7), _narrow_single("__truncsfbf2", "bfloat", "__truncdfbf2"), _WIDEN))
