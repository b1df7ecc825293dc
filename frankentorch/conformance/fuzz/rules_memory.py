"""Rules that write: in-place calls on bases and views, assignment through indices, numpy writes through shared memory, deletions.

Enters: a `Grammar`. Leaves: source of one statement, or None.
"""

from __future__ import annotations

from typing import Any

from .generate import Grammar, overlaps, rule, self_overlapping


def target(g: Grammar, floating: bool = False) -> str | None:
    """A tensor to write to: mostly one that torch allows writing to, never one whose elements overlap."""
    lax = g.chance(0.05)

    def fits(t: Any) -> bool:
        if floating and not t.is_floating_point():
            return False
        return not self_overlapping(t) and (lax or not (t.requires_grad and t.is_leaf))

    return g.pick(fits)


def guarded(g: Grammar, code: str) -> str:
    """Sometimes under no_grad."""
    return f"with torch.no_grad():\n    {code}" if g.chance(0.2) else code


UNARY = ("neg_()", "tanh_()", "sigmoid_()", "sin_()", "clamp_(-1, 1)", "abs_()", "relu_()", "mul_({k})", "add_({k})", "zero_()", "fill_({i})", "sub_(0.5)",
         "div_(2)", "square_()", "cos_()", "masked_fill_({x} > 0, {k})", "clamp_(min=0)", "fill_({x}.detach().sum())", "round_()", "floor_()", "erf_()", "tril_()")


@rule(9)
def write_unary(g: Grammar) -> str | None:
    x = target(g, floating=True)
    if x is None:
        return None
    return guarded(g, f"{x}." + g.one(*UNARY).format(k=g.number(), i=g.rng.randrange(4), x=x))


@rule(9)
def write_binary(g: Grammar) -> str | None:
    x = target(g)
    if x is None:
        return None
    t = g.value(x)
    y = g.like(t)
    if t.dtype == g.torch.bool:
        return f"{x}." + g.one("logical_and_({y})", "logical_or_({y})", "copy_({y})", "logical_not_()").format(y=y)
    forms = ["{x}.add_({y})", "{x}.mul_({y})", "{x}.sub_({y})", "{x}.copy_({y})", "{x} += {y}", "{x} *= {y}", "{x} -= {y}", "{x}.add_({y}, alpha=2)", "{x}[...] = {y}",
             "{x}[:] = {y}" if t.ndim else "{x}.copy_({y})"]
    if t.is_floating_point() and y != x:
        forms += ["{x}.lerp_({y}.to({x}.dtype), 0.5)", "{x}.addcmul_({y}, {y}, value=0.5)", "{x}.mul_({y}).add_({y})"]
    return guarded(g, g.one(*forms).format(x=x, y=y))


@rule(7)
def write_part(g: Grammar) -> str | None:
    x = target(g)
    if x is None or not g.value(x).ndim or not g.value(x).numel():
        return None
    t = g.value(x)
    i = g.rng.randrange(-t.shape[0], t.shape[0])
    v = g.rng.randrange(4)
    d = g.rng.randrange(t.ndim)
    rows = g.rng.sample(range(t.shape[0]), g.rng.randrange(1, t.shape[0] + 1))
    row = g.like(t, tuple(t.shape[1:]))
    lead = ":, " * d
    forms = [f"{x}[{i}] = {v}", f"{x}[{lead}::2] = {v}", f"{x}[{x} > 0] = {v}", f"{x}[torch.tensor({rows})] = {v}", f"{x}[{i}] = {row}", f"{x}[{rows}] = {row}",
             f"{x}.index_fill_({d}, torch.tensor([0]), {v})", f"{x}[{x} == 0] = {v}", f"{x}[1:] = {v}", f"{x}[{i}].fill_({v})", f"{x}[..., -1] = {v}"]
    if t.dtype != g.torch.bool:
        forms += [f"{x}[{i}] += {v}", f"{x}[..., 0] *= 2", f"{x}[torch.tensor({rows})] += 1", f"{x}.select({d}, 0).add_({v})", f"{x}.transpose(0, -1)[0] = {v}",
                  f"{x}.index_add_(0, torch.tensor({rows}), {x}.detach()[{rows}].clone())", f"{x}.scatter_(0, torch.zeros_like({x}, dtype=torch.int64)[:1], {v})",
                  f"{x}.view(-1)[0] = {v}", f"{x}.flatten()[0] = {v}", f"{x}.masked_scatter_({x} > 0, torch.ones({t.numel()}, dtype={x}.dtype))",
                  f"{x}.index_copy_(0, torch.tensor([0]), {x}.detach()[-1:].clone())", f"{x}.index_put_((torch.tensor({rows}),), torch.ones((), dtype={x}.dtype))"]
    return guarded(g, g.one(*forms))


@rule(2)
def write_detached(g: Grammar) -> str | None:
    x = g.pick(lambda t: not self_overlapping(t) and t.is_floating_point() and (not t.requires_grad or g.chance(0.1)))
    if x is None:
        return None
    return f"{x}." + g.one("data.mul_(0.5)", "data.add_(1)", "detach().mul_(0.5)", "detach().zero_()", "data[...] = 0.25", "data.fill_(1)", "detach().neg_()")


@rule(1)
def write_random(g: Grammar) -> str | None:
    x = g.floats(lambda t: not t.requires_grad and not self_overlapping(t) and t.dtype in (g.torch.float32, g.torch.float64))
    return None if x is None else f"{x}.{g.one('uniform_()', 'normal_()', 'bernoulli_(0.5)', 'uniform_(-1, 1)', 'random_(0, 5)')}"


@rule(2)
def write_overlapping(g: Grammar) -> str | None:
    """What torch refuses: an operand that overlaps its target in another order, or a target that overlaps itself."""
    x = g.pick(lambda t: t.ndim == 2 and t.shape[0] == t.shape[1] > 1 and t.is_contiguous() and not t.requires_grad)
    y = g.pick(lambda t: any(s == 0 and n > 1 for s, n in zip(t.stride(), t.shape)) and not t.requires_grad)
    if y is not None and g.chance(0.5):
        return f"{y}.{g.one('add_(1)', 'fill_(0)', 'zero_()', 'copy_(' + y + '.clone())', 'mul_(2)')}"
    return None if x is None else f"{x}.add_({x}.t())"


@rule(1)
def swap_data(g: Grammar) -> str | None:
    x = g.floats(lambda t: t.is_leaf and not t.requires_grad)
    if x is None:
        return None
    t = g.value(x)
    y = g.floats(lambda u: u.dtype == t.dtype and u.shape == t.shape and not overlaps(u, t) and u is not t)
    return None if y is None else f"{x}.data = {y}.detach(){g.one('', '.clone()')}"


@rule(3)
def numpy_share(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.dtype != g.torch.bfloat16 and not t.is_complex())
    if x is None:
        return None
    t = g.value(x)
    if g.chance(0.5):
        return f"{g.fresh('n')} = {x}{'.detach()' if t.requires_grad else g.one('', '.detach()')}.numpy()"
    a, b = g.fresh("n"), g.fresh()
    dtype = g.one(*[p for p in g.palette if p not in ("bfloat16", "bool") and "complex" not in p] or ["float32"])
    shape = g.one((3,), (2, 3), (4,), (2, 2), (6,))
    make = f"np.array({g.literal(shape, dtype)}, dtype=np.{dtype})"
    return f"{a} = {make}\n{b} = torch.{g.one('from_numpy', 'as_tensor', 'from_numpy')}({a}{g.one('', '', '.T', '[::2]')})"


@rule(4)
def numpy_write(g: Grammar) -> str | None:
    arrays = g.arrays()
    if not arrays:
        return None
    n = g.one(*arrays)
    a = g.value(n)
    forms = [f"{n}[...] = {g.rng.randrange(3)}", f"{n}[...] = {n} * 0 + 1"]
    if a.ndim and a.shape[0]:
        forms += [f"{n}[0] = {g.rng.randrange(3)}", f"{n}[-1:] = 2"]
    if a.dtype != bool:
        forms += [f"np.multiply({n}, 2, out={n}, casting='unsafe')", f"np.add({n}, 1, out={n}, casting='unsafe')"]
    return g.one(*forms)


@rule(3)
def delete(g: Grammar) -> str | None:
    names = [n for n, _ in g.session.variables()]
    return f"del {g.one(*names)}" if len(names) > 4 else None


@rule(3)
def observe(g: Grammar) -> str | None:
    x = g.pick()
    if x is None:
        return None
    t = g.value(x)
    forms = [f"out({x})", f"out({x}.tolist())", f"out({x}.sum().item())", f"out(bool(({x} > 0).any()))", f"out({x}.shape, {x}.is_contiguous())",
             f"out({x}.data_ptr() % {x}.element_size())", f"out(len({x}.tolist()))" if t.ndim else f"out({x}.item())"]
    if not t.is_complex() and t.numel() < 8 and not t.requires_grad:
        forms.append(f"out(repr({x}))")
    return g.one(*forms)


@rule(1)
def branch(g: Grammar) -> str | None:
    x = g.floats(lambda t: not t.requires_grad and not self_overlapping(t))
    return None if x is None else f"if {x}.detach().sum() > 0.3:\n    {x}.mul_(-1)\nelse:\n    {x}.add_(0.5)"


BAD = ("{x} + torch.ones(17, 13)", "{x}.view(7919)", "{x}.reshape(-1, 7919)", "{x}.sum(9)", "{x}[99, 99, 99, 99, 99]", "{x}.transpose(0, 8)", "{x}.add_(torch.ones(11, 7, 5))",
       "{x}.permute(0, 0, 0, 0, 0)", "torch.cat([{x}, torch.ones(1, 1, 1, 1, 1, 1)])", "{x} @ torch.ones(97, 2)", "{x}.expand(0)", "{x}.select(7, 0)", "{x}[1000]",
       "{x}.unsqueeze(9)", "{x}.copy_(torch.ones(13, 11))", "{x}.item() if {x}.numel() != 1 else 0 / 0", "{x}[torch.tensor([1000])]", "{x}['a']",
       "{x}.fill_(torch.ones(2))", "{x}.backward(torch.ones(7919))", "{x}.nothing()",
       "{x}[0:1] = torch.ones(9, 9, 9, 9)", "bool(torch.ones(2))", "{x}.as_strided((1000,), (1000,))", "torch.stack([{x}, torch.ones(19)])", "{x}.squeeze(11)",
       "{x}.narrow(0, 5000, 1)", "{x}.mul_(torch.ones(3, 5, 7, 9))", "{x}.diagonal(0, 0, 0)", "{x}.softmax(9)")


@rule(3)
def bad_call(g: Grammar) -> str | None:
    x = g.pick()
    return None if x is None else g.one(*BAD).format(x=x)
