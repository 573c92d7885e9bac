"""What an analysis is to look for and whom it leaves out, declared in ``study.yaml`` before anyone listens.

    analysis:
      reference: real                  # paired choice and rank: its log-strength is 0; with a margin: who is as good?
      difference: 0.5                  # smallest worth finding, in the unit of the result; or {question: 0.5, ...}
      margin: 0.3                      # of equivalence: below it a difference does not matter; as `difference`
      properties: [musical_background] # of listeners, on which preferences may depend: columns of participants.csv
      screening: {catch_failed: 0.5, heard: 0.8, seconds: 3, same_answers: 12, trials: 5}

It is part of the registration, and cannot be changed once somebody has taken part.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from evalkit.configuration import STRICT

PROPERTIES = ("language", "piano_roll", "source", "listening_with", "headphones_correct")  # of every participant
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Screening(BaseModel):
    """Listeners beyond any of these limits are left out; the results are shown with them as well."""

    model_config = STRICT

    catch_failed: Share | None = None  # largest share of catch trials failed
    heard: Share | None = None  # smallest median share of the excerpts heard
    seconds: Positive | None = None  # smallest median time per answer
    same_answers: int | None = Field(default=None, ge=1)  # longest run of the same answer
    trials: int | None = Field(default=None, ge=1)  # fewest trials answered, catch and repeated ones included


class Analysis(BaseModel):
    """The declared analysis; everything may be left out."""

    model_config = STRICT

    reference: str | None = None
    difference: Positive | dict[str, Positive] | None = None
    margin: Positive | dict[str, Positive] | None = None
    properties: tuple[str, ...] = ()
    screening: Screening = Screening()
