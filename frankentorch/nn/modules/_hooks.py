"""Module hooks: the handles, the global tables, and how hooks are threaded through one call.

Enters: a module, its arguments and its forward. Leaves: the forward's result, with every forward and backward hook run in
torch's order: global hooks before the module's own, pre-hooks before forward, backward hooks on the edges of the call's graph.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from itertools import chain
from typing import Any

import frankentorch as torch

__all__ = [
    "RemovableHandle", "register_module_backward_hook", "register_module_buffer_registration_hook", "register_module_forward_hook",
    "register_module_forward_pre_hook", "register_module_full_backward_hook", "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook", "register_module_parameter_registration_hook",
]


class RemovableHandle:
    """Undoes a registration: `remove()`, or leaving a `with` block, takes the hook out of its tables."""

    _next_id: int = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id = RemovableHandle._next_id
        RemovableHandle._next_id += 1
        self._tables = [weakref.ref(hooks_dict)]
        extras = extra_dict if isinstance(extra_dict, list) else [extra_dict] if extra_dict is not None else []
        self._tables += [weakref.ref(extra) for extra in extras]

    def remove(self) -> None:
        for ref in self._tables:
            table = ref()
            if table is not None and self.id in table:
                del table[self.id]

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()

    def __getstate__(self) -> Any:
        return [ref() for ref in self._tables], self.id

    def __setstate__(self, state: Any) -> None:
        tables, self.id = state
        self._tables = [weakref.ref(OrderedDict() if table is None else table) for table in tables]
        RemovableHandle._next_id = max(RemovableHandle._next_id, self.id + 1)


_global_backward_pre_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_backward_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_is_full_backward_hook: bool | None = None
_global_forward_pre_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_forward_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_forward_hooks_always_called: OrderedDict[int, bool] = OrderedDict()
_global_forward_hooks_with_kwargs: OrderedDict[int, bool] = OrderedDict()
_global_buffer_registration_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_module_registration_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_parameter_registration_hooks: OrderedDict[int, Callable] = OrderedDict()


def add_hook(table: Any, hook: Callable, *, prepend: bool = False, flags: tuple[tuple[Any, bool], ...] = ()) -> RemovableHandle:
    """Put `hook` into `table`, mark its id in each (table, wanted) of `flags`, and return the handle that undoes both."""
    handle = RemovableHandle(table, extra_dict=[flag for flag, _ in flags])
    table[handle.id] = hook
    for flag, wanted in flags:
        if wanted:
            flag[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, name, buffer) -> buffer or None, at every `register_buffer`."""
    return add_hook(_global_buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, name, submodule) -> submodule or None, at every registration of a child."""
    return add_hook(_global_module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, name, param) -> param or None, at every `register_parameter`."""
    return add_hook(_global_parameter_registration_hooks, hook)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, args) -> args or None, before the forward of every module."""
    return add_hook(_global_forward_pre_hooks, hook)


def register_module_forward_hook(hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False) -> RemovableHandle:
    """hook(module, args[, kwargs], output) -> output or None, after the forward of every module."""
    return add_hook(_global_forward_hooks, hook, flags=(
        (_global_forward_hooks_with_kwargs, with_kwargs), (_global_forward_hooks_always_called, always_call)))


def _claim_global_backward_kind(full: bool) -> None:
    global _global_is_full_backward_hook
    if _global_is_full_backward_hook is (not full):
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module hook. Please use only one of them.")
    _global_is_full_backward_hook = full


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """The older, non-full form; kept because torch keeps it."""
    _claim_global_backward_kind(full=False)
    return add_hook(_global_backward_hooks, hook)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, grad_output) -> grad_output or None, for every module."""
    return add_hook(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """hook(module, grad_input, grad_output) -> grad_input or None, for every module."""
    _claim_global_backward_kind(full=True)
    return add_hook(_global_backward_hooks, hook)


class WrappedHook:
    """A hook that gets its module as first argument through a weak reference (state-dict pre-hooks and old backward hooks)."""

    def __init__(self, hook: Callable, module: Any = None) -> None:
        self.hook = hook
        self.with_module = module is not None
        if module is not None:
            self.module = weakref.ref(module)
        functools.update_wrapper(self, hook)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.hook, self.with_module = state["hook"], state["with_module"]
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


@functools.cache
def _edge_class() -> Any:
    """The autograd function that passes tensors through and calls back with their gradients.

    Made on first use: nn is imported before `torch.autograd` needs to be complete.
    """

    class BackwardHookEdge(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, callback: Callable, *tensors: Any) -> Any:
            ctx.callback = callback
            ctx.set_materialize_grads(False)
            ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
            return tuple(t.view_as(t) for t in tensors)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return (None, *ctx.callback(grads))

    return BackwardHookEdge


class BackwardHook:
    """Full backward hooks of one call: an identity edge before the inputs and one after the outputs.

    The output edge sees grad_output (and runs the pre-hooks); the input edge sees grad_input and runs the hooks with both.
    """

    def __init__(self, module: Any, user_hooks: list[Callable], user_pre_hooks: list[Callable]) -> None:
        self.module, self.user_hooks, self.user_pre_hooks = module, user_hooks, user_pre_hooks
        self.grad_outputs: Any = None
        self.n_inputs = -1
        self.input_index: list[int] | None = None
        self.n_outputs = -1
        self.output_index: list[int] = []

    @staticmethod
    def _spread(values: Any, index: list[int], size: int) -> tuple:
        full: list[Any] = [None] * size
        for i, value in zip(index, values, strict=True):
            full[i] = value
        return tuple(full)

    @staticmethod
    def _as_tuple(value: Any) -> tuple:
        return value if isinstance(value, tuple) else (value,)

    def _wrap(self, args: tuple, callback: Callable) -> tuple[tuple, list[int] | None]:
        index = [i for i, arg in enumerate(args) if isinstance(arg, torch.Tensor)]
        if not (torch.is_grad_enabled() and any(args[i].requires_grad for i in index)):
            return args, None
        replaced = list(args)
        for i, tensor in zip(index, _edge_class().apply(callback, *[args[i] for i in index]), strict=True):
            replaced[i] = tensor
        return tuple(replaced), index

    def setup_input_hook(self, args: tuple) -> tuple:
        def on_grads(grads: tuple) -> tuple:
            if self.grad_outputs is None:
                return grads
            index = self.input_index or []
            grad_input = self._spread(grads, index, self.n_inputs)
            for hook in self.user_hooks:
                out = hook(self.module, grad_input, self.grad_outputs)
                if out is None:
                    continue
                out = self._as_tuple(out)
                if len(out) != len(grad_input):
                    raise RuntimeError("Backward hook returned an invalid number of grad_input, "
                                       f"got {len(out)}, but expected {len(grad_input)}")
                grad_input = out
            self.grad_outputs = None
            return tuple(grad_input[i] for i in index)

        if not self.user_hooks and not self.user_pre_hooks:
            return args
        self.n_inputs = len(args)
        args, self.input_index = self._wrap(args, on_grads)
        return args

    def setup_output_hook(self, result: Any) -> Any:
        def on_grads(grads: tuple) -> tuple:
            grad_output = self._spread(grads, self.output_index, self.n_outputs)
            for hook in self.user_pre_hooks:
                out = hook(self.module, grad_output)
                if out is None:
                    continue
                out = self._as_tuple(out)
                if len(out) != len(grad_output):
                    raise RuntimeError("Backward pre hook returned an invalid number of grad_output, "
                                       f"got {len(out)}, but expected {len(grad_output)}")
                grad_output = out
            self.grad_outputs = grad_output
            if self.input_index is None:
                # nothing before this module asks for a gradient, so no input edge will ever fire
                for hook in self.user_hooks:
                    res = hook(self.module, self._spread([], [], self.n_inputs), self.grad_outputs)
                    if res is not None and not (isinstance(res, tuple) and all(el is None for el in res)):
                        raise RuntimeError("Backward hook for Modules where no input requires "
                                           "gradient should always return None or None for all gradients.")
                self.grad_outputs = None
            return tuple(grad_output[i] for i in self.output_index)

        single = not isinstance(result, tuple)
        values = (result,) if single else result
        self.n_outputs = len(values)
        self.output_index = [i for i, value in enumerate(values) if isinstance(value, torch.Tensor)]
        wrapped, _ = self._wrap(values, on_grads)
        return wrapped[0] if single else wrapped


def _run_pre_hooks(module: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    for key, hook in chain(list(_global_forward_pre_hooks.items()), list(module._forward_pre_hooks.items())):
        if key in module._forward_pre_hooks_with_kwargs:
            changed = hook(module, args, kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
            args, kwargs = changed
        else:
            changed = hook(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def _first_tensor(value: Any) -> Any:
    while not isinstance(value, torch.Tensor):
        value = next(v for v in value.values() if isinstance(v, torch.Tensor)) if isinstance(value, dict) else value[0]
    return value


class _HookedCall:
    """One forward with hooks; remembers how far it came so that `always_call` hooks still run after an error."""

    def __init__(self, module: Any, forward: Callable, args: tuple, kwargs: dict) -> None:
        self.module, self.forward, self.args, self.kwargs = module, forward, args, kwargs
        self.result: Any = None
        self.done: set[int] = set()

    def run(self) -> Any:
        module = self.module
        pre_hooks = list(_global_backward_pre_hooks.values()) + list(module._backward_pre_hooks.values())
        full, plain = module._get_backward_hooks()
        self.args, self.kwargs = _run_pre_hooks(module, self.args, self.kwargs)
        edges = BackwardHook(module, full, pre_hooks) if full or pre_hooks else None
        if edges is not None:
            self.args = edges.setup_input_hook(self.args)
        self.result = self.forward(*self.args, **self.kwargs)
        self._run_forward_hooks()
        if edges is not None:
            if not isinstance(self.result, (torch.Tensor, tuple)):
                warnings.warn("For backward hooks to be called, module output should be a Tensor or a tuple of Tensors"
                              f" but received {type(self.result)}", stacklevel=4)
            self.result = edges.setup_output_hook(self.result)
        if plain:
            grad_fn = _first_tensor(self.result).grad_fn
            if grad_fn is not None:
                for hook in plain:
                    grad_fn.register_hook(WrappedHook(hook, module))
        return self.result

    def _call(self, key: int, hook: Callable, with_kwargs: bool) -> None:
        out = hook(self.module, self.args, self.kwargs, self.result) if with_kwargs else hook(self.module, self.args, self.result)
        if out is not None:
            self.result = out

    def _tables(self) -> tuple[tuple[Any, Any, Any, str], ...]:
        m = self.module
        return ((_global_forward_hooks, _global_forward_hooks_always_called, _global_forward_hooks_with_kwargs, "global module"),
                (m._forward_hooks, m._forward_hooks_always_called, m._forward_hooks_with_kwargs, "module"))

    def _run_forward_hooks(self) -> None:
        for hooks, always, with_kwargs, _ in self._tables():
            for key, hook in list(hooks.items()):
                if key in always:
                    self.done.add(key)
                self._call(key, hook, key in with_kwargs)

    def rescue(self) -> None:
        """After an error: run the `always_call` hooks that have not run yet, and only warn about their own errors."""
        for hooks, always, with_kwargs, kind in self._tables():
            for key, hook in list(hooks.items()):
                if key not in always or key in self.done:
                    continue
                try:
                    self._call(key, hook, key in with_kwargs)
                except Exception as error:
                    warnings.warn(f"{kind} forward hook with ``always_call=True`` raised an exception "
                                  f"that was silenced as another error was raised in forward: {error!s}", stacklevel=4)


def call_with_hooks(module: Any, forward: Callable, args: tuple, kwargs: dict) -> Any:
    """Run `forward` with every hook that concerns `module`."""
    call = _HookedCall(module, forward, args, kwargs)
    try:
        return call.run()
    except Exception:
        call.rescue()
        raise
