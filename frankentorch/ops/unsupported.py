"""What torch's kernels are not written for: the errors of pointwise rows by promoted dtype.

Enters: a row's name and the dtype its operands promote to. Leaves: nothing, or torch's exception. Asked once for each combination of
operand types, when a call's promotion is planned.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from ..dtypes import dtype as DType

BOOL = {"abs": "abs_cpu", "floor": "floor_vml_cpu", "ceil": "ceil_vml_cpu", "rint": "round_vml_cpu", "round": "round_vml_cpu", "trunc": "trunc_vml_cpu",
        "remainder": "remainder_cpu", "fmod": "fmod_cpu", "hypot": "hypot_cpu", "floor_divide": "div_floor_cpu", "pow": "pow",
        "bitwise_left_shift": "lshift_cpu", "bitwise_right_shift": "rshift_cpu", "logaddexp": "logaddexp_cpu", "mm": "addmm_impl_cpu_", "bmm": "bmm",
        "conv": "slow_conv2d_cpu", "conv_input": "slow_conv_transpose2d_cpu"}
INTEGER = {"hypot": "hypot_cpu", "logaddexp": "logaddexp_cpu"}
COMPLEX = {"gt": "gt_cpu", "lt": "lt_cpu", "ge": "ge_cpu", "le": "le_cpu", "erf": "erf_vml_cpu", "atan2": "atan2_cpu", "erfc": "erfc_vml_cpu",
           "fmod": "fmod_cpu", "remainder": "remainder_cpu", "hypot": "hypot_cpu", "lgamma": "lgamma_vml_cpu", "digamma": "digamma",
           "floor_divide": "div_floor_cpu", "erfinv": "erfinv_vml_cpu", "i0": "i0_vml_cpu", "copysign": "copysign_cpu",
           "rint": "round_vml_cpu", "cummax": "cummax_cpu", "cummin": "cummin_cpu",
           "special_i0e": "i0e_cpu", "special_i1": "i1_cpu", "special_i1e": "i1e_cpu", "trigamma": "trigamma"}
SENTENCES = {
    ("neg", "bool"): (RuntimeError, "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
                                    "`logical_not()` operator instead."),
    ("sign", "complex"): (NotImplementedError, "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."),
    ("floor", "complex"): (NotImplementedError, "floor is not supported for complex inputs"),
    ("ceil", "complex"): (NotImplementedError, "ceil is not supported for complex inputs"),
    ("trunc", "complex"): (NotImplementedError, "trunc is not supported for complex inputs"),
    ("maximum", "complex"): (RuntimeError, "maximum not implemented for complex tensors."),
    ("minimum", "complex"): (RuntimeError, "minimum not implemented for complex tensors."),
    ("fmax", "complex"): (RuntimeError, "fmax not implemented for complex tensors."),
    ("fmin", "complex"): (RuntimeError, "fmin not implemented for complex tensors."),
    ("signbit", "complex"): (NotImplementedError, "signbit is not implemented for complex tensors."),
    ("sub", "bool"): (RuntimeError, "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator "
                                    "instead."),
}


def kind_of(dtype: DType) -> str:
    return "complex" if dtype.is_complex else "bool" if dtype is dtypes.bool_ else "int" if dtype.category < dtypes.FLOAT else "float"


def need(kernel: str, x: Any, *kinds: str) -> None:
    """Raise torch's error when `x`'s dtype is not of one of the `kinds` that its kernel is written for."""
    if kind_of(x.dtype) not in kinds:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{x.dtype.scalar_name}'")


def refuse(name: str, dtype: DType) -> None:
    """Raise torch's error when row `name` is not computed in `dtype`."""
    kind = kind_of(dtype)
    sentence = SENTENCES.get((name, kind))
    if sentence is not None:
        raise sentence[0](sentence[1])
    kernel = {"complex": COMPLEX, "bool": BOOL, "int": INTEGER}.get(kind, {}).get(name)
    if kernel is not None:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.scalar_name}'")
