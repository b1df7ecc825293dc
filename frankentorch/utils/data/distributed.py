"""The part of a data set that one of several equal processes reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any

import frankentorch as torch
from frankentorch.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


def _group_size_and_rank() -> tuple[int, int]:
    group = getattr(torch, "distributed", None)
    if group is None or not group.is_available():
        raise RuntimeError("Requires distributed package to be available")
    return group.get_world_size(), group.get_rank()


class DistributedSampler(Sampler[Any]):
    """Every `num_replicas`-th index from `rank` on, of one permutation all ranks share.

    The set is made divisible by repeating its first indices, or with `drop_last` by leaving some out. Call `set_epoch` before each
    pass, or every pass has the same order.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            size, own = _group_size_and_rank()
            num_replicas = size if num_replicas is None else num_replicas
            rank = own if rank is None else rank
        if rank >= num_replicas or rank < 0:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.epoch, self.shuffle, self.seed, self.drop_last = 0, shuffle, seed, drop_last
        total = len(dataset)
        if drop_last and total % num_replicas != 0:
            total -= num_replicas
        self.num_samples = math.ceil(total / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        order = list(range(len(self.dataset)))
        if self.shuffle:
            generator = torch.Generator()
            generator.manual_seed(self.seed + self.epoch)
            order = torch.randperm(len(self.dataset), generator=generator).tolist()
        if not self.drop_last:
            order *= math.ceil(self.total_size / len(order))
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of the next pass."""
        self.epoch = epoch
