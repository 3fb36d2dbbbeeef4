"""What a daemon under test is started with on its PYTHONPATH; it knows nothing of this itself.

Makes `MeanWorkload` known in every process of the daemon and, where KILL_AT names a step of a
publish ("before fsync STAGED/model.joblib"), kills the daemon with SIGKILL when any of its
processes comes to that step. Steps are every fsync, rename and replace below the home; names
that differ from run to run are replaced by what they stand for. The steps of a run's life
("after log.start_run", "before job.start") are known under their own names.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _know_the_test_workload() -> None:
    import shared.workloads

    registry: Any = shared.workloads.REGISTRY
    registry["mean"] = "tests.support.mean_workload:MeanWorkload"
    registry["mean_per_device"] = "tests.support.mean_workload:MeanPerDevice"
    shared.workloads.PER_ENTITY.add("mean_per_device")
    registry["tiny"] = "tests.support.tiny_workload:TinyWorkload"
    registry["mixed"] = "tests.support.mixed_workload:MixedWorkload"


def _normal(path: str) -> str:
    path = re.sub(r"^staging/m/\w+", "STAGED", path)
    path = re.sub(r"v\d{6}-\w+", "VERSION", path)
    return re.sub(r"\.(\w+)\.json\.\w+\.tmp", r"TEMPORARY_\1", path)


def _kill_at(wanted: str, home: str, reached: Path, daemon_pid: int) -> None:
    def kill_if(step: str) -> None:
        if step == wanted and not reached.exists():
            reached.touch()
            os.kill(daemon_pid, signal.SIGKILL)

    def step(name: str, path: str) -> None:
        if path.startswith(home):
            kill_if(f"{name} {_normal(os.path.relpath(path, home))}")

    def around(name: str, call: Callable[..., Any], path_of: Callable[..., str]) -> Any:
        def wrapped(*arguments: Any) -> Any:
            path = path_of(*arguments)
            step(f"before {name}", path)
            result = call(*arguments)
            step(f"after {name}", path)
            return result

        return wrapped

    def of_descriptor(descriptor: int) -> str:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def around_life(owner: Any, method: str, name: str) -> None:
        call = getattr(owner, method)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            kill_if(f"before {name}")
            result = call(*arguments, **options)
            kill_if(f"after {name}")
            return result

        # A class method comes bound already and must not be bound once more.
        is_bound = getattr(call, "__self__", None) is owner
        setattr(owner, method, staticmethod(wrapped) if is_bound else wrapped)

    if " log." in wanted or " job." in wanted:
        from retrain_service.training_job.job import TrainingJob
        from shared.run_log.writer import RunLog

        for method in ("add_run", "start_run", "finish_run"):
            around_life(RunLog, method, f"log.{method}")
        around_life(TrainingJob, "start", "job.start")
    os.fsync = around("fsync", os.fsync, of_descriptor)
    os.replace = around("replace", os.replace, lambda _source, target: os.fspath(target))
    os.rename = around("rename", os.rename, lambda _source, target: os.fspath(target))


def _end_thread(name: str, fault: Path) -> None:
    """While the file `fault` is there, the background thread of that name ends unasked."""
    from shared.daemon.background import BackgroundThread

    run: Any = BackgroundThread._run

    def unguarded(thread: Any) -> None:
        if thread.name == name:
            step = thread._step

            def step_or_end() -> None:
                if fault.exists():
                    thread._stop = None  # the guard's own next step fails
                step()

            thread._step = step_or_end
        try:
            run(thread)
        except AttributeError:
            return

    patched: Any = BackgroundThread
    patched._run = unguarded


try:
    _know_the_test_workload()
except ImportError:
    pass  # a helper process of Python's own, outside the project's folder
else:
    if "END_THREAD" in os.environ:
        _end_thread(os.environ["END_THREAD"], Path(os.environ["END_THREAD_WHILE"]))
    if "KILL_AT" in os.environ:
        # The first process of the daemon is the one to kill, whoever takes the step.
        os.environ.setdefault("KILL_DAEMON_PID", str(os.getpid()))
        _kill_at(
            os.environ["KILL_AT"],
            os.environ["KILL_HOME"],
            Path(os.environ["KILL_REACHED"]),
            int(os.environ["KILL_DAEMON_PID"]),
        )
