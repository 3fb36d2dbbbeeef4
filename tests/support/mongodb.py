"""A server that speaks MongoDB's wire protocol, inside the test process, on a loopback port.

It is briskdb: one node, no users. It tells no `localTime`, has no `$expr` and no rename.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.daemons.network import free_port

WHY_NOT = "briskdb is not installed (it has no build for this machine)"


def is_there() -> bool:
    return importlib.util.find_spec("briskdb") is not None


class MongoServer:
    """start() and stop() may alternate; the data stays."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self._database: Any = None
        self._server: Any = None

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/shop"

    def start(self) -> None:
        import briskdb

        self._database = briskdb.open(str(self._folder), shards=2, documents=True)
        self._server = self._database.serve(mongo=f"127.0.0.1:{self.port}", admin=None)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._database.close()
            self._server = None


@contextmanager
def running_mongodb() -> Iterator[MongoServer]:
    with tempfile.TemporaryDirectory(prefix="hotfit-mongo-", ignore_cleanup_errors=True) as folder:
        server = MongoServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
