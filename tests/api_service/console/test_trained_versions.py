"""Versions that were really trained: their held-out rows beside each other, run by run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import shared.workloads
from shared.versions.holdout_sample import HOLDOUT_NAME, read_sample
from tests.api_service.conftest import serving_config
from tests.api_service.console.conftest import HTML, Desk
from tests.support.commands import command
from tests.support.daemons import MeanHome


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> MeanHome:
    """Two versions of the mean, the second with newer and higher values."""
    place = MeanHome(tmp_path_factory.mktemp("trained"), "new_records = 0\nevery = '0s'\n")
    place.add_rows(100)
    for more in (0, 30):
        place.add_rows(more, value=6.0)
        done = command(place, "once", "--model", "m", "--force")
        assert done.returncode == 0, (done.stdout, done.stderr)
    return place


@pytest.fixture
def desk(trained: MeanHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A worker over that home."""
    mean = "tests.support.mean_workload:MeanWorkload"
    monkeypatch.setitem(shared.workloads.REGISTRY, "mean", mean)
    return Desk(tmp_path, serving_config(trained.home))


def test_a_published_version_carries_held_out_rows_under_its_signature(trained: MeanHome) -> None:
    """What is drawn is what was judged; the second version knows the first's answers too."""
    versions = sorted((trained.home / "models" / "m" / "versions").glob("v*"))
    first, second = (read_sample(version) for version in versions)

    assert first is not None
    assert second is not None
    assert (first.champion, second.champion) == (None, versions[0].name)
    assert second.champion_predicted is not None
    assert set(second.champion_predicted) != set(second.predicted)
    manifest = (versions[1] / "manifest.json").read_text()
    assert f'"{HOLDOUT_NAME}"' in manifest


def test_two_trained_versions_are_drawn_on_the_same_rows(desk: Desk) -> None:
    """The plot shows the rows of the gate, and drift between both holdouts."""
    client = desk.client()
    one, other = desk.home.store.versions("m")

    for a, b in ((one, other), (other, one)):
        page = client.get(f"/console/compare?model=m&a={a}&b={b}", headers=HTML).text
        assert "What v00000" in page
        assert len(re.findall("<circle", page)) > 20
        assert "Feature drift" in page
        assert "weekday" in page


def test_a_workload_of_ones_own_shows_truth_against_prediction(desk: Desk) -> None:
    """Without a line written for it."""
    page = desk.client().get("/console/models/m", headers=HTML).text

    assert "Truth against prediction" in page
    assert "2 trainings judged, 2 of them promoted" in page
    assert "The newest held-out rows" in page


def test_the_version_that_serves_is_asked_about_older_rows(desk: Desk) -> None:
    """Where it was not the champion's turn, it can answer now."""
    one, other = desk.home.store.versions("m")
    path = desk.home.store.version_dir("m", other) / HOLDOUT_NAME
    kept = path.read_bytes()
    path.unlink()  # as if it had been trained before samples were kept
    try:
        page = desk.client().get(f"/console/compare?model=m&a={one}&b={other}", headers=HTML).text
    finally:
        path.write_bytes(kept)

    assert "which serves, was asked just now" in page
