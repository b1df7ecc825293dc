"""Grad modes as context managers and decorators: no_grad, enable_grad, set_grad_enabled, inference_mode."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..ops.record import state


class _Mode:
    """A mode usable as ``with mode():``, as ``@mode()`` and as ``@mode``."""

    def __new__(cls, orig_func: Any = None, *args: Any, **kwargs: Any) -> Any:
        if callable(orig_func) and cls is not set_grad_enabled:
            return object.__new__(cls)(orig_func)
        return object.__new__(cls)

    def __init__(self, *args: Any) -> None:
        self.before: list[bool] = []

    enabled = False

    def __enter__(self) -> None:
        self.before.append(state.grad)
        state.grad = self.enabled

    def __exit__(self, *exc: object) -> None:
        state.grad = self.before.pop()

    def clone(self) -> Any:
        return type(self)()

    def __call__(self, fn: Callable[..., Any]) -> Any:
        if inspect.isclass(fn):
            setattr(fn, "__init__", self(fn.__init__))  # noqa: B010
            return fn
        if inspect.isgeneratorfunction(fn):
            @functools.wraps(fn)
            def generator(*args: Any, **kwargs: Any) -> Any:
                gen = fn(*args, **kwargs)
                sent: Any = None
                while True:
                    with self.clone():
                        try:
                            item = gen.send(sent)
                        except StopIteration as e:
                            return e.value
                    sent = yield item

            return generator

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return fn(*args, **kwargs)

        return wrapped


class no_grad(_Mode):
    """Record no tape."""


class enable_grad(_Mode):
    """Record the tape, inside a no_grad block."""

    enabled = True


class set_grad_enabled(_Mode):
    """Record the tape or not, from now on (or for a ``with`` block)."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.enabled = bool(mode)
        self.outer = state.grad
        state.grad = self.enabled

    def __enter__(self) -> None:
        self.before.append(self.outer)
        state.grad = self.enabled

    def __call__(self, fn: Callable[..., Any]) -> Any:
        state.grad = self.outer
        return super().__call__(fn)

    def clone(self) -> Any:
        return set_grad_enabled(self.enabled)


class inference_mode(_Mode):
    """no_grad, and no version counting is asked for."""

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = mode if isinstance(mode, bool) else True
        self.inference: list[bool] = []

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode) and not isinstance(mode, bool):
            made = object.__new__(cls)
            made.__init__(True)  # type: ignore[misc]
            return made(mode)
        return object.__new__(cls)

    def __enter__(self) -> None:
        self.before.append(state.grad)
        self.inference.append(state.inference)
        if self.mode:
            state.grad = False
        state.inference = self.mode

    def __exit__(self, *exc: object) -> None:
        state.grad = self.before.pop()
        state.inference = self.inference.pop()

    def clone(self) -> Any:
        return inference_mode(self.mode)


def is_grad_enabled() -> bool:
    """Whether the tape grows now."""
    return state.grad


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on."""
    return state.inference
