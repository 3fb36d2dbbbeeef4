"""A home of one case: its configuration, its SQLite database, and the commands as a user runs them.

Commands run in this process, as their own `main` is called; a training is a process of its own,
as always. Holds no records: each case writes its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from click.testing import CliRunner

from retrain_service.buffer.store import read_snapshot
from retrain_service.buffer.stream_reader import ReadResult, StreamReader
from retrain_service.cli import main
from shared.daemon.loop import utc_now
from shared.records import Table
from shared.run_log.run import Run
from shared.settings.root import load_settings
from shared.workloads import open_workload
from shared.workloads.training import TrainingSet
from tests.support.daemons import runs_in


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended and what it printed."""

    code: int
    text: str
    complaints: str

    @property
    def everything(self) -> str:
        return self.text + self.complaints


@dataclass(frozen=True, slots=True)
class ReadCase:
    """What was read of one model: the last look, the frozen streams, and the rows made of them."""

    found: ReadResult
    tables: Mapping[str, Table]
    rows: TrainingSet

    @property
    def n_records(self) -> Mapping[str, int]:
        """Stream -> records in the buffer."""
        return self.found.n_records

    @property
    def n_usable(self) -> int:
        return sum(count.n_usable for count in self.found.by_entity.values())


class CaseHome:
    """A directory with `hotfit.toml`, a home, and the SQLite file `database`.

    `settings` is the configuration as a person writes it, without `home`; `{sqlite}` in it is
    replaced by the URL of `database`. `environment` holds for every command.
    """

    def __init__(
        self, directory: Path, settings: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        self.directory, self.home = directory, directory / "home"
        self.config = directory / "hotfit.toml"
        self.database = directory / "data.db"
        self.environment = dict(environment or {})
        if settings:
            self.configure(settings)

    @property
    def sqlite_url(self) -> str:
        return f"sqlite:///{self.database.as_posix()}"

    def configure(self, settings: str) -> None:
        """Write the configuration anew; the home and what was read stay."""
        text = f'home = "{self.home.as_posix()}"\n' + settings.replace("{sqlite}", self.sqlite_url)
        self.config.write_text(text, encoding="utf-8")

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """A connection to `database`; what was done is committed, and the file closed."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            yield connection

    def table(self, name: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Make a table in `database`, its columns as in CREATE TABLE, and fill it."""
        with self.connected() as connection:
            connection.execute(f'CREATE TABLE "{name}" ({columns})')
            self._insert(connection, name, rows)

    def add(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        with self.connected() as connection:
            self._insert(connection, name, rows)

    @staticmethod
    def _insert(connection: sqlite3.Connection, name: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            marks = ",".join("?" * len(rows[0]))
            connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)

    # -- commands --------------------------------------------------------------------------------

    def run(self, *arguments: str, answers: str | None = None) -> Answer:
        """`python -m retrain_service …`; what the command itself did not catch fails the test."""
        done = CliRunner().invoke(
            main,
            ["--config", str(self.config), *arguments],
            env=dict(self.environment),
            input=answers,
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Answer(done.exit_code, done.stdout, done.stderr)

    def check(self) -> Answer:
        return self.run("check")

    def checked(self) -> dict[str, Any]:
        """The document of `check --json`."""
        return msgspec.json.decode(self.run("check", "--json").text, type=dict[str, Any])

    def once(self, model: str = "", *arguments: str) -> Answer:
        """Read everything, train, judge, publish."""
        return self.run("once", *(("--model", model) if model else ()), *arguments)

    def read(self, model: str, at: datetime | None = None) -> ReadCase:
        """Read every stream to its end, as the daemon does, and make the rows of a training.

        at : the time that it is; a day later, the daily chores are done as well.
        """
        now = at or utc_now()
        settings = load_settings(self.config)
        configured = settings.models[model]
        workload = open_workload(configured.workload, configured.parameters)
        reader = StreamReader(
            model, settings, workload, n_sharing=1, spent_elsewhere=lambda _source, _day: 0
        )
        with closing(reader):
            found = reader.read(now, {})
            while reader.is_due(now) or not found.is_caught_up:
                wrong = [
                    each for each in found.health if each.state in ("misconfigured", "unavailable")
                ]
                assert not wrong, wrong
                found = reader.read(now, {})
            path = self.home / "case.parquet"
            self.home.mkdir(exist_ok=True)
            reader.snapshot(path, now)
        tables = read_snapshot(path)
        return ReadCase(found, tables, workload.training_set(tables))

    def runs(self, model: str | None = None) -> list[Run]:
        """Runs, newest first."""
        return runs_in(self.home, model)
