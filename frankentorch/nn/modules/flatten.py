"""torch's home of Flatten and Unflatten; see `shape`."""

from frankentorch.nn.modules.shape import Flatten, Unflatten

__all__ = ["Flatten", "Unflatten"]
