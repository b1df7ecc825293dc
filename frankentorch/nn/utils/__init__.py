"""torch.nn.utils: clipping gradients, vectors of parameters, packed sequences, weight reparametrisations.

Enters: modules, parameters, sequences. Leaves: the same, changed or rearranged.
"""

from __future__ import annotations

from frankentorch.nn.utils import rnn

__all__ = ["rnn"]
