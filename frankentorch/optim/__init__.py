"""torch.optim: optimizers, learning-rate schedules and weight averaging, over torch's public tensor API.

Enters: parameters with gradients. Leaves: parameters updated in place; each step only records ops.
"""

import importlib
from typing import Any

from frankentorch.optim import lr_scheduler as lr_scheduler
from frankentorch.optim._adafactor import Adafactor
from frankentorch.optim._muon import Muon
from frankentorch.optim._stateless import swap_in_optimizer_params_and_state
from frankentorch.optim.adadelta import Adadelta
from frankentorch.optim.adagrad import Adagrad
from frankentorch.optim.adam import Adam
from frankentorch.optim.adamax import Adamax
from frankentorch.optim.adamw import AdamW
from frankentorch.optim.asgd import ASGD
from frankentorch.optim.lbfgs import LBFGS
from frankentorch.optim.nadam import NAdam
from frankentorch.optim.optimizer import Optimizer
from frankentorch.optim.radam import RAdam
from frankentorch.optim.rmsprop import RMSprop
from frankentorch.optim.rprop import Rprop
from frankentorch.optim.sgd import SGD
from frankentorch.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
    "swap_in_optimizer_params_and_state",
]


def __getattr__(name: str) -> Any:
    # Weight averaging is a module, and optimizers are wanted without nn.
    if name == "swa_utils":
        return importlib.import_module("frankentorch.optim.swa_utils")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
