"""A file that names the served version, for programs that read `current_model.json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retrain_service.observers.pointer_file import PointerFiles
from shared.exchange.reload_signal import SIGNAL_NAME
from tests.support.versions import ServingHome, tiny_workload_known, write_signal

NAME = "current_model.json"


def test_the_file_names_what_serves_and_follows_each_change(tmp_path: Path) -> None:
    """Also of a home that was there before the setting was; a rollback is a change, too."""
    with tiny_workload_known():
        home = ServingHome(tmp_path)
        first = home.publish("m", 1)
        home.publish("solar/roof-1", 1)
        files = PointerFiles(home.store, NAME)
        path = home.store.models_dir / "m" / NAME

        files.update()
        before = json.loads(path.read_text())
        second = home.publish("m", 2)
        files.update()
        after = json.loads(path.read_text())
        write_signal(home.store, "m", first)
        files.update()

        assert (before["version"], after["version"]) == (first, second)
        assert json.loads(path.read_text())["version"] == first
        assert Path(after["model_path"]).is_file()
        assert Path(after["metadata_path"]).is_file()
        assert after["metrics"]["mae"] == 1.0
        assert after["updated_at"].endswith("Z")
        assert (home.store.models_dir / "solar" / "roof-1" / NAME).is_file()


@pytest.mark.parametrize("name", ["", SIGNAL_NAME])
def test_without_a_name_there_is_no_file_and_the_signal_is_never_written_over(
    tmp_path: Path, name: str
) -> None:
    """The signal decides what serves."""
    with tiny_workload_known():
        home = ServingHome(tmp_path)
        home.publish("m", 1)
        signal = home.store.signal_path("m")
        before = signal.read_bytes()

        PointerFiles(home.store, name).update()

        assert signal.read_bytes() == before
        assert not (signal.parent / NAME).exists()
