"""Sound: what FluidSynth renders is as long, as loud and as high as the notes say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import UserError
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, note_array
from reports import audio, listening

SECONDS_PER_STEP = 0.125  # sixteenths at 120 quarters a minute


def melody(path: Path, pitches: list[int], steps: int = 4) -> Path:
    count = len(pitches)
    notes = note_array(np.arange(count) * steps, np.full(count, steps), np.array(pitches))
    write_midi(Piece(path.stem, 4, notes, count * steps), path)
    return path


@pytest.fixture
def fluidsynth() -> None:
    try:
        audio.fluidsynth()
    except audio.NoSound as missing:
        if os.environ.get("EVALKIT_REQUIRE_AUDIO") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.mark.audio
@pytest.mark.usefixtures("fluidsynth")
class TestWithFluidSynth:
    def test_a_melody_has_its_length_its_peak_and_its_pitch(self, tmp_path: Path, capfd) -> None:
        import soundfile

        out = audio.render(melody(tmp_path / "a4.mid", [69] * 8), tmp_path / "a4.mp3")
        samples, rate = soundfile.read(out)
        assert rate == 44_100
        assert samples.ndim == 1
        assert len(samples) / rate == pytest.approx(8 * 4 * SECONDS_PER_STEP + 1, abs=0.15)  # and a second to die away
        assert np.abs(samples).max() == pytest.approx(audio.PEAK, abs=0.08)  # the encoder changes a peak a little
        assert np.abs(samples[-200:]).max() < 0.01
        spectrum = np.abs(np.fft.rfft(samples[: 2 * rate]))
        harmonic = np.fft.rfftfreq(2 * rate, 1 / rate)[spectrum.argmax()] / 440
        assert harmonic == pytest.approx(round(harmonic), abs=0.01)
        assert harmonic > 0.5
        assert capfd.readouterr() == ("", "")

    def test_a_long_piece_is_cut_after_a_minute(self, tmp_path: Path) -> None:
        import soundfile

        out = audio.render(melody(tmp_path / "long.mid", [60] * 20, steps=48), tmp_path / "long.mp3")
        assert soundfile.info(out).duration == pytest.approx(audio.LONGEST + 1, abs=0.15)

    def test_a_piece_without_notes_is_silent(self, tmp_path: Path) -> None:
        import soundfile

        samples, _ = soundfile.read(audio.render(melody(tmp_path / "x.mid", []), tmp_path / "x.mp3"))
        assert np.abs(samples).max() < 1e-3

    def test_the_same_content_is_rendered_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = audio.render_cached(melody(tmp_path / "a.mid", [60, 62]), tmp_path, "a")
        monkeypatch.setattr(audio, "_synthesise", lambda *_: pytest.fail("rendered again"))
        assert audio.render_cached(tmp_path / "a.mid", tmp_path, "a") == first
        monkeypatch.undo()
        assert audio.render_cached(melody(tmp_path / "a.mid", [60, 64]), tmp_path, "a") != first

    def test_what_cannot_be_rendered_is_one_sentence(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.mid"
        broken.write_bytes(b"MThd no music")
        with pytest.raises(UserError, match=r"broken\.mid: cannot be rendered"):
            audio.render(broken, tmp_path / "x.mp3")
        with pytest.raises(UserError, match=r"none\.sf2: no such soundfont"):
            audio.render(melody(tmp_path / "a.mid", [60]), tmp_path / "x.mp3", tmp_path / "none.sf2")


def test_without_fluidsynth_there_is_one_sentence_and_no_sound(write_run, tmp_path: Path, monkeypatch) -> None:
    def missing() -> None:
        raise audio.NoSound(audio.NO_FLUIDSYNTH)

    monkeypatch.setattr(audio, "fluidsynth", missing)
    from reports.records import read_records

    groups, notes = listening.sample_groups(read_records([write_run(tmp_path / "run")]), tmp_path / "out")
    assert notes == [audio.NO_FLUIDSYNTH]
    assert all(sample.sound is None for group in groups for sample in group.samples)
    assert not (tmp_path / "out").exists()


def test_a_missing_library_is_no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fluidsynth", None)  # what import finds where there is none
    audio.fluidsynth.cache_clear()
    with pytest.raises(audio.NoSound, match="install libfluidsynth"):
        audio.fluidsynth()
    monkeypatch.undo()
    audio.fluidsynth.cache_clear()


def test_systems_with_the_same_prompts_stand_side_by_side(write_run, tmp_path: Path, monkeypatch) -> None:
    from reports.records import read_records

    monkeypatch.setattr(listening, "_sounds", lambda entries, out: ([None] * len(entries), []))
    groups, _ = listening.sample_groups(read_records([write_run(tmp_path)]), tmp_path)
    assert [(g.heading[:5], g.same_prompt, len(g.samples)) for g in groups] == [
        ("bwv_1", True, 3),
        ("bwv_2", True, 3),
        ("<b>bo", False, 1),
    ]
    assert groups[0].samples[0].system == "reference"
