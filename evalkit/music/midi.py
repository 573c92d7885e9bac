"""MIDI files: bulk reading through symusic, writing and editing through pretty_midi.

What a file becomes (each line has its test in ``tests/test_midi.py``)
----------------------------------------------------------------------
- Types 0 and 1 are read. Type 2 (independent songs in one file), SMPTE time and 0 ticks per quarter are refused.
- A track of the piece is one program on one channel of one track of the file, so a program change in mid track makes
  two tracks. Tracks without a sounding note are dropped. Channel 10 is drums.
- Note-on with velocity 0 is a note-off; running status is understood. Notes of no length never sound and are dropped,
  as is a note whose end is missing. Overlapping notes of one pitch in one track: the first to begin ends first
  (pretty_midi ends them all at once).
- The piece ends with its last note, or at an "all notes off" (controller 123) after it: that is how ``write_midi``
  keeps a rest at the end, because symusic does not tell where the end of a track stands.
- Tempo changes of all tracks are kept in order, the last of several at one tick counts, one of 0 microseconds is
  ignored, 120 quarters a minute hold before the first; what comes after the end is dropped.
- Time signatures likewise, with 4/4 before the first. Numerators outside 1..64 and denominators that are no power of
  two up to 64 are ignored; a repetition of the signature in force is no change, so it begins no bar.
- Key signatures, lyrics, controllers and pitch bends are not part of a piece.
- Refused as well: more than 32 MiB, 1,000 tracks, 1,000,000 notes, 100,000 tempo or time-signature changes, 200,000
  sixteenths, and notes beyond 2^31 ticks. symusic counts in 32 bits, so a note that lasts longer than that is dropped,
  and after 2^32 ticks the count begins again at 0.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from symusic.core import ScoreTick, TimeSignatureTick

from evalkit.errors import MidiError, UserError
from evalkit.music.notes import Change, Piece, Tempo, TimeSignature, Track, note_array

if TYPE_CHECKING:
    import pretty_midi

MIDI_SUFFIXES = (".mid", ".midi")

MAX_BYTES = 32 * 2**20
MAX_TRACKS = 1_000
MAX_NOTES = 1_000_000
MAX_CHANGES = 100_000  # of tempo, and of time signature
MAX_SIXTEENTHS = 200_000
MAX_PRETTY_TICKS = 10_000_000  # pretty_midi keeps a table with one time per tick

ALL_NOTES_OFF = 123
METER_NUMBERS = range(1, 65)


def read_midi(path: str | os.PathLike[str], *, name: str | None = None) -> Piece:
    """The piece in a MIDI file, on the file's own grid; ``name`` is the file's stem unless given.

    MidiError, which names the path and the reason, for anything that is no music we can read.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MidiError(str(path), "not a file" if not stat.S_ISDIR(status.st_mode) else "a folder, not a file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, MidiError):
            raise
        raise MidiError(str(path), getattr(error, "strerror", None) or str(error)) from None
    return parse_midi(data, str(path)).renamed(name or Path(path).stem)


def parse_midi(data: bytes, name: str) -> Piece:
    """The piece in the bytes of a MIDI file; MidiError, which names ``name`` and the reason, if there is none."""
    _check_header(data, name)
    try:
        score = ScoreTick.from_midi(data)
    except Exception as error:  # symusic raises RuntimeError for whatever it cannot parse
        raise MidiError(name, f"damaged MIDI data ({_plain(str(error))})") from None
    for count, limit, what in (
        (len(score.tracks), MAX_TRACKS, "tracks"),
        (score.note_num(), MAX_NOTES, "notes"),
        (len(score.tempos), MAX_CHANGES, "tempo changes"),
        (len(score.time_signatures), MAX_CHANGES, "time signatures"),
    ):
        if count > limit:
            raise MidiError(name, f"{count:,} {what}; the limit is {limit:,}")
    return _piece(score, name)


def _check_header(data: bytes, name: str) -> None:
    """MidiError for what the 14 bytes of the header already forbid."""
    if len(data) > MAX_BYTES:
        raise MidiError(name, f"larger than {MAX_BYTES // 2**20} MiB")
    if not data:
        raise MidiError(name, "an empty file")
    if data[:4] != b"MThd":
        raise MidiError(name, "not a MIDI file (it does not begin with MThd)")
    if len(data) < 14:
        raise MidiError(name, "cut off within the header")
    kind = int.from_bytes(data[8:10], "big")
    division = int.from_bytes(data[12:14], "big")
    if kind > 1:
        raise MidiError(name, f"a MIDI file of type {kind}; only types 0 and 1 are one piece of music")
    if division & 0x8000:
        raise MidiError(name, "timed in SMPTE frames, not in quarter notes")
    if division == 0:
        raise MidiError(name, "0 ticks per quarter note")


def _plain(message: str) -> str:
    """symusic's message in plain words."""
    byte = re.fullmatch(r"Get (\w+)=(\d+)", message)
    if byte:
        return f"{byte[1]} {byte[2]} is above 127"
    message = message.removeprefix("MiniMidi: ").removesuffix(": iostream error").split("!")[0]
    return message.replace("Invaild", "Invalid").replace("EOF", "end of data")


def _piece(score: ScoreTick, name: str) -> Piece:
    columns, tracks, rest_until = [], [], 0
    for track in score.tracks:
        column = track.notes.numpy()
        if not column["duration"].any():
            continue
        columns.append((column["time"], column["duration"], column["pitch"], column["velocity"]))
        tracks.append(Track(track.program, track.is_drum, track.name))
        if len(track.controls):
            controls = track.controls.numpy()
            rest_until = max(rest_until, int(controls["time"][controls["number"] == ALL_NOTES_OFF].max(initial=0)))
    index = np.repeat(np.arange(len(tracks)), [len(c[0]) for c in columns])
    onset, duration, pitch, velocity = (
        (np.concatenate(parts) for parts in zip(*columns, strict=True)) if columns else np.zeros((4, 0), np.int32)
    )
    if onset.min(initial=0) < 0 or duration.min(initial=0) < 0:
        raise MidiError(name, "longer than 2^31 ticks")
    notes = note_array(onset, duration, pitch, velocity, index)
    notes = notes[notes["duration"] > 0]
    end = max(rest_until, int((notes["onset"] + notes["duration"]).max(initial=0)))
    if 4 * end > MAX_SIXTEENTHS * score.ticks_per_quarter:
        raise MidiError(name, f"longer than {MAX_SIXTEENTHS:,} sixteenth notes, the limit")
    return Piece(
        name,
        score.ticks_per_quarter,
        notes,
        end,
        tuple(tracks),
        _changes([Tempo(0, 120.0), *(Tempo(t.time, 6e7 / t.mspq) for t in score.tempos if t.mspq > 0)], end),
        _changes([TimeSignature(0, 4, 4), *_meters(score.time_signatures)], end),
    )


def _meters(signatures: Iterable[TimeSignatureTick]) -> Iterable[TimeSignature]:
    for s in signatures:
        power_of_two = s.denominator & (s.denominator - 1) == 0
        if s.numerator in METER_NUMBERS and s.denominator in METER_NUMBERS and power_of_two:
            yield TimeSignature(s.time, s.numerator, s.denominator)


def _changes(listed: Iterable[Change], end: int) -> tuple[Change, ...]:
    """What changes up to ``end``, in order: the last of several at one tick, no repetition of what is in force."""
    at_tick = {change.tick: change for change in sorted(listed, key=lambda change: change.tick)}
    kept: list[Change] = []
    for change in at_tick.values():
        if 0 <= change.tick <= end and (not kept or change[1:] != kept[-1][1:]):
            kept.append(change)
    return tuple(kept)


def write_midi(piece: Piece, path: str | os.PathLike[str]) -> None:
    """Write a type 1 MIDI file on the piece's own grid; UserError where the path cannot be written."""
    try:
        to_pretty_midi(piece).write(str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def to_pretty_midi(piece: Piece) -> pretty_midi.PrettyMIDI:
    """The piece as a PrettyMIDI with one instrument per track; MidiError for a piece of over 10,000,000 ticks."""
    import pretty_midi

    if piece.end > MAX_PRETTY_TICKS:
        raise MidiError(piece.name, f"{piece.end:,} ticks long; pretty_midi holds {MAX_PRETTY_TICKS:,}: quantise first")
    midi = pretty_midi.PrettyMIDI(resolution=piece.ticks_per_quarter, charset="utf-8")
    midi._tick_scales = [
        (tick, _seconds_per_quarter(qpm) / piece.ticks_per_quarter)
        for tick, qpm in _changes([Tempo(0, 120.0), *piece.tempos], piece.end)
    ]
    midi._update_tick_to_time(piece.end + 1)
    time = midi.tick_to_time
    midi.time_signature_changes = [
        pretty_midi.TimeSignature(s.numerator, s.denominator, time(s.tick))
        for s in piece.time_signatures
        if s.tick <= piece.end
    ]
    for track in piece.tracks:
        midi.instruments.append(pretty_midi.Instrument(track.program, track.is_drum, track.name))
    for onset, duration, pitch, velocity, index in piece.notes.tolist():
        note = pretty_midi.Note(velocity, pitch, time(onset), time(onset + duration))
        midi.instruments[index].notes.append(note)
    if len(piece.notes) and piece.end > (piece.notes["onset"] + piece.notes["duration"]).max():
        rest = pretty_midi.ControlChange(ALL_NOTES_OFF, 0, time(piece.end))
        midi.instruments[int(piece.notes["track"][-1])].control_changes.append(rest)
    return midi


def _seconds_per_quarter(quarters_per_minute: float) -> float:
    """As a MIDI file can say it: whole microseconds, 1 to 2^24 - 1."""
    microseconds = min(max(round(6e7 / quarters_per_minute), 1), 2**24 - 1)
    return microseconds / 1e6 * (1 + 1e-12)  # pretty_midi truncates to whole microseconds when it writes


def from_pretty_midi(midi: pretty_midi.PrettyMIDI, name: str = "") -> Piece:
    """The piece in a PrettyMIDI, on its tick grid, with the rules of this module; instruments without notes stay."""
    rows = [
        (midi.time_to_tick(note.start), midi.time_to_tick(note.end), note.pitch, note.velocity, index)
        for index, instrument in enumerate(midi.instruments)
        for note in instrument.notes
    ]
    onset, stop, pitch, velocity, track = np.array(rows, np.int64).reshape(-1, 5).T
    sounding = stop > onset
    columns = (column[sounding] for column in (onset, stop - onset, pitch, velocity, track))
    rests = [
        midi.time_to_tick(change.time)
        for instrument in midi.instruments
        for change in instrument.control_changes
        if change.number == ALL_NOTES_OFF
    ]
    end = int(max([*rests, stop.max(initial=0)]))
    tempos = (
        Tempo(int(midi.time_to_tick(seconds)), 6e7 / round(6e7 / qpm))  # whole microseconds, as in the file
        for seconds, qpm in zip(*midi.get_tempo_changes(), strict=True)
    )
    meters = (
        TimeSignature(int(midi.time_to_tick(s.time)), s.numerator, s.denominator) for s in midi.time_signature_changes
    )
    return Piece(
        name,
        midi.resolution,
        note_array(*columns),
        end,
        tuple(Track(i.program, i.is_drum, i.name) for i in midi.instruments),
        _changes([Tempo(0, 120.0), *tempos], end),
        _changes([TimeSignature(0, 4, 4), *meters], end),
    )
