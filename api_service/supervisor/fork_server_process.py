"""The fork server: a process that has imported what a worker needs, and forks workers from itself.

A fork starts in a few milliseconds and shares the memory of all imports. So that no worker
inherits a lock or a log in the middle of its use, the fork server has one thread and no lock, log
or socket of the service, and passes each request on unread to the worker that it forks. Linux
only. Knows no configuration and no model.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pickle
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

MOST_DESCRIPTORS = 100
"""That come with one request; the system would take 253."""

_MODULES = (
    "api_service.worker.worker",
    "api_service.web.granian_adapter",
    "api_service.supervisor.granian_log",
    # What a worker would otherwise import with its first model, at its first request.
    "encodings.idna",
    "granian.server.mp",
    "multiprocessing.sharedctypes",
    "shared.forms.stored_form",
    "shared.forms.linear",
    "shared.forms.trees",
    "shared.workloads.tabular.workload",
    "zoneinfo",
)
_STANDARD_ERROR = 2
_SYSTEMD_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

_received: list[int] = []


class Descriptor:
    """A descriptor that travels with what is pickled: its place among those of the request."""

    def __init__(self, place: int) -> None:
        self._place = place

    def detach(self) -> int:
        """In the worker: the descriptor, which belongs to the caller from now on."""
        return _received[self._place]


def run(connection: socket.socket) -> NoReturn:
    """Fork a worker for each request on `connection`, until the main process closes it.

    Main thread only. In each worker it raises SystemExit, when the worker's work is done.
    """
    # The collector writes to all it looks at, and each page that is written to is copied: what was
    # imported is never looked at, here or in a worker.
    gc.disable()
    # A terminal's INT and HUP reach the main process as well, which tells the workers what to do.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    on_term = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _name_process("hotfit-template")
    _close_all_but(connection.fileno())
    for name in _SYSTEMD_VARIABLES:
        os.environ.pop(name, None)
    for module in _MODULES:
        importlib.import_module(module)
    gc.freeze()
    if not _is_worker(connection):
        os._exit(0)
    _name_process("hotfit-worker")
    signal.signal(signal.SIGTERM, on_term)
    gc.enable()
    sys.exit(_work())


def _is_worker(connection: socket.socket) -> bool:
    """Return True in each worker; False in the template, at its end."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(
            connection, 1, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
        )
        if not request:
            return False
        try:
            intermediate_pid = os.fork()
        except OSError as error:
            _send(connection, -(error.errno or 1))
        else:
            if intermediate_pid == 0 and double_fork(connection):
                connection.close()
                _received[:] = descriptors
                return True
            os.waitpid(intermediate_pid, 0)
        for descriptor in descriptors:  # the worker's: with its end they must be closed
            os.close(descriptor)


def double_fork(connection: socket.socket) -> bool:
    """Fork the worker and end: the worker is then a child of the main process, and stays one.

    Whatever happens to the template, and as if the main process had started it itself.
    """
    try:
        worker = os.fork()
        if worker == 0:
            return True
        # Until the process that started it is gone, nobody else can be given its number.
        _send(connection, worker, os.pidfd_open(worker))
    except OSError as error:
        _send(connection, -(error.errno or 1))
    os._exit(0)


def _send(connection: socket.socket, number: int, *descriptors: int) -> None:
    with contextlib.suppress(OSError):  # the main process is gone
        socket.send_fds(connection, [b"%d" % number], descriptors)


def _work() -> int:
    """In a worker: do what the main process asked for. The exit code."""
    try:
        with os.fdopen(_received[0], "rb") as request:
            call: Any = pickle.load(request)  # noqa: S301 - from our own main process
        call()
    except Exception:  # noqa: BLE001 - as an interpreter of its own would end
        traceback.print_exc()
        return 1
    return 0


def _close_all_but(kept: int) -> None:
    """What the main process had open, systemd's socket above all."""
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number > _STANDARD_ERROR and number != kept:
            with contextlib.suppress(OSError):  # the one by which the directory was read
                os.close(number)


def _name_process(name: str) -> None:
    """As `ps -o comm` and `top` show it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


if __name__ == "__main__":
    from api_service.supervisor import import_environment  # noqa: F401 - before all that is imported later

    # By its name, under which what is unpickled knows this module: as __main__ it is another one.
    importlib.import_module("api_service.supervisor.fork_server_process").run(
        socket.socket(fileno=int(sys.argv[1]))
    )
