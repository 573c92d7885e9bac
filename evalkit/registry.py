"""Names to objects, through entry points, imported only when asked for.

``[project.entry-points."evalkit.generators"]`` lists factories; anyone's package may add to it.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from evalkit.errors import UserError
from evalkit.protocols import Generator


def did_you_mean(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """``; did you mean ...?`` or the list of what there is: the end of every unknown-name sentence."""
    near = get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are: {', '.join(sorted(known)) or 'none'}"


def generator_names() -> dict[str, EntryPoint]:
    """Every registered generator, not yet imported."""
    return {ep.name: ep for ep in entry_points(group="evalkit.generators")}


def load_generator(spec: str | Path | Mapping[str, Any], **defaults: Any) -> Generator:
    """A generator from ``"name"``, ``"path/to/file.py:Class"`` or ``{"generator": either, **settings}``.

    ``defaults`` (a suite's corpus, split and representation) are handed to the factory only as far as it has
    parameters of these names and the settings do not say otherwise.
    """
    settings = dict(spec) if isinstance(spec, Mapping) else {"generator": str(spec)}
    name = settings.pop("generator", None)
    if not isinstance(name, str):
        raise UserError(f"a generator entry needs the key 'generator' with a name, got {dict(cast(Mapping, spec))}")
    factory = _factory(name)
    parameters = inspect.signature(factory).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [key for key in settings if key not in parameters and not open_ended]
    if unknown:
        raise UserError(f"generator {name!r} has no setting {unknown[0]!r}{did_you_mean(unknown[0], dict(parameters))}")
    missing = [
        key
        for key, p in parameters.items()
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and key not in settings
        and key not in defaults
    ]
    if missing:
        raise UserError(f"generator {name!r} needs the setting {missing[0]!r}")
    return cast(Generator, factory(**{k: v for k, v in defaults.items() if k in parameters} | settings))


def _factory(name: str) -> Any:
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), attribute)
    known = generator_names()
    if name not in known:
        raise UserError(f"no generator called {name!r}{did_you_mean(name, known)}")
    return known[name].load()


def _from_file(path: Path, attribute: str) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file (a generator from a file is written path/to/file.py:Class)")
    module_spec = importlib.util.spec_from_file_location(f"_plugin_{path.stem}", path)
    assert module_spec is not None and module_spec.loader is not None  # a .py file always has one
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        classes = [k for k, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__]
        raise UserError(f"{path}: has no {attribute!r}{did_you_mean(attribute, classes)}")
    return getattr(module, attribute)
