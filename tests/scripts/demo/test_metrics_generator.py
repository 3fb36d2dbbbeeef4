"""A generator of metrics sends rows to the API until it is stopped, through an outage as well."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.daemons.network import free_port
from scripts.demo.metrics_generator import main
from scripts.demo.servers import SERVERS


@contextmanager
def api(statuses: list[int]) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers with these statuses in turn; its address and what it was sent."""
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((self.path, self.headers["X-API-Key"], body))
            content = json.dumps({"accepted": len(body)}).encode()
            self.send_response(statuses[min(len(got), len(statuses)) - 1])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", got
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("HOTFIT_API_KEY", raising=False)
    path = tmp_path / "feed.key"
    path.write_text("the-key\nan-older-key\n")
    return str(path)


def test_each_round_is_a_row_of_each_server_and_an_outage_ends_nothing(key_file: str) -> None:
    """A demo that runs for days meets a restart of the API."""
    asked = ["--interval", "0.1", "--rounds", "2", "--key-file", key_file]

    with api([503, 200]) as (url, got):
        assert main(["--url", url, "--model", "fleet", *asked]) == 0
    assert main(["--url", f"http://127.0.0.1:{free_port()}", *asked]) == 0

    assert [(path, key) for path, key, _ in got] == [("/feed/data?model=fleet", "the-key")] * 2
    assert [row["server"] for row in got[0][2]] == [server.name for server in SERVERS]
    assert {"timestamp", "cpu", "memory", "disk", "load"} <= set(got[0][2][0])


def test_a_refusal_and_a_missing_key_end_it_with_a_code(key_file: str, tmp_path: Path) -> None:
    """Nothing would change by trying again."""
    with api([401]) as (url, got):
        assert main(["--url", url, "--rounds", "5", "--key-file", key_file]) == 1
    assert main(["--key-file", str(tmp_path / "none.key")]) == 2

    assert len(got) == 1
