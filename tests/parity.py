"""One helper that runs a callable under torch and under frankentorch and compares everything a user can see.

Enters: a function of (library, *tensors), and NumPy arrays (or numbers, dtypes' names, nested lists of arrays) to make the tensors of.
Leaves: nothing, or an AssertionError that says what differs: values (to a tolerance), dtypes, shapes, strides, requires_grad and
is_leaf of the results, gradients of the arguments, the arguments afterwards, and exceptions (type, and the first words).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import frankentorch as ft

WORDS = 40
TOLERANCE = {"float32": 2e-6, "complex64": 4e-6, "float64": 1e-12, "complex128": 1e-12, "float16": 2e-3, "bfloat16": 1.6e-2}


@dataclass(frozen=True)
class Arg:
    """A tensor argument: an array, its dtype (a name; None: the array's), and whether it asks for a gradient."""

    array: Any
    dtype: str | None = None
    grad: bool = False


def leaf(array: Any, dtype: str | None = None) -> Arg:
    """An argument that requires grad."""
    return Arg(array, dtype, True)


def rand(*shape: int, seed: int = 0, dtype: str = "float32", low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Reproducible numbers."""
    rng = np.random.default_rng([seed, *shape])
    if dtype.startswith("complex"):
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0 if dtype.startswith("u") else int(low), int(high) + 4, shape).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)


def make(lib: Any, arg: Any) -> Any:
    """The argument in a library: arrays and `Arg` become tensors, the rest stays."""
    if isinstance(arg, Arg):
        t = lib.tensor(arg.array)
        t = t if arg.dtype is None else t.to(getattr(lib, arg.dtype))
        return t.requires_grad_(True) if arg.grad else t
    if isinstance(arg, np.ndarray):
        return lib.tensor(arg)
    if isinstance(arg, (list, tuple)):
        return type(arg)(make(lib, a) for a in arg)
    return arg


def numbers(t: Any) -> np.ndarray:
    """A tensor's values as a NumPy array, bfloat16 as float32."""
    t = t.detach()
    t = t.resolve_conj() if hasattr(t, "resolve_conj") else t
    t = t.resolve_neg() if hasattr(t, "resolve_neg") else t
    if str(t.dtype) == "torch.bfloat16":
        t = t.float()
    return np.array(t.numpy())


def dtype_name(t: Any) -> str:
    return str(t.dtype).removeprefix("torch.")


@dataclass
class Outcome:
    """What a call did."""

    result: Any = None
    error: Exception | None = None
    args: tuple[Any, ...] = ()
    before: list[Any] | None = None


def _is_tensor(lib: Any, x: Any) -> bool:
    return isinstance(x, lib.Tensor)


def _flat(lib: Any, x: Any) -> list[Any]:
    if isinstance(x, Mapping):
        return [t for v in x.values() for t in _flat(lib, v)]
    if isinstance(x, (list, tuple)) and not isinstance(x, lib.Size):
        return [t for v in x for t in _flat(lib, v)]
    return [x]


def run(lib: Any, fn: Callable[..., Any], args: Any) -> Outcome:
    """Call `fn` in one library."""
    made = tuple(make(lib, a) for a in args)
    before = [(numbers(t).copy(), t._version, tuple(t.shape)) for t in _flat(lib, list(made)) if _is_tensor(lib, t)]
    try:
        return Outcome(fn(lib, *made), None, made, before)
    except Exception as error:
        return Outcome(None, error, made, before)


def close(a: np.ndarray, b: np.ndarray, dtype: str, what: str, rtol: float | None, atol: float | None) -> None:
    """Values are near; NaN, infinities and their signs agree."""
    if rtol is None:
        rtol = TOLERANCE.get(dtype, 0.0)
    if atol is None:
        atol = rtol
    assert a.shape == b.shape, f"{what}: shape {b.shape}, torch has {a.shape}"
    with np.errstate(all="ignore"):
        if a.dtype.kind in "fc":
            np.testing.assert_allclose(b, a, rtol=rtol, atol=atol, equal_nan=True, err_msg=what)
        else:
            np.testing.assert_array_equal(b, a, err_msg=what)


def compare(theirs: Any, ours: Any, what: str = "result", rtol: float | None = None, atol: float | None = None, stride: bool = True,
            flags: bool = True) -> None:
    """Two results: tensors, numbers, strings, or nested ones."""
    if _is_tensor(torch, theirs):
        assert _is_tensor(ft, ours), f"{what}: {type(ours)}, torch has a tensor"
        assert dtype_name(ours) == dtype_name(theirs), f"{what}: dtype {dtype_name(ours)}, torch has {dtype_name(theirs)}"
        assert tuple(ours.shape) == tuple(theirs.shape), f"{what}: shape {tuple(ours.shape)}, torch has {tuple(theirs.shape)}"
        if stride and theirs.numel():
            have, want = ([s for s, n in zip(t.stride(), t.shape) if n != 1] for t in (ours, theirs))
            assert have == want, f"{what}: strides {ours.stride()}, torch has {theirs.stride()}"
        if flags:
            assert ours.requires_grad == theirs.requires_grad, f"{what}: requires_grad {ours.requires_grad}, torch has {theirs.requires_grad}"
            assert ours.is_leaf == theirs.is_leaf, f"{what}: is_leaf {ours.is_leaf}, torch has {theirs.is_leaf}"
        close(numbers(theirs), numbers(ours), dtype_name(theirs), what, rtol, atol)
        return
    if isinstance(theirs, Mapping):
        assert list(theirs) == list(ours), f"{what}: keys {list(ours)}, torch has {list(theirs)}"
        for k in theirs:
            compare(theirs[k], ours[k], f"{what}[{k!r}]", rtol, atol, stride, flags)
        return
    if isinstance(theirs, (list, tuple)):
        assert type(ours).__name__ == type(theirs).__name__, f"{what}: {type(ours)}, torch has {type(theirs)}"
        assert len(ours) == len(theirs), f"{what}: {len(ours)} items, torch has {len(theirs)}"
        for i, (a, b) in enumerate(zip(theirs, ours)):
            compare(a, b, f"{what}[{i}]", rtol, atol, stride, flags)
        return
    if isinstance(theirs, (torch.dtype, torch.device, torch.memory_format, torch.layout)):
        assert str(ours) == str(theirs), f"{what}: {ours}, torch has {theirs}"
        return
    if isinstance(theirs, (float, complex)) and theirs == theirs:
        assert type(ours) is type(theirs), f"{what}: {type(ours)}, torch has {type(theirs)}"
        tolerance = 1e-6 if rtol is None else rtol
        assert abs(ours - theirs) <= tolerance * max(1.0, abs(theirs)) or ours == theirs, f"{what}: {ours}, torch has {theirs}"
        return
    if isinstance(theirs, (bool, int, float, str, bytes, type(None), np.ndarray)):
        np.testing.assert_equal(ours, theirs, err_msg=what)
        assert type(ours) is type(theirs), f"{what}: {type(ours)}, torch has {type(theirs)}"


def kind_of(error: BaseException) -> str:
    return type(error).__name__.lstrip("_")


def compare_errors(theirs: Outcome, ours: Outcome, words: int = WORDS) -> None:
    """The same exception type and first words; what the call was given is unchanged."""
    if theirs.error is None:
        assert ours.error is None, f"raised {kind_of(ours.error)}: {ours.error}; torch does not"  # type: ignore[arg-type]
        return
    assert ours.error is not None, f"did not raise; torch raises {kind_of(theirs.error)}: {theirs.error}"
    assert kind_of(ours.error) == kind_of(theirs.error), f"raised {kind_of(ours.error)}: {ours.error}; torch {kind_of(theirs.error)}: {theirs.error}"
    assert str(ours.error)[:words] == str(theirs.error)[:words], f"says: {ours.error}\ntorch says: {theirs.error}"
    after = [(numbers(t), t._version, tuple(t.shape)) for t in _flat(ft, list(ours.args)) if _is_tensor(ft, t)]
    for (a, v, s), (b, w, r) in zip(ours.before or [], after):
        np.testing.assert_array_equal(a, b, err_msg="an argument was changed by a call that raised")
        assert (v, s) == (w, r), "a version or shape was changed by a call that raised"


def gradients(lib: Any, outcome: Outcome) -> list[Any]:
    """Gradients of the arguments that ask for one, from fixed cotangents of every differentiable result."""
    outs = [t for t in _flat(lib, outcome.result) if _is_tensor(lib, t) and t.requires_grad]
    leaves = [t for t in _flat(lib, list(outcome.args)) if _is_tensor(lib, t) and t.requires_grad and t.is_leaf]
    if not outs or not leaves:
        return []
    seeds = [lib.tensor(rand(*t.shape, seed=7 + i, dtype="complex128" if t.is_complex() else "float64")).to(t.dtype) for i, t in enumerate(outs)]
    return list(lib.autograd.grad(outs, leaves, seeds, allow_unused=True))


def check(fn: Callable[..., Any], *args: Any, rtol: float | None = None, atol: float | None = None, stride: bool = True, grad: bool = True,
          flags: bool = True, words: int = WORDS) -> None:
    """`fn(lib, *args)` does the same in both libraries."""
    theirs, ours = run(torch, fn, args), run(ft, fn, args)
    if theirs.error is not None or ours.error is not None:
        compare_errors(theirs, ours, words)
        return
    compare(theirs.result, ours.result, "result", rtol, atol, stride, flags)
    for i, (a, b) in enumerate(zip(_flat(torch, list(theirs.args)), _flat(ft, list(ours.args)))):
        if _is_tensor(torch, a):
            compare(a, b, f"argument {i} afterwards", rtol, atol, stride, flags)
            assert a._version == b._version, f"argument {i}: version {b._version}, torch has {a._version}"
    if grad:
        compare(gradients(torch, theirs), gradients(ft, ours), "gradient", rtol and 4 * rtol, atol and 4 * atol, stride=False, flags=False)


def check_error(fn: Callable[..., Any], *args: Any, words: int = WORDS) -> None:
    """`fn(lib, *args)` raises in both libraries, alike, and changes nothing."""
    theirs, ours = run(torch, fn, args), run(ft, fn, args)
    assert theirs.error is not None, "torch does not raise"
    compare_errors(theirs, ours, words)
