"""Rules that make tensors and views of them.

Enters: a `Grammar`. Leaves: source of one statement, or None.
"""

from __future__ import annotations

from .generate import Grammar, rule


@rule(5)
def make_literal(g: Grammar) -> str:
    dtype, shape = g.one(*g.palette), g.shape()
    grad = g.chance(0.5) and ("float" in dtype or "complex" in dtype)
    return f"{g.fresh()} = torch.tensor({g.literal(shape, dtype)}, dtype=torch.{dtype}{', requires_grad=True' if grad else ''})"


@rule(2)
def make_filled(g: Grammar) -> str:
    shape, dtype = g.shape(), g.one(*g.palette)
    n = g.fresh()
    return g.one(f"{n} = torch.zeros({shape}, dtype=torch.{dtype})", f"{n} = torch.ones({shape}, dtype=torch.{dtype})",
                 f"{n} = torch.full({shape}, {g.rng.randrange(4)}, dtype=torch.{dtype})", f"{n} = torch.arange({g.rng.randrange(1, 9)}.)",
                 f"{n} = torch.arange({g.rng.randrange(-3, 3)}, {g.rng.randrange(4, 12)}, {g.rng.randrange(1, 4)})", f"{n} = torch.eye({g.one(2, 3, 4)})",
                 f"{n} = torch.linspace(-1, 1, {g.rng.randrange(2, 9)})")


@rule(1)
def make_like(g: Grammar) -> str | None:
    x = g.pick()
    if x is None:
        return None
    f = g.one("zeros_like({x})", "ones_like({x})", "full_like({x}, 2)", "empty_like({x}).fill_(1)")
    return f"{g.fresh()} = torch.{f.format(x=x)}"


@rule(1)
def make_random(g: Grammar) -> str:
    n, shape = g.fresh(), g.shape()
    call = g.one(f"rand({shape})", f"randn({shape})", f"randint(0, 5, {shape})", f"randperm({g.rng.randrange(1, 9)})")
    return f"{n} = torch.{call}"


@rule(6)
def view_slice(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim > 0)
    if x is None:
        return None
    t = g.value(x)
    d = g.rng.randrange(t.ndim)
    size = t.shape[d]
    lo, hi = sorted((g.rng.randrange(size + 1), g.rng.randrange(size + 1)))
    text = g.one(f"{lo}:{hi}", f"{lo}:", f":{hi}", f"{lo}:{hi}:2", "::2", f"-{max(size - lo, 1)}:")
    return f"{g.fresh()} = {x}[{', '.join([':'] * d + [text])}]"


@rule(5)
def view_select(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim > 0 and t.numel() > 0)
    if x is None:
        return None
    t = g.value(x)
    d = g.rng.randrange(t.ndim)
    i = g.rng.randrange(-t.shape[d], t.shape[d])
    return f"{g.fresh()} = {x}" + g.one(f".select({d}, {i})", f"[{', '.join([':'] * d + [str(i)])}]", f"[{', '.join([':'] * d + [str(i)])}, None]",
                                        f".narrow({d}, {i % t.shape[d]}, 1)")


@rule(6)
def view_permute(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim > 1) or g.pick()
    if x is None:
        return None
    t = g.value(x)
    order = g.rng.sample(range(t.ndim), t.ndim)
    options = [f"permute({tuple(order)})", f"transpose({g.dim(t)}, {g.dim(t)})", f"movedim({g.dim(t)}, {g.dim(t)})"]
    if t.ndim <= 2:
        options.append("t()")
    if t.ndim == 2:
        options.append("T")
    if t.ndim >= 2:
        options.append("mT")
    return f"{g.fresh()} = {x}.{g.one(*options)}"


@rule(3)
def view_expand(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.numel() < 20)
    if x is None:
        return None
    t = g.value(x)
    shape = [n if n != 1 else g.one(1, 2, 3) for n in t.shape]
    if g.chance(0.4):
        shape = [g.one(1, 2), *shape]
    return f"{g.fresh()} = {x}." + g.one(f"expand({tuple(shape)})", f"broadcast_to({tuple(shape)})", f"expand({', '.join(['-1'] * t.ndim)})")


@rule(4)
def view_unit(g: Grammar) -> str | None:
    x = g.pick()
    if x is None:
        return None
    t = g.value(x)
    return f"{g.fresh()} = {x}" + g.one(f".unsqueeze({g.rng.randrange(-t.ndim - 1, t.ndim + 1)})", ".squeeze()", f".squeeze({g.dim(t)})", "[None]", "[..., None]",
                                        "[...]", ".flatten()", ".ravel()", ".view_as(" + x + ")", ".view(-1)")


@rule(5)
def view_shape(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.numel() > 0)
    if x is None:
        return None
    n = g.value(x).numel()
    options = [(n,), (1, n), (n, 1), (-1,), (-1, 1)]
    options += [(a, n // a) for a in range(2, n) if n % a == 0] + [(a, -1) for a in range(2, n) if n % a == 0]
    shape = g.one(*options)
    return f"{g.fresh()} = {x}.{g.one('view', 'reshape', 'reshape')}({shape})"


@rule(2)
def view_diagonal(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim >= 2)
    if x is None:
        return None
    t = g.value(x)
    a, b = g.rng.sample(range(t.ndim), 2)
    return f"{g.fresh()} = {x}.diagonal({g.one(0, 0, 1, -1)}, {a}, {b})"


@rule(2)
def view_unfold(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim > 0 and max(t.shape) >= 2)
    if x is None:
        return None
    t = g.value(x)
    d = max(range(t.ndim), key=lambda i: t.shape[i])
    return f"{g.fresh()} = {x}.unfold({d}, {g.rng.randrange(1, t.shape[d] + 1)}, {g.one(1, 2)})"


@rule(2)
def view_as_strided(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.numel() > 0 and not (t.requires_grad and t._is_view()))  # outside a view's own elements torch drops gradients
    if x is None:
        return None
    t = g.value(x)
    room = t.untyped_storage().nbytes() // t.element_size()
    start = g.rng.randrange(room)
    left = room - start
    n = g.rng.randrange(1, left + 1)
    shape, stride = g.one(((n,), (1,)), ((n, 1), (1, 1)), ((1, n), (n, 1)), ((max((left + 1) // 2, 1),), (2,)))
    if (shape[0] - 1) * stride[0] >= left:
        shape, stride = (n,), (1,)
    return f"{g.fresh()} = {x}.as_strided({shape}, {stride}, {start})"


@rule(3)
def view_parts(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim > 0 and min(t.shape) > 0)
    if x is None:
        return None
    t = g.value(x)
    d = g.rng.randrange(t.ndim)
    a, b = g.fresh(), g.fresh()
    if t.shape[d] < 2:
        return f"{a} = {x}.unbind({d})[0]"
    k = g.rng.randrange(1, t.shape[d])
    call = g.one(f"split([{k}, {t.shape[d] - k}], {d})", f"chunk(2, {d})", f"split({max((t.shape[d] + 1) // 2, 1)}, {d})", f"tensor_split(2, {d})")
    return f"{a}, {b} = {x}.{call}" if t.shape[d] >= 2 else f"{a} = {x}.unbind({d})[0]"


@rule(3)
def view_off_tape(g: Grammar) -> str | None:
    x = g.pick()
    if x is None:
        return None
    return f"{g.fresh()} = {x}" + g.one(".detach()", ".data", ".detach()[:]" if g.value(x).ndim else ".detach()", ".clone()", ".contiguous()",
                                        ".detach().clone()", ".detach().clone().requires_grad_()" if g.value(x).is_floating_point() else ".clone()")


@rule(1)
def view_under_no_grad(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim > 0 and t.shape[0] > 0)
    return None if x is None else f"with torch.no_grad():\n    {g.fresh()} = {x}[{g.one('0', ':1', '...', 'None')}]"


@rule(1)
def view_handle_inplace(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim == 2 and not t.requires_grad)
    return None if x is None else f"{x}.{g.one('t_()', 'transpose_(0, 1)', 'unsqueeze_(0)', 'squeeze_(0)')}"
