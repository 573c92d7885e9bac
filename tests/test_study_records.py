"""Simulated listeners, what is exported of them, and the commands."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner

from evalkit.cli import cli
from evalkit.errors import UserError
from studies import session
from studies.cli import study as command
from studies.export import CODEBOOK, export, make_tables, registration
from studies.manifest import write_manifest
from studies.opening import open_study
from studies.progress import progress
from studies.simulate import Listener, Truth, default_truth, simulate
from studies.store import open_store

CATCH = {"per_participant": 4, "practice": 1, "identical": 1, "degraded": 1}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch):
    """Nothing here is killed: the flush after each commit, most of the time, is left out."""
    monkeypatch.setattr("studies.store._flush_log", lambda engine: None)


@pytest.fixture
def simulated(make_study, tmp_path):
    stores = []

    def run(design: str = "paired", listeners: int = 6, **changes):
        store = open_store(str(tmp_path / "study.sqlite"))
        stores.append(store)
        opened = open_study(store, *make_study(design, **changes))
        simulate(opened, default_truth(opened.study), listeners=listeners, seed=1)
        return opened

    yield run
    for store in stores:
        store.close()


def listener(make_study, design: str, kind: str, seed: int = 0, **truth) -> tuple[Listener, list]:
    changes = {"questions": [{"name": "q", "kind": kind, "text": "?", **({"ties": True} if kind == "choice" else {})}]}
    study, stimuli = make_study(design, **changes)
    clips = [s for s in stimuli if s.variant == "plain" and s.item == "item-0"]
    known = Truth({"system-0": 1.0, "system-1": 0.0, "system-2": -1.0}, taste=0.0, severity=0.0, clip=0.0, **truth)
    return Listener(study, known, np.random.default_rng(seed)), clips


def test_forced_choices_follow_davidson(make_study):
    one, clips = listener(make_study, "paired", "choice", side=0.3, ties=0.5)
    left, right = np.exp(0.0 + 0.3), np.exp(1.0)
    tie = 0.5 * np.sqrt(left * right)
    expected = np.array([left, right, tie]) / (left + right + tie)
    question = one.study.questions[0]
    answers = [one.answer(question, [clips[1], clips[0]]) for _ in range(6000)]
    shares = [answers.count(word) / 6000 for word in ("left", "right", "tie")]
    assert shares == pytest.approx(expected, abs=0.025)  # four standard errors


def test_rankings_follow_plackett_and_luce(make_study):
    one, clips = listener(make_study, "ranking", "rank")
    worth = np.exp([1.0, 0.0, -1.0])
    ranks = np.array([one.answer(one.study.questions[0], clips) for _ in range(6000)])
    assert (ranks[:, 0] == 1).mean() == pytest.approx(worth[0] / worth.sum(), abs=0.025)
    order = (ranks == [1, 2, 3]).all(axis=1).mean()
    assert order == pytest.approx(worth[0] / worth.sum() * worth[1] / worth[1:].sum(), abs=0.025)


def test_graded_answers_lie_on_the_right_side(make_study):
    one, clips = listener(make_study, "paired", "likert", side=0.0)
    question = one.study.questions[0]
    towards_left = np.mean([one.answer(question, [clips[0], clips[2]]) for _ in range(1500)])
    towards_right = np.mean([one.answer(question, [clips[2], clips[0]]) for _ in range(1500)])
    assert towards_left == pytest.approx(6 - towards_right, abs=0.2)
    assert towards_left < 2.4
    one, clips = listener(make_study, "rating", "likert")
    means = [np.mean([one.answer(one.study.questions[0], [clip]) for _ in range(1500)]) for clip in clips]
    assert means[0] > means[1] + 0.3 > means[2] + 0.6
    assert means[1] == pytest.approx(3.5, abs=0.2)


@pytest.mark.parametrize("design", ["paired", "ranking", "rating"])
def test_simulated_listeners_go_the_whole_way(simulated, design):
    trials = CATCH if design == "paired" else {**CATCH, "identical": 0}
    opened = simulated(design, trials=trials, background=["gold_msi_training"])
    found = progress(opened, simulated=True)
    assert found.participants == {"finished": 6}
    assert (found.places, found.places_taken, found.ratings) == (6, 6, 24)
    assert max(found.imbalance.values()) <= 1
    people = progress(opened)
    assert (people.participants, people.places_taken, people.places, people.median_minutes) == ({}, 0, 12, None)
    assert session.enrol(opened)  # their places are not people's


def test_the_same_seed_gives_the_same_answers(make_study, tmp_path):
    tables = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        store = open_store(str(tmp_path / f"{name}.sqlite"))
        opened = open_study(store, *make_study(piano_roll="random"))
        simulate(opened, default_truth(opened.study), listeners=3, seed=seed)
        tables.append(make_tables(opened, simulated=True))
        store.close()
    pd.testing.assert_frame_equal(tables[0]["answers_fits"], tables[1]["answers_fits"])
    assert tables[0]["participants"]["piano_roll"].equals(tables[1]["participants"]["piano_roll"])
    assert not tables[0]["answers_fits"].equals(tables[2]["answers_fits"])


def test_tables_are_those_of_the_analysis(simulated):
    pair = make_tables(simulated("paired", trials=CATCH), simulated=True)
    assert list(pair["answers_fits"].columns[:5]) == ["listener", "item", "left", "right", "outcome"]
    assert len(pair["answers_fits"]) == 24
    assert (pair["answers_fits"]["left"] != pair["answers_fits"]["right"]).all()
    assert set(pair["answers_fits"]["outcome"]) <= {"left", "right", "tie"}
    assert pair["answers_fits"]["simulated"].all()
    trials = pair["trials"]
    assert trials["kind"].value_counts().to_dict() == {"main": 24, "practice": 6, "identical": 6, "degraded": 6}
    assert trials["catch_passed"].notna().sum() == 12
    assert trials["catch_passed"][trials["kind"] == "degraded"].sum() >= 5  # nobody likes what is spoilt
    assert (trials["heard"] == 1).all()
    assert (trials.groupby("listener")["position"].max() == 7).all()


def test_a_ranking_has_a_row_per_system(simulated):
    tables = make_tables(simulated("ranking"), simulated=True)
    ranks = tables["answers_quality"]
    assert list(ranks.columns[:4]) == ["listener", "item", "system", "rank"]
    assert ranks.groupby(["listener", "item"])["rank"].apply(sorted).map(tuple).unique().tolist() == [(1, 2, 3)]
    assert len(ranks) == len(tables["answers_improved"]) == 6 * 4 * 3
    assert tables["answers_improved"]["yes"].isin([True, False]).all()


def test_answers_stand_beside_the_systems_that_were_heard(make_study, tmp_path):
    """A listener who always prefers system-0 must be found to do so, whatever the side and the order."""
    store = open_store(str(tmp_path / "study.sqlite"))
    opened = open_study(store, *make_study("paired", gate=0))
    known = Truth({"system-0": 60.0, "system-1": 30.0, "system-2": 0.0}, taste=0.0)
    simulate(opened, known, listeners=12)
    table = make_tables(opened, simulated=True)["answers_fits"]
    chosen = table["left"].where(table["outcome"] == "left", table["right"])
    assert (chosen == table[["left", "right"]].min(axis=1)).all()
    assert len({*zip(table["left"], table["right"], strict=True)}) == 6
    store.close()


def test_an_export_is_complete_and_leads_to_nobody(simulated, tmp_path):
    background = ["musical_background", "omsi", {"name": "why", "text": "Why?", "kind": "text"}]
    opened = simulated(background=background)
    token = session.enrol(opened)
    out = tmp_path / "out"
    tables = export(opened, out, simulated=True)
    codebook = json.loads((out / "codebook.json").read_text())
    for name, table in tables.items():
        assert len(pd.read_csv(out / f"{name}.csv")) == len(table) == len(pd.read_parquet(out / f"{name}.parquet"))
        assert set(codebook[name]) == set(table.columns)
        assert all(codebook[name].values())
    assert "scoring: none" in codebook["participants"]["omsi_title"]
    assert set(tables["participants"]["musical_background"]) <= {"small", "medium", "strong"}
    assert (tables["participants"]["minutes"] > 0).all()
    assert "texts" not in tables
    assert "why" not in tables["participants"]
    written = "".join(file.read_text(errors="replace") for file in out.iterdir())
    assert token not in written
    assert make_tables(opened, simulated=True, texts=True)["texts"]["words"].eq("simulated").all()
    assert (out / "study.yaml").read_text() == opened.study.source
    assert json.loads((out / "registration.json").read_text()) == registration(opened)


def test_people_and_simulated_listeners_are_never_in_one_table(simulated, tmp_path):
    opened = simulated()
    session.enrol(opened)
    assert len(make_tables(opened)["participants"]) == 1
    assert len(make_tables(opened, simulated=True)["participants"]) == 6
    assert make_tables(opened)["answers_fits"].empty
    assert list(make_tables(opened)["answers_fits"]) == list(make_tables(opened, simulated=True)["answers_fits"])
    export(opened, tmp_path / "people")
    assert set(CODEBOOK) >= set(pd.read_csv(tmp_path / "people" / "participants.csv"))


def test_the_registration_stays_while_the_study_grows(make_study, tmp_path):
    store = open_store(str(tmp_path / "study.sqlite"))
    first = registration(open_study(store, *make_study()))
    grown = registration(open_study(store, *make_study(target={"participants": 20})))
    assert grown["registration_sha256"] == first["registration_sha256"]
    assert grown["study_file_sha256"] != first["study_file_sha256"]
    assert grown["design_sha256"] == first["design_sha256"]
    assert registration(open_study(store, *make_study(gate=0.1)))["registration_sha256"] != first["registration_sha256"]
    store.close()


def test_progress_flags_and_counts(make_study, tmp_path):
    store = open_store(str(tmp_path / "study.sqlite"))
    checked = {"gate": 0, "headphone_check": "antiphase"}
    opened = open_study(store, *make_study(trials={**CATCH, "practice": 0}, **checked))
    for headphones, likes in ((3, "degraded"), (6, "plain")):
        token = session.enrol(opened)
        session.give_consent(opened, token, True)
        check = {"check": "antiphase", "correct": headphones, "trials": 6}
        session.set_sound(opened, token, {"volume_set": True, "headphones": check})
        while (page := session.next_trial(opened, token)) is not None:
            clips = [session.resolve_stimulus(opened, clip.token) for clip in page.clips]
            answer = "tie" if clips[0] == clips[1] else "left" if clips[0].variant == likes else "right"
            session.submit(opened, token, page.trial, page.page_id, {"fits": answer})
    found = progress(opened)
    assert found.flags == {"a catch trial failed": 1, "headphone check failed": 1}
    assert found.participants == {"on the way": 2}
    assert (found.ratings, found.target, found.median_minutes) == (8, 48, None)
    assert progress(open_study(store, *make_study(name="unchecked"))).flags == {}  # what nobody is asked is no flag
    store.close()


@pytest.fixture
def folder(make_study, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study without sound, whose manifest counts as up to date."""
    monkeypatch.setattr("studies.stimuli.is_rendered", lambda study: True)
    study, stimuli = make_study(recruitment={"kind": "invitation"}, retention="2020-01-01")
    (tmp_path / "study.yaml").write_text(study.source)
    write_manifest(tmp_path, stimuli)
    return tmp_path


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_commands(folder: Path):
    with pytest.raises(UserError, match=r"study\.sqlite: no such database"):
        run("status", folder)
    assert len(set(run("invite", folder, "--number", "4").split())) == 4  # before anybody came
    said = run("simulate", folder, "--listeners", "3", "--strength", "system-1=2.5")
    assert "3 simulated listeners took part" in said
    assert "system-1 +2.50" in said
    assert "participants  3 finished" in run("status", folder, "--simulated")
    assert "participants  nobody yet" in run("status", folder)
    assert json.loads(run("status", folder, "--json"))["places"] == 12
    assert "answers_fits.csv  12 rows" in run("export", folder, "--simulated", "--out", folder / "records")
    person = pd.read_csv(folder / "records" / "participants.csv")["listener"][0]
    assert "erased" in run("erase", folder, "--participant", person)
    assert "1 erased, 2 finished" in run("status", folder, "--simulated")
    assert "3 simulated listeners: erased" in run("erase", folder, "--simulated")
    assert "participants  nobody yet" in run("status", folder, "--simulated")
    for name, state in (("pause", "paused"), ("close", "closed"), ("reopen", "open")):
        assert f"the study is {state}" in run(name, folder)
        assert f"study         {state}" in run("status", folder)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["erase", "."], "give one of --participant, --invitation, --prolific, --expired and --simulated"),
        (["erase", ".", "--participant", "p", "--expired"], "give one of --participant, --invitation, --prolific,"),
        (["simulate", ".", "--strength", "system-1"], "--strength: 'system-1' is not SYSTEM=LOGITS"),
        (["simulate", ".", "--strength", "system-1=nan"], "is not SYSTEM=LOGITS"),
        (["simulate", ".", "--strength", "system-1=1e9"], r"'system-1=1e9': give -20 to 20 logits"),
        (["simulate", ".", "--strength", "system-1=-20.5"], r"'system-1=-20.5': give -20 to 20 logits"),
        (
            ["simulate", ".", "--strength", "sistem-1=1"],
            r"--strength: no system called 'sistem-1'; did you mean system-1",
        ),
        (["simulate", "nowhere"], r"nowhere: there is no study\.yaml here"),
        (["statsu", "."], r"study has no command 'statsu'; did you mean status"),
        (["status", ".", "--database", "none.sqlite"], r"none\.sqlite: no such database"),
        (["status", ".", "--database", "sqlite:///none.sqlite"], r"none\.sqlite: no such database"),
        (["erase", ".", "--participant", "p-x"], r"no study called 'fixture' in this database"),
    ],
)
def test_a_mistake_is_one_sentence(folder: Path, arguments, sentence, monkeypatch):
    monkeypatch.chdir(folder)
    open_store("study.sqlite").close()
    with pytest.raises(UserError, match=sentence):
        run(*arguments)
    assert not (folder / "none.sqlite").exists()


def test_audio_that_is_not_of_the_study_as_it_is_now_is_refused(tmp_path: Path):
    """Otherwise a dry run would open the study with trials that serving, which renders, could not open again."""
    rng = np.random.default_rng(0)
    for system, item in ((system, item) for system in "ab" for item in range(4)):
        (tmp_path / system).mkdir(exist_ok=True)
        soundfile.write(tmp_path / system / f"{item}.wav", rng.normal(0, 0.05, 44_100), 44_100)
    text = {
        "name": "stale", "title": "?", "text": {"consent": "Yes."}, "design": "paired", "systems": {"a": "a", "b": "b"},
        "questions": [{"name": "q", "kind": "choice", "text": "?"}], "target": {"participants": 2},
        "trials": {"per_participant": 2, "practice": 0}, "recruitment": {"kind": "invitation"},
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(json.dumps(text))
    run("render", tmp_path)
    (tmp_path / "study.yaml").write_text(json.dumps(text | {"items": ["0", "1", "2"]}))
    for name in ("simulate", "invite"):
        with pytest.raises(UserError, match=f"run evalkit study render {tmp_path}"):
            run(name, tmp_path)
    run("render", tmp_path)
    assert len(run("invite", tmp_path, "--number", "2").split()) == 2
    assert run("simulate", tmp_path, "--listeners", "2").startswith("2 simulated listeners took part")  # nothing before
    (tmp_path / "study.yaml").write_text(json.dumps(text | {"name": "renamed"}))
    with pytest.raises(
        UserError, match=r"no study called 'renamed' .* \(there are: stale; was the 'name' in study.yaml"
    ):
        run("export", tmp_path)


def test_every_command_has_help_with_an_example():
    assert cli is not command
    for name in ("invite", "status", "verify", "simulate", "export", "pause", "close", "reopen", "erase"):
        assert f"  Example:\n    evalkit study {name}" in run(name, "--help")
    assert "status" in run("--help")


def test_a_damaged_manifest_is_named(folder: Path):
    (folder / "rendered" / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"manifest\.json: not a manifest"):
        run("simulate", folder)
    (folder / "rendered" / "manifest.json").unlink()
    with pytest.raises(UserError, match="there is no audio yet; run evalkit study render"):
        run("simulate", folder)
