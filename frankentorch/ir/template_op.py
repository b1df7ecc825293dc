"""The `template` dialect: calls of kernels that a template writes, where fusion's own nests do not apply.

Enters: `ft-lower-to-loops` leaves one `template.call` for each kernel whose row names a template (contractions, convolutions,
gathers, scans, ...). Leaves: what the template needs to write LLVM text: the row, its static attributes and the operand types. ::

    %y = template.call "mm" {}(%a, %b) : !ft.tensor<[4, 2], f32>
"""

from __future__ import annotations

from xdsl.dialects.builtin import DictionaryAttr, StringAttr
from xdsl.ir import Dialect
from xdsl.irdl import IRDLOperation, irdl_op_definition, prop_def, var_operand_def, var_result_def

from .dialect import Number, Tensor

__all__ = ["CallOp", "Templates"]


@irdl_op_definition
class CallOp(IRDLOperation):
    """One template kernel."""

    name = "template.call"
    row = prop_def(StringAttr)
    statics = prop_def(DictionaryAttr)
    inputs = var_operand_def(Tensor | Number)
    outs = var_result_def(Tensor)
    assembly_format = "$row `with` $statics `(` $inputs `:` type($inputs) `)` attr-dict `->` type($outs)"


Templates = Dialect("template", [CallOp], [])
