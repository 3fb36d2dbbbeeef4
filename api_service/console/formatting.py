"""Format numbers, times and sizes for people. Pure; times are UTC."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from api_service.status.models import in_words, seconds_since

NOTHING = "–"


def figure(value: Any, digits: int = 4) -> str:
    """A number with so many significant digits and thin spaces at the thousands."""
    if value is None or isinstance(value, str):
        return value or NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not math.isfinite(value):
        return NOTHING
    if isinstance(value, int) or (abs(value) >= 10**digits and value == round(value)):
        return f"{int(value):,}".replace(",", "\u2009")
    rounded = float(f"{value:.{digits}g}")
    text = f"{rounded:,.{_decimals(rounded, digits)}f}".replace(",", "\u2009")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _decimals(value: float, digits: int) -> int:
    if value == 0:
        return 0
    return min(max(digits - 1 - math.floor(math.log10(abs(value))), 0), 12)


def size(n_bytes: float | None) -> str:
    """ "61 kB", "1.2 MB"."""
    if n_bytes is None:
        return NOTHING
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{figure(n_bytes / factor, 3)} {unit}"
    return f"{n_bytes:.0f} B"


def percent(share: float | None, digits: int = 0) -> str:
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def change(before: float | None, after: float | None) -> str:
    """How much more or less, in percent of what it was."""
    if not isinstance(before, (int, float)) or not isinstance(after, (int, float)) or not before:
        return NOTHING
    share = (after - before) / abs(before)
    return "±0 %" if abs(share) < 0.0005 else f"{100 * share:+.1f} %".replace("-", "−")


def moment(at: datetime | str | None) -> str:
    """ "21 Nov 2026, 11:42:05"."""
    found = as_time(at)
    return NOTHING if found is None else f"{found.day} {found:%b %Y, %H:%M:%S}"


def when(at: datetime | str | None) -> Markup:
    """A moment that a machine can read, too."""
    found = as_time(at)
    if found is None:
        return escape(NOTHING)
    template = '<time datetime="{}">{}</time>'
    return Markup(template).format(_iso(found), moment(found))  # noqa: S704 - a constant


def ago(at: datetime | str | None, now: datetime) -> Markup:
    """How long ago; the page's script counts on from the attribute."""
    found = as_time(at)
    if found is None:
        return escape(NOTHING)
    words = in_words(seconds_since(found, now))
    template = '<time data-ago datetime="{}" title="{} UTC">{}</time>'
    return Markup(template).format(_iso(found), moment(found), words)  # noqa: S704 - a constant


def as_time(at: datetime | str | None) -> datetime | None:
    found = datetime.fromisoformat(at) if isinstance(at, str) else at
    return found.astimezone(UTC) if found is not None else None


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{figure(seconds, 3)} s" if seconds < 120 else in_words(round(seconds)) or NOTHING


def short_version(version: str | None) -> str:
    """ "v000007" of "v000007-20261121T083000Z"."""
    return version.partition("-")[0] if version else NOTHING


def short_run(run_id: str) -> str:
    """The part of a run's id that tells it from the others: ids may begin with their time."""
    return run_id.rpartition("-")[2][:12]


def several(n: int, one: str, many: str = "") -> str:
    """ "1 training", "2 trainings"."""
    return f"{figure(n)} {one if n == 1 else many or one + 's'}"


MAIN_METRICS = ("mae", "accuracy", "hit_rate_10", "category_precision_10")


def main_metric(metrics: Mapping[str, float] | None) -> str:
    """The metric that stands for all in a table: the first of MAIN_METRICS, or of all."""
    if not metrics:
        return NOTHING
    name = next((one for one in MAIN_METRICS if one in metrics), next(iter(metrics)))
    return f"{name} {figure(metrics[name])}"


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
