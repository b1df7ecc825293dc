"""The memory format and layout singletons of torch.

Enters: nothing. Leaves: `contiguous_format`, `channels_last`, ... and `strided`, `sparse_coo`, ... FrankenTorch tensors are
strided; the other layouts exist to be compared with and to be named in errors.
"""

from __future__ import annotations

from typing import NoReturn


class _Named:
    """A value known by its name alone: compared by identity, copied and pickled to itself."""

    __slots__ = ("_name",)
    _name: str

    def __new__(cls, *args: object, **kwargs: object) -> _Named:  # noqa: PYI034 (it never returns)
        raise TypeError(f"cannot create 'torch.{cls.__name__}' instances")

    def __repr__(self) -> str:
        return f"torch.{self._name}"

    def __setattr__(self, attribute: str, value: object) -> NoReturn:
        raise AttributeError(f"'torch.{type(self).__name__}' object has no attribute '{attribute}'")

    def __reduce__(self) -> tuple[object, ...]:
        return _by_name, (self._name,)


class memory_format(_Named):
    """The order of a tensor's dimensions in memory."""

    __slots__ = ()
    __module__ = "torch"


class layout(_Named):
    """How a tensor's elements are found: by strides, or by index lists."""

    __slots__ = ()
    __module__ = "torch"


def _by_name(name: str) -> _Named:
    found: _Named = globals()[name]
    return found


def _format(name: str) -> memory_format:
    self: memory_format = object.__new__(memory_format)
    object.__setattr__(self, "_name", name)
    return self


def _layout(name: str) -> layout:
    self: layout = object.__new__(layout)
    object.__setattr__(self, "_name", name)
    return self


contiguous_format = _format("contiguous_format")
channels_last = _format("channels_last")
channels_last_3d = _format("channels_last_3d")
preserve_format = _format("preserve_format")

strided = _layout("strided")
sparse_coo = _layout("sparse_coo")
sparse_csr = _layout("sparse_csr")
sparse_csc = _layout("sparse_csc")
sparse_bsr = _layout("sparse_bsr")
sparse_bsc = _layout("sparse_bsc")
jagged = _layout("jagged")
