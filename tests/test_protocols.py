"""The contract of generators: capabilities, streams per piece, fingerprints."""

import subprocess
import sys

import numpy as np
import pytest

from evalkit.protocols import CAPABILITIES, capabilities, fingerprint, piece_rng


class OnlySamples:
    def sample(self, n, *, steps, seed, temperature=1.0):
        return []


class SamplesAndScores(OnlySamples):
    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        return np.zeros(tokens.shape)


class HalfAnAutoEncoder:
    def encode(self, pieces):
        return np.zeros((1, 1)), np.ones((1, 1))


@pytest.mark.parametrize("seen", [lambda c: c, lambda c: c()], ids=["class", "instance"])
@pytest.mark.parametrize(
    ("kind", "can"),
    [
        (OnlySamples, ["Samples"]),
        (SamplesAndScores, ["Samples", "ScoresTokens"]),
        (HalfAnAutoEncoder, []),
        (object, []),
    ],
)
def test_capabilities_are_what_the_methods_say(kind, can, seen):
    assert capabilities(seen(kind)) == can


def test_every_capability_is_a_protocol_under_its_own_name():
    assert all(name == protocol.__name__ for name, protocol in CAPABILITIES.items())


def test_piece_streams_depend_on_seed_and_index_only():
    first = piece_rng(3, 5).random(4)
    piece_rng(3, 4).random(100)
    np.testing.assert_array_equal(first, piece_rng(3, 5).random(4))
    assert not np.array_equal(first, piece_rng(5, 3).random(4))


def test_fingerprint_is_the_same_in_another_process():
    code = (
        "import numpy as np; from evalkit.protocols import fingerprint\n"
        "print(fingerprint({'b': 1, 'a': 'x'}, np.arange(3)))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == fingerprint({"a": "x", "b": 1}, np.arange(3))


big = np.zeros(5000)
nearly = big.copy()
nearly[2500] = 1e-12  # repr() of an array this long leaves its middle out


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((1, 2), (12,)),
        (("ab", "c"), ("a", "bc")),
        (((1, 2), 3), (1, (2, 3))),
        ((1, (2,)), ((1, 2),)),
        ((1,), ("1",)),
        ((True,), (1,)),
        ((None,), ()),
        (([],), ()),
        (({"a": 1, "b": 2},), ({"a": 2, "b": 1},)),
        ((np.arange(4),), (np.arange(4).reshape(2, 2),)),
        ((np.arange(4),), (np.arange(4).astype(float),)),
        ((big,), (nearly,)),
        (({"weights": big},), ({"weights": nearly},)),
    ],
)
def test_what_differs_has_different_fingerprints(left, right):
    assert fingerprint(*left) != fingerprint(*right)


def test_the_same_numbers_have_the_same_fingerprint_however_they_are_laid_out():
    square = np.arange(6.0).reshape(2, 3)
    assert fingerprint(square) == fingerprint(np.asfortranarray(square))
    assert fingerprint(np.float64(0.1), [1]) == fingerprint(0.1, (1,))


@pytest.mark.parametrize("part", [{1, 2}, object(), np.array([object()]), lambda: 0, [object()]])
def test_what_would_hash_differently_tomorrow_is_refused(part):
    with pytest.raises(TypeError, match="no stable fingerprint"):
        fingerprint(part)
