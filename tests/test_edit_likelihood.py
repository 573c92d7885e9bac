"""Edit-sequence likelihood: brute force over sequences, closed forms, and samplers against the exact sum."""

import itertools
import math
import warnings

import numpy as np
import pytest

from evalkit.metrics import METRICS
from evalkit.metrics.edit_likelihood import (
    FewEffectiveOrderings,
    edit_log_likelihood,
    edit_log_likelihoods,
    sampling_error,
)
from generators.adapters.uniform import Uniform


class TableModel:
    """A distribution over the cells for each of the 2^(T * P) rolls, drawn at random: order matters at every step.

    Counts what it is asked, and the rolls it is asked about.
    """

    def __init__(self, steps, pitches, spread=1.0, seed=0, additions_only=False):
        n = steps * pitches
        logits = spread * np.random.default_rng(seed).standard_normal((1 << n, n))
        if additions_only:
            logits[(np.arange(1 << n)[:, None] >> np.arange(n) & 1) == 1] = -np.inf
            logits[-1] = 0.0  # the full roll has no addition left
        self.log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        self.shape = (steps, pitches)
        self.asked, self.batches = [], []

    def state(self, rolls):
        return rolls.reshape(len(rolls), -1) @ (1 << np.arange(rolls[0].size))

    def edit_log_probs(self, rolls, cells=None):
        states = self.state(rolls)
        self.asked += states.tolist()
        self.batches.append(len(rolls))
        if cells is None:
            return self.log_p[states].reshape(rolls.shape)
        return self.log_p[states[:, None], cells[..., 0] * self.shape[1] + cells[..., 1]]


def pair_of(shape, edits, seed=0):
    """A random roll and another that differs from it in so many cells."""
    rng = np.random.default_rng([seed, edits])
    source = rng.random(shape) < 0.4
    target = source.copy()
    target.reshape(-1)[rng.permutation(source.size)[:edits]] ^= True
    return source, target


def removed(shape, edits, seed=0):
    """The task of the table: some cells of a full enough target are missing."""
    rng = np.random.default_rng(seed)
    target = np.zeros(math.prod(shape), bool)
    target[rng.permutation(target.size)[: edits + 1]] = True
    source = target.copy()
    source[rng.permutation(np.flatnonzero(target))[:edits]] = False
    return source.reshape(shape), target.reshape(shape)


def probability(model, source, sequence):
    """Of one edit sequence, toggle by toggle."""
    roll, p = source.copy(), 1.0
    for cell in sequence:
        p *= math.exp(model.log_p[model.state(roll[None])[0], cell])
        roll.flat[cell] ^= True
    return p


def brute_force(model, source, target, pool=()):
    """Every sequence, one by one: the edits in any order, and for each q of the pool with q twice somewhere."""
    edits = np.flatnonzero(source ^ target).tolist()
    sequences = set(itertools.permutations(edits))
    for q in pool:
        sequences |= set(itertools.permutations([*edits, q, q]))
    for sequence in sequences:  # all of them lead to the target
        end = source.copy()
        for cell in sequence:
            end.flat[cell] ^= True
        assert np.array_equal(end, target)
    return math.log(math.fsum(probability(model, source, sequence) for sequence in sequences))


@pytest.mark.parametrize("seed", range(3))
def test_level_0_is_the_sum_over_all_orders(seed):
    model = TableModel(3, 2, spread=2.0, seed=seed)
    source, target = pair_of((3, 2), 4, seed)
    found = edit_log_likelihood(model, source, target)
    assert found.log_total == pytest.approx(brute_force(model, source, target), abs=1e-10)
    assert found.value == found.log_total / 4
    assert (found.standard_error, found.edits) == (0.0, 4)


@pytest.mark.parametrize("seed", range(3))
def test_level_1_is_the_sum_over_all_detours(seed):
    """Two cells lie outside D: both are in the pool. Counting a detour in any order would double what it adds."""
    model = TableModel(3, 2, spread=2.0, seed=seed)
    source, target = pair_of((3, 2), 4, seed)
    outside = np.flatnonzero(source == target).tolist()
    expected = brute_force(model, source, target, outside)
    assert expected - brute_force(model, source, target) > 0.01  # the detours count for something here
    found = edit_log_likelihood(model, source, target, level=1)
    assert found.log_total == pytest.approx(expected, abs=1e-10)


def test_the_pool_holds_the_most_probable_cells_on_the_greedy_path():
    model = TableModel(3, 3, spread=2.0)
    source, target = pair_of((3, 3), 4)
    roll, edits = source.copy(), set(np.flatnonzero(source ^ target).tolist())
    highest = np.full(9, -np.inf)
    while edits:
        log_p = model.log_p[model.state(roll[None])[0]]
        highest = np.maximum(highest, log_p)
        best = max(edits, key=lambda cell: log_p[cell])
        edits.remove(best)
        roll.flat[best] ^= True
    outside = sorted(np.flatnonzero(source == target), key=lambda cell: -highest[cell])
    for size in (1, 3, 5):
        found = edit_log_likelihood(model, source, target, level=1, pool=size).log_total
        assert found == pytest.approx(brute_force(model, source, target, outside[:size]), abs=1e-10)


@pytest.mark.parametrize("method", ["exact", "sampled", "chain"])
@pytest.mark.parametrize(("edits", "shape"), [(1, (16, 46)), (10, (16, 46)), (13, (4, 4))])
def test_chance_in_closed_form(method, edits, shape):
    source, target = removed(shape, edits)
    n = math.prod(shape)
    closed = math.lgamma(edits + 1) - edits * math.log(n)
    found = edit_log_likelihood(Uniform("pianoroll"), source, target, method=method)
    assert found.log_total == pytest.approx(closed, abs=1e-9)
    assert found.standard_error == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("method", ["exact", "sampled"])
@pytest.mark.parametrize(("edits", "shape", "pool"), [(1, (16, 46), 16), (10, (16, 46), 5), (13, (4, 4), 3)])
def test_chance_with_detours_in_closed_form(method, edits, shape, pool):
    source, target = removed(shape, edits)
    n = math.prod(shape)
    detours = pool * math.factorial(edits + 2) / 2 * n ** -(edits + 2.0)
    closed = math.log(math.factorial(edits) * float(n) ** -edits + detours)
    found = edit_log_likelihood(Uniform("pianoroll"), source, target, method=method, level=1, pool=pool)
    assert found.log_total == pytest.approx(closed, abs=1e-9)


@pytest.mark.filterwarnings("ignore::evalkit.metrics.edit_likelihood.FewEffectiveOrderings")
def test_the_sampling_error_is_that_of_the_sampler_and_asks_no_roll_twice():
    """Repetition r of so many orderings is what the sampler itself says with the seed that is r higher."""
    model, other = (TableModel(4, 3, spread=2.0, seed=1) for _ in range(2))
    pairs = [pair_of((4, 3), edits, seed) for edits, seed in ((5, 0), (2, 1), (5, 2))]
    sources, targets = map(list, zip(*pairs, strict=True))
    exact, estimates = sampling_error(model, sources, targets, orderings=(2, 7, 64), repetitions=3, seed=11)
    assert len(model.asked) == 31 + 3 + 31
    assert exact == edit_log_likelihoods(other, sources, targets)
    assert estimates.shape == (3, 3, 3)
    for j, orderings in enumerate((2, 7, 64)):
        for r in range(3):
            found = edit_log_likelihoods(other, sources, targets, method="sampled", orderings=orderings, seed=11 + r)
            assert estimates[:, j, r] == pytest.approx([one.value for one in found], abs=1e-12)


def test_the_sampling_error_shrinks_and_lies_on_the_low_side():
    model = TableModel(4, 3, spread=2.0)
    (exact,), estimates = sampling_error(model, *([roll] for roll in pair_of((4, 3), 6)), repetitions=100)
    off = estimates[0].mean(axis=1) - exact.value
    spread = estimates[0].std(axis=1)
    assert (off[:3] < 0).all()
    assert abs(off[-1]) < abs(off[0]) / 3
    assert spread[-1] < spread[0] / 4  # 128 times as many orderings: some 11 times less


def test_the_sampling_error_of_impossible_and_of_too_many_edits():
    model = TableModel(3, 2, additions_only=True)
    source, target = removed((3, 2), 3)
    (exact,), estimates = sampling_error(model, [target], [source], orderings=(2, 4), repetitions=5)
    assert exact.value == -math.inf
    assert (estimates == -math.inf).all()
    with pytest.raises(ValueError, match="pair 0 has 15 edits"):
        sampling_error(Uniform("pianoroll"), *([roll] for roll in removed((4, 4), 15)))
    with pytest.raises(ValueError, match="orderings must be at least 2"):
        sampling_error(model, [source], [target], orderings=(1, 2))


def test_chance_for_many_edits():
    """Too many for exact sums, and 200! overflows: only logarithms get there."""
    source, target = removed((32, 46), 200)
    for method in ("sampled", "chain"):
        found = edit_log_likelihood(Uniform("pianoroll"), source, target, method=method, orderings=16)
        assert found.log_total == pytest.approx(math.lgamma(201) - 200 * math.log(32 * 46), rel=1e-12)


def test_a_generator_that_knows_what_is_missing_reaches_the_ceiling():
    """All probability on the cells still to be done, equally: then every order has 1 / K!, and the sum is 1."""
    source, target = removed((8, 12), 10)

    class Oracle:
        def edit_log_probs(self, rolls, cells=None):
            left = rolls ^ target
            with np.errstate(divide="ignore"):
                log_p = np.log(left / np.maximum(1, left.sum(axis=(1, 2), keepdims=True)))
            return log_p if cells is None else log_p[np.arange(len(rolls))[:, None], cells[..., 0], cells[..., 1]]

    for method in ("exact", "sampled", "chain"):
        for level in (0, 1):
            found = edit_log_likelihood(Oracle(), source, target, method=method, level=level)
            assert found.value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("method", ["sampled", "chain"])
def test_samplers_agree_with_the_exact_sum(method, level):
    model = TableModel(4, 4, spread=0.6, seed=3)
    pairs = [pair_of((4, 4), 10, seed) for seed in range(5)]
    sources, targets = zip(*pairs, strict=True)
    exact = edit_log_likelihoods(model, sources, targets, level=level, pool=4)
    sampled = edit_log_likelihoods(model, sources, targets, method=method, level=level, pool=4, orderings=1000)
    scores = [(s.value - e.value) / s.standard_error for s, e in zip(sampled, exact, strict=True)]
    assert np.abs(scores).max() < 3
    assert np.abs(scores).max() > 0.05  # and they are not the exact sum in disguise
    assert max(s.standard_error for s in sampled) < 0.02


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("method", ["sampled", "chain"])
def test_samplers_are_unbiased_for_the_sum(method, level):
    """Not for its log: the mean over seeds of the sums themselves, from few orderings each, is the exact sum."""
    model = TableModel(3, 2, spread=0.8, seed=5)
    source, target = pair_of((3, 2), 4)
    exact = math.exp(edit_log_likelihood(model, source, target, level=level).log_total)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewEffectiveOrderings)
        sums = [
            math.exp(
                edit_log_likelihood(model, source, target, method=method, level=level, orderings=4, seed=s).log_total
            )
            for s in range(600)
        ]
    error = np.std(sums, ddof=1) / math.sqrt(len(sums))
    assert error < 0.03 * exact
    assert abs(np.mean(sums) - exact) < 3 * error


@pytest.mark.parametrize(("method", "level", "orderings"), [("sampled", 0, 300), ("chain", 1, 100)])
def test_the_standard_error_covers(method, level, orderings):
    """The exact value lies within 1.96 standard errors in about 95 of 100 repetitions, for both kinds of error."""
    model = TableModel(4, 2, spread=0.35, seed=1)
    source, target = pair_of((4, 2), 6)
    settings = {"method": method, "level": level, "orderings": orderings}
    exact = edit_log_likelihood(model, source, target, level=level).value
    found = [edit_log_likelihood(model, source, target, seed=seed, **settings) for seed in range(500)]
    off = np.array([abs(one.value - exact) for one in found])
    for errors in ([one.standard_error for one in found], [one.bootstrap_error for one in found]):
        assert 0.925 < np.mean(off < 1.96 * np.array(errors)) < 0.975
        assert np.std([one.value for one in found]) == pytest.approx(np.mean(errors), rel=0.1)


def test_error_and_effective_orderings_by_hand():
    """With two edits there are two weights, and the mean tells how often each was drawn."""
    model = TableModel(2, 2, spread=2.0)
    source, target = pair_of((2, 2), 2)
    a, b = (
        2 * probability(model, source, order) for order in itertools.permutations(np.flatnonzero(source ^ target), 2)
    )
    n = 50
    found = edit_log_likelihood(model, source, target, method="sampled", orderings=n)
    times = n * (math.exp(found.log_total) - b) / (a - b)
    assert times == pytest.approx(round(times))
    weights = np.repeat([a, b], [round(times), n - round(times)])
    error = weights.std(ddof=1) / math.sqrt(n) / weights.mean() / 2  # of the log by the delta method, per edit
    assert found.standard_error == pytest.approx(error)
    assert found.bootstrap_error == pytest.approx(error, rel=0.1)
    assert found.effective_orderings == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


def test_few_effective_orderings_are_said_aloud():
    model = TableModel(4, 3, spread=4.0)
    source, target = pair_of((4, 3), 10)
    with pytest.warns(FewEffectiveOrderings, match=r"1 of 1 sums .* of 64\)"):
        found = edit_log_likelihood(model, source, target, method="sampled")
    assert 1 <= found.effective_orderings < 10


def test_the_chain_varies_less_where_the_generator_has_opinions():
    model = TableModel(4, 3, spread=2.0, seed=2)
    source, target = pair_of((4, 3), 9)
    exact = edit_log_likelihood(model, source, target).value
    errors = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewEffectiveOrderings)
        for method in ("sampled", "chain"):
            found = [edit_log_likelihood(model, source, target, method=method, seed=s).value for s in range(40)]
            errors[method] = math.sqrt(np.mean((np.array(found) - exact) ** 2))
    assert errors["chain"] < errors["sampled"] / 2


@pytest.mark.parametrize("method", ["exact", "sampled", "chain"])
@pytest.mark.parametrize("level", [0, 1])
def test_additions_only(method, level):
    """As orderless NADE: what sounds is not played again. Nothing can be taken back, so detours add nothing."""
    model = TableModel(4, 3, spread=0.5, additions_only=True)
    source, target = removed((4, 3), 9)
    found = edit_log_likelihood(model, source, target, method=method, level=level, orderings=200)
    exact = edit_log_likelihood(model, source, target)
    assert math.isfinite(found.value)
    assert found.value == pytest.approx(exact.value, abs=3.5 * found.standard_error + 1e-12)


def test_additions_only_by_brute_force():
    model = TableModel(3, 2, additions_only=True)
    source, target = removed((3, 2), 4)
    assert edit_log_likelihood(model, source, target).log_total == pytest.approx(brute_force(model, source, target))


def test_what_cannot_be_reached_has_no_probability_and_no_nan():
    model = TableModel(3, 2, additions_only=True)
    target, source = removed((3, 2), 3)  # takes away
    found = edit_log_likelihood(model, source, target, level=1)
    assert (found.value, found.log_total) == (-math.inf, -math.inf)
    for method in ("sampled", "chain"):
        with pytest.warns(FewEffectiveOrderings, match=r"0\.0 of 64"):
            found = edit_log_likelihood(model, source, target, method=method)
        assert (found.value, found.standard_error, found.effective_orderings) == (-math.inf, math.inf, 0)


@pytest.mark.parametrize(("level", "rolls"), [(0, 2**10 - 1), (1, (1 + 3) * 2**10)])
def test_exact_asks_about_each_roll_once(level, rolls):
    model = TableModel(4, 4)
    source, target = pair_of((4, 4), 10)
    found = edit_log_likelihood(model, source, target, level=level, pool=3)
    assert found.forward_rolls == rolls == len(model.asked) == len(set(model.asked))
    assert max(model.batches) <= 64
    assert len(model.batches) == math.ceil(rolls / 64) + (10 if level else 0)  # full batches, but for the greedy path


@pytest.mark.parametrize("method", ["sampled", "chain"])
@pytest.mark.parametrize("level", [0, 1])
def test_samplers_count_their_rolls_and_repeat_few(method, level):
    model = TableModel(4, 4, spread=0.3)
    pairs = [pair_of((4, 4), edits) for edits in (10, 7)]
    sources, targets = zip(*pairs, strict=True)
    found = edit_log_likelihoods(model, sources, targets, method=method, level=level, pool=2)
    assert sum(one.forward_rolls for one in found) == len(model.asked)
    if level == 0:
        assert found[1].forward_rolls <= 2**7 - 1  # 64 paths of 7 rolls: at most the distinct ones
        assert found[0].forward_rolls < 64 * 10


@pytest.mark.parametrize("method", ["exact", "sampled", "chain"])
@pytest.mark.parametrize("level", [0, 1])
def test_neither_batch_nor_company_changes_a_value(method, level):
    model = TableModel(4, 3, spread=0.5)
    pairs = [pair_of((4, 3), edits, seed) for seed, edits in enumerate((5, 1, 7, 5, 12, 3))]
    sources, targets = zip(*pairs, strict=True)
    settings = {"method": method, "level": level, "pool": 3, "seed": 4}
    together = edit_log_likelihoods(model, sources, targets, **settings)
    assert [one.edits for one in together] == [5, 1, 7, 5, 12, 3]
    assert together == [edit_log_likelihood(model, s, t, **settings) for s, t in pairs]
    assert together == edit_log_likelihoods(model, np.stack(sources), np.stack(targets), batch=7, **settings)
    assert together == edit_log_likelihoods(model, sources[::-1], targets[::-1], batch=1, **settings)[::-1]
    assert model.batches[-1] == 1


def test_more_pairs_than_are_held_at_once():
    model = TableModel(4, 3)
    pairs = [pair_of((4, 3), 10, seed) for seed in range(70)]
    found = edit_log_likelihoods(model, *zip(*pairs, strict=True))
    for i in (0, 63, 64, 69):
        assert found[i] == edit_log_likelihood(model, *pairs[i])
    assert len({one.value for one in found}) == 70


@pytest.mark.parametrize("method", ["sampled", "chain"])
def test_the_seed_is_all_there_is_to_chance(method):
    model = TableModel(4, 3, spread=0.5)
    source, target = pair_of((4, 3), 8)
    one, same, other = (edit_log_likelihood(model, source, target, method=method, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.value != other.value


@pytest.mark.parametrize("method", ["sampled", "chain"])
def test_pairs_draw_independently(method):
    """Two pairs that differ only where the model does not look: one exact value, but two samples."""
    model = TableModel(4, 3, spread=0.5)

    class FirstFourSteps:
        def edit_log_probs(self, rolls, cells):
            return model.edit_log_probs(rolls[:, :4], cells)

    source, target = (np.vstack([roll, np.zeros((1, 3), bool)]) for roll in pair_of((4, 3), 8))
    context = np.zeros_like(source)
    context[4, 0] = True
    pairs = [source, source | context], [target, target | context]
    one, other = edit_log_likelihoods(FirstFourSteps(), *pairs)
    assert one == other
    one, other = edit_log_likelihoods(FirstFourSteps(), *pairs, method=method)
    assert one.value != other.value


def test_the_rolls_are_left_alone():
    model = TableModel(4, 3, spread=0.5)
    source, target = pair_of((4, 3), 8)
    before = source.copy(), target.copy()
    for method in ("exact", "sampled", "chain"):
        edit_log_likelihood(model, source, target, method=method, level=1)
    assert np.array_equal(source, before[0])
    assert np.array_equal(target, before[1])


def test_no_pairs():
    assert edit_log_likelihoods(TableModel(2, 2), [], []) == []


def test_single_precision_is_summed_in_double():
    model = TableModel(4, 3)

    class Single:
        def edit_log_probs(self, rolls, cells=None):
            return model.edit_log_probs(rolls, cells).astype(np.float32)

    source, target = pair_of((4, 3), 10)
    exact = edit_log_likelihood(model, source, target).log_total
    assert edit_log_likelihood(Single(), source, target).log_total == pytest.approx(exact, abs=3e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "excat"}, "exact, sampled, chain, got 'excat'"),
        ({"level": 2}, r"0 or 1, got 2: .* more than once"),
        ({"level": 1, "pool": 0}, "pool must be at least 1"),
        ({"method": "sampled", "orderings": 1}, "orderings must be at least 2"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        edit_log_likelihood(TableModel(2, 2), *pair_of((2, 2), 2), **settings)


def test_wrong_rolls():
    model, (source, target) = TableModel(3, 2), pair_of((3, 2), 3)
    with pytest.raises(ValueError, match="pair 0: source and target are the same"):
        edit_log_likelihood(model, source, source)
    with pytest.raises(ValueError, match=r"target has shape \(2, 3\)"):
        edit_log_likelihood(model, source, target.T)
    with pytest.raises(ValueError, match=r"pair 1: the source has shape \(2, 3\)"):
        edit_log_likelihoods(model, [source, source.T], [target, target.T])
    with pytest.raises(ValueError, match="2 sources and 1 targets"):
        edit_log_likelihoods(model, [source, source], [target])
    with pytest.raises(TypeError, match="target must be bool, got int64"):
        edit_log_likelihood(model, source, target.astype(np.int64))
    with pytest.raises(ValueError, match=r"pair 0 has 15 edits; exact sums go up to 14: use method=\"chain\""):
        edit_log_likelihood(model, *removed((4, 5), 15))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda shape: np.full(shape, np.nan), "gave NaN for pair 1"),
        (lambda shape: np.full(shape, 0.5), r"gave 0\.5 for pair 1: not a log-probability"),
        (lambda shape: np.zeros((*shape, 1)), r"must answer in shape \(7, 3\), got \(7, 3, 1\)"),
    ],
)
def test_wrong_answers(answer, message):
    right, wrong = pair_of((3, 2), 4), pair_of((3, 2), 3)

    class Broken:
        def edit_log_probs(self, rolls, cells=None):
            return np.full(cells.shape[:2], -3.0) if cells.shape[1] == 4 else answer(cells.shape[:2])

    with pytest.raises(ValueError, match=message):
        edit_log_likelihoods(Broken(), *zip(right, wrong, strict=True))


def test_it_is_in_the_table_of_metrics():
    metric = METRICS["edit_log_likelihood"]
    assert metric.function is edit_log_likelihood
    assert (metric.unit, metric.direction) == ("nats per edit", "higher")
