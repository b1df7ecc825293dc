"""The `call` dialect: calls of kernels, what is left of ``ft.kernel`` once its loops are functions of their own.

Enters: `ft-lower-to-loops`. Leaves: everything that binding a program needs. ``call.loops`` runs kernels of the `loops` dialect, which stand beside
@main, on its operands and results; ``call.template`` names a row whose kernels a template writes as LLVM text (contractions,
convolutions, gathers, scans, copies, ...) and carries what the template needs: static attributes and operand types. ::

    %y = call.loops(%x) [["k_1f", 4, 1, 0, ["ptr", 0, 0], ["ptr", 1, 0], 4096]] : !ft.tensor<[4096], f32>
    %z = call.template "mm"(%a, %b) {} : !ft.tensor<[4, 2], f32>

A kernel call is ``[symbol, units, grain, scratch bytes, words...]``. A word is an integer, ``["ptr", operand, byte offset]``,
``["scalar", operand]`` or ``["temp", operand, byte offset, bytes]``, with inputs numbered first, then results, then temporaries.
"""

from __future__ import annotations

from typing import Any

from xdsl.dialects.builtin import DictionaryAttr, StringAttr
from xdsl.ir import Attribute, Dialect, Operation
from xdsl.irdl import IRDLOperation, irdl_op_definition, prop_def, var_operand_def, var_result_def
from xdsl.parser import Parser
from xdsl.printer import Printer

from ..ops.record import Sig
from ..ops.table import ROWS
from . import verify
from .dialect import VALUE, Static, Tensor, attr_names, parse_operands, parse_static, static, static_text


def _print_types(op: Operation, printer: Printer) -> None:
    if op.attributes:
        printer.print_string(" attributes ")
        printer.print_attr_dict(op.attributes)
    printer.print_string(" : ")
    printer.print_list(op.result_types, printer.print_attribute)


def _parse_types(parser: Parser) -> tuple[dict[str, Attribute], list[Attribute]]:
    given = parser.parse_optional_attr_dict_with_keyword()
    parser.parse_punctuation(":")
    types: list[Attribute] = list(parser.parse_optional_undelimited_comma_separated_list(parser.parse_optional_type, parser.parse_type) or [])
    return dict(given.data) if given is not None else {}, types


@irdl_op_definition
class LoopsOp(IRDLOperation):
    """Calls of `loops` kernels, in order, over one kernel's operands and results."""

    name = "call.loops"
    inputs = var_operand_def(VALUE)
    outs = var_result_def(Tensor)
    calls = prop_def(Static)

    def print(self, printer: Printer) -> None:
        printer.print_operands(self.operands)
        printer.print_string(f" {static_text(self.calls.data)}")
        _print_types(self, printer)

    @classmethod
    def parse(cls, parser: Parser) -> LoopsOp:
        operands, calls = parse_operands(parser), static(parse_static(parser))
        attributes, types = _parse_types(parser)
        return cls.create(operands=operands, result_types=types, properties={"calls": calls}, attributes=attributes)

    def verify_(self) -> None:
        values = len(self.operands) + len(self.results)
        for call in self.calls.data:
            for word in call[4:]:
                if isinstance(word, tuple) and (word[0] not in ("ptr", "scalar", "temp") or (word[0] != "temp") != (word[1] < values)):
                    verify.fail("FT13", f"{self.name}: word {static_text(word)} of {call[0]} with {values} operands and results")


@irdl_op_definition
class TemplateOp(IRDLOperation):
    """A call of the kernels that a row's template writes."""

    name = "call.template"
    row = prop_def(StringAttr)
    statics = prop_def(DictionaryAttr)
    inputs = var_operand_def(VALUE)
    outs = var_result_def(Tensor)

    @property
    def sig(self) -> Sig:
        row = ROWS[self.row.data]
        types = tuple([v.type.data for v in self.operands])  # type: ignore[attr-defined]
        return verify.signature(row, types, tuple([self.statics.data[n].data for n in attr_names(row)]))  # type: ignore[attr-defined]

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_string_literal(self.row.data)
        printer.print_operands(self.operands)
        statics: dict[str, Any] = {n: v.data for n, v in self.statics.data.items()}  # type: ignore[attr-defined]
        printer.print_string(f" {{{', '.join(f'{n} = {static_text(v)}' for n, v in statics.items())}}}")
        _print_types(self, printer)

    @classmethod
    def parse(cls, parser: Parser) -> TemplateOp:
        row, operands = StringAttr(parser.parse_str_literal()), parse_operands(parser)
        statics: dict[str, Attribute] = {}

        def entry() -> None:
            name = parser.parse_identifier()
            parser.parse_punctuation("=")
            statics[name] = static(parse_static(parser))

        parser.parse_comma_separated_list(parser.Delimiter.BRACES, entry)
        attributes, types = _parse_types(parser)
        return cls.create(operands=operands, result_types=types, properties={"row": row, "statics": DictionaryAttr(statics)}, attributes=attributes)

    def verify_(self) -> None:
        if self.row.data not in ROWS:
            verify.fail("FT14", f"{self.name}: no row is called {self.row.data!r}")
        if [t.data for t in self.result_types] != list(self.sig.outs):  # type: ignore[attr-defined]
            verify.fail("FT14", f"{self.name}: results {', '.join(map(str, self.result_types))} where the row gives {', '.join(map(str, self.sig.outs))}")


Calls = Dialect("call", [LoopsOp, TemplateOp], [])

__all__ = ["Calls", "LoopsOp", "TemplateOp"]
