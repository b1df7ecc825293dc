"""torch.backends: what this build has, and switches that programs set.

Enters: reads and writes of switches. Leaves: plain modules. Switches that choose between torch's kernels are remembered and change
nothing: there is one kernel, always deterministic, and float32 products are always computed in float32.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ._missing import getattr_of

__all__ = ["cpu", "cuda", "cudnn", "mha", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "quantized"]


def _module(name: str, doc: str, **members: Any) -> ModuleType:
    full = f"{__name__}.{name}"
    module = ModuleType(full, doc)
    module.__dict__.update(members)
    sys.modules[full] = module
    return module


def _no() -> bool:
    return False


def _yes() -> bool:
    return True


@contextmanager
def _flags(*args: Any, **kwargs: Any) -> Iterator[None]:
    """Accepts any switches for a block; they choose between kernels that are one here."""
    yield


def _capability() -> str:
    """torch's word for the vector instructions in use."""
    from .runtime import jit

    return {"avx512": "AVX512", "avx2": "AVX2"}.get(jit.current_tier(), "DEFAULT")


class _Precision:
    """``fp32_precision`` and the ``allow_*`` switches of a group of kernels."""

    def __init__(self) -> None:
        self.fp32_precision = "none"
        self.allow_tf32 = False
        self.allow_fp16_reduced_precision_reduction = True
        self.allow_bf16_reduced_precision_reduction = True
        self.allow_fp16_accumulation = False


class _Plans:
    """The cache of FFT plans of a device that is not there."""

    size = 0
    max_size = 0

    def clear(self) -> None:
        """Nothing to clear."""


cpu = _module("cpu", "The CPU.", get_cpu_capability=_capability)
cuda = _module("cuda", "Not there.", is_built=_no, matmul=_Precision(), cufft_plan_cache=_Plans(), flash_sdp_enabled=_yes, mem_efficient_sdp_enabled=_yes,
               math_sdp_enabled=_yes, cudnn_sdp_enabled=_yes, enable_flash_sdp=lambda enabled: None, enable_mem_efficient_sdp=lambda enabled: None,
               enable_math_sdp=lambda enabled: None, enable_cudnn_sdp=lambda enabled: None, sdp_kernel=_flags, preferred_linalg_library=lambda backend=None: None)
cudnn = _module("cudnn", "Not there.", is_available=_no, version=lambda: None, is_acceptable=lambda tensor: False, enabled=True, deterministic=False,
                benchmark=False, benchmark_limit=10, allow_tf32=True, fp32_precision="none", conv=_Precision(), rnn=_Precision(), flags=_flags)
mkl = _module("mkl", "Not used.", is_available=_no, VERBOSE_OFF=0, VERBOSE_ON=1, verbose=_flags)
mkldnn = _module("mkldnn", "Not used.", is_available=_no, enabled=True, deterministic=True, allow_tf32=False, fp32_precision="none", conv=_Precision(),
                 matmul=_Precision(), rnn=_Precision(), flags=_flags, VERBOSE_OFF=0, VERBOSE_ON=1, VERBOSE_ON_CREATION=2, verbose=_flags)
mps = _module("mps", "Not there.", is_available=_no, is_built=_no, is_macos_or_newer=lambda major, minor: False)
mha = _module("mha", "The fast path of attention layers.", get_fastpath_enabled=_yes, set_fastpath_enabled=lambda value: None)
openmp = _module("openmp", "Not used: threads are our own.", is_available=_no)
opt_einsum = _module("opt_einsum", "The order of einsum's products.", is_available=_yes, enabled=True, strategy="auto")
quantized = _module("quantized", "Quantised kernels.", engine="none", supported_engines=["none"])

__getattr__ = getattr_of("backends")
