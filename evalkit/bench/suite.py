"""Suites: what is asked, of whom, on which data, as a YAML file.

    name: demo
    title: One sentence for people.
    data: {corpus: bach-chorales, reference: train, inputs: test}      # or {folder: DIR}: a folder of MIDI files
    representation: satb
    seed: 0
    resamples: 1000                # of the bootstrap
    timeout: 600                   # seconds that one shard may take, a week at most
    tasks:
      - {task: samples, pieces: 60, bars: 8, metrics: all}
    generators:
      - ngram
      - {name: held-out Bach, generator: corpus, split: test}          # a display name, a generator, its settings

Paths in a suite are relative to the suite's own file. Every mistake is a ``UserError`` of one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator

from evalkit.bench.tasks import TASKS, Task
from evalkit.bench.tasks.task import NAME
from evalkit.configuration import STRICT, checked, keys, mapping, read_text, read_yaml, unique
from evalkit.errors import UserError
from evalkit.music.representations import REPRESENTATIONS
from evalkit.registry import did_you_mean, generator_names
from evalkit.results import PROMPT, REFERENCE

RESERVED = (REFERENCE, PROMPT)  # in results and among samples
LONGEST_TIMEOUT = 7 * 24 * 3600.0  # seconds


class Data(BaseModel):
    """The corpus (or the user's folder) that pieces are compared with and taken from."""

    model_config = STRICT

    corpus: str | None = None
    folder: Path | None = None
    reference: str = "train"
    inputs: str = "test"

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if (self.corpus is None) == (self.folder is None):
            raise ValueError("give either 'corpus' or 'folder'")
        if self.folder is not None and self.model_fields_set & {"reference", "inputs"}:
            raise ValueError("a folder has no splits: leave out 'reference' and 'inputs'")
        return self

    def spec(self, split: str) -> str:
        """The set of pieces as a report names it."""
        return f"{self.corpus}:{split}" if self.corpus is not None else str(self.folder)


class GeneratorEntry(BaseModel):
    """A display name, and what ``evalkit.registry.load_generator`` makes the generator of."""

    model_config = STRICT

    name: str
    spec: dict[str, Any]


class Suite(BaseModel):
    """A checked suite; ``text`` is the file as it stands and ``folder`` the one that its paths are relative to."""

    model_config = STRICT

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str = ""
    data: Data
    representation: str
    seed: int = Field(0, ge=0)
    resamples: int = Field(1000, ge=100)
    timeout: float = Field(600, gt=0, le=LONGEST_TIMEOUT, allow_inf_nan=False)
    tasks: tuple[Any, ...] = Field(min_length=1)  # of Task; which one, the key "task" says
    generators: tuple[Any, ...] = ()  # of GeneratorEntry
    text: str = Field("", exclude=True)
    folder: Path = Field(Path(), exclude=True)

    @field_validator("representation")
    @classmethod
    def _known_representation(cls, value: str) -> str:
        if value not in REPRESENTATIONS:
            raise ValueError(f"no representation called {value!r}{did_you_mean(value, REPRESENTATIONS)}")
        return value


def suite_names() -> list[str]:
    """The suites that come with evalkit."""
    return sorted(file.name.removesuffix(".yaml") for file in files(__package__).joinpath("suites").iterdir())


def load_suite(name_or_path: str) -> Suite:
    """A suite that comes with evalkit, or one from a YAML file."""
    path = Path(name_or_path)
    if name_or_path in suite_names():
        text = files(__package__).joinpath("suites", f"{name_or_path}.yaml").read_text(encoding="utf-8")
        return parse_suite(text, f"{name_or_path}.yaml", Path.cwd())
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
            raise UserError(f"{path}: no such file")
        raise UserError(f"no suite called {name_or_path!r}{did_you_mean(name_or_path, suite_names())}")
    return parse_suite(read_text(path), str(path), path.resolve().parent)


def parse_suite(text: str, file: str, folder: Path) -> Suite:
    """The suite in a YAML text; ``file`` is its name in error messages."""
    raw = mapping(read_yaml(text, file), file, "a suite")
    parts = dict(raw)
    for hidden in ("text", "folder"):  # not keys of the file
        if hidden in parts:
            raise UserError(f"{file}: unknown key {hidden!r}{did_you_mean(hidden, keys(Suite))}")
    if "data" in parts:
        parts["data"] = checked(Data, parts["data"], file, "data")
    if isinstance(parts.get("tasks"), list):
        parts["tasks"] = tuple(_task(entry, file, f"tasks[{i}]") for i, entry in enumerate(parts["tasks"]))
        unique([task.title for task in parts["tasks"]], file, "tasks", "give each task a 'name' of its own")
    if isinstance(parts.get("generators"), list):
        entries = [_entry(e, file, f"generators[{i}]", folder) for i, e in enumerate(parts["generators"])]
        unique([e.name for e in entries], file, "generators", "give each a 'name' of its own")
        parts["generators"] = tuple(entries)
    return checked(Suite, parts | {"text": text, "folder": folder}, file)


def choose_generators(suite: Suite, names: Sequence[str]) -> Suite:
    """The suite with these generators only: names of its entries, else registered names, ``file.py:Class`` or folders.

    A folder of MIDI files (written with a "/", so that it cannot be mistaken) stands for ``midi-folder`` on it.
    """
    entries = {entry.name: entry for entry in suite.generators}
    chosen = []
    for name in names:
        if name in entries:
            chosen.append(entries[name])
            continue
        if "/" in name and Path(name).is_dir():
            folder = Path(name).absolute()
            entry = {"name": folder.name, "generator": "midi-folder", "folder": str(folder)}
            chosen.append(_entry(entry, "--generators", name, Path.cwd()))
            continue
        if not _is_file(name) and name not in generator_names():
            raise UserError(
                f"--generators: no generator called {name!r}{did_you_mean(name, [*{**entries, **generator_names()}])}"
            )
        chosen.append(_entry(_absolute(name), "--generators", name, Path.cwd()))
    unique([e.name for e in chosen], "--generators", "the list", "name each once")
    return suite.model_copy(update={"generators": tuple(chosen)})


def _task(entry: Any, file: str, where: str) -> Task:
    kind = mapping(entry, file, where).get("task")
    if kind is None:
        raise UserError(f"{file}: {where} needs the key 'task'{did_you_mean('task', TASKS)}")
    if not isinstance(kind, str) or kind not in TASKS:
        raise UserError(f"{file}: {where}.task: no task called {kind!r}{did_you_mean(str(kind), list(TASKS))}")
    task = checked(TASKS[kind], entry, file, where)
    try:
        task.chosen_metrics()
    except UserError as error:
        raise UserError(f"{file}: {where}.metrics: {error}") from error
    return task


def _entry(entry: Any, file: str, where: str, folder: Path) -> GeneratorEntry:
    """An entry of ``generators:``, a name or a mapping; the generator itself is not made yet."""
    spec = {"generator": entry} if isinstance(entry, str) else dict(mapping(entry, file, where))
    name, generator = spec.pop("name", None), spec.get("generator")
    if not isinstance(generator, str):
        raise UserError(f"{file}: {where} needs the key 'generator' with the name of one")
    if _is_file(generator):
        path = folder / generator.rpartition(":")[0]
        if not path.is_file():
            raise UserError(f"{file}: {where}: {path}: no such file (a generator from a file is path/to/file.py:Class)")
    elif generator not in generator_names():
        raise UserError(
            f"{file}: {where}: no generator called {generator!r}{did_you_mean(generator, generator_names())}"
        )
    name = name if name is not None else generator.rpartition(":")[2]
    if not isinstance(name, str) or not re.fullmatch(NAME, name) or name in RESERVED:
        raise UserError(
            f"{file}: {where}.name: {name!r} cannot name a generator: use at most 60 letters, digits, spaces and "
            f"_ . + ( ) = -, begin with a letter or digit, and leave {' and '.join(map(repr, RESERVED))} alone"
        )
    return GeneratorEntry(name=name, spec=spec)


def _is_file(generator: str) -> bool:
    return generator.rpartition(":")[0].endswith(".py")


def _absolute(generator: str) -> str:
    """A ``file.py:Class`` of the command line, which is relative to the working directory."""
    path, _, attribute = generator.rpartition(":")
    return f"{Path(path).absolute()}:{attribute}" if _is_file(generator) else generator
