"""What a generator can do: one small protocol per capability, on plain NumPy arrays.

Shapes: B pieces, T tokens or steps, P pitches, Z latent dimensions. A *piece array* is an array in the generator's
representation (``info.representation``, a name in ``evalkit.music.representations.REPRESENTATIONS``).
A mask is true where the generator is to act (fill, score) and false where it only reads (the context).
A generator implements the protocols it can honour and no others; a task asks with ``isinstance``.
The same seed gives the same output, piece by piece, whatever the batch size: use ``piece_rng(seed, index)``.
Making a generator and asking its ``info`` must not need its device; weights and data come with ``load``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class GeneratorInfo:
    """Who a generator is. ``fingerprint`` hashes weights and settings and is part of every record's key."""

    name: str
    version: str
    representation: str
    fingerprint: str
    steps: int | None = None  # steps per window; None: any length
    pitch_range: tuple[int, int] = (0, 127)  # inclusive
    device: str = "cpu"
    parameters: int = 0
    corpus: str | None = None  # training corpus
    corpus_checksum: str | None = None
    finite: bool = False  # draws without replacement from a fixed set: parts of one draw, never two draws, make a set
    may_edit_context: bool = False
    context: str = "past"  # what masked scores may see: "past" or "both"
    temperature: bool = True  # whether it has an effect
    citation: str = ""
    licence: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Generator(Protocol):
    """The life cycle that all generators share: ``with generator: ...`` loads and releases."""

    @property
    def info(self) -> GeneratorInfo: ...

    def load(self, device: str = "cpu") -> None:
        """Make ready to use; idempotent, and implied by ``with``."""
        ...

    def release(self) -> None:
        """Give back the memory that ``load`` took, the device's too."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@runtime_checkable
class Samples(Protocol):
    def sample(self, n: int, *, steps: int, seed: int, temperature: float = 1.0) -> list[NDArray[Any]]:
        """The first ``n`` piece arrays of the stream that ``seed`` defines, each at most ``steps`` long.

        Raises ``UserError`` where the stream ends before ``n``.
        """
        ...


@runtime_checkable
class Completes(Protocol):
    def complete(
        self,
        contexts: Sequence[NDArray[Any]],
        mask: Sequence[NDArray[np.bool_]],
        *,
        seed: int,
        temperature: float = 1.0,
    ) -> list[NDArray[Any]]:
        """Whole pieces with the masked part filled; the rest untouched unless ``info.may_edit_context``.

        ``mask[i]`` has the shape of ``contexts[i]``; what stands under it there is not looked at.
        """
        ...


@runtime_checkable
class ScoresTokens(Protocol):
    def token_log_probs(
        self, tokens: NDArray[np.integer], mask: NDArray[np.bool_] | None = None, *, free_running: bool = False
    ) -> NDArray[np.float64]:
        """``(B, T)`` natural logarithms: NaN where not scored (the mask is false), ``-inf`` where impossible.

        Without a mask every token is scored. ``free_running``: given the generator's own tokens under the mask,
        not the true ones.
        """
        ...


@runtime_checkable
class AutoEncodes(Protocol):
    def encode(self, pieces: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and scale of the posterior, ``(B, Z)`` each."""
        ...

    def decode(self, z: NDArray[np.float64], *, seed: int, temperature: float = 1.0) -> list[NDArray[Any]]: ...

    def decode_log_probs(self, z: NDArray[np.float64], tokens: NDArray[np.integer]) -> NDArray[np.float64]:
        """``(B, T)`` natural logarithms of the tokens given z and the true prefix."""
        ...


@runtime_checkable
class PredictsTokens(Protocol):
    """What an autoencoder adds whose accuracy is to be measured teacher-forced: scores say nothing of other tokens."""

    def decode_predictions(self, z: NDArray[np.float64], tokens: NDArray[np.integer]) -> NDArray[np.integer]:
        """``(B, T)``: the likeliest token at each place, given z and the true tokens before it."""
        ...


@runtime_checkable
class Interpolates(Protocol):
    """For what has a way of its own between two pieces; between those of an autoencoder a task goes by ``encode``."""

    def interpolate(
        self,
        a: Sequence[NDArray[Any]],
        b: Sequence[NDArray[Any]],
        alpha: float,
        *,
        seed: int,
        temperature: float = 1.0,
    ) -> list[NDArray[Any]]:
        """For each pair a piece of its length, ``alpha`` of the way from ``a`` (0) to ``b`` (1)."""
        ...


@runtime_checkable
class ProposesEdits(Protocol):
    def edit_log_probs(self, rolls: NDArray[np.bool_], cells: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """``(B, T, P)`` log-softmax over all cells; with ``cells`` (B, C, 2) only their values, ``(B, C)``."""
        ...


@runtime_checkable
class ScoresMasked(Protocol):
    def masked_log_probs(
        self, pieces: NDArray[np.integer], mask: NDArray[np.bool_], cells: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """``(B, C, V)`` natural logarithms of what may stand in masked cells of a piece, given all that is not masked.

        ``pieces`` and ``mask`` are ``(B, steps, voices)``; ``cells`` ``(B, C, 2)`` are steps and voices where the mask
        is true. V counts the representation's vocabulary, in its order; the impossible has ``-inf``. The cells are
        scored one by one, each as if it alone were asked about: what stands under the mask is not looked at.
        """
        ...


CAPABILITIES: dict[str, type] = {
    "Samples": Samples,
    "Completes": Completes,
    "ScoresTokens": ScoresTokens,
    "AutoEncodes": AutoEncodes,
    "PredictsTokens": PredictsTokens,
    "Interpolates": Interpolates,
    "ProposesEdits": ProposesEdits,
    "ScoresMasked": ScoresMasked,
}


def capabilities(generator: object) -> list[str]:
    """The names of the protocols that a generator (or its class) honours, in the order of ``CAPABILITIES``."""
    return [name for name, protocol in CAPABILITIES.items() if isinstance(generator, protocol)]


def piece_rng(seed: int, index: int) -> np.random.Generator:
    """The random stream of piece ``index``: the same in any batch, on any machine, in any order."""
    return np.random.default_rng([seed, index])


def fingerprint(*parts: object) -> str:
    """A short hash of everything that determines what a generator does, the same in every process.

    Arrays count by dtype, shape and bytes, mappings whatever their order, everything else by its ``repr``.
    Raises ``TypeError`` for what has no stable ``repr``: sets, arrays of objects, instances that print their address.
    """
    digest = sha256()
    _feed(digest.update, parts)
    return digest.hexdigest()[:16]


def _feed(update: Callable[[bytes], None], part: object) -> None:
    if isinstance(part, Mapping):
        part = [item for _, item in sorted((repr(key), (key, value)) for key, value in part.items())]
    if isinstance(part, list | tuple):
        update(b"(%d" % len(part))
        for item in part:
            _feed(update, item)
    elif isinstance(part, np.ndarray) and not part.dtype.hasobject:
        update(f"{part.dtype}{part.shape}".encode() + part.tobytes())
    else:
        text = repr(part.item() if isinstance(part, np.generic) else part)
        if isinstance(part, np.ndarray | set | frozenset) or (not isinstance(part, str) and " at 0x" in text):
            raise TypeError(f"a {type(part).__name__} has no stable fingerprint: {text}")
        update(text.encode())
    update(b"\0")
