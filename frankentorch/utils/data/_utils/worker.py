"""What runs in a worker process of the DataLoader.

Enters: tasks `(number, indices)` from an index queue, `Resume` at the start of another pass, None at the end. Leaves: messages
`(kind, number, data)` on the worker's own connection, where kind is one of DATA, ENDED (its stream is over) and RESUMED; an
exception travels as an `ExceptionWrapper` in DATA. Random seeds are torch's: base seed + worker id.
"""

from __future__ import annotations

import os
import pickle
import queue
import random
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import numpy as np

import frankentorch as torch
from frankentorch.utils.data._utils import transport
from frankentorch.utils.data._utils.fetch import _DatasetKind

MP_STATUS_CHECK_INTERVAL = 5.0

DATA, ENDED, RESUMED = "data", "ended", "resumed"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Which worker this is: its number, how many there are, its seed, its copy of the data set."""

    id: int
    num_workers: int
    seed: int
    dataset: Any
    rng: Any = None
    worker_method: str | None = "multiprocessing"


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """This worker's `WorkerInfo`; None in the main process."""
    return _worker_info


class _KeyErrorMessage(str):
    """A message KeyError shows as it is; it would show a plain string's repr, on one line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class ExceptionWrapper:
    """An exception of a worker as its type and its traceback's text, to be raised again in the main process."""

    def __init__(self, exc_info: Any = None, where: str = "in background") -> None:
        kind, value, trace = exc_info or sys.exc_info()
        self.exc_type: Any = kind
        self.exc_msg = "".join(traceback.format_exception(kind, value, trace))
        self.where = where

    def reraise(self) -> NoReturn:
        """Raise the same type with the worker's traceback in its message; RuntimeError if the type cannot be made from one."""
        message: Any = f"Caught {self.exc_type.__name__} {self.where}.\nOriginal {self.exc_msg}"
        if self.exc_type is KeyError:
            message = _KeyErrorMessage(message)
        elif getattr(self.exc_type, "message", None):
            raise self.exc_type(message=message)
        try:
            error = self.exc_type(message)
        except Exception:  # noqa: BLE001
            raise RuntimeError(message) from None
        raise error

    def sendable(self) -> ExceptionWrapper:
        """Itself, or with RuntimeError for a type that does not pickle."""
        try:
            pickle.dumps(self)
        except Exception:  # noqa: BLE001
            self.exc_type = RuntimeError
        return self


@dataclass(frozen=True)
class Resume:
    """Start another pass over the data set."""


@dataclass
class WorkerSpec:
    """Everything a worker is told when it starts."""

    kind: int
    dataset: Any
    auto_collation: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    base_seed: int
    init_fn: Callable[[int], Any] | None
    id: int
    num_workers: int
    directory: str

    def __getstate__(self) -> tuple[bytes, list[bytes]]:
        # Only a spawned worker's spec is pickled; its tensors travel as those of batches do.
        body, parts = transport.pack(self.__dict__)
        return body, [bytes(part) for part in parts]

    def __setstate__(self, state: tuple[bytes, list[bytes]]) -> None:
        body, parts = state
        self.__dict__.update(pickle.loads(body, buffers=[bytearray(part) for part in parts]))

    def fetcher(self) -> Any:
        return _DatasetKind.create_fetcher(self.kind, self.dataset, self.auto_collation, self.collate_fn, self.drop_last)


def numpy_seed(base_seed: int, worker_id: int) -> list[int]:
    """Four words for numpy's generator, well apart for neighbouring workers."""
    entropy = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return [int(word) for word in np.random.SeedSequence(entropy).generate_state(4)]


def _prepare(spec: WorkerSpec) -> None:
    """One thread, the seeds, and the answer of `get_worker_info`."""
    global _worker_info
    torch.set_num_threads(1)
    seed = spec.base_seed + spec.id
    random.seed(seed)
    torch.manual_seed(seed)
    np.random.seed(numpy_seed(spec.base_seed, spec.id))
    _worker_info = WorkerInfo(spec.id, spec.num_workers, seed, spec.dataset)


def _die_with_parent(parent: int, directory: str) -> None:
    """Leave, and remove what was shared, when the main process is gone; a worker blocked in a send would not notice."""
    while os.getppid() == parent:
        time.sleep(MP_STATUS_CHECK_INTERVAL)
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(1)


class _Worker:
    def __init__(self, spec: WorkerSpec, results: Connection) -> None:
        self.spec, self.results = spec, results
        self.where = f"in DataLoader worker process {spec.id}"
        self.failure: ExceptionWrapper | None = None
        self.fetcher: Any = None

    def start(self) -> None:
        """The user's init function and a first fetcher; an exception waits for the first task."""
        try:
            if self.spec.init_fn is not None:
                self.spec.init_fn(self.spec.id)
            self.fetcher = self.spec.fetcher()
        except Exception:  # noqa: BLE001
            self.failure = ExceptionWrapper(where=self.where)

    def send(self, kind: str, number: int | None, data: Any) -> None:
        try:
            packed = transport.pack((kind, number, data))
        except Exception:  # noqa: BLE001
            packed = transport.pack((DATA, number, ExceptionWrapper(where=self.where).sendable()))
        transport.send(self.results, packed, self.spec.directory)

    def serve(self, number: int, index: Any) -> bool:
        """Answer one task. False when the stream has ended."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            self.send(DATA, number, failure.sendable())
            return True
        try:
            data = self.fetcher.fetch(index)
        except Exception as error:  # noqa: BLE001
            if isinstance(error, StopIteration) and self.spec.kind == _DatasetKind.Iterable:
                self.send(ENDED, number, None)
                return False
            data = ExceptionWrapper(where=self.where).sendable()
        self.send(DATA, number, data)
        return True

    def loop(self, tasks: Any, done: Any) -> None:
        over = False
        while True:
            try:
                task = tasks.get(timeout=MP_STATUS_CHECK_INTERVAL)
            except queue.Empty:
                continue
            if task is None:
                return
            if isinstance(task, Resume):
                over = False
                self.send(RESUMED, None, None)
                self.resume()
            elif not over and not done.is_set():
                over = not self.serve(*task)

    def resume(self) -> None:
        try:
            self.fetcher = self.spec.fetcher()
        except Exception:  # noqa: BLE001
            self.failure = ExceptionWrapper(where=self.where)


def worker_loop(spec: WorkerSpec, tasks: Any, results: Connection, done: Any, inherited: Sequence[Any]) -> None:
    """The main function of a worker process. `inherited` are a forked child's copies of ends that are not its own."""
    for end in inherited:
        end.close()
    watch = threading.Thread(target=_die_with_parent, args=(os.getppid(), spec.directory), daemon=True)
    watch.start()
    try:
        _prepare(spec)
        worker = _Worker(spec, results)
        worker.start()
        worker.loop(tasks, done)
    except (KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        # The main process has been interrupted or no longer listens: it reports, not the worker.
        pass
    finally:
        results.close()
