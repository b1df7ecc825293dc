"""torch.fft: not there yet. Each of its names is an error that says so."""

from __future__ import annotations

from ._missing import getattr_of

__getattr__ = getattr_of("fft")
