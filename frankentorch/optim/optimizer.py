"""The base of every optimizer: parameter groups, per-parameter state, hooks, and state dicts in torch's layout.

Enters: parameters (or groups of them) and default options. Leaves: `step`, `zero_grad`, `state_dict`, `load_state_dict`,
`add_param_group`. A concrete optimizer derives from `PerParameterOptimizer` and writes two methods, `_start` and `_update`;
an optimizer written elsewhere derives from `Optimizer` and overrides `step`, as with torch.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any, ClassVar, TypeAlias

import frankentorch as torch
from frankentorch.optim._hooks import HookTable, RemovableHandle, add_hook
from frankentorch.optim._scalars import ParamState, ScalarCell

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

Tensor: TypeAlias = Any
Group: TypeAlias = dict[str, Any]
StateDict: TypeAlias = dict[str, Any]
ParamsT: TypeAlias = Iterable[Any]

_global_optimizer_pre_hooks: HookTable = OrderedDict()
_global_optimizer_post_hooks: HookTable = OrderedDict()


class _RequiredParameter:
    """Marks a default that every group has to give for itself."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _RequiredParameter()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run `hook(optimizer, args, kwargs)` before every step of every optimizer; it may return new (args, kwargs)."""
    return add_hook(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run `hook(optimizer, args, kwargs)` after every step of every optimizer."""
    return add_hook(_global_optimizer_post_hooks, hook)


def _typename(obj: object) -> str:
    if isinstance(obj, torch.Tensor):
        return str(obj.type())
    kind = type(obj)
    return kind.__qualname__ if kind.__module__ in ("builtins", None) else f"{kind.__module__}.{kind.__qualname__}"


def _end_of_step() -> None:
    """Tell the runtime that a step is complete: windows of recorded ops end here."""
    end = getattr(torch, "_runtime_step_end", None)
    if end is not None:
        end()


_HOOK_TABLES = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


class Optimizer:
    """Holds groups of parameters and their state. `step` is the subclass's.

    Args:
        params: tensors, (name, tensor) pairs, or dicts with a "params" entry and options of their own.
        defaults: the options of groups that do not say otherwise.
    """

    _optimizer_step_pre_hooks: HookTable
    _optimizer_step_post_hooks: HookTable
    _optimizer_state_dict_pre_hooks: HookTable
    _optimizer_state_dict_post_hooks: HookTable
    _optimizer_load_state_dict_pre_hooks: HookTable
    _optimizer_load_state_dict_post_hooks: HookTable

    # Options that pickles of older versions may lack, and what they mean there.
    _late_options: ClassVar[dict[str, Any]] = {}

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        if isinstance(params, torch.Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {_typename(params)}"
            )
        self.defaults = defaults
        self._ensure_hook_tables()
        self._patch_step_function()
        self.state: defaultdict[Any, Any] = defaultdict(ParamState)
        self.param_groups: list[Group] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)
        self._warned_capturable_if_run_uncaptured = True

    # -- pickling and printing -------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._ensure_hook_tables()
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)
        for group in self.param_groups:
            for name, value in self._late_options.items():
                group.setdefault(name, value)
            for param in group["params"]:
                self._modernise(self.state.get(param))

    def _modernise(self, state: Any) -> None:
        """State saved when step counts were plain numbers shows tensors again."""
        if isinstance(state, ParamState) and self._late_options and isinstance(state.raw("step"), (int, float)):
            state.cell("step")

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    # -- hooks -----------------------------------------------------------------------------------------------------------------

    def _ensure_hook_tables(self) -> None:
        for name in _HOOK_TABLES:
            self.__dict__.setdefault(name, OrderedDict())

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """`func` with the pre-hooks before it, the post-hooks after it, and the end of a step announced to the runtime."""

        @functools.wraps(func)
        def step(*args: Any, **kwargs: Any) -> Any:
            self = args[0]
            for hook in [*_global_optimizer_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()]:
                changed = hook(self, args, kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(f"{func} must return None or a tuple of (new_args, new_kwargs), but got {changed}.")
                args, kwargs = changed
            out = func(*args, **kwargs)
            for hook in [*self._optimizer_step_post_hooks.values(), *_global_optimizer_post_hooks.values()]:
                hook(self, args, kwargs)
            _end_of_step()
            return out

        step.hooked = True  # type: ignore[attr-defined]
        return step

    def _patch_step_function(self) -> None:
        cls = type(self)
        self._zero_grad_profile_name = f"Optimizer.zero_grad#{cls.__name__}.zero_grad"
        if not getattr(cls.step, "hooked", False):
            cls.step = self.profile_hook_step(cls.step)  # type: ignore[method-assign]

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run `hook(optimizer, args, kwargs)` before a step; it may return new (args, kwargs)."""
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run `hook(optimizer, args, kwargs)` after a step."""
        return add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Run `hook(optimizer)` before a state dict is made."""
        return add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Run `hook(optimizer, state_dict)` on a new state dict; what it returns, if anything, replaces it."""
        return add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Run `hook(optimizer, state_dict)` before loading; what it returns, if anything, is loaded instead."""
        return add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Run `hook(optimizer)` after loading."""
        return add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # -- state dicts -----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """{"state": {index: {...}}, "param_groups": [{..., "params": [index, ...]}]}; tensors are shared, not copied.

        Parameters are numbered in the order of the groups. Each parameter's state is a plain dict, so it pickles anywhere.
        """
        for hook in list(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        number: dict[int, int] = {}
        groups, seen = [], 0
        for group in self.param_groups:
            for position, param in enumerate(group["params"], seen):
                number.setdefault(id(param), position)
            seen += len(group["params"])
            packed = {key: value for key, value in group.items() if key != "params"}
            groups.append({**packed, "params": [number[id(param)] for param in group["params"]]})
        state = {
            number[id(key)] if isinstance(key, torch.Tensor) else key: value.plain() if isinstance(value, ParamState) else value
            for key, value in self.state.items()
        }
        made: StateDict = {"state": state, "param_groups": groups}
        for hook in list(self._optimizer_state_dict_post_hooks.values()):
            replaced = hook(self, made)
            made = made if replaced is None else replaced
        return made

    @staticmethod
    def _process_value_according_to_param_policy(
        param: Tensor, value: Tensor, param_id: int, param_groups: list[Group], key: Hashable = None
    ) -> Tensor:
        """A loaded tensor takes its parameter's dtype if that is a float, except step counts, which keep their own."""
        if param_groups is None:
            raise AssertionError("Expected param_groups to be set")
        if key == "step":
            group = next((g for g in param_groups if param_id in g["params"]), {})
            if group.get("capturable", False) or group.get("fused", False):
                return value.to(dtype=torch.float32, device=param.device)
            return value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)

    def _fit(self, value: Any, param: Tensor, param_id: int, groups: list[Group], key: Hashable = None) -> Any:
        """A loaded value, containers rebuilt, with its tensors fitted to `param`."""
        if isinstance(value, torch.Tensor):
            return self._process_value_according_to_param_policy(param, value, param_id, groups, key)
        if isinstance(value, dict):
            return {k: self._fit(v, param, param_id, groups, k) for k, v in value.items()}
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            return type(value)(self._fit(v, param, param_id, groups) for v in value)  # type: ignore[call-arg]
        return value

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take over a state dict's options and state. Raises ValueError if its groups do not match this optimizer's."""
        state_dict = state_dict.copy()
        for hook in list(self._optimizer_load_state_dict_pre_hooks.values()):
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        saved = deepcopy(state_dict["param_groups"])
        if len(saved) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(mine["params"]) != len(other["params"]) for mine, other in zip(self.param_groups, saved)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        owner = dict(
            zip(
                chain.from_iterable(group["params"] for group in saved),
                chain.from_iterable(group["params"] for group in self.param_groups),
            )
        )
        state: defaultdict[Any, Any] = defaultdict(ParamState)
        for key, value in state_dict["state"].items():
            if key not in owner:
                state[key] = value
                continue
            fitted = self._fit(value, owner[key], key, state_dict["param_groups"])
            state[owner[key]] = ParamState(fitted) if isinstance(fitted, dict) else fitted
        for mine, other in zip(self.param_groups, saved):
            other["params"] = mine["params"]
            if "param_names" in mine:
                other.setdefault("param_names", mine["param_names"])
        self.__setstate__({"state": state, "param_groups": saved})
        for hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

    # -- gradients, steps, groups ----------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every gradient, or fill it with zeros in place."""
        for param in chain.from_iterable(group["params"] for group in self.param_groups):
            grad = param.grad
            if grad is None:
                continue
            if set_to_none:
                param.grad = None
                continue
            if grad.grad_fn is not None:
                grad.detach_()
            else:
                grad.requires_grad_(False)
            grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once. `closure`, if given, computes the loss anew and its value is returned."""
        raise NotImplementedError

    def add_param_group(self, param_group: Group) -> None:
        """Add a group: a dict whose "params" is a tensor or an ordered collection; missing options take the defaults.

        Raises TypeError or ValueError, as torch does, for sets, non-tensors, non-leaves, groups half named, and tensors already held.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but "
                "the ordering of tensors in sets will change between runs. Please use a list instead."
            )
        entries = [given] if isinstance(given, torch.Tensor) else list(given)
        names = [entry[0] for entry in entries if isinstance(entry, tuple)]
        params = [entry[1] if isinstance(entry, tuple) else entry for entry in entries]
        param_group["params"] = params
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            param_group["param_names"] = names
        for param in params:
            if not isinstance(param, torch.Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {_typename(param)}")
            if not self.defaults.get("differentiable", None) and not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        self._check_membership(param_group)
        self.param_groups.append(param_group)

    def _check_membership(self, new: Group) -> None:
        ids = {id(param) for param in new["params"]}
        if len(ids) != len(new["params"]):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=4,
            )
        for group in self.param_groups:
            if ("param_names" in new) != ("param_names" in group):
                kind = "with names" if "param_names" in new else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. "
                    f"cannot add param group {kind} to the optimizer"
                )
        if any(id(param) in ids for group in self.param_groups for param in group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")


class PerParameterOptimizer(Optimizer):
    """An optimizer whose step treats each parameter that has a gradient alone.

    A subclass gives `_start(group, param, state)`, which fills the state of a parameter seen for the first time, and
    `_update(group, param, grad, state)`, which records the arithmetic. `maximize` has been applied to `grad` by then.
    """

    _sparse_hint = ""
    _complex_ok = True

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; a closure runs first, with gradients enabled, and its loss is returned.

        Optimizers whose numbers a compiled call can follow are compiled calls themselves: from the third step on, the recorded program is
        replayed where its guards hold (docs/compile.md).
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        elif self._replays and not torch.compiler.is_compiling():
            replayed = self.__dict__.get("_compiled_update")
            if replayed is None:
                replayed = self._compiled_update = torch.compile(self._update_all)
            replayed()
            return None
        self._update_all()
        return loss

    _replays = False

    def _update_all(self) -> None:
        with torch.set_grad_enabled(bool(self.defaults.get("differentiable", False))):
            for group in self.param_groups:
                self._check_group(group)
                for param in group["params"]:
                    if param.grad is not None:
                        self._step_one(group, param, param.grad)

    def _step_one(self, group: Group, param: Tensor, grad: Tensor) -> None:
        if grad.is_sparse:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients{self._sparse_hint}")
        is_complex = param.is_complex()
        if is_complex and not self._complex_ok:
            raise RuntimeError(f"{type(self).__name__} does not support complex parameters")
        state = self.state[param]
        if not state:
            self._start(group, param, state)
        if group.get("maximize", False):
            grad = -grad
        if is_complex:
            self._update_as_pairs(group, param, grad, state)
        else:
            self._update(group, param, grad, state)

    def _update_as_pairs(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        """A complex parameter is updated as pairs of reals."""
        pairs: dict[str, Tensor] = {}
        real = ParamState()
        for key in state:
            value = state.raw(key)
            if isinstance(value, torch.Tensor) and value.is_complex():
                value = pairs[key] = torch.view_as_real(value)
            dict.__setitem__(real, key, value)
        seen = torch.view_as_real(param)
        self._update(group, seen, torch.view_as_real(grad), real)
        _put_back(param, seen)
        for key in state:
            if key in pairs:
                _put_back(state[key], pairs[key])
            else:
                dict.__setitem__(state, key, real.raw(key))

    def _check_group(self, group: Group) -> None:
        if group.get("capturable", False):
            raise AssertionError(
                "If capturable=True, params and state_steps must be on supported devices: "
                "['cuda', 'xpu', 'hpu', 'privateuseone', 'xla']."
            )

    def _start(self, group: Group, param: Tensor, state: ParamState) -> None:
        raise NotImplementedError

    def _update(self, group: Group, param: Tensor, grad: Tensor, state: ParamState) -> None:
        raise NotImplementedError


# -- what the formulas share ---------------------------------------------------------------------------------------------------


def set_counter(state: ParamState, group: Group, key: str = "step", value: float = 0.0) -> None:
    """Put a number into the state: float32, or float64 where that is the default dtype; fused counts are always float32."""
    dict.__setitem__(state, key, ScalarCell(value, double=False if group.get("fused") else None))


def zeros_for(param: Tensor) -> Tensor:
    return torch.zeros_like(param)


def full_for(param: Tensor, value: float) -> Tensor:
    """A tensor like the parameter, filled; a complex one in both its parts."""
    if param.is_complex():
        return torch.view_as_complex(torch.full_like(torch.view_as_real(param.detach()), value))
    return torch.full_like(param, value)


def _put_back(tensor: Tensor, pairs: Tensor) -> None:
    """Write pairs of reals into the complex tensor they were taken from, unless they are a view of it."""
    if pairs._base is None:
        tensor.copy_(torch.view_as_complex(pairs))


def squeeze_scalar(x: Any) -> Any:
    """A one-element tensor without its axes; a number as it is."""
    return x.squeeze() if isinstance(x, torch.Tensor) and x.dim() != 0 else x


def number(x: Any) -> Any:
    """A hyperparameter as the arithmetic wants it: a tensor that is differentiated through stays, any other is read."""
    if not isinstance(x, torch.Tensor):
        return x
    x = squeeze_scalar(x)
    return x if x.requires_grad and torch.is_grad_enabled() else x.item()


def decay_into_grad(group: Group, param: Tensor, grad: Tensor) -> Tensor:
    """L2 weight decay, added to the gradient."""
    decay = group["weight_decay"]
    if isinstance(decay, torch.Tensor) and decay.requires_grad and torch.is_grad_enabled():
        return grad.addcmul(param.clone(), decay)
    return grad.add(param, alpha=number(decay)) if decay != 0 else grad


def decay_param(group: Group, param: Tensor) -> None:
    """Decoupled weight decay: the parameter shrinks by lr * weight_decay."""
    if group["weight_decay"] != 0:
        param.mul_(1 - number(group["lr"]) * group["weight_decay"])


def own(x: Tensor, group: Group) -> Tensor:
    """A copy where autograd will need the value the buffer has now, the buffer itself otherwise."""
    return x.clone() if group["differentiable"] else x


def descend_div(param: Tensor, numer: Tensor, denom: Tensor, step_size: Any) -> None:
    """param -= step_size * numer / denom; step_size may be a tensor that is differentiated through."""
    if isinstance(step_size, torch.Tensor):
        param.addcdiv_(numer * -step_size, denom)
    else:
        param.addcdiv_(numer, denom, value=-step_size)


def descend(param: Tensor, direction: Tensor, lr: Any) -> None:
    """param -= lr * direction; lr may be a tensor that is differentiated through."""
    if isinstance(lr, torch.Tensor):
        param.addcmul_(direction, lr, value=-1)
    else:
        param.add_(direction, alpha=-lr)


# -- argument checks -----------------------------------------------------------------------------------------------------------


def demand(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)


def check_lr(lr: Any, message: str = "Invalid learning rate: {}") -> None:
    if isinstance(lr, torch.Tensor):
        demand(lr.numel() == 1, "Tensor lr must be 1-element")
    demand(0.0 <= lr, message.format(lr))


def check_betas(betas: Any) -> None:
    for i in (0, 1):
        demand(0.0 <= betas[i] < 1.0, f"Invalid beta parameter at index {i}: {betas[i]}")


def check_nonnegative(**options: Any) -> None:
    """Every option at least 0; `epsilon=...` and the like are named in the error as given."""
    for name, value in options.items():
        demand(0.0 <= value, f"Invalid {name} value: {value}")


def check_fused(fused: Any, differentiable: bool, foreach: Any) -> None:
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def check_fused_param(param: Tensor) -> None:
    if not param.is_floating_point():
        raise RuntimeError(
            "`fused=True` requires all the params to be floating point Tensors of "
            f"supported devices: ['cpu'] but {param.dtype} and {param.device.type}"
        )
