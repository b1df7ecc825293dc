"""torch's home of Upsample and UpsamplingBilinear2d and UpsamplingNearest2d; see `shape`."""

from frankentorch.nn.modules.shape import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]
