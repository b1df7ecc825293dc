"""L-BFGS (Nocedal and Wright 2006, algorithms 7.4 and 7.5), optionally with a strong-Wolfe line search (algorithms 3.5, 3.6).

Enters: a closure that zeroes gradients, computes the loss, calls backward and returns the loss. Leaves: the loss it returned first.
All parameters are treated as one flat vector. Every iteration compares numbers, so every iteration runs what was recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import frankentorch as torch
from frankentorch.optim._scalars import ParamState
from frankentorch.optim.optimizer import Optimizer, ParamsT, Tensor, check_lr, squeeze_scalar

__all__ = ["LBFGS"]

Objective = Callable[[Any], tuple[float, Tensor]]


@dataclass
class _Point:
    """A place on the search line: step, loss, gradient, slope along the direction. Slope and step may be 0-dim tensors."""

    t: Any
    loss: float
    grad: Tensor
    slope: Any

    def kept(self) -> _Point:
        """The same with a gradient nobody else writes to."""
        return _Point(self.t, self.loss, self.grad.clone(), self.slope)


def _cubic_minimum(a: _Point, b: _Point, bounds: tuple[Any, Any] | None = None) -> Any:
    """Where the cubic through two points and their slopes is least, kept within bounds (Nocedal and Wright, 3.59)."""
    if a.t > b.t:
        a, b = b, a
    low, high = bounds if bounds is not None else (a.t, b.t)
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = square.sqrt()
    at = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(at, low), high)


class _StrongWolfe:
    """The line search: first find a bracket that holds an acceptable step, then shrink it."""

    c1, c2 = 1e-4, 0.9

    def __init__(self, objective: Objective, direction: Tensor, start: _Point, tolerance: float, budget: int) -> None:
        self.objective, self.direction, self.start = objective, direction, start
        self.tolerance, self.budget = tolerance, budget
        self.evaluations = self.rounds = 0
        self.reach = direction.abs().max()

    def at(self, t: Any) -> _Point:
        loss, grad = self.objective(t)
        self.evaluations += 1
        return _Point(t, loss, grad, grad.dot(self.direction))

    def too_high(self, p: _Point) -> Any:
        return p.loss > self.start.loss + self.c1 * p.t * self.start.slope

    def flat_enough(self, p: _Point) -> Any:
        return abs(p.slope) <= -self.c2 * self.start.slope

    def run(self, t: Any) -> _Point:
        """An acceptable point, or the best of the bracket when the budget is spent."""
        bracket = self.bracket(t)
        return bracket[0] if len(bracket) == 1 else self.zoom(bracket)

    def bracket(self, t: Any) -> list[_Point]:
        """One acceptable point, or two that enclose one."""
        prev = _Point(0, self.start.loss, self.start.grad, self.start.slope)
        here = self.at(t)
        while self.rounds < self.budget:
            if self.too_high(here) or (self.rounds > 1 and here.loss >= prev.loss):
                return [prev, here.kept()]
            if self.flat_enough(here):
                return [here]
            if here.slope >= 0:
                return [prev, here.kept()]
            bounds = (here.t + 0.01 * (here.t - prev.t), here.t * 10)
            t = _cubic_minimum(prev, here, bounds)
            prev = here.kept()
            here = self.at(t)
            self.rounds += 1
        return [_Point(0, self.start.loss, self.start.grad, self.start.slope), here]

    def zoom(self, bracket: list[_Point]) -> _Point:
        low, high = sorted(bracket, key=lambda p: p.loss)
        stuck = False
        while self.rounds < self.budget:
            if abs(bracket[1].t - bracket[0].t) * self.reach < self.tolerance:
                break
            t = _cubic_minimum(bracket[0], bracket[1])
            t, stuck = self.away_from_ends(t, bracket, stuck)
            here = self.at(t)
            self.rounds += 1
            done = False
            at_low, at_high = (0, 1) if bracket[0] is low else (1, 0)
            if self.too_high(here) or here.loss >= low.loss:
                bracket[at_high] = here.kept()
                low, high = sorted(bracket, key=lambda p: p.loss)
            else:
                done = bool(self.flat_enough(here))
                if not done and here.slope * (high.t - low.t) >= 0:
                    bracket[at_high] = high = low
                bracket[at_low] = low = here.kept()
            if done:
                break
        return low

    @staticmethod
    def away_from_ends(t: Any, bracket: list[_Point], stuck: bool) -> tuple[Any, bool]:
        """Move a trial that hugs an end of the bracket inside it, the second time this happens or when it lies outside."""
        left, right = min(bracket[0].t, bracket[1].t), max(bracket[0].t, bracket[1].t)
        margin = 0.1 * (right - left)
        if not min(right - t, t - left) < margin:
            return t, False
        if not (stuck or t >= right or t <= left):
            return t, True
        return (right - margin if abs(t - right) < abs(t - left) else left + margin), False


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last `history_size` changes of the gradient. One parameter group only.

    State, kept with the first parameter: func_evals, n_iter, d, t, old_dirs, old_stps, ro, al, H_diag, prev_flat_grad, prev_loss.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn,
        }  # fmt: skip
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    # -- parameters as one vector ----------------------------------------------------------------------------------------------

    def _flat_grad(self) -> Tensor:
        """All gradients in one vector, zeros where there is none, complex ones as pairs."""
        parts = []
        for p in self._params:
            part = p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1)
            parts.append(torch.view_as_real(part).reshape(-1) if part.is_complex() else part)
        return torch.cat(parts, 0)

    def _move(self, t: Any, direction: Tensor) -> None:
        """params += t * direction."""
        scale = float(t)
        offset = 0
        for p in self._params:
            p = torch.view_as_real(p) if p.is_complex() else p
            p.add_(direction[offset : offset + p.numel()].view_as(p), alpha=scale)
            offset += p.numel()

    def _along(self, closure: Callable[[], Any], direction: Tensor) -> Objective:
        """Loss and gradient at a step along the direction from here; the parameters are put back."""
        here = [p.clone() for p in self._params]

        def objective(t: Any) -> tuple[float, Tensor]:
            self._move(t, direction)
            loss = float(closure())
            grad = self._flat_grad()
            for p, saved in zip(self._params, here):
                p.copy_(saved)
            return loss, grad

        return objective

    # -- the iteration ---------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Iterate up to `max_iter` times, calling the closure at most about `max_eval` times."""
        with torch.no_grad():
            return self._minimise(torch.enable_grad()(closure))

    def _minimise(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss, evals = float(first_loss), 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        if grad.abs().max() <= group["tolerance_grad"]:
            return first_loss
        lr = squeeze_scalar(group["lr"])
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, group, grad)
            self._remember(state, grad, loss)
            previous_loss = loss
            t = min(1.0, 1.0 / grad.abs().sum()) * lr if state["n_iter"] == 1 else lr
            state["d"], state["t"] = direction, t
            slope = grad.dot(direction)
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                start = _Point(0, loss, grad.clone(), slope)
                budget = group["max_eval"] - evals
                search = _StrongWolfe(self._along(closure, direction), direction, start, 1e-9, budget)
                found = search.run(t)
                loss, grad, t, used = found.loss, found.grad, found.t, search.evaluations
                self._move(t, direction)
            else:
                self._move(t, direction)
                used = 0
                if iteration != group["max_iter"]:
                    loss, used = float(closure()), 1
                    grad = self._flat_grad()
            state["t"] = t
            evals += used
            state["func_evals"] += used
            if evals >= group["max_eval"] or self._converged(group, grad, direction, t, loss - previous_loss):
                break
        return first_loss

    def _converged(self, group: dict[str, Any], grad: Tensor, direction: Tensor, t: Any, change: float) -> bool:
        tolerance = group["tolerance_change"]
        return bool(
            grad.abs().max() <= group["tolerance_grad"]
            or direction.mul(t).abs().max() <= tolerance
            or abs(change) < tolerance
        )

    @staticmethod
    def _remember(state: ParamState, grad: Tensor, loss: float) -> None:
        if state.get("prev_flat_grad") is None:
            state["prev_flat_grad"] = grad.clone()
        else:
            state["prev_flat_grad"].copy_(grad)
        state["prev_loss"] = loss

    @staticmethod
    def _direction(state: ParamState, group: dict[str, Any], grad: Tensor) -> Tensor:
        """The two-loop recursion, after the last step has been added to the history if the curvature there is positive."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return grad.neg()
        ys_list, ss_list, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = grad.sub(state["prev_flat_grad"]), state["d"].mul(state["t"])
        curvature = y.dot(s)
        if curvature > 1e-10:
            if len(ys_list) == group["history_size"]:
                for history in (ys_list, ss_list, ro):
                    history.pop(0)
            ys_list.append(y)
            ss_list.append(s)
            ro.append(1.0 / curvature)
            state["H_diag"] = curvature / y.dot(y)
        weights = state.setdefault("al", [None] * group["history_size"])
        q = grad.neg()
        for i in reversed(range(len(ys_list))):
            weights[i] = ss_list[i].dot(q) * ro[i]
            q.sub_(ys_list[i] * weights[i])
        r = q * state["H_diag"]
        for i in range(len(ys_list)):
            r.add_(ss_list[i] * (weights[i] - ys_list[i].dot(r) * ro[i]))
        return r
