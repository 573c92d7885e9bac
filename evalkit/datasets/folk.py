"""``folk``: Irish, Scottish and American tunes from O'Neill's *Music of Ireland* and *Ryan's Mammoth Collection*.

The sources are the ABC transcriptions that music21 bundles. Melody only, as written (repeats are not played). Tunes
that change their metre, or whose bars do not add up to it, are left out and counted: mostly slips of the transcribers.
music21's ABC tokens are read, 2 ms a tune where its scores take 30. (symusic reads ABC as well, but plays it: it
repeats, shortens notes, gives grace notes time, and prints to stdout.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.datasets.cache import parse_corpus
from evalkit.datasets.corpus import Splits
from evalkit.datasets.scores import Bar, Part, Unfit, corpus_folder, piece_of, ticks_of, whole_bars_of
from evalkit.datasets.tunes import split_by_tune
from evalkit.music.notes import Piece, Track

COLLECTIONS = ("oneills1850", "ryansMammoth")
VIOLIN = 40  # General MIDI program, counted from 0

# comment, annotation, grace notes, !decoration!, slur (not a tuplet), slur at a dotted pair, decoration, mail's "=20"
MARKS = re.compile(r'%.*|"[^"]*"|\{[^}]*\}|![^!]*!|\((?!\d)|\)|-(?=[<>])|(?<=[<>])-|[.~H-Wh-w]|=20')


class Tune(NamedTuple):
    """A tune as transcribed."""

    name: str
    text: str  # ABC


def load() -> tuple[Splits, dict[str, int]]:
    """The corpus from the cache, or parsed from music21's files."""
    folder = corpus_folder()
    files = [file for collection in COLLECTIONS for file in sorted((folder / collection).glob("*.abc"))]
    return parse_corpus("folk", files, read_tunes, lambda tunes: split_tunes(tunes, files))


def tunes_of(file: Path) -> list[Tune]:
    """The tunes in an ABC file; a name is collection/file, and the tune's number where a file has several."""
    texts = re.split(r"(?m)^(?=X:)", file.read_bytes().decode("latin-1"))[1:]
    name = f"{file.parent.name}/{file.stem}"
    if len(texts) == 1:
        return [Tune(name, texts[0])]
    return [Tune(f"{name}/{int(text[2:].split()[0])}", text) for text in texts]


def read_tunes(file: Path) -> list[Piece | str]:
    """The melodies in a file, and for each tune that is none of this corpus the reason."""
    read: list[Piece | str] = []
    for tune in tunes_of(file):
        try:
            read.append(read_tune(tune))
        except Unfit as reason:
            read.append(str(reason))
    return read


def read_tune(tune: Tune) -> Piece:
    """The melody of a tune; Unfit where it is none of this corpus."""
    from music21.abcFormat import ABCHandler

    handler = ABCHandler(abcVersion=(2, 1, 0))  # from 2.1 on an accidental holds to the end of its bar
    try:
        handler.process("\n".join(_plain(line) for line in tune.text.splitlines()))
    except Exception:  # music21 has no error of its own for bad ABC
        raise Unfit("ABC that music21 cannot read") from None
    part = _part(handler.tokens, _metre(tune.text))
    if not part.notes:
        raise Unfit("no notes")
    bars = whole_bars_of(part.bars)
    for i, bar in enumerate(bars):
        ends_strain = bar.closes or i + 1 == len(bars)
        begins_strain = i == 0 or bars[i - 1].closes
        if bar.length > bar.full or (bar.length < bar.full and not ends_strain and not begins_strain):
            raise Unfit("bars that do not add up to the metre")
    return piece_of(tune.name, [part], bars, (Track(VIOLIN, False, "Melody"),))


def _plain(line: str) -> str:
    """A line of music without comments, annotations, grace notes, slurs and decorations, which hide notes from music21.

    Lines that set a field, as in "K:G" or "[K:G]", are left alone.
    """
    if re.match(r"[A-Za-z]:", line) or re.search(r"\[[A-Z]:", line):
        return line
    return re.sub(MARKS, "", line)


def _metre(text: str) -> tuple[int, int]:
    written = set(re.findall(r"(?m)(?:^|\[)M:\s*([^\s\]]+)", text))
    if len(written) != 1:
        raise Unfit("no metre or several")
    fraction = re.fullmatch(r"(\d+)/(\d+)", {"C": "4/4", "C|": "2/2"}.get(metre := written.pop(), metre))
    if fraction is None:
        raise Unfit("no metre or several")
    return int(fraction[1]), int(fraction[2])


def _part(tokens: Sequence[Any], metre: tuple[int, int]) -> Part:
    """Notes and bars of music21's ABC tokens; of a double stop the upper note."""
    from music21.abcFormat import ABCBar, ABCNote
    from music21.pitch import Pitch

    notes: list[tuple[int, int, int]] = []
    bars: list[Bar] = []
    now = start = 0
    tied = False
    for token in tokens:
        if isinstance(token, ABCBar):
            if now > start:
                bars.append(Bar(start, now - start, *metre))
            if bars:  # also where two signs stand in a row, as in :| |:
                bars[-1] = bars[-1]._replace(closes=bars[-1].closes or token.barStyle != "regular" or token.isRepeat())
            start = now
        elif isinstance(token, ABCNote):
            tuplet = token.activeTuplet
            duration = ticks_of(token.quarterLength * (tuplet.tupletMultiplier() if tuplet else 1))
            names = [note.pitchName for note in getattr(token, "subTokens", [token]) if note.pitchName]
            if names and duration:
                pitch = max(Pitch(name).midi for name in names)
                if tied and notes and notes[-1][2] == pitch and sum(notes[-1][:2]) == now:
                    notes[-1] = (notes[-1][0], notes[-1][1] + duration, pitch)
                else:
                    notes.append((now, duration, pitch))
            tied = token.tie in ("start", "continue")
            now += duration
    if now > start:
        bars.append(Bar(start, now - start, *metre))
    return Part(notes, bars)


def split_tunes(tunes: Sequence[Piece], files: Sequence[Path]) -> Splits:
    """By tune; the title is the first that the transcription gives."""
    titles = {tune.name: _title(tune.text) for file in files for tune in tunes_of(file)}
    return split_by_tune(tunes, [titles[tune.name] for tune in tunes])


def _title(text: str) -> str:
    found = re.search(r"(?m)^T:(.*)", text)
    return found[1] if found else ""
