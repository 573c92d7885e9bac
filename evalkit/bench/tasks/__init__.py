"""One task per file: what is asked of a generator, and what is recorded of its answer."""

from __future__ import annotations

from evalkit.bench.tasks.attributes import AttributesTask
from evalkit.bench.tasks.completion import CompletionTask
from evalkit.bench.tasks.edit_likelihood import EditLikelihoodTask
from evalkit.bench.tasks.framewise import FramewiseTask
from evalkit.bench.tasks.interpolation import InterpolationTask
from evalkit.bench.tasks.likelihood import LikelihoodTask
from evalkit.bench.tasks.reconstruction import ReconstructionTask
from evalkit.bench.tasks.samples import SamplesTask
from evalkit.bench.tasks.task import Task

TASKS: dict[str, type[Task]] = {
    "samples": SamplesTask,
    "likelihood": LikelihoodTask,
    "completion": CompletionTask,
    "edit-likelihood": EditLikelihoodTask,
    "framewise": FramewiseTask,
    "reconstruction": ReconstructionTask,
    "interpolation": InterpolationTask,
    "attributes": AttributesTask,
}
