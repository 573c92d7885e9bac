"""Mapping a function over many items: in this process as long as that is quick, else in a few others.

Results come in the order of the items, a bounded number of chunks is under way, and an item that kills or blocks its
process is named and passed over: a worker notes in shared memory which item it is at, so the culprit is known.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from evalkit.errors import MidiError

A = TypeVar("A")
B = TypeVar("B")

PROBE_S = 0.5  # how long to work in this process before the rest is estimated
WORTH_S = 2.0  # processes pay when the rest would take longer than this here: they need half a second to start
ITEM_LIMIT_S = 30.0  # for one item in a worker; reading and counting takes about a millisecond
CHUNK = 64
CHUNKS_AHEAD = 4  # per worker: done or under way, but not yet asked for


def map_items(
    function: Callable[[A], B],
    items: Sequence[A],
    workers: int | None = None,
    *,
    name: Callable[[A], str] = str,
    chunk: int = CHUNK,
) -> Iterator[B | MidiError]:
    """``function`` of each item, in order; MidiError in the place of an item on which a worker died or got stuck.

    ``workers``: None starts processes, one per core, when half a second's work shows that they pay; 1 starts none.
    Function, items and results must be picklable where processes are used. An exception of ``function`` ends the map.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rest = iter(items)
    if workers is None:
        if multiprocessing.current_process().daemon:  # a worker may have no workers
            cores = 1
        spent = 0.0
        for done, item in enumerate(rest, 1):
            started = time.monotonic()
            result = function(item)
            spent += time.monotonic() - started
            yield result
            if cores > 1 and spent > PROBE_S:
                if spent / done * (len(items) - done) > WORTH_S:
                    break
                cores = 1
        else:
            return
        workers = cores
    if workers == 1:
        yield from map(function, rest)
    else:
        yield from _map_in_processes(function, rest, workers, name, chunk)


@dataclass(eq=False)
class _Worker:
    """A process, the line to it, the item it is at (of ``items``), and since when."""

    process: Any
    line: Connection
    position: Any  # shared: index of the item in hand, -1 before the first
    chunk: int = -1
    items: list[Any] | None = None  # None: idle
    seen: int = -1
    since: float = 0.0

    def give(self, chunk: int, items: list[Any]) -> None:
        self.chunk, self.items, self.seen, self.since = chunk, items, -1, time.monotonic()
        self.position.value = -1
        with suppress(OSError):  # it died while idle: collect() will see that
            self.line.send(items)

    def is_stuck(self) -> bool:
        now, position = time.monotonic(), self.position.value
        if position != self.seen:
            self.seen, self.since = position, now
        return self.items is not None and now - self.since > ITEM_LIMIT_S

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.line.close()


def _start(function: Callable[[Any], Any]) -> _Worker:
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    here, there = context.Pipe()
    position = context.RawValue("q", -1)
    process = context.Process(target=_serve, args=(function, there, position), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here, position)


def _serve(function: Callable[[Any], Any], line: Connection, position: Any) -> None:
    """The life of a worker: lists of items in, lists of results (or one exception) out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends the workers
    while True:
        try:
            items = line.recv()
        except EOFError:
            return
        answer: Any = []
        try:
            for position.value, item in enumerate(items):
                answer.append(item if isinstance(item, MidiError) else function(item))
        except Exception as error:
            answer = _sendable(error)
        line.send(answer)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _map_in_processes(
    function: Callable[[A], B], items: Iterator[A], count: int, name: Callable[[A], str], size: int
) -> Iterator[B | MidiError]:
    chunks = enumerate(iter(lambda: list(islice(items, size)), []))
    done: dict[int, list[Any]] = {}
    following = 0  # the chunk whose results come next
    pool = _Pool(function, count, name)
    try:
        while True:
            for worker in pool.workers:
                if worker.items is None and len(done) + len(pool.busy()) < CHUNKS_AHEAD * count:
                    for chunk, chunk_items in islice(chunks, 1):
                        worker.give(chunk, chunk_items)
            if following in done:
                yield from done.pop(following)
                following += 1
            elif pool.busy():
                done.update(pool.collect())
            else:
                return
    finally:
        pool.end()


class _Pool:
    """The workers of one map; whoever dies or gets stuck is replaced."""

    def __init__(self, function: Callable[[Any], Any], count: int, name: Callable[[Any], str]) -> None:
        self.function, self.name = function, name
        self.strikes: Counter[tuple[int, int]] = Counter()  # by chunk and place in it
        self.workers = [_start(function) for _ in range(count)]

    def busy(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.items is not None]

    def collect(self) -> Iterator[tuple[int, list[Any]]]:
        """Wait a moment for answers; chunks and their results, of those who answered."""
        busy = self.busy()
        ready = wait([worker.line for worker in busy], timeout=min(1.0, ITEM_LIMIT_S / 4))
        for worker in busy:
            if worker.line not in ready:
                if worker.is_stuck():
                    self.replace(worker, f"not done after {ITEM_LIMIT_S:g} seconds")
                continue
            try:
                answer = worker.line.recv()
            except (EOFError, OSError):
                worker.process.join()
                self.replace(worker, f"the process that worked on it died (exit code {worker.process.exitcode})")
                continue
            if isinstance(answer, Exception):
                raise answer
            worker.items = None
            yield worker.chunk, answer

    def replace(self, worker: _Worker, fault: str) -> None:
        """A fresh worker does the chunk again, without the item at which a second one came to grief."""
        place, items = worker.position.value, list(worker.items or [])
        worker.end()
        self.strikes[worker.chunk, place] += 1
        if self.strikes[worker.chunk, place] > 1:  # the first time may have been an accident
            if place < 0:
                raise RuntimeError("no worker can start; does the script guard its work by __name__ == '__main__'?")
            items[place] = MidiError(self.name(items[place]), fault)
        fresh = self.workers[self.workers.index(worker)] = _start(self.function)
        fresh.give(worker.chunk, items)

    def end(self) -> None:
        for worker in self.workers:
            worker.end()
