"""The task ``completion``: which melodies are given, in which representation, and what may be done with them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from evalkit.bench import runner
from evalkit.bench.suite import load_suite
from evalkit.bench.tasks.completion import CompletionTask, melodies_as_units, melodies_of, prompts_of
from evalkit.bench.tasks.task import Answers, Context
from evalkit.datasets.pieces import CorpusPieces
from evalkit.errors import UserError
from evalkit.metrics import melody_kept
from evalkit.music import pianoroll, satb
from evalkit.music.harmonisation import AROUND_MELODY, on_roll
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, TimeSignature, cut, note_array
from evalkit.protocols import GeneratorInfo, capabilities
from evalkit.results import PROMPT
from generators.adapters.uniform import Uniform

BAR = 16


def rising(name: str, bars: int, first: int = 60) -> Piece:
    """Four voices, one pitch a bar each, rising by a semitone; the soprano is an octave above the alto."""
    soprano = np.repeat(first + np.arange(bars), BAR)
    return satb.decode(np.stack([soprano, soprano - 12, soprano - 16, soprano - 24], axis=1).astype(np.int16), name)


def pieces_of(*pieces: Piece) -> CorpusPieces:
    return CorpusPieces("toy", pieces, "0")


def context_of(inputs, reference=None, **asked) -> Context:
    reference = pieces_of(rising("r", 11)) if reference is None else reference
    return Context("s", reference, "toy:train", inputs, "toy:test", "pianoroll", resamples=100, **asked)


THREE = pieces_of(rising("long", 20), rising("exact", 8, 50), rising("short", 3, 70))


# --------------------------------------------------------------------------------------------------------- the prompts


def test_windows_come_in_turns_do_not_overlap_and_short_pieces_are_repeated():
    prompts, left_out = prompts_of(THREE, 8, 150)
    assert [p.name for p in prompts] == ["long@0", "exact@0", "short@0", "long@8"]
    assert left_out == ()
    firsts = [p.melody[::BAR].tolist() for p in prompts]
    assert firsts == [
        list(range(60, 68)), list(range(50, 58)), [70, 71, 72, 70, 71, 72, 70, 71], list(range(68, 76)),
    ]  # fmt: skip
    assert {p.melody.shape for p in prompts} == {(128,)}


def test_the_same_melody_counts_once_and_most_is_a_limit():
    twice = pieces_of(rising("a", 8), rising("b", 8), rising("c", 8, 40))
    assert [p.name for p in prompts_of(twice, 8, 150)[0]] == ["a@0", "c@0"]
    assert [p.name for p in prompts_of(THREE, 8, 2)[0]] == ["long@0", "exact@0"]


def test_bars_of_another_metre_are_no_part_of_a_prompt():
    """A pickup of a quarter, nine bars of 4/4, and a waltz: from the first bar line on, without the waltz."""
    whole = rising("w", 20)
    piece = replace(whole, time_signatures=(TimeSignature(4, 4, 4), TimeSignature(4 + 9 * BAR, 3, 4)))
    (prompt,) = melodies_of(piece, 8)
    assert prompt.name == "w@1"
    assert prompt.melody.tolist() == satb.soprano(whole)[4 : 4 + 8 * BAR].tolist()
    waltz = replace(whole, name="waltz", time_signatures=(TimeSignature(0, 3, 4),))
    silent = Piece("silent", 4, note_array(*np.zeros((3, 0), int)), 8 * BAR)
    prompts, left_out = prompts_of(pieces_of(waltz, silent, whole), 8, 9)
    assert [p.name for p in prompts] == ["w@0", "w@8"]
    assert left_out == tuple(f"{name}: it has no melody in whole bars of 4/4" for name in ("waltz", "silent"))
    with pytest.raises(UserError, match=r"toy has no melody in whole bars of 4/4: waltz"):
        prompts_of(pieces_of(waltz), 8, 9)


def test_the_soprano_is_the_track_where_there_is_one_and_else_the_highest_pitch():
    crossing = satb.decode(np.tile(np.array([60, 64, 55, 48], np.int16), (BAR, 1)), "crossing")
    assert set(satb.soprano(crossing)) == {60}
    merged = pianoroll.decode(pianoroll.encode(crossing))
    assert set(satb.soprano(merged)) == {64}
    crowd = pianoroll.decode(np.tile(np.isin(np.arange(128), range(60, 70)), (BAR, 1)))
    assert set(satb.soprano(crowd)) == {69}


MELODY = np.array([72, 72, -1, 60], np.int16)


def test_a_melody_in_a_piano_roll():
    context, mask = AROUND_MELODY["pianoroll"](MELODY)
    assert (context.dtype, context.shape, mask.shape) == (bool, (4, 128), (4, 128))
    assert np.argwhere(context).tolist() == [[0, 72], [1, 72], [3, 60]]
    assert np.array_equal(mask, ~context)


def test_a_melody_in_voices():
    context, mask = AROUND_MELODY["satb"](MELODY)
    assert context.dtype == np.int16
    assert context[:, 0].tolist() == [72, 72, -1, 60]
    assert not mask[:, 0].any()
    assert mask[:, 1:].all()
    assert satb.validate_voices(context) is context


# --------------------------------------------------------------------------------------------- questions and answers


class Harmony:
    """Fills with chords; ``spoil`` does something to the answer."""

    def __init__(self, representation="pianoroll", spoil=lambda piece, context: piece, **info):
        self.info = GeneratorInfo("harmony", "1", representation, "0", **info)
        self.spoil = spoil
        self.asked = []

    def complete(self, contexts, mask, *, seed, temperature=1.0):
        self.asked.append((contexts, mask, seed, temperature))
        fill = np.arange(128) == 40 if self.info.representation == "pianoroll" else np.int16(40)
        return [self.spoil(np.where(m, fill, c), c) for c, m in zip(contexts, mask, strict=True)]


TASK = CompletionTask(task="completion", shard_size=3, metrics=("pitches", "melody_kept"), temperature=0.5)


def answers_of(task, context, **generators):
    questions = task.plan(context)
    said = {n: Answers(g.info, [task.execute(s, g) for s in questions.shards]) for n, g in generators.items()}
    return task.reduce(context, questions, said)


def test_as_many_bars_as_the_reference_has_the_last_piece_cut():
    reference = pieces_of(rising("r", 20), cut(rising("s", 24), 0, 23 * BAR + 5))
    generator = Harmony()
    reduced = answers_of(TASK, context_of(THREE, reference), g=generator)
    assert [p.end for p in reduced.pieces["g"]] == [128] * 5 + [3 * BAR]
    names = ["0000 long@0", "0001 exact@0", "0002 short@0", "0003 long@8", "0004 long@0", "0005 exact@0"]
    assert [p.name for p in reduced.pieces["g"]] == [p.name for p in reduced.pieces[PROMPT]] == names
    assert len({seed for *_, seed, _ in generator.asked}) == 2
    assert {temperature for *_, temperature in generator.asked} == {0.5}
    (value,) = [r for r in reduced.results if (r.generator, r.metric) == ("g", "pitches")]
    assert value.value == len({40, *range(60, 76), *range(50, 58), *range(70, 73)})  # the melody is in the scored roll
    expected = {"inputs": "toy:test", "prompts": 4, "pieces": 6, "bars": 8, "bars_in_total": 43, "temperature": 0.5}
    assert expected.items() <= value.settings.items()
    assert value.settings["fewer_prompts"] == "toy:test has 4 different melodies of 8 bars, not 150"


def test_a_limit_counts_pieces_and_a_total_can_be_given():
    def sizes(limit=None, **settings):
        asked = TASK.model_copy(update=settings).plan(context_of(THREE, limit=limit))
        return sum(s.stop - s.start for s in asked.shards), asked.settings["bars_in_total"]

    assert sizes() == (2, 11)
    assert sizes(limit=1) == (1, 8)
    assert sizes(limit=5) == (2, 11)
    assert sizes(bars_in_total=17) == (3, 17)
    assert sizes(limit=2, bars_in_total=17) == (2, 16)


def test_every_generator_is_asked_the_same_in_its_own_representation():
    roll, voices = Harmony(), Harmony("satb")
    reduced = answers_of(TASK, context_of(THREE), roll=roll, voices=voices)
    for (rolls, _, *how), (parts, _, *same) in zip(roll.asked, voices.asked, strict=True):
        assert how == same
        assert all(np.array_equal(r, on_roll(v[:, 0])) for r, v in zip(rolls, parts, strict=True))
    assert {
        c.paired for c in reduced.comparisons if c.metric == "pitches" and "reference" not in (c.left, c.right)
    } == {True}


def test_every_way_of_saying_a_melody_is_a_representation_that_there_is():
    info = GeneratorInfo("g", "1", "tablature", "0")
    assert TASK.refusal(["Completes"], info, "pianoroll") == (
        "speaks 'tablature', in which no melody can be given to harmonise; it can in pianoroll and satb"
    )
    for name in AROUND_MELODY:
        assert TASK.refusal(["Completes"], replace(info, representation=name), "pianoroll") is None
        assert "has no Completes" in TASK.refusal(["Samples"], replace(info, representation=name), "pianoroll")
        assert "Completes" in capabilities(Uniform(name))


def without_first_note(piece, context):
    step, pitch = np.argwhere(context)[0]
    piece[step, pitch] = False
    return piece


@pytest.mark.parametrize(
    ("generator", "complaint"),
    [
        (
            Harmony(spoil=without_first_note),
            r"1 cells that were given are changed, the first at \(0, 60\) from True to",
        ),
        (Harmony("satb", lambda p, c: p + (c == 60)), r"the first at \(0, 0\) from 60 to 61"),
        (Harmony(spoil=lambda p, c: p[:-1]), r"shape \(127, 128\) where its context has \(128, 128\)"),
        (Harmony(spoil=lambda p, c: p.T[:100]), "is wanted|shape"),
        (Harmony(spoil=lambda p, c: p * 2.0), "float64"),
        (Harmony("satb", lambda p, c: np.where(c == -1, 200, p)), "not in the representation satb"),
        (Harmony(spoil=lambda p, c: None), "piece 0 is NoneType"),
    ],
)
def test_what_is_wrong_with_an_answer(generator, complaint):
    shard = TASK.plan(context_of(THREE)).shards[0]
    with pytest.raises(ValueError, match=complaint):
        TASK.execute(shard, generator)


def test_a_generator_that_changes_what_it_was_given_in_place_is_caught():
    def spoil(piece, context):
        context[:] = without_first_note(context, context)
        return context

    with pytest.raises(ValueError, match="cells that were given are changed"):
        TASK.execute(TASK.plan(context_of(THREE)).shards[0], Harmony(spoil=spoil))


def test_one_that_may_edit_its_context_may_and_the_melody_that_it_keeps_is_counted():
    editor = Harmony(spoil=without_first_note, may_edit_context=True)
    reduced = answers_of(TASK, context_of(THREE), editor=editor, keeper=Harmony())
    kept = {r.generator: r for r in reduced.results if r.metric == "melody_kept"}
    assert kept["editor"].value == pytest.approx(1 - 2 / (11 * BAR))  # a note in each of two pieces, 11 bars in all
    assert kept["keeper"].value == 1
    assert kept["keeper"].ci95[1] == 1
    assert kept["reference"].status == "not_applicable"
    (pair,) = [c for c in reduced.comparisons if c.metric == "melody_kept"]
    assert (pair.paired, pair.difference) == (True, pytest.approx(-2 / (11 * BAR)))


def test_melody_kept_by_hand():
    given = [on_roll(np.array([60, 60, -1, 62], np.int16)), on_roll(np.array([70], np.int16))]
    made = [np.zeros((4, 128), bool), on_roll(np.array([70], np.int16))]
    made[0][[0, 2, 3], [60, 60, 62]] = True
    assert melody_kept.melody_kept(given, made) == pytest.approx(3 / 4)
    assert np.isnan(melody_kept.melody_kept([np.zeros((4, 128), bool)], [np.ones((4, 128), bool)]))
    with pytest.raises(ValueError, match="one shape"):
        melody_kept.count(given[0], made[1])
    table = np.array([melody_kept.count(g, m) for g, m in zip(given, made, strict=True)] * 20)
    estimate = melody_kept.estimate(table)
    assert estimate.value == pytest.approx(3 / 4)
    assert 2 / 3 - 1e-9 < estimate.ci95[0] < 3 / 4 < estimate.ci95[1] < 1


def test_asking_again_makes_no_interval_narrower():
    """Harmony always answers alike: forty answers to four melodies tell as much as four."""

    def width(bars):
        task = TASK.model_copy(update={"bars_in_total": bars, "metrics": ("in_scale_rate",)})
        reduced = answers_of(task, context_of(THREE), g=Harmony())
        low, high = next(r.ci95 for r in reduced.results if r.generator == "g")
        return high - low

    assert width(320) == pytest.approx(width(32), rel=0.3)  # as of forty pieces it would be a sixth
    assert melodies_as_units(np.array([[60, 61], [60, -1], [60, 61], [-1, 60]], np.int16)) == [0, 1, 0, 2]


def test_metrics_that_are_asked_for():
    assert CompletionTask(task="completion").chosen_metrics()[-1] == "melody_kept"
    assert "melody_kept" not in CompletionTask(task="completion", metrics="pianoroll").chosen_metrics()
    only = CompletionTask(task="completion", metrics="melody_kept")
    reduced = answers_of(only, context_of(THREE), g=Harmony())
    assert {r.metric for r in reduced.results} == {"melody_kept"}
    with pytest.raises(UserError, match="did you mean melody_kept"):
        CompletionTask(task="completion", metrics="melody_kep").chosen_metrics()


def test_a_run_leaves_the_prompts_beside_the_answers(tmp_path):
    (tmp_path / "music").mkdir()
    for name, piece in (("a", rising("a", 8)), ("b", rising("b", 9, 50))):
        write_midi(piece, tmp_path / "music" / f"{name}.mid")
    (tmp_path / "s.yaml").write_text(
        "{name: s, data: {folder: music}, representation: pianoroll, resamples: 100, "
        "tasks: [{task: completion, metrics: [pitches], bars: 4}], "
        "generators: [uniform, {name: voices, generator: uniform, representation: satb}]}"
    )
    suite = load_suite(str(tmp_path / "s.yaml"))
    document = runner.run(runner.make_plan(suite), tmp_path / "out", workers=1, timeout=60)
    assert {r["status"] for r in document["results"]} == {"ok"}
    found = {p.relative_to(tmp_path / "out" / "samples").as_posix() for p in tmp_path.glob("out/samples/*/*.mid")}
    names = ["0000 a.mid@0", "0001 b.mid@0", "0002 a.mid@4"]
    assert found == {f"{system}/{name}.mid" for system in (PROMPT, "uniform", "voices") for name in names}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["results"][0]["settings"]["bars_in_total"] == 17
