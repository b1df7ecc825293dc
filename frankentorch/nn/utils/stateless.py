"""Calling a module with other tensors in place of its parameters and buffers.

Enters: a module, a dict of dotted names to tensors, arguments. Leaves: the forward's value; the module is as before.
"""

from __future__ import annotations

from typing import Any

__all__ = ["functional_call"]


def _aliases(module: Any) -> dict[str, set[str]]:
    """For each tensor name, every name of the same tensor."""
    groups: dict[int, set[str]] = {}
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in named:
        groups.setdefault(id(tensor), set()).add(name)
    return {name: groups[id(tensor)] for name, tensor in named}


def functional_call(module: Any, parameters_and_buffers: Any, args: Any = None, kwargs: Any = None, *, tie_weights: bool = True,
                    strict: bool = False) -> Any:
    """`module(*args, **kwargs)` with the given tensors under their names; tied weights are replaced together."""
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    if not isinstance(parameters_and_buffers, dict):
        merged: dict[str, Any] = {}
        for part in parameters_and_buffers:
            merged.update(part)
        parameters_and_buffers = merged
    aliases = _aliases(module)
    new: dict[str, Any] = {}
    for name, tensor in parameters_and_buffers.items():
        for other in aliases.get(name, {name}) if tie_weights else (name,):
            new[other] = tensor
    unknown = [name for name in parameters_and_buffers if name not in aliases]
    absent = [name for name in aliases if name not in new]
    if strict and (unknown or absent):
        lines = ["Unexpected key(s): " + ", ".join(map(repr, unknown)) + "."] if unknown else []
        lines += ["Missing key(s): " + ", ".join(map(repr, absent)) + "."] if absent else []
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(lines))
    undo: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, tensor in new.items():
            path, _, leaf = name.rpartition(".")
            owner = module.get_submodule(path)
            table = owner._parameters if leaf in owner._parameters else owner._buffers
            if leaf not in table:
                raise AttributeError(f"{owner._get_name()} has no attribute `{leaf}`")
            undo.append((table, leaf, table[leaf]))
            table[leaf] = tensor
        return module(*args, **(kwargs or {}))
    finally:
        for table, leaf, old in reversed(undo):
            table[leaf] = old
