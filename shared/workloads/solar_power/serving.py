"""Answer requests about a device's power from an estimator and the version's serving state.

The serving half of the workload. No pandas, no scikit-learn, no clock, no disk; immutable once
made, so any thread may ask.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import LoadFailed, NotFound, RequestInvalid
from shared.records import from_epoch_us
from shared.workloads.contract import Answerer
from shared.workloads.rows import RowContract, refuse_not_finite
from shared.workloads.solar_power import records as documents
from shared.workloads.solar_power.power_model import PowerModel
from shared.workloads.solar_power.profile import Past
from shared.workloads.solar_power.records import RawReading, Readings, Writing
from shared.workloads.solar_power.rows import (
    COLUMN,
    FEATURES,
    Floats,
    Predictor,
    Span,
    feature_rows,
    forecast_w,
)
from shared.workloads.solar_power.writing import StoredWriting, opened, stored

UNIT = "W"
MAX_READINGS = 1000
"""Five are needed; a client that sends its whole day is told so."""

_STATE_FORMAT = 1
_FAR_US = 2**62
_NEEDED = [COLUMN[name] for name in ("hour", "minute", "day_of_week", "power")]


@dataclass(frozen=True, slots=True, eq=False)
class ServingState:
    """What the answers need beyond the estimator.

    device : as the records name it; "" when no record was usable.
    silent : features without any value in training; they count as 0 there and here.
    writing : how the device's documents are written, and what it measures.
    """

    device: str
    silent: tuple[str, ...]
    writing: Writing


@dataclass(frozen=True, slots=True, eq=False)
class TrainingContext:
    """What travels beside the rows: what answers need, and readings to ask golden questions of."""

    serving_state: ServingState
    newest: Readings
    past: Past


class _StoredState(msgspec.Struct):
    """state.json."""

    format: int
    device: str
    silent: list[str]
    writing: StoredWriting = msgspec.field(default_factory=StoredWriting)


def write_serving_state(serving_state: ServingState) -> dict[str, bytes]:
    """File name -> bytes; the same state gives the same bytes."""
    saved = _StoredState(
        _STATE_FORMAT,
        serving_state.device,
        list(serving_state.silent),
        stored(serving_state.writing),
    )
    return {"state.json": msgspec.json.encode(saved)}


def read_serving_state(state: Mapping[str, bytes], time_zone: ZoneInfo) -> ServingState:
    """The reverse of `write_serving_state`.

    Raises:
        LoadFailed: the file is missing, not readable, or of another format.
    """
    if "state.json" not in state:
        raise LoadFailed(f"state of solar_power: missing state.json, found {sorted(state)}.")
    try:
        saved = msgspec.json.decode(state["state.json"], type=_StoredState)
    except msgspec.DecodeError as error:
        raise LoadFailed(f"state of solar_power cannot be read: {error}.") from error
    unknown = [name for name in saved.silent if name not in COLUMN]
    if saved.format != _STATE_FORMAT or unknown:
        raise LoadFailed(
            f"state of solar_power: expected format {_STATE_FORMAT} and known features,"
            f" found format {saved.format} and {unknown}."
        )
    return ServingState(saved.device, tuple(saved.silent), opened(saved.writing, time_zone))


def silent_columns(features: Floats) -> NDArray[np.bool_]:
    """(n_features,): which have no value in any row."""
    if not features.shape[0]:
        return np.zeros(features.shape[1], dtype=np.bool_)
    return np.asarray(np.isnan(features).all(axis=0), dtype=np.bool_)


class PowerAnswerer(Answerer):
    """Feature rows, or raw readings from which it makes the row itself."""

    rows = RowContract(FEATURES)

    def __init__(
        self,
        estimator: Predictor,
        serving_state: ServingState,
        time_zone: ZoneInfo,
        span: Span,
        interval: float = 0.8,
    ) -> None:
        """interval : the probability with which the power lies between low and high."""
        self._interval = interval
        self._estimator = estimator
        self._serving_state = serving_state
        self._time_zone = time_zone
        self._span = span
        self._silent = [COLUMN[name] for name in serving_state.silent]
        self._minutes = span.horizon_us / 60_000_000
        self.row_facts = {
            "unit": UNIT,
            "horizon_min": self._minutes,
            "device_id": serving_state.device,
        }

    @property
    def questions(self) -> Mapping[str, str]:
        return {
            "predict": f"power in W {self._minutes:g} minutes ahead, for feature rows or readings"
        }

    def answer(self, question: str, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        if question != "predict":
            expected = sorted(self.questions)
            raise NotFound(f"question: expected one of {expected}, found {question!r}.")
        known = ("instances", "readings")
        unexpected = [name for name in request if name not in known]
        if unexpected or not request:
            raise RequestInvalid(
                "instances (feature rows), readings (raw readings) or both",
                {"unexpected": unexpected} if unexpected else dict(request),
                "request",
            )
        answer: dict[str, Any] = {}
        if "instances" in request:
            answer |= self.answer_rows(request["instances"])
        if "readings" in request:
            answer["forecast"] = self._forecast(request["readings"], now)
        return {**answer, **self.row_facts}

    def predict_rows(self, matrix: Floats) -> Mapping[str, Floats]:
        refuse_not_finite(matrix, _NEEDED)
        matrix[:, self._silent] = 0.0
        predictions = forecast_w(self._estimator, matrix)
        model = self._estimator
        if not isinstance(model, PowerModel) or not model.residuals:
            return {"predictions": predictions}
        low, high = model.bounds(matrix, predictions, self._interval)
        return {"predictions": predictions, "low": low, "high": high}

    # -- raw readings ----------------------------------------------------------------------------

    def _forecast(self, sent: object, now: datetime) -> dict[str, Any]:
        """From the newest usable reading; the four before it make the means as in training."""
        raws = [self._raw(one, f"readings[{i}]") for i, one in enumerate(_as_list(sent))]
        rejected: Counter[str] = Counter()
        readings = documents.read_readings(raws, self._serving_state.writing, _FAR_US, rejected)
        if not len(readings):
            raise RequestInvalid(
                "at least one reading that is online and has a timestamp and a power",
                dict(rejected),
                "readings",
            )
        newest = readings.newest(1)
        row = feature_rows(readings, self._time_zone, self._span.reach_us)[-1:]
        at = from_epoch_us(int(newest.time_us[0]))
        outputs = dict(self.predict_rows(row))
        return {
            "power_w": float(outputs.pop("predictions")[0]),
            **{f"{name}_w": float(values[0]) for name, values in outputs.items()},
            "timestamp": _text(at + timedelta(microseconds=self._span.horizon_us)),
            "reading_timestamp": _text(at),
            "reading_age_s": round((now - at).total_seconds(), 3),
            "n_readings": len(readings),
            "not_used": dict(rejected),
        }

    def _raw(self, one: object, where: str) -> RawReading:
        if not isinstance(one, Mapping):
            raise RequestInvalid("an object with the fields of a reading", one, where)
        raw = documents.raw_reading(one)
        device = documents.device_of(raw.device_id)
        if raw.device_id is not None and device != self._serving_state.device:
            expected = f"a reading of {self._serving_state.device}, whose model this is"
            raise RequestInvalid(expected, raw.device_id, f"{where}.device_id")
        if "status" not in one:  # a device that sends readings now is online
            raw.status = "online"
        return raw


def _as_list(sent: object) -> Sequence[object]:
    if isinstance(sent, list) and 0 < len(sent) <= MAX_READINGS:
        return sent
    expected = f"a list of 1 to {MAX_READINGS} readings, the last five are enough"
    raise RequestInvalid(expected, len(sent) if isinstance(sent, list) else sent, "readings")


def as_request(readings: Readings) -> list[dict[str, Any]]:
    """Readings as a client would send them."""
    return [
        {
            "timestamp": _text(from_epoch_us(at_us)),
            **{
                name: None if np.isnan(value) else value
                for name, value in zip(documents.SENSORS, values[:-1], strict=True)
            },
            "fan_status": None if np.isnan(values[-1]) else bool(values[-1]),
            "status": "online",
        }
        for at_us, values in zip(readings.time_us.tolist(), readings.values.tolist(), strict=True)
    ]


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
