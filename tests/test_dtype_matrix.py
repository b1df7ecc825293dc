"""Every dtype through every kind of op, beside torch: what it computes, in which dtype, and what it refuses.

Enters: expressions over a library `t` and tensors `a`, `b`, `m` (truth values), `i` (indices). Leaves: for each expression and dtype, contiguous and
transposed, the same dtype, shape and values as torch, or the same type of exception. `KNOWN` lists what differs, with the reason; an entry that
no longer differs fails.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch as oracle

import frankentorch as ours

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128")
INTS = DTYPES[1:6]
COMPLEX = DTYPES[-2:]
# Relative to the largest value (at least one): low precision is computed in float32 and rounded once on both sides.
ROUNDING = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-22, "float64": 2.0**-49, "complex64": 2.0**-20, "complex128": 2.0**-46}

UNARY = """abs acos acosh angle asin asinh atan atanh ceil conj_physical cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac i0
isfinite isinf isnan isneginf isposinf isreal lgamma log log10 log1p log2 logical_not logit nan_to_num neg positive rad2deg reciprocal relu round rsqrt
sgn sigmoid sign signbit sin sinc sinh sqrt square tan tanh trunc bitwise_not""".split()
BINARY = """add sub mul div true_divide floor_divide remainder fmod pow float_power maximum minimum fmax fmin eq ne lt le gt ge logical_and logical_or
logical_xor bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift atan2 hypot logaddexp logaddexp2 copysign xlogy nextafter gcd lcm
ldexp heaviside rsub""".split()
REDUCE = """sum prod mean amax amin argmax argmin any all count_nonzero var std logsumexp""".split()

EXPRESSIONS = [
    *[f"t.{n}(a)" for n in UNARY],
    *[f"t.{n}(a, b)" for n in BINARY],
    *[f"t.{n}(a, {k})" for n in ("add", "sub", "mul", "div", "eq", "lt", "maximum", "pow") for k in ("2", "1.5") if n != "maximum"],
    *[f"t.{n}(a, 2j)" for n in ("add", "sub", "mul", "div", "eq", "pow")], "2j - a", "2j / a", "2j ** a", "1.5 ** a", "2 - a", "True + a", "2 / a",
    *[f"t.{n}(a, True)" for n in ("add", "sub", "mul", "eq")],
    *["t.add(a, b, alpha=2)", "t.sub(a, b, alpha=2)", "t.div(a, b, rounding_mode='trunc')", "t.div(a, b, rounding_mode='floor')",
      "t.add(a, b, alpha=1.5)", "t.floor_divide(a, 2)", "t.remainder(a, 2)", "t.fmod(a, 2)", "t.remainder(a, 1.5)"],
    *[f"t.{n}(a, 1)" if n != "logsumexp" else "t.logsumexp(a, 1)" for n in REDUCE], *[f"t.{n}(a)" for n in REDUCE if n != "logsumexp"],
    "t.var_mean(a)", "t.std_mean(a, 1)", "t.aminmax(a)", "t.max(a)", "t.min(a, 1)", "t.max(a, 0)", "t.median(a)", "t.median(a, 1)", "t.norm(a)", "t.norm(a, 1)", "t.norm(a, 3, 1)",
    "t.sum(a, dtype=t.float64)", "t.prod(a, 0, dtype=t.complex128)", "t.mean(a, dtype=t.float32)", "t.nansum(a)", "t.nanmean(a)", "t.dist(a, b)",
    "t.cumsum(a, 0)", "t.cumprod(a, 1)", "t.cummax(a, 1)", "t.cummin(a, 0)", "t.logcumsumexp(a, 1)", "t.cumsum(a, 1, dtype=t.float64)", "t.diff(a)",
    "t.sort(a, 1)", "t.argsort(a, dim=0, stable=True)", "t.topk(a, 2)[0]", "t.kthvalue(a, 2)[0]", "t.mode(a, 1)", "t.unique(a)", "t.msort(a)", "t.isin(a.contiguous(), b.contiguous())",
    "t.where(m, a, b)", "t.where(m, a, 1)", "t.where(m, 1.5, a)", "t.where(m, 1j, a)", "t.where(m, a, True)", "t.clamp(a, -1, 2)", "t.clamp(a, min=b)", "t.clamp_min(a, 0.5)", "t.lerp(a, b, 0.3)",
    "t.addcmul(a, a, b)", "t.addcdiv(a, a, b)", "t.addcmul(a, a, b, value=2)", "t.allclose(a, a)", "t.isclose(a, b)", "t.equal(a, b)",
    "t.mm(a, b.t())", "t.matmul(a, b[0])", "t.bmm(a[None], b.t()[None])", "t.dot(a[0], b[0])", "t.vdot(a[0], b[0])", "t.outer(a[0], b[0])", "t.inner(a, b)",
    "t.addmm(a[:, :3], a, b.t())", "t.addmm(a[:, :3], a, b.t(), beta=2, alpha=3)", "t.addmv(a[:, 0], a, b[0])", "t.mv(a, b[0])", "t.einsum('ij,kj->ik', a, b)", "t.tensordot(a, b, 2)",
    "t.kron(a, b)", "t.trace(a)", "t.cross(a[:, :3], b[:, :3], dim=1)", "t.baddbmm(a[None, :, :3], a[None], b.t()[None])", "t.addr(a, a[:, 0], b[0])",
    "t.nn.functional.linear(a, b)", "t.nn.functional.linear(a, b, b[:, 0])", "t.nn.functional.conv1d(a[None], b[None, :, :2])", "t.nn.functional.conv2d(a[None, None], b[None, None, :2, :2])",
    "t.nn.functional.softmax(a, 1)", "t.nn.functional.log_softmax(a, 0)", "t.nn.functional.gelu(a)", "t.nn.functional.silu(a)", "t.nn.functional.softplus(a)", "t.nn.functional.elu(a)",
    "t.nn.functional.leaky_relu(a)", "t.nn.functional.hardtanh(a)", "t.nn.functional.mse_loss(a, b)", "t.nn.functional.l1_loss(a, b)", "t.nn.functional.smooth_l1_loss(a, b)", "t.nn.functional.layer_norm(a, (4,))",
    "t.nn.functional.max_pool1d(a, 2)", "t.nn.functional.avg_pool1d(a, 2)", "t.nn.functional.pad(a, (1, 1))", "t.nn.functional.normalize(a)", "t.nn.functional.one_hot(a)", "t.nn.functional.cross_entropy(a, i[:3, 0])",
    "t.full((2, 2), 1, dtype=a.dtype)", "t.full((2,), 2.7, dtype=a.dtype)", "t.full((2,), 1j, dtype=a.dtype)", "t.full_like(a, 3)", "t.zeros_like(a)", "t.ones_like(a)", "t.arange(5, dtype=a.dtype)",
    "t.arange(0.5, 3, 0.5, dtype=a.dtype)", "t.linspace(0, 4, 5, dtype=a.dtype)", "t.eye(3, dtype=a.dtype)", "t.tensor([1, 0, 2], dtype=a.dtype)", "t.tensor([1.5, 0.0], dtype=a.dtype)", "t.tensor([1j, 2], dtype=a.dtype)",
    "t.zeros(2, dtype=a.dtype)", "a.new_full((2,), 2)", "a.new_ones(3)", "a.new_tensor([1, 2])", "t.logspace(0, 2, 3, dtype=a.dtype)", "t.scalar_tensor(2, dtype=a.dtype)",
    *[f"a.to(t.{d})" for d in DTYPES], "a.float()", "a.long()", "a.bool()", "a.type(t.int8)", "a.to(b)", "t.real(a)", "t.imag(a)", "a.conj()", "t.view_as_real(a)", "t.complex(a, b)", "t.polar(a, b)",
    "a.tolist()", "str(a)", "str(a * 1000)", "str(a[0, 0])", "a[0, 0].item()", "a.numpy()", "a.is_floating_point()", "a.is_complex()", "a.is_signed()", "a.element_size()", "t.result_type(a, 1.5)", "bool(a[0, 0])", "int(a[0, 0])", "float(a[0, 0])", "complex(a[0, 0])",
    "a[m]", "a[i[:, 0] % 3]", "t.index_select(a, 0, i[0] % 3)", "t.gather(a, 1, i)", "a.scatter(1, i, b)", "a.scatter_add(1, i, b)", "a.index_add(0, t.tensor([0, 2]), b[:2])", "t.take(a, i)",
    "a.masked_fill(m, 1)", "a.masked_fill(m, 1.5)", "a.masked_fill(m, 1j)", "a.masked_scatter(m, b)", "t.masked_select(a, m)", "a.index_fill(0, t.tensor([1]), 2)", "a.scatter(1, i, 2)", "t.nonzero(a)", "a.index_put((i[:, 0] % 3,), b[0], accumulate=True)",
    "a.scatter_reduce(1, i, b, 'amax')", "a.index_copy(0, t.tensor([1]), b[:1])", "t.count_nonzero(a, 0)", "t.bincount(i[0])", "t.bincount(t.abs(a[0]))", "t.searchsorted(t.sort(a[0])[0], b)", "t.bucketize(a, t.tensor([0, 1, 2]))",
    "t.cat([a, b])", "t.cat([a, m])", "t.stack([a, b], 1)", "t.flip(a, (0,))", "t.roll(a, 1)", "t.tril(a)", "t.triu(a, 1)", "t.diag(a[0])", "a.repeat(2, 1)", "t.repeat_interleave(a, 2, 0)", "a.contiguous()", "a.clone()", "a.t()", "a + a[0]",
    "a & b", "a | b", "a ^ b", "~a", "-a", "+a", "a << 1", "a >> 1", "a // b", "a % b", "a ** 2", "a ** 0.5", "a @ b.t()", "abs(a)", "a + m", "a * i", "a / i.clamp(1)", "a - t.tensor(1.5)", "a * t.tensor(1j)", "a + t.tensor(1.5, dtype=t.float64)",
    "a.clone().add_(b)", "a.clone().add_(1.5)", "a.clone().mul_(2)", "a.clone().div_(2)", "a.clone().sub_(m)", "a.clone().fill_(2.7)", "a.clone().zero_()", "a.clone().copy_(i)", "a.clone().sqrt_()", "a.clone().pow_(2)", "a.clone().clamp_(0, 1)", "a.clone().fill_(1j)",
    "a.clone().add_(2j)", "a.clone().eq_(b)", "a.clone().logical_not_()", "a.clone().floor_divide_(2)", "t.add(a, b, out=t.empty(0))", "t.add(a, b, out=t.empty(0, dtype=t.int64))",
    "t.trapezoid(a)", "t.histc(a, 4)", "t.quantile(a, 0.5)", "t.combinations(a[0])", "t.cumulative_trapezoid(a)", "t.nan_to_num(a, 0)", "t.special.entr(a)", "t.mvlgamma(a.abs() + 3, 2)",
]

# (expression, dtypes) -> why it differs.
HALF = "torch makes a complex32 of it; complex32 has no arithmetic here"
KNOWN: dict[tuple[str, str], str] = {
    **{(e, "float16"): HALF for e in ("t.add(a, 2j)", "t.sub(a, 2j)", "t.mul(a, 2j)", "t.div(a, 2j)", "t.eq(a, 2j)", "t.pow(a, 2j)", "2j - a", "2j / a", "2j ** a",
                                      "t.where(m, 1j, a)", "a * t.tensor(1j)", "a.clone().add_(2j)")},
    ("2j / a", "bfloat16"): "torch multiplies by a reciprocal that it has rounded to bfloat16; here one division",
    ("t.digamma(a)", "float64"): "torch's is 49 units in the last place off beside the pole at -2; ours within one",
    ("t.tensordot(a, b, 2)", "bool"): "torch refuses truth values contiguous and multiplies them transposed; refused here",
}


def known(expression: str, dtype: str) -> str | None:
    return KNOWN.get((expression, dtype)) or KNOWN.get((expression, "*"))


def values(dtype: str, seed: int, transposed: bool) -> np.ndarray:
    """Twelve ordinary values; the second operand (odd seeds) holds no zero."""
    rng = np.random.default_rng([seed, DTYPES.index(dtype)])
    shape = (4, 3) if transposed else (3, 4)
    if dtype == "bool":
        return rng.random(shape) < 0.6 if seed % 2 == 0 else np.ones(shape, bool)
    if dtype in INTS:
        low = 0 if dtype == "uint8" else -3
        x = rng.integers(low, 6, shape)
        return np.where(x == 0, 2, x) if seed % 2 else x
    x = rng.uniform(-2.5, 2.5, shape)
    return x + 1j * rng.uniform(-2.5, 2.5, shape) if dtype in COMPLEX else x


def operands(lib: Any, dtype: str, transposed: bool) -> dict[str, Any]:
    made = {}
    for name, seed in (("a", 0), ("b", 1)):
        x = lib.tensor(values(dtype, seed, transposed)).to(getattr(lib, dtype))
        made[name] = x.t() if transposed else x
    made["m"] = lib.tensor(np.arange(12).reshape(3, 4) % 3 == 0)
    made["i"] = lib.tensor(np.arange(12).reshape(3, 4) * 7 % 4)
    return {"t": lib, **made}


def outcome(lib: Any, code: Any, dtype: str, transposed: bool) -> Any:
    """What the expression gives, or its exception. Ours may still be pending."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return eval(code, operands(lib, dtype, transposed))
        except Exception as error:
            return error


def plain(x: Any) -> Any:
    """Tensors as ('tensor', dtype, array); the rest as it is."""
    if isinstance(x, (oracle.Tensor, ours.Tensor)):
        name = str(x.dtype).removeprefix("torch.")
        x = x.detach().resolve_conj()
        return "tensor", name, np.array((x.float() if name == "bfloat16" else x).numpy())
    if isinstance(x, (tuple, list)):
        return [plain(e) for e in x]
    return str(x) if isinstance(x, (oracle.dtype, ours.dtype)) else x


def near(a: Any, b: Any, dtype: str) -> bool:
    unit = ROUNDING.get(dtype, 0.0)
    with np.errstate(all="ignore"):
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.kind in "fc":
            wide = np.complex128 if a.dtype.kind == "c" else np.float64
            a, b = a.astype(wide), b.astype(wide)
            finite = np.abs(a[np.isfinite(a)])
            return bool(np.allclose(b, a, rtol=unit, atol=unit * max(1.0, finite.max(initial=0.0)), equal_nan=True))
        return bool(np.array_equal(a, b))


def difference(want: Any, have: Any) -> str | None:
    """What differs, in words; None when nothing does."""
    if isinstance(want, Exception) or isinstance(have, Exception):
        if isinstance(want, Exception) and isinstance(have, Exception):
            alike = type(have).__name__.lstrip("_") == type(want).__name__.lstrip("_")
            return None if alike else f"raises {have!r}; torch {want!r}"
        return f"raises {have!r}; torch does not" if isinstance(have, Exception) else f"does not raise; torch {want!r}"
    if isinstance(want, tuple) and want and want[0] == "tensor":
        if not isinstance(have, tuple):
            return f"is {have!r}; torch has a tensor"
        if have[1] != want[1] or have[2].shape != want[2].shape:
            return f"is {have[1]}{list(have[2].shape)}; torch {want[1]}{list(want[2].shape)}"
        return None if near(want[2], have[2], want[1]) else f"is {have[2].tolist()}; torch {want[2].tolist()}"
    if isinstance(want, list):
        if not isinstance(have, list) or len(want) != len(have):
            return f"is {have!r}; torch {want!r}"
        return next((d for d in map(difference, want, have) if d is not None), None)
    if type(want) is not type(have):
        return f"is {have!r}; torch {want!r}"
    return None if near(want, have, "float32" if isinstance(want, (float, complex)) else "") else f"is {have!r}; torch {want!r}"


def settled(result: Any) -> Any:
    """The values of a result; what only showed when it ran is an exception, too."""
    if isinstance(result, Exception):
        return result
    try:
        return plain(result)
    except Exception as error:
        return error


@pytest.mark.parametrize("expression", list(dict.fromkeys(EXPRESSIONS)))
def test_as_torch(expression: str) -> None:
    code = compile(expression, expression, "eval")
    cells = [(d, transposed) for d in DTYPES for transposed in (False, True)]
    pending = [outcome(ours, code, *cell) for cell in cells]  # all recorded before one is looked at: one compilation
    wrong, differing = [], set()
    for (dtype, transposed), mine in zip(cells, pending, strict=True):
        found = difference(settled(outcome(oracle, code, dtype, transposed)), settled(mine))
        if found is None:
            continue
        if known(expression, dtype) is None:
            wrong.append(f"{dtype}{' transposed' * transposed}: {found[:300]}")
        differing.add(dtype)
    stale = [d for e, d in KNOWN if e == expression and d not in differing and (d != "*" or not differing)]
    assert not wrong, f"{expression}\n" + "\n".join(wrong)
    assert not stale, f"{expression} no longer differs for {stale}"


# Gradients ------------------------------------------------------------------------------------------------------------------------
UNLIKE = {
    "t.nan_to_num(a)": "torch refuses complex numbers", "t.nan_to_num(a, 0)": "torch refuses complex numbers",
    "t.nn.functional.silu(a)": "torch refuses complex numbers",
    "a.clone().eq_(b)": "torch sends zeros, here nothing arrives",
    "a.clone().logical_not_()": "torch passes the gradient of a truth value on",
}


def gradients(lib: Any, code: Any) -> Any:
    """Gradients of a and b for fixed cotangents; None where nothing asks for one."""
    given = operands(lib, "complex128", False)
    for name in "ab":
        given[name].requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            out = eval(code, given)
            outs = [x for x in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(x, lib.Tensor) and x.requires_grad]
            seeds = [np.cos(np.arange(x.numel()) * 1.7) + (1j * np.sin(np.arange(x.numel()) * 2.3) if x.dtype.is_complex else 0) for x in outs]
            cotangents = [lib.tensor(s).to(x.dtype).reshape(x.shape) for s, x in zip(seeds, outs, strict=True)]
            return list(lib.autograd.grad(outs, [given["a"], given["b"]], cotangents, allow_unused=True)) if outs else None
        except Exception as error:
            return error


@pytest.mark.parametrize("expression", [e for e in dict.fromkeys(EXPRESSIONS) if not any(k in e for k in ("a.to(", "t.full(", "t.tensor(["))])
def test_complex_gradients_as_torch(expression: str) -> None:
    """torch's convention: the gradient of a real loss is its derivative to the conjugate."""
    code = compile(expression, expression, "eval")
    want, have = gradients(oracle, code), gradients(ours, code)
    if expression in UNLIKE or known(expression, "complex128"):
        return
    if isinstance(want, Exception) or isinstance(have, Exception):
        assert isinstance(want, Exception), f"{expression}: raises {have!r}; torch does not"
        assert isinstance(have, Exception), f"{expression}: does not raise; torch {want!r}"
        return
    found = difference(settled(want), settled(have))
    assert found is None, f"{expression}: {found}"


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64"])
def test_wide_unsigned(dtype: str) -> None:
    """Where torch computes on the wide unsigned integers, ours agree. (Ours compute on more of them.)"""
    def of(lib: Any) -> dict[str, Any]:
        made = {n: lib.tensor(np.arange(12).reshape(3, 4) % k + (k == 4)).to(getattr(lib, dtype)) for n, k in (("a", 5), ("b", 4))}
        return {**made, "t": lib, "m": lib.tensor(np.arange(12).reshape(3, 4) % 3 == 0), "i": lib.tensor(np.arange(12).reshape(3, 4) * 7 % 4)}

    wrong = []
    for expression in dict.fromkeys(EXPRESSIONS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                want = eval(expression, of(oracle))
            except Exception:
                continue
            try:
                have = plain(eval(expression, of(ours)))
            except Exception as error:
                have = error
        found = difference(plain(want), have)
        if found is not None and known(expression, dtype) is None:
            wrong.append(f"{expression}: {found[:200]}")
    assert not wrong, "\n".join(wrong)


def test_division_by_zero() -> None:
    """An integer division by zero is an error at the call, also of a divisor that is still pending; nothing is written."""
    a = ours.tensor([6, 7, 8])
    for divisor in (ours.tensor([1, 0, 2]), ours.tensor([2, 1, 3]) - 1, 0):
        for name in ("floor_divide", "remainder", "fmod"):
            with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                getattr(ours, name)(a, divisor)
            kept = a.clone()
            with pytest.raises(RuntimeError, match="ZeroDivisionError"):
                getattr(kept, name + "_")(divisor)
            assert kept.tolist() == [6, 7, 8]
    assert (a.float() // 0).tolist() == [float("inf")] * 3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_trains(dtype: str) -> None:
    """A small network in a low precision follows the one in float32."""
    def losses(kind: Any) -> list[float]:
        ours.manual_seed(0)
        nn = ours.nn
        model = nn.Sequential(nn.Linear(8, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 4)).to(kind)
        rng = np.random.default_rng(0)
        x, y = ours.tensor(rng.normal(size=(64, 8)).astype("f4")).to(kind), ours.tensor(rng.integers(0, 4, 64))
        optimizer, out = ours.optim.SGD(model.parameters(), lr=0.3), []
        for _ in range(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            out.append(loss.item())
        return out

    full, low = losses(ours.float32), losses(getattr(ours, dtype))
    assert full[-1] < 0.8 * full[0]
    np.testing.assert_allclose(low, full, atol=0.03)


# Low precision --------------------------------------------------------------------------------------------------------------------
ROUNDS_WITHIN = {"t.logit(a)": "torch rounds between its steps", "t.sub(a, b, alpha=1.5)": "torch is off by more in places; ours rounds the exact value",
                 "t.prod(a, 1)": "torch rounds every product", "t.prod(a)": "torch rounds every product"}
ONE_OP = [f"t.{n}(a)" for n in UNARY] + [f"t.{n}(a, b)" for n in BINARY] + [f"t.{n}(a, 1)" for n in REDUCE] + [
    "t.prod(a)", "t.add(a, b, alpha=1.5)", "t.sub(a, b, alpha=1.5)", "t.cumsum(a, 1)", "t.mm(a, b.t())", "t.nn.functional.softmax(a, 1)", "t.addmm(a[:, :20], a, b.t(), beta=2, alpha=3)",
    "t.nn.functional.gelu(a)", "t.nn.functional.layer_norm(a, (35,))", "t.nn.functional.linear(a, b, b[:, 0])", "t.nn.functional.linear(a, b)",
    "t.nn.functional.conv1d(a[None], b.reshape(5, 20, 7), b[:5, 0], padding=2, stride=2)", "t.nn.functional.conv_transpose1d(a[None], b.reshape(20, 5, 7), b[:5, 0], stride=2)"]


def ranks(t: Any) -> np.ndarray:
    """16-bit floats numbered in their order."""
    bits = t.contiguous().view(oracle.int16).numpy().astype(np.int32)
    return np.where(bits < 0, -(bits & 0x7FFF), bits)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_one_rounding(dtype: str) -> None:
    """An op computes in float32 and rounds once: within one unit in the last place of torch's result."""
    rng = np.random.default_rng(5)
    arrays = {n: rng.uniform(-2.5, 2.5, (20, 35)).astype("f4") for n in "ab"}
    pending, wrong = [], []
    for expression in ONE_OP:
        results = []
        for lib in (oracle, ours):
            given = {n: lib.tensor(x).to(getattr(lib, dtype)) for n, x in arrays.items()}
            try:
                results.append(eval(expression, {"t": lib, **given}))
            except (NotImplementedError, RuntimeError) as error:
                results.append(error)
        pending.append((expression, *results))
    for expression, want, have in pending:
        if isinstance(want, Exception) or not str(want.dtype).endswith(dtype) or expression in ROUNDS_WITHIN:
            continue
        mine = oracle.from_numpy(np.array(have.float().numpy())).to(want.dtype)
        number = ~(want.isnan() & mine.isnan()).numpy()
        apart = np.abs(ranks(want) - ranks(mine))[number]
        if apart.size and apart.max() > 1:
            wrong.append(f"{expression}: {apart.max()} units apart")
    assert not wrong, "\n".join(wrong)
