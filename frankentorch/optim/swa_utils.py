"""Averages of a model over training: stochastic weight averaging (Izmailov et al. 2018) and exponential moving averages.

Enters: a module being trained. Leaves: `AveragedModel`, a module of its own with the averages; `SWALR`, the schedule that goes
with it; `update_bn`, which recomputes batch-norm statistics for the averaged weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

import frankentorch as torch
from frankentorch.optim._lr_base import LRScheduler, _format_param, _warn_get_lr_called_within_step
from frankentorch.optim.optimizer import Optimizer, Tensor

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def _is_inexact(x: Tensor) -> bool:
    return bool(x.is_floating_point() or x.is_complex())


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Tensor, Tensor, Any], Tensor]:
    """averaged, current -> decay * averaged + (1 - decay) * current."""
    _check_decay(decay)

    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        with torch.no_grad():
            return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Callable[[Tensor, Tensor, Any], Tensor]:
    """averaged, current, n -> the mean of n + 1 models, of which `averaged` holds that of the first n."""

    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        with torch.no_grad():
            return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """As `get_ema_avg_fn`, for lists and in place; integer buffers too, rounded as the plain formula rounds them."""
    _check_decay(decay)

    def ema_update(ema_param_list: list[Tensor], current_param_list: list[Tensor], _: Any) -> None:
        with torch.no_grad():
            for ema, current in zip(ema_param_list, current_param_list):
                if _is_inexact(ema):
                    ema.lerp_(current, 1 - decay)
                else:
                    ema.copy_(ema * decay + current * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn() -> Callable[[list[Tensor], list[Tensor], Any], None]:
    """As `get_swa_avg_fn`, for lists and in place."""

    def swa_update(averaged_param_list: list[Tensor], current_param_list: list[Tensor], num_averaged: Any) -> None:
        with torch.no_grad():
            share = 1 / (float(num_averaged) + 1)
            for averaged, current in zip(averaged_param_list, current_param_list):
                if _is_inexact(averaged):
                    averaged.lerp_(current, share)
                else:
                    averaged.copy_(averaged + (current - averaged) * share)

    return swa_update


class AveragedModel(torch.nn.Module):  # type: ignore[name-defined, misc]
    """A copy of a model whose weights are averages of that model's; `update_parameters(model)` takes one more in.

    Without `avg_fn` or `multi_avg_fn` all models weigh the same. `use_buffers` averages buffers too; otherwise they are
    copied. `n_averaged` is a buffer that counts.
    """

    def __init__(
        self,
        model: Any,
        device: Any = None,
        avg_fn: Callable[[Tensor, Tensor, Any], Tensor] | None = None,
        multi_avg_fn: Callable[[list[Tensor], list[Tensor], Any], None] | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", torch.tensor(0, dtype=torch.long, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Any) -> None:
        """Average `model` in. The first model is copied."""
        mine, theirs = _averaged_tensors(self.module, self.use_buffers), _averaged_tensors(model, self.use_buffers)
        with torch.no_grad():
            if self.n_averaged == 0:
                for averaged, current in zip(mine, theirs):
                    averaged.copy_(current)
            else:
                self._average(mine, theirs)
            if not self.use_buffers:
                for averaged, current in zip(self.module.buffers(), model.buffers()):
                    averaged.detach().copy_(current.detach().to(averaged.device))
            self.n_averaged += 1

    def _average(self, mine: list[Tensor], theirs: list[Tensor]) -> None:
        if self.multi_avg_fn is not None:
            self.multi_avg_fn(mine, theirs, self.n_averaged)
            return
        formula = self.avg_fn or get_swa_avg_fn()
        for averaged, current in zip(mine, theirs):
            averaged.copy_(formula(averaged, current, self.n_averaged))


def _averaged_tensors(model: Any, use_buffers: bool) -> list[Tensor]:
    """What is averaged, detached, on its own device."""
    tensors = chain(model.parameters(), model.buffers()) if use_buffers else model.parameters()
    return [t.detach() for t in tensors]


def update_bn(loader: Iterable[Any], model: Any, device: Any = None) -> None:
    """Recompute every batch norm's running statistics as plain averages over one pass through `loader`.

    A batch that is a list or tuple gives its first element. Momenta and training mode are put back afterwards.
    """
    kind = torch.nn.modules.batchnorm._BatchNorm
    norms = [module for module in model.modules() if isinstance(module, kind)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    with torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
        model.train()
        for norm in norms:
            norm.momentum = None
        for batch in loader:
            inputs = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(inputs if device is None else inputs.to(device))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Anneals every group's rate to `swa_lr` within `anneal_epochs` steps and keeps it there."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for rate, group in zip(_format_param("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._set_anneal_func(anneal_strategy)
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    @staticmethod
    def _linear_anneal(t: float) -> float:
        return t

    @staticmethod
    def _cosine_anneal(t: float) -> float:
        return (1 - math.cos(math.pi * t)) / 2

    def _set_anneal_func(self, anneal_strategy: str) -> None:
        self._anneal_strategy = anneal_strategy
        self.anneal_func = self._cosine_anneal if anneal_strategy == "cos" else self._linear_anneal

    def _share(self, step: float) -> float:
        """How much of the rate is swa_lr at this step."""
        return self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))

    def get_lr(self) -> list[Any]:
        _warn_get_lr_called_within_step(self)
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates

    def state_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("optimizer", "anneal_func")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update(state_dict)
        self._set_anneal_func(self._anneal_strategy)
