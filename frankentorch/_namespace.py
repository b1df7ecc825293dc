"""Fills the top-level namespace with torch's names.

Enters: the package's globals. Leaves: dtypes, the op table's functions, tensor constructors, grad modes, and the subpackages (those
that a first line needs at once, the others when first touched). A public name of torch that is not there resolves to an error
that names it.
"""

from __future__ import annotations

import importlib
from typing import Any

LAZY = {
    "nn": "nn", "optim": "optim", "utils": "utils", "autograd": "autograd", "linalg": "linalg", "fft": "fft", "special": "special",
    "random": "random_api", "testing": "testing", "amp": "amp",
    "backends": "backends", "cuda": "cuda", "mps": "mps", "multiprocessing": "multiprocessing", "profiler": "profiler", "overrides": "overrides",
    "types": "types_api", "version": "version", "serialization": "serialization", "storage": "storage", "return_types": "return_types",
    "compiler": "compiler", "conformance": "conformance",
    "interop": "interop", "_C": "_C",
}

# Names of torch that live in a module, loaded when first asked for: name -> (module, name there).
FROM: dict[str, tuple[str, str]] = {
    **{n: ("storage", n) for n in ("TypedStorage", "UntypedStorage")},
    **{n: ("nn.functional", n) for n in ("bilinear", "channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle")},
    **{n: ("nn.functional.recurrent", n) for n in ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")},
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"), ("nn.functional.vision", "grid_sampler")),
    "affine_grid_generator": ("nn.functional", "affine_grid"), "ctc_loss": ("nn.functional.classify", "native_ctc_loss"),
    **{f"{t}Storage": ("storage", f"{t}Storage") for t in ("Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool",
                                                           "ComplexFloat", "ComplexDouble")},
    **{f"{t}Tensor": ("legacy", f"{t}Tensor") for t in ("Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool")},
    "Storage": ("storage", "FloatStorage"), "autocast": ("amp", "autocast"), "GradScaler": ("amp", "GradScaler"), "OutOfMemoryError": ("errors", "OutOfMemoryError"),
    "matrix_power": ("linalg", "matrix_power"),
}


def fill(ns: dict[str, Any]) -> None:
    """Put torch's names into `ns`."""
    from . import autograd, construct, dtypes, memory_format, methods, printing, size, tensor
    from .device import device, get_default_device, set_default_device
    from .ops.define import API

    methods.bind()
    for d in dtypes.ALL:
        ns[d.name] = d
    ns.update(dtypes.ALIASES)
    ns.update(dtype=dtypes.dtype, finfo=dtypes.finfo, iinfo=dtypes.iinfo, promote_types=dtypes.promote_types, can_cast=dtypes.can_cast,
              set_default_dtype=dtypes.set_default_dtype, get_default_dtype=dtypes.get_default_dtype)
    ns.update(device=device, set_default_device=set_default_device, get_default_device=get_default_device)
    for name in ("contiguous_format", "channels_last", "channels_last_3d", "preserve_format", "strided", "sparse_coo", "sparse_csr", "sparse_csc",
                 "sparse_bsr", "sparse_bsc", "layout", "memory_format"):
        if hasattr(memory_format, name):
            ns[name] = getattr(memory_format, name)
    ns.update(Size=size.Size, set_printoptions=printing.set_printoptions)
    ns.update(Tensor=tensor.Tensor, tensor=construct.tensor, as_tensor=construct.as_tensor, asarray=construct.as_tensor, from_numpy=construct.from_numpy,
              from_dlpack=construct.from_dlpack, frombuffer=construct.frombuffer)
    for name, entry in API.items():
        if entry.public and not name.startswith("_"):
            ns[name] = entry.function
            if entry.inplace and hasattr(tensor.Tensor, name + "_"):
                ns.setdefault(name + "_", getattr(tensor.Tensor, name + "_"))
    for name in ("no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled"):
        ns[name] = getattr(autograd, name)
    from . import toplevel
    from .ops import rand

    for name in ("Generator", "default_generator", "manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state"):
        ns[name] = getattr(rand, name)
    for name in toplevel.__all__:
        ns[name] = getattr(toplevel, name)
    ns.update(inf=float("inf"), nan=float("nan"), pi=3.141592653589793, e=2.718281828459045, newaxis=None)
    ns["autograd"] = autograd
    ns["__version__"] = "2.13.0+frankentorch"
    ns["__getattr__"] = _getattr


def _getattr(name: str) -> Any:
    target = LAZY.get(name)
    if target is not None:
        try:
            module = importlib.import_module(f"frankentorch.{target}")
        except ModuleNotFoundError as e:
            if e.name != f"frankentorch.{target}":
                raise
            from .errors import MissingName

            raise MissingName(f"torch.{name} is not there yet") from None
        importlib.import_module("frankentorch").__dict__[name] = module
        return module
    source = FROM.get(name)
    if source is not None:
        where, attribute = source
        value = getattr(importlib.import_module(f"frankentorch.{where}"), attribute)
        importlib.import_module("frankentorch").__dict__[name] = value
        return value
    from ._missing import error

    raise error("", name)
