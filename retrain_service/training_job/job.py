"""Start, watch and stop the process of one run.

The daemon's half: it never fits and never unpickles. `training_process` is the other half.
They speak through files in the run's work directory; the pipe to the child's standard input
is how the child notices that the daemon died.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

from retrain_service.promotion.decide import GateResult
from retrain_service.trainer.job_spec import JobSpec
from shared.daemon.background import run_once_in_background
from shared.errors import StorageUnavailable
from shared.settings.per_model import TrainingSettings
from shared.versions.manifest import Manifest

JOB_NAME = "job.json"
PROGRESS_NAME = "progress.json"
RESULT_NAME = "result.json"
SNAPSHOT_NAME = "snapshot.parquet"
OUTPUT_NAME = "output.log"
HEARTBEAT_NAME = "heartbeat"
REFITTING = "refitting"
"""Stage of a run in its second fit."""
STOP_GRACE_S = 1.0
KILL_WAIT_S = 5.0
# Everything that numerical libraries read to decide how many threads they start.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "NUMEXPR_NUM_THREADS",
)


class JobProgress(msgspec.Struct, frozen=True):
    """fraction : 0..1 of the whole run."""

    stage: str
    fraction: float


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the run came to. `outcome`: promote, reject, insufficient_data or failed.

    manifest_sha256 : of the manifest that was staged.
    """

    outcome: str
    reason: str
    gates: list[GateResult] = []
    details: dict[str, Any] = {}
    manifest: Manifest | None = None
    manifest_sha256: str = ""


class TrainingJob:
    """A started run. Only the daemon's loop touches it."""

    def __init__(
        self,
        spec: JobSpec,
        work_dir: Path,
        process: subprocess.Popen[bytes],
        limits: TrainingSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock : monotonic, in seconds; the time of day may jump."""
        self.spec = spec
        self.work_dir = work_dir
        self._process = process
        self._limits = limits
        self._clock = clock
        self._started_s = self._looked_s = clock()
        self._silent_s = 0.0
        self._last_beat_ns: int | None = None
        self._oom_kills_before = _oom_kills()
        self._stopped_because: str | None = None

    @classmethod
    def start(
        cls, spec: JobSpec, work_dir: Path, limits: TrainingSettings, on_end: Callable[[], None]
    ) -> TrainingJob:
        """Start the run's process in its own session, on a snapshot that lies in `work_dir`.

        on_end : called once the process has ended, by a thread that waits for that.
        """
        (work_dir / JOB_NAME).write_bytes(msgspec.json.encode(spec))
        # To touch a file that exists takes no room: a full disk does not silence the process.
        (work_dir / HEARTBEAT_NAME).touch()
        # A session of its own on POSIX, a process group of its own on Windows.
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        threads = dict.fromkeys(_THREAD_VARIABLES, str(spec.threads))
        with (work_dir / OUTPUT_NAME).open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "retrain_service.training_job.process", str(work_dir)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **threads},
                start_new_session=True,
                creationflags=flags,
            )

        def wait() -> None:
            process.wait()
            on_end()

        run_once_in_background(f"end-of-{spec.run_id}", wait)
        return cls(spec, work_dir, process, limits)

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
        """The result once the process has ended; None while it runs. Stops it beyond a limit.

        Raises:
            StorageUnavailable: there is a result that cannot be read now; ask again.
        """
        if self._process.poll() is None:
            beyond = self._beyond_limit()
            if beyond is None:
                return None
            self.stop(beyond)
        return self._result()

    def _beyond_limit(self) -> str | None:
        limits = self._limits
        if self._clock() - self._started_s > limits.max_run_time_s:
            limit = f"max_run_time_s = {limits.max_run_time_s:g}"
            stage = self.progress().stage
            second = (
                ": the second fit, on all rows, takes about as long as the first; raise it, or set"
                " refit = false"
                if stage == REFITTING
                else ""
            )
            return f"it ran longer than {limit} (it was {stage}{second})"
        if self._listen() > limits.heartbeat_timeout_s:
            return f"no sign of life for {self._silent_s:.0f} s"
        if limits.memory_limit_mb and (used_mb := self._memory_mb()) > limits.memory_limit_mb:
            return f"it used {used_mb} MB, memory_limit_mb = {limits.memory_limit_mb}"
        return None

    def _listen(self) -> float:
        """For how many seconds the heartbeat has not changed, whatever time it bears."""
        beat_ns: int | None
        try:
            beat_ns = (self.work_dir / HEARTBEAT_NAME).stat().st_mtime_ns
        except OSError:
            beat_ns = self._last_beat_ns
        now_s = self._clock()
        if beat_ns != self._last_beat_ns:
            self._silent_s = 0.0
        else:
            # A look after a long sleep of the machine is no proof: the next one is.
            longest_s = self._limits.heartbeat_timeout_s / 2
            self._silent_s += min(now_s - self._looked_s, longest_s)
        self._last_beat_ns, self._looked_s = beat_ns, now_s
        return self._silent_s

    def _memory_mb(self) -> int:
        """Resident memory of the process and all it started."""
        used = 0
        with contextlib.suppress(psutil.Error, OSError):
            family = psutil.Process(self._process.pid)
            for member in (family, *family.children(recursive=True)):
                with contextlib.suppress(psutil.Error, OSError):
                    used += member.memory_info().rss
        return used // 1_000_000

    def stop(self, because: str) -> None:
        """End the process and every process it started, within about two seconds."""
        self._stopped_because = because
        with contextlib.suppress(psutil.Error, OSError):
            family = psutil.Process(self._process.pid)
            members = [*family.children(recursive=True), family]
            for member in members:
                with contextlib.suppress(psutil.Error, OSError):
                    member.terminate()
            _, alive = psutil.wait_procs(members, timeout=STOP_GRACE_S)
            for member in alive:
                with contextlib.suppress(psutil.Error, OSError):
                    member.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait(KILL_WAIT_S)

    def close(self) -> None:
        """Let go of the pipe to a process that has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _result(self) -> JobResult:
        if self._stopped_because is not None:
            return JobResult(outcome="failed", reason=f"stopped: {self._stopped_because}.")
        path = self.work_dir / RESULT_NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=JobResult)
        except (FileNotFoundError, msgspec.DecodeError):
            return JobResult(outcome="failed", reason=self._death())
        except OSError as error:
            raise StorageUnavailable(f"{path}: cannot be read: {error.strerror}.") from error

    def _death(self) -> str:
        code = self._process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            if name == "SIGKILL" and _oom_kills() > self._oom_kills_before:
                return "the training process was killed: the machine ran out of memory."
            return f"the training process was ended by {name}, not by us."
        last = "it said nothing"
        with contextlib.suppress(OSError, IndexError):
            output = (self.work_dir / OUTPUT_NAME).read_text(errors="replace")
            last = output.strip().splitlines()[-1]
        return f"the training process ended with exit code {code}: {last}"


def _oom_kills() -> int:
    """How often the kernel killed a process for memory since it started; 0 where it cannot say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
