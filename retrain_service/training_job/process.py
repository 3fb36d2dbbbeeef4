"""Entry point of a run's process: limits, heartbeat, end with the parent, then the steps.

It has the run's work directory and the staged directory to itself and writes nowhere else.
It ends at once when the daemon that started it is gone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
import traceback
from functools import partial
from pathlib import Path

import msgspec

from retrain_service.trainer.job_spec import JobSpec
from retrain_service.training_job.job import HEARTBEAT_NAME, JOB_NAME, RESULT_NAME, JobResult
from retrain_service.training_job.steps import run_steps
from shared.atomic_file import write_atomic
from shared.daemon.background import run_in_background, run_once_in_background
from shared.errors import HotfitError

PARENT_GONE_EXIT = 75
PARENT_LOOK_S = 0.5
HEARTBEAT_PERIOD_S = 1.0


def main(work_dir: Path) -> int:
    """Run one job and leave its result; 0 when a result was left."""
    run_once_in_background("parent-watch", _end_with_parent)
    run_in_background("heartbeat", partial(_beat, work_dir))
    spec = msgspec.json.decode((work_dir / JOB_NAME).read_bytes(), type=JobSpec)
    if hasattr(os, "nice"):
        os.nice(spec.nice)
    _limit_memory(spec.memory_limit_mb)
    try:
        result = run_steps(spec, work_dir)
    except HotfitError as error:
        result = JobResult(outcome="failed", reason=str(error))
    except MemoryError:
        limit = (
            f"memory_limit_mb = {spec.memory_limit_mb}" if spec.memory_limit_mb else "the machine"
        )
        result = JobResult(outcome="failed", reason=f"out of memory: more was needed than {limit}.")
    except Exception as error:  # noqa: BLE001 - whatever a fit raises is the run's result
        traceback.print_exc()
        result = JobResult(outcome="failed", reason=f"{type(error).__name__}: {error}")
    write_atomic(work_dir / RESULT_NAME, msgspec.json.encode(result))
    return 0


def _end_with_parent() -> None:
    # The daemon holds the other end of this pipe and never writes: end of file is its death.
    if sys.platform == "win32":
        _wait_for_end_of_pipe()
    else:
        # Not through sys.stdin: whoever reads there holds a lock that the interpreter's end wants.
        os.read(0, 1)
    os._exit(PARENT_GONE_EXIT)


def _wait_for_end_of_pipe() -> None:
    # While a thread reads a pipe on Windows, everyone else who as much as asks what standard input
    # is waits for it: among them the runtimes of numerical libraries that are being loaded.
    if sys.platform == "win32":
        import _winapi
        import msvcrt

        pipe = msvcrt.get_osfhandle(sys.stdin.fileno())
        with contextlib.suppress(OSError):  # the other end is closed
            while True:
                _winapi.PeekNamedPipe(pipe, 0)
                time.sleep(PARENT_LOOK_S)


def _beat(work_dir: Path) -> None:
    """Show that the process lives, whatever the fit is doing."""
    with contextlib.suppress(OSError):  # a disk that is full is no reason to beat less often
        (work_dir / HEARTBEAT_NAME).touch()
    time.sleep(HEARTBEAT_PERIOD_S)


def _limit_memory(limit_mb: int) -> None:
    """Where the system can, make an allocation beyond the limit fail here, with a MemoryError."""
    if limit_mb and importlib.util.find_spec("resource"):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * 1_000_000, limit_mb * 1_000_000))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
