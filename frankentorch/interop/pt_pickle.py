"""Pickles as torch's files hold them: a writer that names torch's globals, and a reader that runs nothing it does not know.

Enters (`dumps`): an object, with a function that turns special objects into calls of named globals. Enters (`loads`): bytes, a
table of the globals that may be named, and a function for storages. Leaves: bytes, or the object. The reader is a stack machine of
its own, not `pickle.Unpickler`: every opcode that could call something checks what it calls, and anything unknown is an error.
"""

from __future__ import annotations

import codecs
import io
import pickle
import struct
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any


class UnsafeGlobalError(pickle.UnpicklingError):
    """A file names a function or class that loading may not use; nothing of it was called.

    Cause: the pickle inside the file refers to a global outside the list of tensors, dtypes and plain containers.
    Example: a whole model saved with ``torch.save(model, f)``, or a file made to run ``os.system``.
    Remedy: save ``model.state_dict()`` instead; if the file is trusted, list the named class with ``add_safe_globals``.
    """


class CorruptFileError(RuntimeError):
    """A file is not what its format says: cut short, changed, or made by hand. Nothing was returned.

    Cause: an interrupted download or save, a damaged disk, or contents that contradict each other.
    Example: a record whose CRC-32 differs from the archive's directory; a tensor that reaches past its storage.
    Remedy: fetch or save the file again; the message names the record.
    """


# -- writing -------------------------------------------------------------------------------------------------------------------


class TorchGlobal:
    """A global of torch by name, written without importing torch."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *_: Any) -> Any:
        raise TypeError(f"{self.module}.{self.name} stands for a name in a file")


# What a reducer gives: the global, its arguments, or a bare global, or NotImplemented.
Reducer = Callable[[Any], Any]

_OURS, _THEIRS = "frankentorch", "torch"


def their_module(module: str) -> str:
    """The torch module that a module of this package stands in for."""
    return _THEIRS + module[len(_OURS) :] if module == _OURS or module.startswith(_OURS + ".") else module


class _Writer(pickle._Pickler):
    """Protocol 2, as torch writes. The pure-Python pickler: the C one insists on importing every global it writes."""

    dispatch: dict[type, Callable[[Any, Any], None]] = dict(pickle._Pickler.dispatch)  # type: ignore[assignment, arg-type, misc]
    memo: Any

    def __init__(self, out: io.BytesIO, reduce: Reducer, persistent_id: Callable[[Any], Any]) -> None:
        super().__init__(out, protocol=2)
        self._reduce, self._persistent_id = reduce, persistent_id
        self._globals: dict[tuple[str, str], TorchGlobal] = {}
        self._named: dict[int, TorchGlobal] = {}

    def persistent_id(self, obj: Any) -> Any:
        return self._persistent_id(obj)

    def reducer_override(self, obj: Any) -> Any:
        made = NotImplemented if isinstance(obj, TorchGlobal) else self._reduce(obj)
        if isinstance(made, TorchGlobal):
            # A string makes the pickler call save_global, which finds the name here.
            self._named[id(obj)] = made
            return made.name
        return made

    def save_torch_global(self, obj: TorchGlobal) -> None:
        # One object a name, so that a second mention is a memo reference.
        obj = self._globals.setdefault((obj.module, obj.name), obj)
        if id(obj) in self.memo:
            self.write(self.get(self.memo[id(obj)][0]))  # type: ignore[attr-defined]
            return
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if id(obj) in self._named:
            self.save_torch_global(self._named[id(obj)])
            return
        module: str = str(getattr(obj, "__module__", None) or "")
        qualname = name or str(getattr(obj, "__qualname__", ""))
        if their_module(module) == module or "." in qualname:
            super().save_global(obj, name)  # type: ignore[misc]
            return
        if getattr(sys.modules.get(module), qualname, None) is not obj:
            raise pickle.PicklingError(f"Can't pickle {obj}: it's not found as {module}.{qualname}")
        self.save_torch_global(TorchGlobal(their_module(module), qualname))

    def save_bytes(self, obj: bytes) -> None:
        # Protocol 2 would call `bytes` for an empty one, which torch's loader refuses.
        self.save_reduce(codecs.encode, (str(obj, "latin1"), "latin1"), obj=obj)  # type: ignore[attr-defined]

    dispatch[bytes] = save_bytes
    dispatch[TorchGlobal] = save_torch_global
    dispatch[FunctionType] = lambda self, obj: self.save_global(obj)


def dumps(obj: Any, reduce: Reducer, persistent_id: Callable[[Any], Any]) -> bytes:
    """Pickle `obj`.

    `reduce(x)` gives a `TorchGlobal` that x is, a pair (global, arguments) that makes it, or NotImplemented;
    `persistent_id(x)` gives a tuple for what is stored outside the pickle, else None.
    """
    out = io.BytesIO()
    _Writer(out, reduce, persistent_id).dump(obj)
    return out.getvalue()


# -- reading -------------------------------------------------------------------------------------------------------------------

# Python 2 names that protocol 2 still writes.
_MODERN = {"__builtin__": "builtins", "copy_reg": "copyreg"}

# Classes whose instances a file may make with NEWOBJ and fill with BUILD.
_PLAIN_CLASSES: tuple[type, ...] = (OrderedDict, Counter)

_MARK = object()


def _op(code: bytes) -> Callable[[Callable[[_Machine], None]], Callable[[_Machine], None]]:
    def register(method: Callable[[_Machine], None]) -> Callable[[_Machine], None]:
        _OPS[code[0]] = method
        return method

    return register


_OPS: dict[int, Callable[[Any], None]] = {}


class _Machine:
    """The pickle machine. `table` maps "module.name" to what that name means here; nothing else is ever looked up."""

    def __init__(
        self, data: bytes, table: Mapping[str, Any], persistent: Callable[[Any], Any], classes: frozenset[type]
    ) -> None:
        self.data, self.at = data, 0
        self.table, self.persistent = table, persistent
        self.classes = classes | frozenset(_PLAIN_CLASSES)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        # Callables this file has named, by identity: REDUCE takes these and no others.
        self.named: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self.take(1)[0]
            if code == pickle.STOP[0]:
                if len(self.stack) != 1:
                    raise CorruptFileError(f"pickle ends with {len(self.stack)} values on its stack")
                return self.stack[0]
            step = _OPS.get(code)
            if step is None:
                raise CorruptFileError(f"pickle opcode {bytes([code])!r} is not part of torch's files")
            step(self)

    # -- bytes -----------------------------------------------------------------------------------------------------------------

    def take(self, n: int) -> bytes:
        if n < 0 or self.at + n > len(self.data):
            raise CorruptFileError("pickle is cut short")
        piece = self.data[self.at : self.at + n]
        self.at += n
        return piece

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise CorruptFileError("pickle is cut short")
        return self.take(end - self.at + 1)[:-1]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    # -- the stack -------------------------------------------------------------------------------------------------------------

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise CorruptFileError("pickle takes a value its stack does not hold")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise CorruptFileError("pickle takes a mark its stack does not hold")

    def top(self, kind: type | tuple[type, ...]) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise CorruptFileError(f"pickle fills a {type(self.stack[-1]).__name__ if self.stack else 'missing value'} as a container")
        return self.stack[-1]

    def find(self, module: str, name: str) -> Any:
        full = f"{_MODERN.get(module, module)}.{name}"
        if full not in self.table:
            raise UnsafeGlobalError(
                f"Weights only load failed. Unsupported global: GLOBAL {full} was not an allowed global by default. "
                "Nothing of the file was used. If you trust it, allow this name with `add_safe_globals`, or save a state_dict instead."
            )
        value = self.table[full]
        if callable(value):
            self.named[id(value)] = value
        return value

    def call(self, func: Any, args: Any) -> Any:
        if id(func) not in self.named:
            raise UnsafeGlobalError(f"Weights only load failed. The file calls {type(func).__name__!r}, which it did not name as a global.")
        if not isinstance(args, tuple):
            raise CorruptFileError("pickle calls with arguments that are no tuple")
        return func(*args)

    def set_items(self, target: Any, items: list[Any]) -> None:
        if len(items) % 2:
            raise CorruptFileError("pickle gives a dict half an item")
        for key, value in zip(items[::2], items[1::2]):
            target[key] = value

    def build(self, obj: Any, state: Any) -> None:
        """Fill an instance. Only containers known here and classes the user listed have anything to fill."""
        if type(obj) not in self.classes:
            raise UnsafeGlobalError(f"Weights only load failed. The file sets the state of a {type(obj).__qualname__}, which is not allowed.")
        if type(obj) not in _PLAIN_CLASSES and hasattr(obj, "__setstate__"):
            obj.__setstate__(state)
            return
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        for part in (attributes, slots):
            if part is not None and not (isinstance(part, dict) and all(isinstance(key, str) for key in part)):
                raise CorruptFileError("pickle sets a state that is no dict of attributes")
        obj.__dict__.update(attributes or {})
        for key, value in (slots or {}).items():
            setattr(obj, key, value)


def _constant(code: bytes, make: Callable[[], Any]) -> None:
    _OPS[code[0]] = lambda m: m.stack.append(make())


def _value(code: bytes, read: Callable[[_Machine], Any]) -> None:
    _OPS[code[0]] = lambda m: m.stack.append(read(m))


_constant(pickle.MARK, lambda: _MARK)
_constant(pickle.NONE, lambda: None)
_constant(pickle.NEWTRUE, lambda: True)
_constant(pickle.NEWFALSE, lambda: False)
_constant(pickle.EMPTY_TUPLE, lambda: ())
_constant(pickle.EMPTY_LIST, list)
_constant(pickle.EMPTY_DICT, dict)
_constant(pickle.EMPTY_SET, set)

_value(pickle.BININT, lambda m: m.number("<i"))
_value(pickle.BININT1, lambda m: m.number("<B"))
_value(pickle.BININT2, lambda m: m.number("<H"))
_value(pickle.BINFLOAT, lambda m: m.number(">d"))
_value(pickle.LONG1, lambda m: int.from_bytes(m.take(m.number("<B")), "little", signed=True))
_value(pickle.LONG4, lambda m: int.from_bytes(m.take(m.number("<i")), "little", signed=True))
_value(pickle.SHORT_BINUNICODE, lambda m: str(m.take(m.number("<B")), "utf-8", "surrogatepass"))
_value(pickle.BINUNICODE, lambda m: str(m.take(m.number("<I")), "utf-8", "surrogatepass"))
_value(pickle.BINUNICODE8, lambda m: str(m.take(m.number("<Q")), "utf-8", "surrogatepass"))
_value(pickle.SHORT_BINSTRING, lambda m: str(m.take(m.number("<B")), "latin1"))
_value(pickle.SHORT_BINBYTES, lambda m: m.take(m.number("<B")))
_value(pickle.BINBYTES, lambda m: m.take(m.number("<I")))
_value(pickle.BINBYTES8, lambda m: m.take(m.number("<Q")))
_value(pickle.BYTEARRAY8, lambda m: bytearray(m.take(m.number("<Q"))))
_value(pickle.TUPLE, lambda m: tuple(m.pop_to_mark()))
_value(pickle.TUPLE1, lambda m: (m.pop(),))
_value(pickle.TUPLE2, lambda m: (m.pop(), m.pop())[::-1])
_value(pickle.TUPLE3, lambda m: (m.pop(), m.pop(), m.pop())[::-1])
_value(pickle.FROZENSET, lambda m: frozenset(m.pop_to_mark()))
_value(pickle.BINPERSID, lambda m: m.persistent(m.pop()))
_value(pickle.GLOBAL, lambda m: m.find(str(m.line(), "utf-8"), str(m.line(), "utf-8")))


@_op(pickle.PROTO)
def _proto(m: _Machine) -> None:
    version = m.number("<B")
    if version > 5:
        raise CorruptFileError(f"pickle protocol {version} is unknown")


@_op(pickle.FRAME)
def _frame(m: _Machine) -> None:
    m.number("<Q")


@_op(pickle.POP)
def _pop(m: _Machine) -> None:
    m.pop()


@_op(pickle.BINPUT)
def _binput(m: _Machine) -> None:
    m.memo[m.number("<B")] = m.top(object)


@_op(pickle.LONG_BINPUT)
def _long_binput(m: _Machine) -> None:
    m.memo[m.number("<I")] = m.top(object)


@_op(pickle.MEMOIZE)
def _memoize(m: _Machine) -> None:
    m.memo[len(m.memo)] = m.top(object)


@_op(pickle.BINGET)
def _binget(m: _Machine) -> None:
    m.stack.append(m.memo[m.number("<B")])


@_op(pickle.LONG_BINGET)
def _long_binget(m: _Machine) -> None:
    m.stack.append(m.memo[m.number("<I")])


@_op(pickle.STACK_GLOBAL)
def _stack_global(m: _Machine) -> None:
    name, module = m.pop(), m.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise CorruptFileError("pickle names a global by something other than text")
    m.stack.append(m.find(module, name))


@_op(pickle.APPEND)
def _append(m: _Machine) -> None:
    item = m.pop()
    m.top(list).append(item)


@_op(pickle.APPENDS)
def _appends(m: _Machine) -> None:
    items = m.pop_to_mark()
    m.top(list).extend(items)


@_op(pickle.ADDITEMS)
def _additems(m: _Machine) -> None:
    items = m.pop_to_mark()
    m.top(set).update(items)


@_op(pickle.SETITEM)
def _setitem(m: _Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items(m.top(dict), [key, value])


@_op(pickle.SETITEMS)
def _setitems(m: _Machine) -> None:
    items = m.pop_to_mark()
    m.set_items(m.top(dict), items)


@_op(pickle.REDUCE)
def _reduce(m: _Machine) -> None:
    args, func = m.pop(), m.pop()
    m.stack.append(m.call(func, args))


@_op(pickle.NEWOBJ)
def _newobj(m: _Machine) -> None:
    args, cls = m.pop(), m.pop()
    if cls not in m.classes or not isinstance(args, tuple):
        raise UnsafeGlobalError("Weights only load failed. The file makes an instance of a class that is not allowed.")
    m.stack.append(cls.__new__(cls, *args))


@_op(pickle.BUILD)
def _build(m: _Machine) -> None:
    state = m.pop()
    m.build(m.top(object), state)


def loads(
    data: bytes,
    table: Mapping[str, Any],
    persistent: Callable[[Any], Any],
    classes: frozenset[type] = frozenset(),
) -> Any:
    """The object. Raises UnsafeGlobalError for a global outside `table`, CorruptFileError for bytes that are no sound pickle.

    Callables in `table` may be called with whatever the file gives; they have to check their arguments. Instances of `classes`
    may be made and filled as well.
    """
    machine = _Machine(data, table, persistent, classes)
    try:
        return machine.run()
    except (pickle.UnpicklingError, CorruptFileError):
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError, struct.error) as error:
        raise CorruptFileError(f"pickle is damaged near byte {machine.at}: {type(error).__name__}: {error}") from error
