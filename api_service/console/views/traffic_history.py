"""Chart requests and latency over the last half hour or day, with the times of swaps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api_service.console.charts.drawing import Picture
from api_service.console.charts.plots import Series, over_time
from api_service.console.formatting import figure, moment, several, short_version
from api_service.metrics.recorder import MAX_MODELS, OTHER
from api_service.metrics.traffic_history import COARSE_S, Span, TrafficHistory
from shared.run_log.reader import Event

PERIODS: Mapping[str, str] = {"half-hour": "half hour", "day": "day"}
_IN_TABLE = 60
_TOOK_OVER = "a version took over"

Swap = tuple[float, str]
"""When, in seconds since 1970, and the version that took over."""


@dataclass(frozen=True, slots=True)
class TrafficCharts:
    """What is shown. period : of PERIODS; text : a sentence, also where there is no picture."""

    period: str
    text: str
    pictures: Sequence[Picture] = ()


def view(past: TrafficHistory, model: str, swaps: Sequence[Event], asked: str) -> TrafficCharts:
    """swaps : swap events, oldest first. asked : the period that was chosen, or anything else."""
    period = asked if asked in PERIODS else _usual(past, model)
    spans = past.spans(model, is_fine=period != "day")
    n_requests = sum(one.n_requests for one in spans)
    if not spans:
        return TrafficCharts(period, "Nothing has been measured yet; it is drawn in half a minute.")
    if not n_requests:
        return TrafficCharts(period, _nothing(past, PERIODS[period]))
    first_s, last_s = _range(spans)
    moments = [one for one in _first_of_each(swaps) if first_s <= one[0] <= last_s]
    busiest = max(one.n_requests / one.lasts_s for one in spans)
    text = (
        f"In the last {PERIODS[period]} {several(n_requests, 'request')},"
        f" {figure(sum(one.n_failed for one in spans))} of them failed; {_swapped(moments)}."
    )
    return TrafficCharts(
        period,
        text,
        [
            _requests(spans, moments, f"At most {figure(busiest, 3)} requests a second."),
            *([_latency(spans, moments)] if any(one.p50_us for one in spans) else []),
        ],
    )


def _nothing(past: TrafficHistory, period: str) -> str:
    if OTHER in past.models_of_a_day():
        return (
            f"Nothing was counted of it in the last {period}. With more than {MAX_MODELS} models"
            " those that are asked first have counts of their own, the others one together."
        )
    return f"Nobody has asked it anything in the last {period}."


def _usual(past: TrafficHistory, model: str) -> str:
    """The half hour, unless nobody asked in it."""
    is_asked_now = any(one.n_requests for one in past.spans(model, is_fine=True))
    return "half-hour" if is_asked_now or model not in past.models_of_a_day() else "day"


def _swapped(moments: Sequence[Swap]) -> str:
    if not moments:
        return "no version took over meanwhile"
    last = short_version(moments[-1][1])
    return f"{last} took over" if len(moments) == 1 else f"{len(moments)} swaps, the last to {last}"


def _first_of_each(swaps: Sequence[Event]) -> list[Swap]:
    """When the first worker switched to each version; a cold start replaces nothing."""
    found: dict[tuple[Any, Any], Swap] = {}
    for event in swaps:
        receipt = event.details.get("receipt")
        if receipt and receipt["previous"] is not None:
            key = receipt["version"], receipt["generation"]
            found.setdefault(key, (event.at.timestamp(), receipt["version"]))
    return sorted(found.values())


def _requests(spans: Sequence[Span], moments: Sequence[Swap], text: str) -> Picture:
    asked = [(_middle_s(one), one.n_requests / one.lasts_s) for one in spans]
    failed = [(_middle_s(one), one.n_failed / one.lasts_s) for one in spans]
    series = [Series("requests", "s1", asked, mark="none", gap=_gap_s(spans))]
    if any(one.n_failed for one in spans):
        series.append(Series("failed", "s4", failed, mark="none", gap=_gap_s(spans)))
    return over_time(
        "requests",
        "Requests over time",
        text,
        series,
        unit="requests a second",
        from_zero=True,
        moments=_labels(moments),
        what_moments=_TOOK_OVER,
        x_range=_range(spans),
        columns=["until, UTC", "requests", "failed", "a second"],
        rows=[
            [
                _until(one),
                figure(one.n_requests),
                figure(one.n_failed),
                figure(one.n_requests / one.lasts_s, 3),
            ]
            for one in spans[: -_IN_TABLE - 1 : -1]
        ],
    )


def _latency(spans: Sequence[Span], moments: Sequence[Swap]) -> Picture:
    answered = [one for one in spans if one.p50_us is not None and one.p99_us is not None]
    half = [(_middle_s(one), _ms(one.p50_us)) for one in answered]
    most = [(_middle_s(one), _ms(one.p99_us)) for one in answered]
    lasts = "15 seconds" if spans[0].lasts_s < COARSE_S / 2 else "five minutes"
    return over_time(
        "latency",
        "Latency over time",
        f"In the slowest {lasts} half of the requests took up to"
        f" {figure(max(ms for _, ms in half), 2)} ms and 99 of 100 up to"
        f" {figure(max(ms for _, ms in most), 2)} ms.",
        [
            Series("half within", "s1", half, mark="none", gap=_gap_s(spans)),
            Series("99 of 100 within", "s2", most, mark="none", gap=_gap_s(spans)),
        ],
        unit="ms, logarithmic",
        is_log=True,
        moments=_labels(moments),
        what_moments=_TOOK_OVER,
        x_range=_range(spans),
        columns=["until, UTC", "half within, ms", "99 of 100 within, ms"],
        rows=[
            [_until(one), figure(_ms(one.p50_us), 3), figure(_ms(one.p99_us), 3)]
            for one in answered[: -_IN_TABLE - 1 : -1]
        ],
    )


def _labels(moments: Sequence[Swap]) -> list[tuple[float, str]]:
    return [(at_s, f"v{short_version(version)[1:].lstrip('0')}") for at_s, version in moments]


def _until(span: Span) -> str:
    return moment(datetime.fromtimestamp(span.starts_at_s + span.lasts_s, UTC))


def _range(spans: Sequence[Span]) -> tuple[float, float]:
    return spans[0].starts_at_s, spans[-1].starts_at_s + spans[-1].lasts_s


def _middle_s(span: Span) -> float:
    return span.starts_at_s + span.lasts_s / 2


def _gap_s(spans: Sequence[Span]) -> float:
    """Where nobody looked or nobody asked for longer than two spans, the line ends."""
    return 2.5 * sorted(one.lasts_s for one in spans)[len(spans) // 2]


def _ms(us: int | None) -> float:
    return max(us or 0, 1) / 1e3
