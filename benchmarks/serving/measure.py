"""Start one server, see that it answers right, drive it, weigh it, stop it."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.wrk import Measured, run

START_LIMIT_S = 120.0
_STOP_LIMIT_S = 15.0


@dataclass(frozen=True)
class Cell:
    """One kind of load."""

    n_rows: int
    connections: int


@dataclass
class Found:
    """What was measured of one server with one model.

    ready_s : from its start to its first right answer. pss_mb : all its processes, after load.
    largest_difference : of its answers from the pipeline's own, over all the rows.
    """

    system: str
    model: str
    ready_s: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)
    largest_difference: float = math.nan
    cells: dict[Cell, list[Measured]] = field(default_factory=dict)
    failed: str | None = None


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], log: Path, cwd: Path
) -> Iterator[psutil.Process]:
    """A server's process and all it starts; ended at the end, killed where it does not end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            start_new_session=True,
        )
    watched = psutil.Process(process.pid)
    try:
        yield watched
    finally:
        _stop(watched)
        process.wait()


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _stop(process: psutil.Process) -> None:
    family = _family(process)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
    _, alive = psutil.wait_procs(family, timeout=_STOP_LIMIT_S)
    for one in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(alive, timeout=_STOP_LIMIT_S)


def pss_mb(process: psutil.Process) -> float:
    """Proportional set size of the process and all it started: shared pages count once."""
    total = 0
    for one in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += one.memory_full_info().pss
    return total / 1e6


def ask(url: str, body: bytes) -> Any:
    """One request; the decoded answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def wait_until_right(
    process: psutil.Process, url: str, body: bytes, is_right: Callable[[Any], bool]
) -> None:
    """Ask until the first right answer.

    Raises:
        RuntimeError: the server ended, or gave none within START_LIMIT_S.
    """
    deadline = time.perf_counter() + START_LIMIT_S
    last = "no answer"
    while time.perf_counter() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError(f"the server ended; its last answer: {last}")
        try:
            answer = ask(url, body)
            if is_right(answer):
                return
            last = str(answer)[:200]
        except urllib.error.HTTPError as error:
            last = f"{error.code} {error.read()[:200]!r}"
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            last = repr(error)
        time.sleep(0.02)
    raise RuntimeError(f"no right answer within {START_LIMIT_S:g} s: {last}")


def largest_difference(expected: Sequence[float], found: Sequence[float]) -> float:
    """The largest absolute difference; infinite where the numbers of rows differ."""
    if len(expected) != len(found):
        return math.inf
    return max((abs(a - b) for a, b in zip(expected, found, strict=True)), default=0.0)


def drive(
    url: str, bodies: Mapping[int, bytes], cells: Sequence[Cell], seconds: float
) -> dict[Cell, Measured]:
    """Each load in turn, after a short warm-up."""
    run(url, bodies[min(bodies)], connections=8, seconds=1)
    return {
        cell: run(url, bodies[cell.n_rows], connections=cell.connections, seconds=seconds)
        for cell in cells
    }
