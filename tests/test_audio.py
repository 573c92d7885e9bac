"""Sound: what FluidSynth renders is as long, as loud and as high as the notes say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import UserError
from evalkit.music import audio as sound
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, Tempo, Track, note_array
from reports import audio, listening

SECONDS_PER_STEP = 0.125  # sixteenths at 120 quarters a minute


def melody(path: Path, pitches: list[int], steps: int = 4) -> Path:
    count = len(pitches)
    notes = note_array(np.arange(count) * steps, np.full(count, steps), np.array(pitches))
    write_midi(Piece(path.stem, 4, notes, count * steps), path)
    return path


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
        monkeypatch.setattr(audio, "synthesise", lambda *_: pytest.fail("rendered again"))
        assert audio.render_cached(tmp_path / "a.mid", tmp_path, "a") == first
        monkeypatch.undo()
        assert audio.render_cached(melody(tmp_path / "a.mid", [60, 64]), tmp_path, "a") != first

    def test_what_cannot_be_rendered_is_one_sentence(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.mid"
        broken.write_bytes(b"MThd no music")
        with pytest.raises(UserError, match=r"broken\.mid: cut off within the header"):
            audio.render(broken, tmp_path / "x.mp3")
        with pytest.raises(UserError, match=r"none\.sf2: no such soundfont"):
            audio.render(melody(tmp_path / "a.mid", [60]), tmp_path / "x.mp3", tmp_path / "none.sf2")


def test_without_fluidsynth_there_is_one_sentence_and_no_sound(write_run, tmp_path: Path, monkeypatch) -> None:
    def missing() -> None:
        raise sound.NoSound(sound.NO_FLUIDSYNTH)

    monkeypatch.setattr(listening, "fluidsynth", missing)
    from reports.records import read_records

    groups, notes = listening.sample_groups(read_records([write_run(tmp_path / "run")]), tmp_path / "out")
    assert len(notes) == 1
    assert "install libfluidsynth" in notes[0]
    assert all(sample.sound is None for group in groups for sample in group.samples)
    assert not (tmp_path / "out").exists()


def test_a_missing_library_is_no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fluidsynth", None)  # what import finds where there is none
    sound.fluidsynth.cache_clear()
    with pytest.raises(sound.NoSound, match="install libfluidsynth"):
        sound.fluidsynth()
    monkeypatch.undo()
    sound.fluidsynth.cache_clear()


def piece_of(rows: list[tuple[int, int, int, int]], end: int, **rest) -> Piece:
    """Rows of (onset, duration, pitch, track), in sixteenths."""
    onset, duration, pitch, track = np.array(rows, np.int64).reshape(-1, 4).T
    return Piece("piece", 4, note_array(onset, duration, pitch, track=track), end, **rest)


def loudness_of_seconds(samples, seconds: float = 0.5) -> list[float]:
    """Root mean square of each part of so many seconds."""
    size = int(seconds * sound.SAMPLE_RATE)
    return [float(np.sqrt(np.mean(samples[i : i + size] ** 2))) for i in range(0, len(samples) - size + 1, size)]


@pytest.mark.audio
@pytest.mark.usefixtures("fluidsynth")
class TestSynthesiser:
    def test_the_same_piece_gives_the_same_samples(self) -> None:
        piece = piece_of([(0, 4, 60, 0), (4, 4, 64, 0)], 8)
        np.testing.assert_array_equal(sound.synthesise(piece), sound.synthesise(piece))

    def test_a_note_sounds_at_its_time_and_not_before(self) -> None:
        samples = sound.synthesise(piece_of([(16, 4, 60, 0)], 32))
        assert len(samples) == 5 * sound.SAMPLE_RATE  # four seconds and the tail
        onset = 2 * sound.SAMPLE_RATE
        assert np.abs(samples[: onset - 100]).max() < 1e-4
        assert np.abs(samples[onset : onset + 4000]).max() > 1e-2

    def test_a_voice_does_not_end_the_note_of_another(self) -> None:
        organ = (Track(19), Track(19))
        held = sound.synthesise(piece_of([(0, 32, 60, 0)], 32, tracks=organ))
        both = sound.synthesise(piece_of([(0, 32, 60, 0), (0, 4, 60, 1)], 32, tracks=organ))
        assert loudness_of_seconds(both)[5] == pytest.approx(loudness_of_seconds(held)[5], rel=0.2)

    def test_what_two_pieces_share_sounds_the_same_up_to_where_they_part(self) -> None:
        shared = [(i, 1, 60 + i, 0) for i in range(16)]
        left = sound.synthesise(piece_of([*shared, (16, 8, 70, 0)], 24))
        right = sound.synthesise(piece_of([*shared, (16, 8, 45, 0)], 24))
        parted = 2 * sound.SAMPLE_RATE
        np.testing.assert_array_equal(left[: parted - 64], right[: parted - 64])
        assert np.abs(left[parted : parted + 4000] - right[parted : parted + 4000]).max() > 1e-2

    def test_drums_and_programs_that_the_bank_lacks_sound_too(self) -> None:
        for track in (Track(0, True), Track(77, True), Track(125)):
            assert np.abs(sound.synthesise(piece_of([(0, 8, 38, 0)], 8, tracks=(track,)))).max() > 1e-3

    def test_a_loud_crowd_is_not_clipped(self) -> None:
        pitch, track = np.tile(np.arange(21, 109), 4), np.repeat(np.arange(4), 88)
        crowd = note_array(np.zeros(352, int), np.full(352, 16), pitch, 127, track)
        samples = sound.synthesise(Piece("crowd", 4, crowd, 16, (Track(),) * 4))
        assert np.abs(samples).max() > 1.0

    def test_a_file_that_is_no_soundfont_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "x.sf2").write_bytes(b"RIFF no sounds")
        with pytest.raises(UserError, match=r"x\.sf2: cannot be read as a soundfont"):
            sound.synthesise(piece_of([(0, 4, 60, 0)], 4), tmp_path / "x.sf2")


def test_seconds_follow_the_tempi() -> None:
    piece = piece_of([], 64, tempos=(Tempo(0, 60.0), Tempo(16, 120.0), Tempo(32, 30.0)))
    at = sound.seconds_at(piece, np.array([0, 4, 16, 20, 32, 36]))
    assert at.tolist() == [0, 1, 4, 4.5, 6, 8]
    assert sound.seconds_at(piece_of([], 8, tempos=(Tempo(4, 60.0),)), np.array([4, 8])).tolist() == [0.5, 1.5]


def test_seconds_agree_with_pretty_midi() -> None:
    from evalkit.music.midi import to_pretty_midi

    tempos = (Tempo(0, 93.0), Tempo(7, 141.0), Tempo(33, 58.0))
    piece = piece_of([(t, 3, 60, 0) for t in range(0, 64, 5)], 80, tempos=tempos)
    theirs = [note.start for note in to_pretty_midi(piece).instruments[0].notes]
    np.testing.assert_allclose(sound.seconds_at(piece, piece.notes["onset"]), theirs, atol=1e-4)


def test_a_piece_is_cut_at_seconds() -> None:
    piece = piece_of([(0, 40, 60, 0)], 40, tempos=(Tempo(0, 60.0), Tempo(16, 120.0)))
    short = sound.within_seconds(piece, 5.0)  # four seconds are sixteen ticks, one more is eight
    assert short.end == 24
    assert short.notes["duration"].tolist() == [24]
    assert sound.within_seconds(piece, 99.0) is piece


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
