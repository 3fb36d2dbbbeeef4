"""One training run as a process of its own: start it, watch it, stop it.

The daemon's half: it never fits and never unpickles. `training_process` is the other half.
They speak through files in the run's work directory; the pipe to the child's standard input
is how the child notices that the daemon died.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil

from retrain_service.promotion import GateResult
from shared.manifest import Manifest
from shared.settings import GateSettings

JOB_NAME = "job.json"
PROGRESS_NAME = "progress.json"
RESULT_NAME = "result.json"
SNAPSHOT_NAME = "snapshot.parquet"
OUTPUT_NAME = "output.log"
STOP_GRACE_S = 1.0


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run depends on besides the code: same spec and snapshot, same candidate."""

    run_id: str
    model: str
    version: str
    requested_at: datetime
    workload: str
    parameters: dict[str, Any]
    gate: dict[str, Any]
    seed: int
    nice: int
    base_generation: int
    champion: str | None
    models_dir: str
    keys_dir: str
    public_key: str
    staged: str
    snapshot: str
    snapshot_digest: str
    newest_record_at: datetime | None
    n_records: int
    high_seq: int

    def policy(self) -> GateSettings:
        return GateSettings.model_validate(self.gate)


class JobProgress(msgspec.Struct, frozen=True):
    """fraction : 0..1 of the whole run."""

    stage: str
    fraction: float


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the run came to. `outcome`: promote, reject, insufficient_data or failed."""

    outcome: str
    reason: str
    gates: list[GateResult] = []
    details: dict[str, Any] = {}
    manifest: Manifest | None = None


class TrainingJob:
    """A started run. Only the daemon's loop touches it."""

    def __init__(
        self, spec: JobSpec, work_dir: Path, process: subprocess.Popen[bytes], deadline: float
    ) -> None:
        self.spec = spec
        self.work_dir = work_dir
        self._process = process
        self._deadline = deadline
        self._stopped_because: str | None = None

    @classmethod
    def start(cls, spec: JobSpec, work_dir: Path, max_run_time_s: float) -> TrainingJob:
        """Start the run's process in its own session, on a snapshot that lies in `work_dir`."""
        (work_dir / JOB_NAME).write_bytes(msgspec.json.encode(spec))
        # A session of its own on POSIX, a process group of its own on Windows.
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        with (work_dir / OUTPUT_NAME).open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "retrain_service.training_process", str(work_dir)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                creationflags=flags,
            )
        return cls(spec, work_dir, process, time.monotonic() + max_run_time_s)

    @property
    def pid(self) -> int:
        return self._process.pid

    def progress(self) -> JobProgress:
        """Where the run says it is; the start when it has not said anything yet."""
        try:
            content = (self.work_dir / PROGRESS_NAME).read_bytes()
            return msgspec.json.decode(content, type=JobProgress)
        except (OSError, msgspec.DecodeError):
            return JobProgress("starting", 0.0)

    def poll(self) -> JobResult | None:
        """The result once the process has ended; None while it runs. Stops it when overdue."""
        if self._process.poll() is None:
            if time.monotonic() <= self._deadline:
                return None
            self.stop("it ran longer than its max_run_time_s")
        return self._result()

    def stop(self, because: str) -> None:
        """End the process and every process it started, within about two seconds."""
        self._stopped_because = because
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self._process.pid)
            members = [*family.children(recursive=True), family]
            for member in members:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.terminate()
            _, alive = psutil.wait_procs(members, timeout=STOP_GRACE_S)
            for member in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        self._process.wait()

    def clear(self) -> None:
        """Remove the run's work directory."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        shutil.rmtree(self.work_dir, ignore_errors=True)

    def _result(self) -> JobResult:
        if self._stopped_because is not None:
            return JobResult(outcome="failed", reason=f"stopped: {self._stopped_because}.")
        try:
            content = (self.work_dir / RESULT_NAME).read_bytes()
            return msgspec.json.decode(content, type=JobResult)
        except (OSError, msgspec.DecodeError):
            return JobResult(outcome="failed", reason=self._death())

    def _death(self) -> str:
        code = self._process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (the system may have run out of memory)" if name == "SIGKILL" else ""
            return f"the training process was ended by {name}{hint}."
        output = (self.work_dir / OUTPUT_NAME).read_text(errors="replace").strip().splitlines()
        last = output[-1] if output else "it said nothing"
        return f"the training process ended with exit code {code}: {last}"
