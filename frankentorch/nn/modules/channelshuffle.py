"""torch's home of ChannelShuffle; see `shape`."""

from frankentorch.nn.modules.shape import ChannelShuffle

__all__ = ["ChannelShuffle"]
