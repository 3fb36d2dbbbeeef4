"""The solar power contract: readings to training rows, estimator, scores and golden requests.

No clock, no disk, no daemon; what a reading is and what an answer is stand beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import SettingsInvalid
from shared.records import Table, from_epoch_us
from shared.workloads.contract import Answerer, Workload
from shared.workloads.holdout import split_by_day
from shared.workloads.live import Expectation, Outcome
from shared.workloads.rows import FeatureSpec
from shared.workloads.solar_power import live
from shared.workloads.solar_power import records as documents
from shared.workloads.solar_power.evaluation import score_by_day
from shared.workloads.solar_power.fields import READING
from shared.workloads.solar_power.model import make_estimator
from shared.workloads.solar_power.power_model import (
    CANDIDATES,
    fit_power,
    smart_persistence,
)
from shared.workloads.solar_power.profile import PROFILE_DAYS, Past
from shared.workloads.solar_power.records import DAY_US, Readings, of_one_device
from shared.workloads.solar_power.rows import (
    COLUMN,
    FEATURES,
    WINDOW,
    Span,
    feature_rows,
    forecast_w,
    local_clock_us,
    local_day,
    target_index,
    tolerance_us,
)
from shared.workloads.solar_power.serving import (
    PowerAnswerer,
    ServingState,
    TrainingContext,
    as_request,
    read_serving_state,
    silent_columns,
    write_serving_state,
)
from shared.workloads.solar_power.writing import learn_writing
from shared.workloads.training import GoldenRequest, Progress, Score, StreamSpec, TrainingSet

_N_GOLDEN_ROWS = 24
_ANY_DAY = 2**40
NO_TARGET = "no reading at the horizon after it"


class SolarPowerParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a model of solar power can be told.

    time_zone : IANA name; where the devices are. Decides hour and day, and reads naive times.
    horizon_min : how many minutes ahead.
    tolerance_s : the reading that tells what came of it may be this far off the horizon, or half
        of what usually lies between two readings.
    history_days : the newest so many days are learnt from and judged on.
    estimator : "auto" for the workload's candidates; or only "random_forest", "extra_trees",
        "hist_gradient_boosting" or "ridge" of scikit-learn, on the plain feature rows.
    estimator_options : options of that scikit-learn estimator, over the defaults; with "auto" of
        random_forest.
    interval : with this probability the power lies between low and high.
    """

    time_zone: str = "UTC"
    horizon_min: Annotated[float, msgspec.Meta(gt=0, le=1440)] = 15.0
    tolerance_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 30.0
    history_days: Annotated[int, msgspec.Meta(ge=2, le=3650)] = 35
    estimator: Literal[
        "auto", "random_forest", "extra_trees", "hist_gradient_boosting", "ridge"
    ] = "auto"
    estimator_options: dict[str, Any] = {}
    interval: Annotated[float, msgspec.Meta(ge=0.5, le=0.98)] = 0.8


class SolarPower(Workload):
    """See the module docstring; the contract is in `base`."""

    name = "solar_power"
    streams = (
        StreamSpec("readings", "readings of solar devices, some each few minutes", fields=READING),
    )
    Parameters = SolarPowerParameters
    per_entity = True
    # Readings come all day; a young device has a few days of them, and each minute is a row.
    gate_defaults = MappingProxyType(
        {"min_rows": 100, "min_days": 3, "min_holdout_rows": 20, "min_holdout_days": 1}
    )
    trigger_defaults = MappingProxyType({"new_records": 0})

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        given: SolarPowerParameters = self.parameters
        try:
            self._time_zone = ZoneInfo(given.time_zone)
        except (KeyError, ValueError, OSError):
            raise SettingsInvalid(
                f"parameters of workload {self.name}: time_zone: expected an IANA name such as "
                f"Asia/Colombo, found {given.time_zone!r}."
            ) from None
        self._span = Span(round(given.horizon_min * 60_000_000), round(given.tolerance_s * 1e6))
        if self._span.tolerance_us >= self._span.horizon_us:
            raise SettingsInvalid(
                f"parameters of workload {self.name}: tolerance_s: expected less than the horizon"
                f" of {given.horizon_min:g} min, found {given.tolerance_s:g} s."
            )

    # -- what the records are ------------------------------------------------------------------

    def entity_of(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        return documents.device_of(fields.get("device_id"))

    def remarks(self, stream: str, records: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        return documents.doubtful_power(records)

    reasons_left_out = (documents.NOT_ONLINE, documents.NO_POWER)

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        return documents.unusable(documents.raw_reading(fields), self._time_zone)

    # -- what came true: retrain_service only ------------------------------------------------------

    def expectations(
        self, question: str, request: Mapping[str, Any], answer: Mapping[str, Any], at_us: int
    ) -> Sequence[Expectation]:
        return live.expectations(answer, self._span.tolerance_us)

    def outcomes(
        self, stream: str, fields: Mapping[str, Any], updated_us: int
    ) -> Sequence[Outcome]:
        return live.outcomes(fields, self._time_zone)

    # -- training half: retrain_service only -----------------------------------------------------

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """One row per reading whose horizon has a reading; a row belongs to the day of the latter.

        So no target of a train day was measured on a holdout day.
        """
        table, rejected = tables["readings"], Counter[str]()
        device, raws = of_one_device(documents.decode_bodies(table.bodies), rejected)
        latest_us = max(table.updated_at_us, default=0) + DAY_US
        writing = learn_writing(raws, self._time_zone, rejected)
        readings = documents.read_readings(raws, writing, latest_us, rejected)
        readings = self._recent(readings)
        features = feature_rows(readings, self._time_zone, self._span.reach_us)
        target = target_index(
            readings.time_us, self._span.horizon_us, tolerance_us(readings.time_us, self._span)
        )
        row = np.flatnonzero(target >= 0)
        due = readings.time_us + self._span.horizon_us
        if n_lost := int(((target < 0) & (due <= readings.time_us.max(initial=0))).sum()):
            rejected[NO_TARGET] += n_lost
        day = local_day(readings.time_us[target[row]], self._time_zone)
        if day.size:
            is_recent = day > day.max() - np.timedelta64(self.parameters.history_days, "D")
            row, day = row[is_recent], day[is_recent]
        features = features[row]
        silent = silent_columns(features)
        features[:, silent] = 0.0
        names = tuple(name for name, column in COLUMN.items() if silent[column])
        return TrainingSet(
            features=features,
            target=readings.values[target[row], documents.POWER],
            day=day,
            slices=np.full(row.shape[0], device, dtype=np.str_),
            context=TrainingContext(
                ServingState(device, names, writing),
                readings.newest(WINDOW),
                Past(
                    local_clock_us(readings.time_us, self._time_zone),
                    readings.values[:, documents.POWER],
                ),
            ),
            key=readings.time_us[row],
            rejected=dict(rejected),
        )

    def _recent(self, readings: Readings) -> Readings:
        """What can be part of the newest days, and a little more."""
        if not len(readings):
            return readings
        n_days = self.parameters.history_days + PROFILE_DAYS + 2
        from_us = readings.time_us[-1] - n_days * DAY_US
        first = int(np.searchsorted(readings.time_us, from_us))
        return Readings(readings.time_us[first:], readings.values[first:])

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        """The newest of the days are the holdout: of seven days, three."""
        return split_by_day(rows)

    @property
    def candidate_names(self) -> Sequence[str]:
        given: SolarPowerParameters = self.parameters
        if given.estimator != "auto":
            return (given.estimator,)
        return ("random_forest",) if given.estimator_options else CANDIDATES

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """The first of the candidates, or the estimator that was asked for."""
        return self.fit_candidate(self.candidate_names[0], train, seed, progress)

    def fit_candidate(self, name: str, train: TrainingSet, seed: int, progress: Progress) -> Any:
        """Learn by how many W the power will have changed; see `power_model`.

        A forest that learns the power itself must find out from a week of rows that most of it is
        the power now: on real power its error is a seventh greater.
        """
        if name in CANDIDATES:
            return self._fit_power(name, train, seed, progress)
        progress(0.0, "fit")
        estimator = make_estimator(name, self.parameters.estimator_options, seed)
        change = train.target - train.features[:, COLUMN["power"]]
        estimator.fit(train.features, change)
        if hasattr(estimator, "n_jobs"):
            estimator.n_jobs = 1  # to answer one row, threads cost more than they save
        progress(1.0, "fit")
        return estimator

    def _fit_power(self, name: str, train: TrainingSet, seed: int, progress: Progress) -> Any:
        context: TrainingContext = train.context
        return fit_power(
            name,
            train.features,
            train.target,
            self._reading_day(train),
            context.past,
            self.parameters.horizon_min,
            seed,
            progress,
        )

    def fit_more(
        self, estimator: Any, new: TrainingSet, seed: int, progress: Progress
    ) -> Any | None:
        """None of the estimators can be continued, and a week is fitted in a second."""
        return None

    def score(self, estimator: Any, holdout: TrainingSet) -> Score:
        context: TrainingContext = holdout.context
        return score_by_day(forecast_w(estimator, holdout.features), holdout, context.past)

    def score_baseline(self, holdout: TrainingSet) -> Score:
        """The naive baseline: smart persistence."""
        context: TrainingContext = holdout.context
        first = int(holdout.day.astype(np.int64).min(initial=_ANY_DAY))
        return self.score(
            smart_persistence(context.past, first, self.parameters.horizon_min), holdout
        )

    serves_baseline = True

    def fit_baseline(self, train: TrainingSet) -> Any:
        context: TrainingContext = train.context
        day = int(train.day.astype(np.int64).max()) + 1
        return smart_persistence(context.past, day, self.parameters.horizon_min)

    def _reading_day(self, rows: TrainingSet) -> NDArray[np.int64]:
        assert rows.key is not None, "rows of this workload know when they were read"
        return local_clock_us(rows.key, self._time_zone) // DAY_US

    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        context: TrainingContext = rows.context
        return write_serving_state(context.serving_state)

    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        """Rows from all hours, one with silent sensors; readings, one alone and one oddly said."""
        context: TrainingContext = rows.context
        chosen = np.linspace(0, rows.n_rows - 1, min(_N_GOLDEN_ROWS, rows.n_rows)).astype(int)
        instances = [dict(zip(COLUMN, row, strict=True)) for row in rows.features[chosen].tolist()]
        instances = [
            {name: None if value != value else value for name, value in row.items()}
            for row in instances
        ]
        silent = dict.fromkeys(("lux", "temperature", "humidity", "fan_on", "lux_change"))
        now = from_epoch_us(int(context.newest.time_us[-1])) + timedelta(seconds=30)
        sent = as_request(context.newest)
        odd = {**sent[-1], "power": f"{sent[-1]['power']} W", "fan_status": "ON", "lux": None}
        return (
            GoldenRequest("predict", {"instances": [*instances, {**instances[-1], **silent}]}, now),
            GoldenRequest("predict", {"readings": sent}, now),
            GoldenRequest("predict", {"readings": sent[-1:], "instances": instances[:1]}, now),
            GoldenRequest("predict", {"readings": [odd]}, now),
        )

    # -- serving half: both daemons ----------------------------------------------------------------

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return FEATURES

    @property
    def predicts(self) -> str:
        return f"power {self.parameters.horizon_min:g} minutes ahead"

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        return PowerAnswerer(
            estimator,
            read_serving_state(state, self._time_zone),
            self._time_zone,
            self._span,
            self.parameters.interval,
        )
