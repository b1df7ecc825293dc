"""Wrong calls: torch's exception type and first words at the call that caused them, and nothing changed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from parity import WORDS, check_error, leaf, rand

A23, A34, A3, A4 = rand(2, 3), rand(3, 4, seed=1), rand(3), rand(4)
I3 = np.array([0, 1, 2])


def _inplace_after_save(t: Any, x: Any) -> Any:
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def _saved_operand_changed(t: Any, x: Any, w: Any) -> Any:
    w = w.clone()
    y = x * w
    w.detach().mul_(2)
    y.sum().backward()


def _twice(t: Any, x: Any) -> Any:
    y = (x * x).sum()
    y.backward()
    y.backward()


def _no_grad_view(t: Any, x: Any) -> Any:
    y = x * 1
    with t.no_grad():
        v = y[0]
    v.add_(1)


def _load_missing(t: Any) -> Any:
    t.nn.Linear(2, 3).load_state_dict({"weight": t.zeros(3, 2)})


def _load_shape(t: Any) -> Any:
    t.nn.Linear(2, 3).load_state_dict({"weight": t.zeros(3, 3), "bias": t.zeros(3)})


def _load_unexpected(t: Any) -> Any:
    t.nn.Linear(2, 3).load_state_dict({"weight": t.zeros(3, 2), "bias": t.zeros(3), "extra": t.zeros(1)})


def _not_used(t: Any, x: Any, y: Any) -> Any:
    return t.autograd.grad((x * 2).sum(), y)


CASES: dict[str, Any] = {
    # shapes
    "add shapes": (lambda t, a, b: a + b, A23, A34),
    "mul shapes": (lambda t, a, b: a * b, A3, A4),
    "where shapes": (lambda t, a, b: t.where(a > 0, a, b), A3, A4),
    "mm shapes": (lambda t, a, b: a @ b, A23, A23),
    "mm vectors": (lambda t, a, b: t.mm(a, b), A3, A34),
    "matmul mv": (lambda t, a, b: a @ b, A23, A4),
    "matmul dot": (lambda t, a, b: a @ b, A3, A4),
    "matmul 0-dim": (lambda t, a, b: t.matmul(a, b), A3, rand()),
    "bmm shapes": (lambda t, a, b: t.bmm(a, b), rand(2, 2, 3), rand(3, 3, 2)),
    "bmm dims": (lambda t, a, b: t.bmm(a, b), A23, A34),
    "dot": (lambda t, a, b: t.dot(a, b), A3, A4),
    "dot dims": (lambda t, a, b: t.dot(a, b), A23, A23),
    "addmm": (lambda t, a, b, c: t.addmm(a, b, c), A4, A23, A23),
    "linear": (lambda t, a, b: t.nn.functional.linear(a, b), A23, A34),
    "einsum": (lambda t, a, b: t.einsum("ij,jk->ik", a, b), A23, A23),
    "einsum operands": (lambda t, a: t.einsum("ij,jk->ik", a), A23),
    "view": (lambda t, a: a.view(4, 2), A23),
    "view two -1": (lambda t, a: a.view(-1, -1), A23),
    "view indivisible": (lambda t, a: a.view(4, -1), A23),
    "view negative": (lambda t, a: a.view(-2, 3), A23),
    "view strides": (lambda t, a: a.t().view(6), A23),
    "view empty -1": (lambda t, a: a[:0].view(0, -1), A23),
    "reshape": (lambda t, a: a.reshape(5), A23),
    "expand": (lambda t, a: a.expand(3, 3), A23),
    "expand fewer": (lambda t, a: a.expand(3), A23),
    "expand -1 leading": (lambda t, a: a.expand(-1, 2, 3), A23),
    "permute count": (lambda t, a: a.permute(0), A23),
    "permute repeat": (lambda t, a: a.permute(0, 0), A23),
    "permute range": (lambda t, a: a.permute(0, 2), A23),
    "transpose range": (lambda t, a: a.transpose(0, 2), A23),
    "t of 3-D": (lambda t, a: a.t(), rand(2, 2, 2)),
    "squeeze range": (lambda t, a: a.squeeze(3), A23),
    "unsqueeze range": (lambda t, a: a.unsqueeze(4), A23),
    "flatten": (lambda t, a: a.flatten(1, 0), A23),
    "narrow": (lambda t, a: a.narrow(0, 1, 5), A23),
    "narrow start": (lambda t, a: a.narrow(0, 9, 1), A23),
    "select": (lambda t, a: a.select(0, 5), A23),
    "split": (lambda t, a: a.split([1, 3]), A23),
    "chunk": (lambda t, a: a.chunk(0), A23),
    "unbind range": (lambda t, a: a.unbind(2), A23),
    "cat shapes": (lambda t, a, b: t.cat([a, b]), A23, A34),
    "cat empty": (lambda t: t.cat([]),),
    "cat 0-dim": (lambda t, a: t.cat([a, a]), rand()),
    "cat dims": (lambda t, a, b: t.cat([a, b]), A23, A3),
    "stack shapes": (lambda t, a, b: t.stack([a, b]), A3, A4),
    "stack empty": (lambda t: t.stack([]),),
    "repeat fewer": (lambda t, a: a.repeat(2), A23),
    "as_strided bounds": (lambda t, a: a.as_strided((5, 5), (5, 1)), A23),
    "as_strided count": (lambda t, a: a.as_strided((2, 2), (1,)), A23),
    "broadcast_to": (lambda t, a: t.broadcast_to(a, (2, 2)), A3),
    "unfold": (lambda t, a: a.unfold(0, 5, 1), A3),
    "diagonal": (lambda t, a: a.diagonal(0, 0, 0), A23),
    "outer": (lambda t, a, b: t.outer(a, b), A23, A3),
    # dimensions
    "sum dim": (lambda t, a: a.sum(2), A23),
    "sum negative dim": (lambda t, a: a.sum(-3), A23),
    "sum repeated dim": (lambda t, a: a.sum((0, 0)), A23),
    "softmax dim": (lambda t, a: a.softmax(2), A23),
    "max dim": (lambda t, a: a.max(3), A23),
    "max empty": (lambda t, a: a[:0].max(), A23),
    "amax empty": (lambda t, a: a[:0].amax(0), A23),
    "argmax empty": (lambda t, a: a[:0].argmax(), A23),
    "cumsum dim": (lambda t, a: a.cumsum(2), A23),
    "sort dim": (lambda t, a: a.sort(2), A23),
    "topk": (lambda t, a: a.topk(5), A3),
    "size dim": (lambda t, a: a.size(2), A23),
    "median empty": (lambda t, a: a[:0].median(0), A23),
    # dtypes
    "mean of ints": (lambda t, a: a.mean(), I3),
    "softmax of ints": (lambda t, a: a.softmax(0), I3),
    "requires_grad of ints": (lambda t, a: a.requires_grad_(), I3),
    "requires_grad argument": (lambda t: t.tensor([1, 2], requires_grad=True),),
    "neg of bool": (lambda t, a: -a, A3 > 0),
    "sub of bools": (lambda t, a: a - a, A3 > 0),
    "not of floats": (lambda t, a: ~a, A3),
    "and of floats": (lambda t, a: a & a, A3),
    "shift of floats": (lambda t, a: a << 1, A3),
    "mm dtypes": (lambda t, a, b: a @ b, A23, A34.astype("float64")),
    "dot dtypes": (lambda t, a, b: t.dot(a, b), A3, I3),
    "in-place dtype": (lambda t, a: a.add_(1.5), I3),
    "in-place true division": (lambda t, a: a.div_(2), I3),
    "in-place tensor dtype": (lambda t, a, b: a.add_(b), I3, A3),
    "complex to float in place": (lambda t, a: a.add_(1j), A3),
    "floor of complex": (lambda t, a: a.floor(), rand(3, dtype="complex64")),
    "lt of complex": (lambda t, a: a < a, rand(3, dtype="complex64")),
    "max of complex": (lambda t, a: a.max(), rand(3, dtype="complex64")),
    "imag of real": (lambda t, a: a.imag, A3),
    "view_as_complex": (lambda t, a: t.view_as_complex(a), A23),
    "integer power": (lambda t, a: a ** -1, I3),
    "integer overflow": (lambda t: t.tensor([300], dtype=t.uint8),),
    "arange dtype": (lambda t: t.arange(0, 3, 0),),
    "arange sign": (lambda t: t.arange(3, 0, 1),),
    "dtype of a list": (lambda t: t.tensor(["a"]),),
    "ragged list": (lambda t: t.tensor([[1, 2], [3]]),),
    "None in a list": (lambda t: t.tensor([None]),),
    # arguments
    "add a string": (lambda t, a: a + "x", A3),
    "add a list": (lambda t, a: a + [1, 2, 3], A3),
    "add None": (lambda t, a: t.add(a, None), A3),
    "exp of a number": (lambda t: t.exp(3.0),),
    "exp of None": (lambda t: t.exp(None),),
    "unknown keyword": (lambda t, a: t.exp(a, foo=1), A3),
    "zeros negative": (lambda t: t.zeros(-1),),
    "zeros float": (lambda t: t.zeros(2.5),),
    "full float size": (lambda t: t.full((1.5,), 0),),
    "eye negative": (lambda t: t.eye(-1),),
    "linspace steps": (lambda t: t.linspace(0, 1, -1),),
    "randperm": (lambda t: t.randperm(-1),),
    "randint order": (lambda t: t.randint(5, 2, (3,)),),
    "randint empty": (lambda t: t.randint(0, 0, (3,)),),
    "multinomial": (lambda t, a: t.multinomial(a, 5), np.abs(A3)),
    "bernoulli p": (lambda t, a: a.bernoulli_(2.0), A3),
    "normal std": (lambda t, a: a.normal_(0, -1), A3),
    "uniform order": (lambda t, a: a.uniform_(2, 1), A3),
    "dropout p": (lambda t, a: t.nn.functional.dropout(a, 1.5), A3),
    "clamp without bounds": (lambda t, a: a.clamp(), A3),
    "from_numpy of a list": (lambda t: t.from_numpy([1]),),
    "device name": (lambda t: t.device("gpu"),),
    "cuda": (lambda t, a: a.cuda(), A3),
    "dim type": (lambda t, a: a.sum("x"), A3),
    "dim type of a number": (lambda t, a: a.sum(1.5), A3),
    "memory format": (lambda t, a: a.contiguous(memory_format=t.channels_last), A23),
    # indices
    "index range": (lambda t, a: a[5], A3),
    "index negative": (lambda t, a: a[-4], A3),
    "too many indices": (lambda t, a: a[0, 0], A3),
    "index 0-dim": (lambda t, a: a[0], rand()),
    "float index": (lambda t, a: a[1.5], A3),
    "string index": (lambda t, a: a["x"], A3),
    "negative step": (lambda t, a: a[::-1], A3),
    "mask shape": (lambda t, a, m: a[m], A3, A4 > 0),
    "index tensor dtype": (lambda t, a, i: a[i], A3, A3),
    "index tensor range": (lambda t, a, i: a[i], A3, np.array([0, 7])),
    "index tensors": (lambda t, a, i, j: a[i, j], A23, np.array([0, 1]), np.array([0, 1, 2])),
    "assign range": (lambda t, a: a.__setitem__(7, 0), A3),
    "assign shape": (lambda t, a, b: a.__setitem__(slice(0, 2), b), A3, A3),
    "assign string": (lambda t, a: a.__setitem__(0, "x"), A3),
    "gather dims": (lambda t, a, i: a.gather(0, i), A23, I3),
    "gather range": (lambda t, a, i: a.gather(0, i), A3, np.array([5])),
    "gather dtype": (lambda t, a, i: a.gather(0, i), A3, A3),
    "scatter range": (lambda t, a, i: a.scatter(0, i, 1.0), A3, np.array([5])),
    "index_select range": (lambda t, a, i: a.index_select(0, i), A3, np.array([5])),
    "index_select dims": (lambda t, a, i: a.index_select(0, i), A3, np.array([[0]])),
    "index_add": (lambda t, a, i, b: a.index_add(0, i, b), A3, np.array([0, 1]), A3),
    "masked_fill dtype": (lambda t, a, m: a.masked_fill(m, 0), A3, I3),
    "masked_fill shape": (lambda t, a, m: a.masked_fill(m, 0), A3, A4 > 0),
    "embedding range": (lambda t, w, i: t.nn.functional.embedding(i, w), A34, np.array([0, 3])),
    "take range": (lambda t, a, i: t.take(a, i), A3, np.array([5])),
    # observation
    "bool of many": (lambda t, a: bool(a), A3),
    "bool of none": (lambda t, a: bool(a[:0]), A3),
    "item of many": (lambda t, a: a.item(), A3),
    "item of none": (lambda t, a: a[:0].item(), A3),
    "float of many": (lambda t, a: float(a), A3),
    "index of floats": (lambda t, a: range(3)[a[0]], A3),
    "len of 0-dim": (lambda t, a: len(a), rand()),
    "iterate 0-dim": (lambda t, a: list(a), rand()),
    "numpy of requires_grad": (lambda t, a: a.numpy(), leaf(A3)),
    "numpy of a result": (lambda t, a: (a * 2).numpy(), leaf(A3)),
    "numpy of bfloat16": (lambda t, a: a.bfloat16().numpy(), A3),
    "contains": (lambda t, a: "x" in a, A3),
    # writing in place
    "leaf": (lambda t, a: a.add_(1), leaf(A3)),
    "leaf zero_": (lambda t, a: a.zero_(), leaf(A3)),
    "leaf view": (lambda t, a: a[0].add_(1), leaf(A3)),
    "leaf setitem": (lambda t, a: a.__setitem__(0, 1.0), leaf(A3)),
    "leaf copy_": (lambda t, a: a.copy_(a.detach() + 1), leaf(A3)),
    "expanded": (lambda t, a: a.expand(2, 3).add_(1), A3),
    "in-place broadcast": (lambda t, a, b: a.add_(b), A3, A23),
    "copy_ shape": (lambda t, a, b: a.copy_(b), A3, A4),
    "fill_ with a tensor": (lambda t, a: a.fill_(a), A3),
    "view made in no_grad": (_no_grad_view, leaf(A23)),
    "detach_ of a view": (lambda t, a: (a * 1)[0].detach_(), leaf(A23)),
    "out= of requires_grad": (lambda t, a, b: t.exp(a, out=b), leaf(A3), A3),
    "out= dtype": (lambda t, a, b: t.exp(a, out=b), A3, I3),
    # gradients
    "backward of non-scalar": (lambda t, a: (a * 2).backward(), leaf(A3)),
    "backward without a tape": (lambda t, a: a.sum().backward(), A3),
    "backward twice": (_twice, leaf(A3)),
    "saved result changed": (_inplace_after_save, leaf(A3)),
    "saved operand changed": (_saved_operand_changed, leaf(A3), A3),
    "gradient shape": (lambda t, a, g: (a * 2).backward(g), leaf(A3), A4),
    "grad not used": (_not_used, leaf(A3), leaf(A4)),
    "grad of no grad": (lambda t, a: t.autograd.grad(a.sum(), a), A3),
    "grad non-scalar": (lambda t, a: t.autograd.grad(a * 2, a), leaf(A3)),
    "requires_grad off a result": (lambda t, a: (a * 2).requires_grad_(False), leaf(A3)),
    "set grad shape": (lambda t, a, g: setattr(a, "grad", g), leaf(A3), A4),
    "set grad dtype": (lambda t, a, g: setattr(a, "grad", g), leaf(A3), A3.astype("float64")),
    "set grad type": (lambda t, a: setattr(a, "grad", 1.0), leaf(A3)),
    "set grad self": (lambda t, a: setattr(a, "grad", a), leaf(A3)),
    "hook without grad": (lambda t, a: a.register_hook(print), A3),
    "retain_grad": (lambda t, a: a.retain_grad(), A3),
    "deepcopy of a result": (lambda t, a: __import__("copy").deepcopy(a * 2), leaf(A3)),
    "complex backward": (lambda t, a: a.sum().backward(), leaf(rand(3, dtype="complex64"))),
    "backward inputs empty": (lambda t, a: (a * 2).sum().backward(inputs=[]), leaf(A3)),
    # modules, files, sizes
    "state_dict missing": (_load_missing,),
    "state_dict shape": (_load_shape,),
    "state_dict unexpected": (_load_unexpected,),
    "load nothing": (lambda t: t.load(io.BytesIO(b"")),),
    "Size of floats": (lambda t: t.Size([1.5]),),
    "Size of strings": (lambda t: t.Size(["a"]),),
    "Parameter of ints": (lambda t, a: t.nn.Parameter(a), I3),
    "conv channels": (lambda t, x, w: t.nn.functional.conv2d(x, w), rand(1, 3, 5, 5), rand(2, 4, 3, 3)),
    "conv kernel": (lambda t, x, w: t.nn.functional.conv2d(x, w), rand(1, 3, 2, 2), rand(2, 3, 3, 3)),
    "cross_entropy target": (lambda t, x, y: t.nn.functional.cross_entropy(x, y), A34, np.array([0, 1])),
    "cross_entropy class": (lambda t, x, y: t.nn.functional.cross_entropy(x, y), A34, np.array([0, 1, 9])),
    "layer_norm shape": (lambda t, x: t.nn.functional.layer_norm(x, (4,)), A23),
    "attribute": (lambda t, a: a.no_such_thing, A3),
    "module attribute": (lambda t: t.no_such_thing,),
    "broadcast_shapes": (lambda t: t.broadcast_shapes((2, 3), (4,)),),
    "promote_types": (lambda t: t.promote_types(t.float32, 3),),
    "manual_seed": (lambda t: t.manual_seed("x"),),
    "relu of a number": (lambda t: t.relu(3),),
    "amax of a list": (lambda t: t.amax([1.0, 2.0]),),
    "exp_ of a string": (lambda t: t.exp_("a"),),
    "angle of None": (lambda t: t.angle(None),),
    "cross size": (lambda t, a: t.linalg.cross(a, a), A4),
    "norm of ints": (lambda t, a: t.linalg.vector_norm(a), I3),
    "matrix_power": (lambda t, a: t.linalg.matrix_power(a, 2), A23),
    "multi_dot": (lambda t, a: t.linalg.multi_dot([a, a]), A23),
}


# torch lists the signatures of the overloads it tried.
TYPE_ONLY = ("dim type", "dim type of a number")


@pytest.mark.parametrize("name", CASES)
def test_error(name: str) -> None:
    fn, *args = CASES[name]
    check_error(fn, *args, words=0 if name in TYPE_ONLY else WORDS)
