"""The rules of every generator: who it is, loading, releasing, saving; errors, torch, and the command that checks."""

import itertools
import random
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalkit import protocols
from evalkit.cli import main
from evalkit.errors import UserError
from evalkit.protocols import GeneratorInfo, fingerprint, piece_rng
from generators import conformance
from generators.adapters import LifeCycle
from generators.conformance import check_generator
from generators.rules.exercises import walk
from generators.rules.shared import global_states, states_changed_since

LOW, HIGH = 55, 70


class Sampler(LifeCycle):
    """Four voices of chance."""

    info = GeneratorInfo("sampler", "1", "satb", "f" * 16, pitch_range=(LOW, HIGH), temperature=False)

    def sample(self, n, *, steps, seed, temperature=1.0):
        return [piece_rng(seed, i).integers(LOW, HIGH + 1, (steps, 4), np.int16) for i in range(n)]


def failures(make, **settings):
    return {(f.capability, f.rule) for f in check_generator(make, **settings) if f.status == "failed"}


def test_an_honest_generator_keeps_every_rule():
    assert failures(Sampler) == set()


# ----------------------------------------------------------------------------------- the ways in which one is broken


class FingerprintChanges(Sampler):
    breaks = ((conformance.EVERY, "fingerprint-stable"),)

    count = itertools.count()

    def __init__(self):
        self.info = replace(Sampler.info, fingerprint=f"{next(self.count):016d}")


class ForgetsAfterRelease(Sampler):
    breaks = ((conformance.EVERY, "release-and-load"),)

    offset = 0

    def release(self):
        self.offset += 1

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=seed + self.offset, temperature=temperature)


class LoadsAgainAndAgain(Sampler):
    breaks = ((conformance.EVERY, "load-twice"),)

    loads = 0

    def load(self, device="cpu"):
        self.loads += 1

    def release(self):
        self.loads = 0

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=seed if self.loads == 1 else seed + 99)


class EachHasItsOwnWeights(Sampler):
    breaks = ((conformance.EVERY, "another-instance"),)

    count = itertools.count()

    def __init__(self):
        self.offset = next(self.count)

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=seed + self.offset, temperature=temperature)


class EntersAsNothing(Sampler):
    breaks = ((conformance.EVERY, "context-manager"),)

    def __enter__(self):
        self.load()


class SwallowsErrors(Sampler):
    breaks = ((conformance.EVERY, "context-manager"),)

    def __exit__(self, *exc):
        return True


class RangeUpsideDown(Sampler):
    breaks = ((conformance.EVERY, "info-complete"),)

    info = replace(Sampler.info, version="")


class Saved(Sampler):
    """An offset to its seeds, which is all there is to save."""

    def __init__(self, weights=""):
        self.offset = int(Path(weights, "offset").read_text()) if weights else 3
        self.info = replace(Sampler.info, fingerprint=fingerprint(self.offset))

    def save(self, folder):
        (folder / "offset").write_text(str(self.offset))

    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=seed + self.offset)


class SavesSomethingElse(Saved):
    breaks = ((conformance.EVERY, "round-trip"),)

    def save(self, folder):
        (folder / "offset").write_text("4")


class ForgetsHalfOfItself(Saved):
    """The fingerprint is the same, what it does is not."""

    breaks = ((conformance.EVERY, "round-trip"),)

    def __init__(self, weights=""):
        super().__init__(weights)
        self.offset += 7 * bool(weights)


class CannotBeSaved(Saved):
    breaks = ((conformance.EVERY, "round-trip"),)

    def save(self, folder):
        raise OSError("disk full")


def test_each_way_of_being_broken_is_caught_by_its_rule_alone(rule_breaker):
    assert failures(rule_breaker) == set(rule_breaker.breaks)


class SavedForNobody(Sampler):
    def save(self, folder):
        raise AssertionError("nobody asks")


class SavedWithDefaults(Saved):
    """Made by a function that knows of no weights."""


@pytest.mark.parametrize(
    ("make", "status", "told"),
    [
        (Saved, "passed", "the answers to 1 questions are the same after saving and making it again"),
        (Sampler, "not_applicable", "it has no save"),
        (SavedForNobody, "not_applicable", "it can be saved, but nothing makes it from weights"),
        (lambda: SavedWithDefaults(), "not_applicable", "it is made here without a choice of weights"),
    ],
)
def test_who_is_saved_and_made_again(make, status, told):
    found = {f.rule: f for f in check_generator(make)}["round-trip"]
    assert (found.status, found.reason) == (status, told)


def test_the_command_makes_it_again_from_what_was_saved(tmp_path, capsys):
    """Also where the weights are chosen by a setting: the saved ones come instead."""
    (tmp_path / "mine.py").write_text(SAVED)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "offset").write_text("5")
    for settings in ((), ("--set", f"weights={tmp_path / 'old'}")):
        assert run(f"{tmp_path / 'mine.py'}:Good", *settings) == 0
        assert row_of("round-trip", capsys.readouterr().out) == "passed"
        assert run(f"{tmp_path / 'mine.py'}:Bad", *settings) == 1
        assert row_of("round-trip", capsys.readouterr().out) == "failed"


def row_of(rule, table):
    """The status of a rule in the table that the command prints."""
    return next(line.split(rule)[1].split()[0] for line in table.splitlines() if f" {rule} " in line)


SAVED = """
from dataclasses import replace
from pathlib import Path
from evalkit.protocols import fingerprint
from generators.adapters.uniform import Uniform


class Good(Uniform):
    def __init__(self, weights: str = ""):
        super().__init__()
        self.offset = Path(weights, "offset").read_text() if weights else "3"
        self.info = replace(self.info, fingerprint=fingerprint(self.offset))

    def save(self, folder):
        (folder / "offset").write_text(self.offset)


class Bad(Good):
    def save(self, folder):
        (folder / "offset").write_text(self.offset + "0")
"""


# ------------------------------------------------------------------------------------------------ errors and edges


class Raises(Sampler):
    def token_log_probs(self, tokens, mask=None, *, free_running=False):
        raise RuntimeError("out of\nmemory")


def test_an_error_fails_the_rules_that_meet_it_and_the_others_go_on():
    found = check_generator(Raises)
    of_scores = [f for f in found if f.capability == "ScoresTokens"]
    assert {(f.status, f.reason) for f in of_scores} == {("failed", "RuntimeError: out of memory")}
    assert {f.status for f in found if f not in of_scores} == {"passed", "not_applicable"}


def test_a_generator_that_does_not_load_is_one_finding_and_a_users_mistake_is_told():
    class Unloadable(Sampler):
        def load(self, device="cpu"):
            raise OSError("weights.bin is truncated")

    class Misused(Sampler):
        def load(self, device="cpu"):
            raise UserError("folder: no such folder")

    (finding,) = check_generator(Unloadable)
    assert (finding.rule, finding.status, finding.reason) == ("loads", "failed", "OSError: weights.bin is truncated")
    with pytest.raises(UserError, match="no such folder"):
        check_generator(Misused)


class Nothing(LifeCycle):
    info = Sampler.info


def test_a_capability_without_rules_fails_loudly(monkeypatch):
    monkeypatch.setitem(protocols.CAPABILITIES, "Improvises", Sampler)
    found = {f.capability: f for f in check_generator(Sampler)}
    assert found["Improvises"].status == "failed"
    assert "has no rules for Improvises" in found["Improvises"].reason
    assert failures(Nothing) == {(conformance.EVERY, "capabilities")}


def test_every_capability_has_rules():
    assert conformance.RULES.keys() == protocols.CAPABILITIES.keys()


def test_an_unknown_representation_is_told_once():
    class Foreign(Sampler):
        info = replace(Sampler.info, representation="tablature")

    assert failures(Foreign) == {(conformance.EVERY, "info-complete")}


class SeedsTheGlobalState(Sampler):
    def sample(self, n, *, steps, seed, temperature=1.0):
        np.random.seed(seed)  # noqa: NPY002
        return super().sample(n, steps=steps, seed=random.randrange(10**6))


def test_a_check_leaves_the_global_random_states_alone():
    before = global_states()
    check_generator(SeedsTheGlobalState)
    assert states_changed_since(before) == []
    np.random.seed(5)  # noqa: NPY002
    assert states_changed_since(before) == ["numpy.random"]


@pytest.mark.parametrize("pitch_range", [(0, 127), (36, 81), (60, 60), (90, 100), (0, 20)])
def test_what_is_asked_stays_in_the_range(pitch_range):
    pitches = walk(np.random.default_rng(0), 48, pitch_range).notes["pitch"]
    assert pitch_range[0] <= pitches.min() <= pitches.max() <= pitch_range[1]


# ------------------------------------------------------------------------------------------------------------ torch


class FakeTorch(types.ModuleType):
    """As much of torch as the rules use."""

    def __init__(self):
        super().__init__("torch")
        self.state, self.allocated = np.zeros(1), 0
        self.cuda = types.SimpleNamespace(is_initialized=lambda: False, memory_allocated=lambda device: self.allocated)

    def manual_seed(self, number):
        self.state = np.full(1, number)

    def get_rng_state(self):
        return self.state

    def set_rng_state(self, state):
        self.state = state


@pytest.fixture
def torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", FakeTorch())
    return sys.modules["torch"]


def test_torchs_global_state_is_watched_where_torch_is_in_use(torch):
    class DrawsFromTorch(Sampler):
        def sample(self, n, *, steps, seed, temperature=1.0):
            torch.state = torch.state + 1
            return super().sample(n, steps=steps, seed=seed, temperature=temperature)

    (finding,) = [f for f in check_generator(DrawsFromTorch) if f.status == "failed"]
    assert (finding.rule, finding.reason) == ("global-random-state", "sample changes the global state of torch")
    assert torch.state == 0


@pytest.mark.parametrize("kept", [0, 3 * 2**20])
def test_device_memory_must_come_back(torch, kept):
    class OnTheDevice(Sampler):
        holds = False

        def load(self, device="cpu"):
            torch.allocated += 0 if self.holds else 4 * 2**20
            self.holds = True

        def release(self):
            torch.allocated -= 4 * 2**20 - kept if self.holds else 0
            self.holds = False

    found = {f.rule: f for f in check_generator(OnTheDevice, device="cuda:0")}["device-memory"]
    assert found.status == ("failed" if kept else "passed"), found.reason


# ----------------------------------------------------------------------------------------------------- the command

PLUGIN = """
from dataclasses import replace
from generators.adapters.uniform import Uniform


class Good(Uniform):
    pass


class Careless(Uniform):
    def sample(self, n, *, steps, seed, temperature=1.0):
        return super().sample(n, steps=steps, seed=0)
"""


def run(*args):
    with pytest.raises(SystemExit) as stopped:
        main(["generators", "check", *map(str, args)])
    return stopped.value.code


def test_the_check_command_prints_a_table_and_answers_with_its_exit_code(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    assert run(f"{file}:Good", "--set", "low=40", "--seed", "3") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "pitches 40..81 within 40..81" in out
    assert " failed" not in out.rsplit("\n", 2)[0]

    assert run(f"{file}:Careless") == 1
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if " failed " in line and "different-seeds" in line]
    assert line.split()[:3] == ["Samples", "different-seeds", "failed"]
    assert "sample gives the same 4 pieces for the seeds 0 and 1" in line
    assert out.splitlines()[-1].endswith("mine.py:Careless: 40 rules passed, 1 failed, 2 not applicable")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["unifrom"], "no generator called 'unifrom'; did you mean uniform?"),
        (["uniform", "--set", "voices=3"], "generator 'uniform' has no setting 'voices'"),
        (["uniform", "--set", "low"], "--set low: write KEY=VALUE"),
        (["midi-folder", "--set", "folder=missing"], "missing: no such folder"),
    ],
)
def test_wrong_use_of_the_check_command(args, told, capsys):
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert err.count("\n") == 1
