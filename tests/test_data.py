"""Data sets, samplers and the DataLoader against torch: the same seeds give the same batches, with and without workers."""

from __future__ import annotations

import collections
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data as td
from torch.utils.data._utils.worker import _generate_state

import frankentorch as ft
import frankentorch.utils.data as fd
from frankentorch.utils.data._utils import transport
from frankentorch.utils.data._utils.worker import ExceptionWrapper, numpy_seed

pytestmark = pytest.mark.timeout(120)

Pair = collections.namedtuple("Pair", "a b")


def plain(x: Any) -> Any:
    """Batches of either library as numbers, with the types of containers and dtypes of tensors kept."""
    if isinstance(x, (torch.Tensor, ft.Tensor)):
        return ("tensor", str(x.dtype).rsplit(".", 1)[-1], tuple(x.shape), x.tolist())
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, np.ndarray):
        return ("array", x.tolist())
    if isinstance(x, (list, tuple, collections.deque)):
        return (type(x).__name__, [plain(v) for v in x])
    return x


def both(run: Callable[[Any, Any], Any]) -> tuple[Any, Any]:
    """What `run(lib, lib.utils.data)` gives in torch and here: a plain value, or the error."""
    out = []
    for lib, data in ((torch, td), (ft, fd)):
        try:
            out.append(plain(run(lib, data)))
        except Exception as error:  # noqa: BLE001
            out.append((type(error).__name__, str(error)))
    return out[0], out[1]


def agree(run: Callable[[Any, Any], Any]) -> Any:
    theirs, mine = both(run)
    assert mine == theirs
    return mine


class Squares(fd.Dataset):
    """Indices and squares; module level, so that spawned workers find it."""

    def __init__(self, n: int = 23) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        return ft.tensor([float(i), float(i * i)]), i


class Noise(Squares):
    """What a worker's generators say, and which worker it is."""

    def __getitem__(self, i: int) -> Any:
        import random

        info = fd.get_worker_info()
        assert info is not None and info.dataset is self
        return info.id, info.num_workers, info.seed, random.random(), float(np.random.rand()), float(ft.rand(()))


class TorchNoise(td.Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Any:
        import random

        info = td.get_worker_info()
        return info.id, info.num_workers, info.seed, random.random(), float(np.random.rand()), float(torch.rand(()))


class Stream(fd.IterableDataset):
    def __init__(self, n: int = 10, claim: int | None = None) -> None:
        self.n, self.claim = n, claim

    def __iter__(self) -> Iterator[int]:
        info = fd.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, self.n, step))

    def __len__(self) -> int:
        if self.claim is None:
            raise TypeError("no length")
        return self.claim


class TorchStream(td.IterableDataset):
    __init__ = Stream.__init__
    __len__ = Stream.__len__

    def __iter__(self) -> Iterator[int]:
        info = td.get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, self.n, step))


class Faulty(Squares):
    def __init__(self, error: Any, at: int = 5) -> None:
        super().__init__(12)
        self.error, self.at = error, at

    def __getitem__(self, i: int) -> Any:
        if i == self.at:
            if self.error == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.error == "sleep":
                time.sleep(30)
            raise self.error
        return i


class TwoArguments(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b)


def stamp(worker_id: int) -> None:
    os.environ["FT_TEST_STAMP"] = f"worker {worker_id}"


class Stamped(Squares):
    def __getitem__(self, i: int) -> str:
        return os.environ.get("FT_TEST_STAMP", "none")


def fail_to_start(worker_id: int) -> None:
    raise ValueError("no thanks")


def as_list(batch: list[Any]) -> list[Any]:
    return list(batch)


# -- data sets -----------------------------------------------------------------------------------------------------------------


class Rows:
    """A plain indexable."""

    def __init__(self, n: int, shift: int = 0) -> None:
        self.n, self.shift = n, shift

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> int:
        if not -self.n <= i < self.n:
            raise IndexError(i)
        return i + self.shift


class Batched(Rows):
    def __getitems__(self, indices: list[int]) -> list[int]:
        return [1000 + i + self.shift for i in indices]


class Short(Rows):
    def __getitems__(self, indices: list[int]) -> list[int]:
        return [0]


@pytest.mark.parametrize(
    "run",
    [
        lambda t, d: d.TensorDataset(t.arange(6).reshape(3, 2), t.ones(3))[1],
        lambda t, d: len(d.TensorDataset(t.zeros(4, 2))),
        lambda t, d: d.TensorDataset(t.zeros(4), t.zeros(3)),
        lambda t, d: d.Dataset()[0],
        lambda t, d: [d.ConcatDataset([Rows(3), Rows(2, 10)])[i] for i in (0, 2, 3, 4, -1, -5)],
        lambda t, d: d.ConcatDataset([Rows(3)])[-4],
        lambda t, d: d.ConcatDataset([]),
        lambda t, d: d.ConcatDataset([Rows(3), Rows(0), Rows(2)]).cumulative_sizes,
        lambda t, d: len(d.ConcatDataset([Rows(3), Rows(2)])),
        lambda t, d: d.StackDataset(Rows(3), Rows(3, 10))[2],
        lambda t, d: d.StackDataset(a=Rows(3), b=Batched(3, 10)).__getitems__([0, 2]),
        lambda t, d: d.StackDataset(Rows(3), Batched(3, 10)).__getitems__([0, 2]),
        lambda t, d: d.StackDataset(Rows(3), Short(3)).__getitems__([0, 2]),
        lambda t, d: d.StackDataset(Rows(3), Rows(4)),
        lambda t, d: d.StackDataset(),
        lambda t, d: d.StackDataset(Rows(3), a=Rows(3)),
        lambda t, d: d.Subset(Rows(9), [4, 1, 7])[1],
        lambda t, d: d.Subset(Rows(9), [4, 1, 7]).__getitems__([0, 2]),
        lambda t, d: d.Subset(Batched(9), [4, 1, 7]).__getitems__([0, 2]),
        lambda t, d: d.Subset(d.TensorDataset(t.arange(9)), [4, 1])[[0, 1]],
        lambda t, d: len(d.Subset(Rows(9), [4, 1])),
        lambda t, d: d.random_split(Rows(5), [2, 2]),
        lambda t, d: d.random_split(Rows(5), [1.5, -0.5]),
    ],
)
def test_datasets(run: Callable[[Any, Any], Any]) -> None:
    agree(run)


@pytest.mark.parametrize("lengths", [[3, 5, 2], [0.5, 0.3, 0.2], [0.33, 0.33, 0.34], [1.0]])
def test_random_split(lengths: list[Any]) -> None:
    def run(t: Any, d: Any) -> Any:
        t.manual_seed(11)
        first = [list(part.indices) for part in d.random_split(Rows(10), lengths)]
        return first, [list(p.indices) for p in d.random_split(Rows(10), lengths, generator=t.Generator().manual_seed(4))]

    agree(run)


def test_random_split_warns_of_an_empty_part() -> None:
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        fd.random_split(Rows(1), [0.5, 0.5])


def test_subset_subclass_must_fetch_batches_itself() -> None:
    class Shifted(fd.Subset):
        def __getitem__(self, idx: int) -> int:
            return 1

    with pytest.raises(NotImplementedError, match="overrides __getitem__ but not __getitems__"):
        Shifted(Rows(3), [0])


def test_sums_of_sets() -> None:
    assert isinstance(Squares() + Squares(), fd.ConcatDataset)
    assert list(Stream(3) + Stream(2)) == [0, 1, 2, 0, 1]
    assert len(fd.ChainDataset([Stream(3, 3), Stream(2, 2)])) == 5
    with pytest.raises(AssertionError, match="ChainDataset only supports IterableDataset"):
        list(fd.ChainDataset([Squares()]))
    with pytest.raises(AssertionError, match="ConcatDataset does not support IterableDataset"):
        fd.ConcatDataset([Stream()])


# -- samplers ------------------------------------------------------------------------------------------------------------------

SAMPLERS: dict[str, Callable[[Any, Any], Any]] = {
    "sequential": lambda t, d: d.SequentialSampler(range(7)),
    "random": lambda t, d: d.RandomSampler(range(17)),
    "random-own": lambda t, d: d.RandomSampler(range(17), generator=t.Generator().manual_seed(5)),
    "random-more": lambda t, d: d.RandomSampler(range(5), num_samples=13),
    "random-fewer": lambda t, d: d.RandomSampler(range(50), num_samples=7),
    "replacement": lambda t, d: d.RandomSampler(range(9), replacement=True, num_samples=70),
    "subset": lambda t, d: d.SubsetRandomSampler([3, 1, 4, 15, 9]),
    "weighted": lambda t, d: d.WeightedRandomSampler([0.1, 0.9, 0.4, 2.0], 12),
    "weighted-without": lambda t, d: d.WeightedRandomSampler([0.1, 0.9, 0.4, 2.0], 3, replacement=False),
    "batch": lambda t, d: d.BatchSampler(d.RandomSampler(range(11)), 4, False),
    "batch-drop": lambda t, d: d.BatchSampler(range(11), 4, True),
    "distributed": lambda t, d: d.DistributedSampler(range(11), 3, 1, seed=2),
    "distributed-tiny": lambda t, d: d.DistributedSampler(range(2), 7, 5),
    "distributed-drop": lambda t, d: d.DistributedSampler(range(11), 4, 3, drop_last=True),
    "distributed-even": lambda t, d: d.DistributedSampler(range(12), 4, 0, drop_last=True, shuffle=False),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers(name: str) -> None:
    def run(t: Any, d: Any) -> Any:
        t.manual_seed(2)
        sampler = SAMPLERS[name](t, d)
        passes = [list(sampler), list(sampler)]
        if name.startswith("distributed"):
            sampler.set_epoch(3)
            passes.append(list(sampler))
        # The generator stands where torch's stands: later draws agree too.
        return len(sampler), passes, t.rand(3)

    agree(run)


@pytest.mark.parametrize(
    "run",
    [
        lambda t, d: d.RandomSampler(range(0)),
        lambda t, d: d.RandomSampler(range(3), replacement=1),
        lambda t, d: d.RandomSampler(range(3), num_samples=-1),
        lambda t, d: d.WeightedRandomSampler([1.0], 0),
        lambda t, d: d.WeightedRandomSampler([1.0], True),
        lambda t, d: d.WeightedRandomSampler([1.0], 1, replacement=1),
        lambda t, d: d.WeightedRandomSampler([[1.0]], 1),
        lambda t, d: d.BatchSampler(range(3), 0, False),
        lambda t, d: d.BatchSampler(range(3), 2, 1),
        lambda t, d: d.DistributedSampler(range(3), 2, 2),
    ],
)
def test_sampler_errors(run: Callable[[Any, Any], Any]) -> None:
    assert isinstance(agree(run), tuple)


# -- collation -----------------------------------------------------------------------------------------------------------------


class Bag(dict):
    """A mapping with more to it than its items."""

    label = "bag"


@pytest.mark.parametrize(
    "make",
    [
        lambda t: [1, 2, 3],
        lambda t: [1.5, 2.0],
        lambda t: [True, False],
        lambda t: ["a", "bc"],
        lambda t: [b"a", b"bc"],
        lambda t: [t.ones(2), t.zeros(2)],
        lambda t: [(t.ones(2), 1), (t.zeros(2), 2)],
        lambda t: [[1, 2.0], [3, 4.0]],
        lambda t: [{"x": 1, "y": [1, 2]}, {"x": 2, "y": [3, 4]}],
        lambda t: [Bag(x=1), Bag(x=2)],
        lambda t: [Pair(1, 2.0), Pair(3, 4.0)],
        lambda t: [np.arange(3), np.arange(3)],
        lambda t: [np.float32(1), np.float32(2)],
        lambda t: [np.int64(1), np.int64(2)],
        lambda t: [np.bool_(True), np.bool_(False)],
        lambda t: [np.array(["a"]), np.array(["b"])],
        lambda t: [[1, 2], [3]],
        lambda t: [None, None],
        lambda t: [range(2), range(2)],
        lambda t: [collections.OrderedDict(a=1, b=2.0), collections.OrderedDict(a=3, b=4.0)],
        lambda t: [collections.deque([1, 2]), collections.deque([3, 4])],
    ],
)
def test_collate_and_convert(make: Callable[[Any], Any]) -> None:
    agree(lambda t, d: d.default_collate(make(t)))
    agree(lambda t, d: d.default_convert(make(t)))


def test_collate_keeps_a_mappings_class() -> None:
    made = fd.default_collate([Bag(x=1), Bag(x=2)])
    assert type(made) is Bag and made.label == "bag"


def test_collate_with_a_map_of_ones_own() -> None:
    from frankentorch.utils.data._utils.collate import collate, default_collate_fn_map

    class Point:
        pass

    rules = {**default_collate_fn_map, Point: lambda batch, *, collate_fn_map: len(batch)}
    assert collate([(Point(), 1), (Point(), 2)], collate_fn_map=rules)[0] == 2


# -- the loader in one process -------------------------------------------------------------------------------------------------

LOADERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batches": {"batch_size": 4},
    "shuffled": {"batch_size": 4, "shuffle": True},
    "dropping": {"batch_size": 4, "drop_last": True},
    "single": {"batch_size": None},
    "sampler": {"batch_size": 3, "sampler": [5, 1, 1, 0, 9]},
    "batch_sampler": {"batch_sampler": [[1, 2], [5], [7, 8, 9]]},
    "collate": {"batch_size": 3, "collate_fn": as_list},
}


@pytest.mark.parametrize("name", LOADERS)
def test_one_process(name: str) -> None:
    def run(t: Any, d: Any) -> Any:
        data = d.TensorDataset(t.arange(20).reshape(10, 2).float(), t.arange(10))
        t.manual_seed(9)
        loader = d.DataLoader(data, **LOADERS[name])
        return len(loader), [list(loader), list(loader)], t.rand(2)

    agree(run)


@pytest.mark.parametrize("index", [[0, 3, 3, 1], [-1, 2], [5], [True, 1], [10]])
def test_tensor_sets_are_gathered_as_they_would_be_collated(index: list[Any]) -> None:
    def run(t: Any, d: Any) -> Any:
        rows = d.TensorDataset(t.arange(20).reshape(10, 2).float(), t.arange(10), t.ones(10, 0, dtype=t.bool))
        half = d.Subset(d.Subset(rows, list(range(9, -1, -1))), [4, 1, 0, 8, 2, 3])
        batches = [next(iter(d.DataLoader(rows, batch_sampler=[index])))]
        if max(index) < 6:
            batches.append(next(iter(d.DataLoader(half, batch_sampler=[index]))))
        return batches

    theirs, mine = both(run)
    assert mine == theirs or (mine[0] == theirs[0] == "IndexError")


def test_an_own_getitem_is_not_gathered_around() -> None:
    class Doubled(fd.TensorDataset):
        def __getitem__(self, i: int) -> Any:
            return tuple(2 * x for x in super().__getitem__(i))

    (batch,) = next(iter(fd.DataLoader(Doubled(ft.arange(4)), batch_size=4)))
    assert batch.tolist() == [0, 2, 4, 6]


def test_shuffle_with_a_generator() -> None:
    def run(t: Any, d: Any) -> Any:
        g = t.Generator().manual_seed(77)
        loader = d.DataLoader(list(range(30)), batch_size=7, shuffle=True, generator=g)
        return [list(loader), list(loader), t.rand(2, generator=g)]

    agree(run)


@pytest.mark.parametrize("kwargs", [{}, {"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}])
def test_streams_in_one_process(kwargs: dict[str, Any]) -> None:
    theirs = [plain(b) for b in td.DataLoader(TorchStream(), **kwargs)]
    assert [plain(b) for b in fd.DataLoader(Stream(), **kwargs)] == theirs


@pytest.mark.parametrize(
    "kwargs",
    [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"num_workers": 1, "prefetch_factor": -2},
        {"persistent_workers": True},
        {"shuffle": True, "sampler": [1]},
        {"batch_sampler": [[1]], "batch_size": 3},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 0},
        {"multiprocessing_context": "fork"},
        {"num_workers": 1, "multiprocessing_context": "x"},
        {"num_workers": 1, "multiprocessing_context": 3},
    ],
)
def test_loader_errors(kwargs: dict[str, Any]) -> None:
    assert isinstance(agree(lambda t, d: d.DataLoader([1, 2, 3], **kwargs)), tuple)


@pytest.mark.parametrize("kwargs", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}])
def test_stream_errors(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as mine:
        fd.DataLoader(Stream(), **kwargs)
    with pytest.raises(ValueError) as theirs:
        td.DataLoader(TorchStream(), **kwargs)
    assert str(mine.value) == str(theirs.value)


def test_attributes_are_frozen() -> None:
    loader = fd.DataLoader([1, 2])
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 3


def test_a_stream_longer_than_it_says_warns() -> None:
    loader = fd.DataLoader(Stream(6, claim=4))
    assert len(loader) == 4
    with pytest.warns(UserWarning, match="was reported to be 4"):
        assert len(list(loader)) == 6


def test_pinning_and_too_many_workers_warn() -> None:
    with pytest.warns(UserWarning, match="no accelerator is found"):
        iter(fd.DataLoader([1], pin_memory=True))
    with warnings.catch_warnings(record=True) as mine, warnings.catch_warnings():
        warnings.simplefilter("always")
        fd.DataLoader([1], num_workers=999)
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        td.DataLoader([1], num_workers=999)
    assert [str(w.message) for w in theirs] == [str(w.message) for w in mine]


# -- workers -------------------------------------------------------------------------------------------------------------------


def expected(n: int = 23, size: int = 4) -> list[Any]:
    return [plain(b) for b in fd.DataLoader(Squares(n), batch_size=size)]


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_give_the_same_batches(context: str) -> None:
    loader = fd.DataLoader(Squares(), batch_size=4, num_workers=2, multiprocessing_context=context)
    assert [plain(b) for b in loader] == expected()


def test_spawned_workers_get_a_set_of_tensors() -> None:
    rows = fd.TensorDataset(ft.arange(3000).reshape(10, 300).float(), ft.arange(10).to(ft.bfloat16))
    loader = fd.DataLoader(rows, batch_size=4, num_workers=1, multiprocessing_context="spawn")
    assert [plain(b) for b in loader] == [plain(b) for b in fd.DataLoader(rows, batch_size=4)]


def test_a_set_that_cannot_be_sent_warns() -> None:
    rows = fd.Subset([lambda: 0], [0])
    with pytest.warns(UserWarning, match="Got pickle error when attempting to start a worker Process"), pytest.raises(Exception, match="pickle"):
        iter(fd.DataLoader(rows, num_workers=1, multiprocessing_context="spawn"))


def test_shuffled_workers_agree_with_torch() -> None:
    torch.manual_seed(31)
    theirs = [plain(b) for b in td.DataLoader(range(40), batch_size=6, shuffle=True, num_workers=2)]
    ft.manual_seed(31)
    assert [plain(b) for b in fd.DataLoader(range(40), batch_size=6, shuffle=True, num_workers=2)] == theirs


def test_worker_seeds_agree_with_torch() -> None:
    torch.manual_seed(8)
    theirs = list(td.DataLoader(TorchNoise(), batch_size=None, num_workers=2))
    ft.manual_seed(8)
    mine = list(fd.DataLoader(Noise(8), batch_size=None, num_workers=2))
    assert [tuple(map(float, x)) for x in mine] == [tuple(map(float, x)) for x in theirs]


@pytest.mark.parametrize("base", [0, 5, 2**31 + 7, 2**62 + 12345])
def test_numpy_seeds(base: int) -> None:
    assert [numpy_seed(base, w) for w in range(4)] == [_generate_state(base, w) for w in range(4)]


@pytest.mark.parametrize("batch_size", [None, 3])
def test_streams_over_workers(batch_size: int | None) -> None:
    theirs = [plain(b) for b in td.DataLoader(TorchStream(11), batch_size=batch_size, num_workers=2)]
    assert [plain(b) for b in fd.DataLoader(Stream(11), batch_size=batch_size, num_workers=2)] == theirs


def test_persistent_workers_stay() -> None:
    loader = fd.DataLoader(Squares(), batch_size=4, num_workers=2, persistent_workers=True)
    assert [plain(b) for b in loader] == expected()
    pids = [w.pid for w in loader._iterator._workers]
    next(iter(loader))
    # A pass broken off leaves results under way; the next one starts clean.
    assert [plain(b) for b in loader] == expected()
    assert [w.pid for w in loader._iterator._workers] == pids
    stream = fd.DataLoader(Stream(7), batch_size=2, num_workers=2, persistent_workers=True)
    assert [plain(b) for b in stream] == [plain(b) for b in stream]


def test_out_of_order_gives_everything() -> None:
    loader = fd.DataLoader(Squares(), batch_size=4, num_workers=2, in_order=False)
    assert sorted(map(repr, map(plain, loader))) == sorted(map(repr, expected()))


def test_init_function_runs_in_each_worker() -> None:
    loader = fd.DataLoader(Stamped(4), batch_size=None, num_workers=2, worker_init_fn=stamp)
    assert list(loader) == ["worker 0", "worker 1", "worker 0", "worker 1"]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", [ValueError("bad row"), KeyError("key"), TwoArguments(1, 2), StopIteration()])
def test_errors_come_back(error: Exception, workers: int) -> None:
    if workers == 0 and isinstance(error, StopIteration):
        pytest.skip("ends the pass, as in torch")
    loader = fd.DataLoader(Faulty(error), batch_size=None, num_workers=workers)
    batches = iter(loader)
    assert [next(batches) for _ in range(5)] == [0, 1, 2, 3, 4]
    kind = RuntimeError if workers and isinstance(error, TwoArguments) else type(error)
    with pytest.raises(kind) as caught:
        next(batches)
    if workers:
        said = str(caught.value)
        assert said.startswith(f"Caught {type(error).__name__} in DataLoader worker process 0.\nOriginal Traceback")
        assert "__getitem__" in said
        # The pass goes on after an error.
        assert next(batches) == 6


def test_init_function_that_fails() -> None:
    with pytest.raises(ValueError, match="Caught ValueError in DataLoader worker process 0"):
        next(iter(fd.DataLoader(Squares(), num_workers=1, worker_init_fn=fail_to_start)))


def test_a_killed_worker_is_reported() -> None:
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly") as caught:
        list(fd.DataLoader(Faulty("die"), num_workers=2))
    assert "killed by signal: Killed" in str(caught.value.__cause__)
    assert time.monotonic() - started < 20


def test_timeout() -> None:
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.5 seconds"):
        list(fd.DataLoader(Faulty("sleep", 0), num_workers=1, timeout=0.5))


def test_workers_and_files_are_gone_afterwards() -> None:
    loader = fd.DataLoader(Large(), batch_size=2, num_workers=2)
    batches = iter(loader)
    next(batches)
    workers, directory = batches._workers, batches._crew.directory
    assert os.path.isdir(directory)
    del batches
    assert not any(w.is_alive() for w in workers)
    assert not os.path.exists(directory)


class Large(Squares):
    def __getitem__(self, i: int) -> Any:
        return ft.full((50, 40), float(i))


def test_large_batches_go_through_shared_memory() -> None:
    for i, batch in enumerate(fd.DataLoader(Large(8), batch_size=4, num_workers=2)):
        assert tuple(batch.shape) == (4, 50, 40)
        assert [float(row[0, 0]) for row in batch] == [4.0 * i + j for j in range(4)]
        batch.add_(1)
        assert float(batch[3, 49, 39]) == 4.0 * i + 4


def test_batches_that_cannot_be_sent_are_errors() -> None:
    class Odd(Squares):
        def __getitem__(self, i: int) -> Any:
            return lambda: i

    with pytest.raises(Exception, match="in DataLoader worker process 0"):
        next(iter(fd.DataLoader(Odd(), batch_size=None, num_workers=1)))


def travel(x: Any) -> Any:
    import multiprocessing
    import tempfile

    there, here = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as directory:
        transport.send(there, transport.pack(x), directory)
        return transport.receive(here)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int64", "bool", "complex64"])
@pytest.mark.parametrize("n", [0, 3, 700, 40000])
def test_transport_keeps_values(dtype: str, n: int) -> None:
    x = (ft.arange(n) % 100).to(getattr(ft, dtype))
    (y,) = travel([x])
    assert y.dtype == x.dtype and y.shape == x.shape
    assert y.to(ft.complex64 if "complex" in dtype else ft.float64).tolist() == x.to(
        ft.complex64 if "complex" in dtype else ft.float64
    ).tolist()


def test_transport_keeps_structure() -> None:
    x = ft.arange(6.0).reshape(2, 3)
    got = travel({"x": x, "t": x.t(), "again": x, "zero": ft.tensor(2.5), "n": np.arange(3), "g": ft.ones(2, requires_grad=True)})
    assert got["again"] is got["x"] and got["t"].tolist() == x.t().tolist()
    assert got["zero"].shape == () and got["zero"].item() == 2.5 and got["n"].tolist() == [0, 1, 2]
    assert got["g"].requires_grad and not got["x"].requires_grad
    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        transport.pack(ft.ones(2, requires_grad=True) * 2)


def test_exception_wrapper_of_a_local_type() -> None:
    class Local(Exception):
        pass

    try:
        raise Local("here")
    except Local:
        wrapped = ExceptionWrapper(where="in test").sendable()
    with pytest.raises(RuntimeError, match="Caught RuntimeError in test"):
        wrapped.reraise()


def test_weighted_sampling_with_replacement_is_torchs() -> None:
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        for shape, n in (((3,), 5), ((4, 7), 11), ((50,), 300), ((3, 1), 4)):
            drawn = []
            for t in (ft, torch):
                t.manual_seed(7)
                weights = t.rand(shape, dtype=getattr(t, dtype)) + 0.01
                drawn.append((t.multinomial(weights, n, replacement=True).tolist(), t.rand(1).item()))
            assert drawn[0] == drawn[1], (dtype, shape)
