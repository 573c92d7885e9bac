"""The networks of ES-Net, Orderless NADE and Coconet, and what their generators do with them."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evalkit.datasets.corpus import load_corpus
from evalkit.errors import UserError
from evalkit.metrics.edit_likelihood import edit_log_likelihood, edit_log_likelihoods
from evalkit.music import pianoroll, satb
from evalkit.music.satb import SILENCE
from generators.adapters.uniform import Uniform
from generators.models.coconet import Coconet, masked_share, one_hot
from generators.models.coconet_network import CoconetNetwork
from generators.models.draws import draw, race_times
from generators.models.edits import NO_CELL, net_change_rate, sample_edits
from generators.models.es_net import EsNet
from generators.models.orderless_nade import OrderlessNade
from generators.models.unet import UNet
from generators.training.recipe import Recipe, find_recipe
from generators.training.session import network_of

MELODY = (72, 74, 76, 77, 79, 77, 76, 74)


def melody_prompt(steps: int = 32) -> tuple[np.ndarray, np.ndarray]:
    roll = np.zeros((steps, 128), np.bool_)
    roll[np.arange(steps), np.resize(np.repeat(MELODY, 4), steps)] = True
    return roll, ~roll


# ------------------------------------------------------------------------------------------------------ sizes


def test_the_paper_preset_of_es_net_has_the_published_size():
    network = network_of("es-net", find_recipe("es-net", "paper"))
    convolutions = 0  # by the closed formula k²·i·o + o of each convolution, from the card's list of widths
    for i, o in [(1, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]:
        convolutions += 9 * i * o + o + 9 * o * o + o
    for i, o in [(1536, 512), (768, 256), (384, 128), (192, 64), (96, 32)]:
        convolutions += 9 * i * o + o + 9 * o * o + o
    convolutions += 32 + 1
    assert convolutions == 31_442_113
    of_convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert sum(p.numel() for m in of_convolutions for p in m.parameters()) == convolutions
    assert sum(p.numel() for p in network.parameters()) == 31_448_833
    assert sum(t.numel() for n, t in network.state_dict().items() if "num_batches" not in n) == 31_455_553


def test_the_paper_preset_of_orderless_nade_is_the_same_network():
    assert find_recipe("orderless-nade", "paper").network == find_recipe("es-net", "paper").network


def test_the_paper_preset_of_coconet_has_the_published_size():
    network = network_of("coconet", find_recipe("coconet", "paper"))
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 64
    assert sum(p.numel() for m in convolutions for p in m.parameters()) == 9_071_616
    assert sum(p.numel() for p in network.parameters()) == 9_087_752


@pytest.mark.parametrize("model", ["es-net", "orderless-nade", "coconet"])
@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_every_recipe_builds_its_network(model: str, preset: str):
    recipe = find_recipe(model, preset)
    assert isinstance(recipe, Recipe)
    assert sum(p.numel() for p in network_of(model, recipe).parameters()) > 0


# --------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(("steps", "pitches"), [(32, 46), (30, 45), (8, 8), (1, 1)])
def test_the_unet_answers_for_every_cell_of_any_roll(steps: int, pitches: int):
    network = UNet(filters=2, levels=3, dropout=0.0).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, steps, pitches)).shape == (2, steps, pitches)


@pytest.mark.parametrize(("levels", "reach"), [(1, 12), (4, 64)])
def test_the_unet_sees_bars_away(levels: int, reach: int):
    torch.manual_seed(0)
    network = UNet(filters=4, levels=levels, dropout=0.0).eval().double()
    roll = torch.zeros(1, 128, 46)
    changed = roll.clone()
    changed[0, 127, 45] = 1
    with torch.inference_mode():
        moved = (network(roll) - network(changed))[0].abs().amax(dim=1)
    assert (moved[128 - reach :] > 0).any(), "a change nearby"
    furthest = 127 - int(moved.nonzero()[0])
    assert furthest >= 64 if levels == 4 else furthest <= reach


def test_coconet_does_not_see_what_is_masked():
    torch.manual_seed(0)
    network = CoconetNetwork(layers=8, filters=6).eval()
    voices = torch.randint(36, 82, (2, 16, 4))
    mask = torch.rand(2, 4, 16) < 0.5
    other = torch.where(mask.permute(0, 2, 1), torch.randint(36, 82, (2, 16, 4)), voices)
    with torch.inference_mode():
        assert torch.equal(network(one_hot(voices, 36, 81), mask), network(one_hot(other, 36, 81), mask))
        unmasked = torch.zeros_like(mask)
        assert not torch.equal(network(one_hot(voices, 36, 81), unmasked), network(one_hot(other, 36, 81), unmasked))


def test_one_hot_leaves_silence_and_foreign_pitches_empty():
    hot = one_hot(torch.tensor([[[SILENCE, 36, 81, 82]]]), 36, 81)
    assert hot.shape == (1, 4, 1, 46)
    assert hot.sum(dim=-1).flatten().tolist() == [0, 1, 1, 0]
    assert hot[0, 1, 0, 0] == hot[0, 2, 0, 45] == 1


def test_the_masked_share_falls_to_a_tenth_at_seven_tenths():
    shares = [masked_share(n, 512) for n in range(512)]
    assert shares[0] == 0.9
    assert all(a >= b for a, b in pairwise(shares))
    assert sum(s > 0.1 + 1e-12 for s in shares) == 359  # 0.7 * 512 = 358.4: the steps 0..358
    assert masked_share(256, 512) == pytest.approx(0.9 - 0.8 / 0.7 * 0.5)


# ------------------------------------------------------------------------------------------------------ draws


def test_draws_follow_the_softmax_at_the_temperature():
    logits, temperature, n = torch.tensor([0.0, 1.0, -1.0, -torch.inf]), 0.7, 20_000
    times = torch.from_numpy(race_times([np.random.default_rng(1)], (n, 4))[0])
    drawn = draw(logits.expand(n, 4), times, temperature)
    expected = (logits.double() / temperature).softmax(0)[:3].numpy() * n
    assert (drawn < 3).all()
    assert stats.chisquare(np.bincount(drawn.numpy(), minlength=3), expected).pvalue > 1e-3


def test_temperature_zero_takes_the_most_probable():
    times = torch.from_numpy(race_times([np.random.default_rng(1)], (50, 3))[0])
    assert set(draw(torch.tensor([0.0, 2.0, 1.0]).expand(50, 3), times, 0).tolist()) == {1}


def test_edits_toggle_only_what_is_allowed_and_are_told():
    rolls = torch.zeros(3, 4, 5, dtype=torch.bool)
    only = torch.zeros(3, 20, dtype=torch.bool)
    only[0, 7] = only[1, [3, 4]] = True
    made, edits = sample_edits(
        lambda r: torch.zeros(r.shape), rolls, lambda present: only, [np.random.default_rng(i) for i in range(3)],
        iterations=5,
    )  # fmt: skip
    assert (edits[0] == 7).all()
    assert set(edits[1].tolist()) <= {3, 4}
    assert (edits[2] == NO_CELL).all()
    for roll, row in zip(made.flatten(1), edits, strict=True):
        assert np.array_equal(roll.numpy(), np.bincount(row[row >= 0], minlength=20) % 2 == 1)


def test_net_change_rate_counts_what_lasts():
    edits = np.array([[1, 2, 3, 4, 5, 5, 6, 6, 7, 7, 7, 8]])
    assert net_change_rate(edits, 4).tolist() == [[1.0, 0.0, 0.5]]
    assert net_change_rate(np.full((1, 8), NO_CELL), 4).tolist() == [[0.0, 0.0]]


# ----------------------------------------------------------------------------------------------------- ES-Net


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), additions=st.integers(0, 60), removals=st.floats(0, 1))
def test_es_net_keeps_its_caps(untrained, seed: int, additions: int, removals: float):
    roll, mask = melody_prompt()
    generator = _es_net(untrained, iterations=60, additions=additions, removals=removals)
    (told,) = zip(*generator.complete_and_tell([roll], [mask], seed=seed), strict=True)
    made, edits = told
    assert (made & ~roll).sum() <= additions * 32 / 128
    assert (roll & ~made).sum() <= removals * roll.sum()
    replayed = roll.copy()
    for step, pitch in edits[edits[:, 0] >= 0]:
        replayed[step, pitch] ^= True
        assert (replayed & ~roll).sum() <= additions * 32 / 128
        assert (roll & ~replayed).sum() <= removals * roll.sum()
    assert np.array_equal(replayed, made)


def _es_net(untrained, **settings) -> EsNet:
    generator = EsNet(untrained("es-net"), **settings)
    generator.load()
    return generator


def test_es_net_adds_under_the_mask_only(untrained):
    roll, mask = melody_prompt()
    mask[:16] = False  # nothing is to be filled in the first bar
    made, edits = _es_net(untrained, iterations=300, removals=0.5).complete_and_tell([roll], [mask], seed=2)
    assert not (made[0][:16] & ~roll[:16]).any()
    assert (made[0][16:] & ~roll[16:]).any()
    assert (edits[0][:, 0] < 16).any(), "given notes of the first bar may go and come back"


def test_edits_of_es_net_are_a_distribution_over_its_pitch_range(untrained):
    roll, _ = melody_prompt()
    scores = _es_net(untrained).edit_log_probs(roll[None])
    assert scores.shape == (1, 32, 128)
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-6)
    assert np.isneginf(scores[:, :, :36]).all()
    assert np.isneginf(scores[:, :, 82:]).all()
    assert np.isfinite(scores[:, :, 36:82]).all()


def test_gathered_cells_are_those_of_the_whole_answer(untrained):
    roll, _ = melody_prompt()
    rolls = np.stack([roll, ~roll, np.zeros_like(roll)])
    cells = np.array([[[0, 36], [31, 81], [5, 20]], [[1, 60], [2, 61], [3, 127]], [[0, 0], [0, 50], [9, 72]]])
    generator = _es_net(untrained)
    whole, some = generator.edit_log_probs(rolls), generator.edit_log_probs(rolls, cells)
    expected = np.take_along_axis(whole.reshape(3, -1), cells[..., 0] * 128 + cells[..., 1], axis=1)
    np.testing.assert_allclose(some, expected, atol=1e-6)


# ------------------------------------------------------------------------------- what the small weights have learnt


@pytest.fixture(scope="module")
def held_out() -> np.ndarray:
    """(n, 128, 128): eight bars of held-out chorales, which the weights have not seen."""
    if "EVALKIT_DATA_MIRROR" not in os.environ:
        pytest.skip("needs the JSB chorales: set EVALKIT_DATA_MIRROR")
    rolls = [pianoroll.encode(piece)[:128] for piece in load_corpus("jsb").pieces("test")]
    return np.stack([roll for roll in rolls if len(roll) == 128][:16])


def test_toggling_removes_planted_wrong_notes_rather_than_right_ones(held_out: np.ndarray):
    rng = np.random.default_rng(0)
    planted = np.zeros_like(held_out)
    for roll, wrong in zip(held_out, planted, strict=True):
        sounding = roll | np.roll(roll, 1, axis=1) | np.roll(roll, -1, axis=1)
        cells = np.argwhere(~sounding[:, 40:76]) + np.array([0, 40])
        step, pitch = cells[rng.choice(len(cells), 40, replace=False)].T
        wrong[step, pitch] = True
    spoilt = held_out | planted
    made = np.stack(EsNet(iterations=120).complete(list(spoilt), list(~spoilt), seed=1))
    wrong_gone = (planted & ~made).sum() / planted.sum()
    right_gone = (held_out & ~made).sum() / held_out.sum()
    assert wrong_gone > 0.5
    assert right_gone < 0.1
    assert (planted & ~made).sum() > (held_out & ~made).sum(), "more of them in number too, though they are far fewer"


def test_editing_settles(held_out: np.ndarray):
    prompts = [_melody_of(roll) for roll in held_out[:6]]
    told = EsNet(iterations=1200).complete_and_tell(prompts, [~roll for roll in prompts], seed=0)
    flat = np.stack([np.where(e[:, 0] < 0, NO_CELL, e[:, 0].astype(int) * 128 + e[:, 1]) for e in told.edits])
    rate = net_change_rate(flat, 200).mean(axis=0)
    assert rate[0] > 0.7, "at first nearly every edit lasts"
    assert rate[-1] < 0.5 * rate[0], "in the end edits undo each other"
    polyphony = np.stack(told.rolls).sum(axis=2).mean()
    assert 3 < polyphony < 5


def _melody_of(roll: np.ndarray) -> np.ndarray:
    top = np.zeros_like(roll)
    has = roll.any(axis=1)
    top[np.flatnonzero(has), 127 - roll[has, ::-1].argmax(axis=1)] = True
    return top


@pytest.mark.parametrize("generator", [EsNet, OrderlessNade], ids=lambda g: g.model)
def test_missing_notes_are_put_back_far_better_than_by_chance(generator, held_out: np.ndarray):
    rng = np.random.default_rng(0)
    sources = held_out[:6].copy()
    for roll in sources:
        step, pitch = np.argwhere(roll)[rng.choice(roll.sum(), 6, replace=False)].T
        roll[step, pitch] = False
    values = [v.value for v in edit_log_likelihoods(generator(), list(sources), list(held_out[:6]))]
    uniform = edit_log_likelihood(Uniform("pianoroll"), sources[0], held_out[0]).value
    assert np.mean(values) > uniform + 4  # nats per edit; 0 is perfect


def test_coconet_finds_the_missing_voice(held_out: np.ndarray):
    pieces = [satb.encode(p)[:64] for p in load_corpus("jsb-satb").pieces("test")[:12]]
    voices = np.stack(pieces)
    mask = np.zeros(voices.shape, np.bool_)
    mask[:, :, 2] = True
    cells = np.stack([np.column_stack([np.arange(64), np.full(64, 2)])] * len(voices))
    scores = Coconet().masked_log_probs(voices, mask, cells)
    truth = voices[:, :, 2]
    sung = truth != SILENCE
    found = np.take_along_axis(scores, (truth + 1).astype(np.int64)[..., None], axis=2)[..., 0]
    tenors = np.concatenate([satb.encode(piece)[:, 2] for piece in load_corpus("jsb-satb").pieces("train")])
    frequency = (np.bincount(tenors[tenors != SILENCE], minlength=128) + 1) / (len(tenors) + 128)
    by_frequency = -np.log(frequency[truth[sung]])
    assert -found[sung].mean() < 0.6 * by_frequency.mean()
    assert (scores.argmax(axis=2) - 1 == truth)[sung].mean() > 3 * (frequency.argmax() == truth)[sung].mean()


# --------------------------------------------------------------------------------------------- Orderless NADE


def test_orderless_nade_adds_so_many_cells_and_takes_none_away(untrained):
    roll, mask = melody_prompt()
    generator = OrderlessNade(untrained("orderless-nade"), additions=80)
    made, edits = generator.complete_and_tell([roll], [mask], seed=3)
    assert (made[0] >= roll).all()
    assert (made[0] & ~roll).sum() == len(edits[0]) == 20  # 80 per 8 bars, in 2 bars
    assert len({tuple(cell) for cell in edits[0].tolist()}) == 20


def test_orderless_nade_masks_filled_cells(untrained):
    roll, _ = melody_prompt()
    generator = OrderlessNade(untrained("orderless-nade"))
    scores = generator.edit_log_probs(roll[None])[0]
    assert np.isneginf(scores[roll]).all()
    assert np.isfinite(scores[:, 36:82][~roll[:, 36:82]]).all()
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-6)
    filled = np.ones_like(roll)
    assert np.isneginf(generator.edit_log_probs(filled[None])).all()


def test_orderless_nade_cannot_take_a_note_away(untrained):
    roll, _ = melody_prompt()
    without = roll.copy()
    without[0] = False
    generator = OrderlessNade(untrained("orderless-nade"))
    assert edit_log_likelihood(generator, roll, without).value == -np.inf
    assert np.isfinite(edit_log_likelihood(generator, without, roll).value)


# ---------------------------------------------------------------------------------------------------- Coconet


def test_coconet_keeps_the_given_voice_with_its_rests(untrained):
    context = np.full((32, 4), 60, np.int16)
    context[:, 0] = np.repeat(MELODY, 4)
    context[8:12, 0] = SILENCE
    mask = np.zeros((32, 4), np.bool_)
    mask[:, 1:] = True
    (made,) = Coconet(untrained("coconet"), gibbs_steps=4).complete([context], [mask], seed=1)
    assert np.array_equal(made[:, 0], context[:, 0])
    assert ((made[:, 1:] >= 36) & (made[:, 1:] <= 81)).all()


def test_coconet_leaves_a_piece_alone_of_which_nothing_is_to_be_filled(untrained):
    context = np.full((16, 4), 60, np.int16)
    (made,) = Coconet(untrained("coconet"), gibbs_steps=2).complete([context], [np.zeros((16, 4), np.bool_)], seed=0)
    assert np.array_equal(made, context)


def test_masked_scores_of_coconet_are_a_distribution_over_its_pitches(untrained):
    rng = np.random.default_rng(0)
    pieces = rng.integers(36, 82, (3, 16, 4)).astype(np.int16)
    mask = rng.random(pieces.shape) < 0.5
    mask[:, 0, 0] = True
    cells = np.zeros((3, 1, 2), np.int64)
    scores = Coconet(untrained("coconet")).masked_log_probs(pieces, mask, cells)
    assert scores.shape == (3, 1, 129)
    np.testing.assert_allclose(np.exp(scores).sum(axis=-1), 1, atol=1e-6)
    assert np.isneginf(scores[..., : 36 + 1]).all()
    assert np.isneginf(scores[..., 81 + 2 :]).all()


# ------------------------------------------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EsNet("smal"), "es-net: no weights called 'smal'"),
        (lambda: EsNet("nowhere/weights.safetensors"), "no such file"),
        (lambda: EsNet(iterations=-1), "iterations must be 0 or more"),
        (lambda: Coconet(sharpness=0.0), "sharpness above 0"),
        (lambda: OrderlessNade(additions=-5), "additions must be 0 or more"),
    ],
)
def test_wrong_settings_are_one_sentence(make, said: str):
    with pytest.raises(UserError, match=said):
        make()


def test_weights_of_another_model_are_refused(untrained):
    with pytest.raises(UserError, match="weights of 'orderless-nade', not of 'es-net'"):
        _ = EsNet(untrained("orderless-nade")).info


def test_a_device_that_is_not_there_is_one_sentence(untrained):
    generator = EsNet(untrained("es-net"))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="cannot use the device 'cuda'"):
            generator.load("cuda")


def test_saving_and_loading_changes_nothing(untrained, tmp_path: Path):
    generator = EsNet(untrained("es-net"), iterations=20)
    generator.save(tmp_path / "copy")
    again = EsNet(str(tmp_path / "copy"), iterations=20)
    assert again.info.fingerprint == generator.info.fingerprint
    roll, mask = melody_prompt()
    for a, b in zip(*(g.complete([roll], [mask], seed=5) for g in (generator, again)), strict=True):
        assert np.array_equal(a, b)
    assert EsNet(str(tmp_path / "copy"), iterations=21).info.fingerprint != generator.info.fingerprint
