"""Fixtures that several files of tests share."""

from __future__ import annotations

import atexit
import contextlib
import functools
import math
import os
import shutil
import signal
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, note_array
from evalkit.results import (
    REFERENCE,
    Comparison,
    Result,
    results_document,
    sample_name,
    to_json,
    write_atomically,
)
from studies.design import Study, parse_study
from studies.manifest import Stimulus

if TYPE_CHECKING:
    from pgserver import PostgresServer

pytest_plugins = ["study_sessions", "taking_part"]  # in tests/fixtures

NASTY = "<b>bold</b> & 100% $x_1$ #{~}^\\ with a name that goes on for longer than anybody would like it to"
SYSTEMS = ("es-net", "coconet", "orderless-nade", "ngram", NASTY)
# metric, variants, unit, direction, reference's true value, spread between pieces, distance of each system from it
METRICS = (
    ("pitch_classes", ("correct", "published"), "pitch classes", "closer", 12.0, 0.0, (0, 0, 0, 0, -2)),
    ("pitches", ("correct", "published"), "pitches", "closer", 46.0, 1.5, (0, 0, 9, -3, 20)),
    ("in_scale_rate", ("correct", "published"), "share", "closer", 0.787, 0.05, (0.01, -0.02, 0.05, 0.1, -0.2)),
    ("polyphonic_rate", ("correct", "published"), "share", "closer", 0.917, 0.08, (0.0, -0.03, -0.15, -0.2, -0.5)),
    ("bhattacharyya", ("correct",), "nats", "lower", 0.0, 0.01, (0.028, 0.021, 0.049, 0.08, math.inf)),
    ("ks_pitch", ("correct", "published"), "", "lower", 0.0, 0.02, (0.03, 0.02, 0.05, 0.11, 0.4)),
    ("wasserstein_pitch", ("correct",), "semitones", "lower", 0.0, 0.4, (0.5, 0.4, 1.1, 2.2, 5.0)),
    ("nll", ("teacher_forced",), "nats per token", "lower", math.nan, 0.1, (0.4, 0.6, 0.9, 1.3, math.nan)),
    ("pitch_range", ("correct",), "semitones", "closer", 31.0, 4.0, (0.4, 1.0, 3.0, -8.0, 20.0)),
    ("groove_consistency", ("correct",), "", "closer", 0.95, 0.02, (0.0, -0.01, -0.02, 0.01, -0.4)),
    ("copied_bars", ("correct",), "bars", "lower", 0.0, 0.8, (1.1, 0.6, 0.7, 3.9, 0.0)),
    ("a_metric_from_elsewhere", ("correct",), "<i>units</i> & _more_", "higher", 3.0, 9.0, (1, 2, 3, 4, 5)),
)  # fmt: skip


def _results(rng: np.random.Generator, n: int, reference: str) -> tuple[list[Result], list[Comparison]]:
    """Normal estimates round the values above, their intervals, and Holm's p of every pair."""
    results, comparisons = [], []
    for metric, variants, unit, direction, centre, spread, offsets in METRICS:
        settings = {"reference": reference, "resamples": 1000}
        for variant in variants:
            error = spread / math.sqrt(n)
            known = {}
            for system, offset in zip((REFERENCE, *SYSTEMS), (0.0, *offsets), strict=True):
                base = 0.0 if math.isnan(centre) and system != REFERENCE else centre
                value = base + offset + (rng.normal(0, error) if error else 0.0)
                if unit in ("pitches", "pitch classes") and math.isfinite(value):
                    value = float(round(value))
                finite = math.isfinite(value)
                ci95 = (value - 2 * error, value + 2 * error) if finite else None
                results.append(
                    Result("score", "score", system, metric, variant, value, ci95, n, unit, direction, settings)
                )
                known[system] = value
            comparisons += _comparisons(metric, variant, direction, known, error, settings)
    lost = {"suite": "score", "task": "score", "variant": "correct", "value": None, "ci95": None, "n": 0}
    results += [
        Result(generator="es-net", metric="edit_log_likelihood", unit="nats per edit", direction="higher",
               status="failed", reason="RuntimeError: shard 3 of <4> died & was given up", **lost),
        Result(generator="ngram", metric="edit_log_likelihood", unit="nats per edit", direction="higher",
               status="not_applicable", reason="ngram does not propose edits (ProposesEdits)", **lost),
    ]  # fmt: skip
    return results, comparisons


def _comparisons(metric, variant, direction, known, error, settings) -> list[Comparison]:
    merit = {s: abs(v - known[REFERENCE]) if direction == "closer" else v for s, v in known.items() if s != REFERENCE}
    found = []
    for left, right in combinations(SYSTEMS, 2):
        difference = merit[left] - merit[right]
        scale = error * math.sqrt(2)
        p = math.nan if not math.isfinite(difference) else float(difference == 0)
        if scale and math.isfinite(difference):
            p = math.erfc(abs(difference) / scale / math.sqrt(2))
        found.append((left, right, difference, p))
    order = sorted((p, i) for i, (*_, p) in enumerate(found) if not math.isnan(p))
    holm, highest = {}, 0.0
    for rank, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        holm[i] = highest
    return [
        Comparison("score", "score", metric, variant, left, right, difference, None, p, holm.get(i), False, settings)
        for i, (left, right, difference, p) in enumerate(found)
    ]


def _chorale(rng: np.random.Generator, name: str, bars: int = 8) -> Piece:
    """Four voices in quarter notes, on a scale."""
    beats = bars * 4
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    steps = np.clip(rng.integers(-1, 2, (4, beats)).cumsum(axis=1), -4, 4)
    pitch = np.array([48, 55, 60, 67])[:, None] + scale[steps % 7] + 12 * (steps // 7)
    onset = np.tile(np.arange(beats) * 4, 4)
    return Piece(name, 4, note_array(onset, np.full(4 * beats, 4), pitch.ravel()), beats * 4)


@pytest.fixture(scope="session")
def nottingham() -> Callable[[str], Iterator[tuple[str, bytes]]]:
    """A function that gives name and content of the Nottingham MIDI files whose names end in what it is told."""
    mirror = os.environ.get("EVALKIT_DATA_MIRROR")
    if not mirror:
        pytest.skip("set EVALKIT_DATA_MIRROR to the folder with nottingham-midi.tar.gz")

    def files(ending: str) -> Iterator[tuple[str, bytes]]:
        with tarfile.open(Path(mirror) / "nottingham-midi.tar.gz") as tar:
            for member in tar:
                if member.name.endswith(ending) and not Path(member.name).name.startswith("."):
                    yield member.name, tar.extractfile(member).read()

    return files


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a ``rule_breaker`` gets each class of its file that says which rules it ``breaks``."""
    if "rule_breaker" in metafunc.fixturenames:
        found = [each for each in vars(metafunc.module).values() if isinstance(each, type) and "breaks" in vars(each)]
        assert found, f"{metafunc.module.__name__} breaks no rules"
        metafunc.parametrize("rule_breaker", found, ids=lambda each: each.__name__)


def chromium_path() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A running Chromium; skipped where there is none, unless EVALKIT_REQUIRE_BROWSER=1 makes that a failure."""
    path = chromium_path()
    if path is None:
        missing = "Chromium is not installed (Debian: apt-get install chromium)"
        if os.environ.get("EVALKIT_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a model's tiny preset with the weights that it is drawn with, made once."""

    @functools.cache
    def make(model: str) -> str:
        from generators.models.weights import save_weights
        from generators.training import trainable
        from generators.training.loop import begin
        from generators.training.recipe import find_recipe
        from generators.training.session import network_of

        folder = tmp_path_factory.mktemp(model)
        recipe, learner = find_recipe(model, "tiny"), trainable(model)
        network = begin(learner, recipe, lambda: network_of(model, recipe), 0, "cpu").network
        for name, weights in network.named_parameters():
            if "head" in name and "decoder" in name:
                weights.data.mul_(30)  # or all tokens would be equally likely, and no temperature would show
        card = {
            "model": model, "network": recipe.network, "representation": learner.representation,
            "pitch_range": list(recipe.pitch_range), "parameters": sum(p.numel() for p in network.parameters()),
        }  # fmt: skip
        save_weights(network.state_dict(), card, folder / "weights.safetensors")
        return str(folder)

    return make


@pytest.fixture
def context_of() -> Callable[..., Any]:
    """A function that gives the context in which a task asks about pieces."""
    from evalkit.bench.tasks.task import Context

    def context(inputs, representation: str = "melody", **asked) -> Context:
        return Context("s", inputs, "toy:train", inputs, "toy:test", representation, resamples=200, **asked)

    return context


@pytest.fixture
def ask() -> Callable[..., Any]:
    """A function that puts a task to generators: the questions, what each said, and what it comes to."""
    from evalkit.bench.tasks.task import Answers

    def asked(task, context, **generators):
        questions = task.plan(context)
        said = {n: Answers(g.info, [task.execute(s, g) for s in questions.shards]) for n, g in generators.items()}
        return questions, said, task.reduce(context, questions, said)

    return asked


@pytest.fixture(scope="session")
def fluidsynth() -> None:
    """Skips what needs FluidSynth where there is none; fails it where there has to be one."""
    from evalkit.music import audio

    try:
        audio.fluidsynth()
    except audio.NoSound as missing:
        if os.environ.get("EVALKIT_REQUIRE_AUDIO") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """A function that writes a finished results directory with five systems and all that can be odd about one."""

    def write(folder: Path, *, seed: int = 0, n: int = 77, reference: str = "jsb:train", bars: int = 8) -> Path:
        rng = np.random.default_rng(seed)
        results, comparisons = _results(rng, n, reference)
        provenance = {"command": "score", "seed": seed, "reference": reference, "versions": {"evalkit": "0.1.0"}}
        write_atomically(folder / "results.json", to_json(results_document(provenance, results, comparisons)))
        write_atomically(folder / "timing.json", to_json({"started": "2026-01-01T00:00:00+00:00", "duration_s": 1.5}))
        cells = {
            system: np.bincount(
                np.clip(np.rint(rng.normal(62 + i, 9 + 2 * i, 20_000)), 0, 127).astype(int), minlength=128
            )
            for i, system in enumerate((REFERENCE, *SYSTEMS))
        }
        copies = {"ngram": [{"piece": "bwv_1", "source": "BWV <269> & more", "bars": 3}]}
        errors = {"exact": -0.6, "mean": [-0.7, -0.62], "low": [-0.8, -0.64], "high": [-0.65, -0.61]}
        figures = {
            "pitch_cells": {s: c.tolist() for s, c in cells.items()},
            "copies": copies,
            "edit_likelihood_error": {"orderings": [8, 64], "generators": {"es-net": errors, NASTY: errors}},
        }
        write_atomically(folder / "figures.json", to_json(figures))
        for system in (REFERENCE, "es-net", "coconet", NASTY):
            for name in ("bwv_1", "bwv_2") if system != NASTY else ("own <piece>",):
                out = folder / "samples" / sample_name(system) / f"{name}.mid"
                out.parent.mkdir(parents=True, exist_ok=True)
                write_midi(_chorale(rng, name, bars), out)
        return folder

    return write


QUESTIONS = {
    "paired": [{"name": "fits", "kind": "choice", "ties": True, "text": "Which fits better?"}],
    "ranking": [
        {"name": "improved", "kind": "each", "text": "Is it better than the input?"},
        {"name": "quality", "kind": "rank", "text": "Rank them by quality."},
    ],
    "rating": [{"name": "human", "kind": "likert", "text": "Human-made?"}],
}


@pytest.fixture(scope="session")
def make_study() -> Callable[..., tuple[Study, list[Stimulus]]]:
    """A function that gives a study (keys of study.yaml may be changed) and stimuli of one second without audio."""

    def make(design: str = "paired", *, systems: int = 3, items: int = 8, **changes) -> tuple[Study, list[Stimulus]]:
        definition = {
            "name": "fixture", "title": "A study", "text": {"consent": "I agree."}, "design": design,
            "questions": QUESTIONS[design], "systems": {f"system-{i}": f"midi/{i}" for i in range(systems)},
            "input": "midi/input" if design == "ranking" else None,
            "trials": {"per_participant": 4, "practice": 1}, "target": {"participants": 12},
        }  # fmt: skip
        study = parse_study(yaml.safe_dump(definition | changes), "study.yaml", Path())
        names = [*(f"item-{i}" for i in range(items)), *study.trials.practice_items]
        kinds = [(system, variant) for system in study.systems for variant in ("plain", "degraded")]
        kinds += [("", "input")] if design == "ranking" else []
        return study, [
            Stimulus(
                system,
                item,
                variant,
                f"rendered/{i}.wav",
                None,
                sha256(f"{system}{item}{variant}".encode()).hexdigest(),
                1.0,
            )
            for i, (item, (system, variant)) in enumerate(product(names, kinds))
        ]

    return make


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, from a wheel."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="evalkit-run-"))  # without one its lock would warn
    pgserver = pytest.importorskip("pgserver", reason="pgserver brings the PostgreSQL that these tests need")
    folder = Path(tempfile.mkdtemp(prefix="evalkit-pg-"))
    server = pgserver.get_server(folder, cleanup_mode=None)
    yield server
    with contextlib.suppress(OSError):  # nothing of it is kept: no need for an orderly end
        os.kill(server.get_pid(), signal.SIGQUIT)
    atexit.unregister(server._cleanup)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def kill_postgresql(postgresql: PostgresServer) -> Iterator[Callable[[], Callable[[], None]]]:
    """A function that kills all of PostgreSQL's processes, and gives one that starts it from what is on the disk."""
    import subprocess

    import psutil

    def kill() -> Callable[[], None]:
        postmaster = psutil.Process(postgresql.get_pid())
        sockets = Path(postgresql.get_postmaster_info().socket_dir)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        deadline = time.monotonic() + 30
        while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for names_a_zombie in (postgresql.pgdata / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
            names_a_zombie.unlink(missing_ok=True)  # it stays one where nobody collects orphans
        return start

    def start() -> None:
        for _ in range(60):  # it gives up while PostgreSQL is still recovering
            with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
                postgresql.ensure_postgres_running()
                return
            time.sleep(0.5)
        pytest.fail("PostgreSQL did not start again")

    yield kill
    start()  # for the next test, whatever became of this one


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of either kind."""
    if request.param == "sqlite":
        return str(tmp_path / "study.sqlite")
    server = request.getfixturevalue("postgresql")
    server.psql("SET lock_timeout = '10s'; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return server.get_uri()


STUDY_SYSTEMS = ("zarquon-net", "blorptron", "quuxnade")  # names that occur nowhere by chance
STUDY_TEXT = """
name: fitting
title: {en: "Which bars fit better?", de: "Welche Takte passen besser?"}
languages: [en, de]
text:
  welcome: {en: Thank you for listening., de: Danke fürs Zuhören.}
  consent: {en: I take part of my own free will., de: Ich nehme freiwillig teil.}
systems: {zarquon-net: midi/zarquon-net, blorptron: midi/blorptron, quuxnade: midi/quuxnade}
trials: {per_participant: 2, practice: 1}
excerpt: {bars: 4, highlight: [2, 3]}
gate: 0.4
background: [musical_background]
target: {participants: 12}
"""
STUDY_QUESTIONS = {
    "choice": "design: paired\nquestions:\n"
    "  - {name: fits, kind: choice, ties: true, both_bad: true, text: Which one fits better}",
    "likert": "design: paired\nquestions: [{name: musical, kind: likert, text: Which one is more musical}]",
    "ranking": "design: ranking\ninput: midi/input\nquestions:\n"
    "  - {name: improved, kind: each, text: Better than the input}\n"
    "  - {name: quality, kind: rank, text: Please rank them by quality}",
    "rating": "design: rating\nquestions: [{name: human, kind: likert, text: Who composed it}]",
}


@pytest.fixture(scope="session")
def write_study() -> Callable[..., Path]:
    """A function that writes a study of a design with its rendered stimuli, which differ in the middle only."""

    def write(folder: Path, design: str, *, seconds: float = 2.0, **changes: str) -> Path:
        from hashlib import sha256

        import yaml

        from evalkit.music.audio import SAMPLE_RATE
        from studies.manifest import Roll, Stimulus, roll_json, write_manifest
        from studies.sound import flac_files

        (folder / "rendered").mkdir(parents=True)
        text = yaml.safe_load(STUDY_TEXT) | yaml.safe_load(STUDY_QUESTIONS[design])
        text |= {key: yaml.safe_load(value) for key, value in changes.items()}
        (folder / "study.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
        time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        stimuli = []
        for item in range(5):
            keys = [(system, "plain") for system in STUDY_SYSTEMS]
            keys += [("", "input")] if design == "ranking" else []
            middles = [62 + 3 * i + item for i in range(len(keys))]
            steps = [[60, 64, middle, middle + 2, 67, 60] for middle in middles]
            notes = [[(i * seconds / 6, (i + 1) * seconds / 6, p) for i, p in enumerate(each)] for each in steps]
            clips = [
                sum(0.2 * ((time >= s) & (time < e)) * np.sin(2 * np.pi * 440 * 2 ** ((p - 69) / 12) * time)
                    for s, e, p in each)
                for each in notes
            ]  # fmt: skip
            for (system, variant), file, each in zip(keys, flac_files(clips), notes, strict=True):
                name = sha256(f"{item}{system}".encode()).hexdigest()[:16]
                roll = Roll(seconds, tuple(each), tuple(np.linspace(0, seconds, 5)), (seconds / 3, 2 * seconds / 3))
                (folder / f"rendered/{name}.flac").write_bytes(file)
                (folder / f"rendered/{name}.json").write_text(roll_json(roll))
                paths = f"rendered/{name}.flac", f"rendered/{name}.json"
                stimuli.append(Stimulus(system, f"kumquat-{item}", variant, *paths, sha256(file).hexdigest(), seconds))
        write_manifest(folder, stimuli)
        return folder

    return write


SERVE = """
import os, sys
from pathlib import Path
from studies.app import serve
from studies.design import load_study
from studies.manifest import read_manifest
from studies.store import open_store
study = load_study(Path(sys.argv[1]))
store = open_store(str(study.folder / "study.sqlite"))
serve.run(study, read_manifest(study.folder), store, serve.bind("127.0.0.1", 0), os.environ.get(serve.PASSWORD))
"""


@pytest.fixture(scope="session")
def serve_studies() -> Iterator[Callable[..., list[str]]]:
    """A function that serves studies that ``write_study`` has written, and gives their addresses."""
    import subprocess
    import sys

    running = []

    def serve(*folders: Path, **environment: str) -> list[str]:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", SERVE, str(folder)],
                stderr=subprocess.PIPE, text=True, env=os.environ | environment,
            )
            for folder in folders
        ]  # fmt: skip
        running.extend(started)
        lines = [process.stderr.readline() for process in started]
        return [line.split(" is open at ")[1].split(" ")[0].replace("localhost", "127.0.0.1") for line in lines]

    yield serve
    for process in running:
        process.terminate()
    codes = [process.wait(timeout=30) for process in running]
    for process in running:
        process.stderr.close()
    assert not any(codes), codes  # SIGTERM ends it in order
