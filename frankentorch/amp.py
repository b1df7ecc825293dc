"""torch.amp: autocast on the CPU, and the gradient scaler.

Enters: a block of a program. Leaves: the same block with its products computed in bfloat16 (or float16) and its sensitive functions in
float32, by torch's lists for the CPU. A cast of a parameter is remembered until the outermost block ends, as torch does.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from . import dtypes
from ._missing import getattr_of
from .ops.call import is_tensor
from .ops.record import state

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]


def is_autocast_available(device_type: str) -> bool:
    """Whether there is an autocast for the device."""
    return device_type == "cpu"


class autocast:
    """Compute products inside the block (or the decorated function) in `dtype`, bfloat16 unless said otherwise.

    Only "cpu" can be enabled; for a device that is not there a warning says that nothing happens, as in torch.
    """

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = device_type
        self.fast_dtype = dtype or (dtypes.bfloat16 if device_type == "cpu" else dtypes.float16)
        self._cache_enabled = True if cache_enabled is None else cache_enabled
        if enabled and device_type != "cpu":
            if device_type not in ("cuda", "mps", "xpu", "hpu", "mtia", "xla"):
                raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
            warnings.warn(f"User provided device_type of '{device_type}', but {device_type.upper()} is not available. Disabling", stacklevel=2)
            enabled = False
        if enabled and self.fast_dtype not in (dtypes.bfloat16, dtypes.float16):
            warnings.warn("In CPU autocast, but the target dtype is not supported. Disabling autocast.\n CPU Autocast only supports dtype of "
                          "torch.bfloat16, torch.float16 currently.", stacklevel=2)
            enabled = False
        self._enabled = enabled
        self._before: list[Any] = []

    def __enter__(self) -> autocast:
        self._before.append(getattr(state, "autocast", None))
        if self.device == "cpu":
            _install()
            state.autocast = _Block(self.fast_dtype, self._before[-1]) if self._enabled else None
        return self

    def __exit__(self, *exc: object) -> None:
        before = self._before.pop()
        if self.device == "cpu":
            state.autocast = before

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.fast_dtype, self._enabled, self._cache_enabled):
                return func(*args, **kwargs)

        return wrapped


class _Block:
    """What a block casts to, and the casts of leaves made so far."""

    __slots__ = ("casts", "dtype")

    def __init__(self, dtype: Any, outer: Any) -> None:
        self.dtype = dtype
        self.casts: dict[int, Any] = outer.casts if outer is not None and outer.dtype is dtype else {}

    def cast(self, x: Any) -> Any:
        if not is_tensor(x) or x.dtype is not dtypes.float32:
            return x
        if not (x.requires_grad and x.is_leaf and state.grad):
            return x.to(self.dtype)
        key = id(x)
        kept = self.casts.get(key)
        if kept is None or kept[0] is not x or kept[1] != x._version:
            kept = self.casts[key] = (x, x._version, x.to(self.dtype))
        return kept[2]


# torch's lists for the CPU (aten/src/ATen/autocast_mode.h), by the names of our functions.
_LOW_FUNCTIONS: tuple[str, ...] = ("mm", "bmm", "matmul", "mv", "dot", "addmm", "addbmm", "baddbmm", "linear", "chain_matmul",
                                   "einsum_product")
_LOW_LAYERS: tuple[str, ...] = ("linear", "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
               "scaled_dot_product_attention")
_WIDE_FUNCTIONS: tuple[str, ...] = ("polar", "quantile", "nanquantile", "stft", "cdist", "trace", "multilabel_margin_loss", "cross")
_WIDE_LAYERS: tuple[str, ...] = ("avg_pool3d", "binary_cross_entropy", "grid_sample", "mse_loss", "cosine_embedding_loss", "nll_loss", "hinge_embedding_loss",
                "poisson_nll_loss", "smooth_l1_loss", "cross_entropy", "l1_loss", "huber_loss", "margin_ranking_loss", "soft_margin_loss",
                "triplet_margin_loss", "multi_margin_loss", "ctc_loss", "kl_div", "multilabel_margin_loss", "binary_cross_entropy_with_logits",
                "replication_pad1d", "cosine_similarity", "pdist")
_installed = False


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, (list, tuple)) and any(is_tensor(v) for v in value):
        return type(value)(change(v) for v in value)
    return change(value)


def _wide(x: Any) -> Any:
    return x.float() if is_tensor(x) and x.dtype in (dtypes.bfloat16, dtypes.float16) else x


def _casting(function: Callable[..., Any], low: bool) -> Callable[..., Any]:
    """The function, casting its tensors first while a block is on; inside it, no casts happen again."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        block = getattr(state, "autocast", None)
        if block is None:
            return function(*args, **kwargs)
        change = block.cast if low else _wide
        state.autocast = None
        try:
            return function(*[_each(a, change) for a in args], **{k: _each(v, change) for k, v in kwargs.items()})
        finally:
            state.autocast = block

    return wrapped


def _install() -> None:
    """Put the casting functions in place of the plain ones, once, when a block is first entered: programs without one pay nothing."""
    global _installed
    if _installed:
        return
    _installed = True
    import frankentorch
    from frankentorch.nn import functional

    from .methods import BINARY, _operator, _reflected
    from .ops.define import API
    from .tensor import Tensor

    for names, low in ((_LOW_FUNCTIONS, True), (_WIDE_FUNCTIONS, False)):
        for name in names:
            entry = API.get(name)
            if entry is None:
                continue
            plain, casting = entry.function, _casting(entry.function, low)
            entry.function = casting
            if frankentorch.__dict__.get(name) is plain:
                setattr(frankentorch, name, casting)
            if vars(Tensor).get(name) is plain:
                setattr(Tensor, name, casting)
    setattr(Tensor, "__matmul__", _operator(API[BINARY["matmul"]].function))
    setattr(Tensor, "__rmatmul__", _reflected(API[BINARY["matmul"]].function))
    homes = [functional, *[m for m in vars(functional).values() if getattr(m, "__package__", None) == functional.__name__]]
    for names, low in ((_LOW_LAYERS, True), (_WIDE_LAYERS, False)):
        for name in names:
            layer: Any = vars(functional).get(name)
            if layer is None:
                continue
            casting = _casting(layer, low)
            for home in (*homes, frankentorch):
                if vars(home).get(name) is layer:
                    setattr(home, name, casting)


def custom_fwd(fwd: Callable[..., Any] | None = None, *, device_type: str = "cuda", cast_inputs: Any = None) -> Any:
    """Decorate a custom Function's forward: with `cast_inputs`, it runs outside autocast on inputs of that dtype."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        block = getattr(state, "autocast", None)
        args[0]._autocast = block if cast_inputs is None else None
        if cast_inputs is None or block is None or device_type != "cpu":
            return fwd(*args, **kwargs)

        def change(x: Any) -> Any:
            return x.to(cast_inputs) if is_tensor(x) and x.dtype.is_floating_point and x.dtype is not dtypes.float64 else x

        with autocast("cpu", enabled=False):
            return fwd(*[_each(a, change) for a in args], **{k: _each(v, change) for k, v in kwargs.items()})

    return wrapped


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str = "cuda") -> Any:
    """Decorate a custom Function's backward: it runs with the autocast that its forward had."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        block = getattr(args[0], "_autocast", None)
        with autocast("cpu", block.dtype if block is not None else None, enabled=block is not None):
            return bwd(*args, **kwargs)

    return wrapped


class GradScaler:
    """Scales a loss so that half-precision gradients do not vanish, and skips the steps in which they overflow."""

    def __init__(self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True) -> None:
        if enabled and device != "cpu":
            warnings.warn(f"torch.{device}.amp.GradScaler is enabled, but {device.upper()} is not available.  Disabling.", stacklevel=2)
            enabled = False
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._device, self._enabled = device, enabled
        self._scale, self._growth_factor, self._backoff_factor, self._growth_interval = init_scale, growth_factor, backoff_factor, growth_interval
        self._growth_tracker = 0
        self._found: dict[int, bool] = {}
        self._stepped: set[int] = set()

    def scale(self, outputs: Any) -> Any:
        """Outputs times the scale."""
        if not self._enabled:
            return outputs
        if is_tensor(outputs):
            return outputs * self._scale
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(o) for o in outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale."""
        if not self._enabled:
            return
        if id(optimizer) in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if id(optimizer) in self._found:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        from .autograd import no_grad

        finite = None
        with no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    if p.grad.dtype is dtypes.float16:
                        raise ValueError("Attempting to unscale FP16 gradients.")
                    p.grad.mul_(1.0 / self._scale)
                    fine = p.grad.isfinite().all()
                    finite = fine if finite is None else finite & fine
        if finite is None:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        self._found[id(optimizer)] = not bool(finite)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(), unless a gradient is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(id(optimizer))
        return None if self._found[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Lower the scale after an overflow; raise it after `growth_interval` steps without one."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            if not self._found:
                raise AssertionError("No inf checks were recorded prior to update.")
            if any(self._found.values()):
                self._scale *= self._backoff_factor
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    self._scale *= self._growth_factor
                    self._growth_tracker = 0
        self._found.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """The scale; 1.0 when disabled."""
        return self._scale if self._enabled else 1.0

    def is_enabled(self) -> bool:
        return self._enabled

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """The scaler's numbers; empty when disabled."""
        if not self._enabled:
            return {}
        return {"scale": self._scale, "growth_factor": self._growth_factor, "backoff_factor": self._backoff_factor,
                "growth_interval": self._growth_interval, "_growth_tracker": self._growth_tracker}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take numbers that `state_dict` gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler.")
        self._scale, self._growth_factor = state_dict["scale"], state_dict["growth_factor"]
        self._backoff_factor, self._growth_interval = state_dict["backoff_factor"], state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]


__getattr__ = getattr_of("amp")
