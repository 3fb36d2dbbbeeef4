"""Ticks, quantiles, drift and words: small numbers that pictures and tables rest on."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from api_service.console.charts.scale import nice_ticks, time_ticks
from api_service.console.compare.drift import psi
from api_service.console.formatting import change, duration, figure, short_run, size
from api_service.console.views import error_history, swap_history, traffic_by_version
from api_service.console.views.timeline import lines
from api_service.metrics.latency import quantile_s
from api_service.metrics.recorder import Recorder
from api_service.metrics.worker_metrics import Sum
from shared.run_log.reader import Event
from shared.run_log.run import Run, RunStatus
from tests.api_service.console.past import details

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 25, 50, 75, 100]),
        (1.8, 2.12, [1.8, 1.9, 2.0, 2.1, 2.2]),
        (-3, 3, [-4, -2, 0, 2, 4]),
        (5, 5, [4, 6, 8, 10]),
    ],
)
def test_ticks_are_round_and_hold_all_values(
    low: float, high: float, expected: list[float]
) -> None:
    """A point outside the frame is a lie."""
    found = nice_ticks(low, high)

    assert found[0] <= low
    assert found[-1] >= high
    assert len(found) <= 8
    if low != high:
        assert found == expected


@pytest.mark.parametrize("span_s", [3, 90, 3600, 86_400, 30 * 86_400, 900 * 86_400])
def test_moments_on_an_axis_are_few_and_inside(span_s: int) -> None:
    """From seconds to years."""
    first = NOW.timestamp()
    found = time_ticks(first, first + span_s)

    assert 1 <= len(found) <= 8
    assert all(first <= at <= first + span_s for at, _ in found)


def test_every_picture_is_wellformed_and_says_in_words_what_it_shows() -> None:
    """Title and description are what a screen reader gets."""
    runs = [judged(i, 1.5 + 0.1 * i, promoted=i != 2) for i in range(4)][::-1]
    found = error_history.picture(runs)
    assert found is not None

    svg = ET.fromstring(str(found.svg))
    assert svg.attrib["role"] == "img"
    titles = [one.text for one in svg if one.tag in ("title", "desc")]
    assert titles == [found.title, found.text]
    assert "4 trainings judged, 3 of them promoted" in found.text
    assert [row[0] for row in found.rows] == ["v000004", "v000003", "v000002", "v000001"]
    assert found.rows[1][-1] == "not promoted"
    assert float(found.rows[0][4]) == pytest.approx(1.6 * 1.1)


def judged(i: int, error: float, *, promoted: bool) -> Run:
    at = NOW + timedelta(hours=i)
    return Run(
        *(f"run{i}", "m", "new_records", "why", f"v{i + 1:06d}-20261121T083000Z", i + 1),
        RunStatus.SUCCEEDED,
        at,
        finished_at=at,
        promoted=promoted,
        details=details(error, 1.6),
    )


def swap(version: str, ms: float, previous: str | None = "v000001-x") -> Event:
    stages = {f"{stage}_ms": ms for stage in ("verify", "load", "golden", "warm", "switch")}
    receipt = {
        "version": version,
        "generation": 2,
        "previous": previous,
        "requests_failed": 0,
        "swapped_at": NOW.isoformat(),
        **stages,
    }
    return Event(1, NOW, "m", "swap", "one worker", None, {"receipt": receipt})


def test_what_all_workers_do_alike_is_one_line() -> None:
    """Eight workers would fill the page with one swap."""
    found = lines([swap("v000002-x", 10.0), swap("v000002-x", 20.0), swap("v000003-x", 5.0)])

    assert [line.sentence for line in found] == [
        "one worker",
        "2 workers serve v000002-x: ready in 40 to 80 ms, 0 requests failed.",
    ]


def test_workers_that_start_later_are_a_line_of_their_own() -> None:
    """After a restart "4 workers serve" would count two that are dead."""
    started = replace(swap("v000002-x", 10.0, None), at=NOW + timedelta(hours=1))
    found = lines([swap("v000002-x", 10.0), swap("v000002-x", 20.0), started, started])

    assert [line.sentence.partition(" ")[0] for line in found] == ["2", "2"]
    assert found[0].at == started.at


def test_the_slowest_worker_stands_for_a_swap_and_a_cold_start_is_none() -> None:
    """A mean would hide the worker that everybody waited for."""
    found = swap_history.picture(
        [swap("v000002-x", 10.0), swap("v000002-x", 20.0), swap("v000003-x", 900.0, None)]
    )
    assert found is not None

    assert [row[0] for row in found.rows] == ["v000002"]
    assert found.rows[0][2] == "20"


def test_quantiles_of_counted_requests_are_right_to_a_tenth() -> None:
    """As the buckets are."""
    recorder, took = Recorder(), np.random.default_rng(1).lognormal(-6, 0.6, 20_000)
    for seconds in took.tolist():
        recorder.count("m", "v000001-x", "/predict", 200, seconds)
    for _ in range(3):
        recorder.count("m", "v000001-x", "/predict", 500, 0.001)
    found = traffic_by_version.by_version(Sum(cells=recorder.cells()), "m")[0]

    assert found.n_requests == 20_003
    assert found.n_failed == 3
    assert found.p50_ms == pytest.approx(1e3 * np.quantile(took, 0.5), rel=0.1)
    assert found.p99_ms == pytest.approx(1e3 * np.quantile(took, 0.99), rel=0.1)
    assert quantile_s(0.5, [{}]) is None


def test_drift_is_nothing_for_the_same_rows_and_much_for_a_shift() -> None:
    """Against the closed form for two normal distributions one standard deviation apart: 1."""
    dice = np.random.default_rng(7)
    a, b = dice.normal(0, 1, 4000), dice.normal(1, 1, 4000)

    assert psi(a, a) == pytest.approx(0.0, abs=1e-9)
    found = psi(a, b)
    assert found is not None
    assert 0.75 < found < 1.0  # ten bins lose a little of it
    assert psi(a, dice.normal(0, 1, 4000)) == pytest.approx(0.0, abs=0.02)
    assert psi(a[:5], b) is None
    assert psi(np.zeros(100), np.zeros(100)) == pytest.approx(0.0)


def test_numbers_read_as_people_write_them() -> None:
    """Thin spaces, no false precision, a dash where nothing is known."""
    assert [figure(x) for x in (10927, 1.84599, 0.00012345, 12345.0, None, True, float("nan"))] == [
        *("10\u2009927", "1.846", "0.0001234", "12\u2009345", "–", "yes", "–")
    ]
    assert [change(2.0, 1.0), change(1.0, 1.0), change(0.0, 1.0)] == ["−50.0 %", "±0 %", "–"]
    assert [size(None), size(61_301), size(2_920_000)] == ["–", "61.3 kB", "2.92 MB"]
    assert short_run("20261121T173951774789Z-cb99b540") == "cb99b540"
    assert short_run("76c473d7200a") == "76c473d7200a"
    assert [duration(None), duration(0.2), duration(13.07)] == ["–", "200 ms", "13.1 s"]
