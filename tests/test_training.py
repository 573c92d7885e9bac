"""Training: what the models are shown, the loop, and that killing it changes nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from evalkit.cli import main
from evalkit.errors import UserError
from evalkit.music import melody, satb
from evalkit.music.midi import write_midi
from evalkit.registry import load_generator
from generators.models.weights import checksum, find_weights, load_weights, read_card, rounded, zoo
from generators.training import edit_pairs, masked_voices, trainable
from generators.training.loop import Diverged, begin, learning_rate, train
from generators.training.recipe import Recipe, find_recipe, presets
from generators.training.session import CHECKPOINT, LOG, network_of, read_material, run_training

MODELS = ("es-net", "orderless-nade", "coconet")


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty melodies of eight bars in eighth notes."""
    made = tmp_path_factory.mktemp("tunes")
    for i in range(20):
        tokens = np.full(128, melody.NO_EVENT, np.int16)
        tokens[::2] = np.random.default_rng(i).integers(60, 80, 64)
        write_midi(melody.decode(tokens, f"tune {i}"), made / f"{i:02d}.mid")
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pieces of eight bars in four voices, each a walk in C major."""
    made = tmp_path_factory.mktemp("midi")
    scale = np.array([p for p in range(36, 82) if p % 12 in (0, 2, 4, 5, 7, 9, 11)])
    for i in range(20):
        rng = np.random.default_rng(i)
        voices = np.empty((128, 4), np.int16)
        for v, start in enumerate((22, 17, 12, 6)):
            walk = np.clip(start + np.cumsum(rng.integers(-1, 2, 32)), 0, len(scale) - 1)
            voices[:, v] = np.repeat(scale[walk], 4)
        write_midi(satb.decode(voices, f"walk {i}"), made / f"{i:02d}.mid")
    return made


def tiny(model: str, **changes) -> Recipe:
    return find_recipe(model, "tiny").model_copy(update=changes)


# -------------------------------------------------------------------------------------------- what they are shown


@given(seed=st.integers(0, 2**32), density=st.floats(0, 0.5), added=st.floats(0, 0.2))
def test_a_spoilt_roll_always_differs_and_by_the_shares_asked_for(seed: int, density: float, added: float):
    rng = np.random.default_rng(seed)
    roll = rng.random((16, 12)) < density
    roll[0, 0] = True
    spoilt = edit_pairs.spoil(roll, rng, most_added=added)
    assert (spoilt ^ roll).any()
    assert (spoilt & ~roll).sum() <= round((~roll).sum() * added)


def test_removals_are_uniform_and_additions_reach_their_share():
    rng = np.random.default_rng(0)
    roll = np.zeros((64, 46), np.bool_)
    roll[:, :10] = True
    spoilt = np.stack([edit_pairs.spoil(roll, rng, most_added=0.1) for _ in range(2000)])
    removed = (roll & ~spoilt).sum(axis=(1, 2)) / roll.sum()
    added = (~roll & spoilt).sum(axis=(1, 2)) / (~roll).sum()
    assert removed.mean() == pytest.approx(0.5, abs=0.02)
    assert removed.std() == pytest.approx(1 / math.sqrt(12), abs=0.02)
    assert added.mean() == pytest.approx(0.05, abs=0.003)
    assert added.max() <= 0.1 + 1e-3


def test_orderless_nade_is_shown_missing_notes_only():
    rng = np.random.default_rng(0)
    rolls = rng.random((8, 32, 46)) < 0.1
    shown = trainable("orderless-nade").batch(rolls, rng, tiny("orderless-nade"))
    assert (shown["source"] <= rolls).all()
    assert (shown["differs"] == (rolls & ~shown["source"])).all()


def test_the_loss_of_edits_is_the_divergence_from_uniform():
    rng = np.random.default_rng(0)
    rolls = rng.random((4, 8, 6)) < 0.3
    rolls[:, 0, 0] = True
    shown = {k: torch.from_numpy(v) for k, v in edit_pairs.batch(rolls, rng, tiny("es-net"), wrong_notes=True).items()}
    logits = torch.from_numpy(rng.normal(size=rolls.shape))
    losses = edit_pairs.loss(lambda source: logits, shown, tiny("es-net"), 0).numpy()
    for i, differs in enumerate(shown["differs"].numpy().reshape(4, -1)):
        p = np.exp(logits[i].numpy().ravel())
        p /= p.sum()
        u = differs / differs.sum()
        assert losses[i] == pytest.approx(sum(a * math.log(a / b) for a, b in zip(u, p, strict=True) if a), rel=1e-9)


def test_a_perfect_proposal_of_edits_has_no_loss():
    differs = torch.zeros(1, 4, 4, dtype=torch.bool)
    differs[0, 1, [0, 2]] = True
    shown = {"source": torch.zeros(1, 4, 4, dtype=torch.bool), "differs": differs}
    perfect = torch.where(differs, 0.0, -1e4)
    assert edit_pairs.loss(lambda source: perfect, shown, tiny("es-net"), 0).item() == pytest.approx(0, abs=1e-6)
    assert edit_pairs.additions_loss(lambda source: perfect, shown, tiny("orderless-nade"), 0).item() == pytest.approx(
        0, abs=1e-6
    )


def test_masks_of_voices_are_uniform_in_number_and_the_loss_counts_masked_cells_that_sound():
    rng = np.random.default_rng(0)
    voices = rng.integers(40, 70, (400, 8, 4)).astype(np.int16)
    voices[:, :2, 3] = satb.SILENCE
    shown = masked_voices.batch(voices, rng, tiny("coconet"))
    counts = shown["mask"].sum(axis=(1, 2))
    assert counts.min() >= 1
    assert counts.mean() == pytest.approx(16.5, abs=1.5)
    logits = torch.from_numpy(rng.normal(size=(400, 4, 8, 46)))
    tensors = {k: torch.from_numpy(v) for k, v in shown.items()}
    losses = masked_voices.loss(lambda hot, mask: logits, tensors, tiny("coconet"), 0).numpy()
    log_p = logits.log_softmax(-1).numpy()
    for i in (0, 7, 399):
        scored = [
            -log_p[i, v, t, voices[i, t, v] - 36]
            for t in range(8)
            for v in range(4)
            if shown["mask"][i, t, v] and voices[i, t, v] != satb.SILENCE
        ]
        assert losses[i] == pytest.approx(np.mean(scored), rel=1e-9)


def test_coconet_never_scores_only_rests():
    voices = np.full((50, 4, 4), satb.SILENCE, np.int16)
    voices[:, 0, 0] = 60
    shown = masked_voices.batch(voices, np.random.default_rng(0), tiny("coconet"))
    assert shown["mask"][:, 0, 0].all()


def test_windows_are_transposed_as_a_whole_and_drums_never():
    recipe, rng = tiny("musicvae-flat-16bar-trio", transpose=(-5, 6)), np.random.default_rng(0)
    windows = np.stack([np.full((400, 64), p, np.int16) for p in (72, 40, 9)], axis=2)
    windows[:, 1::2, :2] = melody.NO_EVENT
    moved = trainable("musicvae-flat-16bar-trio").augment(windows, rng, recipe)
    by = (moved - windows)[:, ::2, :2]
    assert (by == by[:, :1, :1]).all()
    assert set(by[:, 0, 0].tolist()) == set(range(-5, 7))
    assert (moved[:, 1::2] == windows[:, 1::2]).all()
    assert (moved[..., 2] == 9).all()
    assert trainable("musicvae-2bar-drums").augment is None


# ------------------------------------------------------------------------------------------------------- the loop


def test_every_pass_shows_every_example_once(folder: Path):
    from generators.training.loop import training_batch

    seen: list[int] = []
    recipe = tiny("coconet", batch=3)
    training = begin(trainable("coconet"), recipe, lambda: network_of("coconet", recipe), 0, "cpu")
    examples = np.arange(40, 47, dtype=np.int16)[:, None, None] * np.ones((7, 4, 4), np.int16)
    for step in range(7):  # 21 examples: three passes
        training.progress.step = step
        seen += (training_batch(training, examples)["index"][:, 0, 0] + 36 - 40).tolist()
    for i in range(3):
        assert sorted(seen[7 * i : 7 * i + 7]) == list(range(7))
    assert seen[:7] != seen[7:14]


def test_the_learning_rate_follows_its_plan():
    recipe = tiny("es-net", steps=100, learning_rate=0.1, decay="cosine", warm_up=10)
    assert learning_rate(recipe, 0, 0) == pytest.approx(0.01)
    assert learning_rate(recipe, 50, 0) == pytest.approx(0.05)
    assert learning_rate(recipe, 99, 0) < 0.0001
    plateau = tiny("coconet", learning_rate=0.1, decay="plateau")
    assert learning_rate(plateau, 50, 3) == pytest.approx(0.0125)


def test_training_learns_and_keeps_the_best(folder: Path, tmp_path: Path):
    card = run_training("es-net", "tiny", str(folder), tmp_path / "a")
    assert card is not None
    rows = (tmp_path / "a" / LOG).read_text().splitlines()
    assert rows[0] == "step,train_loss,valid_loss,learning_rate"
    losses = [float(row.split(",")[2]) for row in rows[1:]]
    assert min(losses) == card["metrics"]["valid_loss"] < losses[0]
    assert card["metrics"]["valid_loss_of_file"] == pytest.approx(min(losses), abs=1e-6)
    assert card["training"]["data_checksum"]
    assert card["weights_sha256"] == checksum(tmp_path / "a" / "weights.safetensors")
    assert card["parameters"] == 30_769


@pytest.mark.parametrize("model", ["musicvae-2bar-melody-ss", "musicvae-hier-16bar-melody"])
def test_half_the_digits_are_enough_to_learn_and_weights_stay_single(model: str):
    """Products in bfloat16, as the small presets have them, descend as those in float32 do."""
    windows = np.random.default_rng(0).integers(58, 64, (64, tiny(model).network["steps"], 1)).astype(np.int16)
    ends = []
    for precision in ("float32", "bfloat16"):
        recipe = tiny(model, precision=precision)
        training = begin(trainable(model), recipe, lambda recipe=recipe: network_of(model, recipe), 0, "cpu")
        train(training, windows, windows)
        assert {p.dtype for p in training.network.parameters()} == {torch.float32}
        first, last = training.progress.log[0]["valid_loss"], training.progress.log[-1]["valid_loss"]
        assert last < 0.9 * first
        ends.append(last)
    assert ends[0] != ends[1]
    assert ends[1] == pytest.approx(ends[0], rel=0.05)


def test_early_stopping_ends_after_its_patience():
    recipe = tiny("coconet", validate_every=1, patience=3, learning_rate=1e-12, steps=1000)
    training = begin(trainable("coconet"), recipe, lambda: network_of("coconet", recipe), 0, "cpu")
    voices = np.random.default_rng(0).integers(40, 70, (8, 32, 4)).astype(np.int16)
    training.progress.best_loss = -1.0  # nothing will ever be better
    train(training, voices, voices)
    assert training.progress.step == 3


def test_a_loss_that_is_not_finite_stops_with_its_batch(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    recipe = tiny("es-net")
    training = begin(trainable("es-net"), recipe, lambda: network_of("es-net", recipe), 0, "cpu")
    material = read_material("es-net", recipe, str(folder))
    with torch.no_grad():
        next(training.network.parameters()).fill_(math.nan)
    with pytest.raises(Diverged, match="step 0 is nan") as caught:
        train(training, material.examples, material.held_out)
    assert set(caught.value.batch) == {"source", "differs"}
    monkeypatch.setattr("generators.training.session.begin", lambda *a: training)
    with pytest.raises(UserError, match=r"diverged\.npz"):
        run_training("es-net", "tiny", str(folder), tmp_path / "b")
    assert np.load(tmp_path / "b" / "diverged.npz")["source"].shape == (8, 32, 46)


# -------------------------------------------------------------------------------------------------- kill and resume


@pytest.mark.parametrize("model", [*MODELS, "musicvae-2bar-melody-ss"])
def test_stopped_and_resumed_training_ends_with_the_same_weights(model: str, folder: Path, tunes: Path, tmp_path: Path):
    folder = tunes if "melody" in model else folder
    whole = run_training(model, "tiny", str(folder), tmp_path / "whole", seed=3)
    assert whole is not None
    for stop_after in (7, 20, 21, find_recipe(model, "tiny").steps * 3 // 4):
        steps = iter(range(1000))
        resume = (tmp_path / "parts" / CHECKPOINT).exists()
        assert run_training(
            model, "tiny", str(folder), tmp_path / "parts", seed=3, resume=resume,
            stop=lambda steps=steps, n=stop_after: next(steps) >= n - _done(tmp_path / "parts"),
        ) is None  # fmt: skip
    parts = run_training(model, "tiny", str(folder), tmp_path / "parts", seed=3, resume=True)
    assert parts is not None
    assert parts["weights_sha256"] == whole["weights_sha256"]
    assert (tmp_path / "parts" / LOG).read_text() == (tmp_path / "whole" / LOG).read_text()
    other = run_training(model, "tiny", str(folder), tmp_path / "other", seed=4)
    assert other is not None
    assert other["weights_sha256"] != whole["weights_sha256"]


def _done(out: Path) -> int:
    checkpoint = out / CHECKPOINT
    return torch.load(checkpoint, weights_only=True)["progress"]["step"] if checkpoint.exists() else 0


def test_killed_training_goes_on_from_the_command_line(folder: Path, tmp_path: Path):
    out = tmp_path / "run"
    command = [sys.executable, "-c", "from evalkit.cli import main; main()", "generators", "train", "es-net",
               "--preset", "tiny", "--data", str(folder), "--out", str(out), "--device", "cpu"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if "step 20 of 60" in line:
            break
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert "--resume goes on from here" in told
    before = time.monotonic()
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    assert time.monotonic() - before < 60
    assert json.loads((out / "weights.json").read_text())["training"]["steps"] == 60


def test_wrong_use_of_train_is_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run_training("coconet", "tiny", str(folder), tmp_path / "done")
    cases = [
        (["es-nett", "--data", str(folder), "--out", str(tmp_path / "x")], "did you mean es-net"),
        (["es-net", "--preset", "smal", "--data", str(folder), "--out", str(tmp_path / "x")], "did you mean small"),
        (["es-net", "--data", "jbs", "--out", str(tmp_path / "x")], "jbs"),
        (["coconet", "--preset", "tiny", "--data", str(folder), "--out", str(tmp_path / "done")], "add --resume"),
        (["coconet", "--preset", "tiny", "--data", str(folder), "--out", str(tmp_path / "x"), "--resume"], "to resume"),
        (["coconet", "--preset", "tiny", "--data", str(folder), "--out", str(tmp_path / "done"), "--resume",
          "--seed", "9"], "its seed is 0, not 9"),
        (["es-net", "--data", str(folder), "--out", str(tmp_path / "x"), "--device", "gpu9"], "--device gpu9"),
    ]  # fmt: skip
    for arguments, said in cases:
        with pytest.raises(SystemExit) as ended:
            main(["generators", "train", *arguments])
        told = capsys.readouterr().err
        assert ended.value.code == 2, (arguments, told)
        assert said in " ".join(told.split()), told
        assert "Traceback" not in told


def test_a_corrupt_checkpoint_is_named(folder: Path, tmp_path: Path):
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"checkpoint\.pt: cannot be read"):
        run_training("es-net", "tiny", str(folder), tmp_path, resume=True)


def test_data_without_examples_is_named(tmp_path: Path):
    voices = np.full((16, 4), 60, np.int16)
    for i in range(3):
        write_midi(satb.decode(voices, "short"), tmp_path / f"{i}.mid")
    with pytest.raises(UserError, match="the training pieces have no window of 2 bars"):
        read_material("es-net", tiny("es-net"), str(tmp_path))


# ------------------------------------------------------------------------------------------------- weights and cards


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    run_training("es-net", "tiny", str(folder), out)
    return out


def test_trained_weights_are_a_generator_of_their_own(trained: Path):
    with load_generator({"generator": "checkpoint", "weights": str(trained)}) as generator:
        info = generator.info
        assert (info.name, info.parameters, info.representation) == ("es-net", 30_769, "pianoroll")
        assert info.corpus_checksum == read_card(trained / "weights.safetensors")["training"]["data_checksum"]


def test_a_folder_called_like_a_preset_is_meant_where_it_is_written_as_a_path(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").symlink_to(trained)
    assert find_weights("es-net", "small") == zoo()["es-net-small"]
    assert find_weights("es-net", "./small") == Path("small/weights.safetensors")


def test_a_foreign_state_dict_is_read_without_its_code(trained: Path, tmp_path: Path):
    state = load_file(trained / "weights.safetensors")
    torch.save(state, tmp_path / "mine.pt")
    (tmp_path / "mine.json").write_bytes((trained / "weights.json").read_bytes())
    ours, theirs = (
        load_generator({"generator": "checkpoint", "weights": str(w)}) for w in (trained, tmp_path / "mine.pt")
    )
    rolls = np.random.default_rng(0).random((2, 32, 128)) < 0.05
    assert np.array_equal(ours.edit_log_probs(rolls), theirs.edit_log_probs(rolls))
    torch.save({"a": os.system}, tmp_path / "mine.pt")
    with pytest.raises(UserError, match="cannot be read as plain tensors"):
        load_generator({"generator": "checkpoint", "weights": str(tmp_path / "mine.pt")}).load()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s.pop("head.bias"), "the tensor 'head.bias' is missing"),
        (lambda s: s.update({"head.bias": torch.zeros(3)}), r"'head.bias' has shape \(3,\).* needs \(1,\)"),
        (lambda s: s.update({"extra": torch.zeros(1)}), "the tensor 'extra' is not one of the network's"),
        (lambda s: s["head.bias"].fill_(math.nan), "'head.bias' holds numbers that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_named(trained: Path, tmp_path: Path, spoil, said: str):
    state = {name: tensor.clone() for name, tensor in load_file(trained / "weights.safetensors").items()}
    spoil(state)
    save_file(state, tmp_path / "weights.safetensors")
    (tmp_path / "weights.json").write_bytes((trained / "weights.json").read_bytes())
    with pytest.raises(UserError, match=said):
        load_generator({"generator": "checkpoint", "weights": str(tmp_path)}).load()


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "need their card beside them"),
        ("[]", "must be a JSON object"),
        ("{", "cannot be read as a card"),
        ('{"model": "es-net"}', "needs the key 'network'"),
        (
            '{"model": "vae", "network": {}, "representation": "satb", "pitch_range": [0, 1], "parameters": 1}',
            "'vae' is none",
        ),
    ],
)
def test_cards_that_do_not_do_are_named(trained: Path, tmp_path: Path, card: str | None, said: str):
    (tmp_path / "weights.safetensors").write_bytes((trained / "weights.safetensors").read_bytes())
    if card is not None:
        (tmp_path / "weights.json").write_text(card)
    with pytest.raises(UserError, match=said):
        load_generator({"generator": "checkpoint", "weights": str(tmp_path)})


def test_rounding_keeps_vectors_and_counters(trained: Path):
    state = load_file(trained / "weights.safetensors")
    small = rounded(state, "float16")
    assert {n for n, t in small.items() if t.dtype == torch.float16} == {n for n, t in state.items() if t.ndim > 1}
    network = network_of("es-net", tiny("es-net"))
    save = {n: t.clone() for n, t in small.items()}
    path = trained / "half.safetensors"
    save_file(save, path)
    load_weights(network, path)
    assert next(network.parameters()).dtype == torch.float32


@pytest.mark.parametrize("model", MODELS)
def test_presets_are_complete(model: str):
    assert list(presets(model)) == ["tiny", "small", "paper"]


@pytest.mark.parametrize("name", sorted(zoo()))
def test_packaged_weights_are_small_and_say_where_they_come_from(name: str):
    path = zoo()[name]
    card = read_card(path)
    assert path.stat().st_size <= 3_000_000
    assert checksum(path) == card["weights_sha256"]
    assert name == f"{card['model']}-{card['preset']}"
    assert ":test" not in card["training"]["data"]
    recipe = find_recipe(card["model"], card["preset"])
    assert card["network"] == recipe.network, "the command of the card would make another network"
    assert card["training"]["steps"] == recipe.steps
    load_weights(network_of(card["model"], recipe), path)


def test_all_packaged_weights_together_stay_small():
    assert sum(path.stat().st_size for path in zoo().values()) <= 15_000_000
