"""A home with a model of each kind, at work in a folder of its own: started, asked, retrained."""

from __future__ import annotations

import contextlib
import http.client
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from api_service.status.workers import live_reports
from scripts.daemons.network import free_port
from shared.run_log.run import UNFINISHED, Run
from tests.support.asking import ask
from tests.support.daemons import Daemon, daemon, runs_in
from tests.support.waiting import wait_until

TIMEOUT_S = 300
"""For machines ten times slower than this one."""


class Question(NamedTuple):
    method: str
    path: str
    body: Any


class StoredHome:
    """The folder holds hotfit.toml, the home and the databases of the applications."""

    def __init__(self, folder: Path, template: str, archive: Path | None = None) -> None:
        """archive : unpacked into the folder, where the home was stored."""
        self.folder, self.home = folder, folder / "home"
        if archive is not None:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        self.port = free_port()
        self.config = folder / "hotfit.toml"
        text = template.replace("FOLDER", folder.as_posix()).replace("PORT", str(self.port))
        self.config.write_text(text)

    @contextlib.contextmanager
    def training(self) -> Iterator[Daemon]:
        with daemon(
            "retrain_service", "run", config=self.config, output=self.folder / "retrain.log"
        ) as running:
            yield running

    @contextlib.contextmanager
    def serving(self) -> Iterator[Daemon]:
        with daemon("api_service", config=self.config, output=self.folder / "api.log") as running:
            wait_until(self._answers, TIMEOUT_S, "the API to answer")
            yield running

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask(self.port, "GET", "/livez")[0] == 200
        return False

    def ask(self, question: Question) -> tuple[int, Any]:
        headers = {"X-API-Key": self.key("admin")}
        return ask(self.port, *question, headers)

    def key(self, role: str) -> str:
        return (self.home / "keys" / f"{role}.key").read_text().strip()

    def train(self, model: str) -> str:
        """Ask for a run on the rows that there are; its id."""
        question = Question("POST", f"/models/{model}/train", {"force": True})
        status, answer = self.ask(question)
        assert status == 202, answer
        run_id: str = answer["run_id"]
        return run_id

    def runs(self, model: str | None = None) -> list[Run]:
        return runs_in(self.home, model)

    def wait_until_ended(self, run_ids: Mapping[str, str]) -> dict[str, Run]:
        """Model -> its run. run_ids : model -> what `train` gave."""

        def ended() -> dict[str, Run] | None:
            by_id = {run.run_id: run for run in self.runs()}
            runs = {model: by_id.get(run_id) for model, run_id in run_ids.items()}
            found = {
                model: run
                for model, run in runs.items()
                if run is not None and run.status not in UNFINISHED
            }
            return found if len(found) == len(run_ids) else None

        return wait_until(ended, TIMEOUT_S, "the runs to end", every_s=0.2) or {}

    def wait_until_promoted(self, counts: Mapping[str, int]) -> None:
        def promoted() -> bool:
            runs = self.runs()
            refused = [
                f"{run.model}: {run.error or run.verdict}"
                for run in runs
                if run.status not in UNFINISHED and not run.promoted
            ]
            assert not refused, refused
            models = [run.model for run in runs]
            return all(models.count(model) >= n for model, n in counts.items()) and all(
                run.promoted for run in runs
            )

        wait_until(promoted, TIMEOUT_S, f"promoted versions {dict(counts)}", every_s=0.2)

    def wait_until_served(self, numbers: Mapping[str, int]) -> None:
        """numbers : model -> generation that every worker serves at least."""
        last: dict[str, list[object]] = {}

        def served() -> bool:
            reports = live_reports(self.home / "reports")
            for model in numbers:
                last[model] = [report.models.get(model) for report in reports]
            return bool(reports) and all(
                report.models.get(model) is not None
                and (report.models[model].serving_generation or 0) >= number
                for report in reports
                for model, number in numbers.items()
            )

        try:
            wait_until(served, TIMEOUT_S, f"generations {dict(numbers)}", every_s=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{last}") from None
