"""Orderless NADE as ES-Net's authors built it: the same network, trained and used to add notes only.

Source: the baseline of Chi, Kumar, Yaddanapudi, Suresh and Isik, ISMIR 2020, after Uria, Murray and Larochelle, ICML
2014. Whether the paper masks cells that are filled already it does not say; a model that only adds cannot toggle them,
so here they have probability 0, in use as in likelihoods.
"""

from __future__ import annotations

from torch import Tensor

from generators.models.edits import Allowed
from generators.models.es_net import STEPS, EditsRolls


class OrderlessNade(EditsRolls):
    """Adds notes under the mask, one by one: ``additions`` cells per 8 bars, which makes about 4 voices (the paper)."""

    model = "orderless-nade"
    citation = "Uria, Murray and Larochelle, ICML 2014; as a baseline: Chi et al., ISMIR 2020"

    def __init__(self, weights: str = "small", additions: int = 400) -> None:
        super().__init__(weights, additions=additions)

    def iterations_for(self, steps: int) -> int:
        return round(self.settings["additions"] * steps / STEPS)

    def allowed(self, given: Tensor, fill: Tensor, steps: int) -> Allowed:
        return lambda present: fill & ~present

    def may_propose(self, present: Tensor) -> Tensor:
        return ~present
