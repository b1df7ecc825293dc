"""The tape as a user meets it, against torch: backward and grad, hooks, custom functions, modes, checks of every row's gradient."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from parity import check, leaf, rand

import frankentorch as ft
from frankentorch.knobs import scoped
from frankentorch.ops.table import ROWS, Kind

X, Y = rand(3, 4), rand(3, 4, seed=1)


def _accumulate(t: Any, x: Any) -> Any:
    (x * x).sum().backward()
    first = x.grad.clone()
    g = x.grad
    (x * 3).sum().backward()
    return first, x.grad, x.grad is g


def _retain_graph(t: Any, x: Any) -> Any:
    y = (x ** 3).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


def _create_graph(t: Any, x: Any) -> Any:
    (g,) = t.autograd.grad((x ** 3).sum(), x, create_graph=True)
    (h,) = t.autograd.grad((g * g).sum(), x, create_graph=True)
    return g, h, g.requires_grad


def _third_order(t: Any, x: Any) -> Any:
    y = x.sin()
    for _ in range(3):
        (y,) = t.autograd.grad(y.sum(), x, create_graph=True)
    return y


def _several_outputs(t: Any, x: Any, y: Any) -> Any:
    return t.autograd.grad([(x * y).sum(), x.exp().sum()], [x, y], [t.tensor(2.0), t.tensor(3.0)])


def _unused(t: Any, x: Any, y: Any) -> Any:
    return t.autograd.grad((x * 2).sum(), [x, y], allow_unused=True), t.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)


def _inputs(t: Any, x: Any, y: Any) -> Any:
    (x * y).sum().backward(inputs=[x])
    return x.grad, y.grad is None


def _to_intermediate(t: Any, x: Any) -> Any:
    y = x * 2
    z = (y * y).sum()
    return t.autograd.grad(z, y)


def _non_scalar(t: Any, x: Any) -> Any:
    (x * x).backward(t.ones(3, 4) * 2)
    return x.grad


def _retain_grad(t: Any, x: Any) -> Any:
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    return y.grad, x.grad, y.retains_grad, x.retains_grad


def _batched(t: Any, x: Any) -> Any:
    y = x[0] * 2
    return t.autograd.grad(y, x, t.eye(4), is_grads_batched=True)


def _hooks_in_order(t: Any, x: Any) -> Any:
    seen: list[str] = []
    y = x * 2
    z = y.exp()
    x.register_hook(lambda g: seen.append("x"))
    y.register_hook(lambda g: seen.append("y1"))
    y.register_hook(lambda g: seen.append("y2"))
    z.register_hook(lambda g: seen.append("z"))
    x.register_post_accumulate_grad_hook(lambda p: seen.append(f"post {p.grad is not None}"))
    z.sum().backward()
    return seen, x.grad


def _hook_replaces(t: Any, x: Any) -> Any:
    y = x * 2
    handle = y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: g + 1)
    (y * y).sum().backward(retain_graph=True)
    first = x.grad.clone()
    handle.remove()
    x.grad = None
    (y * 1).sum().backward()
    return first, x.grad


def _node_hooks(t: Any, x: Any) -> Any:
    seen = []
    y = (x * 2).exp()
    y.grad_fn.register_prehook(lambda g: seen.append(("pre", len(g))))
    y.grad_fn.register_hook(lambda gi, go: seen.append(("post", len(gi), len(go))))
    y.sum().backward()
    return seen


def _graph_names(t: Any, x: Any) -> Any:
    y = ((x * 2 + 1).exp() @ t.ones(4, 2)).sum()
    names, node = [], y.grad_fn
    while node is not None and node.next_functions:
        names.append(node.name())
        node = next((n for n, _ in node.next_functions if n is not None), None)
    return names, str(type(node).__name__ if node is not None else None)


def _no_grad(t: Any, x: Any) -> Any:
    with t.no_grad():
        a = x * 2
        with t.enable_grad():
            b = x * 3

    @t.no_grad()
    def f() -> Any:
        return x * 4

    t.set_grad_enabled(False)
    c = x * 5
    t.set_grad_enabled(True)
    with t.set_grad_enabled(False):
        d = x + 1
    return a, b, f(), c, d, t.is_grad_enabled()


def _leaves(t: Any, x: Any) -> Any:
    y = x * 2
    z = y.detach().requires_grad_()
    w = t.ones(3, 4, requires_grad=True)
    return [a.is_leaf for a in (x, y, z, w)], [a.requires_grad for a in (x, y, z, w)], y.grad_fn is not None, x.grad_fn is None


def _grad_of_int_is_none(t: Any, x: Any) -> Any:
    y = (x > 0).float() * x
    i = x.argmax(1)
    return y, i, i.requires_grad, x.round(), x.floor()


def _square(t: Any) -> Any:
    class Square(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, scale: float) -> Any:
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x * x * scale

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * ctx.scale * x * g, None

    return Square


def _function(t: Any, x: Any) -> Any:
    y = _square(t).apply(x, 3.0)
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    return y.detach(), g.detach(), t.autograd.grad(g.sum(), x)[0], y.grad_fn.name()


def _function_setup(t: Any, x: Any, y: Any) -> Any:
    class Product(t.autograd.Function):
        @staticmethod
        def forward(a: Any, b: Any) -> Any:
            return a * b, a + b

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)
            ctx.seen = ctx.needs_input_grad

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            a, b = ctx.saved_tensors
            return g * b + h, g * a + h

    return Product.apply(x, y)


def _function_dirty(t: Any, x: Any) -> Any:
    class AddOne(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            a.add_(1)
            ctx.mark_dirty(a)
            return a

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 7

    y = x * 2
    z = AddOne.apply(y)
    return z, y, z is y


def _function_parts(t: Any, x: Any) -> Any:
    class Split(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            i = a.argmax(1)
            ctx.mark_non_differentiable(i)
            ctx.set_materialize_grads(False)
            return a * 2, i, a * 3

        @staticmethod
        def backward(ctx: Any, g: Any, gi: Any, h: Any) -> Any:
            return (g * 2 if g is not None else 0) + (h * 3 if h is not None else 0)

    a, i, b = Split.apply(x)
    (g,) = t.autograd.grad(b.sum(), x)
    return a, i, b, i.requires_grad, g


def _function_materialized(t: Any, x: Any) -> Any:
    class Two(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            return a * 2, a * 3

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            return g * 2 + h * 3

    return t.autograd.grad(Two.apply(x)[1].sum(), x)


def _once(t: Any, x: Any) -> Any:
    class Once(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            return a * 2

        @staticmethod
        @t.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    (g,) = t.autograd.grad(Once.apply(x).sum(), x, create_graph=True)
    (g * x).sum().backward()
    return t.autograd.grad(Once.apply(x * x).sum(), x)


def _once_twice(t: Any, x: Any) -> Any:
    class Once(t.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            return a * 2

        @staticmethod
        @t.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    y = Once.apply(x * x)
    (g,) = t.autograd.grad((y * y).sum(), x, create_graph=True)
    t.autograd.grad(g.sum(), x)


def _saved_hooks(t: Any, x: Any) -> Any:
    packed = []

    def pack(v: Any) -> Any:
        packed.append(tuple(v.shape))
        return v * 2

    with t.autograd.graph.saved_tensors_hooks(pack, lambda v: v / 2):
        y = x * x.exp()
    (g,) = t.autograd.grad(y.sum(), x)
    return g, len(packed) > 0


def _shared_subgraph(t: Any, x: Any) -> Any:
    y = x.sigmoid()
    z = y * y + y.log()
    return z.sum() + (y * z).mean()


def _many_paths(t: Any, x: Any) -> Any:
    total = x * 0
    for i in range(10):
        total = total + x[i % 3] * x * (i + 1)
    return total.sum()


def _data_does_not_count(t: Any, x: Any) -> Any:
    y = x * x
    x.data.mul_(2)
    y.sum().backward()
    return x.grad, x._version


def _grad_assigned(t: Any, x: Any) -> Any:
    x.grad = t.ones(3, 4)
    (x * 2).sum().backward()
    first = x.grad.clone()
    x.grad.zero_()
    x.grad = None
    return first, x.grad is None


def _half(t: Any, x: Any) -> Any:
    h = x.bfloat16()
    return (h * h).float().sum(), h.softmax(1), (h @ h.T).float().mean()


def _complex(t: Any, x: Any) -> Any:
    z = t.complex(x, x * 2)
    return (z * z.conj()).real.sum(), z.abs().sum(), z.angle().sum(), (z.exp() * 0.1).imag.sum()


def _anomaly(t: Any, x: Any) -> Any:
    with warnings.catch_warnings(), t.autograd.detect_anomaly():
        warnings.simplefilter("ignore")
        y = (x * 0).sqrt()
        (y * 0).sum().backward()


def _functional(t: Any, x: Any) -> Any:
    return t.autograd.functional.jacobian(lambda a: (a * a).sum(1), x), t.autograd.functional.hessian(lambda a: (a ** 3).sum(), x[0])


BEHAVIOURS = (_accumulate, _retain_graph, _create_graph, _third_order, _to_intermediate, _non_scalar, _retain_grad, _batched, _hooks_in_order, _hook_replaces,
              _node_hooks, _graph_names, _no_grad, _leaves, _grad_of_int_is_none, _function, _function_dirty, _function_parts, _function_materialized, _once,
              _once_twice, _saved_hooks, _shared_subgraph, _many_paths, _data_does_not_count, _grad_assigned, _half, _complex, _anomaly, _functional)
PAIRS = (_several_outputs, _unused, _inputs, _function_setup)


@pytest.mark.parametrize("fn", BEHAVIOURS, ids=lambda f: f.__name__.strip("_"))
def test_behaviour(fn: Any) -> None:
    check(fn, leaf(np.abs(X) + 0.1 if fn is _shared_subgraph else X), rtol=2e-2 if fn is _half else 1e-5)


@pytest.mark.parametrize("fn", PAIRS, ids=lambda f: f.__name__.strip("_"))
def test_behaviour_of_two(fn: Any) -> None:
    check(fn, leaf(X), leaf(Y), rtol=1e-5)


# Every row against finite differences -----------------------------------------------------------------------------------------
def _range_of(samples: Any) -> tuple[float, float]:
    if isinstance(samples, tuple) and len(samples) == 2 and all(isinstance(v, (int, float)) for v in samples):
        return float(samples[0]), float(samples[1])
    return -2.0, 2.0


POINTWISE = sorted(name for name, row in ROWS.items() if row.kind is Kind.POINTWISE and row.differentiable and row.function is not None
                   and name not in ("complex", "real", "imag", "where"))
# Steps whose gradient is zero almost everywhere; finite differences agree except at the steps.
NO_SECOND = ("digamma", "trigamma")  # polygamma(2, x) is not there yet, and says so
KINKS = {"abs": 0.3, "sgn": 0.3, "sign": 0.3, "relu": 0.3}


def _operands(row: Any, count: int) -> list[Any]:
    low, high = _range_of(row.samples)
    rng = np.random.default_rng(sum(map(ord, row.name)))
    out = []
    for k in range(count):
        a = rng.uniform(low, high, (4,)) + 0.037 * (k + 1)
        a = np.clip(a, low + 0.01 * (high - low), high - 0.01 * (high - low))
        out.append(ft.tensor(np.where(np.abs(a) < KINKS.get(row.name, 0.0), 0.5, a), dtype=ft.float64).requires_grad_())
    return out


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_row(name: str) -> None:
    row = ROWS[name]
    count = row.schema.split(" ->")[0].count("Tensor ")
    with scoped(interp=True):
        xs = _operands(row, count)
        if name == "trigamma":
            with pytest.raises(NotImplementedError, match="polygamma"):
                row.function(*xs).sum().backward()
            return
        assert ft.autograd.gradcheck(row.function, xs)
        if name not in NO_SECOND:
            assert ft.autograd.gradgradcheck(row.function, xs, atol=1e-4)


REDUCTIONS: dict[str, Any] = {
    "sum": lambda t, x: x.sum(1), "mean": lambda t, x: x.mean(0), "prod": lambda t, x: x.prod(1), "amax": lambda t, x: x.amax(1), "amin": lambda t, x: x.amin(0),
    "max": lambda t, x: x.max(1)[0], "logsumexp": lambda t, x: x.logsumexp(0), "std": lambda t, x: x.std(1), "var": lambda t, x: x.var(), "norm": lambda t, x: x.norm(),
    "norm 3": lambda t, x: t.linalg.vector_norm(x, 3, 1), "cumsum": lambda t, x: x.cumsum(1), "cumprod": lambda t, x: x.cumprod(1),
    "logcumsumexp": lambda t, x: x.logcumsumexp(1), "softmax": lambda t, x: x.softmax(1), "log_softmax": lambda t, x: x.log_softmax(0),
    "matmul": lambda t, x: x @ x.T, "median": lambda t, x: x.median(1)[0], "sort": lambda t, x: x.sort(1)[0], "topk": lambda t, x: x.topk(2, 1)[0],
    "gather": lambda t, x: x.gather(1, t.tensor([[0, 0], [2, 1], [1, 1]])), "cross": lambda t, x: t.linalg.cross(x[:, :3], x[:, 1:]),
    "layer_norm": lambda t, x: t.nn.functional.layer_norm(x, (4,)), "cross_entropy": lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 1, 3])),
    "conv1d": lambda t, x: t.nn.functional.conv1d(x[None], x.reshape(2, 3, 2)), "multi_dot": lambda t, x: t.linalg.multi_dot([x, x.T, x]),
    "matrix_power": lambda t, x: t.linalg.matrix_power(x @ x.T, 3), "as_strided": lambda t, x: (x * 1).as_strided((3, 3), (2, 1)),
    "index_put": lambda t, x: (x * 1).index_put((t.tensor([0, 1]),), x[1:] * 2), "where": lambda t, x: t.where(x > 0, x * x, x.exp()),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_gradcheck(name: str) -> None:
    fn = REDUCTIONS[name]
    with scoped(interp=True):
        x = ft.tensor(rand(3, 4, seed=3, dtype="float64"), requires_grad=True)
        assert ft.autograd.gradcheck(lambda a: fn(ft, a), (x,))
        if name not in ("median", "sort", "topk", "max", "amax", "amin"):
            assert ft.autograd.gradgradcheck(lambda a: fn(ft, a), (x,), atol=1e-4)
    check(fn, leaf(rand(3, 4, seed=3)), rtol=2e-5)


def test_gradcheck_notices_a_wrong_gradient() -> None:
    class Wrong(ft.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            return a * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    x = ft.ones(2, dtype=ft.float64, requires_grad=True)
    with pytest.raises(ft.autograd.GradcheckError):
        ft.autograd.gradcheck(Wrong.apply, (x,))
    assert not ft.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)
    assert torch.autograd.gradcheck(lambda a: a * 2, (torch.ones(2, dtype=torch.float64, requires_grad=True),))


def messages_of_stale_values(t: Any) -> list[str]:
    """What torch and FrankenTorch say where a saved value was written since."""
    def slices(x: Any) -> Any:
        y = x * 1
        y[0] = 5
        return y

    said = []
    for make in (lambda x: x * 1, lambda x: x.clone().copy_(x * 2), slices, lambda x: t.softmax(x, 0), lambda x: x):
        x = t.ones(2, requires_grad=True)
        y = make(x)
        z = y * y
        with t.no_grad():
            y.add_(1)
        with pytest.raises(RuntimeError) as caught:
            z.sum().backward()
        said.append(str(caught.value))
    return said


def test_messages_of_stale_values() -> None:
    assert messages_of_stale_values(ft) == messages_of_stale_values(torch)


def test_a_write_through_a_view_is_a_copy_of_slices() -> None:
    def printed(t: Any) -> list[str]:
        out = []
        for write in (lambda y: y[0].fill_(5), lambda y: y[:].mul_(3), lambda y: y.view(2, 1).exp_(), lambda y: y.copy_(t.zeros(2))):
            y = t.ones(2, requires_grad=True) * 1
            write(y)
            out += [repr(y), y.grad_fn.name(), repr(y.grad_fn).split()[0]]
        return out

    assert printed(ft) == printed(torch)


@pytest.mark.filterwarnings("ignore:Anomaly")
def test_anomaly_mode_without_the_check_for_nan() -> None:
    def run(t: Any, **kwargs: Any) -> list[float]:
        x = t.tensor([0.0], requires_grad=True)
        with t.autograd.detect_anomaly(**kwargs):
            (x.sqrt() * 0).sum().backward()
        with t.autograd.set_detect_anomaly(True, **kwargs):
            (x.sqrt() * 0).sum().backward()
        return x.grad.isnan().tolist()

    assert run(ft, check_nan=False) == run(torch, check_nan=False) == [True]
    with pytest.raises(RuntimeError, match="returned nan values"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(ft)


def test_in_place_writes_leave_the_same_tape_in_every_mode() -> None:
    """Whether the result was run before it was written does not show: no node of its own, the same gradients to the bit."""
    found = []
    for eager in (False, True):
        with scoped(eager=eager):
            x = ft.tensor([[1.25, 0.75, 0.875], [-1.625, -1.25, -1.75], [-0.375, 2.0, 0.375]], requires_grad=True)
            y = ft.nn.functional.layer_norm(x, (3,))
            y.sigmoid_()
            (g,) = ft.autograd.grad((y * y).sum(), [x], create_graph=True)
            g.square().sum().backward()
            found.append((str(y).split("grad_fn")[1], x.grad.numpy().tobytes()))
    assert found[0] == found[1]
