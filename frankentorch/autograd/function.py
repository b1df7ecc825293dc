"""Custom autograd functions: `Function` with forward, backward, setup_context, and its context."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ..ops.call import is_tensor
from ..ops.record import grad_mode, state
from ..runtime.tape import FREED, Name, _sequence, add_hook, differentiable, overwritten


class FunctionNode:
    """A custom function on the tape; also the `ctx` that its forward and backward see."""

    is_leaf = False
    where = None

    def __init__(self) -> None:
        self.edges: tuple[Any, ...] = ()
        self.outs: tuple[Any, ...] = ()
        self.seq = next(_sequence)
        self.hooks: Any = None
        self.pre_hooks: Any = None
        self.retains: Any = None
        self.metadata: dict[Any, Any] = {}
        self.needs_input_grad: tuple[bool, ...] = ()
        self.materialize_grads = True
        self.dirty: tuple[Any, ...] = ()
        self.non_differentiable: tuple[Any, ...] = ()
        self.to_save: tuple[Any, ...] = ()
        self._saved: Any = ()
        self._positions: list[int] = []
        self._released = False
        self.cls: Any = None

    @property
    def name(self) -> str:
        return Name(self.cls.__name__ + "Backward")

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for backward."""
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Accepted; forward-mode derivatives are not there yet."""

    def mark_dirty(self, *tensors: Any) -> None:
        """Say which inputs forward wrote in place."""
        self.dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say which outputs have no gradient."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients arrive as zeros (True) or None."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        if self._released:
            raise RuntimeError(FREED)
        out: list[Any] = []
        for kind, payload in self._saved:
            if kind == "none":
                out.append(None)
            elif kind == "output":
                t = self._make_output(payload)
                out.append(t)
            else:
                t, version, counter = payload
                if counter.v != version:
                    raise overwritten(t, t._nr, None if t._node is None else t._node.name, counter.v, version)
                out.append(t)
        return tuple(out)

    saved_variables = saved_tensors

    def _make_output(self, payload: Any) -> Any:
        from ..ops.record import wrap

        value, nr = payload
        t = wrap(value)
        t._node, t._nr = self, nr
        return t

    def finish_saving(self, outputs: Sequence[Any]) -> None:
        saved: list[Any] = []
        for t in self.to_save:
            if t is None:
                saved.append(("none", None))
            elif any(t is o for o in outputs):
                nr = next(i for i, o in enumerate(outputs) if o is t)
                saved.append(("output", (t._value, nr)))
            else:
                if not is_tensor(t):
                    raise TypeError(f"save_for_backward can only save variables, but argument {len(saved)} is of type {type(t).__name__}")
                counter = t._version_counter()
                saved.append(("tensor", (t, counter.v, counter)))
        self._saved = saved
        self.to_save = ()

    def release(self) -> None:
        self._released = True
        self._saved = ()

    def apply(self, grads: list[Any], create_graph: bool) -> Sequence[Any]:
        from ..ops.create import full_of

        given = []
        for g, t in zip(grads, self.outs, strict=True):
            given.append(full_of(t.shape, 0, t.dtype) if g is None and self.materialize_grads and differentiable(t) else g)
        out = self.cls.backward(self, *given)
        out = out if isinstance(out, tuple) else (out,)
        n = len(self.needs_input_grad)
        if len(out) > n and all(o is None for o in out[n:]):
            out = out[:n]
        if len(out) != n:
            raise RuntimeError(f"function {self.name} returned an incorrect number of gradients (expected {n}, got {len(out)})")
        gs = []
        for k, position in enumerate(self._positions):
            g = out[position]
            if g is not None and not is_tensor(g):
                raise TypeError(f"expected Variable or None (got {type(g).__name__})")
            if g is not None and self.edges[k] is not None:
                node, nr = self.edges[k]
                want = node.outs[nr]
                if tuple(g.shape) != want.shape:
                    from ..ops.movement import sum_to

                    try:
                        g = sum_to(g, want.shape)
                    except Exception:
                        raise RuntimeError(f"Function {self.name} returned an invalid gradient at index {position} - got {list(g.shape)} but expected shape "
                                           f"compatible with {list(want.shape)}") from None
                if g.dtype is not want.dtype:
                    g = g.to(want.dtype)
            gs.append(g)
        return gs

    @property
    def next_functions(self) -> tuple[Any, ...]:
        return tuple((None, 0) if e is None else e for e in self.edges)

    def register_hook(self, hook: Any) -> Any:
        return add_hook(self, "post", hook)

    def register_prehook(self, hook: Any) -> Any:
        return add_hook(self, "pre", hook)

    def __repr__(self) -> str:
        return f"<torch.autograd.function.{self.name} object at {hex(id(self))}>"


FunctionCtx = FunctionNode


class FunctionMeta(type):
    pass


class Function(metaclass=FunctionMeta):
    """The base of custom differentiable functions: override static `forward` and `backward`, call `apply`."""

    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        import warnings

        warnings.warn(f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke them on the class "
                      "itself. Instantiating an autograd function will raise an error in a future version of PyTorch.", DeprecationWarning, stacklevel=2)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd function with static forward "
                           "method. (Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)")

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; the first argument is `ctx` unless `setup_context` is overridden."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what backward needs, when forward takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Gradients of the inputs from those of the outputs."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD.")

    vjp = backward

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the function, recording it on the tape."""
        if cls.backward is Function.backward and cls.vjp is not Function.vjp:
            cls.backward = cls.vjp  # type: ignore[method-assign]
        ctx = FunctionNode()
        ctx.cls = cls
        ctx.needs_input_grad = tuple(is_tensor(a) and a.requires_grad for a in args)
        taped = state.grad and any(ctx.needs_input_grad)
        separate = cls.setup_context is not Function.setup_context
        with grad_mode(False):
            out = cls.forward(*args) if separate else cls.forward(ctx, *args)
            if separate:
                cls.setup_context(ctx, args, out)
        single = not isinstance(out, tuple)
        outs = [out] if single else list(out)
        ids = {id(a) for a in args if is_tensor(a)}
        dirty = {id(d) for d in ctx.dirty}
        skip = {id(t) for t in ctx.non_differentiable}
        final = []
        for o in outs:
            if is_tensor(o) and id(o) in ids and id(o) not in dirty:
                o = o.view_as(o) if not taped else o.detach()
            final.append(o)
        ctx.finish_saving(outs)
        if taped:
            positions = [i for i, a in enumerate(args) if is_tensor(a)]
            ctx._positions = positions
            ctx.edges = tuple((args[i]._node, args[i]._nr) if args[i]._node is not None else None for i in positions)
            tensors = [o for o in final if is_tensor(o)]
            ctx.outs = tuple(o._value.type for o in tensors)
            for nr, o in enumerate(tensors):
                if differentiable(o._value.type) and id(o) not in skip and id(outs[[k for k, f in enumerate(final) if f is o][0]]) not in skip:
                    if o._requires_leaf and id(o) in dirty:
                        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
                    o._node, o._nr = ctx, nr
                    o._detached = False if o._root is None else o._detached
        return final[0] if single else tuple(final)


def once_differentiable(fn: Any) -> Any:
    """Decorate a backward that cannot be differentiated again."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        with grad_mode(False):
            outputs = fn(ctx, *args)
        if not state.grad or not any(is_tensor(a) and a.requires_grad for a in args):
            return outputs
        outs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(o if o is None else _Refuse.apply(o.detach().requires_grad_(True)) for o in outs)

    return wrapper


class _Refuse(Function):
    """A result whose gradient is an error."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")
