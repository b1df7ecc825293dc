"""What type checkers see: the classes and packages that annotations name; everything else, which the op table makes, is `Any`."""

from typing import Any

from . import autograd as autograd
from . import nn as nn
from . import optim as optim
from . import utils as utils
from .device import device as device
from .dtypes import dtype as dtype
from .ops.rand import Generator as Generator
from .size import Size as Size
from .tensor import Tensor as Tensor

__version__: str
# Names that are submodules here and functions in torch.
tensor: Any
compiler: Any

# Without annotations on purpose: mypy gives up on annotated ones within import cycles.
def __getattr__(name): ...
