"""``evalkit study power``: how many listeners it takes for which difference, through the analysis that will be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.errors import UserError

if TYPE_CHECKING:
    from studies.analysis.population import Asked, Trials
    from studies.analysis.power import Power
    from studies.design import Question, Study

SHARES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)  # of the deciding answers: what is asked unless it is said
MOST_LISTENERS = 10_000
EXPLAINED = """\
prefer: share of the deciding answers that are for the best of the systems, the others alike; 50 %: all are alike
found: how often the best is found better than another (Holm's p over all pairs below 0.05), and its 95 % interval
  from this simulation; at 50 %, how often any difference is found by chance: 0.05 at most in a sound analysis
+-: half the width of the 95 % interval of a difference
deciding: choices without ties, grades but the middle, two ratings, or a yes and a no, of one item that differ"""


@click.command(short_help="How many listeners it takes for which difference.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--listeners", type=click.IntRange(2, MOST_LISTENERS), multiple=True, help="Repeatable.  [default: the target's]"
)
@click.option(
    "--prefer", "shares", type=click.FloatRange(0.5, 1, max_open=True), multiple=True,
    help="Share of the deciding answers that prefer the better of two systems; repeatable. 0.5: none is better, for "
    "the chance of a false finding.  [default: 0.5 to 0.75]",
)  # fmt: skip
@click.option("--simulations", type=click.IntRange(20, 10_000), default=200, show_default=True)
def power(folder: Path, listeners: tuple[int, ...], shares: tuple[float, ...], simulations: int) -> None:
    """Simulate the study as planned, analyse each simulation as the study will be, and count what is found.

    Listeners get the plan's items and systems, and answer as simulated participants do. A difference is found if its
    p-value, corrected over all pairs of systems (Holm), is below 0.05.

    \b
    Example:
      evalkit study power my-study
      evalkit study power my-study --listeners 20 --listeners 40 --prefer 0.6
    """
    from studies.design import load_study

    study = load_study(folder)
    if len(study.systems) < 2:
        raise UserError(f"{folder}: a study of one system has no differences to find")
    items = planned_items(study)
    for asked, names in alike(study).items():
        click.echo(
            f"{', '.join(names)}: {study.trials.per_participant} trials a listener, {len(items)} items, "
            f"{len(study.systems)} systems"
        )
        click.echo(f"  prefer  listeners  found  95 %          +- {_unit(asked):<12}  listeners for 0.8")
        for number in listeners or (target_listeners(study),):
            for share in shares or SHARES:
                found = planned_power(study, items, asked, number, share=share, simulations=simulations)
                click.echo(_line(share, found))
    for line in _explained(study, len(items)):
        click.echo(line)


def _unit(asked: Asked) -> str:
    if asked.design in ("choice", "rank"):
        return "log-strength"
    return "share of yes" if asked.points == 2 and asked.design == "rating" else "points"


def _line(share: float, found: Power) -> str:
    low, high = found.ci95
    needed = (
        f"about {found.listeners_needed}" if found.listeners_needed else "more items" if found.margin > 0 else "more"
    )
    return (
        f"  {share:>6.0%}  {found.listeners:>9}  {found.power:>5.2f}  [{low:.2f}, {high:.2f}]  {found.margin:<15.2f}  "
        f"{needed if found.shift else '-'}"
    )


def _explained(study: Study, items: int) -> Iterator[str]:
    from studies.analysis.clustering import FEWEST_ITEMS
    from studies.analysis.population import Truth

    yield EXPLAINED
    ties = f"; ties with nu {Truth().ties:g}" if any(q.ties for q in study.questions) else ""
    yield f"assumed: {spreads()}{ties};"
    yield "  nobody stops early or is screened out"
    if items < FEWEST_ITEMS:
        yield f"note: with so few items ({items}) the page will speak of these items only, and so does this"


def spreads() -> str:
    """What is assumed of listeners and items, in a few words with their numbers."""
    from studies.analysis.population import Truth

    assumed = Truth()
    return (
        f"standard deviations of {assumed.taste:g} (tastes), {assumed.severity:g} (severity of ratings) and "
        f"{assumed.clip:g} (clips of a system) in logits"
    )


def target_listeners(study: Study) -> int:
    """How many listeners the study's target takes, two at least."""
    return max(2, -(-study.total_trials() // study.trials.per_participant))


def planned_items(study: Study) -> list[str]:
    """The items that are not for practice only; where there is no music yet, as many as the study file says."""
    from studies.design import study_items

    try:
        return [item for item in study_items(study) if item not in study.trials.practice_items]
    except UserError as error:
        if study.items == "all":
            raise UserError(f"{error}; for power without music give study.yaml a number of items") from None
        return [str(i) for i in range(study.items)] if isinstance(study.items, int) else list(study.items)


def alike(study: Study) -> dict[Asked, list[str]]:
    """The study's questions, those together that are simulated in the same way."""
    found: dict[Asked, list[str]] = {}
    for question in study.questions:
        found.setdefault(asked_of(study, question), []).append(question.name)
    return found


def asked_of(study: Study, question: Question) -> Asked:
    from studies.analysis.population import Asked

    if question.kind == "each":
        return Asked("rating", 2)
    if question.kind != "likert":
        return Asked(question.kind, ties=question.ties)
    return Asked("likert" if study.design == "paired" else "rating", study.points(question))


def planned_power(
    study: Study,
    items: Sequence[str],
    asked: Asked,
    listeners: int,
    *,
    share: float = 0.5,
    difference: float | None = None,
    simulations: int = 200,
) -> Power:
    """Power of the study to find its best system better than each other, where so large a share prefers it.

    ``difference``, if given, stands for the share: in the unit of the result, as the study file declares it. ValueError
    for one that the scale has no room for.
    """
    from studies.analysis.population import Truth, shift_of_difference, shift_of_share
    from studies.analysis.power import simulated_power

    truth = Truth()
    shift = shift_of_share(asked, share, truth) if difference is None else shift_of_difference(asked, difference, truth)
    plan = partial(planned_trials, study, items)
    return simulated_power(
        asked, plan, shift, listeners=listeners, truth=truth, simulations=simulations, seed=study.seed
    )


def planned_trials(study: Study, items: Sequence[str], listeners: int) -> Trials:
    """What so many listeners hear in the study's plan, which goes on as long as there are listeners."""
    import numpy as np

    from studies.analysis.population import Trials
    from studies.assignment import make_slots

    names, order = {name: i for i, name in enumerate(study.systems)}, {item: i for i, item in enumerate(items)}
    cells = [(who, cell) for who, slot in enumerate(make_slots(study, items, listeners)) for cell in slot]
    return Trials(
        tuple(names),
        np.array([who for who, _ in cells]),
        np.array([order[cell.item] for _, cell in cells]),
        np.array([[names[system] for system in cell.systems] for _, cell in cells]),
    )
