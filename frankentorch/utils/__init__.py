"""torch.utils: what is not tensor, module or optimizer. Here: `data`, the loading of data sets."""

from frankentorch.utils import data as data

__all__ = ["data"]
