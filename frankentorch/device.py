"""Devices: the `device` type, the default device of each thread, and the refusal of devices that are not here.

Enters: device strings and (type, index) pairs. Leaves: interned `device` objects. Tensors live on ``cpu`` or ``meta`` (a
shape and dtype without memory); any other device can be named, as in torch, and is refused where a tensor would use it.
"""

from __future__ import annotations

import re
import threading
from typing import Any, NoReturn

TYPES = ("cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy", "vulkan",
         "mps", "meta", "hpu", "mtia", "privateuseone")
_DEVICE_STRING = re.compile(r"([a-zA-Z_]+)(?::(0|[1-9][0-9]*))?", re.ASCII)
_GREATEST_INDEX = 127


class device:
    """A place for tensors: a `type` and an `index` (None when not given). Interned and immutable.

    As a context manager it is the thread's default device: ``with torch.device("meta"): ...``.
    """

    __slots__ = ("_hash", "_text", "index", "type")
    __module__ = "torch"

    type: str
    index: int | None

    def __new__(cls, *args: Any, **kwargs: Any) -> device:  # noqa: PYI034 (the class admits no subclass)
        if len(args) == 1 and not kwargs:
            known = _INTERNED.get(args[0]) if isinstance(args[0], (str, device)) else None
            if known is not None:
                return known
        return _construct(args, kwargs)

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type 'torch.device' is not an acceptable base type")

    def __setattr__(self, attribute: str, value: object) -> NoReturn:
        if attribute in ("type", "index"):
            raise AttributeError(f"attribute '{attribute}' of 'torch.device' objects is not writable")
        raise AttributeError(f"'torch.device' object has no attribute '{attribute}'")

    def __getattr__(self, attribute: str) -> NoReturn:
        raise AttributeError(f"'torch.device' object has no attribute '{attribute}'")

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return self._hash

    def __lt__(self, other: object) -> Any:
        if isinstance(other, device):
            raise TypeError("comparison not implemented")
        return NotImplemented

    __le__ = __gt__ = __ge__ = __lt__

    def __reduce__(self) -> tuple[Any, ...]:
        return _intern, (self.type, self.index)

    def __enter__(self) -> device:  # noqa: PYI034
        _thread.entered.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _thread.entered.pop()


_INTERNED: dict[str | device, device] = {}


def _intern(type_: str, index: int | None) -> device:
    text = type_ if index is None else f"{type_}:{index}"
    known = _INTERNED.get(text)
    if known is not None:
        return known
    self: device = object.__new__(device)
    for attribute, value in (("type", type_), ("index", index), ("_text", text), ("_hash", hash((type_, index)))):
        object.__setattr__(self, attribute, value)
    _INTERNED[self] = self
    return _INTERNED.setdefault(text, self)


def _parse(text: str) -> device:
    if not text:
        raise RuntimeError("Device string must not be empty")
    match = _DEVICE_STRING.fullmatch(text)
    if match is None:
        raise RuntimeError(f"Invalid device string: '{text}'")
    type_, index = match[1], match[2]
    if type_ not in TYPES:
        raise RuntimeError(f"Expected one of {', '.join(TYPES)} device type at start of device string: {type_}")
    if index is not None and int(index) > _GREATEST_INDEX:
        raise RuntimeError(f"Could not parse device index '{index}' in device string '{text}'")
    return _intern(type_, None if index is None else int(index))


def _construct(args: tuple[Any, ...], kwargs: dict[str, Any]) -> device:
    """The two signatures: (device | type string | accelerator index) and (type, index)."""
    if len(args) + len(kwargs) == 1 and not kwargs.keys() - {"device", "type"}:
        value = args[0] if args else next(iter(kwargs.values()))
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, device):
            return value
        if isinstance(value, str):
            return _parse(value)
        if isinstance(value, int) and not isinstance(value, bool):
            _check_index(value)
            raise RuntimeError("Cannot access accelerator device when none is available.")
        raise _bad_arguments(args, kwargs)
    given = dict(zip(("type", "index"), args, strict=False)) | kwargs
    if "device" in given and "index" in given:
        raise TypeError('device() missing 1 required positional arguments: "type"')
    if len(args) > 2 or given.keys() - {"type", "index"} or "type" not in given:
        raise _bad_arguments(args, kwargs)
    type_, index = given["type"], given.get("index")
    if not isinstance(type_, str):
        raise TypeError(f"device(): argument 'type' (position 1) must be str, not {_name(type_)}")
    if index is not None and (isinstance(index, bool) or not hasattr(index, "__index__")):
        raise TypeError(f"device(): argument 'index' (position 2) must be int, not {_name(index)}")
    found = _parse(type_)
    if found.index is not None:
        raise RuntimeError(f"type (string) must not include an index because index was passed explicitly: {type_}")
    if index is None:
        return found
    _check_index(int(index))
    return _intern(found.type, int(index))


def _check_index(index: int) -> None:
    if index < 0:
        raise RuntimeError("Device index must not be negative")
    if index > _GREATEST_INDEX:
        raise RuntimeError(f"Device index must be at most {_GREATEST_INDEX}, got {index}")


def _name(value: object) -> str:
    return "torch.device" if isinstance(value, device) else type(value).__name__


def _bad_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> TypeError:
    if not args and not kwargs:
        got, why = "", ""
    elif kwargs:
        got = ", ".join([*map(_name, args), *(f"{k}={_name(v)}" for k, v in kwargs.items())]) + ", "
        why = f"      didn't match because some of the keywords were incorrect: {', '.join(kwargs)}\n"
    else:
        got = ", ".join(map(_name, args))
        why = f"      didn't match because some of the arguments have invalid types: (!{got}!)\n" if len(args) == 1 else ""
    return TypeError(f"device() received an invalid combination of arguments - got ({got}), but expected one of:\n"
                     f" * (torch.device device)\n{why} * (str type, int index = -1)\n")


CPU = _intern("cpu", None)
META = _intern("meta", None)


# The default device ---------------------------------------------------------------------------------------------------
class _Thread(threading.local):
    """A thread's default device and the devices whose ``with`` blocks it is inside."""

    def __init__(self) -> None:
        self.default = CPU
        self.entered: list[device] = []


_thread = _Thread()


def get_default_device() -> device:
    """The device a factory function uses when none is given; refuses one that is not here."""
    found = current_device()
    require(found)
    return found


def current_device() -> device:
    """The innermost ``with device`` of this thread, else its `set_default_device`. Unchecked and cheap."""
    return _thread.entered[-1] if _thread.entered else _thread.default


def set_default_device(where: device | str | int | None) -> None:
    """Set this thread's default device; None restores the cpu."""
    _thread.default = CPU if where is None else device(where)


def require(where: device) -> None:
    """Raise torch's error for a device no tensor can be on here."""
    if where.type in ("cpu", "meta"):
        return
    if where.type in ("cuda", "xpu", "mtia"):
        raise AssertionError(f"Torch not compiled with {where.type.upper()} enabled")
    raise NotImplementedError(f"Could not run 'aten::empty.memory_format' with arguments from the '{where.type.upper()}' backend. "
                              "FrankenTorch computes on cpu and meta only.")


def tensor_device(where: device | str | int | None = None, function: str = "empty") -> device:
    """The device of a tensor made with ``device=where``: `CPU` or `META`, without an index, as torch reports it."""
    if where is None:
        found = current_device()
    elif isinstance(where, (device, str, int)):
        found = device(where)
    else:
        raise TypeError(f"{function}(): argument 'device' must be torch.device, not {type(where).__name__}")
    require(found)
    return META if found.type == "meta" else CPU
