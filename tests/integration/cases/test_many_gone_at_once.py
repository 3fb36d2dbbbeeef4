"""A source that is short for a moment: the copy keeps what it has until the loss is believed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from retrain_service.buffer.stream_reader import ReadResult, StreamReader
from shared.settings.root import load_settings
from shared.workloads import open_workload
from tests.integration.cases.case_home import CaseHome
from tests.support.export_server import ExportServer

SETTINGS = """
[sources.office]
kind = "{kind}"
url = "{url}"
lag_s = 0
poll_interval_s = 30
[models.flats]
workload = "tabular"
source = "office"
[models.flats.streams.records]
collection = "{collection}"
{more}
[models.flats.parameters]
target = "rent"
features = ["area"]
"""
N = 60
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
Show = Callable[[int], None]


class Place:
    """A source of flats; `show(n)` has it show the first n of them."""

    def __init__(self, home: CaseHome, show: Show, is_compared: bool) -> None:
        self.home, self.show, self.is_compared = home, show, is_compared


@contextmanager
def export(folder: Path) -> Iterator[Place]:
    with ExportServer() as server:

        def show(n: int) -> None:
            server.lists["products"] = {str(flat["id"]): flat for flat in _flats(n)}

        url = server.url.replace("days=90&", "")
        yield Place(_home(folder, "http_export", url, "products"), show, False)


@contextmanager
def files(folder: Path) -> Iterator[Place]:
    place = folder / "flats.csv"

    def show(n: int) -> None:
        with place.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "area", "rent", "updated_at"])
            writer.writeheader()
            writer.writerows(_flats(n))

    yield Place(_home(folder, "files", folder.as_posix(), "flats.csv"), show, False)


@contextmanager
def table(folder: Path) -> Iterator[Place]:
    """Nobody says what is gone: the days are compared once a day."""
    home = _home(folder, "sql", f"sqlite:///{(folder / 'data.db').as_posix()}", "flats")
    home.table("flats", "id TEXT PRIMARY KEY, area REAL, rent REAL, updated_at TEXT", ())

    def show(n: int) -> None:
        with home.connected() as database:
            database.execute("DELETE FROM flats")
        home.add("flats", [tuple(flat.values()) for flat in _flats(n)])

    yield Place(home, show, True)


@contextmanager
def tombstones(folder: Path) -> Iterator[Place]:
    """An application that marks what is gone, and marked the wrong ones."""
    more = 'deleted_field = "gone"'
    home = _home(folder, "sql", f"sqlite:///{(folder / 'data.db').as_posix()}", "flats", more)
    columns = "id TEXT PRIMARY KEY, area REAL, rent REAL, updated_at TEXT, gone INTEGER"
    home.table("flats", columns, [(*flat.values(), 0) for flat in _flats(N)])
    changes = iter(range(1, 100))

    def show(n: int) -> None:
        at = (START + timedelta(milliseconds=next(changes))).isoformat()
        with home.connected() as database:
            database.execute(
                "UPDATE flats SET gone = (id >= ?), updated_at = ? WHERE gone <> (id >= ?)",
                (f"f{n:03d}", at, f"f{n:03d}"),
            )

    yield Place(home, show, False)


def _flats(n: int) -> list[dict[str, object]]:
    return [
        {
            "id": f"f{i:03d}",
            "area": 20 + i,
            "rent": 300 + 9 * i,
            "updated_at": (START - timedelta(hours=12 + i)).isoformat(),
        }
        for i in range(n)
    ]


def _home(folder: Path, kind: str, url: str, collection: str, more: str = "") -> CaseHome:
    text = SETTINGS.format(kind=kind, url=url, collection=collection, more=more)
    return CaseHome(folder, text)


def _look(home: CaseHome, at: datetime) -> ReadResult:
    """One look by a daemon that has just been started, so that nothing is kept in memory."""
    settings = load_settings(home.config)
    model = settings.models["flats"]
    workload = open_workload(model.workload, model.parameters)
    reader = StreamReader(
        "flats", settings, workload, n_sharing=1, spent_elsewhere=lambda _source, _day: 0
    )
    with closing(reader):
        found = reader.read(at, {})
        for _ in range(50):
            if not reader.is_due(at) and found.is_caught_up:
                return found
            found = reader.read(at, {})
    raise AssertionError(f"not up to date: {found.health}")


@pytest.mark.parametrize("kind", [export, files, table, tombstones])
def test_a_source_that_is_short_for_a_moment_loses_nothing(
    tmp_path: Path, kind: Callable[[Path], AbstractContextManager[Place]]
) -> None:
    """Two thirds were missing from one answer; they were deleted, and the rest was promoted."""
    with kind(tmp_path) as place:
        day = timedelta(days=1, hours=1) if place.is_compared else timedelta(minutes=5)
        hour, at = timedelta(hours=1, minutes=1), START + timedelta(minutes=1)
        place.show(N)
        assert _look(place.home, at).n_records == {"records": N}

        # A few are gone: believed at once.
        at += day
        place.show(N - 4)
        assert _look(place.home, at).n_records == {"records": N - 4}

        # Many: kept, and said; all there again before the second look: nothing happened.
        at += day
        place.show(20)
        found = _look(place.home, at)
        assert found.n_records == {"records": N - 4}
        assert found.health[0].state == "withheld"
        assert "36 of 56 records are gone" in found.health[0].sentence
        place.show(N - 4)
        at += hour
        found = _look(place.home, at)
        assert found.n_records == {"records": N - 4}
        assert found.health[0].state == "ok", found.health

        # Many, and so an hour later.
        at += day
        place.show(20)
        assert _look(place.home, at).n_records == {"records": N - 4}
        assert _look(place.home, at + timedelta(minutes=30)).n_records == {"records": N - 4}
        at += hour
        found = _look(place.home, at)
        assert found.n_records == {"records": 20}
        assert found.health[0].state == "ok"

        # All, and a person says that it is right.
        at += day
        place.show(0)
        assert _look(place.home, at).n_records == {"records": 20}
        answer = place.home.run("confirm-deletions")
        assert answer.code == 0, answer.everything
        assert "20 records that were withheld are deleted" in answer.text
        assert _look(place.home, at + timedelta(minutes=1)).n_records == {"records": 0}
