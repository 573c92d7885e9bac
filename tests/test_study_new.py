"""``evalkit study new``, and its way to ``check`` and ``render``: a newcomer's first five minutes."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import yaml
from tiny_study import tune

from evalkit.bench import runner
from evalkit.bench.suite import parse_suite
from evalkit.cli import main
from evalkit.configuration import keys
from evalkit.errors import UserError
from evalkit.music.midi import read_midi, write_midi
from evalkit.music.notes import bar_starts, cut
from evalkit.music.pianoroll import encode
from studies import assignment, examples, new
from studies.cli import study as group
from studies.declaration import Analysis, Screening
from studies.design import (
    PAGES,
    Excerpt,
    Organiser,
    Question,
    Recruitment,
    Study,
    Target,
    Trials,
    load_study,
    study_items,
)
from studies.preparation import check
from studies.questionnaires import BUILT_IN


@pytest.fixture
def evalkit(monkeypatch: pytest.MonkeyPatch):
    """Calls ``evalkit study ...`` in this process; the exit code."""
    monkeypatch.setattr("evalkit.cli.cli", group)

    def call(*args: object) -> int:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in args])
        return int(ended.value.code or 0)

    return call


@pytest.fixture(scope="module")
def example_studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Study]:
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "_is_installed", lambda spec: False)  # networks would take minutes
        for example in new.EXAMPLES:
            new.new_example(folder / example, example)
    return {example: load_study(folder / example) for example in new.EXAMPLES}


def plan_of(study: Study) -> list[assignment.Cell]:
    items = [item for item in study_items(study) if item not in study.trials.practice_items]
    return [cell for slot in assignment.make_slots(study, items) for cell in slot]


@pytest.mark.parametrize("example", new.EXAMPLES)
def test_every_example_is_a_study_about_which_check_says_nothing(
    example: str, example_studies, evalkit, capsys
) -> None:
    assert evalkit("check", example_studies[example].folder) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("example", "items", "systems", "bars"),
    [("chorales", 15, 3, 8), ("inpainting", 30, 4, 16), ("melodies", 32, 3, 16)],
)
def test_examples_have_the_papers_items_and_different_music(
    example: str, items: int, systems: int, bars: int, example_studies: dict[str, Study]
) -> None:
    study = example_studies[example]
    files = study_items(study)
    assert (len(files), len(study.systems)) == (items + 2, systems)
    for sources in files.values():
        rolls = {encode(read_midi(path)).tobytes() for path in sources.values()}
        assert len(rolls) == len(sources)
        assert {len(bar_starts(read_midi(path))) - 1 for path in sources.values()} <= {bars, bars - 1}


def test_inpainted_tunes_differ_in_the_marked_bars_only(example_studies: dict[str, Study]) -> None:
    study = example_studies["inpainting"]
    for sources in study_items(study).values():
        pieces = {system: read_midi(path) for system, path in sources.items()}
        start, stop = examples.region_ticks(pieces["original"])
        for piece in pieces.values():
            for left, right in ((0, start), (stop, pieces["original"].end)):
                theirs, ours = (cut(p, left, right).notes for p in (piece, pieces["original"]))
                np.testing.assert_array_equal(theirs[["onset", "pitch"]], ours[["onset", "pitch"]])
        inside = cut(pieces["shuffled-notes"], start, stop).notes
        original = cut(pieces["original"], start, stop).notes
        np.testing.assert_array_equal(np.sort(inside["pitch"]), np.sort(original["pitch"]))
        np.testing.assert_array_equal(inside["onset"], original["onset"])


def test_completions_keep_the_melody_that_is_given(example_studies: dict[str, Study]) -> None:
    for sources in study_items(example_studies["chorales"]).values():
        rolls = {system: encode(read_midi(path)) for system, path in sources.items()}
        for system in rolls.keys() & {"original", "uniform", "orderless-nade", "coconet"}:
            melody = rolls[""][: len(rolls[system])]
            assert (rolls[system] & melody).sum() == melody.sum()


def test_models_whose_weights_are_installed_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "MODELS", {"es-net": {"weights": "none.safetensors"}, "uniform": {"low": 50}})
    assert list(examples.chorales().systems) == [examples.INPUT, "uniform", "original"]
    monkeypatch.setattr(examples, "MODELS", {"uniform": {"low": 50, "high": 51}})
    example = examples.chorales()
    assert list(example.systems) == [examples.INPUT, "uniform"]
    melody, answer = (encode(example.systems[system](1)[0]) for system in example.systems)
    assert not np.delete(answer & ~melody[: len(answer)], [50, 51], axis=1).any()


def test_melodies_take_the_longest_models_whose_weights_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen bars where there are weights for them; short models beside real melodies of the same two bars."""
    there = {"musicvae-2bar-melody"}
    monkeypatch.setattr(examples, "_is_installed", lambda spec: spec["generator"] in there)
    short = examples.melodies()
    assert (list(short.systems), short.bars) == (["original", "musicvae-2bar-melody", "ngram"], 2)
    assert {piece.end // (4 * piece.ticks_per_quarter) for piece in short.systems["original"](3)} == {2}
    there.add("musicvae-flat-16bar-melody")
    long = examples.melodies()
    assert (list(long.systems), long.bars) == (["original", "musicvae-flat-16bar-melody", "ngram"], 16)


def test_templates_declare_whom_they_leave_out(example_studies: dict[str, Study], tmp_path: Path) -> None:
    designs = ("paired", "ranking", "rating")
    for design in designs:
        new.new_study(tmp_path / design, design)
    for study in (*example_studies.values(), *(load_study(tmp_path / design) for design in designs)):
        assert study.analysis.difference  # else the page has nothing to tell about power
        assert study.analysis.screening.seconds
        assert study.analysis.screening.trials is None  # whoever stopped before the end counts
        catch = study.trials.identical + study.trials.degraded
        assert (study.analysis.screening.catch_failed is not None) == (catch > 0)


@pytest.mark.parametrize("template", ["paired", "ranking", "rating"])
def test_a_template_names_every_key_of_its_design(template: str) -> None:
    """They are what a newcomer has to read; there is no other list of keys but in the code."""
    words = set(re.findall(r"\w+", files("studies").joinpath("templates", f"{template}.yaml").read_text()))
    models = (Study, Question, Trials, Excerpt, Recruitment, Target, Organiser, Analysis, Screening)
    wanted = {*PAGES, *BUILT_IN, *(key for model in models for key in keys(model))}
    assert wanted - words <= ({"identical"} if template != "paired" else set())


def test_a_new_study_of_ratings_has_mvaes_numbers_after_one_edit(tmp_path: Path) -> None:
    new.new_study(tmp_path, "rating")
    text = (tmp_path / "study.yaml").read_text()
    assert "target: {participants: 40}" in text
    (tmp_path / "study.yaml").write_text(text.replace("{participants: 40}", "{per_system: 85}"))
    study = load_study(tmp_path)
    assert study.total_trials() == 170
    assert study.points(study.questions[0]) == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"design": "paired", "systems": 3, "items": 12, "size": 8, "target": {"ratings": 192}},
            "24 participants, 8 trials each, 192 in all: 64 of each pair of systems, 128 of each system, 16 of each "
            "item",
        ),
        (
            {"design": "paired", "systems": 5, "items": 30, "size": 10, "target": {"participants": 72}},
            "72 participants, 10 trials each, 720 in all: 72 of each pair of systems, 288 of each system, 24 of each "
            "item",
        ),
        (
            {"design": "ranking", "systems": 3, "items": 15, "size": 15, "target": {"participants": 14}},
            "14 participants, 15 trials each, 210 in all: 210 of each system, 14 of each item",
        ),
        (
            {"design": "rating", "systems": 5, "items": 16, "size": 10, "target": {"per_system": 85}},
            "43 participants, 5 to 10 trials each, 425 in all: 85 of each system, 26 to 27 of each item",
        ),
    ],
)
def test_check_tells_the_numbers_of_the_papers_plans(tmp_path: Path, evalkit, capsys, change: dict, told: str) -> None:
    """MusicVAE, InpaintNet, ES-Net, MVAE; without music, as a plan comes first."""
    kind = {"paired": "choice", "ranking": "rank", "rating": "likert"}[change["design"]]
    plan = {
        "name": "paper",
        "title": "Which?",
        "text": {"welcome": "Hello.", "consent": "I agree."},
        "design": change["design"],
        "questions": [{"name": "q", "kind": kind, "text": "Which?"}],
        "systems": {f"s{i}": f"midi/{i}" for i in range(change["systems"])},
        "items": change["items"],
        "trials": {"per_participant": change["size"]},
        "target": change["target"],
    }
    ranking = {"input": "midi/input"} if change["design"] == "ranking" else {}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plan | ranking))
    assert evalkit("check", tmp_path) == 1
    assert f"the plan: {told}" in capsys.readouterr().err


def test_papers_plans_come_out_exactly(example_studies: dict[str, Study]) -> None:
    """MusicVAE: 192 ratings, 64 of each pair, each source in 128. InpaintNet: 72 people, 720 comparisons."""
    study = example_studies["melodies"]
    study = study.model_copy(update={"target": study.target.model_copy(update={"participants": None, "ratings": 192})})
    cells = plan_of(study)
    pairs = [tuple(sorted(cell.systems)) for cell in cells]
    assert len(cells) == 192
    assert {pairs.count(pair) for pair in pairs} == {64}
    assert {sum(system in pair for pair in pairs) for system in study.systems} == {128}
    assert len(plan_of(example_studies["inpainting"])) == 720


def test_an_example_that_was_interrupted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def stop(n: int) -> list:
        raise KeyboardInterrupt

    def first(n: int) -> list:
        made.append("first")
        return examples._tunes(n)

    systems = {"a": first, "b": stop}
    monkeypatch.setitem(examples.EXAMPLES, "melodies", lambda: examples.Example(2, 1, systems))
    with pytest.raises(KeyboardInterrupt):
        new.new_example(tmp_path / "s", "melodies")
    assert not (tmp_path / "s" / "study.yaml").exists()
    systems["b"] = examples._tunes
    new.new_example(tmp_path / "s", "melodies")
    assert made == ["first"]
    assert load_study(tmp_path / "s").trials.practice_items == ("03",)
    with pytest.raises(UserError, match=r"already holds a study\.yaml"):
        new.new_example(tmp_path / "s", "melodies")


def test_a_new_study_says_what_is_missing_until_there_is_music(tmp_path: Path, evalkit, capsys) -> None:
    folder = tmp_path / "My study: 2nd try"
    assert evalkit("new", folder) == 0
    study = load_study(folder)
    assert study.name == "my-study-2nd-try"
    capsys.readouterr()
    assert evalkit("check", folder) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"midi/system-{which}: no .mid, .midi, .wav, .flac files in it" for which in "ab"
    ]
    tunes = examples._tunes(14)  # ten trials, two for practice and two catch trials
    for system, pieces in (("system-a", tunes), ("system-b", examples._from_others(tunes))):
        for i, piece in enumerate(pieces):
            write_midi(piece, folder / "midi" / system / f"{i}.mid")
    assert evalkit("check", folder) == 0


def test_wrong_use_is_one_sentence_and_exit_code_2(tmp_path: Path, evalkit, capsys) -> None:
    assert evalkit("check", tmp_path) == 2
    assert "there is no study.yaml here" in capsys.readouterr().err
    (tmp_path / "study.yaml").write_text("name: x\n")
    for args in (
        ("check", tmp_path),
        ("render", tmp_path),
        ("new", tmp_path),
        ("new", tmp_path / "y", "--from", tmp_path),
    ):
        assert evalkit(*args) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert evalkit("new", tmp_path / "y", "--from", tmp_path, "--example", "chorales") == 2
    assert evalkit("new", tmp_path / "y", "--example", "none") == 2


def test_commands_have_help_with_an_example(evalkit, capsys) -> None:
    for command in ("new", "check", "render"):
        assert evalkit(command, "--help") == 0
        assert "evalkit study" in capsys.readouterr().out.partition("Example")[2]
    assert check.short_help


SUITE = """
name: tiny
data: {folder: music}
representation: satb
resamples: 100
tasks: [TASK]
generators: [uniform, {name: "low & <b>slow</b>/x (1)", generator: uniform, low: 40, high: 50}, GENERATOR]
"""
COMPLETION = "{task: completion, prompts: 4, bars: 2, bars_in_total: 8, metrics: melody_kept}"
SAMPLES = "{task: samples, pieces: 4, bars: 2, metrics: in_scale_rate}"


def finished_run(folder: Path, task: str, samples: int = 4) -> Path:
    (folder / "music").mkdir(exist_ok=True)
    for i, piece in enumerate(examples._chorale_windows(4)):
        write_midi(piece, folder / "music" / f"{i}.mid")
    text = SUITE.replace("TASK", task).replace(", GENERATOR", "").replace(" & <b>slow</b>/x", " =slow")
    suite = parse_suite(text, "tiny.yaml", folder)
    runner.run(runner.make_plan(suite), folder / "run", workers=1, timeout=60, samples=samples)
    return folder / "run"


def test_a_run_of_prompts_becomes_a_ranking(tmp_path: Path, evalkit, capsys) -> None:
    run = finished_run(tmp_path, COMPLETION)
    assert evalkit("new", tmp_path / "s", "--from", run) == 0
    assert "a study of 4 items" in capsys.readouterr().out
    study = load_study(tmp_path / "s")
    assert (study.design, set(study.systems)) == ("ranking", {"uniform", "low-slow-1"})
    items = study_items(study)
    assert len(items) == 4
    for item, sources in items.items():
        prompt = next(path for path in (run / "samples" / "prompt").iterdir() if path.stem.split()[0] in item)
        assert sources[""].read_bytes() == prompt.read_bytes()
        melody, answer = encode(read_midi(sources[""])), encode(read_midi(sources["uniform"]))
        assert answer[: len(melody)][melody[: len(answer)]].mean() == 1  # the answer to this very prompt
    evalkit("check", study.folder)
    again, *others = capsys.readouterr().out.splitlines()  # that there are few items, and few listeners for a power
    assert again.startswith("study.yaml: trials: 4 trials of 4 items leave 0 for practice trials (1)")
    assert all("power" in line for line in others)


def test_a_run_of_samples_becomes_pairs(tmp_path: Path) -> None:
    assert new.new_from_run(tmp_path / "s", finished_run(tmp_path, SAMPLES, samples=3)) == 3
    study = load_study(tmp_path / "s")
    assert (study.design, len(study_items(study)), study.trials.per_participant) == ("paired", 3, 3)


def test_names_that_a_study_cannot_have_are_made_into_such_that_stay_different() -> None:
    assert new._distinct(["a b", "a/b", "held-out Bach", "é", "input"]) == [
        "a-b",
        "a-b-1",
        "held-out-Bach",
        "unnamed",
        "input-4",
    ]


@pytest.mark.parametrize(
    ("options", "systems", "design"),
    [
        (["--from", "Mär chen", "--from", "theirs"], ["M-r-chen", "theirs"], "paired"),
        (["--from", "Mär chen", "--design", "rating"], ["M-r-chen"], "rating"),
        (["--from", "theirs", "--from", "Mär chen", "--input", "given"], ["theirs", "M-r-chen"], "ranking"),
        (
            ["--from", "theirs", "--from", "given", "--input", "given", "--design", "paired"],
            ["theirs", "given"],
            "paired",
        ),
    ],
)
def test_a_study_of_ones_own_folders(tmp_path: Path, evalkit, capsys, monkeypatch, options, systems, design) -> None:
    """What a folder lacks is no item; what is no music stays where it is."""
    for system, number in (("Mär chen", 14), ("theirs", 16), ("given", 14)):
        (tmp_path / system).mkdir()
        for i in range(number):
            write_midi(tune([60 + i, 62, 64, 65 + len(system)]), tmp_path / system / f"n {i}.mid")
    (tmp_path / "theirs" / "notes.txt").write_text("no music")
    monkeypatch.chdir(tmp_path)
    assert evalkit("new", "s", *options) == 0
    assert "s: a study of 14 items; next: edit s/study.yaml" in capsys.readouterr().out
    study = load_study(tmp_path / "s")
    assert (study.design, list(study.systems)) == (design, systems)
    assert (study.input is not None) == (design == "ranking")
    assert len(study_items(study)) == 14
    assert len(list((tmp_path / "s").rglob("*.mid"))) == 14 * (len(systems) + (design == "ranking"))
    assert evalkit("new", "s", *options) == 2
    assert "already holds a study.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--from", "promptless", "--design", "ranking"], "promptless: its samples answer no prompts"),
        (["--from", "a"], "--from: needs files of the same names, versions of one item, of two systems at least"),
        (["--from", "a", "--from", "b"], "--from: needs files of the same names"),
        (["--from", "a", "--from", "none"], "none: no such folder"),
        (["--from", "a", "--from", "empty"], "--from: empty holds no .mid"),
        (["--from", "a", "--from", "a", "--design", "ranking"], "name its folder by --input"),
        (["--from", "run", "--from", "a"], "--from run: a run, which has its systems and inputs in itself"),
        (["--input", "a"], "--input: belongs to --from"),
        (["--example", "chorales", "--design", "rating"], "--example and --from or --design: give one"),
    ],
)
def test_folders_that_make_no_study(tmp_path: Path, evalkit, capsys, monkeypatch, options, sentence) -> None:
    for name, file in (("a", "1.mid"), ("b", "2.mid"), ("run", "results.json"), ("empty", "x.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(b"{}")
    (tmp_path / "promptless" / "samples" / "ngram").mkdir(parents=True)
    for file in ("results.json", "samples/ngram/1.mid"):
        (tmp_path / "promptless" / file).write_bytes(b"{}")
    monkeypatch.chdir(tmp_path)
    assert evalkit("new", "s", *options) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("design", ["paired", "ranking", "rating"])
def test_a_study_to_fill_in_has_a_folder_for_all_that_it_needs(tmp_path: Path, evalkit, design: str) -> None:
    assert evalkit("new", tmp_path / "s", "--design", design) == 0
    study = load_study(tmp_path / "s")
    assert study.design == design
    needed = [*study.systems.values(), *([study.input] if study.input else [])]
    assert all((study.folder / folder).is_dir() for folder in needed)


@pytest.mark.parametrize("there", [(), ("one",), ("reference", "one"), ("prompt", "one")])
def test_a_run_without_two_systems_to_compare_is_refused(tmp_path: Path, there: tuple[str, ...]) -> None:
    (tmp_path / "run" / "samples").mkdir(parents=True)
    (tmp_path / "run" / "results.json").write_text("{}")
    for system in there:
        (tmp_path / "run" / "samples" / quote(system)).mkdir()
        (tmp_path / "run" / "samples" / system / "1.mid").write_bytes(b"")
    with pytest.raises(UserError, match="needs files of the same names, versions of one item, of two systems"):
        new.new_from_run(tmp_path / "s", tmp_path / "run")
    assert not (tmp_path / "s").exists()


@pytest.mark.audio
@pytest.mark.usefixtures("fluidsynth")
def test_from_example_to_sound_in_two_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evalkit, capsys
) -> None:
    from studies.stimuli import is_rendered

    few = examples.Example(2, 1, examples.inpainting().systems)
    monkeypatch.setitem(examples.EXAMPLES, "inpainting", lambda: few)
    assert evalkit("new", tmp_path / "s", "--example", "inpainting") == 0
    assert evalkit("render", tmp_path / "s") == 0
    assert "24 stimuli are ready" in capsys.readouterr().out
    assert is_rendered(load_study(tmp_path / "s"))
    assert evalkit("check", tmp_path / "s") == 1
    heard_twice, too_few = (
        capsys.readouterr().out.splitlines(),
        "study.yaml: trials.per_participant: 10 trials of 2 items",
    )
    assert [line[: len(too_few)] for line in heard_twice] == [too_few]
