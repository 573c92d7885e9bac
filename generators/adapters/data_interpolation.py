"""The papers' naive way between two pieces: each step from the one or the other, by chance. No model, no latent space.

Source: MusicVAE (Roberts, Engel, Raffel, Hawthorne & Eck, ICML 2018), section 5.3, "Data" in Fig. 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit import __version__
from evalkit.metrics.interpolation import blend
from evalkit.protocols import GeneratorInfo, fingerprint
from generators.adapters import LifeCycle
from generators.adapters.windows import representation_called


class DataInterpolation(LifeCycle):
    """Pieces of any length, in any representation. The temperature has no effect.

    The task ``interpolation`` has this row in its results in any case.
    """

    name = "data-interpolation"

    def __init__(self, representation: str = "melody") -> None:
        self.info = GeneratorInfo(
            name=self.name,
            version=__version__,
            representation=representation_called(representation).name,
            fingerprint=fingerprint(self.name, representation),
            temperature=False,
            citation="Roberts, Engel, Raffel, Hawthorne & Eck, ICML 2018",
            licence="none needed",
        )

    def interpolate(
        self,
        a: Sequence[NDArray[Any]],
        b: Sequence[NDArray[Any]],
        alpha: float,
        *,
        seed: int,
        temperature: float = 1.0,
    ) -> list[NDArray[Any]]:
        """Each step from ``b`` with probability ``alpha``, else from ``a``; pairs of one length at a time."""
        return [
            blend(one[None], other[None], alpha, seed, start=i)[0]
            for i, (one, other) in enumerate(zip(map(np.asarray, a), map(np.asarray, b), strict=True))
        ]
