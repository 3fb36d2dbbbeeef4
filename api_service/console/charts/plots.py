"""The chart types of the console: time series, bars, ranges and scatter plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from api_service.console.charts.drawing import WIDTH, Frame, Picture, Sheet
from api_service.console.charts.scale import Scale, extent, factor_ticks, nice_ticks, time_ticks
from api_service.console.formatting import figure

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """Points in the order of x. kind : class of line and mark; mark : dot, cross or none.

    gap : points further apart in x than this are not joined.
    """

    name: str
    kind: str
    points: Sequence[Point]
    mark: str = "dot"
    has_line: bool = True
    says: Sequence[str] = ()
    gap: float = math.inf


@dataclass(frozen=True, slots=True)
class Band:
    """An area between two values at each x."""

    name: str
    points: Sequence[tuple[float, float, float]]


def over_time(
    name: str,
    title: str,
    text: str,
    series: Sequence[Series],
    *,
    unit: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    bands: Sequence[Band] = (),
    moments: Sequence[tuple[float, str]] = (),
    what_moments: str = "",
    from_zero: bool = False,
    is_log: bool = False,
    x_range: tuple[float, float] | None = None,
    x_ticks: Sequence[tuple[float, str]] | None = None,
    x_unit: str = "time, UTC",
    height: int = 240,
) -> Picture:
    """Lines over time; x in seconds since 1970, or in numbers with their own ticks.

    moments : upright lines with a label, such as a swap. is_log : y by factors, all above 0.
    x_range : what the axis spans at least, so that pictures above each other can be compared.
    """
    sheet = Sheet(name, height=height)
    xs = [x for one in series for x, _ in one.points] + [x for x, _ in moments]
    xs += x_range or ()
    ys = [y for one in series for _, y in one.points]
    ys += [edge for band in bands for _, low, high in band.points for edge in (low, high)]
    first, last = extent(xs)
    if first == last:
        first, last = first - 30, last + 30
    low, high = extent(ys)
    if is_log:
        ticks = factor_ticks(low, high)
    else:
        ticks = nice_ticks(min(0.0, low) if from_zero or low < 0.35 * high else low, high)
    frame = Frame.on(
        sheet,
        x=(first, last),
        y_ticks=ticks,
        x_ticks=time_ticks(first, last) if x_ticks is None else x_ticks,
        y_unit=unit,
        x_unit=x_unit,
        is_log=is_log,
    )
    for band in bands:
        _draw_band(sheet, frame, band)
    _draw_moments(sheet, frame, moments)
    for one in series:
        _draw_series(sheet, frame, one)
    legend = [(f"k-{one.kind} m-{one.mark}", one.name) for one in series if one.points]
    legend += [("k-s3 m-none", what_moments)] if moments else []
    legend += [("k-band m-area", band.name) for band in bands if band.points]
    return Picture(sheet.finish(title, text), title, text, columns, rows, legend)


def _draw_moments(sheet: Sheet, frame: Frame, moments: Sequence[tuple[float, str]]) -> None:
    free_from = 0.0  # labels that would lie on each other are left out; the line stays
    for at, label in moments:
        place = frame.x(at)
        sheet.line(place, 26, place, sheet.height - 38, "moment")
        if place >= free_from:
            sheet.text(place, 24, label, "tick", "middle")
            free_from = place + 9 * len(label)


def _draw_band(sheet: Sheet, frame: Frame, band: Band) -> None:
    points = list(band.points)
    if len(points) == 1:  # one moment has no width; show where it is
        x, low, high = points[0]
        at = frame.x(x)
        sheet.rect(at - 8, frame.y(high), 16, frame.y(low) - frame.y(high), "band")
        return
    upper = [(frame.x(x), frame.y(high)) for x, _, high in points]
    lower = [(frame.x(x), frame.y(low)) for x, low, _ in reversed(points)]
    sheet.path([*upper, *lower], "band", closed=True)


def _draw_series(sheet: Sheet, frame: Frame, one: Series) -> None:
    places = [(frame.x(x), frame.y(y)) for x, y in one.points]
    alone: set[int] = set()
    for first, last in _joined(one):
        if last == first:
            alone.add(first)
        elif one.has_line:
            sheet.path(places[first : last + 1], f"line {one.kind}")
    for i, (x, y) in enumerate(places):
        if one.mark == "none" and i not in alone:
            continue
        say = one.says[i] if i < len(one.says) else ""
        if one.mark == "cross":
            sheet.cross(x, y, f"mark {one.kind}", say)
        else:
            sheet.dot(x, y, f"mark {one.kind}", say)


def _joined(one: Series) -> Iterator[tuple[int, int]]:
    """(first, last) of the points that are joined to one another."""
    first = 0
    for i in range(1, len(one.points) + 1):
        if i == len(one.points) or one.points[i][0] - one.points[i - 1][0] > one.gap:
            yield first, i - 1
            first = i


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of parts laid end to end. parts : (value, class, what it is)."""

    name: str
    parts: Sequence[tuple[float, str, str]]
    note: str = ""


def bars(
    name: str,
    title: str,
    text: str,
    found: Sequence[Bar],
    *,
    unit: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    legend: Sequence[tuple[str, str]] = (),
    low: float = 0.0,
    high: float | None = None,
    left: int = 170,
    right: int = 70,
) -> Picture:
    """Lying bars, one a line, from zero."""
    row, top, bottom = 22, 8, 36
    height = top + bottom + row * len(found)
    sheet = Sheet(name, height=height)
    most = max((sum(value for value, _, _ in bar.parts) for bar in found), default=1.0)
    ticks = nice_ticks(low, high if high is not None else most or 1.0)
    scale = Scale(ticks[0], ticks[-1], left, WIDTH - right)
    floor = height - bottom
    for tick in ticks:
        sheet.line(scale(tick), top, scale(tick), floor, "grid")
        sheet.text(scale(tick), floor + 15, f"{tick:g}", "tick", "middle")
    sheet.line(left, floor, WIDTH - right, floor, "axis")
    sheet.text(WIDTH - right, height - 4, unit, "unit", "end")
    for i, bar in enumerate(found):
        y = top + i * row
        sheet.text(left - 6, y + 15, _short(bar.name, 26), "tick", "end")
        at = 0.0
        for value, kind, what in bar.parts:
            say = f"{bar.name}: {what} {figure(value)} {unit}".replace("  ", " ")
            sheet.rect(scale(at), y + 4, scale(at + value) - scale(at), row - 8, f"bar {kind}", say)
            at += value
        sheet.text(scale(at) + 6, y + 15, bar.note or figure(at), "tick")
    return Picture(sheet.finish(title, text), title, text, columns, rows, legend)


def against(
    name: str,
    title: str,
    text: str,
    points: Sequence[Point],
    *,
    x_name: str,
    y_name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> Picture:
    """One value against another, with the line on which both are the same."""
    sheet = Sheet(name, width=460, height=400)
    low, high = extent([value for point in points for value in point])
    ticks = nice_ticks(low, high)
    frame = Frame.on(
        sheet,
        x=(ticks[0], ticks[-1]),
        y_ticks=ticks,
        x_ticks=[(tick, f"{tick:g}") for tick in ticks],
        y_unit=y_name,
        x_unit=x_name,
    )
    sheet.line(
        frame.x(ticks[0]), frame.y(ticks[0]), frame.x(ticks[-1]), frame.y(ticks[-1]), "moment"
    )
    for x, y in points:
        sheet.dot(frame.x(x), frame.y(y), "mark s1 thin", r=2.5)
    return Picture(sheet.finish(title, text), title, text, columns, rows)


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
