"""What the main process asks of the template, with a real one; and a call aside."""

from __future__ import annotations

import os
import sys
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("workers are forked on Linux only", allow_module_level=True)

from collections.abc import Iterator

from api_service.supervisor import fork_server
from api_service.supervisor.fork_server import ForkedWorker, ForkServer
from api_service.supervisor.subprocess_call import SubprocessCall
from shared.errors import FixConfiguration


@pytest.fixture
def template() -> Iterator[ForkServer]:
    """In an interpreter of its own: the tests' process has threads."""
    template = ForkServer(*fork_server.start_fork_server())
    yield template
    template.end()


def say_and_wait(line: Connection, parent_pipe: Connection) -> None:
    """What a worker of these tests does; runs in it."""
    line.send((os.getpid(), os.getppid()))
    parent_pipe.poll(None)


def worker_of(template: ForkServer) -> tuple[ForkedWorker, Connection]:
    ours, theirs = Pipe()
    parent_pipe = Pipe(duplex=False)
    worker = ForkedWorker(template, partial(say_and_wait, theirs, parent_pipe[0]), parent_pipe)
    worker.start()
    theirs.close()
    return worker, ours


def is_there(template: ForkServer) -> bool:
    return template._connection is not None


def test_a_worker_is_forked_with_its_connections_and_its_end_is_seen(template: ForkServer) -> None:
    """Pipes to it must close with it alone: nobody else may hold an end of them."""
    first, to_first = worker_of(template)
    second, to_second = worker_of(template)
    assert to_first.poll(60)
    assert to_second.poll(60)
    assert to_first.recv()[0] == first.pid
    assert to_second.recv()[0] == second.pid
    assert first.is_alive()
    assert second.is_alive()

    first.kill()
    first.join(30)

    assert not first.is_alive()
    assert to_first.poll(30)
    with pytest.raises(EOFError):
        to_first.recv()
    assert second.is_alive()
    second.terminate()
    second.join(30)
    assert not second.is_alive()


def test_a_worker_ends_by_itself_when_its_parent_pipe_is_closed(template: ForkServer) -> None:
    """It hangs on the main process, whoever forked it, and on no other worker."""
    worker, line = worker_of(template)
    assert line.poll(60)
    other, _ = worker_of(template)  # forked later: it must not hold the first one's parent pipe

    worker._ours.close()

    worker.join(30)
    assert not worker.is_alive()
    assert other.is_alive()
    other.kill()


def test_a_template_that_rests_lets_its_workers_live_and_the_next_is_forked_from_another(
    template: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps memory that nobody uses; what it has forked needs it no more."""
    worker, line = worker_of(template)
    assert line.poll(60)
    template.stop_if_idle()
    assert is_there(template), "not yet"

    monkeypatch.setattr(fork_server, "IDLE_TIMEOUT_S", -1.0)
    template.stop_if_idle()
    assert not is_there(template)
    assert worker.is_alive()

    monkeypatch.undo()
    later, line = worker_of(template)
    assert line.poll(60)
    assert line.recv()[0] == later.pid
    for each in (worker, later):
        each.kill()


def test_a_worker_that_cannot_be_forked_is_a_dead_one(
    template: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main loop replaces the dead with growing pauses; an exception would end it."""

    def no_room(_call: object) -> tuple[int, int]:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(template, "fork_worker", no_room)

    worker, line = worker_of(template)

    assert worker.pid is None
    assert not worker.is_alive()
    worker.join(1)
    worker.kill()
    with pytest.raises(EOFError):
        line.recv()


def test_a_call_aside_leaves_its_imports_behind(tmp_path: Path) -> None:
    """That is what it is for."""
    seen = tmp_path / "pid"

    def call() -> str:
        seen.write_text(str(os.getpid()))
        return "found"

    assert SubprocessCall(call).result() == "found"
    assert int(seen.read_text()) != os.getpid()


def test_what_a_call_aside_raises_is_raised_here() -> None:
    """A wrong configuration must be told in its own words, with its own exit code."""

    def call() -> None:
        raise FixConfiguration("api.port: expected a number")

    with pytest.raises(FixConfiguration, match=r"api\.port"):
        SubprocessCall(call).result()


def test_a_call_whose_process_is_killed_is_made_here(tmp_path: Path) -> None:
    """Memory may be short just then; the daemon starts all the same."""
    here = os.getpid()

    def call() -> str:
        if os.getpid() != here:
            os.kill(os.getpid(), 9)
        return "found"

    assert SubprocessCall(call).result() == "found"
