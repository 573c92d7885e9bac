"""Configuration from YAML files: pydantic models whose mistakes are one sentence that names file and key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from evalkit.errors import UserError
from evalkit.registry import did_you_mean

M = TypeVar("M", bound=BaseModel)

STRICT = ConfigDict(extra="forbid", frozen=True)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML's loader would quietly take the second."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node


def read_text(path: Path) -> str:
    """The text of a file of the user's."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def read_yaml(text: str, file: str) -> Any:
    """What a YAML text holds; ``file`` is its name in error messages, here and below."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{file}{where}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error


def mapping(value: Any, file: str, where: str) -> Mapping[str, Any]:
    """The value, which must be a mapping; ``where`` is its path of keys."""
    if not isinstance(value, Mapping):
        raise UserError(f"{file}: {where or 'the file'} must be a mapping of keys to values, got {value!r:.60}")
    return value


def unique(names: Sequence[str], file: str, where: str, remedy: str) -> None:
    """No name twice, or a sentence with the remedy."""
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise UserError(f"{file}: {where}: the name {twice[0]!r} is there twice; {remedy}")


def keys(model: type[BaseModel]) -> list[str]:
    """The keys that a user may write."""
    return [name for name, field in model.model_fields.items() if not field.exclude]


def checked(model: type[M], value: Any, file: str, where: str = "") -> M:
    """The value as a model, or one sentence about the first thing that is wrong with it."""
    try:
        return model.model_validate(dict(mapping(value, file, where)))
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)  # a misspelt key is also a missing one: its name says more
        error = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    path = _path(where, error["loc"])
    if error["type"] == "extra_forbidden":
        inside = _path(where, error["loc"][:-1])
        unknown, known = str(error["loc"][-1]), keys(_model_at(model, error["loc"][:-1]))
        raise UserError(
            f"{file}: unknown key {unknown!r}{f' in {inside}' if inside else ''}{did_you_mean(unknown, known)}"
        )
    if error["type"] == "missing":
        raise UserError(f"{file}: the key {path!r} is missing")
    message = error["msg"].removeprefix("Value error, ")
    got = "" if error["type"] == "value_error" else f", got {error['input']!r:.60}"
    raise UserError(f"{file}: {f'{path}: ' if path else ''}{message[0].lower()}{message[1:]}{got}")


def _path(where: str, location: Sequence[int | str]) -> str:
    return (where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)).lstrip(".")


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """The model inside the model, down a path of keys and indices."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
