"""Compiled calls: the same bits as eager ones, never stale, and honest about what they do."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

import frankentorch as torch
from frankentorch.compiler import GraphBreak, OptimizedModule, counters, explain

nn, F = torch.nn, torch.nn.functional
WARM = 4  # calls after which a replayable function replays


def bits(x: Any) -> Any:
    return x.detach().tolist() if isinstance(x, torch.Tensor) else x


def mlp(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)), torch.randn(6, 4), torch.randn(6, 3), F.mse_loss


def dropout(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)), torch.randn(6, 4), torch.randn(6, 3), F.mse_loss


def cnn(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 5))
    return model, torch.randn(6, 1, 8, 8), torch.randint(0, 5, (6,)), F.cross_entropy


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
}


def make_step(model: Any, optimizer: Any, loss_of: Any) -> Any:
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def train(build: Any, optimizer: Any, compiled: bool, steps: int, schedule: bool = False) -> tuple[Any, Any]:
    model, x, y, loss_of = build()
    opt = optimizer(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(opt, 3, 0.5) if schedule else None
    step = make_step(model, opt, loss_of)
    step = torch.compile(step) if compiled else step
    losses = []
    for _ in range(steps):
        losses.append(step(x, y).item())
        if scheduler is not None:
            scheduler.step()
    state = [bits(p) for p in model.state_dict().values()]
    return (losses, state, [bits(p.grad) for p in model.parameters()], torch.rand(3).tolist(), opt.state_dict()["state"].__repr__()), step


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("build", [mlp, dropout, cnn])
def test_training_has_the_bits_of_eager_training(build: Any, name: str) -> None:
    eager, _ = train(build, OPTIMIZERS[name], False, 20)
    compiled, step = train(build, OPTIMIZERS[name], True, 20)
    assert compiled == eager
    report = step.report()
    assert report.path == "replay" and report.replayed >= 14, str(report)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
def test_a_scheduler_is_followed_without_recording_again(name: str) -> None:
    eager, _ = train(mlp, OPTIMIZERS[name], False, 20, schedule=True)
    compiled, step = train(mlp, OPTIMIZERS[name], True, 20, schedule=True)
    assert compiled == eager
    assert step.report().replayed >= 14 and not step.report().recompiles


def test_a_scheduler_under_an_optimizer_that_is_not_followed() -> None:
    assert train(mlp, OPTIMIZERS["rmsprop"], True, 20, schedule=True)[0] == train(mlp, OPTIMIZERS["rmsprop"], False, 20, schedule=True)[0]


def test_a_module_in_eval() -> None:
    model, x, _, _ = cnn()
    model.eval()
    compiled = torch.compile(model)
    with torch.no_grad():
        want = bits(model(x))
        for _ in range(WARM):
            assert bits(compiled(x)) == want
    assert explain(compiled).path == "replay"


def test_a_module_in_training_keeps_its_tape() -> None:
    model, x, y, loss_of = mlp()
    compiled = torch.compile(model)
    for _ in range(WARM):
        model.zero_grad()
        loss_of(compiled(x), y).backward()
        got = [bits(p.grad) for p in model.parameters()]
        model.zero_grad()
        loss_of(model(x), y).backward()
        assert got == [bits(p.grad) for p in model.parameters()]
    assert "tape" in explain(compiled).reason


# Never stale ----------------------------------------------------------------------------------------------------------------
SCALE = 2.0
TABLE = {"bias": [1.0]}


def warm(fn: Any, *args: Any) -> Any:
    compiled = torch.compile(fn)
    for _ in range(WARM):
        assert bits(compiled(*args)) == bits(fn(*args))
    assert compiled.report().replayed > 0, str(compiled.report())
    return compiled


def uses_global(x: Any) -> Any:
    return x * SCALE + TABLE["bias"][0]


def test_a_global_that_changes() -> None:
    global SCALE
    x = torch.arange(4.0)
    compiled = warm(uses_global, x)
    before = compiled.report().replayed
    assert bits(compiled(x)) == [1.0, 3.0, 5.0, 7.0] and compiled.report().replayed == before + 1
    SCALE = 3.0
    try:
        assert bits(compiled(x)) == [1.0, 4.0, 7.0, 10.0]
    finally:
        SCALE = 2.0
    assert bits(compiled(x)) == [1.0, 3.0, 5.0, 7.0]
    TABLE["bias"][0] = 10.0
    try:
        assert bits(compiled(x)) == [10.0, 12.0, 14.0, 16.0]
    finally:
        TABLE["bias"][0] = 1.0
    assert "global SCALE" in " ".join(compiled.report().recompiles)


def test_a_closure_cell_that_changes() -> None:
    factor = 2.0

    def fn(x: Any) -> Any:
        return x * factor

    x = torch.ones(3)
    compiled = warm(fn, x)
    factor = 5.0
    assert bits(compiled(x)) == [5.0] * 3


def test_a_tensor_in_a_closure_is_read_anew() -> None:
    bias = torch.zeros(3)

    def fn(x: Any) -> Any:
        return x + bias

    x = torch.ones(3)
    compiled = warm(fn, x)
    bias.add_(1)
    assert bits(compiled(x)) == [2.0] * 3
    bias = torch.full((3,), 7.0)
    assert bits(compiled(x)) == [8.0] * 3
    bias = torch.zeros(1)
    assert bits(compiled(x)) == [1.0] * 3


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.drop = nn.Dropout(0.5)
        self.gain = 1.0
        self.sizes = [1, 2]

    def forward(self, x: Any) -> Any:
        return self.drop(self.a(x)) * self.gain + self.sizes[1]


def net_call() -> tuple[Any, Any, Any]:
    torch.manual_seed(1)
    net, x = Net().eval(), torch.randn(2, 3)
    compiled = torch.compile(net)
    with torch.no_grad():
        for _ in range(WARM):
            assert bits(compiled(x)) == bits(net(x))
    assert explain(compiled).replayed > 0, str(explain(compiled))
    return net, x, compiled


def follows(net: Any, x: Any, compiled: Any) -> None:
    with torch.no_grad():
        state = torch.get_rng_state()
        want = bits(net(x))
        torch.set_rng_state(state)
        assert bits(compiled(x)) == want


@pytest.mark.parametrize("change", [
    lambda net: setattr(net, "gain", 2.0),
    lambda net: net.sizes.append(3) or net.sizes.__setitem__(1, 9),
    lambda net: net.train(),
    lambda net: setattr(net, "a", nn.Linear(3, 3)),
    lambda net: setattr(net.a, "weight", nn.Parameter(torch.ones(3, 3))),
    lambda net: net.a._parameters.__setitem__("weight", nn.Parameter(torch.ones(3, 3))),
    lambda net: net.a.weight.data.zero_(),
    lambda net: setattr(net.a.weight, "data", torch.ones(3, 3)),
    lambda net: net.a.register_parameter("bias", None),
    lambda net: net.load_state_dict({k: v + 1 for k, v in net.state_dict().items()}),
    lambda net: net.a.register_forward_hook(lambda m, args, out: out * 2),
    lambda net: net.a.register_forward_pre_hook(lambda m, args: (args[0] * 2,)),
    lambda net: setattr(net, "forward", lambda x: x - 1),
    lambda net: setattr(net.a, "forward", lambda x: x - 1),
    lambda net: net.double().float(),
    lambda net: net.a.requires_grad_(False),
    lambda net: setattr(net.drop, "p", 0.0) or net.train(),
])
def test_a_module_that_changes(change: Any) -> None:
    net, x, compiled = net_call()
    with torch.no_grad():
        change(net)
    for _ in range(3):
        follows(net, x, compiled)


def test_a_class_whose_forward_is_replaced(monkeypatch: Any) -> None:
    net, x, compiled = net_call()
    monkeypatch.setattr(Net, "forward", lambda self, x: x * 3)
    follows(net, x, compiled)
    monkeypatch.undo()
    follows(net, x, compiled)
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x * 4)
    follows(net, x, compiled)


def test_a_function_of_the_package_that_is_replaced(monkeypatch: Any) -> None:
    net, x, compiled = net_call()
    monkeypatch.setattr(F, "linear", lambda x, w, b=None: x * 5)
    follows(net, x, compiled)


def test_a_default_dtype_that_changes() -> None:
    def fn(x: Any) -> Any:
        return x / 2

    x = torch.arange(4)
    compiled = warm(fn, x)
    torch.set_default_dtype(torch.float64)
    try:
        assert compiled(x).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert compiled(x).dtype is torch.float32


def test_a_grad_mode_that_changes() -> None:
    w = torch.ones(3, requires_grad=True)

    def fn(x: Any) -> Any:
        return x * w

    x = torch.ones(3)
    compiled = torch.compile(fn)
    with torch.no_grad():
        for _ in range(WARM):
            assert not compiled(x).requires_grad
    assert compiled.report().replayed > 0
    assert compiled(x).requires_grad
    with torch.no_grad():
        assert not compiled(x).requires_grad


def test_arguments_of_other_shapes_dtypes_and_values() -> None:
    def fn(x: Any, k: Any = 1, flag: bool = False) -> Any:
        return (x + k).sum() if flag else x + k

    compiled = torch.compile(fn)
    cases: list[Any] = [((torch.ones(3),), {}), ((torch.ones(2, 3),), {}), ((torch.ones(3, dtype=torch.int64),), {}), ((torch.ones(3), 2), {}),
                        ((torch.ones(3), 2.0), {}), ((torch.ones(3), True), {}), ((torch.ones(3),), {"flag": True}),
                        ((torch.ones(3),), {"k": 1, "flag": True}), ((torch.ones(2, 3).t(),), {}), ((torch.ones(3), torch.ones(3)), {}),
                        ((torch.ones(3), 0.0), {}), ((torch.ones(3), -0.0), {})]
    for _ in range(6):
        for args, kwargs in cases:
            want, got = fn(*args, **kwargs), compiled(*args, **kwargs)
            assert bits(got) == bits(want) and got.dtype is want.dtype and got.stride() == want.stride()


def test_no_grad_is_left_by_a_learning_rate_set_by_hand() -> None:
    (model, x, y, loss_of), (twin, *_) = mlp(), mlp()
    opt, other = torch.optim.SGD(model.parameters(), lr=0.1), torch.optim.SGD(twin.parameters(), lr=0.1)
    step, plain = torch.compile(make_step(model, opt, loss_of)), make_step(twin, other, loss_of)
    for lr in (0.1, 0.1, 0.1, 0.1, 0.3, 0.5, 1.0, 0.0, 2, 0.2, 0.1):
        for o in (opt, other):
            o.param_groups[0]["lr"] = lr
        assert step(x, y).item() == plain(x, y).item()
        assert [bits(p) for p in model.parameters()] == [bits(p) for p in twin.parameters()]
        assert type(opt.param_groups[0]["lr"]) is type(lr)
    opt.param_groups[0]["momentum"] = other.param_groups[0]["momentum"] = 0.9
    for _ in range(4):
        assert step(x, y).item() == plain(x, y).item()
    assert step.report().replayed > 3


def test_an_optimizer_state_that_is_looked_at_and_changed() -> None:
    (model, x, y, loss_of), (twin, *_) = mlp(), mlp()
    opt, other = torch.optim.Adam(model.parameters()), torch.optim.Adam(twin.parameters())
    step, plain = torch.compile(make_step(model, opt, loss_of)), make_step(twin, other, loss_of)
    for i in range(14):
        step(x, y)
        plain(x, y)
        if i == 5:
            for o, m in ((opt, model), (other, twin)):
                o.state[m[0].weight]["step"].add_(10)
                o.state[m[0].weight]["exp_avg"].zero_()
        if i == 8:
            for o in (opt, other):
                o.load_state_dict(copy.deepcopy(o.state_dict()))
    assert [bits(p) for p in model.parameters()] == [bits(p) for p in twin.parameters()]
    assert repr(opt.state_dict()) == repr(other.state_dict())


def test_gradients_that_accumulate_and_grads_that_users_set() -> None:
    (model, x, y, loss_of), (twin, *_) = mlp(), mlp()

    def run(m: Any) -> Any:
        def fn(x: Any, y: Any) -> Any:
            loss = loss_of(m(x), y)
            loss.backward()
            return loss.detach() * 1

        return fn

    fast, slow = torch.compile(run(model)), run(twin)
    kept = None
    for i in range(10):
        fast(x, y)
        slow(x, y)
        if i == 5:
            kept = model[0].weight.grad
        if i == 7:
            for m in (model, twin):
                m[0].weight.grad = torch.ones_like(m[0].weight)
        assert [bits(p.grad) for p in model.parameters()] == [bits(p.grad) for p in twin.parameters()]
        if i in (5, 6):
            assert model[0].weight.grad is kept
    assert fast.report().replayed > 3


def test_old_weights_and_gradients_that_are_held_stay() -> None:
    model, x, y, loss_of = mlp()
    step = torch.compile(make_step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_of))
    for _ in range(WARM):
        step(x, y)
    grad, weight, losses = model[0].weight.grad, model[0].weight.detach().clone(), [step(x, y) for _ in range(3)]
    held, view, values = bits(grad), model[0].weight.detach(), [bits(t) for t in losses]
    old = weight.tolist()
    step(x, y)
    assert bits(grad) == held and weight.tolist() == old
    assert bits(view) == bits(model[0].weight)
    assert [bits(t) for t in losses] == values and len(set(values)) == 3


# Effects -------------------------------------------------------------------------------------------------------------------
def test_in_place_on_arguments_counts_versions() -> None:
    def fn(x: Any, y: Any) -> Any:
        x.add_(1)
        x.mul_(y)
        return x

    compiled = torch.compile(fn)
    for _ in range(6):
        x, y = torch.ones(3), torch.full((3,), 2.0)
        view = x[1:]
        assert compiled(x, y) is x
        assert bits(x) == [4.0] * 3 and bits(view) == [4.0] * 2 and x._version == 2 and y._version == 0
    assert compiled.report().replayed > 0


def test_arguments_that_share_storage_or_are_one() -> None:
    def fn(x: Any, y: Any) -> Any:
        x.add_(1)
        return y * 2

    compiled = torch.compile(fn)
    for _ in range(4):
        assert bits(compiled(torch.ones(3), torch.ones(3))) == [2.0] * 3
    x = torch.ones(3)
    assert bits(compiled(x, x)) == [4.0] * 3
    x = torch.ones(3)
    assert bits(compiled(x, x[:])) == [4.0] * 3
    x = torch.ones(3)
    assert bits(compiled(x[:], x)) == [4.0] * 3
    x = torch.ones(3)
    assert bits(compiled(x, x.detach())) == [4.0] * 3


def test_an_argument_that_the_function_refers_to_as_well() -> None:
    w = torch.ones(3)

    def fn(x: Any) -> Any:
        w.add_(1)
        return x * 2

    compiled = torch.compile(fn)
    for _ in range(4):
        assert bits(compiled(torch.ones(3))) == [2.0] * 3
    assert bits(w) == [5.0] * 3
    assert bits(compiled(w)) == [12.0] * 3


def test_slices_as_arguments() -> None:
    data = torch.arange(40.0)
    written = torch.zeros(4)

    def fn(x: Any, y: Any) -> Any:
        written.add_(1)
        return x * 2 + y[1:].sum(), x, written + y

    compiled = torch.compile(fn)
    for i in range(8):
        out, same, more = compiled(data[i:i + 4], data[2 * i:2 * i + 4])
        x, y = data[i:i + 4].clone(), data[2 * i:2 * i + 4].clone()
        assert bits(out) == bits(x * 2 + y[1:].sum()) and bits(more) == bits(y + i + 1)
        same.zero_()
        assert not data[i:i + 4].any()
        data[i:i + 4] = x
    assert compiled.report().replayed > 3, str(compiled.report())
    assert bits(compiled(written[:], data[:4])[2]) == bits(written + data[:4])
    before = bits(written)
    assert bits(compiled(data[:4], written[:])[2]) == [2 * (b + 1) for b in before]


def test_a_slice_that_is_written_to() -> None:
    def fn(x: Any) -> Any:
        x.add_(1)
        return x.detach()

    compiled = torch.compile(fn)
    data = torch.zeros(6)
    for _ in range(5):
        out = compiled(data[2:4])
        assert bits(out) == bits(data[2:4])
    assert bits(data) == [0.0, 0.0, 5.0, 5.0, 0.0, 0.0]


def test_results_of_every_structure() -> None:
    def fn(x: Any) -> Any:
        y = x + 1
        return {"a": [y, (x, y * 2)], "n": 3, "s": "text", "same": y, "none": None}

    compiled = torch.compile(fn)
    for k in range(5):
        x = torch.full((2,), float(k))
        out = compiled(x)
        assert out["a"][1][0] is x and out["same"] is out["a"][0]
        assert bits(out["a"][1][1]) == [2.0 * k + 2] * 2 and out["n"] == 3 and out["s"] == "text" and out["none"] is None
    assert compiled.report().replayed > 0
    assert compiled(x)["a"] is not out["a"]


def test_views_of_arguments_are_returned_as_views() -> None:
    def fn(x: Any) -> Any:
        return x.t(), x + 1

    compiled = torch.compile(fn)
    for _ in range(5):
        x = torch.arange(6.0).reshape(2, 3).clone()
        v, _ = compiled(x)
        v.zero_()
        assert bits(x) == [[0.0] * 3] * 2


def test_containers_that_a_call_fills_are_filled() -> None:
    log: list[Any] = []

    def fn(x: Any, out: list[Any]) -> Any:
        log.append(1)
        out.append(x)
        return x + 1

    compiled = torch.compile(fn)
    for i in range(6):
        mine: list[Any] = []
        compiled(torch.ones(2), mine)
        assert len(mine) == 1 and len(log) == i + 1
    assert compiled.report().path == "recording"


class Counter:
    n = 0


STEPS = 0


def test_python_side_effects_happen_every_time(capsys: Any) -> None:
    counter = Counter()

    def attribute(x: Any) -> Any:
        counter.n += 1
        return x + 1

    def of_class(x: Any) -> Any:
        Counter.n += 1
        return x + 1

    def on_itself(x: Any) -> Any:
        on_itself.n = getattr(on_itself, "n", 0) + 1  # type: ignore[attr-defined]
        return x + 1

    def of_global(x: Any) -> Any:
        global STEPS
        STEPS += 1
        return x + 1

    def printing(x: Any) -> Any:
        print("here")
        return x + 1

    x = torch.ones(2)
    for fn in (attribute, of_class, on_itself, of_global, printing):
        compiled = torch.compile(fn)
        for _ in range(6):
            assert bits(compiled(x)) == [2.0] * 2
        assert compiled.report().path == "recording", fn.__name__
    assert counter.n == 6 and Counter.n == 6 and STEPS == 6 and on_itself.n == 6  # type: ignore[attr-defined]
    assert capsys.readouterr().out.count("here") == 6


def test_hidden_state_of_the_outside_is_not_baked_in() -> None:
    import random
    import time

    source = iter(range(100))

    def drawn(x: Any) -> Any:
        return x + random.random()

    def timed(x: Any) -> Any:
        return x + time.perf_counter()

    def iterated(x: Any) -> Any:
        return x + next(source)

    x = torch.zeros(1, dtype=torch.float64)
    for fn in (drawn, timed, iterated):
        compiled = torch.compile(fn)
        assert len({compiled(x).item() for _ in range(8)}) == 8


def test_data_read_in_python_is_not_baked_in() -> None:
    def fn(x: Any, y: Any) -> Any:
        return y * x.item() if x.sum() > 0 else y - 1

    compiled = torch.compile(fn)
    for value in (1.0, 2.0, 3.0, -1.0, 4.0, 5.0):
        assert bits(compiled(torch.tensor([value]), torch.ones(2))) == [value if value > 0 else 0.0] * 2
    assert compiled.report().breaks


def test_random_numbers_go_on() -> None:
    def fn(x: Any) -> Any:
        return x + torch.rand(3) + torch.randn(3)

    compiled = torch.compile(fn)
    torch.manual_seed(5)
    want = [bits(fn(torch.zeros(3))) for _ in range(6)]
    torch.manual_seed(5)
    assert [bits(compiled(torch.zeros(3))) for _ in range(6)] == want
    assert compiled.report().replayed > 0


def test_a_label_out_of_range_raises_on_replay_too() -> None:
    model, x, y, loss_of = cnn()
    step = torch.compile(make_step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_of))
    for _ in range(WARM):
        step(x, y)
    assert step.report().replayed > 0
    before = [bits(p) for p in model.parameters()]
    bad = y.clone()
    bad[2] = 5
    with pytest.raises(IndexError, match="Target 5 is out of bounds"):
        step(x, bad)
    assert [bits(p) for p in model.parameters()] == before
    ignored = y.clone()
    ignored[2] = -100
    step(x, ignored)


def test_exceptions_leave_a_function_usable() -> None:
    def fn(x: Any, fail: bool) -> Any:
        y = x + 1
        if fail:
            raise KeyError("no")
        return y

    compiled = torch.compile(fn)
    for _ in range(4):
        with pytest.raises(KeyError):
            compiled(torch.ones(2), True)
        assert not torch.compiler.is_compiling()
        assert bits(compiled(torch.ones(2), False)) == [2.0, 2.0]


def test_the_graph_of_a_replayed_loss_is_freed() -> None:
    model, x, y, loss_of = mlp()
    step = torch.compile(make_step(model, torch.optim.SGD(model.parameters(), lr=0.1), loss_of))
    for _ in range(WARM + 1):
        loss = step(x, y)
        assert loss.requires_grad and loss.grad_fn is not None
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()
    assert step.report().replayed > 0


# Graph breaks and reports ---------------------------------------------------------------------------------------------------
def breaking(x: Any) -> Any:
    y = x * 2
    if y.sum() > 0:  # the line that breaks
        return y
    return -y


def test_graph_breaks_are_counted_with_their_line() -> None:
    compiled = torch.compile(breaking)
    for sign in (1.0, -1.0, 1.0, -1.0):
        assert bits(compiled(torch.full((2,), sign))) == [2.0, 2.0]
    line = breaking.__code__.co_firstlineno + 2
    (where, count), = compiled.report().breaks.items()
    assert where.startswith(f"{__file__}:{line}: ") and count == 4
    assert "graph break" in compiled.report().reason


def test_fullgraph_names_the_line() -> None:
    line = breaking.__code__.co_firstlineno + 2
    with pytest.raises(GraphBreak, match=f":{line}"):
        torch.compile(breaking, fullgraph=True)(torch.ones(2))
    assert not torch.compiler.is_compiling()
    assert bits(torch.compile(uses_global, fullgraph=True)(torch.ones(1))) == [3.0]


def test_one_program_a_call() -> None:
    from frankentorch.runtime.program import STATS

    model, x, y, loss_of = mlp()
    step = torch.compile(make_step(model, torch.optim.Adam(model.parameters()), loss_of))
    bits(x), bits(y)
    for _ in range(6):
        before = STATS["runs"]
        step(x, y)
        assert STATS["runs"] == before + 1


def test_a_thousand_steps_of_adam_build_nothing() -> None:
    from frankentorch.runtime.program import STATS

    model, x, y, loss_of = mlp()
    opt = torch.optim.Adam(model.parameters())
    step = torch.compile(make_step(model, opt, loss_of))
    for _ in range(3):
        step(x, y)
    before = STATS["builds"], STATS["plans_loaded"]
    for _ in range(1000):
        step(x, y)
    assert (STATS["builds"], STATS["plans_loaded"]) == before
    assert opt.state[model[0].weight]["step"].item() == 1003.0


def test_reset_disable_and_stances() -> None:
    compiled = warm(uses_global, torch.ones(2))
    torch.compiler.reset()
    assert compiled.report().calls == 0 and not counters
    assert bits(compiled(torch.ones(2))) == [3.0, 3.0]
    seen = []

    @torch.compiler.disable
    def outside(x: Any) -> Any:
        seen.append(torch.compiler.is_compiling())
        return x + 1

    def fn(x: Any) -> Any:
        seen.append(torch.compiler.is_compiling())
        return outside(x) * 2

    assert bits(torch.compile(fn)(torch.ones(1))) == [4.0] and seen == [True, False]
    with pytest.raises(GraphBreak, match="disabled"):
        torch.compile(fn, fullgraph=True)(torch.ones(1))
    with torch.compiler.set_stance("force_eager"):
        calls = compiled.report().calls
        compiled(torch.ones(2))
        assert compiled.report().calls == calls


def test_arguments_of_compile() -> None:
    assert torch.compile(uses_global, disable=True) is uses_global
    assert bits(torch.compile(fullgraph=True)(uses_global)(torch.ones(1))) == [3.0]
    with pytest.raises(RuntimeError, match="Unrecognized mode"):
        torch.compile(uses_global, mode="fastest")
    with pytest.raises(RuntimeError, match="Either mode or options"):
        torch.compile(uses_global, mode="default", options={})
    with pytest.raises(RuntimeError, match="Invalid backend"):
        torch.compile(uses_global, backend="nothing")


def test_a_compiled_module_looks_like_the_module() -> None:
    net = Net()
    compiled = torch.compile(net)
    assert isinstance(compiled, OptimizedModule) and compiled.gain == 1.0
    assert list(compiled.state_dict()) == ["_orig_mod." + k for k in net.state_dict()]
    assert [id(p) for p in compiled.parameters()] == [id(p) for p in net.parameters()]
    compiled.eval()
    assert not net.training and not compiled.training and not net.drop.training
    compiled.gain = 4.0
    assert net.gain == 4.0
    compiled.load_state_dict({k: torch.zeros_like(v) for k, v in compiled.state_dict().items()})
    assert not net.a.weight.any()
    assert "(_orig_mod): Net(" in repr(compiled)
    assert torch.compile(compiled) is compiled


def test_methods_and_nested_compiled_functions() -> None:
    class Model:
        def __init__(self) -> None:
            self.k = 2.0

        @torch.compile
        def scaled(self, x: Any) -> Any:
            return inner(x) * self.k

    @torch.compile
    def inner(x: Any) -> Any:
        return x + 1

    model = Model()
    for _ in range(WARM):
        assert bits(model.scaled(torch.ones(2))) == [4.0, 4.0]
    assert Model.scaled.report().replayed > 0, str(Model.scaled.report())
    model.k = 3.0
    assert bits(model.scaled(torch.ones(2))) == [6.0, 6.0]
    assert bits(Model().scaled(torch.ones(2))) == [4.0, 4.0]


def test_models_and_optimizers_as_arguments_and_steps_by_hand() -> None:
    def by_hand(model: Any, x: Any, y: Any) -> Any:
        for p in model.parameters():
            p.grad = None
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad
        return loss.detach()

    (model, x, y, _), (twin, *_) = mlp(), mlp()
    compiled = torch.compile(by_hand)
    for _ in range(8):
        assert bits(compiled(model, x, y)) == bits(by_hand(twin, x, y))
    assert [bits(p) for p in model.parameters()] == [bits(p) for p in twin.parameters()]
    assert compiled.report().replayed > 3, str(compiled.report())
    other, *_ = mlp(3)
    assert bits(compiled(other, x, y)) != bits(compiled(model, x, y))


def test_numbers_followed_through_python() -> None:
    from frankentorch.ops.tracked import Tracker

    tracker = Tracker()
    s = tracker.make(3.0, "s")
    value = (1 - 0.9 ** s) / -s + 2 * s
    assert eval(value.expr, {"s": 3.0}) == float.__mul__(value, 1.0) == (1 - 0.9 ** 3.0) / -3.0 + 2 * 3.0
    assert not tracker.conditions
    assert s > 2 and bool(s) and s != 1
    assert list(tracker.conditions) == ["(s > (2))", "(s != 0.0)", "(s != (1))"]
    assert math.sqrt(float(s)) == math.sqrt(3.0) and "s == 3.0" in tracker.conditions
