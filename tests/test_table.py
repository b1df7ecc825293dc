"""Tests generated from the op table: each function beside torch's, its gradients beside finite differences, its derived forms beside it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch as oracle
from row_cases import DTYPES, FLOATS, INTS, arity, cases, primitives, required, specials, values

import frankentorch as torch
from frankentorch.autograd import gradcheck, gradgradcheck
from frankentorch.construct import from_array
from frankentorch.errors import NotImplementedYet
from frankentorch.ops.define import API
from frankentorch.ops.record import emit
from frankentorch.ops.table import ROWS, Kind, Row, schema_params

# What is known to differ from torch, and why. A difference that goes away fails its test (strict).
KNOWN = {
    "real": "a copy here, a view with strides of two in torch", "imag": "a copy here, a view with strides of two in torch",
    "complex": "complex32 has no arithmetic here",
    **dict.fromkeys(("addbmm", "baddbmm", "mv"), "torch's shape functions stumble before its own message (IndexError); here the message comes"),
}
# Where torch's own vectorised code is far from the true value: fmod and remainder by denormals, sinh and cosh above 709, ... ; left out of
# the corners below. Of maximum(0, -0) torch gives either, by position; here the first stays.
EITHER_ZERO = {"maximum", "minimum"}


def known(names: Any) -> list[Any]:
    return [pytest.param(n, marks=pytest.mark.xfail(reason=KNOWN[n], strict=True)) if n in KNOWN else n for n in names]


def theirs(name: str) -> Any:
    """torch's function of a public name of the table."""
    short = name.removeprefix("special_")
    for room, n in ((oracle.nn.functional, name), (oracle, name), (oracle.special, short), (oracle.Tensor, name)):
        if hasattr(room, n):
            return getattr(room, n)
    return None


def elementwise() -> list[str]:
    """Public functions of tensors alone that say where their samples lie: pointwise and reduction rows, and composites of one tensor or two."""
    names = []
    for name, entry in API.items():
        row = ROWS.get(entry.schema[: entry.schema.index("(")])
        needed = required(entry.schema)
        random = any(t == "Generator?" for t, _ in schema_params(entry.schema))
        if needed is None or theirs(name) is None or "reduction" in entry.schema or random or row is None or not entry.public:
            continue
        if row.kind in (Kind.POINTWISE, Kind.REDUCE, Kind.COMPOSITE) and len(needed) <= 3 and not entry.schema.endswith(("bool", "[]")):
            names.append(name)
    return sorted(names)


NAMES = elementwise()


def range_of(name: str) -> tuple[float, float]:
    row = ROWS.get(API[name].schema[: API[name].schema.index("(")])
    return (row.samples if row is not None else None) or (0.1, 0.9)


def both(name: str, arrays: list[np.ndarray], call: Any) -> tuple[Any, Any]:
    """(ours, torch's): a tensor, a tuple of them, or the exception."""
    got = []
    for lib, f in ((torch, API[name].function), (oracle, theirs(name))):
        tensors = [lib.tensor(a.astype(np.float32)).to(lib.bfloat16) if a.dtype.name == "bfloat16" else
                   lib.tensor(a) if a.size else lib.zeros(a.shape, dtype=getattr(lib, a.dtype.name)) for a in arrays]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                out = call(lib, f, tensors)
                for t in out if isinstance(out, tuple) else (out,):
                    t.sum().item() if lib is torch and t.numel() else None
                got.append(out)
            except Exception as error:
                got.append(error)
    return got[0], got[1]


def as_float(t: Any) -> np.ndarray:
    t = t.detach()
    wide = t.double() if "float16" in str(t.dtype) else t
    return np.array(wide.numpy())


TOLERANCE = {"float32": (2e-6, 1e-6), "float64": (1e-13, 1e-14), "bfloat16": (2e-2, 1e-2), "float16": (2e-3, 1e-3), "complex64": (2e-5, 1e-5),
             "complex128": (1e-11, 1e-12)}


def same(name: str, dtype: str, arrays: list[np.ndarray], call: Any = lambda lib, f, ts: f(*ts)) -> None:
    mine, wanted = both(name, arrays, call)
    where = f"{name}({', '.join(f'{a.dtype}{list(a.shape)}' for a in arrays)})"
    if isinstance(mine, NotImplementedYet):
        pytest.xfail(f"{where}: {mine}")
    if isinstance(wanted, Exception):
        assert isinstance(mine, type(wanted)), f"{where}: torch raises {wanted!r}, here {mine!r}"
        return
    if isinstance(mine, Exception):
        raise AssertionError(f"{where}: here {mine!r}") from mine
    for a, b in zip(mine if isinstance(mine, tuple) else (mine,), wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert (str(a.dtype), tuple(a.shape), a.stride()) == (str(b.dtype), tuple(b.shape), b.stride()), where
        rtol, atol = TOLERANCE.get(str(b.dtype).removeprefix("torch."), (0, 0))
        np.testing.assert_allclose(as_float(a), as_float(b), rtol, atol, err_msg=f"{where}: {arrays}")


@pytest.mark.parametrize("name", known(n for n in NAMES if n != "mv") + (["mv"] if "mv" in NAMES else []))
def test_beside_torch(name: str) -> None:
    """Values, dtype, shape and strides on every dtype, and torch's exception where it has one."""
    n, (lo, hi) = len(required(API[name].schema) or ()), range_of(name)
    rng = np.random.default_rng(7)
    for dtype in DTYPES:
        same(name, dtype, [values(rng, (4, 6), dtype, lo, hi) for _ in range(n)])


@pytest.mark.parametrize("name", known(n for n in NAMES if n not in ("real", "imag", "complex")))
def test_layouts_beside_torch(name: str) -> None:
    """float32, over shapes and layouts."""
    n, (lo, hi) = len(required(API[name].schema) or ()), range_of(name)
    rng = np.random.default_rng(8)

    def draw(*shapes: Any) -> list[np.ndarray]:
        return [values(rng, s, "float32", lo, hi) for s in ([*shapes, *[shapes[-1]] * n][:n])]

    for shape in ((), (0, 3), (1,), (5,), (33,), (2, 3, 4)):
        same(name, "float32", draw(shape))
    same(name, "float32", draw((5, 7)), lambda lib, f, ts: f(*(t.t() for t in ts)))
    same(name, "float32", draw((5, 8)), lambda lib, f, ts: f(*(t[:, ::2] for t in ts)))
    same(name, "float32", draw((2, 3, 4, 5)), lambda lib, f, ts: f(*(t.to(memory_format=lib.channels_last) for t in ts)))
    if n > 1:
        same(name, "float32", draw((5, 1), (1, 6)))
        same(name, "float32", draw((3, 4, 5), (5,)))
        same(name, "float32", draw((3, 4), ()))
        same(name, "float32", draw((3, 4)), lambda lib, f, ts: f(ts[0].t(), *(t.t().contiguous() for t in ts[1:])))


@pytest.mark.parametrize("name", [n for n in NAMES if ROWS[API[n].schema[: API[n].schema.index("(")]].kind is Kind.POINTWISE])
def test_special_values_beside_torch(name: str) -> None:
    """Where zeros, infinities, NaN and the ends of the range go (in float64, of which every function's error is far below the tolerance)."""
    n, corner = len(required(API[name].schema) or ()), specials("float64")
    ordinary = (np.abs(corner) > 1e-300) & (np.abs(corner) < 1e300) & (np.abs(corner) != 709.9)
    corner = corner[ordinary | (corner == 0) | ~np.isfinite(corner)]
    arrays = [corner] if n == 1 else [corner[:, None], corner[None, :], corner[None, :1]][:n]
    mine, wanted = both(name, arrays, lambda lib, f, ts: f(*ts))
    if isinstance(wanted, Exception):
        return
    a, b = as_float(mine), as_float(wanted)
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=name)
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite & ~np.isnan(b)], b[~finite & ~np.isnan(b)], err_msg=name)
    if b.dtype.kind == "f":
        np.testing.assert_allclose(a[finite], b[finite], 1e-12, 1e-300, err_msg=name)
    if b.dtype.kind == "f" and name not in EITHER_ZERO:
        np.testing.assert_array_equal(np.signbit(a[b == 0]), np.signbit(b[b == 0]), err_msg=f"{name}: signs of zeros")


# Gradients -----------------------------------------------------------------------------------------------------------------------
def gradient_cases(row: Row) -> list[Any]:
    """A few small float64 cases of a row, away from ties."""
    rng = np.random.default_rng(9)
    lo, hi = row.samples or (-2.0, 2.0)
    if row.kind is Kind.POINTWISE and "copy" not in row.traits:
        shapes = ((3,), (2, 2)) if arity(row) == 1 else ((3,), (2, 1))
        kinds = ["bool", "float64", "float64"] if row.name == "where" else ["complex128" if row.name in ("real", "imag") else "float64"] * arity(row)
        attrs = (torch.float64,) if "convert" in row.traits else ()
        return [([values(rng, s, k, lo, hi) for k in kinds], attrs) for s in shapes]
    small = [c for c in cases(row, "float64") if 0 < sum(a.size for a in c[0]) <= 1200 and all(np.isfinite(a).all() for a in c[0])]
    if row.kind is Kind.SCATTER and not row.traits & {"copies", "template:index_add", "template:scatter_reduce"}:
        return [distinct(row, arrays, attrs) for arrays, attrs in small if attrs[-1] is not True][:2]
    return small[:3]


def distinct(row: Row, arrays: list[np.ndarray], attrs: Any) -> Any:
    """A plain write whose places are distinct: which of several writes stays is not what gradients are asked about."""
    rng = np.random.default_rng(13)
    x = arrays[0]
    if "dims" in row.attrs:
        indices = [rng.permutation(x.shape[d])[:3] for d in attrs[0]]
        out = x[tuple(indices[attrs[0].index(d)] if d in attrs[0] else slice(None) for d in range(x.ndim))]
        return [x, rng.standard_normal(out.shape), *indices], attrs
    dim = attrs[0]
    if "template:scatter" in row.traits:
        order = np.argsort(rng.random(x.shape), dim)
        return [x, order.take(range(max(1, x.shape[dim] - 1)), dim), arrays[2]], attrs
    index = rng.permutation(x.shape[dim])[:4]
    return [x, index, arrays[2].take(range(4), dim)], attrs


DIFFERENTIABLE = [r.name for r in primitives() if r.differentiable]


def shrunk(row: Row, arrays: list[np.ndarray], attrs: Any) -> Any:
    """f(perturbation of a few elements of each float operand): full Jacobians of large operands would be slow."""
    rng = np.random.default_rng(10)
    which = [k for k, a in enumerate(arrays) if a.dtype.kind in "fc"]
    bases = [from_array(a) for a in arrays]
    directions = {k: from_array(rng.standard_normal((3, *arrays[k].shape))) for k in which}
    weights: dict[int, Any] = {}

    def function(*steps: Any) -> Any:
        moved = list(bases)
        for k, s in zip(which, steps, strict=True):
            moved[k] = bases[k] + (s.reshape(3, *(1,) * arrays[k].ndim) * directions[k]).sum(0)
        out = emit(row, moved, attrs)
        outs = [o for o in (out if isinstance(out, tuple) else (out,)) if o.dtype.is_floating_point or o.dtype.is_complex]
        totals = []
        for i, o in enumerate(outs):
            o = torch.view_as_real(o) if o.dtype.is_complex else o
            if i not in weights:
                weights[i] = from_array(rng.standard_normal((2, *o.shape)))
            totals += [(o * weights[i][j]).sum() for j in range(2)]
        return torch.stack(totals)

    return function, [torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in which]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_beside_finite_differences(name: str) -> None:
    """First and second order, in float64, along random directions."""
    row = ROWS[name]
    given = gradient_cases(row)
    assert given, name
    for arrays, attrs in given:
        function, steps = shrunk(row, arrays, attrs)
        if not steps:
            continue
        try:
            assert gradcheck(function, steps, eps=1e-6, atol=1e-5, rtol=1e-4), name
            if function(*steps).requires_grad:
                assert gradgradcheck(function, steps, eps=1e-5, atol=1e-4, rtol=1e-3), name
        except NotImplementedYet as gap:
            pytest.xfail(str(gap))


# Derived forms -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", known(n for n in NAMES if API[n].inplace and hasattr(oracle.Tensor, n + "_")))
def test_in_place_form(name: str) -> None:
    """x.f_(...) is f(x, ...) in the memory of x: the same bits, the same tensor, views included; or torch's exception."""
    n, (lo, hi) = len(required(API[name].schema) or ()), range_of(name)
    rng = np.random.default_rng(11)
    for dtype in ("float32", "bfloat16", "int64"):
        arrays = [values(rng, (3, 5), dtype, lo, hi) for _ in range(n)]
        method = name + "_"

        def in_place(lib: Any, f: Any, ts: Any, method: str = method) -> Any:
            x = ts[0].clone()
            alias = x.view(-1)
            out = getattr(x, method)(*ts[1:])
            assert out is x
            return out, alias

        mine, wanted = both(name, arrays, in_place)
        if isinstance(wanted, Exception):
            assert isinstance(mine, type(wanted)), f"{name} {dtype}: torch raises {wanted!r}, here {mine!r}"
            continue
        if isinstance(mine, Exception):
            raise AssertionError(f"{name} {dtype}") from mine
        plain, _ = both(name, arrays, lambda lib, f, ts: f(*ts).to(ts[0].dtype))
        x, alias = mine
        np.testing.assert_array_equal(as_float(x), as_float(plain), err_msg=name)
        np.testing.assert_array_equal(as_float(alias), as_float(plain).reshape(-1), err_msg=f"{name}: a view of the tensor")


@pytest.mark.parametrize("name", NAMES)
def test_out_form(name: str) -> None:
    """f(..., out=o) gives o, which then holds f(...) in its own layout; torch's exception where it refuses."""
    n, (lo, hi) = len(required(API[name].schema) or ()), range_of(name)
    rng = np.random.default_rng(12)
    arrays = [values(rng, (3, 5), "float32", lo, hi) for _ in range(n)]
    plain = both(name, arrays, lambda lib, f, ts: f(*ts))[0]
    if isinstance(plain, (Exception, tuple)):
        return
    shape, dtype = tuple(plain.shape), str(plain.dtype).removeprefix("torch.")

    def into(lib: Any, f: Any, ts: Any) -> Any:
        out = lib.empty(shape[::-1], dtype=getattr(lib, dtype)).permute(*range(len(shape))[::-1])
        got = f(*ts, out=out)
        assert got is out
        return out

    mine, wanted = both(name, arrays, into)
    if isinstance(wanted, Exception):
        return
    assert not isinstance(mine, Exception), f"{name}: {mine!r}"
    np.testing.assert_array_equal(as_float(mine), as_float(plain), err_msg=name)
    assert mine.stride() == wanted.stride(), name


def test_the_table_is_covered() -> None:
    """Every name of the table meets a test here or has a reason: a public function of tensors alone is in NAMES."""
    assert len(NAMES) > 140, len(NAMES)
    assert {r.name for r in primitives() if r.kind is Kind.POINTWISE and r.public and theirs(r.name)} <= {API[n].schema.split("(")[0] for n in NAMES} | {"where"}
    assert set(FLOATS) | set(INTS) <= set(DTYPES)
