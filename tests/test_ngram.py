"""evalkit.metrics.ngram against lmplz's own files, hand-worked corpora, and the laws of probability."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import tarfile
from collections import defaultdict
from pathlib import Path

import kenlm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.metrics.ngram import MAX_ORDER, train

Arpa = dict[str, tuple[float, float]]  # n-gram -> log10 probability, log10 back-off


def read_arpa(path: Path) -> Arpa:
    grams = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        prob, *rest = line.split("\t")
        if rest:
            grams[rest[0]] = (float(prob), float(rest[1]) if len(rest) > 1 else 0.0)
    return grams


def assert_same(ours: Arpa, theirs: Arpa) -> None:
    assert ours.keys() == theirs.keys()
    difference = np.array([ours[gram] for gram in theirs]) - np.array(list(theirs.values()))
    assert np.abs(difference).max() < 1e-5


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.split("/")]


@pytest.fixture(scope="module")
def vectors() -> Path:
    mirror = os.environ.get("EVALKIT_DATA_MIRROR")
    folder = Path(mirror).parent / "vectors" if mirror else None
    if folder is None or not (folder / "soprano.arpa").is_file():
        pytest.skip("needs vectors/soprano.arpa beside the folder that EVALKIT_DATA_MIRROR names")
    return folder


@pytest.fixture(scope="module")
def sopranos(vectors: Path) -> list[list[str]]:
    return [line.split() for line in (vectors / "soprano.txt").read_text().splitlines()]


# A corpus small enough to work by hand. Bigrams with counts: <s> a 3, a b 2, a c 1, b </s> 2, c </s> 1.
# Order 1, adjusted counts: a 1, b 1, c 1, </s> 2, none with 3: discounts 1/2, 1, 3/2. Total 5, taken 3/2 + 1, so
#   p(w) = (count - discount) / 5 + 1/2 * 1/5:  <unk> 1/10, a b c 1/5, </s> 3/10.
# Order 2: two bigrams occur once, two twice, one three times: Y = 1/3, discounts 1/3, 3/2, 3.
#   <s>: back-off 3/3 = 1;  a: (3/2 + 1/3)/3 = 11/18;  b: (3/2)/2 = 3/4;  c: 1/3.
HAND_WORKED = "a b / a c / a b"
HAND_PROBS = {
    "<unk>": 1 / 10,
    "<s>": 1,
    "</s>": 3 / 10,
    "a": 1 / 5,
    "b": 1 / 5,
    "c": 1 / 5,
    "<s> a": 1 / 5,
    "a b": 1 / 6 + 11 / 90,
    "a c": 2 / 9 + 11 / 90,
    "b </s>": 1 / 4 + 9 / 40,
    "c </s>": 2 / 3 + 1 / 10,
}
HAND_BACKOFFS = {"<s>": 1, "a": 11 / 18, "b": 3 / 4, "c": 1 / 3}


def test_hand_worked_corpus(tmp_path: Path) -> None:
    model = train(lines(HAND_WORKED), order=2, discount_fallback=True)
    model.write_arpa(tmp_path / "model.arpa")
    expected = {g: (math.log10(p), math.log10(HAND_BACKOFFS.get(g, 1))) for g, p in HAND_PROBS.items()}
    assert_same(read_arpa(tmp_path / "model.arpa"), expected)
    assert model.discounts == ((0.5, 1.0, 1.5), pytest.approx((1 / 3, 3 / 2, 3)))


def test_hand_worked_costs() -> None:
    model = train(lines(HAND_WORKED), order=2, discount_fallback=True)
    p_ab = HAND_PROBS["<s> a"] * HAND_PROBS["a b"]
    assert model.cost(["a", "b"]) == pytest.approx(-math.log10(p_ab))
    assert model.cost(["a", "b"], eos=True) == pytest.approx(-math.log10(p_ab * HAND_PROBS["b </s>"]))
    assert model.cost(["c", "a"]) == pytest.approx(-math.log10(1 / 5 * (1 / 3 * 1 / 5)))  # backs off twice
    assert model.cost(["unheard"]) == pytest.approx(1.0)  # <unk> after <s>: 1 * 1/10
    assert str(model.cost([])) == "0.0"


def test_next_log_probs_are_natural_logarithms_of_the_hand_worked_values() -> None:
    model = train(lines(HAND_WORKED), order=2, discount_fallback=True)
    given_a = model.next_log_probs(["a"], ["b", "c", "unheard"])
    np.testing.assert_allclose(np.exp(given_a), [HAND_PROBS["a b"], HAND_PROBS["a c"], 11 / 180], rtol=1e-5)
    at_start = model.next_log_probs([], ["a", "</s>"])
    np.testing.assert_allclose(np.exp(at_start), [1 / 5, 3 / 10], rtol=1e-5)


def test_the_file_that_lmplz_makes_of_the_sopranos(vectors: Path, sopranos: list[list[str]], tmp_path: Path) -> None:
    train(sopranos).write_arpa(tmp_path / "ours.arpa")
    assert_same(read_arpa(tmp_path / "ours.arpa"), read_arpa(vectors / "soprano.arpa"))


def backoff_log10(arpa: Arpa, context: tuple[str, ...], word: str) -> float:
    """The textbook recursion."""
    if " ".join((*context, word)) in arpa:
        return arpa[" ".join((*context, word))][0]
    return arpa.get(" ".join(context), (0.0, 0.0))[1] + backoff_log10(arpa, context[1:], word)


def test_costs_follow_from_the_file_of_lmplz(vectors: Path, sopranos: list[list[str]]) -> None:
    arpa = read_arpa(vectors / "soprano.arpa")
    shuffled = np.random.default_rng(0).permutation(sopranos[3]).tolist()  # so that it backs off a lot
    sequences = [sopranos[0], sopranos[7][:16], shuffled, ["h"], ["n69", "n61", "h", "h", "n69", "r"]]
    model = train(sopranos)
    for sequence, cost in zip(sequences, model.costs(sequences, eos=True), strict=True):
        words = ["<s>", *sequence, "</s>"]
        expected = -sum(backoff_log10(arpa, tuple(words[max(0, i - 4) : i]), words[i]) for i in range(1, len(words)))
        assert cost == pytest.approx(expected, abs=1e-3)
        assert model.cost(sequence, eos=True) == cost
        assert model.cost(sequence) == pytest.approx(cost + backoff_log10(arpa, tuple(words[-5:-1]), "</s>"), abs=1e-3)


sequences_of_few_words = st.lists(st.lists(st.sampled_from("abcdef"), max_size=12), min_size=1, max_size=8).filter(any)


@settings(max_examples=60, deadline=None)
@given(sequences_of_few_words, st.integers(2, MAX_ORDER), st.lists(st.sampled_from("abcdefz"), max_size=7))
def test_probabilities_of_all_words_sum_to_one(sequences: list[list[str]], order: int, context: list[str]) -> None:
    model = train(sequences, order, discount_fallback=True)
    assert np.exp(model.next_log_probs(context, model.vocabulary)).sum() == pytest.approx(1, abs=2e-6)


@settings(max_examples=30, deadline=None)
@given(sequences_of_few_words, st.integers(2, MAX_ORDER), st.lists(st.sampled_from("abcdefz"), min_size=1, max_size=9))
def test_cost_is_the_sum_over_the_next_words(sequences: list[list[str]], order: int, sequence: list[str]) -> None:
    model = train(sequences, order, discount_fallback=True)
    steps = [model.next_log_probs(sequence[:i], [word])[0] for i, word in enumerate([*sequence, "</s>"])]
    assert model.cost(sequence, eos=True) == pytest.approx(-sum(steps) / math.log(10), rel=1e-5)
    assert model.cost(sequence) == pytest.approx(-sum(steps[:-1]) / math.log(10), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(sequences_of_few_words, st.integers(2, 4))
def test_n_grams_are_those_of_the_corpus(sequences: list[list[str]], order: int) -> None:
    """Each n-gram of ``<s> ... </s>`` once, with what precedes it counted as Kneser-Ney counts."""
    occurs: defaultdict[tuple[str, ...], int] = defaultdict(int)
    for sequence in sequences:
        words = ["<s>", *sequence, "</s>"]
        for n in range(1, order + 1):
            for i in range(len(words) - n + 1):
                occurs[tuple(words[i : i + n])] += 1
    model = train(sequences, order, discount_fallback=True)
    sizes = [len(level.word) for level in model.levels]
    assert sizes == [sum(len(gram) == n for gram in occurs) + (n == 1) for n in range(1, order + 1)]  # and <unk>


def test_vocabulary_has_all_that_can_come_next() -> None:
    assert train(lines("b a / c a"), 2, discount_fallback=True).vocabulary == ("<unk>", "</s>", "b", "a", "c")


@pytest.mark.parametrize(
    ("text", "order", "message"),
    [
        # adjusted counts of words: b 3 (after <s>, c, a), d 1, c 1, a 2, </s> 3: Y = 1/2, D2 = 2 - 3/2 * 2/1 = -1
        ("b d / c b / a b a", 2, "order 1 for adjusted count 2 is out of range: -1;"),
        ("a b c d", 3, "order 1: no 1-gram has the adjusted count 2"),  # each word follows one other
        (HAND_WORKED, 2, "order 1: no 1-gram has the adjusted count 3"),
    ],
)
def test_refuses_what_lmplz_refuses_and_says_what_to_do(text: str, order: int, message: str) -> None:
    with pytest.raises(ValueError, match=r"discount_fallback=True") as refusal:
        train(lines(text), order)
    assert message in str(refusal.value)
    assert train(lines(text), order, discount_fallback=True).discounts[0] == (0.5, 1.0, 1.5)


def test_a_melody_that_never_changes_cannot_be_estimated_without_fallback() -> None:
    held = [["n60"] + ["h"] * 15] * 40
    with pytest.raises(ValueError, match="order 1"):
        train(held)
    assert train(held, discount_fallback=True).cost(held[0]) < 1  # it is nearly certain


def test_a_discount_of_zero_leaves_a_loadable_file() -> None:
    # A line of two words of its own has three bigrams. Two lines once, two twice, four three times: n1 = 6, n2 = 6,
    # n3 = 12, so Y = 6 / 18 and D2 = 2 - 3 * 1/3 * 12 / 6 = 0: what follows a word heard twice is certain.
    model = train(lines("a A/b B" + 2 * "/c C/d D" + 3 * "/e E/f F/g G/h H"), 2, discount_fallback=True)
    assert model.discounts[1] == pytest.approx((1 / 3, 0, 3))
    assert model.next_log_probs(["c"], ["C"])[0] == 0
    assert model.next_log_probs(["c"], ["D"])[0] < -99 * math.log(10)
    assert np.isfinite(model.cost(["c", "D"]))


@pytest.mark.parametrize("special", ["<s>", "</s>", "<unk>", "<UNK>", "", "a b", "a\tb", "a\0"])
def test_words_that_cannot_be_words(special: str) -> None:
    with pytest.raises(ValueError, match=r"reserved|cannot be a word"):
        train([["a", special, "b"]], discount_fallback=True)


@pytest.mark.parametrize("nothing", [[], [[]], [[], []]])
def test_nothing_to_train_on(nothing: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="without words"):
        train(nothing, discount_fallback=True)


@pytest.mark.parametrize("order", [0, 1, 7])
def test_order_that_kenlm_cannot_query(order: int) -> None:
    with pytest.raises(ValueError, match="order must be between 2 and 6"):
        train([["a"]], order, discount_fallback=True)


def test_the_order_limit_is_kenlms(tmp_path: Path) -> None:
    path = tmp_path / "seven.arpa"
    train([list("abcabc")], MAX_ORDER, discount_fallback=True).write_arpa(path)
    assert kenlm.Model(str(path)).order == MAX_ORDER
    text = path.read_text().replace("ngram 6=3\n", "ngram 6=3\nngram 7=1\n")
    path.write_text(text.replace("\\end\\", "\\7-grams:\n-0.1\ta b c a b c </s>\n\n\\end\\"))
    with pytest.raises(OSError, match="model has order 7"):
        kenlm.Model(str(path))


ODD_WORDS = [
    "",
    " ",
    "a b",
    "b\nc",
    "\t",
    "a\0b",
    "<s>",
    "a<s>",
    "</s>",
    "<unk>",
    "<UNK>",
    "\ud800",
    "é",
    "a\u2003b",
    "z",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from([*"abc", *ODD_WORDS]), max_size=5), max_size=5))
def test_whatever_kenlm_would_read_differently_is_one_unknown_word(sequences: list[list[str]]) -> None:
    """White space, nothing at all, or kenlm's own marks: in one batch as for each sequence alone."""
    model = train(lines(HAND_WORKED), 2, discount_fallback=True)
    known = [[word if word in ("a", "b", "c", "</s>") else "<unk>" for word in sequence] for sequence in sequences]
    assert model.costs(sequences).tolist() == [model.cost(sequence) for sequence in known]


def test_a_text_is_not_a_sequence_of_words() -> None:
    with pytest.raises(TypeError, match="split it into words"):
        train(["a b c"], discount_fallback=True)
    model = train(lines(HAND_WORKED), 2, discount_fallback=True)
    with pytest.raises(TypeError, match="split it into words"):
        model.cost("a b c")
    with pytest.raises(TypeError, match="words must be str, got 60"):
        train([[60, 62]], discount_fallback=True)  # type: ignore[list-item]


def test_pickles_before_and_after_a_query() -> None:
    model = train(lines(HAND_WORKED), 2, discount_fallback=True)
    before = pickle.loads(pickle.dumps(model))
    cost = model.cost(["a", "b"])
    after = pickle.loads(pickle.dumps(model))
    assert before.cost(["a", "b"]) == after.cost(["a", "b"]) == cost


def test_queries_leave_standard_error_alone(capfd: pytest.CaptureFixture[str]) -> None:
    train(lines(HAND_WORKED), 2, discount_fallback=True).cost(["a", "b"])
    assert capfd.readouterr() == ("", "")


# ---- the real lmplz, built from kenlm's own sources: EVALKIT_TEST_LMPLZ=1 ----------------------------------------


@pytest.fixture(scope="module")
def lmplz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.environ.get("EVALKIT_TEST_LMPLZ") != "1":
        pytest.skip("builds lmplz (a minute, cmake and Boost): set EVALKIT_TEST_LMPLZ=1")
    folder = tmp_path_factory.mktemp("kenlm")
    download = ["pip", "download", "--quiet", "--no-deps", "--no-binary", "kenlm", "--dest", str(folder), "kenlm"]
    subprocess.run([sys.executable, "-m", *download], check=True)
    (sdist,) = folder.glob("kenlm-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source, build = folder / sdist.name.removesuffix(".tar.gz"), folder / "build"
    configure = ["cmake", "-S", str(source), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    compile_it = ["cmake", "--build", str(build), "--target", "lmplz", "--parallel", "2"]
    subprocess.run(compile_it, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return build / "bin" / "lmplz"


def run_lmplz(lmplz: Path, sequences: list[list[str]], order: int, fallback: bool, folder: Path) -> Arpa | None:
    """What lmplz makes of the sequences; None where it refuses the discounts."""
    command = [str(lmplz), "-o", str(order), "-S", "64M", "-T", f"{folder}/", "--arpa", str(folder / "theirs.arpa")]
    command += ["--discount_fallback"] if fallback else []
    text = "".join(" ".join(sequence) + "\n" for sequence in sequences)
    result = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if result.returncode != 0:
        assert "discount" in result.stderr
        return None
    return read_arpa(folder / "theirs.arpa")


def markov_melodies(pieces: int, length: int, seed: int) -> list[list[str]]:
    """Melodies that step up or down a scale and hold notes: many repeated n-grams of every order."""
    rng = np.random.default_rng(seed)
    sequences = []
    for _ in range(pieces):
        pitches = 60 + np.abs(np.cumsum(rng.choice([-2, -1, 0, 0, 1, 2, 7], size=length)) % 24 - 12)
        held = rng.random(length) < 0.6
        sequences.append(["h" if hold else f"n{pitch}" for pitch, hold in zip(pitches, held, strict=True)])
    return sequences


@pytest.mark.lmplz
@pytest.mark.parametrize("order", [2, 5, 6])
def test_a_second_corpus_agrees_with_lmplz(lmplz: Path, order: int, tmp_path: Path) -> None:
    melodies = markov_melodies(pieces=150, length=64, seed=order)
    theirs = run_lmplz(lmplz, melodies, order, fallback=True, folder=tmp_path)
    train(melodies, order, discount_fallback=True).write_arpa(tmp_path / "ours.arpa")
    assert theirs is not None
    assert_same(read_arpa(tmp_path / "ours.arpa"), theirs)


@pytest.mark.lmplz
@pytest.mark.parametrize("fallback", [False, True])
def test_many_small_corpora_agree_with_lmplz_or_are_refused_alike(lmplz: Path, fallback: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    accepted = refused = 0
    for _ in range(40):
        weights = 1 / np.arange(1, rng.choice([3, 6, 21, 61])) ** rng.choice([0, 0.8, 1.5])
        lengths = rng.choice([0, 1, 3, 10, 40], size=rng.choice([2, 20, 120]))
        corpus = [[f"w{i}" for i in rng.choice(len(weights), n, p=weights / weights.sum())] for n in lengths]
        order = int(rng.integers(2, 7))
        if not any(corpus):
            continue
        theirs = run_lmplz(lmplz, corpus, order, fallback, tmp_path)
        if theirs is None:
            refused += 1
            with pytest.raises(ValueError, match="discount"):
                train(corpus, order, fallback)
        else:
            accepted += 1
            train(corpus, order, fallback).write_arpa(tmp_path / "ours.arpa")
            assert_same(read_arpa(tmp_path / "ours.arpa"), theirs)
    assert (accepted > 30 and refused == 0) if fallback else (accepted > 3 and refused > 3)  # both happened
