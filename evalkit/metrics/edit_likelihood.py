"""Notewise edit-sequence likelihood: how readily a generator edits one roll into another.

Conventions
-----------
Rolls are bool ``(T, P)``; an edit toggles one cell. ``D`` are the K cells in which source and target differ. The
probability of an edit sequence is the product of the generator's probabilities of its edits, each given the roll so
far. What is summed:

    level 0   all K! orders of the edits in D
    level 1   also, for every cell q of a pool Q outside D, the (K + 2)! / 2 sequences that toggle q on the way and back

This bounds the likelihood of the target from below: nothing is said of longer detours, or of detours over a cell of D.
Level 2 and up are refused. The published factor (K + 2d)! / 2^d is wrong where a cell is toggled there and back twice,
and with it the number would be no bound any more.

The pool is the same for every method and seed, so that all of them estimate one sum: follow the path that always takes
the most probable edit left in D, and take the cells outside D to which a roll on it gives the highest probability
(equals: the earlier step, then the lower pitch). A number belongs to its level and size of pool.

Source: ES-Net (Chi, Kumar, Yaddanapudi, Suresh & Isik, ISMIR 2020), section 6.2 and Table 1.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.metric import Metric
from evalkit.protocols import ProposesEdits, fingerprint
from evalkit.statistics.bootstrap import bootstrap_totals

Method = Literal["exact", "sampled", "chain"]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_EXACT = 14  # edits: 16,383 rolls a pair
ENOUGH = 10  # effective orderings
STATES = 1 << 16  # rolls whose answers are held at once; their number in one forward pass is the caller's ``batch``


class FewEffectiveOrderings(UserWarning):
    """A sampled sum that rests on a handful of its orderings: too low as a rule, and its error not to be trusted."""


class EditLikelihood(NamedTuple):
    value: float  # nats per edit: log_total / edits; -inf where no sequence is possible
    standard_error: float  # of the value, by the delta method; 0 for exact sums
    log_total: float  # nats
    edits: int  # K
    forward_rolls: int  # how many rolls the generator was asked about
    bootstrap_error: float = 0.0  # the same standard error, by a bootstrap over orderings
    effective_orderings: float = math.inf  # (sum of weights)^2 / sum of squared weights


def edit_log_likelihood(
    generator: ProposesEdits,
    source: Bools,
    target: Bools,
    *,
    method: Method = "exact",
    level: int = 0,
    pool: int = 16,
    orderings: int = 64,
    seed: int = 0,
) -> EditLikelihood:
    """``edit_log_likelihoods`` of one pair of rolls, ``(T, P)`` each."""
    settings = {"level": level, "pool": pool, "orderings": orderings, "seed": seed}
    return edit_log_likelihoods(generator, [source], [target], method=method, **settings)[0]


def edit_log_likelihoods(
    generator: ProposesEdits,
    sources: Sequence[Bools] | Bools,
    targets: Sequence[Bools] | Bools,
    *,
    method: Method = "exact",
    level: int = 0,
    pool: int = 16,
    orderings: int = 64,
    seed: int = 0,
    batch: int = 64,
) -> list[EditLikelihood]:
    """The log of the summed probability of edit sequences from source to target, one per pair ``(T, P)``, in order.

    ``exact``: every sequence, by a recursion over the subsets of D, because a generator sees the roll and not the way
    to it: 2^K - 1 rolls at level 0, (1 + |Q|) 2^K at level 1, for K up to 14. ``sampled``, as published: the mean
    over uniformly random ``orderings``, times their number; at level 1 each meets every q once, at random places.
    ``chain``: orderings drawn from the generator itself, restricted to the edits still to be done, each weighted by
    the probability of what was left to it; for large K. Both are unbiased for the sum, and so low on average for its
    log. ``pool`` and ``orderings`` count where they apply; ``batch`` bounds the rolls of one forward pass.
    A pair draws from a stream of its own, made of the seed and its two rolls: neither the order of the pairs nor the
    size of the batch changes a value.

    ValueError for pairs without a difference, rolls of different shapes, more than 14 edits with ``exact``, settings
    out of range, and a generator that answers with NaN or with more than probability 1; TypeError for rolls that are
    not bool. Warns with ``FewEffectiveOrderings`` where a sum rests on fewer than 10 effective orderings.
    """
    _check_settings(method, level, pool, orderings, batch)
    starts, changed = _check_pairs(sources, targets)
    found: dict[int, EditLikelihood] = {}
    for group in _groups(generator, starts, changed, batch, None if method == "exact" else orderings):
        path = _choose_pool(group, pool) if level else None
        if method == "exact":
            results = _without_error(_exact(group, path)[0], group)
        else:
            streams = [_stream(seed, starts[i], changed[i]) for i in group.index]
            results = _with_error(METHODS[method](group, streams, orderings), group)
        found.update(zip(group.index.tolist(), results, strict=True))
    ordered = [found[i] for i in range(len(starts))]
    _warn_of_few(ordered, method, orderings)
    return ordered


def sampling_error(
    generator: ProposesEdits,
    sources: Sequence[Bools] | Bools,
    targets: Sequence[Bools] | Bools,
    *,
    orderings: Sequence[int] = (8, 16, 32, 64, 128, 256, 512, 1024),
    repetitions: int = 200,
    seed: int = 0,
    batch: int = 64,
) -> tuple[list[EditLikelihood], Floats]:
    """Exact values at level 0, and what ``sampled`` would have said, nats per edit: (pairs, orderings, repetitions).

    ``estimates[i, j, r]`` is the value of pair i with ``method="sampled"``, ``orderings[j]`` and the seed ``seed + r``.
    No roll is asked for it: the exact sum has met every state, so an ordering's probability is looked up. The
    repetitions are independent; the numbers of orderings share theirs, each taking the first so many of one draw.
    ValueError as ``edit_log_likelihoods``.
    """
    for size in orderings:
        _check_settings("exact", 0, 1, size, batch)
    starts, changed = _check_pairs(sources, targets)
    found: dict[int, EditLikelihood] = {}
    estimates = np.empty((len(starts), len(orderings), repetitions))
    for group in _groups(generator, starts, changed, batch):
        log_totals, answers = _exact(group, None)
        found.update(zip(group.index.tolist(), _without_error(log_totals, group), strict=True))
        for i, of_states in zip(group.index, answers, strict=True):
            for r in range(repetitions):
                weights = _looked_up(_stream(seed + r, starts[i], changed[i]), of_states, max(orderings))
                sums = [np.logaddexp.reduce(weights[:size]) - math.log(size) for size in orderings]
                estimates[i, :, r] = np.array(sums) / group.edits
    return [found[i] for i in range(len(starts))], estimates


def _looked_up(stream: np.random.Generator, of_states: Floats, orderings: int) -> Floats:
    """The log weights of ``_sampled`` at level 0, from what each state (2^K, K) gives to each edit."""
    k = of_states.shape[1]
    order = _random_orders(stream, k, orderings)
    bits = 1 << order
    states = bits.cumsum(axis=1) - bits  # before each edit
    return math.lgamma(k + 1) + of_states[states, order].sum(axis=1)


def _groups(
    generator: ProposesEdits, starts: Bools, changed: Bools, batch: int, orderings: int | None = None
) -> Iterator[_Group]:
    """The pairs by their number of edits, so many at a time as states can be held; None: those of exact sums."""
    edits = changed.sum(axis=1)
    if orderings is None and edits.max(initial=0) > MOST_EXACT:
        raise ValueError(
            f"pair {edits.argmax()} has {edits.max()} edits; exact sums go up to {MOST_EXACT}: "
            'use method="chain" (or "sampled")'
        )
    for k in map(int, np.unique(edits)):
        states = 1 << k if orderings is None else orderings * (k + 2)
        for index in _chunks(np.flatnonzero(edits == k), max(1, STATES // states)):
            cells = np.nonzero(changed[index])[1].reshape(len(index), k)
            yield _Group(generator, starts[index], cells, k, index, batch, np.zeros(len(index), np.int64))


def _check_settings(method: str, level: int, pool: int, orderings: int, batch: int) -> None:
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
    if level not in (0, 1):
        raise ValueError(
            f"level must be 0 or 1, got {level}: from level 2 on a cell can be toggled there and back twice, and the "
            "published factor (K + 2d)! / 2^d counts such sequences more than once"
        )
    for name, number, least in (("pool", pool, 1), ("orderings", orderings, 2), ("batch", batch, 1)):
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")


def _check_pairs(sources: Sequence[Bools] | Bools, targets: Sequence[Bools] | Bools) -> tuple[Bools, Bools]:
    """The sources ``(N, T, P)`` and which of their cells are to change, ``(N, T * P)``."""
    if len(sources) != len(targets):
        raise ValueError(f"as many targets as sources, please: got {len(sources)} sources and {len(targets)} targets")
    for i, pair in enumerate(zip(sources, targets, strict=True)):
        for name, roll in zip(("source", "target"), map(np.asarray, pair), strict=True):
            if roll.dtype != np.bool_:
                raise TypeError(f"pair {i}: the {name} must be bool, got {roll.dtype}; for velocities pass roll > 0")
            if roll.ndim != 2 or roll.shape != np.shape(sources[0]):
                raise ValueError(
                    f"pair {i}: the {name} has shape {roll.shape}, but all rolls of a call must have one shape "
                    f"(steps, pitches), and the first has {np.shape(sources[0])}"
                )
        if np.array_equal(*pair):
            raise ValueError(f"pair {i}: source and target are the same roll, so there is no edit to score")
    if not len(sources):
        return np.zeros((0, 0, 0), bool), np.zeros((0, 0), bool)
    starts = np.stack(list(sources))
    return starts, (starts ^ np.stack(list(targets))).reshape(len(starts), -1)


def _chunks(index: Ints, size: int) -> Iterator[Ints]:
    for start in range(0, len(index), size):
        yield index[start : start + size]


def _stream(seed: int, source: Bools, changed: Bools) -> np.random.Generator:
    return np.random.default_rng([seed, int(fingerprint(source, changed), 16)])


@dataclass(slots=True, eq=False)
class _Group:
    """n pairs with K edits each, and the generator, whose forward passes it bounds and counts.

    A *state* is a bool row over ``cells``: which of them differ from the source. Answers have the same columns.
    """

    generator: ProposesEdits
    sources: Bools  # (n, T, P)
    cells: Ints  # (n, K), with a pool (n, K + |Q|): flat cells of the roll, those of D first
    edits: int  # K
    index: Ints  # (n,) of the pairs in the call, for messages
    batch: int
    rolls: Ints  # (n,) asked so far

    def log_probs(self, pair: Ints, on: Bools) -> Floats:
        """What states ``on`` (rows, C) of pairs ``pair`` (rows,) give to each of their cells: (rows, C)."""
        answers = np.empty(on.shape)
        for rows in _chunks(np.arange(len(pair)), self.batch):
            answers[rows] = self._forward(pair[rows], on[rows], everywhere=False)
        return answers

    def log_probs_of_repeated(self, pair: Ints, on: Bools) -> Floats:
        """The same for states that occur again and again, as on many paths: each is asked about once."""
        keys = np.column_stack([pair.astype(">u4").view(np.uint8).reshape(-1, 4), np.packbits(on, axis=1)])
        _, first, again = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        return self.log_probs(pair[first], on[first])[again.ravel()]

    def log_probs_everywhere(self, on: Bools) -> Floats:
        """What one state ``on`` (n, C) of each pair gives to every cell of its roll: (n, T * P)."""
        rows = _chunks(np.arange(len(on)), self.batch)
        return np.concatenate([self._forward(pair, on[pair], everywhere=True) for pair in rows])

    def _forward(self, pair: Ints, on: Bools, everywhere: bool) -> Floats:
        rolls, cells = self.sources[pair], self.cells[pair]
        rolls.reshape(len(pair), -1)[np.arange(len(pair))[:, None], cells] ^= on
        asked = None if everywhere else np.stack(np.divmod(cells, rolls.shape[2]), axis=-1)
        wanted = rolls.shape if asked is None else cells.shape
        answer = np.asarray(self.generator.edit_log_probs(rolls, asked), np.float64)
        self.rolls += np.bincount(pair, minlength=len(self.rolls))
        if answer.shape != wanted:
            raise ValueError(f"edit_log_probs must answer in shape {wanted}, got {answer.shape}")
        answer = answer.reshape(len(pair), -1)
        wrong = ~(answer <= 1e-3).all(axis=1)  # NaN too; rounding of a probability of 1 is let pass
        if wrong.any():
            seen = "NaN" if np.isnan(answer).any() else f"{answer.max():g}"
            raise ValueError(f"edit_log_probs gave {seen} for pair {self.index[pair[wrong][0]]}: not a log-probability")
        return answer


class _Path(NamedTuple):
    """The greedy path of each pair: which edits were done at each step, and the answers for the whole roll."""

    on: Bools  # (n, K, K)
    everywhere: Floats  # (n, K, T * P)


def _choose_pool(group: _Group, pool: int) -> _Path:
    """Append the pool to the cells of the group, and say what the rolls on the way have answered."""
    n, k = group.cells.shape
    on, pairs = np.zeros((n, k + 1, k), bool), np.arange(n)
    seen = []
    for step in range(k):
        seen.append(group.log_probs_everywhere(on[:, step]))
        left = np.take_along_axis(seen[-1], group.cells, axis=1)
        possible = np.maximum(left, np.finfo(float).min)  # an impossible edit comes last, but before one that is done
        on[:, step + 1] = on[:, step]
        on[pairs, step + 1, np.where(on[:, step], -np.inf, possible).argmax(axis=1)] = True
    everywhere = np.stack(seen, axis=1)
    best = everywhere.max(axis=1)
    best[pairs[:, None], group.cells] = np.nan  # sorts behind the impossible ones
    size = min(pool, best.shape[1] - k)
    group.cells = np.concatenate([group.cells, np.argsort(-best, axis=1, kind="stable")[:, :size]], axis=1)
    return _Path(on[:, :k], everywhere)


def _exact(group: _Group, path: _Path | None) -> tuple[Floats, Floats]:
    """The log of the whole sum, (n,), with a path of level 1; and what each state gives to each cell, (n, 2^K, C)."""
    (n, columns), k = group.cells.shape, group.edits
    size = 1 << k
    subsets = np.zeros((size, columns), bool)
    subsets[:, :k] = np.arange(size)[:, None] >> np.arange(k) & 1
    answers, unknown = np.zeros((n, size, columns)), np.ones((n, size), bool)
    if path is None:
        unknown[:, -1] = False  # nothing is asked of the target
    else:
        at = np.arange(n)[:, None], path.on @ (1 << np.arange(k))
        answers[at] = np.take_along_axis(path.everywhere, group.cells[:, None, :], axis=2)
        unknown[at] = False
    pair, state = np.nonzero(unknown)
    answers[pair, state] = group.log_probs(pair, subsets[state])
    start = np.full((n, size), -np.inf)
    start[:, 0] = 0
    not_yet = _over_subsets(start, answers, k)
    back = np.full((n, size), -np.inf)
    for q in range(k, columns):
        with_q = subsets.copy()
        with_q[:, q] = True
        detour = group.log_probs(np.repeat(np.arange(n), size), np.tile(with_q, (n, 1))).reshape(n, size, columns)
        toggled = _over_subsets(not_yet + answers[:, :, q], detour, k)
        back = np.logaddexp(back, toggled + detour[:, :, q])
    return np.logaddexp(not_yet, _over_subsets(back, answers, k))[:, -1], answers


def _over_subsets(entering: Floats, answers: Floats, k: int) -> Floats:
    """Summed probability of being in each state, (n, 2^k), in logs, when ``entering`` (n, 2^k) is where paths begin.

    f(S) = entering(S) + sum over e in S of f(S - e) p(e | S - e), by the number of edits done: S grows one by one.
    """
    total = entering.copy()
    states = np.arange(1 << k)
    done = np.array([state.bit_count() for state in range(1 << k)])
    for count in range(k):
        for e in range(k):
            before = states[(done == count) & ((states >> e & 1) == 0)]
            after = before | 1 << e
            total[:, after] = np.logaddexp(total[:, after], total[:, before] + answers[:, before, e])
    return total


def _sampled(group: _Group, streams: list[np.random.Generator], orderings: int) -> Floats:
    """Log weights (n, orderings): the probability of random sequences, times how many there are of their kind."""
    (n, columns), k = group.cells.shape, group.edits
    order = np.stack([_random_orders(rng, k, orderings) for rng in streams])
    level_1 = columns > k
    visited = np.arange(k + level_1)[:, None]  # edits done; the target is asked only for a detour from it
    on = np.zeros((n, orderings, len(visited), columns), bool)
    on[..., :k] = order.argsort(axis=-1)[:, :, None, :] < visited
    pair = np.broadcast_to(np.arange(n)[:, None, None], on.shape[:-1])
    answers = group.log_probs_of_repeated(pair.ravel(), on.reshape(-1, columns)).reshape(on.shape)
    direct = np.take_along_axis(answers[:, :, :k], order[..., None], axis=-1)[..., 0]
    weights = math.lgamma(k + 1) + direct.sum(axis=-1)
    for q in range(k, columns):
        there, back = _two_places(streams, orderings, k)
        toggled = (visited[:, 0] >= there[..., None]) & (visited[:, 0] <= back[..., None])
        with_q = on[toggled]
        with_q[:, q] = True
        detour = np.zeros(on.shape)
        detour[toggled] = group.log_probs_of_repeated(pair[toggled], with_q)
        edits = np.take_along_axis(detour[:, :, :k], order[..., None], axis=-1)[..., 0]
        inside = toggled[:, :, :k] & (visited[:k, 0] < back[..., None])
        sequence = np.where(inside, edits, direct).sum(axis=-1)
        sequence += np.take_along_axis(answers[..., q], there[..., None], axis=-1)[..., 0]
        sequence += np.take_along_axis(detour[..., q], back[..., None], axis=-1)[..., 0]
        weights = np.logaddexp(weights, math.lgamma(k + 3) - math.log(2) + sequence)
    return weights


def _random_orders(rng: np.random.Generator, k: int, orderings: int) -> Ints:
    """(orderings, k); the first so many are the same however many are drawn."""
    return rng.permuted(np.tile(np.arange(k), (orderings, 1)), axis=1)


def _two_places(streams: list[np.random.Generator], orderings: int, k: int) -> tuple[Ints, Ints]:
    """After how many of the k edits to toggle, and to toggle back, (n, orderings) each: any two of k + 2 places."""
    first = np.stack([rng.integers(0, k + 2, orderings) for rng in streams])
    other = np.stack([rng.integers(0, k + 1, orderings) for rng in streams])
    other += other >= first
    return np.minimum(first, other), np.maximum(first, other) - 1


def _chain(group: _Group, streams: list[np.random.Generator], orderings: int) -> Floats:
    """Log weights (n, orderings), of one chain for each level: one over the edits, one with a detour over the pool."""
    weights = _chain_weights(group, streams, orderings, detour=False)
    if group.cells.shape[1] > group.edits:
        weights = np.logaddexp(weights, _chain_weights(group, streams, orderings, detour=True))
    return weights


def _chain_weights(group: _Group, streams: list[np.random.Generator], orderings: int, *, detour: bool) -> Floats:
    """The product over the steps of the probability that the generator gives to all the edits still to be done."""
    k = group.edits
    within = group if detour else replace(group, cells=group.cells[:, :k])  # shares the count of rolls
    n, columns = within.cells.shape
    on = np.zeros((n, orderings, columns), bool)
    toggles_left = np.full((n, orderings, 1), 2 if detour else 0)  # of the pool
    weights = np.zeros((n, orderings))
    for _ in range(k + 2 * detour):
        pair, ordering = alive = np.nonzero(weights > -np.inf)
        scores = np.full(on.shape, -np.inf)
        scores[alive] = within.log_probs_of_repeated(pair, on[alive])
        left = ~on
        left[..., k:] = (toggles_left == 2) | ((toggles_left == 1) & on[..., k:])
        scores[~left] = -np.inf
        weights += np.logaddexp.reduce(scores, axis=-1)
        noise = np.stack([rng.gumbel(size=(orderings, columns)) for rng in streams])
        chosen = (scores + noise).argmax(axis=-1)
        on[pair, ordering, chosen[alive]] ^= True
        toggles_left[..., 0] -= chosen >= k
    return weights


METHODS: dict[str, Callable[[_Group, list[np.random.Generator], int], Floats]] = {"sampled": _sampled, "chain": _chain}


def _without_error(log_totals: Floats, group: _Group) -> list[EditLikelihood]:
    rows = zip(log_totals.tolist(), group.rolls.tolist(), strict=True)
    return [EditLikelihood(total / group.edits, 0.0, total, group.edits, rolls) for total, rolls in rows]


def _with_error(log_weights: Floats, group: _Group) -> list[EditLikelihood]:
    """The log of the mean weight of each pair, from ``(n, orderings)``, and how far it may be off."""
    orderings = log_weights.shape[1]
    log_totals = np.logaddexp.reduce(log_weights, axis=1) - math.log(orderings)
    highest = log_weights.max(axis=1, keepdims=True)
    weights = np.exp(log_weights - np.where(np.isfinite(highest), highest, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.nan_to_num(weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1), nan=0.0)
        # var(mean) / mean^2, the delta method's variance of the log, in terms of the effective orderings
        delta = np.sqrt(np.maximum(0.0, orderings / effective - 1) / (orderings - 1))
    drawn = np.array([_bootstrap_error(row) for row in weights])
    rows = zip(*(x.tolist() for x in (log_totals, delta, drawn, effective, group.rolls)), strict=True)
    return [
        EditLikelihood(total / group.edits, error / group.edits, total, group.edits, rolls, boot / group.edits, size)
        for total, error, boot, size, rolls in rows
    ]


def _bootstrap_error(weights: Floats) -> float:
    """Standard deviation of the log of the mean of resampled weights (orderings,); infinite where one is all zeros."""
    totals = bootstrap_totals(weights[:, None])[:, 0]
    return float(np.log(totals).std(ddof=1)) if totals.all() else math.inf


def _warn_of_few(found: list[EditLikelihood], method: str, orderings: int) -> None:
    few = [i for i, one in enumerate(found) if one.effective_orderings < ENOUGH]
    if few:
        worst = min(few, key=lambda i: found[i].effective_orderings)
        better = "more orderings" if method == "chain" else 'more orderings, or method="chain" or "exact"'
        warnings.warn(
            f"{len(few)} of {len(found)} sums rest on fewer than {ENOUGH} effective orderings (pair {worst}: "
            f"{found[worst].effective_orderings:.1f} of {orderings}): they are too low as a rule; take {better}",
            FewEffectiveOrderings,
            stacklevel=3,
        )


METRICS = (
    Metric(
        "edit_log_likelihood",
        "Notewise LL",
        edit_log_likelihood,
        "nats per edit",
        "higher",
        "ES-Net, ISMIR 2020, Table 1",
        "The log of the summed probability of the edit sequences that lead from a roll to its target, by the number of "
        "cells in which the two differ: all orders of the edits, exactly; as published, estimated from random ones, "
        "with detours.",
        ("correct", "published"),
        (-np.inf, 0.0),
    ),
)
