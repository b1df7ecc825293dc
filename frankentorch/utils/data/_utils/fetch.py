"""From indices to a collated batch, for sets by index and for streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import frankentorch as torch
from frankentorch.utils.data._utils.collate import default_collate
from frankentorch.utils.data.dataset import Subset, TensorDataset


def _gathered(dataset: Any, index: list[Any]) -> list[Any] | None:
    """What collating the samples of a TensorDataset (or a subset of one) gives, by one gather a tensor; None for other sets.

    Row by row it is an op a sample and a stack; the values are copies either way.
    """
    if not index or any(type(i) is not int for i in index):
        return None
    while type(dataset) is Subset:
        index = [dataset.indices[i] for i in index]
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or any(type(i) is not int for i in index):
        return None
    rows = torch.tensor(index)
    return [tensor[rows] for tensor in dataset.tensors]


class _MapDatasetFetcher:
    """One sample, or a list of them, by index; `__getitems__` is used where the set has it."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.dataset, self.auto_collation = dataset, auto_collation
        self.collate_fn, self.drop_last = collate_fn, drop_last

    def fetch(self, index: Any) -> Any:
        if not self.auto_collation:
            return self.collate_fn(self.dataset[index])
        if self.collate_fn is default_collate and (batch := _gathered(self.dataset, index)) is not None:
            return batch
        if getattr(self.dataset, "__getitems__", None):
            return self.collate_fn(self.dataset.__getitems__(index))
        return self.collate_fn([self.dataset[i] for i in index])


class _IterableDatasetFetcher:
    """The next sample, or as many as the batch of indices is long. StopIteration when the stream has ended."""

    def __init__(self, dataset: Any, auto_collation: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.samples, self.auto_collation = iter(dataset), auto_collation
        self.collate_fn, self.drop_last, self.ended = collate_fn, drop_last, False

    def fetch(self, index: Any) -> Any:
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.samples))
        batch = []
        for _ in index:
            try:
                batch.append(next(self.samples))
            except StopIteration:
                self.ended = True
                break
        if not batch or (self.drop_last and len(batch) < len(index)):
            raise StopIteration
        return self.collate_fn(batch)


class _DatasetKind:
    """Which of the two a set is, and its fetcher."""

    Map, Iterable = 0, 1

    @staticmethod
    def create_fetcher(kind: int, *args: Any) -> Any:
        return _MapDatasetFetcher(*args) if kind == _DatasetKind.Map else _IterableDatasetFetcher(*args)
