"""Answer requests about spare parts from an estimator and the version's demand history.

The serving half of the workload. No pandas, no scikit-learn, no clock, no disk; immutable once
made, so any thread may ask.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from shared.documents.times import read_day
from shared.errors import NotFound, RequestInvalid
from shared.workloads.contract import Answerer
from shared.workloads.rows import RowContract, refuse_not_finite
from shared.workloads.spare_parts import records
from shared.workloads.spare_parts import rows as daily_demand
from shared.workloads.spare_parts.history import DemandHistory, Floats
from shared.workloads.spare_parts.model import DemandModel
from shared.workloads.spare_parts.rows import WARM_UP_DAYS, Predictor
from shared.workloads.spare_parts.state import ServingState

MIN_FORECAST_DAYS, MAX_FORECAST_DAYS = 1, 90
DEFAULT_FORECAST_DAYS = 7
LEAST_PROBABILITY, MOST_PROBABILITY = 0.5, 0.99
UNIT = "pieces per part and day"

_PASTS_KEPT = 256
_SETTLED_DAYS = 91
"""Rolled this far without news a forecast repeats weekly; a wider gap is shortened by weeks."""


class RestockAnswerer(Answerer):
    """The roll from the end of the history is made once, at construction.

    Every request about today or later reads from it; only one about the past rolls anew, and
    the newest of those are remembered: they cannot change while the version lives.
    """

    rows = RowContract(daily_demand.FEATURES)
    row_facts = MappingProxyType({"unit": UNIT})

    def __init__(
        self,
        estimator: Predictor,
        serving_state: ServingState,
        time_zone: ZoneInfo,
        *,
        service_level: float = 0.95,
        interval: float = 0.8,
    ) -> None:
        """service_level, interval : probabilities where a request names none."""
        self._estimator = estimator
        self._service_level, self._interval = service_level, interval
        self._serving_state = serving_state
        self._time_zone = time_zone
        self._path = daily_demand.forecast(
            serving_state.history, estimator, _SETTLED_DAYS + 6 + MAX_FORECAST_DAYS
        )
        self._path.flags.writeable = False

        def rolled(start: np.datetime64, n_days: int) -> Floats:
            path = daily_demand.forecast(serving_state.history.before(start), estimator, n_days)
            path.flags.writeable = False
            return path

        # No method, so that the version does not hold itself and goes when it is let go of.
        self._past_path = functools.lru_cache(_PASTS_KEPT)(rolled)

    @property
    def questions(self) -> Mapping[str, str]:
        return {
            "forecast": "demand per part for the next days: totals and daily breakdown",
            "parts": "the parts known from the catalogue and from past appointments",
            "predict": "pieces per day for feature rows",
        }

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question == "forecast":
            return self._forecast(request, now)
        if question == "parts":
            return self._parts(request)
        if question == "predict":
            _refuse_unknown(request, ("instances",))
            return self.answer_rows(request.get("instances"))
        raise NotFound(f"question: expected one of {sorted(self.questions)}, found {question!r}.")

    def _forecast(self, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """The days from current_date on, from what was known before current_date began.

        Where the history ends earlier it is rolled through the gap: `history.gap_days` says how
        many days lie between its last day and the first day of the forecast.
        """
        _refuse_unknown(request, ("forecast_days", "current_date", "service_level", "interval"))
        service_level = _probability(request, "service_level", self._service_level)
        interval = _probability(request, "interval", self._interval)
        n_days = _forecast_days(request.get("forecast_days"))
        start = self._start(request.get("current_date"), now)
        history = self._serving_state.history.before(start)
        gap_days = int((start - history.end).astype(np.int64))
        path = self._roll(history, start, n_days, gap_days)
        path = np.round(path, 2)
        totals = np.floor(path.sum(axis=0) + 0.5).astype(np.int64)
        days = [str(day) for day in start + np.arange(n_days)]
        parts = history.parts
        return {
            "status": "success",
            "forecast_period_days": n_days,
            "start_date": days[0],
            "end_date": days[-1],
            "total_restock_demand": dict(zip(parts, totals.tolist(), strict=True)),
            **self._spread(parts, path.sum(axis=0), n_days, service_level, interval),
            "daily_breakdown": [
                {
                    "date": day,
                    "total_usage": round(sum(pieces), 2),
                    "parts": dict(zip(parts, pieces, strict=True)),
                }
                for day, pieces in zip(days, path.tolist(), strict=True)
            ],
            "history": {
                "first_day": str(history.first_day),
                "last_day": str(history.end - np.timedelta64(1, "D")),
                "gap_days": gap_days,
            },
            "timestamp": now.astimezone(UTC).isoformat(),
        }

    def _spread(
        self,
        parts: Sequence[str],
        total: Floats,
        n_days: int,
        service_level: float,
        interval: float,
    ) -> dict[str, Any]:
        """Between what bounds the totals lie, and what is enough; nothing where a version does
        not know how far its forecasts are off."""
        model = self._estimator
        if not isinstance(model, DemandModel) or not model.has_residuals:
            return {}

        low, high = model.bounds(total, interval, n_days)
        enough = model.enough(total, service_level, n_days).astype(np.int64)
        return {
            "interval": interval,
            "low": dict(zip(parts, np.round(low, 2).tolist(), strict=True)),
            "high": dict(zip(parts, np.round(high, 2).tolist(), strict=True)),
            "service_level": service_level,
            "quantity_for_service_level": dict(zip(parts, enough.tolist(), strict=True)),
        }

    def _roll(
        self, history: DemandHistory, start: np.datetime64, n_days: int, gap_days: int
    ) -> Floats:
        if history.n_days < WARM_UP_DAYS:
            first_day = self._serving_state.history.first_day
            raise RequestInvalid(
                f"a day from {first_day + np.timedelta64(WARM_UP_DAYS, 'D')} on, because the "
                f"history of this version begins on {first_day}",
                str(start),
                "current_date",
            )
        if history.n_days < self._serving_state.history.n_days:
            return self._past_path(start, n_days)
        if gap_days > _SETTLED_DAYS:
            gap_days = _SETTLED_DAYS + (gap_days - _SETTLED_DAYS) % 7
        return self._path[gap_days : gap_days + n_days]

    def _start(self, current_date: object, now: datetime) -> np.datetime64:
        if current_date is None:
            return np.datetime64(now.astimezone(self._time_zone).date(), "D")
        # Year first only: 03/04/2025 means two days to two clients.
        if isinstance(current_date, str) and current_date[:4].isdigit():
            day = read_day(current_date, records.day_policy(self._time_zone, day_first=True))
            if day is not None:
                return np.datetime64(day, "D")
        raise RequestInvalid("a date such as 2025-11-26", current_date, "current_date")

    def _parts(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Catalogue and history together, by name."""
        _refuse_unknown(request, ())
        history, catalogue = self._serving_state.history, self._serving_state.catalogue
        listed = {records.identity(entry["name"]): entry for entry in catalogue}
        used = {records.identity(name): i for i, name in enumerate(history.parts)}
        recent = history.newest(28).pieces.sum(axis=0)
        parts = []
        for key in sorted({*listed, *used}):
            entry, column = listed.get(key, {}), used.get(key)
            parts.append(
                {
                    "name": entry.get("name") or history.parts[used[key]],
                    "sku": entry.get("sku"),
                    "price": entry.get("price"),
                    "in_catalogue": key in listed,
                    "last_used": None if column is None else _last_used(history, column),
                    "used_last_28_days": 0.0 if column is None else float(recent[column]),
                }
            )
        return {"parts": parts, "total": len(parts)}

    def predict_rows(self, matrix: Floats) -> Mapping[str, Floats]:
        refuse_not_finite(matrix)
        predictions = np.maximum(self._estimator.predict(matrix), 0.0)
        model = self._estimator
        if not isinstance(model, DemandModel) or not model.has_residuals:
            return {"predictions": predictions}
        low, high = model.bounds(predictions, self._interval, 1)
        return {"predictions": predictions, "low": low, "high": high}


def _last_used(history: DemandHistory, column: int) -> str | None:
    days = np.flatnonzero(history.pieces[:, column])
    return str(history.first_day + days[-1]) if days.size else None


def _refuse_unknown(request: Mapping[str, Any], known: Sequence[str]) -> None:
    unexpected = [name for name in request if name not in known]
    if unexpected:
        expected = f"only the fields {list(known)}" if known else "no fields"
        raise RequestInvalid(expected, {"unexpected": unexpected}, "request")


def _forecast_days(value: object) -> int:
    if value is None:
        return DEFAULT_FORECAST_DAYS
    if isinstance(value, float) and value.is_integer():  # to JSON 7.0 is a whole number
        value = int(value)
    # bool is an int to Python, not to a client.
    if type(value) is int and MIN_FORECAST_DAYS <= value <= MAX_FORECAST_DAYS:
        return value
    expected = f"a whole number from {MIN_FORECAST_DAYS} to {MAX_FORECAST_DAYS}"
    raise RequestInvalid(expected, value, "forecast_days")


def _probability(request: Mapping[str, Any], name: str, default: float) -> float:
    value = request.get(name)
    if value is None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and LEAST_PROBABILITY <= value <= MOST_PROBABILITY:
        return float(value)
    expected = f"a probability from {LEAST_PROBABILITY:g} to {MOST_PROBABILITY:g}"
    raise RequestInvalid(expected, value, name)
