"""Reduction rows and the torch functions over them.

A reduction row holds sorted dimensions and keepdim; its lowering is the fixed tree of docs/contract.md. The trait
``reduce:NAME`` names the combining operation for the loop templates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from ..return_types import ALL as NAMED
from . import call
from .call import is_tensor, wrap_dim, wrap_dims
from .define import api, composite, primitive
from .pointwise import abs_, conj, eq, exp, isnan, log, maximum, minimum, ne, sqrt, where, zero_like
from .record import emit
from .table import Kind, NoGrad, Row
from .types import TensorType, tensor_type


def reduced_shape(shape: Sequence[int], dims: Sequence[int], keepdim: bool) -> tuple[int, ...]:
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def _infer(out_dtype: Any) -> Any:
    def infer(types: Sequence[TensorType], attrs: tuple[Any, ...]) -> tuple[TensorType, ...]:
        dims, keepdim = attrs
        return (tensor_type(out_dtype(types[0].dtype), reduced_shape(types[0].shape, dims, keepdim)),)

    return infer


def restore(t: Any, dims: Sequence[int], keepdim: bool) -> Any:
    """A reduced tensor with its reduced dimensions back as ones."""
    if keepdim or not dims:
        return t
    for d in dims:
        t = t.unsqueeze(d)
    return t


def _reduce_row(name: str, doc: str, ref: Any, vjp: Any, combine: str, out_dtype: Any = lambda d: d) -> Row:
    return primitive(f"{name}(Tensor input, int[] dims, bool keepdim) -> Tensor", Kind.REDUCE, doc=doc, infer=_infer(out_dtype),
                     ref=lambda x, dims, keepdim: ref(x, axis=dims, keepdims=keepdim), vjp=vjp, traits=(f"reduce:{combine}",), samples=(-3.0, 3.0))


def _sum_vjp(g: Any, x: Any, out: Any, dims: Any, keepdim: Any) -> Any:
    return (restore(g, dims, keepdim).expand(x.shape),)


def _prod_vjp(g: Any, x: Any, out: Any, dims: Any, keepdim: Any) -> Any:
    """The product of the others, exact with zeros: prefix times suffix products along the flattened dimensions."""
    from .movement import cat

    if not x.numel():
        return (zero_like(x),)
    n = x.ndim
    kept = [d for d in range(n) if d not in dims]
    flat = x.permute(*kept, *dims).reshape([x.shape[d] for d in kept] + [-1])
    one = flat.narrow(-1, 0, 1) * 0 + 1
    left = cat([one, flat.narrow(-1, 0, flat.shape[-1] - 1)], -1).cumprod(-1)
    right = cat([one, flat.flip(-1).narrow(-1, 0, flat.shape[-1] - 1)], -1).cumprod(-1).flip(-1)
    others = (left * right).reshape([x.shape[d] for d in kept] + [x.shape[d] for d in dims])
    inverse = sorted(range(n), key=[*kept, *dims].__getitem__)
    return (restore(g, dims, keepdim) * conj(others.permute(*inverse)),)


def _extreme_vjp(g: Any, x: Any, out: Any, dims: Any, keepdim: Any) -> Any:
    """Shared evenly among ties."""
    hit = (x == restore(out, dims, keepdim)) | (isnan(x) & isnan(restore(out, dims, keepdim)))
    hits = hit.to(g.dtype)
    share = emit(sum_row, (hits,), (dims, True))
    return (restore(g, dims, keepdim) * hits / share,)


def _np_sum(x: Any, axis: Any, keepdims: Any) -> Any:
    return np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


sum_row = _reduce_row("sum", "The sum over dims.", _np_sum, _sum_vjp, "sum")
prod_row = _reduce_row("prod", "The product over dims.", lambda x, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims, dtype=x.dtype),
                       _prod_vjp, "prod")
amax_row = _reduce_row("amax", "The largest value over dims; NaN wins.", np.max, _extreme_vjp, "max")
amin_row = _reduce_row("amin", "The smallest value over dims; NaN wins.", np.min, _extreme_vjp, "min")
_TRUTH = NoGrad("a truth value")
any_row = _reduce_row("any", "Whether any element is true.", np.any, _TRUTH, "any", lambda d: dtypes.bool_)
all_row = _reduce_row("all", "Whether all elements are true.", np.all, _TRUTH, "all", lambda d: dtypes.bool_)


def _arg_ref(f: Any) -> Any:
    def ref(x: Any, axis: Any, keepdims: Any) -> Any:
        kept = [d for d in range(x.ndim) if d not in axis]
        flat = np.transpose(x, (*kept, *axis)).reshape([x.shape[d] for d in kept] + [-1])
        out = f(flat, axis=-1)
        return np.asarray(out, dtype=np.int64).reshape(reduced_shape(x.shape, axis, keepdims))

    return ref


_INDEX = NoGrad("an index")
argmax_row = _reduce_row("argmax", "The row-major index of the largest value over dims; NaN wins, ties take the lowest.", _arg_ref(np.argmax),
                         _INDEX, "argmax", lambda d: dtypes.int64)
argmin_row = _reduce_row("argmin", "The row-major index of the smallest value over dims.", _arg_ref(np.argmin), _INDEX, "argmin",
                         lambda d: dtypes.int64)


def reduce(row: Row, x: Any, dims: Any, keepdim: bool) -> Any:
    return emit(row, (x,), (wrap_dims(dims, x.ndim), bool(keepdim)))


def check_tensor(name: str, x: Any) -> None:
    if not is_tensor(x):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")


def _accumulated(x: Any, dtype: Any) -> Any:
    """Sums and products of integers are int64 unless a dtype is asked for."""
    if dtype is not None:
        return call.cast(x, dtype)
    return call.cast(x, dtypes.int64) if x.dtype.category < dtypes.FLOAT else x


@api("sum(Tensor input, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor")
def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None) -> Any:
    """The sum over `dim` (all dimensions when None), by the fixed tree of docs/contract.md."""
    check_tensor("sum", input)
    return reduce(sum_row, _accumulated(input, dtype), dim if axis is None else axis, keepdim)


@api("prod(Tensor input, int? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor")
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The product over `dim`."""
    return reduce(prod_row, _accumulated(input, dtype), dim, keepdim)


def _count(x: Any, dims: Any) -> int:
    return math.prod(x.shape[d] for d in wrap_dims(dims, x.ndim))


def need_float(name: str, x: Any) -> None:
    if x.dtype.category < dtypes.FLOAT:
        got = x.dtype.scalar_name
        raise RuntimeError(f"{name}(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {got}")


@composite("mean(Tensor input, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor")
def _mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    x = input if dtype is None else call.cast(input, dtype)
    need_float("mean", x)
    return reduce(sum_row, x, dim, keepdim) / _count(x, dim)


@api("mean(Tensor input, int[]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor")
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None) -> Any:
    """The mean over `dim`: the sum, divided once."""
    dim = dim if axis is None else axis
    out = _mean(input, dim, keepdim, dtype=dtype)
    return out if dim is None else call.named(out, "MeanBackward1")


def _correction(unbiased: Any, correction: Any) -> float:
    if correction is not None:
        return float(correction)
    return 1.0 if unbiased is None or unbiased else 0.0


def _var_args(dim: Any, unbiased: Any) -> tuple[Any, Any]:
    """torch's overload var(input, unbiased): a bool in the place of `dim`."""
    return (None, dim) if isinstance(dim, bool) else (dim, unbiased)


def variance(x: Any, dim: Any, correction: float, keepdim: bool) -> tuple[Any, Any]:
    """(variance, mean) by two passes; the mean keeps its dimensions."""
    if x.dtype.category < dtypes.FLOAT:
        raise RuntimeError("std and var only support floating point and complex dtypes")
    dims = wrap_dims(dim, x.ndim)
    m = emit(sum_row, (x,), (dims, True)) / _count(x, dims)
    d = x - m.detach()
    square = d * conj(d) if not x.dtype.is_complex else (d * conj(d)).real
    n = _count(x, dims) - correction
    return reduce(sum_row, square, dims, keepdim) / n if n > 0 else reduce(sum_row, square, dims, keepdim) / 0.0, m


def _deviations(g: Any, x: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> Any:
    """The gradient of a variance: the mean depends on x, which first derivatives do not notice and second ones do."""
    dim, unbiased = _var_args(dim, unbiased)
    dims = wrap_dims(dim, x.ndim)
    n = _count(x, dims) - _correction(unbiased, correction)
    m = emit(sum_row, (x,), (dims, True)) / _count(x, dims)
    return restore(g, dims, keepdim) * (2.0 / n if n > 0 else math.inf) * (x - m)


def _var_vjp(g: Any, input: Any, out: Any, dim: Any, unbiased: Any, keepdim: Any, correction: Any, missing: Any = None) -> Any:
    return (_deviations(g, input, dim, unbiased, keepdim, correction),)


def _std_vjp(g: Any, input: Any, out: Any, dim: Any, unbiased: Any, keepdim: Any, correction: Any, missing: Any = None) -> Any:
    half = where(eq(out, 0), 0, g / (out * 2))
    return (_deviations(half, input, dim, unbiased, keepdim, correction),)


@composite("var(Tensor input, int[]? dim=None, bool? unbiased=None, bool keepdim=False, *, Scalar? correction=None) -> Tensor", vjp=_var_vjp)
def var(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The variance over `dim` with Bessel's correction (or `correction`), in two passes."""
    dim, unbiased = _var_args(dim, unbiased)
    return variance(input, dim, _correction(unbiased, correction), keepdim)[0]


@composite("std(Tensor input, int[]? dim=None, bool? unbiased=None, bool keepdim=False, *, Scalar? correction=None) -> Tensor", vjp=_std_vjp)
def std(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The standard deviation: the square root of `var`."""
    dim, unbiased = _var_args(dim, unbiased)
    return sqrt(variance(input, dim, _correction(unbiased, correction), keepdim)[0])


@composite("var_mean(Tensor input, int[]? dim=None, bool? unbiased=None, bool keepdim=False, *, Scalar? correction=None) -> (Tensor, Tensor)",
           method=False)
def var_mean(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The variance and the mean."""
    dim, unbiased = _var_args(dim, unbiased)
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


@composite("std_mean(Tensor input, int[]? dim=None, bool? unbiased=None, bool keepdim=False, *, Scalar? correction=None) -> (Tensor, Tensor)",
           method=False)
def std_mean(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
    """The standard deviation and the mean."""
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


def _nonempty(name: str, x: Any, dims: Sequence[int]) -> None:
    for d in dims:
        if d < x.ndim and x.shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def _need_order(name: str, x: Any) -> None:
    if x.dtype.is_complex:
        raise NotImplementedError(f"\"{name}\" not implemented for '{x.dtype.scalar_name}'")


@api("amax(Tensor input, int[] dim=(), bool keepdim=False) -> Tensor")
def amax(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The largest value over `dim`; the gradient is shared evenly among ties."""
    _need_order("max_values_cpu", input)
    if not input.numel() and dim in ((), [], None):
        raise RuntimeError("amax(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.")
    _nonempty("amax", input, wrap_dims(dim, input.ndim))
    return reduce(amax_row, input, dim, keepdim)


@api("amin(Tensor input, int[] dim=(), bool keepdim=False) -> Tensor")
def amin(input: Any, dim: Any = (), keepdim: bool = False) -> Any:
    """The smallest value over `dim`."""
    _need_order("min_values_cpu", input)
    if not input.numel() and dim in ((), [], None):
        raise RuntimeError("amin(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.")
    _nonempty("amin", input, wrap_dims(dim, input.ndim))
    return reduce(amin_row, input, dim, keepdim)


@api("aminmax(Tensor input, *, int? dim=None, bool keepdim=False) -> (Tensor, Tensor)")
def aminmax(input: Any, *, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest and the largest value."""
    return NAMED["aminmax"](amin(input, () if dim is None else dim, keepdim), amax(input, () if dim is None else dim, keepdim))


def _arg(row: Row, input: Any, dim: Any, keepdim: bool) -> Any:
    if input.dtype is dtypes.bool_ or input.dtype.is_complex:
        raise RuntimeError(f"{row.name}(): does not support {'bool' if input.dtype is dtypes.bool_ else 'complex'} input")
    if dim is None:
        if input.numel() == 0:
            raise IndexError(f"{row.name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the "
                             "'dim' argument.")
        return emit(row, (input,), (tuple(range(input.ndim)), bool(keepdim)))
    d = wrap_dim(dim, input.ndim)
    _nonempty(row.name, input, (d,))
    return emit(row, (input,), ((d,) if input.ndim else (), bool(keepdim)))


@api("argmax(Tensor input, int? dim=None, bool keepdim=False) -> Tensor")
def argmax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The index of the largest value (of the flattened tensor when `dim` is None); ties take the lowest index."""
    return _arg(argmax_row, input, dim, keepdim)


@api("argmin(Tensor input, int? dim=None, bool keepdim=False) -> Tensor")
def argmin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The index of the smallest value."""
    return _arg(argmin_row, input, dim, keepdim)


def _select_vjp(g: Any, input: Any, out: Any, dim: Any, keepdim: Any) -> Any:
    """The gradient goes to the element that was picked."""
    gv = g[0]
    if gv is None:
        return (None,)
    d = wrap_dim(dim, input.ndim)
    index = out[1]
    if not keepdim and input.ndim:
        gv, index = gv.unsqueeze(d), index.unsqueeze(d)
    return ((gv * 0).expand(input.shape).contiguous().scatter(d, index, gv),)


def _picker(name: str, value_row: Row, index_row: Row) -> Any:
    @composite(f"{name}_dim(Tensor input, int dim, bool keepdim) -> (Tensor, Tensor)", vjp=_select_vjp, opmath=False, public=False, out=False)
    def pick(input: Any, dim: int, keepdim: bool) -> Any:
        d = wrap_dim(dim, input.ndim)
        _nonempty(name, input, (d,))
        dims = (d,) if input.ndim else ()
        return emit(value_row, (input,), (dims, keepdim)), emit(index_row, (input,), (dims, keepdim))

    pick.row.grad_name = name.capitalize() + "Backward0"
    return pick


_max_dim = _picker("max", amax_row, argmax_row)
_min_dim = _picker("min", amin_row, argmin_row)


def _extreme(name: str, elementwise: Any, row: Row, by_dim: Any) -> Any:
    def function(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
        if other is not None or is_tensor(dim):
            return elementwise(input, dim if other is None else other, out=out)
        if dim is None:
            if input.numel() == 0:
                raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the "
                                   "'dim' argument.")
            _need_order(f"{name}_all", input)
            r = reduce(row, input, None, False)
            call.named(r, f"{name.title()}Backward1")
            return r if out is None else call.write_out(out, r, name)
        if input.dtype.is_complex:
            raise RuntimeError(f"{name}(): does not support complex input")
        pair = NAMED[name](*by_dim(input, dim, bool(keepdim)))
        return pair if out is None else call.write_out(out, pair, name)

    function.__doc__ = f"The {name} of all elements; with `dim`, (values, indices); with a second tensor, elementwise."
    return function


max = api("max(Tensor input, int? dim=None, bool keepdim=False) -> Tensor")(_extreme("max", maximum, amax_row, _max_dim))
min = api("min(Tensor input, int? dim=None, bool keepdim=False) -> Tensor")(_extreme("min", minimum, amin_row, _min_dim))


def _truth(x: Any) -> Any:
    return x if x.dtype is dtypes.bool_ else ne(x, 0)


@api("any(Tensor input, int[]? dim=None, bool keepdim=False) -> Tensor")
def any(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether any element is true (uint8 in, uint8 out, as in torch)."""
    out = reduce(any_row, _truth(input), dim, keepdim)
    return call.cast(out, dtypes.uint8) if input.dtype is dtypes.uint8 else out


@api("all(Tensor input, int[]? dim=None, bool keepdim=False) -> Tensor")
def all(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Whether all elements are true."""
    out = reduce(all_row, _truth(input), dim, keepdim)
    return call.cast(out, dtypes.uint8) if input.dtype is dtypes.uint8 else out


@api("count_nonzero(Tensor input, int[]? dim=None) -> Tensor")
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero."""
    return sum(_truth(input), dim)


@composite("logsumexp(Tensor input, int[] dim, bool keepdim=False) -> Tensor", aliases=("special_logsumexp",),
           vjp=lambda g, input, out, dim, keepdim, missing=None: (
               restore(g, wrap_dims(dim, input.ndim), keepdim) * conj(exp(input - restore(out, wrap_dims(dim, input.ndim), keepdim))),))
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """log(sum(exp(input))) without overflow."""
    dims = wrap_dims(dim, input.ndim)
    if input.dtype.category < dtypes.FLOAT:
        input = call.cast(input, dtypes.get_default_dtype())
    m = emit(amax_row, (input.detach().real if input.dtype.is_complex else input.detach(),), (dims, True))
    m = where(abs_(m) == float("inf"), 0, m)
    total = log(emit(sum_row, (exp(input - m),), (dims, True))) + m
    return total if keepdim else total.squeeze(dims) if dims else total


@composite("norm(Tensor input, Scalar? p=2, int[]? dim=None, bool keepdim=False, ScalarType? dtype=None) -> Tensor")
def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """The p-norm over `dim`."""
    x = input if dtype is None else call.cast(input, dtype)
    if p is None or p == "fro":
        p = 2.0
    if isinstance(p, str):
        from ..errors import NotImplementedYet

        raise NotImplementedYet(f"torch.norm with p={p!r} is not there yet; 'fro' and numbers are")
    return vector_norm(x, float(p), dim, keepdim)


def _norm_vjp(g: Any, x: Any, out: Any, p: Any, dim: Any, keepdim: Any, missing: Any = None) -> Any:
    dims = wrap_dims(dim, x.ndim)
    g, n = restore(g, dims, keepdim), restore(out, dims, keepdim)
    if p == 2.0:
        return (where(n == 0, 0, x * (g / n)),)
    if p == 1.0:
        return (x.sgn() * g,)
    if p == 0.0:
        return (None,)
    if p in (float("inf"), float("-inf")):
        hits = (abs_(x) == n).to(g.dtype)
        return (x.sgn() * hits * (g / emit(sum_row, (hits,), (dims, True))),)
    return (where(n == 0, 0, x.sgn() * abs_(x) ** (p - 1) * (g * n ** (1 - p))),)


@composite("vector_norm(Tensor x, Scalar p, int[]? dim, bool keepdim) -> Tensor", vjp=_norm_vjp, public=False, out=False)
def vector_norm(x: Any, p: float = 2.0, dim: Any = None, keepdim: bool = False) -> Any:
    """The p-norm of vectors along `dim`."""
    need_float("linalg.vector_norm", x)
    a = abs_(x) if x.dtype.is_complex or p % 2 or p in (float("inf"), float("-inf")) else x
    if p == float("inf"):
        return reduce(amax_row, a, dim, keepdim)
    if p == float("-inf"):
        return reduce(amin_row, a, dim, keepdim)
    if p == 0:
        return sum(ne(a, 0), dim, keepdim).to(a.dtype)
    if p == 1:
        return reduce(sum_row, a, dim, keepdim)
    if p == 2:
        return sqrt(reduce(sum_row, a * a, dim, keepdim))
    return reduce(sum_row, abs_(a) ** p, dim, keepdim) ** (1.0 / p)


vector_norm.row.grad_name = norm.row.grad_name = "LinalgVectorNormBackward0"
