"""Requests and latency over time: what is drawn, where lines end, where versions were swapped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime

from api_service.console.views import traffic_history
from api_service.metrics.traffic_history import Span, Track, TrafficHistory
from shared.run_log.reader import Event
from tests.api_service.console.test_pictures import NOW, swap

START_S = NOW.timestamp() - 600


def past(*requests: int, pause_after: int = 1000) -> TrafficHistory:
    """A half hour of spans; after so many of them nobody looked for ten minutes."""
    starts = [START_S + 15 * i + (600 if i >= pause_after else 0) for i in range(len(requests))]
    spans = [
        Span(at_s, 15.0, n, n // 10, 400, 9_000 + 1000 * i)
        for i, (at_s, n) in enumerate(zip(starts, requests, strict=True))
        if n
    ]
    track = Track(looked=[(at_s, 15.0) for at_s in starts], models={"m": spans} if spans else {})
    return TrafficHistory(sampled_at_s=START_S + 900, fine=track, coarse=track)


def at(event: Event, seconds: float) -> Event:
    """The same event, so many seconds after the first span began."""
    moment = datetime.fromtimestamp(START_S + seconds, UTC)
    return replace(event, at=moment)


def lines(svg: str, kind: str) -> list[str]:
    return re.findall(rf'<path class="line {kind}" d="([^"]+)"', svg)


def test_both_pictures_mark_where_a_version_took_over() -> None:
    """Did the swap cost anything? is the question that the page is opened with."""
    swaps = [at(swap("v000002-x", 1.0), 20), at(swap("v000002-x", 2.0), 21)]
    swaps += [at(swap("v000003-x", 1.0, None), 30), at(swap("v000009-x", 1.0), -4000)]
    found = traffic_history.view(past(30, 60, 45), "m", swaps, "")

    assert found.text == (
        "In the last half hour 135 requests, 13 of them failed; v000002 took over."
    )
    requests, latency = found.pictures
    for one in (requests, latency):
        ET.fromstring(str(one.svg))
        assert str(one.svg).count('class="moment"') == 1
        assert ">v2</text>" in str(one.svg)
    assert "At most 4 requests a second." in requests.text
    assert "half of the requests took up to 0.4 ms and 99 of 100 up to 11 ms" in latency.text
    assert requests.rows[0][1:] == ["45", "4", "3"]
    assert ("k-s4 m-none", "failed") in requests.legend


def test_a_line_ends_where_nobody_looked_or_nobody_asked() -> None:
    """A line across a night without measurements would claim a measured night."""
    asked, paused = past(30, 30, 0, 0, 0, 30, 30), past(30, 30, 30, 30, pause_after=2)

    requests, latency = (str(one.svg) for one in traffic_history.view(asked, "m", [], "").pictures)
    assert len(lines(requests, "s1")) == 1  # nobody asked, and that was seen: zero
    assert len(lines(latency, "s2")) == 2
    for picture in traffic_history.view(paused, "m", [], "").pictures:
        assert len(lines(str(picture.svg), "s1")) == 2


def test_where_nothing_was_asked_a_sentence_says_so() -> None:
    """An empty frame would look broken."""
    quiet = traffic_history.view(past(0, 0), "m", [], "")
    assert (quiet.text, list(quiet.pictures)) == (
        "Nobody has asked it anything in the last half hour.",
        [],
    )
    crowded = past(0, 0)
    crowded.coarse.models["other"] = past(7).fine.models["m"]
    assert "the others one together" in traffic_history.view(crowded, "m", [], "half-hour").text
    assert (
        "Nothing has been measured yet" in traffic_history.view(TrafficHistory(), "m", [], "").text
    )


def test_the_day_is_shown_when_the_half_hour_was_quiet_unless_it_is_asked_for() -> None:
    """Who looks on Monday morning wants to see the night, not an empty half hour."""
    night = TrafficHistory(fine=past(0, 0).fine, coarse=past(5, 9).coarse, sampled_at_s=START_S)

    assert traffic_history.view(night, "m", [], "").period == "day"
    assert traffic_history.view(night, "m", [], "half-hour").period == "half-hour"
    assert traffic_history.view(night, "other", [], "nonsense").period == "half-hour"
