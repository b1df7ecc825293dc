"""FrankenTorch's own errors, and torch's named ones.

Enters: nothing. Leaves: exception classes. Where torch raises a builtin (TypeError, RuntimeError, ...) so do we; a class
lives here only when torch has it by name, or when torch has no such failure. Each docstring gives cause, example, remedy.
"""

from __future__ import annotations


class NotImplementedYet(NotImplementedError):
    """A part of torch that FrankenTorch does not have.

    Cause: the program asks for a named feature nothing here implements; nothing was changed by the call.
    Example: ``torch.complex32.np`` (no arithmetic is defined on half-precision complex numbers).
    Remedy: use what the message offers instead, or open an issue that quotes the name in the message.
    """


class MissingName(NotImplementedYet, AttributeError):
    """A name torch exports and FrankenTorch knows, but does not have; ``hasattr`` answers False.

    Cause: an attribute of a torch module is looked up that stands for a missing feature.
    Example: ``torch.float8_e4m3fn``.
    Remedy: guard the use with ``hasattr(torch, name)``, or use the type the message names.
    """


class InterpreterError(RuntimeError):
    """The reference interpreter met IR it cannot give a meaning to.

    Cause: a module holds an op without a reference rule, or an operand has a value its op does not admit.
    Example: ``ft opt -t run`` on a module in which a pass left an unregistered op.
    Remedy: dump the module after each pass (``ft dump --after PASS``); the first that fails names the faulty pass.
    """


class CacheDamaged(Warning):
    """An entry of the on-disk cache failed its checksum; it was set aside and made anew, so results are not affected.

    Cause: a torn write, a full disk, or a file edited by hand.
    Example: a cached kernel object truncated by a full disk.
    Remedy: none needed for correctness; if it recurs, check the disk or point the cache elsewhere.
    """


class OutOfMemoryError(RuntimeError):
    """torch's name for a failed allocation.

    Cause: the buffers of a pending program do not fit; they are reserved before any write, so no tensor has changed.
    Example: ``torch.empty(2**50)``.
    Remedy: the message names the largest op; shrink its operands or run it in pieces.
    """


class LinAlgError(RuntimeError):
    """torch's name for a linear algebra routine that found its operand unfit.

    Cause: a singular matrix, one that is not positive definite, or an iteration that did not converge.
    Example: ``torch.linalg.inv(torch.zeros(2, 2))``.
    Remedy: check the conditioning of the operand; the ``*_ex`` variants report the failure without raising.
    """
