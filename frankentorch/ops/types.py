"""The types of values: dtype, shape and strides, interned so that equal types are one object.

Enters: dtypes, sizes, strides. Leaves: `TensorType` singletons, used by shape rules, keys and the IR alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..dtypes import dtype as DType


class TensorType:
    """The type of a value: element type, sizes and strides (in elements). Interned by `tensor_type`.

    `scalar` marks a run-time number (an argument of the program rather than memory); `const` then holds its value when
    the value is one of the few that programs specialise on.
    """

    __slots__ = ("dtype", "shape", "strides", "ndim", "numel", "contiguous", "dense", "scalar", "const", "text")

    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    ndim: int
    numel: int
    contiguous: bool
    dense: bool
    scalar: bool
    const: float | int | bool | complex | None
    text: str

    def __repr__(self) -> str:
        return self.text

    @property
    def nbytes(self) -> int:
        """Bytes of the densest buffer that holds this type's elements."""
        return self.numel * self.dtype.itemsize

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same layout with another element type."""
        return tensor_type(dtype, self.shape, self.strides)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides, as torch gives them (a size of zero counts as one)."""
    strides = [1] * len(shape)
    step = 1
    for i in range(len(shape) - 1, -1, -1):
        strides[i] = step
        step *= max(shape[i], 1)
    return tuple(strides)


def strides_in_order(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Dense strides where `order` lists the dimensions from the fastest to the slowest."""
    strides = [0] * len(shape)
    step = 1
    for dim in order:
        strides[dim] = step
        step *= max(shape[dim], 1)
    return tuple(strides)


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """torch's rule: dimensions of size one do not count, an empty tensor always is."""
    if 0 in shape:
        return True
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements fill their memory without overlap or holes, in any order of dimensions."""
    if 0 in shape:
        return True
    step = 1
    for stride, size in sorted((st, sz) for st, sz in zip(strides, shape, strict=True) if sz != 1):
        if size == 0:
            return True
        if stride != step:
            return False
        step *= size
    return True


_INTERNED: dict[tuple[object, ...], TensorType] = {}


def tensor_type(dtype: DType, shape: Sequence[int], strides: Sequence[int] | None = None) -> TensorType:
    """The type of a tensor with these sizes and strides (row-major when not given)."""
    shape = tuple(shape)
    strides = contiguous_strides(shape) if strides is None else tuple(strides)
    key = (dtype, shape, strides)
    found = _INTERNED.get(key)
    if found is not None:
        return found
    t = TensorType()
    t.dtype, t.shape, t.strides, t.ndim = dtype, shape, strides, len(shape)
    numel = 1
    for size in shape:
        numel *= size
    t.numel = numel
    t.contiguous = is_contiguous(shape, strides)
    t.dense = t.contiguous or is_dense(shape, strides)
    t.scalar, t.const = False, None
    layout = "" if strides == contiguous_strides(shape) else f", strides=[{', '.join(map(str, strides))}]"
    t.text = f"tensor<{'x'.join([*map(str, shape), dtype.lane])}{layout}>"
    return _INTERNED.setdefault(key, t)


_NUMBERS: dict[DType, TensorType] = {}
SPECIALISED = (0, 1, 2, 3, -1, 0.5, -0.5, -2)
_SPECIALISED = frozenset(SPECIALISED)


def scalar_type(dtype: DType, value: float | int | bool | complex | None = None) -> TensorType:
    """The type of a run-time number; numbers in `SPECIALISED` have types of their own, so that passes can see them."""
    if value is None or value not in _SPECIALISED or value == 0 and str(value)[0] == "-":
        plain = _NUMBERS.get(dtype)
        if plain is not None:
            return plain
        const = None
    else:
        const = value
    if const is not None:
        const = complex(const) if dtype.is_complex else float(const) if dtype.is_floating_point else int(const)  # type: ignore[arg-type]
    key = (dtype, "scalar", const)
    found = _INTERNED.get(key)
    if found is not None:
        return found
    t = TensorType()
    t.dtype, t.shape, t.strides, t.ndim, t.numel = dtype, (), (), 0, 1
    t.contiguous = t.dense = t.scalar = True
    t.const = const
    if const is None:
        _NUMBERS[dtype] = t
    t.text = f"scalar<{dtype.lane}{'' if const is None else f' = {const!r}'}>"
    return _INTERNED.setdefault(key, t)


def dense_type(t: TensorType) -> TensorType:
    """The type of a fresh copy of `t` under torch's preserve_format: its own strides when dense, else row-major or its order."""
    if t.dense:
        return t
    order = fastest_first(t.shape, [t.strides])
    return tensor_type(t.dtype, t.shape, strides_in_order(t.shape, order))


def broadcast_shapes(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that all of `shapes` broadcast to; RuntimeError with torch's wording where there is none."""
    first = shapes[0]
    if all(s == first for s in shapes):
        return first
    ndim = max(len(s) for s in shapes)
    out = [1] * ndim
    for shape in shapes:
        lead = ndim - len(shape)
        for k in range(ndim - 1, lead - 1, -1):
            size = shape[k - lead]
            if size != 1:
                if out[k] == 1:
                    out[k] = size
                elif out[k] != size:
                    raise RuntimeError(
                        f"The size of tensor a ({out[k]}) must match the size of tensor b ({size}) at non-singleton dimension {k}")
    return tuple(out)


def broadcast_strides(shape: tuple[int, ...], strides: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...]:
    """Strides that read `shape` as `target`: zero along broadcast dimensions."""
    lead = len(target) - len(shape)
    out = [0] * len(target)
    for i, size in enumerate(shape):
        if size != 1 or target[lead + i] == 1:
            out[lead + i] = strides[i] if size != 1 else 0
    return tuple(out)


def fastest_first(shape: Sequence[int], operand_strides: Sequence[Sequence[int]]) -> list[int]:
    """The order of dimensions, fastest first, that an elementwise result takes from its operands.

    Stride order of the first operand that decides; ambiguous dimensions keep row-major order. The rule is the one
    torch documents for its TensorIterator (insertion sort, zero strides undecided, equal strides by size).
    """
    ndim = len(shape)
    order = list(range(ndim - 1, -1, -1))

    def compare(a: int, b: int) -> int:
        for strides in operand_strides:
            sa, sb = strides[a], strides[b]
            if sa == 0 or sb == 0:
                continue
            if sa != sb:
                return -1 if sa < sb else 1
            if shape[a] > shape[b]:
                return 1
        return 0

    for i in range(1, ndim):
        at = i
        for j in range(i - 1, -1, -1):
            c = compare(order[j], order[at])
            if c > 0:
                order[j], order[at] = order[at], order[j]
                at = j
            elif c < 0:
                break
    return order


def elementwise_type(dtype: DType, operands: Sequence[TensorType]) -> TensorType:
    """The type of an elementwise result: broadcast shape, and strides as torch's preserve_format picks them."""
    tensors = [t for t in operands if not t.scalar]
    if not tensors:
        return tensor_type(dtype, ())
    first = tensors[0]
    if len(tensors) == len(operands) and all(t.shape == first.shape and t.strides == first.strides for t in tensors) and first.dense:
        return tensor_type(dtype, first.shape, first.strides if not first.contiguous else None)
    shape = broadcast_shapes([t.shape for t in tensors])
    order = fastest_first(shape, [_reading(t, shape) for t in tensors if t.ndim])
    if order == list(range(len(shape) - 1, -1, -1)):
        return tensor_type(dtype, shape)
    strides, step = [0] * len(shape), 1
    for dim in order:  # here a size of zero counts as zero, as in torch's iterator
        strides[dim] = step
        step *= shape[dim]
    return tensor_type(dtype, shape, strides)


def _reading(t: TensorType, target: tuple[int, ...]) -> tuple[int, ...]:
    """The strides that decide the order of a result's dimensions: zero where `t` is broadcast, its own elsewhere."""
    lead = len(target) - t.ndim
    own = tuple(0 if n == 1 and target[lead + i] != 1 else s for i, (n, s) in enumerate(zip(t.shape, t.strides, strict=True)))
    return (0,) * lead + own
