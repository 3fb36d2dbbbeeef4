"""The deciding half of the retrain daemon under a fake clock: real run log, real state, real
decisions; the training is scripted.

`SimulatedDaemon` does what `ModelController` and `RunSupervisor` do between a decision and the end
of its run, and can be killed at each point in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from retrain_service.triggers.decide import decide
from retrain_service.triggers.decision import Decision, Replace, Train, Wait
from retrain_service.triggers.steady_times import SteadyTimes
from retrain_service.triggers.training_state import (
    RunUnderWay,
    TrainingState,
    rows_read_until,
    training_state,
)
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.settings.per_model import TriggerSettings
from shared.versions.model_version import ModelVersion

Outcome = Literal["ok", "fail", "rejected"]
KillPoint = Literal["decided", "written", "started", "published", "ended"]
MODEL = "m"
LIBRARIES = {"python": "3.12.4", "scikit-learn": "1.7.2", "numpy": "2.3.1"}


class Killed(Exception):
    """The daemon died where the test said."""


@dataclass
class World:
    """What survives the daemon besides its run log: the data, the requests and the machine."""

    n_records: int = 100
    requests: list[tuple[str, datetime]] = field(default_factory=list)
    has_champion: bool = False
    champion_libraries: dict[str, str] | None = None
    libraries: dict[str, str] = field(default_factory=lambda: dict(LIBRARIES))
    is_source_up: bool = True
    pinned: int | None = None


@dataclass
class Training:
    """The scripted run under way."""

    run: Run
    ends_at: datetime
    outcome: Outcome
    high_seq: int
    is_retry: bool


class SimulatedDaemon:
    """One life of the daemon, from its start until it is killed or stopped."""

    def __init__(
        self,
        path: Path,
        world: World,
        settings: TriggerSettings,
        now: datetime,
        *,
        outcome: Callable[[int], Outcome] = lambda _number: "ok",
        duration: timedelta = timedelta(minutes=10),
    ) -> None:
        self.log = RunLog.open(path)
        self.world = world
        self.settings = settings
        self.decision: Decision = Wait("starting")
        self.training: Training | None = None
        self.kill_at: KillPoint | None = None
        self._outcome = outcome
        self._duration = duration
        self._under_way: RunUnderWay | None = None
        self._read_until: datetime | None = None
        self.clock_error = timedelta(0)
        """How far the wall clock, which is what ticks are given, is ahead of the true time."""
        self._now = now
        self._times = SteadyTimes(lambda: (self._now - self.clock_error).timestamp())
        for run in self.log.unfinished():
            is_published = world.champion_libraries == {"from": run.run_id}
            if is_published:
                world.champion_libraries = dict(world.libraries)
                self.log.finish_run(run.run_id, now, RunStatus.SUCCEEDED, promoted=True)
            else:
                self.log.finish_run(run.run_id, now, RunStatus.ABANDONED)

    def tick(self, now: datetime) -> Decision:
        """End a run whose time has come, read the source, decide, act."""
        self._now = now
        if self.training is not None and now - self.clock_error >= self.training.ends_at:
            self._end(self.training, now)
        if self.world.is_source_up:
            self._read_until = now
        self.decision = decide(self.state(now), self.settings, now)
        if isinstance(self.decision, Replace):
            self._close(now, RunStatus.CANCELLED)
        if not isinstance(self.decision, Wait):
            self._begin(self.decision, now)
        return self.decision

    def state(self, now: datetime) -> TrainingState:
        finished = self.log.history(MODEL).last_finished
        watermark = (finished.high_seq or 0) if finished is not None else 0
        waiting = [run_id for run_id, _ in self.world.requests if not self.log.has_run(run_id)]
        state = training_state(
            self.log.history(MODEL),
            now,
            new_records=self.world.n_records - watermark,
            n_usable_records=self.world.n_records,
            is_caught_up=self._read_until is not None,
            read_until=self._read_until,
            events=self.log.pending_events(MODEL),
            has_champion=self.world.has_champion,
            champion_libraries=self.world.champion_libraries,
            libraries=self.world.libraries,
            running=self._under_way if self.training is not None else None,
            requested="curl" if waiting else None,
            times=self._times,
        )
        return replace(state, jitter=0.0)

    def stop(self, now: datetime) -> None:
        """TERM: a run under way is abandoned."""
        if self.training is not None:
            self._close(now, RunStatus.ABANDONED)
        self.log.close()

    def _reach(self, point: KillPoint) -> None:
        if self.kill_at == point:
            self.log.close()
            raise Killed(point)

    def _begin(self, decision: Train | Replace, now: datetime) -> None:
        self._reach("decided")
        number = self.log.last_version_number(MODEL) + 1
        asked = {run_id: at for run_id, at in self.world.requests if not self.log.has_run(run_id)}
        is_request = decision.trigger == "manual" and bool(asked)
        run_id = next(iter(asked)) if is_request else f"run{number}"
        run = Run(
            run_id=run_id,
            model=MODEL,
            trigger=decision.trigger,
            trigger_reason=decision.reason,
            version=str(ModelVersion(number, now)),
            version_number=number,
            status=RunStatus.QUEUED,
            requested_at=asked[run_id] if is_request else now,
        )
        pending = self.log.pending_events(MODEL)
        read_until = rows_read_until(self.state(now), pending, self._read_until)
        self.log.add_run(run, rows_read_until=read_until)
        self._reach("written")
        self._under_way = RunUnderWay(
            decision.trigger,
            now,
            self.state(now).new_records,
            isinstance(decision, Replace),
        )
        is_retry = self.world.pinned is not None and not is_request
        high_seq = self.world.n_records
        if is_retry and self.world.pinned is not None:
            high_seq = self.world.pinned
        self.log.start_run(run_id, now, high_seq, {"is_retry": is_retry})
        self._reach("started")
        self.training = Training(
            run,
            now - self.clock_error + self._duration,
            self._outcome(number),
            high_seq,
            is_retry,
        )

    def _end(self, training: Training, now: datetime) -> None:
        is_ok = training.outcome == "ok"
        if is_ok:
            self.world.has_champion = True
            self.world.champion_libraries = {"from": training.run.run_id}
            self._reach("published")
            self.world.champion_libraries = dict(self.world.libraries)
        failed = training.outcome == "fail"
        self.world.pinned = training.high_seq if failed else None
        self._close(now, RunStatus.FAILED if failed else RunStatus.SUCCEEDED, promoted=is_ok)
        self._reach("ended")

    def _close(self, now: datetime, status: RunStatus, *, promoted: bool = False) -> None:
        assert self.training is not None
        training, self.training = self.training, None
        details: dict[str, Any] = {"is_retry": training.is_retry}
        if status is RunStatus.SUCCEEDED:
            details |= {"libraries": self.world.libraries, "gates": []}
        self.log.finish_run(training.run.run_id, now, status, promoted=promoted, details=details)
