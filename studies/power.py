"""``evalkit study power``: how many listeners it takes for which difference, through the analysis that will be done."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evalkit.errors import UserError

if TYPE_CHECKING:
    from studies.analysis.power import Power
    from studies.design import Question, Study

SHARES = (0.55, 0.6, 0.65, 0.7, 0.75)  # of listeners who prefer one of two systems: what is asked unless it is said
TIES = 0.5  # Davidson's nu, where ties may be answered
MOST_LISTENERS = 10_000


@click.command(short_help="How many listeners it takes for which difference.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--listeners", type=click.IntRange(2, MOST_LISTENERS), multiple=True, help="Repeatable.  [default: the target's]"
)
@click.option(
    "--prefer", "shares", type=click.FloatRange(0.5, 1, min_open=True, max_open=True), multiple=True,
    help="Share who prefer the better of two systems; repeatable.  [default: 0.55 to 0.75]",
)  # fmt: skip
@click.option("--simulations", type=click.IntRange(20, 10_000), default=200, show_default=True)
def power(folder: Path, listeners: tuple[int, ...], shares: tuple[float, ...], simulations: int) -> None:
    """Simulate the study as planned, analyse each simulation as the study will be, and count what is found.

    A difference is found if its p-value, corrected over all pairs of systems (Holm), is below 0.05.

    \b
    Example:
      evalkit study power my-study
      evalkit study power my-study --listeners 20 --listeners 40 --prefer 0.6
    """
    from studies.design import load_study

    study = load_study(folder)
    if len(study.systems) < 2:
        raise UserError(f"{folder}: a study of one system has no differences to find")
    for question in study.questions:
        click.echo(f"{question.name}: {study.trials.per_participant} trials a listener, {len(study.systems)} systems")
        click.echo("  prefer  listeners  power  95 %          listeners for 0.8")
        for number in listeners or (target_listeners(study),):
            for share in shares or SHARES:
                found = planned_power(study, question, math.log(share / (1 - share)), number, simulations=simulations)
                click.echo(_line(share, found))
    click.echo("assumed: tastes that differ a little, the other systems alike; 95 %: of the simulation")


def _line(share: float, found: Power) -> str:
    from studies.analysis.power import MOST

    low, high = found.ci95
    needed = f"about {found.listeners_needed}" if found.listeners_needed else f"more than {MOST}"
    return f"  {share:>6.0%}  {found.listeners:>9}  {found.power:>5.2f}  [{low:.2f}, {high:.2f}]  {needed}"


def target_listeners(study: Study) -> int:
    """How many listeners the study's target takes, two at least."""
    return max(2, -(-study.total_trials() // study.trials.per_participant))


def planned_power(
    study: Study, question: Question, difference: float, listeners: int, *, simulations: int = 200
) -> Power:
    """Power of the study to find a difference of log-odds between its best system and each other, for one question.

    Simulated raters rate every system's version of an item; where the plan has fewer ratings than that makes, fewer
    raters are simulated, and the numbers of listeners are turned back into those of the plan.
    """
    from studies.analysis.power import simulated_power

    systems, trials = len(study.systems), study.trials.per_participant
    simulated = partial(simulated_power, systems=systems, simulations=simulations, seed=study.seed)
    if question.kind == "each":
        return simulated("rating", difference, listeners=listeners, trials=trials, points=2)
    if question.kind == "rank":
        return simulated("rank", difference, listeners=listeners, trials=trials)
    if question.kind == "choice":
        return simulated("choice", difference, listeners=listeners, trials=trials, tie=TIES if question.ties else 0.0)
    points = study.points(question)
    if study.design == "paired":
        return simulated("likert", difference, listeners=listeners, trials=trials, points=points)
    items = max(1, trials // systems)
    raters = max(2, min(listeners, listeners * trials // (items * systems)))
    found = simulated("rating", difference, listeners=raters, trials=items, points=points)
    needed = found.listeners_needed and math.ceil(found.listeners_needed * listeners / raters)
    return replace(found, listeners=listeners, listeners_needed=needed)
