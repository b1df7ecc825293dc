"""The `ft` dialect: one IRDL operation a row of the op table, made when first asked for.

Enters: `ops.table.ROWS`. Leaves: operation classes (`op_class`), types (`value_type`) and attributes (`static`), all interned, and `Ft`, the
dialect as xDSL registers it. Importing this module imports xDSL; nothing else of the run time does.

::

    %y = ft.sum(%x) {dims = [1], keepdim = false} : !ft.tensor<[4], f32>

The constraints that the verifier checks are numbered in `verify`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, ClassVar

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Attribute, Data, Dialect, Operation, SSAValue, TypeAttribute
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove, IsTerminator, Pure

from .. import dtypes
from ..ops.record import Sig
from ..ops.table import ROWS, Kind, Row, schema_params
from ..ops.types import TensorType, contiguous_strides, scalar_type, tensor_type
from . import verify

DTYPE_TEXT: dict[dtypes.dtype, str] = {d: getattr(d, "lane", None) or "c32" for d in dtypes.ALL if d is not dtypes.complex32}
DTYPE_TEXT[dtypes.complex32] = "c32"
DTYPES = {text: d for d, text in DTYPE_TEXT.items()}
GRAD = "grad"
"""The attribute that says which operands of an op hand on a gradient, where some that could do not (they were detached)."""
MISSING = "missing"
"""The property of a composite op that says which of its optional tensors were not given."""


# Types ----------------------------------------------------------------------------------------------------------------------
def _parse_dtype(parser: AttrParser) -> dtypes.dtype:
    name = parser.parse_identifier(" of an element type")
    if name not in DTYPES:
        parser.raise_error(f"{name!r} is no element type; there are {', '.join(DTYPES)}")
    return DTYPES[name]


def _parse_sizes(parser: AttrParser) -> tuple[int, ...]:
    return tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_boolean=False)))


def _sizes(sizes: Sequence[int]) -> str:
    return f"[{', '.join(map(str, sizes))}]"


@irdl_attr_definition
class Tensor(Data[TensorType], TypeAttribute):
    """A value in memory: ``!ft.tensor<[4, 8], f32>``, with strides in elements where it is not row-major: ``<[4, 8], f32, [1, 4]>``."""

    name = "ft.tensor"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> TensorType:
        with parser.in_angle_brackets():
            shape = _parse_sizes(parser)
            parser.parse_punctuation(",")
            dtype = _parse_dtype(parser)
            strides = _parse_sizes(parser) if parser.parse_optional_punctuation(",") is not None else None
            if strides is not None and len(strides) != len(shape):
                parser.raise_error(f"{len(strides)} strides for {len(shape)} sizes")
            return tensor_type(dtype, shape, strides)

    def print_parameter(self, printer: Printer) -> None:
        t = self.data
        strides = "" if t.strides == contiguous_strides(t.shape) else f", {_sizes(t.strides)}"
        printer.print_string(f"<{_sizes(t.shape)}, {DTYPE_TEXT[t.dtype]}{strides}>")


@irdl_attr_definition
class Number(Data[TensorType], TypeAttribute):
    """A run-time number, an argument of the program: ``!ft.scalar<f32>``, or ``!ft.scalar<f32, 0.5>`` where programs specialise on it."""

    name = "ft.scalar"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> TensorType:
        with parser.in_angle_brackets():
            dtype = _parse_dtype(parser)
            const = parser.parse_number() if parser.parse_optional_punctuation(",") is not None else None
        t = scalar_type(dtype, const)
        if const is not None and t.const is None:
            parser.raise_error(f"programs do not specialise on {const}")
        return t

    def print_parameter(self, printer: Printer) -> None:
        t = self.data
        const = t.const.real if isinstance(t.const, complex) else t.const
        printer.print_string(f"<{DTYPE_TEXT[t.dtype]}{'' if const is None else f', {const!r}'}>")


VALUE: Any = Tensor | Number
"""The constraint of an operand."""

_TYPES: dict[TensorType, Tensor | Number] = {}


def value_type(t: TensorType) -> Tensor | Number:
    """The IR type of a value's type."""
    found = _TYPES.get(t)
    if found is None:
        found = _TYPES[t] = Number(t) if t.scalar else Tensor(t)
    return found


# Static attributes ------------------------------------------------------------------------------------------------------------
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None, "nan": float("nan"), "inf": float("inf"), "neg_inf": float("-inf")}


def _float_text(x: float) -> str:
    if x != x:
        return "nan"
    if x in (float("inf"), float("-inf")):
        return "inf" if x > 0 else "neg_inf"
    mantissa, e, exponent = repr(x).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + e + exponent


def static_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, complex):
        return f"complex[{_float_text(value.real)}, {_float_text(value.imag)}]"
    if isinstance(value, str):
        return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else "".join(f"\\{b:02X}" for b in c.encode()) for c in value) + '"'
    if isinstance(value, dtypes.dtype):
        return DTYPE_TEXT[value]
    if isinstance(value, tuple):
        return f"[{', '.join(map(static_text, value))}]"
    raise TypeError(f"no IR form of a static attribute {value!r}")


def parse_static(parser: AttrParser) -> Any:
    if (items := parser.parse_optional_comma_separated_list(parser.Delimiter.SQUARE, lambda: parse_static(parser))) is not None:
        return tuple(items)
    if (text := parser.parse_optional_str_literal()) is not None:
        return text
    if (raw := parser.parse_optional_bytes_literal()) is not None:
        return raw.decode()
    if (number := parser.parse_optional_number()) is not None:
        return number
    word = parser.parse_identifier(" of a static attribute")
    if word == "complex":
        parser.parse_punctuation("[")
        real = parse_static(parser)
        parser.parse_punctuation(",")
        value = complex(real, parse_static(parser))
        parser.parse_punctuation("]")
        return value
    if word in _WORDS:
        return _WORDS[word]
    if word not in DTYPES:
        parser.raise_error(f"{word!r} is neither a constant nor an element type")
    return DTYPES[word]


@irdl_attr_definition
class Static(Data[Any]):
    """A static attribute's value: an int, float, complex number, bool, string, none, element type, or a list of these."""

    name = "ft.static"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Any:
        with parser.in_angle_brackets():
            return parse_static(parser)

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<{static_text(self.data)}>")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and static_text(self.data) == static_text(other.data)

    def __hash__(self) -> int:
        return hash(static_text(self.data))


_STATICS: dict[str, Static] = {}


def static(value: Any) -> Static:
    """The attribute of a Python value. Interned by its text: 1, 1.0, true and -0.0 are four things."""
    text = static_text(value)
    found = _STATICS.get(text)
    if found is None:
        found = _STATICS[text] = Static(value)
    return found


# Operations of the table ------------------------------------------------------------------------------------------------------
class RowOp(IRDLOperation):
    """An op of the table: operands are its tensors, properties its static attributes."""

    ROW: ClassVar[Row]

    @property
    def row(self) -> Row:
        return self.ROW

    @property
    def statics(self) -> tuple[Any, ...]:
        """Static attributes in the order in which a recorded instruction holds them."""
        return tuple([self.properties[name].data for name in attr_names(self.ROW)])  # type: ignore[attr-defined]

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple([v.type.data for v in self.operands])  # type: ignore[attr-defined]

    @property
    def sig(self) -> Sig:
        """The row applied to the operands' types. Raises what the row's shape rule raises."""
        return verify.signature(self.row, self.types, self.statics)

    def print(self, printer: Printer) -> None:
        printer.print_operands(self.operands)
        names = [n for n in attr_names(self.row) if n in self.properties and (n != MISSING or any(self.properties[n].data))]  # type: ignore[attr-defined]
        if names:
            printer.print_string(f" {{{', '.join(f'{n} = {static_text(self.properties[n].data)}' for n in names)}}}")  # type: ignore[attr-defined]
        if self.attributes:
            printer.print_string(" attributes ")
            printer.print_attr_dict(self.attributes)
        printer.print_string(" : ")
        printer.print_list(self.result_types, printer.print_attribute)

    @classmethod
    def parse(cls, parser: Parser) -> RowOp:
        operands = parse_operands(parser)
        properties: dict[str, Attribute] = {}

        def entry() -> None:
            name = parser.parse_identifier()
            parser.parse_punctuation("=")
            properties[name] = static(parse_static(parser))

        if cls.ROW.kind is Kind.COMPOSITE:
            properties[MISSING] = static((False,) * len(operand_params(cls.ROW)))
        parser.parse_optional_comma_separated_list(parser.Delimiter.BRACES, entry)
        given = parser.parse_optional_attr_dict_with_keyword()
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        return cls.create(operands=operands, result_types=types, properties=properties, attributes=given.data if given is not None else {})


def parse_operands(parser: Parser) -> list[SSAValue]:
    """Operands in parentheses, without their types: each was made further up."""
    def one() -> SSAValue:
        given = parser.parse_unresolved_operand()
        known = parser.ssa_values.get(given.operand_name)
        if known is None or given.index >= len(known):
            parser.raise_error(f"%{given.operand_name} is used before it is made", given.span)
        return known[given.index]

    return parser.parse_comma_separated_list(parser.Delimiter.PAREN, one)


@cache
def attr_names(row: Row) -> tuple[str, ...]:
    """The properties of a row's op, in the order of a recorded instruction's static attributes."""
    return (*row.attrs, MISSING) if row.kind is Kind.COMPOSITE else row.attrs


@cache
def operand_params(row: Row) -> tuple[tuple[str, str], ...]:
    """The (type, name) pairs of the schema's parameters that are operands."""
    return tuple((t, n) for t, n in schema_params(row.schema) if n not in row.attrs)


_TAKEN = frozenset(dir(IRDLOperation)) | {"ROW", "row", "sig", "statics", "types"}


def _free(name: str) -> str:
    return name + "_" if name in _TAKEN or name.startswith("_") else name


@cache
def op_class(row: Row) -> type[RowOp]:
    """The operation class of a row."""
    params = operand_params(row)
    body: dict[str, Any] = {"name": f"ft.{row.name}", "__doc__": row.doc, "__module__": __name__}
    loose = [t for t, _ in params if t.endswith(("[]", "?"))]
    if len(loose) > 1:
        body["tensors"] = var_operand_def(VALUE)
    else:
        for t, n in params:
            body[_free(n)] = var_operand_def(VALUE) if t in loose else operand_def(VALUE)
    for n in attr_names(row):
        body[_free(n)] = prop_def(Static, prop_name=n)
    if row.kind is Kind.COMPOSITE:
        body["outs"] = var_result_def(Tensor)
    else:
        for i in range(row.nout):
            body["result" if row.nout == 1 else f"result{i}"] = result_def(Tensor)
    if row.kind is not Kind.RANDOM:
        body["traits"] = traits_def(Pure())
    cls: type[RowOp] = irdl_op_definition(type(row.name, (RowOp,), body))
    cls.ROW = row
    irdl_verify = cls.verify_

    def verify_(self: RowOp) -> None:
        verify.row_op(self, len(params), bool(loose), attr_names(row))
        irdl_verify(self)

    cls.verify_ = verify_  # type: ignore[method-assign, assignment]
    return cls


def row_class(name: str) -> type[RowOp]:
    """The operation class of the row called `name`."""
    return op_class(ROWS[name])


@irdl_op_definition
class NumberOp(IRDLOperation):
    """A number that the program brings itself: ``%c = ft.number 0.1 : !ft.scalar<f32>``."""

    name = "ft.number"
    value = prop_def(Static)
    result = result_def(Number)
    traits = traits_def(Pure())

    def print(self, printer: Printer) -> None:
        printer.print_string(f" {static_text(self.value.data)} : ")
        printer.print_attribute(self.result.type)

    @classmethod
    def parse(cls, parser: Parser) -> NumberOp:
        value = parse_static(parser)
        parser.parse_punctuation(":")
        return cls.create(properties={"value": static(value)}, result_types=[parser.parse_type()])

    def verify_(self) -> None:
        verify.number_op(self)


# Kernels ----------------------------------------------------------------------------------------------------------------------
@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a kernel's body with the values that leave it."""

    name = "ft.yield"
    values = var_operand_def(Tensor)
    traits = traits_def(IsTerminator())

    def print(self, printer: Printer) -> None:
        printer.print_operands(self.operands)

    @classmethod
    def parse(cls, parser: Parser) -> YieldOp:
        return cls.create(operands=parse_operands(parser))

    def verify_(self) -> None:
        verify.yield_op(self)


@irdl_op_definition
class KernelOp(IRDLOperation):
    """Ops that run as one fused unit. The body sees its arguments only, so equal bodies are equal kernels::

        %z = ft.kernel(%x, %w) : !ft.tensor<[4], f32> {
        ^bb0(%a: !ft.tensor<[4], f32>, %b: !ft.tensor<[4], f32>):
          %y = ft.mul(%a, %b) : !ft.tensor<[4], f32>
          ft.yield(%y)
        }
    """

    name = "ft.kernel"
    inputs = var_operand_def(VALUE)
    outs = var_result_def(Tensor)
    label = opt_prop_def(StringAttr)
    body = region_def("single_block")
    traits = traits_def(IsolatedFromAbove())

    @property
    def returned(self) -> YieldOp:
        last = self.body.block.last_op
        assert isinstance(last, YieldOp)
        return last

    def print(self, printer: Printer) -> None:
        if self.label is not None:
            printer.print_string(" ")
            printer.print_string_literal(self.label.data)
        printer.print_operands(self.operands)
        printer.print_string(" : ")
        printer.print_list(self.result_types, printer.print_attribute)
        if self.attributes:
            printer.print_string(" attributes ")
            printer.print_attr_dict(self.attributes)
        printer.print_string(" ")
        printer.print_region(self.body)

    @classmethod
    def parse(cls, parser: Parser) -> KernelOp:
        label = parser.parse_optional_str_literal()
        operands = parse_operands(parser)
        parser.parse_punctuation(":")
        types = parser.parse_optional_undelimited_comma_separated_list(parser.parse_optional_type, parser.parse_type) or []
        given = parser.parse_optional_attr_dict_with_keyword()
        return cls.create(operands=operands, result_types=types, properties={} if label is None else {"label": StringAttr(label)},
                          attributes=given.data if given is not None else {}, regions=[parser.parse_region()])

    def verify_(self) -> None:
        verify.kernel_op(self)


# The dialect ------------------------------------------------------------------------------------------------------------------
class _Ft(Dialect):
    """Operation classes are made when the dialect is loaded into a context, for the rows that exist then."""

    @property
    def operations(self) -> Iterator[type[Operation]]:
        yield YieldOp
        yield NumberOp
        yield KernelOp
        for row in ROWS.values():
            yield op_class(row)


Ft = _Ft("ft", [], [Tensor, Number, Static])

__all__ = ["Attribute", "Ft", "KernelOp", "Number", "NumberOp", "RowOp", "Static", "Tensor", "YieldOp", "attr_names", "op_class", "operand_params", "row_class",
           "static", "value_type"]
