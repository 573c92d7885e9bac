"""Rules for every generator: who it is, and that loading and releasing change nothing."""

from __future__ import annotations

import gc
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evalkit.music.representations import REPRESENTATIONS
from generators.rules.shared import memory_on, uses_torch_on
from generators.rules.subject import NotApplicable, Subject, Violation, difference


def info_complete(subject: Subject, capability: str) -> str:
    info = subject.info
    for field in ("name", "version", "fingerprint"):
        if not isinstance(getattr(info, field), str) or not getattr(info, field):
            raise Violation(f"info.{field} is {getattr(info, field)!r}, and should be text")
    if info.representation not in REPRESENTATIONS:
        raise Violation(f"info.representation is {info.representation!r}; there are: {', '.join(REPRESENTATIONS)}")
    low, high = info.pitch_range
    if not 0 <= low <= high <= 127:
        raise Violation(f"info.pitch_range is {low}..{high}, and should be within 0..127")
    if info.steps is not None and info.steps < 1:
        raise Violation(f"info.steps is {info.steps}, and should be at least 1 (None: any length)")
    if info.context not in ("past", "both"):
        raise Violation(f"info.context is {info.context!r}, and should be 'past' or 'both'")
    return f"{info.name} {info.version}, {info.representation}, pitches {low}..{high}"


def fingerprint_stable(subject: Subject, capability: str) -> str:
    """Of two that are made alike, and before and after loading."""
    prints = [subject.make().info.fingerprint, subject.generator.info.fingerprint, subject.make().info.fingerprint]
    if len(set(prints)) > 1:
        raise Violation(f"three generators made alike have the fingerprints {', '.join(prints)}")
    return f"{prints[0]} of each of three made alike"


def load_twice(subject: Subject, capability: str) -> str:
    subject.generator.load(subject.device)
    return _same_from(subject.generator, subject, "a second load")


def context_manager(subject: Subject, capability: str) -> str:
    made = subject.make()
    with made as entered:
        if entered is not made:
            raise Violation(f"__enter__ returned {type(entered).__name__} instead of the generator itself")
    try:
        with made:
            raise KeyError("a user's own error")
    except KeyError:
        pass
    else:
        raise Violation("__exit__ returns true, which swallows the errors of a with statement")
    return "with gives the generator itself and lets errors through"


def another_instance(subject: Subject, capability: str) -> str:
    twin = subject.make()
    twin.load(subject.device)
    try:
        return _same_from(twin, subject, "another instance made alike")
    finally:
        twin.release()


def round_trip(subject: Subject, capability: str) -> str:
    """Saved to a folder, and made again from ``weights=folder``."""
    if not callable(getattr(subject.generator, "save", None)):
        raise NotApplicable("it has no save")
    if not any("weights" in signature(made_by).parameters for made_by in (subject.make, type(subject.generator))):
        raise NotApplicable("it can be saved, but nothing makes it from weights")
    try:
        signature(subject.make).bind(weights="")
    except TypeError:
        raise NotApplicable("it is made here without a choice of weights") from None
    with TemporaryDirectory() as folder:
        subject.generator.save(Path(folder))
        twin = subject.make(weights=folder)
        prints = subject.generator.info.fingerprint, twin.info.fingerprint
        if prints[0] != prints[1]:
            raise Violation(f"its fingerprint is {prints[0]}, and {prints[1]} when saved and made again")
        twin.load(subject.device)
        try:
            return _same_from(twin, subject, "saving and making it again")
        finally:
            twin.release()


def release_and_load(subject: Subject, capability: str) -> str:
    subject.generator.release()
    subject.generator.load(subject.device)
    return _same_from(subject.generator, subject, "release and load")


def _same_from(generator: Any, subject: Subject, what: str) -> str:
    """To every question that the rules of the capabilities got an answer to."""
    if not subject.answers:
        raise NotApplicable("it answers nothing")
    for question, answer in subject.answers.items():
        if told := difference(answer, subject.ask(question, generator=generator)):
            raise Violation(f"{question.method} answers otherwise after {what}: {told}")
    return f"the answers to {len(subject.answers)} questions are the same after {what}"


def device_memory(subject: Subject, capability: str) -> str:
    """As torch counts it; what other libraries hold on the device is not seen."""
    if not uses_torch_on(subject.device):
        raise NotApplicable("asked only of generators that use torch on a GPU (--device cuda)")
    loaded = memory_on(subject.device)
    subject.generator.release()
    gc.collect()
    left = memory_on(subject.device) - subject.memory_before
    subject.generator.load(subject.device)
    if left > 2**20:
        raise Violation(f"release() leaves {left / 2**20:.1f} of {loaded / 2**20:.1f} MiB on {subject.device}")
    return f"release() gives back {(loaded - subject.memory_before) / 2**20:.1f} MiB"
