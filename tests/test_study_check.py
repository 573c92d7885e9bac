"""``evalkit study check``: every mistake that it knows, made once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_study import SYSTEMS, tune, write_tiny_study

from evalkit.music import audio
from evalkit.music.midi import to_pretty_midi, write_midi
from evalkit.music.notes import Piece, Tempo, TimeSignature, Track, note_array
from studies import assignment, checks, plan_checks, stimuli
from studies.declaration import Analysis
from studies.design import Study, load_study
from studies.manifest import read_manifest

Change = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study with which nothing is wrong."""
    write_tiny_study(tmp_path)
    return tmp_path


def file(folder: Path, system: str, item: int, ending: str = "mid") -> Path:
    return folder / "midi" / system / f"{item}.{ending}"


def found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The findings but for those about power, which take a second."""
    monkeypatch.setattr(checks, "power", lambda study: iter(()))
    return list(checks.findings(load_study(folder)))


def tone(seconds: float = 2.0, amplitude: float = 0.1) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * 440 * np.arange(int(seconds * 44_100)) / 44_100)


def recordings(**odd: np.ndarray) -> Change:
    """All of a study as recordings; ``odd`` is what item 1 of a system sounds like."""

    def change(folder: Path) -> None:
        text(folder, ", highlight: [2, 2]", "")
        for s, system in enumerate(SYSTEMS):
            for i in range(4):
                file(folder, system, i).unlink()
                sound = odd[system] if i == 1 and system in odd else tone(amplitude=0.1 + 0.01 * (2 * i + s))
                soundfile.write(file(folder, system, i, "wav"), sound, 44_100, subtype="PCM_16")

    return change


def text(folder: Path, old: str, new: str) -> None:
    study = (folder / "study.yaml").read_text()
    assert old in study
    (folder / "study.yaml").write_text(study.replace(old, new))


def write_with(control: str) -> Change:
    """A file with something that is not played."""
    import pretty_midi

    def change(folder: Path) -> None:
        midi = to_pretty_midi(tune([60, 61, 62, 63, 64, 65, 66, 67]))
        if control == "pedal":
            midi.instruments[0].control_changes.append(pretty_midi.ControlChange(64, 127, 0.5))
        else:
            midi.instruments[0].pitch_bends.append(pretty_midi.PitchBend(2000, 0.5))
        midi.write(str(file(folder, "zzmodel", 1)))

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "a missing item": (lambda f: file(f, "zzhuman", 3).unlink(), "midi/zzhuman: lacks 3, which other systems have"),
    "an empty folder": (
        lambda f: [path.unlink() for path in (f / "midi" / "zzhuman").iterdir()],
        "midi/zzhuman: no .mid, .midi, .wav, .flac files in it",
    ),
    "no folder": (lambda f: text(f, "midi/zzhuman", "midi/none"), "midi/none: no such folder"),
    "a listed item that is not there": (
        lambda f: text(f, "items: all", "items: [one, two]"),
        "study.yaml: items: {folder}/midi/zzmodel has no file called 'one'",
    ),
    "unreadable MIDI": (
        lambda f: file(f, "zzmodel", 2).write_bytes(b"MThd no music"),
        "midi/zzmodel/2.mid: cut off within the header",
    ),
    "a file that is too short": (
        lambda f: write_midi(tune([60, 62]), file(f, "zzmodel", 1)),
        "midi/zzmodel/1.mid: has only 1 of the 2 bars of the excerpt",
    ),
    "silence": (
        lambda f: write_midi(Piece("", 4, note_array(np.array([32]), 4, np.array([60])), 36), file(f, "zzmodel", 1)),
        "midi/zzmodel/1.mid: silent: no note in the excerpt",
    ),
    "another metre": (
        lambda f: write_midi(tune([60] * 8, time_signatures=(TimeSignature(0, 3, 4),)), file(f, "zzmodel", 1)),
        "1: not equally long: zzmodel 1.5 s, zzhuman 2.0 s; the shorter would end in silence",
    ),
    "another tempo": (
        lambda f: text(f, "tempo: 240", "tempo: null")
        or write_midi(tune([60] * 8, tempos=(Tempo(0, 60.0),)), file(f, "zzmodel", 1)),
        "1: not equally long: zzmodel 8.0 s, zzhuman 4.0 s; the shorter would end in silence",
    ),
    "identical versions": (
        lambda f: file(f, "zzmodel", 1).write_bytes(file(f, "zzhuman", 1).read_bytes()),
        "1: zzmodel and zzhuman are identical",
    ),
    "another instrument": (
        lambda f: [
            write_midi(tune([60 + (i + t) % 7 for t in range(8)], tracks=(Track(52),)), file(f, "zzmodel", i))
            for i in range(4)
        ],
        "study.yaml: systems play different instruments, which tells them apart (zzmodel program 52; zzhuman",
    ),
    "a pedal": (write_with("pedal"), "midi/zzmodel/1.mid: its sustain pedal is not played"),
    "a bend": (write_with("bend"), "midi/zzmodel/1.mid: its pitch bends are not played"),
    "a recording among MIDI": (
        lambda f: [
            text(f, ", highlight: [2, 2]", ""),
            file(f, "zzmodel", 1).unlink(),
            soundfile.write(file(f, "zzmodel", 1, "wav"), tone(), 44_100),
        ],
        "1: MIDI of some systems and recordings of others: the sound tells them apart",
    ),
    "a silent recording": (recordings(zzmodel=np.zeros(88_200)), "midi/zzmodel/1.wav: silent"),
    "a whispered recording": (
        recordings(zzmodel=tone(amplitude=0.001)),
        "midi/zzmodel/1.wav: too quiet, at -6",
    ),
    "a clipped recording": (
        recordings(zzmodel=np.clip(tone(amplitude=3.0), -1, 1)),
        "midi/zzmodel/1.wav: clipped: 3 samples in a row and more are at full scale",
    ),
    "a shorter recording": (
        recordings(zzmodel=tone(1.0)),
        "1: not equally long: zzmodel 1.0 s, zzhuman 2.0 s; the shorter would end in silence",
    ),
    "a damaged recording": (
        lambda f: [recordings()(f), file(f, "zzmodel", 1, "wav").write_bytes(b"RIFF")],
        "midi/zzmodel/1.wav: cannot be read as audio",
    ),
    "a name in a text": (
        lambda f: text(f, "Hello.", "Is ZZModel better than you"),
        "study.yaml: text.welcome gives away the name of the system 'zzmodel'",
    ),
    "a name in a question": (
        lambda f: text(f, "text: Better", "text: Is it zzhuman"),
        "study.yaml: questions[0].text gives away the name of the system 'zzhuman'",
    ),
    "no soundfont": (
        lambda f: text(f, "bars: 2", "soundfont: none.sf2, bars: 2"),
        "study.yaml: excerpt.soundfont: {folder}/none.sf2: no such file",
    ),
    "no soundfont but a text": (
        lambda f: text(f, "bars: 2", "soundfont: study.yaml, bars: 2"),
        "study.yaml: excerpt.soundfont: {folder}/study.yaml: not a soundfont (an .sf2 file)",
    ),
    "half a soundfont": (
        lambda f: [
            text(f, "bars: 2", "soundfont: half.sf2, bars: 2"),
            (f / "half.sf2").write_bytes(audio.default_soundfont().read_bytes()[:1_000_000]),
        ],
        "study.yaml: excerpt.soundfont: {folder}/half.sf2: cut off: it lacks its end",
    ),
    "no words of ours": (
        lambda f: text(f, "title:", "languages: [en, ar, de-AT]\ntitle:"),
        "study.yaml: languages: ar: the app's own words are there in de, en only: buttons and hints would be English",
    ),
    "a day that has passed": (
        lambda f: text(f, "title:", "retention: 2020-02-28\ntitle:"),
        "study.yaml: retention: 2020-02-28 has passed: give the day until which personal data may be kept",
    ),
    "too few items for practice": (
        lambda f: text(f, "practice: 0", "practice: 2, identical: 1"),
        "study.yaml: trials: 2 trials of 4 items leave 2 for practice trials (2) and catch trials (1): participants "
        "hear an item of the main trials again; give 1 more item, fewer trials or trials.practice_items",
    ),
    "no welcome": (
        lambda f: text(f, "welcome: Hello., ", ""),
        "study.yaml: text.welcome is missing: participants would not be told what this is about",
    ),
    "more trials than items": (
        lambda f: text(f, "items: all", "items: 1"),
        "study.yaml: trials.per_participant: 2 trials, but 1 items and 2 systems make only 1 different ones",
    ),
    "items that nobody hears": (
        lambda f: text(f, "{participants: 60}", "{ratings: 3}"),
        "study.yaml: target: 3 trials: ",
    ),
}  # fmt: skip


def test_nothing_is_found_where_nothing_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(folder, monkeypatch) == []


def test_nothing_is_found_in_recordings_either(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings()(folder)
    assert found(folder, monkeypatch) == []


@pytest.mark.parametrize("mistake", CHANGES)
def test_each_mistake_is_found(mistake: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, sentence = CHANGES[mistake]
    change(folder)
    lines = found(folder, monkeypatch)
    assert any(line.startswith(sentence.format(folder=folder)) for line in lines), lines
    assert len(lines) == 1, lines
    assert not any("\n" in line for line in lines)


def test_marked_bars_need_midi(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings()(folder)
    text(folder, "tempo: 240", "tempo: 240, highlight: [2, 2]")
    lines = found(folder, monkeypatch)
    assert len(lines) == 8
    assert lines[0] == "midi/zzmodel/0.wav: a recording, in which excerpt.highlight cannot be marked; give MIDI"


@pytest.mark.parametrize(
    ("excerpt", "sentence"),
    [
        ("tempo: 240, highlight: [2, 3]", "has only 2 bars, and excerpt.highlight names bar 3"),
        ("start_bar: 5, tempo: 240", "has only 2 bars, and excerpt.start_bar names bar 5"),
    ],
)
def test_bars_beyond_the_end_are_told_where_all_is_heard(
    folder: Path, monkeypatch: pytest.MonkeyPatch, excerpt: str, sentence: str
) -> None:
    text(folder, "bars: 2, tempo: 240, highlight: [2, 2]", excerpt)
    lines = found(folder, monkeypatch)
    assert [line for line in lines if "bars" in line] == [
        f"midi/{system}/{i}.mid: {sentence}" for i in range(4) for system in SYSTEMS
    ]


def test_a_program_is_no_remedy_for_drums(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(4):
        drums = tune([60 + (i + t) % 7 for t in range(8)], tracks=(Track(is_drum=True),))
        write_midi(drums, file(folder, "zzmodel", i))
    (line,) = found(folder, monkeypatch)
    assert line.endswith("(zzmodel drums; zzhuman program 0): give drums to all of them or to none")


def test_pairs_that_nobody_hears_are_counted(folder: Path) -> None:
    study = load_study(folder)
    many = study.model_copy(update={"systems": {f"s{i}": Path("x") for i in range(6)}})  # 15 pairs
    few = many.model_copy(update={"target": study.target.model_copy(update={"participants": 5})})
    lines = list(plan_checks.balance(few, ["0", "1", "2", "3"]))
    assert lines == ["study.yaml: target: 10 trials: only 10 of 15 pairs of systems are heard at all"]
    assert list(plan_checks.balance(many, ["0", "1", "2", "3"])) == []


def test_an_item_that_one_person_hears_twice_is_told(folder: Path) -> None:
    study = load_study(folder)
    systems = {f"s{i}": Path("x") for i in range(3)}
    lines = list(plan_checks.balance(study.model_copy(update={"systems": systems}), ["0"]))
    assert lines == ["study.yaml: trials.per_participant: 2 trials of 1 items: participants hear an item twice"]


@pytest.mark.parametrize("practice_items", [(), ("3",)])
@pytest.mark.parametrize(("practice", "identical", "degraded"), [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 1, 2)])
def test_items_that_come_again_are_told_and_no_others(
    folder: Path, practice_items: tuple[str, ...], practice: int, identical: int, degraded: int
) -> None:
    """The finding against what participants really get."""
    trials = {"per_participant": 3, "practice": practice, "practice_items": practice_items}
    study = load_study(folder)
    trials |= {"identical": identical, "degraded": degraded}
    study = study.model_copy(update={"trials": study.trials.model_copy(update=trials)})
    everything = [str(i) for i in range(5)]
    items = [item for item in everything if item not in practice_items]
    again = []
    for number, cells in enumerate(assignment.make_slots(study, items)):
        theirs = assignment.participant_trials(study, everything, cells, str(number))
        main = {trial.item for trial in theirs if trial.kind == "main"}
        again.append(any(trial.item in main for trial in theirs if trial.kind != "main"))
    lines = [line for line in plan_checks.balance(study, items) if "again" in line]
    assert len(lines) == any(again)


def test_a_folder_that_is_called_like_a_recording_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "midi" / "zzmodel" / "5.wav").mkdir()
    (folder / "midi" / "zzhuman" / "._0.mid").write_bytes(b"of a file browser")
    assert found(folder, monkeypatch) == []


def test_today_is_still_within_the_retention(folder: Path) -> None:
    day = dt.date(2030, 1, 1)
    study = load_study(folder).model_copy(update={"retention": day})
    assert list(plan_checks.retention_passed(study, day)) == []
    assert len(list(plan_checks.retention_passed(study, day + dt.timedelta(days=1)))) == 1


def test_a_plan_out_of_balance_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_checks.assignment, "imbalance", lambda study, items, cells: {"sides": 2, "items": 1})
    lines = list(plan_checks.balance(load_study(folder), ["0", "1", "2", "3"]))
    assert lines == ["study.yaml: the plan is not balanced: counts of sides differ by 2"]


def test_power_that_is_too_low_comes_with_what_would_do(folder: Path) -> None:
    study = load_study(folder)
    few = study.model_copy(update={"target": study.target.model_copy(update={"participants": 6})})
    (line,) = plan_checks.power(few)
    assert line.startswith("study.yaml: target: 6 listeners of 2 trials find a preference of 65% with a power of 0.")
    assert "listeners" in line
    many = study.model_copy(update={"target": study.target.model_copy(update={"participants": 150})})
    assert list(plan_checks.power(many)) == []
    some = study.model_copy(update={"target": study.target.model_copy(update={"participants": 30})})
    large = some.model_copy(update={"analysis": Analysis(difference={"better": 1.5})})
    assert (len(list(plan_checks.power(some))), len(list(plan_checks.power(large)))) == (1, 0)
    alone = study.model_copy(update={"target": study.target.model_copy(update={"participants": 1})})
    assert "nothing can be said" in next(plan_checks.power(alone))


class TestRendered:
    @pytest.fixture
    def study(self, folder: Path, fluidsynth: None) -> Study:
        text(folder, "items: all", "items: 2")
        study = load_study(folder)
        stimuli.render(study)
        return study

    def checked(self, study: Study) -> list[str]:
        return list(checks.rendered(study, read_manifest(study.folder), lambda what, n: None))

    @pytest.mark.audio
    def test_what_was_rendered_has_no_faults(self, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        assert found(study.folder, monkeypatch) == []
        assert self.checked(study) == []

    @pytest.mark.audio
    def test_tags_silence_clipping_quiet_and_other_lengths_are_found(self, study: Study) -> None:
        stimulus = read_manifest(study.folder)[0]
        path = study.folder / stimulus.audio
        whole, (samples, rate) = path.read_bytes(), soundfile.read(path)

        def lines(content: np.ndarray | bytes) -> str:
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                soundfile.write(path, content, rate)
            return "\n".join(self.checked(study))

        with soundfile.SoundFile(path, "w", rate, 1) as tagged:
            tagged.title = "zzhuman"
            tagged.write(samples)
        assert f"{stimulus.audio} ({stimulus.item} of zzhuman, plain): holds metadata" in lines(path.read_bytes())
        assert list(checks._leaks(b"fLaC" + bytes([0x81, 0, 0, 7]) + b"zzhuman"))  # in what should be padding
        assert not list(checks._leaks(b"fLaC" + bytes([0x81, 0, 0, 7]) + bytes(7)))
        assert "silent" in lines(0 * samples)
        assert "clips: its true peak is at +" in lines(np.clip(200 * samples, -1, 1))
        assert "LU below the loudest of" in lines(0.5 * samples)
        assert "differ in length" in lines(samples[:-1000])
        assert lines(whole) == ""
