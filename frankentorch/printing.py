"""The text of a tensor, byte for byte torch's.

Enters: a tensor's description (dtype, shape, device, what autograd says of it) and `values`, anything numpy-like that can be
sliced. Leaves: a string. No tensor op runs here; of a tensor that is summarised only its corners are fetched.

The way of a value: fetch the elements that will be shown (`_shown`), turn each into a cell of text, all of one width
(`_cells`), then lay the cells out in nested brackets (`_layout`) and append the suffixes (`_with_suffixes`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import dtypes
from .device import CPU, device

if TYPE_CHECKING:
    import numpy


# Options ----------------------------------------------------------------------------------------------------------------
@dataclass
class PrintOptions:
    """How tensors print; `threshold` is the greatest number of elements shown in full."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PRINT_OPTS = PrintOptions()
_PROFILES: dict[str, PrintOptions] = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}


def set_printoptions(precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
                     linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None) -> None:
    """Change how tensors print: first to a `profile` ("default", "short", "full"), then by each option given.

    As in torch, `sci_mode` is set by every call: leaving it out returns the choice to the values printed.
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    base = asdict(_PROFILES[profile]) if profile in _PROFILES else {}
    for option, value in (base | {k: v for k, v in given.items() if v is not None}).items():
        setattr(PRINT_OPTS, option, value)
    PRINT_OPTS.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The options in force, as keywords of `set_printoptions`."""
    return asdict(PRINT_OPTS)


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """`set_printoptions` for the length of a ``with`` block."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


# Cells: elements as text ---------------------------------------------------------------------------------------------------
def _float_cells(values: numpy.ndarray) -> tuple[list[str], int]:
    """Every float as text, padded to one width, and that width.

    The finite non-zero values decide the notation (whole numbers, fixed, scientific) and the width; a NaN or an
    infinity may stick out, as it does in torch.
    """
    import numpy
    deciding = numpy.isfinite(values) & (values != 0)
    finite = values[deciding]
    if finite.size == 0:
        cells, whole, scientific = [f"{v:.0f}" for v in values.tolist()], True, False
    else:
        magnitudes = numpy.abs(finite)
        least, greatest = float(magnitudes.min()), float(magnitudes.max())
        whole = bool((finite == numpy.ceil(finite)).all())
        # least may be so small that the ratio exceeds every double: numpy's quotient is then infinite
        with numpy.errstate(over="ignore"):
            ratio = float(numpy.float64(greatest) / numpy.float64(least))
        scientific = (ratio > 1000.0 or greatest > 1.0e8 or least < 1.0e-4) if PRINT_OPTS.sci_mode is None else PRINT_OPTS.sci_mode
        spec = f".{PRINT_OPTS.precision}e" if scientific else ".0f" if whole else f".{PRINT_OPTS.precision}f"
        cells = [format(v, spec) for v in values.tolist()]
    if whole and not scientific:
        cells = [cell + "." if cell[-1].isdigit() else cell for cell in cells]
    width = max((len(cell) for cell in itertools.compress(cells, deciding.tolist())), default=1)
    return [cell.rjust(width) for cell in cells], width


def _cells(values: numpy.ndarray, d: dtypes.dtype) -> tuple[list[str], int]:
    """Every element as text, in row-major order, and the width a line is planned with."""
    flat = values.reshape(-1)
    if d.category == dtypes.COMPLEX:
        real, real_width = _float_cells(flat.real.astype("f8"))
        imaginary, imaginary_width = _float_cells(flat.imag.astype("f8"))
        parts = ((r, (i + "j").lstrip()) for r, i in zip(real, imaginary, strict=True))
        return [r + i if i[0] == "-" else f"{r}+{i}" for r, i in parts], real_width + imaginary_width + 1
    if d.category == dtypes.FLOAT:
        if d is dtypes.bfloat16 and flat.dtype == "u2":
            flat = (flat.astype("u4") << 16).view("f4")
        return _float_cells(flat.astype("f8"))
    cells = [str(v) for v in (flat.astype(bool) if d is dtypes.bool_ else flat).tolist()]
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells], width


# Layout: cells as lines ------------------------------------------------------------------------------------------------------
def _shown(values: Any, shape: Sequence[int], cut: Sequence[bool]) -> numpy.ndarray:
    """The elements that will be printed: of each cut dimension, `edgeitems` at either end."""
    import numpy
    if not any(cut):
        return numpy.asarray(values[...])
    edge = PRINT_OPTS.edgeitems
    ends = [((slice(0, edge), slice(0, edge)), (slice(n - edge, n), slice(edge, 2 * edge))) if c else ((slice(None),) * 2,)
            for n, c in zip(shape, cut, strict=True)]
    shown = None
    for corner in itertools.product(*ends):
        part = numpy.asarray(values[tuple(source for source, _ in corner)])
        if shown is None:
            shown = numpy.empty([2 * edge if c else n for n, c in zip(shape, cut, strict=True)], part.dtype)
        shown[tuple(target for _, target in corner)] = part
    assert shown is not None
    return shown


def _layout(cells: Sequence[str], cut: Sequence[bool], shape: Sequence[int], indent: int, per_line: int) -> str:
    """Cells in nested brackets; a cut dimension has an ellipsis between its halves."""
    if not shape:
        return cells[0]
    edge = PRINT_OPTS.edgeitems
    if len(shape) == 1:
        row = [*cells[:edge], " ...", *cells[edge:]] if cut[0] else cells
        lines = [", ".join(row[at:at + per_line]) for at in range(0, len(row), per_line)]
        return f"[{(',' + chr(10) + ' ' * (indent + 1)).join(lines)}]"
    step = len(cells) // shape[0]
    parts = [_layout(cells[at:at + step], cut[1:], shape[1:], indent + 1, per_line) for at in range(0, len(cells), step)]
    if cut[0]:
        parts.insert(edge, "...")
    return f"[{(',' + chr(10) * (len(shape) - 1) + ' ' * (indent + 1)).join(parts)}]"


def _contents(values: Any, d: dtypes.dtype, shape: Sequence[int], indent: int) -> str:
    edge = PRINT_OPTS.edgeitems
    summarise = math.prod(shape) > PRINT_OPTS.threshold
    if summarise and shape and not edge:
        return "[...]"
    cut = [summarise and n > 2 * edge for n in shape]
    shown = _shown(values, shape, cut)
    cells, width = _cells(shown, d)
    # A row is as many brackets in as the tensor has other dimensions; each cell is followed by a comma and a space.
    per_line = max(1, math.floor((PRINT_OPTS.linewidth - indent - max(0, len(shape) - 1)) / (width + 2)))
    return _layout(cells, cut, shown.shape, indent, per_line)


def _with_suffixes(text: str, suffixes: Sequence[str], indent: int) -> str:
    """Append each suffix to the last line, or to a new one where it would pass `linewidth`."""
    pieces = [text]
    column = len(text) - text.rfind("\n") + 1  # torch's count: it is one or two more than the column, and lines break by it
    for suffix in suffixes:
        if column + len(suffix) + 2 > PRINT_OPTS.linewidth:
            pieces.append(",\n" + " " * indent + suffix)
            column = indent + len(suffix)
        else:
            pieces.append(", " + suffix)
            column += len(suffix) + 2
    return "".join(pieces) + ")"


# Entry ------------------------------------------------------------------------------------------------------------------------
def tensor_str(values: Any, *, dtype: dtypes.dtype, shape: Sequence[int], device: device = CPU, requires_grad: bool = False,
               grad_fn_name: str | None = None, is_parameter: bool = False, type_name: str = "tensor", tangent: str | None = None,
               contents: str | None = None) -> str:
    """``repr(tensor)``.

    `values` is sliced with a tuple of slices (or ``...``) and gives numpy arrays; bfloat16 may come as its raw uint16 bits.
    It is not touched for a meta or an empty tensor, and may be None there. `grad_fn_name` is the node's class name
    ("AddBackward0"); `type_name` the class name of a Tensor subclass; `tangent` the text of a dual's tangent; `contents` stands
    in for the values.
    """
    suffixes = []
    if device.type != "cpu":
        suffixes.append(f"device='{device}'")
    default = dtypes.get_default_dtype()
    obvious: tuple[dtypes.dtype, ...] = (default,)
    if device.type == "meta":
        text = "..."
        suffixes.append(f"size={tuple(shape)}")
    elif 0 in shape:
        text = "[]"
        if len(shape) != 1:
            suffixes.append(f"size={tuple(shape)}")
    else:
        text = _contents(values, dtype, shape, len(type_name) + 1) if contents is None else contents
        obvious = (default, dtypes.complex128 if default is dtypes.float64 else dtypes.complex64, dtypes.int64, dtypes.bool_)
        if not PRINT_OPTS.edgeitems:
            suffixes.append(f"size={tuple(shape)}")
    if dtype not in obvious:
        suffixes.append(f"dtype={dtype}")
    if grad_fn_name is not None:
        suffixes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    if tangent is not None:
        suffixes.append(f"tangent={tangent}")
    text = _with_suffixes(f"{type_name}({text if contents is None else contents}", suffixes, len(type_name) + 1)
    if not is_parameter:
        return text
    return f"Parameter containing:\n{text if type_name == 'tensor' else f'Parameter({text})'}"
