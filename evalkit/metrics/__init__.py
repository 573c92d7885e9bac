"""All metrics by id, and the families that compute them from one table of counts each."""

from __future__ import annotations

from evalkit.metrics import pianoroll, pitch_distribution
from evalkit.metrics.metric import Family, Metric

FAMILIES: dict[str, Family] = {
    name: Family(name, module.count, module.estimate, tuple(metric.id for metric in module.METRICS))
    for name, module in (
        ("pianoroll", pianoroll),
        ("pitch_distribution", pitch_distribution),
    )
}

METRICS: dict[str, Metric] = {
    metric.id: metric for module in (pianoroll, pitch_distribution) for metric in module.METRICS
}
