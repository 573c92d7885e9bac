"""``reports/published/*.yaml``: what the papers print and claim, as data.

Each file is one paper: ``systems`` (our generator's name -> theirs), ``tables`` and ``cells`` (every number as it is
printed), ``suite`` (which runs the paper's experiments again) and ``claims``:

    - id: esnet-gibbs-nearest-pitches
      text: a sentence in our own words
      where: Table 3
      printed: the paper's numbers for it
      needs: [es-net, coconet]         # generators; or the word "listeners"
      data: jsb:train                  # what it must have been measured on or against
      tasks: [completion, score]       # in which the paper's question is asked; by default any
      test: {metric: bhattacharyya, left: coconet, relation: "<", right: es-net}
      correct: ...                     # the same with the definition mended, where the paper's is flawed

A test compares ``left`` with ``right`` (both may be lists: every pair is tested) or with a ``value``:

    < <= > >=             the values of two systems; of one system and a value
    closer, as close      the distances of two systems from the reference
    =                     one system and a value, to the given tolerance

``settings`` (and ``mode``, which is one of them) choose among results of one metric. ``test`` may be a list, of which
all must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from evalkit.configuration import STRICT, checked, read_yaml

LISTENERS = "listeners"
Relation = Literal["<", "<=", ">", ">=", "=", "closer", "as close"]
DISTANCES = ("closer", "as close")  # relations of distances from the reference


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Names = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]


class ClaimTest(BaseModel):
    """A relation that a claim says there is between numbers."""

    model_config = STRICT

    metric: str
    variant: str = "correct"
    settings: dict[str, Any] = {}
    mode: str | None = None
    left: Names
    relation: Relation
    right: Names | None = None
    value: float | None = None
    tolerance: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _one_counterpart(self) -> ClaimTest:
        if (self.right is None) == (self.value is None):
            raise ValueError("give either 'right' or 'value'")
        if self.right is None and self.relation in DISTANCES:
            raise ValueError(f"the relation {self.relation!r} is between two systems: give 'right'")
        if self.right is not None and self.relation == "=":
            raise ValueError("no test can show two systems to be equal: give 'value' and 'tolerance'")
        return self

    @property
    def wanted(self) -> dict[str, Any]:
        """The settings that a result must have."""
        return self.settings | ({"mode": self.mode} if self.mode else {})


Tests = Annotated[tuple[ClaimTest, ...], BeforeValidator(_as_list)]


class Claim(BaseModel):
    """What a paper claims, and how it is tested."""

    model_config = STRICT

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    text: str
    where: str
    printed: str = ""
    needs: Literal["listeners"] | Names
    suite: str | None = None  # that of the paper, unless given
    data: str | None = None
    tasks: tuple[str, ...] = ()
    test: Tests = ()
    correct: Tests = ()

    @model_validator(mode="after")
    def _testable(self) -> Claim:
        if not self.test and self.needs != LISTENERS:
            raise ValueError("a claim needs a 'test', unless it needs listeners")
        return self


def read_papers() -> list[dict[str, Any]]:
    """Every ``reports/published/*.yaml``."""
    folder = sorted((files("reports") / "published").iterdir(), key=lambda file: file.name)
    return [read_yaml(file.read_text(encoding="utf-8"), file.name) for file in folder if file.name.endswith(".yaml")]


def claims_of(paper: Mapping[str, Any]) -> list[Claim]:
    """The paper's claims; ``UserError`` names the first key that is wrong."""
    file = f"{paper['paper']}.yaml"
    found = [checked(Claim, raw, file, f"claims[{i}]") for i, raw in enumerate(paper.get("claims", []))]
    suite = paper.get("suite")
    return [claim if claim.suite else claim.model_copy(update={"suite": suite}) for claim in found]
