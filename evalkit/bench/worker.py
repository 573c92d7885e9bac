"""A worker process: makes one generator, describes it, and answers its shards until the connection ends.

Started as ``python -m evalkit.bench.worker FD`` by ``evalkit.bench.executors``, which explains the two pipes.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from evalkit.bench.executors import Description, Failure, Job
from evalkit.bench.records import sources_checksum
from evalkit.bench.tasks.task import Payload, Shard
from evalkit.datasets.download import sha256_of
from evalkit.errors import UserError
from evalkit.protocols import CAPABILITIES, Generator, GeneratorInfo, fingerprint
from evalkit.registry import FROM_FILE, load_generator
from evalkit.results import to_json

LIBRARIES = ("numpy", "scipy", "torch", "kenlm")  # whose version may change what a generator makes
REASON_LENGTH = 300


def serve(connection: Connection) -> None:
    """Answer shards until the other side closes the connection."""
    job, timeout = connection.recv()
    generator: Generator | None = None
    try:
        _limit(timeout)
        try:
            generator = load_generator(job.spec, **job.defaults)
            generator.load(_device(job))
            description = describe(generator)
        except BaseException as error:
            connection.send(Failure(reason_of(error)))
            return
        connection.send(description)
        while True:
            _limit(0)
            shard = connection.recv()
            _limit(timeout)
            connection.send(answer_shard(shard, generator))
    finally:
        if generator is not None:
            generator.release()


def answer_shard(shard: Shard, generator: Generator) -> Payload | Failure:
    """The payload; whatever a generator may raise becomes a Failure."""
    try:
        return shard.task.execute(shard, generator)
    except BaseException as error:
        return Failure(reason_of(error))


def describe(generator: Generator) -> Description:
    """The info of a loaded generator, the capabilities it has, and the code it runs.

    ``UserError`` where its info is not a GeneratorInfo that can be written as JSON.
    """
    info = generator.info
    if type(info) is not GeneratorInfo:  # a subclass may have fields that nobody else knows
        raise UserError(f"info must be an evalkit.protocols.GeneratorInfo itself, not {type(info).__qualname__}")
    text = to_json(info.as_dict())
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"info holds {text[error.start]!a}, which is no character of Unicode") from error
    capabilities = tuple(name for name, protocol in CAPABILITIES.items() if isinstance(generator, protocol))
    return Description(json.loads(text), capabilities, _code_of(type(generator)))


def _code_of(kind: type) -> dict[str, str]:
    """The libraries in use, and the checksums of the sources behind a class.

    Those are the whole top-level packages of the class and its ancestors (evalkit's own are in every key already);
    of a generator from a file all loaded modules that lie in the file's folder or below.
    """
    code = {name: str(getattr(sys.modules[name], "__version__", "")) for name in LIBRARIES if name in sys.modules}
    from_files = {name for name in sys.modules if name.startswith(FROM_FILE)}
    tops = {ancestor.__module__.partition(".")[0] for ancestor in kind.__mro__} - from_files
    for top in sorted(tops - {"evalkit", *LIBRARIES, *sys.stdlib_module_names}):
        module = sys.modules.get(top)
        folders = [Path(folder) for folder in getattr(module, "__path__", ())]
        file = getattr(module, "__file__", None)
        if folders:
            code[top] = fingerprint(*(sources_checksum(folder) for folder in folders))
        elif file:
            code[top] = sha256_of(Path(file))
    for name in from_files:
        code |= _loaded_below(Path(str(sys.modules[name].__file__)).resolve().parent)
    return code


def _loaded_below(folder: Path) -> dict[str, str]:
    """Checksums of the loaded modules in a folder, by their path in it; installed packages are no part of it."""
    files = {Path(file).resolve() for m in list(sys.modules.values()) if (file := getattr(m, "__file__", None))}
    return {
        file.relative_to(folder).as_posix(): sha256_of(file)
        for file in sorted(files)
        if file.is_relative_to(folder) and "site-packages" not in file.parts and file.is_file()
    }


def reason_of(error: BaseException) -> str:
    """The last line of its traceback; of a user's mistake the sentence alone."""
    text = str(error) if isinstance(error, UserError) else traceback.format_exception_only(error)[-1]
    line = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()  # a lone surrogate cannot be written
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"


def _device(job: Job) -> str:
    """``auto`` is the GPU where the generator's own torch sees one: evalkit itself never imports torch."""
    if job.device != "auto":
        return job.device
    torch = sys.modules.get("torch")
    return "cuda" if torch is not None and torch.cuda.is_available() else "cpu"


def _limit(seconds: float) -> None:
    """The kernel's own time limit, in case the run is gone and native code keeps the thread below from noticing."""
    signal.alarm(math.ceil(seconds) + 30 if seconds else 0)


def _die_with_parent() -> None:
    """The run holds the other end of our standard input and never writes: its end is the end of the run."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # nobody waits for an answer any more
        serve(Connection(descriptor))


if __name__ == "__main__":
    main()
