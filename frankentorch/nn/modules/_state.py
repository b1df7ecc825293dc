"""State dicts: what a Module saves, how it loads, and the hooks on both.

Enters: a module tree or a mapping of names to tensors. Leaves: an ordered dict with version metadata, or the tree filled
from one; errors list every missing, unexpected and misshapen key in torch's words.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

import frankentorch as torch
from frankentorch.nn.modules._hooks import RemovableHandle, WrappedHook, add_hook
from frankentorch.nn.parameter import Parameter, is_lazy

EXTRA_STATE = "_extra_state"


class IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` returns."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


IncompatibleKeys.__name__ = IncompatibleKeys.__qualname__ = "_IncompatibleKeys"


def future_flag(name: str) -> bool:
    """A flag of `torch.__future__`, False where that module does not know it."""
    getter = getattr(getattr(torch, "__future__", None), f"get_{name}", None)
    return bool(getter()) if getter is not None else False


class StateDictMixin:
    """The state-dict half of Module; relies on the tables `Module.__init__` makes."""

    _version: int = 1

    def get_extra_state(self) -> Any:
        """What else to save under `_extra_state`; a module that overrides this must override `set_extra_state`."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called. "
            "Please file an issue at https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml "
            "to report this bug.")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called. "
            "Please file an issue at https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml "
            "to report this bug.")

    def _overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(StateDictMixin, method)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, state_dict, prefix, local_metadata) -> None, after this module's part is in the dict."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)  # type: ignore[attr-defined]

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError("Cannot register the same function as the state dict post hook that was "
                               "previously registered via register_state_dict_post_hook")
        return add_hook(self._state_dict_hooks, hook)  # type: ignore[attr-defined]

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, prefix, keep_vars) -> None, before `state_dict` reads this module."""
        return add_hook(self._state_dict_pre_hooks, hook)  # type: ignore[attr-defined]

    def _register_load_state_dict_pre_hook(self, hook: Callable[..., Any], with_module: bool = False) -> RemovableHandle:
        return add_hook(self._load_state_dict_pre_hooks, WrappedHook(hook, self if with_module else None))  # type: ignore[attr-defined]

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors) -> None, before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """hook(module, incompatible_keys) -> None, after loading; the keys may be edited in place."""
        return add_hook(self._load_state_dict_post_hooks, hook)  # type: ignore[attr-defined]

    def _persistent_state(self) -> dict[str, Any]:
        skip = self._non_persistent_buffers_set  # type: ignore[attr-defined]
        named = dict(self._parameters)  # type: ignore[attr-defined]
        named.update((k, v) for k, v in self._buffers.items() if k not in skip)  # type: ignore[attr-defined]
        return {k: v for k, v in named.items() if v is not None}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, value in self._persistent_state().items():
            destination[prefix + name] = value if keep_vars else value.detach()
        if self._overrides("get_extra_state"):
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """An ordered dict of every parameter and persistent buffer, by dotted name; `_metadata` holds each module's version."""
        if args:
            warnings.warn("Positional args are being deprecated, use kwargs instead. Refer to "
                          "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict for details.",
                          FutureWarning, stacklevel=2)
            destination = args[0] if destination is None else destination
            prefix = args[1] if len(args) > 1 and prefix == "" else prefix
            keep_vars = args[2] if len(args) > 2 and keep_vars is False else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata
        for pre_hook in self._state_dict_pre_hooks.values():  # type: ignore[attr-defined]
            pre_hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():  # type: ignore[attr-defined]
            if child is not None:
                child.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():  # type: ignore[attr-defined]
            out = hook(self, destination, prefix, local_metadata)
            if getattr(hook, "_from_public_api", False):
                if out is not None:
                    raise RuntimeError("state_dict post-hook must return None")
            elif out is not None:
                destination = out
        return destination

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list[str],
                              unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """Fill this module alone (not its children) from `state_dict`, adding to the three lists."""
        for hook in self._load_state_dict_pre_hooks.values():  # type: ignore[attr-defined]
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        local = self._persistent_state()
        for name, own in local.items():
            key = prefix + name
            if key in state_dict:
                self._load_one(name, key, own, state_dict[key], assign, error_msgs)
            elif strict:
                missing_keys.append(key)
        extra_key = prefix + EXTRA_STATE
        if self._overrides("set_extra_state"):
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)
        if strict:
            self._note_unexpected(state_dict, prefix, local, extra_key, unexpected_keys)

    def _note_unexpected(self, state_dict: Any, prefix: str, local: dict[str, Any], extra_key: str, unexpected: list[str]) -> None:
        for key in state_dict:
            if not key.startswith(prefix) or key == extra_key:
                continue
            parts = key[len(prefix):].split(".", 1)
            if len(parts) > 1:
                if parts[0] not in self._modules:  # type: ignore[attr-defined]
                    unexpected.append(key)
            elif parts[0] not in local:
                unexpected.append(key)

    def _load_one(self, name: str, key: str, own: Any, given: Any, assign: bool, error_msgs: list[str]) -> None:
        if not (isinstance(given, torch.Tensor) or hasattr(given, "__torch_function__")):
            error_msgs.append(f'While copying the parameter named "{key}", '
                              f"expected torch.Tensor or Tensor-like object from checkpoint but received {type(given)}")
            return
        if not is_lazy(own):
            if len(own.shape) == 0 and tuple(given.shape) == (1,):
                given = given[0]
            if given.shape != own.shape:
                error_msgs.append(f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, "
                                  f"the shape in current model is {own.shape}.")
                return
        if getattr(own, "is_meta", False) and not given.is_meta and not assign:
            warnings.warn(f"for {key}: copying from a non-meta parameter in the checkpoint to a meta "
                          "parameter in the current model, which is a no-op. (Did you mean to "
                          "pass `assign=True` to assign items in the state dictionary to their "
                          "corresponding key in the module instead of copying them in place?)", stacklevel=2)
        try:
            with torch.no_grad():
                if assign:
                    if isinstance(own, Parameter):
                        if isinstance(given, Parameter):
                            given.requires_grad_(own.requires_grad)
                        else:
                            given = Parameter(given, requires_grad=own.requires_grad)
                    setattr(self, name, given)
                else:
                    own.copy_(given)
        except Exception as error:
            error_msgs.append(f'While copying the parameter named "{key}", '
                              f"whose dimensions in the model are {own.size()} and "
                              f"whose dimensions in the checkpoint are {given.size()}, "
                              f"an exception occurred : {error.args}.")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy (or with `assign`, adopt) the tensors of `state_dict` into this tree. Raises RuntimeError naming every misfit."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        own_dict: Any = OrderedDict(state_dict)
        if metadata is not None:
            own_dict._metadata = metadata

        def load(module: Any, local: Any, prefix: str = "") -> None:
            local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
            if assign:
                local_metadata["assign_to_params_buffers"] = assign
            module._load_from_state_dict(local, prefix, local_metadata, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    child_prefix = prefix + name + "."
                    load(child, {k: v for k, v in local.items() if k.startswith(child_prefix)}, child_prefix)
            keys = IncompatibleKeys(missing, unexpected)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, keys) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new values, if incompatible_keys need to be modified, it should be done inplace.")

        load(self, own_dict)
        if strict:
            for kind, keys in (("Unexpected", unexpected), ("Missing", missing)):
                if keys:
                    quoted = ", ".join(f'"{k}"' for k in keys)
                    errors.insert(0, f"{kind} key(s) in state_dict: {quoted}. ")
        if errors:
            listing = "\n\t".join(errors)
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listing}")
        return IncompatibleKeys(missing, unexpected)
