"""Music for ready studies, made here and now: pieces by people, and what the project's generators make of the same.

chorales     melodies of eight bars and who completes them; the models of ES-Net's study as far as their weights are
             installed, else chance, and Bach's own voices
inpainting   sixteen bars of folk tunes with bars 7 to 10 by somebody else; simple fillings until a model can fill
melodies     folk tunes, and melodies by MusicVAE, as far as its weights are installed, and by simple models: sixteen
             bars, or two where there are weights for no more

Generators are asked by their registered names, as the benchmark asks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from evalkit.bench.tasks.completion import checked_completions
from evalkit.bench.tasks.pieces import checked_pieces, representation_of
from evalkit.datasets.corpus import load_corpus
from evalkit.datasets.windows import in_turns, separate_windows
from evalkit.errors import UserError
from evalkit.music import pianoroll, satb
from evalkit.music.harmonisation import AROUND_MELODY, as_piece
from evalkit.music.notes import Piece, bar_starts, cut, note_array, quantise
from evalkit.protocols import Completes, Samples, piece_rng
from evalkit.registry import load_generator

Pieces = list[Piece]
INPUT = ""  # stands for a system where the melodies do that all are given
MODELS: dict[str, dict[str, Any]] = {  # of ES-Net's study, at a scale for two CPU cores
    "es-net": {"iterations": 2000},
    "orderless-nade": {},
    "coconet": {"gibbs_steps": 256},
}
VAES = {  # of MusicVAE's study, by the bars that they make; those of more bars are preferred
    16: ("musicvae-hier-16bar-melody", "musicvae-flat-16bar-melody"),
    2: ("musicvae-2bar-melody", "musicvae-2bar-melody-ss"),
}
QUARTERS = (4, 3)  # quarter notes in a bar of the tunes that are used
REGION = (7, 10)  # bars that are filled, counted from 1


@dataclass(frozen=True, slots=True)
class Example:
    """A ready study: how many items, and who makes them, as functions of their number, to be called one by one."""

    items: int
    practice: int  # further items
    systems: dict[str, Callable[[int], Pieces]]
    bars: int = 16


def chorales() -> Example:
    """Melodies as input, and their completions."""
    makers = {name: _completing({"generator": name, **settings}) for name, settings in MODELS.items()}
    others: dict[str, Callable[[int], Pieces]] = {
        "original": lambda n: [pianoroll.decode(pianoroll.encode(window)) for window in _chorale_windows(n)],
        "uniform": _completing({"generator": "uniform"}),
        "uniform-sparse": _completing(
            {"generator": "uniform", "representation": "pianoroll", "low": 48, "high": 72, "density": 0.04}
        ),
    }
    chosen = {name: maker for name, maker in makers.items() if _is_installed({"generator": name, **MODELS[name]})}
    chosen |= dict(list(others.items())[: len(MODELS) - len(chosen)])
    return Example(15, 2, {INPUT: lambda n: [as_piece(melody) for melody in _melodies(n)], **chosen}, bars=8)


def _is_installed(spec: dict[str, Any]) -> bool:
    try:
        load_generator(spec)
    except UserError:
        return False
    return True


def _completing(spec: dict[str, Any]) -> Callable[[int], Pieces]:
    return lambda n: completions(spec, n)


def completions(spec: dict[str, Any], n: int) -> Pieces:
    """What a generator makes of the first ``n`` melodies."""
    with load_generator(spec) as generator:
        representation = representation_of(generator)
        given = [AROUND_MELODY[representation.name](melody) for melody in _melodies(n)]
        answer = cast(Completes, generator).complete([c.copy() for c, _ in given], [m.copy() for _, m in given], seed=0)
        edits = generator.info.may_edit_context
        made = checked_completions(answer, given, representation, may_edit_context=edits)
        return [representation.decode(array, "") for array in made]


def _melodies(n: int) -> list[Any]:
    return [satb.soprano(window) for window in _chorale_windows(n)]


def _chorale_windows(n: int) -> Pieces:
    """Eight bars of 4/4 of each of the first chorales of the test split."""
    pieces = [quantise(piece) for piece in load_corpus("bach-chorales").pieces("test")]
    return in_turns([list(separate_windows(piece, 8, ticks=8 * 16)) for piece in pieces])[:n]


def melodies() -> Example:
    """What people made, what the models make, and n-grams; without models, people's notes in another order."""
    installed = {bars: [name for name in names if _is_installed({"generator": name})] for bars, names in VAES.items()}
    bars = next((bars for bars, names in installed.items() if names), 16)
    models = {name: _sampling({"generator": name}, bars) for name in installed[bars]}
    chance = {} if models else {"shuffled-notes": _sampling({"generator": "shuffled-notes", "corpus": "folk"}, bars)}
    return Example(
        32,
        2,
        {
            "original": _sampling({"generator": "corpus", "corpus": "folk", "split": "test"}, bars),
            **models,
            "ngram": _sampling({"generator": "ngram", "corpus": "folk"}, bars),
            **chance,
        },
        bars,
    )


def _sampling(spec: dict[str, Any], bars: int) -> Callable[[int], Pieces]:
    return lambda n: samples(spec, n, bars)


def samples(spec: dict[str, Any], n: int, bars: int) -> Pieces:
    """The first ``n`` pieces of a generator."""
    with load_generator(spec) as generator:
        representation = representation_of(generator)
        steps = bars * 4 * representation.steps_per_quarter
        made = checked_pieces(cast(Samples, generator).sample(n, steps=steps, seed=0), n, steps, representation)
        return [representation.decode(array, "") for array in made]


def inpainting() -> Example:
    """Tunes of sixteen bars, and what comes of bars 7 to 10."""
    return Example(
        30,
        2,
        {
            "original": lambda n: _tunes(n),
            "other-tune": lambda n: _from_others(_tunes(n)),
            "shuffled-notes": lambda n: [_filled(t, _shuffled(t, i)) for i, t in enumerate(_tunes(n))],
            "uniform": lambda n: _by_chance(_tunes(n)),
        },
    )


def _tunes(n: int) -> Pieces:
    """Sixteen bars of one metre of each of the first tunes of the test split."""
    pieces = load_corpus("folk").pieces("test")
    return in_turns([list(_windows(piece)) for piece in pieces])[:n]


def _windows(piece: Piece) -> Iterator[Piece]:
    for quarters in QUARTERS:
        for window in separate_windows(piece, 16, ticks=16 * quarters * piece.ticks_per_quarter):
            if len(window.time_signatures) == 1:
                yield window


def region_ticks(piece: Piece) -> tuple[int, int]:
    """First tick and end of the bars that are filled."""
    bars = bar_starts(piece)
    return int(bars[REGION[0] - 1]), int(bars[REGION[1]])


def _filled(piece: Piece, filling: Piece) -> Piece:
    """The piece with the notes of ``filling`` (which begins at tick 0) in its region; what sounded into it is cut."""
    start, stop = region_ticks(piece)
    before, after = cut(piece, 0, start).notes, cut(piece, stop, piece.end).notes
    parts = ((before, 0), (filling.notes, start), (after, stop))
    onset = np.concatenate([notes["onset"] + shift for notes, shift in parts])
    rest = (np.concatenate([notes[c] for notes, _ in parts]) for c in ("duration", "pitch", "velocity"))
    return replace(piece, notes=note_array(onset, *rest))


def _shuffled(piece: Piece, index: int) -> Piece:
    """The region's rhythm with its pitches in random order."""
    region = cut(piece, *region_ticks(piece))
    notes = region.notes.copy()
    notes["pitch"] = piece_rng(0, index).permutation(notes["pitch"])
    return replace(region, notes=notes)


def _from_others(tunes: Sequence[Piece]) -> Pieces:
    """Each with the region of the next tune in the same metre."""
    made = []
    for i, tune in enumerate(tunes):
        others = [*tunes[i + 1 :], *tunes[:i]]
        other = next((t for t in others if t.time_signatures == tune.time_signatures and t.end == tune.end), tune)
        made.append(_filled(tune, cut(other, *region_ticks(other))))
    return made


def _by_chance(tunes: Sequence[Piece]) -> Pieces:
    """Each with a random pitch at each sixteenth of its region."""
    regions = [quantise(cut(tune, *region_ticks(tune))) for tune in tunes]
    contexts = [np.full((region.end, len(satb.VOICES)), satb.SILENCE, np.int16) for region in regions]
    masks = [np.zeros(context.shape, np.bool_) for context in contexts]
    for mask in masks:
        mask[:, 0] = True
    with load_generator({"generator": "uniform", "low": 60, "high": 84}) as generator:
        answer = cast(Completes, generator).complete(contexts, masks, seed=0)
    fillings = [quantise(satb.decode(a, ""), t.ticks_per_quarter) for a, t in zip(answer, tunes, strict=True)]
    return [_filled(tune, filling) for tune, filling in zip(tunes, fillings, strict=True)]


EXAMPLES: dict[str, Callable[[], Example]] = {"chorales": chorales, "inpainting": inpainting, "melodies": melodies}
