"""Answer for a whole fleet from its rolling windows: forecasts, risk, alert levels.

The serving half of the workload: NumPy only, no clock, no disk; immutable once made, so any
thread may ask. The windows come in with the request, because they live outside the version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from shared.errors import NotFound, RequestInvalid
from shared.workloads.contract import Answerer
from shared.workloads.rows import RowContract, RowRefused, refuse_not_finite
from shared.workloads.server_metrics import risk
from shared.workloads.server_metrics.features import (
    FEATURES,
    METRIC,
    VALUE,
    Floats,
    feature_rows,
    newest_hours,
)
from shared.workloads.server_metrics.model import BANDS, FleetForecaster, Rows, forecast

_LOW, _EXPECTED, _HIGH = 0, 1, 2
_DIGITS = 3
_LESS = (0.1, 0.25)
"""Shares of its limit by which an explanation lowers a metric."""


@dataclass(frozen=True, slots=True)
class _Forecast:
    """Of one metric of one server. low, expected, high : now and at each horizon, rounded.

    score : its risk; NaN where it has no limit. highest : the greatest of `high`, not rounded.
    """

    low: list[float]
    expected: list[float]
    high: list[float]
    score: float
    rises_steadily: bool
    highest: float


class FleetAnswerer(Answerer):
    """See the module docstring."""

    rows = RowContract(FEATURES)

    def __init__(
        self,
        forecaster: FleetForecaster,
        metrics: Sequence[str],
        limits: Mapping[str, float],
        silent_after_s: float,
    ) -> None:
        self._forecaster = forecaster
        # Pickles of release 0.1.0 set what they held, and no default.
        self._is_old = getattr(forecaster, "risk", "level") == "level"
        self._metrics = tuple(metrics)
        self._limits = dict(limits)
        self._silent_after_s = silent_after_s
        self.row_facts = {"horizons_min": list(forecaster.horizons_min)}

    @property
    def questions(self) -> Mapping[str, str]:
        return {
            "fleet": "forecast, risk score and alert level of each server, from its last hour;"
            " `band`: 80 or 90 percent of the values lie between low and high",
            "explain": "what drives the risk score of one server, and what would lower it",
            "predict": "low, expected and high value at each horizon for feature rows",
        }

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question == "fleet":
            band = request.get("band", BANDS[0])
            if band not in BANDS:
                expected = f"one of {list(BANDS)}, in percent"
                raise RequestInvalid(expected, band, "band")
            return self._fleet(_windows(request), band, now)
        if question == "explain":
            return self._explain(_windows(request), now)
        if question == "predict":
            unexpected = sorted(set(request) - {"instances"})
            if unexpected:
                expected = "only the field 'instances'"
                raise RequestInvalid(expected, {"unexpected": unexpected}, "request")
            return self.answer_rows(request.get("instances"))
        raise NotFound(f"question: expected one of {sorted(self.questions)}, found {question!r}.")

    # -- the fleet -------------------------------------------------------------------------------

    def _fleet(
        self, windows: Mapping[str, Sequence[Mapping[str, float]]], band: int, now: datetime
    ) -> dict[str, Any]:
        try:
            heard = {name: rows for name, rows in windows.items() if rows}
            forecasts = self._forecasts(heard, band)
            servers = [
                self._server(name, rows[-1]["at"], forecasts[number], now)
                for number, (name, rows) in enumerate(heard.items())
            ]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise RequestInvalid(
                'samples such as {"at": 1764151200.0, "cpu": 12.5}', repr(error), "windows"
            ) from None
        servers.sort(key=lambda one: (-one["risk_score"], one["server"]))
        levels = [one["alert_level"] for one in servers]
        return {
            "servers": servers,
            "fleet": risk.fleet_summary(levels, [one["risk_score"] for one in servers]),
            "horizons_min": list(self._forecaster.horizons_min),
            "generated_at": now.astimezone(UTC).isoformat(),
        }

    def _explain(
        self, windows: Mapping[str, Sequence[Mapping[str, float]]], now: datetime
    ) -> dict[str, Any]:
        """Of each server: its entry in the fleet, the score of each metric, and what the score
        would be had a metric been lower by some share of its limit in the last hour."""
        fleet = self._fleet(windows, BANDS[0], now)
        heard = {name: rows for name, rows in windows.items() if rows}
        forecasts = dict(zip(heard, self._forecasts(heard, BANDS[0]), strict=True))
        explained = []
        for server in fleet["servers"]:
            rows = heard[server["server"]]
            limited = forecasts[server["server"]].items()
            scores = {metric: one.score for metric, one in limited if metric in self._limits}
            changes = [
                {
                    "metric": metric,
                    "lower_by": round(share * self._limits[metric], _DIGITS),
                    "risk_score": self._lowered(server["server"], rows, metric, share, now),
                }
                for metric, score in sorted(scores.items(), key=lambda item: -item[1])
                if risk.alert_level(score) != risk.HEALTHY
                for share in _LESS
            ]
            explained.append({**server, "scores": scores, "changes": changes})
        return {"servers": explained, "generated_at": fleet["generated_at"]}

    def _lowered(
        self,
        name: str,
        rows: Sequence[Mapping[str, float]],
        metric: str,
        share: float,
        now: datetime,
    ) -> float:
        """The risk score had the metric been lower by this share of its limit."""
        less = share * self._limits[metric]
        changed = [
            {**row, metric: max(row[metric] - less, 0.0)} if metric in row else row for row in rows
        ]
        score: float = self._fleet({name: changed}, BANDS[0], now)["servers"][0]["risk_score"]
        return score

    def _forecasts(
        self, windows: Mapping[str, Sequence[Mapping[str, float]]], band: int
    ) -> list[dict[str, _Forecast]]:
        """For each server, metric -> forecast. All servers of a metric at once."""
        names = tuple(windows)
        found: list[dict[str, _Forecast]] = [{} for _ in names]
        samples = [row for rows in windows.values() for row in rows]
        at_s = np.array([row["at"] for row in samples], dtype=np.float64)
        server = np.repeat(np.arange(len(names)), [len(rows) for rows in windows.values()])
        ahead_min = np.array([0, *self._forecaster.horizons_min], dtype=np.float64)
        for position, metric in enumerate(self._metrics):
            values = np.array([row.get(metric) for row in samples], dtype=np.float64)
            hours, minutes, whose = newest_hours(at_s, server, values)
            if not len(whose):
                continue
            rows = Rows(feature_rows(position, hours, minutes), minutes, whose, names)
            limit = self._limits.get(metric)
            low, expected, high = self._bands(metric, rows, BANDS[0])
            scores, rises = np.full(len(whose), np.nan), np.zeros(len(whose), dtype=np.bool_)
            if limit is not None and self._is_old:
                scores = risk.level_risk(expected, high, limit)
            elif limit is not None:
                trends = risk.steady_trends(hours, ahead_min)
                scores = risk.metric_risk(low, expected, high, limit, trends)
                rises = ~np.isnan(trends[:, 0])
            highest = high.max(axis=1)
            if band != BANDS[0]:  # the score is read from the first band, whatever is shown
                low, expected, high = self._bands(metric, rows, band)
            rounded = (np.round(bound, _DIGITS) for bound in (low, expected, high))
            columns = [column.tolist() for column in (*rounded, scores, rises, highest)]
            for number, *of_server in zip(whose.tolist(), *columns, strict=True):
                found[number][metric] = _Forecast(*of_server)
        return found

    def _bands(self, metric: str, rows: Rows, band: int) -> tuple[Floats, Floats, Floats]:
        """(low, expected, high), each (n_rows, 1 + n_horizons); the value now first."""
        known, horizons_min = self._forecaster.metrics.get(metric), self._forecaster.horizons_min
        now = rows.features[:, VALUE, None]
        low, expected, high = (
            np.concatenate([now, bound], axis=1)
            for bound in forecast(known, rows, horizons_min, self._limits.get(metric), band)
        )
        return low, expected, high

    def _server(
        self, name: str, last_at: float, forecasts: Mapping[str, _Forecast], now: datetime
    ) -> dict[str, Any]:
        seen_at = datetime.fromtimestamp(last_at, UTC)
        silent_s = max((now - seen_at).total_seconds(), 0.0)
        score, reasons = self._risk(forecasts, silent_s)
        minute = seen_at.replace(second=0, microsecond=0)
        return {
            "server": name,
            "last_seen_at": seen_at.isoformat(),
            "is_silent": silent_s > self._silent_after_s,
            "risk_score": score,
            "alert_level": risk.alert_level(score),
            "reasons": reasons,
            "current": {metric: one.expected[0] for metric, one in forecasts.items()},
            "forecast": [
                {
                    "at": (minute + timedelta(minutes=horizon)).isoformat(),
                    "horizon_min": horizon,
                    **{
                        metric: {
                            "expected": one.expected[step],
                            "low": one.low[step],
                            "high": one.high[step],
                        }
                        for metric, one in forecasts.items()
                    },
                }
                for step, horizon in enumerate(self._forecaster.horizons_min, start=1)
            ],
        }

    def _risk(self, forecasts: Mapping[str, _Forecast], silent_s: float) -> tuple[float, list[str]]:
        """The score of the metric that is worst off, and a sentence for each that alerts."""
        limited = {metric: one for metric, one in forecasts.items() if metric in self._limits}
        reasons = [
            f"{metric} is {one.expected[0]:.1f} of {self._limits[metric]:g},"
            f" up to {one.highest:.1f} within the horizon"
            + (", and rises steadily" if one.rises_steadily else "")
            for metric, one in sorted(limited.items(), key=lambda item: -item[1].score)
            if risk.alert_level(one.score) != risk.HEALTHY
        ]
        worst = max((one.score for one in limited.values()), default=0.0)
        if silent_s > self._silent_after_s:
            worst = max(worst, risk.SILENT_SCORE)
            reasons.append(f"nothing was heard for {silent_s / 60:.0f} min")
        return round(worst, 1), reasons

    # -- feature rows ----------------------------------------------------------------------------

    def predict_rows(self, matrix: Floats) -> Mapping[str, Floats]:
        """predictions, low, high : (n_rows, n_horizons)."""
        refuse_not_finite(matrix)
        positions = matrix[:, METRIC]
        wrong = np.flatnonzero(~np.isin(positions, np.arange(len(self._metrics))))
        if wrong.size:
            expected = f"a position in the metrics {list(self._metrics)}"
            raise RowRefused(int(wrong[0]), METRIC, expected)
        bands = np.empty((3, len(matrix), len(self._forecaster.horizons_min)))
        for position, metric in enumerate(self._metrics):
            chosen = positions == position
            if chosen.any():
                bands[:, chosen] = forecast(
                    self._forecaster.metrics.get(metric),
                    Rows.of_nobody(matrix[chosen]),
                    self._forecaster.horizons_min,
                    self._limits.get(metric),
                )
        return {"predictions": bands[_EXPECTED], "low": bands[_LOW], "high": bands[_HIGH]}


def _windows(request: Mapping[str, Any]) -> Mapping[str, Sequence[Mapping[str, float]]]:
    unexpected = sorted(set(request) - {"windows", "band"})
    if unexpected:
        raise RequestInvalid(
            "only the fields 'windows' and 'band'", {"unexpected": unexpected}, "request"
        )
    windows = request.get("windows")
    if not isinstance(windows, Mapping):
        raise RequestInvalid("an object: server -> its samples", windows, "windows")
    return windows
