"""A server that speaks Elasticsearch's protocol, as a process of its own on a loopback port.

It is noida-db: one node, no users. It compares `date_nanos` to the millisecond only and cannot
sort by `_id`; a document is found after a refresh, as it should be.
"""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.daemons.network import free_port
from tests.support.waiting import wait_until


def find_binary() -> Path | None:
    found = importlib.util.find_spec("noida_db")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0])
    return next((path for path in sorted(folder.glob("noida-db*")) if path.is_file()), None)


class ElasticsearchServer:
    """start() and stop() may alternate; the data stays."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary, self._folder, self.port = binary, folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._binary,
                "start",
                *("--only", "elasticsearch", "--elasticsearch-port", str(self.port)),
                *("--data-dir", self._folder),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, 20, "Elasticsearch to answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=2):
                return True
        except OSError:
            return False


@contextmanager
def running_elasticsearch(binary: Path) -> Iterator[ElasticsearchServer]:
    with tempfile.TemporaryDirectory(prefix="hotfit-es-", ignore_cleanup_errors=True) as folder:
        server = ElasticsearchServer(binary, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
