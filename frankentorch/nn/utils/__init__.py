"""torch.nn.utils: clipping gradients, vectors of parameters, packed sequences, weight reparametrisations.

Enters: modules, parameters, sequences. Leaves: the same, changed or rearranged.
"""

from __future__ import annotations

from typing import Any

from frankentorch.nn.utils import init, parametrizations, parametrize, rnn, stateless
from frankentorch.nn.utils.clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from frankentorch.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from frankentorch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval, fuse_linear_bn_weights
from frankentorch.nn.utils.init import skip_init
from frankentorch.nn.utils.weight_norm import remove_weight_norm, weight_norm

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "fuse_conv_bn_eval", "fuse_conv_bn_weights",
    "fuse_linear_bn_eval", "fuse_linear_bn_weights", "get_total_norm", "init", "parameters_to_vector", "parametrizations", "parametrize",
    "remove_weight_norm", "rnn",
    "skip_init", "stateless", "vector_to_parameters", "weight_norm",
]

_NOT_YET = ("convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format", "remove_spectral_norm", "spectral_norm", "prune")


def __getattr__(name: str) -> Any:
    if name in _NOT_YET:
        raise NotImplementedError(f"torch.nn.utils.{name} is not implemented")
    raise AttributeError(f"module 'torch.nn.utils' has no attribute '{name}'")
