"""``reports/published/*.yaml``: what the papers print and claim, as data.

Each file is one paper: ``systems`` (our generator's name -> theirs), ``tables`` (every number as it is printed),
``suite`` (which runs the paper's experiments again) and ``claims``. A table:

    - id: table-3
      heading: what stands above it
      dataset: jsb:train               # a corpus of ours; or words, with same_data: false, where nobody has the data
      tasks: [completion, score]       # which ask as the paper did
      columns:                         # without metric: what we do not compute
        - {heading: KS D, metric: ks_pitch, variant: published, decimals: 2, corrected: true}
      rows:
        es-net: [0.17]                 # a value for each column, null where the table has none
      note: one or two sentences on what is wrong with the numbers, or keeps ours from being like them

A claim is tested by what generators made, or by listeners:

    - id: esnet-gibbs-nearest-pitches
      text: a sentence in our own words
      where: Table 3
      printed: the paper's numbers for it
      needs: [es-net, coconet]         # generators; or the word "listeners"
      data: jsb:train                  # what it must have been measured on or against
      tasks: [completion, score]       # in which the paper's question is asked; by default any
      test: {metric: bhattacharyya, left: coconet, relation: "<", right: es-net}
      correct: ...                     # the same with the definition mended, where the paper's is flawed
      heard: {design: paired, kind: choice, question: fits, left: inpaintnet, relation: ">", right: reg-arnn}

A test compares ``left`` with ``right`` (both may be lists: every pair is tested) or with a ``value``:

    < <= > >=             the values of two systems; of one system and a value
    closer, as close      the distances of two systems from the reference
    =                     one system and a value, to the given tolerance

``settings`` (and ``mode``, which is one of them) choose among results of one metric. ``right_settings`` are those of
the right side where it was measured otherwise; ``left`` and ``right`` may then be one system. With ``times`` the
relation is that of the left to so many times the right: ``relation: "=", times: 0.75, tolerance: 0.05`` says that the
quotient lies between 0.7 and 0.8. ``test`` may be a list, of which all must hold.

``heard`` names a question of a listening study and what is compared there: the systems' preferences (``of:
difference``, in the unit of the study's analysis), the probability that left is preferred to right (``of: win
probability``, with a ``value``), or without ``right`` one system's own estimate. "=" needs a tolerance: no study can
show that there is no difference at all. Systems have the names that the study gives them; music by people is called
``original``, as ``evalkit study new`` calls it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from evalkit.configuration import STRICT, checked, read_yaml

LISTENERS = "listeners"
ORIGINAL = "original"  # music by people, in a study
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
    right_settings: dict[str, Any] = {}
    times: float | None = Field(None, gt=0)
    value: float | None = None
    tolerance: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _one_counterpart(self) -> ClaimTest:
        if (self.right is None) == (self.value is None):
            raise ValueError("give either 'right' or 'value'")
        if self.right is None and (self.times or self.right_settings):
            raise ValueError("'times' and 'right_settings' belong to 'right'")
        if self.relation in DISTANCES and (self.right is None or self.times or self.right_settings):
            raise ValueError(f"the relation {self.relation!r} is between two systems: give 'right'")
        if self.right is not None and self.relation == "=" and not (self.times and self.tolerance):
            raise ValueError(
                "no test can show two systems to be equal: give 'value' and 'tolerance', or 'times' and 'tolerance'"
            )
        return self

    @property
    def wanted(self) -> dict[str, Any]:
        """The settings that a result must have."""
        return self.settings | ({"mode": self.mode} if self.mode else {})


class HeardTest(BaseModel):
    """A relation that a claim says there is between systems as listeners judge them."""

    model_config = STRICT

    design: Literal["paired", "ranking", "rating"]
    kind: Literal["choice", "likert", "each", "rank", "rating"]
    question: str
    of: Literal["difference", "win probability"] = "difference"
    left: Names
    relation: Literal["<", ">", "="]
    right: Names | None = None
    value: float | None = None
    tolerance: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _decidable(self) -> HeardTest:
        if self.value is None and (self.right is None or self.of == "win probability"):
            raise ValueError("give a 'value'")
        if self.value is not None and self.right is not None and self.of == "difference":
            raise ValueError("a difference is compared with 0: a 'value' has no place here")
        if self.right is None and self.of == "win probability":
            raise ValueError("a win probability is between two systems: give 'right'")
        if self.relation == "=" and not self.tolerance:
            raise ValueError("no study can show a difference to be nothing: give a 'tolerance'")
        return self


Tests = Annotated[tuple[ClaimTest, ...], BeforeValidator(_as_list)]
HeardTests = Annotated[tuple[HeardTest, ...], BeforeValidator(_as_list)]


class Claim(BaseModel):
    """What a paper claims, and how it is tested. ``suite`` is the paper's unless given; "" where none of ours asks."""

    model_config = STRICT

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    text: str
    where: str
    printed: str = ""
    needs: Literal["listeners"] | Names
    suite: str | None = None
    data: str | None = None
    tasks: tuple[str, ...] = ()
    test: Tests = ()
    correct: Tests = ()
    heard: HeardTests = ()

    @model_validator(mode="after")
    def _testable(self) -> Claim:
        if not self.test and self.needs != LISTENERS:
            raise ValueError("a claim needs a 'test', unless it needs listeners")
        if self.heard and self.needs != LISTENERS:
            raise ValueError("only a claim that needs listeners can be 'heard'")
        return self


class Column(BaseModel):
    """A column of a printed table; without ``metric`` one of what we do not compute (degrees of freedom, ratings)."""

    model_config = STRICT

    heading: str
    metric: str | None = None
    variant: str = "correct"
    settings: dict[str, Any] = {}
    decimals: int = Field(ge=0)
    corrected: bool = False  # the published definition is an artefact: show the correct one beside it


class Table(BaseModel):
    """A table as printed."""

    model_config = STRICT

    id: str
    heading: str
    dataset: str
    same_data: bool = True
    tasks: tuple[str, ...] = ()
    settings: dict[str, Any] = {}  # that our results must have for all columns
    columns: tuple[Column, ...] = Field(min_length=1)
    rows: dict[str, tuple[float | None, ...]]
    names: dict[str, str] = {}  # of rows that are no systems
    note: str | None = None

    @model_validator(mode="after")
    def _full(self) -> Table:
        for row, values in self.rows.items():
            if len(values) != len(self.columns):
                raise ValueError(f"the row {row!r} has {len(values)} values for {len(self.columns)} columns")
        return self


class Paper(BaseModel):
    """One file."""

    model_config = STRICT

    paper: str
    title: str
    suite: str | None = None
    systems: dict[str, str] = {}
    tables: tuple[Table, ...] = ()
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _named(self) -> Paper:
        for table in self.tables:
            if unknown := table.rows.keys() - self.systems.keys() - table.names.keys():
                raise ValueError(f"{table.id}: the row {min(unknown)!r} has no name in 'systems' nor in its 'names'")
        return self

    @property
    def own_claims(self) -> Iterator[Claim]:
        """The claims, each with the suite that runs it."""
        for claim in self.claims:
            yield claim if claim.suite is not None else claim.model_copy(update={"suite": self.suite})


@cache
def read_papers() -> tuple[Paper, ...]:
    """Every ``reports/published/*.yaml``; ``UserError`` names the first key that is wrong."""
    folder = sorted((files("reports") / "published").iterdir(), key=lambda file: file.name)
    return tuple(
        parse_paper(read_yaml(file.read_text(encoding="utf-8"), file.name), file.name)
        for file in folder
        if file.name.endswith(".yaml")
    )


def parse_paper(raw: Any, file: str) -> Paper:
    """What one file says."""
    return checked(Paper, raw, file)
