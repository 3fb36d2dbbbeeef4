"""A backup made while the daemons work, put back elsewhere, serves what was served."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts.daemons.network import free_port
from tests.support.asking import ask
from tests.support.commands import answer
from tests.support.daemons import Daemon, MeanHome, daemon
from tests.support.waiting import wait_until


def place_at(directory: Path, port: int) -> MeanHome:
    api = f"[api]\nport = {port}\nworkers = 1\n"
    return MeanHome(directory, f"new_records = 0\nevery = '0s'\n{api}")


def get(port: int, path: str) -> tuple[int, Any]:
    try:
        return ask(port, "GET", path)
    except OSError:
        return 0, None


def served(port: int, process: Daemon) -> dict[str, Any]:
    def is_ready() -> bool:
        assert process.is_running, process.output()
        return get(port, "/readyz")[0] == 200

    wait_until(is_ready, 40, "the API to be ready")
    return dict(get(port, "/models")[1]["models"][0])


@pytest.mark.slow
def test_a_backup_of_a_working_home_serves_the_same_version_on_another_machine(
    tmp_path: Path,
) -> None:
    """A backup that nobody has put back is a hope. The old machine is gone but for its database."""
    before = place_at(tmp_path / "old", free_port())
    before.add_rows(100)
    with daemon("retrain_service", "run", config=before.config, output=tmp_path / "retrain.log"):
        wait_until(lambda: any(run.promoted for run in before.runs()), 40, "a first version")
        told = answer(before, "backup", str(tmp_path / "copy"))
    assert (told["models"], told["versions"], told["buffer"]) == (1, 1, False)
    (version,) = (run.version for run in before.runs())

    after = place_at(tmp_path / "new", free_port())
    shutil.rmtree(before.home)
    shutil.copytree(tmp_path / "copy", after.home, dirs_exist_ok=True)
    shutil.copy(before.database, after.database)
    port = int(after.config.read_text().split("port = ")[1].split()[0])
    with daemon("api_service", config=after.config, output=tmp_path / "api.log") as api:
        model = served(port, api)
    again = answer(after, "once", code=10)

    assert (model["version"], model["state"]) == (version, "serving")
    assert [run.version for run in after.runs() if run.promoted] == [version]
    # The buffer was read again from the source, and is what it was.
    assert "Nothing has changed since run" in again["sentence"]
