"""Running shards in worker processes of this machine, so that no generator can hurt another one or the run.

A worker serves one generator: it makes and loads it, describes it, and answers its shards one by one
(``evalkit.bench.worker``). Whatever goes wrong there (an exception, garbage, a crash, no answer in time) costs the
shard in hand; the next shard gets a fresh worker if need be. A generator that cannot be loaded fails as a whole.

A worker leads a process group of its own, so killing it takes its children along, and holds a pipe to this process
as its standard input: the end of that pipe tells it that this process is gone, however it went.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from evalkit.bench.tasks.task import Payload, Shard

POLL_S = 0.25  # how often deaths and time limits are looked at while nothing arrives
RELEASE_S = 10.0  # what a worker may take to release its generator and leave

# One thread per worker: workers are the parallelism, and sums split over threads differ in their last bits.
# A fixed hash seed: a generator that walks over a set gives the same pieces in every process.
# glibc's allocator gives large arrays back to the system at once; keeping them makes a network's passes a third faster.
WORKER_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    **dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(2**30)),
}


PATH_VARIABLES = ("EVALKIT_CACHE", "EVALKIT_DATA_MIRROR")


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One generator: how to make it (``spec`` and ``defaults`` of ``registry.load_generator``), and where it runs."""

    name: str
    spec: Mapping[str, Any]
    defaults: Mapping[str, Any]
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker says of its loaded generator; ``code`` identifies the source and libraries that it runs on."""

    info: dict[str, Any]
    capabilities: tuple[str, ...]
    code: dict[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer, in one line."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The answer to a shard, or its failure; with no shard, the failure of everything that its job still had to do."""

    job: Job
    shard: Shard | None
    answer: Payload | Failure


@dataclass(slots=True, eq=False)
class _Worker:
    job: Job
    process: subprocess.Popen[bytes]
    connection: Connection
    deadline: float
    shard: Shard | None = None  # None: it loads its generator


@dataclass(slots=True, eq=False)
class _Floor:
    """Who works on what."""

    unstarted: deque[Job]
    pending: dict[Job, deque[Shard]] = field(default_factory=dict)  # of the jobs that have been described
    described: dict[Job, Description] = field(default_factory=dict)
    busy: list[_Worker] = field(default_factory=list)
    leaving: list[_Worker] = field(default_factory=list)


def execute(
    jobs: Iterable[Job],
    shards_of: Callable[[Job, Description], Sequence[Shard]],
    *,
    workers: int,
    timeout: float,
    folder: Path,
) -> Iterator[Outcome]:
    """Outcomes in the order in which they come.

    ``shards_of`` is asked once per job, as soon as its generator is loaded, what is to be done. At most ``workers``
    processes work at a time, in ``folder``; loading, like a shard, may take ``timeout`` seconds.
    Closing the iterator (or Ctrl-C) kills the workers.
    """
    floor = _Floor(deque(jobs))
    try:
        while _staff(floor, workers, timeout, folder):
            wait([w.connection for w in floor.busy], timeout=_patience(floor))
            for worker in list(floor.busy):
                message = _message(worker, timeout)
                if message is not None:
                    yield from _handle(floor, worker, message, shards_of, timeout)
            _see_off(floor)
        while floor.leaving:
            _see_off(floor)
            time.sleep(0.005)
    finally:
        for worker in floor.busy + floor.leaving:
            _kill(worker)


def _staff(floor: _Floor, workers: int, timeout: float, folder: Path) -> bool:
    """Start workers while there is work for them; False when all is done."""
    while len(floor.busy) < workers:
        if floor.unstarted:
            floor.busy.append(_start(floor.unstarted.popleft(), timeout, folder))
        elif any(floor.pending.values()):
            staffed = [w.job for w in floor.busy]
            neediest = max(
                (job for job, shards in floor.pending.items() if shards),
                key=lambda job: len(floor.pending[job]) / (1 + staffed.count(job)),
            )
            if len(floor.pending[neediest]) <= sum(w.job is neediest and w.shard is None for w in floor.busy):
                break  # those who load just now will do it
            floor.busy.append(_start(neediest, timeout, folder))
        else:
            break
    return bool(floor.busy)


def _start(job: Job, timeout: float, folder: Path) -> _Worker:
    ours, theirs = Pipe()
    process = subprocess.Popen(
        # -P: a module of the working directory must not shadow one of ours
        [sys.executable, "-P", "-m", "evalkit.bench.worker", str(theirs.fileno())],
        stdin=subprocess.PIPE,
        stdout=2,  # what a generator prints is no part of our output
        pass_fds=[theirs.fileno()],
        cwd=folder,
        env=worker_environment(os.environ),
        start_new_session=True,
    )
    theirs.close()
    with suppress(BrokenPipeError):  # died at once: the end of its pipe will tell
        ours.send((job, timeout))
    return _Worker(job, process, ours, time.monotonic() + timeout)


def worker_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Ours, with folders that are the same ones in a worker, which runs elsewhere."""
    folders = {name: str(Path(ours[name]).expanduser().absolute()) for name in PATH_VARIABLES if ours.get(name)}
    return {**WORKER_ENVIRONMENT, **ours, **folders}


def _patience(floor: _Floor) -> float:
    nearest = min(w.deadline for w in floor.busy) - time.monotonic()
    return min(POLL_S, max(0.0, nearest))


def _message(worker: _Worker, timeout: float) -> Any:
    """What the worker has to say, a Failure if it is dead or late, None if it is at work."""
    if worker.connection.poll():
        try:
            return worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return Failure(_obituary(worker))
    if worker.process.poll() is not None:  # dead, and a child of its keeps the pipe open
        return Failure(_obituary(worker))
    if time.monotonic() > worker.deadline:
        _kill(worker)
        return Failure(f"no answer within {timeout:g} s")
    return None


def _obituary(worker: _Worker) -> str:
    with suppress(subprocess.TimeoutExpired):
        worker.process.wait(1)
    _kill(worker)
    code = worker.process.returncode
    if code >= 0:
        return f"its process exited with code {code} and no answer"
    name = signal.Signals(-code).name
    return f"its process was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _handle(
    floor: _Floor,
    worker: _Worker,
    message: Any,
    shards_of: Callable[[Job, Description], Sequence[Shard]],
    timeout: float,
) -> Iterator[Outcome]:
    """Book what a worker said, and give it its next shard."""
    job, shard = worker.job, worker.shard
    if isinstance(message, Description):
        first = floor.described.setdefault(job, message)
        if job not in floor.pending:
            floor.pending[job] = deque(shards_of(job, message))
        elif first != message:
            message = Failure(
                "info differs between two processes: its fingerprint must be made of weights and settings"
            )
    if shard is None and isinstance(message, Failure):
        floor.pending.get(job, deque()).clear()
    if worker.process.returncode is not None:
        floor.busy.remove(worker)
        worker.connection.close()
    elif not floor.pending.get(job):
        floor.busy.remove(worker)
        worker.connection.close()  # which tells it to release its generator and leave
        worker.deadline = time.monotonic() + RELEASE_S
        floor.leaving.append(worker)
    else:
        worker.shard = floor.pending[job].popleft()
        worker.deadline = time.monotonic() + timeout
        with suppress(BrokenPipeError):
            worker.connection.send(worker.shard)
    if not isinstance(message, Description):
        yield Outcome(job, shard, message)


def _see_off(floor: _Floor) -> None:
    """Forget the workers that have left; kill those that do not."""
    for worker in list(floor.leaving):
        if worker.process.poll() is None and time.monotonic() < worker.deadline:
            continue
        _kill(worker)
        floor.leaving.remove(worker)


def _kill(worker: _Worker) -> None:
    """The end of a worker and of whatever it started."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    if worker.process.stdin:
        worker.process.stdin.close()
    worker.connection.close()
