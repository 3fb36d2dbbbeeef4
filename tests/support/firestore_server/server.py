"""Run the service on a loopback port, and give tests their handles on it."""

import os
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any
from unittest.mock import patch

import grpc
from google.cloud import firestore
from google.cloud.firestore_v1 import _helpers

from .faults import Faults
from .late_commits import CommitGate, HeldCommits, PendingCommit
from .meter import Meter
from .service import FirestoreService
from .store import Store
from .timeline import Clock, to_us, utc_now

LOOPBACK = "127.0.0.1"
MAX_REQUEST_BYTES = 10 * 1_048_576
_N_THREADS = 64  # each open listener keeps one
_STOP_GRACE_S = 1.0


class FirestoreServer:
    """An in-memory Firestore for the real client library, on one loopback port.

    As a context manager it serves inside the block. `stop` and `start` take the database away and
    bring it back on the same port with its data. Any thread may call any method.
    """

    def __init__(
        self, *, port: int = 0, project: str = "demo-project", clock: Clock = utc_now
    ) -> None:
        """Port 0 takes a free one. `clock` must return times with a time zone."""
        self.project = project
        self.meter = Meter()
        self._store = Store(clock)
        self.faults = Faults(lambda: self._store.clock())
        self._gate = CommitGate()
        self._service = FirestoreService(self._store, self.meter, self.faults, self._gate)
        self._wanted_port = port
        self._reservation: socket.socket | None = None
        self._grpc_server: Any = None
        self._threads: ThreadPoolExecutor | None = None

    @property
    def clock(self) -> Clock:
        """May be set at any time; set back, it stops commit and read times until it catches up."""
        return self._store.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self._store.clock = clock

    @property
    def port(self) -> int:
        if self._wanted_port == 0:
            raise RuntimeError("the port is known once the server has been started")
        return self._wanted_port

    @property
    def host(self) -> str:
        """What FIRESTORE_EMULATOR_HOST must be set to."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables that point any process's Firestore client here."""
        return {"FIRESTORE_EMULATOR_HOST": self.host, "GOOGLE_CLOUD_PROJECT": self.project}

    @property
    def is_serving(self) -> bool:
        return self._grpc_server is not None

    @property
    def n_listeners(self) -> int:
        return self._service.n_listeners()

    def client(self, project: str | None = None) -> Any:
        """A real ``google.cloud.firestore.Client`` of this server. Close it after use.

        Typed as Any because most of the library's methods carry no types.
        """
        with patch.dict(os.environ, self.environ):
            return firestore.Client(project=project or self.project)

    def start(self) -> None:
        if self.is_serving:
            raise RuntimeError(f"already serving on {self.host}")
        self._reserve_port()
        self._threads = ThreadPoolExecutor(_N_THREADS, thread_name_prefix="firestore-server")
        server = grpc.server(
            self._threads,
            handlers=[self._service.handler()],
            options=[
                ("grpc.so_reuseport", 0),  # two servers must never share a port unnoticed
                ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
                ("grpc.max_send_message_length", -1),
            ],
        )
        self._wanted_port = server.add_insecure_port(f"{LOOPBACK}:{self._wanted_port}")
        server.start()
        self._grpc_server = server

    def stop(self) -> None:
        """Refuse connections from now on; listeners and open streams end with UNAVAILABLE."""
        if self._grpc_server is None or self._threads is None:
            return
        stopped = self._grpc_server.stop(_STOP_GRACE_S)
        # Dropped by us, not cancelled by gRPC: a client listens again after the first, not after
        # the second.
        self._service.drop_listeners(grpc.StatusCode.UNAVAILABLE)
        stopped.wait()
        self._threads.shutdown(wait=False)
        self._grpc_server = self._threads = None

    def close(self) -> None:
        """Stop for good and give the port back."""
        self.faults.clear()
        self.stop()
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None

    def drop_listeners(self) -> None:
        """Break every open listener as a lost connection does; clients will resume."""
        self._service.drop_listeners(grpc.StatusCode.UNAVAILABLE)

    def late_commit(
        self, path: str, data: Mapping[str, Any], *, requested_at: datetime | None = None
    ) -> PendingCommit:
        """Set the document `path` (``appointments/a1``), requested now or earlier, visible later.

        `data` may hold ``firestore.SERVER_TIMESTAMP``, which becomes `requested_at`.
        """
        request_us = self._store.clock_us() if requested_at is None else to_us(requested_at)
        name = f"projects/{self.project}/databases/(default)/documents/{path}"
        # The library's own encoder, though private: the only one that is sure to match its clients.
        writes = [write._pb for write in _helpers.pbs_for_set_no_merge(name, dict(data))]

        def commit() -> None:
            self._service.writes.apply(writes, request_us)

        return PendingCommit(commit)

    def hold_commits(self, collection_id: str | None = None) -> HeldCommits:
        """Let clients' commits (to one collection, or all) hang between request and commit."""
        return self._gate.hold(collection_id)

    def __enter__(self) -> "FirestoreServer":
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _reserve_port(self) -> None:
        """Keep the port ours while the server is stopped, so that it can come back on it.

        Linux lets a socket that listens share its port with one that is only bound.
        """
        if self._reservation is not None or sys.platform != "linux":
            return
        reservation = socket.socket()
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reservation.bind((LOOPBACK, self._wanted_port))
        except OSError:
            reservation.close()
            raise
        self._reservation = reservation
        self._wanted_port = reservation.getsockname()[1]
