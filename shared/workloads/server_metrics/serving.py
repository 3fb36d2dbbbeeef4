"""Answer for a whole fleet from its rolling windows: forecasts, risk, alert levels.

The serving half of the workload: NumPy only, no clock, no disk; immutable once made, so any
thread may ask. The windows come in with the request, because they live outside the version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Series,
    feature_rows,
    newest_hours,
)
from shared.workloads.server_metrics.model import FleetForecaster, Rows, forecast

_LOW, _EXPECTED, _HIGH = 0, 1, 2
_DIGITS = 3
_LESS = (0.1, 0.25)
"""Shares of its limit by which an explanation lowers a metric."""


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
            "fleet": "forecast, risk score and alert level of each server, from its last hour",
            "explain": "what drives the risk score of one server, and what would lower it",
            "predict": "low, expected and high value at each horizon for feature rows",
        }

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question == "fleet":
            return self._fleet(_windows(request), now)
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
        self, windows: Mapping[str, Sequence[Mapping[str, float]]], now: datetime
    ) -> dict[str, Any]:
        try:
            forecasts, trends = self._forecasts(windows)
            servers = [
                self._server(name, rows[-1]["at"], forecasts[name], trends[name], now)
                for name, rows in windows.items()
                if rows
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
        fleet = self._fleet(windows, now)
        explained = []
        for server in fleet["servers"]:
            rows = windows[server["server"]]
            scores = self._scores(*(each[server["server"]] for each in self._forecasts(windows)))
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
        score: float = self._fleet({name: changed}, now)["servers"][0]["risk_score"]
        return score

    def _forecasts(
        self, windows: Mapping[str, Sequence[Mapping[str, float]]]
    ) -> tuple[dict[str, dict[str, Floats]], dict[str, dict[str, Floats]]]:
        """Server -> metric -> (3, 1 + n_horizons): low, expected, high; the value now first. And
        the same of those that rise steadily: (1 + n_horizons,)."""
        found: dict[str, dict[str, Floats]] = {name: {} for name in windows}
        trends: dict[str, dict[str, Floats]] = {name: {} for name in windows}
        ahead_min = np.array([0, *self._forecaster.horizons_min], dtype=np.float64)
        limits = {} if self._is_old else self._limits
        for position, metric in enumerate(self._metrics):
            names: list[str] = []
            series: list[Series] = []
            for name, rows in windows.items():
                one = [(row["at"], row[metric]) for row in rows if metric in row]
                if one:
                    names.append(name)
                    series.append(one)
            if not names:
                continue
            hours, minutes = newest_hours(series)
            rows_ = feature_rows(position, hours, minutes)
            bands = forecast(
                self._forecaster.metrics.get(metric),
                Rows(rows_, minutes, np.arange(len(names)), tuple(names)),
                self._forecaster.horizons_min,
                self._limits.get(metric),
            )
            current = np.repeat(rows_[:, VALUE][None, :, None], 3, axis=0)
            whole = np.concatenate([current, np.stack(bands)], axis=2)
            for i, name in enumerate(names):
                found[name][metric] = whole[:, i]
                trend = risk.steady_trend(hours[i], ahead_min) if metric in limits else None
                if trend is not None:
                    trends[name][metric] = trend
        return found, trends

    def _server(
        self,
        name: str,
        last_at: float,
        metrics: Mapping[str, Floats],
        trends: Mapping[str, Floats],
        now: datetime,
    ) -> dict[str, Any]:
        seen_at = datetime.fromtimestamp(last_at, UTC)
        silent_s = max((now - seen_at).total_seconds(), 0.0)
        score, reasons = self._risk(metrics, trends, silent_s)
        rounded = {metric: np.round(bands, _DIGITS).tolist() for metric, bands in metrics.items()}
        minute = seen_at.replace(second=0, microsecond=0)
        return {
            "server": name,
            "last_seen_at": seen_at.isoformat(),
            "is_silent": silent_s > self._silent_after_s,
            "risk_score": score,
            "alert_level": risk.alert_level(score),
            "reasons": reasons,
            "current": {metric: bands[_EXPECTED][0] for metric, bands in rounded.items()},
            "forecast": [
                {
                    "at": (minute + timedelta(minutes=horizon)).isoformat(),
                    "horizon_min": horizon,
                    **{
                        metric: {
                            "expected": bands[_EXPECTED][step],
                            "low": bands[_LOW][step],
                            "high": bands[_HIGH][step],
                        }
                        for metric, bands in rounded.items()
                    },
                }
                for step, horizon in enumerate(self._forecaster.horizons_min, start=1)
            ],
        }

    def _risk(
        self, metrics: Mapping[str, Floats], trends: Mapping[str, Floats], silent_s: float
    ) -> tuple[float, list[str]]:
        """The score of the metric that is worst off, and a sentence for each that alerts."""
        scores = self._scores(metrics, trends)
        reasons = [
            f"{metric} is {metrics[metric][_EXPECTED][0]:.1f} of {self._limits[metric]:g},"
            f" up to {metrics[metric][_HIGH].max():.1f} within the horizon"
            + (", and rises steadily" if metric in trends else "")
            for metric, score in sorted(scores.items(), key=lambda item: -item[1])
            if risk.alert_level(score) != risk.HEALTHY
        ]
        worst = max(scores.values(), default=0.0)
        if silent_s > self._silent_after_s:
            worst = max(worst, risk.SILENT_SCORE)
            reasons.append(f"nothing was heard for {silent_s / 60:.0f} min")
        return round(worst, 1), reasons

    def _scores(
        self, metrics: Mapping[str, Floats], trends: Mapping[str, Floats]
    ) -> dict[str, float]:
        """The risk score of each metric that has a limit."""
        return {
            metric: self._score(bands, self._limits[metric], trends.get(metric))
            for metric, bands in metrics.items()
            if metric in self._limits
        }

    def _score(self, bands: Floats, limit: float, trend: Floats | None) -> float:
        if self._is_old:
            return risk.level_risk(bands[_EXPECTED], bands[_HIGH], limit)
        return risk.metric_risk(bands[_LOW], bands[_EXPECTED], bands[_HIGH], limit, trend)

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
    unexpected = sorted(set(request) - {"windows"})
    if unexpected:
        raise RequestInvalid("only the field 'windows'", {"unexpected": unexpected}, "request")
    windows = request.get("windows")
    if not isinstance(windows, Mapping):
        raise RequestInvalid("an object: server -> its samples", windows, "windows")
    return windows
