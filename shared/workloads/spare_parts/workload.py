"""The spare parts contract: records to training rows, estimator, scores and golden requests.

No clock, no disk, no daemon; what a document is and what an answer is stand beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents.time_columns import column_times
from shared.documents.time_policy import NoTime
from shared.errors import SettingsInvalid
from shared.records import Table, from_epoch_us
from shared.workloads.contract import Answerer, Workload
from shared.workloads.holdout import days_held_out
from shared.workloads.rows import FeatureSpec
from shared.workloads.spare_parts import records
from shared.workloads.spare_parts import rows as daily_demand
from shared.workloads.spare_parts.daily_totals import PartsLedger, read_catalogue, unusable
from shared.workloads.spare_parts.evaluation import score_model
from shared.workloads.spare_parts.fields import APPOINTMENT, CATALOGUE
from shared.workloads.spare_parts.history import DemandHistory
from shared.workloads.spare_parts.model import CANDIDATES, NAIVE, fit_demand, with_residuals
from shared.workloads.spare_parts.rows import WARM_UP_DAYS
from shared.workloads.spare_parts.serving import UNIT, RestockAnswerer
from shared.workloads.spare_parts.state import (
    STATE_DAYS,
    ServingState,
    as_date,
    read_serving_state,
    write_serving_state,
)
from shared.workloads.training import GoldenRequest, Progress, Score, StreamSpec, TrainingSet


class SparePartsParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a model of spare parts can be told.

    time_zone : IANA name; where the garage is. Decides which day a moment in UTC belongs to.
    day_first : how to read 03/04/2025 in appointments; not said: as the other dates show.
    history_days : how far back training looks.
    service_level : probability that the named quantity is enough, where a request does not say.
    interval : probability that a total lies between low and high, where a request does not say.
    """

    time_zone: str = "UTC"
    day_first: bool | None = None
    history_days: Annotated[int, msgspec.Meta(ge=60, le=3650)] = 1095
    service_level: Annotated[float, msgspec.Meta(ge=0.5, le=0.99)] = 0.95
    interval: Annotated[float, msgspec.Meta(ge=0.5, le=0.99)] = 0.8


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
            self._days = records.day_policy(self._time_zone, self.parameters.day_first)
            self._days_first = records.day_policy(self._time_zone, day_first=True)
        except (KeyError, ValueError, OSError):
            raise SettingsInvalid(
                f"parameters of workload {self.name}: time_zone: expected an IANA name such as "
                f"Europe/Berlin, found {self.parameters.time_zone!r}."
            ) from None

    # -- what the records are ------------------------------------------------------------------

    reasons_left_out = (records.NOT_COMPLETE, records.NO_PARTS)

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        if stream == "spare_parts":
            return None if records.catalogue_entry(fields) else records.NO_NAME
        # Which of 03/04/2025 is the day, only the whole column shows.
        policy = self._days if self._days.day_first is not None else self._days_first
        return unusable(fields, records.appointment_day(fields, policy))

    # -- training half: retrain_service only -----------------------------------------------------

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """One row per part and day, from the day after the part's first use on."""
        rejected: Counter[str] = Counter()
        catalogue = read_catalogue(tables.get("spare_parts", ()), rejected)
        table = tables["appointments"]
        newest = from_epoch_us(max(table.updated_at_us, default=0)).astimezone(self._time_zone)
        ledger = PartsLedger(catalogue, newest.date())
        days = column_times(
            (value for record in table for value in records.appointment_dates(record.fields)),
            self._days,
        )
        for record in table:
            ledger.enter(record.fields, records.appointment_day(record.fields, days.policy))
        unclear = {}
        if days.problem and (n_unclear := ledger.rejected.pop(NoTime.AMBIGUOUS.value, 0)):
            unclear = {f"date: {days.problem}": n_unclear}
        history = ledger.history(self.parameters.history_days)
        features, pieces, day, part = daily_demand.feature_rows(history)
        return TrainingSet(
            features=features,
            target=pieces,
            day=day,
            slices=np.array(history.parts, dtype=np.str_)[part],
            context=ServingState(history, tuple(catalogue.values())),
            rejected=dict(rejected + ledger.rejected + Counter(unclear)),
            unclear=unclear,
        )

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        """The newest days of the calendar are the holdout."""
        history: DemandHistory = rows.context.history
        n_held_out = days_held_out(history.n_days)
        is_holdout = rows.day >= history.end - np.timedelta64(n_held_out, "D")
        return _take(rows, ~is_holdout), _take(rows, is_holdout)

    @property
    def candidate_names(self) -> Sequence[str]:
        return CANDIDATES

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """The candidate for data of any kind."""
        return self.fit_candidate("by_speed", train, seed, progress)

    def fit_candidate(self, name: str, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """One model for all parts; none of them leaves anything to chance."""
        history: DemandHistory = train.context.history
        until = train.day.max() + np.timedelta64(1, "D")
        return fit_demand(name, train, history.before(until), progress)

    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        return score_model(estimator, holdout, UNIT)

    def score_baseline(self, holdout: TrainingSet) -> Score:
        """The naive baseline: the weighted mean of the same weekdays."""
        return score_model(NAIVE, holdout, UNIT)

    serves_baseline = True

    def fit_baseline(self, train: TrainingSet) -> Any:
        """The naive baseline, with how far it usually is off."""
        history: DemandHistory = train.context.history
        until = train.day.max() + np.timedelta64(1, "D")
        return with_residuals(NAIVE, history.before(until), lambda *_: None)

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
            GoldenRequest("forecast", {"service_level": 0.9, "interval": 0.9}, now),
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
        return RestockAnswerer(
            estimator,
            read_serving_state(state),
            self._time_zone,
            service_level=self.parameters.service_level,
            interval=self.parameters.interval,
        )


def _take(rows: TrainingSet, chosen: NDArray[np.bool_]) -> TrainingSet:
    return replace(
        rows,
        features=rows.features[chosen],
        target=rows.target[chosen],
        day=rows.day[chosen],
        slices=rows.slices[chosen],
    )
