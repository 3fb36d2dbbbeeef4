"""Start workers as forks of the fork server, from the main process's side.

The fork server is forked off the main process before that has a second thread. It ends when it was
not needed for a while, and is started again for a worker that has to be replaced later. Workers
are children of the main process, whichever process forked them. Only on Linux 5.3 and later;
elsewhere each worker is a fresh interpreter. The standard library's fork server took 129 MB
instead of 93 MB in one measurement, and started more slowly. Knows no configuration and no model.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from multiprocessing import context
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, BinaryIO, cast

import structlog

from api_service.supervisor import fork_server_process
from api_service.supervisor.fork_server_process import Descriptor

if TYPE_CHECKING:
    from multiprocessing.popen_spawn_posix import Popen

log = structlog.get_logger()

IDLE_TIMEOUT_S = 10.0
"""A template that nobody needed for so long ends: what it alone keeps in memory is freed."""

_ANSWER_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 1.0
_CHECK_INTERVAL_S = 0.1
_PR_SET_CHILD_SUBREAPER = 36


def is_supported() -> bool:
    """Whether this system names processes by descriptors, and gives us our grandchildren."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


class ForkServer:
    """The template process, in the main process. One thread calls.

    Args:
        pid, connection: of the process, which runs already, and to it.
    """

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self._pid = pid
        self._connection: socket.socket | None = connection
        self._used_at = time.monotonic()
        self.is_asked_to_stop: Callable[[], bool] = lambda: False

    @classmethod
    def fork(cls) -> ForkServer:
        """Fork one off this process, which must have one thread. In workers it does not return."""
        gc.freeze()  # see fork_server_process.py
        ours, theirs = _pair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            fork_server_process.run(theirs)
        theirs.close()
        return cls(pid, ours)

    def fork_worker(self, call: Callable[[], object]) -> tuple[int, int]:
        """Have a worker forked that calls `call` and ends.

        Returns:
            Its pid, and a descriptor of the process.

        Raises:
            OSError: there is no room for one more process, or the template does not answer.
        """
        spawn_context = _SpawnContext()
        with os.fdopen(os.memfd_create("worker"), "w+b") as request:
            spawn_context.pack(call, request)
            descriptors = [request.fileno(), *spawn_context.descriptors]
            for _ in range(2):
                if self._connection is None:
                    self._pid, self._connection = start_fork_server()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
                    socket.send_fds(self._connection, [b"!"], descriptors)
                    return self._answer(self._connection)
                self.end()  # it was killed
        raise BrokenPipeError("the fork server ended before it answered")

    def stop_if_idle(self) -> None:
        """Called now and then: let go of a template that nobody needs."""
        if self._connection is not None and time.monotonic() - self._used_at > IDLE_TIMEOUT_S:
            self.end()

    def end(self) -> None:
        """End the template; its workers stay."""
        if self._connection is not None:
            with self._connection as connection, contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                if not select.select([connection], [], [], _END_TIMEOUT_S)[0]:
                    os.kill(self._pid, signal.SIGKILL)  # stopped, or stuck
            self._connection = None

    def _answer(self, connection: socket.socket) -> tuple[int, int]:
        self._used_at = time.monotonic()
        until_s = self._used_at + _ANSWER_TIMEOUT_S
        while not select.select([connection], [], [], _CHECK_INTERVAL_S)[0]:
            if time.monotonic() > until_s or self.is_asked_to_stop():
                self.end()
                raise TimeoutError("the fork server does not answer")
        answer, descriptors, _, _ = socket.recv_fds(connection, 32, 1, socket.MSG_CMSG_CLOEXEC)
        if not answer:
            raise EOFError
        if not descriptors:
            raise OSError(-int(answer), os.strerror(-int(answer)))
        return int(answer), descriptors[0]


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def start_fork_server() -> tuple[int, socket.socket]:
    """A template in a fresh interpreter, since this process has threads by now: its pid, a line."""
    ours, theirs = _pair()
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", fork_server_process.__name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    return process.pid, ours


def reap() -> None:
    """Let dead children go: workers, templates, and what workers that died have left to us."""
    with contextlib.suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
            pass


class _SpawnContext:
    """What `multiprocessing` asks of a way to start processes, while it pickles for one."""

    DupFd = Descriptor

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def duplicate_for_child(self, descriptor: int) -> int:
        self.descriptors.append(descriptor)
        return len(self.descriptors)  # the first one of the request is the request

    def pack(self, call: Callable[[], object], file: BinaryIO) -> None:
        # Its stub names its own two ways; it asks for no more than there is here.
        context.set_spawning_popen(cast("Popen", self))
        try:
            ForkingPickler(file).dump(call)
        finally:
            context.set_spawning_popen(None)
        file.flush()
        file.seek(0)


class ForkedWorker:
    """A worker process, as the server library takes one. Any thread may call, `start` once.

    Args:
        call: what it does. It is pickled.
        parent_pipe: both ends of a pipe. The worker has the first by its `call`; when this process
            ends, the second closes.
    """

    def __init__(
        self,
        fork_server: ForkServer,
        call: Callable[[], object],
        parent_pipe: tuple[Connection, Connection],
    ) -> None:
        self._fork_server = fork_server
        self._call = call
        self._theirs, self._ours = parent_pipe
        self._descriptor: int | None = None
        self.pid: int | None = None

    def start(self) -> None:
        """Raises nothing: one that cannot be started is dead, and replaced as the dead are."""
        try:
            self.pid, self._descriptor = self._fork_server.fork_worker(self._call)
            weakref.finalize(self, os.close, self._descriptor)
        except OSError as error:
            log.error("worker_start_failed", reason=str(error))  # noqa: TRY400 - no bug
        finally:
            self._theirs.close()

    def is_alive(self) -> bool:
        return not self._has_ended_within(0)

    def join(self, timeout: float | None = None) -> None:
        self._has_ended_within(timeout)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _has_ended_within(self, timeout_s: float | None) -> bool:
        if self._descriptor is None:
            return True
        process = select.poll()
        process.register(self._descriptor, select.POLLIN)
        return bool(process.poll(None if timeout_s is None else timeout_s * 1e3))

    def _send(self, number: int) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)
