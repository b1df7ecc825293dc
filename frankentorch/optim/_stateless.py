"""Run an optimizer on other parameters and other state for a while.

Enters: an optimizer with state, parameters in the order of its groups, and a state dict for them. Leaves: a context in which
the optimizer holds those; the original parameters, options and state come back at its end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import frankentorch as torch
from frankentorch.optim._scalars import ParamState
from frankentorch.optim.optimizer import Optimizer, Tensor

__all__ = ["swap_in_optimizer_params_and_state"]

_WHO = "swap_in_optimizer_params_and_state requires "


def _insist(condition: Any, message: str) -> None:
    if not condition:
        raise RuntimeError(message)


def _checked_state(given: Any) -> dict[Any, Any]:
    _insist(
        isinstance(given, dict),
        _WHO + "swapin_optim_state['state'] to be a dict mapping packed parameter ids to per-param state dicts, "
        f"got {type(given).__name__}.",
    )
    _insist(
        not any(isinstance(key, torch.Tensor) for key in given),
        _WHO + "optimizer.state_dict()-style state keyed by packed parameter ids.",
    )
    _insist(
        all(isinstance(value, dict) for key, value in given.items() if isinstance(key, int)),
        _WHO + "per-parameter optimizer state entries to be dictionaries.",
    )
    return given


def _checked_ids(index: int, live: dict[str, Any], given: Any) -> list[int]:
    """The parameter numbers of one group, once its keys and length match the live group's."""
    _insist(isinstance(given, dict), _WHO + "each optimizer param group to be a dictionary.")
    ids = given.get("params")
    _insist(
        isinstance(ids, list) and all(isinstance(i, int) for i in ids),
        _WHO + "optimizer.state_dict()-style param_groups[*]['params'] entries keyed by packed parameter ids.",
    )
    _insist(
        len(ids) == len(live["params"]),
        f"swapin_optim_state param group {index} has a different number of params than the live optimizer param group.",
    )
    extra, missing = [k for k in given if k not in live], [k for k in live if k not in given]
    _insist(
        not extra and not missing,
        _WHO + "optimizer.state_dict()-style param group keys to exactly match the live optimizer group keys for "
        f"group {index}. Keys only in swap-in: {extra}. Keys only in live: {missing}.",
    )
    return ids


@contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: dict[str, Any]
) -> Iterator[None]:
    """Let `optimizer` hold `swapin_parameters` and `swapin_optim_state` inside the context. Raises RuntimeError on a mismatch."""
    _insist(optimizer.state, _WHO + "initialized optimizer state.")
    _insist(isinstance(swapin_optim_state, dict), _WHO + "a DCP-style optimizer state_dict.")
    state = _checked_state(swapin_optim_state.get("state"))
    groups = swapin_optim_state.get("param_groups")
    _insist(
        isinstance(groups, list),
        _WHO + f"swapin_optim_state['param_groups'] to be a list of param-group dicts, got {type(groups).__name__}.",
    )
    assert isinstance(groups, list)
    _insist(
        len(groups) == len(optimizer.param_groups),
        "swapin_optim_state has a different number of parameter groups than the live optimizer.",
    )
    numbered = [_checked_ids(i, live, given) for i, (live, given) in enumerate(zip(optimizer.param_groups, groups))]
    flat = list(swapin_parameters.values())
    _insist(
        sum(map(len, numbered)) <= len(flat),
        _WHO + "the explicit parameter state to match optimizer.param_groups ordering.",
    )
    known = {i for ids in numbered for i in ids}
    stray = [key for key in state if key not in known]
    _insist(
        not stray,
        _WHO + "swapin_optim_state['state'] to be keyed only by packed parameter ids from "
        f"param_groups[*]['params']; got extra keys {stray!r}.",
    )

    saved_state, saved_groups = optimizer.state, [dict(group) for group in optimizer.param_groups]
    try:
        swapped: defaultdict[Any, Any] = defaultdict(ParamState)
        rest = iter(flat)
        for live, given, ids in zip(optimizer.param_groups, groups, numbered):
            live.update({**given, "params": [next(rest) for _ in ids]})
            for param, i in zip(live["params"], ids):
                swapped[param] = ParamState(state.get(i, {}))
        optimizer.state = swapped
        yield
    finally:
        for live, saved in zip(optimizer.param_groups, saved_groups):
            live.clear()
            live.update(saved)
        optimizer.state = saved_state
