"""Running suites: whose shard fails, what is kept, and which bytes come out."""

import importlib
import json
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import evalkit
from evalkit.bench import runner, worker
from evalkit.bench.executors import execute
from evalkit.bench.suite import load_suite
from evalkit.errors import UserError
from evalkit.music import satb
from evalkit.music.midi import write_midi
from evalkit.music.notes import Piece, note_array
from generators.adapters.uniform import Uniform

PLUGINS = '''
import dataclasses, os, signal, sys, time
import numpy as np
from evalkit.protocols import GeneratorInfo, fingerprint, piece_rng

class LifeCycle:
    def load(self, device="cpu"): ...
    def release(self): ...
    def __enter__(self): return self
    def __exit__(self, *exc): ...

class Good(LifeCycle):
    def __init__(self, log=None, low=50):
        self.log, self.low = log, low
        self.info = GeneratorInfo(type(self).__name__, "1", "satb", fingerprint(type(self).__name__, low))

    def sample(self, n, *, steps, seed, temperature=1.0):
        if self.log:
            with open(self.log, "a") as log:
                log.write(f"{type(self).__name__} {n} {seed}\\n")
        return self.answer([self.draw(steps, piece_rng(seed, i)) for i in range(n)])

    def draw(self, steps, rng):
        return rng.integers(self.low, 80, (steps, 4)).astype(np.int16)

    def answer(self, pieces):
        return pieces

class Raises(Good):
    def answer(self, pieces): raise ValueError("out of\\nideas")

class Nan(Good):
    def answer(self, pieces): return [np.full((4, 4), np.nan) for _ in pieces]

class Garbage(Good):
    def answer(self, pieces): return [p + 300 for p in pieces]

class TooMany(Good):
    def answer(self, pieces): return pieces * 2

class NoAnswer(Good):
    def answer(self, pieces): return None

class Exits(Good):
    def answer(self, pieces): os._exit(3)

class SysExits(Good):
    def answer(self, pieces): sys.exit(4)

class Segfaults(Good):
    def answer(self, pieces): os.kill(os.getpid(), signal.SIGSEGV)

class Unstable(Good):
    def __init__(self):
        self.info = GeneratorInfo("Unstable", "1", "satb", str(os.getpid()))
    def sample(self, n, **how): os._exit(3)

class Hangs(Good):
    def answer(self, pieces): time.sleep(1000)

class NotLoadable(Good):
    def load(self, device="cpu"): raise OSError("no such weights")

class Mute(LifeCycle):
    info = GeneratorInfo("Mute", "1", "satb", "0")
    def edit_log_probs(self, rolls, cells=None): ...

class Foreign(Good):
    def __init__(self):
        self.info = GeneratorInfo("Foreign", "1", "tablature", "0")

@dataclasses.dataclass(frozen=True)
class WiderInfo(GeneratorInfo):
    mood: str = "sad"

class OwnInfo(Good):
    def __init__(self):
        self.info = WiderInfo("OwnInfo", "1", "satb", "0")

class NoInfo(Good):
    info = None
    def __init__(self): ...

class OddName(Good):
    def __init__(self):
        self.info = GeneratorInfo("bad \\udce9 name", "1", "satb", "0")

class OddFields(Good):
    def __init__(self):
        self.info = GeneratorInfo("OddFields", "1", "satb", "0", parameters=object())

class OddError(Good):
    def answer(self, pieces): raise ValueError("bad \\udce9 name")

class Sometimes(Good):
    def answer(self, pieces):
        if len(pieces) < 4: os.kill(os.getpid(), signal.SIGKILL)
        return pieces

class Flaky(Good):
    """Fails until the file exists."""
    def answer(self, pieces):
        if not os.path.exists(self.log + ".mended"): raise RuntimeError("not today")
        return pieces
'''

SUITE = """\
name: tiny
data: {{folder: music}}
representation: satb
resamples: 100
timeout: 60
tasks:
  - {{task: samples, pieces: 6, bars: 1, metrics: [in_scale_rate], shard_size: 4}}
generators: [{generators}]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with music, plug-ins, and room for suites."""
    (tmp_path / "music").mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        voices = rng.choice([48, 55, 60, 64, 66], (32, 4)).astype(np.int16)
        write_midi(satb.decode(voices, str(i)), tmp_path / "music" / f"{i}.mid")
    (tmp_path / "gen.py").write_text(PLUGINS)
    return tmp_path


def run(place: Path, *generators: str, out: str = "out", workers: int = 2, **changes) -> dict:
    entries = ", ".join(f"gen.py:{g}" if g[0].isupper() else g for g in generators)
    (place / "tiny.yaml").write_text(SUITE.format(generators=entries))
    limit, timeout = changes.pop("limit", None), changes.pop("timeout", 60)
    suite = load_suite(str(place / "tiny.yaml")).model_copy(update=changes)
    return runner.run(runner.make_plan(suite, limit=limit), place / out, workers=workers, timeout=timeout)


def statuses(document: dict) -> dict[str, tuple[str, str | None]]:
    return {r["generator"]: (r["status"], r["reason"]) for r in document["results"] if r["generator"] != "reference"}


def contents(folder: Path) -> dict[str, bytes]:
    """Everything but the time it took."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "timing.json"
    }


def asked(log: Path) -> Counter:
    """Shards that were put to each generator."""
    return Counter(line.split()[0] for line in log.read_text().splitlines()) if log.exists() else Counter()


def test_a_bad_generator_takes_down_its_own_shards_only(place: Path):
    bad = {
        "Raises": "ValueError: out of ideas",
        "Nan": "ValueError: piece 0 holds NaN",
        "Garbage": "ValueError: piece 0 is not in the representation satb: a voice sings -1 (silence) or 0..127, not 3",
        "TooMany": "2 of 2 shards failed: pieces 0-3: ValueError: returned 8 pieces where 4 were asked for; "
        "pieces 4-5: ValueError: returned 4 pieces where 2 were asked for",
        "NoAnswer": "ValueError: returned NoneType instead of a list of arrays",
        "Exits": "its process exited with code 3 and no answer",
        "SysExits": "SystemExit: 4",
        "Segfaults": "its process was killed by SIGSEGV",
        "Sometimes": "1 of 2 shards failed: pieces 4-5: its process was killed by SIGKILL (out of memory?)",
        "NotLoadable": "OSError: no such weights",
        "OwnInfo": "info must be an evalkit.protocols.GeneratorInfo itself, not WiderInfo",
        "NoInfo": "info must be an evalkit.protocols.GeneratorInfo itself, not NoneType",
        "OddName": r"info holds '\udce9', which is no character of Unicode",
        "OddFields": "TypeError: Object of type object is not JSON serializable",
        "OddError": r"ValueError: bad \udce9 name",
        "Foreign": "LookupError: info.representation is 'tablature'; there are: pianoroll, satb",
    }
    document = run(place, "Good", *bad, "Mute", "uniform")
    found = statuses(document)
    assert found["Good"] == found["uniform"] == ("ok", None)
    assert found["Mute"] == ("not_applicable", "has no Samples, which the task 'samples' needs")
    for name, reason in bad.items():
        assert found[name][0] == "failed", name
        assert found[name][1].startswith(reason), (name, found[name][1])
    values = {r["generator"]: r["value"] for r in document["results"]}
    assert all(values[name] is None for name in (*bad, "Mute"))
    assert 0 < values["Good"] < 1
    alone = run(place, "Good", "uniform", out="alone")
    assert {r["generator"]: r["value"] for r in alone["results"]}["Good"] == values["Good"]
    assert sorted(p.name for p in (place / "out" / "samples").iterdir()) == ["Good", "uniform"]
    assert len(list((place / "out" / "records").glob("*/*.npz"))) == 2 + 2 + 1  # Good, uniform, half of Sometimes


def test_a_generator_that_hangs_is_given_up_after_the_limit(place: Path):
    start = time.monotonic()
    document = run(place, "Hangs", "Good", limit=4, timeout=6.0)
    assert time.monotonic() - start < 30
    assert statuses(document) == {"Hangs": ("failed", "no answer within 6 s"), "Good": ("ok", None)}


def test_a_fingerprint_that_changes_with_the_process_is_found_out(place: Path):
    ((status, reason),) = statuses(run(place, "Unstable")).values()
    assert status == "failed"
    assert reason.startswith("info differs between two processes")


def test_worker_counts_and_order_of_arrival_change_no_byte(place: Path):
    for workers in (1, 3):
        run(place, "Good", "uniform", "Raises", out=f"out{workers}", workers=workers)
    one, three = contents(place / "out1"), contents(place / "out3")
    assert one == three
    assert sum(name.endswith(".mid") for name in one) == 6
    timing = json.loads((place / "out3" / "timing.json").read_text())
    assert timing["workers"] == 3
    assert "duration_s" not in json.loads(one["results.json"])["provenance"]


def test_what_is_finished_is_not_asked_again(place: Path):
    log = place / "log"
    good = f"{{name: Good, generator: gen.py:Good, log: {log}}}"
    run(place, good)
    assert asked(log) == {"Good": 2}
    before = contents(place / "out")
    run(place, good)
    assert asked(log) == {"Good": 2}
    assert contents(place / "out") == before
    document = run(place, good, "uniform")  # another generator in the same directory
    assert asked(log) == {"Good": 2}
    assert set(statuses(document)) == {"Good", "uniform"}
    run(place, good, limit=4)  # the first slice is the same
    assert asked(log) == {"Good": 2}
    run(place, good.replace("}", ", low: 51}"))  # another setting is another generator
    assert asked(log) == {"Good": 4}
    (place / "gen.py").write_text(PLUGINS + "\n# an edit\n")
    run(place, good)
    assert asked(log) == {"Good": 6}
    (place / "music" / "0.mid").write_bytes((place / "music" / "1.mid").read_bytes())
    run(place, good)
    assert asked(log) == {"Good": 8}


def test_code_that_a_generator_imports_is_part_of_its_key(place: Path):
    log = place / "log"
    (place / "bits").mkdir()
    for helper in (place / "helper.py", place / "bits" / "deep.py"):
        helper.write_text("LOWEST = 50\n")
    (place / "gen.py").write_text(PLUGINS + "\nfrom helper import LOWEST\nimport bits.deep\n")
    (place / "unused.py").write_text("")
    good = f"{{name: Good, generator: gen.py:Good, log: {log}}}"
    run(place, good)
    (place / "unused.py").write_text("LOWEST = 51\n")
    run(place, good)
    assert asked(log) == {"Good": 2}
    for times, helper in enumerate((place / "helper.py", place / "bits" / "deep.py"), start=2):
        helper.write_text("LOWEST = 51\n")
        run(place, good)
        assert asked(log) == {"Good": 2 * times}


def test_a_generator_of_a_package_is_known_by_all_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "their_package"
    (package / "sub").mkdir(parents=True)
    for name in ("__init__.py", "sub/__init__.py", "sub/tables.py", "rules.py"):
        (package / name).write_text("")
    (package / "sub" / "model.py").write_text("class Net: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    net = importlib.import_module("their_package.sub.model").Net
    found = [worker._code_of(net)["their_package"]]
    for name in ("sub/tables.py", "rules.py", "sub/model.py"):
        (package / name).write_text("CHANGED = 1\n")
        found.append(worker._code_of(net)["their_package"])
    assert len(set(found)) == 4
    assert worker._code_of(Uniform).keys() >= {"generators", "numpy"}


def test_all_our_own_sources_are_behind_a_record(place: Path, monkeypatch: pytest.MonkeyPatch):
    """A copy of the package in which one file of any folder is edited gives other keys."""
    ours = Path(evalkit.__file__).parent
    copy = place / "copy"
    for file in ours.rglob("*.py"):
        (copy / file.relative_to(ours)).parent.mkdir(parents=True, exist_ok=True)
        (copy / file.relative_to(ours)).write_bytes(file.read_bytes())
    monkeypatch.setattr(evalkit, "__file__", str(copy / "__init__.py"))
    log = place / "log"
    good = f"{{name: Good, generator: gen.py:Good, log: {log}}}"
    run(place, good)
    for times, name in enumerate(("metrics/likelihood.py", "metrics/ngram.py", "protocols.py"), start=2):
        (copy / name).write_text((copy / name).read_text() + "# edited\n")
        run(place, good)
        assert asked(log) == {"Good": 2 * times}


def test_a_damaged_record_is_made_again(place: Path):
    log = place / "log"
    good = f"{{name: Good, generator: gen.py:Good, log: {log}}}"
    run(place, good)
    before = contents(place / "out")
    first, second = sorted((place / "out" / "records").glob("*/*.npz"))
    first.write_bytes(first.read_bytes()[:-30])
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    second.write_bytes(damaged)
    (first.parent / f".{first.name}.{'0' * 16}").write_bytes(b"what a killed run was writing")
    run(place, good)
    assert asked(log) == {"Good": 4}
    assert contents(place / "out") == before


def test_a_shard_that_failed_is_asked_again(place: Path):
    flaky = f"{{name: Flaky, generator: gen.py:Flaky, log: {place / 'log'}}}"
    assert statuses(run(place, flaky)) == {"Flaky": ("failed", "RuntimeError: not today")}
    (place / "log.mended").touch()
    assert statuses(run(place, flaky)) == {"Flaky": ("ok", None)}


def test_a_setting_that_a_generator_does_not_have_is_its_failure(place: Path):
    ((status, reason),) = statuses(run(place, "{name: Typo, generator: uniform, hgih: 3}")).values()
    assert status == "failed"
    assert reason.startswith("generator 'uniform' has no setting 'hgih'; did you mean high")


def test_a_directory_belongs_to_one_suite_seed_and_data(place: Path):
    run(place, "uniform", limit=2)
    with pytest.raises(UserError, match=r"--out: .*out is for the seed 0, and this run has the seed 1"):
        run(place, "uniform", limit=2, seed=1)
    with pytest.raises(UserError, match=r'is for the suite "tiny", and this run has the suite "other"'):
        run(place, "uniform", limit=2, name="other")
    (place / "score").mkdir()
    (place / "score" / "results.json").write_text("{}")
    with pytest.raises(UserError, match=r"score holds files and no run"):
        run(place, "uniform", out="score")
    (place / "file").touch()
    with pytest.raises(UserError, match="cannot be used"):
        run(place, "uniform", out="file")


def test_a_folder_of_the_users_is_refused_untouched(place: Path):
    mine = place / "samples" / "mine.mid"
    mine.parent.mkdir()
    for file in (mine, place / ".notes.txt", place / ".env.local"):
        file.write_text("mine")
    (place / "tiny.yaml").write_text(SUITE.format(generators="uniform"))
    before = contents(place)
    with pytest.raises(UserError, match=r"--out: .* holds files and no run \(records/suite.json\)"):
        run(place, "uniform", out=".")
    assert contents(place) == before


def test_a_run_replaces_its_own_files_and_no_others(place: Path):
    run(place, "Good", "uniform", limit=2)
    out = place / "out"
    theirs = [out / "samples" / "Good" / "take.mid", out / "samples" / "old" / "a.mid", out / ".my.notes"]
    for file in theirs:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    temporary = out / f".results.json.{'a' * 16}"
    temporary.touch()
    run(place, "uniform", limit=2)
    assert [file.read_text() for file in theirs] == ["mine"] * 3
    assert not temporary.exists()
    assert sorted(p.name for p in (out / "samples").rglob("*.mid")) == ["0000.mid", "0001.mid", "a.mid", "take.mid"]
    (out / "samples" / "Good" / "0000.mid").write_text("mine")
    with pytest.raises(UserError, match=r"Good/0000\.mid is not of this run"):
        run(place, "Good", limit=2)
    assert (out / "samples" / "Good" / "0000.mid").read_text() == "mine"


def test_a_run_killed_before_its_manifest_can_begin_again(place: Path):
    (place / "out" / "records").mkdir(parents=True)
    (place / "out" / "records" / ".lock").touch()
    (place / "out" / "records" / f".suite.json.{'0' * 16}").touch()
    assert statuses(run(place, "uniform", limit=2)) == {"uniform": ("ok", None)}
    assert not list((place / "out" / "records").glob(".suite*"))


def test_two_runs_do_not_share_a_directory(place: Path):
    run(place, "uniform", limit=2)
    suite = load_suite(str(place / "tiny.yaml"))
    with (
        runner.claimed(place / "out", suite),
        pytest.raises(UserError, match="another run is at work in"),
    ):
        run(place, "uniform", limit=2)


def test_workers_are_gone_when_the_run_is_given_up(place: Path):
    """Closing the iterator is what Ctrl-C does."""
    (place / "tiny.yaml").write_text(SUITE.format(generators="gen.py:Good, gen.py:Hangs"))
    plan = runner.make_plan(load_suite(str(place / "tiny.yaml")))
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("reads the list of children from /proc")
    before = set(children.read_text().split())
    outcomes = execute(
        plan.jobs, lambda job, description: plan.questions["samples"].shards, workers=2, timeout=60, folder=place
    )
    assert next(outcomes).job.name == "Good"
    assert set(children.read_text().split()) - before
    outcomes.close()
    assert set(children.read_text().split()) == before


def test_the_reference_is_compared_as_the_representation_says_it(place: Path):
    """A voice that strikes 60 four times in a bar: satb can only hold it, so holding it is a perfect copy."""
    step = np.arange(0, 64, 4)
    struck = Piece("struck", 4, note_array(step, np.full(16, 4), np.full(16, 60)), 64)
    for file in (place / "music").iterdir():
        file.unlink()
    write_midi(struck, place / "music" / "struck.mid")
    crowded = note_array(np.zeros(5, int), np.full(5, 16), np.arange(60, 65))
    write_midi(Piece("crowded", 4, crowded, 16), place / "music" / "crowded.mid")
    (place / "gen.py").write_text(
        PLUGINS
        + """
class Holds(Good):
    def answer(self, pieces):
        held = np.full_like(pieces[0], -1)
        held[:, 0] = 60
        return [held for _ in pieces]
"""
    )
    (place / "tiny.yaml").write_text(
        SUITE.format(generators="gen.py:Holds").replace("in_scale_rate", "copied_bars").replace("bars: 1", "bars: 4")
    )
    document = runner.run(runner.make_plan(load_suite(str(place / "tiny.yaml"))), place / "out", workers=1, timeout=60)
    assert {r["generator"]: r["value"] for r in document["results"]} == {"reference": None, "Holds": 4.0}
    assert document["provenance"]["unreadable"] == [
        "crowded.mid: cannot be said as satb: 5 pitches sound at step 0, four voices have at most 4"
    ]


def test_a_reference_that_cannot_be_said_is_named(place: Path):
    for file in (place / "music").iterdir():
        file.unlink()
    crowded = note_array(np.zeros(5, int), np.full(5, 16), np.arange(60, 65))
    write_midi(Piece("crowded", 4, crowded, 16), place / "music" / "crowded.mid")
    with pytest.raises(
        UserError, match=r"the reference music has no piece to compare with: crowded\.mid: cannot be said"
    ):
        run(place, "uniform")
