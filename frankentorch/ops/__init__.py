"""The op table and torch's functions over it.

Enters: row definitions, one file a family. Leaves: `table.ROWS` and `define.API`. Importing this package fills both.
"""

from . import (  # noqa: F401
    activation,
    arith,
    attention,
    complex_views,
    contract,
    convolve,
    create,
    index,
    losses,
    movement,
    normalise,
    pairs,
    pointwise,
    rand,
    reduce,
    scan,
    sort,
    split,
    stacking,
    tapers,
    window,
)
