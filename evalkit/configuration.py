"""Configuration from YAML files: pydantic models whose mistakes are one sentence that names file and key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from evalkit.errors import UserError
from evalkit.registry import did_you_mean

M = TypeVar("M", bound=BaseModel)

STRICT = ConfigDict(extra="forbid", frozen=True)


LIST, MAPPING, DAY = (
    "must be a list, such as [a, b]",
    "must be a mapping of keys to values",
    "must be a day, such as 2030-12-31",
)
PLAIN = {  # kinds of pydantic's errors that speak of Python -> what a writer of YAML is told
    "tuple_type": LIST,
    "list_type": LIST,
    "dict_type": MAPPING,
    "model_type": MAPPING,
    "path_type": "must be a path",
    "date_type": DAY,
    "date_from_datetime_parsing": DAY,
    "date_from_datetime_inexact": DAY,
    "string_type": "must be a text; put it into quotation marks",  # yes, no, numbers and dates are none without
    "too_short": "needs more entries",
    "too_long": "has too many entries",
}
HINTS = {  # part of a sentence of YAML's parser -> the likely slip
    "got '?'": "put texts within {} or [] into quotation marks",
    "mapping values are not allowed": "put a text that holds a colon into quotation marks; indent keys alike",
    "'\\t'": "indent with blanks instead of tabs",
}
NO_KEYS = re.compile(r"\[key\]|constrained-\w+|dict\[.*\]")  # of pydantic, among the keys of a path


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

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """A value; what only looks like one, such as the date 2030-02-31, is a mistake in its line."""
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem=f"{node.value!r:.40}: {error}", problem_mark=node.start_mark) from error


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
        problem = str(error.problem or error.context)
        hint = next((f" ({hint})" for part, hint in HINTS.items() if part in problem), "")
        raise UserError(f"{file}{where}: not valid YAML: {problem}{hint}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise UserError(f"{file}: not valid YAML: its lists or mappings lie too deep in each other") from None


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


def spelt(pattern: str, how: str) -> AfterValidator:
    """Lets through only what has the pattern, and tells a user how to write it; for ``Annotated[str, ...]``."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r:.60}: give {how}")
        return value

    return AfterValidator(check)


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
    if error["input"] is None:
        raise UserError(f"{file}: {path}: is empty: give it a value, or take its line out")
    message = PLAIN.get(error["type"], error["msg"].removeprefix("Value error, "))
    got = "" if error["type"] == "value_error" else f", got {error['input']!r:.60}"
    raise UserError(f"{file}: {f'{path}: ' if path else ''}{message[0].lower()}{message[1:]}{got}")


def _path(where: str, location: Sequence[int | str]) -> str:
    written = [part for part in location if isinstance(part, int) or not NO_KEYS.fullmatch(part)]
    return (where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in written)).lstrip(".")


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
