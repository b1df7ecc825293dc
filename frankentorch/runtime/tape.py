"""The tape: what a recorded op leaves behind so that its gradient can be asked for.

Enters: signatures, operands and results of recorded calls. Leaves: `Node` objects linked to the nodes of their inputs, holding just the
values that the op's gradient rule reads; and `Gradient`, the rule traced once per signature into a list of instructions.

A rule runs in Python once for each signature, mask of inputs that need gradients, and types of incoming gradients; from then on
its instructions are replayed.
"""

from __future__ import annotations

import itertools
import re
import traceback
import weakref
from collections.abc import Sequence
from typing import Any

from .. import dtypes
from ..ops import call, record
from ..ops.movement import sum_to
from ..ops.record import Scalar, Sig, Trace, Value, emit, grad_mode, push, state, tracing, wrap
from ..ops.table import Kind
from ..ops.types import TensorType, dense_type

_sequence = itertools.count()
LOW = (dtypes.bfloat16, dtypes.float16)


FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
    "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you "
    "need to backward through the graph a second time or if you need to access saved tensors after calling backward.")


class Version:
    """A storage's count of in-place writes, shared by every tensor on it.

    `v` is what ``_version`` shows. `writes` counts those through ``.data`` too, which have a count of their own and invalidate nothing
    that was saved; once a handle from ``.data`` exists, `latest` is the storage's current value.
    """

    __slots__ = ("v", "writes", "latest", "lenses")

    def __init__(self) -> None:
        self.v = 0
        self.writes = 0
        self.latest: Value | None = None
        self.lenses: list[Any] | None = None  # weak references to tensors that show this storage as another dtype


_BACKWARD = re.compile(r"Backward\d*$")


class Name(str):
    """A node's name: a string, and torch's method that returns it."""

    __slots__ = ()

    def __call__(self) -> str:
        return str(self)

    @property
    def short(self) -> str:
        """The name of the class, as printed."""
        return self.rpartition("::")[2]


def overwritten(t: Any, number: int, name: str | None, version: int, seen: int) -> RuntimeError:
    """torch's error for a saved tensor (anything with its dtype and shape) that was written since; `name` is that of the node that made it."""
    made = "" if name is None or name == AccumulateGrad.name else f", which is output {number} of {_BACKWARD.sub('', name)},"
    hint = ("the backtrace further above shows the operation that failed to compute its gradient. The variable in question was changed in there "
            "or anywhere later. Good luck!" if state.anomaly else "enable anomaly detection to find the operation that failed to compute its "
            "gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False).")
    return RuntimeError(f"one of the variables needed for gradient computation has been modified by an inplace operation: "
                        f"[torch.{t.dtype.scalar_name}Tensor {list(t.shape)}]{made} is at version {version}; expected version {seen} instead. Hint: {hint}")


class Node:
    """One op on the tape. `edges[i]` is the (node, output number) that made input i, or None."""

    __slots__ = ("sig", "edges", "leaves", "saved", "versions", "seq", "label", "hooks", "pre_hooks", "retains", "mask", "metadata", "where", "packed",
                 "__weakref__")
    is_leaf = False

    @property
    def name(self) -> Name:
        return Name(self.label)

    @name.setter
    def name(self, value: str) -> None:
        self.label = value

    def __init__(self, sig: Sig, edges: tuple[Any, ...]) -> None:
        self.sig = sig
        self.edges = edges
        self.leaves: Any = None  # the tape keeps leaves alive (their own nodes do not)
        self.seq = next(_sequence)
        self.label = sig.row.grad_name
        self.saved: tuple[Any, ...] | None = ()
        self.versions: tuple[Any, ...] = ()
        self.hooks: dict[int, list[Any]] | None = None
        self.pre_hooks: list[Any] | None = None
        self.retains: dict[int, Any] | None = None
        self.mask: tuple[bool, ...] = ()
        self.metadata: dict[Any, Any] | None = None
        self.where: list[str] | None = None
        self.packed: Any = None

    @property
    def outs(self) -> tuple[TensorType, ...]:
        return self.sig.outs

    def release(self) -> None:
        """Let saved values go; a node that saved no tensor can run again, as in torch."""
        if self.packed is not None or self.saved and not all(isinstance(v, Scalar) for v in self.saved):
            self.saved = None
            self.packed = None

    def apply(self, grads: list[Any], create_graph: bool) -> Sequence[Any]:
        """Gradients of the inputs from those of the outputs (None where there is none), as tensors."""
        if self.saved is None:
            raise RuntimeError(FREED)
        saved = self.saved
        for version, seen, type_, name, number, store, writes, start, at in self.versions:
            if store.writes != writes and store.latest is not None and version.v == seen and saved:
                saved = (*saved[:at], _again(store.latest, type_, start), *saved[at + 1:])
            if version.v != seen:
                raise overwritten(type_, number, name, version.v, seen)
        values = [None if g is None else g._value if g._root is None else g._fresh() for g in grads]
        rule = gradient(self.sig, self.mask, tuple([None if v is None else v.type for v in values]))
        if self.packed is not None:
            saved = self.packed()
        if not create_graph:
            return [None if v is None else wrap(v) for v in rule.replay(values, saved)]
        return rule.replay_tensors(grads, self.saved_tensors(rule, saved), rule)

    def saved_tensors(self, rule: Gradient, saved: Sequence[Any]) -> list[Any]:
        """Saved values as tensors that know where they came from."""
        out: list[Any] = []
        for v, (side, i) in zip(saved, saves(self.sig, self.mask), strict=True):
            if isinstance(v, Scalar):
                out.append(v)
                continue
            t = wrap(v)
            if side == "in" and self.edges[i] is not None:
                t._node, t._nr = self.edges[i]
            elif side == "out":
                t._node, t._nr = self, i
            out.append(t)
        return out

    # What torch shows of a grad_fn ---------------------------------------------------------------------------------
    @property
    def next_functions(self) -> tuple[Any, ...]:
        return tuple((None, 0) if e is None else e for e in self.edges)

    def register_hook(self, hook: Any) -> Any:
        """Call hook(grad_inputs, grad_outputs) after this node ran."""
        return add_hook(self, "post", hook)

    def register_prehook(self, hook: Any) -> Any:
        """Call hook(grad_outputs) before this node runs."""
        return add_hook(self, "pre", hook)

    def __repr__(self) -> str:
        return f"<{self.name.short} object at {hex(id(self))}>"


class AccumulateGrad:
    """The end of the tape at a leaf: adds what arrives to the leaf's ``.grad``."""

    __slots__ = ("tensor", "hooks", "pre_hooks", "post_hooks", "retains", "seq", "metadata", "type", "__weakref__")
    is_leaf = True
    name = Name("torch::autograd::AccumulateGrad")
    edges: tuple[Any, ...] = ()
    where = None

    def __init__(self, tensor: Any) -> None:
        self.tensor = weakref.ref(tensor)
        self.type = tensor._value.type
        self.hooks: dict[int, list[Any]] | None = None
        self.pre_hooks: list[Any] | None = None
        self.post_hooks: list[Any] | None = None
        self.retains: dict[int, Any] | None = None
        self.metadata: dict[Any, Any] | None = None
        self.seq = 1 << 62

    @property
    def variable(self) -> Any:
        return self.tensor()

    @property
    def outs(self) -> tuple[TensorType, ...]:
        t = self.tensor()
        return (self.type if t is None else t._value.type,)

    @property
    def next_functions(self) -> tuple[Any, ...]:
        return ()

    def release(self) -> None:
        pass

    def register_hook(self, hook: Any) -> Any:
        return add_hook(self, "post", hook)

    def register_prehook(self, hook: Any) -> Any:
        return add_hook(self, "pre", hook)

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {hex(id(self))}>"


class Untracked(AccumulateGrad):
    """The node of a view made under no_grad of a tensor that requires grad: it requires grad, and no gradient reaches it."""

    __slots__ = ()

    def __init__(self, tensor: Any) -> None:
        super().__init__(tensor)
        self.tensor = _nothing  # type: ignore[assignment]

    @property
    def outs(self) -> tuple[TensorType, ...]:
        return (self.type,)


def _nothing() -> None:
    return None


class HookHandle:
    """Removes a hook; usable as a context manager, as torch's RemovableHandle."""

    _next = itertools.count()

    def __init__(self, hooks: list[Any], entry: Any) -> None:
        self.hooks, self.entry, self.id = hooks, entry, next(self._next)

    def remove(self) -> None:
        self.hooks[:] = [h for h in self.hooks if h is not self.entry]

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def add_hook(node: Any, kind: str, hook: Any) -> HookHandle:
    if node.pre_hooks is None:
        node.pre_hooks = []
    entry = [kind, hook]
    node.pre_hooks.append(entry)
    return HookHandle(node.pre_hooks, entry)


# Gradient rules as instructions -------------------------------------------------------------------------------------------
class Gradient:
    """A rule traced for given types. Slots number, in order: incoming gradients, saved values, then results of instructions.

    An instruction is (sig, slots), or (None, value) for a number or constant that the rule brings.
    """

    __slots__ = ("instrs", "results", "present")

    def __init__(self, instrs: list[Any], results: list[int | None], present: tuple[bool, ...]) -> None:
        self.instrs = instrs
        self.results = results
        self.present = present

    def replay(self, grads: Sequence[Value | None], saved: Sequence[Any]) -> list[Value | None]:
        slots: list[Any] = [*grads, *saved]
        for sig, args in self.instrs:
            if sig is None:
                slots.append(args)
                continue
            if sig.row.view is not None:
                slots.append(view_value(sig, slots[args[0]]))
                continue
            got = push(sig, [slots[a] for a in args])
            if len(sig.outs) == 1:
                slots.append(got)
            else:
                slots.extend(got)
        return [None if r is None else slots[r] for r in self.results]

    def replay_tensors(self, grads: Sequence[Any], saved: Sequence[Any], rule: Gradient) -> list[Any]:
        slots: list[Any] = [*grads, *saved]
        for sig, args in self.instrs:
            if sig is None:
                slots.append(args if isinstance(args, Scalar) else wrap(args))
                continue
            got = emit(sig.row, [slots[a] for a in args], sig.attrs)
            if isinstance(got, tuple):
                slots.extend(got)
            else:
                slots.append(got)
        return [None if r is None else slots[r] for r in self.results]


def _again(latest: Value, type_: TensorType, start: int) -> Value:
    """What a saved operand's memory holds after writes through ``.data``."""
    from ..ops.movement import as_strided_row

    return view_value(record.make_sig(as_strided_row, (latest.type,), (type_.shape, type_.strides, start)), latest)


def view_value(sig: Sig, value: Value) -> Value:
    """A movement of a value: metadata when it is concrete, an instruction while it is pending.

    In a compiled call it is always an instruction: the program then sees that both lie in one memory, and may write over it.
    """
    if value.buf is not None and state.region is None:
        return Value(sig.out, None, -1, value.buf, value.offset + sig.delta * value.type.dtype.itemsize)  # type: ignore[arg-type]
    return push(sig, (value,))  # type: ignore[no-any-return]


def gradient(sig: Sig, mask: tuple[bool, ...], grads: tuple[TensorType | None, ...]) -> Gradient:
    """The traced rule of `sig` for these incoming gradients."""
    key = (mask, grads)
    found = sig.grads.get(key)
    if found is None:
        found = sig.grads[key] = _trace(sig, mask, grads, saves(sig, mask))[0]
    return found  # type: ignore[no-any-return]


def saves(sig: Sig, mask: tuple[bool, ...]) -> tuple[tuple[str, int], ...]:
    """Which operands ("in", i) and results ("out", j) the rule reads as data."""
    found = sig.saves.get(mask)
    if found is None:
        grads = tuple(dense_type(t) if differentiable(t) else None for t in sig.outs)
        found = sig.saves[mask] = _trace(sig, mask, grads)[1]
    return found  # type: ignore[no-any-return]


def differentiable(t: TensorType) -> bool:
    return t.dtype.is_floating_point or t.dtype.is_complex


def _placeholder(trace: Trace, t: TensorType) -> Any:
    return wrap(trace.placeholder(t))


def _trace(sig: Sig, mask: tuple[bool, ...], grads: tuple[TensorType | None, ...],
           saved: tuple[tuple[str, int], ...] | None = None) -> tuple[Gradient, tuple[tuple[str, int], ...]]:
    row = sig.row
    trace = Trace()
    with tracing(trace), grad_mode(False):
        gs = [None if t is None else _placeholder(trace, t) for t in grads]
        ins = [_placeholder(trace, t) for t in sig.types]
        outs = [_placeholder(trace, t) for t in sig.outs]
        n_leaves = len(trace.refs)
        g_in, i_in, o_in = gs, ins, outs
        narrow = row.kind in (Kind.POINTWISE, Kind.REDUCE, Kind.COMPOSITE) and row.view is None and "copy" not in row.traits
        if narrow and any(t.dtype in LOW for t in (*sig.types, *sig.outs)) and row is not call.TO:
            g_in, i_in, o_in = ([x if x is None or x.dtype not in LOW else call.cast(x, dtypes.float32) for x in xs] for xs in (gs, ins, outs))
        g: Any = g_in[0] if len(outs) == 1 else tuple(g_in)
        out: Any = o_in[0] if len(outs) == 1 else tuple(o_in)
        operands = list(i_in)
        attrs = dict(zip(row.attrs, sig.attrs, strict=False))
        if row.kind is Kind.COMPOSITE:
            operands = []
            given = iter(i_in)
            operands = [None if gone else next(given) for gone in sig.attrs[-1]]
        results = list(row.vjp(g, *operands, out=out, **{a: attrs[a] for a in row.vjp_attrs}))  # type: ignore[operator, misc]
        if row.kind is Kind.COMPOSITE:
            results = [r for r, gone in zip(results, sig.attrs[-1], strict=False) if not gone]
        results += [None] * (len(mask) - len(results))
        final: list[int | None] = []
        for wanted, r, t in zip(mask, results, sig.types, strict=True):
            if not wanted or r is None:
                final.append(None)
                continue
            if r.dtype.is_complex and not t.dtype.is_complex:
                r = r.real
            r = sum_to(r, t.shape)
            final.append(call.cast(r, t.dtype)._value.slot)
    return _compact(trace, len(gs), [g is not None for g in gs], len(ins), n_leaves, final, saved)


def _compact(trace: Trace, n_grads: int, present: list[bool], n_ins: int, n_leaves: int,
             results: list[int | None], saved: tuple[tuple[str, int], ...] | None) -> tuple[Gradient, tuple[tuple[str, int], ...]]:
    """Drop what no result needs, undo round trips between dtypes, and number slots as a replay does.

    `saved` are the values that the node holds: a rule for fewer incoming gradients may read fewer of them.
    """
    starts: list[int] = []
    at = 0
    for s, _ in trace.instrs:
        starts.append(at)
        at += len(s.outs)
    made_by = {}
    for k, (s, _) in enumerate(trace.instrs):
        for j in range(len(s.outs)):
            made_by[starts[k] + j] = k

    def source(slot: int) -> int:
        """Through a widening and narrowing back to the same dtype, which is exact."""
        s, args = trace.instrs[made_by[slot]]
        if s.row is call.TO:
            inner_slot = args[0]
            inner, inner_args = trace.instrs[made_by[inner_slot]]
            if inner.row is call.TO and inner.types[0] is s.out and inner.types[0].dtype in LOW and inner.out is not None \
                    and inner.out.dtype is dtypes.float32:
                return source(inner_args[0])
        return slot

    results = [None if r is None else source(r) for r in results]
    live: set[int] = set()
    stack = [r for r in results if r is not None]
    while stack:
        slot = stack.pop()
        k = made_by[slot]
        for j in range(len(trace.instrs[k][0].outs)):
            if starts[k] + j in live:
                break
        else:
            stack.extend(source(a) for a in trace.instrs[k][1])
        live.update(range(starts[k], starts[k] + len(trace.instrs[k][0].outs)))
    number: dict[int, int] = {}
    position = 0
    leaf = 0
    for i in range(n_grads):
        if present[i]:
            number[leaf] = position
            leaf += 1
        position += 1
    needed: list[tuple[str, int]] = []
    for slot in range(leaf, n_leaves):
        if slot in live:
            index = slot - leaf
            needed.append(("in", index) if index < n_ins else ("out", index - n_ins))
    for side, i in needed if saved is None else saved:
        number[leaf + i + (0 if side == "in" else n_ins)] = position
        position += 1
    instrs: list[Any] = []
    leaves = iter(trace.leaves)
    for k, (s, args) in enumerate(trace.instrs):
        constant = next(leaves) if s.row.kind is Kind.LEAF else None
        if starts[k] < n_leaves or starts[k] not in live:
            continue
        if constant is not None:
            instrs.append((None, constant))
            number[starts[k]] = position
            position += 1
            continue
        instrs.append((s, tuple(number[source(a)] for a in args)))
        for j in range(len(s.outs)):
            number[starts[k] + j] = position
            position += 1
    return Gradient(instrs, [None if r is None else number[r] for r in results], tuple(present)), tuple(needed)


# Growing the tape -----------------------------------------------------------------------------------------------------------
def attach(sig: Sig, tensors: Sequence[Any], values: Sequence[Any], outs: Sequence[Any]) -> None:
    """Give the results of a recorded call their node (called when grad mode is on and an operand has one)."""
    if not sig.taped:
        return
    edges = tuple([None if t._node is None else (t._node, t._nr) for t in tensors])
    mask = tuple([e is not None for e in edges])
    node = Node(sig, edges)
    node.mask = mask
    for t, e in zip(tensors, edges, strict=True):
        if e is not None and e[0].is_leaf:
            node.leaves = t if node.leaves is None else (node.leaves, t)
    needed = saves(sig, mask)
    if needed:
        saved, versions = [], []
        for side, i in needed:
            if side == "in":
                saved.append(values[i])
                t = tensors[i]
                if isinstance(t, Scalar):
                    continue
                e = edges[i]
                name, number = (e[0].name, e[1]) if e is not None else (None, 0)
            else:
                t = outs[i]
                saved.append(t._value)
                name, number = node.name, i
            store = t._storage_counter()
            version = store if t._own is None else t._own
            if version is state.writing and side == "in" and i == 0:
                continue
            versions.append((version, version.v, sig.types[i] if side == "in" else sig.outs[i], name, number, store, store.writes, t._soff, len(saved) - 1))
        node.saved, node.versions = tuple(saved), tuple(versions)
        if _saved_hooks:
            _pack(node, needed, tensors, outs)
    if state.anomaly:
        node.where = traceback.format_stack()[:-2]
    for i, out in enumerate(outs):
        if differentiable(sig.outs[i]):
            out._node = node
            out._nr = i


_saved_hooks: list[tuple[Any, Any]] = []


def _pack(node: Node, needed: Sequence[tuple[str, int]], tensors: Sequence[Any], outs: Sequence[Any]) -> None:
    """Hand saved values to the innermost saved_tensors_hooks; unpack when the rule runs."""
    packer, unpacker = _saved_hooks[-1]
    assert node.saved is not None
    packed = []
    for v, (side, i) in zip(node.saved, needed, strict=True):
        if isinstance(v, Scalar):
            packed.append((False, v))
        else:
            source = tensors[i] if side == "in" else outs[i]
            with grad_mode(False):
                packed.append((True, packer(source.detach() if side == "out" or source._node is not None and not source._node.is_leaf else source)))
    node.saved = ()

    def unpack() -> tuple[Any, ...]:
        got = []
        for is_packed, p in packed:
            if not is_packed:
                got.append(p)
                continue
            t = unpacker(p)
            if not call.is_tensor(t):
                raise TypeError(f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(t)}")
            got.append(t._value if t._root is None else t._fresh())
        return tuple(got)

    node.packed = unpack
