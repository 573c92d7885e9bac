"""Names to generators: what a user can get wrong, and what each mistake is told."""

import sys
from importlib.metadata import EntryPoint

import pytest

from evalkit import registry
from evalkit.errors import UserError
from evalkit.registry import generator_names, load_generator


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        """
from __future__ import annotations
from dataclasses import dataclass

NUMBER = 3

class Life:
    info = None
    def load(self, device="cpu"): pass
    def release(self): pass
    def __enter__(self): return self
    def __exit__(self, *exc): pass

@dataclass
class Mine(Life):
    depth: int
    rate: float = 0.5
    label: str | None = None
    corpus: str = "own"
    def sample(self, n, *, steps, seed, temperature=1.0): return []

class Mute(Life):
    pass

class Lifeless:
    def sample(self, n, *, steps, seed, temperature=1.0): return []

def make(**settings):
    return Mine(**settings)
"""
    )
    return file


def test_a_generator_from_a_file(plugin):
    made = load_generator({"generator": f"{plugin}:Mine", "depth": 2, "rate": 1})
    assert (made.depth, made.rate, made.label) == (2, 1, None)


def test_defaults_yield_to_settings_and_reach_only_those_who_take_them(plugin):
    spec = {"generator": f"{plugin}:Mine", "depth": 1}
    assert load_generator(spec, corpus="suite's", split="test").corpus == "suite's"
    assert load_generator({**spec, "corpus": "mine"}, corpus="suite's").corpus == "mine"


def test_a_factory_that_takes_anything_gets_the_settings(plugin):
    assert load_generator({"generator": f"{plugin}:make", "depth": 4}).depth == 4


def test_the_callers_settings_are_left_alone(plugin):
    spec = {"generator": f"{plugin}:Mine", "depth": 1}
    load_generator(spec)
    assert spec == {"generator": f"{plugin}:Mine", "depth": 1}


def test_a_file_may_import_its_neighbour(plugin, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (plugin.parent / "neighbour_of_mine.py").write_text("RATE = 0.125")
    (plugin.parent / "json.py").write_text("1 / 0")  # shadows nothing
    plugin.write_text(
        "import json\nfrom neighbour_of_mine import RATE\n"
        + plugin.read_text()
        .replace("from __future__ import annotations", "")
        .replace("rate: float = 0.5", "rate: float = RATE")
    )
    assert load_generator({"generator": f"{plugin}:Mine", "depth": 1}).rate == 0.125


def test_two_files_of_one_name_stay_apart(plugin, tmp_path):
    other = tmp_path / "other" / "mine.py"
    other.parent.mkdir()
    other.write_text(plugin.read_text().replace("rate: float = 0.5", "rate: float = 0.25"))
    spec = {"depth": 1}
    one, two = (load_generator({"generator": f"{f}:Mine", **spec}) for f in (plugin, other))
    assert (one.rate, two.rate) == (0.5, 0.25)
    assert type(one).__module__ != type(two).__module__


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"generator": "{file}:Mine"}, r"mine.py:Mine' needs the setting 'depth'"),
        ({"generator": "{file}:Mine", "depth": 1, "rat": 2}, r"no setting 'rat'; did you mean rate\?"),
        ({"generator": "{file}:Mine", "depth": "deep"}, r"'depth' must be of type int, got 'deep'"),
        ({"generator": "{file}:Mine", "depth": True}, r"'depth' must be of type int, got True"),
        ({"generator": "{file}:Mine", "depth": 1.5}, r"'depth' must be of type int, got 1.5"),
        ({"generator": "{file}:Mine", "depth": 1, "label": 3}, r"'label' must be of type str \| None, got 3"),
        ({"generator": "{file}:Mien", "depth": 1}, r"mine.py: has no 'Mien'; did you mean Mine\?"),
        ({"generator": "{file}:NUMBER"}, r"mine.py: 'NUMBER' is not a class or function; there are: "),
        ({"generator": "{file}:Mute"}, "can do nothing: it has none of the capabilities Samples, "),
        ({"generator": "{file}:Lifeless"}, "makes a Lifeless, which is no generator: it has no 'info'"),
        ({"generator": "{file}"}, r"which class\? A generator from a file is written path/to/file.py:Class"),
        ({"generator": "{file}x.py:Mine"}, "no such file"),
        ({"generator": 7}, "needs the key 'generator' with a name"),
        ({"depth": 1}, "needs the key 'generator' with a name"),
        ({"generator": "unifrom"}, r"no generator called 'unifrom'; did you mean uniform\?"),
        ({"generator": "qqqq"}, "no generator called 'qqqq'; there are: .*corpus, "),
        ({"generator": "uniform", "voices": 3}, "generator 'uniform' has no setting 'voices'"),
        ({"generator": "midi-folder"}, "generator 'midi-folder' needs the setting 'folder'"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_it(plugin, spec, told):
    if isinstance(spec.get("generator"), str):
        spec = {**spec, "generator": spec["generator"].replace("{file}", str(plugin))}
    with pytest.raises(UserError, match=told) as caught:
        load_generator(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError: "),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(tmp_path, text, why):
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(UserError, match=f"broken.py: cannot be imported: {why}"):
        load_generator(f"{file}:Any")


def test_an_installed_plug_in_that_cannot_be_imported_says_whose_it_is(monkeypatch):
    bad = EntryPoint("theirs", "no_such_package.models:Net", "evalkit.generators")
    monkeypatch.setattr(registry, "entry_points", lambda group: [bad])
    assert generator_names() == {"theirs": bad}
    with pytest.raises(UserError, match=r"'theirs' \(no_such_package.models:Net, unknown package\) cannot be imported"):
        load_generator("theirs")


def test_the_baselines_are_registered():
    assert {"corpus", "ngram", "shuffled-notes", "uniform", "midi-folder"} <= generator_names().keys()
