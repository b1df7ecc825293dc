"""A pass over a DataLoader with worker processes.

Enters: a loader with workers. Leaves: batches, in the sampler's order unless `in_order=False`. Each worker has an index queue and a
result connection of its own, so a worker that dies while writing spoils nobody else's; a death is noticed at once.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
import warnings
import weakref
from itertools import cycle
from multiprocessing import connection as mp_connection
from pickle import PicklingError
from typing import Any

from frankentorch.utils.data._utils import transport
from frankentorch.utils.data._utils.worker import (
    ENDED,
    MP_STATUS_CHECK_INTERVAL,
    RESUMED,
    ExceptionWrapper,
    Resume,
    WorkerSpec,
    worker_loop,
)
from frankentorch.utils.data.dataloader import DataLoader, _BaseDataLoaderIter

_UNPICKLABLE = (
    "Got pickle error when attempting to start a worker Process. This might be because the worker Process arguments are not "
    "picklable. Python 3.14+ changed the multiprocessing start method in non-Mac POSIX platforms to 'forkserver', which "
    "requires the worker Process arguments to be picklable. You can also try multiprocessing.set_start_method('fork')."
)


class _Member:
    """The main process's side of one worker."""

    def __init__(self, context: Any, spec: WorkerSpec, done: Any, others: list[_Member]) -> None:
        self.id = spec.id
        self.tasks = context.Queue()
        # An undelivered index must not keep the interpreter alive.
        self.tasks.cancel_join_thread()
        self.results, theirs = context.Pipe(duplex=False)
        forked = context.get_start_method() == "fork"
        inherited = [self.results, *(member.results for member in others)] if forked else []
        self.process = context.Process(target=worker_loop, args=(spec, self.tasks, theirs, done, inherited), daemon=True)
        try:
            self.process.start()
        except (TypeError, AttributeError, PicklingError):
            warnings.warn(_UNPICKLABLE, stacklevel=6)
            raise
        finally:
            theirs.close()
        # False once its stream has ended.
        self.active = True
        self.outstanding = 0

    def died_of(self) -> str:
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"DataLoader worker (pid {self.process.pid}) exited with code {code}."
        return f"DataLoader worker (pid {self.process.pid}) is killed by signal: {signal.strsignal(-code)}. "


class _Crew:
    """All workers of a pass, their shared directory, and their end. Holds no reference to the pass."""

    def __init__(self, context: Any) -> None:
        self.members: list[_Member] = []
        self.pid = os.getpid()
        self.directory = transport.shared_directory()
        self.done = context.Event()

    def shutdown(self) -> None:
        """Ask every worker to leave, wait a little, end those that stay, and remove what was shared."""
        if os.getpid() != self.pid:
            # A forked child's copy of the pass has died, not the pass.
            return
        self.done.set()
        for member in self.members:
            member.tasks.put(None)
        self._drain(time.monotonic() + MP_STATUS_CHECK_INTERVAL)
        for member in self.members:
            if member.process.is_alive():
                member.process.terminate()
            member.process.join(MP_STATUS_CHECK_INTERVAL)
            member.tasks.close()
            member.results.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _drain(self, deadline: float) -> None:
        """Read and drop what workers still send, so that none is stuck in a send, until all have left or time is up."""
        open_ends: dict[Any, _Member] = {member.results: member for member in self.members}
        while open_ends and time.monotonic() < deadline:
            for end in mp_connection.wait(list(open_ends), timeout=0.1):
                try:
                    end.recv_bytes()  # type: ignore[union-attr]
                except (EOFError, OSError):
                    del open_ends[end]


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Keeps `prefetch_factor` tasks a worker under way and hands out results by task number."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        self._prefetch_factor: int = loader.prefetch_factor or 0
        if self._prefetch_factor <= 0:
            raise AssertionError("prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter")
        self._in_order = loader.in_order
        context = loader.multiprocessing_context or multiprocessing.get_context()
        self._crew = _Crew(context)
        self._members = self._crew.members
        # Not __del__: when a cycle is collected, the queues' own finalizers would run before it and lose the last message.
        self._shutdown_workers = weakref.finalize(self, self._crew.shutdown)
        try:
            for i in range(self._num_workers):
                spec = WorkerSpec(
                    self._dataset_kind, self._dataset, self._auto_collation, self._collate_fn, self._drop_last,
                    self._base_seed, loader.worker_init_fn, i, self._num_workers, self._crew.directory,
                )  # fmt: skip
                self._members.append(_Member(context, spec, self._crew.done, self._members))
        except BaseException:
            self._shutdown_workers()
            raise
        self._reset(loader, first_iter=True)

    @property
    def _workers(self) -> list[Any]:
        return [member.process for member in self._members]

    def _reset(self, loader: DataLoader[Any], first_iter: bool = False) -> None:
        super()._reset(loader)
        self._send_idx = self._rcvd_idx = 0
        # Task number -> worker, then its result where one came early.
        self._owner: dict[int, _Member] = {}
        self._early: dict[int, Any] = {}
        if not first_iter:
            self._resume_workers()
        for member in self._members:
            member.active, member.outstanding = True, 0
        self._turn = cycle(self._members)
        for _ in range(self._prefetch_factor * self._num_workers):
            self._try_put_index()

    def _resume_workers(self) -> None:
        """Start another pass; what is still on its way from the last one is dropped."""
        for member in self._members:
            member.active = True
            member.tasks.put(Resume())
        waiting = set(range(self._num_workers))
        while waiting:
            member, (kind, _, _) = self._get_data()
            if kind == RESUMED:
                waiting.discard(member.id)

    # -- tasks out -------------------------------------------------------------------------------------------------------------

    def _try_put_index(self) -> None:
        """Give the next indices to the next worker that takes any; nothing when the sampler or every worker is done."""
        try:
            index = self._next_index()
        except StopIteration:
            return
        active = sum(member.active for member in self._members)
        room = self._prefetch_factor * self._num_workers // active if active else 0
        for _ in self._members:
            member = next(self._turn)
            if member.active and (self._in_order or member.outstanding < room):
                break
        else:
            return
        member.tasks.put((self._send_idx, index))
        member.outstanding += 1
        self._owner[self._send_idx] = member
        self._send_idx += 1

    # -- results in ------------------------------------------------------------------------------------------------------------

    def _get_data(self) -> tuple[_Member, Any]:
        """The next message of any worker. RuntimeError when one dies or the timeout passes."""
        limit = self._timeout if self._timeout > 0 else None
        deadline = None if limit is None else time.monotonic() + limit
        watched = [member for member in self._members if member.active or self._persistent_workers]
        by_end = {member.results: member for member in watched}
        by_sentinel = {member.process.sentinel: member for member in watched}
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = mp_connection.wait([*by_end, *by_sentinel], timeout=left)
            if not ready:
                raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
            # What a worker managed to send before it died still counts.
            for end in ready:
                if end in by_end:
                    try:
                        return by_end[end], transport.receive(end)  # type: ignore[arg-type, index]
                    except (EOFError, ConnectionResetError):
                        by_end[end].process.join(MP_STATUS_CHECK_INTERVAL)  # type: ignore[index]
            self._raise_for_dead(watched)

    def _raise_for_dead(self, watched: list[_Member]) -> None:
        dead = [member for member in watched if not member.process.is_alive()]
        if not dead:
            return
        for member in dead:
            member.active = False
        pids = ", ".join(str(member.process.pid) for member in dead)
        raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly") from RuntimeError(
            " ".join(member.died_of() for member in dead)
        )

    def _skip_lost_tasks(self) -> None:
        """Pass over numbers whose worker's stream ended before it came to them, or that were handed out already."""
        while self._rcvd_idx < self._send_idx:
            member = self._owner.get(self._rcvd_idx)
            if member is not None and (member.active or self._rcvd_idx in self._early):
                return
            self._owner.pop(self._rcvd_idx, None)
            self._rcvd_idx += 1

    def _next_data(self) -> Any:
        while True:
            self._skip_lost_tasks()
            if self._rcvd_idx >= self._send_idx:
                if not self._persistent_workers:
                    self._shutdown_workers()
                raise StopIteration
            if self._rcvd_idx in self._early:
                return self._hand_out(self._rcvd_idx, self._early.pop(self._rcvd_idx))
            member, (kind, number, data) = self._get_data()
            if kind == ENDED:
                self._retire(member)
                self._try_put_index()
            elif number == self._rcvd_idx or not self._in_order:
                return self._hand_out(number, data)
            else:
                self._early[number] = data

    def _hand_out(self, number: int, data: Any) -> Any:
        self._owner.pop(number).outstanding -= 1
        if number == self._rcvd_idx:
            self._rcvd_idx += 1
        self._try_put_index()
        if isinstance(data, ExceptionWrapper):
            data.reraise()
        return data

    # -- the end ---------------------------------------------------------------------------------------------------------------

    def _retire(self, member: _Member) -> None:
        """A worker whose stream has ended takes no more tasks; without persistent workers it leaves."""
        member.active = False
        if not self._persistent_workers:
            member.tasks.put(None)
