"""The retrain daemon against Firestore, by the real client, with the server's bill beside ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from google.cloud import firestore

from shared.daemon.loop import utc_now
from tests.support.daemons import Daemon, MeanHome, daemon
from tests.support.firestore_server import FirestoreServer
from tests.support.waiting import wait_until

POLL_INTERVAL_S = 0.5


@pytest.fixture
def server() -> Iterator[FirestoreServer]:
    with FirestoreServer() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, server: FirestoreServer) -> MeanHome:
    made = MeanHome(tmp_path)
    made.config.write_text(
        f"""
home = "{made.home.as_posix()}"
[retrain]
tick_interval_s = 0.05
[sources.app]
kind = "firestore"
project = "{server.project}"
poll_interval_s = {POLL_INTERVAL_S}
lag_s = 0
[models.m]
workload = "mean"
source = "app"
[models.m.triggers]
min_interval = "0s"
"""
    )
    return made


def add_documents(server: FirestoreServer, first: int, n: int) -> None:
    client = server.client()
    for i in range(first, first + n):
        client.collection("rows").document(f"row{i:04d}").set(
            {
                "day": str(date(2024, 1, 1) + timedelta(days=i)),
                "value": 5.0 + i % 3,
                "updated_at": firestore.SERVER_TIMESTAMP,
            }
        )
    client.close()


@contextlib.contextmanager
def retrain_daemon(place: MeanHome, server: FirestoreServer) -> Iterator[Daemon]:
    with daemon(
        "retrain_service",
        "run",
        config=place.config,
        output=place.config.with_name("retrain.log"),
        environment=server.environ,
    ) as running:
        yield running


def wait_for_promotions(place: MeanHome, n: int) -> None:
    wait_until(lambda: sum(run.promoted for run in place.runs()) >= n, 120, f"{n} promotions")


def last_read(place: MeanHome) -> str:
    report = place.report()
    assert report is not None
    return str(report.models["m"].sources[0].last_read_at)


def wait_for_polls(place: MeanHome, n: int) -> None:
    """Wait until `n` more polls were reported."""
    for _ in range(n):
        before = last_read(place)
        wait_until(lambda before=before: last_read(place) != before, 20, "a poll")  # type: ignore[misc]


def test_what_a_day_with_firestore_costs(place: MeanHome, server: FirestoreServer) -> None:
    """Reads are money: an idle poll costs one, a new document one, a training nothing."""
    add_documents(server, 0, 100)
    server.meter.reset()
    with retrain_daemon(place, server) as running:
        wait_for_promotions(place, 1)
        wait_for_polls(place, 2)

        started = utc_now()
        with server.meter.measured() as idle:
            wait_for_polls(place, 4)
        idle_s = (utc_now() - started).total_seconds()
        started = utc_now()
        with server.meter.measured() as busy:
            add_documents(server, 100, 12)
            wait_for_promotions(place, 2)
            wait_for_polls(place, 1)
        busy_s = (utc_now() - started).total_seconds()
        assert running.stop() == 0

    assert 4 <= idle.reads <= idle_s / POLL_INTERVAL_S + 1
    assert busy.reads <= 12 + busy_s / POLL_INTERVAL_S + 1
    assert place.billed_reads("app") == server.meter.reads


def test_an_outage_of_firestore_loses_no_document(place: MeanHome, server: FirestoreServer) -> None:
    """The daemon backs off, says so once, and afterwards has every id."""
    add_documents(server, 0, 60)
    with retrain_daemon(place, server) as running:
        wait_for_promotions(place, 1)
        server.stop()

        def state() -> str:
            report = place.report()
            assert report is not None
            return report.models["m"].sources[0].state

        wait_until(lambda: state() == "unavailable", 60, "the outage to be seen")
        server.start()
        add_documents(server, 60, 25)
        wait_until(lambda: state() == "ok", 60, "the source to be back")
        wait_for_promotions(place, 2)
        running.stop()

    outages = [line for line in running.output().splitlines() if "source_outage" in line]
    assert len(outages) == 1, outages
    assert {id_.rpartition("/")[2] for id_ in place.buffered_ids()} == {
        f"row{i:04d}" for i in range(85)
    }
