"""Contractions: matrix products and convolutions.

Rows: `mm`, `bmm` and the three convolution forms. matmul in all its shapes, linear, addmm and so on are views and sums around
them. Arithmetic: fma chains in chunks of 384 (docs/contract.md, Contraction).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import dtypes
from . import call
from .call import is_tensor, named
from .define import LOW, api, composite, primitive
from .movement import disown
from .pointwise import conj
from .record import emit
from .reduce import sum_row
from .table import Kind, Row
from .types import TensorType, tensor_type


def _check(name: str, a: Any, b: Any) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {a.dtype.scalar_name.lower()} != {b.dtype.scalar_name.lower()}"
                           .replace("half", "c10::Half").replace("bfloat16", "c10::BFloat16").replace("long", "long int"))


def H(x: Any) -> Any:
    """The conjugate transpose of the last two dimensions."""
    from .movement import permute_row

    order = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    return conj(emit(permute_row, (x,), (order,)))


def _mm_infer(types: Sequence[TensorType], attrs: Any) -> Any:
    a, b = types
    return (tensor_type(a.dtype, (*a.shape[:-1], b.shape[-1])),)


_MATRIX = dict(infer=_mm_infer, ref=lambda a, b: np.matmul(a, b).astype(a.dtype), vjp=lambda g, a, b, out: (product(g, H(b)), product(H(a), g)))
mm_row = primitive("mm(Tensor input, Tensor mat2) -> Tensor", Kind.CONTRACT, doc="The product of two matrices.", **_MATRIX)  # type: ignore[arg-type]
bmm_row = primitive("bmm(Tensor input, Tensor mat2) -> Tensor", Kind.CONTRACT, doc="Products of matrices over any number of batch dimensions.",
                    **_MATRIX)  # type: ignore[arg-type]


def product(a: Any, b: Any) -> Any:
    """a @ b of matrices, or of batches of them."""
    return complex_product(a, b) if a.dtype.is_complex else emit(mm_row if a.ndim == 2 else bmm_row, (a, b))


def in_parts(multiply: Any, a: Any, b: Any) -> Any:
    """A bilinear `multiply` of complex operands as four real ones: each part is rounded, then their difference and their sum."""
    from .complex_views import complex_row, part

    (ar, ai), (br, bi) = ((part(x, 0), part(x, 1)) for x in (a, b))
    return emit(complex_row, (multiply(ar, br) - multiply(ai, bi), multiply(ar, bi) + multiply(ai, br)))


@composite("complex_product(Tensor input, Tensor other) -> Tensor", opmath=False, method=False, public=False, out=False,
           vjp=lambda g, input, other, out, missing=None: (product(g, H(other)), product(H(input), g)))
def complex_product(input: Any, other: Any) -> Any:
    """The product of complex matrices."""
    return in_parts(product, input, other)


complex_product.row.grad_name = "MmBackward0"


@api("mm(Tensor input, Tensor mat2) -> Tensor")
def mm(input: Any, mat2: Any) -> Any:
    """The product of an (n, m) and an (m, p) matrix."""
    if input.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    if input.shape[1] != mat2.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({input.shape[0]}x{input.shape[1]} and {mat2.shape[0]}x{mat2.shape[1]})")
    _check("mm", input, mat2)
    return product(input, mat2)


@api("bmm(Tensor input, Tensor mat2) -> Tensor")
def bmm(input: Any, mat2: Any) -> Any:
    """(b, n, m) times (b, m, p)."""
    if input.ndim != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if mat2.ndim != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    b, n, m = input.shape
    if mat2.shape[0] != b or mat2.shape[1] != m:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{b}, {m}] but got: [{mat2.shape[0]}, {mat2.shape[1]}].")
    _check("bmm", input, mat2)
    return product(input, mat2)


@composite("mv(Tensor input, Tensor vec) -> Tensor", opmath=False)
def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector."""
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({input.shape[0]}), mat ({input.shape[0]}x{input.shape[1]}), vec ({vec.shape[0]})")
    return disown(product(input, vec.unsqueeze(1)).squeeze(1))


@composite("dot(Tensor input, Tensor tensor) -> Tensor", opmath=False)
def dot(input: Any, tensor: Any) -> Any:
    """The inner product of two vectors."""
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    if input.dtype is not tensor.dtype:
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {input.dtype.scalar_name} and {tensor.dtype.scalar_name}")
    if input.shape != tensor.shape:
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{input.shape[0]}] and src [{tensor.shape[0]}] to have the same number of "
                           f"elements, but got {input.shape[0]} and {tensor.shape[0]} elements respectively")
    return disown(product(input.unsqueeze(0), tensor.unsqueeze(1)).reshape(()))


@api("inner(Tensor input, Tensor other) -> Tensor")
def inner(input: Any, other: Any) -> Any:
    """Sums of products over the last dimension."""
    if input.ndim == 0 or other.ndim == 0:
        return input * other
    a, b = input.reshape(-1, input.shape[-1]), other.reshape(-1, other.shape[-1])
    return mm(a, b.t()).reshape((*input.shape[:-1], *other.shape[:-1]))


@api("outer(Tensor input, Tensor vec2) -> Tensor", aliases=("ger",))
def outer(input: Any, vec2: Any) -> Any:
    """Every product of an element of one vector and one of the other."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(f"outer: Expected 1-D argument self, but got {input.ndim}-D")
    return input.unsqueeze(1) * vec2.unsqueeze(0)


def _matmul(a: Any, b: Any) -> Any:
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if a.ndim == 1 and b.ndim == 1:
        return dot(a, b)
    if a.ndim == 2 and b.ndim == 1:
        return mv(a, b)
    if a.ndim == 1 and b.ndim == 2:
        return disown(mm(a.unsqueeze(0), b).squeeze(0))
    if a.ndim == 2 and b.ndim == 2:
        return mm(a, b)
    if b.ndim <= 2 and a.ndim >= 3:
        matrix = b if b.ndim == 2 else b.unsqueeze(1)
        if a.shape[-1] != matrix.shape[0]:
            rows = math.prod(a.shape[:-1])
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a.shape[-1]} and {matrix.shape[0]}x{matrix.shape[1]})")
        out = disown(mm(a.reshape(-1, a.shape[-1]), matrix).reshape((*a.shape[:-1], matrix.shape[1]))) if a.numel() else a.new_zeros(
            (*a.shape[:-1], matrix.shape[1]))
        return disown(out.squeeze(-1)) if b.ndim == 1 else out
    left = a.unsqueeze(0) if a.ndim == 1 else a
    right = b.unsqueeze(1) if b.ndim == 1 else b
    from .types import broadcast_shapes

    batch = broadcast_shapes([tuple(left.shape[:-2]), tuple(right.shape[:-2])])
    if left.shape[-1] != right.shape[-2]:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{math.prod(batch)}, {left.shape[-1]}] but got: "
                           f"[{math.prod(batch)}, {right.shape[-2]}].")
    _check("matmul", left, right)
    out = product(left.expand((*batch, *left.shape[-2:])), right.expand((*batch, *right.shape[-2:])))
    if a.ndim == 1:
        out = disown(out.squeeze(-2))
    return disown(out.squeeze(-1)) if b.ndim == 1 else out


@api("matmul(Tensor input, Tensor other) -> Tensor", aliases=("linalg_matmul",))
def matmul(input: Any, other: Any) -> Any:
    """The matrix product with numpy's rules for vectors and batches."""
    if not is_tensor(other):
        raise TypeError(f"matmul(): argument 'other' (position 2) must be Tensor, not {type(other).__name__}")
    out = _matmul(input, other)
    if input.ndim > 2 or other.ndim > 2:
        out = named(out, "UnsafeViewBackward0")
    return out


def _scaled(input: Any, out: Any, beta: Any, alpha: Any) -> Any:
    if alpha != 1:
        out = out * alpha
    if beta == 0:
        return out
    return (input if beta == 1 else input * beta) + out


@composite("addmm(Tensor input, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", inplace=True)
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * (mat1 @ mat2)."""
    return _scaled(input, mm(mat1, mat2), beta, alpha)


@composite("baddbmm(Tensor input, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", inplace=True)
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * (batch1 @ batch2), batch by batch."""
    return _scaled(input, bmm(batch1, batch2), beta, alpha)


@composite("addbmm(Tensor input, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", inplace=True)
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * the sum over the batch of batch1 @ batch2."""
    return _scaled(input, bmm(batch1, batch2).sum(0), beta, alpha)


@composite("addmv(Tensor input, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor", inplace=True)
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * (mat @ vec)."""
    return _scaled(input, mv(mat, vec), beta, alpha)


@composite("addr(Tensor input, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor", opmath=False, inplace=True)
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * input + alpha * outer(vec1, vec2)."""
    return _scaled(input, outer(vec1, vec2), beta, alpha)


def _linear_vjp(g: Any, input: Any, weight: Any, bias: Any, out: Any, missing: Any = None) -> Any:
    """The weight's gradient is made in the weight's own layout, so that no transposed copy is needed."""
    rows, columns = weight.shape
    g2 = g.reshape(-1, rows)
    gx = product(g2, conj(weight)).reshape(input.shape)
    gw = product(H(g2), input.reshape(-1, columns)) if not g.dtype.is_complex else product(H(input.reshape(-1, columns)), g2).t()
    return gx, gw, None if bias is None else emit(sum_row, (g2,), ((0,), False))


@composite("linear_layer(Tensor input, Tensor weight, Tensor? bias) -> Tensor", opmath=False, method=False, public=False, out=False, vjp=_linear_vjp)
def linear_layer(input: Any, weight: Any, bias: Any) -> Any:
    """input @ weight.T + bias for a matrix of weights."""
    if bias is None:
        return _matmul(input, weight.t())
    rows = input.reshape(-1, input.shape[-1]) if input.ndim != 2 else input
    if input.dtype in LOW:  # product and bias are one op: one rounding
        out = call.cast(mm(call.cast(rows, dtypes.float32), call.cast(weight, dtypes.float32).t()) + bias, input.dtype)
    else:
        out = mm(rows, weight.t()) + bias
    return out if input.ndim == 2 else disown(out.reshape((*input.shape[:-1], weight.shape[0])))


@api("linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor", method=False, public=False)
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias."""
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {input.dtype.scalar_name} and {weight.dtype.scalar_name}")
    if weight.ndim != 2 or input.ndim == 0 or input.shape[-1] != weight.shape[1] or input.numel() == 0:
        out = _matmul(input, weight.t() if weight.ndim == 2 else weight)
        return out if bias is None else out + bias
    out = linear_layer(input, weight, bias)
    if out._node is not None and out._node.sig.row is linear_layer.row:
        flat = input.ndim == 2
        out._node.name = ("AddmmBackward0" if flat else "ViewBackward0") if bias is not None else ("MmBackward0" if flat else "UnsafeViewBackward0")
    return out


@api("chain_matmul(Tensor[] matrices) -> Tensor", method=False)
def chain_matmul(*matrices: Any) -> Any:
    """The product of a chain of matrices in the cheapest order (dynamic programming over the sizes)."""
    ms = list(matrices[0]) if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else list(matrices)
    n = len(ms)
    size = [m.shape[0] for m in ms] + [ms[-1].shape[1]]
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(n)}
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            best[i, j] = min((best[i, k][0] + best[k + 1, j][0] + size[i] * size[k + 1] * size[j + 1], k) for k in range(i, j))

    def build(i: int, j: int) -> Any:
        if i == j:
            return ms[i]
        k = best[i, j][1]
        return mm(build(i, k), build(k + 1, j))

    return build(0, n - 1)


# Convolution -------------------------------------------------------------------------------------------------------------------
def conv_output(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _conv_strides(shape: Sequence[int], like: Sequence[TensorType]) -> tuple[int, ...] | None:
    """Channels-last when an operand with room to tell is laid out so."""
    from .movement import channels_last_strides

    for t in like:
        if len(shape) >= 4 and not t.contiguous and t.strides == channels_last_strides(t.shape):
            return channels_last_strides(shape)
    return None


def _conv_infer(types: Sequence[TensorType], attrs: Any) -> Any:
    x, w = types
    stride, padding, dilation, groups = attrs
    spatial = [conv_output(n, k, s, p, d) for n, k, s, p, d in zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)]
    shape = (x.shape[0], w.shape[0], *spatial)
    return (tensor_type(x.dtype, shape, _conv_strides(shape, types)),)


def _windows(x: Any, kernel: Sequence[int], stride: Any, padding: Any, dilation: Any) -> Any:
    """(n, c, *out, *kernel) windows of a padded array."""
    x = np.pad(x, [(0, 0), (0, 0)] + [(p, p) for p in padding])
    nd = len(kernel)
    shape = list(x.shape[:2])
    strides = list(x.strides[:2])
    for i in range(nd):
        shape.append((x.shape[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1)
        strides.append(x.strides[2 + i] * stride[i])
    for i in range(nd):
        shape.append(kernel[i])
        strides.append(x.strides[2 + i] * dilation[i])
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def _conv_ref(x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    nd = w.ndim - 2
    win = _windows(x, w.shape[2:], stride, padding, dilation)
    win = win.reshape(x.shape[0], groups, x.shape[1] // groups, *win.shape[2:])
    wg = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    out_letters, ker = "xyz"[:nd], "uvw"[:nd]
    r = np.einsum(f"ngc{out_letters}{ker},goc{ker}->ngo{out_letters}", win, wg, optimize=True)
    return r.reshape(x.shape[0], w.shape[0], *win.shape[3:3 + nd]).astype(x.dtype)


def _conv_vjp(g: Any, x: Any, w: Any, out: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    return (convolve(conv_input_row, g, conj(w), (tuple(x.shape), stride, padding, dilation, groups)),
            convolve(conv_weight_row, conj(x), g, (tuple(w.shape), stride, padding, dilation, groups)))


conv_row = primitive("conv(Tensor input, Tensor weight, int[] stride, int[] padding, int[] dilation, int groups) -> Tensor", Kind.CONTRACT,
                     doc="Cross-correlation of (n, c, ...) with (o, c/groups, ...).", infer=_conv_infer, ref=_conv_ref, vjp=_conv_vjp,
                     traits=("conv:forward",))


def _conv_input_infer(types: Sequence[TensorType], attrs: Any) -> Any:
    return (tensor_type(types[0].dtype, attrs[0], _conv_strides(attrs[0], types)),)


def _conv_input_ref(g: Any, w: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    nd = w.ndim - 2
    out = np.zeros((size[0], groups, size[1] // groups, *(n + 2 * p for n, p in zip(size[2:], padding, strict=True))), g.dtype)
    gg = g.reshape(g.shape[0], groups, g.shape[1] // groups, *g.shape[2:])
    wg = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    for tap in np.ndindex(*w.shape[2:]):
        part = np.einsum("ngo...,goc->ngc...", gg, wg[(slice(None),) * 3 + tap])
        where_ = tuple(slice(t * d, t * d + s * (n - 1) + 1, s) for t, d, s, n in zip(tap, dilation, stride, g.shape[2:], strict=True))
        out[(slice(None),) * 3 + where_] += part
    crop = tuple(slice(p, p + n) for p, n in zip(padding, size[2:], strict=True))
    return out[(slice(None),) * 3 + crop].reshape(size[:2] + tuple(size[2:2 + nd]))


def _conv_input_vjp(gg: Any, g: Any, w: Any, out: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    return (convolve(conv_row, gg, conj(w), (stride, padding, dilation, groups)),
            convolve(conv_weight_row, gg, conj(g), (tuple(w.shape), stride, padding, dilation, groups)))


conv_input_row = primitive(
    "conv_input(Tensor grad, Tensor weight, int[] size, int[] stride, int[] padding, int[] dilation, int groups) -> Tensor", Kind.CONTRACT,
    doc="The gradient of a convolution to its input; also the transposed convolution.", infer=_conv_input_infer, ref=_conv_input_ref,
    vjp=_conv_input_vjp, traits=("conv:input_grad",))


def _conv_weight_ref(x: Any, g: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    nd = len(size) - 2
    win = _windows(x, size[2:], stride, padding, dilation)[(slice(None), slice(None), *(slice(0, n) for n in g.shape[2:]))]
    win = win.reshape(x.shape[0], groups, x.shape[1] // groups, *win.shape[2:])
    gg = g.reshape(g.shape[0], groups, g.shape[1] // groups, *g.shape[2:])
    letters, ker = "xyz"[:nd], "uvw"[:nd]
    return np.einsum(f"ngc{letters}{ker},ngo{letters}->goc{ker}", win, gg, optimize=True).reshape(size).astype(x.dtype)


def _conv_weight_vjp(gw: Any, x: Any, g: Any, out: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    return (convolve(conv_input_row, conj(g), gw, (tuple(x.shape), stride, padding, dilation, groups)),
            convolve(conv_row, conj(x), gw, (stride, padding, dilation, groups)))


conv_weight_row = primitive(
    "conv_weight(Tensor input, Tensor grad, int[] size, int[] stride, int[] padding, int[] dilation, int groups) -> Tensor", Kind.CONTRACT,
    doc="The gradient of a convolution to its weight.", infer=lambda types, attrs: (tensor_type(types[0].dtype, attrs[0]),), ref=_conv_weight_ref,
    vjp=_conv_weight_vjp, traits=("conv:weight_grad",))


def convolve(row: Row, a: Any, b: Any, attrs: tuple[Any, ...]) -> Any:
    """One of the three convolution forms; of complex operands, as real ones."""
    return in_parts(lambda x, y: emit(row, (x, y), attrs), a, b) if a.dtype.is_complex else emit(row, (a, b), attrs)


@api("einsum(str equation, Tensor[] operands) -> Tensor", method=False, out=False)
def einsum(equation: Any, *operands: Any) -> Any:
    """Einstein summation: pairwise contractions in opt_einsum's order, each one batched matrix product."""
    import opt_einsum

    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise call.type_error(mm_row, 0, equation)
    xs = list(operands)
    written = equation.split("->")[0].count(",") + 1
    if written != len(xs):
        raise RuntimeError(f"einsum(): {'fewer' if len(xs) < written else 'more'} operands were provided than specified in the equation")
    try:
        inputs, output, _ = opt_einsum.parser.parse_einsum_input([equation.replace(" ", ""), *[tuple(x.shape) for x in xs]], shapes=True)
    except ValueError as e:
        raise RuntimeError(f"einsum(): {e}") from None
    terms = inputs.split(",")
    for k, (term, x) in enumerate(zip(terms, xs, strict=True)):
        if len(term) != x.ndim:
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({len(term)}) does not match the number of dimensions ({x.ndim}) "
                               f"for operand {k} and no ellipsis was given")
    _check_subscripts(terms, output, xs)
    path, _info = opt_einsum.contract_path(equation.replace(" ", ""), *[tuple(x.shape) for x in xs], shapes=True)
    for step in path:
        picked = [(terms[i], xs[i]) for i in sorted(step, reverse=True)]
        for i in sorted(step, reverse=True):
            del terms[i], xs[i]
        last = not xs
        keep = output if last else "".join(sorted(set("".join(terms) + output)))
        term, x = picked.pop()
        while picked:
            other_term, other = picked.pop()
            term, x = _pair(term, x, other_term, other, keep if not picked else keep + "".join(t for t, _ in picked))
        xs.append(_finish_term(x, term, "".join(c for c in (output if last else term) if c in keep)))
        terms.append("".join(c for c in (output if last else term) if c in keep))
    return xs[0]


def _check_subscripts(terms: list[str], output: str, xs: list[Any]) -> None:
    """Equal letters have equal sizes, or size 1."""
    seen: dict[str, int] = {}
    for k, (term, x) in enumerate(zip(terms, xs, strict=True)):
        own: dict[str, int] = {}
        for c, n in zip(term, x.shape, strict=True):
            if own.setdefault(c, n) != n:
                raise RuntimeError(f"einsum(): subscript {c} is repeated for operand {k} but the sizes don't match, {n} != {own[c]}")
        for c, n in own.items():
            if n != 1 and seen.setdefault(c, n) != n:
                raise RuntimeError(f"einsum(): subscript {c} has size {n} for operand {k} which does not broadcast with previously seen size {seen[c]}")
    for i, c in enumerate(output):
        if c in output[:i]:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
        if not any(c in term for term in terms):
            raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation for any input operand")


def _diagonals(term: str, x: Any) -> tuple[str, Any]:
    """Repeated letters read their diagonal."""
    while len(set(term)) < len(term):
        c = next(c for c in term if term.count(c) > 1)
        i = term.index(c)
        j = term.index(c, i + 1)
        x = x.diagonal(0, i, j)
        term = term[:i] + term[i + 1:j] + term[j + 1:] + c
    return term, x


def _finish_term(x: Any, term: str, target: str) -> Any:
    term, x = _diagonals(term, x)
    gone = [i for i, c in enumerate(term) if c not in target]
    if gone:
        x = emit(sum_row, (x,), (tuple(gone), False))
        term = "".join(c for c in term if c in target)
    return x.permute([term.index(c) for c in target]) if term != target else x


def _pair(ta: str, a: Any, tb: str, b: Any, keep: str) -> tuple[str, Any]:
    """One pairwise contraction as a batched matrix product."""
    ta, a = _diagonals(ta, a)
    tb, b = _diagonals(tb, b)
    a = _finish_term(a, ta, "".join(c for c in ta if c in keep or c in tb))
    ta = "".join(c for c in ta if c in keep or c in tb)
    b = _finish_term(b, tb, "".join(c for c in tb if c in keep or c in ta))
    tb = "".join(c for c in tb if c in keep or c in ta)
    sizes = {**dict(zip(ta, a.shape, strict=True))}
    for c, n in zip(tb, b.shape, strict=True):
        sizes[c] = max(sizes.get(c, 1), n)
    batch = [c for c in ta if c in tb and c in keep]
    summed = [c for c in ta if c in tb and c not in keep]
    left = [c for c in ta if c not in tb]
    right = [c for c in tb if c not in ta]
    # broadcast size-one dimensions before flattening
    a = a.expand([sizes[c] if c in tb else n for c, n in zip(ta, a.shape, strict=True)])
    b = b.expand([sizes[c] if c in ta else n for c, n in zip(tb, b.shape, strict=True)])
    n_of = lambda letters: math.prod(sizes[c] for c in letters)  # noqa: E731
    if not summed:
        pa = a.permute([ta.index(c) for c in batch + left]).reshape([sizes[c] for c in batch + left] + [1] * len(right))
        pb = b.permute([tb.index(c) for c in batch + right]).reshape([sizes[c] for c in batch] + [1] * len(left) + [sizes[c] for c in right])
        return "".join(batch + left + right), pa * pb
    pa = a.permute([ta.index(c) for c in batch + left + summed]).reshape(n_of(batch), n_of(left), n_of(summed))
    pb = b.permute([tb.index(c) for c in batch + summed + right]).reshape(n_of(batch), n_of(summed), n_of(right))
    out = product(pa, pb) if batch else product(pa.squeeze(0), pb.squeeze(0))
    return "".join(batch + left + right), out.reshape([sizes[c] for c in batch + left + right])
