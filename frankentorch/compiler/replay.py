"""Replay: a call's program run without its Python, under guards.

Enters: a watched, recorded call with what it reached before and what it changed. Leaves: an `Entry`, whose `run(args, kwargs)` is one
generated function: it checks the guards, gathers the leaves from their sources, makes the native call, and applies the recorded
effects: contents and version counters of tensors written, gradients, step counts, and the result rebuilt.
"""

from __future__ import annotations

import math
import sys
import weakref
from operator import is_
from typing import Any

from ..dtypes import get_default_dtype
from ..knobs import knobs
from ..ops import record
from ..ops.bounds import memory_inside
from ..ops.movement import as_strided_row
from ..ops.record import Scalar, TrackedScalar, Value
from ..ops.tracked import Tracked, Tracker
from ..ops.types import SPECIALISED
from ..runtime import native, program, tape, window
from ..runtime.memory import Buffer
from ..tensor import Tensor
from . import calls
from .calls import MISS, graph_is_live
from .state import ATOMS, Refused, Walk

_new = Tensor.__new__


def _alone() -> int:
    """What getrefcount says of an object that one attribute and one local variable refer to."""
    v = Value(None, None, -1)  # type: ignore[arg-type]
    holder = _Holder()
    holder.value = v
    return sys.getrefcount(v)


class _Holder:
    value: Any = None


ALONE = _alone()
KEPT_ARENA = 1 << 16


class _Handle:
    """A tensor reachable before the call, as it was then. Values are held weakly: holding them would forbid writing over their memory."""

    __slots__ = ("tensor", "name", "label", "value", "buf", "offset", "type", "home", "node", "grad", "v", "writes", "cls", "soff", "own")

    def __init__(self, t: Any, name: str, label: str) -> None:
        self.tensor, self.name, self.label = t, name, label
        if t._meta:
            raise Refused(f"{label} is a meta tensor")
        home = t._home()
        value = home._value if home is t else t._value
        if home._value.buf is None:
            raise Refused(f"{label} is pending in another thread")
        self.home = home
        self.value = weakref.ref(value)
        self.buf = weakref.ref(home._value.buf)
        self.offset, self.type, self.node, self.cls, self.soff, self.own = home._value.offset, value.type, t._node, type(t), t._soff, t._own
        self.grad = t._grad
        self.v: int
        self.writes: int
        self.v, self.writes = (0, 0) if home._vc is None else (home._vc.v, home._vc.writes)
        if home._value.buf.exposed:
            raise Refused(f"the memory of {label} is shared with foreign code")
        if home is not t and self.node is not None and not (self.node.is_leaf and t._detached):
            raise Refused(f"{label} is a view that requires grad")


class Entry:
    """A generated replay with the objects it refers to."""

    def __init__(self, run: Any, explain: Any, guards: int, source: str, ns: dict[str, Any]) -> None:
        self.run, self._explain, self.guards, self.source, self.ns = run, explain, guards, source, ns

    def explain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """The first guard that does not hold, or None."""
        return self._explain(args, kwargs)  # type: ignore[no-any-return]


class Builder:
    """Follows one recorded call from before (`before`), through its cut (`pending`, `after`), to an entry (`entry`)."""

    def __init__(self, codes: Any, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.tracker = Tracker()
        self.walk = walk = Walk(codes, self.tracker)
        self.fn, self.args, self.kwargs = fn, args, kwargs
        self.prelude: list[str] = []
        self.arg_guards: list[tuple[str, str]] = []
        self.arg_tensors: dict[int, tuple[Any, str]] = {}
        self.arg_views: list[tuple[Any, str, Any, Any]] = []
        self.containers: list[tuple[Any, list[Any], str]] = []
        walk.visit(fn, getattr(fn, "__qualname__", "the function"))
        self.structure()
        self.process_state()
        self.before_guards = list(walk.guards)
        self.handles: dict[int, _Handle] = {}
        for t, label in list(walk.tensors.values()):
            self.handles[id(t)] = _Handle(t, walk.const(t, "T"), label)
        for t, name in self.arg_tensors.values():
            if id(t) not in self.handles:
                self.handles[id(t)] = _Handle(t, name, name)
        for h in list(self.handles.values()):
            self.check_handle(h)
        self.grads: dict[int, _Handle] = {}
        for h in list(self.handles.values()):
            if h.grad is not None:
                self.grads[id(h.tensor)] = self.grad_handle(h)
        self.origin: dict[int, Any] = {}
        for h in (*self.handles.values(), *self.grads.values()):
            if h.home is h.tensor:
                self.comes_from(h.tensor._value, h.name, 0)
        for h in self.handles.values():
            if h.home is not h.tensor:
                value = h.tensor._fresh()
                self.comes_from(value, self.handles[id(h.home)].name, value.offset - h.home._value.offset)
        for view, name, _, _ in self.arg_views:
            self.comes_from(view._value, name, 0)

    def comes_from(self, value: Any, name: str, delta: int) -> None:
        self.origin.setdefault(id(value), (weakref.ref(value), name, delta))

    # Before the call --------------------------------------------------------------------------------------------------
    def structure(self) -> None:
        """Unpack the arguments; guard their structure and plain values."""
        self.arg_guards.append((f"len(args) == {len(self.args)}", "the number of arguments"))
        for i, a in enumerate(self.args):
            self.argument(a, f"args[{i}]", f"argument {i}")
        if self.kwargs:
            keys = self.walk.const(list(self.kwargs))
            self.arg_guards.append((f"[*kwargs] == {keys}", "the keyword arguments"))
            for k, a in self.kwargs.items():
                self.argument(a, f"kwargs[{k!r}]", f"argument {k}")
        else:
            self.arg_guards.append(("not kwargs", "the keyword arguments"))

    def argument(self, a: Any, path: str, label: str) -> None:
        walk = self.walk
        if isinstance(a, Tensor):
            if id(a) in walk.tensors:
                self.arg_guards.append((f"{path} is {walk.const(a, 'T')}", label))
                return
            name = f"a{len(self.arg_tensors) + len(self.arg_views)}"
            self.arg_guards.append((f"({name} := {path}).__class__ is {walk.const(type(a))}", f"the type of {label}"))
            if id(a) in self.arg_tensors:
                self.arg_guards.append((f"{name} is {self.arg_tensors[id(a)][1]}", f"{label} given twice"))
            if a._node is not None or a._own is not None or a._meta:
                raise Refused(f"{label} requires grad")
            extra = {k for k in a.__dict__ if not k.startswith("_")} & walk.names
            if extra:
                raise Refused(f"{label} has attribute {min(extra)}, which the code may read")
            if a._root is not None:
                self.argument_view(a, name, label)
                return
            self.arg_tensors[id(a)] = (a, name)
        elif type(a) in (tuple, list):
            self.containers.append((a, list(a), label))
            self.arg_guards.append((f"{path}.__class__ is {walk.const(type(a))} and len({path}) == {len(a)}", f"the structure of {label}"))
            for i, x in enumerate(a):
                self.argument(x, f"{path}[{i}]", f"{label}[{i}]")
        elif type(a) is dict:
            self.arg_guards.append((f"{path}.__class__ is {walk.const(dict)} and [*{path}] == {walk.const(list(a))}", f"the keys of {label}"))
            if not all(type(k) in (str, int) for k in a):
                raise Refused(f"{label} has keys other than strings and integers")
            self.containers.append((a, [*a, *a.values()], label))
            for k, x in a.items():
                self.argument(x, f"{path}[{k!r}]", f"{label}[{k!r}]")
        elif type(a) in (int, float, str, bool, bytes, complex):
            if a != a or a == 0:
                self.arg_guards.append((f"{path}.__class__ is {walk.const(type(a))} and repr({path}) == {repr(a)!r}", f"the value of {label}"))
                return
            self.arg_guards.append((f"{path}.__class__ is {walk.const(type(a))} and {path} == {walk.const(a)}", f"the value of {label}"))
        else:
            self.arg_guards.append((f"{path} is {walk.const(a)}", label))
            walk.visit(a, label)

    def argument_view(self, a: Any, name: str, label: str) -> None:
        """A view may be read; its memory must not be that of anything the call writes."""
        value = a._fresh()
        if a._node is not None or value.buf is None or value.buf.exposed:
            raise Refused(f"{label} requires grad or is shared with foreign code")
        home = a._home()
        self.arg_guards.append((f"{name}._root is not None and ({name}v := {name}._fresh()).type is {self.walk.const(value.type)} and "
                                f"({name}b := {name}v.buf) is not None and not {name}b.exposed and {name}._node is None and not {name}._meta and "
                                f"{name}._own is None", f"the shape, dtype, memory or tape of {label}"))
        self.arg_views.append((a, name, weakref.ref(home), weakref.ref(home._value)))

    def process_state(self) -> None:
        """Guards on modes, settings and hooks that recording reads."""
        from ..nn.modules import _hooks
        from ..optim import optimizer

        walk, state = self.walk, record.state
        ns = walk.ns
        ns.update(state=state, knobs=knobs, threads=native.get_num_threads, default_dtype=get_default_dtype)
        walk.guard(f"state.grad is {state.grad} and state.inference is {state.inference} and state.anomaly is {state.anomaly}", "the grad mode")
        extra = {k: v for k, v in vars(state).items() if k not in ("trace", "grad", "inference", "anomaly", "region")}
        for k, v in extra.items():
            if not isinstance(v, ATOMS):
                raise Refused(f"the state of the thread has {k}")
            walk.guard(f"state.{k} is {walk.const(v)}", k)
        walk.guard(f"default_dtype() is {walk.const(get_default_dtype())}", "the default dtype")
        if knobs.interp or knobs.cut or knobs.eager:
            raise Refused("a debugging knob is set")
        walk.guard(f"not (knobs.interp or knobs.cut or knobs.eager) and knobs.cpu == {knobs.cpu!r} and knobs.mode == {knobs.mode!r}", "the knobs")
        calls.watch_namespaces()
        ns["epoch"] = calls.epoch
        walk.guard(f"epoch.n == {calls.epoch.n}", "a name of the package that was replaced")
        walk.guard(f"threads() == {native.get_num_threads()}", "the number of threads")
        tables: list[Any] = [v for k, v in vars(_hooks).items() if k.startswith("_global") and isinstance(v, dict)]
        tables += [optimizer._global_optimizer_pre_hooks, optimizer._global_optimizer_post_hooks, tape._saved_hooks]
        if any(tables):
            raise Refused("a global hook is set")
        for table in tables:
            walk.empties.append((walk.const(table), "a global hook"))

    def check_handle(self, h: _Handle) -> None:
        """Guards on a tensor's type, place on the tape, and storage."""
        t, name, walk = h.tensor, h.name, self.walk
        label = h.label
        guards = self.arg_guards if id(t) in self.arg_tensors else walk.guards
        if h.home is t:
            guards.append((f"{name}._root is None", f"what {label} is a view of"))
        else:
            guards.append((f"{name}._root is {walk.const(h.home, 'T')} and {name}._soff == {h.soff} and {name}._value.type is {walk.const(h.type)}",
                           f"what {label} is a view of"))
        if h.home is t:
            guards.append((f"({name}v := {name}._value).type is {walk.const(h.type)} and ({name}b := {name}v.buf) is not None and not {name}b.exposed",
                           f"the shape, dtype or memory of {label}"))
        if id(t) in self.arg_tensors:
            guards.append((f"{name}._node is None and not {name}._meta and {name}._own is None", f"whether {label} requires grad"))
            return
        node = "None" if h.node is None else walk.const(h.node)
        guards.append((f"{name}._node is {node}", f"whether {label} requires grad"))
        if h.own is not None:
            guards.append((f"{name}._own is {walk.const(h.own)}", f"the version counter of {label}"))
        if h.node is not None:
            if not h.node.is_leaf:
                raise Refused(f"{label} is part of a graph from before the call")
            if h.node.hooks or h.node.pre_hooks or h.node.post_hooks or h.node.retains:
                raise Refused(f"{label} has hooks")
            guards.append((f"not ({node}.hooks or {node}.pre_hooks or {node}.post_hooks or {node}.retains)", f"the hooks of {label}"))

    def grad_handle(self, h: _Handle) -> _Handle:
        """A gradient is whatever tensor is there: its type counts, not its identity."""
        g = h.grad
        name = f"{h.name}g"
        if id(g) in self.handles:
            raise Refused(f"the gradient of {h.label} is referred to elsewhere too")
        made = _Handle(g, name, f"the gradient of {h.label}")
        if made.home is not g or g._node is not None or g._own is not None or type(g) is not Tensor:
            raise Refused(f"the gradient of {h.label} is a view or requires grad")
        return made

    def grad_guards(self) -> None:
        for h in self.handles.values():
            if id(h.tensor) in self.arg_tensors:
                continue
            g = self.grads.get(id(h.tensor))
            if h.node is None and g is None:
                continue
            if g is None:
                self.walk.guard(f"{h.name}._grad is None", f"the gradient of {h.label}")
                continue
            n = g.name
            self.walk.guard(f"({n} := {h.name}._grad) is not None and {n}._root is None and {n}._node is None and {n}.__class__ is "
                            f"{self.walk.const(Tensor)} and ({n}v := {n}._value).type is {self.walk.const(g.type)} and ({n}b := {n}v.buf) is not None "
                            f"and not {n}b.exposed", f"the gradient of {h.label}")

    def start(self) -> None:
        """Put followed numbers in place of hyperparameters and step counts."""
        self.given = [h.grad for h in self.handles.values()]
        for group, value, local in self.walk.rates:
            group["lr"] = self.tracker.make(value, local)
        for cell, value, _, local in self.walk.cells:
            cell.value = self.tracker.make(value, local)

    def stop(self) -> None:
        """Put ordinary numbers back, and remember how step counts went on."""
        for group, value, _ in self.walk.rates:
            if isinstance(group.get("lr"), Tracked):
                group["lr"] = value
        self.counts: list[tuple[str, str]] = []
        for cell, _, name, local in self.walk.cells:
            now = cell.value
            if isinstance(now, Tracked):
                cell.value = float.__mul__(now, 1.0)
                if now.expr != local:
                    self.counts.append((name, now.expr))
            else:
                raise Refused("a step count was replaced")

    # At the end of the call -------------------------------------------------------------------------------------------
    def pending(self, trace: Any, out: Any, region: Any) -> None:
        """Before the cut: where leaves come from, which slot each changed tensor holds, and the shape of the result."""
        self.given = []
        fresh = {id(b) for b in region.constants}
        self.leaves: list[tuple[str, Any, Any]] = []
        for leaf in trace.leaves:
            if isinstance(leaf, TrackedScalar):
                self.leaves.append(("number", leaf.source.expr, leaf.type.const))
            elif isinstance(leaf, Scalar):
                if isinstance(leaf.num, Tracked):
                    raise Refused("a followed number is an operand of another kind")
                self.leaves.append(("constant", leaf, 0))
            else:
                self.leaves.append(self.source_of(leaf, fresh))
        self.bounds: list[tuple[str, int, Any, int, int, int | None]] = []
        for value, low, high, exempt in region.checks:
            kind, name, offset = self.source_of(value, fresh)
            if kind == "tensor":
                self.bounds.append((name, offset, value.type, low, high, exempt))
        region.checks.clear()
        self.trace = trace
        for view, name, home, before in self.arg_views:
            if view._node is not None or view._home() is not home() or home()._value is not before():
                raise Refused(f"{name}, a view, is written to")
        for container, before, label in self.containers:
            now = [*container, *container.values()] if isinstance(container, dict) else list(container)
            if len(now) != len(before) or not all(map(is_, now, before)):
                raise Refused(f"the call changes {label}")
        self.effects: list[tuple[str, _Handle, int]] = []
        for h in self.handles.values():
            self.note(h)
        self.grad_effects: list[tuple[_Handle, int | None]] = []
        for h in self.handles.values():
            now = h.tensor._grad
            if now is h.grad:
                if now is not None:
                    self.note(self.grads[id(h.tensor)])
                continue
            if id(h.tensor) in self.arg_tensors:
                raise Refused(f"the gradient of {h.label} changes")
            self.grad_effects.append((h, None if now is None else self.slot_of(now, f"the gradient of {h.label}")))
        self.made: dict[int, str] = {}
        self.made_lines: list[str] = []
        self.result = self.rebuild(out)

    def source_of(self, leaf: Any, fresh: set[int]) -> tuple[str, Any, Any]:
        """Where a concrete value comes from: a tensor from before the call, or Python data in it."""
        known = self.origin.get(id(leaf))
        if known is not None and known[0]() is leaf:
            return "tensor", known[1], known[2]
        if id(leaf.buf) in fresh:
            return "data", Value(leaf.type, None, -1, leaf.buf, leaf.offset), 0
        raise Refused("the call reads a tensor that is neither an argument nor reachable by name")

    def slot_of(self, t: Any, what: str) -> int:
        """The slot of a fresh result."""
        if t._root is not None or t._own is not None or t._meta or type(t) is not Tensor:
            raise Refused(f"{what} is a view")
        v = t._value
        if v.trace is not self.trace or v.buf is not None:
            raise Refused(f"{what} is not computed by the call")
        return v.slot

    def note(self, h: _Handle) -> None:
        t = h.tensor
        if t._home() is not h.home or t._node is not h.node or type(t) is not h.cls or t._own is not h.own:
            raise Refused(f"{h.label} changes its storage or its place on the tape")
        if any(k in self.walk.names and not k.startswith("_") for k in t.__dict__):
            raise Refused(f"{h.label} is given an attribute")
        if h.home is not t:
            return
        counter = t._vc
        v, writes = (0, 0) if counter is None else (counter.v - h.v, counter.writes - h.writes)
        if t._value is h.value():
            if writes or v:
                raise Refused(f"{h.label} was written in an unusual way")
            return
        value = t._value
        if value.trace is not self.trace or value.buf is not None or value.type is not h.type:
            raise Refused(f"{h.label} becomes something that the call does not compute")
        self.effects.append(("write", h, value.slot))
        self.bumps = getattr(self, "bumps", {})
        self.bumps[h.name] = (v, writes)

    def rebuild(self, out: Any) -> str:
        """An expression for the result."""
        walk = self.walk
        if isinstance(out, Tensor):
            h = self.handles.get(id(out))
            if h is not None:
                return h.name
            for g in self.grads.values():
                if g.tensor is out:
                    return g.name
            for view, name, _, _ in self.arg_views:
                if view is out:
                    return name
            if id(out) in self.made:
                return self.made[id(out)]
            if out._root is not None:
                return self.view(out)
            slot = self.slot_of(out, "a result")
            if any(not k.startswith("_") for k in out.__dict__) or out._hooks_table or out._retain or out._grad is not None or out._is_param:
                raise Refused("a result is a special tensor")
            name = self.made[id(out)] = f"r{len(self.made)}"
            self.made_lines += [f"{name} = new(Tensor)", f"{name}._value = {{{slot}}}"]
            counter = out._vc
            if counter is not None and (counter.v or counter.writes):
                self.made_lines.append(f"{name}._vc = c = Version(); c.v = {counter.v}; c.writes = {counter.writes}")
            self.tape_of(out, name)
            return name
        kind = type(out)
        if kind in (tuple, list):
            parts = [self.rebuild(x) for x in out]
            return f"[{', '.join(parts)}]" if kind is list else f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
        if kind is dict:
            return "{" + ", ".join(f"{walk.const(k)}: {self.rebuild(v)}" for k, v in out.items()) + "}"
        if isinstance(out, tuple) and hasattr(out, "_fields"):
            return f"{walk.const(kind)}({', '.join(self.rebuild(x) for x in out)})"
        if isinstance(out, Tracked):
            raise Refused("the call returns a hyperparameter")
        if isinstance(out, ATOMS):
            return walk.const(out)
        if id(out) in walk.known:
            return walk.const(out)
        raise Refused(f"the call returns a {kind.__name__}")

    def view(self, out: Any) -> str:
        """A result that is a view, of another result or of a tensor from before the call; its value follows from that tensor's."""
        home = out._home()
        if out._own is not None or out._family is not None or out._meta or type(out) is not Tensor or out._grad is not None:
            raise Refused("a result is a special view")
        if any(not k.startswith("_") for k in out.__dict__) or out._node is not None and out._node.is_leaf:
            raise Refused("a result is a special view")
        base = self.rebuild(home)
        name = self.made[id(out)] = f"r{len(self.made)}"
        t, whole = out._value.type, home._value.type
        self.made_lines.append(f"{name} = new(Tensor)")
        if t is whole and out._soff == 0:
            self.made_lines.append(f"{name}._value = {base}._value")
        else:
            sig = record.make_sig(as_strided_row, (whole,), (t.shape, t.strides, out._soff))
            self.walk.ns["view_value"] = tape.view_value
            self.made_lines.append(f"{name}._value = view_value({self.walk.const(sig)}, {base}._value)")
        self.made_lines += [f"{name}._root = {base}", f"{name}._soff = {out._soff}", f"{name}._detached = {out._detached}",
                            f"c = {base}._vc", f"if c is not None: {name}._seen = c.writes"]
        self.tape_of(out, name)
        return name

    def tape_of(self, out: Any, name: str) -> None:
        """A result that requires grad keeps a node whose graph was freed."""
        node = out._node
        if node is None:
            return
        if node.is_leaf:
            raise Refused("a result is a new leaf")
        if graph_is_live(node):
            raise Refused("a result carries a live tape")
        if node.hooks or node.pre_hooks or node.retains or node.metadata:
            raise Refused("a result's node has hooks")
        n = self.walk.const(node)
        self.made_lines += [f"{name}._node = d = Node({n}.sig, {n}.edges)", f"{name}._nr = {out._nr}",
                            f"d.saved = {n}.saved; d.versions = {n}.versions; d.mask = {n}.mask; d.name = {n}.name"]

    # After the cut ----------------------------------------------------------------------------------------------------
    def entry(self, bound: Any) -> Entry:
        """Write the replay."""
        if bound is None:
            raise Refused("the call computes nothing")
        self.grad_guards()
        walk = self.walk
        place: dict[int, tuple[str, int, int]] = {slot: ("out", i, o) for slot, i, o in bound.outputs}
        place.update({slot: ("leaf", i, o) for slot, i, o in bound.leaf_views})
        ns = walk.ns
        ns.update(MISS=MISS, run=bound.run, Buffer=Buffer, Value=Value, Tensor=Tensor, new=_new, Node=tape.Node, Version=tape.Version, lock=window._lock,
                  refs=sys.getrefcount, SPECIAL=frozenset(SPECIALISED), bound=bound, STATS=program.STATS, is_=is_, id=id, repr=repr)
        held = frozenset(id(h.tensor) for h in self.handles.values() if id(h.tensor) not in self.arg_tensors)
        body = Lines()
        body.add("tr = state.trace", "if tr.instrs: tr.cut('compiled call')")
        args = [(c, why) for c, why in self.arg_guards]
        names = [n for _, n in self.arg_tensors.values()]
        for i, n in enumerate(names):
            for m in names[:i]:
                args.append((f"{n} is not {m}", "the same tensor given twice"))
            if held:
                args.append((f"id({n}) not in {walk.const(held)}", "an argument that the function refers to as well"))
        body.guards(args)
        for local, expr, _ in walk.sources:
            body.add(f"{local} = {expr}")
        if walk.empties:
            body.guards([("not (" + " or ".join(n for n, _ in walk.empties) + ")", "a container that was empty")], list(walk.empties))
        body.guards(walk.guards)
        numbers: dict[str, str] = {}
        plain_numbers = self.numbers(body, numbers)
        donated = {i for _, i in bound.donated}
        checks = []
        call_args = []
        for i in bound.leaf_args:
            call_args.append(self.leaf_arg(i, plain_numbers))
        for i in sorted(donated):
            kind, name, _ = self.leaves[i]
            if kind != "tensor":
                raise Refused("a constant's memory was given away")
            checks.append((f"refs({name}v) <= {ALONE} and refs({name}b) <= {ALONE} and {name}b.owner is None", f"who else holds the memory of {name}"))
        for _, view, _, _ in self.arg_views:
            for _, h, _ in self.effects:
                checks.append((f"{view}b is not {h.name}b", f"a view of {h.label}, which the call writes to"))
        body.guards(checks)
        for name, offset, type_, low, high, exempt in dict.fromkeys(self.bounds):
            ns["inside"] = memory_inside
            body.guards([(f"inside({name}b, {name}v.offset + {offset}, {walk.const(type_)}, {low}, {high}, {exempt})", f"the bounds of the indices in {name}")])
        body.add("with lock:")
        again = self.reused(place)
        inner = [f"{again[i].name}s = {self.alone(again[i], n)}\n        o{i} = {again[i].name}b if {again[i].name}s else Buffer({n})" if i in again
                 else f"o{i} = Buffer({n})" for i, n in enumerate(bound.out_bytes)]
        call_args += [f"o{i}.ptr" for i in range(len(bound.out_bytes))]
        if bound.arena > KEPT_ARENA:
            inner.append(f"m = Buffer({bound.arena})")
            call_args.append("m.ptr")
        elif bound.arena:  # runs hold the lock, so one will do
            ns["arena"] = Buffer(bound.arena)
            call_args.append(str(ns["arena"].ptr))
        inner.append(f"run({', '.join([str(bound.address), *call_args])})")
        inner.append("STATS['runs'] += 1")
        body.add(*["    " + line for line in inner])
        self.apply(body, place, donated)
        body.add(f"return {self.result}")
        source = body.function("replay", False)
        explained = body.function("explain", True)
        scope = dict(ns)
        exec(compile(source, "<replay>", "exec"), scope)
        exec(compile(explained, "<replay>", "exec"), scope)
        return Entry(scope["replay"], scope["explain"], body.count, source, ns)

    def reused(self, place: dict[int, tuple[str, int, int]]) -> dict[int, _Handle]:
        """Outputs that may take the tensor of the gradient they follow, where nobody else has it and the program does not read it."""
        read = {name for kind, name, _ in self.leaves if kind == "tensor"}
        found: dict[int, _Handle] = {}
        self.kept: dict[int, str] = {}
        for h, slot in self.grad_effects:
            g = self.grads.get(id(h.tensor))
            if slot is None or g is None or self.types[slot] is not g.type or g.name in read or slot not in place or slot in self.new_grads:
                continue
            kind, i, offset = place[slot]
            shared = sum(k == "out" and j == i for k, j, _ in place.values())
            if kind == "out" and offset == 0 and shared == 1 and i not in found:
                found[i] = g
                self.kept[slot] = g.name
        return found

    def alone(self, g: _Handle, nbytes: int) -> str:
        n = g.name
        return (f"refs({n}) <= {ALONE} and refs({n}v) <= {ALONE} and refs({n}b) <= {ALONE} and {n}v.offset == 0 and {n}b.owner is None "
                f"and {n}b.nbytes >= {nbytes} and len({n}.__dict__) == 1")

    def numbers(self, body: Lines, local_of: dict[str, str]) -> dict[str, str]:
        """Compute followed numbers, and guard the outcomes of comparisons made with them."""
        for kind, expr, const in self.leaves:
            if kind == "number" and expr not in local_of:
                local_of[expr] = f"n{len(local_of)}"
                body.add(f"{local_of[expr]} = {expr}")
                stays = f"{local_of[expr]} not in SPECIAL" if const is None else f"{local_of[expr]} == {const!r}"
                body.guards([(stays, "a number that programs specialise on")])
        for condition in self.tracker.conditions:
            body.guards([(self.shortened(condition, local_of), f"the outcome of {condition}")])
        return local_of

    def shortened(self, condition: str, local_of: dict[str, str]) -> str:
        for expr in sorted(local_of, key=len, reverse=True):
            condition = condition.replace(expr, local_of[expr])
        return condition

    def leaf_arg(self, i: int, numbers: dict[str, str]) -> str:
        kind, what, extra = self.leaves[i]
        if kind == "number":
            return numbers[what]
        if kind == "constant":
            self.walk.const(what)
            return repr(what.num) if type(what.num) in (int, bool) or type(what.num) is float and math.isfinite(what.num) else f"{self.walk.const(what)}.num"
        if kind == "data":
            return str(what.address) if self.walk.const(what) else ""
        return f"{what}b.ptr + {what}v.offset" + (f" + {extra}" if extra else "")

    def apply(self, body: Lines, place: dict[int, tuple[str, int, int]], donated: set[int]) -> None:
        walk = self.walk
        values: dict[int, str] = {}

        def value(slot: int, type_: Any) -> str:
            kind, i, offset = place[slot]
            if kind == "out":
                return f"Value({walk.const(type_)}, None, -1, o{i}, {offset})"
            source, what, extra = self.leaves[i]
            if source == "tensor":
                return f"Value({walk.const(type_)}, None, -1, {what}b, {what}v.offset + {extra + offset})"
            if source == "data":
                return f"Value({walk.const(type_)}, None, -1, {walk.const(what)}.buf, {what.offset + offset})"
            raise Refused("a result is a number of the program")

        types = self.types
        for _, h, slot in self.effects:
            if slot not in place:
                raise Refused(f"{h.label} was not stored")
            kind, i, offset = place[slot]
            same = kind == "leaf" and i in donated and self.leaves[i] == ("tensor", h.name, 0) and offset == 0
            if not same:
                body.add(f"{h.name}._value = {value(slot, types[slot])}")
            v, writes = self.bumps[h.name]
            if v or writes:
                body.add(f"c = {h.name}._vc", f"if c is None: c = {h.name}._storage_counter()", f"c.v += {v}; c.writes += {writes}",
                         f"if c.latest is not None: c.latest = {h.name}._value")
        for h, fresh in self.grad_effects:
            if fresh is None:
                body.add(f"{h.name}._grad = None")
                continue
            if fresh in self.kept:
                body.add(f"if not {self.kept[fresh]}s:", "    t = new(Tensor)", f"    t._value = {value(fresh, types[fresh])}", f"    {h.name}._grad = t")
                continue
            body.add("t = new(Tensor)", f"t._value = {value(fresh, types[fresh])}", f"{h.name}._grad = t")
            grad = self.new_grads.get(fresh)
            if grad is not None:
                body.add(f"t._vc = c = Version(); c.v = {grad[0]}; c.writes = {grad[1]}")
        for name, expr in self.counts:
            body.add(f"{name}.value = {expr}")
        for line in self.made_lines:
            if line.split(" = ")[0].endswith("._value") and line.split(" = ")[1].startswith("{"):
                slot = int(line[line.index("{") + 1:line.index("}")])
                if slot not in place:
                    raise Refused("a result was not stored")
                line = line.split(" = ")[0] + " = " + value(slot, types[slot])
            body.add(line)
        _ = values

    instrs: list[Any] = []
    types: list[Any] = []
    kept: dict[int, str] = {}
    new_grads: dict[int, tuple[int, int]] = {}
    bumps: dict[str, tuple[int, int]] = {}

    def remember(self, trace: Any) -> None:
        """Before the cut: the instructions, and the versions of new gradients."""
        self.instrs = list(trace.instrs)
        self.types = [t for sig, _ in self.instrs for t in sig.outs]
        self.new_grads = {}
        for h, slot in self.grad_effects:
            if slot is not None:
                counter = h.tensor._grad._vc
                if counter is not None and (counter.v or counter.writes):
                    self.new_grads[slot] = (counter.v, counter.writes)

    def holds(self) -> str | None:
        """After the call: the first guard on outside state that its own run broke, or None."""
        scope = dict(self.walk.ns)
        body = Lines()
        for local, expr, _ in self.walk.sources:
            body.add(f"{local} = {expr}")
        cells = {name for _, _, name, _ in self.walk.cells}
        body.guards([(c, w) for c, w in self.before_guards if not any(c.startswith(f"{n}.value ==") for n in cells)])
        for name, label in self.walk.empties:
            body.guards([(f"not {name}", label)])
        exec(compile(body.function("check", True), "<check>", "exec"), scope)
        return scope["check"]((), {})  # type: ignore[no-any-return]


class Lines:
    """The body of a generated function, written once and printed in two forms: replaying, and naming the guard that fails."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.count = 0

    def add(self, *lines: str) -> None:
        self.parts.extend(lines)

    def guards(self, conditions: list[tuple[str, str]], apart: list[tuple[str, str]] | None = None) -> None:
        if conditions:
            self.count += len(apart or conditions)
            self.parts.append((conditions, apart))

    def function(self, name: str, explain: bool) -> str:
        lines = [f"def {name}(args, kwargs):"]
        for part in self.parts:
            if isinstance(part, str):
                if explain and part == "with lock:":
                    break
                lines.append("    " + part)
                continue
            conditions, apart = part
            if not explain:
                text = " and ".join(f"({c})" for c, _ in conditions)
                lines.append(f"    if not ({text}): return MISS")
                continue
            if apart is not None:
                conditions = [(f"not {n}", label) for n, label in apart]
            lines += [f"    if not ({c}): return {label!r}" for c, label in conditions]
        if explain:
            lines.append("    return None")
        return "\n".join(lines)
