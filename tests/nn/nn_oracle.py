"""Running one piece of code on frankentorch and on real torch, and comparing all that can be seen of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import frankentorch as ft


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor of either library, as float32 where numpy has no such dtype."""
    tensor = tensor.detach()
    return tensor.float().numpy() if "bfloat16" in str(tensor.dtype) else tensor.numpy()


def observe(mod: Any, build: Callable[..., Any], arrays: tuple[np.ndarray, ...], seed: int, grad: bool) -> dict[str, Any]:
    """Values, dtypes, gradients of float inputs, or the exception; and the warnings."""
    seen: dict[str, Any] = {}
    tensors = [mod.from_numpy(a.copy()) for a in arrays]
    wants = [t for t, a in zip(tensors, arrays, strict=True) if grad and a.dtype.kind == "f"]
    for t in wants:
        t.requires_grad_(True)
    mod.manual_seed(seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            out = build(mod, *tensors)
        except Exception as error:
            seen["error"] = (type(error).__name__, str(error))
            return seen
        seen["warnings"] = sorted(str(w.message) for w in caught if "torch" not in str(w.category.__module__))
    leaves = _leaves(out)
    seen["dtypes"] = [str(v.dtype) if hasattr(v, "dtype") else type(v).__name__ for v in leaves]
    seen["values"] = [to_numpy(v) if hasattr(v, "detach") else v for v in leaves]
    total = None
    for i, v in enumerate(leaves):
        if getattr(v, "requires_grad", False):
            cotangent = np.cos(np.arange(v.numel(), dtype=np.float64) + i).reshape(tuple(v.shape))
            term = (v * mod.from_numpy(cotangent).to(v.dtype)).sum()
            total = term if total is None else total + term
    if total is not None:
        total.backward()
    seen["grads"] = [None if t.grad is None else to_numpy(t.grad) for t in wants]
    return seen


def check(build: Callable[..., Any], *arrays: np.ndarray, seed: int = 0, grad: bool = True, tol: float = 1e-5,
          message: bool = True, warned: bool = False) -> None:
    """`build(module, *tensors)` gives the same on both: values, dtypes, gradients; or the same exception."""
    want, got = observe(torch, build, arrays, seed, grad), observe(ft, build, arrays, seed, grad)
    if "error" in want or "error" in got:
        assert "error" in want, f"frankentorch raised {got['error']}, torch did not"
        assert "error" in got, f"torch raised {want['error']}, frankentorch did not"
        assert got["error"][0] == want["error"][0], (got["error"], want["error"])
        if message:
            assert got["error"][1] == want["error"][1], f"{got['error'][1]!r} against {want['error'][1]!r}"
        return
    assert got["dtypes"] == want["dtypes"]
    if warned:
        assert got["warnings"] == want["warnings"]
    for kind in ("values", "grads"):
        assert len(got[kind]) == len(want[kind])
        for i, (a, b) in enumerate(zip(got[kind], want[kind], strict=True)):
            if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
                assert a is b or a == b, f"{kind}[{i}]: {a!r} against {b!r}"
                continue
            assert a.shape == b.shape, f"{kind}[{i}]: shape {a.shape} against {b.shape}"
            np.testing.assert_allclose(a, b, rtol=tol, atol=tol, err_msg=f"{kind}[{i}]")


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Reproducible normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def uniform(*shape: int, low: float = 0.0, high: float = 1.0, seed: int = 0) -> np.ndarray:
    """Reproducible uniform float32 numbers."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def integers(*shape: int, low: int = 0, high: int, seed: int = 0) -> np.ndarray:
    """Reproducible int64 numbers in [low, high)."""
    return np.random.default_rng(seed).integers(low, high, shape)
