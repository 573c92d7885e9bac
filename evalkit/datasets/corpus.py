"""Corpora: pieces in fixed splits, each corpus with its licence, source and checksum.

Splits are by piece: all settings of one tune are on one side, except where a corpus follows the official split of the
JSB chorales. How, says the module of each corpus.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.datasets.download import RemoteFile
from evalkit.errors import UserError
from evalkit.music.notes import Piece
from evalkit.registry import did_you_mean

SPLITS = ("train", "valid", "test")
Splits = dict[str, tuple[Piece, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """A loaded corpus. ``checksum`` hashes pieces and splits; ``excluded``: how many pieces are left out, by reason."""

    name: str
    splits: Splits
    checksum: str
    licence: str
    citation: str
    source: str
    excluded: Mapping[str, int] = field(default_factory=dict)

    def pieces(self, split: str | None = None) -> tuple[Piece, ...]:
        """The pieces of one split, or of all of them one after the other."""
        if split is None:
            return tuple(piece for pieces in self.splits.values() for piece in pieces)
        if split not in self.splits:
            raise UserError(f"corpus {self.name!r} has no split {split!r}{did_you_mean(split, self.splits)}")
        return self.splits[split]


@dataclass(frozen=True, slots=True)
class CorpusEntry:
    """What is known of a corpus before it is loaded.

    ``loader`` is "module:function"; the function returns ``(splits, excluded)``.
    """

    title: str
    loader: str
    licence: str
    citation: str
    source: str
    sizes: tuple[int, int, int]  # pieces in train, valid and test, to be known without loading
    files: tuple[RemoteFile, ...] = ()  # to be downloaded
    packages: tuple[str, ...] = ()  # to be installed


_JSB = "https://raw.githubusercontent.com/czhuang/JSB-Chorales-dataset/master/"
JSB_FILE = RemoteFile(
    "jsb-chorales-16th.json",
    "8730aca7b64e7d29493733d1cf19fad4a5b351d8f1845e57dac27728104fd39f",
    (_JSB + "jsb-chorales-16th.json",),
)
JSB_SATB_FILE = RemoteFile(
    "Jsb16thSeparated.json",
    "79294cc374f9252e95ef4b703161524c1c53dc1f712c236f00f1c1f5d54af5a7",
    (_JSB + "Jsb16thSeparated.json",),
)
NOTTINGHAM_FILE = RemoteFile(
    "nottingham-midi.tar.gz",
    "17122f4cda39e3bac6e55ab32b5a676a79c9e9017503b83f75eae3b6418fc96a",
    (),
    "have this very file from a colleague and set EVALKIT_DATA_MIRROR to its folder, or clone "
    "github.com/jukedeck/nottingham-dataset and use its folder MIDI in place of the corpus",
)

_BOULANGER = "Boulanger-Lewandowski, Bengio & Vincent, ICML 2012; on sixteenths: Huang et al., ISMIR 2017"

CORPORA: dict[str, CorpusEntry] = {
    "bach-chorales": CorpusEntry(
        title="Bach's four-part chorales",
        loader="evalkit.datasets.chorales:load",
        licence="public domain; see music21's corpus licence",
        citation="Cuthbert & Ariza, music21, ISMIR 2010",
        source="music21",
        sizes=(224, 65, 73),
        packages=("music21",),
    ),
    "jsb": CorpusEntry(
        title="JSB chorales, voices merged",
        loader="evalkit.datasets.jsb:merged",
        licence="public domain",
        citation=_BOULANGER,
        source="github.com/czhuang/JSB-Chorales-dataset",
        sizes=(229, 76, 77),
        files=(JSB_FILE,),
    ),
    "jsb-satb": CorpusEntry(
        title="JSB chorales, four voices",
        loader="evalkit.datasets.jsb:separated",
        licence="public domain",
        citation=_BOULANGER,
        source="github.com/czhuang/JSB-Chorales-dataset",
        sizes=(229, 76, 77),
        files=(JSB_SATB_FILE,),
    ),
    "nottingham": CorpusEntry(
        title="Nottingham folk tunes with chords",
        loader="evalkit.datasets.nottingham:load",
        licence="GPL-3.0",
        citation="Foxley, Nottingham music database; MIDI cleaned by jukedeck",
        source="github.com/jukedeck/nottingham-dataset",
        sizes=(828, 103, 103),
        files=(NOTTINGHAM_FILE,),
    ),
    "folk": CorpusEntry(
        title="O'Neill's 1850 and Ryan's Mammoth",
        loader="evalkit.datasets.folk:load",
        licence="public domain; see music21's corpus licence",
        citation="O'Neill, Music of Ireland, 1903; Ryan's Mammoth Collection, 1883; Cuthbert & Ariza, ISMIR 2010",
        source="music21",
        sizes=(2273, 285, 283),
        packages=("music21",),
    ),
    "folk-nottingham": CorpusEntry(
        title="folk and nottingham together, no tune on two sides",
        loader="evalkit.datasets.folk_nottingham:load",
        licence="GPL-3.0; public domain; see music21's corpus licence",
        citation="those of folk and of nottingham",
        source="music21; github.com/jukedeck/nottingham-dataset",
        sizes=(3042, 387, 386),
        files=(NOTTINGHAM_FILE,),
        packages=("music21",),
    ),
}


def corpus_entry(name: str) -> CorpusEntry:
    """The entry of a corpus; UserError for an unknown name."""
    if name not in CORPORA:
        raise UserError(f"no corpus called {name!r}{did_you_mean(name, CORPORA)}")
    return CORPORA[name]


@functools.cache
def load_corpus(name: str) -> Corpus:
    """The corpus, downloaded, checked and parsed if need be; remembered for the life of the process.

    UserError for an unknown name, a file that cannot be had, or a missing package.
    """
    entry = corpus_entry(name)
    module, _, function = entry.loader.partition(":")
    splits, excluded = getattr(importlib.import_module(module), function)()
    return Corpus(name, splits, splits_checksum(splits), entry.licence, entry.citation, entry.source, excluded)


def splits_checksum(splits: Splits) -> str:
    """SHA-256 over splits, names, grids, metres, tracks, tempi and notes: the same music gives the same checksum."""
    digest = hashlib.sha256()
    for split, pieces in splits.items():
        digest.update(f"{split} {len(pieces)}\n".encode())
        for p in pieces:
            rest = (p.name, p.ticks_per_quarter, p.end, p.tracks, p.tempos, p.time_signatures, len(p.notes))
            digest.update(repr(tuple(tuple(map(tuple, r)) if isinstance(r, tuple) else r for r in rest)).encode())
            digest.update(p.notes.tobytes())
    return digest.hexdigest()
