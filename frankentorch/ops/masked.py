"""Functions of masks: filling, selecting, and where elements are true.

A result whose size depends on data observes it: the count is run when the call is made, the rest is recorded.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from . import call
from .call import is_tensor
from .create import full_of
from .define import api
from .index import positions
from .index_rows import index_row, index_select_row
from .movement import row_major
from .pointwise import where
from .record import emit
from .scan import cumsum_row
from .types import broadcast_shapes


@api("masked_fill(Tensor input, Tensor mask, Scalar value) -> Tensor", inplace=True, out=False)
def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """`input` with one number where `mask` is true."""
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {str(mask.dtype).removeprefix('torch.').replace('float32', 'float')}")
    if is_tensor(value):
        if value.ndim:
            raise RuntimeError(f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s).")
        value = call.cast(value, input.dtype)
    else:
        value = call.checked_number(value, input.dtype)
    out = where(row_major(mask), value, row_major(input))
    if out._node is not None and not out._node.is_leaf:
        out._node.name = "MaskedFillBackward0"
    return out


@api("masked_scatter(Tensor input, Tensor mask, Tensor source) -> Tensor", inplace=True, out=False)
def masked_scatter(input: Any, mask: Any, source: Any) -> Any:
    """`input` with its masked elements taken, in order, from `source`."""
    if input.dtype is not source.dtype:
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got{input.dtype.scalar_name} and "
                           f"{source.dtype.scalar_name}")
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype.scalar_name}")
    shape = broadcast_shapes([tuple(input.shape), tuple(mask.shape)])
    x, flags = input.expand(shape), mask.expand(shape)
    if not flags.numel():
        return x.clone()
    number = emit(cumsum_row, (call.cast(flags, dtypes.int64).reshape(-1),), (0,)) - 1
    if int(number[-1].item()) >= source.numel():
        raise RuntimeError("Number of elements of source < number of ones in mask")
    if not source.numel():
        return x.clone()
    taken = emit(index_row, (source.reshape(-1), where(number < 0, 0, number)), ((0,),)).reshape(shape)
    return where(flags, taken, x)


@api("masked_select(Tensor input, Tensor mask) -> Tensor")
def masked_select(input: Any, mask: Any) -> Any:
    """The elements where `mask` is true, as a vector."""
    if mask.dtype is not dtypes.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast_shapes([tuple(input.shape), tuple(mask.shape)])
    flat = input.expand(shape).reshape(-1)
    return emit(index_select_row, (flat, positions(mask.expand(shape))), (0,))


@api("nonzero(Tensor input, *, bool as_tuple=False) -> Tensor")
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The coordinates of elements that are not zero: a (count, ndim) tensor, or a vector a dimension."""
    from .index import coordinates
    from .movement import stack

    if as_tuple:
        return tuple(coordinates(input if input.ndim else input.reshape(1)))
    if not input.ndim:
        return full_of((positions(input.reshape(1)).shape[0], 0), 0, dtypes.int64)
    return stack(coordinates(input), 1)


@api("argwhere(Tensor input) -> Tensor", out=False)
def argwhere(input: Any) -> Any:
    """nonzero, as a tensor."""
    return nonzero(input)
