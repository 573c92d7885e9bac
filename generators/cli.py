"""``evalkit generators``: what there are, whether one keeps the rules, samples from one of them, and training."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evalkit.errors import UserError
from evalkit.protocols import Generator, Samples, capabilities
from evalkit.registry import generator_names, load_generator, origin, parameters_of

if TYPE_CHECKING:
    from generators.conformance import Finding


@click.group()
def generators() -> None:
    """List the generators, check that they keep the rules, train them, and draw samples from them.

    \b
    Example: what is there, and four pieces of eight bars from one of them:
      evalkit generators list
      evalkit generators sample uniform --n 4 --bars 8 --out samples/
    """


@generators.command("list", short_help="Name the generators and what each can do.")
def list_generators() -> None:
    """One line per generator: name, package, representation, capabilities.

    \b
    Example:
      evalkit generators list
    """
    rows = [_row(entry) for _, entry in sorted(generator_names().items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for *cells, last in rows:
        click.echo("  ".join([*map(str.ljust, cells, widths), last]))


def _row(entry: EntryPoint) -> tuple[str, str, str, str]:
    from generators.models.weights import zoo

    try:
        factory = entry.load()
        parameters = parameters_of(factory)
        needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        if "weights" in parameters and not needed and f"{entry.name}-{parameters['weights'].default}" not in zoo():
            needed = ["weights: evalkit generators train makes some"]
        can = ", ".join(capabilities(factory if needed else factory()))
        representation = str(parameters["representation"].default) if "representation" in parameters else "-"
        return entry.name, origin(entry), representation, can + "".join(f" (needs {key})" for key in needed)
    except Exception as error:  # someone else's package must not keep the others from being listed
        return entry.name, origin(entry), "-", f"broken: {entry.value}: {type(error).__name__}: {error}"


@generators.command(short_help="Write samples of a generator as MIDI.")
@click.argument("name")
@click.option("--n", default=4, show_default=True, type=click.IntRange(1), help="How many pieces.")
@click.option("--bars", default=8, show_default=True, type=click.IntRange(1), help="Bars of 4/4 in each.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed, the same pieces.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the MIDI.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting of the generator; repeatable."
)
def sample(name: str, n: int, bars: int, seed: int, out: Path, assignments: tuple[str, ...]) -> None:
    """Write samples of the generator NAME (or file.py:Class) as MIDI, with a manifest.json.

    \b
    Example:
      evalkit generators sample corpus --n 4 --bars 8 --out samples/ --set corpus=jsb --set split=valid
    """
    from evalkit.music.midi import write_midi
    from evalkit.music.representations import REPRESENTATIONS
    from evalkit.results import to_json, write_atomically

    settings = dict(map(_setting, assignments))
    files = [f"{i:0{max(3, len(str(n - 1)))}d}.mid" for i in range(n)]
    _refuse_strangers(out, files)
    with load_generator({"generator": name, **settings}) as generator:
        if not isinstance(generator, Samples):
            raise UserError(f"generator {name!r} cannot sample; it can: {', '.join(capabilities(generator))}")
        representation = REPRESENTATIONS[generator.info.representation]
        steps = bars * 4 * representation.steps_per_quarter
        arrays = generator.sample(n, steps=steps, seed=seed)
        out.mkdir(parents=True, exist_ok=True)
        for file, array in zip(files, arrays, strict=True):
            write_midi(representation.decode(array, Path(file).stem), out / file)
        manifest: dict[str, Any] = {
            "schema": 1,
            "generator": generator.info.as_dict(),
            "settings": settings,
            "seed": seed,
            "steps": steps,
            "pieces": [{"file": file, "sha256": sha256((out / file).read_bytes()).hexdigest()} for file in files],
        }
    write_atomically(out / "manifest.json", to_json(manifest))
    click.echo(f"{out}: {n} pieces of {bars} bars from {generator.info.name}")


@generators.command(short_help="Check that a generator keeps the rules.")
@click.argument("name")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting of the generator; repeatable."
)
@click.option("--device", default="cpu", show_default=True, help="Where to load it, such as cuda.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the inputs and the samples.")
def check(name: str, assignments: tuple[str, ...], device: str, seed: int) -> int:
    """Check that the generator NAME (or file.py:Class) keeps every rule of what it can do.

    Exit code 0 if it does, 1 if a rule fails.

    \b
    Example: a generator of your own, with one of its settings:
      evalkit generators check mine.py:MyGenerator --set layers=2
    """
    from rich.console import Console

    from generators.conformance import findings

    settings = dict(map(_setting, assignments))

    def make(**others: Any) -> Generator:
        return load_generator({"generator": name, **settings, **others})

    found: list[Finding] = []
    with Console(stderr=True).status(f"{name}: loading") as status:
        for finding in findings(make, device=device, seed=seed):
            found.append(finding)
            status.update(f"{name}: {finding.capability}: {finding.rule}")
    _print_findings(found)
    count = Counter(finding.status for finding in found)
    silent = f", {count['not_applicable']} not applicable" if count["not_applicable"] else ""
    click.echo(f"{name}: {count['passed']} rules passed, {count['failed']} failed{silent}")
    return 1 if count["failed"] else 0


@generators.command(short_help="Train one of the papers' models.")
@click.argument("model")
@click.option(
    "--preset", default="small", show_default=True, help="tiny (seconds), small (two CPU cores), paper (GPU)."
)
@click.option("--data", required=True, help="A corpus, of which it takes train and valid, or a folder of MIDI.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the weights.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed, the same weights.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto: cuda where there is one.")
@click.option("--resume", is_flag=True, help="Go on from the folder's checkpoint, to the same weights.")
@click.option("--tensorboard", is_flag=True, help="Log for TensorBoard too, in OUT/tensorboard.")
def train(
    model: str, preset: str, data: str, out: Path, seed: int, device: str, resume: bool, tensorboard: bool
) -> int:
    """Train MODEL and leave the weights, their card and a log in OUT.

    Killed or interrupted, it goes on with --resume, to the same weights as if nothing had been. Exit code 1 where it
    was asked to stop before the end.

    \b
    Example: a small model of chorales, in under an hour on two cores, and then into a suite:
      evalkit generators train es-net --preset small --data bach-chorales --out my-es-net/
      evalkit generators check es-net --set weights=my-es-net/
    """
    from generators.training.terminal import train_with_progress

    card = train_with_progress(
        model, preset, data, out, seed=seed, device=device, resume=resume, tensorboard=tensorboard
    )
    if card is None:
        click.echo(f"{out}: stopped; the same command with --resume goes on from here")
        return 1
    trained, metrics = card["training"], card["metrics"]
    click.echo(
        f"{out}: {model} {preset}, {card['parameters']:,} parameters, {trained['steps']} steps in "
        f"{trained['seconds']} s; the best at step {trained['best_step']} with a validation loss of "
        f"{metrics['valid_loss_of_file']:.4f}"
    )
    return 0


def _print_findings(found: Sequence[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"passed": "green", "failed": "bold red", "not_applicable": "dim"}
    table = Table("capability", "rule", "status", "reason", box=box.SIMPLE)
    for column in table.columns[:3]:
        column.no_wrap = True
    table.columns[3].overflow = "fold"
    for finding in found:
        status = Text(finding.status.replace("_", " "), colours[finding.status])
        table.add_row(finding.capability, finding.rule, status, Text(finding.reason))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _setting(assignment: str) -> tuple[str, Any]:
    """``key=value``, the value read as YAML: 36 is a number, true is a truth."""
    import yaml

    key, equals, value = assignment.partition("=")
    if not equals or not key:
        raise UserError(f"--set {assignment}: write KEY=VALUE")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        return key, value  # such as a path with a colon or a percent sign


def _refuse_strangers(out: Path, files: list[str]) -> None:
    """A folder of samples is scored whole, so what another run left there would be counted with them."""
    strangers = sorted(p.name for p in out.glob("*.mid") if p.name not in files)
    if strangers:
        raise UserError(f"{out} already holds {strangers[0]}, which is not of this run: choose another folder")
