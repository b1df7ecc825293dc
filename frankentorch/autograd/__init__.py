"""torch.autograd: backward, grad, Function, grad modes, hooks, checks.

Enters: tensors. Leaves: gradients, through the engine in `runtime.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._missing import error as _missing
from ..ops.call import is_tensor
from ..runtime import engine
from .anomaly import detect_anomaly, set_detect_anomaly
from .function import Function, once_differentiable
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .modes import enable_grad, inference_mode, is_grad_enabled, is_inference_mode_enabled, no_grad, set_grad_enabled
from .saved import graph

__all__ = ["Function", "GradcheckError", "backward", "detect_anomaly", "enable_grad", "grad", "gradcheck", "gradgradcheck", "graph", "inference_mode",
           "is_grad_enabled", "is_inference_mode_enabled", "no_grad", "once_differentiable", "set_detect_anomaly", "set_grad_enabled"]


def _tuple(x: Any) -> tuple[Any, ...]:
    return (x,) if is_tensor(x) or hasattr(x, "edge_node") else tuple(x)


def _roots(tensors: Sequence[Any], grads: Any, create_graph: bool) -> list[tuple[Any, int, Any]]:
    """Checked (node, output number, gradient) triples."""
    if grads is None:
        grads = [None] * len(tensors)
    grads = list(_tuple(grads)) if not isinstance(grads, list) else grads
    if len(grads) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(grads)} gradients")
    roots = []
    for i, (t, g) in enumerate(zip(tensors, grads, strict=True)):
        if t._root is not None:
            t._fresh()
        if g is None:
            if t.requires_grad:
                if t.numel() != 1:
                    raise RuntimeError("grad can be implicitly created only for scalar outputs")
                if not t.dtype.is_floating_point:
                    raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {t.dtype}")
                from ..ops.create import full_of

                g = full_of(t.shape, 1, t.dtype)
        elif is_tensor(g):
            if g.shape != t.shape:
                raise RuntimeError(f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of {t.shape}.")
            if g.dtype.is_complex != t.dtype.is_complex:
                raise RuntimeError(f"For complex Tensors, both grad_output and output are required to have the same dtype. Mismatch in dtype: "
                                   f"grad_output[{i}] has a dtype of {g.dtype} and output[{i}] has a dtype of {t.dtype}.")
            if g.dtype is not t.dtype:
                g = g.to(t.dtype)
        else:
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        if t._node is None:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        roots.append((t._node, t._nr, g))
    return roots


def backward(tensors: Any, grad_tensors: Any = None, retain_graph: Any = None, create_graph: bool = False, grad_variables: Any = None,
             inputs: Any = None) -> None:
    """Accumulate gradients of `tensors` into leaves (or into `inputs` only).

    Raises RuntimeError as torch does for outputs off the tape, non-scalar outputs without a gradient, and freed graphs.
    """
    from ..runtime.window import cut_here

    tensors = _tuple(tensors)
    if inputs is not None and not is_tensor(inputs) and len(tuple(inputs)) == 0:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = _roots(tensors, grad_tensors, create_graph)
    captures = None
    if inputs is not None:
        captures = []
        for t in _tuple(inputs):
            if t._node is None:
                raise RuntimeError("One of the differentiated Tensors does not require grad")
            if not t._node.is_leaf:
                t.retain_grad()
            captures.append((t._node, t._nr))
    engine.run(roots, create_graph if retain_graph is None else retain_graph, create_graph, captures, accumulate=True)
    if not create_graph:
        cut_here("end of backward")


def grad(outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: Any = None, create_graph: bool = False, only_inputs: bool = True,
         allow_unused: Any = None, is_grads_batched: bool = False, materialize_grads: bool = False) -> tuple[Any, ...]:
    """Gradients of `outputs` with respect to `inputs`, returned instead of accumulated."""
    outputs, inputs = _tuple(outputs), _tuple(inputs)
    if is_grads_batched:
        count = len(_tuple(grad_outputs)[0])
        rows = [grad(outputs, inputs, tuple(g[i] for g in _tuple(grad_outputs)), True, create_graph, True, allow_unused) for i in range(count)]
        from ..ops.movement import stack

        return tuple(stack([r[k] for r in rows]) for k in range(len(inputs)))
    if allow_unused is False and materialize_grads:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
    roots = _roots(outputs, grad_outputs, create_graph)
    captures = []
    for t in inputs:
        if t._root is not None:
            t._fresh()
        if t._node is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        captures.append((t._node, t._nr))
    got = engine.run(roots, create_graph if retain_graph is None else retain_graph, create_graph, captures, accumulate=False)
    out = []
    for i, (t, g) in enumerate(zip(inputs, got, strict=True)):
        if g is not None and g._root is None and not g._value.type.dense:
            g = g.clone()  # a rule may end in a movement, whose memory belongs to nobody
        if g is None:
            if materialize_grads:
                g = t.new_zeros(t.shape)
            elif not allow_unused:
                raise RuntimeError(f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set allow_unused=True if this is "
                                   "the desired behavior.")
        out.append(g)
    return tuple(out)


class Variable:
    """torch.autograd.Variable: an old name for Tensor."""

    def __new__(cls, data: Any, requires_grad: bool = False) -> Any:
        return data.detach().requires_grad_(requires_grad)


def __getattr__(name: str) -> Any:
    if name == "functional":
        import importlib

        return importlib.import_module(".functional", __name__)
    raise _missing("autograd", name)
