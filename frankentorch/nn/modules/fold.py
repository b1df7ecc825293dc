"""torch's home of Fold and Unfold; see `shape`."""

from frankentorch.nn.modules.shape import Fold, Unfold

__all__ = ["Fold", "Unfold"]
