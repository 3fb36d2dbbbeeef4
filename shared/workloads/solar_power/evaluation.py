"""Judge forecasts of power by day. Knows no reading, no estimator and no clock."""

from __future__ import annotations

from dataclasses import replace

from shared.workloads.losses import score_regressor
from shared.workloads.solar_power.power_model import is_night
from shared.workloads.solar_power.profile import Floats, Past
from shared.workloads.solar_power.serving import UNIT
from shared.workloads.training import RowAnswers, Score, TrainingSet

_ANY_DAY = 2**40


def score_by_day(predicted: Floats, holdout: TrainingSet, past: Past) -> Score:
    """The absolute error by day: at night every model is right, and errors would look small.

    predicted : (n_rows,) W. Which rows are night does not depend on what was predicted.
    """
    night = is_night(holdout.features, holdout.target, past.highest_before(_ANY_DAY))
    by_day = ~night if not night.all() else night
    score = score_regressor(predicted[by_day], holdout.where(by_day), UNIT)
    return replace(score, rows=RowAnswers(holdout.target, predicted, UNIT))
