"""Views, in-place writes and their versions, against torch: strides, aliasing, gradients through writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from parity import check, leaf, rand

X = rand(2, 3, 4)

MOVES: dict[str, Any] = {
    "view": lambda t, x: x.view(6, 4), "view -1": lambda t, x: x.view(-1), "view dtype": lambda t, x: x.detach().view(t.int32),
    "reshape copies": lambda t, x: x.transpose(0, 1).reshape(6, 4), "reshape views": lambda t, x: x.reshape(2, 12), "permute": lambda t, x: x.permute(2, 0, 1),
    "transpose": lambda t, x: x.transpose(0, -1), "mT": lambda t, x: x.mT, "T": lambda t, x: x[0].T, "squeeze": lambda t, x: x[:1].squeeze(0),
    "unsqueeze": lambda t, x: x.unsqueeze(1), "expand": lambda t, x: x[:1].expand(5, 3, 4), "expand -1": lambda t, x: x[:, :1].expand(-1, 3, -1),
    "narrow": lambda t, x: x.narrow(1, 1, 2), "select": lambda t, x: x.select(1, -1), "slice": lambda t, x: x[:, ::2, 1:3], "None": lambda t, x: x[None, :, None],
    "ellipsis": lambda t, x: x[..., 0], "int": lambda t, x: x[1, 2], "0-dim": lambda t, x: x[1, 2, 3], "diagonal": lambda t, x: x.diagonal(0, 1, 2),
    "unfold": lambda t, x: x.unfold(2, 2, 1), "as_strided": lambda t, x: x.as_strided((2, 2), (1, 3), 2), "flatten": lambda t, x: x.flatten(1),
    "unflatten": lambda t, x: x.unflatten(2, (2, 2)), "movedim": lambda t, x: x.movedim(0, 2), "swapaxes": lambda t, x: x.swapaxes(0, 1),
    "split": lambda t, x: x.split(2, 1), "chunk": lambda t, x: x.chunk(2, 2), "unbind": lambda t, x: x.unbind(1), "tensor_split": lambda t, x: x.tensor_split(2, 2),
    "expand_as": lambda t, x: x[0, 0].expand_as(x), "view_as": lambda t, x: x.view_as(x), "broadcast_to": lambda t, x: t.broadcast_to(x[0], (2, 3, 4)),
    "flip": lambda t, x: x.flip(0, 2), "roll": lambda t, x: x.roll((1, 2), (0, 2)), "repeat": lambda t, x: x.repeat(2, 1, 1), "tile": lambda t, x: x.tile(2),
    "repeat_interleave": lambda t, x: x.repeat_interleave(2, 1), "cat": lambda t, x: t.cat([x, x[:, :1]], 1), "stack": lambda t, x: t.stack([x, x * 2], 1),
    "contiguous": lambda t, x: x.permute(2, 1, 0).contiguous(), "clone": lambda t, x: x.permute(2, 1, 0).clone(), "index": lambda t, x: x[:, [2, 0, 0]],
    "mask": lambda t, x: x[x > 0], "index rows": lambda t, x: x[t.tensor([1, 0]), t.tensor([2, 1])], "index spread": lambda t, x: x[t.tensor([1, 0]), :, t.tensor([2, 1])],
    "take_along_dim": lambda t, x: t.take_along_dim(x, t.tensor([[[1]]]), 2), "gather": lambda t, x: x.gather(1, t.zeros(2, 1, 4, dtype=t.int64)),
    "index_select": lambda t, x: x.index_select(2, t.tensor([3, 3, 0])), "masked_select": lambda t, x: x.masked_select(x > 0.5),
    "pad": lambda t, x: t.nn.functional.pad(x, (1, -1, 2, 0)), "rot90": lambda t, x: t.rot90(x[0]), "hstack": lambda t, x: t.hstack([x, x]),
    "vstack": lambda t, x: t.vstack([x, x]), "diag_embed": lambda t, x: t.diag_embed(x), "block_diag": lambda t, x: t.block_diag(x[0], x[1]),
    "atleast_3d": lambda t, x: t.atleast_3d(x[0]), "tril": lambda t, x: x.tril(), "view_as_real": lambda t, x: t.view_as_real(t.complex(x, x)) * 1,
    "masked_fill": lambda t, x: x.masked_fill(x > 0, 9.0), "scatter": lambda t, x: x.scatter(1, t.zeros(2, 1, 4, dtype=t.int64), 5.0),
    "scatter_add": lambda t, x: x.scatter_add(1, t.zeros(2, 2, 4, dtype=t.int64), x[:, :2]), "index_add": lambda t, x: x.index_add(1, t.tensor([0, 0]), x[:, :2]),
    "index_copy": lambda t, x: x.index_copy(1, t.tensor([2, 0]), x[:, :2]), "channels_last": lambda t, x: x[None].contiguous(memory_format=t.channels_last),
    "double slice": lambda t, x: x[1:][:, 1:][0, 1:, 2], "bool index": lambda t, x: x[True], "chained": lambda t, x: x.t() if x.dim() == 2 else x[0].t()[1:].flatten(),
}


@pytest.mark.parametrize("name", MOVES)
def test_movement(name: str) -> None:
    check(MOVES[name], leaf(X), stride=name != "view_as_real")
    check(MOVES[name], leaf(X, "float64"), stride=name != "view_as_real") if name != "view dtype" else None


def _strided_after_ops(t: Any, x: Any) -> Any:
    """Pointwise results keep their operand's dense layout; mixed ones follow the first."""
    p = x.permute(2, 0, 1)
    return p + 1, p * p, p + x.permute(2, 0, 1).contiguous(), p.exp(), p > 0, x[:, ::2] * 2, x[:, :1].expand(2, 3, 4) * 1, p.sum(0), p.softmax(0)


def _channels_last(t: Any, x: Any) -> Any:
    c = x[None].to(memory_format=t.channels_last)
    return c, c * 2, c.relu(), c.is_contiguous(), c.is_contiguous(memory_format=t.channels_last), c.contiguous(), t.empty_like(c).stride()


def _write_through_view(t: Any, x: Any) -> Any:
    a = x * 1
    a[0].mul_(2)
    a[:, 1] = 5
    a.t_() if a.dim() == 2 else a.transpose_(0, 1)
    return a


def _view_sees_write(t: Any, x: Any) -> Any:
    a = x * 1
    v, w = a[0], a[0].t()
    a.add_(1)
    v.mul_(3)
    a[:, 0].zero_()
    return a, v, w, w[1:]


def _view_of_view(t: Any, x: Any) -> Any:
    a = x * 2
    v = a[:, 1:][0]
    u = v.view(-1)[2:6]
    u.mul_(2)
    v[0].sub_(1)
    return a, v, u


def _write_view_with_grad_value(t: Any, x: Any, y: Any) -> Any:
    a = t.zeros(2, 3, 4)
    a[0] = y
    a[1, :, 0] = y[:, 0] * x[0, :, 1]
    return a


def _in_place_chain(t: Any, x: Any) -> Any:
    a = x.clone()
    a.mul_(2).add_(1).clamp_(-1, 2)
    b = a.sigmoid()
    a.div_(3)
    return a, b


def _mul_by_own_view(t: Any, x: Any) -> Any:
    a = x * 1
    a.mul_(a[0, 0, 0])
    a[0] += a[1]
    return a


def _overlapping_copy(t: Any, x: Any) -> Any:
    a = x.reshape(-1) * 1
    a[1:] = a[:-1].clone()
    b = x.reshape(-1) * 1
    b += b.flip(0)
    return a, b


def _versions(t: Any, x: Any) -> Any:
    a = x.detach().clone()
    seen = [a._version]
    v = a[0]
    v.add_(1)
    seen.append(a._version)
    a[1].zero_()
    seen.append(v._version)
    d = a.detach()
    d.mul_(2)
    seen.append(a._version)
    a.data.add_(1)
    seen.append(a._version)
    with t.no_grad():
        a.copy_(a * 2)
    seen.append(d._version)
    a += 1
    t.add(a, 1, out=a)
    seen.append(a._version)
    return seen, a


def _index_writes(t: Any, x: Any) -> Any:
    a = x * 1
    a[a > 0.5] = 0
    a[t.tensor([0, 1]), 1] = x[:, 2] * 2
    a[:, [0, 2]] += 1
    a[..., -1] = t.arange(3.0)
    a[0, 0, 0] = x[1, 1, 1]
    return a


def _index_put_accumulate(t: Any, x: Any) -> Any:
    a = x * 1
    a.index_put_((t.tensor([0, 0, 1]), t.tensor([1, 1, 1])), x[0], accumulate=True)
    a.index_add_(1, t.tensor([0, 0]), x[:, :2])
    a.masked_fill_(x > 1, -1.0)
    a.scatter_(2, t.zeros(2, 3, 1, dtype=t.int64), x[..., :1] * 2)
    return a


def _fill_and_zero(t: Any, x: Any) -> Any:
    a = x * 2
    a[0].fill_(3)
    a[1, 0].zero_()
    b = a * 1
    b.fill_(x.sum())
    return a, b


def _setitem_broadcast(t: Any, x: Any) -> Any:
    a = t.zeros(2, 3, 4, dtype=t.float64)
    a[:] = x[0, 0]
    a[0, :, 1] = 7
    a[1] = x[1].double()
    return a


def _bases(t: Any, x: Any) -> Any:
    a = x * 1
    v = a[0][1]
    return v._base is a, a._base is None, a._is_view(), v._is_view(), v.detach()._base is None, a.view(-1)[3:].storage_offset(), v.is_set_to(a[0, 1])


def _no_grad_updates(t: Any, x: Any) -> Any:
    """An optimiser's step by hand."""
    loss = (x * x).sum()
    (g,) = t.autograd.grad(loss, x)
    with t.no_grad():
        x -= 0.1 * g
        x[0].clamp_(-0.5, 0.5)
    return (x * x).sum()


def _detach_shares(t: Any, x: Any) -> Any:
    y = x * 3
    d = y.detach()
    y2 = y + 1
    d[0] = 0
    return y, d, y2


def _swap(t: Any, x: Any) -> Any:
    a = x.detach().clone()
    a[0], a[1] = a[1].clone(), a[0].clone()
    b = x.detach().clone()
    b[[0, 1]] = b[[1, 0]]
    return a, b


def _squeeze_in_place(t: Any, x: Any) -> Any:
    a = x[:1] * 1
    a.squeeze_(0)
    a.unsqueeze_(2)
    a.transpose_(0, 1)
    return a, a.shape


def _augmented(t: Any, x: Any) -> Any:
    a = x * 1
    b = a
    a += 1
    a *= x
    a /= 2
    a -= 0.5
    a **= 2
    return a, b is a


BEHAVIOURS = (_strided_after_ops, _channels_last, _write_through_view, _view_sees_write, _view_of_view, _in_place_chain, _mul_by_own_view,
              _overlapping_copy, _versions, _index_writes, _index_put_accumulate, _fill_and_zero, _setitem_broadcast, _bases, _no_grad_updates,
              _detach_shares, _swap, _squeeze_in_place, _augmented)


@pytest.mark.parametrize("fn", BEHAVIOURS, ids=lambda f: f.__name__.strip("_"))
def test_behaviour(fn: Any) -> None:
    check(fn, leaf(X), rtol=1e-5)


def test_values_with_gradients_written_through_views() -> None:
    check(_write_view_with_grad_value, leaf(X), leaf(rand(3, 4, seed=5)), rtol=1e-5)


def test_index_kinds() -> None:
    keys: list[Any] = [0, -1, slice(None, None, 2), None, Ellipsis, True, [0, 1], (0, slice(1, None)), (Ellipsis, 1), (slice(None), [1, 1]),
                       (None, 0, Ellipsis, None), np.array([1, 0]), (np.int64(1), 2), (slice(None), np.array([True, False, True])), (), [[0, 1], [1, 2]],
                       ([0, 1], None, [1, 2]), (slice(5, 1), 0), (slice(-2, None), slice(0, -1), slice(-3, 10))]
    for key in keys:
        check(lambda t, x: x[key], leaf(X))
        check(lambda t, x: x[key].shape, X)
        check(lambda t, x: x.__setitem__(key, 3.0) or x, X)
