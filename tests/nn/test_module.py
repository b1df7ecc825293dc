"""nn.Module itself: registration, state dicts, hooks, conversion, iteration and printing, each script run on both libraries."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import pytest
from nn_oracle import check, normal

import frankentorch as ft

X = normal(3, 4)


def net(m: Any) -> Any:
    nn = m.nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU())])
            self.shared = self.first
            self.register_buffer("kept", m.ones(2))
            self.register_buffer("lost", m.zeros(2), persistent=False)
            self.register_parameter("absent", None)
            self.scale = nn.Parameter(m.ones(4))

        def forward(self, x: Any, twice: bool = False) -> Any:
            x = self.first(x) * self.scale
            for block in self.blocks:
                x = block(x)
            return x * 2 if twice else x

    return Net()


def names(error: Any) -> Any:
    try:
        return error()
    except Exception as e:
        return type(e).__name__, str(e).replace("frankentorch", "torch")


def test_names_and_iteration() -> None:
    def run(m: Any) -> Any:
        n = net(m)
        return [
            [k for k, _ in n.named_parameters()], [k for k, _ in n.named_parameters(remove_duplicate=False)],
            [k for k, _ in n.named_parameters(prefix="p", recurse=False)], [k for k, _ in n.named_buffers()],
            [k for k, _ in n.named_modules()], [k for k, _ in n.named_modules(remove_duplicate=False)],
            [k for k, _ in n.named_children()], len(list(n.modules())), len(list(n.children())), list(n.state_dict()),
            repr(n), n.get_submodule("blocks.1.0") is n.blocks[1][0], n.get_parameter("blocks.0.weight") is n.blocks[0].weight,
            n.get_buffer("kept") is n.kept, "first" in dir(n), n.training, n.eval().training, n.blocks[1][0].training,
        ]

    check(run)


@pytest.mark.parametrize("action", [
    "n.first = 3", "n.scale = 'x'", "n.kept = 3", "n.nothing", "n.register_parameter('a.b', None)", "n.register_parameter('', None)",
    "n.register_parameter('first', None)", "n.register_parameter(3, None)", "n.register_parameter('q', m.ones(2))", "n.register_buffer('a.b', None)",
    "n.register_buffer('q', 'text')", "n.register_buffer('scale', None)", "n.add_module('q', 3)", "n.add_module('a.b', None)", "n.add_module('', None)",
    "n.add_module('kept', None)", "n.add_module(3, None)", "n.get_submodule('blocks.7')", "n.get_submodule('kept.x')", "n.get_parameter('kept')",
    "n.get_parameter('first.nope')", "n.get_buffer('scale')", "n.set_submodule('', n.first)", "n.set_submodule('zz', n.first, strict=True)",
    "n.train('yes')", "n.to(m.int32)", "m.nn.Module(3)", "m.nn.Module(a=3)", "m.nn.Module()(1)", "n.load_state_dict(3)", "n.get_extra_state()",
    "n.register_parameter('q', m.nn.Parameter(m.ones(2)) * 2)", "n.blocks.extend(3)", "n.blocks[9]", "n.blocks[1] * 'a'", "n.blocks[1] * 0",
    "n.blocks[1] + 3", "n.blocks[1].insert(9, n.first)", "n.blocks[1][5]", "m.nn.ParameterList([])()", "m.nn.ParameterDict({3: 1})", "m.nn.ModuleDict([(1, 2, 3)])",
    "m.nn.ModuleDict(3)", "m.nn.ParameterList(3)", "del n.nope", "n.register_buffer('q', m.ones(1), persistent='x'); n.q = None; return_",
])
def test_refusals(action: str) -> None:
    def run(m: Any) -> Any:
        n = net(m)

        def act() -> Any:
            exec(action, {"n": n, "m": m, "return_": None})  # noqa: S102

        return names(act)

    check(run)


def test_assignment_moves_between_tables() -> None:
    def run(m: Any) -> Any:
        n = net(m)
        n.scale = None
        one = [k for k, _ in n.named_parameters()]
        n.kept = m.nn.Parameter(m.ones(3))
        n.first = m.nn.Identity()
        n.extra = m.nn.Buffer(m.ones(1), persistent=False)
        del n.blocks
        return one, list(n.state_dict()), [k for k, _ in n.named_buffers()], [k for k, _ in n.named_modules()], n.scale

    check(run)


def test_state_dict_errors_and_results() -> None:
    def run(m: Any) -> Any:
        n = net(m)
        good = n.state_dict()
        seen = [repr(n.load_state_dict(good)), dict(good._metadata)]
        bad = OrderedDict((k, v) for k, v in good.items() if k != "scale")
        bad["nope"], bad["blocks.0.zz"], bad["first.weight"], bad["kept"] = m.ones(1), m.ones(1), m.ones(2, 2), "text"
        seen.append(names(lambda: n.load_state_dict(bad)))
        soft = OrderedDict((k, v) for k, v in good.items() if k != "scale")
        soft["nope"] = m.ones(1)
        keys = n.load_state_dict(soft, strict=False)
        seen += [keys.missing_keys, keys.unexpected_keys, repr(keys)]
        adopted = m.full((4,), 7.0)
        n.load_state_dict({**good, "scale": adopted}, assign=True)
        seen += [n.scale.detach().clone(), type(n.scale).__name__, n.scale.requires_grad]
        kept = n.state_dict(keep_vars=True, prefix="p.")
        seen += [list(kept), kept["p.scale"] is n.scale, n.state_dict()["scale"].requires_grad]
        return seen

    check(run)


def test_extra_state_and_state_hooks() -> None:
    def run(m: Any) -> Any:
        log: list[Any] = []

        class Extra(m.nn.Linear):
            def get_extra_state(self) -> Any:
                return {"n": 3}

            def set_extra_state(self, state: Any) -> None:
                log.append(state)

        n = m.nn.Sequential(Extra(2, 2), m.nn.ReLU())
        n[0].register_state_dict_pre_hook(lambda mod, prefix, keep: log.append(("pre", prefix, keep)))
        n[0].register_state_dict_post_hook(lambda mod, d, prefix, meta: log.append(("post", prefix, dict(meta))))
        n._register_state_dict_hook(lambda mod, d, prefix, meta: log.append(("old", prefix)))
        n[0].register_load_state_dict_pre_hook(lambda mod, d, prefix, *rest: log.append(("load", prefix, len(rest))))
        n.register_load_state_dict_post_hook(lambda mod, keys: keys.missing_keys.clear())
        state = n.state_dict()
        log.append(list(state))
        n.load_state_dict(state)
        state.pop("0.weight")
        log.append(repr(n.load_state_dict(state)))
        log.append(names(lambda: m.nn.Linear(1, 1).load_state_dict({**m.nn.Linear(1, 1).state_dict(), "_extra_state": 1})))
        return log

    check(run)


def test_forward_hooks_in_order() -> None:
    def run(m: Any, x: Any) -> Any:
        n, log = net(m), []
        n.register_forward_pre_hook(lambda mod, a: log.append("pre1"))
        n.register_forward_pre_hook(lambda mod, a: log.append("pre2") or (a[0] * 2,), prepend=True)
        n.register_forward_pre_hook(lambda mod, a, k: (a, {"twice": True}), with_kwargs=True)
        handle = n.register_forward_hook(lambda mod, a, out: log.append("post1") or out + 1)
        n.register_forward_hook(lambda mod, a, k, out: log.append(("post2", dict(k))), with_kwargs=True, prepend=True)
        spy = m.nn.modules.module.register_module_forward_hook(lambda mod, a, out: log.append(type(mod).__name__))
        pre = m.nn.modules.module.register_module_forward_pre_hook(lambda mod, a: log.append("g"))
        one = n(x)
        spy.remove()
        pre.remove()
        handle.remove()
        with n.register_forward_hook(lambda mod, a, out: log.append("with")):
            n(x)
        two = n(x)
        return one, two, log

    check(run, X)


def test_always_call_and_pre_hook_errors() -> None:
    def run(m: Any, x: Any) -> Any:
        log: list[Any] = []

        class Bad(m.nn.Module):
            def forward(self, x: Any) -> Any:
                raise ValueError("no")

        n = Bad()
        n.register_forward_hook(lambda mod, a, out: log.append(("always", out)), always_call=True)
        n.register_forward_hook(lambda mod, a, out: log.append("never"))
        log.append(names(lambda: n(x)))
        k = m.nn.Identity()
        k.register_forward_pre_hook(lambda mod, a, kw: 3, with_kwargs=True)
        log.append(names(lambda: k(x)))
        return log

    check(run, X)


def test_backward_hooks() -> None:
    def run(m: Any, x: Any) -> Any:
        log: list[Any] = []
        n = m.nn.Sequential(m.nn.Linear(4, 3), m.nn.Tanh(), m.nn.Linear(3, 2))

        def note(tag: str) -> Any:
            return lambda mod, gi, go: log.append((tag, [None if g is None else g.clone() for g in gi], [g.clone() for g in go]))

        n[0].register_full_backward_hook(note("first"))
        n[1].register_full_backward_hook(lambda mod, gi, go: (gi[0] * 3,))
        n[2].register_full_backward_pre_hook(lambda mod, go: (go[0] * 2,))
        n[2].register_full_backward_hook(note("last"), prepend=True)
        spy = m.nn.modules.module.register_module_full_backward_hook(lambda mod, gi, go: log.append(type(mod).__name__))
        n(x).sum().backward()
        n(x.detach()).sum().backward()
        spy.remove()
        getattr(m.nn.modules, "_hooks", m.nn.modules.module)._global_is_full_backward_hook = None
        log.append(names(lambda: n[0].register_backward_hook(lambda *a: None)))
        return log, [p.grad for p in n.parameters()]

    check(run, X)


def test_registration_hooks() -> None:
    def run(m: Any) -> Any:
        log: list[Any] = []
        mod = m.nn.modules.module
        handles = [mod.register_module_parameter_registration_hook(lambda a, n, p: log.append(("p", n))),
                   mod.register_module_buffer_registration_hook(lambda a, n, p: log.append(("b", n))),
                   mod.register_module_module_registration_hook(lambda a, n, p: log.append(("m", n)))]
        net(m)
        for h in handles:
            h.remove()
        net(m)
        return log

    check(run)


@pytest.mark.parametrize("call", ["double()", "half()", "bfloat16()", "to(m.float64)", "to('cpu', m.float64)", "to(m.ones(1, dtype=m.float64))",
                                  "float()", "type(m.float64)", "cpu()", "requires_grad_(False)", "to(dtype=m.bfloat16)", "to(device='cpu')"])
def test_conversion_keeps_identity(call: str) -> None:
    def run(m: Any, x: Any) -> Any:
        n = net(m)
        n.register_buffer("count", m.tensor(3))
        n(x.detach()).sum().backward()
        before = list(n.parameters())
        same = eval(f"n.{call}", {"n": n, "m": m}) is n  # noqa: S307
        return [same, [a is b for a, b in zip(before, n.parameters(), strict=True)], [str(p.dtype) for p in n.parameters()],
                [str(p.grad.dtype) for p in n.parameters()], [p.requires_grad for p in n.parameters()], str(n.count.dtype), str(n.kept.dtype)]

    check(run, X)


def test_zero_grad_apply_and_freeze() -> None:
    def run(m: Any, x: Any) -> Any:
        n, order = net(m), []
        n(x).sum().backward()
        n.zero_grad(set_to_none=False)
        zero = [p.grad for p in n.parameters()]
        n.zero_grad()
        n.apply(lambda mod: order.append(type(mod).__name__))
        return zero, [p.grad for p in n.parameters()], order

    check(run, X)


def test_containers() -> None:
    def run(m: Any, x: Any) -> Any:
        nn = m.nn
        s = nn.Sequential(OrderedDict(a=nn.Linear(4, 4), b=nn.ReLU()))
        t = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        seen = [repr(s), repr(t[1:]), repr(s + t), len(t * 2), repr(t[-1])]
        t.insert(1, nn.Sigmoid()).append(nn.ELU()).extend([nn.GELU()])
        del t[0]
        t += s
        popped = t.pop(-1)
        seen += [repr(t), repr(popped), t.a is t[0] if hasattr(t, "a") else None, t(x)]
        ml = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)] + [nn.ReLU(), nn.ReLU()])
        ml.insert(1, nn.Tanh())
        ml[0] = nn.Tanh()
        seen += [repr(ml), repr(ml[1:3]), len(ml + [nn.ReLU()]), repr(ml.pop(1)), repr(nn.ModuleList())]
        md = nn.ModuleDict({"z": nn.ReLU(), "a": nn.Tanh()})
        md.update([["k", nn.ELU()]])
        seen += [repr(md), list(md), "a" in md, repr(md.pop("a")), len(md), list(md.keys())]
        md.clear()
        seen.append(repr(md))
        pl = nn.ParameterList([m.ones(2), nn.Parameter(m.zeros(3)), "text"])
        pl.append(m.ones(1))
        seen += [len(pl), [type(v).__name__ for v in pl], list(pl.state_dict()), len(pl[1:3]), repr(nn.ParameterList([m.ones(2)]))]
        pd = nn.ParameterDict({"b": m.ones(2), "a": nn.Parameter(m.zeros(3))})
        pd["n"] = 3
        seen += [list(pd), list(pd.state_dict()), pd.get("zz", 5), pd.setdefault("q", 1), list(reversed(pd)), list(pd | nn.ParameterDict({"x": 1})),
                 pd.popitem(), repr(pd)]
        return seen

    check(run, X)


def test_parameter_objects() -> None:
    def run(m: Any, x: Any) -> Any:
        p = m.nn.Parameter(x.detach())
        shared = p.data_ptr() == x.data_ptr()
        q = copy.deepcopy(p)
        r = pickle.loads(pickle.dumps(p))  # noqa: S301
        b = m.nn.Buffer(m.ones(2))
        return [repr(p), shared, type(q).__name__, q.data_ptr() != p.data_ptr(), type(r).__name__, r.requires_grad, isinstance(b, m.nn.Buffer),
                isinstance(p, m.Tensor), isinstance(x, m.nn.Parameter), p.is_leaf, type(p * 2).__name__, type(p.detach()).__name__,
                type(p.data).__name__, b.persistent, m.nn.Parameter().shape, m.nn.Parameter(m.ones(1), requires_grad=False).requires_grad]

    check(run, X)


def test_missing_names_are_named() -> None:
    with pytest.raises(NotImplementedError, match="qat"):
        _ = ft.nn.qat
    with pytest.raises(NotImplementedError, match="scaled_mm"):
        _ = ft.nn.functional.scaled_mm
    with pytest.raises(AttributeError, match="has no attribute 'Lineer'"):
        _ = ft.nn.Lineer


def test_data_parallel_and_attention_kernels() -> None:
    def run(m: Any, x: Any) -> Any:
        n = m.nn.DataParallel(m.nn.Linear(4, 2))
        with m.nn.attention.sdpa_kernel(m.nn.attention.SDPBackend.MATH):
            y = m.nn.functional.scaled_dot_product_attention(x, x, x)
        return repr(n), list(n.state_dict()), n(x), y, names(lambda: m.nn.attention.sdpa_kernel(3).__enter__())

    check(run, X)
