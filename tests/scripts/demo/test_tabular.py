"""The patients of the tabular preset: honest about what is made up, repeatable, worth a model."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scripts.daemons.preset import Preset
from scripts.demo import tabular
from shared.records import Table, to_epoch_us
from shared.settings.root import load_settings
from shared.workloads.tabular.workload import Tabular

NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "demo.db"
    tabular.fill(path, now=NOW)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM patients ORDER BY updated_at, id").fetchall()
    return [dict(row) for row in found]


def test_the_patients_are_filled_once_and_are_of_the_past(database: Path) -> None:
    """A second start must not add them again, and none was examined in the future."""
    assert tabular.fill(database, now=NOW) == 0

    found = rows(database)
    assert len(found) == tabular.N_FIRST
    days = {row["examined_at"][:10] for row in found}
    assert len(days) == tabular.N_DAYS
    assert max(days) == "2026-11-20"


def test_what_is_made_up_says_so(database: Path) -> None:
    """Measurements are real, times are not, and after the last patient nothing is."""
    tabular.add(database, 100, now=NOW)

    found = rows(database)
    with closing(sqlite3.connect(database)) as connection:
        about = connection.execute("SELECT value FROM about").fetchone()[0]
    assert "MADE UP" in about
    assert {row["note"] for row in found[:442]} == {tabular.NOTE_REAL}
    assert {row["note"] for row in found[442:]} == {tabular.NOTE_MADE_UP}
    assert found[442]["bmi"] != found[0]["bmi"]
    assert (found[442]["age"], found[442]["sex"]) == (found[0]["age"], found[0]["sex"])


def test_added_patients_are_newer_than_all_that_was_read(database: Path) -> None:
    """A reader that has been past the newest row must find them."""
    before = rows(database)[-1]["updated_at"]

    assert tabular.add(database, 12, now=NOW) == 12

    assert len([row for row in rows(database) if row["updated_at"] > before]) == 12


def test_the_preset_makes_a_model_of_them_that_beats_the_baseline(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thing that somebody tries must be promoted."""
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Preset(tabular.PRESET).config)
    workload = Tabular(settings.models["diabetes"].parameters)
    documents = rows(database)
    table = Table(
        "records",
        [str(row["id"]) for row in documents],
        [to_epoch_us(datetime.fromisoformat(row["updated_at"])) for row in documents],
        [msgspec.json.encode(row) for row in documents],
    )

    found = workload.training_set({"records": table})
    train, holdout = workload.split(found)
    estimator = workload.fit(train, 0, lambda _fraction, _stage: None)

    assert not found.rejected
    assert holdout.n_days >= settings.models["diabetes"].gate.min_holdout_days
    mae = workload.score(estimator, holdout).metrics["mae"]
    assert mae < 0.8 * workload.score_baseline(holdout).metrics["mae"]
    (_, body), _ = tabular.questions(settings, NOW)
    assert body is not None
    answerer = workload.open(estimator, workload.state(found))
    assert 25 < answerer.answer("predict", body, NOW)["predictions"][0] < 346


def test_adding_to_nothing_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The most likely mistake of the first hour."""
    code = tabular.main(["add", "1", "--database", str(tmp_path / "none.db")])

    assert code == 1
    assert "--preset tabular" in capsys.readouterr().err
