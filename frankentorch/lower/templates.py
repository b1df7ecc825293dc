"""Which lowering a row's ``template:NAME`` trait asks for.

Enters: a name. Leaves: a function of (sig, tier) to kernels. Operands in argument words are numbered: inputs, outputs, temporaries. A
row with the trait ``updates:K`` finds the values of operand K in its output 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from frankentorch.lower import gather, scan, scatter, sort, window

if TYPE_CHECKING:
    from frankentorch.lower.kernel import Lowered
    from frankentorch.ops.record import Sig

Template = Callable[["Sig", str], list["Lowered"]]

TEMPLATES: dict[str, Template] = {
    "index_select": gather.index_select, "gather": gather.gather, "index": gather.index, "compact": gather.compact,
    "scatter": scatter.scatter, "scatter_reduce": scatter.scatter_reduce, "index_copy": scatter.index_copy, "index_add": scatter.index_add,
    "index_put": scatter.index_put,
    "cumsum": scan.scan("sum"), "cumprod": scan.scan("product"), "logcumsumexp": scan.scan("logsumexp"), "cummax": scan.scan("max"),
    "cummin": scan.scan("min"),
    "max_windows": window.max_windows, "sum_windows": window.sum_windows, "spread_windows": window.spread_windows, "im2col": window.im2col,
    "col2im": window.col2im,
    "sort": sort.sort, "topk": sort.topk, "searchsorted": sort.searchsorted,
}
