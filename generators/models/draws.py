"""Drawing from a softmax so that the last bit of a logit hardly ever matters.

Networks answer a piece in a batch of another size with logits that differ in their last bits. Inverting a distribution
function over thousands of cells turns that into another draw a hundred times more often than the exponential race
does, which changes its winner only where two cells finish within those bits of each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def race_times(streams: Sequence[np.random.Generator], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard exponential numbers, ``shape`` for each stream: (streams, *shape)."""
    return np.stack([rng.standard_exponential(shape) for rng in streams])


def draw(logits: Tensor, times: Tensor, temperature: float) -> Tensor:
    """One index per row of logits ``(..., N)``, drawn from their softmax at a temperature; 0: the most probable.

    ``times`` are standard exponential numbers of the same shape: the index of the smallest time over weight has
    exactly that distribution. A logit of -inf is never drawn while another is finite.
    """
    logits = logits.double()
    if temperature == 0:
        return logits.argmax(dim=-1)
    return (logits / temperature - times.log()).argmax(dim=-1)
