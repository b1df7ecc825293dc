"""Optimizers against torch: the same gradients for many steps, then parameters, state and state dicts compared."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import frankentorch as ft

SHAPES = [(3, 4), (5,), ()]
MATRICES = [(4, 6), (6, 4), (3, 3)]

CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.02}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "foreach": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.03, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.03, "fused": True}),
    ("Adam", {"lr": 0.03, "foreach": True, "amsgrad": True}),
    ("Adam", {"lr": 0.03, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.03}),
    ("AdamW", {"lr": 0.03, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-5, "weight_decay": 0.1, "momentum": 0.7}),
    ("RMSprop", {"centered": True, "momentum": 0.5, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.01, "initial_accumulator_value": 0.3, "eps": 1e-6}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.05, "betas": (0.7, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "momentum_decay": 0.01}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.01, "alpha": 0.5, "t0": 3.0, "weight_decay": 0.1, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.02, "etas": (0.4, 1.5), "step_sizes": (1e-4, 0.1), "maximize": True}),
    ("Adafactor", {}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-8, 0.01), "d": 1.5, "weight_decay": 0.1, "maximize": True}),
    ("Muon", {}),
    ("Muon", {"lr": 0.02, "momentum": 0.8, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
]
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(CONFIGS)]
# Muon iterates in bfloat16, an ulp of which is 4e-3 of a value; here its steps add up to about 0.14.
TOLERANCE = {"Muon": 4e-3}


def to_torch(x: Any) -> torch.Tensor:
    return torch.tensor(x.detach().numpy())


def leaf(lib: Any, value: np.ndarray) -> Any:
    return lib.tensor(value).requires_grad_(True)


def setup(name: str, kwargs: dict[str, Any], dtype: Any = np.float32) -> tuple[list[Any], list[Any], Any, Any]:
    rng = np.random.default_rng(1)
    values = [rng.standard_normal(s).astype(dtype) for s in (MATRICES if name == "Muon" else SHAPES)]
    theirs, mine = [leaf(torch, v) for v in values], [leaf(ft, v) for v in values]
    return theirs, mine, getattr(torch.optim, name)(theirs, **kwargs), getattr(ft.optim, name)(mine, **kwargs)


def run(opts: tuple[Any, Any], params: tuple[list[Any], list[Any]], steps: int, seed: int = 0) -> None:
    """The same gradients for both; the second parameter has none now and then."""
    rng = np.random.default_rng(seed)
    for step in range(steps):
        for i, (a, b) in enumerate(zip(*params)):
            grad = rng.standard_normal(tuple(a.shape)).astype(a.detach().numpy().dtype)
            none = i == 1 and step % 4 == 2
            for p in (a, b):
                lib = torch if isinstance(p, torch.Tensor) else ft
                p.grad = None if none else lib.tensor(grad)
        for opt in opts:
            opt.step()


def same(a: Any, b: Any, tol: float) -> None:
    """Equal trees: same types and keys, tensors close."""
    if isinstance(a, torch.Tensor):
        b = to_torch(b)
        assert a.dtype == b.dtype
        torch.testing.assert_close(b, a.detach(), rtol=tol, atol=tol * (1 if tol > 1e-3 else 0.1))
    elif isinstance(a, dict):
        assert type(b) is dict
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key], tol)
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y, tol)
    else:
        assert a == b


@pytest.mark.parametrize(("name", "kwargs"), CONFIGS, ids=IDS)
def test_parameters_and_state_agree(name: str, kwargs: dict[str, Any]) -> None:
    theirs, mine, t_opt, f_opt = setup(name, kwargs)
    tol = TOLERANCE.get(name, 2e-5)
    run((t_opt, f_opt), (theirs, mine), 14)
    for a, b in zip(theirs, mine):
        same(a, b, tol)
    same(t_opt.state_dict(), f_opt.state_dict(), tol)
    assert repr(t_opt) == repr(f_opt)


@pytest.mark.parametrize("name", sorted({n for n, _ in CONFIGS} - {"Muon"}))
def test_float64(name: str) -> None:
    theirs, mine, t_opt, f_opt = setup(name, {}, np.float64)
    run((t_opt, f_opt), (theirs, mine), 9)
    for a, b in zip(theirs, mine):
        same(a, b, 1e-11)


@pytest.mark.parametrize(("name", "kwargs"), CONFIGS, ids=IDS)
def test_resumes_from_torchs_state_dict(name: str, kwargs: dict[str, Any]) -> None:
    theirs, mine, t_opt, f_opt = setup(name, kwargs)
    run((t_opt,), (theirs, theirs), 5)
    saved = t_opt.state_dict()

    def over(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return ft.tensor(x.detach().numpy().copy())
        if isinstance(x, dict):
            return {k: over(v) for k, v in x.items()}
        return type(x)(over(v) for v in x) if isinstance(x, (list, tuple)) else x

    f_opt.load_state_dict(over(saved))
    with ft.no_grad():
        for a, b in zip(theirs, mine):
            b.copy_(ft.tensor(a.detach().numpy()))
    run((t_opt, f_opt), (theirs, mine), 5, seed=7)
    tol = TOLERANCE.get(name, 2e-5)
    same(t_opt.state_dict(), f_opt.state_dict(), tol)
    for a, b in zip(theirs, mine):
        same(a, b, tol)


@pytest.mark.parametrize("strong", [None, "strong_wolfe"])
def test_lbfgs_on_rosenbrock(strong: str | None) -> None:
    def train(lib: Any) -> tuple[list[float], Any, Any]:
        x = leaf(lib, np.array([-1.2, 1.0]))
        opt = lib.optim.LBFGS([x], lr=0.5 if strong is None else 1, max_iter=6, history_size=4, line_search_fn=strong)
        calls = []

        def closure() -> Any:
            opt.zero_grad()
            loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
            loss.backward()
            calls.append(float(loss))
            return loss

        for _ in range(5):
            opt.step(closure)
        return calls, x, opt

    a, xa, oa = train(torch)
    b, xb, ob = train(ft)
    assert len(a) == len(b)
    np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(xb.detach().numpy(), xa.detach().numpy(), rtol=1e-6)
    sa, sb = oa.state_dict()["state"][0], ob.state_dict()["state"][0]
    assert set(sa) == set(sb)
    assert (sa["func_evals"], sa["n_iter"]) == (sb["func_evals"], sb["n_iter"])


def adam_pair(**kwargs: Any) -> tuple[Any, Any]:
    p = leaf(ft, np.ones(3, np.float32))
    return p, ft.optim.Adam([p], **kwargs)


def one_step(p: Any, opt: Any) -> None:
    p.grad = ft.ones_like(p)
    opt.step()


class TestStepCount:
    """state["step"] is a Python number inside and a tensor to whoever looks."""

    def test_reads_as_a_float32_tensor(self) -> None:
        p, opt = adam_pair()
        one_step(p, opt)
        one_step(p, opt)
        step = opt.state[p]["step"]
        assert isinstance(step, ft.Tensor)
        assert step.dtype == ft.float32 and step.shape == () and step.item() == 2.0

    def test_a_held_tensor_keeps_counting(self) -> None:
        p, opt = adam_pair()
        one_step(p, opt)
        held = opt.state[p]["step"]
        one_step(p, opt)
        assert held.item() == 2.0 and opt.state[p]["step"] is held

    def test_a_tensor_nobody_holds_is_dropped(self) -> None:
        p, opt = adam_pair()
        one_step(p, opt)
        assert opt.state[p]["step"].item() == 1.0
        gc.collect()
        one_step(p, opt)
        assert opt.state[p].raw("step").shown is None
        assert opt.state[p]["step"].item() == 2.0

    def test_changes_made_to_it_count(self) -> None:
        p, opt = adam_pair()
        one_step(p, opt)
        opt.state[p]["step"].fill_(10.0)
        one_step(p, opt)
        assert opt.state[p]["step"].item() == 11.0
        opt.state[p]["step"] = ft.tensor(20.0)
        one_step(p, opt)
        assert opt.state[p]["step"].item() == 21.0

    def test_step_reads_no_tensor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        p, opt = adam_pair()
        one_step(p, opt)

        def refuse(*_: Any) -> Any:
            raise AssertionError("a step observed a tensor")

        p.grad = ft.ones_like(p)
        for name in ("item", "__bool__", "__float__", "tolist", "numpy"):
            monkeypatch.setattr(ft.Tensor, name, refuse)
        opt.step()
        monkeypatch.undo()
        assert opt.state[p]["step"].item() == 2.0

    def test_every_way_of_reading(self) -> None:
        p, opt = adam_pair()
        one_step(p, opt)
        state = opt.state[p]
        ways = [dict(state)["step"], {**state}["step"], dict(state.items())["step"], state.get("step"), state.copy()["step"]]
        ways += [next(iter(state.values())), copy.deepcopy(state)["step"], opt.state_dict()["state"][0]["step"]]
        assert all(isinstance(w, ft.Tensor) and w.item() == 1.0 for w in ways)
        assert list(state) == ["step", "exp_avg", "exp_avg_sq"] and isinstance(state, dict)


class TestGroups:
    @staticmethod
    def errors(make: Any) -> None:
        """Both libraries raise the same error."""
        said = []
        for lib in (torch, ft):
            with pytest.raises(Exception) as caught:
                make(lib)
            said.append((type(caught.value).__name__, str(caught.value)))
        assert said[0] == said[1]

    @pytest.mark.parametrize(
        "make",
        [
            lambda t: t.optim.SGD([], lr=0.1),
            lambda t: t.optim.SGD([t.ones(2) * t.ones(2, requires_grad=True)], lr=0.1),
            lambda t: t.optim.SGD([1], lr=0.1),
            lambda t: t.optim.SGD(t.ones(2), lr=0.1),
            lambda t: t.optim.SGD([t.ones(2)], lr=-0.1),
            lambda t: t.optim.SGD([t.ones(2)], lr=0.1, nesterov=True),
            lambda t: t.optim.SGD([{"params": {t.ones(2)}}], lr=0.1),
            lambda t: t.optim.SGD([("a", t.ones(2)), t.ones(1)], lr=0.1),
            lambda t: t.optim.SGD([t.ones(2)]).add_param_group([1]),
            lambda t: t.optim.SGD([t.ones(2)]).add_param_group({"params": [("a", t.ones(1))]}),
            lambda t: t.optim.SGD([{"params": (x := t.ones(2))}, {"params": [x]}]),
            lambda t: t.optim.Adam([t.ones(2)], betas=(1.0, 0.9)),
            lambda t: t.optim.Adam([t.ones(2)], betas=(0.9, 1)),
            lambda t: t.optim.Adam([t.ones(2)], eps=-1.0),
            lambda t: t.optim.Adam([t.ones(2)], lr=t.ones(2)),
            lambda t: t.optim.Adam([t.ones(2)], lr=t.tensor(0.1), foreach=True),
            lambda t: t.optim.Adam([t.ones(2)], fused=True, foreach=True),
            lambda t: t.optim.Adam([t.ones(2)], fused=True, differentiable=True),
            lambda t: t.optim.RMSprop([t.ones(2)], alpha=-1),
            lambda t: t.optim.Adadelta([t.ones(2)], rho=2),
            lambda t: t.optim.Adagrad([t.ones(2)], lr_decay=-1),
            lambda t: t.optim.Rprop([t.ones(2)], etas=(1.0, 1.0)),
            lambda t: t.optim.Adafactor([t.ones(2)], d=0.5),
            lambda t: t.optim.Muon([t.ones(2)]),
            lambda t: t.optim.Muon([t.ones(2, 2)], adjust_lr_fn="x"),
            lambda t: t.optim.LBFGS([{"params": [t.ones(2)]}, {"params": [t.ones(1)]}]),
            lambda t: t.optim.SparseAdam([t.ones(2)], lr=0.0),
            lambda t: t.optim.SGD([t.ones(2)]).load_state_dict({"state": {}, "param_groups": []}),
            lambda t: t.optim.SGD([t.ones(2)]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}),
        ],
    )
    def test_errors(self, make: Any) -> None:
        self.errors(make)

    def test_sparse_adam_refuses_dense_gradients(self) -> None:
        def make(t: Any) -> None:
            p = leaf(t, np.ones(2, np.float32))
            p.grad = t.ones(2)
            t.optim.SparseAdam([p]).step()

        self.errors(make)

    def test_required_options(self) -> None:
        from frankentorch.optim.optimizer import Optimizer, required

        with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter lr"):
            Optimizer([ft.ones(1)], {"lr": required})

    def test_duplicates_warn(self) -> None:
        p = ft.ones(1)
        with pytest.warns(UserWarning, match="duplicate parameters"):
            ft.optim.SGD([p, p])

    def test_groups_and_names(self) -> None:
        def make(t: Any) -> Any:
            opt = t.optim.SGD([("a", t.ones(1)), ("b", t.ones(2))], lr=0.1, momentum=0.5)
            opt.add_param_group({"params": [("c", t.ones(3))], "lr": 0.01})
            return opt.state_dict()

        assert make(torch) == make(ft)

    def test_state_is_none_before_a_step(self) -> None:
        assert dict(adam_pair()[1].state) == {}

    def test_zero_grad(self) -> None:
        p, opt = adam_pair()
        p.grad = ft.ones(3)
        grad = p.grad
        opt.zero_grad(set_to_none=False)
        assert p.grad is grad and grad.tolist() == [0.0] * 3
        opt.zero_grad()
        assert p.grad is None


class TestHooksAndCopies:
    def test_step_hooks_in_order(self) -> None:
        from frankentorch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        p, opt = adam_pair()
        seen: list[str] = []
        handles = [
            register_optimizer_step_pre_hook(lambda *_: seen.append("global pre")),
            register_optimizer_step_post_hook(lambda *_: seen.append("global post")),
            opt.register_step_pre_hook(lambda *_: seen.append("pre")),
            opt.register_step_post_hook(lambda *_: seen.append("post")),
        ]
        one_step(p, opt)
        assert seen == ["global pre", "pre", "post", "global post"]
        for handle in handles:
            handle.remove()
        one_step(p, opt)
        assert len(seen) == 4

    def test_a_pre_hook_can_replace_the_closure(self) -> None:
        p, opt = adam_pair()
        opt.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 7), {}))
        assert opt.step() == 7
        opt.register_step_pre_hook(lambda *_: 3)
        with pytest.raises(RuntimeError, match="must return None or a tuple of"):
            opt.step()

    def test_closure_runs_with_gradients(self) -> None:
        p, opt = adam_pair(lr=0.5)

        def closure() -> Any:
            opt.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            return loss

        with ft.no_grad():
            assert float(opt.step(closure)) == 3.0
        np.testing.assert_allclose(p.detach().numpy(), 0.5, rtol=1e-5)

    def test_state_dict_hooks(self) -> None:
        p, opt = adam_pair()
        seen: list[str] = []
        opt.register_state_dict_pre_hook(lambda o: seen.append("b"))
        opt.register_state_dict_pre_hook(lambda o: seen.append("a"), prepend=True)
        opt.register_state_dict_post_hook(lambda o, sd: {**sd, "extra": 1})
        made = opt.state_dict()
        assert seen == ["a", "b"] and made["extra"] == 1
        opt.register_load_state_dict_pre_hook(lambda o, sd: {k: v for k, v in sd.items() if k != "extra"})
        opt.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
        opt.load_state_dict(made)
        assert seen[-1] == "loaded"

    def test_end_of_step_reaches_the_runtime(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[int] = []
        monkeypatch.setattr(ft, "_runtime_step_end", lambda: calls.append(1), raising=False)
        p, opt = adam_pair()
        one_step(p, opt)
        assert calls == [1]

    def test_deepcopy_and_pickle(self) -> None:
        p, opt = adam_pair()
        one_step(p, opt)
        for other in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
            (q,) = other.param_groups[0]["params"]
            assert other.state[q]["step"].item() == 1.0
            one_step(q, other)
            assert other.state[q]["step"].item() == 2.0
        assert opt.state[p]["step"].item() == 1.0

    def test_user_optimizer(self) -> None:
        class Plain(ft.optim.Optimizer):  # type: ignore[name-defined, misc]
            def __init__(self, params: Any, lr: float) -> None:
                super().__init__(params, {"lr": lr})

            def step(self, closure: Any = None) -> None:
                with ft.no_grad():
                    for group in self.param_groups:
                        for q in group["params"]:
                            state = self.state[q]
                            state["step"] = state.get("step", 0) + 1
                            q.add_(q.grad, alpha=-group["lr"])

        p = leaf(ft, np.ones(2, np.float32))
        opt = Plain([p], 0.25)
        for _ in range(2):
            one_step(p, opt)
        assert opt.state[p]["step"] == 2 and p.tolist() == [0.5, 0.5]


def test_capturable_is_refused_without_a_gpu() -> None:
    p, opt = adam_pair(capturable=True)
    with pytest.raises(AssertionError, match="capturable=True, params and state_steps must be on supported devices"):
        one_step(p, opt)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "ASGD"])
def test_tensor_learning_rate(name: str) -> None:
    def train(t: Any) -> Any:
        p = leaf(t, np.linspace(-1, 1, 5, dtype=np.float32))
        opt = getattr(t.optim, name)([p], lr=t.tensor(0.05))
        for i in range(4):
            p.grad = t.full((5,), 0.5 + i)
            opt.step()
            opt.param_groups[0]["lr"].mul_(0.5)
        return p.detach().numpy()

    np.testing.assert_allclose(train(ft), train(torch), rtol=2e-5)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adadelta"])
def test_differentiable_step(name: str) -> None:
    """The gradient of a later loss reaches the starting point through two steps."""

    def train(t: Any) -> Any:
        start = leaf(t, np.linspace(0.5, 1, 5))
        p = start.clone()
        extra = {"momentum": 0.9} if name == "SGD" else {}
        opt = getattr(t.optim, name)([p], lr=0.1, differentiable=True, **extra)
        for _ in range(2):
            p.grad = (start * start).clone()
            opt.step()
        (p * p).sum().backward()
        return start.grad.numpy()

    np.testing.assert_allclose(train(ft), train(torch), rtol=1e-4)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop"])
def test_complex_parameters(name: str) -> None:
    if not hasattr(ft, "view_as_real"):
        pytest.skip("complex views are not built yet")

    def train(t: Any) -> Any:
        p = leaf(t, np.array([1 + 2j, -0.5j, 3.0], dtype=np.complex64))
        opt = getattr(t.optim, name)([p])
        for i in range(3):
            p.grad = t.tensor(np.array([0.5 - 1j, i + 1j, -2.0], dtype=np.complex64))
            opt.step()
        return p.detach().numpy()

    np.testing.assert_allclose(train(ft), train(torch), rtol=2e-5, atol=1e-7)


def test_swap_in_params_and_state() -> None:
    p, opt = adam_pair()
    one_step(p, opt)
    other = leaf(ft, np.zeros(3, np.float32))
    saved = copy.deepcopy(opt.state_dict())
    saved["param_groups"][0]["lr"] = 0.5
    with ft.optim.swap_in_optimizer_params_and_state(opt, {"w": other}, saved):
        one_step(other, opt)
        assert opt.param_groups[0]["lr"] == 0.5 and opt.state[other]["step"].item() == 2.0
    assert opt.param_groups[0]["params"][0] is p
    assert opt.state[p]["step"].item() == 1.0 and opt.param_groups[0]["lr"] == 1e-3
    with pytest.raises(RuntimeError, match="extra keys"), ft.optim.swap_in_optimizer_params_and_state(
        opt, {"w": other}, {**saved, "state": {5: {}}}
    ):
        pass
