"""Sequences of different lengths: padded, or packed step by step.

Enters: a list of sequences, or a padded batch and its lengths. Leaves: a PackedSequence, or the padded batch again.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import frankentorch as torch

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence",
           "unpack_sequence", "unpad_sequence"]

_Packed: Any = namedtuple("PackedSequence", [  # type: ignore[name-match]
    "data", "batch_sizes", "sorted_indices", "unsorted_indices"],
                     defaults=[None, None, None])


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes one."""
    if permutation is None:
        return None
    return torch.empty_like(permutation).scatter(0, permutation, torch.arange(0, permutation.numel(), device=permutation.device))


class PackedSequence(_Packed):
    """The steps of several sequences one after another: `batch_sizes[t]` rows at step t, longest sequence first."""

    __slots__ = ()

    def __new__(cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a tuple of (data, batch_sizes)")
            data, batch_sizes = data
        if batch_sizes.device.type != "cpu":
            raise ValueError("batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                             "They should be instantiated by functions like pack_sequence and pack_padded_sequences in nn.utils.rnn. "
                             "https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence")
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data moved or cast; the batch sizes stay."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def cpu(self) -> PackedSequence:
        """On the CPU."""
        return self.to(device="cpu")

    def double(self) -> PackedSequence:
        """As float64."""
        return self.to(dtype=torch.float64)

    def float(self) -> PackedSequence:
        """As float32."""
        return self.to(dtype=torch.float32)

    def half(self) -> PackedSequence:
        """As float16."""
        return self.to(dtype=torch.float16)

    def long(self) -> PackedSequence:
        """As int64."""
        return self.to(dtype=torch.int64)

    def int(self) -> PackedSequence:
        """As int32."""
        return self.to(dtype=torch.int32)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in pinned memory."""
        return self.data.is_pinned()


def pack_padded_sequence(input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Pack (time, batch, ...) by the length of each sequence."""
    if not isinstance(lengths, torch.Tensor):
        lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
    order = None
    if not enforce_sorted:
        lengths, order = torch.sort(lengths, descending=True)
        input = input.index_select(0 if batch_first else 1, order)
    steps = input.transpose(0, 1) if batch_first else input
    sizes = [int(n) for n in lengths.tolist()]
    if len(sizes) != steps.size(1):
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} (batch_size={steps.size(1)})")
    if sizes and min(sizes) <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    if any(a < b for a, b in zip(sizes, sizes[1:], strict=False)):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
                           "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
                           "do not need ONNX exportability.")
    if sizes and sizes[0] > steps.size(0):
        raise RuntimeError(f"Expected `len(lengths)` to be at most {steps.size(0)}, but got {sizes[0]}")
    batch_sizes = [sum(n > t for n in sizes) for t in range(sizes[0])]
    data = torch.cat([steps[t, :n] for t, n in enumerate(batch_sizes)])
    return PackedSequence(data, torch.tensor(batch_sizes, dtype=torch.int64), order, None)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Any, Any]:
    """(the padded batch, the lengths) of a packed one."""
    sizes = [int(n) for n in sequence.batch_sizes.tolist()]
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError("Expected total_length to be at least the length of the longest sequence in input, but got "
                             f"total_length={total_length} and max sequence length being {steps}")
        steps = total_length
    batch = sizes[0]
    rows = []
    for part in sequence.data.split(sizes):
        missing = batch - part.size(0)
        rows.append(part if missing == 0 else torch.constant_pad_nd(part, [0, 0] * (part.dim() - 1) + [0, missing], padding_value))
    padded = torch.stack(rows)
    if steps > len(sizes):
        padded = torch.constant_pad_nd(padded, [0, 0] * (padded.dim() - 1) + [0, steps - len(sizes)], padding_value)
    lengths = torch.tensor([sum(n > i for n in sizes) for i in range(batch)], dtype=torch.int64)
    if batch_first:
        padded = padded.transpose(0, 1)
    restore = sequence.unsorted_indices
    if restore is not None:
        return padded.index_select(0 if batch_first else 1, restore), lengths[restore.cpu()]
    return padded, lengths


def pad_sequence(sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Any:
    """Sequences (length, ...) as one batch, padded to the longest."""
    if isinstance(sequences, torch.Tensor):
        sequences = sequences.unbind(0)
    if not hasattr(sequences, "__iter__"):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}")
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(s.size(0) for s in sequences)
    padded = []
    for s in sequences:
        gap = longest - s.size(0)
        ends = [gap, 0] if padding_side == "left" else [0, gap]
        padded.append(torch.constant_pad_nd(s, [0, 0] * (s.dim() - 1) + ends, padding_value) if gap else s)
    return torch.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded batch."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:int(n)] for row, n in zip(rows.unbind(0), lengths.tolist(), strict=True)]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences."""
    lengths = torch.as_tensor([s.size(0) for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The list of sequences of a packed one."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
