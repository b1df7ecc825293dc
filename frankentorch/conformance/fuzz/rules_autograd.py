"""Rules of the tape: gradients partway, accumulation, second order, hooks, leaves made and unmade.

Enters: a `Grammar`. Leaves: source of one statement, or None.
"""

from __future__ import annotations

from typing import Any

from .generate import Grammar, rule


def root(g: Grammar) -> str | None:
    return g.floats(lambda t: t.requires_grad and not t.is_leaf)


def has_views(g: Grammar, t: Any) -> bool:
    """Whether another name views `t`: torch then says that the view requires grad too, though no gradient reaches it."""
    return any(u._base is t for _, u in g.session.variables() if isinstance(u, g.torch.Tensor))


def leaf(g: Grammar) -> str | None:
    return g.floats(lambda t: t.requires_grad and t.is_leaf)


@rule(5)
def backward(g: Grammar) -> str | None:
    y = root(g)
    if y is None:
        return None
    keep = g.one("", "retain_graph=True", "retain_graph=True")
    return g.one(f"{y}.sum().backward({keep})", f"({y} * {y}).sum().backward({keep})", f"{y}.backward(torch.ones_like({y}){', ' if keep else ''}{keep})",
                 f"{y}.backward({y}.detach() * 0.5{', ' if keep else ''}{keep})", f"{y}.mean().backward({keep})")


@rule(4)
def grad_of(g: Grammar) -> str | None:
    y = root(g)
    x = g.floats(lambda t: t.requires_grad)
    if y is None or x is None:
        return None
    a = g.fresh()
    keep = g.one("", ", retain_graph=True", ", create_graph=True", ", create_graph=True")
    return (f"{a}, = torch.autograd.grad({g.one(y + '.sum()', '(' + y + ' * ' + y + ').sum()')}, [{x}]{keep}, allow_unused=True)\n"
            f"{a} = torch.zeros(1) if {a} is None else {a}.clone(memory_format=torch.contiguous_format)")


@rule(2)
def second_order(g: Grammar) -> str | None:
    y, x = root(g), leaf(g)
    if y is None or x is None:
        return None
    a = g.fresh()
    return (f"{a}, = torch.autograd.grad(({y} * {y}).sum(), [{x}], create_graph=True, allow_unused=True)\nif {a} is None: {a} = torch.zeros(1)\n"
            f"if {a}.requires_grad: {a}.square().sum().backward()")


@rule(1)
def create_graph_backward(g: Grammar) -> str | None:
    y = root(g)
    return None if y is None else f"{y}.sum().backward(create_graph=True)"


@rule(2)
def double_use(g: Grammar) -> str | None:
    y = root(g)
    return None if y is None else f"{y}.sum().backward()\n{y}.sum().backward()"


@rule(3)
def hook(g: Grammar) -> str | None:
    y = g.floats(lambda t: t.requires_grad and not t._is_view())  # torch itself faults on some views written under no_grad
    if y is None:
        return None
    body = g.one("g * 2", "out('hook', tuple(g.shape))", "out('hook', g)", "g.clone().zero_()", "g.neg()", "None")
    return f"{y}.register_hook(lambda g: {body})"


@rule(2)
def retain(g: Grammar) -> str | None:
    y = root(g)
    return None if y is None else f"{y}.retain_grad()"


@rule(1)
def post_accumulate(g: Grammar) -> str | None:
    x = leaf(g)
    return None if x is None else f"{x}.register_post_accumulate_grad_hook(lambda p: out('post', {g.one('p.grad', 'tuple(p.grad.shape)', 'p.is_leaf')}))"


@rule(3)
def step(g: Grammar) -> str | None:
    x = g.floats(lambda t: t.is_leaf and t.grad is not None)
    if x is None:
        return None
    return g.one(f"with torch.no_grad():\n    {x} -= 0.1 * {x}.grad", f"{x}.grad.zero_()", f"{x}.grad = None", f"{x}.data.add_({x}.grad, alpha=-0.5)",
                 f"{x}.grad.mul_(0.5)", f"{g.fresh()} = {x}.grad", f"{g.fresh()} = {x}.grad.detach().clone()", f"{x}.grad = {x}.grad.clone()",
                 f"with torch.no_grad():\n    {x}.add_({x}.grad, alpha=-0.25)\n    {x}.grad.zero_()")


@rule(3)
def toggle(g: Grammar) -> str | None:
    x = g.floats(lambda t: t.is_leaf and not t.requires_grad and not has_views(g, t) and not t._is_view())
    y = g.floats(lambda t: t.requires_grad)
    if y is not None and g.chance(0.15):
        return f"{y}.requires_grad_(False)"
    if y is not None and g.chance(0.1):
        return f"{y}.detach_()"
    return None if x is None else f"{x}.requires_grad_()"


@rule(2)
def no_grad_math(g: Grammar) -> str | None:
    y = g.floats()
    if y is None:
        return None
    return f"with torch.{g.one('no_grad', 'no_grad', 'enable_grad')}():\n    {g.fresh()} = {y}.{g.one('mul(2)', 'tanh()', 'sum()', 'clone()', 'view(-1)')}"


@rule(2)
def look_at_tape(g: Grammar) -> str | None:
    y = root(g)
    return None if y is None else f"out({y}.grad_fn is None, {y}.is_leaf, {y}.requires_grad, {y}._is_view())" if g.chance(0.3) else f"out({y}.is_leaf, {y}.requires_grad)"
