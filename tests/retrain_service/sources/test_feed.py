"""What the feed's source does beyond the contract, and how settings bring both daemons together."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api_service.config.feed import FeedConfig
from retrain_service.sources import open_source
from shared.errors import SettingsInvalid, SourceMisconfigured, SourceUnavailable
from shared.feed.writer import FedRecord, Feed
from shared.settings.per_model import StreamSettings
from shared.settings.root import load_settings
from shared.settings.sections import SourceSettings

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CONFIG = """
home = {home!r}
[feed]
retention_days = {retention_days}
[sources.fed]
kind = "feed"
[models.m]
workload = "server_metrics"
source = "fed"
[models.m.streams.metrics]
collection = "rows_of_m"
"""


def written(tmp_path: Path, retention_days: int = 90) -> Path:
    path = tmp_path / "hotfit.toml"
    path.write_text(CONFIG.format(home=str(tmp_path / "home"), retention_days=retention_days))
    return path


def test_both_daemons_find_the_same_file_and_collection(tmp_path: Path) -> None:
    """What one keeps the other must read, without a person naming it twice."""
    settings = load_settings(written(tmp_path))
    config = FeedConfig.of(settings)
    assert config.path is not None
    feed = Feed(config.path, lambda: NOW)
    feed.append(config.models["m"].stream("metrics").collection, [FedRecord("a", {"x": 1})])
    feed.close()

    source = open_source(
        settings.sources["fed"],
        settings.models["m"].stream("metrics"),
        clock=lambda: NOW + timedelta(hours=1),
    )

    assert [record.id for record in source.read_after(None, 9).records] == ["a"]


def test_records_are_not_forgotten_before_the_daily_comparison_is_over(tmp_path: Path) -> None:
    """Forgotten ones would look deleted, and the retrain daemon would delete its own."""
    with pytest.raises(SettingsInvalid, match="reconcile_days"):
        load_settings(written(tmp_path, retention_days=7))

    assert load_settings(written(tmp_path, retention_days=0)).feed.retention_days == 0


def test_a_file_that_is_just_being_made_is_waited_for(tmp_path: Path) -> None:
    """Both daemons start together; a misconfiguration would be looked at again in minutes."""
    path = tmp_path / "feed.sqlite"
    source = open_source(SourceSettings(kind="feed", url=str(path)), StreamSettings(collection="c"))
    with pytest.raises(SourceUnavailable):
        source.read_after(None, 9)
    sqlite3.connect(path).close()

    with pytest.raises(SourceUnavailable):
        source.read_after(None, 9)


def test_a_source_without_a_file_asks_for_a_person() -> None:
    """Settings fill it in; whoever opens a source otherwise has to say it."""
    with pytest.raises(SourceMisconfigured, match="url"):
        open_source(SourceSettings(kind="feed"), StreamSettings(collection="c"))


def test_a_deletion_reaches_the_reader_as_a_tombstone_in_its_place(tmp_path: Path) -> None:
    """A deleted product must not be learnt from again."""
    path = tmp_path / "feed.sqlite"
    feed = Feed(path, lambda: NOW)
    feed.append("c", [FedRecord("a", {"x": 1}), FedRecord("b", {"x": 1})])
    feed.append("c", [FedRecord("a", {}, is_deleted=True)])
    feed.close()
    source = open_source(
        SourceSettings(kind="feed", url=str(path), lag_s=0),
        StreamSettings(collection="c"),
        clock=lambda: NOW + timedelta(seconds=1),
    )

    records = source.read_after(None, 9).records

    assert [(record.id, record.is_deleted) for record in records] == [("b", False), ("a", True)]
    assert source.inspect().n_records == 1
    assert source.count_by_day([NOW.date()]).by_day == {NOW.date(): 1}


def test_a_feed_of_a_later_release_is_a_matter_for_a_person(tmp_path: Path) -> None:
    """Waiting does not help, and training on what is misread would do harm."""
    path = tmp_path / "feed.sqlite"
    Feed(path, lambda: NOW).close()
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version=2001")
    source = open_source(
        SourceSettings(kind="feed", url=str(path)), StreamSettings(), clock=lambda: NOW
    )

    with pytest.raises(SourceMisconfigured, match="written by a later release"):
        source.read_after(None, 9)
