"""What every generator must keep to, checked: ``evalkit generators check``, and the same from a test of one's own.

import pytest
from generators.conformance import check_generator
from mine import MyGenerator

@pytest.mark.parametrize("finding", check_generator(MyGenerator), ids=lambda f: f"{f.capability}-{f.rule}")
def test_my_generator_keeps_the_rules(finding):
    assert finding.status != "failed", finding.reason
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from evalkit.bench.worker import reason_of
from evalkit.errors import UserError
from evalkit.protocols import Generator
from generators.rules import answers, cells, latent, life_cycle, pieces, scores
from generators.rules.shared import global_random_state
from generators.rules.subject import NotApplicable, Subject, Violation

Rule = Callable[[Subject, str], str]

EVERY = "every generator"  # what stands for a capability in the rules that all must keep

ANSWERS: dict[str, Rule] = {
    "same-seed": answers.same_seed,
    "batch-size": answers.batch_size,
    "global-random-state": answers.random_state,
}
INPUTS: dict[str, Rule] = {"inputs-untouched": answers.inputs_untouched}
RULES: dict[str, dict[str, Rule]] = {
    "Samples": {
        "well-formed": pieces.well_formed_pieces,
        "pitch-range": pieces.pitch_range,
        **ANSWERS,
        "different-seeds": answers.different_seeds,
        "temperature": answers.temperature,
    },
    "Completes": {
        "well-formed": pieces.well_formed_pieces,
        "pitch-range": pieces.pitch_range,
        **ANSWERS,
        **INPUTS,
        "different-seeds": answers.different_seeds,
        "temperature": answers.temperature,
        "context-untouched": pieces.context_untouched,
        "no-leak": pieces.completion_leak,
    },
    "ScoresTokens": {
        "well-formed": scores.well_formed_scores,
        "own-samples-possible": scores.own_samples_possible,
        "normalised": scores.normalised,
        **ANSWERS,
        **INPUTS,
        "causal": scores.causal,
        "padding": scores.padding,
        "mask-only-selects": scores.mask_only_selects,
        "no-leak": scores.free_running_leak,
    },
    "AutoEncodes": {
        "well-formed-posterior": scores.well_formed_posterior,
        "well-formed": pieces.well_formed_pieces,
        "pitch-range": pieces.pitch_range,
        **ANSWERS,
        **INPUTS,
        "temperature": answers.temperature,
        "well-formed-scores": scores.well_formed_decoder_scores,
        "normalised": scores.normalised,
        "causal": scores.causal,
    },
    "PredictsTokens": {
        "well-formed": latent.well_formed_predictions,
        "likeliest": latent.likeliest,
        **ANSWERS,
        **INPUTS,
    },
    "Interpolates": {
        "well-formed": pieces.well_formed_pieces,
        "pitch-range": pieces.pitch_range,
        "length": latent.as_long_as_their_ends,
        **ANSWERS,
        **INPUTS,
        "different-seeds": answers.different_seeds,
        "temperature": answers.temperature,
    },
    "ProposesEdits": {
        "well-formed": cells.well_formed_edits,
        "normalised": cells.normalised_edits,
        **ANSWERS,
        **INPUTS,
        "cells": cells.cells_gathered,
    },
    "ScoresMasked": {
        "well-formed": cells.well_formed_masked,
        "normalised": cells.normalised_masked,
        **ANSWERS,
        **INPUTS,
        "cells-alone": cells.cells_alone,
        "no-leak": cells.masked_leak,
    },
}
BEFORE: dict[str, Rule] = {
    "info-complete": life_cycle.info_complete,
    "fingerprint-stable": life_cycle.fingerprint_stable,
}
AFTER: dict[str, Rule] = {  # these compare with the answers to the questions above
    "load-twice": life_cycle.load_twice,
    "context-manager": life_cycle.context_manager,
    "another-instance": life_cycle.another_instance,
    "round-trip": life_cycle.round_trip,
    "device-memory": life_cycle.device_memory,
    "release-and-load": life_cycle.release_and_load,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says about one capability."""

    rule: str
    capability: str
    status: Literal["passed", "failed", "not_applicable"]
    reason: str  # one sentence, with the numbers


def check_generator(make: Callable[..., Generator], *, device: str = "cpu", seed: int = 0) -> list[Finding]:
    """All rules on the generator that ``make`` makes; it is called several times, for instances that are alike.

    Where the generator has ``save(folder)``, ``make`` is also called with ``weights=folder``, if it takes that.

    Deterministic; takes as long as some 60 small batches and two loads. Raises ``UserError`` where the generator
    cannot be made or loaded because of a mistake of the user's, such as a folder that is not there.
    """
    return list(findings(make, device=device, seed=seed))


def findings(make: Callable[..., Generator], *, device: str = "cpu", seed: int = 0) -> Iterator[Finding]:
    """The findings of ``check_generator`` one by one, as the rules are run."""
    try:
        with global_random_state(0):
            subject = Subject(make, device, seed)
    except UserError:
        raise
    except Exception as error:
        yield Finding("loads", EVERY, "failed", reason_of(error))
        return
    try:
        for capability, rules in _rules_for(subject):
            for name, rule in rules.items():
                yield _finding(name, rule, capability, subject)
    finally:
        subject.generator.release()


def _rules_for(subject: Subject) -> Iterator[tuple[str, dict[str, Rule]]]:
    yield EVERY, BEFORE | ({} if subject.capabilities else {"capabilities": _no_capability})
    for capability in subject.capabilities:
        yield capability, RULES.get(capability, {"rules-known": _no_rules})
    yield EVERY, AFTER


def _no_capability(subject: Subject, capability: str) -> str:
    raise Violation("it has none of the capabilities of evalkit.protocols")


def _no_rules(subject: Subject, capability: str) -> str:
    raise Violation(f"generators.conformance has no rules for {capability}, so nothing is known about it: add them")


def _finding(name: str, rule: Rule, capability: str, subject: Subject) -> Finding:
    try:
        with global_random_state(0):
            return Finding(name, capability, "passed", rule(subject, capability))
    except NotApplicable as reason:
        return Finding(name, capability, "not_applicable", str(reason))
    except Violation as reason:
        return Finding(name, capability, "failed", str(reason))
    except Exception as error:  # the generator's own; the other rules go on
        return Finding(name, capability, "failed", reason_of(error))
