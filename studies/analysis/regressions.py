"""Ratings by statsmodels' regressions: ordinal, generalised estimating equations, and mixed effects.

Second opinions beside ``means``: the ordinal model does not take the steps of the scale for equal, the others know
other covariances. Each gives one test of "all systems are alike", and effects against the first system by name. None
knows that a system's clips are a sample too; ``means.rating_means`` does.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studies.analysis.clustering import denominator, wald_test
from studies.analysis.strengths import NOWHERE, Effect, effect
from studies.analysis.tables import checked_ratings

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
# (table with str columns system, listener, item and float rating) -> effects against the first system, covariance
Fit = Callable[["pd.DataFrame"], tuple[Floats, Floats]]

MOST_ITEMS = 40  # as fixed effects of the mixed model


@dataclass(frozen=True, slots=True)
class Regression:
    """``effects`` against ``baseline``: log-odds of a higher rating (ordinal), else points of the scale."""

    model: str
    baseline: Any
    effects: dict[Any, Effect]
    statistic: float  # F
    df: int
    p: float
    n: int
    listeners: int
    notes: tuple[str, ...] = ()
    df_denominator: float = math.nan  # degrees of freedom of F: F(df, df_denominator)


def ordinal(table: pd.DataFrame, scale: tuple[float, float] | None = None) -> Regression:
    """Cumulative logit, errors clustered by listener. Source: McCullagh (1980), J. Roy. Statist. Soc. B 42."""

    def fitted(table: pd.DataFrame) -> tuple[Floats, Floats]:
        from statsmodels.miscmodels.ordinal_model import OrderedModel

        levels = np.unique(table["rating"], return_inverse=True)[1]
        for system, ratings in table["rating"].groupby(table["system"]):
            if ratings.nunique() == 1 and ratings.iloc[0] in (table["rating"].min(), table["rating"].max()):
                end = "highest" if ratings.iloc[0] == table["rating"].max() else "lowest"
                raise ValueError(f"every rating of {system} is the {end}, so its effect is infinite")
        design = _dummies(table)
        clusters = {"groups": _codes(table["listener"])}
        found = OrderedModel(levels, design, distr="logit").fit(
            method="bfgs", disp=False, maxiter=500, cov_type="cluster", cov_kwds=clusters
        )
        width = design.shape[1]
        return np.asarray(found.params)[:width], np.asarray(found.cov_params())[:width, :width]

    return _regression("ordinal logit, clustered by listener", table, scale, fitted)


def gee(table: pd.DataFrame, scale: tuple[float, float] | None = None) -> Regression:
    """Generalised estimating equations, exchangeable within listeners, errors as Mancl and DeRouen (2001)."""

    def fitted(table: pd.DataFrame) -> tuple[Floats, Floats]:
        import statsmodels.api as sm

        design = _dummies(table)
        width = design.shape[1]
        model = sm.GEE(
            table["rating"].to_numpy(),
            np.column_stack([design, np.ones(len(design))]),
            groups=_codes(table["listener"]),
            cov_struct=sm.cov_struct.Exchangeable(),
        )
        found = model.fit(cov_type="bias_reduced")
        return np.asarray(found.params)[:width], np.asarray(found.cov_params())[:width, :width]

    return _regression("GEE, exchangeable within listeners", table, scale, fitted)


def mixed(table: pd.DataFrame, scale: tuple[float, float] | None = None) -> Regression:
    """Linear mixed model by REML: listeners, and each listener's taste for each system, are random; items are fixed."""

    def fitted(table: pd.DataFrame) -> tuple[Floats, Floats]:
        from statsmodels.regression.mixed_linear_model import MixedLM

        items = " + C(item)" if 1 < table["item"].nunique() <= MOST_ITEMS else ""
        model = MixedLM.from_formula(
            f"rating ~ C(system){items}",
            table,
            groups="listener",
            re_formula="1",
            vc_formula={"taste": "0 + C(system)"},
        )
        found = model.fit(reml=True, method=["bfgs", "powell"])  # lbfgs stops far away and calls it converged
        names = [name for name in found.fe_params.index if name.startswith("C(system)")]
        return found.fe_params[names].to_numpy(), found.cov_params().loc[names, names].to_numpy()

    return _regression("mixed linear, random listeners and tastes", table, scale, fitted)


def _codes(column: pd.Series) -> NDArray[np.intp]:
    return np.unique(column, return_inverse=True)[1]


def _dummies(table: pd.DataFrame) -> Floats:
    """(rows, systems - 1) indicators of all systems but the first by name."""
    codes = _codes(table["system"])
    return np.eye(codes.max() + 1)[codes][:, 1:]


def _regression(name: str, table: pd.DataFrame, scale: tuple[float, float] | None, fitted: Fit) -> Regression:
    """NaN, with a note, where statsmodels cannot fit the model."""
    checked_ratings(table, scale)
    plain = table[["system", "listener", "item"]].astype(str).assign(rating=table["rating"].astype(float))
    systems = sorted(table["system"].unique(), key=str)
    listeners, width = plain["listener"].nunique(), len(systems) - 1
    values, covariance = np.full(width, np.nan), np.full((width, width), np.nan)
    notes: list[str] = []
    if not width or listeners < 2 or plain["rating"].nunique() < 2:
        notes.append("needs two systems, two listeners and two different ratings")
    else:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                values, covariance = fitted(plain)
            except (np.linalg.LinAlgError, ValueError, FloatingPointError) as error:
                notes.append(f"could not be fitted: {error}")
        said = {str(w.message) for w in caught if "Convergence" in w.category.__name__}
        notes += sorted(f"statsmodels: {text}" for text in said if not text.startswith("Retrying"))  # it goes on
    df = listeners - 1 if width and listeners > 1 else math.nan
    statistic, _, p = wald_test(values, covariance, df)
    if statistic < 0:  # of a fit that did not converge: its covariance is none
        statistic, p = math.nan, math.nan
    effects = {
        s: effect(float(v), float(c), df) if np.isfinite(c) else Effect(math.nan, math.nan, NOWHERE, math.nan)
        for s, v, c in zip(systems[1:], values, np.diag(covariance), strict=True)
    }
    return Regression(
        name, systems[0], effects, statistic, width, p, len(plain), listeners, tuple(notes), denominator(df, width)
    )
