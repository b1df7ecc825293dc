"""Learning-rate schedules and weight averaging against torch: rates, momenta, warnings and state dicts after every step."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import frankentorch as ft


def optimizer(t: Any, name: str = "SGD", tensor_lr: bool = False) -> Any:
    groups = [{"params": [t.ones(2, requires_grad=True)]}, {"params": [t.ones(3, requires_grad=True)], "lr": 0.3}]
    extra = {"momentum": 0.9} if name == "SGD" else {}
    opt = getattr(t.optim, name)(groups, lr=0.05, **extra)
    if tensor_lr:
        for group in opt.param_groups:
            group["lr"] = t.tensor(group["lr"], dtype=t.float64)
    return opt


def S(t: Any) -> Any:
    return t.optim.lr_scheduler


SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "lambda": lambda t, o: S(t).LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (1 + e)]),
    "multiplicative": lambda t, o: S(t).MultiplicativeLR(o, lambda e: 0.95 + 0.01 * (e % 2)),
    "step": lambda t, o: S(t).StepLR(o, 3, gamma=0.5),
    "multistep": lambda t, o: S(t).MultiStepLR(o, [2, 5, 5, 9], gamma=0.3),
    "constant": lambda t, o: S(t).ConstantLR(o, factor=0.25, total_iters=4),
    "linear": lambda t, o: S(t).LinearLR(o, start_factor=0.2, end_factor=0.8, total_iters=6),
    "exponential": lambda t, o: S(t).ExponentialLR(o, 0.85),
    "polynomial": lambda t, o: S(t).PolynomialLR(o, total_iters=7, power=1.7),
    "cosine": lambda t, o: S(t).CosineAnnealingLR(o, T_max=4, eta_min=0.001),
    "restarts": lambda t, o: S(t).CosineAnnealingWarmRestarts(o, T_0=3, eta_min=0.01),
    "restarts-longer": lambda t, o: S(t).CosineAnnealingWarmRestarts(o, T_0=2, T_mult=2),
    "cyclic": lambda t, o: S(t).CyclicLR(o, [0.01, 0.02], 0.5, step_size_up=3, step_size_down=2),
    "cyclic2": lambda t, o: S(t).CyclicLR(o, 0.01, 0.5, step_size_up=2, mode="triangular2", cycle_momentum=False),
    "cyclic-exp": lambda t, o: S(t).CyclicLR(o, 0.01, 0.5, step_size_up=2, mode="exp_range", gamma=0.9),
    "cyclic-own": lambda t, o: S(t).CyclicLR(o, 0.01, 0.5, step_size_up=2, scale_fn=lambda x: 1 / x, scale_mode="cycle"),
    "onecycle": lambda t, o: S(t).OneCycleLR(o, [0.5, 1.0], total_steps=20),
    "onecycle-3": lambda t, o: S(t).OneCycleLR(o, 0.5, epochs=4, steps_per_epoch=5, anneal_strategy="linear", three_phase=True),
    "sequential": lambda t, o: S(t).SequentialLR(
        o, [S(t).ConstantLR(o, 0.1, total_iters=20), S(t).ExponentialLR(o, 0.9), S(t).StepLR(o, 2)], milestones=[3, 8]
    ),
    "warmup": lambda t, o: S(t).SequentialLR(
        o, [S(t).LinearLR(o, 0.1, total_iters=4), S(t).CosineAnnealingLR(o, T_max=10)], milestones=[4]
    ),
    "chained": lambda t, o: S(t).ChainedScheduler([S(t).ConstantLR(o, 0.1, total_iters=2), S(t).ExponentialLR(o, 0.9)]),
    "nested": lambda t, o: S(t).SequentialLR(
        o,
        [
            S(t).SequentialLR(o, [S(t).ConstantLR(o, 0.5, total_iters=9), S(t).ExponentialLR(o, 0.9)], milestones=[2]),
            S(t).StepLR(o, 3),
        ],
        milestones=[5],
    ),
    "swa": lambda t, o: t.optim.swa_utils.SWALR(o, [0.01, 0.02], anneal_epochs=5),
    "swa-linear": lambda t, o: t.optim.swa_utils.SWALR(o, 0.01, anneal_epochs=3, anneal_strategy="linear"),
    "swa-at-once": lambda t, o: t.optim.swa_utils.SWALR(o, 0.01, anneal_epochs=0),
}


def seen(opt: Any) -> list[Any]:
    keys = ("lr", "momentum", "betas", "initial_lr", "max_momentum", "base_momentum", "swa_lr")
    return [{k: g[k] for k in keys if k in g} for g in opt.param_groups]


def plain(x: Any) -> Any:
    """State with callables named and functions' identities dropped, so that the two libraries' compare."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    return getattr(x, "__name__", x) if callable(x) else x


@pytest.mark.parametrize("opt_name", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_and_state(name: str, opt_name: str) -> None:
    pair = []
    for t in (torch, ft):
        opt = optimizer(t, opt_name)
        pair.append((opt, SCHEDULES[name](t, opt)))
    for _ in range(18):
        (o1, s1), (o2, s2) = pair
        assert seen(o1) == seen(o2)
        assert s1.get_last_lr() == s2.get_last_lr()
        assert plain(s1.state_dict()) == plain(s2.state_dict())
        for opt, schedule in pair:
            opt.step()
            schedule.step()


@pytest.mark.parametrize("name", [n for n in SCHEDULES if n not in ("cyclic-own",)])
def test_resumes(name: str) -> None:
    first = optimizer(ft)
    schedule = SCHEDULES[name](ft, first)
    for _ in range(5):
        first.step()
        schedule.step()
    saved, saved_opt = copy.deepcopy(schedule.state_dict()), copy.deepcopy(first.state_dict())
    again = optimizer(ft)
    resumed = SCHEDULES[name](ft, again)
    resumed.load_state_dict(saved)
    again.load_state_dict(saved_opt)
    for _ in range(8):
        for opt, s in ((first, schedule), (again, resumed)):
            opt.step()
            s.step()
        assert seen(first) == seen(again)
        assert schedule.get_last_lr() == resumed.get_last_lr()


@pytest.mark.parametrize("name", ["step", "cosine", "exponential", "linear", "polynomial", "onecycle", "lambda"])
def test_tensor_rates_are_written_in_place(name: str) -> None:
    rows = []
    for t in (torch, ft):
        opt = optimizer(t, tensor_lr=True)
        rates = [g["lr"] for g in opt.param_groups]
        schedule = SCHEDULES[name](t, opt)
        row = []
        for _ in range(6):
            opt.step()
            schedule.step()
            assert all(g["lr"] is r for g, r in zip(opt.param_groups, rates))
            row.append([float(r) for r in rates])
        rows.append(row)
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-9)


@pytest.mark.parametrize("name", ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine", "multiplicative"])
def test_closed_form_with_an_epoch(name: str) -> None:
    rows = []
    for t in (torch, ft):
        opt = optimizer(t)
        schedule = SCHEDULES[name](t, opt)
        opt.step()
        row = []
        for epoch in (7, 2, 5):
            with pytest.warns(UserWarning, match="epoch parameter"):
                schedule.step(epoch)
            row.append(schedule.get_last_lr())
        rows.append(row)
    assert rows[0] == rows[1]


def test_warm_restarts_at_fractions() -> None:
    rows = []
    for t in (torch, ft):
        opt = optimizer(t)
        schedule = S(t).CosineAnnealingWarmRestarts(opt, T_0=2, T_mult=3)
        row = []
        for epoch in (0.25, 1.5, 2.0, 5.75, 9.5, 0.5):
            schedule.step(epoch)
            row.append((schedule.get_last_lr(), schedule.T_cur, schedule.T_i, schedule.last_epoch))
        schedule.step()
        rows.append([*row, schedule.get_last_lr()])
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"patience": 1},
        {"mode": "max", "patience": 0, "factor": 0.5, "cooldown": 2},
        {"threshold_mode": "abs", "threshold": 0.5, "patience": 1, "min_lr": [0.01, 0.2]},
        {"mode": "max", "threshold_mode": "abs", "threshold": 0.5, "patience": 0, "eps": 0.01},
    ],
)
def test_plateau(kwargs: dict[str, Any]) -> None:
    metrics = [5.0, 4.0, 4.1, 3.9999, 4.2, 3.0, 3.0, 3.0, 2.7, 2.9, float("nan"), 2.8, 1.0, 1.0, 1.0, 1.0]
    pair = []
    for t in (torch, ft):
        opt = optimizer(t)
        pair.append((opt, S(t).ReduceLROnPlateau(opt, **kwargs)))
    for value in metrics:
        for _, schedule in pair:
            schedule.step(value)
        assert seen(pair[0][0]) == seen(pair[1][0])
        assert pair[0][1].state_dict() == pair[1][1].state_dict()
    again = S(ft).ReduceLROnPlateau(optimizer(ft))
    again.load_state_dict(pair[1][1].state_dict())
    assert again.state_dict() == pair[1][1].state_dict()


def test_plateau_with_a_new_group() -> None:
    opt = optimizer(ft)
    schedule = S(ft).ReduceLROnPlateau(opt, patience=0, min_lr=[0.0, 0.0])
    schedule.step(1.0)
    opt.add_param_group({"params": [ft.ones(1)]})
    with pytest.raises(RuntimeError, match=r"number of param groups in the `optimizer` \(3\)"):
        schedule.step(2.0)


def messages(act: Callable[[Any], Any]) -> list[Any]:
    """What both libraries warned and raised."""
    out = []
    for t in (torch, ft):
        raised = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                act(t)
            except Exception as error:  # noqa: BLE001
                raised = (type(error).__name__, str(error) if "at 0x" not in str(error) else "")
        out.append(([(w.category, str(w.message)) for w in caught], raised))
    return out


def _step_first(t: Any) -> None:
    S(t).StepLR(optimizer(t), 2).step()


def _overridden(t: Any) -> None:
    opt = optimizer(t)
    schedule = S(t).StepLR(opt, 2)
    opt.step = lambda: None
    schedule.step()


def _past_the_end(t: Any) -> None:
    opt = optimizer(t)
    schedule = S(t).OneCycleLR(opt, 0.1, total_steps=2)
    opt.step()
    for _ in range(4):
        schedule.step()


@pytest.mark.parametrize(
    "act",
    [
        _step_first,
        _overridden,
        _past_the_end,
        lambda t: S(t).StepLR(optimizer(t), 2).get_lr(),
        lambda t: S(t).StepLR(3, 2),
        lambda t: S(t).StepLR(optimizer(t), 2, last_epoch=3),
        lambda t: S(t).LambdaLR(optimizer(t), [abs]),
        lambda t: S(t).MultiplicativeLR(optimizer(t), 3),
        lambda t: S(t).ConstantLR(optimizer(t), 2.0),
        lambda t: S(t).LinearLR(optimizer(t), 0.0),
        lambda t: S(t).LinearLR(optimizer(t), 0.5, 1.5),
        lambda t: S(t).CosineAnnealingWarmRestarts(optimizer(t), 0),
        lambda t: S(t).CosineAnnealingWarmRestarts(optimizer(t), 2, 0),
        lambda t: S(t).CosineAnnealingWarmRestarts(optimizer(t), 2).step(-1),
        lambda t: S(t).CyclicLR(optimizer(t), 0.1, 0.2, mode="x"),
        lambda t: S(t).CyclicLR(t.optim.Adagrad([t.ones(1)]), 0.1, 0.2),
        lambda t: S(t).OneCycleLR(optimizer(t), 0.1),
        lambda t: S(t).OneCycleLR(optimizer(t), 0.1, total_steps=-1),
        lambda t: S(t).OneCycleLR(optimizer(t), 0.1, epochs=0, steps_per_epoch=1),
        lambda t: S(t).OneCycleLR(optimizer(t), [0.1], total_steps=5),
        lambda t: S(t).OneCycleLR(optimizer(t), 0.1, total_steps=5, pct_start=1.5),
        lambda t: S(t).OneCycleLR(optimizer(t), 0.1, total_steps=5, anneal_strategy="x"),
        lambda t: S(t).SequentialLR(optimizer(t), [], []),
        lambda t: S(t).SequentialLR(o := optimizer(t), [S(t).StepLR(o, 2)], [1]),
        lambda t: S(t).SequentialLR(o := optimizer(t), [S(t).ReduceLROnPlateau(o)], []),
        lambda t: S(t).SequentialLR(optimizer(t), [3], []),
        lambda t: S(t).ChainedScheduler([]),
        lambda t: S(t).ReduceLROnPlateau(optimizer(t), factor=1.0),
        lambda t: S(t).ReduceLROnPlateau(optimizer(t), mode="x"),
        lambda t: S(t).ReduceLROnPlateau(optimizer(t), threshold_mode="x"),
        lambda t: S(t).ReduceLROnPlateau(optimizer(t), min_lr=[0.1]),
        lambda t: t.optim.swa_utils.SWALR(optimizer(t), 0.1, anneal_epochs=-1),
        lambda t: t.optim.swa_utils.SWALR(optimizer(t), 0.1, anneal_strategy="x"),
        lambda t: t.optim.swa_utils.get_ema_avg_fn(1.5),
    ],
)
def test_warnings_and_errors(act: Callable[[Any], Any]) -> None:
    theirs, mine = messages(act)
    assert theirs == mine
    assert theirs[0] or theirs[1]


def test_callable_objects_are_saved() -> None:
    class Decay:
        def __init__(self, rate: float) -> None:
            self.rate = rate

        def __call__(self, epoch: int) -> float:
            return self.rate**epoch

    schedule = S(ft).LambdaLR(optimizer(ft), [Decay(0.5), lambda e: 1.0])
    saved = schedule.state_dict()
    assert saved["lr_lambdas"] == [{"rate": 0.5}, None]
    other = S(ft).LambdaLR(optimizer(ft), [Decay(0.9), lambda e: 1.0])
    other.load_state_dict(saved)
    assert other.lr_lambdas[0].rate == 0.5 and "lr_lambdas" in saved


def test_optimizer_with_a_schedule_pickles() -> None:
    opt = optimizer(ft)
    S(ft).StepLR(opt, 2)
    assert [g["lr"] for g in pickle.loads(pickle.dumps(opt)).param_groups] == [0.05, 0.3]


# -- weight averaging ----------------------------------------------------------------------------------------------------------


def net(t: Any) -> Any:
    model = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Linear(4, 2))
    rng = np.random.default_rng(5)
    with t.no_grad():
        for p in model.parameters():
            p.copy_(t.tensor(rng.standard_normal(tuple(p.shape)).astype(np.float32)))
    return model


@pytest.mark.parametrize("rule", ["swa", "ema", "multi-swa", "multi-ema", "own"])
@pytest.mark.parametrize("buffers", [False, True])
def test_averaged_model(rule: str, buffers: bool) -> None:
    if buffers and rule == "multi-swa":
        pytest.skip("torch divides integer buffers with addcdiv and raises")

    def train(t: Any) -> dict[str, Any]:
        u = t.optim.swa_utils
        how = {
            "swa": {},
            "ema": {"avg_fn": u.get_ema_avg_fn(0.7)},
            "multi-swa": {"multi_avg_fn": u.get_swa_multi_avg_fn()},
            "multi-ema": {"multi_avg_fn": u.get_ema_multi_avg_fn(0.7)},
            "own": {"avg_fn": lambda avg, new, n: 0.25 * avg + 0.75 * new},
        }[rule]
        model = net(t)
        averaged = u.AveragedModel(model, use_buffers=buffers, **how)
        rng = np.random.default_rng(6)
        for _ in range(4):
            with t.no_grad():
                for p in model.parameters():
                    p.add_(t.tensor(rng.standard_normal(tuple(p.shape)).astype(np.float32)))
            model(t.tensor(rng.standard_normal((6, 3)).astype(np.float32)))
            averaged.update_parameters(model)
        return {k: v.numpy() for k, v in averaged.state_dict().items()}

    theirs, mine = train(torch), train(ft)
    assert list(theirs) == list(mine) and theirs["n_averaged"] == 4
    for key in theirs:
        np.testing.assert_allclose(mine[key], theirs[key], rtol=1e-5, atol=1e-6, err_msg=key)


def test_update_bn() -> None:
    rng = np.random.default_rng(8)
    batches = [rng.standard_normal((n, 3)).astype(np.float32) for n in (8, 8, 4)]

    def train(t: Any) -> Any:
        model = net(t).eval()
        t.optim.swa_utils.update_bn([(t.tensor(b), 0) for b in batches], model)
        assert not model.training and math.isclose(model[1].momentum, 0.1)
        return [b.numpy() for b in model.buffers()]

    for mine, theirs in zip(train(ft), train(torch)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_only_one_averaging_rule() -> None:
    u = ft.optim.swa_utils
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        u.AveragedModel(net(ft), avg_fn=u.get_swa_avg_fn(), multi_avg_fn=u.get_swa_multi_avg_fn())
