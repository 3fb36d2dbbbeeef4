"""Whole runs of a training process, in this process: records in, gates and a published version out.

Everything of a run is real but the daemon around it: snapshot, fits, gates, staged version, trial
load, signature and signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from retrain_service.buffer.snapshot import SCHEMA, write_snapshot
from retrain_service.publish import serving_pointer
from retrain_service.trainer.job_spec import JobSpec
from retrain_service.training_job.job import JobResult
from retrain_service.training_job.steps import run_steps
from shared.keys.signing import SigningKey
from shared.records import to_epoch_us
from shared.versions.manifest import Manifest
from shared.versions.model_store import ModelStore
from shared.versions.model_version import ModelVersion


class Trainings:
    """Trainings of one model `m`, one after the other; what passes is published."""

    def __init__(
        self, folder: Path, workload: str, parameters: Mapping[str, Any], stream: str
    ) -> None:
        self.store = ModelStore(folder / "models")
        self.key = SigningKey.read_or_create(folder / "keys")
        self._folder, self._workload, self._stream = folder, workload, stream
        self._parameters = dict(parameters)
        self._n = 0

    def train(
        self,
        records: Iterable[Mapping[str, Any]],
        now: datetime,
        *,
        gate: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> JobResult:
        """One run on records that were all written just before `now`.

        options : further fields of the `JobSpec`.
        """
        self._n += 1
        run_id, work_dir = f"run{self._n}", self._folder / "work"
        work_dir.mkdir(exist_ok=True)
        bodies = [msgspec.json.encode(dict(record)) for record in records]
        first_us = to_epoch_us(now - timedelta(minutes=1))
        batch = pa.RecordBatch.from_pydict(
            {
                "stream": [self._stream] * len(bodies),
                "id": [f"{i:08d}" for i in range(len(bodies))],
                "updated_us": [first_us + i for i in range(len(bodies))],
                "body": bodies,
            },
            schema=SCHEMA,
        )
        path = work_dir / "snapshot.parquet"
        info = write_snapshot([batch], path, [self._stream], len(bodies), now)
        signal = self.store.signal("m")
        spec = JobSpec(
            run_id=run_id,
            model="m",
            version=str(ModelVersion(self._n, now)),
            requested_at=now,
            workload=self._workload,
            parameters=self._parameters,
            gate=dict(gate or {}),
            seed=1,
            nice=0,
            base_generation=signal.generation if signal is not None else 0,
            champion=signal.version if signal is not None else None,
            models_dir=str(self.store.models_dir),
            keys_dir=str(self._folder / "keys"),
            public_key=str(self._folder / "keys" / "signing.pub"),
            staged=str(self.store.stage("m", run_id)),
            snapshot=str(path),
            snapshot_digest=info.digest,
            newest_record_at=info.newest,
            n_records=info.n_total,
            high_seq=info.high_seq,
            inputs_digest="",
            memory_limit_mb=0,
            threads=1,
            **options,
        )
        result = run_steps(spec, work_dir)
        if result.manifest is not None:
            staged, digest = Path(spec.staged), result.manifest_sha256
            serving_pointer.promote(self.store, staged, result.manifest, digest, "a test", now)
        return result

    def manifest(self) -> Manifest:
        """Of what serves."""
        signal = self.store.signal("m")
        assert signal is not None
        return self.store.manifest("m", signal.version)
