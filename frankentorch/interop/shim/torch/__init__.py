"""The name ``torch`` in processes that start afresh under the alias.

Enters: ``import torch`` in a child whose parent put this folder on ``sys.path`` (multiprocessing hands ``sys.path`` on to what it spawns).
Leaves: the alias, installed; the import system then finds FrankenTorch under this name.
"""

import sys

from frankentorch.interop import alias

del sys.modules[__name__]
alias.install()
