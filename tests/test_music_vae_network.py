"""The networks of the MusicVAE family: sizes, what depends on what, and that both ways of running them agree."""

from __future__ import annotations

import math

import pytest
import torch

from generators.models.music_vae_network import HierarchicalDecoder, MusicVae, one_hot, shifted
from generators.training.loop import learning_rate
from generators.training.recipe import Recipe, find_recipe
from generators.training.token_windows import (
    beta_at,
    divergence,
    loss,
    sampling_probability,
    scheduled,
)

FLAT = {"steps": 256, "latent": 512, "encoder": 2048, "encoder_layers": 2, "decoder": 2048, "decoder_layers": 3}
HIERARCHICAL = {**FLAT, "decoder": 1024, "decoder_layers": 2, "segments": 16, "conductor": 1024}
TWO_BARS = {"steps": 32, "latent": 512, "encoder": 2048, "decoder": 2048, "decoder_layers": 3}


def millions(**network) -> float:
    with torch.device("meta"):
        return sum(p.numel() for p in MusicVae(**network).parameters() if p.requires_grad) / 1e6


@pytest.mark.parametrize(
    ("network", "published"),
    [
        ({**TWO_BARS, "vocabularies": [90]}, 134.57),
        ({**TWO_BARS, "vocabularies": [130], "latent": 256}, 128.3),
        ({**TWO_BARS, "vocabularies": [512], "latent": 256}, 138.5),
        ({**FLAT, "vocabularies": [90]}, 235.25),
        ({**FLAT, "vocabularies": [130]}, 236.32),
        ({**FLAT, "vocabularies": [90, 90, 512]}, 251.28),
        ({**HIERARCHICAL, "vocabularies": [90]}, 176.06),
        ({**HIERARCHICAL, "vocabularies": [90, 90, 512]}, 230.98),
    ],
)
def test_the_sizes_of_the_papers_and_their_code(network: dict, published: float):
    assert millions(**network) == pytest.approx(published, abs=0.05 if published in (128.3, 138.5) else 0.005)


@pytest.mark.parametrize(
    ("model", "published"),
    [
        ("musicvae-flat-16bar-melody", 236.32),
        ("musicvae-hier-16bar-melody", 173.25),
        ("musicvae-hier-16bar-drums", 181.47),
        ("musicvae-hier-16bar-trio", 220.64),
        ("musicvae-hier-32bar-melody", 72.57),
    ],
)
def test_the_paper_presets_have_the_published_sizes(model: str, published: float):
    assert millions(**find_recipe(model, "paper").network) == pytest.approx(published, abs=0.005)


def network(**changes) -> MusicVae:
    torch.manual_seed(0)
    made = MusicVae(
        **{"vocabularies": [7], "steps": 16, "latent": 3, "encoder": 5, "decoder": 6, "decoder_layers": 2, **changes}
    )
    for parameter in made.parameters():  # no weight so small that a dependence could hide
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.5)
    return made.double()


HIER = {"segments": 4, "conductor": 5, "conductor_layers": 2, "conductor_out": 4}
TRIO = {"vocabularies": [7, 5, 9]}


def tokens_for(made: MusicVae, n: int = 3, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(v, (n, made.steps), generator=generator) for v in made.vocabularies], dim=2)


@pytest.fixture(autouse=True)
def _in_double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("changes", [{}, HIER, TRIO, {**HIER, **TRIO}, {"latent": 0}])
def test_step_by_step_is_the_same_as_all_at_once(changes: dict):
    made = network(**changes)
    tokens = tokens_for(made)
    z = torch.randn(3, made.latent)
    written, stepwise = made.decoder.run(z, 16, lambda t: lambda column, logits: tokens[:, t, column])
    assert torch.equal(written, tokens)
    for a, b in zip(made.decoder(z, tokens), stepwise, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("changes", [{}, HIER, {**HIER, **TRIO}])
def test_no_step_sees_its_own_token_or_a_later_one(changes: dict):
    made = network(**changes)
    tokens, z = tokens_for(made), torch.randn(3, 3)
    for t in (0, 3, 4, 9, 15):
        changed = tokens.clone()
        changed[:, t:] = tokens_for(made, seed=2)[:, t:]
        for a, b in zip(made.decoder(z, tokens), made.decoder(z, changed), strict=True):
            assert torch.equal(a[:, : t + 1], b[:, : t + 1])


def test_the_flat_decoder_sees_all_that_came_before():
    made = network()
    tokens, z = tokens_for(made), torch.randn(3, 3)
    changed = tokens.clone()
    changed[:, 0] = (tokens[:, 0] + 1) % 7
    differs = (made.decoder(z, tokens)[0] - made.decoder(z, changed)[0]).abs().amax(dim=(0, 2))
    assert differs[0] == 0
    assert (differs[1:] > 0).all()


def test_the_state_of_the_hierarchical_decoder_begins_anew_in_each_segment():
    made = network(**HIER)
    tokens, z = tokens_for(made), torch.randn(3, 3)
    changed = tokens.clone()
    changed[:, 1] = (tokens[:, 1] + 1) % 7  # within the first segment, and not its last token
    differs = (made.decoder(z, tokens)[0] - made.decoder(z, changed)[0]).abs().amax(dim=(0, 2))
    assert (differs[2:4] > 0).all()
    assert (differs[4:] == 0).all()
    changed = tokens.clone()
    changed[:, 3] = (tokens[:, 3] + 1) % 7  # its last token does cross, as the first input of the next
    differs = (made.decoder(z, tokens)[0] - made.decoder(z, changed)[0]).abs().amax(dim=(0, 2))
    assert (differs[4:8] > 0).all()
    assert (differs[8:] == 0).all()


def test_the_hierarchical_decoder_knows_z_through_the_conductor_only():
    made = network(**HIER)
    decoder = made.decoder
    assert isinstance(decoder, HierarchicalDecoder)
    tokens, z = tokens_for(made), torch.randn(3, 3)
    vectors = decoder.conduct(z)
    assert vectors.shape == (3, 4, 4)
    decoder.conduct = lambda z: vectors  # type: ignore[method-assign]
    frozen = decoder(torch.randn(3, 3), tokens)[0]
    del decoder.conduct
    assert torch.equal(frozen, decoder(z, tokens)[0])
    moved = vectors.clone()
    moved[:, 2] += 1
    decoder.conduct = lambda z: moved  # type: ignore[method-assign]
    differs = (frozen - decoder(z, tokens)[0]).abs().amax(dim=(0, 2))
    assert (differs[8:12] > 0).all(), "the third vector writes the third segment"
    assert differs[:8].max() == differs[12:].max() == 0


def test_the_lower_decoders_of_a_trio_do_not_see_each_other():
    made = network(**HIER, **TRIO)
    tokens, z = tokens_for(made), torch.randn(3, 3)
    changed = tokens.clone()
    changed[..., 1] = (tokens[..., 1] + 1) % 5
    same = [torch.equal(a, b) for a, b in zip(made.decoder(z, tokens), made.decoder(z, changed), strict=True)]
    assert same == [True, False, True]
    flat = network(**TRIO)
    assert not any(torch.equal(a, b) for a, b in zip(flat.decoder(z, tokens), flat.decoder(z, changed), strict=True))


def test_the_encoder_reads_both_ways():
    made = network()
    tokens = tokens_for(made)
    for t in (0, 15):
        changed = tokens.clone()
        changed[:, t] = (tokens[:, t] + 1) % 7
        assert (made.encode(tokens)[0] != made.encode(changed)[0]).all()
    assert (made.encode(tokens)[1] > 0).all()


def test_the_first_step_is_given_nothing():
    x = one_hot(torch.tensor([[[1], [0]]]), [2])
    assert shifted(x).tolist() == [[[0, 0], [0, 1]]]


def test_segments_must_divide_the_steps():
    with pytest.raises(ValueError, match="cannot be cut into 5 segments"):
        network(segments=5, conductor=4)


# ------------------------------------------------------------------------------------------------------ schedules


def test_the_schedules_give_the_cards_numbers():
    assert beta_at(0.2, 0.99999, 50_000) == pytest.approx(0.0787, abs=5e-5)
    assert beta_at(0.2, 0.99999, 100_000) == pytest.approx(0.1264, abs=5e-5)
    assert beta_at(0.2, 0.99999, 150_000) == pytest.approx(0.1554, abs=5e-5)
    assert beta_at(0.2, 0.0, 0) == 0.2
    assert sampling_probability(1000, 6908) == pytest.approx(0.5, abs=1e-4)
    assert sampling_probability(1000, 10_000) == pytest.approx(0.957, abs=5e-4)
    assert sampling_probability(2000, 15_202) == pytest.approx(0.5, abs=1e-4)
    assert sampling_probability(2000, 20_000) == pytest.approx(0.917, abs=5e-4)
    assert sampling_probability(1000, 10**7) == 1
    recipe = find_recipe("musicvae-2bar-melody", "paper")
    assert learning_rate(recipe, 0, 0) == pytest.approx(1e-3)
    assert learning_rate(recipe, 50_000, 0) == pytest.approx(1.67e-5, abs=5e-8)


def test_the_divergence_is_that_of_torch():
    mean, scale = torch.randn(4, 6), torch.rand(4, 6) + 0.1
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, scale), normal(torch.zeros(6), torch.ones(6))).sum(dim=1)
    torch.testing.assert_close(divergence(mean, scale), expected)


def recipe_of(**objective: float) -> Recipe:
    return find_recipe("musicvae-2bar-melody", "tiny").model_copy(update={"objective": objective})


def test_the_loss_is_reconstruction_and_what_exceeds_the_free_bits():
    made = network()
    tokens = tokens_for(made)
    shown = {"tokens": tokens, "noise": torch.randn(3, 3)}
    mean, scale = made.encode(tokens)
    log_p = made.decoder(mean + scale * shown["noise"], tokens)[0].log_softmax(-1).gather(2, tokens)[..., 0].sum(1)
    kl = divergence(mean, scale).detach()
    bits = float(kl.median()) / math.log(2)
    torch.testing.assert_close(loss(made, shown, recipe_of(beta=1.0), None), -log_p + kl)
    expected = -log_p + 0.2 * (kl - kl.median()).clamp_min(0)
    torch.testing.assert_close(loss(made, shown, recipe_of(beta=0.2, free_bits=bits), None), expected)
    annealed = loss(made, shown, recipe_of(beta=0.2, beta_rate=0.9), 1)
    torch.testing.assert_close(annealed, -log_p + 0.02 * kl)


def test_held_out_windows_are_scored_with_the_beta_of_the_last_update():
    made = network()
    tokens = tokens_for(made)
    shown = {"tokens": tokens, "noise": torch.randn(3, 3)}
    recipe = recipe_of(beta=0.2, beta_rate=0.9).model_copy(update={"steps": 7})
    at_the_end = loss(made, shown, recipe, 7)
    torch.testing.assert_close(loss(made, shown, recipe, None), at_the_end)
    assert not torch.isclose(loss(made, shown, recipe, 6), at_the_end).any()


def test_scheduled_sampling_feeds_the_truth_the_model_or_both():
    made = network(**HIER)
    tokens, z = tokens_for(made, n=200), torch.randn(200, 3)
    truth = made.decoder(z, tokens)[0]
    torch.testing.assert_close(scheduled(made, z, tokens, 0.0)[0], truth)
    torch.manual_seed(0)
    half, own = scheduled(made, z, tokens, 0.5)[0], scheduled(made, z, tokens, 1.0)[0]
    torch.testing.assert_close(own[:, 0], truth[:, 0])
    fed_truth = [(torch.isclose(logits[:, 1], truth[:, 1]).all(dim=1)).double().mean() for logits in (half, own)]
    assert fed_truth[0] > fed_truth[1] + 0.2, "with a coin, the second step more often follows the true first token"
