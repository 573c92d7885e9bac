"""Exports: whole, at home in their folder, and harmless to whoever opens them."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from evalkit.errors import UserError
from studies import session
from studies.analysis.summary import analyse
from studies.analyze import collect, sentences
from studies.collected import from_export, from_store
from studies.export import catch_passed, export, make_tables
from studies.participants import STATES
from studies.simulate import default_truth, simulate

ATTACK = '=HYPERLINK("http://evil.example","Ada")'


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.fixture
def taken(open_one):
    """A study that a person has gone through, who said something at the end."""

    def take(words: str = "I am Ada Lovelace", **changes):
        one = open_one(**changes)
        token = one.begin()
        while (page := session.next_trial(one.opened, token)) is not None:
            one.listen(token, page)
            one.answer(token, page)
        session.comment(one.opened, token, words)
        session.finish(one.opened, token)
        return one, token

    return take


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["listener", "language", "state", "minutes", "gold_msi_training", "consent_sha256"])
def test_a_background_question_cannot_take_the_name_of_a_column(make_study, name: str) -> None:
    with pytest.raises(UserError, match=f"study.yaml: 'background': '{name}' is a column of the export already; give"):
        make_study(background=[{"name": name, "text": "?", "choices": ["yes", "no"]}])


def test_a_question_cannot_take_the_name_of_a_table(make_study) -> None:
    with pytest.raises(UserError, match="'questions': 'trials' is the name of a table of our own"):
        make_study(questions=[{"name": "trials", "kind": "choice", "text": "?"}])


def test_every_column_is_filled_and_explained_by_its_own_words(open_one, tmp_path: Path) -> None:
    """Background questions may be called as columns of other tables are."""
    one = open_one(
        background=["gold_msi_training", {"name": "plays", "text": "An instrument?", "choices": ["yes", "no"]}]
    )
    token = session.enrol(one.opened)
    session.give_consent(one.opened, token, True)
    facts = {question.name: 0 for question in one.opened.study.background}
    session.answer_background(one.opened, token, facts)
    check = {"check": "antiphase", "correct": 6, "trials": 6}
    session.set_sound(one.opened, token, {"volume_set": True, "headphones": check, "listening_with": "earphones"})
    one.complete(token)
    people = export(one.opened, tmp_path / "export")["participants"]
    assert people.notna().all(axis=None)
    assert people["plays"].tolist() == ["yes"]
    codebook = json.loads((tmp_path / "export" / "codebook.json").read_text())
    assert codebook["participants"]["plays"] == "background: An instrument? (yes; no)"
    assert codebook["trials"]["plays"] == "how often the player was started on the page"
    assert list(make_tables(one.opened, simulated=True)["participants"]) == list(people)  # of nobody, too


def test_the_codebook_says_what_was_asked_and_may_be_answered(open_one, tmp_path: Path) -> None:
    ends = {"low": "a machine", "high": "a person"}
    asked = {"name": "human", "kind": "likert", "points": 6, "text": "Who made it?", **ends}
    age = {"name": "age", "kind": "number", "text": "How old are you?"}
    one = open_one(design="rating", questions=[asked], background=["musical_background", age])
    export(one.opened, tmp_path / "export")
    codebook = json.loads((tmp_path / "export" / "codebook.json").read_text())
    assert codebook["answers_human"]["rating"].endswith(
        "; asked: Who made it?; 6 points; low: a machine; high: a person"
    )
    people = codebook["participants"]
    assert people["musical_background"].endswith("How strong is your musical background? (small; medium; strong)")
    assert people["age"] == "background: How old are you? (a number)"
    assert all(state in people["state"] for state in STATES)


def test_the_text_that_was_agreed_to_is_told_by_its_hash(taken) -> None:
    one, _ = taken()
    session.enrol(one.opened)  # has agreed to nothing yet
    people = make_tables(one.opened)["participants"]
    assert people["consent_sha256"].dropna().tolist() == [sha256(b"I agree.").hexdigest()]
    assert (
        "consent_sha256" not in from_store(one.opened).about["participants"]["background"]
    )  # it is no trait of theirs


@pytest.mark.parametrize(("design", "question"), [("paired", "fits"), ("ranking", "quality"), ("rating", "human")])
def test_what_came_again_has_tables_of_its_own_and_tells_whether_listeners_agree_with_themselves(
    open_one, tmp_path: Path, design: str, question: str
) -> None:
    one = open_one(design, trials={"per_participant": 4, "practice": 1, "repeated": 2})
    simulate(one.opened, default_truth(one.opened.study), listeners=12, seed=1)
    export(one.opened, tmp_path / "export", simulated=True)
    tables = make_tables(one.opened, simulated=True)
    first, again = tables[f"answers_{question}"], tables[f"repeated_{question}"]
    assert list(first) == list(again)
    assert len(first) == 2 * len(again) > 0
    assert first.groupby("listener")["item"].nunique().max() == 4
    who = ["listener", "item", *(c for c in ("left", "right", "system") if c in again)]
    swapped = again.rename(columns={"left": "right", "right": "left"})[who]
    assert len(swapped.merge(first[who])) == len(again)
    for collected in (from_store(one.opened, simulated=True), from_export(tmp_path / "export")):
        found = analyse(collected.plan, collected.tables, resamples=50).questions[question].everyone
        assert found.counts["rows"] == len(first)
        within = found.reliability[-1]
        assert "within listeners" in within.name
        assert within.units == len(again)


# ---- folders -------------------------------------------------------------------------------------------------------


def test_an_export_never_overwrites_what_is_none(taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = taken()
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)  # where the fixture's study lies
    with pytest.raises(UserError, match=r"the study's own folder, whose study\.yaml an export would overwrite"):
        export(one.opened, home)
    assert not names(home)
    for name in ("study.yaml", "participants.csv", "answers_fits.parquet", "registration.json"):
        other = tmp_path / name
        other.mkdir()
        (other / name).write_text("the lab's")
        with pytest.raises(UserError, match=f"{name}: not written by an export, which would overwrite it"):
            export(one.opened, other)
        assert names(other) == {name}
        assert (other / name).read_text() == "the lab's"


def test_an_export_takes_the_place_of_the_one_before(taken, tmp_path: Path) -> None:
    one, _ = taken()
    out = tmp_path / "export"
    export(one.opened, out, texts=True)
    (out / "notes.csv").write_text("the lab's")
    assert "Ada" in (out / "texts.csv").read_text()
    export(one.opened, out)
    assert not {"texts.csv", "texts.parquet"} & names(out)
    assert (out / "notes.csv").read_text() == "the lab's"
    assert len(from_export(out).tables["fits"]) == 4


def test_an_export_that_was_cut_off_is_taken_up_again(taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has been written by then, texts are not left behind by the next."""
    one, _ = taken()
    out = tmp_path / "export"
    with monkeypatch.context() as cut:
        cut.setattr(pd.DataFrame, "to_parquet", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            export(one.opened, out, texts=True)
    shutil.copytree(out, tmp_path / "half")
    export(one.opened, out)
    assert "texts.csv" not in names(out)
    assert names(out) >= names(tmp_path / "half") - {"texts.csv"}


def _interrupted(table: pd.DataFrame, path: Path, **_) -> None:
    if path.stem == "texts":
        raise KeyboardInterrupt


def test_two_studies_do_not_share_a_folder(taken, open_one, tmp_path: Path) -> None:
    export(taken()[0].opened, tmp_path / "export")
    before = names(tmp_path / "export")
    other = open_one(url=str(tmp_path / "other.sqlite"), name="another")
    with pytest.raises(UserError, match="holds the export of another study, fixture; name another folder"):
        export(other.opened, tmp_path / "export")
    assert names(tmp_path / "export") == before


# ---- what was registered -------------------------------------------------------------------------------------------


def test_an_analysis_tells_that_the_study_file_is_not_the_registered_one(taken, tmp_path: Path) -> None:
    """And follows what was registered, in the database; in an export, whose file may be edited, what stands there."""
    one, _ = taken(target={"participants": 2})
    simulate(one.opened, default_truth(one.opened.study), listeners=4)
    registered = one.opened.study.source
    file = tmp_path / "study.yaml"

    def said(folder: Path) -> list[str]:
        collected = collect(folder, None, folder == tmp_path, None)
        assert collected.plan.reference == (None if folder == tmp_path else "system-1")
        shown = sentences(collected, analyse(collected.plan, collected.tables))
        return [line for line in shown if line.startswith("note: ")]

    file.write_text(registered)
    assert said(tmp_path) == []
    file.write_bytes(registered.replace("\n", "\r\n").encode())  # an editor's habit is no change
    assert said(tmp_path) == []
    file.write_text(f"{registered}analysis: {{reference: system-1}}\n")
    (note,) = said(tmp_path)
    assert note.startswith("note: study.yaml has changed since the study was last opened with it; the one that was")
    export(one.opened, tmp_path / "export", simulated=True)
    shutil.copy(file, tmp_path / "export")
    (note,) = said(tmp_path / "export")
    assert note.startswith("note: the study.yaml beside the tables is not the registered one")


# ---- free text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "in_csv"),
    [
        (ATTACK, f"'{ATTACK}"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("fine;=1+1", "fine;'=1+1"),  # where semicolons separate cells
        ("fine\n=1+1", "fine\n'=1+1"),
        ("fine\t=1+1", "fine\t'=1+1"),
        ("fine, 1 = 1 - 0; - me@home", "fine, 1 = 1 - 0; - me@home"),
    ],
)
def test_no_spreadsheet_runs_what_somebody_wrote(taken, tmp_path: Path, words: str, in_csv: str) -> None:
    one, _ = taken(words)
    export(one.opened, tmp_path, texts=True)
    assert pd.read_csv(tmp_path / "texts.csv")["words"].tolist() == [in_csv]
    assert pd.read_parquet(tmp_path / "texts.parquet")["words"].tolist() == [words]
    assert "apostrophe" in json.loads((tmp_path / "codebook.json").read_text())["texts"]["words"]


@pytest.mark.parametrize(
    ("design", "kind", "points", "trial", "right", "wrong"),
    [
        ("paired", "likert", 5, ("plain", "plain"), [3], [1, 2, 4, 5]),
        ("paired", "likert", 6, ("plain", "plain"), [3, 4], [1, 2, 5, 6]),
        ("paired", "likert", 5, ("degraded", "plain"), [4, 5], [1, 2, 3]),
        ("paired", "likert", 5, ("plain", "degraded"), [1, 2], [3, 4, 5]),
        ("paired", "choice", None, ("degraded", "plain"), ["right"], ["left", "tie"]),
        ("paired", "choice", None, ("plain", "degraded"), ["left"], ["right", "tie"]),
        ("rating", "likert", 6, ("degraded",), [1, 2, 3], [4, 5, 6]),
        ("rating", "likert", 5, ("degraded",), [1, 2], [3, 4, 5]),
        ("ranking", "rank", None, ("plain", "degraded", "plain"), [[1, 3, 2]], [[3, 1, 2], [1, 2, 3]]),
        ("ranking", "each", None, ("plain", "degraded", "plain"), [[True, False, True]], [[False, True, False]]),
    ],
)
def test_who_passes_a_catch_trial_by_hand(make_study, design, kind, points, trial, right, wrong) -> None:
    question = {"name": "q", "kind": kind, "text": "?"} | ({"points": points} if points else {})
    study, _ = make_study(design, questions=[question])
    opened = SimpleNamespace(study=study, stimuli=dict(enumerate(SimpleNamespace(variant=v) for v in trial)))
    which = "degraded" if "degraded" in trial else "identical"
    for answers, passed in ((right, True), (wrong, False)):
        assert [catch_passed(opened, which, range(len(trial)), "q", a) for a in answers] == [passed] * len(answers)
    assert catch_passed(opened, "main", range(len(trial)), "q", right[0]) is None


def test_alike_cannot_be_said_where_ties_cannot_be_chosen(make_study) -> None:
    for ties, passed in ((True, [True, False]), (False, [None, None])):
        study, _ = make_study(questions=[{"name": "q", "kind": "choice", "ties": ties, "text": "?"}])
        opened = SimpleNamespace(study=study, stimuli={})
        assert [catch_passed(opened, "identical", (0, 0), "q", answer) for answer in ("tie", "left")] == passed


def test_a_trial_says_how_much_was_heard_of_the_one_heard_least_and_what_the_player_did(open_one) -> None:
    one = open_one(gate=0)
    token = one.begin()
    page = session.next_trial(one.opened, token)
    one.wait(60)
    heard = [{"kind": "heard", "clip": 0, "start": 0, "end": 1}, {"kind": "heard", "clip": 1, "start": 0, "end": 0.5}]
    events = [*heard, {"kind": "play"}, {"kind": "play"}, {"kind": "focus_lost"}, {"kind": "pause"}]
    session.record_events(one.opened, token, page.page_id, [e | {"seq": i} for i, e in enumerate(events)])
    one.answer(token, page)
    row = make_tables(one.opened)["trials"].iloc[0]
    assert (row["heard"], row["plays"], row["focus_lost"], row["seconds"]) == (0.5, 2, 1, 60)


def test_texts_of_simulated_listeners_are_not_among_people_s(open_one) -> None:
    one = open_one(background=[{"name": "why", "text": "?", "kind": "text"}])
    token = session.enrol(one.opened)
    session.give_consent(one.opened, token, True)
    session.answer_background(one.opened, token, {"why": "mine"})
    headphones = {"check": "huggins", "correct": 5, "trials": 6}
    session.set_sound(one.opened, token, {"volume_set": True, "headphones": headphones})
    simulate(one.opened, default_truth(one.opened.study), listeners=1)
    people, simulated = (make_tables(one.opened, simulated=kind, texts=True) for kind in (False, True))
    assert (people["texts"]["words"].tolist(), simulated["texts"]["words"].tolist()) == (["mine"], ["simulated"])
    assert people["participants"]["headphones_correct"].tolist() == [5 / 6]
