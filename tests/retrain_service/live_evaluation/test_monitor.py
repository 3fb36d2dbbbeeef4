"""What came is found for what was answered, and stays right when records change or go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from retrain_service.buffer.store import Buffer, Change
from retrain_service.live_evaluation.live_scores import Judged, confidence_sequence
from retrain_service.live_evaluation.monitor import LiveMonitor
from retrain_service.live_evaluation.truth_join import TruthJoin
from shared.exchange.retrain_report import LiveVersion
from shared.prediction_log.frames import LoggedAnswer
from shared.prediction_log.writer import SegmentWriter
from shared.records import Batch, Record, to_epoch_us
from shared.settings.root import Settings
from shared.workloads import open_workload
from shared.workloads.contract import Workload

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
AHEAD = timedelta(minutes=15)
END = START + timedelta(hours=3)


class Buffered:
    """A real buffer, asked as the reader thread asks it."""

    def __init__(self, path: Path, workload: Workload, stream: str) -> None:
        self.workload, self.stream = workload, stream
        self.buffer = Buffer(path, START)
        self.buffer.open_stream(stream, "sql:app", is_counted=True)

    def add(self, *records: Record) -> None:
        self.buffer.apply(
            self.stream,
            Batch(records, None, is_last=True),
            source="app",
            now=START,
            reject_reason=lambda _: None,
        )

    def changes(self, _now: datetime, after_seq: int, most: int) -> list[Change]:
        return self.buffer.changes(after_seq, most)

    def n_records(self, _now: datetime, stream: str) -> int:
        return self.buffer.count(stream)

    def missing(self, _now: datetime, stream: str, ids: Sequence[str]) -> list[str]:
        return self.buffer.missing(stream, ids)


class Followed:
    """A model, its log and its buffer."""

    def __init__(self, folder: Path, workload: str, stream: str, keep_days: int = 30) -> None:
        self.settings = Settings(
            home=folder / "home",
            prediction_log={"keep_days": keep_days},
            sources={"app": {"kind": "sql", "url": "sqlite:///none.db"}},
            models={"m": {"workload": workload, "source": "app"}},
        )
        self.records = Buffered(folder / "m.duckdb", open_workload(workload, {}), stream)
        self.writer = SegmentWriter(self.settings.prediction_log_dir, 30, 10_000_000)
        self.monitor = LiveMonitor("m", self.settings, self.records)

    def log(self, model: str, at: datetime, answer: dict[str, Any], version: str = "v1") -> None:
        content = msgspec.json.encode(answer)
        self.writer.append(
            [LoggedAnswer(to_epoch_us(at), model, version, 1, "predict", b"{}", content, 0.001)]
        )

    def restart(self) -> None:
        self.monitor.close()
        self.monitor = LiveMonitor("m", self.settings, self.records)

    def found(self, model: str, now: datetime = END) -> list[LiveVersion]:
        return list(self.monitor.step(now).get(model, ()))


@pytest.fixture
def solar(tmp_path: Path) -> Iterator[Followed]:
    followed = Followed(tmp_path, "solar_power", "readings")
    yield followed
    followed.monitor.close()
    followed.records.buffer.close()


@pytest.mark.parametrize(
    ("workload", "stream", "is_due"),
    [("solar_power", "readings", True), ("spare_parts", "appointments", False)],
)
def test_the_log_is_read_only_for_answers_that_can_be_judged(
    tmp_path: Path, workload: str, stream: str, is_due: bool
) -> None:
    followed = Followed(tmp_path, workload, stream)
    followed.settings.prediction_log_dir.mkdir(parents=True, exist_ok=True)

    assert followed.monitor.is_due() is is_due
    followed.records.buffer.close()


def forecast(at: datetime, power_w: float) -> dict[str, Any]:
    return {
        "device_id": "d1",
        "forecast": {
            "power_w": power_w,
            "low_w": power_w - 5,
            "high_w": power_w + 5,
            "timestamp": (at + AHEAD).isoformat(),
        },
    }


def reading(id_: str, at: datetime, power: float, seconds: int = 0, **more: Any) -> Record:
    fields = {
        "device_id": "d1",
        "timestamp": at.isoformat(),
        "power": power,
        "status": "online",
        **more,
    }
    return Record(id_, at + timedelta(seconds=seconds), fields)


def test_live_error_is_that_of_the_same_answers_and_follows_every_change(solar: Followed) -> None:
    """Late, corrected, marked and removed truths; a crash in between loses or doubles none."""
    rng = np.random.default_rng(1)
    times = [START + timedelta(minutes=i) for i in range(60)]
    answered, came = rng.uniform(0, 100, 60), rng.uniform(0, 100, 60)
    for at, power in zip(times, answered.tolist(), strict=True):
        solar.log("m/d1", at, forecast(at, power))
    solar.log("m/d1", END, forecast(START, 1e6))  # of what was past already: no forecast
    solar.log("other/d1", START, forecast(START, 1e6))
    solar.log("m/d1", START, {"predictions": [1.0]})

    def error(known: Sequence[int]) -> float:
        return float(np.abs(answered[known] - came[known]).mean())

    def check(known: Sequence[int]) -> None:
        (version,) = solar.found("m/d1")
        assert version.n == len(known)
        assert version.error == pytest.approx(error(known), rel=1e-9)
        inside = np.abs(answered[known] - came[known]) <= 5
        assert version.coverage == pytest.approx(float(inside.mean()))

    assert solar.found("m/d1") == []
    readings = [
        reading(f"r{i}", at + AHEAD, power, seconds=1)
        for i, (at, power) in enumerate(zip(times, came.tolist(), strict=True))
    ]
    solar.records.add(*readings[:40])
    check(range(40))

    # A crash between reading and keeping.
    solar.records.add(*readings[40:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TruthJoin, "forget", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            solar.monitor.step(END)
    solar.restart()
    check(range(60))
    solar.restart()
    check(range(60))

    # Corrected; one nearer to the moment comes later; one is marked as deleted; one goes.
    came[3] = 55.5
    solar.records.add(reading("r3", times[3] + AHEAD, 55.5, seconds=9))
    solar.records.add(reading("far", times[4] + AHEAD + timedelta(seconds=20), 1e3, seconds=9))
    solar.records.add(Record("r5", END, {}, is_deleted=True))
    check([i for i in range(60) if i != 5])
    solar.records.buffer.delete_ids("readings", ["r6", "r7"])
    check([i for i in range(60) if i not in (5, 6, 7)])

    # What is due later is not judged, even when a record says it already.
    assert solar.found("m/d1", START + AHEAD - timedelta(minutes=1)) == []


def test_a_fleet_is_judged_by_metric_and_horizon_in_the_mean_of_the_minute(tmp_path: Path) -> None:
    """Percent and load must not be added up, and one minute may have many samples."""
    fleet = Followed(tmp_path, "server_metrics", "metrics")
    at = START + timedelta(minutes=5)
    band = {"expected": 10.0, "low": 9.0, "high": 11.0}
    step = {"at": at.isoformat(), "horizon_min": 5, "cpu": band, "load": band}
    servers = [
        {"server": "web", "is_silent": False, "forecast": [step]},
        {"server": "old", "is_silent": True, "forecast": [step]},
    ]
    fleet.log("m", START, {"servers": servers})
    for i, (seconds, cpu) in enumerate([(0, 11.0), (59, 14.0), (60, 90.0)]):
        moment = at + timedelta(seconds=seconds)
        fields = {"server": "web", "timestamp": moment.isoformat(), "cpu": cpu, "load": 10.5}
        fleet.records.add(Record(f"s{i}", moment, fields))

    (version,) = fleet.found("m")

    assert version.error is None
    assert {one.slice: one.error for one in version.slices} == {
        "cpu in 5 min": pytest.approx(2.5),
        "load in 5 min": pytest.approx(0.5),
    }
    assert version.coverage == pytest.approx(0.5)
    fleet.monitor.close()
    fleet.records.buffer.close()


def test_the_bounds_hold_at_every_look() -> None:
    """Somebody looks each day: the mean must lie inside on all days, in 19 of 20 lives."""
    rng = np.random.default_rng(7)
    n_outside, n_lives = 0, 200
    for _ in range(n_lives):
        errors = rng.gamma(2.0, 0.5, 60)
        days = [Judged("v", "s", i, 10, 10 * x, 0, 0, 0) for i, x in enumerate(errors)]
        bounds = [confidence_sequence(days[:n]) for n in range(1, 61)]
        assert bounds[3] is None
        n_outside += any(b is not None and not b[0] <= 1.0 <= b[1] for b in bounds)
    assert n_outside <= 0.08 * n_lives


def test_a_removal_that_could_not_be_written_is_found_again(
    solar: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at that moment, and the record counted for another hour."""
    for minute in (0, 1):
        at = START + timedelta(minutes=minute)
        solar.log("m/d1", at, forecast(at, 10.0))
        solar.records.add(reading(f"r{minute}", at + AHEAD, 11.0, seconds=1))
    assert solar.found("m/d1")[0].n == 2
    solar.records.buffer.delete_ids("readings", ["r1"])

    with monkeypatch.context() as broken:
        broken.setattr(TruthJoin, "forget", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            solar.monitor.step(END)

    assert solar.found("m/d1")[0].n == 1


def test_a_list_is_judged_by_what_the_person_takes(tmp_path: Path) -> None:
    """One of it within a week is a hit, only others is none; who takes nothing tells nothing."""
    shop = Followed(tmp_path, "product_recommender", "interactions", keep_days=7)
    for person in ("hit", "miss", "gone", "late"):
        shown = [{"product_id": "p1"}, {"product_id": "p2"}]
        answer = {"user_id": person, "basis": "history", "recommendations": shown, "total": 2}
        shop.log("m", START, answer)
    shop.log("m", START, {"recommendations": [{"product_id": "p1"}], "total": 1})
    events = [
        ("hit", "view", "p7", 1),
        ("hit", "purchase", "p2", 3),
        ("miss", "purchase", "p7", 3),
        ("late", "purchase", "p1", 8),
    ]
    for n, (person, kind, product, days) in enumerate(events):
        at = START + timedelta(days=days)
        fields = {"user_id": person, "type": kind, "product_id": product, "timestamp": str(at)}
        shop.records.add(Record(f"e{n}", at, fields))

    (version,) = shop.found("m", START + timedelta(days=9))
    early = shop.found("m", START + timedelta(days=6))

    assert version.n == 2
    assert version.error == pytest.approx(0.5)
    assert early == [], "the week is not over"
    shop.monitor.close()
    shop.records.buffer.close()
