"""The JSB chorales on a grid of sixteenths, in their official split (229 / 76 / 77).

``jsb``: ``jsb-chorales-16th.json``, the voices merged into one roll; equal neighbours are one held note, since the file
does not say where a note is struck again. ``jsb-satb``: ``Jsb16thSeparated.json``, four voices, -1 for silence.
The two files have the same pieces in each split, but in the same order in the test split only.

The official split is by piece, not by tune: of the 77 test pieces 47 are on a tune that train has in another
harmonisation, and so are 38 of the 76 in valid (tunes compared as in ``evalkit.datasets.tunes``). Harmonisations are
nearly always on one side. Of ``jsb-satb`` these six share more than two bars of all four voices with train, in any key
(tests/test_chorale_split.py counts again):
    valid/074  10.2 bars, all it has, of train/224      valid/036   2.6 bars of train/126
    valid/058  10.2 bars of train/142                   valid/045   2.1 bars of train/070
    test/069    4.0 bars of train/124                   test/008    2.1 bars of train/055
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from evalkit.datasets.corpus import JSB_FILE, JSB_SATB_FILE, SPLITS, Splits
from evalkit.datasets.download import RemoteFile, fetch
from evalkit.music import pianoroll, satb


def merged() -> tuple[Splits, dict[str, int]]:
    """The merged rolls as pieces of one track."""
    return {
        split: tuple(pianoroll.decode(_roll(chords), _name("jsb", split, i)) for i, chords in enumerate(chorales))
        for split, chorales in _read(JSB_FILE).items()
    }, {}


def separated() -> tuple[Splits, dict[str, int]]:
    """The four voices as pieces of four tracks."""
    return {
        split: tuple(
            satb.decode(np.array(voices, np.int16), _name("jsb-satb", split, i)) for i, voices in enumerate(chorales)
        )
        for split, chorales in _read(JSB_SATB_FILE).items()
    }, {}


def _read(file: RemoteFile) -> dict[str, Any]:
    content = json.loads(fetch(file).read_text())
    return {split: content[split] for split in SPLITS}


def _name(corpus: str, split: str, index: int) -> str:
    return f"{corpus}/{split}/{index:03d}"


def _roll(chords: list[list[int]]) -> np.ndarray:
    """(steps, 128) bool from one list of sounding pitches per step."""
    roll = np.zeros((len(chords), 128), bool)
    steps = np.repeat(np.arange(len(chords)), [len(chord) for chord in chords])
    roll[steps, np.array([pitch for chord in chords for pitch in chord], int)] = True
    return roll
