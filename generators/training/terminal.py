"""A training as people see it: a bar with loss, rate and time left, and a way to stop it without losing anything."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evalkit.errors import UserError
from generators.training.loop import Progress as Counters
from generators.training.recipe import Recipe
from generators.training.session import run_training

SMOOTHING = 0.98  # of the loss that is shown


def train_with_progress(
    model: str, preset: str, data: str, out: Path, *, seed: int, device: str, resume: bool, tensorboard: bool
) -> dict[str, Any] | None:
    """``run_training`` with a progress bar on stderr (none where that is no terminal) and signals obeyed."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with (
        _tensorboard(out, tensorboard) as write,
        _stop_on_signal() as stop,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(f"{model} {preset}", total=None, told="reading the data")
        smooth: list[float] = []
        began: list[tuple[int, float]] = []

        def advance(counters: Counters, recipe: Recipe, loss: float) -> None:
            smooth[:] = [SMOOTHING * smooth[0] + (1 - SMOOTHING) * loss if smooth else loss]
            began[:] = began or [(counters.step - 1, counters.seconds)]
            rate = (counters.step - began[0][0]) / max(counters.seconds - began[0][1], 1e-9)
            valid = f", valid {counters.best_loss:.3f}" if counters.log else ""
            told = f"loss {smooth[0]:.3f}{valid}, {rate * recipe.batch:.0f} examples/s"
            bar.update(task, total=recipe.steps, completed=counters.step, told=told)
            if counters.log and counters.log[-1]["step"] == counters.step:
                row = counters.log[-1]
                write(row)
                if not console.is_terminal:
                    console.print(
                        f"{model} {preset}: step {counters.step} of {recipe.steps}, "
                        f"train {row['train_loss']:.4f}, valid {row['valid_loss']:.4f}",
                        soft_wrap=True, highlight=False,
                    )  # fmt: skip

        return run_training(
            model, preset, data, out, seed=seed, device=_device(device), resume=resume, advance=advance, stop=stop
        )


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device}: {str(error).splitlines()[0]}") from error
    return device


@contextmanager
def _stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Interrupt and terminate ask the training to end after this step; a second interrupt ends it at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _tensorboard(out: Path, wanted: bool) -> Iterator[Callable[[dict[str, float]], None]]:
    if not wanted:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError("--tensorboard needs the package tensorboard: pip install tensorboard") from error
    with SummaryWriter(str(out / "tensorboard")) as writer:

        def write(row: dict[str, float]) -> None:
            for name, value in row.items():
                if name != "step":
                    writer.add_scalar(name, value, int(row["step"]))

        yield write
