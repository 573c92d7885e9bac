"""Stimuli of listening studies: alike but for the music, made once, complete after any kill."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_study import STUDY, tune, write_tiny_study

from evalkit.errors import MidiError, UserError
from evalkit.music.midi import write_midi
from evalkit.music.notes import Tempo, TimeSignature, Track
from studies import excerpts, sound, stimuli
from studies.design import Excerpt, Study, load_study
from studies.manifest import MANIFEST, Stimulus, read_manifest, read_roll

PAIRED = STUDY.replace("practice: 0", "practice: 0, degraded: 1").replace("tempo: 240", "tempo: 240, program: 0")
RANKING = (
    PAIRED.replace("design: paired", "design: ranking")
    .replace("kind: choice", "kind: rank")
    .replace("systems:", "input: midi/zzinput\nsystems:")
)
SYSTEMS = ("zzmodel", "zzhuman", "zzinput")


def write_study(folder: Path, text: str = PAIRED, items: int = 3) -> Study:
    write_tiny_study(folder, text, SYSTEMS, items, program=10)
    return load_study(folder)


def by_item(found: tuple[Stimulus, ...]) -> dict[str, list[Stimulus]]:
    items: dict[str, list[Stimulus]] = {}
    for stimulus in found:
        items.setdefault(stimulus.item, []).append(stimulus)
    return items


@pytest.fixture(scope="module")
def ranked(fluidsynth: None, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A ranking study that has been rendered."""
    study = write_study(tmp_path_factory.mktemp("study"), RANKING)
    stimuli.render(study)
    return study


@pytest.fixture(scope="module")
def found(ranked: Study) -> tuple[Stimulus, ...]:
    return read_manifest(ranked.folder)


@pytest.mark.audio
@pytest.mark.usefixtures("fluidsynth")
class TestRendered:
    def test_every_item_has_every_system_the_input_and_what_is_degraded(self, found: tuple[Stimulus, ...]) -> None:
        assert sorted((s.item, s.system, s.variant) for s in found) == sorted(
            (str(i), system, variant)
            for i in range(3)
            for system, variant in (
                ("", "input"),
                ("zzmodel", "plain"),
                ("zzmodel", "degraded"),
                ("zzhuman", "plain"),
                ("zzhuman", "degraded"),
            )
        )

    def test_all_of_an_item_are_equally_long_loud_and_large(self, ranked: Study, found: tuple[Stimulus, ...]) -> None:
        for of_item in by_item(found).values():
            files = [ranked.folder / s.audio for s in of_item]
            assert len({file.stat().st_size for file in files}) == 1
            heard = [soundfile.read(file) for file in files]
            assert {(rate, samples.shape) for samples, rate in heard} == {(44_100, (3 * 44_100,))}  # 2 s and the tail
            levels = [sound.loudness(samples) for samples, _ in heard]
            assert max(levels) - min(levels) < 0.1
            assert levels[0] == pytest.approx(-23, abs=0.1)
            for samples, _ in heard:
                assert sound.true_peak(samples) <= -0.9
                assert samples[0] == 0
                assert np.abs(samples[-20:]).max() < 1e-3

    def test_nothing_in_a_file_or_its_name_tells_a_system_or_item(self, ranked: Study, found) -> None:
        names = {path.name for s in found for path in (Path(s.audio), Path(s.notes or ""))}
        assert all(re.fullmatch(r"[0-9a-f]{32}\.(flac|json)", name) for name in names)
        assert len({s.audio for s in found}) == len(found)
        for stimulus in found:
            content = (ranked.folder / stimulus.audio).read_bytes()
            roll = (ranked.folder / (stimulus.notes or "")).read_bytes()
            assert [kind for kind, _ in sound.metadata_blocks(content)] == [sound.STREAMINFO, sound.PADDING]
            for word in (*SYSTEMS, "libFLAC", "tune", str(ranked.folder)):
                assert word.encode() not in content + roll

    def test_the_degraded_has_gaps_and_noise_where_the_plain_has_music(self, ranked: Study, found) -> None:
        clips = {
            s.variant: soundfile.read(ranked.folder / s.audio)[0]
            for s in found
            if (s.system, s.item) == ("zzmodel", "0")
        }
        first, rest = slice(0, 88_200), slice(110_000, 120_000)
        assert np.corrcoef(clips["plain"][first], clips["degraded"][first])[0, 1] < 0.95
        assert np.abs(clips["degraded"][rest]).mean() > 3 * np.abs(clips["plain"][rest]).mean()

    def test_the_roll_is_what_sounds(self, ranked: Study, found: tuple[Stimulus, ...]) -> None:
        stimulus = next(s for s in found if (s.system, s.item, s.variant) == ("zzhuman", "1", "plain"))
        roll = read_roll(ranked.folder, stimulus)
        assert roll is not None
        assert roll.seconds == stimulus.seconds == 3.0
        assert roll.bars == (0.0, 1.0, 2.0)
        assert roll.highlight == (1.0, 2.0)
        assert roll.notes == tuple((i / 4, (i + 1) / 4, 65 + (1 + 2 * i) % 7) for i in range(8))

    def test_the_same_study_renders_to_the_same_bytes(self, ranked: Study, tmp_path: Path) -> None:
        again = write_study(tmp_path, RANKING)
        stimuli.render(again, workers=1)
        assert (tmp_path / MANIFEST).read_bytes() == (ranked.folder / MANIFEST).read_bytes()


@pytest.mark.audio
@pytest.mark.usefixtures("fluidsynth")
class TestIncremental:
    def test_only_what_has_changed_is_made_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        study = write_study(tmp_path)
        assert not stimuli.is_rendered(study)
        first = stimuli.render(study)
        assert stimuli.is_rendered(study)
        made: list[str] = []
        render_item = stimuli._render_item
        monkeypatch.setattr(stimuli, "_render_item", lambda s, job: made.append(job.item) or render_item(s, job))
        assert stimuli.render(study) == first
        assert made == []
        write_midi(tune([70] * 8), tmp_path / "midi" / "zzmodel" / "1.mid")
        assert not stimuli.is_rendered(study)
        second = stimuli.render(study)
        assert made == ["1"]
        assert {s.audio for s in first if s.item != "1"} <= {s.audio for s in second}
        (tmp_path / by_item(second)["2"][0].audio).write_bytes(b"spoilt")
        assert not stimuli.is_rendered(study)
        assert stimuli.render(study) == second
        assert made == ["1", "2"]
        faster = study.model_copy(update={"excerpt": study.excerpt.model_copy(update={"tempo": 300.0})})
        stimuli.render(faster)
        assert sorted(made[2:]) == ["0", "1", "2"]

    def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_kept(self, tmp_path: Path) -> None:
        study = write_study(tmp_path)
        (tmp_path / "midi" / "zzhuman" / "2.mid").write_bytes(b"MThd")
        with pytest.raises(MidiError, match=r"zzhuman/2\.mid: cut off within the header"):
            stimuli.render(study, workers=1)
        assert not (tmp_path / MANIFEST).exists()
        assert len(list((tmp_path / "rendered" / "items").iterdir())) == 2

    def test_killed_at_any_time_and_started_again_it_ends_with_the_same_bytes(self, tmp_path: Path) -> None:
        study = write_study(tmp_path / "killed", items=10)
        whole = write_study(tmp_path / "whole", items=10)
        script = (
            "import sys; from studies.design import load_study; from studies.stimuli import render; "
            "render(load_study(sys.argv[1]), workers=2)"
        )
        process = subprocess.Popen([sys.executable, "-c", script, str(study.folder)])
        audio_files, deadline = study.folder / "rendered" / "audio", time.monotonic() + 60
        while len(list(audio_files.glob("*.flac"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        finished = len(list((study.folder / "rendered" / "items").glob("*.json")))
        assert finished < 10, "it was over before it was killed"
        assert not (study.folder / MANIFEST).exists()
        assert stimuli.render(study) == stimuli.render(whole)
        assert (study.folder / MANIFEST).read_bytes() == (whole.folder / MANIFEST).read_bytes()
        assert stimuli.is_rendered(study)


def test_recordings_are_mixed_resampled_and_levelled_like_the_others(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    time_axis = np.arange(2 * 48_000) / 48_000
    for system, amplitude in (("zzmodel", 0.9), ("zzhuman", 0.01)):
        for i in range(3):
            (tmp_path / "midi" / system / f"{i}.mid").unlink()
            tone = amplitude * np.sin(2 * np.pi * (440 + i) * time_axis)
            content = np.stack([tone, 0.5 * tone], axis=1)[: 48_000 if system == "zzhuman" else None]
            soundfile.write(tmp_path / "midi" / system / f"{i}.wav", content, 48_000)
    found = stimuli.render(study)
    assert {s.notes for s in found} == {None}
    assert {s.seconds for s in found} == {2.0}
    plain = [soundfile.read(tmp_path / s.audio)[0] for s in found if s.item == "0" and s.variant == "plain"]
    assert [sound.loudness(clip) for clip in plain] == pytest.approx([-23, -23], abs=0.1)
    spectrum = np.abs(np.fft.rfft(plain[1]))
    assert np.fft.rfftfreq(len(plain[1]), 1 / 44_100)[spectrum.argmax()] == pytest.approx(440, abs=1)


class TestExcerpt:
    def test_bars_are_cut_and_the_region_is_counted_from_the_piece(self) -> None:
        piece = tune(list(range(60, 76)), tempos=(Tempo(0, 60.0),))  # four bars of 4/4
        cutting = excerpts.cut_excerpt(piece, Excerpt(start_bar=2, bars=2, highlight=(3, 3)))
        assert cutting.piece.notes["pitch"].tolist() == list(range(64, 72))
        assert (cutting.bars.tolist(), cutting.highlight, cutting.bars_lacking) == ([0, 16, 32], (16, 32), 0)

    def test_bars_beyond_the_end_are_silent_and_counted(self) -> None:
        cutting = excerpts.cut_excerpt(tune([60] * 6), Excerpt(bars=4))  # a bar and a half
        assert cutting.piece.end == 64
        assert cutting.bars.tolist() == [0, 16, 32, 48, 64]
        assert cutting.bars_lacking == 2  # the second is there in part
        assert len(cutting.piece.notes) == 6

    def test_a_last_bar_that_ends_in_a_rest_is_not_lacking(self) -> None:
        assert excerpts.cut_excerpt(tune([60] * 7), Excerpt(bars=2)).bars_lacking == 0

    def test_bars_follow_the_metre_with_a_pickup_as_a_bar(self) -> None:
        waltz = (TimeSignature(0, 1, 4), TimeSignature(4, 3, 4))
        cutting = excerpts.cut_excerpt(tune([60] * 10, time_signatures=waltz), Excerpt(bars=5, highlight=(2, 3)))
        assert cutting.bars.tolist() == [0, 4, 16, 28, 40, 52]
        assert cutting.highlight == (4, 28)
        assert cutting.bars_lacking == 1

    def test_without_a_number_of_bars_it_goes_to_the_end(self) -> None:
        cutting = excerpts.cut_excerpt(tune([60] * 6), Excerpt())
        assert cutting.piece.end == 24
        assert cutting.bars.tolist() == [0, 16]
        assert excerpts.cut_excerpt(tune([]), Excerpt(start_bar=3)).piece.end == 16  # nothing, for a bar

    def test_the_study_has_tempo_and_instrument_but_drums_stay_drums(self) -> None:
        piece = tune([60, 38], tracks=(Track(52), Track(0, True)), tempos=(Tempo(0, 60.0), Tempo(4, 70.0)))
        cutting = excerpts.cut_excerpt(piece, Excerpt(tempo=120, program=7))
        assert cutting.piece.tempos == (Tempo(0, 120.0),)
        assert cutting.piece.tracks == (Track(7), Track(0, True))

    def test_what_would_last_for_hours_is_refused(self, tmp_path: Path) -> None:
        write_midi(tune([60] * 400, steps=16, tempos=(Tempo(0, 30.0),)), tmp_path / "long.mid")
        with pytest.raises(UserError, match=r"long\.mid: 3200 seconds would be heard; the limit is 300"):
            excerpts.read_cutting(tmp_path / "long.mid", Excerpt())
        assert excerpts.read_cutting(tmp_path / "long.mid", Excerpt(bars=8)).piece.end

    def test_recordings_that_cannot_be_read_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "x.wav").write_bytes(b"no sound")
        with pytest.raises(UserError, match=r"x\.wav: cannot be read as audio"):
            excerpts.read_recording(tmp_path / "x.wav")


class TestSound:
    def test_loudness_is_that_of_the_standard(self) -> None:
        """EBU Tech 3341, case 1: a 1 kHz sine at -23 dBFS in both channels reads -23 LUFS; in one channel 3 LU less."""
        tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * np.arange(5 * 44_100) / 44_100)
        assert sound.loudness(tone) == pytest.approx(-26.01, abs=0.1)

    def test_a_peak_between_samples_is_seen(self) -> None:
        quarter = np.sin(2 * np.pi * np.arange(4000) / 4 + np.pi / 4)  # its samples stay 3 dB below its peak
        assert np.abs(quarter).max() == pytest.approx(0.7071, abs=1e-4)
        assert sound.true_peak(quarter * np.hanning(4000)) == pytest.approx(0, abs=0.1)

    def test_one_with_high_peaks_makes_all_softer_and_none_clip(self) -> None:
        rng = np.random.default_rng(0)
        steady = 0.1 * rng.standard_normal(3 * 44_100)
        clicks = np.zeros(3 * 44_100)
        clicks[::4410] = 1.0
        made = sound.levelled([steady, clicks])
        levels = [sound.loudness(clip) for clip in made]
        assert levels[0] == pytest.approx(levels[1], abs=0.05)
        assert levels[0] < sound.LOUDNESS - 3
        assert max(map(sound.true_peak, made)) == pytest.approx(sound.CEILING, abs=0.1)

    def test_silence_stays_and_a_whisper_is_not_made_a_roar(self) -> None:
        tone = np.sin(2 * np.pi * 440 * np.arange(88_200) / 44_100)
        silent, whisper = sound.levelled([np.zeros(88_200), 1e-4 * tone])
        assert not silent.any()
        assert sound.loudness(whisper) == pytest.approx(sound.loudness(1e-4 * tone) + sound.MOST_GAIN, abs=0.1)

    def test_files_are_of_one_size_and_hold_what_was_put_in(self) -> None:
        rng = np.random.default_rng(0)
        clips = [np.zeros(50_000), 0.1 * rng.standard_normal(50_000), 0.1 * np.sin(np.arange(50_000) / 9)]
        files = sound.flac_files(clips)
        assert len({len(file) for file in files}) == 1
        for clip, file in zip(clips, files, strict=True):
            import io

            samples, rate = soundfile.read(io.BytesIO(file))
            assert rate == 44_100
            np.testing.assert_allclose(samples, clip, atol=2 / 32768)

    @pytest.mark.parametrize("size", [4, 5, 17, 1000, *range(1020, 1040), 5000])
    def test_padding_has_the_size_that_is_wanted_whatever_the_largest_block(self, size: int, monkeypatch) -> None:
        monkeypatch.setattr(sound, "LARGEST_BLOCK", 1020)
        padding = b"".join(sound._padding(size))
        assert len(padding) == size
        blocks = list(sound.metadata_blocks(b"fLaC" + padding))
        assert sum(4 + len(content) for _, content in blocks) == size
        assert {kind for kind, _ in blocks} == {sound.PADDING}
        assert max(len(content) for _, content in blocks) <= 1020


def test_a_roll_survives_its_file(tmp_path: Path) -> None:
    from studies.manifest import Roll, roll_json

    roll = Roll(3.0, ((0.0, 0.25, 60), (1.125, 2.0, 61)), (0.0, 1.5), None)
    (tmp_path / "r.json").write_text(roll_json(roll))
    stimulus = Stimulus("a", "1", "plain", "a.flac", "r.json", "", 3.0)
    assert read_roll(tmp_path, stimulus) == roll
    assert json.loads((tmp_path / "r.json").read_text())["notes"][1] == [1.125, 2.0, 61]
    (tmp_path / "r.json").write_text("{}")
    with pytest.raises(UserError, match="run evalkit study render"):
        read_roll(tmp_path, stimulus)
