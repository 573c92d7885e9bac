"""What is left behind: names that stay apart, JSON that any reader takes, files that are whole or absent."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from evalkit.results import sample_name, to_json


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), min_size=2, unique=True))
def test_different_names_are_different_files(names):
    assert len({sample_name(name) for name in names}) == len(names)
    for safe in map(sample_name, names):
        assert "/" not in safe
        assert "\0" not in safe
        assert not safe.startswith(".")
        assert len(safe.encode()) <= 200


def test_plain_names_stay_as_they_are():
    assert sample_name("held-out Bach") == "held-out Bach"
    assert sample_name("jsb:test") == "jsb:test"
    assert sample_name("p/x") != sample_name("p_x")


def test_json_has_no_nan_and_says_infinity_in_words():
    document = {"nan": math.nan, "inf": math.inf, "list": [-math.inf, 1.5], "b": None}
    assert json.loads(to_json(document)) == {"nan": None, "inf": "inf", "list": ["-inf", 1.5], "b": None}
    assert to_json(document) == to_json(dict(reversed(document.items())))
