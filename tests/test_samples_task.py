"""The task ``samples``: what is asked of a generator, shard by shard, and how the reference is counted."""

from __future__ import annotations

import numpy as np
import pytest

from evalkit.bench.tasks.pieces import count_said, decode_pieces, random_window
from evalkit.bench.tasks.samples import SamplesTask
from evalkit.bench.tasks.task import Context
from evalkit.datasets.pieces import CorpusPieces
from evalkit.metrics import descriptors, originality
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, note_array
from evalkit.protocols import GeneratorInfo
from generators.adapters.midi_folder import MidiFolder

FAMILIES = ("descriptors", "originality")


def scale_piece(name: str, bars: int) -> Piece:
    """Quarter notes, one pitch a bar, upwards: the pitch range says how many bars were heard."""
    beats = np.arange(4 * bars)
    return Piece(name, 4, note_array(4 * beats, np.full(len(beats), 4), 40 + beats // 4), 16 * bars)


NOTHING = CorpusPieces("none", (), "")


def pieces_of(task: SamplesTask, generator) -> list[Piece]:
    shards = task.plan(Context("s", NOTHING, "none", NOTHING, "none", "pianoroll")).shards
    return decode_pieces([task.execute(shard, generator) for shard in shards], generator.info.representation)


def test_a_folder_is_handed_out_once_across_shards(tmp_path):
    for i in range(7):
        write_midi(scale_piece("x", 2 + i), tmp_path / f"{i}.mid")
    task = SamplesTask(task="samples", pieces=7, bars=16, shard_size=3)
    with MidiFolder(tmp_path) as generator:
        made = pieces_of(task, generator)
    assert sorted(p.end for p in made) == [16 * (2 + i) for i in range(7)]


class Endless:
    """Writes down the seeds that it is asked with."""

    info = GeneratorInfo(name="e", version="0", representation="pianoroll", fingerprint="0")

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def sample(self, n, *, steps, seed, temperature=1.0):
        self.seeds.append(seed)
        return [np.zeros((steps, 128), bool)] * n


def test_shards_of_an_endless_generator_have_seeds_of_their_own():
    generator = Endless()
    assert len(pieces_of(SamplesTask(task="samples", pieces=7, bars=1, shard_size=3), generator)) == 7
    assert len(set(generator.seeds)) == 3


def test_descriptors_hear_as_much_of_the_reference_as_of_a_sample():
    """Eight bars of a piece of 20 span eight pitches; originality still knows the whole piece."""
    counts = count_said(scale_piece("long", 20), "pianoroll", FAMILIES, bars=8, seed=0)
    window, whole = counts.rows
    short = descriptors.count(scale_piece("s", 8))
    assert window.shape == short.shape
    column = descriptors.columns("pitch_range")
    assert window[column] == short[column] == 7
    assert len(whole.bars) == len(originality.count(scale_piece("long", 20)).bars) == 20


@pytest.mark.parametrize(("bars", "expected"), [(8, 8), (20, 20), (40, 20)])
def test_a_random_window_has_the_bars_or_all_there_are(bars, expected):
    piece = scale_piece("p", 20)
    window = random_window(piece, bars, seed=3)
    assert window.end == 16 * expected
    assert random_window(piece, bars, seed=3).notes.tobytes() == window.notes.tobytes()


def test_windows_begin_at_different_bars():
    firsts = {int(random_window(scale_piece(f"p{i}", 20), 8, 0).notes["pitch"][0]) for i in range(40)}
    assert len(firsts) > 5
    assert min(firsts) >= 40
    assert max(firsts) <= 52
