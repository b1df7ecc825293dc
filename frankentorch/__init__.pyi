from typing import Any

from .ops.rand import Generator as Generator
from .size import Size as Size
from .tensor import Tensor as Tensor

# Names that are submodules here and functions or classes in torch.
tensor: Any
device: Any
dtype: Any
compiler: Any

def __getattr__(name: str) -> Any: ...
