"""Draw SVG elements with escaped text, a frame with axes, and the finished chart.

Knows no data of Hotfit.

Presentation only by class names: the page's policy allows no inline style.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from api_service.console.charts.scale import Scale

WIDTH = 720


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing with what it says in words and in numbers.

    columns, rows : the same values as a table, cells as text.
    legend : (class of its mark, name), in the order in which it is read.
    """

    svg: Markup
    title: str
    text: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    legend: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Sheet:
    """Collects elements; `finish` makes the SVG. Numbers are in the picture's own units."""

    name: str
    width: int = WIDTH
    height: int = 240
    _parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self._parts.append(f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')

    def path(
        self, points: Iterable[tuple[float, float]], kind: str, *, closed: bool = False
    ) -> None:
        way = "L".join(f"{x:g} {y:g}" for x, y in points)
        if way:
            self._parts.append(f'<path class="{kind}" d="M{way}{"Z" if closed else ""}"/>')

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, say: str = ""
    ) -> None:
        self._parts.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{max(width, 0):.1f}"'
            f' height="{max(height, 0):.1f}"{_said(say, "rect")}'
        )

    def dot(self, x: float, y: float, kind: str, say: str = "", *, r: float = 3.5) -> None:
        self._parts.append(
            f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="{r}"{_said(say, "circle")}'
        )

    def cross(self, x: float, y: float, kind: str, say: str = "") -> None:
        way = f"M{x - 4:g} {y - 4:g}l8 8M{x - 4:g} {y + 4:g}l8 -8"
        self._parts.append(f'<path class="{kind}" d="{way}"{_said(say, "path")}')

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        self._parts.append(
            f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def finish(self, title: str, text: str) -> Markup:
        shape = "wide" if self.width == WIDTH else "square"
        return Markup(  # noqa: S704 - every text in it went through escape()
            f'<svg class="{shape}" role="img" aria-labelledby="{self.name}-t {self.name}-d"'
            f' viewBox="0 0 {self.width} {self.height}" preserveAspectRatio="xMidYMid meet">'
            f'<title id="{self.name}-t">{escape(title)}</title>'
            f'<desc id="{self.name}-d">{escape(text)}</desc>'
            f"{''.join(self._parts)}</svg>"
        )


def _said(say: str, tag: str) -> str:
    """The end of an element, with a tooltip where there is something to say."""
    return f"><title>{escape(say)}</title></{tag}>" if say else "/>"


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the values are on a sheet, and the axes around them."""

    x: Scale
    y: Scale

    @classmethod
    def on(
        cls,
        sheet: Sheet,
        *,
        x: tuple[float, float],
        y_ticks: Sequence[float],
        x_ticks: Sequence[tuple[float, str]],
        y_unit: str,
        x_unit: str,
        left: int = 56,
        is_log: bool = False,
    ) -> Frame:
        """Draw both axes with their ticks and units; is_log : the upright one goes by factors."""
        top, bottom, right = 26, 40, 26
        frame = cls(
            Scale(*x, left, sheet.width - right),
            Scale(y_ticks[0], y_ticks[-1], sheet.height - bottom, top, is_log),
        )
        floor = sheet.height - bottom
        for tick in y_ticks:
            at = frame.y(tick)
            sheet.line(left, at, sheet.width - right, at, "grid")
            sheet.text(left - 6, at + 4, f"{tick:g}", "tick", "end")
        for at_value, label in x_ticks:
            at = frame.x(at_value)
            sheet.line(at, floor, at, floor + 4, "axis")
            sheet.text(at, floor + 16, label, "tick", "middle")
        sheet.line(left, floor, sheet.width - right, floor, "axis")
        sheet.text(left, 14, y_unit, "unit")
        sheet.text(sheet.width - right, sheet.height - 4, x_unit, "unit", "end")
        return frame
