"""Store each worker's counters in a file, and add them up without ever losing a count.

The sum is that of all workers of this host, exited ones included. The file of an exited worker
stays until the main process has added it to the `.past` file, which names the files that it
contains: a reader that reads the worker files first and `.past` last counts each exactly once.
Knows no exposition format.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from api_service.metrics.recorder import old_versions
from api_service.metrics.worker_metrics import Past, Sum, WorkerMetrics
from shared.exchange.json_files import write_unsynced

_REMEMBERED = 500
_FORGET_OTHER_HOSTS_AFTER_S = 24 * 3600.0
_SUFFIX = ".worker"


def worker_path(directory: Path, pid: int, started_at: datetime) -> Path:
    return directory / f"{_host()}-{pid}-{int(started_at.timestamp() * 1e3)}{_SUFFIX}"


def host_of(path: Path) -> str:
    """The host in the name of a worker's file."""
    return path.name.rsplit("-", 2)[0]


def read_sum(directory: Path) -> Sum:
    """The sum over all workers of this host. Never raises; what cannot be read is left out."""
    found = _workers(directory)
    past = _past(directory)  # after the files: what was absorbed meanwhile is known here
    total = Sum()
    total.add(past.counted)
    _add_workers(total, [worker for worker in found if worker.id not in past.absorbed])
    return total


def merge_exited_workers(directory: Path) -> int:
    """Add the files of dead workers to `past` and remove them; only the main process calls this.

    Returns:
        How many there were.

    Raises:
        OSError: the disk is full or not writable; nothing is lost.
    """
    past, found = _past(directory), _workers(directory)
    new = [worker for worker in found if worker.id not in past.absorbed]
    dead = [worker for worker in new if not worker.is_alive]
    if dead:
        total = Sum(running=[worker for worker in new if worker not in dead])
        total.add(past.counted)
        _add_workers(total, dead)
        for model, version in old_versions(total.cells, total.kept_versions):
            for key in [key for key in total.cells if key[:2] == (model, version)]:
                del total.cells[key]
        absorbed = [*past.absorbed, *(worker.id for worker in dead)][-_REMEMBERED:]
        content = msgspec.msgpack.encode(Past(counted=total.counted(), absorbed=absorbed))
        write_unsynced(_past_path(directory), content)
    for worker in found:
        if worker in dead or worker.id in past.absorbed:
            (directory / f"{worker.id}{_SUFFIX}").unlink(missing_ok=True)
    return len(dead)


def forget_other_hosts(directory: Path) -> None:
    """Remove what hosts left that write no more: a container has a new name at each start."""
    ours = re.compile(rf"{re.escape(_host())}(-\d+-\d+{re.escape(_SUFFIX)}|\.past|\.traffic)")
    limit = time.time() - _FORGET_OTHER_HOSTS_AFTER_S
    # And what a worker that was killed in the middle of a write left of it.
    for path in (
        path
        for kind in (_SUFFIX, ".past", ".traffic", ".tmp")
        for path in directory.glob(f"*{kind}")
    ):
        with contextlib.suppress(OSError):
            if not ours.fullmatch(path.name) and path.stat().st_mtime < limit:
                path.unlink()


def _add_workers(total: Sum, workers: Iterable[WorkerMetrics]) -> None:
    for worker in workers:
        total.add(worker.counted)
        if worker.is_alive:
            total.running.append(worker)
        elif not worker.has_ended:
            total.n_deaths += 1


def _workers(directory: Path) -> list[WorkerMetrics]:
    found = []
    for path in sorted(directory.glob(f"{_host()}-*{_SUFFIX}")):
        try:
            worker = msgspec.msgpack.decode(path.read_bytes(), type=WorkerMetrics)
        except (OSError, msgspec.DecodeError):
            continue  # absorbed meanwhile, or torn by a power cut
        if worker.host == _host():  # a host's name may begin with ours
            found.append(worker)
    return found


def _past(directory: Path) -> Past:
    try:
        return msgspec.msgpack.decode(_past_path(directory).read_bytes(), type=Past)
    except (OSError, msgspec.DecodeError):
        return Past()


def _past_path(directory: Path) -> Path:
    return file_of_host(directory, ".past")


def file_of_host(directory: Path, suffix: str) -> Path:
    """A file that this host has one of."""
    return directory / f"{_host()}{suffix}"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
