"""A pipeline of the user's own from a package on PYTHONPATH: trained, served, changed, served."""

from __future__ import annotations

import contextlib
import http.client
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from scripts.daemons.network import free_port
from shared.run_log.run import Run
from tests.shared.workloads.tabular.flats import flats
from tests.support.asking import ask
from tests.support.daemons import INJECTED, ROOT, Daemon, daemon, runs_in
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

OWN_CODE = """
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def make(strength, seed):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, ["area", "rooms", "furnished"]),
        (OneHotEncoder(handle_unknown="ignore"), ["district"]),
    )
    return make_pipeline(columns, LogisticRegression(C=strength, random_state=seed))
"""

CHANGED_CODE = OWN_CODE.replace("C=strength", "C=strength / 2")


class FlatsHome:
    """A database of flats, a folder with somebody's own code, and one model of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.port = folder, folder / "home", free_port()
        self.code = folder / "code" / "letting" / "pipelines.py"
        self.code.parent.mkdir(parents=True)
        (self.code.parent / "__init__.py").touch()
        self.code.write_text(OWN_CODE)
        self.config = folder / "hotfit.toml"
        self.config.write_text(
            f"""
home = "{self.home.as_posix()}"
[retrain]
tick_interval_s = 0.1
[api]
port = {self.port}
workers = 1
[sources.flats]
kind = "sql"
url = "sqlite:///{(folder / "flats.db").as_posix()}"
poll_interval_s = 0.2
lag_s = 0
[models.dear_flats]
workload = "tabular"
source = "flats"
[models.dear_flats.streams.records]
collection = "flats"
[models.dear_flats.parameters]
target = "is_dear"
task = "classification"
time = "offered_at"
features = ["area", "rooms", "district", "furnished"]
estimator = "letting.pipelines:make"
estimator_options = {{ strength = 2.0 }}
[models.dear_flats.triggers]
min_interval = "0s"
[models.dear_flats.gate]
max_regression = 1.0 # versions have to change here, not to improve
max_total_regression = 1.0
"""
        )
        rows = [(i, row["offered_at"], *row.values()) for i, row in enumerate(flats(400), start=1)]
        with contextlib.closing(sqlite3.connect(folder / "flats.db")) as connection, connection:
            connection.execute(
                "CREATE TABLE flats (id INTEGER PRIMARY KEY, updated_at TEXT, area REAL,"
                " rooms INTEGER, district TEXT, furnished INTEGER, rent REAL, is_dear TEXT,"
                " offered_at TEXT)"
            )
            connection.executemany(f"INSERT INTO flats VALUES ({', '.join('?' * 9)})", rows)

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join(map(str, (INJECTED, ROOT, self.code.parents[1])))}

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[Daemon]:
        output = self.folder / f"{arguments[0]}.log"
        with daemon(
            *arguments, config=self.config, output=output, environment=self.environment
        ) as process:
            yield process

    def answer(self) -> dict[str, Any] | None:
        """What two rows are answered; None while nothing is served."""
        dear = {"area": 118, "rooms": 4, "district": "centre", "furnished": True}
        cheap = {"area": 22, "rooms": 1, "district": "a new one", "furnished": False}
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, found = ask(self.port, "POST", "/predict", {"instances": [dear, cheap]})
            return found if status == 200 else None
        return None

    def runs(self) -> list[Run]:
        return runs_in(self.home)


def wait_for(home: FlatsHome, number: int, *processes: Daemon) -> dict[str, Any]:
    """The answer of the wanted version."""
    found: dict[str, Any] = {}

    def answers() -> bool:
        for process in processes:
            assert process.is_running, process.output()[-3000:]
        found.update(home.answer() or {})
        return str(found.get("version", "")).startswith(f"v{number:06d}")

    try:
        wait_until(answers, 240, f"version {number}", every_s=0.1)
    except AssertionError as error:
        told = [(run.trigger, run.status, run.verdict, run.error) for run in home.runs()]
        raise AssertionError(f"{error}\n{told}") from None
    return found


def test_an_estimator_of_ones_own_is_served_and_follows_its_code(tmp_path: Path) -> None:
    """Bring your own model means your own code: trained with, found again after a restart, and a
    change of it noticed without anybody saying so."""
    home = FlatsHome(tmp_path)
    with ExitStack() as stack:
        api = stack.enter_context(home.running("api_service"))
        with home.running("retrain_service", "run") as retrain:
            first = wait_for(home, 1, api, retrain)
            assert retrain.stop() == 0
        home.code.write_text(CHANGED_CODE)
        retrain = stack.enter_context(home.running("retrain_service", "run"))
        second = wait_for(home, 2, api, retrain)
        assert api.stop() == 0
        again = stack.enter_context(home.running("api_service"))
        assert wait_for(home, 2, again, retrain)["predictions"] == second["predictions"]
        assert again.stop() == 0
        assert retrain.stop() == 0

    for found in (first, second):
        assert found["predictions"] == ["dear", "cheap"]
        assert found["classes"] == ["cheap", "dear"]
        assert [round(sum(row), 9) for row in found["probabilities"]] == [1.0, 1.0]
    assert first["probabilities"] != second["probabilities"]
    newest = home.runs()[0]
    assert newest.trigger == "environment"
    assert "letting 0.0+" in newest.trigger_reason


def test_a_factory_that_cannot_be_found_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """The most likely mistake of the first day: PYTHONPATH was not set for the daemons."""
    home = FlatsHome(tmp_path)
    home.config.write_text(home.config.read_text().replace("letting.pipelines", "leting.pipelines"))

    with home.running("retrain_service", "run"):
        wait_until(lambda: any(run.error for run in home.runs()), 90, "the run to fail")

    error = home.runs()[-1].error or ""
    assert "leting.pipelines cannot be imported" in error
    assert "PYTHONPATH" in error
