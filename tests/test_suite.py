"""Suites: what is read, and the one sentence that every mistake gets."""

from pathlib import Path

import pytest

from evalkit.bench.suite import choose_generators, load_suite, parse_suite, suite_names
from evalkit.bench.tasks.task import Context
from evalkit.datasets.pieces import CorpusPieces
from evalkit.errors import UserError

NOTHING = CorpusPieces("none", (), "")
GOOD = """\
name: mine
data: {corpus: bach-chorales, reference: train, inputs: test}
representation: satb
tasks:
  - {task: samples, pieces: 40, bars: 8, metrics: [in_scale_rate]}
generators:
  - ngram
  - {name: human, generator: corpus, split: test}
"""


def parse(text: str, folder: Path = Path()):
    return parse_suite(text, "mine.yaml", folder)


def test_a_suite_has_its_entries_and_defaults():
    suite = parse(GOOD)
    assert (suite.seed, suite.resamples, suite.timeout) == (0, 1000, 600)
    assert [entry.name for entry in suite.generators] == ["ngram", "human"]
    assert suite.generators[1].spec == {"generator": "corpus", "split": "test"}
    assert suite.data.spec(suite.data.reference) == "bach-chorales:train"
    assert suite.text == GOOD
    (task,) = suite.tasks
    assert [(s.start, s.stop) for s in shards_of(task)] == [(0, 16), (16, 32), (32, 40)]
    assert [(s.start, s.stop) for s in shards_of(task, limit=20)] == [(0, 16), (16, 20)]
    assert len({s.seed for seed in (0, 1) for s in shards_of(task, seed=seed)}) == 6


def shards_of(task, **asked):
    return task.plan(Context("mine", NOTHING, "none", NOTHING, "none", "satb", **asked)).shards


def test_every_suite_of_ours_is_valid():
    assert "demo" in suite_names()
    for name in suite_names():
        assert load_suite(name).name == name


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("name: mine", "name: mine\nresampels: 5", "mine.yaml: unknown key 'resampels'; did you mean resamples?"),
        ("pieces: 40", "peices: 40", "mine.yaml: unknown key 'peices' in tasks[0]; did you mean pieces"),
        ("corpus:", "corpse:", "mine.yaml: unknown key 'corpse' in data; did you mean corpus?"),
        ("name: mine", "name: mine\nfolder: here", "mine.yaml: unknown key 'folder'"),
        ("name: mine", "title: mine", "mine.yaml: the key 'name' is missing"),
        (", bars: 8", "", "mine.yaml: the key 'tasks[0].bars' is missing"),
        ("bars: 8", "bars: eight", "mine.yaml: tasks[0].bars: input should be a valid integer"),
        ("bars: 8", "bars: 0", "mine.yaml: tasks[0].bars: input should be greater than or equal to 1, got 0"),
        ("task: samples", "task: sample", "mine.yaml: tasks[0].task: no task called 'sample'; did you mean samples?"),
        (
            "[in_scale_rate]",
            "[in_scale_ratio]",
            "mine.yaml: tasks[0].metrics: no metric called 'in_scale_ratio'; did you mean in_scale_rate",
        ),
        ("- ngram", "- ngrm", "mine.yaml: generators[0]: no generator called 'ngrm'; did you mean ngram?"),
        ("task: samples", "task: [samples]", "mine.yaml: tasks[0].task: no task called ['samples']"),
        ("task: samples", "task: samples, name: ../../../escaped", "mine.yaml: tasks[0].name: string should match"),
        ("task: samples", "task: samples, name: a/b", "mine.yaml: tasks[0].name: string should match"),
        ("task: samples", "task: samples, bars: 2", "mine.yaml, line 5: not valid YAML: the key 'bars' is there twice"),
        ("name: mine", "name: mine\nname: yours", "mine.yaml, line 2: not valid YAML: the key 'name' is there twice"),
        ("name: mine", "name: mine\ntimeout: .inf", "mine.yaml: timeout: input should be"),
        ("name: mine", "name: mine\ntimeout: .nan", "mine.yaml: timeout: input should be"),
        (
            "name: mine",
            "name: mine\ntimeout: 1.0e+12",
            "mine.yaml: timeout: input should be less than or",
        ),
        ("- ngram", "- gen.py:Mine", "mine.yaml: generators[0]: gen.py: no such file"),
        ("- ngram", "- {name: x}", "mine.yaml: generators[0] needs the key 'generator'"),
        ("- ngram", "- 7", "mine.yaml: generators[0] must be a mapping"),
        ("name: human", "name: ngram", "mine.yaml: generators: the name 'ngram' is there twice"),
        ("name: human", "name: ../human", "mine.yaml: generators[1].name: '../human' cannot name a generator"),
        ("name: human", "name: reference", "mine.yaml: generators[1].name: 'reference' cannot name a generator"),
        ("name: human", "name: prompt", "mine.yaml: generators[1].name: 'prompt' cannot name a generator"),
        ("satb", "stab", "mine.yaml: representation: no representation called 'stab'; did you mean satb?"),
        ("corpus: bach-chorales, ", "", "mine.yaml: data: give either 'corpus' or 'folder'"),
        ("{corpus: bach-chorales,", "{folder: x,", "mine.yaml: data: a folder has no splits"),
        ("representation: satb", "representation: [", "mine.yaml, line 5: not valid YAML"),
        (GOOD, "- a list", "mine.yaml: a suite must be a mapping"),
        (GOOD, "", "mine.yaml: a suite must be a mapping"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_file_and_key(old, new, sentence):
    assert old in GOOD
    with pytest.raises(UserError) as caught:
        parse(GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith(sentence)
    assert "\n" not in message


def test_a_merged_key_may_be_said_anew():
    """What YAML's ``<<`` brings is no key that is there twice."""
    shared = "{<<: &base {task: samples, pieces: 40, bars: 8}, bars: 4, name: four (4)}"
    text = GOOD.replace("{task: samples, pieces: 40, bars: 8, metrics: [in_scale_rate]}", shared)
    (task,) = parse(text).tasks
    assert (task.bars, task.title) == (4, "four (4)")


def test_a_metric_of_any_name_may_stand_alone():
    (task,) = parse(GOOD.replace("[in_scale_rate]", "in_scale_rate")).tasks
    assert task.metrics == ("in_scale_rate",)


def test_paths_are_relative_to_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "gen.py").write_text("class Mine: ...")
    (tmp_path / "suites" / "mine.yaml").write_text(GOOD.replace("- ngram", "- gen.py:Mine"))
    monkeypatch.chdir(tmp_path)
    suite = load_suite("suites/mine.yaml")
    assert suite.generators[0].name == "Mine"
    assert suite.folder == tmp_path / "suites"


def test_an_unknown_suite_is_named():
    with pytest.raises(UserError, match=r"no suite called 'dmo'; did you mean demo\?"):
        load_suite("dmo")
    with pytest.raises(UserError, match=r"here/dmo\.yaml: no such file"):
        load_suite("here/dmo.yaml")


def test_generators_of_the_command_line_are_entries_names_or_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "gen.py").write_text("class Mine: ...")
    monkeypatch.chdir(tmp_path)
    chosen = choose_generators(parse(GOOD), ["human", "uniform", "gen.py:Mine"])
    assert [entry.name for entry in chosen.generators] == ["human", "uniform", "Mine"]
    assert chosen.generators[0].spec == {"generator": "corpus", "split": "test"}
    assert chosen.generators[2].spec == {"generator": f"{tmp_path}/gen.py:Mine"}
    for names, sentence in (
        (["humane"], r"--generators: no generator called 'humane'; did you mean human\?"),
        (["human", "human"], "the name 'human' is there twice"),
        (["gone.py:Mine"], r"gone\.py: no such file"),
    ):
        with pytest.raises(UserError, match=sentence):
            choose_generators(parse(GOOD), names)


def test_a_folder_of_midi_can_be_chosen(tmp_path, monkeypatch):
    (tmp_path / "their midi").mkdir()
    monkeypatch.chdir(tmp_path)
    (entry,) = choose_generators(parse(GOOD), ["./their midi"]).generators
    assert entry.name == "their midi"
    assert entry.spec == {"generator": "midi-folder", "folder": str(tmp_path / "their midi")}
    with pytest.raises(UserError, match=r"no generator called '\./nowhere'"):
        choose_generators(parse(GOOD), ["./nowhere"])
