"""The baselines, and that every registered generator keeps the rules, whoever wrote it."""

import math
import sys
import types
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.datasets.corpus import CORPORA, CorpusEntry
from evalkit.errors import UserError
from evalkit.music import satb
from evalkit.music.midi import write_midi
from evalkit.music.notes import NOTE, Piece, Track, cut, note_array
from evalkit.music.representations import REPRESENTATIONS
from evalkit.protocols import Samples, capabilities
from evalkit.registry import generator_names, load_generator
from generators.adapters.shuffled_notes import shuffle_pitches
from generators.conformance import check_generator
from generators.training import TRAINABLES

# ------------------------------------------------------------------------------------------------ fixtures


def toy_chorale(name, rng, bars):
    """Four voices that walk through C major in notes of one to six steps."""
    scale = np.array([p for p in range(128) if p % 12 in (0, 2, 4, 5, 7, 9, 11)])
    voices = np.empty((16 * bars, 4), np.int16)
    for voice, home in enumerate((72, 65, 57, 48)):
        at, step = int(np.searchsorted(scale, home)), 0
        while step < len(voices):
            length = int(rng.integers(1, 7))
            voices[step : step + length, voice] = scale[at]
            step += length
            at = int(
                np.clip(at + rng.integers(-2, 3), np.searchsorted(scale, home - 7), np.searchsorted(scale, home + 7))
            )
    return satb.decode(voices, name)


def too_full(name):
    """Five pitches at once on one track, which four voices cannot say."""
    return Piece(name, 4, note_array(np.zeros(5), np.full(5, 160), np.arange(60, 65)), 160)


def splits():
    rng = np.random.default_rng(1)
    train = [toy_chorale(f"train{i}", rng, 12) for i in range(8)]
    test = [toy_chorale(f"test{i}", rng, 10) for i in range(4)]
    return {"train": (*train, too_full("full")), "valid": (too_full("fuller"),), "test": tuple(test)}, {}


def no_splits():
    return {"train": (), "valid": (), "test": ()}, {}


@pytest.fixture(scope="module", autouse=True)
def toy_corpus():
    """A corpus called ``toy``: no download, no large library."""
    module = types.ModuleType("_toy_corpus")
    module.splits, module.no_splits = splits, no_splits
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setitem(
            CORPORA, "toy", CorpusEntry("Toy", "_toy_corpus:splits", "licence", "toy citation", "here", (9, 1, 4))
        )
        patch.setitem(CORPORA, "hollow", CorpusEntry("None", "_toy_corpus:no_splits", "", "", "", (0, 0, 0)))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    rng = np.random.default_rng(2)
    (folder / "b").mkdir()
    for name in ("c.mid", "b/2.mid", "b/10.MID", "a.midi"):
        write_midi(toy_chorale(name, rng, 9), folder / name)
    return folder


# ------------------------------------------------------------------------- rules for all registered generators

STEPS = 64
SETTINGS = {  # what a generator cannot do without, or would take long with
    "midi-folder": {"folder": "FOLDER"},
    "checkpoint": {"weights": "decoder-only-2bar-melody"},
    **{name: {"weights": name} for name in TRAINABLES},  # untrained: a rule is a rule whatever a network has learnt
}
SETTINGS["es-net"]["iterations"] = 40
SETTINGS["coconet"] = {"gibbs_steps": 4}  # batch normalisation makes the untrained one draw alike at all temperatures

EVERY = [(name, {}) for name in sorted(generator_names())]
EVERY += [(name, {"representation": "pianoroll"}) for name in ("corpus", "shuffled-notes", "uniform")]
EVERY += [("midi-folder", {"representation": "satb"})]
every = pytest.mark.parametrize("make", EVERY, ids=lambda p: "-".join([p[0], *p[1].values()]), indirect=True)


@pytest.fixture
def make(request, folder, untrained):
    """Makes the same generator as often as called."""
    name, settings = request.param
    settings = SETTINGS.get(name, {}) | settings
    settings = {key: str(folder) if value == "FOLDER" else value for key, value in settings.items()}
    if "weights" in settings:
        settings["weights"] = untrained(settings["weights"])
    return lambda: load_generator({"generator": name, **settings}, corpus="toy")


def same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@every
def test_every_registered_generator_keeps_the_rules(make):
    assert [f for f in check_generator(make) if f.status == "failed"] == []


@every
def test_info_needs_no_loading(make):
    assert make().info == make().info, "two of one kind with the same settings are the same generator"


@every
def test_samples_are_written_in_the_representation_as_it_would_write_them(make):
    with make() as generator:
        if not isinstance(generator, Samples):
            pytest.skip("does not sample")
        if generator.info.name in TRAINABLES:
            pytest.skip("a network may say what says nothing, such as a note-off where nothing sounds")
        representation = REPRESENTATIONS[generator.info.representation]
        for array in generator.sample(4, steps=STEPS, seed=2):
            piece = representation.decode(array, "sample")
            assert piece.end == len(array)
            assert len(piece.notes)
            same([representation.encode(piece)], [array])


# -------------------------------------------------------------------------------------------- corpus, shuffled


def test_corpus_windows_are_the_corpus():
    pieces = {p.name: satb.encode(p) for p in splits()[0]["test"]}
    with load_generator({"generator": "corpus", "corpus": "toy"}) as corpus:
        windows = corpus.sample(12, steps=STEPS, seed=0)
    found = [
        (name, bar)
        for window in windows
        for name, whole in pieces.items()
        for bar in range(0, len(whole) - STEPS + 1, 16)
        if np.array_equal(whole[bar : bar + STEPS], window)
    ]
    assert len(set(found)) == len(found) == 12
    assert {name for name, _ in found[:4]} == set(pieces)


def test_corpus_says_where_it_comes_from():
    info = load_generator({"generator": "corpus", "corpus": "toy", "split": "train"}).info
    assert (info.corpus, info.licence, info.citation) == ("toy:train", "licence", "toy citation")
    assert info.corpus_checksum


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"split": "valid"},
            r"none of the 1 pieces of toy:valid can be said in .* 'satb' \(the first: ",
        ),
        ({"corpus": "hollow"}, "none of the 0 pieces of hollow:test"),
        ({"split": "tset"}, r"corpus 'toy' has no split 'tset'; did you mean test\?"),
        ({"corpus": "tyo"}, r"'tyo' is neither a folder nor a corpus; did you mean toy"),
        ({"representation": "piano"}, r"no representation called 'piano'; did you mean pianoroll\?"),
    ],
)
def test_a_corpus_that_cannot_be_used_says_why(settings, told):
    with pytest.raises(UserError, match=told), load_generator({"generator": "corpus", "corpus": "toy", **settings}):
        pass


def test_pieces_that_cannot_be_said_are_left_out():
    with load_generator({"generator": "corpus", "corpus": "toy", "split": "train"}) as corpus:
        assert [p.name for p in corpus.pieces] == [f"train{i}" for i in range(8)]
    with load_generator(
        {"generator": "corpus", "corpus": "toy", "split": "valid", "representation": "pianoroll"}
    ) as roll:
        assert len(roll.pieces) == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"split": "train"}, {"split": "test"}),
        ({"representation": "satb"}, {"representation": "pianoroll"}),
        ({"generator": "shuffled-notes"}, {"split": "train"}),
        ({"generator": "uniform", "low": 36}, {"generator": "uniform", "low": 37}),
        ({"generator": "uniform"}, {"generator": "uniform", "representation": "pianoroll"}),
        (
            {"generator": "uniform", "representation": "pianoroll", "density": 0.1},
            {"generator": "uniform", "representation": "pianoroll", "density": 0.2},
        ),
    ],
)
def test_settings_change_the_fingerprint(left, right):
    one, other = (load_generator({"generator": "corpus", **s}, corpus="toy").info for s in (left, right))
    assert one.fingerprint != other.fingerprint


def test_shuffled_notes_come_from_the_training_split_whatever_the_suite_says():
    shuffled = load_generator("shuffled-notes", corpus="toy", split="test")
    assert shuffled.info.corpus == "toy:train"
    with pytest.raises(UserError, match="no setting 'split'"):
        load_generator({"generator": "shuffled-notes", "split": "test"})


@st.composite
def pieces(draw):
    n = draw(st.integers(0, 30))
    column = lambda low, high: np.array(draw(st.lists(st.integers(low, high), min_size=n, max_size=n)), int)  # noqa: E731
    notes = note_array(column(0, 60), column(1, 8), column(0, 127), column(1, 127), column(0, 2))
    return Piece("any", 4, notes, 80, (Track(), Track(9), Track(0, True)))


@given(pieces(), st.integers(0, 2**32))
def test_shuffling_keeps_rhythm_and_the_pitches_of_each_track(piece, seed):
    shuffled = shuffle_pitches(piece, np.random.default_rng(seed))
    assert shuffled.notes.dtype == NOTE
    for kept in (["track", "pitch"], ["track", "onset", "duration", "velocity"]):
        left, right = (Counter(p.notes[kept].tolist()) for p in (piece, shuffled))
        assert left == right
    assert replace(shuffled, notes=piece.notes).time_signatures == piece.time_signatures
    keys = shuffled.notes[["onset", "pitch", "track"]].tolist()
    assert keys == sorted(keys)


def test_shuffling_makes_every_order_equally_often():
    """3! orders of three pitches, 600 draws: 100 each, give or take five standard deviations."""
    piece = Piece("abc", 4, note_array(np.arange(3), np.ones(3), np.array([60, 62, 64])), 3)
    rng = np.random.default_rng(0)
    orders = Counter(tuple(shuffle_pitches(piece, rng).notes["pitch"].tolist()) for _ in range(600))
    assert len(orders) == 6
    assert all(abs(count - 100) < 5 * math.sqrt(600 * 1 / 6 * 5 / 6) for count in orders.values())


def test_shuffled_samples_have_the_rhythm_of_their_windows():
    with (
        load_generator({"generator": "corpus", "split": "train"}, corpus="toy") as corpus,
        load_generator("shuffled-notes", corpus="toy") as shuffled,
    ):
        human, mixed = (g.sample(8, steps=STEPS, seed=0) for g in (corpus, shuffled))
    for before, after in zip(human, mixed, strict=True):
        assert not np.array_equal(before, after)
        moves_before, moves_after = (np.diff(voices, axis=0) != 0 for voices in (before, after))
        assert not (moves_after & ~moves_before).any()  # a repeated pitch may hide an onset, none is new


# ------------------------------------------------------------------------------------------------------ chance


def test_uniform_voices_draw_every_pitch_and_silence_equally_often():
    from scipy.stats import chisquare

    tokens = np.concatenate(load_generator("uniform").sample(40, steps=128, seed=0)).ravel()
    counts = Counter(tokens.tolist())
    assert set(counts) == {-1, *range(36, 82)}
    assert chisquare(list(counts.values())).pvalue > 1e-4  # 20,480 tokens of 47 kinds


def test_uniform_rolls_sound_at_the_stated_density():
    cells = np.stack(
        load_generator({"generator": "uniform", "representation": "pianoroll"}).sample(20, steps=128, seed=0)
    )
    assert cells[..., :36].sum() == cells[..., 82:].sum() == 0
    error = math.sqrt(46 * (4 / 46) * (1 - 4 / 46) / (20 * 128))
    assert cells.sum(axis=-1).mean() == pytest.approx(4, abs=4 * error)  # four notes at a time
    full = load_generator({"generator": "uniform", "representation": "pianoroll", "density": 1, "low": 60, "high": 61})
    assert np.flatnonzero(full.sample(1, steps=1, seed=0)[0][0]).tolist() == [60, 61]


def test_uniform_likelihoods_are_the_closed_form():
    uniform = load_generator({"generator": "uniform", "low": 60, "high": 62})
    tokens = np.array([[60, 62, -1, 59, 63, 61]])
    scores = uniform.token_log_probs(tokens, np.array([[True, True, True, True, True, False]]))
    quarter = math.log(1 / 4)  # three pitches and silence
    np.testing.assert_allclose(scores, [[quarter, quarter, quarter, -math.inf, -math.inf, math.nan]])
    np.testing.assert_allclose(
        uniform.edit_log_probs(np.zeros((2, 16, 46), bool)), np.full((2, 16, 46), -math.log(736))
    )
    cells = np.zeros((2, 5, 2), int)
    np.testing.assert_allclose(
        uniform.edit_log_probs(np.zeros((2, 16, 46), bool), cells), np.full((2, 5), -math.log(736))
    )


def test_a_uniform_roll_has_no_tokens_to_score():
    assert capabilities(load_generator("uniform")) == ["Samples", "Completes", "ScoresTokens", "ProposesEdits"]
    roll = load_generator({"generator": "uniform", "representation": "pianoroll"})
    assert capabilities(roll) == ["Samples", "Completes", "ProposesEdits"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"low": 80, "high": 40}, "0 <= low <= high <= 127, got 80 and 40"),
        ({"high": 128}, "got 36 and 128"),
        ({"representation": "pianorol"}, r"no representation called 'pianorol'; did you mean pianoroll\?"),
        ({"density": 1.5}, "density must be a probability, got 1.5"),
    ],
)
def test_uniform_settings_that_make_no_sense(settings, told):
    with pytest.raises(UserError, match=told):
        load_generator({"generator": "uniform", **settings})


# ------------------------------------------------------------------------------------------------- midi folder


def test_a_folder_gives_its_pieces_in_the_order_of_their_paths(folder):
    with load_generator({"generator": "midi-folder", "folder": str(folder), "representation": "satb"}) as midi:
        arrays = midi.sample(4, steps=STEPS, seed=0)
        assert midi.failures == []
    rng = np.random.default_rng(2)
    made = {name: satb.encode(toy_chorale(name, rng, 9))[:STEPS] for name in ("c.mid", "b/2.mid", "b/10.MID", "a.midi")}
    same(arrays, [made[name] for name in sorted(made)])


def test_a_short_piece_stays_short(tmp_path):
    write_midi(toy_chorale("short", np.random.default_rng(0), 2), tmp_path / "short.mid")
    with load_generator({"generator": "midi-folder", "folder": str(tmp_path)}) as midi:
        assert [len(a) for a in midi.sample(1, steps=128, seed=0)] == [32]


def test_files_that_cannot_be_used_are_named_and_the_others_used(tmp_path):
    write_midi(toy_chorale("good", np.random.default_rng(0), 4), tmp_path / "good.mid")
    write_midi(too_full("full"), tmp_path / "full.mid")
    (tmp_path / "noise.mid").write_bytes(b"no music")
    (tmp_path / "notes.txt").write_text("not MIDI by its name")
    with load_generator({"generator": "midi-folder", "folder": str(tmp_path), "representation": "satb"}) as midi:
        assert len(midi.sample(1, steps=STEPS, seed=0)) == 1
        full, noise = midi.failures
        with pytest.raises(UserError, match=r"2 pieces were asked for, but .* holds 1 \(and 2 that cannot be used\)"):
            midi.sample(2, steps=STEPS, seed=0)
    assert "full.mid: 5 pitches sound at step 0" in full
    assert "noise.mid: not a MIDI file" in noise


def test_a_folder_with_nothing_to_use_says_why(tmp_path):
    missing = load_generator({"generator": "midi-folder", "folder": str(tmp_path / "missing")})
    with pytest.raises(UserError, match="missing: no such folder"):
        missing.load()
    with pytest.raises(UserError, match="holds no MIDI files"):
        load_generator({"generator": "midi-folder", "folder": str(tmp_path)}).load()
    (tmp_path / "noise.mid").write_bytes(b"no music")
    with pytest.raises(
        UserError, match=r"none of the 1 files of .* can be used as 'pianoroll'; the first is .*noise.mid"
    ):
        load_generator({"generator": "midi-folder", "folder": str(tmp_path)}).load()


def test_the_fingerprint_of_a_folder_is_that_of_its_contents(tmp_path):
    spec = {"generator": "midi-folder", "folder": str(tmp_path)}
    chorale = toy_chorale("x", np.random.default_rng(0), 4)
    write_midi(chorale, tmp_path / "a.mid")
    one = load_generator(spec).info.fingerprint
    (tmp_path / "a.mid").touch()
    assert load_generator(spec).info.fingerprint == one
    write_midi(cut(chorale, 0, 32), tmp_path / "a.mid")
    two = load_generator(spec).info.fingerprint
    (tmp_path / "a.mid").rename(tmp_path / "b.mid")
    assert len({one, two, load_generator(spec).info.fingerprint}) == 3


# ----------------------------------------------------------------------------------------------- sample command


def test_the_sample_command_writes_midi_and_a_manifest(tmp_path, capsys):
    import hashlib
    import json

    from evalkit.cli import main
    from evalkit.music.midi import read_midi

    out = tmp_path / "samples"
    command = ["generators", "sample", "corpus", "--n", "3", "--bars", "4", "--seed", "7", "--out", str(out)]
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--set", "corpus=toy", "--set", "split=train"])
    assert stopped.value.code == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert [p["file"] for p in manifest["pieces"]] == ["000.mid", "001.mid", "002.mid"]
    assert manifest["settings"] == {"corpus": "toy", "split": "train"}
    assert (manifest["seed"], manifest["steps"], manifest["generator"]["name"]) == (7, 64, "corpus")
    with load_generator({"generator": "corpus", "corpus": "toy", "split": "train"}) as corpus:
        expected = corpus.sample(3, steps=64, seed=7)
    for piece, array in zip(manifest["pieces"], expected, strict=True):
        assert hashlib.sha256((out / piece["file"]).read_bytes()).hexdigest() == piece["sha256"]
        np.testing.assert_array_equal(satb.encode(read_midi(out / piece["file"])), array)

    (out / "stale.mid").write_bytes(b"")
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--set", "corpus=toy"])
    assert stopped.value.code == 2
    assert "already holds stale.mid" in capsys.readouterr().err


def test_broken_plug_ins_are_listed_with_their_error(monkeypatch, capsys):
    from importlib.metadata import EntryPoint

    from evalkit.cli import main
    from generators import cli as generators_cli

    known = {**generator_names(), "theirs": EntryPoint("theirs", "no_such_package:Net", "evalkit.generators")}
    monkeypatch.setattr(generators_cli, "generator_names", lambda: known)
    with pytest.raises(SystemExit) as stopped:
        main(["generators", "list"])
    assert stopped.value.code == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines.keys() == known.keys()
    assert lines["theirs"].endswith(
        "broken: no_such_package:Net: ModuleNotFoundError: No module named 'no_such_package'"
    )
    assert lines["uniform"].split()[-4:] == ["Samples,", "Completes,", "ScoresTokens,", "ProposesEdits"]
    assert "midi-folder" in lines
    assert lines["midi-folder"].endswith("Samples (needs folder)")


def test_a_folder_stands_in_for_a_corpus(folder):
    """A suite on the user's own MIDI files must not train its baselines on Bach."""
    settings = {"corpus": str(folder), "representation": "satb"}
    with load_generator({"generator": "corpus", **settings}) as corpus:
        assert sorted(p.name for p in corpus.pieces) == ["a.midi", "b/10.MID", "b/2.mid", "c.mid"]
        assert (corpus.info.corpus, corpus.info.licence) == (str(folder), "")
    with load_generator({"generator": "ngram", "order": 2, **settings}) as ngram:
        assert ngram.info.corpus_checksum == corpus.info.corpus_checksum
        assert len(ngram.sample(1, steps=16, seed=0)[0]) == 16
