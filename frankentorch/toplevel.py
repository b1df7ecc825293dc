"""torch's top-level functions that are not ops: questions about tensors, threads, seeds, settings."""

from __future__ import annotations

from typing import Any

from . import dtypes
from .ops.call import is_tensor
from .ops.record import state
from .runtime.window import cut_here

__all__ = ["are_deterministic_algorithms_enabled", "broadcast_shapes", "compile", "get_num_interop_threads", "get_num_threads",
           "get_deterministic_debug_mode", "is_complex", "is_floating_point", "is_nonzero", "is_storage", "is_tensor", "is_warn_always_enabled",
           "load", "numel", "result_type", "save", "set_flush_denormal", "set_num_interop_threads", "set_num_threads", "set_default_tensor_type",
           "use_deterministic_algorithms", "get_float32_matmul_precision", "set_float32_matmul_precision", "is_inference", "typename", "is_same_size",
           "_runtime_step_end", "_assert", "set_warn_always", "detach", "detach_", "fill_", "zero_", "resize_as_", "get_device", "is_signed", "is_conj", "is_neg",
           "is_anomaly_enabled", "set_anomaly_enabled", "is_deterministic_algorithms_warn_only_enabled", "set_deterministic_debug_mode",
           "is_autocast_enabled", "is_autocast_cpu_enabled", "get_autocast_dtype", "get_autocast_cpu_dtype"]


def is_floating_point(input: Any) -> bool:
    """Whether the tensor's dtype is a floating point one."""
    return bool(input.dtype.is_floating_point)


def is_complex(input: Any) -> bool:
    """Whether the tensor's dtype is complex."""
    return bool(input.dtype.is_complex)


def is_inference(input: Any) -> bool:
    """Whether the tensor was made in inference mode."""
    return False


def is_storage(obj: Any) -> bool:
    """Whether `obj` is a storage."""
    from .storage import TypedStorage, UntypedStorage

    return isinstance(obj, (UntypedStorage, TypedStorage))


def is_nonzero(input: Any) -> bool:
    """The truth of a one-element tensor."""
    if input.numel() != 1:
        raise RuntimeError("Boolean value of Tensor with " + ("no values" if input.numel() == 0 else "more than one value") + " is ambiguous")
    return bool(input)


def is_same_size(input: Any, other: Any) -> bool:
    """Whether two tensors have the same shape."""
    return bool(input.shape == other.shape)


def numel(input: Any) -> int:
    """The number of elements."""
    return int(input.numel())


def result_type(tensor1: Any, tensor2: Any) -> Any:
    """The dtype of an operation on two tensors or numbers."""
    from .ops.arith import result_type as of

    return of(tensor1, tensor2)


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that all of `shapes` broadcast to."""
    from .size import Size

    sizes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    out = [1] * max(map(len, sizes), default=0)
    for number, size in enumerate(sizes):
        for at in range(-1, -len(size) - 1, -1):
            if size[at] < 0 or (size[at] != 1 and out[at] not in (1, size[at])):
                raise RuntimeError(f"Attempting to broadcast a dimension of length {size[at]} at {at}! Mismatching argument at index {number} had {size}; but "
                                   f"expected shape should be broadcastable to {out}")
            out[at] = size[at] if size[at] != 1 else out[at]
    return Size(out)


def typename(obj: Any) -> str:
    """torch's name of an object's type."""
    if is_tensor(obj):
        return str(obj.type())
    return f"{type(obj).__module__}.{type(obj).__qualname__}".removeprefix("builtins.")


def get_num_threads() -> int:
    """Threads that a kernel may use."""
    from .runtime import native

    return native.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set how many threads a kernel may use; results do not depend on it."""
    from .runtime import native

    if not isinstance(n, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    if n <= 0:
        raise RuntimeError("expected positive number of threads")
    if n != native.get_num_threads():
        from .runtime import program

        native.set_num_threads(n)
        program.PROGRAMS.clear()  # plans split their work for a number of threads


def get_num_interop_threads() -> int:
    """Always one: operations are not run beside each other."""
    return 1


def set_num_interop_threads(n: int) -> None:
    """Accepted; there is one."""


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Always on: every algorithm here is deterministic."""


def are_deterministic_algorithms_enabled() -> bool:
    """Always True."""
    return True


def get_deterministic_debug_mode() -> int:
    """2: an error, were there anything nondeterministic."""
    return 2


def set_flush_denormal(mode: bool) -> bool:
    """Denormals are never flushed; False says that asking for it had no effect."""
    return not mode


def get_float32_matmul_precision() -> str:
    """Always "highest"."""
    return "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Checked and accepted; float32 products are always computed in float32."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"invalid float32 matmul precision {precision}")


def set_default_tensor_type(t: Any) -> None:
    """The old way to set the default dtype."""
    d = dtypes.TYPE_NAMES[t] if isinstance(t, str) else t.dtype
    dtypes.set_default_dtype(d)


def is_warn_always_enabled() -> bool:
    """False."""
    return False


def set_warn_always(b: bool) -> None:
    """Accepted."""


def _assert(condition: Any, message: str) -> None:
    assert condition, message


def _runtime_step_end() -> None:
    """A structural point: the end of an optimizer's step."""
    cut_here("end of step")


def _method(name: str, doc: str) -> Any:
    def function(input: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(input, name)(*args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


detach = _method("detach", "The same memory, off the tape.")
detach_ = _method("detach_", "Take a tensor off the tape.")
fill_ = _method("fill_", "Set every element to a number.")
zero_ = _method("zero_", "Set every element to zero.")
resize_as_ = _method("resize_as_", "Resize to another tensor's shape.")
get_device = _method("get_device", "-1: the CPU.")
is_signed = _method("is_signed", "Whether the dtype has negative numbers.")
is_conj = _method("is_conj", "False: conjugation is not lazy here.")
is_neg = _method("is_neg", "False: negation is not lazy here.")


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return state.anomaly


def set_anomaly_enabled(enabled: bool, check_nan: bool = True) -> None:
    """Turn anomaly detection on or off."""
    state.anomaly = enabled


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """False."""
    return False


def set_deterministic_debug_mode(debug_mode: Any) -> None:
    """Checked and accepted."""
    if debug_mode not in (0, 1, 2, "default", "warn", "error"):
        raise ValueError(f"invalid value of debug_mode, expected `default`, `warn`, or `error`, but got {debug_mode}")


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether an autocast block for the device is on."""
    return device_type == "cpu" and getattr(state, "autocast", None) is not None


def is_autocast_cpu_enabled() -> bool:
    """Whether autocast is on."""
    return is_autocast_enabled("cpu")


def get_autocast_dtype(device_type: str) -> Any:
    """What products are computed in under autocast."""
    block = getattr(state, "autocast", None)
    return dtypes.float16 if device_type != "cpu" else dtypes.bfloat16 if block is None else block.dtype


def get_autocast_cpu_dtype() -> Any:
    """get_autocast_dtype of the CPU."""
    return get_autocast_dtype("cpu")


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, _use_new_zipfile_serialization: bool = True) -> None:
    """Write an object in torch's zip format."""
    from .interop import pt

    pt.save(obj, f, pickle_module, pickle_protocol, _use_new_zipfile_serialization)


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: Any = None, mmap: Any = None, **kwargs: Any) -> Any:
    """Read torch's zip format through a restricted unpickler."""
    from .interop import pt

    return pt.load(f, map_location, pickle_module, weights_only=weights_only, mmap=mmap, **kwargs)


def compile(model: Any = None, *, fullgraph: bool = False, dynamic: Any = None, backend: Any = "frankentorch", mode: Any = None, options: Any = None,
            disable: bool = False) -> Any:
    """Compile a function or module: one native program a call (see docs/compile.md)."""
    from .compiler import compile as compile_

    return compile_(model, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable)
