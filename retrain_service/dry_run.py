"""Predict what a run would do now: read all streams, snapshot them, apply triggers and data gate.

Trains nothing and publishes nothing; what it reads stays in the buffer, so that it is not paid
for twice. The caller holds the retrain lock.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from retrain_service.buffer.snapshot import SnapshotInfo
from retrain_service.buffer.store import read_snapshot
from retrain_service.buffer.stream_reader import ReadResult, StreamReader
from retrain_service.home import read_store, signing_key
from retrain_service.promotion.decide import Promote, check_data, check_newest_days, reason
from retrain_service.promotion.readable_gate import check_readable, sampled, unmapped_streams
from retrain_service.training_controller import TrainingController, watermark_of
from retrain_service.training_job.build_spec import build_spec, parameters_of_run
from retrain_service.training_job.job_limit import JobLimit
from retrain_service.training_job.repetition import repeated_run
from retrain_service.triggers.manual_only import decide_when_asked
from shared.errors import NotFound, SourceMisconfigured, SourceUnavailable
from shared.run_log.run import Run, RunStatus
from shared.run_log.writer import RunLog
from shared.settings.root import Settings
from shared.versions.model_names import full_name, split_name
from shared.workloads import open_workload
from shared.workloads.defaults import gate_of
from shared.workloads.shortage import shortage_of

PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run of one model would meet now.

    would_train : the run would come as far as a fit. `reason`: why, or why not.
    would_promote : False when even a better version would not be served; None: the gates tell.
    triggers : what will start the next run by itself, or that one is due.
    new_records : since the last finished run; n_usable: in all.
    """

    name: str
    would_train: bool
    reason: str
    triggers: str
    would_promote: bool | None = None
    new_records: int = 0
    n_usable: int = 0
    rows: int | None = None
    days: int | None = None
    gates: tuple[Any, ...] = field(default=())


def make_dry_run(
    settings: Settings,
    name: str,
    run_log: RunLog,
    *,
    options: Mapping[str, Any],
    clock: Callable[[], datetime],
    patience_s: float,
    show: Callable[[str, float | None], None],
) -> list[DryRun]:
    """One for `name`, or one for each entity of it.

    Raises:
        SourceUnavailable, SourceMisconfigured: not everything could be read.
        NotFound: the data know no such entity.
    """
    model, entity = split_name(name)
    configured = settings.models[model]
    workload = open_workload(configured.workload, configured.parameters)
    reader = StreamReader(
        model,
        settings,
        workload,
        n_sharing=len(workload.streams),
        spent_elsewhere=lambda _source, _day: 0,
    )
    try:
        stage = _Stage(settings, reader, run_log, options, clock)
        stage.read_all(patience_s, show)
        entities = [entity] if entity or not workload.per_entity else stage.entities()
        return [stage.make_dry_run(full_name(model, each)) for each in entities]
    finally:
        reader.close()


class _Stage:
    def __init__(
        self,
        settings: Settings,
        reader: StreamReader,
        run_log: RunLog,
        options: Mapping[str, Any],
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._reader, self._run_log = settings, reader, run_log
        self._options, self._clock = options, clock
        self._round: ReadResult | None = None

    def read_all(self, patience_s: float, show: Callable[[str, float | None], None]) -> None:
        deadline: float | None = None
        while self._round is None or not self._round.is_caught_up:
            self._round = self._reader.read(self._clock(), {})
            show(f"reading, {sum(self._round.n_records.values()):,} records", None)
            for health in self._round.health:
                sentence = f"{health.source}/{health.stream}: {health.sentence}"
                if health.state == "misconfigured":
                    raise SourceMisconfigured(sentence)
                if health.state in ("unavailable", "budget"):
                    deadline = deadline or time.monotonic() + patience_s
                    if time.monotonic() > deadline:
                        raise SourceUnavailable(sentence)
                    time.sleep(PAUSE_S)

    def entities(self) -> list[str]:
        assert self._round is not None
        return sorted(entity for entity in self._round.by_entity if entity)

    def make_dry_run(self, name: str) -> DryRun:
        assert self._round is not None
        entity = split_name(name)[1]
        if entity and entity not in self._round.by_entity:
            known = ", ".join(self.entities()) or "none yet"
            raise NotFound(f"the data know no {name}; known entities: {known}.")
        training = self._training(name)
        watermark_seq = watermark_of(self._run_log.history(name))
        found = self._reader.read(self._clock(), {entity: watermark_seq})
        signal = read_store(self._settings).signal(name)
        training.update_decision(self._clock(), found, signal)
        report = training.report([], None, found)
        base = DryRun(
            name,
            would_train=False,
            reason=f"{report.ready_reason}.",
            triggers=report.next_due,
            would_promote=False if report.hold else None,
            new_records=report.new_records,
            n_usable=report.n_usable_records,
        )
        return self._judged(base) if base.n_usable else base

    def _training(self, name: str) -> TrainingController:
        settings = self._settings

        def never(_entity: str, _path: Path, _now: datetime) -> Future[SnapshotInfo]:
            raise AssertionError("a dry run starts no run")

        return TrainingController(
            name,
            settings,
            read_store(settings),
            self._run_log,
            signing_key(settings),
            JobLimit(1),
            never,
            lambda: None,
            decide_when_asked,
        )

    def _judged(self, base: DryRun) -> DryRun:
        settings, now = self._settings, self._clock()
        model = settings.models[split_name(base.name)[0]]
        parameters = parameters_of_run(model, self._options)
        workload = open_workload(model.workload, parameters)
        work_dir = settings.work_dir / "dry_run"
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        try:
            path = work_dir / "snapshot.parquet"
            snapshot = self._reader.snapshot(path, now, split_name(base.name)[1])
            tables = read_snapshot(path)
            rows = workload.training_set(tables)
            short = shortage_of(workload, tables)
            looked_at = {name: list(some) for name, some in sampled(tables).items()}
        finally:
            shutil.rmtree(work_dir, ignore_errors=True)
        if (days := self._options.get("days")) is not None and rows.n_rows:
            rows = rows.where(rows.day > rows.day.max() - np.timedelta64(days, "D"))
        rows, verdict = check_data(
            rows,
            gate_of(model),
            features=workload.features_of(rows),
            n_records=snapshot.n_total,
            now=now,
        )
        verdict = check_readable(
            looked_at,
            workload,
            gate_of(model),
            model=split_name(base.name)[0],
            unmapped=unmapped_streams(model, workload),
            before=verdict,
        )
        if isinstance(verdict, Promote):
            verdict = check_newest_days(rows, workload, gate_of(model), verdict.gates)
        same_as = self._identical(base.name, snapshot, now)
        would_train = isinstance(verdict, Promote) and same_as is None
        if not isinstance(verdict, Promote):
            why = f"{reason(verdict)} {short}".rstrip()
        elif same_as is not None:
            why = f"nothing has changed since run {same_as}; --force trains anyway."
        else:
            why = f"{rows.n_rows:,} rows over {rows.n_days:,} days are enough to train on."
        return DryRun(
            base.name,
            would_train,
            why,
            base.triggers,
            would_promote=base.would_promote if would_train else False,
            new_records=base.new_records,
            n_usable=base.n_usable,
            rows=rows.n_rows,
            days=rows.n_days,
            gates=verdict.gates,
        )

    def _identical(self, name: str, snapshot: SnapshotInfo, now: datetime) -> str | None:
        signal = read_store(self._settings).signal(name)
        if signal is None or self._options.get("force"):
            return None
        spec = build_spec(
            _hypothetical_run(name, now),
            snapshot,
            settings=self._settings,
            options=self._options,
            champion=signal,
            work_dir=self._settings.work_dir,
            staged=self._settings.work_dir,
        )
        return repeated_run(spec, signal, self._run_log)


def _hypothetical_run(name: str, now: datetime) -> Run:
    return Run(
        run_id="dry_run",
        model=name,
        trigger="manual",
        trigger_reason="",
        version="",
        version_number=0,
        status=RunStatus.QUEUED,
        requested_at=now,
    )
