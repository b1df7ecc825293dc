"""FrankenTorch: PyTorch for the CPU as a tensor compiler. ``import frankentorch as torch``."""

from . import _namespace

_namespace.fill(globals())
del _namespace
