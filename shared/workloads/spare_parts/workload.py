"""The spare parts contract: records to training rows, estimator, scores and golden requests.

No clock, no disk, no daemon; what a document is and what an answer is stand beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import SettingsInvalid
from shared.records import Table, from_epoch_us
from shared.workloads.contract import Answerer, Workload
from shared.workloads.holdout import days_held_out
from shared.workloads.losses import score_regressor
from shared.workloads.rows import FeatureSpec
from shared.workloads.spare_parts import records
from shared.workloads.spare_parts import rows as daily_demand
from shared.workloads.spare_parts.daily_totals import PartsLedger, read_catalogue, unusable
from shared.workloads.spare_parts.fields import APPOINTMENT, CATALOGUE
from shared.workloads.spare_parts.rows import COLUMN, WARM_UP_DAYS, DemandHistory
from shared.workloads.spare_parts.serving import (
    STATE_DAYS,
    UNIT,
    RestockAnswerer,
    ServingState,
    as_date,
    read_serving_state,
    write_serving_state,
)
from shared.workloads.training import GoldenRequest, Progress, Score, StreamSpec, TrainingSet

# Chosen on expanding windows inside the older four fifths of real demand; half or twice as much
# changes the error by less than 1 %, and the greater one is the safer on a short history.
_RIDGE_ALPHA = 100.0
# Drawn towards a sound guess instead of zero, so that a short history is no worse off for it.
_GUESS = {"adjusted_28_days": 0.5, "adjusted_slow": 0.5}
# Below 1 a column must earn its coefficient: what one weekday adds is mostly noise.
_TRUST_IN_WEEKDAYS = 0.5
_LEVEL_FLOOR = 0.05  # pieces/day; keeps the weight of a hardly used part finite


class SparePartsParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a model of spare parts can be told.

    time_zone : IANA name; where the garage is. Decides which day a moment in UTC belongs to.
    day_first : how to read 03/04/2025 in appointments.
    history_days : how far back training looks.
    """

    time_zone: str = "UTC"
    day_first: bool = True
    history_days: Annotated[int, msgspec.Meta(ge=60, le=3650)] = 1095


class SpareParts(Workload):
    """See the module docstring; the contract is in `base`."""

    name = "spare_parts"
    streams = (
        StreamSpec(
            "appointments",
            "completed service appointments with the parts they used",
            fields=APPOINTMENT,
        ),
        StreamSpec(
            "spare_parts",
            "the catalogue of parts",
            is_counted=False,
            is_required=False,
            fields=CATALOGUE,
        ),
    )
    Parameters = SparePartsParameters

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        try:
            self._time_zone = ZoneInfo(self.parameters.time_zone)
        except (KeyError, ValueError, OSError):
            raise SettingsInvalid(
                f"parameters of workload {self.name}: time_zone: expected an IANA name such as "
                f"Europe/Berlin, found {self.parameters.time_zone!r}."
            ) from None

    # -- what the records are ------------------------------------------------------------------

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        if stream == "spare_parts":
            return None if records.catalogue_entry(fields) else records.NO_NAME
        return unusable(fields, self._day(fields))

    def _day(self, fields: Mapping[str, Any]) -> date | None:
        return records.appointment_day(fields, self._time_zone, self.parameters.day_first)

    # -- training half: retrain_service only -----------------------------------------------------

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """One row per part and day, from the day after the part's first use on."""
        rejected: Counter[str] = Counter()
        catalogue = read_catalogue(tables.get("spare_parts", ()), rejected)
        table = tables["appointments"]
        newest = from_epoch_us(max(table.updated_at_us, default=0)).astimezone(self._time_zone)
        ledger = PartsLedger(catalogue, newest.date())
        for record in table:
            ledger.enter(record.fields, self._day(record.fields))
        history = ledger.history(self.parameters.history_days)
        features, pieces, day, part = daily_demand.feature_rows(history)
        return TrainingSet(
            features=features,
            target=pieces,
            day=day,
            slices=np.array(history.parts, dtype=np.str_)[part],
            context=ServingState(history, tuple(catalogue.values())),
            rejected=dict(rejected + ledger.rejected),
        )

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        """The newest days of the calendar are the holdout."""
        history: DemandHistory = rows.context.history
        n_held_out = days_held_out(history.n_days)
        is_holdout = rows.day >= history.end - np.timedelta64(n_held_out, "D")
        return _take(rows, ~is_holdout), _take(rows, is_holdout)

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """One ridge regression for all parts, in pieces per day.

        Errors weigh 1 / level: counts vary as their mean does, and unweighted the fast parts
        alone would decide. The squared loss is meant: the median of a part that is used twice
        a week is zero, and nobody would restock it.
        """
        from sklearn.linear_model import Ridge

        progress(0.0, "fit")
        history: DemandHistory = train.context.history
        is_open = daily_demand.is_open_day(history.pieces.sum(axis=1))
        is_used = is_open[(train.day - history.first_day).astype(np.int64)]
        x, y = train.features[is_used], train.target[is_used]
        guess, trust = np.zeros(len(self.features)), np.ones(len(self.features))
        for name, share in _GUESS.items():
            guess[COLUMN[name]] = share
        trust[daily_demand.FIRST_WEEKDAY_COLUMN :] = _TRUST_IN_WEEKDAYS

        ridge = Ridge(alpha=_RIDGE_ALPHA, fit_intercept=False, random_state=seed)
        weight = 1 / (x[:, COLUMN["level"]] + _LEVEL_FLOOR)
        ridge.fit(x * trust, y - x @ guess, sample_weight=weight)
        ridge.coef_ = ridge.coef_ * trust + guess
        progress(1.0, "fit")
        return ridge

    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        return score_regressor(np.maximum(estimator.predict(holdout.features), 0.0), holdout, UNIT)

    def score_baseline(self, holdout: TrainingSet) -> Score:
        """The naive baseline: the exponentially weighted mean of the same weekdays."""
        return score_regressor(holdout.features[:, COLUMN["same_weekday_mean"]], holdout, UNIT)

    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        return write_serving_state(rows.context)

    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        """Every question; a forecast from the end, far ahead, across a gap, and in the past."""
        history: DemandHistory = rows.context.history.newest(STATE_DAYS)
        end = as_date(history.end)
        now = datetime(end.year, end.month, end.day, 12, tzinfo=UTC)
        past = end - timedelta(days=max(history.n_days - WARM_UP_DAYS, 0) // 2)
        after_a_gap = end + timedelta(days=200)
        names = [spec.name for spec in self.features]
        newest_rows = rows.features[max(rows.n_rows - len(history.parts), 0) :].tolist()
        instances = [dict(zip(names, row, strict=True)) for row in newest_rows]
        return (
            GoldenRequest("forecast", {}, now),
            GoldenRequest("forecast", {"forecast_days": 90, "current_date": str(end)}, now),
            GoldenRequest("forecast", {"forecast_days": 3, "current_date": str(after_a_gap)}, now),
            GoldenRequest("forecast", {"forecast_days": 14, "current_date": str(past)}, now),
            GoldenRequest("parts", {}, now),
            GoldenRequest("predict", {"instances": instances}, now),
        )

    # -- serving half: both daemons ----------------------------------------------------------------

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return daily_demand.FEATURES

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        return RestockAnswerer(estimator, read_serving_state(state), self._time_zone)


def _take(rows: TrainingSet, chosen: NDArray[np.bool_]) -> TrainingSet:
    return replace(
        rows,
        features=rows.features[chosen],
        target=rows.target[chosen],
        day=rows.day[chosen],
        slices=rows.slices[chosen],
    )
