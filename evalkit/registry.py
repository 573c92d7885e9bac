"""Names to objects, through entry points, imported only when asked for.

``[project.entry-points."evalkit.generators"]`` lists factories; anyone's package may add to it.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from evalkit.errors import UserError
from evalkit.protocols import CAPABILITIES, Generator, capabilities

FROM_FILE = "_plugin_"  # begins the module names of generators from files
LIFE_CYCLE = ("info", "load", "release", "__enter__", "__exit__")


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
    parameters of these names and the settings do not say otherwise. Raises ``UserError`` for an unknown name or
    setting, a missing setting, a plug-in that cannot be imported, and an object that is no generator.
    """
    settings = dict(spec) if isinstance(spec, Mapping) else {"generator": str(spec)}
    name = settings.pop("generator", None)
    if not isinstance(name, str):
        raise UserError(f"a generator entry needs the key 'generator' with a name, got {dict(cast(Mapping, spec))}")
    factory = find_factory(name)
    parameters = parameters_of(factory)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {key: p for key, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    for key in settings:
        if key not in named and not open_ended:
            raise UserError(f"generator {name!r} has no setting {key!r}{did_you_mean(str(key), named)}")
    arguments = {key: value for key, value in defaults.items() if key in named} | settings
    for key, parameter in named.items():
        if parameter.default is parameter.empty and key not in arguments:
            raise UserError(f"generator {name!r} needs the setting {key!r}")
    for key, value in settings.items():
        wanted = _annotation(named[key]) if key in named else ""
        if _wrong_type(value, wanted):
            raise UserError(f"generator {name!r}: the setting {key!r} must be of type {wanted}, got {value!r}")
    return _checked(factory(**arguments), name)


def find_factory(name: str) -> Callable[..., Any]:
    """What makes the generator: a registered class or function, or one from a file; imports it."""
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), attribute)
    if name.endswith(".py"):
        raise UserError(f"{name}: which class? A generator from a file is written path/to/file.py:Class")
    known = generator_names()
    if name not in known:
        raise UserError(f"no generator called {name!r}{did_you_mean(name, known)}")
    try:
        return known[name].load()
    except Exception as error:
        raise UserError(
            f"generator {name!r} ({known[name].value}, {origin(known[name])}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def parameters_of(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The settings that a generator takes, with their defaults."""
    return inspect.signature(factory).parameters


def origin(entry: EntryPoint) -> str:
    """The package that registered it, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown package"


def _annotation(parameter: inspect.Parameter) -> str:
    """As it is written in the source, whether or not the module postpones annotations."""
    written = parameter.annotation
    return written if isinstance(written, str) else inspect.formatannotation(written)


def _wrong_type(value: object, annotation: str) -> bool:
    """Whether a plain value cannot be what a parameter of the plain type, or union of such, is annotated to be."""
    plain: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "None": type(None)}
    wanted = {kind.strip() for kind in annotation.split("|")}
    if not wanted <= plain.keys() or type(value) not in (*plain.values(), list, dict):
        return False  # not ours to judge
    return type(value) not in [plain[kind] for kind in wanted] and not (type(value) is int and "float" in wanted)


def _checked(made: Any, name: str) -> Generator:
    lacking = [attribute for attribute in LIFE_CYCLE if attribute not in dir(made)]  # dir: does not compute `info`
    if lacking:
        raise UserError(f"{name!r} makes a {type(made).__name__}, which is no generator: it has no {lacking[0]!r}")
    if not capabilities(made):
        raise UserError(f"generator {name!r} can do nothing: it has none of the capabilities {', '.join(CAPABILITIES)}")
    return cast(Generator, made)


def _from_file(path: Path, attribute: str) -> Callable[..., Any]:
    if not path.is_file():
        raise UserError(f"{path}: no such file (a generator from a file is written path/to/file.py:Class)")
    # One module name per file, and known to sys.modules: dataclasses and pickle look their module up there.
    module_name = f"{FROM_FILE}{path.stem}_{sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    module_spec = importlib.util.spec_from_file_location(module_name, path)
    assert module_spec is not None
    assert module_spec.loader is not None  # a .py file always has one
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_name] = module
    neighbours = str(path.resolve().parent)
    if neighbours not in sys.path:  # last, so that they shadow nothing
        sys.path.append(neighbours)
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise UserError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    made_here = [k for k, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module_name]
    if not hasattr(module, attribute):
        raise UserError(f"{path}: has no {attribute!r}{did_you_mean(attribute, made_here)}")
    if not callable(getattr(module, attribute)):
        raise UserError(f"{path}: {attribute!r} is not a class or function{did_you_mean(attribute, made_here)}")
    return cast(Callable[..., Any], getattr(module, attribute))
