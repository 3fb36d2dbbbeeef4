"""The server metrics contract: records to training rows, forecaster, scores, golden requests.

No clock, no disk, no daemon; what a row is and what an answer is stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
import numpy as np

from shared.documents.field_specs import FieldSpec
from shared.errors import LoadFailed, SettingsInvalid
from shared.feed.window import WindowSpec
from shared.records import Table
from shared.workloads.contract import Answerer, Workload
from shared.workloads.holdout import split_by_day
from shared.workloads.live import Expectation, Outcome
from shared.workloads.rows import FeatureSpec
from shared.workloads.server_metrics import live
from shared.workloads.server_metrics.columns import CLOCK_SLACK, IN_THE_FUTURE
from shared.workloads.server_metrics.features import FEATURES, METRIC, VALUE, WINDOW_MIN, Floats
from shared.workloads.server_metrics.fields import sample_fields
from shared.workloads.server_metrics.fitting import fit_metric
from shared.workloads.server_metrics.model import BANDS, FleetForecaster, forecast
from shared.workloads.server_metrics.records import (
    KNOWN_NAMES,
    NAMES_OF_PARTS,
    NO_METRIC,
    SampleReader,
)
from shared.workloads.server_metrics.rows import RowContext, metric_rows, training_rows
from shared.workloads.server_metrics.serving import FleetAnswerer
from shared.workloads.server_metrics.unread import doubtful_fractions, unread_metrics
from shared.workloads.training import (
    Admitted,
    GoldenRequest,
    Progress,
    RowAnswers,
    Score,
    StreamSpec,
    TrainingSet,
)

STREAM = "metrics"
UNIT = "of persistence's error"

_STATE_FORMAT = 1
_PERCENTAGES = frozenset(("cpu", "memory", "disk"))


class ServerMetricsParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a model of server metrics can be told.

    metrics : names of the numbers to forecast; common other names of the first four are known.
    limits : metric -> the value at which a server is in trouble; only these count for the risk.
    horizons_min : minutes ahead.
    history_days : how far back training looks.
    max_rows : more are thinned out evenly before training.
    silent_after_s : a server that was not heard of for longer is at least at "warning".
    """

    metrics: tuple[str, ...] = ("cpu", "memory", "disk", "load")
    limits: dict[str, float] = msgspec.field(
        default_factory=lambda: {"cpu": 100.0, "memory": 100.0, "disk": 100.0}
    )
    horizons_min: tuple[Annotated[int, msgspec.Meta(ge=1, le=480)], ...] = (1, 5, 15, 30, 60)
    history_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 60
    max_rows: Annotated[int, msgspec.Meta(ge=1_000, le=5_000_000)] = 200_000
    silent_after_s: Annotated[float, msgspec.Meta(gt=0, le=31 * 86_400)] = 300.0


class ServerMetrics(Workload):
    """See the module docstring; the contract is in `base`."""

    name = "server_metrics"
    slices_have_units = True
    measured = ("value",)
    streams = (StreamSpec(STREAM, "one row per server and minute, or every few seconds"),)
    Parameters = ServerMetricsParameters
    # Rows come all the time, and a fleet is to be watched from its third day on.
    gate_defaults = MappingProxyType(
        {"min_rows": 1000, "min_days": 2, "min_holdout_days": 1, "max_newest_change": 8.0}
    )
    trigger_defaults = MappingProxyType({"new_records": 0})

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(parameters)
        found = self.parameters
        problem = None
        if not found.metrics or len(set(found.metrics)) < len(found.metrics):
            problem = f"metrics: expected different names, found {list(found.metrics)}"
        elif not found.horizons_min or list(found.horizons_min) != sorted(set(found.horizons_min)):
            problem = f"horizons_min: expected growing numbers, found {list(found.horizons_min)}"
        elif any(limit <= 0 for limit in found.limits.values()):
            problem = f"limits: expected numbers above 0, found {found.limits}"
        if problem:
            raise SettingsInvalid(f"parameters of workload {self.name}: {problem}.")
        percentages = {name for name, limit in found.limits.items() if limit == 100}
        self._reader = SampleReader(found.metrics, frozenset(percentages & _PERCENTAGES))

    # -- what the records are ------------------------------------------------------------------

    def fields_of(self, stream: str) -> tuple[FieldSpec, ...]:
        del stream
        return sample_fields(self.parameters.metrics)

    def remarks(self, stream: str, records: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        known = KNOWN_NAMES
        if any(self._reader.plan(tuple(record)).busy[0] for record in records):
            known |= NAMES_OF_PARTS
        sentence = unread_metrics(self.fields_of(stream), records, known)
        read = (self._reader.read(record) for record in records)
        samples = (each for each in read if not isinstance(each, str))
        doubtful = doubtful_fractions(samples, self._reader.percentages)
        return [*doubtful] if sentence is None else [sentence, *doubtful]

    reasons_left_out = (NO_METRIC,)

    def reject_reason(self, stream: str, fields: Mapping[str, Any]) -> str | None:
        found = self._reader.read(fields)
        return found if isinstance(found, str) else None

    # -- records sent to the API -----------------------------------------------------------------

    def window_of(self, stream: str) -> WindowSpec | None:
        return WindowSpec(n_slots=WINDOW_MIN, slot_s=60)

    def admit(self, stream: str, fields: Mapping[str, Any], now: datetime) -> Admitted | str:
        """One record a server and moment; without a time of its own, the moment it was sent."""
        found = self._reader.read(fields)
        if isinstance(found, str):
            return found
        at = found.at or now.astimezone(UTC)
        if at > now + CLOCK_SLACK:
            return IN_THE_FUTURE
        kept = fields if found.at is not None else {**fields, "timestamp": at.isoformat()}
        id_ = f"{found.server}@{at.isoformat()}"
        if len(found.values) < len(self.parameters.metrics):
            # Agents that send a row for each metric give all of them one time.
            id_ += f" {' '.join(found.values)}"
        return Admitted(
            kept,
            id=id_,
            entity=found.server,
            at=at,
            sample={"at": at.timestamp(), **found.values},
        )

    # -- what came true: retrain_service only ------------------------------------------------------

    def expectations(
        self, question: str, request: Mapping[str, Any], answer: Mapping[str, Any], at_us: int
    ) -> Sequence[Expectation]:
        return live.expectations(answer, self.parameters.metrics)

    def outcomes(
        self, stream: str, fields: Mapping[str, Any], updated_us: int
    ) -> Sequence[Outcome]:
        found = self._reader.read(fields)
        return () if isinstance(found, str) else live.outcomes(found)

    # -- training half: retrain_service only -----------------------------------------------------

    def training_set(self, tables: Mapping[str, Table]) -> TrainingSet:
        """One row per server, minute and metric whose value at every horizon is known."""
        found = self.parameters
        return training_rows(
            tables[STREAM],
            self._reader,
            found.horizons_min,
            history_days=found.history_days,
            max_rows=found.max_rows,
        )

    def split(self, rows: TrainingSet) -> tuple[TrainingSet, TrainingSet]:
        """The newest of the days are the holdout."""
        return split_by_day(rows)

    def fit(self, train: TrainingSet, seed: int, progress: Progress) -> FleetForecaster:
        """See `fitting`."""
        found: dict[str, Any] = {}
        horizons_min = tuple(self.parameters.horizons_min)
        for position, metric in enumerate(self.parameters.metrics):
            progress(position / len(self.parameters.metrics), "fitting")
            chosen, rows = metric_rows(train, position)
            fitted = fit_metric(rows, train.target[chosen], horizons_min, seed)
            if fitted is not None:
                found[metric] = fitted
        progress(1.0, "fitting")
        return FleetForecaster(horizons_min, found, "limit")

    def score(self, estimator: FleetForecaster, holdout: TrainingSet) -> Score:
        low, expected, high = (np.empty_like(holdout.target) for _ in range(3))
        inside: dict[str, float] = {}
        for band in BANDS:
            for position, metric in enumerate(self.parameters.metrics):
                chosen, rows = metric_rows(holdout, position)
                low[chosen], expected[chosen], high[chosen] = forecast(
                    estimator.metrics.get(metric),
                    rows,
                    self.parameters.horizons_min,
                    self.parameters.limits.get(metric),
                    band,
                )
            is_inside = (holdout.target >= low) & (holdout.target <= high)
            inside[f"in_{band}_percent_band"] = float(is_inside.mean())
        return self._score(expected, holdout, inside)

    def score_baseline(self, holdout: TrainingSet) -> Score:
        """The naive baseline: everything stays as it is now."""
        stays = np.repeat(holdout.features[:, VALUE, None], holdout.target.shape[1], axis=1)
        return self._score(stays, holdout, {})

    serves_baseline = True

    def fit_baseline(self, train: TrainingSet) -> FleetForecaster:
        """A forecaster that has learnt nothing."""
        return FleetForecaster(tuple(self.parameters.horizons_min), {})

    def _score(self, expected: Floats, holdout: TrainingSet, more: Mapping[str, float]) -> Score:
        """Errors in how far the metric usually moves, so that percents and loads add up."""
        context: RowContext = holdout.context
        position = holdout.features[:, METRIC].astype(np.int64)
        error = np.abs(expected - holdout.target)
        scaled = error / context.scale[position]
        metrics = {"mae": float(scaled.mean()), "rmse": float(np.sqrt(np.mean(scaled**2)))}
        moved = (holdout.target - holdout.features[:, VALUE, None]) / context.scale[position]
        spread = float(np.sum((moved - moved.mean()) ** 2))
        if spread > 0:
            metrics["r2"] = 1.0 - float(np.sum(scaled**2)) / spread
        for number, metric in enumerate(self.parameters.metrics):
            chosen = position == number
            if chosen.any():
                by_horizon = error[chosen].mean(axis=0).tolist()
                for horizon, mae in zip(self.parameters.horizons_min, by_horizon, strict=True):
                    metrics[f"mae_{metric}_{horizon}_min"] = mae
        return Score(
            scaled.mean(axis=1),
            holdout.day,
            holdout.slices,
            {**metrics, **more},
            UNIT,
            expected[:, -1],
            RowAnswers(
                holdout.target[:, -1],
                expected[:, -1],
                f"in {self.parameters.horizons_min[-1]} min",
                has_slice_units=True,
            ),
            scale=float(np.abs(holdout.target / context.scale[position]).max(initial=0.0)),
        )

    def state(self, rows: TrainingSet) -> Mapping[str, bytes]:
        """What the forecasts are of; the windows are no part of a version."""
        saved = {
            "format": _STATE_FORMAT,
            "metrics": list(self.parameters.metrics),
            "horizons_min": list(self.parameters.horizons_min),
        }
        return {"state.json": msgspec.json.encode(saved)}

    def golden_requests(self, rows: TrainingSet) -> Sequence[GoldenRequest]:
        """A few servers as they were last; one of them young, one silent; and feature rows."""
        context: RowContext = rows.context
        now = datetime.fromtimestamp(context.newest_s + 30, UTC)
        windows = {name: list(samples) for name, samples in context.golden_windows.items()}
        young = {name: samples[-2:] for name, samples in windows.items()}
        names = [spec.name for spec in FEATURES]
        instances = [dict(zip(names, row, strict=True)) for row in rows.features[-4:].tolist()]
        return (
            GoldenRequest("fleet", {"windows": windows}, now),
            GoldenRequest("fleet", {"windows": young}, now + timedelta(hours=1)),
            GoldenRequest("fleet", {"windows": {}}, now),
            GoldenRequest("explain", {"windows": windows}, now),
            GoldenRequest("predict", {"instances": instances}, now),
        )

    # -- serving half: both daemons ----------------------------------------------------------------

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return FEATURES

    @property
    def predicts(self) -> str:
        return f"metrics {list(self.parameters.horizons_min)} minutes ahead"

    def open(self, estimator: Any, state: Mapping[str, bytes]) -> Answerer:
        expected = msgspec.json.decode(next(iter(self.state(_NO_ROWS).values())))
        try:
            found = msgspec.json.decode(state["state.json"])
        except (KeyError, msgspec.DecodeError) as error:
            raise LoadFailed(f"state of server_metrics cannot be read: {error!r}.") from error
        if found != expected or not isinstance(estimator, FleetForecaster):
            raise LoadFailed(
                f"state of server_metrics: expected {expected} and a FleetForecaster,"
                f" found {found} and a {type(estimator).__name__}."
            )
        return FleetAnswerer(
            estimator,
            self.parameters.metrics,
            self.parameters.limits,
            self.parameters.silent_after_s,
        )


_NO_ROWS = TrainingSet(
    np.zeros((0, len(FEATURES))),
    np.zeros(0),
    np.zeros(0, dtype="datetime64[D]"),
    np.zeros(0, dtype=np.str_),
)
