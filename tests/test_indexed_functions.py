"""Indexed, scanning, sorting and windowed functions beside torch: values, dtypes, shapes, gradients and errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import frankentorch as ft
from frankentorch.ops import counting, grids, index, masked, scan, sort, window  # noqa: F401
from frankentorch.ops.define import API

F = torch.nn.functional
NAN, INF = float("nan"), float("inf")


def ours(a: Any) -> Any:
    """A torch value as one of ours."""
    if isinstance(a, torch.Tensor) and a.ndim == 4 and not a.is_contiguous() and a.is_contiguous(memory_format=torch.channels_last):
        last = ours(a.detach().permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2).detach()
        return last.requires_grad_(True) if a.requires_grad else last
    if isinstance(a, torch.Tensor):
        t = ft.tensor(a.detach().float().numpy(), dtype=ft.bfloat16) if a.dtype is torch.bfloat16 else ft.tensor(a.detach().numpy())
        return t.requires_grad_(True) if a.requires_grad else t
    if isinstance(a, torch.dtype):
        return getattr(ft, str(a).removeprefix("torch."))
    if type(a) in (list, tuple):
        return type(a)(ours(v) for v in a)
    return a


def tensors(a: Any) -> list[Any]:
    if isinstance(a, (list, tuple)):
        return [t for v in a for t in tensors(v)]
    return [a] if hasattr(a, "dtype") else []


def plain(t: Any) -> Any:
    if isinstance(t, torch.Tensor):
        return t.detach().double().numpy() if t.dtype is torch.bfloat16 else t.detach().contiguous().numpy()
    return t.detach().to(ft.float64).numpy() if t.dtype is ft.bfloat16 else t.detach().contiguous().numpy()


def same(got: Any, want: Any, tol: float, strides: bool = False) -> None:
    got, want = tensors(got), tensors(want)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert str(g.dtype) == str(w.dtype)
        assert tuple(g.shape) == tuple(w.shape)
        if strides and g.numel():
            assert tuple(g.stride()) == tuple(w.stride())
        a, b = plain(g), plain(w)
        if w.dtype.is_floating_point or w.dtype.is_complex:
            np.testing.assert_allclose(a, b, rtol=tol, atol=tol)
        else:
            np.testing.assert_array_equal(a, b)


def compare(name: str, *args: Any, reference: Any = None, tol: float = 1e-5, second: bool = False, strides: bool = False, **kw: Any) -> None:
    """One call in both: results, and the gradients of every float operand for the same cotangents."""
    reference = reference or getattr(torch, name)
    mine, theirs = ours(args), args
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = reference(*theirs, **kw)
        got = API[name].function(*mine, **{k: ours(v) for k, v in kw.items()})
    same(got, want, tol, strides)
    leaves = [(a, b) for a, b in zip(tensors(mine), tensors(theirs), strict=True) if b.requires_grad]
    outs = [(a, b) for a, b in zip(tensors(got), tensors(want), strict=True) if b.requires_grad]
    if not leaves or not outs:
        return
    torch.manual_seed(0)
    seeds = [torch.randn(b.shape, dtype=b.dtype) for _, b in outs]
    gw = torch.autograd.grad([b for _, b in outs], [b for _, b in leaves], seeds, create_graph=second)
    gg = ft.autograd.grad([a for a, _ in outs], [a for a, _ in leaves], [ours(s) for s in seeds], create_graph=second)
    same(list(gg), list(gw), tol * 10)
    if second:
        pairs = [(a, b) for a, b in zip(gg, gw, strict=True) if b.requires_grad]
        if pairs:
            hw = torch.autograd.grad([(b * b).sum() for _, b in pairs], [b for _, b in leaves], allow_unused=True)
            known = [a for a, _ in pairs if a.requires_grad]
            hg = ft.autograd.grad([(a * a).sum() for a in known], [a for a, _ in leaves], allow_unused=True) if known else [None] * len(hw)
            for a, b in zip(hg, hw, strict=True):
                if a is None:  # torch may say zero where nothing depends
                    assert b is None or not b.any()
                else:
                    same(a, torch.zeros(a.shape) if b is None else b, tol * 100)


def raises(name: str, *args: Any, reference: Any = None, **kw: Any) -> None:
    """Both refuse, with the same class of error and the same first line."""
    reference = reference or getattr(torch, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as theirs:
            reference(*args, **kw)
        with pytest.raises(Exception) as mine:
            API[name].function(*ours(args), **{k: ours(v) for k, v in kw.items()})
    assert isinstance(mine.value, type(theirs.value)) or type(theirs.value) is type(mine.value)
    assert str(mine.value).split("\n")[0] == str(theirs.value).split("\n")[0]


L = torch.tensor


def floats(*shape: int, grad: bool = True, dtype: Any = torch.float32, seed: int = 0) -> Any:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return x.requires_grad_(grad)


def ints(high: int, *shape: int, low: int = 0, seed: int = 0) -> Any:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


# Reading and writing through indices ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_reads(dtype: Any) -> None:
    x = floats(5, 7, 3, dtype=dtype)
    tol = 2e-2 if dtype is torch.bfloat16 else 1e-6
    compare("index_select", x, 1, ints(7, 20), tol=tol, second=True)
    compare("index_select", x, -1, ints(3, 9).int(), tol=tol)
    compare("gather", x, 1, ints(7, 4, 9, 3), tol=tol, second=True)
    compare("take", x, ints(105, 4, 6, low=-105), tol=tol, second=True)
    compare("take_along_dim", x, ints(7, 1, 4, 3), 1, tol=tol)
    compare("take_along_dim", x, ints(105, 8), tol=tol)
    compare("embedding", floats(10, 6, dtype=dtype), ints(10, 4, 5), 3, tol=tol)
    compare("embedding", floats(10, 6, dtype=dtype), ints(10, 40), -1, True, tol=tol)


def test_reads_of_numbers() -> None:
    compare("index_select", L(3.0, requires_grad=True), 0, L([0]))
    compare("gather", L(3.0, requires_grad=True), 0, L(0))
    compare("gather", L(3.0, requires_grad=True), 0, L([0]))
    compare("gather", L([1.0, 3.0], requires_grad=True), 0, L(1))
    compare("gather", floats(3, 4), 0, L([], dtype=torch.long))


def _index(x: Any, indices: Any) -> Any:
    return x[tuple(slice(None) if i is None else i for i in indices)]


def test_index() -> None:
    x = floats(5, 4, 3, 6)
    for indices in ([ints(5, 2, 3, low=-5)], [None, ints(4, 3), ints(3, 2, 1)], [ints(5, 3), None, ints(3, 2, 1)], [x.detach() > 0], [x.detach()[:, 0, 0, 0] > 0],
                    [None, x.detach()[0, :, :, 0] > 0], [x.detach()[:, 0, 0, 0] > 9], [None, x.detach()[0, :, 0, 0] > -9, None, L([1])],
                    [L(True)], [L(False)], [ints(5, 0)]):
        compare("index", x, indices, reference=_index, second=True)


def test_index_put() -> None:
    x = floats(5, 4, 3)
    unique = torch.randperm(5, generator=torch.Generator().manual_seed(1))[:3]
    compare("index_put", x, (unique,), floats(3, 4, 3, seed=1), second=True)
    compare("index_put", x, (unique,), floats(4, 3, seed=1))
    compare("index_put", x, (ints(5, 30),), floats(30, 4, 3, seed=1), True, second=True)
    compare("index_put", x, (ints(5, 30), ints(4, 2, 1)), floats(2, 30, 3, seed=1), True)
    compare("index_put", x, (x.detach() > 0,), L(2.0, requires_grad=True), second=True)
    compare("index_put", x, (x.detach()[:, :, 0] > 0,), floats(3, seed=2))
    compare("index_put", x, (ints(5, 30, low=-5),), L(1.0), True)


def test_scatters() -> None:
    x, src = floats(5, 6), floats(4, 6, seed=1)
    once = torch.stack([torch.randperm(5, generator=torch.Generator().manual_seed(i))[:4] for i in range(6)], 1)
    compare("scatter", x, 0, once, src, second=True)
    compare("scatter", x, 0, once, 2.5)
    compare("scatter", x, 0, once, value=2.5)
    compare("scatter_add", x, 0, ints(5, 4, 6), src, second=True)
    compare("scatter_add", x, 1, ints(6, 3, 9), floats(3, 9, seed=1))
    compare("scatter_add", floats(5, 6, dtype=torch.bfloat16), 0, ints(5, 4, 6), floats(4, 6, dtype=torch.bfloat16), tol=2e-2)
    compare("scatter", x.detach(), 0, ints(5, 4, 6), src.detach(), reduce="multiply")
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        for include in (True, False):
            compare("scatter_reduce", x, 0, ints(5, 4, 6), src, reduce, include_self=include, tol=1e-4)
            compare("scatter_reduce", ints(9, 5, 6, low=-9), 0, ints(5, 4, 6), ints(9, 4, 6, low=-9), reduce, include_self=include)
    compare("scatter_reduce", L([2.0, 0.0, 3.0], requires_grad=True), 0, L([0, 0, 1, 2, 2, 2]), L([0.0, 4.0, 5.0, 0.0, 0.0, 2.0], requires_grad=True), "prod")


def test_slices_by_number() -> None:
    x, src = floats(5, 6, 2), floats(9, 6, 2, seed=1)
    compare("index_add", x, 0, ints(5, 9), src, second=True)
    compare("index_add", x, 0, ints(5, 9), src, alpha=2.5)
    compare("index_add", L(3.0), 0, L([0]), L(2.0))
    compare("index_copy", x, 1, L([3, 0]), floats(5, 2, 2, seed=1), second=True)
    compare("index_fill", x, 1, L([3, -1]), 7.0)
    compare("index_fill", ints(9, 4, 4), 0, L([1]), 2.5)
    compare("index_fill", x, 2, L([0]), L(4.0))
    compare("put", x, ints(60, 3), floats(3, seed=3))


def test_index_errors() -> None:
    x = torch.arange(12.0).view(3, 4)
    raises("index_select", x, 0, L([[0, 1]]))
    raises("index_select", x, 0, L([0.0, 1]))
    raises("index_select", x, 0, L([3]))
    raises("index_select", x, 0, L([-1]))
    raises("index_select", x, 5, L([0]))
    raises("index_select", L(3.0), 0, L([0, 0]))
    raises("gather", x, 0, L([0]))
    raises("gather", x, 0, L([[0.0]]))
    raises("gather", x, 0, L([[5]]))
    raises("gather", x, 0, L([[-1]]))
    raises("gather", x, 1, torch.zeros(4, 1, dtype=torch.long))
    for bad in ([L([5])], [L([-4])], [L([0, 1]), L([0, 1, 2])], [L([0.0])], [None, L([9])], [L([0])] * 3, [L([True, False])], [L([0], dtype=torch.int16)]):
        raises("index", x, bad, reference=_index)
    raises("take", x, L([13]))
    raises("take", x, L([0.0]))
    raises("scatter", x, 0, L([[5]]), x)
    raises("scatter", x, 0, L([[0]]), x.double())
    raises("scatter", x, 0, L([0]), x)
    raises("scatter", x, 0, L([[0] * 4] * 4), x)
    raises("scatter", x, 0, L([[0]]), x, reduce="foo")
    raises("scatter_add", x, 0, L([[-1]]), x)
    raises("scatter_reduce", x, 0, L([[0]]), x, "foo")
    raises("index_add", x, 0, L([0]), x)
    raises("index_add", x, 0, L([7, 0, 0]), x)
    raises("index_add", x, 0, L([0, 0, 0]), x.double())
    raises("index_add", x, 0, L([[0]]), x)
    raises("index_add", x, 0, L([0.0, 0, 0]), x)
    raises("index_add", x, 0, L([0, 1, 2]), x[:, :2])
    raises("index_copy", x, 0, L([0]), x)
    raises("index_copy", x, 0, L([7, 0, 0]), x)
    raises("index_copy", x, 0, L([0, 0, 0]), x.double())
    raises("index_copy", x, 0, L([0, 1, 2]), x[:, :2])
    raises("index_copy", x, 0, L([0]), x[0])
    raises("index_fill", x, 0, L([7]), 1.0)
    raises("index_fill", x, 0, L([0.0]), 1.0)
    raises("index_fill", x, 0, L([0]), x)
    raises("index_put", x, (L([0, 1]),), x)
    raises("index_put", x, (L([9]),), L(1.0))
    raises("embedding", x, L([5]))


# Masks and counts ---------------------------------------------------------------------------------------------------------------
def test_masks() -> None:
    x = floats(5, 6)
    mask = x.detach() > 0
    compare("masked_fill", x, mask, 3.0, second=True)
    compare("masked_fill", x, mask[0], L(2.0, requires_grad=True))
    compare("masked_fill", ints(9, 5, 6), mask, 1.5)
    compare("masked_scatter", x, mask, floats(30, seed=1), second=True)
    compare("masked_scatter", x, mask[0], floats(5, 6, seed=1))
    compare("masked_select", x, mask, second=True)
    compare("masked_select", x, mask[0])
    compare("masked_select", x, mask & False)
    compare("nonzero", mask)
    compare("nonzero", L(5.0))
    compare("nonzero", torch.zeros(3, 0))
    compare("nonzero", L([[0, 2], [3, 0]]), as_tuple=True)
    compare("nonzero", L(0.0), as_tuple=True)
    compare("argwhere", mask)
    raises("masked_fill", x, x, 0)
    raises("masked_fill", x, mask, x)
    raises("masked_scatter", x, mask, L([1.0]))
    raises("masked_scatter", x, mask, x.double())
    raises("masked_select", x, x)


def test_counts() -> None:
    compare("bincount", L([1, 1, 4]))
    compare("bincount", ints(9, 50), floats(50, grad=False))
    compare("bincount", ints(9, 50).int(), ints(9, 50), 20)
    compare("bincount", L([], dtype=torch.long), minlength=3)
    x = floats(40, grad=False)
    compare("histc", x, 7)
    compare("histc", x, 4, 0, 2)
    compare("histc", L([2.0, 2.0]), 3)
    for bad in ((L([-1]),), (L([1.0]),), (L([1]), L([1.0, 2.0])), (L([[1]]),)):
        raises("bincount", *bad)
    raises("histc", x, 0)
    raises("histc", x, 3, 5, 2)
    raises("histc", ints(4, 3), 3)


def test_distinct() -> None:
    for x in (ints(5, 30), ints(4, 6, 3), floats(9, grad=False).round(), L([NAN, NAN, 1.0, -0.0, 0.0]), L([], dtype=torch.long), L([True, False, True])):
        compare("unique", x)
        compare("unique", x, return_inverse=True, return_counts=True)
        compare("unique_consecutive", x, return_inverse=True, return_counts=True)
    rows = ints(2, 12, 3)
    for dim in (0, 1):
        compare("unique", rows, dim=dim, return_inverse=True, return_counts=True)
        compare("unique_consecutive", rows, dim=dim, return_inverse=True, return_counts=True)
    compare("isin", ints(9, 4, 5), L([3, 7]))
    compare("isin", ints(9, 4, 5), 3, invert=True)


def test_repetition() -> None:
    x = floats(4, 3)
    compare("repeat_interleave", L([1, 2, 0]))
    compare("repeat_interleave", x, 2)
    compare("repeat_interleave", x, 3, 0, second=True)
    compare("repeat_interleave", x, L([1, 0, 3, 2]), 0, second=True)
    compare("repeat_interleave", x, L([2]), 1)
    compare("repeat_interleave", x, L([1, 2, 1, 0]), 0, output_size=4)
    for bad in ((L([1, 2]), 0), (L([-1, 1, 1, 1]), 0), (L([1.0, 1, 1, 1]), 0), (-1,)):
        raises("repeat_interleave", x, *bad)


def test_grids() -> None:
    compare("tril_indices", 3, 4, -1)
    compare("tril_indices", 3, 4, 2)
    compare("triu_indices", 5, 3, 1)
    compare("triu_indices", 0, 3)
    compare("combinations", L([1, 2, 3, 4]), 3)
    compare("combinations", L([1.0, 2, 3]), 2, True)
    compare("combinations", L([1, 2]), 1)
    compare("cartesian_prod", L([1, 2]), L([3, 4, 5]))
    compare("meshgrid", L([1, 2]), L([3, 4, 5]), indexing="ij")
    compare("meshgrid", L([1, 2]), L([3, 4, 5]), indexing="xy")
    compare("block_diag", floats(2, 3), floats(3, seed=1), L(2.0))
    raises("meshgrid", L([1, 2]), L([3]), indexing="zz")


# Scans --------------------------------------------------------------------------------------------------------------------------
def test_scans() -> None:
    x = floats(4, 50)
    for dim in (0, 1):
        compare("cumsum", x, dim, second=True)
        compare("cumprod", x, dim, tol=1e-4)
        compare("cummax", x, dim)
        compare("cummin", x, dim)
        compare("logcumsumexp", x, dim, second=True)
    compare("cumprod", floats(4, 6), 1, second=True, tol=1e-4)
    compare("cumprod", L([[2.0, 0.0, 3.0, 0.0, 4.0], [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0, 0.0]], requires_grad=True), 1)
    compare("cumsum", floats(3, 4, dtype=torch.bfloat16), 1, tol=2e-2)
    compare("cumsum", ints(9, 3, 4).int(), 1)
    compare("cumsum", ints(9, 3, 4), 1, dtype=torch.float64)
    compare("cumsum", L([True, True]), 0)
    compare("cumsum", L(3.0, requires_grad=True), 0)
    compare("cummax", L([1.0, NAN, 3, NAN, 1]), 0)
    compare("cummin", ints(4, 20), 0)
    raises("cumsum", x, 5)


def test_cumsum_has_torchs_bits() -> None:
    x = floats(3, 5000, grad=False)
    assert (ours(x).cumsum(1).numpy() == x.cumsum(1).numpy()).all()


# Order --------------------------------------------------------------------------------------------------------------------------
def test_sort() -> None:
    for x in (floats(4, 33), ints(5, 4, 33), L([NAN, 1.0, -INF, NAN, 0.0, -0.0, INF]), L(3.0, requires_grad=True), floats(3, 60, dtype=torch.bfloat16)):
        for dim in (0, -1):
            for descending in (False, True):
                compare("sort", x, dim=dim, descending=descending, stable=True)
                compare("argsort", x, dim=dim, descending=descending, stable=True)
    compare("msort", floats(4, 5), second=True)
    raises("sort", floats(3, grad=False) + 0j)
    raises("sort", floats(3), 3)


def test_topk() -> None:
    for shape, k in (((4, 33), 5), ((4, 500), 7), ((4, 500), 100), ((300, 2), 3)):
        for dim in (0, 1):
            for largest in (True, False):
                compare("topk", floats(*shape), min(k, shape[dim]), dim, largest)
    raises("topk", floats(4), 5)


def test_order_statistics() -> None:
    x = floats(5, 8)
    holes = x.detach().clone()
    holes[holes > 0.8] = NAN
    for dim in (0, 1):
        compare("kthvalue", x, 3, dim)
        compare("kthvalue", x, 3, dim, True)
        for t in (x, holes.clone().requires_grad_(True)):
            compare("median", t, dim)
            compare("nanmedian", t, dim, True)
    compare("median", x)
    compare("median", holes)
    compare("nanmedian", holes)
    compare("median", L([], dtype=torch.float32))
    compare("median", ints(9, 7))
    compare("mode", L([1, 2, 2, 1, 3]))
    compare("mode", L([[1.0, 2, 2, 1, 3], [5, 5, 4, 4, 3]], requires_grad=True), 1)
    compare("mode", L(2.0))
    compare("mode", ints(3, 12, 6), 0, True)  # torch sorts longer lines unstably: any index
    raises("kthvalue", x, 0)
    raises("median", torch.zeros(0, 3), 0)
    raises("mode", torch.zeros(0))


def test_quantiles() -> None:
    x = floats(5, 8)
    holes = x.detach().clone()
    holes[holes > 0.8] = NAN
    for mode in ("linear", "lower", "higher", "midpoint", "nearest"):
        compare("quantile", x, 0.3, interpolation=mode)
        compare("quantile", x, L([0.1, 0.5, 1.0]), 1, True, interpolation=mode)
        compare("nanquantile", holes, L([0.1, 0.5, 1.0]), 0, interpolation=mode)
        compare("quantile", holes, 0.5, 1, interpolation=mode)
    for bad in (1.5, L([0.1], dtype=torch.float64), L([[0.5]])):
        raises("quantile", x, bad)
    raises("quantile", ints(3, 4), 0.5)
    raises("quantile", torch.zeros(0), 0.5)
    raises("quantile", x, 0.5, interpolation="foo")


def test_search() -> None:
    line = floats(20, grad=False).sort().values
    for right in (False, True):
        compare("searchsorted", line, floats(4, 5, grad=False, seed=1), right=right)
        compare("searchsorted", line, line, right=right, out_int32=True)
        compare("bucketize", floats(4, 5, grad=False, seed=1), line, right=right)
    rows = floats(3, 9, grad=False)
    compare("searchsorted", rows.sort(1).values, floats(3, 4, grad=False))
    compare("searchsorted", rows, floats(3, 4, grad=False), sorter=rows.argsort(1), side="right")
    compare("searchsorted", L([1, 3, 5]), 3)
    raises("searchsorted", L([[1, 3], [2, 4]]), L([3]))
    raises("searchsorted", L([1, 3, 5]), L([3]), side="foo")
    raises("searchsorted", L([1, 3, 5]), L([3]), right=True, side="left")
    raises("bucketize", L([3]), L([[1]]))


# Windows --------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_pools(dtype: Any, last: bool) -> None:
    tol = 2e-2 if dtype is torch.bfloat16 else 1e-5
    x = floats(2, 3, 11, 40, dtype=dtype, grad=False)
    x = (x.to(memory_format=torch.channels_last) if last else x).requires_grad_(True)
    for kernel, stride, padding, ceil in ((2, None, 0, False), (3, 2, 1, False), (3, 2, 1, True), ((2, 3), (1, 2), (1, 0), True), (3, 1, 1, False)):
        compare("max_pool2d", x, kernel, stride, padding, ceil_mode=ceil, tol=tol, reference=F.max_pool2d, strides=True)
        for include in (False, True):
            compare("avg_pool2d", x, kernel, stride, padding, ceil_mode=ceil, count_include_pad=include, reference=F.avg_pool2d, tol=tol,
                    second=dtype is torch.float64)
    compare("max_pool2d_with_indices", x, 3, 2, 1, 2, reference=lambda *a: F.max_pool2d(*a, return_indices=True), tol=tol)
    compare("avg_pool2d", x, 3, 2, 1, divisor_override=5, reference=F.avg_pool2d, tol=tol)
    compare("adaptive_avg_pool2d", x.detach(), 0, reference=F.adaptive_avg_pool2d)
    for size in (1, (3, 4), (None, 7), (11, 5)):
        compare("adaptive_avg_pool2d", x, size, reference=F.adaptive_avg_pool2d, tol=tol, second=dtype is torch.float64)
        compare("adaptive_max_pool2d", x, size, reference=lambda *a: F.adaptive_max_pool2d(*a, return_indices=True), tol=tol)


def test_pools_of_other_ranks() -> None:
    compare("max_pool1d", floats(2, 3, 20), 3, 2, 1, reference=F.max_pool1d)
    compare("max_pool1d", floats(3, 20), 3, 2, 1, 2, reference=F.max_pool1d)
    compare("avg_pool1d", floats(2, 3, 20), 3, 2, 1, True, False, reference=F.avg_pool1d)
    compare("adaptive_avg_pool1d", floats(2, 3, 20), 7, reference=F.adaptive_avg_pool1d)
    compare("adaptive_max_pool1d", floats(2, 3, 20), 7, reference=torch.adaptive_max_pool1d)
    compare("max_pool3d", floats(1, 2, 5, 6, 7), 2, 1, 1, reference=F.max_pool3d)
    compare("avg_pool3d", floats(1, 2, 5, 6, 7), (2, 3, 2), 2, (1, 1, 0), reference=F.avg_pool3d)
    compare("adaptive_avg_pool3d", floats(1, 2, 5, 6, 7), (2, 3, 4), reference=F.adaptive_avg_pool3d)
    compare("max_pool2d", ints(9, 1, 2, 6, 6), 2, reference=F.max_pool2d)
    compare("max_pool2d", L([[[[1.0, NAN, 2.0, 3.0], [NAN, 0.0, 3.0, -INF]]]]), 2, reference=F.max_pool2d)
    compare("avg_pool2d", ints(9, 1, 2, 6, 6), 2, reference=F.avg_pool2d)


def test_unpools_and_columns() -> None:
    x = floats(2, 3, 6, 8)
    values, where = F.max_pool2d(x.detach(), 2, return_indices=True)
    compare("max_unpool2d", values.requires_grad_(True), where, (6, 8), reference=torch._C._nn.max_unpool2d)
    where[0, 0, 0, 0] = 100
    raises("max_unpool2d", values, where, (6, 8), reference=torch._C._nn.max_unpool2d)
    for kernel, dilation, padding, stride in (((2, 3), (1, 1), (0, 0), (1, 1)), ((3, 2), (2, 1), (1, 2), (2, 3))):
        compare("im2col", x, kernel, dilation, padding, stride, reference=torch._C._nn.im2col, second=True)
        columns = F.unfold(x.detach(), kernel, dilation, padding, stride).requires_grad_(True)
        compare("col2im", columns, (6, 8), kernel, dilation, padding, stride, reference=torch._C._nn.col2im, second=True)


def test_pool_errors() -> None:
    x = floats(1, 2, 5, 6)
    for args in ((9,), (3, None, 2), (3, 0), ((2, 2, 2),), (2, None, -1), (3, None, 0, 4)):
        raises("max_pool2d", x, *args, reference=F.max_pool2d)
    raises("max_pool2d", x[0, 0], 2, reference=F.max_pool2d)
    raises("avg_pool2d", x, 9, reference=F.avg_pool2d)
    raises("avg_pool2d", x, 3, None, 2, reference=F.avg_pool2d)
    raises("avg_pool2d", x, 2, divisor_override=0, reference=F.avg_pool2d)
    raises("adaptive_avg_pool2d", x, -1, reference=F.adaptive_avg_pool2d)
    raises("adaptive_avg_pool2d", x[0, 0], 2, reference=F.adaptive_avg_pool2d)


# Regions, differences, areas ---------------------------------------------------------------------------------------------------------
def test_regions() -> None:
    x = floats(3, 4)
    for t in (x, x.detach().T.contiguous().T):
        compare("select_scatter", t, floats(4, seed=1), 0, -1, second=True)
        compare("slice_scatter", t, floats(3, 2, seed=1), 1, 0, None, 2, second=True)
        compare("diagonal_scatter", t, floats(3, seed=1))
    compare("diag_embed", floats(2, 3), 1, second=True)
    compare("diag_embed", floats(2, 3), -1, 0, 2)
    compare("diag", x, 1, second=True)
    compare("diag", floats(3), -2)
    compare("diagflat", floats(2, 2))
    for k in range(-1, 5):
        compare("rot90", x, k, [0, 1], second=True)
    compare("rot90", floats(2, 3, 4), 1, [2, 0])
    compare("unravel_index", L([5, 11]), (3, 4))
    raises("select_scatter", x, floats(3), 0, 0)
    raises("diag", floats(2, 2, 2))
    raises("rot90", x, 1, [0])
    raises("rot90", x, 1, [0, 0])


def test_differences_and_areas() -> None:
    x = floats(3, 6)
    compare("diff", x, second=True)
    compare("diff", x, 2, 0)
    compare("diff", x, 9)
    compare("diff", L([True, False, False]))
    compare("diff", x, prepend=x.detach()[:, :1], append=x.detach()[:, :2])
    compare("trapezoid", x, dx=2.0, second=True)
    compare("trapezoid", x, floats(6, seed=1))
    compare("trapezoid", ints(9, 3, 4), dim=0)
    compare("cumulative_trapezoid", x, second=True)
    compare("cumulative_trapezoid", x, floats(3, 6, seed=1), dim=0)
    raises("diff", x, -1)
    raises("diff", L(3.0))
    raises("trapezoid", L(3.0))


def test_index_reduce_and_histogram() -> None:
    for reduce in ("prod", "mean", "amax", "amin"):
        for include in (True, False):
            compare("index_reduce", floats(4, 3), 0, L([1, 1, 3]), floats(3, 3, seed=1), reduce, include_self=include, tol=1e-4)
    x, weight = floats(50, grad=False), floats(50, grad=False, seed=1).abs()
    compare("histogram", x, 7)
    compare("histogram", x, 5, range=(-1.0, 2.0), weight=weight, density=True)
    compare("histogram", x, L([-1.0, 0.0, 0.5, 3.0]))
    raises("histogram", x, 0)


# Derived forms --------------------------------------------------------------------------------------------------------------------
def test_in_place_forms_write_the_tensor_and_its_views() -> None:
    def program(t: Any, x: Any, i: Any, s: Any) -> Any:
        a = x.clone()
        row = a[1]
        a.scatter_(0, i, s)
        a.index_add_(0, i[:, 0], s)
        a.masked_fill_(a > 1, 0.5)
        a.index_put_((i[:, 1], i[:, 0]), s[:, 0], accumulate=True)
        a.index_copy_(1, i[0, :1], a[:, :1] * 2)
        b = a.clone()
        b.cumsum_(0)
        a[i[:, 0]] += 1
        a[a < 0] = -1
        a[:, 1:3] = 7
        row.scatter_add_(0, i[:, 0], s[:, 0])
        return a, b, row

    x, s, i = floats(5, 6, grad=False), floats(4, 6, grad=False, seed=1), torch.stack([torch.randperm(5, generator=torch.Generator().manual_seed(k))[:4]
                                                                                    for k in range(6)], 1)
    same(program(ft, ours(x), ours(i), ours(s)), program(torch, x, i, s), 1e-6, True)


def test_an_updated_operand_keeps_its_value_where_it_is_still_used() -> None:
    x = ft.zeros(4, 3)
    y = x.index_add(0, ft.tensor([1, 1]), ft.ones(2, 3))
    z = y.scatter_add(0, ft.tensor([[0, 1, 2]]), ft.ones(1, 3))
    assert x.sum().item() == 0
    assert y.sum().item() == 6
    assert z.sum().item() == 9


def test_out_forms() -> None:
    x, i = floats(5, 6, grad=False), ints(5, 4, 6)
    out, values, indices = ft.empty(0), ft.empty(0), ft.empty(0, dtype=ft.int64)
    same(ft.gather(ours(x), 0, ours(i), out=out), torch.gather(x, 0, i), 0)
    same(out, torch.gather(x, 0, i), 0)
    got = ft.sort(ours(x), 1, out=(values, indices))
    same(got, torch.sort(x, 1), 0)
    same((values, indices), torch.sort(x, 1), 0)
    assert repr(ft.tensor([2.0, 1.0]).sort()) == repr(torch.tensor([2.0, 1.0]).sort())


def test_refused_writes_leave_the_tensor_alone() -> None:
    x = ft.zeros(3)
    for call in (lambda: x.scatter_(0, ft.tensor([0, 9]), 1.0), lambda: x.index_add_(0, ft.tensor([0, 9]), ft.ones(2)),
                 lambda: x.index_put_((ft.tensor([0, 9]),), ft.tensor(1.0)), lambda: x.index_fill_(0, ft.tensor([0, 9]), 1.0)):
        with pytest.raises((RuntimeError, IndexError)):
            call()
    assert x.tolist() == [0.0, 0.0, 0.0]
    assert x._version == 0


def test_a_pending_index_is_looked_at() -> None:
    base = ft.arange(6).reshape(2, 3)
    with pytest.raises(RuntimeError, match="index 3 is out of bounds for dimension 1 with size 3"):
        ft.zeros(2, 3).gather(1, base)
    assert ft.arange(6.0).reshape(2, 3).gather(1, base % 3).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


# Corners ---------------------------------------------------------------------------------------------------------------------------
def test_complex_and_low_precision() -> None:
    c = torch.complex(floats(3, 4, grad=False), floats(3, 4, grad=False, seed=1))
    compare("cumsum", c.clone().requires_grad_(), 1)
    compare("index_select", c.clone().requires_grad_(), 1, L([0, 0, 2]))
    compare("gather", c.clone().requires_grad_(), 1, L([[0, 0, 2]]))
    compare("index_add", c.clone().requires_grad_(), 1, L([0, 0]), c[:, :2].clone().requires_grad_())
    compare("masked_select", c, c.real > 0)
    compare("topk", floats(3, 90, dtype=torch.bfloat16), 4, tol=0.01)
    compare("unique", floats(30, dtype=torch.bfloat16, grad=False))
    compare("cummax", floats(3, 9, dtype=torch.bfloat16), 1)
    compare("logcumsumexp", floats(3, 9, dtype=torch.bfloat16), 1, tol=0.02)
    compare("median", floats(3, 9, dtype=torch.bfloat16), 1)
    compare("searchsorted", floats(9, dtype=torch.bfloat16, grad=False).sort().values, floats(3, dtype=torch.bfloat16, grad=False, seed=1))
    compare("index_add", torch.zeros(3, 4, dtype=torch.int32), 0, L([0, 0]), torch.ones(2, 4, dtype=torch.int32))
    compare("index_add", torch.zeros(3, dtype=torch.bool), 0, L([0, 0]), torch.ones(2, dtype=torch.bool))
    compare("scatter_add", torch.zeros(3, dtype=torch.float16), 0, L([0, 0]), torch.ones(2, dtype=torch.float16))


def test_empty_and_tiny_operands() -> None:
    compare("cumsum", torch.zeros(0, 3), 0)
    compare("cumsum", torch.zeros(3, 0), 1)
    compare("sort", torch.zeros(0))
    compare("sort", torch.zeros(3, 0))
    compare("topk", torch.zeros(3, 0), 0)
    compare("cummax", torch.zeros(0, 3), 0)
    compare("cummax", torch.zeros(0), 0)
    compare("nonzero", torch.zeros(0))
    compare("masked_select", torch.zeros(0), torch.zeros(0, dtype=torch.bool))
    compare("index_select", torch.zeros(0, 3), 1, L([0, 2]))
    compare("unique", torch.zeros(0, 3), dim=0)
    compare("repeat_interleave", torch.zeros(0, dtype=torch.long))
    compare("repeat_interleave", torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), 0)
    compare("bucketize", torch.zeros(0), L([1.0, 2.0]))
    compare("quantile", L(3.0), 0.5)
    compare("quantile", floats(3, 4), 0.5, 0, True)
    compare("quantile", floats(3, 4), 0.5, None, True)
    compare("quantile", floats(3, 4), L([0.1, 0.2]), None, True)
    compare("histc", torch.zeros(0), 3)
    compare("max_pool2d", torch.zeros(0, 2, 5, 6), 2, reference=F.max_pool2d)
    compare("avg_pool2d", torch.zeros(0, 2, 5, 6), 2, reference=F.avg_pool2d)
    compare("adaptive_avg_pool2d", torch.zeros(0, 2, 5, 6), 2, reference=F.adaptive_avg_pool2d)
    compare("index", floats(3, 4), [L([1, 0, 1], dtype=torch.uint8)], reference=_index)
    compare("index_put", floats(3, 4), (L([1, 0, 1], dtype=torch.bool),), floats(2, 4))
    compare("index_put", floats(3, 4), (L(0),), floats(4))
    compare("sort", L([True, False, True]))
    compare("argsort", ints(9, 3, 4).to(torch.uint8), descending=True)
    compare("isin", floats(3, grad=False), L([]))
    compare("mode", torch.zeros(3, 1), 1)
    compare("kthvalue", L(3.0), 1)
    compare("median", L(3.0), 0)
    compare("nanmedian", L([NAN, NAN]), 0)
    compare("nanquantile", L([NAN, NAN]), 0.5)
    compare("combinations", L([1, 2, 3]), 5)
    compare("combinations", L([1, 2, 3]), 0)
    compare("cartesian_prod", L([1, 2]))
    compare("cumprod", L([[0.0, 0.0, 1.0]], requires_grad=True), 1)
    compare("logcumsumexp", L([-INF, 1.0, 2.0, -INF], requires_grad=True), 0)
    compare("logcumsumexp", L([1.0, INF, 2.0]), 0)
    compare("scatter_reduce", floats(3), 0, L([0, 0]), L([NAN, 1.0]), "amax")
    compare("index_fill", L(3.0), 0, L([0]), 2.0)
    compare("take", torch.zeros(0), L([], dtype=torch.long))
    compare("scatter", L(3.0), 0, L(0), L(5.0))
    compare("scatter_add", L(3.0, requires_grad=True), 0, L([0]), L([5.0], requires_grad=True))
    compare("embedding", floats(5, 3), L(2))
    raises("sort", L(3.0), 1)
    raises("cumsum", L(3.0), 1)
    raises("topk", L(3.0), 2)
    raises("max_pool1d", floats(3, 9), 3, 2, 2, reference=F.max_pool1d)
    raises("max_pool1d", floats(3, 2), 3, reference=F.max_pool1d)
    raises("avg_pool1d", floats(9), 3, reference=F.avg_pool1d)
    raises("max_pool2d", floats(1, 0, 3, 3), 2, reference=F.max_pool2d)
