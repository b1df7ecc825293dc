"""tensor_str against repr() of real torch tensors, byte for byte."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frankentorch import dtypes, printing
from frankentorch.device import device

pytestmark = pytest.mark.filterwarnings("ignore")
DTYPES = [d.name for d in dtypes.ALL if d is not dtypes.complex32]


class Fetch:
    """A numpy-like view of a torch tensor that counts the elements it hands out."""

    def __init__(self, tensor):
        self.tensor, self.fetched = tensor.detach(), 0

    def __getitem__(self, key):
        part = self.tensor[key]
        self.fetched += part.numel()
        return part.view(torch.uint16).numpy() if part.dtype is torch.bfloat16 else part.numpy()


def ours(t, **options):
    kind = type(t).__name__
    return printing.tensor_str(
        Fetch(t), dtype=dtypes.by_name(str(t.dtype)[6:]), shape=tuple(t.shape), device=device(str(t.device)), requires_grad=t.requires_grad,
        grad_fn_name=type(t.grad_fn).__name__ if t.grad_fn is not None else None, is_parameter=isinstance(t, torch.nn.Parameter),
        type_name="tensor" if kind in ("Tensor", "Parameter") else kind, **options)


@pytest.fixture(autouse=True)
def default_options():
    yield
    torch.set_printoptions(profile="default")
    printing.set_printoptions(profile="default")
    torch.set_default_dtype(torch.float32)
    dtypes.set_default_dtype(dtypes.float32)


def set_both(**options):
    torch.set_printoptions(**options)
    printing.set_printoptions(**options)


FLOATS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.floats(-10, 10), st.floats(-2000, 2000, width=32), st.integers(-1000, 1000).map(float),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-4, 9.9999e-5, 1e8, 1e8 + 8, 0.5, 999.99995, 1e-45, 5e-324, 65504.0]))


@st.composite
def tensors(draw):
    name = draw(st.sampled_from(DTYPES))
    d, torch_dtype = dtypes.by_name(name), getattr(torch, name)
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=4)))
    count = math.prod(shape)
    pool = draw(st.lists(FLOATS if d.category >= dtypes.FLOAT else st.integers(0, 2**64 - 1), min_size=1, max_size=12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if d.category < dtypes.FLOAT:
        small = draw(st.booleans())
        raw = rng.choice(np.array([v >> 58 if small else v for v in pool], np.uint64), count)
        if d is dtypes.bool_:
            return torch.from_numpy(raw % np.uint64(2) == 1).reshape(shape)
        return torch.from_numpy(raw.astype(d.np)).reshape(shape)
    scale = draw(st.sampled_from([1.0, 1.0, 1e-3, 1e5, 1e-8]))
    whole = draw(st.booleans())

    def part():
        with np.errstate(all="ignore"):
            values = rng.choice(np.array(pool), count) * scale
            return np.round(values) if whole else values
    if d.is_complex:
        return torch.from_numpy(part() + 1j * part()).to(torch_dtype).reshape(shape)
    return torch.from_numpy(part()).to(torch_dtype).reshape(shape)


OPTIONS = st.fixed_dictionaries({}, optional={
    "precision": st.integers(0, 8), "threshold": st.integers(0, 60), "edgeitems": st.integers(0, 4), "linewidth": st.integers(1, 160),
    "profile": st.sampled_from(["default", "short", "full", "unknown"]), "sci_mode": st.sampled_from([None, True, False])})


@settings(max_examples=1200, deadline=None, suppress_health_check=list(HealthCheck))
@given(tensors(), OPTIONS, st.sampled_from(["float32", "float64", "bfloat16"]))
def test_any_tensor_under_any_options(t, options, default):
    set_both(profile="default")
    set_both(**options)
    torch.set_default_dtype(getattr(torch, default))
    dtypes.set_default_dtype(dtypes.by_name(default))
    assert ours(t) == repr(t)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(tensors())
def test_any_tensor_by_default(t):
    assert ours(t) == repr(t)
    if t.dtype.is_floating_point or t.dtype.is_complex:
        t.requires_grad_()
        assert ours(t) == repr(t)
        assert ours(torch.nn.Parameter(t)) == repr(torch.nn.Parameter(t))
        # transposed memory prints by its logical order
        assert ours(t.mT + 1 if t.dim() > 1 else t + 1) == repr(t.mT + 1 if t.dim() > 1 else t + 1)


@pytest.mark.parametrize("name", DTYPES)
def test_a_seeded_stream_of_magnitudes(name):
    """Normal draws at every decimal scale, in a few hundred shapes, whole and summarised."""
    g = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    for trial in range(150):
        shape = tuple(rng.integers(1, (40, 14, 9, 5)[trial % 4] + 1, size=trial % 4 + 1))
        t = (torch.randn(shape, generator=g, dtype=torch.float64) * 10.0 ** int(rng.integers(-12, 12)))
        t = torch.complex(t, t.flip(0)) if name.startswith("complex") else t.clamp(-2**31, 2**31)
        t = t.abs().to(getattr(torch, name)) if name.startswith("uint") else t.to(getattr(torch, name))
        assert ours(t) == repr(t)


def test_only_the_corners_are_fetched():
    t = torch.arange(2_000_000).reshape(200, 100, 100)
    fetch = Fetch(t)
    assert printing.tensor_str(fetch, dtype=dtypes.int64, shape=t.shape) == repr(t)
    assert fetch.fetched == 6 ** 3


@pytest.mark.parametrize("where", ["meta", "meta:1"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (0, 3)])
@pytest.mark.parametrize("name", DTYPES)
def test_meta(where, shape, name):
    t = torch.empty(shape, dtype=getattr(torch, name), device=where)
    assert ours(t) == repr(t)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
@pytest.mark.parametrize("name", DTYPES)
def test_empty(shape, name):
    t = torch.empty(shape, dtype=getattr(torch, name))
    assert ours(t) == repr(t)


def test_grad_fn():
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    for t in (x, x + 1, x.sum(), x[0], x.T, (x * 2).detach(), torch.ones(30, requires_grad=True) * 1.5, x.exp().to(torch.float64)):
        assert ours(t) == repr(t)


def test_grad_fn_of_a_python_function():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    t = Twice.apply(torch.ones(3, requires_grad=True))
    assert ours(t) == repr(t) and "TwiceBackward" in repr(t)


def test_subclasses():
    class Odd(torch.Tensor):
        pass

    class OddParameter(torch.nn.Parameter):
        pass

    for t in (torch.randn(40, 3).as_subclass(Odd), OddParameter(torch.randn(4, 30)), torch.randn(3, dtype=torch.float64).as_subclass(Odd)):
        assert ours(t) == repr(t)


def test_tangent_and_contents():
    with torch.autograd.forward_ad.dual_level():
        t = torch.autograd.forward_ad.make_dual(torch.ones(2), torch.tensor([2.0, 3.0]))
        assert ours(t, tangent=repr(torch.tensor([2.0, 3.0]))) == repr(t)
    t = torch.ones(2, dtype=torch.float64)
    assert ours(t, contents="custom") == t.__repr__(tensor_contents="custom")


def test_bfloat16_as_a_numpy_array():
    t = torch.randn(50).to(torch.bfloat16)
    values = t.to(torch.float32).numpy().astype(dtypes.bfloat16.np)
    assert printing.tensor_str(values, dtype=dtypes.bfloat16, shape=(50,)) == repr(t)


def test_options_round_trip():
    set_both(precision=2, sci_mode=True)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    set_both(linewidth=100)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()
    for profile in ("short", "full", "default"):
        set_both(profile=profile, precision=3)
        assert printing.get_printoptions() == torch._tensor_str.get_printoptions()


def test_options_as_a_context():
    before = printing.get_printoptions()
    with pytest.raises(KeyError), printing.printoptions(precision=1, sci_mode=True):
        t = torch.tensor([1.25])
        assert ours(t) == "tensor([1.2e+00])"
        raise KeyError
    assert printing.get_printoptions() == before
    with pytest.raises(TypeError), printing.printoptions(colour=1):
        pass
