"""gradcheck and gradgradcheck: analytical gradients against finite differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..construct import construct
from ..ops.call import is_tensor


class GradcheckError(RuntimeError):
    """Analytical and numerical gradients differ."""


def _outputs(fn: Callable[..., Any], inputs: Sequence[Any]) -> list[Any]:
    out = fn(*inputs)
    return [o for o in (out if isinstance(out, (tuple, list)) else (out,)) if is_tensor(o) and (o.dtype.is_floating_point or o.dtype.is_complex)]


def numerical_jacobian(fn: Callable[..., Any], inputs: Sequence[Any], which: int, eps: float) -> list[np.ndarray]:
    """d output / d input[which] by central differences: one (numel_in, numel_out) matrix an output."""
    x = inputs[which].detach()
    base = x._concrete().astype("float64").copy()
    flat = base.reshape(-1)
    columns: list[list[np.ndarray]] = []
    for i in range(flat.size):
        values = []
        for sign in (1, -1):
            moved = flat.copy()
            moved[i] += sign * eps
            args = list(inputs)
            args[which] = construct(moved.reshape(base.shape), x.dtype)
            values.append([o.detach()._concrete().astype("float64").reshape(-1).copy() for o in _outputs(fn, args)])
        columns.append([(a - b) / (2 * eps) for a, b in zip(*values, strict=True)])
    outs = len(_outputs(fn, inputs))
    return [np.stack([c[k] for c in columns]) if columns else np.zeros((0, 0)) for k in range(outs)]


def gradcheck(func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True,
              nondet_tol: float = 0.0, check_undefined_grad: bool = True, check_grad_dtypes: bool = False, check_batched_grad: bool = False,
              check_batched_forward_grad: bool = False, check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
              masked: Any = None) -> bool:
    """Compare the gradients of `func` with central differences; GradcheckError (or False) where they differ."""
    from . import grad

    inputs = (inputs,) if is_tensor(inputs) else tuple(inputs)
    wanted = [i for i, x in enumerate(inputs) if is_tensor(x) and x.requires_grad]
    if not wanted:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True.")
    outs = _outputs(func, inputs)
    for i in wanted:
        numeric = numerical_jacobian(func, inputs, i, eps)
        for k, out in enumerate(outs):
            rows = []
            n = out.numel()
            for j in range(n):
                seed = np.zeros(n)
                seed[j] = 1.0
                if not out.requires_grad:
                    rows.append(np.zeros(inputs[i].numel()))
                    continue
                g = grad(out, inputs[i], construct(seed.reshape(tuple(out.shape)), out.dtype), retain_graph=True, allow_unused=True)[0]
                rows.append(np.zeros(inputs[i].numel()) if g is None else g.detach()._concrete().astype("float64").reshape(-1).copy())
            analytic = np.stack(rows, axis=1) if rows else np.zeros((inputs[i].numel(), 0))
            if not np.allclose(analytic, numeric[k].reshape(analytic.shape), rtol=rtol, atol=atol):
                if not raise_exception:
                    return False
                raise GradcheckError(f"Jacobian mismatch for output {k} with respect to input {i},\nnumerical:{numeric[k]}\nanalytical:{analytic}\n")
    return True


def gradgradcheck(func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
                  gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
                  check_grad_dtypes: bool = False, check_batched_grad: bool = False, check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True,
                  fast_mode: bool = False, masked: bool = False) -> bool:
    """gradcheck of the gradient."""
    from . import grad

    inputs = (inputs,) if is_tensor(inputs) else tuple(inputs)
    outs = _outputs(func, inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        grad_outputs = [construct(rng.standard_normal(tuple(o.shape)), o.dtype).requires_grad_(True) for o in outs]
    else:
        grad_outputs = [grad_outputs] if is_tensor(grad_outputs) else list(grad_outputs)
    n = len(inputs)

    def first(*args: Any) -> Any:
        xs, gs = args[:n], args[n:]
        xs = tuple(x if is_tensor(x) and x.requires_grad else x.detach().requires_grad_(True) if is_tensor(x) and inputs[i].requires_grad else x
                   for i, x in enumerate(xs))
        ys = _outputs(func, xs)
        wrt = [x for i, x in enumerate(xs) if is_tensor(inputs[i]) and inputs[i].requires_grad]
        return tuple(g for g in grad(ys, wrt, list(gs), create_graph=True, allow_unused=True) if g is not None)

    return gradcheck(first, (*inputs, *grad_outputs), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)
