"""Outside state: everything a call can read besides its arguments, and the guards that notice a change of it.

Enters: a callable, its arguments, and the code objects that a watched call of it ran. Leaves: a `Walk`: tensors reachable from there,
sources of numbers, and guards: Python conditions over objects bound by name. Reachable means: through closure cells, globals and
attributes whose names the code mentions, through the items of containers, and through the whole of modules and optimizers, which
this package's own code reads. What cannot be guarded raises `Refused`.
"""

from __future__ import annotations

import dis
import functools
import types
from collections import OrderedDict, defaultdict, deque
from operator import is_
from typing import Any

from ..device import device as Device
from ..dtypes import dtype
from ..memory_format import layout, memory_format
from ..ops.tracked import Tracker
from ..runtime.random import Generator
from ..size import Size
from ..tensor import Tensor
from .tags import tag_of
from .watch import PACKAGE, PLAIN

_HEAP = 1 << 9
ATOMS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range, slice, Size, dtype, Device, memory_format, layout,
         types.CodeType, types.BuiltinFunctionType, types.BuiltinMethodType,
         types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType, Generator,
         types.GenericAlias, types.UnionType, property)
CONTAINERS = (list, tuple, dict, set, frozenset, OrderedDict, defaultdict, deque)
_GLOBAL_OPS = frozenset({"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "STORE_NAME"})
_MISSING = object()


class Refused(Exception):
    """The call cannot be replayed; the message says why."""


@functools.lru_cache(4096)
def names_of(code: types.CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """(names of globals, all names) that a code object and those nested in it mention."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname in _GLOBAL_OPS}
    every = set(code.co_names) | set(code.co_freevars)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            inner, names = names_of(c)
            found |= inner
            every |= names
    return frozenset(found), frozenset(every)


def nested(code: types.CodeType) -> set[types.CodeType]:
    """A code object and those made inside it."""
    found = {code}
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            found |= nested(c)
    return found


class Walk:
    """What is reachable. `guards` are (condition, label); the conditions use the names of `ns`."""

    def __init__(self, codes: dict[types.CodeType, dict[str, Any]], tracker: Tracker | None) -> None:
        self.codes = codes
        self.names: set[str] = set()
        for code in codes:
            self.names |= names_of(code)[1]
        self.ns: dict[str, Any] = {"is_": is_, "all": all, "map": map, "len": len, "type": type, "MISSING": _MISSING}
        self.guards: list[tuple[str, str]] = []
        self.empties: list[tuple[str, str]] = []
        self.tensors: dict[int, tuple[Any, str]] = {}
        self.known: dict[int, Any] = {}
        self.found: set[types.CodeType] = set()
        self.classes: set[type] = set()
        self.tracker = tracker
        self.sources: list[tuple[str, str, str]] = []  # (local name, expression, label)
        self.rates: list[tuple[dict[str, Any], float, str]] = []  # (group, learning rate, local name)
        self.cells: list[tuple[Any, float, str, str]] = []  # (cell, value, its name in ns, local name)
        self._cell_source: dict[float, str] = {}
        self._names: dict[int, str] = {}

    # Naming objects ---------------------------------------------------------------------------------------------------
    def const(self, obj: Any, kind: str = "k") -> str:
        """A name for an object in the generated code; the same object has one name."""
        name = self._names.get(id(obj))
        if name is None:
            name = self._names[id(obj)] = f"{kind}{len(self._names)}"
            self.ns[name] = obj
        return name

    def guard(self, condition: str, label: str) -> None:
        self.guards.append((condition, label))

    # Walking ----------------------------------------------------------------------------------------------------------
    def visit(self, obj: Any, label: str) -> None:
        """Guard an object's contents, and go on to what it holds. Its identity is guarded by who refers to it."""
        kind = type(obj)
        if kind in ATOMS or isinstance(obj, ATOMS) and not isinstance(obj, CONTAINERS):
            return
        if id(obj) in self.known:
            return
        self.known[id(obj)] = obj
        if isinstance(obj, Tensor):
            self.tensor(obj, label)
        elif kind in CONTAINERS:
            self.container(obj, label)
        elif isinstance(obj, types.FunctionType):
            self.function(obj, label)
        elif isinstance(obj, types.MethodType):
            self.visit(obj.__self__, f"{label}.__self__")
            self.visit(obj.__func__, label)
        elif isinstance(obj, (staticmethod, classmethod)):
            self.visit(obj.__func__, label)
        elif isinstance(obj, functools.partial):
            self.partial(obj, label)
        elif isinstance(obj, type):
            self.klass(obj, label)
        elif isinstance(obj, types.ModuleType):
            self.namespace(obj, label)
        else:
            self.instance(obj, label)

    def tensor(self, t: Any, label: str) -> None:
        extra = {k for k in t.__dict__ if not k.startswith("_")} & self.names
        if extra:
            raise Refused(f"{label} has attribute {min(extra)}, which the code may read")
        self.tensors[id(t)] = (t, label)
        home = t._home()
        if home is not t:
            self.known.setdefault(id(home), home)
            self.tensors.setdefault(id(home), (home, f"the storage of {label}"))

    def container(self, c: Any, label: str) -> None:
        name = self.const(c, "c")
        if not c:
            if not isinstance(c, (tuple, frozenset)):
                self.empties.append((name, label))
            return
        if isinstance(c, (set, frozenset)):
            for v in c:
                if not isinstance(v, ATOMS):
                    raise Refused(f"{label} is a set of objects")
            if isinstance(c, set):
                self.guard(f"{name} == {self.const(frozenset(c))}", label)
            return
        if isinstance(c, dict):
            self.mapping(c, name, label)
            return
        if not isinstance(c, tuple):
            self.guard(f"len({name}) == {len(c)} and all(map(is_, {name}, {self.const(tuple(c))}))", label)
        for i, v in enumerate(c):
            self.visit(v, f"{label}[{i}]")

    def mapping(self, d: dict[Any, Any], name: str, label: str, only: set[str] | None = None, text: str = "[{!r}]") -> None:
        """Guard keys and values by identity; visit the values (of `only` these keys)."""
        keys, values = list(dict.keys(d)), list(dict.values(d))
        whole = self.const(values)
        rate = self.rate_of(d, name, label)
        pre = f"{whole}.__setitem__({keys.index('lr')}, {rate}) is None and " if rate is not None else ""
        plain = type(d) in (dict, OrderedDict, defaultdict)
        view = f"{name}.values()" if plain else f"DICT_VALUES({name})"
        if not plain:
            self.ns["DICT_VALUES"] = dict.values
            self.ns["DICT_ITER"] = dict.__iter__
        walk = name if plain else f"DICT_ITER({name})"
        order = f"[*{walk}] == {self.const(keys)}" if all(type(k) is str for k in keys) else f"all(map(is_, {walk}, {self.const(keys)}))"
        same = f"len({name}) == {len(keys)} and {pre}all(map(is_, {view}, {whole})) and {order}"
        tag = tag_of(d)
        if tag is not None:  # unmodified since it was last found the same: nothing to compare
            live, seen = self.const(tag, "v"), self.const([0], "w")
            same = f"{live}.value == {seen}[0] or {same} and {seen}.__setitem__(0, {live}.value) is None"
        self.guard(same, label)
        for k in keys:
            if not isinstance(k, (*ATOMS, Tensor, types.FunctionType, type)):
                raise Refused(f"{label} has keys of type {type(k).__name__}")
            if isinstance(k, Tensor):
                self.visit(k, f"a key of {label}")
        for k, v in zip(keys, values, strict=True):
            if only is None or k in only:
                known = self.tensors.get(id(k)) if isinstance(k, Tensor) else None
                self.visit(v, label + (text.format(k) if known is None else f"[{known[1]}]"))

    def rate_of(self, d: dict[Any, Any], name: str, label: str) -> str | None:
        """The local name of a learning rate that is followed rather than guarded."""
        if self.tracker is None or id(d) not in self._groups or type(d.get("lr")) is not float:
            return None
        local = f"s{len(self.sources)}_"
        self.sources.append((local, f"{name}['lr']", f"{label}['lr']"))
        self.guard(f"type({local}) is float", f"{label}['lr']")
        self.rates.append((d, d["lr"], local))
        return local

    _groups: frozenset[int] = frozenset()

    def function(self, f: Any, label: str) -> None:
        code = f.__code__
        if not code.co_filename.startswith(PACKAGE):
            table = vars(f)
            if table:
                self.mapping(table, self.const(table, "c"), f"an attribute of {label}", set(self.names), ".{}")
            else:
                self.empties.append((self.const(table, "c"), f"an attribute of {label}"))
        if code not in self.codes:
            if code.co_filename.startswith(PACKAGE):  # one of our decorators: what it wraps may be the user's
                for cell in f.__closure__ or ():
                    inner = cell.cell_contents
                    if isinstance(inner, types.FunctionType):
                        self.guard(f"{self.const(cell)}.cell_contents is {self.const(inner)}", f"what {label} wraps")
                        self.visit(inner, label)
            return
        self.found |= nested(code)
        name = self.const(f, "f")
        self.guard(f"{name}.__code__ is {self.const(code)}", f"the code of {label}")
        for part in ("__defaults__", "__kwdefaults__"):
            value = getattr(f, part)
            if value:
                self.guard(f"{name}.{part} is {self.const(value)}", f"defaults of {label}")
                self.visit(value, f"defaults of {label}")
        for free, cell in zip(code.co_freevars, f.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                raise Refused(f"closure variable {free} of {label} is empty") from None
            self.guard(f"{self.const(cell)}.cell_contents is {self.const(value)}", f"closure variable {free}")
            self.visit(value, free)
        if not code.co_filename.startswith(PACKAGE):
            self.globals(f.__globals__, names_of(code)[0], label)

    def globals(self, g: dict[str, Any], names: frozenset[str], label: str) -> None:
        where = self.const(g, "g")
        for n in sorted(names):
            value = g.get(n, _MISSING)
            if (id(g), n) in self._seen:
                continue
            self._seen.add((id(g), n))
            if value is _MISSING:
                self.guard(f"{n!r} not in {where}", f"global {n}")
                continue
            self.guard(f"{where}.get({n!r}) is {self.const(value)}", f"global {n}")
            self.visit(value, n)

    @functools.cached_property
    def _seen(self) -> set[tuple[int, str]]:
        return set()

    def partial(self, p: Any, label: str) -> None:
        self.visit(p.func, label)
        self.visit(p.args, label)
        if p.keywords:
            self.visit(p.keywords, label)

    def namespace(self, m: types.ModuleType, label: str) -> None:
        """A Python module: the attributes that the code names."""
        table = vars(m)
        where = self.const(table, "g")
        ours = getattr(m, "__name__", "").split(".")[0] == "frankentorch"
        for n in sorted(self.names):
            if n not in table or (id(table), n) in self._seen:
                continue
            self._seen.add((id(table), n))
            value = table[n]
            self.guard(f"{where}.get({n!r}) is {self.const(value)}", f"{label}.{n}")
            if not ours or isinstance(value, (types.ModuleType, Tensor, *CONTAINERS)):
                self.visit(value, f"{label}.{n}")

    def klass(self, c: type, label: str) -> None:
        """A class that the code can call or whose attributes it can read."""
        if c.__module__.split(".")[0] == "frankentorch" or c.__module__ == "torch":
            return
        if not c.__flags__ & _HEAP:
            if c in PLAIN or c in (object, type, super, property, zip, enumerate, map, filter, reversed, staticmethod, classmethod, bytearray) \
                    or issubclass(c, BaseException):
                return
            raise Refused(f"{label} is the type {c.__name__}, whose instances may hold state")
        self.members(c, label)

    def members(self, c: type, label: str) -> None:
        """Guard the attributes of a class that the code names or ran."""
        if c in self.classes:
            return
        self.classes.add(c)
        name = self.const(c, "t")
        seen: set[str] = set()
        for base in c.__mro__:
            if base is object:
                continue
            ours = base.__module__.split(".")[0] == "frankentorch" or base.__module__ == "torch"
            for n, v in list(vars(base).items()):
                if n in seen:
                    continue
                functions = [getattr(v, part) for part in ("fget", "fset", "__func__", "func") if getattr(v, part, None) is not None] or [v]
                ran = any(getattr(f, "__code__", None) in self.codes for f in functions)
                if ours:
                    ran = n in ("forward", "__call__", "_call_impl", "__getattr__")
                if not ran and (ours or n not in self.names or n.startswith("__")):
                    continue
                seen.add(n)
                if isinstance(v, (types.FunctionType, property, *ATOMS)):
                    self.guard(f"{name}.{n} is {self.const(v)}", f"{c.__name__}.{n}")
                else:
                    self.guard(f"{self.const(base, 't')}.__dict__.get({n!r}) is {self.const(v)}", f"{c.__name__}.{n}")
                if not ours:
                    for f in functions:
                        if f is v and isinstance(v, ATOMS):
                            continue
                        self.visit(f, f"{c.__name__}.{n}")

    # Instances --------------------------------------------------------------------------------------------------------
    def instance(self, obj: Any, label: str) -> None:
        from ..nn import Module
        from ..optim import SGD, Adam, AdamW, Optimizer
        from ..optim._scalars import ParamState, ScalarCell
        from .calls import Compiled

        kind = type(obj)
        if kind is ScalarCell:
            self.cell(obj, label)
        elif kind is ParamState:
            if obj:
                self.mapping(obj, self.const(obj, "c"), label)
            else:
                self.empties.append((self.const(obj, "c"), label))
        elif kind is Compiled:
            self.guard(f"{self.const(obj)}.fn is {self.const(obj.fn)}", label)
            self.visit(obj.fn, label)
        elif isinstance(obj, Module):
            self.attributes(obj, label, everything=True)
        elif isinstance(obj, Optimizer):
            if kind in (SGD, Adam, AdamW) and "param_groups" not in self.names:
                self._groups |= {id(g) for g in obj.param_groups}
            self.attributes(obj, label, everything=True)
        elif kind.__module__.split(".")[0] == "frankentorch" and kind.__name__ in ("no_grad", "enable_grad", "inference_mode"):
            return
        elif kind.__flags__ & _HEAP and hasattr(obj, "__dict__") and _ordinary(kind):
            self.attributes(obj, label, everything=False)
        else:
            raise Refused(f"{label} is a {kind.__name__}, which cannot be guarded")

    def cell(self, cell: Any, label: str) -> None:
        """A step count: followed from its value; cells of one value share a source."""
        name = self.const(cell, "c")
        self.guard(f"{name}.shown is None", f"{label} is being looked at")
        local = self._cell_source.get(cell.value)
        if cell.shown is not None:
            raise Refused(f"{label} is being looked at")
        if local is None:
            local = self._cell_source[cell.value] = f"s{len(self.sources)}_"
            self.sources.append((local, f"{name}.value", label))
            self.guard(f"type({local}) is float", label)
        else:
            self.guard(f"{name}.value == {local}", label)
        self.cells.append((cell, cell.value, name, local))

    def attributes(self, obj: Any, label: str, everything: bool) -> None:
        """An object's dictionary: all of it by identity, and the values of names that the code mentions followed."""
        table = vars(obj)
        self.guard(f"{self.const(obj)}.__dict__ is {self.const(table, 'c')}", f"the dictionary of {label}")
        only: set[str] | None = {n for n in table if n in self.names or everything and not _is_users(obj, n)}
        if table:
            self.mapping(table, self.const(table, "c"), label, only, ".{}")
        else:
            self.empties.append((self.const(table, "c"), label))
        self.members(type(obj), type(obj).__name__)
        if isinstance(obj, CONTAINERS):
            self.container(obj, label)


def _ordinary(kind: type) -> bool:
    """A class of Python code only: no C base with state of its own, no slots."""
    for base in kind.__mro__:
        if base in (object, list, dict, tuple) or base.__module__ in ("typing", "abc", "enum"):
            continue
        if not base.__flags__ & _HEAP or "__slots__" in vars(base) and vars(base)["__slots__"]:
            return False
    return True


_OWN_OF_MODULES: frozenset[str] | None = None


def _is_users(obj: Any, name: str) -> bool:
    """Whether an attribute was put there by the user's class, so that only code naming it can read it."""
    global _OWN_OF_MODULES
    if _OWN_OF_MODULES is None:
        from ..nn import Module

        _OWN_OF_MODULES = frozenset(vars(Module()))
    if type(obj).__module__.split(".")[0] in ("frankentorch", "torch"):
        return False
    return name not in _OWN_OF_MODULES and not name.startswith("_optimizer") and name not in ("state", "param_groups", "defaults")

