"""Study files: what they may say, and one sentence for every mistake."""

import json
import math
import textwrap
from pathlib import Path

import pytest
import yaml

from evalkit.errors import UserError
from studies import design
from studies.design import Study, Trials, load_study, parse_study, study_items
from studies.questionnaires import BUILT_IN, built_in, gold_msi_training

EXAMPLE = textwrap.dedent(design.__doc__.split("\n\n", 1)[1].split("Paths are relative", 1)[0])

GOOD = """\
name: mine
title: {en: A study, de: Eine Studie}
languages: [en, de]
text:
  consent: {en: I agree., de: Ich stimme zu.}
design: paired
questions:
  - {name: fits, kind: choice, text: {en: "Which?", de: "Was?"}}
systems: {a: midi/a, b: midi/b}
trials: {per_participant: 4}
target: {participants: 10}
"""


def parse(text: str):
    return parse_study(text, "study.yaml", Path())


def test_the_documented_example_is_a_study():
    study = parse(EXAMPLE)
    assert (study.name, study.total_trials(), study.excerpt.highlight) == ("inpainting-2026", 720, (7, 10))
    assert study.page("consent", "de") == "Ich nehme teil ..."
    assert study.page("welcome", "de") == "Thank you for listening."
    assert study.page("thanks", "de") == ""
    assert study.localised(study.title, "fr") == "Which bars fit better?"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("title:", "titel:", "unknown key 'titel'; did you mean title"),
        ("per_participant", "per_particpant", "unknown key 'per_particpant' in trials; did you mean per_participant?"),
        ("kind: choice", "kind: choise", "questions[0].kind: input should be 'choice', 'likert',"),
        ("name: fits, ", "nme: fits, ", "unknown key 'nme' in questions[0]; did you mean name?"),
        ("target: {participants: 10}", "", "the key 'target' is missing"),
        ("{participants: 10}", "{participants: 10, ratings: 3}", "target: give one of 'participants', 'ratings' and"),
        ("{participants: 10}", "{participants: 0}", "target.participants: input should be greater"),
        ("{participants: 10}", "{per_system: 7}\nsystems2: 1", "unknown key 'systems2'; did you mean systems"),
        ("  consent:", "  concent:", "text: no page called 'concent'; did you mean consent"),
        ("  consent: {en: I agree., de: Ich stimme zu.}", "  welcome: Hi", "'text.consent' is missing"),
        (", de: Ich stimme zu.", "", "'text.consent' has no text for the language 'de'"),
        ("\"Was?\"", "\"Was?\", fr: Quoi", "'questions[0].text': 'fr' is not one of 'languages'"),
        ("de: Eine Studie", "de: ' '", "title: the text is empty"),
        ("[en, de]", "[english]", "languages[0]: 'english': give its code, such as en or pt-BR"),
        ("design: paired", "design: pairs", "design: input should be 'paired', 'ranking' or 'rating', got 'pairs'"),
        ("design: paired", "design: rating", "'questions': 'fits' is of kind choice; a rating study asks likert"),
        ("design: paired", "design: ranking", "'input' (the folder of input tracks) belongs to ranking studies"),
        (", b: midi/b", "", "'systems' needs at least 2 systems in a paired study"),
        ("a: midi/a", "Mein Netz: midi/a", "systems.Mein Netz: 'Mein Netz': give at most 60 of A to Z,"),
        ("a: midi/a", "yes: midi/a", "systems[1]: must be a text; put it into quotation marks, got True"),
        ("kind: choice,", "kind: choice, points: 5,", "questions[0]: 'points' belongs"),
        ("kind: choice,", "kind: choice, low: worse,", "questions[0]: 'low' and 'high' belong"),
        ("kind: choice,", "kind: likert, ties: true,", "questions[0]: 'ties' belongs to questions"),
        ("kind: choice,", "kind: likert, both_bad: true,", "questions[0]: 'both_bad' belongs to questions"),
        ("  - {name", "  - {name: fits, kind: likert, text: x}\n  - {name", "'questions': the name 'fits' is"),
        ("{per_participant: 4}", "{per_participant: 4, practice_items: [x]}\nitems: [x]", "'trials.practice_items':"),
        ("{per_participant: 4}", "{per_participant: 4, repeated: 3}", "'trials.repeated': at most half of 'trials"),
        ("{per_participant: 4}", "{per_participant: 4}\nitems: [x, x]", "'items' must name at least one"),
        ("name: mine", "name: My Study", "name: 'My Study': give at most 60 small letters, digits and hyphens"),
        ("name: mine", "name: mine\ngate: 1.5", "gate: input should be less than or equal to 1, got 1.5"),
        ("name: mine", "name: mine\nexcerpt: {bars: 8, highlight: [7, 10]}", "excerpt: 'highlight' [7, 10]"),
        ("name: mine", "name: mine\nrecruitment: {kind: prolific}", "recruitment: 'completion_code' belongs"),
        ("name: mine", "name: mine\nretention: tomorrow", "retention: must be a day, such as 2030-12-31, got 't"),
        ("name: mine", "name: mine\nretention: 2030-02-31", "line 2: not valid YAML: '2030-02-31': day"),
        ("\"Was?\"", "Was?", "but got '?' (put texts within {} or [] into quotation marks)"),
        ("name: mine", "name: mine\ntext: Ours: here", "are not allowed here (put a text that holds a colon into quot"),
        ("name: mine", "name: mine\n\tseed: 0", "cannot start any token (indent with blanks instead of tabs)"),
        ("name: mine", "name: mine\nseed:", "seed: is empty: give it a value, or take its line out"),
        ("name: mine", "name: mine\nitems: " + 2000 * "[", "not valid YAML: its lists or mappings lie too deep"),
        ("name: mine", "name: mine\nanalysis: {difference: -1}", "analysis.difference: input should be greater than 0"),
        ("[en, de]", "en", "languages: must be a list, such as [a, b], got 'en'"),
        ("{participants: 10}", "10", "target: must be a mapping of keys to values, got 10"),
        ("\"Was?\"", "1", "questions[0].text.de: must be a text; put it into quotation marks, got 1"),
        ("name: mine", "name: mine\nbackground: [{name: x, text: y, choices: [yes, no]}]", "give a text (in quotation"),
        ("name: mine", "name: mine\nbackground: [omsy]", "background[0]: no questionnaire called 'omsy'; did"),
        ("name: mine", "name: mine\nbackground: [omsi, omsi]", "'background': the question 'omsi_age' is there twice"),
        ("name: mine", "name: mine\nbackground: [{name: x, text: y}]", "background[0]: give at least two 'choices'"),
        ("name: mine", "name: mine\nbackground: [{name: x, text: y, choices: [{en: a, de: x}, {en: b, de: x}]}]",
         "'background.x.choices': two answers are called 'x' in the language 'de'"),
        ("choice, text", "likert, low: x, high: x, text", "'questions[0].low' and 'high': two answers are called 'x'"),
        ("name: mine", "name: mine\nsource: x", "unknown key 'source'"),
        ("name: mine", "name: mine\nname: yours", "not valid YAML: the key 'name' is there twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_that_names_file_and_key(old, new, sentence):
    assert old in GOOD
    with pytest.raises(UserError) as caught:
        parse(GOOD.replace(old, new, 1))
    message = str(caught.value)
    assert message.startswith("study.yaml")
    assert sentence in message
    assert "\n" not in message


def test_odd_totals_are_refused():
    three = GOOD.replace("b: midi/b", "b: midi/b, c: midi/c")
    with pytest.raises(UserError, match=r"'target\.per_system': 85 trials of each of 3 systems make no whole pairs"):
        parse(three.replace("participants: 10", "per_system: 85"))
    assert parse(three.replace("participants: 10", "per_system: 128")).total_trials() == 192


def test_the_fingerprint_leaves_out_what_may_change():
    same = (
        ("participants: 10", "participants: 20"),
        ("I agree.", "I do."),
        ("name: mine", "name: mine\nretention: 2030-01-01"),
        ("name: mine", "name: mine\ngate: 0.9"),  # as it is by default
    )
    other = ("midi/b", "midi/c"), ("per_participant: 4", "per_participant: 5"), ("Which?", "Who?")
    fingerprint = parse(GOOD).fingerprint()
    assert {parse(GOOD.replace(*change)).fingerprint() for change in same} == {fingerprint}
    assert len({parse(GOOD.replace(*change)).fingerprint() for change in other} | {fingerprint}) == 4


def test_a_key_of_a_later_version_does_not_stop_a_running_study():
    class LaterTrials(Trials):
        breaks: int = 0

    class Later(Study):
        trials: LaterTrials
        loudness: float = -23.0

    now, later = parse(GOOD), Later(**yaml.safe_load(GOOD))
    assert later.trials.breaks == 0
    assert later.fingerprint() == now.fingerprint()
    assert Later(**yaml.safe_load(GOOD), loudness=-20.0).fingerprint() != now.fingerprint()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for system, names in (("a", "1.mid 2.mid 3.midi x.txt .4.mid"), ("b", "1.mid 2.mid 3.MID 5.mid")):
        (tmp_path / "midi" / system).mkdir(parents=True)
        for name in names.split():
            (tmp_path / "midi" / system / name).touch()
    (tmp_path / "study.yaml").write_text(GOOD)
    return tmp_path


def test_items_are_what_all_systems_have(folder: Path):
    assert list(study_items(load_study(folder))) == ["1", "2", "3"]
    assert study_items(load_study(folder / "study.yaml"))["3"]["b"] == folder / "midi" / "b" / "3.MID"
    (folder / "study.yaml").write_text(GOOD + "items: 2\n")
    drawn = set(study_items(load_study(folder)))
    assert len(drawn) == 2
    assert list(study_items(parse_study(GOOD + "items: 3\n", "", folder))) == ["1", "2", "3"]  # as many as there are
    assert len({frozenset(study_items(parse_study(GOOD + f"items: 1\nseed: {i}\n", "", folder))) for i in range(9)}) > 1
    (folder / "study.yaml").write_text(GOOD.replace("r_participant: 4", "r_participant: 4, practice_items: ['2']"))
    assert list(study_items(load_study(folder))) == ["1", "2", "3"]


def test_items_are_called_as_files_are(folder: Path):
    names = ["BWV 1", "Für Elise (2nd)", "#3", "a.b"]
    for system, name in ((system, name) for system in "ab" for name in names):
        (folder / "midi" / system / f"{name}.mid").touch()
    (folder / "midi" / "a" / "BWV 1.wav").mkdir()  # a folder is no version of an item
    (folder / "study.yaml").write_text(
        GOOD.replace("r_participant: 4", "r_participant: 4, practice_items: ['a.b']") + f"items: {names[:3]}\n"
    )
    assert list(study_items(load_study(folder))) == sorted(names)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("items: 4", r"items: 4 are wanted, but only 3 file names occur in all systems' folders"),
        ("items: ['5']", r"items: .*midi/a has no file called '5'"),
        ("items: [1, 2]", "items: 1 cannot name an item: give file names without ending, in quotes"),
        ("items: []", "items: give 'all', a number, or a list"),
        ("items: some", "items: give 'all', a number, or a list"),
        ("items: ['1', '../2']", r"items: '\.\./2' cannot name an item"),
        ("items: ['1', 'a/2']", r"items: 'a/2' cannot name an item"),
        ("items: ['1', ' 2']", r"items: ' 2' cannot name an item"),
        ('items: ["1", "2\\n"]', r"items: '2\\n' cannot name an item"),
    ],
)
def test_missing_items_are_named(folder: Path, change: str, sentence: str):
    (folder / "study.yaml").write_text(GOOD + change)
    with pytest.raises(UserError, match=sentence):
        study_items(load_study(folder))


def test_missing_folders_and_files_are_named(folder: Path):
    study = load_study(folder)
    (folder / "midi" / "b" / "1.wav").touch()
    with pytest.raises(UserError, match=r"systems\.b: 1\.mid and 1\.wav would be the same item"):
        study_items(study)
    for file in (folder / "midi" / "b").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"systems\.b: .*midi/b holds no \.mid"):
        study_items(study)
    (folder / "midi" / "b").rmdir()
    with pytest.raises(UserError, match=r"systems\.b: .*midi/b: no such folder"):
        study_items(study)
    with pytest.raises(UserError, match=r"there is no study\.yaml here"):
        load_study(folder / "midi")


def test_built_in_questionnaires():
    assert {name: len(built_in(name)) for name in BUILT_IN} == {
        "musical_background": 1, "musician_title": 1, "gold_msi_training": 7, "omsi": 10,
    }  # fmt: skip
    names = [question.name for question in built_in("gold_msi_training")]
    assert all(len(question.choices) == 7 for question in built_in("gold_msi_training"))
    assert gold_msi_training(dict.fromkeys(names, 0)) == 2 * 7 + 5 * 1  # the first two are reversed
    assert gold_msi_training(dict.fromkeys(names, 6)) == 2 * 1 + 5 * 7
    assert gold_msi_training({name: 0 if i < 2 else 6 for i, name in enumerate(names)}) == 49
    assert gold_msi_training({name: 6 if i < 2 else 0 for i, name in enumerate(names)}) == 7
    assert math.isnan(gold_msi_training(dict.fromkeys(names[1:], 6)))


def test_no_participant_gets_a_questionnaire_in_another_language():
    """German has no Gold-MSI of ours: reading the study says so, in one sentence, and how to give one's own texts."""
    text = GOOD.replace("name: mine", "name: mine\nbackground: [LIST]")
    for asked in ("musical_background", "musician_title"):
        parse(text.replace("LIST", asked))
    for asked in ("gold_msi_training", "omsi"):
        wanted = rf"'{asked}' is not there in the language 'de': give your own texts .* {{questionnaire: {asked}, texts"
        with pytest.raises(UserError, match=wanted):
            parse(text.replace("LIST", asked))
    german = {
        q.name: {"text": f"Frage {i}", "choices": [f"Antwort {i}.{j}" for j in range(len(q.choices))]}
        for i, q in enumerate(built_in("gold_msi_training"))
    }
    own = json.dumps({"questionnaire": "gold_msi_training", "texts": {"de": german}})
    study = parse(text.replace("LIST", own))
    assert [study.localised(q.text, "de") for q in study.background] == [f"Frage {i}" for i in range(7)]
    assert study.localised(study.background[2].choices[3], "de") == "Antwort 2.3"
    german["gold_msi_theory_years"]["choices"].pop()
    own = json.dumps({"questionnaire": "gold_msi_training", "texts": {"de": german}})
    with pytest.raises(UserError, match=r"'texts\.de\.gold_msi_theory_years' needs 7 choices"):
        parse(text.replace("LIST", own))
