"""The tensor: a handle on a value, with torch's storage, view and version semantics.

A *root* tensor holds its value; an in-place write replaces that value and counts its version up. A *view* has a root and reads or
writes through strides over the root's memory; when the root was written since, the view's value is derived again. Where a
foreign object can reach the memory (numpy, DLPack, ``data_ptr``) the buffer is *exposed*: reads run before the call returns and
writes land in that very memory.
"""

from __future__ import annotations

import copy
import ctypes
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import device as devices
from . import dtypes, printing
from .ops import call, complex_views, record
from .ops.define import API
from .ops.movement import as_strided_row, as_strided_scatter_row
from .ops.pointwise import clone_row
from .ops.record import Value, emit, grad_mode, make_sig, state, wrap
from .ops.table import ROWS
from .ops.types import TensorType, broadcast_shapes, dense_type, is_contiguous, tensor_type
from .runtime import tape
from .runtime.memory import Buffer
from .runtime.tape import AccumulateGrad, HookHandle, Version, view_value
from .runtime.window import Window
from .size import Size
from .size import of as size_of

if TYPE_CHECKING:
    import numpy as np


class TensorMeta(type):
    """``isinstance(x, torch.Tensor)`` and the legacy constructor."""


class Tensor(metaclass=TensorMeta):
    """A multi-dimensional array of one dtype, as torch.Tensor.

    Made by the constructors (`tensor`, `zeros`, ...); calling the class itself is torch's legacy constructor.
    """

    __module__ = "torch"
    _value: Value
    _root: Tensor | None = None
    _moved: Tensor | None = None
    _own: Version | None = None
    _family: Tensor | None = None
    _based = 0
    _leaf: AccumulateGrad | None = None
    _soff = 0
    _seen = 0
    _vc: Version | None = None
    _node: Any = None
    _nr = 0
    _grad: Tensor | None = None
    _detached = False
    _meta = False
    _is_param = False
    _lens: Any = None
    _hooks_table: Any = None
    _retain: Any = False
    if TYPE_CHECKING:
        # Methods and operators are bound from the op table (methods.py).
        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Any: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...
        def __neg__(self) -> Any: ...
        def __pos__(self) -> Any: ...
        def __invert__(self) -> Any: ...
        def __abs__(self) -> Any: ...
        def __add__(self, other: Any) -> Any: ...
        def __radd__(self, other: Any) -> Any: ...
        def __sub__(self, other: Any) -> Any: ...
        def __rsub__(self, other: Any) -> Any: ...
        def __mul__(self, other: Any) -> Any: ...
        def __rmul__(self, other: Any) -> Any: ...
        def __truediv__(self, other: Any) -> Any: ...
        def __rtruediv__(self, other: Any) -> Any: ...
        def __matmul__(self, other: Any) -> Any: ...
        def __and__(self, other: Any) -> Any: ...
        def __or__(self, other: Any) -> Any: ...
        def __lt__(self, other: Any) -> Any: ...
        def __gt__(self, other: Any) -> Any: ...

    __array_priority__ = 1000
    __hash__ = object.__hash__

    def __new__(cls, *args: Any, **kwargs: Any) -> Tensor:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "_value" in self.__dict__:
            return
        from .ops import create

        if len(args) == 1 and isinstance(args[0], Tensor):
            source = args[0].detach()
            self._adopt(source)
        elif len(args) == 1 and not isinstance(args[0], int):
            from .construct import construct

            made = construct(args[0], dtypes.get_default_dtype()) if not isinstance(args[0], Size) else create.full_of(
                args[0], 0, dtypes.get_default_dtype())
            self._adopt(made)
        else:
            self._adopt(create.full_of(tuple(int(a) for a in args) if args else (0,), 0, dtypes.get_default_dtype()))

    def _adopt(self, other: Tensor) -> None:
        """Become a handle on what `other` is a handle on."""
        self._value = other._value
        if other._root is not None:
            self._root, self._soff, self._seen, self._detached = other._root, other._soff, other._seen, other._detached
        if other._own is not None:
            self._own = other._own
        if other._family is not None:
            self._family = other._family
        if other._meta:
            self._meta = True

    @staticmethod
    def _make_subclass(cls: type, data: Any, require_grad: bool = False) -> Any:
        """A tensor of class `cls` on the storage of `data`."""
        t = Tensor.__new__(cls)
        if data._root is None and data._node is None and data._own is None:
            t._take_over(data)
        else:
            t._adopt(data.detach())
        return t._from_birth() if require_grad else t

    def as_subclass(self, cls: type) -> Any:
        """The same tensor as an instance of a subclass."""
        t = Tensor.__new__(cls)
        t._adopt(self)
        t._node, t._nr = self._node, self._nr
        return t

    # Values, storage, versions ----------------------------------------------------------------------------------------
    def _home(self) -> Tensor:
        """The tensor that holds this one's storage: itself, its root, or what took the root's storage over."""
        root = self._root
        if root is None:
            return self
        while root._moved is not None:
            if root._detached and self._family is None and root is not self:
                self._family = root
            self._root = root = root._moved
        return root

    def _take_over(self, source: Tensor) -> None:
        """Become the home of the storage of `source`, which turns into a detached handle on it: a parameter is written at each
        step, and a home is written without a copy around the write."""
        self._value, self._vc = source._value, source._storage_counter()
        if source._meta:
            self._meta = True
        source._root = source._moved = self
        source._detached, source._soff, source._seen = True, 0, self._vc.writes  # type: ignore[union-attr]

    def _storage_counter(self) -> Version:
        root = self._home()
        if root._vc is None:
            root._vc = Version()
        return root._vc

    def _version_counter(self) -> Version:
        return self._storage_counter() if self._own is None else self._own

    def _count_write(self) -> None:
        """Count a write to the storage; handles made by ``.data`` count on their own, and leave what others saved readable."""
        store = self._storage_counter()
        store.writes += 1
        if self._own is None:
            store.v += 1
        else:
            self._own.v += 1
        if store.latest is not None:
            store.latest = self._home()._value
        if store.lenses is not None:
            complex_views.refresh(store)

    def _settle(self) -> None:
        """Give the storage a home of its own, so that this handle can become a view, or move to another storage."""
        if self._root is not None:
            return
        home = Tensor.__new__(Tensor)
        home._value, home._vc, home._node, home._nr, home._meta = self._value, self._storage_counter(), self._node, self._nr, self._meta
        self._root = self._moved = home
        self._soff, self._seen = 0, home._vc.writes

    @property
    def _version(self) -> int:
        if self._own is not None:
            return self._own.v
        root = self if self._root is None else self._home()
        return 0 if root._vc is None else root._vc.v

    def _fresh(self) -> Value:
        """The current value; a view whose root was written since is derived again."""
        root = self._root
        if root is None:
            return self._value
        if root._moved is not None:
            root = self._home()
        if root._vc is None or self._seen == root._vc.writes:
            return self._value
        t = self._value.type
        attrs = (t.shape, t.strides, self._soff)
        sig = make_sig(as_strided_row, (root._value.type,), attrs)
        self._value = view_value(sig, root._value)
        self._seen = root._vc.writes
        if not self._detached and self._based != (now := self._version):
            self._based = now
            self._rebase(root if self._family is None else self._family)
        return self._value

    def _rebase(self, base: Tensor) -> None:
        """After a write: this view's place on the tape follows from that of the tensor it is a view of."""
        value = base._value if base._root is None else base._fresh()
        if base._node is not None and value.type.dense and not (self._node is not None and self._node.__class__ is tape.Untracked):
            t = self._value.type
            self._node = None
            with grad_mode(True):
                tape.attach(make_sig(as_strided_row, (value.type,), (t.shape, t.strides, self._soff - base._soff)), (base,), (value,), (self,))
            self._keep_retaining()

    def _keep_retaining(self) -> None:
        """After this tensor moved on the tape: `retain_grad` goes with it."""
        if self._retain is not False:
            node, nr = self._retain
            node.retains.pop(nr, None)
            self._retain = False
            if self._node is not None and not self._node.is_leaf:
                self.retain_grad()

    def _view_of(self, row: Any, attrs: tuple[Any, ...]) -> Tensor:
        """A view of this tensor by a movement row."""
        value = self._value if self._root is None else self._fresh()
        key = (row, attrs, value.type)
        sig = record.SIGS.get(key) or make_sig(row, (value.type,), attrs)
        t = Tensor.__new__(Tensor)
        t._value = view_value(sig, value)
        root = self if self._root is None else self._home()
        t._root = root
        t._soff = self._soff + sig.delta
        if root._vc is not None:
            t._seen = root._vc.writes
        if self._own is not None:
            t._own = self._own
        if self._detached:
            t._family = self
        elif self._family is not None:
            t._family = self._family
        if self._own is not None or root._vc is not None:
            t._based = t._version
        if self._node is not None:
            if state.grad:
                tape.attach(sig, (self,), (value,), (t,))
            elif (root if t._family is None else t._family)._node is not None and tape.differentiable(sig.outs[0]):
                t._node = tape.Untracked(t)
        if self._meta:
            t._meta = True
        return t

    def _as_strided(self, size: tuple[int, ...], stride: tuple[int, ...], offset: int | None) -> Tensor:
        root = self._home()
        start = self._soff if offset is None else offset
        if len(size) != len(stride):
            raise RuntimeError("mismatch in length of strides and shape")
        extent = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) + 1 if 0 not in size else 0
        if extent > max(dense_type(root._value.type).numel, 0):
            item = self.dtype.itemsize
            raise RuntimeError(f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start}, and itemsize {item} requiring a storage "
                               f"size of {extent * item} are out of bounds for storage of size {root._value.type.numel * item}")
        base = self if self._root is None else None
        if base is None:
            base = Tensor.__new__(Tensor)
            base._adopt(root)
            family = self if self._detached else self._family
            base._node, base._nr = (root._node, root._nr) if family is None else (None, 0)
            base._root, base._soff, base._seen = root, 0, 0 if root._vc is None else root._vc.writes
            base._own, base._family = self._own, family
        t = base._view_of(as_strided_row, (size, stride, start - base._soff))
        t._soff = start
        if state.grad and t._node is None and self._node is not None and self._value.type.dense:
            sig = make_sig(as_strided_row, (self._value.type,), (size, stride, start - self._soff))
            tape.attach(sig, (self,), (self._fresh(),), (t,))
        return t

    def _write(self, r: Tensor) -> None:
        """Replace the contents by those of `r`, a fresh result of the same shape and dtype."""
        if self._root is None:
            t = self._value.type
            value = r._value if r._root is None else r._fresh()
            if value.type is not t or r._root is not None or value.buf is not None:
                r = _copied(r, t)
                value = r._value
            old = self._value
            self._value = value
            if state.grad and (r._node is not None or self._node is not None and not self._node.is_leaf):
                self._follow(r, value)
            _write_home(self, old)
            self._count_write()
            if self._lens is not None:
                complex_views.write_back(self)
            return
        self._fresh()
        root = self._home()
        t = self._value.type
        buf = root._value.buf
        if buf is not None and buf.exposed and not (state.grad and any(x is not None and x._node is not None for x in (r, root, self, self._family))):
            # Only this region: others may be writing the rest of the memory.
            made, start = r._materialise(), root._value.offset + self._soff * t.dtype.itemsize
            assert made.buf is not None
            buf.as_numpy(t.dtype.np, t.shape, t.strides, start)[...] = made.buf.as_numpy(made.type.dtype.np, t.shape, made.type.strides, made.offset)
            root._value = Value(root._value.type, None, -1, buf, root._value.offset)
            self._count_write()
            if root._lens is not None:
                complex_views.write_back(root)
            return
        base = self if self._detached else self._family
        old = root._value
        with grad_mode(state.grad and base is None):
            if t is old.type and t.dense and self._soff == 0 and (r._node is not None or root._node is None or not state.grad):
                # A handle on the whole storage (a Parameter on its data): the result takes its place.
                new = r if r._root is None and r._value.type is t and r._value.buf is None else _copied(r, t)
            else:
                new = emit(as_strided_scatter_row, (root, r), (t.shape, t.strides, self._soff))
        if base is None:
            if state.grad and new._node is not None:
                if not new._node.is_leaf:
                    new._node.name = "torch::autograd::CopySlices"
                root._node, root._nr = new._node, new._nr
                root._keep_retaining()
        elif state.grad and (r._node is not None or base._node is not None):
            if base is not self and base._value.type.dense:
                r = emit(as_strided_scatter_row, (base, r), (t.shape, t.strides, self._soff - base._soff))
            if base is self or r._value.type.shape == base._value.type.shape:
                base._follow(r, r._value)
        root._value = new._value
        _write_home(root, old)
        self._count_write()
        if root._lens is not None:
            complex_views.write_back(root)

    def _follow(self, r: Tensor, value: Value) -> None:
        """Take the place on the tape of `r`, new contents for all of this tensor; what does not depend on the old leaves it a zero gradient."""
        if r._node is None:
            sig = make_sig(ROWS["overwritten"], (value.type,), ())
            tape.attach(sig, (self,), (value,), (r,))
            node: Any = r._node
            if node is not None:
                node.name = "torch::autograd::CopyBackwards"
        self._node, self._nr = r._node, r._nr
        self._keep_retaining()

    def _rebind(self, r: Tensor) -> None:
        """Become `r` altogether (resizing writes)."""
        self._settle()
        value = r._value if r._root is None else r._fresh()
        if r._root is not None or r._value.buf is not None:
            value = emit(clone_row, (r,), (dense_type(r._value.type).strides,))._value
        self._move_to(wrap(value))
        self._version_counter().v += 1

    def _move_to(self, source: Tensor) -> None:
        """Become a handle on the storage of `source`, with this tensor's own count of writes; views of the old storage stay there."""
        own = self._version_counter()
        self._settle()
        self._root = source._home()
        self._value, self._soff, self._own = source._fresh(), source._soff, own
        self._seen = 0 if self._root._vc is None else self._root._vc.writes
        self._detached, self._family = True, None

    def _concrete(self) -> np.ndarray:
        """This tensor's memory as a numpy array for looking at now; runs what is pending."""
        value = self._materialise()
        assert value.buf is not None
        t = value.type
        return value.buf.as_numpy(t.dtype.np, t.shape, t.strides, value.offset)

    def _forced(self) -> np.ndarray:
        """As `_concrete`, for checks: runs this tensor's own producers and leaves other work pending."""
        value = self._value if self._root is None else self._fresh()
        if value.buf is None and value.trace is not None and value.trace.can_cut:
            value.trace.force(value)  # type: ignore[attr-defined]
        return self._concrete()

    def _materialise(self) -> Value:
        if self._meta:
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        value = self._value if self._root is None else self._fresh()
        if state.region is not None:
            state.region.on_observe()
        if value.buf is None:
            assert value.trace is not None
            value.trace.cut("observed")
        return value

    def _expose(self) -> Value:
        """Let foreign code reach the memory: from now on it stays where it is."""
        root = self._home()
        value = root._materialise()
        assert value.buf is not None
        if record.state.trace.can_cut:  # whatever is pending may read this memory through a view
            record.state.trace.cut("exposed")
        if value.buf.exposed == 0:  # views whose values lie elsewhere come back to this memory
            root._storage_counter().writes += 1
        if value.buf.exposed == 0 and sys.getrefcount(value) > 3:
            root._value = value = emit(clone_row, (wrap(value),), (dense_type(value.type).strides,))._value
            root._materialise()
            if root._vc is not None and root._vc.latest is not None:
                root._vc.latest = value
        assert value.buf is not None
        value.buf.exposed += 1
        if self._root is not None:
            self._seen = -1 if root._vc is not None else 0
            if root._vc is None:
                t = self._value.type
                self._value = view_value(make_sig(as_strided_row, (value.type,), (t.shape, t.strides, self._soff)), value)
            return self._fresh()
        return value

    # Properties -------------------------------------------------------------------------------------------------------
    @property
    def dtype(self) -> Any:
        return self._value.type.dtype

    @property
    def shape(self) -> Size:
        return size_of(self._value.type.shape)

    @property
    def ndim(self) -> int:
        return self._value.type.ndim

    @property
    def device(self) -> Any:
        return devices.META if self._meta else devices.CPU

    @property
    def layout(self) -> Any:
        from .memory_format import strided

        return strided

    @property
    def itemsize(self) -> int:
        return self._value.type.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._value.type.nbytes

    @property
    def is_leaf(self) -> bool:
        if self._root is not None:
            self._fresh()
        return self._node is None or self._node.is_leaf

    @property
    def _requires_leaf(self) -> bool:
        return self._node is not None and self._node.is_leaf

    @property
    def requires_grad(self) -> bool:
        if self._root is not None:
            self._fresh()
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def grad_fn(self) -> Any:
        if self._root is not None:
            self._fresh()
        return None if self._node is None or self._node.is_leaf else self._node

    @property
    def output_nr(self) -> int:
        return self._nr

    @property
    def grad(self) -> Tensor | None:
        if self._grad is None and self._node is not None and not self._node.is_leaf and not self._retain:
            import warnings

            warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be populated during "
                          "autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, use .retain_grad() on the "
                          "non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you access the leaf Tensor instead. See "
                          "github.com/pytorch/pytorch/pull/30531 for more informations.", stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value)}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.dtype is not self.dtype:
                raise RuntimeError(f"attempting to assign a gradient with dtype '{value.dtype}' to a tensor with grad_dtype '{self.dtype}'. The gradient "
                                   "must match the tensor's grad_dtype (defaults to the tensor's dtype). You can set the tensor's grad_dtype "
                                   "attribute with a specific dtype, or None to allow any dtype. Set grad_dtype with caution. Diverging the dtypes of "
                                   "a tensor and its gradient may break downstream systems that assume they match.")
            if value.shape != self.shape:
                raise RuntimeError(f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size '{list(self.shape)}'. Please ensure "
                                   "that the gradient and the tensor are the same size")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Tensor:
        t = self.detach()
        t._own = Version()
        store = t._storage_counter()
        store.latest = t._home()._value
        return t

    @data.setter
    def data(self, new: Tensor) -> None:
        if not isinstance(new, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
        self._move_to(new.detach())
        if self._node is not None and self._node.is_leaf:
            self._node.type = self._value.type

    @property
    def T(self) -> Tensor:
        return self.permute(*range(self.ndim)[::-1])

    @property
    def mT(self) -> Tensor:
        if self.ndim < 2:
            raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
        return self.transpose(-2, -1)

    @property
    def H(self) -> Tensor:
        if self.ndim not in (0, 2):
            raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
        return self.transpose(0, 1).conj() if self.ndim else self.conj()

    @property
    def mH(self) -> Tensor:
        return self.transpose(-2, -1).conj()

    @property
    def real(self) -> Tensor:
        return complex_views.part_view(self, 0) if self.dtype.is_complex else self

    @real.setter
    def real(self, value: Any) -> None:
        self.real.copy_(value) if isinstance(value, Tensor) else self.real.fill_(value)

    @property
    def imag(self) -> Tensor:
        if not self.dtype.is_complex:
            raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
        return complex_views.part_view(self, 1)

    @imag.setter
    def imag(self, value: Any) -> None:
        self.imag.copy_(value) if isinstance(value, Tensor) else self.imag.fill_(value)

    @property
    def _base(self) -> Tensor | None:
        """The tensor that this is a view of; None for one that owns its storage, and for what `detach` returns."""
        if self._root is None and self._lens is not None:
            source = self._lens[0]
            return source if source._base is None else source._base
        if self._root is None or self._detached or self._root is self.__dict__.get("_moved"):
            return None
        return self._home() if self._family is None else self._family

    def _is_view(self) -> bool:
        return self._base is not None

    is_cuda = is_sparse = is_quantized = is_mkldnn = is_mps = is_xpu = is_nested = is_vulkan = is_ipu = is_maia = is_mtia = is_xla = False
    is_sparse_csr = False
    names = None

    @property
    def is_meta(self) -> bool:
        return self._meta

    @property
    def is_cpu(self) -> bool:
        return not self._meta

    # Sizes ------------------------------------------------------------------------------------------------------------
    def size(self, dim: int | None = None) -> Any:
        """All sizes, or the size of one dimension."""
        return self.shape if dim is None else self._value.type.shape[call.wrap_dim(dim, self.ndim)] if self.ndim else _zero_dim(dim)

    def stride(self, dim: int | None = None) -> Any:
        """All strides, or one, in elements."""
        return self._value.type.strides if dim is None else self._value.type.strides[call.wrap_dim(dim, self.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._value.type.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._value.type.numel

    nelement = numel

    def storage_offset(self) -> int:
        """Where in its storage the tensor begins, in elements."""
        return self._soff

    def element_size(self) -> int:
        """Bytes an element."""
        return self._value.type.dtype.itemsize

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in memory in row-major (or the given format's) order."""
        t = self._value.type
        from .memory_format import channels_last, channels_last_3d, contiguous_format

        if memory_format is None or memory_format is contiguous_format:
            return t.contiguous
        if memory_format in (channels_last, channels_last_3d):
            if t.ndim != (4 if memory_format is channels_last else 5):
                return False
            order = [0, *range(2, t.ndim), 1]
            return is_contiguous([t.shape[d] for d in order], [t.strides[d] for d in order])
        raise RuntimeError("preserve memory format is unsupported by is_contiguous")

    def dim_order(self) -> tuple[int, ...]:
        """Dimensions from the slowest to the fastest."""
        return tuple(sorted(range(self.ndim), key=lambda d: -self.stride(d)))

    def is_floating_point(self) -> bool:
        return bool(self.dtype.is_floating_point)

    def is_complex(self) -> bool:
        return bool(self.dtype.is_complex)

    def is_signed(self) -> bool:
        return bool(self.dtype.is_signed)

    def is_conj(self) -> bool:
        return False

    def is_neg(self) -> bool:
        return False

    def is_inference(self) -> bool:
        return False

    def is_pinned(self, device: Any = None) -> bool:
        return False

    def is_shared(self) -> bool:
        value = self._home()._value
        return value.buf is not None and isinstance(value.buf.owner, _SharedMemory)

    def share_memory_(self) -> Tensor:
        """Move the storage to memory that processes forked from now on share; pickling still copies it."""
        home = self._home()
        if home.is_shared():
            return self
        value = home._materialise()
        memory = _SharedMemory(max(value.type.nbytes, 1))
        ctypes.memmove(memory.address, value.address, value.type.nbytes)
        buf = Buffer.from_foreign(memory.address, memory.size, memory)
        buf.exposed = 1
        home._value = Value(value.type, None, -1, buf)
        home._storage_counter().writes += 1
        return self

    def is_same_size(self, other: Tensor) -> bool:
        return self.shape == other.shape

    def is_set_to(self, other: Tensor) -> bool:
        return self._home() is other._home() and self._soff == other._soff and self.shape == other.shape \
            and self.stride() == other.stride()

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The legacy type name, or a conversion."""
        if dtype is None:
            return f"torch.{self.dtype.scalar_name}Tensor"
        if isinstance(dtype, str):
            dtype = dtypes.TYPE_NAMES[dtype]
        elif not isinstance(dtype, dtypes.dtype):
            dtype = getattr(dtype, "dtype", dtype)
        return self.to(dtype)

    def get_device(self) -> int:
        return -1

    # Conversion ---------------------------------------------------------------------------------------------------------
    def to(self, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, non_blocking: bool = False, memory_format: Any = None,
           other: Any = None) -> Tensor:
        """The tensor with another dtype, device or memory format; itself when nothing changes."""
        for a in args:
            if isinstance(a, dtypes.dtype):
                dtype = a
            elif isinstance(a, Tensor):
                dtype, device = a.dtype, a.device
            elif isinstance(a, (str, devices.device)):
                device = a
            elif isinstance(a, bool):
                continue
            elif a is not None:
                raise TypeError(f"to() received an invalid combination of arguments - got ({type(a).__name__})")
        t: Tensor = self if dtype is None or dtype is self.dtype else call.cast(self, dtype)
        if device is not None:
            target = devices.device(device)
            if target.type != self.device.type:
                t = t._to_device(target)
        if memory_format is not None and not t.is_contiguous(memory_format=memory_format):
            t = t.clone(memory_format=memory_format)
        return t.clone() if copy and t is self else t

    def _to_device(self, target: Any) -> Tensor:
        if target.type == "meta":
            t = wrap(Value(tensor_type(self.dtype, self.shape, dense_type(self._value.type).strides), record.Trace(), -1))
            t._meta = True
            if self._node is not None and state.grad:
                t.requires_grad_(True)
            return t
        if self._meta:
            raise NotImplementedError("Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() when "
                                      "moving module from meta to a different device.")
        if target.type != "cpu":
            devices.require(target)
        return self

    def cpu(self, memory_format: Any = None) -> Tensor:
        return self.to("cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
        raise AssertionError("Torch not compiled with CUDA enabled")

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(other.dtype)

    # Observation ----------------------------------------------------------------------------------------------------------
    def item(self) -> Any:
        """The only element as a Python number."""
        if self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        if self._meta:
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        x = self._concrete().reshape(-1)[0]
        return float(x) if self.dtype.is_floating_point else x.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        a = self._concrete()
        if self.dtype in (dtypes.bfloat16, dtypes.float16):
            a = a.astype("float32")
        return a.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A numpy array on the same memory (a copy only under `force`)."""
        if force:
            return self.detach().cpu().numpy()
        if self._meta:
            raise TypeError("can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")
        if self._node is not None and state.grad or self._node is not None:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.dtype is dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        value = self._expose()
        assert value.buf is not None
        t = value.type
        return value.buf.as_numpy(t.dtype.np, t.shape, t.strides, value.offset)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        a = self.numpy()
        return a if dtype is None or a.dtype == dtype else a.astype(dtype)

    def data_ptr(self) -> int:
        """The address of the first element; the memory stays there from now on."""
        if self._meta or self.numel() == 0:
            return 0
        return self._expose().address

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._node is not None:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.numpy().__dlpack__(**{k: v for k, v in kwargs.items() if k in ("max_version", "copy")})

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def untyped_storage(self) -> Any:
        from .storage import UntypedStorage

        return UntypedStorage(self._home())

    def storage(self) -> Any:
        from .storage import TypedStorage

        return TypedStorage(self._home())

    def __bool__(self) -> bool:
        if self.numel() == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        if self.numel() > 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self.item())

    def _one(self) -> Any:
        if self.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __float__(self) -> float:
        return float(self._real("double"))

    def __int__(self) -> int:
        return int(self._real("int64_t"))

    def _real(self, kind: str) -> Any:
        """The number that a real conversion starts from."""
        value = self._one()
        if not isinstance(value, complex):
            return value
        if value.imag:
            raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
        return value.real

    def __complex__(self) -> complex:
        return complex(self._one())

    def __index__(self) -> int:
        if self.dtype.category > dtypes.INT or self.numel() != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._value.type.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, element: Any) -> bool:
        if isinstance(element, (Tensor, int, float, complex)):
            hits: Any = self == element
            return bool(hits.any().item())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        if self._root is not None:
            self._fresh()
        node = self._node
        name = None if node is None or node.is_leaf else node.name.short
        values = None if self._meta else _Getter(self)
        subclass = "tensor" if type(self) is Tensor or self._is_param else type(self).__name__
        return printing.tensor_str(values, dtype=self.dtype, shape=self.shape, device=self.device, requires_grad=node is not None and name is None,
                                   grad_fn_name=name, is_parameter=self._is_param, type_name=subclass, contents=tensor_contents)

    def __format__(self, spec: str) -> str:
        if self.ndim == 0 and not self._meta and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    # Autograd --------------------------------------------------------------------------------------------------------------
    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Say whether operations on this leaf are to be recorded."""
        if self._root is not None:
            self._fresh()
        if requires_grad:
            if self._node is None:
                if not (self.dtype.is_floating_point or self.dtype.is_complex):
                    raise RuntimeError("only Tensors of floating point dtype can require gradients")
                if self._leaf is None:
                    self._leaf = AccumulateGrad(self)
                self._node = self._leaf
        elif self._node is not None:
            if not self._node.is_leaf:
                raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that "
                                   "doesn't require differentiation use var_no_grad = var.detach().")
            self._node = None
        return self

    def _from_birth(self) -> Tensor:
        """requires_grad_ of a new tensor, with the words of constructors."""
        if not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        return self.requires_grad_(True)

    def detach(self) -> Tensor:
        """The same memory, off the tape."""
        t = Tensor.__new__(Tensor)
        t._value = self._value if self._root is None else self._fresh()
        t._root = self._home()
        t._soff = self._soff
        if t._root._vc is not None:
            t._seen = t._root._vc.writes
        if self._own is not None:
            t._own = self._own
        t._detached = True
        if self._meta:
            t._meta = True
        return t

    def detach_(self) -> Tensor:
        """Take this tensor off the tape."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, and "
                               "gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence detach_() cannot be called on "
                               "these gradients. To fix this error, please refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as "
                               "the solution.")
        self._node = None
        return self

    def backward(self, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None) -> None:
        """Accumulate the gradients of this tensor into the leaves it was made from."""
        from .autograd import backward

        backward((self,), None if gradient is None else (gradient,), retain_graph, create_graph, inputs=inputs)

    def retain_grad(self) -> None:
        """Keep the gradient of a non-leaf in ``.grad`` too."""
        if self._root is not None:
            self._fresh()
        if self._node is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._node.is_leaf or self._retain:
            return
        self._retain = (self._node, self._nr)
        import weakref

        me = weakref.ref(self)

        def keep(g: Any) -> None:
            t = me()
            if t is not None and g is not None:
                t._grad = g.clone() if t._grad is None else t._grad + g

        if self._node.retains is None:
            self._node.retains = {}
        self._node.retains[self._nr] = keep

    @property
    def retains_grad(self) -> bool:
        return self._retain is not False

    def register_hook(self, hook: Any) -> HookHandle:
        """Call hook(grad) when this tensor's gradient is known; what it returns replaces the gradient."""
        if self._root is not None:
            self._fresh()
        if self._node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        node = self._node
        if node.hooks is None:
            node.hooks = {}
        table = node.hooks.setdefault(self._nr, [])
        table.append(hook)
        return HookHandle(table, hook)

    def register_post_accumulate_grad_hook(self, hook: Any) -> HookHandle:
        """Call hook(tensor) after a gradient was accumulated into this leaf."""
        if self._node is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if not self._node.is_leaf:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        node = self._node
        if node.post_hooks is None:
            node.post_hooks = []
        node.post_hooks.append(hook)
        return HookHandle(node.post_hooks, hook)

    # Writing ------------------------------------------------------------------------------------------------------------------
    def copy_(self, src: Any, non_blocking: bool = False) -> Tensor:
        """Copy `src`, broadcast and converted, into this tensor."""
        call.check_writable(self, "copy_")
        if not isinstance(src, Tensor):
            raise TypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
        call.check_overlap(self, (src,))
        if src.shape != self.shape and broadcast_shapes((tuple(self.shape), tuple(src.shape))) != tuple(self.shape):
            raise RuntimeError(f"output with shape {list(self.shape)} doesn't match the broadcast shape "
                               f"{list(broadcast_shapes((tuple(self.shape), tuple(src.shape))))}")
        r = src if src.shape == self.shape else src.expand(self.shape)
        if r.dtype is self.dtype:
            r = emit(clone_row, (r,), (dense_type(self._value.type).strides,))
        else:
            r = call.cast(r, self.dtype)
        if r._node is not None and not r._node.is_leaf:
            r._node.name = "torch::autograd::CopyBackwards"
        self._write(r)
        return self

    def fill_(self, value: Any) -> Tensor:
        """Set every element to a number."""
        call.check_writable(self, "fill_", overlap=True)
        if isinstance(value, Tensor):
            if value.ndim:
                raise RuntimeError(f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions.")
            return self.copy_(value)
        from .ops.create import full_of

        t = self._value.type
        repeated = [d for d, (n, s) in enumerate(zip(t.shape, t.strides, strict=True)) if s == 0 and n > 1]
        if repeated:  # each place once
            once: Any = self
            for d in repeated:
                once = once.narrow(d, 0, 1)
            once.fill_(value)
            return self
        r = full_of(t.shape, value, t.dtype)
        self._write(r)
        return self

    def zero_(self) -> Tensor:
        """Set every element to zero."""
        return self.fill_(0)

    def resize_(self, *size: Any, memory_format: Any = None) -> Tensor:
        """Change the size in place; elements keep their order in memory."""
        from .ops.create import full_of
        from .ops.movement import int_args

        shape = int_args(size)
        n = 1
        for s in shape:
            n *= s
        flat = self.reshape(-1).detach()
        if n <= flat.numel():
            new = flat[:n].clone()
        else:
            new = flat.cat([flat, full_of((n - flat.numel(),), 0, self.dtype)])
        self._rebind(new.view(shape).clone())
        return self

    def resize_as_(self, other: Tensor, memory_format: Any = None) -> Tensor:
        return self.resize_(other.shape)

    def set_(self, source: Any = None, *args: Any) -> Tensor:
        """Become a view of another tensor's storage."""
        if source is None:
            from .ops.create import full_of

            self._rebind(full_of((0,), 0, self.dtype))
            return self
        if not isinstance(source, Tensor):
            source = source._tensor_view(self.dtype)
            offset, size = args[0], tuple(args[1])
            stride = tuple(args[2]) if len(args) > 2 else tensor_type(self.dtype, size).strides
            source = source.as_strided(size, stride, offset)
        keep = self._node
        self.data = source
        self._node = keep
        return self

    # Constructors on the tensor's own dtype ------------------------------------------------------------------------------------
    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        from .construct import construct

        return construct(data, dtype or self.dtype).requires_grad_(requires_grad)

    def new_full(self, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
                 pin_memory: bool = False) -> Tensor:
        return API["full"].function(size, fill_value, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
                  pin_memory: bool = False) -> Tensor:
        return API["zeros"].function(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
                 pin_memory: bool = False) -> Tensor:
        return API["ones"].function(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    def new_empty(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, layout: Any = None,
                  pin_memory: bool = False) -> Tensor:
        return API["empty"].function(*size, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    new = new_empty

    # Python's protocols ----------------------------------------------------------------------------------------------------------
    def __deepcopy__(self, memo: dict[Any, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  If you were "
                               "attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, see "
                               "https://github.com/pytorch/pytorch/pull/103001")
        if id(self) in memo:
            return memo[id(self)]  # type: ignore[no-any-return]
        root = self._home()
        key = ("storage", id(root))
        base = memo.get(key)
        t = Tensor.__new__(type(self))
        with grad_mode(False):
            if root._meta:
                t._adopt(self.detach())
            elif base is None and self._root is None:
                t._value = emit(clone_row, (wrap(root._value),), (dense_type(root._value.type).strides,))._value
                memo[key] = t
            else:
                if base is None:
                    base = memo[key] = emit(clone_row, (wrap(root._value),), (dense_type(root._value.type).strides,))
                self._fresh()
                t._adopt(base._as_strided(self._value.type.shape, self._value.type.strides, self._soff).detach())
        if self._meta:
            t._meta = True
        if self._is_param:
            t._is_param = True
        if self._node is not None:
            t.requires_grad_(True)
        if self._grad is not None:
            t._grad = copy.deepcopy(self._grad, memo)
        for k, v in self.__dict__.items():
            if not k.startswith("_"):
                t.__dict__[k] = copy.deepcopy(v, memo)
        memo[id(self)] = t
        return t

    def __reduce_ex__(self, protocol: Any) -> Any:
        from .storage import reduce

        return reduce(self)

    def __getattr__(self, name: str) -> Any:  # type: ignore[no-redef]
        from ._missing import of_tensor

        raise of_tensor(type(self), name)

    def __dir__(self) -> list[str]:
        return sorted(set(object.__dir__(self)))

    def _reinterpret(self, dtype: Any) -> Tensor:
        """The same bytes as another dtype (both handles see each other's writes: the memory becomes exposed)."""
        if self._node is not None and state.grad:
            raise RuntimeError("view(dtype) of a tensor that requires grad is not differentiable")
        a, b = self.dtype.itemsize, dtype.itemsize
        value = self._expose()
        t = value.type
        shape, strides = list(t.shape), list(t.strides)
        if a != b:
            if not t.ndim:
                raise RuntimeError(f"self.dim() cannot be 0 to view {self.dtype} as {dtype} (different element sizes)")
            if strides[-1] != 1:
                raise RuntimeError(f"self.stride(-1) must be 1 to view {self.dtype} as {dtype} (different element sizes), but got {strides[-1]}")
            if a > b:
                k = a // b
                shape[-1] *= k
                strides = [s * k for s in strides[:-1]] + [1]
            else:
                k = b // a
                if shape[-1] % k:
                    raise RuntimeError(f"self.size(-1) must be divisible by {k} to view {self.dtype} as {dtype} (different element sizes), but got "
                                       f"{shape[-1]}")
                shape[-1] //= k
                strides = [s // k for s in strides[:-1]] + [1]
        from .construct import from_memory

        return from_memory(value.buf, value.offset, tensor_type(dtype, shape, strides))


def _zero_dim(dim: int) -> int:
    raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")


def _copied(r: Tensor, t: TensorType) -> Tensor:
    """`r` in memory of its own, laid out as `t`: for a write, so the tape does not see it, whether `r` was run already or not."""
    value = r._value if r._root is None else r._fresh()
    copy = wrap(record.push(make_sig(clone_row, (value.type,), (t.strides,)), (value,)))
    copy._node, copy._nr = r._node, r._nr
    return copy


def _write_home(root: Tensor, old: Value) -> None:
    """After a write to exposed memory: run now, and put the result where the memory is."""
    buf = old.buf
    if buf is None or not buf.exposed:
        if root._value.trace is not None:
            note = getattr(root._value.trace, "note_update", None)
            if note is not None:
                note(root._value, old)
        return
    value = root._materialise()
    assert value.buf is not None
    if value.buf is not buf:
        if value.type is old.type and value.type.dense:
            ctypes.memmove(buf.ptr + old.offset, value.buf.ptr + value.offset, value.type.nbytes)
        else:
            old_type = old.type
            buf.as_numpy(old_type.dtype.np, old_type.shape, old_type.strides, old.offset)[...] = value.buf.as_numpy(
                value.type.dtype.np, value.type.shape, value.type.strides, value.offset)
    root._value = Value(old.type, None, -1, buf, old.offset)


class _SharedMemory:
    """Memory of its own that a forked child keeps sharing."""

    def __init__(self, size: int) -> None:
        import mmap

        self.size = size
        self.map = mmap.mmap(-1, size)
        self.hold = ctypes.c_char.from_buffer(self.map)  # keeps the map open
        self.address = ctypes.addressof(self.hold)


class _Getter:
    """Values for printing: slices are fetched as they are asked for."""

    def __init__(self, t: Tensor) -> None:
        self.t = t

    def __getitem__(self, key: Any) -> Any:
        return self.t._concrete()[key]


record.install(Window, Tensor, tape.attach)
