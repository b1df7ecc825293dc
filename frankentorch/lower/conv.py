"""Convolutions and their two gradients, in 1 to 3 dimensions, as lowered kernels.

Enters: what to compute, a dtype, shapes and strides (in elements) of x, weight and output, the geometry. Leaves: `Lowered` kernels.

The arithmetic is docs/contract.md, "Contraction", with k running over (kernel taps, channels of the group) for the
output and the input's gradient, and over (image, output pixels) for the weight's gradient. Taps on padding are skipped, but
positions of k count them, so the bounds of chunks do not move with padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd, prod

from frankentorch.lower import conv_depthwise, conv_gather, conv_weight
from frankentorch.lower.contract import blocks_of, lower_matmul
from frankentorch.lower.contract_micro import CHUNK, GROUP, PANEL, ROW_PITCH, machine, size_of
from frankentorch.lower.contract_tile import Epilogue, EpilogueOperand, Held, assemble
from frankentorch.lower.kernel import Lowered, Ptr, Word

KINDS = ("forward", "input_grad", "weight_grad")


@dataclass(frozen=True, slots=True)
class Geometry:
    """A convolution with three spatial axes: x (images, channels, d, h, w), weight (out, channels of a group, d, h, w), y likewise."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]
    x_strides: tuple[int, ...]
    w_strides: tuple[int, ...]
    y_strides: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, slots=True)
class Progression:
    """Output coordinates start, start + step, ... (count of them) of one axis that see the same taps of the kernel.

    Tap ``first_tap + j * tap_step`` (j < taps) reads source coordinate ``source + j * source_tap + i * source_step`` for the i-th member.
    """

    start: int
    step: int
    count: int
    first_tap: int
    tap_step: int
    taps: int
    source: int
    source_tap: int
    source_step: int


def forward_classes(out: int, size: int, kernel: int, stride: int, padding: int, dilation: int) -> list[Progression]:
    """Split the output coordinates of a convolution by the taps which lie inside the input."""
    found: list[Progression] = []
    previous = None
    for o in range(out):
        base = o * stride - padding
        lo = max(0, -(base // dilation)) if base < 0 else 0
        hi = min(kernel, max(lo, (size - 1 - base) // dilation + 1))
        if (lo, hi) == previous:
            last = found[-1]
            found[-1] = Progression(last.start, 1, last.count + 1, *_tail(last))
        else:
            found.append(Progression(o, 1, 1, lo, 1, max(hi - lo, 0), base + lo * dilation, dilation, stride))
        previous = (lo, hi)
    return found


def _tail(p: Progression) -> tuple[int, int, int, int, int, int]:
    return p.first_tap, p.tap_step, p.taps, p.source, p.source_tap, p.source_step


def gradient_classes(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> list[Progression]:
    """Split the input coordinates of a convolution by the taps through which they reach an output."""
    found: list[Progression] = []
    tap_step = stride // gcd(stride, dilation)
    for residue in range(min(stride, size)):
        previous = None
        for i in range(residue, size, stride):
            reach = [i + padding - t * dilation for t in range(kernel)]
            taps = [t for t, r in enumerate(reach) if r % stride == 0 and 0 <= r // stride < out]
            key = (taps[0], len(taps)) if taps else (0, 0)
            if key == previous:
                last = found[-1]
                found[-1] = Progression(last.start, stride, last.count + 1, *_tail(last))
            else:
                source = (i + padding - key[0] * dilation) // stride if taps else 0
                found.append(Progression(i, stride, 1, key[0], tap_step, key[1], source, -(tap_step * dilation) // stride, 1))
            previous = key
    return found


def lower_conv(kind: str, dtype: str, x_shape: Sequence[int], w_shape: Sequence[int], y_shape: Sequence[int], x_strides: Sequence[int],
               w_strides: Sequence[int], y_strides: Sequence[int], *, stride: Sequence[int], padding: Sequence[int],
               dilation: Sequence[int], groups: int, tier: str, epilogue: Epilogue | None = None, first: Word = Ptr(0),
               second: Word = Ptr(1), result: Word = Ptr(2), threads: int = 2) -> list[Lowered]:
    """A convolution ("forward"), or its "input_grad" (also the transposed convolution) or "weight_grad".

    x is (images, channels, *spatial), weight (out channels, channels / groups, *kernel), y the output; the shape and strides of the tensor
    being computed are those of its role. `first` and `second` are (x, weight) forward, (y's gradient, weight) for the
    input's, (x, y's gradient) for the weight's. `padding` is what precedes each axis; what follows it is told by the shape of y.
    An epilogue's operands have strides (channel,): one value a channel. Nothing is returned when the result is empty.
    """
    if kind not in KINDS:
        raise ValueError(f"no such convolution: {kind!r}; one of {', '.join(KINDS)}")
    missing = 5 - len(x_shape)
    if missing not in (0, 1, 2):
        raise ValueError(f"convolutions have 1 to 3 spatial axes, not {len(x_shape) - 2}")

    def widen(values: Sequence[int], fill: int, lead: int = 2) -> tuple[int, ...]:
        return (*values[:lead], *[fill] * missing, *values[lead:])

    g = Geometry(widen(x_shape, 1), widen(w_shape, 1), widen(y_shape, 1), widen(x_strides, 0), widen(w_strides, 0), widen(y_strides, 0),
                 widen(stride, 1, 0), widen(padding, 0, 0), widen(dilation, 1, 0), groups)
    target = {"forward": g.y, "input_grad": g.x, "weight_grad": g.w}[kind]
    if 0 in target:
        return []
    if kind == "weight_grad":
        return conv_weight.lower(dtype, g, tier, first, second, result, threads)
    pointwise = _pointwise(kind, dtype, g, tier, epilogue, first, second, result, threads)
    if pointwise is not None:
        return pointwise
    if g.groups > 1 and g.x[1] == g.groups == g.y[1] and prod(g.w[2:]) <= conv_depthwise.MAX_TAPS:
        return [_depthwise(kind, dtype, g, tier, epilogue, first, second, result)]
    return [_gather(kind, dtype, g, tier, epilogue, first, second, result, threads)]


def _pointwise(kind: str, dtype: str, g: Geometry, tier: str, epilogue: Epilogue | None, first: Word, second: Word, result: Word,
               threads: int) -> list[Lowered] | None:
    """A kernel of one tap, stride 1 and no padding is a matrix product over channels, if pixels lie at one stride."""
    if prod(g.w[2:]) != 1 or any(s != 1 for s in g.stride) or any(g.padding) or g.groups != 1 or g.x[2:] != g.y[2:]:
        return None
    x_pixel, y_pixel = merged(g.x[2:], g.x_strides[2:]), merged(g.y[2:], g.y_strides[2:])
    if x_pixel is None or y_pixel is None:
        return None
    pixels, images = prod(g.x[2:]), g.x[0]
    source, target = (g.x_strides, g.y_strides) if kind == "forward" else (g.y_strides, g.x_strides)
    s_pixel, t_pixel = (x_pixel, y_pixel) if kind == "forward" else (y_pixel, x_pixel)
    w_k, w_n = (g.w_strides[1], g.w_strides[0]) if kind == "forward" else (g.w_strides[0], g.w_strides[1])
    k, n = (g.w[1], g.w[0]) if kind == "forward" else (g.w[0], g.w[1])
    rows_are_pixels = target[1] == 1
    if epilogue is not None:
        operands = tuple(EpilogueOperand(o.word, o.dtype, (0, 0, o.strides[0]) if rows_are_pixels else (0, o.strides[0], 0))
                         for o in epilogue.operands)
        epilogue = Epilogue(epilogue.key, epilogue.emit, operands)
    if rows_are_pixels:
        return lower_matmul(dtype, (images,), pixels, n, k, (source[0], s_pixel, source[1]), (0, w_k, w_n), (target[0], t_pixel, target[1]),
                            tier=tier, epilogue=epilogue, a=first, b=second, c=result, threads=threads)
    return lower_matmul(dtype, (images,), n, pixels, k, (0, w_n, w_k), (source[0], source[1], s_pixel), (target[0], target[1], t_pixel),
                        tier=tier, epilogue=epilogue, a=second, b=first, c=result, threads=threads)


def merged(sizes: Sequence[int], strides: Sequence[int]) -> int | None:
    """The one stride at which all elements of these axes lie, or None."""
    kept = [(size, s) for size, s in zip(sizes, strides, strict=True) if size != 1]
    if any(a_stride != size * s for (_, a_stride), (size, s) in zip(kept, kept[1:], strict=False)):
        return None
    return kept[-1][1] if kept else 1


def _gather(kind: str, dtype: str, g: Geometry, tier: str, epilogue: Epilogue | None, first: Word, second: Word, result: Word,
            threads: int) -> Lowered:
    mach, size = machine(dtype, tier), size_of(dtype)
    forward = kind == "forward"
    source, target, s_strides, t_strides = (g.x, g.y, g.x_strides, g.y_strides) if forward else (g.y, g.x, g.y_strides, g.x_strides)
    w_out, w_in, w_tap = g.w_strides[0], g.w_strides[1], g.w_strides[2:]
    channels, outputs = source[1] // g.groups, target[1] // g.groups
    w_n, w_c = (w_out, w_in) if forward else (w_in, w_out)
    classes = _classes(forward, g)
    k = prod(g.w[2:]) * channels
    chunks = max(1, -(-k // CHUNK))
    most = max(mach.columns, 1_000_000 // (chunks * PANEL * mach.size) // mach.columns * mach.columns)
    n_block, n_blocks = blocks_of(outputs, mach.columns, most)
    tile = mach.rows[0]
    pixels = max(tile, min(4_000_000 // max(1, n_block * k), 40 * tile) // tile * tile)
    prefix = [0]
    for d in classes[0]:
        for h in classes[1]:
            for w in classes[2]:
                prefix.append(prefix[-1] + -(-(d.count * h.count * w.count) // pixels))
    along_w = all(c.source_step == 1 for c in classes[2]) and s_strides[4] == 1
    src_class = "k" if s_strides[1] == 1 and channels > 1 else "m" if along_w else "k" if s_strides[1] == 1 else "g"
    w_class = "n" if w_n == 1 else "k" if w_c == 1 else "g"
    regions = len(prefix) - 1
    a_bytes = max(tile * ROW_PITCH, (CHUNK + 8) * mach.k_pitch) * mach.size
    tables_at = _align(conv_gather.A_PANEL + a_bytes)
    b_at = _align(tables_at + conv_gather.table_bytes(prod(g.w[2:]), chunks))
    slots_at = _align(b_at + chunks * PANEL * n_block * mach.size)
    slot_bytes = tile * n_block * mach.size
    totals_at = _align(slots_at + slot_bytes)
    scratch = totals_at + (slot_bytes if chunks > GROUP else 0)
    class_words = _class_words(classes, s_strides, t_strides, size)
    operands = epilogue.operands if epilogue else ()
    at = conv_gather.EPILOGUE + conv_gather.EPILOGUE_WORDS * len(operands)
    class_at = [at, at + len(class_words[0]), at + len(class_words[0]) + len(class_words[1])]
    prefix_at = class_at[2] + len(class_words[2])
    args: list[Word] = [first, second, result, channels, outputs, target[0], s_strides[0] * size, channels * s_strides[1] * size,
                        s_strides[1] * size, (outputs * w_n if forward else channels * w_c) * size, w_n * size, w_c * size,
                        *(s * size for s in w_tap), t_strides[0] * size, outputs * t_strides[1] * size, t_strides[1] * size, *g.w[2:],
                        chunks, n_block, n_blocks, prefix[-1], pixels, regions, *map(len, classes), *class_at, prefix_at, tables_at, b_at,
                        slots_at, totals_at, target[1]]
    for o in operands:
        args += [o.word, o.strides[0] * size_of(o.dtype)]
    for words in class_words:
        args += words
    args += prefix
    text, symbol = _gather_text(dtype, src_class, w_class, tier, epilogue.key if epilogue else "", Held(epilogue))
    units = g.groups * n_blocks * target[0] * prefix[-1]
    # A thread packs the weights again for each part of the units it is given.
    grain = max(1, min(units // (4 * threads), 4_000_000 // max(1, pixels * n_block * k)))
    return Lowered(text, symbol, args, units, grain, scratch)


def _classes(forward: bool, g: Geometry) -> list[list[Progression]]:
    if forward:
        return [forward_classes(g.y[2 + i], g.x[2 + i], g.w[2 + i], g.stride[i], g.padding[i], g.dilation[i]) for i in range(3)]
    return [gradient_classes(g.x[2 + i], g.y[2 + i], g.w[2 + i], g.stride[i], g.padding[i], g.dilation[i]) for i in range(3)]


def _class_words(classes: list[list[Progression]], s_strides: tuple[int, ...], t_strides: tuple[int, ...], size: int) -> list[list[int]]:
    """The class records of each axis (conv_gather.CLASS_WORDS)."""
    return [[word for c in axis for word in (c.start * t * size, c.step * t * size, c.count, c.first_tap, c.tap_step, c.taps,
                                             c.source * s * size, c.source_tap * s * size, c.source_step * s * size)]
            for axis, t, s in zip(classes, t_strides[2:], s_strides[2:], strict=True)]


def _depthwise(kind: str, dtype: str, g: Geometry, tier: str, epilogue: Epilogue | None, first: Word, second: Word,
               result: Word) -> Lowered:
    mach, size = machine(dtype, tier), size_of(dtype)
    forward = kind == "forward"
    s_strides, t_strides = (g.x_strides, g.y_strides) if forward else (g.y_strides, g.x_strides)
    classes = _classes(forward, g)
    by = "channel" if s_strides[1] == 1 else "pixel"
    step = classes[2][0].source_step
    unit = by == "channel" or step * s_strides[4] == 1
    blocks = -(-g.groups // mach.lanes) if by == "channel" else g.groups
    out_lane = t_strides[1] if by == "channel" else t_strides[4] * classes[2][0].step
    words = _class_words(classes, s_strides, t_strides, size)
    operands = epilogue.operands if epilogue else ()
    at = conv_depthwise.EPILOGUE + 2 * len(operands)
    args: list[Word] = [first, second, result, g.groups, g.x[0], s_strides[0] * size, s_strides[1] * size, g.w_strides[0] * size,
                        *(s * size for s in g.w_strides[2:]), t_strides[0] * size, t_strides[1] * size, *g.w[2:], blocks,
                        *map(len, classes), at, at + len(words[0]), at + len(words[0]) + len(words[1]), step * s_strides[4] * size, out_lane * size]
    for o in operands:
        args += [o.word, o.strides[0] * size_of(o.dtype)]
    for axis in words:
        args += axis
    text, symbol = _depthwise_text(dtype, by, unit, tier, epilogue.key if epilogue else "", Held(epilogue))
    work = prod(g.y[2:]) * prod(g.w[2:]) * (mach.lanes if by == "channel" else 1)
    return Lowered(text, symbol, args, g.x[0] * blocks, max(1, 200_000 // max(1, work)),
                   conv_depthwise.scratch_bytes(prod(g.w[2:]), len(operands)))


@lru_cache(maxsize=64)
def _depthwise_text(dtype: str, by: str, unit: bool, tier: str, key: str, hold: Held) -> tuple[str, str]:
    symbol = "_".join(["conv_depthwise", dtype, by, "unit" if unit else "strided", tier.replace(".", ""), *([key] if key else [])])
    return assemble([conv_depthwise.routine(symbol, machine(dtype, tier), dtype, by, unit, hold.epilogue)]), symbol


def _align(x: int) -> int:
    return -(-x // 64) * 64


@lru_cache(maxsize=128)
def _gather_text(dtype: str, src_class: str, w_class: str, tier: str, key: str, hold: Held) -> tuple[str, str]:
    symbol = "_".join(["conv", dtype, src_class + w_class, tier.replace(".", ""), *([key] if key else [])])
    return assemble(conv_gather.routines(symbol, machine(dtype, tier), dtype, src_class, w_class, hold.epilogue)), symbol
