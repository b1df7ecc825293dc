"""Rules that compute: pointwise math, comparisons, reductions, products, joins, indexing reads.

Enters: a `Grammar`. Leaves: source of one statement, or None.
"""

from __future__ import annotations

from .generate import Grammar, broadcasts, overlaps, rule, self_overlapping

UNARY = ("neg()", "abs()", "tanh()", "sigmoid()", "sin()", "cos()", "relu()", "square()", "atan()", "erf()", "clamp(-1, 1)", "clamp(min=0.5)",
         "clamp(min=-2, max=2).exp()", "abs().sqrt()", "abs().add(0.5).log()", "abs().add(0.5).rsqrt()", "sign()", "floor()", "round()", "trunc()",
         "add(3.0).reciprocal()", "exp2().clamp(max=4)", "clamp(-2, 2).expm1()", "abs().log1p()", "softmax({d})", "log_softmax({d})", "pow(2)",
         "clamp(0.5, 2).pow(1.5)", "frac()", "positive()", "sinh().clamp(-3, 3)", "logit(eps=0.1)", "nan_to_num()")


@rule(10)
def unary(g: Grammar) -> str | None:
    x = g.floats()
    if x is None:
        return None
    t = g.value(x)
    return f"{g.fresh()} = {x}.{g.one(*UNARY).format(d=g.dim(t))}"


@rule(2)
def functional(g: Grammar) -> str | None:
    x = g.floats(lambda t: t.ndim > 0)
    if x is None:
        return None
    name = g.one("gelu", "silu", "elu", "leaky_relu", "softplus", "hardtanh", "relu6", "logsigmoid", "mish", "softsign", "hardswish")
    return f"{g.fresh()} = torch.nn.functional.{name}({x})"


@rule(10)
def binary(g: Grammar) -> str | None:
    x = g.pick()
    if x is None:
        return None
    t = g.value(x)
    y = g.pick(lambda u: broadcasts(u.shape, t.shape) or broadcasts(t.shape, u.shape)) or x
    n = g.fresh()
    ops = ["{x} + {y}", "{x} - {y}", "{x} * {y}", "{x} * {k}", "{x} + {k}", "{k} - {x}", "torch.maximum({x}, {y})", "torch.minimum({x}, {y})",
           "{x} / ({y}.abs() + 1)", "torch.add({x}, {y}, alpha=2)", "torch.where({x} > 0, {x}, {y})", "{x} / 2", "torch.lerp({x}, {y}, 0.25)",
           "torch.addcmul({x}, {y}, {y}, value=0.5)", "torch.atan2({x}, {y}.abs() + 1)", "torch.hypot({x}, {y} + 3)", "{x}.div(4, rounding_mode='floor')",
           "torch.fmod({x}, 2)", "torch.remainder({x}, 3)", "{x}.detach() // 2", "torch.rsub({x}, {y})", "torch.where({y} > {x}, {k}, {x})"]
    code = g.one(*ops).format(x=x, y=y, k=g.number())
    return f"{n} = {code}"


@rule(3)
def comparison(g: Grammar) -> str | None:
    x = g.pick()
    if x is None:
        return None
    t = g.value(x)
    y = g.pick(lambda u: broadcasts(u.shape, t.shape)) or x
    return f"{g.fresh()} = {x} " + g.one("<", ">", "==", "!=", "<=", ">=") + " " + g.one(y, y, "0", "0.5")


@rule(8)
def reduction(g: Grammar) -> str | None:
    x = g.floats(lambda t: t.numel() > 0) or g.pick(lambda t: t.numel() > 0)
    if x is None:
        return None
    t = g.value(x)
    d = g.dim(t)
    keep = g.one("", ", keepdim=True")
    f = g.one("sum()", "mean()", f"sum({d}{keep})", f"mean({d}{keep})", f"amax({d}{keep})", f"amin({d}{keep})", f"max({d}{keep})[0]", f"min({d}{keep}).values",
              "max()", "min()", f"var({d}{keep})" if t.ndim and t.shape[d] > 1 else "sum()", f"std({d}, correction=0{keep})", f"prod({d})", f"cumsum({d})",
              f"logsumexp({d})", "norm()", f"argmax({d})", f"any({d})", "all()", f"sort({d})[0]", f"cumprod({d})", "count_nonzero()", f"topk(1, {d})[0]",
              f"norm(dim={d})", f"median({d}).values", f"flip({d})", f"roll(1, {d})")
    return f"{g.fresh()} = {x}.{f}"


@rule(5)
def product(g: Grammar) -> str | None:
    x = g.floats(lambda t: 1 <= t.ndim <= 3 and t.numel() > 0)
    if x is None:
        return None
    t = g.value(x)
    y = g.floats(lambda u: u.dtype == t.dtype and 1 <= u.ndim <= 3 and (u.shape[-2] if u.ndim > 1 else u.shape[0]) == t.shape[-1]) or f"{x}.mT"
    if y.endswith("mT") and t.ndim == 1:
        y = x
    forms = ["{x} @ {y}", "torch.matmul({x}, {y})", "({x} @ {y}).tanh()"]
    if t.ndim == 2 and not y.endswith("mT") and g.value(y).ndim == 2:
        forms += ["{x}.mm({y})", "torch.einsum('ij,jk->ik', {x}, {y})", "torch.nn.functional.linear({x}, {y}.t())"]
    if t.ndim == 2:
        forms.append("torch.addmm(torch.ones(1, dtype={x}.dtype), {x}, {x}.t(), beta=0.5)")
    if t.ndim == 1:
        forms += ["torch.outer({x}, {x})", "torch.dot({x}, {x})"]
    return f"{g.fresh()} = {g.one(*forms).format(x=x, y=y)}"


@rule(4)
def join(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim > 0)
    if x is None:
        return None
    t = g.value(x)
    y = g.pick(lambda u: u.shape == t.shape) or x
    d = g.dim(t)
    return f"{g.fresh()} = " + g.one(f"torch.cat([{x}, {y}], {d})", f"torch.stack([{x}, {y}], {d})", f"torch.cat(({x}, {x}[:1]), 0)", f"torch.stack(({x}, {y}))",
                                     f"torch.cat([{y}, {x}, {y}], {d})", f"torch.hstack(({x}, {y}))", f"{x}.repeat({', '.join(['2'] * t.ndim)})",
                                     f"{x}.tile((2,))", f"torch.tril({x}[None])")


@rule(5)
def gather(g: Grammar) -> str | None:
    x = g.pick(lambda t: t.ndim > 0 and min(t.shape) > 0)
    if x is None:
        return None
    t = g.value(x)
    n = t.shape[0]
    rows = [g.rng.randrange(-n, n) for _ in range(g.rng.randrange(1, 4))]
    good = [r % n for r in rows]
    d = g.rng.randrange(t.ndim)
    picks = [g.rng.randrange(t.shape[d]) for _ in range(2)]
    index = f"torch.tensor([{good[0]}]).reshape({', '.join(['1'] * t.ndim)})"
    return f"{g.fresh()} = {x}" + g.one(f"[torch.tensor({rows})]", f"[{rows}]", f"[{x} > 0]", f".index_select({d}, torch.tensor({picks}))",
                                        f".gather(0, {index})", "[..., torch.tensor([0, -1])]", f".masked_select({x} > 0.5)", ".take(torch.tensor([0]))",
                                        f"[torch.tensor({good}), ..., 0]" if t.ndim > 1 else f"[torch.tensor({good})]", f".masked_fill({x} > 0.5, 2)",
                                        f"[torch.tensor([True] * {n})]")


@rule(2)
def convert(g: Grammar) -> str | None:
    x = g.pick()
    if x is None:
        return None
    to = g.one(*[p for p in g.palette if "complex" not in p])
    if "float" not in to and g.value(x).is_floating_point():
        return f"{g.fresh()} = {x}.round().to(torch.{to})" if to != "uint8" else f"{g.fresh()} = {x}.abs().round().to(torch.{to})"
    return f"{g.fresh()} = {x}.to(torch.{to})"


@rule(1)
def out_form(g: Grammar) -> str | None:
    x = g.floats(lambda t: not t.requires_grad and not self_overlapping(t))
    if x is None:
        return None
    t = g.value(x)
    y = g.floats(lambda u: not self_overlapping(u) and u.shape == t.shape and u.dtype == t.dtype and not u.requires_grad and not overlaps(u, t)) or x
    return g.one(f"torch.add({x}, {x}, out={y})", f"torch.sin({x}, out={y})", f"{g.fresh()} = torch.mul({x}, 2, out=torch.empty({tuple(t.shape)}, dtype={x}.dtype))")


@rule(2)
def loss(g: Grammar) -> str | None:
    x = g.floats(lambda t: t.ndim == 2 and t.numel() > 0 and t.dtype in (g.torch.float32, g.torch.float64))
    if x is None:
        return None
    t = g.value(x)
    labels = [g.rng.randrange(t.shape[1]) for _ in range(t.shape[0])]
    return f"{g.fresh()} = torch.nn.functional." + g.one(f"cross_entropy({x}, torch.tensor({labels}))", f"mse_loss({x}, {x}.detach() * 0.5)",
                                                         f"layer_norm({x}, ({t.shape[1]},))", f"smooth_l1_loss({x}, {x}.detach() + 1)",
                                                         f"nll_loss(torch.log_softmax({x}, 1), torch.tensor({labels}))", f"normalize({x} + 3)")
