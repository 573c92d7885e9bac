"""All metrics by id, and the families that compute them, each from one table of counts.

``METRICS`` holds every metric in the order of the reports; ``FAMILIES`` the modules that ``evalkit score`` can run on
any set of pieces. Metrics of what a generator answers to a question belong to no family: their tasks call them.
"""

from __future__ import annotations

from evalkit.metrics import (
    attributes,
    descriptors,
    edit_likelihood,
    elbo,
    framewise,
    interpolation,
    likelihood,
    melody_kept,
    originality,
    pianoroll,
    pitch_distribution,
    reconstruction,
    set_distances,
)
from evalkit.metrics.metric import Family, Metric

_MODULES = {
    "pianoroll": pianoroll,
    "pitch_distribution": pitch_distribution,
    "descriptors": descriptors,
    "set_distances": set_distances,
    "originality": originality,
}

FAMILIES: dict[str, Family] = {
    name: Family(name, module.count, module.estimate, tuple(metric.id for metric in module.METRICS))
    for name, module in _MODULES.items()
}

_OF_ANSWERS = (
    likelihood,
    edit_likelihood,
    framewise,
    melody_kept,
    reconstruction,
    elbo,
    interpolation,
    attributes,
)

METRICS: dict[str, Metric] = {
    metric.id: metric for module in (*_MODULES.values(), *_OF_ANSWERS) for metric in module.METRICS
}
