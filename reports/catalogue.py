"""What a reader must know of each metric, from the table of metrics that computed it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evalkit.results import Direction

MAIN_METRICS = (  # the first table, in reading order; everything else stands further down
    "pitch_classes",
    "pitches",
    "in_scale_rate",
    "polyphonic_rate",
    "bhattacharyya",
    "ks_pitch",
    "melody_kept",
    "nll",
    "edit_log_likelihood",
    "framewise_nll",
    "reconstruction_accuracy",
    "exposure_bias",
    "kl",
    "copied_bars",
)

BASELINES = ("data-interpolation", "commonest-token")  # rows that tasks add, to compare systems with
MODES = ("teacher_forced", "sampled")  # of one metric, in reading order

FAMILY_TITLES = {"pianoroll": "Piano roll", "elbo": "Likelihood bounds"}  # of families whose name is not their title

DIRECTION_ARROWS: dict[Direction, str] = {"higher": "↑", "lower": "↓", "closer": "→R"}
DIRECTION_WORDS: dict[Direction, str] = {
    "higher": "higher is better",
    "lower": "lower is better",
    "closer": "closer to the reference is better",
}


@dataclass(frozen=True, slots=True)
class Description:
    """A metric for people. ``order`` is its place in the table of metrics."""

    id: str
    title: str
    family: str
    definition: str
    source: str
    unit: str
    variants: tuple[str, ...]
    order: int


def describe(metric: str) -> Description:
    """The description of a metric; of one that this version does not know, its name."""
    from evalkit.metrics import METRICS

    if metric not in METRICS:
        return Description(metric, plain(metric), "Other metrics", "", "", "", (), len(METRICS))
    found = METRICS[metric]
    return Description(
        metric,
        found.title,
        _family(metric),
        found.definition,
        found.source,
        found.unit,
        tuple(found.variants),
        list(METRICS).index(metric),
    )


def _family(metric: str) -> str:
    from evalkit.metrics import FAMILIES, METRICS

    for name, family in FAMILIES.items():
        if metric in family.metrics:
            return FAMILY_TITLES.get(name, plain(name).capitalize())
    module = METRICS[metric].function.__module__.rpartition(".")[2]
    return FAMILY_TITLES.get(module, plain(module).capitalize())


def is_main(metric: str, variant: str, variants_present: Iterable[str]) -> bool:
    """Whether a column belongs into the first table: a main metric in its default definition."""
    if metric not in MAIN_METRICS:
        return False
    order = describe(metric).variants or tuple(variants_present)
    present = [v for v in order if v in variants_present] or list(variants_present)
    return variant == present[0]


def plain(identifier: str) -> str:
    """``in_scale_rate`` as words."""
    return identifier.replace("_", " ")
