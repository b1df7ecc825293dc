"""torch's home of PixelShuffle and PixelUnshuffle; see `shape`."""

from frankentorch.nn.modules.shape import PixelShuffle, PixelUnshuffle

__all__ = ["PixelShuffle", "PixelUnshuffle"]
