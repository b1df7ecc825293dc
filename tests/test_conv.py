"""Convolutions and their gradients: the compiled kernels against the contract, to the bit, and against torch within tolerance."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from contract_helper import fma, fold, guarded, host_tiers, narrow, run, widen

from frankentorch.lower.contract_micro import CHUNK, GROUP, compute_type
from frankentorch.lower.contract_tile import bias_epilogue
from frankentorch.lower.conv import forward_classes, gradient_classes, lower_conv
from frankentorch.lower.kernel import Ptr
from frankentorch.lower.lanes import numpy_type

TIERS = host_tiers()
Step = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """images, channels in and out, input size, kernel; the same stride, padding and dilation on every axis unless given a tuple."""

    n: int
    ci: int
    co: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def out(self) -> tuple[int, ...]:
        return tuple((i + 2 * p - d * (k - 1) - 1) // s + 1
                     for i, k, s, p, d in zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True))


def case(n: int, ci: int, co: int, size: tuple[int, ...], kernel: tuple[int, ...], stride: int = 1, padding: int = 0, dilation: int = 1,
         groups: int = 1) -> Case:
    axes = len(size)
    return Case(n, ci, co, size, kernel, (stride,) * axes, (padding,) * axes, (dilation,) * axes, groups)


CASES = [
    case(2, 3, 5, (6, 7), (3, 3), padding=1), case(1, 17, 33, (5, 15), (3, 3), padding=1), case(2, 4, 6, (9, 8), (3, 2), 2, 1, 1, 2),
    case(1, 2, 16, (7, 9), (3, 3), 1, 2, 2), case(2, 1, 3, (12, 13), (5, 5), 3, 2), case(1, 6, 6, (5, 17), (3, 3), 1, 1, 1, 6),
    case(2, 35, 35, (6, 19), (3, 3), 1, 1, 1, 35), case(2, 18, 18, (9, 8), (5, 3), 2, 2, 2, 18),
    case(1, 2, 2, (3, 4, 18), (3, 3, 3), 1, 1, 1, 2),
    case(2, 45, 3, (3, 4), (3, 3), padding=1), case(1, 130, 2, (2, 2), (3, 3), padding=1), case(3, 8, 31, (4, 5), (1, 1)),
    case(2, 8, 4, (5, 5), (1, 1), 2), case(2, 3, 4, (20,), (5,), 2, 2), case(1, 2, 35, (1,), (3,), padding=1),
    case(1, 2, 3, (3, 4, 5), (2, 3, 2), 1, 1), case(1, 4, 4, (4, 4, 4), (3, 3, 3), 2, 1, 1, 2), case(1, 2, 2, (4, 4), (2, 2), 3, 3),
    case(2, 3, 2, (30, 30), (3, 3), 1, 1), Case(1, 3, 4, (6, 9), (2, 3), (2, 1), (0, 2), (1, 3), 1),
]


def data(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-3, 3, shape))
    if dtype in ("f32", "f64"):
        return x.astype(numpy_type(dtype))
    return narrow(x.astype(np.float32), dtype, "f32") if dtype in ("bf16", "f16") else (x * 50).astype(numpy_type(dtype))


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """Stored contiguously ("c"), channels last ("l") or with gaps everywhere ("g")."""
    if layout == "c":
        return np.ascontiguousarray(x)
    if layout == "l":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    big = np.zeros([2 * s + 1 for s in x.shape], x.dtype)
    view = big[tuple(slice(1, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def strides(x: np.ndarray) -> tuple[int, ...]:
    return tuple(s // x.itemsize for s in x.strides)


def masked_chains(steps: Iterator[Step], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """fma chains in which a step happens only where its mask holds."""
    sums: list[np.ndarray] = []
    acc = np.zeros(shape, dtype)
    count = 0
    with np.errstate(all="ignore"):
        for a, b, valid in steps:
            if count and count % CHUNK == 0:
                sums.append(acc)
                acc = np.zeros(shape, dtype)
            acc = np.where(valid, fma(a, b, acc), acc)
            count += 1
        return fold([*sums, acc])


def gather(values: np.ndarray, coordinates: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """values[..., d, h, w] on a grid of coordinates (out of range: invalid), with the mask."""
    valid = np.ones((), bool)
    out = values
    for axis, c in enumerate(coordinates):
        size = values.shape[2 + axis]
        inside = (c >= 0) & (c < size)
        out = np.take(out, np.clip(c, 0, size - 1), axis=2 + axis)
        valid = valid[..., None] & inside
    return out, valid


def reference(kind: str, c: Case, x: np.ndarray, w: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The contract, for compute-type tensors."""
    ci, co = c.ci // c.groups, c.co // c.groups
    parts = [_group(kind, c, x[:, i * ci:(i + 1) * ci], w[i * co:(i + 1) * co], g[:, i * co:(i + 1) * co]) for i in range(c.groups)]
    return np.concatenate(parts, axis=0 if kind == "weight_grad" else 1)


def _group(kind: str, c: Case, x: np.ndarray, w: np.ndarray, g: np.ndarray) -> np.ndarray:
    axes = range(len(c.size))
    spread = (slice(None), *(None for _ in axes))

    def forward() -> Iterator[Step]:
        for tap in itertools.product(*map(range, c.kernel)):
            grid, valid = gather(x, [np.arange(c.out[i]) * c.stride[i] - c.padding[i] + tap[i] * c.dilation[i] for i in axes])
            for channel in range(x.shape[1]):
                yield grid[:, channel, None], w[(slice(None), channel, *tap)][spread], valid

    def input_grad() -> Iterator[Step]:
        for tap in itertools.product(*map(range, c.kernel)):
            shifted = [np.arange(c.size[i]) + c.padding[i] - tap[i] * c.dilation[i] for i in axes]
            grid, valid = gather(g, [np.where(s % c.stride[i] == 0, s // c.stride[i], -1) for i, s in enumerate(shifted)])
            for channel in range(g.shape[1]):
                yield grid[:, channel, None], w[(channel, slice(None), *tap)][spread], valid

    def weight_grad() -> Iterator[Step]:
        for image in range(c.n):
            for o in itertools.product(*map(range, c.out)):
                at = [o[i] * c.stride[i] - c.padding[i] + np.arange(c.kernel[i]) * c.dilation[i] for i in axes]
                grid, valid = gather(x[image:image + 1], at)
                yield grid, g[(image, slice(None), *o)][(slice(None), None, *(None for _ in axes))], valid

    if kind == "forward":
        return masked_chains(forward(), g.shape, x.dtype)
    if kind == "input_grad":
        return masked_chains(input_grad(), x.shape, x.dtype)
    return masked_chains(weight_grad(), w.shape, x.dtype)


def compute(kind: str, c: Case, dtype: str, x: np.ndarray, w: np.ndarray, g: np.ndarray, tier: str, layout: str = "c", cuts: int = 1,
            bias: np.ndarray | None = None) -> np.ndarray:
    """By the kernel, with x, w or g (whichever is computed) replaced by a fresh tensor in `layout`."""
    name = {"forward": "g", "input_grad": "x", "weight_grad": "w"}[kind]
    tensors = {"x": x, "w": w, "g": g}
    result = laid_out(np.zeros(tensors[name].shape, tensors[name].dtype), layout)
    result[...] = 77
    tensors[name] = result
    inputs = [tensors[t] for t in {"forward": "xw", "input_grad": "gw", "weight_grad": "xg"}[kind]]
    epilogue = bias_epilogue(Ptr(2), dtype, (1,)) if bias is not None else None
    calls = lower_conv(kind, dtype, x.shape, w.shape, g.shape, *(strides(tensors[t]) for t in "xwg"), stride=c.stride, padding=c.padding,
                       dilation=c.dilation, groups=c.groups, tier=tier, epilogue=epilogue, result=Ptr(2 + (bias is not None)))
    run(calls, [*inputs, *([bias] if bias is not None else []), result], tier, cuts)
    return result


def tensors_of(c: Case, dtype: str = "f32", seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = ((c.n, c.ci, *c.size), (c.co, c.ci // c.groups, *c.kernel), (c.n, c.co, *c.out))
    x, w, g = (data(rng, dtype, shape) for shape in shapes)
    return x, w, g


def bits(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).view(f"u{x.itemsize}")


@pytest.mark.parametrize("c", CASES, ids=str)
@pytest.mark.parametrize("kind", ["forward", "input_grad", "weight_grad"])
def test_bits(kind: str, c: Case) -> None:
    x, w, g = tensors_of(c)
    want = reference(kind, c, x, w, g)
    for tier in TIERS[1:]:
        for (lx, lw, lg), cuts in zip(("ccc", "lll", "ggg", "clc", "lcl", "lgc"), (1, 2, 3, 1, 4, 1), strict=True):
            layout = {"forward": lg, "input_grad": lx, "weight_grad": lw}[kind]
            got = compute(kind, c, "f32", laid_out(x, lx), laid_out(w, lw), laid_out(g, lg), tier, layout, cuts)
            np.testing.assert_array_equal(bits(got), bits(want), err_msg=f"{tier} {lx}{lw}{lg}")


@pytest.mark.parametrize("c", CASES, ids=str)
def test_torch(c: Case) -> None:
    torch = pytest.importorskip("torch")
    x, w, g = tensors_of(c)
    tx, tw = (torch.from_numpy(t).double().requires_grad_() for t in (x, w))
    axes = len(c.size)
    y = getattr(torch.nn.functional, f"conv{axes}d")(tx, tw, None, c.stride, c.padding, c.dilation, c.groups)
    y.backward(torch.from_numpy(g).double())
    for kind, want in (("forward", y.detach()), ("input_grad", tx.grad), ("weight_grad", tw.grad)):
        got = compute(kind, c, "f32", x, w, g, TIERS[-1])
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-2, err_msg=kind)


@pytest.mark.parametrize("dtype", ["f64", "bf16", "f16", "i32"])
@pytest.mark.parametrize("kind", ["forward", "input_grad", "weight_grad"])
@pytest.mark.parametrize("c", [case(2, 5, 18, (4, 6), (3, 2), 1, 1), case(2, 9, 9, (3, 10), (3, 2), 1, 1, 1, 9)],
                         ids=["dense", "depthwise"])
def test_dtypes(kind: str, dtype: str, c: Case) -> None:
    x, w, g = tensors_of(c, dtype)
    want = narrow(reference(kind, c, *(widen(t, dtype) for t in (x, w, g))), dtype, compute_type(dtype))
    for tier in TIERS:
        for layout in "cl":
            got = compute(kind, c, dtype, laid_out(x, layout), laid_out(w, layout), laid_out(g, layout), tier, layout)
            np.testing.assert_array_equal(bits(got), bits(want), err_msg=tier + layout)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("length", [CHUNK * GROUP, CHUNK * GROUP + 1, 2 * CHUNK * GROUP + 9])
def test_weight_gradient_groups(groups: int, length: int) -> None:
    """k past one group of chunks, for a dense and a depthwise weight."""
    c = Case(1, groups, groups, (length + 1,), (2,), (1,), (0,), (1,), groups)
    x, w, g = tensors_of(c)
    want = reference("weight_grad", c, x, w, g)
    for layout in "cl":
        got = compute("weight_grad", c, "f32", laid_out(x, layout), w, laid_out(g, layout), TIERS[-1])
        np.testing.assert_array_equal(bits(got), bits(want))


def test_padding_is_skipped() -> None:
    """An infinite or NaN weight poisons only the outputs which use it on a real pixel, and -0 survives at the border."""
    c = case(1, 1, 20, (4, 5), (3, 3), padding=1)
    x, w, g = np.ones((1, 1, 4, 5), np.float32), np.full((20, 1, 3, 3), 1.0, np.float32), np.zeros((1, 20, 4, 5), np.float32)
    w[:, :, 0, :] = np.inf
    w[:, :, 1, 0] = np.nan
    for layout in "cl":
        y = compute("forward", c, "f32", laid_out(x, layout), w, g, TIERS[-1], layout)
        assert np.isfinite(y[:, :, 0, 0]).all() and np.isnan(y[:, :, 0, 1:]).all() and np.isposinf(y[:, :, 1:, 0]).all()
    tiny = compute("forward", c, "f32", x * np.float32(1e-30), np.full_like(w, -1e-30), g, TIERS[-1])
    np.testing.assert_array_equal(bits(tiny), bits(reference("forward", c, x * np.float32(1e-30), np.full_like(w, -1e-30), g)))
    assert np.signbit(tiny[:, :, 0, 0]).all()


@pytest.mark.parametrize("layout", ["c", "l"])
@pytest.mark.parametrize("c", [case(2, 3, 40, (6, 7), (3, 3), padding=1), case(2, 8, 31, (4, 5), (1, 1)), case(1, 4, 6, (5, 5), (3, 3), 1, 1, 1, 2),
                               case(1, 20, 20, (5, 18), (3, 3), 1, 1, 1, 20)], ids=["spatial", "pointwise", "groups", "depthwise"])
def test_bias(c: Case, layout: str) -> None:
    x, w, g = tensors_of(c)
    bias = data(np.random.default_rng(1), "f32", (c.co,))
    got = compute("forward", c, "f32", laid_out(x, layout), w, g, TIERS[-1], layout, bias=bias)
    np.testing.assert_array_equal(bits(got), bits(reference("forward", c, x, w, g) + bias[:, None, None]))


@pytest.mark.parametrize("kind", ["forward", "input_grad", "weight_grad"])
@pytest.mark.parametrize("c", [case(1, 5, 19, (5, 18), (3, 3), padding=1), case(1, 3, 3, (7, 19), (3, 3), 2, 1, 1, 3),
                               case(2, 19, 7, (3, 5), (1, 1))], ids=["dense", "depthwise", "pointwise"])
def test_touches_nothing_beyond_its_operands(kind: str, c: Case) -> None:
    """Operands end at the edge of readable memory, so a tail that reads or writes too far crashes."""
    tensors = tensors_of(c)
    want = reference(kind, c, *tensors)
    for tier in TIERS[1:]:
        for layout in "cl":
            x, w, g = (guarded(laid_out(t, layout)) for t in tensors)
            target = {"forward": g, "input_grad": x, "weight_grad": w}[kind]
            inputs = {"forward": [x, w], "input_grad": [g, w], "weight_grad": [x, g]}[kind]
            calls = lower_conv(kind, "f32", x.shape, w.shape, g.shape, *map(strides, (x, w, g)), stride=c.stride, padding=c.padding,
                               dilation=c.dilation, groups=c.groups, tier=tier)
            run(calls, [*inputs, target], tier)
            np.testing.assert_array_equal(bits(target), bits(want))


def test_image_alone_and_in_batch() -> None:
    c = case(5, 20, 24, (9, 9), (3, 3), 2, 1)
    x, w, g = tensors_of(c)
    whole = compute("forward", c, "f32", x, w, g, TIERS[-1])
    alone = Case(1, *(getattr(c, name) for name in ("ci", "co", "size", "kernel", "stride", "padding", "dilation", "groups")))
    for i in range(c.n):
        got = compute("forward", alone, "f32", x[i:i + 1], w, g[:1], TIERS[-1], "l")
        np.testing.assert_array_equal(bits(got), bits(whole[i:i + 1]))


@pytest.mark.parametrize("size,kernel,stride,padding,dilation", itertools.product((1, 4, 9), (1, 3, 4), (1, 2, 3), (0, 1, 5), (1, 2, 3)))
def test_classes(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    """Classes partition the coordinates, and list exactly the pairs of tap and source that the geometry has."""
    out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if out < 1:
        return
    pairs = {(o, t, s) for o in range(out) for t in range(kernel) if 0 <= (s := o * stride - padding + t * dilation) < size}

    def listed(classes: list) -> tuple[list[int], set[tuple[int, int, int]]]:
        members = [(c.start + i * c.step, i, c) for c in classes for i in range(c.count)]
        return sorted(o for o, _, _ in members), {(o, c.first_tap + j * c.tap_step, c.source + j * c.source_tap + i * c.source_step)
                                                  for o, i, c in members for j in range(c.taps)}

    assert listed(forward_classes(out, size, kernel, stride, padding, dilation)) == (list(range(out)), pairs)
    assert listed(gradient_classes(size, out, kernel, stride, padding, dilation)) == (list(range(size)), {(s, t, o) for o, t, s in pairs})


def test_refusals() -> None:
    with pytest.raises(ValueError, match="no such convolution"):
        lower_conv("backward", "f32", (), (), (), (), (), (), stride=(), padding=(), dilation=(), groups=1, tier="avx2")
    with pytest.raises(ValueError, match="1 to 3 spatial axes"):
        lower_conv("forward", "f32", (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), (1, 1), stride=(), padding=(), dilation=(), groups=1, tier="avx2")
